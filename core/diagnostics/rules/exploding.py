"""Exploding gradients: on the way back every layer makes the gradient larger, and the first step throws the weights
away.
"""

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
from .base import RECENT, Case, Evidence, Finding, Rule, factor_per_layer, sustained

FEWEST = 3  # hidden layers; the slope of fewer says nothing
EXPECTED = 0.15  # by so much, in ln of the factor, may measurement and theory differ and still mean the same


@Rule.registry.add("exploding")
class Exploding(Rule, frozen=True, kw_only=True, tag="exploding"):
    """The gradient grows by a constant factor per layer from the loss to the data."""

    label: ClassVar[str] = N_("Exploding gradients")
    source: ClassVar[str] = (
        "Pascanu et al. 2013; Yang et al. 2019 (batch norm); judged by the slope of ln ‖∂L/∂a‖ per layer"
    )
    prompt: ClassVar[bool] = True
    follows: ClassVar[tuple[str, ...]] = ("saturated", "inputs", "scale_drift", "rate_too_high")

    warn: Annotated[
        float,
        about(N_("warn above"), N_("Factor per layer on the way back above which the doctor warns."), minimum=1.0),
    ] = 1.1
    alarm: Annotated[
        float, about(N_("alarm above"), N_("Factor per layer above which it raises an alarm."), minimum=1.0)
    ] = 1.5
    most_total: Annotated[
        float,
        about(
            N_("greatest total"),
            N_("Nothing is said while the first layer gets less than so many times the last layer's gradient."),
            minimum=1.0,
            scale="log",
        ),
    ] = 20.0

    def examine(self, case: Case) -> Finding | None:
        case = case.sound
        places = case.hidden
        if len(places) < FEWEST or not len(case.rows):
            return None
        norms = case.over_time("gradient.norm")[:, places]
        with np.errstate(all="ignore"):
            factors = 1.0 / factor_per_layer(norms)
            totals = norms[:, 0] / norms[:, -1]
        factor, total = float(np.median(factors[-RECENT:])), float(np.median(totals[-RECENT:]))
        if not factor > self.warn or not total > self.most_total:
            return None
        expected = float(1.0 / factor_per_layer(case.predicted("gradient_norm")[None, places])[0])
        explanation = _(
            "On its way back the gradient is multiplied by each layer's weights and by the slope of its function; here "
            "this makes it larger every time, so that a step that suits the last layer is far too long for the first. "
        )
        if math.isfinite(expected) and abs(math.log(expected) - math.log(factor)) < EXPECTED:
            explanation += _(
                "Theory expects ×{expected:.2g} per layer from these functions and first weights: it is no accident."
            ).format(expected=expected)
        elif math.isfinite(expected) and expected < self.warn:
            explanation += _(
                "Theory expects ×{expected:.2g} per layer at the start, so training has brought the network here."
            ).format(expected=expected)
        else:
            explanation += _("A straight slope on the logarithmic axis is a factor that all layers share.")
        return Finding(
            rule="exploding",
            severity="alarm" if factor > self.alarm else "warning",
            headline=_(
                "Gradients explode: ×{factor:.2g} per layer on the way back, the first layer gets {total:.2g} times "
                "the last hidden one’s"
            ).format(factor=factor, total=total),
            explanation=explanation,
            evidence=(
                Evidence(_("factor of the gradient norm per layer"), factor, self.warn),
                Evidence(
                    _("gradient norm of the first hidden layer by the last one’s"),
                    total,
                    self.most_total,
                    "gradient.norm",
                ),
            ),
            layers=case.paths(places[: len(places) // 2]),
            first_step=sustained(case.steps, (factors > self.warn) & (totals > self.most_total)),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals),
        )

    def slopes(self, quantity: str) -> tuple[tuple[float, str], ...]:
        if quantity != "gradient.norm":
            return ()
        return ((1.0 / self.warn, _("exploding, ×{factor:.2g} per layer").format(factor=self.warn)),)


def _proposals(experiment: Experiment, plan: Plan) -> Iterator[Proposal]:
    """Smaller weights where they are larger than suits the function; normalization; shorter steps."""
    blocks = any(card.layer.group == "block" for card in plan.cards)
    if spread_off(experiment, plan) > 1.15:
        yield suited_weights(experiment, plan)
    if blocks:
        yield normalized_blocks(experiment, plan)
    if not any(card.layer.group == "normalization" for card in plan.cards):
        yield normalization(experiment, plan, "layer_norm")
    clipping = {"kind": "global_norm", "threshold": 1.0}
    yield Proposal(
        _("Clip the gradient at norm 1: no step is longer, though the first layers still get most of it"),
        (("training.clipping", clipping),),
    )
    yield learning_rate(experiment, 0.1)
