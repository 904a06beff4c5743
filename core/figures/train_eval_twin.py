"""Training and evaluation: the same samples through the network with and without dropout and minibatch statistics."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray

from ..fields import Described, about
from ..studies.base import Study
from ..studies.twin import Twin, Twins
from ..text import N_, _, ngettext
from .figure import FIGURES, Axis, Explanation, Figure, FigureKind, Lane, Line, Mark, Plot, Rule, Scene, Table, Words
from .reading import (
    LayersOption,
    Place,
    at_places,
    columns,
    cue_of,
    lane_prefix,
    lane_title,
    layer_name,
    layer_ticks,
    nothing,
    per_lane,
    percent_text,
    places,
    ranges_text,
    remark,
    stamp,
)
from .scales import number_text

Array = NDArray[np.float64]
NAME, TITLE = "train-eval-twin", N_("Training and evaluation")
FAR = 0.5  # relative difference from which the twins do not have much in common


class TwinOptions(Described, frozen=True, kw_only=True):
    """What the figure of the twins shows."""

    layers: LayersOption = "all"
    quantity: Annotated[
        Literal["std", "rms", "mean"],
        about(N_("quantity"), N_("What is shown of the outputs of every layer: spread, size or mean.")),
    ] = "std"


def needs(_options: TwinOptions) -> tuple[Study, ...]:
    return (Twin(),)


def twins_of(lane: Lane) -> tuple[int, Twins] | None:
    """(step, what was found) of a lane; None where nothing is known."""
    answer = lane.study(Twin())
    if answer is None or answer.value is None:
        return None
    return answer.step, answer.value


def _label(options: TwinOptions) -> str:
    return {
        "std": _("standard deviation of the outputs"),
        "rms": _("root mean square of the outputs"),
        "mean": _("mean of the outputs"),
    }[options.quantity]


def build(scene: Scene, options: TwinOptions) -> Figure:
    """The figure; see the module's sentence."""
    title = _(TITLE)
    found = [
        (lane, places(lane, options.layers), known[1], known[0])
        for lane in scene.lanes
        if (known := twins_of(lane)) is not None
    ]
    if not found:
        return nothing(NAME, title, scene)
    sizes: list[Mark] = []
    apart: list[Mark] = []
    for number, (lane, shown, twins, _step) in enumerate(found):
        look, x = cue_of(lane), np.arange(1.0, len(shown) + 1.0)
        training, evaluation = (
            _finite(at_places(getattr(mode, options.quantity), shown)) for mode in (twins.training, twins.evaluation)
        )
        sizes.append(
            Line(x, evaluation, look.color, _("evaluated") if number == 0 else "", look.dash, width=6.0, faint=True)
        )
        name = lane_title(lane, scene) if len(scene.lanes) > 1 else _("in training")
        sizes.append(Line(x, training, look.color, name, look.dash, look.marker))
        apart.append(Line(x, 100.0 * _finite(_apart(twins, shown)), look.color, "", look.dash, look.marker))
        strange = ~np.isfinite(_apart(twins, shown))
        if strange.any():
            said = _("not a finite number in layer {layers}").format(
                layers=ranges_text([place.text for place in shown], strange)
            )
            apart.append(remark(float(np.argmax(strange) + 1), 0.0, lane_prefix(lane, scene) + said))
    causes = _causes(found)
    across = Axis(
        _("layer (data → loss)"),
        limits=(0.5, max(len(shown) for _lane, shown, _twins, _step in found) + 0.5),
        ticks=layer_ticks(shown for _lane, shown, _twins, _step in found),
    )
    return Figure(
        NAME,
        title,
        _subtitle(scene, [(lane, twins, step) for lane, _shown, twins, step in found]),
        (
            Plot(across, Axis(_label(options), limits=_limits(sizes, options.quantity != "mean")), (*causes, *sizes)),
            Plot(
                across,
                Axis(_("difference (% of evaluated)"), limits=_limits(apart, True)),
                (*(Rule(c.at, c.color, across="x", dash=c.dash) for c in causes), *apart),
            ),
        ),
        table=Table(lambda: _table(found)),
        stamp=stamp(NAME, scene),
        heights=(1.2, 1.0),
        words=_words(found),
    )


def _apart(twins: Twins, shown: tuple[Place, ...]) -> Array:
    return at_places(twins.difference, shown)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _limits(marks: list[Mark], from_zero: bool) -> tuple[float, float]:
    values = np.concatenate([mark.y for mark in marks if isinstance(mark, Line)])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if from_zero:
        low = min(low, 0.0)
    if high == low:
        return (-0.04, 1.0) if from_zero else (low - 1.0, high + 1.0)
    room = 0.08 * (high - low)
    return low - (0.5 * room if from_zero else room), high + room


