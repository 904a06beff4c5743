"""Trainings with numbers of 16 bits: everything is rounded, what is lost is counted, and scaling the loss helps."""

import csv
import json
from importlib import resources
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from experiments import act, dense, experiment, table_data

from layerscope.core import cli, record
from layerscope.core.diagnostics.gradient_check import check_gradients
from layerscope.core.diagnostics.probes import LAYER_COLUMNS, SHARE_COLUMNS
from layerscope.core.engine import precision
from layerscope.core.engine.kernel import kernel
from layerscope.core.engine.memory import block
from layerscope.core.engine.precision import COUNT_COLUMNS, FORMATS, rounded
from layerscope.core.engine.program import compile_program
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, build, from_json, load, to_json, with_value
from layerscope.core.layers.base import Layer
from layerscope.core.network import memory, plan
from layerscope.core.run import Run

ORACLE = Path(__file__).parents[1] / "oracles" / "rounded.npz"
SMALL = [dense(12), act("tanh"), dense(10)]
STATIC, DYNAMIC = {"kind": "static", "factor": 1024.0}, {"kind": "dynamic"}
HUGE = {"kind": "static", "factor": 2.0**40}


def conv(**fields):
    return {"kind": "conv2d", "filters": 3, **fields}


# A body for every kind of layer, in a network that ends with a dense layer.
BODIES = {
    "dense": [dense(9), dense(9, bias=False)],
    "activation": [dense(9), act("gelu"), dense(9), act("elu")],
    "conv2d": [conv(), act("relu"), conv(padding="same", stride=2)],
    "dropout": [dense(9), {"kind": "dropout", "rate": 0.3}],
    "batch_norm": [conv(), {"kind": "batch_norm"}, dense(9), {"kind": "batch_norm"}],
    "residual": [
        dense(9),
        {"kind": "residual", "body": [{"kind": "residual", "body": [dense(9), act("tanh")]}, dense(9)], "scale": 0.3},
        {"kind": "residual", "body": [dense(7), act("relu")], "shortcut": "projection"},
    ],
    "max_pool": [conv(), {"kind": "max_pool"}],
    "average_pool": [conv(), {"kind": "average_pool"}],
    "global_average_pool": [conv(), {"kind": "global_average_pool"}],
    "flatten": [conv(), {"kind": "flatten"}, dense(9)],
    "layer_norm": [dense(9), {"kind": "layer_norm"}],
    "weight_norm": [
        {"kind": "weight_norm", "layer": dense(9)},
        act("tanh"),
        {"kind": "weight_norm", "layer": dense(9)},
    ],
    "inception": [conv(), {"kind": "inception", "branches": [[conv()], [conv(kernel_size=1), conv()]]}],
}


def holds(values, name):
    """Whether all values are numbers of the format."""
    values = np.asarray(values, dtype=np.float32)
    return np.array_equal(values, rounded(values, name), equal_nan=True)


def sixteen(name, *layers, **training):
    return experiment(*(layers or SMALL), precision=name, **training)


def after(made, steps):
    run = Run(made)
    run.advance(steps)
    return run


# --- everything is rounded


@pytest.mark.parametrize("masters", [True, False])
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", Layer.registry.names())
def test_every_operation_of_every_layer_leaves_numbers_of_16_bits(kind, name, masters):
    run = after(sixteen(name, *BODIES[kind], dense(10), master_weights=masters), 2)
    seen = set()
    while run.step == 2:
        operation = run.operation_forward()
        if run.step == 2 and operation.phase != "update":
            assert holds(run.value(operation), name), operation
            seen.add(operation.phase)
    assert seen == {"data", "forward", "loss", "backward"}
    for layer in run.program.layers:
        rows = run.machine.rows * layer.wire.width
        assert holds(run.machine.arena[layer.wire.at :][:rows], name)
        assert holds(run.machine.arena[layer.wire.gradient :][:rows], name)
    for tensor in run.program.tensors:
        if tensor.parameter.trained:
            assert holds(run.gradient(tensor), name)
            assert holds(run.machine.arena[tensor.at :][: tensor.parameter.count], name) is True
            assert holds(run.parameter(tensor), name) != masters or not np.any(run.gradient(tensor))
        elif not masters:
            assert holds(run.parameter(tensor), name)
    x, t = run.data.x_validation[:50], run.data.t_validation[:50]
    assert holds(run.outputs(x, t), name)


