"""Exported code: a program in another framework that starts from the same weights, sees the same minibatches and prints
the same losses.

The program reads what it starts from out of a `.trace.npz` file beside it: the samples, the rows of every minibatch,
the initial parameters, and what was drawn at random (dropout masks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..engine.precision import FORMATS
from ..errors import InputError
from ..experiment import Experiment, identity
from ..files import folder_for, write_whole
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
        """Write the program and its trace beside it, in a folder that is made when it is not there; both paths."""
        trace = trace_path(path)
        if trace == path:
            raise InputError(_("would be overwritten by its own trace; give the program another name"), "--out")
        if path.is_dir():  # seen before the trace is written, so that it does not stand there alone
            raise InputError(_("is a folder; give the program a name, for example program.py"), "--out", str(path))
        folder_for(path.parent)
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


def check_exportable(experiment: Experiment) -> None:
    """An InputError where an experiment computes in a way that other frameworks do not share."""
    training = experiment.training
    if training.precision in FORMATS:
        raise InputError(
            _(
                "{precision} is emulated here, which no other framework repeats digit by digit; "
                "for code, set it to float32 or float64"
            ).format(precision=training.precision),
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
        run.program.batch_size * math.prod(card.given or ())
        for card in run.program.plan.cards
        if card.layer.kind_name() == "dropout"
    )
    if steps * per_step > LARGEST_TRACE:
        raise InputError(
            _("the dropout masks of {steps:,} steps are too large to save; give fewer steps").format(steps=steps),
            "--steps",
        )
    if framework == "pytorch":
        _check_batches(run)
    drops, stop, note = _decided(run, steps)
    origin = f"version {metadata.version('layerscope')}, experiment {identity(experiment)}, seed {experiment.seed}"
    subject = Subject(experiment, run.program.plan, run.clock, steps, drops, stop, note, origin)
    code = script(subject)
    source = code.program()
    return Export(source, trace_arrays(run, steps, validation=subject.watches))


def _check_batches(run: Run) -> None:
    """An InputError where PyTorch refuses what we allow: batch normalization of a single number per unit."""
    rest = len(run.data.x_train) % run.program.batch_size or run.program.batch_size
    for card in run.program.plan.cards:
        if card.layer.kind_name() == "batch_norm" and rest * math.prod((card.given or ())[:-1]) == 1:
            raise InputError(
                _("leaves one sample for the last minibatch, which PyTorch's batch norm refuses; change it"),
                "training.batch_size",
            )


OTHERS = (
    "When the learning rate falls and training ends was decided on the way by several networks, or by averaged weights "
    "with batch norm; the program has the steps, not the evaluation."
)
NO_VALIDATION = "There are no validation samples, so nothing lowers the learning rate or ends the training early."


def _decided(run: Run, steps: int) -> tuple[tuple[int, ...] | None, int | None, str]:
    """When the rate falls, when training stops and who decided, where the program does not; else None, None and ""."""
    training = run.experiment.training
    averaging = training.averaging
    if training.early_stopping is None and not training.schedule.watches:
        return None, None, ""
    if len(run.data.x_validation) == 0:
        return (), None, NO_VALIDATION
    kept_up = any(not tensor.parameter.trained for tensor in run.program.tensors)
    if averaging is None or not (averaging.networks > 1 or (averaging.measures_statistics and kept_up)):
        return None, None, ""
    decided = Run(run.experiment, run.data, record=False, first_step=run.first_step)
    decided.advance(steps)
    drops = tuple(step for step in decided.rate_drops if step < steps)
    stop = decided.stopped_step if decided.stopped_step is not None and decided.stopped_step < steps else None
    return drops, stop, OTHERS
