"""Random experiments that can be trained: every kind of every registry, blocks in blocks, for images and for vectors.

What an experiment is depends on its number alone. Rates are such that a few dozen steps do not explode.
"""

import math
from typing import Any

import numpy as np

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.averaging import Averaging
from layerscope.core.experiment import Experiment, build
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.initializers import Initializer
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss
from layerscope.core.schedules.base import Schedule

# Several of these deep in a network hardly let a signal through, or let it explode.
INITS = ("lecun_normal", "lecun_uniform", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "orthogonal")
RARE_INITS = ("lsuv", "inverse_n", "uniform", "normal", "constant", "zeros")
RATES = {"adagrad": 0.01, "rmsprop": 1e-3, "adam": 1e-3, "adamw": 1e-3, "nadam": 1e-3, "lion": 3e-4}
BATCH = 24
MOST_LAYERS = 20


class _Draw:
    """Draws one experiment; `number` walks through the kinds, so that few experiments have them all."""

    def __init__(self, number: int):
        self.number = number
        self.rare = 0
        self.random = np.random.default_rng([7, number])

    def one_of(self, choices: Any) -> Any:
        choices = list(choices)
        return choices[self.random.integers(len(choices))]

    def chance(self, share: float) -> bool:
        return bool(self.random.random() < share)

    def in_turn(self, registry: Any) -> str:
        names = registry.names()
        return names[self.number % len(names)]

    def init(self) -> dict[str, Any]:
        if self.chance(0.12):
            self.rare += 1
            kind = RARE_INITS[(self.number + self.rare) % len(RARE_INITS)]
            return {"kind": kind, **({"std": 0.2} if kind == "normal" else {})}
        return {"kind": self.one_of(INITS), "gain": round(float(self.random.uniform(0.8, 1.2)), 2)}

    def dense(self, units: int, safe: bool = False) -> dict[str, Any]:
        init = {"kind": "glorot_normal"} if safe else self.init()
        return {"kind": "dense", "units": units, "bias": self.chance(0.8), "init": init}

    def conv(self, filters: int, height: int) -> dict[str, Any]:
        return {
            "kind": "conv2d",
            "filters": filters,
            "kernel_size": self.one_of([1, 2, 3]),
            "padding": "same",
            "bias": self.chance(0.8),
            "init": self.init(),
        }

    def activation(self) -> dict[str, Any]:
        function = self.one_of(ACTIVATIONS.names())
        fields = {"leaky_relu": {"slope": 0.1}, "elu": {"alpha": 0.7}}.get(function, {})
        return {"kind": "activation", "function": function, **fields}

    def weighted(self, layer: dict[str, Any]) -> dict[str, Any]:
        if self.chance(0.2):
            if layer["init"]["kind"] in ("zeros", "constant"):
                layer["init"] = {"kind": "he_normal"}
            return {"kind": "weight_norm", "layer": layer}
        return layer

    def layers(self, shape: tuple[int, ...], count: int, depth: int) -> list[dict[str, Any]]:
        """Up to `count` layers that keep the height and width of images."""
        found: list[dict[str, Any]] = []
        channels = shape[-1]
        while count > 0:
            kinds = ["weights", "weights", "activation", "activation", "batch_norm", "layer_norm", "dropout"]
            kind = self.one_of([*kinds, *(["residual", "projection", "inception"] if depth < 2 and count > 3 else [])])
            count -= 1
            if kind == "weights":
                channels = self.one_of([3, 4, 6])
                image = len(shape) == 3
                found.append(self.weighted(self.conv(channels, shape[0]) if image else self.dense(channels)))
            elif kind == "activation":
                found.append(self.activation())
            elif kind == "dropout":
                found.append({"kind": "dropout", "rate": 0.2})
            elif kind in ("batch_norm", "layer_norm"):
                found.append({"kind": kind, "epsilon": 1e-3})
            elif kind == "inception":
                branches = [self.layers((*shape[:-1], channels), self.random.integers(0, 3), depth + 1) for _ in "ab"]
                found.append({"kind": "inception", "branches": branches})
                channels = sum(_width(branch, channels) for branch in branches)
                count -= sum(map(len, branches))
            else:
                body = self.layers((*shape[:-1], channels), self.random.integers(1, 4), depth + 1)
                end = _width(body, channels)
                if kind == "residual" and end != channels:
                    body.append(self.conv(channels, shape[0]) if len(shape) == 3 else self.dense(channels))
                    end = channels
                channels = end
                shortcut = "identity" if kind == "residual" else "projection"
                found.append({"kind": "residual", "body": body, "shortcut": shortcut, "scale": self.one_of([1.0, 0.5])})
                count -= len(body)
        return found

    def network(self, outputs: int, image: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        rest = int(self.random.integers(2, MOST_LAYERS - 6))
        if image:
            own = min(rest, int(self.random.integers(1, 7)))
            found += [self.conv(4, 8), *self.layers((8, 8, 4), own, 0)]
            pool = self.one_of(["max_pool", "average_pool", "strided"])
            if pool == "strided":
                found.append({"kind": "conv2d", "filters": 4, "stride": 2, "padding": self.one_of(["same", "valid"])})
            else:
                found.append({"kind": pool, "size": self.one_of([2, 3]), "stride": self.one_of([None, 1, 2])})
            rest -= own
            end = self.one_of(["flatten", "global_average_pool", "dense"])
            if end != "dense":
                found.append({"kind": end})
        found += [self.dense(8, safe=True), *self.layers((8,), rest, 0), self.dense(outputs, safe=True)]
        return found

    def schedule(self, kind: str) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "exponential": {"factor": 0.95, "every": self.one_of(["epoch", "step"])},
            "step": {"factor": 0.5, "every": 2},
            "cosine": {"final_factor": self.one_of([0.0, 0.1])},
            "one_cycle": {"peak_factor": 3.0, "warmup_share": 0.1},
            "reduce_on_plateau": {"factor": 0.5, "patience": 1, "min_delta": 0.05},
            "range_test": {"start": 1e-4, "end": 0.02, "steps": 60},
        }.get(kind, {})
        if kind == "warmup":
            fields = {"steps": 10, "then": self.schedule(self.one_of(["constant", "cosine", "reduce_on_plateau"]))}
        return {"kind": kind, **fields}

    def regularizers(self) -> list[dict[str, Any]]:
        found = []
        for kind in Regularizer.registry.names():
            if self.chance(0.3):
                size = {"limit": 1.5} if kind == "max_norm" else {"strength": self.one_of([1e-4, 1e-2])}
                found.append({"kind": kind, **size})
        self.random.shuffle(found)
        return found

    def averaging(self) -> dict[str, Any] | None:
        kind = self.one_of([None, None, *Averaging.registry.names()])
        fields = {"ema": {"decay": 0.8}, "swa": {"start": 1, "every": 1}, "ensemble": {"size": 2}}
        return {"kind": kind, **fields[kind]} if kind else None


