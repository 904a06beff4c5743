"""Layers inside of a layer (the body of a residual block, say) are small rows on its card."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QWidget

from ..roles import ElidedLabel, RoleLabel, color
from .health import Health
from .health_strip import HealthStrip

STEP = 10  # pixels that a deeper layer stands further in


@dataclass(frozen=True)
class Inner:
    """What the row of an inner layer says; `path` is the layer's, "2.body.1"."""

    path: str
    title: str
    shape: str = ""
    problem: str = ""

    @property
    def depth(self) -> int:
        return self.path.count(".")


class InnerRow(QWidget):
    """One inner layer: its name, its shape, its health."""

    def __init__(self, inner: Inner, parent: QWidget | None = None):
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(8 + STEP * min(inner.depth, 4), 1, 0, 1)
        row.setSpacing(6)
        self.title = ElidedLabel("", "text", 0.92)
        self.shape_label = RoleLabel("", "muted", 0.88)
        self.shape_label.setWordWrap(False)
        self.strip = HealthStrip()
        row.addWidget(self.title, 1)
        row.addWidget(self.shape_label)
        row.addWidget(self.strip)
        self.show_inner(inner)

    def show_inner(self, inner: Inner) -> None:
        self.inner = inner
        self.title.setText(inner.title)
        self.title.set_role("warning" if inner.problem else "text")
        self.title.setToolTip(inner.problem or inner.title)
        self.shape_label.setText(inner.shape)

    def show_health(self, health: Health) -> None:
        self.strip.show_health(health)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QPen(color("axis"), 1.5))
        left = STEP * min(self.inner.depth, 4) + 1.5
        painter.drawLine(QPointF(left, 0), QPointF(left, self.height()))
