"""The lesson "Dropout": four rates side by side, and why a network may do better in the exam than in training.

The same small convolutional network with dropout 0, 0.2, 0.5 and 0.8, as in the notebook of the course AI for
Beginners, here on the 8 by 8 digits. Its two sound findings are the claims: the training loss rises with the rate, and
the gap between training and validation accuracy changes its sign, because training is measured with units switched off
and validation with all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from ..data.digits import Digits
from ..experiment import Experiment, Training
from ..gradient_steps.adam import Adam
from ..layers.activation import ActivationLayer
from ..layers.base import Layer
from ..layers.conv2d import Conv2d
from ..layers.dense import Dense
from ..layers.dropout import Dropout
from ..layers.pool import MaxPool
from ..run import Run
from ..text import N_
from .base import LESSONS, Claim, Lesson

RATES = (0.0, 0.2, 0.5, 0.8)
EPOCHS = 30
STEPS = EPOCHS * 23  # 1,438 training samples in minibatches of 64


def _network(rate: float) -> tuple[Layer, ...]:
    def part(filters: int) -> tuple[Layer, ...]:
        return Conv2d(filters=filters, padding="same"), ActivationLayer(function="relu"), MaxPool()

    return (*part(16), *part(32), Dropout(rate=rate), Dense(units=10))


def _experiment(rate: float) -> Experiment:
    return Experiment(
        name=f"Dropout {rate:g}",
        data=Digits(scaling="unit", validation=0.2),
        network=_network(rate),
        training=Training(batch_size=64, epochs=EPOCHS, optimizer=Adam(learning_rate=0.001)),
    )


def _last_epoch(run: Run, quantity: str) -> float:
    """The mean over the minibatches of the last epoch, with dropout at work."""
    return float(run.record.view().values(quantity)[-run.steps_per_epoch :].mean())


def gap(run: Run) -> float:
    """Training minus validation accuracy after the last epoch."""
    return _last_epoch(run, "accuracy") - run.validate()[1]


def _least_rise(runs: Sequence[Run]) -> float:
    losses = [_last_epoch(run, "loss") for run in runs]
    return min(after / before for before, after in pairwise(losses))


def _spread_of_validation(runs: Sequence[Run]) -> float:
    accuracies = [run.validate()[1] for run in runs[:3]]
    return max(accuracies) - min(accuracies)


LESSONS.add("dropout")(
    Lesson(
        name="dropout",
        label=N_("Dropout"),
        sentences=(
            N_(
                "Four lanes, one network: in lane A nothing is dropped, in B, C and D a fifth, a half and "
                "four fifths of the last layer's inputs."
            ),
            N_(
                "The more is dropped, the higher the training loss, because it is measured with the holes; validation "
                "sees the whole network."
            ),
            N_(
                "Without dropout the network knows the training samples better than others; at 0.8 it is the other way "
                "round: the gap has changed its sign."
            ),
        ),
        lanes=tuple(map(_experiment, RATES)),
        steps=STEPS,
        claims=(
            Claim(N_("training loss by that of the next smaller rate, the least of three"), _least_rise, 1.2, 10.0),
            Claim(N_("A: training accuracy minus validation accuracy"), lambda r: gap(r[0]), 0.002, 0.1),
            Claim(N_("D: training accuracy minus validation accuracy"), lambda r: gap(r[3]), -0.4, -0.05),
            Claim(N_("spread of the validation accuracies of A, B and C"), _spread_of_validation, 0.0, 0.03),
        ),
        figures=("learning-curves", "signal", "gradients", "over-time"),
    )
)
