"""The `+` between two cards is the palette: every kind of layer, grouped by what it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QMenu, QSizePolicy, QToolButton, QWidget, QWidgetAction

from layerscope.core.layers.base import GROUPS, Layer
from layerscope.core.text import _

from ..explain import kind_label, kind_tip
from ..fresh import fresh
from ..roles import RoleLabel, color, tint
from .content import own_choice

FIRST = "dense"  # what a network is made of most
AT_ONCE = 6  # kinds of one choice that stand in the menu itself; the others are one step further


@dataclass(frozen=True)
class Offer:
    """A layer that can be added.

    group    what it is for, see `GROUPS`
    make     makes one that suits the place
    further  it is one of many of its kind, and not among the first
    """

    group: str
    label: str
    help: str
    make: Callable[[], Layer]
    further: bool = False


def offers(neighbors: Sequence[Layer]) -> Iterator[Offer]:
    """All layers that can be added, in the order of the palette.

    neighbors   layers around the place, the nearest first; a new layer takes its width from them
    """
    groups = list(GROUPS)
    kinds = sorted(
        Layer.registry.items(), key=lambda item: (groups.index(item[1].group), item[0] != FIRST)
    )  # stable: within a group in the order of registration
    for name, kind in kinds:
        choice = own_choice(kind)
        if choice is None:
            label = kind_label(kind, name)
            yield Offer(kind.group, label, kind_tip(kind), lambda kind=kind: fresh(kind, neighbors))  # type: ignore[misc]
            continue
        for number, option in enumerate(choice.choice_names()):
            settings = {choice.name: option}
            entry = choice.choices[option]
            yield Offer(
                kind.group,
                kind_label(entry, option),
                kind_tip(entry) or _(choice.help),
                lambda kind=kind, settings=settings: fresh(kind, neighbors, settings),  # type: ignore[misc]
                number >= AT_ONCE,
            )


class Heading(QWidgetAction):
    """The name of a group in the palette; keys and clicks pass it over."""

    def __init__(self, text: str, menu: QMenu):
        super().__init__(menu)
        label = RoleLabel(text, "muted", 0.88, bold=True)
        label.setWordWrap(False)
        label.setContentsMargins(10, 7, 10, 2)
        self.setDefaultWidget(label)
        self.setEnabled(False)
        self.setText(text)


def fill_add_menu(menu: QMenu, neighbors: Sequence[Layer], add: Callable[[Any], None]) -> None:
    """Put an entry for every layer into a menu; `add` gets the layer that was chosen."""
    menu.clear()
    menu.setToolTipsVisible(True)
    group, more = "", None
    for offer in offers(neighbors):
        if offer.group != group:
            menu.addAction(Heading(_(GROUPS[offer.group]), menu))
            group, more = offer.group, None
        if offer.further and more is None:
            more = menu.addMenu(_("More functions"))
            more.setToolTipsVisible(True)
        action = (more if offer.further and more is not None else menu).addAction(offer.label)
        action.setToolTip(offer.help)
        action.triggered.connect(lambda _checked=False, make=offer.make: add(make()))


class PlusButton(QToolButton):
    """The `+` between two cards; the place of its list and the number of its gap are the stack's affair.

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
