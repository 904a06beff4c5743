"""Exported code: a program in another framework that starts from the same weights, sees the same minibatches and prints
the same losses.

The program reads what it starts from out of a `.trace.npz` file beside it: the samples, the rows of every minibatch,
the initial parameters, and what was drawn at random (dropout masks).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..experiment import identity
from ..files import write_whole
from ..record import npz
from ..registry import Registry
from ..results import trace_arrays
from ..run import Run
from ..text import N_, _
from .keras import KerasScript
from .numpy import NumpyScript
from .pytorch import PyTorchScript
from .script import Subject

LARGEST_TRACE = 2 * 1024**3  # bytes

FRAMEWORKS: Registry[type[PyTorchScript] | type[KerasScript] | type[NumpyScript]] = Registry(N_("framework"))
for _script in (PyTorchScript, KerasScript, NumpyScript):
    FRAMEWORKS.add(_script.framework)(_script)


@dataclass(frozen=True)
class Export:
    """A program and the arrays that it reads."""

    source: str
    arrays: dict[str, NDArray[Any]]

    def save(self, path: Path) -> tuple[Path, Path]:
        """Write the program and its trace beside it; both paths."""
        trace = trace_path(path)
        if trace == path:
            raise InputError(_("would be overwritten by its own trace; give the program another name"), "--out")
        write_whole(trace, npz(self.arrays))
        write_whole(path, self.source.encode())
        return path, trace


def trace_path(path: Path) -> Path:
    """Where the program at `path` looks for its trace; an InputError for a name that no program can have."""
    if path.stem in ("numpy", "torch", "keras", "math", "os", "pathlib"):
        raise InputError(
            _("would be imported instead of the library of that name; give the program another name"),
            "--out",
            str(path),
        )
    try:
        return path.with_suffix(".trace.npz")
    except ValueError:
        raise InputError(_("is not the name of a file; give one, for example --out program.py"), "--out") from None


def check_exportable(run_or_experiment: Any) -> None:
    """An InputError where an experiment computes in a way that other frameworks do not share."""
    training = run_or_experiment.training
    if training.precision not in ("float32", "float64"):
        raise InputError(
            _("cannot be exported as code: {precision} is emulated here; set it to float32 or float64").format(
                precision=training.precision
            ),
            "training.precision",
        )
    if training.loss_scale is not None:
        raise InputError(
            _(
                "cannot be exported as code: it decides which steps are skipped; leave it out, "
                "with {precision} it gains nothing"
            ).format(precision=training.precision),
            "training.loss_scale",
        )


def export(run: Run, framework: str, steps: int) -> Export:
    """The program of an experiment in a framework, for the first `steps` steps.

    run   of the experiment, before its first step or later; its position does not matter
    """
    script = FRAMEWORKS.get(framework, "--framework")
    experiment = run.experiment
    check_exportable(experiment)
    per_step = sum(
        8 * run.program.batch_size * int(np.prod(card.given or ()))
        for card in run.program.plan.cards
        if card.layer.kind_name() == "dropout"
    )
    if steps * per_step > LARGEST_TRACE:
        raise InputError(
            _("the dropout masks of {steps:,} steps are too large to save; give fewer steps").format(steps=steps),
            "--steps",
        )
    drops, stop = _decided_by_others(run, steps)
    origin = f"version {metadata.version('layerscope')}, experiment {identity(experiment)}, seed {experiment.seed}"
    subject = Subject(experiment, run.program.plan, run.clock, steps, drops, stop, origin)
    code = script(subject)
    source = code.program()
    return Export(source, trace_arrays(run, steps, validation=subject.watches))


def _decided_by_others(run: Run, steps: int) -> tuple[tuple[int, ...] | None, int | None]:
    """When the rate falls and training stops, where more than the one network decides; (None, None) otherwise."""
    training = run.experiment.training
    averaging = training.averaging
    watches = training.early_stopping is not None or training.schedule.watches
    kept_up = any(not tensor.parameter.trained for tensor in run.program.tensors)
    several = averaging is not None and (averaging.networks > 1 or (averaging.measures_statistics and kept_up))
    if not watches or not several:
        return None, None
    run.seek(run.first_step)
    run.advance(steps)
    drops = tuple(step for step in run.rate_drops if step < steps)
    stop = run.stopped_step if run.stopped_step is not None and run.stopped_step < steps else None
    return drops, stop
