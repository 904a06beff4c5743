"""A worked equation is a formula, the same formula with the numbers of one step in it, and what they come to.

Every kind of layer, loss, gradient step and average writes its formulas with `Term`s in its own file. A term is three
things at once: symbols, numbers and a value in float64. They are put together by the same operators, so what is
written cannot differ from what is computed; `Equation.found` is what the engine itself computed from the same numbers,
and `Equation.agrees` whether the two are the same but for the engine's rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .text import _

Array = NDArray[Any]

ATOM, POWER, PRODUCT, QUOTIENT, SUM = 4, 3, 2, 1, 0  # how tightly a text holds together
# what comes out, and what the left and the right side have to hold together as: a − (b + c), (a / b) c
SIGNS = {
    "+": (SUM, SUM, SUM),
    "\u2212": (SUM, SUM, QUOTIENT),
    "": (PRODUCT, PRODUCT, PRODUCT),
    "/": (QUOTIENT, PRODUCT, POWER),
}
MOST = 3  # terms of a long sum that are written, the largest
DIGITS = 4
MINUS = "\u2212"
POWERS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

# What rounding may change a result by, in sizes of what went into it; the engine adds up in its own order.
ROUNDING = {"float64": 1e-12, "float32": 2e-5, "float16": 4e-3, "bfloat16": 3e-2}


def text_of(value: float, digits: int = DIGITS) -> str:
    """A number as it stands in an equation: "0.2138", "−1.2·10⁻⁷", "NaN"."""
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    if value == 0.0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if -4 <= exponent < 6:
        text = f"{value:.{max(0, digits - 1 - exponent)}f}"
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace("-", MINUS)
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}·10{str(int(power)).translate(POWERS)}".replace("-", MINUS)


def _wrapped(text: str, level: int, least: int) -> str:
    return text if level >= least else f"({text})"


@dataclass(frozen=True)
class Term:
    """A part of a formula.

    symbols, numbers   as they are written; `tight` and `held` say how tightly each holds together
    value              in float64
    size               of the numbers that went into it: rounding errors are in proportion to that, not to the value
    """

    symbols: str
    numbers: str
    value: float
    size: float
    tight: int = ATOM
    held: int = ATOM

    def _with(self, other: Term, sign: str, value: Any, size: Any) -> Term:
        """Two terms around a sign, in parentheses where it would otherwise tear them apart."""
        level, left, right = SIGNS[sign]
        numbers = _wrapped(other.numbers, other.held, right)
        if numbers.startswith(MINUS):
            numbers = f"({numbers})"
        return Term(
            f"{_wrapped(self.symbols, self.tight, left)}{f' {sign} ' if sign else ' '}"
            f"{_wrapped(other.symbols, other.tight, right)}",
            f"{_wrapped(self.numbers, self.held, left)} {sign or '·'} {numbers}",
            float(value),
            float(size),
            level,
            level,
        )

    def __add__(self, other: Term) -> Term:
        value = np.float64(self.value) + other.value
        return self._with(other, "+", value, self.size + other.size)

    def __sub__(self, other: Term) -> Term:
        value = np.float64(self.value) - other.value
        return self._with(other, MINUS, value, self.size + other.size)

    def __mul__(self, other: Term) -> Term:
        value = np.float64(self.value) * other.value
        return self._with(other, "", value, np.float64(self.size) * other.size)

    def __truediv__(self, other: Term) -> Term:
        value = np.float64(self.value) / other.value
        # A divisor that is a difference of large numbers is as uncertain as they are.
        doubt = np.float64(other.size) / abs(other.value) if other.value else np.float64(1.0)
        return self._with(other, "/", value, np.float64(self.size) / abs(other.value) * max(1.0, doubt))

    def squared(self) -> Term:
        """The square."""
        return Term(
            f"{_wrapped(self.symbols, self.tight, ATOM)}²",
            f"{_wrapped(self.numbers, self.held if not self.numbers.startswith(MINUS) else SUM, ATOM)}²",
            float(np.float64(self.value) ** 2),
            float(np.float64(self.size) ** 2),
            POWER,
            POWER,
        )

    def root(self) -> Term:
        """The square root."""
        value = float(np.sqrt(np.float64(self.value)))
        size = value * max(1.0, self.size / abs(self.value)) if self.value else math.sqrt(self.size)
        return Term(
            f"√{_wrapped(self.symbols, self.tight, ATOM)}",
            f"√{_wrapped(self.numbers, self.held, ATOM)}",
            value,
            size,
            POWER,
            POWER,
        )

    def named(self, symbols: str) -> Term:
        """The same, called by its name from here on: a number in the next formula."""
        return replace(number(symbols, self.value), size=self.size)


def number(symbols: str, value: Any) -> Term:
    """One number of the step."""
    value = float(value)
    text = text_of(value)
    held = SUM if text.startswith(MINUS) else PRODUCT if "·" in text else ATOM
    return Term(symbols, text, value, abs(value), ATOM, held)


def constant(value: float) -> Term:
    """A number of the formula itself, such as the 2 in 2 (y − t)."""
    text = text_of(value)
    return Term(text, text, float(value), abs(float(value)), ATOM, SUM if value < 0 else ATOM)


def function(name: str, value: Any, *given: Term, steepest: float = 1.0) -> Term:
    """A function of terms, "max(0, x)": `name` is "max(0, {})", and `value` what it gives.

    steepest   its largest slope: how much of what is uncertain in the terms it hands on
    """
    value = float(value)
    size = abs(value) + steepest * sum(term.size for term in given)
    held = ATOM if name.endswith((")", "|")) else POWER
    return Term(
        name.format(*(term.symbols for term in given)),
        name.format(*(term.numbers for term in given)),
        value,
        size,
        held,
        held,
    )


def chosen(symbols: str, branch: Term) -> Term:
    """One case of a formula with several: all of it in symbols, in numbers the case that counts here."""
    return replace(branch, symbols=symbols, tight=SUM)


def exponential(x: Term) -> Term:
    value = float(np.exp(np.float64(x.value)))
    return function("exp({})", value, x, steepest=value)


def power(base: Term, name: str, exponent: float) -> Term:
    """The base to a power, whose exponent is called `name`."""
    value = float(np.float64(base.value) ** exponent)
    size = abs(value) * max(1.0, base.size / abs(base.value)) if base.value else 0.0
    return Term(
        f"{_wrapped(base.symbols, base.tight, ATOM)}^{name}",
        f"{_wrapped(base.numbers, base.held, ATOM)}^{text_of(exponent)}",
        value,
        size,
        POWER,
        POWER,
    )


def absolute(x: Term) -> Term:
    return function("|{}|", abs(x.value), x)


def negative(x: Term) -> Term:
    """The term with the other sign."""
    return Term(
        f"{MINUS}{_wrapped(x.symbols, x.tight, PRODUCT)}",
        f"{MINUS}{_wrapped(x.numbers, x.held, PRODUCT)}",
        -x.value,
        x.size,
        SUM,
        SUM,
    )


def largest_of(symbols: str, values: Any) -> Term:
    """The largest of some numbers, of which the first in order of size are written."""
    array = np.asarray(values, dtype=np.float64).ravel()
    order = np.argsort(-np.where(np.isnan(array), np.inf, array), kind="stable")
    texts = [text_of(float(array[index])) for index in order[: MOST + 1]]
    if len(order) > len(texts):
        texts.append(f"… ({len(order) - len(texts)})")
    value = float(np.max(array))
    return Term(symbols, f"max({', '.join(texts)})", value, abs(value), POWER, ATOM)


def sum_of(symbols: str, *factors: Any) -> Term:
    """A sum of products: `factors` are arrays of one length, whose products are added up.

    The largest products are written, and how much the others come to. A NaN comes first.
    """
    arrays = [np.asarray(factor, dtype=np.float64).ravel() for factor in factors]
    products = arrays[0]
    for array in arrays[1:]:
        products = products * array
    return _sum(symbols, products, lambda index: " · ".join(_factor(array[index], len(arrays)) for array in arrays))


def sum_of_squares(symbols: str, values: Any) -> Term:
    """A sum of squares."""
    array = np.asarray(values, dtype=np.float64).ravel()
    return _sum(symbols, array * array, lambda index: _wrapped(text_of(array[index]), _held(array[index]), ATOM) + "²")


def _held(value: float) -> int:
    text = text_of(value)
    return SUM if text.startswith(MINUS) else PRODUCT if "·" in text else ATOM


def _factor(value: float, factors: int) -> str:
    text = text_of(value)
    return f"({text})" if text.startswith(MINUS) and factors > 1 else text


def _sum(symbols: str, products: Array, written: Callable[[int], str]) -> Term:
    magnitude = np.where(np.isnan(products), np.inf, np.abs(products))
    count = len(products) if len(products) <= MOST + 1 else MOST
    largest = np.argpartition(-magnitude, count - 1)[:count] if len(products) > count else np.arange(count)
    shown = largest[np.lexsort((largest, -magnitude[largest]))]
    shown = shown[: max(1, np.count_nonzero(magnitude[shown]))]  # zeros add nothing
    count = len(shown)
    texts = [written(int(index)) for index in shown]
    texts = [f"({text})" if place and text.startswith(MINUS) else text for place, text in enumerate(texts)]
    if len(products) > count:
        rest = products.copy()
        rest[shown] = 0.0
        texts.append(
            _("… ({count} more: {total})").format(count=len(products) - count, total=text_of(float(rest.sum())))
        )
    numbers = " + ".join(texts) if texts else "0"
    held = SUM if len(texts) > 1 or numbers.startswith(MINUS) else PRODUCT
    value, size = float(np.sum(products)), float(np.sum(np.abs(products)))
    return Term(symbols, numbers, value, size, PRODUCT, held)


@dataclass(frozen=True)
class Equation:
    """A name, what it is, and what it came to in this step.

    symbols, numbers   the right side in letters, and with the step's numbers in it
    result             in float64, from the numbers that the engine's memory holds
    found              what the engine computed itself; None where it keeps nothing of it
    size               of the numbers that went into the result, see `Term.size`
    words              one remark, where there is something to say
    """

    name: str
    symbols: str
    numbers: str
    result: float
    size: float
    found: float | None = None
    words: str = ""

    def agrees(self, precision: str) -> bool:
        """Whether the engine came to the same result, but for rounding in this precision."""
        return self.found is None or same(self.result, self.found, self.size, precision)


def same(result: float, found: float, size: float, precision: str) -> bool:
    """Whether two results are the same but for rounding; what is not finite agrees with what is not finite."""
    if not math.isfinite(result) or not math.isfinite(found):
        # beyond the range of the engine's numbers, float64 has still a number
        return not math.isfinite(found) and (not math.isfinite(result) or size > 1e4)
    tiny = 1e-300 if precision == "float64" else 1e-37 if precision != "float16" else 6e-8
    return abs(result - found) <= ROUNDING[precision] * max(size, abs(result)) + tiny


def equation(name: str, term: Term, found: Any = None, words: str = "") -> Equation:
    """What a term comes to, under a name."""
    kept = None if found is None else float(found)
    return Equation(name, term.symbols, term.numbers, term.value, term.size, kept, words)


# --- what kinds are given to write their equations from


@dataclass(frozen=True)
class Values:
    """A value on a wire: `at` is its place in the arena, `values` are (samples, *shape)."""

    at: int
    values: Array


@dataclass(frozen=True)
class LayerSlide:
    """One operation of a layer under the microscope: what it was given, what it left behind, and what is looked at.

    x, y             input (samples, *given) and output (samples, *shape)
    dy               the gradient of the output, (samples, *shape); on the way back only
    shares           what it hands back, in the order in which the layer asked for room: gradients of its input
                     (samples, *given), of a block those of the ends of its chains; on the way back only
    ends             of a block: what its chains put out, in the order of `Layer.inside`; an empty one its input
    parameters       by name, as the layer reads them; also what it computes for a layer that it wraps
    before           the same before the operation: only what a layer keeps up itself differs
    gradients        of the parameters by name, as the layer leaves them
    sample           which sample of the minibatch is looked at, from 0
    unit             which number of the sample's output, counted through all of its shape, from 0
    entry            which of the numbers that lead into that unit, from 0: of its inputs, of a window's pixels
    live             a setting's present value: its name and the one that was declared
    key              of the layer's random stream for a purpose
    step             number of the step
    """

    phase: str
    x: Array
    y: Array
    dy: Array | None
    shares: tuple[Values, ...]
    ends: tuple[Values, ...]
    input_at: int
    parameters: Mapping[str, Array]
    before: Mapping[str, Array]
    gradients: Mapping[str, Array]
    sample: int
    unit: int
    entry: int
    live: Callable[[str, float], float]
    key: Callable[[str], int]
    step: int

    @property
    def given(self) -> tuple[int, ...]:
        return tuple(self.x.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.y.shape[1:])

    def flat(self, values: Array) -> Array:
        """(samples, numbers a sample)."""
        return values.reshape(len(values), -1)

    @property
    def delta(self) -> Array:
        """The gradient of the output, (samples, numbers a sample)."""
        assert self.dy is not None
        return self.flat(self.dy)

    @property
    def dx(self) -> Array | None:
        """What it hands back to its input, (samples, numbers a sample); None where nobody needs it."""
        return self.flat(self.shares[0].values) if self.shares else None

    def place(self, number: int, shape: Sequence[int]) -> str:
        """A number's place as it is written: "[3]", "[2, 5, 1]", counted from 1."""
        return "[" + ", ".join(str(int(i) + 1) for i in np.unravel_index(number, tuple(shape))) + "]"


