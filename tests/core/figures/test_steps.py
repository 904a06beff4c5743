"""The figures about steps: the planned learning rates, the range test, the chain, and what was decided on the way."""

from dataclasses import replace

import numpy as np
import pytest
from experiments import act, dense, experiment
from scenes import Lanes, scene

from layerscope.core.figures.figure import FIGURES, Line, Rule, Scene
from layerscope.core.figures.learning_rate_range import reading, smoothed
from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run

NETWORK = [dense(24, "he_normal"), act("relu"), dense(10)]
PLATEAU = {"kind": "reduce_on_plateau", "patience": 0, "factor": 0.5, "min_delta": 0.05}


def made(kind, shown, **options):
    return FIGURES[kind].build(shown, FIGURES[kind].options(**options))


def said(kind, shown, **options):
    return FIGURES[kind].explain(shown, FIGURES[kind].options(**options)).yours


def marks(figure, sort, plot=0):
    return [mark for mark in figure.plots[plot].marks if isinstance(mark, sort)]


def trained(steps, *specs, network=NETWORK):
    runs = []
    for name, training in zip("ABCD", specs, strict=False):
        run = Run(experiment(*network, **{"batch_size": 64, "epochs": 4, **training}))
        run.advance(steps)
        runs.append((name, "", run))
    return scene_of(runs)


# --- the plan


def test_the_whole_plan_is_drawn_before_the_first_step():
    figure = made("schedule", trained(0, {"schedule": {"kind": "cosine"}}))
    whole = next(line for line in marks(figure, Line) if line.label == "planned")
    steps = 4 * 23
    assert (whole.x[0], whole.x[-1]) == (0, steps - 1)
    np.testing.assert_allclose(whole.y, 0.05 * (1 + np.cos(np.pi * whole.x / steps)), atol=1e-15)
    assert "It goes from 0.1 to 2.91e-5." in said("schedule", trained(0, {"schedule": {"kind": "cosine"}}))


def test_what_was_planned_is_what_was_done():
    specs = [{"schedule": {"kind": kind}} for kind in ("exponential", "one_cycle", "warmup", "range_test")]
    shown = trained(92, *specs)
    lines = marks(made("schedule", shown), Line)
    planned = [line for line in lines if line.label == "planned"]
    done = [line for line in lines if line.label != "planned"]
    assert len(planned) == len(done) == 4
    for plan, rates in zip(planned, done, strict=True):
        at = np.searchsorted(plan.x, rates.x)
        inside = at < len(plan.x)
        np.testing.assert_array_equal(plan.x[at[inside]], rates.x[inside])
        np.testing.assert_allclose(plan.y[at[inside]], rates.y[inside], rtol=1e-15)


def test_a_long_plan_is_thinned_but_shows_both_sides_of_every_drop():
    shown = trained(0, {"epochs": 300, "schedule": {"kind": "step", "every": 100}})
    line = marks(made("schedule", shown), Line)[0]
    assert len(line.x) < 2200
    drops = np.flatnonzero(np.diff(line.y) < 0)
    np.testing.assert_array_equal(line.x[drops + 1], [2300, 4600])
    np.testing.assert_array_equal(line.x[drops], [2299, 4599])


def test_a_live_rate_changes_the_rest_of_the_plan():
    run = Run(experiment(*NETWORK, batch_size=64, epochs=4, schedule={"kind": "exponential", "factor": 0.5}))
    run.advance(10)
    run.set_live("training.optimizer.learning_rate", 0.4)
    run.advance(20)
    figure = made("schedule", scene_of([("A", "", run)]))
    plan = next(line for line in marks(figure, Line) if line.label == "planned")
    assert plan.y[-1] == pytest.approx(0.4 * 0.125)


def test_the_schedule_of_a_plateau_shows_its_drops():
    shown = trained(92, {"schedule": PLATEAU, "optimizer": {"kind": "sgd", "learning_rate": 1e-4}})
    steps = [step for step, mark in shown.lanes[0].view.marks if mark == "rate"]
    assert steps
    rules = [rule.at for rule in marks(made("schedule", shown), Rule) if rule.dash == "dotted"]
    assert rules == steps
    assert f"It has been lowered {len(steps)} times" in said("schedule", shown)


# --- the range test


def test_smoothing_is_a_mean_that_is_corrected_for_its_start():
    values = np.array([4.0, 2.0, 6.0])
    np.testing.assert_allclose(smoothed(values, 0.5), [4.0, 2.0 / 0.75, 4.0 / 0.875])
    np.testing.assert_array_equal(smoothed(values, 0.0), values)
    assert np.isnan(smoothed(np.array([1.0, np.nan, 1.0]), 0.9)[1:]).all()


def test_a_range_test_finds_where_the_loss_falls_and_where_it_breaks():
    shown = trained(150, {"schedule": {"kind": "range_test", "steps": 150, "end": 1e3}})
    read = reading(shown.lanes[0], shown.step, 0.8)
    steepest, broken = read.rates[read.steepest], read.rates[read.broken]
    assert 1e-2 < steepest < 1.0 < broken < 1e3
    assert read.smooth[read.broken] > 4 * np.nanmin(read.smooth[: read.broken])
    rules = [rule.at for rule in marks(made("learning-rate-range", shown), Rule)]
    assert rules == [steepest, broken]
    text = said("learning-rate-range", shown)
    assert "falls most steeply" in text
    assert "four times" in text or "not a finite number" in text


