"""Small pieces of the window that several parts use: a label that shortens itself, a thin line, a quiet button."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QAction, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QPushButton, QWidget


class ShortLabel(QLabel):
    """Text that is cut with an ellipsis where the room ends; the whole text is then its tooltip."""

    def __init__(
        self, text: str = "", parent: QWidget | None = None, mode: Qt.TextElideMode = Qt.TextElideMode.ElideRight
    ):
        super().__init__(text, parent)
        self._mode = mode
        self.setTextFormat(Qt.TextFormat.PlainText)

    def minimumSizeHint(self) -> QSize:
        return QSize(self.fontMetrics().horizontalAdvance("…") * 2, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        room = self.contentsRect()
        shown = self.fontMetrics().elidedText(self.text(), self._mode, room.width())
        if (shown != self.text()) != bool(self.toolTip()):
            self.setToolTip(self.text() if shown != self.text() else "")
        painter.setPen(self.palette().color(self.foregroundRole()))
        painter.drawText(room, self.alignment() | Qt.AlignmentFlag.AlignVCenter, shown)
        painter.end()


def thin_line(parent: QWidget | None = None) -> QFrame:
    """A horizontal line, one pixel high."""
    line = QFrame(parent)
    line.setProperty("line", True)
    line.setFixedHeight(1)
    return line


def set_state(widget: QWidget, name: str, value: object) -> None:
    """Set a property that the style sheet looks at, and have the widget drawn anew."""
    if widget.property(name) == value:
        return
    widget.setProperty(name, value)
    widget.style().unpolish(widget)
    widget.style().polish(widget)


class ActionButton(QPushButton):
    """A button that does, says and looks as an action does. Clicking does not take the keyboard, so Space plays on.

    words     the action's short text stands beside its icon, or alone
    leading   and before the icon
    """

    def __init__(self, action: QAction, kind: str = "quiet", words: bool = True, leading: bool = False):
        super().__init__()
        self._action, self._words = action, words
        self.setProperty("kind", kind)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        if leading:
            self.setLayoutDirection(Qt.LayoutDirection.RightToLeft)
        self.clicked.connect(action.trigger)
        action.changed.connect(self._follow)
        self._follow()

    def _follow(self) -> None:
        action = self._action
        words = action.iconText() if self._words else ""
        if self.text() != words:
            self.setText(words)
        if self.icon().cacheKey() != action.icon().cacheKey():
            self.setIcon(action.icon())
        self.setToolTip(action.toolTip())
        self.setAccessibleName(action.text().replace("&", ""))
        self.setEnabled(action.isEnabled())
