"""One-click lanes: what a lecturer wants to put beside the network as it is, computed from the network."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from layerscope.core.editing import each_layer, unwrapped
from layerscope.core.experiment import Experiment, Training
from layerscope.core.gradient_steps.momentum import Momentum
from layerscope.core.initializers import GlorotNormal, HeNormal, Initializer, LecunNormal, Normal
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.base import Layer
from layerscope.core.schedules.range_test import RangeTest
from layerscope.core.text import N_, _


def cures(experiment: Experiment) -> list[tuple[str, Experiment]]:
    """(label, experiment) for every proposal that would change something."""
    return [(label, other) for label, other in _proposals(experiment) if other != experiment]


def rate_search(experiment: Experiment) -> Experiment:
    """The experiment with a learning-rate range test in place of its schedule, that nothing ends early."""
    training = msgspec.structs.replace(experiment.training, schedule=RangeTest(), early_stopping=None, averaging=None)
    return _trained(experiment, training)


def _proposals(experiment: Experiment) -> Iterator[tuple[str, Experiment]]:
    yield _(N_("Xavier")), _drawn(experiment, GlorotNormal())
    yield _(N_("He + ReLU")), _drawn(_bent(experiment, "relu"), HeNormal())
    yield _(N_("Xavier + tanh")), _drawn(_bent(experiment, "tanh"), GlorotNormal())
    yield _(N_("LeCun + SELU")), _drawn(_bent(experiment, "selu"), LecunNormal())
    yield _(N_("Normal, std 1 (too large)")), _drawn(experiment, Normal(std=1.0))
    rate = experiment.training.optimizer.learning_rate
    yield _(N_("Learning rate × 10")), _trained(experiment, _rate(experiment.training, rate * 10))
    yield _(N_("Learning rate ÷ 10")), _trained(experiment, _rate(experiment.training, rate / 10))
    momentum = msgspec.structs.replace(experiment.training, optimizer=Momentum(learning_rate=rate))
    yield _(N_("Momentum")), _trained(experiment, momentum)


def _drawn(experiment: Experiment, init: Initializer) -> Experiment:
    """All weights from this scheme; the last layer stays as it was for ReLU and SELU, for no function follows it."""

    def changed(layer: Layer) -> Layer:
        return msgspec.structs.replace(layer, init=init) if hasattr(layer, "init") else layer

    drawn = each_layer(experiment, changed)
    last = experiment.network[-1] if experiment.network else None
    if last is not None and isinstance(init, HeNormal | LecunNormal) and hasattr(unwrapped(last), "init"):
        return msgspec.structs.replace(drawn, network=(*drawn.network[:-1], last))
    return drawn


def _bent(experiment: Experiment, function: str) -> Experiment:
    def changed(layer: Layer) -> Layer:
        return msgspec.structs.replace(layer, function=function) if isinstance(layer, ActivationLayer) else layer

    return each_layer(experiment, changed)


def _trained(experiment: Experiment, training: Training) -> Experiment:
    return msgspec.structs.replace(experiment, training=training)


def _rate(training: Training, rate: float) -> Training:
    return msgspec.structs.replace(
        training, optimizer=msgspec.structs.replace(training.optimizer, learning_rate=float(f"{rate:.6g}"))
    )
