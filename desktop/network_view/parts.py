"""The frame around the layers inside of a block: which way the signal takes, what goes around, where it all meets."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from layerscope.core.text import _

from ..roles import RoleLabel, color, tint

AROUND = 13  # pixels at the right for the line that goes around
SIGN = 15


def joined_text(sign: str) -> str:
    """How the parts come together, in words."""
    return {"+": _("added up"), "∥": _("put side by side")}.get(sign, "")


class Meeting(QWidget):
    """Where the parts come together: the sign in a circle, and what goes around in words."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.sign = ""
        row = QHBoxLayout(self)
        row.setContentsMargins(SIGN + 8, 1, 0, 1)
        self.words = RoleLabel("", "muted", 0.85)
        row.addWidget(self.words, 1)
        self.setMinimumHeight(SIGN + 4)

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self.sign:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        circle = QRectF(1, (self.height() - SIGN) / 2, SIGN, SIGN)
        painter.setPen(QPen(color("muted"), 1.3))
        painter.setBrush(color("panel"))
        painter.drawEllipse(circle)
        middle, arm = circle.center(), 3.4
        painter.setPen(QPen(color("text"), 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        if self.sign == "+":
            painter.drawLine(middle - QPointF(arm, 0), middle + QPointF(arm, 0))
            painter.drawLine(middle - QPointF(0, arm), middle + QPointF(0, arm))
        else:
            for x in (-1.8, 1.8):
                painter.drawLine(middle + QPointF(x, -arm), middle + QPointF(x, arm))


def _width(label: RoleLabel) -> int:
    return label.fontMetrics().horizontalAdvance(label.text())


class PartsFrame(QWidget):
    """See the module's sentence.

    branch_wanted   another branch is to be added
    """

    branch_wanted = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._around = False
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 4, 0, 0)
        self._column.setSpacing(3)
        self.add = QToolButton()
        self.add.setText(_("+ branch"))
        self.add.setProperty("kind", "bare")
        self.add.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.add.setToolTip(_("Add an empty branch: it hands the input on until it has layers"))
        self.add.clicked.connect(self.branch_wanted)
        self.meeting = Meeting()
        self._column.addWidget(self.add, 0, Qt.AlignmentFlag.AlignLeft)
        self._column.addWidget(self.meeting)

    def append(self, view: QWidget) -> None:
        self._column.insertWidget(self._column.count() - 2, view)

    def remove(self, view: QWidget) -> None:
        self._column.removeWidget(view)
        view.hide()
        view.deleteLater()

    def tab_stops(self) -> list[QWidget]:
        return [self.add]

    def show_joined(self, sign: str, around: str, more: bool, muted: bool) -> None:
        """How the parts come together, what goes around them, and whether another branch can be added."""
        self._around = bool(around)
        self.meeting.sign = sign
        self.meeting.words.setText(around or joined_text(sign))
        self.meeting.setVisible(bool(sign or around))
        self.add.setVisible(more)
        self.setVisible(not muted)
        right = AROUND if around else 0
        if self._column.contentsMargins().right() != right:
            self._column.setContentsMargins(0, 4, right, 0)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._around:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(tint("accent", 0.75), 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        low = self.meeting.geometry().center().y() + 0.5
        x = self.width() - 5.0
        start: float = self.meeting.x() + SIGN + 8 + _width(self.meeting.words) + 8
        start = min(start, x - 8)
        painter.drawPolyline([QPointF(x - 7, 2), QPointF(x, 2), QPointF(x, low), QPointF(max(start, x - 60), low)])
        tip = QPointF(max(start, x - 60), low)
        painter.drawPolyline([tip + QPointF(4, -3), tip, tip + QPointF(4, 3)])
