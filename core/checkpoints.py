"""Checkpoints are copies of all that a run remembers, taken every so many steps, so that going back is a short replay.

When the copies outgrow their budget, every new one takes the place of an old one: the oldest of those that stand
between two others. Once there are none of these, the interval doubles. So the budget stays used, the copies stay evenly
spread up to a factor of two, denser near the present, and a step costs the same however long the run is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUDGET = 256 * 1024 * 1024  # bytes of one run
SHARED_BUDGET = 2 * BUDGET  # bytes of all runs that are kept side by side
INTERVAL = 64  # steps between two checkpoints of a young run
MOST = 2048  # copies; of a small network more would only be more to look after
LEAST = 3  # copies that are kept whatever they cost


@dataclass
class Checkpoints:
    """Copies of the kept part of the arena by step. Copies are never written to, so forks share them."""

    budget: int = BUDGET
    interval: int = INTERVAL
    first_step: int = 0
    _steps: list[int] = field(default_factory=list)  # in order
    _copies: dict[int, NDArray[Any]] = field(default_factory=dict)
    _thinned: int = 0  # up to this copy, counted from the first, every second one was given up
    _kept_step: int = 0
    _kept: NDArray[Any] | None = None

    def due(self, step: int) -> bool:
        """Whether a copy is to be taken before this step. One that was given up is not taken again in a replay."""
        newest = self._steps[-1] if self._steps else self.first_step - 1
        return step > newest and (step - self.first_step) % self.interval == 0

    def next_after(self, step: int) -> int:
        """The next step at which one is due."""
        newest = self._steps[-1] if self._steps else step
        return self.first_step + ((max(step, newest) - self.first_step) // self.interval + 1) * self.interval

    def add(self, step: int, kept: NDArray[Any]) -> None:
        """Take a copy; at a step where there is one already, instead of it."""
        if step not in self._copies:
            self._steps.insert(bisect_left(self._steps, step), step)
        self._copies[step] = kept.copy()
        self._thin()

    def limit(self, budget: int) -> None:
        """From now on the copies take up at most `budget` bytes."""
        self.budget = budget
        self._thin()

    def _thin(self) -> None:
        size = max(1, next(iter(self._copies.values())).nbytes) if self._copies else 1
        room = max(LEAST, min(MOST, self.budget // size))
        while len(self._steps) > room:
            self._give_up_one()

    def _give_up_one(self) -> None:
        """Give up the oldest copy that does not fall on the doubled interval; the newest one stays."""
        steps, doubled = self._steps, 2 * self.interval
        place = self._thinned
        while place < len(steps) - 1 and (steps[place] - self.first_step) % doubled == 0:
            place += 1
        if place < len(steps) - 1:
            del self._copies[steps.pop(place)]
            self._thinned = place
        else:
            self.interval, self._thinned = doubled, 0

    def keep(self, step: int, kept: NDArray[Any]) -> None:
        """Take a copy that stays until another one is kept in this way."""
        self._kept_step, self._kept = step, kept.copy()

    def nearest(self, step: int) -> tuple[int, NDArray[np.floating]]:
        """The latest checkpoint at or before `step`, which is not before the first one."""
        at = self._steps[max(0, bisect_right(self._steps, step) - 1)]
        if self._kept is not None and at < self._kept_step <= step:
            return self._kept_step, self._kept
        return at, self._copies[at]

    def cut(self, step: int) -> None:
        """Forget the checkpoints after `step`."""
        stop = bisect_right(self._steps, step)
        for later in self._steps[stop:]:
            del self._copies[later]
        del self._steps[stop:]
        self._thinned = min(self._thinned, stop)
        if self._kept_step > step:
            self._kept = None

    def shared(self) -> Checkpoints:
        """The same copies, for another run that goes its own way from here on."""
        return Checkpoints(
            self.budget,
            self.interval,
            self.first_step,
            self._steps.copy(),
            self._copies.copy(),
            self._thinned,
            self._kept_step,
            self._kept,
        )

    @property
    def steps(self) -> list[int]:
        return self._steps.copy()

    @property
    def nbytes(self) -> int:
        """What the copies take up."""
        kept = self._kept.nbytes if self._kept is not None else 0
        return kept + sum(copy.nbytes for copy in self._copies.values())

    @property
    def longest_replay(self) -> int:
        """Steps from the copy before it to the step that is farthest from one, up to the newest copy."""
        return max((b - a - 1 for a, b in zip(self._steps, self._steps[1:], strict=False)), default=0)