def _width(layers: list[dict[str, Any]], channels: int) -> int:
    """Channels (or units) behind layers."""
    for layer in layers:
        inner = layer["layer"] if layer["kind"] == "weight_norm" else layer
        if inner["kind"] == "dense":
            channels = inner["units"]
        elif inner["kind"] == "conv2d":
            channels = inner["filters"]
        elif inner["kind"] == "residual":
            channels = _width(inner["body"], channels)
        elif inner["kind"] == "inception":
            channels = sum(_width(branch, channels) for branch in inner["branches"])
    return channels


def random_experiment(number: int, precision: str = "float64") -> Experiment:
    """Experiment number `number`, about 5 epochs of 10 steps."""
    draw = _Draw(number)
    loss = draw.in_turn(Loss.registry)
    image = number % 2 == 0
    if image:
        data = {"kind": "digits", "scaling": draw.one_of(["standardize", "unit", "symmetric"]), "validation": 0.85}
        outputs = 10
    else:
        kind = draw.one_of(["moons", "circles", "xor", "spirals", "blobs", "checkerboard"])
        if loss in ("mse", "huber") and draw.chance(0.6):
            kind = "regression"
        data = {"kind": kind, "samples": 300, "validation": 0.2}
        outputs = {"spirals": 0, "blobs": 0, "regression": 1}.get(kind, 2)
    if outputs == 0:
        outputs = len(build(Experiment, {"data": data}).data.outline().classes)
    if outputs == 2 and loss == "binary_cross_entropy" and draw.chance(0.5):
        outputs = 1
    optimizer = draw.in_turn(Optimizer.registry)
    rate = RATES.get(optimizer, 0.02)
    clipping = [None, *Clipping.registry.names()][number % (1 + len(Clipping.registry))]
    plain: dict[str, Any] = {
        "name": f"Random {number}",
        "seed": number,
        "data": data,
        "network": draw.network(outputs, image),
        "loss": {"kind": loss, **({"label_smoothing": 0.1} if loss == "softmax_cross_entropy" else {})},
        "training": {
            "batch_size": BATCH,
            "epochs": math.ceil(60 / 10),
            "precision": precision,
            "optimizer": {"kind": optimizer, "learning_rate": rate},
            "clipping": {"kind": clipping, "threshold": 0.3 if clipping != "value" else 0.05} if clipping else None,
            "schedule": draw.schedule(Schedule.registry.names()[(number // 2) % len(Schedule.registry)]),
            "regularizers": draw.regularizers(),
            "averaging": draw.averaging(),
            "early_stopping": {"patience": 2, "min_delta": 0.0} if draw.chance(0.3) else None,
        },
    }
    return build(Experiment, plain)


def kinds_in(experiment: Experiment) -> set[tuple[str, str]]:
    """(family, kind) of everything that an experiment is made of."""
    found: set[tuple[str, str]] = set()

    def look(layer: Layer) -> None:
        found.add(("layer", layer.kind_name()))
        if layer.kind_name() == "activation":
            found.add(("function", layer.function))
        if hasattr(layer, "init"):
            found.add(("init", layer.init.kind_name()))
        if layer.kind_name() == "weight_norm":
            look(layer.layer)
        for chain in layer.inside(None):
            for inner in chain.layers:
                look(inner)

    for layer in experiment.network:
        look(layer)
    training = experiment.training
    found.add(("loss", experiment.loss.kind_name()))
    found.add(("optimizer", training.optimizer.kind_name()))
    found.add(("schedule", training.schedule.kind_name()))
    found |= {("regularizer", r.kind_name()) for r in training.regularizers}
    for family, kind in (("clipping", training.clipping), ("averaging", training.averaging)):
        if kind is not None:
            found.add((family, kind.kind_name()))
    return found


def all_kinds() -> set[tuple[str, str]]:
    families = {
        "layer": Layer.registry,
        "function": ACTIVATIONS,
        "init": Initializer.registry,
        "loss": Loss.registry,
        "optimizer": Optimizer.registry,
        "schedule": Schedule.registry,
        "regularizer": Regularizer.registry,
        "clipping": Clipping.registry,
        "averaging": Averaging.registry,
    }
    return {(family, name) for family, registry in families.items() for name in registry.names()}
