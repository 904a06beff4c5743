"""Numbers of 16 bits are those of NumPy and PyTorch, for every bit pattern that matters."""

from pathlib import Path

import numpy as np
import pytest

from layerscope.core.engine import executor, precision
from layerscope.core.engine.kernel import compile_kernels
from layerscope.core.engine.layout import INDICES, ROWS
from layerscope.core.loss_scale import adapt_scale

FILE = Path(__file__).parents[2] / "oracles" / "rounded.npz"
FORMATS = precision.FORMATS


@pytest.fixture(scope="module")
def oracle():
    with np.load(FILE) as file:
        return dict(file)


def call(function, row, arena, statistics, hyper=None):
    """Run one kernel on a minibatch of one sample."""
    address = next(iter(compile_kernels([function], "float32").values()))
    context = np.zeros(INDICES, dtype=np.int64)
    context[ROWS] = 1
    hyper = np.zeros(1) if hyper is None else hyper
    table, nothing = np.array([[0, *row]], dtype=np.int64), np.zeros(1, dtype=np.float32)
    executor.execute(table, np.array([address]), arena, nothing, context, hyper, statistics, 0, 1, 0, 1)


def by_kernel(values, name, function=precision.round_array):
    """(rounded values, underflows, overflows)"""
    arena, counts = values.astype(np.float32), np.array([[5.0, 7.0]])
    call(function, [0, len(values), FORMATS[name], 0], arena, counts)
    return arena, int(counts[0, 0] - 5), int(counts[0, 1] - 7)


def same(found, wanted):
    """Bit for bit, signs of zeros too; one NaN is as good as another."""
    strange = np.isnan(wanted)
    np.testing.assert_array_equal(np.isnan(found), strange)
    np.testing.assert_array_equal(found.view(np.uint32)[~strange], wanted.view(np.uint32)[~strange])


def by_arithmetic(values):
    """The nearest bfloat16 from the definition, in exact float64 arithmetic: 8 significant bits, none below 2^-133."""
    with np.errstate(invalid="ignore", over="ignore"):
        exact = values.astype(np.float64)
        _, exponent = np.frexp(exact)
        unit = np.ldexp(1.0, np.maximum(exponent - 8, -133))
        found = np.rint(exact / unit) * unit
        # halfway beyond the largest number, 255 * 2^120, is where infinity begins
        found = np.where(np.abs(exact) >= 255.5 * 2.0**120, np.copysign(np.inf, exact), found)
        return np.copysign(found, exact).astype(np.float32)


def numpy_half(values):
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return values.astype(np.float16).astype(np.float32)


REFERENCES = {"float16": numpy_half, "bfloat16": by_arithmetic}


def every_number(name):
    """All 65,536 numbers of a format as float32."""
    patterns = np.arange(65536, dtype=np.uint16)
    if name == "float16":
        return patterns.view(np.float16).astype(np.float32)
    return (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)


@pytest.mark.parametrize("name", FORMATS)
def test_every_number_of_a_format_stays_as_it_is(name):
    numbers = every_number(name)
    found, lost, burst = by_kernel(numbers, name)
    same(found, numbers)
    assert (lost, burst) == (0, 0)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("nudge", [-1, 0, 1])
def test_between_any_two_neighbors_the_nearer_wins_and_the_even_one_of_equals(name, nudge):
    numbers = every_number(name)
    finite = np.unique(numbers[np.isfinite(numbers)].astype(np.float64))
    with np.errstate(under="ignore"):
        middle = ((finite[1:] + finite[:-1]) / 2).astype(np.float32)
    values = (middle.view(np.int32) + nudge).view(np.float32)
    found, *_ = by_kernel(values, name)
    same(found, REFERENCES[name](values))


