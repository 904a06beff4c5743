"""The panels: one file each. A new one is a new file here; nothing else needs an edit."""

from layerscope.core.registry import discover

from .base import PANELS as PANELS
from .base import Panel as Panel
from .base import panels as panels

discover(__name__, __path__)
