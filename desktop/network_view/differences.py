"""What sets a card of this lane apart from the same card of lane A: the text beside the colored dot."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

from layerscope.core import editing
from layerscope.core.experiment import Experiment
from layerscope.core.fields import Described, Field, Kind, describe
from layerscope.core.layers.base import Layer
from layerscope.core.text import _

from ..explain import kind_label


def said(value: Any, field: Field | None = None) -> str:
    """A value in a few words."""
    if isinstance(value, Layer):
        return value.title()
    if isinstance(value, Kind):
        return kind_label(type(value), value.kind_name())
    if value is None:
        return _("none")
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, str) and field is not None and field.choices is not None and value in field.choices:
        return kind_label(field.choices[value], value)
    if isinstance(value, tuple):
        return " · ".join(said(item) for item in value) or _("none")
    return str(value)


def lines(a: Described, b: Described) -> list[str]:
    """What `a` has where `b` differs, a line each: "units 32"."""
    if type(a) is not type(b):
        return [said(a)]
    found = []
    for field in describe(type(b)):
        old, new = getattr(a, field.name), getattr(b, field.name)
        if old == new or _holds_layers(field):
            continue
        if field.name == "muted":
            found.append(_("off") if old else _("on"))
        elif field.sort == "family" and type(old) is type(new) and old is not None:
            found += lines(old, new)
        elif field.sort in ("family", "choice") or (isinstance(b, Layer) and a.title() != b.title()):  # type: ignore[attr-defined]
            found.append(said(old, field))
        else:
            found.append(f"{_(field.label)} {said(old, field)}")
    return found


def _holds_layers(field: Field) -> bool:
    """Whether the layers inside of a block stand there: they have cards of their own."""
    return field.holds is not None and issubclass(field.holds, Layer)


def _compare(a: tuple[Layer, ...], b: tuple[Layer, ...], head: str, name: str, found: dict[str, str]) -> None:
    for index, (old, new) in enumerate(zip(partners(a, b), b, strict=True)):
        path = f"{head}{index}"
        if old is None:
            found[path] = _("{lane}: not there").format(lane=name)
        elif old != new:
            if words := lines(old, new):
                found[path] = _("{lane}: {settings}").format(lane=name, settings=" · ".join(words))
            before = dict(editing.lists_in(old))
            for place, layers in editing.lists_in(new):
                _compare(before.get(place, ()), layers, f"{path}.{place}.", name, found)


def partners(a: tuple[Layer, ...], b: tuple[Layer, ...]) -> list[Layer | None]:
    """For every layer of `b` the one of `a` that stands in its place; None where `a` has none."""
    if len(a) == len(b):
        return list(a)
    found: list[Layer | None] = [None] * len(b)
    matcher = SequenceMatcher(a=[type(layer) for layer in a], b=[type(layer) for layer in b], autojunk=False)
    for block in matcher.get_matching_blocks():
        found[block.b : block.b + block.size] = a[block.a : block.a + block.size]
    return found


def differences(first: Experiment, name: str, other: Experiment) -> dict[str, str]:
    """Card -> what lane `name` has there, for the cards that differ."""
    found: dict[str, str] = {}
    _compare(first.network, other.network, "", name, found)
    for part in ("data", "loss", "training"):
        old, new = getattr(first, part), getattr(other, part)
        if old != new:
            found[part] = _("{lane}: {settings}").format(lane=name, settings=" · ".join(lines(old, new)))
    return found
