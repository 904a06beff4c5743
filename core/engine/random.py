"""Random numbers that depend only on what they are for: the same draw for the same place, in every lane and in any
order.

A number is a function of a key and a counter, nothing is remembered between draws. The key is a hash of (seed, purpose,
place), so a weight matrix, the order of an epoch or the noise of a data set can be drawn again alone, at any time. That
makes lanes comparable, and going back in time exact.

The function is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators", 2014): a Weyl
sequence sent through a 64-bit mixer. The same formula stands here twice, for NumPy and for kernels; a test compares
them.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from .kernel import device

GAMMA = np.uint64(0x9E3779B97F4A7C15)
FIRST_MIX = np.uint64(0xBF58476D1CE4E5B9)
SECOND_MIX = np.uint64(0x94D049BB133111EB)
A, B, C = np.uint64(30), np.uint64(27), np.uint64(31)
ONE = np.uint64(1)
HALF_WORD = np.uint64(32)


def key(seed: int, purpose: str, place: str = "", step: int = 0) -> int:
    """The key of the stream for (seed, purpose, place, step), a signed 64-bit integer."""
    text = f"{seed}/{purpose}/{place}/{step}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


def bits(stream: int, count: int, first: int = 0) -> NDArray[np.uint64]:
    """Numbers first ... first + count - 1 of a stream, 64 random bits each."""
    with np.errstate(over="ignore"):
        counter = np.arange(first, first + count, dtype=np.uint64) + ONE
        z = np.uint64(stream & 0xFFFFFFFFFFFFFFFF) + counter * GAMMA
        z = (z ^ (z >> A)) * FIRST_MIX
        z = (z ^ (z >> B)) * SECOND_MIX
        return z ^ (z >> C)


def uniform(stream: int, count: int, first: int = 0) -> NDArray[np.float64]:
    """Uniform numbers in the open interval (0, 1), 52 random bits each."""
    return ((bits(stream, count, first) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normal(stream: int, count: int, first: int = 0) -> NDArray[np.float64]:
    """Standard normal numbers, as the quantiles of `uniform`: both come from the same draws, one grows with the
    other.
    """
    from scipy.special import ndtri

    return np.asarray(ndtri(uniform(stream, count, first)))


def permutation(stream: int, count: int) -> NDArray[np.int64]:
    """A random order of 0 ... count - 1."""
    return np.argsort(bits(stream, count), kind="stable").astype(np.int64)


@device
def draw(stream, counter):  # type: ignore[no-untyped-def]
    """Number `counter` of a stream, for kernels: 64 random bits. `stream` is int64, `counter` an integer."""
    z = np.uint64(stream) + (np.uint64(counter) + ONE) * GAMMA
    z = (z ^ (z >> A)) * FIRST_MIX
    z = (z ^ (z >> B)) * SECOND_MIX
    return z ^ (z >> C)


@device
def shuffle(order, first, count, stream):  # type: ignore[no-untyped-def]
    """Fill order[first : first + count] with a random order of 0 ... count - 1 (Fisher and Yates)."""
    for i in range(count):
        order[first + i] = i
    for i in range(count - 1, 0, -1):
        # 32 random bits times (i + 1), upper half: even to one part in 2^32 / (i + 1)
        j = np.int64(((draw(stream, i) >> HALF_WORD) * np.uint64(i + 1)) >> HALF_WORD)
        order[first + i], order[first + j] = order[first + j], order[first + i]
