"""The legend of a plot follows from its marks: one entry a label, so that figures never list their own legend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .figure import Band, Boxes, Dash, Line, Marker, Plot, Points, Span


@dataclass(frozen=True)
class Entry:
    """One label with what stands for it.

    color   a role; "muted" where marks of several colors share the label ("theory" of two lanes)
    shape   how it is drawn: a line with its marker, a small box plot, an area, a marker alone
    fill    of a marker alone, see `Points`
    """

    label: str
    color: str
    shape: Literal["line", "box", "area", "point"]
    dash: Dash = "solid"
    marker: Marker = ""
    width: float = 2.0
    faint: bool = False
    fill: Literal["color", "paper", "none"] = "color"


def legend(*plots: Plot) -> tuple[Entry, ...]:
    """Entries of some plots in the order of their marks, lanes first."""
    found: dict[str, Entry] = {}
    for mark in (mark for plot in plots for mark in plot.marks):
        if isinstance(mark, Line):
            entry = Entry(mark.label, mark.color, "line", mark.dash, mark.marker, mark.width, mark.faint)
        elif isinstance(mark, Boxes):
            # without an outer box and a middle it is a plain bar
            plain = mark.outer is None and not np.isfinite(mark.middle).any()
            entry = Entry(mark.label, mark.color, "area" if plain else "box", marker=mark.marker)
        elif isinstance(mark, Band):
            entry = Entry(mark.label, mark.color, "area", faint=True)
        elif isinstance(mark, Span):
            entry = Entry(mark.label, mark.color, "area")
        elif isinstance(mark, Points):
            entry = Entry(mark.label, mark.color, "point", marker=mark.marker, width=mark.size, fill=mark.fill)
        else:
            continue
        if not entry.label:
            continue
        before = found.get(entry.label)
        if before is None:
            found[entry.label] = entry
        elif before.color != entry.color:
            same_marker = before.marker == entry.marker
            found[entry.label] = Entry(
                before.label,
                "muted",
                before.shape,
                before.dash if before.dash == entry.dash else "solid",
                before.marker if same_marker else "circle" if before.marker else "",
                before.width,
                before.faint,
                before.fill,
            )
    return tuple(sorted(found.values(), key=_rank))


def is_lane(entry: Entry) -> bool:
    """Whether an entry stands for a lane itself."""
    return _rank(entry) == 0


def _rank(entry: Entry) -> int:
    """Lanes first, then what is drawn of all of them, areas last."""
    if (
        entry.color.startswith("lane-")
        and not entry.faint
        and entry.width >= 2.0
        and entry.shape not in ("area", "point")
    ):
        return 0
    return 1 if entry.shape != "area" else 2
