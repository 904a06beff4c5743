"""From gradients to new weights: a chain of links, each of which changes what will be subtracted from the weights.

Penalties, clipping, the optimizer, weight decay and max-norm all have this one form. The chain starts with the
gradient of the data loss; the optimizer turns it into an update, learning rate included; at the end `w = w - update`.
Links up to clipping see the whole gradient, since a norm is a matter of all parameters; from the optimizer on, one
parameter array is finished after the other, so that its update is still in the cache when it is subtracted. The norm
of what is passed on is recorded behind every link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from ..engine.kernel import kernel
from ..engine.memory import block
from ..fields import Kind, about
from ..registry import Registry
from ..text import N_
from ..worked import Equation, StepSlide, Term, chosen, constant, equation, number

if TYPE_CHECKING:
    from ..engine.program import Builder, Tensor
    from ..experiment import Training
    from ..interop.keras import KerasScript
    from ..interop.numpy import NumpyScript
    from ..interop.pytorch import PyTorchScript
    from ..interop.script import Script

PACKAGE = "layerscope.core.gradient_steps"

LearningRate = Annotated[
    float,
    about(
        N_("learning rate"),
        N_("How far one step goes. May be changed while training."),
        minimum=0.0,
        maximum=1e6,
        scale="log",
        live=True,
    ),
]
MomentumShare = Annotated[
    float,
    about(N_("momentum"), N_("Share of the velocity kept at every step."), minimum=0.0, below=1.0, live=True),
]
Epsilon = Annotated[
    float,
    about(
        N_("epsilon"),
        N_(
            "Added to the root of the mean square, against dividing by zero. As in PyTorch; Keras adds its epsilon, "
            "1e-7, before the correction or under the root."
        ),
        minimum=0.0,
        maximum=1.0,
        scale="log",
        live=True,
    ),
]
WeightDecay = Annotated[
    float,
    about(
        N_("weight decay"),
        N_(
            "Every step shrinks the weights, not the biases, by the learning rate times this (decoupled, as in AdamW; "
            "the weight_decay of PyTorch's Adam is what is called L2 here)."
        ),
        minimum=0.0,
        maximum=100.0,
        scale="log",
        live=True,
    ),
]
Threshold = Annotated[
    float,
    about(
        N_("threshold"),
        N_("Larger gradients are shortened. May be changed while training."),
        above=0.0,
        maximum=1e9,
        scale="log",
        live=True,
    ),
]
Strength = Annotated[
    float,
    about(
        N_("strength"),
        N_("How hard weights are pulled toward zero. May be changed while training."),
        minimum=0.0,
        maximum=1e3,
        scale="log",
        live=True,
    ),
]

# Where in the chain a link may stand. "penalty" and "clipping" change gradients, "decay" changes updates, and
# "constraint" sees to it that the weights behind the update are allowed.
Stage = Literal["penalty", "clipping", "optimizer", "decay", "constraint"]
STAGES: tuple[Stage, ...] = ("penalty", "clipping", "optimizer", "decay", "constraint")


class GradientStep(Kind, frozen=True, kw_only=True):
    """One kind of link.

    uses_norm    it reads the norm of the gradient that it is given at `Builder.norm`
    knows_norm   it leaves the norm of the gradient that it passes on there, so that nobody has to measure it again
    """

    stage: ClassVar[Stage]
    uses_norm: ClassVar[bool] = False
    knows_norm: ClassVar[bool] = False

    def begin(self, build: Builder, place: str) -> None:
        """Write what is done once, before the first parameter array. `place` is this step's in the experiment."""

    def emit(self, build: Builder, tensor: Tensor, place: str) -> None:
        """Write the operations for one parameter array.

        Before the optimizer: change `tensor.gradient`. The optimizer: read it, write `tensor.update`. Behind it: change
        `tensor.update`.
        """
        raise NotImplementedError

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        """How this link changes one weight's gradient or update, with the numbers of the step in the formulas."""
        raise NotImplementedError

    def to_code(self, code: Script) -> None:
        """Write the formulas into an exported program, in words that all frameworks know: see `Script.optimize`."""
        raise NotImplementedError

    def to_pytorch(self, code: PyTorchScript) -> None:
        """Write it into a PyTorch program: with what PyTorch has for it, where that is the same formula."""
        self.to_code(code)

    def to_keras(self, code: KerasScript) -> None:
        """The same in Keras."""
        self.to_code(code)

    def to_numpy(self, code: NumpyScript) -> None:
        """The same in NumPy."""
        self.to_code(code)


