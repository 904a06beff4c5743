"""Histograms: how the numbers of every layer are spread, now and over time; dead and saturated layers show at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.histograms import BINS, ZERO, Histogram
from ..fields import Described, about
from ..layers.base import Layer
from ..record import Detail
from ..registry import Registry
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Band,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Line,
    Mark,
    Note,
    Plot,
    Rule,
    Scale,
    Scene,
    Table,
)
from .history import binned
from .reading import (
    LayersOption,
    Place,
    columns,
    cue_of,
    lane_prefix,
    lane_title,
    layer_name,
    layer_ticks,
    moment_at,
    nothing,
    per_lane,
    percent_text,
    places,
    ranges_text,
    remark,
    stamp,
    thresholds,
)
from .scales import inverse, number_text, round_step
from .spreads import Values, curves_of, on_grid, values_of

Array = NDArray[np.float64]
NAME, TITLE = "histograms", N_("Histograms")

MOST_RIDGES = 24  # of more layers or steps only some are shown
PEAK = 0.86  # of the distance between two ridges
THIN = 1.2  # of the outlines of a lane alone, which are filled: one pixel on a screen
FOOT = 0.44  # how far below its name a ridge stands, so that the name is at its middle
SICK_SATURATED, SICK_ZERO = 0.5, 0.9  # shares from which a layer counts as saturated or dead, where no rule says other
MOST_CURVE = 1000  # points of the shares over time


@dataclass(frozen=True)
class Choice:
    """One way to show something, with its name in the menu."""

    label: str


@dataclass(frozen=True)
class Counted:
    """What is counted.

    label   what it is, with its symbol; axis: what stands at the axis of its values
    """

    label: str
    axis: str


COUNTED: Registry[Counted] = Registry(N_("quantity"))
COUNTED.add("activation")(Counted(N_("activations a"), N_("activation a")))
COUNTED.add("gradient")(Counted(N_("gradients ∂L/∂a"), N_("gradient ∂L/∂a")))
COUNTED.add("weight")(Counted(N_("weights W"), N_("weight W")))

SHOWN: Registry[Choice] = Registry(N_("view"))
SHOWN.add("layers")(Choice(N_("all layers, now")))
SHOWN.add("layer")(Choice(N_("one layer, now")))
SHOWN.add("ridges")(Choice(N_("one layer, back in time")))
SHOWN.add("map")(Choice(N_("one layer, over time as a map")))

SCALES: Registry[Choice] = Registry(N_("axis"))
SCALES.add("auto")(Choice(N_("as suits the numbers")))
SCALES.add("linear")(Choice(N_("linear")))
SCALES.add("symlog")(Choice(N_("signed logarithmic")))


class HistogramsOptions(Described, frozen=True, kw_only=True):
    """What the figure of the histograms shows."""

    quantity: Annotated[str, about(N_("quantity"), N_("Which numbers are counted."), choices=COUNTED)] = "activation"
    show: Annotated[
        str, about(N_("view"), N_("All layers at this step, or one layer at this step or over time."), choices=SHOWN)
    ] = "layers"
    layer: Annotated[
        str,
        about(
            N_("layer"),
            N_(
                "Where one layer is shown: its number at the axis, out, or a path in a block such as 2.body.1; empty: "
                "the card that is chosen, else the first."
            ),
            shown_when=("show", ("layer", "ridges", "map")),
        ),
    ] = ""
    axis: Annotated[
        str,
        about(
            N_("axis of the values"),
            N_(
                "Signed logarithmic: powers of ten on both sides of zero, for layers that lie decades apart. As suits "
                "the numbers: that one for gradients, and where the widths of layers differ by more than 100."
            ),
            choices=SCALES,
        ),
    ] = "auto"
    counts: Annotated[
        Literal["linear", "log"], about(N_("counts"), N_("log: rare numbers are seen beside frequent ones."))
    ] = "linear"
    time: Annotated[
        Literal["linear", "log"],
        about(N_("time"), N_("log: the first steps get as much room as the last."), shown_when=("show", ("map",))),
    ] = "linear"
    layers: LayersOption = "main"
    output: Annotated[
        bool,
        about(
            N_("output layer"),
            N_("Show the activations of the output layer too: no function bounds them, so they may need a wider axis."),
            shown_when=("show", ("layers",)),
        ),
    ] = False


# --- what is shown


@dataclass(frozen=True)
class Ridge:
    """One histogram and where it stands.

    row      its position from below, 0, 1, ...
    step     at which it was counted
    name     what stands beside it
    layer    what the layer is, where that is known
    """

    lane: Lane
    place: Place
    row: int
    step: int
    name: str
    histogram: Histogram
    layer: Layer | None

    @property
    def saturates(self) -> bool:
        """Whether its numbers can be saturated."""
        return self.layer is not None and any(map(math.isfinite, self.layer.saturation()))

    @property
    def has_linear_part(self) -> bool:
        """Whether the layer's function has a middle that is nearly a straight line."""
        return self.layer is not None and math.isfinite(self.layer.linear_part()[0])


