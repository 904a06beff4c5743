"""One pair of axes on the screen: what range it shows, what the mouse does to it, and the items in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt

from layerscope.core.figures.figure import Axis, Band, Boxes, Heatmap, Line, Outline, Pictures, Plot, Points
from layerscope.core.figures.palette import BAND, FAINT, INNER_BOX, OUTER_BOX, Theme
from layerscope.core.figures.pictures import Arrangement, arranged
from layerscope.core.figures.scales import TICKS, Frame, color_limits, frames, inverse, transform

from .marks import (
    BandItem,
    BoxesItem,
    BoxLook,
    HeatmapItem,
    LineItem,
    OutlineItem,
    PicturesItem,
    PointsItem,
    color_table,
    decimated,
    near,
)

if TYPE_CHECKING:
    from .painter import FigureView

Array = NDArray[np.float64]
Item = TypeVar("Item")
Side = Literal["x", "y"]

THIN = 1.3  # pixels; Qt draws lines of exactly one pixel several times faster than any other
FARTHEST = 300.0  # places on a logarithmic axis; numbers end there
MOST_OUT, MOST_IN = 20.0, 1e-4  # how many times the automatic range one can zoom to


class PlotBox(pg.ViewBox):
    """The area where the data are; turns the mouse into zooming, panning and moving through time."""

    def __init__(self, area: PlotArea):
        super().__init__(enableMenu=False, defaultPadding=0.0)
        self.area = area
        self.disableAutoRange()

    def wheelEvent(self, ev: Any, axis: int | None = None) -> None:
        if self.area.plot.pictures is not None:
            ev.ignore()
            return
        keys = ev.modifiers()
        if axis is None and keys & Qt.KeyboardModifier.ShiftModifier:
            axis = 0
        elif axis is None and keys & Qt.KeyboardModifier.ControlModifier:
            axis = 1
        elif axis is None and self.area.view.time_plots:
            axis = 0  # time is what one wants to see closer
        self.updateMatrix()  # otherwise it is that of the last paint event
        super().wheelEvent(ev, axis)
        self.area.zoomed_by_hand([axis in (None, 0), axis in (None, 1)])

    def mouseDragEvent(self, ev: Any, axis: int | None = None) -> None:
        left = ev.button() == Qt.MouseButton.LeftButton
        moves = left or ev.button() == Qt.MouseButton.MiddleButton
        if self.area.plot.pictures is not None or not moves:
            ev.ignore()
            return
        if left and self.area.view.time_plots and not ev.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            ev.accept()
            self.area.scrub_to(ev.pos())
            return
        self.updateMatrix()
        super().mouseDragEvent(ev, axis)
        self.area.zoomed_by_hand([True, True])

    def mouseClickEvent(self, ev: Any) -> None:
        if ev.button() != Qt.MouseButton.LeftButton:
            ev.ignore()
            return
        ev.accept()
        if ev.double():
            self.area.view.reset_view()
        elif self.area.view.time_plots:
            self.area.scrub_to(ev.pos())
        else:
            self.area.clicked(ev.pos())


@dataclass
class PlotArea:
    """One plot of the figure on the screen: where it is, its axes as drawn, and its items."""

    view: FigureView
    plot: Plot = field(default_factory=lambda: Plot(Axis(""), Axis(""), ()))
    where: QRectF = field(default_factory=QRectF)  # the data's rectangle, in pixels
    auto: dict[str, Frame] = field(default_factory=dict)
    frames: dict[str, Frame] = field(default_factory=dict)
    zoom: dict[Side, tuple[float, float]] = field(default_factory=dict)  # places, where a person has zoomed
    pools: dict[type, list[Any]] = field(default_factory=dict)
    settled: dict[str, tuple[tuple[object, ...], Frame]] = field(default_factory=dict)  # see `spaced` in painter.py
    _spans: dict[str, tuple[Frame, tuple[float, float]]] = field(default_factory=dict)
    column: tuple[float, float] | None = None  # from where to where it may write, where others stand beside it
    foot: tuple[str, ...] = ()  # what is written below, as it fits
    places: Arrangement | None = None  # of small pictures, from the upper left corner of `where`
    names_x: bool = True  # whether the horizontal axis is written below; not where the next plot has the same

    def __post_init__(self) -> None:
        self.box = PlotBox(self)
        self.view.canvas.scene().addItem(self.box)

    # --- range

    def take(self, plot: Plot) -> None:
        """The next frame's plot."""
        for side in ("x", "y"):
            if getattr(plot, side).scale != getattr(self.plot, side).scale:
                self.zoom.pop(side, None)
        self.plot = plot
        # Ticks follow when the room is known (`painter.py`); how many are asked for here decides only how a fitted
        # linear range is rounded.
        found = frames(plot, 1, TICKS if plot.y.limits is None or plot.right is not None else 1)
        self.auto = {"x": found.x, "y": found.y}
        if found.right is not None:
            self.auto["right"] = found.right

    def limits(self, side: str) -> tuple[float, float]:
        """What is shown along an axis, in data units."""
        frame = self.auto[side]
        if side == "right":
            if "y" not in self.zoom:
                return frame.limits
            low, high = (self._share(end) for end in self.zoom["y"])
            first, last = frame.range
            ends = inverse(
                [first + low * (last - first), first + high * (last - first)], frame.scale, frame.linear_below
            )
        elif side in self.zoom:
            ends = inverse(list(self.zoom[side]), frame.scale, frame.linear_below)
        else:
            return frame.limits
        return float(ends[0]), float(ends[1])

    def _share(self, place: float) -> float:
        low, high = self.auto["y"].range
        return (place - low) / (high - low)

    def zoomed_by_hand(self, sides: Sequence[bool]) -> None:
        """The person has moved the range; the view keeps it within what can be drawn."""
        for side, moved, shown in zip(("x", "y"), sides, self.box.viewRange(), strict=True):
            if not moved:
                continue
            low, high = shown
            self.zoom_to(side, 0.5 * (low + high), 0.5 * (high - low))  # type: ignore[arg-type]
            # Plots with the same horizontal axis have its numbers below the last of them only.
            for other in self.view.areas if side == "x" else ():
                if other is not self and other.plot.x == self.plot.x:
                    other.zoom["x"] = self.zoom["x"]
        self.view.redraw()
        self.view.zoomed.emit()

    def zoom_to(self, side: Side, middle: float, half: float) -> None:
        """Show the places around a middle, within what can be drawn."""
        first, last = self.auto[side].range
        half = min(max(half, 0.5 * MOST_IN * (last - first)), 0.5 * MOST_OUT * (last - first))
        if self.auto[side].scale != "linear":
            half = min(half, FARTHEST)
            middle = min(max(middle, half - FARTHEST), FARTHEST - half)
        self.zoom[side] = (middle - half, middle + half)

    def scrub_to(self, position: QPointF) -> None:
        """The person points at a moment; `position` in pixels of the box."""
        place = self.box.mapToView(position).x()
        low, high = self.auto["x"].range
        self.view.point_at(float(inverse(min(max(place, low), high), self.auto["x"].scale, self.plot.x.linear_below)))

    def clicked(self, position: QPointF) -> None:
        """The person points at a place of the plot; `position` in pixels of the box."""
        place = self.box.mapToView(position)
        ends = []
        for side, at in (("x", place.x()), ("y", place.y())):
            frame = self.auto[side]
            ends.append(float(inverse(at, frame.scale, frame.linear_below)))
        number = next(index for index, area in enumerate(self.view.areas) if area is self)
        self.view.clicked.emit(number, *ends)

    def span(self, side: str) -> tuple[float, float]:
        """The shown range as places; worked out once a frame, because every point asks for it."""
        frame = self.frames[side]
        known = self._spans.get(side)
        if known is None or known[0] is not frame:
            known = self._spans[side] = (frame, frame.range)
        return known[1]

    def to_pixels(self, x: float, y: float) -> QPointF:
        """Where a pair of places is on the screen."""
        (left, right), (bottom, top) = self.span("x"), self.span("y")
        return QPointF(
            self.where.left() + (x - left) / (right - left) * self.where.width(),
            self.where.bottom() - (y - bottom) / (top - bottom) * self.where.height(),
        )

    def heights(self, line: Line) -> Array:
        """The places of a line's values; those of the right axis as places of the left one."""
        if line.axis == "left" or "right" not in self.frames:
            return self.frames["y"].places(line.y)
        (low, high), (bottom, top) = self.span("right"), self.span("y")
        share = (self.frames["right"].places(line.y) - low) / (high - low)
        return np.asarray(bottom + share * (top - bottom))

    # --- items

    def _pool(self, kind: type[Item], count: int) -> list[Item]:
        """So many items of a kind, those of the last frame first; what is left over is hidden."""
        items = self.pools.setdefault(kind, [])
        while len(items) < count:
            item = kind()
            self.box.addItem(item, ignoreBounds=True)
            items.append(item)
        for index, item in enumerate(items):
            if item.isVisible() != (index < count):
                item.setVisible(index < count)
        return items[:count]

    def place_items(self, theme: Theme, thickness: float) -> None:
        """Give every item its numbers."""
        x_frame, y_frame = self.frames["x"], self.frames["y"]
        (left, right), (bottom, top) = self.span("x"), self.span("y")
        if self.box.geometry() != self.where:
            self.box.setGeometry(self.where)
        if self.box.viewRange() != [[left, right], [bottom, top]]:
            self.box.setRange(xRange=(left, right), yRange=(bottom, top), padding=0.0, disableAutoRange=False)
            # Now, and not while it is being painted: that would ask for the whole plot to be painted once more.
            self.box.updateMatrix()
        columns = max(16, int(self.where.width()))
        bounds = QRectF(left, bottom, right - left, top - bottom)
        paper = theme.color("panel")
        marks = self.plot.marks

        lines = [m for m in marks if isinstance(m, Line)]
        for order, (line, item) in enumerate(zip(lines, self._pool(LineItem, len(lines)), strict=True)):
            x, y = decimated(x_frame.places(line.x), self.heights(line), columns)
            color = theme.tint(line.color, FAINT) if line.faint else theme.color(line.color)
            width = line.width * thickness
            width = width if width > THIN else 1.0
            marker = line.marker if len(line.x) <= columns / 8 else ""
            size = (4.5 + 1.7 * line.width) * thickness
            style = (color, width, line.dash, marker)
            item.show_line(
                near(x, left, right),
                near(y, bottom, top),
                style,
                size,
                bounds,
                theme.color(line.rim) if line.rim else "",
            )
            _lift(item, 20 + order - (20 if line.faint else 0))

        bands = [m for m in marks if isinstance(m, Band)]
        for band, item in zip(bands, self._pool(BandItem, len(bands)), strict=True):
            low = near(_drawn(band.low, y_frame), bottom, top)
            high = near(_drawn(band.high, y_frame), bottom, top)
            item.show_band(near(x_frame.places(band.x), left, right), low, high, theme.tint(band.color, BAND), bounds)
            _lift(item, -10)

        boxes = [m for m in marks if isinstance(m, Boxes)]
        for order, (one, item) in enumerate(zip(boxes, self._pool(BoxesItem, len(boxes)), strict=True)):

            def drawn(values: Array) -> Array:
                return near(_drawn(values, y_frame), bottom, top)

            color = theme.color(one.color)
            look = BoxLook(
                color,
                theme.tint(one.color, OUTER_BOX),
                theme.tint(one.color, INNER_BOX),
                color if one.inner is None and one.outer is None else paper,
                one.marker,
                thickness,
            )
            item.show_boxes(
                x_frame.places(one.x + one.shift),
                0.5 * one.width,
                (drawn(one.least), drawn(one.most)),
                None if one.outer is None else (drawn(one.outer[0]), drawn(one.outer[1])),
                None if one.inner is None else (drawn(one.inner[0]), drawn(one.inner[1])),
                drawn(one.middle),
                look,
                bounds,
            )
            _lift(item, order)

        heatmaps = [m for m in marks if isinstance(m, Heatmap)]
        for heatmap, item in zip(heatmaps, self._pool(HeatmapItem, len(heatmaps)), strict=True):
            least, most = (float(transform(v, heatmap.scale)) for v in color_limits(heatmap))
            shares = (transform(heatmap.values, heatmap.scale) - least) / (most - least)
            item.show_cells(
                shares,
                x_frame.places(heatmap.x_edges),
                y_frame.places(heatmap.y_edges),
                color_table(heatmap.colormap, theme.name),
                theme.color("grid"),
                columns,
            )
            _lift(item, -20)

        points = [m for m in marks if isinstance(m, Points)]
        for order, (some, item) in enumerate(zip(points, self._pool(PointsItem, len(points)), strict=True)):
            item.show_points(
                x_frame.places(some.x),
                y_frame.places(some.y),
                some.marker,
                *point_look(some.color, some.fill, some.size, theme, thickness),
                bounds,
            )
            _lift(item, 60 + order)

        pictures = [m for m in marks if isinstance(m, Pictures)]
        for picture, item in zip(pictures, self._pool(PicturesItem, len(pictures)), strict=True):
            fonts = self.view.fonts
            widest = max((fonts.width(text) for caption in picture.captions for text in caption), default=0.0)
            self.places = arranged(picture, self.where.width(), self.where.height(), fonts.size, fonts.height, widest)
            room = self.places.room + 4.0
            captions = tuple(tuple(fonts.elided(text, room) for text in lines) for lines in picture.captions)
            inks = theme.color("text"), theme.color("muted"), theme.color("axis")
            item.show_pictures(
                picture.values,
                picture.limits,
                color_table(picture.colormap, theme.name),
                theme.color("grid"),
                self.places,
                captions,
                (fonts.tick, fonts.height, inks),
                bounds,
            )

        outlines = [m for m in marks if isinstance(m, Outline)]
        for outline, item in zip(outlines, self._pool(OutlineItem, len(outlines)), strict=True):
            item.show_outlines(outline.corners, theme.color(outline.color), paper, 1.5 * thickness, bounds)
            _lift(item, 30)

    def remove(self) -> None:
        self.view.canvas.scene().removeItem(self.box)


def point_look(
    color: str, fill: str, size: float, theme: Theme, thickness: float
) -> tuple[float, tuple[str, str], float]:
    """(size, (color inside, color around), width of the rim) of a marker, in pixels."""
    paper, ink = theme.color("panel"), theme.color(color)
    pixels = (2.5 + 3.4 * size) * thickness
    if fill == "color":
        return pixels, (ink, paper), 0.7 * thickness
    return pixels, (paper if fill == "paper" else "", ink), 1.2 * thickness


def _lift(item: Any, height: float) -> None:
    if item.zValue() != height:
        item.setZValue(height)


def _drawn(values: Array, frame: Frame) -> Array:
    """Places where what is too large, or on a logarithmic axis too small, to have one lies outside the shown range."""
    places = frame.places(values)
    if np.isfinite(places).all():
        return places
    low, high = frame.range
    room = 2.0 * (high - low)
    with np.errstate(invalid="ignore"):
        places = np.where(np.isnan(places) & (values == np.inf), high + room, places)
        below = (values <= 0.0) if frame.scale == "log" else (values == -np.inf)
        return np.where(np.isnan(places) & below, low - room, places)
