"""Notes stand where there is room: beside their own line, on top of nothing.

Everything is measured in shares of the axes' width and height, (0, 0) at the lower left, so that the window and the
exports place a note by the same rule whatever their size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .figure import Band, Boxes, Line, Note, Plot, Points, Rule
from .scales import Frame, Frames

Array = NDArray[np.float64]
COLUMNS, ROWS = 17, 19  # of positions that are tried
CLEAR = 0.02  # share of the axes that stays free around a note


def shares(values: Array, frame: Frame) -> Array:
    """Data as shares of the axis: 0 at its low end, 1 at its high end, NaN where it cannot be drawn."""
    low, high = frame.range
    return (frame.places(values) - low) / (high - low)


def _dense(x: Array, y: Array) -> Array:
    """Points along a polyline, close enough that no note fits between two of them: (n, 2)."""
    if len(x) > 160:
        stride = len(x) // 160
        x, y = x[::stride], y[::stride]
    if len(x) < 2:
        return np.column_stack([x, y])
    pieces = max(1, min(24, 320 // len(x)))
    t = np.arange(pieces) / pieces
    along_x = (x[:-1, None] + (x[1:] - x[:-1])[:, None] * t).ravel()
    along_y = (y[:-1, None] + (y[1:] - y[:-1])[:, None] * t).ravel()
    return np.column_stack([np.append(along_x, x[-1]), np.append(along_y, y[-1])])


def covered(plot: Plot, frames: Frames) -> tuple[Array, dict[str, Array]]:
    """Points (n, 2) where something is drawn, in all and by color."""
    by_color: dict[str, list[Array]] = {}
    for mark in plot.marks:
        if isinstance(mark, Line):
            frame = frames.right if mark.axis == "right" and frames.right is not None else frames.y
            found = [_dense(shares(mark.x, frames.x), shares(mark.y, frame))]
        elif isinstance(mark, Band):
            x = shares(mark.x, frames.x)
            low, high = shares(mark.low, frames.y), shares(mark.high, frames.y)
            found = [_dense(x, low), _dense(x, high), _dense(x, (low + high) / 2)]
        elif isinstance(mark, Boxes):
            x = shares(mark.x + mark.shift, frames.x)
            low, high = shares(mark.least, frames.y), shares(mark.most, frames.y)
            low, high = np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0)
            t = np.linspace(0.0, 1.0, 24)
            heights = (low[:, None] + (high - low)[:, None] * t).ravel()
            # Wide boxes are in the way with their edges too.
            half = shares(mark.x + mark.shift + 0.5 * mark.width, frames.x) - x
            wide = len(x) > 0 and bool(np.nanmax(half, initial=0.0) > CLEAR)
            found = [np.column_stack([np.repeat(x + d, 24), heights]) for d in ((-half, 0.0, half) if wide else (0.0,))]
        elif isinstance(mark, Points):
            found = [np.column_stack([shares(mark.x, frames.x), shares(mark.y, frames.y)])]
        elif isinstance(mark, Rule) and mark.across == "y":
            at = float(shares(np.array(mark.at), frames.y))
            t = np.linspace(0.0, 1.0, 64)
            found = [np.column_stack([t, np.full(64, at)])]
        else:
            continue
        by_color.setdefault(mark.color, []).extend(found)
    joined = {color: np.concatenate(parts) for color, parts in by_color.items()}
    joined = {color: points[np.isfinite(points).all(axis=1)] for color, points in joined.items()}
    everything = np.concatenate(list(joined.values())) if joined else np.empty((0, 2))
    return everything, joined


@dataclass(frozen=True)
class Placed:
    """A text of the plot and its center, in shares of the axes."""

    text: str
    color: str
    x: float
    y: float


Box = tuple[float, float, float, float]  # center x, center y, width, height


def place_texts(plot: Plot, frames: Frames, size: Callable[[str], tuple[float, float]]) -> list[Placed]:
    """Labels of level rules and free notes, with the places found for them: off the data, and off each other.

    size   (width, height) of a text as shares of the axes
    """
    found: list[Placed] = []
    taken: list[Box] = []
    for mark in plot.marks:
        if isinstance(mark, Rule) and mark.across == "y" and mark.label:
            low, high = frames.y.limits
            if low <= mark.at <= high:
                x, y = _on_rule(plot, frames, mark, size(mark.label), taken)
                taken.append((x, y, *size(mark.label)))
                color = "muted" if mark.color in ("grid", "axis") else mark.color
                found.append(Placed(mark.label, color, x, y))
    notes = [mark for mark in plot.marks if isinstance(mark, Note) and mark.free]
    if notes:
        obstacles, by_color = covered(plot, frames)
        for note in notes:
            own = by_color.get(note.color, np.empty((0, 2)))
            width, height = size(note.text)
            x, y = _best(note, width, height, obstacles, own, taken, frames)
            taken.append((x, y, width, height))
            found.append(Placed(note.text, note.color, x, y))
    return found


def place_notes(plot: Plot, frames: Frames, sizes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Centers of the plot's free notes, in the order of its marks, where level rules have no labels to mind.

    sizes   (width, height) of each free note as shares of the axes
    """
    free = tuple(mark for mark in plot.marks if isinstance(mark, Note) and mark.free)
    by_note = dict(zip(free, sizes, strict=True))
    obstacles, by_color = covered(plot, frames)
    taken: list[Box] = []
    for note in free:
        own = by_color.get(note.color, np.empty((0, 2)))
        x, y = _best(note, *by_note[note], obstacles, own, taken, frames)
        taken.append((x, y, *by_note[note]))
    return [(x, y) for x, y, _width, _height in taken]


