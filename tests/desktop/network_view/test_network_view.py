"""The cards: building, settings in place, problems, health, the wire, lanes, texts, all by what a person would do."""

from __future__ import annotations

import gettext
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QDragMoveEvent, QDropEvent, QFont, QKeySequence, QMouseEvent, QShortcut
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from layerscope.core.data.regression import Regression
from layerscope.core.engine.program import Operation
from layerscope.core.experiment import Experiment, build
from layerscope.core.layers.base import Layer
from layerscope.core.network import plan
from layerscope.core.text import use_translations
from layerscope.desktop.network_view import NetworkView
from layerscope.desktop.network_view.add_menu import offers
from layerscope.desktop.network_view.card import Card
from layerscope.desktop.network_view.content import data_content
from layerscope.desktop.network_view.dragging import carried
from layerscope.desktop.network_view.fixes import loss_fix
from layerscope.desktop.session import Session, Wire

Make = Callable[..., Any]


def network(*layers: Any, **rest: Any) -> Experiment:
    """An experiment on the digits; a number is a dense layer of so many units, a word a function."""
    plain = [
        {"kind": "dense", "units": layer} if isinstance(layer, int) else {"kind": "activation", "function": layer}
        for layer in layers
    ]
    return build(Experiment, {"network": plain, **rest})


def wire(path: str, phase: str, values: Any, symbol: str = "a", per_sample: bool = True) -> Wire:
    values = np.asarray(values, dtype=np.float32)
    operation = Operation(path, phase, 0, 1, 0, values.shape[1:] if per_sample else values.shape, per_sample, symbol)
    return Wire(0, operation, values, 1, 9)


def seen(widget: Any) -> str:
    """The text of a label, as far as a person would see it."""
    return "" if widget.isHidden() else str(widget.text())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"kind": "regression", "function": "sine"}, "One sample: 1 (1 number); 1 value to predict"),
        ({"kind": "regression", "function": "surface"}, "One sample: 2 (2 numbers); 1 value to predict"),
        ({"kind": "digits"}, "One sample: 8×8×1 (64 numbers); 10 classes"),
        ({"kind": "csv"}, ""),
    ],
)
def test_the_data_card_says_what_is_to_be_predicted(data: dict[str, Any], says: str) -> None:
    experiment = network(3, data=data)
    content = data_content(experiment, plan(experiment))
    assert content.shape_help == says
    assert content.problem == ("" if says else "no file is chosen yet; choose one")


def press(card: Card, key: Qt.Key, modifier: Qt.KeyboardModifier, qtbot: QtBot) -> None:
    card.setFocus()
    qtbot.keyClick(card, key, modifier)


NONE = Qt.KeyboardModifier.NoModifier


# --- what the cards say


