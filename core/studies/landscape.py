"""The loss on a plane through the present weights: a slice of a landscape of as many dimensions as there are weights.

Two directions span the plane. Random ones are scaled filter by filter to the size of the weights (Li et al. 2018,
"Visualizing the loss landscape of neural nets", section 4), so that a unit of length means the same in every network;
or one is the way downhill; or both are those in which the training has moved most (principal components of its path,
section 7 there).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..fields import about
from ..loss_surface import LossSurface, SamplesOption, places_of, surface_of
from ..text import N_
from .base import Progress, Study, inside

if TYPE_CHECKING:
    from ..run import Run

Array = NDArray[np.float64]
Directions = Literal["random", "gradient", "path"]
MOST_PLACES = 64  # of the path
MARGIN = 0.2  # of the path's extent, around it

# The settings, which the figure has too.
DirectionsOption = Annotated[
    Directions,
    about(
        N_("directions"),
        N_(
            "random: two random ones, filter by filter as long as the weights; gradient: downhill, and a random one; "
            "path: the two in which the training has moved most."
        ),
    ),
]
ReachOption = Annotated[
    float,
    about(
        N_("reach"),
        N_("How far from the weights the map goes, in lengths of the weights; a path makes its own."),
        minimum=1e-3,
        maximum=100.0,
        scale="log",
    ),
]
ResolutionOption = Annotated[
    int, about(N_("resolution"), N_("Points to a side; the middle one is the network."), minimum=5, maximum=101)
]
DrawOption = Annotated[
    int,
    about(
        N_("draw"),
        N_("Which random directions; the same in all lanes whose networks are alike."),
        minimum=0,
        maximum=1_000_000,
    ),
]


@dataclass(frozen=True, eq=False)
class Landscape:
    """The loss on a grid, and the path on it.

    directions   what spans the plane: as asked for, or "random" where there is no path or slope yet
    x, y         (columns,), (rows,) places on the two axes, in lengths of the weights; the network is at 0, 0
    loss         (rows, columns); what is not finite stays so
    here         the loss at 0, 0
    path         (places, 2) where the training was, projected onto the plane
    path_steps   (places,)
    path_losses  (places,) the real loss there, off the plane
    inside       share of the squared length of the path that lies in the plane
    shares       of the path's spread along the two axes, where they are its principal components; else NaN
    slope        of the loss along the first axis at 0, 0, in loss per length of the weights; NaN where it is not known
    samples      that the loss is the mean of
    together     of them at a time, where batch norm compares them; 0 where nothing does
    length       of the weights: one unit of the axes
    """

    directions: Directions
    x: Array
    y: Array
    loss: Array
    here: float
    path: Array
    path_steps: NDArray[np.int64]
    path_losses: Array
    inside: float
    shares: tuple[float, float]
    slope: float
    samples: int
    together: int
    length: float


@Study.registry.add("landscape")
class LandscapeStudy(Study, frozen=True, kw_only=True, tag="landscape"):
    """The loss on a plane through the weights."""

    label: ClassVar[str] = N_("Landscape")
    demanded: ClassVar[bool] = True

    directions: DirectionsOption = "random"
    reach: ReachOption = 1.0
    resolution: ResolutionOption = 25
    samples: SamplesOption = 256
    draw: DrawOption = 0

    def needs_whole_run(self, told: Mapping[str, Any]) -> bool:
        return True  # its path is drawn

    def work(self, run: Run) -> Progress:
        yield 0.0
        places = places_of(run, MOST_PLACES)
        surface = yield from inside(surface_of(run, self.samples), lambda _: 0.0)
        here = places[-1].weights
        with np.errstate(all="ignore"):
            length = _length(surface, here)
            unit = length if length > 0.0 and math.isfinite(length) else 1.0
            kind, first, second, shares, slope = self._plane(surface, here, unit, [place.weights for place in places])
            away = np.array([place.weights - here for place in places])
            path, within = _projected(away, first, second)
            x, y = self._grid(kind, path)
            loss = np.full((len(y), len(x)), np.nan)
            total, done = loss.size + len(places), 0
            for row, up in enumerate(y):
                for column, across in enumerate(x):
                    loss[row, column] = surface.loss(here + across * first + up * second)
                    done += 1
                    yield done / total
            losses = np.empty(len(places))
            for index, place in enumerate(places):
                losses[index] = surface.loss(place.weights)
                done += 1
                yield done / total
        return Landscape(
            directions=kind,
            x=x,
            y=y,
            loss=loss,
            here=float(losses[-1]),
            path=path,
            path_steps=np.array([place.step for place in places], dtype=np.int64),
            path_losses=losses,
            inside=within,
            shares=shares,
            slope=slope,
            samples=surface.samples,
            together=surface.rows if surface.compares else 0,
            length=length,
        )

    def _plane(
        self, surface: LossSurface, here: Array, unit: float, path: list[Array]
    ) -> tuple[Directions, Array, Array, tuple[float, float], float]:
        """What spans the plane, its two directions with the length of one unit, see `Landscape`."""
        one, other = (self._random(surface, here, unit, name) for name in ("first", "second"))
        none = (math.nan, math.nan)
        if self.directions == "gradient":
            _loss, gradient = surface.gradient(here)
            size = float(np.linalg.norm(gradient))
            if size > 0.0 and math.isfinite(size):
                downhill = -gradient / size * unit
                other = _upright(one, downhill, unit)
                return "gradient", downhill, other, none, -size * unit
        elif self.directions == "path" and len(path) > 1:
            moved = _principal(np.array(path) - here)
            if moved is not None:
                axes, spread = moved
                first = axes[0] * unit
                second = axes[1] * unit if len(axes) > 1 else _upright(one, first, unit)
                return "path", first, second, (spread[0], spread[1] if len(spread) > 1 else 0.0), math.nan
        return "random", one, other, none, math.nan

    def _random(self, surface: LossSurface, here: Array, unit: float, name: str) -> Array:
        """A random direction, every unit's (filter's) part of it as long as the unit's weights; biases and what
        normalizations learn stay as they are. A layer whose weights are all zero moves with one like a fresh one.
        """
        found = np.zeros_like(here)
        for tensor in surface.tensors:
            if not tensor.parameter.weight:
                continue
            stream = random.key(self.draw, f"landscape {name}", tensor.name)
            drawn = random.normal(stream, tensor.parameter.count).reshape(-1, tensor.parameter.shape[-1])
            weights = surface.part(here, tensor).reshape(drawn.shape)
            drawn *= np.linalg.norm(weights, axis=0) / np.linalg.norm(drawn, axis=0)
            surface.part(found, tensor)[...] = drawn.reshape(tensor.parameter.shape)
        if not found.any():
            return _upright(random.normal(random.key(self.draw, f"landscape {name}"), len(here)), None, unit)
        return found

    def _grid(self, kind: Directions, path: Array) -> tuple[Array, Array]:
        """Places along both axes; 0 is one of them."""
        half = self.resolution // 2
        if kind != "path":
            side = np.asarray(self.reach * np.arange(-half, half + 1) / half, dtype=np.float64)
            return side, side
        low, high = path.min(axis=0), path.max(axis=0)
        largest = float(np.max(high - low))
        sides: list[Array] = []
        for axis in range(2):
            extent = max(float(high[axis] - low[axis]), 0.5 * largest)
            middle = 0.5 * float(high[axis] + low[axis])
            start, stop = middle - (0.5 + MARGIN) * extent, middle + (0.5 + MARGIN) * extent
            step = (stop - start) / (2 * half)
            first = math.floor(start / step)
            sides.append(np.asarray(step * np.arange(first, first + 2 * half + 2), dtype=np.float64))
        return sides[0], sides[1]


def _length(surface: LossSurface, weights: Array) -> float:
    """Of all weights, without biases and what normalizations learn."""
    squares = [float(np.sum(surface.part(weights, t) ** 2)) for t in surface.tensors if t.parameter.weight]
    return math.sqrt(sum(squares))


def _upright(direction: Array, on: Array | None, unit: float) -> Array:
    """The part of a direction that stands at a right angle on another one, of length `unit`."""
    found = direction
    if on is not None:
        found = direction - (direction @ on) / (on @ on) * on
    size = float(np.linalg.norm(found))
    return np.asarray(found / size * unit if size > 0.0 else found)


def _principal(away: Array) -> tuple[Array, tuple[float, ...]] | None:
    """Up to two directions (n, weights) of length 1 in which the places (places, weights) lie apart most, and the share
    of their spread along each; None where they are all at one place or not finite.
    """
    if not np.isfinite(away).all():
        return None
    gram = away @ away.T  # the last place is the present one, at 0: distances are measured from it, as Li et al. do
    values, vectors = np.linalg.eigh(gram)
    total = float(np.trace(gram))
    axes, shares = [], []
    for index in (-1, -2):
        if len(values) >= -index and total > 0.0 and values[index] > 1e-12 * total:
            axis = vectors[:, index] @ away / math.sqrt(values[index])
            # the path comes from the left, so that pictures of several lanes look alike
            farthest = away @ axis
            sign = -1.0 if farthest[int(np.argmax(np.abs(farthest)))] > 0.0 else 1.0
            axes.append(sign * axis)
            shares.append(float(values[index]) / total)
    return (np.array(axes), tuple(shares)) if axes else None


def _projected(away: Array, first: Array, second: Array) -> tuple[Array, float]:
    """(places, 2) of the points of the plane that are nearest to the places, and the share of the squared lengths that
    lies in the plane.
    """
    axes = np.array([first, second])
    gram = axes @ axes.T
    if not np.isfinite(away).all() or not np.isfinite(gram).all() or np.linalg.matrix_rank(gram) < 2:
        return np.full((len(away), 2), np.nan), math.nan
    found = np.linalg.solve(gram, axes @ away.T).T
    whole = float(np.sum(away * away))
    part = float(np.sum((found @ axes) ** 2))
    return found, part / whole if whole > 0.0 else math.nan
