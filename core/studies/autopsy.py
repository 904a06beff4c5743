"""Why the training ended: the first number that is none, found by computing the failing step once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..diagnostics.autopsy import Autopsy, examine
from ..text import N_
from .base import Study

if TYPE_CHECKING:
    from ..run import Run


@Study.registry.add("autopsy")
class AutopsyStudy(Study, frozen=True, kw_only=True, tag="autopsy"):
    """What happened in the step that ended the run; None where no step did."""

    label: ClassVar[str] = N_("Autopsy")
    needs_steps: ClassVar[bool] = True

    def answer(self, run: Run) -> Autopsy | None:
        return examine(run)
