"""Scaling measures on the training samples only, and no input makes it divide by zero."""

import msgspec
import numpy as np
import pytest

from layerscope.core.data.base import DataSet, Samples
from layerscope.core.data.blobs import Blobs
from layerscope.core.data.digits import Digits
from layerscope.core.data.moons import Moons
from layerscope.core.data.scaling import FLOOR, SCALINGS, Scaling
from layerscope.core.data.splits import prepare
from layerscope.core.errors import InputError

EVERY = list(SCALINGS.items())
every_scaling = pytest.mark.parametrize(("name", "scaling"), EVERY, ids=[name for name, _ in EVERY])


def table(count: int = 40) -> np.ndarray:
    """Columns of very different size and place."""
    t = np.linspace(0.0, 1.0, count)
    return np.stack([1000.0 + 500.0 * t, -0.002 * t**2, np.sin(20 * t)], axis=1)


def test_the_contracted_scalings_are_there() -> None:
    assert SCALINGS.names() == ["none", "unit", "symmetric", "standardize", "whiten"]
    assert DataSet.registry.get("digits")().scaling == "standardize"


@every_scaling
def test_a_scaling_is_a_small_frozen_object_with_texts(name: str, scaling: Scaling) -> None:
    assert scaling.label
    assert scaling.help.endswith(".")
    assert scaling == type(scaling)()
    with pytest.raises(AttributeError):
        scaling.anything = 1  # type: ignore[attr-defined]


@every_scaling
@pytest.mark.parametrize("kind", [Digits, Moons, Blobs])
def test_only_training_samples_are_measured(name: str, scaling: Scaling, kind: type[DataSet]) -> None:
    # Move the validation and test samples far away: nothing that the training samples become may change.
    data_set = kind(scaling=name, validation=0.3, test=0.1)
    samples = data_set.collect(0, None)
    plain = prepare(data_set, samples, 0)
    rows = {row.tobytes(): i for i, row in enumerate(samples.x)}
    raw = prepare(msgspec.structs.replace(data_set, scaling="none"), samples, 0)
    moved = samples.x.copy()
    for x in (raw.x_validation, raw.x_test):
        moved[[rows[row.tobytes()] for row in x]] += 1e4
    shifted = prepare(data_set, msgspec.structs.replace(samples, x=moved), 0)
    assert np.array_equal(shifted.x_train, plain.x_train)
    assert not np.array_equal(shifted.x_validation, plain.x_validation)
    assert not np.array_equal(shifted.x_test, plain.x_test)


@every_scaling
def test_validation_and_test_get_the_numbers_of_training(name: str, scaling: Scaling) -> None:
    data_set = Moons(scaling=name, test=0.2)
    samples = data_set.collect(0, None)
    data = prepare(data_set, samples, 0)
    raw = prepare(msgspec.structs.replace(data_set, scaling="none"), samples, 0)
    fitted = scaling.fit(raw.x_train)
    assert np.array_equal(data.x_validation, fitted.apply(raw.x_validation))
    assert np.array_equal(data.x_test, fitted.apply(raw.x_test))


@every_scaling
def test_undo_gives_the_raw_inputs_back(name: str, scaling: Scaling) -> None:
    for x in (table(), Digits().collect(0, None).x[:100]):
        fitted = scaling.fit(x[::2])
        assert fitted.undo(fitted.apply(x)) == pytest.approx(x, abs=1e-9)
    data = Digits(scaling=name).load(0)
    assert np.round(data.scale.undo(data.x_train)) == pytest.approx(data.scale.undo(data.x_train), abs=1e-9)


@every_scaling
@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e-300, 1e12, 5e-324])
def test_constant_features_become_zero_and_stay_finite(name: str, scaling: Scaling, value: float) -> None:
    x = table()
    x[:, 1] = value
    with np.errstate(all="raise", under="ignore"):
        fitted = scaling.fit(x)
        scaled = fitted.apply(x)
    assert np.isfinite(scaled).all()
    if name != "none":
        assert np.array_equal(scaled[:, 1], np.zeros(len(x)))
        # A sample that differs there is shown as how much it differs, not as infinity.
        other = x[:1] + np.array([[0.0, 1.0, 0.0]])
        assert fitted.apply(other)[0, 1] == pytest.approx(1.0)
    assert fitted.undo(scaled)[:, 1] == pytest.approx(x[:, 1])


@every_scaling
def test_a_blank_image_stays_finite(name: str, scaling: Scaling) -> None:
    x = np.full((5, 3, 3, 1), 9.0)
    scaled = scaling.fit(x).apply(x)
    assert np.array_equal(scaled, x if name == "none" else np.zeros_like(x))


@every_scaling
def test_one_training_sample_is_enough(name: str, scaling: Scaling) -> None:
    assert np.isfinite(scaling.fit(table()[:1]).apply(table())).all()


@every_scaling
def test_values_too_small_to_square_stay_finite(name: str, scaling: Scaling) -> None:
    x = table() * 1e-200
    scaled = scaling.fit(x).apply(x)
    assert np.isfinite(scaled).all()


def test_none_leaves_every_bit() -> None:
    x = table()
    assert np.array_equal(SCALINGS["none"].fit(x).apply(x), x)


@pytest.mark.parametrize(("name", "low", "high"), [("unit", 0.0, 1.0), ("symmetric", -1.0, 1.0)])
def test_each_column_of_a_table_has_its_own_range(name: str, low: float, high: float) -> None:
    scaled = SCALINGS[name].fit(table()).apply(table())
    assert scaled.min(axis=0) == pytest.approx([low] * 3)
    assert scaled.max(axis=0) == pytest.approx([high] * 3)


