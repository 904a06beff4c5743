"""Gradients: how much of what the loss has to say arrives in every layer: the picture of vanishing gradients."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..text import N_, _
from ..theory.mean_field import LayerPrediction
from .figure import FIGURES, Axis, Band, Explanation, Figure, FigureKind, Lane, Line, Mark, Note, Plot, Scene, Table
from .reading import (
    LayersOption,
    Moment,
    Place,
    at_places,
    band_of,
    columns,
    cue_of,
    factor_text,
    first_moment,
    lane_prefix,
    lane_title,
    layer_name,
    layer_ticks,
    moment_at,
    nothing,
    per_lane,
    places,
    predicted,
    ranges_text,
    remark,
    silence_note,
    silence_sentence,
    silent,
    slope_thresholds,
    stamp,
    step_text,
    within,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "gradients", N_("Gradients")


class GradientOptions(Described, frozen=True, kw_only=True):
    """What the figure of the gradients shows."""

    quantity: Annotated[
        Literal["output", "weight"],
        about(
            N_("quantity"),
            N_("output: gradient with respect to what a layer puts out; weight: with respect to its weights."),
        ),
    ] = "output"
    layers: LayersOption = "main"
    initial: Annotated[bool, about(N_("at initialization"), N_("Draw the norms at step 0 faintly behind."))] = True
    theory: Annotated[bool, about(N_("theory"), N_("Draw what mean-field theory expects before training."))] = True
    healthy: Annotated[
        bool,
        about(N_("healthy range"), N_("Shade the slopes between the doctor's thresholds for vanishing and exploding.")),
    ] = True
    band: Annotated[
        bool,
        about(
            N_("band"),
            N_("Shade how far a drawn network of this width may be from theory: two standard deviations."),
        ),
    ] = True


def per_layer(norms: Array) -> float:
    """By what the gradient is multiplied from one hidden layer to the one before it.

    norms   (places,) from data to loss; the last is the output layer. The geometric mean over the hidden layers
            without the first, whose input is the data and not a layer like the others. NaN where fewer than two norms
            are positive.
    """
    hidden = norms[:-1]
    hidden = hidden[1:] if len(hidden) > 3 else hidden
    if len(hidden) < 2:
        return math.nan
    with np.errstate(all="ignore"):
        steps = np.diff(np.log(hidden))
    steps = steps[np.isfinite(steps)]
    return math.exp(-float(steps.mean())) if steps.size else math.nan


def _norms(moment: Moment, shown: tuple[Place, ...], options: GradientOptions) -> Array:
    if options.quantity == "weight":
        return at_places(moment.layers("weight_gradient.norm"), shown, weighted=True)
    return at_places(moment.layers("gradient.norm"), shown)


def expected(lane: Lane, shown: tuple[Place, ...], options: GradientOptions) -> Array | None:
    """(places,) norms by theory, which knows ratios only: anchored at the last layer before training; None without."""
    if not options.theory or options.quantity != "output" or not lane.predictions or not shown:
        return None
    start = first_moment(lane.view) or moment_at(lane.view, 0)
    if start is None:
        return None
    relative = predicted(lane, "gradient_norm", shown)
    anchor = _norms(start, shown, options)[-1]
    # a line needs two points; behind a layer without a theory only the output may be known
    known = np.isfinite(relative)
    if not (relative[-1] > 0.0 and known[-1] and (known[1:] & known[:-1]).any()):
        return None
    return np.asarray(relative * (anchor / relative[-1]))


def expected_band(lane: Lane, shown: tuple[Place, ...], theory: Array) -> tuple[Array, Array]:
    """(low, high), each (places,), around the line of theory: none at the last layer, where the line is anchored."""
    low, high = band_of(lane, shown, LayerPrediction.gradient_band)
    relative = predicted(lane, "gradient_norm", shown)
    with np.errstate(all="ignore"):
        return theory * (low / relative), theory * (high / relative)


def build(scene: Scene, options: GradientOptions) -> Figure:
    """The figure; see the module's sentence."""
    found = [
        (lane, places(lane, options.layers), moment)
        for lane in scene.lanes
        if (moment := moment_at(lane.view, scene.step)) is not None
    ]
    title = _(TITLE)
    if not found:
        return nothing(NAME, title, scene)
    bands: list[Band] = []
    behind: list[Mark] = []
    front: list[Mark] = []
    notes: list[Mark] = []
    for lane, shown, moment in found:
        look, x = cue_of(lane), np.arange(1.0, len(shown) + 1.0)
        norms = _norms(moment, shown, options)
        start = first_moment(lane.view) if options.initial else None
        if start is not None and start.step != moment.step:
            at_start = _norms(start, shown, options)
            behind.append(
                Line(x, at_start, look.color, _("before training"), marker=look.marker, width=1.5, faint=True)
            )
        theory = expected(lane, shown, options)
        if theory is not None:
            if options.band:
                bands.append(
                    Band(x, *expected_band(lane, shown, theory), look.color, _("theory, ±2 sd of finite width"))
                )
            layers, _why = silent(lane, shown, theory)
            if layers:
                notes.append(silence_note(lane, scene, layers))
            behind.append(Line(x, theory, look.color, _("theory"), dash="dashed", width=1.2))
        front.append(Line(x, norms, look.color, lane_title(lane, scene), look.dash, look.marker))
        notes += _notes(lane, scene, shown, norms, theory, look.color)
    if options.healthy and (options.quantity, options.layers) == ("output", "main") and len(found) == 1:
        # first, so that the band of theory lies on it
        bands = [*_wedge(scene, found[0][1], _norms(found[0][2], found[0][1], options)), *bands]
    limits = _y_limits([*behind, *front])
    if limits is not None:
        # A band that says "anything" ends where the plot does.
        bands = [replace(b, low=np.maximum(b.low, limits[0]), high=np.minimum(b.high, limits[1])) for b in bands]
    symbol = "∂L/∂W" if options.quantity == "weight" else "∂L/∂a"
    plot = Plot(
        x=Axis(_("layer (data → loss)"), limits=_x_limits(found), ticks=layer_ticks(p for _lane, p, _m in found)),
        y=Axis(f"‖{symbol}‖ " + _("(L2 norm over the minibatch)"), "log", limits=limits),
        marks=(*bands, *behind, *front, *notes),
    )
    return Figure(
        NAME,
        title,
        _("‖{symbol}‖ per layer · {step}").format(symbol=symbol, step=step_text(scene)),
        (plot,),
        table=Table(lambda: _table(found, options)),
        stamp=stamp(NAME, scene),
    )


