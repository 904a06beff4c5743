"""Drawn widgets ask for colors by their job ("muted", "alarm"), as figures do, so that a lane has one color everywhere.

Labels with a role follow the theme and the size of the program's font by themselves.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication, QLabel, QWidget
from superqt import QElidingLabel

from .theme import current


def color(role: str) -> QColor:
    """The color of a role in the present theme."""
    return QColor(current().color(role))


def tint(role: str, share: float) -> QColor:
    """So much of a role's color mixed into the color of the panels."""
    return QColor(current().tint(role, share))


def _follow(label: QLabel, role: str, scale: float, bold: bool) -> None:
    """Give a label its color and font again, after the theme or the size of the program's font has changed."""
    font = QFont(QApplication.font())
    if font.pointSizeF() > 0:
        font.setPointSizeF(font.pointSizeF() * scale)
    font.setBold(bold)
    if label.font() != font:
        label.setFont(font)
    wanted = color(role)
    palette = label.palette()
    if palette.color(QPalette.ColorRole.WindowText) != wanted:
        palette.setColor(QPalette.ColorRole.WindowText, wanted)
        label.setPalette(palette)


OUTSIDE = (QEvent.Type.PaletteChange, QEvent.Type.ApplicationPaletteChange)


class RoleLabel(QLabel):
    """A text with a color by role and a size relative to the program's font; it wraps."""

    def __init__(
        self, text: str = "", role: str = "text", scale: float = 1.0, bold: bool = False, parent: QWidget | None = None
    ):
        super().__init__(text, parent)
        self._look = role, scale, bold
        self.setWordWrap(True)
        _follow(self, *self._look)

    def set_role(self, role: str) -> None:
        if role != self._look[0]:
            self._look = (role, *self._look[1:])
            self.follow()

    def follow(self) -> None:
        """Take color and font from the theme and the program's font of now."""
        _follow(self, *self._look)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in OUTSIDE and hasattr(self, "_look"):
            self.follow()


class ElidedLabel(QElidingLabel):
    """One line of text with a color by role, cut short with an ellipsis where there is no room."""

    def __init__(
        self, text: str = "", role: str = "text", scale: float = 1.0, bold: bool = False, parent: QWidget | None = None
    ):
        super().__init__(text, parent)
        self._look = role, scale, bold
        _follow(self, *self._look)

    def setText(self, text: str) -> None:
        if text != self.text():  # to cut a text short takes a while
            super().setText(text)

    def set_role(self, role: str) -> None:
        if role != self._look[0]:
            self._look = (role, *self._look[1:])
            self.follow()

    def follow(self) -> None:
        """Take color and font from the theme and the program's font of now."""
        _follow(self, *self._look)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in OUTSIDE and hasattr(self, "_look"):
            self.follow()


def follow_font(root: QWidget) -> None:
    """Tell all labels below a widget that the font has changed: Qt does not tell those with a size of their own."""
    labels: list[RoleLabel | ElidedLabel] = [*root.findChildren(RoleLabel), *root.findChildren(ElidedLabel)]
    for label in labels:
        label.follow()
