"""A loss says with one number how wrong the network's answers are; training makes it smaller.

Both losses are the mean over the minibatch, as in PyTorch and Keras, and so are their gradients.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from .data.base import Outline
from .engine.elementary import exp
from .engine.kernel import device, kernel
from .engine.layout import ACCURACY, LOSS, ROWS
from .engine.memory import matrix
from .errors import InputError
from .fields import Kind, about
from .registry import Registry
from .text import N_, ngettext

if TYPE_CHECKING:
    from .engine.program import Builder, Wire
    from .interop.keras import KerasScript
    from .interop.numpy import NumpyScript
    from .interop.pytorch import PyTorchScript
    from .layers.base import Shape


class Loss(Kind, frozen=True, kw_only=True):
    """The last card of the network."""

    registry: ClassVar[Registry[type[Loss]]] = Registry(N_("loss"))

    def check(self, outputs: tuple[int, ...], outline: Outline) -> None:
        """An InputError unless outputs of this shape can be compared with the targets of such data."""
        targets = outline.targets
        if math.prod(outputs) != targets or len(outputs) != 1:
            raise InputError(
                ngettext(
                    "the last layer puts out {outputs}, but the data has {targets} class: "
                    "end with a dense layer of {targets} unit",
                    "the last layer puts out {outputs}, but the data has {targets} classes: "
                    "end with a dense layer of {targets} units",
                    targets,
                ).format(outputs="×".join(map(str, outputs)), targets=targets)
            )

    def encode(self, t: NDArray[np.float64], outputs: Shape) -> NDArray[np.float64]:
        """Targets (n, targets) in the form in which outputs of this shape are compared with them."""
        return t

    def emit(self, build: Builder, x: Wire) -> None:
        """Write the loss's operations: its value and accuracy forward, the gradient of its input backward."""
        raise NotImplementedError

    def predict(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """What a network with outputs (n, width) answers: probabilities, or the outputs themselves. Averages of several
        networks are taken of these.
        """
        return outputs

    def of_predictions(self, predictions: NDArray[np.float64], t: NDArray[np.float64]) -> float:
        """The loss of answers as `predict` gives them, (n, width), for encoded targets t (n, width)."""
        raise NotImplementedError

    def chance(self, classes: int) -> float:
        """The loss of a network that gives every class the same answer."""
        raise NotImplementedError

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        """The expression of the loss of `outputs` for encoded targets `t`, in an exported PyTorch program."""
        raise NotImplementedError

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        """The same in Keras."""
        raise NotImplementedError

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        """The same in NumPy, and the expression of its gradient with respect to the outputs."""
        raise NotImplementedError


@Loss.registry.add("softmax_cross_entropy")
class SoftmaxCrossEntropy(Loss, frozen=True, kw_only=True, tag="softmax_cross_entropy"):
    """Outputs become probabilities (softmax); the loss is the surprise at the right class, -log p."""

    label: ClassVar[str] = N_("Softmax cross-entropy")
    label_smoothing: Annotated[
        float,
        about(N_("label smoothing"), N_("Share of the target spread evenly over all classes."), minimum=0.0, below=1.0),
    ] = 0.0

    def emit(self, build: Builder, x: Wire) -> None:
        # Where there is a way back, the probabilities are kept where the gradient will be.
        probabilities = x.gradient if x.gradient >= 0 else build.scratch(build.batch_size * x.width)
        numbers = x.at, probabilities, build.targets.at, x.width, build.constant(self.label_smoothing)
        build.forward(cross_entropy_forward, *numbers)
        build.backward(cross_entropy_backward, *numbers)

    def predict(self, outputs: NDArray[np.float64]) -> NDArray[np.float64]:
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def of_predictions(self, predictions: NDArray[np.float64], t: NDArray[np.float64]) -> float:
        q = (1.0 - self.label_smoothing) * t + self.label_smoothing / t.shape[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = np.where(q > 0, -q * np.log(predictions), 0.0)
        return float(surprise.sum(axis=1).mean())

    def chance(self, classes: int) -> float:
        return math.log(classes)

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


@Loss.registry.add("mse")
class MeanSquaredError(Loss, frozen=True, kw_only=True, tag="mse"):
    """The mean of the squared differences between outputs and targets; classes become targets 0 and 1."""

    label: ClassVar[str] = N_("Mean squared error")

    def emit(self, build: Builder, x: Wire) -> None:
        numbers = x.at, x.gradient, build.targets.at, x.width
        build.forward(squared_error_forward, *numbers)
        build.backward(squared_error_backward, *numbers)

    def of_predictions(self, predictions: NDArray[np.float64], t: NDArray[np.float64]) -> float:
        return float(np.mean((predictions - t) ** 2))

    def chance(self, classes: int) -> float:
        return (classes - 1) / classes**2

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        return code.functional(f"mse_loss({outputs}, {t})")

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        return f"ops.mean((ops.convert_to_tensor({t}) - {outputs}) ** 2)"

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        code.define_pair(NUMPY_SQUARED_ERROR)
        return f"squared_error({outputs}, {t})", f"squared_error_backward({outputs}, {t})"


NUMPY_SQUARED_ERROR = '''
def squared_error(y, t):
    """mean of (y - t)² over samples and outputs"""
    return ((y - t) ** 2).mean()

def squared_error_backward(y, t):
    return 2 * (y - t) / y.size
'''


def accuracy_of(predictions: NDArray[np.float64], t: NDArray[np.float64]) -> float:
    """Share of samples whose largest prediction (n, width) is the right class; with one prediction, whether it is on
    the right side of one half. For encoded targets t (n, width).
    """
    if t.shape[1] == 1:
        return float(np.mean((predictions > 0.5) == (t > 0.5)))
    return float(np.mean(predictions.argmax(axis=1) == t.argmax(axis=1)))


@device
def hits(y, t, rows, width):  # type: ignore[no-untyped-def]
    """Share of rows whose largest output stands where the largest target stands; a row with a NaN is a miss."""
    right = 0
    for i in range(rows):
        best, wanted, sane = 0, 0, True
        for j in range(width):
            if y[i, j] != y[i, j]:
                sane = False
            if y[i, j] > y[i, best]:
                best = j
            if t[i, j] > t[i, wanted]:
                wanted = j
        if sane and best == wanted:
            right += 1
    return right / rows


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
    statistics[ACCURACY] = hits(y, t, rows, width)


@kernel
def cross_entropy_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = (p - q) / rows, where p stands in dy already. Row as in the forward kernel."""
    rows, width, smoothing = context[ROWS], row[4], hyper[row[5]]
    p, t = matrix(arena, row[2], rows, width), matrix(arena, row[3], rows, width)
    for i in range(rows):
        for j in range(width):
            p[i, j] = (p[i, j] - ((1.0 - smoothing) * t[i, j] + smoothing / width)) / rows


@kernel
def squared_error_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Mean of (y - t)^2 over samples and outputs. Row: y, dy, targets, width."""
    rows, width = context[ROWS], row[4]
    y, t = matrix(arena, row[1], rows, width), matrix(arena, row[3], rows, width)
    total = 0.0
    for i in range(rows):
        for j in range(width):
            total += (y[i, j] - t[i, j]) ** 2
    statistics[LOSS] = total / (rows * width)
    statistics[ACCURACY] = hits(y, t, rows, width)


@kernel
def squared_error_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dy = 2 (y - t) / (rows width). Row as in the forward kernel."""
    rows, width = context[ROWS], row[4]
    y, dy, t = (
        matrix(arena, row[1], rows, width),
        matrix(arena, row[2], rows, width),
        matrix(arena, row[3], rows, width),
    )
    for i in range(rows):
        for j in range(width):
            dy[i, j] = 2.0 * (y[i, j] - t[i, j]) / (rows * width)
