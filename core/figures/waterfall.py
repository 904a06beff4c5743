"""Waterfall: what every operation does to the gradient on its way back from the loss: one sees who killed it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.probes import SHARE_COLUMNS
from ..diagnostics.waterfall import Falls, Step, falls
from ..fields import Described, about
from ..layers.base import Part
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Boxes,
    Explanation,
    Figure,
    FigureKind,
    Lane,
    Line,
    Mark,
    Note,
    Plot,
    Rule,
    Scene,
    Table,
)
from .reading import (
    Moment,
    columns,
    cue_of,
    factor_text,
    lane_prefix,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    places,
    remark,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
Grouping = Literal["auto", "operations", "layers", "blocks", "parts"]
NAME, TITLE = "waterfall", N_("Waterfall")
# Who changes the gradient: its color, its name in a legend, and a shorter one for an axis.
PARTS: dict[Part, tuple[str, str, str]] = {
    "weights": ("lane-0", N_("weights"), N_("weights")),
    "function": ("lane-1", N_("slope of the function"), N_("slope")),
    "normalization": ("lane-2", N_("normalization"), N_("norm")),
    "skip": ("lane-3", N_("skip"), N_("skip")),
    "branches": ("fifth", N_("branches"), N_("branches")),
    "pooling": ("muted", N_("pooling"), N_("pooling")),
    "dropout": ("theory", N_("dropout"), N_("dropout")),
    "shape": ("axis", N_("another shape"), N_("shape")),
}
WIDTH = 0.72  # of a bar, in places
MANY = 30  # places beyond which operations are put together, where nothing else is said
SMALL = 0.005  # a gain below that is written as 0


class WaterfallOptions(Described, frozen=True, kw_only=True):
    """What the waterfall shows."""

    grouping: Annotated[
        Grouping,
        about(
            N_("grouping"),
            N_(
                "operations: a bar for each; layers: the parts of a layer with weights and of what follows it on top "
                "of each other; blocks: those of a whole block; parts: the sum of each part, lanes side by side; auto: "
                "as many bars as have room."
            ),
        ),
    ] = "auto"


# --- the way back of a lane


@dataclass(frozen=True)
class Way:
    """What the figure draws of one lane.

    numbers  what the layers of the record are called, by path, as on other figures' axes: "3", "out"; what follows a
             layer with weights is called like it, and "" what stands before the first
    knows    whether what comes back through the inside of blocks was measured
    """

    lane: Lane
    moment: Moment
    falls: Falls
    numbers: dict[str, str]
    knows: bool

    def span(self, step: Step) -> tuple[str, ...]:
        """The numbers of the layers that an operation belongs to: of a block, those that the way goes through."""
        if step.place == "layer":
            return (self.numbers[step.path],) if self.numbers[step.path] else ()
        of_block = [path for path in self.numbers if path.startswith(f"{step.path}.")]
        through = [path for path in of_block if any(path == p or path.startswith(f"{p}.") for p in step.paths)]
        return tuple(dict.fromkeys(number for path in through or of_block if (number := self.numbers[path])))

    def is_dead_inside(self, block: Step) -> bool:
        """Whether something inside of a block, or what comes back through it, is exactly 0."""
        inside = np.array([path.startswith(f"{block.path}.") for path in self.numbers])
        sizes = [self.moment.layers(name)[inside] for name in ("gradient.rms", *SHARE_COLUMNS) if self.knows]
        return any(bool((size == 0.0).any()) for size in sizes)

    def where(self, step: Step) -> str:
        """ "layer 3", "layers 3–4" of a block, "the output layer"; "" before the first layer with weights."""
        found = self.span(step)
        if len(found) > 1:
            return _("layers {first}–{last}").format(first=found[0], last=found[-1])
        if found:
            return _("layer {number}").format(number=found[0]) if found[0].isdigit() else _("the output layer")
        return _("block {path}").format(path=step.path) if step.place != "layer" else ""

    def name(self, step: Step) -> str:
        """An operation within a sentence: "Sigmoid (layer 3)", "skip (layers 3–4)"."""
        said, where = step.title, self.where(step)
        if step.place == "join":
            said = _(PARTS[step.part][1])
        elif step.place == "split":
            said = _("branch scale") if step.part == "skip" else _("share of the branch")
        return f"{said} ({where})" if where else said


def way_of(lane: Lane, step: int) -> Way | None:
    """The way back of a lane at a step; None when nothing is recorded."""
    moment = moment_at(lane.view, step)
    if moment is None:
        return None
    knows = SHARE_COLUMNS[0] in lane.view.layer_columns
    shares = moment.layers(SHARE_COLUMNS[0]) if knows else None
    found = falls(lane.plan, lane.view.layers, moment.layers("gradient.rms"), shares)
    return Way(lane, moment, found, _numbers(lane), knows)


def _numbers(lane: Lane) -> dict[str, str]:
    starts = {p.weighted if p.weighted >= 0 else p.index: p.text for p in places(lane, "main")}
    found, text = {}, ""
    for index, path in enumerate(lane.view.layers):
        found[path] = text = starts.get(index, text)
    return found


# --- places on the axis


@dataclass(frozen=True)
class Slot:
    """What stands at one place of the axis, with the operations that it sums up, in data order."""

    text: str
    members: tuple[int, ...]


def _operations(way: Way) -> list[Slot]:
    """A place for every operation; at those with weights the axis has their numbers."""
    steps = way.falls.steps
    found = [Slot(_tick(way, step) if step.part == "weights" else "", (i,)) for i, step in enumerate(steps)]
    return found if any(slot.text for slot in found) else [Slot(str(i + 1), (i,)) for i in range(len(steps))]


def _layers(way: Way) -> list[Slot]:
    """A place for every layer with weights and what follows it, and for every block whose inside is not on the way.

    The skip of a block, which the gradient meets behind all of its layers, stands with the first of them.
    """
    groups: list[list[int]] = []
    waiting = False  # for the first weights inside of a block
    for index, step in enumerate(way.falls.steps):
        block = step.place in ("join", "block")
        if not groups or ((block or step.part == "weights") and not waiting):
            groups.append([])
        groups[-1].append(index)
        waiting = step.place == "join" or (waiting and step.part != "weights")
    return _named(way, groups)


def _blocks(way: Way) -> list[Slot]:
    """A place for every block of the main line with all that is inside, and for every layer with weights beside it."""
    groups: list[list[int]] = []
    before = ""
    inside = {step.path.split(".", 1)[0] for step in way.falls.steps if step.place != "layer" or "." in step.path}
    for index, step in enumerate(way.falls.steps):
        path = step.path.split(".", 1)[0]
        if not groups or (path != before and (path in inside or step.part == "weights")):
            groups.append([])
        groups[-1].append(index)
        before = path
    return _named(way, groups)


def _named(way: Way, groups: list[list[int]]) -> list[Slot]:
    found = []
    for group in groups:
        steps = [way.falls.steps[index] for index in group]
        own = [step for step in steps if step.part == "weights"] or steps[:1]
        span = [number for step in own for number in way.span(step)]
        found.append(Slot("–".join(dict.fromkeys((span[0], span[-1]))) if span else "", tuple(group)))
    return found


def _tick(way: Way, step: Step) -> str:
    span = way.span(step)
    return "–".join(dict.fromkeys((span[0], span[-1]))) if span else ""


SLOTS: dict[str, Callable[[Way], list[Slot]]] = {"operations": _operations, "layers": _layers, "blocks": _blocks}


def chosen(ways: Sequence[Way], options: WaterfallOptions) -> Grouping:
    """How the operations are put together, "auto" decided."""
    if options.grouping != "auto":
        return options.grouping
    if len(ways) > 1:
        return "parts"
    if max((len(way.falls) for way in ways), default=0) <= MANY:
        return "operations"
    has_blocks = any(step.place != "layer" for way in ways for step in way.falls.steps)
    return "blocks" if has_blocks and max(len(_layers(way)) for way in ways) > MANY else "layers"


# --- the figure


@dataclass(frozen=True)
class Bar:
    """One bar.

    place     on the axis
    start     where it begins, seen from the loss; gain: how far it leads from there, -inf to nothing at all
    part      whose it is; None: all together
    members   the operations that it sums up
    """

    place: int
    start: float
    gain: float
    part: Part | None
    members: tuple[int, ...]

    @property
    def low(self) -> float:
        return min(self.start, self.start + self.gain)

    @property
    def high(self) -> float:
        return max(self.start, self.start + self.gain)


def build(scene: Scene, options: WaterfallOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    ways = [way for lane in scene.lanes if (way := way_of(lane, scene.step)) is not None]
    if not ways:
        return nothing(NAME, title, scene)
    grouping = chosen(ways, options)
    alone = len(ways) == 1
    if grouping == "parts" and not alone:
        plots = [_side_by_side(ways, scene)]
    else:
        plots = _below_one_another(ways, scene, grouping)
    said = (
        [_sum(ways[0], short=len(ways[0].falls.by_group()) > 3)]
        if alone
        else [_("gains on the way back"), *_clips(ways)]
    )
    return Figure(
        NAME,
        title,
        " · ".join([*said, step_text(scene)]),
        tuple(plots),
        table=Table(lambda: _table(ways)),
        stamp=stamp(NAME, scene),
    )


def _below_one_another(ways: list[Way], scene: Scene, grouping: Grouping) -> list[Plot]:
    """A plot for each lane, all with the same heights."""
    drawn = [_drawn(way, grouping) for way in ways]
    low, high = _limits([bar for _slots, bars, _level in drawn for bar in bars])
    plots = []
    for way, (slots, bars, level) in zip(ways, drawn, strict=True):
        marks = _marks(way, slots, bars, level, low, grouping)
        marks += _notes(way, slots, low, "")
        label = _("log₁₀ of the gradient’s rms, output = 0")
        if len(ways) == 1:
            marks += _remarks_of_one(way, slots, grouping)
        else:
            label = _("log₁₀ of the rms, {sum}").format(sum=_sum(way, short=True))
        plots.append(
            Plot(
                x=Axis(
                    _("part") if grouping == "parts" else _("layer (data → loss, gradient ←)"),
                    limits=(0.4, len(slots) + 0.6),
                    ticks=tuple((i + 1.0, slot.text) for i, slot in enumerate(slots) if slot.text),
                ),
                y=Axis(label, limits=(low, high)),
                marks=tuple(marks),
                title=lane_title(way.lane, scene) if len(ways) > 1 else "",
            )
        )
    return plots


def _side_by_side(ways: list[Way], scene: Scene) -> Plot:
    """The sum of each part of several lanes, from 0 each, and of all parts together."""
    sums = [way.falls.by_group() for way in ways]
    parts = [part for part in PARTS if any(abs(own.get(part, 0.0)) >= SMALL for own in sums)]
    parts.sort(key=lambda part: min(own.get(part, 0.0) for own in sums))
    rows: list[tuple[Way, list[Bar]]] = []
    for way, own in zip(ways, sums, strict=True):
        bars = [Bar(i, 0.0, own.get(part, 0.0), part, _members(way, part)) for i, part in enumerate(parts)]
        if not math.isnan(way.falls.total):
            bars.append(Bar(len(parts), 0.0, way.falls.total, None, tuple(range(len(way.falls)))))
        rows.append((way, bars))
    low, high = _limits([bar for _way, bars in rows for bar in bars])
    slots = [Slot(text, ()) for text in (*(_(PARTS[part][2]) for part in parts), _("total"))]
    width = 0.84 / len(ways)
    marks: list[Mark] = [Rule(0.0, "muted", dash="solid")]
    for number, (way, bars) in enumerate(rows):
        x = np.array([bar.place + 1.0 for bar in bars])
        least, most = np.array([max(bar.low, low - 1.0) for bar in bars]), np.array([bar.high for bar in bars])
        marks.append(
            Boxes(
                x,
                least,
                most,
                None,
                (least, most),
                np.full(len(bars), np.nan),
                cue_of(way.lane).color,
                lane_title(way.lane, scene),
                0.9 * width,
                (number - 0.5 * (len(ways) - 1)) * width,
                says=_says(way, slots, bars, "parts", lane_title(way.lane, scene)),
            )
        )
        marks += _notes(way, slots, low, lane_prefix(way.lane, scene))
    return Plot(
        x=Axis(
            _("part"),
            limits=(0.4, len(slots) + 0.6),
            ticks=tuple((i + 1.0, slot.text) for i, slot in enumerate(slots)),
        ),
        y=Axis(_("log₁₀ of the gain of the gradient’s rms"), limits=(low, high)),
        marks=tuple(marks),
    )


def _sum(way: Way, short: bool = False) -> str:
    """Who does how much, those that do most first: "−8.1: slope of the function −7.2, weights −0.9"."""
    parts = sorted(way.falls.by_group().items(), key=lambda part: -abs(part[1]))
    said = ", ".join(
        f"{_(PARTS[part][2 if short else 1])} {signed(gain)}" for part, gain in parts if abs(gain) >= SMALL
    )
    total = way.falls.total
    if math.isfinite(total):
        return f"{signed(total)}: {said}" if said else signed(total)
    ends = _("then exactly 0") if way.falls.killer >= 0 else ""
    return ", ".join(part for part in (said, ends) if part) or _("no finite number")


def _clips(ways: list[Way]) -> list[str]:
    """What clipping does behind the way back, lane by lane, in one text; none where it does nothing."""
    found = [f"{way.lane.name} {factor_text(clip[1] / clip[0])}" for way in ways if (clip := _clip(way)) is not None]
    return [_("then clipped: {lanes}").format(lanes=", ".join(found))] if found else []


Drawn = tuple[list[Slot], list[Bar], Array]


def _drawn(way: Way, grouping: Grouping) -> Drawn:
    """The places, the bars and the level (places + 1,) between them: level[i] is left of place i, in data order."""
    if grouping == "parts":
        return _drawn_parts(way)
    found, slots = way.falls, SLOTS[grouping](way)
    levels, gains = found.levels.tolist(), found.gains.tolist()
    bars: list[Bar] = []
    between = np.full(len(slots) + 1, np.nan)
    for place, slot in enumerate(slots):
        start = levels[slot.members[-1]]
        between[place + 1] = start
        if not math.isfinite(start):
            continue
        up = down = start
        parts: dict[Part, list[int]] = {}
        for index in reversed(slot.members):
            if index == found.killer or math.isfinite(gains[index]):
                parts.setdefault(found.steps[index].part, []).append(index)
        for part, members in parts.items():
            gain = -math.inf if found.killer in members else sum(gains[index] for index in members)
            bars.append(Bar(place, up if gain > 0.0 else down, gain, part, tuple(members)))
            up, down = (up + gain, down) if gain > 0.0 else (up, down + gain)
    if slots and len(slots[0].members) > 1:
        between[0] = levels[0]  # behind the first layer, whose input has no gradient
    return slots, bars, np.where(np.isfinite(between), between, np.nan)


def _drawn_parts(way: Way) -> Drawn:
    """One bar for the sum of each part, those that take most first, and one for all together."""
    slots, bars, level = list[Slot](), list[Bar](), 0.0
    between = [math.nan]
    for part, gain in sorted(way.falls.by_group().items(), key=lambda pair: pair[1]):
        bars.append(Bar(len(slots), level, gain, part, _members(way, part)))
        slots.append(Slot(_(PARTS[part][2]), bars[-1].members))
        level += gain
        between.append(level)
    slots.append(Slot(_("total"), tuple(range(len(way.falls)))))
    if not math.isnan(way.falls.total):
        bars.append(Bar(len(slots) - 1, 0.0, way.falls.total, None, slots[-1].members))
    return slots, bars, np.array([*between, math.nan])


def _members(way: Way, part: Part) -> tuple[int, ...]:
    """The operations of a part whose gain is known."""
    return tuple(i for i, step in enumerate(way.falls.steps) if step.part == part and math.isfinite(way.falls.gains[i]))


def _limits(bars: list[Bar]) -> tuple[float, float]:
    """Whole decades around all bars, with room for what is written."""
    ends = [end for bar in bars for end in (bar.low, bar.high) if math.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    return math.floor(min(low - 0.15, -1.0)), math.ceil(max(high + 0.15, 1.0))


def _marks(way: Way, slots: list[Slot], bars: list[Bar], level: Array, floor: float, grouping: Grouping) -> list[Mark]:
    marks: list[Mark] = [Rule(0.0, "muted", dash="dotted")]
    looks: list[tuple[Part | None, str, str]] = [(part, color, label) for part, (color, label, _short) in PARTS.items()]
    for part, color, label in (*looks, (None, "text", N_("total"))):
        own = [bar for bar in bars if bar.part == part]
        if any(bar.high - bar.low > 0.0 for bar in own):
            x = np.array([bar.place + 1.0 for bar in own])
            # What falls to nothing falls out of the picture, where an arrow says so.
            low, high = np.array([max(bar.low, floor - 1.0) for bar in own]), np.array([bar.high for bar in own])
            none, says = np.full(len(own), np.nan), _says(way, slots, own, grouping)
            marks.append(Boxes(x, low, high, None, (low, high), none, color, _(label), WIDTH, says=says))
    x, y = _steps(level, grouping)
    marks.append(Line(x, y, "text", width=1.5, says=_nothing))
    return marks


def _nothing(_index: int) -> tuple[str, ...]:
    return ()


def _steps(level: Array, grouping: Grouping) -> tuple[Array, Array]:
    """The level between the bars, from the middle of one to the middle of the next; where bars stand on each other it
    goes on across them.
    """
    count = len(level) - 1
    x = np.column_stack([np.arange(count + 1.0), np.arange(1.0, count + 2.0)])
    y = np.column_stack([level, level])
    x[0, 0], x[-1, 1] = 0.5, count + 0.5
    if grouping in ("operations", "parts"):
        none = np.full(count + 1, np.nan)
        x, y = np.column_stack([x, none]), np.column_stack([y, none])
    return x.ravel(), y.ravel()


def _notes(way: Way, slots: list[Slot], floor: float, prefix: str) -> list[Mark]:
    """What must not be overlooked: where the gradient ends."""
    found, said = way.falls, list[str]()
    if np.isneginf(found.levels).any():
        text = _("no gradient arrives from the loss: exactly 0")
        if found.killer >= 0:
            text = _("exactly 0 behind {operation}").format(operation=way.name(found.steps[found.killer]))
        said.append(text)
    if np.isnan(found.levels).any():
        text = _("what arrives from the loss is not a finite number")
        if found.breaker >= 0:
            text = _("not a finite number behind {operation}").format(operation=way.name(found.steps[found.breaker]))
        said.append(text)
    dead = [step for step in found.steps if step.place == "block" and way.is_dead_inside(step)]
    if dead:
        texts = [_tick(way, step) for step in dead]
        inside = way.where(dead[0]) if len(dead) == 1 else _("layers {list}").format(list=", ".join(texts))
        said.append(_("nothing comes back through the inside of {layers}").format(layers=inside))
    return [remark((len(slots) + 1) / 2, floor / 2, prefix + text) for text in said]


def _remarks_of_one(way: Way, slots: list[Slot], grouping: Grouping) -> list[Mark]:
    """What is written beside the bars where a lane has the figure for itself."""
    notes: list[Mark] = []
    total = way.falls.total
    if math.isfinite(total) and len(way.falls) > 1:
        said = _("total {total} = {factor}").format(total=signed(total), factor=_factor(total))
        notes.append(Note(len(slots) if grouping == "parts" else 1.0, total, said, "text", "left", free=True))
    clip = _clip(way)
    if clip is not None:
        before, behind = clip
        said = _("then clipping: weights’ gradients {factor} (norm {before} → {after})").format(
            factor=factor_text(behind / before), before=number_text(before, 3), after=number_text(behind, 3)
        )
        notes.append(Note((len(slots) + 1) / 2, 0.0, said, "muted", "center", free=True))
    return notes


def _clip(way: Way) -> tuple[float, float] | None:
    """The norm of the parameters' gradients before and behind clipping, where it has shortened them in this step."""
    training, view = way.lane.training, way.lane.view
    if training is None or training.clipping is None:
        return None
    before, behind = (
        float(way.moment.line[view.run_columns.index(name)]) for name in ("gradient_norm", "clipped_gradient_norm")
    )
    return (before, behind) if 0.0 < before < math.inf and behind < 0.999 * before else None


