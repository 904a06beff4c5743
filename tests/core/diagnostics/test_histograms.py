"""Histograms count every number once, follow a range wherever it drifts, and are the same however a run was walked."""

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core import record
from layerscope.core.activations import ACTIVATIONS
from layerscope.core.diagnostics.histograms import (
    ABOVE,
    BELOW,
    BINS,
    HALVES,
    LOG_BINS,
    NAN,
    ZERO,
    Histogram,
    Part,
    half_octave,
    histograms,
)
from layerscope.core.record import Detail, Record
from layerscope.core.run import Run

DRAWS = np.random.default_rng(4)


def one(values, **given) -> Histogram:
    found = histograms([Part(3, np.asarray(values).reshape(-1), **given)]).of(3)
    assert found is not None
    return found


def samples():
    normal = DRAWS.normal(size=5000)
    return {
        "normal": normal,
        "sigmoid": 1 / (1 + np.exp(-6 * normal)),
        "relu": np.maximum(normal, 0),
        "decades": np.sign(normal) * 10 ** DRAWS.uniform(-8, 2, 5000),
        "grid": np.repeat(np.linspace(-1, 1, 65), 7),
        "narrow": 1 + 1e-6 * normal,
        "tiny": 1e-300 * normal,
        "huge": 1e300 * normal,
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", samples())
def test_linear_counts_are_numpys(name, dtype):
    with np.errstate(over="ignore", under="ignore"):
        values = samples()[name].astype(dtype)
    values = values[np.isfinite(values)]
    if len(values) == 0 or values.min() == values.max():  # float32 has no such numbers
        return
    found = one(values)
    expected, edges = np.histogram(values.astype(np.float64), BINS)
    np.testing.assert_array_equal(found.linear, expected)
    np.testing.assert_array_equal(found.edges, edges)
    assert found.least == values.min()
    assert found.most == values.max()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", samples())
def test_logarithmic_counts_are_those_between_their_edges(name, dtype):
    with np.errstate(over="ignore", under="ignore"):
        values = samples()[name].astype(dtype).astype(np.float64)
    found = one(values.astype(dtype))
    values = values[np.isfinite(values)]
    if len(values) == 0:
        assert found.logarithmic.sum() == 0
        return
    edges = found.magnitudes
    assert edges[-2] <= np.abs(values).max() < edges[-1]
    for side, counts in ((1, found.logarithmic[ZERO + 1 :]), (-1, found.logarithmic[:ZERO][::-1])):
        there = side * values[side * values > 0]
        expected = np.histogram(there, np.append(edges[:-1], np.inf))[0]
        np.testing.assert_array_equal(counts[1:], expected)
        assert counts[0] == np.count_nonzero(there < edges[0])
    assert found.logarithmic[ZERO] == np.count_nonzero(values == 0)


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e9, 1e30])
def test_nothing_is_lost_while_a_range_drifts_by_decades(scale):
    values = (DRAWS.normal(size=4000) * scale).astype(np.float32)
    found = one(values)
    assert found.linear.sum() == found.logarithmic.sum() == found.count == 4000
    # the bins are as fine as ever: both pictures look like those of the same numbers without the factor
    assert np.count_nonzero(found.linear) > 40
    assert np.count_nonzero(found.logarithmic) > 20
    assert found.rms == pytest.approx(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def test_what_is_not_finite_is_counted_apart():
    values = np.array([np.nan, 1, 2, -np.inf, np.inf, np.inf, 3, -np.nan, 0, -0.0], dtype=np.float32)
    found = one(values)
    assert found.all.special[0, [NAN, BELOW, ABOVE]].tolist() == [2, 1, 2]
    assert found.finite == 5
    assert found.count == 10
    assert found.strange == 0.5
    assert found.zero == 0.2
    assert (found.least, found.most) == (0.0, 3.0)
    assert found.logarithmic.sum() == 5


@pytest.mark.parametrize("values", [[np.nan] * 4, [np.inf, -np.inf]])
def test_nothing_finite_has_no_range(values):
    found = one(np.array(values))
    assert np.isnan(found.least)
    assert np.isnan(found.rms)
    assert found.finite == found.linear.sum() == 0
    assert found.strange == 1.0


@pytest.mark.parametrize("value", [0.0, -2.5, 1e-40, 1.7e308])
def test_one_value_again_and_again(value):
    found = one(np.full(9, value))
    assert found.least == found.most == value
    assert found.linear.sum() == found.logarithmic.sum() == 9
    assert found.linear.max() == 9
    assert (found.zero == 1.0) == (value == 0.0)


def test_a_range_wider_than_any_number_is_still_counted():
    found = one(np.array([-1.7e308, -1e308, 0.0, 1e308, 1.7e308]))
    assert found.finite == 5
    assert found.linear[0] == found.linear[-1] == 1
    assert (np.diff(found.edges) > 0).all()


def test_shares_of_what_is_near_and_what_is_saturated():
    values = np.tanh(3 * DRAWS.normal(size=3000))
    found = one(values, saturation=(-0.97, 0.97), near=(-0.3, 0.3))
    assert found.saturated == np.mean(np.abs(values) >= 0.97)
    assert found.near == np.mean(np.abs(values) <= 0.3)
    rms = np.sqrt(np.mean(values**2))
    assert one(values).near == np.mean(np.abs(values) <= 0.01 * rms)
    assert one(values).saturated == 0.0


def test_infinity_is_not_saturated():
    assert one(np.array([np.inf, -np.inf, 0.5, 1.0]), saturation=(-np.inf, 1.0)).saturated == 0.25


@pytest.mark.parametrize("function", ["sigmoid", "tanh", "softsign", "hard_tanh"])
def test_the_linear_part_of_a_function_is_where_its_slope_is_near_its_greatest(function):
    kind = ACTIVATIONS[function]
    x = np.linspace(-4, 4, 100_001)
    slope, y = kind.slope(x, 0.0), kind.value(x, 0.0)
    low, high = kind.linear_part
    inside = (y > low) & (y < high)
    np.testing.assert_array_equal(inside, slope > 0.9 * slope.max() * (1 - 1e-9))


def test_half_octaves_are_told_by_the_bits():
    values = np.array([1.0, 1.49, 1.5, 1.99, 2.0, 3.0])
    assert (half_octave(values) - half_octave(np.ones(1))).tolist() == [0, 0, 1, 1, 2, 3]


# --- in a run


def sample(**changes):
    training = {"batch_size": 32, "optimizer": {"kind": "sgd", "learning_rate": 0.3}, **changes}
    return experiment(dense(12), act("tanh"), dense(11, "he_normal"), act("relu"), dense(10), **training)


def same(one: Detail, other: Detail) -> bool:
    return all(
        np.array_equal(getattr(one.histograms[q], name), getattr(other.histograms[q], name), equal_nan=True)
        for q in ("activation", "gradient", "weight")
        for name in ("layers", "least", "most", "rms", "linear", "logarithmic", "top", "special")
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"precision": "float64"},
        {"precision": "float16", "loss_scale": {"kind": "static", "factor": 1024.0}},
        {"precision": "float16", "loss_scale": {"kind": "dynamic"}},
        {"precision": "bfloat16"},
    ],
)
def test_histograms_agree_with_the_record(changes):
    run = Run(sample(**changes))
    run.advance(60)
    view = run.record.view()
    assert len(view.details) > 20
    for detail in view.details:
        for quantity in ("activation", "gradient"):
            found = detail.histograms[quantity]
            np.testing.assert_array_equal(found.layers, range(5))
            np.testing.assert_array_equal(found.least, view.at(f"{quantity}.min", detail.step))
            np.testing.assert_array_equal(found.most, view.at(f"{quantity}.max", detail.step))
            np.testing.assert_allclose(found.rms, view.at(f"{quantity}.rms", detail.step), rtol=1e-6)
            zeros = [found.of(i).zero for i in range(5)]
            np.testing.assert_allclose(zeros, view.at(f"{quantity}.zero_fraction", detail.step))
        activation = detail.histograms["activation"]
        saturated = [activation.of(i).saturated for i in range(5)]
        np.testing.assert_allclose(saturated, view.at("activation.saturated_fraction", detail.step))
        weight = detail.histograms["weight"]
        np.testing.assert_array_equal(weight.layers, [0, 2, 4])
        counts = [weight.of(i).count for i in (0, 2, 4)]
        np.testing.assert_allclose(
            weight.rms * np.sqrt(counts), view.at("weight.norm", detail.step)[[0, 2, 4]], rtol=1e-6
        )


