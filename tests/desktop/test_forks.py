"""Forks in the window: from the shown step, exact, edited, undone, without their parents, and after a restart."""

import msgspec
import numpy as np
import pytest

from layerscope.core.checkpoints import Checkpoints
from layerscope.core.experiment import with_value
from layerscope.core.lineage import Lineage, Origin
from layerscope.desktop import worker as work
from layerscope.desktop.session import MOST_LANES, Session, named

RATE = "training.optimizer.learning_rate"
TIMEOUT = 20_000


def until(qtbot, condition):
    qtbot.waitUntil(lambda: bool(condition()), timeout=TIMEOUT)


def settled(session, lanes=None):
    calm = not session.playing and not session.catching_up and session.exact and session.scene is not None
    return calm and len(session.scene.lanes) == (lanes or len(session.lanes))


def go(qtbot, session, step):
    """To a step, trained or not."""
    while session.position < step:
        before = session.position
        session.forward("epoch" if step - before > 23 else "minibatch")
        until(qtbot, lambda before=before: settled(session) and session.position > before)
    if session.position != step:
        session.scrub(step)
    until(qtbot, lambda: settled(session) and session.position == step)


def view(session, lane):
    return session.scene.lanes[lane].view


def same(session, *lanes):
    """Whether lanes have measured the same, bit for bit, and show the same."""
    first = view(session, lanes[0])
    for lane in lanes[1:]:
        other = view(session, lane)
        np.testing.assert_array_equal(first.kept_steps, other.kept_steps)
        np.testing.assert_array_equal(first.block, other.block)
        np.testing.assert_array_equal(first.validation_loss, other.validation_loss)
        np.testing.assert_array_equal(first.line, other.line)


@pytest.fixture
def forked(qtbot, session):
    """Lane A has trained for 46 steps, B was forked from it at step 30, and both stand at 46 again."""
    go(qtbot, session, 46)
    session.fork_here(30)
    until(qtbot, lambda: settled(session, 2) and session.position == 30)
    go(qtbot, session, 46)
    return session


def test_an_unchanged_fork_is_its_parent_bit_for_bit(qtbot, forked):
    assert forked.selected_lane == 1
    assert forked.lanes[1].origin == Origin(forked.lanes[0].experiment, 30)
    assert forked.difference(1) == "forked from A at step 30"
    same(forked, 0, 1)
    forked.forward("epoch")
    until(qtbot, lambda: settled(forked) and forked.position == 69)
    same(forked, 0, 1)
    for step in (12, 30, 29, 50):
        go(qtbot, forked, step)
        same(forked, 0, 1)


def test_it_is_forked_at_once_from_the_run_that_is_there(qtbot, session, monkeypatch):
    go(qtbot, session, 46)
    taken = []
    advance = Lineage.advance
    monkeypatch.setattr(Lineage, "advance", lambda self, steps: (taken.append(steps), advance(self, steps)))
    session.fork_here()
    until(qtbot, lambda: settled(session, 2))
    assert session.position == 46
    assert sum(taken) == 0  # nothing is trained again
    assert len(view(session, 1).kept_steps) == 46


def test_another_setting_begins_anew_at_the_step_of_the_fork(qtbot, forked):
    before = view(forked, 1).block.copy()
    forked.set_value("training.optimizer", {"kind": "momentum", "learning_rate": 0.5})
    assert "starts over at step 30" in forked.notice
    until(qtbot, lambda: settled(forked))
    after = view(forked, 1)
    loss = after.column("loss")
    np.testing.assert_array_equal(after.block[:31, loss], before[:31, loss])
    assert (after.block[31:, loss] != before[31:, loss]).any()
    assert len(after.kept_steps) == 46
    assert forked.difference(1).startswith("forked from A at step 30 · ")
    # and back: the same numbers again
    forked.undo_stack.undo()
    until(qtbot, lambda: settled(forked))
    same(forked, 0, 1)


def test_a_live_setting_behind_the_fork_counts_from_now_on(qtbot, forked):
    forked.set_value(RATE, 0.7)
    until(qtbot, lambda: settled(forked) and view(forked, 1).events != ())
    assert view(forked, 1).events == ((46, RATE, 0.7),)
    # before the fork there is nothing of its own to change: it begins anew at its step
    go(qtbot, forked, 20)
    forked.set_value(RATE, 0.2)
    until(qtbot, lambda: settled(forked))
    go(qtbot, forked, 46)
    rates = view(forked, 1).values("learning_rate")
    assert set(rates[:30]) == {0.1}
    assert set(rates[30:46]) == {0.2}


