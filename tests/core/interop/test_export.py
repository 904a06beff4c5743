"""Exported programs print our losses; their source is complete, has nothing superfluous, and reads well."""

import inspect
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from experiments import act, dense, experiment
from random_experiments import all_kinds, kinds_in, random_experiment

from layerscope.core import cli
from layerscope.core.averaging import Averaging, Ema, Swa
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, build, to_json
from layerscope.core.gradient_steps.base import Clipping, GradientStep, Optimizer, Regularizer
from layerscope.core.interop.export import FRAMEWORKS, export, trace_path
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss
from layerscope.core.results import trace_arrays
from layerscope.core.run import Run
from layerscope.core.schedules.base import Schedule

STEPS = 25
BLOCK = [
    {"kind": "conv2d", "filters": 3, "padding": "same"},
    {"kind": "batch_norm"},
    act("relu"),
    {"kind": "residual", "scale": 0.5, "body": [{"kind": "conv2d", "filters": 3, "padding": "same"}, act("gelu")]},
    {"kind": "max_pool"},
    {"kind": "dropout", "rate": 0.25},
]
CASES = {
    "plain": {},
    "images": {"network": [*BLOCK, dense(10)]},
    "no bias": {"network": [dense(12, bias=False), act("sigmoid"), dense(10, bias=False)]},
    "layer without parameters first": {"network": [act("tanh"), {"kind": "dropout", "rate": 0.5}, dense(10)]},
    "block first": {"network": [{"kind": "residual", "body": [act("tanh")]}, {"kind": "flatten"}, dense(10)]},
    "empty blocks": {
        "network": [dense(4), {"kind": "residual", "body": []}, {"kind": "inception", "branches": [[], []]}, dense(10)]
    },
    "projection": {
        "network": [*BLOCK[:1], {"kind": "residual", "body": [dense(6)], "shortcut": "projection"}, dense(10)]
    },
    "wrapped": {
        "network": [{"kind": "weight_norm", "layer": layer} for layer in (BLOCK[0], dense(9), dense(10, bias=False))]
    },
    "two warm-ups": {
        "training": {
            "schedule": {
                "kind": "warmup",
                "steps": 5,
                "then": {"kind": "warmup", "steps": 7, "then": {"kind": "cosine"}},
            }
        }
    },
    "twice the same": {
        "training": {
            "regularizers": [{"kind": k, "strength": 0.01} for k in ("l2", "decoupled", "l2", "decoupled", "l1")],
            "optimizer": {"kind": "adamw", "weight_decay": 0.1},
        }
    },
    "watched by averages": {
        "network": [dense(8), {"kind": "batch_norm"}, act("relu"), {"kind": "dropout", "rate": 0.3}, dense(10)],
        "training": {
            "batch_size": 600,
            "averaging": {"kind": "ema", "decay": 0.7},
            "early_stopping": {"patience": 3},
            "schedule": {"kind": "reduce_on_plateau", "patience": 0, "min_delta": 0.12, "factor": 0.5},
        },
    },
    "watched by swa": {
        "training": {
            "batch_size": 600,
            "averaging": {"kind": "swa", "start": 3, "every": 2},
            "schedule": {"kind": "reduce_on_plateau", "patience": 0, "min_delta": 0.1, "factor": 0.5},
        }
    },
    "watched by an ensemble": {
        "training": {
            "batch_size": 600,
            "averaging": {"kind": "ensemble", "size": 2},
            "early_stopping": {"patience": 2, "min_delta": 0.2},
            "schedule": {"kind": "reduce_on_plateau", "patience": 0, "min_delta": 0.2, "factor": 0.5},
        }
    },
    "nothing to watch": {
        "data": {"kind": "digits", "validation": 1e-4},
        "training": {"early_stopping": {"patience": 1}, "schedule": {"kind": "reduce_on_plateau", "patience": 0}},
    },
    "muted layers": {
        "network": [
            *(dense(12), {"kind": "dropout", "muted": True}),
            {"kind": "residual", "body": [dense(12), {**act("relu"), "muted": True}, act("tanh")]},
            {"kind": "inception", "branches": [[{**dense(3), "muted": True}], [dense(4)]], "muted": False},
            *(dense(10), {**act("tanh"), "muted": True}),
        ]
    },
    "stopped early": {"training": {"batch_size": 600, "early_stopping": {"patience": 1, "min_delta": 0.3}}},
}


