"""The timeline shows all steps that are planned, how far the record reaches, and which moment is on screen.

Dragging it goes to any recorded step. Ticks are epochs, small diamonds are settings that were changed while training.
Decisions of the training itself stand there too: a flag at the best validation loss, a square where early stopping
ended it, a triangle where the learning rate was lowered; a ring is where a lane was forked.
"""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QAbstractSlider, QWidget

from layerscope.core.text import _

from .. import theme

SIDE = 10  # pixels beside the track, so that the handle fits at both ends
TRACK, HANDLE = 8, 9
MOST = 2**31 - 1  # steps that Qt can count
TICK_GAP = 9  # least distance of two ticks, pixels


NEAR = 6  # pixels from a mark at which the pointer is on it


@dataclass(frozen=True)
class Mark:
    """What was decided at a step: "best", "stopped", "rate" or "fork", and that in words."""

    step: int
    what: str
    text: str


class Timeline(QAbstractSlider):
    """A slider whose value is the step on screen; `wanted` is emitted only when a person moves it.

    asked   (step, place on the screen): what can be done there? The right mouse button, or the menu key
    """

    wanted = Signal(int)
    asked = Signal(int, QPoint)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setOrientation(Qt.Orientation.Horizontal)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self._goal = 1
        self._recorded = 0
        self._epoch = 1
        self._events: tuple[int, ...] = ()
        self.marks: tuple[Mark, ...] = ()
        self.setAccessibleName(_("timeline"))

    def show_time(
        self,
        position: int,
        recorded: int,
        goal: int,
        epoch: int,
        events: tuple[int, ...],
        marks: tuple[Mark, ...] = (),
    ) -> None:
        """Draw this moment.

        recorded   the newest step there is
        goal       where playing ends
        epoch      steps in an epoch
        """
        state = (recorded, min(MOST, max(1, goal, recorded)), max(1, epoch), events, marks)
        changed = state != (self._recorded, self._goal, self._epoch, self._events, self.marks)
        self._recorded, self._goal, self._epoch, self._events, self.marks = state
        if self.maximum() != self._goal:
            self.setRange(0, self._goal)
        if self.value() != min(MOST, position):
            self.setValue(min(MOST, position))
        if changed:
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(400, 22 + self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self.sizeHint().height())

    def _x(self, step: float) -> float:
        return SIDE + (self.width() - 2 * SIDE) * step / self._goal

    def _step(self, x: float) -> int:
        share = (x - SIDE) / max(1, self.width() - 2 * SIDE)
        return max(0, min(self._recorded, round(share * self._goal)))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)
            self.wanted.emit(self._step(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        step = self._step(event.position().x())
        if event.buttons() & Qt.MouseButton.LeftButton:
            self.wanted.emit(step)
        else:
            self.setToolTip(self.words_at(event.position().x(), step))

    def words_at(self, x: float, step: int) -> str:
        """The step under the pointer, and the marks that are near."""
        lines = [_("step {step:,}, epoch {epoch:,}").format(step=step, epoch=step // self._epoch)]
        for mark in self.marks:
            if abs(self._x(mark.step) - x) <= NEAR:
                lines.append(_("step {step:,}: {what}").format(step=mark.step, what=mark.text))
        return "\n".join(lines)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        step = self.value() if by_key else self._step(event.pos().x())
        place = self.mapToGlobal(QPoint(round(self._x(step)), TRACK)) if by_key else event.globalPos()
        self.asked.emit(step, place)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.setSliderDown(False)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        # the arrow keys are the window's: minibatch, epoch, operation
        event.ignore()

    def paintEvent(self, event: QPaintEvent) -> None:
        look = theme.current()
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        middle = 11.0
        enabled = self.isEnabled()

        def bar(first: float, last: float, color: str) -> None:
            painter.setBrush(QColor(color))
            rectangle = QRectF(first, middle - TRACK / 2, max(TRACK, last - first), TRACK)
            painter.drawRoundedRect(rectangle, TRACK / 2, TRACK / 2)

        accent = look.color("accent") if enabled else look.tint("text", 0.3)
        position = self._x(self.value())
        bar(SIDE - TRACK / 2, self._x(self._goal) + TRACK / 2, look.tint("text", 0.12))
        if self._recorded:
            bar(SIDE - TRACK / 2, self._x(self._recorded) + TRACK / 2, look.tint("accent" if enabled else "text", 0.4))
        if self.value():
            bar(SIDE - TRACK / 2, position, accent)
        self._paint_ticks(painter, look, middle)
        self._paint_events(painter, look, middle)
        self._paint_marks(painter, look, middle)
        painter.setPen(QPen(QColor(accent), 3 if not self.hasFocus() else 4))
        painter.setBrush(QColor(look.color("panel")))
        painter.drawEllipse(QPointF(position, middle), HANDLE - 1.5, HANDLE - 1.5)
        self._paint_numbers(painter, look, position)
        painter.end()

    def _paint_ticks(self, painter: QPainter, look: theme.Theme, middle: float) -> None:
        """Epochs, thinned to every 2nd, 5th, 10th ... when they are too many for the width."""
        width = self._x(self._epoch) - self._x(0)
        every, steps = 1, (2, 2.5, 2)
        turn = 0
        while width * every < TICK_GAP and every < 1e12:
            every = int(every * steps[turn % 3])
            turn += 1
        painter.setPen(QPen(QColor(look.color("panel")), 1.2))
        for step in range(self._epoch * every, self._goal, self._epoch * every):
            x = round(self._x(step)) + 0.5
            painter.drawLine(QPointF(x, middle - TRACK / 2), QPointF(x, middle + TRACK / 2))
        painter.setPen(Qt.PenStyle.NoPen)

    def _paint_events(self, painter: QPainter, look: theme.Theme, middle: float) -> None:
        painter.setBrush(QColor(look.color("warning")))
        for step in self._events:
            x = self._x(step)
            painter.drawPolygon(
                QPolygonF(
                    [QPointF(x, middle - 5), QPointF(x + 5, middle), QPointF(x, middle + 5), QPointF(x - 5, middle)]
                )
            )

    def _paint_marks(self, painter: QPainter, look: theme.Theme, middle: float) -> None:
        """Decisions of the training, each with a form and a color of its own."""
        painter.setPen(Qt.PenStyle.NoPen)
        low = middle + TRACK / 2 + 2
        for mark in self.marks:
            x = self._x(mark.step)
            if mark.what == "best":
                painter.setBrush(QColor(look.color("good")))
                painter.drawRect(QRectF(x - 0.8, middle - 9, 1.6, 18))
                flag = [QPointF(x, middle - 10), QPointF(x + 7, middle - 7.5), QPointF(x, middle - 5)]
                painter.drawPolygon(QPolygonF(flag))
            elif mark.what == "stopped":
                painter.setBrush(QColor(look.color("warning")))
                painter.drawRect(QRectF(x - 4, middle - 4, 8, 8))
            elif mark.what == "fork":
                painter.setPen(QPen(QColor(look.color("text")), 1.6))
                painter.setBrush(QColor(look.color("panel")))
                painter.drawEllipse(QPointF(x, middle), 3.6, 3.6)
                painter.setPen(Qt.PenStyle.NoPen)
            else:
                painter.setBrush(QColor(look.color("accent")))
                painter.drawPolygon(QPolygonF([QPointF(x - 4, low), QPointF(x + 4, low), QPointF(x, low + 5)]))

    def _paint_numbers(self, painter: QPainter, look: theme.Theme, position: float) -> None:
        """The step under the handle, the goal at the end where it does not collide."""
        metrics = QFontMetrics(self.font())
        baseline = 20 + metrics.ascent()
        text = f"{self.value():,}"
        width = metrics.horizontalAdvance(text)
        x = min(max(position - width / 2, SIDE - TRACK / 2), self.width() - width - 2)
        painter.setPen(QColor(look.color("text")))
        painter.drawText(QPointF(x, baseline), text)
        end = f"{self._goal:,}"
        end_x = self.width() - SIDE + TRACK / 2 - metrics.horizontalAdvance(end)
        if x + width + 12 < end_x:
            painter.setPen(QColor(look.color("muted")))
            painter.drawText(QPointF(end_x, baseline), end)
