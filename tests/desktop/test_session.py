"""Sessions: edits and undo, lanes in lockstep, time in both directions, and what happens when something is wrong."""

import logging

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, build, to_json, with_value
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.base import Layer
from layerscope.core.layers.dense import Dense
from layerscope.core.run import Run
from layerscope.desktop.session import Session, named

TIMEOUT = 20_000


def until(qtbot, condition):
    qtbot.waitUntil(condition, timeout=TIMEOUT)


def settled(session):
    return not session.playing and not session.catching_up and session.exact


def at(session, step):
    return settled(session) and session.position == step


def with_name(experiment, name):
    return msgspec.structs.replace(experiment, name=name)


def numbers(view):
    """Everything that the record holds, as bytes."""
    return view.kept_steps.tobytes(), view.block.tobytes(), view.validation_loss.tobytes()


# --- edits


def test_an_edit_can_be_undone_and_done_again(session):
    before = session.lanes
    session.add_layer(1, ActivationLayer(function="relu"))
    assert session.lanes[0].experiment.network[1] == ActivationLayer(function="relu")
    assert session.modified
    session.undo_stack.undo()
    assert session.lanes == before
    assert not session.modified
    session.undo_stack.redo()
    assert len(session.lanes[0].experiment.network) == 6


def test_layers_move_to_where_they_are_asked_to(session):
    first = session.lane.experiment.network
    session.move_layer(0, 2)
    assert session.lane.experiment.network == (*first[1:3], first[0], *first[3:])
    session.move_layer(2, 0)
    assert session.lane.experiment.network == first


def test_an_equal_edit_is_no_edit(session):
    session.edit(session.lane.experiment, "nothing")
    assert not session.undo_stack.count()


def test_a_dragged_slider_is_one_step(session):
    for rate in (0.2, 0.3, 0.4):
        session.set_value("training.optimizer.learning_rate", rate, "rate", merge="rate")
    assert session.undo_stack.count() == 1
    session.undo_stack.undo()
    assert session.lane.experiment.training.optimizer.learning_rate == 0.1


def test_a_wrong_value_changes_nothing(session):
    before = session.lanes
    with pytest.raises(InputError, match="must be"):
        session.set_value("network.0.units", -3)
    assert session.lanes == before
    assert not session.undo_stack.count()


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delete", "duplicate", "move", "rate", "lane", "remove", "undo", "redo"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_undoing_everything_gives_the_same_bytes_back(qapp, small_experiment, edits):
    session = Session(named([small_experiment]))  # without its worker: this is about the description only
    try:
        start = [to_json(lane.experiment) for lane in session.lanes]
        for what, one, other in edits:
            _random_edit(session, what, one, other)
            assert all(lane.name == "ABCD"[i] for i, lane in enumerate(session.lanes))
            assert 0 <= session.selected_lane < len(session.lanes)
        while session.undo_stack.canRedo():
            session.undo_stack.redo()
        final = [to_json(lane.experiment) for lane in session.lanes]
        while session.undo_stack.canUndo():
            session.undo_stack.undo()
        assert [to_json(lane.experiment) for lane in session.lanes] == start
        while session.undo_stack.canRedo():
            session.undo_stack.redo()
        assert [to_json(lane.experiment) for lane in session.lanes] == final
    finally:
        session.deleteLater()


def _random_edit(session, what, one, other):
    count = len(session.lane.experiment.network)
    if what == "add":
        session.add_layer(one % (count + 1), Dense(units=other + 1))
    elif what in ("delete", "duplicate") and count:
        getattr(session, f"{what}_layer")(one % count)
    elif what == "move" and count:
        session.move_layer(one % count, other % count)
    elif what == "rate":
        session.set_value("training.optimizer.learning_rate", 0.01 * (one + 1), merge="rate" if other % 2 else "")
    elif what == "lane":
        session.add_lane()
    elif what == "remove":
        session.remove_lane(one % len(session.lanes))
    elif what == "undo":
        session.undo_stack.undo()
    elif what == "redo":
        session.undo_stack.redo()


