"""How large the signal and the gradient should be in every layer of a freshly drawn, very wide network.

A dense layer adds up so many independent random products that its outputs are normally distributed, whatever its
inputs are. So one number per layer, the mean square, says what comes next, and the same bookkeeping on the way back
says how fast the gradient vanishes or explodes. For N inputs, M outputs, weights of variance Var(W), biases of variance
Var(b) and z ~ N(0, 1):

    forward     q = N Var(W) E[a^2] + Var(b)         E[a^2] = E[f(sqrt(q) z)^2]
    backward    E[(dL/dx)^2] = M Var(W) E[(dL/dy)^2]  through the weights
                E[(dL/dh)^2] = E[f'(h)^2] E[(dL/da)^2]  through the function

Sources: Poole et al. 2016 (arXiv 1606.05340), Schoenholz et al. 2017 (arXiv 1611.01232), Hayou et al. 2019 (arXiv
1902.06853), Yang et al. 2019 for batch normalization (arXiv 1902.08129). What is assumed, and where it fails:

* The width is infinite. `Signal.log_variance` says how far one drawn network of finite width may be from it.
* On the way back the weights are taken as independent of those on the way forward. Good in practice.
* All samples are equally long, E[x^2]; real samples differ, which matters little unless the function is strongly
  curved.

Expectations are integrals over z, by Gauss-Legendre panels that end where the function has a kink. (Gauss-Hermite, the
usual choice, is wrong by 1e-3 for ReLU at 100 points: it does not see the kink.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..activations import Activation

if TYPE_CHECKING:
    from ..data.base import Data
    from ..layers.base import Chain
    from ..network import Plan

Array = NDArray[np.float64]
Functions = tuple[tuple[Activation, float], ...]  # applied one after the other, each with its parameter

REACH = 12.0  # standard deviations; the normal density beyond is below 1e-32
POINTS = 32  # of a panel
TINY = 1e-24  # a variance that stands for "in the limit of none"


# --- integrals over a normal number


@lru_cache(maxsize=4)
def _legendre(points: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return 0.5 * (nodes + 1.0), 0.5 * weights


def _apply(functions: Functions, x: Array) -> tuple[Array, Array]:
    """Value and slope of the functions one after the other."""
    value, slope = x, np.ones_like(x)
    with np.errstate(all="ignore"):
        for activation, parameter in functions:
            slope = slope * activation.slope(value, parameter)
            value = activation.value(value, parameter)
    return value, slope


@lru_cache(maxsize=256)
def _landmarks(functions: Functions, largest: float) -> tuple[float, ...]:
    """Inputs x, |x| <= largest, at which panels should end: kinks, and a ladder 0, +-1, +-4, +-16 ...

    The functions bend on the scale of 1. Without the ladder a tanh of large numbers, all but a step, would slip between
    the nodes.
    """
    ladder = [0.0]
    rung = 1.0
    while rung < largest:
        ladder += [rung, -rung]
        rung *= 4.0
    found = set(ladder)
    for position, (activation, _) in enumerate(functions):
        for kink in activation.kinks:
            found.update(_preimages(functions[:position], kink, largest))
    return tuple(sorted(x for x in found if abs(x) <= largest))


def _preimages(functions: Functions, level: float, largest: float) -> list[float]:
    """The inputs at which the functions' value passes `level`."""
    if not functions:
        return [level]
    ends = np.geomspace(1e-6, max(largest, 1e-5), 400)
    grid = np.concatenate((-ends[::-1], [0.0], ends))
    above = _apply(functions, grid)[0] > level
    crossings = []
    for i in np.flatnonzero(above[1:] != above[:-1]):
        low, high, start = grid[i], grid[i + 1], above[i]
        for _ in range(80):
            middle = 0.5 * (low + high)
            if (_apply(functions, np.array([middle]))[0][0] > level) == start:
                low = middle
            else:
                high = middle
        crossings.append(0.5 * (low + high))
    return crossings


def _panels(edges: Array, points: int) -> tuple[Array, Array]:
    """z and weights, density included, (..., panels * points), for panels between sorted edges (..., panels + 1)."""
    nodes, weights = _legendre(points)
    start, length = edges[..., :-1, None], np.diff(edges)[..., None]
    z = start + length * nodes
    w = length * weights * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    flat = (*edges.shape[:-1], -1)
    return z.reshape(flat), w.reshape(flat)


