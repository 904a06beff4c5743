"""Pooling makes an image smaller: every window of it is summed up in one number per channel, its largest or its mean.

The network then sees more of the image at once and cares less about where exactly something is.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..engine.kernel import kernel
from ..engine.layout import ROWS
from ..engine.memory import block, matrix
from ..errors import InputError
from ..fields import about
from ..text import N_, _
from ..worked import Array, Equation, LayerSlide, equation, largest_of, number, sum_of
from .base import NUMPY_WINDOWS, Group, Layer, Shape, image

if TYPE_CHECKING:
    from ..engine.program import Builder, Wire
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Place
    from ..theory.mean_field import Signal


class Pool(Layer, frozen=True, kw_only=True):
    """Windows inside of an image."""

    main_fields: ClassVar[tuple[str, ...]] = ("size", "stride")

    size: Annotated[
        int, about(N_("size"), N_("Height and width of the window."), unit=N_("pixels"), minimum=1, maximum=31)
    ] = 2
    stride: Annotated[
        int | None,
        about(
            N_("stride"),
            N_("How far the window moves at a time; when it is left out, by its own size."),
            unit=N_("pixels"),
            minimum=1,
            maximum=31,
        ),
    ] = None

    @property
    def step(self) -> int:
        """How far the window moves."""
        return self.size if self.stride is None else self.stride

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        height, width, channels = image(given, _(self.label))
        if min(height, width) < self.size:
            raise InputError(
                _(
                    "a window of {size} by {size} does not fit into an image of {height} by {width}: "
                    "make it smaller, or leave the layer out"
                ).format(size=self.size, height=height, width=width)
            )
        return (height - self.size) // self.step + 1, (width - self.size) // self.step + 1, channels

    def geometry(self, given: Shape) -> tuple[int, ...]:
        """What kernels need to know: height, width, channels, size, stride, windows down and across."""
        rows, columns, _channels = self.output_shape(given)
        return *given, self.size, self.step, rows, columns

    def entries(self, given: Shape) -> int:
        return self.size**2

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        i, j, c = (int(n) for n in np.unravel_index(unit, self.output_shape(given)))
        return slice(i * self.step, i * self.step + self.size), slice(j * self.step, j * self.step + self.size), c

    def window(self, slide: LayerSlide) -> tuple[Array, str]:
        """The numbers of the chosen unit's window, (size, size), and how its place is written."""
        i, j, c = (int(n) for n in np.unravel_index(slide.unit, slide.shape))
        top, left = i * self.step, j * self.step
        rows, columns = f"{top + 1}–{top + self.size}", f"{left + 1}–{left + self.size}"
        part = slide.x[slide.sample, top : top + self.size, left : left + self.size, c]
        return part, f"x[{rows}, {columns}, {c + 1}]"

    def pixel(self, slide: LayerSlide) -> tuple[int, int, int]:
        """The chosen pixel of the chosen unit's window."""
        i, j, c = (int(n) for n in np.unravel_index(slide.unit, slide.shape))
        u, v = divmod(slide.entry % self.size**2, self.size)
        return i * self.step + u, j * self.step + v, c

    def windows_with(self, slide: LayerSlide, pixel: tuple[int, int, int]) -> list[tuple[int, int]]:
        """The places (i, j) of all windows that a pixel is in."""
        down, across, _channels = slide.shape
        return [
            (i, j)
            for i in range(down)
            for j in range(across)
            if 0 <= pixel[0] - i * self.step < self.size and 0 <= pixel[1] - j * self.step < self.size
        ]

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        # How large a mean or a largest number is depends on how alike the pixels of a window are. On the way back the
        # winner of a window is a pixel whose activation function is more often open than that of others.
        raise NotImplementedError(_("theory does not follow how alike the pixels of a window are"))

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        stride = "" if self.step == self.size else f", stride={self.step}"
        kind = {"max_pool": "max_pool2d", "average_pool": "avg_pool2d"}[self.kind_name()]
        return code.functional(f"{kind}({x}, {self.size}{stride})")

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return f"ops.{self.kind_name()}({x}, {self.size}, strides={self.step})"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        code.define(NUMPY_WINDOWS)
        source = NUMPY_MAX if self.kind_name() == "max_pool" else NUMPY_AVERAGE
        return code.call(here, x, self.kind_name(), source, str(self.size), str(self.step))


