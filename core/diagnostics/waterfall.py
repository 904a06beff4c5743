"""The waterfall says who changed the gradient on its way back: every operation's gain, which add up to the whole.

The gradient's size is its rms, per number, behind every layer. The gain of an operation is log10 of the rms of dL/d(its
input) by that of dL/d(its output), so the gains along a way add up to log10 of the ratio of what was measured at its
ends, exactly. The way leads from the output of the network to the first layer that learns from it, into every block:

* Where a block adds (residual), the way goes through its body. What comes back through the body is measured where the
  two ways part (`input_gradient.rms`), and the gain from there to the sum of both is the skip's. A branch scale is a
  step of its own, and the skip's too: it says how the two are added.
* Where a block lays side by side (inception), the way goes through the branch that carries most. "Branches" are what
  is left: from the gradient of the whole output to that of the branch's part of it, and from what comes back through
  the branch to the sum of all.
* Where the body hands back exactly nothing, or nothing finite, while something arrives at the block's input, a gain
  along the body means nothing: the block is one step, and it is the skip's (the branches').
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..layers.base import Layer, Part
from ..network import Plan
from ..same import Same

Array = NDArray[np.float64]
Place = Literal["layer", "join", "split", "block"]

OF_GROUP: dict[str, Part] = {
    "weights": "weights",
    "function": "function",
    "normalization": "normalization",
    "regularization": "dropout",
    "shape": "pooling",
}


def part_of(layer: Layer) -> Part:
    """What a layer is to the gradient on its way back; of a block, how its ways come together."""
    if layer.part is not None:
        return layer.part
    return OF_GROUP.get(layer.group, "skip" if layer.joined == "+" else "branches")


@dataclass(frozen=True)
class Step:
    """One operation on the way back.

    path    of the layer, or of the block
    part    whose gain it is
    place   "layer"; of a block: "join", where its ways come together again (its input), "split", where they part (its
            output), "block", all of it at once
    paths   of the block's layers that the way goes through
    """

    path: str
    layer: Layer
    part: Part
    place: Place = "layer"
    paths: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.layer.title()


@dataclass(frozen=True)
class Falls:
    """The way back of one step of training.

    steps   (n,) operations in data order: the way back begins with the last
    levels  (n,) log10 of the rms of dL/d(output) by that of the network's output; -inf where it is exactly zero, NaN
            where it is not a finite number
    gains   (n,) by what the operation multiplies the rms, log10; NaN for the first, whose input is the data and has no
            gradient, and where a zero or a number that is not finite stands at either end
    """

    steps: tuple[Step, ...]
    levels: Array
    gains: Array

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(step.path for step in self.steps)

    @property
    def parts(self) -> tuple[Part, ...]:
        return tuple(step.part for step in self.steps)

    @property
    def total(self) -> float:
        """log10 of the rms behind the first layer of the way by that behind the network's output."""
        return float(self.levels[0]) - float(self.levels[-1]) if len(self.levels) else math.nan

    @cached_property
    def killer(self) -> int:
        """The operation that makes of a gradient exactly zero; -1 where none does."""
        return self._first(np.isneginf(self.levels))

    @cached_property
    def breaker(self) -> int:
        """The operation that makes of a finite gradient one that is not; -1 where none does."""
        return self._first(np.isnan(self.levels))

    def _first(self, struck: NDArray[np.bool_]) -> int:
        """The operation behind which, seen from the loss, something is so for the first time."""
        found = np.flatnonzero(struck)
        return int(found[-1]) + 1 if len(found) and found[-1] + 1 < len(struck) else -1

    def by_group(self) -> dict[Part, float]:
        """The sum of the gains of every part that there is, in the order in which they are first met on the way back.

        They add up to `total`; where the gradient becomes zero or strange, to the level before that.
        """
        found: dict[Part, float] = {}
        for step, gain in zip(self.steps[:0:-1], self.gains[:0:-1].tolist(), strict=True):
            if math.isfinite(gain):
                found[step.part] = found.get(step.part, 0.0) + gain
        return found


def falls(plan: Plan, layers: tuple[str, ...], rms: Array, shares: Array | None = None) -> Falls:
    """The way back for one step.

    layers   paths of a record; rms (layers,): gradient.rms of that step
    shares   (layers,) input_gradient.rms; None where the record has none: then every block is one step
    """
    nodes = _tree(Same(plan), layers)
    if not nodes:
        return Falls((), np.zeros(0), np.zeros(0))
    levels = _logarithms(rms)
    way = _Way(levels, None if shares is None else _logarithms(shares))
    way.walk(nodes, math.nan, from_data=True)
    start = levels[nodes[-1].index]
    found, gains = np.array(way.levels[::-1]), np.array(way.gains[::-1])
    with np.errstate(invalid="ignore"):
        # Where nothing comes from the loss at all, every level is zero's, not NaN.
        relative = np.where(np.isneginf(found), found, found - (start if math.isfinite(start) else 0.0))
    return Falls(tuple(way.steps[::-1]), relative, gains)


