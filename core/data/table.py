"""A table is a text file of rows and columns; here it is found out how it was written, and it is read.

Programs write tables in many ways: separated by commas, semicolons or tabs, with a decimal point or comma, with names
in the first row or without, in UTF-8 or as Windows used to. `look` finds that out from the beginning of the file;
`read` reads all of it, block by block, and keeps a list of what is wrong instead of stopping at the first.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import itertools
import math
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..archive import limit_file, reading
from ..errors import InputError, cut, shown
from ..text import _, ngettext
from .files import MOST_NUMBERS

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|", "space": " "}
TRIED_FIRST = ("tab", "semicolon", "bar", "comma", "space")  # the rarer in a text, the surer a sign
MISSING = frozenset(("", "na", "n/a", "#n/a", "#na", "nan", "null", "?", "-", "--"))  # in small letters
BEGINNING = 64 * 1024  # characters from which delimiter, decimal sign and header are found out
FIRST_ROWS = 1000  # rows that decide whether a column holds numbers
BLOCK = 2048  # rows that are taken apart at once
MOST_COLUMNS = 4096
LOOKED_AT = 400_000  # cells that this takes at most
LONGEST_ROW = 1024 * 1024  # characters; a file without line ends is no table, and should not fill the memory
MOST_TEXTS = 20_000  # different texts of one column that are told apart at all
LONGEST_TEXT = 200  # characters of a text that are kept
MOST_PROBLEMS = 10
CHUNK = 1024 * 1024
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

POINT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
COMMA = re.compile(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+", re.ASCII)

Kind = Literal["number", "text", "empty"]


class Look(msgspec.Struct, frozen=True):
    """How a file is written, as found out or as told.

    encoding   Python's name of it
    delimiter  a key of DELIMITERS
    decimal    "point" or "comma"
    header     whether the first row holds the names of the columns
    names      of the columns: from the first row, made different from each other, or "1", "2", ...
    kinds      what the first rows hold, column by column
    skipped    lines in front of the table
    first      the first rows, without the header
    """

    encoding: str
    delimiter: str
    decimal: str
    header: bool
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    skipped: int
    first: tuple[tuple[str, ...], ...]


class Column(msgspec.Struct, frozen=True):
    """What a column holds.

    numbers   (rows,) float64, NaN where a value is missing; None where the column was read as texts
    codes     (rows,) int32 numbers of `texts`, -1 where a value is missing; None where it was read as numbers
    missing   how many values are missing
    kind      "empty" where all are
    """

    name: str
    kind: Kind
    missing: int
    numbers: NDArray[np.float64] | None = None
    codes: NDArray[np.int32] | None = None
    texts: tuple[str, ...] = ()


class Table(msgspec.Struct, frozen=True):
    """A file that was read to its end.

    rows       that could be read; the others are named among the problems
    problems   the first sentences about what is wrong, each with its line
    wrong      how many there are in all
    """

    look: Look
    columns: tuple[Column, ...]
    rows: int
    problems: tuple[str, ...]
    wrong: int

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        arrays = [a for column in self.columns for a in (column.numbers, column.codes) if a is not None]
        return sum(array.nbytes for array in arrays) + 200 * sum(len(column.texts) for column in self.columns)


def is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def is_number(cell: str, decimal: str) -> bool:
    return (COMMA if decimal == "comma" else POINT).fullmatch(cell.strip()) is not None


# --- how a file is written


def look(path: Path, delimiter: str = "auto", decimal: str = "auto", header: str = "auto") -> Look:
    """Find out how a file is written; what is not "auto" is taken as told. An InputError when it is no table."""
    with reading(path):
        limit_file(path.stat().st_size)
        encoding = _encoding(path)
        with _text(path, encoding) as stream:
            beginning = stream.read(BEGINNING)
    if not beginning.strip():
        raise InputError(_("is empty; choose another file"))
    lines = beginning.splitlines(keepends=True)
    if len(beginning) == BEGINNING and len(lines) > 1:
        lines.pop()  # it may be cut in the middle
    skipped = 0
    told = re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE)  # the first line of a file for Excel
    if told:
        skipped, lines = 1, lines[1:]
        if delimiter == "auto":
            delimiter = next((name for name, sign in DELIMITERS.items() if sign == told[1]), "auto")
    if delimiter == "auto":
        delimiter = _delimiter(lines)
    with reading(path), _text(path, encoding) as stream:
        rows = [row for _line, row in itertools.islice(_rows(stream, delimiter, skipped), FIRST_ROWS + 1)]
    if not rows:
        raise InputError(_("holds no rows; choose another file"))
    width = _usual_width(rows[:100])
    if width > MOST_COLUMNS:
        raise InputError(
            _("has {count:,} columns, and at most {most:,} can be read; leave some out of the file").format(
                count=width, most=MOST_COLUMNS
            )
        )
    whole = [row for row in rows[: max(100, LOOKED_AT // width)] if len(row) == width]
    if decimal == "auto":
        decimal = _decimal(whole, delimiter)
    has_header = header == "yes" or (header == "auto" and len(rows[0]) == width and _has_header(whole, decimal))
    names = _names(rows[0][:width] if has_header else [], width)
    body = whole[1:] if has_header and len(rows[0]) == width else whole
    kinds = tuple(_kind([row[i] for row in body], decimal) for i in range(width))
    return Look(encoding, delimiter, decimal, has_header, names, kinds, skipped, tuple(map(tuple, body[:100])))


def _encoding(path: Path) -> str:
    """The encoding of a whole file. What is not UTF-8 is taken as what Windows used in Western Europe."""
    with path.open("rb") as file:
        start = file.read(4)
        if start.startswith(UTF_16):
            return "utf-16"
        file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        encoding = "utf-8-sig"
        while chunk := file.read(CHUNK):
            if b"\0" in chunk:
                raise InputError(_("is not a text but a binary file; choose a file of comma-separated values (.csv)"))
            if encoding == "utf-8-sig":
                try:
                    decoder.decode(chunk)
                except UnicodeDecodeError:
                    encoding = "cp1252"
            if encoding == "cp1252" and re.search(rb"[\x81\x8d\x8f\x90\x9d]", chunk):
                encoding = "latin-1"
        # A cut character at the very end is one that is not UTF-8 too.
        return "cp1252" if encoding == "utf-8-sig" and decoder.getstate()[0] else encoding


@contextmanager
def _text(path: Path, encoding: str) -> Iterator[io.TextIOWrapper]:
    try:
        with path.open("r", encoding=encoding, newline="") as stream:
            yield stream
    except UnicodeError:
        raise InputError(_("is cut off or damaged: it holds bytes that are no characters; save it again")) from None


def _rows(stream: io.TextIOWrapper, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row that is not blank."""
    sign = DELIMITERS[delimiter]
    pending = 0  # characters since the last row; a row goes on over several lines inside quotation marks

    def lines() -> Iterator[str]:
        nonlocal pending
        while line := stream.readline(LONGEST_ROW):
            pending += len(line)
            if pending >= LONGEST_ROW:
                raise InputError(
                    _(
                        "line {line}: is too long for a row of a table; look for a quotation mark that is not closed"
                    ).format(line=skipped + reader.line_num + 1)
                )
            yield line.rstrip(" \r\n") + "\n" if sign == " " else line

    for _skipped in range(skipped):
        stream.readline(LONGEST_ROW)
    reader = csv.reader(lines(), delimiter=sign, skipinitialspace=True)
    try:
        for row in reader:
            pending = 0
            if len(row) > 1 or (row and row[0].strip()):
                yield skipped + reader.line_num, row
    except csv.Error as error:
        if "field larger" not in str(error):
            raise InputError(
                _("line {line}: cannot be taken apart ({reason}); correct it").format(
                    line=skipped + reader.line_num, reason=error
                )
            ) from None
        raise InputError(
            _("line {line}: holds a cell that is too long; look for a quotation mark that is not closed").format(
                line=skipped + reader.line_num
            )
        ) from None


