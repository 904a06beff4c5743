"""Figures of the network's surroundings: landscape, curvature, and training beside evaluation."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.export import save_all
from layerscope.core.figures.figure import FIGURES, Band, Heatmap, Line, Note, Rule, Scene
from layerscope.core.figures.landscape import contours
from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run
from layerscope.core.studies.base import Answer

NORM = {"kind": "batch_norm"}
DROPOUT = {"kind": "dropout", "rate": 0.3}
SMALL = {
    "landscape": {"resolution": 7, "samples": 40},
    "curvature": {"samples": 40, "moments": 3},
    "train-eval-twin": {},
}


def toy(*layers, **training):
    return build(
        Experiment,
        {
            "data": {"kind": "circles", "samples": 80},
            "network": list(layers),
            "training": {"batch_size": 16, "optimizer": {"kind": "sgd", "learning_rate": 0.1}, **training},
        },
    )


PLAIN = (dense(6), act("tanh"), dense(2))
TRICKS = (dense(6), NORM, act("tanh"), DROPOUT, dense(2))


def scene_for(name, *mades, steps=130, **options):
    """(scene, options): the lanes of some experiments after some steps, with the answers that a figure asks for."""
    kind = FIGURES[name]
    chosen = kind.options(**{**SMALL[name], **options})
    runs = []
    for letter, made in zip("ABCD", mades, strict=False):
        run = Run(made)
        run.advance(steps)
        runs.append((letter, f"variant {letter}" if len(mades) > 1 else "", run))
    return scene_of(runs, studies=kind.needs(chosen)), chosen


def drawn(name, *mades, **settings):
    scene, options = scene_for(name, *mades, **settings)
    return FIGURES[name].build(scene, options)


def yours(name, *mades, **settings):
    scene, options = scene_for(name, *mades, **settings)
    return FIGURES[name].explain(scene, options).yours


def marks(figure, kind, plot=0):
    return [mark for mark in figure.plots[plot].marks if isinstance(mark, kind)]


@pytest.mark.parametrize("name", SMALL)
def test_before_anything_is_computed_the_figure_says_so(name):
    kind = FIGURES[name]
    run = Run(toy(*PLAIN))
    for scene in (Scene((), 0), scene_of([("A", "", run)])):
        figure = kind.build(scene, kind.options())
        assert figure.empty
        assert kind.explain(scene, kind.options()).yours


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("name", SMALL)
def test_one_lane_and_four_are_exported(tmp_path, name, lanes, theme):
    figure = drawn(name, *[toy(*TRICKS), toy(*PLAIN), toy(*TRICKS, batch_size=8), toy(*PLAIN, shuffle=False)][:lanes])
    save_all([figure], tmp_path, ("png", "svg", "csv"), theme=theme)
    assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    assert len(set(figure.table["lane"])) == lanes


@pytest.mark.parametrize("name", SMALL)
def test_building_is_cheap(name):
    deep = [layer for _ in range(10) for layer in (dense(8), act("tanh"))]
    scene, options = scene_for(name, toy(*deep, dense(2)))
    kind = FIGURES[name]
    kind.build(scene, options)
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        kind.build(scene, options)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.005


@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_a_hundred_layers(name):
    deep = [layer for _ in range(50) for layer in (dense(4), act("relu"))]
    figure = drawn(name, toy(*deep[:-1], dense(2)), steps=2)
    assert figure.plots


@pytest.mark.parametrize("name", SMALL)
def test_weights_that_are_no_numbers(name):
    kind = FIGURES[name]
    run = Run(toy(*TRICKS))
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = np.nan
    options = kind.options(**SMALL[name])
    scene = scene_of([("A", "", run)], studies=kind.needs(options))
    figure = kind.build(scene, options)
    assert figure.empty or any(isinstance(m, Note) and m.color == "alarm" for p in figure.plots for m in p.marks)
    assert kind.explain(scene, options).yours


@pytest.mark.parametrize("name", ["landscape", "curvature"])
def test_an_answer_from_another_step_is_said_to_be_one(name):
    scene, options = scene_for(name, toy(*PLAIN))
    later = replace(scene, step=scene.step + 5)
    assert "not the present one" not in FIGURES[name].build(scene, options).subtitle
    last = replace(scene, step=scene.step - 1)  # of a finished run: the step that left these weights behind
    assert "not the present one" not in FIGURES[name].build(last, options).subtitle
    assert "step 130 (not the present one)" in FIGURES[name].build(later, options).subtitle


# --- landscape


def test_a_map_with_contours_a_path_and_the_network():
    figure = drawn("landscape", toy(*PLAIN), directions="path")
    (heat,) = marks(figure, Heatmap)
    lines = marks(figure, Line)
    path = next(line for line in lines if line.label == "path of the training")
    assert next(iter(path.says(0))) == "step 0"
    assert (path.x[-1], path.y[-1]) == pytest.approx((0.0, 0.0), abs=1e-6)
    here = next(line for line in lines if line.label == "step 130")
    assert (here.x.tolist(), here.y.tolist()) == ([0.0], [0.0])
    row, column = (int(np.searchsorted(edges, 0.0)) - 1 for edges in (heat.y_edges, heat.x_edges))
    assert heat.says(row, column)[1] == "→ 0, ↑ 0"
    assert heat.values.shape == (len(heat.y_edges) - 1, len(heat.x_edges) - 1)
    kinds = dict(zip(*np.unique(figure.table["what"], return_counts=True), strict=True))
    assert kinds == {"map": heat.values.size, "path": 4}


def test_contour_lines_are_where_the_loss_is_the_same():
    scene, options = scene_for("landscape", toy(*PLAIN), resolution=41)
    land = scene.lanes[0].study(FIGURES["landscape"].needs(options)[0]).value
    found = contours(land)
    assert 3 <= len(found) <= 10
    for x, y in found:
        fine = np.isfinite(x)
        columns = np.searchsorted(land.x, x[fine]).clip(1, len(land.x) - 1)
        rows = np.searchsorted(land.y, y[fine]).clip(1, len(land.y) - 1)
        corners = np.log([land.loss[rows - a, columns - b] for a in (0, 1) for b in (0, 1)])
        middle = float(np.median(corners.mean(axis=0)))
        assert np.all(corners.min(axis=0) <= middle + 0.1)
        assert np.all(corners.max(axis=0) >= middle - 0.1)


def test_several_lanes_share_the_colors():
    figure = drawn("landscape", toy(*PLAIN), toy(*TRICKS))
    heats = [marks(figure, Heatmap, plot)[0] for plot in (0, 1)]
    assert heats[0].limits == heats[1].limits
    assert figure.beside
    assert all(plot.foot for plot in figure.plots)


def test_what_the_landscape_says():
    assert "random" in yours("landscape", toy(*PLAIN), directions="path", steps=0)
    assert "Downhill the loss falls by" in yours("landscape", toy(*PLAIN), directions="gradient")
    assert "at most twice as large" in yours("landscape", toy(*PLAIN))
    assert "Batch norm compares the samples, 40 at a time" in yours("landscape", toy(*TRICKS))


# --- curvature


def test_sharpness_below_the_edge_of_the_optimizer():
    figure = drawn("curvature", toy(*PLAIN))
    lines = {line.label: line for line in marks(figure, Line)}
    assert np.all(lines["unstable above 2/η"].y == pytest.approx(20.0))
    assert lines["sharpness λ_max"].x.tolist() == [0.0, 64.0, 130.0]
    assert marks(figure, Band)
    (batch,) = marks(figure, Rule, 1)
    assert (batch.at, batch.label) == (16.0, "minibatch of 16")
    said = yours("curvature", toy(*PLAIN))
    assert "stable: the learning rate could be ×" in said
    assert "The noise scale is" in said


def test_a_rate_beyond_the_edge_is_told():
    made = toy(*PLAIN, optimizer={"kind": "sgd", "learning_rate": 90.0})
    assert "beyond the edge" in yours("curvature", made, steps=0)
    assert "at the edge of stability" in yours(
        "curvature", toy(*PLAIN, optimizer={"kind": "sgd", "learning_rate": _rate_at_the_edge()}), steps=0
    )


def _rate_at_the_edge():
    figure = drawn("curvature", toy(*PLAIN), steps=0)
    return 2.0 / float(figure.table["sharpness"][-1])


def test_optimizers_of_other_kinds():
    adam = drawn("curvature", toy(*PLAIN, optimizer={"kind": "adam", "learning_rate": 0.01}))
    labels = {line.label for line in marks(adam, Line)}
    assert "unstable above (2 + 2β₁)/(η (1 − β₁))" in labels
    lion = toy(*PLAIN, optimizer={"kind": "lion", "learning_rate": 0.01})
    assert not marks(drawn("curvature", lion), Band)
    assert "No edge of stability is known for Lion" in yours("curvature", lion)


def test_noise_of_one_lane_only_when_the_other_study_is_missing():
    scene, options = scene_for("curvature", toy(*PLAIN))
    sharp, noisy = FIGURES["curvature"].needs(options)
    answers = {study: found for study, found in scene.lanes[0].answers.items() if study != noisy}
    without = replace(scene, lanes=(replace(scene.lanes[0], answers=answers),))
    figure = FIGURES["curvature"].build(without, options)
    assert not marks(figure, Line, 1)
    nothing = replace(scene, lanes=(replace(scene.lanes[0], answers={sharp: Answer(3, None)}),))
    assert FIGURES["curvature"].build(nothing, options).empty


# --- training and evaluation


def test_twins_come_apart_where_the_rules_are():
    figure = drawn("train-eval-twin", toy(*TRICKS))
    assert [(rule.at, rule.label) for rule in marks(figure, Rule)] == [(2.0, "batch norm"), (4.0, "dropout")]
    assert not figure.words
    difference = marks(figure, Line, 1)[0].y
    assert difference[0] == 0.0
    assert np.all(difference[1:] > 0.0)
    said = yours("train-eval-twin", toy(*TRICKS))
    assert "farthest apart in" in said
    assert "have seen 5 minibatches only" in yours("train-eval-twin", toy(*TRICKS), steps=5)


def test_twins_that_are_one_network_say_so():
    figure = drawn("train-eval-twin", toy(*PLAIN))
    assert "Nothing here differs" in " ".join(figure.words[0].pieces)
    assert "the same network" in yours("train-eval-twin", toy(*PLAIN))


@pytest.mark.parametrize("quantity", ["std", "rms", "mean"])
def test_what_is_shown_of_the_outputs(quantity):
    figure = drawn("train-eval-twin", toy(*TRICKS), quantity=quantity)
    evaluated, training = marks(figure, Line)
    assert evaluated.y == pytest.approx(figure.table[f"evaluation.{quantity}"])
    assert training.y == pytest.approx(figure.table[f"training.{quantity}"])


def test_an_ensemble_shows_its_first_network():
    alone = experiment(dense(6), act("tanh"), dense(10))
    several = experiment(dense(6), act("tanh"), dense(10), averaging={"kind": "ensemble", "size": 2})
    one, other = (drawn("landscape", made, steps=3) for made in (alone, several))
    assert np.array_equal(one.table["loss"], other.table["loss"])
