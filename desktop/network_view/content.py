"""The content of a card is a value: everything that it says, worked out from the experiment, without a widget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from layerscope.core import editing
from layerscope.core.experiment import Experiment
from layerscope.core.fields import Described, Field, describe
from layerscope.core.initializers import Initializer
from layerscope.core.layers.base import Layer, Shape
from layerscope.core.network import Card as PlannedCard
from layerscope.core.network import Plan
from layerscope.core.text import _, ngettext

from ..dialogs.importers import IMPORTERS
from ..explain import Explanation, explanation_of, kind_label
from .fixes import Fix, loss_fix


@dataclass(frozen=True)
class Part:
    """Layers inside of a block: its body, one of its branches, or a layer that belongs to the block itself.

    place     of the list in the experiment, "network.2.body"; "" for what stands in no list, such as a projection
    heading   what it is called
    branch    it may be taken out of the block as a whole
    """

    place: str
    heading: str
    contents: tuple[Content, ...]
    branch: bool = False


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
    parts       the layers inside of this one
    branches    place of the lists to which another one can be added; "" where there are none
    joined      the sign of how the parts come together, and `around` what goes around them: a shortcut
    muted       it is passed over
    measured    the record has numbers of its own for it
    importable  it is read from a file that a dialog helps to understand
    movable     it stands in a list, so that it can be moved, duplicated, deleted and muted
    editable    its settings stand in the experiment, and are not the block's own affair
    skip        settings that have no place in the form
    facts       what settings come to in this very place, by name: "std 0.125"
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
    parts: tuple[Part, ...] = ()
    branches: str = ""
    joined: str = ""
    around: str = ""
    muted: bool = False
    measured: bool = True
    importable: bool = False
    movable: bool = False
    editable: bool = True
    skip: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()

    def explanation(self) -> Explanation:
        """What the card's kind is."""
        kind = type(self.value)
        if self.naming:
            own = own_choice(kind)  # type: ignore[arg-type]
            if own is not None:
                name = getattr(self.value, self.naming)
                said = explanation_of(own.choices[name], name)
                if said.sentence:
                    return said
                whole = explanation_of(kind, self.title)
                formula, source = said.formula or whole.formula, said.source or whole.source
                return Explanation(said.title, whole.sentence, formula, source)
        facts = tuple(text for _name, text in self.facts)
        name = self.value.kind_name() if hasattr(self.value, "kind_name") else self.title
        return explanation_of(kind, name, facts=facts)


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


def short_parameter_text(count: int) -> str:
    """The same where there is less room: on a card inside of a block."""
    return _("{count:,} par.").format(count=count)


def _numbers(shape: Shape) -> str:
    count = math.prod(shape)
    return ngettext("{count} number", "{count} numbers", count).format(count=count)


def _part(name: str) -> Field:
    return next(field for field in describe(Experiment) if field.name == name)


def problem_within(plan: Plan, place: str) -> str:
    """The first problem at a place or inside it."""
    return next((s for where, s in plan.problems if where == place or where.startswith(place + ".")), "")


def layer_contents(experiment: Experiment, plan: Plan, differs: Mapping[str, str]) -> list[Content]:
    """The cards of all layers in data order, with the cards of those inside of them."""
    planned = {card.path: card for card in plan.cards}
    return list(_list_contents(experiment.network, "network", planned, differs))


def _list_contents(
    layers: tuple[Layer, ...], place: str, planned: Mapping[str, PlannedCard], differs: Mapping[str, str]
) -> Iterator[Content]:
    for index, layer in enumerate(layers):
        yield layer_content(editing.path_of(place, index), layer, planned, differs)


