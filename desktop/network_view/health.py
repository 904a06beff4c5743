"""Health says with two bars how a layer fares: how wide its activations spread, and how much gradient reaches it.

Activation: the standard deviation of the layer's outputs, on a log scale from 1e-3 to 1e3; 1 stands in the middle.
Gradient: the norm of dL/da of the layer's output as a share of the last layer's, over ten decades, logarithmic; a full
bar means as much as the last layer gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from layerscope.core.record import RecordView

State = Literal["unknown", "healthy", "fading", "dead", "growing", "exploding", "saturated", "nonfinite"]

ACTIVATION_DECADES = 3.0  # to either side of 1
GRADIENT_DECADES = 10.0  # below the last layer
SPREAD = {"dead": 1e-3, "fading": 0.02, "growing": 30.0, "exploding": 1e3}
PASSED = {"dead": 1e-6, "fading": 1e-3, "growing": 1e2, "exploding": 1e4}
SATURATED = 0.5  # share of outputs at the flat ends of the function from which learning slows down

# the color of a state, by role
ROLES: dict[State, str] = {
    "unknown": "muted",
    "healthy": "good",
    "fading": "warning",
    "growing": "warning",
    "saturated": "warning",
    "dead": "alarm",
    "exploding": "alarm",
    "nonfinite": "alarm",
}


@dataclass(frozen=True)
class Bar:
    """One bar: how long (0 to 1), and what that means."""

    length: float = 0.0
    state: State = "unknown"


@dataclass(frozen=True)
class Health:
    """The two bars of a layer and the exact numbers behind them; `share` is the norm by that of the last layer."""

    activation: Bar = Bar()
    gradient: Bar = Bar()
    least: float = math.nan
    most: float = math.nan
    mean: float = math.nan
    std: float = math.nan
    saturated: float = math.nan
    nonfinite: float = math.nan
    norm: float = math.nan
    share: float = math.nan


UNKNOWN = Health()


def _judged(value: float, limits: dict[str, float]) -> State:
    if value < limits["dead"]:
        return "dead"
    if value < limits["fading"]:
        return "fading"
    if value > limits["exploding"]:
        return "exploding"
    return "growing" if value > limits["growing"] else "healthy"


def activation_bar(std: float, saturated: float, nonfinite: float) -> Bar:
    """The bar of a layer whose outputs have this standard deviation and these shares of special values."""
    if nonfinite > 0 or not math.isfinite(std):
        return Bar(1.0, "nonfinite")
    if std <= 0:
        return Bar(0.0, "dead")
    state = _judged(std, SPREAD)
    if state == "healthy" and saturated > SATURATED:
        state = "saturated"
    return Bar(_clipped(0.5 + math.log10(std) / (2 * ACTIVATION_DECADES)), state)


def gradient_bar(share: float) -> Bar:
    """The bar of a layer that gets this share of the last layer's gradient."""
    if not math.isfinite(share):
        return Bar(1.0, "nonfinite")
    if share <= 0:
        return Bar(0.0, "dead")
    return Bar(_clipped(1.0 + math.log10(share) / GRADIENT_DECADES), _judged(share, PASSED))


def _clipped(length: float) -> float:
    return min(1.0, max(0.0, length))


def health_of(view: RecordView, step: int) -> dict[str, Health]:
    """The health of every layer at a step, by path; empty while nothing is recorded."""
    if len(view) == 0 and view.line is None:
        return {}
    names = ("min", "max", "mean", "std", "saturated_fraction", "nonfinite_fraction")
    columns = [view.at(f"activation.{name}", step).tolist() for name in names]
    norms = view.at("gradient.norm", step).tolist()
    last = norms[-1] if norms else math.nan
    if not math.isfinite(last) or last <= 0:
        # The last layer says nothing: the greatest finite norm stands in for it.
        last = max((norm for norm in norms if math.isfinite(norm)), default=0.0)
    found = {}
    for path, numbers, norm in zip(view.layers, zip(*columns, strict=True), norms, strict=True):
        least, most, mean, std, saturated, nonfinite = numbers
        share = norm / last if last > 0 else (norm if not math.isfinite(norm) else 0.0)
        found[path] = Health(
            activation_bar(std, saturated, nonfinite),
            gradient_bar(share),
            least,
            most,
            mean,
            std,
            saturated,
            nonfinite,
            norm,
            share,
        )
    return found
