"""Why the training ended: the first number that is none, found by computing the failing step once more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from ..diagnostics.autopsy import Autopsy, examine
from ..text import N_
from .base import Study

if TYPE_CHECKING:
    from ..run import Run


@Study.registry.add("autopsy")
class AutopsyStudy(Study, frozen=True, kw_only=True, tag="autopsy"):
    """What happened in the step that ended the run; None where no step did."""

    label: ClassVar[str] = N_("Autopsy")

    def needs_whole_run(self, told: Mapping[str, Any]) -> bool:
        """Where a step failed: what grew before it, and all that was remembered, is looked at."""
        return told.get("failed_step") is not None

    def answer(self, run: Run) -> Autopsy | None:
        return examine(run)
