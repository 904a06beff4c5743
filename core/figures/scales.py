"""A scale says where on an axis a number stands and which numbers are written beside it.

Axes are linear, logarithmic, or both at once ("symlog": linear around zero, logarithmic beyond). The window and the
exports use these same functions, so that both show the same range with the same words. They draw in *places*: the
number itself on a linear axis, its decimal logarithm on a logarithmic one. What lies outside the shown range is
marked at the edge (`Frame.beyond`), never left out in silence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .figure import Axis, Band, Boxes, Heatmap, Line, Plot, Points, Rule, Scale

Array = NDArray[np.float64]

TICKS = 6  # about as many numbers as an axis should carry
ROBUST_FROM = 24  # fewer values than this are always shown completely
SPREADS = 2.0  # how many times the range of the middle 98 % an outlier may stretch the axis
HUGE = 1e300  # an axis ends here at the latest
NARROW_SPACE = "\u202f"
MINUS = "\u2212"


class Tick(NamedTuple):
    """A number beside an axis: where (in data units, and as a place) and what is written."""

    at: float
    place: float
    text: str


@dataclass(frozen=True)
class Frame:
    """An axis ready to be drawn: scale, range, ticks.

    limits   shown range in data units, low < high
    """

    scale: Scale
    limits: tuple[float, float]
    ticks: tuple[Tick, ...]
    linear_below: float = 1.0
    whole: bool = False

    def places(self, values: ArrayLike) -> Array:
        """Where numbers stand; NaN for those that cannot be drawn on this scale."""
        return transform(values, self.scale, self.linear_below)

    def place(self, value: float) -> float:
        return float(transform(value, self.scale, self.linear_below))

    @property
    def range(self) -> tuple[float, float]:
        """The shown range as places."""
        return self.place(self.limits[0]), self.place(self.limits[1])

    def beyond(self, values: ArrayLike) -> NDArray[np.int8]:
        """-1 where a number lies below the shown range, 1 above it, 0 within (or where it cannot be drawn)."""
        x = np.asarray(values, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return (x > self.limits[1]).astype(np.int8) - ((x < self.limits[0]) & self._drawable(x)).astype(np.int8)

    def _drawable(self, values: Array) -> NDArray[np.bool_]:
        return values > 0.0 if self.scale == "log" else np.isfinite(values)

    def zoomed(self, low: float, high: float, count: int = TICKS) -> Frame:
        """The same scale with another range (data units) and its ticks, for panning and zooming."""
        return replace(
            self, limits=(low, high), ticks=ticks(low, high, self.scale, self.linear_below, count, self.whole)
        )


# --- scales


def transform(values: ArrayLike, scale: Scale, linear_below: float = 1.0) -> Array:
    """Numbers to places. A logarithmic axis has no place for zero and negative numbers: they become NaN, a gap."""
    x = np.asarray(values, dtype=np.float64)
    if scale == "linear":
        return np.where(np.isfinite(x), x, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if scale == "log":
            y = np.log10(np.where(x > 0.0, x, np.nan))
        else:
            size = np.abs(x) / linear_below
            y = np.where(size <= 1.0, x / linear_below, np.copysign(1.0 + np.log10(size), x))
        return np.where(np.isfinite(y), y, np.nan)


def inverse(places: ArrayLike, scale: Scale, linear_below: float = 1.0) -> Array:
    """Places to numbers."""
    y = np.asarray(places, dtype=np.float64)
    if scale == "linear":
        return y
    with np.errstate(over="ignore"):
        if scale == "log":
            return np.asarray(10.0**y)
        size = np.abs(y)
        return np.where(size <= 1.0, y * linear_below, np.copysign(linear_below * 10.0 ** (size - 1.0), y))


# --- ticks


def ticks(
    low: float, high: float, scale: Scale, linear_below: float = 1.0, count: int = TICKS, whole: bool = False
) -> tuple[Tick, ...]:
    """Round numbers from low to high (data units), about `count`, with their texts."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return ()
    if scale == "log":
        return _log_ticks(low, high, count) if low > 0.0 else ()
    if scale == "symlog" and max(abs(low), abs(high)) > 2.0 * linear_below:
        powers = tuple(t for t in _symlog_ticks(low, high, linear_below, count) if low <= t.at <= high)
        if len(powers) > 1:
            return powers
    at = _round_numbers(low, high, count, 1.0 if whole else 0.0)
    return _with_texts(at, [float(transform(v, scale, linear_below)) for v in at], linear_texts(at))


