"""What all figures read from a lane: one moment, the layers as a person counts them, its color and dash.

Figures are built up to thirty times a second, so what depends on the network only is computed once (`places`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.doctor import Examination, examine
from ..diagnostics.rules.base import Case, Rule, all_rules
from ..fields import about
from ..layers.activation import ActivationLayer
from ..network import Plan
from ..record import Detail, RecordView
from ..same import Same
from ..schedules.base import Schedule
from ..schedules.range_test import RangeTest
from ..schedules.warmup import Warmup
from ..text import N_, _, translations
from ..theory.mean_field import LayerPrediction
from .figure import Figure, Lane, Note, Scene
from .palette import Cue, cue, lane_index
from .scales import MINUS, number_text

Array = NDArray[np.float64]
Layers = Literal["main", "all"]

LayersOption = Annotated[
    Layers,
    about(
        N_("layers"),
        N_(
            "main: one position for every layer with weights, measured behind its activation function; all: every "
            "layer."
        ),
    ),
]


# --- one moment


@dataclass(frozen=True)
class Moment:
    """The numbers of one step of one lane.

    step    the step that they are from: the one asked for, or the recorded one that stands for it
    line    (columns,) as in a record
    detail  the percentiles of exactly this step, where they were measured
    """

    view: RecordView
    step: int
    line: Array
    detail: Detail | None

    def layers(self, quantity: str) -> Array:
        """(layers,) of a quantity that is measured in every layer."""
        return self.line[layer_columns(self.view, quantity)]


def layer_columns(view: RecordView, quantity: str) -> slice:
    columns = view.column(quantity)
    assert isinstance(columns, slice)
    return columns


def moment_at(view: RecordView, step: int) -> Moment | None:
    """What is known of a step, or of the last one before it; None when the record is empty."""
    kept = view.kept_steps
    if (
        view.line is not None
        and view.moment is not None
        and (step >= view.moment if view.coming else step == view.moment)
    ):
        return Moment(view, view.moment, view.line, view.detail(view.moment))
    if len(kept) == 0:
        return None
    row = max(0, int(np.searchsorted(kept, step, side="right")) - 1)
    return Moment(view, int(kept[row]), view.block[row], view.detail(int(kept[row])))


def first_moment(view: RecordView) -> Moment | None:
    """The numbers before the first update; None when the record does not begin there."""
    if len(view.kept_steps):
        return moment_at(view, 0) if view.kept_steps[0] == 0 else None
    return moment_at(view, 0) if view.moment == 0 else None


# --- the doctor


def case_of(lane: Lane, step: int) -> Case | None:
    """What the doctor looks at in a lane; None where the experiment is not known."""
    if lane.setup is None:
        return None
    return Case(lane.view, lane.plan, lane.setup, step, lane.inputs, lane.predictions, lane.chance)


def rules_of(scene: Scene) -> tuple[Rule, ...]:
    """The doctor's rules with the thresholds that count in this scene."""
    return scene.rules if scene.rules is not None else all_rules()


def examined(lane: Lane, scene: Scene) -> Examination | None:
    """What the doctor says of a lane with the rules of the scene: what was found already, while playing a few steps
    ago, or else found now. None where nothing is recorded, or the experiment is not known.
    """
    rules, known = rules_of(scene), lane.examination
    if known is not None and known.rules == rules:
        return known
    case = case_of(lane, scene.step)
    if case is None or moment_at(lane.view, scene.step) is None:
        return None
    return examine(case, rules)


def thresholds(scene: Scene, quantity: str) -> tuple[tuple[float, str], ...]:
    """(value, what is beyond it): the doctor's thresholds on a quantity, for a chart of it."""
    return tuple(line for rule in rules_of(scene) if rule.active for line in rule.lines(quantity))


def slope_thresholds(scene: Scene, quantity: str, layers: int) -> tuple[tuple[float, str], ...]:
    """(factor per layer in data order, what is beyond it): the doctor's thresholds on a slope over so many layers."""
    return tuple(slope for rule in rules_of(scene) if rule.active for slope in rule.slopes(quantity, layers))


# --- layers


@dataclass(frozen=True)
class Place:
    """One position on the axis of layers.

    index     the layer whose output is shown, in the order of the record
    weighted  the layer whose weights belong here; -1 where there is none
    text      what stands at the axis: "1", "2", ..., "out"
    title     what the layer is: "Sigmoid"
    """

    index: int
    weighted: int
    text: str
    title: str


def places(lane: Lane, layers: Layers) -> tuple[Place, ...]:
    """The positions of a lane's layers from data to loss; position i is drawn at x = i + 1.

    "main" has one for every layer with weights, so that networks with other functions or norms in between compare; it
    shows the output of the last activation function that follows, for that is what the next weights see.
    """
    return _places(lane.view.layers, lane.view.kinds, Same(lane.plan), layers, Same(translations()))


