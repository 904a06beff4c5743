"""Chain: how long the gradient is behind every link on its way to the weights, now and over time."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..gradient_steps.base import STAGES, Link
from ..gradient_steps.base import chain as links_of
from ..text import N_, _
from .figure import FIGURES, Axis, Dash, Explanation, Figure, FigureKind, Lane, Line, Mark, Plot, Rule, Scene, Table
from .history import binned
from .reading import (
    Moment,
    columns,
    cue_of,
    factor_text,
    lane_prefix,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    percent_text,
    remark,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "chain", N_("From gradient to update")
MOST_POINTS = 1000
OPTIMIZER = STAGES.index("optimizer")


class ChainOptions(Described, frozen=True, kw_only=True):
    """What the figure of the chain shows."""

    over_time: Annotated[bool, about(N_("over time"), N_("Draw the norms of all steps below those of this one."))] = (
        True
    )


def links(lane: Lane) -> tuple[Link, ...]:
    """The links of a lane whose norms are recorded."""
    if lane.training is None:
        return ()
    return tuple(link for link in links_of(lane.training) if f"norm.{link.name}" in lane.view.run_columns)


def positions(lanes: list[Lane]) -> dict[str, int]:
    """Where every link of some lanes stands, the gradient at 0. All optimizers share one place."""
    found: dict[tuple[int, int, str], None] = {}
    for lane in lanes:
        counts = [0] * len(STAGES)
        for link in links(lane):
            stage = STAGES.index(link.step.stage)
            found[stage, counts[stage], _key(link)] = None
            counts[stage] += 1
    return {key: index + 1 for index, (_stage, _order, key) in enumerate(sorted(found))}


def _key(link: Link) -> str:
    return "optimizer" if link.step.stage == "optimizer" else link.name


def build(scene: Scene, options: ChainOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [
        (lane, moment)
        for lane in scene.lanes
        if links(lane) and (moment := moment_at(lane.view, scene.step)) is not None
    ]
    if not found:
        return nothing(NAME, title, scene)
    lanes = [lane for lane, _moment in found]
    places = positions(lanes)
    plots = [_now(found, scene, places)]
    if options.over_time:
        plots.append(_history(lanes, scene))
    return Figure(
        NAME,
        title,
        _("‖·‖ of all parameters together · {step}").format(step=step_text(scene)),
        tuple(plots),
        table=Table(lambda: _table(lanes)),
        stamp=stamp(NAME, scene),
    )


def _norms(lane: Lane, moment: Moment) -> Array:
    """(links + 1,) norms of the gradient and behind every link."""
    names = ("gradient", *(link.name for link in links(lane)))
    return np.array([float(moment.line[lane.view.run_columns.index(f"norm.{name}")]) for name in names])


def _drawable(values: Array) -> Array:
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _now(found: list[tuple[Lane, Moment]], scene: Scene, places: dict[str, int]) -> Plot:
    marks: list[Mark] = []
    boundary = places["optimizer"] - 0.5
    marks.append(Rule(boundary, "grid", _("updates →"), across="x", dash="solid"))
    ticks = {0: _("gradient")}
    for lane, moment in found:
        look, own = cue_of(lane), links(lane)
        x = np.array([0.0, *(float(places[_key(link)]) for link in own)])
        norms = _norms(lane, moment)
        if len(found) > 1:
            marks.append(Line(x, _drawable(norms), look.color, lane_title(lane, scene), look.dash, look.marker))
        else:
            marks.append(Line(x, _drawable(norms), "muted", width=1.3))
            for index, text in enumerate((_("gradient"), *(_(link.step.label) for link in own))):
                color, _dash = _look(index)
                one = slice(index, index + 1)
                marks.append(Line(x[one], _drawable(norms)[one], color, text, marker="circle"))
        strange = ~np.isfinite(norms)
        if strange.any():
            at = int(np.argmax(strange))
            text = (
                _("not a finite number")
                if at == 0
                else _("not a finite number behind {link}").format(link=_(own[at - 1].step.label))
            )
            marks.append(remark(float(x[at]), 1.0, lane_prefix(lane, scene) + text))
        for link in own:
            text = _(link.step.label)
            key = places[_key(link)]
            ticks[key] = text if ticks.get(key, text) == text else _("optimizer")
    last = max(places.values())
    return Plot(
        x=Axis(_("after"), limits=(-0.4, last + 0.4), ticks=tuple((float(k), v) for k, v in sorted(ticks.items()))),
        y=Axis(_("L2 norm ‖·‖"), "log", limits=_limits(marks)),
        marks=tuple(marks),
    )


def _look(index: int) -> tuple[str, Dash]:
    """Color and dash of the gradient (0) and of the links of a single lane."""
    if index == 0:
        return "muted", "solid"
    dashes: tuple[Dash, ...] = ("solid", "dashed", "dotted", "dash-dot")
    return f"lane-{(index - 1) % 4}", dashes[(index - 1) // 4 % 4]


def _limits(marks: list[Mark]) -> tuple[float, float] | None:
    """Room around the points, so that their markers are seen whole."""
    values = np.concatenate([mark.y for mark in marks if isinstance(mark, Line)])
    values = values[np.isfinite(values) & (values > 0.0)]
    if not values.size or not 1e-290 < values.min() <= values.max() < 1e290:
        return None
    return float(values.min()) / 2.5, float(values.max()) * 2.5


def _history(lanes: list[Lane], scene: Scene) -> Plot:
    """One lane: every link. Several: the gradient and the update of each."""
    marks: list[Mark] = []
    first = min(int(lane.view.steps[0]) for lane in lanes)
    last = max(int(lane.view.steps[-1]) for lane in lanes)
    if scene.step < last:
        marks.append(Rule(float(scene.step), "accent", across="x", dash="solid"))
    for lane in lanes:
        look, own = cue_of(lane), links(lane)
        names = ["gradient", *(link.name for link in own)]
        texts = [_("gradient"), *(_(link.step.label) for link in own)]
        if len(lanes) > 1:
            names, texts = [names[0], names[-1]], [_("gradient"), lane_prefix(lane, scene) + _("update")]
        for index, (name, text) in enumerate(zip(names, texts, strict=True)):
            bins = binned(lane.view, f"norm.{name}", MOST_POINTS)
            x, y = bins.starts.astype(np.float64), _drawable(bins.first)
            if len(lanes) > 1:
                faint = index == 0
                marks.append(Line(x, y, look.color, text, look.dash, width=1.3 if faint else 2.0, faint=faint))
            else:
                color, dash = _look(index)
                marks.append(Line(x, y, color, text, dash))
    room = max(0.012 * (last - first), 0.2)
    return Plot(
        x=Axis(_("step"), limits=(first - room, max(last, first + 1) + room), whole=True),
        y=Axis(_("L2 norm ‖·‖"), "log"),
        marks=tuple(marks),
    )


def _table(lanes: list[Lane]) -> dict[str, NDArray[np.generic]]:
    names = ["gradient", *dict.fromkeys(link.name for lane in lanes for link in links(lane))]
    parts = []
    for lane in lanes:
        bins = {name: f"norm.{name}" for name in names if f"norm.{name}" in lane.view.run_columns}
        steps = binned(lane.view, "loss", MOST_POINTS).starts
        parts.append(
            {
                "lane": lane.name,
                "step": steps,
                **{
                    f"norm.{name}": binned(lane.view, bins[name], MOST_POINTS).first
                    if name in bins
                    else np.full(len(steps), np.nan)
                    for name in names
                },
            }
        )
    return columns(parts)


def explain(scene: Scene, options: ChainOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "The length of the whole gradient as the links of the chain hand it on: penalties add to it, clipping "
            "shortens it, the optimizer makes an update of it, decay and limits change the update."
        ),
        why=_(
            "What moves the weights is the last of these, not the gradient. Here one sees which link decides how far a "
            "step goes."
        ),
        good=_(
            "Clipping acts on a few large gradients and not on every step; a penalty is a small part of the gradient; "
            "the update is small against the weights (see the update ratio)."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    moment, own = moment_at(lane.view, scene.step), links(lane)
    if moment is None or not own:
        return _("Nothing is recorded yet.")
    norms = _norms(lane, moment)
    said = [_("The gradient has norm {norm}.").format(norm=number_text(float(norms[0])))]
    for link, before, after in zip(own, norms[:-1], norms[1:], strict=True):
        name = _(link.step.label)
        if not math.isfinite(after):
            said.append(_("{link} hands on what is not a finite number.").format(link=name))
            break
        if link.step.stage == "optimizer":
            said.append(_("{link} makes an update of norm {norm} of it.").format(link=name, norm=number_text(after)))
        elif before > 0.0 and abs(after / before - 1.0) > 5e-3:
            said.append(
                _("{link} changes it by {factor} to {norm}.").format(
                    link=name, factor=factor_text(after / before), norm=number_text(after)
                )
            )
        else:
            said.append(_("{link} leaves it as it is.").format(link=name))
    if any(link.step.stage == "clipping" for link in own):
        steps = lane.view.steps <= scene.step
        given = lane.view.values("gradient_norm")[steps]
        left = lane.view.values("clipped_gradient_norm")[steps]
        if len(given):
            share = float(np.mean(left < 0.999 * given))
            said.append(_("So far {share} of the steps were clipped.").format(share=percent_text(share)))
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, ChainOptions))
