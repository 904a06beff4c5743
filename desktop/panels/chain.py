"""Chain: how long the gradient is behind every link on its way to the weights."""

from .base import PANELS, Panel


@PANELS.add("chain")
class ChainPanel(Panel):
    name = "chain"
