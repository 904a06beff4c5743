"""A fix is the obvious way out of a problem, offered as one button on the card that has the problem."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from layerscope.core.editing import unwrapped, with_unwrapped
from layerscope.core.experiment import Experiment
from layerscope.core.fields import describe
from layerscope.core.layers.base import Layer
from layerscope.core.network import Plan, plan
from layerscope.core.text import ngettext

from ..fresh import fresh

WIDTHS = ("units", "filters")  # the fields that decide how many numbers a layer puts out


@dataclass(frozen=True)
class Fix:
    """What the button says, and the experiment that it leads to."""

    text: str
    experiment: Experiment


def width_field(layer: Layer) -> str:
    """The field that says how many numbers a layer puts out, or ""."""
    names = {field.name for field in describe(type(layer)) if field.sort == "integer"}
    return next((name for name in WIDTHS if name in names), "")


def loss_fix(experiment: Experiment, network: Plan) -> Fix | None:
    """A network whose last layer gives the loss what it needs; None where no small change does it."""
    for fix in _candidates(experiment, network.targets):
        if not plan(fix.experiment, network.outline).problems:
            return fix
    return None


def _candidates(experiment: Experiment, targets: int) -> Iterator[Fix]:
    layers = experiment.network
    index = next((i for i in range(len(layers) - 1, -1, -1) if width_field(unwrapped(layers[i]))), -1)
    if index >= 0:
        layer, inner = layers[index], unwrapped(layers[index])
        changed = with_unwrapped(layer, msgspec.structs.replace(inner, **{width_field(inner): targets}))
        text = ngettext("Use {count} unit in the last layer", "Use {count} units in the last layer", targets)
        if index < len(layers) - 1:
            text = ngettext("Use {count} unit in “{layer}” {place}", "Use {count} units in “{layer}” {place}", targets)
        yield Fix(
            text.format(count=targets, layer=layer.title(), place=index + 1),
            msgspec.structs.replace(experiment, network=(*layers[:index], changed, *layers[index + 1 :])),
        )
    dense = Layer.registry["dense"]
    text = ngettext("Add a dense layer of {count} unit", "Add a dense layer of {count} units", targets)
    yield Fix(
        text.format(count=targets),
        msgspec.structs.replace(experiment, network=(*layers, fresh(dense, settings={"units": targets}))),
    )
