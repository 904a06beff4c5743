"""Which version this is, and what it is made of."""

from __future__ import annotations

from importlib import metadata

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from layerscope.core.text import _

from .. import theme

PARTS = ("PySide6-Essentials", "pyqtgraph", "numpy", "numba", "scipy", "matplotlib", "msgspec")


class AboutDialog(QDialog):
    """Name, version, license, libraries."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setWindowTitle(_("About Layerscope"))
        outer = QVBoxLayout(self)
        top = QHBoxLayout()
        picture = QLabel()
        picture.setPixmap(theme.icon("icon", size=56).pixmap(56, 56))
        picture.setAlignment(Qt.AlignmentFlag.AlignTop)
        top.addWidget(picture)
        words = QVBoxLayout()
        title = QLabel(f"Layerscope {metadata.version('layerscope')}")
        font = title.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.4)
        title.setFont(font)
        words.addWidget(title)
        words.addWidget(QLabel(_("See how neural networks train: layer by layer, step by step, trick by trick.")))
        words.addWidget(QLabel(_("Free under the MIT license.")))
        made_of = ", ".join(f"{part} {metadata.version(part)}" for part in PARTS)
        parts = QLabel(_("Made with {parts}.").format(parts=made_of))
        parts.setWordWrap(True)
        parts.setProperty("muted", True)
        words.addWidget(parts)
        top.addLayout(words, 1)
        outer.addLayout(top)
        buttons = QDialogButtonBox()
        buttons.addButton(_("Close"), QDialogButtonBox.ButtonRole.RejectRole)
        buttons.rejected.connect(self.reject)
        outer.addWidget(buttons)
        self.setMinimumWidth(460)
