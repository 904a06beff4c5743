"""Predictions and units on the screen: points, small pictures, words in cells, rows of plots, what is read there."""

import numpy as np
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtGui import QColor, QImage
from scenes import scene

from layerscope.core.figures.figure import FIGURES, Axis, Figure, Heatmap, Pictures, Plot, Points, Scene
from layerscope.core.figures.palette import THEMES
from layerscope.core.figures.predictions import VIEWS
from layerscope.desktop.panels.painter import FigureView
from layerscope.desktop.panels.predictions import PredictionsPanel
from layerscope.desktop.panels.units import UnitsPanel

UNIT = Axis("x", limits=(0.0, 1.0))
LIGHT = THEMES["light"]


@pytest.fixture
def view(qtbot):
    made = FigureView()
    qtbot.addWidget(made)
    made.resize(520, 320)
    made.show()
    qtbot.waitExposed(made)
    return made


def pixels(view):
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    content = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return content[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).astype(int)


def color_of(role):
    return np.array(QColor(LIGHT.color(role)).getRgb()[:3])


def near(view, at, role, reach=6):
    """Pixels of a color around a place."""
    x, y = round(at.x()), round(at.y())
    part = pixels(view)[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
    return int((np.abs(part - color_of(role)).max(axis=2) <= 3).sum())


def shown(view, *marks, **more):
    view.draw(Figure("test", "Test", "", (Plot(UNIT, UNIT, marks),), stamp={"step": "3"}, **more))
    return view.areas[0]


def test_points_are_drawn_where_they_are_filled_open_or_as_rings(view):
    at = [np.array([x]) for x in (0.2, 0.5, 0.8)]
    height = np.array([0.5])
    area = shown(
        view,
        Points(at[0], height, "class-0", "one"),
        Points(at[1], height, "class-1", "two", "square", "paper"),
        Points(at[2], height, "text", "three", "circle", "none", 3.0),
    )
    places = [area.to_pixels(float(x[0]), 0.5) for x in at]
    assert near(view, places[0], "class-0") > 10
    assert 0 < near(view, places[1], "class-1") < near(view, places[0], "class-0")
    assert near(view, places[1], "panel", 2) > 4
    x, y = round(places[2].x()), round(places[2].y())
    dark = pixels(view)[y - 10 : y + 10, x - 10 : x + 10].max(axis=2) < 150
    assert dark.sum() > 8
    assert not dark[8:12, 8:12].any()
    assert [entry.label for row in view._rows for entry, _text, _wide in row] == ["one", "two", "three"]


def test_a_point_says_what_it_is_and_one_outside_is_left_out(view):
    points = Points(np.array([0.5, 7.0, np.nan]), np.array([0.5, 0.5, 0.5]), "class-0", says=lambda i: (f"point {i}",))
    area = shown(view, points)
    assert "point 0" in view.hover_text(area.to_pixels(0.5, 0.5) + QPointF(3.0, 2.0))
    assert view.hover_text(area.to_pixels(0.2, 0.9)) == ""


def test_a_point_is_meant_before_the_map_below_it(view):
    cells = Heatmap(np.ones((4, 4)), np.linspace(0, 1, 5), np.linspace(0, 1, 5), "cell", scaled=False)
    area = shown(view, cells, Points(np.array([0.5]), np.array([0.5]), "text", says=lambda _i: ("the point",)))
    assert view.hover_text(area.to_pixels(0.5, 0.5)).startswith("the point")
    assert "cell" in view.hover_text(area.to_pixels(0.9, 0.9))


def test_pictures_are_drawn_with_captions_and_say_their_cells(view):
    values = np.zeros((3, 4, 4))
    values[0], values[1, 0, 3], values[2] = -1.0, 1.0, np.nan
    pictures = Pictures(
        values,
        (("first",), ("second",), ("third",)),
        (-1.0, 1.0),
        "diverging",
        says=lambda n, row, column: (f"{n}: {row}, {column}",),
    )
    area = shown(view, pictures)
    found = area.places
    assert len(found.places) == 3
    assert found.captions == 1
    wide, high = found.size

    def cell(number, row, column):
        left, top = found.places[number]
        corner = area.where.topLeft()
        return corner + QPointF(left + (column + 0.5) / 4 * wide, top + (row + 0.5) / 4 * high)

    assert view.hover_text(cell(1, 0, 3)).startswith("1: 0, 3")
    content = pixels(view)

    def at(point):
        return content[int(point.y()), int(point.x())]

    np.testing.assert_array_equal(at(cell(0, 2, 2)), [0, 57, 92])  # the strongest blue
    np.testing.assert_array_equal(at(cell(1, 0, 3)), [122, 51, 0])
    np.testing.assert_array_equal(at(cell(2, 1, 1)), color_of("grid"))
    assert not view.is_zoomed


def test_colored_pictures_have_their_colors(view):
    values = np.zeros((1, 2, 2, 3))
    values[..., 0], values[0, 0, 0] = 1.0, np.nan
    area = shown(view, Pictures(values, ((),)))
    left, top = area.places.places[0]
    point = area.where.topLeft() + QPointF(left + 0.75 * area.places.size[0], top + 0.75 * area.places.size[1])
    np.testing.assert_array_equal(pixels(view)[int(point.y()), int(point.x())], [255, 0, 0])


def test_words_in_cells_are_written_only_where_they_have_room(view):
    def ink(cells):
        edges = np.linspace(0, 1, cells + 1)
        texts = (("3456",) * cells,) * cells
        look = {"limits": (-1, 1), "colormap": "diverging", "scaled": False, "texts": texts}
        shown(view, Heatmap(np.zeros((cells, cells)), edges, edges, "", **look))
        area = view.areas[0].where
        part = pixels(view)[int(area.top()) + 1 : int(area.bottom()) - 1, int(area.left()) + 1 : int(area.right()) - 1]
        return int((part.max(axis=2) < 120).sum())

    assert ink(3) > 100
    assert ink(40) == 0


def test_squares_beside_each_other_are_square_and_stand_in_rows_where_they_gain(view):
    plots = tuple(Plot(UNIT, UNIT, (), title=name, square=True, foot="foot") for name in "ABCD")
    rows = {}
    for size in ((900, 260), (360, 600)):
        view.resize(*size)
        view.draw(Figure("test", "Test", "", plots, beside=True))
        wheres = [area.where for area in view.areas]
        for where in wheres:
            assert abs(where.width() - where.height()) <= 2
            assert view.rect().contains(where.toRect())
        for index, one in enumerate(wheres):
            assert not any(one.intersects(other) for other in wheres[index + 1 :])
        rows[size] = len({where.top() for where in wheres})
    assert rows == {(900, 260): 1, (360, 600): 2}


@pytest.mark.parametrize("sort", [PredictionsPanel, UnitsPanel])
def test_a_panel_asks_for_its_answers_and_is_drawn_anew_only_with_a_new_one(qtbot, still, sort):
    panel = sort(still)
    qtbot.addWidget(panel)
    panel.resize(500, 300)
    panel.show()
    qtbot.waitExposed(panel)
    assert set(panel.kind.needs(panel.options)) in [set(studies) for studies in still.wanted.values()]
    before = scene("normal")
    still.show_scene(before)
    qtbot.waitUntil(lambda: panel.view.figure is not None and bool(panel.view.figure.plots))
    builds = panel.builds
    still.show_scene(Scene(before.lanes, before.step))
    qtbot.wait(80)
    assert panel.builds == builds
    still.show_scene(scene("two steps"))
    qtbot.waitUntil(lambda: panel.builds > builds)
    panel.fill_menu()
    assert panel.menu.actions()


def test_the_menu_offers_views_that_can_be_drawn(qtbot, still):
    panel = PredictionsPanel(still)
    qtbot.addWidget(panel)
    still.scene = scene("normal")
    (field,) = [field for field in panel.kind.options.__struct_fields__ if field == "view"]
    entry = next(f for f in _fields(panel) if f.name == field)
    assert panel.offered(entry) == ["auto", "confusion", "mistakes"]
    assert set(panel.offered(entry)) < set(VIEWS.names())


def _fields(panel):
    from layerscope.core.fields import describe

    return describe(type(panel.options))


def test_the_menu_of_units_names_the_layers(qtbot, still):
    panel = UnitsPanel(still)
    qtbot.addWidget(panel)
    still.scene = scene("normal")
    layer = next(f for f in _fields(panel) if f.name == "layer")
    offered = panel.suggested(layer)
    assert offered[0][0] == ""
    assert [path for path, _name in offered[1:]] == list(scene("normal").lanes[0].view.layers)


def test_what_is_shown_is_what_is_exported(view):
    kind = FIGURES["predictions"]
    made = kind.build(scene("normal"), kind.options())
    view.draw(made)
    assert view.shown().plots[1].pictures is made.plots[1].pictures
    assert view.shown().plots[0].x.limits == made.plots[0].x.limits
