"""Remedies are the proposals that several rules make: other first weights, another function, normalization, a smaller
learning rate.

Each says with its changes what it does to the experiment at hand, and is left out by `Case.fitting` where it would
change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..editing import in_list, split, unwrapped
from ..experiment import Experiment
from ..initializers import Initializer
from ..layers.activation import ActivationLayer
from ..layers.base import Layer
from ..network import Card, Plan
from ..text import _
from .proposal import Change, Insert, Proposal, settings_named

# First weights that keep the size of signal and gradient with a function: He et al. 2015 where half of the inputs are
# cut away, Klambauer et al. 2017 for SELU, Glorot & Bengio 2010 for functions with slope 1 at zero.
HE, LECUN, XAVIER = "he_normal", "lecun_normal", "glorot_normal"
SUITED = {"relu": HE, "leaky_relu": HE, "elu": HE, "gelu": HE, "silu": HE, "softplus": HE, "selu": LECUN}
NAMES = {HE: "He", LECUN: "LeCun", XAVIER: "Xavier"}
# Their slope is below 1 everywhere, so no choice of weights keeps both signal and gradient.
FLAT = ("sigmoid", "hard_sigmoid", "softplus")
FAR_OFF = 3.0  # a single layer whose weights are so many times too wide or too narrow counts alone
SATURATING = ("sigmoid", "tanh", "softsign", "hard_tanh", "hard_sigmoid")


def weighted_layers(experiment: Experiment, plan: Plan) -> Iterator[tuple[str, Card, str, bool]]:
    """(place of its init, card, function that belongs to it or "", whether it is the output) of the layers that draw
    weights by a scheme, in data order.
    """
    cards = plan.cards
    weighted = [i for i, card in enumerate(cards) if any(p.weight for p in card.parameters)]
    for index in weighted:
        card = cards[index]
        inner = unwrapped(card.layer)
        init = getattr(inner, "init", None)
        if isinstance(init, Initializer):
            wrapped = "" if inner is card.layer else ".layer"
            yield f"network.{card.path}{wrapped}.init", card, _function_of(cards, index), index == weighted[-1]


def _function_of(cards: Sequence[Card], index: int) -> str:
    """The name of the function between a layer's weights and the next ones; of the one before it where none follows,
    as in blocks that begin with it; "" without either.
    """
    for way in (range(index + 1, len(cards)), range(index - 1, -1, -1)):
        for other in way:
            layer = cards[other].layer
            if isinstance(layer, ActivationLayer):
                return layer.function
            if any(p.weight for p in cards[other].parameters):
                break
    return ""


def excess(card: Card, function: str) -> float:
    """Standard deviation of the weights as drawn by that of the scheme that suits the function; NaN where the scheme
    looks at the data.
    """
    weight = next(p for p in card.parameters if p.weight)
    suited = Initializer.registry[SUITED.get(function, XAVIER)]()
    fitting = suited.standard_deviation(weight.shape, weight.fan_in, weight.fan_out)
    return weight.spread[0] / fitting if fitting > 0.0 else math.nan


def spread_off(experiment: Experiment, plan: Plan) -> float:
    """How many times as widely as suits their functions the weights are drawn: that of the layer that is most wrong
    where one is far off, else the geometric mean over all layers. 1 where there are none.
    """
    layers = weighted_layers(experiment, plan)
    ratios = [excess(card, "" if output else function) for _place, card, function, output in layers]
    logarithms = [math.log(max(ratio, 1e-12)) for ratio in ratios if math.isfinite(ratio)]
    worst = max(logarithms, key=abs, default=0.0)
    if abs(worst) > math.log(FAR_OFF):
        return math.exp(worst)
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else 1.0


def suited_weights(experiment: Experiment, plan: Plan, function: str = "") -> Proposal:
    """First weights that suit the function behind every layer, Xavier for the output.

    function   replaces every hidden function that is not this one already
    """
    changes: list[Change] = []
    schemes: dict[str, None] = {}
    if function:
        changes += [(path, function) for path, name in settings_named(experiment, "function") if name != function]
    for place, _card, behind, output in weighted_layers(experiment, plan):
        scheme = XAVIER if output else SUITED.get(function or behind, XAVIER)
        if not output:
            schemes[scheme] = None
        changes.append((place, {"kind": scheme}))
    named = _(" and ").join(NAMES[scheme] for scheme in schemes) or NAMES[XAVIER]
    if function:
        label = ActivationLayer(function=function).title()
        return Proposal(_("{function} with {scheme} weights").format(function=label, scheme=named), tuple(changes))
    return Proposal(
        _("{scheme} weights, whose spread follows from the number of inputs").format(scheme=named),
        tuple(changes),
    )


def normalization(experiment: Experiment, plan: Plan, kind: str = "batch_norm") -> Proposal:
    """A normalization behind every layer with weights that has a function and no normalization behind it."""
    cards = list(plan.cards)
    places = []
    for index, card in enumerate(cards[:-1]):
        behind = cards[index + 1]
        bare = any(p.weight for p in card.parameters) and isinstance(behind.layer, ActivationLayer)
        if bare and in_list(card.path) and in_list(behind.path):
            places.append(behind.path)
    changes = tuple((f"network.{path}", Insert({"kind": kind})) for path in _back_to_front(places))
    label = _(Layer.registry[kind].label)
    return Proposal(_("{label} before every function keeps the size in every layer").format(label=label), changes)


def normalized_blocks(experiment: Experiment, plan: Plan, kind: str = "layer_norm") -> Proposal:
    """A normalization as the first layer of every residual block that has none."""
    groups = {"normalization"}
    places = [
        f"{card.path}.body.0"
        for card in plan.cards
        if card.layer.kind_name() == "residual"
        and not any(c.path.startswith(f"{card.path}.body.") and c.layer.group in groups for c in plan.cards)
    ]
    changes = tuple((f"network.{path}", Insert({"kind": kind})) for path in _back_to_front(places))
    label = _(Layer.registry[kind].label)
    return Proposal(
        _("{label} at the start of every block, so that what is added does not grow with the sum").format(label=label),
        changes,
    )


def _back_to_front(paths: list[str]) -> list[str]:
    """Insertions move what stands behind them, so the last one of a list comes first and inner lists before outer."""

    def key(path: str) -> tuple[int, int]:
        return path.count("."), split(path)[1]

    return sorted(paths, key=key, reverse=True)


def learning_rate(experiment: Experiment, factor: float) -> Proposal:
    """The learning rate times a factor, rounded to 1, 2 or 5 times a power of ten."""
    return set_learning_rate(experiment, rounded(_rate(experiment) * factor))


def set_learning_rate(experiment: Experiment, rate: float) -> Proposal:
    """Another learning rate."""
    return Proposal(
        _("Learning rate {new:g} instead of {now:g}").format(new=rate, now=_rate(experiment)),
        (("training.optimizer.learning_rate", rate),),
    )


def _rate(experiment: Experiment) -> float:
    return float(getattr(experiment.training.optimizer, "learning_rate", math.nan))


def rounded(value: float) -> float:
    """The nearest of 1, 2, 5 times a power of ten, on a logarithmic scale."""
    if not (math.isfinite(value) and value > 0.0):
        return value
    decade = 10.0 ** math.floor(math.log10(value))
    nearest = min((1.0, 2.0, 5.0, 10.0), key=lambda mantissa: abs(math.log(value / (mantissa * decade))))
    return float(f"{nearest * decade:.0e}")
