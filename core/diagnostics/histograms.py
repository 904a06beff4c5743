"""A histogram counts how many numbers of a layer are how large, in equal bins and in bins that grow with the numbers.

*Linear*: equal bins between the least and the greatest number, as NumPy counts them. *Logarithmic*: signed bins that
grow with the numbers, so that a distribution over many powers of ten is seen whole. Both follow the numbers from step
to step, so nothing leaves them however far a range drifts; every finite number is counted once in each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.kernel import device, intrinsic

magnitude_bits = intrinsic("magnitude_bits")

Array = NDArray[np.float64]

HISTOGRAM_QUANTITIES = ("activation", "gradient", "weight")

BINS = 64  # of the linear histogram
# Two bins an octave, [1, 1.5) and [1.5, 2) times a power of two: the bits of a float say which without any rounding.
HALVES = 64  # logarithmic bins on each side of zero: 32 octaves, nine and a half powers of ten below the greatest
ZERO = HALVES + 1  # the place of the exact zeros among the logarithmic bins
LOG_BINS = 2 * HALVES + 3
NAN, BELOW, ABOVE, NEAR, SATURATED = range(5)  # what is counted apart
SPECIAL = 5

NEAR_ZERO = 0.01  # of the rms: smaller numbers count as near zero

INFINITE = np.int64(0x7FF0000000000000)  # the bits of infinity
LEAST, MOST, SQUARES, NANS, BELOWS, ABOVES = range(6)  # what `survey` finds


@device
def survey(values, factor, found):  # type: ignore[no-untyped-def]
    """Range and sum of squares of the finite ones of `values` (n,) times `factor`, and how many are not finite."""
    low, high, squares = np.inf, -np.inf, 0.0
    nans, below, above = 0, 0, 0
    for i in range(values.size):
        x = np.float64(values[i]) * factor
        if magnitude_bits(x) >= INFINITE:
            if math.isnan(x):
                nans += 1
            elif x > 0.0:
                above += 1
            else:
                below += 1
            continue
        low = x if x < low else low
        high = x if x > high else high
        squares += x * x
    found[0], found[1], found[2] = low, high, squares
    found[3], found[4], found[5] = nans, below, above


@device
def tally(values, factor, edges, top, bounds, linear, logarithmic, special):  # type: ignore[no-untyped-def]
    """Count the finite ones of `values` (n,) times `factor`.

    edges        (BINS + 1,) of the linear bins, ascending from the least number to the greatest
    top          the logarithmic bin of the greatest magnitude, see `half_octave`
    bounds       (4,): saturated at or below the first, at or above the second; near from the third to the fourth
    linear, logarithmic, special   counts that are added to
    """
    # Without branches on the numbers themselves: their signs are as good as random, and a wrong guess costs more than
    # all the rest.
    bins = linear.size
    first, last = 0.5 * edges[0], 0.5 * edges[bins]
    per_bin = bins / (last - first) if last > first else 0.0
    low, high, near_low, near_high = bounds[0], bounds[1], bounds[2], bounds[3]
    saturated, near = np.int64(0), np.int64(0)
    for i in range(values.size):
        x = np.float64(values[i]) * factor
        saturated += np.int64((x <= low) | (x >= high)) & np.int64(abs(x) < np.inf)
        near += np.int64((x >= near_low) & (x <= near_high))
    special[SATURATED] += saturated
    special[NEAR] += near
    for i in range(values.size):
        x = np.float64(values[i]) * factor
        bits = magnitude_bits(x)
        if bits >= INFINITE:
            continue
        place = min(max(np.int64((0.5 * x - first) * per_bin), 0), bins - 1)
        # The product is rounded; the edges decide.
        place -= np.int64((place > 0) & (x < edges[place]))
        place += np.int64((place < bins - 1) & (x >= edges[place + 1]))
        linear[place] += 1
        away = (max(HALVES - (top - (bits >> 51)), 0) + 1) * np.int64(bits > 0)
        logarithmic[ZERO + away * (1 - 2 * np.int64(x < 0.0))] += 1


def half_octave(magnitudes: Array) -> NDArray[np.int64]:
    """The logarithmic bin of positive numbers: twice their float64's exponent, one more from 1.5 times the power on."""
    return np.asarray(np.ascontiguousarray(magnitudes, dtype=np.float64).view(np.int64) >> 51)


