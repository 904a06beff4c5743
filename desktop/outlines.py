"""What a network has to fit to is read from data files beside the window's thread: a large file must not stop it."""

from __future__ import annotations

import contextlib
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from layerscope.core.data.base import DataSet, Outline
from layerscope.core.fields import describe
from layerscope.core.text import _

PATIENCE = 0.15  # seconds that the window waits, so that small files are simply there


class Outlines(QObject):
    """Outlines of data sets, read in a thread where they come from files.

    known   an outline that was waited for is there, or the reason why there is none
    """

    known = Signal()

    def __init__(self, parent: QObject | None = None):
        super().__init__(parent)
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: dict[tuple[DataSet, Path | None], Future[Outline]] = {}

    def get(self, data: DataSet, folder: Path | None) -> tuple[Outline | None, str]:
        """The outline, or None and why it is not there yet; None and "" where asking again says what is wrong."""
        if not any(field.files for field in describe(type(data))):
            return None, ""
        key = (data, folder)
        future = self._waiting.get(key)
        if future is None:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "layerscope-outline")
            future = self._waiting[key] = self._pool.submit(data.outline, folder)
            try:
                future.exception(PATIENCE)  # what is wrong with the file is said by whoever asks again
            except NotYet:
                future.add_done_callback(lambda _future: self._announce())
        if not future.done():
            return None, _("is being read; one moment")
        del self._waiting[key]
        return (None, "") if future.exception() is not None else (future.result(), "")

    def _announce(self) -> None:
        with contextlib.suppress(RuntimeError):  # the window has closed meanwhile
            self.known.emit()

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
