"""Probes read the values of a layer in one pass and report a few numbers: the range of the activations, the norm of the
gradient.

Every probe is a kernel that only reads, so a run with probes is bit for bit the run without them. Sums are kept in
float64: squares of gradients as small as 1e-25 vanish in float32, and those are the ones worth seeing. Minimum and
maximum are taken of the numbers' bits, as integers that sort like the floats: a compiler turns that into vector
instructions, which it must not do with floats, where a NaN has to be noticed.
"""

from __future__ import annotations

import math

import numpy as np

from ..engine.kernel import device, intrinsic, kernel
from ..engine.layout import ROWS
from ..engine.memory import block

sortable_bits = intrinsic("sortable_bits")
from_sortable_bits = intrinsic("from_sortable_bits")
magnitude_bits = intrinsic("magnitude_bits")

ACTIVATION_COLUMNS = (
    "activation.min",
    "activation.max",
    "activation.mean",
    "activation.std",
    "activation.rms",
    "activation.zero_fraction",
    "activation.saturated_fraction",
    "activation.nonfinite_fraction",
)
GRADIENT_COLUMNS = ("gradient.rms", "gradient.norm", "gradient.min", "gradient.max", "gradient.zero_fraction")
WEIGHT_COLUMNS = ("weight_gradient.norm", "weight.norm", "update_ratio")
LAYER_COLUMNS = ACTIVATION_COLUMNS + GRADIENT_COLUMNS + WEIGHT_COLUMNS
# Only in networks with blocks: dL/d(input) as far as it comes back through the first layer of one of a block's chains.
SHARE_COLUMNS = ("input_gradient.rms",)
SHARES = 4  # where in a row of `measure_share` the shares begin


