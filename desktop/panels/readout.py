"""What stands under the mouse, in exact numbers: the nearest point of a line, a box with all its ends, a cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF

from layerscope.core.figures.figure import Axis, Boxes, Heatmap, Line, Pictures, Points
from layerscope.core.figures.scales import inverse, number_text
from layerscope.core.text import _

if TYPE_CHECKING:
    from .area import PlotArea

NEAR = 9.0  # pixels within which a marker is meant that no line leads to
REACH = 36.0  # pixels within which a point is meant
DIGITS = 4


@dataclass(frozen=True)
class Reading:
    """lines: what is said; point: what it is said of, in pixels; color: its color's role."""

    lines: tuple[str, ...]
    point: QPointF
    color: str


def reading(area: PlotArea, position: QPointF, step: str = "") -> Reading | None:
    """What is under a position (pixels); None where nothing is.

    step   of the figure, said where no axis says it
    """
    if not area.where.adjusted(-4, -4, 4, 4).contains(position) or not area.frames:
        return None
    found: list[tuple[float, Reading]] = []
    for mark in area.plot.marks:
        near: tuple[float, Reading] | None = None
        if isinstance(mark, Line):
            near = _on_line(area, mark, position)
        elif isinstance(mark, Boxes):
            near = _in_boxes(area, mark, position)
        elif isinstance(mark, Points):
            near = _on_points(area, mark, position)
        elif isinstance(mark, Pictures):
            near = _in_picture(area, mark, position)
        elif isinstance(mark, Heatmap):
            near = _in_cell(area, mark, position)
        if near is not None:
            found.append(near)
    if not found:
        return None
    nearest = min(found, key=lambda pair: pair[0])[1]
    if step and not area.view.time_plots:
        nearest = Reading((*nearest.lines, _("step {step}").format(step=step)), nearest.point, nearest.color)
    return nearest


def said(axis: Axis, value: float) -> str:
    """ "layer: 3", "loss: 0.2135"; the name where the axis has names."""
    if axis.ticks is not None:
        at, name = min(axis.ticks, key=lambda tick: abs(tick[0] - value), default=(math.nan, ""))
        if abs(at - value) < 0.5:
            return f"{axis.label}: {name}"
    text = number_text(value, 9) if float(value).is_integer() and abs(value) < 1e9 else number_text(value, DIGITS)
    return f"{axis.label}: {text}" if axis.label else text


def _nearest(
    area: PlotArea, x: NDArray[np.float64], y: NDArray[np.float64], position: QPointF, reach: float
) -> tuple[int, float, QPointF] | None:
    """(number, distance in pixels, where it is) of the point nearest to a position; x, y (n,): places on the axes."""
    (left, right), (bottom, top) = area.span("x"), area.span("y")
    across = area.where.left() + (x - left) / (right - left) * area.where.width()
    down = area.where.bottom() - (y - bottom) / (top - bottom) * area.where.height()
    distance = np.hypot(across - position.x(), down - position.y())
    if not np.isfinite(distance).any():
        return None
    index = int(np.nanargmin(distance))
    if distance[index] > reach:
        return None
    return index, float(distance[index]), QPointF(across[index], down[index])


def _on_line(area: PlotArea, line: Line, position: QPointF) -> tuple[float, Reading] | None:
    axis = area.plot.right if line.axis == "right" and area.plot.right is not None else area.plot.y
    x, y = area.frames["x"].places(line.x), area.heights(line)
    near = _nearest(area, x, y, position, REACH)
    if near is None:
        return None
    index, distance, at = near
    if line.says is not None:
        texts = list(line.says(index))
        if not texts:
            return None
    else:
        texts = [line.label] if line.label else []
        texts += [said(area.plot.x, float(line.x[index])), said(axis, float(line.y[index]))]
    # A line that stands back is meant only when nothing else is near.
    away = distance + (8.0 if line.faint else 0.0)
    return away, Reading(tuple(texts), at, line.color)


def _on_points(area: PlotArea, points: Points, position: QPointF) -> tuple[float, Reading] | None:
    x, y = area.frames["x"].places(points.x), area.frames["y"].places(points.y)
    near = _nearest(area, x, y, position, NEAR)
    if near is None:
        return None
    index, distance, at = near
    texts = [points.label] if points.label else []
    texts += [said(area.plot.x, float(points.x[index])), said(area.plot.y, float(points.y[index]))]
    lines = tuple(texts if points.says is None else points.says(index))
    if not lines:
        return None
    # A point that is hit is meant, not the map that it stands on.
    return 0.05 * distance, Reading(lines, at, points.color)


