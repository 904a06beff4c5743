"""A script collects the parts of an exported program while the kinds of an experiment write themselves down.

Every layer, loss, schedule and gradient step has a method for each framework (`to_pytorch`, `to_keras`, `to_numpy`);
it says what it is in that framework by calls to the script that it is given. The script puts the parts into the order
in which a person reads a program. Programs are in English, as their languages are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any, ClassVar

from ..gradient_steps.base import STAGES, chain
from ..layers.base import working

if TYPE_CHECKING:
    from ..experiment import Experiment
    from ..layers.base import Chain, Layer, Parameter, Shape
    from ..network import Plan
    from ..schedules.base import Clock

LOAD_TRACE = ('with np.load(Path(__file__).with_suffix(".trace.npz")) as file:', "    trace = dict(file)")
IMPORT_MATH = "import math (where needed)\n"
WIDTH = 100  # characters in a line of a program


@dataclass(frozen=True)
class Subject:
    """What is exported.

    steps        that the program takes
    rate_drops   where something other than the program decides when the rate is lowered: the steps; else None
    stop         where something other than the program decides when training ends: the step; else None
    note         then: who decided, a sentence for the program's docstring
    origin       where the experiment is from, one line
    """

    experiment: Experiment
    plan: Plan
    clock: Clock
    steps: int
    rate_drops: tuple[int, ...] | None
    stop: int | None
    note: str
    origin: str

    @property
    def watches(self) -> bool:
        """Whether the program itself looks at the validation loss."""
        training = self.experiment.training
        watching = training.early_stopping is not None or training.schedule.watches
        return watching and self.rate_drops is None


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its path, the shapes of one sample going in and coming out, its parameters."""

    path: str
    given: Shape
    shape: Shape
    parameters: tuple[Parameter, ...]

    @property
    def name(self) -> str:
        """The path as a name in a program: "layer_2_body_1"."""
        return f"layer_{self.suffix}"

    @property
    def suffix(self) -> str:
        return self.path.replace(".", "_")

    @property
    def is_image(self) -> bool:
        """Whether the input is an image."""
        return len(self.given) == 3


def number(value: float) -> str:
    """A number as a program says it: 0.1, 1e-08, 2.0."""
    return repr(float(value))


