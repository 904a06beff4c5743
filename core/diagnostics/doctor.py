"""The doctor asks every rule, and tells causes from what only follows from them: the first cause is what to mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .rules.base import Case, Finding, Rule

SEVERITIES = ("alarm", "warning")


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
    follows = {rule.kind_name(): rule.follows for rule in rules}
    names = {finding.rule for finding in found}
    linked = [
        replace(finding, follows_from=tuple(cause for cause in follows.get(finding.rule, ()) if cause in names))
        for finding in found
    ]
    return Diagnosis(tuple(_in_order(linked)), case.step)


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