# --- words


def signed(value: float) -> str:
    """A gain with its sign and two decimals at most: "−0.62", "+1.5", "0"."""
    if abs(value) < SMALL:
        return "0"
    return ("+" if value > 0 else "") + number_text(round(value, 2), 3)


def _factor(gain: float) -> str:
    """10 to the gain: "×0.24", "×7.9e-9"."""
    return factor_text(10.0 ** max(-300.0, min(300.0, gain)))


def _says(
    way: Way, slots: list[Slot], bars: list[Bar], grouping: Grouping, lane: str = ""
) -> Callable[[int], tuple[str, ...]]:
    """What is read at a bar, put together when somebody points at it; first of all whose it is, of several lanes."""
    prefix = (lane,) if lane else ()

    def says(index: int) -> tuple[str, ...]:
        bar, found = bars[index], way.falls
        part = _(PARTS[bar.part][1]) if bar.part is not None else _("total")
        said = f"{part}: {_factor(bar.gain)} ({signed(bar.gain)})"
        if bar.gain == -math.inf:
            said = _("{part}: ×0, exactly nothing is left").format(part=part)
        if grouping == "parts":
            count = len(bar.members)
            if bar.part is None or count < 2:
                return (*prefix, said)
            each = _("{count} operations, {factor} each").format(count=count, factor=_factor(bar.gain / count))
            return (*prefix, said, each)
        lines = [", ".join(way.name(found.steps[member]) for member in bar.members), said]
        slot = slots[bar.place].members
        first = slot[0]
        before = float(found.levels[slot[-1]])
        behind = float(found.levels[first - 1] if first > 0 else found.levels[0])
        if math.isfinite(behind):
            if len(slot) > len(bar.members):
                whole = _("all that stands here: {factor} ({gain})")
                lines.append(whole.format(factor=_factor(behind - before), gain=signed(behind - before)))
            lines.append(_("level {before} → {after}").format(before=signed(before), after=signed(behind)))
        return (*prefix, *lines)

    return says


