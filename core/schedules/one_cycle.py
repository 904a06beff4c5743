"""One cycle raises the learning rate far beyond what would be bearable at the start, then takes it down to almost
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("one_cycle")
class OneCycle(Schedule, frozen=True, kw_only=True, tag="one_cycle"):
    """Up from the learning rate to its peak and down again, in two cosine waves over the whole planned training.

    The rule of torch.optim.lr_scheduler.OneCycleLR with two phases and a momentum that stays as it is. There the peak
    is given (max_lr) and the start follows; here the optimizer's learning rate is the start, so the peak is
    `peak_factor` times as large.
    """

    label: ClassVar[str] = N_("One cycle")
    formula: ClassVar[str] = "η → p η over the share s of all steps, then → η / 10⁴; both along a cosine"
    source: ClassVar[str] = "Smith & Topin 2018 (arXiv 1708.07120); torch.optim.lr_scheduler.OneCycleLR"

    peak_factor: Annotated[
        float,
        about(
            N_("peak factor"),
            N_("The greatest learning rate, in multiples of the first."),
            minimum=1.0,
            maximum=1e4,
            scale="log",
        ),
    ] = 25.0
    warmup_share: Annotated[
        float, about(N_("rising share"), N_("Share of the training in which it rises."), above=0.0, below=1.0)
    ] = 0.3
    final_factor: Annotated[
        float,
        about(
            N_("final factor"),
            N_("The last learning rate as a share of the first."),
            minimum=0.0,
            maximum=1.0,
            scale="log",
        ),
    ] = 1e-4

    @property
    def uses_length(self) -> bool:
        return True

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        peak, final = base * self.peak_factor, base * self.final_factor
        last = float(max(clock.steps - 1, 0))
        top = max(self.warmup_share * clock.steps - 1.0, 0.0)  # where the peak is, between two steps as a rule
        now = np.minimum(steps.astype(np.float64), last)
        rising = _along_a_cosine(base, peak, now / top) if top > 0.0 else np.full(len(steps), peak)
        falling = _along_a_cosine(peak, final, np.clip((now - top) / (last - top), 0.0, 1.0) if last > top else now)
        return np.where(now <= top, rising, falling)

    def to_code(self, code: Script, clock: Clock) -> str:
        code.define(ALONG)
        last, top = max(clock.steps - 1, 0), max(self.warmup_share * clock.steps - 1.0, 0.0)
        peak, final = (f"{code.number(factor)} * LEARNING_RATE" for factor in (self.peak_factor, self.final_factor))
        rising = f"along_a_cosine(LEARNING_RATE, {peak}, min(step, {last}) / {top})" if top > 0.0 else peak
        if last <= top:
            return rising
        falling = f"along_a_cosine({peak}, {final}, (min(step, {last}) - {top}) / {last - top})"
        return f"{rising} if step <= {top} else {falling}"


ALONG = '''
def along_a_cosine(start, end, share):
    """From start to end, slowly at both"""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
'''


def _along_a_cosine(start: float, end: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    return end + (start - end) / 2.0 * (1.0 + np.cos(np.pi * np.minimum(share, 1.0)))