_STEPS = np.array([-REACH, -5.0, -2.0, 0.0, 2.0, 5.0, REACH])  # the scale of the density itself


@dataclass(frozen=True)
class Moments:
    """What is expected of f(x) for a normal x.

    mean, second, fourth   E[f], E[f^2], E[f^4]
    slope_square           E[f'^2]
    slope_fourth           E[f'^4]
    elasticity             d ln E[f^2] / d ln Var(x): 1 for ReLU, below 1 for functions that saturate
    """

    mean: float
    second: float
    fourth: float
    slope_square: float
    slope_fourth: float
    elasticity: float

    @property
    def kurtosis(self) -> float:
        """E[f^4] / E[f^2]^2 - 1: how unequally the units share the signal; 2 for a normal number."""
        # Not second**2: Python's power raises where a product overflows to infinity.
        return self.fourth / self.second / self.second - 1.0 if self.second > 0.0 else 0.0

    @property
    def slope_inequality(self) -> float:
        """E[f'^4] / E[f'^2]^2: how unequally the units pass the gradient on; 1 where all do alike."""
        return self.slope_fourth / self.slope_square / self.slope_square if self.slope_square > 0.0 else 1.0


@lru_cache(maxsize=8192)
def moments(functions: Functions, mean: float, variance: float) -> Moments:
    """Moments of the functions, one after the other, of a number N(mean, variance). All NaN when that is not finite."""
    if not (math.isfinite(mean) and math.isfinite(variance)):
        return Moments(*(math.nan,) * 6)
    if variance == 0.0:
        value, slope = (float(a[0]) for a in _apply(functions, np.array([mean])))
        second, slope_square = value * value, slope * slope
        return Moments(value, second, second * second, slope_square, slope_square * slope_square, 0.0)
    deviation = math.sqrt(variance)
    marks = np.array(_landmarks(functions, _ladder_end(mean, deviation)))
    z, w = _panels(np.union1d(_STEPS, np.clip((marks - mean) / deviation, -REACH, REACH)), POINTS)
    values, slopes = _apply(functions, mean + deviation * z)
    with np.errstate(all="ignore"):
        squares = values * values
        second = float(w @ squares)
        elasticity = 0.5 * (float(w @ (squares * z * z)) / second - 1.0) if second > 0.0 else 0.0
        slope_squares = slopes * slopes
        return Moments(
            mean=float(w @ values),
            second=second,
            fourth=float(w @ (squares * squares)),
            slope_square=float(w @ slope_squares),
            slope_fourth=float(w @ (slope_squares * slope_squares)),
            elasticity=elasticity,
        )


def _ladder_end(mean: float, deviation: float) -> float:
    """The largest |x| that matters, rounded up to a power of four so that landmarks are found once for many layers."""
    return float(4.0 ** math.ceil(math.log(max(abs(mean) + REACH * deviation, 1e-3), 4.0)))


@lru_cache(maxsize=8192)
def pair_moments(functions: Functions, mean: float, variance: float, correlation: float) -> tuple[float, float]:
    """(E[f(x) f(x')], E[f'(x) f'(x')]) for two numbers N(mean, variance) with the given correlation.

    With a shared part, x = mean + sd (sqrt(c) g + sqrt(1 - c) e), the pair is independent once g is known, so that the
    double integral becomes the mean over g of the square of a smoothed function.
    """
    if not (math.isfinite(mean) and math.isfinite(variance) and math.isfinite(correlation)):
        return math.nan, math.nan
    alone = moments(functions, mean, variance)
    shared, own = math.sqrt(abs(correlation)), math.sqrt(max(1.0 - abs(correlation), 1e-14))
    if variance <= 0.0 or (correlation > 0.0 and own < 2e-7):
        return alone.second, alone.slope_square
    deviation = math.sqrt(variance)
    marks = np.array(_landmarks(functions, _ladder_end(mean, deviation)))
    # Rungs that lie within a thousandth of a standard deviation around zero would cost more than they tell.
    marks = marks[(np.abs(marks) > 1e-3 * deviation) | (np.abs(marks) < 1.0)]
    if shared < 1e-9:
        g, w = np.zeros(1), np.ones(1)
    else:
        # The smoothed function bends within a few widths sqrt(1 - c) of each landmark.
        centers = ((marks - mean) / deviation)[:, None] / shared
        around = np.clip(centers + np.array([-6.0, -2.0, 0.0, 2.0, 6.0]) * own / shared, -REACH, REACH).ravel()
        edges = np.union1d(_STEPS, np.concatenate((around, -around)))
        edges = edges[np.concatenate(([True], np.diff(edges) > 1e-12))]
        g, w = _panels(edges, 12)
    inner = np.clip(((marks - mean) / deviation - shared * g[:, None]) / own, -REACH, REACH)
    edges = np.sort(np.concatenate((np.broadcast_to(_STEPS, (g.size, _STEPS.size)), inner), axis=1), axis=1)
    e, v = _panels(edges, 12)
    value, slope = _apply(functions, mean + deviation * (shared * g[:, None] + own * e))
    smooth, smooth_slope = np.sum(v * value, axis=1), np.sum(v * slope, axis=1)
    if correlation >= 0.0:
        return float(w @ smooth**2), float(w @ smooth_slope**2)
    return float(w @ (smooth * smooth[::-1])), float(w @ (smooth_slope * smooth_slope[::-1]))


