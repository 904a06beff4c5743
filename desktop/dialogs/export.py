"""The export dialog: the figures as they are shown, as files for slides, papers and posters.

The figures are taken when the dialog opens, so that training may go on and what is saved is the moment that was meant.
Drawing happens in the thread for figures (`panels/rendering.py`); the window never waits for it.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QSettings, QSize, QStandardPaths, Qt, QTimer, QUrl
from PySide6.QtGui import QCloseEvent, QDesktopServices, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from layerscope.core.errors import InputError
from layerscope.core.figures.export import FORMATS, PRESETS, Preset, render, render_png, save
from layerscope.core.figures.figure import Figure
from layerscope.core.figures.palette import THEMES
from layerscope.core.files import folder_for, write_whole
from layerscope.core.text import _, ngettext

from ..panels.base import Panel
from ..panels.rendering import Work
from ..places import settings_file
from ..roles import RoleLabel
from ..session import Session

log = logging.getLogger(__name__)

ALL_FORMATS = (*FORMATS, "csv")
PATTERN = "{experiment}-{figure}-step-{step}"
PREVIEW_PIXELS = 900  # across
LONGEST_NAME = 120  # characters; file systems allow 255 bytes
FORBIDDEN = set('<>:"/\\|?*')
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}


@dataclass(frozen=True)
class Job:
    """One file to write: a figure, or several on one page."""

    figures: tuple[Figure, ...]
    path: Path
    form: str
    preset: str
    theme: str

    def write(self) -> Path:
        if len(self.figures) == 1:
            return save(self.figures[0], self.path, self.form, self.preset, self.theme)
        write_whole(self.path, render(self.figures, self.form, self.preset, self.theme))
        return self.path


def file_name(pattern: str, figure: Figure, several: bool = False, name: str = "") -> str:
    """A name without ending that every system takes, from a pattern with {figure} and the like.

    several   there are other files with the same pattern, so the figure's name must be in it
    name      in place of the figure's
    """
    known = {
        "experiment": figure.stamp.get("experiment", "").split(";")[0].removeprefix("A: ") or "layerscope",
        "figure": name or figure.name,
        "step": figure.stamp.get("step", "0"),
        "seed": figure.stamp.get("seed", "").split(";")[0].removeprefix("A: "),
        "hash": figure.stamp.get("hash", "").split(";")[0].removeprefix("A: "),
    }
    pattern = pattern.strip() or PATTERN
    if several and "{figure}" not in pattern:
        pattern += "-{figure}"
    text = pattern
    for key, value in known.items():
        text = text.replace("{" + key + "}", value)
    text = unicodedata.normalize("NFC", text)
    text = "".join("-" if c in FORBIDDEN or not c.isprintable() or c.isspace() else c for c in text)
    while "--" in text:
        text = text.replace("--", "-")
    text = text.strip("-. ")[:LONGEST_NAME].rstrip("-. ")
    return f"{text}-" if text.lower().split(".")[0] in RESERVED else text or "figure"


class Preview(QLabel):
    """A picture that keeps its shape in whatever room there is."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels = QPixmap()
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)
        self.setMinimumSize(QSize(320, 200))
        self.setFrameShape(QFrame.Shape.StyledPanel)

    def show_picture(self, content: bytes) -> None:
        self.pixels = QPixmap()
        self.pixels.loadFromData(content)
        self._fit()

    def _fit(self) -> None:
        if not self.pixels.isNull():
            ratio = self.devicePixelRatioF()
            room = self.contentsRect().size() * ratio
            fitted = self.pixels.scaled(
                room, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation
            )
            fitted.setDevicePixelRatio(ratio)
            self.setPixmap(fitted)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()


