"""Mean-field theory against published and independently computed numbers, and against wide random networks in NumPy."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.dense import Dense
from layerscope.core.theory.mean_field import (
    Inner,
    Signal,
    depth_scales,
    fixed_point,
    moments,
    pair_moments,
    predict,
    susceptibilities,
)

# E[f], E[f^2], E[f'^2] for z ~ N(0, 1), by an independent program (split Gauss-Legendre, 12 digits); closed forms exist
# for identity, ReLU, leaky ReLU and hard tanh. SELU has mean 0 and variance 1 by construction.
MOMENTS = {
    ("identity", 0.0): (0.0, 1.0, 1.0),
    ("relu", 0.0): (0.398942280401, 0.5, 0.5),
    ("leaky_relu", 0.01): (0.394952857597, 0.500050, 0.500050),
    ("leaky_relu", 0.2): (0.319153824321, 0.52, 0.52),
    ("elu", 1.0): (0.160520572267, 0.644945417493, 0.668102001223),
    ("selu", 0.0): (0.0, 1.0, 1.07157499246),
    ("gelu", 0.0): (0.282094791774, 0.42522148257, 0.455850865649),
    ("silu", 0.0): (0.206620964142, 0.355775519817, 0.379482351633),
    ("softplus", 0.0): (0.806059183347, 0.921245908859, 0.293379035858),
    ("tanh", 0.0): (0.0, 0.394294490398, 0.464402902448),
    ("sigmoid", 0.0): (0.5, 0.293379035858, 0.0448362413502),
    ("softsign", 0.0): (0.0, 0.183014021267, 0.227671340422),
    ("hard_tanh", 0.0): (0.0, 0.516058550962, 0.682689492137),
}

# tanh: N Var(W), Var(b) -> q*, chi_1, chi_parallel, limit of the correlation, slope of its map there
TANH = [
    (0.5, 0.05, 0.0875798651868, 0.431987381821, 0.37112187584, 1.0, 0.431987381821),
    (1.0, 0.05, 0.193592520245, 0.759031647185, 0.56427998204, 1.0, 0.759031647185),
    (1.7, 0.05, 0.533075627947, 0.986740809026, 0.52637368299, 1.0, 0.986740809026),
    (2.0, 0.05, 0.721761872652, 1.04766599958, 0.486521744053, 0.7440824195, 0.961114791974),
    (4.0, 0.05, 2.19549392803, 1.34240241445, 0.318195099416, 0.165064962026, 0.86652799549),
    (25 / 9, 0.0, 1.17848049039, 1.20983132038, 0.430899386379, 0.0, 0.920790652845),
    (4.0, 0.3, 2.54836202765, 1.25687168971, 0.267339124405, 0.575394774446, 0.858405095511),
]

# (function, parameter, N Var(W), Var(b)) for simulations; every registered function appears
CASES = [
    ("identity", 0.0, 1.0, 0.0),
    ("sigmoid", 0.0, 1.0, 0.0),
    ("tanh", 0.0, 25 / 9, 0.0),
    ("tanh", 0.0, 1.0, 0.05),
    ("relu", 0.0, 2.0, 0.0),
    ("leaky_relu", 0.3, 1.5, 0.1),
    ("elu", 1.0, 1.5, 0.0),
    ("selu", 0.0, 1.0, 0.0),
    ("gelu", 0.0, 2.0, 0.1),
    ("silu", 0.0, 2.0, 0.1),
    ("softplus", 0.0, 1.0, 0.0),
    ("softsign", 0.0, 4.0, 0.1),
    ("hard_tanh", 0.0, 2.0, 0.05),
]


def test_every_activation_has_reference_moments() -> None:
    assert {name for name, _ in MOMENTS} == set(ACTIVATIONS.names()) == {name for name, *_ in CASES}


@pytest.mark.parametrize(("name", "parameter"), MOMENTS)
def test_moments_of_a_standard_normal_number(name: str, parameter: float) -> None:
    found = moments(((ACTIVATIONS[name], parameter),), 0.0, 1.0)
    assert (found.mean, found.second, found.slope_square) == pytest.approx(MOMENTS[name, parameter], abs=6e-12)


@pytest.mark.parametrize("q", [1e-6, 0.03, 1.0, 47.0, 1e5, 1e12])
def test_closed_forms_at_any_scale(q: float) -> None:
    relu = moments(((ACTIVATIONS["relu"], 0.0),), 0.0, q)
    assert relu.second == pytest.approx(q / 2, rel=1e-12)
    assert relu.mean == pytest.approx(math.sqrt(q / (2 * math.pi)), rel=1e-12)
    assert relu.elasticity == pytest.approx(1.0, rel=1e-12)
    assert relu.kurtosis == pytest.approx(5.0, rel=1e-11)
    gelu = moments(((ACTIVATIONS["gelu"], 0.0),), 0.0, q)
    closed = q / 4 + q / (2 * math.pi) * math.asin(q / (1 + q)) + q**2 / (math.pi * (1 + q) * math.sqrt(1 + 2 * q))
    assert gelu.second == pytest.approx(closed, rel=1e-10)
    edge = 1 / math.sqrt(q)
    inside = math.erf(edge / math.sqrt(2))
    density = math.exp(-0.5 * edge**2) / math.sqrt(2 * math.pi)
    hard = moments(((ACTIVATIONS["hard_tanh"], 0.0),), 0.0, q)
    assert hard.slope_square == pytest.approx(inside, rel=1e-10)
    assert hard.second == pytest.approx(q * (inside - 2 * edge * density) + 1 - inside, rel=1e-10)


@pytest.mark.parametrize("q", [0.5, 1e4, 1e8])
def test_a_steep_tanh_does_not_slip_between_the_nodes(q: float) -> None:
    found = moments(((ACTIVATIONS["tanh"], 0.0),), 0.0, q)
    x = np.linspace(-30.0, 30.0, 600_001)  # tanh is 1 beyond, to all digits
    density = np.exp(-0.5 * x * x / q) / math.sqrt(2 * math.pi * q)
    missing = np.trapezoid((1 - np.tanh(x) ** 2) * density, x)
    slope = np.trapezoid((1 - np.tanh(x) ** 2) ** 2 * density, x)
    assert 1 - found.second == pytest.approx(missing, rel=1e-7, abs=1e-12)
    assert found.slope_square == pytest.approx(slope, rel=1e-9)


def test_the_elasticity_is_the_slope_of_the_logarithm() -> None:
    for name, parameter in MOMENTS:
        chain = ((ACTIVATIONS[name], parameter),)
        up, down = (math.log(moments(chain, 0.3, 0.7 * math.exp(t)).second) for t in (1e-4, -1e-4))
        assert moments(chain, 0.3, 0.7).elasticity == pytest.approx((up - down) / 2e-4, rel=1e-6)


@pytest.mark.parametrize(("weights", "bias", "q", "chi", "parallel", "correlation", "slope"), TANH)
def test_tanh_fixed_points_and_depth_scales(
    weights: float, bias: float, q: float, chi: float, parallel: float, correlation: float, slope: float
) -> None:
    point = fixed_point(ACTIVATIONS["tanh"], 0.0, weights, bias)
    assert (point.q, point.chi_1) == pytest.approx((q, chi), rel=1e-11)
    assert point.chi_parallel == pytest.approx(parallel, rel=1e-9)
    scales = depth_scales(ACTIVATIONS["tanh"], 0.0, weights, bias)
    assert scales.correlation_limit == pytest.approx(correlation, abs=1e-8)
    assert scales.correlation_slope == pytest.approx(slope, abs=1e-8)
    assert scales.q == pytest.approx(-1 / math.log(parallel), rel=1e-8)
    assert scales.correlation == pytest.approx(-1 / math.log(slope), rel=1e-6)
    assert scales.trainable == 6 * scales.correlation


def test_sigmoid_with_glorot_loses_three_quarters_of_the_gradient_per_layer() -> None:
    point = fixed_point(ACTIVATIONS["sigmoid"], 0.0, 1.0)
    assert point.q == pytest.approx(0.2647, abs=5e-5)
    assert point.gradient_factor == pytest.approx(0.236, abs=5e-4)
    third = fixed_point(ACTIVATIONS["sigmoid"], 0.0, 1 / 3)  # what torch.nn.Linear draws, biases aside
    assert (third.q, third.gradient_factor) == pytest.approx((0.0850, 0.141), abs=5e-4)


def test_fixed_points_that_are_none() -> None:
    relu, gelu, tanh = ACTIVATIONS["relu"], ACTIVATIONS["gelu"], ACTIVATIONS["tanh"]
    assert fixed_point(relu, 0.0, 2.0, start=3.7).q == 3.7  # every q is one
    assert fixed_point(relu, 0.0, 2.0).gradient_factor == pytest.approx(1.0, abs=1e-14)
    dying, exploding = fixed_point(relu, 0.0, 1.0), fixed_point(relu, 0.0, 3.0)
    assert (dying.q, exploding.q) == (0.0, math.inf)
    assert dying.gradient_factor == pytest.approx(math.sqrt(0.5))
    assert exploding.gradient_factor == pytest.approx(math.sqrt(1.5))
    assert fixed_point(gelu, 0.0, 2.0).q == 0.0  # He with GELU: the signal dies, the gradient by 0.707 a layer
    assert fixed_point(gelu, 0.0, 2.0).gradient_factor == pytest.approx(math.sqrt(0.5), abs=1e-6)
    assert fixed_point(tanh, 0.0, 1.0).q == 0.0
    assert math.isnan(depth_scales(relu, 0.0, 1.0).correlation)


def test_the_edge_of_chaos() -> None:
    # tanh, Var(b) = 0.05: the gradient neither grows nor shrinks at N Var(W) = 1.76095463961
    point = fixed_point(ACTIVATIONS["tanh"], 0.0, 1.76095463961, 0.05)
    assert point.q == pytest.approx(0.570047881641, rel=1e-9)
    assert point.chi_1 == pytest.approx(1.0, abs=1e-10)
    # Doubly critical GELU (Roberts, Yaida and Hanin 2022): both susceptibilities are 1 at q = (3 + sqrt 17) / 2
    q = (3 + math.sqrt(17)) / 2
    assert susceptibilities(ACTIVATIONS["gelu"], 0.0, q, 1.98305826) == pytest.approx((1.0, 1.0), abs=1e-8)


def test_relu_correlation_map_is_the_arc_cosine_kernel() -> None:
    relu = ((ACTIVATIONS["relu"], 0.0),)
    for c in (-1.0, -0.7, -0.1, 0.0, 0.2, 0.9, 0.999, 1 - 1e-9):
        angle = math.acos(c)
        product, slopes = pair_moments(relu, 0.0, 3.0, c)
        assert product == pytest.approx(1.5 * (math.sin(angle) + c * (math.pi - angle)) / math.pi, abs=1e-9)
        assert slopes == pytest.approx((math.pi - angle) / (2 * math.pi), abs=1e-6)


def simulate(
    chain: list[tuple[str, float]], weights: float, bias: float, width: int, depth: int, nets: int, samples: int = 8
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean square, mean and mean squared gradient of all outputs of depth x (dense, functions); (nets, layers)."""
    squares, means, gradients = [], [], []
    for net in range(nets):
        random = np.random.default_rng(net)
        a = random.standard_normal((samples, width))
        a /= np.sqrt(np.mean(a * a, axis=1, keepdims=True))
        outputs, matrices, slopes = [], [], []
        for _ in range(depth):
            W = random.standard_normal((width, width)) * math.sqrt(weights / width)
            h = a @ W + random.standard_normal(width) * math.sqrt(bias)
            outputs.append(h)
            matrices.append(W)
            for name, parameter in chain:
                slopes.append(ACTIVATIONS[name].slope(h, parameter))
                h = ACTIVATIONS[name].value(h, parameter)
                outputs.append(h)
            a = h
        g = random.standard_normal(a.shape)
        back = [np.mean(g * g)]
        for W in reversed(matrices):
            for _ in chain:
                g = g * slopes.pop()
                back.append(np.mean(g * g))
            g = g @ W.T
            back.append(np.mean(g * g))
        squares.append([np.mean(h * h) for h in outputs])
        means.append([np.mean(h) for h in outputs])
        gradients.append(np.array(back[:-1][::-1]) / back[0])
    return np.array(squares), np.array(means), np.array(gradients)


