"""The network view shows the selected lane's experiment as cards in data order: data, layers, loss, training.

It reads the session and calls its methods; it never changes an experiment by itself. Cards that stay the same stay the
same widgets, so that focus and cursor survive every edit and every undo.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, QTimer
from PySide6.QtGui import QCursor, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QMenu, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment
from layerscope.core.figures.palette import cue, lane_index
from layerscope.core.layers.base import Layer
from layerscope.core.text import _

from ..roles import RoleLabel, color, follow_font
from ..session import Session
from .add_menu import PlusButton, fill_add_menu
from .card import Card
from .content import (
    Content,
    data_content,
    layer_contents,
    loss_content,
    parameter_text,
    training_content,
)
from .differences import differences
from .dragging import Column, drag_card
from .empty_state import EmptyState
from .health import health_of
from .quick import field_at
from .wire_view import WireView

# the card of an operation whose path is no card's
CARD_OF = {"optimizer": "training"}
CORNER = 8.0


class NetworkView(QWidget):
    """See the module's sentence."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.cards: list[Card] = []  # of the layers, in data order
        self.plus: list[PlusButton] = []  # plus[i] stands before layer i; the last one behind the last layer
        self._experiment: Experiment | None = None
        self._chosen, self._choosing = "", False
        self._font = QApplication.font()
        self._lane = -1
        self._active: Card | None = None
        self._wired: tuple[Any, ...] = ()
        self.setMinimumWidth(220)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

        outer = QVBoxLayout(self)
        outer.setContentsMargins(1, 1, 1, 6)
        outer.setSpacing(0)
        self._build(outer)
        session.lanes_changed.connect(self._show_experiment)
        session.selection_changed.connect(self._show_selection)
        session.scene_changed.connect(self._show_scene)
        self._show_experiment()

    def sizeHint(self) -> QSize:
        return QSize(276, 640)

    def _build(self, outer: QVBoxLayout) -> None:
        head = QHBoxLayout()
        head.setContentsMargins(14, 10, 14, 6)
        head.setSpacing(6)
        self.lane_badge = RoleLabel("", "lane-0", 1.1, bold=True)
        self.lane_badge.setWordWrap(False)
        self.heading = RoleLabel(_("Network"), "text", 1.1, bold=True)
        self.heading.setWordWrap(False)
        self.total = RoleLabel("", "muted", 0.92)
        self.total.setWordWrap(False)
        head.addWidget(self.heading)
        head.addWidget(self.lane_badge)
        head.addStretch(1)
        head.addWidget(self.total)
        outer.addLayout(head)
        self.banner = RoleLabel("", "warning", 0.95)
        self.banner.setObjectName("problem")
        self.banner.setContentsMargins(14, 0, 14, 6)
        self.banner.hide()
        outer.addWidget(self.banner)

        self.scroll_area = QScrollArea()
        self.scroll_area.setWidgetResizable(True)
        self.scroll_area.setFrameShape(QFrame.Shape.NoFrame)
        self.scroll_area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.scroll_area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        column = Column(lambda: self.plus)
        column.dropped.connect(self._drop)
        column.moved.connect(lambda place: self.scroll_area.ensureVisible(place.x(), place.y(), 0, 40))
        self._column = QVBoxLayout(column)
        self._column.setContentsMargins(10, 2, 10, 12)
        self._column.setSpacing(0)
        self.data_card: Card | None = None
        self.loss_card: Card | None = None
        self.training_card: Card | None = None
        self.empty = EmptyState()
        self.empty.chosen.connect(self._start)
        self.empty.opened.connect(partial(self._fill_menu, self.empty.choices, None))
        self.wire_view = WireView()
        self.wire_view.hide()
        self.scroll_area.setWidget(column)
        # The panel's own ground is seen through it, round corners and all.
        self.scroll_area.viewport().setAutoFillBackground(False)
        column.setAutoFillBackground(False)
        outer.addWidget(self.scroll_area, 1)

    # --- experiment -> cards

    def _show_experiment(self) -> None:
        session = self.session
        lane = min(session.selected_lane, len(session.lanes) - 1)
        if lane < 0:
            return
        state = session.lanes[lane]
        experiment, plan = state.experiment, session.plan(lane)
        first = session.lanes[0]
        differs = differences(first.experiment, first.name, experiment) if lane else {}
        self._experiment, self._lane = experiment, lane

        many = len(session.lanes) > 1
        self.lane_badge.setVisible(many)
        self.lane_badge.setText(state.name)
        self.lane_badge.set_role(cue(lane_index(state.name)).color)
        self.total.setText(parameter_text(plan.parameter_count))
        banner = plan.problem_at("network") if experiment.network else ""
        self.banner.setText(banner[:1].upper() + banner[1:])
        self.banner.setVisible(bool(banner))

        self._show_layers(layer_contents(plan, differs))
        self.data_card = self._show_fixed(self.data_card, data_content(experiment, plan, differs.get("data", "")), 0)
        loss = loss_content(experiment, plan, differs.get("loss", ""))
        self.loss_card = self._show_fixed(self.loss_card, loss, -1)
        training = training_content(experiment, plan, differs.get("training", ""))
        if self.training_card is None:
            self._column.addSpacing(10)
            self.training_card = self._show_fixed(None, training, -1)
            self._column.addStretch(1)
        else:
            self.training_card.show_content(training)
        self._column.insertWidget(1, self.empty)
        self.empty.setVisible(not experiment.network)
        if not experiment.network:
            self.empty.show_plan(experiment, plan)
        for plus in self.plus:
            plus.setVisible(bool(experiment.network))
        self._set_tab_order()
        self._show_selection()
        self._show_scene()

    def _show_fixed(self, card: Card | None, content: Content, place: int) -> Card:
        if card is None:
            card = self._new_card(content)
            self._column.insertWidget(place, card)
        card.show_content(content)
        return card

    def _show_layers(self, contents: list[Content]) -> None:
        """Change the row of layer cards with as few new widgets as possible."""
        if not self.plus:
            self._insert_plus(0)
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
                self._remove_card(index)
            for index in range(start, len(new) - end):
                self._insert_card(index, contents[index])
        for card, content in zip(self.cards, contents, strict=True):
            card.show_content(content)

    def _new_card(self, content: Content) -> Card:
        card = Card(content)
        card.dot.role = cue(lane_index(self.session.lanes[0].name)).color
        card.changed.connect(partial(self._set_value, card))
        card.selected.connect(lambda: self._select(card.content.card))
        card.wanted.connect(partial(self._do, card))
        card.opened.connect(self._set_tab_order)
        card.dragged.connect(partial(self._drag, card))
        return card

    def _insert_plus(self, index: int) -> None:
        plus = PlusButton()
        plus.opened.connect(lambda: self._fill_menu(plus.choices, self.plus.index(plus)))
        self.plus.insert(index, plus)
        place = 0 if index == 0 else self._column.indexOf(self.cards[index - 1]) + 1
        if index == 0 and self.data_card is not None:
            place = self._column.indexOf(self.data_card) + 1
        self._column.insertWidget(place, plus)

    def _insert_card(self, index: int, content: Content) -> None:
        card = self._new_card(content)
        place = self._column.indexOf(self.plus[index]) + 1
        self._column.insertWidget(place, card)
        self.cards.insert(index, card)
        self._insert_plus(index + 1)

    def _remove_card(self, index: int) -> None:
        card, plus = self.cards.pop(index), self.plus.pop(index + 1)
        if self._active is card:
            self._take_wire_away()
        for widget in (card, plus):
            self._column.removeWidget(widget)
            widget.hide()
            widget.deleteLater()

    def _all_cards(self) -> list[Card]:
        fixed = (self.data_card, *self.cards, self.loss_card, self.training_card)
        return [card for card in fixed if card is not None]

    def _set_tab_order(self) -> None:
        stops = [stop for card in self._all_cards() for stop in card.tab_stops()]
        for one, other in pairwise(stops):
            QWidget.setTabOrder(one, other)

    def card_at(self, name: str) -> Card | None:
        """The card called `name`: a layer's path (that of the card it is inside of), "data", "loss", "training"."""
        name = CARD_OF.get(name, name.partition(".")[0])
        return next((card for card in self._all_cards() if card.content.card == name), None)

    # --- what a person wants -> session

    def _set_value(self, card: Card, path: str, value: object, merge: str) -> None:
        inside = path.removeprefix(card.content.place).removeprefix(".")
        try:
            self.session.set_value(path, value, self._edit_text(card, inside), lane=self._lane, merge=merge)
        except InputError as error:
            card.show_content(card.content)  # what is shown is what is
            card.explain(inside, error.problem)
        else:
            card.explain(inside, "")

    def _edit_text(self, card: Card, inside: str) -> str:
        """What the undo menu says of a changed setting."""
        found = field_at(card.content.value, inside) if inside else None
        label = found[0].label if found is not None else card.content.field.label if card.content.field else ""
        return _("change {setting}").format(setting=_(label)) if label else ""

    def _do(self, card: Card, action: str) -> None:
        if action in ("previous", "next"):
            self._step_focus(card, -1 if action == "previous" else 1)
            return
        if action == "fix":
            if card.content.fix is not None:
                self.session.edit(card.content.fix.experiment, card.content.fix.text, lane=self._lane)
            return
        if card not in self.cards:
            return
        index = self.cards.index(card)
        if action == "add":
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            self._fill_menu(menu, index + 1)
            menu.popup(card.mapToGlobal(card.rect().bottomLeft()) if card.hasFocus() else QCursor.pos())
        elif action == "delete":
            self.session.delete_layer(index, lane=self._lane)
            self._focus_layer(min(index, len(self.cards) - 1))
        elif action == "duplicate":
            self.session.duplicate_layer(index, lane=self._lane)
            self._focus_layer(index + 1)
        else:
            to = index + (-1 if action == "up" else 1)
            if 0 <= to < len(self.cards):
                self.session.move_layer(index, to, lane=self._lane)
                self._focus_layer(to)

    def _drag(self, card: Card, grip: QPoint) -> None:
        if card in self.cards:
            drag_card(card, self.cards.index(card), grip)

    def _drop(self, index: int, gap: int) -> None:
        to = gap - 1 if gap > index else gap
        if to != index and index < len(self.cards):
            self.session.move_layer(index, to, lane=self._lane)
            self._focus_layer(to)

    def _step_focus(self, card: Card, way: int) -> None:
        cards = self._all_cards()
        index = cards.index(card) + way
        if 0 <= index < len(cards):
            cards[index].setFocus(Qt.FocusReason.TabFocusReason)
            self.scroll_area.ensureWidgetVisible(cards[index], 0, 30)

    def _focus_layer(self, index: int) -> None:
        """After an edit the card that it was about has the focus, so that the next key goes on from there."""
        if 0 <= index < len(self.cards):
            card = self.cards[index]
            self._select(card.content.card)
            card.setFocus(Qt.FocusReason.OtherFocusReason)
            QTimer.singleShot(0, self, partial(self._show_card, card))

    def _show_card(self, card: Card) -> None:
        if card in self._all_cards():
            self.scroll_area.ensureWidgetVisible(card, 0, 40)

    def _fill_menu(self, menu: QMenu, index: int | None) -> None:
        layers = self._experiment.network if self._experiment is not None else ()
        at = len(layers) if index is None else index
        # Nearest first, and of equally near ones those before: a network narrows toward its end.
        near = [*reversed(layers[:at]), *layers[at:]]
        fill_add_menu(menu, near, partial(self._add, at))

    def _add(self, index: int, layer: Layer) -> None:
        self.session.add_layer(index, layer, lane=self._lane)
        self._focus_layer(index)

    def _start(self, layers: tuple[Layer, ...], label: str) -> None:
        if self._experiment is not None:
            self.session.edit(msgspec.structs.replace(self._experiment, network=layers), label, lane=self._lane)

    # --- selection, health, wire

    def _show_selection(self) -> None:
        if self.session.selected_lane != self._lane and self.session.selected_lane < len(self.session.lanes):
            self._show_experiment()
            return
        chosen = self.session.selected_card
        chosen = CARD_OF.get(chosen, chosen.partition(".")[0])
        for card in self._all_cards():
            card.show_selected(card.content.card == chosen)
        if chosen != self._chosen:
            self._chosen = chosen
            if not self._choosing:
                self.open_card(chosen, settings=chosen in ("data", "loss", "training"))

    def open_card(self, name: str, settings: bool = True) -> None:
        """Bring a card into view; with `settings`, open them and put the cursor into the first."""
        card = self.card_at(name)
        if card is None:
            return
        if settings:
            card.expand(True)
            stops = [stop for stop in card.tab_stops()[1:] if stop.isVisibleTo(card)]
            (stops[0] if stops else card).setFocus(Qt.FocusReason.ShortcutFocusReason)
        QTimer.singleShot(0, self, partial(self._show_card, card))

    def _select(self, name: str) -> None:
        """Tell the session what was chosen here; it is in view already."""
        self._choosing = True
        self.session.select(card=name)
        self._choosing = False

    def _show_scene(self) -> None:
        scene, lane = self.session.scene, self._lane
        found = {}
        if scene is not None and 0 <= lane < len(scene.lanes):
            view = scene.lanes[lane].view
            planned = [(card.path, card.layer.kind_name()) for card in self.session.plan(lane).cards]
            # A scene of the network before the last edit says nothing about this one.
            if planned == list(zip(view.layers, view.kinds, strict=True)):
                found = health_of(view, self.session.position)
        for card in self.cards:
            card.show_health(found)
        self._show_wire()

    def _show_wire(self) -> None:
        wire = self.session.wire
        card = self.card_at(wire.operation.path) if wire is not None and wire.lane == self._lane else None
        if wire is None or card is None:
            self._take_wire_away()
            return
        sign = (id(wire.values), wire.operation, wire.done, card)
        if sign == self._wired:
            return
        self._wired = sign
        self.wire_view.show_wire(wire)
        if card is not self._active:
            if self._active is not None:
                self._active.show_active(False)
            card.show_wire_view(self.wire_view)
            card.show_active(True)
            self._active = card
            QTimer.singleShot(0, self, partial(self._show_card, card))

    def _take_wire_away(self) -> None:
        self._wired = ()
        if self._active is not None:
            self._active.show_active(False)
            self._active = None
        self.wire_view.hide()
        self.wire_view.setParent(self)

    # --- Qt

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.LanguageChange:
            self._rebuild()
        elif event.type() in (QEvent.Type.FontChange, QEvent.Type.StyleChange) and QApplication.font() != self._font:
            # Later: while a style sheet is being applied, fonts that are set now get lost.
            QTimer.singleShot(0, self, self._follow_font)

    def _follow_font(self) -> None:
        self._font = QApplication.font()
        follow_font(self)
        for card in self._all_cards():
            card.quick.follow_font()
            card.naming.follow_font()
            card.strip.updateGeometry()

    def _rebuild(self) -> None:
        """Make all widgets again, with texts in the language of now."""
        self._take_wire_away()
        self.wire_view.deleteLater()
        outer = self.layout()
        assert isinstance(outer, QVBoxLayout)
        while outer.count():
            item = outer.takeAt(0)
            _discard(item)
        self.cards, self.plus = [], []
        self._build(outer)
        self._show_experiment()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(color("border"))
        painter.setBrush(color("panel"))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -0.5), CORNER, CORNER)


def _discard(item: Any) -> None:
    widget, layout = item.widget(), item.layout()
    if widget is not None:
        widget.hide()
        widget.deleteLater()
    elif layout is not None:
        while layout.count():
            _discard(layout.takeAt(0))
