"""Drifting scale: the signal grows or shrinks from layer to layer, or the same layer's grows while training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import learning_rate, normalization, normalized_blocks, spread_off, suited_weights
from .base import RECENT, Case, Evidence, Finding, Rule, Slope, in_short, limiting, sustained

QUANTITY = "activation.rms"


@Rule.registry.add("scale_drift")
class ScaleDrift(Rule, frozen=True, kw_only=True, tag="scale_drift"):
    """The root mean square of the activations changes by a factor from layer to layer, or over the training."""

    label: ClassVar[str] = N_("Drifting scale")
    source: ClassVar[str] = (
        "He et al. 2015, section 2.2; variances of the layers that differ more than tenfold: PoorWeightInitialization "
        "of SageMaker Debugger"
    )
    prompt: ClassVar[bool] = True
    follows: ClassVar[tuple[str, ...]] = (
        "symmetric",
        "dead",
        "exploding",
        "vanishing",
        "small_batch_norm",
        "saturated",
        "inputs",
        "rate_too_high",
        "update_ratio",
    )

    factor: Annotated[
        float,
        about(N_("factor per layer"), N_("Growth per layer, or its inverse, that is not yet noticed."), minimum=1.0),
    ] = 1.2
    total: Annotated[
        float,
        about(
            N_("factor in total"),
            N_("Growth from the first to the last hidden layer, or its inverse, above which the doctor warns."),
            minimum=1.0,
            scale="log",
        ),
    ] = 6.0
    over_time: Annotated[
        float,
        about(
            N_("factor over time"),
            N_("How many times larger than at the start the activations of a hidden layer may become."),
            minimum=1.0,
            scale="log",
        ),
    ] = 10.0

    def examine(self, case: Case) -> Finding | None:
        case = case.sound
        return self._by_depth(case) or self._by_time(case)

    def _by_depth(self, case: Case) -> Finding | None:
        slope = case.slope(QUANTITY, "rms")
        if slope is None:
            return None
        factor, total = slope.factor, slope.total
        grows = factor > self.factor and total > self.total
        shrinks = factor < 1.0 / self.factor and total < 1.0 / self.total
        if not grows and not shrinks:
            return None
        holds = (
            (slope.factors > self.factor) & (slope.totals > self.total)
            if grows
            else (slope.factors < 1.0 / self.factor) & (slope.totals < 1.0 / self.total)
        )
        headline = (
            _("The signal grows: ×{factor} per layer, ×{total} from the first to the last hidden layer")
            if grows
            else _("The signal shrinks: ×{factor} per layer, ×{total} from the first to the last hidden layer")
        )
        if factor == 0.0:
            headline = _("The signal ends: exactly 0 behind the last hidden layer")
        return Finding(
            rule="scale_drift",
            severity="warning",
            headline=headline.format(factor=in_short(factor), total=in_short(total)),
            explanation=_(
                "Every layer multiplies the size of the signal by about the same factor, and the factors multiply with "
                "depth, so that the last layers get numbers that their weights are not made for."
            )
            + " "
            + slope.told(),
            evidence=self._evidence(slope),
            layers=case.paths(slope.places),
            first_step=sustained(case.steps, holds),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals, bool(abs(math.log(max(slope.expected, 1e-9))) < math.log(1.1))),
        )

    def measure(self, case: Case) -> Evidence | None:
        slope = case.slope(QUANTITY, "rms")
        return limiting(self._evidence(slope)) if slope is not None else None

    def _evidence(self, slope: Slope) -> tuple[Evidence, Evidence]:
        factor, total = slope.factor, slope.total
        shrinks = factor < 1.0
        per_layer, whole = (1.0 / self.factor, 1.0 / self.total) if shrinks else (self.factor, self.total)
        said = _("root mean square of the activations, factor per layer")
        return (
            Evidence(said, factor, per_layer, below=shrinks, factor=True),
            Evidence(_("the last hidden layer’s by the first one’s"), total, whole, below=shrinks),
        )

    def _by_time(self, case: Case) -> Finding | None:
        places = case.hidden
        if len(case.steps) < 2 or int(case.steps[0]) != 0 or not len(places) or case.learned:
            return None
        sizes = case.over_time(QUANTITY)[:, places]
        with np.errstate(all="ignore"):
            grown = sizes / sizes[0]
        now = np.median(grown[-RECENT:], axis=0)
        bad = np.isfinite(now) & (now > self.over_time)
        if not bad.any():
            return None
        worst = int(np.argmax(np.where(bad, now, 0.0)))
        return Finding(
            rule="scale_drift",
            severity="warning",
            headline=_("The activations of {layer} are {factor} times as large as at the start").format(
                layer=case.name(int(places[worst])), factor=in_short(float(now[worst]))
            ),
            explanation=_(
                "Training makes the weights larger, and what they put out with them. The layers behind have to follow "
                "all the time, and the outputs become so large that the loss punishes every mistake hard."
            ),
            evidence=(
                Evidence(_("activations’ root mean square by that at the start"), float(now[worst]), self.over_time),
            ),
            layers=case.paths(places[bad]),
            first_step=sustained(case.steps, grown[:, worst] > self.over_time),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_over_time),
        )


def _proposals(experiment: Experiment, plan: Plan, by_training: bool) -> Iterator[Proposal]:
    """Normalized blocks, weights as suits the functions, normalization; shorter steps where training has done it."""
    if not 0.8 < spread_off(experiment, plan) < 1.25:
        yield suited_weights(experiment, plan)
    yield normalized_blocks(experiment, plan)
    yield normalization(experiment, plan)
    if by_training:
        yield learning_rate(experiment, 0.1)


def _over_time(experiment: Experiment, plan: Plan) -> Iterator[Proposal]:
    yield learning_rate(experiment, 0.1)
    yield normalized_blocks(experiment, plan)
    yield normalization(experiment, plan)