def _logarithms(sizes: Array) -> list[float]:
    """log10; -inf of zero, NaN of what is not finite."""
    values = np.asarray(sizes, dtype=np.float64)
    with np.errstate(all="ignore"):
        found: list[float] = np.where(np.isfinite(values), np.log10(values), np.nan).tolist()
    return found


class _Way:
    """The steps of the way back, from the loss on.

    levels   log10 of the rms behind every layer; shares: of what comes back through the first layer of a chain
    """

    def __init__(self, levels: list[float], shares: list[float] | None):
        self._levels, self._shares = levels, shares
        self.steps: list[Step] = []
        self.levels: list[float] = []
        self.gains: list[float] = []

    def _add(self, step: Step, before: float, behind: float) -> None:
        self.steps.append(step)
        self.levels.append(before)
        self.gains.append(behind - before if math.isfinite(before) and math.isfinite(behind) else math.nan)

    def walk(self, chain: tuple[_Node, ...], behind: float, from_data: bool) -> None:
        """Through layers one after the other.

        behind      log10 of the rms of what comes out at their input
        from_data   whether that input is the data, which have no gradient
        """
        for place in range(len(chain) - 1, -1, -1):
            node = chain[place]
            first = place == 0
            self._through(node, behind if first else self._levels[chain[place - 1].index], first and from_data)

    def _through(self, node: _Node, behind: float, from_data: bool) -> None:
        before = self._levels[node.index]
        way = self._chosen(node, before, behind, from_data) if node.ways else None
        if way is None:
            self._add(node.step, before, behind)
            return
        last = self._levels[way.chain[-1].index]
        if last != before:  # a branch scale of 1 is no step, and neither is a branch alone
            self._add(way.split, before, last)
        if from_data or node.alone:
            self.walk(way.chain, behind, from_data)
            return
        share = self._share(way)
        self.walk(way.chain, share, from_data=False)
        self._add(way.join, share, behind)

    def _share(self, way: _Branch) -> float:
        assert self._shares is not None
        return self._shares[way.chain[0].index]

    def _chosen(self, node: _Node, before: float, behind: float, from_data: bool) -> _Branch | None:
        """The way through a block; None where the block is one step."""
        if from_data or node.alone:
            ends = [self._levels[way.chain[0].index] for way in node.ways]
        elif self._shares is None:
            return None
        else:
            ends = [self._share(way) for way in node.ways]
        best = 0
        if node.step.part != "skip":
            best = max(range(len(ends)), key=lambda index: -math.inf if math.isnan(ends[index]) else ends[index])
        way = node.ways[best]
        if math.isfinite(before) and math.isfinite(behind):
            inside = (self._levels[inner.index] for inner in way.chain)
            if not all(map(math.isfinite, (*inside, ends[best]))):
                return None
        return way


@dataclass(frozen=True, eq=False)
class _Branch:
    """One chain of a block: its layers, and the steps where it leaves and where it comes to the others."""

    chain: tuple[_Node, ...]
    split: Step
    join: Step


@dataclass(frozen=True, eq=False)
class _Node:
    """A layer in the tree of the network.

    index   in the record
    step    the layer, or the whole of the block
    ways    through a block: its chains that have layers
    alone   whether there is no other way through the block than its one chain
    """

    index: int
    step: Step
    ways: tuple[_Branch, ...] = ()
    alone: bool = False


@lru_cache(maxsize=64)
def _tree(plan: Same[Plan], layers: tuple[str, ...]) -> tuple[_Node, ...]:
    """The layers of the main line with all that is inside of them, in data order."""
    cards = {card.path: card for card in plan.thing.cards}
    places = {path: index for index, path in enumerate(layers) if path in cards}

    def node(path: str) -> _Node:
        card = cards[path]
        part = part_of(card.layer)
        chains = card.layer.inside(card.given)
        ways = []
        for chain in chains:
            inner = tuple(node(own) for own, _layer in chain.members(path) if own in places)
            if inner:
                paths = tuple(one.step.path for one in inner)
                split, join = (Step(path, card.layer, part, place, paths) for place in ("split", "join"))
                ways.append(_Branch(inner, split, join))
        step = Step(path, card.layer, part, "block" if chains else "layer")
        alone = len(chains) == len(ways) == 1 and not card.layer.passes_by()
        return _Node(places[path], step, tuple(ways), alone)

    return tuple(node(path) for path in places if "." not in path)