def test_undo_and_redo(qtbot, forked):
    lanes = forked.lanes
    forked.undo_stack.undo()
    until(qtbot, lambda: settled(forked, 1))
    assert forked.position == 46
    forked.undo_stack.redo()
    assert forked.lanes == lanes
    until(qtbot, lambda: settled(forked, 2) and forked.position == 46)
    same(forked, 0, 1)


def test_the_fork_stays_when_its_parent_goes_and_can_still_be_edited(qtbot, forked):
    before = view(forked, 1).block.copy()
    parent = forked.lanes[0].experiment
    forked.remove_lane(0)
    assert forked.difference(0) == "forked at step 30"
    until(qtbot, lambda: settled(forked, 1))
    np.testing.assert_array_equal(view(forked, 0).block, before)
    go(qtbot, forked, 11)
    forked.set_value("training.optimizer", {"kind": "adam", "learning_rate": 0.01})
    until(qtbot, lambda: settled(forked))
    go(qtbot, forked, 46)
    loss = view(forked, 0).values("loss")
    np.testing.assert_array_equal(loss[:31], before[:31, view(forked, 0).column("loss")])
    assert forked.lanes[0].origin == Origin(parent, 30)
    while forked.undo_stack.canUndo():
        forked.undo_stack.undo()
    until(qtbot, lambda: settled(forked, 1))
    assert forked.lanes[0].origin is None


def test_the_fork_keeps_its_past_when_the_parent_is_changed(qtbot, forked):
    before = view(forked, 1).block.copy()
    forked.set_value("network.1.function", "relu", lane=0)
    until(qtbot, lambda: settled(forked))
    go(qtbot, forked, 46)
    np.testing.assert_array_equal(view(forked, 1).block, before)
    assert forked.difference(1).startswith("forked at step 30")


def test_restart_trains_the_fork_as_its_parent_until_it_forks(qtbot, forked):
    forked.set_value("training.optimizer", {"kind": "momentum", "learning_rate": 0.05})
    until(qtbot, lambda: settled(forked))
    before = view(forked, 1).block.copy()
    forked.restart()
    until(qtbot, lambda: settled(forked, 2) and forked.position == 0 and forked.end == 0)
    go(qtbot, forked, 23)
    same(forked, 0, 1)
    # edited before it is there: only what comes behind the fork is another
    forked.set_value(RATE, 0.01)
    until(qtbot, lambda: settled(forked))
    forked.undo_stack.undo()
    until(qtbot, lambda: settled(forked))
    go(qtbot, forked, 46)
    np.testing.assert_array_equal(view(forked, 1).block, before)


def test_operations_go_back_through_the_fork(qtbot, forked):
    go(qtbot, forked, 30)
    forked.back("operation")
    until(qtbot, lambda: forked.wire is not None and forked.exact)
    assert forked.position == 29
    assert forked.wire.lane == 1
    forked.forward("operation")
    until(qtbot, lambda: forked.position == 30 and forked.exact)
    forked.forward("operation")
    until(qtbot, lambda: forked.wire is not None and forked.wire.done == 1)
    forked.forward("minibatch")
    until(qtbot, lambda: settled(forked) and forked.position == 31)
    same(forked, 0, 1)


def test_a_fork_in_the_middle_of_a_step_begins_before_it(qtbot, session):
    go(qtbot, session, 20)
    for done in (1, 2, 3):
        session.forward("operation")
        until(qtbot, lambda done=done: session.wire is not None and session.wire.done == done)
    session.fork_here()
    until(qtbot, lambda: settled(session, 2))
    assert session.wire is None
    assert session.lanes[1].origin.step == 20
    go(qtbot, session, 25)
    same(session, 0, 1)


def test_what_was_changed_while_the_parent_trained_is_known_to_the_fork(qtbot, session):
    go(qtbot, session, 10)
    session.set_value(RATE, 0.3)
    until(qtbot, lambda: settled(session))
    go(qtbot, session, 20)
    session.set_value(RATE, 0.02)
    until(qtbot, lambda: settled(session))
    go(qtbot, session, 23)
    start = with_value(session.lanes[0].experiment, RATE, 0.1)
    session.fork_here(15)
    assert session.lanes[1].experiment == with_value(start, RATE, 0.3)  # as it was then
    assert session.lanes[1].origin == Origin(start, 15, ((10, RATE, 0.3),))
    assert session.parent_name(1) == "A"
    until(qtbot, lambda: settled(session, 2))
    go(qtbot, session, 20)
    np.testing.assert_array_equal(view(session, 0).block[:20], view(session, 1).block)
    session.restart()
    until(qtbot, lambda: settled(session, 2) and session.end == 0)
    go(qtbot, session, 20)
    rates = view(session, 1).values("learning_rate")
    assert set(rates[:10]) == {0.1}
    assert set(rates[10:]) == {0.3}


