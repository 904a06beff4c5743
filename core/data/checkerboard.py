"""Checkerboard: squares of two colors in turn, a boundary of many corners that takes many units to follow."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..text import N_
from .base import DataSet, Toy

HALF = 2.0**26  # bits of a uniform draw that go into one coordinate; the rest go into the other


@DataSet.registry.add("checkerboard")
class Checkerboard(Toy, frozen=True, kw_only=True, tag="checkerboard"):
    """A square from -1 to 1, cut into cells that belong to two classes in turn, like a chess board."""

    label: ClassVar[str] = N_("Checkerboard")
    noise: Annotated[
        float,
        about(
            N_("noise"),
            N_("Standard deviation of the normal noise on both coordinates; the board is 2 wide."),
            minimum=0.0,
            maximum=2.0,
        ),
    ] = 0.0
    cells: Annotated[
        int, about(N_("cells"), N_("Cells along each side of the board; the more, the harder."), minimum=2, maximum=16)
    ] = 4

    def names(self) -> tuple[str, ...]:
        return N_("dark"), N_("light")

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        row, column = np.divmod(np.arange(self.cells**2), self.cells)
        dark = (row + column) % 2 == 0
        # The samples of a class go through its cells in turn, so that no cell is left empty by chance.
        ours = [np.flatnonzero(dark), np.flatnonzero(~dark)]
        cell = np.where(y == 0, ours[0][number % len(ours[0])], ours[1][number % len(ours[1])])
        # One uniform draw is long enough to be two: its first 26 bits say how far across, the others how far up.
        across = np.floor(u * HALF)
        inside = np.stack([(across + 0.5) / HALF, u * HALF - across], axis=1)
        corner = np.stack([column[cell], row[cell]], axis=1)
        return 2.0 * (corner + inside) / self.cells - 1.0
