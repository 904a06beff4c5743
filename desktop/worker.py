"""The worker trains all lanes in a thread of its own, all to the same step, and posts what it sees into a mailbox.

Nobody else touches the runs. Commands go in through a queue; out come frozen frames through a mailbox that holds only
the newest one, because a window that paints thirty times a second has no use for ten thousand signals. Nothing is lost
by that: every step's numbers are in the record, and a frame shows the whole record as it stood.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
from numpy.typing import NDArray
from PySide6.QtCore import QObject, QThread

from layerscope.core.checkpoints import BUDGET, SHARED_BUDGET
from layerscope.core.data.summary import Inputs, summary_of
from layerscope.core.diagnostics.autopsy import examine as autopsy_of
from layerscope.core.diagnostics.doctor import Examination, examine
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.diagnostics.rules.base import Case, Rule, all_rules
from layerscope.core.engine.program import Operation
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, identity
from layerscope.core.lineage import Lineage, Origin, run_key
from layerscope.core.network import Plan
from layerscope.core.record import RecordView
from layerscope.core.run import Run, live_paths
from layerscope.core.studies.base import Answer, Progress, Study, answer
from layerscope.core.theory.mean_field import predictions_for

log = logging.getLogger(__name__)

CHUNK_SECONDS = 0.02  # one call of the compiled loops; the longest that a command has to wait
LARGEST_CHUNK = 20_000  # steps
CATCH_UP_SECONDS = 4.0  # a lane that starts over follows to the present step if that takes no longer
DETAIL_SECONDS = 0.5  # between two measurements of details while playing; each looks at every number of every layer
DETAIL_SHARE = 0.1  # of the time that they may take from the training
RATE_SECONDS = 0.5  # over which the speed is averaged
STUDY_SECONDS = 0.4  # between two answers to the same question while playing
STUDY_SHARE = 0.1  # of the time that studies may take from the training
EXAMINE_SECONDS = 0.3  # between two looks of the doctor while playing fast
EXAMINE_SHARE = 0.1  # of the time that he may take from the training
LOOKING_SPEED = 30.0  # steps a second up to which every step is shown exactly


# --- what the worker is asked to do


@dataclass(frozen=True)
class Job:
    """A lane as the worker needs it.

    experiment   what is trained
    folder       that its data files are relative to
    origin       where it was forked from; None: it begins at step 0
    """

    experiment: Experiment
    folder: Path | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class SetLanes:
    """These are the lanes now; None stands for one that cannot be trained as it is.

    fresh   another document: nothing of the old runs is kept, and time begins at step 0
    """

    jobs: tuple[Job | None, ...]
    selected: int = 0
    fresh: bool = False


@dataclass(frozen=True)
class Select:
    """The lane that is stepped operation by operation."""

    lane: int


@dataclass(frozen=True)
class Play:
    """Train on; at the planned end, for as long again."""


@dataclass(frozen=True)
class Pause:
    """Stop after the present step."""


@dataclass(frozen=True)
class SetSpeed:
    """Steps a second, 0: as fast as possible."""

    speed: float


@dataclass(frozen=True)
class Seek:
    """Show this step."""

    step: int


@dataclass(frozen=True)
class Move:
    """One unit forward (+1) or back (-1)."""

    unit: Literal["operation", "minibatch", "epoch"]
    direction: int


@dataclass(frozen=True)
class Restart:
    """Forget everything and begin again at step 0."""


@dataclass(frozen=True)
class Want:
    """The studies whose answers somebody looks at; with every frame that shows a step exactly they are answered."""

    studies: tuple[Study, ...]


@dataclass(frozen=True)
class Demand:
    """Answer these studies now, in every lane, at the position that is shown; they take their time."""

    studies: tuple[Study, ...]


@dataclass(frozen=True)
class Judge:
    """The doctor's rules from now on, with the thresholds that a person has set."""

    rules: tuple[Rule, ...]


Command = SetLanes | Select | Play | Pause | SetSpeed | Seek | Move | Restart | Want | Demand | Judge


# --- what it shows


