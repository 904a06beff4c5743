"""The step schedule lowers the learning rate all at once every few epochs, and the loss falls in steps too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("step")
class StepSchedule(Schedule, frozen=True, kw_only=True, tag="step"):
    """Multiplies the learning rate by a factor after every so many epochs."""

    label: ClassVar[str] = N_("Step")
    formula: ClassVar[str] = "η(t) = η γ^⌊t / s⌋"
    source: ClassVar[str] = "He et al. 2016 (divided by 10 twice); torch.optim.lr_scheduler.StepLR"

    factor: Annotated[
        float, about(N_("factor"), N_("What the learning rate is multiplied by."), above=0.0, maximum=1.0)
    ] = 0.1
    every: Annotated[
        int,
        about(N_("every"), N_("Epochs between two drops."), unit=N_("epochs"), minimum=1, maximum=1_000_000),
    ] = 10

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        drops = steps // (clock.steps_per_epoch * self.every)
        return base * np.power(self.factor, drops.astype(np.float64))

    def to_code(self, code: Script, clock: Clock) -> str:
        code.constant("STEPS_PER_EPOCH", clock.steps_per_epoch)
        return f"LEARNING_RATE * {code.number(self.factor)} ** (step // ({self.every} * STEPS_PER_EPOCH))"
