"""Quick settings are the one or two settings that stand on the card itself, as small chips that one can edit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QEnterEvent, QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QHBoxLayout, QMenu, QSizePolicy, QWidget

from layerscope.core.fields import Described, Field, describe
from layerscope.core.text import _

from ..alternatives import lane_menu
from ..explain import effect_text, kind_tip
from ..forms import Choice, capital, choice_of, is_shown, kind_choice, paint_live_at
from ..fresh import changed_kind
from ..number_box import NumberBox
from ..roles import color, tint

CORNER = 4.0


def _chip(widget: QWidget, painter: QPainter) -> None:
    """The ground of a chip: a little darker than the card, with a line around it while it has the focus."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    strength = 0.20 if widget.underMouse() and widget.isEnabled() else 0.11
    painter.setBrush(tint("muted", strength))
    focused = widget.hasFocus()
    painter.setPen(QPen(color("accent"), 1.4) if focused else Qt.PenStyle.NoPen)
    painter.drawRoundedRect(QRectF(widget.rect()).adjusted(0.7, 0.7, -0.7, -0.7), CORNER, CORNER)


class NumberChip(NumberBox):
    """A number on a card."""

    def __init__(self, field: Field, parent: QWidget | None = None):
        super().__init__(field, parent, compact=True)
        self.setFrame(False)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        # A palette would not do: it is lost whenever the program's style sheet changes.
        self.lineEdit().setStyleSheet("QLineEdit { background: transparent; border: none; padding: 0; }")
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        _chip(self, painter)
        if self.field.live:
            paint_live_at(painter, self.width() - 5.0)
        if self.problem:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(color("alarm"), 1.4))
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(0.7, 0.7, -0.7, -0.7), CORNER, CORNER)


