"""A switch turns a trick on and off with one click."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QEnterEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QAbstractButton, QSizePolicy, QWidget

from .roles import color, tint

WIDTH, HEIGHT = 26, 16


class Switch(QAbstractButton):
    """A pill with a knob: at the left and hollow when off, at the right and filled when on.

    It shows what is; a click only asks (`clicked`), and the caller shows what has come of it.
    """

    def __init__(self, name: str, help: str = "", parent: QWidget | None = None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(name)
        self.setAccessibleDescription(help)
        self.setToolTip(help)

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, max(HEIGHT + 4, self.fontMetrics().height() + 4))

    def show_on(self, on: bool) -> None:
        """Show whether it is on, without asking for anything."""
        if self.isChecked() != on:
            self.setChecked(on)

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        on, lit = self.isChecked(), self.underMouse() and self.isEnabled()
        track = QRectF(1, (self.height() - HEIGHT) / 2 + 1, WIDTH - 2, HEIGHT - 2)
        role = "accent" if on else "muted"
        painter.setBrush(color("accent") if on else tint("muted", 0.22 if lit else 0.10))
        painter.setPen(QPen(tint(role, 1.0 if lit or on else 0.7), 1.2))
        if self.hasFocus():
            painter.setPen(QPen(color("text"), 1.6))
        painter.drawRoundedRect(track, track.height() / 2, track.height() / 2)
        knob = track.height() / 2 - 3
        x = track.right() - track.height() / 2 if on else track.left() + track.height() / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color("panel") if on else color("muted"))
        painter.drawEllipse(QPointF(x, track.center().y()), knob, knob)
