"""The waterfall's bars are the gains that were measured, however they are put together, and say who they are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from experiments import act, dense, experiment
from scenes import scene

from layerscope.core.figures.figure import FIGURES, Boxes, Line, Note
from layerscope.core.figures.legend import legend
from layerscope.core.figures.palette import THEMES
from layerscope.core.figures.scene import scene_of
from layerscope.core.figures.waterfall import MANY, PARTS, WaterfallOptions, chosen, signed, way_of
from layerscope.core.layers.base import Part
from layerscope.core.run import Run

KIND = FIGURES["waterfall"]
NORM = {"kind": "layer_norm"}
BLOCK = {"kind": "residual", "body": [dense(12), NORM, act("tanh")], "scale": 0.5}
NETWORKS = {
    "plain": [part for _ in range(4) for part in (dense(16), act("sigmoid"))],
    "deep": [part for _ in range(50) for part in (dense(12), act("tanh"))],
    "blocks": [dense(12), *[BLOCK] * 3],
    "many blocks": [dense(12), *[BLOCK] * 35],
}


def run_of(*layers, steps=1, **training):
    run = Run(experiment(*layers, dense(10), **training))
    run.advance(steps)
    return run


def shown_of(*runs):
    return scene_of([("ABCD"[i], f"variant {i}", run) for i, run in enumerate(runs)], 0)


def build(shown, **options):
    return KIND.build(shown, KIND.options(**options))


def boxes(figure, plot=0):
    return [mark for mark in figure.plots[plot].marks if isinstance(mark, Boxes)]


def notes(figure):
    return [mark.text for plot in figure.plots for mark in plot.marks if isinstance(mark, Note)]


def heights(figure):
    """The sum of all bars' heights, of each label."""
    return {mark.label: float(np.sum(mark.most - mark.least)) for mark in boxes(figure)}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("grouping", ["operations", "layers", "blocks"])
def test_bars_are_as_high_as_the_gains_are_large(network, grouping):
    shown = shown_of(run_of(*NETWORKS[network]))
    way = way_of(shown.lanes[0], 0)
    figure = build(shown, grouping=grouping)
    found, by_part = heights(figure), {}
    if grouping == "operations":
        for part, gain in zip(way.falls.parts[1:], way.falls.gains[1:], strict=True):
            by_part[PARTS[part][1]] = by_part.get(PARTS[part][1], 0.0) + abs(float(gain))
        for label, height in found.items():
            assert height == pytest.approx(by_part[label], abs=1e-9)
    # the line leads from the output's 0 to the total
    line = next(mark for mark in figure.plots[0].marks if isinstance(mark, Line))
    level = line.y[np.isfinite(line.y)]
    assert level[-1] == 0.0
    assert level[0] == pytest.approx(way.falls.total, abs=1e-12)


@pytest.mark.parametrize("grouping", ["layers", "blocks"])
def test_bars_on_each_other_add_up_to_the_step_of_the_line(grouping):
    shown = shown_of(run_of(*NETWORKS["blocks"]))
    figure = build(shown, grouping=grouping)
    line = next(mark for mark in figure.plots[0].marks if isinstance(mark, Line))
    known = ~np.isnan(line.y)
    # x and y of the line: level[i] lasts from i to i + 1, the bars at i + 1 lead to it from level[i + 1]
    level = dict(zip(np.ceil(line.x[known][1::2]), line.y[known][1::2], strict=True))
    for place in range(2, int(max(level))):
        start, end = level[place + 1], level[place]
        up = 0.0
        for mark in boxes(figure):
            for low, high in zip(mark.least[mark.x == place], mark.most[mark.x == place], strict=True):
                assert low >= start - 1e-9 or high <= start + 1e-9  # on one side of where they begin
                up += (high - low) * (1.0 if low >= start - 1e-9 else -1.0)
        assert up == pytest.approx(end - start, abs=1e-9)


@pytest.mark.parametrize(
    ("network", "grouping", "places"),
    [("plain", "operations", 9), ("deep", "layers", 51), ("blocks", "operations", 17), ("many blocks", "blocks", 37)],
)
def test_operations_are_put_together_where_there_are_many(network, grouping, places):
    shown = shown_of(run_of(*NETWORKS[network]))
    assert chosen([way_of(shown.lanes[0], 0)], WaterfallOptions()) == grouping
    assert build(shown).plots[0].x.limits == (0.4, places + 0.6)


def test_the_axis_counts_layers_like_the_other_figures():
    shown = shown_of(run_of(*NETWORKS["plain"]))
    assert build(shown, grouping="operations").plots[0].x.ticks == (
        (1.0, "1"),
        (3.0, "2"),
        (5.0, "3"),
        (7.0, "4"),
        (9.0, "out"),
    )
    shown = shown_of(run_of(*NETWORKS["blocks"]))
    assert [text for _at, text in build(shown, grouping="layers").plots[0].x.ticks] == ["1", "2", "3", "4", "out"]
    assert [text for _at, text in build(shown, grouping="blocks").plots[0].x.ticks] == ["1", "2", "3", "4", "out"]


