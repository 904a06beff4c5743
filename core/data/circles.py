"""Circles: one class inside the other, so no straight line parts them but the distance from the center does."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import DataSet, Toy


@DataSet.registry.add("circles")
class Circles(Toy, frozen=True, kw_only=True, tag="circles"):
    """Two circles around the same center, the outer one with radius 1."""

    label: ClassVar[str] = N_("Circles")
    radius: Annotated[
        float,
        about(
            N_("inner radius"), N_("Radius of the inner circle; the outer one has radius 1."), minimum=0.0, maximum=0.95
        ),
    ] = 0.5

    def names(self) -> tuple[str, ...]:
        return N_("outer"), N_("inner")

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        radius = np.where(y == 0, 1.0, self.radius)
        return np.stack([radius * np.cos(2 * np.pi * u), radius * np.sin(2 * np.pi * u)], axis=1)
