"""Waterfall: what every operation does to the gradient on its way back from the loss: one sees who killed it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..diagnostics.waterfall import Falls, falls
from ..fields import Described
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Boxes,
    Explanation,
    Figure,
    FigureKind,
    Lane,
    Line,
    Mark,
    Note,
    Plot,
    Rule,
    Scene,
    Table,
)
from .reading import (
    Moment,
    columns,
    lane_title,
    moment_at,
    nothing,
    per_lane,
    ranges_text,
    remark,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "waterfall", N_("Waterfall")
# What an operation is for, with its color and its name in a legend.
PARTS = {
    "weights": ("lane-0", N_("weights")),
    "function": ("lane-1", N_("slope of the function")),
    "normalization": ("lane-2", N_("normalization")),
    "block": ("lane-3", N_("block with its skip or branches")),
    "regularization": ("theory", N_("dropout")),
    "shape": ("muted", N_("pooling, another shape")),
}
WIDTH = 0.72  # of a bar, in layers


class WaterfallOptions(Described, frozen=True, kw_only=True):
    """The waterfall has no settings."""


def _falls(lane: Lane, moment: Moment) -> Falls:
    return falls(lane.plan, lane.view.layers, moment.layers("gradient.rms"))


def build(scene: Scene, options: WaterfallOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [
        (lane, moment, _falls(lane, moment))
        for lane in scene.lanes
        if (moment := moment_at(lane.view, scene.step)) is not None
    ]
    if not found:
        return nothing(NAME, title, scene)
    low, high = _limits([way for _lane, _moment, way in found])
    deepest = max(len(way.paths) for _lane, _moment, way in found)
    plots = []
    for number, (lane, _moment, way) in enumerate(found):
        last = number == len(found) - 1
        plots.append(
            Plot(
                x=Axis(
                    _("layer (data → loss), the gradient comes from the right") if last else _("layer"),
                    limits=(0.4, deepest + 0.6),
                    ticks=_ticks(way),
                ),
                y=Axis(_("log₁₀ of the gradient’s rms, output layer = 0"), limits=(low, high)),
                marks=tuple(_marks(way, low)),
                title=lane_title(lane, scene) if len(found) > 1 else "",
            )
        )
    return Figure(
        NAME,
        title,
        _("gain of every operation on the way back · {step}").format(step=step_text(scene)),
        tuple(plots),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
    )


def _limits(ways: list[Falls]) -> tuple[float, float]:
    """Whole decades around all levels, with room for what is written."""
    levels = np.concatenate([way.levels for way in ways])
    levels = levels[np.isfinite(levels)]
    low, high = (float(levels.min()), float(levels.max())) if levels.size else (0.0, 0.0)
    return math.floor(min(low - 0.15, -1.0)), math.ceil(max(high + 0.15, 1.0))


def _ticks(way: Falls) -> tuple[tuple[float, str], ...]:
    """Numbers of the layers, as many as have room."""
    count = len(way.paths)
    every = max(1, -(-count // 25))
    return tuple((i + 1.0, str(i + 1)) for i in range(count) if i % every == 0)


def _marks(way: Falls, floor: float) -> list[Mark]:
    x = np.arange(1.0, len(way.paths) + 1.0)
    marks: list[Mark] = [Rule(0.0, "muted", dash="dotted")]
    none = np.full(len(x), np.nan)
    for group, (color, label) in PARTS.items():
        mine = np.array([own == group for own in way.groups]) & np.isfinite(way.gains)
        if not mine.any():
            continue
        before, after = none.copy(), none.copy()  # behind the layer, seen from the loss: its output, its input
        before[mine] = way.levels[mine]
        after[mine] = way.levels[mine] + way.gains[mine]
        low, high = np.minimum(before, after), np.maximum(before, after)
        marks.append(Boxes(x, low, high, None, (low, high), none, color, _(label), WIDTH))
    # The level that is handed from bar to bar.
    edges = np.column_stack([x - 1.0 + WIDTH / 2, x - WIDTH / 2]).ravel() + 0.0
    held = np.repeat(np.append(np.nan, way.levels[:-1]), 2)
    gaps = np.column_stack([edges.reshape(-1, 2), np.full(len(x), np.nan)]).ravel()
    levels = np.column_stack([held.reshape(-1, 2), np.full(len(x), np.nan)]).ravel()
    marks.append(Line(gaps, levels, "muted", width=1.0))
    texts = [str(i + 1) for i in range(len(x))]
    middle = (len(x) + 1) / 2
    if np.any(zero := np.isneginf(way.levels)):
        said = _("gradient exactly 0 behind layer {layers}").format(layers=ranges_text(texts, zero))
        marks.append(remark(middle, floor / 2, said))
    if np.any(strange := np.isnan(way.levels)):
        said = _("not a finite number behind layer {layers}").format(layers=ranges_text(texts, strange))
        marks.append(remark(middle, floor / 2, said))
    if math.isfinite(way.total) and len(x) > 1:
        said = _("total {total} = ×{factor}").format(
            total=_signed(way.total), factor=number_text(10.0 ** max(-300.0, min(300.0, way.total)), 2)
        )
        marks.append(Note(1.0, float(way.levels[0]), said, "text", "left", free=True))
    return marks


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + number_text(round(value, 2), 3)


def _table(found: list[tuple[Lane, Moment, Falls]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [
            {
                "lane": lane.name,
                "step": moment.step,
                "position": np.arange(1, len(way.paths) + 1),
                "layer": list(way.paths),
                "kind": list(way.titles),
                "part": [_(PARTS[group][1]) for group in way.groups],
                "log10 gain": way.gains,
                "log10 gradient.rms, last layer = 0": way.levels,
            }
            for lane, moment, way in found
        ]
    )


def explain(scene: Scene, options: WaterfallOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "One bar for every operation: by what it multiplies the gradient’s size (rms per number) on its way back, "
            "as a power of ten. A bar that goes down takes away, one that goes up adds; all together lead from the "
            "output layer to the first one."
        ),
        why=_(
            "A gradient that vanishes was made small somewhere. Weights multiply it by about the root of n·Var, a "
            "function by its slope, normalization divides by the spread of the signal; here one sees which it was."
        ),
        good=_(
            "Ups and downs that cancel: the last bar on the left ends within a power of ten of where the first began."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene)),
    )


def _yours(lane: Lane, scene: Scene) -> str:
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return _("Nothing is recorded yet.")
    way = _falls(lane, moment)
    if len(way.paths) < 2:
        return _("There is one layer only, so nothing lies between it and the loss.")
    if not math.isfinite(way.total):
        if np.isneginf(way.levels).any():
            return _("The gradient becomes exactly 0 on the way: nothing behind that place learns.")
        return _("The gradient is not a finite number: the training has broken down.")
    parts = way.by_group()
    said = ", ".join(
        f"{_(PARTS[group][1])} {_signed(gain)}" for group, gain in sorted(parts.items(), key=lambda part: part[1])
    )
    return _("From the output to the first layer the gradient changes by 10 to the {total}: {parts}.").format(
        total=_signed(way.total), parts=said
    )


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, WaterfallOptions))
