"""Drifting scale: the signal grows or shrinks from layer to layer, or the same layer's grows while training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import learning_rate, normalization, normalized_blocks, spread_off, suited_weights
from .base import RECENT, Array, Case, Evidence, Finding, Rule, factor_per_layer, sustained

FEWEST = 3  # hidden layers; the slope of fewer says nothing
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
        places = case.hidden
        if not len(case.rows) or not len(places):
            return None
        sizes = case.over_time(QUANTITY)[:, places]
        return self._by_depth(case, places, sizes) or self._by_time(case, places, sizes)

    def _by_depth(self, case: Case, places: NDArray[np.int64], sizes: Array) -> Finding | None:
        if len(places) < FEWEST:
            return None
        with np.errstate(all="ignore"):
            factors = factor_per_layer(sizes)
            totals = sizes[:, -1] / sizes[:, 0]
        factor, total = float(np.median(factors[-RECENT:])), float(np.median(totals[-RECENT:]))
        grows = factor > self.factor and total > self.total
        shrinks = factor < 1.0 / self.factor and total < 1.0 / self.total
        if not grows and not shrinks:
            return None
        holds = (
            (factors > self.factor) & (totals > self.total)
            if grows
            else (factors < 1.0 / self.factor) & (totals < 1.0 / self.total)
        )
        headline = (
            _("The signal grows: ×{factor:.2g} per layer, ×{total:.2g} from the first to the last hidden layer")
            if grows
            else _("The signal shrinks: ×{factor:.2g} per layer, ×{total:.1g} from the first to the last hidden layer")
        )
        expected = float(factor_per_layer(case.predicted("rms")[None, places])[0])
        explanation = _(
            "Every layer multiplies the size of the signal by about the same factor, which adds up with depth. "
        )
        if math.isfinite(expected):
            explanation += _("Theory expects ×{expected:.2g} per layer from the first weights.").format(
                expected=expected
            )
        else:
            explanation += _("Layers after it work with numbers that their weights are not made for.")
        return Finding(
            rule="scale_drift",
            severity="warning",
            headline=headline.format(factor=factor, total=total),
            explanation=explanation,
            evidence=(
                Evidence(
                    _("factor of the activations’ root mean square per layer"),
                    factor,
                    self.factor if grows else 1.0 / self.factor,
                ),
                Evidence(
                    _("the last hidden layer’s by the first one’s"), total, self.total if grows else 1.0 / self.total
                ),
            ),
            layers=case.paths(places),
            first_step=sustained(case.steps, holds),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals, bool(abs(math.log(max(expected, 1e-9))) < math.log(1.1))),
        )

    def _by_time(self, case: Case, places: NDArray[np.int64], sizes: Array) -> Finding | None:
        if int(case.steps[0]) != 0 or len(sizes) < 2 or case.learned:
            return None
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
            headline=_("The activations of {layer} are {factor:.2g} times as large as at the start").format(
                layer=case.name(int(places[worst])), factor=float(now[worst])
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

    def slopes(self, quantity: str) -> tuple[tuple[float, str], ...]:
        if quantity != QUANTITY:
            return ()
        return ((self.factor, _("growing")), (1.0 / self.factor, _("shrinking")))


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
