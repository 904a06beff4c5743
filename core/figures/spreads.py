"""From counts to outlines: histograms of any ranges on one common axis, linear or signed logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.histograms import BINS, HALVES, ZERO, Histogram, Histograms, half_octave_edges, linear_edges
from .figure import Axis, Scale
from .scales import HUGE, inverse, round_step, transform

Array = NDArray[np.float64]

CELLS = 96  # along the values, where histograms of several ranges share one grid
MOST_DECADES = 16  # between the largest number and the linear part of a symlog axis
WIDE = 100.0  # the ratio of the widest to the narrowest distribution from which a linear axis shows spikes only
MOST_KEPT = 4  # grids that are remembered of each set of histograms
FEW = 0.05  # of the numbers that are not exactly zero may lie in the linear part of a symlog axis


@dataclass(frozen=True)
class Values:
    """The axis of the values, common to all that a figure shows."""

    scale: Scale
    limits: tuple[float, float]
    linear_below: float = 1.0

    def axis(self, label: str) -> Axis:
        return Axis(label, self.scale, self.limits, self.linear_below)

    def places(self, values: Array) -> Array:
        return transform(values, self.scale, self.linear_below)


def values_of(found: Sequence[Histogram], axis: str, by_decades: bool = False) -> Values:
    """Scale and range that show all these histograms, on round numbers so that the axis stands still.

    axis        "linear", "symlog", or "auto": what suits the numbers
    by_decades  symlog suits them, whatever they are
    """
    least, most = np.array([h.least for h in found]), np.array([h.most for h in found])
    known = np.isfinite(least)
    if not known.any():
        return Values("linear", (-1.0, 1.0))
    low, high = max(float(least[known].min()), -HUGE), min(float(most[known].max()), HUGE)
    if any(h.zero > 0.0 for h in found):
        low, high = min(low, 0.0), max(high, 0.0)
    greatest = max(-low, high)
    if greatest == 0.0:
        return Values("linear", (-1.0, 1.0))
    if axis == "symlog" or (axis == "auto" and (by_decades or _lie_apart(found))):
        below = _linear_below(found, greatest)
        first, last = transform([low, high], "symlog", below)
        room = 0.03 * (last - first)
        ends = inverse([math.floor(2.0 * (first - room)) / 2.0, math.ceil(2.0 * (last + room)) / 2.0], "symlog", below)
        return Values("symlog", (float(ends[0]), float(ends[1])), below)
    if high - low < 1e-9 * greatest:
        low, high = low - 0.5 * greatest, high + 0.5 * greatest
    step = 0.5 * round_step(high - low, 6)
    room = 0.02 * (high - low)
    return Values("linear", (math.floor((low - room) / step) * step, math.ceil((high + room) / step) * step))


def _lie_apart(found: Sequence[Histogram]) -> bool:
    """Whether the widest would leave nothing to see of the narrowest."""
    sizes = np.array([h.rms for h in found])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    return bool(sizes.size and sizes.max() > WIDE * sizes.min())


def _linear_below(found: Sequence[Histogram], greatest: float) -> float:
    """A power of ten below which hardly a number of any layer lies."""
    counts = np.array([h.logarithmic for h in found], dtype=np.float64)
    through = np.cumsum(counts[:, ZERO + 1 :] + counts[:, :ZERO][:, ::-1], axis=1)
    some = through[:, -1] > 0.0
    if not some.any():
        return greatest
    few = np.maximum(1.0, FEW * through[:, -1:])
    at = np.maximum((through < few).sum(axis=1) - 1, 0)  # among the edges of the bins beyond the smallest
    top = np.array([h.all.top[h.row] for h in found])
    smallest = float(half_octave_edges(np.maximum(top + at + 1 - HALVES, 0))[some].min())
    smallest = max(smallest, greatest * 10.0**-MOST_DECADES, 1e-290)
    return float(10.0 ** min(math.floor(math.log10(smallest)), math.ceil(math.log10(greatest)) - 1))


def bins_of(found: Sequence[Histogram], values: Values) -> tuple[Array, Array]:
    """(n, bins + 1) edges as numbers and (n, bins) counts of what is not exactly zero; bins may be empty.

    On a signed logarithmic axis all that lies within its linear part is one bin.
    """
    least, most = np.array([h.least for h in found]), np.array([h.most for h in found])
    rows = np.arange(len(found))
    if values.scale == "linear":
        known = np.isfinite(least)
        edges = linear_edges(np.where(known, least, 0.0), np.where(known, most, 0.0))
        counts = np.array([h.linear for h in found], dtype=np.float64)
        zeros = np.array([h.logarithmic[ZERO] for h in found], dtype=np.float64)
        at = np.clip((edges <= 0.0).sum(axis=1) - 1, 0, BINS - 1)
        at = np.where(least == most, BINS - 1, at)  # one value again and again is counted in the last bin
        counts[rows, at] = np.maximum(counts[rows, at] - zeros, 0.0)
        return edges, counts
    sizes = np.array([h.magnitudes for h in found])
    counts = np.array([h.logarithmic for h in found], dtype=np.float64)
    # The first edge beyond the linear part bounds the bin around zero.
    beyond = sizes >= values.linear_below
    first = np.where(beyond.any(axis=1), np.argmax(beyond, axis=1), HALVES)
    inner = sizes[rows, first]
    sizes = np.maximum(sizes, inner[:, None])
    positive, negative = counts[:, ZERO + 2 :].copy(), counts[:, : ZERO - 1][:, ::-1].copy()
    inside = np.arange(HALVES) < first[:, None]
    center = counts[:, ZERO + 1] + counts[:, ZERO - 1] + ((positive + negative) * inside).sum(axis=1)
    positive[inside] = 0.0
    negative[inside] = 0.0
    edges = np.concatenate([-sizes[:, ::-1], sizes], axis=1)
    # Where all numbers lie on one side of zero, the bin around it has only that side.
    edges = np.where((least >= 0.0)[:, None], np.maximum(edges, 0.0), edges)
    edges = np.where((most <= 0.0)[:, None], np.minimum(edges, 0.0), edges)
    return edges, np.concatenate([negative[:, ::-1], center[:, None], positive], axis=1)


@dataclass(frozen=True)
class Curves:
    """Outlines of some histograms, one after the other with a gap between: x as numbers, height from 0 to 1."""

    x: Array
    height: Array
    row: NDArray[np.int64]  # the histogram that each point belongs to


def curves_of(found: Sequence[Histogram], values: Values, counts: str) -> Curves:
    """Frequency polygons, each scaled to its own peak; one value again and again is an upright line."""
    edges, numbers = bins_of(found, values)
    if values.scale == "linear":
        edges, numbers = _merged(edges, numbers, found)
    at = values.places(edges)
    widths = np.diff(at, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(widths > 0.0, numbers / widths, np.nan)
        if counts == "log":
            typical = np.array([np.median(w[w > 0.0]) if (w > 0.0).any() else 1.0 for w in widths])
            density = np.log1p(density * typical[:, None])
        peak = np.nanmax(np.where(np.isfinite(density), density, 0.0), axis=1, initial=0.0)
        heights = density / np.where(peak > 0.0, peak, 1.0)[:, None]
    rows, bins = numbers.shape
    some = numbers > 0.0
    first, last = np.argmax(some, axis=1), bins - 1 - np.argmax(some[:, ::-1], axis=1)
    here, every = np.arange(rows), np.arange(bins)
    inside = (every >= first[:, None]) & (every <= last[:, None]) & (widths > 0.0) & (peak > 0.0)[:, None]
    middles = 0.5 * (at[:, 1:] + at[:, :-1])
    # The foot of the outline, the middles of its bins, its other foot, a gap; then bins that hold nothing are left out.
    gap = np.full((rows, 1), np.nan)
    feet = np.where(peak > 0.0, 0.0, np.nan)[:, None]
    x = np.concatenate([at[here, first][:, None], middles, at[here, last + 1][:, None], gap], axis=1)
    height = np.concatenate([feet, heights, feet, gap], axis=1)
    kept = np.concatenate([np.ones((rows, 1), bool), inside, np.ones((rows, 2), bool)], axis=1)
    for row in np.flatnonzero((peak == 0.0) & some.any(axis=1)):
        x[row, :3], height[row, :3] = at[row, 0], (0.0, 1.0, 0.0)
        kept[row] = False
        kept[row, :3] = kept[row, -1] = True
    whose = np.broadcast_to(here[:, None], x.shape)
    flat = inverse(x[kept], values.scale, values.linear_below)
    return Curves(np.asarray(flat), np.asarray(height[kept]), np.asarray(whose[kept]))


def _merged(edges: Array, numbers: Array, found: Sequence[Histogram]) -> tuple[Array, Array]:
    """Fewer bins where there are few numbers, so that an outline shows their spread and not how they fell."""
    usual = float(np.median([histogram.count for histogram in found]))
    part = 1 if usual >= 64 * BINS else 2 if usual >= 8 * BINS else 4
    return edges[:, ::part], numbers.reshape(len(numbers), -1, part).sum(axis=2)


def on_grid(found: Sequence[Histogram], values: Values, cells: int = CELLS) -> tuple[Array, Array]:
    """(cells + 1,) edges as numbers, and the percentage of each histogram's numbers in each of them, (n, cells)."""
    first, last = values.places(np.array(values.limits))
    grid = np.linspace(float(first), float(last), cells + 1)
    shares = np.zeros((len(found), cells))
    # Over time all but the newest were on this grid before.
    key = (values, cells)
    fresh = []
    for row, histogram in enumerate(found):
        kept = _kept.get(histogram.all, {}).get((histogram.row, *key))
        if kept is None:
            fresh.append(row)
        else:
            shares[row] = kept
    if fresh:
        edges, numbers = bins_of([found[row] for row in fresh], values)
        at = values.places(edges)
        through = np.concatenate([np.zeros((len(fresh), 1)), np.cumsum(numbers, axis=1)], axis=1)
        for place, row in enumerate(fresh):
            histogram = found[row]
            if through[place, -1] > 0.0:
                whole = np.interp(grid, at[place], through[place], left=0.0, right=through[place, -1])
                shares[row] = 100.0 * np.diff(whole) / histogram.count
            known = _kept.setdefault(histogram.all, {})
            while len(known) >= MOST_KEPT:
                del known[next(iter(known))]
            known[(histogram.row, *key)] = shares[row].copy()
    return np.asarray(inverse(grid, values.scale, values.linear_below)), shares


_kept: WeakKeyDictionary[Histograms, dict[tuple[int, Values, int], Array]] = WeakKeyDictionary()
