"""A panel keeps its figure up to date, not more often than needed, and offers what one can do with it."""

import csv
import gettext
import io
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from experiments import act, dense, experiment
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QMenu, QToolButton, QWidget
from scenes import scene

from layerscope.core.engine.precision import COUNT_COLUMNS
from layerscope.core.fields import describe
from layerscope.core.figures.figure import FIGURES
from layerscope.core.figures.scene import scene_of
from layerscope.core.run import Run
from layerscope.core.text import use_translations
from layerscope.desktop.panels import PANELS, panels
from layerscope.desktop.panels.base import Panel

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture(params=FIGURES.names())
def panel(request, qtbot, still):
    return shown(qtbot, PANELS[request.param](still))


@pytest.fixture
def gradients(qtbot, still):
    return shown(qtbot, PANELS["gradients"](still))


def shown(qtbot, made):
    qtbot.addWidget(made)
    made.resize(480, 260)
    made.show()
    qtbot.waitExposed(made)
    return made


def show(qtbot, panel, case):
    builds = panel.builds
    shown = scene(case)
    needs = panel.kind.needs(panel.options)
    if case == "normal" and needs and any(lane.study(study) is None for lane in shown.lanes for study in needs):
        shown = answered(panel.kind.name)
    panel.session.show_scene(shown)
    qtbot.waitUntil(lambda: panel.builds > builds)


@lru_cache(maxsize=1)
def trained():
    run = Run(experiment(dense(8), act("tanh"), {"kind": "dropout", "rate": 0.2}, dense(10)))
    run.advance(39)
    return run


@lru_cache(maxsize=16)
def answered(name):
    """A scene of a real run with all that a figure asks for."""
    kind = FIGURES[name]
    return scene_of([("A", "", trained())], studies=kind.needs(kind.options()))


def entry(panel, text):
    """The menu's entry with this text."""
    panel.fill_menu()
    return next(action for action in every_action(panel.menu) if action.text() == text)


def every_action(menu):
    for action in menu.actions():
        yield action
        if isinstance(action.menu(), QMenu):
            yield from every_action(action.menu())


def test_every_figure_has_a_panel_in_the_same_order():
    assert [kind.name for kind in panels()] == FIGURES.names()


def test_a_panel_shows_what_the_session_shows(qtbot, panel):
    assert panel.figure.empty
    show(qtbot, panel, "normal")
    assert not panel.figure.empty
    assert panel.figure.stamp["step"] == "39"
    assert panel._subtitle.text() == panel.figure.subtitle
    show(qtbot, panel, "nothing")
    assert panel.figure.empty


def test_many_changes_within_a_frame_are_one_build(qtbot, gradients):
    builds = gradients.builds
    for _change in range(50):
        gradients.session.show_scene(scene("normal"))
    qtbot.waitUntil(lambda: gradients.builds > builds)
    qtbot.wait(50)
    assert gradients.builds == builds + 1


def test_a_slow_figure_is_built_less_often(qtbot, gradients, monkeypatch):
    import time

    build = gradients.kind.build

    def slow(scene, options):
        end = time.thread_time() + 0.03
        while time.thread_time() < end:
            pass
        return build(scene, options)

    object.__setattr__(gradients.kind, "build", slow)
    try:
        show(qtbot, gradients, "normal")
        start, builds = time.monotonic(), gradients.builds
        while time.monotonic() - start < 0.6:
            gradients.session.show_scene(scene("normal"))
            qtbot.wait(5)
        assert gradients.builds - builds <= 4
    finally:
        object.__setattr__(gradients.kind, "build", build)


def test_a_hidden_panel_builds_nothing_until_it_is_seen(qtbot, gradients):
    gradients.hide()
    builds = gradients.builds
    gradients.session.show_scene(scene("normal"))
    qtbot.wait(50)
    assert gradients.builds == builds
    gradients.show()
    assert gradients.builds == builds + 1
    assert not gradients.view.figure.empty


def test_a_figure_that_cannot_be_drawn_is_said_and_the_rest_goes_on(qtbot, gradients, caplog):
    build = gradients.kind.build

    def broken(scene, options):
        raise ZeroDivisionError("no layers")

    object.__setattr__(gradients.kind, "build", broken)
    try:
        show(qtbot, gradients, "normal")
        assert "no layers" in gradients.view.figure.empty
        assert len(caplog.records) == 1
        show(qtbot, gradients, "normal")
        assert len(caplog.records) == 1, "said once"
    finally:
        object.__setattr__(gradients.kind, "build", build)
    show(qtbot, gradients, "normal")
    assert not gradients.view.figure.empty


def test_options_come_from_their_declaration(qtbot, gradients):
    show(qtbot, gradients, "normal")
    entry(gradients, "Weight").trigger()
    assert gradients.options.quantity == "weight"
    assert "∂L/∂W" in gradients.view.figure.subtitle
    assert entry(gradients, "Weight").isChecked()
    assert not entry(gradients, "Output").isChecked()
    theory = entry(gradients, "Theory")
    assert theory.isChecked()
    theory.trigger()
    assert gradients.options.theory is False


