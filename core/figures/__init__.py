"""The figures: one file each. A new one is a new file here; nothing else needs an edit."""

import importlib
from contextlib import suppress

from ..registry import discover
from .figure import FIGURES as FIGURES

# In the order in which a person should meet them; whatever else there is follows.
for _first in ("signal", "gradients", "over_time", "learning_curves"):
    with suppress(ModuleNotFoundError):
        importlib.import_module(f"{__name__}.{_first}")
discover(__name__, __path__)
