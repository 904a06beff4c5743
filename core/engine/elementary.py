"""exp, tanh and their relatives for kernels, written so that the processor computes 4 to 16 numbers at a time.

The functions of the C library take one number a call, 3 to 17 ns each, and the compiler cannot look inside. These are
short and have no branches, so it can put them into the loop of a kernel and turn that into vector instructions: 0.5 to
4 ns a number. They follow the textbook: take out a power of two, sum a short series of the rest (Muller 2016,
"Elementary Functions", chapters 4 and 11).

All of them work in the precision of their argument and are right within 3 units in the last place (`normal_share`: 8).
NaN gives NaN, always. Infinities and overflow give what they should; results too small for a normal number become
denormal ones and then 0.

`@strict` functions are compiled without permission to reorder: (x - n high) - n low, with high + low = ln 2, is exact
only in this order, and a compiler that may reassociate makes x - n ln 2 of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .kernel import OPTIONS, Deferred, intrinsic

constant = intrinsic("constant")
polynomial = intrinsic("polynomial")
power_of_two = intrinsic("power_of_two")
times_power_of_two = intrinsic("times_power_of_two")
upper_half = intrinsic("upper_half")

STRICT = {"nsz", "contract"}

# Adding this and taking it away rounds to a whole number, which then stands in the last bits of the sum.
SHIFT32, SHIFT64 = 1.5 * 2.0**23, 1.5 * 2.0**52
LOG2E = 1.0 / math.log(2.0)
# ln 2 in two parts; the first ends in so many zeros that its products with whole numbers are exact (Cody & Waite).
HIGH32, LOW32 = 0.693359375, -2.12194440054690583e-4
HIGH64, LOW64 = 6.93147180369123816490e-01, 1.90821492927058770002e-10

# Taylor series for |r| <= ln(2) / 2; what is left out is below a tenth of a unit in the last place.
EXP32 = tuple(1.0 / math.factorial(k) for k in range(8))
EXP64 = tuple(1.0 / math.factorial(k) for k in range(14))
EXPM1_32, EXPM1_64 = EXP32[2:], EXP64[2:]  # (exp(r) - 1 - r) / r^2
# artanh(s) / s in s^2, for 0 <= s <= 1/3
ARTANH32 = tuple(1.0 / (2 * k + 1) for k in range(8))
ARTANH64 = tuple(1.0 / (2 * k + 1) for k in range(17))
# (t + 5) exp(t^2 / 2) P(z > t) for a standard normal z as a polynomial in w = (t - 5) / (t + 5): Chebyshev fits for
# t <= 15 and t <= 39, beyond which P is 0 (the form is that of Shepherd & Laframboise 1981). Errors 2e-9 and 6e-18.
TAIL_MIDDLE = 5.0
TAIL32 = (
    0.7691930511,
    -0.6653824723,
    0.4953054637,
    -0.3135344644,
    0.1650225092,
    -0.06910232541,
    0.02079227911,
    -0.003071442164,
    -0.0008526515826,
    0.0006607486973,
    0.000109390882,
)
TAIL64 = (
    0.769193049750062959,
    -0.6653825028900567,
    0.495305615969976413,
    -0.313533156671304545,
    0.165020366170384718,
    -0.0691186387063101636,
    0.0207950667998831796,
    -0.00299337677050854244,
    -0.000797869398466070105,
    0.000544899064773129894,
    -5.93757280099158637e-5,
    -4.97628142705858052e-5,
    1.66812137420420615e-5,
    3.98090215786804112e-6,
    -2.76926709599743025e-6,
    -3.36615368101247117e-7,
    4.33141035686258495e-7,
    4.22749937400653484e-8,
    -6.59422166247722304e-8,
    -9.31356099432605914e-9,
    7.66307180076004105e-9,
    1.75304840140823198e-9,
    -1.58774688274733654e-10,
)


def strict(function: Callable[..., Any]) -> Any:
    """Like `kernel.device`, but operations stay in the order in which they are written, and it is always inlined."""

    def resolve() -> Any:
        import numba

        # A call would keep the compiler from vectorizing the loop around it.
        return numba.njit(nogil=True, forceinline=True, **{**OPTIONS, "fastmath": STRICT})(function)

    return Deferred(resolve, function.__name__)


@strict
def limited(x, low, high):  # type: ignore[no-untyped-def]
    """x within [low, high]; NaN stays NaN, as no comparison with it is true."""
    above = low if x < low else x
    return high if above > high else above


@strict
def rounded(x):  # type: ignore[no-untyped-def]
    """(n, shifted): n is x as the nearest whole number, `shifted` what `power_of_two` wants of it."""
    shift = constant(x, SHIFT32, SHIFT64)
    shifted = x + shift
    return shifted - shift, shifted


@strict
def remainder(x, n):  # type: ignore[no-untyped-def]
    """x - n ln 2, almost exactly."""
    return (x - n * constant(x, HIGH32, HIGH64)) - n * constant(x, LOW32, LOW64)


@strict
def exp_of_sum(x, rest):  # type: ignore[no-untyped-def]
    """e to the power x + rest, where `rest` is what x is short of after rounding: tiny against x."""
    # Below the lower end the result is 0, above the upper end infinity, and these ends give just that.
    x = limited(x, constant(x, -104.0, -745.2), constant(x, 89.0, 709.9))
    n, shifted = rounded(x * constant(x, LOG2E, LOG2E))
    return times_power_of_two(polynomial(remainder(x, n) + rest, EXP32, EXP64), shifted)


@strict
def exp(x):  # type: ignore[no-untyped-def]
    """e to the power x."""
    return exp_of_sum(x, constant(x, 0.0, 0.0))


@strict
def exp_below(x):  # type: ignore[no-untyped-def]
    """(exp(x) - 1, exp(x)) for x <= 0 (as at 0 above), the first with all digits also where exp(x) is almost 1.

    Far below, where the first is -1 to all digits, the second stops falling.
    """
    x = limited(x, constant(x, -50.0, -50.0), constant(x, 0.0, 0.0))
    n, shifted = rounded(x * constant(x, LOG2E, LOG2E))
    r = remainder(x, n)
    rise = r + r * r * polynomial(r, EXPM1_32, EXPM1_64)  # exp(r) - 1
    scale = power_of_two(shifted)
    return scale * rise + (scale - constant(x, 1.0, 1.0)), scale * rise + scale


@strict
def expm1_below(x):  # type: ignore[no-untyped-def]
    """exp(x) - 1 for x <= 0 (above, 0), with all digits also where exp(x) is almost 1."""
    return exp_below(x)[0]


@strict
def tanh(x):  # type: ignore[no-untyped-def]
    """Hyperbolic tangent; exactly odd, exactly +-1 far out, with all digits near 0."""
    one, two, size = constant(x, 1.0, 1.0), constant(x, 2.0, 2.0), abs(x)
    minus, e = exp_below(-two * size)
    # (1 - e) / (1 + e), of which the numerator is known well near 0; further out the distance from 1 is known better.
    near = size < constant(x, 0.55, 0.55)
    quotient = (-minus if near else two * e) / (one + e)
    result = quotient if near else one - quotient
    return -result if x < constant(x, 0.0, 0.0) else result


@strict
def sigmoid_of(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)); exp(-x) may overflow to infinity, which gives the right 0."""
    one = constant(x, 1.0, 1.0)
    return one / (one + exp(-x))


