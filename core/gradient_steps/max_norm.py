"""Max-norm forbids long weight vectors: a unit whose incoming weights grow beyond the limit is scaled back to it.

The update is edited so that w - update is allowed: the L2 norm of every unit's incoming weights is at most the limit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from ..engine.kernel import kernel
from ..engine.memory import block, matrix
from ..fields import about
from ..text import N_, _
from ..worked import Equation, StepSlide, chosen, constant, equation, number, sum_of_squares
from .base import Regularizer, Stage

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script


@Regularizer.registry.add("max_norm")
class MaxNorm(Regularizer, frozen=True, kw_only=True, tag="max_norm"):
    """Limits the length of the weights that lead into each unit (each filter of a convolution).

    Weights within the limit are left alone; longer ones are multiplied by limit / norm. Keras' MaxNorm multiplies all
    of them by clip(norm, 0, limit) / (1e-7 + norm), which shrinks even allowed ones by a ten-millionth.
    """

    label: ClassVar[str] = N_("Max-norm")
    formula: ClassVar[str] = "w ← w · min(1, c / ‖w‖) per unit"
    source: ClassVar[str] = "Srivastava et al. 2014, section 5.1; torch.renorm, keras.constraints.MaxNorm"
    stage: ClassVar[Stage] = "constraint"

    limit: Annotated[
        float,
        about(
            N_("limit"),
            N_("Greatest L2 norm of the weights that lead into one unit; 3 to 4 is usual."),
            above=0.0,
            maximum=1e6,
            scale="log",
            live=True,
        ),
    ] = 3.0

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        if tensor.parameter.regularized:
            units = tensor.parameter.shape[-1]
            limit = build.live(f"{place}.limit", self.limit)
            factors = build.scratch(units, N_("factors"), role="room")
            inputs = tensor.parameter.count // units
            build.update(limit_norms, tensor.master, tensor.update, factors, inputs, units, limit)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        update = number("Δw", slide.before.update[slide.index])
        if not slide.regularized:
            return (equation("Δw", update, slide.new_update, _("max-norm acts on weights only")),)
        coming = slide.before.weights.astype(np.float64) - slide.before.update
        limit, length = number("c", slide.live("limit", self.limit)), sum_of_squares("Σ (w − Δw)²", coming).root()
        norm = length.named("‖w − Δw‖")
        factor = constant(1.0) if norm.value <= limit.value else limit / norm
        f = chosen("min(1, c / ‖w − Δw‖)", factor)
        kept = slide.w - f.named("f") * (slide.w - update)
        return (
            equation("‖w − Δw‖", length, words=_("over the weights that lead into the unit")),
            equation("f", f),
            equation("Δw", kept, slide.new_update, _("leaves f (w − Δw) as the new weight")),
        )

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.after(
            f"""
            # max-norm: no unit's incoming weights are longer than {code.number(self.limit)}
            for name in weights:
                w = p[name].view(len(p[name]), -1)  # a row for every unit
                w *= (self.limit / w.norm(dim=1, keepdim=True)).clamp(max=1.0)
        """.replace("self.limit", code.number(self.limit))
        )

    def to_code(self, code: Script) -> None:
        limit, package = code.number(self.limit), code.package
        code.after(f"""
            # max-norm: no unit's incoming weights are longer than {limit}
            for name in weights:
                w = {package}.reshape(p[name], (-1, p[name].shape[-1]))  # a column for every unit
                norm = {package}.sqrt({package}.sum(w**2, axis=0))
                {code.assign("p[name]", f"p[name] * ({limit} / {package}.maximum(norm, {limit}))")}
        """)


@kernel
def limit_norms(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """update = w - f (w - update), f = min(1, limit / norm of the unit's column of w - update).

    Row: w, update, room for a number per unit, inputs, units, limit in hyper. w and update are (inputs, units).
    """
    inputs, units = row[4], row[5]
    w, u = matrix(arena, row[1], inputs, units), matrix(arena, row[2], inputs, units)
    factor = block(arena, row[3], units)
    limit, one = w.dtype.type(hyper[row[6]]), w.dtype.type(1)
    for j in range(units):
        factor[j] = 0
    for i in range(inputs):
        for j in range(units):
            new = w[i, j] - u[i, j]
            factor[j] += new * new
    long = False
    for j in range(units):
        norm = math.sqrt(factor[j])
        if norm == np.inf:  # the squares of float32 numbers overflow long before the numbers: they shall not become 0
            squares = 0.0
            for i in range(inputs):
                new = np.float64(w[i, j] - u[i, j])
                squares += new * new
            norm = w.dtype.type(math.sqrt(squares))
        factor[j] = limit / norm if norm > limit else one
        long = long or norm > limit
    if long:
        for i in range(inputs):
            for j in range(units):
                if factor[j] < one:
                    u[i, j] = w[i, j] - factor[j] * (w[i, j] - u[i, j])
