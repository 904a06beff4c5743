"""The exponential schedule multiplies the learning rate by the same factor again and again: fast first, never zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("exponential")
class Exponential(Schedule, frozen=True, kw_only=True, tag="exponential"):
    """Multiplies the learning rate by a factor after every epoch (or step); 0.98 an epoch halves it in 34 epochs."""

    label: ClassVar[str] = N_("Exponential")
    formula: ClassVar[str] = "η(t) = η γᵗ"
    source: ClassVar[str] = "AI for Beginners, Training Tricks (0.98 an epoch); torch.optim.lr_scheduler.ExponentialLR"

    factor: Annotated[
        float, about(N_("factor"), N_("What the learning rate is multiplied by."), above=0.0, maximum=1.0)
    ] = 0.98
    every: Annotated[Literal["epoch", "step"], about(N_("every"), N_("How often."))] = "epoch"

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        times = steps if self.every == "step" else steps // clock.steps_per_epoch
        return base * np.power(self.factor, times.astype(np.float64))

    def to_code(self, code: Script, clock: Clock) -> str:
        if self.every == "step":
            return f"LEARNING_RATE * {code.number(self.factor)} ** step"
        code.constant("STEPS_PER_EPOCH", clock.steps_per_epoch)
        return f"LEARNING_RATE * {code.number(self.factor)} ** (step // STEPS_PER_EPOCH)"
