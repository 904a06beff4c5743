"""Binary cross-entropy asks every output one question of its own, yes or no: the surprise at the right answer.

With two classes a single output is enough: does the sample belong to the second one? With more, each class has its
output, and they need not agree with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..engine.elementary import log1p_exp, sigmoid_of
from ..engine.kernel import kernel
from ..engine.layout import LOSS, ROWS
from ..engine.memory import block
from ..text import N_, _
from ..worked import Equation, LossSlide, constant, equation, exponential, function, negative, number, sum_of
from .base import Array, Loss

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript


@Loss.registry.add("binary_cross_entropy")
class BinaryCrossEntropy(Loss, frozen=True, kw_only=True, tag="binary_cross_entropy"):
    """Every output becomes a probability of its own (sigmoid); the loss is the mean surprise over samples and
    outputs.
    """

    label: ClassVar[str] = N_("Binary cross-entropy")
    formula: ClassVar[str] = "L = mean of −t log σ(z) − (1 − t) log(1 − σ(z))"
    source: ClassVar[str] = "torch.nn.BCEWithLogitsLoss"
    threshold: ClassVar[float] = 0.0

    def write(self, build: Builder, x: Wire) -> None:
        numbers = x.at, x.gradient, build.targets.at, x.width
        build.forward(binary_cross_entropy_forward, *numbers)
        build.backward(binary_cross_entropy_backward, *numbers)

    def predict(self, outputs: Array) -> Array:
        from scipy.special import expit

        return np.asarray(expit(outputs))

    def worked(self, slide: LossSlide) -> tuple[Equation, ...]:
        sample, k, count = slide.sample, slide.unit, number("N", slide.z.size)
        z, t = number(f"z[{k + 1}]", slide.z[sample, k]), number(f"t[{k + 1}]", slide.t[sample, k])
        one = constant(1.0)
        p = one / (one + exponential(negative(z)))
        found = [equation(f"p[{k + 1}]", p, words=_("the sigmoid of the chosen output"))]
        if slide.phase == "backward":
            dz = (p.named("p") - t) / count
            return *found, equation(f"∂L/∂z[{k + 1}]", dz, slide.dz[sample, k], _("N = samples × outputs"))
        given = slide.z.astype(np.float64)
        # log(1 + exp(z)) − z t, which is the same and does not overflow
        parts = np.logaddexp(0.0, given) - given * slide.t
        part = function("ln(1 + exp({}))", np.logaddexp(0.0, z.value), z) - z * t
        return (
            *found,
            equation("ℓ", part, words=_("−t ln p − (1 − t) ln(1 − p) of the chosen output, written without p")),
            equation("L", sum_of("Σ ℓ", parts) / count, slide.value, _("N = samples × outputs")),
        )

    def of_each(self, predictions: Array, t: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            yes = np.where(t > 0, -t * np.log(predictions), 0.0)
            no = np.where(t < 1, -(1.0 - t) * np.log1p(-predictions), 0.0)
        return np.asarray((yes + no).mean(axis=1))

    def to_pytorch(self, code: PyTorchScript, outputs: str, t: str) -> str:
        return code.functional(f"binary_cross_entropy_with_logits({outputs}, {t})")

    def to_keras(self, code: KerasScript, outputs: str, t: str) -> str:
        return f"ops.mean(keras.losses.binary_crossentropy({t}, {outputs}, from_logits=True))"

    def to_numpy(self, code: NumpyScript, outputs: str, t: str) -> tuple[str, str]:
        code.define_pair(NUMPY)
        return f"binary_cross_entropy({outputs}, {t})", f"binary_cross_entropy_backward({outputs}, {t})"


NUMPY = '''
def binary_cross_entropy(z, t):
    """mean of -t log σ(z) - (1 - t) log(1 - σ(z)), written so that nothing overflows"""
    return (np.logaddexp(0, z) - z * t).mean()

def binary_cross_entropy_backward(z, t):
    """dz = (σ(z) - t) / (samples times outputs)"""
    return (np.exp(-np.logaddexp(0, -z)) - t) / z.size
'''


@kernel
def binary_cross_entropy_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Mean of max(z, 0) - z t + log(1 + exp(-|z|)) over samples and outputs. Row: z, dz, targets, width."""
    count = context[ROWS] * row[4]
    z, t = block(arena, row[1], count), block(arena, row[3], count)
    total = 0.0
    for i in range(count):
        # In this form a small loss keeps its digits, and a large output does not overflow; a NaN stays one.
        above = np.float64(z[i]) if z[i] > 0 else 0.0
        total += above - np.float64(z[i]) * t[i] + log1p_exp(-abs(z[i]))
    statistics[LOSS] = total / count


@kernel
def binary_cross_entropy_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dz = (sigmoid(z) - t) / (rows width). Row as in the forward kernel."""
    count = context[ROWS] * row[4]
    z, dz, t = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    share = z.dtype.type(1.0 / count)
    for i in range(count):
        dz[i] = (sigmoid_of(z[i]) - t[i]) * share
