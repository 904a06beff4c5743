"""Every link from gradients to weights does what its formula says, in its place in the chain, and can be replayed."""

import importlib
import itertools

import msgspec
import numpy as np
import pytest
from experiments import act, dense, experiment
from step_oracle import CASES, distance, trained

from layerscope.core.data.base import DataSet
from layerscope.core.experiment import with_value
from layerscope.core.fields import build
from layerscope.core.gradient_steps.base import Clipping, Optimizer, Regularizer, chain
from layerscope.core.run import Run, live_paths
from layerscope.core.schedules.base import Schedule

RATE = 0.05
NETWORK = [dense(8, "he_normal"), act("tanh"), dense(6), act("tanh"), dense(10)]


@pytest.fixture(scope="module")
def data():
    return experiment(dense(10)).data.load(0, None)


def run_with(data, network=NETWORK, **training) -> Run:
    settings = {"batch_size": 128, "precision": "float64", "epochs": 5, "optimizer": sgd(RATE), **training}
    return Run(experiment(*network, **settings), data)


def sgd(rate):
    return {"kind": "sgd", "learning_rate": rate}


def flat(parts: dict[str, np.ndarray]) -> np.ndarray:
    return np.concatenate([parts[name].ravel() for name in sorted(parts)])


def norm(parts: dict[str, np.ndarray]) -> float:
    return float(np.linalg.norm(flat(parts)))


def raw_gradients(data) -> dict[str, np.ndarray]:
    """The gradients of the data loss in the first step, from a run without any other link."""
    run = run_with(data)
    run.advance(1)
    return {t.name: run.gradient(t).copy() for t in run.program.tensors}


def first_update(run: Run) -> dict[str, np.ndarray]:
    before = run.parameters()
    run.advance(1)
    return {name: before[name] - values for name, values in run.parameters().items()}


def is_weight(name):
    return name.endswith("weight")


def expect(run: Run, gradients, updates, tolerance=1e-12):
    found = first_update(run)
    for name, update in updates.items():
        np.testing.assert_allclose(found[name], update, rtol=1e-9, atol=tolerance, err_msg=name)
    for tensor in run.program.tensors:
        np.testing.assert_allclose(run.gradient(tensor), gradients[tensor.name], rtol=1e-10, atol=1e-15)


def column(run: Run, name: str, step: int = 0) -> float:
    return float(run.record.view().at(name, step))


# --- clipping


def clipped(kind, gradients, c):
    whole = norm(gradients)
    if kind == "global_norm":
        return {k: g * min(1.0, c / (whole + 1e-6)) for k, g in gradients.items()}
    if kind == "divide_by_norm":
        return {k: g / whole if whole > c else g for k, g in gradients.items()}
    if kind == "value":
        return {k: np.clip(g, -c, c) for k, g in gradients.items()}
    found = {}
    for layer in ("0", "2", "4"):
        own = {k: g for k, g in gradients.items() if k.startswith(layer)}
        found |= {k: g * min(1.0, c / (norm(own) + 1e-6)) for k, g in own.items()}
    return found


@pytest.mark.parametrize("threshold", [1e-3, 0.05, 0.5, 1e3])
@pytest.mark.parametrize("kind", Clipping.registry.names())
def test_clipping_shortens_as_its_formula_says(data, kind, threshold):
    gradients = raw_gradients(data)
    expected = clipped(kind, gradients, threshold)
    run = run_with(data, clipping={"kind": kind, "threshold": threshold})
    expect(run, expected, {k: RATE * g for k, g in expected.items()})
    for name in ("gradient_norm", "norm.gradient"):
        assert column(run, name) == pytest.approx(norm(gradients), rel=1e-12)
    for name in ("clipped_gradient_norm", f"norm.{kind}"):
        assert column(run, name) == pytest.approx(norm(expected), rel=1e-9)
    assert column(run, "norm.sgd") == pytest.approx(RATE * norm(expected), rel=1e-9)


