"""Scaling brings the inputs into a range in which a network learns well: the first trick, before any weight is drawn.

Whatever a scaling measures (a mean, a range), it measures on the training samples only and then applies the same
numbers to the validation and test samples. Measured on all samples, it would tell training something about samples that
it must not know. So scaled validation samples may lie somewhat outside the range; they are not cut off.

A feature is one number of a sample: a column of a table, a pixel of an image. One that is the same in all training
samples carries no information and has no range to divide by: every scaling but `none` makes it 0 there.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..registry import Registry
from ..text import N_


class Fitted(msgspec.Struct, frozen=True):
    """A scaling with the numbers that it measured: scaled = (raw - offset) / divisor + base.

    offset, divisor   shape of one sample, or no dimensions where one number serves all features
    base              where the offset goes: 0, or -1 for a range that starts at -1
    constant          True for features that never change; same shape as offset
    """

    offset: NDArray[np.float64]
    divisor: NDArray[np.float64]
    constant: NDArray[np.bool_]
    base: float = 0.0

    def apply(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw samples (n, *shape) as the network sees them."""
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at what is not finite
            return np.where(self.constant, x - self.offset, (x - self.offset) / self.divisor + self.base)

    def undo(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled samples (n, *shape) as they were, for pictures and axes."""
        return np.where(self.constant, x + self.offset, (x - self.base) * self.divisor + self.offset)


class Scaling(msgspec.Struct, frozen=True):
    """A way to scale inputs, before it has seen any."""

    label: ClassVar[str] = ""
    help: ClassVar[str] = ""

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        """Measure on the training samples x (n, *shape), n at least 1."""
        raise NotImplementedError


SCALINGS: Registry[Scaling] = Registry(N_("scaling"))


def _fixed(offset: float, divisor: float) -> Fitted:
    return Fitted(np.asarray(offset, np.float64), np.asarray(divisor, np.float64), np.asarray(False))


def _range(x: NDArray[np.float64], base: float, width: float) -> Fitted:
    """Smallest value to `base`, greatest to `base + width`.

    The pixels of an image share one range, so that the picture stays a picture: gray stays between black and white. The
    columns of a table measure different things, so each has its own.
    """
    axes = 0 if x.ndim <= 2 else None
    low, high = x.min(axis=axes), x.max(axis=axes)
    with np.errstate(over="ignore"):
        divisor = (high - low) / width
    constant = np.asarray(divisor == 0.0)
    return Fitted(np.asarray(low), np.where(constant, 1.0, divisor), constant, base)


class NoScaling(Scaling, frozen=True):
    """Inputs as they are."""

    label: ClassVar[str] = N_("raw")
    help: ClassVar[str] = N_("Inputs as they are in the data.")

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        return _fixed(0.0, 1.0)


class Unit(Scaling, frozen=True):
    """The range of the training samples becomes 0 to 1."""

    label: ClassVar[str] = N_("0 to 1")
    help: ClassVar[str] = N_("The smallest input becomes 0 and the greatest 1; images keep one range for all pixels.")

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        return _range(x, 0.0, 1.0)


class Symmetric(Scaling, frozen=True):
    """The range of the training samples becomes -1 to 1."""

    label: ClassVar[str] = N_("-1 to 1")
    help: ClassVar[str] = N_("The smallest input becomes -1 and the greatest 1; images keep one range for all pixels.")

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        return _range(x, -1.0, 2.0)


class Standardize(Scaling, frozen=True):
    """Every feature gets mean 0 and standard deviation 1 over the training samples.

    Every feature by itself, pixels too, with the standard deviation divided by n, not n - 1, as scikit-learn's
    StandardScaler does. So a pixel that is ink in one sample in a thousand reaches about 32 there.
    """

    label: ClassVar[str] = N_("standardized")
    help: ClassVar[str] = N_("Every input gets mean 0 and standard deviation 1; one that never changes becomes 0.")

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        # Rounding gives a constant like 0.1 a tiny standard deviation; comparing the values themselves does not.
        constant = x.max(axis=0) == x.min(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):
            offset, divisor = np.where(constant, x[0], x.mean(axis=0)), x.std(axis=0)
        constant |= divisor == 0.0
        return Fitted(offset, np.where(constant, 1.0, divisor), constant)


SCALINGS.add("none")(NoScaling())
SCALINGS.add("unit")(Unit())
SCALINGS.add("symmetric")(Symmetric())
SCALINGS.add("standardize")(Standardize())
