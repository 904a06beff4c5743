"""Every trick of the training in the window: one click on, one click off, undoable, explained, and tried in a lane."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from layerscope.core.experiment import Experiment, Training, build
from layerscope.core.fields import Field, Kind, describe
from layerscope.core.gradient_steps.base import STAGES, Regularizer, chain
from layerscope.desktop.explain import effect_text
from layerscope.desktop.forms import OptionalForm
from layerscope.desktop.network_view.training_form import TrainingForm, is_link, places

Make = Callable[..., Any]


def small(**training: Any) -> Experiment:
    layers = [
        {"kind": "dense", "units": 12},
        {"kind": "activation", "function": "tanh"},
        {"kind": "dense", "units": 10},
    ]
    return build(Experiment, {"network": layers, "training": training})


def tricks() -> list[Any]:
    """(field, kind or None) of everything in the training that can be on or off, found in the registries."""
    found: list[Any] = []
    for field in describe(Training):
        if field.sort == "families" or (field.sort == "family" and field.optional):
            found += [
                pytest.param(field, kind, id=f"{field.name}-{name}") for name, kind in field.holds.registry.items()
            ]
        elif field.optional and field.sort == "struct":
            found.append(pytest.param(field, None, id=field.name))
    return found


def opened(stage: Make, *experiments: Experiment) -> tuple[Any, TrainingForm]:
    s = stage(*(experiments or (small(),)))
    s.view.training_card.expand(True)
    return s, s.view.training_card.form


def switch_of(form: TrainingForm, field: Field, kind: type[Kind] | None) -> OptionalForm:
    name = f"{field.name}.{kind.kind_name()}.1" if field.sort == "families" and kind is not None else field.name
    return form.switches()[name]


def value_of(experiment: Experiment, field: Field, kind: type[Kind] | None) -> Any:
    value = getattr(experiment.training, field.name)
    if field.sort == "families":
        return next((step for step in value if type(step) is kind), None)
    return value


def choose(form: OptionalForm, kind: type[Kind]) -> None:
    index = form.choice.findData(kind.kind_name())
    form.choice.setCurrentIndex(index)
    form.choice.activated.emit(index)


@pytest.mark.parametrize(("field", "kind"), tricks())
def test_every_trick_is_on_with_one_or_two_clicks_off_with_one_and_undone(
    stage: Make, field: Field, kind: type[Kind] | None
) -> None:
    s, form = opened(stage)
    before = s.experiment
    switch = switch_of(form, field, kind)
    switch.switch.click()
    if field.sort == "family" and kind is not None and not isinstance(value_of(s.experiment, field, kind), kind):
        choose(switch, kind)
    on = s.experiment
    clicks = s.edits
    assert clicks in (1, 2)
    assert value_of(on, field, kind) is not None
    if kind is not None:
        assert isinstance(value_of(on, field, kind), kind)
    assert switch.switch.isChecked()
    assert "starts the lane over" in switch.switch.toolTip()
    switch.switch.click()
    assert s.experiment == before
    assert not switch.switch.isChecked()
    switch.switch.click()
    assert s.experiment == on, "on again, it has the settings that it had"
    for _undo in range(clicks + 2):
        s.session.undo_stack.undo()
    assert s.experiment == before
    assert not switch.switch.isChecked()


@pytest.mark.parametrize(("field", "kind"), tricks())
def test_every_trick_can_be_the_one_difference_of_a_new_lane(
    stage: Make, field: Field, kind: type[Kind] | None
) -> None:
    s, form = opened(stage)
    menu = switch_of(form, field, kind).lane_menu()
    next(action for action in menu.actions() if action.objectName() == "turned").trigger()
    assert len(s.session.lanes) == 2
    assert s.session.lanes[0].experiment == small()
    changed = s.session.lanes[1].experiment
    assert value_of(changed, field, kind) is not None or field.sort == "family"
    without = msgspec.structs.replace(changed.training, **{field.name: field.default})
    assert without == small().training, "nothing else differs"
    assert s.session.difference(1) not in ("", "same as A")


@pytest.mark.parametrize(("field", "kind"), tricks())
def test_every_trick_is_explained_in_one_sentence(stage: Make, field: Field, kind: type[Kind] | None) -> None:
    _stage, form = opened(stage)
    said = switch_of(form, field, kind).info.explanation()
    assert said is not None
    assert said.title
    assert said.sentence
    assert said.effect
    if kind is not None and field.sort == "families":
        assert said.formula == kind.formula
        assert said.source == kind.source


def test_the_chain_stands_in_the_order_of_the_computation(stage: Make) -> None:
    every = [{"kind": name} for name in reversed(Regularizer.registry.names())]
    s, form = opened(stage, small(regularizers=every, clipping={"kind": "global_norm"}))
    lines = sorted(form.lines.values(), key=lambda line: line.y())
    QApplication.processEvents()
    shown = [line.place.name for line in sorted(form.lines.values(), key=lambda line: line.y())]
    assert shown == [link.name for link in chain(s.experiment.training)]
    stages = [STAGES.index(line.place.stage) for line in lines]
    assert sorted(stages) == [STAGES.index(place.stage) for place in places(s.experiment.training)]


def test_the_norm_behind_every_link_is_shown(stage: Make) -> None:
    s, form = opened(stage, small(clipping={"kind": "global_norm"}, regularizers=[{"kind": "l2"}]))
    form.show_norms({"gradient": 3.0, "l2": 3.25, "global_norm": 1.0, "sgd": 0.1})
    texts = {line.place.name: line.norm.text for line in form.lines.values() if line.place.name}
    assert texts == {"l2": "3.25", "global_norm": "1", "sgd": "0.1"}
    assert form.beginning.norm.text == "3"
    form.show_norms({"gradient": math.nan})
    assert form.beginning.norm.text == "–"
    assert form.lines["optimizer"].norm.text == "–"


def test_norms_that_change_cause_no_new_layout(stage: Make, qtbot: QtBot) -> None:
    _stage, form = opened(stage)
    QApplication.processEvents()
    asked: list[int] = []
    norm = form.lines["optimizer"].norm
    norm.updateGeometry = lambda: asked.append(1)
    size = norm.size()
    for number in (1.0, 1e-9, 123456.0):
        form.show_norms({"sgd": number})
        QApplication.processEvents()
    assert asked == []
    assert norm.size() == size


def test_the_measured_norms_of_a_real_training_arrive(session: Any, qtbot: QtBot) -> None:
    from layerscope.desktop.network_view import NetworkView

    session.set_value("training.clipping", {"kind": "global_norm", "threshold": 0.01})
    view = NetworkView(session)
    qtbot.addWidget(view)
    view.show()
    view.training_card.expand(True)
    session.forward("minibatch")
    form = view.training_card.form
    qtbot.waitUntil(lambda: form.lines["clipping"].norm.text == "0.01", timeout=20_000)
    assert float(form.beginning.norm.text) > 0.01


def test_settings_of_a_link_are_edited_in_place(stage: Make) -> None:
    s, form = opened(stage, small(regularizers=[{"kind": "l1"}, {"kind": "l2"}]))
    row = form.lines["regularizers.l2.1"].form.form.editors["strength"]
    row.editor.lineEdit().setText("0.5")
    row.editor.editingFinished.emit()
    assert [step.strength for step in s.experiment.training.regularizers] == [
        small(regularizers=[{"kind": "l1"}]).training.regularizers[0].strength,
        0.5,
    ]
    assert form.explain("regularizers.1.strength", "is too brave")
    assert not row.sentence.isHidden()


def test_every_setting_says_when_a_change_applies(stage: Make) -> None:
    _stage, form = opened(stage)
    rate = form.lines["optimizer"].form.form.editors["learning_rate"]
    assert "Applies at once" in rate.editor.toolTip()
    assert "starts the lane over" in form.basics.editors["batch_size"].editor.toolTip()
    epochs = next(field for field in describe(Training) if field.name == "epochs")
    assert effect_text(epochs) == ""


def test_a_single_setting_is_the_one_difference_of_a_new_lane(stage: Make) -> None:
    s, form = opened(stage)
    menu = form.basics.editors["batch_size"].lane_menu()
    next(action for action in menu.actions() if action.text() == "64").trigger()
    assert s.session.lanes[1].experiment == small(batch_size=64)
    assert s.session.lanes[0].experiment == small()
    s.session.select(lane=0)
    menu = s.view.card_at("1").naming.lane_menu("function")
    next(action for action in menu.actions() if action.text() == "ReLU").trigger()
    assert s.session.difference(2) == "Tanh → ReLU"


def test_the_four_lanes_are_not_exceeded(stage: Make) -> None:
    s, form = opened(stage, small(), small(), small(), small())
    form.switches()["clipping"]._try_other()
    assert len(s.session.lanes) == 4


def test_links_belong_to_the_chain_and_nothing_else_does() -> None:
    assert [field.name for field in describe(Training) if is_link(field)] == ["optimizer", "clipping", "regularizers"]