def test_parts_add_up_to_the_total_in_bars_and_words():
    shown = shown_of(run_of(*NETWORKS["blocks"]))
    way = way_of(shown.lanes[0], 0)
    figure = build(shown, grouping="parts")
    total = next(mark for mark in boxes(figure) if mark.label == "total")
    assert float(total.least[0] if way.falls.total < 0 else total.most[0]) == pytest.approx(way.falls.total)
    named = dict(figure.plots[0].x.ticks)
    assert named[max(named)] == "total"
    assert set(named.values()) == {"weights", "slope", "norm", "skip", "total"}
    for part, gain in way.falls.by_group().items():
        assert f"{PARTS[part][2]} {signed(gain)}" in figure.subtitle
    assert figure.subtitle.startswith(signed(way.falls.total))


def test_several_lanes_stand_side_by_side_and_in_plots_with_the_same_heights():
    runs = [run_of(*NETWORKS[name]) for name in ("plain", "blocks", "deep")]
    shown = shown_of(*runs)
    figure = build(shown)
    assert len(figure.plots) == 1
    assert [entry.label for entry in legend(*figure.plots)] == ["A variant 0", "B variant 1", "C variant 2"]
    for mark, lane in zip(boxes(figure), shown.lanes, strict=True):
        total = way_of(lane, 0).falls.total
        assert min(mark.least[-1], mark.most[-1], key=lambda v: abs(v - total)) == pytest.approx(total)
    first, second = boxes(figure)[:2]
    assert first.shift + 0.5 * first.width < second.shift - 0.5 * second.width
    below = build(shown, grouping="layers")
    assert len({plot.y.limits for plot in below.plots}) == 1
    assert [plot.title for plot in below.plots] == ["A variant 0", "B variant 1", "C variant 2"]


def test_bars_say_their_layer_part_and_gain():
    shown = shown_of(run_of(*NETWORKS["plain"]))
    found = way_of(shown.lanes[0], 0).falls
    slope = next(mark for mark in boxes(build(shown)) if mark.color == "lane-1")
    gain = float(found.gains[1])
    name, said, level = slope.says(0)
    assert name == "Sigmoid (layer 1)"
    assert said == f"slope of the function: ×{10**gain:.2g} ({signed(gain)})"
    assert level == f"level {signed(float(found.levels[1]))} → {signed(float(found.levels[0]))}"
    slope = next(mark for mark in boxes(build(shown, grouping="layers")) if mark.color == "lane-1")
    name, said, whole, _level = slope.says(1)
    assert name == "Sigmoid (layer 2)"
    both = float(found.gains[2] + found.gains[3])
    assert whole == f"all that stands here: ×{10**both:.2g} ({signed(both)})"
    slope = next(mark for mark in boxes(build(shown, grouping="parts")) if mark.color == "lane-1")
    assert slope.says(0)[-1].startswith("4 operations, ×0.2")
    lanes = shown_of(*[run_of(*NETWORKS["plain"])] * 2)
    assert boxes(build(lanes))[1].says(0)[0] == "B variant 1"


def test_skips_and_scales_are_called_by_the_layers_that_they_go_around():
    shown = shown_of(run_of(*NETWORKS["blocks"]))
    way = way_of(shown.lanes[0], 0)
    names = [way.name(step) for step in way.falls.steps]
    assert names[1:6] == [
        "skip (layer 2)",
        "Dense (layer 2)",
        "Layer norm (layer 2)",
        "Tanh (layer 2)",
        "branch scale (layer 2)",
    ]
    assert names[-1] == "Dense (the output layer)"
    wide = {"kind": "residual", "body": [dense(12), act("tanh"), dense(12)]}
    branches = {"kind": "inception", "branches": [[dense(6)], [dense(6)]]}
    shown = shown_of(run_of(dense(12), wide, branches))
    way = way_of(shown.lanes[0], 0)
    names = [way.name(step) for step in way.falls.steps]
    assert "skip (layers 2–3)" in names
    assert any(name.startswith("branches (layer ") for name in names)
    assert any(name.startswith("share of the branch (layer ") for name in names)


def test_who_takes_most_is_named_with_its_numbers():
    shown = shown_of(run_of(*[part for _ in range(10) for part in (dense(32), act("sigmoid"))]))
    way = way_of(shown.lanes[0], 0)
    said = KIND.explain(shown, KIND.options()).yours
    slopes = way.falls.by_group()["function"]
    assert f"Most is taken by: slope of the function, {signed(slopes)}" in said
    worst = min((i for i, p in enumerate(way.falls.parts) if p == "function"), key=lambda i: way.falls.gains[i])
    assert f"×{10 ** float(way.falls.gains[worst]):.2g} at {way.name(way.falls.steps[worst])}." in said
    assert f"×{10 ** (slopes / 10):.2g} at each of 10 operations" in said
    large = {"kind": "dense", "units": 32, "init": {"kind": "normal", "std": 2.0}}
    shown = shown_of(run_of(*[part for _ in range(5) for part in (large, act("relu"))]))
    assert "Most is added by: weights" in KIND.explain(shown, KIND.options()).yours


