"""Histograms: how the numbers of every layer are spread, now and over time; a chosen card chooses the layer."""

from __future__ import annotations

from PySide6.QtGui import QActionGroup

from ...core.fields import Field
from ...core.figures.histograms import HistogramsOptions, layers_to_choose
from ...core.text import _
from ..forms import capital
from .base import PANELS, Panel


@PANELS.add("histograms")
class HistogramsPanel(Panel):
    name = "histograms"

    def _make(self) -> None:
        super()._make()
        self.session.selection_changed.connect(self._follow_selection)

    def _follow_selection(self) -> None:
        """Another card is chosen: where that decides the layer, another one is drawn."""
        if isinstance(self.options, HistogramsOptions) and self.options.follows_selection:
            self._scene_changed()

    def refresh(self) -> None:
        self._settle_axis()
        super().refresh()

    def _settle_axis(self) -> None:
        # Over time the horizontal axis is the timeline: pointing at it shows that step.
        over_time = isinstance(self.options, HistogramsOptions) and self.options.show == "map"
        if self.view.time_plots != over_time:
            self.view.time_plots = over_time
            self.view.reset_view()

    def _offer(self, field: Field) -> bool:
        """Layers are chosen by name; the dialog with all options takes any path."""
        if field.name != "layer" or not isinstance(self.options, HistogramsOptions):
            return super()._offer(field)
        menu = self.menu.addMenu(capital(_(field.label)))
        menu.setToolTip(_(field.help))
        group = QActionGroup(menu)
        for name, text in (("", _("The chosen card")), *layers_to_choose(self.scene, self.options)):
            action = menu.addAction(text)
            action.setCheckable(True)
            action.setChecked(name == self.options.layer)
            group.addAction(action)
            action.triggered.connect(lambda _checked=False, name=name: self.set_option("layer", name))
        return True
