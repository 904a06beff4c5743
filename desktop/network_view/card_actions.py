"""The small buttons that appear on a card under the pointer: move up, move down, duplicate, switch off, delete."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeySequence, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QWidget

from layerscope.core.text import _

from ..roles import color, tint

NAMES = ("explain", "up", "down", "duplicate", "mute", "delete")
SIZE = 20


def action_text(name: str) -> tuple[str, QKeySequence]:
    """What an action is called, and its key while the card has the focus."""
    return {
        "up": (_("Move up"), QKeySequence("Alt+Up")),
        "down": (_("Move down"), QKeySequence("Alt+Down")),
        "duplicate": (_("Duplicate"), QKeySequence("Ctrl+D")),
        "delete": (_("Delete"), QKeySequence(Qt.Key.Key_Delete)),
        "mute": (_("Switch off (it stays in its place)"), QKeySequence("M")),
        "unmute": (_("Switch on again"), QKeySequence("M")),
        "into": (_("Move into the block below or above"), QKeySequence("Alt+Right")),
        "out": (_("Move out of the block"), QKeySequence("Alt+Left")),
        "lane": (_("Try without it in a new lane"), QKeySequence()),
        "lane_on": (_("Try with it in a new lane"), QKeySequence()),
        "explain": (_("Explain: what it does, its formula and its source"), QKeySequence("I")),
        "add": (_("Add a layer after this one"), QKeySequence(Qt.Key.Key_Insert)),
    }[name]


class IconButton(QToolButton):
    """A small button with a drawn sign, in the colors of the theme."""

    def __init__(self, name: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.sign = name
        text, keys = action_text(name)
        self.setObjectName(name)
        self.setAccessibleName(text)
        native = keys.toString(QKeySequence.SequenceFormat.NativeText)
        self.setToolTip(_("{action} ({keys})").format(action=text, keys=native))
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the card's own keys do the same
        self.setFixedSize(SIZE, SIZE)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.underMouse():
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(tint("alarm" if self.sign == "delete" else "muted", 0.2))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        role = "alarm" if self.sign == "delete" and self.underMouse() else "text" if self.underMouse() else "muted"
        pen = QPen(color(role), 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        painter.translate(SIZE / 2, SIZE / 2)
        if self.sign in ("up", "down"):
            if self.sign == "down":
                painter.rotate(180)
            painter.drawLine(QPointF(0, 4.5), QPointF(0, -4.5))
            painter.drawPolyline([QPointF(-3.5, -1), QPointF(0, -4.5), QPointF(3.5, -1)])
        elif self.sign == "duplicate":
            painter.drawRoundedRect(QRectF(-4.5, -4.5, 6.5, 6.5), 1.5, 1.5)
            painter.drawPolyline([QPointF(4.5, -1.5), QPointF(4.5, 4.5), QPointF(-1.5, 4.5)])
        elif self.sign == "explain":
            painter.drawEllipse(QRectF(-5, -5, 10, 10))
            painter.drawPoint(QPointF(0, -2.5))
            painter.drawLine(QPointF(0, 0), QPointF(0, 2.6))
        elif self.sign == "mute":
            painter.drawArc(QRectF(-4.5, -3.5, 9, 9), 125 * 16, 290 * 16)
            painter.drawLine(QPointF(0, -5), QPointF(0, -0.5))
        else:
            painter.drawLine(QPointF(-3.5, -3.5), QPointF(3.5, 3.5))
            painter.drawLine(QPointF(-3.5, 3.5), QPointF(3.5, -3.5))


class ActionRow(QWidget):
    """The buttons in a row."""

    wanted = Signal(str)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        self.buttons = {name: IconButton(name) for name in NAMES}
        for name, button in self.buttons.items():
            button.clicked.connect(partial(self.wanted.emit, name))
            row.addWidget(button)

    def sizeHint(self) -> QSize:
        return QSize(SIZE * len(NAMES), SIZE)