def _taken_apart(lines: list[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=DELIMITERS[delimiter], skipinitialspace=True) if row]
    except csv.Error:
        return []


def _usual_width(rows: Sequence[Sequence[str]]) -> int:
    """How many cells most rows have."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0


def _delimiter(lines: list[str]) -> str:
    """The delimiter that cuts nearly all rows into equally many cells, or the one that comes nearest to it."""
    best, best_share = "comma", 0.0
    for name in TRIED_FIRST:
        sample = [line.strip(" ") for line in lines[:200]] if name == "space" else lines[:200]
        rows = _taken_apart([line for line in sample if line.strip()], name)
        width = _usual_width(rows)
        if width < 2:
            continue
        share = sum(len(row) == width for row in rows) / len(rows)
        if share >= 0.9:
            return name
        if share > best_share:
            best, best_share = name, share
    return best


def _decimal(rows: list[list[str]], delimiter: str) -> str:
    points = commas = certain = 0
    for cell in itertools.chain.from_iterable(rows):
        text = cell.strip()
        if "," in text:
            if COMMA.fullmatch(text):
                commas += 1
                certain += THOUSANDS.fullmatch(text) is None
        elif "." in text and POINT.fullmatch(text):
            points += 1
    # Between commas, "1,234" in quotes is more likely a thousand than a little more than one.
    if delimiter == "comma" and not certain:
        commas = 0
    return "comma" if commas > points else "point"


def _kind(cells: list[str], decimal: str) -> Kind:
    there = [cell for cell in cells if not is_missing(cell)]
    if not there:
        return "empty"
    return "number" if 2 * sum(is_number(cell, decimal) for cell in there) >= len(there) else "text"


def _has_header(rows: list[list[str]], decimal: str) -> bool:
    """Whether the first row is no data: it holds no number, and stands above numbers or above other texts."""
    if len(rows) < 2 or any(is_number(cell, decimal) for cell in rows[0]):
        return False
    columns = list(zip(*rows[1:], strict=True))
    if any(_kind(list(column), decimal) == "number" for column in columns):
        return True
    return len(set(rows[0])) == len(rows[0]) and not any(
        name in column for name, column in zip(rows[0], columns, strict=True)
    )


def _names(cells: Sequence[str], width: int) -> tuple[str, ...]:
    found: list[str] = []
    taken: set[str] = set()
    for number in range(1, width + 1):
        cell = " ".join(cells[number - 1].split()) if number <= len(cells) else ""
        cell = name = cell or str(number)
        for again in itertools.count(2):
            if name not in taken:
                break
            name = f"{cell} ({again})"
        found.append(name)
        taken.add(name)
    return tuple(found)


# --- what is in it


def read(
    path: Path, found: Look, as_texts: frozenset[int] = frozenset(), ignored: frozenset[int] = frozenset()
) -> Table:
    """Read all of a file.

    as_texts   numbers of columns that are read as texts whatever they hold
    ignored    numbers of columns of which only the missing values are counted

    An InputError when nothing can be read; what is wrong with single rows and cells is in the table's `problems`.
    """
    width = len(found.names)
    problems = _Problems()
    readers: list[_Numbers | _Texts | _Ignored] = []
    for index, (name, kind) in enumerate(zip(found.names, found.kinds, strict=True)):
        if index in ignored:
            readers.append(_Ignored(name, kind))
        elif index in as_texts or kind == "text":
            readers.append(_Texts(name))
        else:
            readers.append(_Numbers(name, found.decimal, problems))
    count, ended = 0, False
    with reading(path), _text(path, found.encoding) as stream:
        rows = _rows(stream, found.delimiter, found.skipped)
        if found.header:
            next(rows, None)
        while not ended:
            block: list[list[str]] = []
            lines: list[int] = []
            ended = True
            try:
                for line, row in rows:
                    if len(row) == width:
                        block.append(row)
                        lines.append(line)
                    else:
                        problems.add(_wrong_width(line, len(row), width), line)
                    if len(block) == BLOCK:
                        ended = False
                        break
            except InputError as error:
                problems.add(error.problem, sys.maxsize)  # the last one: nothing after it was read
            if block:
                count += len(block)
                share = 1.0 if ended else cast(BinaryIO, stream.buffer).tell() / max(1, path.stat().st_size)
                _limit_rows(count, share, width)
                for reader, cells in zip(readers, zip(*block, strict=True), strict=True):
                    reader.add(cells, lines)
    return Table(found, tuple(reader.done() for reader in readers), count, problems.sentences(), problems.count)


def _limit_rows(count: int, share: float, width: int) -> None:
    """Refuse a table that is too large, as soon as that is clear from the share of the file that has been read."""
    coming = count if share <= 0.0 else round(count / min(1.0, share))
    if count * width > MOST_NUMBERS or coming * width > 1.25 * MOST_NUMBERS:
        raise InputError(
            _(
                "has about {rows:,} rows of {columns:,} columns, and at most {most:,} values can be read; use a part "
                "of the file"
            ).format(rows=coming, columns=width, most=MOST_NUMBERS)
        )


def _wrong_width(line: int, count: int, width: int) -> str:
    cells = ngettext("{count} cell", "{count} cells", count).format(count=count)
    return _("line {line}: has {cells} instead of {width}; complete it or remove it").format(
        line=line, cells=cells, width=width
    )


class _Problems:
    """The first few sentences about what is wrong, in the order of the file, and how many there are."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[tuple[int, str]] = []

    def add(self, sentence: str, line: int) -> None:
        self.count += 1
        self._kept.append((line, sentence))
        if len(self._kept) > 4 * MOST_PROBLEMS:
            self._kept = sorted(self._kept, key=lambda found: found[0])[:MOST_PROBLEMS]

    def sentences(self) -> tuple[str, ...]:
        return tuple(sentence for _line, sentence in sorted(self._kept, key=lambda found: found[0])[:MOST_PROBLEMS])