def test_weights_are_those_that_the_step_began_with():
    run = Run(sample())
    drawn = run.parameters()["4.weight"]
    run.advance(1)
    first = run.record.details[0].histograms["weight"].of(4)
    assert (first.least, first.most) == (drawn.min(), drawn.max())
    assert run.parameters()["4.weight"].max() != drawn.max()


def test_a_past_step_looks_as_it_did():
    run = Run(sample())
    run.advance(60)
    recorded = {d.step: d for d in run.record.details}
    for step in (0, 7, 22, 40):
        run.seek(step)
        assert same(run.look()[1], recorded[step])


def test_operation_by_operation_the_same_is_counted():
    run, other = Run(sample()), Run(sample())
    run.advance(20)
    while other.step < 20:
        other.operation_forward()
    for one_detail, other_detail in zip(run.record.details, other.record.details, strict=True):
        assert one_detail.step == other_detail.step
        assert same(one_detail, other_detail)
    assert run.machine.kept.tobytes() == other.machine.kept.tobytes()


def test_measuring_changes_nothing():
    run, other = Run(sample()), Run(sample(), record=False)
    run.advance(50)
    run.details(run.step - 1)
    other.advance(50)
    for name, values in run.parameters().items():
        np.testing.assert_array_equal(values, other.parameters()[name])