@lru_cache(maxsize=64)
def _places(
    paths: tuple[str, ...], kinds: tuple[str, ...], plan: Same[Plan], layers: Layers, _language: Same[Any]
) -> tuple[Place, ...]:
    cards = {card.path: card for card in plan.thing.cards}

    def weights(index: int) -> bool:
        card = cards.get(paths[index])
        return any(p.weight for p in card.parameters) if card is not None else kinds[index] in ("dense", "conv2d")

    def title(index: int) -> str:
        card = cards.get(paths[index])
        return card.layer.title() if card is not None else kinds[index]

    if layers == "all":
        return tuple(Place(i, i if weights(i) else -1, str(i + 1), title(i)) for i in range(len(paths)))
    groups: list[list[int]] = []
    for index in range(len(paths)):
        if weights(index):
            groups.append([index])
        elif groups:
            groups[-1].append(index)
    found = []
    for number, group in enumerate(groups):
        functions = [i for i in group if isinstance(getattr(cards.get(paths[i]), "layer", None), ActivationLayer)]
        functions = functions or [i for i in group if kinds[i] == "activation"]
        shown = functions[-1] if functions else group[-1]
        last = number == len(groups) - 1
        found.append(Place(shown, group[0], _("out") if last else str(number + 1), title(shown)))
    return tuple(found) if found else _places(paths, kinds, plan, "all", _language)


def layer_ticks(lanes: Iterable[tuple[Place, ...]]) -> tuple[tuple[float, str], ...]:
    """Names at the axis of layers: of the deepest lane; "out" only where all lanes end at the same place."""
    all_places = [p for p in lanes if p]
    if not all_places:
        return ()
    deepest = max(all_places, key=len)
    same = all(len(p) == len(deepest) for p in all_places)
    return tuple(
        (i + 1.0, place.text if same or place.text.isdigit() else str(i + 1)) for i, place in enumerate(deepest)
    )


def at_places(values: Array, shown: Sequence[Place], weighted: bool = False) -> Array:
    """(places,) out of (layers,); NaN where a place has no weights."""
    indices = [p.weighted if weighted else p.index for p in shown]
    found = np.asarray(values, dtype=np.float64)[indices]
    if weighted:
        found[np.array(indices, dtype=int) < 0] = np.nan
    return found


def predicted(lane: Lane, quantity: str, shown: Sequence[Place]) -> Array:
    """(places,) of what theory expects; NaN where it says nothing."""
    by_path = {p.path: p for p in lane.predictions}
    paths = lane.view.layers
    return np.array(
        [getattr(by_path[paths[p.index]], quantity) if paths[p.index] in by_path else math.nan for p in shown]
    )


def band_of(
    lane: Lane, shown: Sequence[Place], band: Callable[[LayerPrediction], tuple[float, float]]
) -> tuple[Array, Array]:
    """(low, high), each (places,), of a band of theory; NaN where it says nothing."""
    by_path = {p.path: p for p in lane.predictions}
    paths = lane.view.layers
    ends = [band(by_path[paths[p.index]]) if paths[p.index] in by_path else (math.nan, math.nan) for p in shown]
    low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
    return low, high


def silent(lane: Lane, shown: Sequence[Place], line: Array) -> tuple[str, str]:
    """(layers about which theory says nothing though it was asked, in short; why), both empty where there are none.

    line   (places,) what theory says, NaN where it does not
    """
    missing = np.isnan(line)
    if not lane.predictions or not missing.any():
        return "", ""
    by_path = {p.path: p for p in lane.predictions}
    paths = [lane.view.layers[place.index] for place in shown]
    # The gradient goes the other way: what stops theory on its way back may be any layer further on.
    reasons = [by_path[path].why for path in paths if path in by_path] + [p.why for p in lane.predictions]
    why = next((reason for reason in reasons if reason), "")
    return ranges_text([place.text for place in shown], missing), why


def silence_note(lane: Lane, scene: Scene, layers: str) -> Note:
    """The remark about it in a plot."""
    text = lane_prefix(lane, scene) + _("no theory for layer {layers}").format(layers=layers)
    return Note(1.0, 0.0, text, "muted", free=True)


def silence_sentence(layers: str, why: str) -> str:
    """The same as a sentence of an explanation."""
    if not why:
        return _("Theory says nothing about layer {layers}.").format(layers=layers)
    return _("Theory says nothing about layer {layers}: {why}.").format(layers=layers, why=why)


def within(values: Array, low: Array, high: Array) -> tuple[int, int]:
    """(how many of the values lie between low and high, of how many that can be compared)."""
    fine = np.isfinite(values) & np.isfinite(low) & np.isfinite(high)
    # a rounding error is no departure where theory knows the number exactly
    room = 1e-6 * np.abs(values[fine])
    inside = (values[fine] >= low[fine] - room) & (values[fine] <= high[fine] + room)
    return int(np.count_nonzero(inside)), int(np.count_nonzero(fine))


