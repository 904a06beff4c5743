"""Doctor: what is wrong with the network, the first cause on top, and what to try in a lane of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from layerscope.core.diagnostics.doctor import Examination
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.diagnostics.rules.base import Evidence, Finding, Rule
from layerscope.core.figures.doctor import FARTHEST, NEAREST, layers_text, number_of
from layerscope.core.figures.figure import Lane
from layerscope.core.figures.reading import cue_of, examined
from layerscope.core.text import _, ngettext

from ..dialogs.thresholds import show_thresholds
from ..roles import ElidedLabel, RoleLabel, color, follow_font, tint
from ..session import Session
from ..signs import Sign, state_text
from ..trials import verdict
from ..try_button import TryButton
from .base import PANELS, Panel

BAR_WIDTH, BAR_HEIGHT = 92, 8  # pixels
THRESHOLD = 1 / 3  # part of the bar at which the threshold is marked
INDENT = 20  # pixels by which what follows from something is moved in
LARGEST_INDENT = 3


class Bar(QWidget):
    """How far a number is beyond its threshold, on a logarithmic scale; the mark is the threshold."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.share, self.role = 0.0, "muted"
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(BAR_WIDTH, BAR_HEIGHT + 8)

    def show_excess(self, excess: float, role: str) -> None:
        """excess   how many times beyond the threshold, see `Evidence.excess`"""
        share = 1.0
        if not math.isnan(excess) and not math.isinf(excess):
            if excess >= 1.0:
                share = THRESHOLD + (1.0 - THRESHOLD) * min(1.0, math.log(excess) / math.log(FARTHEST))
            else:
                share = THRESHOLD * max(0.06, 1.0 + math.log10(max(excess, 0.1)))
        if (round(share * BAR_WIDTH), role) != (round(self.share * BAR_WIDTH), self.role):
            self.share, self.role = share, role
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        top, half = (self.height() - BAR_HEIGHT) / 2, BAR_HEIGHT / 2
        painter.setBrush(tint("muted", 0.18))
        painter.drawRoundedRect(QRectF(0, top, self.width(), BAR_HEIGHT), half, half)
        painter.setBrush(color(self.role))
        painter.drawRoundedRect(QRectF(0, top, max(BAR_HEIGHT, self.share * self.width()), BAR_HEIGHT), half, half)
        painter.setBrush(color("text"))
        painter.drawRect(QRectF(THRESHOLD * self.width() - 0.75, top - 3, 1.5, BAR_HEIGHT + 6))
        painter.end()


def _link(does: Callable[[], None], tip: str = "") -> QToolButton:
    """A flat button that leads somewhere."""
    button = QToolButton()
    button.setProperty("kind", "bare")
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.setCursor(Qt.CursorShape.PointingHandCursor)
    button.setToolTip(tip)
    button.setAccessibleName(tip)
    button.clicked.connect(lambda _checked=False: does())
    return button


def _say(label: RoleLabel | QToolButton | ElidedLabel, text: str) -> None:
    """Show a text; nothing is laid out anew where it is the same."""
    if label.text() != text:
        label.setText(text)
    if label.isHidden() == bool(text):
        label.setVisible(bool(text))


def _clear(column: QVBoxLayout, widget: QWidget) -> None:
    column.removeWidget(widget)
    widget.hide()
    widget.deleteLater()


class ProposalRow(QWidget):
    """What to try, its button, and what became of it."""

    def __init__(self, proposal: Proposal, tried: Callable[[], None], parent: QWidget | None = None):
        super().__init__(parent)
        self.proposal = proposal
        self.text = RoleLabel(proposal.text, "text")
        self.button = TryButton(proposal)
        self.button.clicked.connect(lambda _checked=False: tried())
        self.said = RoleLabel("", "muted", 0.95)
        self.said.hide()
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignTop)
        row.addWidget(self.text, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.said)

    def say(self, text: str, role: str = "muted") -> None:
        self.said.set_role(role)
        _say(self.said, text)