def test_the_valley_of_an_invented_loss_is_found():
    lane = Lanes().lane(steps=40)
    block = lane.view.block.copy()
    place = np.arange(40)
    block[:, lane.view.column("learning_rate")] = 10.0 ** (place / 8 - 4)
    block[:, lane.view.column("loss")] = 2.3 - 2.0 / (1 + np.exp(-(place - 20) / 2.0)) + np.where(place > 33, 50.0, 0.0)
    lane = replace(lane, view=replace(lane.view, block=block, low=block, high=block))
    read = reading(lane, 39, 0.5)
    assert abs(read.steepest - 20) <= 1
    assert read.broken == 34


def test_a_loss_that_never_falls_is_called_so():
    shown = trained(60, {"schedule": {"kind": "range_test", "steps": 60, "end": 1e-6}})
    assert reading(shown.lanes[0], shown.step, 0.8).steepest is None
    assert "never falls" in said("learning-rate-range", shown)


def test_a_lane_without_a_range_test_is_told_what_to_do():
    shown = trained(20, {})
    figure = made("learning-rate-range", shown)
    assert 'Choose the schedule "Range test"' in figure.empty
    assert 'choose the schedule "Range test"' in said("learning-rate-range", shown)


@pytest.mark.parametrize("steps", [1, 2, 3, 30])
@pytest.mark.parametrize("kind", ["schedule", "learning-rate-range", "chain"])
def test_short_and_broken_trainings_are_drawn(kind, steps):
    test = {"kind": "range_test", "steps": 30, "start": 1.0, "end": 1e6}
    shown = trained(steps, {"schedule": test}, network=[dense(24), act("relu"), dense(24), act("relu"), dense(10)])
    for at in {0, steps // 2, steps}:
        assert made(kind, Scene(shown.lanes, at)).plots
        assert "nan" not in said(kind, Scene(shown.lanes, at)).lower().replace("norm nan", "")


# --- the chain


def test_the_chain_shows_every_norm_of_the_step():
    training = {
        "regularizers": [{"kind": "max_norm"}, {"kind": "l2"}],
        "clipping": {"kind": "global_norm", "threshold": 0.1},
        "optimizer": {"kind": "adam"},
    }
    shown = trained(30, training)
    view = shown.lanes[0].view
    names = ["gradient", "l2", "global_norm", "adam", "max_norm"]
    figure = made("chain", shown)
    line = marks(figure, Line)[0]
    np.testing.assert_array_equal(line.y, [view.at(f"norm.{name}", 30) for name in names])
    assert [text for _x, text in figure.plots[0].x.ticks] == ["gradient", "L2", "Global norm", "Adam", "Max-norm"]
    assert len(marks(figure, Line, 1)) == len(names)
    text = said("chain", shown)
    assert "Global norm changes it by" in text
    assert "100\u00a0% of the steps were clipped" in text
    assert len(made("chain", shown, over_time=False).plots) == 1


def test_links_of_two_lanes_stand_in_the_same_places():
    shown = trained(
        10,
        {"optimizer": {"kind": "adam"}, "regularizers": [{"kind": "l2"}]},
        {"clipping": {"kind": "value", "threshold": 0.01}},
    )
    figure = made("chain", shown)
    first, second = marks(figure, Line)
    assert first.x.tolist() == [0, 1, 3]
    assert second.x.tolist() == [0, 2, 3]
    assert [text for _x, text in figure.plots[0].x.ticks] == ["gradient", "L2", "Value", "optimizer"]


# --- decisions in the learning curves


def test_the_learning_curves_mark_what_was_decided():
    training = {"schedule": PLATEAU, "early_stopping": {"patience": 3, "min_delta": 0.02}, "epochs": 40}
    shown = trained(40 * 23, training)
    view = shown.lanes[0].view
    found = {mark for _step, mark in view.marks}
    assert found == {"rate", "best", "stopped"}
    figure = made("learning-curves", shown)
    for step, mark in view.marks:
        color = {"rate": "muted", "best": "good", "stopped": "alarm"}[mark]
        assert any(rule.at == step and rule.color == color for rule in marks(figure, Rule))
    assert not [r for r in marks(made("learning-curves", shown, decisions=False), Rule) if r.color == "alarm"]
    stopped = next(step for step, mark in view.marks if mark == "stopped")
    assert f"Early stopping ended the training at step {stopped}" in said("learning-curves", shown)


def test_where_weights_are_averaged_the_present_network_alone_is_drawn_too():
    shown = trained(92, {"averaging": {"kind": "ema"}})
    view = shown.lanes[0].view
    lines = {line.label: line for line in marks(made("learning-curves", shown), Line)}
    np.testing.assert_array_equal(lines["validation, averaged"].y, view.validation_loss)
    np.testing.assert_array_equal(lines["validation, not averaged"].y, view.plain_validation_loss)
    assert "the present network alone" in said("learning-curves", shown)
    plain = trained(92, {})
    assert "validation" in {line.label for line in marks(made("learning-curves", plain), Line)}


def test_the_invented_scenes_have_a_plan_and_a_chain():
    shown = scene("normal")
    for kind in ("schedule", "learning-rate-range", "chain"):
        assert made(kind, shown).plots
