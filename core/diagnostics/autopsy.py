"""An autopsy finds the first number that is none: which operation made it, out of what, why, and what to try.

A run ends before the step in which a number comes out as NaN or infinity (`guard.py`). That step is computed once more
on a copy of the memory, operation by operation, and after each the memory is looked through. The first operation whose
result is not finite, with operands that are, is the one to be blamed; what grew in the steps before says for what.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..engine import layout
from ..engine.kernel import kernel_name
from ..guard import all_finite
from ..text import N_, _, ngettext
from .proposal import Proposal

if TYPE_CHECKING:
    from ..engine.program import Operation, Program, Region
    from ..run import Run

Array = NDArray[np.float64]

WINDOW = 50  # recorded steps before the failure that are looked at
# What is blamed first when one row leaves several results that are not finite: what it computes first.
ROLES = (
    "input",
    "copy",
    "inner",
    "parameter",
    "activation",
    "target",
    "output gradient",
    "share",
    "gradient",
    "memory",
    "scalar",
    "update",
    "index",
    "room",
)


@dataclass(frozen=True)
class Operand:
    """What an operation was given.

    name          "x", "weight", "∂L/∂a"
    least, most   of all its numbers
    here          the one that stands at the place of the result, where there is one
    """

    name: str
    least: float
    most: float
    here: float | None = None

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.least), abs(self.most))


@dataclass(frozen=True, eq=False)
class Growth:
    """How a quantity went in the steps before the failure.

    name            what it is, translated
    steps, values   (n,) as recorded; the failing step is the last where it is known
    factor          by what it was multiplied in every step while it rose; 1 where it did not, NaN: nothing is known
    rising          for how many steps it rose up to the failure
    """

    name: str
    steps: NDArray[np.int64]
    values: Array
    factor: float
    rising: int

    @property
    def first(self) -> float:
        """The value from which it rose."""
        finite = np.flatnonzero(np.isfinite(self.values))
        if not len(finite):
            return math.nan
        known = self.values[finite]
        return float(known[self._start(known)])

    @property
    def last(self) -> float:
        """The last finite value."""
        finite = self.values[np.isfinite(self.values)]
        return float(finite[-1]) if len(finite) else math.nan

    @staticmethod
    def _start(known: Array) -> int:
        return int(np.argmin(known))


@dataclass(frozen=True)
class Cause:
    """Why it happened.

    kind       "data", "setting", "start", "precision", "variance", "division", "weights", "rate", "overflow", "unknown"
    text       a few words for one line: "learning rate 10 is too large"
    evidence   sentences with the numbers that show it
    """

    kind: str
    text: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Autopsy:
    """What the first number that is none says about a training.

    step       the step that fails
    network    of an ensemble, the number of the network that failed; 0 is the first
    phase      "data", "forward", "loss", "backward", "update": where in the step
    path       the layer whose operation failed: "2.body.1"; "data", "loss" or "optimizer" otherwise
    operation  that in words: "forward through Dense 2"
    kernel     the name of the row's kernel, "dense_forward"
    role       what kind of tensor the result is, see `program.Region`; also "loss", "norm", "setting"
    owner      the layer that the tensor belongs to; "" where it belongs to none
    tensor     that in words: "a of Dense 2"
    name       of the parameter or inner value
    index      where in it the first such number stands: (sample of the minibatch, unit, ...) or place in the array
    sample     the number of that sample in the training data; None where the tensor has none per sample
    value      "not a number (NaN)", "infinite (∞)", "infinite (−∞)", translated
    count, of  how many of its numbers are not finite, of how many
    before     what stood there before the operation, where it was changed in place; None elsewhere
    operands   what the operation was given
    growth     loss, norm of the gradient and the tensor's range in the steps before
    """

    step: int
    network: int
    phase: str
    path: str
    operation: str
    kernel: str
    role: str
    owner: str
    tensor: str
    name: str
    index: tuple[int, ...]
    sample: int | None
    value: str
    count: int
    of: int
    before: float | None
    operands: tuple[Operand, ...]
    growth: tuple[Growth, ...]
    cause: Cause = field(default_factory=lambda: Cause("unknown", "", ()))
    proposals: tuple[Proposal, ...] = ()

    @property
    def place(self) -> str:
        """Where the first such number stands, in words; "" for a single number."""
        if self.of == 1:
            return ""
        where = ", ".join(map(str, self.index[1:] if self.sample is not None else self.index))
        if self.sample is not None:
            return _("at [{where}] of sample {sample}").format(where=where, sample=self.sample)
        return _("at [{where}]").format(where=where)

    @property
    def result(self) -> str:
        """What came out, in one sentence."""
        return _("{operation} made {tensor} {value}").format(
            operation=self.operation[:1].upper() + self.operation[1:], tensor=self.tensor, value=self.value
        )

    @property
    def short(self) -> str:
        """One line: the step, the operation, the cause."""
        network = _(" of network {number}").format(number=self.network + 1) if self.network else ""
        return _("Step {step:,}{network}: {result}; {cause}.").format(
            step=self.step, network=network, result=self.result[:1].lower() + self.result[1:], cause=self.cause.text
        )

    @property
    def extent(self) -> str:
        """How much of the tensor is not finite, and where the first such number stands."""
        if self.of == 1:
            return ""
        share = ngettext(
            "{count:,} of its {of:,} numbers is not finite, the first {place}.",
            "{count:,} of its {of:,} numbers are not finite, the first {place}.",
            self.count,
        )
        return share.format(count=self.count, of=self.of, place=self.place)

    def report(self) -> tuple[str, ...]:
        """Lines for a person who reads plain text."""
        lines = [self.short]
        if self.extent:
            lines.append(self.extent)
        if self.operands:
            lines.append(_("Given: {operands}.").format(operands="; ".join(map(operand_text, self.operands))))
        lines += self.cause.evidence
        if self.proposals:
            lines.append(_("Try: {proposals}.").format(proposals="; ".join(p.text for p in self.proposals)))
        return tuple(lines)

    def to_plain(self) -> dict[str, Any]:
        """Plain JSON values for `run.json`."""
        return {
            "step": self.step,
            "network": self.network,
            "phase": self.phase,
            "path": self.path,
            "kernel": self.kernel,
            "role": self.role,
            "owner": self.owner,
            "tensor": self.tensor,
            "index": list(self.index),
            "sample": self.sample,
            "value": self.value,
            "count": self.count,
            "of": self.of,
            "cause": self.cause.kind,
            "says": list(self.report()),
            "proposals": [proposal.to_plain() for proposal in self.proposals],
        }


def operand_text(operand: Operand) -> str:
    """ "x from -3.2 to 1e19" """
    if operand.least == operand.most:
        return _("{name} = {value}").format(name=operand.name, value=number(operand.least))
    text = _("{name} from {least} to {most}").format(
        name=operand.name, least=number(operand.least), most=number(operand.most)
    )
    return text if operand.here is None else f"{text}, " + _("{value} here").format(value=number(operand.here))


def number(value: float) -> str:
    """A number in a sentence: four digits at most."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-").replace("-", "−")