# --- a signal on its way through a network


@dataclass(frozen=True)
class Law:
    """How one number of a signal is distributed: a normal number that went through functions.

    mean, variance   of the normal number
    shared           E[x x'] of that number in two different samples
    log_variance     how much the variance itself differs between networks drawn alike: Var(ln variance)
    functions        what it went through since
    """

    mean: float
    variance: float
    shared: float
    log_variance: float = 0.0
    functions: Functions = ()

    @property
    def correlation(self) -> float:
        """Of the normal number in two different samples, in [-1, 1]."""
        if not self.variance > 0.0:
            return 1.0
        return min(1.0, max(-1.0, (self.shared - self.mean * self.mean) / self.variance))


@dataclass(frozen=True)
class Inner:
    """A layer inside of a block.

    path       inside of the block: "body.1"
    signal     what is expected of its output
    backward   mean square of dL/d(its output) divided by the mean square of dL/d(the block's output)
    """

    path: str
    signal: Signal
    backward: float


@dataclass(frozen=True)
class Signal:
    """What is expected of the numbers that a layer puts out, over samples, units and drawings of the weights.

    width           numbers per sample
    mean            E[a]
    second_moment   E[a^2]
    shared          E[a a'], the same unit in two different samples: what the samples have in common. The variance over
                    the batch, which batch normalization divides by, is second_moment - shared.
    law             their distribution, for a function that comes next
    backward        of the layer: mean square of dL/d(input) divided by mean square of dL/d(output), both per number
    log_variance    finite width: Var(ln second_moment) over networks drawn alike, for one sample, in first order.
                    Averaging over different samples can only make it smaller.
    backward_log_variance   what this layer adds to the same variance of the gradient's mean square, on its way back;
                    without the part by which q itself differs between networks
    inside          layers inside of this one, when it is a block

    Every method returns the signal behind the next layer and leaves this one as it is.
    """

    width: int
    mean: float
    second_moment: float
    shared: float
    law: Law
    backward: float = 1.0
    log_variance: float = 0.0
    backward_log_variance: float = 0.0
    inside: tuple[Inner, ...] = field(default=())

    @classmethod
    def of_data(cls, width: int, second_moment: float, mean: float = 0.0, shared: float | None = None) -> Signal:
        """The samples themselves. Their distribution is not known; a function right behind them sees them as normal.

        shared   mean product of the same feature in two different samples; the square of the mean when not given
        """
        shared = mean * mean if shared is None else shared
        return cls(width, mean, second_moment, shared, Law(mean, max(second_moment - mean * mean, 0.0), shared))

    @classmethod
    def unknown(cls, width: int) -> Signal:
        """A signal that theory has nothing to say about: all NaN."""
        return cls(width, math.nan, math.nan, math.nan, Law(math.nan, math.nan, math.nan), math.nan, math.nan, math.nan)

    @property
    def variance(self) -> float:
        """Over samples and units together."""
        return max(self.second_moment - self.mean * self.mean, 0.0) if math.isfinite(self.second_moment) else math.nan

    @property
    def std(self) -> float:
        """Standard deviation over samples and units together."""
        return math.sqrt(self.variance)

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return math.sqrt(self.second_moment)

    def through_weights(
        self, fan_in: int, fan_out: int, weight_std: float, bias_variance: float = 0.0, width: int | None = None
    ) -> Signal:
        """Behind weights drawn independently around zero with the given standard deviation.

        fan_in    inputs of one output
        fan_out   outputs that one input feeds
        width     numbers put out per sample, where that is not fan_out (convolution)
        """
        width = fan_out if width is None else width
        scale = fan_in * weight_std * weight_std
        q = scale * self.second_moment + bias_variance
        share = scale * self.second_moment / q if q > 0.0 else 0.0
        drift = share * share * self.log_variance
        shared = scale * self.shared + bias_variance
        return Signal(
            width=width,
            mean=0.0,
            second_moment=q,
            shared=shared,
            law=Law(0.0, q, shared, drift),
            backward=fan_out * weight_std * weight_std,
            log_variance=drift + 2.0 / width,
            backward_log_variance=2.0 / self.width,
        )

    def through_function(self, activation: Activation, parameter: float = 0.0) -> Signal:
        """Behind a function that is applied to every number.

        Exact behind weights, also for several functions in a row: the integral is then over their composition, and the
        factors on the way back have the right product. Behind anything else, such as the data or dropout, the numbers
        are taken as normal with their mean and variance.
        """
        law = replace(self.law, functions=(*self.law.functions, (activation, parameter)))
        now = moments(law.functions, law.mean, law.variance)
        before = moments(self.law.functions, law.mean, law.variance)
        return Signal(
            width=self.width,
            mean=now.mean,
            second_moment=now.second,
            shared=pair_moments(law.functions, law.mean, law.variance, law.correlation)[0],
            law=law,
            backward=now.slope_square / before.slope_square if before.slope_square != 0.0 else 0.0,
            log_variance=now.elasticity * now.elasticity * law.log_variance + now.kurtosis / self.width,
            # The gradient that arrives is a normal number of every unit, whose fourth moment is 3.
            backward_log_variance=3.0 * (now.slope_inequality - before.slope_inequality) / self.width,
        )

    def through_dropout(self, rate: float) -> Signal:
        """Behind dropout in training: each number is zero with probability `rate`, else divided by 1 - rate."""
        kept = 1.0 - rate
        if kept <= 0.0:
            return Signal.unknown(self.width)
        signal = self.becoming(
            mean=self.mean, second_moment=self.second_moment / kept, shared=self.shared, backward=1.0 / kept
        )
        return replace(signal, backward_log_variance=3.0 * (1.0 / kept - 1.0) / self.width)

    def through_batch_norm(self, epsilon: float = 0.0) -> Signal:
        """Behind batch normalization of a large batch: what all samples share is taken away, the rest has variance 1.

        Yang et al. 2019: the gradient's mean square grows by E[f'^2] / Var(f) per layer, pi / (pi - 1) for ReLU. With
        batches below about 30 samples it grows faster still.
        """
        variance = max(self.second_moment - self.shared, 0.0)
        return self._normalized(variance, epsilon, shared=0.0)

    def through_layer_norm(self, epsilon: float = 0.0) -> Signal:
        """Behind layer normalization: mean 0 and variance 1 over the units of each sample."""
        variance = max(self.second_moment - self.mean * self.mean, 0.0)
        scale = variance + epsilon
        shared = (self.shared - self.mean * self.mean) / scale if scale != 0.0 else 0.0
        return self._normalized(variance, epsilon, shared)

    def _normalized(self, variance: float, epsilon: float, shared: float) -> Signal:
        scale = variance + epsilon
        if scale == 0.0:
            return Signal.unknown(self.width)
        signal = self.becoming(mean=0.0, second_moment=variance / scale, shared=shared, backward=1.0 / scale)
        return replace(signal, log_variance=0.0, law=replace(signal.law, log_variance=0.0))

    def plus(self, other: Signal) -> Signal:
        """The sum of two signals that are independent of each other, as at the end of a residual block.

        `backward` of the result is 1, that of the addition.
        """
        total = self.second_moment + other.second_moment + 2.0 * self.mean * other.mean
        weights = [s.second_moment / total if total > 0.0 else 0.0 for s in (self, other)]
        return replace(
            self.becoming(
                mean=self.mean + other.mean,
                second_moment=total,
                shared=self.shared + other.shared + 2.0 * self.mean * other.mean,
                backward=1.0,
            ),
            log_variance=sum(w * w * s.log_variance for w, s in zip(weights, (self, other), strict=True)),
        )

    def scaled(self, factor: float) -> Signal:
        """Every number times a constant."""
        return self.becoming(
            mean=factor * self.mean,
            second_moment=factor * factor * self.second_moment,
            shared=factor * factor * self.shared,
            backward=factor * factor,
        )

    def with_backward(self, backward: float) -> Signal:
        """The same signal behind a layer that passes the gradient on with another factor."""
        return replace(self, backward=backward)

    def unchanged(self) -> Signal:
        """Behind a layer that only gives the numbers another shape."""
        return replace(self, backward=1.0, backward_log_variance=0.0, inside=())

    def becoming(
        self, *, mean: float, second_moment: float, shared: float, backward: float, width: int | None = None
    ) -> Signal:
        """A signal with other moments, its distribution taken as normal; for layers with a rule of their own."""
        law = Law(mean, max(second_moment - mean * mean, 0.0), shared, self.log_variance)
        width = self.width if width is None else width
        return Signal(width, mean, second_moment, shared, law, backward, self.log_variance)


