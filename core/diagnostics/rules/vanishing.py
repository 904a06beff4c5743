"""Vanishing gradients: on the way back every layer makes the gradient smaller, and the first layers learn nothing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal, settings_named
from ..remedies import FLAT, learning_rate, normalization, spread_off, suited_weights
from .base import RECENT, Case, Evidence, Finding, Rule, factor_per_layer, sustained

FEWEST = 3  # hidden layers; the slope of fewer says nothing
ALARMING_TOTAL = 1e-3  # first by last gradient; AutoTrainer (Zhang et al. 2021), β1
EXPECTED = 0.15  # by so much, in ln of the factor, may measurement and theory differ and still mean the same


@Rule.registry.add("vanishing")
class Vanishing(Rule, frozen=True, kw_only=True, tag="vanishing"):
    """The gradient shrinks by a constant factor per layer from the loss to the data."""

    label: ClassVar[str] = N_("Vanishing gradients")
    source: ClassVar[str] = "Glorot & Bengio 2010; He et al. 2015; judged by the slope of ln ‖∂L/∂a‖ per layer"
    prompt: ClassVar[bool] = True
    follows: ClassVar[tuple[str, ...]] = ("symmetric", "saturated", "dead", "small_batch_norm")

    warn: Annotated[
        float,
        about(
            N_("warn below"),
            N_("Factor per layer on the way back below which the doctor warns."),
            above=0.0,
            maximum=1.0,
        ),
    ] = round(1 / 1.1, 4)
    alarm: Annotated[
        float,
        about(N_("alarm below"), N_("Factor per layer below which it raises an alarm."), above=0.0, maximum=1.0),
    ] = round(1 / 1.5, 4)
    least_total: Annotated[
        float,
        about(
            N_("least total"),
            N_("Nothing is said while the first layer still gets more than this part of the last layer's gradient."),
            above=0.0,
            maximum=1.0,
            scale="log",
        ),
    ] = 0.05

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
        if not factor < self.warn or not total < self.least_total:
            return None
        expected = _expected(case)
        explanation = _(
            "On its way back the gradient is multiplied by each layer's weights and by the slope of its function; here "
            "this makes it smaller every time, so that the first layers hardly learn whatever the learning rate is. "
        )
        if math.isfinite(expected) and abs(math.log(expected) - math.log(max(factor, 1e-300))) < EXPECTED:
            explanation += _(
                "Theory expects ×{expected:.2g} per layer from these functions and first weights: it is no accident."
            ).format(expected=expected)
        elif math.isfinite(expected) and expected > self.warn:
            explanation += _(
                "Theory expects ×{expected:.2g} per layer at the start, so training has brought the network here."
            ).format(expected=expected)
        else:
            explanation += _("A straight slope on the logarithmic axis is a factor that all layers share.")
        return Finding(
            rule="vanishing",
            severity="alarm" if factor < self.alarm or total < ALARMING_TOTAL else "warning",
            headline=_(
                "Gradients vanish: ×{factor:.2g} per layer on the way back, the first layer gets {total:.1g} of the "
                "last hidden one’s"
            ).format(factor=factor, total=total),
            explanation=explanation,
            evidence=(
                Evidence(_("factor of the gradient norm per layer"), factor, self.warn),
                Evidence(
                    _("gradient norm of the first hidden layer by the last one’s"),
                    total,
                    self.least_total,
                    "gradient.norm",
                ),
            ),
            layers=case.paths(places[: len(places) // 2]),
            first_step=sustained(case.steps, (factors < self.warn) & (totals < self.least_total)),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals, bool(expected > self.warn)),
        )

    def slopes(self, quantity: str) -> tuple[tuple[float, str], ...]:
        if quantity != "gradient.norm":
            return ()
        return ((1.0 / self.warn, _("vanishing, ×{factor:.2g} per layer").format(factor=self.warn)),)


def _expected(case: Case) -> float:
    """The factor per layer that theory expects at initialization; NaN where it knows fewer than all layers."""
    return float(1.0 / factor_per_layer(case.predicted("gradient_norm")[None, case.hidden])[0])


def _proposals(experiment: Experiment, plan: Plan, by_training: bool) -> Iterator[Proposal]:
    """Functions whose slope is below 1 everywhere are replaced; otherwise weights are drawn as suits the function."""
    names = {str(name) for _path, name in settings_named(experiment, "function")}
    if names & set(FLAT):
        yield suited_weights(experiment, plan, "relu")
        yield suited_weights(experiment, plan, "tanh")
    elif spread_off(experiment, plan) < 0.87:
        yield suited_weights(experiment, plan)
    elif by_training:
        yield learning_rate(experiment, 0.1)
    yield normalization(experiment, plan)
    if not names & set(FLAT):
        yield suited_weights(experiment, plan, "relu")
