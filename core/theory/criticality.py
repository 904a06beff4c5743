"""Edge of chaos: whether a deep network of equal layers forgets its inputs, tears them apart, or stands in between.

A plain network, weights and one function over and over, is two numbers: n Var(W), n the inputs of a unit, and Var(b).
In the plane of the two lies a line, chi_1 = 1: on one side (ordered) two different inputs become alike and the gradient
vanishes, on the other (chaotic) alike inputs become different and the gradient explodes. How far that line is tells
how deep a network can be: about six depth scales of the correlation.

Sources: Poole et al. 2016 (arXiv 1606.05340, figure 1), Schoenholz et al. 2017 (arXiv 1611.01232, eq. 9, 14 and figure
5); for convolutions, whose theory is the same, Xiao et al. 2018 (arXiv 1806.05393).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS, Activation
from ..layers.activation import ActivationLayer
from ..layers.base import Layer, Parameter
from ..network import Card, Plan
from ..text import _
from .mean_field import DepthScales, depth_scales, fixed_point, moments

Array = NDArray[np.float64]

COLUMNS, ROWS = 72, 44  # cells of a map
LARGEST, SMALLEST = 1e8, 1e-10  # mean squares beyond are taken as explosion and as death
SETTLING = 300  # layers until the mean square has settled, but for the neighborhood of the edge
NODES = 40  # of an integral over one normal number, for curves that are only looked at


# --- where a network stands


@dataclass(frozen=True)
class Standing:
    """Some hidden layers of a network that are drawn alike, in the plane of n Var(W) and Var(b).

    paths              of the layers, as in a record: those with the weights
    function, parameter   behind them
    weights, biases    n Var(W), Var(b)
    """

    paths: tuple[str, ...]
    function: str
    parameter: float
    weights: float
    biases: float

    @property
    def activation(self) -> Activation:
        return ACTIVATIONS[self.function]


@dataclass(frozen=True)
class Chain:
    """A network as the theory of equal layers sees it.

    standings   groups of equal hidden layers, in data order; the first layer, which sees data, and the output layer,
                which no function follows, are none
    depth       hidden layers with weights, the first among them
    obstacle    why the network is no plain chain, a sentence without its stop; "" where it is one
    """

    standings: tuple[Standing, ...]
    depth: int
    obstacle: str = ""

    @property
    def main(self) -> Standing | None:
        """The group with most layers; None where there is none."""
        return max(self.standings, key=lambda s: len(s.paths), default=None)


def chain_of(plan: Plan) -> Chain:
    """Where the hidden layers of a network stand at initialization."""
    cards = [card for card in plan.cards if "." not in card.path and not card.layer.muted]
    obstacle = ""
    found: list[Standing] = []
    depth, waiting = 0, None
    for card in cards:
        layer = card.layer
        if isinstance(layer, ActivationLayer):
            if layer.function == "identity":
                continue
            if waiting is None:
                obstacle = obstacle or _("an activation function follows no weights")
                continue
            depth += 1
            parameter = layer.parameter
            standing = _standing(waiting, layer.function, parameter)
            if standing is None:
                obstacle = obstacle or _("the weights of a layer {title} are all one number").format(
                    title=waiting.layer.title()
                )
            elif depth > 1:
                found.append(standing)
            waiting = None
        elif _weight(card) is not None and not layer.inside(card.given) and card.shape is not None:
            waiting = card
        elif card.shape is not None and math.prod(card.shape) == math.prod(card.given or ()) and layer.group == "shape":
            continue  # another shape for the same numbers
        else:
            obstacle = obstacle or _("it has a layer {title}").format(title=layer.title())
    groups: dict[tuple[str, float, float, float], Standing] = {}
    for at in found:
        key = (at.function, at.parameter, round(at.weights, 12), round(at.biases, 12))
        groups[key] = replace(at, paths=groups[key].paths + at.paths) if key in groups else at
    if not obstacle and not found:
        obstacle = _("it has fewer than two hidden layers")
    return Chain(tuple(groups.values()), depth, obstacle)


def _weight(card: Card) -> Parameter | None:
    return next((p for p in card.parameters if p.weight), None)


def _drawing(card: Card) -> Layer:
    """The layer whose weights these are: a wrapper draws what it wraps."""
    found: Layer = getattr(card.layer, "layer", card.layer)
    return found


def _standing(card: Card, function: str, parameter: float) -> Standing | None:
    inner = {p.name: p for p in _drawing(card).parameters(card.given)} if card.given is not None else {}
    weight = next((p for p in inner.values() if p.weight), None)
    if weight is None or not weight.init.random:
        return None
    scale = weight.spread[1]
    if math.isnan(scale):
        # LSUV: pre-activations of mean square 1, whatever the function makes of them
        second = moments(((ACTIVATIONS[function], parameter),), 0.0, 1.0).second
        scale = 1.0 / second if second > 0.0 else math.nan
    bias = inner.get("bias")
    return Standing((card.path,), function, parameter, scale, bias.spread[0] ** 2 if bias is not None else 0.0)


def present_weights(plan: Plan, path: str, norm: float | Array) -> Array:
    """n Var(W) of a layer whose weights have that norm by now: the mean of their squares times the inputs of a unit."""
    card = next(card for card in plan.cards if card.path == path)
    assert card.given is not None
    weight = next(p for p in _drawing(card).parameters(card.given) if p.weight)
    with np.errstate(over="ignore"):  # weights that explode have infinite squares
        return np.asarray(weight.fan_in * np.square(np.asarray(norm, dtype=np.float64)) / weight.count)


@lru_cache(maxsize=512)
def scales_at(function: str, parameter: float, weights: float, biases: float) -> tuple[DepthScales, float]:
    """(depth scales, chi_1) of the deep network of such layers."""
    activation = ACTIVATIONS[function]
    scales = depth_scales(activation, parameter, weights, biases)
    return scales, fixed_point(activation, parameter, weights, biases).chi_1


def usual(chains: list[Chain]) -> tuple[str, float] | None:
    """(function, parameter) that most hidden layers of some networks have; None where there is none."""
    counts: Counter[tuple[str, float]] = Counter()
    for chain in chains:
        for at in chain.standings:
            counts[at.function, at.parameter] += len(at.paths)
    return counts.most_common(1)[0][0] if counts else None


# --- the map


@dataclass(frozen=True)
class Curve:
    """A function's moments over the mean square q of its inputs, to be read between the points."""

    log_q: Array
    second: Array
    slope_square: Array

    def seconds(self, q: Array) -> Array:
        """E[f^2], linear in q outside of the table, as all functions are that grow without end."""
        at = np.interp(np.log(q), self.log_q, np.log(self.second))
        beyond = np.maximum(np.log(q) - self.log_q[-1], 0.0) * float(self._growth)
        below = np.minimum(np.log(q) - self.log_q[0], 0.0) * float(self._start)
        return np.asarray(np.exp(at + beyond + below))

    @property
    def _growth(self) -> float:
        return float((np.log(self.second[-1] / self.second[-2])) / (self.log_q[-1] - self.log_q[-2]))

    @property
    def _start(self) -> float:
        return float((np.log(self.second[1] / self.second[0])) / (self.log_q[1] - self.log_q[0]))

    def slopes(self, q: Array) -> Array:
        """E[f'^2]."""
        return np.asarray(np.exp(np.interp(np.log(q), self.log_q, np.log(self.slope_square))))


