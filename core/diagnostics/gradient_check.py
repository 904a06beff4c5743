"""Does backpropagation compute the slope of the loss? Nudge each number, see how the loss answers, and compare.

Central differences in float64: dL/dw = (L(w + h) - L(w - h)) / 2h with h = 1e-5, error ||n - a|| / (||n|| + ||a||).
Where an activation has a kink and a nudge carries a value across it, the difference quotient is of no use: a smaller
nudge is tried, and if that crosses a kink too, the number is skipped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..data.base import Data
from ..engine import layout, random
from ..experiment import Experiment
from ..gradient_steps.base import chain
from ..run import Run

STEPS = (1e-5, 1e-6)  # the second where the first crosses a kink
SAMPLES = 8  # of a minibatch: more of them only add kinks and time
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Checked:
    """The check of one parameter array.

    error     relative error of the gradient over the numbers that were compared
    compared  how many were; skipped: how many crossed a kink
    """

    name: str
    error: float
    compared: int
    skipped: int

    @property
    def passed(self) -> bool:
        # an error that is NaN has not passed
        return self.error <= TOLERANCE and self.compared > 0


def check_gradients(experiment: Experiment, data: Data | None = None, most: int = 40, seed: int = 0) -> list[Checked]:
    """Compare the gradient of every parameter array with central differences, in float64, on a first minibatch of at
    most 8 samples.

    most   numbers compared in each array, chosen at random
    """
    training = msgspec.structs.replace(
        experiment.training,
        precision="float64",
        batch_size=min(experiment.training.batch_size, SAMPLES),
        loss_scale=None,
        clipping=None,  # it changes the gradient on purpose; penalties are part of what is differentiated
        averaging=None,
        early_stopping=None,
    )
    exact = msgspec.structs.replace(experiment, training=training)
    run = Run(exact, data, record=False)
    # Biases start at zero and ReLU's kink is there: move everything off the special points.
    for tensor in run.program.tensors:
        noise = random.normal(random.key(seed, "gradient check", tensor.name), tensor.parameter.count)
        run.parameter(tensor)[...] += 0.05 * noise.reshape(tensor.parameter.shape)
    loss = float(run.look()[0][layout.LOSS])
    found = []
    trained = [tensor for tensor in run.program.tensors if tensor.parameter.trained]
    gradients = [run.gradient(tensor).reshape(-1).copy() for tensor in trained]
    for tensor, gradient in zip(trained, gradients, strict=True):
        values = run.parameter(tensor).reshape(-1)
        order = random.permutation(random.key(seed, "gradient check order", tensor.name), len(values))[:most]
        numeric, analytic, skipped = [], [], 0
        for index in order:
            slope = _slope(run, values, index)
            if slope is None:
                skipped += 1
            else:
                numeric.append(slope)
                analytic.append(gradient[index])
        found.append(
            Checked(tensor.name, relative_error(np.array(numeric), np.array(analytic), loss), len(numeric), skipped)
        )
    return found


def relative_error(numeric: NDArray[np.float64], analytic: NDArray[np.float64], loss: float = 1.0) -> float:
    """||n - a|| / (||n|| + ||a||), with room for the rounding of the quotient.

    A loss of about 1 is rounded by 1e-16, which dividing by 2h = 2e-5 magnifies to 1e-11 and more: gradients that have
    vanished are smaller than that and cannot be compared any better.
    """
    size = float(np.linalg.norm(numeric) + np.linalg.norm(analytic))
    difference = float(np.linalg.norm(numeric - analytic))
    rounding = 1e-10 * max(1.0, abs(loss)) * float(np.sqrt(max(len(numeric), 1)))
    return difference / (size + rounding / TOLERANCE)


def _slope(run: Run, values: NDArray[np.float64], index: int) -> float | None:
    """The slope of the loss as values[index] changes, by differences; None where a kink is too near."""
    here = values[index]
    for step in STEPS:
        values[index] = here + step
        above, side_above = _loss(run)
        values[index] = here - step
        below, side_below = _loss(run)
        values[index] = here
        if np.array_equal(side_above, side_below):
            return (above - below) / (2 * step)
    return None


def _loss(run: Run) -> tuple[float, NDArray[np.int64]]:
    """The loss of the present minibatch, penalties included, and on which side of every kink each value lies."""
    operations = run.program.operations
    line = np.full((1, run.program.columns), np.nan)
    run.machine.execute(line, run.step, 0, next(o.last_row for o in operations if o.phase == "loss"))
    sides = [np.zeros(0, dtype=np.int64)]
    penalties = {link.step.kind_name() for link in chain(run.experiment.training) if link.step.stage == "penalty"}
    if penalties:
        first = next(o.first_row for o in operations if o.phase == "update")
        run.machine.execute(line, run.step, first, max(o.last_row for o in operations if o.label in penalties))
        line[0, layout.LOSS] += line[0, layout.PENALTY]
        sides += [(run.parameter(t).ravel() > 0).astype(np.int64) for t in run.program.tensors]  # L1 has a kink at 0
    for card, layer in zip(run.program.plan.cards, run.program.layers, strict=True):
        rows, given = run.machine.rows, layer.given
        values = run.machine.arena[given.at : given.at + rows * given.width].reshape(rows, *given.shape)
        sides.append(card.layer.pieces(values).ravel())
    program, rows = run.program, run.machine.rows
    outputs, targets = (
        run.machine.arena[wire.at : wire.at + rows * wire.width].reshape(rows, wire.width)
        for wire in (program.outputs, program.targets)
    )
    sides.append(run.experiment.loss.pieces(outputs, targets).ravel())
    return float(line[0, layout.LOSS]), np.concatenate(sides)
