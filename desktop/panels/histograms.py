"""Histograms: how the numbers of every layer are spread, now and over time; a chosen card chooses the layer."""

from ...core.fields import Field
from ...core.figures.histograms import HistogramsOptions, latest, layers_to_choose
from ...core.text import _
from .base import PANELS, Panel


@PANELS.add("histograms")
class HistogramsPanel(Panel):
    name = "histograms"

    def sources(self) -> tuple[object, ...] | None:
        """While playing, histograms are measured a few times a second only."""
        lanes = self.scene.lanes
        details = [latest(lane, self.scene.step) for lane in lanes]
        if self.view.time_plots or None in details:
            return None
        named = " ".join(f"{lane.name} {lane.label}" for lane in lanes)
        return (*details, *(lane.plan for lane in lanes), self.scene.rules, self.scene.selected, named)

    def suggested(self, field: Field) -> list[tuple[str, str]]:
        if not isinstance(self.options, HistogramsOptions):
            return []
        return [("", _("The chosen card")), *layers_to_choose(self.scene, self.options)]

    def refresh(self) -> None:
        # in a map the horizontal axis is the timeline
        self.view.time_plots = isinstance(self.options, HistogramsOptions) and self.options.show == "map"
        super().refresh()
