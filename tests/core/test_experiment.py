"""Experiment files: what is written comes back the same, what is wrong gets one line with its place and a way out."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerscope.core import experiment as module
from layerscope.core.data.base import DataSet
from layerscope.core.data.digits import Digits
from layerscope.core.data.moons import Moons
from layerscope.core.errors import InputError
from layerscope.core.experiment import (
    DEEPEST,
    FORMAT,
    LARGEST_FILE,
    VERSION,
    Experiment,
    Training,
    family_at,
    from_json,
    identity,
    load,
    migrate,
    schema,
    to_json,
    value_at,
    with_value,
)
from layerscope.core.fields import Described, Field, Kind, build, describe
from layerscope.core.gradient_steps.momentum import Momentum
from layerscope.core.gradient_steps.sgd import Sgd
from layerscope.core.initializers import HeNormal, Initializer, Normal
from layerscope.core.layers.activation import ActivationLayer
from layerscope.core.layers.base import Layer
from layerscope.core.layers.dense import Dense
from layerscope.core.stopping import EarlyStopping

# Every kind of the file format; those that this version does not have yet must be refused.
CONTRACT = {
    "network.0": "dense conv2d max_pool average_pool global_average_pool flatten activation dropout batch_norm "
    "layer_norm weight_norm residual inception",
    "network.0.init": "zeros constant uniform normal inverse_n lecun_normal lecun_uniform glorot_normal "
    "glorot_uniform he_normal he_uniform orthogonal lsuv",
    "loss": "softmax_cross_entropy binary_cross_entropy mse huber",
    "training.optimizer": "sgd momentum nesterov normalized_gradient adagrad rmsprop adam adamw nadam lion",
    "training.clipping": "global_norm divide_by_norm layer_norm value",
    "training.schedule": "constant exponential step cosine warmup one_cycle reduce_on_plateau range_test",
    "training.regularizers.0": "l1 l2 decoupled max_norm",
    "training.averaging": "ema swa ensemble",
    "training.loss_scale": "static dynamic",
    "data": "xor circles moons spirals blobs checkerboard regression digits csv idx npz",
}

LECTURE = Experiment(
    name="Vanishing gradients",
    seed=7,
    data=Digits(validation=0.2),
    network=(
        Dense(units=64, init=HeNormal(gain=1.5)),
        ActivationLayer(function="tanh"),
        Dense(units=10, bias=False),
    ),
    training=Training(batch_size=64, optimizer=Sgd(learning_rate=0.1)),
)


def plain(experiment: Experiment = LECTURE) -> dict[str, Any]:
    """Return an experiment as a JSON parser would."""
    return msgspec.json.decode(to_json(experiment))


def refused(text: bytes | dict[str, Any]) -> InputError:
    """Return the complaint about a file's content, after a look at its form."""
    with pytest.raises(InputError) as caught:
        from_json(text if isinstance(text, bytes) else json.dumps(text).encode())
    return well_formed(caught.value)


def complaint(value: dict[str, Any]) -> InputError | None:
    """Return the complaint about plain values, or None when they are an experiment."""
    try:
        from_json(json.dumps(value).encode())
    except InputError as error:
        return well_formed(error)
    return None


def well_formed(error: InputError) -> InputError:
    line = str(error)
    assert line.isprintable()
    assert 10 < len(line) < 700
    assert error.problem
    assert "Traceback" not in line
    return error


def at(value: Any, path: str) -> Any:
    """Return what stands at a path of plain values."""
    for step in path.split(".") if path else []:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def changed(path: str, value: Any, start: Experiment = LECTURE) -> dict[str, Any]:
    """Return the plain values of an experiment with one of them replaced."""
    whole = plain(start)
    way, _, last = path.rpartition(".")
    here = at(whole, way)
    here[int(last) if isinstance(here, list) else last] = value
    return whole


# --- Any experiment there is, from the description of its fields ---


def numbers(field: Field) -> st.SearchStrategy[Any]:
    low = field.minimum if field.minimum is not None else field.above
    high = field.maximum if field.maximum is not None else field.below
    if field.sort == "integer":
        return st.integers(int(low) if low is not None else None, int(high) if high is not None else None)
    return st.floats(
        low,
        high,
        exclude_min=field.above is not None,
        exclude_max=field.below is not None,
        allow_nan=False,
        allow_infinity=False,
    )


def values(field: Field, depth: int) -> st.SearchStrategy[Any]:
    if field.sort in ("integer", "number"):
        some = numbers(field)
    elif field.sort == "boolean":
        some = st.booleans()
    elif field.sort == "choice":
        some = st.sampled_from(field.choice_names())
    elif field.sort == "text":
        some = st.text(st.characters(exclude_categories=["Cs"]), min_size=field.shortest or 0, max_size=field.longest)
    elif field.sort == "struct":
        some = documents(field.holds, depth)
    elif field.sort == "family":
        some = kinds(field.holds, depth)
    elif depth <= 0:
        some = st.just(shortest_list(field))
    elif field.sort == "families":
        some = st.lists(kinds(field.holds, depth - 1), min_size=field.shortest or 0, max_size=4)
    else:
        some = st.lists(st.lists(kinds(field.holds, depth - 1), max_size=2), min_size=field.shortest or 0, max_size=2)
    return st.none() | some if field.optional else some


