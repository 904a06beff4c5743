"""An experiment says everything that decides how a training goes: data, network, loss, training, seed.

It is small, immutable and the only thing that the window, undo, files, lessons and lanes touch. The same experiment on
the same machine gives the same run, bit for bit. Files are JSON; `load` refuses what it does not understand and says
where.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from .averaging import Averaging
from .data.base import DataSet
from .data.digits import Digits
from .errors import InputError, cut, join, shown, unknown_key
from .fields import Described, Field, Kind, about, build, describe, json_schema
from .gradient_steps.base import Clipping, Optimizer, Regularizer
from .gradient_steps.sgd import Sgd
from .layers.base import Layer
from .loss_scale import LossScale
from .losses import Loss
from .losses.softmax_cross_entropy import SoftmaxCrossEntropy
from .schedules.base import ConstantSchedule, Schedule
from .stopping import EarlyStopping
from .text import N_, _

FORMAT: Final = "layerscope-experiment"
VERSION = 1
LARGEST_FILE = 8 * 1024 * 1024  # bytes; an experiment is a few kilobytes
DEEPEST = 40  # nesting of braces and brackets; keeps hostile files from exhausting the stack
UTF_8_MARK = b"\xef\xbb\xbf"  # some editors on Windows put it first; it says nothing
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # what Windows PowerShell writes with ">"
BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*(?:"|$)|[\[\]{}]', re.DOTALL)  # strings are matched to pass over them


class Training(Described, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the network is trained."""

    batch_size: Annotated[
        int,
        about(
            N_("batch size"),
            N_("Samples that one step looks at."),
            unit=N_("samples"),
            minimum=1,
            maximum=65536,
            scale="log",
        ),
    ] = 32
    epochs: Annotated[
        int,
        about(
            N_("epochs"),
            N_("How often training goes through all samples."),
            minimum=1,
            maximum=1_000_000,
            scale="log",
            restarts=False,
        ),
    ] = 20
    precision: Annotated[
        Literal["float32", "float64", "float16", "bfloat16"],
        about(
            N_("precision"),
            N_(
                "Numbers that the network computes with: 32 bits as usual, 64 for checks, or one of the two formats of "
                "16 bits of graphics processors, imitated: every result is rounded."
            ),
        ),
    ] = "float32"
    master_weights: Annotated[
        bool,
        about(
            N_("master weights"),
            N_(
                "Training changes weights of 32 bits, of which the layers read rounded copies. Without them, the "
                "weights themselves are rounded, and an update that is small beside its weight is lost."
            ),
            shown_when=("precision", ("float16", "bfloat16")),
        ),
    ] = True
    loss_scale: Annotated[
        LossScale | None,
        about(
            N_("loss scale"),
            N_("Multiplies the gradient of the loss on the way back, so that small gradients are not rounded to zero."),
        ),
    ] = None
    shuffle: Annotated[bool, about(N_("shuffle"), N_("Go through the samples in a new random order every epoch."))] = (
        True
    )
    optimizer: Annotated[Optimizer, about(N_("optimizer"), N_("How gradients become new weights."))] = Sgd()
    clipping: Annotated[Clipping | None, about(N_("clipping"), N_("Shortens gradients that are too long."))] = None
    schedule: Annotated[Schedule, about(N_("schedule"), N_("Changes the learning rate over time."))] = (
        ConstantSchedule()
    )
    regularizers: Annotated[tuple[Regularizer, ...], about(N_("regularizers"), N_("Pull weights toward zero."))] = ()
    early_stopping: Annotated[
        EarlyStopping | None, about(N_("early stopping"), N_("Ends the training when validation no longer improves."))
    ] = None
    averaging: Annotated[
        Averaging | None, about(N_("averaging"), N_("Evaluates with averaged weights or averaged answers."))
    ] = None


