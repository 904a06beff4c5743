"""Predictions: what the network answers, as regions, a curve, a confusion matrix and the worst mistakes."""

from .base import PANELS, Panel


@PANELS.add("predictions")
class PredictionsPanel(Panel):
    name = "predictions"
