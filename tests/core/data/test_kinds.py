"""Every kind of data set keeps the promises of `core/data/base.py`."""

import atexit
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from oracles import make_idx

from layerscope.core.data import digits
from layerscope.core.data.base import Data, DataSet, Outline, Toy
from layerscope.core.data.blobs import Blobs
from layerscope.core.data.checkerboard import Checkerboard
from layerscope.core.data.circles import Circles
from layerscope.core.data.moons import Moons
from layerscope.core.data.regression import Regression
from layerscope.core.data.spirals import START, Spirals
from layerscope.core.data.xor import Xor
from layerscope.core.errors import InputError
from layerscope.core.fields import build, describe

# What a kind needs beside its defaults; a kind that reads a file adds an entry here.
ROOT = Path(__file__).parents[3]
FOLDER = Path(tempfile.mkdtemp(prefix="layerscope-data-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
IMAGES, LABELS = make_idx.write(FOLDER)
NEEDS: dict[str, dict[str, Any]] = {
    "csv": {"path": str(ROOT / "sample_data" / "beans.csv"), "target": "variety"},
    "idx": {"images": str(FOLDER / IMAGES), "labels": str(FOLDER / LABELS)},
    "npz": {"path": str(ROOT / "sample_data" / "digits.npz"), "x": "images", "y": "labels"},
}
KINDS = list(DataSet.registry.items())
TOYS = [(name, kind) for name, kind in KINDS if issubclass(kind, Toy)]

every_kind = pytest.mark.parametrize(("name", "kind"), KINDS, ids=[name for name, _ in KINDS])
every_toy = pytest.mark.parametrize(("name", "kind"), TOYS, ids=[name for name, _ in TOYS])


def make(name: str, **settings: Any) -> DataSet:
    return build(DataSet, {"kind": name, **NEEDS.get(name, {}), **settings})


def arrays(data: Data) -> Iterator[np.ndarray]:
    for part in ("train", "validation", "test"):
        for letter in "xyt":
            yield getattr(data, f"{letter}_{part}")


def digest(data: Data) -> str:
    total = hashlib.sha256()
    for array in arrays(data):
        total.update(f"{array.shape}{array.dtype}".encode() + array.tobytes())
    return total.hexdigest()


def test_all_kinds_of_the_file_format_are_there() -> None:
    toys = {"xor", "circles", "moons", "spirals", "blobs", "checkerboard"}
    assert {*toys, "regression", "digits", "csv", "idx", "npz"} == set(DataSet.registry.names())
    assert {name for name, _ in TOYS} == toys


@every_kind
def test_samples_are_finite_numbers_with_known_classes_or_values(name: str, kind: type[DataSet]) -> None:
    samples = make(name).collect(0, None)
    assert samples.x.dtype in (np.float64, np.uint8)
    assert len(samples.x) == len(samples.y) > 0
    assert np.isfinite(samples.x).all() or samples.gaps
    if not samples.classes:
        assert samples.y.dtype == np.float64
        assert samples.y.ndim == 2
        assert np.isfinite(samples.y).all()
        return
    assert samples.y.dtype == np.int64
    assert set(np.unique(samples.y)) == set(range(len(samples.classes)))
    assert len(set(samples.classes)) == len(samples.classes)
    assert all(isinstance(name, str) and name for name in samples.classes)


@every_kind
def test_classes_are_balanced(name: str, kind: type[DataSet]) -> None:
    samples = make(name).collect(0, None)
    if not samples.classes:
        return
    counts = np.bincount(samples.y)
    # Toys share the samples evenly; real data only has to be near enough for accuracy to mean something.
    allowed = 1 if issubclass(kind, Toy) else 0.1 * counts.max()
    assert counts.max() - counts.min() <= allowed


@every_kind
def test_outline_tells_the_truth(name: str, kind: type[DataSet]) -> None:
    data_set = make(name)
    data = data_set.load(0)
    assert data_set.outline() == data.outline == Outline(data.shape, data.t_train.shape[1], data.classes)
    assert data.outline.is_regression == (not data.classes)
    if data.classes:
        assert data.targets == len(data.classes)


@pytest.mark.parametrize("settings", [{"centers": 2}, {"centers": 7}, {"centers": 10}])
def test_outline_follows_the_number_of_blobs(settings: dict[str, int]) -> None:
    blobs = Blobs(samples=33, **settings)
    assert blobs.outline().targets == settings["centers"]
    assert set(blobs.collect(0, None).y) == set(range(settings["centers"]))


def test_outline_follows_the_number_of_arms() -> None:
    assert Spirals(arms=5).outline().targets == 5
    assert set(Spirals(arms=5, samples=11).collect(0, None).y) == set(range(5))


@every_kind
def test_parts_are_contiguous_and_fit_together(name: str, kind: type[DataSet]) -> None:
    data = make(name, validation=0.25, test=0.15).load(0)
    for part in ("train", "validation", "test"):
        x, y, t = (getattr(data, f"{letter}_{part}") for letter in "xyt")
        assert len(x) == len(y) == len(t) > 0
        assert x.dtype == t.dtype == np.float64
        assert x.flags.c_contiguous
        assert y.flags.c_contiguous
        assert t.flags.c_contiguous
        assert x.flags.writeable
        assert np.isfinite(x).all()
        if not data.classes:
            assert np.array_equal(t, y)
            assert not np.shares_memory(t, y)
            continue
        assert y.dtype == np.int64
        assert np.array_equal(t.argmax(axis=1), y)
        assert np.array_equal(t.sum(axis=1), np.ones(len(y)))
        assert set(np.unique(t)) == {0.0, 1.0}


@every_kind
@pytest.mark.determinism
def test_same_seed_same_bits_and_other_seed_other_bits(name: str, kind: type[DataSet]) -> None:
    data_set = make(name, label_noise=0.1, test=0.1)
    assert digest(data_set.load(7)) == digest(data_set.load(7))
    assert digest(data_set.load(7)) != digest(data_set.load(8))


@pytest.mark.determinism
def test_another_process_draws_the_same_bits() -> None:
    # Hash seeds, import order and caches differ between processes; the draws may depend on none of them.
    program = (
        "import hashlib, sys\n"
        "import msgspec\n"
        "from layerscope.core.data.base import DataSet\n"
        "from layerscope.core.fields import build\n"
        "for line in sys.stdin:\n"
        "    data = build(DataSet, msgspec.json.decode(line)).load(7)\n"
        "    total = hashlib.sha256()\n"
        "    for part in ('train', 'validation', 'test'):\n"
        "        for letter in 'xyt':\n"
        "            array = getattr(data, f'{letter}_{part}')\n"
        "            total.update(f'{array.shape}{array.dtype}'.encode() + array.tobytes())\n"
        "    print(total.hexdigest())\n"
    )
    data_sets = [make(name, label_noise=0.1, test=0.1) for name, _ in KINDS]
    said = subprocess.run(
        [sys.executable, "-c", program],
        input=b"\n".join(msgspec.json.encode(data_set) for data_set in data_sets),
        capture_output=True,
        check=True,
    )
    assert said.stdout.decode().split() == [digest(data_set.load(7)) for data_set in data_sets]


@every_kind
def test_global_random_state_neither_matters_nor_changes(name: str, kind: type[DataSet]) -> None:
    np.random.seed(1)  # noqa: NPY002
    first = digest(make(name, label_noise=0.1).load(3))
    assert np.random.random() == pytest.approx(0.417022004702574)  # noqa: NPY002
    assert digest(make(name, label_noise=0.1).load(3)) == first


@every_kind
def test_every_field_has_a_label_and_a_help(name: str, kind: type[DataSet]) -> None:
    assert kind.label
    assert kind.__doc__
    for field in describe(kind):
        assert field.label != field.name.replace("_", " ") or field.help, field.name
        assert field.help.endswith("."), field.name


@every_kind
def test_names_and_fields_agree_with_the_file_format(name: str, kind: type[DataSet]) -> None:
    assert kind.kind_name() == name
    assert {"scaling", "validation", "test", "label_noise"} <= {field.name for field in describe(kind)}
    if issubclass(kind, Toy):
        assert {"samples", "noise"} <= {field.name for field in describe(kind)}


# --- Toys ---


@every_toy
@pytest.mark.parametrize("samples", [10, 11, 97, 1001])
def test_any_number_of_samples(name: str, kind: type[Toy], samples: int) -> None:
    drawn = make(name, samples=samples).collect(0, None)
    assert drawn.x.shape == (samples, 2)
    counts = np.bincount(drawn.y)
    assert len(counts) == len(drawn.classes)
    assert counts.max() - counts.min() <= 1
    assert len(make(name, samples=samples, validation=0.3).load(0).x_train) == samples - round(0.3 * samples)


@every_toy
def test_more_samples_keep_those_that_were_there(name: str, kind: type[Toy]) -> None:
    few, many = make(name, samples=50).collect(4, None), make(name, samples=200).collect(4, None)
    assert np.array_equal(many.x[:50], few.x)
    assert np.array_equal(many.y[:50], few.y)


@every_toy
def test_noise_is_the_standard_deviation_of_both_coordinates(name: str, kind: type[Toy]) -> None:
    clean, noisy = (make(name, samples=20_000, noise=noise).collect(0, None).x for noise in (0.0, 0.3))
    added = noisy - clean
    assert added.std(axis=0) == pytest.approx([0.3, 0.3], rel=0.02)
    assert added.mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.01)
    assert abs(np.corrcoef(added.T)[0, 1]) < 0.03
    # normal, not merely of that spread: 68.3 % within one and 95.4 % within two standard deviations
    assert np.mean(np.abs(added) < 0.3) == pytest.approx(0.683, abs=0.01)
    assert np.mean(np.abs(added) < 0.6) == pytest.approx(0.954, abs=0.01)


@every_toy
def test_twice_the_noise_pushes_the_same_points_twice_as_far(name: str, kind: type[Toy]) -> None:
    clean, once, twice = (make(name, noise=noise).collect(5, None).x for noise in (0.0, 0.1, 0.2))
    assert twice - clean == pytest.approx(2 * (once - clean))


@every_toy
def test_all_toys_have_the_same_scale(name: str, kind: type[Toy]) -> None:
    x = make(name, samples=5000, noise=0.0).collect(0, None).x
    assert 0.7 < np.abs(x).max() < 1.6
    assert 1.0 < np.ptp(x[:, 0]) < 3.2
    assert np.abs(x.max(axis=0) + x.min(axis=0)) == pytest.approx([0.0, 0.0], abs=0.6)


def test_clean_xor_stands_on_its_four_corners() -> None:
    drawn = Xor(noise=0.0, samples=80).collect(0, None)
    corners, counts = np.unique(drawn.x, axis=0, return_counts=True)
    assert corners.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]]
    assert counts.tolist() == [20] * 4
    assert np.array_equal(drawn.y == 0, drawn.x[:, 0] == drawn.x[:, 1])
    assert drawn.classes == ("same sign", "opposite signs")


