"""Momentum lets the weights roll downhill like a heavy ball: past gradients keep pushing.

v = momentum * v + gradient; w = w - learning rate * v (the form of torch.optim.SGD: the rate stays outside of v).
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


@Optimizer.registry.add("momentum")
class Momentum(Optimizer, frozen=True, kw_only=True, tag="momentum"):
    """Gradient descent with a running sum of past gradients; in the long run it multiplies the step by 1 / (1 -
    momentum).
    """

    label: ClassVar[str] = N_("Momentum")
    formula: ClassVar[str] = "v ← μ v + ∇w,  Δw = −η v"
    source: ClassVar[str] = "Polyak 1964; torch.optim.SGD(momentum)"
    slots: ClassVar[tuple[str, ...]] = ("velocity",)

    learning_rate: LearningRate = 0.1
    momentum: MomentumShare = 0.9

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        velocity = build.slot("velocity", tensor)
        share = build.live(f"{place}.momentum", self.momentum)
        count = tensor.parameter.count
        build.update(momentum_update, tensor.gradient, velocity, tensor.update, count, build.rate, share)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        share = number("μ", slide.live("momentum", self.momentum))
        v = share * slide.slot("v", "velocity") + slide.g
        return worked_update(slide, slide.eta * v.named("v"), equation("v", v, slide.kept("velocity")))

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.built_in(f"torch.optim.SGD(p.values(), lr=LEARNING_RATE, momentum={code.number(self.momentum)})")

    def to_keras(self, code: KerasScript) -> None:
        if code.rate_changes:
            code.note("keras.optimizers.SGD keeps the rate inside of the velocity; here it stays outside")
            self.to_code(code)
        else:
            code.built_in(f"keras.optimizers.SGD(LEARNING_RATE, momentum={code.number(self.momentum)})")

    def to_code(self, code: Script) -> None:
        code.slots("velocity")
        code.optimize(f"""
            for name in g:
                velocity[name] = {code.number(self.momentum)} * velocity[name] + g[name]
                {code.subtract("p[name]", "rate * velocity[name]")}
        """)


@kernel
def momentum_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """v = share * v + gradient, update = rate * v. Row: gradient, v, update, count, rate and share in hyper."""
    g, v, u = block(arena, row[1], row[4]), block(arena, row[2], row[4]), block(arena, row[3], row[4])
    rate, share = g.dtype.type(hyper[row[5]]), g.dtype.type(hyper[row[6]])
    for i in range(g.size):
        v[i] = share * v[i] + g[i]
        u[i] = rate * v[i]
