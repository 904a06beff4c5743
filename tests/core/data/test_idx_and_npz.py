"""Files of arrays: MNIST's format and NumPy's, read as they are, refused where they contradict themselves."""

import gzip
import os
import struct
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import damage
from hypothesis import given
from oracles import make_idx

from layerscope.core.data import idx as idx_module
from layerscope.core.data import npz as npz_module
from layerscope.core.data.base import DataSet, Outline
from layerscope.core.data.idx import Idx
from layerscope.core.data.npz import Npz
from layerscope.core.errors import InputError

TEN = tuple("0123456789")


def refused(data_set: DataSet, folder: Path) -> InputError:
    """What is said of data that cannot be had: the same by `outline`, `collect` and `load`, in one line."""
    said = []
    for ask in (lambda: data_set.outline(folder), lambda: data_set.collect(0, folder)):
        with pytest.raises(InputError) as caught:
            ask()
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "\n" not in said[0]
    with pytest.raises(InputError) as caught:
        data_set.load(0, folder)
    assert caught.value.place.startswith("data.")
    return caught.value


def pair(folder: Path, images: Any, labels: Any) -> Idx:
    for name, content in (("images", images), ("labels", labels)):
        if isinstance(content, np.ndarray):
            content = make_idx.idx(content)
        (folder / name).write_bytes(content)
    return Idx(images="images", labels="labels")


IMAGES, LABELS = (array[:50] for array in make_idx.digits())


@pytest.mark.parametrize("packed", [False, True])
def test_images_and_labels_are_read_as_they_are(packed: bool, tmp_path: Path) -> None:
    images, labels = make_idx.write(tmp_path, 300, packed)
    data_set = Idx(images=images, labels=labels)
    assert data_set.outline(tmp_path) == Outline((8, 8, 1), 10, TEN)
    samples = data_set.collect(0, tmp_path)
    expected = make_idx.digits()
    assert np.array_equal(samples.x[..., 0], expected[0][:300])
    assert np.array_equal(samples.y, expected[1][:300])
    assert (samples.x.min(), samples.x.max()) == (0, 255)
    assert samples.classes == TEN
    assert data_set.load(0, tmp_path).outline == data_set.outline(tmp_path)


def test_whether_a_file_is_packed_is_seen_in_it_and_not_in_its_name(tmp_path: Path) -> None:
    data_set = pair(tmp_path, gzip.compress(make_idx.idx(IMAGES), mtime=0), LABELS)
    assert len(data_set.collect(0, tmp_path).x) == 50


def test_fewer_samples_are_the_first_ones_and_the_classes_stay(tmp_path: Path) -> None:
    images, labels = make_idx.write(tmp_path, 300)
    samples = Idx(images=images, labels=labels, most=3).collect(0, tmp_path)
    assert np.array_equal(samples.x[..., 0], make_idx.digits()[0][:3])
    assert samples.y.tolist() == [0, 1, 2]
    assert samples.classes == TEN
    assert Idx(images=images, labels=labels, most=3).outline(tmp_path).targets == 10
    assert len(Idx(images=images, labels=labels, most=10_000).collect(0, tmp_path).x) == 300


@pytest.mark.parametrize("shape", [(20, 7), (20, 3, 5), (20, 3, 5, 2)])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_all_shapes_and_types_of_the_format(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) % 100).astype(dtype)
    data_set = pair(tmp_path, array, np.arange(20).astype("u1") % 3 + 5)
    samples = data_set.collect(0, tmp_path)
    assert np.array_equal(samples.x.reshape(shape), array)
    assert samples.x.dtype.isnative
    assert samples.x.shape[1:] == ((3, 5, 1) if len(shape) == 3 else shape[1:])
    assert samples.classes == ("5", "6", "7")


