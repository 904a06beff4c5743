"""Clipping by value cuts every single number of the gradient to a range, which changes the gradient's direction.

The rule of torch.nn.utils.clip_grad_value_.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.memory import block
from ..text import N_
from ..worked import Equation, StepSlide, equation, function, number
from .base import Clipping, Threshold

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Clipping.registry.add("value")
class ValueClipping(Clipping, frozen=True, kw_only=True, tag="value"):
    """Cuts each number of the gradient to at most the threshold in size."""

    label: ClassVar[str] = N_("Value")
    formula: ClassVar[str] = "∇ᵢ ← max(−c, min(c, ∇ᵢ))"
    source: ClassVar[str] = "Mikolov 2012; torch.nn.utils.clip_grad_value_"

    threshold: Threshold = 1.0

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        threshold = build.live(f"{place}.threshold", self.threshold)
        build.update(clip_values, tensor.gradient, tensor.parameter.count, threshold)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        c = number("c", slide.live("threshold", self.threshold))
        cut = function("max(−{0}, min({0}, {1}))", np.clip(slide.g.value, -c.value, c.value), c, slide.g)
        return (equation("g", cut, slide.new_gradient),)

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.change_gradients(f"nn.utils.clip_grad_value_(p.values(), {code.number(self.threshold)})")

    def to_code(self, code: Script) -> None:
        limit = code.number(self.threshold)
        code.change_gradients(f"""
            # clipping: every number of the gradient is cut to at most {limit} in size
            for name in g:
                g[name] = {code.package}.clip(g[name], -{limit}, {limit})
        """)


@kernel
def clip_values(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """gradient = max(-threshold, min(threshold, gradient)). Row: gradient, count, threshold in hyper."""
    g = block(arena, row[1], row[2])
    high = g.dtype.type(hyper[row[3]])
    low = -high
    for i in range(g.size):
        # in this order a NaN stays one
        g[i] = low if g[i] < low else (high if g[i] > high else g[i])
