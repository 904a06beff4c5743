"""A form is made from a kind's declared fields: one editor for each, with its label, help, unit and limits.

Nothing is said here about any kind by name. A form shows a value and reports what a person wants changed; it keeps no
value of its own. The caller applies the change (`Session.set_value`) and shows the form what comes of it. A value that
is shown already is left alone, so the cursor stays where it is, also during undo.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QContextMenuEvent, QPainter, QPaintEvent, QWheelEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from layerscope.core.errors import join
from layerscope.core.fields import Described, Field, Kind, describe
from layerscope.core.text import _

from .alternatives import lane_menu
from .explain import (
    Explanation,
    InfoButton,
    explanation_of,
    field_tip,
    kind_label,
    kind_tip,
)
from .fresh import changed_kind, fresh
from .number_box import NumberBox
from .roles import RoleLabel, color, follow_font
from .switch import Switch


def capital(text: str) -> str:
    """A label at the beginning of a line."""
    return text[:1].upper() + text[1:]


def is_shown(field: Field) -> bool:
    """Whether a form has an editor for a field: not for families of which this version knows no kind."""
    return field.sort not in ("family", "families", "lists") or len(field.holds.registry) > 0


class Editor(Protocol):
    """What a form expects of an editor.

    changed   path inside the field, plain value, key of the gesture
    tried     the same two without a key: the value is wanted in a new lane beside this one
    """

    changed: Any
    tried: Any

    def show_value(self, value: Any) -> None: ...

    def explain(self, path: str, sentence: str) -> bool: ...


class Choice(QComboBox):
    """A choice among named things; the wheel scrolls the page instead."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self._shown = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(4)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.activated.connect(self._activated)

    def offer(self, name: str, label: str, help: str = "") -> None:
        self.addItem(label, name)
        if help:
            self.setItemData(self.count() - 1, help, Qt.ItemDataRole.ToolTipRole)

    @property
    def name(self) -> str:
        return str(self.currentData() if self.currentData() is not None else "")

    def show_name(self, name: str) -> None:
        self._shown = name
        if self.name != name or self.currentIndex() < 0:
            self.setCurrentIndex(self.findData(name))

    def _activated(self, index: int) -> None:
        if self.name != self._shown:
            self._shown = self.name
            self.chosen.emit(self.name)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()


def choice_of(field: Field) -> Choice:
    """A choice with the names that a field allows."""
    choice = Choice()
    for name in field.choice_names():
        entry = field.choices[name] if field.choices is not None else None
        choice.offer(name, kind_label(entry, name), kind_tip(entry) if entry is not None else "")
    return choice


def kind_choice(family: type[Kind], optional: bool = False) -> Choice:
    """A choice among the kinds of a family; optional: or none of them, under the name ""."""
    choice = Choice()
    if optional:
        choice.offer("", _("none"))
    for name, kind in family.registry.items():
        choice.offer(name, kind_label(kind, name), kind_tip(kind))
    return choice


