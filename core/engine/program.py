"""A program is an experiment compiled to a table: one row an operation, with offsets into one flat array.

`compile_program` asks every layer to write its operations through a `Builder`. Forward rows come in data order; each
layer's backward rows are kept as a group, and the groups are laid down back to front. What the window calls "one
operation" is a range of rows that belong together: the matrix product and the probe that looks at its result.

The arena: parameters, optimizer slots (both kept by checkpoints), gradients, updates, values and their gradients.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..data.base import Data
from ..diagnostics import probes
from ..experiment import Experiment
from ..layers.base import Parameter, Shape
from ..network import Card, Plan, plan
from . import layout
from .kernel import Precision
from .steps import add_share, draw_minibatch, next_block

ALIGNMENT = 16  # elements; starts of arrays fall on whole vectors of the processor

THREADS_FROM = 16_000_000  # multiplications in one product from which a second thread pays

KernelFunction = Callable[..., None]


@dataclass(frozen=True)
class Wire:
    """A value of the network: (rows, *shape) numbers at `at`, their gradient at `gradient` (-1: nobody needs it)."""

    shape: Shape
    at: int
    gradient: int

    @property
    def width(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Tensor:
    """A parameter of the network: its place in the arena, its gradient's, and where its update is put together."""

    path: str
    parameter: Parameter
    at: int
    gradient: int
    update: int

    @property
    def name(self) -> str:
        """The name in files: "0.weight"."""
        return f"{self.path}.{self.parameter.name}"


@dataclass(frozen=True)
class Operation:
    """Rows of the table that a person sees as one step of the computation.

    path    the card that works: a layer's path, "data", "loss" or "optimizer"
    phase   "data", "forward", "loss", "backward", "update"
    wire    (place in the arena, shape of a sample or of the parameter, True if one per sample) of what it computed
    symbol  what that value is called: "a", "∂L/∂a", "∂L/∂W", "W"
    """

    path: str
    phase: str
    first_row: int
    last_row: int
    place: int
    shape: Shape
    per_sample: bool
    symbol: str


@dataclass(frozen=True)
class LayerColumns:
    """Where a layer's values and statistics are."""

    path: str
    kind: str
    wire: Wire
    weight: Tensor | None
    first_column: int


@dataclass(frozen=True)
class Program:
    """A table of operations and the layout of the memory that it works on."""

    experiment: Experiment
    plan: Plan
    precision: Precision
    table: NDArray[np.int64]
    kernels: tuple[KernelFunction, ...]
    operations: tuple[Operation, ...]
    layers: tuple[LayerColumns, ...]
    tensors: tuple[Tensor, ...]
    arena_size: int
    parameter_count: int
    kept: int
    hyper: NDArray[np.float64]
    live: dict[str, int]
    columns: int
    batch_size: int
    inputs: Wire
    targets: Wire
    outputs: Wire

    @property
    def threads(self) -> int:
        """Threads for matrix products: one, unless a product is so large that a second one pays."""
        largest = max((self.batch_size * t.parameter.count for t in self.tensors), default=0)
        return min(os.cpu_count() or 1, 4) if largest >= THREADS_FROM else 1

    @property
    def dtype(self) -> type[np.floating]:
        return np.float32 if self.precision == "float32" else np.float64


@dataclass
class Group:
    """The rows of one card in one direction, not laid down yet."""

    path: str
    phase: str
    rows: list[tuple[KernelFunction, tuple[int, ...]]] = field(default_factory=list)
    place: int = -1
    shape: Shape = ()
    per_sample: bool = True
    symbol: str = ""


