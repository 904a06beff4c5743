"""A record holds what was measured at every step of a run; panels, figures and files read it and nothing else.

A long run has more steps than fit into memory or on a screen. Beyond its budget a record keeps every second, fourth,
eighth ... step, and for every step that it keeps the least and the greatest value of all the steps that it stands for,
so that a single spike is never lost. Any step that was thinned out can be computed again exactly (`Run.seek`).
"""

from __future__ import annotations

import copy
import csv
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import archive
from .diagnostics.details import DETAIL_QUANTITIES
from .diagnostics.histograms import BINS, HISTOGRAM_QUANTITIES, LOG_BINS, SPECIAL, Histograms
from .diagnostics.probes import LAYER_COLUMNS
from .engine.layout import RUN_COLUMNS
from .errors import InputError
from .files import write_whole
from .text import _

Array = NDArray[np.float64]

BUDGET = 128 * 1024 * 1024  # bytes for the columns of one run
HISTOGRAM_BUDGET = 32 * 1024 * 1024  # bytes for its histograms
FIRST_ROWS = 256
EVALUATIONS = ("validation_loss", "validation_accuracy", "plain_validation_loss", "plain_validation_accuracy")
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
PERCENTILE_COLUMNS = tuple(f"activation.p{p:02d}" for p in PERCENTILES)


@dataclass(frozen=True)
class Detail:
    """What costs too much to measure at every step.

    percentiles   (7, layers): activation percentiles 1, 5, 25, 50, 75, 95, 99 of each layer
    measured      by name (`diagnostics.details`), (layers,) each: what needs every unit on its own; NaN where a layer
                  has none of it
    histograms    of activations, output gradients (of the loss, where it is scaled) and weights (those that the step
                  began with), by the names "activation", "gradient", "weight"; empty where they were thinned out
    """

    step: int
    percentiles: Array
    measured: Mapping[str, Array] = field(default_factory=dict)
    histograms: Mapping[str, Histograms] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """How much memory the histograms take."""
        return sum(found.bytes for found in self.histograms.values())