def test_single_precision_is_not_rounded():
    run = after(experiment(*SMALL), 2)
    assert not holds(run.value(run.program.operations[1]), "float16")


@pytest.mark.parametrize("training", [{}, {"averaging": {"kind": "ema"}}], ids=["plain", "averaging"])
def test_programs_of_32_bits_have_no_row_more(training):
    body = [conv(), {"kind": "batch_norm"}, *BODIES["residual"], dense(10)]
    plain, half = (experiment(*body, precision=p, **training) for p in ("float32", "float16"))
    data = plain.data.load(0)
    programs = [compile_program(made, data) for made in (plain, half)]
    names = [[program.kernels[row[0]] for row in program.table] for program in programs]
    ours = {getattr(precision, n) for n in ("round_values", "round_array", "copy_rounded", "begin_counts")}
    assert not ours & set(names[0])
    assert ours <= set(names[1])
    assert names[0] == [function for function in names[1] if function not in ours]
    assert programs[0].layer_columns == LAYER_COLUMNS + SHARE_COLUMNS  # there are blocks
    assert programs[1].layer_columns == LAYER_COLUMNS + COUNT_COLUMNS + SHARE_COLUMNS
    assert "loss_scale" not in programs[1].run_columns
    assert all(t.at == t.master for t in programs[0].tensors)


@pytest.mark.parametrize("name", FORMATS)
def test_one_step_is_that_of_pytorch(name):
    """Every operation in float32, its result rounded by Tensor.to.

    Sums are added up in another order, so a result that lies almost halfway between two numbers may go to the other
    one, one unit in the last place away: at most one in fifty does, and most arrays have none.
    """
    with np.load(ORACLE) as file:
        oracle = dict(file)
    made = build(
        Experiment,
        {
            "network": [dense(7), act("tanh"), dense(6), act("relu"), dense(3)],
            "training": {
                "batch_size": 11,
                "precision": name,
                "shuffle": False,
                "optimizer": {"kind": "sgd", "learning_rate": 0.1},
                "loss_scale": STATIC,
            },
        },
    )
    run = Run(made, table_data(oracle["x"], oracle["y"], 3))
    for index, tensor in enumerate(run.program.tensors):
        run.parameter(tensor)[...] = oracle[f"start.{index}"]
    run.advance(1)
    assert run.last_loss == pytest.approx(float(oracle[f"{name}.loss"]), rel=1e-3)
    digits = 10 if name == "float16" else 7
    strange = compared = 0

    def compare(found, wanted, weights=False):
        nonlocal strange, compared
        unit = 2.0**-digits * np.maximum(np.abs(wanted), 2.0**-14) * (0.1 if weights else 1.0)
        assert (np.abs(found - wanted) <= (1.5 if weights else 1.0) * unit).all()
        strange += np.count_nonzero(found != wanted)
        compared += wanted.size

    arena = run.machine.arena
    for index, layer in enumerate(run.program.layers):
        count = 11 * layer.wire.width
        compare(arena[layer.wire.at :][:count], oracle[f"{name}.activation.{index}"].ravel())
        compare(arena[layer.wire.gradient :][:count], oracle[f"{name}.gradient.{index}"].ravel())
    for index, tensor in enumerate(run.program.tensors):
        compare(run.gradient(tensor), oracle[f"{name}.weight_gradient.{index}"])
        compare(run.parameter(tensor), oracle[f"{name}.weight.{index}"], weights=True)
    assert compared > 600
    assert strange <= compared / 50


