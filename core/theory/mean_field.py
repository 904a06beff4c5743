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
    from ..network import Card, Plan

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
    third                  E[f^3]
    mean_response          d E[f] / d ln Var(x)
    slope_elasticity       d ln E[f'^2] / d ln Var(x): 0 for ReLU, negative for functions that saturate
    cross                  E[f^2 f'^2] / (E[f^2] E[f'^2]) - 1: whether the units that shout also pass the gradient on
    """

    mean: float
    second: float
    fourth: float
    slope_square: float
    slope_fourth: float
    elasticity: float
    third: float
    mean_response: float
    slope_elasticity: float
    cross: float

    @property
    def kurtosis(self) -> float:
        """E[f^4] / E[f^2]^2 - 1: how unequally the units share the signal; 2 for a normal number."""
        # Not second**2: Python's power raises where a product overflows to infinity.
        return self.fourth / self.second / self.second - 1.0 if self.second != 0.0 else 0.0

    @property
    def slope_inequality(self) -> float:
        """E[f'^4] / E[f'^2]^2: how unequally the units pass the gradient on; 1 where all do alike."""
        return self.slope_fourth / self.slope_square / self.slope_square if self.slope_square != 0.0 else 1.0


@lru_cache(maxsize=8192)
def moments(functions: Functions, mean: float, variance: float) -> Moments:
    """Moments of the functions, one after the other, of a number N(mean, variance). All NaN when that is not finite."""
    if not (math.isfinite(mean) and math.isfinite(variance)):
        return Moments(*(math.nan,) * 10)
    if variance == 0.0:
        value, slope = (float(a[0]) for a in _apply(functions, np.array([mean])))
        second, slope_square = value * value, slope * slope
        return Moments(
            value,
            second,
            second * second,
            slope_square,
            slope_square * slope_square,
            0.0,
            value * second,
            0.0,
            0.0,
            0.0,
        )
    deviation = math.sqrt(variance)
    marks = np.array(_landmarks(functions, _ladder_end(mean, deviation)))
    z, w = _panels(np.union1d(_STEPS, np.clip((marks - mean) / deviation, -REACH, REACH)), POINTS)
    values, slopes = _apply(functions, mean + deviation * z)
    with np.errstate(all="ignore"):
        squares = values * values
        second = float(w @ squares)
        elasticity = 0.5 * (float(w @ (squares * z * z)) / second - 1.0) if second > 0.0 else 0.0
        slope_squares = slopes * slopes
        average, slope_square = float(w @ values), float(w @ slope_squares)
        slope_elasticity = (
            0.5 * (float(w @ (slope_squares * z * z)) / slope_square - 1.0) if slope_square > 0.0 else 0.0
        )
        # One after the other: the product of both may be too small for a float where neither is.
        cross = float(w @ (squares * slope_squares))
        cross = cross / second / slope_square - 1.0 if second > 0.0 and slope_square > 0.0 else 0.0
        return Moments(
            mean=average,
            second=second,
            fourth=float(w @ (squares * squares)),
            slope_square=slope_square,
            slope_fourth=float(w @ (slope_squares * slope_squares)),
            elasticity=elasticity,
            third=float(w @ (squares * values)),
            mean_response=0.5 * (float(w @ (values * z * z)) - average),
            slope_elasticity=slope_elasticity,
            cross=cross,
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
    sensitivity      d ln(variance) / d ln(variance at the beginning of the network, or of the branch of a block)
    """

    mean: float
    variance: float
    shared: float
    log_variance: float = 0.0
    functions: Functions = ()
    sensitivity: float = 1.0

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
    inside          layers inside of this one, when it is a block

    How much a drawn network of finite width differs from all that, to first order in 1 / width and for one sample
    (averaging over different samples can only make it less). With d the deviation of ln(law.variance), whose variance
    is law.log_variance, and e the chance in which units this layer has, the deviation of ln(second_moment) is

        response d + e,    Var(e) = own

    units       that are drawn independently: the channels of an image; `width` when None
    samples     of a minibatch, for batch normalization; very many when None
    carry, share, fresh   where d comes from: d = carry d' + share e' + chance of variance fresh - share^2 own', where '
                    marks the signal before the layer
    drift, grip, backward_log_variance   the deviation of ln(backward) is drift d' + grip e' + chance of that variance
    cross       covariance of the chance in ln(backward) with e
    edges       variances of mean - std and of mean + std, where that is not all due to d and e
    apart       of the functions before: how far their values in two samples come apart, by how steep they are, and what
                their slopes have in common: (E[f^2] - E[f f']) / (variance E[s^2]) and E[s s'] / E[s^2] for values f,
                f' and slopes s, s'; None where it is not known. Batch normalization of few samples asks for it.
    why         why theory has nothing to say, a sentence; "" where it has, or where the layer before is the reason
    """

    width: int
    mean: float
    second_moment: float
    shared: float
    law: Law
    backward: float = 1.0
    response: float = 1.0
    own: float = 0.0
    units: int | None = None
    samples: int | None = None
    carry: float = 1.0
    share: float = 0.0
    fresh: float = 0.0
    drift: float = 0.0
    grip: float = 0.0
    backward_log_variance: float = 0.0
    cross: float = 0.0
    edges: tuple[float, float] | None = None
    apart: tuple[float, float] | None = None
    inside: tuple[Inner, ...] = field(default=())
    why: str = ""

    @classmethod
    def of_data(
        cls,
        width: int,
        second_moment: float,
        mean: float = 0.0,
        shared: float | None = None,
        log_variance: float = 0.0,
        samples: int | None = None,
    ) -> Signal:
        """The samples themselves. Their distribution is not known; a function right behind them sees them as normal.

        shared         mean product of the same feature in two different samples; the square of the mean when not given
        log_variance   how much the mean square of a minibatch differs from `second_moment`: Var(ln)
        samples        of a minibatch
        """
        shared = mean * mean if shared is None else shared
        law = Law(mean, max(second_moment - mean * mean, 0.0), shared, log_variance)
        return cls(width, mean, second_moment, shared, law, samples=samples)

    @classmethod
    def unknown(cls, width: int, backward: float = math.nan, units: int | None = None, why: str = "") -> Signal:
        """A signal that theory has nothing to say about: all NaN, but for `backward` where that is known."""
        law = Law(math.nan, math.nan, math.nan, math.nan)
        certain = 0.0 if math.isfinite(backward) else math.nan
        return cls(
            width,
            math.nan,
            math.nan,
            math.nan,
            law,
            backward,
            own=math.nan,
            units=units,
            backward_log_variance=certain,
            why=why,
        )

    @property
    def log_variance(self) -> float:
        """Finite width: Var(ln second_moment) over networks drawn alike, for one sample, in first order."""
        return self.response * self.response * self.law.log_variance + self.own

    @property
    def sensitivity(self) -> float:
        """d ln(second_moment) / d ln(variance at the beginning of the network, or of the branch of a block)."""
        return self.response * self.law.sensitivity

    @property
    def independent(self) -> int:
        """How many units are drawn independently."""
        return self.width if self.units is None else self.units

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

    @property
    def edge_variances(self) -> tuple[float, float]:
        """Variances of mean - std and mean + std over networks drawn alike, in first order."""
        if self.edges is not None:
            return self.edges
        # All numbers larger or smaller together, as if the scale were all that is uncertain.
        quarter = 0.25 * self.log_variance
        return quarter * (self.mean - self.std) ** 2, quarter * (self.mean + self.std) ** 2

    def through_weights(
        self,
        fan_in: int,
        fan_out: int,
        weight_std: float,
        bias_variance: float = 0.0,
        width: int | None = None,
        fitted: bool = False,
        units: int | None = None,
        units_back: int | None = None,
    ) -> Signal:
        """Behind weights drawn independently around zero with the given standard deviation.

        fan_in    inputs of one output
        fan_out   outputs that one input feeds
        width     numbers put out per sample, where that is not fan_out (convolution)
        fitted    the weights were divided by the rms of what this very network puts out (LSUV)
        units     that are drawn independently, where that is not `width` (channels of a convolution)
        units_back   the same of the gradient that leaves, where that is not the width of the input
        """
        width = fan_out if width is None else width
        units = width if units is None else units
        scale = fan_in * weight_std * weight_std
        # Weights that are all zero put out their biases, whatever arrives, even the unknown.
        from_input = scale * self.second_moment if scale != 0.0 else 0.0
        q = from_input + bias_variance
        shared = (scale * self.shared if scale != 0.0 else 0.0) + bias_variance
        share = carry = fresh = drift = 0.0
        if fitted:
            fresh = drift = FITTED_LOG_VARIANCE
            q = 1.0 + bias_variance if math.isnan(q) else q
        elif from_input > 0.0:
            share = from_input / q
            fresh, carry = share * share * self.own, share * self.response
            drift = carry * carry * self.law.log_variance + fresh
        # The mean over the units scatters like a mean of normal numbers, the spread like a chi.
        edge = q / units + 0.25 * q * (drift + 2.0 / units)
        return Signal(
            width=width,
            mean=0.0,
            second_moment=q,
            shared=shared,
            law=Law(0.0, q, shared, drift, (), carry * self.law.sensitivity),
            backward=fan_out * weight_std * weight_std,
            own=2.0 / units,
            units=units,
            samples=self.samples,
            carry=carry,
            share=share,
            fresh=fresh,
            drift=-self.response if fitted else 0.0,
            grip=-1.0 if fitted else 0.0,
            backward_log_variance=2.0 / (self.width if units_back is None else units_back)
            + (self.own if fitted else 0.0),
            edges=(edge, edge),
            apart=self.apart,
        )

    def through_function(self, activation: Activation, parameter: float = 0.0) -> Signal:
        """Behind a function that is applied to every number.

        Exact behind weights, also for several functions in a row: the integral is then over their composition, and the
        factors on the way back have the right product. Behind anything else, such as the data or dropout, the numbers
        are taken as normal with their mean and variance.
        """
        law = replace(self.law, functions=(*self.law.functions, (activation, parameter)))
        if math.isnan(law.variance) and law.mean == 0.0 and all(_homogeneous(f, p) for f, p in law.functions):
            # Of numbers around zero ReLU passes the gradient of one half, however large they are.
            now, before = (moments(f, 0.0, 1.0) for f in (law.functions, self.law.functions))
            unknown = Signal.unknown(self.width, now.slope_square / before.slope_square, self.units)
            unknown = replace(unknown, samples=self.samples)
            noise = 3.0 * (now.slope_inequality - before.slope_inequality) / self.independent
            return replace(unknown, law=law, backward_log_variance=noise)
        now = moments(law.functions, law.mean, law.variance)
        before = moments(self.law.functions, law.mean, law.variance)
        units = self.independent
        # Nobody asks what samples share where nothing is known of it.
        shared, slopes = math.nan, math.nan
        if not math.isnan(law.shared):
            shared, slopes = pair_moments(law.functions, law.mean, law.variance, law.correlation)
        steepness = law.variance * now.slope_square
        apart = ((now.second - shared) / steepness, slopes / now.slope_square) if steepness > 0.0 else None
        signal = Signal(
            width=self.width,
            mean=now.mean,
            second_moment=now.second,
            shared=shared,
            apart=apart,
            law=law,
            backward=now.slope_square / before.slope_square if before.slope_square != 0.0 else 0.0,
            response=now.elasticity,
            own=now.kurtosis / units,
            units=self.units,
            samples=self.samples,
            drift=now.slope_elasticity - before.slope_elasticity,
            # The gradient that arrives is a normal number of every unit, whose fourth moment is 3.
            backward_log_variance=3.0 * (now.slope_inequality - before.slope_inequality) / units,
            cross=now.cross / units,
        )
        return replace(signal, edges=_edge_variances(now, law.log_variance, units))

    def through_dropout(self, rate: float) -> Signal:
        """Behind dropout in training: each number is zero with probability `rate`, else divided by 1 - rate."""
        kept = 1.0 - rate
        if kept <= 0.0:
            return replace(Signal.unknown(self.width), samples=self.samples)
        signal = self.becoming(
            mean=self.mean, second_moment=self.second_moment / kept, shared=self.shared, backward=1.0 / kept
        )
        kurtosis = moments(self.law.functions, self.law.mean, self.law.variance).kurtosis
        lost = (kurtosis + 1.0) * (1.0 / kept - 1.0) / self.width
        return replace(
            signal,
            fresh=signal.fresh + lost,
            law=replace(signal.law, log_variance=signal.law.log_variance + lost),
            backward_log_variance=3.0 * (1.0 / kept - 1.0) / self.width,
        )

    def through_batch_norm(self, epsilon: float = 0.0, places: int = 1) -> Signal:
        """Behind batch normalization: what all samples share is taken away, the rest has variance 1.

        places   of an image, over which it averages too

        Yang et al. 2019: the gradient's mean square grows by E[f'^2] / Var(f) per layer, pi / (pi - 1) for ReLU, where
        B = samples * places is large. Else it grows faster (equation 25), in a linear network by (B - 2) / (B - 3): two
        directions of B are taken out of the gradient, and the mean of 1 / variance is that of a chi-square number of
        B - 1 degrees of freedom. Exact for ReLU; other functions see a batch as normal numbers that it is not quite.
        There is no such mean for B <= 3. Behind it the samples add up to zero: any two have -1 / (B - 1) in common.
        """
        variance = self.second_moment - self.shared
        variance = variance if math.isnan(variance) else max(variance, 0.0)
        if self.samples is None:
            return self._normalized(variance, epsilon, shared=0.0)
        count = self.samples * places
        if count < 2:
            return self._normalized(0.0, epsilon, shared=0.0).with_backward(math.nan)
        signal = self._normalized((1.0 - 1.0 / count) * variance, epsilon, shared=0.0)
        signal = signal.sharing(-signal.second_moment / (count - 1))
        if count <= 3:
            return signal.with_backward(math.nan)
        apart, alike = self.apart if self.apart is not None else (count / (count - 1), 1.0)
        lost = (count - 1) * (count - 1 + alike - apart) / (count * (count - 3))
        return signal.with_backward(signal.backward * lost)

    def through_layer_norm(self, epsilon: float = 0.0) -> Signal:
        """Behind layer normalization: mean 0 and variance 1 over the units of each sample."""
        variance = max(self.second_moment - self.mean * self.mean, 0.0) if self.known else math.nan
        scale = variance + epsilon
        shared = (self.shared - self.mean * self.mean) / scale if scale != 0.0 else 0.0
        return self._normalized(variance, epsilon, shared)

    @property
    def known(self) -> bool:
        """Whether theory says anything about the numbers."""
        return not math.isnan(self.second_moment)

    def _normalized(self, variance: float, epsilon: float, shared: float) -> Signal:
        scale = variance + epsilon
        if scale == 0.0:
            return replace(Signal.unknown(self.width), samples=self.samples)
        # Whatever arrives, what leaves has mean 0 and variance 1; only the way back needs to know what arrived.
        after = 1.0 if math.isnan(variance) else variance / scale
        signal = self.becoming(mean=0.0, second_moment=after, shared=shared, backward=1.0 / scale)
        return replace(
            signal,
            carry=0.0,
            share=0.0,
            fresh=0.0,
            drift=-self.response,
            grip=-1.0,
            backward_log_variance=self.own,
            law=replace(signal.law, log_variance=0.0, sensitivity=0.0),
            edges=(0.0, 0.0),
        )

    def plus(self, other: Signal) -> Signal:
        """The sum of two signals that are independent of each other, as at the end of a residual block.

        `backward` of the result is 1, that of the addition.
        """
        total = self.second_moment + other.second_moment + 2.0 * self.mean * other.mean
        weights = [s.second_moment / total if total > 0.0 else 0.0 for s in (self, other)]
        together = self.becoming(
            mean=self.mean + other.mean,
            second_moment=total,
            shared=self.shared + other.shared + 2.0 * self.mean * other.mean,
            backward=1.0,
        )
        return together._scattered((self, other), weights)

    def _scattered(self, parts: Sequence[Signal], weights: Sequence[float], common: float = 0.0) -> Signal:
        """The same signal, made of parts with the given shares of the mean square, with the finite width of them.

        common   variance of what deviates in all parts together, each times its sensitivity: of what enters a block
        """
        sensitivity = sum(w * s.sensitivity for w, s in zip(weights, parts, strict=True))
        apart = sum(
            w * w * (s.log_variance - s.sensitivity * s.sensitivity * common)
            for w, s in zip(weights, parts, strict=True)
        )
        law = replace(
            self.law, log_variance=sensitivity * sensitivity * common + apart, sensitivity=sensitivity, functions=()
        )
        return replace(self, law=law, response=1.0, own=0.0, carry=sensitivity, share=0.0, fresh=apart, edges=None)

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

    def sharing(self, shared: float) -> Signal:
        """The same signal, of which two different samples have so much in common, see `shared`."""
        return replace(self, shared=shared, law=replace(self.law, shared=shared))

    def unchanged(self) -> Signal:
        """Behind a layer that only gives the numbers another shape."""
        return replace(
            self,
            backward=1.0,
            backward_log_variance=0.0,
            carry=1.0,
            share=0.0,
            fresh=0.0,
            drift=0.0,
            grip=0.0,
            cross=0.0,
            inside=(),
            why="",
        )

    def becoming(
        self, *, mean: float, second_moment: float, shared: float, backward: float, width: int | None = None
    ) -> Signal:
        """A signal with other moments, its distribution taken as normal; for layers with a rule of their own."""
        variance = second_moment - mean * mean
        variance = variance if math.isnan(variance) else max(variance, 0.0)
        law = Law(mean, variance, shared, self.log_variance, (), self.sensitivity)
        return Signal(
            self.width if width is None else width,
            mean,
            second_moment,
            shared,
            law,
            backward,
            units=self.units if width is None else None,
            samples=self.samples,
            carry=self.response,
            share=1.0,
            fresh=self.own,
        )


FITTED_LOG_VARIANCE = 0.1**2 / 3.0  # LSUV is content with a variance within 0.1 of 1, taken as uniform in there


def _homogeneous(activation: Activation, parameter: float) -> bool:
    """Whether f(s x) = s f(x) for every s > 0, as for ReLU: its slope then knows the sign of x only."""
    x = np.array([-3.0, -0.5, 0.5, 3.0])
    value, twice = (activation.value(v, parameter) for v in (x, 2.0 * x))
    return bool(np.allclose(twice, 2.0 * value, rtol=1e-12, atol=0.0))


def _edge_variances(at: Moments, log_variance: float, units: int) -> tuple[float, float]:
    """Variances of mean - std and of mean + std, over drawn networks of that many units: to first order in both the
    scale, Var(ln variance) = `log_variance`, and the chance in which units there are.
    """
    variance = at.second - at.mean * at.mean
    if not variance > 0.0:
        return (0.0, 0.0) if variance <= 0.0 else (math.nan, math.nan)
    std = math.sqrt(variance)
    # Of the mean, in units of std, and of the mean square, in units of the variance: their responses to the scale, and
    # their variances and covariance. (Products, not powers: Python's power raises where one overflows.)
    mean_response, second_response = at.mean_response / std, at.elasticity * at.second / variance
    first = mean_response * mean_response * log_variance + 1.0 / units
    chance = (at.fourth - at.second * at.second) / variance / variance
    second = second_response * second_response * log_variance + max(chance, 0.0) / units
    chance = (at.third - at.mean * at.second) / variance / std
    both = mean_response * second_response * log_variance + chance / units
    found = []
    for sign in (-1.0, 1.0):
        of_mean, of_second = 1.0 - sign * at.mean / std, sign * 0.5
        square = of_mean * of_mean * first + of_second * of_second * second + 2.0 * of_mean * of_second * both
        found.append(max(square, 0.0) * variance)
    return found[0], found[1]


# --- blocks


@dataclass(frozen=True)
class Passage:
    """What is expected of layers one after the other.

    signal     behind the last of them
    inside     each of them, data first
    backward   by what all together multiply the gradient's mean square per number
    drift      d ln(backward) / d ln(variance that enters)
    backward_log_variance   the chance in ln(backward) beside that
    """

    signal: Signal
    inside: tuple[Inner, ...]
    backward: float = 1.0
    drift: float = 0.0
    backward_log_variance: float = 0.0

    @classmethod
    def around(cls, signal: Signal) -> Passage:
        """Behind no layer at all: what enters leaves."""
        return cls(replace(signal, law=replace(signal.law, sensitivity=1.0)), ())


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
    together = replace(together._scattered(signals, weights), units=sum(s.independent for s in signals))
    # Branches that are distributed alike are so together; other mixtures are taken as normal.
    if all(
        (s.law.mean, s.law.variance, s.law.functions) == (first.law.mean, first.law.variance, first.law.functions)
        for s in signals
    ):
        of_law = replace(first.law, log_variance=together.law.log_variance, sensitivity=together.law.sensitivity)
        return replace(together, law=of_law)
    return together


def block(entry: Signal, out: Signal, ways: Sequence[Passage], weights: Sequence[float]) -> Signal:
    """A block in which ways part and meet again.

    entry     the signal that enters every way
    out       what leaves, moments and distribution
    ways      with `backward` as the gradient behind the block sees them
    weights   the share of each way in the mean square of `out`
    """
    backward = sum(way.backward for way in ways)
    parts = [way.backward / backward if backward > 0.0 else 0.0 for way in ways]
    signal = out._scattered([way.signal for way in ways], weights, entry.law.log_variance)
    return replace(
        signal,
        law=replace(signal.law, functions=out.law.functions, sensitivity=signal.carry * entry.law.sensitivity),
        backward=backward,
        drift=sum(part * way.drift for part, way in zip(parts, ways, strict=True)),
        backward_log_variance=sum(
            part * part * way.backward_log_variance for part, way in zip(parts, ways, strict=True)
        ),
        inside=tuple(inner for way in ways for inner in way.inside),
    )


def through_chain(signal: Signal, chain: Chain, given: tuple[int, ...]) -> Passage:
    """Behind layers inside of a block.

    given   shape of the block's input. Raises NotImplementedError where theory has no rule for a layer.
    """
    signal = Passage.around(signal).signal
    passed: list[tuple[str, Signal]] = []
    for path, layer in chain.members(""):
        shape = layer.output_shape(given)
        signal = layer.mean_field(signal, given)
        passed.append((path.removeprefix("."), signal))
        given = shape
    back = _BackThrough()
    inner: list[Inner] = []
    for path, at in reversed(passed):
        inner.append(Inner(path, at, back.square))
        inner += [Inner(f"{path}.{i.path}", i.signal, i.backward * back.square) for i in reversed(at.inside)]
        back.cross(at)
    return Passage(signal, tuple(reversed(inner)), back.square, back.slope, back.noise)


class _BackThrough:
    """The gradient on its way back, from the last of some layers on.

    square   its mean square per number, relative to that behind the last layer
    slope    by how much ln(square) changes with the deviation d of the signal here (see `Signal`)
    noise    variance of ln(square) that comes from further back
    """

    def __init__(self) -> None:
        self.square, self.slope, self.noise = 1.0, 0.0, 0.0
        self._waiting = 0.0  # twice what multiplies the chance of the function's units further on

    def scatter(self, at: Signal) -> float:
        """Var(ln square) behind the layer with the output `at`."""
        drift = self.slope * self.slope * at.law.log_variance if self.slope != 0.0 else 0.0
        return max(self.noise + drift, 0.0) if math.isfinite(self.noise + drift) else math.nan

    def cross(self, at: Signal) -> None:
        """Go through the layer with the output `at`."""
        fresh = self.slope * self.slope * at.fresh if self.slope != 0.0 else 0.0
        self.noise += at.backward_log_variance + fresh
        if at.cross != 0.0:
            self.noise += self._waiting * at.cross
            self._waiting = 0.0
        if at.share != 0.0 or at.grip != 0.0:
            self._waiting = 2.0 * (self.slope * at.share + at.grip)
            # What the layer's own gradient factor and its output have of the same chance.
            self.noise += 2.0 * self.slope * at.share * at.grip * (at.fresh / at.share**2 if at.share else 0.0)
        self.slope = at.drift + (self.slope * at.carry if self.slope != 0.0 else 0.0)
        self.square *= at.backward


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
    edge_stds          standard deviations of mean - std and of mean + std between networks drawn alike
    why                why theory has nothing to say about the layer: a sentence; "" where it has
    """

    path: str
    mean: float
    std: float
    rms: float
    gradient_norm: float
    log_std: float
    gradient_log_std: float = 0.0
    gradient_factor: float = math.nan
    edge_stds: tuple[float, float] = (math.nan, math.nan)
    why: str = ""

    def rms_band(self, deviations: float = 2.0) -> tuple[float, float]:
        """The range of rms within `deviations` standard deviations of the logarithm."""
        return _band(self.rms, self.log_std, deviations)

    def gradient_band(self, deviations: float = 2.0) -> tuple[float, float]:
        """The range of the gradient's relative norm within `deviations` standard deviations of the logarithm."""
        return _band(self.gradient_norm, self.gradient_log_std, deviations)

    def edge_bands(self, deviations: float = 2.0) -> tuple[tuple[float, float], tuple[float, float]]:
        """The ranges of mean - std and of mean + std: the spread is stretched and shrunk, so that it stays positive."""
        if not self.std > 0.0:
            edge = self.mean if self.std == 0.0 else math.nan
            return (edge, edge), (edge, edge)
        below, above = (_band(self.std, 2.0 * s / self.std, deviations) for s in self.edge_stds)
        return (self.mean - below[1], self.mean - below[0]), (self.mean + above[0], self.mean + above[1])


