"""The program's start: a window appears first, everything heavy comes after."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import os
import sys
import threading
import time
import traceback
from types import TracebackType
from typing import IO, Any

from layerscope.core.text import use_language

from .places import log_file

log = logging.getLogger("layerscope")

# A thread that wants the interpreter waits this long for another to give way. With the usual 5 ms the worker, which
# needs it shortly after every chunk, lost a fifth of its speed while panels were painted
# (tests/benchmarks/window_fluency.py).
SWITCH_SECONDS = 0.0002
SAME_ERROR_SECONDS = 60.0  # an error that repeats is written down once in this time


def main(path: str | None = None) -> int:
    """Open the window, with a file when one is given; the exit code."""
    # pyqtgraph takes the first Qt that it finds; another program's must not be it.
    os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
    crashes = start_logging()
    use_language(language())
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance() or QApplication(["layerscope"])
    assert isinstance(app, QApplication)
    app.setApplicationName("Layerscope")
    app.setDesktopFileName("layerscope")
    window = make_window(app, path)
    window.show()
    try:
        return int(app.exec())
    finally:
        window.session.close()
        if crashes is not None:
            faulthandler.disable()
            crashes.close()


def make_window(app: Any, path: str | None = None) -> Any:
    """The window with its session; nothing is trained before it has been painted."""
    from .main_window import MainWindow
    from .session import Session
    from .settings import Settings
    from .theme import Look

    sys.setswitchinterval(SWITCH_SECONDS)
    settings = Settings()
    look = Look(app, settings.look)
    session = Session()
    session.log_file = str(log_file())
    window = MainWindow(session, settings, look)
    window.documents.begin(path)
    return window


def language() -> str:
    """The person's language, from LAYERSCOPE_LANGUAGE or the system, "en" where nothing is said."""
    chosen = os.environ.get("LAYERSCOPE_LANGUAGE")
    if chosen:
        return chosen
    from PySide6.QtCore import QLocale

    return QLocale.system().name().partition("_")[0] or "en"


def start_logging() -> IO[str] | None:
    """Write what goes wrong into a file: exceptions, and even a crash inside of a library."""
    try:
        path = log_file()
        writer = logging.handlers.RotatingFileHandler(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8")
        writer.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger("layerscope")
        root.addHandler(writer)
        root.setLevel(logging.INFO)
        crashes = path.with_name("crash.log").open("a", encoding="utf-8")
        faulthandler.enable(crashes)
    except OSError:
        # no place for a log is no reason not to start
        crashes = None
    sys.excepthook = ExceptionLog()
    threading.excepthook = lambda arguments: sys.excepthook(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )
    return crashes


class ExceptionLog:
    """Writes down exceptions that nobody caught; one that comes with every repaint only once a minute."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        place = traceback.extract_tb(trace)[-1:] if trace else []
        key = f"{kind.__name__} {place}"
        now = time.monotonic()
        if now - self._seen.get(key, -SAME_ERROR_SECONDS) < SAME_ERROR_SECONDS:
            return
        self._seen[key] = now
        log.critical("an error that nobody caught", exc_info=(kind, error, trace))
        if sys.stderr is not None:
            traceback.print_exception(kind, error, trace, limit=20)
