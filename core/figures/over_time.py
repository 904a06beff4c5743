"""Over time: a wall of color, layers above one another, steps side by side; vanishing gradients at a glance."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..text import N_, _
from .figure import (
    FIGURES,
    Axis,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Mark,
    Note,
    Plot,
    Rule,
    Scale,
    Scene,
    Table,
)
from .history import Binned, binned
from .quantities import QUANTITIES
from .reading import (
    LayersOption,
    Place,
    columns,
    lane_title,
    layer_name,
    layer_ticks,
    moment_at,
    nothing,
    per_lane,
    places,
    ranges_text,
    stamp,
    step_text,
)
from .scales import inverse, number_text, robust_range, transform

Array = NDArray[np.float64]
NAME, TITLE = "over-time", N_("Over time")
MOST_COLUMNS = 1000
STANDS_OUT = 0.1  # share of the color scale that an extreme must differ to be shown in place of the bin's own value


class OverTimeOptions(Described, frozen=True, kw_only=True):
    """What the figure over time shows."""

    quantity: Annotated[str, about(N_("quantity"), N_("What the colors mean."), choices=QUANTITIES)] = "gradient.norm"
    layers: LayersOption = "main"
    lane: Annotated[
        Literal["all", "A", "B", "C", "D"], about(N_("lane"), N_("One lane, or all below one another."))
    ] = "all"


def _shown_lanes(scene: Scene, options: OverTimeOptions) -> list[Lane]:
    chosen = [lane for lane in scene.lanes if options.lane in ("all", lane.name)]
    return chosen or list(scene.lanes[:1])


def _of_weights(quantity: str) -> bool:
    return quantity.startswith("weight") or quantity == "update_ratio"


def _indices(shown: tuple[Place, ...], quantity: str) -> list[int]:
    """Columns of the layers; of weights, the layer that has them."""
    if _of_weights(quantity):
        return [p.weighted if p.weighted >= 0 else p.index for p in shown]
    return [p.index for p in shown]


def build(scene: Scene, options: OverTimeOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    quantity = QUANTITIES[options.quantity]
    found: list[tuple[Lane, tuple[Place, ...], Binned]] = []
    for lane in _shown_lanes(scene, options):
        if len(lane.view) and lane.view.layers and options.quantity in lane.view.layer_columns:
            found.append((lane, places(lane, options.layers), binned(lane.view, options.quantity, MOST_COLUMNS)))
    if not found:
        return nothing(NAME, title, scene, _unrecorded(_shown_lanes(scene, options), options))
    scale: Scale = quantity.scale
    grids = [
        [transform(part[:, _indices(shown, options.quantity)] * quantity.factor, scale) for part in parts(bins)]
        for _lane, shown, bins in found
    ]
    limits = _limits([grid[0] for grid in grids], scale, quantity.unit)
    first = min(int(bins.starts[0]) for _lane, _shown, bins in found)
    end = max(bins.end for _lane, _shown, bins in found)
    x = Axis(_("step"), limits=(float(first), float(max(end, first + 1))), whole=True)
    plots = []
    for (lane, shown, bins), grid in zip(found, grids, strict=True):
        values = inverse(_chosen(grid, limits, scale), scale)
        label = _(quantity.label) + (f" ({quantity.unit})" if quantity.unit else "")
        marks: list[Mark] = [
            Heatmap(
                values=np.ascontiguousarray(values.T),
                x_edges=np.append(bins.starts, bins.end).astype(np.float64),
                y_edges=np.arange(0.5, len(shown) + 1.0),
                label=label,
                scale=scale,
                limits=limits,
            )
        ]
        if scene.step < bins.end - 1:
            marks.append(Rule(scene.step + 0.5, "#ffffff", across="x", dash="solid"))
        if not np.isfinite(values).any():
            text = (
                _("no number that can be drawn") if scale != "log" else _("no positive number: all zero or not finite")
            )
            marks.append(Note((first + end) / 2, (len(shown) + 1) / 2, text, "alarm", "center"))
        ticks = layer_ticks([shown])
        axis = Axis(_("layer (data → loss)"), limits=(0.5, len(shown) + 0.5), ticks=ticks)
        plots.append(Plot(x, axis, tuple(marks), title=lane_title(lane, scene) if len(found) > 1 else ""))
    heights = tuple(float(max(len(shown), 3)) for _lane, shown, _bins in found)
    label = _(quantity.label) + (f", {quantity.unit}" if quantity.unit else "")
    return Figure(
        NAME,
        title,
        f"{label} · {step_text(scene)}",
        tuple(plots),
        table=Table(lambda: _table(found, options)),
        stamp={**stamp(NAME, scene), "quantity": options.quantity},
        heights=heights if max(heights) <= 3 * min(heights) else (),
    )


def _unrecorded(lanes: list[Lane], options: OverTimeOptions) -> str:
    """Why records that are not empty have nothing to show; "" where they could."""
    if all(options.quantity in lane.view.layer_columns for lane in lanes):
        return ""
    return _(
        "Only counted for numbers of 16 bits: set the training's precision to float16 or bfloat16, or choose another "
        "quantity."
    )


def parts(bins: Binned) -> tuple[Array, ...]:
    """What a cell can show: the value at the bin's first step, or one of its extremes."""
    return (bins.first,) if bins.whole else (bins.first, bins.least, bins.most)