def shortest_list(field: Field) -> list[Any]:
    """The list with the fewest items; those of a list of lists are empty lists."""
    return [[] for _ in range(field.shortest or 0)] if field.sort == "lists" else []


# Layers hold layers: made once for every depth, so that the strategies do not grow with every kind to its power.
@cache
def kinds(family: type[Kind], depth: int) -> st.SearchStrategy[Any]:
    found = [kind for _, kind in family.registry.items() if depth > 0 or not nests(kind)]
    return st.one_of([documents(kind, depth) for kind in found]) if found else st.nothing()


def nests(kind: type[Described]) -> bool:
    """Return whether a kind holds another of its own family."""
    return any(field.sort == "family" and issubclass(kind, field.holds) for field in describe(kind))


@cache
def documents(struct: type[Described], depth: int) -> st.SearchStrategy[dict[str, Any]]:
    fixed = {"kind": st.just(struct.kind_name())} if issubclass(struct, Kind) else {}
    required = {field.name: values(field, depth - 1) for field in describe(struct) if field.required}
    optional = {field.name: values(field, depth - 1) for field in describe(struct) if not field.required}
    return st.fixed_dictionaries({**fixed, **required}, optional=optional)


experiments = documents(Experiment, 4).map(lambda value: {**value, "format": FORMAT})


# --- Round trips ---


def test_the_default_experiment_comes_back() -> None:
    assert from_json(to_json(Experiment())) == Experiment()
    assert from_json(f'{{"format": "{FORMAT}"}}'.encode()) == Experiment()


@given(experiments)
@settings(max_examples=200, deadline=None)
def test_save_load_save_gives_the_same_bytes(value: dict[str, Any]) -> None:
    first = from_json(json.dumps(value).encode())
    text = to_json(first)
    second = from_json(text)
    assert second == first
    assert hash(second) == hash(first)
    assert to_json(second) == text
    assert identity(second) == identity(first)
    assert build(Experiment, msgspec.to_builtins(first)) == first


@given(experiments)
@settings(max_examples=50, deadline=None)
def test_every_value_of_the_file_is_kept(value: dict[str, Any]) -> None:
    def compare(given: Any, kept: Any) -> None:
        if isinstance(given, dict):
            for key, item in given.items():
                if key == "muted" and item is False:
                    assert key not in kept  # only layers that are muted say so
                else:
                    compare(item, kept[key])
        elif isinstance(given, list):
            assert len(given) == len(kept)
            for one, other in zip(given, kept, strict=True):
                compare(one, other)
        else:
            assert given == kept

    compare(value, plain(from_json(json.dumps(value).encode())))


def test_the_file_is_complete_and_readable() -> None:
    text = to_json(LECTURE).decode()
    assert text.startswith(
        '{\n  "format": "layerscope-experiment",\n  "version": 1,\n  "name": "Vanishing gradients",\n'
    )
    assert text.endswith("}\n")
    # also what was left at its default: another version may have other defaults
    assert '"label_noise": 0.0' in text
    assert '"momentum"' not in text
    assert list(plain()) == [field.name for field in describe(Experiment)]


def test_files_go_to_disk_and_back(tmp_path: Path) -> None:
    path = tmp_path / "Übung 1.json"
    path.write_bytes(to_json(LECTURE))
    assert load(path) == load(str(path)) == LECTURE


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_marks_and_line_ends_of_other_systems_do_not_matter(end: bytes) -> None:
    assert from_json(b"\xef\xbb\xbf" + to_json(LECTURE).replace(b"\n", end)) == LECTURE


def test_experiments_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        LECTURE.seed = 3  # type: ignore[misc]


# --- JSON Schema ---


def fits(value: Any, rule: dict[str, Any], root: dict[str, Any]) -> bool:
    """Return whether a value obeys a JSON Schema, as far as ours uses the language; anything else is an error here."""
    known = {
        "title",
        "description",
        "default",
        "unit",
        "$schema",
        "$defs",
        "$ref",
        "anyOf",
        "not",
        "const",
        "enum",
        "type",
    }
    known |= {"properties", "required", "additionalProperties", "items", "minimum", "maximum"}
    known |= {"exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"}
    assert set(rule) <= known, set(rule) - known
    if "$ref" in rule and not fits(value, at(root, rule["$ref"].removeprefix("#/").replace("/", ".")), root):
        return False
    if "anyOf" in rule and not any(fits(value, option, root) for option in rule["anyOf"]):
        return False
    if "not" in rule and fits(value, rule["not"], root):
        return False
    if "const" in rule and value != rule["const"]:
        return False
    if "enum" in rule and not (isinstance(value, str) and value in rule["enum"]):
        return False
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    types = {
        "object": isinstance(value, dict),
        "array": isinstance(value, list),
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "null": value is None,
        "number": is_number,
        "integer": is_number and value == int(value),
    }
    if "type" in rule and not types[rule["type"]]:
        return False
    if isinstance(value, dict) and "properties" in rule:
        if not set(rule.get("required", [])) <= set(value):
            return False
        if rule["additionalProperties"] is False and not set(value) <= set(rule["properties"]):
            return False
        return all(fits(item, rule["properties"][key], root) for key, item in value.items())
    if isinstance(value, list) and not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
        return False
    if isinstance(value, list) and "items" in rule:
        return all(fits(item, rule["items"], root) for item in value)
    if is_number:
        inside = (
            rule.get("minimum", value) <= value <= rule.get("maximum", value),
            "exclusiveMinimum" not in rule or value > rule["exclusiveMinimum"],
            "exclusiveMaximum" not in rule or value < rule["exclusiveMaximum"],
        )
        return all(inside)
    return not isinstance(value, str) or rule.get("minLength", 0) <= len(value) <= rule.get("maxLength", len(value))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


