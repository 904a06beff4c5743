"""AdamW is Adam with a weight decay that is not divided by the gradients' size: weights shrink by a share of their own.

w = w - rate * (m^ / (sqrt(v^) + epsilon) + decay * w), the form of torch.optim.AdamW.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..text import N_
from ..worked import Equation, StepSlide, number
from .base import Optimizer, WeightDecay, add_decay, worked_update
from .moments import MomentOptimizer

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("adamw")
class AdamW(MomentOptimizer, frozen=True, kw_only=True, tag="adamw"):
    """Adam whose weights also shrink by the learning rate times the weight decay at every step; biases do not."""

    label: ClassVar[str] = N_("AdamW")
    formula: ClassVar[str] = "Δw = −η (m̂ / (√v̂ + ε) + λ w)"
    source: ClassVar[str] = "Loshchilov & Hutter 2019 (arXiv 1711.05101), algorithm 2; torch.optim.AdamW"

    weight_decay: WeightDecay = 0.01

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        super().emit(build, tensor, place)
        if tensor.parameter.regularized:
            decay = build.live(f"{place}.weight_decay", self.weight_decay)
            build.update(add_decay, tensor.master, tensor.update, tensor.parameter.count, build.rate, decay)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        mean, found = self.worked_moments(slide)
        if slide.regularized:
            mean = mean + number("λ", slide.live("weight_decay", self.weight_decay)) * slide.w
        return worked_update(slide, slide.eta * mean, *found)

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.decouple(self.weight_decay)
        code.built_in(f"torch.optim.AdamW({code.groups(code.take_decay())}, {self.torch_settings(code)})")

    def to_code(self, code: Script) -> None:
        code.decouple(self.weight_decay)
        super().to_code(code)
