"""Two looks, light and dark: the colors of every widget follow from the roles that the figures use too.

Fusion is the style on every system, because it obeys a palette everywhere; what a palette cannot say (round corners,
quiet buttons) is in one style sheet. The look follows the system's unless a person has chosen one.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal

from PySide6.QtCore import QByteArray, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication

from layerscope.core.figures.palette import THEMES
from layerscope.core.figures.palette import Theme as Theme

Choice = Literal["system", "light", "dark"]
CHOICES: tuple[Choice, ...] = ("system", "light", "dark")


def current() -> Theme:
    """The theme that the program shows now; of the application's palette, so nobody has to be told."""
    app = QApplication.instance()
    window = app.palette().color(QPalette.ColorRole.Window) if isinstance(app, QApplication) else QColor("white")
    return THEMES["dark" if window.lightness() < 128 else "light"]


def on_accent(theme: Theme) -> str:
    """The color of writing on the accent color."""
    return "#ffffff" if theme.name == "light" else "#0d1117"


class Look(QObject):
    """Applies a theme to the whole program and follows the system's.

    choice   "system", "light" or "dark"
    """

    changed = Signal()

    def __init__(self, app: QApplication, choice: Choice = "system"):
        super().__init__(app)
        self._app = app
        self.choice: Choice = choice
        app.setStyle("Fusion")
        app.styleHints().colorSchemeChanged.connect(self._system_changed)
        self.apply()

    def choose(self, choice: Choice) -> None:
        """Show this look from now on."""
        self.choice = choice
        self.apply()

    def toggle(self) -> None:
        """Light to dark and back."""
        self.choose("light" if self.theme().name == "dark" else "dark")

    def theme(self) -> Theme:
        """The theme that the choice stands for at this moment."""
        if self.choice != "system":
            return THEMES[self.choice]
        dark = self._app.styleHints().colorScheme() == Qt.ColorScheme.Dark
        return THEMES["dark" if dark else "light"]

    def apply(self) -> None:
        """Give palette and style sheet to the application."""
        theme = self.theme()
        self._app.setPalette(palette(theme))
        self._app.setStyleSheet(style_sheet(theme))
        self.changed.emit()

    def _system_changed(self) -> None:
        if self.choice == "system":
            self.apply()


def palette(theme: Theme) -> QPalette:
    """The theme as Qt's roles."""
    roles = QPalette.ColorRole
    colors = {
        roles.Window: theme.color("background"),
        roles.WindowText: theme.color("text"),
        roles.Base: theme.color("panel"),
        roles.AlternateBase: theme.tint("text", 0.04),
        roles.Text: theme.color("text"),
        roles.PlaceholderText: theme.color("muted"),
        roles.Button: theme.tint("text", 0.07),
        roles.ButtonText: theme.color("text"),
        roles.BrightText: theme.color("alarm"),
        roles.Highlight: theme.color("accent"),
        roles.HighlightedText: on_accent(theme),
        roles.Link: theme.color("accent"),
        roles.ToolTipBase: theme.color("panel"),
        roles.ToolTipText: theme.color("text"),
        roles.Accent: theme.color("accent"),
        roles.Light: theme.tint("text", 0.02),
        roles.Midlight: theme.tint("text", 0.05),
        roles.Mid: theme.tint("text", 0.2),
        roles.Dark: theme.tint("text", 0.3),
        roles.Shadow: theme.tint("text", 0.5),
    }
    made = QPalette()
    for role, color in colors.items():
        made.setColor(role, QColor(color))
    quiet = QColor(theme.tint("text", 0.38))
    for role in (roles.Text, roles.WindowText, roles.ButtonText):
        made.setColor(QPalette.ColorGroup.Disabled, role, quiet)
    return made


