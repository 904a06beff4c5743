"""An activation layer bends every number of its input by the same function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, Activation
from ..fields import about
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number
from .base import Group, Layer, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("activation")
class ActivationLayer(Layer, frozen=True, kw_only=True, tag="activation"):
    """Applies a function to every number; the shape stays."""

    label: ClassVar[str] = N_("Activation")
    formula: ClassVar[str] = "y = φ(x)"
    source: ClassVar[str] = "torch.nn.ReLU, torch.nn.Tanh and the others, with PyTorch's definitions"
    main_fields: ClassVar[tuple[str, ...]] = ("function",)
    group: ClassVar[Group] = "function"

    function: Annotated[str, about(N_("function"), N_("What every number is sent through."), choices=ACTIVATIONS)] = (
        "relu"
    )
    slope: Annotated[
        float,
        about(
            N_("slope"),
            N_("Slope below zero."),
            minimum=-10.0,
            maximum=10.0,
            shown_when=("function", ("leaky_relu",)),
        ),
    ] = 0.01
    alpha: Annotated[
        float,
        about(
            N_("alpha"),
            N_("The function tends to minus this number."),
            minimum=0.0,
            maximum=100.0,
            shown_when=("function", ("elu",)),
        ),
    ] = 1.0

    @property
    def activation(self) -> Activation:
        return ACTIVATIONS[self.function]

    @property
    def parameter(self) -> float:
        """The number that the function depends on; 0 where it depends on none."""
        name = self.activation.parameter
        return float(getattr(self, name)) if name else 0.0

    def title(self) -> str:
        return _(self.activation.label)

    def output_shape(self, given: Shape) -> Shape:
        return given

    def saturation(self) -> tuple[float, float]:
        if self.function == "elu":
            return -0.97 * self.alpha if self.alpha > 0 else -float("inf"), float("inf")
        return self.activation.saturation

    def linear_part(self) -> tuple[float, float]:
        return self.activation.linear_part

    def pieces(self, x: NDArray[np.floating]) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, dtype=np.int64), *((x > k).astype(np.int64).ravel() for k in self.kinks)])

    @property
    def kinks(self) -> tuple[float, ...]:
        return self.activation.kinks

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire(x.shape)
        constant = build.constant(self.parameter)
        gradient = build.gradient_of(x) if x.gradient >= 0 else -1
        row = x.at, y.at, gradient, y.gradient, x.width, constant
        build.forward(self.activation.forward, *row)
        if gradient >= 0:
            build.backward(self.activation.backward, *row)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        sample, k, here = slide.sample, slide.unit, slide.place(slide.unit, slide.shape)
        x = number("x", slide.flat(slide.x)[sample, k])
        y = number("y", slide.flat(slide.y)[sample, k])
        parameter = number({"slope": "a", "alpha": "α"}.get(self.activation.parameter, ""), self.parameter)
        value, slope = self.activation.worked
        if slide.phase == "forward":
            return (equation(f"y{here}", value(x, parameter), y.value, _("x is x{place}").format(place=here)),)
        if slide.dx is None:
            return ()
        phi = slope(x, y, parameter)
        dx = number("δ", slide.delta[sample, k]) * phi.named("φ′(x)")
        return equation("φ′(x)", phi), equation(f"∂L/∂x{here}", dx, slide.dx[sample, k])

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return signal.through_function(self.activation, self.parameter)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        text = self.activation.pytorch.format(x=x, p=code.number(self.parameter))
        return code.functional(text.removeprefix("F.")) if text.startswith("F.") else text

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return self.activation.keras.format(x=x, p=code.number(self.parameter))

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        if self.function == "identity":
            return x
        for helper in self.activation.numpy_helpers:
            code.define(helper)
        name, value, slope = self.activation.parameter, *self.activation.numpy
        given = f"x, {name}" if name else "x"
        source = f"def {self.function}({given}):\n    return {value}\n\n" if value else ""
        source += f"def {self.function}_backward(dy, {given}):\n    return dy * {slope}\n"
        return code.call(here, x, self.function, source, *([code.number(self.parameter)] if name else []))