def _band(center: float, log_std: float, deviations: float) -> tuple[float, float]:
    factor = math.exp(min(0.5 * deviations * log_std, 700.0))  # half: the deviation is that of the square
    return center / factor, center * factor


def predict(
    plan: Plan,
    second_moment: float,
    mean: float = 0.0,
    shared: float | None = None,
    *,
    log_variance: float = 0.0,
    samples: int | None = None,
) -> tuple[LayerPrediction, ...]:
    """What to expect of every layer of a network that is laid out, given the mean square of its (scaled) input.

    second_moment, mean   E[x^2] and E[x] over samples and features
    shared                E[x x'] over pairs of different samples, see `Signal.of_data`
    log_variance, samples   how much the mean square of a minibatch differs from `second_moment`, and its size

    A layer that theory has no rule for (`mean_field` raises NotImplementedError) gets NaN and says why; so do layers
    behind it, until one that makes its outputs what they are whatever arrives, such as batch normalization. Nothing is
    returned for layers from the first impossible one on. Gradients are relative to the last layer returned.
    """
    signal = Signal.of_data(math.prod(plan.shape), second_moment, mean, shared, log_variance, samples)
    signals: list[tuple[str, Signal]] = []
    reasons: dict[str, str] = {}
    why = ""
    for card in plan.cards:
        if "." in card.path:
            continue  # its block speaks for it
        if card.given is None or card.shape is None:
            break
        try:
            signal = card.layer.mean_field(signal, card.given)
        except NotImplementedError as error:
            signal = replace(Signal.unknown(math.prod(card.shape), why=str(error)), samples=samples)
        if not signal.known:
            reasons[card.path] = why = signal.why or why
        signals.append((card.path, signal))
    if not signals:
        return ()
    predictions: list[LayerPrediction] = []
    last_width = signals[-1][1].width
    given = {card.path: math.prod(card.given or ()) for card in plan.cards}
    back = _BackThrough()
    for path, signal in reversed(signals):
        scatter = back.scatter(signal)
        at = _prediction(path, signal, back.square, scatter, last_width, given[path])
        predictions.append(replace(at, why=reasons[path]) if path in reasons else at)
        for inner in reversed(signal.inside):
            inner_path = f"{path}.{inner.path}"
            square_there = back.square * inner.backward
            predictions.append(
                _prediction(inner_path, inner.signal, square_there, scatter, last_width, given[inner_path])
            )
        back.cross(signal)
    return tuple(reversed(predictions))


