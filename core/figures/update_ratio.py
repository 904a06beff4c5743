"""Update ratio: by what part of themselves the weights of every layer change in one step, best about a thousandth."""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..text import N_, _
from .figure import FIGURES, Axis, Explanation, Figure, FigureKind, Lane, Line, Mark, Plot, Rule, Scene, Span, Table
from .reading import (
    LayersOption,
    Moment,
    Place,
    at_places,
    columns,
    cue_of,
    first_moment,
    lane_prefix,
    lane_title,
    layer_ticks,
    moment_at,
    nothing,
    per_lane,
    places,
    ranges_text,
    remark,
    stamp,
    step_text,
    thresholds,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "update-ratio", N_("Update ratio")
QUANTITY = "update_ratio"
# One step should change weights by about a thousandth of their size: Karpathy, CS231n; Goodfellow et al. 2016, section
# 11.5, say a hundredth. The band is a decade to both sides of the first.
TARGET = 1e-3
BAND = (1e-4, 1e-2)


class UpdateRatioOptions(Described, frozen=True, kw_only=True):
    """What the figure of the update ratios shows."""

    layers: LayersOption = "main"
    initial: Annotated[bool, about(N_("at initialization"), N_("Draw the ratios at step 0 faintly behind."))] = True


def _ratios(moment: Moment, shown: tuple[Place, ...]) -> Array:
    return at_places(moment.layers(QUANTITY), shown, weighted=True)


def build(scene: Scene, options: UpdateRatioOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [
        (lane, places(lane, options.layers), moment)
        for lane in scene.lanes
        if (moment := moment_at(lane.view, scene.step)) is not None
    ]
    if not found:
        return nothing(NAME, title, scene)
    marks: list[Mark] = [
        Span(*BAND, "healthy", _("usual: a ten-thousandth to a hundredth")),
        Rule(TARGET, "muted", _("a thousandth")),
        *(Rule(at, "warning", said, dash="dotted") for at, said in thresholds(scene, QUANTITY)),
    ]
    notes: list[Mark] = []
    for lane, shown, moment in found:
        look, x = cue_of(lane), np.arange(1.0, len(shown) + 1.0)
        start = first_moment(lane.view) if options.initial else None
        if start is not None and start.step != moment.step:
            at_start = _drawable(_ratios(start, shown))
            marks.append(Line(x, at_start, look.color, _("first step"), marker=look.marker, width=1.5, faint=True))
        ratios = _ratios(moment, shown)
        marks.append(Line(x, _drawable(ratios), look.color, lane_title(lane, scene), look.dash, look.marker))
        notes += _notes(lane, scene, shown, ratios)
    plot = Plot(
        x=Axis(
            _("layer (data → loss)"),
            limits=(0.5, max(len(shown) for _lane, shown, _moment in found) + 0.5),
            ticks=layer_ticks(shown for _lane, shown, _moment in found),
        ),
        y=Axis(_("‖ΔW‖ / ‖W‖ (of one step)"), "log", limits=_limits(marks)),
        marks=(*marks, *notes),
    )
    return Figure(
        NAME,
        title,
        _("‖ΔW‖ / ‖W‖ per layer · {step}").format(step=step_text(scene)),
        (plot,),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
    )


def _drawable(ratios: Array) -> Array:
    """Ratios that a logarithmic axis can show; a gap elsewhere."""
    return np.where(np.isfinite(ratios) & (ratios > 0.0), ratios, np.nan)


def _limits(marks: list[Mark]) -> tuple[float, float]:
    """Whole powers of ten around the usual band and all that is drawn."""
    values = np.concatenate([np.array(BAND), *(mark.y for mark in marks if isinstance(mark, Line))])
    values = values[np.isfinite(values) & (values > 1e-300)]
    low, high = math.floor(math.log10(values.min()) - 0.05), math.ceil(math.log10(values.max()) + 0.05)
    return 10.0 ** max(low, -300), 10.0 ** min(high, 300)


def _notes(lane: Lane, scene: Scene, shown: tuple[Place, ...], ratios: Array) -> list[Mark]:
    texts, middle = [place.text for place in shown], (len(shown) + 1) / 2
    weighted = np.array([place.weighted >= 0 for place in shown])
    said = []
    if np.any(zero := weighted & (ratios == 0.0)):
        said.append(_("no update at all in layer {layers}").format(layers=ranges_text(texts, zero)))
    if np.any(strange := weighted & ~np.isfinite(ratios)):
        said.append(_("not a finite number in layer {layers}").format(layers=ranges_text(texts, strange)))
    return [remark(middle, TARGET, lane_prefix(lane, scene) + sentence) for sentence in said]


def _table(found: list[tuple[Lane, tuple[Place, ...], Moment]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [
            {
                "lane": lane.name,
                "step": moment.step,
                "position": np.arange(1, len(shown) + 1),
                "layer": [lane.view.layers[max(place.weighted, 0)] for place in shown],
                QUANTITY: _ratios(moment, shown),
                "weight.norm": at_places(moment.layers("weight.norm"), shown, weighted=True),
            }
            for lane, shown, moment in found
        ]
    )


def explain(scene: Scene, options: UpdateRatioOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "The length of the change that this step makes to each layer's weights, divided by the length of the "
            "weights, on a logarithmic axis."
        ),
        why=_(
            "It is the learning rate as the layer feels it. Too small, and the layer stands still; near 1, one step "
            "throws away what was learned. The learning rate is one number for all layers, this is one for each."
        ),
        good=_(
            "About a thousandth in every layer, a ten-thousandth to a hundredth is fine. Layers that lie decades apart "
            "do not learn together."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: UpdateRatioOptions) -> str:
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return _("Nothing is recorded yet.")
    shown = places(lane, options.layers)
    ratios = _ratios(moment, shown)
    fine = np.isfinite(ratios) & (ratios > 0.0)
    if not fine.any():
        return _("No layer changes at this step.")
    texts = [place.text for place in shown]
    least, most = int(np.nanargmin(np.where(fine, ratios, np.nan))), int(np.nanargmax(np.where(fine, ratios, np.nan)))
    said = [
        _("From {least} (layer {low}) to {most} (layer {high}).").format(
            least=number_text(float(ratios[least])),
            low=texts[least],
            most=number_text(float(ratios[most])),
            high=texts[most],
        )
    ]
    slow, fast = fine & (ratios < BAND[0]), fine & (ratios > BAND[1])
    if slow.any():
        said.append(_("Layer {layers} learns slowly.").format(layers=ranges_text(texts, slow)))
    if fast.any():
        said.append(
            _("Layer {layers} changes by more than a hundredth in one step: the learning rate may be too high.").format(
                layers=ranges_text(texts, fast)
            )
        )
    if not slow.any() and not fast.any():
        said.append(_("All of them are in the usual band."))
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, UpdateRatioOptions))