NUMPY_MAX = '''
def max_pool(x, size, stride):
    """The largest number of every window"""
    return windows(x, size, stride, ((0, 0), (0, 0))).max(axis=(3, 4))

def max_pool_backward(dy, x, size, stride):
    """The gradient goes to the place where the largest number stood, the first of equal ones"""
    found = windows(x, size, stride, ((0, 0), (0, 0)))
    winner = found.reshape(*dy.shape[:3], size * size, -1).argmax(axis=3)
    dx = np.zeros_like(x)
    down, across = stride * (dy.shape[1] - 1) + 1, stride * (dy.shape[2] - 1) + 1
    for u in range(size):
        for v in range(size):
            dx[:, u : u + down : stride, v : v + across : stride] += dy * (winner == u * size + v)
    return dx
'''
NUMPY_AVERAGE = '''
def average_pool(x, size, stride):
    """The mean of every window"""
    return windows(x, size, stride, ((0, 0), (0, 0))).mean(axis=(3, 4))

def average_pool_backward(dy, x, size, stride):
    """The gradient is shared out evenly"""
    dx = np.zeros_like(x)
    down, across = stride * (dy.shape[1] - 1) + 1, stride * (dy.shape[2] - 1) + 1
    for u in range(size):
        for v in range(size):
            dx[:, u : u + down : stride, v : v + across : stride] += dy / size**2
    return dx
'''


@Layer.registry.add("max_pool")
class MaxPool(Pool, frozen=True, kw_only=True, tag="max_pool"):
    """Keeps the largest number of every window; the gradient goes to the place where it stood."""

    label: ClassVar[str] = N_("Max pooling")
    group: ClassVar[Group] = "shape"
    formula: ClassVar[str] = "y[i, j, c] = max x[s i + u, s j + v, c],  0 ≤ u, v < k"
    source: ClassVar[str] = "torch.nn.MaxPool2d"

    def room(self, given: Shape, samples: int) -> int:
        rows, columns, channels = self.output_shape(given)
        return samples * rows * columns * channels

    def pieces(self, x: NDArray[np.floating]) -> NDArray[np.int64]:
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.size, self.size), axis=(1, 2))
        windows = windows[:, :: self.step, :: self.step].reshape(-1, self.size**2)
        return windows.argmax(axis=1)

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        here = slide.place(slide.unit, slide.shape)
        if slide.phase == "forward":
            window, place = self.window(slide)
            y = largest_of(f"max {place}", window)
            return (equation(f"y{here}", y, slide.flat(slide.y)[slide.sample, slide.unit]),)
        if slide.dx is None:
            return ()
        assert slide.dy is not None
        r, k, c = pixel = self.pixel(slide)
        deltas = []
        for i, j in self.windows_with(slide, pixel):
            top, left = i * self.step, j * self.step
            window = slide.x[slide.sample, top : top + self.size, left : left + self.size, c].ravel()
            strange = np.flatnonzero(np.isnan(window))
            winner = int(strange[-1]) if len(strange) else int(window.argmax())
            if divmod(winner, self.size) == (r - top, k - left):
                deltas.append(slide.dy[slide.sample, i, j, c])
        at = int(np.ravel_multi_index(pixel, slide.given))
        words = _("over the {count} windows whose largest number this pixel was; the others send nothing back").format(
            count=len(deltas)
        )
        dx = sum_of("Σ δ", np.array(deltas))
        return (equation(f"∂L/∂x{slide.place(at, slide.given)}", dx, slide.dx[slide.sample, at], words),)

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire(self.output_shape(x.shape))
        winners = build.scratch(build.batch_size * y.width, N_("winners"), role="index")
        geometry = self.geometry(x.shape)
        build.forward(max_pool_forward, x.at, y.at, winners, *geometry)
        if x.gradient >= 0:
            build.backward(max_pool_backward, build.gradient_of(x), y.gradient, winners, *geometry)
        return y