class Builder:
    """Collects operations while the layers of a network write themselves down. Used once, by `compile_program`."""

    targets: Wire

    def __init__(self, experiment: Experiment, network: Plan, batch_size: int):
        self.experiment = experiment
        self.network = network
        self.batch_size = batch_size
        self._size = 0
        self._constants: list[float] = []
        self._live: dict[str, int] = {}
        self._forward: list[Group] = []
        self._backward: list[Group] = []
        self._update: list[Group] = []
        self._path = ""
        self._readers: dict[int, int] = {}
        self._producers: dict[int, Group] = {}
        self.base_rate = self.live("training.optimizer.learning_rate", experiment.training.optimizer.learning_rate)
        self.rate = self.constant(experiment.training.optimizer.learning_rate)
        self._lay_out_parameters()

    # --- memory

    def _reserve(self, count: int) -> int:
        at = self._size
        self._size += -(-count // ALIGNMENT) * ALIGNMENT
        return at

    def _lay_out_parameters(self) -> None:
        places = [(card.path, p, self._reserve(p.count)) for card in self.network.cards for p in card.parameters]
        self.parameter_count = self._size
        # Slots follow the parameters at once, so that a checkpoint copies one block.
        self._slots = {name: self._reserve(self.parameter_count) for name in self.experiment.training.optimizer.slots}
        self.kept = self._size
        self.gradients = self._reserve(self.parameter_count)
        # One parameter array is updated after the other, so that its update is still in the cache when it is
        # subtracted.
        self.update_at = self._reserve(max((p.count for _, p, _ in places), default=0))
        self.tensors = tuple(Tensor(path, p, at, self.gradients + at, self.update_at) for path, p, at in places)

    def slot(self, name: str, tensor: Tensor) -> int:
        """Where the optimizer keeps its array of this name for a parameter."""
        return self._slots[name] + tensor.at

    def constant(self, value: float) -> int:
        """Room in `hyper` for a number that stays the same."""
        self._constants.append(float(value))
        return len(self._constants) - 1

    def live(self, path: str, value: float) -> int:
        """Room in `hyper` for a setting that may change while training; `path` is its place in the experiment."""
        if path not in self._live:
            self._live[path] = self.constant(value)
        return self._live[path]

    def wire(self, shape: Shape, gradient: bool = True) -> Wire:
        """Room for one value of this shape per sample, and for its gradient."""
        count = self.batch_size * math.prod(shape)
        return Wire(shape, self._reserve(count), self._reserve(count) if gradient else -1)

    def scratch(self, count: int) -> int:
        """Room for `count` numbers of the layer's own."""
        return self._reserve(count)

    def parameter(self, name: str) -> Tensor:
        """The current layer's parameter of this name."""
        return next(t for t in self.tensors if t.path == self._path and t.parameter.name == name)

    def gradient_of(self, wire: Wire) -> int:
        """Where the current layer writes its share of the gradient of `wire`.

        The first to ask writes in place; every further reader of the same wire (a skip connection) gets room of its
        own, and the shares are added before the gradient is used.
        """
        readers = self._readers.get(wire.at, 0)
        self._readers[wire.at] = readers + 1
        if readers == 0:
            return wire.gradient
        share = self._reserve(self.batch_size * wire.width)
        self._producers[wire.at].rows.insert(0, (add_share, (wire.gradient, share, wire.width)))
        return share

    # --- operations

    def begin_layer(self, path: str) -> tuple[Group, Group]:
        """Start collecting a layer's operations; its groups forward and backward."""
        self._path = path
        self._forward.append(Group(path, "forward"))
        self._backward.append(Group(path, "backward"))
        return self._forward[-1], self._backward[-1]

    def begin_loss(self, outputs: Wire) -> None:
        self._path = "loss"
        self._forward.append(Group("loss", "loss", place=outputs.at, shape=outputs.shape, symbol="a"))
        self._backward.append(Group("loss", "backward", place=outputs.gradient, shape=outputs.shape, symbol="∂L/∂a"))

    def begin_update(self, group: Group) -> None:
        self._update.append(group)

    def produced_by(self, wire: Wire, group: Group) -> None:
        """Say whose way back begins once the gradient of `wire` is complete."""
        self._producers[wire.at] = group

    def forward(self, kernel: KernelFunction, *numbers: int) -> None:
        """Append an operation to the current layer's way forward."""
        self._forward[-1].rows.append((kernel, numbers))

    def backward(self, kernel: KernelFunction, *numbers: int) -> None:
        """Append an operation to the current layer's way back."""
        self._backward[-1].rows.append((kernel, numbers))

    def update(self, kernel: KernelFunction, *numbers: int) -> None:
        """Append an operation to the update of the parameters."""
        self._update[-1].rows.append((kernel, numbers))

    # --- what was collected

    def groups(self) -> tuple[list[Group], list[Group], list[Group]]:
        """Forward in data order, backward back to front, and the update; cards with nothing to do are left out."""
        return self._forward, [g for g in reversed(self._backward) if g.rows], self._update

    @property
    def size(self) -> int:
        """Elements of the arena."""
        return self._size

    def hyper(self) -> NDArray[np.float64]:
        return np.array(self._constants, dtype=np.float64)

    def live_places(self) -> dict[str, int]:
        return dict(self._live)


def compile_program(
    experiment: Experiment, data: Data, record: bool = True, evaluation_rows: int | None = None
) -> Program:
    """The program that trains `experiment` on `data`; an InputError when the network cannot be.

    record            with probes: every step reports all per-layer quantities. Without: loss, accuracy, learning rate.
    evaluation_rows   instead of training: a program whose steps send that many samples forward, in their own order
    """
    network = plan(experiment, data.outline)
    network.require()
    training = experiment.training
    record = record and evaluation_rows is None
    build = Builder(experiment, network, evaluation_rows or training.batch_size)
    inputs = build.wire(data.shape, gradient=False)
    build.targets = build.wire((data.targets,), gradient=False)

    first = Group("data", "data", place=inputs.at, shape=inputs.shape, symbol="x")
    begin = draw_minibatch if evaluation_rows is None else next_block
    first.rows.append((begin, (inputs.at, build.targets.at, inputs.width, data.targets)))

    layers: list[LayerColumns] = []
    column = len(layout.RUN_COLUMNS)
    x = inputs
    for card in network.cards:
        x, layer = _emit_card(build, card, x, column, record)
        layers.append(layer)
        column += len(probes.LAYER_COLUMNS)
    build.begin_loss(x)
    experiment.loss.emit(build, x)
    _emit_update(build, layers, record)

    forward, backward, update = build.groups()
    groups = [first, *forward] if evaluation_rows else [first, *forward, *backward, *update]
    table, kernels, operations = _lay_down(groups)
    return Program(
        experiment=experiment,
        plan=network,
        precision=training.precision,
        table=table,
        kernels=kernels,
        operations=operations,
        layers=tuple(layers),
        tensors=build.tensors,
        arena_size=build.size,
        parameter_count=build.parameter_count,
        kept=build.kept,
        hyper=build.hyper(),
        live=build.live_places(),
        columns=column,
        batch_size=build.batch_size,
        inputs=inputs,
        targets=build.targets,
        outputs=x,
    )


def _emit_card(build: Builder, card: Card, x: Wire, column: int, record: bool) -> tuple[Wire, LayerColumns]:
    """Write one layer with its probes; its output, and where its values and statistics are."""
    forward, backward = build.begin_layer(card.path)
    y = card.layer.emit(build, x)
    build.produced_by(y, backward)
    weight = next((t for t in build.tensors if t.path == card.path and t.parameter.weight), None)
    forward.place, forward.shape, forward.symbol = y.at, y.shape, "a"
    if x.gradient >= 0:
        backward.place, backward.shape, backward.symbol = x.gradient, x.shape, "∂L/∂x"
    elif weight is not None:
        backward.place, backward.shape, backward.symbol = weight.gradient, weight.parameter.shape, "∂L/∂W"
        backward.per_sample = False
    if record:
        low, high = card.layer.saturation()
        build.forward(probes.measure_activation, y.at, y.width, column, build.constant(low), build.constant(high))
        # The gradient of this layer's output is complete when its own way back begins.
        gradient_column = column + len(probes.ACTIVATION_COLUMNS)
        backward.rows.insert(0, (probes.measure_gradient, (y.gradient, y.width, gradient_column)))
    return y, LayerColumns(card.path, card.layer.kind_name(), y, weight, column)


def _emit_update(build: Builder, layers: list[LayerColumns], record: bool) -> None:
    """Write what happens to the parameters once their gradients are there."""
    training = build.experiment.training
    weight_column = {
        layer.path: layer.first_column + len(probes.ACTIVATION_COLUMNS) + len(probes.GRADIENT_COLUMNS)
        for layer in layers
    }
    build.begin_update(
        Group(
            "optimizer",
            "update",
            place=build.gradients,
            shape=(build.parameter_count,),
            per_sample=False,
            symbol="∂L/∂W",
        )
    )
    if record:
        build.update(probes.begin_gradient_norm)
        for tensor in build.tensors:
            column = weight_column[tensor.path] if tensor.parameter.weight else -1
            build.update(probes.measure_parameter_gradient, tensor.gradient, tensor.parameter.count, column)
        build.update(probes.end_gradient_norm)
    training.schedule.emit(build)
    path = ""
    for tensor in build.tensors:
        if tensor.path != path:
            path = tensor.path
            shape = tensor.parameter.shape
            build.begin_update(Group(path, "update", place=tensor.at, shape=shape, per_sample=False, symbol="W"))
        training.optimizer.emit(build, tensor)
        numbers = tensor.at, tensor.update, tensor.parameter.count
        if record and tensor.parameter.weight:
            build.update(probes.apply_and_measure_update, *numbers, weight_column[path] + 1)
        else:
            build.update(probes.apply_update, *numbers)


def _lay_down(groups: list[Group]) -> tuple[NDArray[np.int64], tuple[KernelFunction, ...], tuple[Operation, ...]]:
    """The table of the groups' rows, the kernels that they call, and the operations that the groups are."""
    kernels: dict[KernelFunction, int] = {}
    rows: list[list[int]] = []
    operations = []
    for group in groups:
        first = len(rows)
        for function, numbers in group.rows:
            row = [kernels.setdefault(function, len(kernels)), *numbers]
            rows.append(row + [0] * (layout.WIDTH - len(row)))
        operations.append(
            Operation(
                group.path, group.phase, first, len(rows), group.place, group.shape, group.per_sample, group.symbol
            )
        )
    return np.array(rows, dtype=np.int64), tuple(kernels), tuple(operations)