def test_clean_circles_have_their_radii() -> None:
    drawn = Circles(noise=0.0, radius=0.3, samples=2000).collect(0, None)
    assert np.hypot(*drawn.x.T) == pytest.approx(np.where(drawn.y == 0, 1.0, 0.3), abs=1e-12)
    assert drawn.classes == ("outer", "inner")
    # all the way around, evenly
    for inside in (0, 1):
        angle = np.arctan2(drawn.x[drawn.y == inside, 1], drawn.x[drawn.y == inside, 0])
        assert np.histogram(angle, bins=8, range=(-np.pi, np.pi))[0].min() > 80


def test_clean_moons_are_those_of_scikit_learn_around_the_origin() -> None:
    drawn = Moons(noise=0.0, samples=2000).collect(0, None)
    # make_moons: the outer moon is (cos t, sin t), the inner one (1 - cos t, 0.5 - sin t), t from 0 to pi
    upper, lower = (drawn.x[drawn.y == c] + [0.5, 0.25] for c in (0, 1))
    assert np.hypot(*upper.T) == pytest.approx(np.ones(1000), abs=1e-12)
    assert upper[:, 1].min() >= 0
    assert np.hypot(*(lower - [1.0, 0.5]).T) == pytest.approx(np.ones(1000), abs=1e-12)
    assert lower[:, 1].max() <= 0.5
    for moon in (upper, lower):
        assert np.ptp(moon[:, 0]) > 1.99
        assert np.ptp(moon[:, 1]) > 0.99