class Script:
    """Base of the scripts of all frameworks; see the module."""

    framework: ClassVar[str]
    package: ClassVar[str]  # what has sqrt, sum, abs ... in this framework: "np", "torch", "ops"

    def __init__(self, subject: Subject):
        self.subject = subject
        self.experiment = subject.experiment
        self.constants: dict[str, tuple[str, str]] = {}
        self.definitions: list[str] = []
        self.body: list[str] = []  # the forward pass
        self.masked: list[Place] = []  # layers that read a mask
        self.needs_weights = False
        self.remembered: list[str] = []  # names of what the optimizer keeps for every parameter
        self.beginning: list[str] = []  # before the first step
        self.penalties: list[tuple[str, str]] = []  # (what it is, expression)
        self.gradient_lines: list[str] = []  # between the backward pass and the optimizer
        self.optimizer_lines: list[str] = []
        self.behind_lines: list[str] = []  # after the update
        self.decay: list[float] = []  # strengths of decoupled weight decay
        self._cards = {card.path: card for card in subject.plan.cards}

    # --- what kinds call

    @staticmethod
    def number(value: float) -> str:
        """A number as a program says it: 0.1, 1e-08, 2.0."""
        return number(value)

    def define(self, source: str) -> None:
        """A function at the top of the program, written once however often it is asked for."""
        text = dedent(source).strip()
        if text not in self.definitions:
            self.definitions.append(text)

    def constant(self, name: str, value: float | int | str, comment: str = "") -> str:
        """A named number at the top of the program; its name."""
        self.constants[name] = (str(value) if isinstance(value, int | str) else number(value), comment)
        return name

    def line(self, text: str) -> None:
        """A line of the forward pass."""
        self.body.append(text)

    def penalty(self, what: str, expression: str) -> None:
        """Something that is added to the loss before its gradient is taken; `p` and `weights` are known."""
        self.needs_weights = True
        self.penalties.append((what, expression))

    def change_gradients(self, source: str) -> None:
        """What is done with the gradients `g` (by name, as the parameters `p`) before the optimizer sees them."""
        self.needs_weights |= "weights" in source
        self.gradient_lines += dedent(source).strip().splitlines()

    def slots(self, *names: str) -> None:
        """Arrays that the optimizer remembers for every parameter, by name; they start at zero."""
        self.remembered += names

    def before(self, source: str) -> None:
        """What is done once, before the first step."""
        self.beginning += dedent(source).strip().splitlines()

    def optimize(self, source: str) -> None:
        """The update of one step in formulas of `p`, `g`, `rate`, `step` and the slots."""
        self.needs_weights |= "weights" in source
        self.optimizer_lines += dedent(source).strip().splitlines()

    def note(self, comment: str) -> None:
        """A comment in front of the formulas of the update."""
        self.optimizer_lines.append(f"# {comment}")

    def average(self, source: str) -> None:
        """How `average` follows the parameters `p`; written where the program asks the averaged weights something."""
        if self.evaluates:
            self.slots("average")
            self.constant("STEPS_PER_EPOCH", self.subject.clock.steps_per_epoch)
            self.after(source)

    def after(self, source: str) -> None:
        """What is done behind the update."""
        self.needs_weights |= "weights" in source
        self.behind_lines += dedent(source).strip().splitlines()

    def decouple(self, strength: float) -> None:
        """Weights shrink by the learning rate times this in every step, beside what the optimizer does."""
        if strength:
            self.needs_weights = True
            self.decay.append(strength)

    def take_decay(self) -> float:
        """The strength of all decoupled weight decay so far, for an optimizer that does it itself."""
        total, self.decay = self.decoupled, []
        return total

    def norm(self, names: str) -> str:
        """The expression of the L2 norm of the gradients of some parameters."""
        return f"{self.package}.sqrt(sum({self.package}.sum(g[name] ** 2) for name in {names}))"

    def fresh(self, name: str) -> str:
        """A name for a function that no other function has."""
        taken = {text.split("(")[0].removeprefix("def ") for text in self.definitions}
        number = 2
        found = name
        while found in taken:
            found, number = f"{name}_{number}", number + 1
        return found

    @property
    def decoupled(self) -> float:
        """Strength of all decoupled weight decay together."""
        return math.fsum(self.decay)

    @property
    def rate_changes(self) -> bool:
        """Whether the learning rate is not the same in all steps."""
        return self.experiment.training.schedule.kind_name() != "constant"

    @property
    def evaluates(self) -> bool:
        """Whether the program also asks the network in evaluation mode."""
        return self.subject.watches

    def subtract(self, target: str, expression: str) -> str:
        """The statement that makes a parameter smaller by something."""
        return f"{target} -= {expression}"

    def assign(self, target: str, expression: str) -> str:
        """The statement that gives a parameter other values."""
        return f"{target}[...] = {expression}"

    # --- writing the parts down

    def place(self, path: str) -> tuple[Layer, Place]:
        card = self._cards[path]
        assert card.given is not None
        assert card.shape is not None
        return card.layer, Place(path, card.given, card.shape, card.parameters)

    def layer(self, path: str, x: str = "x", into: str = "x") -> None:
        """Write the layer at `path`: from the variable or expression `x` into the variable `into`."""
        layer, here = self.place(path)
        expression = getattr(layer, f"to_{self.framework}")(self, here, x)
        if expression != into:
            self.line(f"{into} = {expression}")

    def chain(self, inner: Chain, path: str, x: str = "x", into: str = "x") -> None:
        """Write the layers of a chain inside of the block at `path`."""
        members = list(inner.members(path))
        for index, (place, _layer) in enumerate(members):
            self.layer(place, x if index == 0 else into, into)
        if not members and x != into:
            self.line(f"{into} = {x}")

    def network(self) -> None:
        for path in self.paths:
            self.layer(path)

    @property
    def paths(self) -> list[str]:
        """The layers outside of blocks."""
        return [str(index) for index, _layer in working(self.experiment.network)]

    def update(self) -> None:
        """Collect the chain from gradients to weights."""
        training = self.experiment.training
        # Decoupled decay is known before the optimizer is written: some optimizers take it as their own.
        links = sorted(
            chain(training), key=lambda link: (link.step.stage == "optimizer", STAGES.index(link.step.stage))
        )
        for link in links:
            getattr(link.step, f"to_{self.framework}")(self)
        if training.averaging is not None:
            training.averaging.to_code(self)

    @property
    def trained(self) -> list[str]:
        return [f"{c.path}.{q.name}" for c in self.subject.plan.cards for q in c.parameters if q.trained]

    @property
    def kept_up(self) -> list[str]:
        """Names of what layers keep up themselves: running statistics."""
        return [f"{c.path}.{q.name}" for c in self.subject.plan.cards for q in c.parameters if not q.trained]

    @property
    def regularized(self) -> list[str]:
        return [f"{c.path}.{q.name}" for c in self.subject.plan.cards for q in c.parameters if q.regularized]

    @property
    def title(self) -> str:
        """The experiment's name, fit to stand in a docstring."""
        name = "".join(c if c.isprintable() else " " for c in self.experiment.name).strip()
        safe = name.replace("\\", "/").replace('"', "'").encode("utf-8", "replace").decode()
        return safe or "An experiment"

    def about(self, needs: str, notes: Sequence[str] = ()) -> list[str]:
        """The docstring of the program."""
        training = self.experiment.training
        notes = list(notes)
        if training.averaging is not None and training.averaging.networks > 1:
            notes.append(
                "The experiment trains an ensemble; this is its first network. The others differ in their draws only."
            )
        elif training.averaging is not None and not self.evaluates:
            notes.append(
                "The experiment also averages weights for evaluation. That changes nothing in training and is left out."
            )
        if self.subject.note:
            notes.append(self.subject.note)
        lines = [
            f'"""{self.title}.',
            "",
            f"Written by Layerscope ({self.subject.origin}).",
            *fill(
                "Starts from the weights and sees the minibatches of that experiment, which are in the .trace.npz file "
                "beside this program, and prints the step and the loss of its minibatch, a line for every step. "
                f"It needs {needs}."
            ),
        ]
        for note in notes:
            lines += ["", *fill(note)]
        return [*lines, '"""', ""]

    def names(self, label: str, names: Sequence[str], comment: str = "") -> list[str]:
        """A list of names as a statement."""
        head = [f"# {comment}"] if comment else []
        whole = f"{label} = [{', '.join(map(quoted, names))}]"
        if len(whole) <= WIDTH:
            return [*head, whole]
        return [*head, f"{label} = [", *(f"    {line}" for line in packed([quoted(n) + "," for n in names])), "]"]

    def top(self) -> list[str]:
        """Named numbers, then functions."""
        lines = []
        for name, (value, comment) in self.constants.items():
            lines.append(f"{name} = {value}" + (f"  # {comment}" if comment else ""))
        for text in self.definitions:
            lines += ["", "", *text.splitlines()]
        return lines

    def rate_function(self) -> None:
        """The learning rate of every step, as the schedule says it."""
        training = self.experiment.training
        self.constant("LEARNING_RATE", training.optimizer.learning_rate)
        schedule = training.schedule
        if not self.rate_changes:
            return
        if self._known_drops and self.subject.rate_drops is not None:
            drops = ", ".join(map(str, self.subject.rate_drops))
            self.constant("DROPS", f"({drops},)" if drops else "()", "steps from which on the rate is lower")
        self.define(
            "\n".join(
                [
                    f"def learning_rate({'step, drops' if self._counts_drops else 'step'}):",
                    f'    """{_plain(schedule.label)}: {schedule.formula}"""',
                    *(["    drops = sum(step >= drop for drop in DROPS)"] if self._known_drops else []),
                    f"    return {schedule.to_code(self, self.subject.clock)}",
                ]
            )
        )

    @property
    def rate(self) -> str:
        """The expression of the present step's learning rate."""
        if not self.rate_changes:
            return "LEARNING_RATE"
        return "learning_rate(step, drops)" if self._counts_drops else "learning_rate(step)"

    @property
    def _counts_drops(self) -> bool:
        return self.experiment.training.schedule.watches and self.subject.rate_drops is None

    @property
    def _known_drops(self) -> bool:
        return self.experiment.training.schedule.watches and self.subject.rate_drops is not None

    def watch(self) -> tuple[list[str], list[str], list[str]]:
        """What early stopping and a schedule that watches do: before the loop, at a step's start, after the loop."""
        training = self.experiment.training
        stopping, schedule = training.early_stopping, training.schedule
        if self.subject.stop is not None:
            return [], [f"if step == {self.subject.stop}:", "    break  # early stopping"], []
        if not self.subject.watches:
            return [], [], []
        self.constant("STEPS_PER_EPOCH", self.subject.clock.steps_per_epoch)
        before: list[str] = []
        inner = ["found = validation_loss()"]
        after: list[str] = []
        if schedule.watches:
            before.append("best_for_rate, bad_epochs, drops = math.inf, 0, 0")
            inner += [
                "# the schedule: lower the rate after too many epochs without improvement",
                f"if found < {schedule.better_than('best_for_rate')}:",
                "    best_for_rate, bad_epochs = found, 0",
                "else:",
                "    bad_epochs += 1",
                f"if bad_epochs > {schedule.waits}:",
                "    bad_epochs, drops = 0, drops + 1",
            ]
        if stopping is not None:
            before.append("best, waited = math.inf, 0")
            margin = f" - {number(stopping.min_delta)}" if stopping.min_delta else ""
            kept = ["    best_weights = " + self.copies("p")] if stopping.restore_best else []
            inner += [
                "# early stopping",
                f"if found < best{margin}:",
                "    best, waited = found, 0",
                *kept,
                "else:",
                "    waited += 1",
                f"if waited >= {max(1, stopping.patience)}:",
                "    break",
            ]
            if stopping.restore_best:
                before.append("best_weights = " + self.copies("p"))
                after = [
                    "# early stopping keeps the weights with the least validation loss",
                    *self.guarded(["for name in p:", "    " + self.assign("p[name]", "best_weights[name]")]),
                ]
        begin = ["if step > 0 and step % STEPS_PER_EPOCH == 0:", *(f"    {line}" for line in inner)]
        return before, begin, after

    def copies(self, name: str) -> str:
        """The expression of copies of all arrays of a dictionary."""
        return f"{{name: {self.package}.copy({name}[name]) for name in {name}}}"

    def guarded(self, lines: list[str]) -> list[str]:
        """Statements that change parameters, as a framework that records operations wants them."""
        return lines


