"""Editing turns one experiment into another: layers are put in, taken out, moved, also into and out of blocks.

A list of layers is called by its place: "network", "network.2.body", "network.3.branches.0". A layer is called by its
path, as in records: "2", "2.body.1". Experiments are never changed; every function returns a new one, checked like a
file, or raises an InputError that says why it cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .errors import InputError
from .experiment import Experiment
from .fields import Described, describe
from .layers.base import Layer
from .text import _

Layers = tuple[Layer, ...]


def split(path: str) -> tuple[str, int]:
    """The place of the list that a layer stands in, and its number there: "2.body.1" is ("network.2.body", 1)."""
    place, _dot, last = f"network.{path}".rpartition(".")
    if not _is_index(last):
        raise InputError(_("this layer is a part of its block and stands in no list"), f"network.{path}")
    return place, int(last)


def path_of(place: str, index: int) -> str:
    """The path of the layer at `index` of the list at `place`."""
    return f"{place}.{index}".removeprefix("network.")


def in_list(path: str) -> bool:
    """Whether a layer stands in a list, so that it can be moved and deleted; a shortcut, say, does not."""
    return _is_index(path.rpartition(".")[2])


def value_of(experiment: Experiment, place: str) -> Any:
    """What stands at a place of the experiment, as it is: a list of layers, a layer, a number."""
    here: Any = experiment
    for step in place.split("."):
        if isinstance(here, tuple) and _is_index(step) and int(step) < len(here):
            here = here[int(step)]
        elif isinstance(here, Described) and step in {field.name for field in describe(type(here))}:
            here = getattr(here, step)
        else:
            raise InputError(_("there is no such place in this experiment"), place)
    return here


def replaced(experiment: Experiment, place: str, value: Any) -> Experiment:
    """The experiment with another value at a place."""

    def inside(here: Any, steps: list[str], at: str) -> Any:
        if not steps:
            return value
        step, rest = steps[0], steps[1:]
        at = f"{at}.{step}" if at else step
        if isinstance(here, tuple) and _is_index(step) and int(step) < len(here):
            index = int(step)
            return (*here[:index], inside(here[index], rest, at), *here[index + 1 :])
        if isinstance(here, Described) and step in {field.name for field in describe(type(here))}:
            new = inside(getattr(here, step), rest, at)
            try:
                return msgspec.structs.replace(here, **{step: new})
            except InputError as error:
                raise InputError(error.problem, at) from None
        raise InputError(_("there is no such place in this experiment"), at)

    changed: Experiment = inside(experiment, place.split("."), "")
    return changed


def layers_at(experiment: Experiment, place: str) -> Layers:
    """The list of layers at a place."""
    found = value_of(experiment, place)
    if not isinstance(found, tuple) or not all(isinstance(layer, Layer) for layer in found):
        raise InputError(_("there is no list of layers here"), place)
    return found


def layer_at(experiment: Experiment, path: str) -> Layer:
    """The layer at a path."""
    found = value_of(experiment, f"network.{path}")
    if not isinstance(found, Layer):
        raise InputError(_("there is no layer here"), f"network.{path}")
    return found


def lists_of(experiment: Experiment) -> Iterator[str]:
    """The places of all lists of layers, a block's after the one that the block stands in."""

    def look(layers: Layers, place: str) -> Iterator[str]:
        yield place
        for index, layer in enumerate(layers):
            for name, _layers in lists_in(layer):
                inner = f"{place}.{index}.{name}"
                yield from look(layers_at(experiment, inner), inner)

    return look(experiment.network, "network")


def lists_in(layer: Layer) -> Iterator[tuple[str, Layers]]:
    """(place inside the layer, layers) of the lists that a layer holds: ("body", ...), ("branches.0", ...)."""
    for field in describe(type(layer)):
        value = getattr(layer, field.name)
        if field.sort == "families" and issubclass(field.holds, Layer):
            yield field.name, value
        elif field.sort == "lists" and issubclass(field.holds, Layer):
            yield from ((f"{field.name}.{index}", part) for index, part in enumerate(value))


