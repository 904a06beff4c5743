"""The folder that a run leaves behind: the record, the experiment as run, the weights, and how it went.

record.npz  record.csv  layers.csv      what was measured
experiment.json                         the experiment, complete
run.json                                steps, time, versions, why it stopped
weights.npz                             the final parameters; of the best step where early stopping restores them
averaged_weights.npz                    where weights are averaged: the average, with which the network is evaluated
weights-2.npz, ...                      of an ensemble: the parameters of the other networks
trace.npz (on request)                  all that another program needs to repeat the run number by number
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from . import archive, record
from .diagnostics.autopsy import examine
from .diagnostics.doctor import diagnosis_of, plain
from .engine import random
from .errors import InputError
from .evaluation import averaged_parameters, named_parameters
from .experiment import Experiment, identity, load, to_json
from .files import folder_for, write_whole
from .run import Run
from .text import _

VERSIONED = ("layerscope", "numpy", "numba", "scipy")


@dataclass(frozen=True)
class Trace:
    """How a run began: its initial parameters."""

    initial: dict[str, NDArray[Any]]


def begin_trace(run: Run) -> Trace:
    """Call before the first step."""
    return Trace(run.parameters())


def save(run: Run, folder: Path, seconds: float, stopped: str, trace: Trace | None = None) -> None:
    """Write everything into `folder`; every file appears whole or not at all."""
    folder = folder_for(folder)
    run.measure_last()
    record.save(run.record.view(whole=True), folder)
    # Figures of this folder find the data again, wherever the experiment's own file is.
    moved = msgspec.structs.replace(run.experiment, data=run.experiment.data.moved(run.folder, folder))
    write_whole(folder / "experiment.json", to_json(moved))
    write_whole(folder / "weights.npz", record.npz(run.parameters()))
    for old in (folder / "averaged_weights.npz", *folder.glob("weights-*.npz")):
        old.unlink(missing_ok=True)  # of an earlier run, which they would be taken for this one's
    averaged = averaged_parameters(run)
    if averaged is not None:
        write_whole(folder / "averaged_weights.npz", record.npz(named_parameters(run, averaged)))
    for number, other in enumerate(run.others, 2):
        other.seek(run.step)
        write_whole(folder / f"weights-{number}.npz", record.npz(other.parameters()))
    if trace is not None:
        write_whole(folder / "trace.npz", record.npz(trace_arrays(run, steps_done(run), trace)))
    else:
        (folder / "trace.npz").unlink(missing_ok=True)  # of an earlier run, which it would be taken for this one's
    write_whole(
        folder / "run.json", msgspec.json.format(msgspec.json.encode(summary(run, seconds, stopped)), indent=2) + b"\n"
    )


def steps_done(run: Run) -> int:
    """Whole steps that were taken; one that failed is recorded but not taken."""
    end = run.failed_step if run.failed_step is not None else run.record.end
    return end - run.first_step


def summary(run: Run, seconds: float, stopped: str) -> dict[str, Any]:
    """The content of `run.json`."""
    view = run.record.view(whole=True)
    steps = steps_done(run)
    evaluated = [row for row in run.record.validation if row[0] <= run.step]
    validation = evaluated[-1][1:] if evaluated else (np.nan,) * 4
    averaging = run.experiment.training.averaging
    result: dict[str, Any] = {
        "name": run.experiment.name,
        "hash": identity(run.experiment),
        "seed": run.experiment.seed,
        "steps": steps,
        "seconds": seconds,
        "steps_per_second": steps / seconds if seconds > 0 else None,
        "stopped": stopped,
        "weights_step": run.step,
        "best_step": run.best_step,
        "stopped_step": run.stopped_step,
        "failed_step": run.failed_step,
        "loss": _finite(view.at("loss", run.step - 1)) if run.step > run.first_step else None,
        "validation_loss": _finite(validation[0]),
        "validation_accuracy": _finite(validation[1]),
        "parameters": run.program.plan.parameter_count,
        "precision": run.experiment.training.precision,
        "threads": run.program.threads,
        "cpu": cpu_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in VERSIONED},
        "events": [{"step": step, "path": path, "value": value} for step, path, value in run.record.events],
        "marks": [{"step": step, "mark": mark} for step, mark in run.marks],
        "findings": plain(diagnosis_of(run)),
    }
    autopsy = examine(run)
    if autopsy is not None:
        result["autopsy"] = autopsy.to_plain()
    if averaging is not None:
        result["averaging"] = averaging.kind_name()
        result["plain_validation_loss"], result["plain_validation_accuracy"] = map(_finite, validation[2:])
    if len(run.data.x_test):
        found = run.measure(run.data.x_test, run.data.t_test)
        result["test_loss"], result["test_accuracy"] = _finite(found.loss), _finite(found.accuracy)
        if averaging is not None:
            result["plain_test_loss"] = _finite(found.plain_loss)
            result["plain_test_accuracy"] = _finite(found.plain_accuracy)
    return result


def _finite(value: float) -> float | None:
    # JSON has no NaN; null says that there is no number
    return float(value) if np.isfinite(value) else None


def cpu_name() -> str:
    """What the processor calls itself; bits of a run depend on it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def trace_arrays(
    run: Run, steps: int, trace: Trace | None = None, *, validation: bool = False
) -> dict[str, NDArray[Any]]:
    """All that another program needs to repeat the first `steps` steps of a run number by number.

    x_train, y_train, t_train     samples, classes (or values) and targets as the loss compares them
    batches (steps, B)            rows of every minibatch, -1 where a last one is shorter
    0.weight, 2.body.1.bias ...   initial parameters, from `trace` or drawn again
    3.mask                        what a layer drew at random, see `Layer.trace`
    x_validation, t_validation    with `validation`
    """
    if trace is None:
        trace = Trace(Run(run.experiment, run.data, record=False, first_step=run.first_step).parameters())
    rows = run.program.batch_size
    batches = np.empty((steps, rows), dtype=np.int64)
    line = np.full((1, run.program.columns), np.nan)
    for index in range(steps):
        # the first row of the table chooses the minibatch, from nothing but the step's number
        run.machine.execute(line, run.first_step + index, 0, 1)
        batches[index] = run.batch()
    flat = run.machine.data
    inputs = len(run.data.x_train) * run.program.inputs.width
    found = {
        "x_train": flat[:inputs].reshape(run.data.x_train.shape),
        "y_train": run.data.y_train,
        "t_train": flat[inputs:].reshape(len(run.data.x_train), -1),
        "batches": batches,
        **trace.initial,
    }
    numbers = np.arange(run.first_step, run.first_step + steps)
    for card in run.program.plan.cards:
        if card.given is not None:
            key = partial(_key, run.experiment.seed, card.path)
            drawn = card.layer.trace(key, numbers, rows, card.given)
            found |= {f"{card.path}.{name}": values for name, values in drawn.items()}
    if validation:
        found["x_validation"] = run.data.x_validation
        found["t_validation"] = run.experiment.loss.encode(run.data.t_validation, run.program.outputs.shape)
    return found


