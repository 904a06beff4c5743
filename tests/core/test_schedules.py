"""Schedules are plans: finite, not negative, the same in parts as at once, and what their formulas say at landmarks."""

from typing import Any

import numpy as np
import pytest
from experiments import act, dense, experiment
from hypothesis import given
from hypothesis import strategies as st

from layerscope.core.data.digits import Digits
from layerscope.core.experiment import Experiment
from layerscope.core.fields import build, describe
from layerscope.core.network import plan
from layerscope.core.run import Run
from layerscope.core.schedules.base import Clock, Schedule


def number(field) -> st.SearchStrategy[Any]:
    low = field.minimum if field.minimum is not None else field.above
    high = field.maximum if field.maximum is not None else field.below
    if field.sort == "integer":
        return st.integers(int(low), int(high))
    ends = {"exclude_min": field.minimum is None, "exclude_max": field.maximum is None}
    return st.floats(low, high, allow_subnormal=False, **ends)


def of_kind(name: str, then: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    parts = {"kind": st.just(name)}
    for field in describe(Schedule.registry[name]):
        parts[field.name] = (
            then
            if field.sort == "family"
            else st.sampled_from(field.choice_names())
            if field.sort == "choice"
            else number(field)
        )
    return st.fixed_dictionaries(parts)


NAMES = Schedule.registry.names()
plain = st.one_of([of_kind(name, st.nothing()) for name in NAMES if name != "warmup"])
nested = st.recursive(plain, lambda then: of_kind("warmup", then), max_leaves=3)
clocks = st.builds(
    Clock,
    st.integers(1, 1000),
    st.integers(1, 100_000),
    st.lists(st.integers(1, 100_000), max_size=5, unique=True).map(sorted).map(tuple),
)


@given(st.one_of(*[of_kind(name, nested) for name in NAMES]), clocks, st.floats(0.0, 1e6), st.integers(0, 120_000))
def test_any_schedule_is_finite_not_negative_and_the_same_in_parts(settings, clock, base, first):
    schedule = build(Schedule, settings)
    steps = np.arange(first, first + 70)
    rates = schedule.rates(steps, base, clock)
    assert rates.shape == (70,)
    assert rates.dtype == np.float64
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    for size in (1, 7, 64):
        parts = [schedule.rates(steps[at : at + size], base, clock) for at in range(0, 70, size)]
        np.testing.assert_array_equal(np.concatenate(parts), rates)


@given(st.one_of(*[of_kind(name, nested) for name in NAMES]), clocks, st.floats(1e-6, 1e3))
def test_any_schedule_knows_nothing_of_drops_to_come(settings, clock, base):
    # A step that is replayed must have the rate that it had before the later drops were decided on.
    schedule = build(Schedule, settings)
    for index, drop in enumerate(clock.drops):
        steps = np.arange(max(0, drop - 50), drop)
        before = Clock(clock.steps_per_epoch, clock.steps, clock.drops[:index])
        np.testing.assert_array_equal(schedule.rates(steps, base, clock), schedule.rates(steps, base, before))


@given(st.one_of(*[of_kind(name, nested) for name in NAMES]), clocks, st.integers(0, 100_000))
def test_a_schedule_that_does_not_use_the_length_does_not_change_with_it(settings, clock, longer):
    schedule = build(Schedule, settings)
    other = Clock(clock.steps_per_epoch, clock.steps + longer, clock.drops)
    steps = np.arange(50)
    if not schedule.uses_length:
        np.testing.assert_array_equal(schedule.rates(steps, 0.1, clock), schedule.rates(steps, 0.1, other))
    assert schedule.uses_length == ("cosine" in str(settings) or "one_cycle" in str(settings))


def rates_of(moments, /, total=300, per_epoch=10, drops=(), base=0.2, **settings):
    return build(Schedule, settings).rates(np.asarray(moments), base, Clock(per_epoch, total, drops))


def test_the_lesson_rule_halves_the_rate_in_34_epochs():
    rates = rates_of([0, 9, 10, 340, 350], kind="exponential")
    assert rates[0] == rates[1] == 0.2
    assert rates[2] == pytest.approx(0.2 * 0.98)
    assert rates[3] > 0.1 > rates[4]


def test_landmarks_of_one_cycle_and_of_the_time_after_it():
    rates = rates_of([0, 89, 299, 300, 5000], kind="one_cycle")
    np.testing.assert_allclose(rates, [0.2, 5.0, 2e-5, 2e-5, 2e-5])


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5])
def test_one_cycle_of_a_training_of_a_few_steps(total):
    rates = rates_of(range(total), total=total, kind="one_cycle")
    assert np.isfinite(rates).all()
    assert rates.max() <= 5.0 + 1e-12
    assert rates[-1] == pytest.approx(2e-5) or total == 1


