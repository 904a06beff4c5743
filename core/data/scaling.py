"""Scaling brings the inputs into a range in which a network learns well: the first trick, before any weight is drawn.

Whatever a scaling measures (a mean, a range), it measures on the training samples only and then applies the same
numbers to the validation and test samples. Measured on all samples, it would tell training something about samples that
it must not know. So scaled validation samples may lie somewhat outside the range; they are not cut off.

A feature is one number of a sample: a column of a table, a pixel of an image. One that is the same in all training
samples carries no information and has no range to divide by: every scaling but `none` makes it 0 there.
"""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..registry import Registry
from ..text import N_, _

MOST_WHITENED = 4096  # features; the time grows with their third power, 4,096 take about a minute
FLOOR = 1e-3  # variance of a direction, in units of a standardized feature's, below which it is not stretched to 1


class Fitted(msgspec.Struct, frozen=True):
    """A scaling with the numbers that it measured: scaled = ((raw - offset) / divisor + base) @ matrix.

    offset, divisor   shape of one sample, or no dimensions where one number serves all features
    base              where the offset goes: 0, or -1 for a range that starts at -1
    constant          True for features that never change (their divisor is 1); same shape as offset
    matrix, inverse   (features, features) where features are mixed, and its inverse; None where they are not
    """

    offset: NDArray[np.float64]
    divisor: NDArray[np.float64]
    constant: NDArray[np.bool_]
    base: float = 0.0
    matrix: NDArray[np.float64] | None = None
    inverse: NDArray[np.float64] | None = None

    @property
    def is_finite(self) -> bool:
        """Whether what was measured can be applied at all; infinite where the inputs are too large to measure."""
        return bool(np.isfinite(self.offset).all() and np.isfinite(self.divisor).all())

    def apply(self, x: NDArray[np.float64], overwrite: bool = False) -> NDArray[np.float64]:
        """Raw samples (n, *shape) as the network sees them.

        overwrite   whether x may be used for the result, which saves its memory
        """
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks at what is not finite
            scaled = np.asarray(np.subtract(x, self.offset, out=x if overwrite else None))
            scaled /= self.divisor
            if self.base:
                scaled += np.where(self.constant, 0.0, self.base)
            return _mixed(scaled, self.matrix)

    def undo(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scaled samples (n, *shape) as they were, for pictures and axes."""
        raw = _mixed(np.asarray(x, dtype=np.float64), self.inverse)
        return np.asarray((raw - np.where(self.constant, 0.0, self.base)) * self.divisor + self.offset)


def _mixed(x: NDArray[np.float64], matrix: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Samples (n, *shape), each multiplied as one row with a matrix (features, features)."""
    return x if matrix is None else (x.reshape(len(x), len(matrix)) @ matrix).reshape(x.shape)


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


class Whiten(Scaling, frozen=True):
    """Standardized, and then turned and stretched so that no feature can be told from the others.

    Neighboring pixels are nearly equal, and so are length and width of a leaf. Whitening (ZCA on the standardized
    features, that is with the symmetric root of their correlation matrix) takes that away and changes the samples as
    little as it can, so that an image still looks like itself, with its edges brought out.

    Over the training samples the covariance becomes the identity, but for directions in which they hardly differ: there
    the variance l becomes l / (l + FLOOR) instead of 1, because in a direction with nothing but rounding in it, a new
    sample would otherwise be blown up without end. A feature that never changes becomes 0.
    """

    label: ClassVar[str] = N_("whitened")
    help: ClassVar[str] = N_("Standardized, and inputs that go together are taken apart: no two are correlated.")

    def fit(self, x: NDArray[np.float64]) -> Fitted:
        features = math.prod(x.shape[1:])
        if features > MOST_WHITENED:
            raise InputError(
                _(
                    "whitening {features:,} inputs takes too long, at most {most:,} can be; choose another scaling or "
                    "smaller images"
                ).format(features=features, most=MOST_WHITENED),
                "scaling",
            )
        standard = Standardize().fit(x)
        if not standard.is_finite:
            return standard  # too large to measure, as the caller will see
        rows = standard.apply(x).reshape(len(x), features)
        if not np.isfinite(rows).all():
            return standard
        variances, directions = np.linalg.eigh(rows.T @ rows / len(rows))
        stretch = np.sqrt(np.maximum(variances, 0.0) + FLOOR)
        matrix, inverse = (directions / stretch) @ directions.T, (directions * stretch) @ directions.T
        # The directions of constant features have no variance. They are not stretched: what is 0 in training and 1 in
        # a new sample should be 1 there, as with the other scalings.
        still = standard.constant.ravel()
        for square in (matrix, inverse):
            square[still, :] = 0.0
            square[:, still] = 0.0
            square[still, still] = 1.0
        return msgspec.structs.replace(standard, matrix=matrix, inverse=inverse)


SCALINGS.add("none")(NoScaling())
SCALINGS.add("unit")(Unit())
SCALINGS.add("symmetric")(Symmetric())
SCALINGS.add("standardize")(Standardize())
SCALINGS.add("whiten")(Whiten())
