"""Microscope: one operation under the lens; it follows the walk, and pointing at a cell chooses what is worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from PySide6.QtWidgets import QWidget

from ...core.figures.figure import Scene
from ...core.figures.microscope import MicroscopeOptions, shown_lane, sight_of
from ..session import Session
from .base import PANELS, Panel


@PANELS.add("microscope")
class MicroscopePanel(Panel):
    name = "microscope"

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, parent)
        self.view.clicked.connect(self.choose)
        session.selection_changed.connect(self._scene_changed)

    @property
    def scene(self) -> Scene:
        """The selected lane: that is the one which is walked through."""
        whole = super().scene
        name = self.session.lane.name
        chosen = tuple(lane for lane in whole.lanes if lane.name == name)
        if not chosen or getattr(self.options, "lane", "first") != "first":
            return whole
        return replace(whole, lanes=chosen)

    def choose(self, plot: int, x: float, y: float) -> None:
        """Work out what stands in the cell at a place of a picture."""
        options = self.options
        assert isinstance(options, MicroscopeOptions)
        sight = sight_of(shown_lane(self.scene, options), options)
        if sight is None or plot >= len(sight.pictures):
            return
        picture = sight.pictures[plot]
        rows, columns = picture.values.shape
        row, column = rows - 1 - int(y // 1), int(x // 1)
        if not (0 <= row < rows and 0 <= column < columns):
            return
        numbers: dict[str, Any] = {
            name: int(cells[row, column]) for name, cells in picture.chooses.items() if cells[row, column] > 0
        }
        if numbers:
            self.set_options({**msgspec.structs.asdict(options), **numbers})
