"""Doctor: what is wrong with the network, the first cause on top, what follows from it below, and what to try."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.doctor import Diagnosis
from ..diagnostics.rules.base import Evidence, Finding, Rule, percent
from ..fields import Described
from ..text import N_, _, ngettext
from .figure import FIGURES, Axis, Explanation, Figure, FigureKind, Lane, Line, Mark, Note, Plot, Scene, Table
from .reading import (
    columns,
    examined,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    places,
    ranges_text,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "doctor", N_("Doctor")
MOST_LINES = 14.5  # of text and bars that fit on a slide
LINES_OF_A_TITLE = 1.8  # that another lane takes away from them
LONGEST = 0.5  # part of the axis that the longest bar takes; its number is written beside it
FARTHEST = 1e4  # times beyond a threshold; bars end there
NEAREST = 3  # rules that are shown where nothing is found
BAR = 9.0  # thickness
TICK, APART = 0.36, 0.45  # half the height of the mark at the threshold, and room between findings, in lines


class DoctorOptions(Described, frozen=True, kw_only=True):
    """The doctor's figure has no settings."""


@dataclass(frozen=True)
class _Detail:
    """How much is said: parts of the first finding and of the others, see `_of_finding`; how many near thresholds."""

    first: str
    others: str
    near: int


DETAILS = (
    _Detail("hbwt", "hbw", NEAREST),
    _Detail("hbwt", "hb", NEAREST),
    _Detail("hbwt", "h", NEAREST),
    _Detail("hbt", "h", 2),
    _Detail("hbt", "", 1),
    _Detail("hb", "", 1),
)


@dataclass(frozen=True)
class _Patient:
    """One lane with what was found in it.

    near    (name of the rule, number) of what comes nearest to a threshold, where nothing was found
    rules   how many looked
    """

    lane: Lane
    diagnosis: Diagnosis
    near: tuple[tuple[str, Evidence], ...]
    rules: int


def _patient(lane: Lane, scene: Scene) -> _Patient | None:
    said = examined(lane, scene)
    if said is None:
        return None
    found = said.diagnosis
    near = () if found else tuple((_(Rule.registry[name].label), number) for name, number in said.measured[:NEAREST])
    return _Patient(lane, found, near, sum(rule.active for rule in said.rules))


def build(scene: Scene, options: DoctorOptions) -> Figure:
    """The figure; see the module's sentence."""
    found = [patient for lane in scene.lanes if (patient := _patient(lane, scene)) is not None]
    title = _(TITLE)
    if not found:
        return nothing(NAME, title, scene, _unknown(scene))
    lowest, farthest = _reach(found)
    every = _lines(found)
    plots = []
    for patient, rows in zip(found, every, strict=True):
        heights = _heights(rows)
        marks = [mark for row, y in zip(rows, heights, strict=True) for mark in row.marks(y, lowest, farthest)]
        plots.append(
            Plot(
                x=Axis(_("times beyond the threshold"), "log", limits=(lowest, farthest)),
                y=Axis(_heading(patient, rows), limits=(heights[-1] - 0.6, 0.6), ticks=()),
                marks=tuple(marks),
                title=lane_title(patient.lane, scene) if len(scene.lanes) > 1 else "",
            )
        )
    return Figure(
        NAME,
        title,
        _subtitle(found, scene),
        tuple(plots),
        table=Table(lambda: _table(found, scene)),
        stamp=stamp(NAME, scene),
        heights=tuple(2.5 - _heights(rows)[-1] for rows in every),
    )


def _unknown(scene: Scene) -> str:
    """Why nobody can be examined."""
    known = any(moment_at(lane.view, scene.step) is not None for lane in scene.lanes)
    return _("What the network is made of is not known, so nobody can be examined.") if known else ""


def _subtitle(found: list[_Patient], scene: Scene) -> str:
    count = sum(len(patient.diagnosis.findings) for patient in found)
    if not count:
        said = ngettext("{rules} rule, nothing found", "{rules} rules, nothing found", found[0].rules)
        return f"{said.format(rules=found[0].rules)} · {_step_text(found, scene)}"
    said = ngettext("{count} finding", "{count} findings", count)
    return f"{said.format(count=count)} · {_step_text(found, scene)}"


def _step_text(found: list[_Patient], scene: Scene) -> str:
    """The step that was looked at: while playing it may be some steps ago."""
    looked = {patient.diagnosis.step for patient in found}
    return step_text(Scene(scene.lanes, looked.pop())) if len(looked) == 1 else step_text(scene)


