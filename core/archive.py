"""An archive is a file of arrays (.npz, or one array in a .npy), read so that no file can do harm, whoever made it.

NumPy's own reader allocates and unpacks whatever a file declares: one and a half megabytes can become as many gigabytes
(measured). Here everything that a file declares is compared with the limits below, and with itself, before anything is
unpacked; no more is read than was declared; and nothing but plain numbers and texts is read, so nothing is ever run.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .errors import InputError, cut, nearest
from .text import _

LARGEST_FILE = 256 * 1024**2  # bytes on the disk
LARGEST_CONTENT = 512 * 1024**2  # bytes of all arrays together, as declared
MOST_ARRAYS = 256
LONGEST_HEADER = 10_000  # bytes; NumPy's own are 118 long
LONGEST_DIRECTORY = 400  # bytes for each array
MOST_DIMENSIONS = 32
LONGEST_TEXT = 10_000  # characters of one text in an array of texts
CHUNK = 4 * 1024**2  # bytes read at once

END = struct.Struct("<4s4H2LH")  # the last record of an archive: where its directory is and how long
LOCATOR = 20  # bytes of the record in front of it, where an archive is too large for the usual directory
MAGIC = b"\x93NUMPY"
DICTIONARY = re.compile(r"\{([^{}]*)\}\s*")
ENTRY = re.compile(
    r"""\s*(['"])(descr|fortran_order|shape)\1\s*:\s*(?:(['"])([^'"]{1,20})\3|(True|False)|\(([\d\sL,]*)\))\s*(?:,|$)"""
)
PLAIN = re.compile(r"[<>|=]?(?:[iu][1248]|f[248]|b1|\?)")
TEXT = re.compile(r"[<>=|]?U([1-9]\d{0,8})")
DAMAGE = (  # what Python's readers raise for content that is not what it claims to be
    EOFError,
    ValueError,
    RuntimeError,  # encrypted, and NotImplementedError
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
)


class Header(msgspec.Struct, frozen=True):
    """What a file says of one of its arrays.

    dtype     as in NumPy: "<f8", "|u1", "<U12"
    columns   whether the first index moves fastest (Fortran order)
    start     bytes in front of the numbers
    """

    shape: tuple[int, ...]
    dtype: str
    columns: bool = False
    start: int = 0

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """How many bytes the numbers take."""
        return self.count * np.dtype(self.dtype).itemsize

    @property
    def is_text(self) -> bool:
        return "U" in self.dtype


def describe(shape: Sequence[int]) -> str:
    """A shape in a sentence: "60,000 × 28 × 28"."""
    return " × ".join(f"{size:,}" for size in shape) or _("a single value")


class Archive:
    """An open .npz file whose directory and headers have been checked. Made by `opened`."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._members = _members(archive)
        self.headers = {name: self._header(name, member) for name, member in self._members.items()}

    def names(self) -> list[str]:
        return list(self.headers)

    def header(self, name: str, place: str = "") -> Header:
        """What the file says of an array; an InputError that lists what there is when there is none of that name."""
        if name in self.headers:
            return self.headers[name]
        found = ", ".join(f"{key} ({describe(header.shape)})" for key, header in list(self.headers.items())[:12])
        meant = nearest(name, self.names())
        hint = _(' (did you mean "{meant}"?)').format(meant=meant) if meant else ""
        raise InputError(
            _('has no array "{name}"{hint}; it has: {found}').format(name=cut(name), hint=hint, found=found or "-"),
            place,
        )

    def array(self, name: str, place: str = "") -> NDArray[Any]:
        """One array, unpacked, in the machine's byte order."""
        header = self.header(name, place)
        with _whole(), self._archive.open(self._members[name]) as stream:
            stream.read(header.start)
            return _numbers(stream, header, name)

    def _header(self, name: str, member: zipfile.ZipInfo) -> Header:
        with self._archive.open(member) as stream:
            header = read_header(stream, name)
        _compare(header, member.file_size, name)
        return header


@contextlib.contextmanager
def opened(path: Path, most_arrays: int = MOST_ARRAYS, largest: int = LARGEST_CONTENT) -> Iterator[Archive]:
    """An .npz file to read from; InputErrors, also of what is done inside the `with`, are without the file's name.

    most_arrays   how many arrays it may hold
    largest       bytes that all arrays together may take
    """
    with _readable(path) as file:
        size = file.seek(0, 2)
        limit_file(size)
        _check_end(file, size, most_arrays)
        with _whole():
            archive = zipfile.ZipFile(file)
        with archive:
            _check_directory(archive, most_arrays, largest)
            with _whole():
                found = Archive(archive)
            yield found


