"""A line above the panels says what a dialog would only interrupt with: a file that cannot be read, what to watch."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QWidget

from layerscope.core.text import _

from . import theme
from .labels import set_state
from .try_button import ShrinkingButton, explained

WIDEST = 420  # pixels for what could be tried; the sentence before it needs room too


class MessageBar(QFrame):
    """Text that wraps, a button where there is more to see, and a cross. Hidden while there is nothing to say."""

    closed = Signal()
    pressed = Signal()
    tried = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setProperty("surface", "card")
        row = QHBoxLayout(self)
        row.setContentsMargins(14, 7, 6, 7)
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        row.addWidget(self._text, 1)
        self.button = QToolButton()
        self.button.setProperty("kind", "quiet")
        self.button.clicked.connect(self.pressed)
        self.button.hide()
        self.trial = ShrinkingButton()
        self.trial.setMaximumWidth(WIDEST)
        self.trial.clicked.connect(self.tried)
        self.trial.hide()
        row.addWidget(self.trial, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        self._cross = QToolButton()
        self._cross.setProperty("kind", "bare")
        self._cross.setIconSize(QSize(14, 14))
        self._cross.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._cross.clicked.connect(self._close)
        row.addWidget(self._cross, 0, Qt.AlignmentFlag.AlignTop)
        self.draw()
        self.hide()

    def draw(self) -> None:
        """Take the colors of the present theme."""
        self._cross.setIcon(theme.icon("close", theme.current().color("muted"), size=14))

    def say(self, text: str, title: str = "", warning: bool = False, button: str = "", trial: str = "") -> None:
        """Show a text, with a button of this name where there is one; "" hides the bar.

        trial   what could be tried, with a button of its own
        """
        from html import escape

        head = f"<b>{escape(title)}</b>&nbsp; " if title else ""
        self._text.setText(head + escape(text))
        self.button.setText(button)
        self.button.setVisible(bool(button))
        self.trial.setText(_("Try: {proposal}").format(proposal=trial) if trial else "")
        self.trial.setToolTip(explained(trial))
        self.trial.setVisible(bool(trial))
        set_state(self._text, "state", "warning" if warning else "")
        self._cross.setToolTip(_("Hide this"))
        self._cross.setAccessibleName(_("Hide this"))
        self.setVisible(bool(text))

    def text(self) -> str:
        return self._text.text()

    def _close(self) -> None:
        self.hide()
        self.closed.emit()
