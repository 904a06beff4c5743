"""What figures of studies have in common: whose answers they draw, and of which step these are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..studies.base import Study
from ..text import _
from .figure import Lane, Scene
from .reading import lane_prefix, moment_at, stamp
from .scales import number_text

Value = TypeVar("Value")


def answered(scene: Scene, study: Study, kind: type[Value]) -> list[tuple[Lane, int, Value]]:
    """(lane, step of the answer, answer) of the lanes that have one and a moment to show."""
    found = []
    for lane in scene.lanes:
        answer = lane.study(study) if moment_at(lane.view, scene.step) is not None else None
        if answer is not None and isinstance(answer.value, kind):
            found.append((lane, answer.step, answer.value))
    return found


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
