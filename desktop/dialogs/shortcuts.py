"""All keys on one page, read from the actions that they belong to."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from layerscope.core.text import _

from ..actions import ACTIONS, shown_keys


class ShortcutsDialog(QDialog):
    """Action and keys, in two columns of pairs."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(_("Keyboard shortcuts"))
        outer = QVBoxLayout(self)
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(5)
        listed = [declared for declared in ACTIONS if declared.keys]
        half = -(-len(listed) // 2)
        for index, declared in enumerate(listed):
            row, column = index % half, 3 * (index // half)
            keys = QLabel("  ".join(shown_keys(key) for key in declared.keys))
            keys.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            font = keys.font()
            font.setBold(True)
            keys.setFont(font)
            words = QLabel(_(declared.text).replace("&", "").rstrip("…"))
            words.setToolTip(_(declared.tip))
            grid.addWidget(keys, row, column)
            grid.addWidget(words, row, column + 1)
        grid.setColumnMinimumWidth(2, 24)
        outer.addLayout(grid)
        buttons = QDialogButtonBox()
        buttons.addButton(_("Close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        outer.addWidget(buttons)
