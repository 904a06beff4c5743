"""Learning-rate schedules: one file a kind. A new one is a new file here; nothing else needs an edit."""

from ..registry import discover

_FIRST = ("exponential", "step", "cosine", "warmup", "one_cycle", "reduce_on_plateau", "range_test")

discover(__name__, __path__, first=("base", *_FIRST))