def _plain(text: str) -> str:
    """A text as it may stand in a docstring."""
    return text.replace("\\", "/").replace('"', "'")


def quoted(text: str) -> str:
    return f'"{text}"'


def fill(text: str) -> list[str]:
    """A text in lines."""
    from textwrap import wrap

    return wrap(text, WIDTH - 4, break_long_words=False)


def packed(parts: Sequence[str], width: int = WIDTH - 8) -> list[str]:
    """Words put into lines."""
    lines = [""]
    for part in parts:
        if lines[-1] and len(lines[-1]) + 1 + len(part) > width:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + part
    return lines


def wrapped(line: str) -> list[str]:
    """A statement in one line, or with what is in its last pair of outer parentheses in a line of its own."""
    if len(line) <= WIDTH or not line.endswith(")"):
        return [line]
    depth = 0
    for at in range(len(line) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(line[at], 0)
        if depth == 0 and at < len(line) - 2:
            margin = " " * (len(line) - len(line.lstrip()))
            return [line[: at + 1], f"{margin}    {line[at + 1 : -1]}", f"{margin})"]
    return [line]


def text_of(lines: Sequence[str], definitions: Sequence[str]) -> str:
    """The program: lines not too long, one newline at the end, without numbers and functions that nothing asks for, and
    `import math` in its place where it is needed.
    """
    found: list[str] = []
    for line in lines:
        found += wrapped(line.rstrip())
    text = "\n".join(found)
    for definition in reversed(definitions):
        name = re.findall(r"^(?:def|class) (\w+)", definition, re.MULTILINE)[0]
        if len(re.findall(rf"\b{name}\b", text)) == 1:
            text = text.replace(f"\n\n\n{definition}\n", "\n")
    for name in re.findall(r"^([A-Z_]+) = ", text, re.MULTILINE):
        if len(re.findall(rf"\b{name}\b", text)) == 1:
            text = re.sub(rf"^{name} = .*\n", "", text, flags=re.MULTILINE)
    return text.replace(IMPORT_MATH, "import math\n" if re.search(r"\bmath\.", text) else "").strip("\n") + "\n"


def indented(lines: Sequence[str], by: int = 1) -> list[str]:
    return [indent(line, "    " * by) if line else "" for line in lines]


def arguments(*given: Any, **settings: Any) -> str:
    """The arguments of a call; a setting that is None is left out."""
    parts = [str(value) for value in given]
    parts += [f"{name}={value}" for name, value in settings.items() if value is not None]
    return ", ".join(parts)
