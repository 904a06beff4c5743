"""The program's entry: `layerscope` and `python -m layerscope`."""

import os
import sys
from collections.abc import Sequence

from layerscope.core.errors import InputError
from layerscope.core.text import _


def _open_window(path: str | None) -> int:
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))):
        # Qt would end the process without a word that a person understands.
        raise InputError(_("there is no display for a window; see layerscope --help for what works without one"))
    try:
        # Imported late: the command line must start without Qt, also on machines that cannot load it.
        from layerscope.desktop.app import main as open_window
    except ImportError as error:
        if ".so" not in str(error):
            raise
        raise InputError(
            _("a system library that the window needs is missing ({reason}); make run installs it").format(reason=error)
        ) from None
    return open_window(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, which opens the window when it is asked for no other command."""
    from layerscope.core.cli import main as run

    return run(None if argv is None else list(argv), open_window=_open_window)


if __name__ == "__main__":
    sys.exit(main())
