"""Every text can be translated: in a language in which all texts stand in ⟦brackets⟧, no text of the window is bare."""

import gettext
import re

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAction
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QGroupBox,
    QLabel,
    QLineEdit,
    QMenu,
    QTabBar,
    QWidget,
)

from layerscope.core.text import use_translations
from layerscope.desktop.app import make_window
from layerscope.desktop.dialogs.about import AboutDialog
from layerscope.desktop.dialogs.shortcuts import ShortcutsDialog

LETTERS = re.compile(r"[^\W\d_]{2,}")
WRAPPED = re.compile(r"⟦[^⟦⟧]*(⟦[^⟦⟧]*⟧[^⟦⟧]*)*⟧")
# Not words of a language: names of the program and of libraries, units of speed, keys, file formats.
NAMES = {
    "Layerscope", "Vanishing", "gradients", "PDF", "PNG", "SVG", "CSV", "json", "PySide", "Essentials", "pyqtgraph",
    "numpy", "numba", "scipy", "matplotlib", "msgspec", "Ctrl", "Shift", "Space", "Home", "End", "Left", "Right", "Alt",
    "Up", "Down", "Del",
}  # fmt: skip


class Brackets(gettext.NullTranslations):
    """A language in which every text is wrapped."""

    def gettext(self, message):
        return f"⟦{message}⟧"

    def ngettext(self, singular, plural, count):
        return f"⟦{singular if count == 1 else plural}⟧"


def bare(text):
    """The words of a text that went through no translation."""
    plain = re.sub(r"<[^>]*>|&\w+;", " ", text).replace("&", "")
    previous = None
    while previous != plain:
        previous, plain = plain, re.sub(r"⟦[^⟦⟧]*⟧", " ", plain)
    return [word for word in LETTERS.findall(plain) if word not in NAMES]


def texts_of(widget):
    """(what it is, text) for everything that a widget shows or says."""
    yield "tooltip", widget.toolTip()
    yield "accessible name", widget.accessibleName()
    yield "accessible description", widget.accessibleDescription()
    if isinstance(widget, QLabel | QAbstractButton):
        yield "text", widget.text()
    if isinstance(widget, QGroupBox | QMenu):
        yield "title", widget.title()
    if isinstance(widget, QLineEdit):
        yield "placeholder", widget.placeholderText()
    if isinstance(widget, QComboBox):
        for index in range(widget.count()):
            yield "item", widget.itemText(index)
            yield "item's tooltip", str(widget.itemData(index, Qt.ItemDataRole.ToolTipRole) or "")
    if isinstance(widget, QTabBar):
        for index in range(widget.count()):
            yield "tab", widget.tabText(index)
    for action in widget.actions():
        if not action.isSeparator():
            yield "action", action.text()
            yield "action's tooltip", action.toolTip()


def check(window):
    found = []
    for widget in [window, *window.findChildren(QWidget)]:
        # Qt's own menus of text fields speak Qt's language
        if widget.objectName().startswith("qt_") and not widget.objectName().startswith("qt_spinbox"):
            continue
        for what, text in texts_of(widget):
            if bare(text):
                found.append(f"{type(widget).__name__} {widget.objectName()}: {what}: {text!r}")
    for action in window.findChildren(QAction):
        # pyqtgraph keeps a menu that never opens here, and text fields have Qt's own, in Qt's language
        if bare(action.text()) and isinstance(action.parent(), QWidget) and not isinstance(action.parent(), QLineEdit):
            found.append(f"action {action.objectName()}: {action.text()!r}")
    return sorted(set(found))


def test_what_counts_as_bare():
    assert bare("⟦step⟧ 4") == []
    assert bare("⟦change ⟦units⟧ now⟧") == []
    assert bare("<b>⟦Title⟧</b>&nbsp; ⟦text⟧") == []
    assert bare("⟦step⟧ forgotten") == ["forgotten"]


@pytest.fixture
def bracketed(qtbot, qapp):
    use_translations(Brackets())
    window = make_window(qapp)
    qtbot.addWidget(window)
    window.show()
    session = window.session
    qtbot.waitUntil(lambda: session.exact, timeout=60_000)
    yield window
    session.close()
    session.deleteLater()


def test_every_text_of_the_window_can_be_translated(qtbot, bracketed):
    window, session = bracketed, bracketed.session
    found = check(window)
    window.lanes._fill_menu()
    session.add_lane(window.documents.lesson.lanes[1])
    session.forward("minibatch")
    qtbot.waitUntil(lambda: session.exact and session.position == 1, timeout=60_000)
    for _turn in range(3):
        session.forward("operation")
    qtbot.waitUntil(lambda: session.wire is not None and session.wire.done == 3, timeout=60_000)
    found += check(window)
    for card in ("data", "training", "loss", "0", "1"):
        session.select(card=card)
        found += check(window)
    session.delete_layer(24)
    found += check(window)
    assert not sorted(set(found))


@pytest.mark.parametrize("dialog", [AboutDialog, ShortcutsDialog])
def test_every_text_of_the_dialogs_can_be_translated(qtbot, qapp, dialog):
    use_translations(Brackets())
    made = dialog()
    qtbot.addWidget(made)
    assert not [line for line in check(made) if "⟦" not in line]
