"""Scenes from runs and from the folders that runs leave."""

from __future__ import annotations

import math

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core import results
from layerscope.core.errors import InputError
from layerscope.core.figures.figure import FIGURES
from layerscope.core.figures.reading import moment_at
from layerscope.core.figures.scene import lane_from_folder, predictions_for, scene_from_folder, scene_of
from layerscope.core.record import npz
from layerscope.core.run import Run


@pytest.fixture(scope="module")
def run():
    made = Run(experiment(dense(8), act("tanh"), dense(10)))
    made.advance(30)
    return made


def test_the_end_of_a_run_is_looked_at_exactly(run):
    shown = scene_of([("A", "", run)])
    assert shown.step == 30
    found = moment_at(shown.lanes[0].view, 30)
    assert found is not None
    assert found.step == 30
    assert found.detail is not None
    assert run.step == 30


def test_an_earlier_step_is_read_from_the_record(run):
    shown = scene_of([("A", "", run)], 12)
    found = moment_at(shown.lanes[0].view, 12)
    assert found is not None
    np.testing.assert_array_equal(found.line, run.record.view().block[12])


def test_a_lane_knows_its_experiment_its_chance_and_its_theory(run):
    lane = scene_of([("B", "wider", run)]).lanes[0]
    assert (lane.name, lane.label) == ("B", "wider")
    assert lane.experiment[1] == 0
    assert len(lane.experiment[2]) == 12
    assert lane.chance == pytest.approx(math.log(10))
    assert [p.path for p in lane.predictions] == ["0", "1", "2"]


def test_theory_agrees_with_what_is_measured_before_training(run):
    lane = scene_of([("A", "", run)]).lanes[0]
    measured = lane.view.values("activation.rms")[0]
    expected = [p.rms for p in lane.predictions]
    np.testing.assert_allclose(measured, expected, rtol=0.6)


def test_what_samples_share_is_the_mean_over_all_pairs(run):
    data = run.data
    x = data.x_train.reshape(len(data.x_train), -1)[:40]
    products = x @ x.T / x.shape[1]
    pairs = products[~np.eye(40, dtype=bool)].mean()
    total = x.sum(axis=0)
    assert (total @ total - (x * x).sum()) / (40 * 39 * x.shape[1]) == pytest.approx(pairs)
    assert predictions_for(run.program.plan, data)


def test_a_folder_gives_the_figures_of_its_run(run, tmp_path):
    results.save(run, tmp_path, 1.0, "steps")
    shown = scene_from_folder(tmp_path)
    assert shown.step == 29
    np.testing.assert_array_equal(shown.lanes[0].view.block, run.record.view().block)
    for kind in FIGURES:
        from_folder = kind.build(shown, kind.options())
        from_run = kind.build(scene_of([("A", "", run)], 29), kind.options())
        for name, column in from_folder.table.items():
            if kind.name != "learning-curves" or "validation" not in name:
                np.testing.assert_array_equal(column, from_run.table[name])
    lane = lane_from_folder(tmp_path, "C", "again")
    assert (lane.name, lane.label) == ("C", "again")


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"record\.npz"):
        lane_from_folder(tmp_path)


def test_a_run_comes_back_from_its_folder_at_any_step(tmp_path):
    made = Run(experiment(dense(8), act("tanh"), dense(10), optimizer={"kind": "momentum", "learning_rate": 0.1}))
    made.advance(12)
    made.set_live("training.optimizer.learning_rate", 0.01)
    made.advance(13)
    results.save(made, tmp_path, 1.0, "steps")
    for step, whole in ((None, False), (None, True), (25, False), (18, False), (5, True)):
        found = results.run_at(tmp_path, step, whole)
        made.seek(25 if step is None else step)
        assert found.step == made.step
        for name, values in made.parameters().items():
            np.testing.assert_array_equal(found.parameters()[name], values)
    made.seek(25)
    assert results.run_at(tmp_path, None, True).machine.kept.tobytes() == made.machine.kept.tobytes()


def test_weights_of_another_network_are_not_taken_for_those_of_the_run(tmp_path):
    made = Run(experiment(dense(8), act("tanh"), dense(10)))
    made.advance(7)
    results.save(made, tmp_path, 1.0, "steps")
    other = Run(experiment(dense(9), act("tanh"), dense(10)))
    (tmp_path / "weights.npz").write_bytes(npz(other.parameters()))
    found = results.run_at(tmp_path)
    np.testing.assert_array_equal(found.parameters()["0.weight"], made.parameters()["0.weight"])
