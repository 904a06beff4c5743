"""Schedule: the learning rate over the whole training as it is planned."""

from .base import PANELS, Panel


@PANELS.add("schedule")
class SchedulePanel(Panel):
    name = "schedule"
