"""What the kinds that read a file share: where the file is, how much of it is read, and what is known of it already."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar

from ..errors import InputError
from ..text import _

Result = TypeVar("Result")

MOST_NUMBERS = 64 * 1024**2  # samples times inputs, 512 MB as float64; all of MNIST's training part is 47 million
MOST_CLASSES = 1000
ALL = 0  # how many samples are used, where it means: all there are


def located(path: str, folder: Path | None, place: str) -> Path:
    """The absolute path of a data file.

    path     as the person wrote it; relative to `folder`, or to the working folder where there is none
    folder   of the experiment file
    place    the field that holds the path, for the InputError when it is empty or there is no such file
    """
    if not path.strip():
        raise InputError(_("no file is chosen yet; choose one"), place)
    try:
        found = (Path(folder or ".") / Path(path).expanduser()).resolve()
        there = found.exists()
        if there and not found.is_file():
            raise InputError(_("is not a file; check the path"), place, path)
    except (OSError, ValueError, RuntimeError) as error:  # zero bytes, unknown home folders, links in circles
        reason = getattr(error, "strerror", None) or error
        raise InputError(_("cannot be read: {reason}; check the path").format(reason=reason), place, path) from None
    if not there:
        where = str(found.parent) if folder is not None and not Path(path).is_absolute() else ""
        looked = _(" (looked in {folder})").format(folder=where) if where else ""
        raise InputError(_("does not exist{looked}; check the path").format(looked=looked), place, path)
    return found


def limit_numbers(samples: int, inputs: int, way_out: str) -> None:
    """Refuse data that would take too much memory, before it is read.

    way_out   what to do about it, the end of the sentence
    """
    if samples * inputs > MOST_NUMBERS:
        raise InputError(
            _("{samples:,} samples of {inputs:,} inputs are {count:,} numbers, more than {most:,}; {way_out}").format(
                samples=samples, inputs=inputs, count=samples * inputs, most=MOST_NUMBERS, way_out=way_out
            )
        )


class Remembered:
    """What was found out about files, until they change.

    A window asks for the shape of the data at every edit, and a file with a million rows is not read every time. Known
    results are kept by path, time of the last change, size and settings; a complaint is a result too.

    most         how many results are kept
    most_bytes   of all results together; the oldest are forgotten first
    """

    def __init__(self, most: int, most_bytes: int = 0):
        self.most, self.most_bytes = most, most_bytes
        self._kept: OrderedDict[Hashable, tuple[Any, InputError | None, int]] = OrderedDict()
        self._lock = threading.Lock()  # the window and the thread that trains both ask

    def get(
        self,
        paths: tuple[Path, ...],
        settings: Hashable,
        make: Callable[[], Result],
        weigh: Callable[[Result], int] | None = None,
    ) -> Result:
        """What `make` returns or raises (an InputError), made only if the files or the settings are new.

        weigh   bytes that a result takes in memory
        """
        try:
            stamps = [(str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths]
        except OSError:
            return make()  # it will say what is wrong
        key = (*stamps, settings)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                result, complaint, _weight = self._kept[key]
                if complaint is not None:
                    raise InputError(complaint.problem, complaint.place, complaint.file)
                return result  # type: ignore[no-any-return]
        try:
            made = make()
        except InputError as error:
            self._keep(key, None, error, 0)
            raise
        self._keep(key, made, None, weigh(made) if weigh is not None else 0)
        return made

    def _keep(self, key: Hashable, result: Any, complaint: InputError | None, weight: int) -> None:
        if self.most_bytes and weight > self.most_bytes:
            return
        with self._lock:
            self._kept[key] = result, complaint, weight
            while len(self._kept) > self.most or (
                self.most_bytes and sum(kept[2] for kept in self._kept.values()) > self.most_bytes
            ):
                self._kept.popitem(last=False)

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


def class_names(values: Any) -> tuple[str, ...]:
    """Names of classes from their sorted different values: 3.0 is "3", as a person would write it."""
    names = []
    for value in values.tolist():
        is_whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
        text = str(int(value)) if is_whole or isinstance(value, bool) else str(value)
        names.append(text or "-")
    return tuple(names)


def check_classes(count: int, place: str = "") -> None:
    """Refuse targets that are no classes to tell apart."""
    if count > MOST_CLASSES:
        raise InputError(
            _("{count:,} different classes are more than {most:,}; choose another target, or regression").format(
                count=count, most=MOST_CLASSES
            ),
            place,
        )
    if count < 2:
        raise InputError(_("all samples are of one class; choose another target, or regression"), place)
