"""Backpropagation is checked against central differences for everything in the registries, and the check is shown to
work: every way back is sabotaged, and every fault is found.
"""

import dataclasses
import importlib
import inspect
import math
import types

import numpy as np
import pytest
from experiments import act, conv, dense, table_data
from msgspec.structs import replace
from sample_networks import (
    DIGITS,
    LAYER_SAMPLES,
    LOSS_SAMPLES,
    NESTED,
    NORM,
    inception,
    kind,
    net,
    residual,
    weight_norm,
)

from layerscope.core import activations
from layerscope.core.activations import ACTIVATIONS
from layerscope.core.data.base import Data
from layerscope.core.diagnostics.gradient_check import TOLERANCE, check_gradients
from layerscope.core.engine import kernel as kernel_module
from layerscope.core.engine.kernel import kernel
from layerscope.core.engine.layout import PENALTY
from layerscope.core.engine.memory import block
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.initializers import Initializer
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss

pytestmark = pytest.mark.gradcheck

SEEDS = 20


def check(experiment, seed=0, data=DIGITS, most=12):
    return check_gradients(experiment, data, most=most, seed=seed)


def errors(experiment, seed=0, data=DIGITS):
    checked = check(experiment, seed, data)
    assert all(c.compared > 0 for c in checked)
    # the check must not go blind: at most 1 in 20 numbers may be skipped for a kink (one is always allowed)
    for c in checked:
        assert c.skipped <= max(1, 0.05 * (c.compared + c.skipped)), c
    return max(c.error for c in checked)


def errors_are_fine(experiment, data=DIGITS) -> bool:
    return all(c.error <= TOLERANCE for c in check(experiment, data=data))


def samples():
    for name, networks in LAYER_SAMPLES.items():
        for index, layers in enumerate(networks):
            yield pytest.param(layers, id=f"{name}{index}")
    for name, layers in NESTED.items():
        yield pytest.param(layers, id=name.replace(" ", "-"))


def losses():
    for name, options in LOSS_SAMPLES.items():
        for index, option in enumerate(options):
            yield pytest.param(option, id=f"{name}{index}")


@pytest.mark.parametrize("layers", list(samples()))
def test_backward_is_the_slope_of_forward(layers):
    compared = skipped = 0
    for seed in range(SEEDS):
        for c in check(net(layers, seed=seed), seed, most=4):
            assert c.error <= TOLERANCE, (seed, c)
            compared, skipped = compared + c.compared, skipped + c.skipped
    assert skipped <= 0.05 * (compared + skipped)


@pytest.mark.parametrize("loss", list(losses()))
@pytest.mark.parametrize("layers", list(samples()))
def test_every_layer_under_every_loss(layers, loss):
    assert errors(net(layers, loss)) <= TOLERANCE


@pytest.mark.parametrize("loss", list(losses()))
def test_every_loss_at_many_points(loss):
    for seed in range(SEEDS):
        assert errors(net([dense(8), act("tanh")], loss, seed), seed) <= TOLERANCE


def few(classes=2, targets=None) -> Data:
    draw = np.random.default_rng(5)
    data = table_data(draw.normal(size=(9, 4)), np.arange(9) % classes, classes)
    if targets is None:
        return data
    t = draw.normal(size=(9, targets)) * 2
    return replace(data, y_train=t, t_train=t, classes=(), t_validation=np.empty((0, targets)))


@pytest.mark.parametrize("name", [name for name, loss in Loss.registry.items() if loss.single_output])
def test_one_output_for_two_classes(name):
    for seed in range(SEEDS):
        assert errors(net([dense(5), act("tanh")], kind(name), seed, outputs=1), seed, few()) <= TOLERANCE


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("name", [name for name, loss in Loss.registry.items() if loss.for_values])
def test_values_to_predict(name, targets):
    for seed in range(SEEDS):
        experiment = net([dense(5), act("tanh")], kind(name), seed, outputs=targets)
        assert errors(experiment, seed, few(targets=targets)) <= TOLERANCE


@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_two_layers_of_every_function_at_several_points(function):
    for seed in range(5):
        assert errors(net([dense(8), act(function), dense(6), act(function)], seed=seed), seed) <= TOLERANCE