def _table(ways: list[Way]) -> dict[str, NDArray[np.generic]]:
    """The operations one by one, however they are put together in the picture."""
    return columns(
        [
            {
                "lane": way.lane.name,
                "step": way.moment.step,
                "position": np.arange(1, len(way.falls) + 1),
                "layer": [step.path for step in way.falls.steps],
                "operation": [way.name(step) for step in way.falls.steps],
                "part": [_(PARTS[step.part][1]) for step in way.falls.steps],
                "log10 gain": way.falls.gains,
                "log10 gradient.rms, output = 0": way.falls.levels,
            }
            for way in ways
        ]
    )


def explain(scene: Scene, options: WaterfallOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "One bar for every operation: by what it multiplies the gradient’s size (rms per number) on its way back, "
            "as a power of ten. A bar that goes down takes away, one that goes up adds; all together lead from the "
            "output to the first layer. In deep networks the bars of a layer stand on each other, and the line is what "
            "remains; of several lanes, the sums of all bars of a part stand side by side."
        ),
        why=_(
            "A gradient that vanishes was made small somewhere. Weights multiply it by about the root of n·Var, a "
            "function by its slope, normalization divides by the spread of the signal, a skip adds what came around a "
            "block to what came through it; here one sees which it was."
        ),
        good=_(
            "Ups and downs that cancel: the last bar on the left ends within a power of ten of where the first began."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    way = way_of(lane, scene.step)
    if way is None:
        return _("Nothing is recorded yet.")
    found = way.falls
    if len(found) < 2:
        return _("There is one layer only, so nothing lies between it and the loss.")
    said = [_ends(way)]
    if found.by_group():
        said.append(_who(way))
    clip = _clip(way)
    if clip is not None:
        said.append(
            _("Behind all this, clipping shortens the weights’ gradients by {factor}.").format(
                factor=factor_text(clip[1] / clip[0])
            )
        )
    return " ".join(part for part in said if part)


def _ends(way: Way) -> str:
    """Where the gradient arrives, or where it ends."""
    found = way.falls
    if math.isfinite(found.total):
        return _("From the output to the first layer the gradient changes by {factor} ({sum}).").format(
            factor=_factor(found.total), sum=_sum(way)
        )
    if found.breaker >= 0:
        name = way.name(found.steps[found.breaker])
        return _("{operation} makes of the gradient what is not a finite number.").format(operation=name)
    if np.isnan(found.levels).any():
        return _("The gradient is not a finite number: the training has broken down.")
    if found.killer < 0:
        return _("The gradient is exactly 0 from the loss on: nothing learns.")
    name = way.name(found.steps[found.killer])
    return _("{operation} makes the gradient exactly 0: nothing behind it learns.").format(operation=name)


def _who(way: Way) -> str:
    """The part that takes (or adds) most, and its operation that does so most."""
    found = way.falls
    parts = found.by_group()
    total = found.total if math.isfinite(found.total) else sum(parts.values())
    sign = 1.0 if total > 0.0 else -1.0
    part = max(parts, key=lambda name: sign * parts[name])
    if sign * parts[part] < SMALL:
        return ""
    own = [i for i, step in enumerate(found.steps) if step.part == part and math.isfinite(found.gains[i])]
    worst = max(own, key=lambda index: sign * float(found.gains[index]))
    values = {
        "part": _(PARTS[part][1]),
        "sum": signed(parts[part]),
        "factor": _factor(parts[part] / len(own)),
        "count": len(own),
        "operation": way.name(found.steps[worst]),
        "most": _factor(float(found.gains[worst])),
    }
    if len(own) == 1:
        text = (
            _("Most is added by: {part}, at {operation} {most}.")
            if sign > 0.0
            else _("Most is taken by: {part}, at {operation} {most}.")
        )
    elif sign > 0.0:
        text = _("Most is added by: {part}, {sum}, {factor} at each of {count} operations and {most} at {operation}.")
    else:
        text = _("Most is taken by: {part}, {sum}, {factor} at each of {count} operations and {most} at {operation}.")
    return text.format(**values)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, WaterfallOptions))
