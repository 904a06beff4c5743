"""Over time: layers above one another, steps side by side; pointing at a step shows that step everywhere."""

from .base import PANELS, Panel


@PANELS.add("over-time")
class OverTimePanel(Panel):
    name = "over-time"
    time_plots = True
    at_first = True
