"""The numbers behind a figure as a table: for whoever wants them exactly, or cannot see the figure."""

from __future__ import annotations

from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QTableView, QVBoxLayout, QWidget

from layerscope.core.figures.export import table_csv
from layerscope.core.figures.figure import Figure
from layerscope.core.text import _

from ..roles import RoleLabel

Index = QModelIndex | QPersistentModelIndex


class FigureTable(QAbstractTableModel):
    """A figure's table, as it is: one column a quantity, one row a point."""

    def __init__(self, figure: Figure, parent: Any = None):
        super().__init__(parent)
        self._names = list(figure.table)
        self._columns = [np.asarray(figure.table[name]) for name in self._names]

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008  Qt's own signature
        return 0 if parent.isValid() or not self._columns else len(self._columns[0])

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        value = self._columns[index.column()][index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return f"{value:.7g}" if isinstance(value, float | np.floating) else str(value)
        if role == Qt.ItemDataRole.TextAlignmentRole and isinstance(value, int | float | np.number):
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self._names[section] if orientation == Qt.Orientation.Horizontal else section + 1


class NumbersDialog(QDialog):
    """The table of a figure at the moment when it was asked for."""

    def __init__(self, figure: Figure, parent: QWidget | None = None):
        super().__init__(parent)
        self._figure = figure
        self.setWindowTitle(_("Numbers: {title}").format(title=figure.title))
        self.resize(720, 460)
        self.table = QTableView()
        self.table.setAccessibleName(figure.title)
        self.table.setAlternatingRowColors(True)
        self.model = FigureTable(figure, self)
        self.table.setModel(self.model)
        self.table.resizeColumnsToContents()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        close = buttons.button(QDialogButtonBox.StandardButton.Close)
        close.setText(_("Close"))
        copy = buttons.addButton(_("Copy as CSV"), QDialogButtonBox.ButtonRole.ActionRole)
        copy.clicked.connect(self.copy)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(RoleLabel(figure.subtitle, "muted"))
        column.addWidget(self.table, 1)
        column.addWidget(buttons)

    def copy(self) -> None:
        """The numbers to the clipboard."""
        QGuiApplication.clipboard().setText(table_csv(self._figure).decode())
