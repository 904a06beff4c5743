"""Learning-rate range: the loss over the learning rate while the rate is raised until the training breaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..text import N_, _
from .figure import FIGURES, Axis, Explanation, Figure, FigureKind, Lane, Line, Mark, Plot, Rule, Scene, Table
from .reading import columns, cue_of, lane_prefix, lane_title, nothing, per_lane, range_test, remark, stamp, step_text
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "learning-rate-range", N_("Learning-rate range")
BROKEN = 4.0  # times its least value, from where on the smoothed loss counts as exploded (fastai's lr_find stops there)
LEAST_POINTS = 5  # of which something can be said
LEAST_FALL = 0.05  # of the loss at the beginning, below which it is noise


class LearningRateRangeOptions(Described, frozen=True, kw_only=True):
    """What the learning-rate range shows."""

    smoothing: Annotated[
        float,
        about(N_("smoothing"), N_("Share of the running mean of the loss kept at every step."), minimum=0.0, below=1.0),
    ] = 0.8
    minibatches: Annotated[bool, about(N_("each minibatch"), N_("Draw the loss of single minibatches faintly."))] = True


@dataclass(frozen=True)
class Reading:
    """What a range test says.

    rates, losses, smooth   (n,) at the steps of the test
    steepest                position of the steepest fall of the smoothed loss over log rate; None when it never falls
    broken                  position from which on it exceeds `BROKEN` times its least; None when it does not
    """

    rates: Array
    losses: Array
    smooth: Array
    steepest: int | None
    broken: int | None


def smoothed(losses: Array, keep: float) -> Array:
    """The running mean keep * mean + (1 - keep) * loss, corrected for its start at zero; NaN from the first one on."""
    found = np.empty(len(losses))
    mean = 0.0
    for index, loss in enumerate(losses):
        mean = keep * mean + (1.0 - keep) * float(loss)
        found[index] = mean / (1.0 - keep ** (index + 1)) if keep > 0.0 else mean
    return found


def reading(lane: Lane, step: int, keep: float) -> Reading | None:
    """What the lane's range test says at a step; None where it makes none or nothing is recorded."""
    test = range_test(lane)
    if test is None or not len(lane.view):
        return None
    schedule, first = test
    steps = lane.view.steps
    inside = (steps >= first) & (steps < first + schedule.steps) & (steps <= step)
    rates, losses = lane.view.values("learning_rate")[inside], lane.view.values("loss")[inside]
    known = np.isfinite(rates) & (rates > 0.0)
    rates, losses = rates[known], losses[known]
    if not len(rates):
        return None
    smooth = smoothed(losses, keep)
    finite = np.isfinite(smooth)
    end = int(np.argmin(finite)) if not finite.all() else len(smooth)
    broken = end if end < len(smooth) else None
    steepest = None
    if end > 0:
        least = np.minimum.accumulate(smooth[:end])
        beyond = np.flatnonzero(smooth[:end] > BROKEN * least)
        broken = int(beyond[0]) if beyond.size else broken
        steepest = _steepest(losses[: broken if broken is not None else end], smooth)
    return Reading(rates, losses, smooth, steepest, broken)


