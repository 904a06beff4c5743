"""The figure of the microscope: pictures with ranges, equations that fit, and words from the present numbers."""

import math
from dataclasses import replace

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.diagnostics.pictures import (
    MOST,
    image_picture,
    kernel_picture,
    laid_out,
    matrix_picture,
    range_of,
    smaller,
)
from layerscope.core.figures.export import PRESETS, render
from layerscope.core.figures.figure import FIGURES, Heatmap, Outline, Words
from layerscope.core.figures.microscope import MicroscopeOptions, equation_pieces, moved, sight_of
from layerscope.core.figures.scene import scene_of
from layerscope.core.figures.writing import laid_out as written
from layerscope.core.figures.writing import rows_of
from layerscope.core.run import Run
from layerscope.core.walk import operation_text
from layerscope.core.worked import equation, number

KIND = FIGURES["microscope"]
NETWORK = [conv(3), {"kind": "batch_norm"}, act("relu"), {"kind": "residual", "body": [conv(3, padding="same")]}]


@pytest.fixture(scope="module")
def run():
    made = Run(experiment(*NETWORK, dense(10), averaging={"kind": "ema"}))
    made.advance(3)
    return made


def seen(run, **options):
    chosen = MicroscopeOptions(**options)
    scene = scene_of([("A", "", run)], studies=KIND.needs(chosen))
    return KIND.build(scene, chosen), KIND.explain(scene, chosen), sight_of(scene.lanes[0], chosen)


def test_every_operation_is_drawn_and_said(run):
    texts = set()
    for index, operation in enumerate(run.program.operations, 1):
        figure, said, sight = seen(run, operation=index, unit=2)
        assert sight.operation is operation
        assert figure.plots
        assert f"operation {index} of {len(run.program.operations)}" in figure.subtitle
        assert figure.subtitle in said.yours
        assert figure.words[0].bold
        for plot in figure.plots:
            (heat,) = (mark for mark in plot.marks if isinstance(mark, Heatmap))
            low, high = heat.limits
            assert low == -high  # zero is in the middle of the colors
            assert plot.x.label
            assert plot.y.label
            assert plot.foot
        texts.add(operation_text(run.program.plan, operation))
    assert len(texts) == len(run.program.operations)  # no two operations are called the same


def test_what_goes_in_stands_left_of_what_comes_out(run):
    figure, _said, sight = seen(run, operation=2)
    assert [plot.title.split()[0] for plot in figure.plots] == ["x", "W", "y"]
    assert [plot.before for plot in figure.plots] == ["", "·", "→"]
    assert [picture.result for picture in sight.pictures] == [False, False, True]
    outlines = [mark for plot in figure.plots for mark in plot.marks if isinstance(mark, Outline)]
    assert len(outlines) == 3


def test_the_window_of_a_convolution_is_outlined(run):
    _figure, _said, sight = seen(run, operation=2, unit=1 + 3 * (6 * 2 + 4))  # row 3, column 5
    x, weights, y = sight.pictures
    assert x.marked == ((2, 4, 5, 7),)
    assert weights.marked == ((0, 0, 3, 3),)
    assert y.marked == ((2, 4, 3, 5),)


def test_between_two_steps_the_first_weights_are_looked_at(run):
    _figure, _said, sight = seen(run)
    assert (sight.operation.path, sight.operation.phase, sight.begun) == ("0", "forward", False)


def test_numbers_beyond_the_end_are_the_last_there_are(run):
    _figure, _said, sight = seen(run, operation=999, sample=999, unit=999_999, input=999_999)
    assert sight.number == sight.total
    assert sight.entry == sight.entries
    _figure, _said, sight = seen(run, operation=2, sample=999, input=999)
    assert sight.sample == sight.samples == 16
    assert sight.entry == sight.entries == 9


def test_a_parameter_can_be_named(run):
    operation = next(i for i, o in enumerate(run.program.operations, 1) if o.phase == "update" and o.path == "4")
    for asked, found in (("", "4.weight"), ("bias", "4.bias"), ("4.bias", "4.bias"), ("none", "4.weight")):
        _figure, _said, sight = seen(run, operation=operation, parameter=asked)
        assert sight.tensor == found


def test_one_sample_can_be_looked_at_alone(run):
    last = next(i for i, o in enumerate(run.program.operations, 1) if o.path == "4" and o.phase == "forward")
    _figure, _said, sight = seen(run, operation=last, sample=5, view="sample")
    picture = sight.pictures[-1]
    assert picture.values.shape == (1, 10)
    assert picture.chooses["sample"].tolist() == [[5] * 10]
    assert picture.shape == (16, 10)


def test_without_an_answer_the_figure_says_so(run):
    scene = scene_of([("A", "", run)])
    figure = KIND.build(scene, MicroscopeOptions())
    assert "looked" in figure.empty
    assert "looked" in KIND.explain(scene, MicroscopeOptions()).yours


def test_behind_the_last_comes_the_first(run):
    _figure, _said, sight = seen(run, operation=2, input=9)
    assert (moved(sight, "input", 1), moved(sight, "input", -1), moved(sight, "sample", -1)) == (1, 8, 16)


def test_lanes_are_chosen_by_name(run):
    other = Run(experiment(dense(10)))
    chosen = MicroscopeOptions(lane="B")
    studies = KIND.needs(chosen)
    scene = scene_of([("A", "", run), ("B", "", other)], 0, studies)
    assert KIND.build(scene, chosen).subtitle.startswith("B: ")
    assert KIND.build(scene, replace_lane(chosen, "D")).subtitle.startswith("A: ")