@pytest.mark.parametrize("kind", Clipping.registry.names())
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_clipping_hides_no_number_that_is_none(data, kind, bad):
    run = run_with(data, clipping={"kind": kind, "threshold": 1.0})
    run.advance(1)
    run.micro(next(o for o in run.program.operations if o.phase == "update").first_row)
    tensor = next(t for t in run.program.tensors if t.name == "2.weight")
    run.gradient(tensor)[0, 0] = bad
    run.advance(1)
    assert (run.failed_step, run.step) == (1, 1)
    assert not np.isfinite(column(run, "gradient_norm", 1))
    assert np.isnan(column(run, "clipped_gradient_norm", 1)) or kind == "value"
    assert np.isfinite(run.parameter(tensor)).all()


# --- penalties, decay, constraint


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_a_penalty_adds_its_slope_to_weights_only_and_is_recorded(data, kind):
    strength = 0.02
    run = run_with(data, regularizers=[{"kind": kind, "strength": strength}])
    w = run.parameters()
    slope = np.sign if kind == "l1" else np.asarray
    value = (lambda a: np.abs(a).sum()) if kind == "l1" else (lambda a: 0.5 * (a * a).sum())
    expected = {k: g + strength * slope(w[k]) if is_weight(k) else g for k, g in raw_gradients(data).items()}
    expect(run, expected, {k: RATE * g for k, g in expected.items()})
    assert column(run, "penalty") == pytest.approx(strength * sum(value(v) for k, v in w.items() if is_weight(k)))
    assert column(run, f"norm.{kind}") == pytest.approx(norm(expected))
    assert column(run, "gradient_norm") == pytest.approx(norm(expected))


def test_penalties_add_up_and_begin_anew_at_every_step(data):
    run = run_with(data, regularizers=[{"kind": "l1", "strength": 1.0}, {"kind": "l2", "strength": 3.0}])
    values = []
    for _ in range(3):
        weights = [v for k, v in run.parameters().items() if is_weight(k)]
        values.append(sum(np.abs(w).sum() + 1.5 * (w * w).sum() for w in weights))
        run.advance(1)
    np.testing.assert_allclose(run.record.view().values("penalty"), values)
    plain = run_with(data)
    plain.advance(2)
    np.testing.assert_array_equal(plain.record.view().values("penalty"), 0.0)


def test_a_weight_of_zero_is_not_pulled_by_l1(data):
    run = run_with(data, [dense(10, "zeros")], regularizers=[{"kind": "l1", "strength": 5.0}])
    plain = run_with(data, [dense(10, "zeros")])
    run.advance(1)
    plain.advance(1)
    np.testing.assert_array_equal(run.parameters()["0.weight"], plain.parameters()["0.weight"])


