"""A lineage is a training with all that it was forked from: every step belongs to the run that computed it.

A fork is described by what it came from (`Origin`), not by its weights: the parent's experiment, what was changed while
it trained, and the step. Training is the same bit for bit each time, so that is enough to have the weights again. Where
the parent's run is at hand, the fork is taken from it at once; otherwise the parent is trained anew up to that step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from .data.base import Data
from .experiment import Experiment, with_value
from .record import Detail, RecordView
from .run import Run, live_paths

Event = tuple[int, str, float]


@dataclass(frozen=True)
class Origin:
    """Where a fork comes from.

    parent   the experiment that the parent's training began with
    step     updates that the parent had done
    events   (step, path, value): settings that were changed while it trained, before that step
    origin   where the parent itself was forked from
    """

    parent: Experiment
    step: int
    events: tuple[Event, ...] = ()
    origin: Origin | None = None

    @property
    def first_step(self) -> int:
        """The first step of the parent's own."""
        return self.origin.step if self.origin is not None else 0

    def with_experiments(self, change: Callable[[Experiment], Experiment]) -> Origin:
        """The same with every experiment replaced: their data files are found from another folder."""
        before = self.origin.with_experiments(change) if self.origin is not None else None
        return Origin(change(self.parent), self.step, self.events, before)


def origin_at(
    experiment: Experiment, events: Iterable[Event], origin: Origin | None, step: int
) -> tuple[Experiment, Origin]:
    """What a fork at `step` trains on with so that nothing changes, and where it comes from.

    experiment   what the training began with that stands there now, and `origin` where it came from
    events       what was changed while it trained
    """
    while origin is not None and step < origin.step:
        experiment, events, origin = origin.parent, origin.events, origin.origin
    before = tuple(sorted(event for event in events if event[0] <= step))
    first = origin.step if origin is not None else 0
    parent = Origin(experiment, step, tuple(e for e in before if first <= e[0] < step), origin)
    for _step, path, value in before:
        experiment = with_value(experiment, path, value)
    return experiment, parent


def run_key(experiment: Experiment) -> bytes:
    """Equal for experiments that train alike step by step; name and length of the training do not matter, nor what is
    set in a muted layer.
    """
    training = experiment.training
    if not experiment.training.schedule.uses_length:
        training = msgspec.structs.replace(training, epochs=1)
    plain = msgspec.to_builtins(msgspec.structs.replace(experiment, name="", training=training))
    plain["network"] = _heard(plain["network"])
    return msgspec.json.encode(plain)