HUGE = struct.pack(">BBBB3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (b"", LABELS, "images, data.images: is not a file in MNIST's format"),
        (b"PNG and so on", LABELS, "images, data.images: is not a file in MNIST's format"),
        (IMAGES, b"\0\0\x07\x01", "labels, data.labels: is not a file in MNIST's format"),
        (b"\0\0\x08\x09" + bytes(36), LABELS, "says that it has 9 dimensions, and 1 to 4 can be read"),
        (b"\0\0\x08\x03\0\0", LABELS, "is cut off in its first bytes"),
        (make_idx.idx(IMAGES)[:-1], LABELS, "50 × 8 × 8, which takes 3,216 bytes, and has 3,215"),
        (make_idx.idx(IMAGES) + b"x", LABELS, "50 × 8 × 8, which takes 3,216 bytes, and has 3,217"),
        (gzip.compress(make_idx.idx(IMAGES) + b"x", mtime=0), LABELS, "goes on after the 50 × 8 × 8 numbers"),
        (gzip.compress(make_idx.idx(IMAGES)[:-1], mtime=0), LABELS, "which takes 3,216 bytes, and has 3,215"),
        (gzip.compress(make_idx.idx(IMAGES), mtime=0)[:-20], LABELS, "is cut off or damaged"),
        (b"\x1f\x8b\x08\0 and more", LABELS, "images: is"),
        (HUGE, LABELS, "which takes"),
        (gzip.compress(HUGE, mtime=0), LABELS, "more than 67,108,864; use fewer samples"),
        (LABELS, IMAGES, "holds labels, not images; are the two files swapped?"),
        (IMAGES, IMAGES, "holds images, not labels; are the two files swapped?"),
        (IMAGES, LABELS[:49], "has 49 labels for 50 images"),
        (IMAGES, LABELS.astype("f4"), "holds labels that are not whole numbers"),
        (IMAGES, np.zeros(50, dtype="u1"), "all samples are of one class"),
        (IMAGES, np.arange(50, dtype="i4").repeat(1), None),
        (IMAGES[:0], LABELS[:0], "holds no images (0 × 8 × 8)"),
    ],
)
def test_files_that_contradict_themselves_are_refused(
    images: Any, labels: Any, says: str | None, tmp_path: Path
) -> None:
    data_set = pair(tmp_path, images, labels)
    if says is None:
        assert data_set.outline(tmp_path).targets == 50
        return
    if says.startswith(("goes on", "is cut off or", "which takes 3,216 bytes, and has 3,215")) and (
        isinstance(images, bytes) and images[:2] == b"\x1f\x8b"
    ):
        # The shape of a packed file is known without unpacking all of it.
        with pytest.raises(InputError) as caught:
            data_set.load(0, tmp_path)
        assert says in str(caught.value)
        return
    assert says in str(refused(data_set, tmp_path))


def test_a_packed_bomb_is_unpacked_only_as_far_as_it_declares(tmp_path: Path) -> None:
    bomb = gzip.compress(make_idx.idx(IMAGES) + bytes(200_000_000), compresslevel=1)
    data_set = pair(tmp_path, bomb, LABELS)
    tracemalloc.start()
    began = time.perf_counter()
    with pytest.raises(InputError, match="goes on after"):
        data_set.collect(0, tmp_path)
    assert time.perf_counter() - began < 0.2
    assert tracemalloc.get_traced_memory()[1] < 16 * 1024**2
    tracemalloc.stop()


