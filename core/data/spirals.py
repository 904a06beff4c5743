"""Spirals: arms wound around each other, a boundary so long that a small network cannot follow it."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import DataSet, Toy

START = 0.1  # radius at which the arms begin: nearer to the center they could not be told apart


@DataSet.registry.add("spirals")
class Spirals(Toy, frozen=True, kw_only=True, tag="spirals"):
    """Arms that wind outward to radius 1, each a class; the more turns, the harder."""

    label: ClassVar[str] = N_("Spirals")
    noise: Annotated[
        float,
        about(
            N_("noise"),
            N_("Standard deviation of the normal noise on both coordinates; the spiral is 2 wide."),
            minimum=0.0,
            maximum=2.0,
        ),
    ] = 0.02
    arms: Annotated[int, about(N_("arms"), N_("Spiral arms, each of its own class."), minimum=2, maximum=10)] = 2
    turns: Annotated[
        float,
        about(N_("turns"), N_("How often an arm winds around the center."), unit=N_("turns"), minimum=0.0, maximum=5.0),
    ] = 1.5

    def names(self) -> tuple[str, ...]:
        return tuple(str(arm + 1) for arm in range(self.arms))

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        radius = START + (1.0 - START) * u
        angle = 2 * np.pi * (self.turns * radius + y / self.arms)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