def expected(chain: list[tuple[str, float]], weights: float, bias: float, width: int, depth: int) -> list[Signal]:
    signal = Signal.of_data(width, 1.0)
    signals = []
    for _ in range(depth):
        signal = signal.through_weights(width, width, math.sqrt(weights / width), bias)
        signals.append(signal)
        for name, parameter in chain:
            signal = signal.through_function(ACTIVATIONS[name], parameter)
            signals.append(signal)
    return signals


def relative_gradients(signals: list[Signal]) -> np.ndarray:
    factors = [s.backward for s in signals[1:]]
    return np.array([math.prod(factors[i:]) for i in range(len(signals))])


@pytest.mark.parametrize(("name", "parameter", "weights", "bias"), CASES)
def test_wide_random_networks_do_as_predicted(name: str, parameter: float, weights: float, bias: float) -> None:
    width, depth, nets = 300, 8, 8
    chain = [(name, parameter)]
    squares, means, gradients = simulate(chain, weights, bias, width, depth, nets)
    signals = expected(chain, weights, bias, width, depth)
    band = np.array([math.sqrt(s.log_variance / nets) for s in signals])
    off = np.abs(np.log(np.mean(squares, axis=0) / [s.second_moment for s in signals]))
    assert np.all(off < 0.02 + 3 * band), off
    assert np.mean(means[:, 1::2], axis=0) == pytest.approx([s.mean for s in signals[1::2]], abs=0.05 * signals[-1].rms)
    logs = np.abs(np.log(np.mean(gradients, axis=0) / relative_gradients(signals)))
    assert np.all(logs < 0.25), logs


