"""What every layer can say about itself: its output shape, its parameters, its operations forward and backward."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import msgspec

from ..fields import Kind
from ..initializers import Initializer
from ..registry import Registry
from ..text import N_

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..theory.mean_field import Signal

Shape = tuple[int, ...]


class Parameter(msgspec.Struct, frozen=True):
    """One array that training changes.

    name     "weight", "bias", ...: the end of its name in files
    shape    dense weights are (inputs, outputs)
    init     how it is drawn; biases are zeros
    weight   True for what regularizers act on and what the record reports per layer
    """

    name: str
    shape: Shape
    fan_in: int
    fan_out: int
    init: Initializer
    weight: bool

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class Layer(Kind, frozen=True, kw_only=True):
    """One card of the network. A layer file holds its fields, shapes, parameters, kernels and mean-field rule."""

    registry: ClassVar[Registry[type[Layer]]] = Registry(N_("layer"), "layerscope.core.layers")

    # fields that the card offers for editing in place
    main_fields: ClassVar[tuple[str, ...]] = ()

    def title(self) -> str:
        """The name on the card, translated."""
        raise NotImplementedError

    def output_shape(self, given: Shape) -> Shape:
        """Shape of one sample's output for one sample's input of shape `given`; an InputError when it cannot be."""
        raise NotImplementedError

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        """The arrays that this layer learns, for inputs of shape `given`."""
        return ()

    def saturation(self) -> tuple[float, float]:
        """Outputs at or below the first number, or at or above the second, count as saturated."""
        return -math.inf, math.inf

    def emit(self, build: Builder, x: Wire) -> Wire:
        """Write this layer's operations into the program and return the wire that carries its output."""
        raise NotImplementedError

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        """What mean-field theory expects of a signal on its way through this layer at initialization."""
        raise NotImplementedError