class _Numbers:
    """Collects a column of numbers."""

    def __init__(self, name: str, decimal: str, problems: _Problems):
        self.name, self.decimal, self._problems = name, decimal, problems
        self._blocks: list[NDArray[np.float64]] = []

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        values = self._quickly(cells)
        if values is None:
            values = np.array([self._number(cell, line) for cell, line in zip(cells, lines, strict=True)])
        self._blocks.append(values)

    def _quickly(self, cells: Sequence[str]) -> NDArray[np.float64] | None:
        """The numbers, or None where some cell has to be looked at more closely."""
        joined = "\n".join(cells)
        # Python's float also takes "1_000", "infinity" and the digits of other scripts.
        if "_" in joined or not joined.isascii():
            return None
        if self.decimal == "comma":
            if "." in joined:
                return None
            cells = joined.replace(",", ".").split("\n")
        try:
            values = np.array(list(map(float, cells)))
        except ValueError:
            return None
        return None if np.isinf(values).any() else values

    def _number(self, cell: str, line: int) -> float:
        if is_missing(cell):
            return math.nan
        if is_number(cell, self.decimal):
            number = float(cell.replace(",", "."))
            if math.isfinite(number):
                return number
            reason = _("{cell} is too large a number; correct it").format(cell=shown(cell))
        elif is_number(cell, "point" if self.decimal == "comma" else "comma"):
            sign = _("a decimal comma") if self.decimal == "comma" else _("a decimal point")
            reason = _("{cell} is not a number in a file with {sign}; write it as the others, or set decimal").format(
                cell=shown(cell), sign=sign
            )
        else:
            reason = _("{cell} is not a number; correct it, empty it, or leave the column out").format(cell=shown(cell))
        self._problems.add(
            _('line {line}, column "{name}": {reason}').format(line=line, name=cut(self.name), reason=reason), line
        )
        return math.nan

    def done(self) -> Column:
        numbers = np.concatenate(self._blocks) if self._blocks else np.empty(0)
        self._blocks = []
        missing = int(np.isnan(numbers).sum())
        return Column(self.name, "empty" if missing == len(numbers) else "number", missing, numbers=numbers)


