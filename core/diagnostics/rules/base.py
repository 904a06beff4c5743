"""A rule judges what was measured: it knows one illness, the numbers that show it, and what to try against it.

Probes measure, rules judge, panels draw: a rule reads a record and draws nothing. Its thresholds are its fields, so
that a form, a chart and a file know them; what it finds is a value with the evidence in numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...data.summary import Inputs
from ...experiment import Experiment
from ...fields import Kind, about
from ...network import Card, Plan
from ...record import Detail, RecordView
from ...registry import Registry
from ...text import N_
from ...theory.mean_field import LayerPrediction
from ..proposal import Proposal

Array = NDArray[np.float64]
Severity = Literal["warning", "alarm"]
MOST_ROWS = 256  # steps that a rule looks at; a long record is looked at in as many, evenly spread


@dataclass(frozen=True)
class Evidence:
    """One number that shows the illness, beside its threshold.

    text       what was measured, in words with its unit: "gradient norm, factor per layer"
    quantity   its name in the record, where it is one: charts of this quantity show the threshold; "" where not
    value      what was measured
    threshold  what it is compared with
    """

    text: str
    value: float
    threshold: float
    quantity: str = ""


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
        values: Array = self.view.values(quantity)[self.rows]
        return values

    def now(self, quantity: str) -> Any:
        """A number or (layers,): the quantity at the step; NaN where it was not recorded or nothing is known yet."""
        if quantity not in self.view.run_columns + self.view.layer_columns or not len(self.rows):
            return np.nan if quantity in self.view.run_columns else np.full(len(self.view.layers), np.nan)
        return self.view.at(quantity, int(self.steps[-1]))

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

    def name(self, index: int) -> str:
        """What a person calls a layer: "Dense (layer 3)"."""
        card = self.cards[index]
        path = self.view.layers[index]
        return f"{card.layer.title() if card is not None else self.view.kinds[index]} {path}"

    def fitting(self, proposals: Iterable[Proposal]) -> tuple[Proposal, ...]:
        """The proposals that can be applied here and change something."""
        return tuple(proposal for proposal in proposals if proposal.fits(self.experiment))


class Rule(Kind, frozen=True, kw_only=True):
    """One illness. Its fields are its thresholds.

    follows   names of the rules whose findings cause this one: dead units follow from too high a learning rate
    """

    registry: ClassVar[Registry[type[Rule]]] = Registry(N_("rule"), "layerscope.core.diagnostics.rules")

    follows: ClassVar[tuple[str, ...]] = ()

    active: Annotated[bool, about(N_("active"), N_("Whether the doctor looks for this."))] = True

    def examine(self, case: Case) -> Finding | None:
        """What the rule finds at the case's step; None when the network is well, or nothing can be said yet."""
        raise NotImplementedError

    def lines(self, quantity: str) -> tuple[tuple[float, str], ...]:
        """(value, what is beyond it) of the thresholds that a chart of this quantity shows, in the quantity's unit."""
        return ()


def all_rules() -> tuple[Rule, ...]:
    """Every rule with its usual thresholds."""
    return tuple(kind() for kind in Rule.registry)


def sustained(steps: Sequence[int] | NDArray[np.int64], holds: NDArray[np.bool_]) -> int:
    """The step since which a condition has held without a break up to the last step, given that it holds there."""
    broken = np.flatnonzero(~np.asarray(holds))
    first = int(broken[-1]) + 1 if broken.size else 0
    return int(steps[min(first, len(steps) - 1)])