class FindingView(QFrame):
    """One finding; its explanation and proposals unfold with a click on it.

    wanted   "layers", "steps" or "thresholds"
    """

    wanted = Signal(str)
    tried = Signal(object)

    def __init__(self, finding: Finding, unfolded: bool, parent: QWidget | None = None):
        super().__init__(parent)
        self.finding = finding
        self.unfolded = unfolded
        self.rows: list[ProposalRow] = []
        self._proposals: tuple[Proposal, ...] = ()
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.sign = Sign()
        self.word = RoleLabel("", "alarm", 0.9, bold=True)
        self.word.setWordWrap(False)
        self.headline = RoleLabel("", "text", 1.0, bold=True)
        self.bar = Bar()
        self.number = RoleLabel("", "text", 0.95)
        self.cause = RoleLabel("", "muted", 0.92)
        self.layers = _link(partial(self.wanted.emit, "layers"), _("Show the first of these layers"))
        self.steps = _link(partial(self.wanted.emit, "steps"), _("Show the step at which it began"))
        self.thresholds = _link(partial(self.wanted.emit, "thresholds"), _("From where on the doctor says so"))
        self.explanation = RoleLabel("", "text")
        for label in (self.explanation, self.headline):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        top = QHBoxLayout()
        top.setSpacing(6)
        top.addWidget(self.sign, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.word, 0, Qt.AlignmentFlag.AlignTop)
        top.addWidget(self.headline, 1)
        evidence = QHBoxLayout()
        evidence.setSpacing(8)
        evidence.addWidget(self.bar)
        evidence.addWidget(self.number, 1)
        links = QHBoxLayout()
        links.setContentsMargins(0, 0, 0, 0)
        links.setSpacing(4)
        links.addWidget(self.layers)
        links.addWidget(self.steps)
        links.addStretch(1)
        for link in (self.layers, self.steps):
            link.setMinimumWidth(1)  # many layers must not make the card wider than the panel
        self.more = QWidget()
        self._more = QVBoxLayout(self.more)
        self._more.setContentsMargins(0, 0, 0, 0)
        self._more.setSpacing(6)
        self._more.addLayout(links)
        self._tries = QVBoxLayout()  # above the explanation: what to do is seen without scrolling
        self._tries.setSpacing(6)
        self._more.addLayout(self._tries)
        self._more.addWidget(self.explanation)
        self._more.addWidget(self.thresholds, 0, Qt.AlignmentFlag.AlignRight)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 7, 10, 8)
        column.setSpacing(4)
        column.addLayout(top)
        column.addWidget(self.cause)
        column.addLayout(evidence)
        column.addWidget(self.more)
        self.more.setVisible(unfolded)

    def show_finding(self, finding: Finding, lane: Lane, depth: int) -> None:
        """Show what is found now."""
        self.finding = finding
        role = finding.severity
        self.sign.show_state(role, state_text(role))
        self.word.set_role(role)
        _say(self.word, state_text(role))
        _say(self.headline, finding.headline)
        self.setAccessibleName(f"{state_text(role)}: {finding.headline}")
        self.setAccessibleDescription(finding.explanation)
        self.show_number(finding.evidence[0])
        causes = ", ".join(_(Rule.registry[name].label) for name in finding.follows_from)
        _say(self.cause, "↳ " + _("follows from: {causes}").format(causes=causes) if causes else "")
        layers = layers_text(finding, lane) if finding.layers else ""
        _say(self.layers, _("layers {layers}").format(layers=layers) if layers else "")
        _say(self.steps, _("since step {step}").format(step=f"{finding.first_step:,}"))
        _say(self.thresholds, _("Thresholds…"))
        _say(self.explanation, finding.explanation)
        margins = self.contentsMargins()
        if margins.left() != INDENT * min(depth, LARGEST_INDENT):
            self.setContentsMargins(INDENT * min(depth, LARGEST_INDENT), 0, 0, 0)
        if finding.proposals != self._proposals:
            self._proposals = finding.proposals
            self._show_proposals()

    def show_number(self, evidence: Evidence) -> None:
        self.bar.show_excess(evidence.excess, self.finding.severity)
        self.bar.setToolTip(_("The bar shows how far the number is beyond the threshold, which is the mark on it."))
        _say(self.number, number_of(evidence))
        if self.number.toolTip() != evidence.text:
            self.number.setToolTip(evidence.text)

    def _show_proposals(self) -> None:
        for row in self.rows:
            _clear(self._tries, row)
        self.rows = []
        for proposal in self._proposals:
            row = ProposalRow(proposal, partial(self.tried.emit, proposal))
            self.rows.append(row)
            self._tries.addWidget(row)

    def unfold(self, on: bool) -> None:
        self.unfolded = on
        self.more.setVisible(on)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton and self.rect().contains(event.position().toPoint()):
            self.unfold(not self.unfolded)

    def keyPressEvent(self, event: object) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):  # type: ignore[attr-defined]
            self.unfold(not self.unfolded)
            return
        super().keyPressEvent(event)  # type: ignore[arg-type]

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        where = QRectF(self.rect()).adjusted(self.contentsMargins().left() + 0.5, 0.5, -0.5, -0.5)
        painter.setPen(color("accent") if self.hasFocus() else color("border"))
        painter.setBrush(tint(self.finding.severity, 0.06))
        painter.drawRoundedRect(where, 6, 6)
        painter.end()