SCHEMA = schema()
odd_numbers = [-1, 0, 1, 2, 3.0, 0.5, -0.5, 1e9, 1e-9, 10**12]
odd_shapes = [None, True, False, "", "x", "relu", "sgd", [], {}, [[]], [1], {"a": 1}]
odd_kinds = [{"kind": "dense"}, {"kind": "dense", "units": 3}, {"kind": "sgd", "learning_rate": 1}, [{"kind": "xor"}]]
odd_values = st.sampled_from([*odd_numbers, *odd_shapes, *odd_kinds])


def test_the_schema_is_a_schema() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["required"] == ["format"]
    assert msgspec.json.decode(msgspec.json.encode(SCHEMA))["title"] == "Layerscope experiment"

    def look(rule: Any) -> None:
        if isinstance(rule, dict):
            if "$ref" in rule:
                assert rule["$ref"].removeprefix("#/$defs/") in SCHEMA["$defs"]
            assert rule.get("anyOf", [0]), "an empty anyOf is not allowed"
            assert rule.get("enum", [0]), "an empty enum fits nothing"
        for item in rule.values() if isinstance(rule, dict) else rule if isinstance(rule, list | tuple) else ():
            look(item)

    look(SCHEMA)


@given(experiments)
@settings(max_examples=100, deadline=None)
def test_the_schema_accepts_every_experiment(value: dict[str, Any]) -> None:
    assert fits(value, SCHEMA, SCHEMA)
    assert fits(plain(from_json(json.dumps(value).encode())), SCHEMA, SCHEMA)


@given(experiments, st.data())
@settings(max_examples=500, deadline=None)
def test_schema_and_loader_refuse_the_same_changes(value: dict[str, Any], data: st.DataObject) -> None:
    whole = json.loads(json.dumps(value))
    *way, last = data.draw(st.sampled_from(list(places(whole))))
    here = whole
    for step in way:
        here = here[step]
    action = data.draw(st.sampled_from(["replace", "remove", "rename", "add"]))
    if action == "replace":
        here[last] = data.draw(odd_values)
    elif action == "remove":
        del here[last]
    elif isinstance(here, dict):
        item = here.pop(last) if action == "rename" else here[last]
        here[data.draw(st.sampled_from([f"{last}s", last.upper(), "kind", "units", "learning_rate"]))] = item
    assert (complaint(whole) is None) == fits(whole, SCHEMA, SCHEMA), whole


# --- Every kind, every field ---


def families() -> dict[type[Kind], None]:
    """Return all families of kinds that an experiment can hold."""
    found: dict[type[Kind], None] = {}
    waiting: list[type[Described]] = [Experiment]
    seen: set[type[Described]] = set()
    while waiting:
        struct = waiting.pop()
        if struct in seen:
            continue
        seen.add(struct)
        for field in describe(struct):
            if field.sort == "struct":
                waiting.append(field.holds)
            elif field.holds is not None:
                found[field.holds] = None
                waiting += [kind for _, kind in field.holds.registry.items()]
    return found


STRUCTS = [("experiment", Experiment), ("training", Training)] + [
    (f"{family.registry.family} {name}", kind) for family in families() for name, kind in family.registry.items()
]
every_struct = pytest.mark.parametrize("struct", [struct for _, struct in STRUCTS], ids=[name for name, _ in STRUCTS])


def smallest(struct: type[Described]) -> dict[str, Any]:
    """Return plain values for what must be given."""
    found: dict[str, Any] = {"kind": struct.kind_name()} if issubclass(struct, Kind) else {}
    for field in describe(struct):
        if field.required and field.sort in ("integer", "number"):
            low = field.minimum if field.minimum is not None else (field.above or 0) + 1
            found[field.name] = int(low) if field.sort == "integer" else float(low)
        elif field.required and field.sort == "choice":
            found[field.name] = field.choice_names()[0]
        elif field.required and field.sort == "text":
            found[field.name] = "x" * (field.shortest or 1)
        elif field.required and field.sort in ("families", "lists"):
            found[field.name] = shortest_list(field)
        elif field.required and field.sort == "family":
            found[field.name] = next(smallest(kind) for kind in field.holds.registry if not nests(kind))
        elif field.required:
            found[field.name] = field.sort == "boolean"
    return found


