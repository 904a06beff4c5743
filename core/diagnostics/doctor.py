"""The doctor asks every rule, and tells causes from what only follows from them: the first cause is what to mend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..data.summary import summary_of
from ..theory.mean_field import predictions_for
from .rules.base import Case, Evidence, Finding, Rule, all_rules

if TYPE_CHECKING:
    from ..run import Run

SEVERITIES = ("alarm", "warning")
# A rule that needs several steps to tell notices a cause later than its effect: by steps, or part of all steps. For a
# prompt one it is only the time between two looks at single units.
NOTICED_WITHIN, NOTICED_SHARE, BETWEEN_DETAILS = 16, 0.25, 0.125


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of one lane at one step.

    findings   first causes first, each followed by what follows from it
    step       the step that was looked at
    """

    findings: tuple[Finding, ...]
    step: int

    @property
    def first(self) -> Finding | None:
        """The first cause: what to mend first."""
        return self.findings[0] if self.findings else None

    def __bool__(self) -> bool:
        return bool(self.findings)


@dataclass(frozen=True)
class Examination:
    """What the doctor says of one lane, and what was measured for it: done once, by whoever has the time.

    rules     those that looked, with their thresholds
    measured  (name of the rule, its decisive number) of all that can say something, the nearest to its threshold, or
              the farthest beyond it, first
    """

    diagnosis: Diagnosis
    rules: tuple[Rule, ...]
    measured: tuple[tuple[str, Evidence], ...] = ()

    def number(self, rule: str) -> Evidence | None:
        """The decisive number of a rule, whether it is beyond its threshold or not; None where nothing can be said."""
        found = self.found(rule)
        return found.evidence[0] if found is not None else dict(self.measured).get(rule)

    def found(self, rule: str) -> Finding | None:
        """What a rule has found; None where that is nothing."""
        return next((finding for finding in self.diagnosis.findings if finding.rule == rule), None)


def examine(case: Case, rules: Sequence[Rule]) -> Examination:
    """Findings and numbers of the active ones of these rules."""
    measured = nearest(case, rules, len(rules))
    return Examination(
        diagnose(case, rules), tuple(rules), tuple((rule.kind_name(), evidence) for rule, evidence in measured)
    )


def diagnose(case: Case, rules: Sequence[Rule]) -> Diagnosis:
    """What the active ones of these rules find."""
    found = [finding for rule in rules if rule.active and (finding := rule.examine(case)) is not None]
    known = {rule.kind_name(): rule for rule in rules}
    first = int(case.steps[0]) if len(case.steps) else 0
    linked = [
        replace(
            finding,
            follows_from=tuple(cause.rule for cause in found if _causes(cause, finding, known, first, case.step)),
        )
        for finding in found
    ]
    return Diagnosis(tuple(_in_order(linked)), case.step)


def nearest(case: Case, rules: Sequence[Rule], most: int = 3) -> list[tuple[Rule, Evidence]]:
    """What comes nearest to a threshold, the nearest first: what a healthy network should be watched for."""
    found = []
    for rule in rules:
        evidence = rule.measure(case) if rule.active else None
        if evidence is not None and math.isfinite(evidence.excess):
            found.append((rule, evidence))
    return sorted(found, key=lambda pair: -pair[1].excess)[:most]


def diagnosis_of(run: Run, rules: Sequence[Rule] | None = None) -> Diagnosis:
    """What the doctor says of a run at the last step that it recorded, or before the first one."""
    view = run.record.view(whole=True) if run.record.end > run.first_step else run.view(looking=True)
    plan, chance = run.program.plan, run.experiment.loss.chance(run.data.outline)
    predictions = predictions_for(plan, run.data, run.experiment.training.batch_size)
    step = int(view.kept_steps[-1]) + view.stride - 1 if len(view.kept_steps) else run.first_step
    case = Case(view, plan, run.experiment, step, summary_of(run.data), predictions, chance)
    return diagnose(case, all_rules() if rules is None else rules)


def plain(diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """The findings as plain JSON values, first causes first; null stands for a number that is not finite."""

    def number(value: float) -> float | None:
        return float(value) if math.isfinite(value) else None

    return [
        {
            "rule": finding.rule,
            "severity": finding.severity,
            "headline": finding.headline,
            "explanation": finding.explanation,
            "evidence": [
                {
                    "text": one.text,
                    "quantity": one.quantity,
                    "value": number(one.value),
                    "threshold": number(one.threshold),
                }
                for one in finding.evidence
            ],
            "layers": list(finding.layers),
            "first_step": finding.first_step,
            "last_step": finding.last_step,
            "follows_from": list(finding.follows_from),
            "proposals": [proposal.to_plain() for proposal in finding.proposals],
        }
        for finding in diagnosis.findings
    ]


def _in_order(findings: list[Finding]) -> list[Finding]:
    """Causes before effects; among equals the worse first, then the earlier."""
    ordered: list[Finding] = []
    waiting = sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.first_step))
    while waiting:
        said = {finding.rule for finding in ordered}
        open_rules = {finding.rule for finding in waiting}
        ready = next((f for f in waiting if not (set(f.follows_from) & open_rules) - {f.rule}), None)
        # Rules that follow from each other: the worse one is taken for the cause, but not what only follows from them.
        chosen = ready if ready is not None else replace(_in_a_circle(waiting)[0], follows_from=())
        waiting = [f for f in waiting if f.rule != chosen.rule]
        ordered.append(replace(chosen, follows_from=tuple(c for c in chosen.follows_from if c in said)))
    return ordered


def _in_a_circle(findings: list[Finding]) -> list[Finding]:
    """Those findings whose causes, near and far, all follow from them in turn; there are some where every one has a
    cause among them.
    """
    causes = {f.rule: set(f.follows_from) for f in findings}
    behind: dict[str, set[str]] = {}
    for rule in causes:
        known, fresh = set[str](), {rule}
        while fresh:
            fresh = {cause for one in fresh for cause in causes[one] if cause in causes} - known
            known |= fresh
        behind[rule] = known
    return [f for f in findings if all(f.rule in behind[cause] for cause in behind[f.rule])]


def _causes(cause: Finding, effect: Finding, rules: dict[str, Rule], first: int, step: int) -> bool:
    """Whether one finding may be the cause of another: its rule is named for that, and it was not there long after.

    first, step   the first step that is known, and the one that is looked at
    """
    if cause.rule in rules[effect.rule].follows_from_start:
        return cause.first_step <= first
    if cause.rule not in rules[effect.rule].follows:
        return False
    if rules[cause.rule].prompt:
        grace = BETWEEN_DETAILS * effect.first_step
    else:
        grace = max(NOTICED_WITHIN, NOTICED_SHARE * step)
    return cause.first_step <= effect.first_step + grace
