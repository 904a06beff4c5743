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


def carried(path: str) -> QMimeData:
    """What a dragged card carries: the path of its layer."""
    data = QMimeData()
    data.setData(FORMAT, QByteArray(path.encode()))
    return data


def path_in(data: QMimeData) -> str:
    """The path of the layer that is carried."""
    return bytes(data.data(FORMAT).data()).decode()


def drag_card(card: QWidget, path: str, grip: QPoint) -> None:
    """Let the person carry a card until it is dropped."""
    drag = QDrag(card)
    drag.setMimeData(carried(path))
    drag.setPixmap(card.grab())
    drag.setHotSpot(grip)
    drag.exec(Qt.DropAction.MoveAction)


class Column(QWidget):
    """What is scrolled: as wide as the view, however long its texts are; cards are dropped onto its gaps.

    gaps      of the path of a dragged layer: where it may be dropped, inside of blocks too
    dropped   (the layer's path, the gap it was dropped on)
    """

    dropped = Signal(str, object)
    moved = Signal(QPoint)

    def __init__(self, gaps: Callable[[str], Sequence[PlusButton]], parent: QWidget | None = None):
        super().__init__(parent)
        self._gaps = gaps
        self.setAcceptDrops(True)

    def minimumSizeHint(self) -> QSize:
        return QSize(120, super().minimumSizeHint().height())

    def _light(self, place: QPoint | None, path: str = "") -> PlusButton | None:
        """Light the gap that is nearest to a place, and only that one."""
        nearest = None
        if place is not None:
            nearest = min(self._gaps(path), key=lambda gap: self._distance(gap, place), default=None)
        for gap in self.findChildren(PlusButton):
            gap.set_lit(gap is nearest)
        return nearest

    def _distance(self, gap: PlusButton, place: QPoint) -> float:
        """How far a gap is: above all up and down; beside its ends half as much, which tells nested gaps apart."""
        corner = gap.mapTo(self, QPoint(0, 0))
        beside = max(corner.x() - place.x(), place.x() - corner.x() - gap.width(), 0)
        return abs(corner.y() + gap.height() / 2 - place.y()) + beside / 2

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if event.mimeData().hasFormat(FORMAT):
            event.acceptProposedAction()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self._light(event.position().toPoint(), path_in(event.mimeData()))
        self.moved.emit(event.position().toPoint())
        event.acceptProposedAction()

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._light(None)

    def dropEvent(self, event: QDropEvent) -> None:
        path = path_in(event.mimeData())
        gap = self._light(event.position().toPoint(), path)
        self._light(None)
        if path and gap is not None:
            event.acceptProposedAction()
            self.dropped.emit(path, gap)
