"""Autopsy: what grew in the steps before a number became NaN or infinite, which operation it was, and why."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.autopsy import Autopsy, Growth, operand_text
from ..fields import Described
from ..studies.autopsy import AutopsyStudy
from ..studies.base import Study
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Dash,
    Explanation,
    Figure,
    FigureKind,
    Lane,
    Line,
    Mark,
    Marker,
    Plot,
    Rule,
    Scene,
    Table,
    Words,
)
from .reading import columns, cue_of, lane_prefix, moment_at, nothing, per_lane, stamp

Array = NDArray[np.float64]
NAME, TITLE = "autopsy", N_("Autopsy")
STUDY = AutopsyStudy()
# One look for each quantity; several lanes differ by color.
LOOKS: tuple[tuple[Dash, Marker, str], ...] = (
    ("solid", "circle", "lane-0"),
    ("dashed", "square", "lane-1"),
    ("dash-dot", "triangle", "lane-2"),
)
FEW = 60  # points that have markers


class AutopsyOptions(Described, frozen=True, kw_only=True):
    """The figure of an autopsy has no options."""


def needs(options: AutopsyOptions) -> tuple[Study, ...]:
    """The study whose answer the figure draws."""
    return (STUDY,)


def _failures(scene: Scene) -> list[tuple[Lane, Autopsy]]:
    """The lanes in which a step failed."""
    found = []
    for lane in scene.lanes:
        answer = lane.study(STUDY)
        if answer is not None and isinstance(answer.value, Autopsy):
            found.append((lane, answer.value))
    return found


def build(scene: Scene, options: AutopsyOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    if all(moment_at(lane.view, scene.step) is None for lane in scene.lanes):
        return nothing(NAME, title, scene)
    failures = _failures(scene)
    if not failures:
        return nothing(NAME, title, scene, _("Nothing has failed: every value is finite."))
    marks: list[Mark] = []
    for lane, found in failures:
        marks += _curves(lane, found, scene, alone=len(failures) == 1)
    lines = [mark for mark in marks if isinstance(mark, Line)]
    said = tuple(words for lane, found in failures for words in _words(lane, found, scene, len(failures)))
    where = ", ".join(lane_prefix(lane, scene) + _("step {step:,}").format(step=found.step) for lane, found in failures)
    subtitle = _("failed at {where} · the steps before").format(where=where)
    if not lines:
        return Figure(
            NAME,
            title,
            subtitle,
            (),
            "\n".join(" ".join(words.pieces) for words in said),
            Table(lambda: _table(failures)),
            stamp(NAME, scene),
        )
    first = min(float(line.x[0]) for line in lines)
    last = max(float(found.step) for _lane, found in failures)
    plot = Plot(
        x=Axis(_("step"), limits=(first - 0.02 * (last - first + 1), last + 0.06 * (last - first + 1)), whole=True),
        y=Axis(_("size (log)") if len(failures) == 1 else _("loss and largest value (log)"), "log", _limits(lines)),
        marks=tuple(marks),
    )
    return Figure(NAME, title, subtitle, (plot,), "", Table(lambda: _table(failures)), stamp(NAME, scene), words=said)


def _curves(lane: Lane, found: Autopsy, scene: Scene, alone: bool) -> list[Mark]:
    """The quantities that were followed; of several lanes the one that tells most, that of the failing tensor."""
    marks: list[Mark] = []
    shown = found.growth if alone else found.growth[:1] + found.growth[2:]
    for growth, (dash, marker, color) in zip(shown, LOOKS, strict=False):
        values = _drawable(growth)
        if not np.isfinite(values).any():
            continue
        marks.append(
            Line(
                growth.steps.astype(np.float64),
                values,
                color if alone else cue_of(lane).color,
                lane_prefix(lane, scene) + growth.name,
                dash,
                marker if len(values) <= FEW else "",
            )
        )
    marks.append(Rule(float(found.step), "alarm", "" if alone else lane.name, across="x"))
    return marks


def _drawable(growth: Growth) -> Array:
    """What a logarithmic axis can show; a gap elsewhere, so that the failing step is one."""
    return np.where(np.isfinite(growth.values) & (growth.values > 0.0), growth.values, np.nan)


def _limits(lines: list[Line]) -> tuple[float, float]:
    """Whole powers of ten around everything."""
    values = np.concatenate([line.y for line in lines])
    values = values[np.isfinite(values)]
    low, high = math.floor(math.log10(values.min()) - 0.05), math.ceil(math.log10(values.max()) + 0.3)
    return 10.0 ** max(low, -300), 10.0 ** min(high, 300)


def _words(lane: Lane, found: Autopsy, scene: Scene, lanes: int) -> tuple[Words, ...]:
    """What happened, why, and what to try, with the evidence where there is room; of several lanes one line each."""
    prefix = lane_prefix(lane, scene)
    if lanes > 1:
        return (_line(f"{prefix}{found.short}", "alarm"),)
    cause = found.cause.text[:1].upper() + found.cause.text[1:] + "."
    said = [
        _line(f"{prefix}{found.result}.", "alarm", found.extent),
        _line(cause, "text", " ".join(found.cause.evidence[:2])),
    ]
    if found.proposals:
        said.append(_line(_try(found), "good"))
    return tuple(said)


def _line(text: str, color: str, remark: str = "") -> Words:
    return Words(tuple(text.split(" ")), color, remark=remark)


def _try(found: Autopsy) -> str:
    return _("Try: {proposals}.").format(proposals="; ".join(proposal.text for proposal in found.proposals))


def _table(failures: list[tuple[Lane, Autopsy]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [
            {
                "lane": lane.name,
                "quantity": growth.name,
                "step": growth.steps,
                "value": growth.values,
                "failed_step": found.step,
                "factor": growth.factor,
            }
            for lane, found in failures
            for growth in found.growth
        ]
    )


def explain(scene: Scene, options: AutopsyOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "Where a number becomes NaN or infinite, training ends before that step. The curves are the steps before "
            "it: the loss, the norm of the gradient and the largest value of the tensor that failed."
        ),
        why=_(
            "NaN spreads: one step later all weights are NaN and nothing tells where it began. The failing step is "
            "computed once more, operation by operation, so that the first one that went wrong is known."
        ),
        good=_("No figure at all: every value is finite. Curves that rise in every step say that it was coming."),
        yours=per_lane(scene, _yours),
    )


def _yours(lane: Lane) -> str:
    answer = lane.study(STUDY)
    if answer is None or not isinstance(answer.value, Autopsy):
        return _("Nothing has failed: every value is finite.")
    found = answer.value
    said = [found.short]
    if found.extent:
        said.append(found.extent)
    if found.operands:
        said.append(_("Given: {operands}.").format(operands="; ".join(map(operand_text, found.operands))))
    said += found.cause.evidence
    if found.proposals:
        said.append(_try(found))
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, AutopsyOptions, needs))
