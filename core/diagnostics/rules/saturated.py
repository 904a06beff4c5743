"""Saturation: most outputs stand at the flat ends of their function, where the slope is zero and no gradient passes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal, settings_named
from ..remedies import SATURATING, learning_rate, normalization, spread_off, suited_weights
from .base import Case, Evidence, Finding, Rule, percent, sustained

QUANTITY = "activation.saturated_fraction"


@Rule.registry.add("saturated")
class Saturated(Rule, frozen=True, kw_only=True, tag="saturated"):
    """A large share of a layer's outputs is saturated: beyond ±0.97 for tanh, outside 0.015 to 0.985 for sigmoid."""

    label: ClassVar[str] = N_("Saturated units")
    source: ClassVar[str] = "Glorot & Bengio 2010; share of |tanh| > 0.97 as in Karpathy, makemore part 3"
    prompt: ClassVar[bool] = True
    follows: ClassVar[tuple[str, ...]] = ("symmetric", "inputs", "rate_too_high", "vanishing")

    warn: Annotated[
        float,
        about(N_("warn above"), N_("Share of a layer's outputs that may be saturated."), above=0.0, maximum=1.0),
    ] = 0.4
    alarm: Annotated[
        float,
        about(N_("alarm above"), N_("Share above which the doctor raises an alarm."), above=0.0, maximum=1.0),
    ] = 0.6

    def examine(self, case: Case) -> Finding | None:
        case = case.sound
        places = case.of_group("function")
        if not len(places) or not len(case.rows) or case.learned:
            return None
        shares = case.recent(QUANTITY)[places]
        bad = shares > self.warn
        if not bad.any():
            return None
        worst = int(np.nanargmax(shares))
        share = float(shares[worst])
        past = case.over_time(QUANTITY)[:, places]
        name = case.name(int(places[worst]))
        return Finding(
            rule="saturated",
            severity="alarm" if share > self.alarm else "warning",
            headline=_("{share} of the outputs of {layer} are saturated").format(share=percent(share), layer=name),
            explanation=_(
                "At its flat ends the function hardly changes when its input does, so its slope, by which the gradient "
                "is multiplied, is nearly zero there. What arrives is too large: because of the first weights, the "
                "inputs, or steps that were too long."
            ),
            evidence=(self._evidence(share),),
            layers=case.paths(places[bad]),
            first_step=sustained(case.steps, np.any(past > self.warn, axis=1)),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals),
        )

    def measure(self, case: Case) -> Evidence | None:
        shares = case.recent(QUANTITY)[case.of_group("function")]
        shares = shares[np.isfinite(shares)]
        return self._evidence(float(shares.max())) if shares.size else None

    def _evidence(self, share: float) -> Evidence:
        return Evidence(_("share of saturated outputs, the most in any layer"), share, self.warn, QUANTITY, below=False)

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        return ((self.warn, _("saturated")),) if quantity == QUANTITY else ()


def _proposals(experiment: Experiment, plan: Plan) -> Iterator[Proposal]:
    """Weights as suits the function where they are too large; then what keeps its inputs small."""
    names = {str(name) for _path, name in settings_named(experiment, "function")}
    if spread_off(experiment, plan) > 1.2:
        yield suited_weights(experiment, plan)
    else:
        yield learning_rate(experiment, 0.1)
    yield normalization(experiment, plan)
    if names & set(SATURATING):
        yield suited_weights(experiment, plan, "relu")
