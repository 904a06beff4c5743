"""The window as a person uses it: keys, clicks, files, what it remembers, and what it says when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication, QLineEdit

from layerscope.core.experiment import load, to_json, with_value
from layerscope.core.lessons import LESSONS
from layerscope.desktop import documents as documents_module
from layerscope.desktop import places
from layerscope.desktop.app import make_window
from layerscope.desktop.cures import cures

TIMEOUT = 30_000


@pytest.fixture
def open_window(qtbot, qapp):
    """A function that opens a window as the program does; what it opens is closed again."""
    opened = []

    def make(path=None, show=True):
        window = make_window(qapp, path)
        qtbot.addWidget(window)
        opened.append(window)
        if show:
            window.show()
            qtbot.waitExposed(window)
        return window

    yield make
    for window in opened:
        assert window.session.close()
        window.session.deleteLater()


@pytest.fixture
def window(qtbot, open_window, small_file):
    """A window with the small experiment, ready to train."""
    made = open_window(str(small_file))
    qtbot.waitUntil(lambda: made.session.exact, timeout=TIMEOUT)
    made.activateWindow()
    return made


@pytest.fixture
def small_file(tmp_path, small_experiment):
    path = tmp_path / "small.json"
    path.write_bytes(to_json(small_experiment))
    return path


def settled(window):
    session = window.session
    return not session.playing and not session.catching_up and session.exact


# --- the start


def test_the_first_start_opens_the_first_lesson_with_its_cure_on_offer(qtbot, open_window):
    window = open_window()
    session = window.session
    assert session.lanes[0].experiment == LESSONS["vanishing-gradients"].lanes[0]
    assert not session.modified
    qtbot.waitUntil(lambda: session.exact, timeout=TIMEOUT)
    offers = [chip for chip in window.lanes._chips if chip not in (*window.lanes.chips, *window.lanes.findings)]
    assert [offer.text() for offer in offers] == ["+ Xavier normal → He normal · Sigmoid → ReLU"]
    offers[0].click()
    assert [chip.text() for chip in window.lanes.chips] == [
        "A as built",
        "B Xavier normal → He normal · Sigmoid → ReLU",
    ]
    assert [chip for chip in window.lanes._chips if chip not in (*window.lanes.chips, *window.lanes.findings)] == []
    assert "same minibatches" in window.lanes._shared.text()


def test_the_first_paint_waits_for_no_compiler(tmp_path):
    script = (
        "import sys\n"
        "from PySide6.QtWidgets import QApplication\n"
        "app = QApplication(['layerscope'])\n"
        "from layerscope.desktop.app import make_window\n"
        "window = make_window(app)\n"
        "late = ('numba', 'llvmlite', 'matplotlib', 'scipy')\n"
        "window.session.start = lambda: (print([n for n in late if n in sys.modules]), app.quit())\n"
        "window.show()\n"
        "app.exec()\n"
    )
    environment = {**__import__("os").environ, "LAYERSCOPE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_first_compilation_shows_how_far_it_is(qtbot, open_window, small_file, monkeypatch):
    from layerscope.core import lineage

    real = lineage.Run

    def slow(experiment, data=None, **named):
        for done in range(5):
            named["progress"](done, 5)
            qtbot_wait()
        return real(experiment, data, **named)

    def qtbot_wait():
        import time

        time.sleep(0.08)

    monkeypatch.setattr(lineage, "Run", slow)
    window = open_window(str(small_file))
    seen = []
    window.session.state_changed.connect(lambda: seen.append(window.transport._status.text()))
    qtbot.waitUntil(lambda: window.session.exact, timeout=TIMEOUT)
    assert any("3 of 5" in text for text in seen)
    assert "5" not in (window.session.progress or "")


# --- keys and clicks


def test_space_plays_and_pauses(qtbot, window):
    window.session.set_value("training.epochs", 100_000)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    assert window.session.playing
    assert window.actions_["play"].text() == "&Pause"
    qtbot.waitUntil(lambda: window.session.position > 3, timeout=TIMEOUT)
    qtbot.keyClick(window, Qt.Key.Key_Space)
    assert not window.session.playing
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


def test_arrows_and_points_walk_through_time(qtbot, window):
    session = window.session

    def press(key, modifier, position, done=None):
        qtbot.keyClick(window, key, modifier)
        qtbot.waitUntil(lambda: settled(window) and session.position == position, timeout=TIMEOUT)
        assert (session.wire.done if session.wire else None) == done

    none, shift, control = (
        Qt.KeyboardModifier.NoModifier,
        Qt.KeyboardModifier.ShiftModifier,
        Qt.KeyboardModifier.ControlModifier,
    )
    press(Qt.Key.Key_Right, none, 1)
    press(Qt.Key.Key_Right, control, 23)
    press(Qt.Key.Key_Left, none, 22)
    press(Qt.Key.Key_Period, none, 22, 1)
    press(Qt.Key.Key_Right, shift, 22, 2)
    press(Qt.Key.Key_Comma, none, 22, 1)
    press(Qt.Key.Key_Left, control, 0)
    press(Qt.Key.Key_End, none, 23)
    press(Qt.Key.Key_Home, none, 0)


def test_while_a_name_is_typed_keys_are_letters(qtbot, window):
    window.header.title.setFocus()
    window.header.title.end(False)
    qtbot.keyClicks(window.header.title, " x")
    assert not window.session.playing
    assert window.header.title.text() == "Small x"
    qtbot.keyClick(window.header.title, Qt.Key.Key_Return)
    assert window.session.lanes[0].experiment.name == "Small x"
    assert window.isWindowModified()
    qtbot.keyClick(window, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert window.session.lanes[0].experiment.name == "Small"
    assert window.header.title.text() == "Small"
    assert not window.isWindowModified()


def test_at_the_start_the_keyboard_belongs_to_the_transport(window):
    assert not isinstance(QApplication.focusWidget(), QLineEdit)


def test_the_timeline_scrubs_with_the_mouse(qtbot, window):
    session, timeline = window.session, window.transport.timeline
    session.forward("epoch")
    qtbot.waitUntil(lambda: settled(window) and session.position == 23, timeout=TIMEOUT)
    qtbot.mousePress(timeline, Qt.MouseButton.LeftButton, pos=QPoint(round(timeline._x(9)), 11))
    assert session.position == 9
    assert session.scene.step == 9
    qtbot.mouseRelease(timeline, Qt.MouseButton.LeftButton, pos=QPoint(round(timeline._x(9)), 11))
    # beyond what is recorded there is nothing to see
    qtbot.mousePress(timeline, Qt.MouseButton.LeftButton, pos=QPoint(timeline.width() - 1, 11))
    assert session.position == 23
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


def test_transport_says_where_training_stands(qtbot, window):
    session = window.session
    session.forward("epoch")
    qtbot.waitUntil(lambda: settled(window) and session.position == 23, timeout=TIMEOUT)
    text = window.transport.status()
    assert text.startswith("23 of 115 steps · epoch 1 · loss ")
    session.forward("operation")
    session.forward("operation")
    session.forward("operation")
    qtbot.waitUntil(lambda: session.wire is not None and session.wire.done == 3, timeout=TIMEOUT)
    said = window.transport._operation.text()
    assert said == f"operation 3 of {session.wire.total}: output of layer 1 Sigmoid"


def test_what_cannot_be_trained_is_not_offered(qtbot, window):
    session = window.session
    session.delete_layer(4)
    assert not window.actions_["play"].isEnabled()
    assert "end with a dense layer of 10 units" in window.transport._status.text()
    session.undo_stack.undo()
    assert window.actions_["play"].isEnabled()
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


def test_panels_say_why_there_is_nothing_to_show(qtbot, window):
    window.session.set_value("network", [])
    qtbot.waitUntil(lambda: bool(window.session.blocked), timeout=TIMEOUT)
    for panel in window.panels.panels:
        qtbot.waitUntil(lambda panel=panel: panel.figure.empty == window.session.blocked, timeout=TIMEOUT)


def test_chips_select_and_remove_lanes(qtbot, window):
    session = window.session
    session.add_lane(cures(session.lane.experiment)[1][1])
    first, second = window.lanes.chips
    assert second.selected
    qtbot.mouseClick(first, Qt.MouseButton.LeftButton, pos=QPoint(20, 10))
    assert session.selected_lane == 0
    window.lanes.chips[1].cross.click()
    assert len(session.lanes) == 1
    assert len(window.lanes.chips) == 1
    window.actions_["undo"].trigger()
    assert len(session.lanes) == 2
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


def test_the_lane_menu_offers_a_copy_and_cures_that_change_something(window, small_experiment):
    window.lanes._fill_menu()
    texts = [action.text() for action in window.lanes._menu.actions()]
    assert texts[0] == "&Copy of this lane"
    assert "He + ReLU" in texts
    assert "Xavier" not in texts  # it has that already
    assert all(other != small_experiment for _label, other in cures(small_experiment))


def test_cures_reach_layers_inside_blocks(small_experiment):
    block = {
        "kind": "residual",
        "body": [{"kind": "dense", "units": 8}, {"kind": "activation", "function": "tanh"}],
    }
    nested = with_value(
        small_experiment, "network", [{"kind": "dense", "units": 8}, block, {"kind": "dense", "units": 10}]
    )
    found = dict(cures(nested))["He + ReLU"]
    dense, bent = found.network[1].body
    assert (dense.init.kind_name(), bent.function) == ("he_normal", "relu")
    assert found.network[0].init.kind_name() == "he_normal"
    assert found.network[2] == nested.network[2]  # no function follows the last layer


def test_find_a_learning_rate_adds_a_lane_and_shows_its_figure(qtbot, window):
    panel = next(panel for panel in window.panels.panels if panel.name == "learning-rate-range")
    assert panel.isHidden()
    window.actions_["find_rate"].trigger()
    first, test = (lane.experiment for lane in window.session.lanes)
    assert (first.training.schedule.kind_name(), test.training.schedule.kind_name()) == ("constant", "range_test")
    assert not panel.isHidden()
    qtbot.waitUntil(lambda: bool(panel.figure.plots), timeout=TIMEOUT)
    window.session.pause()
    window.actions_["undo"].trigger()
    assert [lane.experiment for lane in window.session.lanes] == [first]
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


# --- files


def test_a_training_that_fails_offers_its_autopsy(qtbot, window):
    session = window.session
    session.set_value("training.optimizer.learning_rate", 1e6)
    for index in (1, 3):
        session.set_value(f"network.{index}.function", "relu")
    qtbot.waitUntil(lambda: session.exact, timeout=TIMEOUT)
    assert not window.diagnosis.isVisible()
    session.play()
    qtbot.waitUntil(window.diagnosis.isVisible, timeout=TIMEOUT)
    assert "learning rate" in window.diagnosis.text()
    panel = next(panel for panel in window.panels.panels if panel.name == "autopsy")
    assert not panel.isVisible()
    window.diagnosis.button.click()
    assert panel.isVisible()
    qtbot.waitUntil(lambda: panel.view.figure is not None and bool(panel.view.figure.words), timeout=TIMEOUT)
    assert any("Try:" in " ".join(words.pieces) for words in panel.view.figure.words)
    session.back("minibatch")
    qtbot.waitUntil(lambda: not window.diagnosis.isVisible(), timeout=TIMEOUT)


def test_save_writes_the_file_and_takes_the_star_away(qtbot, window, small_file):
    window.session.set_value("training.epochs", 9)
    assert window.isWindowModified()
    assert window.documents.save()
    assert not window.isWindowModified()
    assert load(small_file).training.epochs == 9
    assert str(small_file) in window.settings.recent


def test_a_lane_is_saved_in_a_file_of_its_own(qtbot, window, tmp_path, monkeypatch):
    window.session.add_lane(cures(window.session.lane.experiment)[0][1])
    target = tmp_path / "lane b"
    monkeypatch.setattr(documents_module.QFileDialog, "getSaveFileName", lambda *_a: (str(target), ""))
    assert window.documents.save_lane()
    assert load(tmp_path / "lane b.json") == window.session.lanes[1].experiment
    assert Path(window.session.file).name == "small.json"
    assert window.session.modified  # lane A's document is not what was saved


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"format": "other"}', b"[1]", b"\x00" * 100], ids=lambda c: repr(c)[:16]
)
def test_a_broken_file_costs_one_line_and_nothing_else(window, tmp_path, content):
    broken = tmp_path / "broken.json"
    broken.write_bytes(content)
    before = window.session.lanes, window.session.file
    assert not window.documents.open(str(broken))
    assert "broken.json" in window.message.text()
    assert window.message.isVisible()
    assert (window.session.lanes, window.session.file) == before


def test_a_file_can_be_dropped(qtbot, window, tmp_path, small_experiment):
    path = tmp_path / "dropped.json"
    path.write_bytes(to_json(msgspec.structs.replace(small_experiment, name="Dropped")))
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(path))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        content,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)
    qtbot.waitUntil(lambda: window.session.lanes[0].experiment.name == "Dropped", timeout=TIMEOUT)
    qtbot.waitUntil(lambda: settled(window), timeout=TIMEOUT)


@pytest.mark.parametrize(("answer", "closes"), [("cancel", False), ("discard", True), ("save", True)])
def test_unsaved_work_is_asked_about_once(qtbot, window, small_file, monkeypatch, answer, closes):
    asked = []
    monkeypatch.setattr(documents_module, "ask_about_unsaved", lambda *_a: asked.append(1) or answer)
    window.session.set_value("training.epochs", 8)
    assert window.close() is closes
    assert len(asked) == 1
    assert window.isVisible() is not closes
    assert load(small_file).training.epochs == (8 if answer == "save" else 5)


def test_saved_work_is_not_asked_about(window, monkeypatch):
    monkeypatch.setattr(documents_module, "ask_about_unsaved", lambda *_a: pytest.fail("asked"))
    window.session.play()
    assert window.close()
    assert not window.session.worker.isRunning()


# --- what comes back


def test_lanes_and_layout_come_back_after_a_restart(qtbot, open_window, window, small_file):
    window.session.add_lane(cures(window.session.lane.experiment)[1][1])
    window.session.undo_stack.setClean()
    lanes = window.session.lanes
    window.resize(1111, 640)
    window.session.set_speed(20.0)
    window.look.choose("dark")
    window.close()
    again = open_window()
    assert again.session.lanes == lanes
    assert again.session.file == str(small_file)
    assert again.height() == 640  # the test's screen is narrower than the window was
    assert again.session.speed == 20.0
    assert again.look.choice == "dark"
    again.look.choose("light")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01", b"{}", b'{"lanes": [{}]}', b'{"format":1,"file":"","modified":false,"lesson":"","lanes":[]}'],
)
def test_a_damaged_memory_is_a_first_start(qtbot, open_window, content):
    places.session_file().write_bytes(content)
    places.settings_file().write_bytes(content * 5)
    window = open_window()
    assert window.session.lanes[0].experiment.name == "Vanishing gradients"


def test_a_remembered_file_that_is_gone_leaves_unsaved_work(qtbot, open_window, window, small_file):
    window.close()
    small_file.unlink()
    state = json.loads(places.session_file().read_bytes())
    assert state["file"] == str(small_file)
    again = open_window()
    assert again.session.file == ""
    assert again.session.modified


# --- look


def test_both_looks_reach_every_part(qtbot, window):
    for choice, lightness in (("dark", range(0, 100)), ("light", range(156, 256))):
        window.look.choose(choice)
        image = window.grab().toImage()
        for part in (window.header, window.network, window.lanes, window.transport, *window.panels.panels):
            place = part.mapTo(window, QPoint(3, part.height() - 4))
            assert image.pixelColor(place).lightness() in lightness, (choice, part)


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_the_window_fits_usual_screens(qtbot, window, size):
    window.resize(*size)
    qtbot.waitUntil(lambda: (window.width(), window.height()) == size, timeout=TIMEOUT)
    for panel in window.panels.visible_panels():
        assert panel.width() >= 300
        assert panel.height() >= 150


def test_panels_can_be_hidden_and_the_layout_reset(window):
    panel = window.panels.panels[0]
    window.panels.toggle_actions()[0].trigger()
    assert panel.isHidden()
    window.actions_["reset_layout"].trigger()
    assert not panel.isHidden()
    assert window.panels.toggle_actions()[0].isChecked()


def test_no_two_actions_share_a_key(window):
    keys = [key.toString() for name in window.actions_ for key in window.actions_[name].shortcuts()]
    assert len(keys) == len(set(keys))
    assert all(window.actions_[name].text() and window.actions_[name].toolTip() for name in window.actions_)
