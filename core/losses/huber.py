"""Huber's loss is the squared error for small differences and grows only evenly beyond: single samples that are far off
do not pull the whole network after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine.kernel import kernel
from ..engine.layout import LOSS, ROWS
from ..engine.memory import block
from ..fields import about
from ..text import N_, _
from ..worked import Equation, LossSlide, absolute, chosen, constant, equation, function, number, sum_of
from .base import Array, Loss

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript


@Loss.registry.add("huber")
class Huber(Loss, frozen=True, kw_only=True, tag="huber"):
    """Half the squared difference up to delta, a straight line beyond; the mean over samples and outputs."""

    label: ClassVar[str] = N_("Huber")
    formula: ClassVar[str] = "L = mean of r²/2 where |r| < δ, else δ (|r| − δ/2),  r = y − t"
    source: ClassVar[str] = "Huber 1964; torch.nn.HuberLoss"
    for_values: ClassVar[bool] = True

    delta: Annotated[
        float,
        about(
            N_("delta"),
            N_("The difference from which on the loss grows evenly, in the unit of the targets."),
            above=0.0,
            maximum=1e6,
            scale="log",
        ),
    ] = 1.0

    def write(self, build: Builder, x: Wire) -> None:
        numbers = x.at, x.gradient, build.targets.at, x.width, build.constant(self.delta)
        build.forward(huber_forward, *numbers)
        build.backward(huber_backward, *numbers)

    def worked(self, slide: LossSlide) -> tuple[Equation, ...]:
        sample, k, delta = slide.sample, slide.unit, number("δ", self.delta)
        y, t = number(f"y[{k + 1}]", slide.z[sample, k]), number(f"t[{k + 1}]", slide.t[sample, k])
        count, off = number("N", slide.z.size), slide.z.astype(np.float64) - slide.t
        r = (y - t).named("r")
        cases = "r²/2 if |r| < δ else δ (|r| − δ/2)"
        half = constant(2.0)
        near = abs(r.value) < self.delta
        found = [equation("r", y - t, words=_("how far the chosen output is off"))]
        if slide.phase == "backward":
            inner = function("max(−{0}, min({0}, {1}))", np.clip(r.value, -self.delta, self.delta), delta, r)
            return *found, equation(f"∂L/∂y[{k + 1}]", inner / count, slide.dz[sample, k], _("N = samples × outputs"))
        part = chosen(cases, r.squared() / half if near else delta * (absolute(r) - delta / half))
        far = np.abs(off)
        parts = np.where(far < self.delta, 0.5 * far * far, self.delta * (far - 0.5 * self.delta))
        mean = sum_of("Σ ℓ", parts) / count
        return (
            *found,
            equation("ℓ", part, words=_("the part of the chosen output")),
            equation("L", mean, slide.value, _("N = samples × outputs")),
        )

    def of_each(self, predictions: Array, t: Array) -> Array:
        far = np.abs(predictions - t)
        each = np.where(far < self.delta, 0.5 * far * far, self.delta * (far - 0.5 * self.delta))
        return np.asarray(each.mean(axis=1))

    def pieces(self, outputs: NDArray[np.floating], t: NDArray[np.floating]) -> NDArray[np.int64]:
        off = outputs - t
        return (off > self.delta).astype(np.int64) - (off < -self.delta)

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        return code.functional(f"huber_loss({outputs}, {t}, delta={code.number(self.delta)})")

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        return f"ops.mean(keras.losses.huber({t}, {outputs}, delta={code.number(self.delta)}))"

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        code.define_pair(NUMPY)
        settings = f"({outputs}, {t}, {code.number(self.delta)})"
        return f"huber{settings}", f"huber_backward{settings}"


NUMPY = '''
def huber(y, t, delta):
    """mean of r² / 2 where |r| < δ, else δ (|r| - δ / 2), r = y - t"""
    far = np.abs(y - t)
    return np.where(far < delta, far**2 / 2, delta * (far - delta / 2)).mean()

def huber_backward(y, t, delta):
    return np.clip(y - t, -delta, delta) / y.size
'''


@kernel
def huber_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Mean of r^2 / 2 where |r| < delta, else delta (|r| - delta / 2), r = y - t. Row: y, dy, targets, width, delta in
    hyper.
    """
    count, delta = context[ROWS] * row[4], hyper[row[5]]
    y, t = block(arena, row[1], count), block(arena, row[3], count)
    total = 0.0
    for i in range(count):
        far = abs(np.float64(y[i] - t[i]))
        total += 0.5 * far * far if far < delta else delta * (far - 0.5 * delta)
    statistics[LOSS] = total / count


@kernel
def huber_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = r within -delta and delta, divided by (rows width). Row as in the forward kernel."""
    count = context[ROWS] * row[4]
    y, dy, t = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    delta, share = y.dtype.type(hyper[row[5]]), y.dtype.type(1.0 / count)
    for i in range(count):
        off = y[i] - t[i]
        off = delta if off > delta else off
        dy[i] = share * (-delta if off < -delta else off)
