"""What each kind of layer promises beyond its formula: single precision, minibatches of one, evaluation, strange
numbers, what it says when it cannot be, and what it knows about memory.
"""

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment, table_data

from layerscope.core.engine import random
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, build
from layerscope.core.layers.base import Layer
from layerscope.core.network import LARGEST_MEMORY, memory, plan
from layerscope.core.run import Run

NORM = {"kind": "batch_norm"}


def layer(kind, **fields) -> Layer:
    return build(Layer, {"kind": kind, **fields})


def run_on(x, *layers, batch=None, **training) -> Run:
    x = np.asarray(x, dtype=np.float64)
    data = table_data(x, np.arange(len(x)) % 2, 2)
    batch = batch or len(x)
    return Run(experiment(*layers, dense(2), batch_size=batch, **{"shuffle": False, **training}), data)


def output_of(run, path="0"):
    """(rows, *shape): what a layer put out in the last step computed."""
    found = next(entry for entry in run.program.layers if entry.path == path)
    rows = run.machine.rows
    return run.machine.arena[found.wire.at : found.wire.at + rows * found.wire.width].reshape(rows, *found.wire.shape)


# --- batch norm


@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_batch_norm_keeps_its_digits_in_single_precision(shift):
    draw = np.random.default_rng(0)
    x = (draw.normal(size=(64, 28, 28, 3)) + shift).astype(np.float32)  # 50,176 numbers a channel
    run = run_on(x, NORM)
    run.look()
    exact = x.astype(np.float64)
    mean, variance = exact.mean(axis=(0, 1, 2)), exact.var(axis=(0, 1, 2))
    expected = (exact - mean) / np.sqrt(variance + 1e-5)
    found = output_of(run).astype(np.float64)
    limit = 3e-6 if shift == 0 else 1e-5  # numbers near 30 are themselves known to 1e-6
    assert np.abs(found - expected).max() < limit
    run.advance(1)
    kept = run.parameters()
    np.testing.assert_allclose(kept["0.running_mean"], 0.1 * mean, rtol=2e-6, atol=1e-7)
    unbiased = exact.reshape(-1, 3).var(axis=0, ddof=1)
    np.testing.assert_allclose(kept["0.running_variance"], 0.9 + 0.1 * unbiased, rtol=2e-6)


def test_long_sums_of_gradients_keep_their_digits():
    # every gradient of a bias is a sum over 50,000 places; with weights all alike the sum has no random signs to help
    x = np.ones((64, 28, 28, 1))
    grads = {}
    for precision in ("float32", "float64"):
        run = run_on(x, conv(2, 1), NORM, act("sigmoid"), precision=precision)
        run.parameter(run.program.tensors[0])[...] = 0.5
        run.look()
        grads[precision] = {t.name: run.gradient(t).astype(float) for t in run.program.tensors if t.parameter.trained}
    np.testing.assert_allclose(grads["float32"]["1.beta"], grads["float64"]["1.beta"], rtol=2e-5)


def test_batch_norm_of_a_single_sample_is_beta_and_leaves_the_running_variance():
    x = np.random.default_rng(1).normal(size=(5, 4))
    run = run_on(x, dense(4), NORM, batch=2)  # the last minibatch holds one sample
    run.advance(2)
    before = run.parameters()
    line, _ = run.look()
    assert run.machine.rows == 1
    np.testing.assert_array_equal(output_of(run, "1")[0], before["1.beta"])
    assert np.isfinite(line[0])
    run.advance(1)
    after = run.parameters()
    np.testing.assert_array_equal(after["1.running_variance"], before["1.running_variance"])
    assert not np.array_equal(after["1.running_mean"], before["1.running_mean"])
    np.testing.assert_array_equal(after["0.weight"], before["0.weight"])  # nothing comes back through it


def test_batch_norm_of_one_image_normalizes_over_its_pixels():
    x = np.random.default_rng(2).normal(size=(1, 5, 5, 2)) * 3 + 1
    run = run_on(x, NORM)
    run.look()
    found = output_of(run)
    np.testing.assert_allclose(found.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(found.std(axis=(0, 1, 2)), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(6,), (4, 4, 3)])
def test_batch_norm_in_evaluation_uses_what_it_has_seen(shape):
    draw = np.random.default_rng(3)
    x = draw.normal(size=(40, *shape)) * 2 + 5
    run = run_on(x, NORM, batch=10, precision="float64")
    run.advance(100)
    kept = run.parameters()
    h = (x - kept["0.running_mean"]) / np.sqrt(kept["0.running_variance"] + 1e-5) * kept["0.gamma"] + kept["0.beta"]
    expected = h.reshape(40, -1) @ kept["1.weight"] + kept["1.bias"]
    np.testing.assert_allclose(run.outputs(x, run.data.t_train), expected, rtol=1e-10)
    # one sample is then like any other
    np.testing.assert_allclose(run.outputs(x[:1], run.data.t_train[:1]), expected[:1], rtol=1e-10)
    np.testing.assert_allclose(kept["0.running_mean"], x.mean(axis=0).reshape(-1, shape[-1]).mean(axis=0), rtol=0.05)


