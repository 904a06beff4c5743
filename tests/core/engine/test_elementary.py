"""exp, tanh and relatives: right to the last digits (by 90-digit arithmetic), and compiled to vector instructions."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from layerscope.core.engine import elementary, kernel

Array = NDArray[Any]
INFINITY = float("inf")


def decimal_tanh(x: Decimal) -> Decimal:
    e = (2 * x).exp()
    return (e - 1) / (e + 1)


def decimal_normal_share(x: Decimal) -> Decimal:
    """P(z <= x): a series with positive terms near 0, Laplace's continued fraction further out."""
    t = abs(x)
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803")
    density = (-t * t / 2).exp() / (2 * pi).sqrt()
    if t < 6:
        term = total = t
        odd = 1
        while term > Decimal("1e-75"):
            odd += 2
            term *= t * t / odd
            total += term
        tail = Decimal("0.5") - density * total
    else:
        fraction = t
        for k in range(250, 0, -1):
            fraction = t + k / fraction
        tail = density / fraction
    return tail if x < 0 else 1 - tail


# name: (reference, lowest and highest argument for float32, for float64)
FUNCTIONS: dict[str, tuple[Callable[[Decimal], Decimal], tuple[float, float], tuple[float, float]]] = {
    "exp": (lambda x: x.exp(), (-103.9, 88.7), (-745.0, 709.7)),
    "expm1_below": (lambda x: x.exp() - 1, (-40.0, 0.0), (-60.0, 0.0)),
    "tanh": (decimal_tanh, (-12.0, 12.0), (-25.0, 25.0)),
    "sigmoid_of": (lambda x: 1 / (1 + (-x).exp()), (-88.0, 40.0), (-709.0, 60.0)),
    "log1p_exp": (lambda x: (1 + x.exp()).ln() if x > -90 else x.exp(), (-103.0, 100.0), (-744.0, 800.0)),
    "normal_share": (decimal_normal_share, (-14.0, 9.0), (-38.0, 10.0)),
}
PRECISIONS = [np.float32, np.float64]


@cache
def loop(name: str) -> Any:
    """The function over an array, compiled as a kernel compiles it."""
    kernel.link()
    import numba

    function = getattr(elementary, name)
    if name == "normal_share":

        def over(x, y):  # type: ignore[no-untyped-def]
            for i in range(x.size):
                y[i] = function(x[i])[0]
    else:

        def over(x, y):  # type: ignore[no-untyped-def]
            for i in range(x.size):
                y[i] = function(x[i])

    return numba.njit(error_model="numpy", fastmath=kernel.FASTMATH)(over)


def computed(name: str, x: Any, real: type) -> Array:
    x = np.asarray(x, real)
    y = np.empty_like(x)
    loop(name)(x, y)
    return y


def arguments(low: float, high: float, real: type) -> Array:
    """All over the range, close to zero, tiny, and around the odd halves of ln 2, where the power of two changes."""
    random = np.random.default_rng(3)
    spread = random.uniform(low, high, 400)
    small = random.choice([-1.0, 1.0], 300) * 10.0 ** random.uniform(-9, 0.5, 300)
    edges = (np.arange(-40, 40) + 0.5) * np.log(2.0)
    beside = np.nextafter(edges.astype(real), real(0))
    everything = np.concatenate((spread, small, edges, beside, [low, high, 0.0, 1.0, -1.0, 1e-30, -1e-30])).astype(real)
    return everything[(everything >= low) & (everything <= high)]


def units_in_the_last_place(name: str, real: type) -> tuple[Array, Array]:
    reference, single, double = FUNCTIONS[name]
    x = arguments(*(single if real is np.float32 else double), real)
    found = computed(name, x, real)
    errors = []
    with localcontext() as context:
        context.prec = 90
        for argument, result in zip(x, found, strict=True):
            exact = reference(Decimal(float(argument)))
            unit = np.spacing(np.abs(real(float(exact))))
            errors.append(float((Decimal(float(result)) - exact) / Decimal(float(unit))))
    return x, np.array(errors)


