"""Sharpness: the largest curvature of the loss, and the learning rate beyond which gradient descent cannot stand it.

On a parabola with curvature a, steps of gradient descent with a learning rate above 2/a overshoot farther and farther.
In training of full batches the sharpness, the largest eigenvalue of the loss's Hessian, rises until it hovers at just
that edge (Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of stability"). Where
an optimizer divides every weight's gradient by its size, the same holds for the landscape stretched in that way (Cohen
et al. 2022, "Adaptive gradient methods at the edge of stability").
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..engine import random
from ..gradient_steps.adam import Adam
from ..gradient_steps.adamw import AdamW
from ..gradient_steps.momentum import Momentum
from ..gradient_steps.nesterov import Nesterov
from ..gradient_steps.rmsprop import RmsProp
from ..gradient_steps.sgd import Sgd
from ..loss_surface import (
    Eigenvalue,
    LossSurface,
    MomentsOption,
    Place,
    SamplesOption,
    largest_eigenvalue,
    learning_rates,
    live_at,
    places_of,
    surface_of,
)
from ..text import N_
from .base import Progress, Study, inside

if TYPE_CHECKING:
    from ..run import Run

Array = NDArray[np.float64]
TOLERANCE = 1e-3  # of the eigenvalue
MOST = 80  # products for one eigenvalue
NUMBERS = 12_000_000  # in the vectors that are kept
PLACES = 200  # of the curve of the edge


@dataclass(frozen=True, eq=False)
class Sharpness:
    """The largest eigenvalue of the Hessian of the loss at some steps, the present one last.

    steps       (n,)
    values      (n,) NaN where something was not finite
    residuals   (n,) the distance to the nearest eigenvalue is at most this
    losses      (n,) of the same samples
    slopes      (n,) length of the gradient
    products    Hessian-vector products in all
    edge_steps, edges   (m,) the value above which the optimizer is unstable, step by step; NaN where that is not known
    rule        the optimizer's rule: "sgd", "momentum", "nesterov", "adam", "rmsprop"; "" for others
    scaled      the optimizer divides every weight's gradient by a size √v̂ + ε of its own, P: then these are eigenvalues
                of P^-1/2 H P^-1/2, of the landscape as it looks to the optimizer
    rate, momentum   now
    samples     that the loss is the mean of
    together    of them at a time, where batch norm compares them; 0 where nothing does
    whole       whether every training step looks at all samples: else its gradient is noisy
    """

    steps: NDArray[np.int64]
    values: Array
    residuals: Array
    losses: Array
    slopes: Array
    products: int
    edge_steps: NDArray[np.int64]
    edges: Array
    rule: str
    scaled: bool
    rate: float
    momentum: float
    samples: int
    together: int
    whole: bool


@Study.registry.add("sharpness")
class SharpnessStudy(Study, frozen=True, kw_only=True, tag="sharpness"):
    """The largest curvature of the loss, now and on the way here."""

    label: ClassVar[str] = N_("Sharpness")
    demanded: ClassVar[bool] = True

    samples: SamplesOption = 256
    moments: MomentsOption = 8

    def needs_whole_run(self, told: Mapping[str, Any]) -> bool:
        return self.moments > 1

    def work(self, run: Run) -> Progress:
        yield 0.0
        places = places_of(run, self.moments)
        edge_steps, edges, rule, momentum = _edges(run)
        now = float(learning_rates(run, np.array([run.step]))[0])
        surface = yield from inside(surface_of(run, self.samples, precision="float64"), lambda _: 0.0)
        start = _start(surface)
        found: list[Eigenvalue] = []
        losses, slopes = np.empty(len(places)), np.empty(len(places))
        for index, place in enumerate(places):
            with np.errstate(all="ignore"):
                losses[index], gradient = surface.gradient(place.weights)
                slopes[index] = float(np.linalg.norm(gradient))
            begin = start
            if found and np.isfinite(found[-1].vector).all():
                begin = (
                    found[-1].vector + 0.3 * start
                )  # near the last one, but not blind for another that has overtaken
            one = yield from inside(
                _largest(surface, place.weights, begin, _scaling(run, place)),
                partial(_done, index, len(places)),
            )
            found.append(one)
        data = len(run.data.x_train)
        return Sharpness(
            steps=np.array([place.step for place in places], dtype=np.int64),
            values=np.array([one.value for one in found]),
            residuals=np.array([one.residual for one in found]),
            losses=losses,
            slopes=slopes,
            products=sum(one.products for one in found),
            edge_steps=edge_steps,
            edges=edges,
            rule=rule,
            scaled=_scales(run) is not None,
            rate=now,
            momentum=momentum,
            samples=surface.samples,
            together=surface.rows if surface.compares else 0,
            whole=run.experiment.training.batch_size >= data,
        )


def _done(index: int, places: int, products: int) -> float:
    return (index + min(1.0, products / MOST)) / places


def _start(surface: LossSurface) -> Array:
    """A random direction of length 1 over all that training changes."""
    found = np.zeros(surface.program.parameter_count)
    for tensor in surface.tensors:
        drawn = random.normal(random.key(0, "first vector of the sharpness", tensor.name), tensor.parameter.count)
        surface.part(found, tensor)[...] = drawn.reshape(tensor.parameter.shape)
    size = float(np.linalg.norm(found))
    return found / size if size > 0.0 else found


def _scales(run: Run) -> Literal["adam", "rmsprop"] | None:
    """How the optimizer scales every weight's gradient, where that is known here."""
    optimizer = run.experiment.training.optimizer
    if isinstance(optimizer, Adam | AdamW):
        return "adam"
    return "rmsprop" if isinstance(optimizer, RmsProp) else None


