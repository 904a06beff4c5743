"""Signal: the range of the activations in every layer, from the data to the loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..record import PERCENTILES
from ..text import N_, _
from ..theory.mean_field import LayerPrediction
from .figure import (
    FIGURES,
    Axis,
    Band,
    Boxes,
    Explanation,
    Figure,
    FigureKind,
    Lane,
    Line,
    Mark,
    Plot,
    Scale,
    Scene,
    Span,
    Table,
)
from .reading import (
    LayersOption,
    Moment,
    Place,
    at_places,
    band_of,
    columns,
    cue_of,
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
    stamp,
    step_text,
    within,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "signal", N_("Signal")
HEALTHY = 1.0  # the span from minus this to this is shaded
GROUP = 0.74  # of the distance between two layers is taken by the boxes of all lanes
WIDEST = 1.5  # of the largest number that is drawn is where a band of theory ends
UNEVEN = 12.0  # how many times larger than the smallest a layer's range may be before the axis becomes logarithmic


class SignalOptions(Described, frozen=True, kw_only=True):
    """What the figure of the activations shows."""

    layers: LayersOption = "main"
    boxes: Annotated[
        Literal["percentiles", "moments"],
        about(
            N_("boxes"),
            N_("percentiles: 5 to 95 % and 25 to 75 %, with the median; moments: mean ± standard deviation."),
        ),
    ] = "percentiles"
    scale: Annotated[
        Literal["auto", "linear", "symlog"],
        about(N_("scale"), N_("auto: logarithmic beyond a limit when the layers' ranges differ much.")),
    ] = "auto"
    theory: Annotated[bool, about(N_("theory"), N_("Draw what mean-field theory expects before training."))] = True
    band: Annotated[
        bool,
        about(
            N_("band"),
            N_("Shade how far a drawn network of this width may be from theory: two standard deviations."),
        ),
    ] = True
    healthy: Annotated[bool, about(N_("healthy range"), N_("Shade the range that suits the next layer."))] = True


@dataclass(frozen=True)
class _Read:
    """One lane's numbers, all (places,)."""

    lane: Lane
    shown: tuple[Place, ...]
    moment: Moment
    least: Array
    most: Array
    mean: Array
    std: Array
    percentiles: Array | None  # (7, places)
    strange: NDArray[np.bool_]


def _read(lane: Lane, scene: Scene, options: SignalOptions) -> _Read | None:
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return None
    shown = places(lane, options.layers)
    least, most, mean, std, strange = (
        at_places(moment.layers(f"activation.{name}"), shown)
        for name in ("min", "max", "mean", "std", "nonfinite_fraction")
    )
    not_finite = ~np.isfinite(least) | ~np.isfinite(most) | (strange > 0.0)
    detail = None
    if options.boxes == "percentiles" and moment.detail is not None:
        detail = moment.detail.percentiles[:, [p.index for p in shown]]
    return _Read(lane, shown, moment, least, most, mean, std, detail, not_finite)