class Halved(Layer, frozen=True, kw_only=True, tag="halved"):
    """Wraps a layer: its weights are a third of those that are learned."""

    label = "halved"
    layer: Layer

    def output_shape(self, given):
        return self.layer.output_shape(given)

    def parameters(self, given):
        whole, *rest = self.layer.parameters(given)
        return (msgspec.structs.replace(whole, name="direction"), *rest)

    def emit(self, build, x):
        whole = build.parameter("direction")
        third = build.stand_in(msgspec.structs.replace(whole.parameter, name="weight"))
        build.forward(third_of, whole.at, third.at, whole.parameter.count)
        y = build.wrapped(self.layer, x)
        build.backward(third_of, third.gradient, whole.gradient, whole.parameter.count)
        self.thirds.append(third)
        return y

    thirds: ClassVar[list] = []


@kernel
def third_of(row, arena, data, context, hyper, statistics):
    a, b = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    for i in range(a.size):
        b[i] = a[i] / a.dtype.type(3)


def test_weights_that_a_layer_computes_for_another_are_rounded(monkeypatch):
    monkeypatch.setitem(Layer.registry._kinds, "halved", Halved)
    wrapping = Halved(layer=Layer.registry["dense"](units=9))
    made = msgspec.structs.replace(sixteen("bfloat16"), network=(wrapping, *sixteen("bfloat16").network[1:]))
    run = after(made, 1)
    third, whole = Halved.thirds[0], run.program.tensors[0]
    count = third.parameter.count
    read = run.machine.arena[third.at :][:count]
    assert holds(read, "bfloat16")
    slope = run.machine.arena[third.gradient :][:count]
    assert holds(slope, "bfloat16")
    assert slope.any()
    with np.errstate(under="ignore"):
        np.testing.assert_array_equal(
            run.gradient(whole).ravel(), rounded(slope / np.float32(3), "bfloat16"), strict=False
        )


# --- weights


def test_layers_read_rounded_copies_of_the_master_weights():
    run = after(sixteen("float16"), 5)
    run.operation_forward()
    for tensor in run.program.tensors:
        copy = run.machine.arena[tensor.at :][: tensor.parameter.count].reshape(tensor.parameter.shape)
        np.testing.assert_array_equal(copy, rounded(run.parameter(tensor), "float16"))
        assert tensor.at != tensor.master
    # an evaluation sees no more of a weight than the layers do
    x, t = run.data.x_validation[:40], run.data.t_validation[:40]
    before = run.outputs(x, t)
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = rounded(run.parameter(tensor), "float16")
    np.testing.assert_array_equal(run.outputs(x, t), before)


def test_running_statistics_stay_numbers_of_32_bits_like_the_masters():
    body = [dense(9), {"kind": "batch_norm"}, dense(10)]
    mean = "1.running_mean"
    assert not holds(after(sixteen("bfloat16", *body), 5).parameters()[mean], "bfloat16")
    assert holds(after(sixteen("bfloat16", *body, master_weights=False), 5).parameters()[mean], "bfloat16")


def test_initial_weights_and_those_of_a_fork_are_rounded_where_there_are_no_masters():
    bare = sixteen("bfloat16", master_weights=False)
    assert all(holds(values, "bfloat16") for values in Run(bare).parameters().values())
    run = after(experiment(*SMALL), 30)
    child = run.fork(bare)
    for name, values in child.parameters().items():
        np.testing.assert_array_equal(values, rounded(run.parameters()[name], "bfloat16"))


def test_without_masters_small_updates_vanish_and_nothing_is_learned():
    slow = {"epochs": 20, "batch_size": 64, "optimizer": {"kind": "sgd", "learning_rate": 1e-3}}
    layers = [dense(32), act("tanh"), dense(10)]
    losses = {}
    for masters in (True, False):
        run = Run(sixteen("bfloat16", *layers, master_weights=masters, **slow))
        run.advance(run.last_step)
        losses[masters] = run.validate()[0]
    run = Run(experiment(*layers, **slow))
    run.advance(run.last_step)
    exact = run.validate()[0]
    assert losses[True] == pytest.approx(exact, abs=0.01)  # as good as 32 bits
    assert losses[False] > exact + 0.4
    # most weights have not moved at all, though every step had an update for them
    stuck = Run(sixteen("bfloat16", *layers, master_weights=False, **slow))
    first = stuck.parameters()["0.weight"]
    stuck.advance(50)
    assert np.mean(stuck.parameters()["0.weight"] == first) > 0.7
    assert (stuck.view().values("update_ratio")[:, 0] > 0).all()


