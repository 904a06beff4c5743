"""A fresh kind is one to begin with: its own defaults, and for what has none, what suits the place where it will stand.

A dense layer cannot be made without saying how many units it has; somebody who presses `+` has not said it yet. Nothing
here knows a kind by name, so a new kind needs no entry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from layerscope.core.errors import InputError
from layerscope.core.fields import Described, Field, Kind, build, describe

USUAL = 64.0  # a number without a default, where nothing nearby says what is usual


def fresh(
    kind: type[Described],
    like: Sequence[Described | None] = (),
    settings: Mapping[str, Any] | None = None,
    depth: int = 0,
) -> Any:
    """One of this kind.

    like      others, the most similar first: what they have under the same name is used for what has no default
    settings  what is known already
    """
    values: dict[str, Any] = {}
    for field in describe(kind):
        if settings is not None and field.name in settings:
            values[field.name] = settings[field.name]
        elif field.required:
            values[field.name] = _usual(field, like, depth)
    return kind(**values)


def changed_kind(kind: type[Kind], old: Described | None) -> Any:
    """One of this kind that keeps the settings it shares with `old`, where its limits allow them."""
    plain = msgspec.to_builtins(old) if old is not None else {}
    found = fresh(kind, (old,))
    for field in describe(kind):
        if field.name not in plain:
            continue
        trial = {**msgspec.to_builtins(found), field.name: plain[field.name]}
        try:
            found = build(kind, trial)
        except InputError:
            continue  # the new kind's limits are others: its default stays
    return found


def _usual(field: Field, like: Sequence[Described | None], depth: int) -> Any:
    for other in like:
        if other is not None and hasattr(other, field.name):
            return getattr(other, field.name)
    if field.sort in ("integer", "number"):
        return _within(field)
    if field.sort == "boolean":
        return False
    if field.sort == "text":
        return ""
    if field.sort == "choice":
        return field.choice_names()[0]
    if field.sort == "struct":
        return fresh(field.holds, like, depth=depth + 1)
    if field.sort == "family":
        return fresh(next(iter(field.holds.registry)), like, depth=depth + 1)
    if field.sort == "families":
        return _few(field, like, depth)
    return (_few(field, like, depth),)


def _few(field: Field, like: Sequence[Described | None], depth: int) -> tuple[Any, ...]:
    """The shortest list that the field allows: one item, or none where a kind may hold itself."""
    if depth > 0:
        return ()
    return (fresh(next(iter(field.holds.registry)), like, depth=depth + 1),)


def _within(field: Field) -> float | int:
    low = field.minimum if field.minimum is not None else field.above
    high = field.maximum if field.maximum is not None else field.below
    if low is not None and high is not None and high - low < USUAL:
        number = (low + high) / 2
    else:
        number = min(max(USUAL, low if low is not None else USUAL), high if high is not None else USUAL)
    return int(number) if field.sort == "integer" else float(number)
