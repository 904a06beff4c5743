"""A table of one's own is looked at before it is used: what was found, the first rows, which column is predicted."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from PySide6.QtCore import Qt, QThread, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QDialogButtonBox,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from layerscope.core.data.csv import Csv, Preview, joined, preview
from layerscope.core.errors import InputError
from layerscope.core.fields import build, describe
from layerscope.core.text import N_, _, ngettext

from ..forms import Choice, Form
from ..roles import RoleLabel, tint

HOW = ("path", "task", "missing", "delimiter", "decimal", "header")  # what is asked beside the table
USES = {"input": N_("input"), "target": N_("target"), "left out": N_("left out")}
FOUND = {
    "comma": N_("comma"),
    "semicolon": N_("semicolon"),
    "tab": N_("tab"),
    "bar": N_("bar"),
    "space": N_("space"),
    "point": N_("point"),
}


class Reader(QThread):
    """Reads a file beside the window's thread.

    done   (the settings that were read with, what was found or an InputError)
    """

    done = Signal(object, object)

    def __init__(self, data: Csv, folder: Path | None, parent: QWidget):
        super().__init__(parent)
        self._data, self._folder = data, folder

    def run(self) -> None:
        try:
            found: Any = preview(self._data, self._folder)
        except InputError as error:
            found = error
        self.done.emit(self._data, found)


class TableDialog(QDialog):
    """See the module's sentence. `data` is what the person wants, with everything spelled out that was found."""

    def __init__(self, data: Csv, folder: Path | None, parent: QWidget | None = None):
        super().__init__(parent)
        self.data, self._folder = data, folder
        self.found: Preview | None = None
        self.readers: list[Reader] = []
        self._proposed = bool(data.target or data.leave_out)
        self.setWindowTitle(_("Table"))
        self.resize(760, 560)
        column = QVBoxLayout(self)
        column.setSpacing(10)
        skip = tuple(field.name for field in describe(Csv) if field.name not in HOW)
        self.form = Form(data, skip=skip)
        self.form.changed.connect(self._changed)
        column.addWidget(self.form)
        self.summary = RoleLabel(_("reading…"), "muted")
        column.addWidget(self.summary)
        self.table = QTableWidget(0, 0)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setAccessibleName(_("First rows of the table"))
        self.table.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.uses: list[Choice] = []
        column.addWidget(self.table, 1)
        self.problems = RoleLabel("", "alarm")
        self.problems.setObjectName("problem")
        column.addWidget(self.problems)
        self.outcome = RoleLabel("", "text", bold=True)
        column.addWidget(self.outcome)
        buttons = QDialogButtonBox()
        self.use = buttons.addButton(_("Use this table"), QDialogButtonBox.ButtonRole.AcceptRole)
        self.use.setProperty("kind", "primary")
        buttons.addButton(_("Cancel"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column.addWidget(buttons)
        self._read()

    # --- reading

    def _read(self) -> None:
        self.use.setEnabled(False)
        reader = Reader(self.data, self._folder, self)
        reader.done.connect(self._show, Qt.ConnectionType.QueuedConnection)
        reader.finished.connect(partial(self._forget, reader))
        self.readers.append(reader)
        reader.start()

    def _forget(self, reader: Reader) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def done(self, result: int) -> None:
        """Close, when nothing is read any more."""
        for reader in list(self.readers):
            reader.wait()
        super().done(result)

    # --- what a person does

    def _changed(self, path: str, value: object, _gesture: str) -> None:
        plain = {**msgspec.to_builtins(self.data), path: value}
        if path == "path":
            # another file: nothing is known of its columns
            plain |= {"target": "", "leave_out": ""}
            self._proposed = False
        self._ask(build(Csv, plain))

    def _ask(self, data: Csv) -> None:
        self.data = data
        self.form.show_value(data)
        self._read()

    def _use_changed(self, index: int, use: str) -> None:
        """A column is used otherwise; there is always exactly one target."""
        assert self.found is not None
        uses = [column.use for column in self.found.columns]
        if use == "target":
            uses = ["input" if one == "target" else one for one in uses]
        uses[index] = use
        names = [column.name for column in self.found.columns]
        target = next((name for name, one in zip(names, uses, strict=True) if one == "target"), self.data.target)
        if uses[index] != "target" and names[index] == target:
            target = ""  # found out anew
        out = [name for name, one in zip(names, uses, strict=True) if one == "left out" and name != target]
        # another target may be of another sort
        task = "auto" if target != self.data.target else self.data.task
        changed = msgspec.structs.replace(self.data, target=target, leave_out=joined(out), task=task)
        self._ask(changed)

    # --- what it shows

    def _show(self, data: Csv, found: Any) -> None:
        if data != self.data:
            return  # an answer to an older question
        if isinstance(found, InputError):
            self.found = None
            self.summary.setText("")
            self.table.setRowCount(0)
            self.problems.setText(found.problem)
            self.outcome.setText("")
            self.use.setEnabled(False)
            return
        if not self._proposed:
            # the first look proposes what fits; afterwards the person decides
            self._proposed = True
            if found.proposal != data:
                self._ask(found.proposal)
                return
        self.found = found
        self._show_found(found)
        self._show_table(found)
        self.problems.setText("\n".join(found.problems[:4]))
        self.problems.setVisible(bool(found.problems))
        self.use.setEnabled(found.outline is not None and not found.problems)

    def _show_found(self, found: Preview) -> None:
        rows = ngettext("{count:,} row", "{count:,} rows", found.rows).format(count=found.rows)
        columns = len(found.columns)
        parts = [
            rows,
            ngettext("{count} column", "{count} columns", columns).format(count=columns),
            _("delimiter: {name}").format(name=_(FOUND.get(found.delimiter, found.delimiter))),
            _("decimal sign: {name}").format(name=_(FOUND.get(found.decimal, found.decimal))),
            _("names in the first row") if found.header else _("no names in the first row"),
            found.encoding,
        ]
        self.summary.setText(_("Found: {what}").format(what=" · ".join(parts)))
        outline = found.outline
        if outline is None:
            self.outcome.setText("")
        elif outline.is_regression:
            self.outcome.setText(
                _("{samples:,} samples of {inputs} inputs; predicts the value of “{target}”").format(
                    samples=found.samples, inputs=outline.shape[0], target=found.target
                )
            )
        else:
            names = ", ".join(outline.classes[:6]) + (" …" if len(outline.classes) > 6 else "")
            self.outcome.setText(
                _("{samples:,} samples of {inputs} inputs; predicts “{target}”, {count} classes: {names}").format(
                    samples=found.samples,
                    inputs=outline.shape[0],
                    target=found.target,
                    count=len(outline.classes),
                    names=names,
                )
            )

    def _show_table(self, found: Preview) -> None:
        table, columns = self.table, found.columns
        table.setColumnCount(len(columns))
        table.setRowCount(1 + len(found.first_rows))
        table.setHorizontalHeaderLabels([column.name for column in columns])
        table.setVerticalHeaderLabels([_("use as"), *(str(i + 1) for i in range(len(found.first_rows)))])
        if len(self.uses) != len(columns):
            self.uses = []
            for index in range(len(columns)):
                choice = Choice()
                for use, label in USES.items():
                    choice.offer(use, _(label))
                choice.chosen.connect(partial(self._use_changed, index))
                table.setCellWidget(0, index, choice)
                self.uses.append(choice)
        for index, column in enumerate(columns):
            self.uses[index].show_name(column.use)
            self.uses[index].setAccessibleName(_("Use of column {name}").format(name=column.name))
            missing = ngettext("{count:,} value is missing", "{count:,} values are missing", column.missing)
            note = missing.format(count=column.missing) if column.missing else ""
            if column.different:
                different = ngettext("{count:,} different text", "{count:,} different texts", column.different)
                note = " · ".join(part for part in (different.format(count=column.different), note) if part)
            header = table.horizontalHeaderItem(index)
            if header is not None:
                header.setToolTip(note)
            for row, cells in enumerate(found.first_rows):
                item = QTableWidgetItem(cells[index] if index < len(cells) else "")
                if column.use == "target":
                    item.setBackground(tint("accent", 0.14))
                elif column.use == "left out":
                    item.setForeground(tint("muted", 0.7))
                table.setItem(row + 1, index, item)