def arrays(path: Path, most_arrays: int = MOST_ARRAYS) -> dict[str, NDArray[Any]]:
    """All arrays of an .npz file by name."""
    with opened(path, most_arrays) as archive:
        return {name: archive.array(name) for name in archive.names()}


def npy_header(path: Path) -> Header:
    """What a .npy file says of its array."""
    with _readable(path) as file, _whole():
        size = file.seek(0, 2)
        limit_file(size)
        file.seek(0)
        header = read_header(file, "")
        _compare(header, size, "")
        return header


def npy_array(path: Path) -> NDArray[Any]:
    """The array of a .npy file."""
    header = npy_header(path)
    with _readable(path) as file, _whole():
        file.seek(header.start)
        return _numbers(file, header, "")


# --- what a file declares


def limit_file(size: int, largest: int = LARGEST_FILE) -> None:
    """Refuse a file of more bytes than may be read."""
    if size > largest:
        raise InputError(
            _("is {size:,.0f} MB large, and at most {most:,.0f} MB are read; use a smaller part of it").format(
                size=size / 1024**2, most=largest / 1024**2
            )
        )


def _check_end(file: IO[bytes], size: int, most_arrays: int) -> None:
    """Look at the last record of an archive: the directory must be short before Python reads it into memory."""
    tail_size = min(size, END.size + LOCATOR)
    file.seek(size - tail_size)
    tail = file.read(tail_size)
    file.seek(0)
    start = file.read(4)
    if size < END.size or start not in (b"PK\x03\x04", b"PK\x05\x06"):
        raise InputError(_("is not a NumPy archive (.npz); save one with numpy.savez"))
    signature, _disk, _other, _here, count, length, offset, comment = END.unpack(tail[-END.size :])
    if signature != b"PK\x05\x06" or comment or offset + length + END.size > size:
        raise InputError(_("is cut off or damaged: it does not end with its directory; copy or save it again"))
    if tail[: -END.size].startswith(b"PK\x06\x07"):
        raise InputError(
            _("is an archive for more than 4 GB, and at most {most:,.0f} MB are read; use a smaller part of it").format(
                most=LARGEST_FILE / 1024**2
            )
        )
    if count > most_arrays or length > most_arrays * LONGEST_DIRECTORY:
        raise InputError(
            _("holds more than {most:,} arrays ({count:,}); save only those that are needed").format(
                most=most_arrays, count=count
            )
        )


def _check_directory(archive: zipfile.ZipFile, most_arrays: int, largest: int) -> None:
    members = archive.infolist()
    if len(members) > most_arrays:
        raise InputError(
            _("holds more than {most:,} arrays ({count:,}); save only those that are needed").format(
                most=most_arrays, count=len(members)
            )
        )
    total = sum(member.file_size for member in members)
    if total > largest:
        raise InputError(
            _("unpacks to {size:,.0f} MB, and at most {most:,.0f} MB are read; use a smaller part of it").format(
                size=total / 1024**2, most=largest / 1024**2
            )
        )


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files in the archive by the name of their array."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        path = member.filename
        if path.startswith(("/", "\\")) or ":" in path or ".." in re.split(r"[/\\]", path):
            raise _damaged(_('a name that leads out of the archive, "{name}"').format(name=cut(path)))
        if not path.endswith(".npy"):
            raise InputError(
                _('holds "{name}", which is no array; save arrays alone with numpy.savez').format(name=cut(path))
            )
        name = path.removesuffix(".npy")
        if name in found:
            raise _damaged(_('two arrays with the name "{name}"').format(name=cut(name)))
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(_("is packed in a way that is not read; save it with numpy.savez or savez_compressed"))
        found[name] = member
    return found


def read_header(stream: IO[bytes], name: str) -> Header:
    """The header of an array at the start of a stream.

    It is taken apart by hand: NumPy hands it to Python's parser, and only after reading however much it says it is.
    """
    start = stream.read(8)
    if len(start) < 8 or not start.startswith(MAGIC) or start[6] not in (1, 2, 3):
        raise _damaged(_("{array} does not begin as arrays do").format(array=_called(name)))
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(_exactly(stream, width), "little")
    if length > LONGEST_HEADER:
        raise _damaged(
            _("{array} has a header of {length:,} bytes, more than {most:,}").format(
                array=_called(name), length=length, most=LONGEST_HEADER
            )
        )
    text = _exactly(stream, length).decode("latin-1")
    shape, dtype, columns = _entries(text, name)
    if len(shape) > MOST_DIMENSIONS:
        raise _damaged(_("{array} has {count} dimensions").format(array=_called(name), count=len(shape)))
    header = Header(shape, dtype, columns, 8 + width + length)
    # Dimensions of 0 hide how large the others are, and NumPy stumbles over those.
    if math.prod(max(1, size) for size in shape) * np.dtype(dtype).itemsize > LARGEST_CONTENT:
        raise InputError(
            _("{array} is {shape}, more than the {most:,.0f} MB that are read; use a smaller part of it").format(
                array=_called(name), shape=describe(shape), most=LARGEST_CONTENT / 1024**2
            )
        )
    return header