@lru_cache(maxsize=32)
def curve(function: str, parameter: float) -> Curve:
    """The moments of a function at many mean squares."""
    functions = ((ACTIVATIONS[function], parameter),)
    log_q = np.linspace(math.log(SMALLEST), math.log(LARGEST), 500)
    found = [moments(functions, 0.0, math.exp(x)) for x in log_q]
    tiny = 1e-300
    return Curve(
        log_q,
        np.array([max(m.second, tiny) for m in found]),
        np.array([max(m.slope_square, tiny) for m in found]),
    )


def settled(found: Curve, weights: Array, biases: Array, start: float = 1.0) -> Array:
    """q behind very many layers that begin with mean square `start`; 0 where it dies, infinite where it explodes."""
    q = np.full(np.broadcast(weights, biases).shape, start)
    with np.errstate(all="ignore"):
        for _step in range(SETTLING):
            q = np.clip(weights * found.seconds(q) + biases, SMALLEST, LARGEST)
    # ReLU at its edge keeps whatever it is given; everything else at an end of the table is on its way.
    q = np.where(q >= 0.999 * LARGEST, math.inf, q)
    return np.asarray(np.where(q <= 1.001 * SMALLEST, 0.0, q))


@dataclass(frozen=True)
class Map:
    """The plane of n Var(W) (columns) and Var(b) (rows).

    weights, biases   edges of the cells, (columns + 1,) and (rows + 1,)
    chi_1             (rows, columns) by what the gradient's mean square is multiplied per layer, in the end
    edge              (2, points) the line chi_1 = 1
    """

    weights: Array
    biases: Array
    chi_1: Array
    edge: Array

    @property
    def depth(self) -> Array:
        """(rows, columns) layers over which the gradient's mean square changes by a factor e."""
        with np.errstate(all="ignore"):
            return np.asarray(1.0 / np.maximum(np.abs(np.log(self.chi_1)), 1e-6))