def _in_picture(area: PlotArea, pictures: Pictures, position: QPointF) -> tuple[float, Reading] | None:
    if area.places is None or pictures.says is None:
        return None
    wide, high = area.places.size
    rows, columns = pictures.values.shape[1:3]
    for number, (left, top) in enumerate(area.places.places):
        x, y = position.x() - area.where.left() - left, position.y() - area.where.top() - top
        if 0.0 <= x < wide and 0.0 <= y < high:
            lines = tuple(pictures.says(number, int(y / high * rows), int(x / wide * columns)))
            return (0.0, Reading(lines, position, "text")) if lines else None
    return None


def _in_boxes(area: PlotArea, boxes: Boxes, position: QPointF) -> tuple[float, Reading] | None:
    (left, right), (bottom, top) = area.span("x"), area.span("y")
    centers = area.frames["x"].places(boxes.x + boxes.shift)
    across = area.where.left() + (centers - left) / (right - left) * area.where.width()
    per_place = area.where.height() / (top - bottom)
    # Boxes may stand on each other: of those as near across, the one that is nearest in height is meant.
    least, most = (
        area.where.bottom() - (area.frames["y"].places(ends) - bottom) * per_place for ends in (boxes.least, boxes.most)
    )
    apart = np.maximum(0.0, np.maximum(most - position.y(), position.y() - least))
    apart = np.where(np.isnan(apart), 0.0, np.minimum(apart, 400.0))  # one end may lie at infinity
    distance = np.abs(across - position.x()) + 0.01 * apart
    distance[np.isnan(boxes.least) | np.isnan(boxes.most)] = np.nan  # nothing is drawn there
    if not np.isfinite(distance).any():
        return None
    half = 0.5 * boxes.width / (right - left) * area.where.width()
    index = int(np.nanargmin(distance))
    away = float(distance[index])
    if abs(float(across[index]) - position.x()) > half + 6.0:
        return None
    if boxes.says is not None:
        lines = tuple(boxes.says(index))
        at = min(max(position.y(), float(np.nan_to_num(most[index]))), float(np.nan_to_num(least[index], nan=np.inf)))
        return (away, Reading(lines, QPointF(float(across[index]), at), boxes.color)) if lines else None
    texts = [boxes.label] if boxes.label else []
    texts.append(said(area.plot.x, float(boxes.x[index])))

    def row(name: str, value: float) -> None:
        if not math.isnan(value):
            texts.append(f"{name}: {number_text(float(value), DIGITS)}")

    row(_("maximum"), boxes.most[index])
    for name, ends in ((_("outer box"), boxes.outer), (_("inner box"), boxes.inner)):
        if ends is not None and not math.isnan(ends[0][index]):
            low, high = (number_text(float(end[index]), DIGITS) for end in ends)
            texts.append(_("{name}: {low} to {high}").format(name=name, low=low, high=high))
    row(_("middle"), boxes.middle[index])
    row(_("minimum"), boxes.least[index])
    return away, Reading(tuple(texts), QPointF(float(across[index]), position.y()), boxes.color)


def _in_cell(area: PlotArea, heatmap: Heatmap, position: QPointF) -> tuple[float, Reading] | None:
    x = float(inverse(_place(area, "x", position), area.frames["x"].scale, area.frames["x"].linear_below))
    y = float(inverse(_place(area, "y", position), area.frames["y"].scale, area.frames["y"].linear_below))
    column = int(np.searchsorted(heatmap.x_edges, x, side="right")) - 1
    row = int(np.searchsorted(heatmap.y_edges, y, side="right")) - 1
    rows, columns = heatmap.values.shape
    if not (0 <= row < rows and 0 <= column < columns):
        return None
    if heatmap.says is not None:
        lines = tuple(heatmap.says(row, column))
        return (1.0, Reading(lines, position, "text")) if lines else None
    value = float(heatmap.values[row, column])
    first, last = heatmap.x_edges[column], heatmap.x_edges[column + 1]
    # Cells of one step are centered on it or begin with it; either way the whole number inside is the step.
    moment = math.ceil(first) if last - first <= 1.0 + 1e-9 else x
    texts = (
        said(area.plot.x, float(round(moment))),
        said(area.plot.y, 0.5 * float(heatmap.y_edges[row] + heatmap.y_edges[row + 1])),
        f"{heatmap.label}: {number_text(value, DIGITS)}" if heatmap.label else number_text(value, DIGITS),
    )
    return 1.0, Reading(texts, position, "text")


def _place(area: PlotArea, side: str, position: QPointF) -> float:
    low, high = area.span(side)
    if side == "x":
        return low + (position.x() - area.where.left()) / area.where.width() * (high - low)
    return low + (area.where.bottom() - position.y()) / area.where.height() * (high - low)
