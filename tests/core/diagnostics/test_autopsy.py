"""Trainings that fail as trainings do: the run ends in time, the autopsy says why, and its first proposal cures it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from experiments import act, dense, experiment, table_data

from layerscope.core import cli
from layerscope.core.diagnostics.autopsy import examine
from layerscope.core.diagnostics.causes import LARGEST
from layerscope.core.experiment import to_json, with_value
from layerscope.core.figures.autopsy import STUDY
from layerscope.core.figures.figure import FIGURES, Line, Rule
from layerscope.core.figures.scene import scene_of
from layerscope.core.results import run_at
from layerscope.core.run import Run

RELU = act("relu")


def sgd(rate, *layers, **training):
    return experiment(*layers, optimizer={"kind": "sgd", "learning_rate": rate}, **training)


def normal(units, std=1.0):
    return {"kind": "dense", "units": units, "init": {"kind": "normal", "std": std}}


def too_fast(rate=100.0, **training):
    return sgd(rate, dense(32), RELU, dense(32), RELU, dense(10), **training)


DEEP = [layer for _ in range(20) for layer in (normal(100), RELU)]
FLAT = {"kind": "flatten"}
SICK = {
    "learning rate": (too_fast(), "rate", "dense_forward", "activation"),
    "small steps that grow": (too_fast(10.0), "rate", "dense_forward", "activation"),
    "deep, weights of std 1": (sgd(0.1, *DEEP, dense(10)), "weights", "dense_forward", "activation"),
    "no variance": (
        experiment(FLAT, {"kind": "batch_norm", "epsilon": 1e-80}, dense(16), RELU, dense(10)),
        "variance",
        "batch_norm_forward",
        "inner",
    ),
    "no variance, no epsilon": (
        experiment(FLAT, {"kind": "batch_norm", "epsilon": 0.0}, dense(16), RELU, dense(10)),
        "variance",
        "batch_norm_forward",
        "inner",
    ),
    "Adam without epsilon": (
        experiment(dense(16), RELU, dense(10), optimizer={"kind": "adam", "epsilon": 0.0}),
        "division",
        "moments_update",
        "update",
    ),
    "float16": (
        sgd(0.001, normal(64, 100.0), RELU, normal(64, 10.0), dense(10), precision="float16"),
        "precision",
        "round_values",
        "activation",
    ),
    "float16, many layers": (
        sgd(0.001, *[layer for _ in range(8) for layer in (normal(64), RELU)], dense(10), precision="float16"),
        "precision",
        "round_values",
        "activation",
    ),
    "float16, learning rate": (too_fast(precision="float16"), "precision", "copy_rounded", "copy"),
}


@pytest.mark.parametrize("name", SICK)
def test_the_cause_is_named_and_the_first_proposal_cures_it(name):
    made, cause, kernel, role = SICK[name]
    run = Run(made)
    run.advance(100)
    assert run.failed
    assert all(np.isfinite(values).all() for values in run.parameters().values())
    kept = run.machine.kept.copy()
    found = examine(run)
    assert (found.step, found.cause.kind, found.kernel, found.role) == (run.step, cause, kernel, role)
    assert all("{" not in line and "nan" not in line for line in found.report())
    np.testing.assert_array_equal(run.machine.kept, kept)
    cured = Run(found.proposals[0].apply(made))
    cured.advance(300)
    assert cured.failed_step is None
    assert cured.last_loss < 3.0


def test_what_overflowed_is_what_the_step_itself_computes():
    """The operands and the sum are those of NumPy in float64."""
    run = Run(too_fast())
    run.advance(50)
    found = examine(run)
    scout = Run(too_fast(), record=False)
    scout.advance(found.step)
    scout.machine.execute(scout.begin_lines(1), found.step, 0, 1)  # the minibatch
    x = scout.data.x_train[scout.batch()].reshape(16, -1)
    w = {name: values.astype(np.float64) for name, values in scout.parameters().items()}
    hidden = np.maximum(x @ w["0.weight"] + w["0.bias"], 0.0)
    sums = hidden @ w["2.weight"]
    wide = np.abs(sums) > LARGEST["float32"]
    assert found.path == "2"
    assert wide.any()
    assert found.count == wide.sum() + (np.abs(sums + w["2.bias"]) > LARGEST["float32"]).sum() - wide.sum()
    assert tuple(np.argwhere(wide)[0]) == found.index
    assert found.sample == scout.batch()[found.index[0]]
    given = {operand.name: operand for operand in found.operands}
    assert given["x"].most == pytest.approx(hidden.max(), rel=1e-5)
    assert given["weight"].least == pytest.approx(w["2.weight"].min(), rel=1e-6)
    assert given["bias"].here == pytest.approx(w["2.bias"][found.index[1]], rel=1e-6)


def test_growth_is_what_was_recorded_before():
    run = Run(too_fast(10.0))
    run.advance(50)
    found = examine(run)
    view = run.record.view()
    loss = found.growth[0]
    np.testing.assert_array_equal(loss.values, view.values("loss"))
    assert loss.steps[-1] == found.step
    assert not np.isfinite(loss.values[-1])
    known = loss.values[:-1]
    start = int(known.argmin())
    assert loss.factor == pytest.approx((known[-1] / known[start]) ** (1 / (len(known) - 1 - start)))
    layer = found.growth[2]
    largest = np.maximum(np.abs(view.values("activation.min")), np.abs(view.values("activation.max")))
    np.testing.assert_array_equal(layer.values, largest[:, view.layers.index(found.owner)])


def test_float16_is_proved_by_float32():
    """The rule's claim that float32 is finite is computed, and denied where it is not so."""
    narrow = with_value(
        sgd(0.001, normal(64, 100.0), RELU, normal(64, 10.0), dense(10)), "training.precision", "float16"
    )
    run = Run(narrow)
    run.advance(1)
    assert any("float32 is finite" in line for line in examine(run).cause.evidence)
    wide = Run(with_value(narrow, "training.precision", "float32"))
    wide.advance(1)
    assert wide.failed_step is None
    # 1e6 a layer is too much for both
    both = Run(sgd(0.001, *[normal(64, 1e6) for _ in range(7)], dense(10), precision="float16"))
    both.advance(1)
    found = examine(both)
    assert found.cause.kind in ("precision", "weights")
    assert not any("float32 is finite" in line for line in found.cause.evidence)