@lru_cache(maxsize=32)
def phase_map(function: str, parameter: float, widest: float, highest: float) -> Map:
    """The map of a function for n Var(W) up to `widest` and Var(b) up to `highest`."""
    found = curve(function, parameter)
    weights, biases = np.linspace(0.0, widest, COLUMNS + 1), np.linspace(0.0, highest, ROWS + 1)
    across, up = 0.5 * (weights[1:] + weights[:-1]), 0.5 * (biases[1:] + biases[:-1])
    q = settled(found, across[None, :], up[:, None])
    chi = across[None, :] * found.slopes(np.clip(q, SMALLEST, LARGEST))
    return Map(weights, biases, chi, _edge(found, widest, highest))


def _edge(found: Curve, widest: float, highest: float) -> Array:
    """The line on which q is a fixed point and chi_1 = 1: for each q, n Var(W) = 1 / E[f'^2] and Var(b) is what is
    missing (Hayou et al. 2019). Only where a signal of mean square 1 comes to rest there.
    """
    q = np.exp(np.linspace(math.log(SMALLEST), math.log(LARGEST), 4000))
    weights = 1.0 / found.slopes(q)
    biases = q - weights * found.seconds(q)
    # Rounding in a table makes biases of nothing out of none.
    biases = np.where(np.abs(biases) < 1e-6 * q, 0.0, biases)
    flat = float(np.ptp(weights)) < 1e-6 * float(weights.max())
    if flat:
        # ReLU and its kin: the slope does not depend on the size, the line stands upright.
        return np.array([[weights[0], weights[0]], [0.0, highest]])
    seen = (biases >= 0.0) & (biases <= highest) & (weights <= widest)
    reached = np.zeros_like(seen)
    if seen.any():
        ends = settled(found, weights[seen], biases[seen])
        reached[seen] = np.abs(np.log(np.clip(ends, SMALLEST, LARGEST) / q[seen])) < 0.7
    line = np.array([weights, biases])
    line[:, ~reached] = np.nan
    kept = np.flatnonzero(reached)
    if not kept.size:
        return np.empty((2, 0))
    return np.ascontiguousarray(line[:, kept[0] : kept[-1] + 1])


# --- a cut through the map


@dataclass(frozen=True)
class Cut:
    """Depth scales over n Var(W) at one Var(b); NaN where the signal dies out or explodes.

    weights            (points,)
    q, correlation, gradient   (points,) layers, see `mean_field.DepthScales`; of the gradient without its sign
    """

    weights: Array
    q: Array
    correlation: Array
    gradient: Array


@lru_cache(maxsize=64)
def cut(function: str, parameter: float, biases: float, widest: float, points: int = 120) -> Cut:
    """Depth scales along a line of the map, exact enough to look at (about a hundredth)."""
    found = curve(function, parameter)
    weights = np.linspace(0.0, widest, points + 1)[1:]
    q = settled(found, weights, np.full_like(weights, biases))
    safe = np.where((q > 0.0) & (q < math.inf), q, 1.0)
    # What still moves after so many layers is on its way to zero or to infinity.
    with np.errstate(all="ignore"):
        rest = (q > 0.0) & (q < math.inf) & (np.abs(np.log((weights * found.seconds(safe) + biases) / safe)) < 5e-3)
    chi = weights * found.slopes(np.clip(q, SMALLEST, LARGEST))
    up, down = (weights * found.seconds(safe * factor) for factor in (1.05, 1 / 1.05))
    parallel = (up - down) / (safe * (1.05 - 1 / 1.05))
    slope = np.where(chi <= 1.0, chi, _slope_at_limit(function, parameter, weights, biases, safe))
    nothing = np.where(rest, 1.0, np.nan)
    return Cut(weights, nothing * _layers(parallel), nothing * _layers(slope), _layers(chi))


def _layers(factor: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.minimum(1.0 / np.abs(np.log(factor)), 1e6))


def _slope_at_limit(function: str, parameter: float, weights: Array, biases: float, q: Array) -> Array:
    """The slope of the correlation map where two inputs end, below 1, by bisection for all points at once."""
    activation = ACTIVATIONS[function]
    nodes, w = np.polynomial.hermite_e.hermegauss(NODES)
    w = w / math.sqrt(2.0 * math.pi)
    root = np.sqrt(q)[:, None, None]

    def pair(c: Array) -> tuple[Array, Array]:
        # E over a shared part of the square of what is expected given that part
        shared, own = np.sqrt(c)[:, None, None], np.sqrt(1.0 - c)[:, None, None]
        x = root * (shared * nodes[:, None] + own * nodes)
        value = activation.value(x, parameter) @ w
        slope = activation.slope(x, parameter) @ w
        return value**2 @ w, slope**2 @ w

    low, high = np.zeros_like(q), np.full_like(q, 1.0 - 1e-4)
    for _step in range(22):
        middle = 0.5 * (low + high)
        above = (weights * pair(middle)[0] + biases) / q > middle
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.asarray(weights * pair(0.5 * (low + high))[1])
