"""The course of a training in a few numbers: where the loss began, how low it was, and how much every step promises.

Minibatch noise makes every loss go up and down, so that its ups and downs alone prove nothing. What a step promises
does: in a straight line, the loss falls by the scalar product of gradient and update, at most ‖∇‖ ‖update‖. No loss
here can fall below zero, so a step that promises more than there is goes beyond the valley, whatever the noise. For
plain gradient descent the promise is η ‖∇‖² / L, and 2 is the bound of Polyak's step size, beyond which a step in a
convex valley leads away from its bottom (Polyak 1987, section 5.3; Hazan & Kakade 2019, arXiv 1905.00313).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..gradient_steps.base import chain
from ..schedules.base import Clock

if TYPE_CHECKING:
    from .rules.base import Case

Array = NDArray[np.float64]

RECENT = 50  # rows at most whose mean is taken for the present loss
FEWEST = 10  # rows that such a mean needs
GROUPS = 8  # parts of the past whose means are compared
MOST = 256  # rows that a straight line is laid through
RATE = "training.optimizer.learning_rate"
OFF = 2.0  # times the start: a loss that something has thrown off
EARLY = 50  # rows at the beginning that are looked at one by one, however long the record is


@dataclass(frozen=True)
class Course:
    """What is known of a training up to a step, as long as its loss was a number.

    known       how many steps were recorded, the rows of a thinned record each for as many as it stands for
    recent      (R,) rows of the record behind `losses`, one after the other
    losses      (R,) the loss in each of them
    promises    (R,) what their steps promise, as a share of the loss; NaN where no update was recorded
    start       the loss of the first row, or of guessing, whichever is larger
    level       mean of `losses`
    best, best_step   the least mean of a part of the past, and the middle of that part; the level where that is less
    peak, peak_step   the greatest loss of a single step
    off_step    the first step whose loss was more than twice the start; the last step where there is none
    early       the greatest median of what ten steps promised, among the first fifty
    first       what the very first step promised, before it could do any harm, at the highest rate since
    unlearned   whether the present loss is one of a network that knows nothing
    last_step   the step of the last of the rows
    """

    known: int
    recent: NDArray[np.int64]
    losses: Array
    promises: Array
    start: float
    level: float
    best: float
    best_step: int
    peak: float
    peak_step: int
    off_step: int
    early: float
    first: float
    unlearned: bool
    last_step: int

    @property
    def promise(self) -> float:
        """The median of what recent steps promise."""
        return middle(self.promises)

    @property
    def turns(self) -> float:
        """Share of the recent steps behind which the loss turned around: two thirds by chance alone, 1 where it goes up
        and down in turn; NaN with fewer than three.
        """
        signs = np.sign(np.diff(self.losses))
        return float(np.mean(signs[1:] != signs[:-1])) if len(signs) > 1 else math.nan


def middle(values: Array) -> float:
    """The median of those that are numbers; NaN when there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else math.nan


