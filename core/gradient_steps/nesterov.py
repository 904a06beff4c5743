"""Nesterov's momentum looks ahead: it steps with the velocity that the ball is about to have.

v = momentum * v + gradient; w = w - learning rate * (gradient + momentum * v), the form of torch.optim.SGD(nesterov).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..text import N_
from ..worked import Equation, StepSlide, equation, number
from .base import LearningRate, MomentumShare, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("nesterov")
class Nesterov(Optimizer, frozen=True, kw_only=True, tag="nesterov"):
    """Momentum that corrects itself earlier: the present gradient counts at once and again through the velocity."""

    label: ClassVar[str] = N_("Nesterov")
    formula: ClassVar[str] = "v ← μ v + ∇w,  Δw = −η (∇w + μ v)"
    source: ClassVar[str] = "Nesterov 1983; Sutskever et al. 2013; torch.optim.SGD(nesterov=True)"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    learning_rate: LearningRate = 0.1
    momentum: MomentumShare = 0.9

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        velocity = build.slot("velocity", tensor)
        share = build.live(f"{place}.momentum", self.momentum)
        count = tensor.parameter.count
        build.update(nesterov_update, tensor.gradient, velocity, tensor.update, count, build.rate, share)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        share = number("μ", slide.live("momentum", self.momentum))
        v = share * slide.slot("v", "velocity") + slide.g
        update = slide.eta * (slide.g + share * v.named("v"))
        return worked_update(slide, update, equation("v", v, slide.kept("velocity")))

    def to_pytorch(self, code: PyTorchScript) -> None:
        share = f", momentum={code.number(self.momentum)}, nesterov=True" if self.momentum else ""
        code.built_in(f"torch.optim.SGD(p.values(), lr=LEARNING_RATE{share})")

    def to_keras(self, code: KerasScript) -> None:
        if code.rate_changes:
            code.note("keras.optimizers.SGD keeps the rate inside of the velocity; here it stays outside")
            self.to_code(code)
        else:
            share = code.number(self.momentum)
            code.built_in(f"keras.optimizers.SGD(LEARNING_RATE, momentum={share}, nesterov=True)")

    def to_code(self, code: Script) -> None:
        share = code.number(self.momentum)
        code.slots("velocity")
        code.optimize(f"""
            for name in g:
                velocity[name] = {share} * velocity[name] + g[name]
                {code.subtract("p[name]", f"rate * (g[name] + {share} * velocity[name])")}
        """)


@kernel
def nesterov_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """v = share * v + gradient, update = rate * (gradient + share * v). Row: gradient, v, update, count, rate and share
    in hyper.
    """
    g, v, u = block(arena, row[1], row[4]), block(arena, row[2], row[4]), block(arena, row[3], row[4])
    rate, share = g.dtype.type(hyper[row[5]]), g.dtype.type(hyper[row[6]])
    for i in range(g.size):
        v[i] = share * v[i] + g[i]
        u[i] = rate * (g[i] + share * v[i])
