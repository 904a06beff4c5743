"""Learning-rate range: the loss over the learning rate while the rate is raised."""

from .base import PANELS, Panel


@PANELS.add("learning-rate-range")
class LearningRateRangePanel(Panel):
    name = "learning-rate-range"
