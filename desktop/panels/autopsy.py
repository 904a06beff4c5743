"""Autopsy: the operation that made the first number that is none, what grew before, and what to try in a new lane."""

from __future__ import annotations

from functools import partial

from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from layerscope.core.diagnostics.autopsy import Autopsy
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.figures.autopsy import STUDY
from layerscope.core.text import _

from ..roles import ElidedLabel
from ..trials import verdict
from ..try_button import TryButton
from .base import PANELS, Panel

AGAINST = "nonfinite"  # the rule whose finding the proposals are against
MOST_OFFERED = 2  # proposals beside each other


@PANELS.add("autopsy")
class AutopsyPanel(Panel):
    name = "autopsy"
    time_plots = True

    def _make(self) -> None:
        super()._make()
        self.buttons: list[TryButton] = []
        self._offered: tuple[tuple[int, Proposal], ...] = ()
        self.said = ElidedLabel("", "muted")
        self._offers = QWidget()
        self._row = QHBoxLayout(self._offers)
        self._row.setContentsMargins(14, 0, 12, 2)
        self._row.setSpacing(8)
        self._row.addWidget(self.said, 1)
        self._offers.hide()
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.addWidget(self._offers)

    def refresh(self) -> None:
        super().refresh()
        offers = self._found()
        if offers != self._offered:
            self._offered = offers
            for button in self.buttons:
                self._row.removeWidget(button)
                button.setParent(None)
                button.deleteLater()
            self.buttons = [TryButton(proposal, whole=True) for _lane, proposal in offers]
            for place, (button, (lane, proposal)) in enumerate(zip(self.buttons, offers, strict=True)):
                button.clicked.connect(partial(self._try, lane, proposal))
                self._row.insertWidget(place, button)
            self._offers.setVisible(bool(offers))
        self._show_verdict()

    def _found(self) -> tuple[tuple[int, Proposal], ...]:
        """(number of the lane, proposal) for the first lane that has failed."""
        for lane in self.scene.lanes:
            answer = lane.study(STUDY)
            if answer is not None and isinstance(answer.value, Autopsy):
                names = [state.name for state in self.session.lanes]
                if lane.name in names:
                    index = names.index(lane.name)
                    return tuple((index, proposal) for proposal in answer.value.proposals[:MOST_OFFERED])
        return ()

    def _show_verdict(self) -> None:
        known = {lane.name: lane for lane in self.scene.lanes}
        text, role = "", "muted"
        for trial in self.session.trials if self._offered else ():
            there = self.session.lane_of_trial(trial.experiment, trial.origin)
            if trial.rule == AGAINST and there is not None:
                name = self.session.lanes[there].name
                found = verdict(trial, name, known.get(name))
                text, role = found.text, found.role
        self.said.set_role(role)
        self.said.setText(text)
        self.said.setToolTip(text)

    def _try(self, lane: int, proposal: Proposal, _checked: bool = False) -> None:
        refused = self.session.try_proposal(proposal, AGAINST, lane)
        if refused:
            self.say(_("Not tried: {reason}").format(reason=refused), "warning")

    def retranslate(self) -> None:
        self._offered = ()
        super().retranslate()