def test_decoupled_decay_shrinks_weights_beside_the_step(data):
    run = run_with(
        data, regularizers=[{"kind": "decoupled", "strength": 0.3}], optimizer={"kind": "adam", "learning_rate": RATE}
    )
    plain = run_with(data, optimizer={"kind": "adam", "learning_rate": RATE})
    w, step = run.parameters(), first_update(plain)
    expected = {k: u + RATE * 0.3 * w[k] if is_weight(k) else u for k, u in step.items()}
    expect(run, raw_gradients(data), expected)
    assert column(run, "norm.adam") == pytest.approx(norm(step))
    assert column(run, "norm.decoupled") == pytest.approx(norm(expected))


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_max_norm_keeps_every_unit_within_the_limit_and_leaves_the_others_alone(data, precision):
    limit = 0.7
    run = run_with(data, regularizers=[{"kind": "max_norm", "limit": limit}], precision=precision)
    plain = run_with(data, precision=precision)
    run.advance(1)
    plain.advance(1)
    some_long, some_short = False, False
    for name, free in plain.parameters().items():
        ours = run.parameters()[name]
        if not is_weight(name):
            np.testing.assert_array_equal(ours, free)
            continue
        length = np.linalg.norm(free, axis=0)
        some_long, some_short = some_long or (length > limit).any(), some_short or (length < limit).any()
        np.testing.assert_allclose(ours, free * np.minimum(1.0, limit / length), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(ours[:, length < 0.999 * limit], free[:, length < 0.999 * limit])
    assert some_long
    assert some_short
    run.advance(30)
    for name, values in run.parameters().items():
        if is_weight(name):
            assert (np.linalg.norm(values, axis=0) <= limit * (1 + 1e-5)).all()


def test_max_norm_shortens_weights_whose_squares_overflow(data):
    found = {}
    for precision in ("float32", "float64"):
        regularizers = [{"kind": "max_norm", "limit": 1.0}]
        run = run_with(data, [dense(10)], precision=precision, regularizers=regularizers, optimizer=sgd(1e6))
        run.machine.data[: data.x_train.size] *= 1e16
        run.advance(1)
        found[precision] = run.parameters()["0.weight"]
    np.testing.assert_allclose(np.linalg.norm(found["float64"], axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(found["float32"], found["float64"], rtol=1e-3, atol=1e-5)


def test_max_norm_of_a_convolution_is_that_of_a_filter(data):
    network = [{"kind": "conv2d", "filters": 4}, act("relu"), dense(10)]
    run = run_with(data, network, regularizers=[{"kind": "max_norm", "limit": 0.4}])
    run.advance(3)
    kernel = run.parameters()["0.weight"]
    lengths = np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    assert kernel.shape == (3, 3, 1, 4)
    assert (lengths < 0.4 + 1e-9).all()
    assert (lengths > 0.4 - 1e-9).any()


# --- the chain


def test_the_chain_has_one_order_whatever_the_order_in_the_file(data):
    parts = [{"kind": "max_norm"}, {"kind": "decoupled"}, {"kind": "l2"}, {"kind": "l1"}, {"kind": "l2"}]
    training = {"clipping": {"kind": "value"}, "optimizer": {"kind": "adamw"}, "regularizers": parts}
    run = run_with(data, **training)
    names = [link.name for link in chain(run.experiment.training)]
    assert names == ["l2", "l1", "l2.2", "value", "adamw", "decoupled", "max_norm"]
    places = [link.place for link in chain(run.experiment.training)]
    assert places[:3] == ["training.regularizers.2", "training.regularizers.3", "training.regularizers.4"]
    run.advance(1)
    assert [c for c in run.record.view().run_columns if c.startswith("norm.")] == [
        "norm.gradient",
        *(f"norm.{name}" for name in names),
    ]
    assert all(column(run, f"norm.{name}") > 0 for name in names)
    labels = [o.label for o in run.program.operations if o.label]
    assert labels == ["l2", "l1", "l2", "value"]


def test_a_whole_chain_is_its_links_one_after_the_other(data):
    run = run_with(
        data,
        regularizers=[{"kind": "decoupled", "strength": 0.4}, {"kind": "l2", "strength": 0.05}],
        clipping={"kind": "global_norm", "threshold": 0.2},
        optimizer={"kind": "momentum", "learning_rate": RATE},
    )
    w = run.parameters()
    with_penalty = {k: g + 0.05 * w[k] if is_weight(k) else g for k, g in raw_gradients(data).items()}
    short = clipped("global_norm", with_penalty, 0.2)
    step = {k: RATE * g for k, g in short.items()}
    last = {k: u + RATE * 0.4 * w[k] if is_weight(k) else u for k, u in step.items()}
    expect(run, short, last)
    stages = {"gradient": raw_gradients(data), "l2": with_penalty, "global_norm": short}
    for name, parts in (stages | {"momentum": step, "decoupled": last}).items():
        assert column(run, f"norm.{name}") == pytest.approx(norm(parts), rel=1e-9), name
    assert column(run, "gradient_norm") == pytest.approx(norm(with_penalty))
    assert column(run, "clipped_gradient_norm") == pytest.approx(norm(short))


# --- optimizers by their literal formulas (those of PyTorch are compared in engine/test_step_oracles.py)


def test_normalized_gradient_takes_steps_of_one_length(data):
    run = run_with(data, optimizer={"kind": "normalized_gradient", "learning_rate": 0.3})
    gradients = raw_gradients(data)
    expect(run, gradients, {k: 0.3 * g / norm(gradients) for k, g in gradients.items()})
    run.advance(20)
    np.testing.assert_allclose(run.record.view().values("norm.normalized_gradient"), 0.3, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e-12])
def test_normalized_gradient_of_vanishing_gradients_in_single_precision(data, scale):
    # 0.3 / 1e-39 is not a float32 number, but the update is an ordinary one
    network = [dense(8), act("tanh"), dense(10)]
    run = run_with(data, network, optimizer={"kind": "normalized_gradient", "learning_rate": 0.3}, precision="float32")
    for tensor in run.program.tensors:
        if tensor.path == "2":
            run.parameter(tensor)[...] *= scale
    run.advance(1)
    assert column(run, "norm.normalized_gradient") == pytest.approx(0.3, rel=1e-5)


def test_a_gradient_of_zero_has_no_direction(data):
    run = run_with(data, [dense(10, "zeros", bias=False)], optimizer={"kind": "normalized_gradient"})
    run.data.x_train[:] = run.data.x_train
    run.machine.data[: run.data.x_train.size] = 0.0
    run.advance(1)
    assert column(run, "norm.normalized_gradient") == 0.0
    assert not run.parameters()["0.weight"].any()


def test_lion_by_its_formula(data):
    settings = {"kind": "lion", "learning_rate": 0.01, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1}
    run = run_with(data, optimizer=settings)
    m = {k: np.zeros_like(v) for k, v in run.parameters().items()}
    for _ in range(12):
        w = run.parameters()
        run.advance(1)
        for tensor in run.program.tensors:
            k, g = tensor.name, run.gradient(tensor)
            step = np.sign(0.8 * m[k] + 0.2 * g) + (0.1 * w[k] if is_weight(k) else 0.0)
            np.testing.assert_allclose(run.parameters()[k], w[k] - 0.01 * step, rtol=0, atol=1e-15)
            m[k] = 0.95 * m[k] + 0.05 * g


def test_the_first_step_of_adam_is_the_rate_times_the_sign(data):
    run = run_with(data, optimizer={"kind": "adam", "learning_rate": 0.01, "epsilon": 1e-300})
    gradients = raw_gradients(data)
    expect(run, gradients, {k: 0.01 * np.sign(g) for k, g in gradients.items() if (g != 0).all()})


@pytest.mark.parametrize("optimizer", Optimizer.registry.names())
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_optimizer_hides_a_gradient_that_is_no_number(data, optimizer, bad):
    run = run_with(data, optimizer={"kind": optimizer}, precision="float32")
    run.advance(2)
    at = next(o for o in run.program.operations if o.phase == "update")
    run.micro(at.first_row)
    tensor = run.program.tensors[0]
    run.gradient(tensor)[0, 0] = bad
    run.advance(1)
    assert (run.failed_step, run.step) == (2, 2)
    assert np.isfinite(run.parameter(tensor)).all()
    if np.isnan(bad):
        assert np.isnan(column(run, f"norm.{optimizer}", 2))


# --- settings that change while training


def chain_of_everything():
    return {
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
        "clipping": {"kind": "global_norm", "threshold": 0.5},
        "regularizers": [{"kind": kind} for kind in Regularizer.registry.names()],
        "averaging": {"kind": "ema", "decay": 0.9},
    }


def test_every_live_setting_of_the_chain_acts_at_once_and_is_replayed(data):
    whole = run_with(data, **chain_of_everything()).experiment
    paths = {p: v for p, v in live_paths(whole).items() if p.startswith("training.")}
    assert len(paths) >= 11
    for path, value in paths.items():
        run = Run(whole, data)
        run.advance(20)
        before = run.machine.kept.copy()
        other = 0.3 * value if value else 0.5
        run.set_live(path, other)
        run.advance(10)
        after = run.machine.kept.copy()
        run.seek(20)
        np.testing.assert_array_equal(run.machine.kept, before)
        run.seek(30)
        np.testing.assert_array_equal(run.machine.kept, after)
        untouched = Run(whole, data)
        untouched.advance(30)
        assert not np.array_equal(untouched.machine.kept, after), path
        built_so = Run(with_value(whole, path, other), data)
        built_so.set_live(path, value)
        built_so.advance(20)
        built_so.set_live(path, other)
        built_so.advance(10)
        np.testing.assert_array_equal(built_so.machine.kept, after, err_msg=path)


def test_a_live_threshold_clips_from_its_step_on(data):
    run = run_with(data, clipping={"kind": "global_norm", "threshold": 1e3})
    run.advance(5)
    run.set_live("training.clipping.threshold", 1e-3)
    run.advance(5)
    view = run.record.view()
    np.testing.assert_array_equal(view.values("clipped_gradient_norm")[:5], view.values("gradient_norm")[:5])
    np.testing.assert_allclose(view.values("clipped_gradient_norm")[5:], 1e-3, rtol=1e-2)


# --- going back, replaying, forking

SCHEDULES = {
    "constant": {},
    "exponential": {"factor": 0.8},
    "step": {"every": 2, "factor": 0.5},
    "cosine": {},
    "warmup": {"steps": 7, "then": {"kind": "reduce_on_plateau", "patience": 0, "min_delta": 1.0, "factor": 0.5}},
    "one_cycle": {"peak_factor": 3.0},
    "reduce_on_plateau": {"patience": 0, "min_delta": 1.0, "factor": 0.5},
    "range_test": {"start": 1e-5, "end": 0.1, "steps": 30},
}
AVERAGES = [None, {"kind": "ema"}, {"kind": "swa", "start": 1}, {"kind": "ensemble", "size": 2}]


def test_every_schedule_is_replayed():
    assert set(SCHEDULES) == set(Schedule.registry.names())


FEW = build(DataSet, {"kind": "blobs", "samples": 170, "validation": 0.2})


@pytest.fixture(scope="module")
def few():
    # three minibatches an epoch, so that epochs and what happens at their ends come often
    return FEW.load(0, None)


def small_run(few, **training):
    network = [dense(6), act("tanh"), dense(few.targets)]
    whole = experiment(*network, batch_size=48, epochs=12, **training)
    return Run(msgspec.structs.replace(whole, data=FEW), few)


@pytest.mark.determinism
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", Optimizer.registry.names())
def test_back_and_forth_is_the_same_bit_for_bit(few, optimizer, schedule):
    for averaging in AVERAGES:
        training = {
            "optimizer": {"kind": optimizer},
            "schedule": {"kind": schedule, **SCHEDULES[schedule]},
            "averaging": averaging,
            "clipping": {"kind": "global_norm", "threshold": 0.5},
            "regularizers": [{"kind": "l2"}],
        }
        straight, wandering = small_run(few, **training), small_run(few, **training)
        straight.advance(30)
        if "plateau" in str(training["schedule"]):
            assert straight.rate_drops
        wandering.advance(17)
        wandering.seek(5)
        for _ in range(4):
            wandering.operation_forward()
        wandering.advance(3)
        wandering.seek(0)
        wandering.seek(23)
        fork = wandering.fork(wandering.experiment)
        for run in (wandering, fork):
            run.advance(30 - run.step)
            np.testing.assert_array_equal(run.machine.kept, straight.machine.kept)
            for mine, theirs in zip(run.others, straight.others, strict=True):
                np.testing.assert_array_equal(mine.machine.kept, theirs.machine.kept)
        np.testing.assert_array_equal(wandering.record.view().block, straight.record.view().block)
        assert wandering.rate_drops == straight.rate_drops == fork.rate_drops


def test_recording_changes_no_bit_of_any_chain(data):
    for optimizer, clipping in itertools.product(Optimizer.registry.names(), [None, *Clipping.registry.names()]):
        training = {
            "optimizer": {"kind": optimizer},
            "clipping": clipping and {"kind": clipping, "threshold": 0.1},
            "regularizers": [{"kind": "l1"}, {"kind": "max_norm", "limit": 1.0}],
        }
        with_record = run_with(data, **training)
        without = Run(with_record.experiment, data, record=False)
        for run in (with_record, without):
            run.advance(4)
        np.testing.assert_array_equal(with_record.machine.kept, without.machine.kept, err_msg=f"{optimizer} {clipping}")


def test_a_fork_with_an_average_keeps_what_the_optimizer_remembers(data):
    run = run_with(data, optimizer={"kind": "adam"})
    run.advance(20)
    fork = run.fork(with_value(run.experiment, "training.averaging", {"kind": "ema"}))
    run.advance(5)
    fork.advance(5)
    for name, values in run.parameters().items():
        np.testing.assert_array_equal(fork.parameters()[name], values)


def test_a_fork_to_another_optimizer_begins_with_its_own_settings(data):
    run = run_with(data, optimizer={"kind": "sgd", "learning_rate": 0.1})
    run.advance(5)
    run.set_live("training.optimizer.learning_rate", 0.7)
    run.advance(5)
    same = run.fork(with_value(run.experiment, "training.clipping", {"kind": "value"}))
    other = run.fork(with_value(run.experiment, "training.optimizer", {"kind": "adam", "learning_rate": 0.002}))
    for fork in (same, other):
        fork.advance(1)
    assert column(same, "learning_rate", 10) == 0.7
    assert column(other, "learning_rate", 10) == 0.002


# --- a wrong formula is found

STEP_MODULES = "layerscope.core.gradient_steps."


# (module where the kernel is looked up, kernel, what is written there, what is made of it, case of the oracle)
FAULTS = [
    ("sgd", "sgd_update", "rate * g[i]", "-rate * g[i]", "sgd"),
    ("momentum", "momentum_update", "share * v[i] + g[i]", "share * v[i] + (1 - share) * g[i]", "momentum"),
    ("nesterov", "nesterov_update", "rate * (g[i] + share * v[i])", "rate * v[i]", "nesterov"),
    ("normalized_gradient", "normalized_update", "/ norm", "/ (norm + 1e-6)", "normalized_gradient"),
    ("adagrad", "adagrad_update", "(math.sqrt(a[i]) + epsilon)", "math.sqrt(a[i] + epsilon)", "adagrad"),
    ("rmsprop", "rmsprop_update", "(math.sqrt(v[i]) + epsilon)", "math.sqrt(v[i] + epsilon)", "rmsprop"),
    ("rmsprop", "rmsprop_update", "rest * (g[i] * g[i])", "g[i] * g[i]", "rmsprop"),
    ("moments", "moments_update", "+ epsilon)", "+ scale * epsilon)", "adam"),
    ("moments", "moments_update", "keep2 * v[i]", "keep1 * v[i]", "adam"),
    ("moments", "correct_moments", "hyper[row[2]] ** steps", "hyper[row[2]] ** (steps + 1)", "adam"),
    ("moments", "correct_moments", "1.0 / math.sqrt(1.0 - hyper[row[3]] ** steps)", "1.0", "adam"),
    ("adamw", "add_decay", "hyper[row[4]] * hyper[row[5]]", "hyper[row[5]]", "adamw"),
    ("lion", "add_decay", "hyper[row[4]] * hyper[row[5]]", "0.0 * hyper[row[5]]", "lion"),
    ("decoupled", "add_decay", "share * w[i]", "share * u[i]", "regularizer.decoupled"),
    ("nadam", "correct_nadam", "(steps + 1.0)", "steps", "nadam"),
    ("nadam", "correct_nadam", "coming / (1.0 - product * coming)", "share / (1.0 - product * coming)", "nadam"),
    ("nadam", "correct_nadam", "(1.0 - product * coming)", "(1.0 - product)", "nadam"),
    ("lion", "lion_update", "keep1 * m[i] + rest1 * g[i]", "keep2 * m[i] + rest2 * g[i]", "lion"),
    ("lion", "lion_update", "m[i] = keep2 * m[i] + rest2", "m[i] = keep1 * m[i] + rest1", "lion"),
    ("l1", "add_l1", "-strength if", "strength if", "regularizer.l1"),
    ("l2", "add_l2", "strength * w[i]", "2 * strength * w[i]", "regularizer.l2"),
    ("max_norm", "limit_norms", "limit / norm", "limit / (norm + w.dtype.type(1e-6))", "regularizer.max_norm"),
    ("global_norm", "clip_global_norm", "+ 1e-6", "+ 0.0", "clipping.global_norm"),
    ("global_norm", "multiply", "*= factor", "*= g.dtype.type(1)", "clipping.global_norm"),
    ("divide_by_norm", "divide_by_norm", "1.0 / norm", "hyper[row[2]] / norm", "clipping.divide_by_norm"),
    ("layer_norm", "clip_layer", "+ 1e-6", "+ 0.0", "clipping.layer_norm"),
    ("value", "clip_values", "low if g[i] < low", "g[i] if g[i] < low", "clipping.value"),
]


@pytest.fixture
def sabotage(tmp_path, monkeypatch):
    """Return a function that puts a changed copy of a kernel in the place of the right one."""
    import ast
    import inspect
    import itertools
    import sys
    import types

    from layerscope.core.engine.kernel import KERNELS

    made = []

    def change(module_name, kernel, old, new):
        module = importlib.import_module(STEP_MODULES + module_name)
        home = sys.modules[getattr(module, kernel).__module__]
        source = inspect.getsource(home)
        node = next(n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == kernel)
        code = "@kernel\n" + ast.get_source_segment(source, node).replace(ast.get_docstring(node, clean=False), "")
        assert code.count(old) == 1, (kernel, old)
        # a file, because compiled code is kept on disk beside the name of its file
        file = tmp_path / f"fault_{next(numbers)}.py"
        file.write_text(code.replace(old, new))
        wrong = types.ModuleType(file.stem)
        vars(wrong).update({k: v for k, v in vars(home).items() if not k.startswith("__")})
        sys.modules[file.stem] = wrong
        exec(compile(file.read_text(), str(file), "exec"), vars(wrong))
        made.append(file.stem)
        monkeypatch.setattr(module, kernel, getattr(wrong, kernel))

    numbers = itertools.count()
    yield change
    for name in made:
        del sys.modules[name]
        for key in [key for key in KERNELS if key.startswith(f"{name}.")]:
            del KERNELS[key]


@pytest.mark.parametrize(("module", "kernel", "old", "new", "case"), FAULTS, ids=[f"{f[1]}-{f[4]}" for f in FAULTS])
def test_a_wrong_formula_is_found(sabotage, module, kernel, old, new, case):
    sabotage(module, kernel, old, new)
    assert not distance(trained(CASES[case]), case) < 1e-7


def test_every_kernel_of_the_chain_has_a_fault():
    from layerscope.core.engine.kernel import KERNELS

    assert Optimizer.registry.names()
    kernels = {name.removeprefix(STEP_MODULES).split(".")[1] for name in KERNELS if name.startswith(STEP_MODULES)}
    # the sum over layers decides nothing but the recorded norm, which is compared above
    assert kernels - {"end_clipping"} == {kernel for _module, kernel, *_rest in FAULTS}
