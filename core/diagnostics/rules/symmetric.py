"""Symmetric start: units with equal weights get equal gradients and stay copies of each other forever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import suited_weights
from .base import Case, Evidence, Finding, Rule, percent

QUANTITY = "weight.equal_fraction"


@Rule.registry.add("symmetric")
class Symmetric(Rule, frozen=True, kw_only=True, tag="symmetric"):
    """Most units of a hidden layer have the same weights as another unit of it."""

    label: ClassVar[str] = N_("Symmetric start")
    source: ClassVar[str] = "Goodfellow, Bengio & Courville 2016, section 8.4"
    prompt: ClassVar[bool] = True

    warn: Annotated[
        float,
        about(N_("warn above"), N_("Share of a layer's units that may be copies."), above=0.0, maximum=1.0),
    ] = 0.5

    def examine(self, case: Case) -> Finding | None:
        detail = case.detail
        places = case.weighted
        if detail is None or len(places) < 2:
            return None
        shares = case.measured(QUANTITY)[places]
        # Units that start apart never become copies, but beside a weight that has run away all others look alike.
        known = [d.measured[QUANTITY] for d in case.view.details if d.step <= case.step and QUANTITY in d.measured]
        alike = shares > self.warn
        for earlier in known:
            alike &= np.asarray(earlier)[places] > self.warn
        # The units of the last layer are told apart by the targets. Before the first step, a layer is told apart by
        # the next one's weights, unless they are equal as well; after it, whatever is still alike stays so.
        hidden = alike[:-1].copy()
        if detail.step == case.view.steps[0]:
            hidden &= alike[1:] | self._fixed(case)[1:]
        if not hidden.any():
            return None
        bad = places[:-1][hidden]
        share = float(shares[:-1][hidden].max())
        return Finding(
            rule="symmetric",
            severity="alarm",
            headline=_("{share} of the units of {layer} have the same weights").format(
                share=percent(share), layer=case.name(int(bad[0]))
            ),
            explanation=_(
                "Units that start with equal weights put out equal numbers, get equal gradients and stay equal after "
                "every step. However many there are, the layer computes as if it had only one."
            ),
            evidence=(self._evidence(share),),
            layers=case.paths(bad),
            first_step=case.sustained_in_details(QUANTITY, bad, self.warn),
            last_step=detail.step,
            proposals=case.remedies(_proposals),
        )

    def _fixed(self, case: Case) -> np.ndarray:
        """(weighted,) whether a layer starts with one number for all weights; output layers of one unit, say."""
        found = []
        for index in case.weighted:
            card = case.cards[index]
            assert card is not None  # it has weights
            weight = next(p for p in card.parameters if p.weight)
            found.append(weight.spread[0] == 0.0)
        return np.array(found, dtype=bool)

    def measure(self, case: Case) -> Evidence | None:
        shares = case.measured(QUANTITY)[case.weighted[:-1]]
        shares = shares[np.isfinite(shares)]
        return self._evidence(float(shares.max())) if shares.size else None

    def _evidence(self, share: float) -> Evidence:
        return Evidence(
            _("share of units that are copies, the most in any layer"), share, self.warn, QUANTITY, below=False
        )

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        return ((self.warn, _("symmetric")),) if quantity == QUANTITY else ()


def _proposals(experiment: Experiment, plan: Plan) -> Iterator[Proposal]:
    yield suited_weights(experiment, plan)