def test_there_is_a_card_for_every_part_in_data_order(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    assert s.titles == ["Dense", "Sigmoid", "Dense"]
    tops = [card.mapTo(s.view, QPoint(0, 0)).y() for card in s.view._all_cards()]
    assert tops == sorted(tops)
    assert [card.content.card for card in s.view._all_cards()] == ["data", "0", "1", "2", "loss", "training"]
    assert seen(s.view.total) == "4,810 parameters"


def test_a_card_says_shape_and_parameters(stage: Make) -> None:
    s = stage(network(64, "relu", 10))
    dense = s.view.cards[0]
    assert seen(dense.shape_label) == "64"
    assert seen(dense.parameters) == "4,160 parameters"
    assert dense.parameters.toolTip() == "4,160 parameters. Learned: weight 64×64, bias 64"
    assert "8×8×1 in, 64 out" in dense.shape_label.toolTip()
    assert seen(s.view.cards[1].parameters) == ""
    assert seen(s.view.data_card.shape_label) == "8×8×1"


def test_collapsed_cards_are_low_enough_for_deep_networks(stage: Make) -> None:
    s = stage(network(*([64, "sigmoid"] * 12), 10))
    assert all(40 <= card.height() <= 56 for card in s.view.cards)


@pytest.mark.parametrize("width", [240, 270, 340])
def test_nothing_sticks_out_at_the_side(stage: Make, width: int) -> None:
    s = stage(network(4096, "leaky_relu", 10), width=width)
    s.view.cards[1].expand(True)
    s.view.training_card.expand(True)
    QApplication.processEvents()
    room = s.view.scroll_area.viewport().width()
    for card in s.view._all_cards():
        assert card.mapTo(s.view, QPoint(card.width(), 0)).x() <= room


# --- building


def test_the_plus_between_cards_offers_every_layer_and_puts_it_there(stage: Make) -> None:
    s = stage(network(32, "sigmoid", 10))
    menu = s.view.plus[2].choices
    menu.aboutToShow.emit()
    texts = [action.text() for action in menu.actions() if action.isEnabled()]
    assert texts[0] == "Dense"
    assert {"ReLU", "Sigmoid", "Tanh"} <= set(texts)
    next(action for action in menu.actions() if action.text() == "ReLU").trigger()
    assert s.titles == ["Dense", "Sigmoid", "ReLU", "Dense"]
    menu = s.view.plus[2].choices
    menu.aboutToShow.emit()
    next(action for action in menu.actions() if action.isEnabled()).trigger()
    assert s.experiment.network[2].units == 32, "a new dense layer is as wide as the one before it"
    assert s.edits == 2


def test_every_registered_layer_can_be_added(stage: Make) -> None:
    s = stage(network(16, 10))
    offered = list(offers(s.experiment.network))
    assert {type(offer.make()) for offer in offered} == set(Layer.registry)
    for offer in offered:
        assert offer.label
        assert offer.help
        s.session.add_layer(1, offer.make())
        assert s.view.cards[1].content.title
        s.view.cards[1].expand(True)
    assert len(s.view.cards) == len(offered) + 2
    assert len(s.view.plus) == len(s.view.cards) + 1


def test_buttons_on_the_card_move_duplicate_and_delete(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "tanh", 10))

    def click(index: int, name: str) -> None:
        s.view.cards[index]._show_actions(True)
        qtbot.mouseClick(s.view.cards[index].action_row.buttons[name], Qt.MouseButton.LeftButton)

    click(1, "up")
    assert s.titles == ["Tanh", "Dense", "Dense"]
    click(0, "down")
    assert s.titles == ["Dense", "Tanh", "Dense"]
    click(1, "duplicate")
    assert s.titles == ["Dense", "Tanh", "Tanh", "Dense"]
    assert s.session.selected_card == "2"
    click(1, "delete")
    assert s.titles == ["Dense", "Tanh", "Dense"]
    assert s.edits == 4
    for _undo in range(4):
        s.session.undo_stack.undo()
    assert s.titles == ["Dense", "Tanh", "Dense"]
    assert len(s.view.plus) == 4


def test_keys_do_the_same(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "tanh", 10))
    press(s.view.cards[1], Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier, qtbot)
    assert s.titles == ["Tanh", "Dense", "Dense"]
    press(s.view.cards[0], Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier, qtbot)
    assert s.titles == ["Tanh", "Tanh", "Dense", "Dense"]
    press(s.view.cards[1], Qt.Key.Key_Delete, NONE, qtbot)
    assert s.titles == ["Tanh", "Dense", "Dense"]
    press(s.view.cards[0], Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier, qtbot)
    assert s.titles == ["Dense", "Tanh", "Dense"]
    press(s.view.cards[0], Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier, qtbot)
    assert s.titles == ["Dense", "Tanh", "Dense"], "the first card stays the first"


def test_the_context_menu_has_every_action(stage: Make) -> None:
    s = stage(network(64, "tanh", 10))
    menu = s.view.cards[1].context_menu()
    actions = {action.objectName(): action for action in menu.actions() if not action.isSeparator()}
    assert set(actions) == {"add", "duplicate", "mute", "lane", "explain", "up", "down", "into", "delete"}
    actions["delete"].trigger()
    menu.close()
    assert s.titles == ["Dense", "Dense"]


def test_an_empty_network_invites_to_begin(stage: Make, qtbot: QtBot) -> None:
    s = stage(Experiment())
    assert not s.view.empty.isHidden()
    assert "8×8×1" in s.view.empty.hint.text()
    s.view.empty.choices.aboutToShow.emit()
    next(action for action in s.view.empty.choices.actions() if action.isEnabled()).trigger()
    assert s.titles == ["Dense"]
    assert s.view.empty.isHidden()
    s.session.undo_stack.undo()
    assert not s.view.empty.isHidden()
    qtbot.mouseClick(s.view.empty.buttons[1], Qt.MouseButton.LeftButton)
    assert len(s.titles) == 5
    assert s.session.plan(0).problems == ()


