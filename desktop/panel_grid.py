"""The panels stand in two rows whose borders can be dragged; each can be hidden from the View menu."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, Qt
from PySide6.QtWidgets import QSplitter, QVBoxLayout, QWidget

from .settings import Settings


class PanelGrid(QWidget):
    """Two splitters in one: panels fill the first row, then the second."""

    def __init__(self, panels: list[QWidget], parent: QWidget | None = None):
        super().__init__(parent)
        self.panels = panels
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self._outer = QSplitter(Qt.Orientation.Vertical)
        self._outer.setChildrenCollapsible(False)
        self._outer.setHandleWidth(10)
        box.addWidget(self._outer)
        first = -(-len(panels) // 2)
        self._rows = [QSplitter(Qt.Orientation.Horizontal) for _row in range(2)]
        for row, members in zip(self._rows, (panels[:first], panels[first:]), strict=True):
            row.setChildrenCollapsible(False)
            row.setHandleWidth(10)
            for panel in members:
                row.addWidget(panel)
            self._outer.addWidget(row)
        self.reset()

    def reset(self) -> None:
        """All panels shown, in equal parts."""
        for panel in self.panels:
            panel.show()
        self._tidy()
        self._outer.setSizes([1000, 1000])
        for row in self._rows:
            row.setSizes([1000] * row.count())

    def set_shown(self, panel: QWidget, shown: bool) -> None:
        """Show or hide a panel; an empty row gives its room to the other."""
        panel.setVisible(shown)
        self._tidy()

    def _tidy(self) -> None:
        for row in self._rows:
            members = [row.widget(i) for i in range(row.count())]
            row.setVisible(any(not member.isHidden() for member in members))

    def save(self, settings: Settings) -> None:
        """Write sizes down."""
        for index, splitter in enumerate((self._outer, *self._rows)):
            settings.write_state(f"panels-{index}", splitter.saveState())

    def restore(self, settings: Settings) -> None:
        """Take sizes that were written down; keep what stands where they do not fit."""
        for index, splitter in enumerate((self._outer, *self._rows)):
            state: QByteArray = settings.state(f"panels-{index}")
            if not state.isEmpty() and not splitter.restoreState(state):
                self.reset()
                return
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(10)