@dataclass(frozen=True)
class RecordView:
    """A record as it stood at one moment; never changes afterward, so that another thread may draw it.

    plain_validation_loss, plain_validation_accuracy   of the present weights where the others are of averaged ones
    marks       (step, what happened), see `Run.marks`
    kept_steps  (K,) step numbers; step s was computed with the weights after s updates
    block       (K, columns) values at those steps; low, high: least and greatest of the steps each one stands for
    stride      how many steps one row stands for
    moment      the step that is being looked at, and its exact `line` (columns,), if any
    run_columns, layer_columns   what stands in a line: quantities of the run, then of one layer after the other. What
                every run has comes first; the links of the chain and the precision may add some.
    """

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    kept_steps: NDArray[np.int64]
    block: Array
    low: Array
    high: Array
    stride: int
    validation_steps: NDArray[np.int64]
    validation_loss: Array
    validation_accuracy: Array
    details: tuple[Detail, ...] = ()
    steps_per_epoch: int = 1
    events: tuple[tuple[int, str, float], ...] = ()
    marks: tuple[tuple[int, str], ...] = ()
    moment: int | None = None
    line: Array | None = None
    run_columns: tuple[str, ...] = RUN_COLUMNS
    layer_columns: tuple[str, ...] = LAYER_COLUMNS
    plain_validation_loss: Array = field(default_factory=lambda: np.zeros(0))
    plain_validation_accuracy: Array = field(default_factory=lambda: np.zeros(0))

    def column(self, quantity: str) -> int | slice:
        """Where a quantity stands in a line; names as in `record.npz`."""
        if quantity in self.run_columns:
            return self.run_columns.index(quantity)
        width = len(self.layer_columns)
        first = len(self.run_columns) + self.layer_columns.index(quantity)
        return slice(first, len(self.run_columns) + len(self.layers) * width, width)

    @property
    def coming(self) -> bool:
        """Whether the moment is a step that is not recorded: the present state, before its step is taken."""
        if self.moment is None or self.line is None:
            return False
        return len(self.kept_steps) == 0 or self.moment > int(self.kept_steps[-1])

    @property
    def steps(self) -> NDArray[np.int64]:
        """(T,) step numbers, the coming step included."""
        return np.append(self.kept_steps, np.int64(self.moment or 0)) if self.coming else self.kept_steps

    def __len__(self) -> int:
        return len(self.kept_steps) + self.coming

    def _with_coming(self, kept: Array, quantity: str) -> Array:
        if not self.coming or self.line is None:
            return kept
        return np.concatenate([kept, self.line[None, self.column(quantity)]])

    def values(self, quantity: str) -> Array:
        """(T,) for a quantity of the run, (T, layers) for one of the layers."""
        return self._with_coming(self.block[:, self.column(quantity)], quantity)

    def some(self, quantity: str, rows: NDArray[np.int64]) -> Array:
        """What `values` has in these rows, which rise: a whole column of a long record takes a millisecond to read."""
        column = self.column(quantity)
        kept = len(self.kept_steps)
        found: Array = self.block[:, column][rows[rows < kept]]
        if self.coming and self.line is not None and len(rows) and rows[-1] == kept:
            found = np.concatenate([found, self.line[None, column]])
        return found

    def extent(self, quantity: str) -> tuple[Array, Array]:
        """Least and greatest value behind every row, shaped like `values`."""
        column = self.column(quantity)
        return self._with_coming(self.low[:, column], quantity), self._with_coming(self.high[:, column], quantity)

    def row(self, step: int) -> int:
        """The row that stands for `step`; -1 when the record is empty."""
        return int(np.searchsorted(self.steps, step, side="right") - 1) if len(self) else -1

    def at(self, quantity: str, step: int) -> Any:
        """The quantity at `step`: a number or (layers,); of the row that stands for it, where it was thinned out."""
        if self.line is not None and step == self.moment:
            return self.line[self.column(quantity)]
        return self.values(quantity)[max(0, self.row(step))]

    def detail(self, step: int) -> Detail | None:
        """The details of exactly this step, where they were measured."""
        return next((d for d in self.details if d.step == step), None)

    def latest_detail(self, step: int) -> Detail | None:
        """The newest detail that was measured at or before this step."""
        return max((d for d in self.details if d.step <= step), key=lambda d: d.step, default=None)


