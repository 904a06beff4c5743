"""Learning curves: does the network learn, and does it learn what also holds for samples that it has not seen?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..record import RecordView
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Band,
    Dash,
    Explanation,
    Figure,
    FigureKind,
    Lane,
    Line,
    Mark,
    Plot,
    Rule,
    Scene,
    Table,
)
from .history import Binned, binned
from .reading import (
    columns,
    cue_of,
    lane_prefix,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    percent_text,
    remark,
    stamp,
    step_text,
)
from .scales import number_text, round_step

Array = NDArray[np.float64]
NAME, TITLE = "learning-curves", N_("Learning curves")
MOST_POINTS = 1000  # bins of two numbers each
EPOCH_RULES = 6
EXPLODED = 20.0  # times the first loss of the lane that begins best, or guessing


class LearningCurveOptions(Described, frozen=True, kw_only=True):
    """What the learning curves show."""

    loss: Annotated[bool, about(N_("loss"), N_("Draw the loss."))] = True
    accuracy: Annotated[bool, about(N_("accuracy"), N_("Draw the share of right answers."))] = True
    learning_rate: Annotated[bool, about(N_("learning rate"), N_("Draw the learning rate."))] = False
    scale: Annotated[Literal["linear", "log"], about(N_("scale of the loss"), N_("log shows small losses better."))] = (
        "linear"
    )
    minibatches: Annotated[
        bool, about(N_("each minibatch"), N_("Draw single minibatches faintly behind their mean over an epoch."))
    ] = True
    epochs: Annotated[bool, about(N_("epochs"), N_("Mark where epochs begin."))] = True
    decisions: Annotated[
        bool,
        about(N_("decisions"), N_("Mark where the learning rate was lowered, the best step and the early stop.")),
    ] = True


@dataclass(frozen=True)
class _Curve:
    """One quantity measured on the training minibatches, in its unit."""

    x: Array
    bins: Binned
    smooth: Array | None  # mean over the last epoch; None where an epoch is too short to need one


def _curve(view: RecordView, quantity: str) -> _Curve:
    bins = binned(view, quantity, MOST_POINTS)
    x = bins.starts.astype(np.float64)
    if len(x) > 1 and not bins.whole:
        x = x + 0.5 * (np.append(bins.starts[1:], bins.end) - bins.starts - 1)  # a bin stands in its middle
    width = max(1, round(view.steps_per_epoch * len(x) / max(int(bins.end - bins.starts[0]), 1))) if len(x) else 1
    # Of one or two points a mean says no more than the points.
    smooth = trailing_mean(bins.mean, width) if width > 2 or not bins.whole else None
    return _Curve(x, bins, smooth)


def trailing_mean(values: Array, width: int) -> Array:
    """The mean of each value and those before it, `width` in all, fewer at the start; gaps where it is not finite.

    Values that are not finite do not count.
    """
    finite = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(finite)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(last - width, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums[last] - sums[first]) / (counts[last] - counts[first])
    return np.where(finite, mean, np.nan)


def build(scene: Scene, options: LearningCurveOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    lanes = [lane for lane in scene.lanes if len(lane.view)]
    if not lanes:
        return nothing(NAME, title, scene)
    first = min(int(lane.view.steps[0]) for lane in lanes)
    last = max(_last_step(lane) for lane in lanes)
    # A little room at both ends, so that the first and the last point are seen whole.
    room = max(0.012 * (last - first), 0.2)
    x = Axis(_("step"), limits=(first - room, max(last, first + 1) + room), whole=True)
    # Decisions come first: they fall on ends of epochs, and where there is room for one name it is theirs.
    moments: list[Mark] = _decisions(lanes, scene) if options.decisions else []
    moments += _epochs(lanes, first, last) if options.epochs else []
    if scene.step < last:
        moments.append(Rule(float(scene.step), "accent", across="x", dash="solid"))
    plots: list[Plot] = []
    if options.loss:
        marks = [*_guessing(lanes), *moments]
        for lane in lanes:
            marks += _training(lane, scene, "loss", 1.0, options)
        for lane in lanes:
            marks += _validation(lane, lane.view.validation_loss, lane.view.plain_validation_loss, 1.0)
        limits = _loss_limits(lanes) if options.scale == "linear" else None
        plots.append(Plot(x, Axis(_("loss (mean over samples)"), options.scale, limits), tuple(marks)))
    counts = [lane for lane in lanes if not lane.plan.outline.is_regression]  # values are not right or wrong
    if options.accuracy and counts:
        marks = list(moments)
        for lane in counts:
            marks += _training(lane, scene, "accuracy", 100.0, options, remarks=not options.loss)
        for lane in counts:
            marks += _validation(lane, lane.view.validation_accuracy, lane.view.plain_validation_accuracy, 100.0)
        plots.append(Plot(x, Axis(_("accuracy (%)"), limits=(-2.0, 102.0)), tuple(marks)))
    if options.learning_rate:
        marks = list(moments)
        for lane in lanes:
            bins = binned(lane.view, "learning_rate", MOST_POINTS)
            look = cue_of(lane)
            marks.append(
                Line(bins.starts.astype(np.float64), bins.first, look.color, lane_title(lane, scene), look.dash)
            )
        plots.append(Plot(x, Axis(_("learning rate"), "log"), tuple(marks)))
    if not plots:
        if options.accuracy:
            return nothing(NAME, title, scene, _("Values are predicted, no classes: there is no accuracy to draw."))
        return nothing(NAME, title, scene, _("Nothing is chosen: switch on loss, accuracy or learning rate."))
    # Epochs are named once, over the topmost plot.
    plots[1:] = [_unnamed(plot) for plot in plots[1:]]
    return Figure(
        NAME,
        title,
        step_text(scene),
        tuple(plots),
        table=Table(lambda: _table(lanes)),
        stamp=stamp(NAME, scene),
        heights=tuple(1.3 if i == 0 and options.loss else 1.0 for i in range(len(plots))),
    )


def _loss_limits(lanes: list[Lane]) -> tuple[float, float] | None:
    """What to show of a loss that explodes: what it was before, and the way up. None for all others."""
    begins, greatest = [], []
    for lane in lanes:
        bins = binned(lane.view, "loss", MOST_POINTS)
        finite = bins.most[np.isfinite(bins.most)]
        if finite.size:
            begins.append(float(finite[0]))
            greatest.append(float(finite.max()))
    chances = [lane.chance for lane in lanes if math.isfinite(lane.chance)]
    # The lane that begins best, so that one that explodes at once does not hide the others.
    usual = max([min(begins), *chances]) if begins else 0.0
    if not begins or max(greatest) < EXPLODED * usual:
        return None
    return -0.05 * usual, 3.0 * usual


def _last_step(lane: Lane) -> int:
    """The last step that something is known of."""
    view = lane.view
    ends = [int(view.steps[-1])]
    if len(view.validation_steps):
        ends.append(int(view.validation_steps[-1]))
    return max(ends)


def _unnamed(plot: Plot) -> Plot:
    marks = tuple(
        Rule(m.at, m.color, "", m.across, m.dash) if isinstance(m, Rule) and m.across == "x" else m for m in plot.marks
    )
    return Plot(plot.x, plot.y, marks, plot.title, plot.right)


def _epochs(lanes: list[Lane], first: int, last: int) -> list[Mark]:
    """Upright rules where epochs begin, thinned to a few."""
    per_epoch = lanes[0].view.steps_per_epoch
    if per_epoch < 1 or any(lane.view.steps_per_epoch != per_epoch for lane in lanes):
        return []
    every = max(1, math.ceil(round_step((last - first) / per_epoch, EPOCH_RULES)))
    rules: list[Mark] = []
    for epoch in range(first // per_epoch // every * every, last // per_epoch + 1, every):
        if epoch * per_epoch > first:
            text = number_text(epoch, 12)
            name = text if rules else _("epoch {number}").format(number=text)
            rules.append(Rule(float(epoch * per_epoch), "grid", name, across="x", dash="solid"))
    return rules


def _guessing(lanes: list[Lane]) -> list[Mark]:
    """The loss of a network that gives every class the same answer, where the lanes agree on it."""
    chances = {round(lane.chance, 9) for lane in lanes if math.isfinite(lane.chance)}
    if len(chances) != 1:
        return []
    chance, classes = chances.pop(), lanes[0].plan.targets
    text = _("guessing: {loss}").format(loss=number_text(chance, 4))
    if classes > 1 and abs(chance - math.log(classes)) < 1e-6:
        text = _("guessing: ln {classes} = {loss}").format(classes=classes, loss=number_text(chance, 4))
    return [Rule(chance, "muted", text, dash="dotted")]


def _training(
    lane: Lane, scene: Scene, quantity: str, factor: float, options: LearningCurveOptions, remarks: bool = True
) -> list[Mark]:
    look, curve = cue_of(lane), _curve(lane.view, quantity)
    bins, label = curve.bins, lane_title(lane, scene)
    marks: list[Mark] = []
    if curve.smooth is None or len(curve.x) < 3:
        marker = look.marker if len(curve.x) < 3 else ""
        marks.append(Line(curve.x, bins.first * factor, look.color, label, look.dash, marker))
    else:
        if options.minibatches and bins.whole:
            marks.append(Line(curve.x, bins.first * factor, look.color, _("each minibatch"), width=1.0, faint=True))
        elif options.minibatches:
            marks.append(
                Band(curve.x, bins.least * factor, bins.most * factor, look.color, _("range of the minibatches"))
            )
        marks.append(Line(curve.x, curve.smooth * factor, look.color, label, look.dash))
    strange = ~(np.isfinite(bins.least) & np.isfinite(bins.most))
    if remarks and np.any(strange):
        at = int(np.argmax(strange))
        step = number_text(float(bins.starts[at]), 12)
        if strange[at:].all():
            text = _("not a finite number from step {step} on").format(step=step)
        else:
            text = _("not a finite number at step {step}").format(step=step)
        level = bins.first[:at][np.isfinite(bins.first[:at])]
        marks.append(
            remark(
                float(curve.x[at]), float(level[-1]) * factor if level.size else 1.0, lane_prefix(lane, scene) + text
            )
        )
    return marks


def _validation(lane: Lane, values: Array, plain: Array, factor: float) -> list[Mark]:
    view, look = lane.view, cue_of(lane)
    if len(view.validation_steps) == 0:
        return []
    x = view.validation_steps.astype(np.float64)
    marks: list[Mark] = []
    label = _("validation")
    if averaged(view):
        label = _("validation, averaged")
        marks.append(
            Line(x, plain * factor, look.color, _("validation, not averaged"), "dotted", look.marker, 1.2, faint=True)
        )
    marks.append(Line(x, values * factor, look.color, label, marker=look.marker, width=1.2))
    return marks


def averaged(view: RecordView) -> bool:
    """Whether averaged weights or answers were evaluated, and differ from the present network's."""
    if len(view.plain_validation_loss) != len(view.validation_loss):
        return False
    return not np.array_equal(view.plain_validation_loss, view.validation_loss, equal_nan=True)


