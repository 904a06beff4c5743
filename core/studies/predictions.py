"""Predictions: what the network makes of every point of the plane, of a line, and of samples that it was not shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..evaluation import answering, forward_of
from ..fields import about
from ..losses.base import Loss
from ..text import N_
from .base import Study

if TYPE_CHECKING:
    from ..data.base import Data
    from ..run import Run

Array = NDArray[np.float64]
Part = Literal["training", "validation"]

MARGIN = 0.08  # of the range of the samples, shown around them
ON_A_LINE = 256  # points at which a function of one number is asked
LARGEST = 4_000_000  # numbers of all samples asked at a time
FEWEST = 50  # samples that are asked however large each is
MOST_TARGETS = 8  # values to predict that are kept of a plane
KEPT_MISTAKES = 24


@dataclass(frozen=True)
class Judged:
    """Some samples and what the network says of them.

    of         how many there are; those asked are (n,) of them
    index      (n,) their places among the training or validation samples
    x          (n, inputs) in the unit of the data, where there are one or two inputs; otherwise (n, 0)
    truth      (n,) classes, or (n, targets) values
    said       (n,) classes, -1 where the answer is no number; or (n, targets) values
    certainty  (n,) what was said for the class that was said, see `Predictions.probable`; NaN for values
    loss       (n,) of each sample
    """

    of: int
    index: NDArray[np.int64]
    x: Array
    truth: NDArray[Any]
    said: NDArray[Any]
    certainty: Array
    loss: Array

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(n,) whether another class was said; of values never."""
        return (
            np.asarray(self.truth != self.said) if self.truth.ndim == 1 else np.zeros(len(self.index), dtype=np.bool_)
        )

    def confusion(self, classes: int) -> NDArray[np.int64]:
        """(classes, classes): how many samples of each class (row) were said to be of each class (column); answers
        that are no number are left out.
        """
        answered = self.said >= 0
        pairs = self.truth[answered] * classes + self.said[answered]
        return np.bincount(pairs.astype(np.int64), minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True)
class Mistake:
    """A sample with a large loss, the largest first.

    index      its place among its part's samples
    truth      its class, or its values; said: what the network answers
    picture    (height, width, channels) in the unit of the data; None where samples are no images
    """

    index: int
    truth: int | tuple[float, ...]
    said: int | tuple[float, ...]
    certainty: float
    loss: float
    picture: Array | None


@dataclass(frozen=True)
class Plane:
    """What the network says of the cells of a grid over the plane of two inputs, in the unit of the data.

    said       (rows, columns) classes, -1 where the answer is no number; empty for values
    certainty  (rows, columns); empty for values
    values     (targets, rows, columns); empty for classes
    """

    x_edges: Array
    y_edges: Array
    said: NDArray[np.int64]
    certainty: Array
    values: Array


@dataclass(frozen=True)
class Curve:
    """What it says along a line: x (n,) in the unit of the data; y (n, width) values, or probabilities of classes."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Predictions:
    """The answers of the network that the experiment evaluates.

    shape      of a sample
    classes    names of the classes; empty where values are predicted
    probable   whether certainties are probabilities; otherwise they are outputs
    averaged   whether averaged weights answer; networks: how many answer together
    mistakes   the worst of validation samples, or of training samples where there are no others: `part`
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    probable: bool
    averaged: bool
    networks: int
    plane: Plane | None
    curve: Curve | None
    training: Judged
    validation: Judged | None
    part: Part
    mistakes: tuple[Mistake, ...]

    @property
    def judged(self) -> Judged:
        """The samples of `part`."""
        return self.validation if self.validation is not None else self.training


@Study.registry.add("predictions")
class PredictionsStudy(Study, frozen=True, kw_only=True, tag="predictions"):
    """What the network answers, over its whole world where that has one or two dimensions, and for real samples."""

    label: ClassVar[str] = N_("Predictions")

    resolution: Annotated[
        int, about(N_("resolution"), N_("Cells of the plane in each direction."), minimum=8, maximum=400)
    ] = 64
    samples: Annotated[
        int,
        about(N_("samples"), N_("Training and validation samples that are asked, each at most."), minimum=1),
    ] = 2000

    def answer(self, run: Run) -> Predictions:
        data = run.data
        chosen = [_chosen(len(x), self.samples, x) for x in (data.x_train, data.x_validation)]
        edges = _edges(data, self.resolution)

        def samples() -> Array:
            parts = [x[index] for x, index in zip((data.x_train, data.x_validation), chosen, strict=True)]
            return np.concatenate([*parts, *_between(data, edges)])

        networks = answering(run)
        said = forward_of(run, self, samples).predictions(networks.parameters)
        first, second = len(chosen[0]), len(chosen[0]) + len(chosen[1])
        training = _judged(run, data.x_train, data.y_train, data.t_train, chosen[0], said[:first])
        validation = None
        if len(chosen[1]):
            validation = _judged(
                run, data.x_validation, data.y_validation, data.t_validation, chosen[1], said[first:second]
            )
        judged, x = (training, data.x_train) if validation is None else (validation, data.x_validation)
        return Predictions(
            shape=data.shape,
            classes=data.classes,
            probable=type(run.experiment.loss).predict is not Loss.predict,
            averaged=networks.averaged,
            networks=len(networks.parameters),
            plane=_plane(data, edges, said[second:]) if len(edges) == 2 else None,
            curve=Curve(_middles(edges[0]), said[second:]) if len(edges) == 1 else None,
            training=training,
            validation=validation,
            part="training" if validation is None else "validation",
            mistakes=_worst(data, judged, x),
        )


