"""Every trick is explained where it stands: one sentence, one formula with its source, and what a change would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QEnterEvent, QFont, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QApplication, QFrame, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from layerscope.core.fields import Field, Kind
from layerscope.core.text import _

from .roles import RoleLabel, color, tint

WIDEST = 340  # pixels
SIGN = 15


def kind_help(kind: Any) -> str:
    """What a kind is, in the words of its author: its help, or the first paragraph of its description."""
    if words := getattr(kind, "help", ""):
        return _(words) if isinstance(words, str) else ""
    described = kind.__doc__ if isinstance(kind, type) and issubclass(kind, Kind) else ""
    return _(" ".join((described or "").strip().split("\n\n")[0].split()))


def kind_label(kind: Any, name: str) -> str:
    return _(getattr(kind, "label", "") or name.replace("_", " "))


def kind_formula(kind: Any) -> str:
    """Its formula in the usual symbols, "" where it has none."""
    formula = getattr(kind, "formula", "")
    return _(formula) if isinstance(formula, str) and formula else ""


def kind_tip(kind: Any) -> str:
    """What a kind is and its formula, for a tooltip."""
    return "\n".join(part for part in (kind_help(kind), kind_formula(kind)) if part)


def effect_text(field: Field) -> str:
    """Whether a change of this setting applies at once or from a new start; "" where it changes no computation."""
    if field.live:
        return _("Applies at once, while training.")
    return _("A change starts the lane over.") if field.restarts else ""


def field_tip(field: Field) -> str:
    """What a setting means, and when a change of it applies."""
    return "\n".join(part for part in (_(field.help) if field.help else "", effect_text(field)) if part)


@dataclass(frozen=True)
class Explanation:
    """What is said of one kind.

    facts    lines with the numbers of this very place: "std 0.125 · n·Var 1"
    effect   when a change applies
    offers   (words of a button, what it does)
    """

    title: str
    sentence: str
    formula: str = ""
    source: str = ""
    facts: tuple[str, ...] = ()
    effect: str = ""
    offers: tuple[tuple[str, Callable[[], None]], ...] = field(default=(), compare=False)


def explanation_of(kind: Any, name: str, **rest: Any) -> Explanation:
    """The explanation of a kind, of an entry of a registry, or of a group of settings."""
    sentence = kind_help(kind)
    if not sentence and isinstance(kind, type):
        sentence = _(" ".join((kind.__doc__ or "").strip().split("\n\n")[0].split()))
    source = getattr(kind, "source", "")
    return Explanation(kind_label(kind, name), sentence, kind_formula(kind), _(source) if source else "", **rest)


class Popover(QFrame):
    """A small sheet over the window, which goes away with the next click or key."""

    def __init__(self, explanation: Explanation, parent: QWidget | None = None):
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("popover")
        self.setMaximumWidth(WIDEST)
        self._column = column = QVBoxLayout(self)
        column.setContentsMargins(14, 12, 14, 12)
        column.setSpacing(7)
        column.addWidget(RoleLabel(explanation.title, "text", 1.05, bold=True))
        self.lines: list[str] = []

        def say(text: str, role: str = "text", scale: float = 0.95) -> RoleLabel | None:
            if not text:
                return None
            label = RoleLabel(text, role, scale)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            column.addWidget(label)
            self.lines.append(text)
            return label

        say(explanation.sentence)
        formula = say(explanation.formula, "text", 1.1)
        if formula is not None:
            font = QFont(formula.font())
            font.setItalic(True)
            formula.setFont(font)
        for fact in explanation.facts:
            say(fact, "accent")
        say(explanation.source, "muted", 0.88)
        say(explanation.effect, "muted", 0.88)
        for words, does in explanation.offers:
            button = QPushButton(words)
            button.setProperty("kind", "quiet")
            button.clicked.connect(lambda _checked=False, does=does: (self.close(), does()))
            column.addWidget(button)

    def show_beside(self, place: QWidget) -> None:
        """Open below a widget, or above it where there is no room."""
        self.setFixedWidth(min(WIDEST, max(310, self.sizeHint().width())))
        high = self._column.heightForWidth(self.width())
        self.resize(self.width(), max(high, self._column.minimumSize().height()))
        corner = place.mapToGlobal(QPoint(0, place.height() + 4))
        screen = place.screen() or QApplication.primaryScreen()
        room = screen.availableGeometry()
        if corner.y() + self.height() > room.bottom():
            corner.setY(place.mapToGlobal(QPoint(0, 0)).y() - self.height() - 4)
        corner.setX(max(room.left(), min(corner.x(), room.right() - self.width())))
        self.move(corner)
        self.show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.close()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(color("border"))
        painter.setBrush(color("panel"))
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))


class InfoButton(QToolButton):
    """A small i in a circle. `explain` is asked when it is pressed, so that numbers are those of now."""

    def __init__(self, explain: Callable[[], Explanation | None], parent: QWidget | None = None):
        super().__init__(parent)
        self._explain = explain
        self.popover: Popover | None = None
        self.setAutoRaise(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setObjectName("explain")
        self.setAccessibleName(_("Explain"))
        self.setToolTip(_("What it does, its formula and its source"))
        self.clicked.connect(self.open)

    def sizeHint(self) -> QSize:
        return QSize(SIGN + 3, SIGN + 3)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def explanation(self) -> Explanation | None:
        """What would be said now."""
        return self._explain()

    def open(self) -> None:
        """Show the explanation."""
        explanation = self._explain()
        if explanation is None:
            return
        self.popover = Popover(explanation, self.window())
        self.popover.destroyed.connect(self._closed)
        self.popover.show_beside(self)

    def _closed(self) -> None:
        self.popover = None

    def enterEvent(self, event: QEnterEvent) -> None:
        super().enterEvent(event)
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        lit = self.underMouse() or self.hasFocus()
        shade = color("accent") if lit else tint("muted", 0.85)
        circle = QRectF((self.width() - SIGN) / 2 + 1, (self.height() - SIGN) / 2 + 1, SIGN - 2, SIGN - 2)
        painter.setPen(QPen(shade, 1.2))
        painter.setBrush(tint("accent", 0.15) if lit else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(circle)
        middle = circle.center()
        painter.setPen(QPen(shade, 1.6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
        painter.drawPoint(QPointF(middle.x(), middle.y() - 3))
        painter.drawLine(QPointF(middle.x(), middle.y() - 0.2), QPointF(middle.x(), middle.y() + 3.2))
