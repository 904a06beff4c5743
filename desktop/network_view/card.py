"""A card is one part of the experiment: name, main settings in place, shape, health; all settings on a click.

A card knows nothing of the session. It shows a `Content` and says what a person wants; the network view does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QEnterEvent,
    QFocusEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QFrame,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from layerscope.core.experiment import Training
from layerscope.core.fields import Kind
from layerscope.core.text import _

from ..explain import Popover
from ..forms import Form, KindForm, capital
from ..roles import ElidedLabel, RoleLabel, color, tint
from ..signs import Sign
from ..switch import Switch
from .card_actions import ActionRow, action_text
from .content import Content, Part
from .health import UNKNOWN, Health
from .health_strip import HealthStrip, health_text
from .parts import PartsFrame
from .quick import QuickSettings
from .training_form import TrainingForm

if TYPE_CHECKING:
    from .stack import PartView

CORNER = 7.0
INDENT = 16  # where the title begins
KEYS = {
    (Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier): "delete",
    (Qt.Key.Key_Backspace, Qt.KeyboardModifier.NoModifier): "delete",
    (Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier): "duplicate",
    (Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier): "up",
    (Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier): "down",
    (Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier): "into",
    (Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier): "out",
    (Qt.Key.Key_M, Qt.KeyboardModifier.NoModifier): "mute",
    (Qt.Key.Key_I, Qt.KeyboardModifier.NoModifier): "explain",
    (Qt.Key.Key_Insert, Qt.KeyboardModifier.NoModifier): "add",
    (Qt.Key.Key_Up, Qt.KeyboardModifier.NoModifier): "previous",
    (Qt.Key.Key_Down, Qt.KeyboardModifier.NoModifier): "next",
}


DEEP = 4  # dots in the path of a layer inside of a block inside of a block
# what can be done with every card, and with every layer
ALWAYS = ("previous", "next", "explain")


class Chevron(QToolButton):
    """Opens and closes the settings of a card."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setCheckable(True)
        self.setAutoRaise(True)
        self.setFixedSize(12, 16)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(_("All settings"))
        self.setToolTip(_("All settings"))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(
            QPen(color("text" if self.underMouse() else "muted"), 1.5, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap)
        )
        x, y = 5.0, self.height() / 2
        if self.isChecked():
            painter.drawPolyline([QPointF(x - 3.5, y - 1.5), QPointF(x, y + 2), QPointF(x + 3.5, y - 1.5)])
        else:
            painter.drawPolyline([QPointF(x - 2, y - 3.5), QPointF(x + 1.5, y), QPointF(x - 2, y + 3.5)])


