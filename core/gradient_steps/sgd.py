"""Stochastic gradient descent walks straight downhill: w = w - learning rate * gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..text import N_
from ..worked import Equation, StepSlide
from .base import LearningRate, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("sgd")
class Sgd(Optimizer, frozen=True, kw_only=True, tag="sgd"):
    """Plain gradient descent on minibatches."""

    label: ClassVar[str] = N_("SGD")
    formula: ClassVar[str] = "Δw = −η ∇w"
    source: ClassVar[str] = "Robbins & Monro 1951; torch.optim.SGD"
    learning_rate: LearningRate = 0.1

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        build.update(sgd_update, tensor.gradient, tensor.update, tensor.parameter.count, build.rate)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        return worked_update(slide, slide.eta * slide.g)

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.built_in("torch.optim.SGD(p.values(), lr=LEARNING_RATE)")

    def to_keras(self, code: KerasScript) -> None:
        code.built_in("keras.optimizers.SGD(LEARNING_RATE)")

    def to_code(self, code: Script) -> None:
        code.optimize(f"""
            for name in g:
                {code.subtract("p[name]", "rate * g[name]")}
        """)


@kernel
def sgd_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """update = rate * gradient. Row: gradient, update, count, rate in hyper."""
    g, u = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    rate = g.dtype.type(hyper[row[4]])
    for i in range(g.size):
        u[i] = rate * g[i]
