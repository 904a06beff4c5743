"""The painter of the window: draws any figure with pyqtgraph, and keeps what it has drawn to move it in the next frame.

A `FigureView` shows one `Figure`. Ranges, ticks, legend and the places of notes come from `core/figures`, as in the
exports; here they only become pixels. What a person zooms to is remembered per plot and axis, and `shown()` is the
figure with those limits: what is shown is what is exported.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontInfo,
    QFontMetricsF,
    QKeyEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QFrame, QSizePolicy, QStyleOptionGraphicsItem, QVBoxLayout, QWidget

from layerscope.core.figures.figure import Axis, Boxes, Figure, Heatmap, Line, Mark, Note, Plot, Rule, Span
from layerscope.core.figures.legend import Entry, is_lane, legend
from layerscope.core.figures.palette import BAND, FAINT, INNER_BOX, OUTER_BOX, Theme, color_map, ink_on
from layerscope.core.figures.placement import covered, place_texts
from layerscope.core.figures.scales import TICKS, Frame, Frames, Tick, color_limits, thinned, ticks
from layerscope.core.figures.writing import Page, columns_beside, laid_out, under, wrapped

from ..theme import current
from .area import PlotArea, Side, point_look
from .marks import color_strip, pen, rimmed_stamp, symbol_path
from .readout import Reading, reading

GAP = 5.0  # pixels between a text and what it belongs to
EDGE = 12.0  # pixels that stay free at the right
SCALE_WIDTH = 10.0  # of a heatmap's color scale
LANE_NAMES = (160.0, 120.0, 90.0, 70.0, 50.0, 35.0)  # pixels for a name, tried in turn where room is scarce
SAMPLE = 24.0  # of a legend's entry
NOTES_SECONDS = 0.5  # for which a note stays where it is, so that it can be read while the data move
LEGEND_ROWS = 2
CROWDED = 4.5  # lines of text a plot below which titles go into the plots
LARGEST_CELL = 2.2  # of a matrix, in sizes of text
BESIDE = 2.0  # sizes of text between plots side by side, where their signs stand
LEAST_PICTURE = 7.0  # lines of text that plots side by side keep, however much there is to write
SMALLEST_TEXT = 9.0  # pixels: what is written into cells
SCARCE = 240.0  # pixels of height below which room is saved


class Fonts:
    """The sizes of writing, all from the widget's font: a larger font of the program enlarges the charts too.

    size     pixels
    height   of a line of text
    """

    MOST = 2000  # texts whose width is remembered

    def __init__(self, font: QFont):
        self.size = float(max(12, QFontInfo(font).pixelSize()))
        self.tick = QFont(font)
        self.tick.setPixelSize(round(self.size))
        self.bold = QFont(self.tick)
        self.bold.setWeight(QFont.Weight.DemiBold)
        self.tick_metrics = QFontMetricsF(self.tick)
        self.bold_metrics = QFontMetricsF(self.bold)
        self.height = self.tick_metrics.height()
        self.ascent, self.descent = self.tick_metrics.ascent(), self.tick_metrics.descent()
        self._widths: dict[str, float] = {}

    def width(self, text: str) -> float:
        """Pixels that a text takes. Asked for hundreds of times a frame, mostly about the same texts."""
        found = self._widths.get(text)
        if found is None:
            if len(self._widths) > self.MOST:
                self._widths.clear()
            found = self._widths[text] = self.tick_metrics.horizontalAdvance(text)
        return found

    def elided(self, text: str, room: float, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight) -> str:
        if self.width(text) <= room:
            return text
        return self.tick_metrics.elidedText(text, mode, room)


class Sheet(pg.GraphicsObject):
    """A sheet over the whole view that a function paints on, in pixels; the mouse goes through."""

    def __init__(self, canvas: Canvas, draw: Callable[[QPainter], None], height: float):
        super().__init__()
        self._canvas, self._draw = canvas, draw
        self.setZValue(height)

    def boundingRect(self) -> QRectF:
        return QRectF(self._canvas.rect())

    def shape(self) -> QPainterPath:
        return QPainterPath()

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        self._draw(painter)


class Canvas(pg.GraphicsView):
    """pyqtgraph's view, which also tells how long painting took and when the mouse leaves."""

    resized = Signal()
    left = Signal()

    def __init__(self, parent: QWidget):
        super().__init__(parent, background=None)
        self.seconds = 0.0
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setMinimumSize(1, 1)

    def paintEvent(self, event: QPaintEvent) -> None:
        start = time.thread_time()
        super().paintEvent(event)
        self.seconds = time.thread_time() - start

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.resized.emit()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.left.emit()


