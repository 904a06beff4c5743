"""The pieces of a chart on the screen: one item a line, a band, a row of boxes, a heatmap; kept and moved, not remade.

A window that paints thirty times a second cannot afford to make its items anew. Each item here is kept and takes
new numbers. Numbers arrive as places (see `core/figures/scales.py`), colors as "#rrggbb".
pyqtgraph's own curves and scatter plots cost three times as much a frame, most of it for bounds that nobody asks for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from pyqtgraph.graphicsItems.PlotCurveItem import arrayToLineSegments
from pyqtgraph.graphicsItems.ScatterPlotItem import Symbols
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPainter, QPainterPath, QPen, QPixmap
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from layerscope.core.figures.figure import Dash, Marker
from layerscope.core.figures.palette import DASHES, color_map
from layerscope.core.figures.pictures import Arrangement

Array = NDArray[np.float64]

SMOOTH_UP_TO = 60  # points: beyond, Qt's path stroker is slow for thick noisy lines, see `LineItem`
FAR = 200.0  # spans of the shown range: what lies farther away is moved there, Qt cannot rasterize 1e30 pixels
SYMBOLS: dict[Marker, str] = {"circle": "o", "square": "s", "triangle": "t1", "diamond": "d"}


def pen(color: str, width: float = 1.0, dash: Dash = "solid") -> QPen:
    """A pen whose width is in pixels whatever the zoom."""
    made = QPen(QColor(color), width)
    made.setCosmetic(True)
    if DASHES[dash]:
        made.setCapStyle(Qt.PenCapStyle.FlatCap)
        made.setDashPattern(list(DASHES[dash]))
    return made


def near(places: Array, low: float, high: float) -> Array:
    """Places that Qt can draw: far outside becomes just outside; NaN stays a gap."""
    room = FAR * (high - low)
    return np.clip(places, low - room, high + room)


def decimated(x: Array, y: Array, columns: int) -> tuple[Array, Array]:
    """At most four points a pixel column (first, least, greatest, last), which draw the same pixels as all of them.

    x   ascending; points in any other order are all kept
    """
    if len(x) <= 4 * columns or not (x[1:] >= x[:-1]).all():
        return x, y
    size = -(-len(x) // columns)
    whole = len(x) // size * size
    parts = y[:whole].reshape(-1, size)
    filled = np.where(np.isfinite(parts), parts, np.inf)
    least = filled.argmin(axis=1)
    greatest = np.where(np.isfinite(parts), parts, -np.inf).argmax(axis=1)
    inside = np.stack([np.zeros_like(least), least, greatest, np.full_like(least, size - 1)], axis=1)
    inside.sort(axis=1)
    kept = (inside + size * np.arange(len(parts))[:, None]).ravel()
    kept = np.concatenate([kept, np.arange(whole, len(x))])
    return x[kept], y[kept]


class MarkItem(pg.GraphicsObject):
    """Base of what is drawn in places; its bounds are those of the plot, which cuts off the rest anyway."""

    def __init__(self) -> None:
        super().__init__()
        self._bounds = QRectF()

    def boundingRect(self) -> QRectF:
        return self._bounds

    def _renew(self, bounds: QRectF) -> None:
        if bounds != self._bounds:
            self.prepareGeometryChange()
            self._bounds = bounds
        self.update()


class LineItem(MarkItem):
    """A line with its markers."""

    def __init__(self) -> None:
        super().__init__()
        self._pen = QPen()
        self._path = QPainterPath()
        self._segments: Any = None
        self._points: list[tuple[float, float]] = []
        self._marker: Marker = ""
        self._size = 0.0
        self._rim: QColor | None = None
        self._smooth = True

    def show_line(
        self,
        x: Array,
        y: Array,
        style: tuple[str, float, Dash, Marker],
        size: float,
        bounds: QRectF,
        rim: str = "",
    ) -> None:
        """style: color, width, dash, marker; size of the markers in pixels; rim: the color around them, if any."""
        self._rim = QColor(rim) if rim else None
        color, width, dash, marker = style
        # Measured: a thick antialiased line of a thousand noisy points costs 30 ms as one path, 4 ms as segments. But
        # dashes run on from segment to segment only in a path, so noisy dashed lines are drawn without antialiasing.
        hard = width > 1.0 and len(x) > SMOOTH_UP_TO and _rough(y)
        self._smooth = not (hard and dash != "solid")
        self._pen = pen(color, width, dash)
        known = np.isfinite(x) & np.isfinite(y)
        whole = bool(known.all())
        if hard and dash == "solid":
            self._segments = arrayToLineSegments(x, y, connect="finite", finiteCheck=True)
        else:
            self._segments = None
            self._path = pg.functions.arrayToQPath(x, y, connect="all" if whole else "finite", finiteCheck=False)
        if marker:
            self._points = list(zip(x[known].tolist(), y[known].tolist(), strict=True))
        elif whole and len(x) > 1:
            self._points = []
        else:
            # A number with gaps on both sides has no line that would show it.
            alone = known & ~np.append(False, known[:-1]) & ~np.append(known[1:], False)
            self._points = list(zip(x[alone].tolist(), y[alone].tolist(), strict=True)) if alone.any() else []
        self._marker, self._size = (marker, size) if marker else ("circle", width + 2.0)
        self._renew(bounds)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, self._smooth)
        painter.setPen(self._pen)
        if self._segments is not None:
            painter.drawLines(*self._segments.drawargs())
        else:
            painter.drawPath(self._path)
        if self._points:
            if self._rim is not None:
                draw_symbols(painter, self._marker, self._points, self._size + 4.0, self._rim)
            draw_symbols(painter, self._marker, self._points, self._size, self._pen.color())


def draw_symbols(
    painter: QPainter, marker: Marker, points: Sequence[tuple[float, float]], size: float, color: QColor
) -> None:
    """Markers at points, their size in pixels whatever the painter's scale; stamped, which is what Qt does fastest."""
    device = painter.device()
    stamp = _stamp(marker, size, color.rgba(), device.devicePixelRatioF() if device is not None else 1.0)
    to_pixels = painter.transform()
    middle = 0.5 * stamp.deviceIndependentSize().width()
    painter.resetTransform()
    for x, y in points:
        at = to_pixels.map(QPointF(x, y))
        painter.drawPixmap(QPointF(at.x() - middle, at.y() - middle), stamp)
    painter.setTransform(to_pixels)


