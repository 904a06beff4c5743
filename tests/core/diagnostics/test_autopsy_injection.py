"""A NaN or an infinity put into any tensor of any kind of layer is named in the same step: the operation and the
tensor.

Whatever a row of the table has written is poisoned right behind it, by one more row. So a kind of layer, optimizer or
loss that comes later is covered as soon as it has a sample network, without which other tests fail already.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments import act, dense, experiment
from sample_networks import DIGITS, LAYER_SAMPLES, LOSS_SAMPLES, NESTED, net

from layerscope.core.averaging import Averaging
from layerscope.core.diagnostics.autopsy import examine
from layerscope.core.engine import layout
from layerscope.core.engine.executor import Machine
from layerscope.core.engine.kernel import kernel
from layerscope.core.engine.layout import STEP
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.run import Run

BAD = (np.nan, np.inf, -np.inf)
WHEN = 2  # the step that is poisoned
# What belongs to one row alone is dead behind it, and an index is no value.
UNREAD = ("room", "index")


@kernel
def poison(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """Row: place, value in hyper, step."""
    if context[STEP] == row[3]:
        arena[row[1]] = hyper[row[2]]


def writers(run):
    """(region, row, place) for everything that a step writes, found by watching it: the first row that changes it."""
    program, machine = run.program, run.machine
    machine.arena[program.kept :] = 0  # what a scheme that looks at the data has left there
    line = run.begin_lines(1)
    run.prepare()
    found = {}
    for row in range(len(program.table)):
        before = machine.arena.copy()
        machine.execute(line, 0, row, row + 1)
        changed = np.flatnonzero(machine.arena != before)
        for number, region in enumerate(program.regions):
            at, count = region.at, region.count(machine.rows)
            inside = changed[np.searchsorted(changed, at) : np.searchsorted(changed, at + count)]
            if len(inside) and number not in found:
                found[number] = row, int(inside[0])
    return [(program.regions[number], row, place) for number, (row, place) in found.items()]


def poisoned(made, data, row, place, value):
    """A run in which `value` is put at `place` behind a row, in one step."""
    run = Run(made, data)
    program = run.program
    entry = np.zeros((1, layout.WIDTH), dtype=np.int64)
    entry[0, :4] = len(program.kernels), place, len(program.hyper), WHEN
    table = np.concatenate([program.table[: row + 1], entry, program.table[row + 1 :]])
    operations = tuple(
        replace(o, first_row=o.first_row + (o.first_row > row), last_row=o.last_row + (o.last_row > row))
        for o in program.operations
    )
    run.program = replace(
        program,
        table=table,
        kernels=(*program.kernels, poison),
        operations=operations,
        hyper=np.append(program.hyper, value),
    )
    kept = run.machine.kept.copy()
    run.machine = Machine(
        run.program, data.x_train, run.machine.data[data.x_train.size :].reshape(len(data.x_train), -1), made
    )
    run.machine.kept[:] = kept
    return run


def end_of(run):
    run.advance(WHEN + 2)
    view = run.record.view()
    return run.machine.kept.copy(), view.block.copy()


def is_read(made, data, row, place, healthy):
    """Whether what is put there makes a difference to anything: with a number that stands nowhere else."""
    kept, lines = end_of(poisoned(made, data, row, place, 0.371))
    return not (np.array_equal(kept, healthy[0]) and np.array_equal(lines, healthy[1], equal_nan=True))


def operation_at(run, row):
    return next(o for o in run.program.operations if o.first_row <= row < o.last_row)


def check(made, data, wanted=lambda region: True):
    """Poison everything; the roles that were tried."""
    base = Run(made, data)
    tried = set()
    found = writers(Run(made, data))
    healthy = None
    for region, row, place in found:
        if region.role in UNREAD or not wanted(region):
            continue
        if region.role == "inner":
            healthy = healthy or end_of(Run(made, data))
            if not is_read(made, data, row, place, healthy):
                continue
        operation = operation_at(base, row)
        for value in BAD:
            run = poisoned(made, data, row, place, value)
            run.advance(WHEN + 3)
            where = f"{operation.phase} {operation.path} row {row}, {region}, {value}"
            assert (run.failed_step, run.step) == (WHEN, WHEN), where
            assert np.isfinite(run.machine.kept).all(), where
            autopsy = examine(run)
            assert autopsy is not None, where
            assert (autopsy.step, autopsy.kernel) == (WHEN, "poison"), where
            assert (autopsy.phase, autopsy.path) == (operation.phase, operation.path), where
            assert autopsy.role == region.role, where
            assert autopsy.owner == (operation.path if region.role == "update" else region.path), where
            if region.role != "update":
                assert autopsy.name == region.name, where
            assert autopsy.count == 1, where
            assert all(autopsy.report()), where
            tried.add(region.role)
    return tried


def networks():
    for name, samples in LAYER_SAMPLES.items():
        for index, layers in enumerate(samples):
            yield pytest.param(layers, id=f"{name}{index}")
    for name, layers in NESTED.items():
        yield pytest.param(layers, id=name.replace(" ", "-"))


@pytest.mark.parametrize("layers", list(networks()))
def test_every_tensor_of_every_layer(layers):
    tried = check(net(layers), DIGITS)
    assert {"input", "target", "activation", "output gradient", "parameter", "gradient", "update"} <= tried


def test_every_kind_has_been_poisoned_in_every_tensor_that_it_has():
    """The samples reach what the kinds keep to themselves: inner values, running statistics, shares of gradients."""
    for name, role in (
        ("batch_norm", "inner"),
        ("layer_norm", "inner"),
        ("weight_norm", "inner"),
        ("dropout", "inner"),
    ):
        assert role in check(net(LAYER_SAMPLES[name][0]), DIGITS, lambda region, role=role: region.role == role), name
    assert check(net(LAYER_SAMPLES["residual"][0]), DIGITS, lambda region: region.role == "share")
    statistics = []
    check(net(LAYER_SAMPLES["batch_norm"][0]), DIGITS, lambda r: statistics.append(r.name) or r.name == "running_mean")
    assert {"running_mean", "running_variance"} <= set(statistics)


@pytest.mark.parametrize("loss", [option for options in LOSS_SAMPLES.values() for option in options], ids=str)
def test_every_loss(loss):
    assert {"target", "activation", "output gradient"} <= check(net([dense(5), act("tanh")], loss), DIGITS)


@pytest.mark.parametrize("optimizer", Optimizer.registry.names())
def test_every_memory_of_every_optimizer(optimizer):
    made = net([dense(5), act("tanh")], optimizer={"kind": optimizer})
    tried = check(made, DIGITS, lambda region: region.role in ("memory", "scalar", "update", "parameter"))
    assert {"update", "parameter"} <= tried
    assert ("memory" in tried) == bool(Optimizer.registry[optimizer].slots)


@pytest.mark.parametrize("kind", Averaging.registry.names())
def test_averages(kind):
    if not Averaging.registry[kind].slots:
        pytest.skip("remembers nothing")
    settings = {"kind": kind, "start": 1} if kind == "swa" else {"kind": kind}
    made = net([dense(5), act("tanh")], averaging=settings, batch_size=len(DIGITS.x_train))  # every step ends an epoch
    assert {"memory", "scalar"} <= check(made, DIGITS, lambda region: region.role in ("memory", "scalar"))


@pytest.mark.parametrize("kind", Clipping.registry.names())
def test_gradients_before_every_clipping(kind):
    made = net([dense(5), act("tanh")], clipping={"kind": kind, "threshold": 0.5})
    assert check(made, DIGITS, lambda region: region.role in ("gradient", "update")) == {"gradient", "update"}


@pytest.mark.parametrize("kind", Regularizer.registry.names())
def test_updates_behind_every_regularizer(kind):
    made = net([dense(5), act("tanh")], regularizers=[{"kind": kind}])
    assert check(made, DIGITS, lambda region: region.role in ("gradient", "update")) == {"gradient", "update"}


@pytest.mark.parametrize("precision", ["float64", "float16", "bfloat16"])
def test_every_precision(precision):
    made = net([dense(5), act("tanh")], precision=precision)
    tried = check(made, DIGITS)
    assert {"activation", "parameter", "update"} <= tried
    assert ("copy" in tried) == (precision in ("float16", "bfloat16"))


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.gamma", "1.running_variance", "4.bias"])
def test_numbers_put_among_the_parameters_between_two_steps(name, value):
    run = Run(experiment(dense(6), {"kind": "batch_norm"}, act("relu"), dense(5), dense(10)))
    run.advance(3)
    tensor = next(t for t in run.program.tensors if t.name == name)
    run.parameter(tensor).reshape(-1)[2] = value
    run.advance(4)
    assert (run.failed_step, run.step) == (3, 3)
    found = examine(run)
    assert (found.role, f"{found.owner}.{found.name}", found.index[-1] % 6) == ("parameter", name, 2)
    assert found.cause.kind == "start"
    assert not np.isfinite(run.parameter(tensor).reshape(-1)[2])  # nobody has repaired it


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("path", ["training.optimizer.learning_rate", "training.optimizer.momentum", "network.1.rate"])
def test_settings_that_are_no_numbers(path, value):
    run = Run(experiment(dense(6), {"kind": "dropout"}, dense(10), optimizer={"kind": "momentum"}))
    run.advance(3)
    run.set_live(path, value)
    run.advance(2)
    found = examine(run)
    assert (run.failed_step, found.role, found.name) == (3, "setting", path)
    assert found.proposals[0].changes[0][0] == path
    run.set_live(path, found.proposals[0].changes[0][1])
    run.advance(2)
    assert (run.failed_step, run.step) == (None, 5)