def bad_values(field: Field) -> Iterator[Any]:
    if field.sort in ("integer", "number"):
        yield from ("3", None if not field.optional else "null", True, [], {}, float("nan"), float("inf"), 10**400)
        for limit, outside in (
            (field.minimum, -1),
            (field.maximum, 1),
            (field.above, 0),
            (field.below, 0),
        ):
            if limit is not None:
                yield limit + outside * max(1, abs(limit) * 1e-9)
        if field.sort == "integer":
            yield 2.5
    elif field.sort == "boolean":
        yield from (0, 1, "true", [])
    elif field.sort == "text":
        yield from (3, True, [], {}, "\ud800", "x" * (10**6 if field.longest is None else field.longest + 1))
    elif field.sort == "choice":
        yield from ("no such name", 3, True, [], {}, "")
    elif field.sort in ("family", "struct"):
        yield from (3, "dense", True, [], {"kind": "no such kind"}, {"no such key": 1})
    else:
        yield from (3, "dense", True, {}, [3], ["dense"], [None], [{"kind": "no such kind"}])


@every_struct
def test_every_field_refuses_what_it_cannot_hold(struct: type[Described]) -> None:
    start = smallest(struct)
    build(struct, start, "place")
    for field in describe(struct):
        for bad in bad_values(field):
            if field.sort == "text" and field.longest is None and isinstance(bad, str) and len(bad) > 1000:
                continue
            with pytest.raises(InputError) as caught:
                build(struct, {**start, field.name: bad}, "place")
            well_formed(caught.value)
            assert caught.value.place.startswith(f"place.{field.name}"), (field.name, bad)
            if isinstance(bad, dict) and field.sort in ("family", "struct"):
                continue  # a constructor takes objects there, not dictionaries; it refuses all of them
            arguments = {name: value for name, value in start.items() if name != "kind"}
            for other in describe(struct):  # what must be an object is made one
                if other.name in arguments and other.sort == "family":
                    arguments[other.name] = build(other.holds, arguments[other.name])
            with pytest.raises(InputError) as caught:
                struct(**{**arguments, field.name: bad})
            assert caught.value.place.startswith(field.name)


@every_struct
def test_a_misspelled_key_names_its_path_and_the_nearest(struct: type[Described]) -> None:
    for field in describe(struct):
        if len(field.name) < 4:
            continue
        wrong = field.name[:1] + field.name[2:]
        with pytest.raises(InputError) as caught:
            build(struct, {**smallest(struct), wrong: 1}, "network.3")
        well_formed(caught.value)
        assert caught.value.place == f"network.3.{wrong}"
        assert f'did you mean "{field.name}"?' in caught.value.problem


@every_struct
def test_every_kind_introduces_itself(struct: type[Described]) -> None:
    assert struct.__doc__
    for field in describe(struct):
        assert field.label, field.name
    if issubclass(struct, Kind):
        assert struct.label
        assert struct.registry[struct.kind_name()] is struct


# --- Kinds that are not there ---


@pytest.mark.parametrize(("path", "names"), CONTRACT.items())
def test_kinds_that_are_not_known_are_refused_with_those_that_are(path: str, names: str) -> None:
    start = plain()
    if path == "training.regularizers.0":
        start["training"]["regularizers"] = [None]
    way, _, last = path.rpartition(".")
    holder = at(start, way)
    for name in [*names.split(), "no_such_kind"]:
        holder[int(last) if isinstance(holder, list) else last] = {"kind": name}
        error = complaint(start)
        if error is None or error.place != f"{path}.kind":  # the kind is known, or known and wants more than its name
            assert name != "no_such_kind"
            continue
        assert error.problem.startswith(f'"{name}" is not a known kind of ')
        assert "; known: " in error.problem or "; this version knows none, leave it out" in error.problem


def test_registered_kinds_have_the_names_of_the_contract() -> None:
    known = {name for names in CONTRACT.values() for name in names.split()}
    for family in families():
        assert set(family.registry.names()) <= known, family.registry.family


@pytest.mark.parametrize("key", ["early_stopping", "loss_scale", "gradient_noise"])
def test_a_part_that_this_version_does_not_have_is_refused_helpfully(key: str) -> None:
    if key in {field.name for field in describe(Training)}:
        pytest.skip("this version has it")
    error = refused(changed(f"training.{key}", {"patience": 5}))
    assert error.place == f"training.{key}"
    assert error.problem.startswith(f'unknown key "{key}"; leave it out, this version knows: batch_size, epochs, ')