def _limits(grids: list[Array], scale: Scale, unit: str) -> tuple[float, float] | None:
    """Ends of the common color scale, on round places so that colors do not flicker; None when nothing is finite."""
    found = robust_range(np.concatenate([grid.ravel() for grid in grids]))
    if found is None:
        return None
    low, high = found
    if scale == "log":
        low, high = math.floor(low * 2 + 1e-9) / 2, math.ceil(high * 2 - 1e-9) / 2
        if high - low < 1.0:
            low, high = low - 0.5, high + 0.5
    elif unit == "%":
        low, high = 0.0, 100.0 if high > 20.0 else 20.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    ends = inverse([low, high], scale)
    return float(ends[0]), float(ends[1])


def _chosen(grid: list[Array], limits: tuple[float, float] | None, scale: Scale) -> Array:
    """Places to show: the value at the bin's first step, or the extreme that stands out from it, so that a spike of one
    step is seen among thousands."""
    if len(grid) == 1 or limits is None:
        return grid[0]
    first, least, most = grid
    low, high = transform(limits, scale)
    clear = STANDS_OUT * (high - low)
    with np.errstate(invalid="ignore"):
        up, down = most - first, first - least
        shown = np.where((up > clear) & (up >= down), most, np.where(down > clear, least, first))
    # A NaN within a bin is what one looks for: the cell stays empty.
    return np.where(np.isnan(least) | np.isnan(most), np.nan, shown)


def _table(
    found: list[tuple[Lane, tuple[Place, ...], Binned]], options: OverTimeOptions
) -> dict[str, NDArray[np.generic]]:
    rows: list[dict[str, Any]] = []
    for lane, shown, bins in found:
        index = _indices(shown, options.quantity)
        steps, count = len(bins.starts), len(shown)
        rows.append(
            {
                "lane": lane.name,
                "step": np.repeat(bins.starts, count),
                "position": np.tile(np.arange(1, count + 1), steps),
                "layer": np.tile(np.array([lane.view.layers[i] for i in index]), steps),
                options.quantity: bins.first[:, index].ravel(),
                f"{options.quantity} least until the next step": bins.least[:, index].ravel(),
                f"{options.quantity} greatest until the next step": bins.most[:, index].ravel(),
            }
        )
    return columns(rows)


def explain(scene: Scene, options: OverTimeOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    quantity = QUANTITIES[options.quantity]
    return Explanation(
        what=_(
            "{quantity}: every row is a layer, the data at the bottom and the loss at the top; every column is a step "
            "or a few."
        ).format(quantity=_(quantity.label)),
        why=_(
            "One picture instead of a curve for every layer: where in the network and when in the training it changes."
        ),
        good=_(
            "Rows of similar color that change slowly. Empty cells are numbers that are zero on a logarithmic scale, "
            "or not finite."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: OverTimeOptions) -> str:
    if unrecorded := _unrecorded([lane], options):
        return unrecorded
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return _("Nothing is recorded yet.")
    shown, quantity = places(lane, options.layers), QUANTITIES[options.quantity]
    whole = np.asarray(moment.layers(options.quantity))
    values = whole[_indices(shown, options.quantity)] * quantity.factor
    finite = np.flatnonzero(np.isfinite(values))
    if finite.size == 0:
        return _("At this step no layer has a finite number.")
    least, most = finite[np.argmin(values[finite])], finite[np.argmax(values[finite])]
    unit = f"\u00a0{quantity.unit}" if quantity.unit else ""
    said = _("At this step from {low} ({one}) to {high} ({other}).").format(
        low=number_text(float(values[least])) + unit,
        one=layer_name(shown[least]),
        high=number_text(float(values[most])) + unit,
        other=layer_name(shown[most]),
    )
    # Layers without weights have no number of weights; that is no surprise.
    expected = np.array([p.weighted >= 0 or not _of_weights(options.quantity) for p in shown])
    strange = ~np.isfinite(values) & expected
    if np.any(strange):
        said += " " + _("Not finite in layer {layers}.").format(layers=ranges_text([p.text for p in shown], strange))
    return said


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, OverTimeOptions))