class Dot(QWidget):
    """Says that lane A has something else here."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.role = "lane-0"
        self.setFixedSize(10, 16)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(color(self.role))
        painter.drawEllipse(QRectF(1.5, 4.5, 7, 7))


class Card(QFrame):
    """See the module's sentence.

    changed    (path in the experiment, plain value, key of the gesture)
    dragged    a layer's card is being carried away; where on the card it was gripped
    opened     the card was opened or closed
    wanted     "delete", "duplicate", "mute", "up", "down", "into", "out", "add", "lane", "branch", "previous", "next",
               "fix"
    selected   the person chose this card
    tried      (path in the experiment, plain value) that is wanted in a new lane

    make_part  makes the view of layers inside of this one; without it, they are not shown
    """

    changed = Signal(str, object, str)
    tried = Signal(str, object)
    wanted = Signal(str)
    opened = Signal()
    dragged = Signal(QPoint)
    selected = Signal()

    def __init__(
        self,
        content: Content,
        make_part: Callable[[Part], PartView] | None = None,
        parent: QWidget | None = None,
    ):
        super().__init__(parent)
        self.content = content
        self._make_part = make_part
        self.is_selected = False
        self.is_active = False
        self._ring = False
        self._pressed: QPoint | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

        self.chevron = Chevron()
        self.chevron.clicked.connect(self._toggle)
        self.title = ElidedLabel("", "text", 1.0, bold=True)
        self.dot = Dot()
        self.parameters = RoleLabel("", "muted", 0.85)
        self.parameters.setWordWrap(False)
        self.shape_label = RoleLabel("", "text", 0.92)
        self.shape_label.setWordWrap(False)
        top = QHBoxLayout()
        top.setSpacing(0)
        self.title.setContentsMargins(INDENT - 12, 0, 4, 0)
        top.addWidget(self.chevron)
        top.addWidget(self.title, 1)
        self.naming = QuickSettings(bold=True)
        self.naming.changed.connect(self._changed)
        self.naming.tried.connect(self._try)
        top.addWidget(self.naming, 1)
        top.addWidget(self.dot)
        top.addSpacing(4)
        top.addWidget(self.parameters)
        top.addSpacing(8)
        top.addWidget(self.shape_label)
        self.switch = Switch(_("Switch on again"), _("This layer is switched off: the signal passes it by."))
        self.switch.clicked.connect(partial(self.wanted.emit, "mute"))
        top.addWidget(self.switch)

        self.quick = QuickSettings()
        self.quick.changed.connect(self._changed)
        self.quick.refused.connect(self._refused)
        self.quick.tried.connect(self._try)
        self.notes = RoleLabel("", "muted", 0.9)
        self.notes.setWordWrap(False)
        self.strip = HealthStrip()
        self._second = QHBoxLayout()
        self._second.setContentsMargins(INDENT, 0, 0, 0)
        self._second.setSpacing(6)
        self._second.addWidget(self.quick)
        self._second.addWidget(self.notes)
        self._second.addStretch(1)
        self.mark = Sign()
        self.mark.hide()
        self._second.addWidget(self.mark, 0, Qt.AlignmentFlag.AlignBottom)
        self._second.addWidget(self.strip, 0, Qt.AlignmentFlag.AlignBottom)

        self.sentence = RoleLabel("", "warning", 0.92)
        self.sentence.setObjectName("problem")
        self.sentence.hide()
        self.fix = QPushButton()
        self.fix.setProperty("kind", "quiet")
        self.fix.hide()
        self.fix.clicked.connect(partial(self.wanted.emit, "fix"))

        self.look = QPushButton(_("Look into the file…"))
        self.look.setProperty("kind", "quiet")
        self.look.setToolTip(_("Show the table: which column is predicted, which ones are used, how it is written"))
        self.look.hide()
        self.look.clicked.connect(partial(self.wanted.emit, "import"))

        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 5, 9, 6)
        self._column.setSpacing(2)
        self._column.addLayout(top)
        self._column.addLayout(self._second)
        trouble = QVBoxLayout()
        trouble.setContentsMargins(INDENT, 0, 0, 0)
        trouble.setSpacing(4)
        trouble.addWidget(self.sentence)
        trouble.addWidget(self.fix, 0, Qt.AlignmentFlag.AlignLeft)
        trouble.addWidget(self.look, 0, Qt.AlignmentFlag.AlignLeft)
        self.parts: list[PartView] = []
        self.frame: PartsFrame | None = None
        self._column.addLayout(trouble)
        self.form: Any = None
        self.popover: Popover | None = None
        self.action_row: ActionRow | None = None
        self.show_content(content)

    # --- what it shows

    def show_content(self, content: Content) -> None:
        """Show another content in place; what is equal is left alone."""
        self.content = content
        self.title.setText(content.title)
        self.title.setToolTip(content.title)
        self.parameters.setText(content.parameters)
        self.parameters.setToolTip(content.parameters_help)
        self.shape_label.setText(content.shape)
        self.shape_label.setToolTip(content.shape_help)
        self.notes.setText(content.notes)
        self.notes.setVisible(bool(content.notes))
        self.quick.show_value(content.value, content.quick, dict(content.facts))
        self.quick.setVisible(bool(content.quick) and not self.expanded)
        self.naming.show_value(content.value, (content.naming,) if content.naming else ())
        self.naming.setVisible(bool(content.naming))
        self.title.setVisible(not content.naming)
        self.strip.short = content.card.count(".") >= DEEP
        self.strip.setVisible(content.is_layer and content.measured and not content.muted)
        self.switch.setVisible(content.muted)
        self.switch.show_on(False)
        self.title.set_role("muted" if content.muted else "text")
        self.chevron.setEnabled(content.editable)
        self.dot.setVisible(bool(content.differs))
        self.dot.setToolTip(content.differs)
        self.sentence.setText(capital(content.problem))
        self.sentence.setVisible(bool(content.problem))
        self.fix.setVisible(content.fix is not None)
        self.look.setVisible(content.importable)
        self.fix.setText(content.fix.text if content.fix is not None else "")
        if self.form is not None:
            self.form.show_value(content.value)
            self._show_facts()
        self._show_parts(content)
        self._describe()
        self.update()

    def _describe(self) -> None:
        content = self.content
        self.setAccessibleName(", ".join(part for part in (content.title, content.shape, content.parameters) if part))
        self.setAccessibleDescription(" ".join(part for part in (content.problem, content.differs) if part))

    def _show_facts(self) -> None:
        if isinstance(self.form, Form):
            self.form.show_facts(dict(self.content.facts))

    def _show_parts(self, content: Content) -> None:
        if self._make_part is None or not (content.parts or self.frame):
            return
        if self.frame is None:
            self.frame = PartsFrame()
            self.frame.branch_wanted.connect(partial(self.wanted.emit, "branch"))
            self._column.insertWidget(self._column.count() - 1, self.frame)
        while len(self.parts) > len(content.parts):
            gone = self.parts.pop()
            gone.clear()
            self.frame.remove(gone)
        for view, part in zip(self.parts, content.parts, strict=False):
            view.show_part(part)
        for part in content.parts[len(self.parts) :]:
            view = self._make_part(part)
            self.parts.append(view)
            self.frame.append(view)
        self.frame.show_joined(content.joined, content.around, bool(content.branches), content.muted)

    def inner_cards(self) -> list[Card]:
        """The cards inside of this one, at every depth, in the order in which they are seen."""
        return [one for view in self.parts for card in view.stack.cards for one in (card, *card.inner_cards())]

    def show_health(self, found: Mapping[str, Health]) -> None:
        """Show what was measured, by path; UNKNOWN where nothing was."""
        self.strip.show_health(found.get(self.content.card, UNKNOWN))
        for view in self.parts:
            for card in view.stack.cards:
                card.show_health(found)

    def show_findings(self, found: Mapping[str, tuple[str, str]]) -> None:
        """Mark the card when the doctor has found something here.

        found   (severity, headlines) by path
        """
        severity, said = found.get(self.content.card, ("", ""))
        if severity and not self.strip.isHidden():
            self.mark.show_state("alarm" if severity == "alarm" else "warning", said)
        if self.mark.isHidden() == bool(severity and not self.strip.isHidden()):
            self.mark.setVisible(bool(severity) and not self.strip.isHidden())
        for view in self.parts:
            for card in view.stack.cards:
                card.show_findings(found)

    def show_selected(self, selected: bool) -> None:
        if selected != self.is_selected:
            self.is_selected = selected
            self._show_actions(selected or self.underMouse())
            self.update()

    def show_active(self, active: bool) -> None:
        if active != self.is_active:
            self.is_active = active
            self.update()

    def show_wire_view(self, wire_view: QWidget) -> None:
        """Take the view of the wire into this card, below its own lines."""
        self._column.addWidget(wire_view)
        wire_view.show()

    def explain(self, path: str, sentence: str) -> None:
        """Say why the setting at `path` (inside this card) cannot be so."""
        if self.form is None or not self.form.explain(path, sentence):
            self._refused(sentence)

    def _refused(self, sentence: str) -> None:
        shown = sentence or self.content.problem
        self.sentence.setText(capital(shown))
        self.sentence.setVisible(bool(shown))

    # --- all settings

    @property
    def expanded(self) -> bool:
        return self.form is not None and not self.form.isHidden()

    def expand(self, expanded: bool) -> None:
        """Show or hide all settings; the form is made when it is first wanted."""
        if expanded and not self.content.editable:
            return
        if expanded and self.form is None:
            self.form = self._new_form()
            self.form.changed.connect(self._changed)
            self.form.tried.connect(self._try)
            self.form.setContentsMargins(4, 6, 0, 4)
            self._column.insertWidget(2, self.form)
            self._show_facts()
        if self.form is not None:
            self.form.setVisible(expanded)
        self.quick.setVisible(not expanded and bool(self.content.quick))
        self.chevron.setChecked(expanded)
        self.opened.emit()

    def _new_form(self) -> Any:
        content = self.content
        if content.field is not None:
            assert isinstance(content.value, Kind)
            return KindForm(content.field, content.value)
        if isinstance(content.value, Training):
            return TrainingForm(content.value)
        return Form(content.value, skip=content.skip)

    def tab_stops(self) -> list[QWidget]:
        """The card and its editors, in the order in which Tab should reach them."""
        inside = [
            self.switch,
            *self.naming.chips.values(),
            *self.quick.chips.values(),
            *(self.form.findChildren(QWidget) if self.form is not None else ()),
        ]
        # Not the insides of spin boxes and combo boxes.
        stops = [w for w in inside if w.focusPolicy() & Qt.FocusPolicy.TabFocus and w.window() is self.window()]
        own = [self, *(w for w in stops if not isinstance(w.parentWidget(), QAbstractSpinBox)), self.fix, self.look]
        inner = [stop for view in self.parts for stop in view.tab_stops()]
        return [*own, *inner, *(self.frame.tab_stops() if self.frame is not None else ())]

    def _toggle(self) -> None:
        self.selected.emit()
        self.expand(not self.expanded)

    def _changed(self, path: str, value: object, gesture: str) -> None:
        place = f"{self.content.place}.{path}" if path else self.content.place
        self.changed.emit(place, value, f"{place}#{gesture}" if gesture else "")

    def _try(self, path: str, value: object) -> None:
        self.tried.emit(f"{self.content.place}.{path}" if path else self.content.place, value)

    def open_explanation(self) -> None:
        """Show what this card's kind does, its formula and its source."""
        content = self.content
        offers: tuple[tuple[str, Callable[[], None]], ...] = ()
        if content.is_layer and content.movable:
            words = _("Try with it in a new lane") if content.muted else _("Try without it in a new lane")
            offers = ((words, partial(self.wanted.emit, "lane")),)
        self.popover = Popover(replace(content.explanation(), offers=offers), self.window())
        self.popover.show_beside(self.title if content.naming == "" else self.naming)

    # --- hover, keys, menu

    def _show_actions(self, shown: bool) -> None:
        if not self.content.movable:
            return
        if shown and self.action_row is None:
            self.action_row = ActionRow(self)
            self.action_row.wanted.connect(self._act)
            self._place_actions()
        if self.action_row is not None:
            self.action_row.setVisible(shown)
            self.action_row.raise_()
            self.parameters.setVisible(not shown)

    def _place_actions(self) -> None:
        if self.action_row is not None:
            size = self.action_row.sizeHint()
            right = self.shape_label.geometry().left() - 6 if self.content.shape else self.width() - 10
            if self.content.muted:
                right = self.switch.geometry().left() - 6
            middle = self.chevron.geometry().center().y()
            self.action_row.setGeometry(right - size.width(), middle - size.height() // 2, size.width(), size.height())

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self._show_actions(True)
        self._place_actions()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._show_actions(self.is_selected)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_actions()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        # A card that has the focus only because the window opened would look chosen.
        self._ring = event.reason() != Qt.FocusReason.ActiveWindowFocusReason
        self.update()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.update()

    def _action(self, event: QKeyEvent) -> str:
        """What a key does on this card, or ""."""
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        action = KEYS.get((Qt.Key(event.key()), modifiers), "")
        return action if self.content.movable or action in ALWAYS else ""

    def _act(self, action: str) -> None:
        if action == "explain":
            self.open_explanation()
        else:
            self.wanted.emit(action)

    def event(self, event: QEvent) -> bool:
        # While a card has the focus, its keys come before the window's with the same keys.
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent) and self._action(event):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        action = self._action(event)
        modifiers = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._toggle()
        elif action:
            self._act(action)
        elif (Qt.Key(event.key()), modifiers) in KEYS:
            event.accept()  # it must not reach the block around this card, which would delete itself
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed = event.position().toPoint()
            event.accept()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        pressed = self._pressed
        if pressed is None or not self.content.movable:
            return
        if (event.position().toPoint() - pressed).manhattanLength() >= QApplication.startDragDistance():
            self._pressed = None
            self.dragged.emit(pressed)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        pressed, self._pressed = self._pressed, None
        if pressed is None or not self.rect().contains(event.position().toPoint()):
            return
        if pressed.y() <= self._second.geometry().bottom() + 2:
            self._toggle()
        else:
            self.selected.emit()  # a click beside a field must not close the form

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        self.selected.emit()
        self.context_menu().popup(event.globalPos())
        event.accept()

    def context_menu(self) -> QMenu:
        """The actions of the card by name, with their keys."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        names: tuple[str, ...] = ("explain",)
        if self.content.movable:
            again = self.content.muted
            nested = self.content.card.count(".") > 0
            names = (
                *("add", "duplicate", "", "unmute" if again else "mute", "lane_on" if again else "lane", "explain", ""),
                *("up", "down", "into", *(("out",) if nested else ()), "", "delete"),
            )
        for name in names:
            if not name:
                menu.addSeparator()
                continue
            text, keys = action_text(name)
            action = menu.addAction(text)
            action.setObjectName(name)
            action.setShortcut(keys)
            action.setShortcutVisibleInContextMenu(True)
            action.triggered.connect(partial(self._act, {"unmute": "mute", "lane_on": "lane"}.get(name, name)))
        return menu

    def health_text(self) -> str:
        return health_text(self.strip.health) if self.strip.health != UNKNOWN else ""

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lit = self.is_active or self.is_selected
        fill = tint("accent", 0.13 if self.is_active else 0.07) if lit else tint("background", 0.4)
        pen = QPen(color("border"), 1.0)
        if self.content.muted:
            pen = QPen(color("muted"), 1.0, Qt.PenStyle.DashLine)
        if self.content.problem:
            fill = tint("warning", 0.06)
            pen = QPen(tint("warning", 0.55), 1.2)
        if self.is_active:
            pen = QPen(color("accent"), 2.0)
        elif self.is_selected or (self.hasFocus() and self._ring):
            pen = QPen(color("accent"), 1.4)
        inset = pen.widthF() / 2
        painter.setPen(pen)
        painter.setBrush(fill)
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(inset, inset, -inset, -inset), CORNER, CORNER)
