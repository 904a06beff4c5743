"""Figures as files for slides, papers and posters: sizes, formats, and what is stamped into every file.

The same figure, preset and theme give the same bytes again. Drawing happens in `matplotlib_painter.py`, which is
imported only when something is exported.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, nearest
from ..files import folder_for, write_whole
from ..text import N_, _
from .figure import Figure
from .palette import THEMES as THEMES
from .palette import Theme

FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class Preset:
    """Size and weight of an exported figure.

    width, height  inches; with several plots below one another, `more` inches are added for each after the first
    text           points: axes, legend, notes; titles are larger
    line           points for a line of width 1
    marker         points across
    dpi            of PNG files
    """

    name: str
    label: str
    width: float
    height: float
    text: float
    line: float
    marker: float
    dpi: int
    more: float = 0.0


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("slide", N_("slide 16:9"), 40 / 3, 7.5, 20.0, 1.7, 11.0, 144),
        Preset("slide-4x3", N_("slide 4:3"), 10.0, 7.5, 20.0, 1.7, 11.0, 160),
        Preset("paper", N_("paper, one column"), 3.4, 2.5, 8.0, 0.6, 3.8, 400, more=1.2),
        Preset("poster", N_("poster"), 24.0, 15.0, 40.0, 3.4, 21.0, 150),
    )
}


def preset_named(name: str | Preset) -> Preset:
    """A preset by name; an InputError that lists the known ones when there is none."""
    return name if isinstance(name, Preset) else _named(name, PRESETS, _("preset"))


def theme_named(name: str | Theme) -> Theme:
    """A theme by name; an InputError that lists the known ones when there is none."""
    return name if isinstance(name, Theme) else _named(name, THEMES, _("theme"))


def _named(name: str, known: dict[str, Any], what: str) -> Any:
    if name in known:
        return known[name]
    meant = nearest(name, list(known))
    hint = _(' (did you mean "{meant}"?)').format(meant=meant) if meant else ""
    raise InputError(
        _('"{name}" is not a known {what}{hint}; known: {known}').format(
            name=name, what=what, hint=hint, known=", ".join(known)
        )
    )


def render(
    figures: Figure | Sequence[Figure],
    form: str = "png",
    preset: str | Preset = "slide",
    theme: str | Theme = "light",
    dpi: int | None = None,
) -> bytes:
    """The bytes of a file with one figure, or with several side by side on one page.

    dpi   of a PNG; the preset's when None
    """
    if form not in FORMATS:
        _named(form, dict.fromkeys(FORMATS), _("format"))
    from .matplotlib_painter import paint

    shown = (figures,) if isinstance(figures, Figure) else tuple(figures)
    chosen = preset_named(preset)
    if dpi is not None:
        chosen = replace(chosen, dpi=dpi)
    return paint(shown, form, chosen, theme_named(theme))


def render_png(
    figure: Figure, preset: str | Preset = "slide", theme: str | Theme = "light", dpi: int | None = None
) -> bytes:
    """A PNG, for the clipboard."""
    return render(figure, "png", preset, theme, dpi)


def save(
    figure: Figure,
    path: str | Path,
    form: str = "",
    preset: str | Preset = "slide",
    theme: str | Theme = "light",
) -> Path:
    """Write a figure; the path written.

    path   a file, or an existing folder: the file in it is named after the figure
    form   "png", "svg", "pdf" or "csv" (the numbers); what the file's name ends with, or "png", when left out
    """
    path = Path(path)
    form = form or path.suffix.removeprefix(".").lower() or "png"
    if path.is_dir():
        path = path / f"{figure.name}.{form}"
    write_whole(path, table_csv(figure) if form == "csv" else render(figure, form, preset, theme))
    return path


def save_all(
    figures: Sequence[Figure],
    folder: str | Path,
    forms: Sequence[str] = ("pdf",),
    preset: str | Preset = "slide",
    theme: str | Theme = "light",
) -> list[Path]:
    """Write every figure into a file of its own, and one page "all" with all of them; the paths written."""
    folder = folder_for(folder)
    written = [
        save(figure, folder / f"{figure.name}.{form}", form, preset, theme) for figure in figures for form in forms
    ]
    if len(figures) > 1:
        for form in forms:
            write_whole(folder / f"all.{form}", render(figures, form, preset, theme))
            written.append(folder / f"all.{form}")
    return written


# --- numbers


def table_csv(figure: Figure) -> bytes:
    """The numbers behind a figure as CSV (UTF-8): a header with the quantities' names, one row a point.

    Numbers are written with as many digits as give them back exactly; missing ones are empty, infinite ones "inf".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(figure.table)
    writer.writerows(zip(*(map(_cell, column.tolist()) for column in figure.table.values()), strict=True))
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else repr(value)
    return value


# --- what is stamped into a file


def metadata(figures: Sequence[Figure], form: str) -> dict[str, Any]:
    """Title, and how to make the figure again, in the words of each format. No date: the same figure, the same file."""
    title = " · ".join(dict.fromkeys(figure.title for figure in figures))
    stamps: dict[str, list[str]] = {}
    for figure in figures:
        for name, value in figure.stamp.items():
            if value and value not in stamps.setdefault(name, []):
                stamps[name].append(value)
    pairs = {name: clean(", ".join(values)) for name, values in stamps.items() if values}
    said = "; ".join(f"{name}={value}" for name, value in pairs.items())
    title = clean(title)
    if form == "png":
        return {"Title": title, "Software": "Layerscope", "Description": said} | {
            f"layerscope:{name}": value for name, value in pairs.items()
        }
    if form == "pdf":
        return {"Title": title, "Subject": title, "Keywords": said, "Creator": "Layerscope", "CreationDate": None}
    return {
        "Title": title,
        "Description": said,
        "Keywords": list(pairs.values()),
        "Creator": "Layerscope",
        "Date": None,
    }


def clean(text: str) -> str:
    """A text in one line without control characters, which XML and fonts do not have."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def columns_of(count: int) -> int:
    """Figures side by side on a page with `count` of them."""
    return 1 if count <= 1 else 2 if count <= 4 else int(np.ceil(np.sqrt(count)))