def replace_lane(options, name):
    import msgspec

    return msgspec.structs.replace(options, lane=name)


def test_a_result_that_differs_is_shown():
    right = equation("y", number("a", 2.0) * number("b", 3.0), 6.0)
    assert equation_pieces(right, "float32")[-1].endswith("✓")
    wrong = " ".join(equation_pieces(replace(right, found=7.0), "float32"))
    assert "✗" in wrong
    assert "7" in wrong


def test_what_replaces_itself_has_an_arrow():
    assert equation_pieces(equation("w", number("w", 1.0) - number("Δw", 0.5)), "float32")[0].startswith("w\u00a0← w")
    assert equation_pieces(equation("Δw", number("η", 1.0) * number("g", 0.5)), "float32")[0].startswith("Δw\u00a0= η")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_drawn_in_every_size(run, preset, theme):
    for operation in (2, 9):
        picture = render(seen(run, operation=operation)[0], "png", preset, theme, dpi=40)
        assert picture.startswith(b"\x89PNG")


# --- pictures


def test_a_spike_among_thousands_is_seen():
    values = np.zeros((1000, 500))
    values[777, 333] = -3.0
    values[2, 499] = np.nan
    cells, row, column, block = smaller(values)
    assert cells.shape == (63, 63)
    assert block == (16, 8)
    assert np.nanmin(cells) == -3.0
    at = np.unravel_index(np.nanargmin(cells), cells.shape)
    assert (row[at], column[at]) == (777, 333)
    assert np.isnan(cells).sum() == 1


def test_small_matrices_stay_as_they_are():
    values = np.arange(12.0).reshape(3, 4)
    picture = matrix_picture("W", values, (3, 4), ("input", "unit"), ("input", "unit"), [(1, None), (2, 3)])
    assert np.array_equal(picture.values, values)
    assert picture.marked == ((1, 0, 2, 4), (2, 3, 3, 4))
    assert picture.chooses["input"][2, 1] == 3
    assert picture.chooses["unit"][2, 1] == 2


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 6), (28, 28, 40), (3, 3, 200), (100, 90, 3), (1, 5, 2)])
def test_images_are_laid_out_channel_by_channel(shape):
    values = np.arange(math.prod(shape), dtype=np.float64).reshape(shape)
    picture = image_picture("y", values, (16, *shape), "unit", [(slice(0, 1), slice(0, 1), 0)])
    assert max(picture.values.shape) <= MOST + 1
    numbers = picture.chooses["unit"]
    shown = numbers > 0
    assert np.array_equal(picture.values[shown], values.ravel()[numbers[shown] - 1])
    assert np.isnan(picture.values[~shown]).all()
    assert picture.marked


def test_kernels_show_the_chosen_filter():
    values = np.arange(3 * 3 * 4 * 90, dtype=np.float64).reshape(3, 3, 4, 90)
    picture = kernel_picture("W", values, 80, None, label="filter")
    units = picture.chooses["unit"]
    assert 81 in units
    shown = units > 0
    flat = values.reshape(-1, 90)
    assert np.array_equal(picture.values[shown], flat[picture.chooses["input"][shown] - 1, units[shown] - 1])


def test_ranges_leave_out_what_is_not_finite():
    found = range_of(np.array([1.0, -3.0, 0.0, np.nan, np.inf]))
    assert (found.count, found.least, found.most, found.strange) == (5, -3.0, 1.0, 2)
    assert found.zeros == pytest.approx(0.2)
    assert found.mean == pytest.approx(-2.0 / 3.0)
    assert range_of(np.full(3, np.nan)).strange == 3
    assert range_of(np.zeros(0)).count == 0


def test_channels_fill_a_rectangle():
    cells, index, across = laid_out(np.ones((2, 2, 5)), np.arange(20).reshape(2, 2, 5))
    assert across == 3
    assert cells.shape == (5, 8)
    assert (index >= 0).sum() == 20


# --- writing


def measure(text, bold):
    return float(len(text)) * (1.1 if bold else 1.0)


def test_pieces_begin_new_lines_where_they_do_not_fit():
    rows = rows_of([Words(("y = a b", "= 1 · 2", "= 2"))], measure, 16.0, 2.0)
    assert [row.text for row in rows] == ["y = a b = 1 · 2", "= 2"]
    assert [row.indented for row in rows] == [False, True]
    long = rows_of([Words(("y = a + b", "= 1 + 2 + 3 + 4 + 5 + 6 + 7"))], measure, 12.0, 2.0)
    assert all(len(row.text) <= 12 - 2 * row.indented for row in long)
    assert " ".join(row.text for row in long) == "y = a + b = 1 + 2 + 3 + 4 + 5 + 6 + 7"


def test_where_room_is_scarce_remarks_go_then_columns_come_then_the_end():
    words = [Words(("title",), bold=True)]
    words += [Words((f"equation {i}",), remark="(some more words about it)") for i in range(4)]
    roomy = written(words, measure, 40.0, 2.0, 20, 2.0)
    assert any("about" in row.text for row in roomy.columns[0])
    short = written(words, measure, 30.0, 2.0, 5, 2.0)
    assert [row.text for row in short.columns[0]] == [f"equation {i}" for i in range(4)]
    two = written(words, measure, 30.0, 2.0, 3, 2.0)
    assert [len(column) for column in two.columns] == [2, 2]
    assert two.lines == 3
    cut = written(words, measure, 20.0, 2.0, 2, 2.0)
    assert cut.lines == 2
    assert cut.columns[0][-1].text.endswith("…")
