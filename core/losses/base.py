"""A loss says with one number how wrong the network's answers are; training makes it smaller.

Every loss is a mean over the minibatch, as in PyTorch and Keras, and so is its gradient. Beside it stands the accuracy,
the share of right answers, where the data has classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine.kernel import kernel
from ..engine.layout import ACCURACY, ROWS
from ..engine.memory import matrix
from ..errors import InputError
from ..fields import Kind
from ..registry import Registry
from ..text import N_, _, ngettext

if TYPE_CHECKING:
    from ..data.base import Outline
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..layers.base import Shape
    from ..worked import Equation, LossSlide

Array = NDArray[np.float64]


class Loss(Kind, frozen=True, kw_only=True):
    """The last card of the network."""

    registry: ClassVar[Registry[type[Loss]]] = Registry(N_("loss"), "layerscope.core.losses")

    # whether it can compare values to predict, and not classes only
    for_values: ClassVar[bool] = False

    # whether two classes may be told apart by a single output, and the output beyond which it means the second class
    single_output: ClassVar[bool] = True
    threshold: ClassVar[float] = 0.5

    def check(self, outputs: Shape, outline: Outline) -> None:
        """An InputError unless outputs of this shape can be compared with the targets of such data."""
        targets = outline.targets
        if outline.is_regression and not self.for_values:
            names = [_(kind.label) for kind in Loss.registry if kind.for_values]
            raise InputError(
                _("{loss} is for classes, but the data has values to predict: choose {others}").format(
                    loss=_(self.label), others=_(" or ").join(names)
                )
            )
        if outputs == (targets,) or self._is_single(outputs, targets, outline.is_regression):
            return
        if outline.is_regression:
            sentence = ngettext(
                "the last layer puts out {outputs}, but the data has {targets} value to predict: "
                "end with a dense layer of {targets} unit",
                "the last layer puts out {outputs}, but the data has {targets} values to predict: "
                "end with a dense layer of {targets} units",
                targets,
            )
        elif self.single_output and targets == 2:
            sentence = _(
                "the last layer puts out {outputs}, but the data has 2 classes: "
                "end with a dense layer of 1 unit (the second class or not) or of 2 units (one per class)"
            )
        else:
            sentence = ngettext(
                "the last layer puts out {outputs}, but the data has {targets} class: "
                "end with a dense layer of {targets} unit",
                "the last layer puts out {outputs}, but the data has {targets} classes: "
                "end with a dense layer of {targets} units",
                targets,
            )
        raise InputError(sentence.format(outputs="×".join(map(str, outputs)), targets=targets))

    def _is_single(self, outputs: Shape, targets: int, regression: bool) -> bool:
        return self.single_output and not regression and targets == 2 and outputs == (1,)

    def encode(self, t: Array, outputs: Shape) -> Array:
        """Targets (n, targets) in the form in which outputs of this shape are compared with them: the same, but for two
        classes and a single output, which is compared with whether it is the second class.
        """
        return t[:, 1:2] if self.single_output and outputs == (1,) and t.shape[1] == 2 else t

    def write(self, build: Builder, x: Wire) -> None:
        """Write the loss's own operations: its value forward, the gradient of its input backward."""
        raise NotImplementedError

    def emit(self, build: Builder, x: Wire) -> None:
        """Write the loss's operations, and the accuracy where there are classes."""
        self.write(build, x)
        if not build.network.outline.is_regression:
            build.forward(measure_accuracy, x.at, build.targets.at, x.width, build.constant(self.threshold))

    def pieces(self, outputs: NDArray[np.floating], t: NDArray[np.floating]) -> NDArray[np.int64]:
        """On which smooth piece of the loss each output (n, width) lies; empty where it is smooth everywhere."""
        return np.zeros(0, dtype=np.int64)

    def worked(self, slide: LossSlide) -> tuple[Equation, ...]:
        """How the loss comes about, or on the way back its gradient, with the numbers of the step in the formulas."""
        raise NotImplementedError

    def predict(self, outputs: Array) -> Array:
        """What a network with outputs (n, width) answers: probabilities, or the outputs themselves. Averages of several
        networks are taken of these.
        """
        return outputs

    def of_each(self, predictions: Array, t: Array) -> Array:
        """The loss of every single sample (n,) for answers as `predict` gives them, (n, width), and encoded targets t
        (n, width).
        """
        raise NotImplementedError

    def of_predictions(self, predictions: Array, t: Array) -> float:
        """The loss of answers as `predict` gives them, (n, width), for encoded targets t (n, width)."""
        return float(self.of_each(predictions, t).mean())

    def chance(self, outline: Outline) -> float:
        """The loss of a network that answers 1 / (number of classes) everywhere; NaN where there are no classes, since
        it then depends on how far the values spread.
        """
        return self.of_guessing(len(outline.classes)) if outline.classes else math.nan

    def of_guessing(self, classes: int) -> float:
        """The loss when every one of so many classes is given the same probability."""
        answers = np.full((1, classes), 1.0 / classes)
        return self.of_predictions(answers, np.eye(classes)[:1])

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        """The expression of the loss of `outputs` for encoded targets `t`, in an exported PyTorch program."""
        raise NotImplementedError

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        """The same in Keras."""
        raise NotImplementedError

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        """The same in NumPy, and the expression of its gradient with respect to the outputs."""
        raise NotImplementedError


def accuracy_of(predictions: Array, t: Array) -> float:
    """Share of samples whose largest prediction (n, width) is the right class; with one prediction, whether it is on
    the right side of one half. For encoded targets t (n, width). An answer with a NaN is wrong.
    """
    sane = ~np.isnan(predictions).any(axis=1)
    if t.shape[1] == 1:
        return float(np.mean(sane & ((predictions > 0.5) == (t > 0.5))[:, 0]))
    return float(np.mean(sane & (predictions.argmax(axis=1) == t.argmax(axis=1))))


@kernel
def measure_accuracy(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Share of samples whose largest output stands where the largest target stands; a single output is right when it is
    beyond the threshold where its target is 1. A sample with a NaN is wrong.

    Row: y, targets, width, threshold in hyper.
    """
    rows, width, threshold = context[ROWS], row[3], hyper[row[4]]
    y, t = matrix(arena, row[1], rows, width), matrix(arena, row[2], rows, width)
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
        if width == 1:
            best, wanted = int(y[i, 0] > threshold), int(t[i, 0] > 0.5)
        if sane and best == wanted:
            right += 1
    statistics[ACCURACY] = right / rows
