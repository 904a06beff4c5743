"""Curvature: sharpness against the edge of stability, and the noise of the gradient; computed when it is asked for."""

from .base import PANELS, Panel


@PANELS.add("curvature")
class CurvaturePanel(Panel):
    name = "curvature"
