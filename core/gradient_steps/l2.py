"""L2 adds the sum of the squared weights to the loss: each weight is pulled toward zero in proportion to its size.

The penalty is strength / 2 * sum of w^2, its gradient strength * w (what torch.optim calls weight_decay).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import PENALTY
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, StepSlide, equation, number
from .base import Regularizer, Stage, Strength

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Regularizer.registry.add("l2")
class L2(Regularizer, frozen=True, kw_only=True, tag="l2"):
    """A penalty on the squares of the weights: large weights are pulled hardest, none becomes exactly zero.

    Acts on weights, not on biases or on scale and shift of normalizations. Keras writes the penalty as strength * sum
    of w^2: its strength is half of this one.
    """

    label: ClassVar[str] = N_("L2")
    formula: ClassVar[str] = "∇w ← ∇w + λ w"
    source: ClassVar[str] = "Krogh & Hertz 1992; weight_decay of torch.optim.SGD"
    stage: ClassVar[Stage] = "penalty"

    strength: Strength = 1e-4

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        if tensor.parameter.regularized:
            strength = build.live(f"{place}.strength", self.strength)
            build.update(add_l2, tensor.master, tensor.gradient, tensor.parameter.count, strength)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        if not slide.regularized:
            return (equation("g", slide.g, slide.new_gradient, _("penalties act on weights only")),)
        strength = number("λ", slide.live("strength", self.strength))
        return (equation("g", slide.g + strength * slide.w, slide.new_gradient),)

    def to_pytorch(self, code: PyTorchScript) -> None:
        self._to_loss(code)

    def to_keras(self, code: KerasScript) -> None:
        self._to_loss(code)

    def _to_loss(self, code: PyTorchScript | KerasScript) -> None:
        total = f"sum({code.package}.sum(p[name] ** 2) for name in weights)"
        code.penalty("L2: pulls large weights most", f"{code.number(0.5 * self.strength)} * {total}")

    def to_code(self, code: Script) -> None:
        code.change_gradients(f"""
            # L2: pulls large weights most
            for name in weights:
                g[name] += {code.number(self.strength)} * p[name]
        """)


@kernel
def add_l2(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """gradient += strength * w, penalty += strength / 2 * sum of w^2. Row: w, gradient, count, strength in hyper."""
    w, g = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    strength = w.dtype.type(hyper[row[4]])
    squares = 0.0
    for i in range(w.size):
        squares += np.float64(w[i]) * np.float64(w[i])
        g[i] += strength * w[i]
    statistics[PENALTY] += 0.5 * hyper[row[4]] * squares
