"""Evaluation asks the network as it stands about samples that it does not learn from.

What answers may be more than the present weights: averaged weights, or the mean of several networks. Then the present
network alone is asked too, so that one sees what the averaging gains.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from .engine import layout
from .engine.executor import Machine
from .engine.program import Wire, compile_program

if TYPE_CHECKING:
    from .data.base import Data
    from .experiment import Experiment
    from .run import Run

Array = NDArray[np.float64]
ROWS = 256  # samples that are sent forward at a time
MOST_FORWARD = 4  # sets of samples that are kept ready for one run


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
        return self.values((self.machine.program.outputs,))[0]

    def values(self, wires: Sequence[Wire]) -> tuple[Array, ...]:
        """What stands on some wires of the network for every sample, each (n, width)."""
        program = self.machine.program
        found = tuple(np.empty((len(self.x), wire.width)) for wire in wires)
        line = np.full((1, program.columns), np.nan)
        for index in range(math.ceil(len(self.x) / ROWS)):
            self.machine.execute(line, index, 0, len(program.table))
            rows = self.machine.rows
            for wire, whole in zip(wires, found, strict=True):
                there = self.machine.arena[wire.at : wire.at + rows * wire.width]
                whole[index * ROWS : index * ROWS + rows] = there.reshape(rows, -1)
        return found


class Forward:
    """Samples of one's own, asked again and again while a run trains, of the network that its experiment evaluates.

    x   (n, *shape), scaled as the network sees them
    """

    def __init__(self, run: Run, x: Array):
        width = run.machine.program.targets.width
        # Nobody knows the targets of the points of a grid: what the loss makes of these zeros is not looked at.
        self.evaluator = Evaluator(run.experiment, run.data, x, np.zeros((len(x), width)), run.machine.threads)

    def predictions(self, networks: Sequence[NDArray[Any]]) -> Array:
        """What networks with these parameters say together, (n, width), see `Loss.predict`."""
        loss = self.evaluator.machine.program.experiment.loss
        total: Any = 0.0
        for parameters in networks:
            self.evaluator.use(parameters)
            total = total + loss.predict(self.evaluator.outputs())
        return np.asarray(total / len(networks))

    def values(self, parameters: NDArray[Any], wires: Sequence[Wire]) -> tuple[Array, ...]:
        """What stands on wires of the evaluator's program in a network with these parameters, each (n, width)."""
        self.evaluator.use(parameters)
        return self.evaluator.values(wires)


_ready: WeakKeyDictionary[Run, dict[Hashable, Forward]] = WeakKeyDictionary()


def forward_of(run: Run, key: Hashable, samples: Callable[[], Array]) -> Forward:
    """The samples known by `key`, ready to be sent forward; they are made the first time only."""
    ready = _ready.setdefault(run, {})
    if key not in ready:
        while len(ready) >= MOST_FORWARD:
            del ready[next(iter(ready))]
        ready[key] = Forward(run, samples())
    return ready[key]


@dataclass(frozen=True)
class Answering:
    """Who answers when the network of a run is evaluated.

    parameters   of the networks that answer together, each as the first part of a training arena
    averaged     whether these are averaged weights
    """

    parameters: tuple[NDArray[Any], ...]
    averaged: bool = False


def answering(run: Run) -> Answering:
    """The averaged weights, all networks of an ensemble, or the present weights, as `Run.measure` has them."""
    averaged = averaged_parameters(run)
    if averaged is not None:
        return Answering((averaged,), True)
    for other in run.others:
        other.seek(run.step)
    return Answering(tuple(each.machine.arena[: each.program.parameter_count] for each in (run, *run.others)))


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
