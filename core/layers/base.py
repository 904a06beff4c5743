"""What every layer can say about itself: its output shape, its parameters, its operations forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..fields import Kind, about
from ..initializers import Initializer
from ..registry import Registry
from ..text import N_, _

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal
    from ..worked import Equation, LayerSlide

Shape = tuple[int, ...]

# what exported NumPy programs of convolutions and pooling layers call
NUMPY_WINDOWS = '''
def windows(x, size, stride, padding):
    """Every window of images with zeros around them: (samples, rows, columns, height, width, channels)"""
    x = np.pad(x, ((0, 0), *padding, (0, 0)))
    found = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return found[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
'''

# What a kind of layer is for: its place in the palette, in the order in which a person should meet them.
Group = Literal["weights", "function", "shape", "normalization", "regularization", "block"]
GROUPS: dict[str, str] = {
    "weights": N_("Layers with weights"),
    "function": N_("Functions"),
    "shape": N_("Images smaller, images flat"),
    "normalization": N_("Normalization"),
    "regularization": N_("Against overfitting"),
    "block": N_("Blocks of layers"),
}


# What changes the gradient's size on its way back; see `diagnostics/waterfall.py`.
Part = Literal["weights", "function", "normalization", "skip", "branches", "pooling", "dropout", "shape"]


class Parameter(msgspec.Struct, frozen=True):
    """One array that training changes.

    name     "weight", "bias", ...: the end of its name in files
    shape    dense weights are (inputs, outputs)
    init     how it is drawn; biases are zeros
    weight   True for the one array whose norms the record reports for the layer
    decayed  whether regularizers act on it: weights, but neither biases nor the scale and shift of normalizations
    trained  False for what the layer keeps up itself, such as running statistics: no gradient, no optimizer
    fitted   whether a scheme that looks at the data rescales it: the weights, where nothing else is said
    """

    name: str
    shape: Shape
    fan_in: int
    fan_out: int
    init: Initializer
    weight: bool
    decayed: bool | None = None
    trained: bool = True
    fitted: bool | None = None

    @property
    def scales_output(self) -> bool:
        """Whether the array is rescaled until the layer's output has variance 1 on the first minibatch."""
        return self.init.data_dependent if self.fitted is None else self.fitted

    @property
    def spread(self) -> tuple[float, float]:
        """(std, n Var) of the values that its scheme draws, see `Initializer.spread`."""
        return self.init.spread(self.shape, self.fan_in, self.fan_out)

    @property
    def regularized(self) -> bool:
        return self.weight if self.decayed is None else self.decayed

    @property
    def count(self) -> int:
        return math.prod(self.shape)


class Chain(msgspec.Struct, frozen=True):
    """Layers one after the other inside of a block.

    place      where the block keeps them: "body", "branches.0", "shortcut"
    layers     in data order; all of them start from the block's input
    numbered   False for the one layer that is called by the place alone: "2.shortcut"
    """

    place: str
    layers: tuple[Layer, ...]
    numbered: bool = True

    def members(self, path: str) -> Iterator[tuple[str, Layer]]:
        """(path, layer) of the layers of the block at `path` that are not muted."""
        if not self.numbered:
            yield from ((f"{path}.{self.place}", layer) for layer in self.layers)
            return
        for index, layer in working(self.layers):
            yield f"{path}.{self.place}.{index}", layer


