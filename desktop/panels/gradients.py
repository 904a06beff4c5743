"""Gradients: the gradient norm of every layer."""

from .base import PANELS, Panel


@PANELS.add("gradients")
class GradientsPanel(Panel):
    name = "gradients"
    at_first = True
