"""A loss that stays at that of guessing: after all these steps the network knows nothing yet."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np

from ...experiment import value_at
from ...fields import about
from ...layers.dense import Dense
from ...schedules.range_test import RangeTest
from ...text import N_, _
from ..course import Course, fall_per_step
from ..proposal import Insert, Proposal
from .base import Case, Evidence, Finding, Rule, in_short, percent

FALLING = 0.03  # part of itself that the loss of a network on its way still loses in the last half of the steps
NOISY = 0.5  # share of wrong labels from which on there is next to nothing to learn
SHRUNK = 0.1  # of their first size: weights that a penalty has pulled to zero


@Rule.registry.add("chance")
class Chance(Rule, frozen=True, kw_only=True, tag="chance"):
    """The loss is not below that of giving every class the same probability."""

    label: ClassVar[str] = N_("No better than guessing")
    source: ClassVar[str] = "Karpathy, A Recipe for Training Neural Networks: the loss of guessing is log K"
    follows: ClassVar[tuple[str, ...]] = (
        *("vanishing", "exploding", "symmetric", "saturated", "dead", "inputs", "nonfinite"),
        *("rate_too_low", "rate_too_high", "clipping", "underflow", "small_batch_norm", "scale_drift"),
    )

    share: Annotated[
        float,
        about(
            N_("share of chance"),
            N_("Share of the loss of guessing below which a network has learned something."),
            above=0.0,
            maximum=1.0,
        ),
    ] = 0.97
    after: Annotated[
        int,
        about(
            N_("after"),
            N_("Steps that are waited for."),
            unit=N_("steps"),
            minimum=1,
            maximum=1_000_000,
            scale="log",
        ),
    ] = 200

    def examine(self, case: Case) -> Finding | None:
        course = case.course
        if course is None or not np.isfinite(case.chance) or isinstance(case.experiment.training.schedule, RangeTest):
            return None
        if course.known < self.after:
            return None
        blur = float(np.std(course.losses)) / len(course.losses) ** 0.5  # of the mean, from minibatch to minibatch
        if course.level - blur < self.share * case.chance and not course.level > case.chance:
            return None
        half = max(self.after // 2, course.known // 2)
        if fall_per_step(case, course, half) * half > FALLING:
            return None  # it is late, but on its way
        proposals = self._own_causes(case, course)
        # What the experiment itself says is so from the start; else it is known since the loss has not fallen.
        since = int(case.view.steps[0]) if proposals else max(int(case.view.steps[0]), course.last_step - half)
        narrow = tuple(
            (f"network.{i}.units", 32)
            for i, layer in enumerate(case.experiment.network[:-1])
            if isinstance(layer, Dense) and layer.units < 8
        )
        if narrow:
            proposals.append(Proposal(_("32 units in the narrow layers"), narrow))
        adam = {"kind": "adam", "learning_rate": 0.003}
        proposals.append(Proposal(_("Adam with a learning rate of 0.003"), (("training.optimizer", adam),)))
        accuracy = float(np.mean(case.view.some("accuracy", course.recent)))
        classes = max(1, len(case.plan.outline.classes))
        return Finding(
            rule="chance",
            severity="alarm",
            headline=_("After {steps} steps the loss is {level}, no better than guessing ({chance})").format(
                steps=course.known, level=in_short(course.level, 3), chance=in_short(case.chance, 3)
            ),
            explanation=_(
                "A network that gives every class the same probability has this loss. Either nothing reaches the "
                "weights that matter, or what they could say is not enough to tell the classes apart."
            ),
            evidence=(
                Evidence(_("loss by that of guessing"), course.level / case.chance, self.share),
                Evidence(_("accuracy; that of guessing beside it"), accuracy, 1 / classes),
            ),
            first_step=since,
            last_step=int(case.steps[-1]),
            proposals=case.fitting(proposals),
        )

    def _own_causes(self, case: Case, course: Course) -> list[Proposal]:
        """What to try where the experiment says why nothing is learned; empty where it does not."""
        experiment = case.experiment
        training = experiment.training
        found = []
        if not any(card is not None and card.layer.group == "function" for card in case.cards):
            found.append(_functions(case))
        penalty = case.now("penalty") if "penalty" in case.view.run_columns else 0.0
        weights = case.view.some("weight.norm", np.array([0, course.recent[-1]]))
        first, now = np.nansum(weights * weights, axis=1) ** 0.5
        if training.regularizers and (penalty > course.level / 2 or now < SHRUNK * first):
            found.append(Proposal(_("Train without weight decay and penalties"), (("training.regularizers", []),)))
        if experiment.data.label_noise >= NOISY:
            sentence = _("Train with the right labels: {share} of them are wrong now").format(
                share=percent(experiment.data.label_noise)
            )
            found.append(Proposal(sentence, (("data.label_noise", 0.0),)))
        strong = tuple(
            (f"network.{card.path}.rate", 0.2)
            for card in case.cards
            if card is not None
            and card.layer.kind_name() == "dropout"
            and value_at(experiment, f"network.{card.path}.rate") > 0.7
        )
        if strong:
            found.append(Proposal(_("Dropout of a fifth"), strong))
        return found


def _functions(case: Case) -> Proposal:
    """ReLU between layers that are all linear, or a hidden layer where there is none."""
    layers = case.experiment.network
    dense = [i for i, layer in enumerate(layers) if isinstance(layer, Dense) and not layer.muted]
    relu = {"kind": "activation", "function": "relu"}
    if len(dense) > 1:
        changes = tuple((f"network.{i}", Insert(relu)) for i in reversed(dense[1:]))
        return Proposal(_("ReLU between the layers: without it, all of them are one linear layer"), changes)
    hidden = {"kind": "dense", "units": 32, "init": {"kind": "he_normal"}}
    place = f"network.{dense[-1] if dense else len(layers)}"
    return Proposal(_("A hidden layer of 32 units with ReLU"), ((place, Insert(relu)), (place, Insert(hidden))))