def test_an_empty_network_speaks_of_values_where_values_are_predicted(stage: Make) -> None:
    s = stage(Experiment(data=Regression()))
    assert "1 value." in s.view.empty.hint.text()
    assert "classifier" not in s.view.empty.buttons[0].toolTip()


def test_a_block_that_no_shortcut_can_go_around_says_so_on_its_card(stage: Make) -> None:
    block = {"kind": "residual", "shortcut": "projection", "body": [{"kind": "conv2d", "filters": 2}]}
    s = stage(build(Experiment, {"network": [block, {"kind": "flatten"}, {"kind": "dense", "units": 10}]}))
    (place, sentence), *_others = s.session.plan(0).problems
    assert place == "network.0"
    assert "no projection" in sentence


def test_the_fix_reaches_the_layer_inside_a_weight_norm() -> None:
    wrapped = {"kind": "weight_norm", "layer": {"kind": "dense", "units": 4}}
    found = build(Experiment, {"network": [{"kind": "dense", "units": 4}, wrapped]})
    fix = loss_fix(found, plan(found))
    assert fix is not None
    assert msgspec.to_builtins(fix.experiment.network[1])["layer"]["units"] == 10


# --- settings in place


def test_a_setting_is_edited_on_the_card_as_one_undo_step(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "relu", 10))
    units = s.view.cards[0].quick.chips["units"]
    units.setFocus()
    units.selectAll()
    qtbot.keyClicks(units, "32")
    qtbot.keyClick(units, Qt.Key.Key_Return)
    assert s.experiment.network[0].units == 32
    assert s.edits == 1
    assert s.session.undo_stack.undoText() == "change units"
    assert seen(s.view.cards[0].shape_label) == "32"
    s.session.undo_stack.undo()
    assert units.text() == "64", "the same editor shows the old value"
    assert s.view.cards[0].quick.chips["units"] is units


def test_steps_in_a_row_are_one_undo_step(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "relu", 10))
    units = s.view.cards[0].quick.chips["units"]
    for _press in range(3):
        qtbot.keyClick(units, Qt.Key.Key_Down)
    assert s.experiment.network[0].units == 8
    assert s.edits == 1


def test_the_kind_of_weights_and_the_function_are_chosen_on_the_card(stage: Make) -> None:
    s = stage(network(64, "relu", 10))
    init = s.view.cards[0].quick.chips["init"]
    init.setCurrentIndex(init.findData("he_normal"))
    init.activated.emit(init.currentIndex())
    assert s.experiment.network[0].init.kind_name() == "he_normal"
    function = s.view.cards[1].naming.chips["function"]
    function.setCurrentIndex(function.findData("tanh"))
    function.activated.emit(function.currentIndex())
    assert s.titles[1] == "Tanh"
    assert s.edits == 2


def test_all_settings_open_on_a_click_and_edit_the_experiment(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "relu", 10))
    training = s.view.training_card
    qtbot.mouseClick(training.chevron, Qt.MouseButton.LeftButton)
    assert training.expanded
    assert s.session.selected_card == "training"
    batch = training.form.editors["batch_size"].editor
    batch.lineEdit().setText("16")
    batch.editingFinished.emit()
    assert s.experiment.training.batch_size == 16
    qtbot.mouseClick(training.chevron, Qt.MouseButton.LeftButton)
    assert not training.expanded


def test_another_data_set_is_chosen_in_place(stage: Make) -> None:
    s = stage(network(64, "relu", 10))
    s.view.data_card.expand(True)
    choice = s.view.data_card.form.choice
    choice.setCurrentIndex(choice.findData("moons"))
    choice.activated.emit(choice.currentIndex())
    assert s.experiment.data.kind_name() == "moons"
    assert seen(s.view.data_card.shape_label) == "2"
    assert "400 samples" in seen(s.view.data_card.notes)
    assert "noise" in s.view.data_card.form.form.editors
    s.session.undo_stack.undo()
    assert choice.name == "digits"


def test_undo_leaves_the_cursor_of_another_field_alone(stage: Make) -> None:
    s = stage(network(64, "relu", 10))
    s.session.set_value("network.2.units", 11)
    edit = s.view.cards[0].quick.chips["units"].lineEdit()
    edit.setText("128")
    edit.setCursorPosition(1)
    s.session.undo_stack.undo()
    assert edit.text() == "128"
    assert edit.cursorPosition() == 1