@dataclass
class Record:
    """Growing columns of one run.

    Step s stands in row (s - first_step) // stride. When all rows are taken, neighbors are merged and the stride
    doubles. Arrays handed out by `view` are never written again below the rows that were complete then.
    """

    layers: tuple[str, ...]
    kinds: tuple[str, ...]
    steps_per_epoch: int = 1
    budget: int = BUDGET
    histogram_budget: int = HISTOGRAM_BUDGET
    first_step: int = 0
    run_columns: tuple[str, ...] = RUN_COLUMNS
    layer_columns: tuple[str, ...] = LAYER_COLUMNS
    stride: int = 1
    events: list[tuple[int, str, float]] = field(default_factory=list)
    details: list[Detail] = field(default_factory=list)
    validation: list[tuple[int, float, float, float, float]] = field(default_factory=list)
    marks: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        self.columns = len(self.run_columns) + len(self.layers) * len(self.layer_columns)
        self.capacity = max(64, self.budget // (3 * 8 * self.columns)) // 2 * 2
        self.end = self.first_step  # the step after the last one recorded
        self._block = np.empty((min(FIRST_ROWS, self.capacity), self.columns))
        self._low = self._high = self._block  # one and the same until the first thinning

    # --- writing

    def append(self, lines: Array) -> None:
        """Add the next steps, (n, columns); they continue where the record ends."""
        while len(lines):
            done = self.end - self.first_step
            if done == self.capacity * self.stride:
                self._thin()
            part = lines[: self.capacity * self.stride - done]
            self._reserve(-(-(done + len(part)) // self.stride))
            if self.stride == 1:
                self._block[done : done + len(part)] = part
            else:
                self._merge(part, done)
            self.end += len(part)
            lines = lines[len(part) :]

    def add_detail(self, detail: Detail) -> None:
        """Add the details of a step. Beyond their budget, every second one keeps no histograms: the first of all, and
        this newest one, always do.
        """
        self.details.append(detail)
        while sum(d.bytes for d in self.details) > self.histogram_budget:
            counted = [i for i, d in enumerate(self.details) if d.histograms]
            dropped = counted[1:-1:2]
            if not dropped:
                break
            for index in dropped:
                self.details[index] = replace(self.details[index], histograms={})

    def _merge(self, lines: Array, done: int) -> None:
        row, inside = divmod(done, self.stride)
        if inside:
            rest = lines[: self.stride - inside]
            np.minimum(self._low[row], rest.min(axis=0), out=self._low[row])
            np.maximum(self._high[row], rest.max(axis=0), out=self._high[row])
            lines, row = lines[len(rest) :], row + 1
        whole = len(lines) // self.stride
        if whole:
            parts = lines[: whole * self.stride].reshape(whole, self.stride, self.columns)
            self._block[row : row + whole] = parts[:, 0]
            self._low[row : row + whole] = parts.min(axis=1)
            self._high[row : row + whole] = parts.max(axis=1)
            lines, row = lines[whole * self.stride :], row + whole
        if len(lines):
            self._block[row], self._low[row], self._high[row] = lines[0], lines.min(axis=0), lines.max(axis=0)

    def _reserve(self, rows: int) -> None:
        if rows > len(self._block):
            self._resize(min(self.capacity, max(rows, 2 * len(self._block))))

    def _resize(self, rows: int) -> None:
        def moved(old: Array) -> Array:
            new = np.empty((rows, self.columns))
            new[: len(old)] = old[:rows]
            return new

        same = self._low is self._block
        self._block = moved(self._block)
        self._low, self._high = (self._block, self._block) if same else (moved(self._low), moved(self._high))

    def _thin(self) -> None:
        # New arrays, because views of the old ones are in other hands. A NaN in either neighbor stays a NaN.
        low, high, block = self._low, self._high, self._block
        self._low = np.empty_like(block)
        self._high = np.empty_like(block)
        self._block = np.empty_like(block)
        half = self.capacity // 2
        self._block[:half] = block[::2]
        self._low[:half] = np.minimum(low[::2], low[1::2])
        self._high[:half] = np.maximum(high[::2], high[1::2])
        self.stride *= 2

    def cut(self, step: int) -> int:
        """Forget everything from `step` on; the step from which recording must go on (a row that is cut is done
        anew).
        """
        if step >= self.end:
            return self.end
        self.end = max(self.first_step, self.first_step + (step - self.first_step) // self.stride * self.stride)
        # Rows may be written again below what views show, so the views keep the old arrays.
        self._resize(len(self._block))
        self.details = [d for d in self.details if d.step < self.end]
        self.validation = [v for v in self.validation if v[0] <= self.end]
        self.events = [e for e in self.events if e[0] < step]
        return self.end

    # --- what another run has measured before

    def shared(self) -> Record:
        """The same steps, for another run that goes back over them and records no further ones."""
        same = copy.copy(self)
        same.events, same.details, same.validation = self.events.copy(), self.details.copy(), self.validation.copy()
        return same

    def begin_with(self, other: Record, step: int) -> None:
        """Begin with what another record holds of the steps before `step`: of all quantities and layers that both have.

        What only this one has is NaN there. Afterward the record ends at `step`, or where the last whole row ends; what
        it held before is gone, but for events and marks.
        """
        rows = (min(step, other.end) - other.first_step) // other.stride
        parts = [other._block] if other._low is other._block else [other._block, other._low, other._high]
        block, low, high = (self.translated(part[:rows], other) for part in (parts * 3)[:3])
        self.first_step, self.stride = other.first_step, other.stride
        while len(block) > self.capacity:
            half = len(block) // 2 * 2
            low, high = np.minimum(low[:half:2], low[1:half:2]), np.maximum(high[:half:2], high[1:half:2])
            block = block[:half:2]
            self.stride *= 2
        self.end = self.first_step + len(block) * self.stride
        self._block = block
        self._low, self._high = (low, high) if self.stride > 1 else (block, block)
        self._resize(min(self.capacity, max(FIRST_ROWS, len(block))))
        self.details = [self.detail_of(detail, other) for detail in other.details if detail.step < self.end]
        self.validation = [evaluation for evaluation in other.validation if evaluation[0] < step]

    def translated(self, lines: Array, other: Record | RecordView) -> Array:
        """Lines of another record, (n, its columns), as lines of this one; a copy. NaN for what it has not measured."""
        mine, theirs = _meanings(self), _meanings(other)
        if mine == theirs:
            return np.array(lines)
        place = {meaning: index for index, meaning in enumerate(theirs)}
        both = [(index, place[meaning]) for index, meaning in enumerate(mine) if meaning in place]
        found = np.full((len(lines), len(mine)), np.nan)
        here, there = np.array(both).T
        found[:, here] = lines[:, there]
        return found

    def detail_of(self, detail: Detail, other: Record | RecordView) -> Detail:
        """Percentiles of another record's layers as those of this one's layers."""
        mine = list(zip(self.layers, self.kinds, strict=True))
        theirs = list(zip(other.layers, other.kinds, strict=True))
        if mine == theirs:
            return detail
        both = [(index, theirs.index(layer)) for index, layer in enumerate(mine) if layer in theirs]
        here, there = [index for index, _place in both], [place for _index, place in both]

        def moved(values: Array) -> Array:
            found = np.full((*values.shape[:-1], len(mine)), np.nan)
            found[..., here] = values[..., there]
            return found

        measured = {name: moved(values) for name, values in detail.measured.items()}
        new_places = dict(zip(there, here, strict=True))
        counted = {name: one.moved(new_places) for name, one in detail.histograms.items()}
        return Detail(detail.step, moved(detail.percentiles), measured, counted)

    # --- reading

    def view(
        self,
        moment: int | None = None,
        line: Array | None = None,
        detail: Detail | None = None,
        whole: bool = False,
    ) -> RecordView:
        """The record as it stands now, with one step's exact line at hand.

        whole   also the last row of a thinned record, which does not stand for as many steps yet as the others: for
                files, after the last step (in a view for another thread it would still change)

        moment, line, detail   the step that is being looked at, its line (columns,) and its details
        """
        done = self.end - self.first_step
        complete = -(-done // self.stride) if whole else done // self.stride
        details = tuple(self.details)
        if detail is not None and all(d.step != detail.step for d in details):
            details = (*details, detail)
        validation = np.array(self.validation, dtype=np.float64).reshape(-1, 5)
        return RecordView(
            layers=self.layers,
            kinds=self.kinds,
            kept_steps=self.first_step + self.stride * np.arange(complete, dtype=np.int64),
            block=self._block[:complete],
            low=self._low[:complete],
            high=self._high[:complete],
            stride=self.stride,
            validation_steps=validation[:, 0].astype(np.int64),
            validation_loss=validation[:, 1],
            validation_accuracy=validation[:, 2],
            plain_validation_loss=validation[:, 3],
            plain_validation_accuracy=validation[:, 4],
            details=details,
            steps_per_epoch=self.steps_per_epoch,
            events=tuple(self.events),
            marks=self.marks,
            moment=moment,
            line=None if line is None else line.copy(),
            run_columns=self.run_columns,
            layer_columns=self.layer_columns,
        )


def _meanings(record: Record | RecordView) -> list[tuple[str, ...]]:
    """What stands in each column of a line: a quantity of the run, or of a layer of that path and kind."""
    of_layers = [
        (path, kind, name)
        for path, kind in zip(record.layers, record.kinds, strict=True)
        for name in record.layer_columns
    ]
    return [*((name,) for name in record.run_columns), *of_layers]


# --- files


def arrays(view: RecordView) -> dict[str, NDArray[Any]]:
    """The arrays of `record.npz`."""
    found: dict[str, NDArray[Any]] = {
        "steps": view.kept_steps,
        **{name: view.block[:, view.column(name)] for name in view.run_columns},
        "validation_steps": view.validation_steps,
        "validation_loss": view.validation_loss,
        "validation_accuracy": view.validation_accuracy,
        "plain_validation_loss": view.plain_validation_loss,
        "plain_validation_accuracy": view.plain_validation_accuracy,
        "mark_steps": np.array([step for step, _mark in view.marks], dtype=np.int64),
        "marks": np.array([mark for _step, mark in view.marks], dtype=str),
        "layers": np.array(view.layers),
        "kinds": np.array(view.kinds),
        "run_columns": np.array(view.run_columns),
        "layer_columns": np.array(view.layer_columns),
        **{name: view.block[:, view.column(name)] for name in view.layer_columns},
    }
    details = [d for d in view.details if d.step <= (view.kept_steps[-1] if len(view.kept_steps) else -1)]
    found["detail_steps"] = np.array([d.step for d in details], dtype=np.int64)
    stack = np.array([d.percentiles for d in details]).reshape(len(details), len(PERCENTILES), len(view.layers))
    for index, name in enumerate(PERCENTILE_COLUMNS):
        found[name] = stack[:, index]
    unknown = np.full(len(view.layers), np.nan)
    for name in DETAIL_QUANTITIES:
        rows = [d.measured.get(name, unknown) for d in details]
        found[name] = np.array(rows).reshape(len(details), len(view.layers))
    found |= _histogram_arrays([d for d in details if d.histograms])
    found["stride"] = np.array(view.stride)
    found["steps_per_epoch"] = np.array(view.steps_per_epoch)
    if view.stride > 1:
        for name in (*view.run_columns, *view.layer_columns):
            found[f"least.{name}"], found[f"greatest.{name}"] = (
                view.low[:, view.column(name)],
                view.high[:, view.column(name)],
            )
    return found


def _histogram_arrays(details: Sequence[Detail]) -> dict[str, NDArray[Any]]:
    """The arrays of the histograms; none where nothing was counted.

    histogram_steps (H,); of each quantity `histogram.<quantity>.layers` (R,), which of the layers have it, and by step
    and layer `.range` (H, R, 3): least, most, rms; `.linear` (H, R, 64); `.logarithmic` (H, R, 131) with `.top` (H, R);
    `.special` (H, R, 5), see `diagnostics.histograms`.
    """
    found: dict[str, NDArray[Any]] = {"histogram_steps": np.array([d.step for d in details], dtype=np.int64)}
    for quantity in HISTOGRAM_QUANTITIES if details else ():
        rows = [d.histograms[quantity] for d in details]
        # Steps from before a fork know only the layers that both networks have.
        layers = np.unique(np.concatenate([h.layers for h in rows]))
        rows = [h if np.array_equal(h.layers, layers) else h.over(layers) for h in rows]
        found[f"histogram.{quantity}.layers"] = rows[0].layers
        found[f"histogram.{quantity}.range"] = np.array([np.stack([h.least, h.most, h.rms], axis=1) for h in rows])
        for name in ("linear", "logarithmic", "top", "special"):
            found[f"histogram.{quantity}.{name}"] = np.array([getattr(h, name) for h in rows])
    return found


def npz(contents: dict[str, NDArray[Any]]) -> bytes:
    """A .npz file's bytes, the same for the same arrays."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as packed:
        for name, array in contents.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asanyarray(array), allow_pickle=False)
            packed.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue())
    return memory.getvalue()


def save(view: RecordView, folder: Path) -> None:
    """Write `record.npz`, `record.csv` and `layers.csv`."""
    write_whole(folder / "record.npz", npz(arrays(view)))
    write_whole(folder / "record.csv", _run_table(view))
    write_whole(folder / "layers.csv", _layer_table(view))


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def _table(header: Sequence[str], rows: Any) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _run_table(view: RecordView) -> bytes:
    validation = {int(s): (loss, hit) for s, loss, hit in _validation_rows(view)}
    lines = {int(step): line for step, line in zip(view.kept_steps, view.block, strict=True)}
    unmeasured, nothing = np.full(len(view.run_columns), np.nan), (np.nan, np.nan)
    # An evaluation may fall on a step that is not kept, and the last one is after the last step.
    rows = (
        [
            step,
            *map(_number, lines.get(step, unmeasured)[: len(view.run_columns)]),
            *map(_number, validation.get(step, nothing)),
        ]
        for step in sorted(lines.keys() | validation.keys())
    )
    return _table(["step", *view.run_columns, "validation_loss", "validation_accuracy"], rows)


def _validation_rows(view: RecordView) -> Any:
    return zip(view.validation_steps, view.validation_loss, view.validation_accuracy, strict=True)


def _layer_table(view: RecordView) -> bytes:
    width = len(view.layer_columns)
    rows = (
        [int(step), path, kind, *map(_number, line[first : first + width])]
        for step, line in zip(view.kept_steps, view.block, strict=True)
        for path, kind, first in zip(
            view.layers, view.kinds, range(len(view.run_columns), len(line), width), strict=True
        )
    )
    return _table(["step", "layer", "kind", *view.layer_columns], rows)


def load(path: Path) -> RecordView:
    """Read a `record.npz` back; an InputError when it is none."""
    try:
        content = archive.arrays(path)
        return _view(content)
    except InputError as error:
        raise error.within(str(path)) from None
    except KeyError as error:
        raise _no_record(_("it has no {name}").format(name=error.args[0]), path) from None
    except (ValueError, TypeError, OverflowError) as error:
        raise _no_record(str(error), path) from None


def _no_record(reason: str, path: Path) -> InputError:
    return InputError(
        _("is not a record of a run ({reason}); make it again with: layerscope run").format(reason=reason),
        "",
        str(path),
    )


def _view(content: dict[str, NDArray[Any]]) -> RecordView:
    """The record in the arrays of a file; a KeyError or ValueError when they are not those of one record."""

    def array(name: str, kinds: str, *shape: int) -> NDArray[Any]:
        """The array of that name; its type must be one of `kinds`, its dimensions these (-1: any)."""
        found = content[name]
        fits = found.ndim == len(shape) and all(w in (-1, have) for w, have in zip(shape, found.shape, strict=True))
        if not fits or (found.size and found.dtype.kind not in kinds):
            raise ValueError(f"{name}: {found.dtype} {found.shape}")
        return found

    layers = tuple(map(str, array("layers", "U", -1)))
    kinds = tuple(map(str, array("kinds", "U", len(layers))))
    steps = array("steps", "iu", -1).astype(np.int64)
    if (np.diff(steps) <= 0).any():
        raise ValueError("steps")
    # A record says its columns since the chain from gradients to weights has columns of its own.
    run_columns = _names(array("run_columns", "U", -1)) if "run_columns" in content else RUN_COLUMNS[:5]
    layer_columns = _names(array("layer_columns", "U", -1)) if "layer_columns" in content else LAYER_COLUMNS
    columns = len(run_columns) + len(layers) * len(layer_columns)
    # A record's own arrays hold as many numbers as this does, so a small file cannot ask for a large block.
    wanted = len(steps) * columns
    if wanted > sum(value.size for value in content.values()):
        raise ValueError(f"steps {steps.shape}, layers {len(layers)}")

    def block(prefix: str) -> Array:
        lines = np.full((len(steps), columns), np.nan)
        for index, name in enumerate(run_columns):
            lines[:, index] = array(prefix + name, "fiu", len(steps))
        for index, name in enumerate(layer_columns):
            values = array(prefix + name, "fiu", len(steps), len(layers))
            lines[:, len(run_columns) + index :: len(layer_columns)] = values
        return lines

    stride = int(array("stride", "iu"))
    if stride < 1:
        raise ValueError("stride")
    whole = block("")
    detail_steps = array("detail_steps", "iu", -1)
    percentiles = [array(name, "f", len(detail_steps), len(layers)) for name in PERCENTILE_COLUMNS]
    # Records of older versions have none of these.
    measured = {name: array(name, "f", len(detail_steps), len(layers)) for name in DETAIL_QUANTITIES if name in content}
    counted = _histograms(content, array, len(layers))
    details = tuple(
        Detail(
            int(step),
            np.array([part[i] for part in percentiles]),
            {name: values[i] for name, values in measured.items()},
            counted.get(int(step), {}),
        )
        for i, step in enumerate(detail_steps)
    )
    validation_steps = array("validation_steps", "iu", -1).astype(np.int64)
    evaluations: dict[str, Any] = {
        name: array(name if name in content else name.removeprefix("plain_"), "f", len(validation_steps))
        for name in EVALUATIONS
    }
    marked = array("mark_steps", "iu", -1) if "mark_steps" in content else np.zeros(0, dtype=np.int64)
    marks = array("marks", "U", len(marked)) if "marks" in content else np.zeros(0, dtype=str)
    return RecordView(
        layers=layers,
        kinds=kinds,
        kept_steps=steps,
        block=whole,
        low=block("least.") if stride > 1 else whole,
        high=block("greatest.") if stride > 1 else whole,
        stride=stride,
        validation_steps=validation_steps,
        **evaluations,
        marks=tuple((int(step), str(mark)) for step, mark in zip(marked, marks, strict=True)),
        details=details,
        steps_per_epoch=max(1, int(array("steps_per_epoch", "iu"))),
        run_columns=run_columns,
        layer_columns=layer_columns,
    )


def _histograms(
    content: dict[str, NDArray[Any]], array: Callable[..., NDArray[Any]], layers: int
) -> dict[int, dict[str, Histograms]]:
    """The histograms by step, out of the arrays of a file; older versions wrote none."""
    if "histogram_steps" not in content:
        return {}
    steps = array("histogram_steps", "iu", -1)
    found: dict[int, dict[str, Histograms]] = {int(step): {} for step in steps}
    for quantity in HISTOGRAM_QUANTITIES if len(steps) else ():
        name = f"histogram.{quantity}"
        places = array(f"{name}.layers", "iu", -1).astype(np.int64)
        if len(places) and not (places.min() >= 0 and places.max() < layers):
            raise ValueError(f"{name}.layers")
        shape = len(steps), len(places)
        ranges = array(f"{name}.range", "f", *shape, 3)
        linear, logarithmic = (
            array(f"{name}.linear", "u", *shape, BINS),
            array(f"{name}.logarithmic", "u", *shape, LOG_BINS),
        )
        top, special = (
            array(f"{name}.top", "iu", *shape).astype(np.int64),
            array(f"{name}.special", "u", *shape, SPECIAL),
        )
        for i, step in enumerate(steps):
            least, most, rms = ranges[i].T
            found[int(step)][quantity] = Histograms(
                places, least, most, rms, linear[i], logarithmic[i], top[i], special[i]
            )
    return found


def _names(array: NDArray[Any]) -> tuple[str, ...]:
    """Names of columns, which must differ; every record has those of the quantities that are always measured."""
    names = tuple(map(str, array))
    if len(set(names)) != len(names):
        raise ValueError("columns")
    return names
