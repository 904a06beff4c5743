"""Signal: the activation range of every layer."""

from .base import PANELS, Panel


@PANELS.add("signal")
class SignalPanel(Panel):
    name = "signal"
    at_first = True
