"""Underflow: numbers of 16 bits are too coarse, and small gradients or small updates are rounded to nothing."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np

from ...engine.precision import FORMATS
from ...fields import about
from ...text import N_, _
from ..course import middle
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule, in_short, percent, sustained

RECENT = 50  # rows that are looked at
HALF_STEP = {"float16": 2.0**-12, "bfloat16": 2.0**-9}  # part of a weight at most that a smaller update is rounded away
LEARNED = 0.1  # of the first loss: what is left to learn is little
ALL = 0.95  # share of a gradient that is as good as all of it
SCALE = {"kind": "dynamic"}


@Rule.registry.add("underflow")
class Underflow(Rule, frozen=True, kw_only=True, tag="underflow"):
    """Gradients become zero in rounding, or weights do not move because their updates are lost beside them."""

    label: ClassVar[str] = N_("Underflow in low precision")
    source: ClassVar[str] = "Micikevicius et al. 2018 (arXiv 1710.03740), sections 3.1 and 3.2"
    follows: ClassVar[tuple[str, ...]] = ("vanishing",)

    share: Annotated[
        float,
        about(
            N_("share lost"),
            N_("Share of the numbers in the gradient of a layer's weights that may be rounded to zero."),
            above=0.0,
            maximum=1.0,
        ),
    ] = 0.2
    alarm: Annotated[
        float,
        about(N_("alarm above"), N_("Share from which on an alarm is raised."), above=0.0, maximum=1.0),
    ] = 0.5
    skipped: Annotated[
        float,
        about(
            N_("share skipped"),
            N_("Share of the steps that may be skipped since a gradient was too large for its scale."),
            above=0.0,
            maximum=1.0,
        ),
    ] = 0.2

    def examine(self, case: Case) -> Finding | None:
        precision = case.experiment.training.precision
        known = int(np.searchsorted(case.view.steps, case.step, side="right"))
        if precision not in FORMATS or not known:
            return None
        rows = np.arange(max(0, known - RECENT), known)
        return self._gradients(case, rows) or self._updates(case, rows) or self._overflows(case, rows)

    def _gradients(self, case: Case, rows: np.ndarray) -> Finding | None:
        """Gradients that are rounded to zero."""
        if "gradient.underflow" not in case.view.layer_columns:
            return None
        weights, passed = (self._shares(case, name, rows) for name in ("weight_gradient", "gradient"))
        # Of what the loss hands back, most is next to nothing anyway: a class that is surely not the right one. Only a
        # gradient that is lost as a whole counts, for then the weights' gradients are zero without any rounding.
        stopped = np.flatnonzero(passed > ALL)
        name, shares, limit = ("gradient", passed, ALL) if stopped.size else ("weight_gradient", weights, self.share)
        worst = int(np.argmax(shares)) if shares.size else 0
        if not shares.size or not shares[worst] > limit:
            return None
        course = case.course
        if course is not None and course.level < LEARNED * course.start:
            return None  # of a small loss the gradients are small, and nothing is lost with them
        past = ~(self._over_time(case, name)[:, worst] < 0.7 * limit)
        past[1:-1] |= past[:-2] & past[2:]  # the last minibatch of an epoch may be a short one, which loses fewer
        what = {
            "weight_gradient": _("numbers of a weight gradient rounded to zero, share"),
            "gradient": _("numbers of a gradient rounded to zero, share"),
        }
        scale = case.now("loss_scale") if "loss_scale" in case.view.run_columns else 1.0
        return Finding(
            rule="underflow",
            severity="alarm" if shares[worst] > self.alarm else "warning",
            headline=_("{share} of the gradient is rounded to zero in {layer}").format(
                share=percent(float(shares[worst])), layer=case.name(worst)
            ),
            explanation=_(
                "Numbers in {precision} end at {smallest:.0e}: what is smaller becomes zero, and such weights learn "
                "nothing. The gradient is multiplied by {scale:g} on the way back; a larger factor would save it."
            ).format(precision=precision_of(case), smallest=smallest_of(case), scale=scale),
            evidence=(Evidence(what[name], float(shares[worst]), limit),),
            layers=tuple(case.view.layers[i] for i in np.flatnonzero(shares > limit)),
            first_step=sustained(case.steps, past),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(self._proposals(case)),
        )

    def _sizes(self, case: Case, name: str) -> np.ndarray:
        """(layers,) how many numbers a layer's gradient has; NaN for a layer without."""
        sizes = []
        for card in case.cards:
            if card is None or card.shape is None:
                sizes.append(math.nan)
            elif name == "weight_gradient":
                sizes.append(float(card.parameter_count) or math.nan)
            else:
                sizes.append(float(math.prod(card.shape) * case.experiment.training.batch_size))
        return np.array(sizes)

    def _shares(self, case: Case, name: str, rows: np.ndarray) -> np.ndarray:
        """(layers,) share of the numbers of each layer's gradient that were lost in these rows; 0 where none can be."""
        counts = case.view.some(f"{name}.underflow", rows)
        with np.errstate(all="ignore"):
            shares = np.array([middle(column) for column in counts.T]) / self._sizes(case, name)
        return np.asarray(np.nan_to_num(shares))

    def _over_time(self, case: Case, name: str) -> np.ndarray:
        return np.asarray(case.over_time(f"{name}.underflow") / self._sizes(case, name))

    def _updates(self, case: Case, rows: np.ndarray) -> Finding | None:
        """Updates that are lost beside their weights, where the weights themselves are rounded."""
        training = case.experiment.training
        if training.master_weights:
            return None
        least = HALF_STEP[training.precision]
        ratios = case.view.some("update_ratio", rows)[:, case.weighted]
        medians = np.array([middle(column) for column in ratios.T])
        small = np.flatnonzero((medians < least) & (medians > 0))
        if not small.size:
            return None
        worst = int(small[np.argmin(medians[small])])
        past = case.over_time("update_ratio")[:, case.weighted[worst]]
        return Finding(
            rule="underflow",
            severity="alarm",
            headline=_("Updates are {ratio} of the weights, and what is below {least} is rounded away").format(
                ratio=in_short(float(medians[worst]), 1), least=in_short(least, 1)
            ),
            explanation=_(
                "A weight in {precision} has neighbors no nearer than {step:.1g} of itself, and an update of less than "
                "half of that leaves it where it is. Master weights of 32 bits add up small updates until they count."
            ).format(precision=training.precision, step=2 * least),
            evidence=(Evidence(_("update by weight"), float(medians[worst]), least, "update_ratio"),),
            layers=tuple(case.view.layers[case.weighted[i]] for i in small),
            first_step=sustained(case.steps, past < least),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(
                [
                    Proposal(_("Keep master weights of 32 bits"), (("training.master_weights", True),)),
                    Proposal(_("Compute with 32 bits"), (("training.precision", "float32"),)),
                ]
            ),
        )

    def _overflows(self, case: Case, rows: np.ndarray) -> Finding | None:
        """A loss scale that is too large: gradients overflow, and steps are skipped."""
        if "skipped" not in case.view.run_columns or len(rows) < RECENT // 2:
            return None
        share = float(np.nanmean(case.view.some("skipped", rows)))
        if not share > self.skipped:
            return None
        skipped = case.over_time("skipped")
        return Finding(
            rule="underflow",
            severity="alarm" if share > 0.5 else "warning",
            headline=_("{share} of the steps are skipped: the loss scale makes gradients infinite").format(
                share=percent(share)
            ),
            explanation=_(
                "The scale of the loss saves small gradients from being rounded to zero, but here it makes large ones "
                "larger than {precision} can hold. A step with such a gradient changes no weights."
            ).format(precision=precision_of(case)),
            evidence=(Evidence(_("share of the recent steps that are skipped"), share, self.skipped),),
            first_step=sustained(case.steps, ~(skipped == 0)),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(self._proposals(case)),
        )

    def _proposals(self, case: Case) -> list[Proposal]:
        training = case.experiment.training
        found = []
        if training.loss_scale is None or training.loss_scale.kind_name() != "dynamic":
            sentence = _("A dynamic loss scale: as large as the gradients allow")
            found.append(Proposal(sentence, (("training.loss_scale", SCALE),)))
        if training.precision == "float16":
            found.append(Proposal(_("bfloat16, whose range is that of 32 bits"), (("training.precision", "bfloat16"),)))
        found.append(Proposal(_("Compute with 32 bits"), (("training.precision", "float32"),)))
        return found


def precision_of(case: Case) -> str:
    return str(case.experiment.training.precision)


def smallest_of(case: Case) -> float:
    """The smallest number above zero that the precision knows."""
    return 2.0**-24 if precision_of(case) == "float16" else 2.0**-133