LENGTHS = 6  # groups into which samples are sorted by their length
ALIKE = 1e-3  # an inequality of lengths below which all are taken as one


def predictions_for(plan: Plan, data: Data, batch_size: int = 64) -> tuple[LayerPrediction, ...]:
    """What theory expects of a network for these data, in minibatches of a size.

    It needs the data's mean, mean square, and what samples share. Where samples are of different lengths, it follows
    groups of about equal ones, and takes the mean over the groups; not where the network compares samples with one
    another on their way (batch normalization, weights fitted to the data).
    """
    x = data.x_train.reshape(len(data.x_train), -1)
    if x.size == 0:
        return ()
    # The mean product of two different samples, without forming all pairs: (|sum|^2 - sum of squares) / (n (n - 1)).
    n, width = x.shape
    lengths = np.einsum("ij,ij->i", x, x) / width
    squares, total = float(lengths.mean()), x.sum(axis=0)
    shared = (float(total @ total) / width - n * squares) / (n * (n - 1)) if n > 1 else None
    inequality = float(lengths.var()) / squares / squares if squares > 0.0 else 0.0
    mean = float(x.mean())
    samples = max(1, min(batch_size, n))
    whole = predict(plan, squares, mean, shared, log_variance=inequality / samples, samples=samples)
    if inequality < ALIKE or not math.isfinite(inequality) or any(map(_compares, plan.cards)):
        return whole
    parts = []
    for group in np.array_split(np.sort(lengths), min(LENGTHS, n)):
        square = float(group.mean())
        parts.append((len(group) / n, predict(plan, square, mean * math.sqrt(square / squares), math.nan)))
    return tuple(_mean_of([(weight, part[index]) for weight, part in parts], at) for index, at in enumerate(whole))


