"""Landscape: the real loss on a plane through the present weights, as a map with contour lines and the path on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..fields import Described
from ..loss_surface import SamplesOption
from ..studies.base import Study
from ..studies.landscape import (
    DirectionsOption,
    DrawOption,
    Landscape,
    LandscapeStudy,
    ReachOption,
    ResolutionOption,
)
from ..text import N_, _, ngettext
from .figure import (
    FIGURES,
    Axis,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Line,
    Mark,
    Note,
    Plot,
    Scene,
    Table,
)
from .reading import columns, cue_of, is_present, lane_title, nothing, per_lane, percent_text, remark, stamp
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "landscape", N_("Landscape")
LEVELS = 10  # contour lines
DECADES = 5.0  # of the color scale at the most: what is below the best loss by more is hidden
LIGHT = "#ffffff"  # on a map whose shades are the same in all themes
MOST_MARKERS = 24


class LandscapeOptions(Described, frozen=True, kw_only=True):
    """Which part of the landscape is drawn."""

    directions: DirectionsOption = "random"
    reach: ReachOption = 1.0
    resolution: ResolutionOption = 25
    samples: SamplesOption = 256
    draw: DrawOption = 0


def study_of(options: LandscapeOptions) -> LandscapeStudy:
    """The question whose answer is drawn."""
    return LandscapeStudy(**msgspec.structs.asdict(options))


def needs(options: LandscapeOptions) -> tuple[Study, ...]:
    return (study_of(options),)


def landscape_of(lane: Lane, options: LandscapeOptions) -> tuple[int, Landscape] | None:
    """(step, landscape) of a lane; None where none has been computed."""
    answer = lane.study(study_of(options))
    if answer is None or answer.value is None:
        return None
    return answer.step, answer.value


def build(scene: Scene, options: LandscapeOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [(lane, *known) for lane in scene.lanes if (known := landscape_of(lane, options)) is not None]
    if not found:
        why = _("The landscape takes a moment: it is computed when you ask for it.") if scene.lanes else ""
        return nothing(NAME, title, scene, why)
    limits = _color_limits([land for _lane, _step, land in found])
    if limits is None:
        return nothing(NAME, title, scene, _("No loss on this map is a finite number."))
    several = len(found) > 1
    return Figure(
        NAME,
        title,
        _subtitle(scene, found),
        tuple(_map(lane, scene, step, land, limits, several) for lane, step, land in found),
        table=Table(lambda: _table(found)),
        stamp={**stamp(NAME, scene), "directions": options.directions, "draw": str(options.draw)},
        beside=several,
    )


def _color_limits(lands: Sequence[Landscape]) -> tuple[float, float] | None:
    """Of the color scale, which all lanes share: from the least loss up, over `DECADES` at the most."""
    values = np.concatenate([land.loss.ravel() for land in lands])
    values = values[np.isfinite(values) & (values > 0.0)]
    if not values.size:
        return None
    high = float(values.max())
    low = max(float(values.min()), high * 10.0**-DECADES, 1e-300)
    return (low, high) if high > low * (1.0 + 1e-9) else (0.5 * low, 2.0 * low)


def _subtitle(scene: Scene, found: Sequence[tuple[Lane, int, Landscape]]) -> str:
    land = found[0][2]
    kinds = {
        "random": _("random directions"),
        "gradient": _("downhill and a random direction"),
        "path": _("directions of the path"),
    }
    samples = ngettext("loss of {count} training sample", "loss of {count} training samples", land.samples)
    said = [
        samples.format(count=land.samples),
        " / ".join(dict.fromkeys(kinds[one.directions] for _lane, _step, one in found)),
    ]
    steps = sorted({step for _lane, step, _land in found})
    said.append(_("step {step}").format(step=", ".join(number_text(step, 9) for step in steps)))
    if not all(is_present(step, scene) for step in steps):
        said[-1] += " " + _("(not the present one)")
    return " · ".join(said)


def _edges(places: Array) -> Array:
    half = 0.5 * (places[1] - places[0])
    return np.append(places - half, places[-1] + half)


def _map(lane: Lane, scene: Scene, step: int, land: Landscape, limits: tuple[float, float], several: bool) -> Plot:
    x, y = _edges(land.x), _edges(land.y)
    with np.errstate(invalid="ignore"):
        shades = np.where(np.isfinite(land.loss), np.clip(land.loss, *limits), np.nan)
    marks: list[Mark] = [
        Heatmap(shades, x, y, _("loss"), "log", limits, says=_says(land), scaled=not several),
        *(Line(line[0], line[1], LIGHT, width=1.0) for line in contours(land)),
    ]
    look = cue_of(lane)
    cell = float(max(land.x[1] - land.x[0], land.y[1] - land.y[0]))
    notes: list[Mark] = []
    if len(land.path) > 1 and np.isfinite(land.path).all() and float(np.ptp(land.path, axis=0).max()) > 2.0 * cell:
        across, up = land.path[:, 0], land.path[:, 1]
        dots = look.marker if len(across) <= MOST_MARKERS else ""
        marks.append(Line(across, up, LIGHT, width=5.0))
        name = lane_title(lane, scene) if several else _("path of the training")
        marks.append(Line(across, up, look.color, name, "solid", dots, 2.5, says=_says_of_path(land), rim=LIGHT))
        if x[0] <= across[0] <= x[-1] and y[0] <= up[0] <= y[-1]:
            first = _("step {step}").format(step=number_text(int(land.path_steps[0]), 9))
            notes.append(Note(float(across[0]) + 1.5 * cell, float(up[0]), first))
    zero = np.zeros(1)
    here = _("step {step}").format(step=number_text(step, 9))
    marks.append(Line(zero, zero, "#d55e00", here if not several else "", "solid", "diamond", 4.0, rim=LIGHT))
    strange = int(np.count_nonzero(~np.isfinite(land.loss)))
    if strange:
        text = ngettext("blank: {count} loss is not finite", "blank: {count} losses are not finite", strange).format(
            count=strange
        )
        notes.append(remark(float(land.x[0]), float(land.y[0]), text))
    one, other = _axis_labels(land)
    return Plot(
        x=Axis(one, limits=(float(x[0]), float(x[-1]))),
        y=Axis(other, limits=(float(y[0]), float(y[-1]))),
        marks=(*marks, *notes),
        title=lane_title(lane, scene) if several else "",
        foot=_foot(land, limits) if several else "",
        square=several,
    )


def _axis_labels(land: Landscape) -> tuple[str, str]:
    if land.directions == "gradient":
        return _("→ downhill (in ‖W‖)"), _("↑ random direction")
    if land.directions == "path":
        return (
            _("→ main direction, {share} of the path (in ‖W‖)").format(share=percent_text(land.shares[0])),
            _("↑ second, {share}").format(share=percent_text(land.shares[1])),
        )
    return _("→ random direction (in ‖W‖)"), _("↑ another random direction")


def _foot(land: Landscape, limits: tuple[float, float]) -> str:
    return _("loss {here} here, {least} to {most} on the map; colors from {low} to {high}").format(
        here=number_text(land.here, 3),
        least=number_text(_least(land), 3),
        most=number_text(_most(land), 3),
        low=number_text(limits[0], 2),
        high=number_text(limits[1], 2),
    )


def _least(land: Landscape) -> float:
    return float(np.nanmin(np.where(np.isfinite(land.loss), land.loss, np.nan))) if _some(land) else math.nan


def _most(land: Landscape) -> float:
    return float(np.nanmax(np.where(np.isfinite(land.loss), land.loss, np.nan))) if _some(land) else math.nan


def _some(land: Landscape) -> bool:
    return bool(np.isfinite(land.loss).any())


def _says(land: Landscape) -> Callable[[int, int], Sequence[str]]:
    def lines(row: int, column: int) -> Sequence[str]:
        return (
            _("loss {value}").format(value=number_text(float(land.loss[row, column]), 4)),
            f"→ {number_text(float(land.x[column]), 3)}, ↑ {number_text(float(land.y[row]), 3)}",
        )

    return lines


def _says_of_path(land: Landscape) -> Callable[[int], Sequence[str]]:
    def lines(index: int) -> Sequence[str]:
        return (
            _("step {step}").format(step=number_text(int(land.path_steps[index]), 9)),
            _("loss {value} (where it was, off this plane)").format(
                value=number_text(float(land.path_losses[index]), 4)
            ),
        )

    return lines


_drawn: WeakKeyDictionary[Landscape, tuple[tuple[Array, Array], ...]] = WeakKeyDictionary()


def contours(land: Landscape) -> tuple[tuple[Array, Array], ...]:
    """(x, y) of one line per level, its pieces with gaps between them; levels are evenly spaced in log(loss)."""
    known = _drawn.get(land)
    if known is not None:
        return known
    from contourpy import contour_generator

    found: list[tuple[Array, Array]] = []
    values = np.where(np.isfinite(land.loss) & (land.loss > 0.0), land.loss, np.nan)
    if np.isfinite(values).sum() > 3:
        heights = np.log(values)
        low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
        low = max(low, high - DECADES * math.log(10.0))
        if high - low > 1e-6:
            maker = contour_generator(land.x, land.y, np.ma.masked_invalid(heights), name="serial")
            for level in np.linspace(low, high, LEVELS + 2)[1:-1]:
                pieces = [np.asarray(piece, dtype=np.float64) for piece in maker.lines(float(level))]
                if pieces:
                    gap = np.full((1, 2), np.nan)
                    joined = np.concatenate([part for piece in pieces for part in (piece, gap)])[:-1]
                    found.append((joined[:, 0].copy(), joined[:, 1].copy()))
    _drawn[land] = tuple(found)
    return _drawn[land]


def _table(found: Sequence[tuple[Lane, int, Landscape]]) -> dict[str, NDArray[np.generic]]:
    parts: list[dict[str, Any]] = []
    for lane, step, land in found:
        across, up = np.meshgrid(land.x, land.y)
        grid: dict[str, Any] = {
            "what": "map",
            "step": step,
            "x": across.ravel(),
            "y": up.ravel(),
            "loss": land.loss.ravel(),
        }
        path: dict[str, Any] = {
            "what": "path",
            "step": land.path_steps,
            "x": land.path[:, 0],
            "y": land.path[:, 1],
            "loss": land.path_losses,
        }
        parts += [{"lane": lane.name, **grid}, {"lane": lane.name, **path}]
    return columns(parts)


def explain(scene: Scene, options: LandscapeOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    spans = {
        "random": _(
            "Both directions are random, every filter's part as long as the filter's weights, so that networks of "
            "different sizes compare; all lanes take the same draws."
        ),
        "gradient": _("To the right it goes straight downhill, upward in a random direction."),
        "path": _("The two directions are those in which the weights have moved most since the start."),
    }
    return Explanation(
        what=_(
            "The loss of the network if its weights were others: the present ones are the mark, every point of the map "
            "is computed with the real network. One unit is ‖W‖, the length of all weights. The scale of colors is "
            "logarithmic, and so are the lines of equal loss."
        )
        + " "
        + spans[options.directions],
        why=_(
            "Training walks downhill on this ground. Wide valleys forgive errors of the weights, narrow ones throw "
            "large steps out. But it is one plane of very many: steep walls and saddles beside it stay hidden, and "
            "dropout is off, and batch norm takes the statistics of these samples."
        ),
        good=_(
            "A mark in the middle of a wide, even valley. Skip connections and normalization make the map smooth; very "
            "deep networks without them have crags."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, options)),
    )


def _yours(lane: Lane, options: LandscapeOptions) -> str:
    known = landscape_of(lane, options)
    if known is None:
        return _("No landscape is computed yet: press “Compute now”.")
    step, land = known
    said = [
        _("At step {step} the loss is {here}; on this map it goes from {least} to {most}.").format(
            step=number_text(step, 9),
            here=number_text(land.here, 3),
            least=number_text(_least(land), 3),
            most=number_text(_most(land), 3),
        )
    ]
    if options.directions == "path" and land.directions != "path":
        said.append(_("There is no path yet, so the directions are random."))
    if options.directions == "gradient" and land.directions != "gradient":
        said.append(_("There is no slope here, so the directions are random."))
    if land.directions == "gradient":
        along = _(
            "Downhill the loss falls by {slope} per length of the weights at first, and is least at {best} of it."
        )
        middle = int(np.argmin(np.abs(land.y)))
        row = np.where(np.isfinite(land.loss[middle]), land.loss[middle], np.inf)
        said.append(
            along.format(slope=number_text(-land.slope, 3), best=number_text(float(land.x[int(np.argmin(row))]), 2))
        )
    elif math.isfinite(land.here) and land.here > 0.0 and _some(land):
        wide = float(np.mean(np.where(np.isfinite(land.loss), land.loss, np.inf) <= 2.0 * land.here))
        said.append(_("On {share} of it the loss is at most twice as large as here.").format(share=percent_text(wide)))
    if len(land.path) > 1 and math.isfinite(land.inside):
        said.append(
            _("Of the way from the start, {share} lies in this plane (of its squared length).").format(
                share=percent_text(land.inside)
            )
        )
    if land.together:
        said.append(
            _("Batch norm compares the samples, {count} at a time.").format(count=number_text(land.together, 9))
        )
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, LandscapeOptions, needs))
