"""The main window hosts: header, network, lanes, panels, transport. What they show is in the session."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PySide6.QtCore import QByteArray, QMimeData, Qt, QTimer, QUrl
from PySide6.QtGui import QCloseEvent, QDesktopServices, QDragEnterEvent, QDropEvent, QPaintEvent
from PySide6.QtWidgets import QApplication, QDialog, QMainWindow, QMenu, QSplitter, QVBoxLayout, QWidget

from layerscope.core.text import N_, _

from . import theme
from .actions import Actions
from .cures import rate_search
from .dialogs.about import AboutDialog
from .dialogs.importers import kind_for
from .dialogs.shortcuts import ShortcutsDialog
from .documents import Documents
from .header import Header
from .keyboard import SpaceForButtons
from .lanes_bar import LanesBar
from .message_bar import MessageBar
from .network_view import NetworkView
from .panels.grid import PanelGrid
from .places import log_file
from .session import MOST_LANES, Session, Unit
from .settings import Settings
from .theme import Look
from .thresholds import from_text, to_text
from .transport.bar import TransportBar

NETWORK_WIDTH = 320  # pixels, at first


class MainWindow(QMainWindow):
    """See the module's sentence."""

    def __init__(self, session: Session, settings: Settings, look: Look):
        super().__init__()
        self.session, self.settings, self.look = session, settings, look
        self._painted = False
        self._diagnosed = ""  # what the bar was told last; it may have been closed since
        self.setObjectName("main")
        self.setWindowIcon(theme.icon("icon", size=64))
        self.setAcceptDrops(True)
        # A click beside everything takes the keyboard from a text that was being typed: Space plays again.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.actions_ = Actions(self)
        self.documents = Documents(session, settings, self)
        self.header = Header(session, self.actions_, self.documents.open_lesson, self)
        self.setMenuWidget(self.header)

        self.network = NetworkView(session)
        self.lanes = LanesBar(session, self.actions_)
        self.message = MessageBar()
        self.diagnosis = MessageBar()
        self.watch = MessageBar()
        self.panels = PanelGrid(session)
        self.transport = TransportBar(session, self.actions_)
        self._put_together()
        self._make_menus()
        self._connect()
        self._restore_layout()
        self._restyle()
        self._retitle()
        self.setFocus()
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self._space = SpaceForButtons(app, self)

    # --- the parts

    def _put_together(self) -> None:
        right = QWidget()
        column = QVBoxLayout(right)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(self.lanes)
        column.addWidget(self.message)
        column.addWidget(self.diagnosis)
        column.addWidget(self.watch)
        column.addWidget(self.panels, 1)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.setHandleWidth(10)
        self._splitter.setChildrenCollapsible(False)
        self._splitter.addWidget(self.network)
        self._splitter.addWidget(right)
        self._splitter.setStretchFactor(0, 0)
        self._splitter.setStretchFactor(1, 1)
        self._splitter.setSizes([NETWORK_WIDTH, 1000])
        middle = QWidget()
        inside = QVBoxLayout(middle)
        inside.setContentsMargins(12, 10, 12, 10)
        inside.addWidget(self._splitter)
        whole = QWidget()
        rows = QVBoxLayout(whole)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(middle, 1)
        rows.addWidget(self.transport)
        self.setCentralWidget(whole)

    def _make_menus(self) -> None:
        actions, bar = self.actions_, self.header.menus
        layout: tuple[tuple[str, tuple[str, ...]], ...] = (
            (
                N_("&File"),
                ("new", "open", "recent", "import_data", "", "save", "save_as", "save_lane", "", "export", "", "quit"),
            ),
            (
                N_("&Edit"),
                ("undo", "redo", "", "copy_lane", "fork", "remove_lane", "next_lane", "", "data", "training"),
            ),
            (
                N_("&Train"),
                (
                    *("play", "slower", "faster", "", "operation_forward", "operation_back", "minibatch_forward"),
                    *(
                        "minibatch_back",
                        "epoch_forward",
                        "epoch_back",
                        "",
                        "start",
                        "newest",
                        "",
                        "find_rate",
                        "",
                        "restart",
                    ),
                ),
            ),
            (
                N_("&View"),
                ("panels", "", "system_theme", "light_theme", "dark_theme", "", "full_screen", "reset_layout"),
            ),
            (N_("&Help"), ("shortcuts", "show_log", "", "about")),
        )
        self._recent = QMenu(self)
        self._recent.aboutToShow.connect(self._fill_recent)
        self._menus: list[tuple[QMenu, str]] = [(self._recent, N_("Open &recent"))]
        for title, names in layout:
            menu = bar.addMenu(_(title))
            menu.setToolTipsVisible(True)
            self._menus.append((menu, title))
            for name in names:
                if name == "recent":
                    menu.addMenu(self._recent)
                elif name == "panels":
                    menu.addActions(self.panels.toggle_actions())
                elif name:
                    menu.addAction(actions[name])
                else:
                    menu.addSeparator()
        for menu, title in self._menus:
            menu.setTitle(_(title))

    def _connect(self) -> None:
        actions, session, documents = self.actions_, self.session, self.documents
        undo = session.undo_stack
        for name, does in {
            "new": documents.new,
            "open": documents.choose,
            "import_data": documents.choose_data,
            "save": documents.save,
            "save_as": documents.save_as,
            "save_lane": documents.save_lane,
            "export": self._export,
            "quit": self.close,
            "undo": undo.undo,
            "redo": undo.redo,
            "copy_lane": session.add_lane,
            "fork": session.fork_here,
            "remove_lane": lambda: session.remove_lane(session.selected_lane),
            "next_lane": lambda: session.select(lane=(session.selected_lane + 1) % len(session.lanes)),
            "play": lambda: session.pause() if session.playing else session.play(),
            "start": lambda: session.scrub(0),
            "newest": lambda: session.scrub(session.end),
            "restart": session.restart,
            "find_rate": self._find_rate,
            "slower": lambda: self.transport.change_speed(-1),
            "faster": lambda: self.transport.change_speed(1),
            "data": lambda: session.select(card="data"),
            "training": lambda: session.select(card="training"),
            "toggle_theme": self.look.toggle,
            "system_theme": lambda: self.look.choose("system"),
            "light_theme": lambda: self.look.choose("light"),
            "dark_theme": lambda: self.look.choose("dark"),
            "full_screen": self._toggle_full_screen,
            "reset_layout": self._reset_layout,
            "shortcuts": lambda: self._show_dialog(ShortcutsDialog(self)),
            "show_log": lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_file().parent))),
            "about": lambda: self._show_dialog(AboutDialog(self)),
        }.items():
            actions.on(name, does)
        units: tuple[Unit, ...] = ("operation", "minibatch", "epoch")
        for unit in units:
            actions.on(f"{unit}_forward", partial(session.forward, unit))
            actions.on(f"{unit}_back", partial(session.back, unit))
        undo.canUndoChanged.connect(self._refresh_edits)
        undo.canRedoChanged.connect(self._refresh_edits)
        undo.indexChanged.connect(self._refresh_edits)
        session.state_changed.connect(self._retitle)
        session.state_changed.connect(self._show_diagnosis)
        session.state_changed.connect(self._keep_thresholds)
        self.diagnosis.pressed.connect(lambda: self.panels.show_named("autopsy"))
        self.diagnosis.tried.connect(self._try_remedy)
        self.lanes.doctor_wanted.connect(self._show_doctor)
        session.lanes_changed.connect(self._retitle)
        session.lanes_changed.connect(self._refresh_edits)
        self.network.import_wanted.connect(documents.import_data)
        documents.said.connect(lambda text: self.message.say(text, warning=True))
        documents.opened.connect(self._document_opened)
        documents.recent_changed.connect(self._retitle)
        self.watch.closed.connect(lambda: self.settings.write("lesson_text_closed", True))
        self.look.changed.connect(self._restyle)
        self._refresh_edits()

    # --- following the session

    def _refresh_edits(self) -> None:
        actions, undo = self.actions_, self.session.undo_stack
        for name, can, text, plain in (
            ("undo", undo.canUndo(), undo.undoText(), _("&Undo")),
            ("redo", undo.canRedo(), undo.redoText(), _("&Redo")),
        ):
            actions[name].setEnabled(can)
            tip = _(actions.declared[name].tip)
            words = _("{undo}: {edit}").format(undo=plain, edit=text.replace("&", "&&")) if can and text else plain
            actions.say(name, words, tip)
        several = len(self.session.lanes) > 1
        actions["remove_lane"].setEnabled(several)
        actions["next_lane"].setEnabled(several)
        room = len(self.session.lanes) < MOST_LANES
        actions["copy_lane"].setEnabled(room)
        actions["find_rate"].setEnabled(room)

    def _retitle(self) -> None:
        session, actions = self.session, self.actions_
        name = session.lanes[0].experiment.name or (Path(session.file).stem if session.file else _("unnamed"))
        self.setWindowTitle(f"{name}[*] – Layerscope")
        self.setWindowModified(session.modified)
        playing = session.playing
        if actions["play"].property("playing") != playing:
            actions["play"].setProperty("playing", playing)
            self._draw_play()

    def _show_diagnosis(self) -> None:
        """Say what ended a training, as long as it stands there."""
        if self.session.diagnosis != self._diagnosed:
            self._diagnosed = self.session.diagnosis
            remedy = self.session.remedies[0].text if self.session.remedies else ""
            self.diagnosis.say(self._diagnosed, warning=True, button=_("Autopsy"), trial=remedy)

    def _try_remedy(self) -> None:
        """Put the autopsy's first proposal beside the lane that failed."""
        if self.session.remedies:
            refused = self.session.try_proposal(self.session.remedies[0], "nonfinite", self.session.failed_lane)
            self.message.say(refused, warning=True)

    def _show_doctor(self, lane: int) -> None:
        """Show what is wrong with a lane."""
        self.session.select(lane=lane)
        self.panels.show_named("doctor")

    def _keep_thresholds(self) -> None:
        text = to_text(self.session.rules)
        if text != self.settings.thresholds:
            self.settings.write("thresholds", text)

    def _draw_play(self) -> None:
        playing = self.session.playing
        declared = self.actions_.declared["play"]
        text, tip = (_("&Pause"), _("Stop after this step")) if playing else (_(declared.text), _(declared.tip))
        self.actions_.say("play", text, tip)
        self.actions_["play"].setIcon(theme.icon("pause" if playing else "play", theme.on_accent(theme.current())))

    def _document_opened(self) -> None:
        lesson = self.documents.lesson
        self.message.say("")
        self.lanes.offer(lesson.lanes[1:] if lesson else ())
        closed = self.settings.watched and not self._painted
        self.watch.say(lesson.text if lesson and not closed else "", lesson.title if lesson else "")

    def _restyle(self) -> None:
        """The theme has changed: draw anew what the palette does not reach."""
        self.actions_.draw()
        self._draw_play()
        dark = theme.current().name == "dark"
        self.actions_["toggle_theme"].setIcon(theme.icon("sun" if dark else "moon"))
        for choice in theme.CHOICES:
            self.actions_[f"{choice}_theme"].setChecked(self.look.choice == choice)
        self.message.draw()
        self.diagnosis.draw()
        self.watch.draw()
        self.lanes.redraw()
        self.settings.write("look", self.look.choice)

    # --- what the actions do here

    def _export(self) -> None:
        from .dialogs.export import ExportDialog

        self._show_dialog(ExportDialog(self.session, self.panels.visible_panels(), self))

    def _find_rate(self) -> None:
        self.session.add_lane(rate_search(self.session.lane.experiment))
        self.panels.show_named("learning-rate-range")
        if not self.session.playing and self.session.position == 0:
            self.session.play()

    def _show_dialog(self, dialog: QDialog) -> None:
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.exec()

    def _toggle_full_screen(self) -> None:
        self.setWindowState(self.windowState() ^ Qt.WindowState.WindowFullScreen)

    def _fill_recent(self) -> None:
        self._recent.clear()
        paths = self.settings.recent
        for path in paths:
            action = self._recent.addAction(Path(path).name.replace("&", "&&"), partial(self.documents.open, path))
            action.setToolTip(path)
        if not paths:
            self._recent.addAction(_("nothing opened yet")).setEnabled(False)

    def _reset_layout(self) -> None:
        self.settings.forget_layout()
        self.panels.reset()
        self._splitter.setSizes([NETWORK_WIDTH, max(1, self._splitter.width() - NETWORK_WIDTH)])

    # --- what is remembered

    def _restore_layout(self) -> None:
        settings = self.settings
        self.resize(1440, 900)
        geometry = settings.state("geometry")
        if not geometry.isEmpty():
            self.restoreGeometry(geometry)
        state = settings.state("columns")
        if not state.isEmpty():
            self._splitter.restoreState(state)
            self._splitter.setChildrenCollapsible(False)
            self._splitter.setHandleWidth(10)
        panels = settings.state("panels")
        if not panels.isEmpty() and not self.panels.restore_state(bytes(panels.data())):
            self.panels.reset()
        self.session.set_speed(settings.speed)
        self.session.set_rules(from_text(settings.thresholds))

    def _remember(self) -> None:
        settings = self.settings
        settings.write_state("geometry", self.saveGeometry())
        settings.write_state("columns", self._splitter.saveState())
        settings.write_state("panels", QByteArray(self.panels.save_state()))
        settings.write("speed", str(self.session.speed))
        settings.sync()
        self.documents.remember()

    # --- events

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if not self._painted:
            # Compilers and the like are loaded only now, when there is something to look at.
            self._painted = True
            QTimer.singleShot(0, self.session.start)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event.mimeData()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _dropped(event.mimeData())
        if path:
            event.acceptProposedAction()
            # after the drop is over: a question would block the program that the file comes from
            opens = self.documents.import_file if kind_for(path) is not None else self.documents.open
            QTimer.singleShot(0, lambda: opens(path))

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.documents.may_discard():
            event.ignore()
            return
        self._remember()
        self.session.pause()
        self.session.close()
        event.accept()


def _dropped(content: QMimeData) -> str:
    """The one local file that is dropped, or ""."""
    urls = content.urls()
    return urls[0].toLocalFile() if len(urls) == 1 and urls[0].isLocalFile() else ""
