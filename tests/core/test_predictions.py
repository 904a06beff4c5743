"""What a network is asked for: every answer is that of the network which the experiment evaluates."""

import math

import numpy as np
import pytest
from experiments import act, conv, dense, experiment

from layerscope.core.evaluation import MOST_FORWARD, answering, forward_of
from layerscope.core.experiment import Experiment, build
from layerscope.core.losses.base import Loss, accuracy_of
from layerscope.core.run import Run
from layerscope.core.studies.base import answer
from layerscope.core.studies.predictions import KEPT_MISTAKES, PredictionsStudy
from layerscope.core.studies.units import FEW, MOST_ROWS, UnitsStudy


def toy(kind, *layers, loss="softmax_cross_entropy", training=None, **data):
    return build(
        Experiment,
        {
            "data": {"kind": kind, "samples": 80, **data},
            "network": list(layers),
            "loss": {"kind": loss},
            "training": {"batch_size": 16, "optimizer": {"kind": "adam", "learning_rate": 0.02}, **(training or {})},
        },
    )


DIGITS = (dense(12), act("tanh"), dense(10))
NETWORKS = {
    "plane": toy("circles", dense(6), act("tanh"), dense(2)),
    "one output": toy("moons", dense(6), act("tanh"), dense(1), loss="binary_cross_entropy"),
    "values for classes": toy("blobs", dense(6), act("tanh"), dense(3), loss="mse"),
    "whitened": toy("moons", dense(6), act("tanh"), dense(2), scaling="whiten"),
    "line": toy("regression", dense(6), act("tanh"), dense(1), loss="mse"),
    "surface": toy("regression", dense(6), act("tanh"), dense(1), loss="huber", function="surface"),
    "images": experiment(*DIGITS),
    "convolutions": experiment(conv(4), act("relu"), {"kind": "flatten"}, dense(10)),
    "averaged": experiment(*DIGITS, averaging={"kind": "ema", "decay": 0.9}),
    "ensemble": experiment(*DIGITS, averaging={"kind": "ensemble", "size": 3}),
    "half": experiment(*DIGITS, precision="float16"),
    "no validation": toy("circles", dense(6), act("tanh"), dense(2), validation=0.0),
}


def asked(name, steps=12, **settings):
    run = Run(NETWORKS[name])
    run.advance(steps)
    return run, answer(PredictionsStudy(**settings), run).value


@pytest.mark.parametrize("name", NETWORKS)
def test_the_judged_samples_have_the_loss_and_accuracy_of_an_evaluation(name):
    run, found = asked(name)
    data = run.data
    for judged, x, t in (
        (found.training, data.x_train, data.t_train),
        (found.validation, data.x_validation, data.t_validation),
    ):
        if judged is None:
            assert len(x) == 0
            continue
        loss, accuracy = run.evaluate(x, t)
        assert judged.of == len(judged.index) == len(x)
        assert judged.loss.mean() == pytest.approx(loss, rel=1e-5)
        if data.classes:
            assert 1.0 - judged.wrong.mean() == pytest.approx(accuracy)
        else:
            assert math.isnan(accuracy)
            np.testing.assert_array_equal(judged.truth, t)


@pytest.mark.parametrize("name", ["plane", "one output", "values for classes", "whitened", "surface"])
def test_cells_of_the_plane_have_the_answers_that_the_network_gives_there(name):
    run, found = asked(name, resolution=9)
    plane = found.plane
    x, y = (0.5 * (edges[1:] + edges[:-1]) for edges in (plane.x_edges, plane.y_edges))
    raw = run.data.scale.undo(np.concatenate([run.data.x_train, run.data.x_validation]))
    for column, edges in zip(raw.T, (plane.x_edges, plane.y_edges), strict=True):
        assert edges[0] < column.min() <= column.max() < edges[-1]
    for row, at in ((0, 0), (3, 7), (8, 2)):
        here = run.data.scale.apply(np.array([[x[at], y[row]]]))
        said = run.experiment.loss.predict(run.outputs(here, run.data.t_train[:1]))
        if name == "surface":
            assert plane.values[0, row, at] == pytest.approx(said[0, 0], rel=1e-5)
        elif name == "one output":
            assert plane.said[row, at] == int(said[0, 0] > 0.5)
            assert plane.certainty[row, at] == pytest.approx(max(said[0, 0], 1 - said[0, 0]), rel=1e-5)
        else:
            assert plane.said[row, at] == said[0].argmax()
            assert plane.certainty[row, at] == pytest.approx(said[0].max(), rel=1e-5)
    assert found.probable == (name not in ("values for classes", "surface"))


def test_a_curve_has_the_answers_along_the_line():
    run, found = asked("line")
    curve = found.curve
    assert found.plane is None
    here = run.data.scale.apply(curve.x[[5, 200], None])
    np.testing.assert_allclose(curve.y[[5, 200]], run.outputs(here, run.data.t_train[:2]), rtol=1e-5)
    assert curve.x.min() < run.data.scale.undo(run.data.x_train).min()