# --- the step once more


@dataclass
class Remains:
    """The failing step, computed up to the row that fails.

    kept     what the run remembered before the step
    before   the arena before that row; after: behind it
    """

    run: Run
    operation: Operation
    row: NDArray[np.int64]
    kernel: str
    role: str
    owner: str
    name: str
    index: tuple[int, ...]
    sample: int | None
    value: float
    count: int
    of: int
    before: NDArray[Any]
    after: NDArray[Any]
    hyper: Array
    region: Region | None
    line: Array
    skipped: bool
    step: int
    kept: NDArray[Any]


@contextmanager
def _aside(run: Run) -> Iterator[None]:
    """Meanwhile the run's machine works on copies of its memory."""
    machine = run.machine
    arena, hyper, context = machine.arena, machine.hyper, machine.context
    here = run.step, run.row
    machine.arena, machine.hyper, machine.context = arena.copy(), hyper.copy(), context.copy()
    try:
        yield
    finally:
        machine.arena, machine.hyper, machine.context = arena, hyper, context
        run.step, run.row = here


def _memory_before(run: Run, step: int) -> NDArray[Any]:
    """What the run remembers before a step that it has reached; to be called aside."""
    machine = run.machine
    if run.row == 0 and run.step == step:
        return machine.kept.copy()
    at, kept = run.checkpoints.nearest(step)
    machine.kept[:] = kept
    for past in range(at, step):
        run.repeat(past, 1)
    return machine.kept.copy()


