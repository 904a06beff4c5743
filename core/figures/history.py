"""A long record has more steps than a screen has columns: bins keep the least and the greatest of every few steps.

Figures over time are drawn again and again while a run grows. Rows of a record never change once they are complete,
so finished bins are kept from one drawing to the next and only the new rows are read.
"""

from __future__ import annotations

import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..record import RecordView

Array = NDArray[np.float64]
KEPT_RECORDS = 16  # of which bins are remembered


@dataclass(frozen=True)
class Binned:
    """A quantity over time, a bin a row: (bins,) for a quantity of the run, (bins, layers) for one of the layers.

    starts       (bins,) first step of each bin
    end          the step after the last one
    first        value at the first step of each bin
    least, most  of all steps in it; NaN when one of them is
    mean         of its recorded steps
    whole        whether every bin is exactly one step
    """

    starts: NDArray[np.int64]
    end: int
    first: Array
    least: Array
    most: Array
    mean: Array
    whole: bool


class _Bins:
    """Finished bins of one quantity of one record."""

    def __init__(self, width: int, size: int):
        self.width, self.size, self.done = width, size, 0
        self.parts = np.empty((4, 64, width))  # first, least, most, sum

    def extend(self, block: Array, low: Array, high: Array, apart: bool) -> None:
        """Take in the bins that are complete now; the arrays are (rows, width)."""
        bins = len(block) // self.size
        if bins <= self.done:
            return
        while bins > self.parts.shape[1]:
            self.parts = np.concatenate([self.parts, np.empty_like(self.parts)], axis=1)
        rows = slice(self.done * self.size, bins * self.size)
        self.parts[:, self.done : bins] = _folded(block[rows], low[rows], high[rows], apart, self.size)
        self.done = bins


def _folded(block: Array, low: Array, high: Array, apart: bool, size: int) -> Array:
    """(4, bins, width): first, least, most and sum of every `size` rows."""
    cells = np.ascontiguousarray(block).reshape(-1, size, block.shape[1])
    if size == 1 and not apart:
        return np.broadcast_to(cells[:, 0], (4, *cells[:, 0].shape))
    found = np.empty((4, len(cells), block.shape[1]))
    found[0] = cells[:, 0]
    lowest = np.ascontiguousarray(low).reshape(cells.shape) if apart else cells
    highest = np.ascontiguousarray(high).reshape(cells.shape) if apart else cells
    with np.errstate(invalid="ignore", over="ignore"):
        lowest.min(axis=1, out=found[1])
        highest.max(axis=1, out=found[2])
        cells.sum(axis=1, out=found[3])
    return found


_known: dict[int, tuple[weakref.ref[Any], dict[tuple[str, int], _Bins]]] = {}
_lock = threading.Lock()


def _remembered(view: RecordView) -> dict[tuple[str, int], _Bins]:
    """The bins known of a record. Its memory is its identity: what is cut or thinned gets new memory."""
    owner = view.block if view.block.base is None else view.block.base
    entry = _known.get(id(owner))
    if entry is not None and entry[0]() is owner:
        return entry[1]
    for key in [key for key, (reference, _bins) in _known.items() if reference() is None]:
        del _known[key]
    while len(_known) >= KEPT_RECORDS:
        del _known[next(iter(_known))]
    fresh: dict[tuple[str, int], _Bins] = {}
    _known[id(owner)] = (weakref.ref(owner), fresh)
    return fresh


def binned(view: RecordView, quantity: str, most: int) -> Binned:
    """A quantity over time in at most `most` bins (and one for the coming step, where that is being looked at)."""
    column = view.column(quantity)
    rows = len(view.kept_steps)
    size = 1
    while rows > most * size:
        size *= 2
    apart = view.stride > 1
    columns = slice(column, column + 1) if isinstance(column, int) else column
    block, low, high = view.block[:, columns], view.low[:, columns], view.high[:, columns]
    with _lock:
        known = _remembered(view)
        bins = known.get((quantity, size))
        if bins is None or bins.width != block.shape[1]:
            known.pop((quantity, size // 2), None)
            bins = known[quantity, size] = _Bins(block.shape[1], size)
        bins.extend(block, low, high, apart)
        count = rows // size  # another view may have seen more
        parts = [bins.parts[:, :count]]
    rest = slice(count * size, rows)
    left = rows - count * size
    if left:
        parts.append(_folded(block[rest], low[rest], high[rest], apart, left))
    counts = np.full(count + bool(left), float(size))
    counts[count:] = left
    starts = view.kept_steps[:rows:size] if rows else view.kept_steps
    end = int(view.kept_steps[-1]) + view.stride if rows else 0
    if view.coming and view.line is not None and view.moment is not None:
        parts.append(np.broadcast_to(view.line[columns], (4, 1, block.shape[1])))
        counts = np.append(counts, 1.0)
        starts = np.append(starts, view.moment)
        end = view.moment + 1
    first, least, greatest, total = np.concatenate(parts, axis=1)
    mean = total / counts[:, None]
    if isinstance(column, int):
        first, least, greatest, mean = first[:, 0], least[:, 0], greatest[:, 0], mean[:, 0]
    return Binned(starts, end, first, least, greatest, mean, size == 1 and not apart)