def _on_rule(
    plot: Plot, frames: Frames, rule: Rule, size: tuple[float, float], taken: list[Box]
) -> tuple[float, float]:
    """Center of a level rule's label: above or below it, at the end or in the middle, where it covers least."""
    points, _by_color = covered(replace(plot, marks=tuple(m for m in plot.marks if m is not rule)), frames)
    at = float(shares(np.array(rule.at), frames.y))
    half_w, half_h = size[0] / 2, size[1] / 2
    tried = [
        (x, y)
        for y in (at + half_h + CLEAR / 2, at - half_h - CLEAR / 2)
        for x in (1.0 - half_w - CLEAR / 2, half_w + CLEAR / 2, 0.5, 0.3, 0.7)
        if y - half_h >= 0.0 and y + half_h <= 1.0
    ] or [(1.0 - half_w, min(max(at, half_h), 1.0 - half_h))]

    def hidden(center: tuple[float, float]) -> int:
        over = sum(abs(center[0] - x) < half_w + w / 2 and abs(center[1] - y) < half_h + h / 2 for x, y, w, h in taken)
        if not len(points):
            return 1000 * over
        away = np.abs(points - center)
        return 1000 * over + int(((away[:, 0] < half_w) & (away[:, 1] < half_h)).sum())

    return min(tried, key=hidden)


def _best(
    note: Note,
    width: float,
    height: float,
    obstacles: Array,
    own: Array,
    taken: list[Box],
    frames: Frames,
) -> tuple[float, float]:
    half_w, half_h = width / 2 + CLEAR, height / 2 + CLEAR
    grid_x, grid_y = np.meshgrid(
        np.linspace(min(half_w, 0.5), max(1.0 - half_w, 0.5), COLUMNS),
        np.linspace(min(half_h, 0.5), max(1.0 - half_h, 0.5), ROWS),
    )
    x, y = grid_x.ravel(), grid_y.ravel()
    cost = np.zeros(len(x))
    if len(obstacles):
        inside = (np.abs(obstacles[:, 0] - x[:, None]) < half_w) & (np.abs(obstacles[:, 1] - y[:, None]) < half_h)
        cost += 10.0 * np.minimum(inside.sum(axis=1), 40)
    for other_x, other_y, other_w, other_h in taken:
        apart_x, apart_y = half_w + other_w / 2, half_h + other_h / 2
        cost += 2000.0 * ((np.abs(x - other_x) < apart_x) & (np.abs(y - other_y) < apart_y))
    # Close to its own line, and rather near the place that the figure asked for.
    if len(own):
        gap_x = np.maximum(np.abs(own[:, 0] - x[:, None]) - half_w, 0.0)
        gap_y = np.maximum(np.abs(own[:, 1] - y[:, None]) - half_h, 0.0)
        cost += 3.0 * np.sqrt((gap_x**2 + gap_y**2).min(axis=1))
    wanted_x = float(shares(np.array(note.x), frames.x))
    wanted_y = float(shares(np.array(note.y), frames.y))
    wanted_x = min(max(wanted_x, 0.0), 1.0) if np.isfinite(wanted_x) else 0.5
    wanted_y = min(max(wanted_y, 0.0), 1.0) if np.isfinite(wanted_y) else 0.5
    cost += 0.4 * np.hypot(x - wanted_x, y - wanted_y)
    best = int(np.argmin(cost))
    return float(x[best]), float(y[best])
