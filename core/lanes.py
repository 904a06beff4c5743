"""Lanes are experiments side by side; what matters about each is what sets it apart from the first, in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from .activations import ACTIVATIONS
from .experiment import Experiment, family_at
from .fields import Kind, describe
from .text import _

NAMES = ("A", "B", "C", "D")


def difference(first: Experiment, other: Experiment) -> str:
    """What `other` does differently, for its chip: "Sigmoid → ReLU · Xavier normal → He normal"; "" when nothing.

    Changes that are alike in many layers are said once.
    """
    if first == other:
        return ""
    said: dict[str, None] = {}
    old, new = msgspec.to_builtins(first), msgspec.to_builtins(other)
    if len(old["network"]) != len(new["network"]):
        said[_("{before} → {after} layers").format(before=len(old["network"]), after=len(new["network"]))] = None
        old["network"] = new["network"] = ()
    for part in ("network", "loss", "data", "training", "seed"):
        for sentence in _changes(old[part], new[part], [part], first, other):
            said[sentence] = None
    return " · ".join(said)


def _changes(old: Any, new: Any, path: list[str], first: Experiment, other: Experiment) -> list[str]:
    if old == new:
        return []
    if isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        return [
            sentence
            for index, (a, b) in enumerate(zip(old, new, strict=True))
            for sentence in _changes(a, b, [*path, str(index)], first, other)
        ]
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.get("kind") == new.get("kind"):
        if old.get("muted") != new.get("muted"):
            words = _("{layer} off") if new["muted"] else _("{layer} on")
            sentence = words.format(layer=_words(new, path, other))
            return [sentence, *_changes({**old, "muted": new["muted"]}, new, path, first, other)]
        return [sentence for key in new for sentence in _changes(old.get(key), new[key], [*path, key], first, other)]
    if _is_plain(old) and _is_plain(new) and path[-1] != "function":
        setting = _setting(path, first)
        return [f"{setting} {_value_words(old)} → {_value_words(new)}"]
    return [f"{_words(old, path, first)} → {_words(new, path, other)}"]


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str)


def _value_words(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _setting(path: list[str], experiment: Experiment) -> str:
    """The setting's label with its owner where it says little alone: "Dropout rate", but "Learning rate"."""
    label = _label(path, experiment)
    owner: Any = experiment
    for step in path[:-1]:
        owner = owner[int(step)] if isinstance(owner, tuple) else getattr(owner, step)
    if isinstance(owner, Kind) and path[-2:] != ["optimizer", "learning_rate"] and path[0] != "data":
        return _("{owner} {setting}").format(owner=_(owner.label), setting=label)
    return label[:1].upper() + label[1:] if label.isascii() else label


def _words(value: Any, path: list[str], experiment: Experiment) -> str:
    """A value as a person says it: the label of a kind, or the field's label with the number."""
    if isinstance(value, Mapping) and "kind" in value:
        family = family_at(experiment, path)
        return _kind_words(family, value)
    if path[-1] == "function":
        return _(ACTIVATIONS[value].label)
    label = _label(path, experiment)
    if value is None:
        return _("no {setting}").format(setting=label)
    if isinstance(value, Mapping):
        return label
    if isinstance(value, list | tuple):
        if any(isinstance(item, list | tuple) for item in value):
            return f"{label} {len(value)}"
        holds = _holds(path, experiment)
        names = [_kind_words(holds, item) for item in value if isinstance(item, Mapping)]
        return " + ".join(names) if names else _("no {setting}").format(setting=label)
    return f"{label} {_value_words(value)}"


def _kind_words(family: type[Kind] | None, value: Mapping[str, Any]) -> str:
    kind: Any = family.registry.get(value["kind"]) if family is not None else None
    if kind is None:
        return str(value["kind"])
    function = str(value.get("function", ""))
    return _(ACTIVATIONS[function].label if function in ACTIVATIONS else kind.label)


def _holds(path: list[str], experiment: Experiment) -> type[Kind] | None:
    """The family of the items of a list of kinds."""
    here: Any = experiment
    found: Any = None
    for step in path:
        if isinstance(here, tuple):
            here = here[int(step)]
            continue
        found = next((field.holds for field in describe(type(here)) if field.name == step), None)
        here = getattr(here, step)
    return found if isinstance(found, type) and issubclass(found, Kind) else None


def _label(path: list[str], experiment: Experiment) -> str:
    """The label of a field; that of the whole field for a list in a list of lists, "network.1.branches.0"."""
    here: Any = experiment
    while path[-1].isdigit():
        path = path[:-1]
    for step in path[:-1]:
        here = here[int(step)] if isinstance(here, tuple) else getattr(here, step)
    if isinstance(here, Kind) or hasattr(here, "__struct_fields__"):
        return next((_(f.label) for f in describe(type(here)) if f.name == path[-1]), path[-1])
    return path[-1]
