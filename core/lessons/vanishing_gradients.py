"""Vanishing gradients: twelve sigmoid layers pass on a quarter of the gradient each, and the first layers never
learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..data.digits import Digits
from ..experiment import Experiment, Training
from ..gradient_steps.sgd import Sgd
from ..initializers import GlorotNormal, HeNormal, Initializer
from ..layers.activation import ActivationLayer
from ..layers.base import Layer
from ..layers.dense import Dense
from ..run import Run
from ..text import N_
from .base import LESSONS, Claim, Lesson

DEPTH, WIDTH = 12, 64
STEPS = 400
# Mean-field theory for sigmoid with Xavier weights: the length of the gradient shrinks by sqrt(chi_1) = 0.236 per layer
# (Schoenholz et al. 2017; the fixed point is q* = 0.2647).
THEORY = 0.236


def _network(function: str, init: Initializer) -> tuple[Layer, ...]:
    hidden = (Dense(units=WIDTH, init=init), ActivationLayer(function=function))
    return (*(hidden * DEPTH), Dense(units=10, init=GlorotNormal()))


def _experiment(name: str, function: str, init: Initializer) -> Experiment:
    return Experiment(
        name=name,
        data=Digits(scaling="standardize", validation=0.2),
        network=_network(function, init),
        training=Training(batch_size=64, epochs=40, optimizer=Sgd(learning_rate=0.1)),
    )


def gradient_factor(run: Run) -> float:
    """Geometric mean, over hidden layers 2 to 11, of the gradient norm of a layer by that of the layer after it, at
    step 0.
    """
    norms = run.record.view().at("gradient.norm", 0)[1 : 2 * DEPTH : 2]
    return float(np.exp(np.mean(np.log(norms[1:-1] / norms[2:]))))


def _first_by_last(runs: Sequence[Run]) -> float:
    norms = runs[0].record.view().at("gradient.norm", 0)[1 : 2 * DEPTH : 2]
    return float(norms[0] / norms[-1])


def _loss_above_chance(runs: Sequence[Run]) -> float:
    return abs(runs[0].validate()[0] - math.log(10))


def _best_accuracy(runs: Sequence[Run]) -> float:
    runs[1].validate()
    return float(runs[1].record.view().validation_accuracy.max())


LESSONS.add("vanishing-gradients")(
    Lesson(
        name="vanishing-gradients",
        label=N_("Vanishing gradients"),
        sentences=(
            N_(
                "Watch the gradients: each of the twelve sigmoid layers passes on less than a quarter of what "
                "reaches it, as theory predicts."
            ),
            N_(
                "The first layers get a ten-millionth of the gradient of the last, their weights stand "
                "still, and the loss stays at guessing."
            ),
            N_(
                "Add lane B, the same network with ReLU and He weights, from the same draws: "
                "the gradient arrives at full size, and it learns."
            ),
        ),
        lanes=(
            _experiment("Vanishing gradients", "sigmoid", GlorotNormal()),
            _experiment("Vanishing gradients, cured", "relu", HeNormal()),
        ),
        steps=STEPS,
        claims=(
            Claim(
                N_("A: gradient of a layer by that of the next, theory 0.236"),
                lambda r: gradient_factor(r[0]),
                THEORY * 0.85,
                THEORY * 1.15,
            ),
            Claim(N_("A: gradient of the first layer by that of the last"), _first_by_last, 0.0, 1e-6),
            Claim(N_("A: validation loss minus ln 10, guessing, after 400 steps"), _loss_above_chance, 0.0, 0.05),
            Claim(N_("B: gradient of a layer by that of the next"), lambda r: gradient_factor(r[1]), 0.8, 1.25),
            Claim(N_("B: best validation accuracy within 400 steps"), _best_accuracy, 0.9, 1.0),
        ),
    )
)
