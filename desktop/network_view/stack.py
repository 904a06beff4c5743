"""A stack is a list of layers as cards, one below the other, with a `+` in every gap: the network, a body, a branch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from layerscope.core.text import _

from ..roles import RoleLabel, tint
from .add_menu import PlusButton
from .card import Card
from .content import Content, Part


class Hands(Protocol):
    """Who does what a person wants of cards and gaps: the network view."""

    def new_card(self, content: Content) -> Card: ...

    def new_plus(self, stack: Stack) -> PlusButton: ...

    def leaves(self, card: Card) -> None:
        """A card is about to go."""

    def remove_branch(self, place: str) -> None:
        """A branch is to be taken out of its block."""


class Stack(QWidget):
    """See the module's sentence. Cards that stay the same stay the same widgets.

    place   of the list in the experiment, "network.2.body"; "" for cards that nobody can move
    plus    plus[i] stands before card i, the last one behind the last card; none where nobody can move
    """

    def __init__(self, hands: Hands, place: str, parent: QWidget | None = None):
        super().__init__(parent)
        self._hands = hands
        self.place = place
        self.cards: list[Card] = []
        self.plus: list[PlusButton] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(0 if place else 4)
        if place:
            self._insert_plus(0)

    def show_contents(self, place: str, contents: Sequence[Content]) -> None:
        """Show other layers with as few new widgets as possible."""
        self.place = place
        old = [card.content.value for card in self.cards]
        new = [content.value for content in contents]
        if [type(value) for value in old] != [type(value) for value in new]:
            start = 0
            while start < min(len(old), len(new)) and old[start] == new[start]:
                start += 1
            end = 0
            while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
                end += 1
            for index in range(len(old) - end - 1, start - 1, -1):
                self._remove(index)
            for index in range(start, len(new) - end):
                self._insert(index, contents[index])
        for card, content in zip(self.cards, contents, strict=True):
            card.show_content(content)

    def gap(self, plus: PlusButton) -> int:
        """The number of a gap: it stands before the card of this number."""
        return self.plus.index(plus)

    def _insert_plus(self, index: int) -> None:
        plus = self._hands.new_plus(self)
        self.plus.insert(index, plus)
        self._column.insertWidget(0 if index == 0 else self._column.indexOf(self.cards[index - 1]) + 1, plus)

    def _insert(self, index: int, content: Content) -> None:
        card = self._hands.new_card(content)
        place = self._column.indexOf(self.plus[index]) + 1 if self.place else index
        self._column.insertWidget(place, card)
        self.cards.insert(index, card)
        if self.place:
            self._insert_plus(index + 1)

    def _remove(self, index: int) -> None:
        card = self.cards.pop(index)
        self._hands.leaves(card)
        gone: list[QWidget] = [card]
        if self.place:
            gone.append(self.plus.pop(index + 1))
        for widget in gone:
            self._column.removeWidget(widget)
            widget.hide()
            widget.deleteLater()


class PartView(QWidget):
    """One list of layers inside of a block: its heading, the cards, and a line along which the signal goes."""

    def __init__(self, hands: Hands, part: Part, parent: QWidget | None = None):
        super().__init__(parent)
        self._hands = hands
        self.part = part
        self.stack = Stack(hands, part.place)
        self.heading = RoleLabel("", "muted", 0.85)
        self.heading.setWordWrap(False)
        self.out = QToolButton()
        self.out.setText("−")
        self.out.setAutoRaise(True)
        self.out.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.out.clicked.connect(lambda: self._hands.remove_branch(self.part.place))
        top = QHBoxLayout()
        top.setSpacing(4)
        top.addWidget(self.heading, 1)
        top.addWidget(self.out)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 0, 0)
        column.setSpacing(1)
        column.addLayout(top)
        column.addWidget(self.stack)
        self.show_part(part)

    def show_part(self, part: Part) -> None:
        """Show other layers in place."""
        self.part = part
        self.heading.setText(part.heading)
        self.out.setVisible(part.branch)
        name = _("Remove {branch}").format(branch=part.heading)
        self.out.setToolTip(name)
        self.out.setAccessibleName(name)
        self.stack.show_contents(part.place, part.contents)

    def clear(self) -> None:
        """All cards go."""
        self.stack.show_contents(self.part.place, ())

    def tab_stops(self) -> list[QWidget]:
        return [*(stop for card in self.stack.cards for stop in card.tab_stops()), self.out]

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(QPen(tint("muted", 0.45), 1.4))
        painter.drawLine(QPointF(2, 2), QPointF(2, self.height() - 1))