class FieldRow(QWidget):
    """The editor of one plain setting, its unit, and below it a sentence when what stands there cannot be used."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, field: Field, parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self._value: Any = None
        self.editor, self._put = self._make(field)
        self.editor.setObjectName(field.name)
        label = capital(_(field.label))
        self.editor.setAccessibleName(f"{label} ({_(field.unit)})" if field.unit else label)
        self.editor.setAccessibleDescription(_(field.help) if field.help else "")
        self.editor.setToolTip(field_tip(field))
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.editor, 1)
        self.browse: QToolButton | None = None
        if field.files:
            self.browse = text_button(_("Browse…"), _("Choose a file"))
            self.browse.setProperty("kind", "quiet")
            self.browse.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            self.browse.clicked.connect(self._browse)
            line.addWidget(self.browse)
        if field.unit:
            unit = RoleLabel(_(field.unit), "muted", 0.9)
            unit.setWordWrap(False)
            line.addWidget(unit)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(line)
        self.sentence = RoleLabel("", "alarm", 0.9)
        self.sentence.setObjectName("problem")
        self.sentence.hide()
        column.addWidget(self.sentence)

    def _browse(self) -> None:
        kinds = _("{label} ({patterns});;All files (*)").format(
            label=capital(_(self.field.label)), patterns=" ".join(self.field.files)
        )
        path, _kind = QFileDialog.getOpenFileName(self.window(), _("Choose a file"), "", kinds)
        if path:
            self._plain(path)

    def lane_menu(self) -> QMenu | None:
        """What a new lane could have here."""
        return lane_menu(self, self.field, self._value, lambda value: self.tried.emit("", value))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.lane_menu()
        if menu is None:
            event.ignore()
            return
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def _make(self, field: Field) -> tuple[QWidget, Callable[[Any], None]]:
        if field.sort in ("integer", "number"):
            number = NumberBox(field)
            number.edited.connect(self._number)
            number.refused.connect(self._say)
            return number, number.set_value
        if field.sort == "boolean":
            box = QCheckBox()
            box.clicked.connect(self._plain)
            return box, box.setChecked
        if field.sort == "choice":
            choice = choice_of(field)
            choice.chosen.connect(self._plain)
            return choice, choice.show_name
        line = QLineEdit()
        if field.longest is not None:
            line.setMaxLength(field.longest)
        line.editingFinished.connect(self._text)
        self._shown_text = ""
        return line, self._put_text

    def _number(self, value: object, gesture: str) -> None:
        self.changed.emit("", value, gesture)

    def _plain(self, value: object) -> None:
        self._say("")
        self.changed.emit("", value, "")

    def _text(self) -> None:
        assert isinstance(self.editor, QLineEdit)
        if self.editor.text() != self._shown_text:
            self._shown_text = self.editor.text()
            self._plain(self._shown_text)

    def _put_text(self, text: str | None) -> None:
        assert isinstance(self.editor, QLineEdit)
        if (text or "") != self._shown_text:
            self._shown_text = text or ""
            self.editor.setText(self._shown_text)

    def _say(self, sentence: str) -> None:
        self.sentence.setText(capital(sentence))
        self.sentence.setVisible(bool(sentence))

    def show_value(self, value: Any) -> None:
        self._value = value
        if isinstance(self.editor, NumberBox):
            self.editor.set_value(value)
            self._say(self.editor.problem)
        else:
            self._put(value)
            self._say("")

    def explain(self, path: str, sentence: str) -> bool:
        self._say(sentence)
        return True


def _rows(parent: QWidget) -> QFormLayout:
    rows = QFormLayout(parent)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setHorizontalSpacing(8)
    rows.setVerticalSpacing(6)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
    rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    return rows


def paint_live(widget: QWidget, x: float) -> None:
    """The mark of a setting that applies at once."""
    painter = QPainter(widget)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    paint_live_at(painter, x, min(widget.height() / 2, widget.fontMetrics().height() / 2 + 2))
    painter.end()


def paint_live_at(painter: QPainter, x: float, y: float = 5.0) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color("accent"))
    painter.drawEllipse(QPointF(x, y), 2.2, 2.2)


class FieldLabel(RoleLabel):
    """The label of an editor, in a column of its own. A dot marks what applies at once, while training."""

    def __init__(self, field: Field, buddy: QWidget):
        super().__init__(capital(_(field.label)), "text", 0.95)
        self.live = field.live
        self.setToolTip(field_tip(field))
        self.setBuddy(buddy)
        self.follow()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.live:
            paint_live(self, min(self.width() - 4, self.fontMetrics().horizontalAdvance(self.text()) + 7))

    def follow(self) -> None:
        super().follow()
        # One width for the labels of all forms, so that the fields of nested forms stand in one column.
        self.setFixedWidth(self.fontMetrics().averageCharWidth() * 15)
        if self.buddy() is not None:
            self.setMinimumHeight(self.buddy().sizeHint().height())


class Form(QWidget):
    """The settings of one value, one below the other.

    changed  (path inside the value such as "init.gain", new plain value, key that steps in a row share)
    tried    (path, plain value) that is wanted in a new lane
    """

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, value: Described, parent: QWidget | None = None, skip: tuple[str, ...] = ()):
        super().__init__(parent)
        self.value = value
        self.editors: dict[str, Any] = {}
        self._skip = skip
        self._layout = _rows(self)
        self._fill()

    def _fill(self) -> None:
        for field in describe(type(self.value)):
            if field.name in self._skip or not is_shown(field):
                continue
            editor = self._editor(field)
            editor.changed.connect(partial(self._pass_on, field.name))
            editor.tried.connect(partial(self._try, field.name))
            self.editors[field.name] = editor
            if isinstance(editor, FieldRow):
                self._layout.addRow(FieldLabel(field, editor.editor), editor)
            else:
                self._layout.addRow(editor)
        self.show_value(self.value)

    def _editor(self, field: Field) -> Any:
        value = getattr(self.value, field.name)
        if field.optional and field.sort in ("family", "struct"):
            return OptionalForm(field, value)
        if field.sort == "family":
            return KindForm(field, value)
        if field.sort == "families":
            return ListForm(field, value)
        if field.sort == "lists":
            return ListsForm(field, value)
        if field.sort == "struct":
            return StructForm(field, value)
        return FieldRow(field)

    def _pass_on(self, name: str, path: str, value: object, gesture: str) -> None:
        self.changed.emit(join(name, path), value, gesture)

    def _try(self, name: str, path: str, value: object) -> None:
        self.tried.emit(join(name, path), value)

    def show_facts(self, facts: dict[str, str]) -> None:
        """Say below the kinds at these paths what they come to in this place: "std 0.125"."""
        for name, editor in self.editors.items():
            if isinstance(editor, KindForm):
                editor.show_fact(facts.get(name, ""))

    def show_value(self, value: Described) -> None:
        """Show another value in place; only what differs is touched. Another kind gets other fields."""
        if type(value) is not type(self.value):
            self.value = value
            self.editors.clear()
            while self._layout.rowCount():
                self._layout.removeRow(0)
            self._fill()
            return
        self.value = value
        for field in describe(type(value)):
            editor = self.editors.get(field.name)
            if editor is None:
                continue
            editor.show_value(getattr(value, field.name))
            if field.shown_when is not None:
                other, values = field.shown_when
                self._layout.setRowVisible(editor, getattr(value, other) in values)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            follow_font(self)

    def explain(self, path: str, sentence: str) -> bool:
        """Say below the field at `path` why it cannot be so ("": nothing); whether there is such a field."""
        name, _dot, rest = path.partition(".")
        editor = self.editors.get(name)
        return editor is not None and bool(editor.explain(rest, sentence))


class KindForm(QWidget):
    """Which kind of a family, what it is, and the settings of that kind below."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, field: Field, value: Kind, parent: QWidget | None = None, labeled: bool = True):
        super().__init__(parent)
        self.field = field
        self.value = value
        self._layout = _rows(self)
        self.choice = kind_choice(field.holds, field.optional)
        self.choice.setObjectName(field.name)
        self.choice.setAccessibleName(capital(_(field.label)))
        self.choice.setAccessibleDescription(_(field.help) if field.help else "")
        self.choice.chosen.connect(self._chosen)
        self.info = InfoButton(self.explanation)
        line = QHBoxLayout()
        line.setSpacing(4)
        line.addWidget(self.choice, 1)
        line.addWidget(self.info)
        if labeled:
            self._layout.addRow(FieldLabel(field, self.choice), line)
        else:
            self._layout.addRow(line)
        self.fact = RoleLabel("", "muted", 0.9)
        self.fact.setObjectName("fact")
        self._layout.addRow(self.fact)
        self._layout.setRowVisible(self.fact, False)
        self.sentence = RoleLabel("", "alarm", 0.9)
        self.sentence.setObjectName("problem")
        self.sentence.hide()
        self._layout.addRow(self.sentence)
        self.form: Form | None = None
        self.show_value(value)

    def explanation(self) -> Explanation:
        """What is to be said of the kind that stands here."""
        facts = (self.fact.text(),) if self.fact.text() else ()
        return explanation_of(type(self.value), self.value.kind_name(), facts=facts)

    def show_fact(self, fact: str) -> None:
        """Say what the kind comes to in this place; "": nothing."""
        if fact != self.fact.text():
            self.fact.setText(fact)
            self._layout.setRowVisible(self.fact, bool(fact))

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = lane_menu(self, self.field, self.value, lambda value: self.tried.emit("", value))
        if menu is not None:
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(event.globalPos())

    def _chosen(self, name: str) -> None:
        kind = changed_kind(self.field.holds.registry[name], self.value)
        self.changed.emit("", msgspec.to_builtins(kind), "")

    def show_value(self, value: Kind) -> None:
        self.value = value
        self.choice.show_name(value.kind_name())
        self.choice.setToolTip(kind_tip(type(value)))
        self.explain("", "")
        if self.form is not None and not any(map(is_shown, describe(type(value)))):
            self._layout.removeRow(self.form)
            self.form = None
        elif self.form is not None:
            self.form.show_value(value)
        elif any(map(is_shown, describe(type(value)))):
            self.form = Form(value)
            self.form.changed.connect(self.changed)
            self.form.tried.connect(self.tried)
            self._layout.addRow(self.form)

    def explain(self, path: str, sentence: str) -> bool:
        if path and self.form is not None and self.form.explain(path, sentence):
            return True
        self.sentence.setText(capital(sentence))
        self._layout.setRowVisible(self.sentence, bool(sentence))
        return True


