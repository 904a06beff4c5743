"""The mean squared error is the usual loss for values: being twice as far off counts four times."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import LOSS, ROWS
from ..engine.memory import block
from ..text import N_
from .base import Array, Loss

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire


@Loss.registry.add("mse")
class MeanSquaredError(Loss, frozen=True, kw_only=True, tag="mse"):
    """The mean of the squared differences between outputs and targets; classes become targets 0 and 1."""

    label: ClassVar[str] = N_("Mean squared error")
    formula: ClassVar[str] = "L = mean of (y − t)²"
    source: ClassVar[str] = "torch.nn.MSELoss"
    for_values: ClassVar[bool] = True

    def write(self, build: Builder, x: Wire) -> None:
        numbers = x.at, x.gradient, build.targets.at, x.width
        build.forward(squared_error_forward, *numbers)
        build.backward(squared_error_backward, *numbers)

    def of_predictions(self, predictions: Array, t: Array) -> float:
        return float(np.mean((predictions - t) ** 2))


@kernel
def squared_error_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Mean of (y - t)^2 over samples and outputs. Row: y, dy, targets, width."""
    count = context[ROWS] * row[4]
    y, t = block(arena, row[1], count), block(arena, row[3], count)
    total = 0.0
    for i in range(count):
        off = np.float64(y[i] - t[i])
        total += off * off
    statistics[LOSS] = total / count


@kernel
def squared_error_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = 2 (y - t) / (rows width). Row as in the forward kernel."""
    count = context[ROWS] * row[4]
    y, dy, t = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    share = y.dtype.type(2.0 / count)
    for i in range(count):
        dy[i] = share * (y[i] - t[i])
