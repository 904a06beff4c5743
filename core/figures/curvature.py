"""Curvature: how sharply the loss bends against what the learning rate can stand, and how noisy the gradient is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..fields import Described
from ..loss_surface import MomentsOption, SamplesOption
from ..studies.base import Study
from ..studies.gradient_noise import GradientNoise, GradientNoiseStudy
from ..studies.sharpness import Sharpness, SharpnessStudy
from ..text import N_, _, ngettext
from .figure import (
    FIGURES,
    Axis,
    Band,
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
    columns,
    cue_of,
    factor_text,
    is_present,
    lane_prefix,
    lane_title,
    nothing,
    per_lane,
    remark,
    stamp,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "curvature", N_("Curvature")
NEAR = 0.2  # around the edge of stability that counts as being on it
LARGEST = 1e9  # samples: a noise scale beyond is as good as infinite


class CurvatureOptions(Described, frozen=True, kw_only=True):
    """What is computed."""

    samples: SamplesOption = 256
    moments: MomentsOption = 8


@dataclass(frozen=True)
class _Read:
    """One lane: its answers and the step that they are from."""

    lane: Lane
    step: int
    sharpness: Sharpness
    noise: GradientNoise | None


def needs(options: CurvatureOptions) -> tuple[Study, ...]:
    return (
        SharpnessStudy(samples=options.samples, moments=options.moments),
        GradientNoiseStudy(moments=options.moments),
    )


def _read(lane: Lane, options: CurvatureOptions) -> _Read | None:
    sharp, noisy = (lane.study(study) for study in needs(options))
    if sharp is None or sharp.value is None:
        return None
    return _Read(lane, sharp.step, sharp.value, noisy.value if noisy is not None else None)


def build(scene: Scene, options: CurvatureOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [read for lane in scene.lanes if (read := _read(lane, options)) is not None]
    if not found:
        why = _("The curvature takes a moment: it is computed when you ask for it.") if scene.lanes else ""
        return nothing(NAME, title, scene, why)
    last = max(read.step for read in found)
    first = min(int(read.sharpness.steps[0]) for read in found)
    room = 0.03 * max(last - first, 1) if last > first else 0.5
    across = Axis(_("step"), limits=(first - room, last + room), whole=True)
    return Figure(
        NAME,
        title,
        _subtitle(scene, found),
        (_sharpness(found, scene, across), _noise(found, scene, across)),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
        heights=(1.35, 1.0),
    )


def _drawable(values: Array) -> Array:
    """What a logarithmic axis can show."""
    return np.where(np.isfinite(values) & (values > 0.0), values, np.nan)


def _limits(parts: Sequence[Array], fallback: tuple[float, float], above: float = 2.0) -> tuple[float, float]:
    values = np.concatenate([*parts, np.empty(0)])
    values = values[np.isfinite(values) & (values > 1e-300)]
    if not values.size:
        return fallback
    return max(float(values.min()) / 2.0, 1e-300), min(float(values.max()) * above, 1e300)


def edge_formula(rule: str) -> str:
    """How much sharpness an optimizer can stand."""
    return {
        "sgd": "2/η",
        "momentum": "(2 + 2μ)/η",
        "nesterov": "(2 + 2μ)/(η (1 + 2μ))",
        "adam": "(2 + 2β₁)/(η (1 − β₁))",
        "rmsprop": "2/η",
    }.get(rule, "")


def _sharpness_name(answer: Sharpness) -> str:
    return _("sharpness λ_max(P⁻¹H), P = √v̂ + ε") if answer.scaled else _("sharpness λ_max")


def _sharpness(found: Sequence[_Read], scene: Scene, across: Axis) -> Plot:
    marks: list[Mark] = []
    notes: list[Mark] = []
    assert across.limits is not None
    values = [_drawable(read.sharpness.values) for read in found]
    edges = [_drawable(read.sharpness.edges) for read in found]
    limits = _limits([*values, *edges], (0.1, 10.0), 3.0)
    for read, sharp, edge in zip(found, values, edges, strict=True):
        look, answer = cue_of(read.lane), read.sharpness
        if np.isfinite(edge).any():
            x = answer.edge_steps.astype(np.float64)
            x = np.concatenate([[across.limits[0]], x, [across.limits[1]]])
            y = np.concatenate([edge[:1], edge, edge[-1:]])
            formula = edge_formula(answer.rule)
            if len(found) == 1:
                top = np.full(len(x), limits[1])
                marks.append(Band(x, np.where(np.isfinite(y), y, limits[1]), top, "alarm"))
                name, color = _("unstable above {formula}").format(formula=formula), "alarm"
            else:
                name = lane_prefix(read.lane, scene) + _("edge {formula}").format(formula=formula)
                color = look.color
            marks.append(Line(x, y, color, name, "dashed", width=1.6))
        name = lane_title(read.lane, scene) if len(found) > 1 else _sharpness_name(answer)
        marks.append(Line(answer.steps.astype(np.float64), sharp, look.color, name, look.dash, look.marker))
        said = []
        if not answer.rule and len(found) == 1:
            known = _("no edge is known for this optimizer")
            notes.append(Note(across.limits[1], limits[1], known, "muted", free=True))
        missing = ~np.isfinite(answer.values)
        if answer.scaled:
            missing = missing[1:] if answer.steps[0] == 0 and len(missing) > 1 else missing
        if missing.any() and answer.scaled and read.step == 0:
            notes.append(Note(0.0, 1.0, _("this optimizer has seen no gradient yet"), "muted", free=True))
        elif missing.any():
            said.append(_("not a finite number at some steps"))
        elif np.any(answer.values <= 0.0):
            said.append(_("no upward curvature at some steps"))
        if said:
            where = math.sqrt(limits[0] * limits[1])
            notes += [remark(0.5 * sum(across.limits), where, lane_prefix(read.lane, scene) + text) for text in said]
    return Plot(across, Axis(_("largest eigenvalue of the Hessian"), "log", limits=limits), (*marks, *notes))


def _noise(found: Sequence[_Read], scene: Scene, across: Axis) -> Plot:
    marks: list[Mark] = []
    notes: list[Mark] = []
    assert across.limits is not None
    middle = 0.5 * sum(across.limits)
    shown: list[Array] = []
    for read in found:
        look, answer = cue_of(read.lane), read.noise
        if answer is None:
            continue
        x = answer.steps.astype(np.float64)
        scales = _drawable(np.minimum(answer.scales, LARGEST))
        scales = np.where(np.isfinite(answer.scales), scales, np.nan)
        errors = np.where(np.isfinite(answer.errors), answer.errors, 0.0)
        low, high = np.maximum(scales - errors, 0.3 * scales), scales + errors
        shown += [low, high, np.array([float(answer.batch_size)])]
        if len(x) > 1:
            marks.append(Band(x, low, high, look.color))
        name = lane_title(read.lane, scene) if len(found) > 1 else ""
        marks.append(Line(x, scales, look.color, name, look.dash, look.marker))
        size = _("minibatch of {count}").format(count=answer.batch_size)
        known = [m for m in marks if isinstance(m, Rule)]
        if all(rule.at != answer.batch_size for rule in known):
            marks.append(Rule(float(answer.batch_size), "text", size, dash="dotted"))
        said = ""
        if not answer.batches:
            said = _("too few samples to compare minibatches")
        elif np.any(np.isinf(answer.scales)):
            said = _("at some steps the gradient is lost in its noise")
        if said:
            notes.append(remark(middle, float(answer.batch_size), lane_prefix(read.lane, scene) + said))
    limits = _limits(shown, (1.0, 1000.0))
    return Plot(
        across, Axis(_("gradient noise scale ± standard error (samples)"), "log", limits=limits), (*marks, *notes)
    )


def _subtitle(scene: Scene, found: Sequence[_Read]) -> str:
    said = []
    for read in found[:2]:
        answer = read.sharpness
        text = _("λ_max {value}").format(value=number_text(float(answer.values[-1]), 3))
        if math.isfinite(answer.edges[-1]):
            text += _(", edge {edge}").format(edge=number_text(float(answer.edges[-1]), 3))
        said.append(lane_prefix(read.lane, scene) + text)
    said.append(_("step {step}").format(step=number_text(found[0].step, 9)))
    if not all(is_present(read.step, scene) for read in found):
        said[-1] += " " + _("(not the present one)")
    return " · ".join(said)


def _table(found: Sequence[_Read]) -> dict[str, NDArray[np.generic]]:
    parts = []
    for read in found:
        answer, noise = read.sharpness, read.noise
        places = np.searchsorted(answer.edge_steps, answer.steps, side="right") - 1
        missing = np.full(len(answer.steps), np.nan)
        same = noise is not None and len(noise.steps) == len(answer.steps)
        parts.append(
            {
                "lane": read.lane.name,
                "step": answer.steps,
                "loss": answer.losses,
                "gradient norm": answer.slopes,
                "sharpness": answer.values,
                "residual": answer.residuals,
                "edge of stability": answer.edges[np.clip(places, 0, len(answer.edges) - 1)],
                "noise scale": noise.scales if noise is not None and same else missing,
                "standard error": noise.errors if noise is not None and same else missing,
                "trace of the covariance": noise.variances if noise is not None and same else missing,
                "squared gradient": noise.squares if noise is not None and same else missing,
            }
        )
    return columns(parts)


def explain(scene: Scene, options: CurvatureOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "Above, the sharpness: the largest eigenvalue of the loss's Hessian H, so the curvature in the direction "
            "in which it bends most, computed in 64 bits on a fixed part of the training data, dropout off. For Adam "
            "and RMSProp the landscape is seen as they scale it, P⁻¹H. Below, the noise scale: how many samples a "
            "minibatch needs so that its gradient is as large as its noise."
        ),
        why=_(
            "On a parabola of curvature λ, steps with a learning rate above 2/λ overshoot farther every time. With "
            "full batches, training makes the loss sharper until it stands at that edge and goes on in a zigzag. "
            "Minibatches much smaller than the noise scale mostly follow noise, much larger ones repeat themselves."
        ),
        good=_(
            "A sharpness below the edge: small minibatches keep it well below. At the edge the learning rate is as "
            "large as this landscape allows; far above it the loss should be exploding. A minibatch around the noise "
            "scale makes good use of its samples."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, options)),
    )


def _yours(lane: Lane, options: CurvatureOptions) -> str:
    read = _read(lane, options)
    if read is None:
        return _("No curvature is computed yet: press “Compute now”.")
    answer, value = read.sharpness, float(read.sharpness.values[-1])
    if not math.isfinite(value):
        return _("At step {step} the curvature is not a finite number.").format(step=number_text(read.step, 9))
    said = [
        _("At step {step} λ_max is {value} (within {residual}).").format(
            step=number_text(read.step, 9),
            value=number_text(value, 3),
            residual=number_text(float(answer.residuals[-1]), 1),
        )
    ]
    edge = float(answer.edges[-1])
    if not answer.rule:
        said.append(
            _("No edge of stability is known for {optimizer}.").format(
                optimizer=_(lane.training.optimizer.label) if lane.training is not None else _("this optimizer")
            )
        )
    elif math.isfinite(edge) and edge > 0.0 and value > 0.0:
        share = value / edge
        if share > 1.0 + NEAR:
            verdict = _("beyond the edge: steps along this direction overshoot more and more")
        elif share > 1.0 - NEAR:
            verdict = _("at the edge of stability")
        else:
            verdict = _("stable: the learning rate could be {factor} as large before it is not").format(
                factor=factor_text(edge / value)
            )
        said.append(
            _("The edge {formula} is {edge} at the present rate {rate}: {verdict}.").format(
                formula=edge_formula(answer.rule),
                edge=number_text(edge, 3),
                rate=number_text(answer.rate, 3),
                verdict=verdict,
            )
        )
    elif value <= 0.0:
        said.append(_("Nowhere does the loss bend upward."))
    start = float(answer.values[0])
    if len(answer.values) > 1 and math.isfinite(start) and start > 0.0 and value > 0.0:
        said.append(
            _("Since step {first} it has changed by {factor}.").format(
                first=number_text(int(answer.steps[0]), 9), factor=factor_text(value / start)
            )
        )
    said += _noise_sentences(read.noise)
    return " ".join(said)


def _noise_sentences(noise: GradientNoise | None) -> list[str]:
    if noise is None:
        return []
    if not noise.batches:
        return [_("There are too few samples to measure the noise of the gradient.")]
    scale, error = float(noise.scales[-1]), float(noise.errors[-1])
    if math.isnan(scale):
        return []
    size = ngettext("{count} sample", "{count} samples", noise.batch_size).format(count=noise.batch_size)
    if math.isinf(scale):
        return [_("The gradient is lost in its noise: every minibatch here is too small to see it.")]
    told = number_text(scale, 2) + (f" ± {number_text(error, 1)}" if math.isfinite(error) else "")
    if noise.batch_size < 0.5 * scale:
        verdict = _("mostly noise, so larger minibatches would give better directions")
    elif noise.batch_size > 2.0 * scale:
        verdict = _("mostly signal, so smaller minibatches would take almost as good steps for less work")
    else:
        verdict = _("about as much signal as noise")
    return [
        _("The noise scale is {scale}; a step sees {size}: {verdict}.").format(scale=told, size=size, verdict=verdict)
    ]


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, CurvatureOptions, needs))
