"""Batch norm with few samples: mean and variance of so small a minibatch are mostly noise."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np

from ...fields import about
from ...layers.base import channels_of
from ...layers.batch_norm import BatchNorm
from ...network import Card
from ...text import N_, _
from ..proposal import Proposal
from .base import Case, Evidence, Finding, Rule, percent

LARGER = 32  # samples that are proposed
JUMP = 0.1  # of a standard deviation: what is measured is less than what single units see
RECENT = 50  # rows that are looked at


@Rule.registry.add("small_batch_norm")
class SmallBatchNorm(Rule, frozen=True, kw_only=True, tag="small_batch_norm"):
    """The statistics of a batch normalization rest on too few values."""

    label: ClassVar[str] = N_("Batch too small for batch norm")
    source: ClassVar[str] = "Wu & He 2018 (arXiv 1803.08494), figure 1: the error grows below 16 images, fast below 4"

    values: Annotated[
        int,
        about(
            N_("least values"),
            N_("Values that one mean should rest on: samples in the minibatch, times pixels in an image."),
            minimum=1,
            maximum=65536,
            scale="log",
        ),
    ] = 8
    images: Annotated[
        int,
        about(
            N_("least images"),
            N_("Images that the minibatch should have at least: the pixels of one image are alike."),
            minimum=1,
            maximum=65536,
            scale="log",
        ),
    ] = 4
    alarm: Annotated[
        int,
        about(
            N_("alarm below"),
            N_("Values below which an alarm is raised."),
            minimum=1,
            maximum=65536,
            scale="log",
        ),
    ] = 4

    def examine(self, case: Case) -> Finding | None:
        samples = case.experiment.training.batch_size
        found = [
            (index, card, samples * positions(card))
            for index, card in enumerate(case.cards)
            if card is not None and isinstance(card.layer, BatchNorm) and card.shape is not None
        ]
        few = [
            (index, card, values)
            for index, card, values in found
            if values < self.values or (samples < self.images and values < 64 * self.images)
        ]
        if not few:
            return None
        _index, card, values = min(few, key=lambda entry: entry[2])
        enough = values >= self.values
        decisive = Evidence(_("values that a mean rests on"), float(values), float(self.values))
        if enough:
            decisive = Evidence(_("images in a minibatch"), float(samples), float(self.images))
        noise = percent(1 / math.sqrt(values))
        measured = self._jumps(case, [index for index, _card, _values in few])
        evidence = [decisive]
        if math.isfinite(measured):
            evidence.append(
                Evidence(
                    _("measured: jump of the mean over all units from step to step, in standard deviations"),
                    measured,
                    JUMP,
                )
            )
        gap = self._gap(case)
        if math.isfinite(gap):
            evidence.append(Evidence(_("validation loss, with running statistics, by training loss"), gap, 1.5))
        steps = case.steps
        return Finding(
            rule="small_batch_norm",
            severity="alarm" if values < self.alarm else "warning",
            headline=(
                _("Batch norm rests on {samples} images: their pixels are alike, and means jump")
                if enough
                else _("Batch norm rests on {values} values: a mean is off by {noise} of a deviation")
            ).format(values=values, samples=samples, noise=noise),
            explanation=_(
                "Every sample is shifted and scaled by what its few neighbors in the minibatch happen to be, which is "
                "noise. When the network is evaluated, running statistics take their place, and it behaves differently."
            ),
            evidence=tuple(evidence),
            layers=tuple(card.path for _index, card, _values in few),
            first_step=int(steps[0]) if len(steps) else case.step,
            last_step=int(steps[-1]) if len(steps) else case.step,
            proposals=case.fitting(self._proposals(case, few)),
        )

    def _jumps(self, case: Case, indices: list[int]) -> float:
        """How far the mean of what the normalizations are given jumps between two steps, by its deviation; the largest.

        It is the mean over all units, whose noises partly cancel: each of them jumps more than this.
        """
        known = int(np.searchsorted(case.view.steps, case.step, side="right"))
        rows = np.arange(max(0, known - RECENT), known)
        before = [i - 1 for i in indices if i > 0]
        if len(rows) < 10 or not before:
            return math.nan
        means = case.view.some("activation.mean", rows)[:, before]
        spreads = case.view.some("activation.std", rows)[:, before]
        with np.errstate(all="ignore"):
            jumps = np.std(np.diff(means, axis=0), axis=0) / math.sqrt(2) / np.mean(spreads, axis=0)
        return float(np.max(jumps[np.isfinite(jumps)], initial=0.0)) or math.nan

    def _gap(self, case: Case) -> float:
        """The last validation loss by the present training loss."""
        known = np.flatnonzero(case.view.validation_steps <= case.step)
        if case.course is None or len(known) < 2 or case.course.level <= 0:
            return math.nan
        return float(case.view.validation_loss[known[-1]]) / case.course.level

    def _proposals(self, case: Case, few: list[tuple[int, Card, int]]) -> list[Proposal]:
        """A larger minibatch; layer norm, which needs no neighbors, in place of these normalizations."""
        layer_norm = {"kind": "layer_norm"}
        own = [(f"network.{card.path}", layer_norm) for _index, card, _values in few]
        larger = Proposal(
            _("Minibatches of {samples} samples").format(samples=LARGER), (("training.batch_size", LARGER),)
        )
        exchanged = Proposal(_("Layer norm in its place, which looks at one sample at a time"), tuple(own))
        return [larger, exchanged] if case.experiment.training.batch_size < LARGER else [exchanged]


def positions(card: Card) -> int:
    """Values of one sample that share a mean: the pixels of an image, 1 for a vector."""
    assert card.shape is not None
    return math.prod(card.shape) // channels_of(card.shape)
