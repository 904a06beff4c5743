"""A walk through one training step, operation by operation: what each of them is, in words."""

from __future__ import annotations

from .engine.program import Operation
from .gradient_steps.base import Clipping, GradientStep, Optimizer, Regularizer
from .network import Plan
from .text import _


def layer_text(plan: Plan, path: str) -> str:
    """A layer as a person counts it: those with weights have numbers, and what follows one has its number."""
    place = next((i for i, card in enumerate(plan.cards) if card.path == path), None)
    if place is None:
        return path
    number = max(1, sum(any(p.weight for p in card.parameters) for card in plan.cards[: place + 1]))
    return _("layer {number} {title}").format(number=number, title=plan.cards[place].layer.title())


def link_label(link: str) -> str:
    """The label of a link of the chain from gradients to weights by its name: "L2"; a second one is "l2.2"."""
    name = link.partition(".")[0]
    families: tuple[type[GradientStep], ...] = (Regularizer, Clipping, Optimizer)
    for family in families:
        if name in family.registry:
            return _(family.registry[name].label)
    return link


def operation_text(plan: Plan, operation: Operation) -> str:
    """What an operation does: "gradients of layer 2 Dense"."""
    if operation.path == "data":
        return _("the minibatch is drawn")
    if operation.path == "loss":
        return _("loss") if operation.phase == "loss" else _("gradient of the loss")
    if operation.path == "optimizer":
        return _whole(operation)
    layer = layer_text(plan, operation.path)
    if operation.phase == "forward":
        return _("output of {layer}").format(layer=layer)
    if operation.phase == "update":
        return _("new weights of {layer}").format(layer=layer)
    card = next((card for card in plan.cards if card.path == operation.path), None)
    if card is not None and any(p.trained for p in card.parameters):
        return _("gradients of the weights of {layer}").format(layer=layer)
    return _("gradient through {layer}").format(layer=layer)


def _whole(operation: Operation) -> str:
    """What is done to the gradients or weights of all layers together."""
    if operation.label == "averaging":
        return _("average of the weights")
    if operation.label == "loss_scale":
        return _("gradients divided by the scale of the loss")
    if operation.label:
        return _("all gradients: {link}").format(link=link_label(operation.label))
    if operation.symbol == "W":
        return _("norms of the updates are measured")
    return _("norm of all gradients is measured")
