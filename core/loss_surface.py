"""The loss as a function of the weights alone: on samples that stay the same, with no draw left to chance.

Training sees another minibatch and another dropout mask in every step, so its loss is no function of the weights. Here
dropout passes everything on, batch norm takes the statistics of the samples that are looked at (not the running ones,
which lag behind weights that are moved), and penalties are left out. What is left has a shape: slopes, a curvature,
valleys. It is computed by the same kernels as the training, in memory of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .engine import layout, random
from .engine.executor import Machine
from .engine.kernel import Precision, compile_kernels
from .engine.program import Program, Tensor, compile_program
from .fields import about
from .gradient_steps.sgd import Sgd
from .layers.dropout import Dropout
from .text import N_

if TYPE_CHECKING:
    from .run import Run

Array = NDArray[np.float64]
ROWS = 256  # samples that are sent through the network at a time, where they do not depend on each other
ROOM = 256 * 1024 * 1024  # bytes that this may take

# Settings of studies and figures of the surface.
SamplesOption = Annotated[
    int,
    about(
        N_("samples"),
        N_("Of the training data, always the same ones: the loss is theirs."),
        minimum=1,
        maximum=4096,
        scale="log",
    ),
]
MomentsOption = Annotated[
    int,
    about(
        N_("moments"),
        N_("At how many steps it is computed, from the first to the present one; 1: only now."),
        minimum=1,
        maximum=32,
    ),
]


class LossSurface:
    """The loss of a run's network at any weights, and its gradient.

    samples    how many of the training samples are looked at: the same ones in every run with the same data
    rows       how many go through the network at a time; None: as many as sensible, all of them where batch norm
               compares them, and fewer where there is no room for that
    precision  "float32" or "float64"; None: what the run computes with. Numbers of 16 bits are not imitated.

    Weights are arrays (parameter_count,) in the order of the run's arena.
    """

    def __init__(self, run: Run, samples: int, *, rows: int | None = None, precision: Precision | None = None):
        plan = _plan(run, samples, rows, precision)
        self.program, self.rows, chosen = plan.program, plan.rows, plan.chosen
        self.samples = len(chosen)
        self.compares = _compares(run)
        alone = self.program.experiment
        targets = np.ascontiguousarray(alone.loss.encode(run.data.t_train[chosen], self.program.outputs.shape))
        self.machine = Machine(self.program, run.data.x_train[chosen], targets, alone)
        self.machine.threads = run.machine.threads
        for path, place in self.program.live.items():
            if path.startswith("network.") and path in run.program.live:
                self.machine.hyper[place] = live_at(run, path, run.step)
        for card in self.program.plan.cards:
            if isinstance(card.layer, Dropout):
                self.machine.hyper[self.program.live[f"network.{card.path}.rate"]] = 0.0
        self.blocks = math.ceil(self.samples / self.rows)
        last = {o.phase: o.last_row for o in self.program.operations if o.phase in ("loss", "backward")}
        self._forward, self._whole = last["loss"], max(last.values())
        self._line = np.full((1, self.program.columns), np.nan)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The arrays that training changes, at `master` in an array of all weights."""
        return tuple(tensor for tensor in self.program.tensors if tensor.parameter.trained)

    def part(self, weights: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
        """One array out of all weights, as a view in its shape."""
        return weights[tensor.master : tensor.master + tensor.parameter.count].reshape(tensor.parameter.shape)

    def loss(self, weights: NDArray[Any]) -> float:
        """The mean loss of the samples."""
        return sum(self._share(block) * self._run(weights, block, self._forward) for block in range(self.blocks))

    def gradient_of(self, weights: NDArray[Any], block: int) -> Array:
        """The gradient of the mean loss of the samples in one block, (parameter_count,)."""
        self._run(weights, block, self._whole)
        found = np.zeros(self.program.parameter_count)
        for tensor in self.tensors:
            gradient = self.machine.arena[tensor.gradient : tensor.gradient + tensor.parameter.count]
            found[tensor.master : tensor.master + tensor.parameter.count] = gradient
        return found

    def gradient(self, weights: NDArray[Any]) -> tuple[float, Array]:
        """The mean loss of the samples and its gradient, (parameter_count,)."""
        loss, whole = 0.0, np.zeros(self.program.parameter_count)
        for block in range(self.blocks):
            share = self._share(block)
            whole += share * self.gradient_of(weights, block)
            loss += share * float(self._line[0, layout.LOSS])
        return loss, whole

    def curvature(self, weights: Array, direction: Array) -> Array:
        """The product of the loss's Hessian with a direction of length 1, by central differences of the gradient.

        The step is a ten-millionth of the weights' length: small enough that hardly a ReLU changes sides, large enough
        that rounding in 64 bits leaves seven digits or more. So `precision` should be "float64".
        """
        step = 1e-7 * max(1.0, float(np.linalg.norm(weights)))
        with np.errstate(invalid="ignore", over="ignore"):
            above = self.gradient(weights + step * direction)[1]
            below = self.gradient(weights - step * direction)[1]
            return np.asarray((above - below) / (2.0 * step))

    def _share(self, block: int) -> float:
        return min(self.rows, self.samples - block * self.rows) / self.samples

    def _run(self, weights: NDArray[Any], block: int, stop: int) -> float:
        with np.errstate(over="ignore"):
            self.machine.arena[: self.program.parameter_count] = weights
        self.machine.execute(self._line, block, 0, stop)
        return float(self._line[0, layout.LOSS])


@dataclass(frozen=True)
class _Plan:
    """A program that sends `rows` samples at a time through the network and back, and which samples they are."""

    program: Program
    rows: int
    chosen: NDArray[np.int64]


def _compares(run: Run) -> bool:
    return any(card.layer.compares_samples for card in run.program.plan.cards)


def _plan(run: Run, samples: int, rows: int | None, precision: Precision | None) -> _Plan:
    count = len(run.data.x_train)
    samples = min(samples, count)
    chosen = random.permutation(random.key(0, "samples of the surface"), count)[:samples]
    together = min(rows if rows is not None else samples if _compares(run) else ROWS, samples)
    while True:
        at_once = together if rows is not None else math.ceil(samples / math.ceil(samples / together))
        training = msgspec.structs.replace(
            run.experiment.training,
            batch_size=at_once,
            precision=precision or run.program.precision,
            master_weights=True,
            loss_scale=None,
            shuffle=False,
            optimizer=Sgd(),
            clipping=None,
            regularizers=(),
            averaging=None,
            early_stopping=None,
        )
        alone = msgspec.structs.replace(run.experiment, training=training)
        program = compile_program(alone, run.data, record=False)
        if rows is not None or together == 1 or 8 * program.arena_size <= ROOM:
            return _Plan(program, at_once, chosen)
        together = max(1, together // 2)


def surface_of(
    run: Run, samples: int, *, rows: int | None = None, precision: Precision | None = None
) -> Generator[None, None, LossSurface]:
    """A `LossSurface`, for those who must not be kept waiting: yields whenever another kernel is compiled, which takes
    its time when a machine does it for the first time.
    """
    program = _plan(run, samples, rows, precision).program
    for kernel in program.kernels:
        yield
        compile_kernels((kernel,), program.precision)
    return LossSurface(run, samples, rows=rows, precision=precision)


@dataclass(frozen=True)
class Place:
    """Where a run was: its weights after so many updates, (parameter_count,), and behind them all that it remembers."""

    step: int
    weights: Array
    kept: NDArray[Any]


def places_of(run: Run, most: int) -> list[Place]:
    """Where the run was, as far as it keeps copies: at most so many places, evenly spread, the present one last."""
    steps = [step for step in run.checkpoints.steps if step < run.step]
    chosen: list[int] = []
    if steps and most > 1:
        apart = (run.step - steps[0]) / (most - 1)
        for wanted in steps[0] + apart * np.arange(most - 1):
            nearest = min(steps, key=lambda step: abs(step - wanted))
            if nearest not in chosen and (not chosen or run.step - nearest > 0.4 * apart):
                chosen.append(nearest)
    kept = [(step, run.checkpoints.nearest(step)[1]) for step in chosen] + [(run.step, run.begun.copy())]
    count = run.program.parameter_count
    return [Place(step, np.asarray(values[:count], dtype=np.float64), values) for step, values in kept]


def live_at(run: Run, path: str, step: int) -> float:
    """What a setting that changes while training is at a step."""
    value = float(run.program.hyper[run.program.live[path]])
    for when, where, new in sorted(run.record.events, key=lambda event: event[0]):
        if where == path and when <= step:
            value = new
    return value


def learning_rates(run: Run, steps: NDArray[np.int64]) -> Array:
    """The learning rate in each of these steps, (n,)."""
    path = "training.optimizer.learning_rate"
    schedule, clock = run.experiment.training.schedule, run.clock
    found = np.empty(len(steps))
    for index, step in enumerate(steps):
        base = live_at(run, path, int(step))
        found[index] = schedule.rates(np.array([step]), base, clock)[0]
    return found


@dataclass(frozen=True)
class Eigenvalue:
    """The largest eigenvalue of a symmetric matrix.

    residual   |H v - value v| for the vector v of length 1: an eigenvalue lies no farther from `value` than that
    products   how often the matrix was multiplied with a vector
    """

    value: float
    residual: float
    vector: Array
    products: int


def largest_eigenvalue(
    product: Callable[[Array], Array], start: Array, *, tolerance: float = 1e-3, most: int = 100, basis: int = 32
) -> Generator[int, None, Eigenvalue]:
    """The algebraically largest eigenvalue by Lanczos' method with full orthogonalization, restarted from the best
    vector (Golub & Van Loan, Matrix Computations, section 10.1 and 10.5); yields after every product.

    product   of the matrix with a vector (n,)
    start     a vector (n,) to begin with, not zero
    most      products at the most; when that is not enough, `residual` says how far off it may be
    basis     vectors that are kept at a time
    """
    vector, products = start / np.linalg.norm(start), 0
    while True:
        vectors = [vector]
        diagonal: list[float] = []
        beside: list[float] = []
        while True:
            image = product(vectors[-1])
            products += 1
            yield products
            if not np.isfinite(image).all():
                return Eigenvalue(math.nan, math.nan, vector, products)
            diagonal.append(float(image @ vectors[-1]))
            for _twice in range(2):
                for known in vectors:
                    image = image - (image @ known) * known
            length = float(np.linalg.norm(image))
            values, parts = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
            value, residual = float(values[-1]), length * abs(float(parts[-1, -1]))
            size = max(abs(float(values[0])), abs(value))
            settled = residual <= tolerance * abs(value) and len(vectors) >= min(4, len(vector))
            done = settled or length <= 1e-8 * max(size, 1e-2) or len(vectors) == len(vector) or products >= most
            if done or len(vectors) >= basis:
                break
            beside.append(length)
            vectors.append(image / length)
        vector = np.asarray(parts[:, -1] @ np.array(vectors))
        vector /= np.linalg.norm(vector)
        if done:
            return Eigenvalue(value, residual if len(vectors) < len(vector) else 0.0, vector, products)
