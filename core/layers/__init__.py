"""The layers: one file holds all of a kind. A new layer is a new file here; nothing else needs an edit."""

from ..registry import discover

discover(
    __name__,
    __path__,
    first=("dense", "activation", "conv2d", "pool", "flatten", "dropout", "batch_norm", "layer_norm", "weight_norm"),
)
