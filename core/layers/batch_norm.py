"""Batch normalization gives every unit mean 0 and variance 1 over the minibatch, then a learned scale and shift.

In an image a unit is a channel, and the mean goes over samples and pixels. When the network is evaluated, running
statistics stand in for those of the minibatch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import block, matrix
from ..engine.sums import column_products, column_squares, column_sums
from ..fields import about
from ..initializers import Constant, Zeros
from ..text import N_, _
from ..worked import Equation, LayerSlide, constant, equation, number, sum_of, sum_of_squares
from .base import Group, Layer, Parameter, Shape, channels_of

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("batch_norm")
class BatchNorm(Layer, frozen=True, kw_only=True, tag="batch_norm"):
    """Every unit (channel) is normalized over the minibatch; evaluation uses running statistics.

    As torch.nn.BatchNorm1d/2d: the minibatch is normalized with the biased variance, the running variance takes up the
    unbiased one, and `momentum` is the share of the new minibatch (Keras: 1 - that, and the biased variance).
    """

    label: ClassVar[str] = N_("Batch norm")
    group: ClassVar[Group] = "normalization"
    compares_samples: ClassVar[bool] = True
    formula: ClassVar[str] = "y = γ (x − μ_B) / √(σ²_B + ε) + β"
    source: ClassVar[str] = "Ioffe & Szegedy 2015 (arXiv 1502.03167), algorithm 1; torch.nn.BatchNorm1d"

    epsilon: Annotated[
        float,
        about(
            N_("epsilon"), N_("Added to the variance, against dividing by zero."), minimum=0.0, maximum=1.0, scale="log"
        ),
    ] = 1e-5
    momentum: Annotated[
        float,
        about(
            N_("momentum"),
            N_("Share of the new minibatch in the running statistics (Keras counts the other way: 1 minus this)."),
            minimum=0.0,
            maximum=1.0,
            live=True,
        ),
    ] = 0.1

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return given

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        n = channels_of(given)
        one, zero = Constant(value=1.0), Zeros()
        return (
            Parameter("gamma", (n,), n, n, one, False),
            Parameter("beta", (n,), n, n, zero, False),
            Parameter("running_mean", (n,), n, n, zero, False, trained=False),
            Parameter("running_variance", (n,), n, n, one, False, trained=False),
        )

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire(x.shape)
        n = channels_of(x.shape)
        gamma, beta = build.parameter("gamma"), build.parameter("beta")
        mean, variance = build.parameter("running_mean"), build.parameter("running_variance")
        places = x.width // n
        epsilon = build.constant(self.epsilon)
        centers, scales = build.scratch(n, "μ", watched=True), build.scratch(n, "1/σ", watched=True)
        if not build.training:
            kept = gamma.at, beta.at, mean.at, variance.at
            build.forward(batch_norm_evaluated, x.at, y.at, *kept, scales, n, places, epsilon)
            return y
        part = build.scratch(n, N_("sums"), role="room")
        momentum = build.live(build.here("momentum"), self.momentum)
        arrays = gamma.at, beta.at, mean.master, variance.master, centers, scales, part
        build.forward(batch_norm_forward, x.at, y.at, *arrays, n, places, epsilon, momentum)
        dx = build.gradient_of(x) if x.gradient >= 0 else -1
        learned = gamma.at, gamma.gradient, beta.gradient
        build.backward(batch_norm_backward, x.at, dx, y.gradient, *learned, centers, scales, part, n, places)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        n = channels_of(slide.shape)
        k, here = slide.unit % n, slide.place(slide.unit, slide.shape)
        at = slide.sample * (slide.flat(slide.y).shape[1] // n) + slide.unit // n
        values = slide.x.reshape(-1, n)[:, k].astype(np.float64)
        count, epsilon = number("N", len(values)), number("ε", self.epsilon)
        mean = sum_of(f"Σ x[{k + 1}]", values) / count
        mu = mean.named("μ")
        variance = sum_of_squares("Σ (x − μ)²", values - mean.value) / count
        sigma = variance.named("σ²")
        gamma, beta = number("γ", slide.parameters["gamma"][k]), number("β", slide.parameters["beta"][k])
        deviation = (sigma + epsilon).root()
        if slide.phase == "forward":
            y = gamma * (number("x", values[at]) - mu) / deviation + beta
            share = number("a", slide.live("momentum", self.momentum))
            rest = constant(1.0) - share
            over = _("over the minibatch, unit by unit: N = {count}").format(count=len(values))
            running = rest * number("μ̄", slide.before["running_mean"][k]) + share * mu
            found = [
                equation("μ", mean, words=over),
                equation("σ²", variance),
                equation(f"y{here}", y, slide.y.reshape(-1, n)[at, k]),
                equation("μ̄", running, slide.parameters["running_mean"][k], _("kept for evaluation")),
            ]
            if len(values) > 1:
                unbiased = sigma * count / (count - constant(1.0))
                running = rest * number("σ̄²", slide.before["running_variance"][k]) + share * unbiased
                found.append(equation("σ̄²", running, slide.parameters["running_variance"][k]))
            return tuple(found)
        delta = slide.delta.reshape(-1, n)[:, k].astype(np.float64)
        normal = (values - mean.value) / math.sqrt(variance.value + self.epsilon)
        dbeta = sum_of(f"Σ δ[{k + 1}]", delta)
        dgamma = sum_of(f"Σ δ[{k + 1}] x′[{k + 1}]", delta, normal)
        found = [
            equation(f"∂L/∂β[{k + 1}]", dbeta, slide.gradients["beta"][k]),
            equation(f"∂L/∂γ[{k + 1}]", dgamma, slide.gradients["gamma"][k], _("x′ = (x − μ) / √(σ² + ε)")),
        ]
        if slide.dx is not None:
            both = dbeta.named("∂β") + number("x′", normal[at]) * dgamma.named("∂γ")
            dx = gamma / deviation * (number("δ", delta[at]) - both / count)
            found.append(equation(f"∂L/∂x{here}", dx, slide.dx.reshape(-1, n)[at, k]))
        return tuple(found)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        return signal.through_batch_norm(self.epsilon, math.prod(given[:-1]))

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        settings = f"{channels_of(here.given)}, eps={code.number(self.epsilon)}, momentum={code.number(self.momentum)}"
        names = {"gamma": "weight", "beta": "bias"}
        names |= {"running_mean": "running_mean", "running_variance": "running_var"}
        return f"{code.module(here, f'nn.BatchNorm{2 if here.is_image else 1}d({settings})', **names)}({x})"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        kind = "layers.BatchNormalization"
        if code.evaluates:
            # the only difference is in evaluation
            code.define(KERAS)
            kind = "BatchNorm"
        momentum, epsilon = code.number(1.0 - self.momentum), code.number(self.epsilon)
        names = {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_variance": "moving_variance"}
        return (
            f"{code.module(here, f'{kind}(momentum={momentum}, epsilon={epsilon})', **names)}({x}, training=training)"
        )

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        epsilon = code.number(self.epsilon)
        trained = code.call(here, x, "batch_norm", NUMPY, "gamma", "beta", epsilon)
        if not code.evaluates:
            return trained
        code.define_pair(NUMPY_EVALUATED)
        y, own = code.value(here.path), f'p["{here.path}.gamma"], p["{here.path}.beta"]'
        kept = f'statistics["{here.path}.running_mean"], statistics["{here.path}.running_variance"]'
        code.line("if training:")
        code.line(f"    follow({x}, {kept}, {code.number(self.momentum)})")
        code.line(f"    {y} = {trained}")
        code.line("else:")
        code.line(f"    {y} = batch_norm_evaluated({x}, {own}, {kept}, {epsilon})")
        return y


NUMPY = '''
def batch_norm(x, gamma, beta, epsilon):
    """y = γ (x - μ) / √(σ² + ε) + β, mean and variance over the minibatch (and the pixels of an image)"""
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon) + beta

def batch_norm_backward(dy, x, gamma, beta, epsilon):
    """dx = γ / √(σ² + ε) (dy - mean(dy) - x̂ mean(dy x̂)), dγ = Σ dy x̂, dβ = Σ dy, x̂ = (x - μ) / √(σ² + ε)"""
    axes = tuple(range(x.ndim - 1))
    deviation = np.sqrt(x.var(axes) + epsilon)
    normal = (x - x.mean(axes)) / deviation
    dx = gamma / deviation * (dy - dy.mean(axes) - normal * (dy * normal).mean(axes))
    return dx, (dy * normal).sum(axes), dy.sum(axes)
'''
NUMPY_EVALUATED = '''
def follow(x, mean, variance, momentum):
    """The running statistics move toward those of the minibatch; the variance taken up is the unbiased one"""
    axes = tuple(range(x.ndim - 1))
    count = x.size // x.shape[-1]
    mean += momentum * (x.mean(axes) - mean)
    if count > 1:  # one number alone has no variance
        variance += momentum * (x.var(axes) * count / (count - 1) - variance)

def batch_norm_evaluated(x, gamma, beta, mean, variance, epsilon):
    """As batch_norm, with the running statistics"""
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta
'''
KERAS = '''
class BatchNorm(layers.BatchNormalization):
    """As in Keras, but the running variance takes up the unbiased variance, as in PyTorch."""

    def call(self, x, training=False):
        before = ops.copy(self.moving_variance)
        y = super().call(x, training=training)
        if training:
            axes = tuple(range(len(x.shape) - 1))
            count = ops.size(x) // x.shape[-1]
            unbiased = ops.stop_gradient(ops.var(x, axis=axes)) * count / max(count - 1, 1)
            share = 1 - self.momentum
            self.moving_variance.assign(before + share * (unbiased - before))
        return y
'''


@kernel
def batch_norm_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = gamma (x - mean) / sqrt(variance + epsilon) + beta, and the running statistics move toward this minibatch.

    One number alone has no variance: a minibatch of one sample leaves the running variance as it is. (Its output is
    beta; PyTorch refuses it.)

    Row: x, y, gamma, beta, running mean, running variance, means, 1 / standard deviations, room for sums, units, places
    per sample, epsilon and momentum in hyper.
    """
    n, count = row[10], context[ROWS] * row[11]
    x, y = matrix(arena, row[1], count, n), matrix(arena, row[2], count, n)
    gamma, beta = block(arena, row[3], n), block(arena, row[4], n)
    mean, variance = block(arena, row[5], n), block(arena, row[6], n)
    center, scale, part = block(arena, row[7], n), block(arena, row[8], n), block(arena, row[9], n)
    epsilon, share = hyper[row[12]], hyper[row[13]]
    column_sums(x, center, part)
    for j in range(n):
        center[j] = np.float64(center[j]) / count
    column_squares(x, center, scale, part)
    for j in range(n):
        mean[j] = (1.0 - share) * mean[j] + share * center[j]
        if count > 1:
            variance[j] = (1.0 - share) * variance[j] + share * (scale[j] / (count - 1.0))
        scale[j] = 1.0 / math.sqrt(scale[j] / np.float64(count) + epsilon)
    for i in range(count):
        for j in range(n):
            y[i, j] = gamma[j] * ((x[i, j] - center[j]) * scale[j]) + beta[j]


