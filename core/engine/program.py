"""A program is an experiment compiled to a table: one row an operation, with offsets into one flat array.

`compile_program` asks every layer to write its operations through a `Builder`. Forward rows come in data order; each
layer's backward rows are kept as a group, and the groups are laid down back to front. A block asks the builder to write
the layers inside of it, so a network of any depth of nesting becomes one flat table. What the window calls "one
operation" is a range of rows that belong together: the matrix product and the probe that looks at its result.

The arena: parameters, what optimizer and averaging remember (all kept by checkpoints), gradients, updates, values and
their gradients.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import loss_scale as scaling
from ..data.base import Data
from ..diagnostics import probes
from ..experiment import Experiment
from ..gradient_steps.base import STAGES, chain
from ..layers.base import Chain, Layer, Parameter, Shape, working
from ..network import Plan, plan
from ..schedules.base import scheduled_rate
from . import layout, precision, random
from .blas import allowed_threads
from .kernel import Precision
from .steps import add_share, begin_penalty, draw_minibatch, next_block

ALIGNMENT = 16  # elements; starts of arrays fall on whole vectors of the processor

SCALED = 4  # the first columns of a gradient are in its unit: rms, norm, least, greatest

THREADS_FROM = 16_000_000  # multiplications in one product from which a second thread pays

KernelFunction = Callable[..., None]
# A group among the numbers stands for its first row in the table, or for the table's end where it has none.
Row = tuple[KernelFunction, tuple["int | Group", ...]]


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
    """A parameter of the network: its place in the arena, its gradient's, and where its update is put together.

    at       where layers read it
    master   where training changes it: the same place, but for numbers of 16 bits, which are rounded copies
    """

    path: str
    parameter: Parameter
    at: int
    gradient: int
    update: int
    master: int

    @property
    def name(self) -> str:
        """The name in files: "0.weight"."""
        return f"{self.path}.{self.parameter.name}"


@dataclass(frozen=True)
class Share:
    """What an operation hands back: `place` of its share of the gradient of the value at `at`, (rows, *shape)."""

    at: int
    place: int
    shape: Shape


@dataclass(frozen=True)
class Part:
    """Rows of an update that are one link's work on one parameter array.

    tensor   the array's name, "0.weight"
    link     the link's name in the chain, "l2"; "loss_scale" before it, "weights" where the update is subtracted,
             "averaging" behind that
    """

    tensor: str
    link: str
    first_row: int
    last_row: int


@dataclass(frozen=True)
class Region:
    """A part of the arena with the name of what stands there.

    role        "input", "target", "activation", "output gradient", "share" (of a gradient that several layers send
                back), "parameter", "gradient" (of a parameter), "update", "memory" (an array of the optimizer or the
                averaging), "scalar" (one number of theirs), "copy" (a parameter in 16 bits), "inner" (a layer's own),
                "index" (places, kept as numbers), "room" (needed within one row, nobody reads it afterward)
    path        the layer that it belongs to, "data", or "" where it belongs to none
    name        of the parameter, the inner value or the single number; "" elsewhere
    slot        what the array of the optimizer or the averaging is called there
    shape       of one sample's where there is one per sample, else of the whole
    """

    at: int
    role: str
    path: str
    name: str
    shape: Shape
    per_sample: bool = False
    slot: str = ""

    def count(self, rows: int) -> int:
        """Numbers of it that a minibatch of so many samples uses."""
        return math.prod(self.shape) * (rows if self.per_sample else 1)


@dataclass(frozen=True)
class Operation:
    """Rows of the table that a person sees as one step of the computation.

    label   the kind of link in the chain from gradients to weights: "l2", "global_norm"; "" elsewhere
    path    the card that works: a layer's path, "data", "loss" or "optimizer"
    phase   "data", "forward", "loss", "backward", "update"
    wire    (place in the arena, shape of a sample or of the parameter, True if one per sample) of what it computed
    symbol  what that value is called: "a", "∂L/∂a", "∂L/∂W", "W"; "S ∂L/∂a" where the loss is scaled by S
    shares  of a layer's way back: what it hands back, in the order in which the layer asked for room
    parts   of an update: whose rows are whose
    """

    path: str
    phase: str
    first_row: int
    last_row: int
    place: int
    shape: Shape
    per_sample: bool
    symbol: str
    label: str = ""
    shares: tuple[Share, ...] = ()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class LayerColumns:
    """Where a layer's values and statistics are."""

    path: str
    kind: str
    given: Wire
    wire: Wire
    weight: Tensor | None
    first_column: int


@dataclass(frozen=True)
class Program:
    """A table of operations and the layout of the memory that it works on.

    kept                        the first part of the arena: parameters and what is remembered between steps
    run_columns, layer_columns  what a step reports: of the run, then of one layer after the other
    remembered                  what `kept` holds behind the parameters, by name and in order
    slots, scalars              places of its arrays and of its single numbers
    regions                     what stands where in the arena
    watched                     where in `hyper` it is counted how many inputs and inner values were not finite
    stand_ins                   arrays that layers compute for layers that they wrap, with their gradients
    """

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
    run_columns: tuple[str, ...]
    layer_columns: tuple[str, ...]
    remembered: tuple[str, ...]
    slots: dict[str, int]
    scalars: dict[str, int]
    batch_size: int
    inputs: Wire
    targets: Wire
    outputs: Wire
    regions: tuple[Region, ...]
    watched: int
    stand_ins: tuple[Tensor, ...] = ()

    @property
    def columns(self) -> int:
        """Numbers that one step reports."""
        return len(self.run_columns) + len(self.layers) * len(self.layer_columns)

    @property
    def threads(self) -> int:
        """Threads for matrix products: one, unless a product is so large that a second one pays."""
        cards = [card for card in self.plan.cards if card.given is not None]
        largest = max((c.layer.largest_product(c.given or (), self.batch_size) for c in cards), default=0)
        return min(os.cpu_count() or 1, 4, allowed_threads()) if largest >= THREADS_FROM else 1

    @property
    def dtype(self) -> type[np.floating]:
        return np.float32 if self.precision == "float32" else np.float64


@dataclass
class Group:
    """The rows of one card in one direction, not laid down yet."""

    path: str
    phase: str
    rows: list[Row] = field(default_factory=list)
    place: int = -1
    shape: Shape = ()
    per_sample: bool = True
    symbol: str = ""
    label: str = ""
    shares: tuple[Share, ...] = ()
    parts: list[Part] = field(default_factory=list)  # their rows are counted from the group's first


class Builder:
    """Collects operations while the layers of a network write themselves down. Used once, by `compile_program`.

    training   False in a program that only sends samples forward: no dropout, no gradients
    record     with probes
    format     of the numbers of 16 bits that results are rounded to (`precision.FORMATS`); None: they are not

    Rounding is no matter of the layers: what a layer leaves in its wire, in the places that it asked for with
    `gradient_of`, and in the gradients of its parameters is rounded behind the layer's own operations.
    """

    targets: Wire

    def __init__(self, experiment: Experiment, network: Plan, batch_size: int, training: bool, record: bool):
        self.experiment = experiment
        self.network = network
        self.batch_size = batch_size
        self.training = training
        self.record = record
        self.links = chain(experiment.training)
        self.format = precision.FORMATS.get(experiment.training.precision)
        self.run_columns = (*layout.RUN_COLUMNS, "norm.gradient", *(f"norm.{link.name}" for link in self.links))
        self.layer_columns: tuple[str, ...] = probes.LAYER_COLUMNS
        if experiment.training.loss_scale is not None:
            self.run_columns += scaling.RUN_COLUMNS
        if self.format is not None:
            self.layer_columns += precision.COUNT_COLUMNS
        if any(card.layer.inside(card.given) for card in network.cards):
            self.layer_columns += probes.SHARE_COLUMNS
        self._cards = {card.path: card for card in network.cards}
        self._size = 0
        self._constants: list[float] = []
        self._live: dict[str, int] = {}
        self._shared: dict[str, int] = {}
        self._forward: list[Group] = []
        self._backward: list[Group] = []
        self._update: list[Group] = []
        self._path = ""
        self._open: tuple[Group, Group] = (Group("", ""), Group("", ""))
        self._to_watch: list[tuple[int, int]] = []  # (place, count) of inner values of the current layer
        self._asked: list[tuple[int, Wire]] = []  # places for gradients that the current layer asked for
        self._counted: dict[int, int] = {}  # where a wire's counts of what was lost begin, by its place in the arena
        self._shares: dict[int, list[tuple[str, int]]] = {}  # of a wire's gradient, by the wire: (whose, place)
        self._starts: list[tuple[str, Wire]] = []  # first layers of the chains inside of blocks, and what goes in
        self._producers: dict[int, Group] = {}
        self._stand_ins: dict[tuple[str, str], Tensor] = {}
        self.layers: list[LayerColumns] = []
        self.regions: list[Region] = []
        self.watched = self.constant(0.0)
        self.base_rate = self.live("training.optimizer.learning_rate", experiment.training.optimizer.learning_rate)
        self.rate = self.constant(experiment.training.optimizer.learning_rate)
        self.norm = self.constant(0.0)  # of the gradient as the chain has made it so far
        loss_scale = experiment.training.loss_scale
        self.scale = loss_scale.place(self) if loss_scale is not None else None  # in hyper
        self._lay_out_parameters()

    # --- memory

    def _reserve(self, count: int) -> int:
        at = self._size
        self._size += -(-count // ALIGNMENT) * ALIGNMENT
        return at

    def _lay_out_parameters(self) -> None:
        training = self.experiment.training
        places = [(card.path, p, self._reserve(p.count)) for card in self.network.cards for p in card.parameters]
        self.parameter_count = self._size
        # What is remembered follows the parameters at once, so that a checkpoint copies one block.
        remembering: list[Any] = [training.optimizer]
        remembering += [kind for kind in (training.averaging, training.loss_scale) if kind is not None]
        self.slots = {name: self._reserve(self.parameter_count) for kind in remembering for name in kind.slots}
        self.scalars = {name: self._reserve(1) for kind in remembering for name in kind.scalars}
        self.kept = self._size
        self.gradients = self._reserve(self.parameter_count)
        # One parameter array is updated after the other, so that its update is still in the cache when it is
        # subtracted.
        largest = max((p.count for _, p, _ in places), default=0)
        self.update_at = self._reserve(largest)
        # Layers read rounded copies of the master weights. What a layer keeps up itself stays as it is: running
        # statistics are float32 in mixed-precision training.
        self.copies = self._reserve(self.parameter_count) if self.format is not None and training.master_weights else 0
        self.tensors = tuple(
            Tensor(path, p, at + (self.copies if p.trained else 0), self.gradients + at, self.update_at, at)
            for path, p, at in places
        )
        for tensor in self.tensors:
            path, p = tensor.path, tensor.parameter
            self.regions.append(Region(tensor.master, "parameter", path, p.name, p.shape))
            if tensor.at != tensor.master:
                self.regions.append(Region(tensor.at, "copy", path, p.name, p.shape))
            if p.trained:
                self.regions.append(Region(tensor.gradient, "gradient", path, p.name, p.shape))
                self.regions += [
                    Region(self.slot(slot, tensor), "memory", path, p.name, p.shape, slot=slot) for slot in self.slots
                ]
        self.regions += [Region(at, "scalar", "", name, (1,)) for name, at in self.scalars.items()]
        self.regions.append(Region(self.update_at, "update", "", "", (largest,)))

    @property
    def remembered(self) -> tuple[str, ...]:
        return (*self.slots, *self.scalars)

    @property
    def trained(self) -> tuple[Tensor, ...]:
        """The parameters that have gradients."""
        return tuple(tensor for tensor in self.tensors if tensor.parameter.trained)

    def slot(self, name: str, tensor: Tensor) -> int:
        """Where the optimizer (or the averaging) keeps its array of this name for a parameter."""
        return self.slots[name] + tensor.master

    def scalar(self, name: str) -> int:
        """Where it keeps its single number of this name."""
        return self.scalars[name]

    def constant(self, value: float) -> int:
        """Room in `hyper` for a number that stays the same, or that operations hand on to each other."""
        self._constants.append(float(value))
        return len(self._constants) - 1

    def constants(self, *values: float) -> int:
        """Room in `hyper` for numbers that stand one after the other; where the first is."""
        return [self.constant(value) for value in values][0]  # noqa: RUF015 (all of them must be made)

    def shared(self, name: str, count: int = 1) -> int:
        """Room in `hyper` for numbers that one operation leaves for others; `name` says which, in the whole program."""
        if name not in self._shared:
            self._shared[name] = self.constants(*[0.0] * count)
        return self._shared[name]

    def live(self, path: str, value: float) -> int:
        """Room in `hyper` for a setting that may change while training; `path` is its place in the experiment."""
        if path not in self._live:
            self._live[path] = self.constant(value)
        return self._live[path]

    def here(self, name: str) -> str:
        """The place in the experiment of a setting of the current layer."""
        return f"network.{self._path}.{name}"

    def wire(self, shape: Shape, gradient: bool = True) -> Wire:
        """Room for one value of this shape per sample, and for its gradient where there is a way back."""
        count = self.batch_size * math.prod(shape)
        wire = Wire(shape, self._reserve(count), self._reserve(count) if gradient and self.training else -1)
        role = {"data": "input", "targets": "target"}.get(self._path, "activation")
        self.regions.append(Region(wire.at, role, self._path, "", shape, True))
        if wire.gradient >= 0:
            self.regions.append(Region(wire.gradient, "output gradient", self._path, "", shape, True))
        return wire

    def scratch(self, count: int, name: str = "", *, role: str = "inner", watched: bool = False) -> int:
        """Room for `count` numbers of the layer's own.

        name      what they are, in a word or a formula's letter: "1/σ"
        role      "index" where they are places and no values, "room" where only one row works with them
        watched   whether an infinity there might leave no trace behind: dividing by one gives a zero
        """
        at = self._reserve(count)
        self.regions.append(Region(at, role, self._path, name, (count,)))
        if watched and self.training:
            self._to_watch.append((at, count))
        return at

    def parameter(self, name: str) -> Tensor:
        """The current layer's parameter of this name."""
        stand_in = self._stand_ins.get((self._path, name))
        if stand_in is not None:
            if self.format is not None and stand_in.at not in self._counted:
                self._counted[stand_in.at] = -1
                self.forward(precision.round_array, stand_in.at, stand_in.parameter.count, self.format, -1)
            return stand_in
        return next(t for t in self.tensors if t.path == self._path and t.parameter.name == name)

    def stand_in(self, parameter: Parameter) -> Tensor:
        """Room for an array that the current layer computes and a layer that it wraps takes for its parameter."""
        at, gradient = self._reserve(parameter.count), self._reserve(parameter.count)
        tensor = Tensor(self._path, parameter, at, gradient, -1, -1)
        self.regions.append(Region(at, "inner", self._path, parameter.name, parameter.shape))
        self.regions.append(Region(gradient, "inner", self._path, f"∂L/∂{parameter.name}", parameter.shape))
        self._stand_ins[self._path, parameter.name] = tensor
        return tensor

    def wrapped(self, layer: Layer, x: Wire) -> Wire:
        """Write the layer that the current one wraps, which takes the stand-ins for its parameters."""
        y = layer.emit(self, x)
        if self.format is not None:
            for (path, _name), tensor in self._stand_ins.items():
                if path == self._path:
                    self.backward(precision.round_array, tensor.gradient, tensor.parameter.count, self.format, -1)
        return y

    def stream(self, purpose: str) -> int:
        """The key of the current layer's random stream for a purpose, to be put into a row."""
        return random.key(self.experiment.seed, purpose, self._path)

    def gradient_of(self, wire: Wire) -> int:
        """Where the current layer writes its share of the gradient of `wire`.

        The first to ask writes in place; every further reader of the same wire (a skip connection) gets room of its
        own, and the shares are added before the gradient is used.
        """
        shares = self._shares.setdefault(wire.at, [])
        place = wire.gradient
        if shares:
            place = self._reserve(self.batch_size * wire.width)
            self.regions.append(Region(place, "share", self._path, "", wire.shape, True))
            rows: list[Row] = [(add_share, (wire.gradient, place, wire.width))]
            if self.format is not None:
                rows.append(self._rounding(wire.gradient, wire, precision.GRADIENT))
            self._producers[wire.at].rows[:0] = rows
        shares.append((self._path, place))
        self._asked.append((place, wire))
        group = self._open[1]
        group.place, group.shape, group.symbol = place, wire.shape, "∂L/∂x"
        return place

    # --- numbers of 16 bits

    def begin_rounding(self, first: Group, inputs: Wire) -> None:
        """Behind the choice of the minibatch: its samples, and the weights that the step will read, are rounded."""
        if self.format is None:
            return
        self._counted[inputs.at] = -1
        first.rows.append(self._rounding(inputs.at, inputs, precision.ACTIVATION))
        if self.copies:
            first.rows.append((precision.copy_rounded, (0, self.copies, self.parameter_count, self.format)))
        else:
            # Updated weights are rounded already; those that were drawn or put there may not be.
            first.rows.append((precision.round_array, (0, self.parameter_count, self.format, -1)))

    def _rounding(self, place: int, wire: Wire, kind: int) -> Row:
        """The row that rounds a wire's values or gradient and counts what is lost with the layer that it comes from."""
        assert self.format is not None
        column = self._counted.get(wire.at, -1)
        return precision.round_values, (place, wire.width, self.format, column + kind if column >= 0 else -1)

    def _round_layer(self, y: Wire, column: int) -> None:
        """Round what the current layer computes. Its counts begin at `column` (-1: nothing is counted)."""
        assert self.format is not None
        forward, backward = self._open
        if column >= 0:
            weighted = any(t.path == self._path and t.parameter.weight for t in self.tensors)
            counts = len(precision.COUNT_COLUMNS) if weighted else precision.WEIGHT_GRADIENT
            forward.rows.insert(0, (precision.begin_counts, (column, counts)))
        if y.at not in self._counted:
            self._counted[y.at] = column
            forward.rows.append(self._rounding(y.at, y, precision.ACTIVATION))
        elif column >= 0 and self._counted[y.at] >= 0:
            there = self._counted[y.at]
            forward.rows.append((precision.take_counts, (there, column)))
            backward.rows.insert(0, (precision.take_counts, (there + precision.GRADIENT, column + precision.GRADIENT)))
        for place, wire in self._asked:
            backward.rows.append(self._rounding(place, wire, precision.GRADIENT))
        for tensor in self.tensors:
            if tensor.path != self._path:
                continue
            count = tensor.parameter.count
            if tensor.parameter.trained:
                counted = column + precision.WEIGHT_GRADIENT if column >= 0 and tensor.parameter.weight else -1
                backward.rows.append((precision.round_array, (tensor.gradient, count, self.format, counted)))
            elif not self.copies and self.training:
                forward.rows.append((precision.round_array, (tensor.at, count, self.format, -1)))

    # --- operations

    def layer(self, path: str, x: Wire) -> Wire:
        """Write the layer at `path` with its probes and what is inside of it; the wire that carries its output."""
        card = self._cards[path]
        outer = self._path, self._open, self._asked, self._to_watch
        forward, backward = Group(path, "forward"), Group(path, "backward")
        self._path, self._open, self._asked, self._to_watch = path, (forward, backward), [], []
        y = card.layer.emit(self, x)
        # Behind the groups of the layers inside, which were laid down meanwhile; on the way back before them.
        self._forward.append(forward)
        self._backward.append(backward)
        self._producers.setdefault(y.at, backward)
        backward.shares = tuple(Share(wire.at, place, wire.shape) for place, wire in self._asked)
        weight = next((t for t in self.tensors if t.path == path and t.parameter.weight), None)
        forward.place, forward.shape, forward.symbol = y.at, y.shape, "a"
        if card.layer.inside(card.given):
            backward.place, backward.shape, backward.symbol = y.gradient, y.shape, "∂L/∂a"
        elif backward.place >= 0:
            pass  # `gradient_of` has said where its share of the input's gradient is
        elif weight is not None:
            backward.place, backward.shape, backward.symbol = weight.gradient, weight.parameter.shape, "∂L/∂W"
            backward.per_sample = False
        else:
            backward.place, backward.shape, backward.symbol = y.gradient, y.shape, "∂L/∂a"
        if self.scale is not None:
            backward.symbol = f"S {backward.symbol}"
        column = len(self.run_columns) + len(self.layers) * len(self.layer_columns)
        if self.format is not None:
            self._round_layer(y, column + len(probes.LAYER_COLUMNS) if self.record else -1)
        if self.record:
            low, high = (self.constant(bound) for bound in card.layer.saturation())
            self.forward(probes.measure_activation, y.at, y.width, column, low, high)
            # The gradient of this layer's output is complete when its own way back begins.
            gradient_column = column + len(probes.ACTIVATION_COLUMNS)
            measuring: list[Row] = [(probes.measure_gradient, (y.gradient, y.width, gradient_column))]
            if self.scale is not None:
                measuring.append((scaling.unscale_measured, (gradient_column, SCALED, self.scale)))
            backward.rows[:0] = measuring
        for at, count in self._to_watch:
            self.forward(probes.watch, at, count, 0, self.watched)
            self.backward(probes.watch, at, count, 0, self.watched)
        self.layers.append(LayerColumns(path, card.layer.kind_name(), x, y, weight, column))
        self._path, self._open, self._asked, self._to_watch = outer
        return y

    def chain(self, inner: Chain, x: Wire) -> Wire:
        """Write a chain of layers inside of the current one; the wire that carries its output."""
        for number, (path, _layer) in enumerate(inner.members(self._path)):
            if number == 0:
                self._starts.append((path, x))
            x = self.layer(path, x)
        return x

    def measure_shares(self) -> None:
        """Before the shares of the gradient of a block's input are added up: how large each chain's inside is, with
        all that the layers inside of its first layer hand back.
        """
        columns = {layer.path: layer.first_column for layer in self.layers}
        for path, wire in self._starts:
            whole = self._shares.get(wire.at, [])
            places = [place for asker, place in whole if asker == path or asker.startswith(f"{path}.")]
            if not 0 < len(places) <= layout.WIDTH - probes.SHARES:
                continue  # none: the input is the data, whose gradient nobody needs. Or more than one row can name.
            column = columns[path] + self.layer_columns.index(probes.SHARE_COLUMNS[0])
            rows: list[Row] = [(probes.measure_share, (column, wire.width, len(places), *places))]
            if self.scale is not None:
                rows.append((scaling.unscale_measured, (column, 1, self.scale)))
            self._producers[wire.at].rows[:0] = rows

    def begin_data(self, part: str) -> None:
        """What is laid out now belongs to the "data" or the "targets"."""
        self._path = part

    def begin_loss(self, outputs: Wire) -> None:
        self._path = "loss"
        forward = Group("loss", "loss", place=outputs.at, shape=outputs.shape, symbol="a")
        symbol = "∂L/∂a" if self.scale is None else "S ∂L/∂a"
        backward = Group("loss", "backward", place=outputs.gradient, shape=outputs.shape, symbol=symbol)
        self._forward.append(forward)
        self._backward.append(backward)
        self._open = forward, backward

    def end_loss(self, outputs: Wire) -> None:
        """Behind the loss's own operations: its gradient is scaled and rounded."""
        loss_scale = self.experiment.training.loss_scale
        if loss_scale is not None and self.scale is not None:
            loss_scale.begin(self, self.scale)
            self.backward(
                scaling.scale_gradient, outputs.gradient, outputs.width, self.scale, self.column("loss_scale")
            )
        if self.format is not None:
            self._open[1].rows.append(self._rounding(outputs.gradient, outputs, precision.GRADIENT))

    def begin_update(self, group: Group) -> None:
        self._update.append(group)

    def forward(self, kernel: KernelFunction, *numbers: int) -> None:
        """Append an operation to the current layer's way forward."""
        self._open[0].rows.append((kernel, numbers))

    def backward(self, kernel: KernelFunction, *numbers: int) -> None:
        """Append an operation to the current layer's way back."""
        self._open[1].rows.append((kernel, numbers))

    def update(self, kernel: KernelFunction, *numbers: int | Group) -> None:
        """Append an operation to the update of the parameters."""
        self._update[-1].rows.append((kernel, numbers))

    @contextmanager
    def part(self, tensor: Tensor, link: str) -> Iterator[None]:
        """What is appended to the update meanwhile is this link's work on this array."""
        group = self._update[-1]
        first = len(group.rows)
        yield
        if len(group.rows) > first:
            group.parts.append(Part(tensor.name, link, first, len(group.rows)))

    @property
    def stand_ins(self) -> tuple[Tensor, ...]:
        """All arrays that layers compute for layers that they wrap."""
        return tuple(self._stand_ins.values())

    def column(self, name: str) -> int:
        """Where a quantity of the run stands in a step's line."""
        return self.run_columns.index(name)

    def measure_gradient_norm(self, name: str, per_layer: bool = False) -> None:
        """Write operations that measure the norm of all gradients, into `hyper[norm]` and a column of the run.

        per_layer   also the norm of every layer's weights, into the layers' columns
        """
        first = len(probes.ACTIVATION_COLUMNS) + len(probes.GRADIENT_COLUMNS)
        columns = {layer.path: layer.first_column + first for layer in self.layers}
        self.update(probes.begin_norm, self.norm)
        for tensor in self.trained:
            column = columns[tensor.path] if per_layer and tensor.parameter.weight else -1
            self.update(probes.add_norm, tensor.gradient, tensor.parameter.count, column, self.norm)
        self.update(probes.end_norm, self.norm, 1, self.column(name))

    def report_norm(self, column: int) -> None:
        """Write the norm of the gradient as it is now into one more column; together with its measurement if that is
        what was just written (an operation more costs a tiny network one step in a hundred).
        """
        rows = self._update[-1].rows
        if rows and rows[-1][0] is probes.end_norm and rows[-1][1][0] == self.norm:
            place, count, *columns = rows[-1][1]
            rows[-1] = (probes.end_norm, (place, len(columns) + 1, *columns, column))
        else:
            self.update(probes.report_norm, self.norm, column)

    # --- what was collected

    def groups(self) -> tuple[list[Group], list[Group], list[Group]]:
        """Forward in data order, backward back to front, and the update; cards with nothing to do are left out."""
        update = [g for g in self._update if g.rows]
        return [g for g in self._forward if g.rows], [g for g in reversed(self._backward) if g.rows], update

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
    training = evaluation_rows is None
    build = Builder(
        experiment, network, evaluation_rows or experiment.training.batch_size, training, record and training
    )
    build.begin_data("data")
    inputs = build.wire(data.shape, gradient=False)
    build.begin_data("targets")
    targets = experiment.loss.encode(data.t_train[:1], _last_shape(network)).shape[1]
    build.targets = build.wire((targets,), gradient=False)

    first = Group("data", "data", place=inputs.at, shape=inputs.shape, symbol="x")
    begin = draw_minibatch if training else next_block
    first.rows.append((begin, (inputs.at, build.targets.at, inputs.width, targets)))
    build.begin_rounding(first, inputs)
    if training:
        first.rows.append((probes.watch, (inputs.at, inputs.width, 1, build.watched)))

    x = inputs
    for index, _layer in working(experiment.network):
        x = build.layer(str(index), x)
    build.begin_loss(x)
    experiment.loss.emit(build, x)
    if training:
        build.end_loss(x)
        if record:
            build.measure_shares()
        _emit_update(build)

    forward, backward, update = build.groups()
    groups = [first, *forward, *backward, *update] if training else [first, *forward]
    table, kernels, operations = _lay_down(groups)
    return Program(
        experiment=experiment,
        plan=network,
        precision=_computing(experiment.training.precision),
        table=table,
        kernels=kernels,
        operations=operations,
        layers=tuple(build.layers),
        tensors=build.tensors,
        arena_size=build.size,
        parameter_count=build.parameter_count,
        kept=build.kept,
        hyper=build.hyper(),
        live=build.live_places(),
        run_columns=build.run_columns,
        layer_columns=build.layer_columns,
        remembered=build.remembered,
        slots=build.slots,
        scalars=build.scalars,
        batch_size=build.batch_size,
        inputs=inputs,
        targets=build.targets,
        outputs=x,
        regions=tuple(build.regions),
        watched=build.watched,
        stand_ins=build.stand_ins,
    )


def _computing(precision: str) -> Precision:
    """What kernels compute with: numbers of 16 bits are float32 numbers, rounded."""
    return "float64" if precision == "float64" else "float32"


def _last_shape(network: Plan) -> Shape:
    last = network.cards[-1].shape
    assert last is not None  # `require` has seen to that
    return last


def _emit_update(build: Builder) -> None:
    """Write what happens to the parameters once their gradients are there: the chain, link by link."""
    training, record = build.experiment.training, build.record
    whole: dict[str, Any] = {"place": build.gradients, "shape": (build.parameter_count,), "per_sample": False}
    averaging = Group("optimizer", "update", symbol="W", label="averaging", **whole)
    overflowed = _emit_unscaling(build, whole) if build.scale is not None else -1
    build.begin_update(Group("optimizer", "update", symbol="∂L/∂W", **whole))
    optimizer = STAGES.index("optimizer")
    before = [link for link in build.links if STAGES.index(link.step.stage) < optimizer]
    behind = build.links[len(before) :]
    first = len(probes.ACTIVATION_COLUMNS) + len(probes.GRADIENT_COLUMNS) + 1
    columns = {layer.path: layer.first_column + first for layer in build.layers}
    name, known = "norm.gradient", False  # what the norm at hand is called, and whether it is at hand
    if overflowed >= 0:
        if record:
            build.measure_gradient_norm(name, per_layer=True)
            known = True
            build.report_norm(layout.GRADIENT_NORM)
            for tensor in build.trained:
                if tensor.parameter.weight:
                    row = tensor.master, tensor.parameter.count, columns[tensor.path], overflowed
                    build.update(scaling.report_still_weight, *row)
        # Averages go on in a skipped step, with the weights as they are: the end of an epoch may be one.
        build.update(scaling.skip_update, overflowed, build.column("skipped"), averaging)
    build.update(begin_penalty)
    clips = next((link for link in before if link.step.stage == "clipping"), behind[0])
    for link in (*before, behind[0]):
        if not known and (record or link.step.uses_norm):
            build.measure_gradient_norm(name, per_layer=record and name == "norm.gradient")
        known = known or record or link.step.uses_norm
        if known and link is clips:
            build.report_norm(layout.GRADIENT_NORM)
        if link is behind[0]:
            break
        build.begin_update(Group("optimizer", "update", symbol="∂L/∂W", label=link.step.kind_name(), **whole))
        link.step.begin(build, link.place)
        for tensor in build.trained:
            with build.part(tensor, link.name):
                link.step.emit(build, tensor, link.place)
        name, known = f"norm.{link.name}", link.step.knows_norm
        if known:
            build.report_norm(build.column(name))
        elif record:
            build.measure_gradient_norm(name)
            known = True
    if known:
        build.report_norm(layout.CLIPPED_GRADIENT_NORM)
    build.update(scheduled_rate, build.rate)
    for link in behind:
        link.step.begin(build, link.place)
    if training.averaging is not None and overflowed < 0:
        training.averaging.begin(build)
    totals = [build.constant(0.0) for _ in behind]
    if record:
        for total in totals:
            build.update(probes.begin_norm, total)
    path = ""
    for tensor in build.trained:
        if tensor.path != path:
            path = tensor.path
            shape = tensor.parameter.shape
            build.begin_update(Group(path, "update", place=tensor.master, shape=shape, per_sample=False, symbol="W"))
        count = tensor.parameter.count
        for index, link in enumerate(behind):
            with build.part(tensor, link.name):
                link.step.emit(build, tensor, link.place)
            if record and index < len(behind) - 1:
                build.update(probes.add_norm, tensor.update, count, -1, totals[index])
        with build.part(tensor, "weights"):
            if record:
                column = columns[path] if tensor.parameter.weight else -1
                build.update(probes.apply_and_measure_update, tensor.master, tensor.update, count, column, totals[-1])
            else:
                build.update(probes.apply_update, tensor.master, tensor.update, count)
            if build.format is not None and not build.copies:
                build.update(precision.round_array, tensor.master, count, build.format, -1)
        if training.averaging is not None and overflowed < 0:
            with build.part(tensor, "averaging"):
                training.averaging.emit(build, tensor)
    if record:
        build.begin_update(Group("optimizer", "update", symbol="W", **whole))
        for link, total in zip(behind, totals, strict=True):
            build.update(probes.end_norm, total, 1, build.column(f"norm.{link.name}"))
    build.begin_update(averaging)
    if training.averaging is not None and overflowed >= 0:
        training.averaging.begin(build)
        for tensor in build.trained:
            with build.part(tensor, "averaging"):
                training.averaging.emit(build, tensor)


def _emit_unscaling(build: Builder, whole: dict[str, Any]) -> int:
    """Write what turns the gradients of the scaled loss into those of the loss, and the scale of the next step; where
    in `hyper` it stands whether one is not finite.
    """
    loss_scale, scale = build.experiment.training.loss_scale, build.scale
    assert loss_scale is not None
    assert scale is not None
    overflowed = build.constant(0.0)
    build.begin_update(Group("optimizer", "update", symbol="∂L/∂W", label="loss_scale", **whole))
    build.update(scaling.begin_unscaling, overflowed)
    for tensor in build.trained:
        with build.part(tensor, "loss_scale"):
            build.update(scaling.unscale_gradient, tensor.gradient, tensor.parameter.count, scale, overflowed)
    loss_scale.end(build, overflowed)
    return overflowed


def _lay_down(groups: list[Group]) -> tuple[NDArray[np.int64], tuple[KernelFunction, ...], tuple[Operation, ...]]:
    """The table of the groups' rows, the kernels that they call, and the operations that the groups are."""
    kernels: dict[KernelFunction, int] = {}
    rows: list[list[int]] = []
    operations = []
    starts, end = {}, 0
    for group in groups:
        starts[id(group)], end = end, end + len(group.rows)
    for group in groups:
        first = len(rows)
        for function, numbers in group.rows:
            places = [starts.get(id(n), end) if isinstance(n, Group) else n for n in numbers]
            row = [kernels.setdefault(function, len(kernels)), *places]
            rows.append(row + [0] * (layout.WIDTH - len(row)))
        operations.append(
            Operation(
                group.path,
                group.phase,
                first,
                len(rows),
                group.place,
                group.shape,
                group.per_sample,
                group.symbol,
                group.label,
                group.shares,
                tuple(Part(p.tensor, p.link, first + p.first_row, first + p.last_row) for p in group.parts),
            )
        )
    return np.array(rows, dtype=np.int64), tuple(kernels), tuple(operations)
