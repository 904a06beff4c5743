"""A card is moved by dragging it to another gap; the gap under the pointer lights up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import QByteArray, QMimeData, QPoint, QSize, Qt, Signal
from PySide6.QtGui import (
    QDrag,
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
)
from PySide6.QtWidgets import QWidget

from .add_menu import PlusButton

FORMAT = "application/x-layerscope-layer"


def carried(index: int) -> QMimeData:
    """What a dragged card carries: its place among the layers."""
    data = QMimeData()
    data.setData(FORMAT, QByteArray(str(index).encode()))
    return data


def drag_card(card: QWidget, index: int, grip: QPoint) -> None:
    """Let the person carry a card until it is dropped."""
    drag = QDrag(card)
    drag.setMimeData(carried(index))
    drag.setPixmap(card.grab())
    drag.setHotSpot(grip)
    drag.exec(Qt.DropAction.MoveAction)


class Column(QWidget):
    """What is scrolled: as wide as the view, however long its texts are; cards are dropped onto its gaps.

    dropped   (the layer's index, the gap it was dropped on; gap i stands before layer i)
    """

    dropped = Signal(int, int)
    moved = Signal(QPoint)

    def __init__(self, gaps: Callable[[], Sequence[PlusButton]], parent: QWidget | None = None):
        super().__init__(parent)
        self._gaps = gaps
        self.setAcceptDrops(True)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, super().minimumSizeHint().height())

    def _light(self, place: QPoint | None) -> int:
        """Light the gap that is nearest to a place, and only that; its index."""
        gaps = self._gaps()
        nearest = -1
        if place is not None and gaps:
            nearest = min(range(len(gaps)), key=lambda i: abs(gaps[i].geometry().center().y() - place.y()))
        for index, gap in enumerate(gaps):
            gap.set_lit(index == nearest)
        return nearest

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasFormat(FORMAT):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self._light(event.position().toPoint())
        self.moved.emit(event.position().toPoint())
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._light(None)

    def dropEvent(self, event: QDropEvent) -> None:
        gap = self._light(event.position().toPoint())
        self._light(None)
        index = bytes(event.mimeData().data(FORMAT).data()).decode()
        if index.isdigit() and gap >= 0:
            event.acceptProposedAction()
            self.dropped.emit(int(index), gap)
