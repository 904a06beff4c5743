"""The chain from gradients to updates: one file a step. A new one is a new file here; nothing else needs an edit."""

from ..registry import discover

discover(__name__, __path__, first=("sgd", "momentum"))
