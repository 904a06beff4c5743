"""Waterfall: what every operation does to the gradient on its way back."""

from .base import PANELS, Panel


@PANELS.add("waterfall")
class WaterfallPanel(Panel):
    name = "waterfall"
