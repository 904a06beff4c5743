"""What a chart says, in four short texts: what, why, what is good, what yours says."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from layerscope.core.figures.figure import Explanation
from layerscope.core.text import _

from ..roles import RoleLabel

WIDTH = 380


class ExplanationPopup(QFrame):
    """Opens below the question mark; a click elsewhere or Escape closes it."""

    def __init__(self, parent: QWidget):
        super().__init__(parent, Qt.WindowType.Popup)
        self.setProperty("surface", "card")
        self.setFixedWidth(WIDTH)
        self._column = column = QVBoxLayout(self)
        column.setContentsMargins(16, 12, 16, 14)
        column.setSpacing(3)
        self._title = RoleLabel("", "text", 1.12, bold=True)
        column.addWidget(self._title)
        self._parts: dict[str, tuple[RoleLabel, RoleLabel]] = {}
        for name in ("what", "why", "good", "yours"):
            column.addSpacing(6)
            heading, text = RoleLabel("", "accent" if name == "yours" else "muted", 0.95, bold=True), RoleLabel("")
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            column.addWidget(heading)
            column.addWidget(text)
            self._parts[name] = heading, text

    def show_explanation(self, explanation: Explanation) -> None:
        """Put the texts into place."""
        headings = {
            "what": _("What it shows"),
            "why": _("Why it matters"),
            "good": _("What is good"),
            "yours": _("What yours says"),
        }
        for name, (heading, label) in self._parts.items():
            heading.setText(headings[name])
            if label.text() != (text := getattr(explanation, name)):
                label.setText(text)

    def open_below(self, button: QWidget, title: str, explanation: Explanation) -> None:
        """Show the texts near a button, all of them on the screen."""
        self._title.setText(title)
        self.setAccessibleName(title)
        self.show_explanation(explanation)
        self._column.activate()
        self.resize(WIDTH, self._column.heightForWidth(WIDTH))
        at = button.mapToGlobal(QPoint(button.width() - WIDTH, button.height() + 4))
        screen = button.screen().availableGeometry()
        x = min(max(at.x(), screen.left() + 4), screen.right() - WIDTH - 4)
        y = min(at.y(), screen.bottom() - self.height() - 4)
        self.move(x, max(screen.top() + 4, y))
        self.show()

    def text(self) -> str:
        """All that is said."""
        return "\n".join(f"{heading.text()}\n{label.text()}" for heading, label in self._parts.values())