class FigureView(QWidget):
    """Shows a figure; see the module's sentence.

    zoomed    a person has changed the shown range, or put it back
    pointed   a person points at a moment, in data units of x (only where `time_plots`)
    clicked   a person clicks on a plot: its number, x and y in data units (elsewhere)
    """

    zoomed = Signal()
    pointed = Signal(float)
    clicked = Signal(int, float, float)

    def __init__(self, parent: QWidget | None = None, time_plots: bool = False):
        super().__init__(parent)
        self.time_plots = time_plots
        self.figure: Figure | None = None
        self.seconds = 0.0  # the last frame took that much of this thread to prepare; painting it, `canvas.seconds`
        self.reading: Reading | None = None
        self.areas: list[PlotArea] = []
        self._rows: list[list[tuple[Entry, str, float]]] = []  # the legend: entry, its text as it fits, its width
        self._mouse: QPointF | None = None
        self._is_laid_out = False
        self._is_crowded = False  # titles stand in the plots, because there is no room above them
        self._scale: Heatmap | None = None
        self._page: Page | None = None  # what is written below the plots, as it fits
        self._page_top = 0.0
        self.theme: Theme = current()
        self._has_background = False
        self.fonts = Fonts(self.font())
        self._backdrop: QPixmap | None = None
        self._backdrop_key: tuple[object, ...] = ()
        self._placed: dict[int, tuple[tuple[object, ...], float, list[tuple[float, float]]]] = {}
        self._settle = QTimer(self, singleShot=True, interval=round(1000 * NOTES_SECONDS) + 20)
        self._settle.timeout.connect(self.redraw)
        self.canvas = Canvas(self)
        self.canvas.resized.connect(self.redraw)
        self.canvas.left.connect(self._mouse_left)
        self.canvas.scene().sigMouseMoved.connect(self._mouse_moved)
        self._under = Sheet(self.canvas, self._paint_backdrop, -100.0)
        self._over = Sheet(self.canvas, self._paint_overlay, 100.0)
        self.canvas.scene().addItem(self._under)
        self.canvas.scene().addItem(self._over)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        return QSize(480, 260)

    def minimumSizeHint(self) -> QSize:
        return QSize(180, 110)

    # --- what is shown

    def draw(self, figure: Figure) -> None:
        """Show a figure."""
        start = time.thread_time()
        if self.figure is not None and figure.name != self.figure.name:
            for area in self.areas:
                area.zoom.clear()
        self.figure = figure
        if self.accessibleName() != figure.title:
            self.setAccessibleName(figure.title)
        if self.accessibleDescription() != figure.subtitle:
            self.setAccessibleDescription(figure.subtitle)
        plots = () if figure.empty else figure.plots
        while len(self.areas) > len(plots):
            self.areas.pop().remove()
        while len(self.areas) < len(plots):
            self.areas.append(PlotArea(self))
        for area, plot in zip(self.areas, plots, strict=True):
            area.take(plot)
        self.redraw()
        self.seconds = time.thread_time() - start

    def shown(self) -> Figure | None:
        """The figure with the ranges that are on the screen, for an export of just that."""
        if self.figure is None or not self.areas:
            return self.figure
        plots = []
        for area in self.areas:
            plot = area.plot
            right = plot.right
            if right is not None and "right" in area.auto:
                right = replace(right, limits=area.limits("right"))
            plots.append(
                replace(
                    plot,
                    x=replace(plot.x, limits=area.limits("x")),
                    y=replace(plot.y, limits=area.limits("y")),
                    right=right,
                )
            )
        return replace(self.figure, plots=tuple(plots))

    @property
    def is_zoomed(self) -> bool:
        return any(area.zoom for area in self.areas)

    def reset_view(self) -> None:
        """Back to the automatic ranges."""
        for area in self.areas:
            area.zoom.clear()
        self.redraw()
        self.zoomed.emit()

    def zoom_by(self, factor: float) -> None:
        """Zoom all plots about their middle; less than 1 shows less."""
        for area in self.areas:
            sides: tuple[Side, ...] = ("x",) if self.time_plots else ("x", "y")
            for side in sides:
                low, high = area.span(side)
                area.zoom_to(side, 0.5 * (low + high), 0.5 * (high - low) * factor)
        self.redraw()
        self.zoomed.emit()

    def item_count(self) -> int:
        """How many items the scene has; it must not grow while training."""
        return len(self.canvas.scene().items())

    # --- layout

    def redraw(self) -> None:
        """Lay everything out and give every item its place; the pixels follow with the next paint event."""
        if self.figure is None:
            return
        size = QRectF(self.canvas.rect())
        self._is_laid_out = size.width() >= 40 and size.height() >= 40
        if not self._is_laid_out:
            return
        self._follow_theme()
        top = self._lay_out_legend(size.width()) + 4.0
        heights = self.figure.heights if len(self.figure.heights) == len(self.areas) else (1.0,) * len(self.areas)
        self._page = None
        if self.figure.words:
            size = self._lay_out_words(size, top)
        if self.figure.beside:
            self._lay_out_beside(size, top)
            self._laid_out()
            return
        room = size.height() - top
        for area in self.areas:
            area.column, area.foot = None, ()
        for area, following in itertools.zip_longest(self.areas, self.areas[1:]):
            area.names_x = following is None or following.plot.x != area.plot.x
        self._is_crowded = len(self.areas) > 1 and room < CROWDED * self.fonts.height * len(self.areas)
        margins = [self._margins(area, room * h / sum(heights)) for area, h in zip(self.areas, heights, strict=True)]
        left = max((m[0] for m in margins), default=0.0)
        right = max((m[2] for m in margins), default=0.0)
        self._lay_out_color_scale(room)
        if self._scale is not None:
            right = 10.0 + SCALE_WIDTH + GAP + _widest(self.fonts, self._scale_ticks) + GAP
        # What the axes need is taken first; the rest is shared, so that equal shares give equally high data.
        needed = sum(m[1] + m[3] for m in margins)
        free = max(8.0 * len(self.areas), room - needed)
        for area, share, (_l, above, _r, below) in zip(self.areas, heights, margins, strict=True):
            high = free * share / sum(heights)
            width = max(20.0, size.width() - left - right)
            area.where = QRectF(round(left), round(top + above), round(width), round(high))
            area.frames["x"] = self._fitted(area, "x")
            area.place_items(self.theme, self.thickness)
            top += above + high + below
        self._laid_out()

    def _laid_out(self) -> None:
        self.reading = self._read()
        self._under.prepareGeometryChange()
        self._over.prepareGeometryChange()
        self._under.update()
        self._over.update()

    def _lay_out_words(self, size: QRectF, top: float) -> QRectF:
        """Break what is written below the plots into lines; the room that is left above it."""
        fonts = self.fonts

        def measure(text: str, bold: bool) -> float:
            return fonts.bold_metrics.horizontalAdvance(text) if bold else fonts.width(text)

        assert self.figure is not None
        line, wide = fonts.height + 2.0, size.width() - 2.0 * EDGE
        least = LEAST_PICTURE * fonts.height if self.areas else 0.0
        most = max(1, int((size.height() - top - least) / line))
        self._page = laid_out(self.figure.words, measure, wide, 1.6 * fonts.size, most, 2.0 * fonts.size)
        self._page_top = size.height() - line * self._page.lines - 4.0
        return QRectF(0.0, 0.0, size.width(), self._page_top - 4.0)

    def _lay_out_beside(self, size: QRectF, top: float) -> None:
        """Plots side by side, or in as many rows as make them largest, each with its title above and its foot below."""
        fonts, count = self.fonts, len(self.areas)
        if not count:
            return
        self._is_crowded = False
        self._lay_out_color_scale(size.height())
        gap, above = BESIDE * fonts.size, fonts.height + 5.0
        room, most = size.height() - top, 3 if size.height() > 0.6 * SCARCE else 1
        # Feet are broken for the width that plots have, which depends on how high the feet are: two lines is usual.
        around = above + GAP + (1 + min(2, most)) * fonts.height
        across = columns_beside([area.plot for area in self.areas], size.width() - 2.0 * EDGE, room, gap, around)
        down = -(-count // across)
        if down > 1:
            above += 0.3 * fonts.height  # titles keep away from what stands above them
        wide = max(20.0, (size.width() - 2.0 * EDGE - gap * (across - 1)) / across)

        def measure(text: str, _bold: bool) -> float:
            return fonts.width(text)

        margins = []
        for index, area in enumerate(self.areas):
            start = EDGE + (index % across) * (wide + gap)
            area.column, area.names_x = (start, start + wide), True
            text = under(area.plot)
            area.foot = tuple(wrapped(text, measure, wide, most)) if text else ()
            area.frames.pop("right", None)
            area.frames["y"] = _spaced(area, "y", area.plot.y, TICKS, lambda _text: 1.1 * fonts.height, room / down)
            widest = _widest(fonts, area.frames["y"].ticks)
            margins.append(widest + GAP if widest else 0.0)
        below = max(
            (fonts.height + GAP if _is_ticked(a.plot) else GAP) + len(a.foot) * fonts.height for a in self.areas
        )
        bar = 10.0 + SCALE_WIDTH + GAP + _widest(fonts, self._scale_ticks)
        high = max(8.0, room / down - above - below)
        for index, (area, margin) in enumerate(zip(self.areas, margins, strict=True)):
            assert area.column is not None
            taken = margin + (bar if _has_scale(area.plot) else 0.0)
            width, height = self._picture_size(area, wide - taken, high)
            ceiling = top + above + (index // across) * room / down
            area.where = QRectF(round(area.column[0] + margin), round(ceiling), round(width), round(height))
            count_y = int(np.clip(height / (1.6 * fonts.height), 2, TICKS))
            area.frames["y"] = _spaced(area, "y", area.plot.y, count_y, lambda _text: 1.1 * fonts.height, height)
            area.frames["x"] = self._fitted(area, "x")
            area.place_items(self.theme, self.thickness)

    def _picture_size(self, area: PlotArea, wide: float, high: float) -> tuple[float, float]:
        """Width and height of axes in which cells are not larger than they need be, and those of an image square."""
        (left, right), (bottom, top) = area.auto["x"].range, area.auto["y"].range
        across, down = right - left, top - bottom
        if area.plot.square:
            cell = min(wide / across, high / down)
            return max(4.0, cell * across), max(4.0, cell * down)
        cells = next((mark.values.shape for mark in area.plot.marks if isinstance(mark, Heatmap)), None)
        if cells is None:
            return max(4.0, wide), max(4.0, high)
        largest = LARGEST_CELL * self.fonts.size
        return max(4.0, min(wide, largest * cells[1])), max(4.0, min(high, largest * cells[0]))

    def _follow_theme(self) -> None:
        # Setting the background paints everything again, even where it stays the same.
        if self.theme is not current() or not self._has_background:
            self.theme = current()
            self._has_background = True
            self.canvas.setBackground(self.theme.color("panel"))

    @property
    def thickness(self) -> float:
        """How much thicker lines are than usual: with a large font one sits far away."""
        return max(1.0, self.fonts.size / 14.0)

    def _margins(self, area: PlotArea, height: float) -> tuple[float, float, float, float]:
        """Pixels for writing on the left, above, on the right and below; settles the vertical axes' ticks too."""
        fonts, plot = self.fonts, area.plot
        below = GAP + 2.0 * fonts.height + 3.0 if area.names_x else 0.6 * fonts.height
        if area.names_x and (not plot.x.label or self._is_beside(plot)):
            below -= fonts.height
        if plot.pictures is not None:
            below = 0.6 * fonts.height
        above = 1.3 * fonts.height + 4.0 if any(_words(plot)) else 0.5 * fonts.height
        if self._is_crowded:
            above, below = 3.0, below if area.names_x else 2.0
        room = max(20.0, height - below - above)
        count = int(np.clip(room / (2.0 * fonts.height), 2, TICKS + 1))
        area.frames["y"] = _spaced(area, "y", plot.y, count, lambda _text: 1.1 * fonts.height, room)
        left = GAP + _widest(fonts, area.frames["y"].ticks) + GAP
        right = EDGE
        area.frames.pop("right", None)
        if "right" in area.auto and plot.right is not None:
            area.frames["right"] = _spaced(area, "right", plot.right, count, lambda _text: fonts.height, room)
            right = GAP + _widest(fonts, area.frames["right"].ticks) + GAP
        if self._is_beside(plot):
            left = max(left, fonts.width(plot.x.label) + 2.5 * GAP)
        return _steady(left), above, _steady(right), below

    def _is_beside(self, plot: Plot) -> bool:
        """Whether the horizontal axis has its label beside its numbers: a short one, where height is scarce."""
        return self.canvas.height() < SCARCE and self.fonts.width(plot.x.label) < 3.0 * self.fonts.size

    def _fitted(self, area: PlotArea, side: Side) -> Frame:
        fonts, width = self.fonts, area.where.width()
        count = max(2, min(TICKS + 2, int(width / (5.0 * fonts.size))))
        return _spaced(area, side, area.plot.x, count, lambda text: fonts.width(text) + 0.7 * fonts.size, width)

    def _lay_out_color_scale(self, height: float) -> None:
        """All heatmaps of a figure share one scale, beside them."""
        maps = (m for area in self.areas for m in area.plot.marks if isinstance(m, Heatmap) and m.scaled)
        self._scale = next(maps, None)
        self._scale_ticks: tuple[Tick, ...] = ()
        if self._scale is not None:
            count = int(np.clip(height / (2.4 * self.fonts.height), 2, TICKS))
            self._scale_ticks = ticks(*color_limits(self._scale), self._scale.scale, count=count)

    def _lay_out_legend(self, width: float) -> float:
        """Break the legend into rows; its height in pixels."""
        fonts = self.fonts
        entries = legend(*(area.plot for area in self.areas))
        if len(entries) < 2 and not any(entry.shape != "area" for entry in entries):
            entries = ()
        # Lanes come first in a legend; where height is scarce, their row is the one that stays.
        scarce = SCARCE if len(self.areas) > 1 else 0.85 * SCARCE
        most_rows = 1 if self.canvas.height() < scarce else LEGEND_ROWS
        most = width - 2 * EDGE
        lanes = sum(is_lane(entry) for entry in entries)
        rows: list[list[tuple[Entry, str, float]]] = []
        # Names are cut until every lane has a place: one that is drawn and not named cannot be told.
        for longest in (max(80.0, most - SAMPLE - 30), *LANE_NAMES):
            rows = self._rows_of(entries, longest, most, most_rows)
            if sum(is_lane(entry) for row in rows for entry, _text, _wide in row) == lanes:
                break
        self._rows = rows
        return len(rows) * (fonts.height + 3.0) + (2.0 if rows else 0.0)

    def _rows_of(
        self, entries: Sequence[Entry], longest: float, most: float, most_rows: int
    ) -> list[list[tuple[Entry, str, float]]]:
        """The legend in at most so many rows; `longest` is the room for one text, `most` that of a row, in pixels."""
        rows: list[list[tuple[Entry, str, float]]] = [[]]
        used = 0.0
        for entry in entries:
            # Cut in the middle: lanes differ in their letter and in what their numbers end with.
            text = self.fonts.elided(entry.label, longest, Qt.TextElideMode.ElideMiddle)
            wide = SAMPLE + GAP + self.fonts.width(text) + 16.0
            if rows[-1] and used + wide > most + 16.0:
                if len(rows) == most_rows:
                    break
                rows.append([])
                used = 0.0
            rows[-1].append((entry, text, wide))
            used += wide
        return [row for row in rows if row]

    # --- painting

    def _paint_backdrop(self, painter: QPainter) -> None:
        """Everything behind the data. But for the horizontal axis it seldom changes, so it is kept as a picture."""
        if self.figure is None or not self._is_laid_out:
            return
        ratio = self.canvas.devicePixelRatioF()
        spans = tuple(m for a in self.areas for m in a.plot.marks if isinstance(m, Span | Rule) and m.across == "y")
        key = (
            self.canvas.size(),
            ratio,
            self.theme.name,
            self.fonts.size,
            self.figure.empty,
            tuple(
                (a.where.getRect(), *(f for side, f in a.frames.items() if side != "x"), *_words(a.plot), a.foot)
                for a in self.areas
            ),
            self._page,
            spans,
            self._scale_ticks,
            self._scale.colormap if self._scale is not None else "",
            tuple(entry for row in self._rows for entry in row),
        )
        if key != self._backdrop_key or self._backdrop is None:
            picture = QPixmap(self.canvas.size() * ratio)
            picture.setDevicePixelRatio(ratio)
            picture.fill(QColor(self.theme.color("panel")))
            on_picture = QPainter(picture)
            try:
                self._draw_backdrop(on_picture)
            finally:
                on_picture.end()  # a picture must not go while it is painted on
            self._backdrop, self._backdrop_key = picture, key
        painter.drawPixmap(0, 0, self._backdrop)
        painter.setFont(self.fonts.tick)
        for area in self.areas:
            self._draw_x_axis(painter, area)

    def _draw_backdrop(self, painter: QPainter) -> None:
        painter.setFont(self.fonts.tick)
        if self.figure is not None and self.figure.empty:
            self._write_empty(painter)
            return
        self._draw_legend(painter)
        for area in self.areas:
            self._draw_axes(painter, area)
            self._draw_foot(painter, area)
        self._draw_color_scale(painter)
        self._write_page(painter)

    def _draw_foot(self, painter: QPainter, area: PlotArea) -> None:
        """What stands below one of several plots side by side, and the sign between it and the one before."""
        if area.column is None:
            return
        fonts, left = self.fonts, area.column[0]
        base = area.where.bottom() + (fonts.height + GAP if _is_ticked(area.plot) else GAP) + fonts.ascent
        painter.setPen(QColor(self.theme.color("muted")))
        for number, line in enumerate(area.foot):
            text = fonts.elided(line, area.column[1] - left)
            painter.drawText(QPointF(left, base + number * fonts.height), text)
        if area.plot.before:
            painter.setPen(QColor(self.theme.color("text")))
            painter.setFont(fonts.bold)
            wide = fonts.bold_metrics.horizontalAdvance(area.plot.before)
            middle = area.where.top() + min(0.5 * area.where.height(), 1.5 * fonts.height)
            painter.drawText(
                QPointF(left - 0.5 * (BESIDE * fonts.size + wide), self._baseline(middle)), area.plot.before
            )
            painter.setFont(fonts.tick)

    def _write_page(self, painter: QPainter) -> None:
        """What is written below the plots."""
        page, fonts = self._page, self.fonts
        if page is None:
            return
        line = fonts.height + 2.0
        below = self._page_top + line * len(page.heading)
        columns = [(EDGE, self._page_top, page.heading)]
        columns += [(EDGE + n * (page.width + 2.0 * fonts.size), below, rows) for n, rows in enumerate(page.columns)]
        for left, top, rows in columns:
            for number, row in enumerate(rows):
                painter.setFont(fonts.bold if row.bold else fonts.tick)
                painter.setPen(QColor(self.theme.color(row.color)))
                x = left + (1.6 * fonts.size if row.indented else 0.0)
                painter.drawText(QPointF(x, top + number * line + fonts.ascent), row.text)
        painter.setFont(fonts.tick)

    def _write_empty(self, painter: QPainter) -> None:
        painter.setPen(QColor(self.theme.color("muted")))
        where = QRectF(self.canvas.rect()).adjusted(24, 12, -24, -12)
        flags = int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap)
        painter.drawText(where, flags, self.figure.empty if self.figure is not None else "")

    def _draw_legend(self, painter: QPainter) -> None:
        theme, fonts = self.theme, self.fonts
        y = 2.0
        for row in self._rows:
            x = EDGE
            for entry, text, wide in row:
                self._draw_sample(painter, entry, QRectF(x, y, SAMPLE, fonts.height))
                painter.setPen(QColor(theme.color("text")))
                painter.drawText(QPointF(x + SAMPLE + GAP, y + fonts.ascent), text)
                x += wide
            y += fonts.height + 3.0

    def _draw_sample(self, painter: QPainter, entry: Entry, where: QRectF) -> None:
        theme, middle = self.theme, where.center()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        color = theme.color(entry.color)
        if entry.shape == "point":
            size, colors, rim = point_look(entry.color, entry.fill, entry.width, theme, self.thickness)
            stamp = rimmed_stamp(entry.marker, size, *colors, rim, self.canvas.devicePixelRatioF())
            half = 0.5 * stamp.deviceIndependentSize().width()
            painter.drawPixmap(QPointF(middle.x() - half, middle.y() - half), stamp)
        elif entry.shape == "line":
            shade = theme.tint(entry.color, FAINT) if entry.faint else color
            painter.setPen(pen(shade, max(1.0, entry.width * self.thickness), entry.dash))
            painter.drawLine(QPointF(where.left(), middle.y()), QPointF(where.right(), middle.y()))
            if entry.marker:
                self._draw_symbol(painter, entry.marker, middle, 7.0 * self.thickness, shade)
        elif entry.shape == "box":
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(theme.tint(entry.color, OUTER_BOX)))
            painter.drawRect(QRectF(where.left() + 1, middle.y() - 4, SAMPLE - 2, 8))
            painter.setBrush(QColor(theme.tint(entry.color, INNER_BOX)))
            painter.drawRect(QRectF(where.left() + 6, middle.y() - 4, SAMPLE - 12, 8))
            if entry.marker:
                self._draw_symbol(painter, entry.marker, middle, 5.0 * self.thickness, theme.color("panel"))
        else:
            painter.setPen(QColor(theme.color("border")))
            painter.setBrush(QColor(theme.tint(entry.color, BAND) if entry.faint else color))
            painter.drawRect(QRectF(where.left() + 2, middle.y() - 4.5, SAMPLE - 4, 9))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _draw_symbol(self, painter: QPainter, marker: Any, at: QPointF, size: float, color: str) -> None:
        painter.save()
        painter.translate(at)
        painter.scale(size, size)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(color))
        painter.drawPath(symbol_path(marker))
        painter.restore()

    def _draw_axes(self, painter: QPainter, area: PlotArea) -> None:
        theme, fonts, where = self.theme, self.fonts, area.where
        if area.plot.pictures is not None:
            self._draw_names(painter, area)
            return
        is_map = any(isinstance(mark, Heatmap) for mark in area.plot.marks)
        self._draw_spans(painter, area, "y")
        painter.setPen(pen(theme.color("grid")))
        heights = [(area.to_pixels(area.span("x")[0], tick.place).y(), tick) for tick in area.frames["y"].ticks]
        if not is_map:
            for y, _tick in heights:
                painter.drawLine(QPointF(where.left(), round(y)), QPointF(where.right(), round(y)))
        self._draw_level_rules(painter, area)
        painter.setPen(pen(theme.color("axis")))
        painter.drawLine(where.bottomLeft(), where.topLeft())
        painter.setPen(QColor(theme.color("muted")))
        for y, tick in heights:
            wide = fonts.width(tick.text)
            painter.drawText(QPointF(where.left() - GAP - wide, self._baseline(y)), tick.text)
        if "right" in area.frames:
            self._draw_right_axis(painter, area)
        self._draw_names(painter, area)

    def _draw_spans(self, painter: QPainter, area: PlotArea, across: str) -> None:
        for mark in area.plot.marks:
            if isinstance(mark, Span) and mark.across == across:
                painter.fillRect(self._span(area, mark), QColor(self.theme.color(mark.color)))

    def _draw_x_axis(self, painter: QPainter, area: PlotArea) -> None:
        """What moves with time: the horizontal axis, and the rules across it."""
        fonts, where = self.fonts, area.where
        if area.plot.pictures is not None:
            return
        self._draw_spans(painter, area, "x")
        self._draw_upright_rules(painter, area, front=False)
        painter.setPen(pen(self.theme.color("axis")))
        painter.drawLine(where.bottomLeft(), where.bottomRight())
        painter.setPen(QColor(self.theme.color("muted")))
        if area.names_x:
            bottom = where.bottom() + GAP + fonts.ascent
            for tick in area.frames["x"].ticks:
                x = area.to_pixels(tick.place, area.span("y")[0]).x()
                wide = fonts.width(tick.text)
                painter.drawText(QPointF(min(x - 0.5 * wide, self.canvas.width() - wide - 2.0), bottom), tick.text)
            if area.column is not None:
                return  # it stands in the foot
            label = fonts.elided(area.plot.x.label, where.width() + EDGE)
            if self._is_beside(area.plot):
                at = QPointF(where.left() - 1.5 * GAP - fonts.width(label), bottom)
            else:
                at = QPointF(where.center().x() - 0.5 * fonts.width(label), bottom + fonts.height + 1.0)
            painter.drawText(at, label)

    def _draw_names(self, painter: QPainter, area: PlotArea) -> None:
        """Above the axes: the plot's title, what the left axis measures, and what the right one does."""
        theme, fonts, where, plot = self.theme, self.fonts, area.where, area.plot
        base = where.top() - 0.3 * fonts.height - 4.0 - fonts.descent
        if self._is_crowded:
            return
        left, end = area.column if area.column is not None else (EDGE, where.right())
        painter.setPen(QColor(theme.color("muted")))
        if plot.right is not None and plot.right.label:
            label = fonts.elided(plot.right.label, 0.4 * where.width())
            wide = fonts.width(label)
            end = min(self.canvas.width() - EDGE, where.right() + _widest(fonts, area.frames["right"].ticks) + GAP)
            painter.drawText(QPointF(end - wide, base), label)
            end -= wide + 16.0
        if plot.title:
            painter.setFont(fonts.bold)
            painter.setPen(QColor(theme.color("text")))
            title = fonts.bold_metrics.elidedText(plot.title, Qt.TextElideMode.ElideRight, end - left)
            painter.drawText(QPointF(left, base), title)
            left += fonts.bold_metrics.horizontalAdvance(title) + 12.0
            painter.setFont(fonts.tick)
        if end - left > 3.0 * fonts.size:
            painter.setPen(QColor(theme.color("muted")))
            # Beside others there is little room: half a word would help nobody.
            if area.column is None or fonts.width(plot.y.label) <= end - left:
                painter.drawText(QPointF(left, base), fonts.elided(plot.y.label, end - left))

    def _span(self, area: PlotArea, span: Span) -> QRectF:
        where, side = area.where, span.across
        frame = area.frames["y" if side == "y" else "x"]
        low, high = frame.range
        ends = [float(end) for end in frame.places(np.array([span.low, span.high]))]
        first, last = (
            low if np.isnan(ends[0]) else min(max(ends[0], low), high),
            high if np.isnan(ends[1]) else min(max(ends[1], low), high),
        )
        if side == "y":
            top, bottom = area.to_pixels(0.0, last).y(), area.to_pixels(0.0, first).y()
            return QRectF(where.left(), top, where.width(), bottom - top)
        left, right = area.to_pixels(first, low).x(), area.to_pixels(last, low).x()
        return QRectF(left, where.top(), right - left, where.height())

    def _draw_right_axis(self, painter: QPainter, area: PlotArea) -> None:
        theme, where = self.theme, area.where
        low, high = area.span("right")
        painter.setPen(pen(theme.color("axis")))
        painter.drawLine(where.bottomRight(), where.topRight())
        painter.setPen(QColor(theme.color("muted")))
        for tick in area.frames["right"].ticks:
            y = where.bottom() - (tick.place - low) / (high - low) * where.height()
            painter.drawText(QPointF(where.right() + GAP, self._baseline(y)), tick.text)

    def _draw_color_scale(self, painter: QPainter) -> None:
        if self._scale is None:
            return
        heatmap = self._scale
        low, high = Frame(heatmap.scale, color_limits(heatmap), ()).range
        first, last = self.areas[0].where, self.areas[-1].where
        if self.figure is not None and self.figure.beside:
            first = last = [area.where for area in self.areas if _has_scale(area.plot)][-1]
        bar = QRectF(first.right() + 10.0, first.top(), SCALE_WIDTH, last.bottom() - first.top())
        painter.drawImage(bar, color_strip(heatmap.colormap, self.theme.name))
        painter.setPen(QColor(self.theme.color("muted")))
        for tick in self._scale_ticks:
            y = bar.bottom() - (tick.place - low) / (high - low) * bar.height()
            painter.drawText(QPointF(bar.right() + GAP, self._baseline(y)), tick.text)

    def _baseline(self, y: float) -> float:
        """The base line of a text whose middle is at y."""
        return y + 0.5 * (self.fonts.ascent - self.fonts.descent)

    # --- in front of the data

    def _paint_overlay(self, painter: QPainter) -> None:
        if not self._is_laid_out:
            return
        painter.setFont(self.fonts.tick)
        for index, area in enumerate(self.areas):
            if self._is_crowded and area.plot.title:
                title = self.fonts.elided(area.plot.title, area.where.width() - 8.0)
                corner = QRectF(area.where.left() + 4.0, area.where.top() + 1.0, self.fonts.width(title), 0.0)
                corner.setHeight(min(self.fonts.height, area.where.height() - 2.0))
                self._write_on_paper(painter, corner, title, QColor(self.theme.color("text")))
            self._draw_cell_texts(painter, area)
            self._draw_upright_rules(painter, area, front=True)
            self._draw_present(painter, area)
            self._draw_beyond(painter, area)
            self._draw_notes(painter, index, area)
        if self.reading is not None:
            self._draw_reading(painter, self.reading)

    def _draw_cell_texts(self, painter: QPainter, area: PlotArea) -> None:
        """What is written into the cells of a heatmap, where there is room for all of it."""
        for mark in area.plot.marks:
            colors = color_map(mark.colormap, self.theme.name) if isinstance(mark, Heatmap) and mark.texts else None
            if not isinstance(mark, Heatmap) or colors is None or area.zoom:
                continue
            rows, columns = mark.values.shape
            widest = max(self.fonts.width(text) for row in mark.texts for text in row)
            wide, high = area.where.width() / columns, area.where.height() / rows
            shrink = min(1.0, 0.9 * wide / max(widest, 1.0), 0.95 * high / self.fonts.height)
            if shrink * self.fonts.size < SMALLEST_TEXT:
                continue
            font = QFont(self.fonts.tick)
            font.setPixelSize(int(shrink * self.fonts.size))
            painter.setFont(font)
            low, top = color_limits(mark)
            x = area.frames["x"].places(0.5 * (mark.x_edges[1:] + mark.x_edges[:-1]))
            y = area.frames["y"].places(0.5 * (mark.y_edges[1:] + mark.y_edges[:-1]))
            middle = int(Qt.AlignmentFlag.AlignCenter)
            for row, texts in enumerate(mark.texts):
                for column, text in enumerate(texts):
                    value = (float(mark.values[row, column]) - low) / (top - low)
                    if not text or np.isnan(value):
                        continue
                    at = area.to_pixels(float(x[column]), float(y[row]))
                    painter.setPen(QColor(ink_on(colors[int(min(max(value, 0.0), 1.0) * (len(colors) - 1))])))
                    painter.drawText(QRectF(at.x() - 0.5 * wide, at.y() - 0.5 * high, wide, high), middle, text)
            painter.setFont(self.fonts.tick)

    def _draw_level_rules(self, painter: QPainter, area: PlotArea) -> None:
        """Level rules; their labels stand with the notes."""
        low, high = area.span("y")
        for rule in (mark for mark in area.plot.marks if isinstance(mark, Rule) and mark.across == "y"):
            place = area.frames["y"].place(rule.at)
            if low <= place <= high:
                y = round(area.to_pixels(area.span("x")[0], place).y())
                painter.setPen(pen(self.theme.color(rule.color), 1.2 * self.thickness, rule.dash))
                painter.drawLine(QPointF(area.where.left(), y), QPointF(area.where.right(), y))

    def _draw_upright_rules(self, painter: QPainter, area: PlotArea, front: bool) -> None:
        """Moments: behind the data epochs and the like, in front of them the present one."""
        theme, fonts, where = self.theme, self.fonts, area.where
        low, high = area.span("x")
        written: list[tuple[float, float]] = []  # of names, from where to where; the first to come has the room
        top = self._top_of_names(area)
        for rule in (mark for mark in area.plot.marks if isinstance(mark, Rule) and mark.across == "x"):
            place = area.frames["x"].place(rule.at)
            if _is_present(rule) != front or not low <= place <= high:
                continue
            x = round(area.to_pixels(place, area.span("y")[0]).x())
            painter.setPen(pen(theme.color(rule.color), (1.8 if front else 1.2) * self.thickness, rule.dash))
            painter.drawLine(QPointF(x, where.top()), QPointF(x, where.bottom()))
            text = fonts.elided(rule.label, 0.6 * where.width())
            wide = fonts.width(text)
            left = x + 3.0 if x + 3.0 + wide < where.right() else x - 3.0 - wide
            if text and all(left > stop + 4.0 or left + wide < start - 4.0 for start, stop in written):
                written.append((left, left + wide))
                painter.setPen(QColor(theme.color("muted" if rule.color in ("grid", "axis") else rule.color)))
                painter.drawText(QPointF(left, top + fonts.ascent), text)

    def _top_of_names(self, area: PlotArea) -> float:
        """Where the names of moments begin: at the upper edge, or below a level rule that would cross them there."""
        top = area.where.top()
        for rule in (mark for mark in area.plot.marks if isinstance(mark, Rule) and mark.across == "y"):
            y = area.to_pixels(area.span("x")[0], area.frames["y"].place(rule.at)).y()
            if top - 1.0 <= y < top + self.fonts.height:
                top = y + 2.0
        return top

    def _write_on_paper(self, painter: QPainter, box: QRectF, text: str, ink: QColor) -> None:
        """Text in front of data, on paper that lets them shine through a little."""
        paper = QColor(self.theme.color("panel"))
        paper.setAlpha(190)
        painter.fillRect(box.adjusted(-2.0, 0.0, 2.0, 0.0), paper)
        painter.setPen(ink)
        painter.drawText(QPointF(box.left(), box.top() + self.fonts.ascent), text)

    def _draw_present(self, painter: QPainter, area: PlotArea) -> None:
        """The handle that one drags the present moment by, at the foot of its rule."""
        if self.figure is None or not self.time_plots or not area.names_x:
            return
        rules = [mark.at for mark in area.plot.marks if isinstance(mark, Rule) and _is_present(mark)]
        step = self.figure.stamp.get("step", "")
        at = rules[-1] if rules else float(step) if step.isdigit() else float("nan")
        place, (low, high) = area.frames["x"].place(at), area.span("x")
        if np.isnan(place):
            return
        place = min(max(place, low), high)
        self._draw_handle(painter, round(area.to_pixels(place, area.span("y")[0]).x()), area.where)

    def _draw_handle(self, painter: QPainter, x: float, where: QRectF) -> None:
        """What one drags the present moment by."""
        size = 5.0 * self.thickness
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(self.theme.color("accent")))
        foot = where.bottom()
        painter.drawPolygon(
            QPolygonF([QPointF(x, foot - size), QPointF(x + size, foot + 3.0), QPointF(x - size, foot + 3.0)])
        )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _draw_beyond(self, painter: QPainter, area: PlotArea) -> None:
        """Small arrows at the edge for what lies outside the shown range."""
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painter.setPen(Qt.PenStyle.NoPen)
        where = area.where
        for mark in area.plot.marks:
            if isinstance(mark, Line):
                frame = area.frames["right"] if mark.axis == "right" and "right" in area.frames else area.frames["y"]
                x, least, most = mark.x, mark.y, mark.y
            elif isinstance(mark, Boxes):
                frame = area.frames["y"]
                x, least, most = mark.x + mark.shift, mark.least, mark.most
            else:
                continue
            if not ((most > frame.limits[1]) | (least < frame.limits[0])).any():
                continue
            above, below = frame.beyond(most) > 0, frame.beyond(least) < 0
            low, high = area.span("x")
            for outside, edge, sign in ((above, where.top(), 1.0), (below, where.bottom(), -1.0)):
                if not outside.any():
                    continue
                places = area.frames["x"].places(x[outside])
                places = places[(places >= low) & (places <= high)]
                across = where.left() + (places - low) / (high - low) * where.width()
                painter.setBrush(QColor(self.theme.color(mark.color)))
                for at in 6.0 * np.unique(np.round(across / 6.0)) if len(across) > 40 else across:
                    painter.drawPolygon(
                        QPolygonF(
                            [
                                QPointF(at, edge + sign),
                                QPointF(at - 4.0, edge + 7.0 * sign),
                                QPointF(at + 4.0, edge + 7.0 * sign),
                            ]
                        )
                    )
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)

    def _draw_notes(self, painter: QPainter, index: int, area: PlotArea) -> None:
        fonts, where = self.fonts, area.where
        low, high = area.frames["y"].limits
        moving = [
            (mark.label, "muted" if mark.color in ("grid", "axis") else mark.color)
            for mark in area.plot.marks
            if isinstance(mark, Rule) and mark.across == "y" and mark.label and low <= mark.at <= high
        ]
        moving += [(mark.text, mark.color) for mark in area.plot.marks if isinstance(mark, Note) and mark.free]
        for (text, color), (x, y) in zip(moving, self._places_of(index, area, len(moving)), strict=False):
            middle = QPointF(where.left() + x * where.width(), where.bottom() - y * where.height())
            self._write_note(painter, fonts.elided(text, where.width() - 8.0), middle, color, where)
        for note in (mark for mark in area.plot.marks if isinstance(mark, Note) and not mark.free):
            at = area.to_pixels(area.frames["x"].place(note.x), area.frames["y"].place(note.y))
            if np.isnan(at.x()) or np.isnan(at.y()) or not where.adjusted(-1, -1, 1, 1).contains(at):
                continue
            text = fonts.elided(note.text, where.width() - 8.0)
            half = 0.5 * fonts.width(text) + 2.0
            shift = {"left": half, "right": -half, "center": 0.0}[note.anchor]
            self._write_note(painter, text, QPointF(at.x() + shift, at.y()), note.color, where)

    def _write_note(self, painter: QPainter, text: str, middle: QPointF, color: str, where: QRectF) -> None:
        wide, high = self.fonts.width(text), self.fonts.height
        left = min(
            max(middle.x() - 0.5 * wide, where.left() + 2.0), max(where.left() + 2.0, where.right() - wide - 2.0)
        )
        box = QRectF(left, middle.y() - 0.5 * high, wide, high)
        self._write_on_paper(painter, box, text, QColor(self.theme.color(color)))

    def _places_of(self, index: int, area: PlotArea, count: int) -> list[tuple[float, float]]:
        """Where moving texts stand, as shares; they stay for a moment, so that they can be read while data move."""
        if count == 0:
            return []
        fonts, where = self.fonts, area.where
        key = (count, where.getRect(), tuple(sorted(area.zoom.items())))
        now = time.monotonic()
        known = self._placed.get(index)
        if known is not None and known[0] == key and now - known[1] < NOTES_SECONDS:
            if not self._settle.isActive():
                self._settle.start()
            return known[2]

        def size(text: str) -> tuple[float, float]:
            wide = min(fonts.width(text) + 6.0, where.width() - 4.0)
            return wide / where.width(), fonts.height / where.height()

        shown = Frames(area.frames["x"], area.frames["y"], area.frames.get("right"))
        if known is not None and known[0] == key and self._stand_free(area, shown, known[2], size):
            found = known[2]
        else:
            found = [(placed.x, placed.y) for placed in place_texts(area.plot, shown, size)]
        self._placed[index] = (key, now, found)
        return found

    def _stand_free(
        self,
        area: PlotArea,
        shown: Frames,
        places: Sequence[tuple[float, float]],
        size: Callable[[str], tuple[float, float]],
    ) -> bool:
        """Whether texts can stay where they are: looking for better places costs more than a frame."""
        texts = [mark.text for mark in area.plot.marks if isinstance(mark, Note) and mark.free]
        if len(texts) != len(places):
            return False  # labels of level rules move with their rules
        points, _by_color = covered(area.plot, shown)
        for text, (x, y) in zip(texts, places, strict=True):
            wide, high = size(text)
            if ((np.abs(points[:, 0] - x) < 0.5 * wide) & (np.abs(points[:, 1] - y) < 0.5 * high)).any():
                return False
        return True

    # --- the mouse

    def point_at(self, moment: float) -> None:
        """The person points at this moment."""
        self.pointed.emit(moment)

    def _mouse_moved(self, position: QPointF) -> None:
        self._mouse = QPointF(position)
        found = self._read()
        if found != self.reading:
            self.reading = found
            self._over.update()

    def _mouse_left(self) -> None:
        self._mouse = None
        if self.reading is not None:
            self.reading = None
            self._over.update()

    def _read(self) -> Reading | None:
        if self._mouse is None or self.figure is None:
            return None
        step = self.figure.stamp.get("step", "")
        for area in self.areas:
            found = reading(area, self._mouse, step)
            if found is not None:
                return found
        return None

    def hover_text(self, position: QPoint | QPointF) -> str:
        """What the readout says at a position of this widget."""
        step = self.figure.stamp.get("step", "") if self.figure is not None else ""
        found = [reading(area, QPointF(position), step) for area in self.areas]
        return "\n".join(line for one in found if one is not None for line in one.lines)

    def _draw_reading(self, painter: QPainter, found: Reading) -> None:
        theme, fonts = self.theme, self.fonts
        wide = max(fonts.width(line) for line in found.lines) + 16.0
        high = len(found.lines) * (fonts.height + 1.0) + 10.0
        at = found.point
        left = at.x() + 14.0 if at.x() + 14.0 + wide < self.canvas.width() else at.x() - 14.0 - wide
        top = min(max(4.0, at.y() - 0.5 * high), max(4.0, self.canvas.height() - high - 4.0))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        color = QColor(theme.color(found.color))
        painter.setPen(pen(theme.color("panel"), 1.5))
        painter.setBrush(color)
        painter.drawEllipse(at, 4.5, 4.5)
        painter.setPen(pen(theme.color("axis")))
        painter.setBrush(QColor(theme.color("panel")))
        painter.drawRoundedRect(QRectF(max(2.0, left), top, wide, high), 5.0, 5.0)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        base = top + 5.0 + fonts.ascent
        for line in found.lines:
            painter.setPen(QColor(theme.color("text")))
            painter.drawText(QPointF(max(2.0, left) + 8.0, base), line)
            base += fonts.height + 1.0

    # --- keys and looks

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_0:
            self.reset_view()
        elif event.modifiers() & Qt.KeyboardModifier.AltModifier and event.key() in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            self.zoom_by(0.8 if event.key() == Qt.Key.Key_Up else 1.25)
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if not hasattr(self, "canvas"):
            return
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.ApplicationPaletteChange):
            self.redraw()
        elif event.type() == QEvent.Type.FontChange:
            self.fonts = Fonts(self.font())
            self._placed.clear()
            self.redraw()


