"""Forks: bit for bit what their parents were, with the parents' past, whatever becomes of the parents."""

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core.experiment import build, with_value
from layerscope.core.lineage import Lineage, Origin, origin_at, stages_of
from layerscope.core.record import Record
from layerscope.core.run import Run

RATE = "training.optimizer.learning_rate"


def sample(**training):
    return experiment(
        dense(12), act("tanh"), dense(10), epochs=3, **{"optimizer": {"kind": "adam"}, **training}
    )  # fmt: skip


def lines(lineage, stop):
    view = lineage.view()
    assert view.kept_steps[0] == 0
    return view.block[:stop]


def same_bits(a, b):
    np.testing.assert_array_equal(a.run.machine.kept, b.run.machine.kept)


@pytest.fixture
def parent():
    lineage = Lineage(sample())
    lineage.advance(100)
    return lineage


def test_an_unchanged_fork_goes_on_as_its_parent_and_has_its_past(parent):
    fork = Lineage(sample(), Origin(sample(), 70), relatives=[parent])
    assert fork.run.step == fork.first_step == 70
    fork.advance(30)
    parent.seek(100)
    same_bits(fork, parent)
    for view in (fork.view(), parent.view()):
        assert len(view) == 100
    np.testing.assert_array_equal(fork.view().block, parent.view().block)
    assert fork.newest.record.validation == parent.newest.record.validation
    assert [d.step for d in fork.view().details] == [d.step for d in parent.view().details]
    for step in (40, 69, 70, 71, 3):
        fork.seek(step)
        parent.seek(step)
        same_bits(fork, parent)
        np.testing.assert_array_equal(fork.view(looking=True).line, parent.view(looking=True).line)
    assert fork.run is not fork.newest
    fork.advance(97)
    assert fork.run is fork.newest
    parent.advance(97)
    same_bits(fork, parent)


def test_without_the_parents_run_it_is_trained_anew(parent):
    near = Lineage(sample(), Origin(sample(), 70), relatives=[parent])
    alone = Lineage(sample(), Origin(sample(), 70))
    assert not alone.complete
    assert alone.run.step == 0
    for lineage in (near, alone):
        lineage.seek(90)
    assert alone.complete
    same_bits(near, alone)
    np.testing.assert_array_equal(lines(near, 90), lines(alone, 90))
    alone.seek(70)
    assert alone.run is alone.newest


def test_the_past_stays_when_the_parent_is_changed(parent):
    fork = Lineage(sample(), Origin(sample(), 70), relatives=[parent])
    straight = Lineage(sample())
    straight.advance(50)
    before = fork.view().block[:70].copy()
    parent.seek(20)
    parent.run.set_live(RATE, 0.7)
    parent.advance(200)
    fork.seek(50)
    same_bits(fork, straight)
    np.testing.assert_array_equal(fork.view().block[:70], before)


def test_another_optimizer_begins_with_the_parents_weights(parent):
    parent.seek(70)
    changed = sample(optimizer={"kind": "sgd", "learning_rate": 0.0}, clipping={"kind": "value", "threshold": 1.0})
    fork = Lineage(changed, Origin(sample(), 70), relatives=[parent])
    for name, values in parent.run.parameters().items():
        np.testing.assert_array_equal(fork.run.parameters()[name], values)
    view = fork.view()
    # what the parent has measured is there; what it has not, is not
    np.testing.assert_array_equal(view.values("loss"), parent.view().values("loss")[:70])
    assert np.isfinite(view.values("gradient.rms")).all()
    assert np.isnan(view.values("norm.value")).all()
    fork.advance(2)
    assert np.isfinite(fork.view().values("norm.value")[70:]).all()
    fork.seek(10)
    line = fork.view(looking=True).line
    assert np.isfinite(line[view.column("loss")])
    assert np.isnan(line[view.column("norm.value")])


def test_another_network_shares_the_layers_that_both_have(parent):
    network = [dense(12), act("relu"), dense(7), act("tanh"), dense(10)]
    fork = Lineage(experiment(*network, optimizer={"kind": "adam"}), Origin(sample(), 70), relatives=[parent])
    parent.seek(70)
    np.testing.assert_array_equal(fork.run.parameters()["0.weight"], parent.run.parameters()["0.weight"])
    fork.advance(3)
    view = fork.view(looking=True)
    assert np.isfinite(view.values("activation.rms")[:70, 0]).all()
    assert np.isnan(view.values("activation.rms")[:70, 3:]).all()
    assert np.isfinite(view.values("activation.rms")[70:]).all()
    fork.seek(16)
    detail, theirs = fork.view(looking=True).detail(16), parent.run.record.view().detail(16)
    assert np.isnan(detail.percentiles[:, 4]).all()
    # histograms move to the places that the layers have in this network; a layer that is new has none yet
    counted, there = detail.histograms["activation"], theirs.histograms["activation"]
    assert counted.of(4) is None or fork.newest.record.layers[4] in parent.run.record.layers
    for place, path in enumerate(fork.newest.record.layers):
        mine = counted.of(place)
        if mine is not None:
            other = there.of(parent.run.record.layers.index(path))
            np.testing.assert_array_equal(counted.linear[mine.row], there.linear[other.row])


