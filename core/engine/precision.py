"""Numbers of 16 bits, as graphics processors train with: float16 and bfloat16, imitated with float32 numbers.

Every operation computes in float32 and its result is rounded to the nearest number that 16 bits can hold, as the
processors do that add up their products in float32. The two formats share out their bits differently:

              mantissa   largest    smallest normal   smallest   1 + this is not 1
    float16   10 bits    65,504     6.1e-5            6.0e-8     9.8e-4
    bfloat16   7 bits    3.4e38     1.2e-38           9.2e-41    7.8e-3

So float16 loses small gradients to zero (underflow) and large values to infinity (overflow), and bfloat16 loses digits.
What is rounded: the samples, what a layer puts out, every gradient and every share of one, the weights that layers
read. What is not: the inside of an operation (sums, means, the loss from the network's outputs), the running statistics
of normalizations, and what the optimizer and averages remember, all of which mixed-precision training keeps in float32
(Micikevicius et al. 2018, arXiv 1710.03740). Without master weights the weights and running statistics themselves are
rounded after every change.

Ties go to the even neighbor, NaN stays NaN (IEEE 754; numpy.float16 and torch.bfloat16 round in the same way).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .kernel import device, intrinsic, kernel
from .layout import ROWS
from .memory import block

nearest_of_16_bits = intrinsic("nearest_of_16_bits")

# number of a format in a kernel's row
FORMATS: Final = {"float16": 0, "bfloat16": 1}

COUNT_COLUMNS = (
    "activation.underflow",
    "activation.overflow",
    "gradient.underflow",
    "gradient.overflow",
    "weight_gradient.underflow",
    "weight_gradient.overflow",
)
ACTIVATION, GRADIENT, WEIGHT_GRADIENT = 0, 2, 4  # where in them the two counts of each begin


def rounded(values: NDArray[Any], precision: str) -> NDArray[np.float32]:
    """A copy of the values as float32 numbers that `precision`, "float16" or "bfloat16", can hold."""
    single = np.asarray(values, dtype=np.float32)
    if precision == "float16":
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return single.astype(np.float16).astype(np.float32)
    bits = single.view(np.uint32)
    raised = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    nearest = (raised & np.uint32(0xFFFF0000)).view(np.float32)
    return np.where(np.isnan(single), single, nearest)


@device
def rounded_in_place(a, kind):  # type: ignore[no-untyped-def]
    """(how many numbers that were not zero became zero, how many finite ones infinite); `a` is rounded."""
    # Counted in the numbers' own type, which keeps the vectors whole; exact up to 16 million.
    one, nothing, infinite = a.dtype.type(1), a.dtype.type(0), a.dtype.type(np.inf)
    lost, burst = nothing, nothing
    for i in range(a.size):
        before = a[i]
        after = nearest_of_16_bits(before, kind)
        lost += one if (after == nothing) & (before != nothing) else nothing
        burst += one if (abs(after) == infinite) & (abs(before) < infinite) else nothing
        a[i] = after
    return np.float64(lost), np.float64(burst)


@kernel
def round_values(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """What an operation computed becomes numbers of 16 bits; what was lost is added to two columns.

    Row: values, width of a sample's, format, column of the underflows (-1: not counted).
    """
    lost, burst = rounded_in_place(block(arena, row[1], context[ROWS] * row[2]), row[3])
    if row[4] >= 0:
        statistics[row[4]] += lost
        statistics[row[4] + 1] += burst


@kernel
def round_array(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The same for an array that is not one per sample. Row: values, count, format, column of the underflows or -1."""
    lost, burst = rounded_in_place(block(arena, row[1], row[2]), row[3])
    if row[4] >= 0:
        statistics[row[4]] += lost
        statistics[row[4] + 1] += burst


@kernel
def copy_rounded(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The layers' copies of the weights, rounded, from the master copies. Row: masters, copies, count, format."""
    w, copy, kind = block(arena, row[1], row[3]), block(arena, row[2], row[3]), row[4]
    for i in range(w.size):
        copy[i] = nearest_of_16_bits(w[i], kind)


@kernel
def begin_counts(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A layer's counts start at zero. Row: first column, how many."""
    for i in range(row[2]):
        statistics[row[1] + i] = 0.0


@kernel
def take_counts(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A layer that hands on what another one put out, as it is, reports that one's counts. Row: column of the
    underflows there and here.
    """
    statistics[row[2]] = statistics[row[1]]
    statistics[row[2] + 1] = statistics[row[1] + 1]
