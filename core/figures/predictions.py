"""Predictions: what the network answers, as regions, a curve, a confusion matrix and the worst mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..registry import Registry
from ..studies.base import Study
from ..studies.predictions import Judged, Mistake, Plane, Predictions, PredictionsStudy
from ..text import N_, _, ngettext
from .answered import answered, stamped, steps_text, unasked
from .contours import contour
from .figure import (
    FIGURES,
    Axis,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Line,
    Mark,
    Pictures,
    Plot,
    Points,
    Rule,
    Scene,
    Table,
)
from .palette import class_cell, class_limits, class_look
from .reading import columns, cue_of, lane_prefix, lane_title, nothing, per_lane, percent_text
from .scales import number_text, round_step

Array = NDArray[np.float64]
NAME, TITLE = "predictions", N_("Predictions")
Found = Sequence[tuple[Lane, int, Predictions]]

MOST_POINTS = 500  # of each part that are drawn; more would hide the map below them
SQUARE = 2.5  # ranges of two inputs that differ by less have the same unit across and up
HEIGHTS = 6  # lines of equal height on a map of values, about
RING = 1.7  # size of a ring around a marker
RINGED = 10  # of the largest errors of predicted values are marked


@dataclass(frozen=True)
class View:
    """One way to show the answers.

    fits   whether it can be drawn of these
    needs  what it needs, to be said where it cannot
    """

    label: str
    fits: Callable[[Predictions], bool]
    needs: str


VIEWS: Registry[View] = Registry(N_("view"))
VIEWS.add("auto")(View(N_("as suits the data"), lambda _found: True, ""))
VIEWS.add("regions")(
    View(
        N_("regions of the plane"),
        lambda found: found.plane is not None,
        N_("Regions of the plane need samples of two numbers."),
    )
)
VIEWS.add("curve")(
    View(N_("curve"), lambda found: found.curve is not None, N_("A curve needs samples of one number each."))
)
VIEWS.add("confusion")(
    View(
        N_("confusion matrix"),
        lambda found: bool(found.classes),
        N_("A confusion matrix needs classes, but values are predicted."),
    )
)
VIEWS.add("mistakes")(
    View(
        N_("worst mistakes"),
        lambda found: len(found.shape) == 3,
        N_("Mistakes are shown of images only."),
    )
)
VIEWS.add("against")(
    View(
        N_("predicted against true"),
        lambda found: not found.classes,
        N_("Predicted values against true ones need values to predict, but the data has classes."),
    )
)


class PredictionsOptions(Described, frozen=True, kw_only=True):
    """What the figure of the predictions shows."""

    view: Annotated[
        str,
        about(
            N_("view"),
            N_(
                "As suits the data: regions for samples of two numbers, a curve for one, otherwise a confusion matrix "
                "with the worst mistakes, or predicted against true values."
            ),
            choices=VIEWS,
        ),
    ] = "auto"
    points: Annotated[
        bool,
        about(
            N_("samples"),
            N_("Draw the samples into the plane or beside the curve."),
            shown_when=("view", ("auto", "regions", "curve")),
        ),
    ] = True
    mistakes: Annotated[
        int, about(N_("mistakes"), N_("How many of the worst mistakes are shown at most."), minimum=1, maximum=24)
    ] = 12
    resolution: Annotated[
        int, about(N_("resolution"), N_("Cells of the plane in each direction."), minimum=8, maximum=400)
    ] = 80


def _study(options: PredictionsOptions) -> PredictionsStudy:
    return PredictionsStudy(resolution=options.resolution)


def needs(options: PredictionsOptions) -> tuple[Study, ...]:
    """What the figure asks of the network."""
    return (_study(options),)


def build(scene: Scene, options: PredictionsOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = answered(scene, _study(options), Predictions)
    if not found:
        return nothing(NAME, title, scene, unasked(scene))
    view = _view(found[0][2], options)
    fitting = [one for one in found if VIEWS[view].fits(one[2])]
    if not fitting:
        return nothing(NAME, title, scene, _(VIEWS[view].needs))
    draw = {
        "regions": _regions,
        "curve": _curve,
        "confusion": _confusion,
        "mistakes": _mistakes,
        "against": _against,
    }[view]
    made = draw(scene, fitting, options)
    return replace(
        made,
        title=title if view != "mistakes" else _("Worst mistakes"),
        subtitle=_subtitle(scene, fitting),
        stamp=stamped(NAME, scene, fitting),
    )


def fitting_views(scene: Scene, options: PredictionsOptions) -> list[str]:
    """Names of the views that can be drawn of the present answers; all where there are none yet."""
    found = answered(scene, _study(options), Predictions)
    return [name for name in VIEWS.names() if not found or VIEWS[name].fits(found[0][2])]


def _view(found: Predictions, options: PredictionsOptions) -> str:
    if options.view != "auto":
        return options.view
    if found.plane is not None:
        return "regions"
    if found.curve is not None:
        return "curve"
    return "confusion" if found.classes else "against"


def _figure(plots: Sequence[Plot], table: Callable[[], dict[str, NDArray[Any]]], **more: Any) -> Figure:
    return Figure(NAME, "", "", tuple(plots), table=Table(table), **more)


# --- words


def _subtitle(scene: Scene, found: Found) -> str:
    """Which samples were asked, of whom, and when."""
    said = [_asked(found[0][2])]
    if any(one.averaged for _lane, _step, one in found):
        said.append(_("averaged weights"))
    networks = max(one.networks for _lane, _step, one in found)
    if networks > 1:
        said.append(_("{count} networks together").format(count=networks))
    return " · ".join([*said, steps_text(scene, found)])


def _asked(found: Predictions) -> str:
    """ "359 validation samples", "2000 of 10 000 training samples"."""
    judged = found.judged
    count = number_text(len(judged.index), 9)
    if len(judged.index) < judged.of:
        count = _("{count} of {all}").format(count=count, all=number_text(judged.of, 9))
    if found.part == "training":
        return _("{count} training samples").format(count=count)
    return _("{count} validation samples").format(count=count)


def _part(part: str) -> str:
    return _("training") if part == "training" else _("validation")


def _score(found: Predictions) -> str:
    """ "validation: 96 % right, loss 0.12 · training: 98 %, 0.09"."""
    said: list[str] = []
    for part, judged in (("validation", found.validation), ("training", found.training)):
        if judged is None:
            continue
        loss = number_text(_mean(judged.loss), 3)
        if found.classes:
            first = _("{part}: {share} right, loss {loss}")
            number = percent_text(1.0 - float(judged.wrong.mean()))
        else:
            first = _("{part}: off by {share} (rms), loss {loss}")
            number = number_text(_rms(_errors(judged)), 3)
        text = _("{part}: {share}, {loss}") if said else first  # what the numbers are is said once
        said.append(text.format(part=_part(part), share=number, loss=loss))
    # Lines are broken between the numbers, and not within what is said of one.
    return " · ".join(part.replace(" ", "\u00a0").replace(",\u00a0", ", ") for part in said)


def _short_score(found: Predictions) -> str:
    """ "96 % right"."""
    judged = found.judged
    if found.classes:
        text = _("{share} right").format(share=percent_text(1.0 - float(judged.wrong.mean())))
    else:
        text = _("off by {off} (rms)").format(off=number_text(_rms(_errors(judged)), 3))
    return text.replace(" ", "\u00a0")


def _mean(values: Array) -> float:
    with np.errstate(all="ignore"):
        return float(values.mean()) if len(values) else math.nan


def _errors(judged: Judged) -> Array:
    """(n,) by how much the first value is missed."""
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(judged.said)[:, 0] - np.asarray(judged.truth)[:, 0], dtype=np.float64)


def _rms(errors: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(errors * errors))) if len(errors) else math.nan


def _sure(found: Predictions, certainty: float) -> str:
    """ "97 %" of a probability, "0.97" of an output."""
    return percent_text(round(certainty, 2)) if found.probable else number_text(certainty, 2)


def _answer(found: Predictions, said: int) -> str:
    return _(found.classes[said]) if said >= 0 else _("no number")


def _input_axis(number: int, edges: Array) -> Axis:
    return Axis("x" + "₁₂"[number], limits=(float(edges[0]), float(edges[-1])))


# --- regions of the plane


def _regions(scene: Scene, found: Found, options: PredictionsOptions) -> Figure:
    plots: list[Plot] = []
    several = len(scene.lanes) > 1
    for lane, _step, one in found:
        assert one.plane is not None
        plane = one.plane
        marks = _class_marks(one, plane, options) if one.classes else _value_marks(found, one, plane, options)
        across, up = (float(e[-1] - e[0]) for e in (plane.x_edges, plane.y_edges))
        # Many lanes stand close together; they have the same axes, and pointing says where one is.
        numbers: dict[str, Any] = {"ticks": ()} if len(found) > 2 else {}
        plots.append(
            Plot(
                x=replace(_input_axis(0, plane.x_edges), **numbers),
                y=replace(_input_axis(1, plane.y_edges), **numbers),
                marks=tuple(marks),
                title=lane_title(lane, scene) if several else "",
                foot=_short_score(one) if several else _score(one),
                square=1.0 / SQUARE < across / up < SQUARE,
            )
        )
    if not several:
        one = found[0][2]
        plots.append(_matrix(one, "", "") if one.classes else _against_plot(found, found[0], "", ""))
    return _figure(plots, lambda: _plane_table(found), beside=True)


def _class_marks(one: Predictions, plane: Plane, options: PredictionsOptions) -> list[Mark]:
    classes = len(one.classes)
    least = 1.0 / classes if one.probable else 0.0
    with np.errstate(all="ignore"):
        share = np.clip((plane.certainty - least) / (1.0 - least), 0.0, 1.0)
    # the number of a color, see `class_cell`, for all cells at once
    steps = class_cell(0, 1.0)
    cells = plane.said * (steps + 1.0) + np.round(share * steps)
    cells[plane.said < 0] = np.nan

    def says(row: int, column: int) -> Sequence[str]:
        x, y = _middle(plane.x_edges, column), _middle(plane.y_edges, row)
        said, certainty = int(plane.said[row, column]), float(plane.certainty[row, column])
        return (f"x₁ {number_text(x, 3)}, x₂ {number_text(y, 3)}", f"{_answer(one, said)}: {_sure(one, certainty)}")

    marks: list[Mark] = [
        Heatmap(
            cells,
            plane.x_edges,
            plane.y_edges,
            _("class"),
            limits=class_limits(classes),
            colormap=f"classes-{classes}",
            says=says,
            scaled=False,
        )
    ]
    if not options.points:
        return marks + [_sample(index, name) for index, name in enumerate(one.classes)]
    parts = [(one.training, "color")] + ([(one.validation, "paper")] if one.validation is not None else [])
    wrong_x, wrong_y = [], []
    for judged, fill in parts:
        shown = _some(len(judged.index))
        truth = np.asarray(judged.truth)[shown]
        for index, name in enumerate(one.classes):
            chosen = shown[truth == index]
            color, marker = class_look(index)
            marks.append(
                Points(
                    judged.x[chosen, 0],
                    judged.x[chosen, 1],
                    color,
                    _(name) if fill == "color" else "",
                    marker,
                    fill,  # type: ignore[arg-type]
                    says=_says_sample(one, judged, chosen),
                )
            )
        wrong = shown[judged.wrong[shown]]
        wrong_x.append(judged.x[wrong, 0])
        wrong_y.append(judged.x[wrong, 1])
    nothing_yet = np.empty(0)
    if one.validation is not None:
        marks.append(Points(nothing_yet, nothing_yet, "muted", _("training"), "circle"))
        marks.append(Points(nothing_yet, nothing_yet, "muted", _("validation"), "circle", "paper"))
    x, y = np.concatenate(wrong_x), np.concatenate(wrong_y)
    marks.append(Points(x, y, "text", _("mistake"), "circle", "none", RING, says=lambda _index: ()))
    return marks


def _sample(index: int, name: str) -> Points:
    """What stands for a class in the legend."""
    color, marker = class_look(index)
    return Points(np.empty(0), np.empty(0), color, _(name), marker)


def _some(count: int) -> NDArray[np.int64]:
    """Places of at most so many samples as can be told apart, from everywhere."""
    return np.unique(np.linspace(0, count - 1, min(count, MOST_POINTS)).astype(np.int64)) if count else np.arange(0)


def _says_sample(one: Predictions, judged: Judged, chosen: NDArray[np.int64]) -> Callable[[int], Sequence[str]]:
    part = _part("validation" if judged is one.validation else "training")

    def says(index: int) -> Sequence[str]:
        at = chosen[index]
        head = _("{part} sample {number}").format(part=part, number=int(judged.index[at]) + 1)
        loss = _("loss {loss}").format(loss=number_text(float(judged.loss[at]), 3))
        if one.classes:
            truth, said = int(np.asarray(judged.truth)[at]), int(np.asarray(judged.said)[at])
            sure = _sure(one, float(judged.certainty[at]))
            return (
                head,
                _("true {truth}").format(truth=_answer(one, truth)),
                f"{_says(_answer(one, said), sure)}, {loss}",
            )
        truth_value, value = float(np.asarray(judged.truth)[at, 0]), float(np.asarray(judged.said)[at, 0])
        return (
            head,
            _("true {truth}").format(truth=number_text(truth_value, 3)),
            _("said {said}").format(said=number_text(value, 3)) + f", {loss}",
        )

    return says


def _says(answer: str, sure: str) -> str:
    return _("said {said}, {sure}").format(said=answer, sure=sure)


def _middle(edges: Array, index: int) -> float:
    return 0.5 * float(edges[index] + edges[index + 1])


def _value_marks(found: Found, one: Predictions, plane: Plane, options: PredictionsOptions) -> list[Mark]:
    values = plane.values[0]
    limits = _value_limits(found)
    x, y = (0.5 * (edges[1:] + edges[:-1]) for edges in (plane.x_edges, plane.y_edges))
    marks: list[Mark] = [Heatmap(values, plane.x_edges, plane.y_edges, _("predicted value"), limits=limits)]
    step = round_step(limits[1] - limits[0], HEIGHTS)
    first, last = math.ceil(limits[0] / step), math.floor(limits[1] / step)
    for number in range(first, last + 1):
        line_x, line_y = contour(values, x, y, number * step)
        if len(line_x):
            marks.append(Line(line_x, line_y, "#ffffff", width=1.6 if number == 0 else 1.0, says=lambda _index: ()))
    if options.points:
        judged = one.judged
        shown = _some(len(judged.index))
        marks.append(
            Points(
                judged.x[shown, 0],
                judged.x[shown, 1],
                "text",
                _part(one.part),
                "circle",
                "paper",
                0.8,
                says=_says_sample(one, judged, shown),
            )
        )
        error = np.abs(_errors(judged))
        worst = np.argsort(-np.where(np.isnan(error), np.inf, error), kind="stable")[:RINGED]
        marks.append(
            Points(
                judged.x[worst, 0],
                judged.x[worst, 1],
                "#ffffff",
                "",
                "circle",
                "none",
                RING,
                says=_says_sample(one, judged, worst),
            )
        )
    return marks


def _value_limits(found: Found) -> tuple[float, float]:
    """The range of the true values of all lanes."""
    parts = [np.asarray(j.truth, dtype=np.float64)[:, 0] for _l, _s, one in found for j in (one.training, one.judged)]
    values = np.concatenate(parts)
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


# --- a curve


def _curve(scene: Scene, found: Found, options: PredictionsOptions) -> Figure:
    marks: list[Mark] = []
    below: list[Mark] = []
    alone = len(found) == 1
    for number, (lane, _step, one) in enumerate(found):
        assert one.curve is not None
        look = cue_of(lane)
        name = lane_title(lane, scene) if not alone else _("network")
        if one.classes:
            marks += _class_curves(one, alone, look.color, look.dash, name)
            if number == 0 and options.points:
                marks += _class_rug(one)
            continue
        marks.append(Line(one.curve.x, one.curve.y[:, 0], look.color, name, look.dash, width=2.5))
        parts = [(one.training, "color")] + ([(one.validation, "paper")] if one.validation is not None else [])
        for judged, fill in parts if options.points else ():
            shown = _some(len(judged.index))
            says = _says_sample(one, judged, shown)
            x, truth = judged.x[shown, 0], np.asarray(judged.truth, dtype=np.float64)[shown, 0]
            label = _("training") if fill == "color" else _("validation")
            if number == 0:  # all lanes have the same samples
                marks.append(Points(x, truth, "muted", label, "circle", fill, 0.9, says))  # type: ignore[arg-type]
            if judged is one.judged:
                errors = _errors(judged)[shown]
                below.append(Points(x, errors, look.color, "", look.marker, fill, 0.9, says))  # type: ignore[arg-type]
    first = found[0][2]
    assert first.curve is not None
    x_axis = Axis("x", limits=(float(first.curve.x[0]), float(first.curve.x[-1])))
    if first.classes:
        y_axis = Axis(_("probability of each class") if first.probable else _("output for each class"))
        return _figure((Plot(x_axis, y_axis, tuple(marks)),), lambda: _curve_table(found))
    said = " · ".join(
        lane_prefix(lane, scene) + _("off by {off} (rms)").format(off=number_text(_rms(_errors(one.judged)), 3))
        for lane, _step, one in found
    )
    plots = [Plot(x_axis, Axis(_("value"), limits=_curve_limits(found)), tuple(marks))]
    if options.points:
        below.append(Rule(0.0, "muted", dash="solid"))
        label = _("predicted − true, {part}").format(part=_part(first.part))
        most = _most(mark.y for mark in below if isinstance(mark, Points))
        numbers = tuple((at, number_text(at, 2)) for at in (-most, 0.0, most))
        axis = Axis(f"{label}: {said}", limits=(-1.15 * most, 1.15 * most), ticks=numbers)
        plots.append(Plot(x_axis, axis, tuple(below)))
    return _figure(plots, lambda: _curve_table(found), heights=(2.4, 1.0) if options.points else ())


def _most(parts: Iterable[Array]) -> float:
    """A round number that is not exceeded by any."""
    largest = max((float(np.nanmax(np.abs(part), initial=0.0)) for part in parts), default=0.0)
    if not 0.0 < largest < 1e100:
        return 1.0
    step = round_step(largest, 4)
    return math.ceil(largest / step - 1e-9) * step


def _curve_limits(found: Found) -> tuple[float, float] | None:
    """So that the samples fill the axis, however far the curve goes astray; wider by as much again at most."""
    low, high = _value_limits(found)
    room = high - low
    values = np.concatenate([one.curve.y[:, 0] for _l, _s, one in found if one.curve is not None])
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return low - 0.1 * room, high + 0.1 * room
    least = max(min(low, float(values.min())), low - 0.5 * room)
    most = min(max(high, float(values.max())), high + 0.5 * room)
    return least - 0.06 * room, most + 0.06 * room


def _class_curves(one: Predictions, alone: bool, color: str, dash: Any, name: str) -> list[Mark]:
    assert one.curve is not None
    if one.curve.y.shape[1] == 1:
        label = _(one.classes[1]) if alone else name
        return [Line(one.curve.x, one.curve.y[:, 0], class_look(1)[0] if alone else color, label, dash, width=2.5)]
    if alone:
        return [
            Line(one.curve.x, one.curve.y[:, k], class_look(k)[0], _(class_name), width=2.5)
            for k, class_name in enumerate(one.classes)
        ]
    return [
        Line(one.curve.x, one.curve.y[:, k], color, name if k == 0 else "", dash, width=2.5)
        for k in range(len(one.classes))
    ]


def _class_rug(one: Predictions) -> list[Mark]:
    """The samples of each class in a row of their own below the curves."""
    judged = one.judged
    marks: list[Mark] = []
    shown = _some(len(judged.index))
    truth = np.asarray(judged.truth)[shown]
    for index in range(len(one.classes)):
        chosen = shown[truth == index]
        color, marker = class_look(index)
        height = np.full(len(chosen), -0.06 * (index + 1))
        marks.append(Points(judged.x[chosen, 0], height, color, "", marker, says=_says_sample(one, judged, chosen)))
        wrong = judged.wrong[chosen]
        marks.append(Points(judged.x[chosen[wrong], 0], height[wrong], "text", _("mistake"), "circle", "none", RING))
    return marks


# --- classes


def _confusion(scene: Scene, found: Found, options: PredictionsOptions) -> Figure:
    plots = []
    for lane, _step, one in found:
        title = lane_title(lane, scene) if len(scene.lanes) > 1 else _("Confusion matrix")
        plots.append(_matrix(one, title, _short_score(one) if len(found) > 1 else _score(one)))
    pictures = _pictures(found[0][2], options) if len(found) == 1 else None
    if pictures is not None:
        mistakes = found[0][2].mistakes
        title = ngettext("The worst mistake", "The worst mistakes", min(len(mistakes), options.mistakes))
        plots.append(_mistakes_plot(pictures, title))
    return _figure(plots, lambda: _confusion_table(found), beside=True)


def _matrix(one: Predictions, title: str, foot: str) -> Plot:
    classes = len(one.classes)
    counts = one.judged.confusion(classes)
    totals = counts.sum(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        share = np.where(totals > 0, counts / totals, 0.0)
    # Right answers in the one color, mistakes in the other; a root, because single mistakes are what one looks for.
    signed = np.where(np.eye(classes, dtype=bool), -np.sqrt(share), np.sqrt(share))
    names = [_(name) for name in one.classes]

    def says(row: int, column: int) -> Sequence[str]:
        truth = classes - 1 - row
        count, all_of_it = int(counts[truth, column]), int(totals[truth, 0])
        of_them = percent_text(count / all_of_it) if all_of_it else ""
        return (
            _("true {truth}, said {said}").format(truth=names[truth], said=names[column]),
            _("{count} of {all} samples ({share})").format(count=count, all=all_of_it, share=of_them)
            if all_of_it
            else _("no sample of this class"),
        )

    edges = np.arange(classes + 1.0)
    texts = tuple(tuple(str(n) if n else "" for n in row) for row in counts[::-1].tolist())
    heat = Heatmap(
        signed[::-1],
        edges,
        edges,
        _("samples"),
        limits=(-1.0, 1.0),
        colormap="diverging",
        says=says,
        scaled=False,
        texts=texts,
    )
    below = [foot] if foot else []
    lost = int((np.asarray(one.judged.said) < 0).sum())
    if lost:
        below.append(ngettext("{count} answer is no number", "{count} answers are no numbers", lost).format(count=lost))
    limits = (0.0, float(classes))
    return Plot(
        x=Axis(_("→ class said"), limits=limits, ticks=tuple((k + 0.5, name) for k, name in enumerate(names))),
        y=Axis(
            _("↓ true class"),
            limits=limits,
            ticks=tuple((k + 0.5, name) for k, name in enumerate(reversed(names))),
        ),
        marks=(heat,),
        title=title,
        foot=" · ".join(below),
        square=True,
    )


def _mistakes(scene: Scene, found: Found, options: PredictionsOptions) -> Figure:
    plots = []
    for lane, _step, one in found:
        pictures = _pictures(one, options)
        title = lane_title(lane, scene) if len(scene.lanes) > 1 else ""
        if pictures is None:
            pictures = Pictures(np.empty((0, 1, 1)), ())
            title = f"{title} " + _("no mistake")
        plots.append(_mistakes_plot(pictures, title.strip(), _score(one)))
    return _figure(plots, lambda: _mistakes_table(found), beside=True)


def _mistakes_plot(pictures: Pictures, title: str, foot: str = "") -> Plot:
    across, up = (Axis(label, limits=(0.0, 1.0), ticks=()) for label in (_("column"), _("largest loss first")))
    return Plot(across, up, (pictures,), title=title, foot=foot)


def _pictures(one: Predictions, options: PredictionsOptions) -> Pictures | None:
    """The worst mistakes as pictures; None where there are none."""
    worst = [mistake for mistake in one.mistakes if mistake.picture is not None][: options.mistakes]
    if not worst:
        return None
    values = np.stack([m.picture for m in worst if m.picture is not None])
    low, high = float(values.min()), float(values.max())
    limits = (low, high) if high > low else (low, low + 1.0)
    if values.shape[-1] == 3:
        values = (values - limits[0]) / (limits[1] - limits[0])
    else:
        values = values.mean(axis=-1)

    def says(number: int, _row: int, _column: int) -> Sequence[str]:
        mistake = worst[number]
        head = _("{part} sample {number}").format(part=_part(one.part), number=mistake.index + 1)
        return (head, *_caption(one, mistake), _("loss {loss}").format(loss=number_text(mistake.loss, 3)))

    captions = tuple(_caption(one, mistake) for mistake in worst)
    return Pictures(values, captions, limits, fewer=True, says=says)


def _caption(one: Predictions, mistake: Mistake) -> tuple[str, str]:
    """ "true 3", "said 8, 97 %"."""
    if isinstance(mistake.truth, int) and isinstance(mistake.said, int):
        return (
            _("true {truth}").format(truth=_answer(one, mistake.truth)),
            _says(_answer(one, mistake.said), _sure(one, mistake.certainty))
            if mistake.said >= 0
            else _("said {said}").format(said=_answer(one, mistake.said)),
        )
    assert isinstance(mistake.truth, tuple)
    assert isinstance(mistake.said, tuple)
    return (
        _("true {truth}").format(truth=number_text(mistake.truth[0], 3)),
        _("said {said}").format(said=number_text(mistake.said[0], 3)),
    )


# --- values


def _against(scene: Scene, found: Found, options: PredictionsOptions) -> Figure:
    several = len(scene.lanes) > 1
    plots = [
        _against_plot(
            found,
            one,
            lane_title(one[0], scene) if several else "",
            _short_score(one[2]) if several else _score(one[2]),
        )
        for one in found
    ]
    return _figure(plots, lambda: _samples_table(found), beside=True)


def _against_plot(found: Found, shown: tuple[Lane, int, Predictions], title: str, foot: str) -> Plot:
    """One lane's predicted values against the true ones, on the axes of all lanes."""
    low, high = _value_limits(found)
    for _lane, _step, one in found:
        said = np.asarray(one.judged.said, dtype=np.float64)[:, 0]
        said = said[np.isfinite(said)]
        if len(said):
            low, high = min(low, float(said.min())), max(high, float(said.max()))
    room = 0.05 * (high - low)
    limits = (low - room, high + room)
    lane, _step, one = shown
    look = cue_of(lane)
    marks: list[Mark] = [Line(np.array(limits), np.array(limits), "muted", _("right"), "dashed", width=1.2)]
    parts = [(one.training, "color")] + ([(one.validation, "paper")] if one.validation is not None else [])
    for judged, fill in parts:
        some = _some(len(judged.index))
        truth, said = (np.asarray(v, dtype=np.float64)[some, 0] for v in (judged.truth, judged.said))
        label = _("training") if fill == "color" else _("validation")
        says = _says_sample(one, judged, some)
        marks.append(Points(truth, said, look.color, label, "circle", fill, 0.9, says))  # type: ignore[arg-type]
    return Plot(
        x=Axis(_("true value"), limits=limits),
        y=Axis(_("predicted value"), limits=limits),
        marks=tuple(marks),
        title=title,
        foot=foot,
        square=True,
    )


