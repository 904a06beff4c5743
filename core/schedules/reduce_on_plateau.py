"""Reduce on plateau lowers the learning rate when the validation loss has not improved for some epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..fields import about
from ..stopping import LeastChange
from ..text import N_
from .base import Clock, Schedule

if TYPE_CHECKING:
    from ..interop.script import Script


@Schedule.registry.add("reduce_on_plateau")
class ReduceOnPlateau(Schedule, frozen=True, kw_only=True, tag="reduce_on_plateau"):
    """Multiplies the learning rate by a factor each time that more than `patience` epochs bring no better validation
    loss.

    PyTorch's rule with threshold_mode="abs": the rate drops after the epoch number patience + 1 without improvement.
    Keras drops it one epoch earlier.
    """

    label: ClassVar[str] = N_("Reduce on plateau")
    formula: ClassVar[str] = "η ← γ η when bad epochs > patience"
    source: ClassVar[str] = 'torch.optim.lr_scheduler.ReduceLROnPlateau(threshold_mode="abs")'

    factor: Annotated[
        float, about(N_("factor"), N_("What the learning rate is multiplied by."), above=0.0, maximum=1.0)
    ] = 0.1
    patience: Annotated[
        int,
        about(
            N_("patience"),
            N_("Epochs without improvement that are borne; after one more the learning rate drops."),
            unit=N_("epochs"),
            minimum=0,
            maximum=10_000,
        ),
    ] = 10
    min_delta: LeastChange = 1e-4

    @property
    def watches(self) -> bool:
        return True

    @property
    def waits(self) -> int:
        return self.patience

    @property
    def least_change(self) -> float:
        return self.min_delta

    def rates(self, steps: NDArray[np.int64], base: float, clock: Clock) -> NDArray[np.float64]:
        drops = np.searchsorted(np.array(clock.drops, dtype=np.int64), steps, side="right")
        return base * np.power(self.factor, drops.astype(np.float64))

    def to_code(self, code: Script, clock: Clock) -> str:
        return f"LEARNING_RATE * {code.number(self.factor)} ** drops"
