"""The command line does what it says, and says in one line what is wrong, where, and what to do."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core import cli
from layerscope.core.experiment import from_json, to_json
from layerscope.core.figures.figure import FIGURES


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.json"
    path.write_bytes(to_json(experiment(dense(12), act("tanh"), dense(10), epochs=1)))
    return str(path)


def complaint(capsys, *words) -> str:
    """What the command says on standard error when it refuses; exactly one line, exit code 2, nothing on standard
    output.
    """
    try:
        code = cli.main(list(words))
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2, (out, err)
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def test_run_writes_everything(file, tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["run", file, "--steps", "30", "--out", str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {
        "record.npz", "record.csv", "layers.csv", "experiment.json", "run.json", "weights.npz",
    }  # fmt: skip
    with np.load(out / "record.npz", allow_pickle=False) as record:
        assert len(record["steps"]) == 30
        assert record["layers"].tolist() == ["0", "1", "2"]
    summary = json.loads((out / "run.json").read_text())
    assert summary["steps"] == 30
    assert summary["threads"] >= 1
    assert summary["steps_per_second"] > 0
    assert {"numpy", "numba", "scipy", "layerscope"} <= set(summary["versions"])
    assert from_json((out / "experiment.json").read_bytes()).training.epochs == 1
    assert "30 steps" in capsys.readouterr().out


def test_run_again_is_the_same_run(file, tmp_path):
    for name in ("a", "b"):
        cli.main(["run", file, "--steps", "40", "--out", str(tmp_path / name)])
    for name in ("record.npz", "weights.npz", "record.csv", "layers.csv", "experiment.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_epochs_settings_and_seed(file, tmp_path):
    out = tmp_path / "out"
    words = ["--set", "training.optimizer=momentum", "--set", "training.optimizer.learning_rate=0.02"]
    words += ["--set", "network.1.function=relu", "--set", "data.scaling=unit", "--seed", "5", "--epochs", "2"]
    assert cli.main(["run", file, *words, "--out", str(out)]) == 0
    ran = from_json((out / "experiment.json").read_bytes())
    assert ran.seed == 5
    assert ran.training.optimizer.kind_name() == "momentum"
    assert ran.training.optimizer.learning_rate == 0.02
    assert ran.network[1].function == "relu"
    assert ran.data.scaling == "unit"
    summary = json.loads((out / "run.json").read_text())
    assert summary["steps"] == 2 * -(-1438 // 16)


def test_a_trace_lets_plain_numpy_repeat_the_run(tmp_path):
    path = tmp_path / "e.json"
    path.write_bytes(
        to_json(
            experiment(
                dense(12),
                act("tanh"),
                dense(10),
                precision="float64",
                optimizer={"kind": "momentum", "learning_rate": 0.1},
            )
        )
    )
    assert cli.main(["run", str(path), "--steps", "120", "--trace", "--out", str(tmp_path / "out")]) == 0
    with np.load(tmp_path / "out" / "trace.npz", allow_pickle=False) as file:
        trace = dict(file)
    with np.load(tmp_path / "out" / "record.npz", allow_pickle=False) as record:
        recorded = record["loss"]
    assert trace["batches"].shape == (120, 16)
    assert trace["x_train"].shape[1:] == (8, 8, 1)
    names = ["0.weight", "0.bias", "2.weight", "2.bias"]
    w, b, w2, b2 = (trace[n].copy() for n in names)
    velocity = [np.zeros_like(p) for p in (w, b, w2, b2)]
    x, y = trace["x_train"].reshape(len(trace["x_train"]), -1), trace["y_train"]
    losses = []
    for rows in trace["batches"]:
        rows = rows[rows >= 0]
        h = np.tanh(x[rows] @ w + b)
        z = h @ w2 + b2
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        losses.append(-np.mean(np.log(p[np.arange(len(rows)), y[rows]])))
        p[np.arange(len(rows)), y[rows]] -= 1
        p /= len(rows)
        back = (p @ w2.T) * (1 - h * h)
        gradients = (x[rows].T @ back, back.sum(axis=0), h.T @ p, p.sum(axis=0))
        for v, parameter, g in zip(velocity, (w, b, w2, b2), gradients, strict=True):
            v *= 0.9
            v += g
            parameter -= 0.1 * v
    np.testing.assert_allclose(losses, recorded, rtol=1e-8)


def stopping(tmp_path, **training) -> str:
    path = tmp_path / "stopping.json"
    fast = {"optimizer": {"kind": "momentum", "learning_rate": 0.2}, "batch_size": 32, "epochs": 200}
    whole = experiment(dense(64, "he_normal"), act("relu"), dense(10), **fast, **training)
    path.write_bytes(to_json(whole))
    return str(path)


def test_early_stopping_ends_the_run_and_saves_the_best_weights(tmp_path, capsys):
    out = tmp_path / "out"
    file = stopping(tmp_path, early_stopping={"patience": 3})
    assert cli.main(["run", file, "--epochs", "200", "--trace", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    summary = json.loads((out / "run.json").read_text())
    best, stopped = summary["best_step"], summary["stopped_step"]
    assert summary["steps"] == stopped == best + 3 * 45
    assert summary["weights_step"] == best
    assert f"early stopping at step {stopped}" in summary["stopped"]
    assert f"early stopping at step {stopped}" in said
    assert f"the weights are those of step {best}" in said
    with np.load(out / "record.npz") as record:
        assert len(record["steps"]) == stopped
        assert summary["loss"] == record["loss"][best - 1]
        losses = record["validation_loss"]
        assert summary["validation_loss"] == losses[1:].min() == losses[record["validation_steps"] == best][0]
        assert dict(zip(record["marks"].tolist(), record["mark_steps"].tolist(), strict=True)) == {
            "best": best,
            "stopped": stopped,
        }
        assert set(record["detail_steps"].tolist()) <= set(range(stopped))
        assert stopped - 1 in record["detail_steps"]
    with np.load(out / "trace.npz") as trace:
        assert len(trace["batches"]) == stopped
    straight = tmp_path / "straight"
    assert cli.main(["run", stopping(tmp_path), "--steps", str(best), "--out", str(straight)]) == 0
    with np.load(out / "weights.npz") as ours, np.load(straight / "weights.npz") as theirs:
        assert ours.files == theirs.files
        for name in ours.files:
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_without_restoring_the_last_weights_are_saved(tmp_path):
    out = tmp_path / "out"
    file = stopping(tmp_path, early_stopping={"patience": 2, "restore_best": False})
    assert cli.main(["run", file, "--out", str(out)]) == 0
    summary = json.loads((out / "run.json").read_text())
    assert summary["weights_step"] == summary["stopped_step"] == summary["steps"]
    assert summary["best_step"] < summary["steps"]


def test_the_best_weights_are_taken_of_a_run_that_broke_down(tmp_path, capsys):
    out = tmp_path / "out"
    schedule = {"kind": "range_test", "start": 1e-3, "end": 1e6, "steps": 200}
    file = stopping(tmp_path, early_stopping={"patience": 50}, schedule=schedule)
    assert cli.main(["run", file, "--out", str(out)]) == 0
    summary = json.loads((out / "run.json").read_text())
    assert "not finite" in summary["stopped"]
    assert "not finite" in capsys.readouterr().err
    assert summary["weights_step"] == summary["best_step"] < summary["steps"]
    with np.load(out / "weights.npz") as weights:
        assert all(np.isfinite(weights[name]).all() for name in weights.files)


def test_averages_and_networks_of_an_ensemble_are_saved_and_told(tmp_path, capsys):
    out = tmp_path / "out"
    words = ["--epochs", "2", "--set", "data.test=0.1", "--out", str(out)]
    file = stopping(tmp_path)
    assert cli.main(["run", file, "--set", 'training.averaging={"kind": "ema"}', *words]) == 0
    summary = json.loads((out / "run.json").read_text())
    assert summary["averaging"] == "ema"
    for name in ("validation_loss", "validation_accuracy", "test_loss", "test_accuracy"):
        assert summary[name] is not None
        assert summary[f"plain_{name}"] is not None
    assert summary["validation_loss"] != summary["plain_validation_loss"]
    assert "averaged: validation loss" in capsys.readouterr().out
    with np.load(out / "averaged_weights.npz") as averaged, np.load(out / "weights.npz") as weights:
        assert averaged.files == weights.files
        assert not np.array_equal(averaged["0.weight"], weights["0.weight"])
    ensemble = ["run", file, "--set", 'training.averaging={"kind": "ensemble", "size": 3}', *words]
    assert cli.main(ensemble) == 0
    assert {p.name for p in out.glob("*weights*")} == {"weights.npz", "weights-2.npz", "weights-3.npz"}
    assert cli.main(["run", file, *words]) == 0
    assert {p.name for p in out.glob("*weights*")} == {"weights.npz"}
    assert "averaging" not in json.loads((out / "run.json").read_text())


def test_a_figure_of_a_training_that_stops_early_is_drawn(tmp_path):
    out = tmp_path / "out"
    file = stopping(tmp_path, early_stopping={"patience": 1})
    assert cli.main(["figure", file, "learning-curves", "--format", "csv", "--out", str(out)]) == 0
    assert (out / "learning-curves.csv").is_file()


def test_figures_of_a_file_and_of_a_folder(file, tmp_path):
    assert (
        cli.main(
            ["figure", file, "gradients", "signal", "--step", "20", "--format", "svg", "--out", str(tmp_path / "f")]
        )
        == 0
    )
    assert {p.name for p in (tmp_path / "f").iterdir()} == {"gradients.svg", "signal.svg"}
    assert cli.main(["run", file, "--steps", "30", "--out", str(tmp_path / "run")]) == 0
    words = ["--step", "20", "--format", "svg", "--out", str(tmp_path / "g")]
    assert cli.main(["figure", str(tmp_path / "run"), "all", *words]) == 0
    assert {p.stem for p in (tmp_path / "g").iterdir()} == set(FIGURES.names())
    # nothing has failed, and a network with one hidden layer has no edge of chaos: that they say so takes less room
    drawn = [p for p in (tmp_path / "g").iterdir() if p.stem not in ("autopsy", "edge-of-chaos")]
    assert all(p.stat().st_size > 2000 for p in drawn)


def test_the_folder_of_a_run_finds_the_data_of_the_experiment(tmp_path):
    import shutil
    from importlib import resources

    from layerscope.core.figures.scene import scene_from_folder

    (tmp_path / "lecture").mkdir()
    with resources.as_file(resources.files("layerscope.sample_data") / "beans.csv") as beans:
        shutil.copy(beans, tmp_path / "lecture" / "table.csv")
    data = {"kind": "csv", "path": "table.csv"}
    plain = {
        "format": "layerscope-experiment",
        "version": 1,
        "data": data,
        "network": [dense(6), act("relu"), dense(3)],
    }
    (tmp_path / "lecture" / "e.json").write_text(json.dumps(plain))
    out = tmp_path / "results" / "today"
    assert cli.main(["run", str(tmp_path / "lecture" / "e.json"), "--steps", "5", "--out", str(out)]) == 0
    assert from_json((out / "experiment.json").read_bytes()).data.path == "../../lecture/table.csv"
    assert scene_from_folder(out).lanes[0].predictions


def test_the_same_figure_again_byte_for_byte(file, tmp_path):
    for name in ("a", "b"):
        cli.main(["figure", file, "gradients", "--step", "10", "--format", "pdf,png", "--out", str(tmp_path / name)])
    for form in ("pdf", "png"):
        assert (tmp_path / "a" / f"gradients.{form}").read_bytes() == (
            tmp_path / "b" / f"gradients.{form}"
        ).read_bytes()


def test_check_shows_shapes_theory_and_the_gradient_check(file, capsys):
    assert cli.main(["check", file]) == 0
    out = capsys.readouterr().out
    assert "780" in out  # 64 * 12 + 12
    assert "passed" in out
    assert "no depth scales" in out  # one hidden layer


def test_check_asks_the_doctor_before_training(file, capsys):
    assert cli.main(["check", file]) == 0
    assert "rules find nothing before training" in capsys.readouterr().out
    zoo = Path(__file__).parents[2] / "sample_data" / "zoo"
    assert cli.main(["check", str(zoo / "inputs-table.json")]) == 0
    said = capsys.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(said) if line.startswith("doctor: Inputs are not scaled: from 0 to 15.5"))
    assert said[first + 1].startswith("  try: Standardize the inputs")
    assert said[first + 2].startswith("  and so: ")


def test_check_says_how_deep_the_network_may_be_and_what_reaches_its_first_layer(tmp_path, capsys):
    hidden = {"kind": "dense", "units": 50, "init": {"kind": "lecun_normal", "gain": 2**0.5}, "bias_std": 0.05**0.5}
    plain = {
        "format": "layerscope-experiment",
        "version": 1,
        "network": [*[part for _ in range(6) for part in (hidden, act("tanh"))], dense(10)],
    }
    path = tmp_path / "deep.json"
    path.write_text(json.dumps(plain))
    assert cli.main(["check", str(path)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    # tanh with n Var(W) = 2, Var(b) = 0.05: its depth scales are xi_q = 1.388, xi_c = 25.21
    for words in ("the gradient at the first layer", "in 19 of 20 networks", "ξ_c = 25.2", "6 ξ_c = 151", "chaotic"):
        assert words in out


def test_check_shows_nested_layers_what_was_drawn_and_where_theory_is_silent(tmp_path, capsys):
    inner = [{"kind": "conv2d", "filters": 3, "padding": "same"}, {"kind": "batch_norm"}, act("tanh")]
    plain = {
        "format": "layerscope-experiment",
        "version": 1,
        "network": [
            {"kind": "weight_norm", "layer": {"kind": "conv2d", "filters": 3, "init": {"kind": "lsuv"}}},
            {"kind": "residual", "body": [{"kind": "inception", "branches": [inner]}]},
            {"kind": "dropout", "rate": 0.2},
            {"kind": "max_pool"},
            {"kind": "residual", "body": [act("tanh")]},
            dense(8, "constant"),
            dense(10),
        ],
    }
    path = tmp_path / "nested.json"
    path.write_text(json.dumps(plain))
    assert cli.main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    lines = [line.split() for line in out.splitlines() if line.startswith("  ")]
    rows = {words[0]: words for words in lines if words and words[0][0].isdigit()}
    assert list(rows) == [
        "0", "1", "1.body.0", "1.body.0.branches.0.0", "1.body.0.branches.0.1", "1.body.0.branches.0.2",
        "2", "3", "4", "4.body.0", "5", "6",
    ]  # fmt: skip
    assert "      1.body.0.branches.0.0 " in out  # indented by how deep it stands
    assert rows["1.body.0.branches.0.0"][-7:-5] == ["6×6×3", "84"]
    # the weights as they are drawn: std sqrt(2 / (n + m)), n Var = 2 n / (n + m)
    assert float(rows["6"][-5]) == pytest.approx(np.sqrt(2 / 18), rel=0.25)
    assert float(rows["6"][-4]) == pytest.approx(2 * 8 / 18, rel=0.5)
    assert rows["5"][-5:-3] == ["0", "0"]
    assert rows["2"][-5:-3] == ["–", "–"]
    assert float(rows["0"][-3]) == pytest.approx(1.0, abs=0.01)  # LSUV
    for path in ("3", "4", "4.body.0", "5", "6"):  # from the pooling on
        assert rows[path][-3] == "–"
    assert "passed" in out
    assert float(rows["2"][-2]) == pytest.approx(np.sqrt(1 / 0.8), rel=1e-2)  # dropout: what passes is enlarged
    assert rows["3"][-2] == "–"  # nothing is known of max pooling
    flowing = " ".join(out.split())
    assert "no theory for layers 3, 4: theory does not follow how alike" in flowing
    assert "no theory for layers 5, 6: theory is about random weights" in flowing


def test_check_of_values_to_predict(tmp_path, capsys):
    plain = {
        "format": "layerscope-experiment",
        "version": 1,
        "data": {"kind": "regression"},
        "network": [dense(6), act("tanh"), dense(1)],
        "loss": {"kind": "huber"},
    }
    path = tmp_path / "values.json"
    path.write_text(json.dumps(plain))
    assert cli.main(["check", str(path)]) == 0
    assert "1 value to predict" in capsys.readouterr().out
    assert cli.main(["check", str(path), "--set", "loss=softmax_cross_entropy"]) == 2
    assert "choose Mean squared error or Huber" in capsys.readouterr().err


def test_check_passes_where_gradients_have_vanished(tmp_path, capsys):
    from layerscope.core.lessons import LESSONS

    for index, lane in enumerate(LESSONS["vanishing-gradients"].lanes):
        path = tmp_path / f"{index}.json"
        path.write_bytes(to_json(lane))
        assert cli.main(["check", str(path)]) == 0, capsys.readouterr().out


def test_a_name_with_brackets_is_shown_as_it_is(file, capsys):
    assert cli.main(["check", file, "--set", 'name="[/b] [red]x"']) == 0
    assert "[/b] [red]x" in capsys.readouterr().out


def test_the_last_evaluation_is_in_the_table(file, tmp_path):
    assert cli.main(["run", file, "--steps", "33", "--out", str(tmp_path / "o")]) == 0
    last = (tmp_path / "o" / "record.csv").read_text().splitlines()[-1].split(",")
    assert last[0] == "33"
    assert float(last[-1]) > 0


def test_a_trace_of_an_earlier_run_does_not_stay(file, tmp_path):
    out = str(tmp_path / "o")
    assert cli.main(["run", file, "--steps", "3", "--trace", "--out", out]) == 0
    assert cli.main(["run", file, "--steps", "3", "--out", out]) == 0
    assert not (tmp_path / "o" / "trace.npz").exists()


def test_a_step_that_is_not_recorded_is_refused(file, tmp_path, capsys):
    assert cli.main(["run", file, "--steps", "20", "--out", str(tmp_path / "o")]) == 0
    capsys.readouterr()
    words = ["signal", "--step", "999", "--out", str(tmp_path / "f")]
    assert "19" in complaint(capsys, "figure", str(tmp_path / "o"), *words)


def test_schema_is_json(capsys):
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["network"]


def test_a_window_is_opened_with_the_file(file):
    opened = []

    def window(path):
        opened.append(path)
        return 0

    assert cli.main([], window) == 0
    assert cli.main([file], window) == 0
    assert opened == [None, file]


def test_installed_command_runs():
    answer = subprocess.run(
        [sys.executable, "-m", "layerscope", "--version"], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("layerscope ")


def test_without_a_display_the_window_is_refused_in_one_line():
    import os

    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    screenless = {k: v for k, v in os.environ.items() if k not in hidden}
    answer = subprocess.run([sys.executable, "-m", "layerscope"], capture_output=True, text=True, env=screenless)
    assert answer.returncode == 2
    assert answer.stderr.count("\n") == 1
    assert "no display" in answer.stderr


# --- wrong input


def changed(file, **parts) -> str:
    with open(file) as stream:
        plain = json.load(stream)
    for path, value in parts.items():
        here = plain
        *steps, last = path.split("__")
        for step in steps:
            here = here[int(step)] if step.isdigit() else here[step]
        here[int(last) if last.isdigit() else last] = value
    with open(file, "w") as stream:
        json.dump(plain, stream)
    return file


@pytest.mark.parametrize("command", ["run", "check", "figure"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"network__0": {"kind": "conv3d", "filters": 3}},
            ["network.0.kind", "conv3d", "not a known kind", "dense", "activation"],
        ),
        ({"network__0": {"kind": "dense", "uints": 3}}, ["network.0.uints", "unknown key", '"units"']),
        ({"network__0": {"kind": "dense", "units": -3}}, ["network.0.units", "-3", "1", "4096"]),
        ({"network__2": {"kind": "dense", "units": 7}}, ["loss", "7", "10"]),
        ({"training__optimizer": {"kind": "ada"}}, ["training.optimizer.kind", "ada", "sgd", "momentum"]),
        ({"training__precision": "float24"}, ["training.precision", "float32", "float16"]),
        ({"version": 99}, ["version", "99"]),
        ({"network": []}, ["network", "no layers"]),
        (
            {"training__batch_size": 65536, "network__0": {"kind": "dense", "units": 4096}},
            ["training.batch_size", "GB of memory"],
        ),
    ],
)
def test_wrong_experiments(file, tmp_path, capsys, command, change, words):
    out = tmp_path / "out"
    rest = {"run": ["--out", str(out)], "figure": ["gradients", "--out", str(out)], "check": []}[command]
    line = complaint(capsys, command, changed(file, **change), *rest)
    for word in [file, *words]:
        assert word in line
    assert not out.exists()


@pytest.mark.parametrize("cut", [0, 1, 50, 200])
def test_a_truncated_file(file, tmp_path, capsys, cut):
    with open(file, "rb") as stream:
        content = stream.read()
    with open(file, "wb") as stream:
        stream.write(content[:cut])
    line = complaint(capsys, "run", file, "--out", str(tmp_path / "out"))
    assert file in line


@pytest.mark.parametrize("content", [bytes(range(256)), b"\x89PNG\r\n\x1a\n\0\0", b"\xff\xfe{}", b"[" * 100_000])
def test_a_file_that_is_something_else(tmp_path, capsys, content):
    path = tmp_path / "picture.json"
    path.write_bytes(content)
    assert str(path) in complaint(capsys, "run", str(path), "--out", str(tmp_path / "out"))


def test_no_such_file_or_folder(tmp_path, capsys):
    assert "nowhere.json" in complaint(capsys, "run", "nowhere.json", "--out", str(tmp_path / "out"))
    assert "nowhere.json" in complaint(capsys, "nowhere.json")
    assert "figure" in complaint(capsys, "figrue")
    (tmp_path / "empty").mkdir()
    assert "record.npz" in complaint(capsys, "figure", str(tmp_path / "empty"), "signal", "--out", str(tmp_path / "o"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "training.optimizer.learning_rate=-1"], "learning_rate"),
        (["--set", "training.optimiser=sgd"], "optimizer"),
        (["--set", "network.9.units=3"], "network.9"),
        (["--set", "nonsense"], "PATH=VALUE"),
        (["--seed", "-1"], "whole number"),
        (["--steps", "0"], "1 or more"),
        (["--steps", "many"], "many"),
        (["--steps", "3", "--epochs", "3"], "--epochs"),
        (["--sed", "3"], "--sed"),
    ],
)
def test_wrong_words(file, tmp_path, capsys, words, named):
    assert named in complaint(capsys, "run", file, *words, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_wrong_figures(file, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert "gradients" in complaint(capsys, "figure", file, "gradiants", *out)
    assert "pdf" in complaint(capsys, "figure", file, "gradients", "--format", "pfd", *out)
    assert "slide" in complaint(capsys, "figure", file, "gradients", "--preset", "slides", *out)
    assert "vanishing-gradients" in complaint(capsys, "lesson", "vanishing-gradient", *out)


def test_a_folder_that_cannot_be_made(file, tmp_path, capsys):
    (tmp_path / "taken").write_text("a file")
    assert "taken" in complaint(capsys, "run", file, "--steps", "1", "--out", str(tmp_path / "taken"))


def test_exploding_training_is_reported_and_saved(file, tmp_path, capsys):
    words = ["--set", "network.1.function=identity", "--set", "training.optimizer.learning_rate=1000", "--steps", "400"]
    assert cli.main(["run", file, *words, "--out", str(tmp_path / "out")]) == 0
    _, err = capsys.readouterr()
    assert "not finite" in err
    summary = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "not finite" in summary["stopped"]
    assert summary["loss"] > 1e6  # of the last step that was finite


def test_the_doctor_has_the_last_word(file, tmp_path, capsys):
    words = ["run", file, "--steps", "60", "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--set", "training.optimizer.learning_rate=1000"]) == 0
    said = capsys.readouterr().out.splitlines()
    findings = json.loads((tmp_path / "out" / "run.json").read_text())["findings"]
    assert findings[0]["rule"] == "rate_too_high"
    assert not findings[0]["follows_from"]
    assert f"doctor: {findings[0]['headline']}" in said
    assert f"  try: {findings[0]['proposals'][0]['text']}" in said
    assert len([line for line in said if line.startswith("doctor:")]) <= cli.MOST_FINDINGS
    assert cli.main([*words, "--set", "training.optimizer.learning_rate=0.05"]) == 0
    assert "doctor:" not in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "run.json").read_text())["findings"] == []