def test_cosine_ends_where_it_is_told_and_stays_there():
    np.testing.assert_allclose(rates_of([0, 150, 300, 900], kind="cosine", final_factor=0.1), [0.2, 0.11, 0.02, 0.02])


def test_the_range_test_goes_from_start_to_end_and_stays_there():
    rates = rates_of([0, 33, 99, 100, 400], kind="range_test", start=1e-7, end=10.0, base=123.0)
    np.testing.assert_allclose(rates, [1e-7, 1e-7 * 10 ** (8 * 33 / 99), 10.0, 10.0, 10.0], rtol=1e-12)


def test_warm_up_rises_in_a_line_and_hands_over():
    settings = {"kind": "warmup", "steps": 20, "start_factor": 0.5, "then": {"kind": "step", "every": 2, "factor": 0.1}}
    np.testing.assert_allclose(rates_of([0, 10, 20, 39, 40], **settings), [0.1, 0.15, 0.2, 0.2, 0.02])


def test_drops_of_a_plateau_count_from_their_step_on_in_and_after_a_warm_up():
    settings = {"kind": "reduce_on_plateau", "factor": 0.5}
    np.testing.assert_allclose(rates_of([19, 20, 29, 30], drops=(20, 30), **settings), [0.2, 0.1, 0.1, 0.05])
    warm = {"kind": "warmup", "steps": 20, "start_factor": 0.0, "then": settings}
    np.testing.assert_allclose(rates_of([9, 10, 20, 30], drops=(10, 30), **warm), [0.09, 0.05, 0.1, 0.05])


def stuck(**training) -> Experiment:
    """A training whose validation loss cannot fall: it is over before it begins."""
    optimizer = {"kind": "sgd", "learning_rate": 1e-9}
    return experiment(dense(12), act("tanh"), dense(10), batch_size=256, epochs=20, optimizer=optimizer, **training)


@pytest.mark.parametrize("warm", [0, 9])
def test_a_plateau_lowers_the_rate_after_one_epoch_more_than_its_patience(warm):
    plateau = {"kind": "reduce_on_plateau", "patience": 2, "factor": 0.5, "min_delta": 1e-3}
    run = Run(stuck(schedule={"kind": "warmup", "steps": warm, "then": plateau} if warm else plateau))
    run.advance(10 * run.steps_per_epoch)
    # the first epoch is the best so far; then three bad ones each time
    assert run.rate_drops == [run.steps_per_epoch * epoch for epoch in (4, 7)]
    rates = run.record.view().values("learning_rate")
    assert rates[-1] == 0.25e-9
    assert [mark for _step, mark in run.record.view().marks] == ["rate", "rate"]


def test_a_plateau_counts_on_in_a_fork():
    plateau = {"kind": "reduce_on_plateau", "patience": 2, "factor": 0.5, "min_delta": 1e-3}
    run = Run(stuck(schedule=plateau))
    run.advance(5 * run.steps_per_epoch + 1)
    fork = run.fork(run.experiment)
    grandchild = fork.fork(fork.experiment)
    fresh = run.fork(stuck(schedule={**plateau, "patience": 1}))
    for each in (run, fork, grandchild, fresh):
        each.advance(10 * run.steps_per_epoch - each.step)
    assert run.rate_drops == fork.rate_drops == grandchild.rate_drops
    # another schedule begins anew, with the first epoch that it sees
    assert fresh.rate_drops == [run.steps_per_epoch * 8, run.steps_per_epoch * 10][: len(fresh.rate_drops)]
    assert fresh.rate_drops


@pytest.mark.parametrize(
    ("training", "place"),
    [
        ({"early_stopping": {}}, "training.early_stopping"),
        ({"schedule": {"kind": "reduce_on_plateau"}}, "training.schedule"),
        ({"schedule": {"kind": "warmup", "then": {"kind": "reduce_on_plateau"}}}, "training.schedule"),
    ],
)
def test_what_watches_validation_needs_samples_for_it(training, place):
    import msgspec

    watching = experiment(dense(10), **training)
    assert plan(watching).problems == ()
    blind = msgspec.structs.replace(watching, data=Digits(validation=0.0))
    assert [where for where, _ in plan(blind).problems] == [place]
    assert "validation share" in plan(blind).problem_at(place)
