"""Autopsy: the operation that made the first number that is none, what grew before, and what to try."""

from .base import PANELS, Panel


@PANELS.add("autopsy")
class AutopsyPanel(Panel):
    name = "autopsy"
    time_plots = True
