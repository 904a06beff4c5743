"""The lesson's clipping divides the gradient by its norm when that is too large: what is left always has norm 1.

g = g / ||g|| if ||g|| > threshold, as the text "Training Tricks" of AI for Beginners puts it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..engine.kernel import kernel
from ..text import N_, _
from ..worked import Equation, StepSlide, chosen, constant, equation, text_of
from .base import Clipping, Threshold, multiply

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.script import Script


@Clipping.registry.add("divide_by_norm")
class DivideByNorm(Clipping, frozen=True, kw_only=True, tag="divide_by_norm"):
    """Divides all gradients by their common L2 norm when it exceeds the threshold.

    With a threshold of 1 this is clipping by the global norm; with 10, a gradient of norm 10.1 jumps to norm 1 while
    one of norm 9.9 stays.
    """

    label: ClassVar[str] = N_("Divide by norm")
    formula: ClassVar[str] = "∇ ← ∇ / ‖∇‖ if ‖∇‖ > c"
    source: ClassVar[str] = "AI for Beginners, Training Tricks; not in PyTorch"
    uses_norm: ClassVar[bool] = True
    knows_norm: ClassVar[bool] = True

    threshold: Threshold = 1.0

    def begin(self, build: Builder, place: str) -> None:
        threshold = build.live(f"{place}.threshold", self.threshold)
        build.update(divide_by_norm, build.norm, threshold, build.shared(f"{place}.factor"))

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        build.update(multiply, tensor.gradient, tensor.parameter.count, build.shared(f"{place}.factor"))

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        c, norm = slide.live("threshold", self.threshold), slide.norm.named("‖g‖")
        factor = constant(1.0) / norm if norm.value > c else constant(1.0)
        return (
            equation(
                "‖g‖", slide.norm, words=_("over all parameters of the network; c = {limit}").format(limit=text_of(c))
            ),
            equation("f", chosen("1 / ‖g‖ if ‖g‖ > c else 1", factor)),
            equation("g", slide.g * factor.named("f"), slide.new_gradient),
        )

    def to_code(self, code: Script) -> None:
        code.change_gradients(f"""
            # clipping: a gradient with a norm above {code.number(self.threshold)} is divided by it
            norm = {code.norm("g")}
            if norm > {code.number(self.threshold)}:
                for name in g:
                    g[name] /= norm
        """)


@kernel
def divide_by_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """factor = 1 / norm above the threshold, else 1; norm = norm * factor. Row: norm, threshold, factor in hyper."""
    norm = hyper[row[1]]
    hyper[row[3]] = 1.0 / norm if norm > hyper[row[2]] else 1.0
    hyper[row[1]] = norm * hyper[row[3]]
