"""Scenes of every sort, made without training anything."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
from experiments import act, dense, experiment

from layerscope.core.diagnostics.autopsy import Autopsy, Cause, Growth, Operand
from layerscope.core.diagnostics.histograms import Histograms, Part, histograms
from layerscope.core.diagnostics.probes import LAYER_COLUMNS
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.engine.layout import RUN_COLUMNS
from layerscope.core.figures.figure import FIGURES, Lane, Scene
from layerscope.core.network import plan
from layerscope.core.record import Detail, Record, RecordView
from layerscope.core.run import Run
from layerscope.core.studies.autopsy import AutopsyStudy
from layerscope.core.studies.base import Answer, Study
from layerscope.core.studies.microscope import Microscope, Sight
from layerscope.core.studies.predictions import Judged, Mistake, Predictions
from layerscope.core.studies.units import Row, Units
from layerscope.core.theory.mean_field import predict

RANGE_TEST = {"kind": "range_test", "start": 1e-4, "end": 10.0, "steps": 40}
TRAINING = {
    "schedule": RANGE_TEST,
    "clipping": {"kind": "global_norm"},
    "regularizers": [{"kind": "l2"}],
    "epochs": 4,
}
CHAIN = ("norm.gradient", "norm.l2", "norm.global_norm", "norm.sgd")
COLUMNS = (*RUN_COLUMNS, *CHAIN)

LONG = "Übung – ∂L/∂a ‖w‖ $x$ <&> 多层网络 🎓 \x07 " * 6
EXAMPLE = {
    "loss": 1.7,
    "accuracy": 0.4,
    "learning_rate": 0.1,
    "gradient_norm": 0.6,
    "clipped_gradient_norm": 0.6,
    "activation.min": -0.8,
    "activation.max": 1.5,
    "activation.mean": 0.3,
    "activation.std": 0.4,
    "activation.rms": 0.5,
    "activation.zero_fraction": 0.1,
    "activation.saturated_fraction": 0.05,
    "activation.nonfinite_fraction": 0.0,
    "gradient.rms": 1e-4,
    "gradient.norm": 1e-2,
    "gradient.min": -1e-3,
    "gradient.max": 1e-3,
    "gradient.zero_fraction": 0.0,
    "penalty": 0.01,
    "norm.gradient": 1.5,
    "norm.l2": 1.6,
    "norm.global_norm": 1.0,
    "norm.sgd": 0.1,
    "weight_gradient.norm": 1e-2,
    "weight.norm": 4.0,
    "update_ratio": 1e-3,
}


def lines(layers: int, steps: int, seed: int = 0, run_columns: tuple[str, ...] = RUN_COLUMNS) -> np.ndarray:
    """(steps, columns) of a record that looks like a training: positive, noisy, gradients smaller at the front."""
    names = [*run_columns, *LAYER_COLUMNS * layers]
    found = np.array([EXAMPLE[name] for name in names]) * np.ones((steps, 1))
    found *= np.exp(0.1 * np.random.default_rng(seed).standard_normal(found.shape))
    for layer in range(layers):
        first = len(run_columns) + layer * len(LAYER_COLUMNS)
        for name in ("gradient.norm", "gradient.rms"):
            found[:, first + LAYER_COLUMNS.index(name)] *= 0.4 ** (layers - layer)
        for name in ("weight_gradient.norm", "weight.norm", "update_ratio"):
            if layer % 2:  # an activation layer has no weights
                found[:, first + LAYER_COLUMNS.index(name)] = np.nan
    return found


def detail(layers: int, step: int, line: np.ndarray | None = None) -> Detail:
    """Details of a step; with its line, (columns,) by the names `COLUMNS`, also histograms of numbers that fit."""
    spread = np.array([-0.6, -0.4, 0.0, 0.3, 0.6, 1.0, 1.2])
    percentiles = spread[:, None] * np.linspace(1.0, 0.5, layers)
    return Detail(step, percentiles, {}, {} if line is None else counted(layers, line))


def counted(layers: int, line: np.ndarray) -> dict[str, Histograms]:
    """Histograms of bell-shaped numbers with the sizes that a line has; every second layer is bounded by 1."""
    draws = np.random.default_rng(layers).standard_normal(300)

    def part(layer: int, column: str, bounded: bool = False) -> Part:
        size = line[len(COLUMNS) + layer * len(LAYER_COLUMNS) + LAYER_COLUMNS.index(column)]
        with np.errstate(invalid="ignore", over="ignore"):
            values = draws * size
        if bounded:
            return Part(layer, np.tanh(2.0 * values), saturation=(-0.97, 0.97), near=(-0.3, 0.3))
        return Part(layer, values)

    every = range(layers)
    return {
        "activation": histograms([part(i, "activation.rms", i % 2 == 1) for i in every]),
        "gradient": histograms([part(i, "gradient.rms") for i in every]),
        "weight": histograms([part(i, "weight.norm") for i in every if i % 2 == 0]),
    }


def failure(view: RecordView) -> Autopsy:
    """What an autopsy would say if the step behind the record failed."""
    step = int(view.kept_steps[-1]) + view.stride if len(view.kept_steps) else 0
    growth = tuple(
        Growth(name, view.kept_steps, view.values(quantity), 1.2, len(view.kept_steps) - 1)
        for name, quantity in (("loss", "loss"), ("norm of the gradient", "gradient_norm"))
    )
    last = float(view.values("loss")[-1]) if len(view.kept_steps) else math.inf
    size = "large" if math.isfinite(last) else "infinite"
    return Autopsy(
        step=step,
        network=0,
        phase="forward",
        path="2",
        operation="the way forward through Dense 2",
        kernel="dense_forward",
        role="activation",
        owner="2",
        tensor="the output a of Dense 2",
        name="",
        index=(3, 1),
        sample=17,
        value="infinite (∞)",
        count=4,
        of=128,
        before=None,
        operands=(Operand("weight", -3e19, 2e18), Operand("x", 0.0, 4e20, 1.5)),
        growth=growth,
        cause=Cause("rate", "the learning rate 100 is too large", (f"The last loss is {size}.",)),
        proposals=(Proposal("learning rate 1 instead of 100", (("training.optimizer.learning_rate", 1.0),)),),
    )


@lru_cache(maxsize=2)
def sight(healthy: bool) -> Sight:
    """What the microscope shows of a small network, or of one with a weight that is no number."""
    run = Run(experiment(dense(8), act("tanh"), dense(10)))
    if not healthy:
        run.parameter(run.program.tensors[0])[0, 0] = np.nan
    found: Sight = Microscope().answer(run)
    return found


def predicted(view: RecordView, samples: int = 60, seed: int = 0) -> Predictions:
    """What a network might answer that tells some digits apart; no numbers where the last loss is none."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 10, samples)
    said = np.where(rng.uniform(size=samples) < 0.6, truth, rng.integers(0, 10, samples))
    certainty, loss = rng.uniform(0.2, 1.0, samples), rng.exponential(0.5, samples)
    last = float(view.values("loss")[-1]) if len(view.kept_steps) else math.nan
    if not math.isfinite(last):
        said, certainty, loss = np.full(samples, -1), np.full(samples, math.nan), np.full(samples, math.nan)
    judged = Judged(samples, np.arange(samples), np.empty((samples, 0)), truth, said, certainty, loss)
    picture = np.linspace(0.0, 16.0, 64).reshape(8, 8, 1)
    mistakes = tuple(
        Mistake(int(i), int(truth[i]), int(said[i]), float(certainty[i]), float(loss[i]), picture)
        for i in np.flatnonzero(judged.wrong)[:24]
    )
    names = tuple("0123456789")
    return Predictions((8, 8, 1), names, True, False, 1, None, None, judged, judged, "validation", mistakes)


