"""What the worker takes for a change that applies at once, and what for another run."""

import pytest
from experiments import dense, experiment

from layerscope.core.experiment import with_value
from layerscope.desktop.worker import differs_only_live, run_key


def whole(**training):
    return experiment(
        {"kind": "residual", "body": [dense(64), {"kind": "dropout", "rate": 0.5}]},
        dense(10),
        regularizers=[{"kind": "max_norm"}, {"kind": "l2", "strength": 0.01}],
        clipping={"kind": "global_norm", "threshold": 1.0},
        **training,
    )


@pytest.mark.parametrize(
    "path",
    [
        "training.regularizers.0.limit",
        "training.regularizers.1.strength",
        "training.clipping.threshold",
        "training.optimizer.learning_rate",
        "network.0.body.1.rate",
    ],
)
def test_a_live_setting_anywhere_in_the_experiment_applies_at_once(path):
    assert differs_only_live(whole(), with_value(whole(), path, 0.25)) == {path: 0.25}


@pytest.mark.parametrize(
    ("path", "value"),
    [("network.0.body.0.units", 32), ("training.regularizers", []), ("training.clipping", None), ("seed", 1)],
)
def test_any_other_change_begins_anew(path, value):
    assert not differs_only_live(whole(), with_value(whole(), path, value))


@pytest.mark.parametrize(
    ("schedule", "same"),
    [
        ({"kind": "constant"}, True),
        ({"kind": "exponential"}, True),
        ({"kind": "warmup"}, True),
        ({"kind": "cosine"}, False),
        ({"kind": "warmup", "then": {"kind": "one_cycle"}}, False),
    ],
)
def test_a_longer_plan_is_another_run_only_where_the_schedule_uses_the_length(schedule, same):
    longer = with_value(whole(schedule=schedule), "training.epochs", 77)
    assert (run_key(longer) == run_key(whole(schedule=schedule))) == same
