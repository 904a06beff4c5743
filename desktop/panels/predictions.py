"""Predictions: what the network answers, as regions, a curve, a confusion matrix and the worst mistakes."""

from ...core.fields import Field
from ...core.figures.predictions import VIEWS, PredictionsOptions, fitting_views
from .answered import AnsweredPanel
from .base import PANELS


@PANELS.add("predictions")
class PredictionsPanel(AnsweredPanel):
    name = "predictions"

    def offered(self, field: Field) -> list[str]:
        if field.choices is not VIEWS or not isinstance(self.options, PredictionsOptions):
            return super().offered(field)
        return fitting_views(self.scene, self.options)