# --- blocks


def side_by_side(signals: Sequence[Signal]) -> Signal:
    """Signals laid next to each other, as at the end of an inception block: moments are means over all numbers.

    `backward` of the result is 1, that of laying them there.
    """
    width = sum(s.width for s in signals)
    shares = [s.width / width for s in signals]

    def mean(numbers: Iterable[float]) -> float:
        return sum(share * number for share, number in zip(shares, numbers, strict=True))

    first, second = signals[0], mean(s.second_moment for s in signals)
    weights = [
        share * s.second_moment / second if second > 0.0 else 0.0 for share, s in zip(shares, signals, strict=True)
    ]
    together = first.becoming(
        mean=mean(s.mean for s in signals),
        second_moment=second,
        shared=mean(s.shared for s in signals),
        backward=1.0,
        width=width,
    )
    # Branches that are distributed alike are so together; other mixtures are taken as normal.
    law = first.law if all(s.law == first.law for s in signals) else together.law
    scatter = sum(w * w * s.log_variance for w, s in zip(weights, signals, strict=True))
    return replace(together, law=law, log_variance=scatter)


def through_chain(signal: Signal, chain: Chain, given: tuple[int, ...]) -> tuple[Signal, tuple[Inner, ...], float]:
    """Behind layers inside of a block: the signal, what is expected of each layer, and the factor by which all of them
    together multiply the gradient's mean square per number.

    given   shape of the block's input. Raises NotImplementedError where theory has no rule for a layer.
    """
    passed: list[tuple[str, Signal]] = []
    for path, layer in chain.members(""):
        shape = layer.output_shape(given)
        signal = layer.mean_field(signal, given)
        passed.append((path.removeprefix("."), signal))
        given = shape
    inner: list[Inner] = []
    backward = 1.0
    for path, at in reversed(passed):
        inner.append(Inner(path, at, backward))
        inner += [Inner(f"{path}.{i.path}", i.signal, i.backward * backward) for i in reversed(at.inside)]
        backward *= at.backward
    return signal, tuple(reversed(inner)), backward