@pytest.mark.parametrize(("name", "low", "high"), [("unit", 0.0, 1.0), ("symmetric", -1.0, 1.0)])
def test_all_pixels_of_an_image_share_one_range(name: str, low: float, high: float) -> None:
    x = Digits().collect(0, None).x
    scaled = SCALINGS[name].fit(x).apply(x)
    assert scaled == pytest.approx(low + (high - low) * x / 16.0)


def test_validation_samples_beyond_the_range_are_not_cut_off() -> None:
    fitted = SCALINGS["unit"].fit(np.array([[0.0], [10.0]]))
    assert fitted.apply(np.array([[-5.0], [20.0]])).tolist() == [[-0.5], [2.0]]


@pytest.mark.parametrize("x", [table(), Digits().collect(0, None).x], ids=["table", "images"])
def test_standardized_features_have_mean_zero_and_std_one(x: np.ndarray) -> None:
    scaled = SCALINGS["standardize"].fit(x).apply(x)
    varies = x.max(axis=0) > x.min(axis=0)
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(x.shape[1:]), abs=1e-12)
    assert scaled.std(axis=0) == pytest.approx(varies.astype(float), abs=1e-12)


def test_standardize_divides_by_n_as_scikit_learn_does() -> None:
    # StandardScaler().fit_transform([[1.0], [2.0], [6.0]]): mean 3, std sqrt(14 / 3)
    x = np.array([[1.0], [2.0], [6.0]])
    assert SCALINGS["standardize"].fit(x).apply(x) == pytest.approx((x - 3.0) / np.sqrt(14.0 / 3.0))


def test_a_scaling_does_not_change_what_it_is_given() -> None:
    x = table()
    before = x.copy()
    for _name, scaling in EVERY:
        scaling.fit(x).apply(x)
    assert np.array_equal(x, before)


def test_samples_are_not_changed_by_preparing_them() -> None:
    samples = Samples(table(), np.arange(40) % 2, ("a", "b"))
    x, y = samples.x.copy(), samples.y.copy()
    prepare(Moons(label_noise=0.5), samples, 0)
    assert np.array_equal(samples.x, x)
    assert np.array_equal(samples.y, y)


# --- Whitening ---


@pytest.mark.parametrize("x", [table(), Digits().collect(0, None).x], ids=["table", "images"])
def test_whitened_training_samples_are_not_correlated(x: np.ndarray) -> None:
    scaled = SCALINGS["whiten"].fit(x).apply(x)
    assert scaled.shape == x.shape
    rows = scaled.reshape(len(x), -1)
    assert rows.mean(axis=0) == pytest.approx(np.zeros(rows.shape[1]), abs=1e-10)
    # In the directions of the standardized samples, the variance v becomes v / (v + FLOOR): 1 unless v is tiny.
    standard = SCALINGS["standardize"].fit(x).apply(x).reshape(len(x), -1)
    before = np.linalg.eigvalsh(standard.T @ standard / len(x)).clip(0.0)
    after = np.linalg.eigvalsh(rows.T @ rows / len(x))
    assert np.sort(after) == pytest.approx(np.sort(before / (before + FLOOR)), abs=1e-9)
    varies = rows.std(axis=0) > 0
    covariance = (rows.T @ rows / len(x))[np.ix_(varies, varies)]
    assert covariance == pytest.approx(np.eye(varies.sum()), abs=0.1)


def test_whitening_changes_samples_as_little_as_it_can() -> None:
    # ZCA and not PCA: each whitened pixel still goes with its own pixel more than with any other.
    x = Digits().collect(0, None).x
    fitted = SCALINGS["whiten"].fit(x)
    assert fitted.matrix is not None
    assert fitted.inverse is not None
    assert fitted.matrix == pytest.approx(fitted.matrix.T)
    assert fitted.matrix @ fitted.inverse == pytest.approx(np.eye(64), abs=1e-9)
    varies = ~fitted.constant.ravel()
    assert (np.abs(fitted.inverse).argmax(axis=1) == np.arange(64))[varies].all()


def test_whitening_does_not_depend_on_the_unit_of_a_column() -> None:
    x = table()
    scaled = SCALINGS["whiten"].fit(x).apply(x)
    again = SCALINGS["whiten"].fit(x * [1000.0, 1e-6, 1.0]).apply(x * [1000.0, 1e-6, 1.0])
    assert again == pytest.approx(scaled, abs=1e-9)


def test_whitening_survives_fewer_samples_than_features_and_copies_of_features() -> None:
    few = Digits().collect(0, None).x[:5]
    assert np.isfinite(SCALINGS["whiten"].fit(few).apply(few)).all()
    twice = np.repeat(table(), 2, axis=1)
    fitted = SCALINGS["whiten"].fit(twice)
    # A direction in which no training sample lies is stretched by no more than 1 / sqrt(FLOOR).
    assert np.linalg.norm(fitted.matrix, 2) <= 1.0 / np.sqrt(FLOOR) + 1e-6
    assert fitted.undo(fitted.apply(twice)) == pytest.approx(twice, abs=1e-9)


def test_whitening_very_many_inputs_is_refused_with_numbers() -> None:
    with pytest.raises(InputError, match=r"^scaling: whitening 4,800 inputs takes too long, at most 4,096"):
        SCALINGS["whiten"].fit(np.zeros((2, 40, 40, 3)))