@pytest.mark.parametrize("turns", [0.0, 0.75, 3.0])
def test_clean_spirals_wind_as_often_as_told(turns: float) -> None:
    drawn = Spirals(noise=0.0, arms=3, turns=turns, samples=3000).collect(0, None)
    radius = np.hypot(*drawn.x.T)
    assert radius.min() >= START
    assert radius.max() <= 1.0
    assert np.ptp(radius) > 0.88
    angle = 2 * np.pi * (turns * radius + drawn.y / 3)
    assert drawn.x == pytest.approx(radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), abs=1e-12)


def test_clean_blobs_are_their_centers() -> None:
    drawn = Blobs(noise=0.0, centers=4, samples=100).collect(0, None)
    expected = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    assert drawn.x == pytest.approx(expected[drawn.y], abs=1e-12)


def test_clean_checkerboard_fills_all_its_cells_and_leaves_none_to_chance() -> None:
    for cells in (2, 3, 4, 8):
        drawn = Checkerboard(samples=40 * cells**2, cells=cells).collect(0, None)
        column, row = np.floor((drawn.x + 1.0) * cells / 2.0).astype(int).T
        assert np.array_equal(drawn.y, (row + column) % 2)
        counts = np.bincount(row * cells + column, minlength=cells**2)
        assert len(counts) == cells**2
        assert counts.min() >= 30
    # evenly within a cell, and up does not follow from across
    inside = ((drawn.x + 1.0) * 4.0) % 1.0
    assert np.histogram2d(*inside.T, bins=4)[0].min() > 100
    assert abs(np.corrcoef(inside.T)[0, 1]) < 0.05


