"""Running means of the gradient and of its square, corrected for starting at zero: what Adam and its relatives share.

The number of steps is remembered beside the means, so that going back in time, replaying and forking are exact. The
corrections are computed in float64 once a step.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import about
from ..text import N_, _
from ..worked import Equation, StepSlide, Term, constant, equation, number, power
from .base import Epsilon, LearningRate, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script

Beta1 = Annotated[
    float,
    about(
        N_("beta 1"), N_("Share of the mean of the gradients kept at every step."), minimum=0.0, below=1.0, live=True
    ),
]
Beta2 = Annotated[
    float,
    about(
        N_("beta 2"),
        N_("Share of the mean of the squared gradients kept at every step."),
        minimum=0.0,
        below=1.0,
        live=True,
    ),
]


class MomentOptimizer(Optimizer, frozen=True, kw_only=True):
    """Remembers a running mean m of the gradient and v of its square."""

    slots: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")
    scalars: ClassVar[tuple[str, ...]] = ("steps",)

    learning_rate: LearningRate = 0.001
    beta1: Beta1 = 0.9
    beta2: Beta2 = 0.999
    epsilon: Epsilon = 1e-8

    def begin(self, build: Builder, place: str) -> None:
        beta1, beta2 = build.live(f"{place}.beta1", self.beta1), build.live(f"{place}.beta2", self.beta2)
        build.update(correct_moments, build.scalar("steps"), beta1, beta2, build.shared(f"{place}.factors", 3))

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        build.update(
            moments_update,
            tensor.gradient,
            build.slot("first_moment", tensor),
            build.slot("second_moment", tensor),
            tensor.update,
            tensor.parameter.count,
            build.rate,
            build.live(f"{place}.beta1", self.beta1),
            build.live(f"{place}.beta2", self.beta2),
            build.live(f"{place}.epsilon", self.epsilon),
            build.shared(f"{place}.factors", 3),
        )

    def torch_settings(self, code: PyTorchScript) -> str:
        """The settings that torch.optim's optimizers of this family share."""
        betas = f"({code.number(self.beta1)}, {code.number(self.beta2)})"
        return f"lr=LEARNING_RATE, betas={betas}, eps={code.number(self.epsilon)}"

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        mean, found = self.worked_moments(slide)
        return worked_update(slide, slide.eta * mean, *found)

    def worked_moments(self, slide: StepSlide) -> tuple[Term, tuple[Equation, ...]]:
        """What the learning rate is multiplied by, and the equations of the means behind it."""
        beta1, beta2 = number("β₁", slide.live("beta1", self.beta1)), number("β₂", slide.live("beta2", self.beta2))
        epsilon, one, t = number("ε", slide.live("epsilon", self.epsilon)), constant(1.0), slide.scalars["steps"]
        m = beta1 * slide.slot("m", "first_moment") + (one - beta1) * slide.g
        v = beta2 * slide.slot("v", "second_moment") + (one - beta2) * slide.g.squared()
        ahead, found = self.worked_mean(slide, m.named("m"), beta1, t)
        corrected = v.named("v") / (one - power(beta2, "t", t))
        ratio = ahead / (corrected.named("v′").root() + epsilon)
        return ratio, (
            equation("m", m, slide.kept("first_moment")),
            equation("v", v, slide.kept("second_moment")),
            *found,
            equation("v′", corrected),
        )

    def worked_mean(self, slide: StepSlide, m: Term, beta1: Term, t: float) -> tuple[Term, tuple[Equation, ...]]:
        """The mean corrected for starting at zero, along which the step goes, and its equations."""
        corrected = m / (constant(1.0) - power(beta1, "t", t))
        words = _("corrected for starting at zero, t = {step}").format(step=f"{t:.0f}")
        return corrected.named("m′"), (equation("m′", corrected, words=words),)

    def to_keras(self, code: KerasScript) -> None:
        code.note("Keras adds epsilon before the means are corrected for their start at zero")
        self.to_code(code)

    def to_code(self, code: Script) -> None:
        beta1, beta2 = code.number(self.beta1), code.number(self.beta2)
        code.slots("m", "v")
        code.optimize(f"""
            n = step + 1
            for name in g:
                m[name] = {beta1} * m[name] + (1 - {beta1}) * g[name]
                v[name] = {beta2} * v[name] + (1 - {beta2}) * g[name] ** 2
                mean = m[name] / (1 - {beta1} ** n)
                root = {code.package}.sqrt(v[name] / (1 - {beta2} ** n))
                {code.subtract("p[name]", f"rate * mean / (root + {code.number(self.epsilon)})")}
        """)


@kernel
def moments_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2, update = rate (a m + b g) / (c sqrt(v) + epsilon).

    Row: g, m, v, update, count; rate, beta1, beta2, epsilon and the first of the factors a, b, c in hyper.
    """
    g, m = block(arena, row[1], row[5]), block(arena, row[2], row[5])
    v, u = block(arena, row[3], row[5]), block(arena, row[4], row[5])
    keep1, rest1 = g.dtype.type(hyper[row[7]]), g.dtype.type(1.0 - hyper[row[7]])
    keep2, rest2 = g.dtype.type(hyper[row[8]]), g.dtype.type(1.0 - hyper[row[8]])
    epsilon, scale = g.dtype.type(hyper[row[9]]), g.dtype.type(hyper[row[10] + 2])
    mean, now = g.dtype.type(hyper[row[6]] * hyper[row[10]]), g.dtype.type(hyper[row[6]] * hyper[row[10] + 1])
    for i in range(g.size):
        m[i] = keep1 * m[i] + rest1 * g[i]
        v[i] = keep2 * v[i] + rest2 * (g[i] * g[i])
        u[i] = (mean * m[i] + now * g[i]) / (scale * math.sqrt(v[i]) + epsilon)


@kernel
def correct_moments(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One more step; the factors a = 1 / (1 - beta1^t), b = 0 and c = 1 / sqrt(1 - beta2^t) of `moments_update`.

    Row: steps; beta1, beta2 and the first of the factors in hyper. The count is exact up to 16 million steps in
    float32; the corrections are 1 long before.
    """
    arena[row[1]] += block(arena, 0, 1).dtype.type(1)
    steps = float(arena[row[1]])
    hyper[row[4]] = 1.0 / (1.0 - hyper[row[2]] ** steps)
    hyper[row[4] + 1] = 0.0
    hyper[row[4] + 2] = 1.0 / math.sqrt(1.0 - hyper[row[3]] ** steps)