def test_a_step_that_is_skipped_because_the_loss_was_scaled_too_much_is_no_failure():
    made = experiment(
        dense(12), act("tanh"), dense(10), precision="float16", loss_scale={"kind": "dynamic", "initial": 2.0**40}
    )
    run = Run(made)
    run.advance(60)
    assert run.record.view().values("skipped").sum() > 3
    assert (run.failed_step, run.step) == (None, 60)
    assert examine(run) is None


@pytest.mark.parametrize("record", [True, False])
def test_data_that_does_not_fit_into_the_format(record):
    x = np.random.default_rng(0).normal(size=(64, 5))
    x[17, 3] = -1e39
    run = Run(experiment(act("relu"), dense(8), dense(2)), table_data(x, np.arange(64) % 2, 2), record=record)
    run.advance(20)
    run.machine.execute(run.begin_lines(1), run.step, 0, 1)
    assert 17 in run.batch()  # a rectifier makes a zero of it: only the input itself tells
    found = examine(run)
    assert (found.phase, found.role, found.sample, found.index[1:]) == ("data", "input", 17, (3,))
    assert found.cause.kind == "data"
    assert "1e39" in found.cause.text


def test_a_table_with_infinity_is_refused_before_training(tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text("a,b,y\n1,2,0\ninf,3,1\n2,2,0\n4,1,1\n" * 5)
    made = {
        "data": {"kind": "csv", "path": str(table), "target": "y"},
        "network": [dense(2)],
        "format": "layerscope-experiment",
        "version": 1,
    }
    (tmp_path / "e.json").write_text(json.dumps(made))
    assert cli.main(["run", str(tmp_path / "e.json"), "--out", str(tmp_path / "out")]) == 2
    assert "inf" in capsys.readouterr().err


def test_running_statistics_that_overflow_are_seen_though_nothing_reads_them():
    """The variance of large inputs is infinite in float32; the output is only beta, so no layer's output tells."""
    x = np.random.default_rng(0).normal(size=(32, 4)) * 1e22
    run = Run(experiment({"kind": "batch_norm"}, dense(2)), table_data(x, np.arange(32) % 2, 2))
    run.advance(5)
    assert (run.failed_step, run.step) == (0, 0)
    found = examine(run)
    assert (found.phase, found.path, found.role, found.name) == ("forward", "0", "parameter", "running_variance")


# --- what a run does where it fails


def test_steps_are_counted_and_recorded_in_the_same_way_however_they_are_taken():
    whole = Run(too_fast(10.0))
    whole.advance(300)
    single = Run(too_fast(10.0))
    for _ in range(300):
        single.advance(1)
    slow = Run(too_fast(10.0))
    while not slow.failed:
        slow.operation_forward()
    for other in (single, slow):
        assert other.failed_step == whole.failed_step == other.step
        np.testing.assert_array_equal(other.record.view().block, whole.record.view().block)
        np.testing.assert_array_equal(other.machine.kept, whole.machine.kept)
    assert not np.isfinite(whole.record.view().values("loss")[-1])
    assert whole.record.end == whole.failed_step + 1


def test_the_failing_step_can_be_walked_through_and_one_stands_before_it_again():
    run = Run(too_fast(10.0))
    run.advance(300)
    kept = run.machine.kept.copy()
    for _ in range(2):
        seen = []
        for _operation in run.program.operations:
            operation = run.operation_forward()
            seen.append((operation.phase, np.isfinite(run.value(operation)).all()))
        assert not all(finite for _phase, finite in seen)
        assert (run.step, run.row) == (run.failed_step, 0)
        np.testing.assert_array_equal(run.machine.kept, kept)
    run.operation_forward()
    assert run.operation_back() is None
    assert run.failed


def test_going_back_and_forth_ends_at_the_same_place():
    run = Run(too_fast(10.0))
    run.advance(300)
    step, kept = run.failed_step, run.machine.kept.copy()
    run.seek(2)
    assert run.finite
    assert examine(run).step == step
    assert (run.step, run.row) == (2, 0)
    run.seek(step + 50)
    assert run.step == run.failed_step == step
    np.testing.assert_array_equal(run.machine.kept, kept)


def test_a_smaller_rate_from_here_on_lets_it_go_on():
    run = Run(too_fast(10.0))
    run.advance(300)
    run.seek(1)
    run.set_live("training.optimizer.learning_rate", 0.01)
    assert run.failed_step is None
    run.advance(100)
    assert (run.failed_step, run.step) == (None, 101)
    assert np.isfinite(run.record.view().values("loss")).all()


def test_a_fork_from_there_has_the_last_finite_weights():
    run = Run(too_fast(10.0))
    run.advance(300)
    child = run.fork(with_value(run.experiment, "training.clipping", {"kind": "global_norm", "threshold": 1e-3}))
    assert child.step == run.step
    assert all(np.isfinite(values).all() for values in child.parameters().values())


def test_a_network_of_an_ensemble_ends_all_of_them():
    made = too_fast(10.0, averaging={"kind": "ensemble", "size": 3})
    run = Run(made)
    run.advance(100)
    assert run.failed
    alone = []
    for member in (with_value(made, "training.averaging", None), *(other.experiment for other in run.others)):
        scout = Run(member, run.data, record=False)
        scout.advance(100)
        alone.append(scout.failed_step or 1000)
    assert all(other.step == run.step for other in run.others)
    assert run.failed_step == min(alone)
    found = examine(run)
    assert found.network == alone.index(min(alone))
    run.validate()  # all networks answer


def test_a_large_network_is_taken_back_too(monkeypatch):
    """Of many parameters a copy is taken now and then only."""
    whole = Run(too_fast(10.0))
    whole.advance(400)
    assert whole.failed
    monkeypatch.setattr("layerscope.core.guard.SMALL", 10)
    seldom = Run(too_fast(10.0))
    while seldom.step < 400 and not seldom.failed:
        seldom.advance(3)
    assert seldom.failed_step == whole.failed_step
    np.testing.assert_array_equal(seldom.machine.kept, whole.machine.kept)
    np.testing.assert_array_equal(seldom.record.view().block, whole.record.view().block)


def test_a_run_that_is_well_has_no_autopsy_and_computes_the_same():
    run = Run(too_fast(0.05))
    run.advance(64)
    assert examine(run) is None
    assert run.machine.hyper[run.program.watched] == 0.0
    assert np.isfinite(run.record.view().values("loss")).all()


# --- where it is shown


def test_the_command_line_says_it_and_the_folder_keeps_it(tmp_path, capsys):
    file = tmp_path / "e.json"
    file.write_bytes(to_json(too_fast(10.0)))
    assert cli.main(["run", str(file), "--steps", "200", "--out", str(tmp_path / "run")]) == 0
    error = capsys.readouterr().err
    summary = json.loads((tmp_path / "run" / "run.json").read_text())
    report = summary["autopsy"]
    for said in report["says"]:
        assert said in error
    assert (report["cause"], report["kernel"], report["step"]) == ("rate", "dense_forward", summary["failed_step"])
    assert summary["steps"] == summary["failed_step"] == summary["weights_step"]
    weights = np.load(tmp_path / "run" / "weights.npz")
    assert all(np.isfinite(weights[name]).all() for name in weights.files)
    proposal = report["proposals"][0]["changes"][0]
    assert proposal["path"] == "training.optimizer.learning_rate"
    # a figure of the folder finds the same failure again
    again = run_at(tmp_path / "run", whole=True)
    assert examine(again).to_plain() == report


def test_the_figure_draws_what_grew_and_marks_the_step():
    sick, well = Run(too_fast(10.0)), Run(too_fast(0.01))
    for run in (sick, well):
        run.advance(50)
    kind = FIGURES["autopsy"]
    shown = scene_of([("A", "", sick), ("B", "small", well)], studies=[STUDY])
    figure = kind.build(shown, kind.options())
    lines = [mark for mark in figure.plots[0].marks if isinstance(mark, Line)]
    rules = [mark for mark in figure.plots[0].marks if isinstance(mark, Rule)]
    assert [rule.at for rule in rules] == [sick.failed_step]
    assert len(lines) == 3
    assert all(line.label.startswith("A: ") for line in lines)
    assert np.isnan(lines[0].y[-1])  # the failing step is a gap
    said = [" ".join(words.pieces) for words in figure.words]
    assert said[0].startswith("A: The way forward through Dense")
    assert said[1] == "The learning rate 10 is too large."
    assert said[2].startswith("Try: learning rate")
    assert set(figure.table["lane"]) == {"A"}
    alone = scene_of([("B", "", well)], studies=[STUDY])
    assert kind.build(alone, kind.options()).empty == "Nothing has failed: every value is finite."
    assert "Nothing has failed" in kind.explain(shown, kind.options()).yours


def test_a_failure_in_the_first_step_has_no_curves_but_its_sentences():
    made = SICK["no variance"][0]
    run = Run(made)
    run.advance(3)
    shown = scene_of([("A", "", run)], studies=[STUDY])
    figure = FIGURES["autopsy"].build(shown, FIGURES["autopsy"].options())
    assert "1/σ of Batch norm 1 infinite" in figure.empty  # nothing could grow before: there are words only
    assert "variance is 0" in figure.empty
    assert "Try: ε = 1e-5." in figure.empty
