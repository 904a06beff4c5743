"""Moons: two half circles that reach into each other, a curved boundary that is still in one piece."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..text import N_
from .base import DataSet, Toy


@DataSet.registry.add("moons")
class Moons(Toy, frozen=True, kw_only=True, tag="moons"):
    """Two half circles of radius 1 that interlock, as scikit-learn's make_moons, but centered on the origin."""

    label: ClassVar[str] = N_("Moons")

    def names(self) -> tuple[str, ...]:
        return N_("upper"), N_("lower")

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        # The lower moon is the upper one turned by half a turn around the middle between them.
        side = np.where(y == 0, 1.0, -1.0)
        return np.stack([side * (np.cos(np.pi * u) - 0.5), side * (np.sin(np.pi * u) - 0.25)], axis=1)
