"""CSV: a table of one's own, from a spreadsheet or a measurement, each row a sample and one column what to predict."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError, cut, nearest
from ..fields import about
from ..text import N_, _, ngettext
from . import table
from .base import DataSet, Outline, Samples
from .files import Remembered, check_classes, limit_numbers, located
from .table import Column, Look, Table

LONGEST_PATH = 4096
LONGEST_LIST = 10_000
MOST_CATEGORIES = 50  # different texts of one column that become inputs
FEW_VALUES = 20  # as many different whole numbers are classes, where nobody says what they are
TELLING = ("class", "label", "target", "species", "y")  # names that say which column is to be predicted

_tables = Remembered(4, most_bytes=16 * 1024**2)
_outlines = Remembered(32)


@DataSet.registry.add("csv")
class Csv(DataSet, frozen=True, kw_only=True, tag="csv"):
    """A text file of rows and columns: one column is predicted from the others.

    What is "auto" is found out from the file; `preview` shows what was found. A column of numbers is one input. A
    column of texts becomes one input for each different text, 1 where it applies (one-hot), at most 50.
    """

    label: ClassVar[str] = N_("Table (CSV)")
    path: Annotated[
        str,
        about(
            N_("file"),
            N_("Table in a text file; a relative path starts at the experiment file."),
            length=(0, LONGEST_PATH),
            files=("*.csv", "*.tsv", "*.txt"),
        ),
    ] = ""
    target: Annotated[
        str,
        about(
            N_("target"),
            N_(
                "Column to predict, by name or number; empty: one called class, label, target, species or y, else the "
                "last."
            ),
            length=(0, LONGEST_PATH),
        ),
    ] = ""
    task: Annotated[
        Literal["auto", "classification", "regression"],
        about(
            N_("task"),
            N_(
                "Whether the target is classes or values; auto: texts and up to 20 different whole numbers are classes."
            ),
        ),
    ] = "auto"
    leave_out: Annotated[
        str,
        about(
            N_("leave out"),
            N_("Columns that are not used, by name or number, with commas between them."),
            length=(0, LONGEST_LIST),
        ),
    ] = ""
    missing: Annotated[
        Literal["mean", "drop"],
        about(
            N_("missing values"),
            N_("mean: filled with the mean over the training samples; drop: rows with one are left out."),
        ),
    ] = "mean"
    delimiter: Annotated[
        Literal["auto", "comma", "semicolon", "tab", "bar", "space"],
        about(N_("delimiter"), N_("What stands between two cells.")),
    ] = "auto"
    decimal: Annotated[
        Literal["auto", "point", "comma"], about(N_("decimal sign"), N_("Whether numbers look like 1.5 or like 1,5."))
    ] = "auto"
    header: Annotated[
        Literal["auto", "yes", "no"], about(N_("header"), N_("Whether the first row holds the names of the columns."))
    ] = "auto"

    def outline(self, folder: Path | None = None) -> Outline:
        path = located(self.path, folder, "path")
        unscaled = msgspec.structs.replace(self, scaling="none", validation=0.0, test=0.0, label_noise=0.0)
        return _outlines.get((path,), unscaled, lambda: self._read(path)[1].outline)

    def collect(self, seed: int, folder: Path | None) -> Samples:
        path = located(self.path, folder, "path")
        found, use = self._read(path)
        with self._about():
            return _samples(found, use)

    # --- what is done with a file

    def look(self, path: Path) -> Look:
        return table.look(path, self.delimiter, self.decimal, self.header)

    def roles(self, found: Look) -> Roles:
        """Which columns do what; an InputError for a column that does not exist."""
        out = frozenset(_column(found.names, name, "leave_out") for name in _listed(self.leave_out))
        if self.target.strip():
            target = _column(found.names, self.target, "target")
            if target in out:
                raise InputError(
                    _('column "{name}" is the target; do not leave it out').format(name=cut(found.names[target])),
                    "leave_out",
                )
        else:
            free = [i for i, kind in enumerate(found.kinds) if i not in out and kind != "empty"]
            telling = [i for i in free if found.names[i].lower() in TELLING]
            if not free:
                raise InputError(_("no column is left to predict; leave out fewer"), "leave_out")
            target = (telling or free)[-1]
        return Roles(target, out)

    def read(self, path: Path, found: Look, roles: Roles) -> Table:
        """The whole file, from memory where it has not changed."""
        as_texts = frozenset([roles.target] if self.task == "classification" else [])
        how = (found.delimiter, found.decimal, found.header, as_texts, roles.left_out)
        return _tables.get(
            (path,), how, lambda: table.read(path, found, as_texts, roles.left_out), lambda made: made.bytes
        )

    def _read(self, path: Path) -> tuple[Table, Use]:
        with self._about():
            found = self.look(path)
            roles = self.roles(found)
            content = self.read(path, found, roles)
            if content.problems:
                more = _more(content.wrong - 1)
                raise InputError(f"{content.problems[0]} ({more})" if more else content.problems[0])
            return content, self.use(content, roles)

    @contextmanager
    def _about(self) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            raise InputError(error.problem, error.place or "path", self.path) from None

    def use(self, content: Table, roles: Roles) -> Use:
        """What becomes of a table; an InputError when nothing can be learned from it as it is."""
        names = content.look.names
        target = content.columns[roles.target]
        kept = np.ones(content.rows, dtype=np.bool_)
        kept &= ~_gaps(target)
        inputs: list[int] = []
        width = 0
        for index, column in enumerate(content.columns):
            if index == roles.target or index in roles.left_out or column.kind == "empty":
                continue
            if column.kind == "text" and len(column.texts) > MOST_CATEGORIES:
                raise InputError(
                    _(
                        'column "{name}" holds {count:,} different texts, more than the {most} that can become inputs; '
                        "leave it out"
                    ).format(name=cut(names[index]), count=len(column.texts), most=MOST_CATEGORIES),
                    "leave_out",
                )
            inputs.append(index)
            width += len(column.texts) if column.kind == "text" else 1
            if self.missing == "drop" and column.missing:
                kept &= ~_gaps(column)
        if not inputs:
            raise InputError(
                _('there is no column beside "{name}" to predict it from; look at delimiter and leave_out').format(
                    name=cut(names[roles.target])
                ),
                "leave_out" if roles.left_out else "delimiter",
            )
        rows = np.flatnonzero(kept)
        if not len(rows):
            raise InputError(
                _("no row is complete: in every one a value is missing; fill them in or leave columns out")
            )
        limit_numbers(len(rows), width, _("leave columns out, or use a part of the file"))
        y, classes = self._targets(target, rows, names[roles.target])
        return Use(tuple(inputs), width, rows, y, classes)

    def _targets(
        self, target: Column, rows: NDArray[np.int64], name: str
    ) -> tuple[NDArray[np.generic], tuple[str, ...]]:
        """(int64 (rows,), classes) or (float64 (rows, 1), ())."""
        if target.numbers is not None:
            values = target.numbers[rows]
            if self.task == "regression" or not _are_classes(values):
                return values[:, np.newaxis], ()
            different, y = np.unique(values, return_inverse=True)
            classes = tuple(str(int(value)) for value in different)
        else:
            if self.task == "regression":
                raise InputError(
                    _('column "{name}" holds texts, which are classes; choose classification or another target').format(
                        name=cut(name)
                    ),
                    "task",
                )
            codes = target.codes[rows] if target.codes is not None else np.empty(0, dtype=np.int32)
            present = np.unique(codes)
            check_classes(len(present), "target")
            classes, order = _sorted([target.texts[code] for code in present])
            y = np.array(order, dtype=np.int64)[np.searchsorted(present, codes)]
        check_classes(len(classes), "target")
        return np.asarray(y, dtype=np.int64).reshape(-1), classes


class Roles(msgspec.Struct, frozen=True):
    """Numbers of the column that is predicted and of those that are not used."""

    target: int
    left_out: frozenset[int]


class Use(msgspec.Struct, frozen=True):
    """What becomes of a table.

    inputs    numbers of the columns that become inputs, `width` inputs in all
    rows      numbers of the rows that become samples
    y         their classes or values
    """

    inputs: tuple[int, ...]
    width: int
    rows: NDArray[np.int64]
    y: NDArray[np.generic]
    classes: tuple[str, ...]

    @property
    def outline(self) -> Outline:
        return Outline((self.width,), len(self.classes) or 1, self.classes)


def _more(count: int) -> str:
    return ngettext("and {count:,} more", "and {count:,} more", count).format(count=count) if count else ""


def _samples(content: Table, use: Use) -> Samples:
    x = np.empty((len(use.rows), use.width))
    at = 0
    for index in use.inputs:
        column = content.columns[index]
        if column.numbers is not None:
            x[:, at] = column.numbers[use.rows]
            at += 1
        elif column.codes is not None:
            codes = column.codes[use.rows]
            block = x[:, at : at + len(column.texts)]
            block[...] = codes[:, np.newaxis] == np.arange(len(column.texts))
            block[codes < 0] = np.nan  # a missing text becomes how often each text occurs
            at += len(column.texts)
    return Samples(x, use.y, use.classes, gaps=bool(np.isnan(x).any()))


def _gaps(column: Column) -> NDArray[np.bool_]:
    if column.numbers is not None:
        return np.isnan(column.numbers)
    return column.codes < 0 if column.codes is not None else np.empty(0, dtype=np.bool_)


def _are_classes(values: NDArray[np.float64]) -> bool:
    """Whether numbers are more likely names of classes than measurements: few different whole ones, each repeated."""
    if not np.array_equal(values, np.floor(values)):
        return False
    different = len(np.unique(values))
    return different <= FEW_VALUES and 2 * different <= len(values)


def _sorted(texts: list[str]) -> tuple[tuple[str, ...], list[int]]:
    """Names of classes in order, and for each text which of them it is; 1, 1.0 and 01 are one class."""
    pattern = table.POINT if all(table.POINT.fullmatch(text) for text in texts) else table.COMMA
    if all(pattern.fullmatch(text) for text in texts):
        numbers = [float(text.replace(",", ".")) for text in texts]
        different = sorted(set(numbers))
        return tuple(map(_number_text, different)), [different.index(number) for number in numbers]
    names = sorted(texts, key=lambda text: (text.casefold(), text))
    return tuple(names), [names.index(text) for text in texts]


def _number_text(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _listed(names: str) -> list[str]:
    """The names in a text with commas between them; one that holds a comma stands in quotation marks."""
    rows = csv.reader([" ".join(names.split())], skipinitialspace=True)
    return [cell.strip() for row in rows for cell in row if cell.strip()]


def joined(names: list[str]) -> str:
    """Names of columns as one text, as `leave_out` is read."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue().replace(",", ", ") if not any("," in name for name in names) else text.getvalue()


