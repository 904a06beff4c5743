"""Schedule: the learning rate over the whole training as it is planned, before a single step is taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..schedules.base import Clock
from ..text import N_, _, ngettext
from .figure import FIGURES, Axis, Explanation, Figure, FigureKind, Lane, Line, Mark, Plot, Rule, Scene, Table
from .history import binned
from .reading import columns, cue_of, lane_title, moment_at, nothing, per_lane, range_test, stamp, step_text
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "schedule", N_("Learning-rate schedule")
RATE = "training.optimizer.learning_rate"
MOST_POINTS = 1000
EPOCH_RULES = 6


class ScheduleOptions(Described, frozen=True, kw_only=True):
    """What the figure of the schedule shows."""

    scale: Annotated[
        Literal["auto", "linear", "log"],
        about(N_("scale of the rate"), N_("auto: log for a range test, linear for all others.")),
    ] = "auto"
    recorded: Annotated[bool, about(N_("so far"), N_("Draw the rates of the steps taken over the plan."))] = True


@dataclass(frozen=True)
class Planned:
    """The planned rates of one lane at some of its steps, ends and turns among them.

    last   the last planned step
    """

    steps: NDArray[np.int64]
    rates: Array
    last: int
    clock: Clock


def planned(lane: Lane) -> Planned | None:
    """What a lane's schedule plans, with the learning rate as it is now and the drops so far; None when unknown."""
    if lane.training is None:
        return None
    view, training = lane.view, lane.training
    drops = tuple(step for step, mark in view.marks if mark == "rate")
    clock = Clock(view.steps_per_epoch, training.epochs * view.steps_per_epoch, drops)
    last = max(clock.steps - 1, int(view.steps[-1]) if len(view) else 0, 0)
    steps = np.unique(np.linspace(0, last, MOST_POINTS).astype(np.int64))
    if len(steps) < last + 1:
        # Where the rate changes at once, both sides of the jump are drawn.
        epochs = np.arange(0, last + 1, view.steps_per_epoch)
        jumps = epochs[:: max(1, len(epochs) // MOST_POINTS)]
        beside = np.concatenate([jumps, jumps - 1, np.array(drops, dtype=np.int64), np.array(drops) - 1])
        steps = np.unique(np.clip(np.concatenate([steps, beside.astype(np.int64)]), 0, last))
    changed = [value for _step, path, value in view.events if path == RATE]
    base = changed[-1] if changed else training.optimizer.learning_rate
    return Planned(steps, training.schedule.rates(steps, base, clock), last, clock)


def build(scene: Scene, options: ScheduleOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [(lane, plan) for lane in scene.lanes if (plan := planned(lane)) is not None]
    if not found:
        return nothing(NAME, title, scene)
    last = max(plan.last for _lane, plan in found)
    room = max(0.012 * last, 0.2)
    moments: list[Mark] = [*_epochs(found, last)]
    if 0 < scene.step < last:
        moments.append(Rule(float(scene.step), "accent", _("now"), across="x", dash="solid"))
    ghosts: list[Mark] = []
    curves: list[Mark] = []
    for lane, plan in found:
        look, x = cue_of(lane), plan.steps.astype(np.float64)
        label = lane_title(lane, scene) if lane.label or len(scene.lanes) > 1 else ""
        done = binned(lane.view, "learning_rate", MOST_POINTS) if options.recorded and len(lane.view) else None
        if done is None or len(done.starts) == 0:
            curves.append(Line(x, plan.rates, look.color, label or _("planned"), look.dash))
            continue
        ghosts.append(Line(x, plan.rates, look.color, _("planned"), look.dash, width=1.5, faint=True))
        marker = look.marker if len(done.starts) < 3 else ""
        so_far = done.starts.astype(np.float64)
        curves.append(Line(so_far, done.first, look.color, label or _("so far"), look.dash, marker))
        lowered = [step for step, mark in lane.view.marks if mark == "rate"]
        if lowered and len(scene.lanes) == 1:
            moments += [
                Rule(float(step), "muted", _("lowered") if step == lowered[0] else "", across="x", dash="dotted")
                for step in lowered
            ]
    plot = Plot(
        x=Axis(_("step"), limits=(-room, max(last, 1) + room), whole=True),
        y=_axis(found, options),
        marks=(*moments, *ghosts, *curves),
    )
    return Figure(
        NAME,
        title,
        _length_text(found, scene),
        (plot,),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
    )


def _axis(found: list[tuple[Lane, Planned]], options: ScheduleOptions) -> Axis:
    rates = np.concatenate([plan.rates for _lane, plan in found])
    scale = options.scale
    if scale == "auto":
        tests = any(lane.training is not None and range_test(lane) is not None for lane, _plan in found)
        scale = "log" if tests else "linear"
    top = float(rates.max())
    if scale == "linear":
        return Axis(_("learning rate η"), limits=(-0.04 * top, 1.08 * top) if top > 0 else (-0.1, 1.0))
    positive = rates[rates > 0]
    if not positive.size:
        return Axis(_("learning rate η"), "log", limits=(0.1, 1.0))
    return Axis(_("learning rate η"), "log", limits=(float(positive.min()) / 1.6, float(positive.max()) * 1.6))


def _epochs(found: list[tuple[Lane, Planned]], last: int) -> list[Mark]:
    per_epoch = {plan.clock.steps_per_epoch for _lane, plan in found}
    if len(per_epoch) != 1:
        return []
    length = per_epoch.pop()
    count = last // length
    if length < 2 or count < 1:
        return []
    every = max(1, -(-count // EPOCH_RULES))
    every = next(n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**3, 10**4, 10**5, 10**6, 10**9) if n >= every)
    rules: list[Mark] = []
    for epoch in range(every, count + 1, every):
        text = number_text(epoch, 12)
        name = text if rules else _("epoch {number}").format(number=text)
        rules.append(Rule(float(epoch * length), "grid", name, across="x", dash="solid"))
    return rules


def _length_text(found: list[tuple[Lane, Planned]], scene: Scene) -> str:
    lengths = {(plan.clock.steps, plan.clock.steps_per_epoch) for _lane, plan in found}
    if len(lengths) > 1:
        return step_text(scene)
    steps, per_epoch = lengths.pop()
    return _("{epochs}, {steps} · {now}").format(
        epochs=ngettext("{count} epoch", "{count} epochs", steps // per_epoch).format(count=f"{steps // per_epoch:,}"),
        steps=ngettext("{count} step", "{count} steps", steps).format(count=f"{steps:,}"),
        now=step_text(scene),
    )


def _table(found: list[tuple[Lane, Planned]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [{"lane": lane.name, "step": plan.steps, "planned learning rate": plan.rates} for lane, plan in found]
    )


def explain(scene: Scene, options: ScheduleOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_("The learning rate of every step of the training, those to come included: a schedule is a plan."),
        why=_(
            "Large steps make way quickly but cannot settle; small ones settle but take forever. So most schedules "
            "begin carefully, go far in the middle and end with small steps."
        ),
        good=_(
            "The rate is largest while the loss still falls fast, and has become small by the end. A rate that is tiny "
            "long before the end wastes the rest of the training."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    plan = planned(lane)
    if plan is None or lane.training is None:
        return _("Nothing is planned yet.")
    at = int(np.searchsorted(plan.steps, min(max(scene.step, 0), plan.last), side="right")) - 1
    first, last, top = float(plan.rates[0]), float(plan.rates[-1]), int(np.argmax(plan.rates))
    moment = moment_at(lane.view, scene.step)
    recorded = float(moment.line[lane.view.run_columns.index("learning_rate")]) if moment is not None else math.nan
    rate = recorded if math.isfinite(recorded) else float(plan.rates[at])
    now = _("{kind}: the rate is {now} at step {step}.").format(
        kind=_(lane.training.schedule.label), now=number_text(rate, 3), step=number_text(scene.step, 9)
    )
    if float(plan.rates.min()) == float(plan.rates.max()):
        return now + " " + _("It stays as it is.")
    said = [now, _("It goes from {first} to {last}.").format(first=number_text(first, 3), last=number_text(last, 3))]
    if first < float(plan.rates[top]) and last < float(plan.rates[top]):
        said.append(
            _("It is largest, {rate}, at step {step}.").format(
                rate=number_text(float(plan.rates[top]), 3), step=number_text(float(plan.steps[top]), 9)
            )
        )
    if lane.training.schedule.watches:
        count = len(plan.clock.drops)
        said.append(
            ngettext(
                "It has been lowered {count} time because validation stalled.",
                "It has been lowered {count} times because validation stalled.",
                count,
            ).format(count=count)
        )
    small = plan.steps[plan.rates < 1e-3 * plan.rates.max()]
    if small.size and math.isfinite(last) and last <= 1e-3 * float(plan.rates.max()):
        share = (
            1.0 - float(small[small > plan.steps[top]].min()) / max(plan.last, 1)
            if (small > plan.steps[top]).any()
            else 0.0
        )
        if share > 0.25:
            said.append(_("It is below a thousandth of its peak for the last quarter or more."))
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, ScheduleOptions))
