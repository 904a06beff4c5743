"""The waterfall says who changed the gradient on its way back: every operation's gain, which add up to the whole.

The gradient's size is its rms, per number, behind every layer of the network's main line (a block counts as one
operation). The gain of a layer is log10 of the rms of dL/d(its input) by that of dL/d(its output), so the gains between
two places add up to log10 of the ratio of what was measured there, exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..network import Plan

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Falls:
    """The way back of one step.

    paths, titles  (n,) of the layers of the main line, in data order
    groups         (n,) what each is for, see `layers.base.GROUPS`
    levels         (n,) log10 of the rms of dL/d(output) by that of the last layer; -inf where it is exactly zero, NaN
                   where it is not a finite number
    gains          (n,) by what the layer multiplies the rms, log10; NaN for the first, whose input is the data and has
                   no gradient, and where a zero or a number that is not finite stands at either end
    """

    paths: tuple[str, ...]
    titles: tuple[str, ...]
    groups: tuple[str, ...]
    levels: Array
    gains: Array

    @property
    def total(self) -> float:
        """log10 of the rms behind the first layer by that behind the last."""
        return float(self.levels[0] - self.levels[-1]) if len(self.levels) else math.nan

    def by_group(self) -> dict[str, float]:
        """The sum of the gains of every group that there is, in the order in which they are first met on the way
        back.
        """
        found: dict[str, float] = {}
        for group, gain in zip(self.groups[:0:-1], self.gains[:0:-1], strict=True):
            found[group] = found.get(group, 0.0) + float(gain)
        return found


def falls(plan: Plan, layers: tuple[str, ...], rms: Array) -> Falls:
    """The way back for one step.

    layers   paths of a record; rms (layers,): gradient.rms of that step
    """
    cards = {card.path: card for card in plan.cards}
    main = [i for i, path in enumerate(layers) if "." not in path and path in cards]
    paths = tuple(layers[i] for i in main)
    sizes = np.asarray(rms, dtype=np.float64)[main]
    with np.errstate(all="ignore"):
        logarithms = np.where(np.isfinite(sizes), np.log10(sizes), np.nan)
    gains = np.full(len(main), np.nan)
    whole = np.isfinite(logarithms)
    both = whole[1:] & whole[:-1]
    gains[1:][both] = logarithms[:-1][both] - logarithms[1:][both]
    with np.errstate(invalid="ignore"):
        levels = logarithms - (logarithms[-1] if len(main) else 0.0)
    return Falls(
        paths=paths,
        titles=tuple(cards[path].layer.title() for path in paths),
        groups=tuple(cards[path].layer.group for path in paths),
        levels=levels,
        gains=gains,
    )