def test_averages_are_of_the_master_weights():
    run = Run(sixteen("bfloat16", averaging={"kind": "ema", "decay": 0.5}))
    run.advance(1)
    first = run.parameters()["0.weight"]
    run.advance(1)
    mean = 0.5 * first + 0.5 * run.parameters()["0.weight"]
    place = run.program.slots["average"]
    np.testing.assert_allclose(run.machine.arena[place : place + mean.size].reshape(mean.shape), mean, rtol=1e-6)
    assert np.isfinite(run.measure(run.data.x_validation, run.data.t_validation).loss)


def test_statistics_of_averaged_weights_are_measured():
    body = [dense(9), {"kind": "batch_norm"}, dense(10)]
    run = Run(sixteen("float16", *body, batch_size=128, averaging={"kind": "swa", "start": 1}))
    run.advance(2 * run.steps_per_epoch)
    found = run.measure(run.data.x_validation, run.data.t_validation)
    assert np.isfinite(found.loss)
    assert found.loss != found.plain_loss


def test_memory_counts_the_copies():
    made = sixteen("float16", dense(4096), dense(10))
    cards = list(plan(made).cards)
    numbers = sum(card.parameter_count for card in cards)
    with_copies = memory(made, (8, 8, 1), cards)
    for other in ({"master_weights": False}, {"precision": "float32"}):
        training = msgspec.structs.replace(made.training, **other)
        assert with_copies - memory(msgspec.structs.replace(made, training=training), (8, 8, 1), cards) == 4 * numbers


# --- counts


def deep(**training):
    made = load(resources.files("layerscope.sample_data") / "numbers-of-16-bits.json")
    for name, value in training.items():
        made = with_value(made, f"training.{name}", value)
    return made


def test_float16_loses_the_gradients_of_early_layers_and_scaling_the_loss_keeps_them():
    exact, bare, scaled = (
        after(made, 40).view()
        for made in (
            deep(precision="float32"),
            deep(),
            deep(loss_scale={"kind": "static", "factor": 65536.0}),
        )
    )
    layers = list(bare.layers)
    first, last = layers.index("0"), layers.index("15")
    lost = bare.values("gradient.underflow")
    assert lost[:, first].mean() > 0.5 * 64 * 32  # most of the first layer's gradients
    assert (lost[:, last] <= 2).all()
    assert (np.diff(lost[:, :10:2].mean(axis=0)) < 0).all()  # fewer and fewer toward the loss
    assert (bare.values("weight_gradient.underflow")[:, first] > 0.1 * 64 * 32 / 2).all()
    assert scaled.values("gradient.underflow").max() <= 2
    norms = [view.values("weight_gradient.norm")[:, first] for view in (exact, bare, scaled)]
    assert (norms[1] / norms[0]).mean() < 0.97  # what is left of them is too small
    np.testing.assert_allclose(norms[2], norms[0], rtol=1e-3)
    assert (scaled.values("skipped") == 0).all()
    assert (scaled.values("loss_scale") == 65536.0).all()


