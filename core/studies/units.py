"""Units: what single units answer to, as small pictures over the plane, of their weights, or for one image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..evaluation import answering, forward_of
from ..fields import about
from ..text import N_
from .base import Study

if TYPE_CHECKING:
    from ..engine.program import LayerColumns, Program
    from ..run import Run

Array = NDArray[np.float64]
Show = Literal["auto", "outputs", "weights", "sample"]

MARGIN = 0.08  # of the range of the samples, shown around them
MOST_ROWS = 8  # layers of which units are shown together
FEW = 12  # units of each of them
ON_A_LINE = 128  # points at which a function of one number is asked


@dataclass(frozen=True)
class Row:
    """Some units of one layer.

    path    of the layer whose output or weights these are; kind: its kind
    weighted   path of the layer with weights that it belongs to
    of      how many units the layer has; index: (n,) which of them are shown
    maps    (n, rows, columns, channels): outputs, or weights; NaN where a number is none
    norms   (n,) length of the weights; root mean square of outputs
    exact   whether norms are those of the weights themselves, and not of what they are computed from
    """

    path: str
    kind: str
    weighted: str
    of: int
    index: NDArray[np.int64]
    maps: Array
    norms: Array
    exact: bool = True


@dataclass(frozen=True)
class Units:
    """What was found.

    show     "plane", "line": outputs over all inputs; "weights"; "sample": outputs for one image
    rows     by layer, from data to loss
    shape    of a sample
    ranges   (low, high) of every input, in the unit of the data, where `show` is "plane" or "line"
    picture  (height, width, channels) the image that was shown to the network, in the unit of the data
    sample   its place among the validation samples (of the training samples where there are none)
    truth    name of its class, "" for values
    averaged whether the averaged weights answer; of an ensemble it is the first network
    """

    show: Literal["plane", "line", "weights", "sample"]
    rows: tuple[Row, ...]
    shape: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...] = ()
    picture: Array | None = None
    sample: int = 0
    truth: str = ""
    averaged: bool = False


@Study.registry.add("units")
class UnitsStudy(Study, frozen=True, kw_only=True, tag="units"):
    """What single units answer to."""

    label: ClassVar[str] = N_("Units")

    show: Annotated[
        Show,
        about(
            N_("view"),
            N_(
                "outputs: of each unit for all inputs, where there are one or two; weights: of the first layer with "
                "weights; sample: outputs for one image; auto: the first of these that there is."
            ),
        ),
    ] = "auto"
    layer: Annotated[str, about(N_("layer"), N_("Path of one layer; empty: some units of every layer."))] = ""
    sample: Annotated[int, about(N_("sample"), N_("Which image is shown to the network."), minimum=0)] = 0
    resolution: Annotated[
        int, about(N_("resolution"), N_("Cells of a map in each direction."), minimum=8, maximum=200)
    ] = 32
    most: Annotated[int, about(N_("units"), N_("How many units of one layer are shown at most."), minimum=1)] = 64

    def answer(self, run: Run) -> Units | None:
        shape = run.data.shape
        show = self.show
        if show == "auto":
            show = "outputs" if len(shape) == 1 and shape[0] <= 2 else "weights"
            if show == "weights" and (self.layer or not self._sees_inputs(run)) and len(shape) == 3:
                show = "sample"
        if show == "outputs":
            return self._outputs(run) if len(shape) == 1 and shape[0] <= 2 else None
        if show == "weights":
            return self._weights(run)
        return self._for_sample(run) if len(shape) == 3 else None

    def _outputs(self, run: Run) -> Units:
        """The outputs of units over the plane, or along the line, of all inputs."""
        data = run.data
        raw = data.scale.undo(np.concatenate([data.x_train, data.x_validation]))
        ranges = tuple(_around(column) for column in raw.T)
        cells = (self.resolution, self.resolution) if len(ranges) == 2 else (ON_A_LINE,)

        def samples() -> Array:
            ends = [np.linspace(low, high, n + 1) for (low, high), n in zip(ranges, cells, strict=True)]
            middles = [0.5 * (edges[1:] + edges[:-1]) for edges in ends]
            return data.scale.apply(np.column_stack([part.ravel() for part in np.meshgrid(*middles)]))

        forward = forward_of(run, ("units", self.resolution), samples)
        networks = answering(run)
        layers = _chosen(forward.evaluator.machine.program, self.layer, lambda _layer: True)
        values = forward.values(networks.parameters[0], [layer.wire for layer, _weighted in layers])
        high, wide = cells if len(cells) == 2 else (1, cells[0])
        rows = []
        for (layer, weighted), found in zip(layers, values, strict=True):
            index = self._which(layer.wire.width, len(layers))
            maps = found[:, index].T.reshape(len(index), high, wide, 1)
            rows.append(Row(layer.path, layer.kind, weighted, layer.wire.width, index, maps, _rms(maps)))
        show: Literal["plane", "line"] = "plane" if len(ranges) == 2 else "line"
        return Units(show, tuple(rows), data.shape, ranges, averaged=networks.averaged)

    def _weights(self, run: Run) -> Units | None:
        """The weights of the first layer that has any, each unit's in the shape of what it looks at."""
        found = _first_weighted(run.program)
        if found is None or found.weight is None:
            return None
        networks = answering(run)
        tensor = found.weight
        parameter = tensor.parameter
        flat = networks.parameters[0][tensor.master : tensor.master + parameter.count].astype(np.float64)
        units = parameter.shape[-1]
        weights = flat.reshape(-1, units).T
        given = found.given.shape
        if len(parameter.shape) == 4:  # kernel: rows, columns, channels, filters
            shape: tuple[int, ...] = parameter.shape[:3]
        else:
            shape = given if len(given) == 3 else (1, weights.shape[1], 1)
        index = self._which(units, 1)
        with np.errstate(all="ignore"):
            norms = np.sqrt(np.square(weights[index]).sum(axis=1))
        row = Row(
            found.path,
            found.kind,
            found.path,
            units,
            index,
            weights[index].reshape(len(index), *shape),
            norms,
            parameter.name == "weight",
        )
        return Units("weights", (row,), run.data.shape, averaged=networks.averaged)

    def _for_sample(self, run: Run) -> Units | None:
        """The outputs of all layers that put out images, for one image."""
        data = run.data
        x, y = (data.x_validation, data.y_validation) if len(data.x_validation) else (data.x_train, data.y_train)
        at = self.sample % len(x)
        forward = forward_of(run, ("sample", at), lambda: x[at : at + 1])
        networks = answering(run)
        layers = _chosen(forward.evaluator.machine.program, self.layer, lambda layer: len(layer.wire.shape) == 3)
        values = forward.values(networks.parameters[0], [layer.wire for layer, _weighted in layers])
        rows = []
        for (layer, weighted), found in zip(layers, values, strict=True):
            channels = layer.wire.shape[-1]
            index = self._which(channels, len(layers))
            maps = np.moveaxis(found.reshape(layer.wire.shape), -1, 0)[index][..., np.newaxis]
            rows.append(Row(layer.path, layer.kind, weighted, channels, index, maps, _rms(maps)))
        picture = data.scale.undo(x[at : at + 1])[0]
        truth = data.classes[int(y[at])] if data.classes else ""
        return Units("sample", tuple(rows), data.shape, (), picture, at, truth, networks.averaged)

    def _which(self, units: int, layers: int) -> NDArray[np.int64]:
        """Which units of a layer are shown; only the first few where several layers are."""
        return np.arange(min(units, self.most if layers == 1 else min(self.most, FEW)))

    def _sees_inputs(self, run: Run) -> bool:
        """Whether weights look at the inputs themselves."""
        found = _first_weighted(run.program)
        return found is not None and found.given.shape == run.data.shape


