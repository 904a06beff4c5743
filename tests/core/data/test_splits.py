"""Splitting and label noise: nothing is lost, nothing is in two parts, and settings do not disturb each other."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerscope.core.data.base import Data, DataSet, Outline, Samples
from layerscope.core.data.blobs import Blobs
from layerscope.core.data.digits import Digits
from layerscope.core.data.moons import Moons
from layerscope.core.data.splits import column_means, filled, one_hot, prepare, split, with_label_noise
from layerscope.core.errors import InputError


def numbered(count: int, classes: int = 2) -> Samples:
    """Samples whose only input is their own row number, so that they can be recognized in every part."""
    numbers = np.arange(count)
    return Samples(numbers[:, None].astype(float), numbers % classes, tuple(str(c) for c in range(classes)))


def parts(data: Data) -> list[set[float]]:
    return [set(x[:, 0].tolist()) for x in (data.x_train, data.x_validation, data.x_test)]


def ready(count: int, seed: int = 0, classes: int = 2, **settings: Any) -> Data:
    return prepare(Moons(scaling="none", **settings), numbered(count, classes), seed)


@given(
    count=st.integers(1, 300),
    classes=st.integers(1, 12),
    validation=st.floats(0.0, 0.9),
    test=st.floats(0.0, 0.9),
    seed=st.integers(0, 2**31 - 1),
)
def test_parts_are_disjoint_complete_and_of_the_right_size(
    count: int, classes: int, validation: float, test: float, seed: int
) -> None:
    y = np.arange(count) % classes
    wanted = round(test * count), round(validation * count)
    if sum(wanted) >= count:
        with pytest.raises(InputError, match="leave none to train on; lower the shares") as caught:
            split(y, validation, test, seed)
        assert caught.value.place == "validation"
        return
    for_training, for_validation, for_test = split(y, validation, test, seed)
    assert (len(for_test), len(for_validation)) == wanted
    assert sorted([*for_training, *for_validation, *for_test]) == list(range(count))


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    share=st.floats(0.0, 0.9),
    seed=st.integers(0, 1000),
)
def test_parts_hold_the_classes_in_proportion(counts: list[int], share: float, seed: int) -> None:
    y = np.repeat(np.arange(len(counts)), counts)
    wanted = round(share * len(y))
    if wanted == len(y):
        return
    validation = y[split(y, share, 0.0, seed)[1]]
    for kind, count in enumerate(counts):
        assert abs((validation == kind).sum() - count * wanted / len(y)) < 2


def test_no_class_is_missing_from_small_training_sets() -> None:
    for seed in range(50):
        data = Blobs(samples=20, centers=10, validation=0.5).load(seed)
        assert set(data.y_train) == set(data.y_validation) == set(range(10))


def test_digits_split_in_proportion() -> None:
    data = Digits(validation=0.2, test=0.2).load(0)
    for y in (data.y_train, data.y_validation, data.y_test):
        shares = np.bincount(y) / len(y)
        assert np.abs(shares - np.bincount(Digits().collect(0, None).y) / 1797).max() < 0.004


def test_parts_are_in_random_order() -> None:
    # Neither the order of the file nor one class after the other: a run without shuffling must see a mixture.
    data = ready(1000, classes=4)
    rows = data.x_train[:, 0]
    assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.1
    same = np.mean(data.y_train[1:] == data.y_train[:-1])
    assert same == pytest.approx(0.25, abs=0.06)


def test_the_test_samples_do_not_depend_on_the_validation_share() -> None:
    few, many = ready(200, test=0.2, validation=0.1), ready(200, test=0.2, validation=0.5)
    assert np.array_equal(few.x_test, many.x_test)
    assert parts(few)[1] <= parts(many)[1]


def test_another_seed_splits_otherwise() -> None:
    assert parts(ready(200, seed=1)) != parts(ready(200, seed=2))


def test_without_shares_everything_is_for_training() -> None:
    data = ready(50, validation=0.0, test=0.0)
    assert len(data.x_train) == 50
    assert data.x_validation.shape == data.x_test.shape == (0, 1)
    assert data.t_validation.shape == (0, 2)
    assert data.y_validation.shape == (0,)


@pytest.mark.parametrize(
    ("count", "settings"), [(10, {"validation": 0.6, "test": 0.4}), (2, {"validation": 0.9}), (0, {"validation": 0.0})]
)
def test_a_split_without_training_samples_is_refused_with_a_way_out(count: int, settings: dict[str, float]) -> None:
    with pytest.raises(InputError) as caught:
        ready(count, **settings)
    line = str(caught.value)
    assert line.startswith(f"validation: {count} samples")
    assert "lower the shares or use more samples" in line
    assert "\n" not in line


def test_one_sample_is_enough() -> None:
    assert ready(1, validation=0.2).x_train.tolist() == [[0.0]]


# --- Label noise ---


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_exactly_the_share_of_training_labels_is_wrong(share: float, classes: int) -> None:
    data = ready(500, classes=classes, label_noise=share, validation=0.2, test=0.1)
    true = data.x_train[:, 0].astype(int) % classes
    assert (data.y_train != true).sum() == round(share * 350)
    assert data.y_train.min() >= 0
    assert data.y_train.max() < classes
    assert np.array_equal(data.t_train.argmax(axis=1), data.y_train)


@pytest.mark.parametrize("kind", [Digits, Blobs])
def test_label_noise_changes_nothing_but_training_labels(kind: type[DataSet]) -> None:
    clean, noisy = (kind(label_noise=share, test=0.1).load(3) for share in (0.0, 0.8))
    assert np.array_equal(clean.x_train, noisy.x_train)
    assert not np.array_equal(clean.y_train, noisy.y_train)
    for part in ("validation", "test"):
        for letter in "xyt":
            assert np.array_equal(getattr(clean, f"{letter}_{part}"), getattr(noisy, f"{letter}_{part}"))


def test_wrong_labels_are_spread_over_all_other_classes() -> None:
    y = np.zeros(3000, dtype=np.int64)
    noisy = with_label_noise(y, np.arange(3000), 1.0, 4, 0)
    counts = np.bincount(noisy, minlength=4)
    assert counts[0] == 0
    assert counts[1:].min() > 900


def test_more_label_noise_keeps_the_labels_that_were_wrong() -> None:
    y = np.arange(400) % 5
    train = np.arange(0, 400, 2)
    little, much = (with_label_noise(y, train, share, 5, 9) for share in (0.1, 0.3))
    wrong = little != y
    assert wrong.sum() == 20
    assert np.array_equal(much[wrong], little[wrong])
    assert (much != y).sum() == 60


def test_label_noise_leaves_the_given_labels_alone() -> None:
    y = np.arange(100) % 2
    with_label_noise(y, np.arange(100), 0.5, 2, 0)
    assert np.array_equal(y, np.arange(100) % 2)


def test_label_noise_needs_a_second_class() -> None:
    with pytest.raises(InputError, match=r"^label_noise: label noise needs at least two classes, .* set it to 0$"):
        ready(20, classes=1, label_noise=0.5)
    assert len(ready(20, classes=1, label_noise=0.0).x_train) == 16


# --- Bad numbers ---


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(bad: float) -> None:
    samples = numbered(20)
    samples.x[7, 0] = bad
    with pytest.raises(InputError, match=r"not finite .* remove those samples"):
        prepare(Moons(), samples, 0)


@pytest.mark.parametrize("scaling", ["unit", "symmetric", "standardize", "whiten"])
def test_samples_too_large_to_scale_are_refused(scaling: str) -> None:
    samples = Samples(np.array([[-1.7e308], [1.7e308], [-1.7e308], [1.7e308]]), np.arange(4) % 2, ("a", "b"))
    with pytest.raises(InputError, match=r"^scaling: the inputs are too large"):
        prepare(Moons(scaling=scaling, validation=0.0), samples, 0)


def test_one_hot_has_a_column_for_every_class() -> None:
    assert one_hot(np.array([2, 0]), 4).tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]
    assert one_hot(np.array([], dtype=np.int64), 3).shape == (0, 3)


# --- Values to predict ---


def measured(count: int, targets: int = 1) -> Samples:
    """Samples whose only input is their own row number, with values that follow from it."""
    numbers = np.arange(count, dtype=float)
    return Samples(numbers[:, None], np.stack([10.0**k * numbers for k in range(targets)], axis=1), ())


@given(
    count=st.integers(8, 200), validation=st.floats(0.0, 0.4), test=st.floats(0.0, 0.4), seed=st.integers(0, 2**31 - 1)
)
def test_values_are_split_without_loss_and_stay_with_their_samples(
    count: int, validation: float, test: float, seed: int
) -> None:
    data = prepare(Moons(scaling="none", validation=validation, test=test), measured(count, 2), seed)
    sizes = [len(data.x_train), len(data.x_validation), len(data.x_test)]
    assert sizes[1:] == [round(validation * count), round(test * count)]
    assert sorted(np.concatenate([data.x_train, data.x_validation, data.x_test])[:, 0]) == list(range(count))
    for part in ("train", "validation", "test"):
        x, y, t = (getattr(data, f"{letter}_{part}") for letter in "xyt")
        assert np.array_equal(t, np.hstack([x, 10.0 * x]))
        assert np.array_equal(y, t)
    assert data.outline == Outline((1,), 2, ())


def test_values_are_split_by_chance_and_the_same_seed_splits_alike() -> None:
    first, again, other = (prepare(Moons(scaling="none"), measured(200), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.t_validation, again.t_validation)
    assert not np.array_equal(first.t_validation, other.t_validation)
    assert 70 < first.t_validation.mean() < 130
    more = prepare(Moons(scaling="none", validation=0.4, test=0.1), measured(200), 1)
    less = prepare(Moons(scaling="none", validation=0.1, test=0.1), measured(200), 1)
    assert np.array_equal(more.x_test, less.x_test)


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_noise_on_values_is_a_share_of_their_spread(share: float) -> None:
    clean, noisy = (prepare(Moons(scaling="none", label_noise=s), measured(8000, 2), 3) for s in (0.0, share))
    added = noisy.t_train - clean.t_train
    assert added.std(axis=0) == pytest.approx(share * clean.t_train.std(axis=0), rel=0.03)
    assert added.mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.05 * clean.t_train.std())
    assert abs(np.corrcoef(added.T)[0, 1]) < 0.05
    assert np.array_equal(noisy.y_train, noisy.t_train)
    assert np.array_equal(noisy.x_train, clean.x_train)
    for part in ("validation", "test"):
        assert np.array_equal(getattr(noisy, f"t_{part}"), getattr(clean, f"t_{part}"))


def test_twice_the_noise_pushes_the_same_values_twice_as_far() -> None:
    clean, once, twice = (prepare(Moons(label_noise=s), measured(100), 3).t_train for s in (0.0, 0.2, 0.4))
    assert twice - clean == pytest.approx(2 * (once - clean))


def test_values_that_are_all_the_same_stay_so() -> None:
    samples = Samples(np.arange(20.0)[:, None], np.full((20, 1), 7.0), ())
    assert set(prepare(Moons(label_noise=1.0), samples, 0).t_train.ravel()) == {7.0}


@pytest.mark.parametrize("scaling", ["none", "unit", "standardize", "whiten"])
def test_values_keep_the_unit_of_the_data(scaling: str) -> None:
    data = prepare(Moons(scaling=scaling), measured(50), 0)
    raw = data.scale.undo(data.x_train)
    assert data.t_train == pytest.approx(raw)


def test_the_given_values_are_left_alone() -> None:
    samples = measured(50)
    before = samples.y.copy()
    data = prepare(Moons(label_noise=0.5), samples, 0)
    data.t_train[:] = 0.0
    assert np.array_equal(samples.y, before)


def test_values_that_are_not_finite_are_refused() -> None:
    samples = measured(20)
    samples.y[3] = np.nan
    with pytest.raises(InputError, match="values to predict are not all finite"):
        prepare(Moons(), samples, 0)


# --- Gaps ---


def test_gaps_are_filled_with_what_training_samples_have() -> None:
    x = np.array([[1.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])
    assert column_means(x).tolist() == [2.0, 6.0]
    assert filled(x, column_means(x)).tolist() == [[1.0, 6.0], [3.0, 5.0], [2.0, 7.0]]
    assert column_means(np.full((2, 1), np.nan)).tolist() == [0.0]
    assert filled(x, None) is x


def test_gaps_that_are_not_announced_are_refused() -> None:
    samples = numbered(20)
    samples.x[7, 0] = np.nan
    assert np.isfinite(prepare(Moons(), msgspec.structs.replace(samples, gaps=True), 0).x_train).all()
    samples.x[7, 0] = np.inf
    with pytest.raises(InputError):
        prepare(Moons(), msgspec.structs.replace(samples, gaps=True), 0)
