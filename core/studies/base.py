"""A study looks into a network in more depth than every step can afford: histograms, the shape of the loss around it.

A record holds what is measured at every step. What is too dear for that, or concerns one chosen unit or sample, is a
study: a frozen question with its settings, answered from a run at its present position. The run stays as it was. The
question itself is the key under which figures find the answer (`Lane.study`), so two panels that ask the same get one
answer, and nothing is computed that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ..fields import Kind
from ..registry import Registry
from ..text import N_

if TYPE_CHECKING:
    from ..run import Run

# Yields the share that is done, between 0 and 1, and returns the answer.
Progress = Generator[float, None, Any]


class Study(Kind, frozen=True, kw_only=True):
    """One question with its settings. Subclasses say `answer`, or `work` where it takes long.

    demanded     takes so long that it is answered only when a person asks, not with every frame
    needs_steps  needs the run as it came to be, step by step; otherwise the weights of its position are enough
    """

    registry: ClassVar[Registry[type[Study]]] = Registry(N_("study"), "layerscope.core.studies")

    demanded: ClassVar[bool] = False
    needs_steps: ClassVar[bool] = False

    def needs_whole_run(self, told: Mapping[str, Any]) -> bool:
        """Whether a run that is over has to be computed again for it; `told`: the content of its `run.json`."""
        return self.needs_steps

    def answer(self, run: Run) -> Any:
        """The answer, a frozen value that never changes afterward; None where the question makes no sense for this
        network. The run must be left as it was found, bit for bit: what it remembers and its place in a step.
        """
        raise NotImplementedError

    def work(self, run: Run) -> Progress:
        """The same in pieces: yields the share that is done at least ten times a second, and returns the answer."""
        yield 0.0
        return self.answer(run)


Found = TypeVar("Found")


def inside(work: Generator[Any, None, Found], share: Callable[[Any], float]) -> Generator[float, None, Found]:
    """A part of a study's work; `share` turns what it yields into the share of the whole that is done."""
    while True:
        try:
            done = next(work)
        except StopIteration as end:
            found: Found = end.value
            return found
        yield share(done)


@dataclass(frozen=True)
class Answer:
    """What a study found.

    step    the position that the run had: the weights are those after so many updates
    value   what `Study.answer` returned
    """

    step: int
    value: Any


def answer(study: Study, run: Run) -> Answer:
    """The answer at the run's present position, at once."""
    work = study.work(run)
    while True:
        try:
            next(work)
        except StopIteration as done:
            return Answer(run.step, done.value)


def answers(studies: Iterable[Study], run: Run) -> dict[Study, Answer]:
    """All answers at the run's present position."""
    return {study: answer(study, run) for study in studies}