class Experiment(Described, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One experiment, complete."""

    format: Annotated[Literal["layerscope-experiment"], about(N_("format"))] = FORMAT
    version: Annotated[int, about(N_("version"), minimum=1, maximum=VERSION)] = VERSION
    name: Annotated[str, about(N_("name"), N_("Appears in the window, on figures and in files."), length=(0, 200))] = ""
    seed: Annotated[
        int,
        about(N_("seed"), N_("Decides every random draw; another seed is another run."), minimum=0, maximum=2**31 - 1),
    ] = 0
    data: Annotated[DataSet, about(N_("data"))] = Digits()
    network: Annotated[
        tuple[Layer, ...], about(N_("network"), N_("The layers, from the data to the loss."), length=(0, 1000))
    ] = ()
    loss: Annotated[Loss, about(N_("loss"))] = SoftmaxCrossEntropy()
    training: Annotated[Training, about(N_("training"))] = Training()


# from version -> what turns a file of that version into the next one, on plain JSON values
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(value: dict[str, Any]) -> dict[str, Any]:
    """Plain values of any known version as plain values of this version; an InputError for one from the future."""
    version = value.get("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise InputError(
            _("must be a version number up to {newest}, not {value}").format(newest=VERSION, value=shown(version)),
            "version",
        )
    if version > VERSION:
        raise InputError(
            _(
                "was written by a newer Layerscope (file version {version}, this one reads up to {newest}); update it"
            ).format(version=shown(version), newest=VERSION),
            "version",
        )
    while version < VERSION:
        try:
            value = MIGRATIONS[version](_mutable(value))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError):
            # Migrations run on unchecked values, so a wrong file of an old version can trip them.
            raise InputError(
                _(
                    "is damaged: it cannot be brought from file version {old} to {new}; go back to an earlier copy"
                ).format(old=version, new=version + 1)
            ) from None
        version += 1
        value["version"] = version
    return value


def from_json(text: bytes) -> Experiment:
    """The experiment that a file's bytes describe, or an InputError that names the place."""
    if len(text) > LARGEST_FILE:
        raise InputError(
            _(
                "is larger than {size} megabytes, too large for an experiment; open a .json file written by Layerscope"
            ).format(size=LARGEST_FILE // 1024**2)
        )
    if not text.strip():
        raise InputError(_("is empty; go back to an earlier copy"))
    if text.startswith(UTF_16):
        raise InputError(_("is stored as UTF-16; save it again as UTF-8"))
    text = text.removeprefix(UTF_8_MARK)
    if b"\0" in text:
        raise InputError(_("is not an experiment but a binary file; open a .json file written by Layerscope"))
    if _nested_too_deeply(text):
        raise InputError(_("is nested too deeply to be an experiment; open a .json file written by Layerscope"))
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _not_json(error, text) from None
    if not isinstance(value, dict):
        raise InputError(_("is not an experiment: it must be one JSON object in braces"))
    if value.get("format") != FORMAT:
        raise InputError(_('is not an experiment: "format" must be "{format}"').format(format=FORMAT), "format")
    _refuse_repeated_keys(text)
    value = migrate(value)
    return build(Experiment, {key: item for key, item in value.items() if key not in ("format", "version")})


def _not_json(error: Exception, text: bytes) -> InputError:
    """What is said of text that a JSON parser refused, with line and column where it says so."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if isinstance(error, UnicodeDecodeError):
        reason = _("a character that is not UTF-8")
    place = ""
    if at := re.search(r" \(byte (\d+)\)$", reason):
        before = text[: int(at[1])]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        reason, place = reason[: at.start()], _("line {line}, column {column}").format(line=line, column=column)
    return InputError(
        _("is not valid JSON ({reason}); it may be cut off or damaged, mend it or go back to an earlier copy").format(
            reason=reason
        ),
        place,
    )


def _nested_too_deeply(text: bytes) -> bool:
    depth = 0
    for token in BRACKETS.finditer(text):
        if token[0] in (b"{", b"["):
            depth += 1
            if depth > DEEPEST:
                return True
        elif token[0] in (b"}", b"]"):
            depth -= 1
    return False


class _Repeated(str):
    """Stands for an object that has this key twice, until the place of that object is known."""


def _refuse_repeated_keys(text: bytes) -> None:
    # A JSON parser silently keeps the last of two equal keys; the person who wrote both means one of them.
    def once(pairs: list[tuple[str, Any]]) -> Any:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                return _Repeated(name)
            found[name] = value
        return found

    def look(value: Any, place: str) -> None:
        if isinstance(value, _Repeated):
            raise InputError(
                _('the key "{key}" stands twice in one object; keep one').format(key=cut(value)), join(place, value)
            )
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in inside:
            look(item, join(place, str(key)))

    # Numbers do not matter here, and Python's own parser stumbles over those with 5,000 digits.
    look(json.loads(text, object_pairs_hook=once, parse_int=len, parse_float=len), "")


def to_json(experiment: Experiment) -> bytes:
    """The file's bytes: complete, readable, the same for equal experiments."""
    return msgspec.json.format(msgspec.json.encode(_written(experiment)), indent=2) + b"\n"


def _written(experiment: Experiment) -> Any:
    """Plain values as files hold them: of being muted, only muted layers speak."""

    def look(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: look(v) for k, v in value.items() if not (k == "muted" and v is False)}
        return [look(v) for v in value] if isinstance(value, list | tuple) else value

    return look(msgspec.to_builtins(experiment))


def load(path: str | Path) -> Experiment:
    """Read an experiment file; every complaint is an InputError with the file's name."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise InputError(_("cannot be read: {reason}; check the path").format(reason=reason), "", str(path)) from None
    try:
        return from_json(text)
    except InputError as error:
        raise error.within(str(path)) from None


def identity(experiment: Experiment) -> str:
    """A hash of everything that decides the run (the name does not), 12 hexadecimal digits."""
    plain = _written(experiment)
    plain.pop("name")
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()[:12]


def schema() -> dict[str, Any]:
    """The JSON Schema of experiment files."""
    # A file must say what it is; the constructor knows it without being told.
    plain = json_schema(Experiment)
    return {"title": "Layerscope experiment", **plain, "required": ["format", *plain.get("required", [])]}


def value_at(experiment: Experiment, path: str) -> Any:
    """The value at a path such as "network.0.units"; an InputError when there is none."""
    here: Any = msgspec.to_builtins(experiment)
    place = ""
    for step in path.split("."):
        here = _step_into(here, step, place)
        place = join(place, step)
    return here


def with_value(experiment: Experiment, path: str, value: Any) -> Experiment:
    """The experiment with one setting changed, checked like a file. `value` is a plain JSON value.

    A kind may be set by name alone: "training.optimizer" = "momentum" keeps the settings that both kinds share.
    """
    return with_values(experiment, [(path, value)])


def with_values(experiment: Experiment, changes: Sequence[tuple[str, Any]]) -> Experiment:
    """The experiment with several settings changed at once, (path, value) as for `with_value`.

    Each is understood as a change of the experiment as given, so no path may lie inside of another one.
    """
    plain = _mutable(msgspec.to_builtins(experiment))
    for path, value in changes:
        _set(plain, experiment, path, value)
    return build(Experiment, plain)


def _set(plain: Any, experiment: Experiment, path: str, value: Any) -> None:
    """Change one setting in the plain values of an experiment."""
    *way, last = path.split(".")
    if last == "kind" and way and isinstance(value, str) and family_at(experiment, way) is not None:
        _set(plain, experiment, ".".join(way), value)
        return
    here: Any = plain
    place = ""
    for step in way:
        whole = join(place, step)
        field, _there = _field_at(experiment, whole.split("."))
        if isinstance(here, dict) and here.get(step, step) is None and field is not None and field.sort == "struct":
            here[step] = {}  # settings that all have defaults: to set one of them switches them on
        here = _step_into(here, step, place)
        place = whole
    if isinstance(here, dict):
        old = here.get(last)  # `build` complains about a name that does not exist, and knows those that do
    else:
        old = _step_into(here, last, place)
    family = family_at(experiment, [*way, last])
    if isinstance(value, str) and family is not None:
        value = _changed_kind(family, old, value, join(place, last))
    here[last if isinstance(here, dict) else int(last)] = value


def with_data_paths(experiment: Experiment, old: Path | None, new: Path) -> Experiment:
    """The experiment with the paths of its data files as they are to be written in a file in folder `new`.

    old   folder that relative paths start at now, None: the working folder

    A file in the new folder or below gets a relative path, so that both can be handed on together.
    """
    changed = {}
    for field in describe(type(experiment.data)):
        path = getattr(experiment.data, field.name)
        if not field.files or not path.strip():
            continue
        try:
            whole = (Path(old or ".") / Path(path).expanduser()).resolve()
            inside = whole.is_relative_to(new.resolve())
        except (OSError, ValueError, RuntimeError):
            continue  # a path that cannot be followed is written as it is, and refused where it is used
        written = whole.relative_to(new.resolve()).as_posix() if inside else str(whole)
        # What a person has written as relative to the same place stays, "../data/x.csv" too.
        same = old is not None and old.resolve() == new.resolve() and not Path(path).is_absolute()
        if not same and written != path:
            changed[field.name] = written
    if not changed:
        return experiment
    return msgspec.structs.replace(experiment, data=msgspec.structs.replace(experiment.data, **changed))


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _mutable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_mutable(v) for v in value]
    return value


def _step_into(here: Any, step: str, place: str) -> Any:
    """What stands under `step` in plain values `here` at `place`, or an InputError that says what there is."""
    if isinstance(here, Mapping) and step in here:
        return here[step]
    if isinstance(here, list | tuple) and _is_index(step) and int(step) < len(here):
        return here[int(step)]
    raise _no_such(here, step, place)


def _no_such(here: Any, step: str, place: str) -> InputError:
    whole = join(place, step)
    if isinstance(here, Mapping):
        return unknown_key(step, list(here), whole)
    if isinstance(here, list | tuple):
        count = len(here)
        if count == 0:
            return InputError(_("there is no such item, the list is empty"), whole)
        return InputError(_("there is no such item; the list has 0 to {last}").format(last=count - 1), whole)
    if here is None:
        return InputError(_("there is no such setting: {place} is not set; set it first").format(place=place), whole)
    return InputError(_("there is no such setting: {place} is {value}").format(place=place, value=shown(here)), whole)


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10


def family_at(experiment: Experiment, steps: list[str]) -> type[Kind] | None:
    """The family whose kind may stand at a path, or None where none may."""
    field, here = _field_at(experiment, steps)
    if field is None or isinstance(here, tuple):
        return None  # nothing, or a list of kinds and not one
    return field.holds if isinstance(field.holds, type) and issubclass(field.holds, Kind) else None


def _field_at(experiment: Experiment, steps: list[str]) -> tuple[Field | None, Any]:
    """The field that a path ends in, or in whose list, and what stands there; (None, None) where there is none."""
    here: Any = experiment
    field: Field | None = None
    for step in steps:
        if isinstance(here, tuple):
            if not _is_index(step) or int(step) >= len(here):
                return None, None
            here = here[int(step)]
            continue
        if not isinstance(here, Described):
            return None, None
        field = next((f for f in describe(type(here)) if f.name == step), None)
        if field is None:
            return None, None
        here = getattr(here, step)
    return field, here


def _changed_kind(family: type[Kind], old: Any, name: str, place: str) -> dict[str, Any]:
    shared = {field.name for field in describe(family.registry.get(name, place))}
    kept = old if isinstance(old, Mapping) else {}
    return {"kind": name, **{k: v for k, v in kept.items() if k in shared}}