@dataclass(frozen=True)
class LaneFrame:
    """One lane at the moment of a frame.

    step          updates done; less than the frame's position while the lane catches up
    predictions   what theory expects of its layers at initialization
    began         the experiment that its training began with, before settings were changed on the way
    inputs        what the samples look like that it is fed
    answers       of the studies that somebody looks at
    examination   what the doctor says; while playing it may be some steps old
    """

    view: RecordView
    plan: Plan
    step: int
    predictions: tuple[Any, ...]
    chance: float
    identity: str
    began: Experiment
    inputs: Inputs | None = None
    answers: Mapping[Study, Answer] = field(default_factory=dict)
    examination: Examination | None = None


@dataclass(frozen=True)
class Value:
    """What the operation done last computed, in the selected lane."""

    lane: int
    operation: Operation
    values: NDArray[Any]
    done: int
    total: int


@dataclass(frozen=True)
class Failure:
    """Why the worker stopped: what the person can put right, or an error of the program."""

    error: Exception
    lane: int | None


@dataclass(frozen=True)
class Ended:
    """Early stopping has ended a lane.

    best    step before which the validation loss was least
    shown   whether the weights of that step are shown now
    """

    lane: int
    step: int
    best: int | None
    shown: bool = False


@dataclass(frozen=True)
class Stopped:
    """A number of a lane is not finite in the coming step.

    says        the autopsy's line: the operation and the cause; "" where nothing can be found any more
    proposals   what the autopsy would try
    """

    lane: int
    step: int
    says: str
    proposals: tuple[Proposal, ...] = ()


@dataclass(frozen=True)
class Frame:
    """Everything that the window shows, as it stood at one moment. Frozen: the worker never looks back at it.

    serial       the newest command that was obeyed
    shown        the step whose numbers are to be shown
    position     updates done
    end          updates done at the newest moment that is recorded
    goal         where playing ends
    exact        every lane carries the exact line of the step `shown`
    restarted    how often all lanes had to begin again because following was too far
    ended        lanes that early stopping has ended, with the step and the step of the best weights
    stopped      the lane in which a number is not finite, when that is why training paused
    """

    serial: int
    lanes: tuple[LaneFrame | None, ...]
    shown: int
    position: int
    end: int
    goal: int
    playing: bool
    catching_up: bool
    exact: bool
    rate: float
    value: Value | None
    restarted: int
    stopped: Stopped | None
    failure: Failure | None
    ended: tuple[Ended, ...] = ()


class _Quit(BaseException):
    """Leaves whatever is being done, because the window closes."""


@dataclass
class _Lane:
    """A training and the experiment that it stands for now, live changes included."""

    lineage: Lineage
    experiment: Experiment
    folder: Path | None
    identity: str
    shown: Run | None = None  # the run that these three are of
    predictions: tuple[Any, ...] = ()
    chance: float = 0.0
    inputs: Inputs | None = None
    answers: dict[Study, Answer] = field(default_factory=dict)
    # when each study was answered last, how long that took, and where the run stood: (step, row)
    studied: dict[Study, tuple[float, float, tuple[int, int]]] = field(default_factory=dict)

    examination: Examination | None = None
    # when the doctor looked last, how long that took, and what at: (run, step, row)
    examined: tuple[float, float, tuple[Any, ...]] = (-1e9, 0.0, ())

    @property
    def run(self) -> Run:
        """What computes the present position: of a fork, before its step, the run that it came from."""
        return self.lineage.run

    def describe(self) -> None:
        """Look up what there is to know of network and data, when they are new."""
        run = self.lineage.newest
        if run is not self.shown:
            self.shown = run
            self.predictions = predictions_for(run.program.plan, run.data, run.experiment.training.batch_size)
            self.chance = run.experiment.loss.chance(run.data.outline)
            self.inputs = summary_of(run.data)


@dataclass
class _Demanded:
    """A study that is being worked on."""

    lane: _Lane
    study: Study
    work: Progress
    step: int
    position: int


def differs_only_live(old: Experiment, new: Experiment) -> dict[str, float] | None:
    """The live settings in which `new` differs from `old`, with their new values; None when something else differs."""
    before, after = live_paths(old), live_paths(new)
    if before.keys() != after.keys() or not before:
        return None
    if _without(old, before) != _without(new, after):
        return None
    return {path: value for path, value in after.items() if value != before[path]}


def alike(old: Experiment, new: Experiment) -> bool:
    """Whether one training can be both, with settings that were changed on the way."""
    return run_key(old) == run_key(new) or differs_only_live(old, new) is not None


