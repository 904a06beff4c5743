"""What figures of studies have in common: whose answer they draw, of which step, and that an old one is not drawn anew.

A study is answered a few times a second, but a figure is asked for thirty times; as long as the answers are the same
ones, the figure is the same value, and whoever shows it has nothing to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..fields import Described
from ..studies.base import Answer, Study
from ..text import _
from .figure import Figure, Lane, Scene
from .reading import lane_prefix, moment_at, stamp
from .scales import number_text

Value = TypeVar("Value")
MOST_KNOWN = 8  # figures that are remembered
_known: dict[Any, tuple[list[Answer | None], Figure]] = {}
_lock = threading.Lock()


def answered(scene: Scene, study: Study, kind: type[Value]) -> list[tuple[Lane, int, Value]]:
    """(lane, step of the answer, answer) of the lanes that have one and a moment to show."""
    found = []
    for lane in scene.lanes:
        answer = lane.study(study) if moment_at(lane.view, scene.step) is not None else None
        if answer is not None and isinstance(answer.value, kind):
            found.append((lane, answer.step, answer.value))
    return found


def remembered(name: str, scene: Scene, study: Study, options: Described, make: Callable[[], Figure]) -> Figure:
    """The figure made for the same answers before, or a new one."""
    answers = [lane.study(study) for lane in scene.lanes]
    if not any(answers):
        return make()
    lanes = tuple((lane.name, lane.label, lane.experiment, id(lane.study(study))) for lane in scene.lanes)
    key = name, options, lanes, _("step {step}")  # the language may be another one
    known = _known.get(key)
    if known is None:
        known = answers, make()  # answers are kept, for another one may come to stand where an old one stood
        with _lock:
            while len(_known) >= MOST_KNOWN:
                del _known[next(iter(_known))]
            _known[key] = known
    return known[1]


def unasked(scene: Scene) -> str:
    """Why there is no answer: "" where nothing is computed at all."""
    computed = any(moment_at(lane.view, scene.step) is not None for lane in scene.lanes)
    return _("The network has not been asked yet.") if computed else ""


def steps_text(scene: Scene, found: Sequence[tuple[Lane, int, Any]]) -> str:
    """ "step 412": that of the answers, which may be older than what the other figures show."""
    steps = {step for _lane, step, _value in found}
    if len(steps) == 1:
        return _("step {step}").format(step=number_text(steps.pop(), 9))
    said = [f"{lane_prefix(lane, scene)}{number_text(step, 9)}" for lane, step, _value in found]
    return _("steps {steps}").format(steps=", ".join(said))


def stamped(name: str, scene: Scene, found: Sequence[tuple[Lane, int, Any]]) -> dict[str, str]:
    """A figure's stamp with the step of the answers."""
    steps = {step for _lane, step, _value in found}
    return stamp(name, scene) | ({"step": str(steps.pop())} if len(steps) == 1 else {})
