"""A hundred steps of every optimizer, clipping, regularizer, schedule and average end where PyTorch and Keras end."""

import numpy as np
import pytest
from experiments import act, dense
from step_oracle import CASES, ORACLE, distance, run_for, trained

from layerscope.core.evaluation import averaged_parameters
from layerscope.core.fields import build
from layerscope.core.gradient_steps.adagrad import Adagrad
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer
from layerscope.core.schedules.base import Clock, Schedule
from layerscope.core.stopping import Watch


@pytest.mark.parametrize("name", CASES)
def test_a_hundred_steps_are_those_of_the_frameworks(name):
    assert distance(trained(CASES[name]), name) < 1e-8


@pytest.mark.parametrize("name", [n for n in CASES if n.startswith("clipping") or n.endswith(".all")])
def test_the_clipping_of_the_oracle_clips(name):
    # A threshold that is never reached would compare nothing.
    view = trained(CASES[name]).record.view()
    clipped = view.values("clipped_gradient_norm") < 0.999 * view.values("gradient_norm")
    assert clipped.any()
    if name in ("clipping.global_norm", "clipping.divide_by_norm", "clipping.layer_norm"):
        assert not clipped.all()


def test_every_kind_is_compared():
    used = {part["kind"] for case in CASES.values() for part in (case["optimizer"], *case.get("regularizers", []))}
    used |= {case["clipping"]["kind"] for case in CASES.values() if "clipping" in case}
    used |= {case["schedule"]["kind"] for case in CASES.values() if "schedule" in case}
    families = (Optimizer, Clipping, Regularizer, Schedule)
    known = {name for family in families for name in family.registry.names()}
    # compared below, or in tests of its own (PyTorch has no range test)
    assert used == known - {"reduce_on_plateau", "range_test"}


def test_what_keras_does_otherwise_is_said_where_it_is_set():
    from layerscope.core.fields import describe

    start, epsilon = ORACLE["keras.adagrad"]
    text = next(field.help for field in describe(Adagrad) if field.name == "epsilon")
    assert f"{start:g}" in text
    assert f"{epsilon:g}".replace("e-07", "e-7") in text


@pytest.mark.parametrize("name", ["ema", "swa"])
def test_averaged_weights_are_those_of_averaged_model(name):
    averaging = {"ema": {"kind": "ema", "decay": 0.9}, "swa": {"kind": "swa", "start": 4, "every": 3}}[name]
    network = [dense(7), {"kind": "batch_norm"}, act("tanh"), dense(3)]
    run = run_for({"optimizer": {"kind": "sgd", "learning_rate": 0.1}, "averaging": averaging}, network)
    first = [ORACLE[f"start.{i}"] for i in range(6)]
    given = {"0.weight": first[0], "0.bias": first[1], "3.weight": first[2].T[:3].T, "3.bias": first[5]}
    for tensor in run.program.tensors:
        if tensor.name in given:
            run.parameter(tensor)[...] = given[tensor.name]
    run.advance(60)
    found = averaged_parameters(run)
    theirs = {
        "0.weight": ORACLE[f"{name}.0.weight"].T,
        "0.bias": ORACLE[f"{name}.0.bias"],
        "1.gamma": ORACLE[f"{name}.1.weight"],
        "1.beta": ORACLE[f"{name}.1.bias"],
        "1.running_mean": ORACLE[f"{name}.1.running_mean"],
        "1.running_variance": ORACLE[f"{name}.1.running_var"],
        "3.weight": ORACLE[f"{name}.3.weight"].T,
        "3.bias": ORACLE[f"{name}.3.bias"],
    }
    assert {t.name for t in run.program.tensors} == set(theirs)
    for tensor in run.program.tensors:
        ours = found[tensor.master : tensor.master + tensor.parameter.count].reshape(tensor.parameter.shape)
        np.testing.assert_allclose(ours, theirs[tensor.name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("patience", "least"), [(0, 0.0), (2, 0.0), (3, 0.01)])
def test_the_rate_drops_where_pytorch_drops_it(patience, least):
    rates = ORACLE[f"plateau.{patience}.{least}"]
    watch, drops = Watch(least), []
    schedule = build(Schedule, {"kind": "reduce_on_plateau", "factor": 0.5, "patience": patience, "min_delta": least})
    for epoch, loss in enumerate(ORACLE["plateau.losses"], 1):
        watch.feed(epoch, loss)
        if watch.waited > schedule.waits:
            watch.waited = 0
            drops.append(epoch)
    assert len(drops) > 1
    found = schedule.rates(np.arange(1, len(rates) + 1), 1.0, Clock(1, len(rates), tuple(drops)))
    np.testing.assert_array_equal(found, rates)


@pytest.mark.parametrize(("patience", "least"), [(0, 0.0), (1, 0.0), (4, 0.0), (3, 0.01), (50, 0.0)])
def test_training_stops_where_keras_stops_it(patience, least):
    watch, stopped = Watch(least), len(ORACLE["plateau.losses"])
    for epoch, loss in enumerate(ORACLE["plateau.losses"], 1):
        watch.feed(epoch, loss)
        if watch.waited >= max(1, patience):
            stopped = epoch
            break
    np.testing.assert_array_equal([stopped, watch.best_step], ORACLE[f"stopping.{patience}.{least}"])