def test_counts_are_what_numpy_counts():
    run = Run(sixteen("float16", dense(9), act("sigmoid"), dense(10), batch_size=13))
    for tensor in run.program.tensors:
        if tensor.parameter.name == "weight":
            run.parameter(tensor)[...] *= 3e4 if tensor.path == "0" else 1e-4
    run.advance(1)
    view, arena = run.view(), run.machine.arena
    at = dict(zip(view.layers, run.program.layers, strict=True))
    x = arena[run.program.inputs.at :][: 13 * 64].reshape(13, 64)
    weight = arena[run.program.tensors[0].at :][: 64 * 9].reshape(64, 9)
    exact = x.astype(np.float64) @ weight
    burst = np.count_nonzero(np.abs(exact) >= 65520)
    assert view.values("activation.overflow")[0].tolist() == [burst, 0, 0]
    assert burst > 0
    hidden = arena[at["1"].wire.at :][: 13 * 9]
    with np.errstate(under="ignore", over="ignore"):
        exact = 1 / (1 + np.exp(-arena[at["0"].wire.at :][: 13 * 9].astype(np.float64)))
        tiny = exact.astype(np.float32)
    assert view.values("activation.underflow")[0, 1] == np.count_nonzero((tiny != 0) & (hidden == 0))
    slope = arena[at["2"].wire.gradient :][: 13 * 10].reshape(13, 10).astype(np.float64)
    second = arena[run.program.tensors[2].at :][: 9 * 10].reshape(9, 10)
    back = np.abs(slope @ second.T)
    assert view.values("gradient.underflow")[0, 1] == np.count_nonzero((back <= 2.0**-25) & (back > 0))
    assert np.isnan(view.values("weight_gradient.underflow")[0]).tolist() == [False, True, False]


def test_what_is_lost_on_either_way_around_a_block_is_counted_with_the_layer_before_it():
    body = [dense(9), {"kind": "residual", "body": [dense(9)], "scale": 4e-6}, dense(10)]
    run = after(sixteen("float16", *body), 1)
    view = run.view()
    assert view.layers == ("0", "1.body.0", "1", "2")
    lost = view.values("gradient.underflow")[0]
    assert lost[1] > 0  # times the branch scale: of the body's output
    assert lost[0] > 0  # through the body's weights: of the block's input
    assert lost[3] == 0


def test_counts_start_again_at_every_step():
    run = Run(deep())
    run.advance(3)
    whole = run.view().values("gradient.underflow")
    assert whole.max() <= 64 * 32
    alone = Run(deep())
    alone.seek(2)
    line, _ = alone.look()
    np.testing.assert_array_equal(line[alone.view().column("gradient.underflow")], whole[2])


def test_counts_and_scales_are_in_the_files(tmp_path):
    path = tmp_path / "e.json"
    path.write_bytes(to_json(deep()))
    words = ["--set", "training.loss_scale=dynamic", "--set", "training.precision=float16", "--steps", "5"]
    assert cli.main(["run", str(path), *words, "--out", str(tmp_path / "out")]) == 0
    view = record.load(tmp_path / "out" / "record.npz")
    assert view.layer_columns[-6:] == COUNT_COLUMNS
    assert view.run_columns[-2:] == ("loss_scale", "skipped")
    with (tmp_path / "out" / "layers.csv").open() as file:
        rows = list(csv.DictReader(file))
    shown = [float(row["gradient.underflow"]) for row in rows if row["layer"] == "0"]
    np.testing.assert_array_equal(shown, view.values("gradient.underflow")[:, 0])
    assert json.loads((tmp_path / "out" / "run.json").read_text())["precision"] == "float16"


# --- loss scaling


@pytest.mark.parametrize("name", ["float32", "float64"])
def test_a_power_of_two_changes_nothing_where_nothing_is_rounded(name):
    plain, scaled = (after(experiment(*SMALL, precision=name, **t), 30) for t in ({}, {"loss_scale": STATIC}))
    for key, values in plain.parameters().items():
        np.testing.assert_array_equal(scaled.parameters()[key], values)
    for quantity in (*plain.program.run_columns, *LAYER_COLUMNS):
        np.testing.assert_array_equal(scaled.view().values(quantity), plain.view().values(quantity))
    assert "activation.underflow" not in scaled.program.layer_columns