def _steepest(losses: Array, smooth: Array) -> int | None:
    """Where the losses before the explosion, over evenly spaced log rates, fall most steeply; None where they hardly
    fall at all.

    The running mean lags behind, so the slope is taken of means to both sides of each point.
    """
    reach = max(2, len(smooth) // 16)
    if len(losses) < 2 * reach + LEAST_POINTS:
        return None
    sums = np.concatenate([[0.0], np.cumsum(losses)])
    at = np.arange(reach, len(losses) - reach + 1)
    before, behind = (sums[at] - sums[at - reach]) / reach, (sums[at + reach] - sums[at]) / reach
    noise = float(np.std(np.diff(losses))) / math.sqrt(2.0 * reach)  # of a mean of `reach` minibatches
    if before[0] - behind.min() < max(LEAST_FALL * abs(before[0]), 4.0 * noise):
        return None
    return int(at[np.argmin(behind - before)])


def build(scene: Scene, options: LearningRateRangeOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [(lane, read) for lane in scene.lanes if (read := reading(lane, scene.step, options.smoothing)) is not None]
    if not found:
        tests = any(range_test(lane) is not None for lane in scene.lanes)
        known = any(lane.training is not None and len(lane.view) for lane in scene.lanes)
        why = _without() if known and not tests else ""
        return nothing(NAME, title, scene, why)
    marks: list[Mark] = []
    notes: list[Mark] = []
    for lane, read in found:
        look = cue_of(lane)
        marker = look.marker if len(read.rates) < 3 else ""
        if options.minibatches and len(read.rates) >= 3:
            marks.append(Line(read.rates, read.losses, look.color, _("each minibatch"), width=1.0, faint=True))
        marks.append(Line(read.rates, read.smooth, look.color, lane_title(lane, scene), look.dash, marker))
        if read.steepest is not None:
            rate = float(read.rates[read.steepest])
            text = _named(_("steepest: {rate}"), rate, scene)
            notes.append(Rule(rate, "good", lane_prefix(lane, scene) + text, across="x"))
        if read.broken is not None:
            rate = float(read.rates[read.broken])
            text = _named(_("broken: {rate}"), rate, scene)
            notes.append(Rule(rate, "alarm", lane_prefix(lane, scene) + text, across="x", dash="dotted"))
        if read.steepest is None and len(read.rates) > LEAST_POINTS:
            at = len(read.rates) // 2
            level = float(read.smooth[at]) if math.isfinite(read.smooth[at]) else 1.0
            notes.append(remark(float(read.rates[at]), level, lane_prefix(lane, scene) + _("the loss never falls")))
    rates = np.concatenate([read.rates for _lane, read in found])
    plot = Plot(
        x=Axis(_("learning rate η"), "log", limits=(float(rates.min()) / 1.5, float(rates.max()) * 1.5)),
        y=Axis(_("loss (mean over samples)"), limits=_limits(found)),
        marks=(*notes, *marks) if len(found) == 1 else (*marks, *notes),
    )
    return Figure(
        NAME,
        title,
        _("range test · {step}").format(step=step_text(scene)),
        (plot,),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
    )


def _named(text: str, rate: float, scene: Scene) -> str:
    """The name of a rate; with several lanes there is room for the number only."""
    return text.format(rate=number_text(rate)) if len(scene.lanes) == 1 else number_text(rate)


def _without() -> str:
    return _(
        'No lane makes a learning-rate range test. Choose the schedule "Range test" under training, train for as many '
        "steps as it takes, and read off the rate here."
    )


def _limits(found: list[tuple[Lane, Reading]]) -> tuple[float, float] | None:
    """From below the least loss to somewhat above where the test began; an explosion leaves at the top."""
    least, most = [], []
    for _lane, read in found:
        smooth = read.smooth[np.isfinite(read.smooth)]
        if smooth.size:
            least.append(float(min(smooth.min(), np.nanmin(read.losses))))
            most.append(float(smooth[0]))
    if not least:
        return None
    low, high = min(least), max(most)
    room = max(high - low, 0.05 * abs(high), 1e-6)
    top = high + 0.6 * room
    if not all(math.isfinite(value) for value in (low - 0.15 * room, top)):
        return None
    return low - 0.15 * room, top


def _table(found: list[tuple[Lane, Reading]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [
            {"lane": lane.name, "learning_rate": read.rates, "loss": read.losses, "smoothed loss": read.smooth}
            for lane, read in found
        ]
    )


def explain(scene: Scene, options: LearningRateRangeOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "The loss of every minibatch while the learning rate grows by the same factor at each step, faintly; its "
            "running mean as a line."
        ),
        why=_(
            "One short training shows which learning rates do nothing, which work and which break it: cheaper than one "
            "training for each."
        ),
        good=_(
            "A flat beginning, a clear fall, then an explosion. A good learning rate is where the loss falls most "
            "steeply, or three to ten times below where it breaks. Restart with it: these weights are spoiled."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: LearningRateRangeOptions) -> str:
    test = range_test(lane)
    if test is None:
        return _('This lane makes no range test: choose the schedule "Range test" to see one.')
    read = reading(lane, scene.step, options.smoothing)
    if read is None:
        return _("The test has not begun: take {steps} steps.").format(steps=number_text(test[0].steps, 9))
    said = []
    if len(read.rates) < test[0].steps and read.broken is None:
        said.append(
            _("{done} of {steps} steps are taken.").format(
                done=number_text(len(read.rates), 9), steps=number_text(test[0].steps, 9)
            )
        )
    if read.steepest is not None:
        said.append(
            _("The loss falls most steeply at a learning rate of {rate}.").format(
                rate=number_text(float(read.rates[read.steepest]))
            )
        )
    elif len(read.rates) > LEAST_POINTS:
        said.append(_("The loss never falls: this network does not learn at any of these rates."))
    if read.broken is not None:
        rate = float(read.rates[read.broken])
        if np.isfinite(read.smooth[read.broken]):
            said.append(_("From {rate} on it is more than four times its least.").format(rate=number_text(rate)))
        else:
            said.append(_("From {rate} on it is not a finite number.").format(rate=number_text(rate)))
    return " ".join(said) or _("Too few steps to say anything.")


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, LearningRateRangeOptions))
