"""Flattening lays the pixels of an image in one long row, line after line, so that layers for vectors can follow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number
from .base import Group, Layer, Part, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("flatten")
class Flatten(Layer, frozen=True, kw_only=True, tag="flatten"):
    """Turns an image into a vector; the numbers stay. (A dense layer does so by itself.)"""

    label: ClassVar[str] = N_("Flatten")
    group: ClassVar[Group] = "shape"
    part: ClassVar[Part | None] = "shape"
    formula: ClassVar[str] = "y[(i w + j) c + k] = x[i, j, k]"
    source: ClassVar[str] = "torch.nn.Flatten (whose images have their channels first)"

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return (math.prod(given),)

    def emit(self, build: Builder, x: Wire) -> Wire:
        # A copy: two names for the same place would confuse the shares of its gradient.
        y = build.wire((x.width,))
        build.forward(flatten_forward, x.at, y.at, x.width)
        if x.gradient >= 0:
            build.backward(flatten_backward, build.gradient_of(x), y.gradient, x.width)
        return y

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        if len(given) != 3:
            return None
        row, column, channel = (int(n) for n in np.unravel_index(unit, given))
        return slice(row, row + 1), slice(column, column + 1), channel

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        k, sample, here = slide.unit, slide.sample, slide.place(slide.unit, slide.given)
        if slide.phase == "forward":
            return (equation(f"y[{k + 1}]", number(f"x{here}", slide.flat(slide.x)[sample, k]), slide.y[sample, k]),)
        if slide.dx is None:
            return ()
        return (equation(f"∂L/∂x{here}", number(f"δ[{k + 1}]", slide.delta[sample, k]), slide.dx[sample, k]),)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return signal.unchanged()

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        return code.flat(x, here)

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return code.flat(x, here)

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        return code.call(here, x, "flatten", NUMPY)


NUMPY = """
def flatten(x):
    return x.reshape(len(x), -1)

def flatten_backward(dy, x):
    return dy.reshape(x.shape)
"""


@kernel
def flatten_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = x. Row: x, y, width."""
    count = context[ROWS] * row[3]
    x, y = block(arena, row[1], count), block(arena, row[2], count)
    for i in range(count):
        y[i] = x[i]


@kernel
def flatten_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = dy. Row: dx, dy, width."""
    count = context[ROWS] * row[3]
    dx, dy = block(arena, row[1], count), block(arena, row[2], count)
    for i in range(count):
        dx[i] = dy[i]
