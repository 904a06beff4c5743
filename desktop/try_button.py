"""One button tries a proposal: a new lane with the change, from the same draws, in lockstep with the others."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolButton, QWidget

from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.text import _


class TryButton(QToolButton):
    """The doctor's and the autopsy's proposals have the same one.

    whole   the proposal itself stands on it; otherwise it stands beside it
    """

    def __init__(self, proposal: Proposal, whole: bool = False, parent: QWidget | None = None):
        super().__init__(parent)
        self.proposal = proposal
        said = _("Try: {proposal}").format(proposal=proposal.text)
        self.setProperty("kind", "quiet")
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setText(said if whole else _("Try"))
        self.setAccessibleName(said)
        self.setToolTip(_("A new lane with this change, from the same draws, in lockstep with the others"))