# --- a whole network


@dataclass(frozen=True)
class LayerPrediction:
    """What theory expects of one layer's output before the first training step.

    path               where the layer stands: "0", "2.body.1"
    mean, std, rms     of its output, over samples and units
    gradient_norm      L2 norm of dL/d(output) divided by that of the last layer's output, over the same samples
    log_std            finite width: standard deviation of ln(rms^2) between networks drawn alike, for one sample; a
                       minibatch of different samples averages part of it away
    gradient_log_std   the same of ln(gradient_norm^2)
    gradient_factor    L2 norm of dL/d(input) divided by that of dL/d(output): below 1 the layer makes it vanish
    """

    path: str
    mean: float
    std: float
    rms: float
    gradient_norm: float
    log_std: float
    gradient_log_std: float = 0.0
    gradient_factor: float = math.nan

    def rms_band(self, deviations: float = 2.0) -> tuple[float, float]:
        """The range of rms within `deviations` standard deviations of the logarithm."""
        return _band(self.rms, self.log_std, deviations)

    def gradient_band(self, deviations: float = 2.0) -> tuple[float, float]:
        """The range of the gradient's relative norm within `deviations` standard deviations of the logarithm."""
        return _band(self.gradient_norm, self.gradient_log_std, deviations)


def _band(center: float, log_std: float, deviations: float) -> tuple[float, float]:
    factor = math.exp(min(0.5 * deviations * log_std, 700.0))  # half: the deviation is that of the square
    return center / factor, center * factor