def build(scene: Scene, options: SignalOptions) -> Figure:
    """The figure; see the module's sentence."""
    found = [read for lane in scene.lanes if (read := _read(lane, scene, options)) is not None]
    title = _(TITLE)
    if not found:
        return nothing(NAME, title, scene)
    # One meaning for all boxes of a figure: percentiles only where every lane has them.
    percentiles = all(read.percentiles is not None for read in found)
    marks: list[Mark] = []
    if options.healthy:
        marks.append(Span(-HEALTHY, HEALTHY, "healthy", _("healthy")))
    theory: list[Mark] = []
    bands: list[Mark] = []
    notes: list[Mark] = []
    for number, read in enumerate(found):
        lane, look = read.lane, cue_of(read.lane)
        x = np.arange(1.0, len(read.shown) + 1.0)
        part = GROUP / len(found) if len(found) > 1 else 0.5
        marks.append(_boxes(read, percentiles, x, part * (number - (len(found) - 1) / 2), 0.86 * part, scene))
        if options.theory and lane.predictions:
            mean, std = predicted(lane, "mean", read.shown), predicted(lane, "std", read.shown)
            together = np.isfinite(std[1:]) & np.isfinite(std[:-1])
            if together.any():  # a line needs two points
                if options.band:
                    bands += _bands(read, x)
                for edge in (mean - std, mean + std):
                    theory.append(Line(x, edge, look.color, _("theory, mean ± std"), "dashed", width=1.2))
            layers, _why = silent(lane, read.shown, std)
            if layers:
                notes.append(silence_note(lane, scene, layers))
        if np.any(read.strange):
            text = _("not a finite number in layer {layers}").format(
                layers=ranges_text([p.text for p in read.shown], read.strange)
            )
            notes.append(remark((len(x) + 1) / 2, 0.0, lane_prefix(lane, scene) + text))
    scale, linear_below = _scale(found, options)
    deepest = max(len(read.shown) for read in found)
    plot = Plot(
        x=Axis(_("layer (data → loss)"), limits=(0.5, deepest + 0.5), ticks=layer_ticks(read.shown for read in found)),
        y=Axis(_("activation (output of the layer)"), scale, linear_below=linear_below),
        marks=(*bands, *marks, *theory, *notes),
    )
    what = _("min–max, 5–95 %, 25–75 %, median") if percentiles else _("min–max, mean ± std")
    return Figure(
        NAME,
        title,
        f"{what} · {step_text(scene)}",
        (plot,),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
    )


def _boxes(read: _Read, percentiles: bool, x: Array, shift: float, width: float, scene: Scene) -> Boxes:
    look = cue_of(read.lane)
    outer: tuple[Array, Array] | None = None
    if percentiles and read.percentiles is not None:
        p = dict(zip(PERCENTILES, read.percentiles, strict=True))
        outer, inner, middle = (p[5], p[95]), (p[25], p[75]), p[50]
    else:
        # A standard deviation reaches beyond the range where values are few and skewed; a box must not.
        inner = (np.maximum(read.mean - read.std, read.least), np.minimum(read.mean + read.std, read.most))
        middle = read.mean
    marker = look.marker if len(scene.lanes) > 1 else ""
    return Boxes(
        x, read.least, read.most, outer, inner, middle, look.color, lane_title(read.lane, scene), width, shift, marker
    )


def _bands(read: _Read, x: Array) -> list[Mark]:
    """Around mean - std and mean + std: how far a drawn network of finite width may be off."""
    look = cue_of(read.lane)
    sizes = np.concatenate((np.abs(read.least), np.abs(read.most), predicted(read.lane, "rms", read.shown)))
    sizes = sizes[np.isfinite(sizes)]
    # A band that says "anything" must not make everything else small.
    reach = WIDEST * float(sizes.max()) if sizes.size else math.inf
    marks: list[Mark] = []
    for edge in (0, 1):
        low, high = band_of(read.lane, read.shown, lambda p, edge=edge: p.edge_bands()[edge])  # type: ignore[misc]
        marks.append(
            Band(x, np.maximum(low, -reach), np.minimum(high, reach), look.color, _("theory, ±2 sd of finite width"))
        )
    return marks


def _scale(found: list[_Read], options: SignalOptions) -> tuple[Scale, float]:
    sizes = np.concatenate([np.maximum(np.abs(read.least), np.abs(read.most)) for read in found])
    sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
    if options.scale == "linear" or sizes.size == 0:
        return "linear", 1.0
    largest, smallest = float(sizes.max()), float(sizes.min())
    if options.scale == "auto" and largest < UNEVEN * smallest:
        return "linear", 1.0
    return "symlog", 10.0 ** round(math.log10(max(smallest, 1e-8 * largest, 1e-300)))


def _table(found: list[_Read]) -> dict[str, NDArray[np.generic]]:
    parts: list[dict[str, Any]] = []
    for read in found:
        none = np.full(len(read.shown), np.nan)
        has_theory = bool(read.lane.predictions)
        parts.append(
            {
                "lane": read.lane.name,
                "step": read.moment.step,
                "position": np.arange(1, len(read.shown) + 1),
                "layer": [read.lane.view.layers[p.index] for p in read.shown],
                "kind": [p.title for p in read.shown],
                "activation.min": read.least,
                "activation.max": read.most,
                "activation.mean": read.mean,
                "activation.std": read.std,
                **{
                    f"activation.p{p:02d}": none if read.percentiles is None else read.percentiles[i]
                    for i, p in enumerate(PERCENTILES)
                },
                "activation.mean by theory at initialization": predicted(read.lane, "mean", read.shown)
                if has_theory
                else none,
                "activation.std by theory at initialization": predicted(read.lane, "std", read.shown)
                if has_theory
                else none,
            }
        )
    return columns(parts)