def _find(run: Run, step: int) -> Remains | None:
    """The first operation of a step whose result is not finite; None when all is well. To be called aside."""
    program, machine = run.program, run.machine
    kept = _memory_before(run, step)

    def begin() -> Array:
        run.step, run.row = step, 0
        machine.arena[:] = 0
        machine.kept[:] = kept
        machine.hyper[:] = program.hyper
        machine.context[layout.SKIP_TO] = 0
        run.prepare()
        return run.begin_lines(1)

    whole = begin()
    machine.execute(whole, step, 0, len(program.table))
    skipped = "skipped" in program.run_columns and whole[0, program.run_columns.index("skipped")] == 1.0
    line = begin()
    rate = float(line[0, layout.LEARNING_RATE])
    infinite = ~np.isfinite(machine.hyper)
    for path, place in program.live.items():
        if not math.isfinite(float(machine.hyper[place])):
            return _setting(run, step, path, float(machine.hyper[place]), line, skipped, kept)
    if not math.isfinite(rate):
        return _setting(run, step, "training.optimizer.learning_rate", rate, line, skipped, kept)
    known = np.zeros(0, dtype=np.int64)
    if not all_finite(machine.arena):
        return _start(run, step, line, skipped, kept)
    for operation in program.operations:
        entering = machine.arena.copy(), machine.hyper.copy(), line.copy()
        context = machine.context.copy()
        machine.execute(line, step, operation.first_row, operation.last_row)
        strange = _strange(machine.arena, known)
        if skipped and operation.phase == "backward":
            known = np.union1d(known, strange)  # a scale that is too large: the step is passed over
            continue
        numbers = ~np.isfinite(machine.hyper) & ~infinite
        if skipped and operation.label == "loss_scale":
            infinite |= numbers
            known = np.union1d(known, strange)
            continue
        lost = not math.isfinite(line[0, layout.LOSS]) and operation.phase == "loss"
        if not (len(strange) or numbers.any() or lost):
            continue
        machine.arena[:], machine.hyper[:] = entering[0], entering[1]
        machine.context[:] = context
        return _row_by_row(run, step, operation, entering[2], known, infinite, skipped, kept)
    return None