@pytest.mark.parametrize("init", Initializer.registry.names())
def test_every_initializer(init):
    assert errors(net([dense(8, init), act("tanh")])) <= TOLERANCE
    assert errors(net([conv(2, init={"kind": init}), act("tanh")])) <= TOLERANCE


@pytest.mark.parametrize("optimizer", Optimizer.registry.names())
def test_gradients_do_not_depend_on_the_optimizer(optimizer):
    assert errors(net([dense(8), act("tanh")], optimizer=kind(optimizer))) <= TOLERANCE


def test_convolutions_taken_in_parts(monkeypatch):
    module = importlib.import_module("layerscope.core.layers.conv2d")
    layers = [conv(2), act("tanh"), conv(3, 2, stride=2, padding="same")]
    monkeypatch.setattr(module, "LARGEST_MATRIX", 2 * 36 * 9)  # two samples at a time of the first, one of the second
    assert errors(net(layers)) <= TOLERANCE


def test_everything_has_a_sample():
    assert set(LAYER_SAMPLES) == set(Layer.registry.names())
    assert set(LOSS_SAMPLES) == set(Loss.registry.names())


PENALTIES = [kind for kind in Regularizer.registry.names() if Regularizer.registry[kind].stage == "penalty"]
LINKS = [{"regularizers": [{"kind": kind, "strength": 0.02}]} for kind in PENALTIES] + [
    {"regularizers": [{"kind": "l1", "strength": 0.01}, {"kind": "l2", "strength": 0.03}]},
    {"regularizers": [{"kind": "decoupled", "strength": 0.1}, {"kind": "max_norm", "limit": 0.5}]},
    *({"clipping": {"kind": kind, "threshold": 1e-3}} for kind in Clipping.registry.names()),
    {"clipping": {"kind": "global_norm", "threshold": 1e-3}, "regularizers": [{"kind": "l2", "strength": 0.02}]},
]


@pytest.mark.parametrize("links", LINKS, ids=str)
def test_penalties_are_part_of_what_is_differentiated_and_clipping_is_not(links):
    assert errors(net([dense(8), act("tanh")], **links)) <= TOLERANCE


def test_a_wrong_penalty_is_found(monkeypatch):
    from layerscope.core.gradient_steps import l2

    monkeypatch.setattr(l2, "add_l2", penalty_of_twice_the_gradient)
    assert not errors_are_fine(net([dense(8), act("tanh")], regularizers=[{"kind": "l2", "strength": 0.1}]))


@kernel
def penalty_of_twice_the_gradient(row, arena, data, context, hyper, statistics):
    w, g = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    squares = 0.0
    for i in range(w.size):
        squares += w[i] * w[i]
        g[i] += 2.0 * hyper[row[4]] * w[i]
    statistics[PENALTY] += 0.5 * hyper[row[4]] * squares


# --- the check can fail: one fault at a time, every one must be found


@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_a_wrong_slope_of_any_activation_is_found(function, monkeypatch):
    right = ACTIVATIONS[function]
    wrong = activations.relu_backward if function == "identity" else activations.identity_backward
    monkeypatch.setitem(ACTIVATIONS._kinds, function, dataclasses.replace(right, backward=wrong))
    assert not errors_are_fine(net([dense(8), act(function), dense(6), act(function)]))


SQUARE = [dense(10), act("tanh")]  # square, so that a missing transpose does not show in the shape
PLAIN = [dense(8), act("tanh"), dense(8)]
IMAGES = [conv(3), act("tanh"), conv(4, 3, stride=2, padding="same"), act("tanh")]
NORMS = [dense(8), NORM, act("tanh")]
LAYER_NORMS = [dense(8), kind("layer_norm"), act("tanh")]
DROPPED = [dense(8), kind("dropout", rate=0.3), act("tanh")]
AROUND = [dense(8), residual(dense(8), act("tanh"), scale=0.6)]
BESIDE = [dense(8), inception([dense(3), act("tanh")], [dense(4)])]
FLAT = [conv(2), act("tanh"), kind("flatten")]
LARGEST = [conv(2), act("tanh"), kind("max_pool", size=3, stride=1)]
MEAN = [conv(2), act("tanh"), kind("average_pool", size=3, stride=2)]
WHOLE = [conv(2), act("tanh"), kind("global_average_pool")]
LENGTHS = [dense(8), weight_norm(dense(6)), act("tanh")]
SMOOTHED = kind("softmax_cross_entropy", label_smoothing=0.2)
BINARY, SQUARED, HUBER = kind("binary_cross_entropy"), kind("mse"), kind("huber", delta=0.4)

