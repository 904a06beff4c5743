"""What the figures say: the numbers of the moment, where they stand, and what is written about them."""

from __future__ import annotations

import gettext
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from experiments import act, dense, experiment
from scenes import CASES, Lanes, scene

from layerscope.core.engine.precision import COUNT_COLUMNS
from layerscope.core.figures.figure import FIGURES, Band, Boxes, Heatmap, Line, Note, Plot, Rule, Scene, Span
from layerscope.core.figures.gradients import per_layer
from layerscope.core.figures.history import binned
from layerscope.core.figures.learning_curves import trailing_mean
from layerscope.core.figures.legend import legend
from layerscope.core.figures.placement import covered, place_notes, place_texts
from layerscope.core.figures.quantities import recorded
from layerscope.core.figures.reading import moment_at, percent_text, places, ranges_text
from layerscope.core.figures.scales import frames
from layerscope.core.run import Run
from layerscope.core.text import use_translations

KINDS = FIGURES.names()
LANES = Lanes()


def figure(kind, shown, **options):
    return FIGURES[kind].build(shown, FIGURES[kind].options(**options))


def marks(made, sort, plot=0):
    return [mark for mark in made.plots[plot].marks if isinstance(mark, sort)]


def yours(kind, shown, **options):
    return FIGURES[kind].explain(shown, FIGURES[kind].options(**options)).yours


def gradients_of(lane, norms):
    """The lane with these norms behind its places, at every step."""
    view, block = lane.view, lane.view.block.copy()
    columns = np.arange(block.shape[1])[view.column("gradient.norm")]
    for place, norm in zip(places(lane, "main"), norms, strict=True):
        block[:, columns[place.index]] = norm
    return replace(lane, view=replace(view, block=block, low=block, high=block))


# --- all figures


def test_the_figures_are_met_in_the_order_of_the_lesson():
    assert KINDS[:4] == ["signal", "gradients", "over-time", "learning-curves"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_every_figure_explains_itself_in_every_situation(case, kind):
    said = FIGURES[kind].explain(scene(case), FIGURES[kind].options())
    for part in (said.what, said.why, said.good, said.yours):
        assert part.strip()
        assert "nan" not in part
        assert "{" not in part


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_every_axis_says_what_it_shows(case, kind):
    made = figure(kind, scene(case))
    assert bool(made.plots) != bool(made.empty)
    for plot in made.plots:
        assert plot.x.label
        assert plot.y.label


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "schedule"])  # that one is a plan
def test_a_figure_of_nothing_says_what_to_do(kind):
    demanded = any(study.demanded for study in FIGURES[kind].needs(FIGURES[kind].options()))
    said = "it is computed when you ask for it" if demanded else "Nothing is computed yet"
    assert said in figure(kind, scene("empty")).empty


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_stamped_with_what_it_takes_to_make_it_again(kind):
    stamp = figure(kind, scene("two depths")).stamp
    assert stamp["figure"] == kind
    assert stamp["seed"] == "A: 7; B: 7"
    assert "0123456789ab" in stamp["hash"]
    assert stamp["step"] == "39"


# --- reading


def test_a_moment_that_is_looked_at_is_exact():
    shown = scene("looking")
    view = shown.lanes[0].view
    found = moment_at(view, 20)
    assert found is not None
    assert found.step == 20
    np.testing.assert_array_equal(found.line, view.line)
    assert found.detail is not None
    earlier = moment_at(view, 19)
    assert earlier is not None
    np.testing.assert_array_equal(earlier.line, view.block[19])


def test_a_step_that_was_thinned_out_is_shown_by_the_one_that_stands_for_it():
    view = scene("thinned").lanes[0].view
    found = moment_at(view, view.stride + 1)
    assert found is not None
    assert found.step == view.stride
    np.testing.assert_array_equal(found.line, view.block[1])