def _strange(arena: NDArray[Any], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Places of the numbers that are not finite, but for those that are known."""
    if not len(known) and all_finite(arena):
        return known
    return np.setdiff1d(np.flatnonzero(~np.isfinite(arena)), known, assume_unique=True)


def _row_by_row(
    run: Run,
    step: int,
    operation: Operation,
    line: Array,
    known: NDArray[np.int64],
    infinite: NDArray[np.bool_],
    skipped: bool,
    kept: NDArray[Any],
) -> Remains:
    program, machine = run.program, run.machine
    for row in range(operation.first_row, operation.last_row):
        before = machine.arena.copy()
        machine.execute(line, step, row, row + 1)
        strange = _strange(machine.arena, known)
        numbers = np.flatnonzero(~np.isfinite(machine.hyper) & ~infinite)
        lost = operation.phase == "loss" and not math.isfinite(line[0, layout.LOSS])
        if not (len(strange) or len(numbers) or lost):
            continue
        entries = program.table[row]
        name = kernel_name(program.kernels[entries[layout.KERNEL]]).rpartition(".")[2]
        shared: dict[str, Any] = {
            "run": run,
            "operation": operation,
            "row": entries,
            "kernel": name,
            "before": before,
            "after": machine.arena.copy(),
            "hyper": machine.hyper.copy(),
            "line": line[0].copy(),
            "skipped": skipped,
            "step": step,
            "kept": kept,
        }
        if len(strange):
            region, places = _blamed(program, machine.rows, strange)
            region = _as_updated(program, region, operation, entries)
            index = _index(region, int(places[0]), machine.rows)
            batch = run.batch()
            return Remains(
                role=region.role if region is not None else "inner",
                owner=_owner(program, region, operation, entries),
                name=_name(program, region, operation, entries),
                index=index,
                sample=int(batch[index[0]]) if region is not None and region.per_sample else None,
                value=float(machine.arena[places[0]]),
                count=len(places),
                of=region.count(machine.rows) if region is not None else len(places),
                region=region,
                **shared,
            )
        if lost:
            value = float(line[0, layout.LOSS])
            return Remains(
                role="loss", owner="loss", name="", index=(), sample=None, value=value, count=1, of=1, region=None,
                **shared,
            )  # fmt: skip
        value = float(machine.hyper[numbers[0]])
        role = "setting" if name == "scheduled_rate" else "norm"
        return Remains(
            role=role, owner="optimizer", name="", index=(), sample=None, value=value, count=1, of=1, region=None,
            **shared,
        )  # fmt: skip
    raise AssertionError("the operation is finite when its rows are computed one by one")


def _blamed(program: Program, rows: int, strange: NDArray[np.int64]) -> tuple[Region | None, NDArray[np.int64]]:
    """The region to be blamed and the strange places in it."""
    found = []
    for region in program.regions:
        count = region.count(rows)
        inside = strange[np.searchsorted(strange, region.at) : np.searchsorted(strange, region.at + count)]
        if len(inside):
            found.append((ROLES.index(region.role), region, inside))
    if not found:
        return None, strange
    _role, region, inside = min(found, key=lambda one: one[0])
    return region, inside


def _index(region: Region | None, place: int, rows: int) -> tuple[int, ...]:
    if region is None:
        return (place,)
    shape = (rows, *region.shape) if region.per_sample else region.shape
    return tuple(int(i) for i in np.unravel_index(place - region.at, shape))


def _updated(program: Program, operation: Operation, row: NDArray[np.int64]) -> Any:
    """The parameter that a row of the update works on."""
    of_layer = [t for t in program.tensors if t.parameter.trained and t.path == operation.path]
    starts = {t.gradient: t for t in of_layer} | {t.master: t for t in of_layer if t.master}
    for entry in row[layout.FIRST :]:
        if int(entry) in starts:
            return starts[int(entry)]
    return of_layer[0] if of_layer else None


def _as_updated(program: Program, region: Region | None, operation: Operation, row: NDArray[np.int64]) -> Region | None:
    """The place of the updates in the shape of the parameter whose update stands there."""
    tensor = _updated(program, operation, row) if region is not None and region.role == "update" else None
    return region if tensor is None or region is None else replace(region, shape=tensor.parameter.shape)


def _owner(program: Program, region: Region | None, operation: Operation, row: NDArray[np.int64]) -> str:
    if region is None or region.role == "update":
        return operation.path
    return region.path


def _name(program: Program, region: Region | None, operation: Operation, row: NDArray[np.int64]) -> str:
    if region is None:
        return ""
    if region.role == "update":  # one place for all parameters, of which a row says which one it works on
        tensor = _updated(program, operation, row)
        return tensor.parameter.name if tensor is not None else ""
    return region.name


def _setting(run: Run, step: int, path: str, value: float, line: Array, skipped: bool, kept: NDArray[Any]) -> Remains:
    """A setting that is no number."""
    in_network = path.startswith("network.")
    owner = path.removeprefix("network.").rpartition(".")[0] if in_network else "optimizer"
    operations = run.program.operations
    own = [o for o in operations if o.path == owner and o.phase != "data"]
    operation = own[0] if own else operations[-1]
    arena = run.machine.arena.copy()
    return Remains(
        run=run, operation=operation, row=run.program.table[operation.first_row], kernel="", role="setting",
        owner=owner, name=path, index=(), sample=None, value=value, count=1, of=1, before=arena, after=arena,
        hyper=run.machine.hyper.copy(), region=None, line=line[0].copy(), skipped=skipped, step=step, kept=kept,
    )  # fmt: skip


def _start(run: Run, step: int, line: Array, skipped: bool, kept: NDArray[Any]) -> Remains:
    """Something that is remembered was no number before the step began."""
    program, arena = run.program, run.machine.arena
    strange = np.flatnonzero(~np.isfinite(arena))
    region, places = _blamed(program, program.batch_size, strange)
    assert region is not None
    first = program.operations[0]
    return Remains(
        run=run, operation=first, row=program.table[0], kernel="", role=region.role, owner=region.path,
        name=region.name, index=_index(region, int(places[0]), program.batch_size), sample=None,
        value=float(arena[places[0]]), count=len(places), of=region.count(program.batch_size), before=arena.copy(),
        after=arena.copy(), hyper=run.machine.hyper.copy(), region=region, line=line[0].copy(), skipped=skipped,
        step=step, kept=kept,
    )  # fmt: skip


# --- words


def layer_name(program: Program, path: str) -> str:
    """What a person calls a layer: "Dense 2"."""
    words = {
        "data": _("the data"),
        "targets": _("the data"),
        "loss": _("the loss"),
        "optimizer": _("the optimizer"),
        "": _("the optimizer"),
    }
    if path in words:
        return words[path]
    card = next((card for card in program.plan.cards if card.path == path), None)
    return f"{card.layer.title()} {path}" if card is not None else path


PHASES = {
    "data": N_("the choice of the minibatch"),
    "forward": N_("the way forward through {layer}"),
    "loss": N_("the loss"),
    "backward": N_("the way back through {layer}"),
    "update": N_("the update of {layer}"),
}


def _operation_text(remains: Remains) -> str:
    operation, program = remains.operation, remains.run.program
    if not remains.kernel and remains.role != "setting":
        return _("what was there before the step")
    if remains.role == "setting":
        return _("the settings")
    if operation.label:
        from ..gradient_steps.base import chain

        link = next(
            (link for link in chain(program.experiment.training) if link.step.kind_name() == operation.label), None
        )
        words = _(link.step.label).lower() if link is not None else operation.label.replace("_", " ")
        return _("the link {label} of the chain").format(label=words)
    if operation.phase == "backward" and operation.path == "loss":
        return _("the gradient of the loss")
    return _(PHASES[operation.phase]).format(layer=layer_name(program, operation.path))


def _tensor_text(remains: Remains) -> str:
    program = remains.run.program
    layer, name = layer_name(program, remains.owner), remains.name
    precision = program.experiment.training.precision
    slot = remains.region.slot.replace("_", " ") if remains.region is not None else ""
    words = {
        "input": _("the inputs x"),
        "target": _("the targets"),
        "activation": _("the output a of {layer}"),
        "output gradient": _("the gradient ∂L/∂a of {layer}"),
        "share": _("a share of the gradient ∂L/∂a of {layer}"),
        "gradient": _("the gradient ∂L/∂{name} of {layer}"),
        "parameter": _("the {name} of {layer}"),
        "copy": _("the {precision} copy of the {name} of {layer}"),
        "memory": _("the {slot} of the {name} of {layer}"),
        "scalar": _("the number {name} of the optimizer"),
        "inner": _("the inner value {name} of {layer}"),
        "index": _("the inner value {name} of {layer}"),
        "room": _("the inner value {name} of {layer}"),
        "update": _("the update of the {name} of {layer}"),
        "loss": _("the loss"),
        "norm": _("a norm of the gradient"),
        "setting": _("the setting {name}"),
    }
    shown = (
        _(name)
        if remains.role in ("inner", "index", "room")
        else name.replace("_", " ")
        if remains.role != "setting"
        else name
    )
    return words[remains.role].format(layer=layer, name=shown, slot=slot, precision=precision)


def _value_text(value: float) -> str:
    return _("not a number (NaN)") if math.isnan(value) else _("infinite (∞)") if value > 0 else _("infinite (−∞)")


# --- what the operation was given


def _operands(remains: Remains) -> tuple[Operand, ...]:
    """The operation's operands in the row's order, with their ranges before the row."""
    if not remains.kernel:
        return ()
    program, rows = remains.run.program, remains.run.machine.rows
    operation, entries = remains.operation, {int(entry) for entry in remains.row[layout.FIRST :]}
    found: list[Operand] = []
    for region in program.regions:
        if region is remains.region and operation.phase in ("forward", "loss"):
            continue
        name = _operand_name(remains, region, entries)
        count = region.count(rows)
        values = remains.before[region.at : region.at + count]
        if name is None or not len(values) or not np.isfinite(values).all() or not values.any():
            continue
        here = _here(remains, region, values)
        found.append(Operand(name, float(values.min()), float(values.max()), here))
    if operation.phase == "update" and remains.role in ("update", "parameter", "memory"):
        rate = float(remains.line[layout.LEARNING_RATE])
        found.append(Operand(_("learning rate"), rate, rate))
    return tuple(found)


def _operand_name(remains: Remains, region: Region, entries: set[int]) -> str | None:
    """What a region is called as an operand of the failing operation; None where it is none."""
    operation = remains.operation
    mine = region.path == operation.path
    updated = _updated(remains.run.program, operation, remains.row) if operation.phase == "update" else None
    match region.role:
        case "parameter" | "copy":
            tensor = next(
                (t for t in remains.run.program.tensors if t.path == region.path and t.parameter.name == region.name),
                None,
            )
            read = tensor is not None and (tensor.master if operation.phase == "update" else tensor.at) == region.at
            if updated is not None:
                read = read and updated.parameter.name == region.name
            return region.name.replace("_", " ") if mine and read else None
        case "activation" | "input":
            if region.at in entries:
                return "a" if mine else "x"
            return None
        case "output gradient" | "share":
            return "∂L/∂a" if region.at in entries and region is not remains.region else None
        case "gradient" | "memory":
            if updated is None or not mine or updated.parameter.name != region.name:
                return None
            return f"∂L/∂{region.name}" if region.role == "gradient" else region.slot.replace("_", " ")
        case "inner":
            return _(region.name) if mine and region.at in entries and operation.phase == "backward" else None
        case "target":
            return _("targets") if operation.path == "loss" else None
    return None


def _here(remains: Remains, region: Region, values: NDArray[Any]) -> float | None:
    """The operand at the place of the result: of the same shape, or of the same unit."""
    result = remains.region
    if result is None or not remains.index:
        return None
    if region.per_sample and _mixes(remains):
        return None  # the result there is made of many of its numbers
    if region.per_sample == result.per_sample and region.shape == result.shape:
        shape = (-1, *region.shape) if region.per_sample else region.shape
        return float(values.reshape(shape)[remains.index])
    if not region.per_sample and len(region.shape) == 1 and result.shape and region.shape[0] == result.shape[-1]:
        return float(values[remains.index[-1]])
    return None


def _mixes(remains: Remains) -> bool:
    """Whether each result of the operation is made of many numbers of a sample: a layer with weights."""
    return any(t.path == remains.operation.path and t.parameter.weight for t in remains.run.program.tensors)


def exact_sum(remains: Remains) -> float | None:
    """What a dense layer should have put out at the place of the result, computed in float64; None for others."""
    if remains.kernel != "dense_forward" or len(remains.index) != 2:
        return None
    layer = next(entry for entry in remains.run.program.layers if entry.path == remains.operation.path)
    sample, unit = remains.index
    n, m = layer.given.width, layer.wire.width
    x = remains.before[layer.given.at + sample * n :][:n].astype(np.float64)
    w = remains.before[int(remains.row[layout.FIRST + 2]) :][: n * m].reshape(n, m)[:, unit].astype(np.float64)
    return float(x @ w) if np.isfinite(x).all() and np.isfinite(w).all() else None


# --- the steps before


def _growth(remains: Remains) -> tuple[Growth, ...]:
    view = remains.run.record.view(whole=True)
    known = view.kept_steps <= remains.step
    steps = view.kept_steps[known][-WINDOW - 1 :]
    if not len(steps):
        return ()

    def series(quantity: str, layer: int = -1) -> Array:
        values = np.asarray(view.values(quantity), dtype=np.float64)[: len(view.kept_steps)][known][-WINDOW - 1 :]
        return np.abs(values if layer < 0 else values[:, layer])

    found = [_grown(_("loss"), steps, series("loss"))]
    if np.isfinite(series("gradient_norm")).any():
        found.append(_grown(_("norm of the gradient"), steps, series("gradient_norm")))
    layer = next((i for i, path in enumerate(view.layers) if path == remains.owner), None)
    if layer is not None:
        title = layer_name(remains.run.program, remains.owner)
        if remains.role in ("output gradient", "share", "gradient"):
            largest = np.maximum(series("gradient.min", layer), series("gradient.max", layer))
            found.append(_grown(_("largest |∂L/∂a| of {layer}").format(layer=title), steps, largest))
        elif remains.role in ("parameter", "update", "memory", "copy"):
            found.append(
                _grown(_("norm of the weights of {layer}").format(layer=title), steps, series("weight.norm", layer))
            )
        else:
            largest = np.maximum(series("activation.min", layer), series("activation.max", layer))
            found.append(_grown(_("largest |a| of {layer}").format(layer=title), steps, largest))
    return tuple(one for one in found if np.isfinite(one.values).any())


def _grown(name: str, steps: NDArray[np.int64], values: Array) -> Growth:
    finite = np.flatnonzero(np.isfinite(values) & (values > 0.0))
    if len(finite) < 2:
        return Growth(name, steps, values, math.nan if not len(finite) else 1.0, 0)
    known, at = values[finite], steps[finite]
    start = int(np.argmin(known))
    taken = int(at[-1] - at[start])
    if taken <= 0 or known[-1] <= known[start]:
        return Growth(name, steps, values, 1.0, 0)
    factor = math.exp((math.log(known[-1]) - math.log(known[start])) / taken)
    return Growth(name, steps, values, factor, taken)


# --- the whole


_known: WeakKeyDictionary[Run, tuple[Any, Autopsy | None]] = WeakKeyDictionary()


def examine(run: Run) -> Autopsy | None:
    """What happened in the step that ended a run; None where none did. The run stays as it was, bit for bit."""
    from .causes import cause_of

    if run.failed_step is None:
        return None
    key = run.failed_step, run.failed_network, tuple(run.record.events), run.step == run.failed_step
    if run in _known and _known[run][0] == key:
        return _known[run][1]
    inside = run.others[run.failed_network - 1] if run.failed_network else run
    step = run.failed_step
    with _aside(inside):
        remains = _find(inside, step)
        found = None
        if remains is not None:
            partial = Autopsy(
                step=step,
                network=run.failed_network,
                phase=remains.operation.phase,
                path=remains.operation.path,
                operation=_operation_text(remains),
                kernel=remains.kernel,
                role=remains.role,
                owner=remains.owner,
                tensor=_tensor_text(remains),
                name=remains.name,
                index=remains.index,
                sample=remains.sample,
                value=_value_text(remains.value),
                count=remains.count,
                of=remains.of,
                before=_before(remains),
                operands=_operands(remains),
                growth=_growth(remains),
            )
            found = cause_of(remains, partial)
    _known[run] = key, found
    return found


def _before(remains: Remains) -> float | None:
    """What stood at the place of the result before the row, where that was another finite number."""
    if remains.region is None or not remains.kernel:
        return None
    shape = (-1, *remains.region.shape) if remains.region.per_sample else remains.region.shape
    count = remains.region.count(remains.run.machine.rows)
    held = remains.before[remains.region.at : remains.region.at + count].reshape(shape)
    value = float(held[remains.index])
    return value if math.isfinite(value) and value != 0.0 else None
