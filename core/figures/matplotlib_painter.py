"""Draws figures with Matplotlib: the same marks, ranges and words as the window, as PNG, SVG or PDF.

Matplotlib's own axes logic is not used: places and ticks come from `scales.py`, so that nothing differs from what was
shown. Everything that must not overlap is measured first and then given room: titles, legend, axis labels, tick
labels, notes. Only the object-oriented interface is used, so that no window system is needed and any thread may draw.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure as Canvas
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from numpy.typing import NDArray

from .export import Preset, clean, columns_of, metadata
from .figure import Band, Boxes, Figure, Heatmap, Line, Note, Outline, Pictures, Plot, Points, Rule, Span
from .legend import Entry, legend
from .palette import BAND, DASHES, FAINT, INNER_BOX, OUTER_BOX, Theme, color_map, ink_on
from .pictures import arranged
from .placement import place_texts, shares
from .scales import Frame, Frames, clip_marks, color_limits, frames, thinned, ticks, transform
from .writing import columns_beside, laid_out, under, wrapped

Array = NDArray[np.float64]
FONT = "DejaVu Sans"  # comes with Matplotlib, and has the symbols of the labels
MARKERS = {"circle": "o", "square": "s", "triangle": "^", "diamond": "D", "": ""}
TITLE_SIZE = 1.2  # times the preset's text
MOST_CELLS = 600  # of a heatmap drawn as vectors
VECTOR_DPI = 300  # of images inside vector files
LARGEST_CELL = 2.2  # of a matrix, in sizes of text
SMALL = 0.85  # of the text's size: what stands below pictures
LINE = 1.4  # height of a line of writing, in sizes of text
MOST_MARKERS = 50  # on a line; of more points only every second, third ... has one
_settings = threading.Lock()  # Matplotlib's settings belong to the whole process

RC: dict[Any, Any] = {
    "font.family": FONT,
    "axes.unicode_minus": True,
    "lines.scale_dashes": True,
    "path.simplify": True,
    "pdf.fonttype": 42,  # embedded as TrueType: text stays text, and journals accept it
    "pdf.compression": 6,
    "svg.fonttype": "none",
    "svg.hashsalt": "layerscope",
    "savefig.facecolor": "auto",
    "figure.constrained_layout.use": False,
    "figure.autolayout": False,
    "text.usetex": False,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}


def paint(figures: Sequence[Figure], form: str, preset: Preset, theme: Theme) -> bytes:
    """The bytes of a file with the figures side by side."""
    with _settings, matplotlib.rc_context(RC):
        columns = columns_of(len(figures))
        rows = max(1, -(-len(figures) // columns))
        heights = [
            max((_height(f, preset) for f in figures[row * columns : (row + 1) * columns]), default=preset.height)
            for row in range(rows)
        ]
        width, height = columns * preset.width, sum(heights)
        canvas = Canvas(figsize=(width, height), dpi=preset.dpi, facecolor=theme.color("panel"))
        FigureCanvasAgg(canvas)
        top = height
        for row, row_height in enumerate(heights):
            for column, figure in enumerate(figures[row * columns : (row + 1) * columns]):
                sheet = _Sheet(canvas, preset, theme, column * preset.width, top - row_height, preset.width, row_height)
                sheet.draw(figure)
            top -= row_height
        memory = io.BytesIO()
        dpi = preset.dpi if form == "png" else max(preset.dpi, VECTOR_DPI)
        canvas.savefig(memory, format=form, dpi=dpi, metadata=metadata(figures, form))
        return memory.getvalue()


def _height(figure: Figure, preset: Preset) -> float:
    rows = len(figure.plots)
    if figure.beside:  # in pairs where the page is narrow
        rows = 2 if figure.words else -(-len(figure.plots) // 2)
    return preset.height + preset.more * max(0, rows - 1)


# --- text


@lru_cache(maxsize=4)
def _face(weight: str) -> tuple[FontProperties, frozenset[int]]:
    face = FontProperties(family=FONT, weight=weight)
    return face, frozenset(get_font(findfont(face)).get_charmap())


def _drawable(text: str, weight: str = "normal") -> str:
    """The text with a box for every character that the font does not have."""
    known = _face(weight)[1]
    return "".join(c if ord(c) in known else "\u25a1" for c in clean(text))


def _measured(text: str, size: float, weight: str = "normal") -> float:
    """Width of a text in inches."""
    if not text:
        return 0.0
    face = _face(weight)[0].copy()
    face.set_size(size)
    return float(text_to_path.get_text_width_height_descent(text, face, ismath=False)[0]) / 72.0


def _wrapped(text: str, size: float, width: float, lines: int, weight: str = "normal") -> list[str]:
    """The text in lines of at most `width` inches; what does not fit into `lines` of them ends in an ellipsis."""
    found: list[str] = []
    rest = _drawable(text, weight)
    while rest and len(found) < lines:
        line = rest
        if _measured(line, size, weight) > width:
            low, high = 1, len(rest)
            while low < high:
                middle = (low + high + 1) // 2
                low, high = (middle, high) if _measured(rest[:middle], size, weight) <= width else (low, middle - 1)
            line = rest[:low]
            if len(found) + 1 == lines:
                while line and _measured(line + "…", size, weight) > width:
                    line = line[:-1]
                return [*found, line.rstrip() + "…"]
            at = line.rfind(" ")
            line = line[:at] if at > len(line) // 3 else line
        found.append(line.rstrip())
        rest = rest[len(line) :].lstrip()
    return found


def _fitting(text: str, size: float, width: float) -> str:
    """The text in one line, cut off where it does not fit."""
    return (_wrapped(text, size, width, 1) or [""])[0]


# --- one figure on its part of the page


@dataclass
class _Room:
    """Where the axes of one plot stand, in inches on the page, and their ready frames."""

    plot: Plot
    frames: Frames
    left: float = 0.0
    bottom: float = 0.0
    width: float = 0.0
    height: float = 0.0
    names_x: bool = True  # tick labels and label below; False where the plot below has the same
    above: list[tuple[float, str]] = field(default_factory=list)  # (share of the width, text) over the axes
    column: tuple[float, float] | None = None  # from where to where it may write, where others stand beside it


class _Sheet:
    """One figure on its part of the page; all lengths in inches."""

    def __init__(
        self, canvas: Canvas, preset: Preset, theme: Theme, left: float, bottom: float, width: float, height: float
    ):
        self.canvas, self.preset, self.theme = canvas, preset, theme
        self.left, self.bottom, self.width, self.height = left, bottom, width, height
        self.em = preset.text / 72.0
        self.page = canvas.get_size_inches()

    # --- primitives in inches

    def text(
        self,
        x: float,
        y: float,
        text: str,
        color: str = "text",
        size: float = 1.0,
        weight: str = "normal",
        across: str = "left",
        up: str = "baseline",
        backed: bool = False,
    ) -> None:
        back = {"facecolor": self.theme.color("panel"), "edgecolor": "none", "alpha": 0.75, "pad": 0.1 * self.em * 72.0}
        self.canvas.text(
            x / self.page[0],
            y / self.page[1],
            text,
            color=self.theme.color(color),
            fontsize=self.preset.text * size,
            fontweight=weight,
            ha=across,
            va=up,
            bbox=back if backed else None,
        )

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        made = self.canvas.add_axes(
            (left / self.page[0], bottom / self.page[1], width / self.page[0], height / self.page[1])
        )
        made.set_facecolor("none")
        return made

    # --- the figure

    def draw(self, figure: Figure) -> None:
        em = self.em
        pad = 0.9 * em if self.preset.width > 5 else 0.5 * em
        left, right = self.left + pad, self.left + self.width - pad
        top = self._heading(figure, left, right, self.bottom + self.height - pad)
        if figure.empty or not figure.plots:
            self._empty(figure.empty, left, right, self.bottom + pad, top)
            return
        top = self._legend(legend(*figure.plots), left, right, top)
        bottom = self.bottom + pad
        if figure.words:
            bottom = self._write(figure, left, right, bottom, top)
        if figure.beside:
            self._beside(figure, left, right, bottom, top)
            return
        heatmaps = [mark for plot in figure.plots for mark in plot.marks if isinstance(mark, Heatmap) and mark.scaled]
        plots_right = right
        if heatmaps:
            plots_right = right - self._color_bar_width(heatmaps[0])
        rooms = self._arrange(figure, left, plots_right, bottom, top)
        for room in rooms:
            self._plot(room)
        if heatmaps:
            low = rooms[-1].bottom
            self._color_bar(heatmaps[0], plots_right + em, low, rooms[0].bottom + rooms[0].height - low)

    def _heading(self, figure: Figure, left: float, right: float, top: float) -> float:
        """Title at the left, what is measured at the right of it or below; the height that is left."""
        em, text = self.em, self.preset.text
        lines = _wrapped(figure.title, text * TITLE_SIZE, right - left, 2, "bold")
        y = top
        for line in lines:
            y -= TITLE_SIZE * em
            self.text(left, y + 0.22 * em, line, size=TITLE_SIZE, weight="bold")
            y -= 0.15 * em
        subtitle = _drawable(figure.subtitle)
        used = _measured(lines[-1], text * TITLE_SIZE, "bold") if lines else 0.0
        if subtitle and left + used + 1.5 * em + _measured(subtitle, text) <= right:
            self.text(right, y + 0.37 * em, subtitle, "muted", across="right")
        else:
            for line in _wrapped(figure.subtitle, text, right - left, 2):
                y -= 1.1 * em
                self.text(left, y + 0.25 * em, line, "muted")
        return y - 0.25 * em

    def _empty(self, why: str, left: float, right: float, bottom: float, top: float) -> None:
        lines = _wrapped(why, self.preset.text, 0.8 * (right - left), 4)
        y = (bottom + top) / 2 + 0.7 * self.em * (len(lines) - 1)
        for line in lines:
            self.text((left + right) / 2, y, line, "muted", across="center", up="center")
            y -= 1.4 * self.em

    def _legend(self, entries: Sequence[Entry], left: float, right: float, top: float) -> float:
        """Entries in a row, or as many rows as they need; the height that is left."""
        if not entries or (len(entries) == 1 and entries[0].shape == "line"):
            return top
        em = self.em
        swatch, gap = 1.9 * em, 1.2 * em
        rows: list[list[tuple[Entry, str, float]]] = [[]]
        used = 0.0
        for entry in entries:
            room = right - left - swatch - 0.4 * em
            text = _fitting(entry.label, self.preset.text, room)
            width = swatch + 0.4 * em + _measured(text, self.preset.text) + gap
            if rows[-1] and used + width - gap > right - left:
                rows.append([])
                used = 0.0
            rows[-1].append((entry, text, width))
            used += width
        y = top
        for row in rows:
            y -= 1.35 * em
            x = left
            box = self.axes(left, y, right - left, 1.3 * em)
            box.set_xlim(0.0, right - left)
            box.set_ylim(0.0, 1.3 * em)
            box.set_axis_off()
            for entry, text, width in row:
                self._swatch(box, entry, x - left, swatch)
                self.text(x + swatch + 0.4 * em, y + 0.32 * em, text)
                x += width
        return y - 0.1 * em

    def _swatch(self, box: Axes, entry: Entry, x: float, width: float) -> None:
        theme, em, middle = self.theme, self.em, 0.6 * self.em
        if entry.shape == "area":
            color = theme.color(entry.color) if not entry.faint else theme.tint(entry.color, BAND)
            box.add_patch(Rectangle((x, middle - 0.4 * em), width, 0.8 * em, facecolor=color, edgecolor="none"))
            return
        if entry.shape == "box":
            outer, inner = theme.tint(entry.color, OUTER_BOX), theme.tint(entry.color, INNER_BOX)
            box.plot(
                [x, x + width], [middle, middle], color=theme.color(entry.color), linewidth=self.preset.line, zorder=1
            )
            for share, color in ((0.7, outer), (0.36, inner)):
                part = share * width
                box.add_patch(
                    Rectangle(
                        (x + (width - part) / 2, middle - 0.35 * em),
                        part,
                        0.7 * em,
                        facecolor=color,
                        edgecolor="none",
                        zorder=2,
                    )
                )
            self._middle(
                box, np.array([x + width / 2]), np.array([middle]), 0.0, entry.marker, entry.color, upright=True
            )
            return
        if entry.shape == "point":
            look = self._point_look(entry.color, entry.marker, entry.fill, entry.width)
            box.plot([x + width / 2], [middle], clip_on=False, **look)
            return
        box.add_line(
            Line2D(
                [x, x + width / 2, x + width],
                [middle] * 3,
                markevery=[1],
                **self._line_look(entry.color, entry.dash, entry.marker, entry.width, entry.faint),
            )
        )

    def _line_look(self, color: str, dash: Any, marker: str, width: float, faint: bool) -> dict[str, Any]:
        shade = self.theme.tint(color, FAINT) if faint else self.theme.color(color)
        pattern = DASHES[dash]
        return {
            "color": shade,
            "linewidth": width * self.preset.line,
            "linestyle": (0, pattern) if pattern else "-",
            "marker": MARKERS[marker],
            "markersize": self.preset.marker
            * (0.75 if faint else 1.0)
            * (0.9 if marker in ("square", "diamond") else 1.0),
            "markeredgewidth": 0.0,
            "dash_capstyle": "butt",
            "solid_joinstyle": "round",
        }

    def _point_look(self, color: str, marker: str, fill: str, size: float) -> dict[str, Any]:
        theme, ring = self.theme, fill == "none"
        inside = {"color": theme.color(color), "paper": theme.color("panel"), "none": "none"}[fill]
        # A rim of paper keeps markers apart from each other and from a map below them.
        around = theme.color("panel") if fill == "color" else theme.color(color)
        return {
            "linestyle": "",
            "marker": MARKERS[marker],
            "markersize": 0.62 * size * self.preset.marker * (0.9 if marker in ("square", "diamond") else 1.0),
            "markerfacecolor": inside,
            "markeredgecolor": around,
            "markeredgewidth": (0.7 if ring else 0.75 if fill == "paper" else 0.35) * self.preset.line,
        }

    # --- writing and plots side by side

    def _write(self, figure: Figure, left: float, right: float, bottom: float, top: float) -> float:
        """The writing below the plots; where it ends."""
        em, size = self.em, self.preset.text

        def measure(text: str, bold: bool) -> float:
            return _measured(_drawable(text), size, "bold" if bold else "normal")

        # Pictures keep a height at which something can be seen in them.
        least = 10.9 * em if figure.plots else 0.0
        most = max(1, int((top - bottom - least) / (LINE * em)))
        page = laid_out(figure.words, measure, right - left, 1.6 * em, most, 2.0 * em)
        end = bottom + LINE * em * page.lines
        starts = [(left, end, page.heading, right - left)]
        below = end - LINE * em * len(page.heading)
        starts += [(left + n * (page.width + 2.0 * em), below, c, page.width) for n, c in enumerate(page.columns)]
        for start, y, rows, wide in starts:
            for number, row in enumerate(rows, 1):
                x = start + (1.6 * em if row.indented else 0.0)
                text = _fitting(row.text, size, start + wide - x)
                base = y - LINE * em * number + 0.35 * em
                self.text(x, base, text, row.color, weight="bold" if row.bold else "normal")
        return end + 0.4 * em

    def _beside(self, figure: Figure, left: float, right: float, bottom: float, top: float) -> None:
        """Plots side by side, with the signs between them and what stands below each."""
        em, plots = self.em, figure.plots
        gap, over = 2.2 * em, 1.9 * em

        def measure(text: str, _bold: bool) -> float:
            return _measured(_drawable(text), self.preset.text * SMALL)

        # Feet are broken for the width that plots have, which depends on how high the feet are: two lines is usual.
        around = over + (1.3 + 1.15 * 2 + 0.5) * em
        across = columns_beside(plots, right - left, top - bottom, gap, around)
        down = -(-len(plots) // across)
        wide = (right - left - gap * (across - 1)) / across
        feet = [wrapped(under(plot), measure, wide, 3) if under(plot) else [] for plot in plots]
        ticked = [1.3 * em if _is_ticked(plot) else 0.25 * em for plot in plots]
        below = max(tick + 1.15 * em * len(foot) for tick, foot in zip(ticked, feet, strict=True))
        high = max(2.0 * em, (top - bottom) / down - over - below - 0.5 * em)
        scaled = [(i, m) for i, plot in enumerate(plots) for m in plot.marks if isinstance(m, Heatmap) and m.scaled]
        bar = self._color_bar_width(scaled[-1][1]) if scaled else 0.0
        ceiling = top
        for index, (plot, foot) in enumerate(zip(plots, feet, strict=True)):
            start = left + (index % across) * (wide + gap)
            top = ceiling - (index // across) * (ceiling - bottom) / down
            count_y = int(np.clip(high / (1.6 * em), 2, 8))
            margin = 0.0 if plot.pictures else self._tick_width(frames(plot, count_y=count_y).y)
            inset = margin + 0.5 * em if margin else 0.0
            room = _Room(plot, frames(plot), column=(start, start + wide))
            room.left = start + inset
            taken = inset + (bar if any(index == number for number, _mark in scaled) else 0.0)
            room.width, room.height = self._picture_size(plot, wide - taken, high)
            room.bottom = top - over - room.height
            # Never more numbers than the margin was measured for, and no more than there is room for.
            counts = np.clip([room.width / (4.6 * em), room.height / (1.6 * em)], 2, [8, count_y])
            room.frames = frames(plot, *map(int, counts))
            self._plot(room)
            if scaled and index == scaled[-1][0]:
                self._color_bar(scaled[-1][1], room.left + room.width + em, room.bottom, room.height)
            for number, line in enumerate(foot, 1):
                y = room.bottom - ticked[index] - 1.15 * em * number
                self.text(start, y + 0.25 * em, _fitting(line, self.preset.text * SMALL, wide), "muted", size=SMALL)
            if plot.before:
                middle = top - over - min(0.5 * high, 1.6 * em)
                self.text(start - gap / 2, middle, plot.before, size=1.5, weight="bold", across="center", up="center")

    def _picture_size(self, plot: Plot, wide: float, high: float) -> tuple[float, float]:
        """Width and height of axes in which cells are not larger than they need be, and those of an image square."""
        x, y = plot.x.limits, plot.y.limits
        if x is None or y is None:
            return wide, high
        if plot.square:
            cell = min(wide / (x[1] - x[0]), high / (y[1] - y[0]))
            return cell * (x[1] - x[0]), cell * (y[1] - y[0])
        cells = next((mark.values.shape for mark in plot.marks if isinstance(mark, Heatmap)), None)
        if cells is None:
            return wide, high
        return min(wide, LARGEST_CELL * self.em * cells[1]), min(high, LARGEST_CELL * self.em * cells[0])

    # --- arrangement of the plots

    def _arrange(self, figure: Figure, left: float, right: float, bottom: float, top: float) -> list[_Room]:
        """Room for every plot, with the left edges of all axes in one line."""
        em = self.em
        share = figure.heights or (1.0,) * len(figure.plots)
        rooms: list[_Room] = []
        rough = (top - bottom) / len(figure.plots) - 4.0 * em
        for index, plot in enumerate(figure.plots):
            height = max(rough, em)
            count_y = int(np.clip(height / (1.9 * em), 2, 7))
            found = frames(plot, int(np.clip((right - left) / (5.0 * em), 2, 8)), count_y)
            same_below = index + 1 < len(figure.plots) and figure.plots[index + 1].x == plot.x
            rooms.append(_Room(plot, found, names_x=not same_below))
        # The room decides how many numbers there are, and the widest number how much room: twice is enough.
        for _again in range(2):
            self._lay_out(rooms, share, left, right, bottom, top)
        return rooms

    def _lay_out(
        self, rooms: list[_Room], share: Sequence[float], left: float, right: float, bottom: float, top: float
    ) -> None:
        em = self.em
        margin = max(self._tick_width(room.frames.y) for room in rooms)
        margin_right = max((self._tick_width(r.frames.right) if r.frames.right else 0.0) for r in rooms)
        overhang = max(self._overhang(room) for room in rooms)
        x0, x1 = left + margin + 0.5 * em, right - max(margin_right + (0.5 * em if margin_right else 0.0), overhang)
        used = []
        for room in rooms:
            room.left, room.width = x0, x1 - x0
            room.above = self._above(room)
            over = 1.9 * em + (1.15 * em if room.above else 0.0)
            under = 2.9 * em if room.names_x and not room.plot.pictures else 0.7 * em
            used.append((over, under))
        free = max(top - bottom - sum(a + b for a, b in used), len(rooms) * 1.5 * em)
        y = top
        for room, (over, under), part in zip(rooms, used, share, strict=True):
            room.height = free * part / sum(share)
            y -= over + room.height
            room.bottom = y
            y -= under
            # Now that the size is known: as many numbers as there is room for.
            counts = room.width / (4.6 * em), room.height / (1.6 * em)
            room.frames = frames(room.plot, *(int(np.clip(count, 2, 8)) for count in counts))

    def _tick_width(self, frame: Frame) -> float:
        return max((_measured(_drawable(t.text), self.preset.text) for t in frame.ticks), default=0.0)

    def _overhang(self, room: _Room) -> float:
        """How far half of the last number below the axis reaches beyond it."""
        frame = room.frames.x
        if not frame.ticks:
            return 0.0
        low, high = frame.range
        last = frame.ticks[-1]
        near = (last.place - low) / (high - low) > 0.93
        return _measured(_drawable(last.text), self.preset.text) / 2 if near else 0.0

    def _above(self, room: _Room) -> list[tuple[float, str]]:
        """Names of upright rules that fit side by side over the axes; where there is room for one, the first has it."""
        found: list[tuple[float, str]] = []
        taken: list[tuple[float, float]] = []
        gap = self.em / room.width
        for mark in room.plot.marks:
            if isinstance(mark, Rule) and mark.across == "x" and mark.label:
                share = float(shares(np.array(mark.at), room.frames.x))
                text = _drawable(mark.label)
                half = _measured(text, self.preset.text * 0.85) / 2 / room.width
                start, stop = share - half, share + half
                free = all(start > end + gap or stop < begin - gap for begin, end in taken)
                if 0.0 <= share <= 1.0 and free and start >= -0.02 and stop <= 1.02:
                    found.append((share, text))
                    taken.append((start, stop))
        return found

    # --- one plot

    def _plot(self, room: _Room) -> None:
        plot, found, theme = room.plot, room.frames, self.theme
        if plot.pictures is not None:
            self._pictures(plot.pictures, room)
            self._names(room)
            return
        axes = self.axes(room.left, room.bottom, room.width, room.height)
        axes.set_xlim(*found.x.range)
        axes.set_ylim(*found.y.range)
        axes.xaxis.set_visible(False)
        axes.yaxis.set_visible(False)
        heat = any(isinstance(mark, Heatmap) for mark in plot.marks)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color(theme.color("axis"))
            axes.spines[side].set_linewidth(0.8 * self.preset.line)
            axes.spines[side].set_visible(not heat)
        right_axes = None
        if found.right is not None:
            right_axes = self.axes(room.left, room.bottom, room.width, room.height)
            right_axes.set_xlim(*found.x.range)
            right_axes.set_ylim(*found.right.range)
            right_axes.set_axis_off()
        self._ticks(room, heat)
        notes = []
        for mark in plot.marks:
            if isinstance(mark, Note):
                notes.append(mark)
            elif isinstance(mark, Line):
                on_right = mark.axis == "right" and right_axes is not None and found.right is not None
                target, frame = (right_axes, found.right) if on_right else (axes, found.y)
                assert target is not None
                assert frame is not None
                self._line(target, mark, found.x, frame)
            elif isinstance(mark, Band):
                self._band(axes, mark, found)
            elif isinstance(mark, Boxes):
                self._boxes(axes, mark, found, room)
            elif isinstance(mark, Span):
                self._span(axes, mark, found)
            elif isinstance(mark, Rule):
                self._rule(axes, mark, found, room)
            elif isinstance(mark, Outline):
                self._outline(axes, mark, found, room)
            elif isinstance(mark, Points):
                self._points(axes, mark, found)
            elif isinstance(mark, Heatmap):
                self._heatmap(axes, mark, found)
                self._cell_texts(mark, room)
        self._notes(axes, notes, room)
        self._names(room)

    def _names(self, room: _Room) -> None:
        """Over the axes the title and what is measured upward, below them what is measured across."""
        plot, em = room.plot, self.em
        y = room.bottom + room.height + (0.45 if room.above else 0.8) * em
        for share, text in room.above:
            self.text(room.left + share * room.width, y, text, "muted", size=0.85, across="center")
        if room.above:
            y += 1.15 * em
        label_left = self.left + (0.9 * em if self.preset.width > 5 else 0.5 * em)
        right = room.left + room.width
        if room.column is not None:
            label_left, right = room.column
        if plot.right is not None:
            self.text(right, y, _drawable(plot.right.label), "muted", across="right")
            right -= _measured(_drawable(plot.right.label), self.preset.text) + em
        if plot.title:
            title = (_wrapped(plot.title, self.preset.text, right - label_left, 1, "bold") or [""])[0]
            self.text(label_left, y, title, weight="bold")
            label_left += _measured(title, self.preset.text, "bold") + 0.8 * em
        label = _fitting(plot.y.label, self.preset.text, right - label_left)
        if label == _drawable(plot.y.label) or not plot.title:
            self.text(label_left, y, label, "muted")
        if room.names_x and room.column is None and not plot.pictures:
            label = _fitting(plot.x.label, self.preset.text, room.width)
            self.text(room.left + room.width / 2, room.bottom - 2.5 * em, label, "muted", across="center")

    def _ticks(self, room: _Room, heat: bool) -> None:
        found, em = room.frames, self.em
        low, high = found.y.range
        grid = []
        for tick in thinned(found.y.ticks, max(2, int(room.height / (1.15 * em)))):
            share = (tick.place - low) / (high - low)
            y = room.bottom + share * room.height
            grid.append(y)
            self.text(room.left - 0.45 * em, y - 0.36 * em, _drawable(tick.text), "muted", across="right")
        if not heat:
            self._grid(room, grid)
        if found.right is not None:
            low, high = found.right.range
            for tick in thinned(found.right.ticks, max(2, int(room.height / (1.15 * em)))):
                y = room.bottom + (tick.place - low) / (high - low) * room.height
                self.text(room.left + room.width + 0.45 * em, y - 0.36 * em, _drawable(tick.text), "muted")
        if not room.names_x:
            return
        low, high = found.x.range
        widest = max((_measured(_drawable(t.text), self.preset.text) for t in found.x.ticks), default=em)
        for tick in thinned(found.x.ticks, max(2, int(room.width / (widest + 0.6 * em)))):
            x = room.left + (tick.place - low) / (high - low) * room.width
            self.text(x, room.bottom - 1.15 * em, _drawable(tick.text), "muted", across="center")

    def _grid(self, room: _Room, heights: Sequence[float]) -> None:
        for y in heights:
            if room.bottom + 0.02 * room.height < y:
                self.canvas.add_artist(
                    Line2D(
                        [room.left / self.page[0], (room.left + room.width) / self.page[0]],
                        [y / self.page[1]] * 2,
                        color=self.theme.color("grid"),
                        linewidth=0.7 * self.preset.line,
                        zorder=-5,
                    )
                )

    # --- marks

    def _line(self, axes: Axes, mark: Line, frame_x: Frame, frame: Frame) -> None:
        look = self._line_look(mark.color, mark.dash, mark.marker, mark.width, mark.faint)
        if mark.rim:
            look |= {"markeredgecolor": self.theme.color(mark.rim), "markeredgewidth": 1.3 * self.preset.line}
            look["markersize"] *= 1.3
        if len(mark.x) > MOST_MARKERS:
            look["markevery"] = -(-len(mark.x) // MOST_MARKERS)
        x, y = frame_x.places(mark.x), _within(frame.places(mark.y), frame)
        if _lonely(y) and not look["marker"]:
            # Numbers with gaps on both sides have no line that would show them.
            alone = _alone(y)
            axes.plot(
                x[alone],
                y[alone],
                **{**look, "linestyle": "", "marker": "o", "markersize": 3.0 * self.preset.line},
            )
        axes.plot(x, y, **look, zorder=2.0 if mark.faint or mark.width < 1.5 else 3.0)
        self._clip_arrows(axes, mark.x, mark.y, mark.color, frame_x, frame)

    def _clip_arrows(self, axes: Axes, x: Array, y: Array, color: str, frame_x: Frame, frame: Frame) -> None:
        low, high = frame.range
        for side, marker, at in ((1, "^", high), (-1, "v", low)):
            beyond = frame_x.places(clip_marks(x, y, frame, side))  # type: ignore[arg-type]
            beyond = beyond[np.isfinite(beyond)]
            if beyond.size == 0:
                continue
            spread = frame_x.range[1] - frame_x.range[0]
            beyond = _apart(beyond, 0.015 * spread)
            size = 0.8 * self.preset.marker
            inset = (size / 2 / 72.0) / (axes.get_position().height * self.page[1]) * (high - low)
            axes.plot(
                beyond,
                np.full(len(beyond), at - side * inset),
                linestyle="",
                marker=marker,
                markersize=size,
                markeredgewidth=0.0,
                color=self.theme.color(color),
                zorder=5,
            )

    def _band(self, axes: Axes, mark: Band, found: Frames) -> None:
        x = found.x.places(mark.x)
        low, high = _within(found.y.places(mark.low), found.y), _within(found.y.places(mark.high), found.y)
        if len(x):
            axes.fill_between(x, low, high, color=self.theme.tint(mark.color, BAND), linewidth=0.0, zorder=1.5)
        self._clip_arrows(axes, mark.x, mark.high, mark.color, found.x, found.y)

    def _boxes(self, axes: Axes, mark: Boxes, found: Frames, room: _Room) -> None:
        theme, width = self.theme, mark.width
        x = mark.x + mark.shift
        least, most = _within(found.y.places(mark.least), found.y), _within(found.y.places(mark.most), found.y)
        drawn = np.isfinite(least) & np.isfinite(most) & np.isfinite(x)
        axes.add_collection(
            LineCollection(
                [((a, b), (a, c)) for a, b, c in zip(x[drawn], least[drawn], most[drawn], strict=True)],
                colors=theme.color(mark.color),
                linewidths=1.1 * self.preset.line,
                zorder=2.0,
            ),
            autolim=False,
        )
        for pair, share, part in ((mark.outer, OUTER_BOX, 1.0), (mark.inner, INNER_BOX, 1.0)):
            if pair is None:
                continue
            low, high = (_within(found.y.places(p), found.y) for p in pair)
            drawn = np.isfinite(low) & np.isfinite(high) & np.isfinite(x)
            half = 0.5 * width * part
            corners = [
                ((a - half, b), (a + half, b), (a + half, c), (a - half, c))
                for a, b, c in zip(x[drawn], low[drawn], high[drawn], strict=True)
            ]
            axes.add_collection(
                PolyCollection(corners, facecolors=theme.tint(mark.color, share), edgecolors="none", zorder=2.2),
                autolim=False,
            )
        self._middle(axes, x, _within(found.y.places(mark.middle), found.y), width, mark.marker, mark.color)
        self._clip_arrows(axes, x, mark.most, mark.color, found.x, found.y)
        self._clip_arrows(axes, x, mark.least, mark.color, found.x, found.y)

    def _middle(
        self, axes: Axes, x: Array, y: Array, width: float, marker: str, color: str, upright: bool = False
    ) -> None:
        """The middle of boxes, in the color of the paper; a marker with a rim, because it may stand on a box's edge."""
        paper = self.theme.color("panel")
        if marker:
            axes.plot(
                x,
                y,
                linestyle="",
                marker=MARKERS[marker],
                markersize=0.55 * self.preset.marker,
                color=paper,
                markeredgewidth=0.5 * self.preset.line,
                markeredgecolor=self.theme.color(color),
                zorder=4,
            )
            return
        drawn = np.isfinite(y)
        half = 0.5 * width
        if upright:
            part = 0.35 * self.em
            segments = [((a, b - part), (a, b + part)) for a, b in zip(x[drawn], y[drawn], strict=True)]
        else:
            segments = [((a - half, b), (a + half, b)) for a, b in zip(x[drawn], y[drawn], strict=True)]
        axes.add_collection(
            LineCollection(segments, colors=paper, linewidths=1.3 * self.preset.line, zorder=4), autolim=False
        )

    def _span(self, axes: Axes, mark: Span, found: Frames) -> None:
        frame = found.y if mark.across == "y" else found.x
        low, high = (float(v) for v in np.clip([mark.low, mark.high], *frame.limits))
        low, high = frame.place(low), frame.place(high)
        if not low < high:
            return
        draw = axes.axhspan if mark.across == "y" else axes.axvspan
        draw(low, high, facecolor=self.theme.color(mark.color), edgecolor="none", zorder=0.5)

    def _rule(self, axes: Axes, mark: Rule, found: Frames, room: _Room) -> None:
        frame = found.y if mark.across == "y" else found.x
        at = frame.place(mark.at)
        low, high = frame.range
        if not low <= at <= high:
            return
        strong = mark.color == "accent"
        look: dict[str, Any] = {
            "color": self.theme.color(mark.color),
            "linewidth": (1.4 if strong else 0.8) * self.preset.line,
            "linestyle": (0, DASHES[mark.dash]) if DASHES[mark.dash] else "-",
            "zorder": 4.5 if strong else 1.2,
        }
        if mark.across == "x":
            axes.axvline(at, **look)
            return
        axes.axhline(at, **look)

    def _heatmap(self, axes: Axes, mark: Heatmap, found: Frames) -> None:
        low, high = color_limits(mark)
        places = transform(mark.values, mark.scale)
        x, y = found.x.places(mark.x_edges), found.y.places(mark.y_edges)
        look: dict[str, Any] = {
            "cmap": self._colors(mark.colormap),
            "norm": Normalize(float(transform(low, mark.scale)), float(transform(high, mark.scale))),
            "zorder": 1,
        }
        if mark.values.size > MOST_CELLS:
            # An image: thousands of vector cells are slow to show, and viewers draw seams between them.
            axes.pcolorfast(x, y, np.ma.masked_invalid(places), **look)
            axes.set_xlim(*found.x.range)
            axes.set_ylim(*found.y.range)
        else:
            axes.pcolormesh(x, y, np.ma.masked_invalid(places), shading="flat", snap=True, **look)

    def _colors(self, name: str) -> str | Colormap:
        """A color map by name; cells without a number show the grid's color in the one that belongs to the theme."""
        colors = color_map(name, self.theme.name)
        if colors is None:
            return name
        made = ListedColormap(np.array(colors) / 255.0)
        return made.with_extremes(bad=self.theme.color("grid"))

    def _cell_texts(self, mark: Heatmap, room: _Room) -> None:
        """What is written into the cells of a heatmap, where there is room for all of it."""
        colors = color_map(mark.colormap, self.theme.name)
        if not mark.texts or colors is None:
            return
        rows, columns = mark.values.shape
        size = SMALL * self.preset.text
        widest = max(_measured(_drawable(text), size) for row in mark.texts for text in row)
        wide, high = room.width / columns, room.height / rows
        if widest > 0.92 * wide or SMALL * self.em > 0.95 * high:
            return
        low, top = color_limits(mark)
        x = room.left + shares(0.5 * (mark.x_edges[1:] + mark.x_edges[:-1]), room.frames.x) * room.width
        y = room.bottom + shares(0.5 * (mark.y_edges[1:] + mark.y_edges[:-1]), room.frames.y) * room.height
        for row, texts in enumerate(mark.texts):
            for column, text in enumerate(texts):
                value = (mark.values[row, column] - low) / (top - low)
                at = int(np.clip(np.nan_to_num(value), 0.0, 1.0) * (len(colors) - 1))
                base = float(y[row]) - 0.36 * SMALL * self.em
                ink = ink_on(colors[at]) if np.isfinite(value) else "muted"
                self.text(float(x[column]), base, _drawable(text), ink, size=SMALL, across="center")

    def _points(self, axes: Axes, mark: Points, found: Frames) -> None:
        look = self._point_look(mark.color, mark.marker, mark.fill, mark.size)
        x, y = _within(found.x.places(mark.x), found.x), _within(found.y.places(mark.y), found.y)
        axes.plot(x, y, **look, zorder=3.6 if mark.fill == "none" else 3.2)
        self._clip_arrows(axes, mark.x, mark.y, mark.color, found.x, found.y)

    def _pictures(self, mark: Pictures, room: _Room) -> None:
        """Small pictures with their captions, in one pair of axes whose unit is the inch."""
        em = self.em
        size, line = self.preset.text * SMALL, 1.15 * em * SMALL
        texts = [_drawable(text) for caption in mark.captions for text in caption]
        widest = max((_measured(text, size) for text in texts), default=0.0)
        found = arranged(mark, room.width, room.height, em, line, widest)
        axes = self.axes(room.left, room.bottom, room.width, room.height)
        axes.set_axis_off()
        axes.set_xlim(0.0, room.width)
        axes.set_ylim(room.height, 0.0)
        wide, high = found.size
        low, top = mark.limits
        for values, caption, (left, above) in zip(mark.values, mark.captions, found.places, strict=False):
            look: dict[str, Any] = {"cmap": self._colors(mark.colormap), "norm": Normalize(low, top)}
            if values.ndim == 2:
                values = np.ma.masked_invalid(values)
            else:
                values, look = np.nan_to_num(np.clip(values, 0.0, 1.0)), {}
            axes.imshow(
                values,
                extent=(left, left + wide, above + high, above),
                interpolation="nearest",
                aspect="auto",
                origin="upper",
                **look,
            )
            axes.add_patch(
                Rectangle(
                    (left, above),
                    wide,
                    high,
                    fill=False,
                    edgecolor=self.theme.color("axis"),
                    linewidth=0.5 * self.preset.line,
                    clip_on=False,
                )
            )
            for number, text in enumerate(caption[: found.captions]):
                base = room.bottom + room.height - above - high - (number + 0.9) * line - 0.1 * em
                text = _fitting(text, size, found.room + 0.3 * em)
                self.text(room.left + left, base, text, "muted" if number else "text", size=SMALL)
        axes.set_xlim(0.0, room.width)
        axes.set_ylim(room.height, 0.0)

    def _outline(self, axes: Axes, mark: Outline, found: Frames, room: _Room) -> None:
        """Rectangles that stand out from whatever is below them."""
        width = 1.2 * self.preset.line
        halo = withStroke(linewidth=2.6 * width, foreground=self.theme.color("panel"))
        for left, bottom, right, top in mark.corners:
            x, y = found.x.places([left, right]), found.y.places([bottom, top])
            x, y = _grown(x, found.x, 0.45 * self.em / room.width), _grown(y, found.y, 0.45 * self.em / room.height)
            axes.add_patch(
                Rectangle(
                    (x[0], y[0]),
                    x[1] - x[0],
                    y[1] - y[0],
                    fill=False,
                    edgecolor=self.theme.color(mark.color),
                    linewidth=width,
                    path_effects=[halo],
                    clip_on=False,
                    zorder=6,
                )
            )

    def _notes(self, axes: Axes, notes: Sequence[Note], room: _Room) -> None:
        def size(text: str) -> tuple[float, float]:
            width = _measured(_fitting(text, self.preset.text, room.width), self.preset.text)
            return width / room.width, 1.1 * self.em / room.height

        for placed in place_texts(room.plot, room.frames, size):
            text = _fitting(placed.text, self.preset.text, room.width)
            self._note(room, placed.x, placed.y, text, placed.color, "center")
        for note in notes:
            if not note.free:
                x = float(shares(np.array(note.x), room.frames.x))
                y = float(shares(np.array(note.y), room.frames.y))
                if 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0:
                    # What does not fit between its point and the end of the plot is cut off.
                    free = {"left": 1.0 - x, "center": 1.0, "right": x}[note.anchor]
                    text = _fitting(note.text, self.preset.text, free * room.width)
                    self._note(room, x, y, text, note.color, note.anchor)

    def _note(self, room: _Room, x: float, y: float, text: str, color: str, anchor: str) -> None:
        self.text(
            room.left + x * room.width,
            room.bottom + y * room.height - 0.36 * self.em,
            text,
            color,
            across=anchor,
            backed=True,
        )

    # --- color scale

    def _color_bar_ticks(self, mark: Heatmap, height: float) -> tuple[Any, ...]:
        low, high = color_limits(mark)
        return ticks(low, high, mark.scale, count=int(np.clip(height / (2.2 * self.em), 2, 6)))

    def _color_bar_width(self, mark: Heatmap) -> float:
        texts = [t.text for t in self._color_bar_ticks(mark, self.height)]
        return 2.6 * self.em + max((_measured(_drawable(t), self.preset.text) for t in texts), default=0.0)

    def _color_bar(self, mark: Heatmap, left: float, bottom: float, height: float) -> None:
        """The color scale beside all heatmaps of the figure, which share it."""
        em = self.em
        low, high = (float(transform(v, mark.scale)) for v in color_limits(mark))
        axes = self.axes(left, bottom, 0.9 * em, height)
        axes.set_axis_off()
        axes.imshow(
            np.linspace(0.0, 1.0, 256)[:, None],
            aspect="auto",
            origin="lower",
            cmap=self._colors(mark.colormap),
            extent=(0.0, 1.0, 0.0, 1.0),
            interpolation="nearest",
        )
        for tick in self._color_bar_ticks(mark, height):
            share = (tick.place - low) / (high - low)
            if 0.0 <= share <= 1.0:
                y = bottom + np.clip(share * height, 0.36 * em, height - 0.36 * em)
                self.text(left + 1.3 * em, y - 0.36 * em, _drawable(tick.text), "muted")


