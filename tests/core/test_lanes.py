"""A lane's chip says in few words what sets it apart."""

import pytest
from experiments import act, dense, experiment

from layerscope.core.experiment import with_value
from layerscope.core.lanes import difference
from layerscope.core.lessons import LESSONS


def test_the_lesson_says_each_change_once():
    a, b = LESSONS["vanishing-gradients"].lanes
    assert difference(a, b) == "Xavier normal → He normal · Sigmoid → ReLU"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("training.optimizer.learning_rate", 0.01, "Learning rate 0.1 → 0.01"),
        ("training.optimizer", "momentum", "SGD → Momentum"),
        ("seed", 3, "Seed 0 → 3"),
        ("network.0.bias", False, "Dense bias yes → no"),
        ("training.batch_size", 8, "Batch size 16 → 8"),
    ],
)
def test_one_setting(path, value, said):
    first = experiment(dense(4), act("tanh"), dense(10))
    assert difference(first, with_value(first, path, value)) == said


def test_another_branch():
    def block(*branches):
        return experiment({"kind": "inception", "branches": list(branches)}, dense(10))

    assert difference(block([dense(4)], []), block([dense(4)], [], [dense(3)])) == "branches 2 → branches 3"
    assert difference(block([dense(4)], []), block([dense(4)], [dense(3)])) == "no branches → Dense"


def test_a_number_is_named_once_with_the_layer_it_belongs_to():
    first = experiment(dense(4), {"kind": "dropout", "rate": 0.0}, dense(10))
    assert difference(first, with_value(first, "network.1.rate", 0.2)) == "Dropout rate 0 → 0.2"


def test_another_depth():
    assert difference(experiment(dense(10)), experiment(dense(4), act("tanh"), dense(10))) == "1 → 3 layers"


def test_nothing_but_the_name():
    first = experiment(dense(10))
    assert difference(first, with_value(first, "name", "other")) == ""
