"""Training and evaluation: the same minibatch through both networks, layer by layer."""

from .base import PANELS, Panel


@PANELS.add("train-eval-twin")
class TrainEvalTwinPanel(Panel):
    name = "train-eval-twin"
