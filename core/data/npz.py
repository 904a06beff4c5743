"""NPZ: arrays as NumPy saves them, the shortest way from a script of one's own into the program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..archive import Header, describe, npy_array, npy_header, opened
from ..errors import InputError
from ..fields import about
from ..text import N_, _
from .base import DataSet, Outline, Samples, plain
from .files import Remembered, check_classes, class_names, limit_numbers, located

LONGEST_PATH = 4096
MOST_TARGETS = 1000

_outlines = Remembered(32)


@DataSet.registry.add("npz")
class Npz(DataSet, frozen=True, kw_only=True, tag="npz"):
    """Two arrays of a file made with numpy.savez: the inputs, one sample a row, and what belongs to each of them.

    x is (samples, features), images (samples, height, width) or (samples, height, width, channels). y is (samples,):
    whole numbers, truth values or texts are classes, other numbers are values to predict; (samples, targets) are
    several values, or classes one-hot. Two .npy files do as well: path is that of the inputs, y that of the other.
    """

    label: ClassVar[str] = N_("NumPy arrays")
    path: Annotated[
        str,
        about(
            N_("file"),
            N_("File made with numpy.savez; a relative path starts at the experiment file."),
            length=(0, LONGEST_PATH),
            files=("*.npz", "*.npy"),
        ),
    ] = ""
    x: Annotated[str, about(N_("inputs"), N_("Name of the array of inputs in the file."), length=(0, LONGEST_PATH))] = (
        "x"
    )
    y: Annotated[
        str,
        about(
            N_("targets"),
            N_("Name of the array of classes or values to predict in the file."),
            length=(0, LONGEST_PATH),
        ),
    ] = "y"
    task: Annotated[
        Literal["auto", "classification", "regression"],
        about(
            N_("task"), N_("Whether y is classes or values to predict; auto: classes if it is whole numbers or texts.")
        ),
    ] = "auto"

    def outline(self, folder: Path | None = None) -> Outline:
        paths = self._paths(folder)
        settings = (self.path, self.x, self.y, self.task)
        return _outlines.get(paths, settings, lambda: self._read(paths, inputs=False)[0])

    def collect(self, seed: int, folder: Path | None) -> Samples:
        paths = self._paths(folder)
        outline, x, y = self._read(paths, inputs=True)
        return Samples(x, y, outline.classes)

    def _paths(self, folder: Path | None) -> tuple[Path, ...]:
        path = located(self.path, folder, "path")
        if path.suffix.lower() != ".npy":
            return (path,)
        if not self.y.lower().endswith(".npy"):
            raise InputError(
                _("a .npy file holds one array; set y to the .npy file with what belongs to each sample"),
                "y",
                self.path,
            )
        return path, located(self.y, folder, "y")

    def _read(self, paths: tuple[Path, ...], inputs: bool) -> tuple[Outline, NDArray[Any], NDArray[Any]]:
        """(outline, x, y); x is empty unless `inputs` are wanted, which takes the longest."""
        nothing = np.empty(0)
        if len(paths) == 2:
            with self._about("path", self.path):
                head = npy_header(paths[0])
            with self._about("y", self.y):
                targets = npy_header(paths[1])
            shape = self._shape(head, targets)
            with self._about("y", self.y):
                y, classes = self._targets(npy_array(paths[1]))
            with self._about("path", self.path):
                x = npy_array(paths[0]) if inputs else nothing
        else:
            with self._about("path", self.path), opened(paths[0]) as archive:
                head, targets = archive.header(self.x, "x"), archive.header(self.y, "y")
                shape = self._shape(head, targets)
                y, classes = self._targets(archive.array(self.y))
                x = archive.array(self.x) if inputs else nothing
        outline = Outline(shape, len(classes) or y.shape[1], classes)
        return outline, x.reshape(-1, *shape) if inputs else x, y

    @contextmanager
    def _about(self, place: str, file: str) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise InputError(error.problem, error.place or place, file) from None

    def _shape(self, x: Header, y: Header) -> tuple[int, ...]:
        """The shape of one sample; an InputError unless the two arrays belong together."""
        if x.is_text:
            raise InputError(_("x holds texts; a network takes numbers: save numbers in their place"), "x")
        if not 1 <= len(x.shape) <= 4 or not x.count:
            raise InputError(
                _(
                    "x is {shape}; it must be (samples, features), (samples, height, width) or (samples, height, "
                    "width, channels)"
                ).format(shape=describe(x.shape)),
                "x",
            )
        count, *shape = x.shape
        if not 1 <= len(y.shape) <= 2 or y.shape[0] != count or not y.count:
            raise InputError(
                _("y is {targets} and x is {inputs}; y must have one row for each of the {count:,} samples").format(
                    targets=describe(y.shape), inputs=describe(x.shape), count=count
                ),
                "y",
            )
        limit_numbers(count, math.prod(shape), _("save fewer samples or smaller ones"))
        if len(shape) == 2:
            return (*shape, 1)
        return tuple(shape) or (1,)

    def _targets(self, y: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
        """(int64 (samples,), names of the classes) or (float64 (samples, targets), ())."""
        table = y.reshape(len(y), -1)
        is_text, is_whole = table.dtype.kind == "U", table.dtype.kind in "iub"
        one_hot = table.shape[1] > 1 and not is_text and _is_one_hot(table)
        if self.task == "regression" or (
            self.task == "auto" and not (is_text or one_hot or (is_whole and table.shape[1] == 1))
        ):
            if is_text:
                raise InputError(_("y holds texts, which are classes; choose classification"), "task")
            if table.shape[1] > MOST_TARGETS:
                raise InputError(
                    _("y has {count:,} values to predict for each sample, more than {most:,}").format(
                        count=table.shape[1], most=MOST_TARGETS
                    ),
                    "y",
                )
            return plain(table), ()
        if one_hot:
            names = class_names(np.arange(table.shape[1]))
            check_classes(len(names), "y")
            return table.argmax(axis=1).astype(np.int64), names
        if table.shape[1] > 1:
            raise InputError(
                _("y is {shape} and not one-hot; for classes it must be one number for each sample").format(
                    shape=describe(y.shape)
                ),
                "y",
            )
        column = table[:, 0]
        if column.dtype.kind == "f" and not np.isfinite(column).all():
            raise InputError(_("y holds numbers that are not finite (NaN or infinity); remove those samples"), "y")
        values, numbers = np.unique(column, return_inverse=True)
        names = class_names(values)
        check_classes(len(names), "y")
        return numbers.reshape(-1).astype(np.int64), names


def _is_one_hot(table: NDArray[Any]) -> bool:
    """Whether every row holds a single 1 and zeros otherwise."""
    return bool(((table == 0) | (table == 1)).all() and (table.sum(axis=1) == 1).all())
