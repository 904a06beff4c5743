"""Dropout switches off a random part of its input at every training step, so that no unit can rely on another one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..engine.kernel import kernel
from ..engine.layout import ROWS, STEP
from ..engine.memory import block
from ..engine.random import draw
from ..fields import about
from ..text import N_, _
from ..worked import Equation, LayerSlide, constant, equation, number
from .base import Group, Layer, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal

PURPOSE = "dropout"
UPPER = np.uint64(11)  # bits of a draw that are not used: 53 remain, as many as a float64 holds
UNIT = 2.0**-53


@Layer.registry.add("dropout")
class Dropout(Layer, frozen=True, kw_only=True, tag="dropout"):
    """Sets each number to zero with probability `rate` and multiplies the others by 1 / (1 - rate); does nothing when
    the network is evaluated.
    """

    label: ClassVar[str] = N_("Dropout")
    formula: ClassVar[str] = "y = m x / (1 − p),  m = 0 with probability p, else 1"
    source: ClassVar[str] = "Srivastava et al. 2014; inverted form of torch.nn.Dropout"
    main_fields: ClassVar[tuple[str, ...]] = ("rate",)
    group: ClassVar[Group] = "regularization"

    rate: Annotated[
        float,
        about(
            N_("rate"),
            N_("Share of the numbers that is switched off. May be changed while training."),
            minimum=0.0,
            maximum=0.95,
            live=True,
        ),
    ] = 0.5

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return given

    def room(self, given: Shape, samples: int) -> int:
        return samples * math.prod(given)

    def emit(self, build: Builder, x: Wire) -> Wire:
        if not build.training:
            return x
        y = build.wire(x.shape)
        mask = build.scratch(build.batch_size * x.width, N_("mask"))
        rate = build.live(build.here("rate"), self.rate)
        build.forward(dropout_forward, x.at, y.at, mask, x.width, rate, build.stream(PURPOSE))
        if x.gradient >= 0:
            build.backward(dropout_backward, build.gradient_of(x), y.gradient, mask, x.width)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        sample, k, here = slide.sample, slide.unit, slide.place(slide.unit, slide.shape)
        rate = slide.live("rate", self.rate)
        # the draw of exactly this number: the mask is a function of the place and the step alone
        stream = int(random.bits(slide.key(PURPOSE), 1, slide.step)[0])
        drawn = float(random.bits(stream, 1, sample * slide.flat(slide.y).shape[1] + k)[0] >> UPPER) * UNIT
        mask = number("m", float(drawn >= rate))
        kept = constant(1.0) - number("p", rate)
        words = _("m is drawn: 0 with probability p, else 1")
        if slide.phase == "forward":
            y = mask * number(f"x{here}", slide.flat(slide.x)[sample, k]) / kept
            return (equation(f"y{here}", y, slide.flat(slide.y)[sample, k], words),)
        if slide.dx is None:
            return ()
        dx = mask * number("δ", slide.delta[sample, k]) / kept
        return (equation(f"∂L/∂x{here}", dx, slide.dx[sample, k], words),)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return signal.through_dropout(self.rate)

    def trace(self, key: Callable[[str], int], steps: NDArray[np.int64], rows: int, given: Shape) -> dict[str, Any]:
        """`mask`: (steps, rows, *given), 1 where a number passes."""
        masks = np.empty((len(steps), rows * math.prod(given)), dtype=np.uint8)
        for index, step in enumerate(steps):
            stream = int(random.bits(key(PURPOSE), 1, int(step))[0])
            uniform = (random.bits(stream, masks.shape[1]) >> UPPER).astype(np.float64) * UNIT
            masks[index] = uniform >= self.rate
        return {"mask": masks.reshape(len(steps), rows, *given)}

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        code.line("if self.training:")
        code.line(f"    x = {x} * {code.mask(here, x)} / (1 - {code.number(self.rate)})")
        return "x"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        code.line("if training:")
        code.line(f"    x = {x} * {code.mask(here, x)} / (1 - {code.number(self.rate)})")
        return "x"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        trained = code.call(here, x, "dropout", NUMPY, code.mask(here, x), code.number(self.rate))
        return f"{trained} if training else {x}" if code.evaluates else trained


NUMPY = '''
def dropout(x, mask, rate):
    """y = m x / (1 - p), m = 0 with probability p, else 1"""
    return x * mask / (1 - rate)

def dropout_backward(dy, x, mask, rate):
    return dy * mask / (1 - rate)
'''


@kernel
def dropout_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = x mask, mask 0 or 1 / (1 - rate). A number that passes at one rate passes at every smaller one.

    Row: x, y, mask, width, rate in hyper, key of the stream.
    """
    count = context[ROWS] * row[4]
    x, y, mask = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    rate = hyper[row[5]]
    stream = draw(row[6], context[STEP])
    kept, nothing = x.dtype.type(1.0 / (1.0 - rate)), x.dtype.type(0)
    for i in range(count):
        mask[i] = kept if np.float64(draw(stream, i) >> UPPER) * UNIT >= rate else nothing
    for i in range(count):
        y[i] = x[i] * mask[i]


@kernel
def dropout_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = dy mask. Row: dx, dy, mask, width."""
    count = context[ROWS] * row[4]
    dx, dy, mask = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    for i in range(count):
        dx[i] = dy[i] * mask[i]
