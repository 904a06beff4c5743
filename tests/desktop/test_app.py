"""The program's start and its last line of defense: what is written down when something goes wrong."""

import logging
import sys

import pytest

from layerscope.desktop import app, places


@pytest.fixture
def hooks(monkeypatch):
    """The program's hooks, taken back after the test."""
    import faulthandler
    import threading

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger("layerscope")
    before = list(root.handlers)
    crashes = app.start_logging()
    yield
    for handler in [h for h in root.handlers if h not in before]:
        root.removeHandler(handler)
        handler.close()
    faulthandler.disable()
    crashes.close()


def test_an_error_that_comes_with_every_repaint_is_written_down_once(hooks, capsys):
    for _turn in range(500):
        try:
            raise ValueError("again and again")
        except ValueError as error:
            sys.excepthook(type(error), error, error.__traceback__)
    written = places.log_file().read_text()
    assert written.count("CRITICAL") == 1
    assert "Traceback" in written
    assert capsys.readouterr().err.count("again and again") == 2  # the line of the source, and the message


def test_without_a_place_for_the_log_the_program_starts_anyway(monkeypatch):
    def nowhere():
        raise PermissionError("read-only")

    monkeypatch.setattr(app, "log_file", nowhere)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("threading.excepthook", __import__("threading").excepthook)
    assert app.start_logging() is None


def test_the_language_can_be_chosen(monkeypatch):
    monkeypatch.setenv("LAYERSCOPE_LANGUAGE", "de")
    assert app.language() == "de"
    monkeypatch.delenv("LAYERSCOPE_LANGUAGE")
    assert app.language()