@dataclass(frozen=True)
class Seen:
    """What one lane shows: the histograms of a layer axis or of a time axis.

    step   at which the newest of them was counted
    """

    lane: Lane
    shown: tuple[Place, ...]
    step: int
    ridges: tuple[Ridge, ...]


def latest(lane: Lane, step: int) -> Detail | None:
    """The newest details with histograms that were measured at or before a step."""
    found = [d for d in lane.view.details if d.histograms and d.step <= step]
    return max(found, key=lambda d: d.step, default=None)


def _index(place: Place, quantity: str) -> int:
    """The layer whose numbers are meant, in the order of the record; -1 where it has no weights."""
    return place.weighted if quantity == "weight" else place.index


def place_of(lane: Lane, shown: tuple[Place, ...], name: str, path: str = "") -> Place:
    """The layer that is called by its number at the axis, "out" or a path within a block; without such a name the one
    at `path`, the card that is chosen; the first one where there is none of them.
    """
    if name == "out":
        return shown[-1]
    for position, place in enumerate(shown):
        if name in (place.text, str(position + 1)):
            return place
    path = name or path
    if path in lane.view.layers:
        index = lane.view.layers.index(path)
        for place in shown:
            if index == place.index or max(place.weighted, 0) <= index <= place.index:
                return place
    return shown[0]


def _places(lane: Lane, options: HistogramsOptions) -> tuple[Place, ...]:
    """The layers that there are to choose from: only some have weights, and the output may be left out."""
    shown = places(lane, options.layers)
    if options.quantity == "weight":
        return tuple(p for p in shown if p.weighted >= 0)
    without = options.quantity == "activation" and options.show == "layers" and not options.output
    return shown[:-1] if without and len(shown) > 1 else shown


def layers_to_choose(scene: Scene, options: HistogramsOptions) -> list[tuple[str, str]]:
    """(what the option `layer` is to be, what it is called) for the layers of the deepest lane."""
    deepest = max((_places(lane, options) for lane in scene.lanes), key=len, default=())
    names = [(place.text if place.text.isdigit() else "out", place) for place in deepest]
    return [(name, f"{place.text}  {place.title}") for name, place in names]


def _layer_of(lane: Lane) -> dict[int, Layer]:
    """The layers by their place in the record."""
    by_path = {card.path: card.layer for card in lane.plan.cards}
    return {index: by_path[path] for index, path in enumerate(lane.view.layers) if path in by_path}


def _chosen(count: int) -> NDArray[np.int64]:
    """Which of so many layers or steps are shown: all, or evenly spread ones with the first and the last."""
    return np.unique(np.round(np.linspace(0, max(count - 1, 0), min(count, MOST_RIDGES))).astype(np.int64))


def _seen(scene: Scene, options: HistogramsOptions) -> list[Seen]:
    """What every lane shows; without those that have nothing."""
    ready = [(lane, shown) for lane in scene.lanes if (shown := _places(lane, options)) and len(lane.view)]
    if options.show == "layers":
        chosen = _chosen(max((len(shown) for _lane, shown in ready), default=0))
        found = [_layers_of(lane, shown, scene.step, options, chosen) for lane, shown in ready]
    else:
        found = [_times_of(lane, shown, scene, options) for lane, shown in ready]
    return [seen for seen in found if seen is not None]