# --- tables


def _plane_table(found: Found) -> dict[str, NDArray[Any]]:
    parts = []
    for lane, step, one in found:
        assert one.plane is not None
        plane = one.plane
        x, y = np.meshgrid(*(0.5 * (edges[1:] + edges[:-1]) for edges in (plane.x_edges, plane.y_edges)))
        empty = np.full(x.size, np.nan)
        parts.append(
            {
                "lane": lane.name,
                "step": step,
                "x1": x.ravel(),
                "x2": y.ravel(),
                "class": _class_names(one, plane.said.ravel()) if one.classes else np.full(x.size, ""),
                "certainty": plane.certainty.ravel() if one.classes else empty,
                "value": empty if one.classes else plane.values[0].ravel(),
            }
        )
    return columns(parts)


def _class_names(one: Predictions, said: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.array([*map(_, one.classes), ""])[said])  # -1: no number


def _curve_table(found: Found) -> dict[str, NDArray[Any]]:
    parts = []
    for lane, step, one in found:
        assert one.curve is not None
        for index, values in enumerate(one.curve.y.T):
            parts.append({"lane": lane.name, "step": step, "output": index + 1, "x": one.curve.x, "value": values})
    return columns(parts)


def _confusion_table(found: Found) -> dict[str, NDArray[Any]]:
    parts = []
    for lane, step, one in found:
        classes = len(one.classes)
        names = np.array([_(name) for name in one.classes])
        parts.append(
            {
                "lane": lane.name,
                "step": step,
                "samples": one.part,
                "true": np.repeat(names, classes),
                "said": np.tile(names, classes),
                "count": one.judged.confusion(classes).ravel(),
            }
        )
    return columns(parts)


