"""Averaging lets several networks answer together: the weights of many steps, or several networks trained apart.

An exponential moving average (EMA) and stochastic weight averaging (SWA) keep a second set of weights that follows the
first; the network is evaluated with those. An ensemble is several networks from different draws whose answers are
averaged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from .engine.kernel import kernel
from .engine.layout import BATCH_SIZE, SAMPLES, STEP
from .engine.memory import block
from .fields import Kind, about
from .registry import Registry
from .text import N_, _
from .worked import Equation, StepSlide, constant, equation, number

if TYPE_CHECKING:
    from .engine.program import Builder, Tensor
    from .interop.script import Script


class Averaging(Kind, frozen=True, kw_only=True):
    """Averages weights or predictions over time."""

    registry: ClassVar[Registry[type[Averaging]]] = Registry(N_("averaging"))

    # what is remembered between steps, as for an optimizer; the averaged weights stand in "average", and "averaged"
    # says how many sets of weights are in them
    slots: ClassVar[tuple[str, ...]] = ("average",)
    scalars: ClassVar[tuple[str, ...]] = ("averaged",)

    # whether averaged weights need running statistics of their own, measured anew on the training samples
    measures_statistics: ClassVar[bool] = False

    @property
    def networks(self) -> int:
        """How many networks are trained."""
        return 1

    def begin(self, build: Builder) -> None:
        """Write what is done once a step, before the first parameter array."""

    def emit(self, build: Builder, tensor: Tensor) -> None:
        """Write what is done with one parameter array after its update."""

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        """How one weight's average follows it, with the numbers of the step; () where no weights are averaged."""
        return ()

    def to_code(self, code: Script) -> None:
        """Write into an exported program how `average` follows the parameters `p`; nothing where weights are not
        averaged.
        """


@Averaging.registry.add("ema")
class Ema(Averaging, frozen=True, kw_only=True, tag="ema"):
    """Evaluates with an exponential moving average of the weights: noise of single steps is smoothed away."""

    label: ClassVar[str] = N_("Moving average (EMA)")
    formula: ClassVar[str] = "W̄ ← d W̄ + (1 − d) W"
    source: ClassVar[str] = "Polyak & Juditsky 1992; torch.optim.swa_utils.get_ema_multi_avg_fn"

    decay: Annotated[
        float,
        about(N_("decay"), N_("Share of the average kept at every step."), minimum=0.0, below=1.0, live=True),
    ] = 0.99

    def begin(self, build: Builder) -> None:
        build.update(count_one_more, build.scalar("averaged"))

    def emit(self, build: Builder, tensor: Tensor) -> None:
        average, count = build.slot("average", tensor), tensor.parameter.count
        decay = build.live("training.averaging.decay", self.decay)
        build.update(follow, tensor.master, average, count, build.scalar("averaged"), decay)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        first = slide.scalars["averaged"] <= 1.0
        decay = constant(0.0) if first else number("d", slide.live("decay", self.decay))
        average = decay * slide.slot("w̄", "average") + (constant(1.0) - decay) * slide.w
        words = _("the first weights are the average") if first else ""
        return (equation("w̄", average, slide.kept("average"), words),)

    def to_code(self, code: Script) -> None:
        code.average(f"""
            # exponential moving average of the weights
            kept = {code.number(self.decay)} if step > 0 else 0.0
            for name in average:
                average[name] = kept * average[name] + (1 - kept) * p[name]
        """)