# --- Wrong files ---


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("network.0.units", -3, "network.0.units: must be a whole number from 1 to 4096, not -3"),
        ("network.0.units", 1.5, "network.0.units: must be a whole number from 1 to 4096, not 1.5"),
        ("network.0.units", "64", 'network.0.units: must be a whole number from 1 to 4096, not "64"'),
        ("network.0.unit", 3, 'network.0.unit: unknown key "unit"; did you mean "units"?'),
        (
            "network.1.kind",
            "activaton",
            'network.1.kind: "activaton" is not a known kind of layer (did you mean "activa',
        ),
        ("network.1", "dense", 'network.1: must be an object in braces, not "dense"'),
        ("network", {}, "network: must be a list of at most 1000 items, not {}"),
        ("network", [{}] * 1001, "network: must be a list of at most 1000 items, not of 1001"),
        ("network.2", {"kind": "dense"}, 'network.2: "units" is missing: a whole number from 1 to 4096'),
        ("network.2", {"units": 3}, 'network.2: "kind" is missing; known: '),
        (
            "network.0.init",
            {"kind": "normal", "std": -1},
            "network.0.init.std: must be a number from 0 to 1000000, not -1",
        ),
        (
            "training.learning_rate",
            1,
            'training.learning_rate: unknown key "learning_rate"; leave it out, this version ',
        ),
        (
            "training.optimizer.learning_rate",
            "fast",
            "training.optimizer.learning_rate: must be a number from 0 to 1000000",
        ),
        ("training.batch_size", 0, "training.batch_size: must be a whole number from 1 to 65536, not 0"),
        ("training.shuffle", "yes", 'training.shuffle: must be true or false, not "yes"'),
        ("training.precision", "float23", "training.precision: must be one of float32, float64"),
        (
            "data.scaling",
            "standardise",
            'data.scaling: "standardise" is not a known kind of scaling (did you mean "stand',
        ),
        ("data", None, "data: must be an object in braces, not null"),
        ("seed", -1, "seed: must be a whole number from 0 to 2147483647, not -1"),
        ("seed", 2**31, "seed: must be a whole number from 0 to 2147483647, not 2147483648"),
        ("name", "x" * 201, 'name: must be a text of at most 200 characters, not "xxxx'),
        ("sede", 3, 'sede: unknown key "sede"; did you mean "seed"?'),
        ("format", "other", 'format: is not an experiment: "format" must be "layerscope-experiment"'),
        (
            "version",
            2,
            "version: was written by a newer Layerscope (file version 2, this one reads up to 1); update it",
        ),
        (
            "version",
            10**30,
            "version: was written by a newer Layerscope (file version 1000000000000000000000000000000,",
        ),
        ("version", 0, "version: must be a version number up to 1, not 0"),
        ("version", "1", 'version: must be a version number up to 1, not "1"'),
        ("version", True, "version: must be a version number up to 1, not true"),
        ("version", None, "version: must be a version number up to 1, not null"),
    ],
)
def test_a_wrong_value_gets_one_line(path: str, value: Any, line: str) -> None:
    if VERSION == 1 or path != "version":
        assert str(refused(changed(path, value))).startswith(line)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"\xef\xbb\xbf", "is not valid JSON"),
        (b"\x00\x01\x02", "is not an experiment but a binary file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "is not an experiment but a binary file"),
        (to_json(LECTURE).decode().encode("utf-16"), "is stored as UTF-16; save it again as UTF-8"),
        (b"[]", "it must be one JSON object in braces"),
        (b"3", "it must be one JSON object in braces"),
        (b"null", "it must be one JSON object in braces"),
        (b"{}", '"format" must be "layerscope-experiment"'),
        (b'{"format": ["layerscope-experiment"]}', '"format" must be "layerscope-experiment"'),
        (b"network: dense\n", "line 1, column 5: is not valid JSON"),
        (
            b'{\n  "format": "layerscope-experiment",\n  "seed" 3\n}',
            "line 3, column 10: is not valid JSON (expected ':')",
        ),
        (b'{"format": "layerscope-experiment",}', "line 1, column 36: is not valid JSON"),
        (b"{'format': 'layerscope-experiment'}", "line 1, column 2: is not valid JSON"),
        (to_json(LECTURE) + b"x", "is not valid JSON (trailing characters)"),
        (to_json(LECTURE) * 2, "is not valid JSON (trailing characters)"),
        (to_json(LECTURE).replace(b"Vanishing", b"\xff\xfe"), "a character that is not UTF-8"),
        (to_json(LECTURE).replace(b'"seed": 7', b'"seed": NaN'), "is not valid JSON"),
        (to_json(LECTURE).replace(b"0.2", b"Infinity"), "is not valid JSON"),
        (to_json(LECTURE).replace(b"0.2", b"-Infinity"), "is not valid JSON"),
        (to_json(LECTURE).replace(b"0.2", b"1e999"), "is not valid JSON"),
        (to_json(LECTURE).replace(b"0.2", b"9" * 400), "must be a number from 0 to 0.9"),
        (to_json(LECTURE).replace(b"0.2", b"9" * 5000), "is not valid JSON"),
        (to_json(LECTURE).replace(b"Vanishing", b"\\ud800"), "is not valid JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
        (b'{"' + b"\\" * 10**6, "is not valid JSON"),
        (b'"' + b'\\"' * 10**6, "is not valid JSON"),
        (b" " * (LARGEST_FILE + 1), "is larger than 8 megabytes"),
    ],
    ids=range(30),
)
@pytest.mark.timeout(20)
def test_what_is_no_experiment_is_refused(text: bytes, says: str) -> None:
    assert says in str(refused(text))


def test_the_depth_of_brackets_counts_not_their_number() -> None:
    nested = "network", [{"kind": "dense", "units": 1}] * 500
    whole = dict([("format", FORMAT), nested])
    assert len(from_json(json.dumps(whole).encode()).network) == 500
    assert from_json(json.dumps({"format": FORMAT, "name": "[" * DEEPEST * 2}).encode()).name == "[" * DEEPEST * 2
    assert from_json(json.dumps({"format": FORMAT, "name": '"[\\' * 60}).encode()).name == '"[\\' * 60