def _with_texts(at: Sequence[float], places: Iterable[float], texts: Sequence[str]) -> tuple[Tick, ...]:
    found: list[Tick] = []
    for number, place, text in zip(at, places, texts, strict=True):
        # Far from zero, neighbors can be too close for words to tell apart; one of them is enough.
        if not found or found[-1].text != text:
            found.append(Tick(float(number), float(place), text))
    return tuple(found)


def round_step(span: float, count: int) -> float:
    """The step 1, 2, 2.5 or 5 times a power of ten that divides a span into at most `count` parts."""
    rough = span / max(count, 1)
    if not (rough > 0.0 and math.isfinite(rough)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    if power == 0.0:
        return rough
    return float(next(power * m for m in (1.0, 2.0, 2.5, 5.0, 10.0) if power * m >= rough * (1.0 - 1e-9)))


def _round_numbers(low: float, high: float, count: int, least_step: float = 0.0) -> list[float]:
    step = max(round_step(high - low, count), least_step)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, min(last, first + 50) + 1)]


def _log_ticks(low: float, high: float, count: int) -> tuple[Tick, ...]:
    first, last = math.log10(low), math.log10(high)
    whole = range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)
    if len(whole) >= 3 or last - first > 2.0:
        exponents = _every(list(whole), count)
        return _with_texts([10.0**e for e in exponents], exponents, _power_texts(exponents))
    if last - first > 0.5:
        # Less than three powers of ten: 1, 2 and 5 times each.
        at = [
            m * 10.0**e
            for e in range(math.floor(first), math.ceil(last) + 1)
            for m in (1.0, 2.0, 5.0)
            if low * (1 - 1e-9) <= m * 10.0**e <= high * (1 + 1e-9)
        ]
    else:
        at = [v for v in _round_numbers(low, high, count) if v > 0.0]
    texts = [number_text(v) for v in at] if last - first > 0.5 else linear_texts(at)
    return _with_texts(at, [math.log10(v) for v in at], texts)


