"""The lessons: one file each. A new one is a new file here; nothing else needs an edit."""

from ..registry import discover
from .base import LESSONS as LESSONS

discover(__name__, __path__)
