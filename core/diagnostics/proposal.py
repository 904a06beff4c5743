"""A proposal is a sentence that says what to try, with the changes to an experiment that try it.

The doctor and the autopsy make proposals; the window applies one to a new lane, the command line prints it. A proposal
is only data: the experiment that it is applied to is checked like a file, so that one that does not fit is refused with
the place that is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from ..editing import deleted, in_list, inserted, layer_at, layers_at, lists_of, split
from ..errors import InputError
from ..experiment import Experiment, with_values
from ..fields import build, describe
from ..layers.base import Layer
from ..text import _


@dataclass(frozen=True)
class Insert:
    """In place of a value: a layer is put before the one at the path, or behind the last one of its list.

    layer   plain values, as in a file: {"kind": "batch_norm"}
    """

    layer: dict[str, Any]


@dataclass(frozen=True)
class Remove:
    """In place of a value: the layer at the path is taken out."""


Change = tuple[str, Any]


@dataclass(frozen=True)
class Proposal:
    """What to try.

    text      one sentence, translated: "Divide the learning rate by 10"
    changes   (path, value), made one after the other. The value is a plain JSON value and the path one of `with_value`:
              ("training.optimizer.learning_rate", 0.1), ("training.clipping", {"kind": "global_norm"}). With `Insert`
              or `Remove` as the value, the path is a layer's, "network.2.body.1"; later changes see the layers in
              their new places, so several are best listed back to front.
    """

    text: str
    changes: tuple[Change, ...]

    def apply(self, experiment: Experiment) -> Experiment:
        """The experiment with the changes made; an InputError when one cannot be."""
        together: dict[str, Any] = {}  # settings none of which lies inside another are made and checked at once
        around: set[str] = set()  # what their paths lie in
        for path, value in self.changes:
            moves = isinstance(value, Insert | Remove)
            outer = _around(path)
            if together and (moves or path in around or not together.keys().isdisjoint({path, *outer})):
                experiment = with_values(experiment, list(together.items()))
                together, around = {}, set()
            if moves:
                experiment = _moved(experiment, path, value)
            else:
                together[path] = value
                around |= outer
        return with_values(experiment, list(together.items())) if together else experiment

    def fits(self, experiment: Experiment) -> bool:
        """Whether it can be applied, and something is then different."""
        try:
            return self.apply(experiment) != experiment
        except InputError:
            return False

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON values, as files hold them."""
        return {"text": self.text, "changes": [{"path": path, **_plain(value)} for path, value in self.changes]}


def _plain(value: Any) -> dict[str, Any]:
    match value:
        case Insert(layer):
            return {"insert": layer}
        case Remove():
            return {"remove": True}
        case _:
            return {"value": value}


def _around(path: str) -> set[str]:
    """The paths of all that a setting lies in: of "a.b.c" they are "a" and "a.b"."""
    parts = path.split(".")
    return {".".join(parts[:count]) for count in range(1, len(parts))}


def _moved(experiment: Experiment, path: str, value: Insert | Remove) -> Experiment:
    layer = path.removeprefix("network.")
    if not in_list(layer):
        raise InputError(_("this layer is a part of its block and stands in no list"), path)
    place, index = split(layer)
    count = len(layers_at(experiment, place))
    if index > count or (isinstance(value, Remove) and index == count):
        raise InputError(_("there is no layer here"), path)
    if isinstance(value, Insert):
        return inserted(experiment, place, index, build(Layer, value.layer, path))
    return deleted(experiment, layer)


def settings_named(experiment: Experiment, name: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting of this name in layers that are not muted, list by list: "network.0.init"."""
    for place in lists_of(experiment):
        for index, _layer in enumerate(layers_at(experiment, place)):
            path = f"{place}.{index}"
            yield from _in_layer(layer_at(experiment, path.removeprefix("network.")), path, name)


def _in_layer(layer: Layer, path: str, name: str) -> Iterator[tuple[str, Any]]:
    if layer.muted:
        return
    for field in describe(type(layer)):
        value = getattr(layer, field.name)
        if field.name == name:
            yield f"{path}.{name}", msgspec.to_builtins(value)
        elif isinstance(value, Layer):
            yield from _in_layer(value, f"{path}.{field.name}", name)
