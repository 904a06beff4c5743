"""Everything that can be done from a menu, a button or a key is declared here once: its words, keys and drawing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QWidget

from layerscope.core.text import N_, _

from . import theme


@dataclass(frozen=True)
class Declared:
    """One action.

    text    in menus; & marks the letter to press
    tip     what it does, one sentence; the keys are added to it
    keys    the first one is shown
    short   on a button, where it is narrow
    """

    name: str
    text: str
    tip: str
    keys: tuple[str, ...] = ()
    icon: str = ""
    short: str = ""
    checkable: bool = False
    repeats: bool = False


ACTIONS: tuple[Declared, ...] = (
    Declared("new", N_("&New"), N_("Start with an empty network on the handwritten digits"), ("Ctrl+N",)),
    Declared("open", N_("&Open…"), N_("Open an experiment file"), ("Ctrl+O",)),
    Declared(
        "import_data", N_("&Import data…"), N_("Train on data of your own: a table, images or arrays"), ("Ctrl+I",)
    ),
    Declared("save", N_("&Save"), N_("Save the experiment of lane A"), ("Ctrl+S",)),
    Declared("save_as", N_("Save &as…"), N_("Save the experiment of lane A under another name"), ("Ctrl+Shift+S",)),
    Declared("save_lane", N_("Save &lane as…"), N_("Save the experiment of the selected lane in a file of its own")),
    Declared(
        "export",
        N_("&Export…"),
        N_("Export the figures as shown, for slides or paper"),
        ("Ctrl+E",),
        short=N_("Export"),
    ),
    Declared("quit", N_("&Quit"), N_("Close the window and stop training"), ("Ctrl+Q",)),
    Declared("undo", N_("&Undo"), N_("Take back the last edit"), ("Ctrl+Z",), repeats=True),
    Declared("redo", N_("&Redo"), N_("Do again what was taken back"), ("Ctrl+Shift+Z", "Ctrl+Y"), repeats=True),
    Declared(
        "copy_lane",
        N_("&Copy of this lane"),
        N_("Add a lane with the same experiment, to change one thing in it"),
        ("Ctrl+D",),
    ),
    Declared(
        "fork",
        N_("&Fork here"),
        N_("Add a lane that goes on from the step that is shown: same weights, same optimizer state, same minibatches"),
        ("Ctrl+F",),
        "fork",
        N_("fork"),
    ),
    Declared("remove_lane", N_("Re&move this lane"), N_("Take the selected lane away")),
    Declared("next_lane", N_("&Next lane"), N_("Show the cards of the next lane"), ("Ctrl+L",)),
    Declared(
        "play",
        N_("&Play"),
        N_("Train all lanes step by step; at the planned end, go on for as many epochs again"),
        ("Space",),
        "play",
    ),
    Declared("start", N_("To the &beginning"), N_("Show the state before the first step"), ("Home",), "start"),
    Declared("newest", N_("To the newest &step"), N_("Show the newest step that was trained"), ("End",)),
    Declared(
        "operation_back",
        N_("Operation back"),
        N_("Take back the last operation of the step"),
        (",", "Shift+Left"),
        "back",
        N_("op"),
        repeats=True,
    ),
    Declared(
        "operation_forward",
        N_("&Operation forward"),
        N_("Compute the next operation and show the numbers on its wire"),
        (".", "Shift+Right"),
        "forward",
        N_("op"),
        repeats=True,
    ),
    Declared(
        "minibatch_back", N_("Minibatch back"), N_("Go one step back"), ("Left",), "back", N_("batch"), repeats=True
    ),
    Declared(
        "minibatch_forward",
        N_("&Minibatch forward"),
        N_("Train one step: one minibatch forward, backward, update"),
        ("Right",),
        "forward",
        N_("batch"),
        repeats=True,
    ),
    Declared(
        "epoch_back",
        N_("Epoch back"),
        N_("Go back to the start of the epoch"),
        ("Ctrl+Left",),
        "fast-back",
        N_("epoch"),
        repeats=True,
    ),
    Declared(
        "epoch_forward",
        N_("&Epoch forward"),
        N_("Train to the end of the epoch"),
        ("Ctrl+Right",),
        "fast-forward",
        N_("epoch"),
        repeats=True,
    ),
    Declared(
        "restart", N_("&Forget and begin again"), N_("Forget what was trained and begin again at step 0"), ("Ctrl+R",)
    ),
    Declared(
        "find_rate",
        N_("Find a &learning rate"),
        N_("Add a lane whose learning rate rises until the training breaks, and show the loss over the rate"),
    ),
    Declared("slower", N_("&Slower"), N_("Play fewer steps a second"), ("-",), repeats=True),
    Declared("faster", N_("&Faster"), N_("Play more steps a second"), ("+", "="), repeats=True),
    Declared("data", N_("&Data"), N_("Show the data's settings"), ("Ctrl+1",), short=N_("Data")),
    Declared("training", N_("&Training"), N_("Show the settings of the training"), ("Ctrl+2",), short=N_("Training")),
    Declared("toggle_theme", N_("Light or dar&k"), N_("Switch between light and dark"), ("F9",), "moon"),
    Declared("system_theme", N_("As the &system"), N_("Light or dark as the system says"), checkable=True),
    Declared("light_theme", N_("&Light"), N_("Dark writing on white"), checkable=True),
    Declared("dark_theme", N_("&Dark"), N_("Light writing on black"), checkable=True),
    Declared("full_screen", N_("&Full screen"), N_("Use the whole screen"), ("F11",), checkable=True),
    Declared("reset_layout", N_("&Reset layout"), N_("Put all panels back to their places")),
    Declared("shortcuts", N_("&Keyboard shortcuts"), N_("Show all keys"), ("F1",)),
    Declared("show_log", N_("Open &log folder"), N_("Show the folder with the log file for a bug report")),
    Declared("about", N_("&About Layerscope"), N_("Version and licenses")),
)


def shown_keys(keys: str) -> str:
    """A key combination as this system writes it."""
    return QKeySequence(keys).toString(QKeySequence.SequenceFormat.NativeText)


class Actions:
    """The actions of one window, by name; `on` says what each does."""

    def __init__(self, window: QWidget):
        self._actions: dict[str, QAction] = {}
        self.declared = {declared.name: declared for declared in ACTIONS}
        for declared in ACTIONS:
            action = QAction(window)
            action.setObjectName(declared.name)
            action.setShortcuts([QKeySequence(keys) for keys in declared.keys])
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            action.setAutoRepeat(declared.repeats)
            action.setCheckable(declared.checkable)
            action.setIconVisibleInMenu(declared.name != "play")  # drawn for the colored button, unseen on a menu
            action.setMenuRole(_ROLES.get(declared.name, QAction.MenuRole.NoRole))
            window.addAction(action)
            self._actions[declared.name] = action
        self.write()
        self.draw()

    def write(self) -> None:
        """Put the words into place, in the present language."""
        for name, declared in self.declared.items():
            self.say(name, _(declared.text), _(declared.tip))

    def say(self, name: str, text: str, tip: str) -> None:
        """Words of an action that depend on what it would do now."""
        action, declared = self._actions[name], self.declared[name]
        action.setText(text)
        action.setIconText(_(declared.short))
        keys = shown_keys(declared.keys[0]) if declared.keys else ""
        action.setToolTip(f"{tip} ({keys})" if keys else tip)
        action.setStatusTip("")

    def draw(self) -> None:
        """Draw the icons in the colors of the present theme."""
        for name, declared in self.declared.items():
            if declared.icon:
                color = theme.on_accent(theme.current()) if name == "play" else ""
                self._actions[name].setIcon(theme.icon(declared.icon, color))

    def on(self, name: str, does: Callable[[], object]) -> None:
        """What happens when the action is triggered."""
        self._actions[name].triggered.connect(lambda _checked=False: does())

    def __getitem__(self, name: str) -> QAction:
        return self._actions[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._actions)


_ROLES = {
    "quit": QAction.MenuRole.QuitRole,
    "about": QAction.MenuRole.AboutRole,
}