CURVES = {
    "sine": lambda x: np.sin(2 * np.pi * x[:, 0]),
    "linear": lambda x: x[:, 0],
    "cubic": lambda x: np.cos(3 * np.arccos(x[:, 0])),
    "absolute": lambda x: 2 * np.maximum(x[:, 0], -x[:, 0]) - 1,
    "step": lambda x: np.sign(x[:, 0]),
    "surface": lambda x: 0.5 * (np.cos(np.pi * (x[:, 0] - x[:, 1])) - np.cos(np.pi * (x[:, 0] + x[:, 1]))),
}


@pytest.mark.parametrize("function", CURVES)
def test_clean_regression_lies_on_its_curve_and_noise_beside_it(function: str) -> None:
    clean, noisy = (Regression(function=function, samples=5000, noise=noise).collect(3, None) for noise in (0.0, 0.2))
    assert clean.y[:, 0] == pytest.approx(CURVES[function](clean.x), abs=1e-12)
    assert np.abs(clean.x).max() <= 1.0
    assert np.abs(clean.y).max() <= 1.0
    assert np.ptp(clean.x, axis=0) == pytest.approx(np.full(clean.x.shape[1], 2.0), abs=0.01)
    assert np.array_equal(clean.x, noisy.x)
    assert (noisy.y - clean.y).std() == pytest.approx(0.2, rel=0.05)
    assert clean.classes == ()
    few = Regression(function=function, samples=50, noise=0.2).collect(3, None)
    assert np.array_equal(noisy.x[:50], few.x)
    assert np.array_equal(noisy.y[:50], few.y)


def test_every_function_is_offered_and_tested() -> None:
    assert next(f for f in describe(Regression) if f.name == "function").options == tuple(CURVES)


def test_each_kind_draws_differently() -> None:
    seen = {make(name).collect(0, None).x.tobytes() for name, _ in TOYS}
    assert len(seen) == len(TOYS)


# --- Digits ---


