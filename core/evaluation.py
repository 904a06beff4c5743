"""Evaluation asks the network as it stands about samples that it does not learn from.

What answers may be more than the present weights: averaged weights, or the mean of several networks. Then the present
network alone is asked too, so that one sees what the averaging gains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .engine import layout
from .engine.executor import Machine
from .engine.program import compile_program

if TYPE_CHECKING:
    from .data.base import Data
    from .experiment import Experiment
    from .run import Run

Array = NDArray[np.float64]
ROWS = 256  # samples that are sent forward at a time


@dataclass(frozen=True)
class Evaluation:
    """Loss and accuracy on some samples; accuracy is NaN where there are no classes.

    plain_loss, plain_accuracy   of the present network alone; the same where nothing is averaged
    """

    loss: float
    accuracy: float
    plain_loss: float
    plain_accuracy: float


class Evaluator:
    """Sends samples forward with parameters that it is given.

    samples   x (n, *shape) and encoded targets t (n, width)
    """

    def __init__(self, experiment: Experiment, data: Data, x: Array, t: Array, threads: int):
        program = compile_program(experiment, data, evaluation_rows=ROWS)
        self.x = x
        self.machine = Machine(program, x, t, experiment)
        self.machine.threads = threads  # one number for the whole run: bits depend on it

    def use(self, parameters: NDArray[Any]) -> None:
        """Take the parameters (the first part of a training arena)."""
        self.machine.arena[: len(parameters)] = parameters

    def measure(self) -> tuple[float, float]:
        """Mean loss and accuracy."""
        blocks = math.ceil(len(self.x) / ROWS)
        lines = np.full((blocks, self.machine.program.columns), np.nan)
        self.machine.execute(lines, 0, 0, len(self.machine.program.table))
        share = np.full(blocks, float(ROWS))
        share[-1] = len(self.x) - ROWS * (blocks - 1)
        share /= len(self.x)
        return float(lines[:, layout.LOSS] @ share), float(lines[:, layout.ACCURACY] @ share)

    def outputs(self) -> Array:
        """What the network puts out for every sample, (n, width)."""
        program = self.machine.program
        found = np.empty((len(self.x), program.outputs.width))
        line = np.full((1, program.columns), np.nan)
        for index in range(math.ceil(len(self.x) / ROWS)):
            self.machine.execute(line, index, 0, len(program.table))
            rows = self.machine.rows
            at = program.outputs.at
            found[index * ROWS : index * ROWS + rows] = self.machine.arena[
                at : at + rows * program.outputs.width
            ].reshape(rows, -1)
        return found


def averaged_parameters(run: Run) -> NDArray[Any] | None:
    """The averaged weights of a run in the order of its parameters; None when there are none (yet)."""
    program, arena = run.program, run.machine.arena
    averaging = run.experiment.training.averaging
    if averaging is None or "averaged" not in program.scalars or not arena[program.scalars["averaged"]] > 0:
        return None
    found = arena[: program.parameter_count].copy()
    for tensor in program.tensors:
        if tensor.parameter.trained:
            at = program.slots["average"] + tensor.master
            found[tensor.master : tensor.master + tensor.parameter.count] = arena[at : at + tensor.parameter.count]
    if averaging.measures_statistics and any(not t.parameter.trained for t in program.tensors):
        _measure_statistics(run, found)
    return found


def named_parameters(run: Run, parameters: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Parameters in the order of a run's, by name: "0.weight"."""
    return {
        t.name: parameters[t.master : t.master + t.parameter.count].reshape(t.parameter.shape)
        for t in run.program.tensors
    }


def _measure_statistics(run: Run, parameters: NDArray[Any]) -> None:
    """Running statistics for these parameters: the mean over all minibatches of one walk through the training samples,
    as torch.optim.swa_utils.update_bn takes it. Changes `parameters` in place.
    """
    program = run.scout.program
    machine = run.scout
    machine.arena[: len(parameters)] = parameters
    for path, place in run.program.live.items():
        machine.hyper[program.live[path]] = run.machine.hyper[place]
    shares = [
        place for path, place in program.live.items() if path.startswith("network.") and path.endswith(".momentum")
    ]
    stop = next(o.last_row for o in program.operations if o.phase == "loss")
    line = np.full((1, program.columns), np.nan)
    for step in range(run.steps_per_epoch):
        for place in shares:
            machine.hyper[place] = 1.0 / (step + 1)
        machine.execute(line, step, 0, stop)
    for tensor in program.tensors:
        if not tensor.parameter.trained:
            part = slice(tensor.master, tensor.master + tensor.parameter.count)
            parameters[part] = machine.arena[part]