def _decisions(lanes: list[Lane], scene: Scene) -> list[Mark]:
    """Upright rules where a schedule lowered the rate, at the best step and where early stopping ended the training."""
    looks: dict[str, tuple[str, str, Dash]] = {
        "rate": ("muted", _("η lowered"), "dotted"),
        "best": ("good", _("best"), "dashed"),
        "stopped": ("alarm", _("stopped"), "dashed"),
    }
    rules: list[Mark] = []
    for lane in lanes:
        named: set[str] = set()
        for step, mark in lane.view.marks:
            if mark in looks:
                color, text, dash = looks[mark]
                name = lane_prefix(lane, scene) + text if mark not in named else ""
                rules.append(Rule(float(step), color, name, across="x", dash=dash))
                named.add(mark)
    return rules


def _table(lanes: list[Lane]) -> dict[str, NDArray[np.generic]]:
    rows: list[dict[str, Any]] = []
    for lane in lanes:
        view = lane.view
        loss, accuracy = _curve(view, "loss"), _curve(view, "accuracy")
        rate = binned(view, "learning_rate", MOST_POINTS)
        steps, seen = loss.bins.starts, view.validation_steps
        blank, none = np.full(len(seen), np.nan), np.full(len(steps), np.nan)

        def both(training: Array, validation: Array) -> Array:
            return np.concatenate([training, validation])

        rows.append(
            {
                "lane": lane.name,
                "step": np.concatenate([steps, seen]),
                "measured on": ["training minibatch"] * len(steps) + ["validation"] * len(seen),
                "loss": both(loss.bins.first, view.validation_loss),
                "loss least until the next step": both(loss.bins.least, blank),
                "loss greatest until the next step": both(loss.bins.most, blank),
                "loss mean over the last epoch": both(none if loss.smooth is None else loss.smooth, blank),
                "accuracy": both(accuracy.bins.first, view.validation_accuracy),
                "accuracy mean over the last epoch": both(none if accuracy.smooth is None else accuracy.smooth, blank),
                "learning_rate": both(rate.first, blank),
            }
        )
    return columns(rows)