def test_two_functions_in_a_row_are_integrated_together() -> None:
    chain = [("gelu", 0.0), ("leaky_relu", 0.2)]  # GELU's dip is cut at its own zero, a kink of the composition
    squares, means, gradients = simulate(chain, 2.0, 0.1, 400, 3, 20)
    signals = expected(chain, 2.0, 0.1, 400, 3)
    assert np.mean(squares, axis=0) == pytest.approx([s.second_moment for s in signals], rel=0.06)
    assert np.mean(means[:, 2::3], axis=0) == pytest.approx([s.mean for s in signals[2::3]], rel=0.06)
    assert np.mean(gradients, axis=0)[::3] == pytest.approx(relative_gradients(signals)[::3], rel=0.1)
    # The second ReLU changes nothing, whatever it is told about the distribution.
    once = Signal.of_data(10, 1.0).through_weights(10, 10, 0.4).through_function(ACTIVATIONS["relu"])
    twice = once.through_function(ACTIVATIONS["relu"])
    assert (twice.mean, twice.second_moment, twice.shared) == pytest.approx(
        (once.mean, once.second_moment, once.shared), rel=1e-12
    )
    assert twice.backward == 1.0


def test_the_finite_width_band_is_as_wide_as_networks_differ() -> None:
    width, depth, nets = 100, 12, 300
    squares, _, gradients = simulate([("relu", 0.0)], 2.0, 0.0, width, depth, nets, samples=1)
    signals = expected([("relu", 0.0)], 2.0, 0.0, width, depth)
    found = np.std(np.log(squares), axis=0)
    assert found[-2] == pytest.approx(math.sqrt(signals[-2].log_variance), rel=0.15)
    assert found[1] == pytest.approx(math.sqrt(signals[1].log_variance), rel=0.15)
    back = np.std(np.log(gradients), axis=0)
    scatter = [math.sqrt(sum(s.backward_log_variance for s in signals[i + 1 :])) for i in range(len(signals))]
    assert back[:-2] == pytest.approx(scatter[:-2], rel=0.15)
    assert scatter[0] == pytest.approx(math.sqrt((5 * depth - 2) / width), rel=0.01)
    # Without the scatter of the layer's own units: sqrt(5 L / N) behind L ReLU layers
    assert math.sqrt(signals[-2].law.log_variance) == pytest.approx(math.sqrt(5 * (depth - 1) / width), rel=1e-10)


