"""The mean squared error is the usual loss for values: being twice as far off counts four times."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import LOSS, ROWS
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, LossSlide, constant, equation, number, sum_of_squares
from .base import Array, Loss

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript


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

    def worked(self, slide: LossSlide) -> tuple[Equation, ...]:
        sample, k = slide.sample, slide.unit
        y, t = number(f"y[{k + 1}]", slide.z[sample, k]), number(f"t[{k + 1}]", slide.t[sample, k])
        count = number("N", slide.z.size)
        if slide.phase == "backward":
            dy = constant(2.0) * (y - t) / count
            return (equation(f"∂L/∂y[{k + 1}]", dy, slide.dz[sample, k], _("N = samples × outputs")),)
        off = slide.z.astype(np.float64) - slide.t
        return (
            equation(f"r[{k + 1}]²", (y - t).squared(), words=_("the part of the chosen output")),
            equation("L", sum_of_squares("Σ (y − t)²", off) / count, slide.value, _("N = samples × outputs")),
        )

    def of_each(self, predictions: Array, t: Array) -> Array:
        return np.asarray(((predictions - t) ** 2).mean(axis=1))

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        return code.functional(f"mse_loss({outputs}, {t})")

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        return f"ops.mean((ops.convert_to_tensor({t}) - {outputs}) ** 2)"

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        code.define_pair(NUMPY_SQUARED_ERROR)
        return f"squared_error({outputs}, {t})", f"squared_error_backward({outputs}, {t})"


NUMPY_SQUARED_ERROR = '''
def squared_error(y, t):
    """mean of (y - t)² over samples and outputs"""
    return ((y - t) ** 2).mean()

def squared_error_backward(y, t):
    return 2 * (y - t) / y.size
'''


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
