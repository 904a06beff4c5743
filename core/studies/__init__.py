"""The studies: one file each. A new one is a new file here; nothing else needs an edit."""

from ..registry import discover

discover(__name__, __path__)
