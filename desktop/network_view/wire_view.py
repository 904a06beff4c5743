"""While a step is walked operation by operation, the wire shows on the card what the operation has just computed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QFont, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from layerscope.core.text import _, ngettext

from ..roles import ElidedLabel, RoleLabel, color, tint
from ..session import Wire
from .content import shape_text

ROWS, COLUMNS = 3, 4  # as many numbers as can be read on a card


def phase_text(phase: str) -> str:
    """The direction in which the computation goes, as a sign and a word."""
    return {
        "data": _("▼ minibatch"),
        "forward": _("▼ forward"),
        "loss": _("▼ loss"),
        "backward": _("▲ backward"),
        "update": _("● update"),
    }.get(phase, phase)


def as_matrix(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values as rows (samples, inputs) and columns (units)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim <= 1:
        return array.reshape(1, -1)
    return array.reshape(len(array), math.prod(array.shape[1:]))


def caption(rows: int, columns: int, per_sample: bool) -> str:
    """What the rows and columns of the shown numbers are."""
    if per_sample:
        return _("first {rows} samples, first {columns} numbers each").format(rows=rows, columns=columns)
    return _("first {rows} rows, first {columns} columns").format(rows=rows, columns=columns)


class Matrix(QWidget):
    """A few numbers in cells: blue below zero, orange above, stronger where they are larger."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.numbers: NDArray[np.float64] = np.zeros((0, 0))
        self._largest = 1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_numbers(self, numbers: NDArray[np.float64], largest: float) -> None:
        self.numbers, self._largest = numbers, largest
        self.updateGeometry()
        self.update()

    def _cell_height(self) -> int:
        return self.fontMetrics().height() + 2

    def sizeHint(self) -> QSize:
        return QSize(120, len(self.numbers) * self._cell_height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self.numbers.size == 0:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        high, wide = self._cell_height(), self.width() / COLUMNS
        font = QFont(self.font())
        if font.pointSizeF() > 0:
            font.setPointSizeF(font.pointSizeF() * 0.82)
        painter.setFont(font)
        for i, row in enumerate(self.numbers):
            for j, value in enumerate(row):
                cell = QRectF(j * wide, i * high, wide, high).adjusted(0.5, 0.5, -0.5, -0.5)
                painter.setPen(Qt.PenStyle.NoPen)
                if not math.isfinite(value):
                    painter.setBrush(tint("alarm", 0.45))
                else:
                    share = abs(value) / self._largest if self._largest > 0 else 0.0
                    role = "lane-1" if value > 0 else "lane-0"
                    painter.setBrush(tint(role, 0.04 + 0.42 * min(1.0, share)))
                painter.drawRoundedRect(cell, 2.5, 2.5)
                painter.setPen(color("text"))
                painter.drawText(cell, Qt.AlignmentFlag.AlignCenter, f"{value:.3g}")


class WireView(QWidget):
    """Symbol, shape, range and first numbers of what is on the wire."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(3)
        top = QHBoxLayout()
        top.setSpacing(8)
        self.phase = ElidedLabel("", "accent", 0.95, bold=True)
        self.symbol = RoleLabel("", "text", 1.05, bold=True)
        self.symbol.setWordWrap(False)
        self.shape = RoleLabel("", "muted", 0.92)
        self.shape.setWordWrap(False)
        top.addWidget(self.phase, 1)
        top.addWidget(self.symbol)
        top.addWidget(self.shape)
        column.addLayout(top)
        columns = QHBoxLayout()
        self.range: list[RoleLabel] = []
        for name in (_("min"), _("mean"), _("max")):
            pair = QVBoxLayout()
            pair.setSpacing(0)
            number = RoleLabel("", "text", 0.9)
            pair.addWidget(RoleLabel(name, "muted", 0.82))
            pair.addWidget(number)
            columns.addLayout(pair, 1)
            self.range.append(number)
        column.addLayout(columns)
        self.strange = RoleLabel("", "alarm", 0.9)
        column.addWidget(self.strange)
        self.matrix = Matrix()
        column.addWidget(self.matrix)
        self.caption = RoleLabel("", "muted", 0.82)
        column.addWidget(self.caption)

    def show_wire(self, wire: Wire) -> None:
        operation = wire.operation
        self.phase.setText(phase_text(operation.phase))
        self.symbol.setText(operation.symbol)
        self.shape.setText(shape_text(wire.values.shape))
        rows = wire.values.shape[0] if wire.values.ndim else 1
        if operation.per_sample:
            self.shape.setToolTip(
                _("{rows} samples, {shape} each").format(rows=rows, shape=shape_text(operation.shape))
            )
        else:
            self.shape.setToolTip(_("shape of the parameter"))
        finite = wire.values[np.isfinite(wire.values)]
        strange = wire.values.size - finite.size
        numbers = [math.nan] * 3
        if finite.size:
            numbers = [float(finite.min()), float(finite.mean(dtype=np.float64)), float(finite.max())]
        for label, number in zip(self.range, numbers, strict=True):
            label.setText(f"{number:.3g}" if finite.size else "–")
        self.strange.setVisible(strange > 0)
        self.strange.setText(
            ngettext("{count} number is not finite", "{count} numbers are not finite", strange).format(count=strange)
        )
        matrix = as_matrix(wire.values)
        few = matrix[:ROWS, :COLUMNS]
        largest = float(np.abs(few[np.isfinite(few)]).max()) if np.isfinite(few).any() else 0.0
        self.matrix.show_numbers(few, largest)
        self.caption.setText(caption(few.shape[0], few.shape[1], operation.per_sample))
        self.setAccessibleName(_("On the wire"))
        text = _("from {low:.3g} to {high:.3g}, mean {mean:.3g}").format(
            low=numbers[0], mean=numbers[1], high=numbers[2]
        )
        self.setAccessibleDescription(f"{self.phase.text()} {operation.symbol} {self.shape.text()}; {text}")