def test_digits_are_the_whole_set() -> None:
    drawn = digits.Digits().collect(0, None)
    assert drawn.x.shape == (1797, 8, 8, 1)
    assert (drawn.x.min(), drawn.x.max()) == (0.0, 16.0)
    assert np.array_equal(drawn.x, np.round(drawn.x))
    # the class counts of the test part, as its publishers list them
    assert np.bincount(drawn.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert drawn.classes == tuple("0123456789")
    # The first image is a zero: ink on a ring, paper in the middle.
    assert drawn.y[0] == 0
    assert drawn.x[0, :, :, 0][3].tolist() == [0, 4, 12, 0, 0, 8, 8, 0]


def test_digits_do_not_depend_on_the_seed_but_their_split_does() -> None:
    data_set = digits.Digits()
    assert np.array_equal(data_set.collect(1, None).x, data_set.collect(2, None).x)
    assert not np.array_equal(data_set.load(1).y_validation, data_set.load(2).y_validation)


def test_changing_the_digits_of_one_run_leaves_the_next_one_alone() -> None:
    data = digits.Digits(scaling="none").load(0)
    before = digest(data)
    data.x_train[:] = -1.0
    data.y_train[:] = 0
    assert digest(digits.Digits(scaling="none").load(0)) == before


@pytest.mark.parametrize("content", [None, b"", b"not an archive", b"PK\x03\x04 cut off", "pickle"])
def test_damaged_sample_data_says_what_to_do(
    content: bytes | str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content == "pickle":
        np.savez(tmp_path / digits.FILE, images=np.array([{}], dtype=object), labels=np.zeros(1))
    elif isinstance(content, bytes):
        (tmp_path / digits.FILE).write_bytes(content)
    monkeypatch.setattr(digits.resources, "files", lambda package: tmp_path)
    digits._read.cache_clear()
    try:
        with pytest.raises(InputError, match="install Layerscope again") as caught:
            digits.Digits().load(0)
    finally:
        digits._read.cache_clear()
    assert str(caught.value).startswith("digits.npz, data: the sample data")
    assert "\n" not in str(caught.value)


def test_the_source_of_the_sample_data_is_told() -> None:
    text = resources.files("layerscope.sample_data").joinpath("README.md").read_text(encoding="utf-8")
    for file in resources.files("layerscope.sample_data").iterdir():
        if file.name.endswith((".npz", ".csv", ".gz")):
            assert f"## {file.name}" in text, f"{file.name} has no source and license in sample_data/README.md"


# --- Wrong settings ---


@pytest.mark.parametrize(
    ("name", "settings", "place", "says"),
    [
        ("moons", {"samples": 0}, "data.samples", "a whole number from 10 to 100000"),
        ("moons", {"samples": 10.5}, "data.samples", "a whole number from 10 to 100000"),
        ("moons", {"noise": -0.1}, "data.noise", "a number from 0 to 2"),
        ("moons", {"noise": "much"}, "data.noise", "a number from 0 to 2"),
        ("moons", {"scaling": "standardise"}, "data.scaling", 'did you mean "standardize"'),
        ("moons", {"centers": 3}, "data.centers", 'unknown key "centers"'),
        ("blobs", {"centers": 1}, "data.centers", "a whole number from 2 to 10"),
        ("spirals", {"turns": -1}, "data.turns", "a number from 0 to 5"),
        ("circles", {"radius": 1.0}, "data.radius", "a number from 0 to 0.95"),
        ("digits", {"validation": 1.0}, "data.validation", "a number from 0 to 0.9"),
        ("digits", {"label_noise": 1.5}, "data.label_noise", "a number from 0 to 1"),
        ("digit", {}, "data.kind", 'did you mean "digits"'),
        ("checkerboard", {"cells": 1}, "data.cells", "a whole number from 2 to 16"),
        ("regression", {"function": "tangent"}, "data.function", "one of sine, linear, cubic"),
        ("csv", {"delimiter": ";"}, "data.delimiter", "one of auto, comma, semicolon, tab, bar, space"),
        ("csv", {"file": "a.csv"}, "data.file", 'unknown key "file"'),
        ("idx", {"most": -1}, "data.most", "a whole number from 0 to 100000000"),
        ("npz", {"task": "classes"}, "data.task", "one of auto, classification, regression"),
    ],
)
def test_a_wrong_setting_is_one_line_with_its_place(name: str, settings: dict[str, Any], place: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        build(DataSet, {"kind": name, **settings}, "data")
    line = str(caught.value)
    assert line.startswith(f"{place}: ")
    assert says in line
    assert "\n" not in line


def test_importing_data_sets_loads_no_compiler_and_no_scipy() -> None:
    program = (
        "import sys; import layerscope.core.data; "
        "print([m for m in ('numba', 'scipy', 'matplotlib', 'PySide6') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["csv", "idx", "npz"])
def test_a_file_that_is_not_chosen_yet_is_a_question_and_no_crash(name: str) -> None:
    data_set = build(DataSet, {"kind": name})
    for ask in (data_set.outline, lambda: data_set.collect(0, None)):
        with pytest.raises(InputError, match="no file is chosen yet; choose one") as caught:
            ask()
        assert caught.value.place in ("path", "images")


MODULES = ["data", "data.base", "data.digits", "data.splits", "data.scaling", "data.csv", "archive", "experiment"]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_the_first_one_imported(module: str) -> None:
    subprocess.run([sys.executable, "-c", f"import layerscope.core.{module}"], check=True, capture_output=True)
