"""Small experiments that the tests share."""

import numpy as np

from layerscope.core.data.base import Data
from layerscope.core.data.scaling import SCALINGS
from layerscope.core.experiment import Experiment, build


def experiment(*layers, **training) -> Experiment:
    """An experiment on the digits; layers as plain JSON values, `training` settings by name."""
    return build(Experiment, {"network": list(layers), "training": {"batch_size": 16, **training}})


def dense(units, init="glorot_normal", bias=True):
    return {"kind": "dense", "units": units, "init": {"kind": init}, "bias": bias}


def conv(filters, size=3, **fields):
    return {"kind": "conv2d", "filters": filters, "kernel_size": size, **fields}


def act(function, **fields):
    return {"kind": "activation", "function": function, **fields}


def table_data(x: np.ndarray, y: np.ndarray, classes: int) -> Data:
    """Data without validation samples from given arrays."""
    t = np.eye(classes)[y]
    nothing = (np.empty((0, *x.shape[1:])), np.empty(0, dtype=np.int64), np.empty((0, classes)))
    return Data(
        x_train=x,
        y_train=y.astype(np.int64),
        t_train=t,
        x_validation=nothing[0],
        y_validation=nothing[1],
        t_validation=nothing[2],
        x_test=nothing[0],
        y_test=nothing[1],
        t_test=nothing[2],
        classes=tuple(map(str, range(classes))),
        scale=SCALINGS["none"].fit(x),
    )
