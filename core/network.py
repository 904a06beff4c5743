"""What the layers of a network make of the data's shape, and what is wrong with it, without training anything."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from .data.base import Outline
from .engine.precision import FORMATS
from .errors import InputError
from .experiment import Experiment
from .layers.base import Layer, Parameter, Shape, working
from .text import _


class Card(msgspec.Struct, frozen=True):
    """One layer in its place.

    path         where it stands: "0", "2.body.1"
    given, shape shape of one sample going in and coming out; None where an earlier layer is impossible
    parameters   what it learns, and what it keeps up itself
    problem      why it cannot be, in one sentence; empty when it can
    """

    path: str
    layer: Layer
    given: Shape | None
    shape: Shape | None
    parameters: tuple[Parameter, ...]
    problem: str = ""

    @property
    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(p.count for p in self.parameters if p.trained)


class Plan(msgspec.Struct, frozen=True):
    """A network laid out: a card for every layer, and whether it can be trained.

    The cards are in data order: the layers inside of a block stand before the block, whose output comes after theirs.
    A muted layer has no card.

    outline    of the data
    problems   (place in the experiment, sentence) for everything that must be mended first
    """

    outline: Outline
    cards: tuple[Card, ...]
    problems: tuple[tuple[str, str], ...]

    @property
    def shape(self) -> Shape:
        """Shape of one sample; () when the data cannot be had."""
        return self.outline.shape

    @property
    def targets(self) -> int:
        """Numbers that the network must put out for one sample; 0 when the data cannot be had."""
        return self.outline.targets

    @property
    def parameter_count(self) -> int:
        return sum(card.parameter_count for card in self.cards)

    def problem_at(self, place: str) -> str:
        return next((sentence for where, sentence in self.problems if where == place), "")

    def require(self) -> None:
        """Raise the first problem as an InputError."""
        for place, sentence in self.problems:
            raise InputError(sentence, place)


LARGEST_MEMORY = 4 * 1024**3  # bytes of values, gradients and parameters that one run may take
LARGEST_NETWORK = 50_000_000  # parameters; beyond that a laptop's memory is the lesson


def plan(
    experiment: Experiment, outline: Outline | None = None, folder: Path | None = None, *, waiting: str = ""
) -> Plan:
    """Shapes, parameters and problems of an experiment's network. Never raises for a network that cannot be.

    outline   of the data, when it is loaded already
    folder    where relative paths of data files start: the folder of the experiment file
    waiting   why the outline is not known yet; it is then not asked for
    """
    problems: list[tuple[str, str]] = []
    shape: Shape | None = None
    try:
        if waiting:
            raise InputError(waiting)
        outline = outline if outline is not None else experiment.data.outline(folder)
        shape = outline.shape
        if experiment.data.validation + experiment.data.test > 0.95:
            raise InputError(_("validation and test share leave nothing to train on; lower one of them"), "validation")
    except InputError as error:
        problem = f"{error.file}: {error.problem}" if error.file else error.problem
        problems.append(("data." + error.place if error.place else "data", problem))
    given_shape = shape or ()
    cards: list[Card] = []
    for index, layer in working(experiment.network):
        shape = _lay_out(str(index), layer, shape, cards, problems)
    if not cards:
        sentence = _("the network has no layers yet; add a dense layer with + to begin")
        if experiment.network:
            sentence = _("all layers are muted, so there is nothing to train; switch a dense layer on again")
        problems.append(("network", sentence))
    elif shape is not None and outline is not None:
        try:
            experiment.loss.check(shape, outline)
        except InputError as error:
            problems.append(("loss", error.problem))
        if not any(card.parameters for card in cards):
            problems.append(("network", _("no layer has weights, so there is nothing to train; add a dense layer")))
    problems += _unwatched(experiment)
    total = sum(card.parameter_count for card in cards)
    if total > LARGEST_NETWORK:
        problems.append(
            (
                "network",
                _("{count:,} parameters are more than the {most:,} that fit; make layers smaller").format(
                    count=total, most=LARGEST_NETWORK
                ),
            )
        )
    needed = memory(experiment, given_shape, cards)
    if needed > LARGEST_MEMORY:
        problems.append(
            (
                "training.batch_size",
                _(
                    "needs {needed:.1f} GB of memory, and {most:.0f} GB are allowed; make it or the layers smaller"
                ).format(needed=needed / 1024**3, most=LARGEST_MEMORY / 1024**3),
            )
        )
    return Plan(outline or Outline((), 0), tuple(cards), tuple(problems))


def _unwatched(experiment: Experiment) -> list[tuple[str, str]]:
    """Problems of what watches the validation loss where no samples are kept aside for it."""
    training = experiment.training
    if experiment.data.validation > 0.0:
        return []
    problems = []
    if training.early_stopping is not None:
        problems.append(
            (
                "training.early_stopping",
                _("early stopping watches samples that training does not see: set a validation share of the data"),
            )
        )
    if training.schedule.watches:
        problems.append(
            (
                "training.schedule",
                _("this schedule watches samples that training does not see: set a validation share of the data"),
            )
        )
    return problems


def _lay_out(
    path: str, layer: Layer, given: Shape | None, cards: list[Card], problems: list[tuple[str, str]]
) -> Shape | None:
    """Append the cards of a layer and, before it, of those inside; its output's shape, None when it cannot be."""
    before = len(problems)
    for chain in layer.inside(given):
        inner = given
        for inner_path, inner_layer in chain.members(path):
            inner = _lay_out(inner_path, inner_layer, inner, cards, problems)
    shape: Shape | None = None
    parameters: tuple[Parameter, ...] = ()
    sentence = ""
    if given is not None and len(problems) == before:
        try:
            shape = layer.output_shape(given)
            parameters = layer.parameters(given)
        except InputError as error:
            shape, sentence = None, error.problem
            problems.append((f"network.{path}", sentence))
    cards.append(Card(path, layer, given, shape, parameters, sentence))
    return shape


def memory(experiment: Experiment, given: Shape, cards: list[Card]) -> int:
    """Bytes that a run takes for values, parameters, the gradients of both, and what the optimizer keeps."""
    training = experiment.training
    size = training.batch_size
    numbers = size * math.prod(given)
    for card in cards:
        if card.given is not None and card.shape is not None:
            numbers += 2 * size * math.prod(card.shape) + card.layer.room(card.given, size)
    remembered = len(training.optimizer.slots) + (len(training.averaging.slots) if training.averaging else 0)
    copies = training.precision in FORMATS and training.master_weights
    parameters = sum(card.parameter_count for card in cards) * (2 + remembered + copies)
    parameters += max((p.count for card in cards for p in card.parameters), default=0)  # where updates are put together
    networks = training.averaging.networks if training.averaging is not None else 1
    return networks * (numbers + parameters) * (8 if training.precision == "float64" else 4)
