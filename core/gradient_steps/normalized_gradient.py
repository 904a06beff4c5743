"""The normalized gradient keeps the direction of the gradient and forgets its length: w = w - rate * g / ||g||.

The lesson text "Training Tricks" of the course AI for Beginners divides by the norm of the gradient in this way and
calls that Adagrad. Adagrad (`adagrad.py`) divides every single weight's gradient by the root of the sum of its own
squares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, StepSlide, chosen, constant, equation
from .base import LearningRate, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.script import Script


@Optimizer.registry.add("normalized_gradient")
class NormalizedGradient(Optimizer, frozen=True, kw_only=True, tag="normalized_gradient"):
    """Every step is as long as the learning rate says: the gradient of the whole network is divided by its norm.

    All layers are divided by one number, so a gradient that has vanished in the early layers stays small against the
    others. The lesson text of AI for Beginners calls this rule Adagrad. A gradient of exactly zero has no direction:
    the weights stay.
    """

    label: ClassVar[str] = N_("Normalized gradient")
    formula: ClassVar[str] = "Δw = −η ∇w / ‖∇‖"
    source: ClassVar[str] = "Shor 1985 (gradient divided by its norm); AI for Beginners calls it Adagrad"
    uses_norm: ClassVar[bool] = True

    learning_rate: LearningRate = 0.1

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        count = tensor.parameter.count
        build.update(normalized_update, tensor.gradient, tensor.update, count, build.rate, build.norm)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        length = equation("‖g‖", slide.norm, words=_("over all parameters of the network"))
        norm = slide.norm.named("‖g‖")
        if norm.value == 0.0:
            return worked_update(slide, chosen("0 where ‖g‖ = 0", constant(0.0)), length)
        return worked_update(slide, slide.eta * slide.g / norm, length)

    def to_code(self, code: Script) -> None:
        code.optimize(f"""
            norm = {code.norm("g")}
            for name in g:
                {code.subtract("p[name]", "rate * g[name] / norm")}
        """)


@kernel
def normalized_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """update = rate * gradient / norm; 0 where the norm is. Row: gradient, update, count, rate and norm in hyper."""
    g, u = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    norm = hyper[row[5]]
    # In float64: the quotient of rate and a norm of 1e-40 is no float32 number, though the update is one.
    factor = 0.0 if norm == 0.0 else hyper[row[4]] / norm
    for i in range(g.size):
        u[i] = g.dtype.type(factor * np.float64(g[i]))