@kernel
def batch_norm_evaluated(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = gamma (x - running mean) / sqrt(running variance + epsilon) + beta.

    Row: x, y, gamma, beta, running mean, running variance, 1 / standard deviations, units, places per sample, epsilon
    in hyper.
    """
    n, count = row[8], context[ROWS] * row[9]
    x, y = matrix(arena, row[1], count, n), matrix(arena, row[2], count, n)
    gamma, beta = block(arena, row[3], n), block(arena, row[4], n)
    mean, variance, scale = block(arena, row[5], n), block(arena, row[6], n), block(arena, row[7], n)
    for j in range(n):
        scale[j] = 1.0 / math.sqrt(np.float64(variance[j]) + hyper[row[10]])
    for i in range(count):
        for j in range(n):
            y[i, j] = gamma[j] * ((x[i, j] - mean[j]) * scale[j]) + beta[j]


@kernel
def batch_norm_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = gamma / sd (dy - mean(dy) - x^ mean(dy x^)), dgamma = sum of dy x^, dbeta = sum of dy, x^ = (x - mean) / sd.

    Row: x, dx or -1, dy, gamma, dgamma, dbeta, means, 1 / standard deviations, room for sums, units, places per sample.
    """
    n, count = row[10], context[ROWS] * row[11]
    x, dy = matrix(arena, row[1], count, n), matrix(arena, row[3], count, n)
    gamma, dgamma, dbeta = block(arena, row[4], n), block(arena, row[5], n), block(arena, row[6], n)
    center, scale, part = block(arena, row[7], n), block(arena, row[8], n), block(arena, row[9], n)
    column_sums(dy, dbeta, part)
    column_products(dy, x, center, scale, dgamma, part)
    if row[2] >= 0:
        dx = matrix(arena, row[2], count, n)
        share = x.dtype.type(1.0 / count)
        for i in range(count):
            for j in range(n):
                normal = (x[i, j] - center[j]) * scale[j]
                dx[i, j] = gamma[j] * scale[j] * (dy[i, j] - share * (dbeta[j] + normal * dgamma[j]))
