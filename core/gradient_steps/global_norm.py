"""Clipping by the global norm shortens the gradient of the whole network to a given length and keeps its direction.

The rule of torch.nn.utils.clip_grad_norm_: g = g * min(1, threshold / (||g|| + 1e-6)).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..engine.kernel import kernel
from ..text import N_, _
from ..worked import Equation, StepSlide, equation
from .base import Clipping, Threshold, multiply, worked_factor

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Clipping.registry.add("global_norm")
class GlobalNorm(Clipping, frozen=True, kw_only=True, tag="global_norm"):
    """Scales all gradients down together when their common L2 norm exceeds the threshold: the standard way."""

    label: ClassVar[str] = N_("Global norm")
    formula: ClassVar[str] = "∇ ← ∇ · min(1, c / (‖∇‖ + 10⁻⁶))"
    source: ClassVar[str] = "Pascanu, Mikolov & Bengio 2013, algorithm 1; torch.nn.utils.clip_grad_norm_"
    uses_norm: ClassVar[bool] = True
    knows_norm: ClassVar[bool] = True

    threshold: Threshold = 1.0

    def begin(self, build: Builder, place: str) -> None:
        threshold = build.live(f"{place}.threshold", self.threshold)
        build.update(clip_global_norm, build.norm, threshold, build.shared(f"{place}.factor"))

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        build.update(multiply, tensor.gradient, tensor.parameter.count, build.shared(f"{place}.factor"))

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        factor = worked_factor(slide.live("threshold", self.threshold), slide.norm)
        return (
            equation("‖g‖", slide.norm, words=_("over all parameters of the network")),
            equation("f", factor),
            equation("g", slide.g * factor.named("f"), slide.new_gradient),
        )

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.change_gradients(f"nn.utils.clip_grad_norm_(p.values(), {code.number(self.threshold)})")

    def to_code(self, code: Script) -> None:
        code.change_gradients(f"""
            # clipping: the gradient of the whole network gets a norm of at most {code.number(self.threshold)}
            norm = {code.norm("g")}
            for name in g:
                g[name] *= min(1.0, {code.number(self.threshold)} / (norm + 1e-6))
        """)


@kernel
def clip_global_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """factor = min(1, threshold / (norm + 1e-6)), norm = norm * factor. Row: norm, threshold, factor in hyper."""
    factor = hyper[row[2]] / (hyper[row[1]] + 1e-6)
    if factor > 1.0:  # not so for a NaN, which shall reach every gradient
        factor = 1.0
    hyper[row[3]] = factor
    hyper[row[1]] *= factor