@pytest.mark.parametrize("cut", range(0, len(to_json(LECTURE)) - 2, 7))
def test_every_truncated_file_is_refused(cut: int) -> None:
    problem = refused(to_json(LECTURE)[:cut]).problem
    assert "go back to an earlier copy" in problem


@pytest.mark.parametrize(
    ("text", "place", "key"),
    [
        (b'{"format": "layerscope-experiment", "seed": 1, "seed": 1}', "seed", "seed"),
        (b'{"format": "layerscope-experiment", "format": "layerscope-experiment"}', "format", "format"),
        (to_json(LECTURE).replace(b'"units": 64', b'"units": 64, "units": 32'), "network.0.units", "units"),
        (to_json(LECTURE).replace(b'"gain": 1.5', b'"gain": 1.5, "gain": 2'), "network.0.init.gain", "gain"),
        (to_json(LECTURE).replace(b'"learning_rate"', b'"learning_rate": 1, "learning_rate"'), None, "learning_rate"),
        (b'{"format": "layerscope-experiment", "seed": 1, "\\u0073eed": 2}', "seed", "seed"),
    ],
)
def test_a_key_that_stands_twice_is_refused(text: bytes, place: str | None, key: str) -> None:
    error = refused(text)
    assert error.place == (place or "training.optimizer.learning_rate")
    assert error.problem == f'the key "{key}" stands twice in one object; keep one'