class ChoiceChip(Choice):
    """A choice on a card: the chosen word and a small arrow."""

    def __init__(self, other: Choice, parent: QWidget | None = None):
        super().__init__(parent)
        self.setModel(other.model())
        other.model().setParent(self)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(metrics.horizontalAdvance(self.currentText()) + 21, metrics.height() + 6)

    def minimumSizeHint(self) -> QSize:
        metrics = self.fontMetrics()
        return QSize(min(self.sizeHint().width(), metrics.averageCharWidth() * 5 + 22), metrics.height() + 6)

    def show_name(self, name: str) -> None:
        before = self.currentText()
        super().show_name(name)
        if self.currentText() != before:
            self.updateGeometry()

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        _chip(self, painter)
        painter.setPen(color("text"))
        room = self.rect().adjusted(6, 0, -14, 0)
        text = self.fontMetrics().elidedText(self.currentText(), Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)
        x, y = self.width() - 8.5, self.height() / 2
        painter.setPen(QPen(color("muted"), 1.4, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPolyline([QPointF(x - 3, y - 1.5), QPointF(x, y + 1.5), QPointF(x + 3, y - 1.5)])


def field_at(value: Described, path: str) -> tuple[Field, Any] | None:
    """The field at a path inside a value, and what stands there; None where there is none."""
    *way, last = path.split(".")
    here: Any = value
    for step in way:
        here = getattr(here, step, None)
    if not isinstance(here, Described):
        return None
    field = next((f for f in describe(type(here)) if f.name == last), None)
    return (field, getattr(here, last)) if field is not None else None


class QuickSettings(QWidget):
    """The chips of one card. `changed` and `explain` as in a form."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)
    refused = Signal(str)

    def __init__(self, parent: QWidget | None = None, bold: bool = False):
        super().__init__(parent)
        self._bold = bold
        self.chips: dict[str, Any] = {}
        self._fields: dict[str, Field] = {}
        self._value: Described | None = None
        self._facts: Mapping[str, str] = {}
        self._row = QHBoxLayout(self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(4)
        self._row.addStretch(1)

    def show_value(self, value: Described, paths: tuple[str, ...], facts: Mapping[str, str] | None = None) -> None:
        """Show the settings at these paths; chips that are there already stay. `facts` are for their tooltips."""
        self._value = value
        self._facts = facts or {}
        wanted = {}
        for path in paths:
            found = field_at(value, path)
            if found is None or not is_shown(found[0]):
                continue
            if found[0].sort in ("integer", "number", "choice", "family"):
                wanted[path] = found
        if {path: field for path, (field, _value) in wanted.items()} != self._fields:
            for chip in self.chips.values():
                self._row.removeWidget(chip)
                chip.hide()
                chip.deleteLater()
            self.chips = {}
            self._fields = {path: field for path, (field, _value) in wanted.items()}
            for place, (path, field) in enumerate(self._fields.items()):
                self.chips[path] = self._chip(path, field)
                self._row.insertWidget(place, self.chips[path])
        for path, (field, setting) in wanted.items():
            self._put(self.chips[path], field, setting)

    def _chip(self, path: str, field: Field) -> QWidget:
        label = capital(_(field.label))
        chip: QWidget
        if field.sort in ("integer", "number"):
            number = NumberChip(field)
            number.edited.connect(lambda value, gesture: self.changed.emit(path, value, gesture))
            number.refused.connect(lambda sentence: self._refuse(number, label, sentence))
            chip = number
        else:
            family = field.sort == "family"
            choice = ChoiceChip(kind_choice(field.holds, field.optional) if family else choice_of(field))
            choice.chosen.connect(lambda name: self._chosen(path, field, name))
            chip = choice
        chip.setObjectName(path)
        chip.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        chip.customContextMenuRequested.connect(lambda place: self._open_menu(path, field, chip.mapToGlobal(place)))
        self._size(chip)
        chip.setAccessibleName(f"{label} ({_(field.unit)})" if field.unit else label)
        chip.setAccessibleDescription(_(field.help))
        return chip

    def lane_menu(self, path: str) -> QMenu | None:
        """What a new lane could have at a path."""
        found = field_at(self._value, path) if self._value is not None else None
        return lane_menu(self, *found, lambda value: self.tried.emit(path, value)) if found is not None else None

    def _open_menu(self, path: str, field: Field, place: QPoint) -> None:
        menu = self.lane_menu(path)
        if menu is not None:
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(place)

    def _size(self, chip: QWidget) -> None:
        font = QFont(QApplication.font())
        if font.pointSizeF() > 0 and not self._bold:
            font.setPointSizeF(font.pointSizeF() * 0.93)
        font.setBold(self._bold)
        if chip.font() != font:
            chip.setFont(font)
            if isinstance(chip, NumberChip):
                chip.lineEdit().setFont(font)  # it has a style sheet, so it does not inherit the font

    def follow_font(self) -> None:
        """Take the size of the program's font of now."""
        for chip in self.chips.values():
            self._size(chip)

    def _put(self, chip: Any, field: Field, setting: Any) -> None:
        label, help = capital(_(field.label)), _(field.help)
        if isinstance(chip, NumberChip):
            chip.set_value(setting)
        elif field.sort == "family":
            chip.show_name(setting.kind_name() if setting is not None else "")
            help = kind_tip(type(setting)) if setting is not None else help
        else:
            chip.show_name(setting)
        unit = f" ({_(field.unit)})" if field.unit else ""
        tip = f"{label}{unit}: {help}" if help else f"{label}{unit}"
        chip.setToolTip(
            "\n".join(part for part in (tip, self._facts.get(chip.objectName(), ""), effect_text(field)) if part)
        )

    def _chosen(self, path: str, field: Field, name: str) -> None:
        if field.sort != "family":
            self.changed.emit(path, name, "")
        elif not name:
            self.changed.emit(path, None, "")
        else:
            found = field_at(self._value, path) if self._value is not None else None
            kind = changed_kind(field.holds.registry[name], found[1] if found else None)
            self.changed.emit(path, msgspec.to_builtins(kind), "")

    def _refuse(self, chip: NumberChip, label: str, sentence: str) -> None:
        chip.update()
        self.refused.emit(f"{label} {sentence}" if sentence else "")
