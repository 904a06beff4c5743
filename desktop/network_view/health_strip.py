"""The health strip is the pair of small bars on a card: activation range above, gradient norm below."""

from __future__ import annotations

import math

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QHelpEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from layerscope.core.text import _

from ..roles import color, tint
from .health import ROLES, UNKNOWN, Bar, Health, State

SIGNS = ("a", "∇")  # the usual symbols of activation and gradient; not words


def state_text(state: State) -> str:
    return {
        "unknown": _("not measured yet"),
        "healthy": _("healthy"),
        "fading": _("fading"),
        "dead": _("dead"),
        "growing": _("growing"),
        "exploding": _("exploding"),
        "saturated": _("saturated"),
        "nonfinite": _("not finite"),
    }[state]


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else str(value)


def health_text(health: Health) -> str:
    """The exact numbers behind the bars, for the tooltip and for screen readers."""
    if health == UNKNOWN:
        return _("Nothing is measured yet: play, or take one step.")
    lines = [
        _("activation a: {state}").format(state=state_text(health.activation.state)),
        _("   standard deviation {std}, mean {mean}, from {low} to {high}").format(
            std=_number(health.std), mean=_number(health.mean), low=_number(health.least), high=_number(health.most)
        ),
    ]
    if health.saturated > 0:
        lines.append(_("   {share:.1%} of the outputs saturated").format(share=health.saturated))
    if health.nonfinite > 0:
        lines.append(_("   {share:.1%} of the outputs are not finite").format(share=health.nonfinite))
    lines += [
        _("gradient ∂L/∂a: {state}").format(state=state_text(health.gradient.state)),
        _("   norm {norm}, {share} of the last layer's").format(
            norm=_number(health.norm), share="×" + _number(health.share)
        ),
    ]
    return "\n".join(lines)


class HealthStrip(QWidget):
    """Two bars; repainted only when a pixel of them changes."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.health = UNKNOWN
        self.short = False  # deep inside of blocks there is less room
        self._drawn: tuple[int, State, int, State] = (0, "unknown", 0, "unknown")
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(_("Activation range and gradient norm"))

    def sizeHint(self) -> QSize:
        return QSize(self.fontMetrics().averageCharWidth() * (7 if self.short else 11), self.fontMetrics().height() + 2)

    def show_health(self, health: Health) -> None:
        self.health = health
        wide = max(1, self._room())
        drawn = (
            round(health.activation.length * wide),
            health.activation.state,
            round(health.gradient.length * wide),
            health.gradient.state,
        )
        if drawn != self._drawn:
            self._drawn = drawn
            self.update()

    def _sign_width(self) -> int:
        return round(self.fontMetrics().averageCharWidth() * 1.5)

    def _room(self) -> int:
        return self.width() - self._sign_width()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), health_text(self.health), self)
            return True
        return super().event(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = QFont(self.font())
        font.setPixelSize(max(7, round(self.height() * 0.5)))
        painter.setFont(font)
        half = self.height() / 2
        thick = min(6.0, half - 2)
        for place, (sign, bar) in enumerate(zip(SIGNS, (self.health.activation, self.health.gradient), strict=True)):
            middle = half * (place + 0.5)
            painter.setPen(color("muted"))
            room = QRectF(0, half * place, self._sign_width(), half)
            painter.drawText(room, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, sign)
            track = QRectF(self._sign_width(), middle - thick / 2, self._room(), thick)
            self._paint_bar(painter, track, bar)
        notch = self._sign_width() + self._room() / 2
        painter.setPen(tint("muted", 0.6))
        painter.drawLine(QPointF(notch, half / 2 - thick / 2 - 1), QPointF(notch, half / 2 + thick / 2 + 1))

    def _paint_bar(self, painter: QPainter, track: QRectF, bar: Bar) -> None:
        round_ = track.height() / 2
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(tint("muted", 0.18))
        painter.drawRoundedRect(track, round_, round_)
        if bar.state == "unknown":
            return
        shade = color(ROLES[bar.state])
        filled = QRectF(track)
        filled.setWidth(max(track.height() / 2 + 1, bar.length * track.width()))
        painter.setBrush(shade)
        painter.drawRoundedRect(filled, round_, round_)
        if bar.state == "nonfinite":
            # hatched, so that it is not told by its color alone
            painter.setBrush(QBrush(QColor(tint("muted", 0.0)), Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(filled, round_, round_)
