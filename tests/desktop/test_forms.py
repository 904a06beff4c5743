"""Forms follow from the declared fields of every registered kind; nothing here knows a kind by name."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QCheckBox, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from layerscope.core.data.base import DataSet
from layerscope.core.errors import InputError
from layerscope.core.experiment import Averaging, Experiment, Training, with_value
from layerscope.core.fields import Described, Field, Kind, about, build, describe
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.initializers import Initializer
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss
from layerscope.core.registry import Registry
from layerscope.core.schedules.base import Schedule
from layerscope.desktop.explain import field_tip
from layerscope.desktop.forms import (
    Choice,
    FieldRow,
    Form,
    KindForm,
    ListForm,
    ListsForm,
    OptionalForm,
    StructForm,
    is_shown,
)
from layerscope.desktop.fresh import changed_kind, fresh
from layerscope.desktop.number_box import NumberBox, number_text, parse_number, stepped

FAMILIES: list[Any] = [Layer, Initializer, Optimizer, DataSet, Loss, Schedule, Clipping, Regularizer, Averaging]
KINDS = [
    pytest.param(kind, id=f"{family.__name__}-{name}") for family in FAMILIES for name, kind in family.registry.items()
]
PARTS = [*KINDS, pytest.param(Training, id="Training")]
PLAIN = ("integer", "number", "boolean", "choice", "text")


def sentence(row: Any) -> str:
    """What the row complains about, as far as a person would see it."""
    return "" if row.sentence.isHidden() else str(row.sentence.text())


def another(field: Field, value: Any) -> Any:
    """An allowed value other than `value`."""
    if field.sort == "boolean":
        return not value
    if field.sort == "choice":
        return next(name for name in field.choice_names() if name != value)
    if field.sort == "text":
        return f"{value}x"
    low = field.minimum if field.minimum is not None else field.above
    high = field.maximum if field.maximum is not None else field.below
    low = low if low is not None else -1.0
    high = high if high is not None else low + 2.0
    if field.sort == "integer":
        return int(low) + 1 if value != int(low) + 1 else int(low) + 2
    middle = (low + high) / 2
    return middle if middle != value else (low + middle) / 2


def enter(editor: QWidget, value: Any) -> None:
    """Do what a person does to set an editor."""
    if isinstance(editor, NumberBox):
        editor.lineEdit().setText(number_text(value))
        editor.editingFinished.emit()
    elif isinstance(editor, Choice):
        index = editor.findData(value)
        editor.setCurrentIndex(index)
        editor.activated.emit(index)
    elif isinstance(editor, QCheckBox):
        editor.click()
    else:
        assert isinstance(editor, QLineEdit)
        editor.setText(value)
        editor.editingFinished.emit()


def shown(editor: QWidget) -> Any:
    """What an editor shows."""
    if isinstance(editor, NumberBox):
        return editor.value
    if isinstance(editor, Choice):
        return editor.name
    if isinstance(editor, QCheckBox):
        return editor.isChecked()
    assert isinstance(editor, QLineEdit)
    return editor.text()


@pytest.mark.parametrize("kind", PARTS)
def test_a_form_shows_every_field_with_its_value(qtbot: QtBot, kind: type[Described]) -> None:
    value = fresh(kind)
    form = Form(value)
    qtbot.addWidget(form)
    wanted = [field.name for field in describe(kind) if is_shown(field)]
    assert list(form.editors) == wanted
    for field in describe(kind):
        if field.sort in PLAIN:
            assert shown(form.editors[field.name].editor) == getattr(value, field.name)


@pytest.mark.parametrize("kind", PARTS)
def test_a_change_in_the_form_is_one_signal_and_a_change_from_outside_is_none(
    qtbot: QtBot, kind: type[Described]
) -> None:
    value = fresh(kind)
    form = Form(value)
    qtbot.addWidget(form)
    heard: list[tuple[str, Any, str]] = []
    form.changed.connect(lambda *news: heard.append(news))
    for field in describe(kind):
        if field.sort not in PLAIN:
            continue
        old = getattr(value, field.name)
        try:
            new = another(field, old)
        except StopIteration:
            continue  # there is only one choice
        heard.clear()
        enter(form.editors[field.name].editor, new)
        assert [(path, setting) for path, setting, _merge in heard] == [(field.name, new)]
        changed = build(kind, {**msgspec.to_builtins(value), field.name: heard[0][1]})
        form.show_value(changed)
        form.show_value(value)  # undo
        assert shown(form.editors[field.name].editor) == old
        assert len(heard) == 1, "showing a value must not report it as an edit"


@pytest.mark.parametrize("kind", PARTS)
def test_a_number_outside_its_limits_stays_as_typed_and_is_explained(qtbot: QtBot, kind: type[Described]) -> None:
    value = fresh(kind)
    form = Form(value)
    qtbot.addWidget(form)
    heard: list[Any] = []
    form.changed.connect(lambda *news: heard.append(news))
    for field in describe(kind):
        if field.sort not in ("integer", "number"):
            continue
        row = form.editors[field.name]
        too_much = [f"{limit + 1:.17g}" for limit in (field.maximum, field.below) if limit is not None]
        too_little = [f"{limit - 1:.17g}" for limit in (field.minimum, field.above) if limit is not None]
        nothing = [] if field.optional else [""]  # where nothing need be set, nothing may stand
        for text in [*too_much, *too_little, "many", *nothing, "nan", "1e999"]:
            row.editor.lineEdit().setText(text)
            row.editor.editingFinished.emit()
            assert row.editor.lineEdit().text() == text
            assert "must be" in sentence(row).lower(), f"{field.name} = {text!r}"
        assert heard == []
        usual = getattr(value, field.name)
        row.editor.lineEdit().setText(number_text(usual) if usual is not None else "")
        row.editor.editingFinished.emit()
        assert sentence(row) == ""


@pytest.mark.parametrize("kind", PARTS)
def test_every_editor_can_be_reached_and_named_without_a_mouse(qtbot: QtBot, kind: type[Described]) -> None:
    form = Form(fresh(kind))
    qtbot.addWidget(form)
    buddies = {label.buddy() for label in form.findChildren(QLabel) if label.buddy() is not None}
    for field in describe(kind):
        if field.sort in PLAIN:
            editor = form.editors[field.name].editor
            assert editor.accessibleName()
            assert editor.focusPolicy() & Qt.FocusPolicy.TabFocus
            assert editor in buddies
            assert editor.toolTip() == field_tip(field)
            assert editor.toolTip().startswith(field.help)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_can_be_chosen_and_keeps_the_settings_it_shares(qtbot: QtBot, kind: type[Kind]) -> None:
    value = changed_kind(kind, None)
    assert isinstance(value, kind)
    assert changed_kind(kind, value) == value
    assert build(kind, msgspec.to_builtins(value)) == value


def test_another_optimizer_is_chosen_with_its_own_fields_below(qtbot: QtBot) -> None:
    experiment = Experiment()
    form = Form(experiment.training)
    qtbot.addWidget(form)
    heard: list[tuple[str, Any, str]] = []
    form.changed.connect(lambda *news: heard.append(news))
    optimizer = form.editors["optimizer"]
    assert isinstance(optimizer, KindForm)
    enter(optimizer.choice, "momentum")
    path, value, _merge = heard[0]
    changed = with_value(experiment, f"training.{path}", value)
    form.show_value(changed.training)
    assert optimizer.form is not None
    assert set(optimizer.form.editors) == {"learning_rate", "momentum"}
    heard.clear()
    enter(optimizer.form.editors["momentum"].editor, 0.5)
    assert heard[0][:2] == ("optimizer.momentum", 0.5)
    form.show_value(experiment.training)
    assert optimizer.choice.name == "sgd"
    assert set(optimizer.form.editors) == {"learning_rate"}


def test_a_field_is_shown_only_when_it_matters(qtbot: QtBot) -> None:
    kind = Layer.registry["activation"]
    form = Form(fresh(kind, settings={"function": "relu"}))
    qtbot.addWidget(form)
    assert form.editors["slope"].isHidden()
    form.show_value(fresh(kind, settings={"function": "leaky_relu"}))
    assert not form.editors["slope"].isHidden()
    assert form.editors["alpha"].isHidden()


def test_the_form_says_what_the_experiment_refused(qtbot: QtBot) -> None:
    form = Form(Experiment().training)
    qtbot.addWidget(form)
    assert form.explain("optimizer.learning_rate", "is too brave")
    optimizer = form.editors["optimizer"]
    assert optimizer.form is not None
    assert sentence(optimizer.form.editors["learning_rate"]) == "Is too brave"
    assert not form.explain("no_such", "x")


def test_what_somebody_is_typing_survives_changes_elsewhere(qtbot: QtBot) -> None:
    training = Experiment().training
    form = Form(training)
    qtbot.addWidget(form)
    box = form.editors["epochs"].editor
    box.lineEdit().setText("12")
    box.lineEdit().setCursorPosition(1)
    form.show_value(msgspec.structs.replace(training, batch_size=7))
    assert box.lineEdit().text() == "12"
    assert box.lineEdit().cursorPosition() == 1
    assert form.editors["batch_size"].editor.value == 7


def test_an_unusable_number_stays_until_it_is_mended(qtbot: QtBot) -> None:
    training = Experiment().training
    form = Form(training)
    qtbot.addWidget(form)
    row = form.editors["epochs"]
    row.editor.lineEdit().setText("0")
    row.editor.editingFinished.emit()
    form.show_value(msgspec.structs.replace(training, batch_size=7))
    assert row.editor.lineEdit().text() == "0"
    assert sentence(row) == "Must be a whole number from 1 to 1000000, not 0"


def test_the_wheel_scrolls_and_never_changes_a_setting(qtbot: QtBot) -> None:
    form = Form(Experiment().training)
    qtbot.addWidget(form)
    for name in ("batch_size", "precision"):
        editor = form.editors[name].editor
        before = shown(editor)
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(0, 120),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(editor, event)
        assert shown(editor) == before
        assert not event.isAccepted()


def test_steps_in_a_row_share_a_key_and_typed_numbers_have_none(qtbot: QtBot) -> None:
    form = Form(Experiment().training)
    qtbot.addWidget(form)
    heard: list[tuple[str, Any, str]] = []
    form.changed.connect(lambda *news: heard.append(news))
    box = form.editors["batch_size"].editor
    box.stepBy(1)
    box.stepBy(1)
    box.lineEdit().setText("100")
    box.editingFinished.emit()
    box.stepBy(-1)
    assert [value for _path, value, _merge in heard] == [64, 128, 100, 50]
    first, second, typed, later = (merge for _path, _value, merge in heard)
    assert first == second != ""
    assert typed == ""
    assert later not in ("", first)


@pytest.mark.parametrize(
    ("text", "whole", "number"),
    [
        ("0.1", False, 0.1),
        ("0,1", False, 0.1),
        ("1e-4", False, 1e-4),
        (" 1E-4 ", False, 1e-4),
        ("\u22123", False, -3.0),
        ("64", True, 64),
        ("1e3", True, 1000),
        ("10,000", True, 10000),
        ("10.000", True, 10000),
        ("10 000", True, 10000),
        ("3.0", True, 3),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, whole: bool, number: float) -> None:
    found = parse_number(text, whole)
    assert found == number
    assert isinstance(found, int) == whole


@pytest.mark.parametrize(("text", "whole"), [("", False), ("x", False), ("1e", False), ("inf", False), ("2.5", True)])
def test_what_is_no_number_is_refused(text: str, whole: bool) -> None:
    with pytest.raises(ValueError, match=".*"):
        parse_number(text, whole)


def test_the_steps_of_a_setting_are_sensible() -> None:
    fields = {field.name: field for field in describe(Training)}
    rate = {field.name: field for field in describe(Optimizer.registry["sgd"])}["learning_rate"]
    assert stepped(32, 1, fields["batch_size"]) == 64
    assert stepped(20, 1, fields["epochs"]) == 50
    assert stepped(1, -1, fields["epochs"]) == 1
    assert stepped(0.1, 1, rate) == 0.2
    assert stepped(0.1, -1, rate) == 0.05
    assert stepped(1e-3, -2, rate) == 2e-4
    momentum = {field.name: field for field in describe(Optimizer.registry["momentum"])}["momentum"]
    assert stepped(0.9, 1, momentum) == 0.95
    assert stepped(0.95, 1, momentum) == 0.95, "a step must not reach an open limit"


# --- lists of kinds: no family has members on the first day, so the test brings its own


class Spice(Kind, frozen=True, kw_only=True):
    """Something for a soup."""

    registry: ClassVar[Registry[Any]] = Registry("spice")


@Spice.registry.add("salt")
class Salt(Spice, frozen=True, kw_only=True, tag="salt"):
    """Sodium chloride."""

    label: ClassVar[str] = "Salt"
    grams: Annotated[float, about("grams", "How much.", minimum=0.0, maximum=9.0, unit="g")] = 1.0


@Spice.registry.add("pepper")
class Pepper(Spice, frozen=True, kw_only=True, tag="pepper"):
    """Black."""

    label: ClassVar[str] = "Pepper"
    corns: Annotated[int, about("corns", "How many.", minimum=1, maximum=5)]


class Pot(Described, frozen=True, kw_only=True):
    liters: Annotated[float, about("liters", above=0.0)] = 1.0


class Soup(Described, frozen=True, kw_only=True):
    spices: Annotated[tuple[Spice, ...], about("spices")] = ()
    layers: Annotated[tuple[tuple[Spice, ...], ...], about("layers")] = ()
    best: Annotated[Spice | None, about("best")] = None
    pot: Annotated[Pot, about("pot")] = Pot()
    note: Annotated[str, about("note", length=(0, 20))] = ""


def kitchen(qtbot: QtBot, soup: Soup) -> tuple[Form, list[tuple[str, Any]]]:
    """A form that applies its own changes, and what it has said."""
    form = Form(soup)
    qtbot.addWidget(form)
    heard: list[tuple[str, Any]] = []

    def apply(path: str, value: Any, merge: str) -> None:
        heard.append((path, value))
        plain = msgspec.json.decode(msgspec.json.encode(form.value))
        here: Any = plain
        *way, last = path.split(".")
        for step in way:
            here = here[int(step)] if isinstance(here, list) else here[step]
        if isinstance(here, list):
            here[int(last)] = value
        else:
            here[last] = value
        form.show_value(build(Soup, plain))

    form.changed.connect(apply)
    return form, heard


def test_a_list_of_kinds_can_grow_change_and_shrink(qtbot: QtBot) -> None:
    form, heard = kitchen(qtbot, Soup())
    spices = form.editors["spices"]
    assert isinstance(spices, ListForm)
    for action in spices.add.menu().actions():
        action.trigger()
    assert form.value.spices == (Salt(), Pepper(corns=3))
    assert [item.choice.name for item in spices.items] == ["salt", "pepper"]
    enter(spices.items[0].form.editors["grams"].editor, 2.5)
    assert heard[-1] == ("spices.0.grams", 2.5)
    enter(spices.items[0].choice, "pepper")
    assert [type(spice) for spice in form.value.spices] == [Pepper, Pepper]
    assert form.explain("spices.1.corns", "no")
    spices._remove(spices.items[0])
    assert form.value.spices == (Pepper(corns=3),)
    assert len(spices.items) == 1


def test_lists_of_lists_and_parts_have_forms_too(qtbot: QtBot) -> None:
    form, heard = kitchen(qtbot, Soup(layers=((Salt(),), (Pepper(corns=2), Salt()))))
    layers, pot = form.editors["layers"], form.editors["pot"]
    assert isinstance(layers, ListsForm)
    assert isinstance(pot, StructForm)
    assert [len(branch.items) for branch in layers.lists] == [1, 2]
    enter(pot.form.editors["liters"].editor, 2.0)
    assert heard[-1] == ("pot.liters", 2.0)
    enter(form.editors["note"].editor, "hot")
    assert heard[-1] == ("note", "hot")
    assert form.value == Soup(layers=((Salt(),), (Pepper(corns=2), Salt())), pot=Pot(liters=2.0), note="hot")


def test_an_optional_kind_can_be_none(qtbot: QtBot) -> None:
    form, heard = kitchen(qtbot, Soup())
    best = form.editors["best"]
    assert isinstance(best, OptionalForm)
    assert not best.switch.isChecked()
    best.switch.click()
    assert form.value.best == Salt(), "the first kind is the usual one"
    enter(best.choice, "pepper")
    enter(best.form.editors["corns"].editor, 5)
    best.switch.click()
    assert heard[-1] == ("best", None)
    assert not best.switch.isChecked()
    assert best.form.isHidden()
    best.switch.click()
    assert form.value.best == Pepper(corns=5), "on again, it has the settings that it had"


def test_the_unit_stands_beside_the_number(qtbot: QtBot) -> None:
    form = Form(Salt())
    qtbot.addWidget(form)
    row = form.editors["grams"]
    assert isinstance(row, FieldRow)
    assert "g" in [label.text() for label in row.findChildren(QLabel)]
    assert row.editor.accessibleName() == "Grams (g)"


def test_a_family_of_which_nothing_is_known_is_not_offered(qtbot: QtBot) -> None:
    class Nothing(Kind, frozen=True, kw_only=True):
        """Nothing yet."""

        registry: ClassVar[Registry[Any]] = Registry("nothing")

    field = msgspec.structs.replace(describe(Soup)[2], holds=Nothing)
    assert not is_shown(field)


def test_build_and_form_agree_on_what_is_allowed() -> None:
    with pytest.raises(InputError, match="from 0 to 9"):
        build(Spice, {"kind": "salt", "grams": 10})
