"""The networks that speed is compared on: from a toy of eight units to images and fifty residual blocks.

The samples are drawn at random: how long a step takes does not depend on what they show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.base import Data
from ..data.scaling import SCALINGS
from ..experiment import Experiment
from ..fields import build
from ..layers.base import Shape
from ..network import plan
from ..text import N_


@dataclass(frozen=True)
class Workload:
    """One network with the way it is trained.

    label      what it is, in a few words
    inputs     shape of one sample
    classes    outputs
    layers     plain values, as in an experiment file
    training   the same
    batch      samples in a minibatch
    hooks, bare   times as fast as PyTorch with the same statistics, and without any, that it is meant to be
    """

    name: str
    label: str
    inputs: Shape
    classes: int
    layers: tuple[dict[str, Any], ...]
    training: dict[str, Any]
    batch: int
    hooks: float
    bare: float

    def experiment(self) -> Experiment:
        """As an experiment; its data are `data`, not the ones that it names."""
        training = {"batch_size": self.batch, "epochs": 1_000_000, **self.training}
        if training.get("schedule", {}).get("kind") == "cosine":
            training["epochs"] = 1_000
        return build(Experiment, {"name": self.name, "network": list(self.layers), "training": training})

    def data(self) -> Data:
        """About a thousand samples, none kept aside."""
        count = self.batch * max(4, 1024 // self.batch)
        draw = np.random.default_rng(0)
        x = draw.standard_normal((count, *self.inputs))
        y = draw.integers(0, self.classes, count)
        nothing = np.empty((0, *self.inputs)), np.empty(0, dtype=np.int64), np.empty((0, self.classes))
        return Data(
            x, y, np.eye(self.classes)[y], *nothing, *nothing, tuple(map(str, range(self.classes))),
            SCALINGS["none"].fit(x),
        )  # fmt: skip

    def plain(self) -> dict[str, Any]:
        """What the other programs are told, as JSON values."""
        return {
            "name": self.name,
            "inputs": list(self.inputs),
            "classes": self.classes,
            "layers": list(self.layers),
            "training": self.training,
            "batch": self.batch,
        }

    def products(self) -> list[tuple[int, int, int]]:
        """(m, k, n) of every matrix product of a training step, (m x k) by (k x n): forward, and twice on the way back
        but for the first layer, whose input needs no gradient.
        """
        found: list[tuple[int, int, int]] = []
        cards = plan(self.experiment(), self.data().outline).cards
        for card in cards:
            if card.given is None or card.shape is None or not any(p.weight for p in card.parameters):
                continue
            weight = next(p for p in card.parameters if p.weight)
            if card.layer.kind_name() not in ("dense", "conv2d"):
                continue
            outputs = weight.shape[-1]
            inputs = weight.count // outputs
            rows = self.batch * math.prod(card.shape) // outputs
            found += [(rows, inputs, outputs), (inputs, rows, outputs)]
            if card.path != "0":
                found.append((rows, outputs, inputs))
        return found


def _dense(units: int, init: str = "he_normal") -> dict[str, Any]:
    return {"kind": "dense", "units": units, "init": {"kind": init}}


def _act(function: str) -> dict[str, Any]:
    return {"kind": "activation", "function": function}


def _deep(count: int, *layers: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    return tuple(layer for _ in range(count) for layer in layers)


RELU = _act("relu")
SGD: dict[str, Any] = {"optimizer": {"kind": "sgd", "learning_rate": 0.01}}
ADAM: dict[str, Any] = {"optimizer": {"kind": "adam", "learning_rate": 0.001}}

WORKLOADS: tuple[Workload, ...] = (
    Workload(
        "tiny", N_("2, 6 × 8 tanh, 2; SGD"), (2,), 2,
        (*_deep(6, _dense(8, "glorot_normal"), _act("tanh")), _dense(2)), SGD, 32, 120.0, 22.0,
    ),
    Workload(
        "deep", N_("64, 20 × 100 ReLU, 10; SGD"), (64,), 10,
        (*_deep(20, _dense(100), RELU), _dense(10)), SGD, 64, 8.0, 1.8,
    ),
    Workload(
        "norm", N_("64, 20 × (dense 100, batch norm, ReLU, dropout 0.1), 10; Adam, clipping, cosine"), (64,), 10,
        (
            *_deep(20, _dense(100), {"kind": "batch_norm"}, RELU, {"kind": "dropout", "rate": 0.1}),
            _dense(10),
        ),
        {**ADAM, "clipping": {"kind": "global_norm", "threshold": 1.0}, "schedule": {"kind": "cosine"}}, 64, 8.0, 2.0,
    ),
    Workload(
        "mnist", N_("784, 3 × 256 ReLU, 10; SGD"), (784,), 10,
        (*_deep(3, _dense(256), RELU), _dense(10)), SGD, 128, 2.5, 1.0,
    ),
    Workload(
        "wide", N_("784, 10 × 512 ReLU, 10; SGD"), (784,), 10,
        (*_deep(10, _dense(512), RELU), _dense(10)), SGD, 128, 1.6, 0.85,
    ),
    Workload(
        "conv", N_("28×28×1, conv 32 3×3, ReLU, pool, conv 64 3×3, ReLU, pool, dropout 0.5, dense 10; Adam"),
        (28, 28, 1), 10,
        (
            {"kind": "conv2d", "filters": 32, "kernel_size": 3}, RELU, {"kind": "max_pool"},
            {"kind": "conv2d", "filters": 64, "kernel_size": 3}, RELU, {"kind": "max_pool"},
            {"kind": "flatten"}, {"kind": "dropout", "rate": 0.5}, _dense(10),
        ),
        ADAM, 64, 2.5, 1.1,
    ),
    Workload(
        "residual", N_("64, 50 residual blocks of 2 × 64 ReLU, 10; Adam"), (64,), 10,
        (
            *_deep(50, {"kind": "residual", "body": [_dense(64), RELU, _dense(64), RELU]}),
            _dense(10),
        ),
        ADAM, 64, 8.0, 2.0,
    ),
)  # fmt: skip


def workload(name: str) -> Workload:
    """The workload of this name; a KeyError when there is none."""
    return {one.name: one for one in WORKLOADS}[name]