def test_options_are_remembered_and_damaged_ones_ignored(qtbot, still):
    first = shown(qtbot, PANELS["gradients"](still))
    first.set_option("quantity", "weight")
    second = shown(qtbot, PANELS["gradients"](still))
    second.take_options({**first.option_values(), "theory": "maybe", "unknown": 1})
    assert second.options == first.options


def test_an_option_that_is_not_allowed_changes_nothing(qtbot, gradients):
    before = gradients.options
    gradients.set_option("quantity", "nonsense")
    assert gradients.options == before
    assert "nonsense" in gradients._subtitle.text()


def test_all_options_in_one_dialog(qtbot, gradients):
    gradients.show_options()
    from layerscope.desktop.forms import Form

    form = gradients.findChild(Form)
    form.changed.emit("quantity", "weight", "")
    assert gradients.options.quantity == "weight"
    assert form.value.quantity == "weight"
    form.window().close()


def test_reset_view_is_offered_when_zoomed(qtbot, gradients):
    show(qtbot, gradients, "normal")
    assert not entry(gradients, "Reset view").isEnabled()
    gradients.view.zoom_by(0.5)
    reset = entry(gradients, "Reset view")
    assert reset.isEnabled()
    reset.trigger()
    assert not gradients.view.is_zoomed


@pytest.mark.parametrize("name", ["over-time", "learning-curves"])
def test_pointing_at_a_step_shows_it_everywhere(qtbot, still, name):
    panel = shown(qtbot, PANELS[name](still))
    show(qtbot, panel, "normal")
    area = panel.view.areas[0]
    viewport = panel.view.canvas.viewport()
    y = area.span("y")[0] + 0.4 * (area.span("y")[1] - area.span("y")[0])
    QTest.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=area.to_pixels(10.4, y).toPoint())
    assert still.scrubbed
    assert abs(still.scrubbed[-1] - 10) <= 1
    start, stop = area.to_pixels(12.5, y).toPoint(), area.to_pixels(30.5, y).toPoint()
    QTest.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.6, 1.0):
        QTest.mouseMove(viewport, start + (stop - start) * share)
        QTest.qWait(20)
    QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, pos=stop)
    assert abs(still.scrubbed[-1] - 30) <= 1
    assert not panel.view.is_zoomed, "dragging moves through time, it does not pan"


def test_pointing_beside_the_steps_stays_within_them(qtbot, still):
    panel = shown(qtbot, PANELS["learning-curves"](still))
    show(qtbot, panel, "normal")
    panel.view.point_at(1e9)
    panel.view.point_at(-5.0)
    assert all(0 <= step <= still.end for step in still.scrubbed)


def test_copy_puts_a_picture_and_the_numbers_on_the_clipboard(qtbot, gradients):
    show(qtbot, gradients, "normal")
    entry(gradients, "Copy").trigger()
    qtbot.waitUntil(lambda: gradients._subtitle.text() == "copied as picture and numbers", timeout=20_000)
    content = QGuiApplication.clipboard().mimeData()
    assert (QGuiApplication.clipboard().image().width(), QGuiApplication.clipboard().image().height()) == (1920, 1080)
    rows = list(csv.reader(io.StringIO(content.text())))
    assert rows[0] == list(gradients.view.figure.table)
    QGuiApplication.clipboard().clear()


def test_the_numbers_as_a_table(qtbot, gradients):
    show(qtbot, gradients, "normal")
    entry(gradients, "Show numbers…").trigger()
    model = gradients.numbers.table.model()
    table = gradients.view.figure.table
    assert model.columnCount() == len(table)
    assert model.rowCount() == len(next(iter(table.values())))
    assert model.headerData(0, Qt.Orientation.Horizontal) == next(iter(table))
    assert model.data(model.index(0, 0)) == "A"
    gradients.numbers.copy()
    assert QGuiApplication.clipboard().text().startswith("lane,")
    gradients.numbers.close()
    qtbot.waitUntil(lambda: gradients.numbers is None)


def test_the_explanation_says_all_four_things_and_follows_the_numbers(qtbot, panel):
    show(qtbot, panel, "normal")
    panel._explain.click()
    popup = panel._popup
    said = popup.text()
    for heading in ("What it shows", "Why it matters", "What is good", "What yours says"):
        assert heading in said
    show(qtbot, panel, "all nan")
    assert popup.text() != said
    popup.close()


def test_buttons_say_what_they_do(panel):
    for button in panel.findChildren(QToolButton):
        if button.objectName() != "qt_menubar_ext_button":
            assert button.accessibleName()
            assert button.toolTip()


class Brackets(gettext.NullTranslations):
    def gettext(self, message):
        return f"⟦{message}⟧"

    def ngettext(self, singular, plural, count):
        return f"⟦{singular if count == 1 else plural}⟧"


