"""Softmax turns the outputs of a network into probabilities; cross-entropy is the surprise at the right class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ..engine.elementary import exp
from ..engine.kernel import kernel
from ..engine.layout import LOSS, ROWS
from ..engine.memory import matrix
from ..fields import about
from ..text import N_, _
from ..worked import Equation, LossSlide, equation, exponential, number, sum_of
from .base import Array, Loss

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript


@Loss.registry.add("softmax_cross_entropy")
class SoftmaxCrossEntropy(Loss, frozen=True, kw_only=True, tag="softmax_cross_entropy"):
    """Outputs become probabilities (softmax); the loss is the surprise at the right class, -log p."""

    label: ClassVar[str] = N_("Softmax cross-entropy")
    formula: ClassVar[str] = "L = −Σ q_k log p_k,  p = softmax(z),  q = (1 − ε) t + ε / K"
    source: ClassVar[str] = "torch.nn.CrossEntropyLoss; smoothing: Szegedy et al. 2015 (arXiv 1512.00567), 7"
    single_output: ClassVar[bool] = False

    label_smoothing: Annotated[
        float,
        about(N_("label smoothing"), N_("Share of the target spread evenly over all classes."), minimum=0.0, below=1.0),
    ] = 0.0

    def write(self, build: Builder, x: Wire) -> None:
        # Where there is a way back, the probabilities are kept where the gradient will be.
        probabilities = x.gradient if x.gradient >= 0 else build.scratch(build.batch_size * x.width, "p")
        numbers = x.at, probabilities, build.targets.at, x.width, build.constant(self.label_smoothing)
        build.forward(cross_entropy_forward, *numbers)
        build.backward(cross_entropy_backward, *numbers)

    def worked(self, slide: LossSlide) -> tuple[Equation, ...]:
        sample, k, rows = slide.sample, slide.unit, number("n", len(slide.z))
        given = slide.z.astype(np.float64)
        largest = given.max(axis=1, keepdims=True)
        powers = np.exp(given - largest)
        mass = powers.sum(axis=1)
        # The largest output is subtracted from all of them first: the quotient stays, and nothing overflows.
        z = number(f"z[{k + 1}]", given[sample, k]) - number("max z", largest[sample, 0])
        p = exponential(z) / sum_of("Σ exp(z[j] − max z)", powers[sample])
        q = (1.0 - self.label_smoothing) * slide.t + self.label_smoothing / slide.z.shape[1]
        target = number(f"q[{k + 1}]", q[sample, k])
        if slide.phase == "backward":
            dz = (p.named(f"p[{k + 1}]") - target) / rows
            samples = _("n samples")
            return equation(f"p[{k + 1}]", p), equation(f"∂L/∂z[{k + 1}]", dz, slide.dz[sample, k], samples)
        logs = np.log(mass)[:, None] - (given - largest)  # −ln p
        parts = np.where(q != 0.0, q * logs, 0.0)
        own = int(np.argmax(slide.t[sample]))
        surprise = sum_of("Σ q[j] (−ln p[j])", parts[sample])
        return (
            equation(f"p[{k + 1}]", p, slide.dz[sample, k]),
            equation("ℓ", surprise, words=_("this sample’s; its class is output {number}").format(number=own + 1)),
            equation("L", sum_of("Σ ℓ", parts.sum(axis=1)) / rows, slide.value, _("n samples")),
        )

    def predict(self, outputs: Array) -> Array:
        with np.errstate(invalid="ignore"):  # two infinite outputs: their answer is NaN
            powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            return powers / powers.sum(axis=1, keepdims=True)

    def of_each(self, predictions: Array, t: Array) -> Array:
        q = (1.0 - self.label_smoothing) * t + self.label_smoothing / t.shape[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = np.where(q > 0, -q * np.log(predictions), 0.0)
        return np.asarray(surprise.sum(axis=1))

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        smoothing = f", label_smoothing={code.number(self.label_smoothing)}" if self.label_smoothing else ""
        return code.functional(f"cross_entropy({outputs}, {t}{smoothing})")

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        smoothing = f", label_smoothing={code.number(self.label_smoothing)}" if self.label_smoothing else ""
        settings = f"{t}, {outputs}, from_logits=True{smoothing}"
        return f"ops.mean(keras.losses.categorical_crossentropy({settings}))"

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        code.define_pair(NUMPY_CROSS_ENTROPY)
        if self.label_smoothing:
            code.define_pair(NUMPY_SMOOTHED)
            t = f"smoothed({t}, {code.number(self.label_smoothing)})"
        return f"cross_entropy({outputs}, {t})", f"cross_entropy_backward({outputs}, {t})"


NUMPY_CROSS_ENTROPY = '''
def log_softmax(y):
    """log p = y - log Σ e^y, with the largest output at 0 so that nothing overflows"""
    y = y - y.max(axis=1, keepdims=True)
    return y - np.log(np.exp(y).sum(axis=1, keepdims=True))

def cross_entropy(y, t):
    """mean over the samples of -Σ t log p"""
    return -(t * log_softmax(y)).sum(axis=1).mean()

def cross_entropy_backward(y, t):
    """dy = (p - t) / samples"""
    return (np.exp(log_softmax(y)) - t) / len(y)
'''
NUMPY_SMOOTHED = '''
def smoothed(t, share):
    """Label smoothing: a share of the target is spread evenly over all classes"""
    return (1 - share) * t + share / t.shape[1]
'''


@kernel
def cross_entropy_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Mean of log sum exp(y) - sum q y, q the smoothed target. Leaves the probabilities where the gradient will be.

    Row: y, dy, targets, width, label smoothing in hyper.
    """
    rows, width, smoothing = context[ROWS], row[4], hyper[row[5]]
    y, p, t = matrix(arena, row[1], rows, width), matrix(arena, row[2], rows, width), matrix(arena, row[3], rows, width)
    total = 0.0
    for i in range(rows):
        largest = y[i, 0]
        for j in range(1, width):
            largest = max(largest, y[i, j])
        for j in range(width):
            p[i, j] = exp(y[i, j] - largest)
        mass, wanted = 0.0, 0.0
        for j in range(width):
            mass += p[i, j]
            wanted += ((1.0 - smoothing) * t[i, j] + smoothing / width) * (y[i, j] - largest)
        share = y.dtype.type(1.0 / mass)
        for j in range(width):
            p[i, j] *= share
        total += math.log(mass) - wanted
    statistics[LOSS] = total / rows


@kernel
def cross_entropy_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = (p - q) / rows, where p stands in dy already. Row as in the forward kernel."""
    rows, width, smoothing = context[ROWS], row[4], hyper[row[5]]
    p, t = matrix(arena, row[2], rows, width), matrix(arena, row[3], rows, width)
    for i in range(rows):
        for j in range(width):
            p[i, j] = (p[i, j] - ((1.0 - smoothing) * t[i, j] + smoothing / width)) / rows
