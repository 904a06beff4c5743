"""Over time: layers above one another, steps side by side; pointing at a step shows that step everywhere."""

from ...core.fields import Field
from ...core.figures.over_time import OverTimeOptions
from ...core.figures.quantities import recorded
from .base import PANELS, Panel


@PANELS.add("over-time")
class OverTimePanel(Panel):
    name = "over-time"
    time_plots = True
    at_first = True

    def offered(self, field: Field) -> list[str]:
        """Quantities that no lane has recorded are left out, but for the one that is chosen."""
        names = super().offered(field)
        if field.name != "quantity" or not isinstance(self.options, OverTimeOptions):
            return names
        known = {*recorded(lane.view for lane in self.scene.lanes), self.options.quantity}
        return [name for name in names if name in known]
