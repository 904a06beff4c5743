"""Every registered activation: its kernels against its own NumPy formulas, which are checked against themselves."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerscope.core.activations import ACTIVATIONS, Activation
from layerscope.core.engine.kernel import Precision, compile_kernels, kernel_name
from layerscope.core.engine.layout import ROWS

Array = NDArray[Any]
PRECISIONS: list[Precision] = ["float32", "float64"]
PARAMETERS = {"": (0.0,), "slope": (0.01, 0.3), "alpha": (1.0, 0.7)}
CASES = [(name, p) for name, a in ACTIVATIONS.items() for p in PARAMETERS[a.parameter]]
# Slope computed from the output: where that is rounded to its bound, the slope's last digits are gone.
FROM_OUTPUT = {"sigmoid", "tanh"}
# Slope is a sum that crosses zero: its error is that of the terms, of which one is value / x.
SUMS = {"gelu", "silu"}


class Operands:
    """An arena with x, y, dx and dy, and the call of a kernel on them the way the executor calls it."""

    def __init__(self, x: Array, dy: Array, parameter: float, precision: Precision):
        self.precision, self.count = precision, x.size
        self.arena = np.full(4 * x.size + 8, 77.0, precision)
        self.arena[: x.size] = x
        self.arena[3 * x.size : 4 * x.size] = dy
        self.row = np.array([0, 0, x.size, 2 * x.size, 3 * x.size, x.size, 1] + [0] * 9, np.int64)
        self.hyper = np.array([np.nan, parameter, np.nan])

    def call(self, function: Any) -> None:
        context, statistics = np.zeros(32, np.int64), np.zeros(8)
        context[ROWS] = 1
        address = compile_kernels([function], self.precision)[kernel_name(function)]
        arrays = self.row, self.arena, self.arena, context, self.hyper, statistics
        ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 6)(address)(*[a.ctypes.data for a in arrays])
        assert np.all(self.arena[4 * self.count :] == 77.0)  # nothing is written beyond the end

    @property
    def y(self) -> Array:
        return self.arena[self.count : 2 * self.count]

    @property
    def dx(self) -> Array:
        return self.arena[2 * self.count : 3 * self.count]


def run(activation: Activation, parameter: float, x: Array, dy: Array, precision: Precision) -> tuple[Array, Array]:
    operands = Operands(x, dy, parameter, precision)
    operands.call(activation.forward)
    operands.call(activation.backward)
    return operands.y.astype(np.float64), operands.dx.astype(np.float64)


def inputs(precision: Precision) -> Array:
    """All sizes that occur, as numbers of the given precision; an odd number of them."""
    random = np.random.default_rng(0)
    sizes = np.geomspace(1e-7, 30.0, 251)
    x = np.concatenate((-sizes, sizes, random.standard_normal(500), [0.0, 1.0, -1.0, 0.5, -0.5]))
    return x.astype(precision).astype(np.float64)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_kernels_compute_what_the_formulas_say(name: str, parameter: float, precision: Precision) -> None:
    activation, x = ACTIVATIONS[name], inputs(precision)
    dy = np.random.default_rng(1).standard_normal(x.size).astype(precision).astype(np.float64)
    y, dx = run(activation, parameter, x, dy, precision)
    p = float(np.dtype(precision).type(parameter))
    with np.errstate(all="ignore"):
        value, slope = activation.value(x, p), activation.slope(x, p)
    close = 1e-6 if precision == "float32" else 1e-13
    assert y == pytest.approx(value, rel=close, abs=1e-30)
    scale = np.abs(slope)
    if name in FROM_OUTPUT:
        scale += 1.5 * float(np.finfo(precision).eps) / close
    if name in SUMS:
        scale += np.divide(value, x, out=np.zeros_like(x), where=x != 0)
    assert np.all(np.abs(dx - dy * slope) <= close * np.abs(dy) * scale + 1e-30)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_what_is_not_finite_passes_as_in_the_formulas(name: str, parameter: float, precision: Precision) -> None:
    activation = ACTIVATIONS[name]
    x = np.tile([0.3, np.nan, np.inf, -np.inf, -0.3], 9)
    y, _ = run(activation, parameter, x, np.ones_like(x), precision)
    with np.errstate(all="ignore"):
        value = activation.value(x, parameter)
    assert np.array_equal(np.isnan(y), np.isnan(value))
    assert np.all(np.isnan(y[1::5]))
    assert np.array_equal(np.isposinf(y), np.isposinf(value))
    assert np.array_equal(np.isneginf(y), np.isneginf(value))
    # A gradient that is not finite goes on, wherever the function is not flat.
    for strange in (np.nan, np.inf):
        _, dx = run(activation, parameter, np.full(19, 0.3), np.full(19, strange), precision)
        assert not np.any(np.isfinite(dx))


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_the_slope_is_the_derivative_of_the_value(name: str, parameter: float) -> None:
    activation, h = ACTIVATIONS[name], 1e-5
    x = np.linspace(-9.0, 9.0, 2001) + 1e-3
    for kink in activation.kinks:
        x = x[np.abs(x - kink) > 2 * h]
    difference = (activation.value(x + h, parameter) - activation.value(x - h, parameter)) / (2 * h)
    assert activation.slope(x, parameter) == pytest.approx(difference, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_kinks_are_where_the_slope_jumps(name: str, parameter: float) -> None:
    activation = ACTIVATIONS[name]
    grid = np.linspace(-9.0, 9.0, 18_001) + 0.5e-3
    steps = np.abs(np.diff(activation.slope(grid, parameter)))
    jumps = {float(round(x)) for x in grid[:-1][steps > 0.01]}
    # (ELU with alpha 1 bends without a jump; where it could jump is still declared.)
    assert jumps <= set(activation.kinks)
    if (name, parameter) != ("elu", 1.0):
        assert jumps == set(activation.kinks)


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_the_saturation_bounds_are_reached_only_by_large_inputs(name: str, parameter: float) -> None:
    low, high = ACTIVATIONS[name].saturation
    value = ACTIVATIONS[name].value(np.array([-1e3, -0.5, 0.5, 1e3]), parameter)
    assert low < value[1] < high
    assert low < value[2] < high
    if np.isfinite(low):
        assert value[0] <= low
    if np.isfinite(high):
        assert value[3] >= high


def test_a_vanished_gradient_is_not_rounded_away() -> None:
    """Far out, ELU, SELU and GELU have slopes of 1e-9; those must not come out as zero, for that is what we show."""
    for name in ("elu", "selu", "gelu", "silu", "softplus"):
        activation = ACTIVATIONS[name]
        x = np.array([-6.0, -12.0], np.float64)
        _, dx = run(activation, 1.0, x, np.ones(2), "float32")
        assert dx == pytest.approx(activation.slope(x, 1.0), rel=3e-6)
        assert np.all(dx != 0.0)
