"""An activation function bends the signal; without it, many layers could do no more than one.

Each entry has the function and its slope twice: for the engine (a kernel forward, one backward) and in plain NumPy,
slow and obvious, for the theory and as the reference that the kernels are tested against. Definitions are those of
torch.nn.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine.elementary import exp, expm1_below, log1p_exp, normal_share, sigmoid_of, tanh
from .engine.kernel import device, kernel
from .engine.layout import ROWS
from .engine.memory import block
from .registry import Registry
from .text import N_
from .worked import Term, absolute, chosen, constant, exponential, function, negative, number

Array = NDArray[np.float64]
INFINITY = math.inf

ALPHA = 1.6732632423543772848170429916717  # Klambauer et al. 2017: the fixed point at mean 0, variance 1
LAMBDA = 1.0507009873554804934193349852946
DENSITY = 1.0 / math.sqrt(2.0 * math.pi)


Worked = tuple[Callable[[Term, Term], Term], Callable[[Term, Term, Term], Term]]


@dataclass(frozen=True)
class Activation:
    """One activation function.

    forward, backward   kernels; row: x, y, dx, dy, width, parameter in hyper
    value, slope        the same in NumPy: of x and the parameter
    parameter           the field of the activation layer that the function uses ("slope", "alpha"), or ""
    saturation          outputs at or beyond these count as saturated; infinite where there is no bound
    linear_part         outputs between these come from where the slope is at least nine tenths of its greatest; NaN
                        where the function has no such middle
    kinks               where the slope jumps: the gradient check stays away, the quadrature splits
    pytorch, keras      what an exported program writes: expressions of {x} and the parameter {p}
    numpy               the same and its slope, in x and the parameter's name; the slope in parentheses where it is a
                        sum, the function itself empty where a helper is it
    numpy_helpers       functions that those call
    worked              value and slope as worked equations: of terms x and the parameter; of x, y and the parameter
    """

    label: str
    forward: Callable[..., None]
    backward: Callable[..., None]
    value: Callable[[Array, float], Array]
    slope: Callable[[Array, float], Array]
    pytorch: str
    keras: str
    numpy: tuple[str, str]
    worked: Worked
    numpy_helpers: tuple[str, ...] = ()
    parameter: str = ""
    saturation: tuple[float, float] = (-INFINITY, INFINITY)
    linear_part: tuple[float, float] = (math.nan, math.nan)
    kinks: tuple[float, ...] = field(default=())


ACTIVATIONS: Registry[Activation] = Registry(N_("activation function"))


# what exported programs in NumPy call
SIGMOID = '''
def sigmoid(x):
    """1 / (1 + e^-x), written so that it cannot overflow"""
    return np.exp(-np.logaddexp(0, -x))
'''
NORMAL_CDF = '''
@np.vectorize
def normal_cdf(x):
    """Share of a standard normal distribution below x"""
    return 0.5 * math.erfc(-x / math.sqrt(2))
'''


def _add(name: str, **parts: Any) -> None:
    ACTIVATIONS.add(name)(Activation(**parts))


@device
def forward_operands(row, arena, context):  # type: ignore[no-untyped-def]
    """x and y of an elementwise row."""
    count = context[ROWS] * row[5]
    return block(arena, row[1], count), block(arena, row[2], count)


@device
def backward_operands(row, arena, context):  # type: ignore[no-untyped-def]
    """x, y, dx and dy of an elementwise row."""
    count = context[ROWS] * row[5]
    return (
        block(arena, row[1], count),
        block(arena, row[2], count),
        block(arena, row[3], count),
        block(arena, row[4], count),
    )


def _sigmoid(x: Array) -> Array:
    from scipy.special import expit

    return np.asarray(expit(x))


def _normal_cdf(x: Array) -> Array:
    from scipy.special import ndtr

    return np.asarray(ndtr(x))


def _case(x: Term, above: str, below: str, term: Term) -> Term:
    """One of two cases, in symbols both."""
    return chosen(f"{above} if {x.symbols} > 0 else {below}", term)


def _sigmoid_term(x: Term) -> Term:
    return function("σ({})", _sigmoid(np.array(x.value)), x)


def _normal_term(x: Term) -> Term:
    return function("Φ({})", _normal_cdf(np.array(x.value)), x)


def _tail(x: Term, factor: Term) -> Term:
    """The part of ELU and SELU below zero."""
    return factor * (exponential(x) - constant(1.0))


def _at_most_one(x: Term, factor: Term) -> Term:
    """Their slope."""
    return constant(1.0) if x.value > 0.0 else factor * exponential(x)


def _density(x: Array) -> Array:
    return np.asarray(DENSITY * np.exp(-0.5 * x * x))


# --- identity


@kernel
def identity_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        y[i] = x[i]


@kernel
def identity_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    for i in range(x.size):
        dx[i] = dy[i]


_add(
    "identity",
    label=N_("Identity"),
    forward=identity_forward,
    backward=identity_backward,
    value=lambda x, p: x,
    slope=lambda x, p: np.ones_like(x),
    pytorch="{x}",
    keras="{x}",
    numpy=("x", "1.0"),
    worked=(lambda x, p: x, lambda x, y, p: constant(1.0)),
)

# --- sigmoid


@kernel
def sigmoid_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        y[i] = sigmoid_of(x[i])


@kernel
def sigmoid_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        dx[i] = dy[i] * (y[i] * (one - y[i]))


_add(
    "sigmoid",
    label=N_("Sigmoid"),
    forward=sigmoid_forward,
    backward=sigmoid_backward,
    value=lambda x, p: _sigmoid(x),
    slope=lambda x, p: _sigmoid(x) * _sigmoid(-x),
    saturation=(0.015, 0.985),  # sigmoid(x) = (1 + tanh(x/2)) / 2: the same inputs/2 as tanh's 0.97
    linear_part=(0.5 - 0.5 * math.sqrt(0.1), 0.5 + 0.5 * math.sqrt(0.1)),  # 4 y (1 - y) = 0.9
    pytorch="torch.sigmoid({x})",
    keras="ops.sigmoid({x})",
    numpy=("", "(sigmoid(x) * sigmoid(-x))"),
    numpy_helpers=(SIGMOID,),
    worked=(
        lambda x, p: constant(1.0) / (constant(1.0) + exponential(negative(x))),
        lambda x, y, p: y * (constant(1.0) - y),
    ),
)

# --- tanh


@kernel
def tanh_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        y[i] = tanh(x[i])


@kernel
def tanh_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        dx[i] = dy[i] * (one - y[i] * y[i])


_add(
    "tanh",
    label=N_("Tanh"),
    forward=tanh_forward,
    backward=tanh_backward,
    value=lambda x, p: np.tanh(x),
    slope=lambda x, p: 1.0 - np.tanh(x) ** 2,
    saturation=(-0.97, 0.97),  # the threshold of Karpathy's "makemore" lecture 3: slope below 0.06
    linear_part=(-math.sqrt(0.1), math.sqrt(0.1)),  # 1 - y^2 = 0.9
    pytorch="torch.tanh({x})",
    keras="ops.tanh({x})",
    numpy=("np.tanh(x)", "(1 - np.tanh(x) ** 2)"),
    worked=(lambda x, p: function("tanh({})", np.tanh(x.value), x), lambda x, y, p: constant(1.0) - y.squared()),
)

# --- relu


@kernel
def relu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # a NaN is not <= 0 and passes through


@kernel
def relu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    zero = x.dtype.type(0)
    for i in range(x.size):
        dx[i] = zero if x[i] <= zero else dy[i]


_add(
    "relu",
    label=N_("ReLU"),
    forward=relu_forward,
    backward=relu_backward,
    value=lambda x, p: np.where(x <= 0, 0.0, x),
    slope=lambda x, p: np.where(x <= 0, 0.0, 1.0),
    kinks=(0.0,),
    pytorch="torch.relu({x})",
    keras="ops.relu({x})",
    numpy=("np.maximum(x, 0)", "(x > 0)"),
    worked=(
        lambda x, p: function("max(0, {})", np.maximum(0.0, x.value), x),
        lambda x, y, p: _case(x, "1", "0", constant(0.0 if x.value <= 0.0 else 1.0)),
    ),
)

# --- leaky relu


@kernel
def leaky_relu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    zero, slope = x.dtype.type(0), x.dtype.type(hyper[row[6]])
    for i in range(x.size):
        y[i] = slope * x[i] if x[i] <= zero else x[i]


@kernel
def leaky_relu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    zero, slope = x.dtype.type(0), x.dtype.type(hyper[row[6]])
    for i in range(x.size):
        dx[i] = slope * dy[i] if x[i] <= zero else dy[i]


_add(
    "leaky_relu",
    label=N_("Leaky ReLU"),
    forward=leaky_relu_forward,
    backward=leaky_relu_backward,
    value=lambda x, p: np.where(x <= 0, p * x, x),
    slope=lambda x, p: np.where(x <= 0, p, 1.0),
    parameter="slope",
    kinks=(0.0,),
    pytorch="F.leaky_relu({x}, {p})",
    keras="ops.leaky_relu({x}, {p})",
    numpy=("np.where(x > 0, x, slope * x)", "np.where(x > 0, 1, slope)"),
    worked=(
        lambda x, p: _case(x, x.symbols, f"{p.symbols} {x.symbols}", p * x if x.value <= 0.0 else x),
        lambda x, y, p: _case(x, "1", p.symbols, p if x.value <= 0.0 else constant(1.0)),
    ),
)

# --- elu


@kernel
def elu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    real = x.dtype.type
    zero, alpha = real(0), real(hyper[row[6]])
    for i in range(x.size):
        y[i] = x[i] if x[i] > zero else alpha * expm1_below(x[i])


@kernel
def elu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    real = x.dtype.type
    zero, alpha = real(0), real(hyper[row[6]])
    for i in range(x.size):
        dx[i] = dy[i] if x[i] > zero else dy[i] * (alpha * exp(x[i]))


_add(
    "elu",
    label=N_("ELU"),
    forward=elu_forward,
    backward=elu_backward,
    value=lambda x, p: np.where(x > 0, x, p * np.expm1(np.minimum(x, 0.0))),
    slope=lambda x, p: np.where(x > 0, 1.0, p * np.exp(np.minimum(x, 0.0))),
    parameter="alpha",
    kinks=(0.0,),
    pytorch="F.elu({x}, {p})",
    keras="ops.elu({x}, {p})",
    numpy=(
        "np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))",
        "np.where(x > 0, 1, alpha * np.exp(np.minimum(x, 0)))",
    ),
    worked=(
        lambda x, p: _case(x, x.symbols, _tail(x, p).symbols, x if x.value > 0.0 else _tail(x, p)),
        lambda x, y, p: _case(
            x, "1", (p * exponential(x)).symbols, constant(1.0) if x.value > 0.0 else p * exponential(x)
        ),
    ),
)

# --- selu


@kernel
def selu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    real = x.dtype.type
    zero, scale, low = real(0), real(LAMBDA), real(LAMBDA * ALPHA)
    for i in range(x.size):
        y[i] = scale * x[i] if x[i] > zero else low * expm1_below(x[i])


@kernel
def selu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    real = x.dtype.type
    zero, scale, low = real(0), real(LAMBDA), real(LAMBDA * ALPHA)
    for i in range(x.size):
        dx[i] = dy[i] * scale if x[i] > zero else dy[i] * (low * exp(x[i]))


_add(
    "selu",
    label=N_("SELU"),
    forward=selu_forward,
    backward=selu_backward,
    value=lambda x, p: LAMBDA * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0.0))),
    slope=lambda x, p: LAMBDA * np.where(x > 0, 1.0, ALPHA * np.exp(np.minimum(x, 0.0))),
    kinks=(0.0,),
    pytorch="F.selu({x})",
    keras="ops.selu({x})",
    numpy=(
        "1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))",
        "1.0507009873554805 * np.where(x > 0, 1, 1.6732632423543772 * np.exp(np.minimum(x, 0)))",
    ),
    worked=(
        lambda x, p: (
            number("λ", LAMBDA)
            * _case(
                x, x.symbols, _tail(x, number("α", ALPHA)).symbols, x if x.value > 0.0 else _tail(x, number("α", ALPHA))
            )
        ),
        lambda x, y, p: number("λ", LAMBDA) * _case(x, "1", f"α exp({x.symbols})", _at_most_one(x, number("α", ALPHA))),
    ),
)

# --- gelu


@kernel
def gelu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        share, _bell = normal_share(x[i])
        y[i] = x[i] * share


@kernel
def gelu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    density = x.dtype.type(DENSITY)
    for i in range(x.size):
        share, bell = normal_share(x[i])
        dx[i] = dy[i] * (share + x[i] * (density * bell))


_add(
    "gelu",
    label=N_("GELU"),
    forward=gelu_forward,
    backward=gelu_backward,
    value=lambda x, p: x * _normal_cdf(x),
    slope=lambda x, p: _normal_cdf(x) + x * _density(x),
    pytorch="F.gelu({x})",
    keras="ops.gelu({x}, approximate=False)",
    numpy=("x * normal_cdf(x)", "(normal_cdf(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi))"),
    numpy_helpers=(NORMAL_CDF,),
    worked=(
        lambda x, p: x * _normal_term(x),
        lambda x, y, p: _normal_term(x) + x * function("φ({})", _density(np.array(x.value)), x),
    ),
)

# --- silu


@kernel
def silu_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        y[i] = x[i] * sigmoid_of(x[i])


@kernel
def silu_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        s = sigmoid_of(x[i])
        dx[i] = dy[i] * (s * (one + x[i] * (one - s)))


_add(
    "silu",
    label=N_("SiLU"),
    forward=silu_forward,
    backward=silu_backward,
    value=lambda x, p: x * _sigmoid(x),
    slope=lambda x, p: _sigmoid(x) * (1.0 + x * _sigmoid(-x)),
    pytorch="F.silu({x})",
    keras="ops.silu({x})",
    numpy=("x * sigmoid(x)", "(sigmoid(x) * (1 + x * sigmoid(-x)))"),
    numpy_helpers=(SIGMOID,),
    worked=(
        lambda x, p: x * _sigmoid_term(x),
        lambda x, y, p: _sigmoid_term(x) * (constant(1.0) + x * (constant(1.0) - _sigmoid_term(x))),
    ),
)

# --- softplus


@kernel
def softplus_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    for i in range(x.size):
        y[i] = log1p_exp(x[i])


@kernel
def softplus_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    for i in range(x.size):
        dx[i] = dy[i] * sigmoid_of(x[i])


_add(
    "softplus",
    label=N_("Softplus"),
    forward=softplus_forward,
    backward=softplus_backward,
    value=lambda x, p: np.logaddexp(0.0, x),
    slope=lambda x, p: _sigmoid(x),
    pytorch="F.softplus({x})",
    keras="ops.softplus({x})",
    numpy=("np.logaddexp(0, x)  # log(1 + e^x)", "sigmoid(x)"),
    numpy_helpers=(SIGMOID,),
    worked=(
        lambda x, p: function("ln(1 + exp({}))", np.logaddexp(0.0, x.value), x),
        lambda x, y, p: _sigmoid_term(x),
    ),
)

# --- softsign


@kernel
def softsign_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        y[i] = x[i] / (one + abs(x[i]))


@kernel
def softsign_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        spread = one + abs(x[i])
        dx[i] = dy[i] / (spread * spread)


_add(
    "softsign",
    label=N_("Softsign"),
    forward=softsign_forward,
    backward=softsign_backward,
    value=lambda x, p: x / (1.0 + np.abs(x)),
    slope=lambda x, p: 1.0 / (1.0 + np.abs(x)) ** 2,
    saturation=(-0.97, 0.97),
    linear_part=(math.sqrt(0.9) - 1.0, 1.0 - math.sqrt(0.9)),  # (1 - |y|)^2 = 0.9
    pytorch="F.softsign({x})",
    keras="ops.softsign({x})",
    numpy=("x / (1 + np.abs(x))", "1 / (1 + np.abs(x)) ** 2"),
    worked=(
        lambda x, p: x / (constant(1.0) + absolute(x)),
        lambda x, y, p: constant(1.0) / (constant(1.0) + absolute(x)).squared(),
    ),
)

# --- hard tanh


@kernel
def hard_tanh_forward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y = forward_operands(row, arena, context)
    one = x.dtype.type(1)
    for i in range(x.size):
        low = -one if x[i] < -one else x[i]
        y[i] = one if low > one else low


@kernel
def hard_tanh_backward(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    x, y, dx, dy = backward_operands(row, arena, context)
    zero, one = x.dtype.type(0), x.dtype.type(1)
    for i in range(x.size):
        dx[i] = zero if abs(x[i]) >= one else dy[i]


_add(
    "hard_tanh",
    label=N_("Hard tanh"),
    forward=hard_tanh_forward,
    backward=hard_tanh_backward,
    value=lambda x, p: np.clip(x, -1.0, 1.0),
    slope=lambda x, p: np.where(np.abs(x) >= 1.0, 0.0, 1.0),
    saturation=(-1.0, 1.0),
    linear_part=(-1.0, 1.0),
    kinks=(-1.0, 1.0),
    pytorch="F.hardtanh({x})",
    keras="ops.hard_tanh({x})",
    numpy=("np.clip(x, -1, 1)", "(np.abs(x) < 1)"),
    worked=(
        lambda x, p: function("max(−1, min(1, {}))", np.clip(x.value, -1.0, 1.0), x),
        lambda x, y, p: chosen(f"1 if |{x.symbols}| < 1 else 0", constant(0.0 if abs(x.value) >= 1.0 else 1.0)),
    ),
)