def test_samples_grow_alike_as_predicted() -> None:
    random = np.random.default_rng(5)
    width = 2000
    a = random.standard_normal((6, width))
    signal = Signal.of_data(width, 1.0, shared=0.0)
    for _ in range(4):
        a = np.maximum(a @ random.standard_normal((width, width)) * math.sqrt(2 / width), 0.0)
        signal = signal.through_weights(width, width, math.sqrt(2 / width)).through_function(ACTIVATIONS["relu"])
        products = a @ a.T / width
        assert np.mean(products[~np.eye(6, dtype=bool)]) == pytest.approx(signal.shared, rel=0.08)
    assert signal.shared / signal.second_moment == pytest.approx(0.680953533356, abs=1e-9)


def test_batch_norm_grows_the_gradient_by_pi_over_pi_minus_one() -> None:
    signal = Signal.of_data(128, 1.0).through_weights(128, 128, 0.1)
    for _ in range(3):
        signal = signal.through_batch_norm().through_function(ACTIVATIONS["relu"])
        factor = signal.backward
        signal = signal.through_weights(128, 128, 0.37)
        factor *= signal.backward * signal.through_batch_norm().backward
        assert factor == pytest.approx(math.pi / (math.pi - 1), rel=1e-10)


def test_layer_norm_keeps_the_gradient_of_relu() -> None:
    signal = Signal.of_data(64, 3.0, mean=0.5).through_weights(64, 64, 0.9)
    normalized = signal.through_layer_norm()
    assert (normalized.mean, normalized.second_moment) == (0.0, 1.0)
    relu = normalized.through_function(ACTIVATIONS["relu"])
    weights = relu.through_weights(64, 64, 0.2)
    assert relu.backward * weights.backward * weights.through_layer_norm().backward == pytest.approx(1.0, rel=1e-12)