def _wedge(scene: Scene, shown: tuple[Place, ...], norms: Array) -> list[Band]:
    """Where the norms of the hidden layers would lie that the doctor finds neither vanishing nor exploding."""
    hidden = np.arange(len(shown) - 1.0)
    slopes = slope_thresholds(scene, "gradient.norm", len(hidden))
    if len(slopes) < 2 or not (norms[-2] > 0.0 and math.isfinite(norms[-2])):
        return []
    factors = sorted(factor for factor, _said in slopes)
    with np.errstate(over="ignore"):
        edges = np.sort([norms[-2] * factor ** (hidden - hidden[-1]) for factor in (factors[0], factors[-1])], axis=0)
    return [Band(hidden + 1.0, edges[0], edges[1], "good", _("neither vanishing nor exploding"))]


def _x_limits(found: list[tuple[Lane, tuple[Place, ...], Moment]]) -> tuple[float, float]:
    return 0.5, max(max((len(shown) for _lane, shown, _moment in found), default=1), 1) + 0.5


def _y_limits(marks: list[Mark]) -> tuple[float, float] | None:
    """Whole powers of ten around everything, so that the axis stands still while training moves the points."""
    values = np.concatenate([mark.y for mark in marks if isinstance(mark, Line)])
    values = values[np.isfinite(values) & (values > 1e-300)]
    if values.size == 0:
        return None
    first, last = math.log10(values.min()), math.log10(values.max())
    room = max(0.05, 0.02 * (last - first))
    low, high = math.floor(first - room), math.ceil(last + room)
    if high - low < 2:
        low = high - 2
    return 10.0 ** max(low, -300), 10.0 ** min(high, 300)


def _notes(
    lane: Lane, scene: Scene, shown: tuple[Place, ...], norms: Array, theory: Array | None, color: str
) -> list[Mark]:
    notes: list[Mark] = []
    prefix = lane_prefix(lane, scene)
    middle = (len(shown) + 1) / 2
    positive = norms[np.isfinite(norms) & (norms > 0.0)]
    height = float(np.exp(np.mean(np.log(positive)))) if positive.size else 1.0
    factor = per_layer(norms)
    if math.isfinite(factor):
        text = prefix + _("{factor} per layer").format(factor=factor_text(factor))
        by_theory = _by_theory(theory)
        if math.isfinite(by_theory):
            text += " " + _("(theory {factor})").format(factor=factor_text(by_theory, 3))
        notes.append(Note(middle, height, text, color, "center", free=True))
    texts = [place.text for place in shown]
    if np.any(zero := norms == 0.0):
        said = _("gradient exactly 0 in layer {layers}").format(layers=ranges_text(texts, zero))
        notes.append(remark(middle, height, prefix + said))
    if np.any(strange := _strange(norms, shown)):
        said = _("not a finite number in layer {layers}").format(layers=ranges_text(texts, strange))
        notes.append(remark(middle, height, prefix + said))
    return notes


def _by_theory(theory: Array | None) -> float:
    """The factor per layer that theory expects; NaN where it does not know all layers: the two would not compare."""
    return per_layer(theory) if theory is not None and np.isfinite(theory).all() else math.nan


