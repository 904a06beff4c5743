"""Layer normalization gives every sample mean 0 and variance 1 over all its numbers, then a learned scale and shift.

Other than batch normalization it looks at one sample at a time, so it does the same in training and in evaluation, for
minibatches of any size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import block, matrix
from ..fields import about
from ..initializers import Constant, Zeros
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number, sum_of, sum_of_squares
from .base import Group, Layer, Parameter, Shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("layer_norm")
class LayerNorm(Layer, frozen=True, kw_only=True, tag="layer_norm"):
    """Every sample is normalized over all its numbers, in an image over pixels and channels together."""

    label: ClassVar[str] = N_("Layer norm")
    group: ClassVar[Group] = "normalization"
    formula: ClassVar[str] = "y = γ (x − μ) / √(σ² + ε) + β,  μ and σ² over the numbers of a sample"
    source: ClassVar[str] = "Ba, Kiros & Hinton 2016 (arXiv 1607.06450), eq. 3; torch.nn.LayerNorm(shape)"

    epsilon: Annotated[
        float,
        about(
            N_("epsilon"), N_("Added to the variance, against dividing by zero."), minimum=0.0, maximum=1.0, scale="log"
        ),
    ] = 1e-5

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return given

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        n = math.prod(given)
        return (
            Parameter("gamma", given, n, n, Constant(value=1.0), False),
            Parameter("beta", given, n, n, Zeros(), False),
        )

    def room(self, given: Shape, samples: int) -> int:
        return 2 * samples

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire(x.shape)
        gamma, beta = build.parameter("gamma"), build.parameter("beta")
        rows = build.batch_size
        centers, scales = build.scratch(rows, "μ", watched=True), build.scratch(rows, "1/σ", watched=True)
        epsilon = build.constant(self.epsilon)
        build.forward(layer_norm_forward, x.at, y.at, gamma.at, beta.at, centers, scales, x.width, epsilon)
        dx = build.gradient_of(x) if x.gradient >= 0 else -1
        learned = gamma.at, gamma.gradient, beta.gradient
        build.backward(layer_norm_backward, x.at, dx, y.gradient, *learned, centers, scales, x.width)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        sample, k, here = slide.sample, slide.unit, slide.place(slide.unit, slide.shape)
        values = slide.flat(slide.x)[sample].astype(np.float64)
        gammas = slide.parameters["gamma"].ravel()
        count, epsilon = number("N", len(values)), number("ε", self.epsilon)
        mean = sum_of("Σ x", values) / count
        mu = mean.named("μ")
        variance = sum_of_squares("Σ (x − μ)²", values - mean.value) / count
        deviation = (variance.named("σ²") + epsilon).root()
        if slide.phase == "forward":
            gamma, beta = number("γ", gammas[k]), number("β", slide.parameters["beta"].ravel()[k])
            y = gamma * (number("x", values[k]) - mu) / deviation + beta
            over = _("over the {count} numbers of this sample").format(count=len(values))
            return (
                equation("μ", mean, words=over),
                equation("σ²", variance),
                equation(f"y{here}", y, slide.flat(slide.y)[sample, k]),
            )
        delta = slide.delta.astype(np.float64)
        every = slide.flat(slide.x).astype(np.float64)
        normal = (every - every.mean(axis=1, keepdims=True)) / np.sqrt(every.var(axis=1, keepdims=True) + self.epsilon)
        dgamma = sum_of(f"Σₙ δ[n, {k + 1}] x′[n, {k + 1}]", delta[:, k], normal[:, k])
        found = [
            equation(f"∂L/∂β[{k + 1}]", sum_of(f"Σₙ δ[n, {k + 1}]", delta[:, k]), slide.gradients["beta"].ravel()[k]),
            equation(f"∂L/∂γ[{k + 1}]", dgamma, slide.gradients["gamma"].ravel()[k], _("x′ = (x − μ) / √(σ² + ε)")),
        ]
        if slide.dx is not None:
            d = gammas.astype(np.float64) * delta[sample]
            total, slope = sum_of("Σ d", d) / count, sum_of("Σ d x′", d, normal[sample]) / count
            dx = number("d", d[k]) - total.named("d̄") - number("x′", normal[sample, k]) * slope.named("s")
            found += [
                equation("d̄", total, words=_("d = γ δ, over the numbers of this sample")),
                equation("s", slope),
                equation(f"∂L/∂x{here}", dx / deviation, slide.dx[sample, k]),
            ]
        return tuple(found)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return signal.through_layer_norm(self.epsilon)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        given = here.given
        shape = str([given[2], given[0], given[1]]) if here.is_image else str(given[0])
        constructor = f"nn.LayerNorm({shape}, eps={code.number(self.epsilon)})"
        return f"{code.module(here, constructor, gamma='weight', beta='bias')}({x})"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        axes = "axis=(1, 2, 3), " if here.is_image else ""
        constructor = f"layers.LayerNormalization({axes}epsilon={code.number(self.epsilon)})"
        return f"{code.module(here, constructor, gamma='gamma', beta='beta')}({x})"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        return code.call(here, x, "layer_norm", NUMPY, "gamma", "beta", code.number(self.epsilon))


NUMPY = '''
def layer_norm(x, gamma, beta, epsilon):
    """y = γ (x - μ) / √(σ² + ε) + β, mean and variance over the numbers of each sample"""
    axes = tuple(range(1, x.ndim))
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta

def layer_norm_backward(dy, x, gamma, beta, epsilon):
    """dx = (d - mean(d) - x̂ mean(d x̂)) / √(σ² + ε), d = γ dy, x̂ = (x - μ) / √(σ² + ε)"""
    axes = tuple(range(1, x.ndim))
    deviation = np.sqrt(x.var(axes, keepdims=True) + epsilon)
    normal = (x - x.mean(axes, keepdims=True)) / deviation
    d = gamma * dy
    slope = (d * normal).mean(axes, keepdims=True)
    dx = (d - d.mean(axes, keepdims=True) - normal * slope) / deviation
    return dx, (dy * normal).sum(axis=0), dy.sum(axis=0)
'''


@kernel
def layer_norm_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, sample by sample.

    Row: x, y, gamma, beta, means, 1 / standard deviations, width, epsilon in hyper.
    """
    rows, n, epsilon = context[ROWS], row[7], hyper[row[8]]
    x, y = matrix(arena, row[1], rows, n), matrix(arena, row[2], rows, n)
    gamma, beta = block(arena, row[3], n), block(arena, row[4], n)
    center, scale = block(arena, row[5], rows), block(arena, row[6], rows)
    for i in range(rows):
        total, squares = 0.0, 0.0
        for j in range(n):
            total += np.float64(x[i, j])
        mean = total / n
        for j in range(n):
            deviation = np.float64(x[i, j]) - mean
            squares += deviation * deviation
        center[i] = mean
        scale[i] = 1.0 / math.sqrt(squares / n + epsilon)
        for j in range(n):
            y[i, j] = gamma[j] * ((x[i, j] - center[i]) * scale[i]) + beta[j]