@pytest.mark.parametrize("name", ["images", "plane", "one output", "averaged"])
def test_the_confusion_matrix_counts_every_sample_once(name):
    run, found = asked(name)
    counts = found.judged.confusion(len(found.classes))
    assert counts.sum() == len(run.data.x_validation)
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(run.data.y_validation, minlength=len(found.classes)))
    assert np.trace(counts) == len(run.data.x_validation) - found.judged.wrong.sum()


def test_the_worst_mistakes_are_the_worst():
    run, found = asked("images", steps=30)
    judged = found.judged
    assert found.part == "validation"
    wrong = np.sort(judged.loss[judged.wrong])[::-1]
    assert len(wrong) > KEPT_MISTAKES, "the network must still make mistakes"
    np.testing.assert_array_equal([m.loss for m in found.mistakes], wrong[:KEPT_MISTAKES])
    for mistake in found.mistakes:
        assert mistake.truth == run.data.y_validation[mistake.index] != mistake.said
        np.testing.assert_allclose(mistake.picture, run.data.scale.undo(run.data.x_validation)[mistake.index])
        assert mistake.picture.min() >= -1e-9
        assert mistake.picture.max() <= 16 + 1e-9


def test_averaged_weights_answer_and_not_the_present_ones():
    run, found = asked("averaged")
    assert found.averaged
    plain = run.experiment.loss.predict(run.outputs(run.data.x_validation, run.data.t_validation))
    assert found.judged.wrong.mean() != pytest.approx(1.0 - accuracy_of(plain, run.data.t_validation))


def test_the_networks_of_an_ensemble_answer_together():
    run, found = asked("ensemble")
    assert found.networks == 3
    single = [
        run.experiment.loss.predict(each.outputs(run.data.x_validation, run.data.t_validation))
        for each in (run, *run.others)
    ]
    mean = np.mean(single, axis=0)
    np.testing.assert_array_equal(found.judged.said, mean.argmax(axis=1))
    np.testing.assert_allclose(found.judged.certainty, mean.max(axis=1), rtol=1e-6)
    assert (mean.argmax(axis=1) != single[0].argmax(axis=1)).any()


def test_without_validation_samples_the_training_samples_are_judged():
    run, found = asked("no validation")
    assert found.validation is None
    assert found.part == "training"
    assert found.judged.confusion(2).sum() == len(run.data.x_train)


