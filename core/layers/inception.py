"""An inception block sends its input through several branches side by side and puts their outputs next to each other:
the following layer chooses what it needs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import matrix
from ..errors import InputError
from ..fields import about
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number
from .base import Chain, Group, Layer, Shape, chain_shape

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


@Layer.registry.add("inception")
class Inception(Layer, frozen=True, kw_only=True, tag="inception"):
    """Branches side by side, their outputs concatenated: channels after channels, or units after units."""

    label: ClassVar[str] = N_("Inception block")
    group: ClassVar[Group] = "block"
    joined: ClassVar[str] = "∥"
    formula: ClassVar[str] = "y = [F₁(x), F₂(x), …]"
    source: ClassVar[str] = "Szegedy et al. 2014 (arXiv 1409.4842), fig. 2; torch.cat(dim=1)"
    main_fields: ClassVar[tuple[str, ...]] = ()

    branches: Annotated[
        tuple[tuple[Layer, ...], ...],
        about(
            N_("branches"),
            N_("Each is a list of layers; all start from the block's input. An empty one hands the input on."),
            length=(1, 16),
        ),
    ]

    def title(self) -> str:
        return _(self.label)

    def inside(self, given: Shape | None) -> tuple[Chain, ...]:
        return tuple(Chain(f"branches.{index}", layers) for index, layers in enumerate(self.branches))

    def output_shape(self, given: Shape) -> Shape:
        shapes = [chain_shape(layers, given) for layers in self.branches]
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise InputError(
                _(
                    "the branches put out {shapes}, which cannot be laid side by side: "
                    'give them all the same height and width, for example by padding "same"'
                ).format(shapes=", ".join("×".join(map(str, shape)) for shape in shapes))
            )
        return *shapes[0][:-1], sum(shape[-1] for shape in shapes)

    def room(self, given: Shape, samples: int) -> int:
        # every branch but the first has a share of its own of the input's gradient
        return (len(self.branches) - 1) * samples * math.prod(given)

    def emit(self, build: Builder, x: Wire) -> Wire:
        parts = [build.chain(chain, x) for chain in self.inside(x.shape)]
        y = build.wire(self.output_shape(x.shape))
        channels = y.shape[-1]
        first = 0
        for part in parts:
            own = part.shape[-1]
            numbers = y.width // channels, channels, first, own
            build.forward(concatenate_forward, part.at, y.at, *numbers)
            if part.gradient >= 0:
                build.backward(concatenate_backward, build.gradient_of(part), y.gradient, *numbers)
            first += own
        return y

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        sample, here = slide.sample, slide.place(slide.unit, slide.shape)
        place, channel = divmod(slide.unit, slide.shape[-1])
        branch, first = 0, 0
        while channel >= first + slide.ends[branch].values.shape[-1]:
            first += slide.ends[branch].values.shape[-1]
            branch += 1
        end = slide.ends[branch]
        own = end.values.shape[-1]
        k = place * own + channel - first
        name = f"F{branch + 1}(x)" + slide.place(k, end.values.shape[1:])
        if slide.phase == "forward":
            y = number(name, slide.flat(end.values)[sample, k])
            words = _("branch {number} puts out channels {first} to {last}").format(
                number=branch + 1, first=first + 1, last=first + own
            )
            return (equation(f"y{here}", y, slide.flat(slide.y)[sample, slide.unit], words),)
        # Several empty branches share one wire, and each has its own share of the gradient.
        earlier = sum(other.at == end.at for other in slide.ends[:branch])
        shares = [share for share in slide.shares if share.at == end.at]
        if len(shares) <= earlier:
            return ()
        delta = number(f"δ{here}", slide.delta[sample, slide.unit])
        return (equation(f"∂L/∂{name}", delta, slide.flat(shares[earlier].values)[sample, k]),)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        from ..theory.mean_field import block, side_by_side, through_chain

        ways = [through_chain(signal, chain, given) for chain in self.inside(given)]
        out = side_by_side([way.signal for way in ways])
        total = out.width * out.second_moment
        weights = [way.signal.width * way.signal.second_moment / total if total > 0.0 else 0.0 for way in ways]
        # the branches' shares of the gradient are independent of each other, so that `block` adds them up
        return block(signal, out, ways, weights)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        return f"torch.cat([{', '.join(self._to_model(code, here, x))}], dim=1)"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return f"ops.concatenate([{', '.join(self._to_model(code, here, x))}], axis=-1)"

    def _to_model(self, code: PyTorchScript | KerasScript, here: Place, x: str) -> list[str]:
        """Write the branches; the variables that carry their outputs."""
        inputs, found = f"inputs_{here.suffix}", []
        code.line(f"{inputs} = {x}  # inception block {here.path}")
        for index, inner in enumerate(self.inside(here.given)):
            code.chain(inner, here.path, inputs, "x")
            found.append(f"branch_{here.suffix}_{index}")
            code.line(f"{found[-1]} = x")
        return found

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        values, lines, ends = [], [], [0]
        parts, total = f"parts_{here.suffix}", f"d_{here.suffix}"
        for index, inner in enumerate(self.inside(here.given)):
            value, back = code.run_chain([path for path, _layer in inner.members(here.path)], x)
            values.append(value)
            ends.append(ends[-1] + chain_shape(inner.layers, here.given)[-1])
            lines += [f"d = {parts}[{index}]", *back, f"{total} = {total} + d" if index else f"{total} = d"]
        split = f"{parts} = np.split(d, {ends[1:-1]}, axis=-1)  # inception block {here.path}: to every branch its part"
        code.go_back(split, *lines, f"d = {total}")
        return f"np.concatenate([{', '.join(values)}], axis=-1)"


@kernel
def concatenate_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One branch's channels are written into y at every place. Row: part, y, places, channels of y, first, own."""
    places, channels, first, own = context[ROWS] * row[3], row[4], row[5], row[6]
    part, y = matrix(arena, row[1], places, own), matrix(arena, row[2], places, channels)
    for i in range(places):
        for j in range(own):
            y[i, first + j] = part[i, j]


@kernel
def concatenate_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One branch's channels of dy. Row: dpart, dy, places, channels of y, first, own."""
    places, channels, first, own = context[ROWS] * row[3], row[4], row[5], row[6]
    dpart, dy = matrix(arena, row[1], places, own), matrix(arena, row[2], places, channels)
    for i in range(places):
        for j in range(own):
            dpart[i, j] = dy[i, first + j]