@pytest.mark.parametrize("name", FORMATS)
def test_any_bits_are_rounded_as_the_reference_rounds_them(name):
    draw = np.random.default_rng(16)
    anything = draw.integers(0, 2**32, 1_000_000, dtype=np.uint32)
    tiny = draw.integers(0, 2**24, 100_000, dtype=np.uint32)  # denormal float32 numbers and a few above
    ends = np.array([65503, 65504, 65519.99, 65520, 65536, 2**-24, 2**-25, 2**-26, 3.39e38, 3.4e38, np.inf, np.nan, 0])
    values = np.concatenate([anything.view(np.float32), tiny.view(np.float32), ends.astype(np.float32)])
    values = np.concatenate([values, -values])
    wanted = REFERENCES[name](values)
    found, lost, burst = by_kernel(values, name)
    same(found, wanted)
    same(precision.rounded(values, name), wanted)
    assert lost == np.count_nonzero((values != 0) & (wanted == 0)) > 0
    assert burst == np.count_nonzero(np.isfinite(values) & np.isinf(wanted)) > 0


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_rounded_as_pytorch_rounds_them(oracle, name):
    values, patterns = oracle["bits"].view(np.float32), oracle[name]
    if name == "float16":
        wanted = patterns.view(np.float16).astype(np.float32)
    else:
        wanted = (patterns.astype(np.uint32) << np.uint32(16)).view(np.float32)
    same(by_kernel(values, name)[0], wanted)
    same(by_kernel(values, name, precision.round_values)[0], wanted)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("count", [1, 3, 7, 8, 9, 31, 33])
def test_only_the_numbers_of_the_array_are_rounded(name, count):
    values = np.full(count + 16, 1.0 + 2.0**-20, dtype=np.float32)
    arena = values.copy()
    call(precision.round_array, [8, count, FORMATS[name], -1], arena, np.zeros((1, 1)))
    assert (arena[8 : 8 + count] == 1.0).all()
    assert (arena[:8] == values[0]).all()
    assert (arena[8 + count :] == values[0]).all()


def test_copies_are_rounded_and_masters_stay():
    masters = np.random.default_rng(1).normal(size=37).astype(np.float32)
    arena = np.concatenate([masters, np.zeros(37, dtype=np.float32)])
    call(precision.copy_rounded, [0, 37, 37, FORMATS["float16"]], arena, np.zeros((1, 1)))
    np.testing.assert_array_equal(arena[:37], masters)
    same(arena[37:], numpy_half(masters))


def test_a_small_number_vanishes_beside_a_large_one():
    # what 1e10 + 1e-10 is for 64 bits: the sum of 256 and 1 has nine significant bits
    found, *_ = by_kernel(np.array([256.0 + 1.0, 2048.0 + 1.0]), "bfloat16")
    np.testing.assert_array_equal(found, [256.0, 2048.0])
    found, *_ = by_kernel(np.array([256.0 + 1.0, 2048.0 + 1.0]), "float16")
    np.testing.assert_array_equal(found, [257.0, 2048.0])


def test_a_dynamic_scale_goes_the_way_of_pytorch(oracle):
    arena = np.array([1000.0, 0.0], dtype=np.float32)
    for overflowed, scale in zip(oracle["overflow"], oracle["scale"], strict=True):
        assert arena[0] == np.float32(scale)
        call(adapt_scale, [0, 1, 0, 1, 3], arena, np.zeros((1, 1)), np.array([float(overflowed), 2.5, 0.4]))


def test_a_dynamic_scale_neither_becomes_infinite_nor_zero():
    arena = np.array([2e38, 0.0], dtype=np.float32)
    call(adapt_scale, [0, 1, 0, 1, 1], arena, np.zeros((1, 1)), np.array([0.0, 2.0, 0.5]))
    assert arena[0] == np.float32(2e38)
    for _ in range(300):
        call(adapt_scale, [0, 1, 0, 1, 1], arena, np.zeros((1, 1)), np.array([1.0, 2.0, 0.5]))
    assert arena[0] == np.float32(2.0**-126)
    assert np.isfinite(np.float32(1) / arena[0])
