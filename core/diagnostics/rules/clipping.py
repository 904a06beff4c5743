"""Clipping that is always active: the threshold is below the usual gradient, and sets the pace instead of the rate."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np

from ...fields import about
from ...text import N_, _
from ..course import middle
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule, percent, sustained

FEWEST = 100  # steps: a gradient is large at the beginning, and clipping is there for that
RECENT = 50  # rows that are looked at
SAME = 1e-5  # part by which two norms differ from rounding alone
# Their steps are as long as the gradient; the others divide by its size, and clipping changes less of what they do.
FOLLOW_THE_LENGTH = ("sgd", "momentum", "nesterov")
KEPT = 0.9  # share of the gradients that the proposed threshold leaves as they are


@Rule.registry.add("clipping")
class ClippingAlwaysActive(Rule, frozen=True, kw_only=True, tag="clipping"):
    """Nearly every gradient is shortened, and by a lot."""

    label: ClassVar[str] = N_("Clipping always active")
    source: ClassVar[str] = (
        "Pascanu, Mikolov & Bengio 2013, section 3.2: half to ten times the usual norm is a good threshold"
    )
    follows: ClassVar[tuple[str, ...]] = ("exploding", "inputs", "rate_too_high")

    share: Annotated[
        float,
        about(N_("share of steps"), N_("Share of the steps that may be shortened."), minimum=0.0, maximum=1.0),
    ] = 0.95
    shortened: Annotated[
        float,
        about(
            N_("shortened to"),
            N_("What is left of the gradient's length, as a median; more than this is not worth a word."),
            above=0.0,
            maximum=1.0,
        ),
    ] = 0.5
    alarm: Annotated[
        float,
        about(N_("alarm below"), N_("What is left of it below which an alarm is raised."), above=0.0, maximum=1.0),
    ] = 0.05

    def examine(self, case: Case) -> Finding | None:
        clipping = case.experiment.training.clipping
        known = int(np.searchsorted(case.view.steps, case.step, side="right"))
        if clipping is None or known * case.view.stride < FEWEST:
            return None
        rows = np.arange(max(0, known - RECENT), known)
        left = _left(case, rows)
        left = left[np.isfinite(left)]
        if not left.size:
            return None
        share, usual = float(np.mean(left < 1 - SAME)), middle(left)
        adaptive = case.experiment.training.optimizer.kind_name() not in FOLLOW_THE_LENGTH
        if share < self.share or usual > (self.alarm if adaptive else self.shortened):
            return None
        past = case.over_time("clipped_gradient_norm") / _positive(case.over_time("gradient_norm"))
        return Finding(
            rule="clipping",
            severity="alarm" if usual < self.alarm and not adaptive else "warning",
            headline=_("Clipping acts in {share} of the steps and leaves {left} of the gradient").format(
                share=percent(share), left=percent(usual)
            ),
            explanation=_(
                "Clipping is meant for the rare wild step; here the threshold of {threshold:g} lies below the usual "
                "gradient. All steps then have nearly one length, and the network can neither hurry nor settle down."
            ).format(threshold=clipping_threshold(case)),
            evidence=(
                Evidence(_("share of the gradient's length that is left"), usual, self.shortened, below=True),
                Evidence(_("share of the recent steps that are shortened"), share, self.share, below=False),
            ),
            first_step=sustained(case.steps, ~(past >= 1 - SAME)),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(_proposals(case, usual)),
        )


def _positive(values: np.ndarray) -> np.ndarray:
    """The same; NaN where a number is not above zero."""
    return np.where(values > 0, values, np.nan)


def _left(case: Case, rows: np.ndarray) -> np.ndarray:
    """(rows,) what clipping leaves of the gradient's length."""
    some = case.view.some
    with np.errstate(all="ignore"):
        return np.asarray(some("clipped_gradient_norm", rows) / _positive(some("gradient_norm", rows)))


def clipping_threshold(case: Case) -> float:
    """The threshold as it is set at the step."""
    path = "training.clipping.threshold"
    changed = [value for step, where, value in case.view.events if where == path and step <= case.step]
    return float(changed[-1] if changed else getattr(case.experiment.training.clipping, "threshold", math.nan))


def _proposals(case: Case, left: float) -> list[Proposal]:
    """A threshold that nine of ten gradients keep, or none."""
    clipping = case.experiment.training.clipping
    assert clipping is not None
    norms = case.over_time("gradient_norm")
    if clipping.kind_name() == "layer_norm":  # each layer for itself: the largest of them counts
        layers = case.over_time("weight_gradient.norm")
        norms = np.nanmax(np.where(np.isnan(layers), -np.inf, layers), axis=1, initial=-np.inf)
    norms = norms[np.isfinite(norms)]
    found = []
    if clipping.kind_name() == "value":
        # The largest numbers are cut; how large they were is not recorded, only what all of them together lost.
        usual = clipping_threshold(case) * 10.0 ** math.ceil(-math.log10(max(left, 1e-9)))
    else:
        usual = float(np.quantile(norms, KEPT)) if norms.size else math.nan
    if math.isfinite(usual) and usual > 0:
        raised = float(f"{usual:.2g}")
        sentence = _("Raise the threshold to {threshold:g}, which nine of ten gradients keep").format(threshold=raised)
        if clipping.kind_name() == "value":
            sentence = _("Raise the threshold to {threshold:g}").format(threshold=raised)
        found.append(Proposal(sentence, (("training.clipping.threshold", raised),)))
    found.append(Proposal(_("Train without clipping"), (("training.clipping", None),)))
    return found
