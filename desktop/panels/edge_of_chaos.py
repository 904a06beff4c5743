"""Edge of chaos: where the network stands between order and chaos, and how deep it may be."""

from .base import PANELS, Panel


@PANELS.add("edge-of-chaos")
class EdgeOfChaosPanel(Panel):
    name = "edge-of-chaos"
