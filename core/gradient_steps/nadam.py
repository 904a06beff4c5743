"""Nadam is Adam with Nesterov's look ahead: the present gradient counts at once and again through its mean.

The share of the mean grows over the first steps: mu_t = b1 (1 - 0.96^(t psi) / 2). The form of torch.optim.NAdam.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import about
from ..text import N_, _
from ..worked import Equation, StepSlide, Term, constant, equation, number, power
from .base import LearningRate, Optimizer
from .moments import MomentOptimizer

if TYPE_CHECKING:
    from ..engine.program import Builder
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("nadam")
class Nadam(MomentOptimizer, frozen=True, kw_only=True, tag="nadam"):
    """Adam that steps along the mean as it will be, a mix of the running mean and the present gradient."""

    label: ClassVar[str] = N_("Nadam")
    formula: ClassVar[str] = "Δw = −η (μₜ₊₁ m / (1 − Π₁ᵗ⁺¹ μ) + (1 − μₜ)∇w / (1 − Π₁ᵗ μ)) / (√v̂ + ε)"
    source: ClassVar[str] = "Dozat 2016; torch.optim.NAdam"

    # The product of all mu so far, in two numbers: the second holds what the first rounds off in float32.
    scalars: ClassVar[tuple[str, ...]] = ("steps", "product", "product_rest")

    learning_rate: LearningRate = 0.002
    psi: Annotated[
        float,
        about(
            N_("psi"),
            N_("How fast the share of the mean grows to beta 1. PyTorch: 0.004 (momentum_decay), Keras: 1."),
            minimum=0.0,
            maximum=100.0,
            scale="log",
            live=True,
        ),
    ] = 0.004

    def begin(self, build: Builder, place: str) -> None:
        build.update(
            correct_nadam,
            build.scalar("steps"),
            build.scalar("product"),
            build.scalar("product_rest"),
            build.live(f"{place}.beta1", self.beta1),
            build.live(f"{place}.beta2", self.beta2),
            build.live(f"{place}.psi", self.psi),
            build.shared(f"{place}.factors", 3),
        )

    def worked_mean(self, slide: StepSlide, m: Term, beta1: Term, t: float) -> tuple[Term, tuple[Equation, ...]]:
        share = self.worked_share(slide, beta1, "t", t)
        coming = self.worked_share(slide, beta1, "t+1", t + 1.0)
        before = 1.0 if t <= 1.0 else slide.begun["product"] + slide.begun["product_rest"]
        product = number("Πμ", before) * share.named("μₜ")
        one, all_of_them = constant(1.0), product.named("Π")
        ahead = coming.named("μₜ₊₁")
        mean = ahead * m / (one - all_of_them * ahead) + (one - share.named("μₜ")) * slide.g / (one - all_of_them)
        found = (
            equation("μₜ", share, words=_("the share of the mean at step t = {step}").format(step=f"{t:.0f}")),
            equation("μₜ₊₁", coming),
            equation("Π", product, slide.scalars["product"] + slide.scalars["product_rest"]),
            equation("m′", mean),
        )
        return mean.named("m′"), found

    def worked_share(self, slide: StepSlide, beta1: Term, name: str, t: float) -> Term:
        """The share of the mean at a step."""
        psi = number("ψ", slide.live("psi", self.psi))
        return beta1 * (constant(1.0) - constant(0.5) * power(constant(0.96), f"({name}) ψ", t * psi.value))

    def to_pytorch(self, code: PyTorchScript) -> None:
        settings = f"{self.torch_settings(code)}, momentum_decay={code.number(self.psi)}"
        code.built_in(f"torch.optim.NAdam(p.values(), {settings})")

    def to_keras(self, code: KerasScript) -> None:
        code.note("keras.optimizers.Nadam lets the share of the mean grow with psi = 1, and has another epsilon")
        self.to_code(code)

    def to_code(self, code: Script) -> None:
        beta1, beta2 = code.number(self.beta1), code.number(self.beta2)
        code.slots("m", "v")
        code.before("product = 1.0  # of all shares of the mean so far")
        code.define(f"""
            def mean_share(n):
                return {beta1} * (1 - 0.5 * 0.96 ** (n * {code.number(self.psi)}))
        """)
        code.optimize(f"""
            n = step + 1
            share, coming = mean_share(n), mean_share(n + 1)
            product *= share
            for name in g:
                m[name] = {beta1} * m[name] + (1 - {beta1}) * g[name]
                v[name] = {beta2} * v[name] + (1 - {beta2}) * g[name] ** 2
                mean = coming * m[name] / (1 - product * coming) + (1 - share) * g[name] / (1 - product)
                root = {code.package}.sqrt(v[name] / (1 - {beta2} ** n))
                {code.subtract("p[name]", f"rate * mean / (root + {code.number(self.epsilon)})")}
        """)


@kernel
def correct_nadam(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One more step; the factors a, b, c of `moments_update`: a = mu_(t+1) / (1 - product up to t+1),
    b = (1 - mu_t) / (1 - product up to t), c = 1 / sqrt(1 - beta2^t).

    Row: steps, product, its rest; beta1, beta2, psi and the first of the factors in hyper.
    """
    arena[row[1]] += block(arena, 0, 1).dtype.type(1)
    steps = float(arena[row[1]])
    share = hyper[row[4]] * (1.0 - 0.5 * 0.96 ** (steps * hyper[row[6]]))
    coming = hyper[row[4]] * (1.0 - 0.5 * 0.96 ** ((steps + 1.0) * hyper[row[6]]))
    product = share
    if steps > 1.0:
        product = share * (float(arena[row[2]]) + float(arena[row[3]]))
    arena[row[2]] = product
    arena[row[3]] = product - float(arena[row[2]])
    hyper[row[7]] = coming / (1.0 - product * coming)
    hyper[row[7] + 1] = (1.0 - share) / (1.0 - product)
    hyper[row[7] + 2] = 1.0 / math.sqrt(1.0 - hyper[row[5]] ** steps)