def predict(
    plan: Plan, second_moment: float, mean: float = 0.0, shared: float | None = None
) -> tuple[LayerPrediction, ...]:
    """What to expect of every layer of a network that is laid out, given the mean square of its (scaled) input.

    second_moment, mean   E[x^2] and E[x] over samples and features
    shared                E[x x'] over pairs of different samples, see `Signal.of_data`

    Layers behind one that theory has no rule for (`mean_field` raises NotImplementedError) get NaN; nothing is returned
    for layers from the first impossible one on. Gradients are relative to the last layer returned.
    """
    signal = Signal.of_data(math.prod(plan.shape), second_moment, mean, shared)
    signals: list[tuple[str, Signal]] = []
    for card in plan.cards:
        if "." in card.path:
            continue  # its block speaks for it
        if card.given is None or card.shape is None:
            break
        try:
            signal = card.layer.mean_field(signal, card.given)
        except NotImplementedError:
            signal = Signal.unknown(math.prod(card.shape))
        signals.append((card.path, signal))
    if not signals:
        return ()
    predictions: list[LayerPrediction] = []
    last_width = signals[-1][1].width
    given = {card.path: math.prod(card.given or ()) for card in plan.cards}
    square, scatter = 1.0, 0.0  # mean square of dL/d(output) relative to the last layer's, and its log variance
    for path, signal in reversed(signals):
        predictions.append(_prediction(path, signal, square, scatter, last_width, given[path]))
        for inner in reversed(signal.inside):
            inner_path = f"{path}.{inner.path}"
            square_there = square * inner.backward
            predictions.append(
                _prediction(inner_path, inner.signal, square_there, scatter, last_width, given[inner_path])
            )
        square *= signal.backward
        scatter += signal.backward_log_variance
    return tuple(reversed(predictions))


def predictions_for(plan: Plan, data: Data) -> tuple[LayerPrediction, ...]:
    """What theory expects of a network for these data: it needs the mean, the mean square, and what samples share."""
    x = data.x_train.reshape(len(data.x_train), -1)
    if x.size == 0:
        return ()
    # The mean product of two different samples, without forming all pairs: (|sum|^2 - sum of squares) / (n (n - 1)).
    n, width = x.shape
    squares = float(np.einsum("ij,ij->", x, x))
    total = x.sum(axis=0)
    shared = (float(total @ total) - squares) / (n * (n - 1) * width) if n > 1 else None
    return predict(plan, squares / x.size, float(x.mean()), shared)


def _prediction(
    path: str, signal: Signal, square: float, scatter: float, last_width: int, given: int
) -> LayerPrediction:
    return LayerPrediction(
        path=path,
        mean=signal.mean,
        std=signal.std,
        rms=signal.rms,
        gradient_norm=math.sqrt(square * signal.width / last_width),
        log_std=math.sqrt(signal.log_variance),
        gradient_log_std=math.sqrt(scatter),
        gradient_factor=math.sqrt(signal.backward * given / signal.width),
    )


# --- infinitely many layers of one kind


@dataclass(frozen=True)
class FixedPoint:
    """Where the mean square settles in a deep network of equal layers, and what happens there.

    q              mean square of the pre-activations in the limit; 0 where the signal dies, infinite where it explodes
    chi_1          factor of the gradient's mean square per layer (Schoenholz 2017): it vanishes below 1, explodes above
    chi_parallel   dq'/dq: below 1 a disturbance of q dies out
    """

    q: float
    chi_1: float
    chi_parallel: float

    @property
    def gradient_factor(self) -> float:
        """Factor of the gradient's norm per layer."""
        return math.sqrt(self.chi_1)


def next_q(
    activation: Activation, parameter: float, q: float, weight_variance_times_n: float, bias_variance: float = 0.0
) -> float:
    """The length map: mean square of the next layer's pre-activations (Poole 2016, eq. 3)."""
    return weight_variance_times_n * moments(((activation, parameter),), 0.0, q).second + bias_variance


