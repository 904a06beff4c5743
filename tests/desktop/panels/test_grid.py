"""All panels in two rows: hidden, shown, made large, and found again as they were."""

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from scenes import scene

from layerscope.desktop.panels.base import Header
from layerscope.desktop.panels.grid import PanelGrid

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def grid(qtbot, still):
    made = PanelGrid(still)
    qtbot.addWidget(made)
    made.resize(980, 520)
    made.show()
    qtbot.waitExposed(made)
    return made


def first(grid):
    """The panels of the layout that the program begins with."""
    return [panel for panel in grid.panels if panel.at_first]


def named(grid, name):
    return next(panel for panel in grid.panels if panel.name == name)


def test_two_above_two_below_in_equal_parts(grid):
    signal, gradients, over_time, curves = grid.panels[:4]
    assert signal.mapTo(grid, signal.rect().topLeft()).y() < over_time.mapTo(grid, over_time.rect().topLeft()).y()
    assert abs(signal.width() - gradients.width()) <= 2
    assert abs(signal.height() - curves.height()) <= 2
    assert signal.height() > 240, "no room is wasted"


@pytest.mark.parametrize("size", [(980, 520), (1500, 900), (640, 400)])
def test_charts_have_room_at_any_size(qtbot, grid, still, size):
    grid.resize(*size)
    still.show_scene(scene("four lanes"))
    qtbot.waitUntil(lambda: all(panel.view.areas for panel in first(grid)))
    for panel in first(grid):
        for area in panel.view.areas:
            assert area.where.width() > 0.5 * panel.width()
            assert area.where.height() >= (20 if size[1] > 500 else 8)
            assert area.where.bottom() <= panel.view.height()


def test_hiding_gives_the_room_to_the_others(qtbot, grid):
    signal, gradients = named(grid, "signal"), named(grid, "gradients")
    action = grid.toggle_actions()[0]
    assert action.text() == "Signal"
    action.trigger()
    assert signal.isHidden()
    qtbot.waitUntil(lambda: gradients.width() > 900)
    assert grid.visible_panels() == first(grid)[1:]
    grid.toggle_actions()[1].trigger()
    qtbot.waitUntil(lambda: named(grid, "over-time").height() > 480)  # an empty row takes no room
    action.trigger()
    assert not signal.isHidden()
    grid.reset()
    assert grid.visible_panels() == first(grid)
    assert [action.isChecked() for action in grid.toggle_actions()] == [panel.at_first for panel in grid.panels]


def test_a_panel_beyond_the_first_layout_is_one_click_in_the_menu_away(qtbot, grid, still):
    ratios = named(grid, "update-ratio")
    assert ratios.isHidden()
    grid.toggle_actions()[grid.panels.index(ratios)].trigger()
    still.show_scene(scene("normal"))
    assert not ratios.isHidden()
    qtbot.waitUntil(lambda: bool(ratios.view.areas))


def test_a_double_click_on_the_title_makes_a_panel_large_and_small_again(qtbot, grid):
    curves = named(grid, "learning-curves")
    header = curves.findChild(Header)
    QTest.mouseDClick(header, Qt.MouseButton.LeftButton)
    assert grid.visible_panels() == [curves]
    qtbot.waitUntil(lambda: curves.width() > 950 and curves.height() > 500)
    curves.fill_menu()
    back = next(action for action in curves.menu.actions() if action.text() == "Back to the other panels")
    back.trigger()
    assert grid.visible_panels() == first(grid)


def test_hide_from_the_panels_own_menu(grid):
    signal = named(grid, "signal")
    signal.fill_menu()
    next(action for action in signal.menu.actions() if action.text() == "Hide this panel").trigger()
    assert signal.isHidden()
    assert not grid.toggle_actions()[0].isChecked()


def test_the_arrangement_is_found_again(qtbot, grid, still):
    grid.set_shown(named(grid, "signal"), False)
    named(grid, "gradients").set_option("quantity", "weight")
    state = grid.save_state()
    other = PanelGrid(still)
    qtbot.addWidget(other)
    other.resize(980, 520)
    other.show()
    assert other.restore_state(state)
    assert [panel.name for panel in other.visible_panels()] == [panel.name for panel in grid.visible_panels()]
    assert named(other, "gradients").options.quantity == "weight"
    other.set_shown(named(other, "signal"), True)
    qtbot.waitUntil(lambda: named(other, "signal").width() > 200)  # it comes back with room


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b"{}",
        b'{"version": 99}',
        json.dumps({"version": 1, "sizes": "x", "hidden": [], "maximized": "", "options": {}}).encode(),
        b"[" * 100_000,
    ],
)
def test_a_damaged_arrangement_changes_nothing(grid, state):
    assert not grid.restore_state(state)
    assert grid.visible_panels() == first(grid)


def test_an_arrangement_with_unknown_panels_is_taken_as_far_as_it_goes(grid):
    state = json.loads(grid.save_state())
    state["hidden"] += ["no-such-panel", "signal"]
    state["maximized"] = "no-such-panel"
    state["options"]["no-such-panel"] = {"a": 1}
    assert grid.restore_state(json.dumps(state).encode())
    assert grid.visible_panels() == first(grid)[1:]


def test_another_figure_takes_the_place_of_one(qtbot, grid, still):
    still.show_scene(scene("normal"))
    signal, waterfall = named(grid, "signal"), named(grid, "waterfall")
    where, width = signal.geometry().topLeft(), signal.width()
    signal.fill_others()
    offered = signal.others_menu.actions()
    assert [action.text() for action in offered if action.isChecked()] == [signal.title]
    next(action for action in offered if action.text() == waterfall.title).trigger()
    assert signal.isHidden()
    qtbot.waitUntil(lambda: waterfall.geometry().topLeft() == where and abs(waterfall.width() - width) <= 2)
    assert not grid.toggle_actions()[0].isChecked()
    grid.reset()
    assert grid.visible_panels() == first(grid)
    assert signal.geometry().topLeft() == where


def test_two_that_are_shown_change_places_and_stay_so(qtbot, grid, still):
    signal, curves = named(grid, "signal"), named(grid, "learning-curves")
    grid.put_in_place_of(signal, "learning-curves")
    assert set(grid.visible_panels()) == set(first(grid))
    qtbot.waitUntil(
        lambda: curves.mapTo(grid, curves.rect().topLeft()).y() < 10 < signal.mapTo(grid, signal.rect().topLeft()).y()
    )
    other = PanelGrid(still)
    qtbot.addWidget(other)
    other.resize(980, 520)
    other.show()
    assert other.restore_state(grid.save_state())
    qtbot.waitUntil(lambda: named(other, "learning-curves").mapTo(other, curves.rect().topLeft()).y() < 10)


def test_a_large_panel_gives_its_place_to_another_large_one(grid):
    grid.toggle_maximized(named(grid, "signal"))
    grid.put_in_place_of(named(grid, "signal"), "update-ratio")
    assert grid.visible_panels() == [named(grid, "update-ratio")]


def test_panels_that_an_old_arrangement_does_not_know_are_hidden(grid):
    state = json.loads(grid.save_state())
    state["rows"] = [[name for name in row if name != "waterfall"] for row in state["rows"]]
    assert grid.restore_state(json.dumps(state).encode())
    assert named(grid, "waterfall").isHidden()
    state["rows"] = [["signal"], ["signal"]]  # in two places at once: one of them counts
    assert grid.restore_state(json.dumps(state).encode())
    state["rows"] = [["signal"]]
    assert not grid.restore_state(json.dumps(state).encode())
