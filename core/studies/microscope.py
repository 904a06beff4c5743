"""The microscope looks at one operation of one training step: what goes in, what comes out, and how, in numbers.

The step is computed once more up to the operation, so that everything is seen as it was then: the weights before their
update, what the optimizer remembered. What a kind writes of itself in `worked` are the equations; every value that the
engine keeps is put beside the one that the equation comes to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.pictures import Picture, image_picture, kernel_picture, matrix_picture
from ..engine import layout, random
from ..engine.program import Operation, Part, Program, Tensor, Wire
from ..fields import about
from ..gradient_steps.base import chain
from ..layers.base import Layer
from ..text import N_, _
from ..worked import (
    Equation,
    LayerSlide,
    LossSlide,
    Moment,
    StepSlide,
    Term,
    Values,
    equation,
    number,
    sum_of_squares,
)
from .base import Study

if TYPE_CHECKING:
    from ..run import Run

Up = Callable[[int], NDArray[np.float64]]


# The settings, which the figure has too.
OperationNumber = Annotated[
    int,
    about(
        N_("operation"),
        N_(
            "Number of the operation in the step, from 1. Minus 1: the one that was done last; between two steps "
            "the first layer with weights."
        ),
        minimum=-1,
        maximum=1_000_000,
    ),
]
SampleNumber = Annotated[
    int, about(N_("sample"), N_("Which sample of the minibatch, from 1."), minimum=1, maximum=10_000_000)
]
UnitNumber = Annotated[
    int, about(N_("unit"), N_("Which number that the layer puts out, from 1."), minimum=1, maximum=100_000_000)
]
InputNumber = Annotated[
    int,
    about(
        N_("input"),
        N_("Which of the weights that lead into the unit, or which number that it sees, from 1."),
        minimum=1,
        maximum=100_000_000,
    ),
]
ParameterName = Annotated[
    str,
    about(
        N_("parameter"),
        N_(
            'Which array an update is shown of: "bias", or "2.bias" where the operation is about all layers. '
            "Empty: the weights."
        ),
    ),
]
View = Annotated[
    Literal["minibatch", "sample"],
    about(N_("view"), N_("All samples of the minibatch as rows of a matrix, or the chosen one alone.")),
]


@dataclass(frozen=True)
class Sight:
    """What the microscope shows.

    step, number, total       the operation is number `number` of `total` of the step after so many updates
    operation                 which one
    pictures                  what goes in, what acts, what comes out, from left to right
    equations                 how the chosen number came about
    precision                 of the training
    sample, unit, entry       what is looked at, from 1; what was asked for beyond the end is the last one
    samples, units, entries   how many there are
    row                       number of the sample in the training data, from 0
    tensor                    name of the parameter of an update, "0.weight"; "" elsewhere
    scale                     what the loss was multiplied by: all gradients up to the update are so many times as large
    skipped                   the update is passed over, because a gradient overflowed
    begun                     the walk is within this step; else it would be the next one
    """

    step: int
    number: int
    total: int
    operation: Operation
    pictures: tuple[Picture, ...]
    equations: tuple[Equation, ...]
    precision: str
    sample: int
    unit: int
    entry: int
    samples: int
    units: int
    entries: int
    row: int
    tensor: str
    scale: float
    skipped: bool
    begun: bool


@Study.registry.add("microscope")
class Microscope(Study, frozen=True, kw_only=True, tag="microscope"):
    """How one operation of a step comes to its numbers."""

    label: ClassVar[str] = N_("Microscope")
    needs_steps: ClassVar[bool] = True

    operation: OperationNumber = -1
    sample: SampleNumber = 1
    unit: UnitNumber = 1
    input: InputNumber = 1
    parameter: ParameterName = ""
    view: View = "minibatch"

    def answer(self, run: Run) -> Sight:
        operations = run.program.operations
        with np.errstate(all="ignore"), run.rehearsal() as up_to:
            index = self._index(run)
            operation = operations[index]
            bench = _Bench(self, run, operation, up_to)
            if operation.path == "data":
                pictures, equations = bench.data()
            elif operation.path == "loss":
                pictures, equations = bench.loss()
            elif operation.phase in ("forward", "backward"):
                pictures, equations = bench.layer()
            else:
                pictures, equations = bench.update()
            inside = run.row > 0
            return Sight(
                run.step,
                index + 1,
                len(operations),
                operation,
                tuple(pictures),
                tuple(equations),
                run.experiment.training.precision,
                *bench.chosen,
                *bench.counts,
                bench.row,
                bench.tensor_name,
                bench.scale,
                bench.skipped,
                inside,
            )

    def _index(self, run: Run) -> int:
        operations = run.program.operations
        if self.operation > 0:
            return min(self.operation, len(operations)) - 1
        done = sum(operation.last_row <= run.row for operation in operations)
        if done:
            return done - 1
        weighted = {layer.path for layer in run.program.layers if layer.weight is not None}
        return next((i for i, o in enumerate(operations) if o.phase == "forward" and o.path in weighted), 1)


class _Bench:
    """Where one operation is laid out to be looked at, while the run rehearses its step."""

    def __init__(self, study: Microscope, run: Run, operation: Operation, up_to: Up):
        self.study, self.run, self.operation, self.up_to = study, run, operation, up_to
        self.program: Program = run.program
        self.arena = run.machine.arena
        self.begun = {name: float(self.arena[at]) for name, at in self.program.scalars.items()}
        self.columns = {layer.path: layer for layer in self.program.layers}
        self.cards = {card.path: card for card in self.program.plan.cards}
        self.line = up_to(operation.first_row)
        self.sample = self.unit = self.entry = 0
        self.samples = self.units = self.entries = 1
        self.tensor_name = ""
        self.skipped = False

    # --- what is looked at

    def choose(self, units: int, entries: int) -> None:
        """Settle what is looked at: as it was asked for, or the last there is; of filters, the unit's own."""
        self.samples = max(1, self.run.machine.rows)
        self.units, self.entries = max(1, units), max(1, entries)
        self.sample = min(self.study.sample, self.samples) - 1
        self.unit = self.study.unit - 1
        self.unit = self.unit if self.unit < self.units else self.unit % self.units
        self.entry = min(self.study.input, self.entries) - 1

    @property
    def chosen(self) -> tuple[int, int, int]:
        return self.sample + 1, self.unit + 1, self.entry + 1

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.samples, self.units, self.entries

    @property
    def row(self) -> int:
        """Number of the sample in the training data."""
        return int(self.run.machine.context[layout.INDICES + self.sample])

    @property
    def scale(self) -> float:
        """The scale of the loss in this step, once it is known."""
        if "loss_scale" not in self.program.run_columns:
            return 1.0
        found = float(self.line[self.program.run_columns.index("loss_scale")])
        return 1.0 if math.isnan(found) else found

    # --- values in the arena

    def values(self, at: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """(samples, *shape)"""
        rows = self.run.machine.rows
        return self.arena[at : at + rows * math.prod(shape)].reshape(rows, *shape)

    def array(self, at: int, shape: tuple[int, ...]) -> NDArray[Any]:
        return self.arena[at : at + math.prod(shape)].reshape(shape)

    def live(self, place: str) -> Callable[[str, float], float]:
        """The present values of the settings of a kind that stands at this place in the experiment."""

        def value(name: str, declared: float) -> float:
            at = self.program.live.get(f"{place}.{name}")
            return declared if at is None else float(self.run.machine.hyper[at])

        return value

    # --- pictures

    def of_samples(
        self,
        symbol: str,
        values: NDArray[Any],
        option: str,
        label: str,
        seen: tuple[slice, slice, int | None] | None = None,
        *,
        column: int | None = None,
        row: bool = True,
        result: bool = False,
    ) -> Picture:
        """A value of every sample: a matrix with a row for each, or of images the chosen sample's.

        option   what a number of it chooses: "unit", "input" or ""
        seen     the part of an image that is looked at
        column   the number of a vector that is looked at; None: all of them
        row      only the chosen sample is looked at, not all
        """
        shape = tuple(values.shape[1:])
        if len(shape) == 3 and shape[0] * shape[1] > 1:
            part = seen or (slice(0, shape[0]), slice(0, shape[1]), None)
            one = values[self.sample]
            return image_picture(
                symbol,
                one,
                values.shape,
                option,
                [part],
                whole=values,
                label=_("column; tiles: channels") if shape[2] > 1 else _("column"),
                result=result,
            )
        matrix = values.reshape(len(values), -1)
        labels, options = (_("sample"), label), ("sample", option)
        if self.study.view == "sample":
            one = matrix[self.sample : self.sample + 1]
            return matrix_picture(
                symbol,
                one,
                values.shape,
                labels,
                options,
                [(0, column)],
                whole=values,
                first_row=self.sample,
                result=result,
            )
        chosen = (self.sample if row else None, column)
        return matrix_picture(symbol, matrix, values.shape, labels, options, [chosen], result=result)

    def of_parameter(self, symbol: str, values: NDArray[Any], cell: bool, *, result: bool = False) -> Picture:
        """A parameter array; marked is one weight, or all of those that lead into the unit."""
        units = values.shape[-1]
        unit = self.unit % units
        if values.ndim == 4:
            label = _("filter")
            return kernel_picture(symbol, values, unit, self.entry if cell else None, label=label, result=result)
        matrix = values.reshape(-1, units)
        several = len(matrix) > 1
        label = _("input") if several else _("one row")
        entry = min(self.entry, len(matrix) - 1) if cell else None
        return matrix_picture(
            symbol,
            matrix,
            values.shape,
            (label, _("unit")),
            ("input" if len(matrix) > 1 else "", "unit"),
            [(entry, unit)],
            result=result,
        )

    # --- the kinds of operations

    def data(self) -> tuple[list[Picture], list[Equation]]:
        self.line = self.up_to(self.operation.last_row)
        inputs, targets = self.program.inputs, self.program.targets
        x, t = self.values(inputs.at, inputs.shape), self.values(targets.at, targets.shape)
        self.choose(inputs.width, 1)
        place = self._pixel(inputs.shape, self.unit)
        pictures = [
            self.of_samples("x", x, "unit", _("number"), place, column=self.unit, result=True),
            self.of_samples("t", t, "", _("target"), result=True),
        ]
        at = self.run.data.x_train[self.row].ravel()[self.unit]
        here = "[" + ", ".join(str(int(i) + 1) for i in np.unravel_index(self.unit, inputs.shape)) + "]"
        words = _("as it is scaled for training; row {row} of the training data").format(row=self.row + 1)
        name = f"x{here}"
        return pictures, [
            equation(name, number(f"data{here}", at), x.reshape(len(x), -1)[self.sample, self.unit], words)
        ]

    def _pixel(self, shape: tuple[int, ...], unit: int) -> tuple[slice, slice, int | None] | None:
        if len(shape) != 3:
            return None
        r, c, k = (int(n) for n in np.unravel_index(unit, shape))
        return slice(r, r + 1), slice(c, c + 1), k

    def loss(self) -> tuple[list[Picture], list[Equation]]:
        outputs, targets = self.program.outputs, self.program.targets
        phase = "forward" if self.operation.phase == "loss" else "backward"
        self.line = self.up_to(self.operation.last_row)
        z, t = self.values(outputs.at, outputs.shape), self.values(targets.at, targets.shape)
        z, t = z.reshape(len(z), -1), t.reshape(len(t), -1)
        self.choose(outputs.width, 1)
        dz = self.values(outputs.gradient, (outputs.width,))
        scale = self.scale if phase == "backward" else 1.0
        unscaled = dz.astype(np.float64) / scale
        loss, value = self.run.experiment.loss, float(self.line[layout.LOSS])
        slide = LossSlide(phase, z, t, unscaled, value, self.sample, self.unit)
        equations = list(loss.worked(slide))
        given = [
            self.of_samples("z", z, "unit", _("output"), column=self.unit if phase == "backward" else None),
            self.of_samples("t", t, "unit", _("target"), column=self.unit if phase == "backward" else None),
        ]
        if phase == "forward":
            answers = loss.predict(z.astype(np.float64))
            return [*given, self.of_samples("p", answers, "unit", _("answer"), result=True)], equations
        if scale != 1.0:
            gradient = number("∂L/∂z", unscaled[self.sample, self.unit])
            equations.append(
                equation(
                    f"S ∂L/∂z[{self.unit + 1}]",
                    number("S", scale) * gradient,
                    dz[self.sample, self.unit],
                    _("the loss is scaled for numbers of 16 bits"),
                )
            )
        return [*given, self.of_samples("∂L/∂z", dz, "unit", _("output"), column=self.unit, result=True)], equations

    def parameters_of(self, path: str) -> dict[str, NDArray[Any]]:
        """By name, as the layer reads them."""
        found = {t.parameter.name: self.array(t.at, t.parameter.shape) for t in self.program.tensors if t.path == path}
        for tensor in self.program.stand_ins:
            if tensor.path == path:
                found[tensor.parameter.name] = self.array(tensor.at, tensor.parameter.shape)
        return found

    def gradients_of(self, path: str) -> dict[str, NDArray[Any]]:
        tensors = [t for t in (*self.program.tensors, *self.program.stand_ins) if t.path == path]
        return {t.parameter.name: self.array(t.gradient, t.parameter.shape) for t in tensors if t.parameter.trained}

    def layer(self) -> tuple[list[Picture], list[Equation]]:
        operation, path = self.operation, self.operation.path
        card, columns = self.cards[path], self.columns[path]
        layer, given = card.layer, columns.given
        before = {name: values.copy() for name, values in self._kept_up(path).items()}
        self.line = self.up_to(operation.last_row)
        x, y = self.values(given.at, given.shape), self.values(columns.wire.at, columns.wire.shape)
        self.choose(columns.wire.width, layer.entries(given.shape))
        backward = operation.phase == "backward"
        gradient = columns.wire.gradient
        slide = LayerSlide(
            phase=operation.phase,
            x=x,
            y=y,
            dy=self.values(gradient, columns.wire.shape) if backward and gradient >= 0 else None,
            shares=tuple(Values(s.at, self.values(s.place, s.shape)) for s in operation.shares),
            ends=tuple(Values(w.at, self.values(w.at, w.shape)) for w in self._ends(layer, path, given)),
            input_at=given.at,
            parameters=self.parameters_of(path),
            before={**self.parameters_of(path), **before},
            gradients=self.gradients_of(path) if backward else {},
            sample=self.sample,
            unit=self.unit,
            entry=self.entry,
            live=self.live(f"network.{path}"),
            key=lambda purpose: random.key(self.run.experiment.seed, purpose, path),
            step=self.run.step,
        )
        equations = list(layer.worked(slide)) if not backward or slide.dy is not None else []
        return (self._way_back(layer, slide) if backward else self._way_forward(layer, slide)), equations

    def _kept_up(self, path: str) -> dict[str, NDArray[Any]]:
        """What the layer keeps up itself: running statistics."""
        return {
            t.parameter.name: self.array(t.master, t.parameter.shape)
            for t in self.program.tensors
            if t.path == path and not t.parameter.trained
        }

    def _ends(self, layer: Layer, path: str, given: Wire) -> Iterator[Wire]:
        """The wires that the chains inside of a block end with."""
        for inner in layer.inside(given.shape):
            members = [member for member, _layer in inner.members(path)]
            yield self.columns[members[-1]].wire if members else given

    def _option(self, layer: Layer, slide: LayerSlide) -> str:
        """What a number of the input chooses."""
        numbers = math.prod(slide.given)
        if layer.entries(slide.given) == numbers and numbers > 1:
            return "input"
        return "unit" if numbers == self.units else ""

    def _weight(self, slide: LayerSlide) -> tuple[str, NDArray[Any]] | None:
        """The weights that act, with their symbol."""
        for name, symbol in (("weight", "W"), ("gamma", "γ")):
            if name in slide.parameters:
                return symbol, slide.parameters[name]
        return None

    def _way_forward(self, layer: Layer, slide: LayerSlide) -> list[Picture]:
        option = self._option(layer, slide)
        column = self.unit if option == "unit" else None
        seen = layer.sees(slide.given, self.unit)
        if slide.ends:
            pictures = [self._end_picture(index, slide) for index in range(len(slide.ends))]
            if layer.passes_by():
                pictures.append(self.of_samples("x", slide.x, option, _("input"), seen, column=column))
            pictures = [replace(p, sign=layer.joined) if index else p for index, p in enumerate(pictures[:3])]
        else:
            label = _("unit") if option == "unit" else _("input")
            pictures = [self.of_samples("x", slide.x, option, label, seen, column=column)]
        weight = self._weight(slide)
        if weight is not None:
            pictures.append(replace(self.of_parameter(*weight, cell=False), sign="·"))
        own = self._pixel(slide.shape, self.unit)
        return [*pictures, self.of_samples("y", slide.y, "unit", _("unit"), own, column=self.unit, result=True)]

    def _end_picture(self, index: int, slide: LayerSlide) -> Picture:
        values = slide.ends[index].values
        same = values.shape == slide.y.shape
        symbol = "F(x)" if len(slide.ends) == 1 or (index == 0 and same) else "S(x)" if same else f"F{index + 1}(x)"
        seen = self._pixel(slide.shape, self.unit) if same else None
        return self.of_samples(
            symbol, values, "unit" if same else "", _("unit"), seen, column=self.unit if same else None
        )

    def _way_back(self, layer: Layer, slide: LayerSlide) -> list[Picture]:
        if slide.dy is None:
            return [self.of_samples("y", slide.y, "unit", _("unit"), column=self.unit)]
        option = self._option(layer, slide)
        label = _("unit") if option == "unit" else _("input")
        column = {"unit": self.unit, "input": self.entry}.get(option)
        seen = layer.sees(slide.given, self.unit)
        own = self._pixel(slide.shape, self.unit)
        weight = self._weight(slide)
        # the gradient of a weight is a sum over all samples
        all_samples = weight is not None
        pictures = [self.of_samples("δ", slide.dy, "unit", _("unit"), own, column=self.unit, row=not all_samples)]
        if not slide.ends:
            given = self.of_samples("x", slide.x, option, label, seen, column=column, row=not all_samples)
            pictures.append(replace(given, sign="·" if all_samples else ""))
        if weight is not None:
            name = "weight" if weight[0] == "W" else "gamma"
            symbol = f"∂L/∂{weight[0]}"
            pictures.append(self.of_parameter(symbol, slide.gradients[name], cell=True, result=True))
        if slide.ends:
            names = ["∂L/∂F(x)"] if len(slide.shares) == 1 else ["∂L/∂x", "∂L/∂F(x)"]
            if len(slide.ends) > 2 or any(share.values.shape != slide.y.shape for share in slide.shares):
                names = [f"∂L/∂F{index + 1}(x)" for index in range(len(slide.shares))]
            for symbol, share in zip(names, slide.shares, strict=False):
                same = share.values.shape == slide.y.shape
                pictures.append(
                    self.of_samples(
                        symbol,
                        share.values,
                        "unit" if same else "",
                        _("unit"),
                        own if same else None,
                        column=self.unit if same else None,
                        result=True,
                    )
                )
            return pictures[:4]
        if slide.shares:
            dx = slide.shares[0].values
            pictures.append(self.of_samples("∂L/∂x", dx, option, label, seen, column=column, result=True))
        return pictures

    # --- the update

    def _tensor(self) -> Tensor | None:
        """The parameter array that is looked at."""
        asked = self.study.parameter
        names = {part.tensor for part in self.operation.parts}
        trained = [t for t in self.program.tensors if t.parameter.trained]
        there = [t for t in trained if t.name in names] or trained
        by_name = [t for t in there if asked and t.name == asked] or [
            t for t in there if asked and t.parameter.name == asked
        ]
        weights = [t for t in there if t.parameter.weight]
        return next(iter((*by_name, *weights, *there)), None)

    def _symbol(self, tensor: Tensor) -> str:
        names = {"weight": "W", "bias": "b", "gamma": "γ", "beta": "β", "direction": "v", "magnitude": "g"}
        return names.get(tensor.parameter.name, tensor.parameter.name)

    def _column(self, at: int, tensor: Tensor) -> NDArray[Any]:
        """The numbers of an array that lead into the chosen unit, (inputs,)."""
        units = tensor.parameter.shape[-1]
        return self.arena[at + self.unit : at + tensor.parameter.count : units].copy()

    def _moment(self, tensor: Tensor) -> Moment:
        slots: Mapping[str, NDArray[Any]] = {
            name: self._column(at + tensor.master, tensor) for name, at in self.program.slots.items()
        }
        return Moment(
            self._column(tensor.gradient, tensor),
            self._column(tensor.master, tensor),
            self._column(tensor.update, tensor),
            slots,
        )

    def _norm(self, path: str | None) -> Term:
        """The norm of the gradients of all parameters, or of one layer's."""
        tensors = [t for t in self.program.tensors if t.parameter.trained and path in (None, t.path)]
        gradients = [self.arena[t.gradient : t.gradient + t.parameter.count] for t in tensors]
        return sum_of_squares("Σ g²", np.concatenate(gradients)).root()

    def update(self) -> tuple[list[Picture], list[Equation]]:
        operation, training = self.operation, self.run.experiment.training
        tensor = self._tensor()
        if tensor is None:
            return [], []
        shape, units = tensor.parameter.shape, tensor.parameter.shape[-1]
        self.choose(units, tensor.parameter.count // units)
        self.tensor_name = tensor.name
        symbol = self._symbol(tensor)
        self.skipped = operation.label != "averaging" and self._is_skipped()
        if not operation.parts:
            return self._measured(tensor, symbol)
        links = {link.name: link for link in chain(training)}
        needed = [links[part.link].step for part in operation.parts if part.link in links]
        whole = layer_norm = number("‖g‖", math.nan)
        if any(step.uses_norm or step.knows_norm for step in needed):
            whole, layer_norm = self._norm(None), self._norm(tensor.path)
        steps_per_epoch = self.run.steps_per_epoch
        done = self.run.step + 1
        gradient = self.array(tensor.gradient, shape)
        first = self.of_parameter(f"∂L/∂{symbol}", gradient, cell=True)
        old = self.of_parameter(symbol, self.array(tensor.master, shape), cell=True)
        step_picture: Picture | None = None
        equations: list[Equation] = []
        for part in (part for part in operation.parts if part.tensor == tensor.name):
            self.line = self.up_to(part.first_row)
            if self._is_skipped() and part.link != "averaging":
                self.skipped = True
                continue
            if part.link == "weights":
                step_picture = self.of_parameter(f"Δ{symbol}", self.array(tensor.update, shape), cell=True)
            before = self._moment(tensor)
            self.line = self.up_to(part.last_row)
            slide = StepSlide(
                before=before,
                after=self._moment(tensor),
                index=self.entry,
                regularized=tensor.parameter.regularized,
                scalars={name: float(self.arena[at]) for name, at in self.program.scalars.items()},
                begun=self.begun,
                rate=float(self.line[layout.LEARNING_RATE]),
                norm=whole,
                layer_norm=layer_norm,
                live=self.live(self._place(part, links)),
                full=done % steps_per_epoch == 0,
                epoch=done // steps_per_epoch,
            )
            equations += self._worked(part, links, slide)
        self.line = self.up_to(operation.last_row)
        new = self.array(tensor.master, shape)
        if operation.label == "averaging":
            average = self.array(self.program.slots["average"] + tensor.master, shape)
            return [old, replace(self.of_parameter(f"{symbol}\u0304", average, cell=True), result=True)], equations
        if operation.path == "optimizer":
            after = self.of_parameter(f"∂L/∂{symbol}", gradient, cell=True, result=True)
            penalty = any(part.link in links and links[part.link].step.stage == "penalty" for part in operation.parts)
            return [first, *([old] if penalty else []), after], equations
        result = self.of_parameter(_("new {symbol}").format(symbol=symbol), new, cell=True, result=True)
        return [first, old, *([step_picture] if step_picture is not None else []), result], equations

    def _is_skipped(self) -> bool:
        names = self.program.run_columns
        return "skipped" in names and float(self.line[names.index("skipped")]) == 1.0

    def _place(self, part: Part, links: Mapping[str, Any]) -> str:
        """Where in the experiment the link stands."""
        if part.link in ("averaging", "loss_scale"):
            return f"training.{part.link}"
        return links[part.link].place if part.link in links else ""

    def _worked(self, part: Part, links: Mapping[str, Any], slide: StepSlide) -> tuple[Equation, ...]:
        training = self.run.experiment.training
        if part.link in links:
            found: tuple[Equation, ...] = links[part.link].step.worked(slide)
            return found
        if part.link == "averaging" and training.averaging is not None:
            return training.averaging.worked(slide)
        if part.link == "loss_scale" and training.loss_scale is not None:
            return training.loss_scale.worked(slide)
        update = number("Δw", slide.before.update[slide.index])
        return (equation("w", slide.w - update, slide.after.weights[slide.index]),)

    def _measured(self, tensor: Tensor, symbol: str) -> tuple[list[Picture], list[Equation]]:
        """The operations that change nothing: the norm of the gradient, the norms of the updates."""
        self.line = self.up_to(self.operation.last_row)
        shape = tensor.parameter.shape
        if self.operation.symbol == "W":
            return [self.of_parameter(symbol, self.array(tensor.master, shape), cell=True)], []
        measured = "norm.gradient" in self.program.run_columns
        found = float(self.line[self.program.run_columns.index("norm.gradient")]) if measured else math.nan
        picture = self.of_parameter(f"∂L/∂{symbol}", self.array(tensor.gradient, shape), cell=True)
        norm = equation(
            "‖g‖", self._norm(None), None if math.isnan(found) else found, _("over all parameters of the network")
        )
        return [picture], [norm]
