"""The cosine schedule lowers the learning rate slowly at first, fast in the middle and slowly again at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("cosine")
class Cosine(Schedule, frozen=True, kw_only=True, tag="cosine"):
    """Half a cosine wave from the learning rate down to its end over the whole planned training."""

    label: ClassVar[str] = N_("Cosine")
    formula: ClassVar[str] = "η(t) = η (f + (1 − f)(1 + cos(π t / T)) / 2)"
    source: ClassVar[str] = (
        "Loshchilov & Hutter 2017 (arXiv 1608.03983), one cycle; torch.optim.lr_scheduler.CosineAnnealingLR"
    )

    final_factor: Annotated[
        float,
        about(N_("final factor"), N_("The last learning rate as a share of the first."), minimum=0.0, maximum=1.0),
    ] = 0.0

    @property
    def uses_length(self) -> bool:
        return True

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        done = np.minimum(steps, clock.steps) / max(clock.steps, 1)
        wave = (1.0 + np.cos(np.pi * done)) / 2.0
        return base * (self.final_factor + (1.0 - self.final_factor) * wave)

    def to_code(self, code: Script, clock: Clock) -> str:
        last, final = max(clock.steps, 1), code.number(self.final_factor)
        wave = f"(1 + math.cos(math.pi * min(step, {clock.steps}) / {last})) / 2"
        return f"LEARNING_RATE * ({final} + (1 - {final}) * {wave})" if self.final_factor else f"LEARNING_RATE * {wave}"
