"""XOR: the smallest problem that no single layer solves."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import DataSet, Toy


@DataSet.registry.add("xor")
class Xor(Toy, frozen=True, kw_only=True, tag="xor"):
    """Four clusters at the corners of a square; corners across from each other belong together."""

    label: ClassVar[str] = N_("XOR")
    noise: Annotated[
        float,
        about(N_("noise"), N_("Standard deviation of the clusters; the square is 2 wide."), minimum=0.0, maximum=2.0),
    ] = 0.25

    def names(self) -> tuple[str, ...]:
        return N_("same sign"), N_("opposite signs")

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        right = np.where(number % 2 == 0, 1.0, -1.0)
        return np.stack([right, np.where(y == 0, right, -right)], axis=1)