def _layers_of(
    lane: Lane, shown: tuple[Place, ...], step: int, options: HistogramsOptions, chosen: NDArray[np.int64]
) -> Seen | None:
    detail = latest(lane, step)
    if detail is None:
        return None
    ridges, layers = [], _layer_of(lane)
    for row, position in enumerate(chosen):
        if position < len(shown):
            found = detail.histograms[options.quantity].of(_index(shown[position], options.quantity))
            if found is not None:
                place = shown[position]
                ridges.append(Ridge(lane, place, row, detail.step, place.text, found, layers.get(place.index)))
    return Seen(lane, shown, detail.step, tuple(ridges)) if ridges else None


def _times_of(lane: Lane, shown: tuple[Place, ...], scene: Scene, options: HistogramsOptions) -> Seen | None:
    """The histograms of one layer: at this step, or at all steps."""
    place = place_of(lane, shown, options.layer, scene.selected)
    index = _index(place, options.quantity)
    newest = latest(lane, scene.step)
    if newest is None:
        return None
    counted = sorted((d for d in lane.view.details if d.histograms), key=lambda d: d.step)
    if options.show == "layer":
        counted = [newest]
    elif options.show == "ridges":
        counted = [d for d in counted if d.step <= newest.step]
        counted = [counted[i] for i in _chosen(len(counted))]
    ridges, layer = [], _layer_of(lane).get(place.index)
    for row, detail in enumerate(counted):
        found = detail.histograms[options.quantity].of(index)
        if found is not None:
            ridges.append(Ridge(lane, place, row, detail.step, str(detail.step), found, layer))
    return Seen(lane, shown, newest.step, tuple(ridges)) if ridges else None