def test_layers_are_counted_by_their_weights():
    lane = LANES.lane(depth=3)
    assert [p.text for p in places(lane, "main")] == ["1", "2", "3", "out"]
    assert [p.index for p in places(lane, "main")] == [1, 3, 5, 6]
    assert [p.weighted for p in places(lane, "main")] == [0, 2, 4, 6]
    assert [p.text for p in places(lane, "all")] == list("1234567")
    assert places(lane, "all")[1].title == "Tanh"


def test_lanes_of_different_depth_share_numbers_and_no_output():
    ticks = figure("gradients", scene("two depths")).plots[0].x.ticks
    assert [text for _at, text in ticks] == list("123456")


@pytest.mark.parametrize(
    ("chosen", "text"), [([1, 1, 1, 0, 1], "1–3, out"), ([0, 0, 0, 0, 0], ""), ([0, 1, 0, 1, 0], "2, 4")]
)
def test_layers_in_a_row_are_named_in_short(chosen, text):
    assert ranges_text(["1", "2", "3", "4", "out"], np.array(chosen, dtype=bool)) == text


@pytest.mark.parametrize(("share", "text"), [(0.5, "50\u00a0%"), (0.925, "92.5\u00a0%"), (math.nan, "NaN")])
def test_shares_are_percent(share, text):
    assert percent_text(share) == text


# --- gradients


def test_the_factor_is_that_of_the_hidden_layers():
    assert per_layer(0.25 ** np.arange(9, -1, -1.0)) == pytest.approx(0.25)
    # neither the first layer, whose input is the data, nor the output counts
    assert per_layer(np.array([1e9, 1.0, 2.0, 4.0, 1e-9])) == pytest.approx(0.5)
    assert math.isnan(per_layer(np.array([1.0, 2.0])))
    assert math.isnan(per_layer(np.array([0.0, 0.0, 0.0, 0.0])))
    assert per_layer(np.array([1.0, math.nan, 1.0, 2.0, 4.0, 9.0])) == pytest.approx(0.5)


def test_gradients_are_those_of_the_moment_and_the_ghost_those_of_step_0():
    shown = scene("normal")
    view = shown.lanes[0].view
    ghost, _theory, now = marks(figure("gradients", shown), Line)
    columns = [1, 3, 5, 6]
    np.testing.assert_array_equal(now.y, view.values("gradient.norm")[39, columns])
    np.testing.assert_array_equal(ghost.y, view.values("gradient.norm")[0, columns])
    assert ghost.faint
    assert not now.faint


def test_theory_starts_at_the_last_layer_of_the_first_step():
    shown = scene("normal")
    theory = next(line for line in marks(figure("gradients", shown), Line) if line.label == "theory")
    assert theory.y[-1] == pytest.approx(shown.lanes[0].view.values("gradient.norm")[0, 6])
    assert not any(line.label == "theory" for line in marks(figure("gradients", shown, theory=False), Line))


def test_at_step_0_there_is_no_ghost():
    first = replace(scene("normal"), step=0)
    assert not any(line.faint for line in marks(figure("gradients", first), Line))


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        ([1e-3, 1e-2, 1e-1, 1.0], "vanishes"),
        ([1e3, 1e2, 1e1, 1.0], "explodes"),
        ([1.0, 1.1, 0.9, 1.0], "full size"),
        ([0.0, 0.0, 1.0, 1.0], "exactly 0 in layer 1–2"),
        ([math.nan, 1.0, 1.0, 1.0], "not a finite number in layer 1"),
        ([math.nan] * 4, "broken down"),
    ],
)
def test_what_yours_says_of_gradients(norms, words):
    lane = gradients_of(LANES.lane(depth=3), norms)
    assert words in yours("gradients", Scene((lane,), 39))


def test_zeros_and_strange_numbers_are_remarked():
    lane = gradients_of(LANES.lane(depth=3), [0.0, math.inf, 1.0, 1.0])
    said = " ".join(note.text for note in marks(figure("gradients", Scene((lane,), 39)), Note))
    assert "gradient exactly 0 in layer 1" in said
    assert "not a finite number in layer 2" in said