def _mistakes_table(found: Found) -> dict[str, NDArray[Any]]:
    return columns(
        [
            {
                "lane": lane.name,
                "step": step,
                "samples": one.part,
                "sample": np.array([m.index + 1 for m in one.mistakes], dtype=np.int64),
                "true": np.array([_caption(one, m)[0] for m in one.mistakes], dtype=np.str_),
                "said": np.array([_caption(one, m)[1] for m in one.mistakes], dtype=np.str_),
                "loss": np.array([m.loss for m in one.mistakes], dtype=np.float64),
            }
            for lane, step, one in found
        ]
    )


def _samples_table(found: Found) -> dict[str, NDArray[Any]]:
    return columns(
        [
            {
                "lane": lane.name,
                "step": step,
                "samples": part,
                "sample": judged.index + 1,
                "true": np.asarray(judged.truth, dtype=np.float64)[:, 0],
                "said": np.asarray(judged.said, dtype=np.float64)[:, 0],
                "loss": judged.loss,
            }
            for lane, step, one in found
            for part, judged in (("training", one.training), ("validation", one.validation))
            if judged is not None
        ]
    )


# --- explanation


def explain(scene: Scene, options: PredictionsOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    found = answered(scene, _study(options), Predictions)
    view = _view(found[0][2], options) if found else "regions"
    what, good = {
        "regions": (
            _(
                "Every place of the plane in the color of the class that the network would say there, the stronger the "
                "surer it is; of values, the value itself with lines of equal height. Filled markers are training "
                "samples, open ones validation samples, rings are mistakes."
            ),
            _("Smooth borders between the classes. Islands around single samples are learned by heart."),
        ),
        "curve": (
            _("What the network answers for every input, with the samples, and by how much it misses them."),
            _("Errors that scatter around zero. A wave in them is something that the network has not learned yet."),
        ),
        "confusion": (
            _(
                "Rows are true classes, columns what the network says; the numbers count samples. Blue is right, "
                "orange wrong, the stronger the larger the share of its row. Beside it the mistakes with the "
                "largest loss."
            ),
            _("Numbers on the diagonal only. A strong orange cell names two classes that are taken for each other."),
        ),
        "mistakes": (
            _("The samples with the largest loss, each with its true class and with what the network says."),
            _("Mistakes that a person might make too. A sure mistake is often a wrong label."),
        ),
        "against": (
            _("What the network predicts against the true value; on the dashed line it is right."),
            _("Points along the line. A cloud that is flatter than the line means that the network plays safe."),
        ),
    }[view]
    return Explanation(
        what=what,
        why=_("The loss is one number; here one sees where the network is right and how it is wrong."),
        good=good,
        yours=per_lane(scene, lambda lane: _yours(lane, options)),
    )


def _yours(lane: Lane, options: PredictionsOptions) -> str:
    answer = lane.study(_study(options))
    if answer is None or not isinstance(answer.value, Predictions):
        return _("The network has not been asked yet.")
    one = answer.value
    said = [f"{_asked(one)}: {_score(one)}."[:1].upper() + f"{_asked(one)}; {_score(one)}."[1:]]
    if one.classes:
        said += _about_classes(one)
    else:
        errors = _errors(one.judged)
        if np.isfinite(errors).any():
            worst = int(np.nanargmax(np.abs(errors)))
            said.append(
                _("The largest error is {error}, at sample {number}.").format(
                    error=number_text(float(errors[worst]), 3), number=int(one.judged.index[worst]) + 1
                )
            )
        else:
            said.append(_("No answer is a number."))
    if one.averaged:
        said.append(_("The averaged weights answer."))
    elif one.networks > 1:
        said.append(_("The mean of {count} networks answers.").format(count=one.networks))
    return " ".join(said)


def _about_classes(one: Predictions) -> list[str]:
    judged = one.judged
    counts = judged.confusion(len(one.classes))
    said = []
    lost = int((np.asarray(judged.said) < 0).sum())
    if lost:
        said.append(
            ngettext("{count} answer is no number.", "{count} answers are no numbers.", lost).format(count=lost)
        )
    off = counts * (1 - np.eye(len(one.classes), dtype=np.int64))
    if off.sum() == 0:
        return said if lost else [_("No sample is mistaken for another class.")]
    truth, mistaken = np.unravel_index(int(off.argmax()), off.shape)
    said.append(
        _("Most often {truth} is taken for {said}: {count} of {all}.").format(
            truth=_(one.classes[int(truth)]),
            said=_(one.classes[int(mistaken)]),
            count=int(off.max()),
            all=int(counts[truth].sum()),
        )
    )
    if one.mistakes:
        worst = one.mistakes[0]
        said.append(
            _("The worst mistake is sample {number}: {what}.").format(
                number=worst.index + 1, what=", ".join(_caption(one, worst))
            )
        )
    never = [_(name) for k, name in enumerate(one.classes) if counts[:, k].sum() == 0 and counts[k].sum() > 0]
    if never:
        said.append(_("Never said: {classes}.").format(classes=", ".join(never)))
    return said


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, PredictionsOptions, needs))
