"""A record of a long run stays within its memory and loses no extreme; its files can be read back."""

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core import record
from layerscope.core.diagnostics.details import equal_share, unit_shares
from layerscope.core.errors import InputError
from layerscope.core.record import Record, load, save
from layerscope.core.run import Run


def lines(count, columns, seed=0):
    return np.random.default_rng(seed).normal(size=(count, columns))


@pytest.mark.parametrize("pieces", [[1000], [1] * 1000, [3, 64, 1, 700, 232], [64] * 15 + [40]])
def test_thinning_keeps_every_extreme(pieces):
    kept = Record(("0",), ("dense",), budget=1)  # the least there is: 64 rows
    everything = lines(1000, kept.columns)
    everything[123, 0], everything[877, 1] = 1e9, -1e9
    start = 0
    for count in pieces:
        kept.append(everything[start : start + count])
        start += count
    view = kept.view()
    assert kept.end == 1000
    assert len(view) <= 64
    assert view.stride == 16
    whole = len(view) * view.stride
    parts = everything[:whole].reshape(len(view), view.stride, -1)
    np.testing.assert_array_equal(view.block, parts[:, 0])
    np.testing.assert_array_equal(view.low, parts.min(axis=1))
    np.testing.assert_array_equal(view.high, parts.max(axis=1))
    np.testing.assert_array_equal(view.kept_steps, np.arange(len(view)) * view.stride)
    assert view.extent("loss")[1].max() == 1e9


def test_the_row_that_is_not_complete_is_in_the_files():
    kept = Record((), (), budget=1)
    everything = lines(999, kept.columns)
    everything[998, 0] = np.nan
    kept.append(everything)
    assert kept.view().kept_steps[-1] == 61 * 16
    whole = kept.view(whole=True)
    assert whole.kept_steps[-1] == 62 * 16
    assert np.isnan(whole.extent("loss")[0][-1])


