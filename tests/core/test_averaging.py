"""Averaged weights and answers are what their formulas say, and early stopping goes back to the best weights."""

import numpy as np
import pytest
from experiments import act, dense, experiment

from layerscope.core.experiment import Experiment
from layerscope.core.losses import accuracy_of
from layerscope.core.run import Run

NORMED = [dense(12), {"kind": "batch_norm"}, act("relu"), dense(10)]


def run_with(*layers, **training) -> Run:
    return Run(experiment(*(layers or NORMED), precision="float64", **training))


def weights_after(run: Run, step: int) -> dict[str, np.ndarray]:
    run.seek(step)
    return run.parameters()


def accuracy_and_loss_of(run: Run, parameters: dict[str, np.ndarray]) -> tuple[float, float]:
    """What a run makes of its validation samples with other parameters put into it."""
    kept = run.machine.kept.copy()
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = parameters[tensor.name]
    found = run.measure(run.data.x_validation, run.data.t_validation)
    run.machine.kept[:] = kept
    return found.plain_loss, found.plain_accuracy


def test_ema_is_the_moving_average_of_the_weights():
    plain = run_with()
    run = run_with(averaging={"kind": "ema", "decay": 0.8})
    average = None
    for step in range(1, 30):
        now = weights_after(plain, step)
        average = now if average is None else {k: 0.8 * average[k] + 0.2 * v for k, v in now.items()}
    average |= {k: v for k, v in now.items() if "running" in k}
    run.advance(29)
    for name, values in run.parameters().items():
        np.testing.assert_array_equal(values, now[name])  # the training itself is untouched
    loss, accuracy = accuracy_and_loss_of(plain, average)
    found = run.measure(run.data.x_validation, run.data.t_validation)
    assert found.loss == pytest.approx(loss, rel=1e-12)
    assert found.accuracy == accuracy
    assert found.plain_loss != found.loss


def test_swa_is_the_mean_over_epochs_with_statistics_of_its_own():
    plain = run_with(batch_size=128)
    run = run_with(batch_size=128, averaging={"kind": "swa", "start": 2, "every": 2})
    epoch = run.steps_per_epoch
    ends = [weights_after(plain, epoch * k) for k in (2, 4, 6)]
    mean = {k: np.mean([e[k] for e in ends], axis=0) for k in ends[0]}
    # batch norm's statistics: means over the minibatches of the first epoch, in training mode
    x = run.data.x_train.reshape(len(run.data.x_train), -1)
    line = np.full((1, run.program.columns), np.nan)
    means, variances = [], []
    for step in range(epoch):
        run.machine.execute(line, step, 0, 1)
        rows = run.batch()
        h = x[rows[rows >= 0]] @ mean["0.weight"] + mean["0.bias"]
        means.append(h.mean(axis=0))
        variances.append(h.var(axis=0, ddof=1))
    mean |= {"1.running_mean": np.mean(means, axis=0), "1.running_variance": np.mean(variances, axis=0)}
    run.advance(epoch * 7)
    loss, accuracy = accuracy_and_loss_of(plain, mean)
    found = run.measure(run.data.x_validation, run.data.t_validation)
    assert found.loss == pytest.approx(loss, rel=1e-10)
    assert found.accuracy == accuracy


def test_before_swa_begins_the_present_weights_answer():
    run = run_with(averaging={"kind": "swa", "start": 3})
    run.advance(2 * run.steps_per_epoch)
    found = run.measure(run.data.x_validation, run.data.t_validation)
    assert (found.loss, found.accuracy) == (found.plain_loss, found.plain_accuracy)


