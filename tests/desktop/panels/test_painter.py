"""The painter draws every mark of every figure, keeps its items, and shows the ranges that an export gets."""

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QFont, QImage
from PySide6.QtTest import QTest
from scenes import CASES, scene

from layerscope.core.figures.figure import FIGURES, Axis, Boxes, Figure, Heatmap, Line, Plot, Rule
from layerscope.core.figures.palette import THEMES
from layerscope.core.figures.scales import frames
from layerscope.desktop.panels.marks import decimated
from layerscope.desktop.panels.painter import FigureView
from layerscope.desktop.theme import palette

SIZE = 520, 320


@pytest.fixture
def view(qtbot):
    made = FigureView()
    qtbot.addWidget(made)
    made.resize(*SIZE)
    made.show()
    qtbot.waitExposed(made)
    return made


def pixels(view):
    """(height, width, 3) colors of what is on the screen."""
    image = view.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    content = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return content[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)


def drawn_on(view):
    """How many pixels do not have the color of the paper."""
    content = pixels(view)
    return np.count_nonzero((content != content[0, 0]).any(axis=2))


def has(view, color, least=3):
    red, green, blue, _alpha = QColor(color).getRgb()
    return np.count_nonzero((np.abs(pixels(view).astype(int) - [red, green, blue]) <= 3).all(axis=2)) >= least


def line_figure(*lines, x=None, y=None):
    return Figure("test", "Test", "", (Plot(x or Axis("step"), y or Axis("loss"), lines),), stamp={"step": "3"})


def centers(view, index=0):
    """The middle of a plot's data."""
    return view.areas[index].where.center()


def test_every_mark_leaves_its_color(view, figure):
    view.draw(figure)
    light = THEMES["light"]
    for role in ("healthy", "lane-0", "lane-1", "lane-2", "lane-3", "muted", "accent", "axis"):
        assert has(view, light.color(role)), role
    assert has(view, light.tint("lane-0", 0.22)), "band"


@pytest.mark.parametrize("name", FIGURES.names())
def test_every_figure_of_every_scene_is_painted(view, name):
    kind = FIGURES[name]
    for case in CASES:
        view.draw(kind.build(scene(case), kind.options()))
        assert drawn_on(view) > 100, f"{case}: something is to be seen, if only why there is nothing"


def test_an_empty_figure_says_why(view, figure):
    view.draw(figure)
    view.draw(Figure("every-mark", "Empty", "", (), empty="Nothing is recorded yet."))
    assert view.areas == []
    assert drawn_on(view) > 100, "gray writing"


def test_items_are_kept_while_training(view, figure, moving_figure):
    view.draw(figure)
    count = view.item_count()
    pools = [{kind: list(map(id, items)) for kind, items in area.pools.items()} for area in view.areas]
    for step in range(100):
        view.draw(moving_figure(0.01 * step))
    assert view.item_count() == count
    assert [{kind: list(map(id, items)) for kind, items in area.pools.items()} for area in view.areas] == pools


def test_fewer_marks_hide_items_and_more_show_them_again(view):
    x = np.arange(5.0)
    red, blue = Line(x, x, "#ff0000"), Line(x, x + 1, "#0000ff")
    view.draw(line_figure(red, blue))
    assert has(view, "#0000ff")
    view.draw(line_figure(red))
    assert not has(view, "#0000ff")
    view.draw(line_figure(red, blue))
    assert has(view, "#0000ff")


def test_ranges_are_those_of_the_exports(view, figure):
    view.draw(figure)
    for area, plot in zip(view.areas, figure.plots, strict=True):
        wanted = frames(plot)
        assert area.frames["x"].limits == wanted.x.limits
        assert area.frames["y"].limits == wanted.y.limits
        (left, right), (bottom, top) = area.box.viewRange()
        assert (left, right) == pytest.approx(wanted.x.range)
        assert (bottom, top) == pytest.approx(wanted.y.range)


def test_ticks_are_round_numbers_within_the_range_that_do_not_overlap(view, figure):
    view.draw(figure)
    for area in view.areas:
        places = [tick.place for tick in area.frames["x"].ticks]
        assert len(places) >= 2
        low, high = area.span("x")
        apart = np.diff(places) / (high - low) * area.where.width()
        widest = max(view.fonts.width(tick.text) for tick in area.frames["x"].ticks)
        assert apart.min() > widest


