"""A run is the same bit for bit however one walks through it: at once, in pieces, operation by operation, back and
forth.
"""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from experiments import act, dense, experiment, table_data

from layerscope.core.experiment import with_value
from layerscope.core.run import Run, is_detail, is_validation, next_detail, next_validation

STEPS = 150


def fingerprint(run: Run) -> str:
    digest = hashlib.sha256(run.machine.kept.tobytes())
    view = run.record.view()
    digest.update(view.block.tobytes())
    digest.update(np.array(run.record.validation).tobytes())
    for detail in view.details:
        digest.update(str(detail.step).encode() + detail.percentiles.tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def at_once():
    run = Run(sample())
    run.advance(STEPS)
    return run


def sample():
    return experiment(
        dense(12), act("tanh"), dense(11, "he_normal"), act("relu"), dense(10), epochs=3,
        optimizer={"kind": "momentum", "learning_rate": 0.05},
    )  # fmt: skip


def test_in_pieces(at_once):
    run = Run(sample())
    for steps in (1, 2, 3, 50, 7, 64):
        run.advance(steps)
    run.advance(STEPS - run.step)
    assert fingerprint(run) == fingerprint(at_once)


def test_operation_by_operation(at_once):
    run = Run(sample())
    while run.step < STEPS:
        run.operation_forward()
    assert fingerprint(run) == fingerprint(at_once)


def test_looking_changes_nothing(at_once):
    run = Run(sample())
    while run.step < STEPS:
        line, detail = run.look()
        run.advance(min(13, STEPS - run.step))
        assert detail.percentiles.shape == (7, 5)
        np.testing.assert_array_equal(
            line, run.record.view().block[run.step - 13 if run.step % 13 == 0 else -(STEPS % 13)]
        )
    assert fingerprint(run) == fingerprint(at_once)


def test_within_a_step_the_whole_step_is_shown():
    run = Run(sample())
    run.advance(9)
    line, detail = run.look()
    for _ in range(5):
        run.operation_forward()
        np.testing.assert_array_equal(run.look()[0], line)
        np.testing.assert_array_equal(run.look()[1].percentiles, detail.percentiles)
    run.advance(1)
    np.testing.assert_array_equal(run.record.view().block[9], line)
    assert not np.array_equal(run.look()[0], line)


@pytest.mark.parametrize("goal", [0, 1, 63, 64, 65, 100, 149])
def test_back_and_forth(at_once, goal):
    run = Run(sample())
    run.advance(STEPS)
    there = Run(sample())
    there.advance(goal)
    run.seek(goal)
    assert run.step == goal
    np.testing.assert_array_equal(run.machine.kept, there.machine.kept)
    np.testing.assert_array_equal(run.look()[0], there.look()[0])
    run.seek(STEPS)
    assert fingerprint(run) == fingerprint(at_once)


def test_one_operation_back_is_where_one_was(at_once):
    run = Run(sample())
    run.advance(70)
    places = []
    for _ in range(30):
        places.append((run.step, run.row, run.machine.kept.copy()))
        run.operation_forward()
    for step, row, kept in reversed(places):
        run.operation_back()
        assert (run.step, run.row) == (step, row)
        np.testing.assert_array_equal(run.machine.kept, kept)
    run.advance(STEPS - run.step)
    assert fingerprint(run) == fingerprint(at_once)


def test_back_from_the_very_beginning_stays_there():
    run = Run(sample())
    assert run.operation_back() is None
    assert (run.step, run.row) == (0, 0)


def test_recording_changes_no_bit(at_once):
    run = Run(sample(), record=False)
    run.advance(STEPS)
    np.testing.assert_array_equal(run.machine.kept, at_once.machine.kept)
    np.testing.assert_array_equal(run.record.view().values("loss"), at_once.record.view().values("loss"))


@pytest.mark.determinism
def test_two_processes_bit_for_bit(at_once, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import hashlib, numpy as np\n"
        "from layerscope.core.experiment import from_json\n"
        "from layerscope.core.run import Run\n"
        f"run = Run(from_json(open({str(tmp_path / 'e.json')!r}, 'rb').read()))\n"
        f"run.advance({STEPS})\n"
        "print(hashlib.sha256(run.machine.kept.tobytes() + run.record.view().block.tobytes()).hexdigest())\n"
    )
    from layerscope.core.experiment import to_json

    (tmp_path / "e.json").write_bytes(to_json(sample()))
    answers = {
        subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout for _ in range(2)
    }
    here = hashlib.sha256(at_once.machine.kept.tobytes() + at_once.record.view().block.tobytes()).hexdigest()
    assert answers == {here + "\n"}


def test_another_seed_is_another_run(at_once):
    run = Run(with_value(sample(), "seed", 1))
    run.advance(5)
    assert not np.array_equal(run.record.view().values("loss"), at_once.record.view().values("loss")[:5])


def test_lanes_start_from_the_same_draws_and_see_the_same_minibatches():
    a = Run(experiment(dense(12), act("sigmoid"), dense(10)))
    b = Run(experiment(dense(12, "he_normal"), act("relu"), dense(10)))
    wa, wb = a.parameters()["0.weight"], b.parameters()["0.weight"]
    np.testing.assert_allclose(wa / wa.std(), wb / wb.std(), rtol=1e-5)
    for _ in range(40):
        a.advance(1)
        b.advance(1)
        np.testing.assert_array_equal(a.batch(), b.batch())


def test_an_epoch_sees_every_sample_once_and_the_next_in_another_order():
    data = table_data(np.random.default_rng(0).normal(size=(23, 3)), np.arange(23) % 2, 2)
    run = Run(experiment(dense(2), batch_size=5), data)
    orders = []
    for _ in range(3):
        seen = []
        for _ in range(run.steps_per_epoch):
            run.advance(1)
            seen += [i for i in run.batch() if i >= 0]
        assert sorted(seen) == list(range(23))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_without_shuffling_the_order_is_that_of_the_data():
    data = table_data(np.zeros((7, 3)), np.arange(7) % 2, 2)
    run = Run(experiment(dense(2), batch_size=3, shuffle=False), data)
    batches = []
    for _ in range(4):
        run.advance(1)
        batches.append(run.batch().tolist())
    assert batches == [[0, 1, 2], [3, 4, 5], [6, -1, -1], [0, 1, 2]]


def test_live_change_acts_from_its_step_on_and_is_replayed():
    run = Run(sample())
    run.advance(40)
    before = run.machine.kept.copy()
    run.set_live("training.optimizer.learning_rate", 0.5)
    run.advance(40)
    rates = run.record.view().values("learning_rate")
    assert set(rates[:40]) == {0.05}
    assert set(rates[40:]) == {0.5}
    after = run.machine.kept.copy()
    run.seek(40)
    np.testing.assert_array_equal(run.machine.kept, before)
    run.seek(80)
    np.testing.assert_array_equal(run.machine.kept, after)


def test_live_change_in_the_past_rewrites_what_came_after():
    run = Run(sample())
    run.advance(100)
    run.seek(30)
    run.set_live("training.optimizer.learning_rate", 0.0)
    run.advance(20)
    view = run.record.view()
    assert run.record.end == 50
    assert set(view.values("learning_rate")[30:]) == {0.0}
    assert view.at("update_ratio", 49)[0] == 0.0


def test_live_change_in_the_middle_of_a_step_counts_for_all_of_it():
    run = Run(sample())
    run.advance(20)
    while run.operation is None or run.operation.phase != "update" or run.operation.path != "2":
        run.operation_forward()  # the first layer's weights are updated already
    run.set_live("training.optimizer.learning_rate", 0.5)
    assert run.operation.path == "2"
    run.advance(1)
    after = run.machine.kept.copy()
    run.seek(20)
    run.seek(21)
    np.testing.assert_array_equal(run.machine.kept, after)


def test_fork_goes_on_from_the_present_parameters():
    run = Run(sample())
    run.advance(50)
    same = run.fork(sample())
    assert same.step == 50
    run.advance(30)
    same.advance(30)
    np.testing.assert_array_equal(same.machine.kept, run.machine.kept)
    same.seek(60)
    same.seek(80)
    np.testing.assert_array_equal(same.machine.kept, run.machine.kept)
    other = run.fork(with_value(sample(), "network.1.function", "relu"))
    np.testing.assert_array_equal(other.parameters()["0.weight"], run.parameters()["0.weight"])


def test_a_fork_in_the_middle_of_a_step_keeps_live_changes():
    run = Run(sample())
    run.advance(20)
    run.set_live("training.optimizer.learning_rate", 0.3)
    while run.operation is None or run.operation.phase != "update" or run.operation.path != "2":
        run.operation_forward()
    child = run.fork(sample())
    child.advance(30)
    straight = Run(sample())
    straight.advance(20)
    straight.set_live("training.optimizer.learning_rate", 0.3)
    straight.advance(30)
    np.testing.assert_array_equal(child.machine.kept, straight.machine.kept)


def test_checkpoints_stay_within_their_budget(at_once):
    run = Run(sample())
    run.checkpoints.budget = 5 * run.machine.kept.nbytes
    run.advance(2000)
    assert len(run.checkpoints.steps) <= 5
    assert run.checkpoints.interval > 64
    end = run.machine.kept.copy()
    run.seek(777)
    run.seek(2000)
    np.testing.assert_array_equal(run.machine.kept, end)


def test_validation_does_not_disturb_training(at_once):
    run = Run(sample())
    run.advance(75)
    run.evaluate(run.data.x_train, run.data.t_train)
    run.advance(75)
    assert fingerprint(run) == fingerprint(at_once)


def test_evaluation_is_the_mean_over_all_samples():
    run = Run(sample())
    run.advance(30)
    whole, hits = run.evaluate(run.data.x_validation, run.data.t_validation)
    parameters = {k: v.astype(np.float64) for k, v in run.parameters().items()}
    h = np.tanh(
        run.data.x_validation.reshape(len(run.data.x_validation), -1) @ parameters["0.weight"] + parameters["0.bias"]
    )
    h = np.maximum(h @ parameters["2.weight"] + parameters["2.bias"], 0)
    z = h @ parameters["4.weight"] + parameters["4.bias"]
    z -= z.max(axis=1, keepdims=True)
    right = run.data.y_validation
    loss = np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), right])
    assert whole == pytest.approx(loss, rel=1e-5)
    assert hits == pytest.approx(np.mean(z.argmax(axis=1) == right))