@lru_cache(maxsize=64)
def _stamp(marker: Marker, size: float, color: int, ratio: float) -> QPixmap:
    side = 2 * math.ceil(0.5 * size + 1.0)
    made = QPixmap(math.ceil(side * ratio), math.ceil(side * ratio))
    made.setDevicePixelRatio(ratio)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.translate(0.5 * side, 0.5 * side)
    painter.scale(size, size)
    painter.fillPath(symbol_path(marker), QColor.fromRgba(color))
    painter.end()
    return made


def _rough(y: Array) -> bool:
    """Whether a curve goes up and down more often than every tenth point."""
    steps = np.diff(y)
    return bool(np.count_nonzero(steps[1:] * steps[:-1] < 0.0) > len(y) / 10)


class BandItem(MarkItem):
    """The area between two curves."""

    def __init__(self) -> None:
        super().__init__()
        self._path = QPainterPath()
        self._color = QColor()

    def show_band(self, x: Array, low: Array, high: Array, color: str, bounds: QRectF) -> None:
        path = QPainterPath()
        known = np.isfinite(x) & np.isfinite(low) & np.isfinite(high)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]]).astype(np.int8)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            if stop - start > 1:
                part = slice(start, stop)
                around = np.concatenate([x[part], x[part][::-1]]), np.concatenate([low[part], high[part][::-1]])
                path.addPolygon(pg.functions.arrayToQPolygonF(*around))
                path.closeSubpath()
        self._path, self._color = path, QColor(color)
        self._renew(bounds)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painter.fillPath(self._path, self._color)


@dataclass(frozen=True)
class BoxLook:
    """Colors of whiskers, outer box, inner box, middle; the middle's marker; the thickness of lines."""

    whisker: str
    outer: str
    inner: str
    middle: str
    marker: Marker
    thickness: float


