"""The doctor asks every rule, and tells causes from what only follows from them: the first cause is what to mend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .rules.base import Case, Evidence, Finding, Rule

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


def diagnose(case: Case, rules: Sequence[Rule]) -> Diagnosis:
    """What the active ones of these rules find."""
    found = [finding for rule in rules if rule.active and (finding := rule.examine(case)) is not None]
    known = {rule.kind_name(): rule for rule in rules}
    linked = [
        replace(finding, follows_from=tuple(cause.rule for cause in found if _causes(cause, finding, known, case.step)))
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


def _in_order(findings: list[Finding]) -> list[Finding]:
    """Causes before effects; among equals the worse first, then the earlier."""
    ordered: list[Finding] = []
    waiting = sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.first_step))
    while waiting:
        said = {finding.rule for finding in ordered}
        open_rules = {finding.rule for finding in waiting}
        ready = next((f for f in waiting if not (set(f.follows_from) & open_rules) - {f.rule}), None)
        # Rules that follow from each other: the worse one is taken for the cause.
        chosen = ready if ready is not None else replace(waiting[0], follows_from=())
        waiting = [f for f in waiting if f.rule != chosen.rule]
        ordered.append(replace(chosen, follows_from=tuple(c for c in chosen.follows_from if c in said)))
    return ordered


def _causes(cause: Finding, effect: Finding, rules: dict[str, Rule], step: int) -> bool:
    """Whether one finding may be the cause of another: its rule is named for that, and it was not there long after."""
    if cause.rule not in rules[effect.rule].follows:
        return False
    if rules[cause.rule].prompt:
        grace = BETWEEN_DETAILS * effect.first_step
    else:
        grace = max(NOTICED_WITHIN, NOTICED_SHARE * step)
    return cause.first_step <= effect.first_step + grace
