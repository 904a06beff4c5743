"""Edge of chaos: a map of what first weights do to signals in many layers, and where the network stands on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..activations import ACTIVATIONS
from ..fields import Described, about
from ..network import Plan
from ..same import Same
from ..text import N_, _
from ..theory.criticality import Chain, Standing, chain_of, cut, phase_map, present_weights, scales_at, usual
from .figure import (
    FIGURES,
    Axis,
    Dash,
    Explanation,
    Figure,
    FigureKind,
    Heatmap,
    Lane,
    Line,
    Mark,
    Marker,
    Note,
    Plot,
    Rule,
    Scene,
    Table,
)
from .reading import (
    columns,
    cue_of,
    factor_text,
    lane_prefix,
    lane_title,
    layer_columns,
    moment_at,
    nothing,
    per_lane,
    remark,
    stamp,
    step_text,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "edge-of-chaos", N_("Edge of chaos")
WIDEST, HIGHEST = 4.0, 0.3  # of a map whose networks ask for no more: that of Poole et al. 2016
LIGHT = "#ffffff"  # on a map whose shades are the same in all themes
TRAIL = 40  # points of the way that training has gone
DASHES: tuple[Dash, ...] = ("solid", "dash-dot", "dashed", "dotted")  # of several bias variances
DEEPEST = 1000.0  # layers: a depth scale beyond is as good as infinite
if TYPE_CHECKING:
    Name = str
else:
    Name = Literal["auto", *ACTIVATIONS.names()]


class EdgeOfChaosOptions(Described, frozen=True, kw_only=True):
    """What the map shows."""

    function: Annotated[Name, about(N_("function"), N_("Whose map is drawn; auto: of most of the hidden layers."))] = (
        "auto"
    )
    shade: Annotated[
        Literal["depth", "factor"],
        about(
            N_("shade"),
            N_(
                "depth: over how many layers the gradient changes by a factor e, bright where networks can be deep; "
                "factor: by what each layer multiplies the gradient."
            ),
        ),
    ] = "depth"
    trail: Annotated[
        bool, about(N_("way"), N_("Draw how training moves the network; of biases only the start is known."))
    ] = True


@dataclass(frozen=True)
class _Read:
    """One lane on the map.

    way   (points,) n Var(W) in the mean over the layers of the main group, from the first to the present step
    """

    lane: Lane
    chain: Chain
    shown: tuple[Standing, ...]
    way: Array

    @property
    def main(self) -> Standing | None:
        return max(self.shown, key=lambda s: len(s.paths), default=None)


@lru_cache(maxsize=64)
def _chain(plan: Same[Plan]) -> Chain:
    return chain_of(plan.thing)


def _function(scene: Scene, options: EdgeOfChaosOptions) -> tuple[str, float] | None:
    chains = [_chain(Same(lane.plan)) for lane in scene.lanes]
    most = usual(chains)
    if options.function == "auto":
        return most
    parameters = [at.parameter for c in chains for at in c.standings if at.function == options.function]
    activation = ACTIVATIONS[options.function]
    standard = {"slope": 0.01, "alpha": 1.0}.get(activation.parameter, 0.0)
    return options.function, parameters[0] if parameters else standard


def _read(scene: Scene, function: str, parameter: float) -> list[_Read]:
    found = []
    for lane in scene.lanes:
        chain = _chain(Same(lane.plan))
        shown = tuple(s for s in chain.standings if (s.function, s.parameter) == (function, parameter))
        shown = () if chain.obstacle else shown
        main = max(shown, key=lambda s: len(s.paths), default=None)
        found.append(_Read(lane, chain, shown, _way(lane, scene, main) if main is not None else np.empty(0)))
    return found


def _way(lane: Lane, scene: Scene, main: Standing) -> Array:
    """The layers' present n Var(W), in the mean, from the first recorded step on."""
    moment = moment_at(lane.view, scene.step)
    if moment is None:
        return np.empty(0)
    view = lane.view
    names = {path: i for i, path in enumerate(view.layers)}
    paths = [path for path in main.paths if path in names]
    if not paths:
        return np.empty(0)
    places = np.arange(len(moment.line))[layer_columns(view, "weight.norm")][[names[p] for p in paths]]
    upto = int(np.searchsorted(view.kept_steps, moment.step, side="right"))
    rows = np.unique(np.linspace(0, upto - 1, min(TRAIL, upto)).astype(int)) if upto else np.empty(0, dtype=int)
    norms = np.vstack((view.block[rows][:, places], moment.line[None, places]))
    factors = np.array([float(present_weights(lane.plan, p, 1.0)) for p in paths])
    with np.errstate(over="ignore", invalid="ignore"):  # a training that explodes is drawn as far as it goes
        return np.asarray(np.mean(norms * norms * factors, axis=1))


