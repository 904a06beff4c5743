"""Checkpoints are copies of all that a run remembers, taken every so many steps, so that going back is a short replay.

The interval doubles whenever the copies outgrow their budget, so a long run keeps evenly spread ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUDGET = 64 * 1024 * 1024  # bytes
INTERVAL = 64  # steps between two checkpoints of a young run


@dataclass
class Checkpoints:
    """Copies of the kept part of the arena by step. Copies are never written to, so forks share them."""

    budget: int = BUDGET
    interval: int = INTERVAL
    first_step: int = 0
    _copies: dict[int, NDArray[Any]] = field(default_factory=dict)
    _kept_step: int = 0
    _kept: NDArray[Any] | None = None

    def due(self, step: int) -> bool:
        return (step - self.first_step) % self.interval == 0 and step not in self._copies

    def next_after(self, step: int) -> int:
        """The next step at which one is due."""
        return self.first_step + ((step - self.first_step) // self.interval + 1) * self.interval

    def add(self, step: int, kept: NDArray[Any]) -> None:
        self._copies[step] = kept.copy()
        while len(self._copies) > 2 and len(self._copies) * kept.nbytes > self.budget:
            self.interval *= 2
            keep = [s for s in self._copies if (s - self.first_step) % self.interval == 0]
            self._copies = {s: self._copies[s] for s in keep}

    def keep(self, step: int, kept: NDArray[Any]) -> None:
        """Take a copy that stays until another one is kept in this way."""
        self._kept_step, self._kept = step, kept.copy()

    def nearest(self, step: int) -> tuple[int, NDArray[np.floating]]:
        """The latest checkpoint at or before `step`."""
        at = max(s for s in self._copies if s <= step)
        if self._kept is not None and at < self._kept_step <= step:
            return self._kept_step, self._kept
        return at, self._copies[at]

    def cut(self, step: int) -> None:
        """Forget the checkpoints after `step`."""
        self._copies = {s: c for s, c in self._copies.items() if s <= step}
        if self._kept_step > step:
            self._kept = None

    @property
    def steps(self) -> list[int]:
        return sorted(self._copies)
