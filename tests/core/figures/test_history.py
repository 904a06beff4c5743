"""Bins of a long record lose no extreme, and bins remembered from the last drawing equal those computed anew."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest
from scenes import lines

from layerscope.core.figures import history
from layerscope.core.figures.history import binned
from layerscope.core.record import Record

QUANTITIES = ["loss", "gradient.norm"]


def record(budget=1 << 20):
    return Record(("0", "1"), ("dense", "activation"), budget=budget)


def fresh(view, quantity, most):
    """The same from a copy that nothing is remembered of."""
    low = view.low.copy()
    return binned(replace(view, block=view.block.copy(), low=low, high=view.high.copy()), quantity, most)


def assert_equal(one, other):
    for name in ("starts", "first", "least", "most", "mean"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-12, err_msg=name)
    assert (one.end, one.whole) == (other.end, other.whole)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_growing_record_gives_what_a_new_one_gives(quantity):
    kept = record()
    everything = lines(2, 3000)
    for start in range(0, 3000, 37):
        kept.append(everything[start : start + 37])
        view = kept.view()
        assert_equal(binned(view, quantity, 100), fresh(view, quantity, 100))
    assert len(binned(kept.view(), quantity, 100).starts) <= 101


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_no_extreme_and_no_gap_is_lost(quantity):
    kept = record(budget=1)
    content = lines(2, 5000)
    content[777] *= 1e6
    content[3333] = np.nan
    kept.append(content)
    view = kept.view()
    assert view.stride > 1
    found = binned(view, quantity, 20)
    assert len(found.starts) <= 20
    whole = content[: found.end, view.column(quantity)].reshape(found.end, -1)
    np.testing.assert_allclose(np.nanmax(found.most), np.nanmax(whole))
    np.testing.assert_allclose(np.nanmin(found.least), np.nanmin(whole))
    assert np.isnan(found.most).any()


def test_after_a_cut_the_bins_are_computed_anew():
    kept = record()
    kept.append(lines(2, 1000))
    binned(kept.view(), "loss", 100)
    kept.cut(500)
    kept.append(2.0 * lines(2, 500, seed=9))
    view = kept.view()
    assert_equal(binned(view, "loss", 100), fresh(view, "loss", 100))


def test_an_older_view_still_gives_its_own_bins():
    kept = record()
    kept.append(lines(2, 100))
    old = kept.view()
    kept.append(lines(2, 100, seed=1))
    binned(kept.view(), "loss", 1000)
    found = binned(old, "loss", 1000)
    assert len(found.starts) == 100
    assert found.end == 100


def test_the_coming_step_is_the_last_column():
    kept = record()
    kept.append(lines(2, 10))
    line = np.full(kept.columns, 5.0)
    found = binned(kept.view(10, line), "loss", 4)
    assert found.first[-1] == 5.0
    assert (found.starts[-1], found.end) == (10, 11)
    alone = binned(record().view(0, line), "loss", 4)
    np.testing.assert_array_equal(alone.first, [5.0])


def test_an_empty_record_has_no_bins():
    found = binned(record().view(), "gradient.norm", 10)
    assert found.first.shape == (0, 2)


def test_records_that_are_gone_are_forgotten():
    for _ in range(3 * history.KEPT_RECORDS):
        kept = record()
        kept.append(lines(2, 5))
        binned(kept.view(), "loss", 10)
    gc.collect()
    assert len(history._known) <= history.KEPT_RECORDS