class ExportDialog(QDialog):
    """See the module's sentence.

    panels   those that are shown
    chosen   the one whose menu asked; None: all of them are meant
    """

    def __init__(
        self, session: Session, panels: Sequence[Panel], parent: QWidget | None = None, chosen: Panel | None = None
    ):
        super().__init__(parent)
        self.session = session
        self.setWindowTitle(_("Export figures"))
        self._figures: list[Figure] = [panel.figure for panel in panels]
        self._shown_theme = panels[0].view.theme.name if panels else "light"
        self._jobs: list[Job] = []
        self._written: list[Path] = []
        self._work: Work | None = None
        self._preview_work: Work | None = None
        self._preview_stale = False
        self._settings = QSettings(str(settings_file()), QSettings.Format.IniFormat)
        self._debounce = QTimer(self, singleShot=True, interval=120)
        self._debounce.timeout.connect(self._render_preview)
        self._make(panels, chosen)
        self._restore()
        self.changed()

    # --- what is on it

    def _make(self, panels: Sequence[Panel], chosen: Panel | None) -> None:
        self.panel_boxes: list[QCheckBox] = []
        which = QVBoxLayout()
        which.setSpacing(4)
        for panel in panels:
            box = QCheckBox(panel.title)
            box.setChecked(chosen is None or panel is chosen)
            box.toggled.connect(self.changed)
            self.panel_boxes.append(box)
            which.addWidget(box)
        self.page = QCheckBox(_("and one page with all of them"))
        self.page.toggled.connect(self.changed)
        which.addWidget(self.page)

        formats = QHBoxLayout()
        self.format_boxes: dict[str, QCheckBox] = {}
        tips = {
            "png": _("pixels, for every program"),
            "svg": _("vector, text stays text; for web pages and drawing programs"),
            "pdf": _("vector, fonts embedded; for slides and papers"),
            "csv": _("the numbers behind the figure"),
        }
        for form in ALL_FORMATS:
            box = QCheckBox(form.upper())
            box.setToolTip(tips[form])
            box.toggled.connect(self.changed)
            self.format_boxes[form] = box
            formats.addWidget(box)
        formats.addStretch(1)

        self.preset = QComboBox()
        for preset in PRESETS.values():
            self.preset.addItem(_(preset.label), preset.name)
        self.preset.currentIndexChanged.connect(self.changed)
        self.theme = QComboBox()
        self.theme.addItem(_("as shown"), "")
        for theme in THEMES.values():
            self.theme.addItem(_(theme.label), theme.name)
        self.theme.currentIndexChanged.connect(self.changed)

        self.folder = QLineEdit()
        self.folder.textChanged.connect(self.changed)
        browse = QPushButton(_("Choose…"))
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        where = QHBoxLayout()
        where.addWidget(self.folder, 1)
        where.addWidget(browse)
        self.pattern = QLineEdit()
        self.pattern.setToolTip(_("{experiment}, {figure}, {step}, {seed} and {hash} are replaced"))
        self.pattern.textChanged.connect(self.changed)
        self.example = RoleLabel("", "muted", 0.92)

        rows = QFormLayout()
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        rows.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        rows.setVerticalSpacing(10)
        folder = QLabel(_("Fol&der"))
        folder.setBuddy(self.folder)
        for text, content in (
            (_("Figures"), which),
            (_("Formats"), formats),
            (_("&Size"), self.preset),
            (_("&Colors"), self.theme),
            (folder, where),
            (_("&Name"), self.pattern),
            ("", self.example),
        ):
            rows.addRow(text, content)
        for edit, name in (
            (self.preset, _("Size")),
            (self.theme, _("Colors")),
            (self.folder, _("Folder")),
            (self.pattern, _("Name")),
        ):
            edit.setAccessibleName(name)
        left = QWidget()
        left.setLayout(rows)
        left.setMaximumWidth(420)

        self.preview = Preview()
        self.preview_choice = QComboBox()
        self.preview_choice.setAccessibleName(_("Preview"))
        self.preview_choice.currentIndexChanged.connect(self._preview_wanted)
        self.caption = RoleLabel("", "muted", 0.92)
        right = QVBoxLayout()
        right.addWidget(self.preview_choice)
        right.addWidget(self.preview, 1)
        right.addWidget(self.caption)

        top = QHBoxLayout()
        top.setSpacing(18)
        top.addWidget(left)
        top.addLayout(right, 1)

        self.message = RoleLabel("", "muted")
        self.open_folder = QPushButton(_("Open folder"))
        self.open_folder.setAutoDefault(False)
        self.open_folder.clicked.connect(self._open_folder)
        self.open_folder.hide()
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumWidth(140)
        self.progress.hide()
        self.export_button = QPushButton(_("Export"))
        self.export_button.setDefault(True)
        self.export_button.clicked.connect(self.export)
        self.close_button = QPushButton(_("Close"))
        self.close_button.setAutoDefault(False)
        self.close_button.clicked.connect(self.reject)
        bottom = QHBoxLayout()
        bottom.addWidget(self.message, 1)
        bottom.addWidget(self.progress)
        bottom.addWidget(self.open_folder)
        bottom.addWidget(self.export_button)
        bottom.addWidget(self.close_button)

        column = QVBoxLayout(self)
        column.setContentsMargins(18, 16, 18, 14)
        column.setSpacing(14)
        column.addLayout(top, 1)
        column.addLayout(bottom)
        self.resize(960, 520)

    # --- what is chosen

    def _restore(self) -> None:
        def read(key: str, default: str) -> str:
            try:
                return str(self._settings.value(f"export/{key}", default, type=str))
            except (TypeError, ValueError):
                return default

        chosen = read("formats", "pdf").split(",")
        for form, box in self.format_boxes.items():
            box.setChecked(form in chosen)
        for combo, key, default in ((self.preset, "preset", "slide"), (self.theme, "theme", "")):
            combo.setCurrentIndex(max(0, combo.findData(read(key, default))))
        self.page.setChecked(read("page", "no") == "yes")
        usual = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.DocumentsLocation)
        self.folder.setText(read("folder", usual or str(Path.home())))
        self.pattern.setText(read("pattern", PATTERN))
        for field in (self.folder, self.pattern):
            field.setCursorPosition(0)  # a name that is too long is read from its beginning

    def _remember(self) -> None:
        for key, value in {
            "formats": ",".join(form for form, box in self.format_boxes.items() if box.isChecked()),
            "preset": self.preset.currentData(),
            "theme": self.theme.currentData(),
            "page": "yes" if self.page.isChecked() else "no",
            "folder": self.folder.text(),
            "pattern": self.pattern.text(),
        }.items():
            self._settings.setValue(f"export/{key}", value)

    @property
    def chosen_theme(self) -> str:
        return self.theme.currentData() or self._shown_theme

    @property
    def chosen_preset(self) -> Preset:
        return PRESETS[self.preset.currentData()]

    def chosen_figures(self) -> list[Figure]:
        """The figures that are checked."""
        return [figure for figure, box in zip(self._figures, self.panel_boxes, strict=True) if box.isChecked()]

    def jobs(self) -> list[Job]:
        """The files that an export would write now."""
        folder = Path(self.folder.text().strip()).expanduser()
        forms = [form for form, box in self.format_boxes.items() if box.isChecked()]
        figures = self.chosen_figures()
        preset, theme = self.chosen_preset.name, self.chosen_theme
        several = len(figures) > 1
        found = []
        for figure in figures:
            name = file_name(self.pattern.text(), figure, several)
            found += [Job((figure,), folder / f"{name}.{form}", form, preset, theme) for form in forms]
        if several and self.page.isChecked():
            name = file_name(self.pattern.text(), figures[0], several, "all")
            found += [
                Job(tuple(figures), folder / f"{name}.{form}", form, preset, theme) for form in forms if form != "csv"
            ]
        return found

    def changed(self) -> None:
        """Something was chosen: say what will be written, and show how it will look."""
        figures = self.chosen_figures()
        self.page.setEnabled(len(figures) > 1)
        jobs = self.jobs()
        there = sum(job.path.is_file() and job.path not in self._written for job in jobs)
        if jobs:
            text = jobs[0].path.name
            if len(jobs) > 1:
                more = len(jobs) - 1
                text += " " + ngettext("and {count} more", "and {count} more", more).format(count=more)
            if there:
                text += "\n" + ngettext(
                    "{count} file is there already and will be replaced",
                    "{count} files are there already and will be replaced",
                    there,
                ).format(count=there)
            self.example.setText(text)
        else:
            self.example.setText(_("Choose at least one figure and one format."))
        self.export_button.setEnabled(bool(jobs) and bool(self.folder.text().strip()) and self._work is None)
        preset = self.chosen_preset
        height = max((preset.height + preset.more * max(0, len(f.plots) - 1) for f in figures), default=preset.height)
        self.caption.setText(
            _("{width} × {height} cm · {x} × {y} pixels as PNG").format(
                width=f"{2.54 * preset.width:.1f}",
                height=f"{2.54 * height:.1f}",
                x=round(preset.width * preset.dpi),
                y=round(height * preset.dpi),
            )
        )
        self._list_previews(figures)
        self._preview_wanted()

    # --- preview

    def _list_previews(self, figures: Sequence[Figure]) -> None:
        names = [figure.name for figure in figures]
        now = self.preview_choice.currentData()
        if [self.preview_choice.itemData(i) for i in range(self.preview_choice.count())] != names:
            self.preview_choice.blockSignals(True)  # what it shows is decided here, once
            self.preview_choice.clear()
            for figure in figures:
                self.preview_choice.addItem(figure.title, figure.name)
            self.preview_choice.setCurrentIndex(max(0, self.preview_choice.findData(now)))
            self.preview_choice.blockSignals(False)
        self.preview_choice.setVisible(len(names) > 1)

    def _preview_wanted(self) -> None:
        self._debounce.start()

    def _render_preview(self) -> None:
        if self._preview_work is not None or self._work is not None:
            self._preview_stale = True
            return
        self._preview_stale = False
        figure = next((f for f in self.chosen_figures() if f.name == self.preview_choice.currentData()), None)
        if figure is None:
            return
        preset, theme = self.chosen_preset.name, self.chosen_theme
        dpi = max(20, round(PREVIEW_PIXELS / self.chosen_preset.width))
        self._preview_work = Work(lambda: render_png(figure, preset, theme, dpi), self)
        self._preview_work.done.connect(self._preview_done)
        self._preview_work.failed.connect(self._preview_failed)

    def _preview_done(self, content: bytes) -> None:
        self._preview_work = None
        self.preview.show_picture(content)
        self.preview.setAccessibleName(self.preview_choice.currentText())
        if self._preview_stale:
            self._render_preview()

    def _preview_failed(self, error: BaseException) -> None:
        self._preview_work = None
        log.error("preview", exc_info=error)
        self.preview.setText(_("no preview: {reason}").format(reason=error))

    # --- export

    def export(self) -> None:
        """Write the files, one after the other."""
        if self._work is not None:
            return
        self._jobs = self.jobs()
        self._written = []
        if not self._jobs:
            return
        try:
            folder_for(self._jobs[0].path.parent)
        except InputError as error:
            self._say(str(error), "alarm")
            return
        self._remember()
        self.open_folder.hide()
        self.progress.setRange(0, len(self._jobs))
        self.progress.setValue(0)
        self.progress.show()
        self.export_button.setEnabled(False)
        self.close_button.setText(_("Stop"))
        self._next()

    def _next(self) -> None:
        if not self._jobs:
            self._finish()
            return
        job = self._jobs.pop(0)
        self._say(_("writing {name} …").format(name=job.path.name))
        self._work = Work(job.write, self)
        self._work.done.connect(self._job_done)
        self._work.failed.connect(self._job_failed)

    def _job_done(self, path: Path) -> None:
        self._written.append(path)
        self.progress.setValue(len(self._written))
        self._work = None
        self._next()

    def _job_failed(self, error: BaseException) -> None:
        self._work = None
        self._jobs = []
        if not isinstance(error, InputError):
            log.error("export", exc_info=error)
        self._finish(str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}")

    def _finish(self, problem: str = "") -> None:
        self.progress.hide()
        self.close_button.setText(_("Close"))
        count = len(self._written)
        said = ngettext("{count} file written to {folder}", "{count} files written to {folder}", count)
        said = said.format(count=count, folder=self._written[0].parent if self._written else "")
        if problem:
            self._say(f"{problem} ({said})" if count else problem, "alarm")
        else:
            self._say(said, "good")
        self.open_folder.setVisible(count > 0)
        self.changed()

    def _say(self, sentence: str, role: str = "muted") -> None:
        self.message.set_role(role)
        self.message.setText(sentence)

    def _open_folder(self) -> None:
        if self._written:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written[0].parent)))

    def _browse(self) -> None:
        chooser = QFileDialog(self, _("Folder for the figures"), self.folder.text())
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setOption(QFileDialog.Option.ShowDirsOnly)
        chooser.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        chooser.fileSelected.connect(self.folder.setText)
        chooser.open()

    # --- closing

    def reject(self) -> None:
        """Close; while files are being written, stop after the one that is being written."""
        if self._work is not None:
            self._jobs = []
            return
        super().reject()

    def closeEvent(self, event: QCloseEvent) -> None:
        self._jobs = []
        super().closeEvent(event)