def _is_ticked(plot: Plot) -> bool:
    """Whether numbers or names stand at the horizontal axis."""
    return not plot.pictures and (plot.x.ticks is None or len(plot.x.ticks) > 0)


# --- small geometry


def _grown(ends: Array, frame: Frame, least: float) -> Array:
    """Both ends of a rectangle, at least so far apart that it can be seen; `least` is a share of the axis."""
    low, high = frame.range
    half = max(0.5 * (ends[1] - ends[0]), 0.5 * least * (high - low))
    middle = 0.5 * (ends[0] + ends[1])
    return np.array([middle - half, middle + half])


def _within(places: Array, frame: Frame) -> Array:
    """Places not farther outside than a few times the shown range: renderers count in 32 bits."""
    low, high = frame.range
    span = high - low
    return np.clip(places, low - 8.0 * span, high + 8.0 * span)


def _alone(y: Array) -> NDArray[np.bool_]:
    """Points without a neighbor to be joined with."""
    finite = np.isfinite(y)
    before = np.concatenate([[False], finite[:-1]]) if len(y) else finite
    after = np.concatenate([finite[1:], [False]]) if len(y) else finite
    return np.asarray(finite & ~before & ~after)


def _lonely(y: Array) -> bool:
    return bool(_alone(y).any())


def _apart(sorted_places: Array, least: float) -> Array:
    """Places with some left out, so that neighbors are at least so far apart."""
    kept: list[float] = []
    for place in np.sort(sorted_places):
        if not kept or place - kept[-1] >= least:
            kept.append(float(place))
    return np.array(kept)