def _key(seed: int, path: str, purpose: str) -> int:
    return random.key(seed, purpose, path)


def load_folder(folder: Path) -> tuple[Experiment, record.RecordView]:
    """The experiment and the record that a run left in a folder; an InputError when it is not one."""
    if not (folder / "record.npz").is_file():
        raise InputError(
            _("is not the folder of a run: it has no record.npz; make one with: layerscope run"), "", str(folder)
        )
    return load(folder / "experiment.json"), record.load(folder / "record.npz")


def run_at(
    folder: Path, step: int | None = None, whole: bool = False, progress: Callable[[int, int], None] | None = None
) -> Run:
    """The run of a folder, standing at a step; None: where its weights were saved.

    Where those are enough (`whole` says that they are not) and are the ones of this step, they are taken; otherwise the
    run is trained again, live changes included, which gives the same numbers on the same machine.

    progress   called with (done, total) steps
    """
    experiment, view = load_folder(folder)
    told = told_of(folder)
    saved = told.get("weights_step")
    end = int(view.kept_steps[-1]) + view.stride if len(view.kept_steps) else 0
    goal = step if step is not None else saved if isinstance(saved, int) else end
    if not whole and goal == saved and "averaging" not in told and (folder / "weights.npz").is_file():
        run = Run(experiment, folder=folder, first_step=goal)
        if _take_weights(run, folder / "weights.npz"):
            return run
    run = Run(experiment, folder=folder)
    for event in told.get("events", ()):
        run.seek(min(event["step"], goal))
        if event["step"] <= goal:
            run.set_live(event["path"], event["value"])
    while run.step < goal and not run.finished:
        before = run.step
        run.advance(min(64, goal - run.step))
        if progress is not None:
            progress(run.step, goal)
        if run.step == before:
            break
    if run.step == goal == told.get("failed_step"):
        run.advance(1)  # which fails again, so that the run knows it
    return run


def told_of(folder: Path) -> dict[str, Any]:
    """What the `run.json` of a folder says, as far as it can be read."""
    try:
        found = msgspec.json.decode((folder / "run.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _take_weights(run: Run, path: Path) -> bool:
    """Put the saved parameters into a run; whether they are those of its network."""
    saved = archive.arrays(path)
    tensors = run.program.tensors
    if {name: array.shape for name, array in saved.items()} != {t.name: t.parameter.shape for t in tensors}:
        return False
    for tensor in tensors:
        run.parameter(tensor)[...] = saved[tensor.name]
    run.checkpoints.add(run.step, run.machine.kept)
    return True