def test_forks_of_forks_and_copies(qtbot, forked):
    forked.set_value("training.batch_size", 32)
    until(qtbot, lambda: settled(forked))
    forked.fork_here(40)
    until(qtbot, lambda: settled(forked, 3))
    assert forked.lanes[2].origin.origin == forked.lanes[1].origin
    assert forked.difference(2).startswith("forked from B at step 40")
    go(qtbot, forked, 46)
    same(forked, 1, 2)
    # before the fork of B its past is A's: so is a fork from there
    forked.select(lane=1)
    forked.fork_here(12)
    assert forked.lanes[3].origin == Origin(forked.lanes[0].experiment, 12)
    assert forked.lanes[3].experiment == forked.lanes[0].experiment
    until(qtbot, lambda: settled(forked, 4))
    go(qtbot, forked, 46)
    same(forked, 0, 3)
    forked.remove_lane(0)
    until(qtbot, lambda: settled(forked, 3))
    same(forked, 0, 1)
    forked.select(lane=1)
    forked.add_lane()
    assert forked.lanes[3].origin == forked.lanes[1].origin
    until(qtbot, lambda: settled(forked, 4))
    same(forked, 0, 1, 3)
    forked.remove_lane(3)
    forked.select(lane=0)
    forked.try_in_lane(RATE, 0.01)
    assert forked.lanes[3].origin == forked.lanes[0].origin
    until(qtbot, lambda: settled(forked, 4))
    assert view(forked, 3).at("loss", 29) == view(forked, 0).at("loss", 29)


def test_four_lanes_are_the_most(qtbot, session):
    assert not session.can_fork
    session.fork_here()
    assert len(session.lanes) == 1  # nothing is trained yet
    go(qtbot, session, 5)
    for count in range(2, MOST_LANES + 1):
        assert session.can_fork
        session.fork_here()
        until(qtbot, lambda count=count: settled(session, count))
    assert not session.can_fork
    session.fork_here()
    assert len(session.lanes) == MOST_LANES
    same(session, 0, 1, 2, 3)


def test_a_fork_while_playing(qtbot, session):
    session.play()
    until(qtbot, lambda: session.position > 3 and session.scene is not None)
    session.fork_here()
    assert session.lanes[1].origin.step > 0
    until(qtbot, lambda: settled(session, 2) and session.position == session.goal)
    same(session, 0, 1)


def test_of_a_lane_that_early_stopping_has_ended(qtbot, session):
    session.set_value("training.early_stopping", {"patience": 1, "min_delta": 10.0, "restore_best": False})
    session.play()
    until(qtbot, lambda: settled(session) and session.position > 0)
    end = session.position
    session.fork_here()
    until(qtbot, lambda: settled(session, 2))
    assert session.lanes[1].origin.step == end
    session.forward("minibatch")
    until(qtbot, lambda: settled(session) and session.position == end + 1)
    assert [len(view(session, lane).kept_steps) for lane in (0, 1)] == [end, end + 1]


def test_from_the_step_at_which_a_training_broke_one_goes_on_with_another_setting(qtbot, session):
    for index, layer in enumerate(session.lane.experiment.network):
        if layer.kind_name() == "activation":
            session.set_value(f"network.{index}.function", "relu")  # bounded functions survive any rate
    go(qtbot, session, 30)
    session.set_value(RATE, 1e6)
    until(qtbot, lambda: settled(session))
    session.play()
    until(qtbot, lambda: settled(session) and session.diagnosis)
    broken = session.position
    assert broken >= 30
    session.fork_here(broken)
    until(qtbot, lambda: settled(session, 2))
    # unchanged it breaks as its parent did
    session.forward("minibatch")
    until(qtbot, lambda: settled(session) and session.diagnosis)
    assert session.position == broken
    first, second = view(session, 0), view(session, 1)
    np.testing.assert_array_equal(first.kept_steps, second.kept_steps)
    np.testing.assert_array_equal(first.block, second.block)
    session.fork_here(30)
    until(qtbot, lambda: settled(session, 3))
    session.set_value(RATE, 0.1)
    until(qtbot, lambda: settled(session))
    session.forward("epoch")
    until(qtbot, lambda: session.position > broken or session.diagnosis)
    until(qtbot, lambda: settled(session))
    session.remove_lane(0)
    session.remove_lane(0)
    until(qtbot, lambda: settled(session, 1))
    go(qtbot, session, broken + 5)
    assert np.isfinite(view(session, 0).values("loss")).all()


