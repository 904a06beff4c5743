"""The one question that the program asks by itself: what to do with work that is in no file."""

from __future__ import annotations

from typing import Literal

from PySide6.QtWidgets import QMessageBox, QWidget

from layerscope.core.text import _


def ask_about_unsaved(parent: QWidget, name: str) -> Literal["save", "discard", "cancel"]:
    """Save, discard or stay."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Question)
    box.setWindowTitle(_("Unsaved changes"))
    box.setText(_('Save the changes to "{name}"?').format(name=name or _("unnamed experiment")))
    box.setInformativeText(_("They are lost otherwise."))
    save = box.addButton(_("Save"), QMessageBox.ButtonRole.AcceptRole)
    discard = box.addButton(_("Discard"), QMessageBox.ButtonRole.DestructiveRole)
    cancel = box.addButton(_("Cancel"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(save)
    box.setEscapeButton(cancel)
    box.exec()
    clicked = box.clickedButton()
    box.deleteLater()
    if clicked is save:
        return "save"
    return "discard" if clicked is discard else "cancel"
