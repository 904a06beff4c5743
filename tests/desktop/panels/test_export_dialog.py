"""The export dialog writes what is chosen, as it is shown, and says what went wrong."""

import csv
import gettext
import os

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QLabel, QPushButton
from scenes import scene

from layerscope.core.figures.figure import Figure
from layerscope.core.text import use_translations
from layerscope.desktop.dialogs import export
from layerscope.desktop.dialogs.export import ExportDialog, file_name
from layerscope.desktop.panels.grid import PanelGrid

pytestmark = pytest.mark.qt_log_ignore("This plugin does not support", extend=True)


@pytest.fixture
def grid(qtbot, still):
    made = PanelGrid(still)
    qtbot.addWidget(made)
    made.resize(980, 520)
    made.show()
    still.show_scene(scene("normal"))
    qtbot.waitUntil(lambda: all(panel.view.areas for panel in made.visible_panels()))
    return made


@pytest.fixture
def dialog(qtbot, grid, tmp_path):
    made = ExportDialog(grid.panels[0].session, grid.visible_panels())
    qtbot.addWidget(made, before_close_func=lambda _dialog: qtbot.waitUntil(lambda: idle(made), timeout=20_000))
    made.folder.setText(str(tmp_path / "figures"))
    made.show()
    return made


def idle(dialog):
    return dialog._work is None and dialog._preview_work is None and not dialog._debounce.isActive()


def choose(dialog, figures, formats):
    for box, figure in zip(dialog.panel_boxes, dialog._figures, strict=True):
        box.setChecked(figure.name in figures)
    for form, box in dialog.format_boxes.items():
        box.setChecked(form in formats)


def written(dialog, qtbot):
    qtbot.waitUntil(lambda: dialog._work is None, timeout=60_000)
    return sorted(path.name for path in dialog._written)


def test_all_that_is_shown_is_chosen_and_pdf(dialog):
    assert all(box.isChecked() for box in dialog.panel_boxes)
    assert len(dialog.jobs()) == len(dialog.panel_boxes)
    assert {job.form for job in dialog.jobs()} == {"pdf"}


def test_from_a_panels_menu_that_panel_is_chosen(qtbot, grid):
    grid.panels[1].export()
    dialog = grid.findChild(ExportDialog)
    assert [figure.name for figure in dialog.chosen_figures()] == ["gradients"]
    assert len(dialog.panel_boxes) == len(grid.visible_panels())
    qtbot.waitUntil(lambda: idle(dialog), timeout=20_000)
    dialog.close()


def test_every_format_can_be_read_back(qtbot, dialog, tmp_path):
    choose(dialog, ["gradients"], ["png", "svg", "pdf", "csv"])
    QTest.keyClick(dialog, Qt.Key.Key_Return)
    name = "Test-gradients-step-39"
    assert written(dialog, qtbot) == [f"{name}.{form}" for form in ("csv", "pdf", "png", "svg")]
    folder = tmp_path / "figures"
    with Image.open(folder / f"{name}.png") as picture:
        assert picture.size == (1920, 1080)
        assert "0123456789ab" in picture.text["Description"]
    assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert "<text" in (folder / f"{name}.svg").read_text()
    with open(folder / f"{name}.csv", newline="") as file:
        assert next(csv.reader(file)) == list(dialog._figures[1].table)
    assert dialog.message.text() == f"4 files written to {folder}"
    assert dialog.open_folder.isVisible()


def test_what_was_zoomed_is_written(qtbot, grid, still, monkeypatch, tmp_path):
    grid.panels[1].view.zoom_by(0.5)
    limits = grid.panels[1].view.shown().plots[0].y.limits
    made = ExportDialog(still, grid.visible_panels(), grid)
    assert made._figures[1].plots[0].y.limits == limits
    qtbot.waitUntil(lambda: idle(made), timeout=20_000)
    made.close()


def test_the_moment_is_that_of_opening(qtbot, dialog, still):
    figure = dialog._figures[1]
    still.show_scene(scene("two steps"))
    qtbot.wait(100)
    assert dialog.jobs()[1].figures[0] is figure


def test_one_page_with_all(qtbot, dialog, tmp_path):
    choose(dialog, ["signal", "gradients"], ["png"])
    dialog.page.setChecked(True)
    dialog.preset.setCurrentIndex(dialog.preset.findData("paper"))
    dialog.export()
    assert written(dialog, qtbot) == [f"Test-{name}-step-39.png" for name in ("all", "gradients", "signal")]


def test_preset_and_theme(qtbot, dialog, tmp_path):
    choose(dialog, ["gradients"], ["png"])
    dialog.preset.setCurrentIndex(dialog.preset.findData("paper"))
    dialog.theme.setCurrentIndex(dialog.theme.findData("dark"))
    dialog.export()
    written(dialog, qtbot)
    with Image.open(tmp_path / "figures" / "Test-gradients-step-39.png") as picture:
        assert picture.size == (1360, 1000)
        assert sum(picture.convert("RGB").getpixel((2, 2))) < 200
    assert "1360 × 1000" in dialog.caption.text()


