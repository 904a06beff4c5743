"""What panels of studies have in common: they are drawn anew when there is a new answer, not with every frame."""

from __future__ import annotations

from .base import Panel


class AnsweredPanel(Panel):
    """A panel whose figure is drawn from the answers of its studies alone."""

    def sources(self) -> tuple[object, ...] | None:
        lanes, needs = self.scene.lanes, self._needs()
        answers = [lane.study(study) for lane in lanes for study in needs]
        if None in answers or not answers:
            return None
        named = " ".join(f"{lane.name} {lane.label}" for lane in lanes)
        return (*answers, *(lane.plan for lane in lanes), named)
