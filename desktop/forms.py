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
from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
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

from .fresh import changed_kind, fresh
from .number_box import NumberBox
from .roles import RoleLabel, follow_font

NONE = ""  # the combo's name for "no kind"


def capital(text: str) -> str:
    """A label at the beginning of a line."""
    return text[:1].upper() + text[1:]


def kind_help(kind: Any) -> str:
    """What a kind is, in the words of its author: its help, or the first paragraph of its description."""
    if words := getattr(kind, "help", ""):
        return _(words) if isinstance(words, str) else ""
    described = kind.__doc__ if isinstance(kind, type) and issubclass(kind, Kind) else ""
    return _(" ".join((described or "").strip().split("\n\n")[0].split()))


def kind_label(kind: Any, name: str) -> str:
    return _(getattr(kind, "label", "") or name.replace("_", " "))


def is_shown(field: Field) -> bool:
    """Whether a form has an editor for a field: not for families of which this version knows no kind."""
    return field.sort not in ("family", "families", "lists") or len(field.holds.registry) > 0


class Editor(Protocol):
    """What a form expects of an editor. `changed` carries path inside the field, plain value, key of the gesture."""

    changed: Any

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
        choice.offer(name, kind_label(entry, name), kind_help(entry) if entry is not None else "")
    return choice


def kind_choice(family: type[Kind], optional: bool = False) -> Choice:
    """A choice among the kinds of a family."""
    choice = Choice()
    if optional:
        choice.offer(NONE, _("none"))
    for name, kind in family.registry.items():
        choice.offer(name, kind_label(kind, name), kind_help(kind))
    return choice


class FieldRow(QWidget):
    """The editor of one plain setting, its unit, and below it a sentence when what stands there cannot be used."""

    changed = Signal(str, object, str)

    def __init__(self, field: Field, parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self.editor, self._put = self._make(field)
        self.editor.setObjectName(field.name)
        label = capital(_(field.label))
        self.editor.setAccessibleName(f"{label} ({_(field.unit)})" if field.unit else label)
        self.editor.setAccessibleDescription(_(field.help))
        self.editor.setToolTip(_(field.help))
        line = QHBoxLayout()
        line.setSpacing(6)
        line.addWidget(self.editor, 1)
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


class FieldLabel(RoleLabel):
    """The label of an editor, in a column of its own."""

    def __init__(self, text: str, help: str, buddy: QWidget):
        super().__init__(capital(text), "text", 0.95)
        self.setToolTip(help)
        self.setBuddy(buddy)
        self.follow()

    def follow(self) -> None:
        super().follow()
        # One width for the labels of all forms, so that the fields of nested forms stand in one column.
        self.setFixedWidth(self.fontMetrics().averageCharWidth() * 15)
        if self.buddy() is not None:
            self.setMinimumHeight(self.buddy().sizeHint().height())


class Form(QWidget):
    """The settings of one value, one below the other.

    changed  (path inside the value such as "init.gain", new plain value, key that steps in a row share)
    """

    changed = Signal(str, object, str)

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
            self.editors[field.name] = editor
            if isinstance(editor, FieldRow):
                self._layout.addRow(FieldLabel(_(field.label), _(field.help), editor.editor), editor)
            else:
                self._layout.addRow(editor)
        self.show_value(self.value)

    def _editor(self, field: Field) -> Any:
        value = getattr(self.value, field.name)
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
    """Which kind of a family, and the settings of that kind below."""

    changed = Signal(str, object, str)

    def __init__(self, field: Field, value: Kind | None, parent: QWidget | None = None, labeled: bool = True):
        super().__init__(parent)
        self.field = field
        self.value = value
        self._layout = _rows(self)
        self.choice = kind_choice(field.holds, field.optional)
        self.choice.setObjectName(field.name)
        self.choice.setAccessibleName(capital(_(field.label)))
        self.choice.setAccessibleDescription(_(field.help))
        self.choice.chosen.connect(self._chosen)
        if labeled:
            self._layout.addRow(FieldLabel(_(field.label), _(field.help), self.choice), self.choice)
        else:
            self._layout.addRow(self.choice)
        self.sentence = RoleLabel("", "alarm", 0.9)
        self.sentence.setObjectName("problem")
        self.sentence.hide()
        self._layout.addRow(self.sentence)
        self.form: Form | None = None
        self.show_value(value)

    def _chosen(self, name: str) -> None:
        if name == NONE:
            self.changed.emit("", None, "")
            return
        kind = changed_kind(self.field.holds.registry[name], self.value)
        self.changed.emit("", msgspec.to_builtins(kind), "")

    def show_value(self, value: Kind | None) -> None:
        self.value = value
        self.choice.show_name(value.kind_name() if value is not None else NONE)
        self.choice.setToolTip(kind_help(type(value)) if value is not None else _(self.field.help))
        self.explain("", "")
        if value is None or (self.form is not None and not any(map(is_shown, describe(type(value))))):
            if self.form is not None:
                self._layout.removeRow(self.form)
                self.form = None
        elif self.form is not None:
            self.form.show_value(value)
        elif any(map(is_shown, describe(type(value)))):
            self.form = Form(value)
            self.form.changed.connect(self.changed)
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

    def __init__(self, field: Field, value: Described, parent: QWidget | None = None):
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        heading = RoleLabel(capital(_(field.label)), "muted", 0.95, bold=True)
        heading.setToolTip(_(field.help))
        column.addWidget(heading)
        self.form = Form(value)
        self.form.changed.connect(self.changed)
        column.addWidget(self.form)

    def show_value(self, value: Described) -> None:
        self.form.show_value(value)

    def explain(self, path: str, sentence: str) -> bool:
        return self.form.explain(path, sentence)


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
        heading.setToolTip(_(field.help))
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

    def __init__(self, field: Field, value: tuple[tuple[Kind, ...], ...], parent: QWidget | None = None):
        super().__init__(parent)
        self.field = field
        self.lists: list[ListForm] = []
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self.show_value(value)

    def _pass_on(self, index: int, path: str, value: object, gesture: str) -> None:
        self.changed.emit(join(str(index), path), value, gesture)

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
            self._column.addWidget(branch)
            self.lists.append(branch)

    def explain(self, path: str, sentence: str) -> bool:
        index, _dot, rest = path.partition(".")
        return index.isdigit() and int(index) < len(self.lists) and self.lists[int(index)].explain(rest, sentence)
