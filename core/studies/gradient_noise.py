"""The gradient noise scale: how large a minibatch must be for its gradient to say more than its noise.

The gradients of single samples scatter around their mean. The variance of that, summed over all weights, divided by the
squared length of the mean, is a number of samples: minibatches far smaller mostly see noise, far larger ones mostly
repeat themselves (McCandlish et al. 2018, "An empirical model of large-batch training", equation 2.9 and appendix A.1).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..loss_surface import LossSurface, MomentsOption, places_of, surface_of
from ..text import N_
from .base import Progress, Study, inside

if TYPE_CHECKING:
    from ..run import Run

Array = NDArray[np.float64]
BATCHES = 32  # minibatches whose gradients are compared
SAMPLES = 4096  # in all of them, at the most
NUMBERS = 40_000_000  # in all of their gradients
FEWEST = 4  # minibatches, to say anything


@dataclass(frozen=True, eq=False)
class GradientNoise:
    """The noise scale at some steps, the present one last.

    steps      (n,)
    variances  (n,) trace of the covariance of the gradients of single samples, tr Σ
    squares    (n,) squared length of the mean gradient, |G|², what the noise adds taken off; may come out negative
    scales     (n,) tr Σ / |G|², in samples; infinite where the gradient is lost in the noise, NaN where not finite
    errors     (n,) its standard error, by leaving out one minibatch after the other
    size       samples in each of the minibatches that were compared
    batches    how many they were; 0 where there are too few samples to compare any
    batch_size of the training
    """

    steps: NDArray[np.int64]
    variances: Array
    squares: Array
    scales: Array
    errors: Array
    size: int
    batches: int
    batch_size: int


@Study.registry.add("gradient_noise")
class GradientNoiseStudy(Study, frozen=True, kw_only=True, tag="gradient_noise"):
    """How far the gradients of single samples scatter, now and on the way here."""

    label: ClassVar[str] = N_("Gradient noise")
    demanded: ClassVar[bool] = True

    moments: MomentsOption = 8

    def needs_whole_run(self, told: Mapping[str, Any]) -> bool:
        return self.moments > 1

    def work(self, run: Run) -> Progress:
        yield 0.0
        places = places_of(run, self.moments)
        size, batches = self._batches(run)
        estimates = []
        if batches:
            building = surface_of(run, size * batches, rows=size, precision="float64")
            surface = yield from inside(building, lambda _: 0.0)
            for index, place in enumerate(places):
                work = _gradients(surface, place.weights, batches)
                found = yield from inside(work, partial(_done, index, len(places)))
                estimates.append(estimate(found, size, len(run.data.x_train)))
        columns = np.array(estimates or [(math.nan,) * 4] * len(places))
        return GradientNoise(
            steps=np.array([place.step for place in places], dtype=np.int64),
            variances=columns[:, 0],
            squares=columns[:, 1],
            scales=columns[:, 2],
            errors=columns[:, 3],
            size=size,
            batches=batches,
            batch_size=min(run.experiment.training.batch_size, len(run.data.x_train)),
        )

    def _batches(self, run: Run) -> tuple[int, int]:
        """(samples in a minibatch, minibatches): many small ones, but those of the training where batch norm compares
        their samples.
        """
        data, numbers = len(run.data.x_train), max(1, run.program.parameter_count)
        most = max(FEWEST, min(BATCHES, NUMBERS // numbers))
        if any(card.layer.compares_samples for card in run.program.plan.cards):
            size = min(run.experiment.training.batch_size, data)
            batches = min(most, data // size)
        else:
            batches = min(most, data)
            size = min(data, SAMPLES) // batches
        return (size, batches) if batches >= FEWEST else (size, 0)


def _done(index: int, places: int, part: float) -> float:
    return (index + part) / places


def _gradients(surface: LossSurface, weights: Array, batches: int) -> Generator[float, None, NDArray[np.float32]]:
    """(batches, weights), in 32 bits: they are many."""
    found = np.empty((batches, len(weights)), dtype=np.float32)
    for batch in range(batches):
        with np.errstate(all="ignore"):
            found[batch] = surface.gradient_of(weights, batch)
        yield (batch + 1) / batches
    return found


def estimate(gradients: NDArray[Any], size: int, data: int) -> tuple[float, float, float, float]:
    """(tr Σ, |G|², their ratio, its standard error) from the gradients (batches, weights) of minibatches of so many
    samples, which have no sample in common and come from so many.

    The scatter between minibatches is tr Σ / size. The squared length of their mean is |G|² and a part of that noise,
    which is taken off; none is left where the minibatches are all of the data. Numerator and denominator are averaged
    by themselves, because their ratio is biased (McCandlish et al. 2018, appendix A.1); the error is the jackknife's.
    """
    batches = len(gradients)
    if not np.isfinite(gradients).all():
        return math.nan, math.nan, math.nan, math.nan
    # From here on only the products of gradients with each other count.
    products = np.empty((batches, batches))
    wide = gradients.astype(np.float64)
    products[:] = wide @ wide.T

    def ratio(chosen: NDArray[np.int64]) -> tuple[float, float]:
        count = len(chosen)
        part = products[np.ix_(chosen, chosen)]
        mean = float(part.sum()) / count**2
        scatter = max(0.0, (float(np.trace(part)) - count * mean) / (count - 1))
        seen = count * size
        return size * scatter, mean - scatter / count * max(0.0, 1.0 - seen / data)

    everyone = np.arange(batches)
    variance, square = ratio(everyone)
    if square <= 0.0:
        return variance, square, math.inf if variance > 0.0 else math.nan, math.nan
    parts = [ratio(np.delete(everyone, index)) for index in everyone]
    without = np.array([a / b if b > 0.0 else math.inf for a, b in parts])
    if not np.isfinite(without).all():
        return variance, square, variance / square, math.inf
    error = math.sqrt((batches - 1) / batches * float(np.sum((without - without.mean()) ** 2)))
    return variance, square, variance / square, error