def test_gradients_of_weights_are_drawn_where_there_are_weights():
    shown = scene("normal")
    now = marks(figure("gradients", shown, quantity="weight", layers="all"), Line)[-1]
    assert np.isnan(now.y[1::2]).all()
    assert np.isfinite(now.y[::2]).all()
    assert not any("not a finite" in note.text for note in marks(figure("gradients", shown, quantity="weight"), Note))


# --- signal


def test_boxes_are_percentiles_where_every_lane_has_them():
    (box,) = marks(figure("signal", scene("normal")), Boxes)
    detail = scene("normal").lanes[0].view.details[-1].percentiles[:, [1, 3, 5, 6]]
    np.testing.assert_array_equal(box.middle, detail[3])
    np.testing.assert_array_equal(box.inner[0], detail[2])
    np.testing.assert_array_equal(box.outer[1], detail[5])
    two = marks(figure("signal", scene("two depths")), Boxes)
    assert all(b.outer is not None for b in two)  # B ended earlier, its last moment has percentiles
    earlier = replace(scene("normal"), step=12)
    assert marks(figure("signal", earlier), Boxes)[0].outer is None
    assert "mean ± std" in figure("signal", earlier).subtitle


def test_lanes_stand_side_by_side():
    boxes = marks(figure("signal", scene("four lanes")), Boxes)
    shifts = [box.shift for box in boxes]
    assert shifts == sorted(shifts)
    assert all(b - a >= box.width for a, b, box in zip(shifts, shifts[1:], boxes, strict=False))
    assert {box.marker for box in boxes} == {"circle", "square", "triangle", "diamond"}


def test_a_layer_far_out_makes_the_axis_logarithmic():
    lane = LANES.lane()
    block = lane.view.block.copy()
    block[:, lane.view.column("activation.max")][:, 1] = 1e5
    lane = replace(lane, view=replace(lane.view, block=block))
    assert figure("signal", scene("normal")).plots[0].y.scale == "linear"
    assert figure("signal", Scene((lane,), 39)).plots[0].y.scale == "symlog"
    assert figure("signal", Scene((lane,), 39), scale="linear").plots[0].y.scale == "linear"


def test_the_healthy_range_can_be_left_out():
    assert marks(figure("signal", scene("normal")), Span)
    assert not marks(figure("signal", scene("normal"), healthy=False), Span)


# --- over time


def test_cells_are_the_recorded_numbers():
    shown = scene("normal")
    (heat,) = marks(figure("over-time", shown), Heatmap)
    recorded = shown.lanes[0].view.values("gradient.norm")[:, [1, 3, 5, 6]].T
    np.testing.assert_allclose(heat.values, recorded, rtol=1e-12)
    np.testing.assert_array_equal(heat.x_edges, np.arange(41.0))
    assert heat.scale == "log"


def test_two_lanes_share_one_color_scale():
    made = figure("over-time", scene("two depths"))
    limits = {mark.limits for plot in made.plots for mark in plot.marks if isinstance(mark, Heatmap)}
    assert len(made.plots) == 2
    assert len(limits) == 1
    assert len(figure("over-time", scene("two depths"), lane="B").plots) == 1


def test_a_spike_of_one_step_is_seen_among_a_million():
    shown = scene("thinned")
    (heat,) = marks(figure("over-time", shown), Heatmap)
    assert heat.values.shape[1] <= 1001
    found = binned(shown.lanes[0].view, "gradient.norm", 1000)
    assert heat.values.max() == pytest.approx(found.most[:, [1, 2]].max())
    spike = heat.x_edges[np.argmax(heat.values.max(axis=0))]
    assert abs(spike - 400_017) < 2000


def test_missing_numbers_leave_cells_empty():
    (heat,) = marks(figure("over-time", scene("gap")), Heatmap)
    assert np.isnan(heat.values[:, 10:20]).all()
    assert np.isfinite(heat.values[:, :10]).all()


@pytest.mark.parametrize("quantity", recorded([]))
@pytest.mark.parametrize("case", ["normal", "gap", "zeros", "one step", "explosion"])
def test_any_quantity_can_be_shown_over_time(case, quantity):
    made = figure("over-time", scene(case), quantity=quantity)
    (heat,) = marks(made, Heatmap)
    assert heat.label
    assert len(made.table) > 0
    assert yours("over-time", scene(case), quantity=quantity)