def test_cards_stay_the_same_widgets_when_others_come_and_go(stage: Make) -> None:
    s = stage(network(64, "relu", 32, "relu", 10))
    before = list(s.view.cards)
    s.session.delete_layer(1)
    assert s.view.cards == [before[0], *before[2:]]
    s.session.undo_stack.undo()
    assert s.view.cards[0] is before[0]
    assert s.view.cards[2:] == before[2:]


# --- problems


def test_impossible_settings_are_explained_on_the_card(stage: Make) -> None:
    s = stage(network(64, "relu", 10))
    units = s.view.cards[0].quick.chips["units"]
    units.lineEdit().setText("0")
    units.editingFinished.emit()
    assert seen(s.view.cards[0].sentence) == "Units must be a whole number from 1 to 4096, not 0"
    assert units.text() == "0"
    assert s.edits == 0
    units.lineEdit().setText("5")
    units.editingFinished.emit()
    assert seen(s.view.cards[0].sentence) == ""
    assert s.experiment.network[0].units == 5


def test_what_only_the_experiment_can_refuse_is_explained_too(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from layerscope.core.errors import InputError

    s = stage(network(64, "relu", 10))

    def refuse(*_all: Any, **_named: Any) -> None:
        raise InputError("is too brave", "network.0.units")

    monkeypatch.setattr(s.session, "set_value", refuse)
    s.view.cards[0].quick.chips["units"].stepBy(1)
    assert seen(s.view.cards[0].sentence) == "Is too brave"


def test_a_wrong_last_layer_is_explained_and_mended_with_one_click(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "relu", 7))
    loss = s.view.loss_card
    assert "10 classes" in seen(loss.sentence)
    assert seen(loss.fix) == "Use 10 units in the last layer"
    qtbot.mouseClick(loss.fix, Qt.MouseButton.LeftButton)
    assert s.experiment.network[-1].units == 10
    assert s.session.plan(0).problems == ()
    assert seen(loss.sentence) == ""
    assert seen(loss.fix) == ""
    assert s.edits == 1


def test_a_network_without_weights_is_mended_with_a_dense_layer(stage: Make, qtbot: QtBot) -> None:
    s = stage(network("relu"))
    assert "no layer has weights" in seen(s.view.banner).lower() or seen(s.view.loss_card.sentence)
    qtbot.mouseClick(s.view.loss_card.fix, Qt.MouseButton.LeftButton)
    assert s.titles == ["ReLU", "Dense"]
    assert s.session.plan(0).problems == ()
    assert seen(s.view.banner) == ""


def test_a_problem_of_the_data_stands_on_its_card(stage: Make) -> None:
    s = stage(network(10, data={"kind": "digits", "validation": 0.6, "test": 0.5}))
    assert "leave nothing to train on" in seen(s.view.data_card.sentence)


# --- health


