"""RMSProp is Adagrad with a short memory: it divides by the root of a running mean of squares instead of their sum.

v = decay * v + (1 - decay) * gradient^2; w = w - learning rate * gradient / (sqrt(v) + epsilon), the form of
torch.optim.RMSprop.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import about
from ..text import N_
from ..worked import Equation, StepSlide, constant, equation, number
from .base import Epsilon, LearningRate, Optimizer, worked_update

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.keras import KerasScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Optimizer.registry.add("rmsprop")
class RmsProp(Optimizer, frozen=True, kw_only=True, tag="rmsprop"):
    """Divides each weight's gradient by its recent size, so that weights with small and with large gradients move
    alike.
    """

    label: ClassVar[str] = N_("RMSProp")
    formula: ClassVar[str] = "v ← ρ v + (1 − ρ)(∇w)²,  Δw = −η ∇w / (√v + ε)"
    source: ClassVar[str] = "Tieleman & Hinton 2012; torch.optim.RMSprop"
    slots: ClassVar[tuple[str, ...]] = ("square_average",)

    learning_rate: LearningRate = 0.001
    decay: Annotated[
        float,
        about(
            N_("decay"),
            N_("Share of the running mean kept at every step. PyTorch: 0.99, Keras: 0.9."),
            minimum=0.0,
            below=1.0,
            live=True,
        ),
    ] = 0.99
    epsilon: Epsilon = 1e-8

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        squares = build.slot("square_average", tensor)
        decay = build.live(f"{place}.decay", self.decay)
        epsilon = build.live(f"{place}.epsilon", self.epsilon)
        count = tensor.parameter.count
        build.update(rmsprop_update, tensor.gradient, squares, tensor.update, count, build.rate, decay, epsilon)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        rho, epsilon = number("ρ", slide.live("decay", self.decay)), number("ε", slide.live("epsilon", self.epsilon))
        v = rho * slide.slot("v", "square_average") + (constant(1.0) - rho) * slide.g.squared()
        update = slide.eta * slide.g / (v.named("v").root() + epsilon)
        return worked_update(slide, update, equation("v", v, slide.kept("square_average")))

    def to_pytorch(self, code: PyTorchScript) -> None:
        settings = f"alpha={code.number(self.decay)}, eps={code.number(self.epsilon)}"
        code.built_in(f"torch.optim.RMSprop(p.values(), lr=LEARNING_RATE, {settings})")

    def to_keras(self, code: KerasScript) -> None:
        code.note("keras.optimizers.RMSprop adds epsilon under the root")
        self.to_code(code)

    def to_code(self, code: Script) -> None:
        code.slots("squares")
        decay, root = code.number(self.decay), f"{code.package}.sqrt(squares[name])"
        code.optimize(f"""
            for name in g:
                squares[name] = {decay} * squares[name] + (1 - {decay}) * g[name] ** 2
                {code.subtract("p[name]", f"rate * g[name] / ({root} + {code.number(self.epsilon)})")}
        """)


@kernel
def rmsprop_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """v = decay * v + (1 - decay) * gradient^2, update = rate * gradient / (sqrt(v) + epsilon). Row: gradient, v,
    update, count, rate, decay and epsilon in hyper.
    """
    g, v, u = block(arena, row[1], row[4]), block(arena, row[2], row[4]), block(arena, row[3], row[4])
    rate, epsilon = g.dtype.type(hyper[row[5]]), g.dtype.type(hyper[row[7]])
    keep, rest = g.dtype.type(hyper[row[6]]), g.dtype.type(1.0 - hyper[row[6]])
    for i in range(g.size):
        v[i] = keep * v[i] + rest * (g[i] * g[i])
        u[i] = rate * g[i] / (math.sqrt(v[i]) + epsilon)
