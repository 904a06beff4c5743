"""The twin: one minibatch through the network as it trains and as it is evaluated."""

from __future__ import annotations

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.run import Run
from layerscope.core.studies.base import answer
from layerscope.core.studies.twin import Twin

NORM = {"kind": "batch_norm"}


def dropout(rate):
    return {"kind": "dropout", "rate": rate}


def twins_of(run):
    return answer(Twin(), run).value


def run_of(*layers, steps=0, **training):
    run = Run(experiment(*layers, **training))
    run.advance(steps)
    return run


def minibatch(run):
    """(x, t) of the coming step."""
    with run.rehearsal() as up_to:
        up_to(1)
        rows = run.batch()
    rows = rows[rows >= 0]
    return run.data.x_train[rows], run.data.t_train[rows]


@pytest.mark.parametrize(
    "layers",
    [
        [dense(10)],
        [dense(8), act("tanh"), dense(10)],
        [conv(3), act("relu"), {"kind": "flatten"}, dense(10)],
        [dense(8), {"kind": "layer_norm"}, act("relu"), dropout(0.0), dense(10)],
        [dense(8), {"kind": "residual", "body": [dense(8), act("tanh")]}, dense(10)],
    ],
)
@pytest.mark.parametrize("steps", [0, 1, 7])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_without_dropout_and_batch_norm_are_their_own_twins(layers, steps, precision):
    found = twins_of(run_of(*layers, steps=steps, precision=precision))
    assert found.same
    assert not found.difference.any()
    assert found.answers == 0.0
    assert found.training.loss == found.evaluation.loss
    assert found.training.accuracy == found.evaluation.accuracy
    assert np.array_equal(found.training.std, found.evaluation.std)


def test_both_losses_are_those_of_the_step_and_of_the_evaluated_network():
    run = run_of(dense(12), NORM, act("relu"), dropout(0.3), dense(10), steps=20)
    found = twins_of(run)
    line, _detail = run.look()
    assert found.training.loss == pytest.approx(float(line[0]), rel=1e-6)
    loss, accuracy = run.evaluate(*minibatch(run))
    assert found.evaluation.loss == pytest.approx(loss, rel=1e-5)
    assert found.evaluation.accuracy == pytest.approx(accuracy)
    assert found.samples == 16


def test_dropout_sets_the_twins_apart_by_as_much_as_its_masks_vary():
    rate = 0.4
    run = run_of(dense(200), dropout(rate), dense(10), batch_size=64)
    found = twins_of(run)
    assert found.difference[0] == 0.0
    # y m / (1 - p) - y has the mean square y² p / (1 - p)
    assert found.difference[1] == pytest.approx(math.sqrt(rate / (1.0 - rate)), rel=0.03)
    assert found.difference[2] > 0.2
    assert found.dropout.tolist() == [False, True, False]
    assert not found.same


def test_dropout_that_is_turned_off_while_training_counts_as_off():
    run = run_of(dense(20), dropout(0.4), dense(10), steps=3)
    run.set_live("network.1.rate", 0.0)
    found = twins_of(run)
    assert found.same
    assert not found.difference.any()


def test_batch_norm_that_has_seen_nothing_passes_its_input_on():
    run = run_of(dense(12, "he_normal"), {**NORM, "epsilon": 0.0}, act("tanh"), dense(10), batch_size=64)
    found = twins_of(run)
    # running mean 0 and variance 1: the evaluated layer changes nothing
    assert found.evaluation.std[1] == pytest.approx(found.evaluation.std[0])
    assert (found.training.mean[1], found.training.std[1]) == pytest.approx((0.0, 1.0), abs=1e-6)
    assert found.difference[0] == 0.0
    assert found.difference[1] > 0.1
    assert found.normalized.tolist() == [False, True, False, False]
    assert found.updates == 0


def test_running_statistics_catch_up():
    made = [dense(12), NORM, act("tanh"), dense(10)]
    gentle = {"optimizer": {"kind": "sgd", "learning_rate": 1e-4}, "batch_size": 128}
    apart = [twins_of(run_of(*made, steps=steps, **gentle)).difference[1] for steps in (0, 10, 60)]
    assert apart[0] > 1.3 * apart[1] > apart[2]


def test_within_a_step_it_is_still_the_network_that_the_step_began_with():
    run = run_of(dense(12), NORM, dropout(0.2), dense(10), steps=5)
    before = twins_of(run)
    for _ in range(len(run.program.operations) - 1):
        run.operation_forward()
        now = twins_of(run)
        assert np.array_equal(now.difference, before.difference)
        assert now.evaluation.loss == before.evaluation.loss


def test_the_last_minibatch_of_an_epoch_is_shorter():
    run = run_of(dense(10), NORM, dense(10), batch_size=100)
    run.advance(run.steps_per_epoch - 1)
    left = len(run.data.x_train) % 100
    assert left
    assert twins_of(run).samples == left


def test_weights_that_are_no_numbers_stay_visible():
    run = run_of(dense(10), NORM, dense(10))
    run.parameter(run.program.tensors[0])[0, 0] = np.nan
    found = twins_of(run)
    assert np.isnan(found.difference).all()
    assert math.isnan(found.training.loss)
