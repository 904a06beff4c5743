"""Doctor: what is wrong with the network, the first cause on top, and what to try."""

from .base import PANELS, Panel


@PANELS.add("doctor")
class DoctorPanel(Panel):
    name = "doctor"
