"""Backpropagation is checked against central differences for everything in the registries, and the check is shown to
work.
"""

import dataclasses
import math

import numpy as np
import pytest
from experiments import act, dense

from layerscope.core import activations, losses
from layerscope.core.activations import ACTIVATIONS
from layerscope.core.diagnostics.gradient_check import TOLERANCE, check_gradients
from layerscope.core.engine.blas import times, times_transposed, transposed_times
from layerscope.core.engine.kernel import kernel
from layerscope.core.engine.layout import GEMM, ROWS
from layerscope.core.engine.memory import block, matrix
from layerscope.core.experiment import Experiment, build
from layerscope.core.gradient_steps.base import Optimizer
from layerscope.core.initializers import Initializer
from layerscope.core.layers import dense as dense_module
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss

pytestmark = pytest.mark.gradcheck

# A sample network for every kind of layer; a kind without one fails `test_every_layer_kind_has_a_sample`.
LAYER_SAMPLES = {
    "dense": [[dense(9)], [dense(9, bias=False)], [dense(1), dense(9)]],
    "activation": [[dense(9), act(name)] for name in ACTIVATIONS.names()]
    + [[dense(9), act("leaky_relu", slope=0.3)], [dense(9), act("elu", alpha=0.4)], [act("tanh"), dense(9)]],
}
LOSS_SAMPLES = {
    "softmax_cross_entropy": [
        {"kind": "softmax_cross_entropy"},
        {"kind": "softmax_cross_entropy", "label_smoothing": 0.2},
    ],
    "mse": [{"kind": "mse"}],
}


def net(layers, loss=None, **training) -> Experiment:
    return build(
        Experiment,
        {
            "network": [*layers, dense(10)],
            "loss": loss or {"kind": "softmax_cross_entropy"},
            "training": {"batch_size": 7, **training},
        },
    )


def errors(experiment, seed=0):
    checked = check_gradients(experiment, most=12, seed=seed)
    assert all(c.compared > 0 for c in checked)
    # the check must not go blind: at most 1 in 20 numbers may be skipped for a kink (one is always allowed)
    for c in checked:
        assert c.skipped <= max(1, 0.05 * (c.compared + c.skipped)), c
    return max(c.error for c in checked)


def cases():
    for kind, samples in LAYER_SAMPLES.items():
        for index, layers in enumerate(samples):
            for loss, options in LOSS_SAMPLES.items():
                for number, option in enumerate(options):
                    yield pytest.param(layers, option, id=f"{kind}{index}-{loss}{number}")


@pytest.mark.parametrize(("layers", "loss"), list(cases()))
def test_backward_is_the_slope_of_forward(layers, loss):
    assert errors(net(layers, loss)) <= TOLERANCE


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_two_layers_of_every_function_at_several_points(function, seed):
    assert errors(net([dense(8), act(function), dense(6), act(function)]), seed) <= TOLERANCE


@pytest.mark.parametrize("init", Initializer.registry.names())
def test_every_initializer(init):
    assert errors(net([dense(8, init), act("tanh")])) <= TOLERANCE


@pytest.mark.parametrize("optimizer", Optimizer.registry.names())
def test_gradients_do_not_depend_on_the_optimizer(optimizer):
    assert errors(net([dense(8), act("tanh")], optimizer={"kind": optimizer})) <= TOLERANCE


def test_every_layer_kind_has_a_sample():
    assert set(LAYER_SAMPLES) == set(Layer.registry.names())
    assert set(LOSS_SAMPLES) == set(Loss.registry.names())


# --- the check can fail: one fault at a time, every one must be found


@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_a_wrong_slope_of_any_activation_is_found(function, monkeypatch):
    right = ACTIVATIONS[function]
    wrong = activations.relu_backward if function == "identity" else activations.identity_backward
    monkeypatch.setitem(ACTIVATIONS._kinds, function, dataclasses.replace(right, backward=wrong))
    assert not errors_are_fine(net([dense(8), act(function), dense(6), act(function)]))