def test_schedules_find_their_own_next_step():
    for start in range(0, 3000, 7):
        ahead = next_detail(start)
        # the chunk ends right after a step with details, and passes over none
        assert is_detail(ahead - 1)
        assert not any(is_detail(s) for s in range(start, ahead - 1))
        ahead = next_validation(start, 23)
        assert is_validation(ahead, 23)
        assert not any(is_validation(s, 23) for s in range(start + 1, ahead))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["0.weight", "2.bias", "4.weight"])
def test_a_number_that_is_none_shows_in_the_same_step(bad, name):
    run = Run(sample())
    run.advance(10)
    tensor = next(t for t in run.program.tensors if t.name == name)
    run.parameter(tensor).reshape(-1)[3] = bad
    run.advance(1)
    view = run.record.view()
    place = run.record.layers.index(name.split(".")[0])
    assert view.at("activation.nonfinite_fraction", 10)[place] > 0
    assert (run.failed_step, run.step, run.finite) == (10, 10, False)


def test_the_first_step_that_is_not_finite_is_known_exactly():
    run = Run(sample())
    run.advance(70)
    run.set_live("training.optimizer.learning_rate", 1e30)
    run.advance(60)
    assert run.failed_step == run.step == run.record.end - 1
    assert not run.finite
    assert all(np.isfinite(values).all() for values in run.parameters().values())
    run.seek(10)
    assert run.finite


def test_a_weight_that_is_nan_reaches_loss_and_norms():
    run = Run(sample())
    tensor = run.program.tensors[0]
    run.parameter(tensor)[...] = np.nan
    run.advance(1)
    view = run.record.view()
    assert not run.finite
    assert np.isnan(view.at("loss", 0))
    assert np.isnan(view.at("gradient_norm", 0))
    assert np.isnan(view.at("activation.min", 0)[0])
    assert np.isnan(view.at("weight.norm", 0)[0])
