"""What every test stands on: no screen, no settings of the person at the keyboard, one thread, English, compiled once.

Tests that need no window run where Qt cannot be loaded, so nothing here imports Qt before a test asks for it.
"""

from __future__ import annotations

import gc
import gettext
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before NumPy and Qt are imported: they read these once.
ROOT = Path(__file__).parents[1]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("PYQTGRAPH_QT_LIB", "PySide6")
for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
# Compiling takes ten seconds: one place for all workers, and for the next time.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "kernels"))

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from layerscope.core.experiment import Experiment, build  # noqa: E402
from layerscope.core.text import use_translations  # noqa: E402

# The same examples every time: a change is judged by what it changes. "make test-slow" looks for new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("searching", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

if TYPE_CHECKING:
    from layerscope.desktop.session import Session


@pytest.fixture(autouse=True)
def _alone(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings, session and log of each test in a folder of its own; English before and after."""
    monkeypatch.setenv("LAYERSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
    use_translations(gettext.NullTranslations())
    yield
    use_translations(gettext.NullTranslations())


def _windows() -> set[Any]:
    """Widgets that belong to no other; none while no test has asked for Qt."""
    if "PySide6.QtWidgets" not in sys.modules:
        return set()
    from PySide6.QtWidgets import QApplication

    app = QApplication.instance()
    if not isinstance(app, QApplication):
        return set()
    return {widget for widget in app.topLevelWidgets() if widget.parent() is None}


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test leaves no window behind."""
    before = _windows()
    yield
    if not _windows() - before:
        return
    from PySide6.QtCore import QCoreApplication, QEvent

    gc.collect()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    gc.collect()
    left = [f"{type(widget).__name__} {widget.objectName()}" for widget in _windows() - before]
    assert not left, f"the test left windows behind: {left}"


@pytest.fixture(scope="session")
def qapp_args() -> list[str]:
    return ["layerscope"]


@pytest.fixture
def small_experiment() -> Experiment:
    """Digits through two hidden layers of 12: every kind of card, 23 steps an epoch, 5 epochs."""

    def dense(units: int) -> dict[str, Any]:
        return {"kind": "dense", "units": units}

    layers = [dense(12), {"kind": "activation", "function": "sigmoid"}] * 2 + [dense(10)]
    return build(Experiment, {"name": "Small", "network": layers, "training": {"batch_size": 64, "epochs": 5}})


@pytest.fixture
def session(qtbot: Any, small_experiment: Experiment) -> Iterator[Session]:
    """A session whose worker has made a run of `small_experiment` and shown the state before the first step."""
    from layerscope.desktop.session import Session, named

    made = Session(named([small_experiment]))
    made.start()
    qtbot.waitUntil(lambda: made.exact, timeout=60_000)
    yield made
    assert made.close(), "the worker did not end"
    made.deleteLater()
