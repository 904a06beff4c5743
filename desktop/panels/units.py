"""Units: what single units answer to, as small maps and pictures."""

from ...core.fields import Field
from ...core.figures.units import layers_to_choose
from ...core.text import _
from .answered import AnsweredPanel
from .base import PANELS


@PANELS.add("units")
class UnitsPanel(AnsweredPanel):
    name = "units"

    def suggested(self, field: Field) -> list[tuple[str, str]]:
        return [("", _("A few of every layer")), *layers_to_choose(self.scene)] if field.name == "layer" else []
