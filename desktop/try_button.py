"""One button tries a proposal: a new lane with the change, from the same draws, in lockstep with the others."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QSizePolicy, QToolButton, QWidget

from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.text import _

NARROWEST = 90  # pixels; a button must not make the panels beside it small


class ShrinkingButton(QToolButton):
    """A button with a sentence on it, which Qt cuts short with an ellipsis where there is no room for all of it."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setProperty("kind", "quiet")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)

    def minimumSizeHint(self) -> QSize:
        hint = super().minimumSizeHint()
        return QSize(min(hint.width(), NARROWEST), hint.height())


class TryButton(ShrinkingButton):
    """The doctor's and the autopsy's proposals have the same one.

    whole   the proposal itself stands on it; otherwise it stands beside it
    """

    def __init__(self, proposal: Proposal, whole: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self.proposal = proposal
        said = _("Try: {proposal}").format(proposal=proposal.text)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setText(said if whole else _("Try"))
        self.setAccessibleName(said)
        self.setToolTip(explained(proposal.text))


def explained(proposal: str) -> str:
    """What a button that tries something says under the mouse."""
    return proposal + "\n" + _("A new lane with this change, from the same draws, in lockstep with the others")
