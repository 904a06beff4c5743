"""exp, tanh and their relatives for kernels, in both precisions."""

from __future__ import annotations

import math

from .kernel import device


@device
def exp(x):  # type: ignore[no-untyped-def]
    """e to the power x, in the precision of x."""
    return math.exp(x)


@device
def tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent, in the precision of x."""
    return math.tanh(x)


@device
def erf(x):  # type: ignore[no-untyped-def]
    """The error function, in the precision of x."""
    return math.erf(x)


@device
def sigmoid_of(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)); exp(-x) may overflow to infinity, which gives the right 0."""
    one = type(x)(1)
    return one / (one + math.exp(-x))


@device
def log1p_exp(x):  # type: ignore[no-untyped-def]
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    zero = type(x)(0)
    above = x if not x <= zero else zero
    return above + math.log1p(math.exp(-abs(x)))
