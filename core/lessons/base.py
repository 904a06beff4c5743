"""A lesson is a fair experiment with a text and with claims: sentences whose numbers are checked every time it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..experiment import Experiment
from ..registry import Registry
from ..run import Run
from ..text import N_, _


@dataclass(frozen=True)
class Claim:
    """Something that the lesson says, with the number that proves it.

    says      the claim in words
    measure   the number, from the finished runs of all lanes in order
    low, high the number must lie between these
    """

    says: str
    measure: Callable[[Sequence[Run]], float]
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A claim with what was measured."""

    claim: Claim
    measured: float

    @property
    def holds(self) -> bool:
        # a NaN lies between nothing
        return self.claim.low <= self.measured <= self.claim.high


@dataclass(frozen=True)
class Lesson:
    """One lesson.

    text     what to watch, three sentences
    lanes    the experiments, A as built and what is put beside it
    steps    how long the claims are about
    figures  names of the figures that show it
    """

    name: str
    label: str
    sentences: tuple[str, ...]
    lanes: tuple[Experiment, ...]
    steps: int
    claims: tuple[Claim, ...]
    figures: tuple[str, ...] = field(default=("signal", "gradients", "over-time", "learning-curves"))

    @property
    def title(self) -> str:
        return _(self.label)

    @property
    def text(self) -> str:
        return " ".join(_(sentence) for sentence in self.sentences)

    def check(self, runs: Sequence[Run]) -> list[Verdict]:
        """Every claim with its number, for runs of the lanes that have done `steps` steps."""
        return [Verdict(claim, float(claim.measure(runs))) for claim in self.claims]


LESSONS: Registry[Lesson] = Registry(N_("lesson"), "layerscope.core.lessons")