def half_octave_edges(bins: NDArray[np.int64]) -> Array:
    """The least number of each logarithmic bin."""
    return (np.asarray(bins, dtype=np.int64) << 51).view(np.float64)


def linear_edges(least: Array, most: Array) -> Array:
    """(n, BINS + 1) edges of the linear bins between `least` and `most` (n,); those of `numpy.linspace`."""
    steps = np.arange(BINS + 1.0)
    with np.errstate(over="ignore", invalid="ignore"):
        width = (most - least) / BINS
        edges = np.asarray(steps * width[:, None] + least[:, None])
        # Ranges that no difference can hold, or so narrow that a part of them is no number.
        odd = ~((width > 0.0) & np.isfinite(width))
        if odd.any():
            share = steps / BINS
            edges[odd] = (1.0 - share) * least[odd, None] + share * most[odd, None]
    edges[:, -1] = most
    return edges


@dataclass(frozen=True)
class Part:
    """Numbers of one layer that are to be counted.

    layer       its place in the record
    values      (n,) as they stand in memory; factor: what they are to be multiplied by
    saturation  numbers at or below the first, or at or above the second, count as saturated
    near        what counts as near; None: up to a hundredth of the rms on both sides of zero
    """

    layer: int
    values: NDArray[Any]
    factor: float = 1.0
    saturation: tuple[float, float] = (-math.inf, math.inf)
    near: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Histograms:
    """The histograms of one quantity at one step, a row a layer.

    layers       (rows,) place of each layer in the record
    least, most  (rows,) range of the finite numbers; NaN where there is none
    rms          (rows,) of the finite numbers
    linear       (rows, BINS) counts between least and most
    logarithmic  (rows, LOG_BINS) counts: negative numbers from the largest to the smallest, exact zeros at ZERO,
                 positive numbers from the smallest to the largest. The bin next to ZERO on either side has all that is
                 smaller than the others.
    top          (rows,) the outermost logarithmic bin, see `half_octave`
    special      (rows, SPECIAL) counts of NaN, minus infinity, infinity; of what is near zero or in the linear part of
                 the activation function, of what is saturated
    """

    layers: NDArray[np.int64]
    least: Array
    most: Array
    rms: Array
    linear: NDArray[Any]
    logarithmic: NDArray[Any]
    top: NDArray[np.int64]
    special: NDArray[Any]

    @property
    def bytes(self) -> int:
        """How much memory the counts take."""
        return self.linear.nbytes + self.logarithmic.nbytes + self.special.nbytes + 40 * len(self.layers)

    def over(self, layers: NDArray[np.int64]) -> Histograms:
        """With a row for each of these layers: an empty one where nothing was counted."""
        known = [self._rows.get(int(layer), -1) for layer in layers]

        def spread(values: NDArray[Any], empty: float) -> NDArray[Any]:
            found = np.full((len(layers), *values.shape[1:]), empty, dtype=values.dtype)
            for row, before in enumerate(known):
                if before >= 0:
                    found[row] = values[before]
            return found

        sizes = (spread(values, np.nan) for values in (self.least, self.most, self.rms))
        counts = (spread(values, 0) for values in (self.linear, self.logarithmic, self.top, self.special))
        return Histograms(layers, *sizes, *counts)

    def moved(self, places: Mapping[int, int]) -> Histograms:
        """Those of the layers that have a place in another record: place here -> place there."""
        kept = [row for row, layer in enumerate(self.layers) if int(layer) in places]
        layers = np.array([places[int(self.layers[row])] for row in kept], dtype=np.int64)
        rest: list[NDArray[Any]] = [self.least, self.most, self.rms, self.linear, self.logarithmic, self.top]
        rest.append(self.special)
        return Histograms(layers, *(array[kept] for array in rest))

    @cached_property
    def finite(self) -> NDArray[np.int64]:
        """(rows,) how many numbers are finite."""
        return np.asarray(self.linear.sum(axis=1, dtype=np.int64))

    @cached_property
    def count(self) -> NDArray[np.int64]:
        """(rows,) how many numbers there are."""
        return np.asarray(self.finite + self.special[:, : ABOVE + 1].sum(axis=1, dtype=np.int64))

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {int(layer): row for row, layer in enumerate(self.layers)}

    def of(self, layer: int) -> Histogram | None:
        """The histogram of the layer at this place in the record; None where it has none."""
        row = self._rows.get(layer)
        return Histogram(self, row) if row is not None and self.count[row] else None