def _heading(patient: _Patient, rows: list[_Row]) -> str:
    """What stands above the rows: how they are ordered, or what there is no room for."""
    if not patient.diagnosis:
        return _("nearest to a threshold on top")
    others = patient.diagnosis.findings[1:]
    if sum(row.begins for row in rows) > 1 or not others:
        return _("first cause on top")
    if len(others) > 2:
        return _("and {count} more").format(count=len(others))
    names = ", ".join(_(Rule.registry[finding.rule].label) for finding in others)
    return _("also: {rules}").format(rules=names)


def _reach(found: list[_Patient]) -> tuple[float, float]:
    """Ends of the axis: the threshold is at 1, and the longest bar leaves room for its number."""
    beyond = [f.evidence[0].excess for patient in found for f in patient.diagnosis.findings]
    beyond = [min(excess, FARTHEST) for excess in beyond if excess > 0.0 and math.isfinite(excess)]
    healthy = any(not patient.diagnosis for patient in found)
    below = 1.0 if healthy else 0.3  # decades that are shown on the healthy side
    longest = max(math.log10(max(beyond, default=1.0)), 0.0)
    return 10.0**-below, 10.0 ** max((longest + below) / LONGEST - below, 1.0)


# --- rows


@dataclass(frozen=True)
class _Row:
    """One line of the figure: a text, or a bar with a number.

    excess   how far beyond the threshold the bar reaches; None for a text
    begins   a finding begins here: there is some room above
    """

    text: str
    color: str
    excess: float | None = None
    begins: bool = False

    def marks(self, y: float, lowest: float, farthest: float) -> list[Mark]:
        gap = (farthest / lowest) ** 0.009
        if self.excess is None:
            return [Note(lowest * gap, y, self.text, self.color)]
        end = lowest * (farthest / lowest) ** LONGEST
        if not math.isnan(self.excess):
            end = min(end, max(self.excess, lowest * 1.01))
        bar = Line(np.array([lowest, end]), np.array([y, y]), self.color, width=BAR)
        threshold = Line(np.array([1.0, 1.0]), np.array([y - TICK, y + TICK]), "text", _("threshold"), width=1.5)
        return [bar, threshold, Note(end * gap * gap, y, self.text, "text")]


def _heights(rows: list[_Row]) -> list[float]:
    """Where every row stands, downward from 0."""
    found, y = [], 0.0
    for number, row in enumerate(rows):
        y -= (APART if row.begins else 0.0) + 1.0 if number else 0.0
        found.append(y)
    return found


def _lines(found: list[_Patient]) -> list[list[_Row]]:
    """The rows of every lane, with as much said of every finding as there is room for."""
    most = MOST_LINES - LINES_OF_A_TITLE * (len(found) - 1)
    for detail in DETAILS:
        every = [_of_sick(p, detail) if p.diagnosis else _of_healthy(p, detail) for p in found]
        if sum(1.0 - _heights(rows)[-1] for rows in every) <= most:
            break
    return every


def _of_healthy(patient: _Patient, detail: _Detail) -> list[_Row]:
    said = ngettext(
        "{rules} rule has looked and found nothing", "{rules} rules have looked and found nothing", patient.rules
    ).format(rules=patient.rules)
    rows = [_Row(said, "good")]
    for label, evidence in patient.near[: detail.near]:
        rows.append(_Row(f"{label}: {evidence.text}", "muted", begins=True))
        rows.append(_Row(number_of(evidence), "good", evidence.excess))
    return rows


def _of_sick(patient: _Patient, detail: _Detail) -> list[_Row]:
    first, *others = patient.diagnosis.findings
    rows = _of_finding(first, patient.lane, detail.first)
    if detail.others:
        for finding in others:
            rows += _of_finding(finding, patient.lane, detail.others)
    return rows


def _of_finding(finding: Finding, lane: Lane, parts: str) -> list[_Row]:
    """Its rows: h headline, b bar, w where, t what to try."""
    rows = []
    if "h" in parts:
        rows.append(_Row(("↳ " if finding.follows_from else "") + finding.headline, finding.severity, begins=True))
    if "b" in parts:
        rows.append(_Row(number_of(finding.evidence[0]), finding.severity, finding.evidence[0].excess))
    if "w" in parts:
        rows.append(_Row(_where(finding, lane), "muted"))
    if "t" in parts and finding.proposals:
        rows.append(_Row(_("Try: {proposal}").format(proposal=finding.proposals[0].text), "text"))
    return rows


