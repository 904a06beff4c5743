"""From gradients to new weights: a chain of steps, each of which changes what will be subtracted from the weights.

Clipping, weight decay and the optimizers all have this one form: for one parameter array after the other, the gradient
comes in, an update goes out, and at the end `w = w - update`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from ..fields import Kind, about
from ..registry import Registry
from ..text import N_

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor

PACKAGE = "layerscope.core.gradient_steps"

LearningRate = Annotated[
    float,
    about(
        N_("learning rate"),
        N_("How far one step goes. May be changed while training."),
        minimum=0.0,
        maximum=1e6,
        scale="log",
        live=True,
    ),
]


class GradientStep(Kind, frozen=True, kw_only=True):
    """One link of the chain."""

    def formula(self) -> str:
        """The step in one line, for the card of the operation."""
        raise NotImplementedError

    def emit(self, build: Builder, tensor: Tensor) -> None:
        """Write the operations for one parameter array: read `tensor.gradient`, write `tensor.update`; see
        `Builder.slot`.
        """
        raise NotImplementedError


class Optimizer(GradientStep, frozen=True, kw_only=True):
    """Turns gradients into updates."""

    # what it remembers between steps: names of arrays with one number per parameter, which start at zero
    slots: ClassVar[tuple[str, ...]] = ()

    registry: ClassVar[Registry[type[Optimizer]]] = Registry(N_("optimizer"), PACKAGE)
    learning_rate: LearningRate


class Clipping(GradientStep, frozen=True, kw_only=True):
    """Shortens gradients that are too long."""

    registry: ClassVar[Registry[type[Clipping]]] = Registry(N_("clipping"), PACKAGE)


class Regularizer(GradientStep, frozen=True, kw_only=True):
    """Pulls weights toward zero."""

    registry: ClassVar[Registry[type[Regularizer]]] = Registry(N_("regularizer"), PACKAGE)