def test_what_a_person_zooms_to_is_what_is_exported(view, figure):
    view.draw(figure)
    automatic = view.shown()
    point = centers(view).toPoint()
    wheel(view, point, 4)
    assert view.is_zoomed
    shown = view.shown()
    for side in ("x", "y"):
        old, new = getattr(automatic.plots[0], side).limits, getattr(shown.plots[0], side).limits
        assert new[0] > old[0]
        assert new[1] < old[1]
        assert new == pytest.approx(view.areas[0].frames[side].limits)
    assert shown.plots[1].x.limits == automatic.plots[1].x.limits, "the other plot stays"
    assert shown.plots[0].right.limits != automatic.plots[0].right.limits, "the right axis moves along"
    assert shown.table is figure.table
    view.draw(replace(figure, subtitle="next frame"))
    assert view.shown().plots == shown.plots, "the zoom stays while training"
    view.reset_view()
    assert view.shown().plots == automatic.plots


def wheel(view, point, notches, modifiers=Qt.KeyboardModifier.NoModifier):
    from PySide6.QtGui import QWheelEvent
    from PySide6.QtWidgets import QApplication

    event = QWheelEvent(
        QPointF(point),
        QPointF(view.canvas.mapToGlobal(point)),
        QPoint(),
        QPoint(0, 120 * notches),
        Qt.MouseButton.NoButton,
        modifiers,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(view.canvas.viewport(), event)


def test_keys_choose_the_axis_that_the_wheel_zooms(view, figure):
    for modifiers, sides in (
        (Qt.KeyboardModifier.ShiftModifier, {"x"}),
        (Qt.KeyboardModifier.ControlModifier, {"y"}),
    ):
        view.draw(figure)
        view.reset_view()
        wheel(view, centers(view).toPoint(), 2, modifiers)
        assert set(view.areas[0].zoom) == sides


def test_on_the_timeline_the_wheel_zooms_time(qtbot, figure):
    view = FigureView(time_plots=True)
    qtbot.addWidget(view)
    view.resize(*SIZE)
    view.show()
    view.draw(figure)
    wheel(view, centers(view).toPoint(), 2)
    assert set(view.areas[0].zoom) == {"x"}


@pytest.mark.parametrize("scale", ["linear", "log", "symlog"])
def test_zooming_ends_before_numbers_do(view, scale):
    view.draw(line_figure(Line(np.arange(5.0), 10.0 ** np.arange(5.0), "lane-0"), y=Axis("loss", scale)))
    for notches in (-60, 200):
        wheel(view, centers(view).toPoint(), notches)
        low, high = view.shown().plots[0].y.limits
        assert np.isfinite([low, high]).all()
        assert low < high
        pixels(view)


def test_dragging_pans(view, figure, qtbot):
    view.draw(figure)
    old = view.shown().plots[0].x.limits
    start = centers(view).toPoint()
    drag(view, start, start + QPoint(60, 0))
    new = view.shown().plots[0].x.limits
    assert new[0] < old[0]
    assert new[1] - new[0] == pytest.approx(old[1] - old[0])


def drag(view, start, stop):
    viewport = view.canvas.viewport()
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.6, 1.0):
        QTest.mouseMove(viewport, start + (stop - start) * share)
        QTest.qWait(20)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)


def test_a_double_click_resets_the_view(view, figure):
    view.draw(figure)
    wheel(view, centers(view).toPoint(), 3)
    viewport, at = view.canvas.viewport(), centers(view).toPoint()
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=at)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=at)
    assert not view.is_zoomed


def test_keys_zoom_and_reset(view, figure):
    view.draw(figure)
    QTest.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert view.is_zoomed
    QTest.keyClick(view, Qt.Key.Key_0)
    assert not view.is_zoomed


def test_another_scale_forgets_the_zoom(view):
    x = np.arange(1.0, 5.0)
    view.draw(line_figure(Line(x, x, "lane-0")))
    wheel(view, centers(view).toPoint(), 3)
    view.draw(line_figure(Line(x, x, "lane-0"), y=Axis("loss", "log")))
    assert "y" not in view.areas[0].zoom


