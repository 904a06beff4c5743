"""What every scheme draws has the spread that it says; LSUV is the published algorithm."""

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment, table_data

from layerscope.core.engine import random
from layerscope.core.initializers import Initializer
from layerscope.core.layers.conv2d import Conv2d
from layerscope.core.run import Run

NAMES = Initializer.registry.names()
SETTINGS = {"uniform": {"limit": 0.3}, "normal": {"std": 0.7}, "constant": {"value": 0.2}}
# (shape, fan in, fan out): dense layers wide, square and narrow, and a convolution 3 by 3 with 40 and 60 channels
ARRAYS = [((300, 500), 300, 500), ((400, 400), 400, 400), ((500, 300), 500, 300), ((3, 3, 40, 60), 360, 540)]


@pytest.mark.parametrize("gain", [1.0, 1.7])
@pytest.mark.parametrize(("shape", "fan_in", "fan_out"), ARRAYS)
@pytest.mark.parametrize("name", NAMES)
def test_the_spread_is_that_of_the_draw(name, shape, fan_in, fan_out, gain):
    init = Initializer.registry[name](gain=gain, **SETTINGS.get(name, {}))
    std, n_var = init.spread(shape, fan_in, fan_out)
    if init.data_dependent:
        assert math.isnan(std)
        assert math.isnan(n_var)
        return
    drawn = init.draw(shape, fan_in, fan_out, random.key(1, "init"))
    assert drawn.shape == shape
    assert np.std(drawn) == pytest.approx(std, rel=0.01, abs=1e-14)
    assert n_var == pytest.approx(fan_in * std**2, rel=1e-14)


# n Var(W) of a square layer, from the papers
SQUARE = {
    "zeros": 0.0,
    "constant": 0.0,
    "uniform": 100 * 0.3**2 / 3,
    "normal": 100 * 0.7**2,
    "inverse_n": 1 / 100,
    "lecun_normal": 1.0,
    "lecun_uniform": 1.0,
    "glorot_normal": 1.0,
    "glorot_uniform": 1.0,
    "he_normal": 2.0,
    "he_uniform": 2.0,
    "orthogonal": 1.0,
}


def test_n_var_of_a_square_layer():
    assert {*SQUARE, "lsuv"} == set(NAMES)
    for name, expected in SQUARE.items():
        init = Initializer.registry[name](**SETTINGS.get(name, {}))
        assert init.spread((100, 100), 100, 100)[1] == pytest.approx(expected, rel=1e-12), name


@pytest.mark.parametrize("name", NAMES)
def test_every_scheme_says_its_formula_and_its_source(name):
    kind = Initializer.registry[name]
    assert "W" in kind.formula
    assert kind.source


def test_uniform_schemes_reach_their_limits_and_stay_inside():
    for name, limit in (("he_uniform", math.sqrt(6 / 50)), ("glorot_uniform", math.sqrt(6 / 150)), ("uniform", 0.05)):
        drawn = Initializer.registry[name]().draw((50, 100), 50, 100, random.key(3, "init"))
        assert 0.999 * limit < np.abs(drawn).max() <= limit


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40), (3, 3, 4, 60), (3, 3, 8, 10)])
def test_orthogonal_rows_or_columns_stand_at_right_angles(shape):
    w = Initializer.registry["orthogonal"](gain=1.5).draw(shape, 0, 0, random.key(2, "init")).reshape(-1, shape[-1])
    small = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(small, 1.5**2 * np.eye(len(small)), atol=1e-12)


def test_a_convolution_counts_its_fans_by_windows():
    weight = Conv2d(filters=16, kernel_size=5).parameters((10, 10, 6))[0]
    assert (weight.fan_in, weight.fan_out) == (6 * 25, 16 * 25)
    assert weight.spread[0] == pytest.approx(math.sqrt(2 / (6 * 25 + 16 * 25)))


# --- LSUV


def literal_lsuv(x, weights, forward, tolerance=0.1, most=10):
    """Mishkin & Matas 2016, algorithm 1, on the given orthonormal weights (changed in place).

    forward   of (x, weights, layer): the output of that layer
    """
    for layer in range(len(weights)):
        for _attempt in range(most):
            variance = np.var(forward(x, weights, layer))
            if abs(variance - 1.0) < tolerance:
                break
            weights[layer] /= np.sqrt(variance)


@pytest.mark.parametrize("function", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 40.0])
def test_lsuv_is_the_published_algorithm(function, scale):
    draw = np.random.default_rng(4)
    data = table_data(scale * draw.normal(size=(32, 20)) + 0.3 * scale, np.arange(32) % 12, 12)
    layers = [dense(30, "lsuv"), act(function), dense(25, "lsuv"), act(function), dense(12, "lsuv")]
    run = Run(experiment(*layers, batch_size=32, shuffle=False, precision="float64"), data)
    activation = run.program.plan.cards[1].layer.activation

    def forward(x, weights, layer):
        for index in range(layer + 1):
            h = x @ weights[index]
            x = activation.value(h, 0.0)
        return h

    expected = []
    for path, shape in (("0", (20, 30)), ("2", (30, 25)), ("4", (25, 12))):
        stream = random.key(0, "init", f"{path}.weight")
        expected.append(Initializer.registry["orthogonal"]().draw(shape, *shape, stream))
    start = [w.copy() for w in expected]
    literal_lsuv(data.x_train, expected, forward)
    found = [run.parameters()[f"{path}.weight"] for path in ("0", "2", "4")]
    for ours, theirs, before in zip(found, expected, start, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        assert scale == 1.0 or not np.allclose(ours, before)


def test_lsuv_inside_of_weight_norm_stretches_the_length_and_leaves_the_direction():
    draw = np.random.default_rng(4)
    data = table_data(9.0 * draw.normal(size=(32, 6, 6, 2)), np.arange(32) % 10, 10)
    layers = [{"kind": "weight_norm", "layer": conv(5, init={"kind": "lsuv"})}, act("tanh"), dense(10)]
    run = Run(experiment(*layers, batch_size=32, precision="float64"), data)
    found = run.parameters()
    drawn = Initializer.registry["lsuv"]().draw((3, 3, 2, 5), 18, 45, random.key(0, "init", "0.direction"))
    np.testing.assert_array_equal(found["0.direction"], drawn)
    lengths = np.sqrt(np.sum(drawn**2, axis=(0, 1, 2)))
    ratio = found["0.magnitude"] / lengths
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)
    assert ratio[0] < 0.5
    line, _ = run.look()
    assert run.record.view(0, line).at("activation.std", 0)[0] ** 2 == pytest.approx(1.0, abs=0.1)