def test_the_preview_shows_the_chosen_figure(qtbot, dialog):
    qtbot.waitUntil(lambda: not dialog.preview.pixels.isNull(), timeout=20_000)
    assert dialog.preview.pixels.width() == pytest.approx(export.PREVIEW_PIXELS, rel=0.05)
    before = dialog.preview.pixels.toImage()
    dialog.preview_choice.setCurrentIndex(2)
    qtbot.waitUntil(lambda: dialog.preview.pixels.toImage() != before, timeout=20_000)


def test_choices_are_remembered(qtbot, grid, still, dialog, tmp_path):
    choose(dialog, ["gradients"], ["svg"])
    dialog.preset.setCurrentIndex(dialog.preset.findData("paper"))
    dialog.pattern.setText("lecture-7")
    dialog.export()
    assert written(dialog, qtbot) == ["lecture-7.svg"]
    again = ExportDialog(still, grid.visible_panels(), grid)
    assert [form for form, box in again.format_boxes.items() if box.isChecked()] == ["svg"]
    assert again.preset.currentData() == "paper"
    assert again.folder.text() == str(tmp_path / "figures")
    assert again.pattern.text() == "lecture-7"
    qtbot.waitUntil(lambda: idle(again), timeout=20_000)
    again.close()


def test_files_that_will_be_replaced_are_named_before(dialog, tmp_path):
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "Test-gradients-step-39.pdf").write_bytes(b"")
    dialog.changed()
    assert "1 file is there already and will be replaced" in dialog.example.text()


def test_without_a_choice_there_is_nothing_to_export(dialog):
    choose(dialog, [], ["pdf"])
    assert not dialog.export_button.isEnabled()
    choose(dialog, ["gradients"], [])
    assert not dialog.export_button.isEnabled()
    choose(dialog, ["gradients"], ["pdf"])
    assert dialog.export_button.isEnabled()
    dialog.folder.setText("  ")
    assert not dialog.export_button.isEnabled()


def test_a_folder_that_cannot_be_is_one_line(qtbot, dialog, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    dialog.folder.setText(str(tmp_path / "file" / "below"))
    dialog.export()
    assert "cannot be made a folder" in dialog.message.text()
    assert dialog._written == []


def test_a_full_disk_leaves_nothing_behind(qtbot, dialog, tmp_path, monkeypatch):
    choose(dialog, ["signal", "gradients"], ["csv"])
    replace, calls = os.replace, []

    def full(source, target):
        calls.append(target)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    dialog.export()
    qtbot.waitUntil(lambda: dialog._work is None, timeout=20_000)
    assert "No space left on device" in dialog.message.text()
    assert "1 file written" in dialog.message.text()
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["Test-signal-step-39.csv"]
    assert dialog.export_button.isEnabled()


def test_stop_ends_after_the_present_file(qtbot, dialog):
    choose(dialog, ["signal", "gradients", "over-time"], ["csv", "png"])
    dialog.export()
    assert dialog.close_button.text() == "Stop"
    dialog.close_button.click()
    qtbot.waitUntil(lambda: dialog._work is None, timeout=20_000)
    assert len(dialog._written) < 6
    assert dialog.isVisible()


def test_every_word_is_translated(qtbot, grid, still):
    class Brackets(gettext.NullTranslations):
        def gettext(self, message):
            return f"⟦{message}⟧"

        def ngettext(self, singular, plural, count):
            return f"⟦{singular if count == 1 else plural}⟧"

    use_translations(Brackets())
    made = ExportDialog(still, grid.visible_panels(), grid)
    for widget in made.findChildren(QLabel) + made.findChildren(QPushButton) + made.findChildren(QCheckBox):
        text = widget.text()
        assert not text or "⟦" in text or text in ("PNG", "SVG", "PDF", "CSV") or widget is made.example, text
    for combo in (made.preset, made.theme):
        assert all("⟦" in combo.itemText(i) for i in range(combo.count()))
    qtbot.waitUntil(lambda: idle(made), timeout=20_000)
    made.close()


@pytest.mark.parametrize(
    ("pattern", "stamp", "name"),
    [
        ("{experiment}-{figure}-step-{step}", {}, "layerscope-gradients-step-0"),
        ("{experiment}", {"experiment": "a/b\\c:d*e?\x07 \n f"}, "a-b-c-d-e-f"),
        ("{experiment}", {"experiment": "../../etc/passwd"}, "etc-passwd"),
        ("{experiment}", {"experiment": "A: Ours; B: Theirs"}, "Ours"),
        ("con", {}, "con-"),
        ("...", {}, "figure"),
        ("", {}, "layerscope-gradients-step-0"),
        ("{seed}-{hash}", {"seed": "7", "hash": "ab"}, "7-ab"),
        ("Übung 多层", {}, "Übung-多层"),
        ("x" * 500, {}, "x" * 120),
    ],
)
def test_file_names_that_every_system_takes(pattern, stamp, name):
    assert file_name(pattern, Figure("gradients", "Gradients", "", (), stamp=stamp)) == name


def test_several_figures_get_several_names():
    figure = Figure("gradients", "Gradients", "", ())
    assert file_name("lecture", figure, several=True) == "lecture-gradients"