def test_hovering_reads_exact_values(view):
    x = np.arange(1.0, 4.0)
    ticks = ((1.0, "1"), (2.0, "2"), (3.0, "out"))
    line = Line(x, np.array([0.5, 1.2345678e-7, 3.0]), "lane-0", "A as built")
    view.draw(line_figure(line, x=Axis("layer", ticks=ticks), y=Axis("norm", "log")))
    area = view.areas[0]
    at = area.to_pixels(2.0, area.frames["y"].place(1.2345678e-7))
    assert view.hover_text(at).split("\n") == ["A as built", "layer: 2", "norm: 1.235e-7", "step 3"]
    assert view.hover_text(at + QPointF(0, -100)) == ""
    QTest.mouseMove(view.canvas.viewport(), at.toPoint())
    view._mouse_moved(at)
    assert view.reading is not None
    pixels(view)
    view.canvas.left.emit()
    assert view.reading is None


def test_hovering_a_cell_and_a_box(view, figure):
    view.draw(figure)
    area = view.areas[1]
    at = area.to_pixels(3.4, 2.1)
    assert view.hover_text(at).split("\n")[-2:] == ["norm: 0.0001", "step 4"]
    area = view.areas[0]
    said = view.hover_text(area.to_pixels(5.0, area.frames["y"].place(-1.8)))
    assert "maximum: 3" in said
    assert "minimum: −2" in said


def test_what_lies_outside_is_marked_at_the_edge(view):
    x, y = np.arange(3.0), np.array([0.5, 1e9, -np.inf])
    view.draw(line_figure(Line(x, y, "#ff00ff"), y=Axis("loss", limits=(0.0, 1.0))))
    where = view.areas[0].where
    content = pixels(view).astype(int)
    top = content[int(where.top()) : int(where.top()) + 8, int(where.center().x()) - 4 : int(where.center().x()) + 5]
    assert (np.abs(top - [255, 0, 255]) < 60).all(axis=2).any()


def test_a_number_between_gaps_is_a_dot(view):
    view.draw(line_figure(Line(np.arange(5.0), np.array([1.0, np.nan, 2.0, np.nan, 3.0]), "#ff0000")))
    assert has(view, "#ff0000")


def test_long_records_are_drawn_with_few_points():
    x = np.arange(1_000_000.0)
    y = np.sin(x)
    y[777_777] = 50.0
    y[5] = np.nan
    fewer_x, fewer_y = decimated(x, y, 500)
    assert len(fewer_x) <= 4 * 501
    assert np.nanmax(fewer_y) == 50.0
    assert (np.diff(fewer_x) >= 0).all()


def test_cells_of_unequal_width_stand_where_their_edges_are(view):
    heatmap = Heatmap(np.array([[0.0, 1.0]]), np.array([0.0, 1.0, 10.0]), np.array([0.0, 1.0]), "value")
    view.draw(line_figure(heatmap))
    where = view.areas[0].where
    row = pixels(view)[int(where.center().y())].astype(int)
    purple, yellow = row[int(where.left()) + 3], row[int(where.left() + 0.2 * where.width())]
    assert purple[2] > purple[1]
    assert yellow[0] > 200


def test_the_theme_follows_the_program(qapp, view, figure):
    old = qapp.palette()
    view.draw(figure)
    try:
        qapp.setPalette(palette(THEMES["dark"]))
        qapp.processEvents()
        assert view.theme.name == "dark"
        assert has(view, THEMES["dark"].color("panel"), 1000)
        assert has(view, THEMES["dark"].color("lane-1"))
        qapp.setPalette(palette(THEMES["light"]))
        qapp.processEvents()
        assert has(view, THEMES["light"].color("panel"), 1000)
    finally:
        qapp.setPalette(old)


def test_writing_grows_with_the_font(view, figure):
    view.draw(figure)
    usual = view.fonts.size
    assert usual >= 12
    view.setFont(QFont(view.font().family(), 24))
    assert view.fonts.size > 1.5 * usual
    assert view.thickness > 1.0
    pixels(view)


@pytest.mark.parametrize("size", [(180, 110), (60, 60), (30, 20), (1600, 900)])
def test_any_size_will_do(view, figure, size):
    view.setMinimumSize(1, 1)
    view.resize(*size)
    view.draw(figure)
    pixels(view)


def test_a_screen_reader_is_told(view, figure):
    view.draw(figure)
    assert view.accessibleName() == "Every mark"
    assert view.accessibleDescription() == "all of them"