class BoxesItem(MarkItem):
    """All boxes of a lane: four kinds of strokes, each painted at once."""

    def __init__(self) -> None:
        super().__init__()
        self._whiskers: list[QLineF] = []
        self._outer: list[QRectF] = []
        self._inner: list[QRectF] = []
        self._middle: list[QLineF] = []
        self._centers: list[tuple[float, float]] = []
        self._look = BoxLook("#000000", "#000000", "#000000", "#000000", "", 1.0)

    def show_boxes(
        self,
        x: Array,
        half: float,
        whiskers: tuple[Array, Array],
        outer: tuple[Array, Array] | None,
        inner: tuple[Array, Array] | None,
        middle: Array,
        look: BoxLook,
        bounds: QRectF,
    ) -> None:
        """half: half a box's width."""
        self._look = look
        self._whiskers = [QLineF(at, low, at, high) for at, low, high in _known(x, *whiskers)]
        self._outer = _boxes(x, half, outer)
        self._inner = _boxes(x, half, inner)
        self._centers = [(at, height) for at, height in _known(x, middle)]
        self._middle = [QLineF(at - half, height, at + half, height) for at, height in self._centers]
        self._renew(bounds)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        look = self._look
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(pen(look.whisker, 1.4 * look.thickness))
        painter.drawLines(self._whiskers)
        painter.setPen(Qt.PenStyle.NoPen)
        for boxes, color in ((self._outer, look.outer), (self._inner, look.inner)):
            if boxes:
                painter.setBrush(QColor(color))
                painter.drawRects(boxes)
        if look.marker:
            draw_symbols(painter, look.marker, self._centers, 5.0 * look.thickness, QColor(look.middle))
        else:
            painter.setPen(pen(look.middle, 2.0 * look.thickness))
            painter.drawLines(self._middle)


def _known(*columns: Array) -> Iterator[tuple[float, ...]]:
    """The rows without a NaN."""
    rows = np.column_stack(columns)
    return map(tuple, rows[np.isfinite(rows).all(axis=1)].tolist())


def _boxes(x: Array, half: float, ends: tuple[Array, Array] | None) -> list[QRectF]:
    if ends is None:
        return []
    return [QRectF(at - half, low, 2 * half, high - low) for at, low, high in _known(x, *ends)]


class HeatmapItem(pg.ImageItem):
    """Colored cells between given edges."""

    def __init__(self) -> None:
        super().__init__(axisOrder="row-major")

    def show_cells(
        self, shares: Array, x_edges: Array, y_edges: Array, table: NDArray[np.uint8], empty: str, columns: int
    ) -> None:
        """shares: (rows, columns), 0 to 1 between the ends of the color scale; NaN is drawn in the color `empty`.

        columns   pixels across: more cells than that, or of unequal widths, are drawn as the pixels see them
        """
        shares, x_edges = _evenly(shares, x_edges, max(2, columns))
        turned, y_edges = _evenly(shares.T, y_edges, 512)
        shares = turned.T
        known = np.isfinite(shares)
        index = np.where(known, np.clip(np.where(known, shares, 0.0), 0.0, 1.0) * (len(table) - 1) + 0.5, 0)
        pixels = table[index.astype(np.intp)]
        color = QColor(empty)
        pixels[~known] = (color.red(), color.green(), color.blue(), 255)
        self.setImage(pixels, autoLevels=False)
        left, right = float(x_edges[0]), float(x_edges[-1])
        bottom, top = float(y_edges[0]), float(y_edges[-1])
        self.setRect(QRectF(left, bottom, right - left, top - bottom))


def _evenly(cells: Array, edges: Array, most: int) -> tuple[Array, Array]:
    """The same cells along the second axis, all equally wide and not more than `most`."""
    widths = np.diff(edges)
    even = widths.size == 0 or np.allclose(widths, widths[0], rtol=1e-6)
    if even and cells.shape[1] <= 2 * most:
        return cells, edges
    count = most if even else max(most, 2 * cells.shape[1])
    new = np.linspace(edges[0], edges[-1], count + 1)
    centers = 0.5 * (new[1:] + new[:-1])
    return cells[:, np.clip(np.searchsorted(edges, centers) - 1, 0, cells.shape[1] - 1)], new


