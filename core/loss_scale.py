"""Loss scaling keeps the small gradients of 16-bit numbers from being rounded to zero: the gradient of the loss is
multiplied by a large number before the way back, and the gradients of the weights are divided by it in float32 before
they are used.

The slopes in between are linear in the gradient, so nothing else changes; only the place of the numbers in the narrow
range of float16 does. A scale that is too large makes gradients infinite: then the weights stay as they are for that
step, and a dynamic scale goes down (torch.amp.GradScaler's rules). With 32 or 64 bits it works too, and gains nothing.

The record is about the loss itself: norms and ranges of gradients are divided by the scale; counts of underflow and
overflow are of the scaled numbers, which are the ones that are rounded. Of a skipped step it says `skipped` 1, the norm
of the gradient as it came out (infinite or NaN), the weights as they are with an update ratio of 0, and NaN for all
that was not computed: penalties, norms behind the links of the chain. Averages of weights go on, the optimizer does
not remember anything of it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from .engine.kernel import intrinsic, kernel
from .engine.layout import ROWS, SKIP_TO
from .engine.memory import block
from .fields import Kind, about
from .registry import Registry
from .text import N_
from .worked import Equation, StepSlide, equation, number

if TYPE_CHECKING:
    from .engine.program import Builder

magnitude_bits = intrinsic("magnitude_bits")

RUN_COLUMNS = ("loss_scale", "skipped")
SMALLEST = 2.0**-126  # a dynamic scale stops falling there; its inverse is still a float32


class LossScale(Kind, frozen=True, kw_only=True):
    """What the gradient of the loss is multiplied by."""

    registry: ClassVar[Registry[type[LossScale]]] = Registry(N_("loss scale"))

    # what is remembered between steps, as for an optimizer
    slots: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()

    def place(self, build: Builder) -> int:
        """Where in `hyper` the scale of the step stands while its gradients are computed."""
        raise NotImplementedError

    def factor_of(self, slide: StepSlide) -> float:
        """The scale of the step under the microscope."""
        raise NotImplementedError

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        """How one gradient of the scaled loss becomes that of the loss, with the numbers of the step."""
        g = number("∂(S L)/∂w", slide.before.gradient[slide.index]) / number("S", self.factor_of(slide))
        return (equation("g", g, slide.new_gradient),)

    def begin(self, build: Builder, scale: int) -> None:
        """Write what is done before the way back. `scale` is what `place` gave."""

    def end(self, build: Builder, overflowed: int) -> None:
        """Write what is done when the gradients are known. `overflowed` in `hyper` is 1 if one is not finite."""


@LossScale.registry.add("static")
class StaticScale(LossScale, frozen=True, kw_only=True, tag="static"):
    """Always the same scale. A step in which a gradient overflows changes no weights."""

    label: ClassVar[str] = N_("Static")
    formula: ClassVar[str] = "g = (1/S) ∂(S L)/∂W"
    source: ClassVar[str] = "Micikevicius et al. 2018 (arXiv 1710.03740), section 3.2"

    factor: Annotated[
        float,
        about(
            N_("factor"),
            N_("The gradient of the loss is multiplied by this number; powers of two round nothing."),
            minimum=2.0**-24,
            maximum=2.0**64,
            scale="log",
            live=True,
        ),
    ] = 1024.0

    def factor_of(self, slide: StepSlide) -> float:
        return slide.live("factor", self.factor)

    def place(self, build: Builder) -> int:
        return build.live("training.loss_scale.factor", self.factor)


@LossScale.registry.add("dynamic")
class DynamicScale(LossScale, frozen=True, kw_only=True, tag="dynamic"):
    """The largest scale that fits: it falls when a gradient overflows and grows again after many steps without."""

    label: ClassVar[str] = N_("Dynamic")
    formula: ClassVar[str] = "S ← b S after an overflow,  S ← a S after n steps without"
    source: ClassVar[str] = "torch.amp.GradScaler; Micikevicius et al. 2018 (arXiv 1710.03740), section 3.2"
    scalars: ClassVar[tuple[str, ...]] = ("loss_scale", "loss_scale_waited")

    initial: Annotated[
        float,
        about(N_("initial scale"), N_("Scale of the first step."), minimum=2.0**-24, maximum=2.0**64, scale="log"),
    ] = 65536.0
    growth: Annotated[
        float, about(N_("growth"), N_("The scale is multiplied by this number to grow."), above=1.0, maximum=1024.0)
    ] = 2.0
    backoff: Annotated[
        float,
        about(N_("backoff"), N_("The scale is multiplied by this number after an overflow."), above=0.0, below=1.0),
    ] = 0.5
    interval: Annotated[
        int,
        about(
            N_("interval"),
            N_("Steps without overflow after which the scale grows."),
            unit=N_("steps"),
            minimum=1,
            maximum=1_000_000,
            scale="log",
        ),
    ] = 2000

    def factor_of(self, slide: StepSlide) -> float:
        return slide.begun["loss_scale"] or self.initial

    def place(self, build: Builder) -> int:
        return build.constant(self.initial)

    def begin(self, build: Builder, scale: int) -> None:
        build.backward(recall_scale, build.scalar("loss_scale"), scale, build.constant(self.initial))

    def end(self, build: Builder, overflowed: int) -> None:
        rule = build.constants(self.growth, self.backoff)
        places = build.scalar("loss_scale"), build.scalar("loss_scale_waited")
        build.update(adapt_scale, *places, overflowed, rule, self.interval)


@kernel
def recall_scale(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The scale of this step is the one that is remembered; the initial one in the first step, when that is zero.

    Row: remembered scale, scale in hyper, initial scale in hyper.
    """
    s = block(arena, row[1], 1)
    if s[0] == 0:
        s[0] = hyper[row[3]]
    hyper[row[2]] = s[0]