def _heard(value: Any) -> Any:
    """Plain layers, and of muted ones only that there is something."""
    if isinstance(value, list | tuple):
        return [_heard(item) for item in value]
    if isinstance(value, dict):
        return {"muted": True} if value.get("muted") else {key: _heard(item) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Stage:
    """A part of a lineage: from `first_step` on this is trained, with these changes while training."""

    experiment: Experiment
    first_step: int
    events: tuple[Event, ...] = ()
    origin: Origin | None = None


def stages_of(experiment: Experiment, origin: Origin | None) -> list[Stage]:
    """From the beginning to the experiment itself."""
    found = [Stage(experiment, origin.step if origin is not None else 0, (), origin)]
    while origin is not None:
        found.insert(0, Stage(origin.parent, origin.first_step, origin.events, origin.origin))
        origin = origin.origin
    return found


class Lineage:
    """The runs of a training, oldest first; one of them is in charge of the present position.

    experiment   what is trained now, from the step of `origin` on
    relatives    lineages in the same folder: their data is used, and a run that this one comes from is moved to the
                 fork's step
    progress     called with (done, total) while kernels are compiled the first time

    Forks that no run is at hand for are made when their step is reached.
    """

    def __init__(
        self,
        experiment: Experiment,
        origin: Origin | None = None,
        *,
        folder: Path | None = None,
        relatives: Sequence[Lineage] = (),
        progress: Callable[[int, int], None] | None = None,
    ):
        self.stages = stages_of(experiment, origin)
        self.runs: list[Run] = []
        self._index = 0
        parent = _parent_of(origin, relatives) if origin is not None else None
        if parent is not None and origin is not None:
            parent.seek(origin.step)
            self._fork(parent)
        else:
            first = self.stages[0]
            data = _data_of(first.experiment, relatives)
            self.runs.append(Run(first.experiment, data, folder=folder, progress=progress))
            self.runs[0].plan_live(first.events)

    def _fork(self, parent: Run) -> None:
        """Make the run of the next stage out of one that stands where it begins."""
        stage = self.stages[-1] if not self.runs else self.stages[len(self.runs)]
        child = parent.fork(stage.experiment)
        for path, value in live_paths(stage.experiment).items():
            if child.live_value(path) != value:
                child.set_live(path, value)
        child.plan_live(stage.events)
        self.runs = []
        run: Run | None = child
        while run is not None:
            self.runs.insert(0, run)
            run = run.past
        self._index = len(self.runs) - 1

    # --- what there is

    @property
    def run(self) -> Run:
        """The run in charge of the present position."""
        return self.runs[self._index]

    @property
    def newest(self) -> Run:
        """The run of the last stage that was reached; its record begins with what the others measured."""
        return self.runs[-1]

    @property
    def complete(self) -> bool:
        """Whether the last fork is made."""
        return len(self.runs) == len(self.stages)

    @property
    def origin(self) -> Origin | None:
        return self.stages[-1].origin

    @property
    def first_step(self) -> int:
        """The first step that the present experiment trains."""
        return self.stages[-1].first_step

    @property
    def end(self) -> int:
        """Updates done at the newest moment that is recorded."""
        return self.newest.record.end

    def expect(self, experiment: Experiment) -> None:
        """Another experiment for the last stage, which is not reached yet."""
        last = self.stages[-1]
        self.stages[-1] = Stage(experiment, last.first_step, last.events, last.origin)

    def limit_checkpoints(self, budget: int) -> None:
        """From now on the checkpoints of all runs take up at most `budget` bytes."""
        for run in self.runs:
            run.limit_checkpoints(budget // len(self.runs))

    # --- time

    def take(self, step: int) -> Run:
        """Put the run in charge that computes from position `step` on, or comes nearest to it; nothing is computed."""
        self._index = max(i for i, run in enumerate(self.runs) if run.first_step <= step or i == 0)
        following = self._following()
        if following is not None and step >= following:
            self._hand_over()
        return self.run

    def advance(self, steps: int) -> None:
        """Take steps from the present position, as `Run.advance`, through all forks on the way."""
        goal = self.run.step + steps
        self._hand_over()
        while self.run.step < goal:
            following = self._following()
            before = self.run.step
            self.run.advance((goal if following is None else min(goal, following)) - before)
            self._hand_over()
            if self.run.step == before:
                return  # early stopping has ended the training

    def _following(self) -> int | None:
        """The step at which another run takes over."""
        after = self._index + 1
        return self.stages[after].first_step if after < len(self.stages) else None

    def _hand_over(self) -> None:
        """Where the run in charge stands at the step of a fork, the fork goes on."""
        while self.run.row == 0 and self.run.step == self._following():
            if self._index + 1 == len(self.runs):
                self._fork(self.run)
            else:
                self._index += 1
                self.run.seek(self.run.first_step)

    def seek(self, step: int) -> None:
        """Go to a position, back or forward, as `Run.seek`."""
        run = self.take(step)
        following = self._following()
        if step > run.step and following is not None and step >= following:
            self.advance(step - run.step)
        else:
            run.seek(step)

    # --- what was measured

    def view(self, looking: bool = False) -> RecordView:
        """The record of all steps, as `Run.view`; the line of the present position is of the run in charge."""
        if self.run is self.newest or not looking:
            return self.newest.view(looking)
        record = self.newest.record
        line, detail = self.run.look()
        mine = record.translated(line[None], self.run.record)[0]
        return record.view(self.run.step, mine, self.detail(detail))

    def detail(self, detail: Detail) -> Detail:
        """Percentiles of the run in charge as those of the newest run's layers."""
        return self.newest.record.detail_of(detail, self.run.record)


def _data_of(experiment: Experiment, relatives: Sequence[Lineage]) -> Data | None:
    """The data of an experiment where one of the lineages has loaded it."""
    for lineage in relatives:
        for run in lineage.runs:
            if run.experiment.data == experiment.data and run.experiment.seed == experiment.seed:
                return run.data
    return None


def _parent_of(origin: Origin, relatives: Sequence[Lineage]) -> Run | None:
    """The run that a fork comes from, where one of the lineages has it: it has been at that step."""
    for lineage in relatives:
        for stage, run in zip(lineage.stages, lineage.runs, strict=False):
            if (
                stage.origin == origin.origin
                and run.record.end >= origin.step
                and run_key(run.experiment) == run_key(origin.parent)
                and origin.events == _events_before(run, origin)
            ):
                return run
    return None


def _events_before(run: Run, origin: Origin) -> tuple[Event, ...]:
    return tuple(sorted(e for e in run.record.events if origin.first_step <= e[0] < origin.step))