@Layer.registry.add("average_pool")
class AveragePool(Pool, frozen=True, kw_only=True, tag="average_pool"):
    """Takes the mean of every window; its gradient is shared out evenly."""

    label: ClassVar[str] = N_("Average pooling")
    group: ClassVar[Group] = "shape"
    formula: ClassVar[str] = "y[i, j, c] = 1/k² Σ x[s i + u, s j + v, c],  0 ≤ u, v < k"
    source: ClassVar[str] = "torch.nn.AvgPool2d"

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        area = number("k²", self.size**2)
        if slide.phase == "forward":
            window, place = self.window(slide)
            y = sum_of(f"Σ {place}", window) / area
            here = slide.place(slide.unit, slide.shape)
            return (equation(f"y{here}", y, slide.flat(slide.y)[slide.sample, slide.unit]),)
        if slide.dx is None:
            return ()
        assert slide.dy is not None
        pixel = self.pixel(slide)
        deltas = np.array([slide.dy[slide.sample, i, j, pixel[2]] for i, j in self.windows_with(slide, pixel)])
        at = int(np.ravel_multi_index(pixel, slide.given))
        words = _("over the {count} windows that the pixel was in").format(count=len(deltas))
        dx = sum_of("Σ δ", deltas) / area
        return (equation(f"∂L/∂x{slide.place(at, slide.given)}", dx, slide.dx[slide.sample, at], words),)

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        rows, columns, channels = self.output_shape(given)
        # The way back is exact where windows do not overlap: a pixel gets its share of one number, or nothing.
        apart = self.step >= self.size
        reached = rows * columns * self.size**2 / (given[0] * given[1])
        back = reached / self.size**4 if apart else math.nan
        why = _("theory does not follow how alike the pixels of a window are")
        return replace(type(signal).unknown(rows * columns * channels, back, channels, why), samples=signal.samples)

    def emit(self, build: Builder, x: Wire) -> Wire:
        y = build.wire(self.output_shape(x.shape))
        geometry = self.geometry(x.shape)
        build.forward(average_pool_forward, x.at, y.at, *geometry)
        if x.gradient >= 0:
            build.backward(average_pool_backward, build.gradient_of(x), y.gradient, *geometry)
        return y


@Layer.registry.add("global_average_pool")
class GlobalAveragePool(Layer, frozen=True, kw_only=True, tag="global_average_pool"):
    """Takes the mean of every channel over the whole image: one number per channel is left, wherever things were."""

    label: ClassVar[str] = N_("Global average pooling")
    group: ClassVar[Group] = "shape"
    formula: ClassVar[str] = "y[c] = 1/(h w) Σ x[i, j, c]"
    source: ClassVar[str] = "Lin et al. 2013 (arXiv 1312.4400), 3.2; torch.nn.AdaptiveAvgPool2d(1), flattened"

    def title(self) -> str:
        return _(self.label)

    def output_shape(self, given: Shape) -> Shape:
        return (image(given, _(self.label))[2],)

    def entries(self, given: Shape) -> int:
        return given[0] * given[1]

    def sees(self, given: Shape, unit: int) -> tuple[slice, slice, int | None] | None:
        return slice(0, given[0]), slice(0, given[1]), unit

    def worked(self, slide: LayerSlide) -> tuple[Equation, ...]:
        height, width, channels = slide.given
        area, c = number("h w", height * width), slide.unit
        if slide.phase == "forward":
            y = sum_of(f"Σ x[i, j, {c + 1}]", slide.x[slide.sample, :, :, c]) / area
            return (equation(f"y[{c + 1}]", y, slide.y[slide.sample, c]),)
        if slide.dx is None:
            return ()
        at = (slide.entry % (height * width)) * channels + c
        dx = number(f"δ[{c + 1}]", slide.delta[slide.sample, c]) / area
        return (equation(f"∂L/∂x{slide.place(at, slide.given)}", dx, slide.dx[slide.sample, at]),)

    def emit(self, build: Builder, x: Wire) -> Wire:
        height, width, channels = x.shape
        y = build.wire((channels,))
        build.forward(global_average_pool_forward, x.at, y.at, height * width, channels)
        if x.gradient >= 0:
            dx = build.gradient_of(x)
            build.backward(global_average_pool_backward, dx, y.gradient, height * width, channels)
        return y

    def mean_field(self, signal: Signal, given: Shape) -> Signal:
        # The way back is exact: every pixel gets the same share of the gradient of its channel's mean.
        pixels = given[0] * given[1]
        why = _("theory does not follow how alike the pixels of an image are")
        return replace(type(signal).unknown(given[2], float(pixels) ** -2, why=why), samples=signal.samples)

    def to_pytorch(self, code: PyTorchScript, here: Place, x: str) -> str:
        return f"{x}.mean(dim=(2, 3))"

    def to_keras(self, code: KerasScript, here: Place, x: str) -> str:
        return f"ops.mean({x}, axis=(1, 2))"

    def to_numpy(self, code: NumpyScript, here: Place, x: str) -> str:
        return code.call(here, x, "global_average_pool", NUMPY_GLOBAL)


NUMPY_GLOBAL = '''
def global_average_pool(x):
    """The mean of every channel over the whole image"""
    return x.mean(axis=(1, 2))

def global_average_pool_backward(dy, x):
    return np.broadcast_to(dy[:, None, None, :] / (x.shape[1] * x.shape[2]), x.shape)
'''


