"""What the window remembers of itself between two starts. Anything unreadable counts as not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QByteArray, QSettings

from .places import settings_file
from .theme import CHOICES, Choice

MOST_RECENT = 8
LAYOUT = 1  # raise it when the arrangement of the window changes, so that old layouts are not forced on it


class Settings:
    """Typed access to the settings file."""

    def __init__(self) -> None:
        self._file = QSettings(str(settings_file()), QSettings.Format.IniFormat)

    def _read(self, key: str, kind: type, default: Any) -> Any:
        # PySide raises for values that do not convert; a damaged file must not keep the program from starting.
        try:
            value = self._file.value(key, default, type=kind)
        except (TypeError, ValueError, EOFError):
            return default
        return value if isinstance(value, kind) else default

    def write(self, key: str, value: Any) -> None:
        self._file.setValue(key, value)

    def sync(self) -> None:
        """Write to disk now."""
        self._file.sync()

    def state(self, key: str) -> QByteArray:
        """Geometry or layout, as a widget saved it."""
        return QByteArray(self._read(f"layout-{LAYOUT}/{key}", QByteArray, QByteArray()))

    def write_state(self, key: str, value: QByteArray) -> None:
        self.write(f"layout-{LAYOUT}/{key}", value)

    def forget_layout(self) -> None:
        self._file.remove(f"layout-{LAYOUT}")

    @property
    def look(self) -> Choice:
        chosen = self._read("look", str, "system")
        return next((choice for choice in CHOICES if choice == chosen), "system")

    @property
    def speed(self) -> float:
        try:
            return max(0.0, float(self._read("speed", str, "0")))
        except ValueError:
            return 0.0

    @property
    def watched(self) -> bool:
        """Whether the text of the lesson that is open was closed by the person."""
        return bool(self._read("lesson_text_closed", bool, False))

    @property
    def thresholds(self) -> str:
        """The doctor's thresholds, as `thresholds.py` writes them."""
        return str(self._read("thresholds", str, ""))

    @property
    def recent(self) -> list[str]:
        """Files opened or saved lately that are still there, newest first."""
        return [path for path in self._read("recent", str, "").split("\n") if path and Path(path).is_file()]

    def add_recent(self, path: str) -> None:
        paths = [path, *(other for other in self.recent if other != path)]
        self.write("recent", "\n".join(paths[:MOST_RECENT]))
