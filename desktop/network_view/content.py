"""The content of a card is a value: everything that it says, worked out from the experiment, without a widget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from layerscope.core.experiment import Experiment
from layerscope.core.fields import Described, Field, describe
from layerscope.core.layers.base import Layer, Shape
from layerscope.core.network import Card as PlannedCard
from layerscope.core.network import Plan
from layerscope.core.text import _, ngettext

from ..forms import kind_label
from .fixes import Fix, loss_fix
from .inner import Inner


@dataclass(frozen=True)
class Content:
    """What one card says.

    card        a layer's path, "data", "loss" or "training"
    place       where its settings stand in the experiment: "network.3"
    value       the settings
    field       of the experiment, where the kind itself may be chosen (data, loss)
    naming      the setting that stands in place of the title: the function of an activation layer
    quick       paths of the settings that are edited on the card itself
    notes       muted words beside them
    shape       of one sample behind the card
    inner       the layers inside of this one
    differs     what lane A has here, when it is something else
    """

    card: str
    place: str
    value: Described
    title: str
    naming: str = ""
    quick: tuple[str, ...] = ()
    notes: str = ""
    field: Field | None = None
    shape: str = ""
    shape_help: str = ""
    parameters: str = ""
    parameters_help: str = ""
    problem: str = ""
    fix: Fix | None = None
    differs: str = ""
    is_layer: bool = False
    inner: tuple[Inner, ...] = ()


def own_choice(kind: type[Layer]) -> Field | None:
    """The field of a kind that is known by its choice: nobody looks for "activation", one looks for "ReLU"."""
    if len(kind.main_fields) != 1:
        return None
    field = next((f for f in describe(kind) if f.name == kind.main_fields[0]), None)
    return field if field is not None and field.sort == "choice" and field.choices is not None else None


def shape_text(shape: Shape) -> str:
    """A shape as people write it: "8×8×1"."""
    return "×".join(map(str, shape))


def parameter_text(count: int) -> str:
    return ngettext("{count:,} parameter", "{count:,} parameters", count).format(count=count)


def _numbers(shape: Shape) -> str:
    count = math.prod(shape)
    return ngettext("{count} number", "{count} numbers", count).format(count=count)


def _part(name: str) -> Field:
    return next(field for field in describe(Experiment) if field.name == name)


def problem_within(plan: Plan, place: str) -> str:
    """The first problem at a place or inside it."""
    return next((s for where, s in plan.problems if where == place or where.startswith(place + ".")), "")


def layer_contents(plan: Plan, differs: Mapping[str, str]) -> list[Content]:
    """The cards of all layers in data order; layers inside of a layer are on its card."""
    inner: dict[str, list[Inner]] = {}
    for card in plan.cards:
        outer, _dot, rest = card.path.partition(".")
        if rest:
            shape = shape_text(card.shape) if card.shape is not None else ""
            inner.setdefault(outer, []).append(Inner(card.path, card.layer.title(), shape, card.problem))
    return [
        layer_content(card, differs.get(card.path, ""), tuple(inner.get(card.path, ())))
        for card in plan.cards
        if "." not in card.path
    ]


def layer_content(planned: PlannedCard, differs: str = "", inner: tuple[Inner, ...] = ()) -> Content:
    layer = planned.layer
    naming = own_choice(type(layer))
    shape_help = ""
    if planned.shape is not None and planned.given is not None:
        shape_help = _("One sample: {given} in, {shape} out ({numbers})").format(
            given=shape_text(planned.given), shape=shape_text(planned.shape), numbers=_numbers(planned.shape)
        )
    arrays = [f"{p.name} {shape_text(p.shape)}" for p in planned.parameters]
    return Content(
        card=planned.path,
        place=f"network.{planned.path}",
        value=layer,
        title=layer.title(),
        naming=naming.name if naming is not None else "",
        quick=() if naming is not None else type(layer).main_fields,
        notes=_(type(layer).label) if naming is not None else "",
        shape=shape_text(planned.shape) if planned.shape is not None else "",
        shape_help=shape_help,
        parameters=parameter_text(planned.parameter_count) if planned.parameters else "",
        parameters_help=_("Learned: {arrays}").format(arrays=", ".join(arrays)) if arrays else "",
        problem=planned.problem,
        differs=differs,
        is_layer=True,
        inner=inner,
    )


def data_content(experiment: Experiment, plan: Plan, differs: str = "") -> Content:
    data = experiment.data
    if plan.outline.is_regression:
        classes = ngettext("{count} value to predict", "{count} values to predict", plan.targets)
    else:
        classes = ngettext("{count} class", "{count} classes", plan.targets)
    classes = classes.format(count=plan.targets)
    samples = getattr(data, "samples", None)
    counted = ngettext("{count:,} sample", "{count:,} samples", samples).format(count=samples) if samples else ""
    shape = shape_text(plan.shape)
    return Content(
        card="data",
        place="data",
        value=data,
        title=kind_label(type(data), data.kind_name()),
        quick=("scaling",),
        notes=counted or (classes if plan.targets else ""),
        field=_part("data"),
        shape=shape,
        shape_help=_("One sample: {shape} ({numbers}); {classes}").format(
            shape=shape, numbers=_numbers(plan.shape), classes=classes
        )
        if shape
        else "",
        problem=problem_within(plan, "data"),
        differs=differs,
    )


def loss_content(experiment: Experiment, plan: Plan, differs: str = "") -> Content:
    loss = experiment.loss
    problem = problem_within(plan, "loss")
    return Content(
        card="loss",
        place="loss",
        value=loss,
        title=kind_label(type(loss), loss.kind_name()),
        notes=_("Loss"),
        field=_part("loss"),
        problem=problem,
        fix=loss_fix(experiment, plan) if problem and not problem_within(plan, "data") else None,
        differs=differs,
    )


def training_content(experiment: Experiment, plan: Plan, differs: str = "") -> Content:
    training = experiment.training
    batch = ngettext("batch of {count}", "batches of {count}", training.batch_size).format(count=training.batch_size)
    epochs = ngettext("{count:,} epoch", "{count:,} epochs", training.epochs).format(count=training.epochs)
    return Content(
        card="training",
        place="training",
        value=training,
        title=_("Training"),
        quick=("optimizer", "optimizer.learning_rate"),
        parameters=f"{batch} · {epochs}",
        problem=problem_within(plan, "training"),
        differs=differs,
    )
