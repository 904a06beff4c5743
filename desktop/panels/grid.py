"""The panels stand in two rows with borders to drag; each can be made large, hidden, and give its place to another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QSplitter, QVBoxLayout, QWidget

from layerscope.core.text import _

from ..session import Session
from .base import Panel, panels

VERSION = 3
SPACE = 10  # pixels between panels


class PanelGrid(QWidget):
    """All panels, in the order of the figures: what happens now above, what happened over time below."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.panels: list[Panel] = [kind(session) for kind in panels()]
        self.maximized: Panel | None = None
        self._hidden: set[str] = set()
        self._actions: dict[str, QAction] = {}
        self._outer = _splitter(Qt.Orientation.Vertical)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._outer)
        self._rows = [_splitter(Qt.Orientation.Horizontal) for _row in range(2)]
        now, over_time = self._usual()
        for row, members in zip(self._rows, (now, over_time), strict=True):
            for panel in members:
                row.addWidget(panel)
                panel.maximize_wanted.connect(lambda panel=panel: self.toggle_maximized(panel))
                panel.hide_wanted.connect(lambda panel=panel: self.set_shown(panel, False))
                panel.other_wanted.connect(lambda name, panel=panel: self.put_in_place_of(panel, name))
                panel.offer_others()
            self._outer.addWidget(row)
        for panel in self.panels:
            action = QAction(self)
            action.setCheckable(True)
            action.setChecked(True)
            action.toggled.connect(lambda shown, panel=panel: self.set_shown(panel, shown))
            self._actions[panel.name] = action
        self.retranslate()
        self.reset()

    def _usual(self) -> tuple[list[Panel], list[Panel]]:
        """The panels of each row in the layout that the program begins with."""
        now = [panel for panel in self.panels if not panel.time_plots]
        return now, [panel for panel in self.panels if panel.time_plots]

    # --- what is shown

    def toggle_actions(self) -> list[QAction]:
        """One checkable action a panel, for a menu: whether it is shown."""
        return list(self._actions.values())

    def visible_panels(self) -> list[Panel]:
        """The panels that are on the screen, in order."""
        return [panel for panel in self.panels if not panel.isHidden()]

    def set_shown(self, panel: Panel, shown: bool) -> None:
        """Show or hide a panel; an empty row gives its room to the other."""
        if shown:
            self._hidden.discard(panel.name)
        else:
            self._hidden.add(panel.name)
        if self.maximized is panel or shown:
            self._set_maximized(None)
        self._arrange()

    def show_named(self, name: str) -> None:
        """Show the panel of this name beside those that are shown."""
        self.set_shown(next(panel for panel in self.panels if panel.name == name), True)

    def put_in_place_of(self, panel: Panel, name: str) -> None:
        """Show the panel of this name where `panel` is. One that is on the screen already changes places with it."""
        other = next(one for one in self.panels if one.name == name)
        if other is panel:
            return
        large = self.maximized is panel
        both_shown = other.name not in self._hidden
        sizes = [splitter.sizes() for splitter in self._rows]
        rows = self._now()
        places = {one: (r, i) for r, row in enumerate(rows) for i, one in enumerate(row)}
        (r1, i1), (r2, i2) = places[panel], places[other]
        rows[r1][i1], rows[r2][i2] = other, panel
        self._put(rows)
        if not both_shown:
            self._hidden.discard(other.name)
            self._hidden.add(panel.name)
            sizes[r2][i2] = 0
        self._set_maximized(other if large else None)
        self._arrange()
        for splitter, part in zip(self._rows, sizes, strict=True):
            splitter.setSizes(part)
        other.view.setFocus()

    def _now(self) -> list[list[Panel]]:
        """The panels of each row as they stand."""
        found = [[row.widget(i) for i in range(row.count())] for row in self._rows]
        return [[one for one in row if isinstance(one, Panel)] for row in found]

    def _put(self, rows: Sequence[Sequence[QWidget]]) -> None:
        """Put the panels into the rows in this order."""
        for splitter, members in zip(self._rows, rows, strict=True):
            for index, panel in enumerate(members):
                splitter.insertWidget(index, panel)

    def toggle_maximized(self, panel: Panel) -> None:
        """Give all room to a panel, or back to all of them."""
        self._set_maximized(None if self.maximized is panel else panel)
        self._arrange()
        panel.view.setFocus()

    def _set_maximized(self, panel: Panel | None) -> None:
        self.maximized = panel
        for one in self.panels:
            one.maximized = one is panel

    def _arrange(self) -> None:
        for panel in self.panels:
            shown = panel is self.maximized if self.maximized is not None else panel.name not in self._hidden
            panel.setVisible(shown)
            action = self._actions[panel.name]
            action.blockSignals(True)  # it is told, it does not tell
            action.setChecked(panel.name not in self._hidden)
            action.blockSignals(False)
        for row in self._rows:
            row.setVisible(any(panel.parent() is row and not panel.isHidden() for panel in self.panels))

    def reset(self) -> None:
        """The panels of the first layout shown, in equal parts."""
        self._put(self._usual())
        self._hidden = {panel.name for panel in self.panels if not panel.at_first}
        self._set_maximized(None)
        self._arrange()
        for splitter in (self._outer, *self._rows):
            splitter.setSizes([1000] * splitter.count())

    def retranslate(self) -> None:
        """Put the words into place, in the present language."""
        for panel in self.panels:
            panel.retranslate()
            action = self._actions[panel.name]
            action.setText(panel.title)
            action.setToolTip(_("Show or hide this panel"))

    # --- what is remembered

    def save_state(self) -> bytes:
        """Sizes, hidden and large panels, and their options."""
        return json.dumps(
            {
                "version": VERSION,
                "rows": [[panel.name for panel in row] for row in self._now()],
                "sizes": [_shares(splitter) for splitter in (self._outer, *self._rows)],
                "hidden": sorted(self._hidden),
                "maximized": self.maximized.name if self.maximized is not None else "",
                "options": {panel.name: panel.option_values() for panel in self.panels},
            }
        ).encode()

    def restore_state(self, state: bytes) -> bool:
        """Put everything back as it was; whether the state could be read. Otherwise nothing changes."""
        try:
            found = json.loads(bytes(state))
            if found["version"] != VERSION:
                return False
            places = [[str(name) for name in row] for row in found["rows"]]
            if len(places) != len(self._rows):
                return False
            sizes = [[max(0, int(size)) for size in part] for part in found["sizes"]]
            hidden = {str(name) for name in found["hidden"]}
            large = str(found["maximized"])
            options = {str(name): dict(values) for name, values in found["options"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return False
        known = {panel.name: panel for panel in self.panels}
        placed = {name for row in places for name in row}
        # Panels that the arrangement does not know are new in this version: they stand where they usually do, hidden.
        rows = [
            [known[name] for name in dict.fromkeys(names) if name in known]
            + [panel for panel in usual if panel.name not in placed]
            for names, usual in zip(places, self._usual(), strict=True)
        ]
        self._put(rows)
        self._hidden = (hidden & set(known)) | {panel.name for panel in self.panels if panel.name not in placed}
        self._set_maximized(known.get(large))
        for name, values in options.items():
            with suppress(KeyError):
                known[name].take_options(values)
        self._arrange()
        for splitter, part in zip((self._outer, *self._rows), sizes, strict=False):
            if len(part) == splitter.count() and any(part):
                splitter.setSizes(part)
        return True


def _splitter(orientation: Qt.Orientation) -> QSplitter:
    made = QSplitter(orientation)
    made.setChildrenCollapsible(False)
    made.setHandleWidth(SPACE)
    return made


def _shares(splitter: QSplitter) -> list[int]:
    """Sizes of the parts; of hidden ones, what an average part has."""
    sizes = splitter.sizes()
    shown = [size for size in sizes if size > 0] or [1000]
    return [size or sum(shown) // len(shown) for size in sizes]