def test_dropout_and_residual_sums() -> None:
    signal = Signal.of_data(50, 2.0, mean=0.5)
    dropped = signal.through_dropout(0.2)
    assert (dropped.mean, dropped.second_moment, dropped.backward) == pytest.approx((0.5, 2.5, 1.25))
    branch = signal.through_weights(50, 50, math.sqrt(1 / 50)).scaled(0.5)
    total = signal.plus(branch)
    assert (total.mean, total.second_moment, total.backward) == pytest.approx((0.5, 2.5, 1.0))


def test_nothing_known_stays_unknown() -> None:
    signal = Signal.unknown(7).through_function(ACTIVATIONS["tanh"]).through_weights(7, 3, 1.0)
    assert signal.width == 3
    assert all(math.isnan(v) for v in (signal.std, signal.rms))
    tanh = signal.through_function(ACTIVATIONS["tanh"])
    assert all(math.isnan(v) for v in (tanh.rms, tanh.backward, tanh.backward_log_variance))


def test_what_is_known_whatever_arrives() -> None:
    signal = Signal.unknown(7).through_weights(7, 400, 1.0)
    assert signal.backward == 400.0  # the weights are known
    relu = signal.through_function(ACTIVATIONS["relu"])
    assert math.isnan(relu.rms)
    assert relu.backward == 0.5  # half of the units are open, however large their numbers are
    for normalized in (signal.through_batch_norm(), signal.through_layer_norm()):
        assert (normalized.mean, normalized.rms) == (0.0, 1.0)
        assert math.isnan(normalized.backward)
    dead = relu.through_weights(400, 7, 0.0, bias_variance=0.25)
    assert (dead.rms, dead.backward) == (0.5, 0.0)


def test_numbers_too_large_for_a_float_pass_without_a_warning() -> None:
    signal = Signal.of_data(4, 1.0)
    for _ in range(120):
        signal = signal.through_weights(4, 4, 1000.0).through_function(ACTIVATIONS["relu"])
    assert not math.isfinite(signal.second_moment)
    dead = Signal.of_data(4, 1.0).through_weights(4, 4, 0.0).through_function(ACTIVATIONS["tanh"])
    assert (dead.rms, dead.backward) == (0.0, 1.0)


class Unruly(Dense, frozen=True, kw_only=True, tag="unruly"):
    def mean_field(self, signal: Signal, given: tuple[int, ...]) -> Signal:
        raise NotImplementedError


def planned(*layers: object, shape: tuple[int, ...] = (64,)) -> SimpleNamespace:
    cards, given = [], shape
    for index, layer in enumerate(layers):
        after = layer.output_shape(given)  # type: ignore[attr-defined]
        cards.append(SimpleNamespace(path=str(index), layer=layer, given=given, shape=after))
        given = after
    return SimpleNamespace(shape=shape, cards=tuple(cards))


