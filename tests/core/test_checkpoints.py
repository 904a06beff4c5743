"""Checkpoints: how far a replay may be, how much memory they take, and that neither depends on how long a run is."""

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core.checkpoints import BUDGET, INTERVAL, LEAST, MOST, Checkpoints
from layerscope.core.run import Run

KEPT = np.zeros(10)


def walk(checkpoints, stop, begin=0):
    """Take all that are due on the way, as a run does."""
    for _step in walking(checkpoints, stop, begin):
        pass


def walking(checkpoints, stop, begin=0):
    """The same; every step at which the run looks around, one after the other."""
    step = begin
    while step < stop:
        if checkpoints.due(step):
            checkpoints.add(step, KEPT)
        yield step
        step = min(stop, checkpoints.next_after(step))


@pytest.mark.parametrize("copies", [LEAST, 4, 7, 107, 320])
@pytest.mark.parametrize("first", [0, 300])
def test_a_replay_is_at_most_twice_as_long_as_with_the_best_spacing(copies, first):
    checkpoints = Checkpoints(budget=copies * KEPT.nbytes, first_step=first)
    for step in walking(checkpoints, first + 10_000_000, first):
        assert checkpoints.longest_replay < max(INTERVAL, 2 * (step - first) / (copies - 2))
        assert checkpoints.longest_replay < 2 * checkpoints.interval
    assert len(checkpoints.steps) == copies
    assert checkpoints.nbytes <= checkpoints.budget
    assert checkpoints.steps[0] == first


def test_the_longest_replay_of_twenty_layers_of_a_hundred():
    size = 2_396_032  # bytes that Adam keeps of 20 layers of 100
    room = BUDGET // size
    checkpoints = Checkpoints(budget=room * KEPT.nbytes)
    walk(checkpoints, 10_000)
    assert checkpoints.longest_replay == 127
    gaps = np.diff([*checkpoints.steps, 10_000])
    assert (gaps * (gaps - 1) / 2).sum() / 10_000 < 55  # steps of a replay to a step at random, in the mean


def test_a_small_network_does_not_keep_more_than_pays():
    checkpoints = Checkpoints()
    walk(checkpoints, 10_000_000)
    assert len(checkpoints.steps) == MOST
    assert checkpoints.longest_replay <= 2 * 10_000_000 / (MOST - 2)


def test_what_was_given_up_is_not_taken_again_in_a_replay():
    checkpoints = Checkpoints(budget=10 * KEPT.nbytes)
    walk(checkpoints, 3000)
    steps = checkpoints.steps
    walk(checkpoints, steps[-1])
    assert checkpoints.steps == steps
    assert not any(checkpoints.due(step) for step in range(steps[-1] + 1))


def test_behind_a_cut_they_go_on():
    checkpoints = Checkpoints(budget=10 * KEPT.nbytes)
    walk(checkpoints, 3000)
    checkpoints.keep(2000, KEPT)
    assert checkpoints.nearest(2100)[0] == max(2000, *(s for s in checkpoints.steps if s <= 2100))
    checkpoints.cut(1500)
    assert checkpoints.steps[-1] <= 1500
    assert checkpoints.nearest(3000)[0] == checkpoints.steps[-1]
    walk(checkpoints, 50_000, 1500)
    assert len(checkpoints.steps) == 10
    assert checkpoints.longest_replay < 2 * checkpoints.interval


def test_a_smaller_budget_holds_at_once():
    checkpoints = Checkpoints()
    walk(checkpoints, 64 * 100)
    other = checkpoints.shared()
    checkpoints.limit(20 * KEPT.nbytes)
    assert len(checkpoints.steps) == 20
    assert checkpoints.steps[0] == 0
    assert checkpoints.longest_replay < 2 * checkpoints.interval
    assert len(other.steps) == 100  # nobody else's copies are touched
    assert other.nearest(0)[1] is checkpoints.nearest(0)[1]
    checkpoints.limit(0)
    assert len(checkpoints.steps) == LEAST


def sample(**training):
    return experiment(dense(12), act("tanh"), dense(10), epochs=10, optimizer={"kind": "adam"}, **training)


def test_a_seek_never_replays_more_than_from_the_nearest_copy(monkeypatch):
    run = Run(sample())
    run.advance(900)
    taken = []
    take = Run._take
    monkeypatch.setattr(Run, "_take", lambda self, steps: (taken.append(steps), take(self, steps))[1])
    for step in (10, 890, 400, 899, 40, 64, 64, 65, 0):
        before, at = run.step, run.checkpoints.nearest(step)[0]
        taken.clear()
        run.seek(step)
        assert run.step == step
        assert sum(taken) == (step - max(at, before) if before <= step else step - at)


def test_an_ensemble_has_one_budget():
    run = Run(sample(averaging={"kind": "ensemble", "size": 3}))
    assert sum(one.checkpoints.budget for one in (run, *run.others)) <= BUDGET
    run.limit_checkpoints(30 * run.machine.kept.nbytes)
    run.advance(2000)
    networks = (run, *run.others)
    assert sum(one.checkpoints.nbytes for one in networks) <= 30 * run.machine.kept.nbytes
    assert all(len(one.checkpoints.steps) == 10 for one in networks)
