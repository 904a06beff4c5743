"""The quantities that are recorded in every layer at every step, with the words and the scale that suit them.

Some are recorded only where there is something to count: see `recorded`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..diagnostics.probes import LAYER_COLUMNS
from ..record import RecordView
from ..registry import Registry
from ..text import N_
from .figure import Scale


@dataclass(frozen=True)
class Quantity:
    """One column of the record.

    label   what it is, with its symbol
    unit    what it is measured in; "" for plain numbers
    scale   on which it is best seen
    factor  the unit's share of one: 100 for percent
    """

    label: str
    scale: Scale
    unit: str = ""
    factor: float = 1.0


QUANTITIES: Registry[Quantity] = Registry(N_("quantity"))


def _add(name: str, label: str, scale: Scale, unit: str = "", factor: float = 1.0) -> None:
    QUANTITIES.add(name)(Quantity(label, scale, unit, factor))


_add("gradient.norm", N_("gradient ‖∂L/∂a‖"), "log")
_add("gradient.rms", N_("gradient ∂L/∂a, rms"), "log")
_add("gradient.min", N_("gradient ∂L/∂a, least"), "linear")
_add("gradient.max", N_("gradient ∂L/∂a, greatest"), "linear")
_add("gradient.zero_fraction", N_("gradient exactly 0"), "linear", "%", 100.0)
_add("activation.rms", N_("activation, rms"), "log")
_add("activation.mean", N_("activation, mean"), "linear")
_add("activation.std", N_("activation, standard deviation"), "log")
_add("activation.min", N_("activation, least"), "linear")
_add("activation.max", N_("activation, greatest"), "linear")
_add("activation.zero_fraction", N_("activation exactly 0"), "linear", "%", 100.0)
_add("activation.saturated_fraction", N_("activation saturated"), "linear", "%", 100.0)
_add("activation.nonfinite_fraction", N_("activation not finite"), "linear", "%", 100.0)
_add("weight_gradient.norm", N_("weight gradient ‖∂L/∂W‖"), "log")
_add("weight.norm", N_("weights ‖W‖"), "log")
_add("update_ratio", N_("update : weight, ‖ΔW‖ / ‖W‖"), "log")
_add("activation.underflow", N_("activations rounded to 0 (underflow)"), "linear")
_add("activation.overflow", N_("activations rounded to ∞ (overflow)"), "linear")
_add("gradient.underflow", N_("gradients ∂L/∂a rounded to 0 (underflow)"), "linear")
_add("gradient.overflow", N_("gradients ∂L/∂a rounded to ∞ (overflow)"), "linear")
_add("weight_gradient.underflow", N_("weight gradients rounded to 0 (underflow)"), "linear")
_add("weight_gradient.overflow", N_("weight gradients rounded to ∞ (overflow)"), "linear")


def recorded(views: Iterable[RecordView]) -> list[str]:
    """The quantities that at least one of the records has; all but the counts of 16-bit numbers where none is given."""
    columns = {name for view in views for name in view.layer_columns} or set(LAYER_COLUMNS)
    return [name for name in QUANTITIES.names() if name in columns]
