"""The `+` between two cards offers every kind of layer; the frequent ones stand first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QMenu, QSizePolicy, QToolButton, QWidget

from layerscope.core.layers.base import Layer
from layerscope.core.text import _

from ..forms import kind_help, kind_label
from ..fresh import fresh
from ..roles import color, tint
from .content import own_choice

FIRST = "dense"  # what a network is made of most


def offers(neighbors: Sequence[Layer]) -> Iterator[tuple[str, str, str, Callable[[], Layer]]]:
    """(group, label, help, how to make it) of all layers that can be added.

    neighbors   layers around the place, the nearest first; a new layer takes its width from them
    """
    kinds = sorted(Layer.registry.items(), key=lambda item: item[0] != FIRST)
    for name, kind in kinds:
        choice = own_choice(kind)
        if choice is None:
            group = name if name == FIRST else "~"
            yield group, kind_label(kind, name), kind_help(kind), lambda kind=kind: fresh(kind, neighbors)  # type: ignore[misc]
            continue
        for option in choice.choice_names():
            settings = {choice.name: option}
            yield (
                name,
                kind_label(choice.choices[option], option),
                _(choice.help),
                lambda kind=kind, settings=settings: fresh(kind, neighbors, settings),  # type: ignore[misc]
            )


def fill_add_menu(menu: QMenu, neighbors: Sequence[Layer], add: Callable[[Any], None]) -> None:
    """Put an entry for every layer into a menu; `add` gets the layer that was chosen."""
    menu.clear()
    menu.setToolTipsVisible(True)
    entries = sorted(offers(neighbors), key=lambda offer: offer[0] == "~")  # stable: the rest comes last
    group = ""
    for own, label, help, make in entries:
        if group and own != group:
            menu.addSeparator()
        group = own
        action = menu.addAction(label)
        action.setToolTip(help)
        action.triggered.connect(lambda _checked=False, make=make: add(make()))


class PlusButton(QToolButton):
    """The `+` between two cards.

    opened  the menu is about to be shown and must be filled
    """

    opened = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._lit = False
        self.choices = QMenu(self)
        self.choices.aboutToShow.connect(self.opened)
        self.setMenu(self.choices)
        self.setAutoRaise(True)
        # Cards are walked through with Tab; a focused card adds with the Insert key.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(_("Add a layer here"))
        self.setToolTip(_("Add a layer here"))

    def set_lit(self, lit: bool) -> None:
        """Light up while a card is dragged over this gap."""
        if lit != self._lit:
            self._lit = lit
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(40, 13)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = QPointF(self.width() / 2, self.height() / 2)
        lit = self._lit or self.underMouse() or self.menu().isVisible()
        if lit:
            painter.setPen(QPen(tint("accent", 0.45), 1.5))
            painter.drawLine(QPointF(6, middle.y()), QPointF(self.width() - 6, middle.y()))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(color("accent"))
            painter.drawEllipse(QRectF(middle.x() - 6.5, middle.y() - 6.5, 13, 13))
        arm = 3.2
        shade = color("panel") if lit else color("muted")
        painter.setPen(QPen(shade, 1.4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawLine(QPointF(middle.x() - arm, middle.y()), QPointF(middle.x() + arm, middle.y()))
        painter.drawLine(QPointF(middle.x(), middle.y() - arm), QPointF(middle.x(), middle.y() + arm))