def style_sheet(theme: Theme) -> str:
    """What a palette cannot say. Widgets ask for a part by a property: surface, kind or muted."""
    color = theme.color
    return f"""
    QFrame[surface="bar"] {{ background: {color("panel")}; border: none; }}
    QFrame[surface="card"] {{ background: {color("panel")}; border: 1px solid {color("border")}; border-radius: 8px; }}
    QFrame[line="true"] {{ background: {color("border")}; border: none; }}
    QLabel[muted="true"] {{ color: {color("muted")}; }}
    QLabel[state="warning"] {{ color: {color("warning")}; }}
    QLabel[state="told"] {{ color: {color("accent")}; }}
    QLabel[state="alarm"] {{ color: {color("alarm")}; }}
    QPushButton[kind="quiet"], QToolButton[kind="quiet"] {{
        background: {theme.tint("text", 0.07)}; color: {color("text")}; border: 1px solid transparent;
        border-radius: 6px; padding: 5px 10px; font-weight: 600;
    }}
    QPushButton[kind="quiet"]:hover, QToolButton[kind="quiet"]:hover {{ background: {theme.tint("text", 0.12)}; }}
    QPushButton[kind="quiet"]:pressed, QToolButton[kind="quiet"]:pressed {{ background: {theme.tint("text", 0.2)}; }}
    QPushButton[kind="quiet"]:focus, QToolButton[kind="quiet"]:focus {{ border-color: {color("accent")}; }}
    QPushButton[kind="quiet"]:disabled, QToolButton[kind="quiet"]:disabled {{
        color: {theme.tint("text", 0.35)}; background: {theme.tint("text", 0.04)};
    }}
    QToolButton[kind="primary"], QPushButton[kind="primary"] {{
        background: {color("accent")}; color: {on_accent(theme)}; border: 1px solid transparent;
        border-radius: 6px; padding: 5px 12px; font-weight: 600;
    }}
    QToolButton[kind="primary"]:hover, QPushButton[kind="primary"]:hover {{ background: {theme.tint("accent", 0.86)}; }}
    QToolButton[kind="primary"]:focus, QPushButton[kind="primary"]:focus {{ border-color: {color("text")}; }}
    QToolButton[kind="primary"]:disabled, QPushButton[kind="primary"]:disabled {{
        background: {theme.tint("accent", 0.3)};
    }}
    QToolButton[kind="bare"] {{ background: transparent; border: none; border-radius: 5px; padding: 3px; }}
    QToolButton[kind="bare"]:hover {{ background: {theme.tint("text", 0.1)}; }}
    QToolButton[kind="bare"]:focus {{ background: {theme.tint("accent", 0.2)}; }}
    QPushButton::menu-indicator, QToolButton::menu-indicator {{ image: none; width: 0; }}
    QLineEdit[kind="title"] {{
        background: transparent; border: 1px solid transparent; border-radius: 5px; padding: 3px 6px;
        color: {color("muted")};
    }}
    QLineEdit[kind="title"]:hover {{ border-color: {color("border")}; }}
    QLineEdit[kind="title"]:focus {{ border-color: {color("accent")}; color: {color("text")}; }}
    QMenuBar {{ background: transparent; spacing: 2px; }}
    QMenuBar::item {{ padding: 5px 8px; border-radius: 5px; background: transparent; color: {color("text")}; }}
    QMenuBar::item:selected {{ background: {theme.tint("text", 0.1)}; }}
    QMenu {{ background: {color("panel")}; border: 1px solid {color("border")}; padding: 4px; }}
    QMenu::item {{ padding: 5px 24px 5px 12px; border-radius: 4px; color: {color("text")}; }}
    QMenu::item:selected {{ background: {theme.tint("accent", 0.18)}; }}
    QMenu::item:disabled {{ color: {theme.tint("text", 0.38)}; }}
    QMenu::indicator {{ width: 14px; height: 14px; margin-left: 6px; }}
    QMenu::separator {{ height: 1px; background: {color("border")}; margin: 4px 6px; }}
    QToolTip {{
        background: {color("panel")}; color: {color("text")}; border: 1px solid {color("border")}; padding: 4px 6px;
    }}
    QSplitter::handle {{ background: transparent; }}
    QSplitter::handle:hover {{ background: {theme.tint("accent", 0.35)}; }}
    QScrollArea {{ border: none; background: transparent; }}
    QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
    QScrollBar:horizontal {{ background: transparent; height: 10px; margin: 0; }}
    QScrollBar::handle {{ background: {theme.tint("text", 0.22)}; border-radius: 3px; margin: 2px; }}
    QScrollBar::handle:vertical {{ min-height: 28px; }}
    QScrollBar::handle:horizontal {{ min-width: 28px; }}
    QScrollBar::handle:hover {{ background: {theme.tint("text", 0.4)}; }}
    QScrollBar::add-line, QScrollBar::sub-line, QScrollBar::add-page, QScrollBar::sub-page {{
        background: none; border: none; width: 0; height: 0;
    }}
    """


@cache
def _svg(name: str) -> str:
    return (resources.files("layerscope.desktop") / "resources" / f"{name}.svg").read_text(encoding="utf-8")


def icon(name: str, color: str = "", quiet: str = "", size: int = 16) -> QIcon:
    """A drawing of `resources/` in a color, sharp on every screen; `quiet` is its color when disabled."""
    theme = current()
    made = QIcon()
    shades = {
        QIcon.Mode.Normal: color or theme.color("text"),
        QIcon.Mode.Disabled: quiet or theme.tint("text", 0.35),
    }
    for mode, shade in shades.items():
        renderer = QSvgRenderer(QByteArray(_svg(name).replace("currentColor", shade).encode()))
        for ratio in (1, 2, 3):
            pixmap = QPixmap(QSize(size, size) * ratio)
            pixmap.fill(Qt.GlobalColor.transparent)
            painter = QPainter(pixmap)
            renderer.render(painter, QRectF(0, 0, size * ratio, size * ratio))
            painter.end()
            pixmap.setDevicePixelRatio(ratio)
            made.addPixmap(pixmap, mode)
    return made