# --- layer norm


@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_layer_norm_keeps_its_digits_in_single_precision(shift):
    x = (np.random.default_rng(4).normal(size=(3, 28, 28, 16)) + shift).astype(np.float32)
    run = run_on(x, {"kind": "layer_norm"})
    run.look()
    exact = x.astype(np.float64)
    mean = exact.mean(axis=(1, 2, 3), keepdims=True)
    expected = (exact - mean) / np.sqrt(exact.var(axis=(1, 2, 3), keepdims=True) + 1e-5)
    assert np.abs(output_of(run) - expected).max() < (2e-6 if shift == 0 else 2e-5)


def test_layer_norm_is_the_same_in_evaluation_and_for_any_minibatch():
    x = np.random.default_rng(5).normal(size=(6, 7))
    run = run_on(x, {"kind": "layer_norm"}, precision="float64")
    run.look()
    whole = output_of(run).copy()
    alone = run_on(x, {"kind": "layer_norm"}, precision="float64", batch=1)
    alone.look()
    np.testing.assert_array_equal(output_of(alone)[0], whole[0])
    outputs = run.value(next(o for o in run.program.operations if o.phase == "loss"))
    np.testing.assert_allclose(run.outputs(x, run.data.t_train), outputs, rtol=1e-13)


# --- dropout


def test_dropout_keeps_its_share_and_its_mean_and_does_nothing_in_evaluation():
    x = np.ones((50, 400))
    run = run_on(x, {"kind": "dropout", "rate": 0.3}, precision="float64")
    run.look()
    found = output_of(run)
    assert set(np.unique(found)) == {0.0, 1 / 0.7}
    assert np.mean(found == 0) == pytest.approx(0.3, abs=0.012)  # 3 standard deviations
    kept = run.parameters()
    np.testing.assert_allclose(run.outputs(x, run.data.t_train), x @ kept["1.weight"] + kept["1.bias"], rtol=1e-12)


def test_dropout_draws_anew_at_every_step_and_the_same_for_the_same_step():
    x = np.ones((8, 100))
    run = run_on(x, {"kind": "dropout"})
    masks = []
    for step in range(4):
        run.seek(step)
        run.look()
        masks.append(output_of(run) > 0)
    assert all(not np.array_equal(masks[0], other) for other in masks[1:])
    run.seek(2)
    run.look()
    np.testing.assert_array_equal(output_of(run) > 0, masks[2])
    entry = run.program.plan.cards[0]
    trace = entry.layer.trace(lambda purpose: random.key(0, purpose, "0"), np.arange(4), 8, entry.given)
    np.testing.assert_array_equal(trace["mask"].astype(bool), np.array(masks))


def test_what_passes_at_one_rate_passes_at_every_smaller_one():
    x = np.ones((8, 100))
    found = []
    for rate in (0.2, 0.5, 0.8):
        run = run_on(x, {"kind": "dropout", "rate": rate})
        run.look()
        found.append(output_of(run) > 0)
    assert np.all(found[0] >= found[1])
    assert np.all(found[1] >= found[2])


# --- pooling and convolution


def test_pools_take_the_largest_and_the_mean():
    x = np.random.default_rng(6).normal(size=(3, 7, 6, 2))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2]
    for kind, expected in (("max_pool", windows.max(axis=(-2, -1))), ("average_pool", windows.mean(axis=(-2, -1)))):
        run = run_on(x, {"kind": kind, "size": 3, "stride": 2}, precision="float64")
        run.look()
        np.testing.assert_allclose(output_of(run), expected, rtol=1e-13)
    run = run_on(x, {"kind": "global_average_pool"}, precision="float64")
    run.look()
    np.testing.assert_allclose(output_of(run), x.mean(axis=(1, 2)), rtol=1e-13)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("kind", ["max_pool", "average_pool", "global_average_pool", "batch_norm", "layer_norm"])
def test_a_nan_stays_visible(kind, place):
    x = np.random.default_rng(7).normal(size=(2, 4, 4, 1))
    run = run_on(x, {"kind": kind})
    run.machine.data[place[0] * 4 + place[1]] = np.nan
    run.look()
    assert np.isnan(output_of(run)[0, ..., 0]).any()


