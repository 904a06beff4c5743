"""The form of the training is the place of all its tricks: what happens to the gradient on its way to the weights, link
by link in the order of the computation, each with a switch, its settings and the norm of what it passes on; then what
changes over time.

Nothing is known here of any trick by name. A field of the training that holds links of the chain belongs to the chain;
every kind that a list of them may hold has a switch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from layerscope.core.experiment import Training
from layerscope.core.fields import Field, Kind, describe
from layerscope.core.gradient_steps.base import STAGES, GradientStep, chain
from layerscope.core.text import _

from ..forms import Form, OptionalForm, is_shown, paint_live
from ..roles import RoleLabel, color, tint

PLAIN = ("integer", "number", "boolean", "choice", "text")
RAIL = 14  # pixels at the left of the chain for the line that joins its links
GRADIENT = "gradient"  # the name of what the chain begins with, as in the run's columns


def stage_text(stage: str) -> str:
    """What the links of a stage do, in a word or two."""
    return {
        "penalty": _("penalty, added to the gradient"),
        "clipping": _("clipping of the gradient"),
        "optimizer": _("optimizer: gradient to update"),
        "decay": _("decay, added to the update"),
        "constraint": _("limit of the weights"),
    }.get(stage, stage)


def is_link(field: Field) -> bool:
    """Whether a field of the training holds links of the chain."""
    return field.sort in ("family", "families") and issubclass(field.holds, GradientStep)


@dataclass(frozen=True)
class Place:
    """One line of the chain: a link, or a kind of link that is switched off.

    key     the same for as long as it stands for the same switch
    field   of the training
    kind    which one of a list's kinds; None where the field holds one link of any kind
    index   in the list, None when it is off
    name    of the link, as in the run's columns; "" when it is off
    """

    key: str
    field: Field
    kind: type[Kind] | None
    value: Kind | None
    index: int | None
    stage: str
    name: str


def places(training: Training) -> list[Place]:
    """All lines of the chain, those that are on in the order of the computation."""
    names = {link.place: link.name for link in chain(training)}
    found: list[Place] = []
    for field in describe(Training):
        if not is_link(field) or not is_shown(field):
            continue
        value = getattr(training, field.name)
        if field.sort == "family":
            stage = value.stage if value is not None else field.holds.stage
            name = names.get(f"training.{field.name}", "")
            found.append(Place(field.name, field, None, value, None, stage, name))
            continue
        of_kind: dict[str, int] = {}
        for index, step in enumerate(value):
            kind = step.kind_name()
            number = of_kind[kind] = of_kind.get(kind, 0) + 1
            name = names.get(f"training.{field.name}.{index}", "")
            key = f"{field.name}.{kind}.{number}"
            found.append(Place(key, field, type(step), step, index, step.stage, name))
        for kind, offered in field.holds.registry.items():
            if kind not in of_kind:
                found.append(Place(f"{field.name}.{kind}.1", field, offered, None, None, offered.stage, ""))
    return sorted(found, key=lambda place: STAGES.index(place.stage))


class Reading(QWidget):
    """A number that changes thirty times a second: it has a fixed size and is only painted, never laid out anew."""

    def __init__(self, symbol: str, help: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.symbol = symbol
        self.text = ""
        self.setToolTip(help)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def _font(self) -> QFont:
        font = QFont(self.font())
        if font.pointSizeF() > 0:
            font.setPointSizeF(font.pointSizeF() * 0.85)
        return font

    def sizeHint(self) -> QSize:
        return QSize(60, self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def show_number(self, number: float) -> None:
        """NaN stands for: not measured."""
        text = f"{number:.3g}" if not math.isnan(number) else "–"
        if text != self.text:
            self.text = text
            self.setAccessibleName(f"{self.toolTip()}: {text}")
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setFont(self._font())
        room = self.rect().adjusted(0, 0, -4, 0)
        painter.setPen(color("muted"))
        sides = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(room, sides, self.symbol)
        painter.setPen(color("text"))
        shift = painter.fontMetrics().horizontalAdvance(self.symbol) + 6
        painter.drawText(room.adjusted(shift, 0, 0, 0), sides, self.text)


class ChainLine(QWidget):
    """A link with its switch and settings, a piece of the line that joins it to the others, and the norm behind it."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, place: Place, parent: QWidget | None = None):
        super().__init__(parent)
        self.place = place
        field = msgspec.structs.replace(place.field, sort="family")
        if place.kind is not None:
            field = msgspec.structs.replace(field, optional=True)
        self.form = OptionalForm(field, place.value, kind=place.kind)
        self.form.changed.connect(self.changed)
        self.form.tried.connect(self.tried)
        self.stage = RoleLabel("", "muted", 0.82)
        self.stage.setWordWrap(False)
        before = STAGES.index(place.stage) < STAGES.index("optimizer")
        help = _("Norm of the gradient that is passed on") if before else _("Norm of the update that is passed on")
        self.norm = Reading("‖∇‖" if before else "‖ΔW‖", help)
        column = QVBoxLayout(self)
        column.setContentsMargins(RAIL, 3, 0, 3)
        column.setSpacing(2)
        column.addWidget(self.stage)
        column.addWidget(self.form)
        column.addWidget(self.norm)
        self.show_place(place, first=True)

    def show_place(self, place: Place, first: bool) -> None:
        """`first`: no other line of its stage stands before it."""
        self.place = place
        self.form.show_value(place.value)
        self.stage.setText(stage_text(place.stage))
        self.stage.setVisible(first)
        self.norm.setVisible(place.value is not None)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        on = self.place.value is not None
        painter.setPen(QPen(tint("muted", 0.55), 1.4))
        painter.drawLine(QPointF(4, 0), QPointF(4, self.height()))
        middle = self.form.y() + self.form.switch.y() + self.form.switch.sizeHint().height() / 2
        if not self.place.field.optional and self.place.kind is None:
            middle = self.form.y() + self.form.choice.y() + self.form.choice.height() / 2
        painter.setPen(QPen(color("accent") if on else color("muted"), 1.4))
        painter.setBrush(color("accent") if on else color("panel"))
        painter.drawEllipse(QPointF(4, middle), 3.2, 3.2)