def _chosen(count: int, most: int, x: Array) -> NDArray[np.int64]:
    """Which samples are asked: all, or so many from everywhere."""
    most = min(most, max(FEWEST, LARGEST // max(1, int(np.prod(x.shape[1:])))))
    if count <= most:
        return np.arange(count)
    return (np.arange(most) * count // most).astype(np.int64)


def _edges(data: Data, resolution: int) -> tuple[Array, ...]:
    """Edges of the cells along every input, in the unit of the data; none for more than two inputs."""
    if len(data.shape) != 1 or data.shape[0] > 2:
        return ()
    raw = data.scale.undo(np.concatenate([data.x_train, data.x_validation]))
    cells = resolution if data.shape[0] == 2 else ON_A_LINE
    found = []
    for column in raw.T:
        low, high = float(column.min()), float(column.max())
        room = MARGIN * (high - low) or 0.5
        found.append(np.linspace(low - room, high + room, cells + 1))
    return tuple(found)


def _middles(edges: Array) -> Array:
    return 0.5 * (edges[1:] + edges[:-1])


def _between(data: Data, edges: Sequence[Array]) -> list[Array]:
    """The middles of all cells as the network sees them."""
    if not edges:
        return []
    grid = np.meshgrid(*(_middles(e) for e in edges))
    return [data.scale.apply(np.column_stack([part.ravel() for part in grid]))]


def _said(classes: int, answers: Array) -> tuple[NDArray[np.int64], Array]:
    """(class, certainty) of answers (n, width); class -1 where one of them is no number."""
    sane = ~np.isnan(answers).any(axis=1)
    if answers.shape[1] == 1 and classes == 2:
        said = (answers[:, 0] > 0.5).astype(np.int64)
        certainty = np.where(said == 1, answers[:, 0], 1.0 - answers[:, 0])
    else:
        said = answers.argmax(axis=1)
        certainty = answers[np.arange(len(answers)), said]
    return np.where(sane, said, -1), np.where(sane, certainty, np.nan)


def _plane(data: Data, edges: Sequence[Array], answers: Array) -> Plane:
    shape = len(edges[1]) - 1, len(edges[0]) - 1
    if data.classes:
        said, certainty = _said(len(data.classes), answers)
        return Plane(edges[0], edges[1], said.reshape(shape), certainty.reshape(shape), np.empty((0, *shape)))
    values = answers[:, :MOST_TARGETS].T.reshape(-1, *shape)
    return Plane(edges[0], edges[1], np.empty(0, dtype=np.int64), np.empty(0), values)


def _judged(run: Run, x: Array, y: Array, t: Array, index: NDArray[np.int64], answers: Array) -> Judged:
    data = run.data
    encoded = run.experiment.loss.encode(t[index], run.program.outputs.shape)
    with np.errstate(all="ignore"):  # answers that are no numbers have a loss that is none
        loss = run.experiment.loss.of_each(answers, encoded)
    shown = data.scale.undo(x[index]) if len(data.shape) == 1 and data.shape[0] <= 2 else np.empty((len(index), 0))
    if data.classes:
        said, certainty = _said(len(data.classes), answers)
        return Judged(len(x), index, shown, y[index], said, certainty, loss)
    return Judged(len(x), index, shown, t[index], answers, np.full(len(index), np.nan), loss)


def _worst(data: Data, judged: Judged, x: Array) -> tuple[Mistake, ...]:
    """The samples with the largest loss, of classes only those that are mistaken for another one; no number is worse
    than any.
    """
    places = np.flatnonzero(judged.wrong) if data.classes else np.arange(len(judged.index))
    loss = np.where(np.isnan(judged.loss), np.inf, judged.loss)
    worst = places[np.argsort(-loss[places], kind="stable")][:KEPT_MISTAKES]
    pictures = data.scale.undo(x[judged.index[worst]]) if len(data.shape) == 3 else None
    found = []
    for number, at in enumerate(worst):
        truth, said = (
            (int(judged.truth[at]), int(judged.said[at]))
            if data.classes
            else (tuple(map(float, judged.truth[at])), tuple(map(float, judged.said[at])))
        )
        found.append(
            Mistake(
                int(judged.index[at]),
                truth,
                said,
                float(judged.certainty[at]),
                float(judged.loss[at]),
                None if pictures is None else pictures[number],
            )
        )
    return tuple(found)