def test_the_numbers_on_the_way_back_are_scaled_and_say_so():
    plain, scaled = (Run(experiment(*SMALL, **t)) for t in ({}, {"loss_scale": STATIC}))
    for run in (plain, scaled):
        while run.operation is None or run.operation.phase != "backward":
            run.operation_forward()
    np.testing.assert_array_equal(scaled.value(scaled.operation), 1024 * plain.value(plain.operation))
    assert (plain.operation.symbol, scaled.operation.symbol) == ("∂L/∂a", "S ∂L/∂a")
    labels = [operation.label for operation in scaled.program.operations]
    assert labels.count("loss_scale") == 1


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_a_scale_that_is_too_large_leaves_everything_as_it_is(optimizer):
    run = Run(sixteen("float16", loss_scale=HUGE, optimizer={"kind": optimizer}))
    before = run.machine.kept.copy()
    run.advance(7)
    np.testing.assert_array_equal(run.machine.kept, before)
    view = run.view()
    assert (view.values("skipped") == 1).all()
    assert (view.values("gradient.overflow")[:, -1] > 0).all()
    # what the record says of such a step: the norm as it came out, weights that stay, nothing behind the check
    assert not np.isfinite(view.values("gradient_norm")).any()
    assert (view.values("update_ratio")[:, [0, 2]] == 0).all()
    assert view.values("weight.norm")[3, 0] == pytest.approx(np.linalg.norm(run.parameters()["0.weight"]), rel=1e-6)
    assert np.isnan(view.values("clipped_gradient_norm")).all()
    assert np.isnan(view.values(f"norm.{optimizer}")).all()
    assert np.isfinite(view.values("loss")).all()
    assert np.isfinite(view.values("learning_rate")).all()


def test_a_dynamic_scale_comes_down_and_the_training_goes_on():
    start = {"kind": "dynamic", "initial": 2.0**40, "interval": 25}
    run = after(sixteen("float16", loss_scale=start, batch_size=64), 200)
    view = run.view()
    scale, skipped = view.values("loss_scale"), view.values("skipped")
    first = int(np.argmin(skipped))
    assert skipped[:first].all()
    np.testing.assert_array_equal(scale[: first + 1], 2.0 ** (40 - np.arange(first + 1)))
    # from then on it tries a larger one every 25 steps, and goes back when that is too large
    assert skipped[first:].mean() < 0.05
    expected, waited = scale[first], 0
    for now, bad in zip(scale[first:], skipped[first:], strict=True):
        assert now == expected
        waited = 0 if bad else waited + 1
        expected = expected / 2 if bad else expected
        if waited == 25:
            expected, waited = expected * 2, 0
    assert np.isfinite(view.values("loss")).all()
    plain = after(experiment(*SMALL, batch_size=64), 200 - int(skipped.sum()))
    assert run.last_loss == pytest.approx(plain.last_loss, rel=0.15)


@pytest.mark.parametrize("skips", [False, True])
def test_averages_go_on_in_skipped_steps(skips):
    scale = HUGE if skips else STATIC
    run = Run(sixteen("float16", batch_size=256, loss_scale=scale, averaging={"kind": "swa", "start": 1}))
    run.advance(3 * run.steps_per_epoch)
    assert run.machine.arena[run.program.scalars["averaged"]] == 3
    average = run.program.slots["average"]
    weights = run.parameters()["0.weight"]
    mean = run.machine.arena[average : average + weights.size].reshape(weights.shape)
    assert (np.abs(mean - weights).max() < 1e-6) == skips


@pytest.mark.parametrize("record", [True, False])
def test_a_run_without_records_skips_the_same_steps(record):
    start = {"kind": "dynamic", "initial": 2.0**30, "interval": 10}
    made = sixteen("float16", loss_scale=start, clipping=None)
    run = Run(made, record=record)
    run.advance(60)
    np.testing.assert_array_equal(run.machine.kept, after(made, 60).machine.kept)
    assert run.view().values("skipped").sum() == after(made, 60).view().values("skipped").sum() > 0


