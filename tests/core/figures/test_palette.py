"""Colors are told from their background and from each other, with and without color vision."""

from __future__ import annotations

import itertools

import pytest

from layerscope.core.figures.palette import CUES, DASHES, THEMES, contrast, cue, lane_index


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_lanes_and_words_stand_out_from_the_paper(theme):
    paper = theme.color("panel")
    for look in CUES:
        assert contrast(theme.color(look.color), paper) >= 3.0
    for role in ("text", "muted", "warning", "alarm", "good", "theory", "accent"):
        assert contrast(theme.color(role), paper) >= 4.5


def test_both_themes_know_the_same_roles():
    light, dark = (set(theme.colors) for theme in THEMES.values())
    assert light == dark


def test_lanes_differ_in_dash_and_marker_and_not_only_in_color():
    for one, other in itertools.combinations(CUES, 2):
        assert one.dash != other.dash
        assert one.marker != other.marker
    assert set(DASHES) >= {look.dash for look in CUES}


def test_a_lane_keeps_its_look_by_its_letter():
    assert [lane_index(name) for name in "ABCD"] == [0, 1, 2, 3]
    assert cue(lane_index("C")).marker == "triangle"
    assert lane_index("") == 0


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_tints_lie_between_paper_and_color():
    theme = THEMES["light"]
    assert theme.tint("lane-0", 0.0) == theme.color("panel")
    assert theme.tint("lane-0", 1.0) == theme.color("lane-0")
    assert theme.tint("#000000", 0.5) == "#808080"
