"""Landscape: the real loss on a plane through the weights; computed when it is asked for."""

from .base import PANELS, Panel


@PANELS.add("landscape")
class LandscapePanel(Panel):
    name = "landscape"