@kernel
def measure_activation(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Range, moments and special values of a layer's output.

    Row: values, width, first column, low and high saturation bound in hyper.
    """
    a = block(arena, row[1], context[ROWS] * row[2])
    first = row[3]
    low, high = a.dtype.type(hyper[row[4]]), a.dtype.type(hyper[row[5]])
    least, most, zeros, strange = extremes(a)
    total, squares = 0.0, 0.0
    for i in range(a.size):
        value = np.float64(a[i])
        total += value
        squares += value * value
    saturated = 0.0
    if not (math.isinf(low) and math.isinf(high)):
        one, nothing = a.dtype.type(1), a.dtype.type(0)
        beyond = nothing
        for i in range(a.size):
            beyond += one if (a[i] <= low) | (a[i] >= high) else nothing
        saturated = np.float64(beyond)
    count = a.size
    mean, square = total / count, squares / count
    # Values that hardly differ: the difference of two sums is then mostly rounding, so it is taken of the deviations.
    variance = square - mean * mean
    if variance < 1e-6 * square:
        variance = 0.0
        for i in range(a.size):
            deviation = np.float64(a[i]) - mean
            variance += deviation * deviation
        variance /= count
    statistics[first] = least
    statistics[first + 1] = most
    statistics[first + 2] = mean
    statistics[first + 3] = math.sqrt(variance)
    statistics[first + 4] = math.sqrt(square)
    statistics[first + 5] = zeros / count
    statistics[first + 6] = saturated / count
    statistics[first + 7] = strange / count


@kernel
def measure_gradient(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Size and range of the gradient of the minibatch's mean loss with respect to a layer's output.

    Row: gradient, width, first column.
    """
    g = block(arena, row[1], context[ROWS] * row[2])
    first = row[3]
    least, most, zeros, _ = extremes(g)
    squares = sum_of_squares(g)
    statistics[first] = math.sqrt(squares / g.size)
    statistics[first + 1] = math.sqrt(squares)
    statistics[first + 2] = least
    statistics[first + 3] = most
    statistics[first + 4] = zeros / g.size


@kernel
def measure_share(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Size of what one way through a block hands back to the block's input, where several ways begin.

    Row: column, width, how many shares add up to it, shares.
    """
    count = context[ROWS] * row[2]
    squares = 0.0
    if row[3] == 1:
        squares = sum_of_squares(block(arena, row[SHARES], count))
    else:
        for i in range(count):
            value = 0.0
            for j in range(row[3]):
                value += np.float64(block(arena, row[SHARES + j], count)[i])
            squares += value * value
    statistics[row[1]] = math.sqrt(squares / count)


@kernel
def watch(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Values that are not finite are counted where no other probe looks. Row: values, count (of one sample's), 1 if
    there are so many per sample, count in hyper.
    """
    a = block(arena, row[1], row[2] * (context[ROWS] if row[3] > 0 else 1))
    infinite = magnitude_bits(a.dtype.type(np.inf))
    strange = np.int64(0)
    for i in range(a.size):
        strange += np.int64(magnitude_bits(a[i]) >= infinite)
    hyper[row[4]] += np.float64(strange)


@kernel
def begin_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A sum of squares over all parameters starts at zero. Row: its place in hyper."""
    hyper[row[1]] = 0.0


@kernel
def add_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One array's squares are added to the sum, and its own L2 norm is reported. Row: array, count, column or -1, sum
    in hyper.
    """
    squares = sum_of_squares(block(arena, row[1], row[2]))
    hyper[row[4]] += squares
    if row[3] >= 0:
        statistics[row[3]] = math.sqrt(squares)


@kernel
def end_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """The sum becomes the norm of all parameters together. Row: its place in hyper, how many columns, columns."""
    hyper[row[1]] = math.sqrt(hyper[row[1]])
    for i in range(row[2]):
        statistics[row[3 + i]] = hyper[row[1]]


@kernel
def report_norm(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """A norm is reported under another name too. Row: its place in hyper, column."""
    statistics[row[2]] = hyper[row[1]]


@kernel
def apply_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """w = w - update. Row: w, update, count."""
    w, u = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    for i in range(w.size):
        w[i] -= u[i]


@kernel
def apply_and_measure_update(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """w = w - update, with the norm of w before and the ratio of the norms of update and w; the update's squares are
    added to the sum over all parameters.

    Row: w, update, count, column or -1, sum in hyper.
    """
    w, u = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    weight, update = 0.0, 0.0
    for i in range(w.size):
        weight += np.float64(w[i]) * np.float64(w[i])
        update += np.float64(u[i]) * np.float64(u[i])
        w[i] -= u[i]
    hyper[row[5]] += update
    if row[4] >= 0:
        statistics[row[4]] = math.sqrt(weight)
        statistics[row[4] + 1] = math.sqrt(update) / math.sqrt(weight)


@device
def sum_of_squares(a):  # type: ignore[no-untyped-def]
    total = 0.0
    for i in range(a.size):
        total += np.float64(a[i]) * np.float64(a[i])
    return total


@device
def extremes(a):  # type: ignore[no-untyped-def]
    """(minimum, maximum, zeros, values that are not finite); both extremes are NaN if any value is."""
    least = sortable_bits(a[0])
    most = least
    # Zeros are counted in the numbers' own type, which keeps the vectors whole; exact up to 16 million.
    one, nothing = a.dtype.type(1), a.dtype.type(0)
    zeros = nothing
    for i in range(a.size):
        place = sortable_bits(a[i])
        least = place if place < least else least
        most = place if place > most else most
        zeros += one if a[i] == nothing else nothing
    low, high = np.float64(from_sortable_bits(least)), np.float64(from_sortable_bits(most))
    strange = np.int64(0)
    # A NaN sorts beyond infinity, on the side of its sign bit: the extremes alone tell whether there is one.
    if not (math.isfinite(low) and math.isfinite(high)):
        infinite = magnitude_bits(a.dtype.type(np.inf))
        for i in range(a.size):
            strange += np.int64(magnitude_bits(a[i]) >= infinite)
        if math.isnan(low) or math.isnan(high):
            return np.nan, np.nan, np.float64(zeros), strange
    return low, high, np.float64(zeros), strange
