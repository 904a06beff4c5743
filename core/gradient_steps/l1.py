"""L1 adds the sum of the sizes of the weights to the loss: all are pulled toward zero alike, and many end there.

The penalty is strength * sum of |w|, its gradient strength * sign(w).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import PENALTY
from ..engine.memory import block
from ..text import N_
from .base import Regularizer, Stage, Strength

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor


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
