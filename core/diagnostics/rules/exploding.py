"""Exploding gradients: on the way back every layer makes the gradient larger, and the first step throws the weights
away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import learning_rate, normalization, normalized_blocks, spread_off, suited_weights
from .base import (
    FEWEST,
    Case,
    Evidence,
    Finding,
    Rule,
    Slope,
    evidence_of_gradients,
    in_short,
    limiting,
    sustained,
)


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
        slope = case.slope("gradient.norm", "gradient_norm", backward=True)
        if slope is None or not slope.factor > self.warn or not slope.total > self.most_total:
            return None
        factor, total = slope.factor, slope.total
        return Finding(
            rule="exploding",
            severity="alarm" if factor > self.alarm else "warning",
            headline=_(
                "Gradients explode: ×{factor} per layer, the first layer gets {total} times the last one’s"
            ).format(factor=in_short(factor), total=in_short(total)),
            explanation=_(
                "On its way back the gradient is multiplied by each layer's weights and by the slope of its function; "
                "here this makes it larger every time, so that a step that suits the last layer is too long for the "
                "first."
            )
            + " "
            + slope.told(),
            evidence=self._evidence(slope),
            layers=case.paths(slope.places[: (len(slope.places) + 1) // 2]),
            first_step=sustained(case.steps, (slope.factors > self.warn) & (slope.totals > self.most_total)),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals),
        )

    def measure(self, case: Case) -> Evidence | None:
        slope = case.slope("gradient.norm", "gradient_norm", backward=True)
        return limiting(self._evidence(slope)) if slope is not None else None

    def _evidence(self, slope: Slope) -> tuple[Evidence, Evidence]:
        return evidence_of_gradients(slope, self.warn, self.most_total, below=False)

    def slopes(self, quantity: str, layers: int) -> tuple[tuple[float, str], ...]:
        if quantity != "gradient.norm" or layers < FEWEST:
            return ()
        # Both must be so, the factor and the total: over few layers it is the total that decides.
        factor = max(self.warn, self.most_total ** (1.0 / (layers - 1)))
        return ((1.0 / factor, _("exploding, ×{factor} per layer").format(factor=in_short(factor))),)


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