def test_every_word_is_translated_while_running(qtbot, panel):
    show(qtbot, panel, "normal")
    use_translations(Brackets())
    QGuiApplication.sendEvent(panel, QEvent(QEvent.Type.LanguageChange))
    assert panel._title.text().startswith("⟦")
    panel._explain.click()
    panel.fill_menu()
    for action in every_action(panel.menu):
        if not action.isSeparator():
            assert "⟦" in action.text()
    for widget in panel.findChildren(QWidget):
        for text in (widget.toolTip(), widget.text() if isinstance(widget, QLabel) else "", widget.accessibleName()):
            assert not text or "⟦" in text, text
    panel._popup.close()


# Panels in which one can do more than look; all others are a name.
ACTIVE = {"autopsy", "doctor", "histograms", "microscope"}


def test_a_panel_is_a_few_lines():
    import inspect

    for kind in panels():
        assert issubclass(kind, Panel)
        if kind.name not in ACTIVE:
            assert len(inspect.getsource(inspect.getmodule(kind)).splitlines()) < 40


def test_counts_of_16_bit_numbers_are_offered_where_a_lane_has_them(qtbot, still):
    panel = shown(qtbot, PANELS["over-time"](still))
    show(qtbot, panel, "normal")
    (quantity,) = (field for field in describe(type(panel.options)) if field.name == "quantity")
    assert not set(COUNT_COLUMNS) & set(panel.offered(quantity))
    lane = scene("normal").lanes[0]
    view, width = lane.view, len(lane.view.layer_columns)
    runs, layers = np.split(view.block, [len(view.run_columns)], axis=1)
    layers = layers.reshape(len(layers), -1, width)
    layers = np.concatenate([layers, layers[:, :, : len(COUNT_COLUMNS)]], axis=2)  # any numbers do
    block = np.concatenate([runs, layers.reshape(len(layers), -1)], axis=1)
    view = replace(view, block=block, low=block, high=block, layer_columns=(*view.layer_columns, *COUNT_COLUMNS))
    builds = panel.builds
    panel.session.show_scene(replace(scene("normal"), lanes=(replace(lane, view=view),)))
    qtbot.waitUntil(lambda: panel.builds > builds)
    assert panel.offered(quantity) == quantity.choice_names()
    assert set(COUNT_COLUMNS) <= set(panel.offered(quantity))
    panel.set_option("quantity", COUNT_COLUMNS[0])
    qtbot.waitUntil(lambda: panel.view.figure.stamp.get("quantity") == COUNT_COLUMNS[0])
    # what was chosen stays in the menu, and the panel says why it is empty
    show(qtbot, panel, "normal")
    assert panel.offered(quantity)[-1] == COUNT_COLUMNS[0]
    assert "float16" in panel.view.figure.empty


# --- histograms


@pytest.fixture
def histograms(qtbot, still):
    return shown(qtbot, PANELS["histograms"](still))


def test_histograms_are_drawn_anew_only_when_they_were_measured_anew(qtbot, histograms):
    show(qtbot, histograms, "normal")
    builds, shown_before = histograms.builds, histograms.view.figure.subtitle
    histograms.session.show_scene(replace(scene("normal"), step=36))  # the newest ones are of step 35 then
    qtbot.waitUntil(lambda: histograms.builds == builds + 1)
    assert histograms.view.figure.subtitle != shown_before
    for step in (37, 38, 36):
        histograms.session.show_scene(replace(scene("normal"), step=step))
        QTest.qWait(60)
    assert histograms.builds == builds + 1
    show(qtbot, histograms, "four lanes")


def test_a_chosen_card_chooses_the_layer_of_the_histograms(qtbot, histograms):
    histograms.set_option("show", "layer")
    show(qtbot, histograms, "normal")
    assert "layer 1" in histograms.view.figure.subtitle
    histograms.session.scene = replace(scene("normal"), selected="2")
    histograms.session.selection_changed.emit()
    qtbot.waitUntil(lambda: "layer 2" in histograms.view.figure.subtitle)
    entry(histograms, "3  Tanh").trigger()
    assert histograms.options.layer == "3"
    assert "layer 3" in histograms.view.figure.subtitle
    entry(histograms, "The chosen card").trigger()
    assert "layer 2" in histograms.view.figure.subtitle


def test_pointing_into_a_map_of_histograms_shows_that_step(qtbot, histograms):
    assert not histograms.view.time_plots
    histograms.set_option("show", "map")
    show(qtbot, histograms, "normal")
    area = histograms.view.areas[0]
    y = 0.5 * sum(area.span("y"))
    QTest.mouseClick(
        histograms.view.canvas.viewport(), Qt.MouseButton.LeftButton, pos=area.to_pixels(10.4, y).toPoint()
    )
    assert abs(histograms.session.scrubbed[-1] - 10) <= 1
    histograms.set_option("show", "layers")
    assert not histograms.view.time_plots
