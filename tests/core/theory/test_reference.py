"""Mean-field theory against tables that an independent program computed (reference.json), to six digits and more."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import erf

from layerscope.core.activations import ACTIVATIONS, Activation
from layerscope.core.theory.criticality import cut, phase_map
from layerscope.core.theory.mean_field import (
    Signal,
    depth_scales,
    fixed_point,
    moments,
    next_q,
    pair_moments,
    susceptibilities,
)

REFERENCE = json.loads(Path(__file__).with_name("reference.json").read_text(encoding="utf-8"))

# Functions of the tables that the program does not offer test the integrals all the same.
TANH = ACTIVATIONS["tanh"]
ERF = replace(TANH, value=lambda x, p: erf(x), slope=lambda x, p: 2 / math.sqrt(math.pi) * np.exp(-x * x))
HARD_SIGMOID = replace(
    TANH,
    value=lambda x, p: np.clip(x / 6 + 0.5, 0.0, 1.0),
    slope=lambda x, p: np.where(np.abs(x) < 3.0, 1 / 6, 0.0),
    kinks=(-3.0, 3.0),
)
HARD_SWISH = replace(
    TANH,
    value=lambda x, p: x * np.clip(x / 6 + 0.5, 0.0, 1.0),
    slope=lambda x, p: np.where(np.abs(x) < 3.0, x / 3 + 0.5, np.where(x > 0, 1.0, 0.0)),
    kinks=(-3.0, 3.0),
)
ROOT = math.sqrt(2 / math.pi)


def _gelu_tanh(x, _p):
    return 0.5 * x * (1 + np.tanh(ROOT * (x + 0.044715 * x**3)))


def _gelu_tanh_slope(x, _p):
    t = np.tanh(ROOT * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * ROOT * (1 + 3 * 0.044715 * x * x)


NAMES: dict[str, tuple[Activation, float]] = {
    "linear": (ACTIVATIONS["identity"], 0.0),
    "lrelu.01": (ACTIVATIONS["leaky_relu"], 0.01),
    "lrelu.2": (ACTIVATIONS["leaky_relu"], 0.2),
    "elu": (ACTIVATIONS["elu"], 1.0),
    "hardtanh": (ACTIVATIONS["hard_tanh"], 0.0),
    "erf": (ERF, 0.0),
    "hardsigmoid": (HARD_SIGMOID, 0.0),
    "hardswish": (HARD_SWISH, 0.0),
    "gelu_tanh": (replace(TANH, value=_gelu_tanh, slope=_gelu_tanh_slope), 0.0),
}


def named(name: str) -> tuple[Activation, float]:
    return NAMES[name] if name in NAMES else (ACTIVATIONS[name], 0.0)


def close(value: float) -> object:
    return pytest.approx(value, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("name", REFERENCE["activation_moments_q1"])
def test_moments_gains_and_rates_at_q_1(name: str) -> None:
    table = REFERENCE["activation_moments_q1"][name]
    function, parameter = named(name)
    found = moments(((function, parameter),), 0.0, 1.0)
    assert found.mean == close(table["E_phi"])
    assert found.second == close(table["E_phi2"])
    assert found.second - found.mean**2 == close(table["var"])
    assert found.slope_square == close(table["E_dphi2"])
    assert found.second**-0.5 == close(table["gain_second_moment"])
    # at this gain q = 1 is a fixed point; the slope of the length map there says whether it is stable
    gain = 1 / found.second
    assert next_q(function, parameter, 1.0, gain) == close(1.0)
    assert susceptibilities(function, parameter, 1.0, gain)[1] == close(table["chi_par_at_gain"])
    # batch normalization behind each layer, whatever the weights are
    signal = Signal.of_data(128, 1.0).through_weights(128, 128, 0.1).through_batch_norm()
    signal = signal.through_function(function, parameter)
    weights = signal.through_weights(128, 128, 0.37)
    rate = signal.backward * weights.backward * weights.through_batch_norm().backward
    assert rate == close(table["bn_rate_Binf"])
    assert rate >= 1.0 - 1e-12  # the Poincaré inequality


@pytest.mark.parametrize("row", REFERENCE["tanh_mean_field"], ids=lambda r: f"{r['sw2']:.3g} {r['sb2']:.3g}")
def test_fixed_points_and_depth_scales_of_tanh(row: dict[str, float]) -> None:
    point = fixed_point(TANH, 0.0, row["sw2"], row["sb2"])
    assert (point.q, point.chi_1, point.chi_parallel) == (
        close(row["qstar"]),
        close(row["chi1"]),
        close(row["chi_par"]),
    )
    scales = depth_scales(TANH, 0.0, row["sw2"], row["sb2"])
    assert scales.correlation_limit == pytest.approx(row["cstar"], abs=1e-6)
    assert scales.correlation_slope == pytest.approx(row["c_slope"], rel=1e-6)
    assert scales.q == pytest.approx(row["xi_q"], rel=1e-6)
    assert scales.correlation == pytest.approx(row["xi_c"], rel=1e-6)


@pytest.mark.parametrize("name", REFERENCE["edge_of_chaos_sw2_at_sb2"])
def test_the_edge_of_chaos_at_a_bias_variance(name: str) -> None:
    function, parameter = named(name)
    for biases, (weights, q) in REFERENCE["edge_of_chaos_sw2_at_sb2"][name].items():

        def excess(scale: float, biases: str = biases) -> float:
            return fixed_point(function, parameter, scale, float(biases)).chi_1 - 1.0

        found = float(brentq(excess, 0.7 * weights, 1.3 * weights, xtol=1e-12, rtol=1e-12))
        assert found == pytest.approx(weights, rel=1e-7)
        assert fixed_point(function, parameter, found, float(biases)).q == pytest.approx(q, rel=1e-6)


@pytest.mark.parametrize("name", REFERENCE["edge_of_chaos_by_q"])
def test_the_edge_of_chaos_by_q(name: str) -> None:
    function, parameter = named(name)
    for q, (weights, biases) in REFERENCE["edge_of_chaos_by_q"][name].items():
        at = moments(((function, parameter),), 0.0, float(q))
        assert 1 / at.slope_square == close(weights)
        assert float(q) - at.second / at.slope_square == pytest.approx(biases, rel=1e-7, abs=1e-10)
        assert susceptibilities(function, parameter, float(q), weights)[0] == close(1.0)


def test_the_correlation_of_two_inputs_through_a_hundred_relu_layers() -> None:
    relu = ((ACTIVATIONS["relu"], 0.0),)
    c = 0.0
    for expected in REFERENCE["relu_correlation_map_from_c0"]:
        c = 2.0 * pair_moments(relu, 0.0, 1.0, c)[0]
        assert c == pytest.approx(expected, abs=1e-6)


def test_batch_norm_makes_gradients_explode_faster_in_small_batches() -> None:
    assert math.pi / (math.pi - 1) == close(REFERENCE["bn_relu_rate_Binf"])
    for samples, rate in REFERENCE["bn_relu_rate_by_batch"].items():
        signal = Signal.of_data(128, 1.0, samples=int(samples)).through_weights(128, 128, 0.1)
        signal = signal.through_batch_norm().through_function(ACTIVATIONS["relu"])
        weights = signal.through_weights(128, 128, 0.37)
        found = signal.backward * weights.backward * weights.through_batch_norm().backward
        assert found == pytest.approx(rate, rel=1e-7)  # Yang et al. 2019, equation 25
    few = Signal.of_data(128, 1.0, samples=3).through_weights(128, 128, 0.1).through_batch_norm()
    assert math.isnan(few.backward)


def test_doubly_critical_points() -> None:
    # Roberts, Yaida and Hanin 2022, chapter 5: both susceptibilities are 1, the fixed point is q
    q = (3 + math.sqrt(17)) / 2
    for name, biases, weights, at in (("gelu", 0.17292239, 1.98305826, q), ("silu", 0.55514317, 1.98800468, 14.32017)):
        assert susceptibilities(ACTIVATIONS[name], 0.0, at, weights) == pytest.approx((1.0, 1.0), abs=1e-6)
        assert next_q(ACTIVATIONS[name], 0.0, at, weights, biases) == pytest.approx(at, rel=1e-6)


def test_what_framework_defaults_do_to_fifty_layers() -> None:
    # sigmoid, tanh and ReLU with n Var(W) of Glorot (square layers), PyTorch's Linear, He, gain 5/3, and N(0, 1)
    scale = REFERENCE["init_sw2"]
    for name, weights, factor in (
        ("sigmoid", scale["glorot_square"], 0.236),
        ("sigmoid", scale["torch_linear_default"], 0.141),
        ("tanh", scale["torch_linear_default"], 0.577),
        ("tanh", scale["glorot_square"], 1.0),
        ("tanh", scale["torch_tanh_gain"], 1.100),
        ("relu", scale["torch_linear_default"], 0.408),
        ("relu", scale["glorot_square"], 0.707),
        ("relu", scale["he"], 1.0),
        ("tanh", 100.0, 2.35),
    ):
        assert fixed_point(ACTIVATIONS[name], 0.0, weights).gradient_factor == pytest.approx(factor, abs=6e-3 * factor)


def test_layer_norm_before_the_function_and_dropout_at_the_edge() -> None:
    def rate(name: str) -> float:
        signal = Signal.of_data(64, 3.0).through_weights(64, 64, 0.9).through_layer_norm()
        signal = signal.through_function(ACTIVATIONS[name])
        weights = signal.through_weights(64, 64, 0.2)
        return signal.backward * weights.backward * weights.through_layer_norm().backward

    assert rate("relu") == pytest.approx(1.0, rel=1e-12)
    assert rate("tanh") == pytest.approx(REFERENCE["activation_moments_q1"]["tanh"]["bn_rate_Binf"], rel=1e-9)
    # With inverted dropout that keeps p, ReLU is critical at n Var(W) = 2 p (Pretorius et al. 2018): both ways.
    kept = 0.7
    signal = Signal.of_data(100, 1.0).through_weights(100, 100, 0.1)
    behind = signal.through_function(ACTIVATIONS["relu"]).through_dropout(1 - kept)
    again = behind.through_weights(100, 100, math.sqrt(2 * kept / 100))
    assert again.second_moment == pytest.approx(signal.second_moment, rel=1e-12)
    relu = signal.through_function(ACTIVATIONS["relu"])
    assert relu.backward * behind.backward * again.backward == pytest.approx(1.0, rel=1e-12)


def test_the_map_and_the_cut_show_the_same() -> None:
    plane = phase_map("tanh", 0.0, 4.0, 0.3)
    across, up = 0.5 * (plane.weights[1:] + plane.weights[:-1]), 0.5 * (plane.biases[1:] + plane.biases[:-1])
    for row, column in ((0, 30), (7, 5), (20, 60), (40, 71), (43, 40)):
        exact = fixed_point(TANH, 0.0, float(across[column]), float(up[row])).chi_1
        assert plane.chi_1[row, column] == pytest.approx(exact, rel=2e-3)
    for biases, (weights, _q) in REFERENCE["edge_of_chaos_sw2_at_sb2"]["tanh"].items():
        if float(biases) < 0.3:
            assert np.interp(float(biases), plane.edge[1], plane.edge[0]) == pytest.approx(weights, rel=2e-3)
    curves = cut("tanh", 0.0, 0.05, 4.0)
    for row in REFERENCE["tanh_mean_field"]:
        if row["sb2"] == 0.05 and abs(row["sw2"] - 1.76) > 0.1:  # where it has no end, nothing is near it
            found = [np.interp(row["sw2"], curves.weights, scale) for scale in (curves.q, curves.correlation)]
            assert found == pytest.approx([row["xi_q"], row["xi_c"]], rel=0.05)
    upright = phase_map("relu", 0.0, 4.0, 0.3)
    assert upright.edge[0] == pytest.approx([2.0, 2.0])
    across = 0.5 * (upright.weights[1:] + upright.weights[:-1])
    assert upright.chi_1[5] == pytest.approx(across / 2)
    assert phase_map("sigmoid", 0.0, 4.0, 0.3).edge.size == 0  # all of it is ordered
