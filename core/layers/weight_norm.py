"""Weight normalization learns the length and the direction of every unit's weights apart: W = g v / ||v||.

The length of a unit's weights is then one number that gradient descent can change by itself, whatever the direction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ..engine.kernel import kernel
from ..engine.memory import block, matrix
from ..engine.sums import column_squares
from ..errors import InputError
from ..fields import about
from ..initializers import Zeros
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number, sum_of, sum_of_squares
from .base import Group, Layer, Parameter, Part, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("weight_norm")
class WeightNorm(Layer, frozen=True, kw_only=True, tag="weight_norm"):
    """A dense layer or convolution whose weights are a learned length times a learned direction, unit by unit.

    Before training W is what the layer's own scheme draws: v = W and g = ||W||. Regularizers act on g, the length of
    the weights; that of v means nothing. The record reports v.
    """

    label: ClassVar[str] = N_("Weight norm")
    group: ClassVar[Group] = "normalization"
    part: ClassVar[Part | None] = "weights"  # the gradient meets W alone; length and direction are behind it
    formula: ClassVar[str] = "W = g v / ‖v‖  for every unit"
    source: ClassVar[str] = (
        "Salimans & Kingma 2016 (arXiv 1602.07868), eq. 2 and 3; torch.nn.utils.parametrizations.weight_norm"
    )
    main_fields: ClassVar[tuple[str, ...]] = ("layer",)

    layer: Annotated[
        Layer, about(N_("layer"), N_("The layer whose weights are normalized: a dense layer or a convolution."))
    ]

    def title(self) -> str:
        return _("{label} of {layer}").format(label=_(self.label), layer=self.layer.title())

    def output_shape(self, given: Shape) -> Shape:
        shape = self.layer.output_shape(given)
        if not _has_weight(self.layer, given):
            raise InputError(
                _('weight norm needs a layer with weights inside: set its "layer" to a dense layer or a convolution')
            )
        init = self._weight(given).init
        if not init.draw((1, 1), 1, 1, 0).any():
            raise InputError(
                _(
                    "weight norm divides by the length of the weights, and {init} draws only zeros: "
                    "choose another init for the layer inside"
                ).format(init=init.kind_name())
            )
        return shape

    def _weight(self, given: Shape) -> Parameter:
        """The array that the layer inside takes for its own: g v / ||v||."""
        return next(p for p in self.layer.parameters(given) if p.weight)

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        weight = self._weight(given)
        # A scheme that looks at the data can only stretch the length: that of the direction does not matter.
        direction = replace(weight, name="direction", decayed=False, fitted=False)
        magnitude = Parameter(
            "magnitude",
            weight.shape[-1:],
            weight.fan_in,
            weight.fan_out,
            Zeros(),
            False,
            decayed=True,
            fitted=weight.scales_output,
        )
        return direction, magnitude, *(p for p in self.layer.parameters(given) if not p.weight)

    def settle(self, values: dict[str, NDArray[Any]]) -> None:
        values["magnitude"][...] = _lengths(values["direction"])

    def weights(self, values: dict[str, NDArray[Any]]) -> NDArray[Any] | None:
        v, g = values["direction"], values["magnitude"]
        return g * (v / _lengths(v))

    def room(self, given: Shape, samples: int) -> int:
        return self.layer.room(given, samples) + 2 * self._weight(given).count

    def largest_product(self, given: Shape, samples: int) -> int:
        return self.layer.largest_product(given, samples)

    def emit(self, build: Builder, x: Wire) -> Wire:
        direction, magnitude = build.parameter("direction"), build.parameter("magnitude")
        weight = build.stand_in(self._weight(x.shape))
        m = weight.parameter.shape[-1]
        n = weight.parameter.count // m
        lengths, room = build.scratch(m, "‖v‖", watched=True), build.scratch(2 * m, N_("sums"), role="room")
        build.forward(weight_norm_forward, direction.at, magnitude.at, weight.at, lengths, room, n, m)
        y = build.wrapped(self.layer, x)
        gradients = weight.gradient, direction.gradient, magnitude.gradient
        build.backward(weight_norm_backward, direction.at, magnitude.at, *gradients, lengths, room, n, m)
        return y

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        return self.layer.sees(given, unit)

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        direction, magnitude = slide.parameters["direction"], slide.parameters["magnitude"]
        units = direction.shape[-1]
        o, column = slide.unit % units, direction.reshape(-1, units)
        i = slide.entry % len(column)
        length = sum_of_squares(f"Σᵢ v[i, {o + 1}]²", column[:, o]).root()
        norm, g = length.named("‖v‖"), number(f"g[{o + 1}]", magnitude[o])
        v = number(f"v[{i + 1}, {o + 1}]", column[i, o])
        inner = self.layer.worked(slide)
        if slide.phase == "forward":
            weight = slide.parameters["weight"].reshape(-1, units)
            return (
                equation("‖v‖", length, words=_("over the weights that lead into the unit")),
                equation(f"W[{i + 1}, {o + 1}]", g / norm * v, weight[i, o]),
                *inner,
            )
        dw = slide.gradients["weight"].reshape(-1, units)
        dg = sum_of(f"Σᵢ ∂L/∂W[i, {o + 1}] v[i, {o + 1}]", dw[:, o], column[:, o]) / norm
        dv = g / norm * (number("∂L/∂W", dw[i, o]) - dg.named("∂L/∂g") * v / norm)
        return (
            *inner,
            equation(f"∂L/∂g[{o + 1}]", dg, slide.gradients["magnitude"][o]),
            equation(f"∂L/∂v[{i + 1}, {o + 1}]", dv, slide.gradients["direction"].reshape(-1, units)[i, o]),
        )

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return self.layer.mean_field(signal, given)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        expression = self.layer.to_pytorch(code, here, x)
        names = {"magnitude": "parametrizations.weight.original0", "direction": "parametrizations.weight.original1"}
        code.wrap(here, "nn.utils.parametrizations.weight_norm", **names, bias="bias")
        return expression

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        code.define(KERAS)
        expression = self.layer.to_keras(code, here, x)
        code.wrap(here, "WeightNorm", direction="layer.kernel", magnitude="magnitude", bias="layer.bias")
        return expression

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        code.define_pair(NUMPY)
        weight = code.value(f"{here.path}.weight")
        v, g = (f'p["{here.path}.{name}"]' for name in ("direction", "magnitude"))
        code.line(f"{weight} = weight_norm({v}, {g})")
        found = f'g["{here.path}.direction"], g["{here.path}.magnitude"]'
        code.go_back(f"{found} = weight_norm_backward(dW, {v}, {g})")
        code.stand_in(here, "weight", weight, "dW")
        return self.layer.to_numpy(code, here, x)


NUMPY = '''
def weight_norm(v, length):
    """W = g v / ‖v‖ for every unit, g the length"""
    return length * v / np.sqrt((v**2).sum(axis=tuple(range(v.ndim - 1))))

def weight_norm_backward(dW, v, length):
    """dg = dW · v / ‖v‖, dv = g / ‖v‖ (dW - dg v / ‖v‖)"""
    axes = tuple(range(v.ndim - 1))
    norm = np.sqrt((v**2).sum(axes))
    dg = (dW * v).sum(axes) / norm
    return length / norm * (dW - dg * v / norm), dg
'''
KERAS = '''
class WeightNorm(layers.Layer):
    """A dense layer or convolution with the weights W = g v / ‖v‖ for every unit; v is its kernel."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def build(self, shape):
        self.layer.build(shape)
        self.magnitude = self.add_weight(shape=self.layer.kernel.shape[-1:], name="magnitude")

    def call(self, x):
        v = ops.convert_to_tensor(self.layer.kernel)
        W = self.magnitude * v / ops.sqrt(ops.sum(v**2, axis=tuple(range(len(v.shape) - 1))))
        y = ops.matmul(x, W) if len(v.shape) == 2 else self.layer.convolution_op(x, W)
        return y + self.layer.bias if self.layer.use_bias else y
