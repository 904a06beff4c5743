"""A schedule changes the learning rate while training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .engine.kernel import kernel
from .engine.layout import LEARNING_RATE
from .fields import Kind
from .registry import Registry
from .text import N_

if TYPE_CHECKING:
    from .engine.program import Builder


class Schedule(Kind, frozen=True, kw_only=True):
    """A rule for the learning rate of every step."""

    registry: ClassVar[Registry[type[Schedule]]] = Registry(N_("schedule"))

    def emit(self, build: Builder) -> None:
        """Write the operation that computes the step's learning rate.

        It reads `hyper[build.base_rate]`, writes `hyper[build.rate]`, and reports the rate in the statistics.
        """
        raise NotImplementedError


@Schedule.registry.add("constant")
class ConstantSchedule(Schedule, frozen=True, kw_only=True, tag="constant"):
    """The learning rate stays as it is set."""

    label: ClassVar[str] = N_("constant")

    def emit(self, build: Builder) -> None:
        build.update(constant_rate, build.base_rate, build.rate)


@kernel
def constant_rate(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """rate = base rate. Row: base rate, rate in hyper."""
    hyper[row[2]] = hyper[row[1]]
    statistics[LEARNING_RATE] = hyper[row[2]]