@kernel
def max_pool_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = the largest number of every window, and which one of the window it was: the first of equal ones, a NaN
    before all others.

    Row: x, y, winners, height, width, channels, size, stride, windows down, windows across.
    """
    height, width, channels, size, stride, down, across = row[4], row[5], row[6], row[7], row[8], row[9], row[10]
    for n in range(context[ROWS]):
        for i in range(down):
            for j in range(across):
                to = ((n * down + i) * across + j) * channels
                y, winner = block(arena, row[2] + to, channels), block(arena, row[3] + to, channels)
                for u in range(size):
                    for v in range(size):
                        pixel = (n * height + i * stride + u) * width + j * stride + v
                        x = block(arena, row[1] + pixel * channels, channels)
                        number = x.dtype.type(u * size + v)
                        if u == 0 and v == 0:
                            for c in range(channels):
                                y[c] = x[c]
                                winner[c] = number
                        else:
                            for c in range(channels):
                                better = (x[c] > y[c]) | (x[c] != x[c])
                                y[c] = x[c] if better else y[c]
                                winner[c] = number if better else winner[c]


@kernel
def max_pool_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx at the largest number of every window += dy. Row: dx, dy, winners, then as in the forward kernel."""
    height, width, channels, size, stride, down, across = row[4], row[5], row[6], row[7], row[8], row[9], row[10]
    dx = block(arena, row[1], context[ROWS] * height * width * channels)
    for k in range(dx.size):
        dx[k] = 0
    for n in range(context[ROWS]):
        for i in range(down):
            for j in range(across):
                at = ((n * down + i) * across + j) * channels
                dy, winner = block(arena, row[2] + at, channels), block(arena, row[3] + at, channels)
                for c in range(channels):
                    u, v = divmod(int(winner[c]), size)
                    dx[((n * height + i * stride + u) * width + j * stride + v) * channels + c] += dy[c]


@kernel
def average_pool_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = the mean of every window. Row: x, y, height, width, channels, size, stride, windows down, windows across."""
    height, width, channels, size, stride, down, across = row[3], row[4], row[5], row[6], row[7], row[8], row[9]
    for n in range(context[ROWS]):
        for i in range(down):
            for j in range(across):
                y = block(arena, row[2] + ((n * down + i) * across + j) * channels, channels)
                for c in range(channels):
                    y[c] = 0
                for u in range(size):
                    for v in range(size):
                        pixel = (n * height + i * stride + u) * width + j * stride + v
                        x = block(arena, row[1] + pixel * channels, channels)
                        for c in range(channels):
                            y[c] += x[c]
                share = y.dtype.type(1.0 / (size * size))
                for c in range(channels):
                    y[c] *= share


@kernel
def average_pool_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx of all pixels of a window += dy / their number. Row: dx, dy, then as in the forward kernel."""
    height, width, channels, size, stride, down, across = row[3], row[4], row[5], row[6], row[7], row[8], row[9]
    dx = block(arena, row[1], context[ROWS] * height * width * channels)
    for k in range(dx.size):
        dx[k] = 0
    share = dx.dtype.type(1.0 / (size * size))
    for n in range(context[ROWS]):
        for i in range(down):
            for j in range(across):
                dy = block(arena, row[2] + ((n * down + i) * across + j) * channels, channels)
                for u in range(size):
                    for v in range(size):
                        pixel = (n * height + i * stride + u) * width + j * stride + v
                        part = block(arena, row[1] + pixel * channels, channels)
                        for c in range(channels):
                            part[c] += share * dy[c]


@kernel
def global_average_pool_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """y = the mean of every channel. Row: x, y, pixels, channels."""
    pixels, channels = row[3], row[4]
    y = matrix(arena, row[2], context[ROWS], channels)
    share = y.dtype.type(1.0 / pixels)
    for n in range(context[ROWS]):
        x = matrix(arena, row[1] + n * pixels * channels, pixels, channels)
        for c in range(channels):
            y[n, c] = 0
        for k in range(pixels):
            for c in range(channels):
                y[n, c] += x[k, c]
        for c in range(channels):
            y[n, c] *= share


@kernel
def global_average_pool_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """dx = dy / pixels. Row: dx, dy, pixels, channels."""
    pixels, channels = row[3], row[4]
    dy = matrix(arena, row[2], context[ROWS], channels)
    share = dy.dtype.type(1.0 / pixels)
    for n in range(context[ROWS]):
        dx = matrix(arena, row[1] + n * pixels * channels, pixels, channels)
        for k in range(pixels):
            for c in range(channels):
                dx[k, c] = share * dy[n, c]
