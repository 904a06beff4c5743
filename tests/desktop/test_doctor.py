"""The doctor in the window: what it finds is seen, tried in a lane of its own, judged by thresholds that can be set."""

from dataclasses import replace

import pytest
from experiments import act, dense, experiment
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QHBoxLayout, QWidget

from layerscope.core.diagnostics.doctor import Diagnosis, Examination
from layerscope.core.diagnostics.proposal import Proposal
from layerscope.core.diagnostics.rules.base import Evidence, Finding, all_rules
from layerscope.core.figures.doctor import build as build_figure
from layerscope.core.figures.figure import Lane
from layerscope.core.figures.reading import thresholds
from layerscope.desktop.app import make_window
from layerscope.desktop.dialogs.thresholds import ThresholdsDialog
from layerscope.desktop.thresholds import from_text, to_text, with_rule, with_threshold
from layerscope.desktop.trials import Steady, Trial, verdict
from layerscope.desktop.try_button import TryButton

TIMEOUT = 60_000


@pytest.fixture
def window(qtbot, qapp):
    made = make_window(qapp)
    qtbot.addWidget(made)
    made.resize(1440, 900)
    made.show()
    qtbot.waitUntil(lambda: made.session.exact, timeout=TIMEOUT)
    yield made
    assert made.session.close()
    made.session.deleteLater()


def shown(window):
    """The doctor's panel, opened with the chip of lane A."""
    QTest.mouseClick(window.lanes.findings[0], Qt.MouseButton.LeftButton)
    panel = next(panel for panel in window.panels.panels if panel.name == "doctor")
    assert panel.isVisible()
    return panel


def settled(session):
    return not session.playing and not session.catching_up and session.exact


def rule(name):
    return next(one for one in all_rules() if one.kind_name() == name)


def test_a_proposal_is_tried_and_proved(qtbot, window):
    session = window.session
    chip = window.lanes.findings[0]
    assert (chip.state, chip.text()) == ("alarm", "Vanishing gradients")
    panel = shown(window)
    view = panel.sections[0].views["vanishing"]
    assert view.headline.text().startswith("Gradients vanish")
    assert view.unfolded
    QTest.mouseClick(view.rows[0].button, Qt.MouseButton.LeftButton)
    assert len(session.lanes) == 2
    assert session.playing
    qtbot.waitUntil(lambda: session.position >= 30, timeout=TIMEOUT)
    session.pause()
    qtbot.waitUntil(lambda: settled(session) and len(session.scene.lanes) == 2, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: "gone at step" in view.rows[0].said.text(), timeout=TIMEOUT)
    assert view.rows[0].said.text().startswith("✓ lane B (ReLU with He weights)")
    assert not view.rows[0].button.isEnabled()
    a, b = (lane.examination for lane in session.scene.lanes)
    assert a.found("vanishing")
    assert not b.found("vanishing")
    assert a.diagnosis.step == b.diagnosis.step == session.position
    session.undo_stack.undo()
    assert len(session.lanes) == 1
    qtbot.waitUntil(lambda: settled(session) and not view.rows[0].said.text(), timeout=TIMEOUT)


def test_where_there_are_four_lanes_it_is_said_which_to_remove(window):
    session = window.session
    panel = shown(window)
    for _lane in range(3):
        session.add_lane()
    row = panel.sections[0].views["vanishing"].rows[0]
    row.button.click()
    assert len(session.lanes) == 4
    assert "Remove lane D first" in row.said.text()


def test_layers_and_steps_lead_there(qtbot, window):
    session = window.session
    session.forward("epoch")
    qtbot.waitUntil(lambda: session.position == 23 and settled(session), timeout=TIMEOUT)
    view = shown(window).sections[0].views["vanishing"]
    view.layers.click()
    assert session.selected_card == view.finding.layers[0]
    view.steps.click()
    assert session.position == view.finding.first_step == 0
    qtbot.waitUntil(lambda: settled(session), timeout=TIMEOUT)


def test_cards_of_layers_that_something_was_found_in_are_marked(window):
    finding = window.session.scene.lanes[0].examination.found("vanishing")
    marked = [card.content.card for card in window.network.cards if not card.mark.isHidden()]
    assert marked == list(finding.layers)
    assert finding.headline in next(c for c in window.network.cards if not c.mark.isHidden()).mark.toolTip()


