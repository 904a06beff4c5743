"""Learning curves: loss and accuracy against steps; pointing at a step shows that step everywhere."""

from .base import PANELS, Panel


@PANELS.add("learning-curves")
class LearningCurvesPanel(Panel):
    name = "learning-curves"
    time_plots = True
    at_first = True
