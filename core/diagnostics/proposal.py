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

from ..editing import in_list, layer_at, lists_of, split
from ..errors import InputError
from ..experiment import Experiment, value_at, with_value
from ..fields import describe
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
        for path, value in self.changes:
            experiment = _changed(experiment, path, value)
        return experiment

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


def _changed(experiment: Experiment, path: str, value: Any) -> Experiment:
    if not isinstance(value, Insert | Remove):
        return with_value(experiment, path, value)
    layer = path.removeprefix("network.")
    if not in_list(layer):
        raise InputError(_("this layer is a part of its block and stands in no list"), path)
    place, index = split(layer)
    layers = list(value_at(experiment, place))
    if index > len(layers) or (isinstance(value, Remove) and index == len(layers)):
        raise InputError(_("there is no layer here"), path)
    if isinstance(value, Insert):
        layers.insert(index, value.layer)
    else:
        del layers[index]
    return with_value(experiment, place, layers)


def settings_named(experiment: Experiment, name: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting of this name in layers that are not muted, list by list: "network.0.init"."""
    for place in lists_of(experiment):
        for index, _layer in enumerate(value_at(experiment, place)):
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
