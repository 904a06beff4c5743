"""The learning-rate range test raises the learning rate until the training breaks, to see which rates are any good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("range_test")
class RangeTest(Schedule, frozen=True, kw_only=True, tag="range_test"):
    """Raises the learning rate by the same factor at every step, from a rate at which nothing happens to one at which
    the loss explodes. It sets rates of its own: the optimizer's learning rate does not count.

    The figure "learning-rate-range" shows the loss over the rate; a good one is where the loss falls most steeply.
    """

    label: ClassVar[str] = N_("Range test")
    formula: ClassVar[str] = "η(t) = a (b / a)^(t / (n − 1))"
    source: ClassVar[str] = "Smith 2017 (arXiv 1506.01186); exponential form of fastai's lr_find; not in PyTorch"

    start: Annotated[
        float,
        about(N_("start"), N_("The first learning rate."), minimum=1e-12, maximum=1e6, scale="log"),
    ] = 1e-7
    end: Annotated[
        float,
        about(N_("end"), N_("The last learning rate."), minimum=1e-12, maximum=1e6, scale="log"),
    ] = 10.0
    steps: Annotated[
        int,
        about(
            N_("steps"),
            N_("How many steps the test takes."),
            unit=N_("steps"),
            minimum=2,
            maximum=1_000_000,
            scale="log",
        ),
    ] = 100

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        done = np.minimum(steps, self.steps - 1) / (self.steps - 1)
        return self.start * np.power(self.end / self.start, done)

    def to_code(self, code: Script, clock: Clock) -> str:
        start, end, last = code.number(self.start), code.number(self.end), self.steps - 1
        return f"{start} * ({end} / {start}) ** (min(step, {last}) / {last})"