def susceptibilities(
    activation: Activation, parameter: float, q: float, weight_variance_times_n: float
) -> tuple[float, float]:
    """(chi_1, chi_parallel) for pre-activations of mean square q."""
    at = moments(((activation, parameter),), 0.0, max(q, TINY))
    return weight_variance_times_n * at.slope_square, weight_variance_times_n * at.elasticity * at.second / max(q, TINY)


def fixed_point(
    activation: Activation,
    parameter: float,
    weight_variance_times_n: float,
    bias_variance: float = 0.0,
    start: float = 1.0,
) -> FixedPoint:
    """The fixed point of the length map that a signal of mean square `start` runs into.

    weight_variance_times_n   N Var(W): 1 for LeCun and for Glorot of a square layer, 2 for He

    Where every q is a fixed point (ReLU with He), it is `start`.
    """

    def excess(q: float) -> float:
        return next_q(activation, parameter, q, weight_variance_times_n, bias_variance) - q

    def arrived(q: float) -> FixedPoint:
        return FixedPoint(q, *susceptibilities(activation, parameter, q, weight_variance_times_n))

    first = excess(start)
    if abs(first) <= 1e-12 * start:
        return arrived(start)
    # The length map grows with q, so a signal moves to the next fixed point on the side to which it starts out.
    step = 1.25 if first > 0.0 else 0.8
    near, far = start, start * step
    while excess(far) * first > 0.0:
        near, far = far, far * step
        if far < 1e-12:
            return arrived(0.0)
        if far > 1e12:
            return replace(arrived(far), q=math.inf)
    from scipy.optimize import brentq

    return arrived(float(brentq(excess, min(near, far), max(near, far), xtol=1e-300, rtol=1e-14)))


@dataclass(frozen=True)
class DepthScales:
    """Over how many layers a network of equal layers forgets. All in layers; infinite at the edge of chaos.

    q             a wrong mean square falls by a factor e over this depth
    correlation   the difference between two inputs changes by a factor e; networks deeper than about six of these
                  did not train (Schoenholz 2017)
    gradient      the gradient's mean square falls by a factor e; negative where it grows
    correlation_limit, correlation_slope   where the correlation of two inputs ends, and the slope of its map there
    """

    q: float
    correlation: float
    gradient: float
    correlation_limit: float
    correlation_slope: float

    @property
    def trainable(self) -> float:
        """The depth of six correlation lengths."""
        return 6.0 * self.correlation


def depth_scales(
    activation: Activation, parameter: float, weight_variance_times_n: float, bias_variance: float = 0.0
) -> DepthScales:
    """Depth scales at the fixed point; NaN where the signal dies out or explodes, for then there is none."""
    point = fixed_point(activation, parameter, weight_variance_times_n, bias_variance)
    if not 0.0 < point.q < math.inf:
        return DepthScales(math.nan, math.nan, _depth(point.chi_1), math.nan, math.nan)
    functions: Functions = ((activation, parameter),)

    def excess(correlation: float) -> float:
        product = pair_moments(functions, 0.0, point.q, correlation)[0]
        return (weight_variance_times_n * product + bias_variance) / point.q - correlation

    limit, slope = 1.0, point.chi_1
    if point.chi_1 > 1.0 + 1e-12:
        # Identical inputs drift apart: the limit lies below 1.
        limit = 0.0 if abs(excess(0.0)) < 1e-12 else _root(excess, 0.0, 1.0)
        slope = weight_variance_times_n * pair_moments(functions, 0.0, point.q, limit)[1]
    return DepthScales(_depth(point.chi_parallel), _depth(slope), _depth(point.chi_1), limit, slope)


def _depth(factor: float) -> float:
    if factor <= 0.0:
        return 0.0
    return -1.0 / math.log(factor) if abs(factor - 1.0) > 1e-12 else math.inf


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """A root below `high`, where the function is zero too and negative just before."""
    from scipy.optimize import brentq

    gap = 0.5 * (high - low)
    while function(high - gap) >= 0.0 and gap > 1e-9:
        gap *= 0.5
    return float(brentq(function, low, high - gap, xtol=1e-14, rtol=1e-14)) if gap > 1e-9 else high
