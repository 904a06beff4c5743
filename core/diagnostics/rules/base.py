"""A rule judges what was measured: it knows one illness, the numbers that show it, and what to try against it.

Probes measure, rules judge, panels draw: a rule reads a record and draws nothing. Its thresholds are its fields, so
that a form, a chart and a file know them; what it finds is a value with the evidence in numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...data.summary import Inputs
from ...experiment import Experiment
from ...fields import Kind, about
from ...network import Card, Plan
from ...record import Detail, RecordView
from ...registry import Registry
from ...text import N_, _, translations
from ...theory.mean_field import LayerPrediction
from ..course import Course, course_of
from ..proposal import Proposal

Array = NDArray[np.float64]
Severity = Literal["warning", "alarm"]
MOST_ROWS = 256  # steps that a rule looks at; a long record is looked at in as many, evenly spread
FEWEST = 3  # hidden layers; the slope over fewer says nothing
AS_EXPECTED = 0.15  # by so much, in its logarithm, may a factor per layer differ from theory and still be the same
RECENT = 5  # of these steps, the median of which counts as "now"
LEARNED = 0.3  # part of the loss of guessing below which a network has learned something


@dataclass(frozen=True)
class Evidence:
    """One number that shows the illness, beside its threshold.

    text       what was measured, in words with its unit: "gradient norm, factor per layer"
    quantity   its name in the record, where it is one: charts of this quantity show the threshold; "" where not
    value      what was measured
    threshold  what it is compared with
    below      whether numbers below the threshold are the bad ones; None: on whichever side the value lies
    factor     whether it is a factor per layer, which is judged by its logarithm: 1 changes nothing
    """

    text: str
    value: float
    threshold: float
    quantity: str = ""
    below: bool | None = None
    factor: bool = False

    @property
    def is_below(self) -> bool:
        """Whether numbers below the threshold are the bad ones."""
        return self.value < self.threshold if self.below is None else self.below

    @property
    def excess(self) -> float:
        """How many times beyond the threshold the value lies: 1 at the threshold, less on the healthy side, infinite
        where a zero is too small. NaN where there is no telling.
        """
        value, threshold = self.value, self.threshold
        if not (value >= 0.0 and threshold > 0.0):
            return math.nan
        if self.factor and threshold != 1.0:
            if value == 0.0 or math.isinf(value):
                return math.inf if (value == 0.0) == self.is_below else 0.0
            return max(0.0, math.log(value) / math.log(threshold))
        if not self.is_below:
            return value / threshold
        return threshold / value if value > 0.0 else math.inf


@dataclass(frozen=True)
class Finding:
    """What a rule found.

    rule          its name
    severity      "warning": worth a look; "alarm": training cannot go well like this
    headline      one sentence with the numbers: "Gradients vanish: x 0.24 per layer on the way back"
    explanation   two sentences: what happens, and why
    evidence      the numbers; the first is the decisive one
    layers        paths of the layers that it is about; () where it is about the whole training
    first_step    since when it is so, as far as the record knows
    last_step     the last step at which it was so: the step looked at
    proposals     what to try, the most promising first; only those that change something here
    follows_from  names of the rules whose findings are the cause of this one; the doctor fills them in
    """

    rule: str
    severity: Severity
    headline: str
    explanation: str
    evidence: tuple[Evidence, ...]
    layers: tuple[str, ...] = ()
    first_step: int = 0
    last_step: int = 0
    proposals: tuple[Proposal, ...] = ()
    follows_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slope:
    """How the size of something changes with depth, for every step.

    places    (layers,) numbers of the hidden layers, in data order
    factors   (T,) by what it is multiplied from one layer to the next, on its way
    totals    (T,) at the end of its way by that at the start
    expected  the factor per layer that theory expects at initialization; NaN where it says nothing
    """

    places: NDArray[np.int64]
    factors: Array
    totals: Array
    expected: float

    @property
    def factor(self) -> float:
        """The factor per layer now: the median of the last few steps."""
        return float(np.median(self.factors[-RECENT:]))

    @property
    def total(self) -> float:
        """The end by the start, now."""
        return float(np.median(self.totals[-RECENT:]))

    def told(self) -> str:
        """One sentence: what theory says of the factor."""
        factor, expected = self.factor, self.expected
        if not (math.isfinite(expected) and expected > 0.0):
            return _("A straight slope on a logarithmic axis is a factor that all layers share.")
        if factor > 0.0 and abs(math.log(expected / factor)) < AS_EXPECTED:
            said = _("Theory expects ×{expected} per layer from these functions and first weights: no accident.")
        elif abs(math.log(expected)) < AS_EXPECTED:
            said = _("Theory expects ×{expected} per layer at the start, so training has brought it here.")
        else:
            said = _("Theory expects ×{expected} per layer from these functions and first weights.")
        return said.format(expected=in_short(expected))


@dataclass(frozen=True)
class Case:
    """What a rule may look at: one lane as it was known at a step. What came later does not count.

    step         the step that is looked at
    inputs       what the samples look like, where that is known
    predictions  what theory expects at initialization, a layer each, in the order of the record
    chance       the loss of guessing
    """

    view: RecordView
    plan: Plan
    experiment: Experiment
    step: int
    inputs: Inputs | None = None
    predictions: tuple[LayerPrediction, ...] = ()
    chance: float = float("nan")

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the record up to the step, at most `MOST_ROWS`, the last one among them."""
        known = int(np.searchsorted(self.view.steps, self.step, side="right"))
        if known <= MOST_ROWS:
            return np.arange(known)
        return np.unique(np.linspace(0, known - 1, MOST_ROWS).round().astype(np.int64))

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """(T,) the steps of these rows."""
        return self.view.steps[self.rows]

    def over_time(self, quantity: str) -> Array:
        """(T,) or (T, layers): a quantity of the run or of the layers at `steps`; NaN where it was not recorded."""
        known = self.view.run_columns + self.view.layer_columns
        if quantity not in known:
            return np.full(len(self.rows), np.nan)
        return self.view.some(quantity, self.rows)

    @cached_property
    def course(self) -> Course | None:
        """How the loss went; None while nothing is known of it."""
        return course_of(self)

    def now(self, quantity: str) -> Any:
        """A number or (layers,): the quantity at the step; NaN where it was not recorded or nothing is known yet."""
        if quantity not in self.view.run_columns + self.view.layer_columns or not len(self.rows):
            return np.nan if quantity in self.view.run_columns else np.full(len(self.view.layers), np.nan)
        return self.view.at(quantity, int(self.steps[-1]))

    def recent(self, quantity: str, steps: int = RECENT) -> Array:
        """The median of a quantity over the last few steps that are known: one odd minibatch makes no finding. NaN
        where one of them is not a number, or nothing is known.
        """
        values = self.over_time(quantity)
        if not len(values):
            return np.full(values.shape[1:], np.nan)
        return np.asarray(np.median(values[-steps:], axis=0))

    def row_just_before(self, steps: int) -> int:
        """Number among `steps` of the row that lies about so many steps before the last one; 0 at the earliest."""
        return int(np.searchsorted(self.steps, self.steps[-1] - steps, side="left")) if len(self.steps) else 0

    @property
    def detail(self) -> Detail | None:
        """The newest detail up to the step."""
        return self.view.latest_detail(self.step)

    def measured(self, name: str) -> Array:
        """(layers,) of a quantity that is measured in details only; NaN where none is known."""
        detail = self.detail
        unknown = np.full(len(self.view.layers), np.nan)
        return np.asarray(detail.measured.get(name, unknown)) if detail is not None else unknown

    def sustained_in_details(self, name: str, layers: NDArray[np.int64], above: float) -> int:
        """The step since which, in every detail, the quantity was above a number in some of these layers, given that it
        is in the newest.
        """
        since = self.step
        details = [d for d in self.view.details if d.step <= self.step and name in d.measured]
        for detail in sorted(details, key=lambda d: -d.step):
            if not (np.asarray(detail.measured[name])[layers] > above).any():
                break
            since = detail.step
        return since

    @cached_property
    def cards(self) -> tuple[Card | None, ...]:
        """A card for every layer of the record, in its order; None for one that the plan does not know."""
        known = {card.path: card for card in self.plan.cards}
        return tuple(known.get(path) for path in self.view.layers)

    def of_group(self, *groups: str) -> NDArray[np.int64]:
        """Numbers of the layers in these groups, see `layers.base.GROUPS`, in data order."""
        return np.array([i for i, c in enumerate(self.cards) if c is not None and c.layer.group in groups], dtype=int)

    @cached_property
    def weighted(self) -> NDArray[np.int64]:
        """Numbers of the layers that have weights of their own, in data order."""
        found = [i for i, c in enumerate(self.cards) if c is not None and any(p.weight for p in c.parameters)]
        return np.array(found, dtype=int)

    @cached_property
    def spine(self) -> NDArray[np.int64]:
        """Numbers of the layers of the main line that have weights, of their own or in a block, in data order: depth is
        counted in them, and what grows or shrinks with depth is looked at there.
        """
        heads = {self.view.layers[i].partition(".")[0] for i in self.weighted}
        return np.array([i for i, path in enumerate(self.view.layers) if path in heads], dtype=int)

    @cached_property
    def hidden(self) -> NDArray[np.int64]:
        """Numbers of the layers of the main line whose output the next weights see, in data order: behind every layer
        or block with weights but the last, the last function. Theory speaks of these, and the charts show them.
        """
        spine = self.spine
        functions = set(self.of_group("function").tolist())
        found = spine[:-1].copy()
        for i in sorted(functions):
            at = int(np.searchsorted(spine, i)) - 1
            if 0 <= at < len(found) and "." not in self.view.layers[i]:
                found[at] = i
        return found

    @cached_property
    def sound(self) -> Case:
        """The case at the last step whose loss was a finite number: how it was before the training broke down."""
        losses = self.over_time("loss")
        finite = np.flatnonzero(np.isfinite(losses))
        if not len(losses) or np.isfinite(losses[-1]) or not finite.size:
            return self
        return replace(self, step=int(self.steps[finite[-1]]))

    def slope(self, quantity: str, prediction: str, backward: bool = False) -> Slope | None:
        """How a quantity of the hidden layers changes with depth; None with fewer than three, or before any step.

        prediction   what theory calls it, a field of `LayerPrediction`
        backward     it comes from the loss: what is multiplied on the way back
        """
        asked = quantity, prediction, backward
        if asked not in self._slopes:
            self._slopes[asked] = self._slope(*asked)
        return self._slopes[asked]

    @cached_property
    def _slopes(self) -> dict[tuple[str, str, bool], Slope | None]:
        return {}  # several rules ask for the same

    def _slope(self, quantity: str, prediction: str, backward: bool) -> Slope | None:
        places = self.hidden
        if len(places) < FEWEST or not len(self.rows):
            return None
        sizes = np.vstack([self.over_time(quantity)[:, places], self.predicted(prediction)[places]])
        with np.errstate(all="ignore"):
            factors = factor_per_layer(sizes)
            totals = sizes[:, -1] / sizes[:, 0]
            if backward:
                factors, totals = 1.0 / factors, 1.0 / totals
        return Slope(places, factors[:-1], totals[:-1], float(factors[-1]))

    @cached_property
    def learned(self) -> bool:
        """Whether the loss has come well below that of guessing: what looks odd inside did not stand in the way."""
        losses = self.over_time("loss")[-4 * RECENT :]
        losses = losses[np.isfinite(losses)]
        if not losses.size:
            return False
        guess = self.chance if np.isfinite(self.chance) else float(self.over_time("loss")[0])
        return bool(np.mean(losses) < LEARNED * guess)

    def predicted(self, quantity: str) -> Array:
        """(layers,) of what theory expects at initialization; NaN where it says nothing."""
        known = {p.path: float(getattr(p, quantity)) for p in self.predictions}
        return np.array([known.get(path, np.nan) for path in self.view.layers])

    def paths(self, indices: Iterable[int]) -> tuple[str, ...]:
        """The paths of layers by their numbers."""
        return tuple(self.view.layers[i] for i in indices)

    def name(self, index: int) -> str:
        """What a person calls a layer, counted as in charts: "layer 3 (Tanh)", "the output layer"."""
        card = self.cards[index]
        path = self.view.layers[index]
        title = card.layer.title() if card is not None else self.view.kinds[index]
        head, _dot, inside = path.partition(".")
        line = self.view.layers.index(head) if inside and head in self.view.layers else index
        # A layer inside of a block stands before the block in the record, and belongs to it.
        number = int(np.searchsorted(self.spine, line, side="right"))
        if inside:
            title = f"{title} {path}"
        elif number == len(self.spine) and number > 0 and len(self.spine) > 1:
            return _("the output layer")
        return _("layer {number} ({title})").format(number=max(number, 1), title=title)

    def remedies(self, make: Callable[..., Iterable[Proposal]], *facts: Any) -> tuple[Proposal, ...]:
        """Those of the proposals `make(experiment, plan, *facts)` that can be applied here and change something.

        They are remembered, because trying them on costs more than a frame: `make` is a function of a module, and the
        facts are few and can be hashed, a name or whether something is so.
        """
        return _remedies(_Same(self.experiment), _Same(self.plan), _Same(translations()), make, facts)

    def fitting(self, proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
        """The proposals that can be applied here and change something."""
        return tuple(p for p in proposals if _fits(_Same(self.experiment), _Changes(repr(p.changes), p)))


@dataclass(frozen=True)
class _Changes:
    """Makes a key of a proposal by what it changes: its changes hold dictionaries."""

    key: str
    proposal: Proposal = field(compare=False)


@lru_cache(maxsize=1024)
def _fits(experiment: _Same, changes: _Changes) -> bool:
    """Trying on a proposal costs more than examining, and at the next frame the same ones are made."""
    return changes.proposal.fits(experiment.value)


class _Same:
    """Makes a key of a value by which one it is: comparing whole experiments costs more than examining them."""

    def __init__(self, value: Any):
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


@lru_cache(maxsize=256)
def _remedies(
    experiment: _Same,
    plan: _Same,
    _language: _Same,
    make: Callable[..., Iterable[Proposal]],
    facts: tuple[Any, ...],
) -> tuple[Proposal, ...]:
    made = make(experiment.value, plan.value, *facts)
    found: dict[tuple[str, str], Proposal] = {}
    for proposal in made:
        if proposal.fits(experiment.value):
            found.setdefault((proposal.text, repr(proposal.changes)), proposal)
    return tuple(found.values())


class Rule(Kind, frozen=True, kw_only=True):
    """One illness. Its fields are its thresholds.

    follows   names of the rules whose findings cause this one: dead units follow from too high a learning rate
    follows_from_start   the same, of those that are causes only where they were there before the first update
    prompt    whether it notices an illness at the step at which it begins; others need a number of steps to tell, so
              that their findings may be causes of what was seen earlier
    """

    registry: ClassVar[Registry[type[Rule]]] = Registry(N_("rule"), "layerscope.core.diagnostics.rules")

    follows: ClassVar[tuple[str, ...]] = ()
    follows_from_start: ClassVar[tuple[str, ...]] = ()
    prompt: ClassVar[bool] = False

    active: Annotated[bool, about(N_("active"), N_("Whether the doctor looks for this."))] = True

    def examine(self, case: Case) -> Finding | None:
        """What the rule finds at the case's step; None when the network is well, or nothing can be said yet."""
        raise NotImplementedError

    def measure(self, case: Case) -> Evidence | None:
        """The decisive number whether it is beyond its threshold or not: how near the network is to this illness. None
        where nothing can be said.
        """
        return None

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        """(value, what is beyond it) of the thresholds that a chart of this quantity shows, in the quantity's unit."""
        return ()

    def slopes(self, quantity: str, layers: int) -> tuple[tuple[float, str], ...]:
        """(factor per layer in data order, what is beyond it): the same for a chart of this quantity over so many
        hidden layers, where the threshold is a slope.
        """
        return ()


def all_rules() -> tuple[Rule, ...]:
    """Every rule with its usual thresholds."""
    return tuple(kind() for kind in Rule.registry)


def factor_per_layer(sizes: Array) -> Array:
    """By what sizes are multiplied from one layer to the next in data order, for every step.

    sizes   (T, layers) norms or the like

    (T,): a straight line through their logarithms (least squares). Where some sizes are exactly zero, 0 or infinity,
    whichever of the two ends of the network they stand nearer to: the signal or the gradient ended there. NaN where
    one is not a finite number, where all are zero, and with fewer than two layers.
    """
    steps, layers = sizes.shape
    if layers < 2:
        return np.full(steps, np.nan)
    x = np.arange(layers, dtype=np.float64)
    x -= x.mean()
    with np.errstate(all="ignore"):
        factors = np.exp(np.log(sizes) @ x / (x @ x))
    zero = sizes == 0
    if zero.any():
        lost = zero.any(axis=1)
        toward_loss = zero[:, -1]
        factors[lost] = np.where(toward_loss, 0.0, np.inf)[lost]
        factors[zero.all(axis=1)] = np.nan
    factors[~np.isfinite(sizes).all(axis=1)] = np.nan
    return np.asarray(factors)


def evidence_of_gradients(slope: Slope, factor: float, total: float, below: bool) -> tuple[Evidence, Evidence]:
    """How the gradient changes with depth, beside the thresholds of its factor per layer and of the whole."""
    words = _("gradient norm of the first hidden layer by the last one’s")
    return (
        Evidence(_("gradient norm, factor per layer"), slope.factor, factor, below=below, factor=True),
        Evidence(words, slope.total, total, "gradient.norm", below=below),
    )


def limiting(evidence: Sequence[Evidence]) -> Evidence:
    """Of several numbers that must all be beyond their thresholds, the one that is least so."""
    return min(evidence, key=lambda each: each.excess if math.isfinite(each.excess) else math.inf)


def in_short(value: float, digits: int = 2) -> str:
    """A number in a sentence: "0.24", "1.4e6", "8e-7"."""
    text = f"{value:.{digits}g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"


def percent(share: float) -> str:
    """A share in a sentence: "67 %", the space such that no line breaks there."""
    return f"{in_short(100.0 * share, 3 if share >= 1.0 else 2)}\u00a0%"


def sustained(steps: Sequence[int] | NDArray[np.int64], holds: NDArray[np.bool_]) -> int:
    """The step since which a condition has held without a break up to the last step, given that it holds there."""
    broken = np.flatnonzero(~np.asarray(holds))
    first = int(broken[-1]) + 1 if broken.size else 0
    return int(steps[min(first, len(steps) - 1)])