def _window(found: list[_Read]) -> tuple[float, float]:
    """The ends of the map: those of the literature, or further so that all networks stand in it."""
    weights = [s.weights for read in found for s in read.shown]
    weights += [float(w) for read in found for w in read.way[-1:]]
    biases = [s.biases for read in found for s in read.shown]
    return _rounded(weights, WIDEST), _rounded(biases, HIGHEST)


def _rounded(values: list[float], least: float) -> float:
    """In doublings, so that the map stands still while a point moves."""
    most = max((v for v in values if math.isfinite(v)), default=0.0)
    end = least
    while end < 1.08 * most and end < 1e6:
        end *= 2.0
    return end


def build(scene: Scene, options: EdgeOfChaosOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    if all(moment_at(lane.view, scene.step) is None for lane in scene.lanes):
        return nothing(NAME, title, scene)
    wanted = _function(scene, options)
    if wanted is None:
        reasons = {_chain(Same(lane.plan)).obstacle for lane in scene.lanes}
        why = _("The theory of equal layers says nothing here: {why}.").format(why="; ".join(sorted(reasons)))
        return nothing(NAME, title, scene, why)
    function, parameter = wanted
    found = _read(scene, function, parameter)
    widest, highest = _window(found)
    here = _(ACTIVATIONS[function].label)
    return Figure(
        NAME,
        title,
        _("{function} · color: {shade} · white: χ₁ = 1 · {step}").format(
            function=here, shade=shades_of(options), step=step_text(scene)
        ),
        (
            _map(found, scene, function, parameter, widest, highest, options),
            _depths(found, scene, function, parameter, widest),
        ),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
        heights=(4.0, 3.0),
    )


def shades_of(options: EdgeOfChaosOptions) -> str:
    """What the colors of the map say."""
    if options.shade == "depth":
        return _("layers per factor e of the gradient²")
    return _("factor of the gradient per layer")


def _map(
    found: list[_Read],
    scene: Scene,
    function: str,
    parameter: float,
    widest: float,
    highest: float,
    options: EdgeOfChaosOptions,
) -> Plot:
    plane = phase_map(function, parameter, widest, highest)
    if options.shade == "depth":
        shades = Heatmap(
            np.clip(plane.depth, 1e-3, DEEPEST),
            plane.weights,
            plane.biases,
            shades_of(options),
            "log",
            (1.0, 100.0),
        )
    else:
        factor = np.sqrt(plane.chi_1)
        shades = Heatmap(factor, plane.weights, plane.biases, shades_of(options), "linear", (0.0, 2.0))
    marks: list[Mark] = [shades]
    if plane.edge.size:
        marks.append(Line(plane.edge[0], plane.edge[1], LIGHT, width=2.5))
    marks += _phases(plane.chi_1, plane.weights, plane.biases)
    notes: list[Mark] = []
    several = len(found) > 1
    for read in found:
        look = cue_of(read.lane)
        if read.main is None:
            notes.append(remark(widest / 2, highest / 2, _absence(read, scene)))
            continue
        start: Marker = "diamond" if not several else look.marker
        name = lane_title(read.lane, scene) if several else _("as drawn")
        if options.trail and len(read.way) > 1 and np.isfinite(read.way).all() and _moved(read.way):
            height = np.full(len(read.way), read.main.biases)
            marks += _rimmed(read.way, height, look.color, "" if several else _("way of the training"), "", 2.0)
            end = read.way[-1:], height[-1:]
            marks += _rimmed(*end, look.color, name if several else _("now"), look.marker if several else "circle", 3.0)
            name, start = ("", "circle") if several else (name, start)
        # gaps in between, so that nothing joins the groups
        x = np.array([v for s in read.shown for v in (s.weights, math.nan)])
        y = np.array([v for s in read.shown for v in (s.biases, math.nan)])
        marks += _rimmed(x, y, look.color, name, start, 2.0 if name else 1.0)
    return Plot(
        x=Axis(_("n Var(W) of the hidden layers"), limits=(0.0, widest)),
        y=Axis(_("Var(b)"), limits=(-0.06 * highest, highest)),
        marks=(*marks, *notes),
    )


def _rimmed(x: Array, y: Array, color: str, label: str, marker: Marker, width: float) -> list[Mark]:
    """A line or markers with a light rim, so that they stand out from every shade."""
    under = [] if marker else [Line(x, y, LIGHT, width=width + 2.0)]
    return [*under, Line(x, y, color, label, "solid", marker, width, rim=LIGHT)]


def _moved(way: Array) -> bool:
    return bool(np.ptp(way) > 1e-3 * abs(float(way[0])))


def _phases(chi: Array, weights: Array, biases: Array) -> list[Mark]:
    """Names of the phases, each where there is most of it, at two heights: on narrow paper they have no room side by
    side.
    """
    across, up = 0.5 * (weights[1:] + weights[:-1]), 0.5 * (biases[1:] + biases[:-1])
    marks: list[Mark] = []
    # One above the other: side by side there is not always room for both.
    for height, ordered, text in (
        (0.85, True, _("ordered: gradients vanish")),
        (0.5, False, _("chaotic: gradients explode")),
    ):
        row = int(height * len(up))
        inside = (chi[row] < 1.0) == ordered
        if np.count_nonzero(inside) >= len(across) // 5:
            marks.append(Note(float(across[inside].mean()), float(up[row]), text, anchor="center"))
    return marks


def _absence(read: _Read, scene: Scene) -> str:
    """Why a lane does not stand on the map."""
    prefix = lane_prefix(read.lane, scene)
    if read.chain.obstacle:
        return prefix + _("not on the map: {why}").format(why=read.chain.obstacle)
    names = sorted({_(s.activation.label) for s in read.chain.standings})
    return prefix + _("has the map of {functions}").format(functions=", ".join(names))


def _depths(found: list[_Read], scene: Scene, function: str, parameter: float, widest: float) -> Plot:
    """Depth scales over n Var(W), at the bias variance of each lane."""
    marks: list[Mark] = []
    heights = sorted({read.main.biases for read in found if read.main is not None}) or [0.0]
    for number, biases in enumerate(heights):
        scales = cut(function, parameter, biases, widest)
        at = _(" at Var(b) = {value}").format(value=number_text(biases)) if len(heights) > 1 else ""
        dash = DASHES[number % len(DASHES)]
        curves: list[tuple[Array, str, str, Dash, float]] = [
            (6.0 * scales.correlation, "theory", _("6 ξ_c, trainable"), dash, 2.2),
            (scales.gradient, "muted", _("ξ of the gradient²"), "dashed", 1.4),
        ]
        if number == 0:
            curves.append((scales.q, "muted", _("ξ_q of the signal"), "dotted", 1.4))
        for layers, color, label, pattern, width in curves:
            drawn = np.where(layers >= 1.0, np.minimum(layers, DEEPEST), np.nan)  # less than a layer is none
            if np.isfinite(drawn).any():
                marks.append(Line(scales.weights, drawn, color, label + at, pattern, width=width))
    for read in found:
        if read.main is None:
            continue
        look = cue_of(read.lane)
        name = _("depth of {lane}").format(lane=read.lane.name) if len(found) > 1 else _("depth of the network")
        marks.append(Rule(float(read.chain.depth), look.color, name, dash=look.dash))
        marks.append(Rule(read.main.weights, look.color, across="x", dash=look.dash))
    return Plot(
        x=Axis(_("n Var(W) of the hidden layers"), limits=(0.0, widest)),
        y=Axis(_("layers"), "log", limits=(1.0, DEEPEST)),
        marks=tuple(marks),
    )


def _table(found: list[_Read]) -> dict[str, NDArray[np.generic]]:
    parts = []
    for read in found:
        for at in read.shown:
            scales, chi = scales_at(at.function, at.parameter, at.weights, at.biases)
            now = float(read.way[-1]) if at is read.main and len(read.way) else math.nan
            parts.append(
                {
                    "lane": [read.lane.name],
                    "layers": [" ".join(at.paths)],
                    "function": [at.function],
                    "n Var(W)": [at.weights],
                    "Var(b)": [at.biases],
                    "n Var(W) now": [now],
                    "chi_1": [chi],
                    "depth scale of the signal": [scales.q],
                    "depth scale of the correlation": [scales.correlation],
                    "depth scale of the gradient": [scales.gradient],
                    "hidden layers": [read.chain.depth],
                }
            )
    return columns(parts)


def explain(scene: Scene, options: EdgeOfChaosOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "A network of equal layers is two numbers: n Var(W), the variance of its weights times the inputs of a "
            "unit, and the variance of its biases. The map says what very many such layers do; the mark is this "
            "network as it was drawn. Below: over how many layers it forgets."
        ),
        why=_(
            "Left of the line two different inputs become more and more alike from layer to layer, and the gradient "
            "vanishes; right of it alike inputs become different, and the gradient explodes. Only near the line does "
            "anything get through many layers: networks deeper than about six depth scales ξ_c did not train "
            "(Schoenholz et al. 2017)."
        ),
        good=_("A mark near the line, and a depth below the curve 6 ξ_c. Training moves the weights, mostly little."),
        yours=per_lane(scene, lambda lane: _yours(lane, scene, options)),
    )