@pytest.mark.parametrize("kind", ["missing", "folder", "zero byte"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    path = str(tmp_path) if kind == "folder" else str(tmp_path / ("a\0b.json" if kind == "zero byte" else "a.json"))
    with pytest.raises(InputError) as caught:
        load(path)
    well_formed(caught.value)
    assert caught.value.file == path
    assert caught.value.problem.startswith("cannot be read: ")
    assert caught.value.problem.endswith("; check the path")


def test_a_complaint_about_a_file_names_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "lecture.json"
    path.write_bytes(to_json(LECTURE).replace(b'"units": 64', b'"units": -64'))
    with pytest.raises(InputError) as caught:
        load(path)
    assert str(caught.value) == f"{path}, network.0.units: must be a whole number from 1 to 4096, not -64"


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="is larger than 8 megabytes"):
        load(path)


def mutants(text: bytes, count: int) -> Iterator[bytes]:
    """Yield damaged copies: bytes flipped, lost, doubled, swapped, and values put where others belong."""
    draw = random.Random(20)
    pieces = [
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b",",
        b"\\",
        b"null",
        b"true",
        b"-",
        b"1e400",
        b"NaN",
        b"\\u0000",
        b"\xff",
    ]
    pieces += [
        b"\n",
        b"0",
        b"-1",
        b'"kind"',
        b'{"kind": "dense"}',
        b"[[[[",
        b'"\\ud800"',
        b"9" * 50,
        b"1e-400",
        b"/*",
        b"\x1b",
    ]
    whole = json.loads(text)
    odd = [
        None,
        True,
        -1,
        0,
        1.5,
        1e308,
        -(10**30),
        "",
        "dense",
        "\u202e",
        "x" * 10**4,
        [],
        {},
        [[]],
        {"kind": "dense"},
    ]
    for number in range(count):
        if number % 4 == 0:
            copy = json.loads(text)
            for _ in range(draw.randint(1, 3)):
                *way, last = draw.choice(list(places(copy)))
                here = copy
                for step in way:
                    here = here[step]
                if draw.random() < 0.3 and isinstance(here, dict):
                    here[draw.choice(["kind", "units", "", "x\n", "\x1b[2J", "netwrok"])] = here.pop(last)
                else:
                    here[last] = json.loads(json.dumps(draw.choice([*odd, whole])))
            yield json.dumps(copy).encode()
            continue
        damaged = bytearray(text)
        for _ in range(draw.choice([1, 1, 2, 5, 50])):
            where = draw.randrange(len(damaged) + 1)
            action = draw.randrange(5)
            if action == 0:
                damaged[where:where] = draw.choice(pieces)
            elif action == 1:
                del damaged[where : where + draw.choice([1, 3, 30])]
            elif action == 2 and where < len(damaged):
                damaged[where] ^= 1 << draw.randrange(8)
            elif action == 3:
                damaged[where:where] = damaged[where : where + draw.choice([5, 100])]
            elif where < len(damaged):
                damaged[where] = draw.randrange(256)
        yield bytes(damaged)


def test_two_thousand_damaged_files_give_nothing_but_complaints() -> None:
    outcomes = {"refused": 0, "accepted": 0}
    for text in mutants(to_json(LECTURE), 2000):
        try:
            experiment = from_json(text)
        except InputError as error:
            well_formed(error.within("damaged.json"))
            outcomes["refused"] += 1
        else:
            assert from_json(to_json(experiment)) == experiment
            outcomes["accepted"] += 1
    # Both happen, or the damage is not of the right kind: some of it only changes a number.
    assert outcomes["refused"] > 1500
    assert outcomes["accepted"] > 20


# --- Versions ---


@pytest.fixture
def version_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that version 2 calls the old "rate" of an optimizer "learning_rate"."""

    def rename(value: dict[str, Any]) -> dict[str, Any]:
        optimizer = value["training"]["optimizer"]
        optimizer["learning_rate"] = optimizer.pop("rate")
        return value

    monkeypatch.setattr(module, "VERSION", VERSION + 1)
    monkeypatch.setitem(module.MIGRATIONS, VERSION, rename)


@pytest.mark.usefixtures("version_two")
def test_an_old_file_is_brought_to_this_version() -> None:
    old = plain()
    old["training"]["optimizer"] = {"kind": "sgd", "rate": 0.5}
    before = json.dumps(old)
    assert from_json(before.encode()).training.optimizer == Sgd(learning_rate=0.5)
    new = migrate(old)
    assert new["version"] == VERSION + 1
    assert json.dumps(old) == before, "a migration must not change what it was given"


@pytest.mark.usefixtures("version_two")
def test_a_file_of_this_version_is_not_migrated() -> None:
    value = {**plain(), "version": VERSION + 1}
    assert migrate(value) == value


@pytest.mark.usefixtures("version_two")
@pytest.mark.parametrize("training", [{}, [], None, {"optimizer": 3}, {"optimizer": {"kind": "sgd"}}])
def test_a_damaged_old_file_is_refused(training: Any) -> None:
    error = refused({"format": FORMAT, "version": VERSION, "training": training})
    assert error.problem.startswith("is damaged: it cannot be brought from file version 1 to 2")


def test_every_old_version_has_its_migration() -> None:
    assert sorted(module.MIGRATIONS) == list(range(1, VERSION))


# --- One setting at a time ---


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 3),
        ("name", "again"),
        ("network.0.units", 32),
        ("network.2.bias", True),
        ("network.0.init.gain", 2.0),
        ("training.optimizer.learning_rate", 0.01),
        ("training.batch_size", 8),
        ("data.validation", 0.4),
        ("data.scaling", "unit"),
        ("training.clipping", None),
    ],
)
def test_with_value_changes_one_setting(path: str, value: Any) -> None:
    after = with_value(LECTURE, path, value)
    assert value_at(after, path) == value
    assert plain(after) == changed(path, value)
    assert with_value(after, path, value_at(LECTURE, path)) == LECTURE


def test_with_value_takes_whole_parts() -> None:
    after = with_value(LECTURE, "network.1", {"kind": "dense", "units": 5})
    assert after.network[1] == Dense(units=5)
    after = with_value(LECTURE, "network", [{"kind": "dense", "units": 5}])
    assert after.network == (Dense(units=5),)
    after = with_value(LECTURE, "training", {"epochs": 3})
    assert after.training == Training(epochs=3)


def test_a_kind_is_set_by_its_name_and_keeps_shared_settings() -> None:
    after = with_value(LECTURE, "training.optimizer", "momentum")
    assert after.training.optimizer == Momentum(learning_rate=0.1)
    assert with_value(LECTURE, "training.optimizer.kind", "momentum") == after
    assert with_value(after, "training.optimizer", "sgd") == LECTURE
    assert with_value(LECTURE, "network.0.init", "normal").network[0] == Dense(units=64, init=Normal(gain=1.5))
    assert with_value(LECTURE, "network.0.init.kind", "normal").network[0].init == Normal(gain=1.5)
    assert with_value(LECTURE, "data", "moons").data == Moons(validation=0.2)
    assert with_value(LECTURE, "network.1", "activation") == LECTURE
    assert with_value(LECTURE, "data", "digits") == LECTURE


def test_every_kind_without_required_settings_can_be_set_by_name() -> None:
    for name, kind in DataSet.registry.items():
        if not any(field.required for field in describe(kind)):
            assert with_value(LECTURE, "data", name).data.kind_name() == name
    for name, kind in Initializer.registry.items():
        if not any(field.required for field in describe(kind)):
            assert with_value(LECTURE, "network.0.init", name).network[0].init.kind_name() == name


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        ("sede", 3, 'sede: unknown key "sede"; did you mean "seed"?'),
        ("", 3, ': unknown key ""; leave it out'),
        ("kind", "x", 'kind: unknown key "kind"'),
        ("network.0.unit", 3, 'network.0.unit: unknown key "unit"; did you mean "units"?'),
        ("network.0.units", -3, "network.0.units: must be a whole number from 1 to 4096, not -3"),
        ("network.0.units", float("nan"), "network.0.units: must be a whole number from 1 to 4096, not nan"),
        ("data.validation", float("inf"), "data.validation: must be a number from 0 to 0.9, not inf"),
        ("network.3", {"kind": "dense", "units": 3}, "network.3: there is no such item; the list has 0 to 2"),
        ("network.3.units", 3, "network.3: there is no such item; the list has 0 to 2"),
        ("network.-1.units", 3, "network.-1: there is no such item; the list has 0 to 2"),
        ("network.first.units", 3, "network.first: there is no such item; the list has 0 to 2"),
        ("network.².units", 3, "network.²: there is no such item; the list has 0 to 2"),
        ("network.99999999999999999999.units", 3, "network.99999999999999999999: there is no such item"),
        ("training.regularizers.0", {}, "training.regularizers.0: there is no such item, the list is empty"),
        ("training.regularizers.0.strength", 1, "training.regularizers.0: there is no such item, the list is empty"),
        ("trainig.epochs", 3, 'trainig: unknown key "trainig"; did you mean "training"?'),
        ("seed.x", 3, "seed.x: there is no such setting: seed is 7"),
        (
            "training.clipping.threshold",
            1,
            "training.clipping.threshold: there is no such setting: training.clipping is ",
        ),
        ("network", "dense", 'network: must be a list of at most 1000 items, not "dense"'),
        ("training.optimizer", "adem", 'training.optimizer: "adem" is not a known kind of optimizer'),
        ("training.optimizer.kind", "adem", 'training.optimizer: "adem" is not a known kind of optimizer'),
        ("training.optimizer.kind", 3, "training.optimizer.kind: 3 is not a known kind of optimizer"),
        ("network.1", "conv9d", 'network.1: "conv9d" is not a known kind of layer'),
        ("training.averaging", "median", 'training.averaging: "median" is not a known kind of averaging'),
        ("network.1", "dense", 'network.1: "units" is missing: a whole number from 1 to 4096'),
        ("version", 9, "version: must be a whole number from 1 to"),
        ("x" * 10**5, 3, "xxx"),
    ],
    ids=range(27),
)
def test_with_value_refuses_like_a_file(path: str, value: Any, line: str) -> None:
    with pytest.raises(InputError) as caught:
        with_value(LECTURE, path, value)
    assert str(well_formed(caught.value)).startswith(line.removeprefix(": "))


@pytest.mark.parametrize("path", ["sede", "network.3", "network.0.unit", "training.clipping.threshold", "", "seed.0"])
def test_value_at_refuses_what_is_not_there(path: str) -> None:
    with pytest.raises(InputError) as caught:
        value_at(LECTURE, path)
    well_formed(caught.value)


def test_a_setting_of_a_group_that_is_off_switches_it_on() -> None:
    stopping = with_value(LECTURE, "training.early_stopping.patience", 9).training.early_stopping
    assert stopping == EarlyStopping(patience=9)
    with pytest.raises(InputError, match="set it first"):  # which kind of clipping is meant cannot be guessed
        with_value(LECTURE, "training.clipping.threshold", 9)


def test_a_list_of_branches_is_no_family() -> None:
    block = {"kind": "inception", "branches": [[{"kind": "dense", "units": 3}], []]}
    whole = build(Experiment, {"network": [block]})
    assert family_at(whole, ["network", "0", "branches"]) is None
    assert family_at(whole, ["network", "0", "branches", "0"]) is None
    assert family_at(whole, ["network", "0", "branches", "0", "0"]) is Layer


@given(experiments)
@settings(max_examples=30, deadline=None)
def test_every_setting_has_a_path(value: dict[str, Any]) -> None:
    experiment = from_json(json.dumps(value).encode())
    whole = msgspec.json.decode(msgspec.json.encode(experiment))  # with all that a file leaves out
    for path in places(whole):
        text = ".".join(map(str, path))
        found = msgspec.json.decode(msgspec.json.encode(value_at(experiment, text)))
        assert found == at(whole, text)
        assert with_value(experiment, text, found) == experiment


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("data", DataSet),
        ("network.0", Layer),
        ("network.0.init", Initializer),
        ("network", None),
        ("network.9", None),
        ("network.x", None),
        ("network.0.units", None),
        ("training", None),
        ("seed", None),
        ("seed.x", None),
        ("nothing", None),
    ],
)
def test_family_at_tells_what_may_stand_somewhere(path: str, family: type[Kind] | None) -> None:
    assert family_at(LECTURE, path.split(".")) is family


def test_family_at_knows_what_may_stand_where_nothing_is() -> None:
    found = family_at(LECTURE, ["training", "averaging"])
    assert found is not None
    assert found.registry.family == "averaging"


# --- Identity ---


def test_identity_ignores_the_name_only() -> None:
    first = identity(LECTURE)
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert identity(with_value(LECTURE, "name", "other")) == first
    for path in places(plain()):
        text = ".".join(map(str, path))
        value = value_at(LECTURE, text)
        if isinstance(value, bool):
            other: Any = not value
        elif isinstance(value, int | float) and text != "version":
            other = value + 1 if isinstance(value, int) else value / 2 + 0.01
        elif isinstance(value, tuple) and value:
            other = list(value[:-1])
        else:
            continue
        if text not in ("name", "version"):
            assert identity(with_value(LECTURE, text, other)) != first, text


def test_identity_is_the_same_in_another_process() -> None:
    program = (
        "import sys; from layerscope.core.experiment import *; print(identity(from_json(sys.stdin.buffer.read())))"
    )
    said = subprocess.run([sys.executable, "-c", program], input=to_json(LECTURE), capture_output=True, check=True)
    assert said.stdout.decode().strip() == identity(LECTURE)
    assert identity(from_json(to_json(LECTURE))) == identity(LECTURE)


def test_numbers_written_in_two_ways_are_one_experiment() -> None:
    one, other = (Experiment(training=Training(optimizer=Sgd(learning_rate=rate))) for rate in (1, 1.0))
    assert one == other
    assert to_json(one) == to_json(other)
    assert identity(one) == identity(other)


def test_experiments_are_made_without_compiler_and_window() -> None:
    program = (
        "import sys; from layerscope.core.experiment import *; to_json(Experiment()); schema();"
        "print([m for m in ('numba', 'scipy', 'matplotlib', 'PySide6') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
