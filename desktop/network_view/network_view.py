"""The network view shows the selected lane's experiment as cards in data order: data, layers, loss, training.

It reads the session and calls its methods; it never changes an experiment by itself. Cards that stay the same stay the
same widgets, so that focus and cursor survive every edit and every undo.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any

import msgspec
from PySide6.QtCore import QEvent, QPoint, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QCursor, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QFrame, QHBoxLayout, QMenu, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from layerscope.core import editing
from layerscope.core.diagnostics.doctor import Examination
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
    Part,
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
from .stack import PartView, Stack
from .training_form import TrainingForm
from .wire_view import WireView

# the card of an operation whose path is no card's
CARD_OF = {"optimizer": "training"}
CORNER = 8.0


class NetworkView(QWidget):
    """See the module's sentence.

    import_wanted   a data set whose file a person wants to look into before it is used
    """

    import_wanted = Signal(object)

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self._experiment: Experiment | None = None
        self._chosen, self._choosing = "", False
        self._font = QApplication.font()
        self._lane = -1
        self._active: Card | None = None
        self._wired: tuple[Any, ...] = ()
        self._stops: list[QWidget] = []
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
        column = Column(self._gaps_for)
        column.dropped.connect(self._drop)
        column.moved.connect(lambda place: self.scroll_area.ensureVisible(place.x(), place.y(), 0, 40))
        self._column = QVBoxLayout(column)
        self._column.setContentsMargins(10, 2, 10, 12)
        self._column.setSpacing(0)
        self.stack = Stack(self, "network")
        self._column.addWidget(self.stack)
        self.data_card: Card | None = None
        self.loss_card: Card | None = None
        self.training_card: Card | None = None
        self.empty = EmptyState()
        self.empty.chosen.connect(self._start)
        self.empty.opened.connect(partial(self._fill_menu, self.empty.choices, "network", 0))
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

        self.stack.show_contents("network", layer_contents(experiment, plan, differs))
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
        self._column.insertWidget(2, self.stack)
        self.stack.setVisible(bool(experiment.network))
        self.empty.setVisible(not experiment.network)
        if not experiment.network:
            self.empty.show_plan(experiment, plan)
        self._set_tab_order()
        self._show_selection()
        self._show_scene()

    def _show_fixed(self, card: Card | None, content: Content, place: int) -> Card:
        if card is None:
            card = self.new_card(content)
            self._column.insertWidget(place, card)
        card.show_content(content)
        return card

    @property
    def cards(self) -> list[Card]:
        """The cards of the network's own layers, in data order."""
        return self.stack.cards

    @property
    def plus(self) -> list[PlusButton]:
        """plus[i] stands before layer i of the network; the last one behind the last layer."""
        return self.stack.plus

    def new_card(self, content: Content) -> Card:
        """A card that this view listens to."""
        card = Card(content, self.new_part)
        card.dot.role = cue(lane_index(self.session.lanes[0].name)).color
        card.changed.connect(partial(self._set_value, card))
        card.tried.connect(partial(self._try, card))
        card.selected.connect(lambda: self._select(card.content.card))
        card.wanted.connect(partial(self._do, card))
        card.opened.connect(self._opened)
        card.dragged.connect(partial(self._drag, card))
        return card

    def new_part(self, part: Part) -> PartView:
        """The view of the layers inside of a block."""
        return PartView(self, part)

    def new_plus(self, stack: Stack) -> PlusButton:
        """A gap in a list of layers."""
        plus = PlusButton()
        plus.opened.connect(lambda: self._fill_menu(plus.choices, stack.place, stack.gap(plus)))
        return plus

    def leaves(self, card: Card) -> None:
        """A card goes, and the wire must not go with it."""
        if self._active is card or (self._active is not None and card.isAncestorOf(self._active)):
            self._take_wire_away()

    def remove_branch(self, place: str) -> None:
        """Take a branch out of its block."""
        self.session.delete_branch(place, lane=self._lane)

    def _layer_cards(self) -> list[Card]:
        """The cards of all layers at every depth."""
        return [one for card in self.cards for one in (card, *card.inner_cards())]

    def _all_cards(self) -> list[Card]:
        fixed = (self.data_card, *self._layer_cards(), self.loss_card, self.training_card)
        return [card for card in fixed if card is not None]

    def _opened(self) -> None:
        self._set_tab_order()
        self._show_norms()

    def _set_tab_order(self) -> None:
        outer = (self.data_card, *self.cards, self.loss_card, self.training_card)
        stops = [stop for card in outer if card is not None for stop in card.tab_stops()]
        if stops == self._stops:
            return
        self._stops = stops
        for one, other in pairwise(stops):
            QWidget.setTabOrder(one, other)

    def card_at(self, name: str) -> Card | None:
        """The card called `name`: a layer's path, "data", "loss", "training"; where there is none, that around it."""
        cards = {card.content.card: card for card in self._all_cards()}
        name = CARD_OF.get(name, name)
        while name and name not in cards:
            name = name.rpartition(".")[0]
        return cards.get(name)

    # --- what a person wants -> session

    def _set_value(self, card: Card, path: str, value: object, merge: str) -> None:
        inside = path.removeprefix(card.content.place).removeprefix(".")
        found = field_at(card.content.value, inside) if inside else None
        if card.content.importable and found is not None and found[0].files and value:
            # Another file: what it holds is looked at before it is used.
            card.show_content(card.content)
            self.import_wanted.emit(msgspec.structs.replace(card.content.value, **{inside: value}))
            return
        try:
            self.session.set_value(path, value, self._edit_text(card, inside), lane=self._lane, merge=merge)
        except InputError as error:
            card.show_content(card.content)  # what is shown is what is
            card.explain(inside, error.problem)
        else:
            card.explain(inside, "")

    def _try(self, card: Card, path: str, value: object) -> None:
        """A copy of this lane with one setting changed, beside it."""
        try:
            self.session.try_in_lane(path, value, lane=self._lane)
        except InputError as error:
            card.explain(path.removeprefix(card.content.place).removeprefix("."), error.problem)

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
        path = card.content.card
        if action == "import":
            self.import_wanted.emit(card.content.value)
            return
        if action == "branch":
            self.session.add_branch(card.content.branches, lane=self._lane)
        elif card.content.movable:
            place, index = editing.split(path)
            try:
                self._do_layer(card, action, place, index)
            except InputError as error:
                card.explain("", error.problem)

    def _do_layer(self, card: Card, action: str, place: str, index: int) -> None:
        path, lane = card.content.card, self._lane
        last = len(self._layers(place)) - 1
        if action == "add":
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            self._fill_menu(menu, place, index + 1)
            menu.popup(card.mapToGlobal(card.rect().bottomLeft()) if card.hasFocus() else QCursor.pos())
        elif action == "delete":
            self.session.delete_layer(path, lane=lane)
            self._focus_layer(editing.path_of(place, min(index, last - 1)) if last else place)
        elif action == "duplicate":
            self.session.duplicate_layer(path, lane=lane)
            self._focus_layer(editing.path_of(place, index + 1))
        elif action == "mute":
            self.session.mute_layer(path, not card.content.muted, lane=lane)
            self._focus_layer(path)
        elif action == "lane":
            self.session.try_in_lane(f"network.{path}.muted", not card.content.muted, lane=lane)
        elif action in ("up", "down") and 0 <= index + (-1 if action == "up" else 1) <= last:
            self._focus_layer(self.session.move_layer(path, index + (-1 if action == "up" else 1), lane=lane))
        elif action == "into":
            self._move_into(path, place, index)
        elif action in ("out", "up", "down") and place != "network":
            block, around = self._around(place)
            self._focus_layer(self.session.move_layer(path, around + (action != "up"), lane=lane, place=block))

    def _layers(self, place: str) -> tuple[Layer, ...]:
        return editing.layers_at(self._experiment, place) if self._experiment is not None else ()

    @staticmethod
    def _around(place: str) -> tuple[str, int]:
        """The list that the block with the list at `place` stands in, and the block's number there."""
        block = place.rpartition(".")[0]
        while not block.rpartition(".")[2].isdigit():
            block = block.rpartition(".")[0]
        parent, _dot, number = block.rpartition(".")
        return parent, int(number)

    def _move_into(self, path: str, place: str, index: int) -> None:
        """Into the block that follows, at its beginning; else into the one before, at its end."""
        layers = self._layers(place)
        for neighbor in (index + 1, index - 1):
            if not 0 <= neighbor < len(layers):
                continue
            inner = [name for name, _layers in editing.lists_in(layers[neighbor])]
            if inner:
                target = f"{place}.{neighbor}.{inner[0] if neighbor > index else inner[-1]}"
                gap = 0 if neighbor > index else len(self._layers(target))
                self._focus_layer(self.session.move_layer(path, gap, lane=self._lane, place=target))
                return

    def _drag(self, card: Card, grip: QPoint) -> None:
        if card.content.movable:
            drag_card(card, card.content.card, grip)

    def _stacks(self) -> list[Stack]:
        return [stack for stack in self.findChildren(Stack) if stack.place]

    def _gaps_for(self, path: str) -> list[PlusButton]:
        """Where the layer at a path may be dropped: everywhere but inside of itself."""
        own = f"network.{path}."
        return [
            plus
            for stack in self._stacks()
            if stack.isVisibleTo(self) and not f"{stack.place}.".startswith(own)
            for plus in stack.plus
        ]

    def _drop(self, path: str, plus: PlusButton) -> None:
        stack = next((stack for stack in self._stacks() if plus in stack.plus), None)
        if stack is None:
            return
        gap = stack.gap(plus)
        place, index = editing.split(path)
        if stack.place == place and gap in (index, index + 1):
            return
        try:
            there = self.session.move_layer(path, gap, lane=self._lane, place=stack.place)
        except InputError as error:
            card = self.card_at(path)
            if card is not None:
                card.explain("", error.problem)
            return
        self._focus_layer(there)

    def _step_focus(self, card: Card, way: int) -> None:
        cards = self._all_cards()
        index = cards.index(card) + way
        if 0 <= index < len(cards):
            cards[index].setFocus(Qt.FocusReason.TabFocusReason)
            self.scroll_area.ensureWidgetVisible(cards[index], 0, 30)

    def _focus_layer(self, path: str) -> None:
        """After an edit the card that it was about has the focus, so that the next key goes on from there."""
        card = self.card_at(path.removeprefix("network."))
        if card is not None:
            self._select(card.content.card)
            card.setFocus(Qt.FocusReason.OtherFocusReason)
            QTimer.singleShot(0, self, partial(self._show_card, card))

    def _show_card(self, card: Card) -> None:
        if card in self._all_cards():
            self.scroll_area.ensureWidgetVisible(card, 0, 40)

    def _fill_menu(self, menu: QMenu, place: str, index: int) -> None:
        layers = self._layers(place)
        # Nearest first, and of equally near ones those before: a network narrows toward its end. Around a block, the
        # layers of the network say what is usual.
        near = [*reversed(layers[:index]), *layers[index:]]
        if place != "network" and self._experiment is not None:
            near += self._experiment.network
        fill_add_menu(menu, near, partial(self._add, place, index))

    def _add(self, place: str, index: int, layer: Layer) -> None:
        self.session.add_layer(index, layer, lane=self._lane, place=place)
        self._focus_layer(editing.path_of(place, index))

    def _start(self, layers: tuple[Layer, ...], label: str) -> None:
        if self._experiment is not None:
            self.session.edit(msgspec.structs.replace(self._experiment, network=layers), label, lane=self._lane)

    # --- selection, health, wire

    def _show_selection(self) -> None:
        if self.session.selected_lane != self._lane and self.session.selected_lane < len(self.session.lanes):
            self._show_experiment()
            return
        chosen = self.session.selected_card
        chosen = CARD_OF.get(chosen, chosen)
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
        ill: dict[str, tuple[str, str]] = {}
        if scene is not None and 0 <= lane < len(scene.lanes):
            view = scene.lanes[lane].view
            planned = [(card.path, card.layer.kind_name()) for card in self.session.plan(lane).cards]
            # A scene of the network before the last edit says nothing about this one.
            if planned == list(zip(view.layers, view.kinds, strict=True)):
                found = health_of(view, self.session.position)
                ill = self._findings_in(scene.lanes[lane].examination)
        for card in self.cards:
            card.show_health(found)
            card.show_findings(ill)
        self._show_norms()
        self._show_wire()

    @staticmethod
    def _findings_in(said: Examination | None) -> dict[str, tuple[str, str]]:
        """(the worst severity, all headlines) of every layer that something was found in, by path."""
        ill: dict[str, tuple[str, str]] = {}
        for finding in said.diagnosis.findings if said is not None else ():
            for path in finding.layers:
                severity, lines = ill.get(path, ("warning", ""))
                worst = "alarm" if "alarm" in (severity, finding.severity) else "warning"
                ill[path] = worst, f"{lines}\n{finding.headline}".lstrip()
        return ill

    def _show_norms(self) -> None:
        """What was measured behind every link of the chain of gradient steps, while its form is open."""
        card, scene = self.training_card, self.session.scene
        if card is None or not card.expanded or not isinstance(card.form, TrainingForm):
            return
        norms = {}
        if scene is not None and 0 <= self._lane < len(scene.lanes):
            view = scene.lanes[self._lane].view
            if len(view):
                names = [name for name in view.run_columns if name.startswith("norm.")]
                norms = {name.removeprefix("norm."): float(view.at(name, self.session.position)) for name in names}
        card.form.show_norms(norms)

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
