"""A learning rate that is too high: every step goes past the valley, and the loss rises, jumps or never comes down."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from ...fields import about
from ...schedules.range_test import RangeTest
from ...text import N_, _
from ..course import FEWEST, RATE, Course, learning_rate
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule, in_short

JUMP = 10.0  # times the loss at the start: nothing has to be waited for
PATIENCE = 150  # steps in which a network may still find back after its first ones
SIDEWAYS = 1.0  # promise beyond which a rising loss is put down to the steps


@Rule.registry.add("rate_too_high")
class RateTooHigh(Rule, frozen=True, kw_only=True, tag="rate_too_high"):
    """Steps that promise more than there is to gain, while the loss does not come down."""

    label: ClassVar[str] = N_("Learning rate too high")
    source: ClassVar[str] = (
        "Polyak 1987, section 5.3 (step size 2 L / ‖∇‖²); TheDeepChecker: twice the least loss is diverging"
    )
    # An illness of the first weights is there before the first update, the harm of a long step only behind it.
    prompt: ClassVar[bool] = True
    follows_from_start: ClassVar[tuple[str, ...]] = ("exploding", "scale_drift", "saturated", "inputs")

    overshoot: Annotated[
        float,
        about(
            N_("overshoot"),
            N_("What a step may promise, ‖∇‖ ‖update‖ as a multiple of the loss; a median of recent steps."),
            above=0.0,
            maximum=1e6,
            scale="log",
        ),
    ] = 2.0
    rise: Annotated[
        float,
        about(
            N_("rise"),
            N_("How many times its least mean the loss may be, where steps promise more than the whole loss."),
            minimum=1.0,
            maximum=1e6,
            scale="log",
        ),
    ] = 2.0
    spike: Annotated[
        float,
        about(
            N_("spike"),
            N_("How many times its first value the loss of a single step may be, where nothing is learned afterward."),
            minimum=1.0,
            maximum=1e6,
            scale="log",
        ),
    ] = 3.0
    harmless: Annotated[
        float,
        about(
            N_("harmless below"),
            N_("Share of the first loss below which the loss may jump: the network has learned."),
            minimum=0.0,
            maximum=1.0,
        ),
    ] = 0.1

    def examine(self, case: Case) -> Finding | None:
        course = case.course
        if (
            course is None
            or case.step <= case.view.steps[0]
            or isinstance(case.experiment.training.schedule, RangeTest)
        ):
            return None
        early = len(course.losses) < FEWEST
        if early and not (course.peak > JUMP * course.start or course.first > JUMP * self.overshoot):
            return None
        promise = course.promise
        thrown = course.peak > self.spike * course.start
        overshot = max(course.early, course.first) > self.overshoot / 2 and course.known >= PATIENCE
        rises = course.level > self.rise * course.best and promise > SIDEWAYS
        above = course.level > self.rise * course.start
        if (rises or above) and course.level > self.harmless * course.start:
            sentence = _("The loss rises: {level} now, {best} around step {step}").format(
                level=in_short(course.level, 3), best=in_short(course.best, 3), step=course.best_step
            )
            if course.best >= course.start or course.best == course.level:
                sentence = _("The loss is above its start: {level} now, {start} at first").format(
                    level=in_short(course.level, 3), start=in_short(course.start, 3)
                )
            decisive = self._risen(course)
            since = min(course.best_step, course.off_step)
            if course.early > self.overshoot:
                since = self._since(case, course)
        elif promise > self.overshoot and course.level > self.harmless * course.start:
            sentence = _("Steps overshoot: each promises to lower the loss by {promise} times what there is").format(
                promise=in_short(promise)
            )
            decisive, since = self._promised(promise), self._since(case, course)
        elif thrown and course.unlearned:
            sentence = _("Steps threw the network off: the loss rose to {peak} and is {level} now").format(
                peak=in_short(course.peak, 3), level=in_short(course.level, 3)
            )
            decisive = Evidence(_("greatest loss by the first"), course.peak / course.start, self.spike)
            since = self._since(case, course) if course.early > self.overshoot else course.off_step
        elif overshot and course.unlearned:
            most = max(course.early, course.first)
            sentence = _(
                "The first steps overshot: each promised {promise} times the loss, which is still {level}"
            ).format(promise=in_short(most), level=in_short(course.level, 3))
            decisive = Evidence(_("fall that the first steps promised, by the loss"), most, self.overshoot / 2)
            since = self._after_first(case)
        else:
            return None
        others = (
            self._promised(promise),
            Evidence(_("turns of the loss per step (two thirds by chance)"), course.turns, 1.0),
        )
        return Finding(
            rule="rate_too_high",
            severity="alarm" if course.level > 0.5 * course.start or course.unlearned else "warning",
            headline=sentence,
            explanation=_(
                "The slope holds only nearby: a step that is longer than the valley is wide lands on the other side, "
                "higher than before. Minibatch noise alone would not make steps promise more than the whole loss."
            ),
            evidence=(decisive, *(e for e in others if math.isfinite(e.value) and e.text != decisive.text)),
            first_step=since,
            last_step=int(case.steps[-1]),
            proposals=case.fitting(self._proposals(case, course)),
        )

    def _risen(self, course: Course) -> Evidence:
        least = min(course.best, course.start)
        return Evidence(_("loss by its least so far"), course.level / least if least > 0 else math.inf, self.rise)

    def _promised(self, promise: float) -> Evidence:
        return Evidence(_("fall that a step promises, by the loss"), promise, self.overshoot)

    def _since(self, case: Case, course: Course) -> int:
        """The first of the recent steps, or the one behind the first update where they overshot from the start."""
        return self._after_first(case) if course.early > self.overshoot else int(case.view.steps[course.recent[0]])

    def _after_first(self, case: Case) -> int:
        return int(case.view.steps[0]) + 1

    def _proposals(self, case: Case, course: Course) -> list[Proposal]:
        """A rate at which a step promises no more than the loss; a warm-up where the beginning was the trouble."""
        known = [p for p in (course.promise, course.early, course.first) if math.isfinite(p)]
        # Of a network that is far off already, the promises of the beginning say more.
        far_off = course.peak > JUMP * course.start and math.isfinite(course.first)
        promise = course.first if far_off else max(known, default=1.0)
        factor = 10.0
        while promise / factor > 1.0 and factor < 1e6:
            factor *= 10.0
        rate = learning_rate(case)
        lower = float(f"{rate / factor:.3g}")
        sentence = _("Divide the learning rate by {factor:g}: {rate:g}").format(factor=factor, rate=lower)
        found = [Proposal(sentence, ((RATE, lower),))]
        training = case.experiment.training
        if training.schedule.kind_name() == "constant" and factor <= 10.0:
            gentle = float(f"{rate / 3:.2g}")
            warmup = {"kind": "warmup", "steps": 100, "start_factor": 0.01}
            changes = (("training.schedule", warmup), (RATE, gentle))
            found.append(Proposal(_("Warm up over 100 steps to a third of the rate"), changes))
        # Adaptive methods divide by the size of the gradient, and clipping it changes nothing.
        if training.clipping is None and training.optimizer.kind_name() in ("sgd", "momentum", "nesterov"):
            clip = {"kind": "global_norm", "threshold": 1.0}
            sentence = _("Clip the gradient to norm 1, which shortens the wildest steps")
            found.append(Proposal(sentence, (("training.clipping", clip),)))
        return found
