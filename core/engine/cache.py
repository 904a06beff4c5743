"""Machine code is kept on disk between starts, in a folder named after the sources it was made from.

Numba's own cache looks only at the file of the compiled function: an edit in a function that it calls, in another file,
would go unnoticed and old code would run (reproduced: 6.0 instead of 15.0). A folder name that is a hash of all sources
of the core cannot be stale, and works where the program is installed read-only.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent
MARK = re.compile(rb"^@(kernel|device)\b", re.MULTILINE)
KEPT_DAYS = 30


@cache
def sources_hash() -> str:
    """Hash of all sources that become machine code and of the versions that shape it, 16 hexadecimal digits.

    These are the engine and every file with a kernel or a function that kernels call; an edit of a figure compiles
    nothing anew.
    """
    import llvmlite
    import numba

    digest = hashlib.sha256()
    for part in (platform.python_version(), numba.__version__, llvmlite.__version__, platform.machine()):
        digest.update(part.encode())
    for path in sorted(CORE.rglob("*.py")):
        content = path.read_bytes()
        if path.parent == CORE / "engine" or MARK.search(content):
            digest.update(path.relative_to(CORE).as_posix().encode())
            digest.update(content)
    return digest.hexdigest()[:16]


@cache
def prepare() -> Path:
    """Point Numba at the folder for these sources and remove folders that nobody has used for a month.

    The environment variable NUMBA_CACHE_DIR wins, as everywhere in Numba. Returns the folder.
    """
    import numba
    import platformdirs

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    root = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("layerscope", False)) / "kernels"
    folder = root / sources_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        oldest = time.time() - KEPT_DAYS * 86_400
        for other in root.iterdir():
            if other.is_dir() and re.fullmatch("[0-9a-f]{16}", other.name) and other.stat().st_mtime < oldest:
                shutil.rmtree(other, ignore_errors=True)
    except OSError:
        # A read-only home: compiled anew after the next restart of the machine, which is better than not at all.
        folder = Path(tempfile.gettempdir()) / f"layerscope-{sources_hash()}"
        folder.mkdir(parents=True, exist_ok=True)
    numba.config.CACHE_DIR = str(folder)
    return folder
