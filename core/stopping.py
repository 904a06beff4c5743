"""Early stopping ends a training when the network no longer gets better on samples that it does not learn from.

A watch is told the validation loss at the end of every epoch and counts the epochs without improvement. The same watch
tells a schedule when to lower the learning rate (`reduce_on_plateau`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from .fields import Described, about
from .text import N_

Patience = Annotated[
    int,
    about(
        N_("patience"),
        N_("Epochs without improvement that are waited for."),
        unit=N_("epochs"),
        minimum=0,
        maximum=10_000,
    ),
]
LeastChange = Annotated[
    float,
    about(
        N_("least change"),
        N_("By how much the validation loss must fall to count as an improvement."),
        minimum=0.0,
        maximum=1e6,
    ),
]


class EarlyStopping(Described, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ends the training after `patience` epochs without improvement of the validation loss (as Keras does)."""

    patience: Patience = 5
    min_delta: LeastChange = 0.0
    restore_best: Annotated[
        bool, about(N_("restore best"), N_("At the end, take the weights of the epoch with the least validation loss."))
    ] = True


@dataclass
class Watch:
    """Counts epochs without improvement.

    best, best_step   the least loss so far, and the step before which it was measured
    waited            epochs since
    """

    min_delta: float
    best: float = math.inf
    best_step: int | None = None
    waited: int = 0

    def feed(self, step: int, loss: float) -> None:
        """The loss after one more epoch; one that is not a number is no improvement."""
        if loss < self.best - self.min_delta:
            self.best, self.best_step, self.waited = loss, step, 0
        else:
            self.waited += 1
