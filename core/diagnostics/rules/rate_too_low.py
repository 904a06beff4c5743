"""A learning rate that is too low: gradients are there, but the weights hardly move, and the loss hardly falls."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np

from ...fields import about
from ...schedules.range_test import RangeTest
from ...text import N_, _
from ..course import RATE, Course, fall_per_step, learning_rate, middle, planned_rates
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule, in_short, percent

FEWEST = 50  # steps before anything is said
ALIVE = 0.05  # ‖∂L/∂W‖ ‖W‖ / loss of a layer: what weights twice as long would change, in a straight line
GROWN = 10.0  # times their first size: weights that a wild step has thrown far off move little beside themselves
TARGET = 3e-3  # update ratio that is aimed at; it falls when training gets on, and a thousandth is good then
MOST_PROMISED = 0.3  # part of the loss that a step of the new rate may promise


@Rule.registry.add("rate_too_low")
class RateTooLow(Rule, frozen=True, kw_only=True, tag="rate_too_low"):
    """The loss falls by little in an epoch and no layer's weights move, though the gradient is there."""

    label: ClassVar[str] = N_("Learning rate too low")
    source: ClassVar[str] = "CS231n, update ratio about 1e-3; TheDeepChecker: less than 5 % per window is stalled"
    follows: ClassVar[tuple[str, ...]] = ("clipping", "underflow", "symmetric", "saturated", "dead", "inputs")

    fall: Annotated[
        float,
        about(
            N_("least fall"),
            N_("Share of itself by which the loss should fall in an epoch."),
            minimum=0.0,
            maximum=1.0,
        ),
    ] = 0.05
    ratio: Annotated[
        float,
        about(
            N_("least update ratio"),
            N_("Part of themselves by which the weights of some layer should change in a step."),
            above=0.0,
            maximum=1.0,
            scale="log",
        ),
    ] = 1e-4
    unlearned: Annotated[
        float,
        about(
            N_("unlearned above"),
            N_("Share of the first loss; below it, small steps are those of a network that has learned."),
            minimum=0.0,
            maximum=1.0,
        ),
    ] = 0.5

    def examine(self, case: Case) -> Finding | None:
        course = case.course
        if course is None or course.known < FEWEST or isinstance(case.experiment.training.schedule, RangeTest):
            return None
        if course.level < self.unlearned * course.start or course.peak > 3 * course.start:
            return None
        if int(case.view.steps[0]) > 0 and not math.isfinite(case.chance):
            return None  # a fork: how far down the loss has come since the very beginning is not known
        ratios = case.view.some("update_ratio", course.recent)
        medians = [median for column in ratios.T if math.isfinite(median := middle(column))]
        ratio = max(medians, default=math.nan)
        if not ratio < self.ratio or self._planned_otherwise(case):
            return None
        weights = case.view.some("weight.norm", np.array([0, course.recent[-1]]))
        first, now = (math.sqrt(float(np.nansum(row * row))) for row in weights)
        if now > GROWN * first or not self._pull(case, course) > ALIVE:
            return None
        per_epoch = case.view.steps_per_epoch
        fall = fall_per_step(case, course, max(2 * per_epoch, 2 * FEWEST)) * per_epoch
        if not fall < self.fall:
            return None
        rate = learning_rate(case)
        sentence = _("The loss falls by only {fall} per epoch: a step changes weights by {ratio}")
        if fall <= 0:
            sentence = _("The loss does not fall: a step changes weights by {ratio} of themselves")
        return Finding(
            rule="rate_too_low",
            severity="alarm" if ratio < self.ratio / 10 else "warning",
            headline=sentence.format(fall=percent(fall), ratio=in_short(ratio, 1)),
            explanation=_(
                "The gradient shows the way, but the learning rate of {rate:g} makes the steps so short that training "
                "takes many times longer than it must. A step should change weights by a thousandth of their size."
            ).format(rate=rate),
            evidence=(
                Evidence(_("update ratio of the layer that moves most"), ratio, self.ratio, "update_ratio", below=True),
                Evidence(_("fall of the loss per epoch, share"), fall, self.fall, below=True),
            ),
            first_step=int(case.view.steps[0]),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(_proposals(case, course, rate, ratio)),
        )

    def _pull(self, case: Case, course: Course) -> float:
        """‖∂L/∂W‖ ‖W‖ by the loss, of the layer where it is largest: whether there is a gradient to follow at all."""
        some = case.view.some
        with np.errstate(all="ignore"):
            pulls = some("weight_gradient.norm", course.recent) * some("weight.norm", course.recent)
        return max((p for column in pulls.T if math.isfinite(p := middle(column))), default=0.0) / max(
            course.level, 1e-300
        )

    def _planned_otherwise(self, case: Case) -> bool:
        """Whether the schedule is about to raise the rate, or has lowered it on purpose."""
        shares = planned_rates(case)
        rates = case.over_time("learning_rate")
        lowered = bool(len(rates)) and float(np.nanmax(rates)) > 2 * float(rates[-1])
        return lowered or bool(shares.max() > 2 * shares[0])


def _proposals(case: Case, course: Course, rate: float, ratio: float) -> list[Proposal]:
    """A rate with which the weights change by a thousandth, as long as the steps do not promise too much."""
    optimizer = case.experiment.training.optimizer
    found = []
    if rate > 0 and ratio > 0:
        most = MOST_PROMISED / course.promise if course.promise > 0 else math.inf
        wanted = min(TARGET / ratio, most)
        factor = 10.0 ** max(1, math.floor(math.log10(wanted)))
        factor *= 3.0 if wanted >= 3.0 * factor else 1.0
        higher = float(f"{rate * factor:.3g}")
        sentence = _("Multiply the learning rate by {factor:g}: {rate:g}").format(factor=factor, rate=higher)
        found.append(Proposal(sentence, ((RATE, higher),)))
    else:
        kind: Any = type(optimizer)
        usual = float(kind().learning_rate)
        found.append(Proposal(_("Set the learning rate to {rate:g}").format(rate=usual), ((RATE, usual),)))
    if optimizer.kind_name() in ("sgd", "momentum", "nesterov"):
        adam: dict[str, Any] = {"kind": "adam", "learning_rate": 1e-3}
        sentence = _("Adam with 0.001: steps of one size, however small the gradient")
        found.append(Proposal(sentence, (("training.optimizer", adam),)))
    return found
