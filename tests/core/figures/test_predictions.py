"""Figures of predictions and of single units: what is drawn is what was answered, and they say it in words."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from experiments import act, conv, dense, experiment
from scenes import predicted, scene

from layerscope.core.experiment import Experiment, build
from layerscope.core.figures.contours import contour
from layerscope.core.figures.export import render
from layerscope.core.figures.figure import FIGURES, Heatmap, Line, Pictures, Points, Scene
from layerscope.core.figures.palette import LEVELS, THEMES, class_cell, class_limits, color_map
from layerscope.core.figures.pictures import LARGEST, arranged
from layerscope.core.figures.predictions import MOST_POINTS, VIEWS, fitting_views
from layerscope.core.figures.scales import number_text
from layerscope.core.figures.scene import scene_of
from layerscope.core.figures.units import layers_to_choose
from layerscope.core.run import Run
from layerscope.core.studies.base import Answer

DIGITS = experiment(dense(12), act("tanh"), dense(10))


def toy(kind, *layers, loss="softmax_cross_entropy", **data):
    return build(
        Experiment,
        {
            "data": {"kind": kind, "samples": 80, **data},
            "network": list(layers),
            "loss": {"kind": loss},
            "training": {"batch_size": 16, "optimizer": {"kind": "adam", "learning_rate": 0.02}},
        },
    )


NETWORKS = {
    "plane": toy("blobs", dense(6), act("tanh"), dense(3)),
    "one output": toy("moons", dense(6), act("tanh"), dense(1), loss="binary_cross_entropy"),
    "line": toy("regression", dense(6), act("tanh"), dense(1), loss="mse"),
    "surface": toy("regression", dense(6), act("tanh"), dense(1), loss="mse", function="surface"),
    "digits": DIGITS,
    "convolutions": experiment(conv(4), act("relu"), {"kind": "flatten"}, dense(10)),
    "no validation": toy("circles", dense(6), act("tanh"), dense(2), validation=0.0),
}


def drawn(kind, *names, steps=12, broken=False, lanes=1, **options):
    """(figure, explanation, answers) of networks in lanes."""
    chosen, made = FIGURES[kind], FIGURES[kind].options(**options)
    runs = []
    for index, name in enumerate(names or ("plane",)):
        run = Run(NETWORKS[name])
        run.advance(steps)
        if broken:
            run.machine.arena[: run.program.parameter_count] = np.nan
        runs.append(("ABCD"[index], f"variant {index}", run))
    (study,) = chosen.needs(made)
    shown = scene_of(runs, studies=(study,))
    values = [lane.study(study).value for lane in shown.lanes]
    return chosen.build(shown, made), chosen.explain(shown, made), values


def marks(plot, sort):
    return [mark for mark in plot.marks if isinstance(mark, sort)]


# --- predictions


def test_regions_show_class_and_certainty_and_every_sample():
    made, said, (found,) = drawn("predictions", "plane")
    (heat,) = marks(made.plots[0], Heatmap)
    plane = found.plane
    for row, column in ((0, 0), (40, 20), (79, 79)):
        share = (plane.certainty[row, column] - 1 / 3) / (2 / 3)
        assert heat.values[row, column] == class_cell(int(plane.said[row, column]), share)
        assert found.classes[plane.said[row, column]] in heat.says(row, column)[1]
    assert heat.limits == class_limits(3)
    filled = [p for p in marks(made.plots[0], Points) if p.fill == "color"]
    opened = [p for p in marks(made.plots[0], Points) if p.fill == "paper"]
    assert sum(len(p.x) for p in filled) == len(found.training.index)
    assert sum(len(p.x) for p in opened) == len(found.validation.index)
    assert len({(p.color, p.marker) for p in filled if len(p.x)}) == 3
    (rings,) = [p for p in marks(made.plots[0], Points) if p.fill == "none"]
    assert len(rings.x) == found.training.wrong.sum() + found.validation.wrong.sum()
    right = 100 * (1 - found.validation.wrong.mean())
    assert f"{right:.1f}".removesuffix(".0") in made.plots[0].foot.replace("\u00a0", " ")
    assert "step 12" in made.subtitle
    assert made.stamp["step"] == "12"
    assert "validation" in said.yours


def test_the_confusion_matrix_stands_beside_regions():
    made, _said, (found,) = drawn("predictions", "plane")
    (heat,) = marks(made.plots[1], Heatmap)
    counts = found.judged.confusion(3)
    assert heat.texts == tuple(tuple(str(n) if n else "" for n in row) for row in counts[::-1].tolist())
    assert (np.sign(heat.values[::-1][counts > 0]) == np.sign((1 - 2 * np.eye(3))[counts > 0])).all()
    truth, column = 1, 1
    head, of_them = heat.says(3 - 1 - truth, column)
    assert found.classes[truth] in head
    assert str(counts[truth, column]) in of_them
    assert str(counts[truth].sum()) in of_them


def test_a_curve_is_drawn_with_its_samples_and_errors():
    made, said, (found,) = drawn("predictions", "line")
    (line,) = marks(made.plots[0], Line)
    np.testing.assert_array_equal(line.y, found.curve.y[:, 0])
    training, validation = marks(made.plots[0], Points)
    np.testing.assert_array_equal(training.y, found.training.truth[:, 0])
    np.testing.assert_array_equal(validation.x, found.validation.x[:, 0])
    (errors,) = marks(made.plots[1], Points)
    off = found.validation.said[:, 0] - found.validation.truth[:, 0]
    np.testing.assert_allclose(errors.y, off)
    low, high = made.plots[1].y.limits
    assert low <= off.min() <= off.max() <= high
    assert "largest error" in said.yours


def test_a_surface_is_a_map_of_the_value_and_predicted_against_true():
    made, _said, (found,) = drawn("predictions", "surface", steps=60)
    (heat,) = marks(made.plots[0], Heatmap)
    np.testing.assert_array_equal(heat.values, found.plane.values[0])
    against = [p for p in marks(made.plots[1], Points) if p.fill == "paper"]
    np.testing.assert_array_equal(against[0].x, found.validation.truth[:, 0])
    np.testing.assert_array_equal(against[0].y, found.validation.said[:, 0])


def test_digits_are_counted_and_the_worst_are_shown():
    made, said, (found,) = drawn("predictions", "digits")
    (pictures,) = marks(made.plots[1], Pictures)
    worst = found.mistakes[0]
    assert len(pictures.values) == 12
    np.testing.assert_allclose(pictures.values[0], worst.picture[..., 0])
    names = found.classes[worst.truth], found.classes[worst.said]
    assert names[0] in pictures.captions[0][0]
    assert names[1] in pictures.captions[0][1]
    assert f"sample {worst.index + 1}" in said.yours
    few, _said, _found = drawn("predictions", "digits", mistakes=3)
    assert len(few.plots[1].pictures.values) == 3


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("view", VIEWS.names())
def test_a_view_is_drawn_or_says_what_it_needs(name, view):
    made, said, (found,) = drawn("predictions", name, view=view)
    assert bool(made.plots) == VIEWS[view].fits(found)
    assert bool(made.empty) != bool(made.plots)
    columns = [len(column) for column in made.table.values()]
    assert len(set(columns)) <= 1
    assert said.yours


def test_only_views_that_fit_are_offered():
    run = Run(NETWORKS["line"])
    kind = FIGURES["predictions"]
    options = kind.options()
    shown = scene_of([("A", "", run)], studies=kind.needs(options))
    assert fitting_views(shown, options) == ["auto", "curve", "against"]
    assert fitting_views(Scene((), 0), options) == VIEWS.names()


@pytest.mark.parametrize("kind", ["predictions", "units"])
@pytest.mark.parametrize("name", NETWORKS)
def test_numbers_that_are_none_are_drawn_and_named(kind, name):
    made, said, _found = drawn(kind, name, steps=1, broken=True)
    assert made.plots
    assert "nan" not in said.yours
    assert "no number" in said.yours or "not finite" in said.yours or "NaN" in said.yours
    assert render(made, "png", "slide", dpi=20).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["predictions", "units"])
@pytest.mark.parametrize(
    "names", [("plane",) * 4, ("digits",) * 3, ("line", "line"), ("surface",) * 2, ("plane", "digits")]
)
def test_lanes_stand_beside_each_other(kind, names):
    made, said, _found = drawn(kind, *names)
    assert made.plots
    for letter in "ABCD"[: len(names)]:
        assert f"{letter}: " in said.yours
    if names[0] == names[-1] and names != ("line", "line"):
        assert len(made.plots) == len(names)
        assert [plot.title[0] for plot in made.plots] == list("ABCD"[: len(names)])
    assert render(made, "png", "paper", "dark", dpi=40).startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", ["predictions", "units"])
def test_without_an_answer_nothing_is_claimed(kind):
    chosen = FIGURES[kind]
    run = Run(NETWORKS["plane"])
    run.advance(2)
    for lanes in ([("A", "", run)], [("A", "", run), ("B", "other", run)]):
        shown = scene_of(lanes)
        made = chosen.build(shown, chosen.options())
        assert not made.plots
        assert "not been asked" in made.empty
        assert "not been asked" in chosen.explain(shown, chosen.options()).yours
    unanswered = Scene(
        tuple(replace(lane, answers={chosen.needs(chosen.options())[0]: Answer(2, None)}) for lane in shown.lanes), 2
    )
    assert chosen.build(unanswered, chosen.options()).empty


def test_an_answer_that_is_older_says_its_step():
    run = Run(NETWORKS["plane"])
    run.advance(3)
    kind = FIGURES["predictions"]
    old = scene_of([("A", "", run)], studies=kind.needs(kind.options())).lanes[0].answers
    run.advance(9)
    shown = scene_of([("A", "", run)])
    made = kind.build(replace(shown, lanes=(replace(shown.lanes[0], answers=old),)), kind.options())
    assert "step 3" in made.subtitle
    assert made.stamp["step"] == "3"


def test_thousands_of_samples_are_thinned_out_and_counted_in_full():
    big = toy("circles", dense(4), act("tanh"), dense(2), samples=3000)
    run = Run(big)
    kind = FIGURES["predictions"]
    shown = scene_of([("A", "", run)], studies=kind.needs(kind.options()))
    made = kind.build(shown, kind.options())
    points = [p for p in marks(made.plots[0], Points) if p.fill == "color"]
    assert sum(len(p.x) for p in points) == MOST_POINTS
    assert "600 validation samples" in made.subtitle


# --- units


def test_maps_of_units_stand_upright():
    made, _said, (found,) = drawn("units", "plane")
    assert [plot.title.split(" · ")[0] for plot in made.plots] == ["Layer 1", "The output"]
    pictures = made.plots[0].pictures
    np.testing.assert_array_equal(pictures.values[2], found.rows[0].maps[2, ::-1, :, 0])
    lines = pictures.says(2, 0, 0)
    assert "unit 3" in lines
    (left, right), (_bottom, top) = found.ranges
    assert number_text(left + 0.5 / 32 * (right - left), 3) in lines[-1]
    assert max(pictures.limits) == pytest.approx(np.abs(found.rows[0].maps).max())
    assert top > 0


def test_units_are_ordered_by_size_when_asked():
    made, _said, (found,) = drawn("units", "digits", order="size")
    numbers = [int(caption[0]) for caption in made.plots[0].pictures.captions]
    norms = found.rows[0].norms[np.array(numbers) - 1]
    assert (np.diff(norms) <= 0).all()
    assert sorted(numbers) == list(range(1, 13))


def test_an_image_is_followed_through_the_layers():
    made, said, (found,) = drawn("units", "convolutions", view="sample", sample=5)
    assert made.plots[0].title == "Image 5"
    assert found.truth in made.plots[0].pictures.captions[0][0]
    assert len(made.plots) == 2
    assert said.yours


@pytest.mark.parametrize(("view", "name"), [("outputs", "digits"), ("sample", "plane"), ("sample", "digits")])
def test_units_that_cannot_be_drawn_say_why(view, name):
    made, said, _found = drawn("units", name, view=view)
    assert made.empty
    assert made.empty in said.yours


def test_every_layer_can_be_chosen_by_name():
    run = Run(NETWORKS["plane"])
    shown = scene_of([("A", "", run)])
    assert [path for path, _name in layers_to_choose(shown)] == ["0", "1", "2"]
    assert layers_to_choose(Scene((), 0)) == []
    made, _said, _found = drawn("units", "plane", layer="1")
    assert len(made.plots) == 1
    assert drawn("units", "plane", layer="17")[0].empty


# --- what they are drawn with


def test_contours_follow_a_circle():
    x, y = np.linspace(-2, 2, 61), np.linspace(-2, 2, 41)
    values = np.hypot(x[None, :], y[:, None])
    line_x, line_y = contour(values, x, y, 1.3)
    known = np.isfinite(line_x)
    assert known.sum() > 60
    np.testing.assert_allclose(np.hypot(line_x[known], line_y[known]), 1.3, atol=0.01)
    assert (np.flatnonzero(~known) % 3 == 2).all()
    assert len(contour(values, x, y, 9.0)[0]) == 0


def test_contours_leave_out_what_is_no_number_and_know_saddles():
    x = np.arange(3.0)
    values = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, np.nan]])
    line_x, line_y = contour(values, x, x, 0.5)
    pieces = line_x.reshape(-1, 3)
    assert len(pieces) == 2 + 1 + 1
    assert np.isfinite(pieces[:, :2]).all()
    assert not ((line_x > 1) & (line_y > 1)).any()


@pytest.mark.parametrize("count", [1, 5, 12, 64])
@pytest.mark.parametrize("room", [(400.0, 200.0), (200.0, 600.0), (90.0, 60.0)])
@pytest.mark.parametrize("fewer", [False, True])
def test_pictures_stay_in_their_room_and_off_each_other(count, room, fewer):
    mark = Pictures(np.zeros((count, 8, 6)), (("true 3", "said 8, 97 %"),) * count, fewer=fewer)
    em, line, widest = 12.0, 15.0, 80.0
    found = arranged(mark, *room, em, line, widest)
    wide, high = found.size
    assert 0 < len(found.places) <= count
    assert len(found.places) == count or fewer
    below = found.captions * line
    for left, top in found.places:
        assert left >= 0
        assert left + wide <= room[0] + 1e-6
        assert top + high + below <= room[1] + 1e-6
    assert wide / high == pytest.approx(6 / 8)
    assert high <= LARGEST * em + 1e-6
    if found.captions and len(found.places) > 1:
        assert found.room >= widest
    places = np.array(found.places)
    for index, (left, top) in enumerate(places):
        others = np.delete(places, index, axis=0)
        apart = (np.abs(others[:, 0] - left) >= wide) | (np.abs(others[:, 1] - top) >= high + below)
        assert apart.all()


def test_no_pictures_need_no_room():
    assert arranged(Pictures(np.empty((0, 1, 1)), ()), 100.0, 100.0, 12.0, 15.0, 0.0).places == ()


@pytest.mark.parametrize("theme", THEMES)
def test_a_map_of_classes_goes_from_pale_to_strong(theme):
    colors = color_map("classes-3", theme)
    assert len(colors) == 3 * LEVELS == class_limits(3)[1] + 1
    paper = np.array([int(THEMES[theme].color("panel")[i : i + 2], 16) for i in (1, 3, 5)])
    away = np.abs(np.array(colors) - paper).sum(axis=1).reshape(3, LEVELS)
    assert (np.diff(away, axis=1) >= 0).all()
    assert (away[:, -1] > 3 * away[:, 0]).all()
    assert class_cell(2, 1.0) == 3 * LEVELS - 1
    assert class_cell(1, -5.0) == LEVELS
    assert color_map("viridis", theme) is None


def test_a_scene_without_moments_says_that_nothing_is_computed():
    for kind in ("predictions", "units"):
        made = FIGURES[kind].build(scene("empty"), FIGURES[kind].options())
        assert "Nothing is computed yet" in made.empty


def test_the_scenes_have_mistakes_to_show():
    found = predicted(scene("normal").lanes[0].view)
    assert found.mistakes
    assert not math.isnan(found.judged.loss.mean())