@Averaging.registry.add("swa")
class Swa(Averaging, frozen=True, kw_only=True, tag="swa"):
    """Evaluates with the plain mean of the weights at the ends of epochs: the middle of the valley that training
    bounces about in.
    """

    label: ClassVar[str] = N_("Weight averaging (SWA)")
    formula: ClassVar[str] = "W̄ ← W̄ + (W − W̄) / (k + 1)"
    source: ClassVar[str] = "Izmailov et al. 2018 (arXiv 1803.05407); torch.optim.swa_utils.AveragedModel"
    measures_statistics: ClassVar[bool] = True

    start: Annotated[
        int,
        about(
            N_("start"), N_("Average from the end of this epoch on."), unit=N_("epochs"), minimum=1, maximum=1_000_000
        ),
    ] = 5
    every: Annotated[
        int,
        about(N_("every"), N_("Epochs between two averaged weights."), unit=N_("epochs"), minimum=1, maximum=10_000),
    ] = 1

    def begin(self, build: Builder) -> None:
        build.update(count_epochs, build.scalar("averaged"), self.start, self.every)

    def emit(self, build: Builder, tensor: Tensor) -> None:
        average, count = build.slot("average", tensor), tensor.parameter.count
        build.update(take_into_mean, tensor.master, average, count, build.scalar("averaged"), self.start, self.every)

    def worked(self, slide: StepSlide) -> tuple[Equation, ...]:
        average = slide.slot("w̄", "average")
        if not slide.full or slide.epoch < self.start or (slide.epoch - self.start) % self.every:
            words = _("waits for the end of an epoch that counts, from epoch {start} on").format(start=self.start)
            return (equation("w̄", average, slide.kept("average"), words),)
        count = number("k + 1", slide.scalars["averaged"])
        return (equation("w̄", average + (slide.w - average) / count, slide.kept("average")),)

    def to_code(self, code: Script) -> None:
        start, every = self.start, self.every
        code.average(f"""
            # stochastic weight averaging: the mean of the weights at the ends of epochs, from epoch {start} on
            epoch, left = divmod(step + 1, STEPS_PER_EPOCH)
            if left == 0 and (epoch <= {start} or (epoch - {start}) % {every} == 0):
                count = max(1, (epoch - {start}) // {every} + 1)
                for name in average:
                    average[name] = average[name] + (p[name] - average[name]) / count
        """)


@Averaging.registry.add("ensemble")
class Ensemble(Averaging, frozen=True, kw_only=True, tag="ensemble"):
    """Trains several networks from different draws and averages their answers: errors that they do not share cancel."""

    label: ClassVar[str] = N_("Ensemble")
    formula: ClassVar[str] = "p̄ = (1/K) Σ p_k"
    source: ClassVar[str] = "Hansen & Salamon 1990"
    slots: ClassVar[tuple[str, ...]] = ()
    scalars: ClassVar[tuple[str, ...]] = ()

    size: Annotated[
        int, about(N_("size"), N_("Networks in the ensemble."), unit=N_("networks"), minimum=2, maximum=20)
    ] = 3

    @property
    def networks(self) -> int:
        return self.size


@kernel
def count_one_more(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """One more set of weights is averaged. Row: how many."""
    arena[row[1]] += block(arena, 0, 1).dtype.type(1)


@kernel
def follow(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """average = decay * average + (1 - decay) * w; the first time, w itself. Row: w, average, count, how many, decay in
    hyper.
    """
    w, a = block(arena, row[1], row[3]), block(arena, row[2], row[3])
    keep = w.dtype.type(hyper[row[5]]) if arena[row[4]] > 1 else w.dtype.type(0)
    rest = w.dtype.type(1) - keep
    for i in range(w.size):
        a[i] = keep * a[i] + rest * w[i]


@kernel
def count_epochs(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """At the end of an epoch that counts, one more set of weights is averaged. Row: how many, start, every."""
    epoch = (context[SAMPLES] + context[BATCH_SIZE] - 1) // context[BATCH_SIZE]
    done = context[STEP] + 1
    if done % epoch == 0 and done // epoch >= row[2] and (done // epoch - row[2]) % row[3] == 0:
        arena[row[1]] += block(arena, 0, 1).dtype.type(1)


@kernel
def take_into_mean(row, arena, data, context, hyper, statistics):  # type: ignore[no-untyped-def]
    """average += (w - average) / how many, at the end of an epoch that counts. Row: w, average, count, how many, start,
    every.
    """
    epoch = (context[SAMPLES] + context[BATCH_SIZE] - 1) // context[BATCH_SIZE]
    done = context[STEP] + 1
    if done % epoch == 0 and done // epoch >= row[5] and (done // epoch - row[5]) % row[6] == 0:
        w, a = block(arena, row[1], row[3]), block(arena, row[2], row[3])
        share = w.dtype.type(1) / arena[row[4]]
        for i in range(w.size):
            a[i] += (w[i] - a[i]) * share