def test_the_first_of_equal_numbers_gets_the_gradient():
    x = np.zeros((1, 4, 4, 1))
    run = run_on(x, conv(1, 1), {"kind": "max_pool"}, precision="float64")
    run.look()
    wire = next(entry for entry in run.program.layers if entry.path == "0").wire
    gradient = run.machine.arena[wire.gradient : wire.gradient + 16].reshape(4, 4)
    assert np.count_nonzero(gradient) == 4
    assert np.all(gradient[::2, ::2] != 0)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_convolution_is_its_definition(size, stride, padding):
    x = np.random.default_rng(8).normal(size=(2, 6, 7, 3))
    run = run_on(x, conv(4, size, stride=stride, padding=padding), precision="float64")
    run.look()
    weights, bias = run.parameters()["0.weight"], run.parameters()["0.bias"]
    if padding == "same":
        around = [(0, 0)]
        for length in (6, 7):
            total = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
            around.append((total // 2, total - total // 2))
        x = np.pad(x, [*around, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    expected = np.einsum("nijcuv,uvco->nijo", windows, weights) + bias
    assert output_of(run).shape == expected.shape
    np.testing.assert_allclose(output_of(run), expected, atol=1e-13)


# --- blocks


def test_parts_of_blocks_have_the_paths_of_the_contract():
    network = [
        dense(4),
        {"kind": "residual", "body": [dense(4), act("tanh")], "shortcut": "projection"},
        {"kind": "inception", "branches": [[dense(2)], [dense(3), act("relu")], []]},
    ]
    found = plan(build(Experiment, {"network": [*network, dense(10)]}))
    assert [card.path for card in found.cards] == [
        "0", "1.body.0", "1.body.1", "1.shortcut", "1", "2.branches.0.0", "2.branches.1.0", "2.branches.1.1", "2", "3",
    ]  # fmt: skip
    assert [card.shape for card in found.cards if "." not in card.path] == [(4,), (4,), (9,), (10,)]
    assert not found.problems


def test_branches_write_their_channels_side_by_side():
    x = np.random.default_rng(9).normal(size=(2, 4, 4, 3))
    run = run_on(x, {"kind": "inception", "branches": [[conv(2, 1)], [], [conv(1, 3, padding="same")]]})
    run.look()
    found = output_of(run, "0")
    np.testing.assert_array_equal(found[..., :2], output_of(run, "0.branches.0.0"))
    np.testing.assert_array_equal(found[..., 2:5], x.astype(np.float32))
    np.testing.assert_array_equal(found[..., 5:], output_of(run, "0.branches.2.0"))


def test_every_step_back_shows_a_share_of_the_gradient_that_it_computed():
    """What the window shows of an operation on its way back is written by that very operation."""
    x = np.random.default_rng(10).normal(size=(4, 6))
    block = {"kind": "inception", "branches": [[dense(3), act("tanh")], [dense(2)], []]}
    run = run_on(x, dense(5), {"kind": "residual", "body": [block, dense(5)]}, act("tanh"), precision="float64")
    run.look()
    for operation in (o for o in run.program.operations if o.phase == "backward"):
        rows = run.machine.rows if operation.per_sample else 1
        size = rows * math.prod(operation.shape)
        assert operation.place >= 0
        run.seek(run.step)
        run.micro(operation.first_row)
        run.machine.arena[operation.place : operation.place + size] = np.nan
        writes = not any(
            card.path == operation.path and card.layer.inside(card.given) for card in run.program.plan.cards
        )
        if writes and operation.path != "loss":
            run.micro(operation.last_row - operation.first_row)
            assert np.isfinite(run.machine.arena[operation.place : operation.place + size]).all(), operation
        run.seek(run.step)


# --- weight norm


def test_weight_norm_starts_as_the_layer_that_it_wraps():
    x = np.random.default_rng(11).normal(size=(6, 5))
    plain = run_on(x, dense(4, "he_normal"), precision="float64")
    wrapped = run_on(x, {"kind": "weight_norm", "layer": dense(4, "he_normal")}, precision="float64")
    parameters = wrapped.parameters()
    assert set(parameters) == {"0.direction", "0.magnitude", "0.bias", "1.weight", "1.bias"}
    np.testing.assert_allclose(parameters["0.magnitude"], np.linalg.norm(parameters["0.direction"], axis=0), rtol=1e-14)
    wrapped.parameter(wrapped.program.tensors[0])[...] = 3.0 * plain.parameters()["0.weight"]  # length does not matter
    wrapped.parameter(wrapped.program.tensors[1])[...] = np.linalg.norm(plain.parameters()["0.weight"], axis=0)
    plain.look()
    wrapped.look()
    np.testing.assert_allclose(output_of(wrapped), output_of(plain), rtol=1e-12)
    card = wrapped.program.plan.cards[0]
    values = {t.parameter.name: wrapped.parameter(t) for t in wrapped.program.tensors if t.path == "0"}
    np.testing.assert_allclose(card.layer.weights(values), plain.parameters()["0.weight"], rtol=1e-12)


def test_regularizers_act_on_the_magnitude_and_the_record_reports_the_direction():
    parameters = {p.name: p for p in layer("weight_norm", layer=dense(4)).parameters((5,))}
    assert {name for name, p in parameters.items() if p.regularized} == {"magnitude"}
    assert {name for name, p in parameters.items() if p.weight} == {"direction"}


# --- what is said when a network cannot be


@pytest.mark.parametrize(
    ("said", "given", "words"),
    [
        ({"kind": "max_pool"}, (5,), "works on images"),
        ({"kind": "average_pool", "size": 9}, (8, 8, 1), "does not fit"),
        ({"kind": "global_average_pool"}, (5,), "before the first flatten"),
        ({"kind": "conv2d", "filters": 2}, (5,), "before the first flatten"),
        ({"kind": "weight_norm", "layer": act("relu")}, (5,), "dense layer or a convolution"),
        ({"kind": "weight_norm", "layer": {"kind": "residual", "body": []}}, (5,), "dense layer or a convolution"),
        ({"kind": "weight_norm", "layer": {"kind": "weight_norm", "layer": dense(3)}}, (5,), "dense layer or a conv"),
        ({"kind": "weight_norm", "layer": NORM}, (5,), "dense layer or a convolution"),
        ({"kind": "weight_norm", "layer": dense(3, "zeros")}, (5,), "choose another init"),
        ({"kind": "inception", "branches": [[dense(3)], []]}, (4, 4, 2), "side by side"),
        ({"kind": "inception", "branches": [[conv(1)], []]}, (4, 4, 2), "same height and width"),
        ({"kind": "residual", "body": [dense(3)]}, (5,), "cannot be added"),
        ({"kind": "residual", "body": [conv(2)], "shortcut": "projection"}, (9, 9, 1), "no projection"),
    ],
)
def test_what_cannot_be_is_said_with_the_way_out(said, given, words):
    with pytest.raises(InputError, match=words) as caught:
        build(Layer, said).output_shape(given)
    assert "\n" not in caught.value.problem


def test_a_problem_inside_of_a_block_is_named_by_its_place():
    inner = {"kind": "residual", "body": [dense(4), {"kind": "max_pool"}]}
    found = plan(build(Experiment, {"network": [{"kind": "inception", "branches": [[], [inner]]}, dense(10)]}))
    assert found.problems[0][0] == "network.0.branches.1.0.body.1"


# --- memory and threads


def test_the_plan_of_memory_is_about_what_the_program_takes():
    x = np.zeros((64, 28, 28, 1))
    layers = [
        conv(16, padding="same"),
        NORM,
        act("relu"),
        {"kind": "max_pool"},
        {"kind": "residual", "body": [conv(16, padding="same"), {"kind": "dropout"}]},
        {"kind": "inception", "branches": [[conv(8, 1)], [{"kind": "weight_norm", "layer": conv(8, padding="same")}]]},
        {"kind": "flatten"},
        {"kind": "layer_norm"},
        {"kind": "weight_norm", "layer": dense(300)},
    ]
    run = run_on(x, *layers)
    planned = memory(run.experiment, (28, 28, 1), list(run.program.plan.cards))
    assert planned == pytest.approx(4 * run.program.arena_size, rel=0.05)
    assert planned < LARGEST_MEMORY


def test_a_large_convolution_gets_a_second_thread(monkeypatch):
    monkeypatch.setattr("layerscope.core.engine.program.os.cpu_count", lambda: 8)
    for library in ("OMP", "OPENBLAS", "MKL"):
        monkeypatch.delenv(f"{library}_NUM_THREADS", raising=False)
    x = np.zeros((64, 28, 28, 8))
    assert run_on(x, conv(2, 1)).program.threads == 1
    assert run_on(x, conv(128, 3)).program.threads == 4
    assert run_on(x, {"kind": "weight_norm", "layer": conv(128, 3)}).program.threads == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # a person's own limit is obeyed
    assert run_on(x, conv(128, 3)).program.threads == 2


def test_a_branch_that_is_no_list_is_told_so():
    with pytest.raises(InputError, match=r"^network\.0\.branches\.0: must be a list, not "):
        build(Experiment, {"network": [{"kind": "inception", "branches": [{"kind": "dense"}]}]})