@dataclass(frozen=True)
class Histogram:
    """One row of `Histograms`: how many numbers of a layer are how large.

    Shares are of all numbers, those that are not finite included.
    """

    all: Histograms
    row: int

    @property
    def least(self) -> float:
        return float(self.all.least[self.row])

    @property
    def most(self) -> float:
        return float(self.all.most[self.row])

    @property
    def rms(self) -> float:
        return float(self.all.rms[self.row])

    @property
    def linear(self) -> NDArray[Any]:
        """(BINS,) counts between `edges`."""
        return np.asarray(self.all.linear[self.row])

    @property
    def logarithmic(self) -> NDArray[Any]:
        """(LOG_BINS,) counts, see `Histograms`."""
        return np.asarray(self.all.logarithmic[self.row])

    @property
    def edges(self) -> Array:
        """(BINS + 1,) of the linear bins."""
        return np.asarray(
            linear_edges(self.all.least[self.row : self.row + 1], self.all.most[self.row : self.row + 1])[0]
        )

    @property
    def magnitudes(self) -> Array:
        """(HALVES + 1,) edges of the logarithmic bins on the positive side, behind the bin of what is smaller."""
        return half_octave_edges(np.maximum(self.all.top[self.row] + np.arange(1 - HALVES, 2), 0))

    @property
    def finite(self) -> int:
        """How many numbers are finite."""
        return int(self.all.finite[self.row])

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return int(self.all.count[self.row])

    def _share(self, count: float) -> float:
        return float(count) / max(self.count, 1)

    @property
    def zero(self) -> float:
        """Share of the numbers that are exactly zero."""
        return self._share(self.logarithmic[ZERO])

    @property
    def near(self) -> float:
        """Share near zero, or in the linear part of the activation function."""
        return self._share(self.all.special[self.row, NEAR])

    @property
    def saturated(self) -> float:
        """Share at or beyond the bounds of saturation."""
        return self._share(self.all.special[self.row, SATURATED])

    @property
    def strange(self) -> float:
        """Share that is not finite."""
        return self._share(self.count - self.finite)


def histograms(parts: Sequence[Part]) -> Histograms:
    """Count the numbers of some layers."""
    rows = len(parts)
    found = np.empty((rows, 6))
    for row, part in enumerate(parts):
        survey(part.values, part.factor, found[row])
    known = found[:, LEAST] <= found[:, MOST]
    least, most = np.where(known, found[:, LEAST], np.nan), np.where(known, found[:, MOST], np.nan)
    strange = found[:, [NANS, BELOWS, ABOVES]].astype(np.int64)
    sizes = np.array([part.values.size for part in parts], dtype=np.int64)
    finite = np.maximum(sizes - strange.sum(axis=1), 1)
    greatest = np.where(known, np.maximum(np.abs(least), np.abs(most)), 0.0)
    with np.errstate(over="ignore"):
        rms = np.where(known, np.sqrt(found[:, SQUARES] / finite), np.nan)
    rms = np.where(np.isinf(rms), greatest, rms)  # their squares are no numbers any more
    edges = linear_edges(np.where(known, least, 0.0), np.where(known, most, 0.0))
    top = half_octave(greatest)
    linear = np.zeros((rows, BINS), dtype=np.int64)
    logarithmic = np.zeros((rows, LOG_BINS), dtype=np.int64)
    special = np.zeros((rows, SPECIAL), dtype=np.int64)
    special[:, : ABOVE + 1] = strange
    for row, part in enumerate(parts):
        near = part.near if part.near is not None else (-NEAR_ZERO * rms[row], NEAR_ZERO * rms[row])
        bounds = np.array([*part.saturation, *near])
        tally(part.values, part.factor, edges[row], top[row], bounds, linear[row], logarithmic[row], special[row])
    small = np.dtype(np.uint16 if rows == 0 or sizes.max() < 2**16 else np.uint32)
    return Histograms(
        layers=np.array([part.layer for part in parts], dtype=np.int64),
        least=least,
        most=most,
        rms=rms,
        linear=linear.astype(small),
        logarithmic=logarithmic.astype(small),
        top=top,
        special=special.astype(small),
    )
