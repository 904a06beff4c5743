"""Losses of classes and of values: what is compared with what, what counts as right, and what is refused."""

import math

import msgspec
import numpy as np
import pytest
from experiments import act, dense, table_data

from layerscope.core.data.base import Data, Outline
from layerscope.core.errors import InputError
from layerscope.core.experiment import Experiment, build
from layerscope.core.losses import Loss, accuracy_of
from layerscope.core.run import Run

CLASSES = ("a", "b", "c")
KINDS = Loss.registry.names()
FOR_VALUES = [name for name, kind in Loss.registry.items() if kind.for_values]


def test_the_usual_losses_are_met_first():
    assert KINDS[:3] == ["softmax_cross_entropy", "binary_cross_entropy", "mse"]


def data_for(classes: int, samples: int = 30, values: int = 0) -> Data:
    draw = np.random.default_rng(6)
    data = table_data(draw.normal(size=(samples, 4)), np.arange(samples) % max(classes, 1), max(classes, 1))
    t = data.t_train
    if values:
        t = draw.normal(size=(samples, values)) * 2
        data = msgspec.structs.replace(data, y_train=t, t_train=t, classes=())
    return msgspec.structs.replace(data, x_validation=data.x_train[:11], y_validation=t[:11], t_validation=t[:11])


def run_for(loss: str, data: Data, outputs: int, **fields) -> Run:
    plain = {
        "network": [dense(5), act("tanh"), dense(outputs)],
        "loss": {"kind": loss, **fields},
        "training": {"batch_size": len(data.x_train), "precision": "float64", "shuffle": False},
    }
    return Run(build(Experiment, plain), data)


CASES = [(name, 3, 3, 0) for name in KINDS]
CASES += [(name, 2, 1, 0) for name, kind in Loss.registry.items() if kind.single_output]
CASES += [(name, 2, 2, 0) for name in KINDS]
CASES += [(name, 0, width, width) for name in FOR_VALUES for width in (1, 3)]


@pytest.mark.parametrize(("name", "classes", "outputs", "values"), CASES)
def test_kernel_and_numpy_agree_on_loss_and_accuracy(name, classes, outputs, values):
    data = data_for(classes, values=values)
    run = run_for(name, data, outputs)
    line, _ = run.look()
    loss = run.experiment.loss
    z = run.value(next(o for o in run.program.operations if o.phase == "loss"))
    t = loss.encode(data.t_train, (outputs,))
    assert t.shape == z.shape
    assert loss.of_predictions(loss.predict(z), t) == pytest.approx(line[0], rel=1e-12)
    if values:
        assert math.isnan(line[1])
        assert math.isnan(run.validate()[1])
        assert math.isfinite(run.validate()[0])
    else:
        assert line[1] == accuracy_of(loss.predict(z), t)
        assert 0 < line[1] < 1
        assert run.validate()[1] == pytest.approx(accuracy_of(loss.predict(z[:11]), t[:11]))


@pytest.mark.parametrize("name", [name for name, kind in Loss.registry.items() if kind.single_output])
def test_one_output_says_whether_it_is_the_second_class(name):
    data = data_for(2)
    run = run_for(name, data, 1)
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = 0.0
    bias = next(run.parameter(t) for t in run.program.tensors if t.name == "2.bias")
    threshold = run.experiment.loss.threshold
    for value, right in ((threshold + 0.1, 1), (threshold - 0.1, 0)):
        bias[...] = value
        assert run.look()[0][1] == np.mean(data.y_train == right)
    bias[...] = np.nan
    assert run.look()[0][1] == 0.0  # no answer is no right answer


def test_binary_cross_entropy_keeps_its_digits_far_out():
    run = run_for("binary_cross_entropy", data_for(2), 1)
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = 0.0
    bias = next(run.parameter(t) for t in run.program.tensors if t.name == "2.bias")
    y = run.data.y_train
    for value in (30.0, -30.0, 800.0):
        bias[...] = value
        surprise = np.where(y == (value > 0), math.log1p(math.exp(-abs(value))), abs(value))
        assert run.look()[0][0] == pytest.approx(surprise.mean(), rel=1e-14)
    only = msgspec.structs.replace(data_for(2), t_train=np.tile([0.0, 1.0], (30, 1)))
    run = run_for("binary_cross_entropy", only, 1)
    for tensor in run.program.tensors:
        run.parameter(tensor)[...] = 0.0
    next(run.parameter(t) for t in run.program.tensors if t.name == "2.bias")[...] = 30.0
    assert run.look()[0][0] == pytest.approx(math.exp(-30), rel=1e-12)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_chance_is_the_loss_of_equal_answers(name, classes):
    loss = Loss.registry[name]()
    outline = Outline((4,), classes, tuple(map(str, range(classes))))
    expected = {
        "softmax_cross_entropy": math.log(classes),
        "binary_cross_entropy": (math.log(classes) - (classes - 1) * math.log(1 - 1 / classes)) / classes,
        "mse": (classes - 1) / classes**2,
        "huber": (classes - 1) / classes**2 / 2,
    }
    assert loss.chance(outline) == pytest.approx(expected[name], rel=1e-12)
    assert math.isnan(loss.chance(Outline((4,), 2)))
    assert math.isnan(loss.chance(Outline((), 0)))


@pytest.mark.parametrize("name", [name for name in KINDS if name not in FOR_VALUES])
def test_losses_of_classes_are_refused_for_values(name):
    with pytest.raises(InputError, match="is for classes, but the data has values to predict: choose Mean squared"):
        Loss.registry[name]().check((1,), Outline((4,), 1))


@pytest.mark.parametrize(
    ("name", "outputs", "outline", "words"),
    [
        ("mse", (3,), Outline((4,), 1), "1 value to predict: end with a dense layer of 1 unit"),
        ("huber", (1,), Outline((4,), 2), "2 values to predict: end with a dense layer of 2 units"),
        ("softmax_cross_entropy", (1,), Outline((4,), 2, ("a", "b")), "2 classes: end with a dense layer of 2 units"),
        ("binary_cross_entropy", (3,), Outline((4,), 2, ("a", "b")), "of 1 unit (the second class or not) or of 2"),
        ("binary_cross_entropy", (1,), Outline((4,), 3, CLASSES), "3 classes: end with a dense layer of 3 units"),
        ("mse", (2, 2, 3), Outline((4,), 3, CLASSES), "puts out 2×2×3, but the data has 3 classes"),
    ],
)
def test_outputs_that_cannot_be_compared_are_refused(name, outputs, outline, words):
    with pytest.raises(InputError) as caught:
        Loss.registry[name]().check(outputs, outline)
    assert words in caught.value.problem


@pytest.mark.parametrize("name", KINDS)
def test_every_loss_says_its_formula_and_its_source(name):
    kind = Loss.registry[name]
    assert kind.formula.startswith("L = ")
    assert "torch.nn." in kind.source


def test_an_answer_with_a_nan_is_wrong():
    assert accuracy_of(np.array([[np.nan, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])) == 0.5
    assert accuracy_of(np.array([[np.nan], [0.7], [0.2]]), np.array([[0.0], [1.0], [0.0]])) == pytest.approx(2 / 3)
