"""Small pictures of tensors: what stands in them as a matrix of at most 64 by 64 cells, and the range of all of it.

A tensor that is larger is shown by the largest number of every block of neighbors: so a lonely spike or a NaN among
thousands is still seen. Images are laid out channel by channel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..text import _

Array = NDArray[np.float64]
Indices = NDArray[np.int64]
MOST = 64  # cells across and down
Cells = tuple[int, int, int, int]  # of a rectangle: first row, first column, behind the last row, the last column


@dataclass(frozen=True)
class Range:
    """What the numbers of a tensor are like; of those that are finite.

    zeros     share that is exactly zero, of all
    strange   how many are NaN or infinite
    """

    count: int
    least: float
    most: float
    mean: float
    std: float
    zeros: float
    strange: int


def range_of(values: NDArray[Any]) -> Range:
    """The range of an array of any shape."""
    count = values.size
    if count == 0:
        return Range(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    known = np.isfinite(values)
    zeros = float(np.count_nonzero(values == 0) / count)
    finite = values if known.all() else values[known]
    if finite.size == 0:
        return Range(count, math.nan, math.nan, math.nan, math.nan, zeros, count)
    mean = float(finite.mean(dtype=np.float64))
    std = float(np.sqrt(np.square(finite.astype(np.float64) - mean).mean()))
    return Range(count, float(finite.min()), float(finite.max()), mean, std, zeros, count - finite.size)


@dataclass(frozen=True)
class Picture:
    """One tensor.

    symbol         what it is called in the formulas
    shape          of the whole tensor
    values         (rows, columns) of the picture; NaN in the gaps between channels, and where a number is NaN
    rows, columns  what is counted down and across: "sample", "unit", "input", "pixel"; "" where it is nothing
    row_names, column_names   the first number of each row and column, counted from 1
    block          how many rows and columns of numbers one cell stands for
    range          of the whole tensor
    marked         rectangles around what is looked at
    chooses        what pointing at a cell means: option -> (rows, columns) of the number to set, 0 in the gaps
    result         computed by the operation, not given to it
    sign           how it comes together with the picture before it: "·", "+"
    """

    symbol: str
    shape: tuple[int, ...]
    values: Array
    rows: str
    columns: str
    row_names: Indices
    column_names: Indices
    block: tuple[int, int]
    range: Range
    marked: tuple[Cells, ...] = ()
    chooses: Mapping[str, Indices] = field(default_factory=dict)
    result: bool = False
    sign: str = ""


def smaller(values: NDArray[Any]) -> tuple[Array, Indices, Indices, tuple[int, int]]:
    """A matrix with at most 64 rows and columns: (cells, the row and the column that each shows, size of a block)."""
    matrix = np.asarray(values, dtype=np.float64)
    rows, columns = matrix.shape
    down, across = -(-rows // MOST), -(-columns // MOST)
    if down == across == 1:
        each = np.indices(matrix.shape)
        return matrix, each[0], each[1], (1, 1)
    high, wide = -(-rows // down), -(-columns // across)
    size = np.full((high * down, wide * across), -1.0)
    size[:rows, :columns] = np.where(np.isnan(matrix), np.inf, np.abs(matrix))
    blocks = size.reshape(high, down, wide, across).transpose(0, 2, 1, 3).reshape(high, wide, -1)
    chosen = blocks.argmax(axis=2)
    row = np.asarray(np.arange(high)[:, None] * down + chosen // across)
    column = np.asarray(np.arange(wide)[None, :] * across + chosen % across)
    return matrix[row, column], row, column, (down, across)


def matrix_picture(
    symbol: str,
    values: NDArray[Any],
    shape: Sequence[int],
    labels: tuple[str, str],
    options: tuple[str, str],
    lines: Sequence[tuple[int | None, int | None]],
    *,
    whole: NDArray[Any] | None = None,
    first_row: int = 0,
    result: bool = False,
) -> Picture:
    """A matrix; `lines` are the numbers (row, column) to be marked, None for all of a row or column.

    options     what a row and a column choose; "" where nothing
    whole       the tensor that the range is of, when `values` are a part of it
    first_row   number of the first row, where only a part is shown
    """
    cells, row, column, block = smaller(values)
    chooses = {
        option: numbers for option, numbers in zip(options, (row + 1 + first_row, column + 1), strict=True) if option
    }
    high, wide = cells.shape
    marked: list[Cells] = []
    for r, c in lines:
        top, bottom = (0, high) if r is None else (r // block[0], r // block[0] + 1)
        left, right = (0, wide) if c is None else (c // block[1], c // block[1] + 1)
        if bottom <= high and right <= wide:
            marked.append((top, left, bottom, right))
    return Picture(
        symbol,
        tuple(shape),
        cells,
        *labels,
        np.arange(high) * block[0] + 1 + first_row,
        np.arange(wide) * block[1] + 1,
        block,
        range_of(values if whole is None else whole),
        tuple(marked),
        chooses,
        result,
    )


def tiles(count: int) -> tuple[int, int]:
    """Rows and columns of tiles in which so many channels are laid out."""
    wide = math.ceil(math.sqrt(count))
    return -(-count // wide), wide


def laid_out(values: NDArray[Any], numbers: Indices) -> tuple[Array, Indices, int]:
    """Channels (height, width, channels) side by side with gaps of one cell, as many as fit into the picture; what
    stands in each cell of `numbers`, -1 in the gaps; how many channels there are in a row.
    """
    height, width, channels = values.shape
    room_down, room_across = max(1, (MOST + 1) // (height + 1)), max(1, (MOST + 1) // (width + 1))
    shown = min(channels, room_down * room_across)
    down, across = tiles(shown)
    if down > room_down or across > room_across:
        across = min(room_across, shown)
        down = -(-shown // across)
    cells = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    index = np.full(cells.shape, -1, dtype=np.int64)
    for channel in range(shown):
        top, left = channel // across * (height + 1), channel % across * (width + 1)
        cells[top : top + height, left : left + width] = values[:, :, channel]
        index[top : top + height, left : left + width] = numbers[:, :, channel]
    return cells, index, across


def image_picture(
    symbol: str,
    values: NDArray[Any],
    shape: Sequence[int],
    option: str,
    chosen: Sequence[tuple[slice, slice, int | None]],
    *,
    whole: NDArray[Any] | None = None,
    modulo: int = 0,
    label: str = "",
    result: bool = False,
) -> Picture:
    """One sample's image (height, width, channels), a tile a channel.

    chosen   (rows, columns, channel or None for all) of the parts to be marked
    modulo   where only so many numbers can be chosen
    """
    height, width, channels = values.shape
    numbers = np.arange(values.size).reshape(values.shape)
    image, index = np.asarray(values, dtype=np.float64), numbers
    block = 1
    if max(height, width) > MOST:
        block = -(-max(height, width) // MOST)
        parts = [smaller_by(image[:, :, c], block) for c in range(channels)]
        image = np.stack([cells for cells, _row, _column in parts], axis=2)
        index = np.stack([numbers[row, column, c] for c, (_cells, row, column) in enumerate(parts)], axis=2)
    cells, index, across = laid_out(image, index)
    high, wide = image.shape[:2]
    marked: list[Cells] = []
    for rows, columns, channel in chosen:
        for c in range(channels) if channel is None else (channel,):
            top, left = c // across * (high + 1), c % across * (wide + 1)
            if top >= len(cells):
                continue
            first, last = max(0, rows.start) // block, -(-min(height, rows.stop) // block)
            start, stop = max(0, columns.start) // block, -(-min(width, columns.stop) // block)
            if first < last and start < stop:
                marked.append((top + first, left + start, top + last, left + stop))
    number = index if not modulo else np.where(index >= 0, index % modulo, -1)
    return Picture(
        symbol,
        tuple(shape),
        cells,
        _("row"),
        label,
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        (block, block),
        range_of(values if whole is None else whole),
        tuple(marked),
        {option: number + 1} if option else {},
        result,
    )


def smaller_by(matrix: Array, block: int) -> tuple[Array, Indices, Indices]:
    """A matrix with the largest number of every block of `block` by `block`."""
    rows, columns = matrix.shape
    high, wide = -(-rows // block), -(-columns // block)
    size = np.full((high * block, wide * block), -1.0)
    size[:rows, :columns] = np.where(np.isnan(matrix), np.inf, np.abs(matrix))
    chosen = size.reshape(high, block, wide, block).transpose(0, 2, 1, 3).reshape(high, wide, -1).argmax(axis=2)
    row = np.arange(high)[:, None] * block + chosen // block
    column = np.arange(wide)[None, :] * block + chosen % block
    return matrix[row, column], row, column


def kernel_picture(
    symbol: str, values: NDArray[Any], unit: int, entry: int | None, *, label: str, result: bool = False
) -> Picture:
    """Weights of a convolution (height, width, in, out): a column of tiles a filter, a row of them an input channel.

    unit, entry   the filter to be marked, and which of its numbers (None: all of them)
    """
    height, width, inputs, filters = values.shape
    down = min(inputs, max(1, (MOST + 1) // (height + 1)))
    room = max(1, (MOST + 1) // (width + 1))
    first = 0 if unit < room else min(unit, filters - room)  # the chosen filter is always seen
    across = min(filters, room)
    cells = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    entries, units = np.zeros(cells.shape, dtype=np.int64), np.zeros(cells.shape, dtype=np.int64)
    numbers = np.arange(height * width * inputs).reshape(height, width, inputs)
    for c in range(down):
        for o in range(across):
            here = (
                slice(c * (height + 1), c * (height + 1) + height),
                slice(o * (width + 1), o * (width + 1) + width),
            )
            cells[here] = values[:, :, c, first + o]
            entries[here] = numbers[:, :, c] + 1
            units[here] = first + o + 1
    marked: list[Cells] = []
    left = (unit - first) * (width + 1)
    if entry is None:
        marked = [(c * (height + 1), left, c * (height + 1) + height, left + width) for c in range(down)]
    else:
        u, v, c = (int(n) for n in np.unravel_index(entry, numbers.shape))
        if c < down:
            top = c * (height + 1)
            marked = [(top + u, left + v, top + u + 1, left + v + 1)]
    return Picture(
        symbol,
        tuple(values.shape),
        cells,
        _("channel that comes in"),
        label,
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.int64),
        (1, 1),
        range_of(values),
        tuple(marked),
        {"input": entries, "unit": units},
        result,
    )
