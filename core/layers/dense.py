"""A dense layer multiplies its input by a matrix of weights and adds a bias: y = x W + b."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.blas import times, times_transposed, transposed_times
from ..engine.kernel import kernel
from ..engine.layout import GEMM, ROWS
from ..engine.memory import block, matrix
from ..fields import about
from ..initializers import GlorotNormal, Initializer, first_biases
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number, sum_of
from .base import Layer, Parameter, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("dense")
class Dense(Layer, frozen=True, kw_only=True, tag="dense"):
    """Every output is a weighted sum of all inputs. Images are flattened first."""

    label: ClassVar[str] = N_("Dense")
    formula: ClassVar[str] = "y = x W + b"
    source: ClassVar[str] = "torch.nn.Linear (which keeps W transposed)"
    main_fields: ClassVar[tuple[str, ...]] = ("units", "init")

    units: Annotated[
        int, about(N_("units"), N_("How many numbers the layer puts out."), minimum=1, maximum=4096, scale="log")
    ]
    bias: Annotated[bool, about(N_("bias"), N_("Add a learned number to every output; starts at zero."))] = True
    init: Annotated[Initializer, about(N_("init"), N_("How the weights are drawn before training."))] = GlorotNormal()
    bias_std: Annotated[
        float,
        about(
            N_("first biases"),
            N_("Standard deviation of the biases before training, normally distributed around zero; 0: all are zero."),
            minimum=0.0,
            maximum=10.0,
        ),
    ] = 0.0

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return (self.units,)

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        n = math.prod(given)
        weight = Parameter("weight", (n, self.units), n, self.units, self.init, True)
        bias = Parameter("bias", (self.units,), n, self.units, first_biases(self.bias_std), False)
        return (weight, bias) if self.bias else (weight,)

    def largest_product(self, given: Shape, samples: int) -> int:
        return samples * math.prod(given) * self.units

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire((self.units,))
        weight = build.parameter("weight")
        bias = build.parameter("bias") if self.bias else None
        n, m = x.width, self.units
        build.forward(dense_forward, x.at, y.at, weight.at, bias.at if bias else -1, n, m)
        build.backward(dense_weight_gradient, x.at, y.gradient, weight.gradient, bias.gradient if bias else -1, n, m)
        if x.gradient >= 0:
            build.backward(dense_input_gradient, build.gradient_of(x), y.gradient, weight.at, n, m)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        weight, x, sample = slide.parameters["weight"], slide.flat(slide.x), slide.sample
        i, j = slide.entry % len(weight), slide.unit
        if slide.phase == "forward":
            y = sum_of(f"Σᵢ x[i] W[i, {j + 1}]", x[sample], weight[:, j])
            if self.bias:
                y = y + number(f"b[{j + 1}]", slide.parameters["bias"][j])
            return (equation(f"y[{j + 1}]", y, slide.flat(slide.y)[sample, j]),)
        delta = slide.delta
        dw = sum_of(f"Σₙ x[n, {i + 1}] δ[n, {j + 1}]", x[:, i], delta[:, j])
        found = [equation(f"∂L/∂W[{i + 1}, {j + 1}]", dw, slide.gradients["weight"][i, j])]
        if self.bias:
            db = sum_of(f"Σₙ δ[n, {j + 1}]", delta[:, j])
            found.append(equation(f"∂L/∂b[{j + 1}]", db, slide.gradients["bias"][j]))
        if slide.dx is not None:
            dx = sum_of(f"Σⱼ W[{i + 1}, j] δ[j]", weight[i], delta[sample])
            found.append(equation(f"∂L/∂x[{i + 1}]", dx, slide.dx[sample, i]))
        return tuple(found)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        n, m = math.prod(given), self.units
        std = self.init.theoretical((n, m), n, m, n * signal.second_moment)
        biases = self.bias_std**2 if self.bias else 0.0
        return signal.through_weights(n, m, std, biases, fitted=self.init.data_dependent)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        names = {"weight": "weight", "bias": "bias"} if self.bias else {"weight": "weight"}
        bias = "" if self.bias else ", bias=False"
        part = code.module(here, f"nn.Linear({math.prod(here.given)}, {self.units}{bias})", **names)
        return f"{part}({code.flat(x, here)})"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        names = {"weight": "kernel", "bias": "bias"} if self.bias else {"weight": "kernel"}
        part = code.module(here, f"layers.Dense({self.units}{'' if self.bias else ', use_bias=False'})", **names)
        return f"{part}({code.flat(x, here)})"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        return code.call(here, x, "dense", NUMPY, "weight", "bias" if self.bias else "")


NUMPY = '''
def dense(x, W, b):
    """y = x W + b; images are flattened first"""
    return x.reshape(len(x), -1) @ W + b

def dense_backward(dy, x, W, b):
    """dx = dy Wᵀ, dW = xᵀ dy, db = sum of dy over the samples"""
    return (dy @ W.T).reshape(x.shape), x.reshape(len(x), -1).T @ dy, dy.sum(axis=0)
'''


@kernel
def dense_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y (rows, m) = x (rows, n) W (n, m) + b (m). Row: x, y, W, b or -1, n, m."""
    rows, n, m = context[ROWS], row[5], row[6]
    times(context[GEMM], arena, row[1], row[3], row[2], rows, n, m)
    if row[4] >= 0:
        y, b = matrix(arena, row[2], rows, m), block(arena, row[4], m)
        for i in range(rows):
            for j in range(m):
                y[i, j] += b[j]


@kernel
def dense_weight_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dW = xᵀ dy, db = sum of dy over the samples. Row: x, dy, dW, db or -1, n, m."""
    rows, n, m = context[ROWS], row[5], row[6]
    transposed_times(context[GEMM], arena, row[1], row[2], row[3], n, rows, m)
    if row[4] >= 0:
        dy, db = matrix(arena, row[2], rows, m), block(arena, row[4], m)
        for j in range(m):
            db[j] = dy[0, j]
        for i in range(1, rows):
            for j in range(m):
                db[j] += dy[i, j]


@kernel
def dense_input_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx (rows, n) = dy (rows, m) Wᵀ. Row: dx, dy, W, n, m."""
    times_transposed(context[GEMM], arena, row[2], row[3], row[1], context[ROWS], row[5], row[4])
