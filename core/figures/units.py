"""Units: what single units answer to, as small maps of the plane, pictures of their weights, or maps of one image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..network import Plan
from ..registry import Registry
from ..studies.base import Study
from ..studies.units import Row, Units, UnitsStudy
from ..text import N_, _, ngettext
from .answered import answered, stamped, steps_text, unasked
from .figure import (
    FIGURES,
    Axis,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Pictures,
    Plot,
    Scene,
    Table,
)
from .reading import columns, lane_title, layer_name, nothing, per_lane, places
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "units", N_("Units")
Found = Sequence[tuple[Lane, int, Units]]


@dataclass(frozen=True)
class View:
    """One way to show units."""

    label: str


VIEWS: Registry[View] = Registry(N_("view"))
VIEWS.add("auto")(View(N_("as suits the data")))
VIEWS.add("outputs")(View(N_("outputs for all inputs")))
VIEWS.add("weights")(View(N_("weights of the first layer")))
VIEWS.add("sample")(View(N_("outputs for one image")))

ORDERS: Registry[View] = Registry(N_("order"))
ORDERS.add("number")(View(N_("as they are numbered")))
ORDERS.add("size")(View(N_("largest first")))


class UnitsOptions(Described, frozen=True, kw_only=True):
    """What the figure of single units shows."""

    view: Annotated[
        str,
        about(
            N_("view"),
            N_(
                "As suits the data: what each unit puts out everywhere in the plane, where samples are two numbers; "
                "otherwise the weights of the first layer as pictures."
            ),
            choices=VIEWS,
        ),
    ] = "auto"
    layer: Annotated[
        str,
        about(
            N_("layer"),
            N_("Path of the layer whose units are all shown, such as 2 or 3.body.1; empty: a few of every layer."),
            shown_when=("view", ("auto", "outputs", "sample")),
        ),
    ] = ""
    order: Annotated[
        str,
        about(
            N_("order"),
            N_("Largest first: by the length of the weights, or the root mean square of the outputs."),
            choices=ORDERS,
        ),
    ] = "number"
    sample: Annotated[
        int,
        about(
            N_("image"),
            N_("Which validation image is shown to the network, counted from 1."),
            minimum=1,
            shown_when=("view", ("auto", "sample")),
        ),
    ] = 1


def _study(options: UnitsOptions) -> UnitsStudy:
    return UnitsStudy(show=options.view, layer=options.layer, sample=options.sample - 1)  # type: ignore[arg-type]


def needs(options: UnitsOptions) -> tuple[Study, ...]:
    """What the figure asks of the network."""
    return (_study(options),)


def layers_to_choose(scene: Scene) -> list[tuple[str, str]]:
    """(what the option `layer` is to be, what it is called) for the layers of the deepest lane."""
    deepest = max(scene.lanes, key=lambda lane: len(lane.view.layers), default=None)
    if deepest is None:
        return []
    return [
        (deepest.view.layers[place.index], _title(deepest.plan, deepest, place)) for place in places(deepest, "all")
    ]


def build(scene: Scene, options: UnitsOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = answered(scene, _study(options), Units)
    asked = any(lane.study(_study(options)) is not None for lane in scene.lanes)
    if not found:
        why = unasked(scene)
        return nothing(NAME, title, scene, _cannot(options) if asked and why else why)
    show = found[0][2].show
    found = [one for one in found if one[2].show == show]
    if all(not units.rows for _lane, _step, units in found):
        return nothing(NAME, title, scene, _cannot(options))
    several = len(found) > 1
    plots: list[Plot] = []
    for lane, _step, units in found:
        rows = [_ordered(row, options.order) for row in units.rows]
        if units.show in ("line", "weights") and not _as_images(units):
            made = [_matrix(lane, units, row) for row in (_one_of(rows) if several else rows)]
        else:
            made = [_plot(lane, units, row) for row in (_one_of(rows) if several else rows)]
            if units.picture is not None and not several:
                made.insert(0, _input(units))
        if several:
            made = [_beside(plot, lane_title(lane, scene)) for plot in made]
        plots += made
    return Figure(
        NAME,
        {
            "plane": _("Units: outputs in the plane"),
            "line": _("Units: outputs along the line"),
            "weights": _("Units: weights of the first layer"),
            "sample": _("Units: outputs for one image"),
        }[show],
        _subtitle(scene, found),
        tuple(plots),
        table=Table(lambda: _table(found)),
        stamp=stamped(NAME, scene, found),
        heights=() if several else tuple(_share(plot) for plot in plots),
        beside=several,
    )


def _cannot(options: UnitsOptions) -> str:
    if options.layer and options.view != "weights":
        return _("Nothing of layer {layer} can be drawn as a picture.").format(layer=options.layer)
    if options.view == "outputs":
        return _("Outputs for all inputs are drawn where samples are one or two numbers.")
    if options.view == "sample":
        return _("No layer puts out images for an image.")
    return _("No layer has weights that could be drawn.")


def _one_of(rows: Sequence[Row]) -> Sequence[Row]:
    """The layer that is shown where several lanes stand side by side: the last one before the output."""
    return rows[-2:-1] or rows[-1:]


def _share(plot: Plot) -> float:
    """How much of the height a plot takes."""
    pictures = plot.pictures
    if pictures is None:
        cells = next((mark.values.shape[0] for mark in plot.marks if isinstance(mark, Heatmap)), 1)
        return 0.25 + min(cells, 32) / 16.0
    return 1.0 + math.sqrt(max(0, len(pictures.values) - 16)) / 6.0


def _as_images(units: Units) -> bool:
    """Whether maps are pictures, and not rows of a matrix."""
    return units.show in ("plane", "sample") or (units.show == "weights" and units.rows[0].maps.shape[1] > 1)


def _ordered(row: Row, order: str) -> Row:
    if order == "number":
        return row
    size = np.where(np.isnan(row.norms), np.inf, row.norms)
    chosen = np.argsort(-size, kind="stable")
    return replace(row, index=row.index[chosen], maps=row.maps[chosen], norms=row.norms[chosen])


# --- pictures


def _spread(values: Array) -> float:
    """The largest size of a number; 1 where there is none."""
    finite = np.abs(values[np.isfinite(values)])
    largest = float(finite.max()) if finite.size else 0.0
    return largest if largest > 0.0 else 1.0


def _plot(lane: Lane, units: Units, row: Row) -> Plot:
    """The units of one layer, side by side; all channels of a unit stand beside each other."""
    maps = row.maps
    if maps.shape[-1] > 1:
        gap = np.full((*maps.shape[:2], 1), np.nan)
        parts = [part for channel in np.moveaxis(maps, -1, 0) for part in (gap, channel)][1:]
        maps = np.concatenate(parts, axis=2)
    else:
        maps = maps[..., 0]
    if units.show == "plane":
        maps = maps[:, ::-1]  # the first row of a picture is on top
    limit = _spread(maps)
    captions = tuple(
        (str(int(number) + 1), *((number_text(float(norm), 2),) if row.exact else ()))
        for number, norm in zip(row.index, row.norms, strict=True)
    )
    pictures = Pictures(
        np.ascontiguousarray(maps),
        captions,
        (-limit, limit),
        "diverging",
        says=_says(units, row, maps),
    )
    return Plot(
        Axis(_("column"), limits=(0.0, 1.0), ticks=()),
        Axis(_measured(units, row, limit), limits=(0.0, 1.0), ticks=()),
        (pictures,),
        title=_row_title(lane, row),
    )


def _measured(units: Units, row: Row, limit: float) -> str:
    """What the colors and the numbers below the pictures say."""
    colors = _("blue {low} to orange {high}").format(low=number_text(-limit, 2), high=number_text(limit, 2))
    if len(row.index) < row.of:
        colors += ", " + _("{count} of {all} units").format(count=len(row.index), all=row.of)
    if not row.exact:
        return _("{colors}; directions, whose lengths are learned apart").format(colors=colors)
    if units.show == "weights":
        return _("{colors}; below: number and length ‖w‖").format(colors=colors)
    return _("{colors}; below: number and rms").format(colors=colors)


def _says(units: Units, row: Row, maps: Array) -> Callable[[int, int, int], Sequence[str]]:
    def says(picture: int, line: int, column: int) -> Sequence[str]:
        value = float(maps[picture, line, column])
        head = _("unit {number}").format(number=int(row.index[picture]) + 1)
        if units.show == "weights":
            found = [head, _("weight {value}").format(value=number_text(value, 4))]
        else:
            found = [head, _("output {value}").format(value=number_text(value, 4))]
        if units.show == "plane":
            (left, right), (bottom, top) = units.ranges
            x = left + (column + 0.5) / maps.shape[2] * (right - left)
            y = top - (line + 0.5) / maps.shape[1] * (top - bottom)
            found.append(f"x₁ {number_text(x, 3)}, x₂ {number_text(y, 3)}")
        else:
            found.append(_("row {row}, column {column}").format(row=line + 1, column=column + 1))
        return found

    return says


def _input(units: Units) -> Plot:
    """The image that the network sees."""
    assert units.picture is not None
    picture = units.picture
    low, high = float(np.nanmin(picture)), float(np.nanmax(picture))
    limits = (low, high) if high > low else (low, low + 1.0)
    values = (picture - limits[0]) / (limits[1] - limits[0]) if picture.shape[-1] == 3 else picture.mean(axis=-1)
    caption = (_("true {truth}").format(truth=_(units.truth)),) if units.truth else ()
    return Plot(
        Axis(_("column"), limits=(0.0, 1.0), ticks=()),
        Axis(_("what the network is shown"), limits=(0.0, 1.0), ticks=()),
        (Pictures(values[np.newaxis], (caption,), limits),),
        title=_("Image {number}").format(number=units.sample + 1),
    )


# --- matrices


def _matrix(lane: Lane, units: Units, row: Row) -> Plot:
    """Units as the rows of a matrix: outputs along the line of inputs, or the weights of each."""
    values = row.maps[:, 0, :, 0]
    count, width = values.shape
    limit = _spread(values)
    if units.show == "line":
        (low, high) = units.ranges[0]
        edges, x = np.linspace(low, high, width + 1), Axis("x", limits=(low, high))
    else:
        edges = np.arange(width + 1.0) + 0.5
        x = Axis(_("input"), limits=(0.5, width + 0.5), whole=True)
    names = tuple((count - 0.5 - k, str(int(number) + 1)) for k, number in enumerate(row.index))
    heat = Heatmap(
        values[::-1],
        edges,
        np.arange(count + 1.0),
        _("output") if units.show == "line" else _("weight"),
        limits=(-limit, limit),
        colormap="diverging",
        scaled=False,
    )
    colors = _("blue {low} to orange {high}").format(low=number_text(-limit, 2), high=number_text(limit, 2))
    return Plot(
        x,
        Axis(_("↓ unit; {colors}").format(colors=colors), limits=(0.0, float(count)), ticks=tuple(reversed(names))),
        (heat,),
        title=_row_title(lane, row),
    )


# --- words


def _title(plan: Plan, lane: Lane, place: Any) -> str:
    return f"{lane.view.layers[place.index]} {place.title}"


def _row_title(lane: Lane, row: Row) -> str:
    """ "layer 2 · Tanh", "the output", "layer 2.body.1 · ReLU"."""
    cards = {card.path: card for card in lane.plan.cards}
    name = ""
    for place in places(lane, "main"):
        theirs = (lane.view.layers[index] for index in (place.index, place.weighted) if index >= 0)
        if row.path in theirs:
            name = layer_name(place)
    name = name or _("layer at {path}").format(path=row.path)
    kind = cards[row.path].layer.title() if row.path in cards else row.kind
    return f"{name[:1].upper()}{name[1:]} · {kind}"


def _beside(plot: Plot, title: str) -> Plot:
    """The plot under the name of its lane, with what is measured below."""
    return replace(plot, title=title, foot=f"{plot.title}: {plot.y.label}")


def _subtitle(scene: Scene, found: Found) -> str:
    said = []
    if any(units.averaged for _lane, _step, units in found):
        said.append(_("averaged weights"))
    return " · ".join([*said, steps_text(scene, found)])


def _table(found: Found) -> dict[str, NDArray[Any]]:
    """Every cell of every map."""
    parts = []
    for lane, step, units in found:
        for row in units.rows:
            units_, lines, across, channels = np.indices(row.maps.shape)
            parts.append(
                {
                    "lane": lane.name,
                    "step": step,
                    "layer": row.path,
                    "unit": row.index[units_.ravel()] + 1,
                    "row": lines.ravel() + 1,
                    "column": across.ravel() + 1,
                    "channel": channels.ravel() + 1,
                    "value": row.maps.ravel(),
                }
            )
    return columns(parts)


# --- explanation


def explain(scene: Scene, options: UnitsOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    found = answered(scene, _study(options), Units)
    show = found[0][2].show if found else "plane"
    what = {
        "plane": _(
            "Every small map is one unit: its output at every place of the plane. Blue is below zero, orange above, "
            "paler is nearer to zero; all units of a layer share one scale."
        ),
        "line": _("Every row is one unit: its output for every input. Blue is below zero, orange above."),
        "weights": _(
            "Every picture is one unit of the first layer: the weights with which it looks at the inputs, in their "
            "places. Blue weights are below zero, orange ones above; all share one scale."
        ),
        "sample": _(
            "Every picture is one channel of a layer: what it puts out for the image above, place by place. Blue is "
            "below zero, orange above; all channels of a layer share one scale."
        ),
    }[show]
    return Explanation(
        what=what,
        why=_(
            "A network is made of such units. What the first ones see is simple; later ones put it together. Two that "
            "look alike do the same work twice, one of a single color does none."
        ),
        good=_("Units that differ from each other, none of them empty."),
        yours=per_lane(scene, lambda lane: _yours(lane, options)),
    )


def _yours(lane: Lane, options: UnitsOptions) -> str:
    answer = lane.study(_study(options))
    if answer is None:
        return _("The network has not been asked yet.")
    units = answer.value
    if not isinstance(units, Units) or not units.rows:
        return _cannot(options)
    said = []
    for row in units.rows:
        name = _row_title(lane, row)
        flat = row.maps.reshape(len(row.maps), -1)
        strange = int((~np.isfinite(flat)).any(axis=1).sum())
        if strange:
            said.append(
                ngettext(
                    "{layer}: {count} unit has numbers that are not finite.",
                    "{layer}: {count} units have numbers that are not finite.",
                    strange,
                ).format(layer=name, count=strange)
            )
            continue
        constant = int((flat.max(axis=1) == flat.min(axis=1)).sum()) if flat.shape[1] > 1 else 0
        if constant:
            said.append(
                ngettext(
                    "{layer}: {count} of {all} units says the same everywhere.",
                    "{layer}: {count} of {all} units say the same everywhere.",
                    constant,
                ).format(layer=name, count=constant, all=len(flat))
            )
    first = units.rows[0]
    if np.isfinite(first.norms).all():
        most, least = int(first.norms.argmax()), int(first.norms.argmin())
        size = _("length of the weights") if units.show == "weights" else _("root mean square")
        said.append(
            _("{layer}: the {size} goes from {least} (unit {low}) to {most} (unit {high}).").format(
                layer=_row_title(lane, first),
                size=size,
                least=number_text(float(first.norms[least]), 2),
                low=int(first.index[least]) + 1,
                most=number_text(float(first.norms[most]), 2),
                high=int(first.index[most]) + 1,
            )
        )
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, UnitsOptions, needs))