# --- words


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one histogram: a share and what it is the share of.

    sick   dead, saturated, or not finite
    """

    share: float
    words: str
    sick: bool = False


def _rounded(share: float) -> float:
    """To whole percent from 10 % on; below, to as many digits as tell it from nothing."""
    return round(share, 2) if share >= 0.1 else round(share, 3)


@dataclass(frozen=True)
class Judge:
    """Says of histograms what is to be said; shares from which a layer counts as saturated or dead are the doctor's
    thresholds where there are such.
    """

    quantity: str
    saturated: float
    zero: float

    def of(self, ridge: Ridge) -> Verdict:
        """The share that matters in this layer: saturated for functions with bounds, exactly zero, or near zero."""
        histogram = ridge.histogram
        if histogram.finite < histogram.count:
            return Verdict(histogram.strange, N_("{share} not finite"), True)
        if self.quantity == "activation" and ridge.saturates:
            saturated = histogram.saturated
            return Verdict(saturated, N_("{share} saturated"), saturated >= self.saturated)
        zero = histogram.zero
        if zero:
            return Verdict(zero, N_("{share} zero"), zero >= self.zero)
        return Verdict(histogram.near, N_("{share} near 0"))


def judge_of(scene: Scene, quantity: str) -> Judge:
    def limit(column: str, usual: float) -> float:
        return min((value for value, _words in thresholds(scene, column)), default=usual)

    saturated = limit("activation.saturated_fraction", SICK_SATURATED)
    return Judge(quantity, saturated, limit(f"{quantity}.zero_fraction", SICK_ZERO))


def verdict_text(said: Verdict) -> str:
    """ "42 % saturated"."""
    return _(said.words).format(share=percent_text(_rounded(said.share)))


def _beside(by_row: dict[int, list[Verdict]]) -> tuple[str, tuple[tuple[float, str], ...]]:
    """What stands at the right of the ridges, and over it: a share and its words; of several lanes only the shares."""
    if max(map(len, by_row.values())) == 1:
        return _("share of the numbers"), tuple((row + 1.0, verdict_text(said)) for row, (said,) in by_row.items())
    # the words are the same in most rows, and there is no room to repeat them for every lane
    words = dict.fromkeys(_(said.words).format(share="").strip() for row in by_row.values() for said in row)
    shares = {row: [number_text(100.0 * _rounded(v.share), 3) for v in said] for row, said in by_row.items()}
    texts = tuple((row + 1.0, " | ".join(found) + "\u00a0%") for row, found in shares.items())
    return _(", ").join(words), texts


# --- the figure


def build(scene: Scene, options: HistogramsOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = _seen(scene, options)
    if not found:
        return nothing(NAME, title, scene, _why_nothing(scene, options))
    drawn = [ridge.histogram for seen in found for ridge in seen.ridges]
    values = values_of(drawn, options.axis, by_decades=options.quantity == "gradient")
    plots, heights = {"layers": _ridges, "layer": _one, "ridges": _ridges, "map": _maps}[options.show](
        scene, options, found, values
    )
    return Figure(
        NAME,
        title,
        _subtitle(scene, options, found),
        plots,
        table=Table(lambda: _table(found, options)),
        stamp={**stamp(NAME, scene), "quantity": options.quantity, "view": options.show},
        heights=heights,
    )


def _why_nothing(scene: Scene, options: HistogramsOptions) -> str:
    if all(moment_at(lane.view, scene.step) is None for lane in scene.lanes):
        return ""
    if options.quantity == "weight" and not any(_places(lane, options) for lane in scene.lanes):
        return _("No layer has weights.")
    return _("No histograms were recorded up to this step; they are counted on a schedule of steps while training.")


def _subtitle(scene: Scene, options: HistogramsOptions, found: Sequence[Seen]) -> str:
    steps = {seen.step for seen in found}
    what = _(COUNTED[options.quantity].label)
    if options.show != "layers":
        names = {layer_name(seen.ridges[-1].place) for seen in found}
        what = f"{what} · {', '.join(sorted(names))}"
    said = f"{what} · " + _("step {step}").format(step=number_text(max(steps), 9))
    return said + (" · " + _("color: % per bin") if options.show == "map" else "")


def _label(options: HistogramsOptions) -> str:
    return _(COUNTED[options.quantity].axis)


def _ridges(
    scene: Scene, options: HistogramsOptions, found: Sequence[Seen], values: Values
) -> tuple[tuple[Plot, ...], tuple[float, ...]]:
    """Histograms above one another: all layers, or one layer back in time."""
    fills: list[Mark] = []
    outlines: list[Mark] = []
    notes: list[Mark] = []
    judge = judge_of(scene, options.quantity)
    by_row: dict[int, list[Verdict]] = {}
    for seen in found:
        look = cue_of(seen.lane)
        curves = curves_of([ridge.histogram for ridge in seen.ridges], values, options.counts)
        feet = np.array([ridge.row + 1.0 - FOOT for ridge in seen.ridges])
        low = feet[curves.row]
        high = low + PEAK * curves.height
        verdicts = [judge.of(ridge) for ridge in seen.ridges]
        for ridge, said in zip(seen.ridges, verdicts, strict=True):
            by_row.setdefault(ridge.row, []).append(said)
        title = lane_title(seen.lane, scene)
        if len(found) == 1:
            sick = np.array([v.sick for v in verdicts])[curves.row]
            for chosen, color, label in ((~sick, look.color, title), (sick, "alarm", _sick_words(options))):
                if chosen.any():
                    bottom, top = np.where(chosen, low, np.nan), np.where(chosen, high, np.nan)
                    fills.append(Band(curves.x, bottom, top, color))
                    outlines.append(Line(curves.x, top, color, label, look.dash, width=THIN))
        else:
            outlines.append(Line(curves.x, high, look.color, title, look.dash))
        zeros = np.array([ridge.histogram.zero for ridge in seen.ridges])
        if (zeros > 0.0).any():
            outlines.append(_zeros(feet, zeros, _zero_color(look.color, found)))
        notes += _notes(scene, seen, options, values)
    names = _names(found, options)
    count = max(ridge.row for seen in found for ridge in seen.ridges) + 1
    limits = (0.5, count + 0.5)
    label, beside = _beside(dict(sorted(by_row.items())))
    plot = Plot(
        x=values.axis(_label(options)),
        y=Axis(_("layer (data → loss)") if options.show == "layers" else _("step"), limits=limits, ticks=names),
        marks=(*fills, *outlines, *notes),
        right=Axis(label, limits=limits, ticks=beside),
    )
    return (plot,), ()


def _sick_words(options: HistogramsOptions) -> str:
    return _("dead or saturated") if options.quantity == "activation" else _("nearly all zero")


def _zeros(feet: Array, zeros: Array, color: str) -> Line:
    """Upright strokes at zero: as high as the share of numbers that are exactly zero."""
    gap = np.full(len(feet), np.nan)
    x = np.column_stack([np.zeros(len(feet)), np.zeros(len(feet)), gap]).ravel()
    tops = np.where(zeros > 0.0, feet + PEAK * zeros, np.nan)
    y = np.column_stack([np.where(zeros > 0.0, feet, np.nan), tops, gap]).ravel()
    return Line(x, y, color, _("exactly 0 (full height: all)"), width=4.0)


def _names(found: Sequence[Seen], options: HistogramsOptions) -> tuple[tuple[float, str], ...]:
    """What stands beside the ridges: of the lane that has most of them."""
    most = max(found, key=lambda seen: len(seen.ridges))
    if options.show == "ridges":
        return tuple((ridge.row + 1.0, number_text(ridge.step, 9)) for ridge in most.ridges)
    ticks = dict(layer_ticks([seen.shown for seen in found]))
    deepest = max((seen.shown for seen in found), key=len)
    chosen = _chosen(len(deepest))
    return tuple((row + 1.0, ticks[position + 1.0]) for row, position in enumerate(chosen))


def _notes(scene: Scene, seen: Seen, options: HistogramsOptions, values: Values) -> list[Mark]:
    """Layers that have no number to draw."""
    lost = np.array([ridge.histogram.finite == 0 for ridge in seen.ridges], dtype=bool)
    if not lost.any():
        return []
    names = [ridge.name for ridge in seen.ridges]
    sentence = (
        _("no finite number in layer {layers}") if options.show == "layers" else _("no finite number at step {layers}")
    )
    middle = float(
        inverse([float(np.mean(values.places(np.array(values.limits))))], values.scale, values.linear_below)[0]
    )
    return [remark(middle, 1.0, lane_prefix(seen.lane, scene) + sentence.format(layers=ranges_text(names, lost)))]


def _one(
    scene: Scene, options: HistogramsOptions, found: Sequence[Seen], values: Values
) -> tuple[tuple[Plot, ...], tuple[float, ...]]:
    """One layer at one step, large, with the share of every bin."""
    log = options.counts == "log"
    fills: list[Mark] = []
    lines: list[Mark] = []
    notes: list[Mark] = []
    judge = judge_of(scene, options.quantity)
    for seen in found:
        look, ridge = cue_of(seen.lane), seen.ridges[-1]
        count, said = max(ridge.histogram.count, 1), judge.of(ridge)
        edges, shares = on_grid([ridge.histogram], values)
        floor = 50.0 / count if log else 0.0  # percent: half a number
        heights = np.maximum(shares[0], floor)
        x, y = np.repeat(edges, 2)[1:-1], np.repeat(heights, 2)
        if len(found) == 1:
            fills.append(Band(x, np.full(len(x), floor), y, "alarm" if said.sick else look.color))
        lines.append(Line(x, y, look.color, lane_title(seen.lane, scene), look.dash))
        if ridge.histogram.zero and values.limits[0] <= 0.0 <= values.limits[1]:
            stroke = np.array([floor, 100.0 * ridge.histogram.zero])
            lines.append(Line(np.zeros(2), stroke, _zero_color(look.color, found), _("exactly 0"), width=4.0))
        peak = int(np.argmax(heights))
        text = lane_prefix(seen.lane, scene) + verdict_text(said)
        color = "alarm" if said.sick else look.color
        notes.append(Note(float(edges[peak]), float(heights[peak]), text, color, free=True))
    top = max(float(np.max(line.y)) for line in lines if isinstance(line, Line))
    low = min(float(np.min(line.y)) for line in lines if isinstance(line, Line))
    step = round_step(top, 5)
    limits = (low, 10.0 ** math.ceil(math.log10(top) + 0.05)) if log else (0.0, math.ceil(1.02 * top / step) * step)
    plot = Plot(
        x=values.axis(_label(options)),
        y=Axis(_("share of the numbers per bin (%)"), "log" if log else "linear", limits=limits if top > 0.0 else None),
        marks=(*fills, *lines, *notes),
    )
    return (plot,), ()


def _zero_color(color: str, found: Sequence[Seen]) -> str:
    """A lane alone has its strokes in another color than its outlines."""
    return color if len(found) > 1 else "theory"


def _maps(
    scene: Scene, options: HistogramsOptions, found: Sequence[Seen], values: Values
) -> tuple[tuple[Plot, ...], tuple[float, ...]]:
    """One layer over time: a map for every lane, and below the shares that are zero or saturated."""
    first = min(seen.ridges[0].step for seen in found)
    end = max(max(seen.ridges[-1].step + 1, int(seen.lane.view.steps[-1]) + 1) for seen in found)
    log = options.time == "log"
    x = Axis(
        _("step"),
        "symlog" if log else "linear",
        limits=(float(first), float(max(end, first + 1))),
        linear_below=16.0,
        whole=True,
    )
    grids = [on_grid([ridge.histogram for ridge in seen.ridges], values) for seen in found]
    scale: Scale = "log" if options.counts == "log" else "linear"
    limits = _color_limits([part for _edges, part in grids], scale)
    # Bins without numbers have the color of the least share; where no number is finite there is a gap.
    shares = [np.maximum(part, limits[0]) for _edges, part in grids]
    for seen, part in zip(found, shares, strict=True):
        part[[ridge.histogram.finite == 0 for ridge in seen.ridges]] = np.nan
    plots: list[Plot] = []
    for seen, (edges, _part), cells in zip(found, grids, shares, strict=True):
        steps = np.array([ridge.step for ridge in seen.ridges], dtype=np.float64)
        marks: list[Mark] = [
            Heatmap(
                values=np.ascontiguousarray(cells.T),
                x_edges=np.append(steps, max(end, steps[-1] + 1)),
                y_edges=edges,
                label=_("numbers per bin (%)"),
                scale=scale,
                limits=limits,
            )
        ]
        if scene.step < end - 1:
            marks.append(Rule(scene.step + 0.5, "#ffffff", across="x", dash="solid"))
        label = values.axis(_label(options))
        plots.append(Plot(x, label, tuple(marks), title=lane_title(seen.lane, scene) if len(found) > 1 else ""))
    curves, what = _share_curves(scene, found, options)
    if curves:
        plots.append(Plot(x, Axis(_("{what} (%)").format(what=what), limits=(0.0, 100.0)), curves))
    return tuple(plots), (*(3.0 for _seen in found), *([1.0] if curves else []))


def _color_limits(shares: Sequence[Array], scale: Scale) -> tuple[float, float]:
    """Round ends of the color scale, from zero where it is linear."""
    known = np.concatenate([part[part > 0.0] for part in shares])
    if known.size == 0:
        return (0.0, 1.0) if scale == "linear" else (0.1, 100.0)
    high = float(np.quantile(known, 0.98))
    if scale == "log":
        low = float(known.min())
        return 10.0 ** math.floor(math.log10(low)), 10.0 ** max(
            math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1
        )
    step = round_step(high, 4)
    return 0.0, math.ceil(high / step) * step


def _share_curves(scene: Scene, found: Sequence[Seen], options: HistogramsOptions) -> tuple[tuple[Mark, ...], str]:
    """Percentages over time, from every step of the record: saturated where that can be, else exactly zero; and what
    they are the shares of.
    """
    if options.quantity == "weight":
        return (), ""
    marks: list[Mark] = []
    said: dict[str, None] = {}
    for seen in found:
        look, ridge = cue_of(seen.lane), seen.ridges[-1]
        saturates = options.quantity == "activation" and ridge.saturates
        quantity = "activation.saturated_fraction" if saturates else f"{options.quantity}.zero_fraction"
        words = _("saturated") if saturates else _("exactly 0")
        said[words] = None
        bins = binned(seen.lane.view, quantity, MOST_CURVE)
        y = 100.0 * bins.first[:, ridge.place.index]
        name = lane_title(seen.lane, scene) if len(scene.lanes) > 1 else ""
        marks.append(Line(bins.starts.astype(np.float64), y, look.color, name, look.dash))
    return tuple(marks), " / ".join(said)


def _table(found: Sequence[Seen], options: HistogramsOptions) -> dict[str, NDArray[np.generic]]:
    """The linear bins of every histogram that is drawn; what is special stands with each of them."""
    parts = []
    for seen in found:
        for ridge in seen.ridges:
            histogram = ridge.histogram
            edges = histogram.edges if histogram.finite else np.full(BINS + 1, np.nan)
            parts.append(
                {
                    "lane": ridge.lane.name,
                    "step": ridge.step,
                    "layer": ridge.lane.view.layers[_index(ridge.place, options.quantity)],
                    "from": edges[:-1],
                    "to": edges[1:],
                    "count": histogram.linear.astype(np.int64),
                    "of the layer: numbers": histogram.count,
                    "of the layer: exactly zero": int(histogram.logarithmic[ZERO]),
                    "of the layer: not finite": histogram.count - histogram.finite,
                    "of the layer: saturated (share)": histogram.saturated,
                    "of the layer: rms": histogram.rms,
                }
            )
    return columns(parts)


# --- what it says


def explain(scene: Scene, options: HistogramsOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    what = {
        "layers": _(
            "Every ridge shows how the {numbers} of one layer are spread over the minibatch: its outline is high where "
            "many of them lie. Each is scaled to its own peak. Numbers that are exactly zero are left out of the "
            "outline and drawn as an upright stroke, whose height is their share."
        ),
        "layer": _(
            "How the {numbers} of one layer are spread at this step: the share of them in each bin. Numbers that are "
            "exactly zero are left out of the outline and drawn as an upright stroke."
        ),
        "ridges": _(
            "How the {numbers} of one layer were spread, step by step, the newest on top. Each ridge is scaled to its "
            "own peak; upright strokes are the share of numbers that are exactly zero."
        ),
        "map": _(
            "How the {numbers} of one layer are spread over time: every column is a histogram, bright where many of "
            "the numbers lie. Those that are exactly zero are left out; their share is the curve below."
        ),
    }[options.show].format(numbers=_(COUNTED[options.quantity].label))
    why = {
        "activation": _(
            "Mean and deviation hide what a shape shows: a layer whose outputs pile up at the ends of a sigmoid or "
            "tanh is saturated and passes hardly any gradient; one that puts out only zeros is dead."
        ),
        "gradient": _(
            "The gradient must keep its width from the loss back to the first layer. Ridges that drift toward zero by "
            "powers of ten vanish, those that grow explode."
        ),
        "weight": _(
            "Weights should spread out slowly from their first distribution. Ones that all stay where they began do "
            "not learn; long tails point to a step that was too large, spikes at zero to strong regularization."
        ),
    }[options.quantity]
    good = {
        "activation": _(
            "Similar widths in all layers, no pile at the ends, not nearly all zero. For ReLU about half of them "
            "is exactly zero; for tanh and sigmoid most lie between the ends, a good part of them where the function "
            "is nearly straight."
        ),
        "gradient": _(
            "Similar widths in all layers, within a power of ten or so, and few numbers that are exactly zero."
        ),
        "weight": _("A bell that widens slowly, centered near zero, with no number far away from all others."),
    }[options.quantity]
    return Explanation(what, why, good, per_lane(scene, lambda lane: _yours(lane, scene, options)))


def _yours(lane: Lane, scene: Scene, options: HistogramsOptions) -> str:
    if moment_at(lane.view, scene.step) is None:
        return _("Nothing is recorded yet.")
    shown = _places(lane, options)
    detail = latest(lane, scene.step)
    if detail is None or not shown:
        return _("No histograms were recorded up to this step.")
    if options.show != "layers":
        return _yours_of_one(lane, scene, options, shown, detail)
    ridges, layers = [], _layer_of(lane)
    for row, place in enumerate(shown):
        histogram = detail.histograms[options.quantity].of(_index(place, options.quantity))
        if histogram is not None:
            ridges.append(Ridge(lane, place, row, detail.step, place.text, histogram, layers.get(place.index)))
    said = []
    sizes = np.array([ridge.histogram.rms for ridge in ridges])
    known = np.flatnonzero(np.isfinite(sizes))
    if known.size:
        first, last = ridges[known[0]], ridges[known[-1]]
        said.append(
            _("The rms goes from {first} ({one}) to {last} ({other}).").format(
                first=number_text(first.histogram.rms),
                one=layer_name(first.place),
                last=number_text(last.histogram.rms),
                other=layer_name(last.place),
            )
        )
    judge = judge_of(scene, options.quantity)
    verdicts = [judge.of(ridge) for ridge in ridges]
    texts = [ridge.name for ridge in ridges]
    for words in dict.fromkeys(v.words for v in verdicts if v.sick):
        sick = np.array([v.sick and v.words == words for v in verdicts])
        most = max((v for v in verdicts if v.sick and v.words == words), key=lambda v: v.share)
        said.append(
            _("In layer {layers} up to {share}.").format(layers=ranges_text(texts, sick), share=verdict_text(most))
        )
    straight = [ridge for ridge in ridges if options.quantity == "activation" and ridge.has_linear_part]
    if straight:
        least = min(straight, key=lambda ridge: ridge.histogram.near)
        most_straight = max(straight, key=lambda ridge: ridge.histogram.near)
        said.append(
            _(
                "Where the function is nearly straight lie from {low} ({one}) to {high} ({other}) of the numbers."
            ).format(
                low=percent_text(_rounded(least.histogram.near)),
                one=layer_name(least.place),
                high=percent_text(_rounded(most_straight.histogram.near)),
                other=layer_name(most_straight.place),
            )
        )
    if not any(v.sick for v in verdicts):
        said.append(
            {
                "activation": _("No layer is dead or saturated."),
                "gradient": _("No layer's gradient is mostly zero."),
                "weight": _("No layer's weights are mostly zero."),
            }[options.quantity]
        )
    return " ".join(said)


def _yours_of_one(
    lane: Lane, scene: Scene, options: HistogramsOptions, shown: tuple[Place, ...], detail: Detail
) -> str:
    place = place_of(lane, shown, options.layer, scene.selected)
    histogram = detail.histograms[options.quantity].of(_index(place, options.quantity))
    if histogram is None:
        return _("{layer} has no such numbers.").format(layer=layer_name(place))
    ridge = Ridge(lane, place, 0, detail.step, place.text, histogram, _layer_of(lane).get(place.index))
    if not histogram.finite:
        return _("At step {step} no number of {layer} is finite.").format(
            step=number_text(detail.step, 9), layer=layer_name(place)
        )
    said = [
        _("At step {step} the numbers of {layer} go from {least} to {most}, rms {rms}; {share}.").format(
            step=number_text(detail.step, 9),
            layer=layer_name(place),
            least=number_text(histogram.least),
            most=number_text(histogram.most),
            rms=number_text(histogram.rms),
            share=verdict_text(judge_of(scene, options.quantity).of(ridge)),
        )
    ]
    if options.quantity == "activation" and ridge.has_linear_part:
        said.append(
            _("{share} lie where the function is nearly straight.").format(share=percent_text(_rounded(histogram.near)))
        )
    first = min((d for d in lane.view.details if d.histograms), key=lambda d: d.step)
    before = first.histograms[options.quantity].of(_index(place, options.quantity))
    if before is not None and first.step < detail.step and math.isfinite(before.rms):
        said.append(
            _("At step {step} the rms was {rms}.").format(step=number_text(first.step, 9), rms=number_text(before.rms))
        )
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, HistogramsOptions))
