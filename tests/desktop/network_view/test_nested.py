"""Layers inside of blocks: real cards, edited by clicks, keys and dragging, lit by path, compared with lane A."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QDragMoveEvent, QDropEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from layerscope.core import editing
from layerscope.core.engine.program import Operation
from layerscope.core.experiment import Experiment, build
from layerscope.core.layers.base import GROUPS, Layer
from layerscope.desktop.explain import Popover
from layerscope.desktop.network_view.card import Card
from layerscope.desktop.network_view.dragging import carried
from layerscope.desktop.session import Wire

Make = Callable[..., Any]
NONE, ALT, CONTROL = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
)


def dense(units: int, **rest: Any) -> dict[str, Any]:
    return {"kind": "dense", "units": units, **rest}


def act(function: str) -> dict[str, Any]:
    return {"kind": "activation", "function": function}


def residual(*body: Any, **rest: Any) -> dict[str, Any]:
    return {"kind": "residual", "body": list(body), **rest}


def network(*layers: Any) -> Experiment:
    return build(Experiment, {"network": list(layers)})


def blocks() -> Experiment:
    """0 dense, 1 residual (dense, tanh), 2 inception (dense | tanh dense), 3 dense."""
    branches = {"kind": "inception", "branches": [[dense(4)], [act("tanh"), dense(6)]]}
    return network(dense(16), residual(dense(16), act("tanh")), branches, dense(10))


def seen(widget: Any) -> str:
    return "" if widget.isHidden() else str(widget.text())


def press(stage: Any, path: str, key: Qt.Key, modifier: Qt.KeyboardModifier, qtbot: QtBot) -> None:
    card = stage.view.card_at(path)
    card.setFocus()
    qtbot.keyClick(card, key, modifier)


def titles(stage: Any, place: str) -> list[str]:
    return [layer.title() for layer in editing.layers_at(stage.experiment, place)]


def paths(stage: Any) -> list[str]:
    return [card.content.card for card in stage.view._all_cards()]


def test_layers_inside_are_cards_with_settings_shape_and_parameters(stage: Make) -> None:
    s = stage(blocks())
    assert paths(s) == [
        *("data", "0", "1", "1.body.0", "1.body.1"),
        *("2", "2.branches.0.0", "2.branches.1.0", "2.branches.1.1", "3", "loss", "training"),
    ]
    inner = s.view.card_at("1.body.0")
    assert s.view.card_at("1").isAncestorOf(inner)
    assert seen(inner.shape_label) == "16"
    assert seen(inner.parameters) == "272 par."
    assert inner.quick.chips["units"].value == 16
    assert [view.heading.text() for view in s.view.card_at("2").parts] == ["branch 1", "branch 2"]
    assert s.view.card_at("1").frame.meeting.words.text() == "shortcut: the input itself, 16"
    assert s.view.card_at("2").frame.meeting.sign == "∥"
    tops = [card.mapTo(s.view, QPoint(0, 0)).y() for card in s.view._all_cards()]
    assert tops == sorted(tops), "from the data to the loss"


@pytest.mark.parametrize("width", [276, 340])
def test_nested_cards_do_not_stick_out(stage: Make, width: int) -> None:
    s = stage(network(dense(16), residual(residual(dense(16))), dense(10)), width=width)
    QApplication.processEvents()
    room = s.view.scroll_area.viewport().width()
    for card in s.view._all_cards():
        assert card.mapTo(s.view, QPoint(card.width(), 0)).x() <= room
        assert card.width() >= card.minimumSizeHint().width()


def test_a_projection_is_shown_but_is_the_blocks_own_affair(stage: Make, qtbot: QtBot) -> None:
    s = stage(network(dense(16), residual(dense(8), shortcut="projection"), dense(10)))
    card = s.view.card_at("1.shortcut")
    assert seen(card.shape_label) == "8"
    assert seen(card.parameters) == "128 par."
    card.expand(True)
    assert not card.expanded
    before = s.experiment
    for key, modifier in ((Qt.Key.Key_Delete, NONE), (Qt.Key.Key_D, CONTROL), (Qt.Key.Key_M, NONE)):
        press(s, "1.shortcut", key, modifier, qtbot)
    assert s.experiment == before, "and its keys do not reach the block around it"


def test_a_setting_inside_a_block_is_edited_in_place(stage: Make) -> None:
    s = stage(blocks())
    units = s.view.card_at("2.branches.1.1").quick.chips["units"]
    units.lineEdit().setText("7")
    units.editingFinished.emit()
    assert editing.layer_at(s.experiment, "2.branches.1.1").units == 7
    assert s.edits == 1
    assert seen(s.view.card_at("2").shape_label) == "11"
    s.session.undo_stack.undo()
    assert units.text() == "6"


def test_keys_work_inside_as_outside(stage: Make, qtbot: QtBot) -> None:
    s = stage(blocks())
    press(s, "1.body.1", Qt.Key.Key_Up, ALT, qtbot)
    assert titles(s, "network.1.body") == ["Tanh", "Dense"]
    assert s.session.selected_card == "1.body.0"
    press(s, "1.body.0", Qt.Key.Key_D, CONTROL, qtbot)
    assert titles(s, "network.1.body") == ["Tanh", "Tanh", "Dense"]
    press(s, "1.body.1", Qt.Key.Key_Delete, NONE, qtbot)
    assert titles(s, "network.1.body") == ["Tanh", "Dense"]
    press(s, "1.body.0", Qt.Key.Key_Up, ALT, qtbot)
    assert titles(s, "network") == ["Dense", "Tanh", "Residual block", "Inception block", "Dense"]
    press(s, "1", Qt.Key.Key_Right, ALT, qtbot)
    assert titles(s, "network.1.body") == ["Tanh", "Dense"]
    press(s, "1.body.1", Qt.Key.Key_Left, ALT, qtbot)
    assert titles(s, "network") == ["Dense", "Residual block", "Dense", "Inception block", "Dense"]
    assert s.session.selected_card == "2"
    assert s.edits == 6
    for _undo in range(6):
        s.session.undo_stack.undo()
    assert s.experiment == blocks()


def test_the_arrow_keys_walk_into_blocks(stage: Make, qtbot: QtBot) -> None:
    s = stage(blocks())
    s.view.card_at("0").setFocus()
    walked = []
    for _step in range(4):
        qtbot.keyClick(s.view.focusWidget(), Qt.Key.Key_Down)
        widget = s.view.focusWidget()
        assert isinstance(widget, Card)
        walked.append(widget.content.card)
    assert walked == ["1", "1.body.0", "1.body.1", "2"]


def test_the_plus_inside_puts_a_layer_there(stage: Make) -> None:
    s = stage(blocks())
    stack = s.view.card_at("2").parts[1].stack
    menu = stack.plus[1].choices
    menu.aboutToShow.emit()
    next(action for action in menu.actions() if action.text() == "Dropout").trigger()
    assert titles(s, "network.2.branches.1") == ["Tanh", "Dropout", "Dense"]
    assert s.session.selected_card == "2.branches.1.1"
    assert s.edits == 1


def test_the_palette_has_a_heading_for_every_group_that_has_kinds(stage: Make) -> None:
    s = stage(blocks())
    menu = s.view.plus[0].choices
    menu.aboutToShow.emit()
    headings = [action.text() for action in menu.actions() if not action.isEnabled()]
    used = {kind.group for kind in Layer.registry}
    assert headings == [label for name, label in GROUPS.items() if name in used]
    dropout = next(action for action in menu.actions() if action.text() == "Dropout")
    assert Layer.registry["dropout"].formula in dropout.toolTip()


def test_branches_come_and_go(stage: Make) -> None:
    s = stage(blocks())
    card = s.view.card_at("2")
    card.frame.add.click()
    assert [view.heading.text() for view in card.parts] == ["branch 1", "branch 2", "branch 3"]
    card.parts[0].out.click()
    assert titles(s, "network.2.branches.0") == ["Tanh", "Dense"]
    card.parts[0].out.click()
    assert len(card.parts) == 1
    assert card.parts[0].out.isHidden(), "the last branch stays"
    for _undo in range(3):
        s.session.undo_stack.undo()
    assert s.experiment == blocks()


@pytest.mark.parametrize(
    ("path", "place", "gap", "there"),
    [
        ("0", "network.1.body", 1, "0.body.1"),
        ("1.body.1", "network", 1, "1"),
        ("2.branches.0.0", "network.2.branches.1", 2, "2.branches.1.2"),
        ("1", "network.2.branches.0", 0, "1.branches.0.0"),
    ],
)
def test_a_card_is_dragged_into_and_out_of_blocks(stage: Make, path: str, place: str, gap: int, there: str) -> None:
    s = stage(blocks())
    QApplication.processEvents()
    layer = editing.layer_at(s.experiment, path)
    plus = next(stack for stack in s.view._stacks() if stack.place == place).plus[gap]
    column = s.view.scroll_area.widget()
    point = QPointF(plus.mapTo(column, plus.rect().center()))
    rest = carried(path), Qt.MouseButton.LeftButton, NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        moved = QDragMoveEvent(point.toPoint(), Qt.DropAction.MoveAction, *rest)
    column.dragMoveEvent(moved)
    assert plus._lit
    column.dropEvent(QDropEvent(point, Qt.DropAction.MoveAction, *rest))
    assert editing.layer_at(s.experiment, there) == layer
    assert s.session.selected_card == there
    assert s.edits == 1


def test_a_block_cannot_be_dropped_into_itself(stage: Make) -> None:
    s = stage(blocks())
    assert not any(
        stack.place == "network.1.body"
        for stack in s.view._stacks()
        for plus in stack.plus
        if plus in s.view._gaps_for("1")
    )
    assert len(s.view._gaps_for("1")) == len(s.view._gaps_for("0")) - 3


@pytest.mark.parametrize("path", ["1.body.0", "2.branches.1.1"])
def test_a_layer_is_switched_off_and_on_with_one_click_each(stage: Make, qtbot: QtBot, path: str) -> None:
    s = stage(blocks())
    before = s.experiment
    card = s.view.card_at(path)
    card._show_actions(True)
    qtbot.mouseClick(card.action_row.buttons["mute"], Qt.MouseButton.LeftButton)
    assert editing.layer_at(s.experiment, path).muted
    card = s.view.card_at(path)
    assert not card.switch.isHidden()
    assert card.strip.isHidden()
    assert s.session.undo_stack.undoText() == "switch Dense off"
    card.switch.click()
    assert s.experiment == before
    assert s.edits == 2
    s.session.undo_stack.undo()
    assert editing.layer_at(s.experiment, path).muted


def test_a_lane_without_one_layer_is_two_clicks_away(stage: Make) -> None:
    s = stage(network(dense(16), {"kind": "dropout"}, dense(10)))
    menu = s.view.card_at("1").context_menu()
    next(action for action in menu.actions() if action.objectName() == "lane").trigger()
    menu.close()
    assert len(s.session.lanes) == 2
    assert s.session.difference(1) == "Dropout off"
    assert s.session.lanes[0].experiment.network[1].muted is False


def test_inner_cards_show_their_health_and_the_wire(stage: Make) -> None:
    s = stage(network(dense(16), residual(dense(16), act("tanh")), dense(10)))
    s.measure(gradient_norm=[1.0, 1e-9, 1e-4, 1.0, 1.0])
    assert s.view.card_at("1.body.0").strip.health.gradient.state == "dead"
    assert s.view.card_at("1.body.1").strip.health.gradient.state == "fading"
    operation = Operation("1.body.0", "forward", 0, 1, 0, (3,), True, "a")
    s.session.wire = Wire(0, operation, np.ones((2, 3)), 1, 9)
    s.session.scene_changed.emit()
    active = [card for card in s.view._all_cards() if card.is_active]
    assert [card.content.card for card in active] == ["1.body.0"]
    assert active[0].isAncestorOf(s.view.wire_view)
    s.session.wire = None
    s.session.delete_layer("1")
    QApplication.processEvents()
    assert s.view.wire_view.isHidden()


def test_what_differs_inside_a_block_is_marked_on_the_inner_card(stage: Make) -> None:
    other = editing.replaced(blocks(), "network.1.body.0.units", 16)
    other = editing.replaced(other, "network.1.body.1.function", "relu")
    s = stage(blocks(), other)
    s.session.select(lane=1)
    assert s.view.card_at("1.body.1").dot.toolTip() == "A: Tanh"
    assert s.view.card_at("1").dot.isHidden()
    assert s.view.card_at("1.body.0").dot.isHidden()


def test_a_problem_stands_on_the_inner_card(stage: Make) -> None:
    s = stage(network(dense(16), residual({"kind": "conv2d", "filters": 3}), dense(10)))
    assert "works on images" in seen(s.view.card_at("1.body.0").sentence)
    assert seen(s.view.card_at("1").sentence) == ""


def test_a_card_explains_itself_with_formula_and_source(stage: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    # a window that lies over others cannot be shown without a screen
    monkeypatch.setattr(Popover, "show_beside", lambda _popover, _place: None)
    s = stage(network(dense(16), {"kind": "batch_norm"}, dense(10)))
    card = s.view.card_at("1")
    card.open_explanation()
    assert card.popover is not None
    kind = Layer.registry["batch_norm"]
    assert kind.formula in card.popover.lines
    assert kind.source in card.popover.lines
    card.popover.close()


def test_the_first_weights_say_their_std_and_n_var_for_this_very_layer(stage: Make) -> None:
    s = stage(network(dense(16, init={"kind": "he_normal"}), dense(10, init={"kind": "lsuv"})))
    card = s.view.card_at("0")
    card.expand(True)
    assert seen(card.form.editors["init"].fact) == "std 0.177 · n·Var 2 · n = 64"
    s.session.set_value("network.0.init", {"kind": "normal", "std": 1.0})
    assert seen(card.form.editors["init"].fact) == "std 1 · n·Var 64 · n = 64"
    assert "n·Var 64" in card.quick.chips["init"].toolTip()
    last = s.view.card_at("1")
    last.expand(True)
    assert "first minibatch" in seen(last.form.editors["init"].fact)