def test_a_whole_network_is_predicted_layer_by_layer() -> None:
    tanh, relu = ActivationLayer(function="tanh"), ActivationLayer(function="relu")
    layers = [Dense(units=300), tanh, Dense(units=200), relu, Dense(units=400)]
    found = predict(planned(*layers, shape=(10, 10, 1)), 1.0)  # type: ignore[arg-type]
    assert [p.path for p in found] == ["0", "1", "2", "3", "4"]

    random = np.random.default_rng(1)
    rms, norms = [], []
    for _ in range(8):
        sizes = [100, 300, 200, 400]
        W = [random.standard_normal((n, m)) * math.sqrt(2 / (n + m)) for n, m in itertools.pairwise(sizes)]
        x = random.standard_normal((32, 100))
        h0 = x @ W[0]
        a0 = np.tanh(h0)
        h1 = a0 @ W[1]
        a1 = np.maximum(h1, 0)
        h2 = a1 @ W[2]
        g4 = random.standard_normal(h2.shape)
        g3 = g4 @ W[2].T
        g2 = g3 * (h1 > 0)
        g1 = g2 @ W[1].T
        g0 = g1 * (1 - a0**2)
        rms.append([math.sqrt(np.mean(v * v)) for v in (h0, a0, h1, a1, h2)])
        norms.append([np.linalg.norm(g) / np.linalg.norm(g4) for g in (g0, g1, g2, g3, g4)])
    assert np.mean(rms, axis=0) == pytest.approx([p.rms for p in found], rel=0.03)
    assert np.mean(norms, axis=0) == pytest.approx([p.gradient_norm for p in found], rel=0.03)
    assert found[-1].gradient_norm == 1.0
    low, high = found[2].rms_band()
    assert low < found[2].rms < high
    low, high = found[0].gradient_band()
    assert 0.5 * found[0].gradient_norm < low < found[0].gradient_norm < high < 2 * found[0].gradient_norm
    assert found[-1].gradient_log_std == 0.0


def test_twelve_sigmoid_layers_lose_the_gradient() -> None:
    layers = [layer for _ in range(12) for layer in (Dense(units=64), ActivationLayer(function="sigmoid"))]
    found = predict(planned(*layers, Dense(units=10)), 1.0)  # type: ignore[arg-type]
    ratio = found[1].gradient_norm / found[23].gradient_norm  # 11 blocks apart
    assert ratio == pytest.approx(0.2360523**11, rel=0.05)


def test_layers_without_a_rule_are_not_guessed_and_impossible_ones_end_the_list() -> None:
    network = planned(Dense(units=8), Unruly(units=8), Dense(units=4))
    found = predict(network, 1.0)  # type: ignore[arg-type]
    assert not math.isnan(found[0].rms)
    assert math.isnan(found[1].rms)
    assert math.isnan(found[2].rms)
    assert math.isnan(found[0].gradient_norm)
    assert found[2].gradient_norm == 1.0
    network.cards[1].shape = None
    assert [p.path for p in predict(network, 1.0)] == ["0"]  # type: ignore[arg-type]


def test_layers_inside_of_a_block_are_listed_before_it() -> None:
    def block(signal: Signal, given: tuple[int, ...]) -> Signal:
        branch = signal.through_weights(16, 16, 0.25)
        return replace(signal.plus(branch), backward=2.0, inside=(Inner("body.0", branch, 1.0),))

    layer = SimpleNamespace(mean_field=block)
    cards = (
        SimpleNamespace(path="0", layer=Dense(units=16), given=(16,), shape=(16,)),
        SimpleNamespace(path="1.body.0", layer=None, given=(16,), shape=(16,)),
        SimpleNamespace(path="1", layer=layer, given=(16,), shape=(16,)),
    )
    found = predict(SimpleNamespace(shape=(16,), cards=cards), 1.0)  # type: ignore[arg-type]
    assert [p.path for p in found] == ["0", "1.body.0", "1"]
    assert found[2].rms == pytest.approx(math.sqrt(2.0))
    assert [p.gradient_norm for p in found] == pytest.approx([math.sqrt(2.0), 1.0, 1.0])


def test_the_theory_needs_no_compiler_no_window_and_loads_scipy_late() -> None:
    code = (
        "import sys, layerscope.core.theory.mean_field; "
        "print([m for m in sys.modules if m.split('.')[0] in ('numba', 'llvmlite', 'PySide6', 'scipy')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
