"""The microscope's panel follows the selected lane and the walk; cells, keys and the menu choose what is worked out."""

import numpy as np
import pytest
from experiments import act, conv, dense, experiment
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run
from layerscope.desktop.panels import PANELS


class Looker:
    """A panel over a run; the answer comes at once when it is asked for."""

    def __init__(self, panel, run):
        self.panel, self.run = panel, run
        panel.options_changed.connect(self.look)
        self.look()

    def look(self):
        studies = self.panel.kind.needs(self.panel.options)
        self.panel.session.show_scene(scene_of([("A", "as built", self.run)], studies=studies))
        self.panel.refresh()

    @property
    def sight(self):
        return self.panel.sight

    def click(self, plot, row, column):
        """Click on a cell, counted from the top left one, from 0."""
        view = self.panel.view
        area = view.areas[plot]
        heat = area.plot.marks[0]
        rows, columns = heat.values.shape
        x = area.where.left() + (column + 0.5) / columns * area.where.width()
        y = area.where.top() + (row + 0.5) / rows * area.where.height()
        QTest.mouseClick(view.canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))


@pytest.fixture
def looker(qtbot, still):
    made = PANELS["microscope"](still)
    qtbot.addWidget(made)
    made.resize(900, 520)
    made.show()
    qtbot.waitExposed(made)
    return lambda *layers, steps=2, **training: Looker(made, run_of(layers, steps, training))


def run_of(layers, steps, training):
    run = Run(experiment(*layers, **training))
    run.advance(steps)
    return run


def test_a_click_on_a_cell_works_out_that_number(qtbot, looker):
    here = looker(dense(8), act("tanh"), dense(10))
    assert [picture.symbol for picture in here.sight.pictures] == ["x", "W", "y"]
    here.click(2, 4, 6)
    assert (here.sight.sample, here.sight.unit) == (5, 7)
    assert here.sight.equations[0].name == "y[7]"
    here.click(1, 20, 3)
    assert (here.sight.sample, here.sight.unit, here.sight.entry) == (5, 4, 21)


def test_a_click_on_an_image_chooses_its_pixel(qtbot, looker):
    here = looker(conv(4), act("relu"), dense(10))
    here.panel.set_option("operation", 3)
    picture = here.sight.pictures[1]
    row, column = 1, 9  # in the second tile
    here.click(1, row, column)
    assert here.sight.unit == picture.chooses["unit"][row, column]
    assert here.sight.unit > 1
    gap = np.argwhere(picture.chooses["unit"] == 0)[0]
    before = here.panel.options
    here.click(1, *gap)
    assert here.panel.options == before


def test_keys_walk_through_units_inputs_and_samples(qtbot, looker):
    here = looker(dense(8), dense(10))
    view = here.panel.view
    view.setFocus()
    QTest.keyClick(view, Qt.Key.Key_U)
    QTest.keyClick(view, Qt.Key.Key_U)
    QTest.keyClick(view, Qt.Key.Key_I)
    QTest.keyClick(view, Qt.Key.Key_S)
    assert (here.sight.unit, here.sight.entry, here.sight.sample) == (3, 2, 2)
    for _ in range(4):
        QTest.keyClick(view, Qt.Key.Key_U, Qt.KeyboardModifier.ShiftModifier)
    assert here.sight.unit == 7  # behind the first comes the last
    here.panel.fill_menu()
    entry = next(action for action in here.panel.menu.actions() if action.text().startswith("Next input"))
    entry.trigger()
    assert here.sight.entry == 3


def test_the_panel_follows_the_walk_forward_and_back(qtbot, looker):
    here = looker(dense(8), {"kind": "dropout"}, dense(10), averaging={"kind": "ema"})
    operations = here.run.program.operations
    for number, operation in enumerate(operations[:-1], 1):
        here.run.operation_forward()
        here.look()
        assert here.sight.number == number
        assert here.sight.operation == operation
        assert f"operation {number} of {len(operations)}" in here.panel.view.figure.subtitle
        assert not here.panel.view.figure.empty
    here.run.operation_back()
    here.look()
    assert here.sight.number == len(operations) - 2


def test_while_the_worker_looks_the_figure_before_stays(qtbot, looker, still):
    here = looker(dense(8), dense(10))
    before = here.panel.view.figure
    assert before.plots
    here.panel.options_changed.disconnect(here.look)
    here.panel.set_option("unit", 5)
    assert here.panel.view.figure is before
    assert any(study.unit == 5 for studies in still.wanted.values() for study in studies)
    here.look()
    assert here.panel.view.figure is not before


def test_what_is_read_of_a_cell_is_its_number_and_place(qtbot, looker):
    here = looker(dense(8), dense(10))
    view = here.panel.view
    area = view.areas[2]
    at = QPoint(round(area.where.left() + 2), round(area.where.top() + 2))
    said = view.hover_text(at)
    assert "y: " in said
    assert "sample 1" in said
    assert "unit 1" in said


@pytest.mark.parametrize("size", [(180, 110), (480, 260), (1280, 720)])
def test_every_operation_has_room_in_any_panel(qtbot, looker, size):
    here = looker(conv(4), {"kind": "batch_norm"}, act("relu"), {"kind": "max_pool"}, dense(10), steps=1)
    here.panel.resize(*size)
    for number in range(1, len(here.run.program.operations) + 1):
        here.panel.set_option("operation", number)
        view = here.panel.view
        bounds = view.canvas.rect()
        for area in view.areas:
            assert area.where.left() >= 0
            assert area.where.right() <= bounds.width() + 1
        if size[0] >= 480:
            assert all(area.where.bottom() <= bounds.height() for area in view.areas)
            assert view._page_top >= 0
