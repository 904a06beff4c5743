"""Units: what single units answer to, as small maps and pictures."""

from __future__ import annotations

from PySide6.QtGui import QActionGroup

from layerscope.core.fields import Field
from layerscope.core.figures.units import UnitsOptions, layers_to_choose
from layerscope.core.text import _

from ..forms import capital
from .base import PANELS, Panel


@PANELS.add("units")
class UnitsPanel(Panel):
    name = "units"

    def _offer(self, field: Field) -> bool:
        """Layers are chosen by name; the dialog with all options takes any path."""
        if field.name != "layer" or not isinstance(self.options, UnitsOptions):
            return super()._offer(field)
        menu = self.menu.addMenu(capital(_(field.label)))
        menu.setToolTip(_(field.help))
        group = QActionGroup(menu)
        for name, text in (("", _("A few of every layer")), *layers_to_choose(self.scene)):
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(name == self.options.layer)
            group.addAction(action)
            action.triggered.connect(lambda _checked=False, name=name: self.set_option("layer", name))
        return True
