"""The doctor's thresholds as a person has set them: only what differs from the usual is kept, as plain JSON values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from layerscope.core.diagnostics.rules.base import Rule, all_rules
from layerscope.core.errors import InputError
from layerscope.core.fields import build


def to_text(rules: Sequence[Rule]) -> str:
    """What differs from the usual, by rule and threshold; "" where nothing does."""
    changed = {}
    for rule in rules:
        usual = msgspec.to_builtins(type(rule)())
        values = {name: value for name, value in msgspec.to_builtins(rule).items() if value != usual[name]}
        if values:
            changed[rule.kind_name()] = values
    return json.dumps(changed) if changed else ""


def from_text(text: str) -> tuple[Rule, ...]:
    """The rules with what was kept; what this version does not know, or does not allow, stays as usual."""
    try:
        kept = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        kept = {}
    kept = kept if isinstance(kept, dict) else {}
    found = []
    for rule in all_rules():
        values = kept.get(rule.kind_name(), {})
        for name, value in values.items() if isinstance(values, dict) else ():
            with suppress(InputError):
                rule = with_threshold(rule, name, value)
        found.append(rule)
    return tuple(found)


def with_threshold(rule: Rule, name: str, value: object) -> Rule:
    """A rule with another threshold; an InputError when it is not allowed."""
    return build(Rule, {**msgspec.to_builtins(rule), name: value})


def with_rule(rules: Sequence[Rule], other: Rule) -> tuple[Rule, ...]:
    """The rules with one of them replaced by another of its kind."""
    return tuple(other if type(rule) is type(other) else rule for rule in rules)