class _Texts:
    """Collects a column of texts, each different one once."""

    def __init__(self, name: str):
        self.name = name
        self._cells: dict[str, int] = {}  # as they stand in the file
        self._texts: dict[str, int] = {}  # without spaces around them
        self._blocks: list[NDArray[np.int32]] = []

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        try:
            codes = [self._cells[cell] for cell in cells]
        except KeyError:
            codes = [self._code(cell) for cell in cells]
        self._blocks.append(np.array(codes, dtype=np.int32))

    def _code(self, cell: str) -> int:
        code = self._cells.get(cell)
        if code is not None:
            return code
        if is_missing(cell):
            code = -1
        else:
            text = " ".join(cell.split())
            if len(text) > LONGEST_TEXT:
                text = text[:LONGEST_TEXT] + hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest()
            if len(self._texts) > MOST_TEXTS:
                return self._texts.get(text, 0)  # far too many to be classes or categories, as `texts` will show
            code = self._texts.setdefault(text, len(self._texts))
        if len(cell) <= LONGEST_TEXT and len(self._cells) < 2 * MOST_TEXTS:
            self._cells[cell] = code
        return code

    def done(self) -> Column:
        codes = np.concatenate(self._blocks) if self._blocks else np.empty(0, dtype=np.int32)
        missing = int((codes < 0).sum())
        kind: Kind = "empty" if missing == len(codes) else "text"
        return Column(self.name, kind, missing, codes=codes, texts=tuple(self._texts))


class _Ignored:
    """Counts what is missing in a column that is not used."""

    def __init__(self, name: str, kind: Kind):
        self.name, self.kind, self.missing = name, kind, 0

    def add(self, cells: Sequence[str], lines: Sequence[int]) -> None:
        self.missing += sum(map(is_missing, cells))

    def done(self) -> Column:
        return Column(self.name, self.kind, self.missing)
