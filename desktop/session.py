"""The session is the one mutable thing in the window: which lanes there are, what they are, and which moment is shown.

Everything on screen reads it and listens to its four signals; everything a person does calls one of its methods. Views
never know each other. Experiments are immutable: an edit replaces one, and one undo command remembers the lanes before
and after. The training itself happens in the worker's thread (`worker.py`); what it sends arrives here as frozen
snapshots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtGui import QUndoStack

from layerscope.core import editing
from layerscope.core.data.digits import Digits
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.diagnostics.rules.base import Rule, all_rules
from layerscope.core.engine.program import Operation
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, with_data_paths, with_value
from layerscope.core.fields import describe
from layerscope.core.figures.figure import Lane, Scene
from layerscope.core.lanes import NAMES, difference
from layerscope.core.lineage import Origin, origin_at
from layerscope.core.network import Plan, plan
from layerscope.core.run import live_paths
from layerscope.core.studies.base import Study
from layerscope.core.text import _

from . import worker as work
from .outlines import Outlines
from .trials import Steady, Trial
from .undo import Lanes, LanesEdit

Unit = Literal["operation", "minibatch", "epoch"]
MOST_LANES = len(NAMES)
COLLECT_MILLISECONDS = 32  # thirty frames a second
AGAIN_MILLISECONDS = 5  # while playing, when the worker has not posted the next frame yet
NOTICE_MILLISECONDS = 6000  # for which the line about an edit is shown


@dataclass(frozen=True)
class LaneState:
    """One lane: an experiment and what it is called. Frozen; the undo stack keeps tuples of these.

    name     "A", "B", ... in the order of the lanes; decides the color
    origin   where it was forked from; None: it trains from step 0. Another experiment begins at the same step.
    """

    name: str
    experiment: Experiment
    origin: Origin | None = None


@dataclass(frozen=True)
class Wire:
    """The numbers that the operation done last put on its wire, of the selected lane.

    operation   which one; its `path` is the card to highlight, its `phase` says forward, backward or update
    values      (rows, *shape) for values of samples, or the parameter's shape
    """

    lane: int
    operation: Operation
    values: NDArray[np.floating[Any]]
    done: int
    total: int


def named(experiments: list[Experiment] | tuple[Experiment, ...]) -> Lanes:
    """Lanes A, B, ... of experiments in order."""
    return tuple(LaneState(name, experiment) for name, experiment in zip(NAMES, experiments, strict=False))


def renamed(lanes: list[LaneState]) -> Lanes:
    """The same lanes with the names of their places."""
    return tuple(replace(lane, name=name) for name, lane in zip(NAMES, lanes, strict=False))


def empty_experiment() -> Experiment:
    """Where a lab begins: the digits, and no layer yet."""
    return Experiment(name=_("New network"), data=Digits())


class Session(QObject):
    """See the module's sentence. Attributes are read-only for everyone else."""

    lanes_changed = Signal()  # lanes were added, removed or edited (also by undo): cards, chips, plans are new
    selection_changed = Signal()  # another lane or card is selected
    scene_changed = Signal()  # at most 30 times a second: `scene`, `wire`, `position`, `end` are new
    state_changed = Signal()  # playing, stepping, compiling, ready, blocked, failed; file name, modified

    lanes: tuple[LaneState, ...]
    selected_lane: int
    selected_card: str  # a layer's path, "data", "loss", "training" or ""
    scene: Scene | None  # None until the first frame has arrived
    wire: Wire | None
    position: int  # updates done at the moment that is shown
    end: int  # updates done at the newest moment
    goal: int  # updates at which playing ends
    playing: bool
    catching_up: bool  # a lane is on its way to `position`
    exact: bool  # the scene carries the exact line of its step, percentiles included
    speed: float  # steps a second, 0: as fast as possible
    steps_per_second: float
    blocked: str  # why training is not offered now (a problem of the network), one sentence; "" when it is
    studying: float | None  # the share that is done of the studies that a person asked for
    progress: tuple[int, int] | None  # (done, total) kernels while the first start compiles
    failure: str  # one clear line when the worker failed; the experiment is intact
    notice: str  # one line about what just happened to the training: paused at NaN, begun again, a setting applied
    warns: bool  # the notice is about something that went wrong
    rules: tuple[Rule, ...]  # the doctor's, with the thresholds that count
    trials: tuple[Trial, ...]  # what was tried against findings in lanes of their own
    remedies: tuple[Proposal, ...]  # what to try against that which is not finite, while training has paused there
    failed_lane: int  # in which that is
    diagnosis: str  # what made a number that is not finite and why, one line, while training has paused there
    file: str  # path of the open file, "" when there is none

    def __init__(self, lanes: Lanes | None = None, parent: QObject | None = None):
        super().__init__(parent)
        self.lanes = lanes or named([empty_experiment()])
        self.selected_lane, self.selected_card = 0, ""
        self.scene, self.wire = None, None
        self.position = self.end = self.goal = 0
        self.playing = self.catching_up = self.exact = False
        self.speed, self.steps_per_second = 0.0, 0.0
        self.blocked = self.failure = self.notice = self.file = self.diagnosis = ""
        self.warns = False
        self.rules = all_rules()
        self.trials, self.remedies, self.failed_lane = (), (), 0
        self._steady = Steady()
        self._fading = QTimer(self)
        self._fading.setSingleShot(True)
        self._fading.setInterval(NOTICE_MILLISECONDS)
        self._fading.timeout.connect(self._fade)
        self._ended: tuple[work.Ended, ...] = ()
        self.progress = self.studying = None
        self._wanted: dict[object, tuple[Study, ...]] = {}
        self.log_file = ""
        self._outlines = Outlines(self)
        self._outlines.known.connect(self._outline_known)
        self._plans: dict[int, tuple[Experiment, Plan]] = {}
        self._words: tuple[Lanes, dict[int, str]] = ((), {})
        self._frame: work.Frame | None = None
        self._fence = 0  # frames made before this command was obeyed show lanes that are gone
        self._moved = 0  # frames made before this command was obeyed show another moment
        self._restarts = 0
        self.undo_stack = QUndoStack(self)
        self.undo_stack.cleanChanged.connect(self._clean_changed)
        self._unsaved_document = False
        self._closed = False
        self.worker = work.Worker(self)
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(COLLECT_MILLISECONDS)
        self._timer.timeout.connect(self.collect)
        self._check_problems()

    # --- life

    def start(self) -> None:
        """Begin to work; until then nothing is compiled, so that the window can appear first."""
        if not self.worker.isRunning() and not self._closed:
            self.worker.start()
            self._timer.start()
            self._send_lanes(fresh=True)
            self.worker.send(work.Judge(self.rules))

    def close(self) -> bool:
        """End the worker; whether it has ended."""
        self._closed = True
        self._outlines.close()
        self._timer.stop()
        self.undo_stack.blockSignals(True)  # it clears itself on its way out, and nobody needs to know
        return self.worker.leave() if self.worker.isRunning() else True

    # --- what is known of lanes

    @property
    def modified(self) -> bool:
        """Whether there is work that is in no file."""
        return self._unsaved_document or not self.undo_stack.isClean()

    @property
    def folder(self) -> Path | None:
        """Where relative paths of data files start: the folder of the open file."""
        return Path(self.file).parent if self.file else None

    @property
    def lane(self) -> LaneState:
        """The selected lane."""
        return self.lanes[self.selected_lane]

    def plan(self, lane: int) -> Plan:
        """The lane's network laid out, with its problems; cached."""
        experiment = self.lanes[lane].experiment
        known = self._plans.get(lane)
        if known is None or known[0] is not experiment:
            outline, waiting = self._outlines.get(experiment.data, self.folder)
            laid_out = plan(experiment, outline, self.folder, waiting=waiting)
            self._plans[lane] = known = (experiment, laid_out)
        return known[1]

    def _outline_known(self) -> None:
        """A file has been read: what fits to it is known now."""
        self._plans.clear()
        self._check_problems()
        self._send_lanes()
        self.lanes_changed.emit()
        self.state_changed.emit()

    def difference(self, lane: int) -> str:
        """What sets a lane apart from lane A, for its chip: "as built", "init: He normal · function: ReLU", "forked
        from A at step 300".
        """
        if self._words[0] is not self.lanes:
            self._words = self.lanes, {}
        known = self._words[1]
        if lane not in known:
            known[lane] = self._difference(lane)
        return known[lane]

    def _difference(self, lane: int) -> str:
        state = self.lanes[lane]
        words = difference(self.lanes[0].experiment, state.experiment)
        if state.origin is None:
            return words or (_("same as A") if lane else _("as built"))
        parent = self.parent_name(lane)
        fork = _("forked from {parent} at step {step:,}") if parent else _("forked at step {step:,}")
        fork = fork.format(parent=parent, step=state.origin.step)
        return f"{fork} · {words}" if words else fork

    def parent_name(self, lane: int) -> str:
        """The lane that a fork comes from, "" when there is none (any more)."""
        origin = self.lanes[lane].origin
        if origin is None:
            return ""
        for index, other in enumerate(self.lanes):
            same = other.origin == origin.origin and work.alike(origin.parent, other.experiment)
            if index != lane and same:
                return other.name
        return ""

    # --- edits (each one undo step; text is what the undo menu says)

    def edit(self, experiment: Experiment, text: str, lane: int | None = None, merge: str = "") -> None:
        """Replace a lane's experiment (the selected lane's when None). Equal to the old one: nothing happens.

        merge   edits in a row with the same non-empty key become one undo step (dragging a slider)
        """
        index = self.selected_lane if lane is None else lane
        if experiment == self.lanes[index].experiment:
            return
        changed = list(self.lanes)
        changed[index] = replace(changed[index], experiment=experiment)
        self._push(tuple(changed), text, f"{index}:{merge}" if merge else "")

    def set_value(self, path: str, value: Any, text: str = "", lane: int | None = None, merge: str = "") -> None:
        """Set one setting by path, like `--set`; raises InputError when it is not allowed, and changes nothing."""
        index = self.selected_lane if lane is None else lane
        changed = with_value(self.lanes[index].experiment, path, value)
        self.edit(changed, text or _("change {setting}").format(setting=path.rsplit(".", 1)[-1]), index, merge)

    # A layer is called by its path ("2", "2.body.1") or, in the network itself, by its number. A list of layers is
    # called by its place ("network", "network.2.body"); these four raise InputError when it cannot be so.

    def add_layer(self, index: int, layer: Any, lane: int | None = None, place: str = "network") -> None:
        """Put a layer before number `index` of a list."""
        changed = editing.inserted(self._experiment(lane), place, index, layer)
        self.edit(changed, _("add {layer}").format(layer=layer.title()), lane)

    def delete_layer(self, path: int | str, lane: int | None = None) -> None:
        """Take a layer out."""
        text = _("delete {layer}").format(layer=self._title(path, lane))
        self.edit(editing.deleted(self._experiment(lane), str(path)), text, lane)

    def duplicate_layer(self, path: int | str, lane: int | None = None) -> None:
        """Put a copy of a layer after it."""
        text = _("duplicate {layer}").format(layer=self._title(path, lane))
        self.edit(editing.duplicated(self._experiment(lane), str(path)), text, lane)

    def move_layer(self, path: int | str, to: int, lane: int | None = None, place: str | None = None) -> str:
        """Take a layer to another place; its path there. The others close the gap.

        to      its number among those of its own list; with `place`, the gap of that list, as before the move
        """
        experiment, path = self._experiment(lane), str(path)
        own, index = editing.split(path)
        gap = to if place is not None else to + 1 if to > index else to
        text = _("move {layer}").format(layer=self._title(path, lane))
        changed, there = editing.moved(experiment, path, place or own, gap)
        self.edit(changed, text, lane)
        return there

    def mute_layer(self, path: int | str, muted: bool, lane: int | None = None) -> None:
        """Switch a layer off, or on again; all others keep their places and draws."""
        text = _("switch {layer} off") if muted else _("switch {layer} on")
        changed = editing.muted(self._experiment(lane), str(path), muted)
        self.edit(changed, text.format(layer=self._title(path, lane)), lane)

    def add_branch(self, place: str, lane: int | None = None) -> None:
        """One more branch in a block: `place` is that of its branches, "network.3.branches"."""
        self.edit(editing.with_part(self._experiment(lane), place), _("add branch"), lane)

    def delete_branch(self, place: str, lane: int | None = None) -> None:
        """Take a branch out of a block: "network.3.branches.1"."""
        self.edit(editing.without_part(self._experiment(lane), place), _("delete branch"), lane)

    def try_in_lane(self, path: str, value: Any, lane: int | None = None) -> None:
        """A new lane, a copy of this one with one setting changed; raises InputError when it is not allowed.

        Of a fork it is one from the same step.
        """
        origin = self.lanes[self.selected_lane if lane is None else lane].origin
        self.add_lane(with_value(self._experiment(lane), path, value), origin)

    def try_proposal(self, proposal: Proposal, rule: str, lane: int | None = None) -> str:
        """A new lane, this one with what the doctor proposes against a rule's finding, from the same draws and to the
        same step; where nothing was trained yet, or training has paused at a number that is not finite, it plays.

        What stands in the way, one sentence, nothing being changed then; "" when there is nothing.
        """
        index = self.selected_lane if lane is None else lane
        source = self.lanes[index]
        try:
            experiment = proposal.apply(source.experiment)
        except InputError as error:
            return str(error)
        added = LaneState(NAMES[min(len(self.lanes), MOST_LANES - 1)], experiment, source.origin)
        there = self.lane_of_trial(experiment, source.origin)
        if there is None and len(self.lanes) >= MOST_LANES:
            return _("Four lanes are as many as can be told apart. Remove lane {name} first.").format(
                name=self.lanes[self._least_wanted(index)].name
            )
        trial = Trial(rule, proposal.text, source.experiment, experiment, source.origin, self.position)
        self.trials = (*(one for one in self.trials if one.key != trial.key), trial)
        if there is not None:
            self.select(lane=there)
            self.scene_changed.emit()
            return ""
        begins = not self.blocked and not self.playing and (self.end == 0 or bool(self.diagnosis))
        self._add(added, _("try in lane {name}: {proposal}").format(name=added.name, proposal=proposal.text))
        if begins:
            self.play()
        return ""

    def lane_of_trial(self, experiment: Experiment, origin: Origin | None) -> int | None:
        """The lane that is this experiment from this origin."""
        return next((i for i, x in enumerate(self.lanes) if x.experiment == experiment and x.origin == origin), None)

    def _least_wanted(self, kept: int) -> int:
        """The lane that could go: one in which a finding is still there against which it was made, or the last one."""
        lanes = self.scene.lanes if self.scene is not None else ()
        for trial in self.trials:
            there = self.lane_of_trial(trial.experiment, trial.origin)
            if there is None or there == kept or there >= len(lanes):
                continue
            said = lanes[there].examination
            if said is not None and said.found(trial.rule) is not None:
                return there
        return next(i for i in reversed(range(len(self.lanes))) if i != kept)

    def set_rules(self, rules: tuple[Rule, ...]) -> None:
        """Judge by these thresholds from now on; charts show them at once."""
        if rules == self.rules:
            return
        self.rules = rules
        self.worker.send(work.Judge(rules))
        if self.scene is not None:
            self.scene = replace(self.scene, rules=rules)
            self.scene_changed.emit()
        self.state_changed.emit()

    def _experiment(self, lane: int | None) -> Experiment:
        return self.lanes[self.selected_lane if lane is None else lane].experiment

    def _title(self, path: int | str, lane: int | None) -> str:
        return editing.layer_at(self._experiment(lane), str(path)).title()

    def add_lane(self, experiment: Experiment | None = None, origin: Origin | None = None) -> None:
        """A new lane: a copy of the selected one, or the given experiment. It trains to `position`, from the start or
        from the step of `origin`.
        """
        if len(self.lanes) >= MOST_LANES:
            return
        added = self.lane if experiment is None else LaneState("", experiment, origin)
        name = NAMES[len(self.lanes)]
        self._add(added, _("add lane {name}").format(name=name))

    def _add(self, added: LaneState, text: str) -> None:
        self._push(renamed([*self.lanes, added]), text)
        self.select(lane=len(self.lanes) - 1)

    @property
    def can_fork(self) -> bool:
        """Whether there is something to fork from, and room for another lane."""
        return not self.blocked and self.position > 0 and self._seen() is not None and len(self.lanes) < MOST_LANES

    def _seen(self) -> work.LaneFrame | None:
        """The selected lane as it was seen last."""
        frame, index = self._frame, self.selected_lane
        if frame is None or frame.serial < self._fence or index >= len(frame.lanes):
            return None  # no frame yet of the lanes that there are now
        return frame.lanes[index]

    def fork_here(self, step: int | None = None) -> None:
        """A new lane that goes on from the selected one's weights and all that it remembers at the step that is shown.

        step   go there first
        """
        if step is not None and step != self.position:
            self.scrub(step)
        seen = self._seen()
        if not self.can_fork or seen is None:
            return
        lane = self.lane
        stopped = [at for at, what in seen.view.marks if what == "stopped"]
        here = min([self.position, *stopped])
        experiment, origin = origin_at(seen.began, seen.view.events, lane.origin, here)
        if origin.origin == lane.origin:
            # what it is now, name and length included, with the settings that are in force at that step
            now, then = live_paths(lane.experiment), live_paths(experiment)
            changed = {path: value for path, value in then.items() if path in now and now[path] != value}
            experiment = lane.experiment
            for path, value in changed.items():
                experiment = with_value(experiment, path, value)
        added = LaneState(NAMES[len(self.lanes)], experiment, origin)
        self._add(added, _("fork lane {name} at step {step:,}").format(name=lane.name, step=here))
        told = _("Lane {name} goes on from step {step:,} of lane {parent}. Change one thing in it and play.")
        self._tell(told.format(name=added.name, step=here, parent=lane.name))
        self.state_changed.emit()

    def remove_lane(self, lane: int) -> None:
        """Take a lane away; the last one stays."""
        if len(self.lanes) == 1:
            return
        text = _("remove lane {name}").format(name=self.lanes[lane].name)
        self._push(renamed([other for i, other in enumerate(self.lanes) if i != lane]), text)

    def _push(self, lanes: Lanes, text: str, merge: str = "") -> None:
        self.undo_stack.push(LanesEdit(self.lanes, lanes, self._show_lanes, text, merge))

    def _show_lanes(self, lanes: Lanes) -> None:
        """Put lanes into place; undo and redo come here too."""
        if lanes == self.lanes:
            return
        selected = self.selected_lane
        before, self.lanes = self.lanes, lanes
        self._steady.forget()
        self.selected_lane = min(self.selected_lane, len(lanes) - 1)
        self.failure = self.notice = ""
        self._check_problems()
        self._send_lanes()
        if len(before) == len(lanes) and not self.blocked:
            self._say_what_applies(before)
        self.lanes_changed.emit()
        if selected != self.selected_lane:
            self.selection_changed.emit()
        self.state_changed.emit()

    def _say_what_applies(self, before: Lanes) -> None:
        """Say whether an edit applies from now on or from a new start."""
        if self.end == 0:
            return  # nothing is trained yet: everything applies from the start
        for old, new in zip(before, self.lanes, strict=True):
            first = new.origin.step if new.origin is not None else 0
            effect = work.effect_of(old.experiment, new.experiment, self.position, first)
            lane = _("Lane {name}: ").format(name=new.name) if len(self.lanes) > 1 else ""
            if effect == "now":
                self._tell(lane + _("applies from step {step:,} on, without a new start").format(step=self.position))
            elif effect == "start" and self.position > first:
                words = _("starts over at step {first:,} and follows to step {step:,}")
                self._tell(lane + words.format(first=first, step=self.position))
            elif effect == "start":
                self._tell(lane + _("starts over at step {first:,}").format(first=first))

    def _tell(self, notice: str) -> None:
        """One line that goes away by itself."""
        self.notice, self.warns = notice, False
        self._fading.start()

    def _fade(self) -> None:
        if self.notice and not self.warns:
            self.notice = ""
            self.state_changed.emit()

    def select(self, lane: int | None = None, card: str | None = None) -> None:
        """Choose the lane whose cards are shown, or a card in it."""
        before = self.selected_lane, self.selected_card
        if lane is not None:
            self.selected_lane = lane
        if card is not None:
            self.selected_card = card
        if before == (self.selected_lane, self.selected_card):
            return
        if before[0] != self.selected_lane:
            self.wire = None
            self._moved = self._send(work.Select(self.selected_lane))
        if self.scene is not None:
            self.scene = replace(self.scene, selected=self.selected_card)
        self.selection_changed.emit()

    # --- documents

    def show_document(
        self,
        experiments: list[Experiment] | tuple[Experiment, ...],
        file: str = "",
        unsaved: bool = False,
        origins: tuple[Origin | None, ...] = (),
    ) -> None:
        """Open other lanes; what was here is forgotten, undo steps included.

        origins   where they were forked from, those that were
        unsaved   it is in no file although it is worth keeping: the restored work of the last session
        """
        lanes = list(named(experiments))
        for index, origin in enumerate(origins[: len(lanes)]):
            lanes[index] = replace(lanes[index], origin=origin)
        self.lanes = tuple(lanes)
        self.selected_lane, self.selected_card = 0, ""
        self.file = file
        self._unsaved_document = unsaved
        self.trials = ()
        self._steady.forget()
        self.undo_stack.clear()
        self.failure = self.notice = ""
        self.position = self.end = 0
        self.playing = False
        self.wire = None
        self._check_problems()
        self._send_lanes(fresh=True)
        self.lanes_changed.emit()
        self.selection_changed.emit()
        self.state_changed.emit()

    def saved_as(self, file: str, experiment: Experiment | None = None) -> None:
        """Lane A is in this file now, as `experiment`: with paths of data files as they are read from there."""
        old, folder = self.folder, Path(file).parent
        moved = old != folder
        self.file = file
        self._unsaved_document = False

        def found(experiment: Experiment) -> Experiment:
            return with_data_paths(experiment, old, folder)

        lanes = tuple(
            replace(
                lane,
                experiment=found(lane.experiment),
                origin=lane.origin.with_experiments(found) if lane.origin is not None else None,
            )
            for lane in self.lanes
        )
        if experiment is not None:
            lanes = (replace(lanes[0], experiment=experiment), *lanes[1:])
        if moved:
            self._plans.clear()  # relative paths start somewhere else now
        if lanes != self.lanes:
            self._push(lanes, _("write paths of data files for the new folder"))
        elif moved and any(field.files for lane in self.lanes for field in describe(type(lane.experiment.data))):
            self._check_problems()
            self._send_lanes()
        self.undo_stack.setClean()
        self.state_changed.emit()

    def _clean_changed(self) -> None:
        self.state_changed.emit()

    # --- time

    def play(self) -> None:
        """Train on from the moment that is shown."""
        if self.blocked or self.playing:
            return
        self.playing = True
        self.failure = self.notice = ""
        self._ended = ()
        self._moved = self._send(work.Play())
        self.state_changed.emit()

    def pause(self) -> None:
        """Stop after the present step."""
        if not self.playing:
            return
        self.playing = False
        self._moved = self._send(work.Pause())
        self.state_changed.emit()

    def forward(self, unit: Unit) -> None:
        """Take one operation, minibatch or epoch."""
        self._move(unit, 1)

    def back(self, unit: Unit) -> None:
        """Take one operation, minibatch or epoch back."""
        self._move(unit, -1)

    def _move(self, unit: Unit, direction: int) -> None:
        if self.blocked:
            return
        playing, self.playing = self.playing, False
        self.failure = self.notice = ""
        self._ended = ()
        self._moved = self._send(work.Move(unit, direction))
        if playing:
            self.state_changed.emit()

    def scrub(self, step: int) -> None:
        """Show a past step in every panel at once from the record; the exact line and percentiles follow."""
        step = max(0, min(step, self.end))
        if self.blocked or (step == self.position and self.wire is None and not self.playing):
            return
        playing, self.playing = self.playing, False
        if playing:
            self._send(work.Pause())
        self.notice = ""
        self._moved = self._send(work.Seek(step))
        self.position, self.wire, self.exact = step, None, False
        if self.scene is not None:
            self.scene = replace(self.scene, step=step)
            self.scene_changed.emit()
        self.state_changed.emit()

    def restart(self) -> None:
        """Forget the training and begin again at step 0."""
        self.playing = False
        self.failure = self.notice = ""
        self.position = self.end = 0
        self.wire = None
        self._fence = self._moved = self._send(work.Restart())
        self.state_changed.emit()

    def set_speed(self, speed: float) -> None:
        """Steps a second, 0: as fast as possible."""
        self.speed = speed
        self._send(work.SetSpeed(speed))
        self.state_changed.emit()

    # --- studies

    def want(self, who: object, studies: tuple[Study, ...]) -> None:
        """Say which studies somebody looks at now; they are answered with every frame that shows a step exactly."""
        before = self._all_wanted()
        if studies:
            self._wanted[who] = studies
        else:
            self._wanted.pop(who, None)
        wanted = self._all_wanted()
        if wanted != before:
            self.worker.send(work.Want(wanted))

    def _all_wanted(self) -> tuple[Study, ...]:
        return tuple(dict.fromkeys(study for studies in self._wanted.values() for study in studies))

    def demand(self, studies: tuple[Study, ...]) -> None:
        """Answer studies that take their time, in every lane, at the moment that is shown."""
        if not self.blocked and studies:
            self.worker.send(work.Demand(studies))

    # --- the worker

    def _send(self, command: work.Command) -> int:
        if not isinstance(command, work.SetSpeed):
            self.exact = False  # until a frame comes that was made after this
        return self.worker.send(command)

    def _send_lanes(self, fresh: bool = False) -> None:
        jobs = tuple(
            None if self.plan(i).problems else work.Job(lane.experiment, self.folder, lane.origin)
            for i, lane in enumerate(self.lanes)
        )
        self._fence = self._moved = self._send(work.SetLanes(jobs, self.selected_lane, fresh))
        if self.blocked and self.playing:
            self.playing = False
            self._send(work.Pause())

    def _check_problems(self) -> None:
        self.blocked = ""
        for index, lane in enumerate(self.lanes):
            problems = self.plan(index).problems
            if problems:
                sentence = problems[0][1]
                several = len(self.lanes) > 1
                self.blocked = (
                    _("lane {name}: {problem}").format(name=lane.name, problem=sentence) if several else sentence
                )
                return

    def collect(self) -> None:
        """Take what lies in the mailbox; the timer calls this thirty times a second."""
        progress = self.worker.take_progress()
        state = self._state()
        self.studying = self.worker.take_studying()
        if progress != self.progress:
            self.progress = progress
        frame = self.worker.take_frame()
        if frame is not None and frame.serial >= self._fence:
            self._take(frame)
        if self._state() != state:
            self.state_changed.emit()
        # A frame that is a little late is not a frame less.
        wait = AGAIN_MILLISECONDS if self.playing and frame is None else COLLECT_MILLISECONDS
        if self._timer.isActive() and self._timer.interval() != wait:
            self._timer.setInterval(wait)

    def _state(self) -> tuple[Any, ...]:
        return (
            self.playing,
            self.progress,
            self.failure,
            self.notice,
            self.catching_up,
            self.exact,
            self.goal,
            self.studying,
            self.diagnosis,
        )

    def _take(self, frame: work.Frame) -> None:
        self._frame = frame
        current = frame.serial >= self._moved
        self.goal = frame.goal
        self.steps_per_second = frame.rate
        if current:
            self.playing = frame.playing
            self.position = frame.position
            self.catching_up = frame.catching_up
            self.exact = frame.exact
            value = frame.value
            self.wire = (
                Wire(value.lane, value.operation, value.values, value.done, value.total) if value is not None else None
            )
            self._take_messages(frame)
        self.end = max(frame.end, self.position)
        if frame.failure is None:
            lanes = tuple(
                self._scene_lane(index, lane, frame.playing)
                for index, lane in enumerate(frame.lanes)
                if lane is not None and index < len(self.lanes)
            )
            step = frame.shown if current else self.position
            self.scene = Scene(lanes, step, self.rules, self.selected_card) if lanes else None
        self.scene_changed.emit()

    def _scene_lane(self, index: int, lane: work.LaneFrame, playing: bool) -> Lane:
        state = self.lanes[index]
        experiment = state.experiment
        return Lane(
            name=state.name,
            label=self.difference(index),
            view=lane.view,
            plan=lane.plan,
            predictions=lane.predictions,
            experiment=(experiment.name, experiment.seed, lane.identity),
            chance=lane.chance,
            training=experiment.training,
            setup=experiment,
            inputs=lane.inputs,
            answers=lane.answers,
            examination=self._steady.take(index, lane.examination, playing),
        )

    def _take_messages(self, frame: work.Frame) -> None:
        if frame.failure is not None:
            self.failure = self._failure_line(frame.failure)
        if frame.restarted != self._restarts:
            self._restarts = frame.restarted
            self.warns = True
            self.notice = _("The change is too far back to follow: all lanes begin again at step 0.")
        self.diagnosis = frame.stopped.says if frame.stopped is not None else ""
        self.remedies = frame.stopped.proposals if frame.stopped is not None else ()
        if frame.stopped is not None:
            self.failed_lane = frame.stopped.lane
        if frame.stopped is not None:
            stopped = frame.stopped
            name = self.lanes[stopped.lane].name if stopped.lane < len(self.lanes) else ""
            self.warns = True
            self.notice = _("Lane {name}: a number is not finite at step {step:,}. Training has paused.").format(
                name=name, step=stopped.step
            )

        if frame.ended != self._ended:
            self._ended = frame.ended
            if frame.ended:
                self._fading.stop()
                self.notice, self.warns = self._ended_line(frame.ended), False

    def _ended_line(self, ended: tuple[work.Ended, ...]) -> str:
        """What is said when early stopping has ended lanes, the newest last."""
        lines = []
        for one in ended:
            if one.lane >= len(self.lanes):
                continue
            several = len(self.lanes) > 1
            line = _("Early stopping ended the training at step {step:,}").format(step=one.step)
            if several:
                name = self.lanes[one.lane].name
                line = _("Early stopping ended lane {name} at step {step:,}").format(name=name, step=one.step)
            if one.best is not None:
                shown = _("; shown are the best weights, those of step {best:,}")
                best = _("; the validation loss was least at step {best:,}")
                line += (shown if one.shown else best).format(best=one.best)
            lines.append(line + ".")
        return " ".join(lines)

    def _failure_line(self, failure: work.Failure) -> str:
        if isinstance(failure.error, InputError):
            return str(failure.error)
        reason = " ".join(str(failure.error).split()) or type(failure.error).__name__
        line = _("Training stopped: an error in the program ({reason}). The experiment is intact; play tries again.")
        return line.format(reason=reason[:120])
