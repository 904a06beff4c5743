"""An experiment says everything that decides how a training goes: data, network, loss, training, seed.

It is small, immutable and the only thing that the window, undo, files, lessons and lanes touch. The same experiment on the
same machine gives the same run, bit for bit. Files are JSON; `load` refuses what it does not understand and says where.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from .data.base import DataSet
from .data.digits import Digits
from .errors import InputError
from .fields import Described, Kind, about, build, describe, json_schema
from .gradient_steps.base import Clipping, Optimizer, Regularizer
from .gradient_steps.sgd import Sgd
from .layers.base import Layer
from .losses import Loss, SoftmaxCrossEntropy
from .registry import Registry
from .schedules import ConstantSchedule, Schedule
from .text import N_, _

FORMAT = "layerscope-experiment"
VERSION = 1
LARGEST_FILE = 8 * 1024 * 1024  # bytes; an experiment is a few kilobytes
DEEPEST = 40  # nesting of braces and brackets; keeps hostile files from exhausting the stack


class Averaging(Kind, frozen=True, kw_only=True):
    """Averages weights or predictions over time."""

    registry = Registry("averaging")


class Training(Described, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the network is trained."""

    batch_size: Annotated[
        int,
        about(N_("batch size"), N_("Samples that one step looks at."), unit=N_("samples"), minimum=1, maximum=65536, scale="log"),
    ] = 32
    epochs: Annotated[
        int,
        about(N_("epochs"), N_("How often training goes through all samples."), minimum=1, maximum=1_000_000, scale="log"),
    ] = 20
    precision: Annotated[
        Literal["float32", "float64"],
        about(N_("precision"), N_("Numbers that the network computes with: 32 bits as usual, or 64 for checks.")),
    ] = "float32"
    shuffle: Annotated[
        bool, about(N_("shuffle"), N_("Go through the samples in a new random order every epoch."))
    ] = True
    optimizer: Annotated[Optimizer, about(N_("optimizer"), N_("How gradients become new weights."))] = Sgd()
    clipping: Annotated[Clipping | None, about(N_("clipping"), N_("Shortens gradients that are too long."))] = None
    schedule: Annotated[Schedule, about(N_("schedule"), N_("Changes the learning rate over time."))] = ConstantSchedule()
    regularizers: Annotated[
        tuple[Regularizer, ...], about(N_("regularizers"), N_("Pull weights toward zero."))
    ] = ()
    averaging: Annotated[Averaging | None, about(N_("averaging"), N_("Averages weights over time."))] = None