def test_a_threshold_counts_at_once_and_is_remembered(qtbot, window):
    session = window.session
    panel = shown(window)
    panel.show_thresholds("vanishing")
    dialog = window.findChild(ThresholdsDialog)
    assert [group.rule.kind_name() for group in dialog.groups if not group.isHidden()] == ["vanishing"]
    group = next(group for group in dialog.groups if group.rule.kind_name() == "vanishing")
    group.form.changed.emit("active", False, "")
    assert not session.scene.rules[session.rules.index(group.rule)].active
    assert build_figure(session.scene, panel.options).subtitle.split()[1] == "rules,"
    qtbot.waitUntil(lambda: window.lanes.findings[0].state == "good", timeout=TIMEOUT)
    qtbot.waitUntil(lambda: not panel.sections[0].views, timeout=TIMEOUT)
    assert from_text(window.settings.thresholds) == session.rules
    dialog.reset.click()
    assert session.rules == all_rules()
    assert window.settings.thresholds == ""
    qtbot.waitUntil(lambda: window.lanes.findings[0].state == "alarm", timeout=TIMEOUT)
    dialog.reject()


def test_what_is_not_allowed_changes_nothing(window):
    dialog = ThresholdsDialog(window.session, window, "vanishing")
    group = next(group for group in dialog.groups if group.rule.kind_name() == "vanishing")
    group.form.changed.emit("warn", 7.0, "")
    assert window.session.rules == all_rules()
    dialog.reject()


def test_thresholds_as_text_keep_what_differs_and_survive_damage():
    other = with_threshold(rule("vanishing"), "warn", 0.5)
    rules = with_rule(all_rules(), other)
    assert from_text(to_text(rules)) == rules
    assert to_text(all_rules()) == ""
    for damaged in ("{", "[]", '{"vanishing": 3, "none": {}}', '{"vanishing": {"warn": "a", "x": 1}}'):
        assert from_text(damaged) == all_rules()


def said(step, *names, number=2.0):
    found = tuple(Finding(name, "warning", name, "", (Evidence("", number, 1.0),)) for name in names)
    return Examination(Diagnosis(found, step), (), (("dead", Evidence("", 0.5, 1.0)),))


def test_findings_must_be_said_twice_while_training_goes_on():
    steady = Steady()
    first = said(1, "dead")
    assert steady.take(0, first, True) is first
    flicker, again = said(2), said(3, "dead")
    assert steady.take(0, flicker, True) is first
    assert steady.take(0, flicker, True) is first  # the same frame seen twice says nothing new
    assert steady.take(0, again, True) is again
    gone, still_gone = said(4), said(5)
    assert steady.take(0, gone, True) is again
    assert steady.take(0, still_gone, True) is still_gone
    stop = said(6, "dead")
    assert steady.take(0, stop, False) is stop


def test_a_verdict_waits_until_the_lane_is_there_and_says_what_is_new():
    setup = experiment(dense(8), act("relu"), dense(10))
    trial = Trial("dead", "Leaky ReLU", setup, setup, None, 5)
    lane = Lane("B", "", None, None)

    def judged(examination, source=None):
        return verdict(trial, "B", replace(lane, examination=examination), source)

    assert verdict(trial, "B", None).state == "follows"
    assert judged(said(4)).state == "follows"
    assert judged(said(5)).text == "lane B (Leaky ReLU): gone at step 5: 0.5"
    assert judged(said(5, "dead")).text == "lane B (Leaky ReLU): still there at step 5: 2"
    assert "but new: " in judged(said(9, "chance"), said(9, "dead")).text
    assert "but new: " not in judged(said(9, "chance"), said(9, "dead", "chance")).text


def test_a_proposal_that_does_not_fit_says_why(window):
    lanes = window.session.lanes
    assert window.session.try_proposal(Proposal("x", (("network.99.units", 3),)), "dead")
    assert window.session.lanes == lanes


def test_charts_draw_the_thresholds_of_the_scene(window):
    session = window.session
    before = thresholds(session.scene, "activation.saturated_fraction")
    assert before
    others = tuple(with_threshold(one, "active", False) for one in session.rules)
    session.set_rules(others)
    assert thresholds(session.scene, "activation.saturated_fraction") == ()


def test_a_long_proposal_leaves_room_for_what_stands_beside_it(qtbot):
    row = QWidget()
    qtbot.addWidget(row)
    layout = QHBoxLayout(row)
    button = TryButton(Proposal("put a batch norm behind every layer with weights " * 4, ()), whole=True)
    layout.addWidget(button)
    assert button.sizeHint().width() > 900
    assert row.minimumSizeHint().width() < 200
    assert button.accessibleName().endswith("weights ")  # who cannot see it hears all of it