def test_the_factor_may_change_while_training():
    run = after(sixteen("float16", loss_scale=STATIC), 5)
    run.set_live("training.loss_scale.factor", 2.0**40)
    run.advance(3)
    assert run.view().values("loss_scale").tolist() == [1024.0] * 5 + [2.0**40] * 3
    assert run.view().values("skipped").tolist() == [0.0] * 5 + [1.0] * 3


def test_a_fork_takes_the_scale_with_it():
    start = {"kind": "dynamic", "initial": 2.0**30}
    run = after(sixteen("float16", loss_scale=start, optimizer={"kind": "momentum"}), 30)
    same = run.fork(run.experiment)
    plain = run.fork(sixteen("float16", optimizer={"kind": "momentum"}))
    place, there = run.program.slots["velocity"], plain.program.slots["velocity"]
    count = run.program.parameter_count
    np.testing.assert_array_equal(plain.machine.arena[there : there + count], run.machine.arena[place : place + count])
    run.advance(10)
    same.advance(10)
    np.testing.assert_array_equal(same.machine.kept, run.machine.kept)


# --- time


TRAININGS = {
    "float16": {"precision": "float16"},
    "bare": {"precision": "bfloat16", "master_weights": False},
    "dynamic": {"precision": "float16", "loss_scale": {"kind": "dynamic", "initial": 2.0**30, "interval": 7}},
    "skipped": {"precision": "float16", "loss_scale": HUGE},
}


@pytest.mark.determinism
@pytest.mark.parametrize("training", TRAININGS.values(), ids=list(TRAININGS))
def test_going_back_and_forth_gives_the_same_bits(training):
    body = [dense(9), {"kind": "batch_norm"}, {"kind": "residual", "body": [dense(9), act("relu")]}, dense(10)]
    made = experiment(*body, optimizer={"kind": "momentum"}, **training)
    straight = after(made, 90)
    wandering = after(made, 70)
    wandering.seek(11)
    for _ in range(5):
        wandering.operation_forward()
    wandering.operation_back()
    wandering.seek(66)
    while wandering.step == 66:
        wandering.operation_forward()
    wandering.advance(23)
    np.testing.assert_array_equal(wandering.machine.kept, straight.machine.kept)
    views = [run.view() for run in (straight, wandering)]
    np.testing.assert_array_equal(views[1].block, views[0].block)
    wandering.seek(30)
    line, _ = wandering.look()
    np.testing.assert_array_equal(line, views[0].block[30])


def test_gradients_are_checked_without_rounding():
    made = sixteen("float16", loss_scale=HUGE, master_weights=False)
    assert all(checked.passed for checked in check_gradients(made, most=8))


# --- the description


def test_the_sample_file_is_complete_and_small():
    file = resources.files("layerscope.sample_data") / "numbers-of-16-bits.json"
    text = file.read_bytes()
    made = from_json(text)
    assert made.training.precision == "float16"
    assert made.training.loss_scale is None
    assert not plan(made).problems
    assert len(text) < 10_000


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("training.precision", "float8", "float16"),
        ("training.loss_scale", {"kind": "static", "factor": 0}, "training.loss_scale.factor"),
        ("training.loss_scale", {"kind": "dynamic", "backoff": 1.0}, "training.loss_scale.backoff"),
        ("training.loss_scale", {"kind": "dynamic", "growth": 1.0}, "training.loss_scale.growth"),
        ("training.loss_scale", {"kind": "dynamik"}, "dynamic"),
    ],
)
def test_settings_that_make_no_sense_are_refused(path, value, words):
    with pytest.raises(InputError, match=words):
        with_value(sixteen("float16"), path, value)


def test_layers_that_wrap_others_let_the_builder_write_them():
    # else the gradients of the weights that they compute would not be rounded
    folder = Path(__file__).parents[2] / "core" / "layers"
    sources = {path.stem: path.read_text() for path in folder.glob("*.py")}
    assert not [name for name, source in sources.items() if ".emit(build" in source]
    assert "build.wrapped(" in sources["weight_norm"]
