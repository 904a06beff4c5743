"""Colors are told from their background and from each other, with and without color vision."""

from __future__ import annotations

import itertools

import pytest

from layerscope.core.figures.palette import CLASSES, CUES, DASHES, THEMES, class_look, contrast, cue, ink_on, lane_index


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_lanes_and_words_stand_out_from_the_paper(theme):
    paper = theme.color("panel")
    for look in CUES:
        assert contrast(theme.color(look.color), paper) >= 3.0
    for role in ("text", "muted", "warning", "alarm", "good", "theory", "accent"):
        assert contrast(theme.color(role), paper) >= 4.5


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_classes_stand_out_from_the_paper_and_from_each_other(theme):
    colors = [theme.color(f"class-{index}") for index in range(CLASSES)]
    for color in colors:
        assert contrast(color, theme.color("panel")) >= 3.0
    for one, other in itertools.combinations(colors, 2):
        assert sum(abs(int(one[i : i + 2], 16) - int(other[i : i + 2], 16)) for i in (1, 3, 5)) >= 70
        for matrix in VISION.values():
            assert distance(matrix, one, other) >= 0.1, (one, other)


# Linear RGB as people without one kind of cones see it: Machado et al. 2009, severity 1.
VISION = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
}


def distance(matrix, one, other):
    """Distance of two colors as seen, in gamma-corrected RGB."""

    def seen(color):
        linear = [(int(color[i : i + 2], 16) / 255) ** 2.2 for i in (1, 3, 5)]
        return [max(0.0, sum(m * v for m, v in zip(row, linear, strict=True))) ** (1 / 2.2) for row in matrix]

    return sum((a - b) ** 2 for a, b in zip(seen(one), seen(other), strict=True)) ** 0.5


def test_no_two_classes_have_the_same_color_and_marker():
    assert len({class_look(index) for index in range(20)}) == 20


def test_writing_on_a_cell_is_dark_on_light_and_light_on_dark():
    assert ink_on((255, 255, 255)) == "#1b2430"
    assert ink_on((0, 57, 92)) == "#ffffff"


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
