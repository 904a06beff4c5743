"""An empty network invites to begin: a plus, and a few networks to start from."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QRectF, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QMenu, QPushButton, QToolButton, QVBoxLayout, QWidget

from layerscope.core.experiment import Experiment
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.base import Layer
from layerscope.core.layers.dense import Dense
from layerscope.core.network import Plan
from layerscope.core.text import _, ngettext

from ..roles import RoleLabel, color, tint
from .content import shape_text


def starters(experiment: Experiment, plan: Plan) -> list[tuple[str, str, tuple[Layer, ...]]]:
    """(label, what it is good for, layers) of networks that suit the data."""
    targets = max(1, plan.targets)
    last = Dense(units=targets)
    one = ngettext("One layer of {count} unit", "One layer of {count} units", targets).format(count=targets)
    simplest = _("The simplest classifier: straight boundaries.")
    if plan.outline.is_regression:
        simplest = _("The simplest regression: a straight line or plane.")
    small = (Dense(units=32), ActivationLayer(function="relu"))
    deep = (Dense(units=64), ActivationLayer(function="sigmoid")) * 12
    return [
        (one, simplest, (last,)),
        (_("Two hidden ReLU layers"), _("Learns almost everything here within seconds."), (*small, *small, last)),
        (_("Twelve sigmoid layers"), _("Too deep for its own good: watch the gradients vanish."), (*deep, last)),
    ]


class EmptyState(QWidget):
    """What stands in place of the layers while there are none.

    chosen   the layers to begin with
    opened   the menu of layers is about to be shown and must be filled
    """

    chosen = Signal(object, str)
    opened = Signal()

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.setContentsMargins(14, 20, 14, 20)
        column.setSpacing(8)
        self.plus = QToolButton()
        self.plus.setProperty("kind", "primary")
        self.plus.setText(_("+  Add the first layer"))
        self.plus.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.plus.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        self.choices = QMenu(self.plus)
        self.choices.aboutToShow.connect(self.opened)
        self.plus.setMenu(self.choices)
        self.hint = RoleLabel("", "muted", 0.92)
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.plus, 0, Qt.AlignmentFlag.AlignCenter)
        column.addWidget(self.hint)
        self._column = column
        self.buttons: list[QPushButton] = []

    def show_plan(self, experiment: Experiment, plan: Plan) -> None:
        """Offer what suits the data."""
        for button in self.buttons:
            self._column.removeWidget(button)
            button.hide()
            button.deleteLater()
        self.buttons = []
        if plan.shape:
            text = ngettext(
                "From {shape} to {count} class. Or start from one of these:",
                "From {shape} to {count} classes. Or start from one of these:",
                plan.targets,
            )
            if plan.outline.is_regression:
                text = ngettext(
                    "From {shape} to {count} value. Or start from one of these:",
                    "From {shape} to {count} values. Or start from one of these:",
                    plan.targets,
                )
            self.hint.setText(text.format(shape=shape_text(plan.shape), count=plan.targets))
        else:
            self.hint.setText(_("Or start from one of these:"))
        for label, help, layers in starters(experiment, plan):
            button = QPushButton(label)
            button.setProperty("kind", "quiet")
            button.setToolTip(help)
            button.setAccessibleDescription(help)
            button.clicked.connect(partial(self.chosen.emit, layers, label))
            self._column.addWidget(button)
            self.buttons.append(button)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(color("axis"), 1.2, Qt.PenStyle.DashLine))
        painter.setBrush(tint("background", 0.3))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 7, -1, -7), 7, 7)
