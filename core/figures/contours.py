"""Lines of equal height on a map, found cell by cell (marching squares)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def contour(values: Array, x: Array, y: Array, level: float) -> tuple[Array, Array]:
    """Where values (rows, columns), known at x (columns,) and y (rows,), are `level`: pieces of two points each with a
    NaN between them, as a line is drawn. Cells with a corner that is no number have none.
    """
    with np.errstate(all="ignore"):
        above = values > level
        share_x = (level - values[:, :-1]) / (values[:, 1:] - values[:, :-1])
        share_y = (level - values[:-1]) / (values[1:] - values[:-1])
    across = x[:-1] + share_x * np.diff(x)  # (rows, columns - 1): where a horizontal edge is crossed
    up = y[:-1, None] + share_y * np.diff(y)[:, None]  # (rows - 1, columns): where an upright edge is crossed
    known = np.isfinite(values)
    whole = known[:-1, :-1] & known[:-1, 1:] & known[1:, :-1] & known[1:, 1:]
    flat, tall = above[:, :-1] != above[:, 1:], above[:-1] != above[1:]
    crossed = np.stack([flat[:-1], tall[:, 1:], flat[1:], tall[:, :-1]], axis=-1) & whole[..., None]
    rows, columns = whole.shape
    place_x = np.stack(
        [
            across[:-1],
            np.broadcast_to(x[1:], (rows, columns)),
            across[1:],
            np.broadcast_to(x[:-1], (rows, columns)),
        ],
        axis=-1,
    )
    place_y = np.stack(
        [
            np.broadcast_to(y[:-1, None], (rows, columns)),
            up[:, 1:],
            np.broadcast_to(y[1:, None], (rows, columns)),
            up[:, :-1],
        ],
        axis=-1,
    )
    cells = crossed.any(axis=-1)
    order = np.argsort(~crossed[cells], axis=-1, kind="stable")  # the crossed edges of each cell come first
    across, up = (np.take_along_axis(place[cells], order, axis=-1) for place in (place_x, place_y))
    twice = crossed[cells].sum(axis=-1) == 4  # a saddle has two pieces
    found = []
    for place in (across, up):
        pieces = np.concatenate([place[:, :2], place[twice, 2:]])
        found.append(np.column_stack([pieces, np.full(len(pieces), np.nan)]).ravel())
    return found[0], found[1]