def test_where_the_gradient_becomes_zero_a_bar_falls_out_of_the_picture():
    shown = shown_of(run_of(dense(6), act("relu"), dense(6, "zeros"), act("tanh")))
    figure = build(shown)
    low, _high = figure.plots[0].y.limits
    bar = next(mark for mark in boxes(figure) if mark.least.min() < low)
    assert bar.says(int(bar.least.argmin())) == ("Dense (layer 2)", "weights: ×0, exactly nothing is left")
    assert "exactly 0 behind Dense (layer 2)" in notes(figure)
    assert "then exactly 0" in figure.subtitle
    said = KIND.explain(shown, KIND.options()).yours
    assert said.startswith("Dense (layer 2) makes the gradient exactly 0: nothing behind it learns.")
    parts = build(shown, grouping="parts")
    total = next(mark for mark in boxes(parts) if mark.label == "total")
    assert total.says(0) == ("total: ×0, exactly nothing is left",)
    both = shown_of(*[run_of(dense(6), act("relu"), dense(6, "zeros"), act("tanh"))] * 2)
    assert "B: exactly 0 behind Dense (layer 2)" in notes(build(both))


def test_a_body_that_hands_back_nothing_is_told():
    block = {"kind": "residual", "body": [dense(6, "zeros"), act("tanh")]}
    shown = shown_of(run_of(dense(6), block))
    assert "nothing comes back through the inside of layer 2" in notes(build(shown))
    shown = shown_of(run_of(dense(6), *[block] * 2))
    assert "nothing comes back through the inside of layers 2, 3" in notes(build(shown))
    many = {"kind": "inception", "branches": [[dense(1)] for _ in range(13)]}  # more than are measured
    for living in (NETWORKS["blocks"], [dense(13), {"kind": "residual", "body": [many, act("tanh")]}]):
        assert not any("nothing" in text for text in notes(build(shown_of(run_of(*living)))))


def test_clipping_is_told_where_it_acts_on_this_step():
    clipping = {"clipping": {"kind": "global_norm", "threshold": 1e-3}}
    run = run_of(*NETWORKS["plain"], **clipping)
    shown = shown_of(run)
    view = run.record.view()
    norm = float(view.at("gradient_norm", 0))
    note = next(text for text in notes(build(shown)) if "clipping" in text)
    assert note.endswith("→ 0.001)")
    assert f"×{1e-3 / norm:.2g}" in note
    assert "clipping shortens" in KIND.explain(shown, KIND.options()).yours
    assert f"then clipped: A ×{1e-3 / norm:.2g}, B ×" in build(shown_of(run, run)).subtitle
    idle = shown_of(run_of(*NETWORKS["plain"], clipping={"kind": "global_norm", "threshold": 1e6}))
    assert not any("clipping" in text for text in notes(build(idle)))
    assert "clipping" not in KIND.explain(idle, KIND.options()).yours


@pytest.mark.parametrize("grouping", ["auto", "operations", "layers", "blocks", "parts"])
@pytest.mark.parametrize("case", ["all nan", "explosion", "zeros", "one step", "gap", "two depths", "four lanes"])
def test_every_grouping_survives_every_situation(case, grouping):
    figure = build(scene(case), grouping=grouping)
    for plot in figure.plots:
        assert all(map(math.isfinite, plot.y.limits))
        for mark in boxes(figure):
            for index in range(len(mark.x)):
                lines = mark.says(index)
                assert len(lines) > 0
                assert not any("nan" in line.lower() for line in lines), lines


def test_the_table_has_every_operation_whatever_the_grouping():
    shown = shown_of(run_of(*NETWORKS["many blocks"]))
    table = build(shown).table
    assert len(table["log10 gain"]) > MANY
    gains = table["log10 gain"]
    assert np.nansum(gains) == pytest.approx(way_of(shown.lanes[0], 0).falls.total)
    assert table["operation"][1] == "skip (layer 2)"


def test_every_part_has_a_name_and_a_color_of_its_own():
    assert set(PARTS) == set(Part.__args__)
    for theme in THEMES.values():
        colors = [theme.color(color) for color, _label, _short in PARTS.values()]
        assert all(one != other for one, other in itertools.combinations(colors, 2))


@pytest.mark.parametrize(("gain", "text"), [(-0.6234, "−0.62"), (1.5, "+1.5"), (0.004, "0"), (-12.34, "−12.3")])
def test_gains_are_written_with_their_sign(gain, text):
    assert signed(gain) == text