@pytest.fixture(scope="module")
def half():
    """A lane of 16-bit numbers, in which something is lost, beside one of 32 bits."""
    layers = [layer for _ in range(9) for layer in (dense(16), act("sigmoid"))]
    views = []
    for precision in ("float32", "float16"):
        run = Run(experiment(*layers, dense(10), precision=precision))
        run.advance(20)
        views.append(run.view())
    lanes = scene("normal").lanes * 2
    made = tuple(
        replace(lane, name=name, view=view, plan=run.program.plan, predictions=())
        for lane, name, view in zip(lanes, "AB", views, strict=True)
    )
    return replace(scene("normal"), lanes=made, step=19)


LOST = ("gradient.underflow", "weight_gradient.underflow")  # what such a deep network loses


@pytest.mark.parametrize("quantity", COUNT_COLUMNS)
def test_counts_of_numbers_of_16_bits_are_shown_where_there_are_some(half, quantity):
    (heat,) = marks(figure("over-time", half, quantity=quantity), Heatmap)
    shown = half.lanes[1].view.values(quantity)
    assert np.nanmax(heat.values) <= np.nanmax(shown)
    assert (np.nanmax(heat.values) > 0) == (np.nanmax(shown) > 0) == (quantity in LOST)
    assert quantity in recorded(lane.view for lane in half.lanes)
    assert len(figure("over-time", half, quantity=quantity).table) > 0
    assert "precision" in yours("over-time", half, quantity=quantity)
    alone = replace(half, lanes=half.lanes[:1])
    assert quantity not in recorded(lane.view for lane in alone.lanes)
    assert "16" in figure("over-time", alone, quantity=quantity).empty
    assert figure("over-time", scene("nothing"), quantity=quantity).empty


def test_the_present_step_is_marked_unless_it_is_the_last():
    assert marks(figure("over-time", replace(scene("normal"), step=12)), Rule)[0].at == 12.5
    assert not marks(figure("over-time", scene("normal")), Rule)


# --- learning curves


def test_the_mean_over_an_epoch_is_the_mean_of_what_came_before():
    values = np.array([1.0, 2.0, 3.0, math.nan, 5.0, math.inf, 7.0])
    np.testing.assert_allclose(trailing_mean(values, 3), [1.0, 1.5, 2.0, math.nan, 4.0, math.nan, 6.0])


def test_curves_end_where_the_record_ends_and_epochs_are_marked():
    made = figure("learning-curves", scene("normal"))
    faint, smooth, validation = marks(made, Line)
    assert faint.faint
    assert len(faint.x) == len(smooth.x) == 40
    np.testing.assert_array_equal(validation.x, [0.0, 15.0, 30.0])
    epochs = [rule for rule in marks(made, Rule) if rule.across == "x"]
    assert [(rule.at, rule.label) for rule in epochs] == [(15.0, "epoch 1"), (30.0, "2")]
    guessing = next(rule for rule in marks(made, Rule) if rule.across == "y")
    assert guessing.at == pytest.approx(math.log(10))
    assert "ln 10" in guessing.label


def test_a_long_run_is_drawn_with_few_points_and_its_whole_range():
    made = figure("learning-curves", scene("thinned"))
    (band,) = marks(made, Band)
    assert len(band.x) <= 1001
    assert band.high.max() > 1e5  # the spike of one step
    assert len([rule for rule in marks(made, Rule) if rule.across == "x"]) <= 8


def test_a_loss_that_explodes_does_not_hide_how_it_began():
    plot = figure("learning-curves", scene("explosion")).plots[0]
    assert plot.y.limits is not None
    assert plot.y.limits[1] < 10.0
    said = [mark.text for mark in plot.marks if isinstance(mark, Note)]
    assert said == ["not a finite number from step 37 on"]