class Experiment(Described, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One experiment, complete."""

    format: Annotated[Literal["layerscope-experiment"], about(N_("format"))] = FORMAT
    version: Annotated[int, about(N_("version"), minimum=1, maximum=VERSION)] = VERSION
    name: Annotated[str, about(N_("name"), N_("Appears in the window, on figures and in files."), length=(0, 200))] = ""
    seed: Annotated[
        int, about(N_("seed"), N_("Decides every random draw; another seed is another run."), minimum=0, maximum=2**31 - 1)
    ] = 0
    data: Annotated[DataSet, about(N_("data"))] = Digits()
    network: Annotated[tuple[Layer, ...], about(N_("network"), N_("The layers, from the data to the loss."))] = ()
    loss: Annotated[Loss, about(N_("loss"))] = SoftmaxCrossEntropy()
    training: Annotated[Training, about(N_("training"))] = Training()


# from version -> what turns a file of that version into the next one, on plain JSON values
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(value: dict[str, Any]) -> dict[str, Any]:
    """Plain values of any known version as plain values of this version; an InputError for a version from the future."""
    version = value.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(_("must be a version number from 1 to {newest}").format(newest=VERSION), "version")
    if version > VERSION:
        raise InputError(
            _("was written by a newer Layerscope (file version {version}, this program reads up to {newest}); update it").format(
                version=version, newest=VERSION
            ),
            "version",
        )
    while version < VERSION:
        value = MIGRATIONS[version](dict(value))
        version += 1
        value["version"] = version
    return value


def from_json(text: bytes) -> Experiment:
    """The experiment that a file's bytes describe, or an InputError that names the place."""
    if len(text) > LARGEST_FILE:
        raise InputError(_("is too large for an experiment ({size} bytes)").format(size=len(text)))
    if b"\0" in text:
        raise InputError(_("is not an experiment: a binary file; open a .json file written by Layerscope"))
    if _depth(text) > DEEPEST:
        raise InputError(_("is nested too deeply to be an experiment"))
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = str(error).removeprefix("JSON is malformed: ")
        raise InputError(
            _("is not valid JSON ({reason}); it may be cut off or damaged, go back to an earlier copy").format(reason=reason)
        ) from None
    if not isinstance(value, dict):
        raise InputError(_("is not an experiment: it must be one JSON object in braces"))
    if value.get("format") != FORMAT:
        raise InputError(_('is not an experiment: "format" must be "{format}"').format(format=FORMAT), "format")
    _refuse_repeated_keys(text)
    return build(Experiment, migrate(value))


def _depth(text: bytes) -> int:
    deepest = depth = 0
    quoted = escaped = False
    for byte in text:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse_repeated_keys(text: bytes) -> None:
    # A JSON parser silently keeps the last of two equal keys; the person who wrote both means one of them.
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for name, value in pairs:
            if name in seen:
                raise InputError(_('the key "{key}" stands twice in one object; keep one').format(key=name), name)
            seen[name] = value
        return seen

    json.loads(text, object_pairs_hook=once)


def to_json(experiment: Experiment) -> bytes:
    """The file's bytes: complete, readable, the same for equal experiments."""
    return msgspec.json.format(msgspec.json.encode(experiment), indent=2) + b"\n"


def load(path: str | Path) -> Experiment:
    """Read an experiment file; every complaint is an InputError with the file's name."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(_("cannot be read: {reason}").format(reason=error.strerror or error), "", str(path)) from None
    try:
        return from_json(text)
    except InputError as error:
        raise error.within(str(path)) from None


def identity(experiment: Experiment) -> str:
    """A hash of everything that decides the run (the name does not), 12 hexadecimal digits."""
    plain = msgspec.to_builtins(experiment)
    plain.pop("name")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()[:12]


def schema() -> dict[str, Any]:
    """The JSON Schema of experiment files."""
    return {"title": "Layerscope experiment", **json_schema(Experiment)}


def value_at(experiment: Experiment, path: str) -> Any:
    """The value at a path such as "network.0.units"; an InputError when there is none."""
    here: Any = msgspec.to_builtins(experiment)
    for done, step in enumerate(path.split(".")):
        if isinstance(here, list | tuple) and step.isdigit() and int(step) < len(here):
            here = here[int(step)]
        elif isinstance(here, Mapping) and step in here:
            here = here[step]
        else:
            raise InputError(_("there is no such setting"), ".".join(path.split(".")[: done + 1]))
    return here


def with_value(experiment: Experiment, path: str, value: Any) -> Experiment:
    """The experiment with one setting changed, checked like a file. `value` is a plain JSON value.

    A kind may be set by name alone: "training.optimizer" = "momentum" keeps the settings that both kinds share.
    """
    plain = _mutable(msgspec.to_builtins(experiment))
    steps = path.split(".")
    here: Any = plain
    for done, step in enumerate(steps[:-1]):
        place = ".".join(steps[: done + 1])
        here = _step_into(here, step, place)
    last, whole = steps[-1], path
    if isinstance(here, list):
        if not last.isdigit() or int(last) >= len(here):
            raise InputError(_("there is no such item; the list has {count}").format(count=len(here)), whole)
        here[int(last)] = value
    elif isinstance(here, dict):
        old = here.get(last)
        if isinstance(old, dict) and "kind" in old and isinstance(value, str):
            here[last] = _changed_kind(experiment, steps, old, value)
        elif last == "kind" and isinstance(here.get("kind"), str) and len(steps) > 1:
            return with_value(experiment, ".".join(steps[:-1]), value)
        else:
            here[last] = value
    else:
        raise InputError(_("there is no such setting"), whole)
    return build(Experiment, plain)


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _mutable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mutable(v) for v in value]
    return value


def _step_into(here: Any, step: str, place: str) -> Any:
    if isinstance(here, list) and step.isdigit() and int(step) < len(here):
        return here[int(step)]
    if isinstance(here, dict) and step in here:
        return here[step]
    if isinstance(here, dict):
        from .errors import unknown_key

        raise unknown_key(step, list(here), place)
    raise InputError(_("there is no such setting"), place)


def family_at(experiment: Experiment, steps: list[str]) -> type[Kind] | None:
    """The family whose kind stands at a path, or None."""
    here: Any = experiment
    family: Any = None
    for step in steps:
        if isinstance(here, tuple):
            here = here[int(step)]
            continue
        field = {f.name: f for f in describe(type(here))}.get(step)
        if field is None:
            return None
        family = field.holds
        here = getattr(here, step)
    return family if isinstance(family, type) and issubclass(family, Kind) else None


def _changed_kind(experiment: Experiment, steps: list[str], old: dict[str, Any], name: str) -> dict[str, Any]:
    family = family_at(experiment, steps)
    if family is None:
        return {"kind": name}
    kind = family.registry.get(name, ".".join(steps))
    shared = {f.name for f in describe(kind)}
    return {"kind": name, **{k: v for k, v in old.items() if k in shared and k != "kind"}}
