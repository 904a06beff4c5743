"""Regression: points on a curve that the network must draw itself, so that one sees what it can and cannot bend."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..fields import about
from ..text import N_
from .base import DataSet, Outline, Samples, plain

# x (samples, inputs) between -1 and 1 -> values (samples,) within -1 and 1
CURVES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "sine": lambda x: np.sin(2.0 * np.pi * x[:, 0]),
    "linear": lambda x: x[:, 0],
    "cubic": lambda x: 4.0 * x[:, 0] ** 3 - 3.0 * x[:, 0],
    "absolute": lambda x: 2.0 * np.abs(x[:, 0]) - 1.0,
    "step": lambda x: np.where(x[:, 0] < 0.0, -1.0, 1.0),
    "surface": lambda x: np.sin(np.pi * x[:, 0]) * np.sin(np.pi * x[:, 1]),
}


@DataSet.registry.add("regression")
class Regression(DataSet, frozen=True, kw_only=True, tag="regression"):
    """Values to predict instead of classes: a function of one or two numbers between -1 and 1, with noise on top.

    Where a sample lies depends on the seed and its number only: more samples add to those that were there.
    """

    label: ClassVar[str] = N_("Regression")
    function: Annotated[
        Literal["sine", "linear", "cubic", "absolute", "step", "surface"],
        about(N_("function"), N_("What the values follow: a curve over one input; surface is over two.")),
    ] = "sine"
    samples: Annotated[
        int,
        about(N_("samples"), N_("Points in all."), unit=N_("samples"), minimum=10, maximum=100_000, scale="log"),
    ] = 200
    noise: Annotated[
        float,
        about(
            N_("noise"),
            N_("Standard deviation of the normal noise on the values, which lie between -1 and 1."),
            minimum=0.0,
            maximum=2.0,
        ),
    ] = 0.1

    def outline(self, folder: Path | None = None) -> Outline:
        return Outline((2,) if self.function == "surface" else (1,), 1)

    def ideal(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values (samples, 1) without noise at x (samples, inputs)."""
        return CURVES[self.function](x)[:, np.newaxis]

    def collect(self, seed: int, folder: Path | None) -> Samples:
        (inputs,) = self.outline().shape
        places = random.uniform(random.key(seed, "data", "place"), inputs * self.samples).reshape(-1, inputs)
        blur = random.normal(random.key(seed, "data", "noise"), self.samples)[:, np.newaxis]
        x = 2.0 * places - 1.0
        return Samples(plain(x), plain(self.ideal(x) + self.noise * blur), ())
