"""The program's entry: `layerscope` and `python -m layerscope`."""

import sys
from collections.abc import Sequence


def _open_window(path: str | None) -> int:
    # Imported late: the command line must start without Qt, also on machines that cannot load it.
    from layerscope.desktop.app import main as open_window

    return open_window(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, which opens the window when it is asked for no other command."""
    from layerscope.core.cli import main as run

    return run(None if argv is None else list(argv), open_window=_open_window)


if __name__ == "__main__":
    sys.exit(main())
