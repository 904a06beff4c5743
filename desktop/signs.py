"""Signs of the doctor: a circle for an alarm, a triangle for a warning, a tick where all is well; never color alone."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from layerscope.core.text import _

from .roles import color

State = Literal["alarm", "warning", "good"]
SIZE = 14  # pixels


def state_text(state: State) -> str:
    """The sign in a word."""
    return {"alarm": _("Alarm"), "warning": _("Warning"), "good": _("Well")}[state]


def paint_sign(painter: QPainter, where: QRectF, state: State, shade: QColor | None = None) -> None:
    """Draw a sign into a square."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    shade = shade if shade is not None else color(state)
    middle, half = where.center(), where.width() / 2
    if state == "good":
        pen = QPen(shade, 1.8, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap, Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        tick = [(-0.55, 0.05), (-0.15, 0.45), (0.6, -0.45)]
        painter.drawPolyline(QPolygonF([middle + QPointF(x * half, y * half) for x, y in tick]))
        painter.restore()
        return
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(shade)
    paper = color("panel")
    lift = 0.0
    if state == "alarm":
        painter.drawEllipse(where.adjusted(0.5, 0.5, -0.5, -0.5))
    else:
        corners = [(0.0, -0.95), (1.0, 0.8), (-1.0, 0.8)]
        painter.drawPolygon(QPolygonF([middle + QPointF(x * half, y * half) for x, y in corners]))
        lift = 0.13 * half
    painter.setPen(QPen(paper, 1.7, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
    painter.drawLine(middle + QPointF(0, -0.38 * half + lift), middle + QPointF(0, 0.12 * half + lift))
    painter.drawPoint(middle + QPointF(0, 0.45 * half + lift))
    painter.restore()


class Sign(QWidget):
    """A sign as a widget; its tooltip says what it is about."""

    def __init__(self, state: State = "good", parent: QWidget | None = None):
        super().__init__(parent)
        self.state: State = state
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(SIZE, SIZE + 3)

    def show_state(self, state: State, tip: str = "") -> None:
        if state != self.state:
            self.state = state
            self.update()
        if tip != self.toolTip():
            self.setToolTip(tip)
            self.setAccessibleName(tip)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        paint_sign(painter, QRectF((self.width() - SIZE) / 2, (self.height() - SIZE) / 2, SIZE, SIZE), self.state)
        painter.end()
