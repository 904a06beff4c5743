"""Vanishing gradients: on the way back every layer makes the gradient smaller, and the first layers learn nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal, settings_named
from ..remedies import FLAT, learning_rate, normalization, spread_off, suited_weights
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

ALARMING_TOTAL = 1e-3  # first by last gradient; AutoTrainer (Zhang et al. 2021), β1


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
        slope = case.slope("gradient.norm", "gradient_norm", backward=True)
        if slope is None or not slope.factor < self.warn or not slope.total < self.least_total:
            return None
        factor, total = slope.factor, slope.total
        return Finding(
            rule="vanishing",
            severity="alarm" if factor < self.alarm or total < ALARMING_TOTAL else "warning",
            headline=_("Gradients vanish: ×{factor} per layer, the first layer gets {total} of the last one’s").format(
                factor=in_short(factor), total=in_short(total, 1)
            )
            if factor > 0.0
            else _("Gradients vanish: nothing at all arrives at the first layers"),
            explanation=_(
                "On its way back the gradient is multiplied by each layer's weights and by the slope of its function; "
                "here this makes it smaller every time, so that the first layers hardly learn."
            )
            + " "
            + slope.told(),
            evidence=self._evidence(slope),
            layers=case.paths(slope.places[: (len(slope.places) + 1) // 2]),
            first_step=sustained(case.steps, (slope.factors < self.warn) & (slope.totals < self.least_total)),
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals, bool(slope.expected > self.warn)),
        )

    def measure(self, case: Case) -> Evidence | None:
        slope = case.slope("gradient.norm", "gradient_norm", backward=True)
        return limiting(self._evidence(slope)) if slope is not None else None

    def _evidence(self, slope: Slope) -> tuple[Evidence, Evidence]:
        return evidence_of_gradients(slope, self.warn, self.least_total, below=True)

    def slopes(self, quantity: str, layers: int) -> tuple[tuple[float, str], ...]:
        if quantity != "gradient.norm" or layers < FEWEST:
            return ()
        # Both must be so, the factor and the total: over few layers it is the total that decides.
        factor = min(self.warn, self.least_total ** (1.0 / (layers - 1)))
        return ((1.0 / factor, _("vanishing, ×{factor} per layer").format(factor=in_short(factor))),)


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