def case(name: str) -> Experiment:
    given = CASES[name]
    training = {"batch_size": 100, "epochs": 3, "precision": "float64", **given.get("training", {})}
    data = given.get("data", {"kind": "digits"})
    network = given.get("network", [dense(12), act("tanh"), dense(10)])
    return build(Experiment, {"name": name, "data": data, "network": network, "training": training})


def losses(run: Run, steps: int) -> np.ndarray:
    """(steps, 2): step and loss as we record them."""
    run.advance(steps)
    view = run.record.view(whole=True)
    return np.column_stack([view.kept_steps, view.values("loss")])


def check_numpy(wanted: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program prints nine digits of our losses, and computes at least as many."""
    run = Run(wanted)
    ours = losses(run, STEPS)
    path, _trace = export(Run(wanted), "numpy", STEPS).save(tmp_path / "program.py")
    runpy.run_path(str(path))
    printed = capsys.readouterr().out.splitlines()
    for line, (step, loss) in zip(printed, ours, strict=True):
        number, text = line.split()
        assert int(number) == step
        assert float(text) == pytest.approx(loss, rel=6e-9)
    # once more with all digits, and with what the program finds when it evaluates
    source = path.read_text().replace(":.9g}", ":.17g}")
    source = source.replace("found = validation_loss()", "found = validation_loss(); FOUND.append((step, found))")
    left: dict[str, Any] = {"__file__": str(path), "FOUND": []}
    exec(compile(source, str(path), "exec"), left)
    exact = np.array([line.split() for line in capsys.readouterr().out.splitlines()], dtype=np.float64)
    np.testing.assert_allclose(exact[:, 1], ours[:, 1], rtol=1e-9)
    if left["FOUND"]:
        evaluated = [row[:2] for row in run.record.validation if 0 < row[0] <= left["FOUND"][-1][0]]
        np.testing.assert_allclose(left["FOUND"], evaluated, rtol=1e-9)
        run.take_best()
    weights = run.parameters()
    for name, value in {**left["p"], **left.get("statistics", {})}.items():
        np.testing.assert_allclose(value, weights[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_the_numpy_program_prints_our_losses(name, tmp_path, capsys):
    check_numpy(case(name), tmp_path, capsys)


@pytest.mark.parametrize("number", range(41, 46))
def test_so_it_does_for_random_experiments(number, tmp_path, capsys):
    check_numpy(random_experiment(number), tmp_path, capsys)


def test_random_experiments_have_every_kind():
    found = set().union(*(kinds_in(random_experiment(number)) for number in range(30)))
    assert not all_kinds() - found


def test_the_stop_and_the_drops_of_the_cases_happen():
    """What the cases are named after is in them."""
    for name in ("watched by averages", "watched by swa", "watched by an ensemble"):
        run = Run(case(name))
        run.advance(STEPS)
        assert run.rate_drops, name
    run = Run(case("stopped early"))
    run.advance(STEPS)
    assert run.stopped_step is not None
    assert run.stopped_step < STEPS


# --- sources


@pytest.mark.parametrize("framework", FRAMEWORKS.names())
def test_programs_are_complete_and_have_nothing_superfluous(framework, tmp_path):
    wanted = [case(name) for name in CASES] + [random_experiment(number) for number in range(8)]
    for index, one in enumerate(wanted):
        source = export(Run(one, record=False), framework, 3).source
        path = tmp_path / f"{framework}_{index}.py"
        path.write_text(source)
        compile(source, str(path), "exec")
        names = re.findall(r"^(?:def|class) (\w+)|^(\w+) = ", source, re.MULTILINE)
        for name in {a or b for a, b in names}:
            assert len(re.findall(rf"\b{name}\b", source)) > 1, (one.name, name)
        assert max(map(len, source.splitlines())) <= 120, one.name
    # F: names that are not defined, imports and variables that are not used; E: form (E402: Keras reads its backend
    # from the environment when it is imported)
    rules = ["--isolated", "--select", "E,F,W", "--ignore", "E402", "--line-length", "120"]
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *rules, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout


GOLDEN = '''\
"""A small network.

Written by Layerscope (ORIGIN).
Starts from the weights and sees the minibatches of that experiment, which are in the .trace.npz
file beside this program, and prints the step and the loss of its minibatch, a line for every
step. It needs PyTorch 2 and NumPy, and computes with float32.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.set_default_dtype(torch.float32)
with np.load(Path(__file__).with_suffix(".trace.npz")) as file:
    trace = dict(file)

LEARNING_RATE = 0.001


def learning_rate(step):
    """Cosine: η(t) = η (f + (1 − f)(1 + cos(π t / T)) / 2)"""
    return LEARNING_RATE * (1 + math.cos(math.pi * min(step, 45) / 45)) / 2


def tensor(name):
    """An array of the trace as a tensor."""
    return torch.tensor(trace[name], dtype=torch.get_default_dtype())


def images(name):
    """Images of the trace, (samples, height, width, channels), as PyTorch wants them: channels before height."""
    return tensor(name).permute(0, 3, 1, 2)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_0 = nn.Linear(64, 12)
        self.layer_2_body_0 = nn.Linear(12, 12)
        self.layer_3 = nn.Linear(12, 10)

    def forward(self, x):
        x = self.layer_0(x.permute(0, 2, 3, 1).flatten(1))
        x = torch.relu(x)
        skip_2 = x  # residual block 2
        x = self.layer_2_body_0(x)
        x = torch.tanh(x)
        x = skip_2 + x
        x = self.layer_3(x)
        return x


x_train, t_train = images("x_train"), tensor("t_train")
# rows of every minibatch; -1 where the last one of an epoch is shorter
batches = trace["batches"]

model = Network()
p = {  # parameters by their names in the trace
    "0.weight": model.layer_0.weight,
    "0.bias": model.layer_0.bias,
    "2.body.0.weight": model.layer_2_body_0.weight,
    "2.body.0.bias": model.layer_2_body_0.bias,
    "3.weight": model.layer_3.weight,
    "3.bias": model.layer_3.bias,
}

# start from the weights of the trace
with torch.no_grad():
    for name, w in p.items():
        value = tensor(name)
        if value.ndim == 2:  # a dense layer: (inputs, outputs) there, (outputs, inputs) here
            value = value.T
        w.copy_(value)

# what decays: no biases, scales or shifts
weights = ["0.weight", "2.body.0.weight", "3.weight"]
optimizer = torch.optim.Adam(p.values(), lr=LEARNING_RATE, betas=(0.9, 0.999), eps=1e-08)

for step in range(50):
    rows = batches[step][batches[step] >= 0]
    x, t = x_train[rows], t_train[rows]
    y = model(x)
    loss = F.cross_entropy(y, t)
    print(step, f"{loss.item():.9g}")

    model.zero_grad()
    # L2: pulls large weights most
    penalty = 5e-05 * sum(torch.sum(p[name] ** 2) for name in weights)
    (loss + penalty).backward()
    nn.utils.clip_grad_norm_(p.values(), 1.0)
    rate = learning_rate(step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
'''


def test_a_program_reads_as_a_lecturer_would_write_it():
    layers = [dense(12), act("relu"), {"kind": "residual", "body": [dense(12), act("tanh")]}, dense(10)]
    wanted = experiment(
        *layers,
        batch_size=100,
        epochs=3,
        optimizer={"kind": "adam"},
        schedule={"kind": "cosine"},
        clipping={"kind": "global_norm"},
        regularizers=[{"kind": "l2", "strength": 1e-4}],
    )
    source = export(Run(msgspec.structs.replace(wanted, name="A small network")), "pytorch", 50).source
    assert re.sub(r"(?<=Layerscope \()[^)]*", "ORIGIN", source) == GOLDEN


def test_a_name_cannot_end_the_docstring():
    for name in ('"""', "\\", 'a"', "two\nlines", "Grüße \\N{x}"):
        source = export(Run(msgspec.structs.replace(case("plain"), name=name)), "numpy", 1).source
        compile(source, "program.py", "exec")
        assert "Written by Layerscope" in source.split('"""')[1]


# --- every kind


def test_every_kind_has_its_code():
    methods = ("to_pytorch", "to_keras", "to_numpy")
    for base, kinds in ((Layer, Layer.registry), (Loss, Loss.registry)):
        for kind in kinds:
            for method in methods:
                assert getattr(kind, method) is not getattr(base, method), (kind, method)
    for registry in (Optimizer.registry, Clipping.registry, Regularizer.registry):
        for kind in registry:
            assert kind.to_code is not GradientStep.to_code, kind
    for kind in Schedule.registry:
        assert kind.to_code is not Schedule.to_code, kind
    averages = [kind for kind in Averaging.registry if kind.slots]
    assert {Ema, Swa} <= set(averages)
    for kind in averages:
        assert kind.to_code is not Averaging.to_code, kind


def test_nothing_here_imports_a_framework():
    from layerscope.core import interop

    for path in Path(inspect.getfile(interop)).parent.glob("*.py"):
        assert not re.search(r"^\s*(import|from) (torch|keras)\b", path.read_text(), re.MULTILINE), path


# --- the trace and the command


def test_a_trace_has_masks_targets_and_initial_parameters():
    run = Run(case("images"))
    before = run.parameters()
    run.advance(3)
    arrays = trace_arrays(run, 5, validation=True)
    assert arrays["batches"].shape == (5, 100)
    assert arrays["5.mask"].shape == (5, 100, 4, 4, 3)
    assert arrays["t_train"].shape == (len(run.data.x_train), 10)
    assert len(arrays["x_validation"]) == len(arrays["t_validation"]) == len(run.data.x_validation)
    for name, value in before.items():
        np.testing.assert_array_equal(arrays[name], value)


def test_the_command_writes_a_program_and_its_trace(tmp_path, capsys):
    file = tmp_path / "small.json"
    file.write_bytes(to_json(case("plain")))
    for framework in FRAMEWORKS.names():
        out = tmp_path / f"in_{framework}.py"
        assert cli.main(["code", str(file), "--framework", framework, "--steps", "4", "--out", str(out)]) == 0
        assert capsys.readouterr().out.splitlines() == [str(out), str(tmp_path / f"in_{framework}.trace.npz")]
    done = subprocess.run(
        [sys.executable, str(tmp_path / "in_numpy.py")], capture_output=True, text=True, check=True, cwd=os.sep
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--framework", "pytroch", "--out", "x.py"], 'did you mean "pytorch"'),
        (["--framework", "numpy", "--out", "."], "--out"),
        (["--framework", "numpy", "--out", "numpy.py"], "another name"),
        (["--framework", "numpy", "--out", "small.json/x.py"], "cannot be made a folder"),
        (["--framework", "numpy", "--out", "../folder"], "is a folder"),
        (["--framework", "numpy", "--steps", "0", "--out", "x.py"], "--steps"),
        (["--framework", "numpy"], "--out"),
    ],
)
def test_the_command_refuses_in_one_line(words, said, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("small.json").write_bytes(to_json(case("plain")))
    try:
        code = cli.main(["code", "small.json", *words])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "here", "small.json"]  # nothing half-written


def test_the_command_makes_the_folder_as_run_does(tmp_path, capsys):
    file, out = tmp_path / "small.json", tmp_path / "new" / "deep" / "program.py"
    file.write_bytes(to_json(case("plain")))
    assert cli.main(["code", str(file), "--framework", "numpy", "--steps", "2", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.parent.iterdir()) == ["program.py", "program.trace.npz"]


@pytest.mark.parametrize(
    ("setting", "place"),
    [
        ("precision=float16", "training.precision"),
        ("precision=bfloat16", "training.precision"),
        ("loss_scale=dynamic", "training.loss_scale"),
    ],
)
def test_numbers_of_16_bits_are_refused(setting, place, tmp_path, capsys):
    file = tmp_path / "small.json"
    file.write_bytes(to_json(case("plain")))
    words = ["--framework", "pytorch", "--set", f"training.{setting}", "--out", str(tmp_path / "x.py")]
    assert cli.main(["code", str(file), *words]) == 2
    assert f"{file}, {place}: " in capsys.readouterr().err
    assert not list(tmp_path.glob("x*"))


def test_batch_norm_of_one_sample_is_refused_for_pytorch_alone():
    wanted = build(
        Experiment,
        {
            "data": {"kind": "moons", "samples": 41, "validation": 0.0},
            "network": [dense(4), {"kind": "batch_norm"}, act("tanh"), dense(2)],
            "training": {"batch_size": 20},
        },
    )
    with pytest.raises(InputError, match="one sample") as caught:
        export(Run(wanted), "pytorch", 5)
    assert caught.value.place == "training.batch_size"
    assert "batch_norm" in export(Run(wanted), "numpy", 5).source


def test_a_program_looks_for_the_trace_where_it_is_written():
    assert trace_path(Path("a/program.py")) == Path("a/program.trace.npz")
    with pytest.raises(InputError):
        trace_path(Path())


# --- PyTorch and Keras themselves


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thirty_random_experiments_in_pytorch_keras_and_numpy():
    python = os.environ.get("LAYERSCOPE_TORCH_PYTHON")
    if not python:
        pytest.skip("LAYERSCOPE_TORCH_PYTHON names no Python with PyTorch and Keras")
    script = Path(__file__).parents[2] / "oracles" / "check_exports.py"
    done = subprocess.run([sys.executable, str(script), "--torch-python", python], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
