"""Dead units: a unit that puts out zero for every sample has slope zero for every sample, and never comes back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal, settings_named
from ..remedies import learning_rate, normalization
from .base import Case, Evidence, Finding, Rule, percent

QUANTITY = "activation.dead_fraction"


@Rule.registry.add("dead")
class Dead(Rule, frozen=True, kw_only=True, tag="dead"):
    """Most units of a layer put out exactly zero for nearly all samples of the minibatch."""

    label: ClassVar[str] = N_("Dead units")
    source: ClassVar[str] = (
        "Lu et al. 2019 (arXiv 1903.06733), dying ReLU; a unit active in less than 1 % of the cases, more than half "
        "of a layer: DeadRelu of SageMaker Debugger"
    )
    prompt: ClassVar[bool] = True
    follows: ClassVar[tuple[str, ...]] = ("symmetric", "inputs", "exploding", "vanishing", "rate_too_high")

    warn: Annotated[
        float,
        about(N_("warn above"), N_("Share of a layer's units that may be dead."), above=0.0, maximum=1.0),
    ] = 0.5
    alarm: Annotated[
        float,
        about(N_("alarm above"), N_("Share above which the doctor raises an alarm."), above=0.0, maximum=1.0),
    ] = 0.9

    def examine(self, case: Case) -> Finding | None:
        case = case.sound
        places = case.of_group("function")
        detail = case.detail
        if not len(places) or detail is None or case.learned:
            return None
        shares = case.measured(QUANTITY)[places]
        bad = shares > self.warn
        if not bad.any():
            return None
        worst = int(np.nanargmax(shares))
        share = float(shares[worst])
        name = case.name(int(places[worst]))
        at_birth = case.sustained_in_details(QUANTITY, places, self.warn)
        explanation = _(
            "ReLU is zero and flat below zero: a unit whose input is negative for every sample puts out nothing and "
            "gets no gradient, so its weights never change again. "
        )
        if at_birth == 0:
            explanation += _("Here it is so from the first weights on: the narrower and deeper, the more likely.")
        else:
            explanation += _("It came about at step {step}: one long step is enough.").format(step=at_birth)
        return Finding(
            rule="dead",
            severity="alarm" if share > self.alarm else "warning",
            headline=_("{share} of the units of {layer} are dead").format(share=percent(share), layer=name),
            explanation=explanation,
            evidence=(self._evidence(share),),
            layers=case.paths(places[bad]),
            first_step=at_birth,
            last_step=detail.step,
            proposals=case.remedies(_proposals, at_birth == 0),
        )

    def measure(self, case: Case) -> Evidence | None:
        shares = case.measured(QUANTITY)[case.of_group("function")]
        shares = shares[np.isfinite(shares)]
        return self._evidence(float(shares.max())) if shares.size else None

    def _evidence(self, share: float) -> Evidence:
        return Evidence(_("share of dead units, the most in any layer"), share, self.warn, QUANTITY, below=False)

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        return ((self.warn, _("dead")),) if quantity == QUANTITY else ()


def _proposals(experiment: Experiment, plan: Plan, at_birth: bool) -> Iterator[Proposal]:
    """Shorter steps where a step has killed them; a function with a slope below zero; normalization."""
    if not at_birth:
        yield learning_rate(experiment, 0.1)
    yield normalization(experiment, plan)
    leaky = tuple((path, "leaky_relu") for path, name in settings_named(experiment, "function") if name == "relu")
    yield Proposal(_("Leaky ReLU: a small slope below zero, so that a unit can come back"), leaky)
