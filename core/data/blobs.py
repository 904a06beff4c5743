"""Blobs: round clouds of points, the easiest problem, and with much noise one that nobody solves without mistakes."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import DataSet, Toy


@DataSet.registry.add("blobs")
class Blobs(Toy, frozen=True, kw_only=True, tag="blobs"):
    """Normal clouds around centers evenly spaced on the circle of radius 1, each a class."""

    label: ClassVar[str] = N_("Blobs")
    noise: Annotated[
        float,
        about(
            N_("noise"),
            N_("Standard deviation of the clouds; the circle of their centers is 2 wide."),
            minimum=0.0,
            maximum=2.0,
        ),
    ] = 0.25
    centers: Annotated[int, about(N_("centers"), N_("Clouds, each of its own class."), minimum=2, maximum=10)] = 3

    def names(self) -> tuple[str, ...]:
        return tuple(str(center + 1) for center in range(self.centers))

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        angle = 2 * np.pi * y / self.centers
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