class NearView(QWidget):
    """What comes nearest to a threshold in a healthy network: a name and a bar."""

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.bar = Bar()
        self.name = RoleLabel("", "muted", 0.95)
        row = QHBoxLayout(self)
        row.setContentsMargins(INDENT, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.bar)
        row.addWidget(self.name, 1)

    def show_near(self, rule: str, evidence: Evidence) -> None:
        self.bar.show_excess(evidence.excess, "good" if evidence.excess < 1.0 else "muted")
        _say(self.name, f"{_(Rule.registry[rule].label)}: {number_of(evidence)}")
        self.name.setToolTip(evidence.text)


class LaneSection(QWidget):
    """What is said of one lane."""

    def __init__(self, panel: DoctorPanel, index: int, parent: QWidget | None = None):
        super().__init__(parent)
        self.panel, self.index = panel, index
        self.views: dict[str, FindingView] = {}
        self._folds: dict[str, bool] = {}  # as a person left them
        self.title = ElidedLabel("", "text", 1.0, bold=True)
        self.sign = Sign("good")
        self.well = RoleLabel("", "good", bold=True)
        self.trials = RoleLabel("", "muted", 0.95)
        self.near = [NearView() for _place in range(NEAREST)]
        healthy = QHBoxLayout()
        healthy.setSpacing(6)
        healthy.addWidget(self.sign, 0, Qt.AlignmentFlag.AlignTop)
        healthy.addWidget(self.well, 1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 6)
        self._column.setSpacing(6)
        self._column.addWidget(self.title)
        self._column.addWidget(self.trials)
        self._column.addLayout(healthy)
        for near in self.near:
            self._column.addWidget(near)

    def show_lane(self, lane: Lane, said: Examination | None, several: bool) -> None:
        """Show what the doctor says now."""
        self.title.set_role(cue_of(lane).color)
        _say(self.title, f"{lane.name} {lane.label}" if several else "")
        findings = said.diagnosis.findings if said is not None else ()
        self._show_healthy(said if not findings else None)
        depths: dict[str, int] = {}
        for place, finding in enumerate(findings):
            depth = 1 + max((depths.get(name, 0) for name in finding.follows_from), default=-1)
            depths[finding.rule] = depth
            view = self.views.get(finding.rule)
            if view is None:
                view = FindingView(finding, self._folds.get(finding.rule, place == 0))
                view.wanted.connect(partial(self._go, finding.rule))
                view.tried.connect(partial(self._try, finding.rule))
                self.views[finding.rule] = view
            if self._column.indexOf(view) != place + 3:
                self._column.insertWidget(place + 3, view)
            view.show_finding(finding, lane, depth)
        for rule in self.views.keys() - {finding.rule for finding in findings}:
            view = self.views.pop(rule)
            self._folds[rule] = view.unfolded
            _clear(self._column, view)
        self._show_trials(said)

    def _show_healthy(self, said: Examination | None) -> None:
        text = ""
        if said is not None:
            rules = sum(rule.active for rule in said.rules)
            text = ngettext(
                "{rules} rule has looked and found nothing", "{rules} rules have looked and found nothing", rules
            ).format(rules=rules)
            if said.measured:
                text += " · " + _("nearest to a threshold:")
        _say(self.well, text)
        self.sign.setVisible(bool(text))
        measured = said.measured[:NEAREST] if said is not None else ()
        for place, near in enumerate(self.near):
            near.setVisible(place < len(measured))
            if place < len(measured):
                near.show_near(*measured[place])

    def _show_trials(self, said: Examination | None) -> None:
        """What became of the trials against this lane's findings, and of the one that this lane is."""
        session, lines, role = self.panel.session, [], "muted"
        own = session.lanes[self.index]
        known = {lane.name: lane for lane in self.panel.scene.lanes}
        verdicts: dict[tuple[str, str], tuple[str, str]] = {}
        for trial in session.trials:
            there = session.lane_of_trial(trial.experiment, trial.origin)
            if there is None:
                continue
            name = session.lanes[there].name
            if trial.source == own.experiment and trial.origin == own.origin:
                found = verdict(trial, name, known.get(name), said)
                verdicts[trial.rule, trial.text] = found.text, found.role
            elif there == self.index:
                found = verdict(trial, name, known.get(name))
                label = _(Rule.registry[trial.rule].label)
                sign = {"gone": "✓", "there": "✗", "follows": "…"}[found.state]
                words = {
                    "gone": _("tried against “{finding}”: gone"),
                    "there": _("tried against “{finding}”: still there"),
                    "follows": _("tried against “{finding}”: it follows"),
                }[found.state]
                lines.append(f"{sign} {words.format(finding=label)}")
                role = found.role
        self.trials.set_role(role)
        _say(self.trials, "\n".join(lines))
        for view in self.views.values():
            for row in view.rows:
                text, shade = verdicts.get((view.finding.rule, row.proposal.text), ("", "muted"))
                sign = {"good": "✓ ", "warning": "✗ "}.get(shade, "")
                row.say(sign + text if text else "", shade)
                row.button.setEnabled(not text)

    def _go(self, rule: str, where: str) -> None:
        view = self.views.get(rule)
        if view is None:
            return
        finding = view.finding
        if where == "thresholds":
            self.panel.show_thresholds(rule)
        elif where == "steps":
            self.panel.session.scrub(finding.first_step)
        elif finding.layers:
            self.panel.session.select(lane=self.index, card="")
            self.panel.session.select(card=finding.layers[0])

    def _try(self, rule: str, proposal: object) -> None:
        assert isinstance(proposal, Proposal)
        refused = self.panel.session.try_proposal(proposal, rule, self.index)
        view = self.views.get(rule)
        for row in view.rows if view is not None else ():
            if row.proposal == proposal and refused:
                row.say(refused, "warning")
        if not refused:
            self.panel.refresh()