# (module, kernel, text of its source, what stands there instead, network, loss)
FAULTS = [
    ("layers.dense", "dense_weight_gradient", "n, rows, m)", "n, rows - 1, m)", PLAIN, None),
    ("layers.dense", "dense_weight_gradient", "range(1, rows)", "range(2, rows)", PLAIN, None),
    ("layers.dense", "dense_weight_gradient", "db[j] += dy", "db[j] -= dy", PLAIN, None),
    ("layers.dense", "dense_input_gradient", "times_transposed", "times", SQUARE, None),
    ("layers.dense", "dense_input_gradient", "context[ROWS]", "context[ROWS] - 1", PLAIN, None),
    ("layers.conv2d", "conv2d_weight_gradient", "count * area, filters)", "count * area - 1, filters)", IMAGES, None),
    ("layers.conv2d", "conv2d_weight_gradient", "rows * area, filters)", "rows * area - 1, filters)", IMAGES, None),
    ("layers.conv2d", "conv2d_input_gradient", "times_transposed", "times", IMAGES, None),
    ("layers.conv2d", "conv2d_input_gradient", "inputs, count, hyper", "inputs, count - 1, hyper", IMAGES, None),
    ("layers.batch_norm", "batch_norm_backward", "dbeta[j] + normal", "normal", NORMS, None),
    ("layers.batch_norm", "batch_norm_backward", " + normal * dgamma[j]", "", NORMS, None),
    ("layers.batch_norm", "batch_norm_backward", "+ normal", "- normal", NORMS, None),
    ("layers.batch_norm", "batch_norm_backward", "gamma[j] * scale[j] *", "scale[j] *", NORMS, None),
    ("layers.batch_norm", "batch_norm_backward", "1.0 / count", "1.0 / (count - 1)", NORMS, None),
    (
        "layers.batch_norm",
        "batch_norm_backward",
        "dy, x, center, scale, dgamma",
        "dy, dy, center, scale, dgamma",
        NORMS,
        None,
    ),
    ("layers.layer_norm", "layer_norm_backward", " - mean", "", LAYER_NORMS, None),
    ("layers.layer_norm", "layer_norm_backward", " - normal * slope", "", LAYER_NORMS, None),
    ("layers.layer_norm", "layer_norm_backward", "(gamma[j] * dy[i, j]", "(dy[i, j]", LAYER_NORMS, None),
    ("layers.layer_norm", "layer_norm_backward", "total / n", "total / (n - 1)", LAYER_NORMS, None),
    ("layers.layer_norm", "layer_norm_backward", "dbeta[j] += dy", "dbeta[j] = dy", LAYER_NORMS, None),
    ("layers.layer_norm", "layer_norm_backward", "dgamma[j] += dy", "dgamma[j] -= dy", LAYER_NORMS, None),
    ("layers.dropout", "dropout_backward", " * mask[i]", "", DROPPED, None),
    ("layers.residual", "add_backward", "factor * dy", "dy", AROUND, None),
    ("layers.residual", "add_backward", "factor * dy", "-factor * dy", AROUND, None),
    ("layers.inception", "concatenate_backward", "first + j", "j", BESIDE, None),
    ("layers.inception", "concatenate_backward", "= dy", "= -dy", BESIDE, None),
    ("layers.flatten", "flatten_backward", "= dy[i]", "= dy[count - 1 - i]", FLAT, None),
    ("layers.pool", "max_pool_backward", "+= dy[c]", "= dy[c]", LARGEST, None),
    ("layers.pool", "max_pool_backward", "u, v = divmod", "v, u = divmod", LARGEST, None),
    ("layers.pool", "max_pool_backward", "i * stride + u", "i + u", [*LARGEST[:2], kind("max_pool")], None),
    ("layers.pool", "average_pool_backward", "+= share * dy", "+= dy", MEAN, None),
    ("layers.pool", "average_pool_backward", "+= share * dy", "= share * dy", MEAN, None),
    ("layers.pool", "average_pool_backward", "range(size)", "range(size - 1)", MEAN, None),
    ("layers.pool", "global_average_pool_backward", "share * dy", "dy", WHOLE, None),
    ("layers.weight_norm", "weight_norm_backward", " - dg[j] * inverse[j] * v[i, j]", "", LENGTHS, None),
    ("layers.weight_norm", "weight_norm_backward", "dg[j] /= length[j]", "dg[j] *= length[j]", LENGTHS, None),
    ("layers.weight_norm", "weight_norm_backward", "= g[j] * inverse[j]", "= inverse[j]", LENGTHS, None),
    ("losses.softmax_cross_entropy", "cross_entropy_backward", ")) / rows", "))", PLAIN, None),
    ("losses.softmax_cross_entropy", "cross_entropy_backward", "(1.0 - smoothing) * t", "t", PLAIN, SMOOTHED),
    ("losses.binary_cross_entropy", "binary_cross_entropy_backward", "- t[i]", "+ t[i]", PLAIN, BINARY),
    (
        "losses.binary_cross_entropy",
        "binary_cross_entropy_backward",
        "1.0 / count",
        "1.0 / context[ROWS]",
        PLAIN,
        BINARY,
    ),
    ("losses.mse", "squared_error_backward", "2.0 / count", "1.0 / count", PLAIN, SQUARED),
    ("losses.mse", "squared_error_backward", "y[i] - t[i]", "t[i] - y[i]", PLAIN, SQUARED),
    ("losses.huber", "huber_backward", "(-delta if off < -delta else off)", "off", PLAIN, HUBER),
    ("losses.huber", "huber_backward", "1.0 / count", "1.0", PLAIN, HUBER),
    ("engine.steps", "add_share", "+= share", "= share", AROUND, None),
]