def test_a_nan_is_never_thinned_away():
    kept = Record((), (), budget=1)
    everything = lines(1000, kept.columns)
    everything[501, 0] = np.nan
    kept.append(everything)
    low, high = kept.view().extent("loss")
    assert np.isnan(low[501 // 16])
    assert np.isnan(high[501 // 16])
    assert np.isnan(low).sum() == 1


def test_memory_is_bounded_for_ten_million_steps():
    kept = Record(("0", "1"), ("dense", "activation"), budget=1024 * 1024)
    block = lines(4096, kept.columns)
    for _ in range(10_000_000 // 4096 // 40):  # a fortieth of it: the bound does not depend on how long it goes on
        kept.append(block)
    assert kept._block.nbytes + kept._low.nbytes + kept._high.nbytes <= 1024 * 1024


def test_views_never_change():
    kept = Record(("0",), ("dense",), budget=1)
    kept.append(lines(40, kept.columns))
    view = kept.view()
    before = view.block.copy()
    kept.append(lines(500, kept.columns, 1))
    np.testing.assert_array_equal(view.block, before)
    view = kept.view()
    before = view.low.copy()
    kept.cut(17)
    kept.append(lines(900, kept.columns, 2))
    np.testing.assert_array_equal(view.low, before)


def test_cut_goes_back_to_a_whole_row():
    kept = Record((), (), budget=1)
    kept.append(lines(200, kept.columns))
    assert kept.stride == 4
    assert kept.cut(150) == 148
    assert kept.end == 148
    assert kept.cut(500) == 148


def test_the_coming_step_is_part_of_the_series():
    run = Run(experiment(dense(4), act("tanh"), dense(10)))
    empty = run.view()
    assert len(empty) == 0
    view = run.view(looking=True)
    assert view.steps.tolist() == [0]
    assert view.values("gradient.norm").shape == (1, 3)
    run.advance(5)
    view = run.view(looking=True)
    assert view.steps.tolist() == [0, 1, 2, 3, 4, 5]
    run.seek(2)
    view = run.view(looking=True)
    assert view.steps.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(view.at("loss", 2), view.values("loss")[2])
    assert view.detail(2) is not None


def test_files_are_read_back_as_they_were(tmp_path):
    run = Run(experiment(dense(4), act("tanh"), dense(10)))
    run.advance(50)
    view = run.record.view()
    record.save(view, tmp_path)
    again = record.load(tmp_path / "record.npz")
    for name in ("block", "kept_steps", "validation_loss", "validation_steps"):
        np.testing.assert_array_equal(getattr(again, name), getattr(view, name))
    assert again.layers == view.layers
    assert again.kinds == view.kinds
    assert [d.step for d in again.details] == [d.step for d in view.details]
    np.testing.assert_array_equal(again.details[3].percentiles, view.details[3].percentiles)
    table = np.genfromtxt(tmp_path / "record.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["loss"], view.values("loss"), rtol=1e-8)
    assert len((tmp_path / "layers.csv").read_text().splitlines()) == 1 + 50 * 3


def test_names_of_the_contract(tmp_path):
    run = Run(experiment(dense(4), act("tanh"), dense(10)))
    run.advance(20)
    record.save(run.record.view(), tmp_path)
    with np.load(tmp_path / "record.npz", allow_pickle=False) as file:
        shapes = {name: file[name].shape for name in file.files}
    for name in ("steps", "loss", "accuracy", "learning_rate", "gradient_norm", "clipped_gradient_norm"):
        assert shapes[name] == (20,)
    for name in [
        "activation.min",
        "activation.max",
        "activation.mean",
        "activation.std",
        "activation.rms",
        "activation.zero_fraction",
        "activation.saturated_fraction",
        "activation.nonfinite_fraction",
        "gradient.rms",
        "gradient.norm",
        "gradient.min",
        "gradient.max",
        "weight_gradient.norm",
        "weight.norm",
        "update_ratio",
    ]:
        assert shapes[name] == (20, 3)
    for name in ("p01", "p05", "p25", "p50", "p75", "p95", "p99"):
        assert shapes[f"activation.{name}"] == (*shapes["detail_steps"], 3)
    assert shapes["layers"] == shapes["kinds"] == (3,)
    assert shapes["validation_steps"] == shapes["validation_loss"] == shapes["validation_accuracy"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
def test_a_damaged_record_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "record.npz"
    path.write_bytes(content)
    with pytest.raises(InputError) as error:
        record.load(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_pickles_are_never_read(tmp_path):
    path = tmp_path / "record.npz"
    np.savez(path, steps=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError):
        record.load(path)


def test_units_that_are_dead_stuck_or_alike_are_told_apart():
    activation = np.ones((200, 4))
    activation[:, 0] = 0.0
    activation[:, 1] = 0.999
    activation[:3, 2] = 0.0
    dead, stuck = unit_shares(activation, -0.97, 0.97)
    assert (dead, stuck) == (0.25, 0.5)
    assert unit_shares(activation, -np.inf, np.inf) == (0.25, 0.0)
    weight = np.random.default_rng(0).standard_normal((5, 6))
    assert equal_share(weight) == 0.0
    weight[:, 4] = weight[:, 1]
    assert equal_share(weight) == pytest.approx(2 / 6)
    assert equal_share(np.zeros((5, 6))) == 1.0
    assert np.isnan(equal_share(weight[:, :1]))


def test_a_symmetric_start_is_measured_and_kept_in_the_file(tmp_path):
    run = Run(experiment(dense(6, "zeros"), act("tanh"), dense(10, "zeros")))
    np.testing.assert_array_equal(run.look()[1].measured["weight.equal_fraction"], [1.0, np.nan, 1.0])
    run.advance(5)
    save(run.record.view(), tmp_path)
    found = load(tmp_path / "record.npz").latest_detail(4).measured
    # nothing ever reaches the hidden units; the outputs have targets of their own
    np.testing.assert_array_equal(found["weight.equal_fraction"], [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(found["activation.dead_fraction"], [1.0, 1.0, 0.0])


def test_units_come_apart_where_the_next_layer_tells_them_apart():
    run = Run(experiment(dense(6, "zeros"), act("tanh"), dense(10)))
    assert run.look()[1].measured["weight.equal_fraction"][0] == 1.0
    run.advance(1)
    assert run.look()[1].measured["weight.equal_fraction"][0] == 0.0