def range_test(lane: Lane) -> tuple[RangeTest, int] | None:
    """The lane's learning-rate range test and the step at which it begins; None when its schedule is another."""
    if lane.training is None:
        return None
    schedule: Schedule = lane.training.schedule
    first = 0
    while isinstance(schedule, Warmup):
        first += schedule.steps
        schedule = schedule.then
    return (schedule, first) if isinstance(schedule, RangeTest) else None


# --- words and looks


def cue_of(lane: Lane) -> Cue:
    return cue(lane_index(lane.name))


def lane_title(lane: Lane, scene: Scene) -> str:
    """What a lane is called in a legend: "A as built"; a single lane needs no letter."""
    if len(scene.lanes) == 1:
        return lane.label or _("measured")
    return f"{lane.name} {lane.label}".strip()


def lane_prefix(lane: Lane, scene: Scene) -> str:
    """ "A: " before a sentence about one of several lanes."""
    return f"{lane.name}: " if len(scene.lanes) > 1 else ""


def per_lane(scene: Scene, sentence: Callable[[Lane], str]) -> str:
    """One sentence about every lane, for "what yours says"."""
    said = [f"{lane_prefix(lane, scene)}{sentence(lane)}" for lane in scene.lanes]
    return "\n".join(said) if said else _("There is no lane yet.")


def step_text(scene: Scene) -> str:
    """ "step 412", with the recorded step where that one was thinned out."""
    steps = {m.step for m in (moment_at(lane.view, scene.step) for lane in scene.lanes) if m is not None}
    if len(steps) == 1:
        return _("step {step}").format(step=number_text(steps.pop(), 9))
    return _("step {step}").format(step=number_text(scene.step, 9))


def is_present(step: int, scene: Scene) -> bool:
    """Whether weights after so many updates are those of the moment shown: those that its step begins with, or, where
    the last recorded step is shown, those that it left behind.
    """
    return step in (scene.step, scene.step + 1)


def ranges_text(texts: Sequence[str], chosen: NDArray[np.bool_]) -> str:
    """The chosen ones of some names in a row, in short: "1–3, 5, out"."""
    parts: list[str] = []
    index = 0
    while index < len(texts):
        if not chosen[index]:
            index += 1
            continue
        last = index
        while last + 1 < len(texts) and chosen[last + 1]:
            last += 1
        parts.append(texts[index] if last == index else f"{texts[index]}–{texts[last]}")
        index = last + 1
    return ", ".join(parts)


def layer_name(place: Place) -> str:
    """ "layer 3", "the output" within a sentence."""
    if place.text.isdigit():
        return _("layer {number}").format(number=place.text)
    return _("the output")


def factor_text(value: float, digits: int = 2) -> str:
    return "×" + number_text(value, digits)


def percent_text(share: float) -> str:
    """A share as "12 %"; "NaN" when it is not a number."""
    if not math.isfinite(share):
        return number_text(share)
    return f"{100.0 * share:.1f}".removesuffix(".0").replace("-", MINUS) + "\u00a0%"


def remark(x: float, y: float, text: str) -> Note:
    """A warning that stands in the plot where there is room."""
    return Note(x, y, text, color="alarm", free=True)


def stamp(name: str, scene: Scene) -> dict[str, str]:
    """What is written into the metadata of a file, so that the figure can be made again."""

    def each(value: Callable[[Lane], Any]) -> str:
        return "; ".join(f"{lane_prefix(lane, scene)}{value(lane)}" for lane in scene.lanes)

    return {
        "figure": name,
        "experiment": each(lambda lane: lane.experiment[0]),
        "seed": each(lambda lane: lane.experiment[1]),
        "hash": each(lambda lane: lane.experiment[2]),
        "lanes": each(lambda lane: lane.label),
        "step": str(scene.step),
    }


def nothing(name: str, title: str, scene: Scene, why: str = "") -> Figure:
    """A figure that says why there is nothing to see."""
    why = why or _("Nothing is computed yet.")
    return Figure(name, title, "", (), empty=why, stamp=stamp(name, scene))


def columns(parts: Sequence[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """The tables of all lanes below one another; a number that stands for all rows of a lane is repeated."""
    if not parts:
        return {}
    whole: dict[str, list[NDArray[Any]]] = {name: [] for name in parts[0]}
    for part in parts:
        rows = max((len(v) for v in part.values() if isinstance(v, np.ndarray | list | tuple)), default=0)
        for name, value in part.items():
            is_column = isinstance(value, np.ndarray | list | tuple)
            whole[name].append(np.asarray(value) if is_column else np.repeat(np.asarray(value), rows))
    return {name: np.concatenate(values) for name, values in whole.items()}