def sabotaged(module, name, old, new, number):
    """The kernel with one piece of its source exchanged, as a function of its own."""
    source = inspect.getsource(getattr(module, name))
    assert old in source, f"{name} has changed: {old!r} stands there no more"
    source = source.replace(old, new).replace("@kernel\n", "")
    kernel_module.link()
    names = dict(vars(module), __name__="sabotage")
    exec(compile(source, f"{name} {number}", "exec"), names)
    fault = names[name]
    assert isinstance(fault, types.FunctionType)
    fault.__qualname__ = f"{name}_{number}"
    return fault


@pytest.mark.parametrize(
    ("number", "fault"), list(enumerate(FAULTS)), ids=[f"{f[1]}: {f[3] or 'nothing'} for {f[2]}" for f in FAULTS]
)
def test_a_sabotaged_way_back_is_found(number, fault, monkeypatch):
    path, name, old, new, layers, loss = fault
    module = importlib.import_module(f"layerscope.core.{path}")
    sound = net(layers, loss)
    assert errors_are_fine(sound)
    # what is compiled here is not kept: it has no file
    monkeypatch.setattr(kernel_module, "OPTIONS", {**kernel_module.OPTIONS, "cache": False})
    monkeypatch.setattr(module, name, sabotaged(module, name, old, new, number))
    if name == "add_share":
        monkeypatch.setattr("layerscope.core.engine.program.add_share", getattr(module, name))
    assert not errors_are_fine(sound)


def test_every_way_back_is_sabotaged():
    backward = {
        name.rsplit(".", 1)[1]
        for name in kernel_module.KERNELS
        if name.split(".")[2] in ("layers", "losses", "activations") and name.endswith(("_backward", "_gradient"))
    }
    assert backward == {fault[1] for fault in FAULTS} - {"add_share"} | {a.backward.__name__ for a in ACTIVATIONS}


def test_a_check_that_compared_nothing_has_not_passed():
    from layerscope.core.diagnostics.gradient_check import Checked

    assert not Checked("w", math.nan, 10, 0).passed
    assert not Checked("w", 0.0, 0, 10).passed
    assert not Checked("w", 2e-6, 10, 0).passed
    assert Checked("w", 1e-9, 10, 0).passed


def test_relative_error_is_symmetric():
    from layerscope.core.diagnostics.gradient_check import relative_error

    a, b = np.array([1.0, 2.0]), np.array([1.0, 2.1])
    assert relative_error(a, b) == relative_error(b, a) > TOLERANCE
