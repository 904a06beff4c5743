"""The twin: one minibatch through the network as it trains and as it is evaluated, layer by layer.

Training switches units off (dropout) and normalizes with the minibatch (batch norm); evaluation does neither. So there
are two networks with the same weights, and what is trained is not quite what is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..engine import layout
from ..engine.executor import Machine
from ..engine.program import LayerColumns, compile_program
from ..layers.dropout import Dropout
from ..text import N_
from .base import Study

if TYPE_CHECKING:
    from ..run import Run

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mode:
    """What one of the twins makes of the minibatch.

    mean, std, rms   (layers,) over all numbers that a layer puts out
    loss, accuracy   accuracy is NaN where there are no classes
    """

    mean: Array
    std: Array
    rms: Array
    loss: float
    accuracy: float


@dataclass(frozen=True, eq=False)
class Twins:
    """Both of them, and how far apart they are.

    layers       paths in the order of the record
    difference   (layers,) rms(training - evaluation) / rms(evaluation), number by number; 0 where they are the same,
                 infinite where only the evaluated one is all zero, NaN where a number is one
    answers      mean absolute difference of what they answer: of probabilities where there are classes
    dropout      (layers,) whether the layer switches numbers off now
    normalized   (layers,) whether it normalizes with the minibatch
    samples      of the minibatch
    updates      how often running statistics have taken up a minibatch
    """

    layers: tuple[str, ...]
    training: Mode
    evaluation: Mode
    difference: Array
    answers: float
    dropout: NDArray[np.bool_]
    normalized: NDArray[np.bool_]
    samples: int
    updates: int

    @property
    def same(self) -> bool:
        """Whether the network has nothing that would make them differ."""
        return not (self.dropout.any() or self.normalized.any())


@Study.registry.add("twin")
class Twin(Study, frozen=True, kw_only=True, tag="twin"):
    """How far the network that is trained is from the one that is evaluated, on the minibatch of the coming step."""

    label: ClassVar[str] = N_("Training and evaluation")
    needs_steps: ClassVar[bool] = True  # the running statistics and the minibatch of the step

    def answer(self, run: Run) -> Twins:
        program = run.program
        stop = next(o.last_row for o in program.operations if o.phase == "loss")
        with np.errstate(all="ignore"), run.rehearsal() as up_to:
            weights = run.begun[: program.parameter_count].copy()
            rates = {path: float(run.machine.hyper[at]) for path, at in program.live.items()}
            line = up_to(stop)
            rows = run.machine.rows
            trained = [_values(run.machine, layer, rows) for layer in program.layers]
            x, t = (
                run.machine.arena[wire.at : wire.at + rows * wire.width].copy()
                for wire in (program.inputs, program.targets)
            )
            training = _mode(trained, line)
        twin = _evaluating(run)
        twin.context[layout.SAMPLES] = rows
        twin.data[: len(x)], twin.data[len(x) : len(x) + len(t)] = x, t
        twin.arena[: len(weights)] = weights
        lines = np.full((1, twin.program.columns), np.nan)
        twin.execute(lines, 0, 0, len(twin.program.table))
        with np.errstate(all="ignore"):
            evaluated = [_values(twin, layer, rows) for layer in twin.program.layers]
            difference = np.array([_apart(a, b) for a, b in zip(trained, evaluated, strict=True)])
            predict = run.experiment.loss.predict
            one, other = (predict(found[-1].reshape(rows, -1)) for found in (trained, evaluated))
            answers = float(np.mean(np.abs(one - other)))
        cards = {card.path: card.layer for card in program.plan.cards}
        kinds = [cards[layer.path] for layer in program.layers]
        return Twins(
            layers=tuple(layer.path for layer in program.layers),
            training=training,
            evaluation=_mode(evaluated, lines[0]),
            difference=difference,
            answers=answers,
            dropout=np.array(
                [
                    isinstance(kind, Dropout) and rates[f"network.{layer.path}.rate"] > 0.0
                    for kind, layer in zip(kinds, program.layers, strict=True)
                ],
                dtype=bool,
            ),
            normalized=np.array([kind.compares_samples for kind in kinds], dtype=bool),
            samples=rows,
            updates=run.step,
        )


def _values(machine: Machine, layer: LayerColumns, rows: int) -> Array:
    wire = layer.wire
    return machine.arena[wire.at : wire.at + rows * wire.width].astype(np.float64)


def _mode(values: list[Array], line: NDArray[Any]) -> Mode:
    mean = np.array([float(np.mean(found)) for found in values])
    rms = np.array([math.sqrt(float(np.mean(found * found))) for found in values])
    std = np.array([float(np.std(found)) for found in values])
    return Mode(mean, std, rms, float(line[layout.LOSS]), float(line[layout.ACCURACY]))


def _apart(training: Array, evaluation: Array) -> float:
    size = math.sqrt(float(np.mean(evaluation * evaluation)))
    away = math.sqrt(float(np.mean((training - evaluation) ** 2)))
    if away == 0.0 and math.isfinite(size):
        return 0.0
    return math.inf if size == 0.0 else away / size


_kept: WeakKeyDictionary[Run, Machine] = WeakKeyDictionary()


def _evaluating(run: Run) -> Machine:
    """A machine that evaluates as many samples as a minibatch has; one a run."""
    found = _kept.get(run)
    if found is None:
        size = run.program.batch_size
        program = compile_program(run.experiment, run.data, evaluation_rows=size)
        x = np.zeros((size, *program.inputs.shape))
        found = _kept[run] = Machine(program, x, np.zeros((size, program.targets.width)), run.experiment)
    found.threads = run.machine.threads
    return found