class Layer(Kind, frozen=True, kw_only=True):
    """One card of the network. A layer file holds its fields, shapes, parameters, kernels and mean-field rule."""

    registry: ClassVar[Registry[type[Layer]]] = Registry(N_("layer"), "layerscope.core.layers")

    # fields that the card offers for editing in place
    main_fields: ClassVar[tuple[str, ...]] = ()

    # where the palette offers it
    group: ClassVar[Group] = "weights"

    # what it is to the gradient on its way back, where that does not follow from its group
    part: ClassVar[Part | None] = None

    # the sign of how the chains inside come together: "+" added, "∥" side by side; "" where nothing has to
    joined: ClassVar[str] = ""

    # whether what it puts out for one sample depends on the other samples of the minibatch
    compares_samples: ClassVar[bool] = False

    muted: Annotated[
        bool,
        about(
            N_("muted"),
            N_("A muted layer is passed over, as if it were not there. All other layers keep their places and draws."),
        ),
    ] = False

    def passes_by(self) -> bool:
        """Whether the input itself also goes around the layers inside, to where they come together."""
        return False

    def title(self) -> str:
        """The name on the card, translated."""
        raise NotImplementedError

    def output_shape(self, given: Shape) -> Shape:
        """Shape of one sample's output for one sample's input of shape `given`; an InputError when it cannot be."""
        raise NotImplementedError

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        """The arrays that this layer learns, for inputs of shape `given`."""
        return ()

    def room(self, given: Shape, samples: int) -> int:
        """Numbers that it needs in memory for so many samples, beside its output and that output's gradient."""
        return 0

    def largest_product(self, given: Shape, samples: int) -> int:
        """Multiplications in its largest matrix product with so many samples: from a size on, a second thread pays."""
        return 0

    def trace(self, key: Callable[[str], int], steps: NDArray[np.int64], rows: int, given: Shape) -> dict[str, Any]:
        """What was drawn at random in these steps, by name, (steps, rows, ...), so that others can repeat the run.

        key   of the stream for a purpose in this layer's place, see `engine.random`
        """
        return {}

    def inside(self, given: Shape | None) -> tuple[Chain, ...]:
        """The chains of layers inside of this one, for inputs of shape `given` (None: not known); blocks have some."""
        return ()

    def settle(self, values: dict[str, NDArray[Any]]) -> None:
        """Set the parameters whose first values follow from those drawn for others; `values` by name, in place."""

    def weights(self, values: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
        """The weights that its input meets, for parameter `values` by name; None where it has none of its own."""
        return values.get("weight")

    def saturation(self) -> tuple[float, float]:
        """Outputs at or below the first number, or at or above the second, count as saturated."""
        return -math.inf, math.inf

    def linear_part(self) -> tuple[float, float]:
        """Outputs between these come from the middle of a bounded function, where it is nearly a straight line; NaN
        where there is none.
        """
        return math.nan, math.nan

    def pieces(self, x: NDArray[np.floating]) -> NDArray[np.int64]:
        """On which smooth piece of the layer's function each number of an input x (rows, *shape) lies; empty where it
        is smooth everywhere. Where it changes, a slope cannot be compared with a difference.
        """
        return np.zeros(0, dtype=np.int64)

    def emit(self, build: Builder, x: Wire) -> Wire:
        """Write this layer's operations into the program and return the wire that carries its output."""
        raise NotImplementedError

    def entries(self, given: Shape) -> int:
        """How many numbers lead into one of its units: weights, or pixels of a window; 1 where there is no choice."""
        weights = [p for p in self.parameters(given) if p.weight]
        return max(1, weights[0].count // weights[0].shape[-1]) if weights else 1

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        """The part of an input image that a number of the output, counted through its shape, comes from: rows, columns,
        and the channel (None: all of them). None where it is the whole image.
        """
        if len(given) != 3 or self.output_shape(given) != given:
            return None
        row, column, channel = (int(n) for n in np.unravel_index(unit, given))
        return slice(row, row + 1), slice(column, column + 1), channel

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        """How the operation under the microscope comes to its numbers, with the numbers of the step in the formulas:
        forward the chosen output, on the way back the chosen gradients of its parameters and of its input.
        """
        raise NotImplementedError

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        """What mean-field theory expects of a signal on its way through this layer at initialization."""
        raise NotImplementedError

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        """The expression of the layer's output for the variable `x`, in an exported PyTorch program."""
        raise NotImplementedError

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        """The same in Keras."""
        raise NotImplementedError

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        """The same in NumPy; the way back is told to `code.go_back`, most simply by `code.call`."""
        raise NotImplementedError


def working(layers: Sequence[Layer]) -> Iterator[tuple[int, Layer]]:
    """(place, layer) of the layers that are not muted.

    The others keep their places, and with them their paths and random draws: with and without a muted layer, two
    networks start from the same weights.
    """
    return ((index, layer) for index, layer in enumerate(layers) if not layer.muted)


def chain_shape(layers: tuple[Layer, ...], given: Shape) -> Shape:
    """What layers one after the other make of inputs of shape `given`; an InputError where one cannot be."""
    for _index, layer in working(layers):
        given = layer.output_shape(given)
    return given


def channels_of(shape: Shape) -> int:
    """Units of a vector, channels of an image: what normalizations keep one scale and shift for."""
    return shape[-1]


def image(given: Shape, layer: str) -> tuple[int, int, int]:
    """(height, width, channels) of an input that must be an image; an InputError that names the layer otherwise."""
    if len(given) != 3:
        raise InputError(
            _(
                "{layer} works on images, but its input is {given}: put it before the first flatten or dense layer"
            ).format(layer=layer, given="×".join(map(str, given)))
        )
    height, width, channels = given
    return height, width, channels