def number_of(evidence: Evidence) -> str:
    """The number beside its threshold: "×0.24, threshold ×0.91"."""
    said = _("{value}, warns below {threshold}") if evidence.is_below else _("{value}, warns above {threshold}")
    return said.format(value=value_text(evidence), threshold=value_text(evidence, evidence.threshold))


def value_text(evidence: Evidence, value: float | None = None) -> str:
    """The number, or another one of its kind, in short: "×0.24", "67 %"."""
    value = evidence.value if value is None else value
    if evidence.quantity.endswith("_fraction"):
        return percent(value)
    return ("×" if evidence.factor else "") + number_text(value, 2)


def _where(finding: Finding, lane: Lane) -> str:
    """What follows from what, in which layers, since when."""
    said = []
    if finding.follows_from:
        causes = ", ".join(_(Rule.registry[name].label) for name in finding.follows_from)
        said.append(_("follows from: {causes}").format(causes=causes))
    layers = layers_text(finding, lane)
    if layers:
        said.append(_("layers {layers}").format(layers=layers))
    said.append(_("since step {step}").format(step=number_text(finding.first_step, 9)))
    if finding.last_step > finding.first_step:
        said[-1] = _("steps {first} to {last}").format(
            first=number_text(finding.first_step, 9), last=number_text(finding.last_step, 9)
        )
    return " · ".join(said)


def layers_text(finding: Finding, lane: Lane) -> str:
    """The layers of a finding as charts count them, "1–3, 5"; "" where it is about the whole training."""
    shown = places(lane, "main")
    paths = lane.view.layers
    wanted = set(finding.layers)
    ends = [place.weighted for place in shown[1:]] + [len(paths)]
    chosen = np.array(
        [
            any(path in wanted for path in paths[max(place.weighted, 0) : end])
            for place, end in zip(shown, ends, strict=True)
        ],
        dtype=bool,
    )
    return ranges_text([place.text for place in shown], chosen) if finding.layers else ""


def _table(found: list[_Patient], scene: Scene) -> dict[str, NDArray[Any]]:
    def texts(values: list[str]) -> NDArray[Any]:
        return np.array(values, dtype=str)

    parts = []
    for patient in found:
        findings = patient.diagnosis.findings
        parts.append(
            {
                "lane": texts([patient.lane.name] * len(findings)),
                "step": np.full(len(findings), patient.diagnosis.step),
                "rule": texts([f.rule for f in findings]),
                "severity": texts([f.severity for f in findings]),
                "headline": texts([f.headline for f in findings]),
                "value": np.array([f.evidence[0].value for f in findings], dtype=np.float64),
                "threshold": np.array([f.evidence[0].threshold for f in findings], dtype=np.float64),
                "first_step": np.array([f.first_step for f in findings], dtype=np.int64),
                "last_step": np.array([f.last_step for f in findings], dtype=np.int64),
                "layers": texts([" ".join(f.layers) for f in findings]),
                "follows_from": texts([" ".join(f.follows_from) for f in findings]),
                "proposal": texts([f.proposals[0].text if f.proposals else "" for f in findings]),
            }
        )
    return columns(parts)


def explain(scene: Scene, options: DoctorOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "What the doctor's rules find in the numbers recorded up to this step. A bar shows how far a number is "
            "beyond its threshold, which is the mark on it; what follows from another finding stands below it."
        ),
        why=_(
            "One illness has many symptoms: where the gradient vanishes, weights stand still and the loss stays at "
            "guessing. Mending a symptom helps nobody; the first cause is what to mend."
        ),
        good=_("No finding. A warning may pass by itself; an alarm says that training cannot go well like this."),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    patient = _patient(lane, scene)
    if patient is None:
        return _unknown(Scene((lane,), scene.step)) or _("Nothing is recorded yet.")
    first = patient.diagnosis.first
    if first is None:
        said = _("Nothing is found.")
        if patient.near:
            label, evidence = patient.near[0]
            said += " " + _("Nearest to a threshold: {rule}, {number}.").format(rule=label, number=number_of(evidence))
        return said
    parts = [f"{first.headline}.", first.explanation]
    if first.proposals:
        parts.append(_("Try: {proposal}.").format(proposal=first.proposals[0].text))
    others = [_(Rule.registry[f.rule].label) for f in patient.diagnosis.findings[1:]]
    if others:
        parts.append(_("Also found: {rules}.").format(rules=", ".join(others)))
    return " ".join(parts)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, DoctorOptions))