@dataclass(frozen=True)
class LossSlide:
    """The loss under the microscope.

    z, t      outputs of the network and encoded targets, (samples, width)
    dz        the gradient that it hands back, or on the way forward what it keeps there
    value     the loss of the minibatch, as the engine computed it
    """

    phase: str
    z: Array
    t: Array
    dz: Array
    value: float
    sample: int
    unit: int


@dataclass(frozen=True)
class Moment:
    """What there is about the weights that lead into one unit at one moment of the update, each (inputs,): their
    gradient, the weights, the update that is being put together, and what optimizer or averaging remember, by name.
    """

    gradient: Array
    weights: Array
    update: Array
    slots: Mapping[str, Array]


@dataclass(frozen=True)
class StepSlide:
    """One weight on its way through a link of the chain from gradients to weights.

    before, after   the link has worked on the array of the weight
    index           which of the weights that lead into the unit, from 0
    regularized     whether penalties and decay act on it
    scalars         single numbers that are remembered, as this step has them; `begun` as the step before left them
    rate            the learning rate of the step
    norm            of the gradient of all parameters that the link is given; `layer_norm` of this layer's alone
    live            a setting's present value: its name and the one that was declared
    full            whether this is the last step of an epoch; `epoch` is its number, from 1
    """

    before: Moment
    after: Moment
    index: int
    regularized: bool
    scalars: Mapping[str, float]
    begun: Mapping[str, float]
    rate: float
    norm: Term
    layer_norm: Term
    live: Callable[[str, float], float]
    full: bool = False
    epoch: int = 1

    @property
    def g(self) -> Term:
        return number("g", self.before.gradient[self.index])

    @property
    def w(self) -> Term:
        return number("w", self.before.weights[self.index])

    @property
    def eta(self) -> Term:
        return number("η", self.rate)

    def slot(self, symbols: str, name: str) -> Term:
        """What was remembered of the weight before the link."""
        return number(symbols, self.before.slots[name][self.index])

    def kept(self, name: str) -> float:
        """What the engine remembers of it now."""
        return float(self.after.slots[name][self.index])

    @property
    def new_gradient(self) -> float:
        return float(self.after.gradient[self.index])

    @property
    def new_update(self) -> float:
        return float(self.after.update[self.index])
