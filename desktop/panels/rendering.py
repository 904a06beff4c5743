"""Pictures of figures are made beside the window: Matplotlib takes most of a second to load, and half of one to draw.

One thread does it for the whole program, one picture after the other, because Matplotlib's settings belong to the
process.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from PySide6.QtCore import QObject, Signal

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="figures")


class Work(QObject):
    """Something that is being done in the thread for figures.

    done    its result; in the window's thread
    failed  the exception that ended it
    """

    done = Signal(object)
    failed = Signal(object)
    _ended = Signal(object, object)

    def __init__(self, does: Callable[[], Any], parent: QObject):
        super().__init__(parent)
        self._ended.connect(self._report)
        self._future: Future[None] = _thread.submit(self._run, does)

    def _run(self, does: Callable[[], Any]) -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = does()
        except Exception as caught:  # noqa: BLE001  whatever it is, the window's thread says it
            error = caught
        # The window may have been closed in the meantime, and this object with it.
        with suppress(RuntimeError):
            self._ended.emit(result, error)

    def _report(self, result: Any, error: BaseException | None) -> None:
        if error is None:
            self.done.emit(result)
        else:
            self.failed.emit(error)
        self.deleteLater()

    def cancel(self) -> None:
        """Do not begin, if it has not begun."""
        self._future.cancel()