@pytest.mark.parametrize("real", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_to_a_few_units_in_the_last_place(name: str, real: type) -> None:
    x, errors = units_in_the_last_place(name, real)
    worst = int(np.argmax(np.abs(errors)))
    assert abs(errors[worst]) < (8.0 if name == "normal_share" else 3.0), (x[worst], errors[worst])


@pytest.mark.parametrize("real", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_is_never_hidden(name: str, real: type) -> None:
    x = np.linspace(-3.0, 3.0, 67)
    x[[0, 13, 40, 66]] = np.nan, -np.nan, np.nan, np.nan
    assert np.array_equal(np.isnan(computed(name, x, real)), np.isnan(x))


SPECIAL = {
    "exp": [(INFINITY, INFINITY), (-INFINITY, 0.0), (1e4, INFINITY), (-1e4, 0.0), (0.0, 1.0), (-0.0, 1.0)],
    "expm1_below": [(-INFINITY, -1.0), (-1e4, -1.0), (0.0, 0.0), (3.0, 0.0)],
    "tanh": [(INFINITY, 1.0), (-INFINITY, -1.0), (1e30, 1.0), (-20.0, -1.0), (0.0, 0.0)],
    "sigmoid_of": [(INFINITY, 1.0), (-INFINITY, 0.0), (1e30, 1.0), (-1e30, 0.0), (0.0, 0.5)],
    "log1p_exp": [(INFINITY, INFINITY), (-INFINITY, 0.0), (1e30, 1e30), (-1e30, 0.0)],
    "normal_share": [(INFINITY, 1.0), (-INFINITY, 0.0), (1e30, 1.0), (-1e30, 0.0), (0.0, 0.5)],
}


@pytest.mark.parametrize("real", PRECISIONS)
@pytest.mark.parametrize("name", SPECIAL)
def test_infinities_and_far_ends(name: str, real: type) -> None:
    x, expected = zip(*SPECIAL[name], strict=True)
    assert computed(name, x, real).tolist() == [float(real(v)) for v in expected]


def test_overflow_and_underflow_happen_where_they_should() -> None:
    assert computed("exp", [88.72283, 88.72284], np.float32).tolist() == [
        pytest.approx(3.4027997e38, rel=1e-6),
        INFINITY,
    ]
    assert np.isfinite(computed("exp", [709.782712893384], np.float64)).all()
    assert computed("exp", [709.7827128933841], np.float64).tolist() == [INFINITY]
    least = computed("exp", [-103.9], np.float32)[0], computed("exp", [-744.4], np.float64)[0]
    assert least == (np.float32(1e-45), 5e-324)  # denormal numbers
    assert computed("exp", [-104.0], np.float32)[0] == 0.0


@pytest.mark.parametrize("real", PRECISIONS)
def test_tanh_is_exactly_odd_and_never_beyond_one(real: type) -> None:
    x = arguments(0.0, 30.0, real)
    up, down = computed("tanh", x, real), computed("tanh", -x, real)
    assert np.array_equal(up, -down)
    assert np.all(np.abs(up) <= 1.0)
    tiny = np.array([1e-20, 3e-12, 1e-9], real)
    assert computed("tanh", tiny, real) == pytest.approx(tiny, rel=float(np.finfo(real).eps) * 1.5, abs=0.0)


@pytest.mark.parametrize("real", PRECISIONS)
def test_tanh_saturates_where_rounding_says_so(real: type) -> None:
    edge = 9.02 if real is np.float32 else 19.07  # 1 - 2 exp(-2x) rounds to 1 from here on
    assert np.all(computed("tanh", np.linspace(edge, 40.0, 100), real) == 1.0)
    assert computed("tanh", [edge - 0.03], real)[0] < 1.0


@pytest.mark.parametrize("real", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_result_does_not_depend_on_the_place_in_the_array(name: str, real: type) -> None:
    for value in (-1.2345, -0.01, 0.7, 5.4321):
        found = computed(name, np.full(75, value), real)  # the last ones are computed one at a time
        assert np.all(found == found[0])
        assert computed(name, [value], real)[0] == found[0]


@pytest.mark.parametrize("real", PRECISIONS)
def test_the_bell_of_the_normal_density(real: type) -> None:
    kernel.link()
    for x in (0.0, -0.5, 3.3, -9.7, 12.9):
        bell = elementary.normal_share(real(x))[1]
        assert bell == pytest.approx(float(np.exp(-0.5 * np.float64(real(x)) ** 2)), rel=4 * float(np.finfo(real).eps))


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.parametrize(("real", "suffix"), [(np.float32, "ps"), (np.float64, "pd")])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_loop_is_compiled_to_vector_instructions(name: str, real: type, suffix: str) -> None:
    function = loop(name)
    computed(name, [0.5], real)
    array = next(s for s in function.signatures if s[0].dtype.name == real.__name__)
    assembly = function.inspect_asm(array)
    assert len(re.findall(rf"\bv?(?:mul|fm\w+?){suffix}\b|\bvfn?m\w+{suffix}\b", assembly)) >= 5
    assert not re.search(r"call\w*\s+\S*(?:exp|tanh|erf|log)", assembly)
