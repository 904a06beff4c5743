"""A schedule says how the learning rate changes over time.

It is a plan: the rate of any step can be computed without training, so the whole curve can be drawn beforehand. The
compiled loop finds the rates of its steps in their lines of statistics, where `Run` has written them. Only a schedule
that looks at the training itself (`reduce_on_plateau`) is told what was decided on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine.kernel import kernel
from ..engine.layout import LEARNING_RATE
from ..fields import Kind
from ..registry import Registry
from ..text import N_

PACKAGE = "layerscope.core.schedules"

if TYPE_CHECKING:
    from ..interop.script import Script


@dataclass(frozen=True)
class Clock:
    """How long a training is.

    steps_per_epoch   minibatches in one epoch
    steps             in all, as planned
    drops             steps from which on a schedule that watches the training lowers the rate once more
    """

    steps_per_epoch: int
    steps: int
    drops: tuple[int, ...] = ()


class Schedule(Kind, frozen=True, kw_only=True):
    """A rule for the learning rate of every step."""

    registry: ClassVar[Registry[type[Schedule]]] = Registry(N_("schedule"), PACKAGE)

    @property
    def watches(self) -> bool:
        """Whether it lowers the rate when the validation loss no longer falls."""
        return False

    @property
    def waits(self) -> int:
        """For one that watches: epochs without improvement that it bears."""
        return 0

    @property
    def least_change(self) -> float:
        """For one that watches: by how much the loss must fall to count as an improvement."""
        return 0.0

    @property
    def uses_length(self) -> bool:
        """Whether the rates depend on how long the training is planned to be."""
        return False

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        """The learning rates of these steps, (n,), finite and not negative.

        The rate of a step must not depend on which others are asked for with it: runs are bit-identical however their
        steps are taken. Beyond the planned end it stays as it is at the end.

        base   the optimizer's learning rate
        """
        raise NotImplementedError

    def better_than(self, best: str) -> str:
        """The expression of the number below which a validation loss is an improvement on `best`, for a schedule that
        watches, in an exported program.
        """
        return f"{best} - {self.least_change!r}" if self.least_change else best

    def to_code(self, code: Script, clock: Clock) -> str:
        """The expression of the learning rate of `step` for the rate LEARNING_RATE, in an exported program; a schedule
        that watches finds in `drops` how often it was lowered.
        """
        raise NotImplementedError


@Schedule.registry.add("constant")
class ConstantSchedule(Schedule, frozen=True, kw_only=True, tag="constant"):
    """The learning rate stays as it is set."""

    label: ClassVar[str] = N_("Constant")
    formula: ClassVar[str] = "η(t) = η"
    source: ClassVar[str] = "Robbins & Monro 1951; no scheduler in PyTorch"

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        return np.full(len(steps), base)

    def to_code(self, code: Script, clock: Clock) -> str:
        return "LEARNING_RATE"


@kernel
def scheduled_rate(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The step's learning rate, which stands in its line already. Row: rate in hyper."""
    hyper[row[1]] = statistics[LEARNING_RATE]