def each_layer(experiment: Experiment, change: Callable[[Layer], Layer]) -> Experiment:
    """The experiment with `change` made of every layer, also of those inside others, from the inside out."""

    def changed(layer: Layer) -> Layer:
        new: dict[str, Any] = {}
        for field in describe(type(layer)):
            value = getattr(layer, field.name)
            if isinstance(value, Layer):
                new[field.name] = changed(value)
            elif field.sort == "families" and issubclass(field.holds, Layer):
                new[field.name] = tuple(changed(inner) for inner in value)
            elif field.sort == "lists" and issubclass(field.holds, Layer):
                new[field.name] = tuple(tuple(changed(inner) for inner in part) for part in value)
        return change(msgspec.structs.replace(layer, **new) if new else layer)

    return msgspec.structs.replace(experiment, network=tuple(changed(layer) for layer in experiment.network))


def unwrapped(layer: Layer) -> Layer:
    """The layer that another one only wraps, such as the dense layer inside a weight norm; otherwise itself."""
    inside = [getattr(layer, field.name) for field in describe(type(layer)) if field.sort == "family"]
    layers = [value for value in inside if isinstance(value, Layer)]
    return unwrapped(layers[0]) if len(layers) == 1 and not any(lists_in(layer)) else layer


def with_unwrapped(layer: Layer, inner: Layer) -> Layer:
    """The layer with another one in place of what `unwrapped` finds in it."""
    if unwrapped(layer) is layer:
        return inner
    name = next(f.name for f in describe(type(layer)) if isinstance(getattr(layer, f.name), Layer))
    return msgspec.structs.replace(layer, **{name: with_unwrapped(getattr(layer, name), inner)})


def inserted(experiment: Experiment, place: str, index: int, layer: Layer) -> Experiment:
    """A layer put before number `index` of the list at `place`; behind the last one where `index` is their number."""
    layers = layers_at(experiment, place)
    return replaced(experiment, place, (*layers[:index], layer, *layers[index:]))


def deleted(experiment: Experiment, path: str) -> Experiment:
    """A layer taken out, with all that is inside of it."""
    place, index = split(path)
    layer_at(experiment, path)
    layers = layers_at(experiment, place)
    return replaced(experiment, place, (*layers[:index], *layers[index + 1 :]))


def duplicated(experiment: Experiment, path: str) -> Experiment:
    """A copy of a layer put right behind it."""
    place, index = split(path)
    return inserted(experiment, place, index + 1, layer_at(experiment, path))


def moved(experiment: Experiment, path: str, place: str, gap: int) -> tuple[Experiment, str]:
    """A layer carried to a gap of a list, and its path there.

    gap   as before the move: number i stands before layer i of the list at `place`
    """
    layer = layer_at(experiment, path)
    start, index = split(path)
    own = f"{start}.{index}"
    if place == own or place.startswith(f"{own}."):
        raise InputError(_("a block cannot be moved into itself"), place)
    if place == start:
        gap = gap - 1 if gap > index else gap
        layers = list(layers_at(experiment, start))
        del layers[index]
        layers.insert(gap, layer)
        return replaced(experiment, start, tuple(layers)), path_of(start, gap)
    layers_at(experiment, place)  # before anything is taken out
    changed = deleted(experiment, path)
    # The layers behind the one that was taken out have come one closer, and so has what is inside of them.
    head = f"{start}."
    if place.startswith(head):
        first, _dot, rest = place.removeprefix(head).partition(".")
        if _is_index(first) and int(first) > index:
            place = f"{head}{int(first) - 1}.{rest}"
    return inserted(changed, place, gap, layer), path_of(place, gap)


def muted(experiment: Experiment, path: str, muted: bool = True) -> Experiment:
    """A layer switched off, or on again; the others keep their places and random draws."""
    return replaced(experiment, f"network.{path}.muted", muted)


def with_part(experiment: Experiment, place: str) -> Experiment:
    """One more empty list in a list of lists: another branch. `place` is that of the lists, "network.3.branches"."""
    return replaced(experiment, place, (*value_of(experiment, place), ()))


def without_part(experiment: Experiment, place: str) -> Experiment:
    """A list taken out of a list of lists, with its layers: "network.3.branches.1"."""
    lists, _dot, index = place.rpartition(".")
    parts = value_of(experiment, lists)
    layers_at(experiment, place)
    return replaced(experiment, lists, (*parts[: int(index)], *parts[int(index) + 1 :]))


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10