def _causes(found: list[tuple[Lane, tuple[Place, ...], Twins, int]]) -> list[Rule]:
    """Where the twins come apart; of several lanes only where it is the same place in all."""
    sets = []
    for _lane, shown, twins, _step in found:
        here = set()
        for at, place in enumerate(shown, 1):
            if twins.dropout[place.index]:
                here.add((at, "dropout"))
            if twins.normalized[place.index]:
                here.add((at, "batch norm"))
        sets.append(here)
    names = {"dropout": (_("dropout"), "warning"), "batch norm": (_("batch norm"), "muted")}
    rules: list[Rule] = []
    for at, kind in sorted(set.intersection(*sets)):
        label, color = names[kind]
        new = all(rule.color != color for rule in rules)
        rules.append(Rule(float(at), color, label if new else "", across="x", dash="dotted"))
    return rules


def _words(found: list[tuple[Lane, tuple[Place, ...], Twins, int]]) -> tuple[Words, ...]:
    if all(twins.same for _lane, _shown, twins, _step in found):
        said = _("Nothing here differs between training and evaluation: there is neither dropout nor batch norm.")
        return (Words(tuple(said.split(" ")), color="muted"),)
    return ()


def _subtitle(scene: Scene, found: list[tuple[Lane, Twins, int]]) -> str:
    said = []
    for lane, twins, _step in found[:2]:
        said.append(
            lane_prefix(lane, scene)
            + _("loss {training} in training, {evaluation} evaluated").format(
                training=number_text(twins.training.loss, 3), evaluation=number_text(twins.evaluation.loss, 3)
            )
        )
    said.append(_("step {step}").format(step=number_text(found[0][2], 9)))
    return " · ".join(said)


def _table(found: list[tuple[Lane, tuple[Place, ...], Twins, int]]) -> dict[str, NDArray[np.generic]]:
    return columns(
        [
            {
                "lane": lane.name,
                "step": step,
                "position": np.arange(1, len(shown) + 1),
                "layer": [lane.view.layers[place.index] for place in shown],
                **{
                    f"{mode}.{name}": at_places(getattr(getattr(twins, mode), name), shown)
                    for mode in ("training", "evaluation")
                    for name in ("mean", "std", "rms")
                },
                "difference": _apart(twins, shown),
            }
            for lane, shown, twins, step in found
        ]
    )


def explain(scene: Scene, options: TwinOptions) -> Explanation:
    """What the figure says, the last part from the present numbers."""
    return Explanation(
        what=_(
            "The minibatch of the coming step goes through the network twice: as in training, with units dropped out "
            "and with the minibatch's own mean and variance in batch norm, and as in evaluation, with all units and "
            "the running statistics. Above: {quantity} of both; below: how far the outputs are apart, number by number."
        ).format(quantity=_label(options)),
        why=_(
            "What is trained is not quite what is used. Dropout is a disturbance on purpose. Running statistics lag "
            "behind while weights move fast, and minibatches that are small have a mean and variance of their own: "
            "then a network that trains well may answer badly."
        ),
        good=_(
            "With batch norm alone, differences of a few percent that shrink while training settles. Dropout makes "
            "large ones, but the spread above should stay alike. Evaluated, the loss should be the lower one."
        ),
        yours=per_lane(scene, lambda lane: _yours(lane, options)),
    )


def _yours(lane: Lane, options: TwinOptions) -> str:
    known = twins_of(lane)
    if known is None:
        return _("Nothing is computed yet.")
    twins, shown = known[1], places(lane, options.layers)
    losses = _("The loss is {training} in training and {evaluation} evaluated, on the same {samples}.").format(
        training=number_text(twins.training.loss, 3),
        evaluation=number_text(twins.evaluation.loss, 3),
        samples=ngettext("{count} sample", "{count} samples", twins.samples).format(count=twins.samples),
    )
    if twins.same:
        return losses + " " + _("The network has neither dropout nor batch norm, so both are the same network.")
    said = [losses]
    if not math.isnan(twins.training.accuracy):
        said.append(
            _("Right are {training} in training, {evaluation} evaluated.").format(
                training=percent_text(twins.training.accuracy), evaluation=percent_text(twins.evaluation.accuracy)
            )
        )
    apart = _apart(twins, shown)
    fine = np.isfinite(apart)
    if not fine.any():
        return " ".join([*said, _("No layer has finite outputs in both.")])
    most = int(np.nanargmax(np.where(fine, apart, np.nan)))
    said.append(
        _("They are farthest apart in {layer} ({title}), by {share} of its output; at the end by {last}.").format(
            layer=layer_name(shown[most]),
            title=shown[most].title,
            share=percent_text(float(apart[most])),
            last=percent_text(float(apart[-1])),
        )
    )
    if twins.normalized.any() and twins.updates < 30:
        said.append(
            ngettext(
                "The running statistics have seen {count} minibatch only: they still remember their first values.",
                "The running statistics have seen {count} minibatches only: they still remember their first values.",
                twins.updates,
            ).format(count=twins.updates)
        )
    elif twins.normalized.any() and not twins.dropout.any() and float(apart[-1]) > FAR:
        said.append(
            _("That is a lot for batch norm: minibatches are too small, or the weights move too fast to follow.")
        )
    return " ".join(said)


FIGURES.add(NAME)(FigureKind(NAME, TITLE, build, explain, TwinOptions, needs))
