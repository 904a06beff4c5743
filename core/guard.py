"""A guard looks at every step for the first number that is none: NaN or infinity.

It costs next to nothing, because it reads what a step reports anyway: the probes of every layer, the norms behind every
link of the chain, the loss. What no probe sees is counted by the program (inputs, what layers keep to themselves) or
looked at between two stretches of steps, since it stays: weights, running statistics, what optimizer and averages
remember. Gradients that overflow because the loss was scaled, in a step that is skipped for that reason, are as they
should be.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .engine import layout
from .engine.program import Program

Array = NDArray[np.float64]

LAYER = ("activation.min", "activation.max")
LAYER_BACK = ("gradient.min", "gradient.max")
SMALL = 1 << 20  # numbers that are copied in less than a thousandth of the time of a step that uses them
SELDOM = 16  # steps between two copies of more


def all_finite(values: NDArray[Any]) -> bool:
    """Whether none of the values is NaN or infinite; one pass that reads and writes nothing."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum()
    return bool(np.isfinite(total) or np.isfinite(values).all())


class Guard:
    """Watches the steps of one program.

    step, kept   what the run remembered at that step, the last copy taken
    """

    def __init__(self, program: Program, record: bool):
        names, width = program.run_columns, len(program.layer_columns)
        forward = [layout.LOSS, layout.LEARNING_RATE]
        back = [layout.PENALTY]
        if record:
            back += [layout.GRADIENT_NORM, layout.CLIPPED_GRADIENT_NORM]
            back += [index for index, name in enumerate(names) if name.startswith("norm.")]
            places = {name: index for index, name in enumerate(program.layer_columns)}
            assert len(places) == width
            for layer in program.layers:
                forward += [layer.first_column + places[name] for name in LAYER]
                back += [layer.first_column + places[name] for name in LAYER_BACK]
                if layer.weight is not None:
                    forward.append(layer.first_column + places["weight.norm"])
                    back.append(layer.first_column + places["weight_gradient.norm"])
        self._columns = np.array(forward + back)
        self._may_skip = np.arange(len(forward), len(self._columns))  # of those, what a skipped step may leave open
        self._skipped = names.index("skipped") if "skipped" in names else -1
        self.settings = np.array(
            list(program.live.values()), dtype=np.int64
        )  # in hyper: those that change while training
        self.step = -1
        self.kept: NDArray[Any] | None = None

    def first_wrong(self, lines: Array) -> int | None:
        """The first of the lines (steps, columns) in which a number is none that has to be one."""
        with np.errstate(over="ignore", invalid="ignore"):
            total = lines.sum(axis=0)
        if np.isfinite(total[self._columns]).all():
            return None
        wrong = ~np.isfinite(lines[:, self._columns])
        if self._skipped >= 0:
            skipped = lines[:, self._skipped] == 1.0
            wrong[np.ix_(skipped, self._may_skip)] = False
        found = wrong.any(axis=1)
        return int(found.argmax()) if found.any() else None

    def remember(self, step: int, kept: NDArray[Any]) -> None:
        """Before steps are taken: what the run remembers is copied, so that the steps can be taken again one by one.

        A large network is copied now and then only, which costs more steps to be taken again if it comes to that.
        """
        if kept.size > SMALL and self.kept is not None and 0 <= step - self.step < SELDOM:
            return
        if self.kept is None:
            self.kept = kept.copy()
        else:
            np.copyto(self.kept, kept)
        self.step = step

    def forget(self) -> None:
        """The run has gone elsewhere in time: the copy is not of its past any more."""
        self.step = -1
        self.kept = None