def errors_are_fine(experiment) -> bool:
    return all(c.error <= TOLERANCE for c in check_gradients(experiment, most=12))


@kernel
def sign_flipped(row, arena, data, context, hyper, statistics):
    rows, n, m = context[ROWS], row[5], row[6]
    transposed_times(context[GEMM], arena, row[1], row[2], row[3], n, rows, m)
    w = block(arena, row[3], n * m)
    for i in range(w.size):
        w[i] = -w[i]


@kernel
def one_sample_lost(row, arena, data, context, hyper, statistics):
    rows, n, m = context[ROWS], row[5], row[6]
    transposed_times(context[GEMM], arena, row[1], row[2], row[3], n, rows - 1, m)


@kernel
def bias_forgotten(row, arena, data, context, hyper, statistics):
    rows, n, m = context[ROWS], row[5], row[6]
    transposed_times(context[GEMM], arena, row[1], row[2], row[3], n, rows, m)
    if row[4] >= 0:
        dy, db = matrix(arena, row[2], rows, m), block(arena, row[4], m)
        for j in range(m):
            db[j] = dy[0, j]


@kernel
def not_transposed(row, arena, data, context, hyper, statistics):
    times(context[GEMM], arena, row[2], row[3], row[1], context[ROWS], row[5], row[4])


@kernel
def one_unit_lost(row, arena, data, context, hyper, statistics):
    times_transposed(context[GEMM], arena, row[2], row[3], row[1], context[ROWS], row[5], row[4])
    dx = matrix(arena, row[1], context[ROWS], row[4])
    for i in range(context[ROWS]):
        dx[i, 0] = 0


@kernel
def not_divided_by_the_batch(row, arena, data, context, hyper, statistics):
    rows, width = context[ROWS], row[4]
    p, t = matrix(arena, row[2], rows, width), matrix(arena, row[3], rows, width)
    for i in range(rows):
        for j in range(width):
            p[i, j] -= t[i, j]


@kernel
def half_the_slope(row, arena, data, context, hyper, statistics):
    rows, width = context[ROWS], row[4]
    y, dy, t = (
        matrix(arena, row[1], rows, width),
        matrix(arena, row[2], rows, width),
        matrix(arena, row[3], rows, width),
    )
    for i in range(rows):
        for j in range(width):
            dy[i, j] = (y[i, j] - t[i, j]) / (rows * width)


SABOTAGE = [
    (dense_module, "dense_weight_gradient", sign_flipped),
    (dense_module, "dense_weight_gradient", one_sample_lost),
    (dense_module, "dense_weight_gradient", bias_forgotten),
    (dense_module, "dense_input_gradient", not_transposed),
    (dense_module, "dense_input_gradient", one_unit_lost),
    (losses, "cross_entropy_backward", not_divided_by_the_batch),
    (losses, "squared_error_backward", half_the_slope),
]


@pytest.mark.parametrize(("module", "name", "fault"), SABOTAGE, ids=[f"{n}-{f.__name__}" for _, n, f in SABOTAGE])
def test_a_sabotaged_backward_is_found(module, name, fault, monkeypatch):
    loss = {"kind": "mse"} if name == "squared_error_backward" else None
    sound = net(
        [dense(10), act("tanh"), dense(10)], loss
    )  # square, so that a missing transpose does not show in the shape
    assert errors_are_fine(sound)
    monkeypatch.setattr(module, name, fault)
    assert not errors_are_fine(sound)


def test_every_backward_kernel_is_sabotaged():
    from layerscope.core.engine.kernel import KERNELS

    backward = {
        k.rsplit(".", 1)[1] for k in KERNELS if k.startswith("layerscope.") and k.endswith(("_backward", "_gradient"))
    }
    known = {name for _, name, _ in SABOTAGE} | {a.backward.__name__ for a in ACTIVATIONS}
    probes = {"measure_gradient", "measure_parameter_gradient"}
    assert backward - probes == known


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
