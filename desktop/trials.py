"""A trial is a lane made to prove or refute a proposal of the doctor: the finding is gone there, or it is still there.

What the doctor says while training goes on is held still here, so that nothing flickers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from layerscope.core.diagnostics.doctor import Examination
from layerscope.core.diagnostics.rules.base import Rule
from layerscope.core.experiment import Experiment
from layerscope.core.figures.doctor import value_text
from layerscope.core.figures.figure import Lane
from layerscope.core.lineage import Origin
from layerscope.core.text import _, ngettext


@dataclass(frozen=True)
class Trial:
    """What was tried against a finding.

    rule         the name of the rule whose finding it is against
    text         what the proposal says
    source       the experiment that was found ill
    experiment   the same with the proposal applied
    origin       of both lanes
    since        the step at which it was tried: before it nothing is said
    """

    rule: str
    text: str
    source: Experiment
    experiment: Experiment
    origin: Origin | None
    since: int

    @property
    def key(self) -> tuple[object, ...]:
        """What two trials of the same thing share."""
        return self.rule, self.experiment, self.origin


@dataclass(frozen=True)
class Verdict:
    """What has become of a trial, for one line."""

    state: Literal["follows", "gone", "there"]
    text: str

    @property
    def role(self) -> str:
        """Its color."""
        return {"follows": "muted", "gone": "good", "there": "warning"}[self.state]


def verdict(trial: Trial, name: str, lane: Lane | None, source: Examination | None = None) -> Verdict:
    """Whether the finding is gone.

    name     of the lane in which it was tried
    lane     what is known of that lane; None: nothing yet
    source   what the doctor says of the lane that was ill: what is new in the other one is said too
    """
    said = lane.examination if lane is not None else None
    if said is None or said.diagnosis.step < trial.since:
        return Verdict("follows", _("lane {name} ({proposal}) follows …").format(name=name, proposal=trial.text))
    number = said.number(trial.rule)
    words = {"name": name, "proposal": trial.text, "step": f"{said.diagnosis.step:,}"}
    if said.found(trial.rule) is not None:
        assert number is not None
        text = _("lane {name} ({proposal}): still there at step {step}: {number}")
        return Verdict("there", text.format(**words, number=value_text(number)))
    if number is not None:
        text = _("lane {name} ({proposal}): gone at step {step}: {number}").format(**words, number=value_text(number))
    else:
        text = _("lane {name} ({proposal}): gone at step {step}").format(**words)
    before = {finding.rule for finding in source.diagnosis.findings} if source is not None else set()
    new = [_(Rule.registry[f.rule].label) for f in said.diagnosis.findings if f.rule not in before]
    if new and source is not None:
        text += " · " + ngettext("but new: {rules}", "but new: {rules}", len(new)).format(rules=", ".join(new))
    return Verdict("gone", text)


class Steady:
    """Keeps what is said of each lane until something else has been said twice: findings must not flicker while
    training goes on. Where it stands still, what is said counts at once.
    """

    def __init__(self) -> None:
        self._shown: dict[int, Examination] = {}
        self._waiting: dict[int, Examination] = {}

    def forget(self) -> None:
        """The lanes are others now."""
        self._shown, self._waiting = {}, {}

    def take(self, lane: int, said: Examination | None, playing: bool) -> Examination | None:
        """What is to be shown of a lane, of which this was said last."""
        shown, waiting = self._shown.get(lane), self._waiting.get(lane)
        if said is None or said is waiting:
            return shown if said is waiting else None
        calm = not playing or shown is None or said.rules != shown.rules or said.diagnosis.step < shown.diagnosis.step
        if calm or _names(said) == _names(shown) or (waiting is not None and _names(said) == _names(waiting)):
            self._shown[lane] = said
            self._waiting.pop(lane, None)
        else:
            self._waiting[lane] = said
        return self._shown.get(lane)


def _names(said: Examination | None) -> Sequence[tuple[str, str]]:
    return [(finding.rule, finding.severity) for finding in said.diagnosis.findings] if said is not None else []