class StructForm(QWidget):
    """A group of settings under a heading."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, field: Field, value: Described, parent: QWidget | None = None):
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        heading = RoleLabel(capital(_(field.label)), "muted", 0.95, bold=True)
        heading.setToolTip(_(field.help) if field.help else "")
        column.addWidget(heading)
        self.form = Form(value)
        self.form.changed.connect(self.changed)
        self.form.tried.connect(self.tried)
        column.addWidget(self.form)

    def show_value(self, value: Described) -> None:
        self.form.show_value(value)

    def explain(self, path: str, sentence: str) -> bool:
        return self.form.explain(path, sentence)


class OptionalForm(QWidget):
    """A trick that is on or off: a switch, which kind of it, what it is, and its settings below while it is on.

    Switched off and on again, it has the settings that it had: what was there last is remembered.

    field   an optional family or group of settings
    kind    only this kind of the family, so that there is nothing to choose; its label is then the title
    """

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(
        self,
        field: Field,
        value: Described | None,
        parent: QWidget | None = None,
        kind: type[Kind] | None = None,
    ):
        super().__init__(parent)
        self.field, self.kind = field, kind
        self.value = value
        self._remembered: Any = None
        self.label = kind_label(kind, kind.kind_name()) if kind is not None else _(field.label)
        self.label = capital(self.label)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(4)
        line = QHBoxLayout()
        line.setSpacing(6)
        self.switch = Switch(self.label)
        self.switch.setObjectName(kind.kind_name() if kind is not None else field.name)
        self.switch.setVisible(field.optional)
        self.switch.clicked.connect(self._toggle)
        self.title = RoleLabel(self.label, "text", 0.95)
        self.title.setWordWrap(False)
        self.title.setBuddy(self.switch)
        self.choice = kind_choice(field.holds) if field.sort == "family" and kind is None else Choice()
        self.choice.setObjectName(field.name)
        self.choice.setAccessibleName(self.label)
        self.choice.chosen.connect(self._chosen)
        self.info = InfoButton(self.explanation)
        line.addWidget(self.switch)
        line.addWidget(self.title)
        line.addWidget(self.choice, 1)
        line.addStretch(0)
        line.addWidget(self.info)
        self._layout.addLayout(line)
        self.sentence = RoleLabel("", "alarm", 0.9)
        self.sentence.setObjectName("problem")
        self.sentence.hide()
        self._layout.addWidget(self.sentence)
        self.form: Form | None = None
        self.show_value(value)

    # --- what it would be

    def when_on(self) -> Any:
        """What switching it on would bring: what was there last, or the usual."""
        if self._remembered is not None:
            return self._remembered
        if self.kind is not None:
            return fresh(self.kind)
        kind = next(iter(self.field.holds.registry)) if self.field.sort == "family" else self.field.holds
        return fresh(kind)

    def explanation(self) -> Explanation:
        """What is to be said of the trick, with the offer to try it in a lane of its own."""
        one: Any = self.value if self.value is not None else self.when_on()
        words = _("Try without it in a new lane") if self.value is not None else _("Try it in a new lane")
        effect = _("Switching it starts the lane over.")
        if not self.field.optional:
            return explanation_of(type(one), one.kind_name())
        offers = ((words, self._try_other),)
        name = one.kind_name() if isinstance(one, Kind) else self.field.label
        return explanation_of(type(one), name, effect=effect, offers=offers)

    # --- what a person does

    def _other(self) -> Any:
        return None if self.value is not None else msgspec.to_builtins(self.when_on())

    def _toggle(self) -> None:
        other = self._other()
        self.switch.show_on(self.value is not None)  # it turns when the experiment has
        self.changed.emit("", other, "")

    def _try_other(self) -> None:
        self.tried.emit("", self._other())

    def _chosen(self, name: str) -> None:
        kind = changed_kind(self.field.holds.registry[name], self.value)
        self.changed.emit("", msgspec.to_builtins(kind), "")

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = self.lane_menu()
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(event.globalPos())

    def lane_menu(self) -> QMenu:
        """The switch turned, or another kind, in a new lane."""
        field = self.field
        menu = None
        if self.kind is None:
            field = msgspec.structs.replace(field, optional=False)
            menu = lane_menu(self, field, self.value, lambda value: self.tried.emit("", value))
        menu = menu if menu is not None else QMenu(self)
        if self.field.optional:
            words = _("Try without it in a new lane") if self.value is not None else _("Try it in a new lane")
            turned = menu.addAction(words, self._try_other)
            turned.setObjectName("turned")
            menu.insertAction(menu.actions()[0], turned)
        return menu

    # --- what it shows

    def show_value(self, value: Any) -> None:
        self.value = value
        on = value is not None
        if on:
            self._remembered = value
        family = self.field.sort == "family" and self.kind is None
        self.switch.show_on(on)
        self.title.set_role("text" if on else "muted")
        self.title.setVisible(not (family and on))
        self.choice.setVisible(family and on)
        if family and on:
            self.choice.show_name(value.kind_name())
        help = kind_tip(type(value)) if isinstance(value, Kind) else kind_tip(self.kind) if self.kind else ""
        help = help or (_(self.field.help) if self.field.help else "")
        state = _("On: a click switches it off.") if on else _("Off: a click switches it on.")
        self.switch.setToolTip("\n".join((help, state, _("Switching it starts the lane over."))))
        self.switch.setAccessibleDescription(help)
        self.choice.setToolTip(help)
        self.title.setToolTip(help)
        self.explain("", "")
        shown = on and any(map(is_shown, describe(type(value))))
        if self.form is not None and not shown:
            self.form.hide()
        elif self.form is not None:
            self.form.show_value(value)
            self.form.show()
        elif shown:
            self.form = Form(value)
            self.form.setContentsMargins(self.switch.sizeHint().width() + 6 if self.field.optional else 0, 0, 0, 0)
            self.form.changed.connect(self.changed)
            self.form.tried.connect(self.tried)
            self._layout.insertWidget(2, self.form)

    def explain(self, path: str, sentence: str) -> bool:
        if path and self.form is not None and not self.form.isHidden() and self.form.explain(path, sentence):
            return True
        self.sentence.setText(capital(sentence))
        self.sentence.setVisible(bool(sentence))
        return True


def text_button(text: str, name: str) -> QToolButton:
    """A small flat button with a sign on it; `name` says what it does, for the tooltip and for screen readers."""
    button = QToolButton()
    button.setText(text)
    button.setAutoRaise(True)
    button.setAccessibleName(name)
    button.setToolTip(name)
    return button


class ListForm(QWidget):
    """A list of kinds: each with its settings and a button that takes it out, and a menu that adds one."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, field: Field, value: tuple[Kind, ...], parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self.value: tuple[Kind, ...] = ()
        self.items: list[KindForm] = []
        self._lines: list[QWidget] = []
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(6)
        top = QHBoxLayout()
        heading = RoleLabel(capital(_(field.label)), "muted", 0.95, bold=True)
        heading.setToolTip(_(field.help) if field.help else "")
        top.addWidget(heading, 1)
        self.add = text_button("+", _("Add"))
        self.add.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self.add)
        for name, kind in field.holds.registry.items():
            action = menu.addAction(kind_label(kind, name))
            action.setData(name)
            action.triggered.connect(partial(self._add, name))
        self.add.setMenu(menu)
        top.addWidget(self.add)
        column.addLayout(top)
        self._column = QVBoxLayout()
        self._column.setSpacing(6)
        column.addLayout(self._column)
        self.show_value(value)

    def _plain(self) -> list[Any]:
        return [msgspec.to_builtins(item) for item in self.value]

    def _add(self, name: str) -> None:
        kind = fresh(self.field.holds.registry[name], tuple(reversed(self.value)), depth=1)
        self.changed.emit("", [*self._plain(), msgspec.to_builtins(kind)], "")

    def _remove(self, item: KindForm) -> None:
        index = self.items.index(item)
        plain = self._plain()
        del plain[index]
        self.changed.emit("", plain, "")

    def _pass_on(self, item: KindForm, path: str, value: object, gesture: str) -> None:
        self.changed.emit(join(str(self.items.index(item)), path), value, gesture)

    def _try(self, item: KindForm, path: str, value: object) -> None:
        self.tried.emit(join(str(self.items.index(item)), path), value)

    def show_value(self, value: tuple[Kind, ...]) -> None:
        while len(self.items) > len(value):
            self.items.pop()
            line = self._lines.pop()
            self._column.removeWidget(line)
            line.hide()
            line.deleteLater()
        self.value = tuple(value)
        for item, kind in zip(self.items, value, strict=False):
            item.show_value(kind)
        for kind in value[len(self.items) :]:
            self._append(kind)

    def _append(self, kind: Kind) -> None:
        one = msgspec.structs.replace(self.field, sort="family", optional=False)
        item = KindForm(one, kind, labeled=False)
        item.changed.connect(partial(self._pass_on, item))
        item.tried.connect(partial(self._try, item))
        line = QWidget()
        row = QHBoxLayout(line)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(item, 1)
        out = text_button("−", _("Remove"))
        out.clicked.connect(partial(self._remove, item))
        row.addWidget(out, 0, Qt.AlignmentFlag.AlignTop)
        self._column.addWidget(line)
        self.items.append(item)
        self._lines.append(line)

    def explain(self, path: str, sentence: str) -> bool:
        index, _dot, rest = path.partition(".")
        if index.isdigit() and int(index) < len(self.items):
            return self.items[int(index)].explain(rest, sentence)
        return bool(self.items) and self.items[-1].explain("", sentence)