@kernel
def layer_norm_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = 1 / sd (d - mean(d) - x^ mean(d x^)), d = gamma dy, x^ = (x - mean) / sd; dgamma = sum of dy x^, dbeta = sum
    of dy, over the samples.

    Row: x, dx or -1, dy, gamma, dgamma, dbeta, means, 1 / standard deviations, width.
    """
    rows, n = context[ROWS], row[9]
    x, dy = matrix(arena, row[1], rows, n), matrix(arena, row[3], rows, n)
    gamma, dgamma, dbeta = block(arena, row[4], n), block(arena, row[5], n), block(arena, row[6], n)
    center, scale = block(arena, row[7], rows), block(arena, row[8], rows)
    for j in range(n):
        dgamma[j] = 0
        dbeta[j] = 0
    for i in range(rows):
        for j in range(n):
            dbeta[j] += dy[i, j]
            dgamma[j] += dy[i, j] * ((x[i, j] - center[i]) * scale[i])
    if row[2] >= 0:
        dx = matrix(arena, row[2], rows, n)
        for i in range(rows):
            total, product = 0.0, 0.0
            for j in range(n):
                d = gamma[j] * dy[i, j]
                total += np.float64(d)
                product += np.float64(d * ((x[i, j] - center[i]) * scale[i]))
            mean, slope = dx.dtype.type(total / n), dx.dtype.type(product / n)
            for j in range(n):
                normal = (x[i, j] - center[i]) * scale[i]
                dx[i, j] = scale[i] * (gamma[j] * dy[i, j] - mean - normal * slope)