@PANELS.add("doctor")
class DoctorPanel(Panel):
    """The figure as a list that can be used; an export draws the figure itself."""

    name = "doctor"

    def __init__(self, session: Session, parent: QWidget | None = None):
        self.sections: list[LaneSection] = []
        super().__init__(session, parent)
        session.lanes_changed.connect(self._scene_changed)

    def _make(self) -> None:
        super()._make()
        self.view.hide()
        self._empty = RoleLabel("", "muted")
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = QWidget()
        self._list = QVBoxLayout(inside)
        self._list.setContentsMargins(14, 4, 12, 8)
        self._list.setSpacing(8)
        self._list.addWidget(self._empty)
        self._list.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setWidget(inside)
        inside.setAutoFillBackground(False)  # the card's own ground is seen through it
        self.area.viewport().setAutoFillBackground(False)
        column = self.layout()
        assert isinstance(column, QVBoxLayout)
        column.addWidget(self.area, 1)
        self.view.setFocusProxy(self.area)
        self.setFocusProxy(self.area)

    def sources(self) -> tuple[object, ...] | None:
        """What is said changes a few times a second, the scene thirty times."""
        scene = self.scene
        said = tuple(lane.examination for lane in scene.lanes)
        if any(one is None for one in said):
            return None
        session = self.session
        return (*said, scene.rules, session.lanes, session.trials, session.blocked)

    def refresh(self) -> None:
        """Show what the doctor says of every lane now."""
        self._stale = False
        self.builds += 1
        self._drawn = self.sources()
        scene = self.scene
        lanes = [lane for lane in scene.lanes if lane.setup is not None]
        names = [state.name for state in self.session.lanes]
        shown = [(names.index(lane.name), lane, examined(lane, scene)) for lane in lanes if lane.name in names]
        while len(self.sections) > len(shown):
            _clear(self._list, self.sections.pop())
        for place, (index, lane, said) in enumerate(shown):
            if place == len(self.sections):
                self.sections.append(LaneSection(self, index))
                self._list.insertWidget(place + 1, self.sections[place])
            self.sections[place].index = index
            self.sections[place].show_lane(lane, said, len(names) > 1)
        empty = all(said is None for _index, _lane, said in shown)
        _say(self._empty, (self.session.blocked or _("Nothing is computed yet.")) if empty else "")
        self._said = self._told([said for _index, _lane, said in shown if said is not None])
        if not self._quiet.isActive():
            self._show_subtitle()
        if self._popup is not None and self._popup.isVisible():
            self._popup.show_explanation(self._explanation())

    @staticmethod
    def _told(said: list[Examination]) -> str:
        if not said:
            return ""
        count = sum(len(one.diagnosis.findings) for one in said)
        words = ngettext("{count} finding", "{count} findings", count).format(count=count)
        if not count:
            rules = sum(rule.active for rule in said[0].rules)
            words = ngettext("{rules} rule, nothing found", "{rules} rules, nothing found", rules).format(rules=rules)
        return f"{words} · " + _("step {step}").format(step=f"{max(one.diagnosis.step for one in said):,}")

    _said = ""

    def _show_subtitle(self) -> None:
        if self._subtitle.text() != self._said:
            self._subtitle.set_role("muted")
            self._subtitle.setText(self._said)
            self._subtitle.setToolTip(self._said)

    def fill_menu(self) -> None:
        super().fill_menu()
        self.menu.addSeparator()
        self._entry(_("Thresholds…"), self.show_thresholds, _("From where on the doctor says something, for all rules"))

    def show_thresholds(self, rule: str = "") -> None:
        """The thresholds in a dialog; those of one rule, or of all."""
        show_thresholds(self.session, self.window(), rule)

    def retranslate(self) -> None:
        super().retranslate()
        while self.sections:
            gone = self.sections.pop()
            _clear(self._list, gone)
            gone.setParent(None)
        if self.builds:
            self.refresh()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.ApplicationFontChange:
            follow_font(self)