class PointsItem(MarkItem):
    """Markers at points, stamped like those on lines."""

    def __init__(self) -> None:
        super().__init__()
        self._points: Array = np.empty((0, 2))
        self._marker: Marker = "circle"
        self._size = 0.0
        self._colors = "", ""
        self._width = 1.0

    def show_points(
        self, x: Array, y: Array, marker: Marker, size: float, colors: tuple[str, str], width: float, bounds: QRectF
    ) -> None:
        """colors: inside ("" for none) and around; size and the width of the rim in pixels."""
        inside = (x >= bounds.left()) & (x <= bounds.right()) & (y >= bounds.top()) & (y <= bounds.bottom())
        self._points = np.column_stack([x[inside], y[inside]])
        self._marker, self._size, self._colors, self._width = marker, size, colors, width
        self._renew(bounds)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        device = painter.device()
        ratio = device.devicePixelRatioF() if device is not None else 1.0
        stamp = rimmed_stamp(self._marker, self._size, *self._colors, self._width, ratio)
        to_pixels = painter.transform()
        middle = 0.5 * stamp.deviceIndependentSize().width()
        scale = np.array([to_pixels.m11(), to_pixels.m22()])
        places = self._points * scale + (to_pixels.dx() - middle, to_pixels.dy() - middle)
        painter.resetTransform()
        for x, y in places.tolist():
            painter.drawPixmap(QPointF(x, y), stamp)
        painter.setTransform(to_pixels)


@lru_cache(maxsize=128)
def rimmed_stamp(marker: Marker, size: float, inside: str, around: str, width: float, ratio: float) -> QPixmap:
    """A marker with a rim; `inside` is "" where one sees through it."""
    side = 2 * math.ceil(0.5 * (size + width) + 1.0)
    made = QPixmap(math.ceil(side * ratio), math.ceil(side * ratio))
    made.setDevicePixelRatio(ratio)
    made.fill(Qt.GlobalColor.transparent)
    painter = QPainter(made)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    painter.translate(0.5 * side, 0.5 * side)
    painter.setPen(pen(around, width))
    painter.setBrush(QColor(inside) if inside else Qt.BrushStyle.NoBrush)
    painter.scale(size, size)
    painter.drawPath(symbol_path(marker))
    painter.end()
    return made


