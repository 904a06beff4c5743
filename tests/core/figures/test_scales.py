"""Axes: where numbers stand, which are written, what is shown when something is far away, tiny, zero or missing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from layerscope.core.figures.figure import Axis, Boxes, Heatmap, Line, Plot, Rule
from layerscope.core.figures.scales import (
    clip_marks,
    color_limits,
    fit,
    frames,
    inverse,
    linear_texts,
    number_text,
    robust_range,
    round_step,
    thinned,
    ticks,
    transform,
)

SCALES = ["linear", "log", "symlog"]
ANY = st.floats(allow_nan=True, allow_infinity=True)


def texts(*arguments, **more):
    return [tick.text for tick in ticks(*arguments, **more)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.2358, "0.24"),
        (1.23e-7, "1.2e-7"),
        (-2.0, "−2"),
        (123456.0, "120\u202f000"),
        (1234.0, "1200"),
        (0.0, "0"),
        (-0.0, "0"),
        (1e-3, "0.001"),
        (2.5e12, "2.5e12"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_in_a_few_characters(value, text):
    assert number_text(value) == text


@pytest.mark.parametrize(
    ("limits", "scale", "expected"),
    [
        ((1e-9, 3.0), "log", ["1e-8", "1e-6", "1e-4", "1e-2", "1"]),
        ((1e-3, 1e3), "log", ["0.01", "1", "100"]),
        ((0.5, 30.0), "log", ["0.5", "1", "2", "5", "10", "20"]),
        ((0.0, 1.0), "linear", ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((0.0, 13000.0), "linear", ["0", "2500", "5000", "7500", "10\u202f000", "12\u202f500"]),
        ((2.29, 2.31), "linear", ["2.290", "2.295", "2.300", "2.305", "2.310"]),
        ((-15.0, 30.0), "symlog", ["−10", "−1", "0", "1", "10"]),
        ((-2.0, 2.0), "symlog", ["−2", "−1", "0", "1", "2"]),
    ],
)
def test_ticks_are_round_and_tell_apart(limits, scale, expected):
    found = texts(*limits, scale)
    assert found == expected


def test_steps_are_whole_numbers():
    assert texts(0.0, 1.0, "linear", whole=True) == ["0", "1"]
    assert texts(0.0, 3.2, "linear", whole=True) == ["0", "1", "2", "3"]


@given(ANY, ANY, st.sampled_from(SCALES), st.integers(1, 12))
def test_any_range_has_few_ticks_inside_it_and_no_error(low, high, scale, count):
    found = ticks(low, high, scale, count=count)
    assert len(found) <= 40
    slack = 1e-6 * max(abs(low), abs(high))
    for tick in found:
        assert low - slack <= tick.at <= high + slack
        assert math.isfinite(tick.place)
        assert tick.text
    assert len({tick.text for tick in found}) == len(found)


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20), st.sampled_from(["linear", "symlog"]))
def test_places_lead_back_to_the_numbers(values, scale):
    x = np.array(values)
    np.testing.assert_allclose(inverse(transform(x, scale), scale), x, rtol=1e-9, atol=1e-300)


def test_a_logarithmic_axis_has_no_place_for_zero_negative_and_missing_numbers():
    found = transform([100.0, 0.0, -1.0, math.nan, math.inf], "log")
    np.testing.assert_array_equal(found, [2.0, math.nan, math.nan, math.nan, math.nan])


@example([8.7e307], "linear")
@example([-8.7e307], "linear")
@given(st.lists(ANY, max_size=60), st.sampled_from(SCALES))
def test_any_numbers_have_a_range(values, scale):
    frame = fit(Axis("x", scale), [np.array(values, dtype=float)])
    low, high = frame.limits
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    first, last = frame.range
    assert first < last


def test_one_spike_does_not_flatten_the_rest_and_is_marked():
    y = np.sin(np.linspace(0, 20, 500))
    y[250] = 1e6
    frame = fit(Axis("y"), [y])
    assert frame.limits[1] < 3.0
    np.testing.assert_array_equal(clip_marks(np.arange(500.0), y, frame, 1), [250.0])
    np.testing.assert_array_equal(frame.beyond(np.array([0.0, 1e6, -1e6, math.nan, math.inf])), [0, 1, -1, 0, 1])


def test_a_few_numbers_are_never_cut():
    assert robust_range(np.array([0.0, 1.0, 2.0, 1e9])) == (0.0, 1e9)
    assert robust_range(np.array([math.nan])) is None


def test_a_curve_that_falls_steeply_at_first_is_shown_whole():
    loss = 2.3 * np.exp(-np.arange(1000) / 30)
    assert fit(Axis("y"), [loss]).limits[1] >= 2.3


def test_ticks_with_names_are_thinned_and_the_last_stays():
    named = tuple((float(i), str(i)) for i in range(1, 26))
    frame = fit(Axis("layer", limits=(0.5, 25.5), ticks=named), [])
    few = thinned(frame.ticks, 8)
    assert len(few) <= 8
    assert few[0].text == "1"
    assert few[-1].text == "25"
    assert thinned(frame.ticks, 30) == frame.ticks


@given(st.integers(1, 60), st.integers(2, 30))
def test_thinning_respects_the_room(count, most):
    frame = fit(Axis("x", limits=(0.0, 100.0), ticks=tuple((float(i), str(i)) for i in range(count))), [])
    found = thinned(frame.ticks, most)
    assert len(found) <= most
    assert found[-1] == frame.ticks[-1]


def test_a_rule_near_the_data_is_inside_and_one_far_away_is_not():
    x = np.arange(10.0)
    line = Line(x, 1.0 + 0.1 * x, "lane-0")
    near = frames(Plot(Axis("x"), Axis("y"), (line, Rule(2.2, "muted"))))
    far = frames(Plot(Axis("x"), Axis("y"), (line, Rule(1e5, "muted"))))
    assert near.y.limits[1] >= 2.2
    assert far.y.limits[1] < 3.0


def test_boxes_are_inside_with_their_whiskers_and_widths():
    one = np.ones(3)
    boxes = Boxes(np.arange(3.0), -one, 4 * one, (-one, one), (0 * one, one), 0 * one, "lane-0", width=0.4)
    found = frames(Plot(Axis("x"), Axis("y"), (boxes,)))
    assert found.y.limits[0] <= -1.0
    assert found.y.limits[1] >= 4.0
    assert found.x.limits[0] <= -0.4


def test_the_right_axis_has_a_range_of_its_own():
    x = np.arange(5.0)
    plot = Plot(Axis("x"), Axis("y"), (Line(x, x, "lane-0"), Line(x, 1e3 * x, "lane-1", axis="right")), right=Axis("r"))
    found = frames(plot)
    assert found.y.limits[1] < 10.0
    assert found.right is not None
    assert found.right.limits[1] >= 4000.0


@pytest.mark.parametrize("scale", SCALES)
def test_colors_have_limits_even_when_nothing_is_finite(scale):
    edges = np.arange(3.0)
    low, high = color_limits(Heatmap(np.full((2, 2), math.nan), edges, edges, "", scale))
    assert low < high


def test_texts_of_steps_of_a_quarter_keep_their_digits():
    assert linear_texts([0.0, 0.25, 0.5]) == ["0.00", "0.25", "0.50"]
    assert round_step(1.0, 4) == 0.25