def layer_content(path: str, layer: Layer, planned: Mapping[str, PlannedCard], differs: Mapping[str, str]) -> Content:
    """The card of the layer at a path. A muted layer, and what is inside of it, is in no plan."""
    card = planned.get(path, PlannedCard(path, layer, None, None, ()))
    naming = own_choice(type(layer))
    shape_help = ""
    if card.shape is not None and card.given is not None:
        shape_help = _("One sample: {given} in, {shape} out ({numbers})").format(
            given=shape_text(card.given), shape=shape_text(card.shape), numbers=_numbers(card.shape)
        )
    arrays = [f"{p.name} {shape_text(p.shape)}" for p in card.parameters if p.trained]
    holding = tuple(f.name for f in describe(type(layer)) if f.holds is not None and issubclass(f.holds, Layer))
    return Content(
        card=path,
        place=f"network.{path}",
        value=layer,
        title=layer.title(),
        naming=naming.name if naming is not None else "",
        quick=() if naming is not None else type(layer).main_fields,
        notes=_(type(layer).label) if naming is not None else "",
        shape=shape_text(card.shape) if card.shape is not None and not layer.muted else "",
        shape_help=shape_help,
        parameters=(short_parameter_text if "." in path else parameter_text)(card.parameter_count)
        if card.parameters
        else "",
        parameters_help=_("{count}. Learned: {arrays}").format(
            count=parameter_text(card.parameter_count), arrays=", ".join(arrays)
        )
        if arrays
        else "",
        measured=path in planned,
        problem=card.problem,
        differs=differs.get(path, ""),
        is_layer=True,
        parts=tuple(_parts(path, layer, card, planned, differs)),
        branches=_branches(path, layer),
        joined=type(layer).joined,
        around=_around(layer, card),
        muted=layer.muted,
        movable=editing.in_list(path),
        skip=("muted", *holding),
        facts=_facts(card),
    )


def _parts(
    path: str, layer: Layer, card: PlannedCard, planned: Mapping[str, PlannedCard], differs: Mapping[str, str]
) -> Iterator[Part]:
    for field in describe(type(layer)):
        if field.sort not in ("family", "families", "lists") or not issubclass(field.holds, Layer):
            continue
        value, place = getattr(layer, field.name), f"network.{path}.{field.name}"
        if field.sort == "families":
            yield Part(place, _(field.label), tuple(_list_contents(value, place, planned, differs)))
        elif field.sort == "lists":
            for index, layers in enumerate(value):
                own = f"{place}.{index}"
                heading = _("branch {number}").format(number=index + 1)
                removable = len(value) > (field.shortest or 0)
                yield Part(own, heading, tuple(_list_contents(layers, own, planned, differs)), removable)
        elif value is not None:
            yield Part("", _(field.label), (layer_content(f"{path}.{field.name}", value, planned, differs),))
    # What the block has made for itself, such as the projection of a shortcut: there to be seen, not to be edited.
    mine = {field.name for field in describe(type(layer)) if field.holds is not None and issubclass(field.holds, Layer)}
    for chain in layer.inside(card.given) if card.given is not None else ():
        if chain.place.partition(".")[0] in mine:
            continue
        found = tuple(layer_content(p, inner, planned, differs) for p, inner in chain.members(path))
        yield Part("", _(chain.place), tuple(_as_given(content) for content in found))


def _as_given(content: Content) -> Content:
    notes = content.notes or _("made by the block")
    return replace(content, quick=(), naming="", notes=notes, editable=False, movable=False)


def _branches(path: str, layer: Layer) -> str:
    """Where another branch can be added."""
    for field in describe(type(layer)):
        if field.sort == "lists" and issubclass(field.holds, Layer):
            full = field.longest is not None and len(getattr(layer, field.name)) >= field.longest
            return "" if full else f"network.{path}.{field.name}"
    return ""


def _around(layer: Layer, card: PlannedCard) -> str:
    """What goes around the layers inside, in words."""
    if not layer.passes_by():
        return ""
    shape = shape_text(card.given) if card.given is not None else ""
    return _("shortcut: the input itself, {shape}").format(shape=shape) if shape else _("shortcut: the input itself")


def _facts(card: PlannedCard) -> tuple[tuple[str, str], ...]:
    """What the first weights of this very layer come to: lesson texts mix variance and standard deviation, so both."""
    found: dict[str, str] = {}
    for field in describe(type(card.layer)):
        if field.sort != "family" or not issubclass(field.holds, Initializer):
            continue
        init = getattr(card.layer, field.name)
        parameter = next((p for p in card.parameters if p.weight and p.init == init), None)
        if parameter is None:
            continue
        std, variance = init.spread(parameter.shape, parameter.fan_in, parameter.fan_out)
        if math.isnan(std):
            found[field.name] = _("n = {inputs} inputs; the std follows from the first minibatch").format(
                inputs=parameter.fan_in
            )
        else:
            found[field.name] = _("std {std} · n·Var {variance} · n = {inputs}").format(
                std=f"{std:.3g}", variance=f"{variance:.3g}", inputs=parameter.fan_in
            )
    return tuple(found.items())


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
        importable=type(data) in IMPORTERS,
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
