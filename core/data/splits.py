"""Splitting keeps some samples away from training, to see what the network learned and what it only memorized.

The split is stratified: training, validation and test samples hold the classes in the same proportions, as far as whole
samples allow. By chance alone, a class of a small set could be missing from training, which shows nothing but bad luck.

Everything follows from the seed through counter-based draws, each for its own purpose. So settings do not disturb each
other: the test samples are the same whatever the validation share is, and the samples with a wrong label at 10 % label
noise are among those at 20 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..errors import InputError
from ..text import _
from .scaling import SCALINGS

if TYPE_CHECKING:
    from .base import Data, DataSet, Samples


def prepare(dataset: DataSet, samples: Samples, seed: int) -> Data:
    """Samples as training wants them: split, with label noise, scaled, with one-hot targets.

    Label noise touches the training samples only, scaling is measured on the training samples only. InputError when
    nothing is left to train on, when the classes do not allow label noise, or when a number is not finite.
    """
    from .base import Data, plain

    classes = len(samples.classes)
    if not np.isfinite(samples.x).all():
        raise InputError(_("the inputs hold numbers that are not finite (NaN or infinity); remove those samples"))
    train, validation, test = split(samples.y, dataset.validation, dataset.test, seed)
    y = with_label_noise(samples.y, train, dataset.label_noise, classes, seed)
    scale = SCALINGS.get(dataset.scaling, "scaling").fit(samples.x[train])
    scaled = scale.apply(samples.x)
    if not (np.isfinite(scale.divisor).all() and np.isfinite(scaled).all()):
        raise InputError(
            _("the inputs are too large to be scaled; divide them by a power of ten in the file"), "scaling"
        )

    def part(rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
        return plain(scaled[rows]), np.ascontiguousarray(y[rows]), one_hot(y[rows], classes)

    return Data(*part(train), *part(validation), *part(test), classes=samples.classes, scale=scale)


def split(
    y: NDArray[np.int64], validation: float, test: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers of the training, validation and test samples, each in random order.

    y                  (samples,) classes
    validation, test   shares; the numbers of samples are rounded to the nearest
    """
    count = len(y)
    for_test, for_validation = round(test * count), round(validation * count)
    if count - for_test - for_validation < 1:
        raise InputError(
            _(
                "{count} samples with validation share {validation:g} and test share {test:g} leave none to train on; "
                "lower the shares or use more samples"
            ).format(count=count, validation=validation, test=test),
            "validation",
        )
    order = random.permutation(random.key(seed, "split"), count)
    # Where each sample stands among those of its class, from 0 to 1. Sorted by that, every stretch holds all classes in
    # proportion; the stable sort leaves ties in random order.
    standing = np.empty(count)
    for kind in np.unique(y):
        members = y[order] == kind
        standing[members] = (np.arange(members.sum()) + 0.5) / members.sum()
    mixed = order[np.argsort(standing, kind="stable")]
    rank = np.empty(count, dtype=np.int64)
    rank[order] = np.arange(count)

    def shuffled(rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return rows[np.argsort(rank[rows])]

    first, second = for_test, for_test + for_validation
    return shuffled(mixed[second:]), shuffled(mixed[first:second]), shuffled(mixed[:first])


def with_label_noise(
    y: NDArray[np.int64], train: NDArray[np.int64], share: float, classes: int, seed: int
) -> NDArray[np.int64]:
    """The classes of all samples, with those of `share` of the training samples replaced by a random other class.

    y       (samples,) classes
    train   row numbers of the training samples
    """
    wrong = round(share * len(train))
    if wrong == 0:
        return y
    if classes < 2:
        raise InputError(_("label noise needs at least two classes, the data has one; set it to 0"), "label_noise")
    rank = np.argsort(random.permutation(random.key(seed, "label noise", "samples"), len(y)))
    chosen = train[np.argsort(rank[train])][:wrong]
    shift = random.uniform(random.key(seed, "label noise", "classes"), len(y))[chosen]
    noisy = y.copy()
    noisy[chosen] = (y[chosen] + 1 + (shift * (classes - 1)).astype(np.int64)) % classes
    return noisy


def one_hot(y: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(samples, classes): 1 at the class of each sample, 0 elsewhere."""
    targets = np.zeros((len(y), classes))
    targets[np.arange(len(y)), y] = 1.0
    return targets
