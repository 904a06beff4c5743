"""A residual block adds what its layers make of the input to the input itself: y = x + F(x), so a signal and its
gradient have a way around the layers.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import block
from ..errors import InputError
from ..fields import about
from ..initializers import HeNormal
from ..text import N_, _
from ..worked import Equation, LayerSlide, Values, equation, number
from .base import Chain, Group, Layer, Shape, chain_shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("residual")
class Residual(Layer, frozen=True, kw_only=True, tag="residual"):
    """Adds the output of its layers, times the branch scale, to its input."""

    label: ClassVar[str] = N_("Residual block")
    formula: ClassVar[str] = "y = S(x) + α F(x)"
    source: ClassVar[str] = "He et al. 2015 (arXiv 1512.03385), eq. 1 and 2; α: De & Smith 2020 (arXiv 2002.10444)"
    main_fields: ClassVar[tuple[str, ...]] = ("shortcut", "scale")
    group: ClassVar[Group] = "block"
    joined: ClassVar[str] = "+"

    body: Annotated[
        tuple[Layer, ...], about(N_("body"), N_("The layers that the shortcut goes around."), length=(0, 100))
    ]
    shortcut: Annotated[
        Literal["identity", "projection"],
        about(
            N_("shortcut"),
            N_("Identity: the input itself. Projection: weights without bias, where the body changes the shape."),
        ),
    ] = "identity"
    scale: Annotated[
        float,
        about(N_("branch scale"), N_("The body's output is multiplied by this number."), minimum=-100.0, maximum=100.0),
    ] = 1.0

    def title(self) -> str:
        return _(self.label)

    def passes_by(self) -> bool:
        return self.shortcut == "identity"

    def inside(self, given: Shape | None) -> tuple[Chain, ...]:
        body = Chain("body", self.body)
        if given is None or self.shortcut == "identity":
            return (body,)
        try:
            around = _projection(given, chain_shape(self.body, given))
        except InputError:
            return (body,)  # what is wrong is said of the layer inside or, where nothing projects, of the block
        return body, Chain("shortcut", (around,), numbered=False)

    def output_shape(self, given: Shape) -> Shape:
        shape = chain_shape(self.body, given)
        if self.shortcut == "identity" and shape != given:
            raise InputError(
                _(
                    "the body turns {given} into {shape}, so its output cannot be added to the input: "
                    "let the last layer of the body put out {given}, or use a projection as shortcut"
                ).format(given="×".join(map(str, given)), shape="×".join(map(str, shape)))
            )
        if self.shortcut == "projection":
            _projection(given, shape)
        return shape

    def room(self, given: Shape, samples: int) -> int:
        return samples * math.prod(given)  # the second share of the input's gradient

    def emit(self, build: Builder, x: Wire) -> Wire:
        chains = self.inside(x.shape)
        branch = build.chain(chains[0], x)
        around = build.chain(chains[1], x) if len(chains) > 1 else x
        y = build.wire(branch.shape)
        scale = build.constant(self.scale)
        build.forward(add_forward, around.at, branch.at, y.at, y.width, scale)
        for wire, factor in ((around, build.constant(1.0)), (branch, scale)):
            if wire.gradient >= 0:
                build.backward(add_backward, build.gradient_of(wire), y.gradient, y.width, factor)
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        sample, k, here = slide.sample, slide.unit, slide.place(slide.unit, slide.shape)
        branch, scale = slide.ends[0], number("α", self.scale)
        projected = len(slide.ends) > 1
        around, name = (slide.ends[1], "S(x)") if projected else (Values(slide.input_at, slide.x), "x")
        if slide.phase == "forward":
            skipped = number(f"{name}{here}", slide.flat(around.values)[sample, k])
            inside = number(f"F(x){here}", slide.flat(branch.values)[sample, k])
            y = skipped + (inside if self.scale == 1.0 else scale * inside)
            return (equation(f"y{here}", y, slide.flat(slide.y)[sample, k]),)
        delta = number("δ", slide.delta[sample, k])
        inward = delta if self.scale == 1.0 else scale * delta
        found = []
        # The block has asked for room for the way around first; a body that is empty shares its wire.
        shares = list(slide.shares)
        for at, symbols, term in ((around.at, name, delta), (branch.at, "F(x)", inward)):
            share = next((s for s in shares if s.at == at), None)
            if share is not None:
                shares.remove(share)
                found.append(equation(f"∂L/∂{symbols}{here}", term, slide.flat(share.values)[sample, k]))
        return tuple(found)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        from ..theory.mean_field import Passage, block, through_chain

        chains, square = self.inside(given), self.scale**2
        branch = through_chain(signal, chains[0], given)
        branch = replace(
            branch,
            signal=branch.signal.scaled(self.scale),
            inside=tuple(replace(i, backward=i.backward * square) for i in branch.inside),
            backward=branch.backward * square,
        )
        around = through_chain(signal, chains[1], given) if len(chains) > 1 else Passage.around(signal)
        out = around.signal.plus(branch.signal)
        weights = [
            way.signal.second_moment / out.second_moment if out.second_moment > 0.0 else 0.0 for way in (branch, around)
        ]
        return block(signal, out, (branch, around), weights)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        return self._to_model(code, here, x)

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return self._to_model(code, here, x)

    def _to_model(self, code: PyTorchScript | KerasScript, here: Place, x: str) -> str:
        chains = self.inside(here.given)
        skip = f"skip_{here.suffix}"
        code.line(f"{skip} = {x}  # residual block {here.path}")
        code.chain(chains[0], here.path, x, "x")
        if len(chains) > 1:
            code.chain(chains[1], here.path, skip, skip)
        return f"{skip} + x" if self.scale == 1.0 else f"{skip} + {code.number(self.scale)} * x"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        chains = self.inside(here.given)
        inside = [[path for path, _layer in inner.members(here.path)] for inner in chains]
        branch, branch_back = code.run_chain(inside[0], x)
        around, around_back = code.run_chain(inside[1], x) if len(chains) > 1 else (x, [])
        skip, scale = f"d_{here.suffix}", code.number(self.scale)
        lines = [f"{skip} = d  # residual block {here.path}: the gradient takes both ways"]
        lines += [f"d = {scale} * d"] if self.scale != 1.0 else []
        lines += branch_back
        if around_back:
            lines += [f"d, {skip} = {skip}, d", *around_back]
        code.go_back(*lines, f"d = d + {skip}")
        return f"{around} + {branch}" if self.scale == 1.0 else f"{around} + {scale} * {branch}"


def _projection(given: Shape, shape: Shape) -> Layer:
    """What turns an input of shape `given` into `shape`: a matrix, or a 1 by 1 convolution with the stride it takes."""
    if len(shape) == 1:
        dense: Any = Layer.registry["dense"]
        return cast("Layer", dense(units=shape[0], bias=False, init=HeNormal()))
    if len(given) == 3:
        stride = max(1, -(-given[0] // shape[0]))
        settings: dict[str, Any] = {
            "filters": shape[2],
            "kernel_size": 1,
            "stride": stride,
            "bias": False,
            "init": HeNormal(),
        }
        layer = Layer.registry["conv2d"](**settings)
        if layer.output_shape(given) == shape:
            return layer
    raise InputError(
        _("no projection turns {given} into {shape}; let the body keep the height and width, or halve both").format(
            given="×".join(map(str, given)), shape="×".join(map(str, shape))
        )
    )


@kernel
def add_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = a + scale b. Row: a, b, y, width, scale in hyper."""
    count = context[ROWS] * row[4]
    a, b, y = block(arena, row[1], count), block(arena, row[2], count), block(arena, row[3], count)
    scale = y.dtype.type(hyper[row[5]])
    for i in range(count):
        y[i] = a[i] + scale * b[i]


@kernel
def add_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = factor dy. Row: dx, dy, width, factor in hyper."""
    count = context[ROWS] * row[3]
    dx, dy = block(arena, row[1], count), block(arena, row[2], count)
    factor = dx.dtype.type(hyper[row[4]])
    for i in range(count):
        dx[i] = factor * dy[i]
