"""How a kernel gets at its operands: views into the flat arrays, without copies."""

from __future__ import annotations

from .kernel import device, intrinsic

offset = intrinsic("offset")


carray = intrinsic("carray")


@device
def block(pointer, first, count):  # type: ignore[no-untyped-def]
    """The `count` numbers from position `first` of a flat array, as a one-dimensional array."""
    return carray(offset(pointer, first), count)


@device
def matrix(pointer, first, rows, columns):  # type: ignore[no-untyped-def]
    """The (rows, columns) matrix, row after row, that starts at position `first` of a flat array."""
    return carray(offset(pointer, first), (rows, columns))
