"""L1 adds the sum of the sizes of the weights to the loss: all are pulled toward zero alike, and many end there.

The penalty is strength * sum of |w|, its gradient strength * sign(w).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import PENALTY
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, StepSlide, equation, function, number
from .base import Regularizer, Stage, Strength

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Regularizer.registry.add("l1")
class L1(Regularizer, frozen=True, kw_only=True, tag="l1"):
    """A penalty on the sizes of the weights: small weights are pulled as hard as large ones, so few stay.

    Acts on weights, not on biases or on scale and shift of normalizations. A weight of exactly zero is not pulled.
    """

    label: ClassVar[str] = N_("L1")
    formula: ClassVar[str] = "∇w ← ∇w + λ sign(w)"
    source: ClassVar[str] = "Tibshirani 1996 (the lasso); λ · w.abs().sum() in PyTorch, keras.regularizers.L1"
    stage: ClassVar[Stage] = "penalty"

    strength: Strength = 1e-4

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        if tensor.parameter.regularized:
            strength = build.live(f"{place}.strength", self.strength)
            build.update(add_l1, tensor.master, tensor.gradient, tensor.parameter.count, strength)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        if not slide.regularized:
            return (equation("g", slide.g, slide.new_gradient, _("penalties act on weights only")),)
        strength, sign = number("λ", slide.live("strength", self.strength)), np.sign(slide.w.value)
        return (equation("g", slide.g + strength * function("sign({})", sign, slide.w), slide.new_gradient),)

    def to_pytorch(self, code: PyTorchScript) -> None:
        self._to_loss(code)

    def to_keras(self, code: KerasScript) -> None:
        self._to_loss(code)

    def _to_loss(self, code: PyTorchScript | KerasScript) -> None:
        total = f"sum({code.package}.sum({code.package}.abs(p[name])) for name in weights)"
        code.penalty("L1: pulls all weights alike", f"{code.number(self.strength)} * {total}")

    def to_code(self, code: Script) -> None:
        code.change_gradients(f"""
            # L1: pulls all weights alike
            for name in weights:
                g[name] += {code.number(self.strength)} * {code.package}.sign(p[name])
        """)


@kernel
def add_l1(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """gradient += strength * sign(w), penalty += strength * sum of |w|. Row: w, gradient, count, strength in hyper."""
    w, g = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    strength, nothing = w.dtype.type(hyper[row[4]]), w.dtype.type(0)
    total = 0.0
    for i in range(w.size):
        total += abs(np.float64(w[i]))
        # zero is not pulled, and what is no number stays none
        g[i] += strength if w[i] > nothing else (-strength if w[i] < nothing else w[i])
    statistics[PENALTY] += hyper[row[4]] * total
