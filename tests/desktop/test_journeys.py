"""What people do with the window, from beginning to end: a lecture, and a lab. (The third, a figure with no window, is
a test of the command line.)
"""

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog

from layerscope.core.experiment import load, to_json
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.dense import Dense
from layerscope.desktop import documents as documents_module
from layerscope.desktop.app import make_window
from layerscope.desktop.dialogs.export import ExportDialog

TIMEOUT = 60_000


@pytest.fixture
def window(qtbot, qapp):
    made = make_window(qapp)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.session.exact, timeout=TIMEOUT)
    made.activateWindow()
    yield made
    assert made.session.close()
    made.session.deleteLater()


def settled(session):
    return not session.playing and not session.catching_up and session.exact


def test_lecture(qtbot, window, monkeypatch):
    session = window.session
    # Space plays, and the gradients of the early layers are far below those of the last
    qtbot.keyClick(window, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: session.position > 60, timeout=TIMEOUT)
    norms = session.scene.lanes[0].view.at("gradient.norm", session.scene.step)[1:24:2]
    assert norms[0] < 1e-5 * norms[-1]
    # one click puts the cure beside it, from the same draws, up to the same step
    next(chip for chip in window.lanes._chips if chip not in (*window.lanes.chips, *window.lanes.findings)).click()
    qtbot.waitUntil(lambda: len(session.scene.lanes) == 2 and not session.catching_up, timeout=TIMEOUT)
    qtbot.waitUntil(lambda: session.position > 120 or not session.playing, timeout=TIMEOUT)
    session.pause()
    qtbot.waitUntil(lambda: settled(session), timeout=TIMEOUT)
    views = [lane.view for lane in session.scene.lanes]
    assert len(views[0].kept_steps) == len(views[1].kept_steps) == session.position
    assert views[1].at("loss", session.position) < views[0].at("loss", session.position)
    # the timeline goes back through everything
    session.scrub(3)
    assert {lane.view.at("loss", 3) for lane in session.scene.lanes}
    # Ctrl+E offers the figures as they are shown
    offered = []
    monkeypatch.setattr(ExportDialog, "exec", lambda dialog: offered.append(len(dialog._figures)) or dialog.close())
    qtbot.keyClick(window, Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    assert offered == [4]
    qtbot.waitUntil(lambda: settled(session), timeout=TIMEOUT)


def test_lab(qtbot, window, tmp_path, monkeypatch):
    session = window.session
    window.actions_["new"].trigger()
    assert session.lanes[0].experiment.network == ()
    assert "no layers yet" in session.blocked
    session.add_layer(0, Dense(units=16))
    session.add_layer(1, ActivationLayer(function="tanh"))
    assert "10" in session.blocked
    session.add_layer(2, Dense(units=10))
    assert session.blocked == ""
    cards = session.plan(0).cards
    assert [(card.shape, card.parameter_count) for card in cards] == [((16,), 1040), ((16,), 0), ((10,), 170)]
    qtbot.waitUntil(lambda: settled(session) and session.scene is not None, timeout=TIMEOUT)
    # one training step, operation by operation, and back again
    before = session.scene.lanes[0].view.line.tobytes()
    walked = []
    while session.position == 0:
        done = session.wire.done if session.wire else 0
        qtbot.keyClick(window, Qt.Key.Key_Period)
        qtbot.waitUntil(lambda done=done: session.wire is not None and session.wire.done == done + 1, timeout=TIMEOUT)
        walked.append((session.wire.operation.path, session.wire.operation.phase))
        assert np.isfinite(session.wire.values).all()
        assert window.transport._operation.text()
    assert walked[:4] == [("data", "data"), ("0", "forward"), ("1", "forward"), ("2", "forward")]
    for _turn in walked:
        qtbot.keyClick(window, Qt.Key.Key_Comma)
    qtbot.waitUntil(lambda: settled(session) and session.position == 0 and session.wire is None, timeout=TIMEOUT)
    assert session.scene.lanes[0].view.line.tobytes() == before
    # a change is undone, the experiment is handed in
    built = to_json(session.lanes[0].experiment)
    session.set_value("network.0.units", 3)
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert to_json(session.lanes[0].experiment) == built
    target = tmp_path / "lab.json"
    monkeypatch.setattr(documents_module.QFileDialog, "getSaveFileName", lambda *_a: (str(target), ""))
    qtbot.keyClick(window, Qt.Key.Key_S, Qt.KeyboardModifier.ControlModifier)
    assert to_json(load(target)) == built
    assert not window.isWindowModified()
    qtbot.waitUntil(lambda: settled(session), timeout=TIMEOUT)


def test_space_presses_a_button_only_for_who_walks_with_tab(qtbot, window):
    session = window.session
    button = window.header.lessons
    button.setFocus(Qt.FocusReason.MouseFocusReason)
    qtbot.keyClick(button, Qt.Key.Key_Space)
    assert session.playing
    session.pause()
    chip = window.lanes.chips[0]
    pressed = []
    chip.clicked.connect(lambda: pressed.append(1))
    chip.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(chip, Qt.Key.Key_Space)
    assert pressed
    assert not session.playing
    qtbot.waitUntil(lambda: settled(session), timeout=TIMEOUT)


def test_dialogs_open_and_close(qtbot, window, monkeypatch):
    monkeypatch.setattr(QDialog, "exec", lambda dialog: (dialog.show(), dialog.close()))
    window.actions_["about"].trigger()
    window.actions_["shortcuts"].trigger()
