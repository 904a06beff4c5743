"""Files appear whole or not at all: what was there before stays until the new content is safely on the disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import InputError
from .text import _


def write_whole(path: Path, content: bytes) -> None:
    """Write a file through a temporary one beside it; an InputError names the file when it cannot be."""
    path = Path(path)
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a new file should get the permissions that any other new file gets
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise InputError(
            _("cannot be written: {reason}").format(reason=error.strerror or error), "", str(path)
        ) from None


def folder_for(path: str | Path) -> Path:
    """The folder, made when it is not there; an InputError when it cannot be."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            _("cannot be made a folder: {reason}").format(reason=error.strerror or error), "", str(path)
        ) from None
    return folder


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
