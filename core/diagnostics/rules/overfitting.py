"""Overfitting: the network goes on learning its training samples by heart and gets worse on those it has not seen."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np

from ...fields import about
from ...layers.activation import ActivationLayer
from ...layers.dense import Dense
from ...layers.dropout import Dropout
from ...text import N_, _
from ..proposal import Insert, Proposal
from .base import Case, Evidence, Finding, Rule, in_short

FEWEST = 4  # evaluations; before, an ascent may be chance
WAITED = 2  # evaluations since the best one
MATTERS = 0.05  # of the first validation loss: an ascent by less is nothing to mend
WENT_ON = 0.9  # of the training loss at the best evaluation: it went on falling


@Rule.registry.add("overfitting")
class Overfitting(Rule, frozen=True, kw_only=True, tag="overfitting"):
    """The validation loss rises while the training loss falls."""

    label: ClassVar[str] = N_("Overfitting")
    source: ClassVar[str] = "Prechelt 1998, generalization loss; SageMaker Debugger: a tenth is worth a word"

    rise: Annotated[
        float,
        about(
            N_("rise"),
            N_("Share of its least value by which the validation loss may rise."),
            above=0.0,
            maximum=1e3,
            scale="log",
        ),
    ] = 0.1
    alarm: Annotated[
        float,
        about(
            N_("alarm above"),
            N_("Share of its least value from which on an alarm is raised."),
            above=0.0,
            maximum=1e3,
            scale="log",
        ),
    ] = 0.5

    def examine(self, case: Case) -> Finding | None:
        stopping = case.experiment.training.early_stopping
        if stopping is not None and stopping.restore_best:
            return None  # taken care of: the weights of the best evaluation are kept
        view, course = case.view, case.course
        # What was evaluated behind the last step of all is known as well.
        ends = not len(view.steps) or case.step >= int(view.steps[-1])
        known = view.validation_steps <= (case.step + view.stride if ends else case.step)
        steps, losses = view.validation_steps[known], view.validation_loss[known]
        steps, losses = steps[np.isfinite(losses)], losses[np.isfinite(losses)]
        if course is None or len(losses) < FEWEST:
            return None
        best = int(np.argmin(losses))
        now = float(np.min(losses[-WAITED:]))  # the better one of the last: a single bad evaluation is no trend
        least = float(losses[best])
        if len(losses) - 1 - best < WAITED or not now > (1 + self.rise) * least:
            return None
        if now - least < MATTERS * float(losses[0]):
            return None
        then = self._training_loss(case, int(steps[best]))
        if not course.level < WENT_ON * then:
            return None
        rise = now / least - 1 if least > 0 else math.inf
        return Finding(
            rule="overfitting",
            severity="alarm" if rise > self.alarm else "warning",
            headline=_("Overfitting: the validation loss was {least} at step {step} and is {now} now").format(
                step=int(steps[best]), least=in_short(least, 3), now=in_short(now, 3)
            ),
            explanation=_(
                "The training loss went on falling from {then:.2g} to {level:.2g}, but what is learned now holds for "
                "the training samples only, noise included. Fewer ways to learn by heart, or an earlier end, help."
            ).format(then=then, level=course.level),
            evidence=(
                Evidence(_("rise of the validation loss above its least"), rise, self.rise),
                Evidence(_("validation loss by training loss"), now / max(course.level, 1e-300), 1 + self.rise),
                Evidence(_("steps since the best evaluation"), float(steps[-1] - steps[best]), float(WAITED)),
            ),
            first_step=int(steps[best]),
            last_step=int(case.steps[-1]),
            proposals=case.fitting(_proposals(case)),
        )

    def _training_loss(self, case: Case, step: int) -> float:
        """The mean training loss in the epoch before a step, or behind it where that is the first one."""
        first, last = sorted((step - case.view.steps_per_epoch, step)) if step else (0, case.view.steps_per_epoch)
        rows = np.arange(*np.searchsorted(case.view.steps, (first, last)))
        rows = rows if len(rows) else np.array([max(0, case.view.row(step))])
        return float(np.mean(case.view.some("loss", rows)))


def _proposals(case: Case) -> list[Proposal]:
    """An earlier end, dropout, weight decay, smaller layers: those of them that the experiment does not have yet."""
    training = case.experiment.training
    found = []
    if training.early_stopping is None or not training.early_stopping.restore_best:
        stopping: dict[str, Any] = {"patience": 5, "restore_best": True}
        sentence = _("Stop early and keep the weights of the best epoch")
        found.append(Proposal(sentence, (("training.early_stopping", stopping),)))
    layers = case.experiment.network
    if not any(isinstance(layer, Dropout) and not layer.muted for layer in layers):
        behind = [i for i, layer in enumerate(layers) if isinstance(layer, ActivationLayer) and not layer.muted]
        changes = tuple((f"network.{i + 1}", Insert({"kind": "dropout", "rate": 0.5})) for i in reversed(behind))
        if changes:
            found.append(Proposal(_("Dropout of one half behind every activation function"), changes))
    if not training.regularizers:
        decay = {"kind": "decoupled", "strength": 0.01}
        if training.optimizer.kind_name() in ("sgd", "momentum", "nesterov"):
            decay = {"kind": "l2", "strength": 0.01}
        found.append(Proposal(_("Weight decay of 0.01"), (("training.regularizers", [decay]),)))
    wide = [
        (f"network.{i}.units", max(4, layer.units // 4))
        for i, layer in enumerate(layers[:-1])
        if isinstance(layer, Dense) and layer.units >= 16
    ]
    if wide:
        found.append(Proposal(_("A quarter of the units in every hidden layer"), tuple(wide)))
    return found
