"""Data of one's own: the dialog that looks into a table, paths that go with the experiment, nothing read in the way."""

import threading

import msgspec
import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QFileDialog

from layerscope.core.data.csv import Csv
from layerscope.core.data.idx import Idx
from layerscope.core.data.npz import Npz
from layerscope.core.experiment import load, with_data_paths
from layerscope.desktop import documents as documents_module
from layerscope.desktop.app import make_window
from layerscope.desktop.dialogs.importers import IMPORTERS, kind_for
from layerscope.desktop.dialogs.table import TableDialog
from layerscope.desktop.outlines import Outlines

TIMEOUT = 30_000
ROWS = "\n".join(
    f"{i};{i * 0.37 % 3:.2f};{'red' if i % 3 else 'blue'};{i % 2};{i * 1.5:.1f}".replace(".", ",") for i in range(1, 41)
)
TABLE = f"number;width;color;kind;price\n{ROWS}\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def dialog(qtbot, table):
    made = TableDialog(Csv(path=str(table)), None)
    qtbot.addWidget(made)
    qtbot.waitUntil(lambda: made.found is not None and not made.readers, timeout=TIMEOUT)
    yield made
    made.done(0)


def ready(qtbot, dialog, condition=lambda: True):
    qtbot.waitUntil(
        lambda: dialog.found is not None and not dialog.readers and dialog.use.isEnabled() and condition(),
        timeout=TIMEOUT,
    )


def choose(choice, name):
    index = choice.findData(name)
    choice.setCurrentIndex(index)
    choice.activated.emit(index)


def test_what_was_found_out_is_shown(dialog):
    assert "40 rows · 5 columns · delimiter: semicolon · decimal sign: comma" in dialog.summary.text()
    assert [dialog.table.horizontalHeaderItem(i).text() for i in range(5)] == [
        "number", "width", "color", "kind", "price",
    ]  # fmt: skip
    assert dialog.table.item(1, 1).text() == "0,37"
    assert [choice.name for choice in dialog.uses] == ["left out", "input", "input", "input", "target"]
    assert "predicts the value of “price”" in dialog.outcome.text()


def test_the_person_chooses_the_target_and_what_is_used(qtbot, dialog):
    choose(dialog.uses[3], "target")
    ready(qtbot, dialog, lambda: dialog.found.target == "kind")
    assert dialog.data.target == "kind"
    assert [choice.name for choice in dialog.uses] == ["left out", "input", "input", "target", "input"]
    assert "2 classes: 0, 1" in dialog.outcome.text()
    choose(dialog.uses[2], "left out")
    ready(qtbot, dialog, lambda: len(dialog.found.columns) == 5 and dialog.uses[2].name == "left out")
    assert "2 inputs" in dialog.outcome.text()
    choose(dialog.form.editors["task"].editor, "regression")
    ready(qtbot, dialog, lambda: dialog.found.outline is not None and dialog.found.outline.is_regression)
    assert dialog.data.task == "regression"
    assert set(dialog.data.leave_out.replace(" ", "").split(",")) == {"number", "color"}


def test_how_it_is_written_can_be_said(qtbot, dialog):
    choose(dialog.form.editors["header"].editor, "no")
    qtbot.waitUntil(lambda: dialog.found is not None and not dialog.found.header, timeout=TIMEOUT)
    assert dialog.data.header == "no"
    assert dialog.table.item(1, 0).text() == "number", "the names are a row now"


