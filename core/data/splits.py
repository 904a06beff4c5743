"""Splitting keeps some samples away from training, to see what the network learned and what it only memorized.

The split is stratified: training, validation and test samples hold the classes in the same proportions, as far as whole
samples allow. By chance alone, a class of a small set could be missing from training, which shows nothing but bad luck.
Where values are to be predicted there are no classes, and chance alone decides.

Everything follows from the seed through counter-based draws, each for its own purpose. So settings do not disturb each
other: the test samples are the same whatever the validation share is, and the samples with a wrong label at 10 % label
noise are among those at 20 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..errors import InputError
from ..text import _
from .scaling import SCALINGS

if TYPE_CHECKING:
    from .base import Data, DataSet, Samples


def prepare(dataset: DataSet, samples: Samples, seed: int) -> Data:
    """Samples as training wants them: split, with label noise, scaled, with one-hot targets or the values to predict.

    Label noise touches the training samples only, scaling and the mean of missing values are measured on the training
    samples only. Values to predict stay in the unit that they have in the data, so that a loss and a chart can be read
    in it. InputError when nothing is left to train on, when the classes do not allow label noise, or when a number is
    not finite.
    """
    from .base import Data, plain

    classes = len(samples.classes)
    if not (samples.gaps or np.isfinite(samples.x).all()):
        raise InputError(_("the inputs hold numbers that are not finite (NaN or infinity); remove those samples"))
    if not np.isfinite(samples.y).all():
        raise InputError(_("the values to predict are not all finite (there is NaN or infinity); remove those samples"))
    # Only classes can be shared out evenly. Values to predict are split by chance, as if all were of one class.
    kinds = samples.y if classes else np.zeros(len(samples.y), dtype=np.int64)
    train, validation, test = split(kinds, dataset.validation, dataset.test, seed)
    y: NDArray[Any] = (
        with_label_noise(samples.y, train, dataset.label_noise, classes, seed)
        if classes
        else with_value_noise(samples.y, train, dataset.label_noise, seed)
    )
    # Part by part, so that the data is not in memory three times over.
    raw = plain(samples.x[train])
    means = column_means(raw) if samples.gaps else None
    raw = filled(raw, means)
    scale = SCALINGS.get(dataset.scaling, "scaling").fit(raw)

    def part(rows: NDArray[np.int64], x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[Any], NDArray[Any]]:
        x = scale.apply(x, overwrite=True)
        if not (scale.is_finite and np.isfinite(x).all()):
            raise InputError(
                _("the inputs are too large to be scaled; divide them by a power of ten in the file"), "scaling"
            )
        labels = np.ascontiguousarray(y[rows])
        return plain(x), labels, one_hot(labels, classes) if classes else labels.copy()

    def later(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        return filled(plain(samples.x[rows]), means)

    return Data(
        *part(train, raw),
        *part(validation, later(validation)),
        *part(test, later(test)),
        classes=samples.classes,
        scale=scale,
    )


def column_means(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of every feature of x (n, *shape) over the values that are there; 0 where none is."""
    there = ~np.isnan(x)
    return np.asarray(np.where(there, x, 0.0).sum(axis=0) / np.maximum(1, there.sum(axis=0)))


def filled(x: NDArray[np.float64], means: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """x (n, *shape) with `means` (*shape) in place of NaN; x itself where there are no means."""
    return x if means is None else np.where(np.isnan(x), means, x)


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


def with_value_noise(y: NDArray[np.float64], train: NDArray[np.int64], share: float, seed: int) -> NDArray[np.float64]:
    """The values of all samples, with normal noise on those of the training samples.

    y       (samples, targets) values to predict
    train   row numbers of the training samples
    share   standard deviation of the noise, in standard deviations of each target over the training samples
    """
    if share == 0.0:
        return y
    spread = y[train].std(axis=0)
    pushed = random.normal(random.key(seed, "label noise", "values"), y.size).reshape(y.shape)
    noisy = y.copy()
    noisy[train] += share * spread * pushed[train]
    return noisy


def one_hot(y: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(samples, classes): 1 at the class of each sample, 0 elsewhere."""
    targets = np.zeros((len(y), classes))
    targets[np.arange(len(y)), y] = 1.0
    return targets
