"""Microscope: one operation under the lens; it follows the walk, and pointing at a cell chooses what is worked out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

from ...core.figures.figure import Figure, Scene
from ...core.figures.microscope import MicroscopeOptions, shown_lane, sight_of
from ...core.studies.microscope import Sight
from ...core.text import N_, _
from ..session import Session
from .base import PANELS, Panel

# key -> the option that it moves on, with Shift back; what the menu says
KEYS: dict[Qt.Key, tuple[str, str, str]] = {
    Qt.Key.Key_U: ("unit", "U", N_("Next unit")),
    Qt.Key.Key_I: ("input", "I", N_("Next input")),
    Qt.Key.Key_S: ("sample", "S", N_("Next sample")),
}


@PANELS.add("microscope")
class MicroscopePanel(Panel):
    name = "microscope"

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, parent)
        self._last: Figure | None = None
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

    @property
    def sight(self) -> Sight | None:
        """What is seen now."""
        options = self.options
        assert isinstance(options, MicroscopeOptions)
        return sight_of(shown_lane(self.scene, options), options)

    def _built(self) -> Figure:
        """The figure; while the worker looks at what was just asked for, the one before stays."""
        waiting = self.sight is None and not self.session.blocked and bool(self.scene.lanes)
        if waiting and self._last is not None:
            return self._last
        made = super()._built()
        self._last = None if made.empty else made
        return made

    def choose(self, plot: int, x: float, y: float) -> None:
        """Work out what stands in the cell at a place of a picture."""
        self.view.setFocus(Qt.FocusReason.MouseFocusReason)
        sight = self.sight
        if sight is None or plot >= len(sight.pictures):
            return
        picture = sight.pictures[plot]
        rows, columns = picture.values.shape
        row, column = rows - 1 - int(y // 1), int(x // 1)
        if 0 <= row < rows and 0 <= column < columns:
            cells = {name: int(numbers[row, column]) for name, numbers in picture.chooses.items()}
            self._point_at({name: number for name, number in cells.items() if number > 0})

    def go_to_next(self, option: str, steps: int) -> None:
        """The next unit, input or sample, or one before; behind the last comes the first."""
        sight = self.sight
        if sight is None:
            return
        now, count = {
            "unit": (sight.unit, sight.units),
            "input": (sight.entry, sight.entries),
            "sample": (sight.sample, sight.samples),
        }[option]
        self._point_at({option: (now - 1 + steps) % count + 1})

    def _point_at(self, numbers: dict[str, Any]) -> None:
        if numbers:
            self.set_options({**msgspec.structs.asdict(self.options), **numbers})

    def keyPressEvent(self, event: QKeyEvent) -> None:
        known = KEYS.get(Qt.Key(event.key()))
        plain = event.modifiers() & ~Qt.KeyboardModifier.ShiftModifier == Qt.KeyboardModifier.NoModifier
        if known is not None and plain:
            back = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self.go_to_next(known[0], -1 if back else 1)
            return
        super().keyPressEvent(event)

    def fill_menu(self) -> None:
        super().fill_menu()
        self.menu.addSeparator()
        for option, key, text in KEYS.values():
            entry = self._entry(f"{_(text)}\t{key}", lambda option=option: self.go_to_next(option, 1))
            entry.setToolTip(_("With Shift the one before; or click on a cell of a picture"))
