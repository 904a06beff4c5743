"""Update ratio: by what part of themselves the weights of every layer change in one step."""

from .base import PANELS, Panel


@PANELS.add("update-ratio")
class UpdateRatioPanel(Panel):
    name = "update-ratio"