def _scaling(run: Run, place: Place) -> Array | None:
    """P^-1/2 for every weight, (parameter_count,), 0 for what is not trained; None where the optimizer scales nothing,
    NaN before its first step, when it has seen no gradient.
    """
    kind, program = _scales(run), run.program
    if kind is None:
        return None
    slot = "second_moment" if kind == "adam" else "square_average"
    squares = np.asarray(place.kept[program.slots[slot] :][: program.parameter_count], dtype=np.float64)
    steps = float(place.kept[program.scalars["steps"]]) if kind == "adam" else float(squares.any())
    size = np.full(program.parameter_count, math.nan)
    if steps > 0.0:
        epsilon = live_at(run, "training.optimizer.epsilon", place.step)
        size, late = np.sqrt(squares) + epsilon, 1.0
        if kind == "adam":
            beta1, beta2 = (live_at(run, f"training.optimizer.{name}", place.step) for name in ("beta1", "beta2"))
            late = 1.0 - beta1**steps
            size = np.sqrt(squares / (1.0 - beta2**steps)) + epsilon
        size = late * size
    found = np.zeros(program.parameter_count)
    for tensor in program.tensors:
        if tensor.parameter.trained:
            part = slice(tensor.master, tensor.master + tensor.parameter.count)
            found[part] = 1.0 / np.sqrt(size[part])
    return found


def _largest(
    surface: LossSurface, weights: Array, start: Array, scaling: Array | None
) -> Generator[int, None, Eigenvalue]:
    if not start.any() or not np.isfinite(weights).all() or (scaling is not None and not np.isfinite(scaling).all()):
        return Eigenvalue(math.nan, math.nan, np.full_like(start, math.nan), 0)
    kept = max(6, min(40, NUMBERS // max(1, len(weights))))
    found = yield from largest_eigenvalue(
        lambda vector: _bent(surface, weights, vector, scaling), start, tolerance=TOLERANCE, most=MOST, basis=kept
    )
    return found


def _bent(surface: LossSurface, weights: Array, vector: Array, scaling: Array | None) -> Array:
    """The Hessian times a vector, seen through the optimizer's scaling."""
    if scaling is None:
        return surface.curvature(weights, vector)
    stretched = scaling * vector
    length = float(np.linalg.norm(stretched))
    return np.asarray(scaling * length * surface.curvature(weights, stretched / length) if length > 0.0 else stretched)


def _edges(run: Run) -> tuple[NDArray[np.int64], Array, str, float]:
    """(steps, the largest sharpness that the optimizer can stand there, its rule, its momentum now).

    Cohen et al. 2021, section 2 and appendix B: 2 / η; with momentum (2 + 2 μ) / η; with Nesterov's momentum
    (2 + 2 μ) / (η (1 + 2 μ)). Cohen et al. 2022, section 3: with scaled gradients 2 / η, and for Adam, whose mean of
    the gradients is momentum, (2 + 2 β₁) / (η (1 − β₁)).
    """
    optimizer = run.experiment.training.optimizer
    first, last = run.first_step, run.step
    steps = np.unique(np.linspace(first, last, min(PLACES, last - first + 1)).round().astype(np.int64))
    rates = learning_rates(run, steps)
    with np.errstate(divide="ignore"):
        if isinstance(optimizer, Sgd):
            return steps, 2.0 / rates, "sgd", 0.0
        if isinstance(optimizer, Momentum | Nesterov):
            share = np.array([live_at(run, "training.optimizer.momentum", int(step)) for step in steps])
            edges = (2.0 + 2.0 * share) / rates
            if isinstance(optimizer, Nesterov):
                return steps, edges / (1.0 + 2.0 * share), "nesterov", float(share[-1])
            return steps, edges, "momentum", float(share[-1])
        kind = _scales(run)
        if kind == "rmsprop":
            return steps, 2.0 / rates, kind, 0.0
        if kind == "adam":
            share = np.array([live_at(run, "training.optimizer.beta1", int(step)) for step in steps])
            return steps, (2.0 + 2.0 * share) / (rates * (1.0 - share)), kind, float(share[-1])
    return steps, np.full(len(steps), np.nan), "", math.nan