def test_every_lane_is_named_however_little_room_there_is(view):
    """One that is drawn and not named cannot be told from the others."""
    x = np.arange(5.0)
    lines = [Line(x, x + i, f"lane-{i}", f"{n} Dropout rate 0 → 0.{i}") for i, n in enumerate("ABCD")]
    view.resize(360, 120)
    view.draw(line_figure(*lines))
    (row,) = view._rows
    assert [text[0] for _entry, text, _wide in row] == ["A", "B", "C", "D"]
    assert [text[-1] for _entry, text, _wide in row] == ["0", "1", "2", "3"]
    view.resize(900, 400)
    view.draw(line_figure(*lines))
    assert [text for row in view._rows for _entry, text, _wide in row] == [line.label for line in lines]


def test_names_of_moments_stand_below_a_level_rule_that_would_cross_them(view):
    x = np.arange(5.0)
    line, moment = Line(x, x, "lane-0", "loss"), Rule(2.0, "grid", "epoch 1", across="x")
    scale = Axis("loss", limits=(0.0, 4.0))
    view.draw(line_figure(line, moment, Rule(2.0, "muted", "guessing"), y=scale))
    area = view.areas[0]
    assert view._top_of_names(area) == area.where.top()
    view.draw(line_figure(line, moment, Rule(3.95, "muted", "guessing"), y=scale))
    area = view.areas[0]
    assert area.where.top() < view._top_of_names(area) < area.where.top() + 2 * view.fonts.height


def bars(says):
    """Two bars on each other at 1, one at 2; nothing is drawn of the second color at 2."""
    x, none = np.array([1.0, 2.0]), np.full(2, np.nan)
    low, high = np.array([-2.0, -1.0]), np.array([-1.0, 0.0])
    lower = Boxes(x, low, high, None, (low, high), none, "lane-0", "lower", 0.7, says=says)
    gap = np.array([-1.0, np.nan]), np.array([0.0, np.nan])
    upper = Boxes(x, *gap, None, gap, none, "lane-1", "upper", 0.7)
    axes = {"x": Axis("layer", limits=(0.0, 3.0)), "y": Axis("gain", limits=(-3.0, 1.0))}
    return line_figure(lower, upper, Line(x, high, "text", says=lambda _index: ()), **axes)


def test_a_figure_may_say_what_is_read_at_its_marks(view):
    asked = []

    def says(index):
        asked.append(index)
        return f"bar {index}", "in words"

    view.draw(bars(says))
    assert not asked  # texts are made when somebody points
    area = view.areas[0]
    assert view.hover_text(area.to_pixels(1.0, -1.9)).split("\n") == ["bar 0", "in words", "step 3"]
    assert view.hover_text(area.to_pixels(2.1, -0.5)).split("\n") == ["bar 1", "in words", "step 3"]
    # the line at its upper edge has nothing to say, and is no obstacle
    assert view.hover_text(area.to_pixels(2.0, 0.0)).startswith("bar 1")


def test_of_bars_that_stand_on_each_other_the_one_under_the_mouse_is_read(view):
    view.draw(bars(None))
    area = view.areas[0]
    assert view.hover_text(area.to_pixels(1.0, -0.5)).startswith("upper")
    assert view.hover_text(area.to_pixels(1.0, -1.5)).startswith("lower")
    assert view.hover_text(area.to_pixels(1.0, -2.9)).startswith("lower")
    # of a box that is not drawn nothing is read
    assert view.hover_text(area.to_pixels(2.0, 0.5)).startswith("lower")


def test_a_box_that_reaches_to_infinity_is_read(view):
    least, most = np.array([0.1]), np.array([np.inf])
    boxes = Boxes(np.array([1.0]), least, most, None, None, np.array([1.0]), "lane-0", "wide")
    view.draw(line_figure(boxes, x=Axis("layer", limits=(0.0, 2.0)), y=Axis("value", limits=(0.0, 2.0))))
    area = view.areas[0]
    assert "maximum: ∞" in view.hover_text(area.to_pixels(1.0, 1.5))


def test_plots_with_the_same_horizontal_axis_are_zoomed_together(view):
    x = np.arange(1.0, 11.0)
    axis, other = Axis("layer", limits=(0.0, 11.0)), Axis("step", limits=(0.0, 11.0))
    plots = tuple(Plot(own, Axis("loss"), (Line(x, x, "lane-0"),)) for own in (axis, axis, other))
    view.draw(Figure("test", "Test", "", plots))
    wheel(view, centers(view).toPoint(), 3)
    first, second, third = view.areas
    assert "x" in first.zoom
    assert second.limits("x") == first.limits("x")
    assert "y" not in second.zoom
    assert third.limits("x") == (0.0, 11.0)