def _around(values: Array) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = MARGIN * (high - low) or 0.5
    return low - room, high + room


def _rms(maps: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.sqrt(np.square(maps.reshape(len(maps), -1)).mean(axis=1)))


def _first_weighted(program: Program) -> LayerColumns | None:
    """The first layer with a matrix of weights that lies on the way from the data."""
    return next((layer for layer in program.layers if layer.weight is not None), None)


def _chosen(program: Program, path: str, fits: Callable[[LayerColumns], bool]) -> list[tuple[LayerColumns, str]]:
    """Layers whose outputs are shown, each with the path of the layer with weights that it belongs to.

    The one at `path`; otherwise one for every layer with weights, behind the activation function that follows, from the
    whole depth at most `MOST_ROWS`.
    """
    groups: list[list[LayerColumns]] = []
    for layer in program.layers:
        if layer.weight is not None or not groups:
            groups.append([])
        groups[-1].append(layer)
    if path:
        return [(layer, group[0].path) for group in groups for layer in group if layer.path == path and fits(layer)]
    shown = []
    for group in groups:
        fitting = [layer for layer in group if fits(layer)]
        functions = [layer for layer in fitting if layer.kind == "activation"]
        if fitting:
            shown.append(((functions or fitting)[-1], group[0].path))
    if len(shown) > MOST_ROWS:
        shown = [shown[i] for i in np.unique(np.linspace(0, len(shown) - 1, MOST_ROWS).round().astype(int))]
    return shown
