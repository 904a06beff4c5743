"""Where the program keeps what it remembers between two starts: settings, the last session, logs.

The environment variable LAYERSCOPE_HOME puts all of it into one folder: for tests, or for a copy on a stick.
"""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

NAME = "layerscope"


def _place(part: str, usual: str) -> Path:
    home = os.environ.get("LAYERSCOPE_HOME")
    folder = Path(home) / part if home else Path(usual)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def settings_file() -> Path:
    """Window layout, look, speed, recent files."""
    return _place("config", platformdirs.user_config_dir(NAME, False)) / "window.ini"


def session_file() -> Path:
    """The lanes as they were when the window closed."""
    return _place("state", platformdirs.user_state_dir(NAME, False)) / "session.json"


def log_file() -> Path:
    """What went wrong, with everything a bug report needs."""
    return _place("log", platformdirs.user_log_dir(NAME, False)) / "layerscope.log"