def course_of(case: Case) -> Course | None:
    """The course up to the case's step; None while no loss is known, or if not even the first one was a number."""
    view = case.view
    steps = view.steps
    known = int(np.searchsorted(steps, case.step, side="right"))
    if not known:
        return None
    # One column of the whole record: no spike may be missed.
    kept = min(known, len(view.kept_steps))
    column = view.column("loss")
    highest = view.high[:kept, column]
    if known > kept:
        highest = np.append(highest, view.some("loss", np.array([kept])))
    wrong = np.flatnonzero(~np.isfinite(highest))
    finite = int(wrong[0]) if wrong.size else known
    if not finite:
        return None
    peak = int(np.argmax(highest[:finite]))
    recent = np.arange(max(0, finite - min(RECENT, max(FEWEST, finite // 3))), finite)
    losses = view.some("loss", recent)
    first_loss = float(view.some("loss", np.array([0]))[0])
    level = float(losses.mean())
    start = max(first_loss, case.chance) if math.isfinite(case.chance) else first_loss
    off = np.flatnonzero(highest[:finite] > OFF * start)
    best, best_step = _best(case, finite)
    beginning = np.arange(min(EARLY, finite))
    promised = _promises(case, beginning)
    return Course(
        known=finite * view.stride,
        recent=recent,
        losses=losses,
        promises=_promises(case, recent),
        start=start,
        level=level,
        best=min(best, level),
        best_step=best_step if best < level else int(steps[finite - 1]),
        peak=float(highest[peak]),
        peak_step=int(steps[peak]),
        off_step=int(steps[int(off[0]) if off.size else finite - 1]),
        early=max((middle(promised[i : i + 10]) for i in range(0, len(promised), 10)), default=math.nan),
        first=_first(case, promised, recent),
        unlearned=level >= 0.95 * case.chance if math.isfinite(case.chance) else level >= 0.6 * first_loss,
        last_step=int(steps[finite - 1]),
    )


def fall_per_step(case: Case, course: Course, steps: int) -> float:
    """By what share of its mean the loss fell in each of the last `steps` steps, of a straight line through them; below
    zero where it rose, NaN where fewer than ten rows are known.
    """
    last = int(course.recent[-1])
    first = max(0, int(np.searchsorted(case.view.steps, course.last_step - steps, side="left")))
    rows = np.unique(np.linspace(first, last, min(last - first + 1, MOST)).round().astype(np.int64))
    if len(rows) < FEWEST:
        return math.nan
    losses = case.view.some("loss", rows)
    x = case.view.steps[rows].astype(np.float64)
    x -= x.mean()
    mean = float(losses.mean())
    return float(-(x @ losses) / (x @ x) / mean) if mean > 0 else math.nan


def learning_rate(case: Case) -> float:
    """The optimizer's learning rate as it is set at the case's step: as in the experiment, or changed since."""
    changed = [v for step, path, v in case.view.events if path == RATE and step <= case.step]
    return float(changed[-1] if changed else case.experiment.training.optimizer.learning_rate)


def planned_rates(case: Case) -> Array:
    """(n,) the rates that the schedule plans from the case's step on, as shares of the optimizer's learning rate."""
    training = case.experiment.training
    per_epoch = case.view.steps_per_epoch
    end = training.epochs * per_epoch
    steps = np.unique(np.linspace(case.step, max(case.step, end), 32).astype(np.int64))
    return training.schedule.rates(steps, 1.0, Clock(per_epoch, end))


def _best(case: Case, finite: int) -> tuple[float, int]:
    """The least mean loss of a part of the past, and the step in its middle."""
    rows = case.rows[case.rows < finite]
    losses = case.view.some("loss", rows)
    size = max(FEWEST, -(-len(rows) // GROUPS))
    best, at = math.inf, 0
    for begin in range(0, len(rows) - size + 1, size):
        mean = float(losses[begin : begin + size].mean())
        if mean < best:
            best, at = mean, int(case.view.steps[rows[begin + size // 2]])
    return best, at


def _first(case: Case, promised: Array, recent: NDArray[np.int64]) -> float:
    """What the first step promised, had it been taken at the highest learning rate since: a warm-up begins at less."""
    rates = case.view.some("learning_rate", np.append(np.zeros(1, dtype=np.int64), recent))
    with np.errstate(all="ignore"):
        more = float(np.nanmax(rates) / rates[0])
    return float(promised[0]) * (more if math.isfinite(more) else 1.0)


def _promises(case: Case, rows: NDArray[np.int64]) -> Array:
    """By what share of the loss the updates of these rows would lower it in a straight line, at most."""
    links = chain(case.experiment.training)
    optimizer = next(link for link in links if link.place == "training.optimizer")
    update = f"norm.{optimizer.name}"
    if not {update, "norm.gradient"} <= set(case.view.run_columns):
        return np.full(len(rows), np.nan)
    some = case.view.some
    gradient = some("norm.gradient", rows)
    with np.errstate(all="ignore"):
        # Penalties pull at the weights too: only the share of the update that comes from the loss counts.
        own = np.minimum(gradient / some("gradient_norm", rows), 1.0)
        return np.asarray(gradient * own * some(update, rows) / some("loss", rows))