def units_of(view: RecordView) -> Units:
    """Weights of eight units."""
    weights = np.random.default_rng(1).normal(size=(8, 8, 8, 1))
    last = float(view.values("loss")[-1]) if len(view.kept_steps) else math.nan
    weights *= 1.0 if math.isfinite(last) else math.nan
    row = Row("0", "dense", "0", 8, np.arange(8), weights, np.sqrt((weights**2).sum(axis=(1, 2, 3))))
    return Units("weights", (row,), (8, 8, 1))


def needed(step: int, view: RecordView) -> dict[Study, Answer]:
    """The answers that figures of predictions and of units draw."""
    answers = {"predictions": predicted(view), "units": units_of(view)}
    return {
        study: Answer(step, value)
        for name, value in answers.items()
        for study in FIGURES[name].needs(FIGURES[name].options())
    }


class Lanes:
    """Makes lanes of a small network of `depth` hidden layers."""

    def lane(
        self,
        steps: int = 40,
        depth: int = 3,
        name: str = "A",
        label: str = "as built",
        change: Callable[[np.ndarray], None] = lambda lines: None,
        theory: bool = True,
    ) -> Lane:
        """A lane whose record has `steps` rows; `change` edits the lines before they are recorded."""
        made = experiment(*[layer for _ in range(depth) for layer in (dense(8), act("tanh"))], dense(10), **TRAINING)
        layout = plan(made)
        paths = tuple(card.path for card in layout.cards)
        kept = Record(
            paths,
            tuple("activation" if i % 2 else "dense" for i in range(len(paths))),
            steps_per_epoch=15,
            run_columns=COLUMNS,
        )
        content = lines(len(paths), steps, depth, COLUMNS)
        change(content)
        kept.append(content)
        kept.validation += [(step, 1.5, 0.5, 1.5, 0.5) for step in range(0, steps + 1, 15)]
        for step in sorted({*range(0, steps, 7), steps - 1} if steps else ()):
            kept.add_detail(detail(len(paths), step, content[step]))
        predictions = predict(layout, 1.0) if theory else ()
        return Lane(
            name,
            label,
            kept.view(),
            layout,
            predictions,
            ("Test", 7, "0123456789ab"),
            math.log(10),
            made.training,
            made,
            answers={
                AutopsyStudy(): Answer(steps, failure(kept.view())),
                Microscope(): Answer(steps, sight(bool(np.isfinite(content[:, 0]).all()))),
                **needed(max(0, steps - 1), kept.view()),
            },
        )

    def thinned(self) -> Lane:
        """A lane whose record stands for a million steps."""
        lane = self.lane(steps=1, depth=1)
        kept = Record(
            lane.view.layers, lane.view.kinds, steps_per_epoch=23, budget=4 * 1024 * 1024, run_columns=COLUMNS
        )
        chunk = lines(len(lane.view.layers), 4000, run_columns=COLUMNS)
        for number in range(250):
            if number == 100:
                spiked = chunk.copy()
                spiked[17] *= 1e6
                kept.append(spiked)
            else:
                kept.append(chunk)
        return replace(lane, view=kept.view())