def test_what_cannot_be_used_is_not_offered(qtbot, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n3\n")
    made = TableDialog(Csv(path=str(path)), None)
    qtbot.addWidget(made)
    qtbot.waitUntil(lambda: bool(made.problems.text()) and not made.readers, timeout=TIMEOUT)
    assert not made.use.isEnabled()
    made.done(0)
    gone = TableDialog(Csv(path=str(tmp_path / "gone.csv")), None)
    qtbot.addWidget(gone)
    qtbot.waitUntil(lambda: "does not exist" in gone.problems.text(), timeout=TIMEOUT)
    assert not gone.use.isEnabled()
    gone.done(0)


def test_the_file_is_read_beside_the_windows_thread(qtbot, table, monkeypatch):
    from layerscope.desktop.dialogs import table as module

    threads = []
    real = module.preview

    def watched(*arguments):
        threads.append(threading.current_thread())
        return real(*arguments)

    monkeypatch.setattr(module, "preview", watched)
    made = TableDialog(Csv(path=str(table)), None)
    qtbot.addWidget(made)
    ready(qtbot, made)
    made.done(0)
    assert threads
    assert threading.main_thread() not in threads


# --- in the window


@pytest.fixture
def window(qtbot, qapp):
    made = make_window(qapp)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(lambda: made.session.exact, timeout=TIMEOUT)
    yield made
    assert made.session.close()
    made.session.deleteLater()


def accepting(monkeypatch, qtbot):
    """The person looks, and takes what is proposed."""

    def run(dialog):
        ready(qtbot, dialog)
        dialog.done(1)
        return 1

    monkeypatch.setattr(TableDialog, "exec", run)


def test_a_dropped_table_is_looked_into_and_used_as_one_undo_step(qtbot, window, table, monkeypatch):
    accepting(monkeypatch, qtbot)
    session = window.session
    before = session.lanes
    content = QMimeData()
    content.setUrls([QUrl.fromLocalFile(str(table))])
    event = QDropEvent(
        QPointF(50, 50),
        Qt.DropAction.CopyAction,
        content,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    window.dropEvent(event)
    qtbot.waitUntil(lambda: isinstance(session.lane.experiment.data, Csv), timeout=TIMEOUT)
    data = session.lane.experiment.data
    assert (data.target, data.task, data.leave_out) == ("price", "regression", "number")
    assert data.scaling == before[0].experiment.data.scaling
    assert session.undo_stack.count() == 1
    assert session.selected_card == "data"
    session.undo_stack.undo()
    assert session.lanes == before
    qtbot.waitUntil(lambda: session.exact, timeout=TIMEOUT)


def test_a_dialog_that_is_cancelled_changes_nothing(window, table, monkeypatch):
    monkeypatch.setattr(TableDialog, "exec", lambda dialog: dialog.done(0) or 0)
    assert not window.documents.import_file(str(table))
    assert window.session.undo_stack.count() == 0


def test_the_card_of_a_table_looks_into_its_file(qtbot, window, table, monkeypatch):
    accepting(monkeypatch, qtbot)
    session = window.session
    window.documents.import_file(str(table))
    card = window.network.data_card
    assert not card.look.isHidden()
    asked = []
    monkeypatch.setattr(TableDialog, "exec", lambda dialog: asked.append(dialog.data.path) or dialog.done(0) or 0)
    card.look.click()
    assert asked == [session.lane.experiment.data.path]
    # another file is chosen with Browse…: it is looked into before it is used
    other = table.with_name("other.csv")
    other.write_text(TABLE)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_a: (str(other), ""))
    card.expand(True)
    card.form.form.editors["path"].browse.click()
    assert asked[-1] == str(other)
    assert session.lane.experiment.data.path == str(table)


def test_a_file_of_an_unknown_kind_costs_one_line(window, tmp_path):
    assert not window.documents.import_file(str(tmp_path / "x.docx"))
    assert "x.docx" in window.message.text()


def test_saved_beside_its_data_an_experiment_has_a_relative_path(qtbot, window, table, monkeypatch):
    accepting(monkeypatch, qtbot)
    window.documents.import_file(str(table))
    target = table.with_name("mine.json")
    monkeypatch.setattr(documents_module.QFileDialog, "getSaveFileName", lambda *_a: (str(target), ""))
    assert window.documents.save()
    assert load(target).data.path == "table.csv"
    assert window.session.lane.experiment.data.path == "table.csv"
    assert not window.session.modified
    assert window.session.plan(0).outline.shape == (4,)
    assert "does not exist" not in window.session.blocked
    # elsewhere, the way back to the same file
    far = table.parent / "far" / "away.json"
    far.parent.mkdir()
    monkeypatch.setattr(documents_module.QFileDialog, "getSaveFileName", lambda *_a: (str(far), ""))
    assert window.documents.save_as()
    assert load(far).data.path == str(table)
    assert window.session.plan(0).outline.shape == (4,)


# --- paths and kinds


def test_paths_follow_the_experiment(tmp_path, small_experiment):
    inside = tmp_path / "a" / "data"
    inside.mkdir(parents=True)
    (inside / "t.csv").write_text(TABLE)
    experiment = msgspec.structs.replace(small_experiment, data=Csv(path=str(inside / "t.csv")))
    beside = with_data_paths(experiment, None, tmp_path / "a")
    assert beside.data.path == "data/t.csv"
    assert with_data_paths(beside, tmp_path / "a", tmp_path / "a") is beside
    assert with_data_paths(beside, tmp_path / "a", inside).data.path == "t.csv"
    (tmp_path / "b").mkdir()
    assert with_data_paths(beside, tmp_path / "a", tmp_path / "b").data.path == str(inside / "t.csv")
    upward = msgspec.structs.replace(experiment, data=Csv(path="../data/t.csv"))
    assert with_data_paths(upward, inside, inside) is upward, "what a person wrote relative to the same place stays"
    assert with_data_paths(small_experiment, None, tmp_path) is small_experiment


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv", Csv),
        ("A.TSV", Csv),
        ("x.npz", Npz),
        ("train-images-idx3-ubyte.gz", Idx),
        ("a.json", None),
        ("a", None),
    ],
)
def test_a_file_is_known_by_its_name(name, kind):
    found = kind_for(f"/somewhere/{name}")
    assert (type(found) if found is not None else None) is kind


def test_every_kind_with_a_dialog_reads_a_file():
    assert set(IMPORTERS) == {Csv}


def test_a_slow_file_is_waited_for_beside_the_window(qtbot, table, monkeypatch):
    go = threading.Event()
    real = Csv.outline

    def slow(data, folder=None):
        go.wait(10)
        return real(data, folder)

    monkeypatch.setattr(Csv, "outline", slow)
    outlines = Outlines()
    data = Csv(path=str(table))
    outline, waiting = outlines.get(data, None)
    assert outline is None
    assert "being read" in waiting
    with qtbot.waitSignal(outlines.known, timeout=TIMEOUT):
        go.set()
    assert outlines.get(data, None) == (real(data), "")
    outlines.close()
    outlines.deleteLater()


def test_every_text_of_the_dialog_can_be_translated(qtbot, table):
    from layerscope.core.text import use_translations
    from tests.desktop.test_translation import Brackets, check

    use_translations(Brackets())
    made = TableDialog(Csv(path=str(table)), None)
    qtbot.addWidget(made)
    ready(qtbot, made)
    own = {"number", "width", "color", "kind", "price", "red", "blue", "UTF"}  # words of the file
    assert not [line for line in check(made) if not any(word in line for word in own)]
    made.done(0)