@pytest.mark.parametrize("packed", [False, True])
def test_any_damage_to_images_ends_in_one_line(packed: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damage")
    images, labels = make_idx.write(folder, 20, packed)
    content = (folder / images).read_bytes()
    data_set = Idx(images=images, labels=labels)

    @given(damage(content))
    def check(damaged: bytes) -> None:
        (folder / images).write_bytes(damaged)
        try:
            data_set.load(0, folder)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017

    check()


def test_any_damage_to_labels_ends_in_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damage")
    images, labels = make_idx.write(folder, 20, packed=False)
    content = (folder / labels).read_bytes()

    @given(damage(content))
    def check(damaged: bytes) -> None:
        (folder / labels).write_bytes(damaged)
        try:
            Idx(images=images, labels=labels).load(0, folder)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017

    check()


# --- npz


def saved(folder: Path, **arrays: Any) -> Npz:
    np.savez(folder / "a.npz", **arrays)
    return Npz(path="a.npz")


X = np.random.default_rng(0).normal(size=(12, 5))
Y = np.arange(12) % 3


@pytest.mark.parametrize(
    ("x", "shape"),
    [
        (X, (5,)),
        (X[:, 0], (1,)),
        (X.astype("f4"), (5,)),
        (X.astype("f2"), (5,)),
        (X > 0, (5,)),
        (np.zeros((12, 4, 6), dtype="u1"), (4, 6, 1)),
        (np.zeros((12, 4, 6, 3)), (4, 6, 3)),
    ],
)
def test_arrays_become_tables_or_images(x: np.ndarray, shape: tuple[int, ...], tmp_path: Path) -> None:
    data_set = saved(tmp_path, x=x, y=Y)
    assert data_set.outline(tmp_path) == Outline(shape, 3, ("0", "1", "2"))
    assert np.array_equal(data_set.collect(0, tmp_path).x.reshape(x.shape), x)
    assert data_set.load(0, tmp_path).outline == data_set.outline(tmp_path)


@pytest.mark.parametrize(
    ("y", "task", "targets", "classes"),
    [
        (Y, "auto", 3, ("0", "1", "2")),
        (Y + 7, "auto", 3, ("7", "8", "9")),
        (Y[:, None], "auto", 3, ("0", "1", "2")),
        (Y > 0, "auto", 2, ("0", "1")),
        (np.array(["b", "a", ""] * 4), "auto", 3, ("-", "a", "b")),
        (np.eye(3)[Y], "auto", 3, ("0", "1", "2")),
        (np.eye(3)[Y], "classification", 3, ("0", "1", "2")),
        (np.eye(3)[Y], "regression", 3, ()),
        (Y, "regression", 1, ()),
        (Y.astype(float), "auto", 1, ()),
        (Y.astype(float), "classification", 3, ("0", "1", "2")),
        (Y / 2, "classification", 3, ("0", "0.5", "1")),
        (X[:, :2], "auto", 2, ()),
    ],
)
def test_targets_are_classes_or_values(
    y: np.ndarray, task: str, targets: int, classes: tuple[str, ...], tmp_path: Path
) -> None:
    saved(tmp_path, x=X, y=y)
    data_set = Npz(path="a.npz", task=task, label_noise=0.2)
    outline = data_set.outline(tmp_path)
    assert outline == Outline((5,), targets, classes)
    assert outline.is_regression == (not classes)
    samples = data_set.collect(0, tmp_path)
    if classes:
        values = y.argmax(axis=1) if y.ndim == 2 and y.shape[1] > 1 else y.reshape(-1)
        assert np.array_equal(samples.y, np.unique(values, return_inverse=True)[1].reshape(-1))
    else:
        assert np.array_equal(samples.y, y.reshape(12, -1))
    assert data_set.load(0, tmp_path).outline == outline


@pytest.mark.parametrize(
    ("arrays", "settings", "says"),
    [
        ({"images": X, "y": Y}, {}, 'a.npz, data.x: has no array "x"; it has: images (12 × 5), y (12)'),
        ({"x": X, "labels": Y}, {}, 'a.npz, data.y: has no array "y"'),
        ({"x": X, "y": Y[:11]}, {}, "y is 11 and x is 12 × 5; y must have one row for each of the 12 samples"),
        ({"x": X, "y": np.zeros((12, 2, 2))}, {}, "y is 12 × 2 × 2"),
        ({"x": np.zeros(()), "y": Y}, {}, "x is a single value; it must be (samples, features)"),
        ({"x": np.zeros((12, 0)), "y": Y}, {}, "x is 12 × 0; it must be"),
        ({"x": np.zeros((1, 2, 3, 4, 5)), "y": Y}, {}, "x is 1 × 2 × 3 × 4 × 5"),
        ({"x": np.array(["a"] * 12), "y": Y}, {}, "data.x: x holds texts"),
        ({"x": X, "y": np.array(["a"] * 12)}, {}, "all samples are of one class"),
        ({"x": X, "y": np.array(["a"] * 12)}, {"task": "regression"}, "data.task: y holds texts, which are classes"),
        ({"x": X, "y": X[:, :2]}, {"task": "classification"}, "y is 12 × 2 and not one-hot"),
        ({"x": X, "y": np.full(12, np.nan)}, {"task": "classification"}, "y holds numbers that are not finite"),
        ({"x": np.zeros((1_100_000, 64), dtype="?"), "y": np.zeros(1_100_000)}, {}, "70,400,000 numbers, more than"),
        ({"x": X, "y": np.zeros((12, 1001))}, {}, "y has 1,001 values to predict for each sample"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(
    arrays: dict[str, Any], settings: dict[str, Any], says: str, tmp_path: Path
) -> None:
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    assert says in str(refused(Npz(path="a.npz", **settings), tmp_path))


@pytest.mark.parametrize("array", ["x", "y"])
def test_values_that_are_not_finite_are_refused(array: str, tmp_path: Path) -> None:
    arrays = {"x": X.copy(), "y": X[:, 0].copy()}
    arrays[array].flat[3] = np.inf
    with pytest.raises(InputError, match="not (all )?finite"):
        saved(tmp_path, **arrays).load(0, tmp_path)


def test_two_npy_files_do_as_well(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    data_set = Npz(path="x.npy", y="y.npy")
    assert data_set.outline(tmp_path) == Outline((5,), 3, ("0", "1", "2"))
    assert np.array_equal(data_set.collect(0, tmp_path).x, X)
    assert "set y to the .npy file" in str(refused(Npz(path="x.npy"), tmp_path))
    (tmp_path / "y.npy").write_bytes(b"no array")
    assert str(refused(data_set, tmp_path)).startswith("y.npy, data.y: is damaged")


def test_any_damage_to_arrays_ends_in_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("damage")
    data_set = saved(folder, x=X, y=Y)
    content = (folder / "a.npz").read_bytes()

    @given(damage(content))
    def check(damaged: bytes) -> None:
        (folder / "a.npz").write_bytes(damaged)
        try:
            data_set.load(0, folder)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017

    check()


# --- paths and what is remembered


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none.npz", "none.npz, data.path: does not exist (looked in {folder}); check the path"),
        ("deep/er/none.npz", "does not exist (looked in {folder}/deep/er)"),
        ("", "data.path: no file is chosen yet; choose one"),
        (".", "data.path: is not a file; check the path"),
        ("a\0b", "data.path: cannot be read: "),
        ("a" * 3000, "data.path: cannot be read: File name too long"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_with_where_it_was_looked_for(path: str, says: str, tmp_path: Path) -> None:
    assert says.format(folder=tmp_path) in str(refused(Npz(path=path), tmp_path))


def test_relative_paths_start_at_the_experiment_and_absolute_ones_at_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    saved(tmp_path / "data", x=X, y=Y)
    assert Npz(path="data/a.npz").outline(tmp_path).targets == 3
    assert Npz(path="../data/a.npz").outline(tmp_path / "data").targets == 3
    assert Npz(path=str(tmp_path / "data" / "a.npz")).outline(Path("/")).targets == 3
    monkeypatch.chdir(tmp_path / "data")
    assert Npz(path="a.npz").outline().targets == 3


def test_an_outline_is_remembered_until_the_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npz_module._outlines.clear()
    data_set = saved(tmp_path, x=X, y=Y)
    first = data_set.outline(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(npz_module, "opened", None)  # it would fail to read anything
        assert data_set.outline(tmp_path) == first
        assert Npz(path="a.npz", scaling="unit", validation=0.5).outline(tmp_path) == first
    saved(tmp_path, x=X, y=Y % 2)
    os.utime(tmp_path / "a.npz", ns=(1, 1))
    assert data_set.outline(tmp_path).targets == 2
    assert Npz(path="a.npz", task="regression").outline(tmp_path).targets == 1
    (tmp_path / "a.npz").unlink()
    assert "does not exist" in str(refused(data_set, tmp_path))


def test_complaints_are_remembered_and_forgotten_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    said = str(refused(Npz(path="a.npz"), tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(npz_module, "opened", None)
        with pytest.raises(InputError) as caught:
            Npz(path="a.npz").outline(tmp_path)
        assert str(caught.value.inside("data")) == said
    saved(tmp_path, x=X, y=Y)
    assert Npz(path="a.npz").outline(tmp_path).targets == 3


def test_memory_of_outlines_is_bounded(tmp_path: Path) -> None:
    saved(tmp_path, x=X, y=Y)
    for number in range(100):
        data_set = Npz(path=f"{'./' * number}a.npz")
        assert data_set.outline(tmp_path).targets == 3
    assert len(npz_module._outlines) <= 32


def test_outlines_of_large_files_are_quick(tmp_path: Path) -> None:
    count = 20_000
    data_set = pair(tmp_path, np.zeros((count, 28, 28), dtype="u1"), (np.arange(count) % 10).astype("u1"))
    idx_module._outlines.clear()
    began = time.perf_counter()
    data_set.outline(tmp_path)
    assert time.perf_counter() - began < 0.1
    tracemalloc.start()
    idx_module._outlines.clear()
    data_set.outline(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 2 * 1024**2
    tracemalloc.stop()