def test_the_bars_say_who_is_dead_and_who_is_healthy(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    assert s.view.cards[0].strip.health.gradient.state == "unknown"
    s.measure(step=3, gradient_norm=[1e-9, 1e-4, 1.0], activation_std=[1.0, 1e5, 1e-4])
    strips = [card.strip.health for card in s.view.cards]
    assert [health.gradient.state for health in strips] == ["dead", "fading", "healthy"]
    assert [health.activation.state for health in strips] == ["healthy", "exploding", "dead"]
    assert strips[0].gradient.length < strips[1].gradient.length < strips[2].gradient.length
    assert "1e-09" in s.view.cards[0].health_text()
    assert s.view.cards[0].strip.grab().width() > 0


def test_numbers_that_are_not_finite_raise_an_alarm(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.measure(activation_std=[1.0, float("nan"), 1.0], gradient_norm=[float("inf"), 1.0, 1.0])
    assert s.view.cards[1].strip.health.activation.state == "nonfinite"
    assert s.view.cards[0].strip.health.gradient.state == "nonfinite"
    assert "nan" in s.view.cards[1].health_text()
    s.measure(gradient_norm=[0.0, 0.0, 0.0])
    assert s.view.cards[2].strip.health.gradient.state == "dead"


def test_a_scene_of_another_network_is_not_shown_as_this_one(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.measure()
    s.session.delete_layer(1)
    assert s.view.cards[0].strip.health.activation.state == "unknown"


def test_bars_are_painted_only_when_a_pixel_changes(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.measure(activation_std=[2.0, 1.0, 1.0])
    painted: list[int] = []
    monkeypatch.setattr(s.view.cards[0].strip, "update", lambda: painted.append(1))
    s.measure(activation_std=[2.001, 1.0, 1.0])
    assert painted == []
    s.measure(activation_std=[10.0, 1.0, 1.0])
    assert painted == [1]


# --- the wire


def test_the_card_of_the_operation_is_lit_and_shows_its_numbers(stage: Make) -> None:
    s = stage(network(*([64, "sigmoid"] * 12), 10), height=500)
    values = np.linspace(-1, 2, 8 * 64).reshape(8, 64)
    s.session.wire = wire("20", "backward", values, "∂L/∂a")
    s.session.scene_changed.emit()
    QApplication.processEvents()
    card = s.view.cards[20]
    assert card.is_active
    view = s.view.wire_view
    assert card.isAncestorOf(view)
    assert view.isVisible()
    assert seen(view.symbol) == "∂L/∂a"
    assert seen(view.shape) == "8×64"
    assert [seen(label) for label in view.range] == ["-1", "0.5", "2"]
    assert view.matrix.numbers.shape == (3, 4)
    assert "backward" in seen(view.phase)
    port = s.view.scroll_area.viewport()
    place = card.mapTo(port, QPoint(0, 0)).y()
    assert 0 <= place <= port.height() - 60, "the card has been scrolled into view"

    s.session.wire = wire("19", "backward", values, "∂L/∂W", per_sample=False)
    s.session.scene_changed.emit()
    assert s.view.cards[19].is_active
    assert not card.is_active

    s.session.wire = None
    s.session.scene_changed.emit()
    assert not s.view.cards[19].is_active
    assert view.isHidden()


@pytest.mark.parametrize(
    ("path", "card"), [("data", "data"), ("loss", "loss"), ("optimizer", "training"), ("1", "1"), ("1.body.0", "1")]
)
def test_every_operation_has_a_card(stage: Make, path: str, card: str) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.session.wire = wire(path, "forward", np.ones((2, 3)))
    s.session.scene_changed.emit()
    assert [c.content.card for c in s.view._all_cards() if c.is_active] == [card]


def test_a_wire_of_images_single_numbers_and_nan_is_shown(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    for values in (np.ones((5, 8, 8, 1)), np.ones((4,)), np.full((2, 2), np.nan), np.ones((0, 3))):
        s.session.wire = wire("0", "forward", values)
        s.session.scene_changed.emit()
        s.view.grab()
    s.session.wire = wire("0", "forward", [[1.0, np.inf]])
    s.session.scene_changed.emit()
    assert seen(s.view.wire_view.strange) == "1 number is not finite"


def test_the_wire_survives_that_its_card_is_deleted(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.session.wire = wire("1", "forward", np.ones((2, 3)))
    s.session.scene_changed.emit()
    s.session.wire = None
    s.session.delete_layer(1)
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    s.session.wire = wire("0", "forward", np.ones((2, 3)))
    s.session.scene_changed.emit()
    assert s.view.wire_view.isVisible()


# --- lanes


def test_the_selected_lane_is_shown_and_what_differs_from_a_is_marked(stage: Make) -> None:
    a, b = network(64, "sigmoid", 10), network(32, "relu", 10)
    s = stage(a, msgspec.structs.replace(b, training=msgspec.structs.replace(b.training, epochs=7)))
    assert seen(s.view.lane_badge) == "A"
    assert all(card.dot.isHidden() for card in s.view._all_cards())
    s.session.select(lane=1)
    assert seen(s.view.lane_badge) == "B"
    assert s.titles == ["Dense", "ReLU", "Dense"]
    assert s.view.cards[0].dot.toolTip() == "A: units 64"
    assert s.view.cards[1].dot.toolTip() == "A: Sigmoid"
    assert s.view.cards[2].dot.isHidden()
    assert s.view.training_card.dot.toolTip() == "A: epochs 20"
    s.view.cards[0].quick.chips["units"].stepBy(1)
    assert s.session.lanes[1].experiment.network[0].units == 64
    assert s.session.lanes[0].experiment == a


def test_a_layer_that_a_has_not_is_marked(stage: Make) -> None:
    s = stage(network(64, 10), network(64, "relu", 10))
    s.session.select(lane=1)
    assert s.view.cards[1].dot.toolTip() == "A: not there"
    assert s.view.cards[2].dot.isHidden()


def test_one_lane_has_no_badge(stage: Make) -> None:
    assert seen(stage(network(10)).view.lane_badge) == ""


# --- keyboard, texts


def test_the_arrow_keys_walk_from_card_to_card(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.view.data_card.setFocus()
    qtbot.keyClick(s.view.data_card, Qt.Key.Key_Down)
    assert s.view.focusWidget() is s.view.cards[0]
    qtbot.keyClick(s.view.cards[0], Qt.Key.Key_Return)
    assert s.view.cards[0].expanded


def test_tab_reaches_the_editors_of_a_card_before_the_next_card(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    stops = [stop for card in s.view._all_cards() for stop in card.tab_stops()]
    widget, order = stops[0], []
    for _step in range(200):
        if widget in stops:
            order.append(widget)
        widget = widget.nextInFocusChain()
        if widget is stops[0]:
            break
    assert order == stops


class Marked(gettext.NullTranslations):
    """Wraps every text that asks for a translation."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def ngettext(self, one: str, many: str, count: int) -> str:
        return f"⟦{one if count == 1 else many}⟧"


SYMBOLS = {"a", "∂L/∂a", "∂L/∂x", "x"}


def texts(root: QWidget) -> list[tuple[str, str]]:
    """(where, text) of everything that a person can read below a widget."""
    found = []
    for widget in [root, *root.findChildren(QWidget)]:
        name = f"{type(widget).__name__} {widget.objectName()}"
        parts = [widget.toolTip(), widget.accessibleName(), widget.accessibleDescription()]
        if isinstance(widget, QLabel | QAbstractButton):
            parts.append(widget.text())
        elif isinstance(widget, QComboBox):
            parts += [widget.itemText(i) for i in range(widget.count())]
        elif isinstance(widget, QLineEdit) and not isinstance(widget.parentWidget(), QAbstractSpinBox):
            parts.append(widget.text())
        found += [(name, part) for part in parts]
    return found


def test_every_text_can_be_translated(stage: Make) -> None:
    use_translations(Marked())
    broken = network(64, "leaky_relu", 7)
    s = stage(network(64, "sigmoid", 10), broken)
    s.session.select(lane=1)
    s.measure()
    s.session.wire = replace(wire("data", "data", np.full((2, 2), np.nan), "x"), lane=1)
    s.session.scene_changed.emit()
    for card in s.view._all_cards():
        card.expand(True)
        card._show_actions(True)
    units = s.view.cards[0].form.editors["units"].editor
    units.lineEdit().setText("0")
    units.editingFinished.emit()
    unmarked = []
    for where, text in texts(s.view):
        outside = text
        while outside != (shorter := re.sub(r"⟦[^⟦⟧]*⟧", "", outside)):
            outside = shorter
        if text not in SYMBOLS and re.search(r"[^\W\d_]{2,}", outside):
            unmarked.append((where, text))
    assert unmarked == []


def test_the_language_may_change_while_the_window_is_open(stage: Make) -> None:
    s = stage(network(64, "sigmoid", 10))
    s.measure()
    use_translations(Marked())
    QApplication.sendEvent(s.view, QEvent(QEvent.Type.LanguageChange))
    assert s.titles == ["⟦Dense⟧", "⟦Sigmoid⟧", "⟦Dense⟧"]
    assert s.view.heading.text() == "⟦Network⟧"
    assert s.view.cards[0].strip.health.activation.state == "healthy"


# --- with the real worker


def test_cards_show_what_the_real_training_measures(session: Session, qtbot: QtBot) -> None:
    view = NetworkView(session)
    qtbot.addWidget(view)
    view.show()
    session.forward("minibatch")
    qtbot.waitUntil(lambda: view.cards[0].strip.health.activation.state != "unknown", timeout=20_000)
    session.forward("operation")
    qtbot.waitUntil(lambda: view.wire_view.isVisible(), timeout=20_000)
    lit = [card.content.card for card in view._all_cards() if card.is_active]
    session.forward("operation")
    qtbot.waitUntil(
        lambda: [card.content.card for card in view._all_cards() if card.is_active] not in ([], lit), timeout=20_000
    )


# --- dragging, layers inside of layers, large fonts


@pytest.mark.parametrize(
    ("index", "gap", "order"),
    [(0, 2, "Tanh Dense ReLU"), (2, 0, "ReLU Dense Tanh"), (1, 1, "Dense Tanh ReLU"), (1, 2, "Dense Tanh ReLU")],
)
def test_a_card_is_dropped_on_a_gap(stage: Make, index: int, gap: int, order: str) -> None:
    s = stage(network(64, "tanh", "relu"))
    QApplication.processEvents()
    column, plus = s.view.scroll_area.widget(), s.view.plus[gap]
    place = QPointF(plus.mapTo(column, plus.rect().center()))
    data = carried(str(index))
    rest = data, Qt.MouseButton.LeftButton, NONE
    with warnings.catch_warnings():
        # Qt 6.12 prefers a constructor that 6.11 does not have
        warnings.simplefilter("ignore", DeprecationWarning)
        moved = QDragMoveEvent(place.toPoint(), Qt.DropAction.MoveAction, *rest)
    column.dragMoveEvent(moved)
    assert [plus._lit for plus in s.view.plus].index(True) == gap
    column.dropEvent(QDropEvent(place, Qt.DropAction.MoveAction, *rest))
    assert s.titles == order.split()
    assert not any(plus._lit for plus in s.view.plus)


def test_pulling_a_card_starts_a_drag_and_does_not_open_it(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "tanh", 10))
    card = s.view.cards[1]
    card.dragged.disconnect()
    gripped: list[QPoint] = []
    card.dragged.connect(gripped.append)
    start = QPoint(100, 10)
    qtbot.mousePress(card, Qt.MouseButton.LeftButton, pos=start)
    far = QPointF(100, 60)
    move = QMouseEvent(QEvent.Type.MouseMove, far, far, Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton, NONE)
    QApplication.sendEvent(card, move)
    qtbot.mouseRelease(card, Qt.MouseButton.LeftButton, pos=start)
    assert gripped == [start]
    assert not card.expanded


def test_keys_of_a_focused_card_come_before_those_of_the_window(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "tanh", 10))
    elsewhere: list[int] = []
    shortcut = QShortcut(QKeySequence("Ctrl+D"), s.view)
    shortcut.activated.connect(lambda: elsewhere.append(1))
    press(s.view.cards[1], Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier, qtbot)
    assert s.titles == ["Dense", "Tanh", "Tanh", "Dense"]
    assert elsewhere == []


def test_texts_grow_with_the_font_of_the_program(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "relu", 10), width=420)
    s.view.cards[0].expand(True)
    usual = QApplication.font()
    labels = [s.view.heading, s.view.cards[0].title, s.view.cards[1].naming.chips["function"]]
    before = [label.fontMetrics().height() for label in labels]
    try:
        large = QFont(usual)
        large.setPointSizeF(usual.pointSizeF() * 2)
        QApplication.setFont(large)
        qtbot.waitUntil(
            lambda: all(label.fontMetrics().height() > 1.7 * old for label, old in zip(labels, before, strict=True))
        )
    finally:
        QApplication.setFont(usual)


def test_a_click_beside_a_field_does_not_close_the_card(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(64, "tanh", 10))
    card = s.view.cards[0]
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton, pos=QPoint(100, 8))
    assert card.expanded
    QApplication.processEvents()
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton, pos=QPoint(4, card.height() - 3))
    assert card.expanded
    assert s.session.selected_card == "0"
    qtbot.mouseClick(card, Qt.MouseButton.LeftButton, pos=QPoint(100, 8))
    assert not card.expanded


def test_settings_that_are_asked_for_elsewhere_open_and_are_scrolled_to(stage: Make) -> None:
    s = stage(network(*([64, "sigmoid"] * 12), 10), height=500)
    s.session.select(card="training")
    QApplication.processEvents()
    QApplication.processEvents()
    card = s.view.training_card
    assert card.expanded
    assert s.view.focusWidget() is card.form.editors["batch_size"].editor
    assert card.mapTo(s.view.scroll_area.viewport(), QPoint(0, 0)).y() < 500
    s.session.select(card="3")
    QApplication.processEvents()
    assert not s.view.cards[3].expanded
    assert s.view.cards[3].is_selected