def test_forks_of_forks(parent):
    first = Origin(sample(), 40)
    middle = sample(batch_size=8)
    second = Origin(middle, 60, origin=first)
    child = Lineage(middle, first, relatives=[parent])
    child.advance(40)
    near = Lineage(sample(), second, relatives=[parent, child])
    alone = Lineage(sample(), second)
    assert [stage.first_step for stage in stages_of(sample(), second)] == [0, 40, 60]
    for step in (75, 50, 20, 90):
        near.seek(step)
        alone.seek(step)
        same_bits(near, alone)
    np.testing.assert_array_equal(lines(near, 90), lines(alone, 90))
    np.testing.assert_array_equal(lines(near, 40), lines(parent, 40))
    child.seek(60)
    near.seek(60)
    for name, values in child.run.parameters().items():
        np.testing.assert_array_equal(near.run.parameters()[name], values)


def test_settings_changed_while_the_parent_trained(parent):
    for step, rate in ((20, 0.05), (60, 0.02), (80, 0.3)):
        parent.seek(step)
        parent.run.set_live(RATE, rate)
        parent.advance(100 - step)
    events = parent.view().events
    trained, origin = origin_at(sample(), events, None, 70)
    assert trained.training.optimizer.learning_rate == 0.02
    assert origin == Origin(sample(), 70, ((20, RATE, 0.05), (60, RATE, 0.02)))
    near, alone = Lineage(trained, origin, relatives=[parent]), Lineage(trained, origin)
    stranger = Lineage(sample(), relatives=[parent])
    assert stranger.run.step == 0
    for lineage in (near, alone):
        lineage.seek(80)
    parent.seek(80)
    same_bits(near, parent)
    same_bits(alone, parent)
    # at the very step of a change its new value is in force
    at_once, origin = origin_at(sample(), events, None, 60)
    assert at_once.training.optimizer.learning_rate == 0.02
    assert origin.events == ((20, RATE, 0.05),)
    fork = Lineage(at_once, origin, relatives=[parent])
    fork.advance(20)
    parent.seek(80)
    same_bits(fork, parent)
    # back to the first value at the step of the fork: what the parent changed on the way must not come back
    back = Lineage(sample(), Origin(sample(), 70, ((20, RATE, 0.05), (60, RATE, 0.02))), relatives=[parent])
    back.advance(1)
    assert back.view().values("learning_rate")[-1] == sample().training.optimizer.learning_rate


def test_a_fork_before_the_fork_is_one_of_the_parent():
    origin = Origin(sample(), 40, ((10, RATE, 0.5),))
    trained, found = origin_at(sample(batch_size=8), (), origin, 30)
    assert trained == with_value(sample(), RATE, 0.5)
    assert found == Origin(sample(), 30, ((10, RATE, 0.5),))
    assert origin_at(sample(batch_size=8), (), origin, 40) == (
        sample(batch_size=8), Origin(sample(batch_size=8), 40, (), origin)
    )  # fmt: skip


