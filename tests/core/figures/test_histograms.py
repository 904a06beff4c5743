"""The figure of the histograms: every number in its place, the share that matters beside each, in every situation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments import act, dense, experiment
from scenes import CASES, Lanes, scene

from layerscope.core.diagnostics.histograms import BINS, Part, histograms
from layerscope.core.figures.figure import FIGURES, Band, Heatmap, Line, Note, Rule, Scene
from layerscope.core.figures.histograms import (
    MOST_RIDGES,
    HistogramsOptions,
    latest,
    layers_to_choose,
    place_of,
)
from layerscope.core.figures.reading import places
from layerscope.core.figures.scales import frames
from layerscope.core.figures.scene import scene_of
from layerscope.core.figures.spreads import Values, curves_of, on_grid, values_of
from layerscope.core.run import Run

VIEWS = ("layers", "layer", "ridges", "map")
DRAWS = np.random.default_rng(8)


def figure(shown, **options):
    return FIGURES["histograms"].build(shown, HistogramsOptions(**options))


def yours(shown, **options):
    return FIGURES["histograms"].explain(shown, HistogramsOptions(**options)).yours


def marks(made, sort, plot=0):
    return [mark for mark in made.plots[plot].marks if isinstance(mark, sort)]


def run_of(*layers, steps=30, **training):
    run = Run(experiment(*layers, **training))
    run.advance(steps)
    return run


def shown_of(*runs, step=None):
    return scene_of([(name, f"variant {name}", run) for name, run in zip("ABCD", runs, strict=False)], step)


def one(values, **given):
    found = histograms([Part(0, np.asarray(values), **given)]).of(0)
    assert found is not None
    return found


# --- every situation


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("quantity", ["activation", "gradient", "weight"])
@pytest.mark.parametrize("case", CASES)
def test_it_is_drawn_in_every_situation(case, quantity, view):
    for more in ({}, {"axis": "symlog", "counts": "log", "time": "log"}, {"axis": "linear", "layers": "all"}):
        made = figure(scene(case), quantity=quantity, show=view, **more)
        assert bool(made.plots) != bool(made.empty)
        for plot in made.plots:
            assert plot.x.label
            assert plot.y.label
            found = frames(plot)
            assert found.x.limits[0] < found.x.limits[1]
            for mark in plot.marks:
                if isinstance(mark, Line):
                    assert mark.x.shape == mark.y.shape
                if isinstance(mark, Heatmap):
                    assert mark.values.shape == (len(mark.y_edges) - 1, len(mark.x_edges) - 1)
                    assert (np.diff(mark.x_edges) > 0).all()
                    assert (np.diff(mark.y_edges) > 0).all()
        said = yours(scene(case), quantity=quantity, show=view)
        assert said.strip()
        assert "nan" not in said.lower().replace("NaN", "")


def test_a_record_of_an_older_version_says_why_there_is_nothing():
    shown = scene("normal")
    lane = shown.lanes[0]
    bare = replace(lane, view=replace(lane.view, details=tuple(replace(d, histograms={}) for d in lane.view.details)))
    made = figure(Scene((bare,), shown.step))
    assert "No histograms were recorded" in made.empty
    assert "No histograms were recorded" in yours(Scene((bare,), shown.step))


# --- numbers


@pytest.mark.parametrize("axis", ["linear", "symlog"])
@pytest.mark.parametrize(
    "values",
    [
        DRAWS.normal(size=3000),
        np.maximum(DRAWS.normal(size=3000), 0),
        np.sign(DRAWS.normal(size=3000)) * 10 ** DRAWS.uniform(-6, 1, 3000),
        np.full(50, 2.5),
        np.array([-3.0, -3.0, 5.0]),
        -np.abs(DRAWS.normal(size=500)),
        np.append(np.zeros(70), 1e-5),
    ],
)
def test_a_grid_holds_all_numbers_that_are_not_zero(values, axis):
    found = one(values)
    common = values_of([found], axis)
    edges, shares = on_grid([found], common)
    assert shares.sum() == pytest.approx(100.0 * np.mean(values != 0))
    assert edges[0] <= values.min()
    assert edges[-1] >= values.max()


def test_a_grid_is_numpys_histogram_where_the_bins_are_the_same():
    values = DRAWS.uniform(-1, 1, 5000)
    values[:2] = -1, 1
    _edges, shares = on_grid([one(values)], Values("linear", (-1.0, 1.0)), BINS)
    np.testing.assert_allclose(shares[0], np.histogram(values, BINS)[0] / 50.0)


def test_on_a_logarithmic_axis_equal_heights_are_equal_numbers_per_decade():
    values = np.sign(DRAWS.normal(size=200_000)) * 10 ** DRAWS.uniform(-6, 0, 200_000)
    curves = curves_of([one(values)], Values("symlog", (-1.0, 1.0), 1e-6), "linear")
    inner = curves.height[(np.abs(curves.x) > 1e-5) & (np.abs(curves.x) < 0.3)]
    assert inner.size > 50
    np.testing.assert_allclose(inner, inner.mean(), rtol=0.15)


def test_an_outline_peaks_at_one_where_most_numbers_lie():
    values = np.concatenate([DRAWS.normal(-4, 0.5, 3000), DRAWS.normal(4, 0.5, 9000)])
    curves = curves_of([one(values)], Values("linear", (-8.0, 8.0)), "linear")
    assert np.nanmax(curves.height) == 1.0
    assert curves.x[int(np.nanargmax(curves.height))] == pytest.approx(4.0, abs=0.6)
    log = curves_of([one(values)], Values("linear", (-8.0, 8.0)), "log")
    left, left_log = (np.nanmax(c.height[c.x < 0]) for c in (curves, log))
    assert left < 0.5 < left_log


def test_zeros_are_a_stroke_and_not_a_peak():
    values = np.append(np.zeros(9000), DRAWS.normal(size=1000))
    curves = curves_of([one(values)], Values("linear", (-4.0, 4.0)), "linear")
    assert np.count_nonzero(curves.height > 0.5) > 8  # the bell is seen beside them


def test_the_range_follows_the_numbers():
    run = run_of(dense(12), act("tanh"), dense(12), act("tanh"), dense(10))
    made = figure(shown_of(run), layers="all", axis="linear")
    low, high = made.plots[0].x.limits
    detail = latest(shown_of(run).lanes[0], run.step)
    assert low <= detail.histograms["activation"].least[:-1].min()
    assert high >= detail.histograms["activation"].most[:-1].max()
    assert high - low < 3 * np.ptp(
        [detail.histograms["activation"].least.min(), detail.histograms["activation"].most.max()]
    )


def test_layers_decades_apart_are_drawn_on_a_logarithmic_axis():
    layers = [part for _ in range(8) for part in (dense(20), act("sigmoid"))]
    made = figure(shown_of(run_of(*layers, dense(10), steps=3)), quantity="gradient")
    assert made.plots[0].x.scale == "symlog"
    (line,) = marks(made, Line)
    rows = np.flatnonzero(np.isnan(line.x))
    widths = [np.ptp(part[np.isfinite(part)]) for part in np.split(line.x, rows) if np.isfinite(part).any()]
    assert len(widths) == 9
    assert (np.diff(np.log10(widths))[:-1] > 0.3).all()  # narrower toward the data


# --- words and marks


def test_the_share_that_matters_stands_beside_every_ridge():
    run = run_of(dense(30, "he_normal"), act("relu"), dense(30), act("tanh"), dense(30), act("gelu"), dense(10))
    made = figure(shown_of(run))
    texts = [text for _at, text in made.plots[0].right.ticks]
    assert len(texts) == 3
    for text, word in zip(texts, ("zero", "saturated", "near 0"), strict=True):
        assert text.endswith(word)
    detail = latest(shown_of(run).lanes[0], run.step)
    zero = detail.histograms["activation"].of(1).zero
    assert texts[0] == f"{round(100 * zero)}\u00a0% zero"
    assert made.plots[0].right.limits == made.plots[0].y.limits


def test_a_saturated_layer_is_drawn_in_alarm():
    run = run_of(
        {**dense(30), "init": {"kind": "normal", "std": 3.0}}, act("tanh"), dense(30), act("tanh"), dense(10), steps=1
    )
    made = figure(shown_of(run))
    colors = {mark.color for mark in marks(made, Band)}
    assert colors == {"lane-0", "alarm"}
    assert "saturated" in yours(shown_of(run))
    assert "In layer 1 up to" in yours(shown_of(run))


def test_a_dead_network_is_all_strokes():
    run = run_of(dense(30, "zeros"), act("relu"), dense(30, "zeros"), act("relu"), dense(10), steps=1)
    made = figure(shown_of(run))
    stroke = next(line for line in marks(made, Line) if "exactly 0" in line.label)
    assert stroke.y[1] - stroke.y[0] == pytest.approx(0.86)
    assert [text for _at, text in made.plots[0].right.ticks] == ["100\u00a0% zero"] * 2
    assert "In layer 1–2 up to 100\u00a0% zero" in yours(shown_of(run))


def test_what_is_not_finite_is_said():
    run = run_of(dense(20, "he_normal"), act("relu"), dense(10), steps=1, precision="float32")
    run.parameters()
    weight = next(t for t in run.program.tensors if t.name == "0.weight")
    run.parameter(weight)[:] = np.nan
    made = figure(shown_of(run))
    assert made.plots[0].right.ticks[0][1] == "100\u00a0% not finite"
    assert "no finite number in layer 1" in " ".join(note.text for note in marks(made, Note))
    assert "not finite" in yours(shown_of(run))


def test_lanes_are_laid_over_each_other():
    runs = [run_of(dense(20), act(function), dense(20), act(function), dense(10)) for function in ("tanh", "relu")]
    made = figure(shown_of(*runs))
    assert not marks(made, Band)
    assert [line.color for line in marks(made, Line) if line.width == 2.0] == ["lane-0", "lane-1"]
    right = made.plots[0].right
    assert right.label == "saturated, zero"
    details = [latest(lane, 30).histograms["activation"] for lane in shown_of(*runs).lanes]
    for (_at, text), layer in zip(right.ticks, (1, 3), strict=True):
        saturated, zero = details[0].of(layer).saturated, details[1].of(layer).zero
        assert text.startswith(f"{100 * saturated:.3g}"[:2])
        assert text.endswith(f" | {100 * zero:.0f}\u00a0%")


def test_a_hundred_layers_are_a_choice_of_them():
    layers = [part for _ in range(100) for part in (dense(4), act("tanh"))]
    made = figure(shown_of(run_of(*layers, dense(10), steps=1)))
    names = [text for _at, text in made.plots[0].y.ticks]
    assert len(names) == MOST_RIDGES
    assert names[0] == "1"
    assert names[-1] == "100"
    assert figure(shown_of(run_of(*layers, dense(10), steps=1)), quantity="gradient").plots[0].y.ticks[-1][1] == "out"


def test_the_output_layer_is_shown_when_asked_for():
    shown = shown_of(run_of(dense(20), act("tanh"), dense(10)))
    assert [text for _at, text in figure(shown).plots[0].y.ticks] == ["1"]
    assert [text for _at, text in figure(shown, output=True).plots[0].y.ticks] == ["1", "out"]
    assert len(figure(shown_of(run_of(dense(10)))).plots) == 1  # an output layer alone is all there is


# --- one layer


def test_a_layer_is_called_by_its_number_or_its_path():
    lane = Lanes().lane(depth=3)
    shown = places(lane, "main")
    for name, position in (("2", 1), ("out", 3), ("4", 3), ("nowhere", 0), ("", 0)):
        assert place_of(lane, shown, name) is shown[position]
    for path, position in (("0", 0), ("1", 0), ("2", 1), ("3", 1), ("6", 3), ("nowhere", 0)):
        assert place_of(lane, shown, "", path) is shown[position]
    block = run_of({"kind": "residual", "body": [dense(8), act("tanh")], "shortcut": "projection"}, dense(10), steps=1)
    inside = shown_of(block).lanes[0]
    every = places(inside, "all")
    assert inside.view.layers[place_of(inside, every, "0.body.1").index] == "0.body.1"


def test_the_chosen_card_chooses_the_layer():
    shown = scene("normal")
    path = shown.lanes[0].view.layers[4]
    assert "layer 3" in figure(replace(shown, selected=path), show="layer").subtitle
    assert "layer 2" in figure(replace(shown, selected=path), show="layer", layer="2").subtitle
    assert "layer 1" in figure(shown, show="layer").subtitle


def test_layers_to_choose_are_those_of_the_deepest_lane():
    offered = layers_to_choose(scene("two depths"), HistogramsOptions(show="layer"))
    assert [name for name, _text in offered] == ["1", "2", "3", "4", "5", "out"]


def test_ridges_end_at_the_step_that_is_shown():
    shown = scene("normal")
    assert [t for _at, t in figure(shown, show="ridges").plots[0].y.ticks] == ["0", "7", "14", "21", "28", "35", "39"]
    assert [t for _at, t in figure(replace(shown, step=20), show="ridges").plots[0].y.ticks] == ["0", "7", "14"]


def test_a_map_has_a_column_for_every_recorded_step_and_marks_the_present_one():
    shown = replace(scene("normal"), step=20)
    made = figure(shown, show="map")
    (cells,) = marks(made, Heatmap)
    np.testing.assert_array_equal(cells.x_edges, [0, 7, 14, 21, 28, 35, 39, 40])
    assert [rule.at for rule in marks(made, Rule)] == [20.5]
    assert len(made.plots) == 2  # and the share of saturated numbers below
    assert len(figure(shown, show="map", quantity="weight").plots) == 1


def test_a_step_without_a_finite_number_is_a_gap_in_the_map():
    shown = scene("explosion")
    (cells,) = marks(figure(shown, show="map", quantity="gradient"), Heatmap)
    assert np.isnan(cells.values[:, -1]).all()
    assert np.isfinite(cells.values[:, :-1]).all()


def test_lanes_have_a_map_each_and_share_its_axes():
    made = figure(scene("two depths"), show="map")
    assert len(made.plots) == 3
    assert made.plots[0].x == made.plots[1].x == made.plots[2].x
    assert made.plots[0].y == made.plots[1].y
    assert marks(made, Heatmap, 0)[0].limits == marks(made, Heatmap, 1)[0].limits


def test_the_table_holds_the_counts():
    run = run_of(dense(12), act("tanh"), dense(10))
    shown = shown_of(run)
    table = figure(shown, layers="all", output=True).table
    detail = latest(shown.lanes[0], run.step)
    assert len(table["count"]) == 3 * BINS
    for index, path in enumerate(shown.lanes[0].view.layers):
        mine = table["layer"] == path
        np.testing.assert_array_equal(table["count"][mine], detail.histograms["activation"].linear[index])
        assert table["count"][mine].sum() == table["of the layer: numbers"][mine][0]


def test_a_past_step_shows_its_own_numbers():
    run = run_of(dense(12), act("tanh"), dense(10), steps=40)
    run.seek(21)  # no step of the schedule
    shown = shown_of(run, step=21)
    assert latest(shown.lanes[0], 21).step == 21
    assert "step 21" in figure(shown).subtitle
    earlier = Scene(shown.lanes, 19)
    assert latest(shown.lanes[0], 19).step == 18
    assert "step 18" in figure(earlier).subtitle