# --- training


def test_before_training_the_initial_state_is_shown(session):
    view = session.scene.lanes[0].view
    assert (session.position, session.end) == (0, 0)
    assert view.coming
    assert np.isfinite(view.at("gradient.norm", 0)).all()
    assert view.detail(0) is not None
    assert session.scene.lanes[0].predictions


def test_playing_ends_where_it_was_planned_and_goes_on_when_asked(qtbot, session):
    planned = session.goal
    session.play()
    assert session.playing
    until(qtbot, lambda: at(session, planned))
    session.play()
    until(qtbot, lambda: at(session, 2 * planned))


def test_in_the_window_and_without_it_a_run_is_the_same_bit_for_bit(qtbot, session, small_experiment):
    session.play()
    until(qtbot, lambda: session.position > 10)
    session.pause()
    until(qtbot, lambda: settled(session))
    session.forward("operation")
    session.forward("operation")
    session.forward("epoch")
    session.play()
    until(qtbot, lambda: at(session, session.goal))
    alone = Run(small_experiment)
    alone.advance(session.position)
    shown = session.scene.lanes[0].view
    assert numbers(shown) == numbers(alone.record.view())
    assert shown.line.tobytes() == alone.look()[0].tobytes()


def test_forward_and_back_end_at_the_same_bits(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    here = session.position
    line = session.scene.lanes[0].view.line.tobytes()
    record = numbers(session.scene.lanes[0].view)
    for _turn in range(3):
        session.back("minibatch")
    until(qtbot, lambda: at(session, here - 3))
    for _turn in range(3):
        session.forward("minibatch")
    until(qtbot, lambda: at(session, here))
    assert session.scene.lanes[0].view.line.tobytes() == line
    assert numbers(session.scene.lanes[0].view) == record


def test_epochs_back_stop_at_their_beginnings(qtbot, session):
    length = session.scene.lanes[0].view.steps_per_epoch
    session.forward("epoch")
    session.forward("minibatch")
    until(qtbot, lambda: at(session, length + 1))
    session.back("epoch")
    until(qtbot, lambda: at(session, length))
    session.back("epoch")
    until(qtbot, lambda: at(session, 0))


def test_operations_go_forward_and_back_with_their_numbers(qtbot, session):
    phases = []
    total = None
    while session.position == 0:
        done = session.wire.done if session.wire else 0
        session.forward("operation")
        until(qtbot, lambda done=done: session.wire is not None and session.wire.done == done + 1)
        total = session.wire.total
        phases.append(session.wire.operation.phase)
        assert np.isfinite(session.wire.values).all()
    assert session.wire.done == total == len(phases)
    assert list(dict.fromkeys(phases)) == ["data", "forward", "loss", "backward", "update"]
    session.back("operation")
    until(qtbot, lambda: session.position == 0 and session.wire.done == total - 1)
    for expected in range(total - 2, 0, -1):
        session.back("operation")
        until(qtbot, lambda expected=expected: session.wire is not None and session.wire.done == expected)
    session.back("operation")
    until(qtbot, lambda: session.wire is None and at(session, 0))


def test_other_lanes_follow_when_a_step_of_operations_is_complete(qtbot, session):
    session.set_value("network.1.function", "relu")
    session.undo_stack.undo()
    session.add_lane()
    until(qtbot, lambda: settled(session) and len(session.scene.lanes) == 2)
    while session.position == 0:
        done = session.wire.done if session.wire else 0
        session.forward("operation")
        until(qtbot, lambda done=done: session.wire is not None and session.wire.done == done + 1)
    until(qtbot, lambda: at(session, 1))
    until(qtbot, lambda: [len(lane.view.kept_steps) for lane in session.scene.lanes] == [1, 1])


def test_scrubbing_shows_the_past_at_once_and_exactly_a_little_later(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    session.scrub(5)
    assert session.scene.step == session.position == 5
    recorded = session.scene.lanes[0].view.at("gradient.norm", 5)
    until(qtbot, lambda: session.exact)
    view = session.scene.lanes[0].view
    assert view.moment == 5
    assert view.at("gradient.norm", 5).tobytes() == recorded.tobytes()
    assert view.detail(5) is not None
    assert session.end > 5


def test_the_newest_place_wins_while_the_timeline_is_dragged(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    for step in (20, 3, 17, 9, 11):
        session.scrub(step)
    until(qtbot, lambda: session.exact)
    assert session.position == session.scene.step == 11
    assert session.scene.lanes[0].view.moment == 11


def test_lanes_train_in_lockstep_from_the_same_draws(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    session.add_lane()
    assert session.selected_lane == 1
    assert session.difference(0) == "as built"
    assert session.difference(1) == "same as A"
    until(qtbot, lambda: settled(session) and len(session.scene.lanes) == 2)
    first, second = session.scene.lanes
    assert numbers(first.view) == numbers(second.view)
    session.set_value("network.1.function", "relu")
    assert session.difference(1) == "Sigmoid → ReLU"
    until(qtbot, lambda: settled(session) and session.scene.lanes[1].label == "Sigmoid → ReLU")
    until(qtbot, lambda: len(session.scene.lanes[1].view.kept_steps) == session.position)
    assert numbers(first.view) == numbers(session.scene.lanes[0].view)


def test_a_lane_keeps_its_run_when_the_one_before_it_goes(qtbot, session):
    session.add_lane(msgspec.structs.replace(session.lane.experiment, seed=3))
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0 and len(session.scene.lanes) == 2)
    record = numbers(session.scene.lanes[1].view)
    session.remove_lane(0)
    until(qtbot, lambda: settled(session) and len(session.scene.lanes) == 1)
    assert session.lanes[0].name == "A"
    assert numbers(session.scene.lanes[0].view) == record


def test_a_learning_rate_changed_while_training_counts_from_there(qtbot, session, small_experiment):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    here = session.position
    session.set_value("training.optimizer.learning_rate", 0.5)
    until(qtbot, lambda: settled(session) and session.scene.lanes[0].view.events != ())
    assert session.scene.lanes[0].view.events == ((here, "training.optimizer.learning_rate", 0.5),)
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > here)
    alone = Run(small_experiment)
    alone.advance(here)
    alone.set_live("training.optimizer.learning_rate", 0.5)
    alone.advance(session.position - here)
    assert numbers(session.scene.lanes[0].view) == numbers(alone.record.view())


def test_a_name_or_a_longer_plan_restarts_nothing(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    here, record = session.position, numbers(session.scene.lanes[0].view)
    session.edit(with_name(session.lane.experiment, "Other"), "rename")
    session.set_value("training.epochs", 7)
    until(qtbot, lambda: settled(session) and session.goal == 7 * here)
    assert session.scene.lanes[0].experiment[0] == "Other"
    assert session.position == here
    assert numbers(session.scene.lanes[0].view) == record


def test_restart_forgets_the_training(qtbot, session):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    session.restart()
    until(qtbot, lambda: at(session, 0) and session.end == 0)
    assert len(session.scene.lanes[0].view.kept_steps) == 0


def test_slow_speeds_show_every_step_exactly(qtbot, session):
    session.set_speed(20.0)
    seen = []
    session.scene_changed.connect(lambda: seen.append((session.position, session.exact)))
    session.play()
    until(qtbot, lambda: session.position >= 5)
    session.pause()
    until(qtbot, lambda: settled(session))
    positions = list(dict.fromkeys(position for position, _exact in seen))
    assert positions[:6] == [0, 1, 2, 3, 4, 5] or positions[:5] == [1, 2, 3, 4, 5]
    assert all(exact for _position, exact in seen)


# --- when something is wrong


def test_an_impossible_network_is_explained_and_not_trained(qtbot, session):
    session.delete_layer(4)
    assert "10" in session.blocked
    session.play()
    assert not session.playing
    session.undo_stack.undo()
    assert session.blocked == ""
    session.play()
    assert session.playing
    until(qtbot, lambda: session.position > 0)


def test_another_lane_that_is_impossible_is_named(qtbot, session):
    session.add_lane()
    session.delete_layer(4)
    assert session.blocked.startswith("lane B: ")
    session.remove_lane(1)
    assert session.blocked == ""


def test_training_pauses_at_the_first_loss_that_is_not_finite(qtbot, session):
    # In float32 an update of this size ends at infinity within a few steps.
    session.set_value("training.optimizer.learning_rate", 1e6)
    for index in (1, 3):
        session.set_value(f"network.{index}.function", "relu")
    until(qtbot, lambda: settled(session))
    session.play()
    until(qtbot, lambda: session.notice != "")
    until(qtbot, lambda: settled(session))
    assert f"step {session.position:,}" in session.notice
    losses = session.scene.lanes[0].view.values("loss")
    assert np.isfinite(losses[: session.position]).all()
    assert not np.isfinite(session.scene.lanes[0].view.at("loss", session.position))
    assert f"tep {session.position:,}" in session.diagnosis
    assert "learning rate" in session.diagnosis
    failed = session.position
    session.back("minibatch")
    until(qtbot, lambda: settled(session) and session.notice == "" and session.diagnosis == "")
    assert session.position == failed - 1
    for _again in range(2):  # it is said whenever one arrives, and when one wants to go on from there
        session.forward("minibatch")
        until(qtbot, lambda: settled(session) and session.diagnosis != "" and not session.playing)
        assert session.position == failed
    session.play()
    until(qtbot, lambda: settled(session) and session.diagnosis != "" and not session.playing)
    assert session.position == failed


def test_a_lane_that_fails_stays_while_the_others_go_on(qtbot, session):
    session.set_value("training.optimizer.learning_rate", 1e6)
    for index in (1, 3):
        session.set_value(f"network.{index}.function", "relu")
    session.add_lane(with_value(session.lanes[0].experiment, "training.optimizer.learning_rate", 0.01))
    until(qtbot, lambda: settled(session))
    session.play()
    until(qtbot, lambda: session.diagnosis != "" and settled(session) and not session.playing)
    failed = session.position
    session.play()
    until(qtbot, lambda: session.position > failed + 20)
    session.pause()
    until(qtbot, lambda: settled(session) and not session.playing)
    views = [lane.view for lane in session.scene.lanes]
    assert int(views[0].kept_steps[-1]) == failed
    assert np.isfinite(views[1].values("loss")).all()
    assert int(views[1].kept_steps[-1]) >= failed + 20


@pytest.mark.parametrize("hook", ["advance", "view", "look"])
def test_a_failing_worker_reports_once_and_play_tries_again(qtbot, session, monkeypatch, caplog, hook):
    session.forward("epoch")
    until(qtbot, lambda: settled(session) and session.position > 0)
    here, lanes = session.position, session.lanes
    original = getattr(Run, hook)

    def broken(self, *arguments, **named_arguments):
        raise RuntimeError("injected")

    monkeypatch.setattr(Run, hook, broken)
    with caplog.at_level(logging.CRITICAL, logger="layerscope"):
        session.play()
        until(qtbot, lambda: session.failure != "")
    assert "injected" in session.failure
    assert not session.playing
    assert session.lanes == lanes
    assert session.scene is not None
    monkeypatch.setattr(Run, hook, original)
    session.play()
    assert session.failure == ""
    until(qtbot, lambda: session.position > here)
    session.pause()
    until(qtbot, lambda: settled(session))
    assert session.failure == ""


def test_a_file_of_data_that_is_missing_is_said_plainly(qtbot, session, monkeypatch):
    from layerscope.core.data.digits import Digits

    def missing(self, seed, folder):
        raise InputError("there is no such file", "path")

    with monkeypatch.context() as patch:
        patch.setattr(Digits, "collect", missing)
        session.set_value("seed", 5)
        until(qtbot, lambda: session.failure != "")
    assert session.failure == "data.path: there is no such file"
    session.undo_stack.undo()
    until(qtbot, lambda: settled(session) and session.failure == "")


def test_closing_while_training_takes_no_time(qtbot, small_experiment):
    session = Session(named([small_experiment, small_experiment]))
    session.start()
    session.play()
    qtbot.waitUntil(lambda: session.playing, timeout=TIMEOUT)
    assert session.close()
    assert not session.worker.isRunning()
    session.deleteLater()


# --- what an edit does to a training that has begun


def trained(qtbot, session, step):
    for _turn in range(step):
        session.forward("minibatch")
    until(qtbot, lambda: at(session, step))


def test_an_edit_says_that_it_applies_at_once(qtbot, session):
    trained(qtbot, session, 3)
    session.set_value("training.optimizer.learning_rate", 0.5)
    assert session.notice == "applies from step 3 on, without a new start"
    assert not session.warns
    until(qtbot, lambda: at(session, 3))
    assert session.scene.lanes[0].view.events == ((3, "training.optimizer.learning_rate", 0.5),)


def test_an_edit_says_that_it_starts_over(qtbot, session):
    trained(qtbot, session, 3)
    session.set_value("network.0.units", 13)
    assert session.notice == "starts over at step 0 and follows to step 3"
    until(qtbot, lambda: at(session, 3))
    session.undo_stack.undo()
    assert "starts over" in session.notice
    until(qtbot, lambda: at(session, 3))


def test_what_changes_nothing_says_nothing(qtbot, session):
    session.set_value("network.0.units", 13)
    assert session.notice == "", "nothing was trained yet"
    until(qtbot, lambda: settled(session))
    trained(qtbot, session, 2)
    session.set_value("training.epochs", 9)
    session.set_value("name", "Other")
    assert session.notice == ""


def test_the_line_about_an_edit_goes_away_by_itself(qtbot, session):
    trained(qtbot, session, 2)
    session._fading.setInterval(30)
    session.set_value("training.optimizer.learning_rate", 0.5)
    assert session.notice
    until(qtbot, lambda: session.notice == "")


def test_a_live_setting_on_one_lane_names_the_lane(qtbot, session):
    session.add_lane()
    trained(qtbot, session, 2)
    session.set_value("training.optimizer.learning_rate", 0.5, lane=1)
    assert session.notice == "Lane B: applies from step 2 on, without a new start"


# --- early stopping


def stopping(experiment, **settings):
    """Stops for sure: no epoch is better by a million."""
    return build(
        Experiment,
        {
            **msgspec.to_builtins(experiment),
            "training": {
                **msgspec.to_builtins(experiment.training),
                "epochs": 50,
                "early_stopping": {"patience": 2, "min_delta": 1e6, **settings},
            },
        },
    )


def test_early_stopping_ends_playing_and_shows_the_best_weights(qtbot, session, small_experiment):
    session.edit(stopping(small_experiment, min_delta=0.0), "stop")
    session.edit(
        with_value(session.lane.experiment, "training.optimizer.learning_rate", 30.0), "far too fast to get better"
    )
    session.play()
    until(qtbot, lambda: settled(session) and session.end > 0 and not session.playing)
    marks = {what: step for step, what in session.scene.lanes[0].view.marks}
    assert session.end == marks["stopped"]
    assert session.end < 50 * 23
    assert session.position == marks["best"]
    assert session.notice == (
        f"Early stopping ended the training at step {marks['stopped']:,}; "
        f"shown are the best weights, those of step {marks['best']:,}."
    )
    assert not session.warns


def test_after_the_end_nothing_goes_on_and_it_is_said_again(qtbot, session, small_experiment):
    session.edit(stopping(small_experiment, restore_best=False), "stop")
    session.play()
    until(qtbot, lambda: settled(session) and session.end > 0 and not session.playing)
    end = session.position
    assert end == session.end
    session.forward("minibatch")
    until(qtbot, lambda: settled(session) and session.position == end)
    session.forward("operation")
    until(qtbot, lambda: settled(session) and session.position == end)
    assert session.wire is None
    session.play()
    until(qtbot, lambda: settled(session) and not session.playing and session.notice != "")
    assert session.position == end
    session.back("minibatch")
    until(qtbot, lambda: at(session, end - 1))
    # with more patience it goes on
    session.set_value("training.early_stopping", None)
    until(qtbot, lambda: at(session, end - 1))
    session.forward("minibatch")
    session.forward("minibatch")
    until(qtbot, lambda: at(session, end + 1))


def test_a_lane_that_has_ended_lets_the_others_go_on(qtbot, session, small_experiment):
    session.edit(with_value(small_experiment, "training.epochs", 8), "longer")
    session.add_lane(stopping(small_experiment))
    until(qtbot, lambda: settled(session) and len(session.scene.lanes) == 2)
    session.play()
    until(qtbot, lambda: settled(session) and session.position == 8 * 23)
    first, second = session.scene.lanes
    stopped = {what: step for step, what in second.view.marks}["stopped"]
    assert stopped < 8 * 23
    assert len(first.view.kept_steps) == 8 * 23
    assert len(second.view.kept_steps) == stopped
    assert f"ended lane B at step {stopped}" in session.notice


def test_the_decisions_stand_on_the_timeline(qtbot, session, small_experiment):
    from layerscope.desktop.transport.bar import marks_of
    from layerscope.desktop.transport.timeline import Timeline

    session.edit(stopping(small_experiment), "stop")
    session.play()
    until(qtbot, lambda: settled(session) and session.end > 0 and not session.playing)
    marks = marks_of(session)
    assert [mark.what for mark in marks] == ["best", "stopped"]
    timeline = Timeline()
    qtbot.addWidget(timeline)
    timeline.resize(600, 40)
    timeline.show_time(session.position, session.end, session.goal, 23, (), marks)
    timeline.grab()
    assert "early stopping" in timeline.words_at(timeline._x(marks[-1].step), marks[-1].step)
    assert "early stopping" not in timeline.words_at(timeline._x(marks[-1].step) - 30, 1)


# --- layers by path


def test_layers_inside_of_blocks_are_edited_by_path(session):
    block = {"kind": "residual", "body": [{"kind": "dense", "units": 12}]}
    session.add_layer(2, build(Layer, block))
    relu = ActivationLayer(function="relu")
    session.add_layer(1, relu, place="network.2.body")
    assert session.lane.experiment.network[2].body[1] == relu
    assert session.move_layer("2.body.1", 0, place="network") == "0"
    assert session.lane.experiment.network[0] == relu
    session.duplicate_layer("3.body.0")
    session.mute_layer("3.body.1", True)
    session.delete_layer("3.body.0")
    assert [layer.muted for layer in session.lane.experiment.network[3].body] == [True]
    with pytest.raises(InputError):
        session.delete_layer("3.body.7")
    assert session.undo_stack.undoText() == "delete Dense"


def test_the_settings_of_a_muted_layer_change_nothing(qtbot, session):
    session.add_layer(1, build(Layer, {"kind": "dropout", "rate": 0.5, "muted": True}))
    until(qtbot, lambda: settled(session))
    trained(qtbot, session, 3)
    before = numbers(session.scene.lanes[0].view)
    session.set_value("network.1.rate", 0.2)
    assert session.notice == ""
    until(qtbot, lambda: at(session, 3))
    assert numbers(session.scene.lanes[0].view) == before
    session.mute_layer(1, False)
    assert "starts over" in session.notice
    until(qtbot, lambda: at(session, 3))
    session.set_value("network.1.rate", 0.1)
    assert session.notice == "applies from step 3 on, without a new start"
    until(qtbot, lambda: at(session, 3))
    assert session.failure == ""