TRICKS = {
    "batch norm, dropout, momentum": (
        [dense(8), {"kind": "batch_norm"}, {"kind": "dropout", "rate": 0.3}, act("relu"), dense(3)],
        {"optimizer": {"kind": "momentum", "learning_rate": 0.05}},
    ),
    "float16 with loss scaling": (
        [dense(8), act("tanh"), dense(3)],
        {"precision": "float16", "loss_scale": {"kind": "dynamic"}, "optimizer": {"kind": "adam"}},
    ),
    "ema": ([dense(8), {"kind": "batch_norm"}, dense(3)], {"averaging": {"kind": "ema", "decay": 0.9}}),
    "swa": ([dense(8), {"kind": "batch_norm"}, dense(3)], {"averaging": {"kind": "swa", "start": 1}}),
    "ensemble": ([dense(8), act("tanh"), dense(3)], {"averaging": {"kind": "ensemble", "size": 3}}),
    "plateau": (
        [dense(8), act("tanh"), dense(3)],
        {"schedule": {"kind": "reduce_on_plateau", "patience": 0, "min_delta": 1.0, "factor": 0.5}},
    ),
    "early stopping": (
        [dense(8), act("tanh"), dense(3)],
        {"early_stopping": {"patience": 2, "min_delta": 10.0}, "epochs": 9},
    ),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_that_a_training_remembers_is_lost(trick):
    network, training = TRICKS[trick]
    whole = build(type(sample()), {
        "network": network, "data": {"kind": "blobs", "samples": 120}, "training": {"batch_size": 16, **training}
    })  # fmt: skip
    straight = Lineage(whole)
    straight.advance(60)
    parent = Lineage(whole)
    parent.advance(33)
    parent.seek(17)
    fork = Lineage(whole, Origin(whole, 17), relatives=[parent])
    alone = Lineage(whole, Origin(whole, 17))
    for lineage in (fork, alone):
        lineage.advance(60 - lineage.run.step)
        assert lineage.run.step == straight.run.step
        assert lineage.run.finished == straight.run.finished
        same_bits(lineage, straight)
        np.testing.assert_array_equal(lineage.view().block, straight.view().block)
        assert lineage.newest.record.validation == straight.newest.record.validation
        assert lineage.view().marks == straight.view().marks
        for mine, theirs in zip(lineage.run.others, straight.run.others, strict=True):
            np.testing.assert_array_equal(mine.machine.kept, theirs.machine.kept)
        for step in (11, 25):
            lineage.seek(step)
            straight.seek(step)
            same_bits(lineage, straight)
            np.testing.assert_array_equal(lineage.view(looking=True).line, straight.view(looking=True).line)
        straight.seek(60)
    if trick == "early stopping":
        assert straight.run.stopped_step is not None
        # where the training has ended, a fork goes on
        on = Lineage(whole, Origin(whole, straight.run.step), relatives=[straight])
        on.advance(1)
        assert on.run.step == straight.newest.stopped_step + 1


@pytest.fixture
def short_of_memory(monkeypatch):
    """Records have room for 64 rows only, so that most steps are thinned out."""
    begin = Record.__post_init__

    def small(record):
        record.budget = 1
        begin(record)

    monkeypatch.setattr(Record, "__post_init__", small)


def test_a_thinned_record_is_taken_over_and_mended_behind_a_cut(short_of_memory):
    parent = Lineage(sample())
    parent.advance(301)
    stride = parent.newest.record.stride
    assert stride == 8
    step = 8 * 30 + 3  # inside of a row
    fork = Lineage(sample(), Origin(sample(), step), relatives=[parent])
    fork.advance(301 - step)
    parent.seek(301)
    ours, theirs = fork.view(), parent.view()
    assert ours.stride == theirs.stride
    for name in ("block", "low", "high"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    # a setting is changed in the first row of its own, which began before the fork
    for lineage in (fork, parent):
        lineage.seek(step + 2)
        lineage.run.set_live(RATE, 0.3)
        lineage.advance(40)
    same_bits(fork, parent)
    for name in ("block", "low", "high"):
        np.testing.assert_array_equal(getattr(fork.view(), name), getattr(parent.view(), name))


def test_a_record_that_has_less_room_is_thinned_further():
    parent = Lineage(sample())
    parent.advance(203)
    fork = parent.run.fork(sample())
    fork.record.capacity = 64
    fork.record.begin_with(parent.run.record, 203)
    assert fork.record.stride == 4
    assert fork.record.end == 200
    view = fork.record.view()
    block = parent.view().block
    np.testing.assert_array_equal(view.block, block[:200:4])
    np.testing.assert_array_equal(view.low, block[:200].reshape(50, 4, -1).min(axis=1))
    np.testing.assert_array_equal(view.high, block[:200].reshape(50, 4, -1).max(axis=1))


def test_a_fork_is_an_ordinary_run_too():
    run = Run(sample())
    run.advance(30)
    child = run.fork(sample())
    assert child.record.end == child.step == 30
    assert child.past is not None
    assert child.past.step == 30
    child.advance(5)
    child.seek(0)
    assert child.step == 30  # its own beginning; what was before belongs to `past`
    child.past.seek(7)
    run.seek(7)
    np.testing.assert_array_equal(child.past.machine.kept, run.machine.kept)


def test_checkpoints_share_one_budget(parent):
    fork = Lineage(sample(), Origin(sample(), 70), relatives=[parent])
    fork.advance(2000)
    size = fork.run.machine.kept.nbytes
    fork.limit_checkpoints(20 * size)
    assert sum(run.checkpoints.nbytes for run in fork.runs) <= 20 * size
    before = fork.run.machine.kept.copy()
    fork.seek(1234)
    fork.seek(2070)
    np.testing.assert_array_equal(fork.run.machine.kept, before)


def test_data_is_loaded_once_and_never_taken_from_another_experiment(parent):
    same = Lineage(sample(batch_size=8), relatives=[parent])
    assert same.run.data is parent.run.data
    other = with_value(sample(), "data.validation", 0.5)
    fork = Lineage(other, Origin(sample(), 40), relatives=[Lineage(other)])  # the parent itself is not at hand
    assert len(fork.run.data.x_train) == len(parent.run.data.x_train)
    fork.seek(41)
    assert len(fork.run.data.x_train) < len(parent.run.data.x_train)
    parent.seek(40)
    fork.seek(40)
    for name, values in parent.run.parameters().items():
        np.testing.assert_array_equal(fork.run.parameters()[name], values)