def effect_of(old: Experiment, new: Experiment, position: int, first_step: int = 0) -> Literal["none", "now", "start"]:
    """What an edit does to a training that stands at `position`: nothing, it applies from now on, or from a new start.

    first_step   where the training begins: of a fork, its step

    The worker decides by the same two questions (`Worker._set_lanes`).
    """
    if run_key(old) == run_key(new):
        return "none"
    return "now" if position > first_step and differs_only_live(old, new) is not None else "start"


def _without(experiment: Experiment, paths: dict[str, float]) -> Any:
    plain = msgspec.json.decode(run_key(experiment))
    for path in paths:
        *inside, last = path.split(".")
        here = plain
        for step in inside:
            here = here[int(step) if isinstance(here, list) else step]
        here[last] = None
    return plain


class Worker(QThread):
    """See the module's sentence. `send` and the mailbox's two `take_` methods are what the window's thread uses."""

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self.setObjectName("layerscope-worker")
        self._wake = threading.Condition()
        self._commands: deque[tuple[int, Command]] = deque()
        self._serial = 0
        self._leaving = False
        # the mailbox; guarded by the same lock
        self._frame: Frame | None = None
        self._progress: tuple[int, int] | None = None
        self._studying: float | None = None
        # from here on only the worker's own thread
        self._lanes: list[_Lane | None] = []
        self._jobs: tuple[Job | None, ...] = ()
        self._selected = 0
        self._position = 0
        self._goal = 0
        self._playing = False
        self._speed = 0.0
        self._obeyed = 0
        self._chunk = 1
        self._due = 0.0
        self._restarted = 0
        self._stopped: Stopped | None = None
        self._said: set[int] = set()  # lanes of which it was said that a number is not finite where they stand
        self._ended: dict[int, Ended] = {}
        self._failure: Failure | None = None
        self._value: Value | None = None
        self._details: dict[int, tuple[float, float, Any]] = {}  # when they were measured, how long that took, what
        self._wanted: tuple[Study, ...] = ()
        self._demanded: deque[_Demanded] = deque()
        self._demands = 0
        self._unanswered: set[Study] = set()
        self._rules = all_rules()
        self._doctor_failed = False
        self._rate = 0.0
        self._known_rate = 0.0
        self._counted = 0
        self._counted_since = 0.0

    # --- from the window's thread

    def send(self, command: Command) -> int:
        """Put a command into the queue; its serial number, which frames made after it carry."""
        with self._wake:
            self._serial += 1
            self._commands.append((self._serial, command))
            self._wake.notify()
            return self._serial

    def take_frame(self) -> Frame | None:
        """The newest frame, if there is one that was not taken yet."""
        with self._wake:
            frame, self._frame = self._frame, None
            return frame

    def take_progress(self) -> tuple[int, int] | None:
        """(done, total) kernels while they are compiled; None otherwise."""
        with self._wake:
            return self._progress

    def take_studying(self) -> float | None:
        """The share that is done of the studies that were demanded, between 0 and 1; None when there are none."""
        with self._wake:
            return self._studying

    def leave(self, milliseconds: int = 2000) -> bool:
        """Ask the thread to end and wait for it; whether it has ended."""
        with self._wake:
            self._leaving = True
            self._wake.notify()
        return self.wait(milliseconds)

    # --- the thread

    def run(self) -> None:
        """Obey, train, show; until `leave`."""
        shown = False
        while True:
            try:
                if self._obey():
                    shown = False
                if self._demanded:
                    self._study_on()
                    shown = False
                    if self._demanded:
                        continue
                done = self._work()
                if done == "fast":
                    self._post(exact=False)
                    shown = False
                elif done == "slow" or not shown:
                    self._post(exact=True)
                    shown = True
                else:
                    self._rest()
            except _Quit:
                self._lanes = []
                return
            except Exception as error:  # noqa: BLE001
                self._fail(error)
                shown = False

    def _fail(self, error: Exception) -> None:
        if isinstance(error, InputError):
            log.info("the experiment cannot be run: %s", error)
        else:
            log.error("training failed", exc_info=error)
        # What the runs hold now may be half done: the next command starts new ones from the experiments.
        self._failure = Failure(
            error, next((i for i, lane in enumerate(self._lanes) if lane is None and self._job(i)), None)
        )
        self._lanes = [None] * len(self._jobs)
        self._playing = False
        self._value = None
        with self._wake:
            self._progress = None

    def _job(self, index: int) -> Job | None:
        return self._jobs[index] if index < len(self._jobs) else None

    def _rest(self) -> None:
        """Nothing to do until a command comes, or the next step of a slow walk is due."""
        with self._wake:
            if not self._commands and not self._leaving:
                timeout = max(0.0, self._due - time.perf_counter()) if self._playing else None
                self._wake.wait(timeout)

    def _obey(self) -> bool:
        """Carry out the commands that have come; whether there were any."""
        with self._wake:
            if self._leaving:
                raise _Quit
            commands, self._commands = self._commands, deque()
        for index, (serial, command) in enumerate(commands):
            # Of commands of the same kind that only say where to go or what is there, the newest wins.
            later = commands[index + 1][1] if index + 1 < len(commands) else None
            self._obeyed = serial
            if isinstance(command, Seek | SetLanes | SetSpeed | Want | Judge) and type(later) is type(command):
                continue
            try:
                self._carry_out(command)
            except Exception as error:  # noqa: BLE001
                self._fail(error)
        return bool(commands)

    def _carry_out(self, command: Command) -> None:
        if not isinstance(command, SetSpeed | Select | Pause | Want | Demand | Judge):
            self._failure = None
        match command:
            case SetLanes(jobs, selected, fresh):
                self._selected = selected
                if fresh:
                    self._forget()
                self._set_lanes(jobs)
            case Select(lane):
                self._selected = lane
                self._value = None
                self._align()
            case Play():
                self._revive()
                if any(self._lanes):
                    self._start_playing()
            case Pause():
                self._playing = False
            case SetSpeed(speed):
                self._speed = speed
                self._due = time.perf_counter()
            case Seek(step):
                self._revive()
                self._go(step)
            case Move(unit, direction):
                self._revive()
                self._move(unit, direction)
            case Restart():
                self._forget()
                self._set_lanes(self._jobs)
            case Want(studies):
                self._wanted = studies
            case Demand(studies):
                self._demand(studies)
            case Judge(rules):
                self._rules = rules

    def _forget(self) -> None:
        self._lanes = []
        self._ended = {}
        self._playing = False
        self._goal = 0
        self._go(0)

    # --- lanes

    def _revive(self) -> None:
        """After a failure: make the runs that are missing."""
        if any(lane is None and job is not None for lane, job in zip(self._lanes, self._jobs, strict=True)):
            self._set_lanes(self._jobs)

    def _set_lanes(self, jobs: tuple[Job | None, ...]) -> None:
        """Keep the runs that still fit, change live settings in place, make new runs for the rest."""
        old: list[_Lane | None] = list(self._lanes)
        self._jobs = jobs
        self._value = None
        self._stopped = None
        self._details = {}
        new: list[_Lane | None] = [None] * len(jobs)
        keys = [run_key(lane.experiment) if lane else None for lane in old]

        def take(index: int, place: int) -> None:
            lane, job = old[place], jobs[index]
            assert lane is not None
            assert job is not None
            lane.experiment, lane.folder, lane.identity = job.experiment, job.folder, identity(job.experiment)
            new[index], old[place], keys[place] = lane, None, None

        open_places = [i for i, job in enumerate(jobs) if job is not None]
        for i in list(open_places):
            job = jobs[i]
            assert job is not None
            key = run_key(job.experiment)
            for place in sorted(range(len(old)), key=lambda p: abs(p - i)):
                lane = old[place]
                fits = lane is not None and lane.folder == job.folder and lane.lineage.origin == job.origin
                if fits and keys[place] == key:
                    take(i, place)
                    open_places.remove(i)
                    break
        for i in list(open_places):
            lane, job = (old[i] if i < len(old) else None), jobs[i]
            assert job is not None
            if lane is None or lane.folder != job.folder or lane.lineage.origin != job.origin:
                continue
            changes = differs_only_live(lane.experiment, job.experiment)
            if not lane.lineage.complete:
                lane.lineage.expect(job.experiment)  # what it is forked from is still being trained
            elif changes is not None and self._position > lane.lineage.first_step:
                self._change_live(lane, changes)
                self._said.discard(i)
            else:
                continue
            take(i, i)
            open_places.remove(i)
        self._lanes = new
        self._said -= set(open_places)
        self._ended = {}
        for i in open_places:
            job = jobs[i]
            assert job is not None
            self._lanes[i] = self._new_lane(job, [lane for lane in (*self._lanes, *old) if lane is not None])
        self._share_memory()
        first = next((lane for lane in self._lanes if lane is not None), None)
        if first is None:
            self._playing = False
        self._goal = max(self._planned(), self._goal if self._position > self._planned() else 0)
        if open_places and self._position:
            self._follow_or_restart(open_places)
        self._align()

    def _share_memory(self) -> None:
        """Checkpoints of all lanes together stay within a bound; one lane alone has as much as it can use."""
        lanes = [lane for lane in self._lanes if lane is not None]
        for lane in lanes:
            lane.lineage.limit_checkpoints(min(BUDGET, SHARED_BUDGET // len(lanes)))

    def _change_live(self, lane: _Lane, changes: dict[str, float]) -> None:
        if lane.run.step != self._position:
            lane.run.seek(self._position)
        for path, value in changes.items():
            lane.run.set_live(path, value)

    def _new_lane(self, job: Job, others: list[_Lane]) -> _Lane:
        """A training from step 0, or from the fork's step where a run stands ready; lanes with the same data share it.

        others   the lanes that there are, and those that have just gone
        """
        near = [other.lineage for other in others if other.folder == job.folder]
        try:
            lineage = Lineage(job.experiment, job.origin, folder=job.folder, relatives=near, progress=self._compiling)
        finally:
            with self._wake:
                self._progress = None
        lane = _Lane(lineage, job.experiment, job.folder, identity(job.experiment))
        lane.describe()
        return lane

    def _compiling(self, done: int, total: int) -> None:
        """Called between two kernels while they are compiled."""
        with self._wake:
            self._progress = (done, total) if done < total else None
            if self._leaving:
                raise _Quit

    def _planned(self) -> int:
        """Where training is meant to end: what lane A, or the first that can be trained, asks for."""
        lane = next((lane for lane in self._lanes if lane is not None), None)
        return lane.experiment.training.epochs * lane.run.steps_per_epoch if lane else 0

    def _follow_or_restart(self, places: list[int]) -> None:
        """New lanes follow to the present step when that is short; otherwise all begin again together."""
        rate = self._known_rate or 1000.0
        behind = [self._position - lane.run.step for i in places if (lane := self._lanes[i]) is not None]
        if max(behind, default=0) / rate > CATCH_UP_SECONDS:
            self._go(0)
            self._restarted += 1

    # --- time

    def _go(self, step: int) -> None:
        self._position = max(0, step)
        self._said = {i for i in self._said if (lane := self._lane(i)) is not None and self._fails_by(lane, step)}
        self._ended = {}
        self._value = None
        self._stopped = None
        self._align()
        if self._all_finished():
            self._stay_at_the_end()

    def _lane(self, index: int) -> _Lane | None:
        return self._lanes[index] if index < len(self._lanes) else None

    @staticmethod
    def _fails_by(lane: _Lane, step: int) -> bool:
        return lane.run.failed_step is not None and lane.run.failed_step <= step

    def _align(self) -> None:
        """Lanes that are past the position, or inside a step, go back to a checkpoint; `_work` does the rest."""
        for index, lane in enumerate(self._lanes):
            if lane is None:
                continue
            run = lane.lineage.take(self._position)
            lane.describe()
            inside = run.row > 0 and (index != self._selected or self._value is None)
            if run.step == self._position and not inside:
                continue
            at, kept = run.checkpoints.nearest(self._position)
            if run.step > self._position or inside or at > run.step:
                # as Run.seek does, but without its replay, which happens in chunks that a command can end
                run.machine.kept[:] = kept
                run.step, run.row = at, 0

    def _start_playing(self) -> None:
        if self._value is not None:
            self._value = None
            self._finish_step()
        self._stopped = None
        if self._all_finished():
            self._note_ended()
            self._say_again()
            return
        self._ended = {}
        if self._position >= self._goal:
            self._goal = self._position + max(1, self._planned())
        self._playing = True
        self._due = time.perf_counter()
        self._rate = 0.0
        self._counted, self._counted_since = 0, self._due

    def _finish_step(self) -> None:
        """The step that was begun operation by operation is finished before anything else happens."""
        lane = self._selected_lane()
        if lane is not None and lane.run.row:
            lane.lineage.advance(1)
            lane.describe()
            self._position = lane.run.step

    def _selected_lane(self) -> _Lane | None:
        return self._lanes[self._selected] if self._selected < len(self._lanes) else None

    def _move(self, unit: str, direction: int) -> None:
        self._playing = False
        lane = self._selected_lane() or next((lane for lane in self._lanes if lane is not None), None)
        if lane is None:
            return
        if unit == "operation":
            if lane is not self._selected_lane():
                return
            self._stopped = None
            run = lane.run
            if direction < 0 and run.row == 0 and 0 < run.step == run.first_step:
                run = lane.lineage.take(run.step - 1)  # from the step of a fork into the run that it came from
            self._move_operation(run, direction)
            return
        inside = lane.run.row > 0
        if unit == "minibatch":
            # within a step, "back" goes to its beginning
            goal = self._position + direction if direction > 0 or not inside else self._position
        else:
            length = lane.run.steps_per_epoch
            epoch, part = divmod(self._position, length)
            goal = (epoch + 1) * length if direction > 0 else (epoch if part or inside else epoch - 1) * length
        if inside and direction > 0:
            self._value = None
            self._finish_step()
        self._go(goal)
        if direction > 0 and self._all_finished():
            self._note_ended()
            self._say_again()

    def _move_operation(self, run: Run, direction: int) -> None:
        if run.step != self._position:
            run.seek(self._position)
        operations = run.program.operations
        if direction > 0 and run.stopped:
            self._note_ended()
            return
        if direction > 0:
            operation: Operation | None = run.operation_forward()
        else:
            operation = run.operation_back()
        # Set before the lanes are aligned: a lane with a value on its wire stays inside its step.
        self._value = None
        if operation is not None:
            done = operations.index(operation) + 1
            self._value = Value(self._selected, operation, run.value(operation), done, len(operations))
        self._position = run.step
        self._align()
        if direction > 0 and run.failed and not run.row:
            self._say_again()

    def _say_again(self) -> None:
        """Somebody wants to go on where a number is not finite."""
        self._said.clear()
        self._watch_finite()

    def _work(self) -> Literal["", "fast", "slow"]:
        """Do about one chunk of what is to be done; "slow" when every step is to be seen, "" when idle."""
        behind = [lane for lane in self._lanes if lane is not None and self._is_behind(lane)]
        if behind:
            self._catch_up(behind)
            if self._all_finished():
                self._stay_at_the_end()
            self._watch_finite(going_back=False)
            return "fast"
        if not self._playing:
            return ""
        now = time.perf_counter()
        steps = min(self._chunk, self._goal - self._position)
        if self._speed:
            if now < self._due:
                return ""
            steps = min(steps, 1 + int((now - self._due) * self._speed))
            self._due = max(self._due + steps / self._speed, now - 1.0 / self._speed)
        if steps <= 0:
            self._playing = False
            return "slow"
        began = time.perf_counter()
        for lane in self._lanes:
            if lane is not None:
                lane.lineage.advance(steps)
                lane.describe()
        before = self._position
        self._position += steps
        if self._all_finished():
            self._stay_at_the_end()
        steps = self._position - before
        self._adapt(steps, time.perf_counter() - began)
        self._count(steps)
        self._watch_finite()
        self._note_ended()
        if self._all_finished():
            self._playing = False
            self._take_best()
        elif self._position >= self._goal:
            self._playing = False
        # at lecture speeds every step is shown with all that can be known of it
        return "fast" if self._playing and not 0 < self._speed <= LOOKING_SPEED else "slow"

    # --- lanes that early stopping has ended: they stay where they are while the others go on

    @staticmethod
    def _is_ended(lane: _Lane) -> bool:
        return bool(lane.run.finished and lane.run.row == 0)

    def _is_behind(self, lane: _Lane) -> bool:
        return lane.run.step < self._position and not self._is_ended(lane)

    def _all_finished(self) -> bool:
        """Whether there is no lane that could take another step."""
        lanes = [lane for lane in self._lanes if lane is not None]
        return bool(lanes) and all(self._is_ended(lane) for lane in lanes)

    def _stay_at_the_end(self) -> None:
        """Time does not go on behind the step at which the last lane has ended."""
        self._position = max(lane.run.step for lane in self._lanes if lane is not None)

    def _note_ended(self) -> None:
        for index, lane in enumerate(self._lanes):
            if lane is not None and lane.run.stopped and self._is_ended(lane) and index not in self._ended:
                self._ended[index] = Ended(index, lane.run.step, lane.run.best_step)

    def _take_best(self) -> None:
        """One lane alone goes back to its best weights, where the experiment asks for that; several stay in step."""
        lanes = [(index, lane) for index, lane in enumerate(self._lanes) if lane is not None]
        if len(lanes) != 1:
            return
        index, lane = lanes[0]
        stopping, ended = lane.experiment.training.early_stopping, self._ended.get(index)
        if ended is None or ended.best is None or stopping is None or not stopping.restore_best:
            return
        self._ended[index] = replace(ended, shown=True)
        kept = self._ended
        self._go(ended.best)
        self._ended = kept

    def _catch_up(self, behind: list[_Lane]) -> None:
        lane = min(behind, key=lambda lane: lane.run.step)
        steps = min(self._chunk, self._position - lane.run.step)
        began, before = time.perf_counter(), lane.run.step
        lane.lineage.advance(steps)
        lane.describe()
        self._adapt(lane.run.step - before, time.perf_counter() - began)

    def _adapt(self, steps: int, seconds: float) -> None:
        if seconds <= 0 or steps <= 0:
            return
        factor = min(2.0, max(0.5, CHUNK_SECONDS / seconds))
        if steps >= self._chunk or factor < 1:
            self._chunk = max(1, min(LARGEST_CHUNK, int(self._chunk * factor)))
        self._known_rate = 0.8 * self._known_rate + 0.2 * steps / seconds if self._known_rate else steps / seconds

    def _count(self, steps: int) -> None:
        self._counted += steps
        now = time.perf_counter()
        passed = now - self._counted_since
        if passed > RATE_SECONDS:
            self._rate = self._counted / passed
            self._counted, self._counted_since = 0, now

    def _watch_finite(self, going_back: bool = True) -> None:
        """Training pauses at the first step in which a number is not finite, once per lane and arrival.

        going_back   whether all lanes go to that step; not where one only follows the others
        """
        for index, lane in enumerate(self._lanes):
            if lane is None or not lane.run.failed or lane.run.row:
                self._said.discard(index)
                continue
            if index in self._said:
                continue
            self._said.add(index)
            step = lane.run.step
            if going_back:
                self._playing = False
                self._go(step)
            found = autopsy_of(lane.run)
            self._stopped = Stopped(index, step, *((found.short, found.proposals) if found is not None else ("", ())))
            return

    # --- studies

    def _demand(self, studies: tuple[Study, ...]) -> None:
        """Begin to answer these, lane by lane."""
        for lane in self._lanes:
            if lane is not None and lane.run.row == 0:
                for study in studies:
                    self._demanded.append(_Demanded(lane, study, study.work(lane.run), lane.run.step, self._position))
        self._demands = len(self._demanded)

    def _study_on(self) -> None:
        """Work on the demanded studies for one chunk of time; one whose run has moved meanwhile is given up."""
        until = time.perf_counter() + CHUNK_SECONDS
        share = 0.0
        while self._demanded and time.perf_counter() < until:
            now = self._demanded[0]
            there = any(lane is now.lane for lane in self._lanes)
            moved = now.position != self._position or now.lane.run.step != now.step or now.lane.run.row
            if not there or moved:
                self._demanded.popleft()
                continue
            try:
                share = float(next(now.work))
            except StopIteration as done:
                now.lane.answers[now.study] = Answer(now.step, done.value)
                self._demanded.popleft()
            except Exception as error:  # noqa: BLE001 (a study that fails must not end the training)
                self._say_unanswered(now.study, error)
                self._demanded.popleft()
        with self._wake:
            done_share = (self._demands - len(self._demanded) + share) / max(1, self._demands)
            self._studying = min(1.0, done_share) if self._demanded else None

    def _study(self, lane: _Lane, exact: bool) -> dict[Study, Answer]:
        """Answers to what somebody looks at, as fresh as the training allows."""
        run = lane.run
        wanted = set(self._wanted)
        for study in [s for s in lane.answers if s not in wanted and not s.demanded]:
            del lane.answers[study]
            lane.studied.pop(study, None)
        if self._is_behind(lane):
            return dict(lane.answers)
        here = run.step, run.row
        # All of them together, in all lanes, may take their share of the time and no more.
        costs = sum(cost for one in self._lanes if one is not None for _taken, cost, _place in one.studied.values())
        for study in self._wanted:
            now = time.perf_counter()
            taken, _cost, place = lane.studied.get(study, (-1e9, 0.0, (-1, -1)))
            fresh = place == here or (not exact and now - taken < max(STUDY_SECONDS, costs / STUDY_SHARE))
            if fresh or study.demanded:
                continue
            try:
                lane.answers[study] = answer(study, run)
            except Exception as error:  # noqa: BLE001
                self._say_unanswered(study, error)
                lane.answers[study] = Answer(run.step, None)
            lane.studied[study] = now, time.perf_counter() - now, here
        return dict(lane.answers)

    def _say_unanswered(self, study: Study, error: Exception) -> None:
        if study not in self._unanswered:
            self._unanswered.add(study)
            log.error("study %s", study, exc_info=error)

    # --- showing

    def _post(self, exact: bool) -> None:
        """Put a frame into the mailbox; while training only when the last one was taken, for frames cost time."""
        if not exact:
            with self._wake:
                if self._frame is not None and self._frame.serial == self._obeyed:
                    return
        behind = any(lane is not None and self._is_behind(lane) for lane in self._lanes)
        shown = self._position if exact or behind else max(0, self._position - 1)
        frames = tuple(self._show(index, lane, exact, shown) for index, lane in enumerate(self._lanes))
        ends = [lane.lineage.end for lane in self._lanes if lane is not None]
        frame = Frame(
            serial=self._obeyed,
            lanes=frames,
            shown=shown,
            position=self._position,
            end=max([self._position, *ends]),
            goal=self._goal,
            playing=self._playing,
            catching_up=behind,
            exact=exact,
            rate=self._rate,
            value=self._value,
            restarted=self._restarted,
            stopped=self._stopped,
            failure=self._failure,
            ended=tuple(self._ended.values()),
        )
        with self._wake:
            self._frame = frame

    def _show(self, index: int, lane: _Lane | None, exact: bool, shown: int) -> LaneFrame | None:
        if lane is None:
            return None
        run = lane.run
        if exact:
            view = lane.lineage.view(looking=True)
        else:
            view = lane.lineage.view()
            detail = self._detail(index, lane)
            if detail is not None and all(d.step != detail.step for d in view.details):
                view = replace(view, details=(*view.details, detail))
        newest = lane.lineage.newest  # what the record is of, before the step of a fork too
        return LaneFrame(
            view,
            newest.program.plan,
            run.step,
            lane.predictions,
            lane.chance,
            lane.identity,
            newest.experiment,
            lane.inputs,
            self._study(lane, exact),
            self._examine(lane, view, exact, shown),
        )

    def _examine(self, lane: _Lane, view: RecordView, exact: bool, shown: int) -> Examination | None:
        """What the doctor says; he looks as often as the training allows."""
        run, newest = lane.run, lane.lineage.newest
        now = time.perf_counter()
        taken, cost, place = lane.examined
        here = newest, run.step, run.row, exact
        if self._is_behind(lane):
            return lane.examination if place and place[0] is newest else None
        other = lane.examination is None or place[0] is not newest or lane.examination.rules != self._rules
        waits = self._playing and now - taken < max(0.0 if exact else EXAMINE_SECONDS, cost / EXAMINE_SHARE)
        if not other and (place == here or waits):
            return lane.examination
        try:
            case = Case(view, newest.program.plan, lane.experiment, shown, lane.inputs, lane.predictions, lane.chance)
            lane.examination = examine(case, self._rules) if len(view) or view.line is not None else None
        except Exception as error:
            lane.examination = None
            if not self._doctor_failed:
                self._doctor_failed = True
                log.error("the doctor cannot examine", exc_info=error)
        lane.examined = now, time.perf_counter() - now, here
        return lane.examination

    def _detail(self, index: int, lane: _Lane) -> Any:
        """Details of the newest step, measured anew a few times a second."""
        run = lane.run
        now = time.perf_counter()
        taken, cost, detail = self._details.get(index, (0.0, 0.0, None))
        if run.step > run.first_step and now - taken > max(DETAIL_SECONDS, cost / DETAIL_SHARE):
            detail = lane.lineage.detail(run.details(run.step - 1))
            self._details[index] = (now, time.perf_counter() - now, detail)
        return detail
