"""Lion moves every weight by the same amount and asks the gradient only for the direction: the sign of a running mean.

w = w - rate * (sign(b1 m + (1 - b1) g) + decay * w), m = b2 m + (1 - b2) g; as keras.optimizers.Lion, torch has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import about
from ..text import N_
from ..worked import Equation, StepSlide, constant, equation, function, number
from .base import LearningRate, Optimizer, WeightDecay, add_decay, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.script import Script


@Optimizer.registry.add("lion")
class Lion(Optimizer, frozen=True, kw_only=True, tag="lion"):
    """Steps by the sign of a mean of gradients: every weight moves by the learning rate, so it must be smaller than for
    Adam.
    """

    label: ClassVar[str] = N_("Lion")
    formula: ClassVar[str] = "Δw = −η (sign(β₁ m + (1 − β₁)∇w) + λ w),  m ← β₂ m + (1 − β₂)∇w"
    source: ClassVar[str] = "Chen et al. 2023 (arXiv 2302.06675), algorithm 2; keras.optimizers.Lion"
    slots: ClassVar[tuple[str, ...]] = ("direction",)

    learning_rate: LearningRate = 1e-4
    beta1: Annotated[
        float,
        about(
            N_("beta 1"),
            N_("Share of the mean in the direction of the step; the present gradient has the rest."),
            minimum=0.0,
            below=1.0,
            live=True,
        ),
    ] = 0.9
    beta2: Annotated[
        float,
        about(N_("beta 2"), N_("Share of the mean kept at every step."), minimum=0.0, below=1.0, live=True),
    ] = 0.99
    weight_decay: WeightDecay = 0.0

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        count = tensor.parameter.count
        mean = build.slot("direction", tensor)
        beta1, beta2 = build.live(f"{place}.beta1", self.beta1), build.live(f"{place}.beta2", self.beta2)
        build.update(lion_update, tensor.gradient, mean, tensor.update, count, build.rate, beta1, beta2)
        if tensor.parameter.regularized:
            decay = build.live(f"{place}.weight_decay", self.weight_decay)
            build.update(add_decay, tensor.master, tensor.update, count, build.rate, decay)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        beta1, beta2 = number("β₁", slide.live("beta1", self.beta1)), number("β₂", slide.live("beta2", self.beta2))
        before, one = slide.slot("m", "direction"), constant(1.0)
        mixed = beta1 * before + (one - beta1) * slide.g
        sign = function("sign({})", np.sign(mixed.value), mixed.named("c"))
        kept = beta2 * before + (one - beta2) * slide.g
        update = sign
        if slide.regularized:
            update = sign + number("λ", slide.live("weight_decay", self.weight_decay)) * slide.w
        found = equation("c", mixed), equation("m", kept, slide.kept("direction"))
        return worked_update(slide, slide.eta * update, *found)

    def to_keras(self, code: KerasScript) -> None:
        if self.beta1 == 0.0:  # which Keras refuses
            self.to_code(code)
            return
        code.decouple(self.weight_decay)
        betas = f"beta_1={code.number(self.beta1)}, beta_2={code.number(self.beta2)}"
        code.built_in(f"keras.optimizers.Lion(LEARNING_RATE, {betas})")

    def to_code(self, code: Script) -> None:
        code.decouple(self.weight_decay)
        beta1, beta2 = code.number(self.beta1), code.number(self.beta2)
        code.slots("direction")
        code.optimize(f"""
            for name in g:
                sign = {code.package}.sign({beta1} * direction[name] + (1 - {beta1}) * g[name])
                {code.subtract("p[name]", "rate * sign")}
                direction[name] = {beta2} * direction[name] + (1 - {beta2}) * g[name]
        """)


@kernel
def lion_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """update = rate * sign(beta1 m + (1 - beta1) gradient), m = beta2 m + (1 - beta2) gradient. Row: gradient, m,
    update, count, rate, beta1 and beta2 in hyper.
    """
    g, m, u = block(arena, row[1], row[4]), block(arena, row[2], row[4]), block(arena, row[3], row[4])
    rate = g.dtype.type(hyper[row[5]])
    keep1, rest1 = g.dtype.type(hyper[row[6]]), g.dtype.type(1.0 - hyper[row[6]])
    keep2, rest2 = g.dtype.type(hyper[row[7]]), g.dtype.type(1.0 - hyper[row[7]])
    nothing = g.dtype.type(0)
    for i in range(g.size):
        mixed = keep1 * m[i] + rest1 * g[i]
        # zero moves nothing, and what is no number stays none
        u[i] = rate if mixed > nothing else (-rate if mixed < nothing else mixed)
        m[i] = keep2 * m[i] + rest2 * g[i]