def all_nan(content: np.ndarray) -> None:
    content[:] = np.nan


def gap(content: np.ndarray) -> None:
    """Steps 10 to 19 are lost, and one layer at the end."""
    content[10:20] = np.nan
    content[-1, len(COLUMNS) + 2 * len(LAYER_COLUMNS) : len(COLUMNS) + 3 * len(LAYER_COLUMNS)] = np.nan


def explosion(content: np.ndarray) -> None:
    """Grows without bound, then overflows."""
    with np.errstate(over="ignore"):
        content *= np.exp(np.linspace(0.0, 600.0, len(content)))[:, None]
    content[-3:] = np.inf
    content[-1] = np.nan


def zeros(content: np.ndarray) -> None:
    content[:, len(COLUMNS) :] = 0.0


def empty_view(lane: Lane) -> RecordView:
    return replace(
        lane.view,
        kept_steps=np.empty(0, dtype=np.int64),
        block=lane.view.block[:0],
        low=lane.view.low[:0],
        high=lane.view.high[:0],
        validation_steps=np.empty(0, dtype=np.int64),
        validation_loss=np.empty(0),
        validation_accuracy=np.empty(0),
        details=(),
    )


CASES = (
    "empty",
    "nothing",
    "one step",
    "two steps",
    "normal",
    "looking",
    "gap",
    "all nan",
    "explosion",
    "zeros",
    "thinned",
    "long names",
    "two depths",
    "four lanes",
    "deep",
    "no theory",
)


@lru_cache(maxsize=32)
def scene(case: str) -> Scene:
    """The scene of one of the cases."""
    lanes = Lanes()
    simple = {
        "one step": {"steps": 1},
        "two steps": {"steps": 2},
        "normal": {},
        "gap": {"change": gap},
        "all nan": {"change": all_nan},
        "explosion": {"change": explosion},
        "zeros": {"change": zeros},
        "long names": {"label": LONG},
        "deep": {"depth": 30},
        "no theory": {"theory": False},
    }
    if case in simple:
        lane = lanes.lane(**simple[case])
        if case == "long names":
            lane = replace(lane, experiment=(LONG, 7, "0123456789ab"))
        return Scene((lane,), len(lane.view) - 1)
    if case == "empty":
        lane = lanes.lane()
        return Scene((replace(lane, view=empty_view(lane)),), 0)
    if case == "nothing":
        return Scene((), 0)
    if case == "looking":
        lane = lanes.lane(steps=20)
        view = replace(
            lane.view, moment=20, line=lane.view.block[-1] * 1.5, details=(detail(7, 20, lane.view.block[-1]),)
        )
        return Scene((replace(lane, view=view),), 20)
    if case == "thinned":
        return Scene((lanes.thinned(),), 500_000)
    if case == "two depths":
        return Scene((lanes.lane(depth=2), lanes.lane(depth=5, steps=25, name="B", label="deeper")), 39)
    assert case == "four lanes"
    return Scene(tuple(lanes.lane(depth=3, name=n, label=f"variant {n}") for n in "ABCD"), 20)
