"""Space plays, wherever one is; but who walks through the window with Tab presses buttons with it, as elsewhere."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QFocusEvent, QKeyEvent
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox

BY_KEYBOARD = (
    Qt.FocusReason.TabFocusReason,
    Qt.FocusReason.BacktabFocusReason,
    Qt.FocusReason.ShortcutFocusReason,
)


class SpaceForButtons(QObject):
    """Watches all widgets: Space belongs to a button that got the keyboard by Tab, and else to the window's shortcut.

    A button that was clicked does not count: after adding a layer with a click, Space must still play.
    """

    def __init__(self, app: QApplication, parent: QObject):
        super().__init__(parent)
        self._walking = False
        app.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.FocusIn and isinstance(event, QFocusEvent):
            self._walking = event.reason() in BY_KEYBOARD
        elif (
            kind == QEvent.Type.ShortcutOverride
            and self._walking
            and isinstance(event, QKeyEvent)
            and event.key() == Qt.Key.Key_Space
            and isinstance(watched, QAbstractButton | QComboBox)
        ):
            event.accept()
            return True
        return False
