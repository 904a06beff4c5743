"""Long sums that keep their digits: many numbers are added up in stretches, and the stretches are added up.

A float32 holds 7 digits. A running sum of 50,000 such numbers loses up to 4 of them, because each new number is rounded
to the size of the sum; in stretches of 256 every sum stays short.
"""

from __future__ import annotations

from .kernel import device

STRETCH = 256  # rows added up at a time


@device
def column_sums(x, total, part):  # type: ignore[no-untyped-def]
    """total (n,) = sums over the rows of x (count, n). `part` (n,) is room for the sum of one stretch."""
    count, n = x.shape
    for j in range(n):
        total[j] = 0
    for start in range(0, count, STRETCH):
        for j in range(n):
            part[j] = 0
        for i in range(start, min(start + STRETCH, count)):
            for j in range(n):
                part[j] += x[i, j]
        for j in range(n):
            total[j] += part[j]


@device
def column_products(x, y, center, scale, total, part):  # type: ignore[no-untyped-def]
    """total (n,) = sums over the rows of x * (y - center) * scale, with x, y (count, n) and center, scale (n,)."""
    count, n = x.shape
    for j in range(n):
        total[j] = 0
    for start in range(0, count, STRETCH):
        for j in range(n):
            part[j] = 0
        for i in range(start, min(start + STRETCH, count)):
            for j in range(n):
                part[j] += x[i, j] * ((y[i, j] - center[j]) * scale[j])
        for j in range(n):
            total[j] += part[j]


@device
def column_squares(x, center, total, part):  # type: ignore[no-untyped-def]
    """total (n,) = sums over the rows of (x - center)^2, with x (count, n) and center (n,)."""
    count, n = x.shape
    for j in range(n):
        total[j] = 0
    for start in range(0, count, STRETCH):
        for j in range(n):
            part[j] = 0
        for i in range(start, min(start + STRETCH, count)):
            for j in range(n):
                deviation = x[i, j] - center[j]
                part[j] += deviation * deviation
        for j in range(n):
            total[j] += part[j]
