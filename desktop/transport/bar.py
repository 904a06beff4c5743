"""The transport moves through time like a video player: play, go by operation, minibatch or epoch, scrub."""

from __future__ import annotations

import math

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QMenu, QVBoxLayout, QWidget

from layerscope.core.figures.scales import number_text
from layerscope.core.text import N_, _
from layerscope.core.walk import operation_text

from .. import theme
from ..actions import Actions
from ..labels import ActionButton, ShortLabel, set_state, thin_line
from ..session import MOST_LANES, Session
from .timeline import Mark, Timeline

# steps a second; 0 is as fast as possible
SPEEDS: tuple[tuple[float, str], ...] = (
    (1.0, N_("1 step/s")),
    (5.0, N_("5 steps/s")),
    (20.0, N_("20 steps/s")),
    (100.0, N_("100 steps/s")),
    (0.0, N_("maximum")),
)

BUTTONS = (
    ("start", False),
    ("epoch_back", False),
    ("minibatch_back", False),
    ("operation_back", False),
    ("play", False),
    ("operation_forward", True),
    ("minibatch_forward", True),
    ("epoch_forward", True),
)

PHASE_COLORS = {"data": "muted", "forward": "accent", "loss": "text", "backward": "warning", "update": "good"}


class TransportBar(QFrame):
    """See the module's sentence."""

    def __init__(self, session: Session, actions: Actions, parent: QWidget | None = None):
        super().__init__(parent)
        self._session, self._actions = session, actions
        self.setProperty("surface", "bar")
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(thin_line())
        inside = QVBoxLayout()
        inside.setContentsMargins(14, 8, 14, 6)
        inside.setSpacing(4)
        outer.addLayout(inside)

        row = QHBoxLayout()
        row.setSpacing(6)
        for name, leading in BUTTONS:
            kind = "primary" if name == "play" else "quiet"
            button = ActionButton(actions[name], kind, bool(actions.declared[name].short), leading)
            if name == "play":
                button.setMinimumWidth(64)
            row.addWidget(button)
        self._speed = QComboBox()
        self._speed.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._speed.setAccessibleName(_("speed"))
        for value, label in SPEEDS:
            self._speed.addItem(_(label), value)
        self._speed.setToolTip(_("How many steps a second are played; slower, every step can be seen (- and + keys)"))
        self._speed.activated.connect(lambda index: session.set_speed(self._speed.itemData(index)))
        row.addSpacing(4)
        row.addWidget(self._speed)
        row.addSpacing(4)
        row.addWidget(ActionButton(actions["fork"], "quiet", False))
        row.addSpacing(8)
        self._status = ShortLabel()
        self._status.setObjectName("status")
        self._status.setProperty("muted", True)
        row.addWidget(self._status, 1)
        self._operation = ShortLabel(mode=Qt.TextElideMode.ElideLeft)
        self._operation.setObjectName("operation")
        self._operation.setAlignment(Qt.AlignmentFlag.AlignRight)
        font = self._operation.font()
        font.setBold(True)
        self._operation.setFont(font)
        row.addWidget(self._operation)
        inside.addLayout(row)

        self.timeline = Timeline()
        self.timeline.wanted.connect(session.scrub)
        self.timeline.asked.connect(self._offer_at)
        inside.addWidget(self.timeline)

        session.scene_changed.connect(self.refresh)
        session.state_changed.connect(self.refresh)
        session.lanes_changed.connect(self.refresh)
        session.selection_changed.connect(self.refresh)
        self.refresh()

    def change_speed(self, by: int) -> None:
        """The next slower or faster of the offered speeds."""
        index = max(0, min(len(SPEEDS) - 1, self._speed.currentIndex() + by))
        self._session.set_speed(SPEEDS[index][0])

    def _offer_at(self, step: int, place: QPoint) -> None:
        """What can be done at a step of the timeline."""
        session = self._session
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction(_("Show step {step:,}").format(step=step), lambda: session.scrub(step))
        fork = menu.addAction(
            theme.icon("fork"), _("Fork at step {step:,}").format(step=step), lambda: session.fork_here(step)
        )
        room = len(session.lanes) < MOST_LANES
        fork.setEnabled(room and step > 0 and session.end > 0 and not session.blocked)
        full = _("Four lanes are as many as can be told apart")
        fork.setToolTip(_(self._actions.declared["fork"].tip) if room else full)
        menu.popup(place)

    def refresh(self) -> None:
        """Show the session as it is now."""
        session = self._session
        offered = not session.blocked
        for name, _leading in BUTTONS:
            self._actions[name].setEnabled(offered)
        for name in ("start", "epoch_back", "minibatch_back"):
            self._actions[name].setEnabled(offered and (session.position > 0 or session.wire is not None))
        self._actions["operation_back"].setEnabled(offered and (session.position > 0 or session.wire is not None))
        self._actions["newest"].setEnabled(offered and session.position < session.end)
        self._actions["restart"].setEnabled(offered and session.end > 0)
        self._actions["fork"].setEnabled(session.can_fork)
        self.timeline.setEnabled(offered)
        index = next((i for i, (value, _label) in enumerate(SPEEDS) if value == session.speed), len(SPEEDS) - 1)
        if self._speed.currentIndex() != index:
            self._speed.setCurrentIndex(index)
        self._show_status()
        self._show_operation()
        scene = session.scene
        lane = scene.lanes[0] if scene and scene.lanes else None
        events = {step for one in scene.lanes for step, _path, _value in one.view.events} if scene else set()
        epoch = lane.view.steps_per_epoch if lane else 1
        self.timeline.show_time(
            session.position, session.end, session.goal, epoch, tuple(sorted(events)), marks_of(session)
        )

    def _show_status(self) -> None:
        session = self._session
        state, text = "", self.status()
        if session.failure:
            state, text = "alarm", session.failure
        elif session.blocked:
            state, text = "warning", _("Training is not offered yet: {problem}").format(problem=session.blocked)
        elif session.notice:
            state, text = "warning" if session.warns else "told", session.notice
        elif session.progress is not None:
            done, total = session.progress
            text = _("First start: preparing the engine, {done} of {total} parts").format(done=done, total=total)
        set_state(self._status, "muted", not state)
        set_state(self._status, "state", state)
        if self._status.text() != text:
            self._status.setText(text)

    def status(self) -> str:
        """Where training stands, in one line."""
        session = self._session
        scene = session.scene
        if scene is None or not scene.lanes:
            return _("getting ready") if not session.blocked else ""
        epoch = session.position // max(1, scene.lanes[0].view.steps_per_epoch)
        goal = max(session.goal, session.end)
        parts = [_("{position:,} of {goal:,} steps").format(position=session.position, goal=goal)]
        if session.wire is None:  # otherwise the operation needs the room
            parts.append(_("epoch {epoch:,}").format(epoch=epoch))
        if session.catching_up:
            parts.append(_("computing up to here"))
        elif session.playing and session.steps_per_second > 0:
            parts.append(_("{rate} steps/s").format(rate=_rate(session.steps_per_second)))
        losses = []
        for lane in scene.lanes:
            loss = lane.view.at("loss", scene.step) if len(lane.view) else math.nan
            # Digits that count: a loss of 0.0004 has not become nothing.
            shown = f"{loss:.3f}" if 0.1 <= abs(loss) < 1e4 else number_text(loss, 3)
            losses.append(f"{lane.name} {shown}" if len(scene.lanes) > 1 else shown)
        parts.append(_("loss {losses}").format(losses="  ".join(losses)))
        return " · ".join(parts)

    def _show_operation(self) -> None:
        wire = self._session.wire
        if wire is None:
            self._operation.setText("")
            return
        what = operation_text(self._session.plan(wire.lane), wire.operation)
        text = _("operation {done} of {total}: {what}").format(what=what, done=wire.done, total=wire.total)
        color = theme.current().color(PHASE_COLORS.get(wire.operation.phase, "text"))
        self._operation.setStyleSheet(f"color: {color}")
        if self._operation.text() != text:
            self._operation.setText(text)


def marks_of(session: Session) -> tuple[Mark, ...]:
    """What was decided on the way in every lane, for the timeline."""
    lanes = session.scene.lanes if session.scene is not None else ()
    words = {
        "best": _("best validation loss so far"),
        "stopped": _("early stopping"),
        "rate": _("learning rate lowered"),
    }
    found = []
    for lane in lanes:
        for step, what in lane.view.marks:
            text = words.get(what, what)
            if len(lanes) > 1:
                text = _("lane {name}: {what}").format(name=lane.name, what=text)
            found.append(Mark(step, what, text))
    for index, state in enumerate(session.lanes):
        if state.origin is not None:
            parent = session.parent_name(index)
            text = _("lane {name} was forked from {parent} here") if parent else _("lane {name} was forked here")
            found.append(Mark(state.origin.step, "fork", text.format(name=state.name, parent=parent)))
    return tuple(sorted(found, key=lambda mark: mark.step))


def _rate(rate: float) -> str:
    """A speed, rounded so that its last digit does not dance."""
    if rate < 10:
        return f"{rate:.1f}"
    digits = max(0, len(str(int(rate))) - 2)
    return f"{round(rate, -digits):,.0f}"