class PicturesItem(MarkItem):
    """Small pictures with their captions, laid out in pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._images: list[QImage] = []
        self._places: Arrangement | None = None
        self._captions: tuple[tuple[str, ...], ...] = ()
        self._font = QFont()
        self._inks: tuple[str, str, str] = ("", "", "")
        self._line = 0.0
        self._drawn: tuple[object, ...] = ()
        self._values: Array = np.empty(0)

    def show_pictures(
        self,
        values: Array,
        limits: tuple[float, float],
        table: NDArray[np.uint8],
        empty: str,
        places: Arrangement,
        captions: tuple[tuple[str, ...], ...],
        writing: tuple[QFont, float, tuple[str, str, str]],
        bounds: QRectF,
    ) -> None:
        """values: (n, rows, columns[, 3]); writing: font, height of a line, colors of first lines, of others, of the
        frames.
        """
        drawn = (limits, id(table), empty)
        if values is not self._values or drawn != self._drawn:
            self._images = [_image(one, limits, table, empty) for one in values]
            self._values, self._drawn = values, drawn
        self._places, self._captions = places, captions
        self._font, self._line, self._inks = writing
        self._renew(bounds)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        found = self._places
        if found is None:
            return
        to_pixels = painter.transform()
        corner = to_pixels.map(QPointF(self._bounds.left(), self._bounds.bottom()))
        painter.save()
        painter.resetTransform()
        painter.translate(round(corner.x()), round(corner.y()))
        painter.setFont(self._font)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        ascent = painter.fontMetrics().ascent()
        first, others, around = (QColor(ink) for ink in self._inks)
        wide, high = (max(1, round(side)) for side in found.size)
        for image, caption, (left, top) in zip(self._images, self._captions, found.places, strict=False):
            box = QRectF(round(left), round(top), wide, high)
            painter.drawImage(box, image)
            painter.setPen(pen(around.name()))
            painter.drawRect(box.adjusted(0.0, 0.0, -1.0, -1.0))
            for number, text in enumerate(caption[: found.captions]):
                painter.setPen(others if number else first)
                painter.drawText(QPointF(box.left(), box.bottom() + 2.0 + ascent + number * self._line), text)
        painter.restore()


def _image(values: Array, limits: tuple[float, float], table: NDArray[np.uint8], empty: str) -> QImage:
    if values.ndim == 3:
        pixels = np.full((*values.shape[:2], 4), 255, dtype=np.uint8)
        pixels[..., :3] = np.round(255.0 * np.clip(np.nan_to_num(values), 0.0, 1.0)).astype(np.uint8)
    else:
        low, high = limits
        known = np.isfinite(values)
        shares = np.clip((np.where(known, values, low) - low) / (high - low), 0.0, 1.0)
        pixels = table[(shares * (len(table) - 1) + 0.5).astype(np.intp)]
        color = QColor(empty)
        pixels[~known] = (color.red(), color.green(), color.blue(), 255)
    rows, columns = pixels.shape[:2]
    pixels = np.ascontiguousarray(pixels)
    return QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888).copy()


class OutlineItem(MarkItem):
    """Rectangles with a halo, so that they stand out from whatever is below them; small ones are drawn larger."""

    LEAST = 6.0  # pixels

    def __init__(self) -> None:
        super().__init__()
        self._corners: list[tuple[float, float, float, float]] = []
        self._ink, self._paper, self._width = "#000000", "#ffffff", 1.0

    def show_outlines(self, corners: Array, ink: str, paper: str, width: float, bounds: QRectF) -> None:
        """corners: (n, 4) left, bottom, right, top."""
        self._corners = [(left, bottom, right, top) for left, bottom, right, top in corners.tolist()]
        self._ink, self._paper, self._width = ink, paper, width
        self._renew(bounds)

    def boundingRect(self) -> QRectF:
        room = 0.1 * max(self._bounds.width(), self._bounds.height())
        return self._bounds.adjusted(-room, -room, room, room)

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        to_pixels = painter.transform()
        painter.save()
        painter.resetTransform()
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        boxes = []
        for left, bottom, right, top in self._corners:
            box = to_pixels.mapRect(QRectF(left, bottom, right - left, top - bottom)).normalized()
            across, down = (max(0.0, 0.5 * (self.LEAST - side)) for side in (box.width(), box.height()))
            boxes.append(box.adjusted(-across, -down, across, down))
        for color, width in ((self._paper, self._width + 2.0), (self._ink, self._width)):
            made = pen(color, width)
            made.setJoinStyle(Qt.PenJoinStyle.MiterJoin)
            painter.setPen(made)
            painter.drawRects(boxes)
        painter.restore()


_tables: dict[tuple[str, str], NDArray[np.uint8]] = {}


def color_table(name: str, theme: str = "") -> NDArray[np.uint8]:
    """(n, 4) colors of a map, opaque; those of `palette.color_map` are the theme's."""
    key = name, theme
    if key not in _tables:
        known = color_map(name, theme) if theme else None
        if known is not None:
            colors = np.array(known, dtype=np.uint8)
            _tables[key] = np.column_stack([colors, np.full(len(colors), 255, dtype=np.uint8)])
        else:
            _tables[key] = pg.colormap.get(name).getLookupTable(nPts=256, alpha=True).astype(np.uint8)
    return _tables[key]


@cache
def color_strip(name: str, theme: str = "") -> QImage:
    """The colors of a map below one another, the greatest value on top."""
    table = np.ascontiguousarray(color_table(name, theme)[::-1])
    return QImage(table.tobytes(), 1, len(table), 4, QImage.Format.Format_RGBA8888).copy()


def symbol_path(marker: Marker) -> QPainterPath:
    """A marker's outline, 1 across, around the origin."""
    return Symbols[SYMBOLS[marker]]