def explain(scene: Scene, options: LearningCurveOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "Loss and accuracy after every step: single minibatches faintly, their mean over the last epoch as a line, "
            "and the samples kept aside for validation as points."
        ),
        why=_(
            "The training curve says whether the network learns at all; the distance to the validation curve says "
            "whether it learns the samples by heart."
        ),
        good=_("Both losses fall well below guessing and stay close together."),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    view, moment = lane.view, moment_at(lane.view, scene.step)
    if moment is None:
        return _("Nothing is recorded yet.")
    curve = _curve(view, "loss")
    row = max(0, int(np.searchsorted(curve.bins.starts, moment.step, side="right")) - 1)
    loss = float((curve.smooth if curve.smooth is not None else curve.bins.first)[row])
    if not math.isfinite(loss):
        return _("The loss is not a finite number: the training has broken down.")
    said = [_("Training loss {loss} over the last epoch").format(loss=number_text(loss, 3))]
    seen = np.flatnonzero(view.validation_steps <= scene.step)
    if seen.size:
        at = seen[-1]
        if lane.plan.outline.is_regression:
            validation = _(", validation loss {loss}")
        else:
            validation = _(", validation loss {loss} with {accuracy} right")
        said[0] += validation.format(
            loss=number_text(float(view.validation_loss[at]), 3),
            accuracy=percent_text(float(view.validation_accuracy[at])),
        )
    if seen.size and averaged(view):
        if lane.plan.outline.is_regression:
            alone = _(" (averaged; the present network alone {loss})")
        else:
            alone = _(" (averaged; the present network alone {loss} with {accuracy})")
        said[0] += alone.format(
            loss=number_text(float(view.plain_validation_loss[seen[-1]]), 3),
            accuracy=percent_text(float(view.plain_validation_accuracy[seen[-1]])),
        )
    said[0] += "."
    for step, mark in view.marks:
        if mark == "stopped":
            said.append(_("Early stopping ended the training at step {step}.").format(step=number_text(step, 9)))
        elif mark == "best":
            said.append(_("Validation was best at step {step}.").format(step=number_text(step, 9)))
    if math.isfinite(lane.chance):
        if loss > 0.97 * lane.chance:
            said.append(_("That is no better than guessing ({chance}).").format(chance=number_text(lane.chance, 3)))
        elif seen.size and view.validation_loss[seen[-1]] > 1.5 * max(loss, 0.02):
            said.append(_("Unseen samples fare worse: it begins to learn the samples by heart."))
        else:
            said.append(_("It learns: guessing would give {chance}.").format(chance=number_text(lane.chance, 3)))
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, LearningCurveOptions))
