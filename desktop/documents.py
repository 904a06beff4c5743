"""Documents are files on disk and lessons: opening, saving, asking about unsaved work, coming back after a restart."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from layerscope.core.data.base import DataSet
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, from_json, load, to_json, with_data_paths
from layerscope.core.fields import describe
from layerscope.core.files import write_whole
from layerscope.core.lessons import LESSONS
from layerscope.core.lessons.base import Lesson
from layerscope.core.lineage import Origin
from layerscope.core.text import _

from .dialogs.importers import IMPORTERS, kind_for
from .dialogs.unsaved import ask_about_unsaved
from .places import session_file
from .session import Session, empty_experiment
from .settings import Settings

log = logging.getLogger(__name__)

FIRST_LESSON = "vanishing-gradients"
SESSION_FORMAT = 1


def _plain(origin: Origin | None) -> Any:
    """Where a lane was forked from, as JSON values: not its weights, which are computed again from that."""
    if origin is None:
        return None
    parent = json.loads(to_json(origin.parent))
    return {"parent": parent, "step": origin.step, "events": origin.events, "origin": _plain(origin.origin)}


def _origin(plain: Any) -> Origin | None:
    if plain is None:
        return None
    events = tuple((int(step), str(path), float(value)) for step, path, value in plain["events"])
    parent = from_json(json.dumps(plain["parent"]).encode())
    return Origin(parent, max(0, int(plain["step"])), events, _origin(plain["origin"]))


class Documents(QObject):
    """Moves documents between disk and session."""

    said = Signal(str)  # one line for the window's message bar: what could not be opened or saved, and why
    opened = Signal()  # another document is open
    recent_changed = Signal()

    def __init__(self, session: Session, settings: Settings, window: QWidget):
        super().__init__(window)
        self._session, self._settings, self._window = session, settings, window
        self.lesson: Lesson | None = None

    # --- what is opened at the start

    def begin(self, path: str | None) -> None:
        """The given file; or what was open last; or, the very first time, a lesson."""
        if path is not None:
            self._show_lesson_or_empty()
            self.open(path, ask=False)
        elif not self._restore():
            self._show_lesson_or_empty()

    def _show_lesson_or_empty(self) -> None:
        if FIRST_LESSON in LESSONS:
            self.open_lesson(FIRST_LESSON, ask=False)
        else:
            self.new(ask=False)

    def remember(self) -> None:
        """Write down the lanes as they are, for the next start."""
        session = self._session
        state = {
            "format": SESSION_FORMAT,
            "file": session.file,
            "modified": session.modified,
            "lesson": self.lesson.name if self.lesson else "",
            "lanes": [json.loads(to_json(lane.experiment)) for lane in session.lanes],
            "origins": [_plain(lane.origin) for lane in session.lanes],
        }
        try:
            write_whole(session_file(), msgspec.json.encode(state))
        except (InputError, OSError) as error:
            log.warning("the session cannot be remembered: %s", error)

    def _restore(self) -> bool:
        """Show what was open last; False when there is nothing that can be shown."""
        try:
            state = json.loads(session_file().read_bytes())
            lanes = [from_json(json.dumps(lane).encode()) for lane in state["lanes"]]
            origins = tuple(_origin(plain) for plain in state.get("origins", ()))
            file, modified, lesson = str(state["file"]), bool(state["modified"]), str(state["lesson"])
            if not lanes or state["format"] != SESSION_FORMAT:
                return False
        except FileNotFoundError:
            return False
        except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError) as error:
            log.warning("the last session cannot be read: %s", error)
            return False
        self.lesson = LESSONS.get(lesson) if lesson in LESSONS else None
        if file and not Path(file).is_file():
            file, modified = "", True
        self._session.show_document(lanes, file, unsaved=modified, origins=origins)
        self.opened.emit()
        return True

    # --- opening

    def new(self, ask: bool = True) -> bool:
        """An empty network."""
        return self._replace([empty_experiment()], "", None, ask)

    def open_lesson(self, name: str, ask: bool = True) -> bool:
        """A lesson's first lane; the others are offered."""
        lesson = LESSONS[name]
        return self._replace([lesson.lanes[0]], "", lesson, ask)

    def choose(self) -> bool:
        """Ask for a file and open it."""
        folder = str(Path(self._session.file).parent) if self._session.file else ""
        path, _kind = QFileDialog.getOpenFileName(
            self._window, _("Open experiment"), folder, _("Experiments (*.json);;All files (*)")
        )
        return bool(path) and self.open(path)

    def open(self, path: str, ask: bool = True) -> bool:
        """Open an experiment file. When it cannot be read, one line says why and everything stays as it is."""
        try:
            experiment = load(path)
        except InputError as error:
            self.said.emit(str(error))
            return False
        if not self._replace([experiment], str(Path(path).resolve()), None, ask):
            return False
        self._add_recent()
        return True

    def _replace(self, experiments: list[Experiment], file: str, lesson: Lesson | None, ask: bool) -> bool:
        if ask and not self.may_discard():
            return False
        self.lesson = lesson
        self._session.show_document(experiments, file)
        self.opened.emit()
        return True

    def may_discard(self) -> bool:
        """Whether what is open may go: it is saved, or the person says so. Asked once."""
        if not self._session.modified:
            return True
        answer = ask_about_unsaved(self._window, self._session.lanes[0].experiment.name)
        if answer == "save":
            return self.save()
        return answer == "discard"

    # --- data

    def choose_data(self) -> bool:
        """Ask for a data file and use it in the selected lane."""
        folder = str(self._session.folder or "")
        patterns = sorted({p for kind in DataSet.registry for field in describe(kind) for p in field.files})
        kinds = _("Data ({patterns});;All files (*)").format(patterns=" ".join(patterns))
        path, _kind = QFileDialog.getOpenFileName(self._window, _("Import data"), folder, kinds)
        return bool(path) and self.import_file(path)

    def import_file(self, path: str) -> bool:
        """Use a data file in the selected lane; one line says why where it is none that is known."""
        data = kind_for(path)
        if data is None:
            self.said.emit(_("{name}: no kind of data reads files of this name").format(name=Path(path).name))
            return False
        own = self._session.lane.experiment.data
        # how much is kept aside, and how it is scaled, stays as it was
        shared = {field.name for field in describe(DataSet)}
        kept = {name: getattr(own, name) for name in shared if hasattr(own, name)}
        return self.import_data(msgspec.structs.replace(data, **kept))

    def import_data(self, data: DataSet) -> bool:
        """Look into the file where there is a dialog for it, and use what comes of it: one undo step."""
        session = self._session
        if (ask := IMPORTERS.get(type(data))) is not None:
            dialog = ask(data, session.folder, self._window)
            accepted = dialog.exec()
            data = dialog.data
            dialog.deleteLater()
            if not accepted:
                return False
        experiment = msgspec.structs.replace(session.lane.experiment, data=data)
        if session.folder is not None:
            experiment = with_data_paths(experiment, session.folder, session.folder)
        session.edit(experiment, _("use data of a file"))
        session.select(card="data")
        return True

    # --- saving

    def save(self) -> bool:
        """Write lane A into its file; asks for one where there is none."""
        if not self._session.file:
            return self.save_as()
        return self._write(self._session.file, self._session.lanes[0].experiment, document=True)

    def save_as(self) -> bool:
        """Ask for a file and write lane A into it."""
        return self._ask_and_write(self._session.lanes[0].experiment, document=True)

    def save_lane(self) -> bool:
        """Ask for a file and write the selected lane into it."""
        return self._ask_and_write(self._session.lane.experiment, document=self._session.selected_lane == 0)

    def _ask_and_write(self, experiment: Experiment, document: bool) -> bool:
        name = "".join(c if c.isalnum() or c in "-_ " else "-" for c in experiment.name).strip() or "experiment"
        folder = Path(self._session.file).parent if self._session.file else Path.home()
        path, _kind = QFileDialog.getSaveFileName(
            self._window, _("Save experiment"), str(folder / f"{name}.json"), _("Experiments (*.json)")
        )
        if not path:
            return False
        if not Path(path).suffix:
            path += ".json"
        return self._write(path, experiment, document)

    def _write(self, path: str, experiment: Experiment, document: bool) -> bool:
        try:
            folder = Path(path).resolve().parent
            experiment = with_data_paths(experiment, self._session.folder, folder)
            write_whole(Path(path), to_json(experiment))
        except InputError as error:
            self.said.emit(str(error))
            return False
        if document:
            self._session.saved_as(str(Path(path).resolve()), experiment)
            self._add_recent()
        return True

    def _add_recent(self) -> None:
        self._settings.add_recent(self._session.file)
        self.recent_changed.emit()
