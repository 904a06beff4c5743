"""IDX: the format in which MNIST and its relatives are handed out, two files of bytes, packed (.gz) or not."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..archive import CHUNK, LARGEST_CONTENT, describe, reading
from ..errors import InputError
from ..fields import about
from ..text import N_, _
from .base import DataSet, Outline, Samples
from .files import ALL, Remembered, check_classes, class_names, limit_numbers, located

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 4
PACKED = b"\x1f\x8b"
LONGEST_PATH = 4096

_outlines = Remembered(32)


class Head(msgspec.Struct, frozen=True):
    """The start of an IDX file: two zero bytes, the type, the number of dimensions, and each of them in four bytes."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def start(self) -> int:
        """Bytes in front of the numbers."""
        return 4 + 4 * len(self.shape)

    def bytes(self, count: int) -> int:
        """Bytes of the first `count` items."""
        return count * math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize


@DataSet.registry.add("idx")
class Idx(DataSet, frozen=True, kw_only=True, tag="idx"):
    """Images and their classes in MNIST's format: images (height, width, 1) with values 0 to 255, packed (.gz) or not.

    The classes are all that occur among the labels of the whole file, whatever part of it is used.
    """

    label: ClassVar[str] = N_("Images in MNIST's format")
    images: Annotated[
        str,
        about(
            N_("images"),
            N_("File of images, such as train-images-idx3-ubyte.gz; a relative path starts at the experiment file."),
            length=(0, LONGEST_PATH),
            files=("*ubyte*", "*.idx*", "*.gz"),
        ),
    ] = ""
    labels: Annotated[
        str,
        about(
            N_("labels"),
            N_("File of their classes, such as train-labels-idx1-ubyte.gz."),
            length=(0, LONGEST_PATH),
            files=("*ubyte*", "*.idx*", "*.gz"),
        ),
    ] = ""
    most: Annotated[
        int,
        about(
            N_("samples"),
            N_("Use only so many samples, from the beginning of the files; 0 means all of them."),
            unit=N_("samples"),
            minimum=0,
            maximum=100_000_000,
        ),
    ] = ALL

    def outline(self, folder: Path | None = None) -> Outline:
        images, labels = self._paths(folder)
        return _outlines.get(
            (images, labels), (self.images, self.labels, self.most), lambda: self._outline(images, labels)
        )

    def collect(self, seed: int, folder: Path | None) -> Samples:
        images, labels = self._paths(folder)
        self.outline(folder)  # every check that needs no pixel
        y, names = self._classes(labels)
        with _about(self.images, "images"):
            x = read(images, self._used(len(y)))
        shape = x.shape if x.ndim != 3 else (*x.shape, 1)
        return Samples(x.reshape(shape), y[: len(x)], names)

    def _paths(self, folder: Path | None) -> tuple[Path, Path]:
        return located(self.images, folder, "images"), located(self.labels, folder, "labels")

    def _used(self, count: int) -> int:
        return min(count, self.most) if self.most != ALL else count

    def _outline(self, images: Path, labels: Path) -> Outline:
        with _about(self.images, "images"):
            head = read_head(images)
            if len(head.shape) < 2:
                raise InputError(_("holds labels, not images; are the two files swapped?"))
            count, *shape = head.shape
            limit_numbers(
                self._used(count), math.prod(shape), _("use fewer samples (the field most, or --set data.most=10000)")
            )
            if not math.prod(head.shape):
                raise InputError(_("holds no images ({shape}); choose another file").format(shape=describe(head.shape)))
        y, names = self._classes(labels)
        if len(y) != count:
            raise InputError(
                _("has {labels:,} labels for {images:,} images; choose the two files that belong together").format(
                    labels=len(y), images=count
                ),
                "labels",
                self.labels,
            )
        return Outline((*shape, 1) if len(shape) == 2 else tuple(shape), len(names), names)

    def _classes(self, labels: Path) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """(classes (n,) of all samples, their names)."""
        with _about(self.labels, "labels"):
            head = read_head(labels)
            if len(head.shape) != 1:
                raise InputError(_("holds images, not labels; are the two files swapped?"))
            if "f" in head.dtype:
                raise InputError(_("holds labels that are not whole numbers; choose another file"))
            limit_numbers(head.shape[0], 1, _("use a smaller part of the file"))
            values, y = np.unique(read(labels), return_inverse=True)
            names = class_names(values)
            check_classes(len(names))
            return y.reshape(-1).astype(np.int64), names


@contextmanager
def _about(file: str, place: str) -> Iterator[None]:
    """Complaints are about this file, in this field."""
    try:
        yield
    except InputError as error:
        raise InputError(error.problem, place, file) from None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """The file's content, unpacked while it is read; whether it is packed is seen from its first bytes."""
    with reading(path), path.open("rb") as file:
        packed = file.read(2) == PACKED
        file.seek(0)
        try:
            if packed:
                with gzip.GzipFile(fileobj=file) as stream:
                    yield stream
            else:
                yield file
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(_("is cut off or damaged ({reason}); get it again").format(reason=error)) from None


def read_head(path: Path) -> Head:
    """What an IDX file says of itself; for a file that is not packed, compared with its size."""
    with _opened(path) as stream:
        head = _head(stream)
        if not isinstance(stream, gzip.GzipFile):
            wanted, found = head.start + head.bytes(head.shape[0]), stream.seek(0, 2)
            if wanted != found:
                raise _wrong_length(head, wanted, found)
        return head


def _head(stream: IO[bytes] | gzip.GzipFile) -> Head:
    start = stream.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in TYPES:
        raise InputError(_("is not a file in MNIST's format (IDX); it must begin with two zero bytes and a type"))
    dimensions = start[3]
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise InputError(
            _("says that it has {count} dimensions, and 1 to {most} can be read; choose another file").format(
                count=dimensions, most=MOST_DIMENSIONS
            )
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise InputError(_("is cut off in its first bytes; get it again"))
    return Head(tuple(np.frombuffer(sizes, ">u4").tolist()), TYPES[start[2]])


def read(path: Path, count: int | None = None) -> NDArray[np.generic]:
    """The first `count` items of an IDX file, or all of them and a look whether the file ends there.

    No more is unpacked than the file declares and one byte, so a file that unpacks to gigabytes does no harm.
    """
    with _opened(path) as stream:
        head = _head(stream)
        used = head.shape[0] if count is None else min(count, head.shape[0])
        size = head.bytes(used)
        if size > LARGEST_CONTENT:
            raise InputError(
                _("says that it is {shape}, and at most {most:,.0f} MB are read; use fewer samples").format(
                    shape=describe(head.shape), most=LARGEST_CONTENT / 1024**2
                )
            )
        array = np.empty((used, *head.shape[1:]), dtype=head.dtype)
        target = array.reshape(-1).view(np.uint8).data if size else memoryview(b"")
        got = 0
        while got < size:
            part = stream.read(min(CHUNK, size - got))
            if not part:
                raise _wrong_length(head, head.start + head.bytes(head.shape[0]), head.start + got)
            target[got : got + len(part)] = part
            got += len(part)
        if used == head.shape[0] and stream.read(1):
            raise InputError(
                _("goes on after the {shape} numbers that it declares; get it again").format(shape=describe(head.shape))
            )
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def _wrong_length(head: Head, wanted: int, found: int) -> InputError:
    return InputError(
        _("says that it is {shape}, which takes {wanted:,} bytes, and has {found:,}; get it again").format(
            shape=describe(head.shape), wanted=wanted, found=found
        )
    )