class ListsForm(QWidget):
    """A list of lists of kinds: parallel branches."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, field: Field, value: tuple[tuple[Kind, ...], ...], parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self.lists: list[ListForm] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.show_value(value)

    def _pass_on(self, index: int, path: str, value: object, gesture: str) -> None:
        self.changed.emit(join(str(index), path), value, gesture)

    def _try(self, index: int, path: str, value: object) -> None:
        self.tried.emit(join(str(index), path), value)

    def show_value(self, value: tuple[tuple[Kind, ...], ...]) -> None:
        while len(self.lists) > len(value):
            last = self.lists.pop()
            self._column.removeWidget(last)
            last.hide()
            last.deleteLater()
        for branch, kinds in zip(self.lists, value, strict=False):
            branch.show_value(kinds)
        for index in range(len(self.lists), len(value)):
            branch = ListForm(msgspec.structs.replace(self.field, sort="families"), value[index])
            branch.changed.connect(partial(self._pass_on, index))
            branch.tried.connect(partial(self._try, index))
            self._column.addWidget(branch)
            self.lists.append(branch)

    def explain(self, path: str, sentence: str) -> bool:
        index, _dot, rest = path.partition(".")
        return index.isdigit() and int(index) < len(self.lists) and self.lists[int(index)].explain(rest, sentence)
