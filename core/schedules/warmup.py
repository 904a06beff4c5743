"""Warm-up begins with small steps, while the weights are still raw, and then hands over to another schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, ConstantSchedule, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("warmup")
class Warmup(Schedule, frozen=True, kw_only=True, tag="warmup"):
    """Raises the learning rate in a straight line over the first steps; the schedule that follows counts its steps from
    there.
    """

    label: ClassVar[str] = N_("Warm-up")
    formula: ClassVar[str] = "η(t) = η (f + (1 − f) t / w) for t < w, then a schedule"
    source: ClassVar[str] = "Goyal et al. 2017 (arXiv 1706.02677); torch.optim.lr_scheduler.LinearLR and SequentialLR"

    steps: Annotated[
        int,
        about(
            N_("steps"),
            N_("How long the learning rate rises."),
            unit=N_("steps"),
            minimum=1,
            maximum=10_000_000,
            scale="log",
        ),
    ] = 100
    start_factor: Annotated[
        float,
        about(N_("start factor"), N_("The first learning rate as a share of the full one."), minimum=0.0, maximum=1.0),
    ] = 0.01
    then: Annotated[Schedule, about(N_("then"), N_("The schedule after the warm-up."))] = ConstantSchedule()

    @property
    def watches(self) -> bool:
        return self.then.watches

    @property
    def waits(self) -> int:
        return self.then.waits

    @property
    def least_change(self) -> float:
        return self.then.least_change

    @property
    def uses_length(self) -> bool:
        return self.then.uses_length

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        drops = tuple(drop - self.steps for drop in clock.drops)
        rest = Clock(clock.steps_per_epoch, max(clock.steps - self.steps, 0), drops)
        # A drop during the warm-up counts from its own step on, so one that watches is asked about steps before its
        # own beginning; every other schedule stands at its first step until then.
        later = steps - self.steps if self.watches else np.maximum(steps - self.steps, 0)
        full = self.then.rates(later, base, rest)
        done = np.clip(steps, 0, self.steps) / self.steps
        return full * (self.start_factor + (1.0 - self.start_factor) * done)

    def to_code(self, code: Script, clock: Clock) -> str:
        rest = Clock(clock.steps_per_epoch, max(clock.steps - self.steps, 0))
        inner = self.then.to_code(code, rest)
        start, steps = code.number(self.start_factor), self.steps
        ramp = f"({start} + (1 - {start}) * min(step, {steps}) / {steps})" if self.start_factor else ""
        ramp = ramp or f"min(step, {steps}) / {steps}"
        if "step" not in inner.replace("STEPS", ""):
            return f"{inner} * {ramp}"
        name = code.fresh("after_warmup")
        code.define(f"def {name}(step{', drops' if self.watches else ''}):\n    return {inner}")
        return f"{name}(max(step - {steps}, 0){', drops' if self.watches else ''}) * {ramp}"