@strict
def log1p_exp(x):  # type: ignore[no-untyped-def]
    """log(1 + exp(x)) without overflow: max(x, 0) + log(1 + e), e = exp(-|x|).

    log(1 + e) is 2 artanh(e / (2 + e)), whose series converges fast here.
    """
    zero, two = constant(x, 0.0, 0.0), constant(x, 2.0, 2.0)
    e = exp(-abs(x))
    s = e / (two + e)
    above = zero if x < zero else x
    return above + two * s * polynomial(s * s, ARTANH32, ARTANH64)


@strict
def normal_share(x):  # type: ignore[no-untyped-def]
    """(P(z <= x) for a standard normal z, exp(-x^2 / 2)), with all digits in the lower tail too."""
    one, middle, half = constant(x, 1.0, 1.0), constant(x, TAIL_MIDDLE, TAIL_MIDDLE), constant(x, -0.5, -0.5)
    zero = constant(x, 0.0, 0.0)
    t = limited(abs(x), zero, constant(x, 15.0, 39.0))
    # The rounding error of x^2 would cost the tail its last digits: the square is taken in two parts.
    head = upper_half(t)
    bell = exp_of_sum(half * head * head, half * (t - head) * (t + head))
    inverse = one / (t + middle)
    tail = bell * (polynomial((t - middle) * inverse, TAIL32, TAIL64) * inverse)
    return (tail if x < zero else one - tail), bell