def _entries(text: str, name: str) -> tuple[tuple[int, ...], str, bool]:
    inside = DICTIONARY.fullmatch(text)
    found: dict[str, str] = {}
    at = 0
    while inside and at < len(inside[1]) and inside[1][at:].strip():
        entry = ENTRY.match(inside[1], at)
        if entry is None or entry[2] in found:
            break
        found[entry[2]] = entry[4] or entry[5] or entry[6] or ""
        at = entry.end()
    else:
        texts = [part.strip().removesuffix("L") for part in found.get("shape", "x").split(",")]
        whole = texts[:-1] if texts[-1] == "" else texts
        order = found.get("fortran_order")
        if order in ("True", "False") and all(part.isdigit() and len(part) < 20 for part in whole):
            return tuple(map(int, whole)), _dtype(found.get("descr", ""), name), order == "True"
    if "'descr': [" in text or "O" in re.findall(r"'descr': '\|?(\w)", text):
        raise _no_numbers(name)
    raise _damaged(_("{array} has a header that cannot be read").format(array=_called(name)))


def _dtype(text: str, name: str) -> str:
    characters = TEXT.fullmatch(text)
    if PLAIN.fullmatch(text) or (characters and int(characters[1]) <= LONGEST_TEXT):
        return np.dtype(text).str
    raise _no_numbers(name)


def _no_numbers(name: str) -> InputError:
    return InputError(
        _(
            "{array} holds no plain numbers (Python objects are never read); save it as an array of one number type, "
            "such as float64"
        ).format(array=_called(name))
    )


def _compare(header: Header, size: int, name: str) -> None:
    """Refuse an array whose header and size contradict each other."""
    if header.start + header.bytes != size:
        raise _damaged(
            _("{array} is {shape} of {type}, which takes {wanted:,} bytes, and there are {found:,}").format(
                array=_called(name),
                shape=describe(header.shape),
                type=header.dtype,
                wanted=header.bytes,
                found=max(0, size - header.start),
            )
        )


# --- reading


def _numbers(stream: IO[bytes], header: Header, name: str) -> NDArray[Any]:
    flat = np.empty(header.count, dtype=header.dtype)
    if header.bytes:
        fill(flat.view(np.uint8).data, stream.read, name)
    if stream.read(1):
        raise _damaged(_("{array} is longer than it says").format(array=_called(name)))
    if flat.dtype.kind == "b" and header.count and flat.view(np.uint8).max() > 1:
        raise _damaged(_("{array} holds truth values that are neither true nor false").format(array=_called(name)))
    if flat.dtype.kind == "U" and header.count:
        _check_texts(flat, name)
    if not flat.dtype.isnative:
        flat = flat.astype(flat.dtype.newbyteorder("="))
    return flat.reshape(header.shape, order="F" if header.columns else "C")


def _check_texts(flat: NDArray[Any], name: str) -> None:
    """Refuse numbers that are no characters: NumPy would stumble over them later, or a file or a window."""
    points = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
    if points.size and ((points > 0x10FFFF) | ((points >= 0xD800) & (points <= 0xDFFF))).any():
        raise _damaged(_("{array} holds texts with characters that do not exist").format(array=_called(name)))


def fill(target: memoryview, read: Callable[[int], bytes], name: str = "") -> None:
    """Read as many bytes as `target` has room for, a few at a time; an InputError when there are fewer."""
    at = 0
    while at < len(target):
        part = read(min(CHUNK, len(target) - at))
        if not part:
            raise _damaged(_("{array} is shorter than it says").format(array=_called(name)))
        target[at : at + len(part)] = part
        at += len(part)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = bytearray(count)
    fill(memoryview(content), stream.read)
    return bytes(content)


def _called(name: str) -> str:
    return _('the array "{name}"').format(name=cut(name)) if name else _("the array")


def _damaged(reason: str) -> InputError:
    return InputError(_("is damaged: {reason}; copy or save it again").format(reason=reason))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[IO[bytes]]:
    with reading(path), path.open("rb") as file:
        yield file


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a file that cannot be read into an InputError."""
    try:
        if path.exists() and not path.is_file():
            raise InputError(_("is not a file; check the path"))
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(_("cannot be read: {reason}; check the path").format(reason=reason)) from None


@contextlib.contextmanager
def _whole() -> Iterator[None]:
    """Turn what Python's readers say of damaged content into an InputError."""
    try:
        yield
    except DAMAGE as error:
        raise _damaged(str(error) or type(error).__name__) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(str(error)) from None  # a gzip file that is none
