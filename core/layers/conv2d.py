"""A convolution slides small windows over an image; every window position meets the same weights, so a pattern is found
wherever it is.

The windows are laid out as rows of a matrix (im2col), which turns the convolution into one matrix product. Images are
(height, width, channels), kernels (height, width, in, out).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np

from ..engine.blas import add_transposed_times, times, times_transposed
from ..engine.kernel import device, kernel
from ..engine.layout import GEMM, ROWS
from ..engine.memory import block, matrix
from ..engine.sums import column_sums
from ..errors import InputError
from ..fields import about
from ..initializers import GlorotNormal, Initializer, first_biases
from ..text import N_, _
from ..worked import Equation, LayerSlide, equation, number, sum_of
from .base import NUMPY_WINDOWS, Layer, Parameter, Shape, image

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal

# Numbers in the matrix of windows; larger batches are taken in parts. Parts of this size stay in the processor's
# cache and on one thread: with 2,000,000 and two threads a step took four times as long on a busy machine.
LARGEST_MATRIX = 200_000


@Layer.registry.add("conv2d")
class Conv2d(Layer, frozen=True, kw_only=True, tag="conv2d"):
    """Every output is a weighted sum of a small window of the image, over all its channels."""

    label: ClassVar[str] = N_("Convolution")
    formula: ClassVar[str] = "y[i, j, o] = b[o] + Σ x[s i + u, s j + v, c] W[u, v, c, o]"
    source: ClassVar[str] = "LeCun et al. 1989; torch.nn.Conv2d (a cross-correlation)"
    main_fields: ClassVar[tuple[str, ...]] = ("filters", "kernel_size")

    filters: Annotated[
        int, about(N_("filters"), N_("Channels that the layer puts out."), minimum=1, maximum=1024, scale="log")
    ]
    kernel_size: Annotated[
        int,
        about(N_("kernel size"), N_("Height and width of the window."), unit=N_("pixels"), minimum=1, maximum=31),
    ] = 3
    stride: Annotated[
        int,
        about(N_("stride"), N_("How far the window moves at a time."), unit=N_("pixels"), minimum=1, maximum=31),
    ] = 1
    padding: Annotated[
        Literal["valid", "same"],
        about(
            N_("padding"),
            N_(
                "valid: windows stay inside of the image. same: zeros around it, as many as keep height and width at "
                "stride 1; an odd one goes to the right and bottom."
            ),
        ),
    ] = "valid"
    bias: Annotated[bool, about(N_("bias"), N_("Add a learned number to every channel; starts at zero."))] = True
    init: Annotated[Initializer, about(N_("init"), N_("How the weights are drawn before training."))] = GlorotNormal()
    bias_std: Annotated[
        float,
        about(
            N_("first biases"),
            N_("Standard deviation of the biases before training, normally distributed around zero; 0: all are zero."),
            minimum=0.0,
            maximum=10.0,
        ),
    ] = 0.0

    def title(self) -> str:
        return _(self.label)

    def _line(self, length: int) -> tuple[int, int]:
        """(windows, zeros before the first pixel) along a side of this length."""
        if self.padding == "valid":
            return (length - self.kernel_size) // self.stride + 1 if length >= self.kernel_size else 0, 0
        count = -(-length // self.stride)
        return count, max(0, (count - 1) * self.stride + self.kernel_size - length) // 2

    def output_shape(self, given: Shape) -> Shape:
        height, width, _channels = image(given, _(self.label))
        rows, columns = self._line(height)[0], self._line(width)[0]
        if rows < 1 or columns < 1:
            raise InputError(
                _(
                    "a window of {size} by {size} does not fit into an image of {height} by {width}: "
                    'make it smaller, or set padding to "same"'
                ).format(size=self.kernel_size, height=height, width=width)
            )
        return rows, columns, self.filters

    def parameters(self, given: Shape) -> tuple[Parameter, ...]:
        channels, area = given[2], self.kernel_size**2
        fans = channels * area, self.filters * area
        shape = self.kernel_size, self.kernel_size, channels, self.filters
        weight = Parameter("weight", shape, *fans, self.init, True)
        bias = Parameter("bias", (self.filters,), *fans, first_biases(self.bias_std), False)
        return (weight, bias) if self.bias else (weight,)

    def _covered(self, length: int) -> float:
        """Share of the pixels of all windows along a side that lie inside of the image, not in the zeros around it."""
        windows, before = self._line(length)
        starts = [i * self.stride - before for i in range(windows)]
        inside = sum(min(start + self.kernel_size, length) - max(start, 0) for start in starts)
        return inside / (windows * self.kernel_size)

    def _window(self, given: Shape) -> int:
        return self.kernel_size**2 * given[2]

    def _part(self, given: Shape) -> int:
        """How many samples' windows are laid out at a time."""
        rows, columns, _filters = self.output_shape(given)
        return max(1, LARGEST_MATRIX // (rows * columns * self._window(given)))

    def room(self, given: Shape, samples: int) -> int:
        rows, columns, filters = self.output_shape(given)
        return min(self._part(given), samples) * rows * columns * self._window(given) + filters

    def largest_product(self, given: Shape, samples: int) -> int:
        rows, columns, filters = self.output_shape(given)
        return min(self._part(given), samples) * rows * columns * self._window(given) * filters

    def emit(self, build: Builder, x: Wire) -> Wire:
        height, width, channels = x.shape
        rows, columns, filters = shape = self.output_shape(x.shape)
        y = build.wire(shape)
        weight = build.parameter("weight")
        bias = build.parameter("bias") if self.bias else None
        part = min(self._part(x.shape), build.batch_size)
        windows = build.scratch(part * rows * columns * self._window(x.shape), N_("windows"), role="room")
        # All that im2col needs to know stands in `hyper`: a row has not enough slots.
        across = self._line(height)[1], self._line(width)[1]
        geometry = height, width, channels, self.kernel_size, self.stride, *across, rows, columns, part
        first = build.constants(*geometry)
        numbers = x.at, y.at, weight.at, bias.at if bias else -1, filters, windows, first
        build.forward(conv2d_forward, *numbers)
        gradients = y.gradient, weight.gradient, bias.gradient if bias else -1
        part_sums = build.scratch(filters, N_("sums"), role="room")
        build.backward(conv2d_weight_gradient, x.at, *gradients, filters, windows, first, part_sums)
        if x.gradient >= 0:
            dx = build.gradient_of(x)
            build.backward(conv2d_input_gradient, dx, y.gradient, weight.at, filters, windows, first)
        return y

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        (above, _below), (left, _right) = self._padding(given)
        i, j, _o = (int(n) for n in np.unravel_index(unit, self.output_shape(given)))
        top, start = i * self.stride - above, j * self.stride - left
        return slice(top, top + self.kernel_size), slice(start, start + self.kernel_size), None

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        weight, sample = slide.parameters["weight"], slide.sample
        (above, below), (left, right) = self._padding(slide.given)
        x = np.pad(slide.x, ((0, 0), (above, below), (left, right), (0, 0)))  # zeros around the images
        i, j, o = (int(n) for n in np.unravel_index(slide.unit, slide.shape))
        u, v, c = (int(n) for n in np.unravel_index(slide.entry % weight[..., 0].size, weight.shape[:3]))
        size, step = self.kernel_size, self.stride
        if slide.phase == "forward":
            window = x[sample, i * step : i * step + size, j * step : j * step + size]
            row, column = _counted(1, "u", i * step - above), _counted(1, "v", j * step - left)
            y = sum_of(f"Σ x[{row}, {column}, c] W[u, v, c, {o + 1}]", window, weight[..., o])
            if self.bias:
                y = y + number(f"b[{o + 1}]", slide.parameters["bias"][o])
            return (equation(f"y{slide.place(slide.unit, slide.shape)}", y, slide.y[sample, i, j, o]),)
        assert slide.dy is not None
        delta, rows, columns = slide.dy, slide.shape[0], slide.shape[1]
        down, across = (rows - 1) * step + 1, (columns - 1) * step + 1
        seen = x[:, u : u + down : step, v : v + across : step, c]
        row = _counted(step, "i", u + 1 - above - step)
        column = _counted(step, "j", v + 1 - left - step)
        dw = sum_of(f"Σ x[n, {row}, {column}, {c + 1}] δ[n, i, j, {o + 1}]", seen, delta[..., o])
        places = _("n, i, j: {samples} samples, {places} places of the window each").format(
            samples=len(x), places=rows * columns
        )
        name = f"∂L/∂W[{u + 1}, {v + 1}, {c + 1}, {o + 1}]"
        found = [equation(name, dw, slide.gradients["weight"][u, v, c, o], places)]
        if self.bias:
            db = sum_of(f"Σ δ[n, i, j, {o + 1}]", delta[..., o])
            found.append(equation(f"∂L/∂b[{o + 1}]", db, slide.gradients["bias"][o]))
        if slide.dx is not None:
            found.append(self._worked_pixel(slide, (i * step + u - above, j * step + v - left, c), (above, left)))
        return tuple(found)

    def _worked_pixel(self, slide: LayerSlide, pixel: tuple[int, int, int], zeros: tuple[int, int]) -> Equation:
        """The gradient of a pixel (the nearest one of the image): the sum over all windows that it was in."""
        assert slide.dy is not None
        assert slide.dx is not None
        weight, delta = slide.parameters["weight"], slide.dy[slide.sample]
        r, k = min(max(pixel[0], 0), slide.given[0] - 1), min(max(pixel[1], 0), slide.given[1] - 1)
        weights, deltas = [], []
        for u in range(self.kernel_size):
            for v in range(self.kernel_size):
                i, p = divmod(r + zeros[0] - u, self.stride)
                j, q = divmod(k + zeros[1] - v, self.stride)
                if p == q == 0 and 0 <= i < len(delta) and 0 <= j < delta.shape[1]:
                    weights.append(weight[u, v, pixel[2]])
                    deltas.append(delta[i, j])
        nothing = np.zeros((0, weight.shape[3]))
        dx = sum_of(
            f"Σ W[u, v, {pixel[2] + 1}, o] δ[i, j, o]",
            np.array(weights) if weights else nothing,
            np.array(deltas) if deltas else nothing,
        )
        at = int(np.ravel_multi_index((r, k, pixel[2]), slide.given))
        words = _("over the {count} windows that the pixel was in, and all filters").format(count=len(weights))
        return equation(f"∂L/∂x{slide.place(at, slide.given)}", dx, slide.dx[slide.sample, at], words)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        height, width, channels = given
        rows, columns, filters = shape = self.output_shape(given)
        area = self.kernel_size**2
        # In the mean over all places: zeros around the image add nothing to what arrives and take nothing back.
        covered = self._covered(height) * self._covered(width)
        arriving = channels * area * covered * signal.second_moment
        weights = self.kernel_size, self.kernel_size, channels, filters
        std = self.init.theoretical(weights, channels * area, filters * area, arriving)
        behind = signal.through_weights(
            channels * area,
            filters * area,
            std * math.sqrt(covered),
            self.bias_std**2 if self.bias else 0.0,
            width=math.prod(shape),
            fitted=self.init.data_dependent,
            # All places share their weights, so that finite width is a matter of the channels.
            units=filters,
            units_back=channels,
        )
        # An input feeds only as many windows as there are: fewer at the border, and with a stride.
        fed = filters * area * covered * rows * columns / (height * width)
        return replace(behind, backward=fed * std * std)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        (above, below), (left, right) = self._padding(here.given)
        names = {"weight": "weight", "bias": "bias"} if self.bias else {"weight": "weight"}
        settings = [str(here.given[2]), str(self.filters), str(self.kernel_size)]
        if self.stride != 1:
            settings.append(f"stride={self.stride}")
        if above == below and left == right and (above or left):
            settings.append(f"padding={above}" if above == left else f"padding=({above}, {left})")
        elif above or below or left or right:
            x = code.functional(f"pad({x}, ({left}, {right}, {above}, {below}))")
        if not self.bias:
            settings.append("bias=False")
        part = code.module(here, f"nn.Conv2d({', '.join(settings)})", **names)
        return f"{part}({x})"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        names = {"weight": "kernel", "bias": "bias"} if self.bias else {"weight": "kernel"}
        settings = [str(self.filters), str(self.kernel_size)]
        if self.stride != 1:
            settings.append(f"strides={self.stride}")
        if self.padding != "valid":
            settings.append(f'padding="{self.padding}"')
        if not self.bias:
            settings.append("use_bias=False")
        part = code.module(here, f"layers.Conv2D({', '.join(settings)})", **names)
        return f"{part}({x})"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        code.define(NUMPY_WINDOWS)
        padding = str(self._padding(here.given))
        return code.call(here, x, "conv2d", NUMPY, "weight", "bias" if self.bias else "", str(self.stride), padding)

    def _padding(self, given: Shape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros ((above, below), (left, right)) of an image."""
        found = []
        for length in given[:2]:
            count, before = self._line(length)
            total = max(0, (count - 1) * self.stride + self.kernel_size - length) if self.padding == "same" else 0
            found.append((before, total - before))
        return found[0], found[1]


def _counted(step: int, name: str, start: int) -> str:
    """A place that moves with an index: "2i−1"."""
    text = name if step == 1 else f"{step}{name}"
    return text if start == 0 else f"{text}{start:+d}".replace("-", "\u2212")


NUMPY = '''
def conv2d(x, W, b, stride, padding):
    """y[i, j, o] = b[o] + Σ x[s i + u, s j + v, c] W[u, v, c, o]: every window times the weights"""
    return np.einsum("nijuvc,uvco->nijo", windows(x, len(W), stride, padding), W, optimize=True) + b

def conv2d_backward(dy, x, W, b, stride, padding):
    """dW = windowsᵀ dy; a pixel's gradient is the sum over the windows that it was in"""
    dW = np.einsum("nijuvc,nijo->uvco", windows(x, len(W), stride, padding), dy, optimize=True)
    (above, below), (left, right) = padding
    dx = np.pad(np.zeros_like(x), ((0, 0), (above, below), (left, right), (0, 0)))
    down, across = stride * (dy.shape[1] - 1) + 1, stride * (dy.shape[2] - 1) + 1
    for u in range(len(W)):
        for v in range(len(W)):
            dx[:, u : u + down : stride, v : v + across : stride] += dy @ W[u, v].T
    dx = dx[:, above : above + x.shape[1], left : left + x.shape[2]]
    return dx, dW, dy.sum(axis=(0, 1, 2))
'''


@device
def _layout(hyper, first):  # type: ignore[no-untyped-def]
    """(height, width, channels, size, stride, rows above, columns before, windows down, across, samples at a time)."""
    return (
        int(hyper[first]),
        int(hyper[first + 1]),
        int(hyper[first + 2]),
        int(hyper[first + 3]),
        int(hyper[first + 4]),
        int(hyper[first + 5]),
        int(hyper[first + 6]),
        int(hyper[first + 7]),
        int(hyper[first + 8]),
        int(hyper[first + 9]),
    )


@device
def lay_out_windows(arena, x, windows, samples, hyper, first):  # type: ignore[no-untyped-def]
    """Row (sample, i, j) of `windows` holds the window at (i, j), pixel by pixel, zeros where it hangs over."""
    height, width, channels, size, stride, above, before, down, across, _part = _layout(hyper, first)
    strip = size * channels
    for n in range(samples):
        for i in range(down):
            for j in range(across):
                to = windows + ((n * down + i) * across + j) * size * strip
                left = j * stride - before
                for u in range(size):
                    row = i * stride - above + u
                    line = block(arena, to + u * strip, strip)
                    if row < 0 or row >= height:
                        for k in range(strip):
                            line[k] = 0
                    elif left >= 0 and left + size <= width:
                        pixels = block(arena, x + ((n * height + row) * width + left) * channels, strip)
                        for k in range(strip):
                            line[k] = pixels[k]
                    else:
                        for v in range(size):
                            column = left + v
                            inside = column >= 0 and column < width
                            for c in range(channels):
                                at = x + ((n * height + row) * width + column) * channels + c
                                line[v * channels + c] = block(arena, at, 1)[0] if inside else 0


@device
def add_windows(arena, windows, dx, samples, hyper, first):  # type: ignore[no-untyped-def]
    """The way back of `lay_out_windows`: every pixel gets the sum over the windows that it was in."""
    height, width, channels, size, stride, above, before, down, across, _part = _layout(hyper, first)
    strip = size * channels
    for n in range(samples):
        for i in range(down):
            for j in range(across):
                origin = windows + ((n * down + i) * across + j) * size * strip
                left = j * stride - before
                start, stop = max(0, -left), min(size, width - left)
                for u in range(size):
                    row = i * stride - above + u
                    if row >= 0 and row < height:
                        count = (stop - start) * channels
                        line = block(arena, origin + u * strip + start * channels, count)
                        pixels = block(arena, dx + ((n * height + row) * width + left + start) * channels, count)
                        for k in range(count):
                            pixels[k] += line[k]


@kernel
def conv2d_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = windows W + b, some samples at a time. Row: x, y, W, b or -1, filters, windows, geometry in hyper."""
    height, width, channels, size, stride, above, before, down, across, part = _layout(hyper, row[7])
    rows, filters, area, inputs = context[ROWS], row[5], down * across, height * width * channels
    for start in range(0, rows, part):
        count = min(part, rows - start)
        lay_out_windows(arena, row[1] + start * inputs, row[6], count, hyper, row[7])
        to = row[2] + start * area * filters
        times(context[GEMM], arena, row[6], row[3], to, count * area, size * size * channels, filters)
    if row[4] >= 0:
        y, b = matrix(arena, row[2], rows * area, filters), block(arena, row[4], filters)
        for i in range(rows * area):
            for j in range(filters):
                y[i, j] += b[j]


@kernel
def conv2d_weight_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dW = windowsᵀ dy, db = sum of dy over samples and positions.

    Row: x, dy, dW, db or -1, filters, windows, geometry in hyper, room for sums. Where the windows of all samples were
    laid out together on the way forward, they still stand there.
    """
    height, width, channels, size, stride, above, before, down, across, part = _layout(hyper, row[7])
    rows, filters, area, inputs = context[ROWS], row[5], down * across, height * width * channels
    window = size * size * channels
    dW = block(arena, row[3], window * filters)
    for i in range(dW.size):
        dW[i] = 0
    for start in range(0, rows, part):
        count = min(part, rows - start)
        if rows > part:
            lay_out_windows(arena, row[1] + start * inputs, row[6], count, hyper, row[7])
        dy = row[2] + start * area * filters
        add_transposed_times(context[GEMM], arena, row[6], dy, row[3], window, count * area, filters)
    if row[4] >= 0:
        dy, db = matrix(arena, row[2], rows * area, filters), block(arena, row[4], filters)
        column_sums(dy, db, block(arena, row[8], filters))


@kernel
def conv2d_input_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = the sum over windows of dy Wᵀ. Row: dx, dy, W, filters, windows, geometry in hyper."""
    height, width, channels, size, stride, above, before, down, across, part = _layout(hyper, row[6])
    rows, filters, area, inputs = context[ROWS], row[4], down * across, height * width * channels
    dx = block(arena, row[1], rows * inputs)
    for i in range(dx.size):
        dx[i] = 0
    for start in range(0, rows, part):
        count = min(part, rows - start)
        dy = row[2] + start * area * filters
        times_transposed(context[GEMM], arena, dy, row[3], row[5], count * area, filters, size * size * channels)
        add_windows(arena, row[5], row[1] + start * inputs, count, hyper, row[6])
