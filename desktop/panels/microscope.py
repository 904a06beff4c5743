"""Microscope: one operation under the lens; it follows the walk, and clicks and keys choose what is worked out."""

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeyEvent

from ...core.figures.figure import Figure, Scene
from ...core.figures.microscope import MicroscopeOptions, moved, shown_lane, sight_of
from ...core.studies.microscope import Sight
from ...core.text import N_, _
from .base import PANELS, Panel

# key -> the option that it moves on, with Shift back; what the menu says
KEYS = {
    Qt.Key.Key_U: ("unit", "U", N_("Next unit")),
    Qt.Key.Key_I: ("input", "I", N_("Next input")),
    Qt.Key.Key_S: ("sample", "S", N_("Next sample")),
}


@PANELS.add("microscope")
class MicroscopePanel(Panel):
    name = "microscope"

    def _make(self) -> None:
        super()._make()
        self._last: Figure | None = None
        self.session.selection_changed.connect(self._scene_changed)

    @property
    def scene(self) -> Scene:
        """The selected lane: that is the one which is walked through."""
        whole = super().scene
        chosen = tuple(lane for lane in whole.lanes if lane.name == self.session.lane.name)
        follows = isinstance(self.options, MicroscopeOptions) and self.options.lane == "first"
        return replace(whole, lanes=chosen) if chosen and follows else whole

    @property
    def sight(self) -> Sight | None:
        """What is seen now."""
        assert isinstance(self.options, MicroscopeOptions)
        return sight_of(shown_lane(self.scene, self.options), self.options)

    def _built(self) -> Figure:
        """The figure; while the worker looks at what was just asked for, the one before stays."""
        if self._last is not None and self.sight is None and not self.session.blocked and self.scene.lanes:
            return self._last
        made = super()._built()
        self._last = None if made.empty else made
        return made

    def go_to_next(self, option: str, steps: int = 1) -> None:
        """The next unit, input or sample, or one before; behind the last comes the first."""
        if self.sight is not None:
            self.set_option(option, moved(self.sight, option, steps))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        known = KEYS.get(Qt.Key(event.key()))
        back = event.modifiers() == Qt.KeyboardModifier.ShiftModifier
        if known is not None and (back or event.modifiers() == Qt.KeyboardModifier.NoModifier):
            self.go_to_next(known[0], -1 if back else 1)
        else:
            super().keyPressEvent(event)

    def fill_menu(self) -> None:
        super().fill_menu()
        self.menu.addSeparator()
        for option, key, text in KEYS.values():
            tip = _("With Shift the one before; or click on a cell of a picture")
            self._entry(f"{_(text)}\t{key}", lambda option=option: self.go_to_next(option), tip)