def _column(names: tuple[str, ...], wanted: str, place: str) -> int:
    """The number, from 0, of a column told by name or by number from 1."""
    name = " ".join(wanted.split())
    if name in names:
        return names.index(name)
    alike = [i for i, other in enumerate(names) if other.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    if name.isascii() and name.isdigit() and len(name) < 10 and 1 <= int(name) <= len(names):
        return int(name) - 1
    meant = nearest(name, [other.lower() for other in names])
    hint = _(' (did you mean "{meant}"?)').format(meant=meant) if meant else ""
    raise InputError(
        _('there is no column "{name}"{hint}; there are: {names}').format(
            name=cut(name), hint=hint, names=", ".join(map(cut, names[:20])) + (" ..." if len(names) > 20 else "")
        ),
        place,
    )


# --- what a window or a command line shows before anything is trained


class ColumnPreview(msgspec.Struct, frozen=True):
    """One column, for a preview.

    kind        "number", "text" or "empty"
    use         "input", "target", "left out"
    missing     how many values are missing in the whole file
    different   how many different texts there are; 0 for numbers
    """

    name: str
    kind: str
    use: str
    missing: int
    different: int


class Preview(msgspec.Struct, frozen=True):
    """What was found out about a table, by the same code that reads it for training.

    encoding, delimiter, decimal, header   how it is written; delimiter and decimal as in `Csv`
    columns      of the file, in its order
    first_rows   as they stand in the file
    rows         in the file, without the header
    samples      rows that can be used; the others have no target, or a missing value that is to be dropped
    outline      what a network has to fit to; None while there is a problem
    problems     what is wrong, in whole sentences with line and column; training is refused while there is one
    proposal     settings that fit the file: target and task spelled out, columns left out that are only a number of the
                 row or have too many texts
    """

    encoding: str
    delimiter: str
    decimal: str
    header: bool
    columns: tuple[ColumnPreview, ...]
    first_rows: tuple[tuple[str, ...], ...]
    rows: int
    samples: int
    outline: Outline | None
    problems: tuple[str, ...]
    proposal: Csv

    @property
    def target(self) -> str:
        """Name of the column that is predicted; empty while there is none."""
        return next((column.name for column in self.columns if column.use == "target"), "")


def preview(data: Csv | str, folder: Path | None = None, most_rows: int = 8) -> Preview:
    """What `data` (or a file with everything left to be found out) would be read as.

    folder      where relative paths start
    most_rows   how many of the first rows are wanted, at most 100

    An InputError when the file cannot be read at all; everything else is in the preview's `problems`.
    """
    data = Csv(path=data) if isinstance(data, str) else data
    path = located(data.path, folder, "path")
    with data._about():
        found = data.look(path)
        problems: list[str] = []
        try:
            roles = data.roles(found)
        except InputError as error:
            problems.append(error.problem)
            roles = msgspec.structs.replace(data, target="", leave_out="").roles(found)
        content = data.read(path, found, roles)
    problems += content.problems
    if more := _more(content.wrong - len(content.problems)):
        problems.append(more)
    use: Use | None = None
    try:
        use = data.use(content, roles)
    except InputError as error:
        problems.append(error.problem)
    columns = tuple(
        ColumnPreview(
            column.name,
            column.kind,
            "target"
            if index == roles.target
            else "left out"
            if index in roles.left_out or column.kind == "empty"
            else "input",
            column.missing,
            len(column.texts),
        )
        for index, column in enumerate(content.columns)
    )
    return Preview(
        encoding=_encoding_name(found.encoding),
        delimiter=found.delimiter,
        decimal=found.decimal,
        header=found.header,
        columns=columns,
        first_rows=found.first[:most_rows],
        rows=content.rows,
        samples=len(use.rows) if use is not None else 0,
        outline=use.outline if use is not None and not problems else None,
        problems=tuple(problems),
        proposal=_proposal(data, content, roles),
    )


def _proposal(data: Csv, content: Table, roles: Roles) -> Csv:
    out = set(roles.left_out)
    for index, column in enumerate(content.columns):
        if index != roles.target and (_is_row_number(column) or len(column.texts) > MOST_CATEGORIES):
            out.add(index)
    target = content.columns[roles.target]
    task = data.task
    if task == "auto":
        values = target.numbers[~np.isnan(target.numbers)] if target.numbers is not None else None
        task = "classification" if values is None or _are_classes(values) else "regression"
    names = [content.look.names[index] for index in sorted(out)]
    return msgspec.structs.replace(data, target=target.name, task=task, leave_out=joined(names))


def _is_row_number(column: Column) -> bool:
    """Whether a column only counts the rows: it tells which sample it is, not what it is like."""
    numbers = column.numbers
    return numbers is not None and len(numbers) > 2 and bool((np.diff(numbers) == 1.0).all())


def _encoding_name(encoding: str) -> str:
    return {"utf-8-sig": "UTF-8", "utf-16": "UTF-16", "cp1252": "Windows-1252", "latin-1": "Latin-1"}[encoding]