def test_what_is_not_chosen_is_not_drawn():
    shown = scene("normal")
    assert len(figure("learning-curves", shown, accuracy=False).plots) == 1
    assert len(figure("learning-curves", shown, learning_rate=True).plots) == 3
    assert "Nothing is chosen" in figure("learning-curves", shown, loss=False, accuracy=False).empty


# --- legend and places of notes


def test_what_several_lanes_share_is_named_once_and_belongs_to_none():
    entries = {entry.label: entry for entry in legend(*figure("gradients", scene("two depths")).plots)}
    band = "theory, ±2 sd of finite width"
    assert list(entries) == ["A as built", "B deeper", "before training", "theory", band]
    assert entries[band].color == "muted"
    assert entries["theory"].color == "muted"
    assert entries["A as built"].color == "lane-0"
    assert entries["B deeper"].dash == "dashed"


@pytest.mark.parametrize("case", ["normal", "two depths", "deep", "gap"])
def test_notes_cover_no_line(case):
    plot = figure("gradients", scene(case)).plots[0]
    found = frames(plot)
    width, height = 0.4, 0.06
    points, _by_color = covered(plot, found)
    placed = place_texts(plot, found, lambda text: (width, height))
    assert placed
    for text in placed:
        inside = (abs(points[:, 0] - text.x) < width / 2) & (abs(points[:, 1] - text.y) < height / 2)
        assert not inside.any()
        assert width / 2 <= text.x <= 1 - width / 2
        assert height / 2 <= text.y <= 1 - height / 2
    notes = [mark for mark in plot.marks if isinstance(mark, Note)]
    assert place_notes(plot, found, [(width, height)] * len(notes)) == [(p.x, p.y) for p in placed]


def test_a_plot_without_notes_needs_no_places():
    made = figure("over-time", scene("normal"))
    assert place_texts(made.plots[0], frames(made.plots[0]), lambda text: (0.1, 0.1)) == []
    assert isinstance(made.plots[0], Plot)


def test_learning_curves_of_values_speak_of_no_accuracy():
    lanes = scene("normal").lanes
    plan = lanes[0].plan
    shown = Scene(
        (
            replace(
                lanes[0], plan=msgspec.structs.replace(plan, outline=msgspec.structs.replace(plan.outline, classes=()))
            ),
        ),
        20,
    )
    made = figure("learning-curves", shown)
    assert [plot.y.label for plot in made.plots] == ["loss (mean over samples)"]
    assert "right" not in yours("learning-curves", shown)
    assert "no accuracy" in figure("learning-curves", shown, loss=False).empty
    assert len(figure("learning-curves", scene("normal")).plots) == 2


def test_theory_that_knows_one_layer_alone_draws_no_line():
    shown = scene("normal")
    lane = shown.lanes[0]
    alone = tuple(
        replace(p, gradient_norm=p.gradient_norm if i == len(lane.predictions) - 1 else math.nan)
        for i, p in enumerate(lane.predictions)
    )
    labels = [line.label for line in marks(figure("gradients", replace(shown, lanes=(lane,))), Line)]
    assert "theory" in labels
    labels = [
        line.label
        for line in marks(figure("gradients", replace(shown, lanes=(replace(lane, predictions=alone),))), Line)
    ]
    assert "theory" not in labels


def test_layers_without_any_weights_have_their_places_too():
    lane = scene("normal").lanes[0]
    bare = replace(lane, view=replace(lane.view, layers=("1", "3"), kinds=("activation", "activation")))
    assert [place.text for place in places(bare, "main")] == [place.text for place in places(bare, "all")] == ["1", "2"]


def test_names_of_layers_follow_the_language():
    class Brackets(gettext.NullTranslations):
        def gettext(self, message):
            return f"⟦{message}⟧"

    lane = scene("normal").lanes[0]
    before = [place.title for place in places(lane, "all")]
    use_translations(Brackets())
    try:
        assert all("⟦" in place.title for place in places(lane, "all"))
    finally:
        use_translations(gettext.NullTranslations())
    assert [place.title for place in places(lane, "all")] == before
