"""Decoupled weight decay shrinks the weights beside the optimizer's step, so that no optimizer rescales it.

update = update + learning rate * strength * w. With plain SGD this is the same as L2; with Adam it is what AdamW does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..text import N_, _
from ..worked import Equation, StepSlide, equation, number
from .base import Regularizer, Stage, Strength, add_decay

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.script import Script


@Regularizer.registry.add("decoupled")
class Decoupled(Regularizer, frozen=True, kw_only=True, tag="decoupled"):
    """Every step shrinks each weight by the share learning rate * strength, whatever its gradient.

    Acts on weights, not on biases or on scale and shift of normalizations. This is the meaning of weight_decay in
    torch.optim.AdamW and in every optimizer of Keras.
    """

    label: ClassVar[str] = N_("Weight decay")
    formula: ClassVar[str] = "Δw ← Δw − η λ w"
    source: ClassVar[str] = "Loshchilov & Hutter 2019 (arXiv 1711.05101); weight_decay of torch.optim.AdamW"
    stage: ClassVar[Stage] = "decay"

    strength: Strength = 0.01

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        if tensor.parameter.regularized:
            strength = build.live(f"{place}.strength", self.strength)
            build.update(add_decay, tensor.master, tensor.update, tensor.parameter.count, build.rate, strength)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        update = number("Δw", slide.before.update[slide.index])
        if not slide.regularized:
            return (equation("Δw", update, slide.new_update, _("weight decay acts on weights only")),)
        strength = number("λ", slide.live("strength", self.strength))
        return (equation("Δw", update + slide.eta * strength * slide.w, slide.new_update),)

    def to_code(self, code: Script) -> None:
        code.decouple(self.strength)