def _is_ticked(plot: Plot) -> bool:
    """Whether numbers or names stand at the horizontal axis."""
    return plot.pictures is None and (plot.x.ticks is None or len(plot.x.ticks) > 0)


def _has_scale(plot: Plot) -> bool:
    """Whether it has a heatmap whose color scale is shown."""
    return any(isinstance(mark, Heatmap) and mark.scaled for mark in plot.marks)


def _is_present(mark: Mark) -> bool:
    """Whether a rule marks the moment that is shown; on a heatmap it is white, where no role's color would show."""
    return isinstance(mark, Rule) and mark.across == "x" and mark.color in ("accent", "#ffffff")


def _words(plot: Plot) -> tuple[str, ...]:
    return plot.title, plot.x.label, plot.y.label, plot.right.label if plot.right is not None else ""


def _widest(fonts: Fonts, shown: Sequence[Tick]) -> float:
    return max((fonts.width(tick.text) for tick in shown), default=0.0)


def _steady(width: float) -> float:
    """A width that does not tremble with every digit."""
    return 8.0 * np.ceil(width / 8.0)


def _spaced(area: PlotArea, side: str, axis: Axis, count: int, needs: Callable[[str], float], room: float) -> Frame:
    """An axis as shown, with as many ticks as there is room for.

    needs   pixels that a text takes along the axis
    """
    frame, (low, high) = area.auto[side], area.limits(side)
    key = (low, high, frame.scale, frame.linear_below, axis.ticks, count, round(room))
    known = area.settled.get(side)
    if known is None or known[0] != key:
        known = area.settled[side] = (key, _with_ticks(frame.zoomed(low, high, count), axis, count, needs, room))
    return known[1]


def _with_ticks(frame: Frame, axis: Axis, count: int, needs: Callable[[str], float], room: float) -> Frame:
    low, high = frame.limits
    if axis.ticks is None:
        while count > 2 and sum(needs(tick.text) for tick in frame.ticks) > room:
            count -= 1
            frame = frame.zoomed(low, high, count)
        return frame
    chosen = [
        Tick(at, place, text) for at, text in axis.ticks if low <= at <= high and np.isfinite(place := frame.place(at))
    ]
    widest = max((needs(tick.text) for tick in chosen), default=1.0)
    return replace(frame, ticks=thinned(chosen, max(2, int(room / widest))))
