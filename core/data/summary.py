"""What the inputs of a network look like in a few numbers: inputs far from zero or of unequal size are hard to learn
from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Data

EVEN = 1e-6  # features that vary less than this, compared with the largest, say nothing
LARGEST_SAMPLE = 5_000_000  # numbers looked at; more would say the same


@dataclass(frozen=True)
class Inputs:
    """The training samples as they are fed to the network, scaled.

    least, most, mean, std   of all numbers
    mean_square              of all numbers: theory starts from it
    widest, narrowest        standard deviation of the feature that varies most, and of the one that varies least among
                             those that vary at all
    farthest_mean            the mean of the feature whose mean is farthest from zero
    """

    least: float
    most: float
    mean: float
    std: float
    mean_square: float
    widest: float
    narrowest: float
    farthest_mean: float


def summary_of(data: Data) -> Inputs:
    """The summary of the training samples."""
    x = data.x_train
    flat: NDArray[np.float64] = x.reshape(len(x), -1)
    flat = flat[: max(1, LARGEST_SAMPLE // max(1, flat.shape[1]))]
    with np.errstate(all="ignore"):
        means, stds = flat.mean(axis=0), flat.std(axis=0)
        mean, square = float(flat.mean()), float(np.mean(flat * flat))
        widest = float(stds.max())
        varying = stds[stds > EVEN * widest]
        return Inputs(
            least=float(flat.min()),
            most=float(flat.max()),
            mean=mean,
            std=float(flat.std()),
            mean_square=square,
            widest=widest,
            narrowest=float(varying.min()) if varying.size else math.nan,
            farthest_mean=float(means[np.argmax(np.abs(means))]),
        )
