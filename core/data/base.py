"""A data set hands out samples and targets; how it is scaled and split is the same for all kinds."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..errors import InputError
from ..fields import Kind, about, describe
from ..registry import Registry
from ..text import N_
from .scaling import SCALINGS, Fitted


class Outline(msgspec.Struct, frozen=True):
    """What a network has to fit to, known before any sample is made or read.

    shape    of one sample
    targets  numbers that the network must put out for one sample: one per class, or the values to predict
    classes  names of the classes; empty where values are to be predicted (regression)
    """

    shape: tuple[int, ...]
    targets: int
    classes: tuple[str, ...] = ()

    @property
    def is_regression(self) -> bool:
        return not self.classes


class Samples(msgspec.Struct, frozen=True):
    """What a data set holds, before scaling and splitting.

    x        (samples, *shape) float64, or the type of the file where that takes less memory
    y        (samples,) int64: the class of every sample; for regression (samples, targets) float64: the values
    classes  names of the classes, marked for translation where they are words; empty for regression
    gaps     whether NaN in x stands for a missing value, to be filled with the mean over the training samples
    """

    x: NDArray[Any]
    y: NDArray[Any]
    classes: tuple[str, ...]
    gaps: bool = False


class Data(msgspec.Struct, frozen=True):
    """A data set ready to train on: scaled, split, in the order of the split.

    x_train, x_validation, x_test    (samples, *shape) float64
    y_train, y_validation, y_test    (samples,) int64 classes, those of the training samples with label noise; for
                                     regression the same as t
    t_train, t_validation, t_test    (samples, targets) float64: one-hot, or the values to predict
    classes                          names of the classes, marked for translation where they are words; empty for
                                     regression
    scale                            what was done to the inputs; `scale.undo(x)` gives them back for pictures and axes
    """

    x_train: NDArray[np.float64]
    y_train: NDArray[Any]
    t_train: NDArray[np.float64]
    x_validation: NDArray[np.float64]
    y_validation: NDArray[Any]
    t_validation: NDArray[np.float64]
    x_test: NDArray[np.float64]
    y_test: NDArray[Any]
    t_test: NDArray[np.float64]
    classes: tuple[str, ...]
    scale: Fitted

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.x_train.shape[1:])

    @property
    def targets(self) -> int:
        """Numbers that the network must put out for one sample."""
        return int(self.t_train.shape[1])

    @property
    def outline(self) -> Outline:
        return Outline(self.shape, self.targets, self.classes)


class DataSet(Kind, frozen=True, kw_only=True):
    """Where the samples come from.

    A kind's own InputErrors (from `collect` and `outline`) name a place inside the data set, such as "noise".
    """

    registry: ClassVar[Registry[type[DataSet]]] = Registry(N_("data set"), "layerscope.core.data")

    scaling: Annotated[
        str,
        about(
            N_("scaling"),
            N_("Brings the inputs into a range that suits training; measured on the training samples only."),
            choices=SCALINGS,
        ),
    ] = "standardize"
    validation: Annotated[
        float,
        about(
            N_("validation share"),
            N_("Share of the samples kept aside to check the network while it trains."),
            minimum=0.0,
            maximum=0.9,
        ),
    ] = 0.2
    test: Annotated[
        float,
        about(N_("test share"), N_("Share of the samples kept aside to the very end."), minimum=0.0, maximum=0.9),
    ] = 0.0
    label_noise: Annotated[
        float,
        about(
            N_("label noise"),
            N_(
                "Share of the training samples whose class is replaced by a random other one; values to predict get "
                "normal noise of that share of their standard deviation."
            ),
            minimum=0.0,
            maximum=1.0,
        ),
    ] = 0.0

    def collect(self, seed: int, folder: Path | None) -> Samples:
        """All samples. Toys draw them from the seed, files are read relative to `folder`.

        InputError when they cannot be had.
        """
        raise NotImplementedError

    def outline(self, folder: Path | None = None) -> Outline:
        """What a network has to fit to, without making or reading the samples where that is possible.

        folder   where relative paths of files start, see `load`
        """
        raise NotImplementedError

    def moved(self, old: Path | None, new: Path) -> DataSet:
        """The same data set for an experiment file that stands in the folder `new` instead of `old` (None: nowhere yet,
        where paths start at the working folder): relative paths of its files point to where they did.
        """
        changed = {}
        for field in describe(type(self)):
            path = getattr(self, field.name)
            if field.files and path and not Path(path).expanduser().is_absolute():
                here = os.path.abspath(Path(old or ".") / path)
                with contextlib.suppress(ValueError):  # another drive: the path stays
                    changed[field.name] = Path(os.path.relpath(here, os.path.abspath(new))).as_posix()
        return msgspec.structs.replace(self, **changed) if changed else self

    def load(self, seed: int, folder: Path | None = None) -> Data:
        """The samples, with label noise, split and scaled; the same seed gives the same bits.

        folder   where relative paths of files start: the folder of the experiment file

        An InputError names the place in the experiment: "data.validation".
        """
        from .splits import prepare

        try:
            return prepare(self, self.collect(seed, folder), seed)
        except InputError as error:
            raise error.inside("data") from None


class Toy(DataSet, frozen=True, kw_only=True):
    """Points in the plane, drawn from a formula: one can see the whole problem, and what the network makes of it.

    All toys lie within about one unit around the origin, so the same noise means the same blur in all of them. Where on
    its curve a sample lies depends on the seed and its number only: more samples add to those that were there, and more
    noise pushes the same points further in the same direction.
    """

    samples: Annotated[
        int,
        about(
            N_("samples"),
            N_("Points in all, shared evenly among the classes."),
            unit=N_("samples"),
            minimum=10,
            maximum=100_000,
            scale="log",
        ),
    ] = 400
    noise: Annotated[
        float,
        about(
            N_("noise"),
            N_("Standard deviation of the normal noise on both coordinates; the whole picture is about 2 wide."),
            minimum=0.0,
            maximum=2.0,
        ),
    ] = 0.1

    def names(self) -> tuple[str, ...]:
        """Names of the classes, marked for translation where they are words."""
        raise NotImplementedError

    def ideal(self, number: NDArray[np.int64], y: NDArray[np.int64], u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (samples, 2) without noise.

        number   (samples,) number of each sample among those of its class
        y        (samples,) its class
        u        (samples,) uniform draw between 0 and 1: where on the curve it lies
        """
        raise NotImplementedError

    def outline(self, folder: Path | None = None) -> Outline:
        return Outline((2,), len(self.names()), self.names())

    def collect(self, seed: int, folder: Path | None) -> Samples:
        classes = len(self.names())
        numbers = np.arange(self.samples, dtype=np.int64)
        y = numbers % classes
        u = random.uniform(random.key(seed, "data", "place"), self.samples)
        blur = random.normal(random.key(seed, "data", "noise"), 2 * self.samples).reshape(-1, 2)
        return Samples(plain(self.ideal(numbers // classes, y, u) + self.noise * blur), y, self.names())


def plain(array: Any) -> NDArray[np.float64]:
    """A contiguous float64 array."""
    return np.ascontiguousarray(array, dtype=np.float64)