def explain(scene: Scene, options: SignalOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "The numbers that every layer puts out for the present minibatch: whiskers from the least to the "
            "greatest, boxes around the middle of them."
        ),
        why=_(
            "Each layer computes with what the layer before it puts out. Numbers that shrink from layer to layer "
            "carry nothing to the end, numbers that grow overflow, and numbers at the flat ends of a sigmoid or tanh "
            "stop the gradient."
        ),
        good=_("Boxes of about the same height in all layers, between −1 and 1 or a little beyond."),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: SignalOptions) -> str:
    read = _read(lane, scene, options)
    if read is None:
        return _("Nothing is recorded yet.")
    if np.all(read.strange):
        return _("No layer puts out finite numbers at this step: the training has broken down.")
    said = []
    finite = np.flatnonzero(np.isfinite(read.std) & ~read.strange)
    if finite.size:
        first, last = int(finite[0]), int(finite[-1])
        if first == last:
            said.append(
                _("The mean ± std of {layer} is {mean} ± {std}.").format(
                    layer=layer_name(read.shown[first]),
                    mean=number_text(float(read.mean[first])),
                    std=number_text(float(read.std[first])),
                )
            )
        else:
            said.append(
                _("The spread (std) goes from {first} in {one} to {last} in {other}.").format(
                    first=number_text(float(read.std[first])),
                    last=number_text(float(read.std[last])),
                    one=layer_name(read.shown[first]),
                    other=layer_name(read.shown[last]),
                )
            )
            hidden = read.std[finite[:-1]] if finite.size > 2 else read.std[finite]
            spread = float(hidden.max() / hidden.min()) if hidden.min() > 0.0 else math.inf
            if hidden.max() == 0.0:
                said.append(_("Every hidden layer puts out one and the same number."))
            elif spread > 10.0:
                said.append(
                    _("Between the hidden layers it differs {factor} times.").format(factor=number_text(spread))
                )
            elif hidden.max() < 0.2:
                said.append(_("It is small in all hidden layers, below 0.2."))
            else:
                said.append(_("It is about the same in all hidden layers."))
    said += _theory_said(read, options)
    saturated = at_places(read.moment.layers("activation.saturated_fraction"), read.shown)
    if np.any(saturated > 0.2):
        said.append(
            _("More than a fifth of the outputs are saturated in layer {layers}.").format(
                layers=ranges_text([p.text for p in read.shown], saturated > 0.2)
            )
        )
    zeros = at_places(read.moment.layers("activation.zero_fraction"), read.shown)
    if np.any(zeros > 0.9):
        said.append(
            _("More than nine tenths of the outputs are exactly 0 in layer {layers}.").format(
                layers=ranges_text([p.text for p in read.shown], zeros > 0.9)
            )
        )
    if np.any(read.strange):
        said.append(
            _("Layer {layers} puts out numbers that are not finite.").format(
                layers=ranges_text([p.text for p in read.shown], read.strange)
            )
        )
    return " ".join(said)


def _theory_said(read: _Read, options: SignalOptions) -> list[str]:
    """What theory said before training, and how well it did."""
    if not options.theory or not read.lane.predictions:
        return []
    said = []
    start = first_moment(read.lane.view)
    if start is not None and np.isfinite(predicted(read.lane, "rms", read.shown)).any():
        rms = at_places(start.layers("activation.rms"), read.shown)
        inside, known = within(rms, *band_of(read.lane, read.shown, LayerPrediction.rms_band))
        if known:
            said.append(
                _("Before training the rms of {inside} of {known} layers was within the band of theory.").format(
                    inside=inside, known=known
                )
            )
    layers, why = silent(read.lane, read.shown, predicted(read.lane, "std", read.shown))
    if layers:
        said.append(silence_sentence(layers, why))
    return said


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, SignalOptions))