def test_the_newest_step_is_measured_behind_it():
    run = Run(sample())
    run.advance(33)  # no step of the schedule
    newest = run.details(32)
    run.seek(32)
    assert same(run.look()[1], newest)


# --- in the record


def test_histograms_are_read_back_as_they_were(tmp_path):
    run = Run(sample())
    run.advance(50)
    view = run.record.view()
    record.save(view, tmp_path)
    again = record.load(tmp_path / "record.npz")
    assert [d.step for d in again.details] == [d.step for d in view.details]
    assert all(same(a, b) for a, b in zip(again.details, view.details, strict=True))


def test_a_record_without_histograms_is_read(tmp_path):
    run = Run(sample())
    run.advance(5)
    content = {k: v for k, v in record.arrays(run.record.view()).items() if not k.startswith("histogram")}
    (tmp_path / "record.npz").write_bytes(record.npz(content))
    again = record.load(tmp_path / "record.npz")
    assert len(again.details) == 5
    assert all(not d.histograms for d in again.details)


def test_steps_from_before_a_fork_with_more_layers_are_saved(tmp_path):
    run = Run(sample())
    run.advance(20)
    more = experiment(
        dense(12), act("tanh"), dense(11, "he_normal"), act("relu"), dense(9), act("tanh"), dense(10), batch_size=32
    )
    child = run.fork(more)
    child.advance(15)
    view = child.record.view()
    assert {len(d.histograms["activation"].layers) for d in view.details} == {5, 7}
    record.save(view, tmp_path)
    again = record.load(tmp_path / "record.npz")
    assert [d.step for d in again.details] == [d.step for d in view.details]
    for before, after in zip(view.details, again.details, strict=True):
        for quantity in before.histograms:
            for layer in range(7):
                one, other = (d.histograms[quantity].of(layer) for d in (before, after))
                assert (one is None) == (other is None)
                if one is not None and other is not None:
                    np.testing.assert_array_equal(one.linear, other.linear)
                    assert one.least == other.least


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("layers", lambda a: a + 100),
        ("linear", lambda a: a[:, :, :-1]),
        ("linear", lambda a: a.astype(float)),
        ("range", lambda a: a[:-1]),
    ],
)
def test_a_damaged_histogram_is_no_record(tmp_path, name, broken):
    run = Run(sample())
    run.advance(5)
    content = record.arrays(run.record.view())
    content[f"histogram.activation.{name}"] = broken(content[f"histogram.activation.{name}"])
    (tmp_path / "record.npz").write_bytes(record.npz(content))
    with pytest.raises(record.InputError, match="not a record"):
        record.load(tmp_path / "record.npz")


def test_a_long_run_keeps_every_second_histogram_and_all_percentiles():
    run = Run(sample())
    run.advance(16)
    each = run.record.details[0].bytes
    kept = Record(run.record.layers, run.record.kinds, histogram_budget=6 * each)
    for number in range(40):
        kept.add_detail(Detail(number, run.record.details[0].percentiles, {}, run.record.details[0].histograms))
        assert sum(d.bytes for d in kept.details) <= 6 * each
    counted = [d.step for d in kept.details if d.histograms]
    assert len(kept.details) == 40
    assert counted[0] == 0
    assert counted[-1] == 39
    assert len(counted) >= 3


def test_the_logarithmic_bins_have_room_for_nine_decades():
    assert 2 ** (HALVES / 2) > 1e9
    assert LOG_BINS == 2 * (HALVES + 1) + 1
