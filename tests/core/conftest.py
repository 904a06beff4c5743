"""Fixtures that the tests of the core share."""

import pytest
from experiments import act, dense, experiment

from layerscope.core.experiment import Experiment


@pytest.fixture
def small() -> Experiment:
    """64 -> 12 -> 10 with tanh, momentum, three epochs."""
    return experiment(
        dense(12), act("tanh"), dense(10), epochs=3, optimizer={"kind": "momentum", "learning_rate": 0.05}
    )