class Optimizer(GradientStep, frozen=True, kw_only=True):
    """Turns gradients into updates."""

    stage: ClassVar[Stage] = "optimizer"

    # what it remembers between steps: names of arrays with one number per parameter, and of single numbers; all of them
    # start at zero
    slots: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()

    registry: ClassVar[Registry[type[Optimizer]]] = Registry(N_("optimizer"), PACKAGE)
    learning_rate: LearningRate


class Clipping(GradientStep, frozen=True, kw_only=True):
    """Shortens gradients that are too long."""

    stage: ClassVar[Stage] = "clipping"
    registry: ClassVar[Registry[type[Clipping]]] = Registry(N_("clipping"), PACKAGE)


class Regularizer(GradientStep, frozen=True, kw_only=True):
    """Pulls weights toward zero."""

    registry: ClassVar[Registry[type[Regularizer]]] = Registry(N_("regularizer"), PACKAGE)


@dataclass(frozen=True)
class Link:
    """One link of an experiment's chain.

    name    of its column: "adam", "l2"; a second one of the same kind is called "l2.2"
    place   in the experiment: "training.regularizers.0"
    """

    name: str
    place: str
    step: GradientStep


def chain(training: Training) -> tuple[Link, ...]:
    """The links in the order in which they are gone through."""
    found: list[tuple[str, GradientStep]] = [
        (f"training.regularizers.{index}", step) for index, step in enumerate(training.regularizers)
    ]
    if training.clipping is not None:
        found.append(("training.clipping", training.clipping))
    found.append(("training.optimizer", training.optimizer))
    found.sort(key=lambda link: STAGES.index(link[1].stage))  # stable: in a stage the order of the list stays
    links: list[Link] = []
    for place, step in found:
        kind = step.kind_name()
        same = sum(link.step.kind_name() == kind for link in links)
        links.append(Link(kind if same == 0 else f"{kind}.{same + 1}", place, step))
    return tuple(links)


def worked_factor(threshold: float, norm: Term, layer: str = "") -> Term:
    """What a gradient of this norm is multiplied by where clipping allows it at most `threshold`."""
    c, tiny = number("c", threshold), constant(1e-6)
    factor = c / (norm.named(f"‖g{layer}‖") + tiny)
    return chosen(f"min(1, {factor.symbols})", constant(1.0) if factor.value > 1.0 else factor)


def worked_update(slide: StepSlide, update: Term, *before: Equation) -> tuple[Equation, ...]:
    """The equations of an optimizer, of which the last one is the update."""
    return *before, equation("Δw", update, slide.new_update)


# --- kernels that several kinds use


@kernel
def multiply(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """gradient = gradient * factor. Row: gradient, count, factor in hyper."""
    if hyper[row[3]] != 1.0:
        g = block(arena, row[1], row[2])
        factor = g.dtype.type(hyper[row[3]])
        for i in range(g.size):
            g[i] *= factor


@kernel
def add_decay(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """update += rate * strength * w. Row: w, update, count, rate and strength in hyper."""
    if hyper[row[5]] != 0.0:
        w, u = block(arena, row[1], row[3]), block(arena, row[2], row[3])
        share = w.dtype.type(hyper[row[4]] * hyper[row[5]])
        for i in range(w.size):
            u[i] += share * w[i]