'''


def _lengths(v: NDArray[Any]) -> NDArray[np.float64]:
    """The length of every unit's weights."""
    exact = v.astype(np.float64)
    return np.asarray(np.sqrt(np.sum(exact * exact, axis=tuple(range(v.ndim - 1)))))


def _has_weight(layer: Layer, given: Shape) -> bool:
    """Whether a layer is one array of weights and what belongs to it: a block's weights belong to the layers inside."""
    return not layer.inside(given) and any(p.weight and p.name == "weight" for p in layer.parameters(given))


@kernel
def weight_norm_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """W = g v / ||v||, the length over the n weights of every unit.

    Row: v (n, m), g (m), W (n, m), lengths, room for sums, n, m.
    """
    n, m = row[6], row[7]
    v, g, w = matrix(arena, row[1], n, m), block(arena, row[2], m), matrix(arena, row[3], n, m)
    length, ratio, part = block(arena, row[4], m), block(arena, row[5], m), block(arena, row[5] + m, m)
    for j in range(m):
        ratio[j] = 0
    column_squares(v, ratio, length, part)
    for j in range(m):
        length[j] = math.sqrt(np.float64(length[j]))
        ratio[j] = g[j] / length[j]
    for i in range(n):
        for j in range(m):
            w[i, j] = ratio[j] * v[i, j]


@kernel
def weight_norm_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dg = dW · v / ||v||, dv = g / ||v|| (dW - dg v / ||v||).

    Row: v (n, m), g (m), dW (n, m), dv (n, m), dg (m), lengths, room for sums, n, m.
    """
    n, m = row[8], row[9]
    v, g, dw = matrix(arena, row[1], n, m), block(arena, row[2], m), matrix(arena, row[3], n, m)
    dv, dg = matrix(arena, row[4], n, m), block(arena, row[5], m)
    length, inverse = block(arena, row[6], m), block(arena, row[7], m)
    one = dg.dtype.type(1)
    for j in range(m):
        dg[j] = 0
    for i in range(n):
        for j in range(m):
            dg[j] += dw[i, j] * v[i, j]
    for j in range(m):
        dg[j] /= length[j]
        inverse[j] = one / length[j]
    for i in range(n):
        for j in range(m):
            dv[i, j] = g[j] * inverse[j] * (dw[i, j] - dg[j] * inverse[j] * v[i, j])