def test_of_many_samples_some_from_everywhere_are_asked():
    run, found = asked("images", samples=100)
    assert found.training.of == len(run.data.x_train)
    assert len(found.training.index) == len(set(found.training.index.tolist())) == 100
    assert found.training.index[-1] > 0.95 * found.training.of
    whole = answer(PredictionsStudy(), run).value
    np.testing.assert_allclose(found.training.loss, whole.training.loss[found.training.index], rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_that_are_no_numbers_are_answers_that_are_none(name):
    run = Run(NETWORKS[name])
    for each in (run, *run.others):
        each.machine.arena[: each.program.parameter_count] = np.nan
    found = answer(PredictionsStudy(resolution=8), run).value
    if found.classes:
        assert (found.judged.said == -1).all()
        assert found.judged.confusion(len(found.classes)).sum() == 0
        assert found.judged.wrong.all()
    assert np.isnan(found.judged.loss).all()
    assert found.mistakes
    assert found.plane is None or np.isnan(found.plane.values).all()


def test_answers_follow_the_training():
    run, before = asked("plane")
    run.advance(40)
    after = answer(PredictionsStudy(), run).value
    assert after.judged.loss.mean() < before.judged.loss.mean()
    run.seek(12)
    again = answer(PredictionsStudy(), run).value
    np.testing.assert_array_equal(again.plane.certainty, before.plane.certainty)


def test_few_sets_of_samples_are_kept_for_a_run():
    run = Run(NETWORKS["plane"])
    made = []

    def samples():
        made.append(1)
        return run.data.x_train[:3]

    first = forward_of(run, "a", samples)
    assert forward_of(run, "a", samples) is first
    assert len(made) == 1
    for key in range(MOST_FORWARD):
        forward_of(run, key, samples)
    assert forward_of(run, "a", samples) is not first


@pytest.mark.parametrize("kind", [kind for kind in Loss.registry if not kind.__module__.startswith("test")])
def test_a_loss_is_the_mean_over_its_samples(kind):
    loss, rng = kind(), np.random.default_rng(0)
    predictions = rng.uniform(0.05, 0.95, (7, 3))
    t = np.eye(3)[rng.integers(0, 3, 7)]
    each = loss.of_each(predictions, t)
    assert each.shape == (7,)
    assert loss.of_predictions(predictions, t) == pytest.approx(each.mean())
    for row in range(7):
        assert loss.of_predictions(predictions[row : row + 1], t[row : row + 1]) == pytest.approx(each[row])


# --- single units


def units(name, steps=5, **settings):
    run = Run(NETWORKS[name] if isinstance(name, str) else name)
    run.advance(steps)
    return run, answer(UnitsStudy(**settings), run).value


def by_hand(run, x):
    """Outputs of the hidden layer of a small tanh network."""
    weight, bias = (run.parameters()[f"0.{part}"].astype(np.float64) for part in ("weight", "bias"))
    return np.tanh(x @ weight + bias)


def test_maps_are_the_outputs_of_units_in_the_plane():
    run, found = units("plane", resolution=11)
    assert found.show == "plane"
    assert [(row.path, row.weighted, row.of) for row in found.rows] == [("1", "0", 6), ("2", "2", 2)]
    (left, right), (bottom, top) = found.ranges
    x, y = left + 3.5 / 11 * (right - left), bottom + 8.5 / 11 * (top - bottom)
    here = by_hand(run, run.data.scale.apply(np.array([[x, y]])))
    np.testing.assert_allclose(found.rows[0].maps[:, 8, 3, 0], here[0], rtol=1e-5)
    rms = np.sqrt((found.rows[0].maps ** 2).mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(found.rows[0].norms, rms)


def test_along_a_line_units_are_functions():
    run, found = units("line")
    assert found.show == "line"
    (low, high) = found.ranges[0]
    x = low + (np.arange(128) + 0.5) / 128 * (high - low)
    there = by_hand(run, run.data.scale.apply(x[:, None]))
    np.testing.assert_allclose(found.rows[0].maps[:, 0, :, 0], there.T, atol=1e-5)


def test_weights_are_shown_in_the_places_of_what_they_look_at():
    run, found = units("images")
    (row,) = found.rows
    weight = run.parameters()["0.weight"]
    assert found.show == "weights"
    assert row.maps.shape == (12, 8, 8, 1)
    np.testing.assert_array_equal(row.maps[5].ravel(), weight[:, 5])
    np.testing.assert_allclose(row.norms, np.linalg.norm(weight, axis=0), rtol=1e-6)


def test_kernels_are_shown_one_for_each_filter():
    run, found = units("convolutions")
    (row,) = found.rows
    np.testing.assert_array_equal(row.maps[2], run.parameters()["0.weight"][..., 2])


def test_averaged_weights_are_shown_where_they_answer():
    run, found = units("averaged", steps=20)
    assert found.averaged
    shown = found.rows[0].maps.reshape(12, -1).T
    np.testing.assert_array_equal(shown.ravel(), answering(run).parameters[0][: shown.size].astype(np.float64))
    assert (shown != run.parameters()["0.weight"]).any()


def test_feature_maps_are_what_a_layer_puts_out_for_the_image():
    run, found = units("convolutions", show="sample", sample=3)
    assert found.show == "sample"
    assert found.truth == run.data.classes[run.data.y_validation[3]]
    (row,) = found.rows
    kernel = run.parameters()["0.weight"][..., 1, None].astype(np.float64)
    image, bias = run.data.x_validation[3], run.parameters()["0.bias"][1]
    size = kernel.shape[0]
    value = max(0.0, float((image[2 : 2 + size, 1 : 1 + size] * kernel[..., 0]).sum() + bias))
    assert row.maps[1, 2, 1, 0] == pytest.approx(value, rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(found.picture, run.data.scale.undo(run.data.x_validation[3:4])[0])


def test_an_image_that_there_is_not_begins_again_from_the_first():
    run, found = units("convolutions", show="sample", sample=10_000)
    assert 0 <= found.sample < len(run.data.x_validation)


def test_a_chosen_layer_shows_all_its_units_and_many_layers_a_few_each():
    wide = toy("circles", dense(70), act("tanh"), dense(30), act("tanh"), dense(2))
    _run, few = units(wide, resolution=8)
    assert [len(row.index) for row in few.rows] == [FEW, FEW, 2]
    _run, one = units(wide, resolution=8, layer="3", most=100)
    assert [(row.path, len(row.index)) for row in one.rows] == [("3", 30)]
    assert units(wide, resolution=8, layer="9")[1].rows == ()


def test_of_a_hundred_layers_some_from_the_whole_depth_are_shown():
    deep = toy("circles", *[part for _ in range(100) for part in (dense(4), act("tanh"))], dense(2))
    _run, found = units(deep, steps=1, resolution=8)
    assert len(found.rows) == MOST_ROWS
    assert found.rows[0].path == "1"
    assert found.rows[-1].path == "200"


def test_what_cannot_be_drawn_is_none():
    assert units("images", show="outputs")[1] is None
    assert units("plane", show="sample")[1] is None
    assert units("images", show="sample")[1].rows == ()


def test_lengths_of_normalized_weights_are_not_claimed():
    layer = {"kind": "weight_norm", "layer": dense(4)}
    _run, found = units(toy("circles", layer, act("tanh"), dense(2)), show="weights")
    assert not found.rows[0].exact
