"""NaN and infinity: a number has left the range of the computer, and everything that it touches is lost."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np

from ...engine.precision import FORMATS
from ...fields import about
from ...schedules.range_test import RangeTest
from ...text import N_, _
from ..course import RATE, learning_rate
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule

BEFORE = 5  # steps before, over which growth is told


@Rule.registry.add("nonfinite")
class NonFinite(Rule, frozen=True, kw_only=True, tag="nonfinite"):
    """A loss, an activation, a gradient or a weight is not a finite number."""

    label: ClassVar[str] = N_("NaN or infinity")
    source: ClassVar[str] = "IEEE 754; keras.callbacks.TerminateOnNaN; SageMaker Debugger, ExplodingTensor"
    follows: ClassVar[tuple[str, ...]] = ("inputs", "rate_too_high", "exploding", "scale_drift")

    growth: Annotated[
        float,
        about(
            N_("growth"),
            N_(
                "How many times larger the loss may get within five steps before it is said that it grew into infinity."
            ),
            minimum=1.0,
            maximum=1e6,
            scale="log",
        ),
    ] = 10.0

    def examine(self, case: Case) -> Finding | None:
        row = self._first_row(case)
        if row is None:
            return None
        view = case.view
        step = int(view.steps[row])
        what, index = self._first_place(case, row)
        losses = view.some("loss", np.arange(max(0, row - BEFORE), row))
        losses = losses[np.isfinite(losses)]
        grown = float(losses[-1] / losses[0]) if len(losses) > 1 and losses[0] > 0 else math.nan
        share = self._share(case, row, index)
        layer = case.name(index) if index is not None else _("the whole network")
        places = {
            "activation": _("the output of {layer}"),
            "gradient": _("the gradient of {layer}"),
            "weight": _("the weights of {layer}"),
            "loss": _("the loss"),
        }
        sentence = _("A number is not finite from step {step} on, first in {place}").format(
            step=step, place=places[what].format(layer=layer)
        )
        testing = isinstance(case.experiment.training.schedule, RangeTest)
        explanation = _(
            "A number grew beyond what the computer can hold, and what is computed from it is infinite or NaN. From "
            "there on nothing is learned anymore."
        )
        if grown > self.growth:
            explanation = _(
                "The loss grew {times:.2g}-fold in the {steps} steps before: the numbers ran away. From there on "
                "nothing is learned anymore."
            ).format(times=grown, steps=len(losses))
        if testing:
            explanation = _(
                "The range test raises the learning rate until the training breaks, and here it broke. Nothing is "
                "wrong with the network: what counts is the rate at which the loss fell best."
            )
        evidence = [Evidence(_("share of the numbers there that are not finite"), share, 0.0)]
        if math.isfinite(grown):
            evidence.append(Evidence(_("growth of the loss in the steps before"), grown, self.growth))
        return Finding(
            rule="nonfinite",
            severity="warning" if testing else "alarm",
            headline=sentence,
            explanation=explanation,
            evidence=tuple(evidence),
            layers=(view.layers[index],) if index is not None else (),
            first_step=step,
            last_step=int(case.steps[-1]),
            proposals=() if testing else case.fitting(self._proposals(case)),
        )

    def _first_row(self, case: Case) -> int | None:
        """The first row up to the step in which a number is not finite; None where all are."""
        view = case.view
        known = int(np.searchsorted(view.steps, case.step, side="right"))
        kept = min(known, len(view.kept_steps))
        bad = ~np.isfinite(view.high[:kept, view.column("loss")]) | ~np.isfinite(view.low[:kept, view.column("loss")])
        rows = np.flatnonzero(bad)
        found = [int(rows[0])] if rows.size else []
        # The other numbers are looked at in fewer rows: where the loss stays finite, they are bad up to the end.
        with np.errstate(invalid="ignore"):
            strange = (case.over_time("activation.nonfinite_fraction") > 0).any(axis=1)
            skipped = case.over_time("skipped") > 0
            strange |= np.isinf(case.over_time("gradient.norm")).any(axis=1) & ~skipped
        strange |= ~np.isfinite(case.over_time("gradient_norm")) & ~skipped
        strange |= ~np.isfinite(case.over_time("weight.norm")[:, case.weighted]).all(axis=1)
        for row in case.rows[strange]:
            if self._bad(case, int(row)) is not None:
                found.append(int(row))
                break
        if rows.size and rows[0] > 0 and self._bad(case, int(rows[0]) - 1) is not None:
            found.append(int(rows[0]) - 1)
        return min(found, default=None)

    def _bad(self, case: Case, row: int) -> tuple[str, int | None] | None:
        """What is not finite in a row: ("activation", layer) and the like; None where all is."""
        view = case.view
        rows = np.array([row])
        outputs = np.flatnonzero(view.some("activation.nonfinite_fraction", rows)[0] > 0)
        if outputs.size:
            return "activation", int(outputs[0])
        if not np.isfinite(view.some("loss", rows)[0]):
            return "loss", None
        if "skipped" in view.run_columns and view.some("skipped", rows)[0] > 0:
            return None  # a gradient that the loss scale made infinite: the step was not taken
        # A layer whose output has no gradient reports NaN from the first step on, which says nothing.
        at_first, norms = view.some("gradient.norm", np.array([0, row]))
        wrong = np.flatnonzero(np.isinf(norms) | (np.isnan(norms) & ~np.isnan(at_first)))
        if wrong.size:
            return "gradient", int(wrong[-1])
        if not np.isfinite(view.some("gradient_norm", rows)[0]):
            shares = view.some("weight_gradient.norm", rows)[0][case.weighted]
            wrong = np.flatnonzero(~np.isfinite(shares))  # backward, the last layer is the first
            return "gradient", int(case.weighted[wrong[-1]]) if wrong.size else None
        weights = view.some("weight.norm", rows)[0][case.weighted]
        wrong = np.flatnonzero(~np.isfinite(weights))
        if wrong.size and np.isfinite(view.some("weight.norm", np.array([0]))[0][case.weighted]).all():
            return "weight", int(case.weighted[wrong[0]])
        return None

    def _first_place(self, case: Case, row: int) -> tuple[str, int | None]:
        return self._bad(case, row) or ("loss", None)

    def _share(self, case: Case, row: int, index: int | None) -> float:
        if index is None:
            return 1.0
        share = float(case.view.some("activation.nonfinite_fraction", np.array([row]))[0][index])
        return share if share > 0 else 1.0

    def _proposals(self, case: Case) -> list[Proposal]:
        """A lower rate that promises no more than there is; more bits; clipping."""
        training = case.experiment.training
        found = []
        course = case.course
        promise = course.first if course is not None else math.nan
        wide = training.precision not in FORMATS or training.precision == "bfloat16"
        factor = 10.0
        while math.isfinite(promise) and promise / factor > 1.0 and factor < 1e6:
            factor *= 10.0
        rate = learning_rate(case)
        lower = float(f"{rate / factor:.3g}")
        sentence = _("Divide the learning rate by {factor:g}: {rate:g}").format(factor=factor, rate=lower)
        slower = Proposal(sentence, ((RATE, lower),))
        if not wide:
            bits: dict[str, Any] = {"kind": "dynamic"}
            if training.loss_scale is not None and training.loss_scale.kind_name() != "dynamic":
                found.append(Proposal(_("A dynamic loss scale"), (("training.loss_scale", bits),)))
            bfloat = Proposal(_("bfloat16, whose range is that of 32 bits"), (("training.precision", "bfloat16"),))
            found += [bfloat] if promise < 1 else [slower, bfloat]
        if slower not in found:
            found.append(slower)
        if training.clipping is None:
            clip = {"kind": "global_norm", "threshold": 1.0}
            found.append(Proposal(_("Clip the gradient to norm 1"), (("training.clipping", clip),)))
        return found