def _compares(card: Card) -> bool:
    """Whether what a layer puts out for one sample depends on the others, or did when its weights were fitted."""
    return card.layer.compares_samples or any(p.scales_output for p in card.parameters)


def _mean_of(parts: Sequence[tuple[float, LayerPrediction]], whole: LayerPrediction) -> LayerPrediction:
    """The prediction for a mixture of samples, each with its weight. Deviations are common to all, as weights are."""
    mean = sum(weight * p.mean for weight, p in parts)
    square = sum(weight * p.rms * p.rms for weight, p in parts)
    gradient = sum(weight * p.gradient_norm * p.gradient_norm for weight, p in parts)
    std = math.sqrt(max(square - mean * mean, 0.0)) if math.isfinite(square) else math.nan

    def shared_out(
        total: float, size: Callable[[LayerPrediction], float], of: Callable[[LayerPrediction], float]
    ) -> float:
        if not total > 0.0:
            return of(whole)
        return sum(weight * size(p) * size(p) * of(p) for weight, p in parts) / total

    def edge(index: int) -> float:
        relative = [(w, p.edge_stds[index] / p.std if p.std > 0.0 else 0.0) for w, p in parts]
        return std * sum(w * r for w, r in relative) if math.isfinite(std) else math.nan

    return replace(
        whole,
        mean=mean,
        std=std,
        rms=math.sqrt(square),
        gradient_norm=math.sqrt(gradient),
        # Of the whole: a minibatch has its share of long samples by chance. That is not in the groups.
        log_std=max(whole.log_std, shared_out(square, lambda p: p.rms, lambda p: p.log_std)),
        gradient_log_std=max(
            whole.gradient_log_std, shared_out(gradient, lambda p: p.gradient_norm, lambda p: p.gradient_log_std)
        ),
        edge_stds=(edge(0), edge(1)),
    )


def _prediction(
    path: str, signal: Signal, square: float, scatter: float, last_width: int, given: int
) -> LayerPrediction:
    below, above = signal.edge_variances
    return LayerPrediction(
        path=path,
        mean=signal.mean,
        std=signal.std,
        rms=signal.rms,
        gradient_norm=math.sqrt(square * signal.width / last_width),
        log_std=math.sqrt(signal.log_variance),
        gradient_log_std=math.sqrt(scatter),
        gradient_factor=math.sqrt(signal.backward * given / signal.width),
        edge_stds=(math.sqrt(below), math.sqrt(above)),
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
