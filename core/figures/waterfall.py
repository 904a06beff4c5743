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
    factor_text,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    places,
    ranges_text,
    remark,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
Grouping = Literal["auto", "operations", "layers", "parts"]
NAME, TITLE = "waterfall", N_("Waterfall")
# Who changes the gradient, with its color and its name in a legend.
PARTS: dict[Part, tuple[str, str]] = {
    "weights": ("lane-0", N_("weights")),
    "function": ("lane-1", N_("slope of the function")),
    "normalization": ("lane-2", N_("normalization")),
    "skip": ("lane-3", N_("skip")),
    "branches": ("fifth", N_("branches")),
    "pooling": ("muted", N_("pooling")),
    "dropout": ("theory", N_("dropout")),
    "shape": ("axis", N_("another shape")),
}
WIDTH = 0.72  # of a bar, in places
MANY = 30  # operations from which they are put together, layer by layer, where nothing else is said
SMALL = 0.005  # a gain below that is written as 0


class WaterfallOptions(Described, frozen=True, kw_only=True):
    """What the waterfall shows."""

    grouping: Annotated[
        Grouping,
        about(
            N_("grouping"),
            N_(
                "operations: a bar for each; layers: a bar for each layer with weights, with the parts of what follows "
                "it on top of each other; parts: the sum of each part; auto: operations, where they are not too many."
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
    steps = way.falls.steps
    for index, step in enumerate(steps):
        block = step.place in ("join", "block")
        if not groups or ((block or step.part == "weights") and not waiting):
            groups.append([])
        groups[-1].append(index)
        waiting = step.place == "join" or (waiting and step.part != "weights")
    found = []
    for group in groups:
        named = next((steps[index] for index in group if steps[index].part == "weights"), steps[group[0]])
        found.append(Slot(_tick(way, named), tuple(group)))
    return found


def _tick(way: Way, step: Step) -> str:
    span = way.span(step)
    return "–".join(dict.fromkeys((span[0], span[-1]))) if span else ""


def _slots(way: Way, grouping: Grouping) -> list[Slot]:
    return _layers(way) if grouping == "layers" else _operations(way)


def chosen(ways: Sequence[Way], options: WaterfallOptions) -> Grouping:
    """How the operations are put together, "auto" decided."""
    if options.grouping != "auto":
        return options.grouping
    return "layers" if max((len(way.falls) for way in ways), default=0) > MANY else "operations"


# --- the figure


@dataclass(frozen=True)
class Bar:
    """One bar.

    place     on the axis; low, high: its ends; part: whose it is
    members   the operations that it sums up
    """

    place: int
    low: float
    high: float
    part: Part
    members: tuple[int, ...]


def build(scene: Scene, options: WaterfallOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    ways = [way for lane in scene.lanes if (way := way_of(lane, scene.step)) is not None]
    if not ways:
        return nothing(NAME, title, scene)
    grouping = chosen(ways, options)
    drawn = [_drawn(way, grouping) for way in ways]
    low, high = _limits(drawn)
    most = max(len(slots) for slots, _bars, _level in drawn)
    by_parts = grouping == "parts"
    plots = []
    for number, (way, (slots, bars, level)) in enumerate(zip(ways, drawn, strict=True)):
        last = number == len(ways) - 1
        label = _("part") if by_parts else _("layer (data → loss); the gradient comes from the right")
        plots.append(
            Plot(
                x=Axis(
                    label if last or not by_parts else _("part"),
                    limits=(0.4, most + 0.6),
                    ticks=tuple((i + 1.0, slot.text) for i, slot in enumerate(slots) if slot.text),
                ),
                y=Axis(_("log₁₀ of the gradient’s rms, output = 0"), limits=(low, high)),
                marks=tuple(_marks(way, slots, bars, level, low, grouping)),
                title=f"{lane_title(way.lane, scene)}: {_sum(way)}" if len(ways) > 1 else "",
            )
        )
    step = step_text(scene)
    return Figure(
        NAME,
        title,
        f"{_sum(ways[0])} · {step}" if len(ways) == 1 else _("gains on the way back · {step}").format(step=step),
        tuple(plots),
        table=Table(lambda: _table(ways)),
        stamp=stamp(NAME, scene),
    )


def _sum(way: Way) -> str:
    """Who does how much, those that do most first: "−8.1: slope of the function −7.2, weights −0.9"."""
    parts = sorted(way.falls.by_group().items(), key=lambda part: -abs(part[1]))
    said = ", ".join(f"{_(PARTS[part][1])} {signed(gain)}" for part, gain in parts if abs(gain) >= SMALL)
    total = way.falls.total
    if math.isfinite(total):
        return f"{signed(total)}: {said}" if said else signed(total)
    ends = _("exactly 0") if way.falls.killer >= 0 else ""
    return ", ".join(part for part in (said, ends) if part) or _("no finite number")


Drawn = tuple[list[Slot], list[Bar], Array]


def _drawn(way: Way, grouping: Grouping) -> Drawn:
    """The places, the bars and the level (places + 1,) between them: level[i] is left of place i, in data order."""
    if grouping == "parts":
        return _drawn_parts(way)
    found, slots = way.falls, _slots(way, grouping)
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
            parts.setdefault(found.steps[index].part, []).append(index)
        for part, members in parts.items():
            gain = sum(gains[index] for index in members)
            if found.killer in members:
                bars.append(Bar(place, -math.inf, down, part, tuple(members)))
            elif math.isfinite(gain):
                low, high = (up, up + gain) if gain > 0.0 else (down + gain, down)
                up, down = (high, down) if gain > 0.0 else (up, low)
                bars.append(Bar(place, low, high, part, tuple(members)))
    return slots, bars, between


def _drawn_parts(way: Way) -> Drawn:
    """One bar for the sum of each part, those that take most first, and one for all together."""
    found = way.falls
    slots, bars, level = [], [], 0.0
    between = [math.nan]
    for part, gain in sorted(found.by_group().items(), key=lambda pair: pair[1]):
        members = tuple(i for i, step in enumerate(found.steps) if step.part == part and math.isfinite(found.gains[i]))
        bars.append(Bar(len(slots), min(level, level + gain), max(level, level + gain), part, members))
        slots.append(Slot(_(PARTS[part][1]), members))
        level += gain
        between.append(level)
    slots.append(Slot(_("total"), tuple(range(len(found)))))
    return slots, bars, np.array([*between, math.nan])


def _limits(drawn: list[Drawn]) -> tuple[float, float]:
    """Whole decades around all bars, with room for what is written."""
    ends = [end for _slots, bars, _level in drawn for bar in bars for end in (bar.low, bar.high) if math.isfinite(end)]
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    return math.floor(min(low - 0.15, -1.0)), math.ceil(max(high + 0.15, 1.0))


def _marks(way: Way, slots: list[Slot], bars: list[Bar], level: Array, floor: float, grouping: Grouping) -> list[Mark]:
    marks: list[Mark] = [Rule(0.0, "muted", dash="dotted")]
    for part, (color, label) in PARTS.items():
        own = [bar for bar in bars if bar.part == part]
        if any(bar.high - bar.low > 0.0 for bar in own):
            x = np.array([bar.place + 1.0 for bar in own])
            # What falls to nothing falls out of the picture, where an arrow says so.
            low, high = np.array([max(bar.low, floor - 1.0) for bar in own]), np.array([bar.high for bar in own])
            none, says = np.full(len(own), np.nan), _says(way, slots, own, grouping)
            marks.append(Boxes(x, low, high, None, (low, high), none, color, _(label), WIDTH, says=says))
    x, y = _steps(level, grouping)
    marks.append(Line(x, y, "text", width=1.5, says=_nothing))
    return [*marks, *_notes(way, slots, level, floor, grouping)]


def _nothing(_index: int) -> tuple[str, ...]:
    return ()


def _steps(level: Array, grouping: Grouping) -> tuple[Array, Array]:
    """The level between the bars; where bars stand on each other it goes on across them, from one side to the other."""
    count = len(level) - 1
    edges = np.arange(count + 1) + 0.5
    if grouping != "layers":
        half = 0.5 * (1.0 - WIDTH)
        x = np.column_stack([edges - half, edges + half, np.full(count + 1, np.nan)])
        return x.ravel(), np.column_stack([level, level, np.full(count + 1, np.nan)]).ravel()
    x = np.column_stack([edges - 0.5, edges, edges + 0.5]).ravel()[1:-1]
    return x, np.repeat(level, 3)[1:-1]


def _notes(way: Way, slots: list[Slot], level: Array, floor: float, grouping: Grouping) -> list[Mark]:
    found, notes = way.falls, list[Mark]()
    middle = (len(slots) + 1) / 2
    if np.isneginf(found.levels).any():
        said = _("no gradient arrives from the loss: exactly 0")
        if found.killer >= 0:
            said = _("exactly 0 behind {operation}").format(operation=way.name(found.steps[found.killer]))
        notes.append(remark(middle, floor / 2, said))
    if np.isnan(found.levels).any():
        said = _("what arrives from the loss is not a finite number")
        if found.breaker >= 0:
            said = _("not a finite number behind {operation}").format(operation=way.name(found.steps[found.breaker]))
        notes.append(remark(middle, floor / 2, said))
    dead = [step for step in found.steps if way.knows and step.place == "block" and way.span(step)]
    if dead:
        texts = [_tick(way, step) for step in dead]
        said = _("nothing comes back through the inside of {layers}").format(
            layers=ranges_text(texts, np.ones(len(texts), dtype=bool)) if len(texts) > 1 else way.where(dead[0])
        )
        notes.append(remark(middle, floor / 2, said))
    if math.isfinite(found.total) and len(found) > 1:
        said = _("total {total} = {factor}").format(total=signed(found.total), factor=_factor(found.total))
        end = len(slots) if grouping == "parts" else 1.0
        notes.append(Note(end, found.total, said, "text", "left", free=True))
    clip = _clip(way)
    if clip is not None:
        before, behind = clip
        said = _("then clipping: weights’ gradients {factor} (norm {before} → {after})").format(
            factor=factor_text(behind / before), before=number_text(before, 3), after=number_text(behind, 3)
        )
        notes.append(Note(middle, 0.0, said, "muted", "center", free=True))
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


def _says(way: Way, slots: list[Slot], bars: list[Bar], grouping: Grouping) -> Callable[[int], tuple[str, ...]]:
    """What is read at a bar, put together when somebody points at it."""

    def says(index: int) -> tuple[str, ...]:
        bar, found = bars[index], way.falls
        steps = [found.steps[member] for member in bar.members]
        part = _(PARTS[bar.part][1])
        if found.killer in bar.members:
            return way.name(found.steps[found.killer]), _("{part}: ×0, the gradient becomes exactly 0").format(
                part=part
            )
        gain = sum(float(found.gains[member]) for member in bar.members)
        said = f"{part}: {_factor(gain)} ({signed(gain)})"
        if grouping == "parts":
            each = _("{count} operations, {factor} each").format(count=len(steps), factor=_factor(gain / len(steps)))
            return said, each
        slot = slots[bar.place].members
        before, behind = float(found.levels[slot[-1]]), float(found.levels[slot[0]] + found.gains[slot[0]])
        levels = _("level {before} → {after}").format(before=signed(before), after=signed(behind))
        if grouping == "operations":
            return way.name(steps[0]), said, levels
        names = ", ".join(way.name(step) for step in steps)
        whole = ()
        if len(slot) > len(bar.members) and math.isfinite(behind):
            whole = (
                _("all of it: {factor} ({gain})").format(factor=_factor(behind - before), gain=signed(behind - before)),
            )
        return names, said, *whole, levels

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
            "remains."
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
