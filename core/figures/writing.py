"""Writing is broken into lines that fit; the window and the exports break it in the same way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .figure import Plot, Words

CALM = 1.15  # by so much larger plots must become to stand in several rows
Measure = Callable[[str, bool], float]  # the width of a text, which may be bold


@dataclass(frozen=True)
class Row:
    """A line of writing; `indented` where it goes on with what began above."""

    text: str
    color: str
    bold: bool
    indented: bool


@dataclass(frozen=True)
class Page:
    """Writing: a heading above one or two columns.

    width   of a column
    """

    heading: tuple[Row, ...]
    columns: tuple[tuple[Row, ...], ...]
    width: float

    @property
    def lines(self) -> int:
        return len(self.heading) + max((len(column) for column in self.columns), default=0)


def laid_out(words: Sequence[Words], measure: Measure, width: float, indent: float, most: int, gap: float) -> Page:
    """The words in at most so many lines of this width.

    Where they have no room, remarks are left out, then two columns are tried, `gap` apart, then the end is cut off.
    """
    heading = tuple(rows_of([one for one in words if one.bold], measure, width, indent))
    text = [one for one in words if not one.bold]
    room = max(1, most - len(heading))
    whole = rows_of(text, measure, width, indent)
    if len(whole) <= room:
        return Page(heading, (tuple(whole),), width)
    text = [replace(one, remark="") for one in text]
    short = rows_of(text, measure, width, indent)
    if len(short) <= room:
        return Page(heading, (tuple(short),), width)
    half = 0.5 * (width - gap)
    blocks = [rows_of([one], measure, half, indent) for one in text]
    ends = [sum(len(block) for block in blocks[:stop]) for stop in range(len(blocks) + 1)]
    stop = min(range(len(blocks) + 1), key=lambda at: max(ends[at], ends[-1] - ends[at]))
    if max(ends[stop], ends[-1] - ends[stop]) <= room:
        parts = blocks[:stop], blocks[stop:]
        return Page(heading, tuple(tuple(row for block in part for row in block) for part in parts), half)
    return Page(heading, (tuple(cut(short, room)),), width)


def rows_of(words: Sequence[Words], measure: Measure, width: float, indent: float) -> list[Row]:
    """The words in lines of at most `width`. A piece that does not fit behind the one before begins a new line; one
    that is longer than a line is broken at its spaces.
    """
    found: list[Row] = []
    for one in words:
        if not one.pieces and not one.remark:
            continue
        lines = [""]

        def room(lines: list[str] = lines) -> float:
            return width - (indent if len(lines) > 1 else 0.0)

        for piece in (*one.pieces, one.remark) if one.remark else one.pieces:
            if lines[-1] and measure(f"{lines[-1]} {piece}", one.bold) > room():
                lines.append("")
            for part in [piece] if measure(piece, one.bold) <= room() else piece.split(" "):
                joined = f"{lines[-1]} {part}" if lines[-1] else part
                if lines[-1] and measure(joined, one.bold) > room():
                    lines.append(part)
                else:
                    lines[-1] = joined
        found += [Row(line, one.color, one.bold, number > 0) for number, line in enumerate(lines)]
    return found


def under(plot: Plot) -> str:
    """What is written below one of several plots side by side: its foot, and the label of its horizontal axis."""
    if plot.pictures is not None:
        return plot.foot
    label = plot.x.label.replace(" ", "\u00a0")
    return f"{plot.foot}, {label}" if label and plot.foot else label or plot.foot


def columns_beside(plots: Sequence[Plot], width: float, height: float, gap: float, around: float) -> int:
    """How many plots stand beside each other where they are to be as large as they can: all, or fewer in several rows.
    Those with signs between them stay in one row.

    around   height of what is written above and below each
    """
    count = len(plots)
    if any(plot.before for plot in plots):
        return count

    def side(columns: int) -> float:
        rows = -(-count // columns)
        return min((width - gap * (columns - 1)) / columns, height / rows - around)

    return max(range(count, 0, -1), key=lambda columns: side(columns) * (1.0 if columns < count else CALM))


def wrapped(text: str, measure: Measure, width: float, most: int) -> list[str]:
    """A text in at most so many lines."""
    rows = rows_of([Words(tuple(text.split(" ")))], measure, width, 0.0)
    return [row.text for row in cut(rows, most)]


def cut(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many lines; where some are left out, the last one says so."""
    if len(rows) <= most:
        return list(rows)
    kept = list(rows[: max(1, most)])
    last = kept[-1]
    kept[-1] = Row(f"{last.text} …", last.color, last.bold, last.indented)
    return kept
