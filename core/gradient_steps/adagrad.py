"""Adagrad gives every weight a learning rate of its own, which falls the more, the larger its gradients have been.

a = a + gradient^2; w = w - learning rate * gradient / (sqrt(a) + epsilon), the form of torch.optim.Adagrad.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import about
from ..text import N_
from ..worked import Equation, StepSlide, equation, number
from .base import LearningRate, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("adagrad")
class Adagrad(Optimizer, frozen=True, kw_only=True, tag="adagrad"):
    """Divides each weight's gradient by the root of the sum of all its past squares, so that rarely used weights learn
    quickly; the sum only grows, so the steps only shrink.
    """

    label: ClassVar[str] = N_("Adagrad")
    formula: ClassVar[str] = "a ← a + (∇w)²,  Δw = −η ∇w / (√a + ε)"
    source: ClassVar[str] = "Duchi, Hazan & Singer 2011; torch.optim.Adagrad"
    slots: ClassVar[tuple[str, ...]] = ("sum_of_squares",)

    learning_rate: LearningRate = 0.01
    epsilon: Annotated[
        float,
        about(
            N_("epsilon"),
            N_(
                "Added to the root, against dividing by zero. The sum starts at 0, as in PyTorch; Keras starts it at "
                "0.1 and adds its epsilon, 1e-7, under the root."
            ),
            minimum=0.0,
            maximum=1.0,
            scale="log",
            live=True,
        ),
    ] = 1e-10

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        total = build.slot("sum_of_squares", tensor)
        epsilon = build.live(f"{place}.epsilon", self.epsilon)
        count = tensor.parameter.count
        build.update(adagrad_update, tensor.gradient, total, tensor.update, count, build.rate, epsilon)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        total = slide.slot("a", "sum_of_squares") + slide.g.squared()
        epsilon = number("ε", slide.live("epsilon", self.epsilon))
        update = slide.eta * slide.g / (total.named("a").root() + epsilon)
        return worked_update(slide, update, equation("a", total, slide.kept("sum_of_squares")))

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.built_in(f"torch.optim.Adagrad(p.values(), lr=LEARNING_RATE, eps={code.number(self.epsilon)})")

    def to_keras(self, code: KerasScript) -> None:
        code.note("keras.optimizers.Adagrad adds epsilon under the root, and starts the sum at 0.1")
        self.to_code(code)

    def to_code(self, code: Script) -> None:
        code.slots("squares")
        root = f"{code.package}.sqrt(squares[name])"
        code.optimize(f"""
            for name in g:
                squares[name] = squares[name] + g[name] ** 2
                {code.subtract("p[name]", f"rate * g[name] / ({root} + {code.number(self.epsilon)})")}
        """)


@kernel
def adagrad_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """a = a + gradient^2, update = rate * gradient / (sqrt(a) + epsilon). Row: gradient, a, update, count, rate and
    epsilon in hyper.
    """
    g, a, u = block(arena, row[1], row[4]), block(arena, row[2], row[4]), block(arena, row[3], row[4])
    rate, epsilon = g.dtype.type(hyper[row[5]]), g.dtype.type(hyper[row[6]])
    for i in range(g.size):
        a[i] += g[i] * g[i]
        u[i] = rate * g[i] / (math.sqrt(a[i]) + epsilon)
