"""The session is the one mutable thing in the window: which lanes there are, what they are, and which moment is shown.

Everything on screen reads it and listens to its four signals; everything a person does calls one of its methods. Views never
know each other. Experiments are immutable: an edit replaces one, and one undo command remembers the lanes before and after.
The training itself happens in the worker's thread (`worker.py`); what it sends arrives here as frozen snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from layerscope.core.engine.program import Operation
from layerscope.core.experiment import Experiment
from layerscope.core.figures.figure import Scene
from layerscope.core.network import Plan

Unit = Literal["operation", "minibatch", "epoch"]
MOST_LANES = 4


@dataclass(frozen=True)
class LaneState:
    """One lane: an experiment and what it is called. Frozen; the undo stack keeps tuples of these.

    name    "A", "B", ... in the order of the lanes; decides the color
    """

    name: str
    experiment: Experiment


@dataclass(frozen=True)
class Wire:
    """The numbers that the operation done last put on its wire, of the selected lane.

    operation   which one; its `path` is the card to highlight, its `phase` says forward, backward or update
    values      (rows, *shape) for values of samples, or the parameter's shape
    """

    lane: int
    operation: Operation
    values: NDArray[np.floating[Any]]
    done: int
    total: int


class Session(QObject):
    """See the module's sentence. Attributes are read-only for everyone else."""

    lanes_changed = Signal()  # lanes were added, removed or edited (also by undo): cards, chips, plans are new
    selection_changed = Signal()  # another lane or card is selected
    scene_changed = Signal()  # at most 30 times a second: `scene`, `wire`, `position`, `end` are new
    state_changed = Signal()  # playing, stepping, compiling, ready, blocked, failed; file name, modified

    lanes: tuple[LaneState, ...]
    selected_lane: int
    selected_card: str  # a layer's path, "data", "loss", "training" or ""
    scene: Scene | None  # None until the first frame has arrived
    wire: Wire | None
    position: int  # updates done at the moment that is shown
    end: int  # updates done at the newest moment
    playing: bool
    speed: float  # steps a second, 0: as fast as possible
    steps_per_second: float
    blocked: str  # why training is not offered now (a problem of the network), one sentence; "" when it is
    progress: tuple[int, int] | None  # (done, total) kernels while the first start compiles
    failure: str  # one clear line when the worker failed; the experiment is intact
    file: str  # path of the open file, "" when there is none
    modified: bool

    def plan(self, lane: int) -> Plan:
        """The lane's network laid out, with its problems; cached."""
        raise NotImplementedError

    def difference(self, lane: int) -> str:
        """What sets a lane apart from lane A, for its chip: "as built", "init: He normal · function: ReLU"."""
        raise NotImplementedError

    # --- edits (each one undo step; text is what the undo menu says)

    def edit(self, experiment: Experiment, text: str, lane: int | None = None, merge: str = "") -> None:
        """Replace a lane's experiment (the selected lane's when None). Equal to the old one: nothing happens.

        merge   edits in a row with the same non-empty key become one undo step (dragging a slider)
        """
        raise NotImplementedError

    def set_value(self, path: str, value: Any, text: str = "", lane: int | None = None, merge: str = "") -> None:
        """Set one setting by path, like `--set`; raises InputError when it is not allowed, and changes nothing."""
        raise NotImplementedError

    def add_layer(self, index: int, layer: Any, lane: int | None = None) -> None: ...
    def delete_layer(self, index: int, lane: int | None = None) -> None: ...
    def duplicate_layer(self, index: int, lane: int | None = None) -> None: ...
    def move_layer(self, index: int, to: int, lane: int | None = None) -> None: ...
    def add_lane(self, experiment: Experiment | None = None) -> None:
        """A new lane: a copy of the selected one, or the given experiment. It trains from the start to `end`."""

    def remove_lane(self, lane: int) -> None: ...
    def select(self, lane: int | None = None, card: str | None = None) -> None: ...

    # --- time

    def play(self) -> None: ...
    def pause(self) -> None: ...
    def forward(self, unit: Unit) -> None: ...
    def back(self, unit: Unit) -> None: ...
    def scrub(self, step: int) -> None:
        """Show a past step in every panel at once from the record; the exact line and percentiles follow."""

    def restart(self) -> None:
        """Forget the training and begin again at step 0."""
