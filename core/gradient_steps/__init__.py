"""The chain from gradients to updates: one file a step. A new one is a new file here; nothing else needs an edit."""

from ..registry import discover

_FIRST = (
    *("sgd", "momentum", "nesterov", "normalized_gradient", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion"),
    *("global_norm", "divide_by_norm", "layer_norm", "value"),
    *("l2", "l1", "decoupled", "max_norm"),
)

discover(__name__, __path__, first=_FIRST)
