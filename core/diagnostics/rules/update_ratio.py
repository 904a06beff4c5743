"""Update ratio out of its band: a step changes the weights by far more or far less than a thousandth of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import rounded, set_learning_rate, spread_off, suited_weights
from .base import RECENT, Array, Case, Evidence, Finding, Rule, in_short, sustained

QUANTITY = "update_ratio"
TARGET = 1e-3  # Karpathy, CS231n; Goodfellow et al. 2016, section 11.5, say a hundredth
SETTLED = 4 * RECENT  # steps over which it is looked at: Adam's first steps are long, and warm-up's are short


@Rule.registry.add("update_ratio")
class UpdateRatio(Rule, frozen=True, kw_only=True, tag="update_ratio"):
    """‖ΔW‖ / ‖W‖ of a layer stays outside the band."""

    label: ClassVar[str] = N_("Update ratio")
    source: ClassVar[str] = "Karpathy, CS231n: about 1e-3; Goodfellow et al. 2016, section 11.5: about 1e-2"
    follows: ClassVar[tuple[str, ...]] = (
        "rate_too_high",
        "rate_too_low",
        "vanishing",
        "exploding",
        "symmetric",
        "dead",
        "saturated",
        "inputs",
        "clipping",
        "underflow",
    )

    low: Annotated[
        float,
        about(
            N_("warn below"),
            N_("Part of themselves by which the weights should change at least in one step."),
            above=0.0,
            maximum=1.0,
            scale="log",
        ),
    ] = 1e-5
    high: Annotated[
        float,
        about(
            N_("warn above"),
            N_("Part of themselves by which the weights may change in one step."),
            above=0.0,
            scale="log",
        ),
    ] = 0.05

    def examine(self, case: Case) -> Finding | None:
        case = case.sound
        places = _looked_at(case)
        if len(case.rows) < SETTLED or not len(places) or case.learned:
            return None
        ratios = case.over_time(QUANTITY)[:, places]
        now = np.median(ratios[-SETTLED:], axis=0)
        fast, slow = now > self.high, now < self.low
        if not fast.any() and not slow.any():
            return None
        too_fast = bool(fast.any())
        bad = fast if too_fast else slow
        worst = int(np.nanargmax(np.where(bad, now, np.nan)) if too_fast else np.nanargmin(np.where(bad, now, np.nan)))
        ratio, name = float(now[worst]), case.name(int(places[worst]))
        limit = self.high if too_fast else self.low
        beyond = ratios > limit if too_fast else ratios < limit
        headline = (
            _("No step changes {layer}")
            if ratio == 0.0
            else _("A step changes {layer} by {ratio} of its weights; usual is 0.001")
            if too_fast
            else _("A step changes {layer} by only {ratio} of its weights; usual is 0.001")
        )
        explanation = (
            _(
                "The ratio is the learning rate as the layer feels it. Near 1, every step throws away what the layer "
                "had learned before."
            )
            if too_fast
            else _(
                "The ratio is the learning rate as the layer feels it. At this pace it takes {steps:,.0f} steps until "
                "the weights have changed by their own size."
            ).format(steps=min(1.0 / ratio, 1e12) if ratio > 0 else 1e12)
        )
        return Finding(
            rule="update_ratio",
            severity="alarm" if ratio > 5 * self.high or ratio < 0.1 * self.low else "warning",
            headline=headline.format(layer=name, ratio=in_short(ratio)),
            explanation=explanation,
            evidence=(Evidence(_("‖ΔW‖ / ‖W‖ of one step"), ratio, limit, QUANTITY),),
            layers=case.paths(places[bad]),
            # A ratio is that of an update, which is there behind its step only.
            first_step=sustained(case.steps, np.any(beyond[:, bad], axis=1)) + 1,
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals, _better_rate(case, now)),
        )

    def measure(self, case: Case) -> Evidence | None:
        places = _looked_at(case)
        if len(case.rows) < SETTLED or not len(places):
            return None
        now = np.median(case.over_time(QUANTITY)[-SETTLED:][:, places], axis=0)
        now = now[np.isfinite(now) & (now > 0.0)]
        if not now.size:
            return None
        slow, fast = float(now.min()), float(now.max())
        if self.low / slow > fast / self.high:
            return Evidence(_("‖ΔW‖ / ‖W‖ of one step, least of any layer"), slow, self.low, QUANTITY, below=True)
        return Evidence(_("‖ΔW‖ / ‖W‖ of one step, most of any layer"), fast, self.high, QUANTITY, below=False)

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        if quantity != QUANTITY:
            return ()
        return ((self.low, _("hardly learns")), (self.high, _("too long steps")))


def _looked_at(case: Case) -> NDArray[np.int64]:
    """The layers with weights, but for those that start at zero: these must change by many times their size at first,
    as is meant where the output layer of a network or the last one of a block is drawn so.
    """
    places = case.weighted
    if not len(case.rows):
        return places
    return places[~(case.over_time("weight.norm")[0, places] == 0.0)]


def _proposals(experiment: Experiment, plan: Plan, rate: float) -> Iterator[Proposal]:
    """Usual weights where they are far larger or smaller than usual; else the learning rate that makes a thousandth."""
    if not 0.2 < spread_off(experiment, plan) < 5.0:
        yield suited_weights(experiment, plan)
    if rate > 0.0:
        yield set_learning_rate(experiment, rate)


def _better_rate(case: Case, ratios: Array) -> float:
    """The learning rate with which a typical layer changes by a thousandth of itself; NaN where there is none."""
    typical = float(np.exp(np.nanmean(np.log(np.maximum(ratios, 1e-300)))))
    now = float(getattr(case.experiment.training.optimizer, "learning_rate", np.nan))
    return rounded(now * min(1e6, max(1e-6, TARGET / typical)))
