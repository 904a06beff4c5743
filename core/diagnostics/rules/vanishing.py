"""Vanishing gradients: on the way back every layer makes the gradient smaller, and the first layers learn nothing."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np

from ...fields import about
from ...text import N_, _
from ..proposal import Proposal, settings_named
from .base import Case, Evidence, Finding, Rule, sustained

FEWEST = 4  # layers with weights; the slope of fewer says nothing


@Rule.registry.add("vanishing")
class Vanishing(Rule, frozen=True, kw_only=True, tag="vanishing"):
    """The gradient shrinks by a constant factor per layer from the loss to the data."""

    label: ClassVar[str] = N_("Vanishing gradients")
    source: ClassVar[str] = "Glorot & Bengio 2010; He et al. 2015; judged by the slope of ln ‖∂L/∂a‖ per layer"
    follows: ClassVar[tuple[str, ...]] = ("saturated", "dead")

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
        places = case.weighted
        if len(places) < FEWEST or not len(case.rows):
            return None
        factors = per_layer(case.over_time("gradient.norm")[:, places])
        factor = float(factors[-1])
        norms = case.now("gradient.norm")[places]
        total = float(norms[0] / norms[-1]) if norms[-1] > 0 else math.nan
        if not factor < self.warn or not total < self.least_total:
            return None
        explanation = _(
            "On its way back the gradient is multiplied by each layer's weights and by the slope of its function; here "
            "this makes it smaller every time. The first layers hardly learn, whatever the learning rate is."
        )
        return Finding(
            rule="vanishing",
            severity="alarm" if factor < self.alarm else "warning",
            headline=_(
                "Gradients vanish: ×{factor:.2g} per layer on the way back, the first layer gets {total:.1g} of the "
                "last one’s"
            ).format(factor=factor, total=total),
            explanation=explanation,
            evidence=(
                Evidence(_("factor of the gradient norm per layer"), factor, self.warn),
                Evidence(
                    _("gradient norm of the first layer by that of the last"), total, self.least_total, "gradient.norm"
                ),
            ),
            layers=tuple(case.view.layers[i] for i in places[: len(places) // 2]),
            first_step=sustained(case.steps, factors < self.warn),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(_proposals(case)),
        )


def per_layer(norms: np.ndarray) -> np.ndarray:
    """(T,) factor per layer on the way back, from gradient norms (T, layers) in data order: a straight line through
    their logarithms. 0 where a norm is zero, NaN where one is not finite.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(norms)
    x = np.arange(norms.shape[1], dtype=np.float64)
    x -= x.mean()
    with np.errstate(invalid="ignore", over="ignore"):
        slopes = logs @ x / (x @ x)
        found = np.exp(-slopes)
    found[(norms == 0).any(axis=1)] = 0.0
    return np.asarray(found)


def _proposals(case: Case) -> list[Proposal]:
    """He weights with ReLU, Xavier with tanh: what keeps the variance of the gradient; then normalization."""
    functions = list(settings_named(case.experiment, "function"))
    inits = list(settings_named(case.experiment, "init"))
    saturating = [path for path, name in functions if name in ("sigmoid", "hard_tanh", "softsign", "tanh")]
    he = tuple((path, {"kind": "he_normal"}) for path, _value in inits[:-1])
    relu = tuple((path, "relu") for path, _name in functions)
    glorot = tuple((path, {"kind": "glorot_normal"}) for path, _value in inits)
    tanh = tuple((path, "tanh") for path, _name in functions)
    found = []
    if saturating:
        found.append(Proposal(_("ReLU with He weights: slope 1 where a unit is active"), relu + he))
        found.append(Proposal(_("tanh with Xavier weights: slope 1 around zero"), tanh + glorot))
    else:
        found.append(Proposal(_("He weights: their variance makes up for the half that ReLU switches off"), he))
    return found
