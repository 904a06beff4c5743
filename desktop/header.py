"""The header row: what program this is, which experiment is open, and the doors to lessons, settings and export."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import msgspec
from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QMenu, QMenuBar, QPushButton, QVBoxLayout, QWidget

from layerscope.core.lessons import LESSONS
from layerscope.core.text import _

from .actions import Actions
from .labels import ActionButton, thin_line
from .session import Session


class Header(QFrame):
    """See the module's sentence. The menus live here too, except on macOS, where they belong to the screen's top."""

    def __init__(
        self, session: Session, actions: Actions, open_lesson: Callable[[str], object], parent: QWidget | None = None
    ):
        super().__init__(parent)
        self._session = session
        self._open_lesson = open_lesson
        self.setProperty("surface", "bar")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        row = QHBoxLayout()
        row.setContentsMargins(14, 6, 14, 6)
        row.setSpacing(8)
        outer.addLayout(row)
        outer.addWidget(thin_line())

        name = QLabel("Layerscope")
        font = name.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.3)
        name.setFont(font)
        row.addWidget(name)
        self.menus = QMenuBar() if sys.platform == "darwin" else QMenuBar(self)
        if sys.platform != "darwin":
            self.menus.setNativeMenuBar(False)
            row.addWidget(self.menus, 0, Qt.AlignmentFlag.AlignVCenter)
        self.title = QLineEdit()
        self.title.setProperty("kind", "title")
        self.title.setMaxLength(200)
        self.title.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.title.editingFinished.connect(self._rename)
        self.title.returnPressed.connect(self.title.clearFocus)
        row.addWidget(self.title, 1)

        self._lessons = QMenu(self)
        self._lessons.setToolTipsVisible(True)
        self._lessons.aboutToShow.connect(self._fill_lessons)
        self.lessons = QPushButton()
        self.lessons.setProperty("kind", "quiet")
        self.lessons.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.lessons.setMenu(self._lessons)
        row.addWidget(self.lessons)
        for action in ("data", "training", "export"):
            row.addWidget(ActionButton(actions[action]))
        look = ActionButton(actions["toggle_theme"], words=False)
        look.setIconSize(QSize(16, 16))
        row.addWidget(look)
        session.lanes_changed.connect(self.refresh)
        self.write()
        self.refresh()

    def write(self) -> None:
        """Put the words into place, in the present language."""
        self.lessons.setText(_("Lessons"))
        self.lessons.setToolTip(_("Open a prepared experiment with what to watch in it"))
        self.title.setPlaceholderText(_("name of the experiment"))
        self.title.setAccessibleName(_("name of the experiment"))
        self.title.setToolTip(_("The experiment's name; it appears on figures and in files"))

    def refresh(self) -> None:
        """Show the name of lane A's experiment."""
        name = self._session.lanes[0].experiment.name
        if self.title.text() != name:
            self.title.setText(name)
            self.title.setCursorPosition(0)

    def _rename(self) -> None:
        experiment = self._session.lanes[0].experiment
        renamed = msgspec.structs.replace(experiment, name=self.title.text().strip())
        self._session.edit(renamed, _("rename the experiment"), lane=0, merge="name")

    def _fill_lessons(self) -> None:
        self._lessons.clear()
        for name in LESSONS.names():
            lesson = LESSONS[name]
            action = self._lessons.addAction(lesson.title, partial(self._open_lesson, name))
            action.setToolTip(lesson.text)