@kernel
def scale_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = scale dy. Row: dy, width, scale in hyper, column of the scale."""
    g = block(arena, row[1], context[ROWS] * row[2])
    scale = g.dtype.type(hyper[row[3]])
    statistics[row[4]] = hyper[row[3]]
    for i in range(g.size):
        g[i] *= scale


@kernel
def unscale_measured(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Numbers that were measured of a scaled gradient are divided by the scale: the record is about the loss itself.

    Row: first column, how many, scale in hyper.
    """
    for i in range(row[2]):
        statistics[row[1] + i] /= hyper[row[3]]


@kernel
def begin_unscaling(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """No gradient has overflowed yet. Row: overflowed in hyper."""
    hyper[row[1]] = 0.0


@kernel
def unscale_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """g = g / scale, by way of the inverse as torch.amp does, and a look whether all of it is finite.

    Row: gradient, count, scale in hyper, overflowed in hyper.
    """
    g = block(arena, row[1], row[2])
    inverse = g.dtype.type(1.0 / hyper[row[3]])
    infinite = magnitude_bits(g.dtype.type(np.inf))
    strange = np.int64(0)
    for i in range(g.size):
        strange += np.int64(magnitude_bits(g[i]) >= infinite)
        g[i] *= inverse
    if strange > 0:
        hyper[row[4]] = 1.0


@kernel
def adapt_scale(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The scale of the next step.

    Row: remembered scale, steps without overflow, overflowed in hyper, growth and backoff in hyper, interval.
    """
    s, waited = block(arena, row[1], 1), block(arena, row[2], 1)
    one = s.dtype.type(1)
    if hyper[row[3]] > 0:
        s[0] = max(s[0] * s.dtype.type(hyper[row[4] + 1]), s.dtype.type(SMALLEST))
        waited[0] = 0
        return
    waited[0] += one
    if waited[0] >= row[5]:
        grown = s[0] * s.dtype.type(hyper[row[4]])
        if grown < s.dtype.type(np.inf):
            s[0] = grown
        waited[0] = 0


@kernel
def report_still_weight(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Where the step is skipped: the norm of weights that stay as they are, and an update of 0.

    Row: w, count, column of the norm, overflowed in hyper.
    """
    if hyper[row[4]] > 0:
        w = block(arena, row[1], row[2])
        squares = 0.0
        for i in range(w.size):
            squares += np.float64(w[i]) * np.float64(w[i])
        statistics[row[3]] = math.sqrt(squares)
        statistics[row[3] + 1] = 0.0


@kernel
def skip_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Where a gradient is not finite, the rows that change the weights are passed over.

    Row: overflowed in hyper, its column, the row to go on with.
    """
    statistics[row[2]] = hyper[row[1]]
    if hyper[row[1]] > 0:
        context[SKIP_TO] = row[3]