class Beginning(QWidget):
    """Where the chain begins: the gradient of the loss."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(RAIL, 2, 0, 2)
        self.title = RoleLabel(_("gradient of the loss"), "text", 0.92)
        self.title.setWordWrap(False)
        self.norm = Reading("‖∇‖", _("Norm of the gradient of the data loss, of all parameters"))
        row.addWidget(self.title)
        row.addWidget(self.norm, 1)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(tint("muted", 0.55), 1.4))
        painter.drawLine(QPointF(4, self.height() / 2), QPointF(4, self.height()))
        painter.setBrush(tint("muted", 0.55))
        painter.drawRect(QRectF(1.5, self.height() / 2 - 2.5, 5, 5))


class Legend(QWidget):
    """Says what the dot at some settings means."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 0, 0, 0)
        self.words = RoleLabel(_("applies at once; everything else starts the lane over"), "muted", 0.85)
        row.addWidget(self.words, 1)

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_live(self, 4)


def _heading(text: str, help: str = "") -> RoleLabel:
    label = RoleLabel(text, "muted", 0.95, bold=True)
    label.setContentsMargins(0, 8, 0, 0)
    label.setToolTip(help)
    return label


class TrainingForm(QWidget):
    """See the module's sentence; used as any other form."""

    changed = Signal(str, object, str)
    tried = Signal(str, object)

    def __init__(self, value: Training, parent: QWidget | None = None):
        super().__init__(parent)
        self.value = value
        self.editors: dict[str, Any] = {}  # of what does not belong to the chain
        self.lines: dict[str, ChainLine] = {}
        fields = [field for field in describe(Training) if is_shown(field)]
        linked = {field.name for field in fields if is_link(field)}
        plain = {field.name for field in fields if field.sort in PLAIN}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.basics = Form(value, skip=tuple(field.name for field in fields if field.name not in plain))
        self.basics.changed.connect(self.changed)
        self.basics.tried.connect(self.tried)
        column.addWidget(self.basics)
        self.legend = Legend()
        column.addWidget(self.legend)
        column.addWidget(_heading(_("From the gradient to the weights"), _("In the order in which it is computed.")))
        self.beginning = Beginning()
        column.addWidget(self.beginning)
        self._chain = QVBoxLayout()
        self._chain.setSpacing(0)
        column.addLayout(self._chain)
        column.addWidget(_heading(_("Over the whole training")))
        rest = [field.name for field in fields if field.name not in plain | linked]
        self.rest = Form(value, skip=tuple(field.name for field in fields if field.name not in rest))
        self.rest.changed.connect(self.changed)
        self.rest.tried.connect(self.tried)
        column.addWidget(self.rest)
        self.editors = {**self.basics.editors, **self.rest.editors}
        self.show_value(value)

    def show_value(self, value: Training) -> None:
        """Show another training in place; switches stay the same widgets."""
        self.value = value
        self.basics.show_value(value)
        self.rest.show_value(value)
        wanted = places(value)
        for key in [key for key in self.lines if key not in {place.key for place in wanted}]:
            line = self.lines.pop(key)
            self._chain.removeWidget(line)
            line.hide()
            line.deleteLater()
        stage = ""
        for index, place in enumerate(wanted):
            if place.key not in self.lines:
                self.lines[place.key] = added = ChainLine(place)
                added.changed.connect(partial(self._line_changed, place.key))
                added.tried.connect(partial(self._line_tried, place.key))
            line = self.lines[place.key]
            if self._chain.indexOf(line) != index:
                self._chain.removeWidget(line)
                self._chain.insertWidget(index, line)
            line.show_place(place, place.stage != stage)
            stage = place.stage

    def _news(self, key: str, path: str, value: object) -> tuple[str, object]:
        """(path, value) in the training of a change in one line of the chain."""
        place = self.lines[key].place
        name = place.field.name
        if place.kind is None:
            return f"{name}.{path}" if path else name, value
        if path:
            return f"{name}.{place.index}.{path}", value
        items = [msgspec.to_builtins(item) for item in getattr(self.value, name)]
        if value is None and place.index is not None:
            del items[place.index]
        else:
            items.append(value)
        return name, items

    def _line_changed(self, key: str, path: str, value: object, gesture: str) -> None:
        self.changed.emit(*self._news(key, path, value), gesture)

    def _line_tried(self, key: str, path: str, value: object) -> None:
        self.tried.emit(*self._news(key, path, value))

    def show_norms(self, norms: Mapping[str, float]) -> None:
        """Show what was measured behind every link, by its name; a link of which nothing is known shows a dash."""
        self.beginning.norm.show_number(norms.get(GRADIENT, math.nan))
        for line in self.lines.values():
            if line.place.name:
                line.norm.show_number(norms.get(line.place.name, math.nan))

    def switches(self) -> dict[str, OptionalForm]:
        """Everything here that can be switched on and off, by its place."""
        found = {key: line.form for key, line in self.lines.items() if line.form.field.optional}
        found |= {name: editor for name, editor in self.rest.editors.items() if isinstance(editor, OptionalForm)}
        return found

    def explain(self, path: str, sentence: str) -> bool:
        name, _dot, rest = path.partition(".")
        if name in self.editors:
            return bool(self.editors[name].explain(rest, sentence))
        for line in self.lines.values():
            place = line.place
            if place.field.name != name:
                continue
            if place.kind is None:
                return line.form.explain(rest, sentence)
            index, _dot, inside = rest.partition(".")
            if place.index is not None and index == str(place.index):
                return line.form.explain(inside, sentence)
        return False
