"""A scene is what figures draw, lanes at one step; here it is made from runs or from the folder of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ..data.summary import Inputs, summary_of
from ..errors import InputError
from ..experiment import Experiment, identity
from ..network import Plan, plan
from ..record import RecordView
from ..run import Run
from ..studies.base import Answer, Study, answers
from ..theory.mean_field import LayerPrediction, predictions_for
from .figure import Lane, Scene


def lane_of(run: Run, name: str = "A", label: str = "", step: int | None = None, studies: Iterable[Study] = ()) -> Lane:
    """A lane of a run.

    step      the step that is asked for; where it is the run's position, or one past the end of the record, the
              position is computed and looked at exactly, percentiles included. None: the position.
    studies   those whose answers the figures will ask for, at the run's position
    """
    looking = step is None or step >= run.record.end or step == run.step
    view = run.view(looking=looking)
    found = answers(studies, run)
    predictions = predictions_for(run.program.plan, run.data, run.experiment.training.batch_size)
    return _lane(name, label, view, run.program.plan, run.experiment, predictions, summary_of(run.data), found)


def scene_of(runs: Sequence[tuple[str, str, Run]], step: int | None = None, studies: Iterable[Study] = ()) -> Scene:
    """The scene of (name, what is different, run) at a step that they have reached; None: at the end.

    A step that is recorded but is not the run's position is drawn from the record.
    """
    if step is None:
        step = max((run.step for _name, _label, run in runs), default=0)
    studies = tuple(studies)
    return Scene(tuple(lane_of(run, name, label, step, studies) for name, label, run in runs), step)


def lane_from_folder(folder: str | Path, name: str = "A", label: str = "") -> Lane:
    """A lane of a run that is over, from its folder; an InputError when it is not one."""
    from ..results import load_folder

    folder = Path(folder)
    experiment, view = load_folder(folder)
    layout = plan(experiment, folder=folder)
    predictions: tuple[LayerPrediction, ...] = ()
    inputs: Inputs | None = None
    # The data may be elsewhere now. The record is complete without them, only theory needs their mean square.
    with suppress(InputError):
        data = experiment.data.load(experiment.seed, folder)
        predictions = predictions_for(layout, data, experiment.training.batch_size)
        inputs = summary_of(data)
    return _lane(name, label, view, layout, experiment, predictions, inputs)


def scene_from_folder(
    folder: str | Path,
    step: int | None = None,
    studies: Iterable[Study] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Scene:
    """The scene of one run's folder at a recorded step; None: the last one.

    studies    those whose answers the figures will ask for. They need the network itself: it is the one whose weights
               the folder holds where these are enough, otherwise the run is computed again up to the step.
    progress   called with (done, total) steps meanwhile
    """
    studies = tuple(studies)
    lane = lane_from_folder(folder)
    steps = lane.view.kept_steps
    at = step if step is not None else int(steps[-1]) if len(steps) else 0
    if studies:
        from ..results import run_at, told_of

        told = told_of(Path(folder))
        whole = any(study.needs_whole_run(told) for study in studies)
        run = run_at(Path(folder), step, whole, progress)
        lane = replace(lane, answers=answers(studies, run))
    return Scene((lane,), at)


def _lane(
    name: str,
    label: str,
    view: RecordView,
    layout: Plan,
    experiment: Experiment,
    predictions: tuple[LayerPrediction, ...],
    inputs: Inputs | None,
    found: Mapping[Study, Answer] | None = None,
) -> Lane:
    chance = experiment.loss.chance(layout.outline)
    stamped = (experiment.name, experiment.seed, identity(experiment))
    return Lane(
        name,
        label,
        view,
        layout,
        predictions,
        stamped,
        chance,
        experiment.training,
        experiment,
        inputs,
        found if found is not None else {},
    )
