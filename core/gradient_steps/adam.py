"""Adam is momentum and RMSProp together: it steps along the mean of the gradients, divided by their recent size.

m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2; w = w - rate * m^ / (sqrt(v^) + epsilon) with m^ = m / (1 - b1^t) and
v^ = v / (1 - b2^t), the form of torch.optim.Adam.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ..text import N_
from .base import Optimizer
from .moments import MomentOptimizer

if TYPE_CHECKING:
    from ..interop.pytorch import PyTorchScript


@Optimizer.registry.add("adam")
class Adam(MomentOptimizer, frozen=True, kw_only=True, tag="adam"):
    """Gives every weight steps of about the learning rate, whatever the size of its gradient; the first step is the
    learning rate times the gradient's sign.
    """

    label: ClassVar[str] = N_("Adam")
    formula: ClassVar[str] = "m ← β₁ m + (1 − β₁)∇w,  v ← β₂ v + (1 − β₂)(∇w)²,  Δw = −η m̂ / (√v̂ + ε)"
    source: ClassVar[str] = "Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1; torch.optim.Adam"

    def to_pytorch(self, code: PyTorchScript) -> None:
        code.built_in(f"torch.optim.Adam(p.values(), {self.torch_settings(code)})")