def _yours(lane: Lane, scene: Scene, options: EdgeOfChaosOptions) -> str:
    chain = _chain(Same(lane.plan))
    if chain.obstacle:
        return _("The theory of equal layers does not hold for this network: {why}.").format(why=chain.obstacle)
    said = [standing_text(at, chain.depth) for at in chain.standings]
    main = chain.main
    way = _way(lane, scene, main) if main is not None else np.empty(0)
    if main is not None and len(way) and np.isfinite(way[-1]) and abs(way[-1] - main.weights) > 0.05 * main.weights:
        said.append(_("By now n Var(W) is {now}, in the mean over the layers.").format(now=number_text(float(way[-1]))))
    return " ".join(said)


def standing_text(at: Standing, depth: int) -> str:
    """Where some layers stand, in two sentences with numbers."""
    scales, chi = scales_at(at.function, at.parameter, at.weights, at.biases)
    phase = _("at the edge") if abs(chi - 1.0) < 1e-3 else _("ordered") if chi < 1.0 else _("chaotic")
    said = [
        _(
            "{function} with n Var(W) = {weights} and Var(b) = {biases}: {phase}, the gradient changes by {factor} "
            "per layer in the end."
        ).format(
            function=_(at.activation.label),
            weights=number_text(at.weights, 3),
            biases=number_text(at.biases, 3),
            phase=phase,
            factor=factor_text(math.sqrt(max(chi, 0.0)), 3),
        )
    ]
    if math.isnan(scales.correlation):
        kept = fixed_kind(at)
        said.append(kept)
    elif math.isinf(scales.correlation):
        said.append(_("Its depth scale ξ_c has no end: such networks can be as deep as one likes."))
    else:
        verdict = (
            _("it should train") if depth <= scales.trainable else _("it is deeper than what trained in experiments")
        )
        said.append(
            _(
                "Depth scales: ξ_q = {q}, ξ_c = {c}; trainable up to about 6 ξ_c = {trainable} layers, the network has "
                "{depth}: {verdict}."
            ).format(
                q=number_text(scales.q, 3),
                c=number_text(scales.correlation, 3),
                trainable=number_text(scales.trainable, 3),
                depth=depth,
                verdict=verdict,
            )
        )
    return " ".join(said)


def fixed_kind(at: Standing) -> str:
    """What becomes of the signal where it does not settle."""
    from ..theory.mean_field import fixed_point

    q = fixed_point(at.activation, at.parameter, at.weights, at.biases).q
    if q == 0.0:
        return _("The signal dies out, so that there is no depth scale of the correlation.")
    if math.isinf(q):
        return _("The signal grows without end, so that there is no depth scale of the correlation.")
    return _("The signal settles, the correlation does not.")


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, EdgeOfChaosOptions))
