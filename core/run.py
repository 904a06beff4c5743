"""A run trains the network of an experiment, forward in time, backward in time, one operation or a million steps at a
time.

`Run` owns the memory; the compiled loop (`engine.executor`) does the work. A position s means: s updates are done.
Going back restores the nearest checkpoint and computes the steps again; the numbers that come out are the same bit for
bit, because everything random depends only on what it is for (`engine.random`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from .checkpoints import BUDGET, Checkpoints
from .data.base import Data
from .diagnostics.details import DETAIL_QUANTITIES, equal_share, unit_shares
from .diagnostics.histograms import Histograms, Part, histograms
from .engine import layout, random
from .engine.executor import Machine
from .engine.precision import FORMATS, rounded
from .engine.program import Operation, Tensor, compile_program
from .evaluation import Evaluation, Evaluator, averaged_parameters
from .experiment import Experiment
from .fields import Described, describe
from .guard import Guard, all_finite
from .layers.base import Layer
from .losses import accuracy_of
from .record import PERCENTILES, Detail, Record, RecordView
from .schedules.base import Clock
from .stopping import Watch

Array = NDArray[np.float64]
MOST_FITS, FIT_TOLERANCE = 10, 0.1  # of weights that are rescaled to the data (Mishkin & Matas 2016, algorithm 1)
LARGEST_LINES = 512 * 1024  # bytes of statistics that wait for the record at a time; more would not stay in the cache


class Run:
    """The training of one experiment.

    experiment   what is trained
    data         its data, when loaded already (lanes share it)
    folder       where relative paths of data files start
    record       measure every layer at every step
    progress     called with (done, total) while kernels are compiled the first time
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Data | None = None,
        *,
        folder: Path | None = None,
        record: bool = True,
        progress: Callable[[int, int], None] | None = None,
        first_step: int = 0,
    ):
        self.experiment = experiment
        training = experiment.training
        self.folder = folder
        self._records = record
        self.data = data if data is not None else experiment.data.load(experiment.seed, folder)
        self.program = compile_program(experiment, self.data, record)
        self.machine = Machine(self.program, self.data.x_train, self._encoded(self.data.t_train), experiment, progress)
        self._evaluator: Evaluator | None = None
        self._scout: Machine | None = None
        self.first_step = first_step
        self.step = first_step
        self.row = 0  # rows of the coming step that are done already
        samples = len(self.data.x_train)
        self.steps_per_epoch = math.ceil(samples / experiment.training.batch_size)
        self.record = Record(
            tuple(layer.path for layer in self.program.layers),
            tuple(layer.kind for layer in self.program.layers),
            steps_per_epoch=self.steps_per_epoch,
            first_step=first_step,
            run_columns=self.program.run_columns,
            layer_columns=self.program.layer_columns,
        )
        self.checkpoints = Checkpoints(first_step=first_step)
        self._line = np.full((1, self.program.columns), np.nan)
        self._ahead: tuple[Array, Detail] | None = None
        self._guard = Guard(self.program, record)
        self._begun: NDArray[Any] | None = None  # what was remembered when a step was begun operation by operation
        self.failed_step: int | None = (
            None  # the step in which a number came out as NaN or infinite: the run ends there
        )
        self.failed_network = 0  # of an ensemble, the one that failed; this run itself is 0
        self.past: Run | None = None  # the run that this one was forked from, as it was then, for this one alone
        # Evaluations of that run which still count: for the schedule, and for early stopping.
        self._before: tuple[tuple[int, float], ...] = ()
        self._before_stopping: tuple[tuple[int, float], ...] = ()
        self._met: NDArray[Any] | None = None  # the weights that the step computed last began with, if they are kept
        self._met_step = -1
        self._begin_watching()
        self.draw_parameters()
        self.checkpoints.add(first_step, self.machine.kept)
        # The other networks of an ensemble; this run itself is the first.
        self.others = tuple(
            Run(_other(experiment, index), self.data, record=False, first_step=first_step)
            for index in range(1, training.averaging.networks if training.averaging is not None else 1)
        )
        self.limit_checkpoints(BUDGET)

    def limit_checkpoints(self, budget: int) -> None:
        """From now on the checkpoints of all its networks take up at most `budget` bytes."""
        for run in (self, *self.others):
            run.checkpoints.limit(budget // (1 + len(self.others)))

    # --- parameters

    def draw_parameters(self) -> None:
        """The initial parameters: weights from their schemes, biases zero, all that is remembered zero."""
        self.machine.kept[:] = 0
        for tensor in self.program.tensors:
            parameter = tensor.parameter
            stream = random.key(self.experiment.seed, "init", tensor.name)
            drawn = parameter.init.draw(parameter.shape, parameter.fan_in, parameter.fan_out, stream)
            self.parameter(tensor)[...] = drawn
        for card in self.program.plan.cards:
            own = {t.parameter.name: self.parameter(t) for t in self.program.tensors if t.path == card.path}
            card.layer.settle(own)
        self._fit_to_data()
        self._round_weights()

    def _round_weights(self) -> None:
        """Where the weights themselves are numbers of 16 bits, those that are put there are rounded."""
        training = self.experiment.training
        if training.precision in FORMATS and not training.master_weights:
            for tensor in self.program.tensors:
                values = self.parameter(tensor)
                values[...] = rounded(values, training.precision)

    def _fit_to_data(self) -> None:
        """Rescale the weights whose scheme looks at the data, layer by layer, until the outputs have their spread."""
        untouched = {t: self.parameter(t).copy() for t in self.program.tensors if not t.parameter.trained}
        for layer in self.program.layers:
            spread = next((t for t in self.program.tensors if t.path == layer.path and t.parameter.scales_output), None)
            if spread is None:
                continue
            stop = next(o for o in self.program.operations if o.path == layer.path and o.phase == "forward").last_row
            for _ in range(MOST_FITS):
                self.prepare()
                self.machine.execute(self.begin_lines(1), self.step, 0, stop)
                outputs = self.machine.arena[layer.wire.at :][: self.machine.rows * layer.wire.width]
                variance = float(np.var(outputs, dtype=np.float64))
                if not math.isfinite(variance) or variance == 0.0 or abs(variance - 1.0) < FIT_TOLERANCE:
                    break
                self.parameter(spread)[...] /= math.sqrt(variance)
        for tensor, values in untouched.items():  # what was only sent forward to be measured counts for nothing
            self.parameter(tensor)[...] = values

    def parameter(self, tensor: Tensor) -> NDArray[Any]:
        """The present values of a parameter, as a view into the arena."""
        count = tensor.parameter.count
        return self.machine.arena[tensor.master : tensor.master + count].reshape(tensor.parameter.shape)

    def gradient(self, tensor: Tensor) -> NDArray[Any]:
        """The gradient of a parameter in the last step computed, as a view into the arena."""
        count = tensor.parameter.count
        return self.machine.arena[tensor.gradient : tensor.gradient + count].reshape(tensor.parameter.shape)

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters by name, "0.weight"."""
        return {tensor.name: self.parameter(tensor).copy() for tensor in self.program.tensors}

    # --- time

    @property
    def last_step(self) -> int:
        """Steps that the experiment asks for."""
        return self.experiment.training.epochs * self.steps_per_epoch

    def advance(self, steps: int) -> None:
        """Take `steps` whole steps from here; one that was begun operation by operation is finished as the first.

        Where a number is not finite the run ends: it stays before that step, with the last weights that are numbers.
        """
        goal = self.step + steps
        if self.row and self.step < goal:
            self.micro(len(self.program.table) - self.row)
        while self.step < goal:
            self._look_around()
            if self.finished:
                return
            stop = min(goal, self._next_stop(), self.step + max(1, LARGEST_LINES // (8 * self.program.columns)))
            self._take(stop - self.step)
            for number, other in enumerate(self.others, 1):
                if other.step < self.step:
                    other.seek(self.step)
                if other.failed_step is not None and other.failed_step < self.step:
                    self._end_with(number, other.failed_step)

    def _next_stop(self) -> int:
        """The next step before which something else is due: a checkpoint, an evaluation, details, a changed
        setting.
        """
        changes = [step for step, _, _ in self.record.events if step > self.step]
        if self.step < self.record.end:
            failing = [self.failed_step] if self.failed_step is not None and self.failed_step > self.step else []
            # in a replay nothing is recorded, and checkpoints are there
            return min([self.record.end, *failing, *changes])
        return min([self.checkpoints.next_after(self.step), next_detail(self.step), self._next_validation(), *changes])

    def _look_around(self) -> None:
        """What is due before the coming step is computed."""
        if self.checkpoints.due(self.step):
            self.checkpoints.add(self.step, self.machine.kept)
        if self.step == self.record.end and self._is_validation():
            self.validate()
            self._watch()

    def _is_validation(self) -> bool:
        if self._watching:
            return self.step % self.steps_per_epoch == 0
        return is_validation(self.step, self.steps_per_epoch)

    def _next_validation(self) -> int:
        if self._watching:
            return (self.step // self.steps_per_epoch + 1) * self.steps_per_epoch
        return next_validation(self.step, self.steps_per_epoch)

    # --- what is decided on the way

    def _begin_watching(self) -> None:
        """Nothing is known yet of how the validation loss goes."""
        training = self.experiment.training
        stopping, schedule = training.early_stopping, training.schedule
        self._watching = stopping is not None or schedule.watches
        self._watched = self.first_step  # the last evaluation that was looked at; one before training does not count
        self._stop_watch = Watch(stopping.min_delta if stopping is not None else 0.0)
        self._rate_watch = Watch(schedule.least_change)
        self._fed: list[tuple[int, float]] = []  # the evaluations that the schedule was told of
        self.rate_drops: list[int] = []  # steps from which on the schedule lowers the rate once more
        self.stopped_step: int | None = None  # where early stopping ended the training
        for step, loss in self._before:
            self._watch_rate(step, loss)
        for step, loss in self._before_stopping:
            self._stop_watch.feed(step, loss)
        self._counted = list(self._before_stopping)  # the evaluations that early stopping was told of
        if before := [step for step, _loss in (*self._before, *self._before_stopping)]:
            self._watched = max(before)

    def _watch_rate(self, step: int, loss: float) -> None:
        """Tell the schedule of an evaluation: it lowers the rate after too many epochs without improvement."""
        schedule = self.experiment.training.schedule
        self._fed.append((step, loss))
        self._rate_watch.feed(step, loss)
        if schedule.watches and self._rate_watch.waited > schedule.waits:
            self._rate_watch.waited = 0
            self.rate_drops.append(step)

    def _watch(self) -> None:
        """Look at the evaluations that are new: lower the rate, or end the training."""
        training = self.experiment.training
        stopping = training.early_stopping
        if not self._watching:
            return
        new = 0
        while new < len(self.record.validation) and self.record.validation[-1 - new][0] > self._watched:
            new += 1
        for step, loss, *_rest in self.record.validation[len(self.record.validation) - new :]:
            self._watched = step
            self._watch_rate(step, loss)
            self._stop_watch.feed(step, loss)
            self._counted.append((step, loss))
            if self._stop_watch.best_step == self.step:
                self.checkpoints.keep(self.step, self.machine.kept)
            if stopping is not None and self._stop_watch.waited >= max(1, stopping.patience):
                self.stopped_step = step if self.stopped_step is None else self.stopped_step
        self.record.marks = self.marks

    @property
    def best_step(self) -> int | None:
        """The step before which the validation loss was least, where early stopping watches it."""
        return self._stop_watch.best_step if self.experiment.training.early_stopping is not None else None

    @property
    def marks(self) -> tuple[tuple[int, str], ...]:
        """(step, what happened): "rate" where a plateau lowered it, "best" and "stopped" of early stopping."""
        found = [(step, "rate") for step in self.rate_drops]
        if self.best_step is not None:
            found.append((self.best_step, "best"))
        if self.stopped_step is not None:
            found.append((self.stopped_step, "stopped"))
        return tuple(sorted(found))

    @property
    def stopped(self) -> bool:
        """Whether early stopping has ended the training at the present step."""
        return self.stopped_step is not None and self.step >= self.stopped_step

    @property
    def failed(self) -> bool:
        """Whether a number of the coming step is not finite, so that it is not taken."""
        return self.failed_step is not None and self.step >= self.failed_step

    @property
    def finished(self) -> bool:
        """Whether no further step is taken from here."""
        return self.stopped or self.failed

    def take_best(self) -> None:
        """At the end of a training: go to the best weights, where the experiment asks for that."""
        stopping = self.experiment.training.early_stopping
        if stopping is not None and stopping.restore_best and self.best_step is not None:
            self.seek(self.best_step)  # of a fork whose best step is before it: the first step of its own

    @property
    def clock(self) -> Clock:
        return Clock(self.steps_per_epoch, self.last_step, tuple(self.rate_drops))

    def begin_lines(self, count: int) -> Array:
        """Empty lines for the next steps, in which only the learning rates stand."""
        lines = np.full((count, self.program.columns), np.nan)
        base = float(self.machine.hyper[self.program.live["training.optimizer.learning_rate"]])
        steps = np.arange(self.step, self.step + count)
        lines[:, layout.LEARNING_RATE] = self.experiment.training.schedule.rates(steps, base, self.clock)
        return lines

    def _take(self, steps: int) -> Array:
        self.prepare()
        lines, last = self.begin_lines(steps), steps - 1
        self._guard.remember(self.step, self.machine.kept)
        self.machine.hyper[self.program.watched] = 0.0
        self.machine.execute(lines[:last], self.step, 0, len(self.program.table))
        self._keep_weights(self.step + last)
        self.machine.execute(lines[last:], self.step + last, 0, len(self.program.table))
        wrong = self._guard.first_wrong(lines)
        if wrong is None and self._all_finite():
            self._keep(lines)
        else:
            self._fail(lines, wrong)
        return lines

    def _all_finite(self) -> bool:
        """Whether all is a number that no line of a step tells of."""
        hyper = self.machine.hyper
        return bool(
            hyper[self.program.watched] == 0.0
            and np.isfinite(hyper[self._guard.settings]).all()
            and all_finite(self.machine.kept)
        )

    def _fail(self, lines: Array, wrong: int | None) -> None:
        """A number is not finite after steps from here; `wrong`: the first of their lines that says so, None: no line.

        The steps are taken again to the one that fails, and that one is taken back. The same numbers come out.
        """
        begin = self.step
        self._again(begin)
        if wrong is not None:
            self.repeat(begin, wrong)
        if wrong is None or not self._all_finite():
            # Something that no line tells of went wrong before: the steps are taken one by one.
            self._again(begin)
            wrong = len(lines) - 1 if wrong is None else wrong
            for index in range(wrong):
                before = self.machine.kept.copy()
                self.repeat(begin + index, 1)
                if not self._all_finite():
                    self.machine.kept[:] = before
                    wrong = index
                    break
        if wrong:
            self._keep(lines[:wrong])
        self._end_here(lines[wrong])

    def _again(self, begin: int) -> None:
        """Go back to what was remembered at step `begin`, by way of the guard's copy."""
        assert self._guard.kept is not None
        self.machine.kept[:] = self._guard.kept
        for step in range(self._guard.step, begin):
            self.repeat(step, 1)

    def repeat(self, first: int, steps: int) -> None:
        """Take steps again that were taken before; nothing is recorded, the position stays."""
        here, self.step = self.step, first
        self.prepare()
        self.machine.hyper[self.program.watched] = 0.0
        if steps:
            self.machine.execute(self.begin_lines(steps), first, 0, len(self.program.table))
        self.step = here

    def _end_here(self, line: Array) -> None:
        """The coming step fails, with this line (columns,): it is recorded, but not taken."""
        self.failed_step, self.failed_network, self.row = self.step, 0, 0
        self._line[:] = line
        if self.step == self.record.end:
            self.record.append(line[None])

    def _end_with(self, number: int, step: int) -> None:
        """A network of the ensemble fails at a step before the present one: all of them end there."""
        self._cut(step + 1)
        self.seek(step)
        for other in self.others:
            if other.step > step:
                other.seek(step)
        self.failed_step, self.failed_network = step, number

    def _keep_weights(self, step: int) -> None:
        """Put aside the weights that a step begins with: it replaces them, and details are measured behind it."""
        if self._records:
            parameters = self.machine.arena[: self.program.parameter_count]
            if self._met is None:
                self._met = parameters.copy()
            else:
                self._met[:] = parameters
            self._met_step = step

    def _keep(self, lines: Array) -> None:
        """Steps are done: record those that are new."""
        first = self.step
        self.step += len(lines)
        self.row = 0
        self._line[:] = lines[-1]
        new = self.step - self.record.end
        if new > 0:
            self.record.append(lines[len(lines) - new :])
            if is_detail(self.step - 1) and first <= self.step - 1:
                self.record.add_detail(self.details(self.step - 1))

    def micro(self, rows: int) -> None:
        """Compute the next rows of the coming step; after the last one the step is done.

        A step that fails can be walked through as often as one likes; behind its last operation one stands before it.
        """
        self._look_around()
        if self.stopped:
            return
        if self.row == 0:
            self._ahead = self.look()
            self._keep_weights(self.step)
            self._begun = self.machine.kept.copy()
            self.prepare()
            self._line[:] = self.begin_lines(1)
        self.prepare()
        stop = min(self.row + rows, len(self.program.table))
        self.machine.execute(self._line, self.step, self.row, stop)
        self.row = stop
        if stop < len(self.program.table):
            return
        line = self._line.copy()
        if self._guard.first_wrong(line) is None and self._all_finite():
            self._keep(line)
        else:
            assert self._begun is not None
            self.machine.kept[:] = self._begun
            self._end_here(line[0])

    @property
    def operation(self) -> Operation | None:
        """The operation done last within the coming step; None between two steps."""
        return next((o for o in reversed(self.program.operations) if 0 < o.last_row <= self.row), None)

    @property
    def begun(self) -> NDArray[Any]:
        """What is remembered at the present position, weights first; within a step what that began with."""
        return self._begun if self.row and self._begun is not None else self.machine.kept

    def operation_forward(self) -> Operation:
        """Do the next operation; after the last one of a step the step is done."""
        operation = next(o for o in self.program.operations if o.last_row > self.row)
        self.micro(operation.last_row - self.row)
        return operation

    def operation_back(self) -> Operation | None:
        """Undo the last operation; the one that is then the last, None at the start of a step."""
        if self.row == 0:
            if self.step == self.first_step:
                return None
            self.seek(self.step - 1)
            done = len(self.program.operations)
        else:
            done = sum(o.last_row <= self.row for o in self.program.operations)
            self.seek(self.step)
        stop = self.program.operations[done - 2].last_row if done > 1 else 0
        if stop:
            self.micro(stop)
        return self.operation

    def seek(self, step: int) -> None:
        """Go to a position: back (a replay from a checkpoint) or forward. The record keeps its future."""
        step = max(step, self.first_step)
        at, kept = self.checkpoints.nearest(step)
        if self.row or not at <= self.step <= step:
            self.machine.kept[:] = kept
            self.step, self.row = at, 0
            self._line[:] = np.nan
            self._guard.forget()
        self.advance(step - self.step)

    def look(self) -> tuple[Array, Detail]:
        """What the coming step will measure, (columns,), and its details; the position stays.

        Forward and backward are computed, the parameters are not updated. Within a step: what the whole of it measures,
        not only the operations done so far, as computed when it was begun.
        """
        if self.row and self._ahead is not None:
            return self._ahead
        self.prepare()
        kept = self.machine.kept.copy()
        line = self.begin_lines(1)
        self.machine.execute(line, self.step, 0, len(self.program.table))
        self.machine.kept[:] = kept
        self.machine.hyper[self.program.watched] = 0.0
        return line[0], self.details(self.step, line[0])

    @contextmanager
    def rehearsal(self) -> Iterator[Callable[[int], Array]]:
        """The coming step computed once more from its start, for whoever wants to look at what comes about on the way.

        What is given takes the step up to a row of the table, and returns the line of what is measured so far,
        (columns,); meanwhile the values stand in `machine`. At the end all is as it was, within a step too.
        """
        machine = self.machine
        saved = machine.arena.copy(), machine.hyper.copy(), machine.context.copy()
        try:
            if self.row and self._begun is not None:
                machine.kept[:] = self._begun
            self.prepare()
            line, done = self.begin_lines(1), 0

            def up_to(row: int) -> Array:
                nonlocal done
                if row > done:
                    machine.execute(line, self.step, done, row)
                    done = row
                found: Array = line[0]
                return found

            yield up_to
        finally:
            machine.arena[:], machine.hyper[:], machine.context[:] = saved

    def view(self, looking: bool = False) -> RecordView:
        """The record as it stands; with `looking`, the present position's exact line and details are in it."""
        if not looking:
            return self.record.view()
        line, detail = self.look()
        return self.record.view(self.step, line, detail)

    @property
    def finite(self) -> bool:
        """Whether every number so far is one, up to the present step."""
        return not self.failed

    # --- settings that change while training

    def set_live(self, path: str, value: float) -> None:
        """Change a setting from the present step on; what was recorded after it is forgotten and computed anew."""
        place = self.program.live.get(path)
        if place is None:
            raise KeyError(path)
        here, begun = self.step, self.row
        if begun:
            self.seek(here)  # the step that was begun is done again from its start, all of it with the new value
        if here < self.record.end:
            self._cut(here)
        for other in self.others:
            other.seek(here)
            other.set_live(path, value)
        self.record.events = [e for e in self.record.events if e[:2] != (here, path)]
        self.record.events.append((here, path, float(value)))
        if begun:
            self.micro(begun)

    def _cut(self, step: int) -> None:
        """Forget what was recorded from `step` on."""
        again = self.record.cut(step)
        if again < self.first_step and self.past is not None:
            self._record_past(self.past)  # a row of a thinned record stands for steps on both sides of the fork
            again = self.first_step
        if self.failed_step is not None and self.failed_step >= step:
            self.failed_step = None
        self._guard.forget()
        self.checkpoints.cut(step)
        self._begin_watching()
        self._watch()
        if again < step:
            self.step, kept = self.checkpoints.nearest(again)
            self.machine.kept[:] = kept
            self.advance(step - self.step)

    def prepare(self) -> None:
        """Put the live settings of the present step where kernels read them; what kernels computed there stays."""
        for place in self.program.live.values():
            self.machine.hyper[place] = self.program.hyper[place]
        for step, path, value in self.record.events:
            if step <= self.step:
                self.machine.hyper[self.program.live[path]] = value

    def plan_live(self, events: tuple[tuple[int, str, float], ...]) -> None:
        """Say beforehand which settings are to change while training: (step, path, value), none of them in the past."""
        have = [e for e in self.record.events if all(e[:2] != new[:2] for new in events)]
        self.record.events = sorted([*have, *events])
        for other in self.others:
            other.plan_live(events)

    def live_value(self, path: str) -> float:
        """What a setting that changes while training is at the present position."""
        self.prepare()
        return float(self.machine.hyper[self.program.live[path]])

    # --- forks

    def fork(self, experiment: Experiment) -> Run:
        """A run of another experiment that starts from the present position with the present parameters.

        Parameters that both have in the same place and shape are taken over. Where all of them are, so is what
        optimizer and averaging remember under the same name; everything else starts as a new run would. A schedule or
        early stopping that watches the validation loss goes on where it was, unless its own settings are others or it
        has ended this training. What was changed while training stays changed, unless the other experiment says
        otherwise.

        The record begins with what both runs measure of the steps before. `past` is a run that can go there.
        """
        if self.row:
            self.seek(self.step)  # a fork begins between two steps
        for network in self.others:
            network.seek(self.step)
        child = self._child(experiment)
        child.past = self._twin()
        child._record_past(child.past)
        return child

    def _child(self, experiment: Experiment) -> Run:
        """`fork` without what was before."""
        same_data = experiment.data == self.experiment.data and experiment.seed == self.experiment.seed
        child = Run(experiment, self.data if same_data else None, folder=self.folder, first_step=self.step)
        forked = [mine._child(theirs.experiment) for mine, theirs in zip(self.others, child.others, strict=False)]
        child.others = (*forked, *child.others[len(forked) :])
        child.limit_checkpoints(self.checkpoints.budget * (1 + len(self.others)))
        mine = {t.name: t for t in self.program.tensors}
        for tensor in child.program.tensors:
            other = mine.get(tensor.name)
            if other is not None and other.parameter.shape == tensor.parameter.shape:
                child.parameter(tensor)[...] = self.parameter(other)
        layout_of = [(t.name, t.master, t.parameter.shape) for t in self.program.tensors]
        if layout_of == [(t.name, t.master, t.parameter.shape) for t in child.program.tensors]:
            self._hand_on(child)
        child._round_weights()
        child.checkpoints.add(child.step, child.machine.kept)
        mine_to, theirs_to = self.experiment.training, experiment.training
        if theirs_to.schedule == mine_to.schedule:
            child._before = tuple(fed for fed in self._fed if fed[0] <= self.step)
        ended = self.stopped_step is not None and self.stopped_step <= self.step
        if theirs_to.early_stopping == mine_to.early_stopping and not ended:
            child._before_stopping = tuple(counted for counted in self._counted if counted[0] <= self.step)
        child._begin_watching()
        mine_now, theirs_now = live_paths(self.experiment), live_paths(experiment)
        child.record.events = [
            (step, path, value)
            for step, path, value in self.record.events
            if step <= self.step and path in child.program.live and mine_now.get(path) == theirs_now.get(path)
        ]
        return child

    def _twin(self) -> Run:
        """This run once more, at the same position between two steps, with memory of its own; for going back only.

        Programs, data, checkpoints and what was recorded are shared, for none of them is ever written to again.
        """
        twin = copy.copy(self)
        twin.machine = copy.copy(self.machine)
        twin.machine.arena = np.zeros_like(self.machine.arena)
        twin.machine.kept[:] = self.machine.kept
        twin.machine.hyper = self.machine.hyper.copy()
        twin.machine.context = self.machine.context.copy()
        twin._evaluator = twin._scout = None
        twin._guard, twin._begun, twin._met = copy.copy(self._guard), None, None
        twin._guard.forget()
        twin._line = self._line.copy()
        twin.record = self.record.shared()
        twin.checkpoints = self.checkpoints.shared()
        twin._stop_watch, twin._rate_watch = copy.copy(self._stop_watch), copy.copy(self._rate_watch)
        twin._fed, twin._counted, twin.rate_drops = self._fed.copy(), self._counted.copy(), self.rate_drops.copy()
        twin.others = tuple(other._twin() for other in self.others)
        twin.past = self.past._twin() if self.past is not None else None
        return twin

    def _record_past(self, past: Run) -> None:
        """Let the record begin with what `past` has recorded of the steps before the first one."""
        self.record.begin_with(past.record, self.first_step)
        if self.record.end < self.first_step:  # the last row of a thinned record
            lines = past.measured_again(self.record.end, self.first_step)
            self.record.append(self.record.translated(lines, past.record))

    def measured_again(self, first: int, last: int) -> Array:
        """(last - first, columns): what steps measured that were thinned out of the record. Ends at position `last`."""
        self.seek(first)
        lines = []
        while self.step < last:
            stop = min(last, self._next_stop(), self.step + max(1, LARGEST_LINES // (8 * self.program.columns)))
            lines.append(self._take(stop - self.step))
        return np.concatenate(lines)

    def _hand_on(self, child: Run) -> None:
        """What the optimizer, the averaging and the loss scale remember is taken over by those that remember the same.

        The parameters are laid out in the same way in both.
        """
        for name in ("optimizer", "averaging", "loss_scale"):
            mine, theirs = getattr(self.experiment.training, name), getattr(child.experiment.training, name)
            if mine is None or theirs is None or (mine.slots, mine.scalars) != (theirs.slots, theirs.scalars):
                continue
            blocks = [(program.slots | program.scalars) for program in (self.program, child.program)]
            for block in (*mine.slots, *mine.scalars):
                count = self.program.parameter_count if block in mine.slots else 1
                here, there = blocks[0][block], blocks[1][block]
                child.machine.arena[there : there + count] = self.machine.arena[here : here + count]

    # --- measuring what is not measured at every step

    def details(self, step: int, line: Array | None = None) -> Detail:
        """What is not measured at every step, of the values that stand in the arena, which are those of `step`: the
        present position, or the step computed last.

        line   (columns,) of that step; None: it is the one computed last
        """
        line = self._line[0] if line is None else line
        rows = self.machine.rows
        weights = self._met if self._met is not None and step == self._met_step else self.machine.arena
        cards = {card.path: card.layer for card in self.program.plan.cards}
        percentiles = np.empty((len(PERCENTILES), len(self.program.layers)))
        measured = {name: np.full(len(self.program.layers), np.nan) for name in DETAIL_QUANTITIES}
        columns = self.program.run_columns
        unscaled = 1.0 / float(line[columns.index("loss_scale")]) if "loss_scale" in columns else 1.0
        parts: dict[str, list[Part]] = {"activation": [], "gradient": [], "weight": []}
        for index, layer in enumerate(self.program.layers):
            values = self.machine.arena[layer.wire.at : layer.wire.at + rows * layer.wire.width]
            percentiles[:, index] = _percentiles(np.sort(values))
            bounds, straight = cards[layer.path].saturation(), cards[layer.path].linear_part()
            dead, stuck = unit_shares(values.reshape(rows, *layer.wire.shape), *bounds)
            measured["activation.dead_fraction"][index] = dead
            measured["activation.stuck_fraction"][index] = stuck
            near = straight if math.isfinite(straight[0]) else None
            parts["activation"].append(Part(index, values, saturation=bounds, near=near))
            gradient = self.machine.arena[layer.wire.gradient :][: len(values)]
            parts["gradient"].append(Part(index, gradient, factor=unscaled))
            if layer.weight is not None:
                count, shape = layer.weight.parameter.count, layer.weight.parameter.shape
                weight = weights[layer.weight.master : layer.weight.master + count]
                measured["weight.equal_fraction"][index] = equal_share(weight.reshape(shape))
                parts["weight"].append(Part(index, weight))
        counted: dict[str, Histograms] = {name: histograms(found) for name, found in parts.items()}
        return Detail(step, percentiles, measured, counted)

    @property
    def last_loss(self) -> float:
        """The loss of the step computed last; NaN before the first."""
        return float(self._line[0, layout.LOSS])

    def measure_last(self) -> None:
        """Record the details of the step computed last, where its values still stand in the arena."""
        last = self.step - 1
        standing = int(self.machine.context[layout.STEP]) == last
        if self.row == 0 and last >= self.first_step and standing and all(d.step != last for d in self.record.details):
            self.record.add_detail(self.details(last))

    def validate(self) -> tuple[float, float]:
        """Loss and accuracy on the validation data with the present parameters, added to the record."""
        if len(self.data.x_validation) == 0:
            return math.nan, math.nan
        found = self.measure(self.data.x_validation, self.data.t_validation)
        if all(step != self.step for step, *_ in self.record.validation):
            self.record.validation.append(
                (self.step, found.loss, found.accuracy, found.plain_loss, found.plain_accuracy)
            )
        return found.loss, found.accuracy

    def evaluate(self, x: Array, t: Array) -> tuple[float, float]:
        """Mean loss and accuracy on samples x (n, *shape) with targets t (n, targets)."""
        found = self.measure(x, t)
        return found.loss, found.accuracy

    def measure(self, x: Array, t: Array) -> Evaluation:
        """What the network that the experiment asks for, averaged or not, makes of samples x (n, *shape) with targets t
        (n, targets).
        """
        evaluator = self._evaluator_for(x, t)
        evaluator.use(self.machine.arena[: self.program.parameter_count])
        plain = evaluator.measure()
        averaged = averaged_parameters(self)
        answer = plain
        if averaged is not None:
            evaluator.use(averaged)
            answer = evaluator.measure()
        elif self.others:
            answer = self._ensemble(x, t)
        return Evaluation(*answer, *plain)

    def _evaluator_for(self, x: Array, t: Array) -> Evaluator:
        if self._evaluator is None or self._evaluator.x is not x:
            self._evaluator = Evaluator(self.experiment, self.data, x, self._encoded(t), self.machine.threads)
        return self._evaluator

    def outputs(self, x: Array, t: Array) -> Array:
        """What the present network, without averaging, puts out for samples x: (n, width)."""
        evaluator = self._evaluator_for(x, t)
        evaluator.use(self.machine.arena[: self.program.parameter_count])
        return evaluator.outputs()

    def _ensemble(self, x: Array, t: Array) -> tuple[float, float]:
        loss, encoded = self.experiment.loss, self._encoded(t)
        total = loss.predict(self.outputs(x, t))
        for other in self.others:
            other.seek(self.step)
            total = total + loss.predict(other.outputs(x, t))
        mean = total / (1 + len(self.others))
        return loss.of_predictions(mean, encoded), accuracy_of(mean, encoded) if self.data.classes else math.nan

    def _encoded(self, t: Array) -> Array:
        """Targets as the loss compares them with the network's outputs."""
        last = self.program.outputs.shape
        return np.ascontiguousarray(self.experiment.loss.encode(t, last))

    @property
    def scout(self) -> Machine:
        """A second machine of the same network in training mode, for what must not disturb the training."""
        if self._scout is None:
            program = compile_program(self.experiment, self.data, record=False)
            self._scout = Machine(program, self.data.x_train, self._encoded(self.data.t_train), self.experiment)
            self._scout.threads = self.machine.threads
        return self._scout

    def value(self, operation: Operation) -> NDArray[Any]:
        """A copy of what an operation computed: (rows, *shape) or the parameter's shape."""
        rows = self.machine.rows
        shape = (rows, *operation.shape) if operation.per_sample else operation.shape
        return self.machine.arena[operation.place : operation.place + math.prod(shape)].reshape(shape).copy()

    def batch(self) -> NDArray[np.int64]:
        """Row numbers of the present minibatch in the training data, -1 where it is shorter than a full one."""
        size = self.program.batch_size
        return self.machine.context[layout.INDICES : layout.INDICES + size].copy()


def _percentiles(ordered: NDArray[Any]) -> Array:
    """Percentiles of sorted values, linear between neighbors; all NaN when there is one (it sorts to the end)."""
    if np.isnan(ordered[-1]):
        return np.full(len(PERCENTILES), np.nan)
    place = np.array(PERCENTILES) / 100.0 * (len(ordered) - 1)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    low, high = ordered[below].astype(np.float64), ordered[above].astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(low == high, low, low + (place - below) * (high - low)))


# --- schedules of what is measured: functions of the step alone, so that runs stay the same bit for bit


def _sparse(count: int, per_doubling: int) -> bool:
    """Whether `count` is kept when everything is kept at first, and then `per_doubling` of every doubling."""
    spacing = 1
    while count >= 2 * per_doubling * spacing:
        spacing *= 2
    return count % spacing == 0


def _next_sparse(count: int, per_doubling: int) -> int:
    spacing = 1
    while count >= 2 * per_doubling * spacing:
        spacing *= 2
    return (count // spacing + 1) * spacing


def is_detail(step: int) -> bool:
    """Whether details of this step are recorded: the first 16, then 8 in every doubling."""
    return _sparse(step, 8)


def next_detail(step: int) -> int:
    """The end of the chunk from `step` on in which only the last step has its details recorded."""
    return step + 1 if is_detail(step) else _next_sparse(step, 8) + 1


def is_validation(step: int, steps_per_epoch: int) -> bool:
    """Whether the network is evaluated before this step: before every epoch, later 32 times in every doubling of
    epochs.
    """
    return step % steps_per_epoch == 0 and _sparse(step // steps_per_epoch, 32)


def next_validation(step: int, steps_per_epoch: int) -> int:
    return _next_sparse(step // steps_per_epoch, 32) * steps_per_epoch


def live_paths(experiment: Experiment) -> dict[str, float]:
    """The settings that may change while training, with their values; a muted layer has none."""
    found: dict[str, float] = {}

    def look(value: Any, path: str) -> None:
        if isinstance(value, Layer) and value.muted:
            return
        if isinstance(value, tuple):
            for index, item in enumerate(value):
                look(item, f"{path}.{index}")
        elif isinstance(value, Described):
            for entry in describe(type(value)):
                here = getattr(value, entry.name)
                if entry.live:
                    found[f"{path}.{entry.name}"] = float(here)
                else:
                    look(here, f"{path}.{entry.name}")

    look(experiment.network, "network")
    look(experiment.training, "training")
    return found


def _other(experiment: Experiment, index: int) -> Experiment:
    """Network number `index` of an ensemble: the same but for its draws."""
    seed = random.key(experiment.seed, "ensemble", str(index)) % 2**31
    training = msgspec.structs.replace(experiment.training, averaging=None, early_stopping=None)
    return msgspec.structs.replace(experiment, seed=seed, training=training)
