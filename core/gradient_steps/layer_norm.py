"""Clipping by layer shortens the gradient of each layer by itself: one wild layer does not slow down the others.

For all arrays of a layer together: g = g * min(1, threshold / (||g|| + 1e-6)).
"""

from __future__ import annotations

import math
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from ..diagnostics.probes import add_norm, begin_norm
from ..engine.kernel import kernel
from ..text import N_, _
from ..worked import Equation, StepSlide, equation
from .base import Clipping, Threshold, multiply, worked_factor

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.script import Script


@Clipping.registry.add("layer_norm")
class LayerNormClipping(Clipping, frozen=True, kw_only=True, tag="layer_norm"):
    """Scales down the gradients of each layer whose L2 norm, weights and bias together, exceeds the threshold; this
    changes the direction of the whole.
    """

    label: ClassVar[str] = N_("Norm of each layer")
    formula: ClassVar[str] = "∇ₗ ← ∇ₗ · min(1, c / (‖∇ₗ‖ + 10⁻⁶))"
    source: ClassVar[str] = "torch.nn.utils.clip_grad_norm_ for one module at a time"
    knows_norm: ClassVar[bool] = True

    threshold: Threshold = 1.0

    def begin(self, build: Builder, place: str) -> None:
        threshold = build.live(f"{place}.threshold", self.threshold)
        total = build.shared(f"{place}.total")
        build.update(begin_norm, total)
        for path, tensors in groupby(build.trained, key=lambda tensor: tensor.path):
            factor = build.shared(f"{place}.factor.{path}")
            build.update(begin_norm, factor)
            for tensor in tensors:
                build.update(add_norm, tensor.gradient, tensor.parameter.count, -1, factor)
            build.update(clip_layer, factor, threshold, total)
        build.update(end_clipping, total, build.norm)

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        factor = build.shared(f"{place}.factor.{tensor.path}")
        build.update(multiply, tensor.gradient, tensor.parameter.count, factor)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        factor = worked_factor(slide.live("threshold", self.threshold), slide.layer_norm, "ₗ")
        return (
            equation("‖gₗ‖", slide.layer_norm, words=_("over all parameters of this layer")),
            equation("f", factor),
            equation("g", slide.g * factor.named("f"), slide.new_gradient),
        )

    def to_code(self, code: Script) -> None:
        code.change_gradients(f"""
            # clipping: the gradient of every layer gets a norm of at most {code.number(self.threshold)}
            for layer in dict.fromkeys(name.rpartition(".")[0] for name in g):
                own = [name for name in g if name.rpartition(".")[0] == layer]
                norm = {code.norm("own")}
                for name in own:
                    g[name] *= min(1.0, {code.number(self.threshold)} / (norm + 1e-6))
        """)


@kernel
def clip_layer(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A layer's sum of squares becomes its factor min(1, threshold / (norm + 1e-6)), and what is left of the squares is
    added to those of all layers. Row: squares and then factor, threshold, squares of all in hyper.
    """
    norm = math.sqrt(hyper[row[1]])
    factor = hyper[row[2]] / (norm + 1e-6)
    if factor > 1.0:  # not so for a NaN
        factor = 1.0
    hyper[row[1]] = factor
    hyper[row[3]] += (norm * factor) * (norm * factor)


@kernel
def end_clipping(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The norm of all layers together. Row: sum of squares, norm in hyper."""
    hyper[row[2]] = math.sqrt(hyper[row[1]])