def test_an_ensemble_averages_the_probabilities_of_networks_from_different_draws():
    run = run_with(dense(12), act("tanh"), dense(10), averaging={"kind": "ensemble", "size": 3})
    run.advance(60)
    x, t = run.data.x_validation, run.data.t_validation
    networks = [run, *run.others]
    first = [n.parameters()["0.weight"] for n in networks]
    assert all(np.abs(a - b).max() > 0.01 for a, b in ((first[0], first[1]), (first[1], first[2])))
    answers = []
    for network in networks:
        w = network.parameters()
        h = np.tanh(x.reshape(len(x), -1) @ w["0.weight"] + w["0.bias"])
        z = h @ w["2.weight"] + w["2.bias"]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        answers.append(e / e.sum(axis=1, keepdims=True))
    mean = np.mean(answers, axis=0)
    found = run.measure(x, t)
    assert found.loss == pytest.approx(-np.mean(np.log(mean[np.arange(len(x)), t.argmax(axis=1)])), rel=1e-10)
    assert found.accuracy == accuracy_of(mean, t)
    # cross-entropy of the mean is at most the mean of the cross-entropies (it is convex)
    alone = [-np.mean(np.log(a[np.arange(len(x)), t.argmax(axis=1)])) for a in answers]
    assert found.loss < np.mean(alone)
    assert found.plain_loss == pytest.approx(alone[0], rel=1e-10)


@pytest.mark.parametrize(
    "averaging",
    [{"kind": "ema"}, {"kind": "swa", "start": 1}, {"kind": "ensemble", "size": 2}],
    ids=lambda a: a["kind"],
)
@pytest.mark.determinism
def test_averages_are_the_same_after_going_back_and_forth(averaging):
    straight = run_with(averaging=averaging, batch_size=128)
    straight.advance(50)
    wandering = run_with(averaging=averaging, batch_size=128)
    wandering.advance(31)
    wandering.seek(7)
    wandering.operation_forward()
    wandering.seek(40)
    wandering.seek(50)
    x, t = straight.data.x_validation, straight.data.t_validation
    assert straight.measure(x, t) == wandering.measure(x, t)
    assert straight.record.validation == wandering.record.validation
    fork = wandering.fork(wandering.experiment)
    assert fork.measure(x, t) == straight.measure(x, t)


def overfitting(rate=0.2, **stopping) -> Experiment:
    return experiment(
        dense(64, "he_normal"),
        act("relu"),
        dense(10),
        epochs=200,
        batch_size=32,
        optimizer={"kind": "momentum", "learning_rate": rate},
        early_stopping=stopping,
    )


def test_early_stopping_waits_and_goes_back_to_the_best():
    run = Run(overfitting(patience=3))
    run.advance(run.last_step)
    losses = [(step, loss) for step, loss, *_ in run.record.validation if step > 0]
    best_step, best = min(losses, key=lambda pair: pair[1])
    assert run.finished
    assert run.step == run.stopped_step == best_step + 3 * run.steps_per_epoch < run.last_step
    assert run.best_step == best_step
    at_best = Run(msgspec_without_stopping(run.experiment), run.data)
    at_best.advance(best_step)
    run.take_best()
    assert run.step == best_step
    for name, values in at_best.parameters().items():
        np.testing.assert_array_equal(run.parameters()[name], values)
    assert run.measure(run.data.x_validation, run.data.t_validation).loss == best
    run.seek(run.last_step)
    assert run.step == run.stopped_step
    run.operation_forward()
    assert (run.step, run.row) == (run.stopped_step, 0)


def msgspec_without_stopping(whole: Experiment) -> Experiment:
    import msgspec

    return msgspec.structs.replace(whole, training=msgspec.structs.replace(whole.training, early_stopping=None))


def test_a_least_change_ends_the_training_earlier():
    late, early = (Run(overfitting(0.01, patience=3, min_delta=delta)) for delta in (0.0, 0.05))
    late.advance(late.last_step)
    early.advance(early.last_step)
    assert early.stopped_step < late.stopped_step


def test_without_restoring_the_last_weights_stay():
    run = Run(overfitting(patience=2, restore_best=False))
    run.advance(run.last_step)
    run.take_best()
    assert run.step == run.stopped_step


def test_a_live_change_forgets_what_was_decided_after_it():
    run = Run(overfitting(patience=2))
    run.advance(run.last_step)
    stopped = run.stopped_step
    run.seek(10)
    run.set_live("training.optimizer.learning_rate", 1e-4)
    assert run.stopped_step is None
    run.advance(stopped)
    assert run.step == stopped + 10 or run.stopped_step > stopped
