"""Inputs that are not scaled: numbers far from zero, or tiny ones, upset every scheme of first weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, ClassVar

from ...data.summary import Inputs
from ...experiment import Experiment
from ...fields import about
from ...network import Plan
from ...text import N_, _
from ..proposal import Proposal
from ..remedies import normalization
from .base import Case, Evidence, Finding, Rule, in_short

ALARM = 4.0  # times the threshold


@Rule.registry.add("inputs")
class UnscaledInputs(Rule, frozen=True, kw_only=True, tag="inputs"):
    """Some input is far larger or all inputs are far smaller than 1."""

    label: ClassVar[str] = N_("Inputs not scaled")
    source: ClassVar[str] = "LeCun et al. 1998, Efficient BackProp, section 4.3"
    prompt: ClassVar[bool] = True

    most: Annotated[
        float,
        about(
            N_("warn above"),
            N_("Mean or standard deviation that an input may have; 1 or less is usual."),
            above=0.0,
            scale="log",
        ),
    ] = 5.0
    least: Annotated[
        float,
        about(
            N_("warn below"),
            N_("Root of the mean square of all inputs below which they are too small."),
            above=0.0,
            scale="log",
        ),
    ] = 0.05

    def examine(self, case: Case) -> Finding | None:
        inputs = case.inputs
        if inputs is None or not len(case.rows):
            return None
        size = math.sqrt(inputs.mean_square)
        extent = _extent(inputs)
        if extent > self.most:
            evidence = self._evidence(inputs)
            severe = extent > ALARM * self.most
            headline = _("Inputs are not scaled: from {least} to {most}, where about 1 is usual").format(
                least=in_short(inputs.least, 3), most=in_short(inputs.most, 3)
            )
        elif size < self.least:
            evidence = Evidence(_("root mean square of the inputs"), size, self.least)
            severe = size < self.least / ALARM
            headline = _("Inputs are tiny: root mean square {size}, where about 1 is usual").format(size=in_short(size))
        else:
            return None
        first = int(case.steps[0])
        return Finding(
            rule="inputs",
            severity="alarm" if severe else "warning",
            headline=headline,
            explanation=_(
                "First weights and learning rates are made for inputs around zero of about size 1; others make the "
                "first layer's outputs and weight gradients as many times too large or too small. Inputs of unequal "
                "size also make the loss steep in one direction and flat in another, so that no step suits both."
            ),
            evidence=(evidence,),
            layers=case.paths(case.weighted[:1]),
            first_step=first,
            last_step=int(case.steps[-1]),
            proposals=case.remedies(_proposals),
        )

    def measure(self, case: Case) -> Evidence | None:
        return self._evidence(case.inputs) if case.inputs is not None else None

    def _evidence(self, inputs: Inputs) -> Evidence:
        return Evidence(_("largest mean or standard deviation of an input"), _extent(inputs), self.most, below=False)


def _extent(inputs: Inputs) -> float:
    return max(inputs.widest, abs(inputs.farthest_mean))


def _proposals(experiment: Experiment, plan: Plan) -> Iterator[Proposal]:
    yield Proposal(
        _("Standardize the inputs: mean 0 and standard deviation 1 for each"), (("data.scaling", "standardize"),)
    )
    yield Proposal(_("Scale the inputs into −1 to 1"), (("data.scaling", "symmetric"),))
    yield normalization(experiment, plan)