def _strange(norms: Array, shown: tuple[Place, ...]) -> NDArray[np.bool_]:
    """Where a norm is infinite or not a number. Layers without weights have none; those are no surprise."""
    some = np.isfinite(norms).any() or len(norms) == 0
    weightless = np.array([place.weighted < 0 for place in shown], dtype=bool)
    return np.asarray(np.isinf(norms) | (np.isnan(norms) & ~(weightless & some)))


def _table(
    found: list[tuple[Lane, tuple[Place, ...], Moment]], options: GradientOptions
) -> dict[str, NDArray[np.generic]]:
    column = "weight_gradient.norm" if options.quantity == "weight" else "gradient.norm"
    parts = []
    for lane, shown, moment in found:
        start = first_moment(lane.view)
        theory = expected(lane, shown, options)
        none = np.full(len(shown), np.nan)
        parts.append(
            {
                "lane": lane.name,
                "step": moment.step,
                "position": np.arange(1, len(shown) + 1),
                "layer": [
                    lane.view.layers[place.weighted if options.quantity == "weight" else place.index] for place in shown
                ],
                "kind": [place.title for place in shown],
                column: _norms(moment, shown, options),
                f"{column} at step 0": none if start is None else _norms(start, shown, options),
                f"{column} by theory at initialization": none if theory is None else theory,
            }
        )
    return columns(parts)


def explain(scene: Scene, options: GradientOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    if options.quantity == "weight":
        return Explanation(
            what=_(
                "The length of the gradient of the loss with respect to each layer's weights, on a logarithmic axis."
            ),
            why=_(
                "It decides how far the optimizer moves the weights. Equal lengths alone are no proof of health: in a "
                "nearly linear network whose layers all start alike they are equal even where the gradient vanishes "
                "on its way back, because the signal vanishes in the opposite direction (Glorot and Bengio 2010, "
                "equation 14). Look at ∂L/∂a too."
            ),
            good=_("Similar lengths in all layers, within a factor of 10 or so, and none that is zero."),
            yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
        )
    return Explanation(
        what=_(
            "The length of the gradient of the loss with respect to each layer's output, on a logarithmic axis. Read "
            "it from right to left, the way the gradient travels: from the loss back to the data."
        ),
        why=_(
            "A layer learns from the gradient that reaches it. Every layer multiplies it by a factor; below 1 it "
            "vanishes exponentially with depth and the first layers stand still, above 1 it explodes."
        ),
        good=_("A flat line: a factor near ×1 per layer. A straight slope is a factor that all layers share."),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: GradientOptions) -> str:
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return _("Nothing is recorded yet.")
    shown = places(lane, options.layers)
    norms = _norms(moment, shown, options)
    finite = np.flatnonzero(np.isfinite(norms))
    if finite.size == 0:
        return _("No gradient is a finite number at this step: the training has broken down.")
    first, last = int(finite[0]), int(finite[-1])
    ratio = norms[first] / norms[last] if norms[last] > 0.0 else math.nan
    said = []
    if math.isfinite(ratio) and first != last:
        said.append(
            _("Layer {first} gets {ratio} times the gradient of {last}.").format(
                first=shown[first].text, ratio=number_text(float(ratio)), last=layer_name(shown[last])
            )
        )
    factor = per_layer(norms)
    if math.isfinite(factor):
        theory = expected(lane, shown, options)
        by_theory = _by_theory(theory)
        sentence = _("{factor} per hidden layer").format(factor=factor_text(factor))
        if math.isfinite(by_theory):
            sentence += _(", theory expects {factor} before training").format(factor=factor_text(by_theory, 3))
        verdict = (
            _("it vanishes")
            if factor < 0.67
            else _("it explodes")
            if factor > 1.5
            else _("it arrives at about full size")
        )
        said.append(f"{sentence}: {verdict}.")
    said += _theory_said(lane, shown, options)
    if np.any(norms == 0.0):
        said.append(
            _("It is exactly 0 in layer {layers}.").format(layers=ranges_text([p.text for p in shown], norms == 0.0))
        )
    if np.any(strange := _strange(norms, shown)):
        said.append(
            _("It is not a finite number in layer {layers}.").format(
                layers=ranges_text([p.text for p in shown], strange)
            )
        )
    return " ".join(said) or _("There is one number only: {norm}.").format(norm=number_text(float(norms[first])))


def _theory_said(lane: Lane, shown: tuple[Place, ...], options: GradientOptions) -> list[str]:
    """How well theory did before training, and about what it says nothing."""
    theory, start = expected(lane, shown, options), first_moment(lane.view)
    if theory is None or start is None:
        return []
    said = []
    # without the last layer, where the line begins
    values = _norms(start, shown, options)[:-1]
    inside, known = within(values, *(ends[:-1] for ends in expected_band(lane, shown, theory)))
    if known:
        said.append(
            _("Before training {inside} of {known} layers were within the band of theory.").format(
                inside=inside, known=known
            )
        )
    layers, why = silent(lane, shown, theory)
    if layers:
        said.append(silence_sentence(layers, why))
    return said


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, GradientOptions))
