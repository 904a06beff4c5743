"""Details are looked at only now and then, because finding them out costs more than a step: which units are dead, which
are copies of each other.

A quantity here needs every unit on its own, where the columns of a record need every layer. Each is one number a layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

NEARLY_ALWAYS = 0.99  # of the samples; "active in less than 1 % of cases", science of SageMaker Debugger's DeadRelu
ALIKE = 1e-6  # part of the larger weight by which two units may differ and still count as the same

DETAIL_QUANTITIES = ("activation.dead_fraction", "activation.stuck_fraction", "weight.equal_fraction")


def unit_shares(activation: NDArray[Any], low: float, high: float) -> tuple[float, float]:
    """Shares of the units that put out exactly zero, and that are saturated, for nearly all samples.

    activation   (samples, *shape); a channel of an image is one unit, everywhere in the image
    low, high    outputs at or beyond these are saturated, see `Layer.saturation`
    """
    values = activation.reshape(-1, activation.shape[-1])
    dead = np.mean(values == 0, axis=0) >= NEARLY_ALWAYS
    if not (np.isfinite(low) or np.isfinite(high)):
        return float(np.mean(dead)), 0.0
    stuck = np.mean((values <= low) | (values >= high), axis=0) >= NEARLY_ALWAYS
    return float(np.mean(dead)), float(np.mean(stuck))


def equal_share(weight: NDArray[Any]) -> float:
    """Share of the units whose weights are those of another unit of the layer, up to rounding.

    weight   (..., units): the units' weights stand in the last axis. Units that start alike receive the same gradient
             and stay alike forever. NaN with one unit only, for which there is nothing to compare.
    """
    units = weight.shape[-1]
    if units < 2:
        return float("nan")
    rows = np.ascontiguousarray(weight.reshape(-1, units).T, dtype=np.float64)
    if not np.isfinite(rows).all():
        return float("nan")
    # Units that are alike have nearly the same sum of their weights, so only neighbors in the order of it are compared.
    mix = np.cos(1.0 + np.arange(rows.shape[1]))
    order = np.argsort(rows @ mix, kind="stable")
    rows = rows[order]
    # Of the two units at hand: where some have grown beyond all measure, the others are not alike beside them.
    sizes = np.abs(rows).max(axis=1)
    scale = np.maximum(np.maximum(sizes[1:], sizes[:-1]), np.finfo(np.float64).tiny)
    same = np.abs(rows[1:] - rows[:-1]).max(axis=1) <= ALIKE * scale
    alike = np.zeros(units, dtype=bool)
    alike[1:] |= same
    alike[:-1] |= same
    return float(np.mean(alike))