def _symlog_ticks(low: float, high: float, linear_below: float, count: int) -> tuple[Tick, ...]:
    def exponents(limit: float) -> list[int]:
        if limit < linear_below:
            return []
        return list(range(math.ceil(math.log10(linear_below) - 1e-9), math.floor(math.log10(limit) + 1e-9) + 1))

    up, down = exponents(high), exponents(-low)
    both = sorted({*up, *down})
    kept = set(_every(both, max(2, count // (1 + bool(up and down))), from_end=False))
    at = [-(10.0**e) for e in reversed(down) if e in kept]
    texts = [MINUS + t for t in _power_texts([e for e in reversed(down) if e in kept])]
    if low <= 0.0 <= high:
        at.append(0.0)
        texts.append("0")
    at += [10.0**e for e in up if e in kept]
    texts += _power_texts([e for e in up if e in kept])
    places = [float(transform(v, "symlog", linear_below)) for v in at]
    # Where the linear part is short, the numbers around zero would stand on top of each other.
    ends = transform([low, high], "symlog", linear_below)
    clear = float(ends[1] - ends[0]) / (2.0 * count)
    kept_at = [i for i, place in enumerate(places) if place == 0.0 or abs(place) >= clear]
    return _with_texts([at[i] for i in kept_at], [places[i] for i in kept_at], [texts[i] for i in kept_at])


def _every(exponents: list[int], count: int, from_end: bool = True) -> list[int]:
    """Every, every second, third ... exponent, so that few enough remain; those that the stride divides."""
    stride = next(s for s in (1, 2, 3, 4, 5, 10, 20, 25, 50, 100, 200, 400) if len(exponents) <= s * count or s == 400)
    if from_end:
        return [e for e in exponents if e % stride == 0]
    return exponents[::stride]


def _power_texts(exponents: Sequence[int]) -> list[str]:
    """Powers of ten in one style: plain numbers as long as all of them are short."""
    if all(-3 <= e <= 4 for e in exponents):
        return [number_text(10.0**e) for e in exponents]
    return [{0: "1", 1: "10"}.get(e, f"1e{e}") for e in exponents]


def linear_texts(at: Sequence[float]) -> list[str]:
    """Numbers with as many decimals as tell them apart; huge and tiny ones with a power of ten."""
    largest = max((abs(v) for v in at), default=0.0)
    if largest == 0.0:
        return ["0"] * len(at)
    step = min((b - a for a, b in itertools.pairwise(at)), default=largest)
    if largest >= 1e7 or largest < 1e-3:
        digits = max(0, math.floor(math.log10(largest)) - math.floor(math.log10(max(step, 1e-300)) + 1e-9))
        return [_tidy(f"{v:.{min(digits, 15)}e}") if v else "0" for v in at]
    decimals = max(0, -math.floor(math.log10(max(step, 1e-12)) + 1e-9))
    decimals += any(abs(round(v, decimals) - v) > 1e-3 * step for v in at)  # steps of 2.5
    return [_tidy(f"{v:,.{decimals}f}") for v in at]


def number_text(value: float, digits: int = 2) -> str:
    """A number with a few significant digits: "0.24", "1.2e-7", "12 000"; "NaN" and "∞" by name."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else MINUS + "∞"
    if value == 0.0:
        return "0"
    value = float(f"{value:.{digits - 1}e}")
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    if exponent < -4 or exponent >= 6:
        return _tidy(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - exponent)
    text = f"{value:,.{decimals}f}"
    return _tidy(text.rstrip("0").rstrip(".") if "." in text else text)


def _tidy(text: str) -> str:
    """ "1.0e-07" as "1e-7", "-2" with a minus sign, thousands set apart by a narrow space from 10 000 on."""
    if "e" in text:
        mantissa, exponent = text.split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        text = f"{mantissa}e{int(exponent)}"
    if text.startswith("-"):
        text = MINUS + text[1:] if text.strip("-0.,") else text[1:]
    digits = text.lstrip(MINUS).split(".")[0]
    return text.replace(",", NARROW_SPACE if len(digits) > 5 else "")


# --- ranges


def robust_range(places: Array) -> tuple[float, float] | None:
    """The range of finite places that shows them well: of all of them, or without a few that would flatten the rest.

    None when nothing is finite. An outlier is cut only when it lies farther away than twice the range of the middle
    98 %.
    """
    finite = places[np.isfinite(places)]
    if finite.size == 0:
        return None
    low, high = float(finite.min()), float(finite.max())
    if finite.size < ROBUST_FROM or low == high:
        return low, high
    edge = max(1, finite.size // 100)
    inside = np.partition(finite, (edge, finite.size - 1 - edge))
    first, last = float(inside[edge]), float(inside[-1 - edge])
    span = last - first
    if span <= 0.0:
        return low, high
    if low < first - SPREADS * span:
        low = first - 0.25 * span
    if high > last + SPREADS * span:
        high = last + 0.25 * span
    return low, high


def fit(
    axis: Axis,
    values: Iterable[Array],
    exact: bool = False,
    count: int = TICKS,
    always: Iterable[float] = (),
) -> Frame:
    """The frame of an axis for the values drawn along it.

    exact    end where the data end (steps), instead of a little outside on round numbers
    always   numbers that must be inside, such as a rule's, unless they are far away
    """
    if axis.limits is not None:
        low, high = axis.limits
    else:
        shown = _flat([transform(v, axis.scale, axis.linear_below) for v in values])
        wanted = robust_range(shown)
        wanted = _stretched(wanted, transform(list(always), axis.scale, axis.linear_below))
        if wanted is None:
            low, high = {"linear": (0.0, 1.0), "log": (1e-3, 1.0), "symlog": (-1.0, 1.0)}[axis.scale]
        else:
            low, high = _limits(*wanted, axis, exact)
    low, high = _ordered(low, high, axis.scale)
    if axis.ticks is not None:
        named = [(at, text) for at, text in axis.ticks if low <= at <= high]
        places = transform([at for at, _ in named], axis.scale, axis.linear_below)
        # names, unlike numbers, may well be the same twice
        found = tuple(Tick(at, float(place), text) for (at, text), place in zip(named, places, strict=True))
    else:
        found = ticks(low, high, axis.scale, axis.linear_below, count, axis.whole)
    return Frame(axis.scale, (low, high), found, axis.linear_below, axis.whole)


def _flat(parts: list[Array]) -> Array:
    return np.concatenate([np.ravel(p) for p in parts]) if parts else np.empty(0)


def _stretched(wanted: tuple[float, float] | None, always: Array) -> tuple[float, float] | None:
    always = always[np.isfinite(always)]
    if always.size == 0:
        return wanted
    if wanted is None:
        return float(always.min()), float(always.max())
    low, high = wanted
    room = SPREADS * (high - low) if high > low else math.inf
    near = always[(always >= low - room) & (always <= high + room)]
    return (min(low, float(near.min())), max(high, float(near.max()))) if near.size else wanted


def _limits(low: float, high: float, axis: Axis, exact: bool) -> tuple[float, float]:
    """Places to limits in data units, with room around the data."""
    # so that their distance is a number
    low, high = min(max(low, -HUGE), HUGE), min(max(high, -HUGE), HUGE)
    if low == high:
        if axis.scale == "linear":
            room = 0.5 if exact or low == 0.0 else 0.5 * abs(low)
        else:
            room = 0.5
        low, high = low - room, high + room
    elif not exact:
        span = high - low
        step = (
            round_step(span, TICKS) if axis.scale == "linear" else 0.5 if axis.scale == "symlog" else min(1.0, span / 2)
        )
        bottom = low
        # On half steps, so that the range stands still while the data move a little.
        low = math.floor((low - 0.03 * span) / (0.5 * step)) * 0.5 * step
        high = math.ceil((high + 0.03 * span) / (0.5 * step)) * 0.5 * step
        if axis.scale == "linear" and bottom >= 0.0 > low:
            low = -0.015 * high  # nothing below zero is drawn; just enough room for a point at zero
    ends = inverse([low, high], axis.scale, axis.linear_below)
    return float(ends[0]), float(ends[1])


def _ordered(low: float, high: float, scale: Scale) -> tuple[float, float]:
    """Limits that can be drawn, whatever was asked for."""
    tiny = 1e-300
    if math.isnan(low) or math.isnan(high):
        low, high = (tiny, 1.0) if scale == "log" else (0.0, 1.0)
    if scale == "log":
        low, high = min(max(low, tiny), HUGE), min(max(high, tiny), HUGE)
        return (low, high) if high > low * (1 + 1e-9) else (low / 3.0, low * 3.0)
    low, high = min(max(low, -HUGE), HUGE), min(max(high, -HUGE), HUGE)
    if high - low > 1e-12 * max(abs(low), abs(high)):
        return low, high
    room = 0.5 * abs(low) if low else 0.5
    return low - room, low + room


@dataclass(frozen=True)
class Frames:
    """The axes of a plot."""

    x: Frame
    y: Frame
    right: Frame | None


def frames(plot: Plot, count_x: int = TICKS, count_y: int = TICKS) -> Frames:
    """Range and ticks of all axes of a plot, from what stands in it.

    count_x, count_y   about how many ticks there is room for
    """
    x: list[Array] = []
    left: list[Array] = []
    right: list[Array] = []
    always: dict[str, list[float]] = {"x": [], "y": []}
    exact_y = False
    for mark in plot.marks:
        if isinstance(mark, Line):
            x.append(mark.x)
            (left if mark.axis == "left" else right).append(mark.y)
        elif isinstance(mark, Band):
            x.append(mark.x)
            left += [mark.low, mark.high]
        elif isinstance(mark, Boxes):
            x += [mark.x + mark.shift - mark.width, mark.x + mark.shift + mark.width]
            left += [mark.least, mark.most, *(mark.outer or ()), *(mark.inner or ())]
        elif isinstance(mark, Points):
            x.append(mark.x)
            left.append(mark.y)
        elif isinstance(mark, Heatmap):
            x.append(mark.x_edges)
            left.append(mark.y_edges)
            exact_y = True
        elif isinstance(mark, Rule):
            always["y" if mark.across == "y" else "x"].append(mark.at)
    # Rules across x mark moments; those outside the data say nothing about the range.
    return Frames(
        x=fit(plot.x, x, exact=True, count=count_x),
        y=fit(plot.y, left, exact=exact_y, count=count_y, always=always["y"]),
        right=fit(plot.right, right, count=count_y) if plot.right is not None else None,
    )


def color_limits(heatmap: Heatmap) -> tuple[float, float]:
    """The ends of a heatmap's color scale, in data units, robust like an axis."""
    if heatmap.limits is not None:
        return _ordered(*heatmap.limits, heatmap.scale)
    wanted = robust_range(transform(heatmap.values, heatmap.scale).ravel())
    if wanted is None:
        return (1e-3, 1.0) if heatmap.scale == "log" else (0.0, 1.0)
    ends = inverse(list(wanted), heatmap.scale)
    return _ordered(float(ends[0]), float(ends[1]), heatmap.scale)


def thinned(given: Sequence[Tick], most: int) -> tuple[Tick, ...]:
    """Every, every second, third ... tick, so that at most `most` remain; the last one always does ("out")."""
    if len(given) <= most:
        return tuple(given)
    stride = -(-(len(given) - 1) // max(most - 1, 1))
    kept = list(given[::stride])
    if kept[-1] is not given[-1]:
        if (len(given) - 1) % stride < max(1, stride // 2 + 1) and len(kept) > 1:
            kept.pop()
        kept.append(given[-1])
    return tuple(kept)


def clip_marks(x: Array, y: Array, frame: Frame, side: Literal[-1, 1]) -> Array:
    """The x of points above (side 1) or below (-1) the shown range: painters put a small arrow at that edge."""
    return np.asarray(np.asarray(x)[frame.beyond(y) == side])