def test_another_network_behind_the_fork(qtbot, forked):
    forked.delete_layer(2)
    until(qtbot, lambda: settled(forked))
    assert len(view(forked, 1).layers) == 4
    go(qtbot, forked, 10)
    assert view(forked, 1).line is not None
    assert view(forked, 1).at("loss", 10) == view(forked, 0).at("loss", 10)
    for unit in ("operation", "minibatch", "epoch"):
        forked.forward(unit)
        until(qtbot, lambda: forked.exact)
    until(qtbot, lambda: settled(forked))


def test_a_restored_session_makes_its_forks_again(qtbot, forked, monkeypatch, tmp_path):
    from layerscope.desktop import documents
    from layerscope.desktop.settings import Settings

    monkeypatch.setattr(documents, "session_file", lambda: tmp_path / "session.json")
    forked.set_value("training.optimizer", {"kind": "momentum", "learning_rate": 0.05})
    until(qtbot, lambda: settled(forked))
    forked.fork_here(40)
    until(qtbot, lambda: settled(forked, 3))
    go(qtbot, forked, 46)
    before = [view(forked, lane).block for lane in range(3)]
    documents.Documents(forked, Settings(), None).remember()
    other = Session(named([forked.lanes[0].experiment]))
    try:
        documents.Documents(other, Settings(), None).begin(None)
        assert other.lanes == forked.lanes
        other.start()
        until(qtbot, lambda: settled(other, 3))
        go(qtbot, other, 46)
        for lane, block in enumerate(before):
            np.testing.assert_array_equal(view(other, lane).block, block)
    finally:
        assert other.close()
        other.deleteLater()


def test_a_folder_of_data_moves_with_the_parents_too(qtbot, session, tmp_path):
    go(qtbot, session, 5)
    session.fork_here()
    until(qtbot, lambda: settled(session, 2))
    name = msgspec.structs.replace(session.lanes[1].origin.parent, name="found")
    assert session.lanes[1].origin.with_experiments(lambda _experiment: name).parent is name
    session.saved_as(str(tmp_path / "a.json"))
    until(qtbot, lambda: settled(session, 2))
    go(qtbot, session, 6)
    same(session, 0, 1)


# --- going to a step


@pytest.fixture
def idle(qapp, small_experiment, monkeypatch):
    """A worker that is driven by hand, with a lane of 6,000 steps and hardly any checkpoints."""
    monkeypatch.setattr(Checkpoints, "_thin", lambda self: None)
    monkeypatch.setattr(Checkpoints, "due", lambda self, step: False)
    worker = work.Worker()
    worker.send(work.SetLanes((work.Job(small_experiment),)))
    worker._obey()
    worker._lanes[0].run.advance(6000)
    worker._position = 6000
    yield worker
    worker.deleteLater()


def test_a_newer_place_ends_the_way_to_an_older_one(idle, monkeypatch):
    lane = idle._lanes[0]
    assert lane.run.checkpoints.steps == [0]
    idle._chunk = 10
    monkeypatch.setattr(idle, "_adapt", lambda steps, seconds: None)
    replayed = []
    advance = Lineage.advance
    monkeypatch.setattr(Lineage, "advance", lambda self, steps: (replayed.append(steps), advance(self, steps)))
    for goal in range(5900, 5600, -10):  # thirty places, one chunk of work between two of them
        idle.send(work.Seek(goal))
        idle._obey()
        assert idle._work() == "fast"
        idle._post(exact=False)
    assert len(replayed) == 30
    assert lane.run.step < 5610
    for goal in (3000, 40, 12):  # those that come at once are not even begun
        idle.send(work.Seek(goal))
    idle._obey()
    while idle._work():
        pass
    assert lane.run.step == idle._position == 12
    assert sum(replayed) == 30 * 10 + 12
    idle._post(exact=True)
    assert idle.take_frame().shown == 12


def test_lanes_share_the_memory_for_checkpoints(qtbot, session):
    worker = session.worker
    assert worker._lanes[0].run.checkpoints.budget == work.BUDGET
    go(qtbot, session, 5)
    for count in (2, 3, 4):
        session.fork_here()
        until(qtbot, lambda count=count: settled(session, count))
        budgets = [run.checkpoints.budget for lane in worker._lanes for run in lane.lineage.runs]
        assert sum(budgets) <= work.SHARED_BUDGET
