"""What PyTorch and Keras make of a hundred training steps (`oracles/make_torch_steps.py`), and ours beside it."""

import json
from pathlib import Path

import numpy as np
from experiments import act, dense, table_data

from layerscope.core.experiment import Experiment, build
from layerscope.core.run import Run

FILE = Path(__file__).parent / "oracles" / "torch_steps.npz"
STEPS = 100
with np.load(FILE) as _file:
    ORACLE = dict(_file)
CASES = json.loads(str(ORACLE["cases"]))
NETWORK = [dense(7), act("tanh"), dense(6), act("tanh"), dense(3)]


def run_for(training, network=NETWORK, epochs=34) -> Run:
    common = {"batch_size": 4, "precision": "float64", "shuffle": False, "epochs": epochs}
    experiment = build(Experiment, {"network": network, "training": {**common, **training}})
    return Run(experiment, table_data(ORACLE["x"], ORACLE["y"], 3))


def trained(training) -> Run:
    run = run_for(training)
    for index, tensor in enumerate(run.program.tensors):
        run.parameter(tensor)[...] = ORACLE[f"start.{index}"]
    run.advance(STEPS)
    return run


def distance(run: Run, name: str) -> float:
    """The largest relative error of losses, learning rates and final weights against the oracle."""
    view = run.record.view()
    ours = np.concatenate([run.parameter(t).ravel() for t in run.program.tensors])
    pairs = (
        (view.values("loss"), ORACLE[f"{name}.loss"]),
        (view.values("learning_rate"), ORACLE[f"{name}.rate"]),
        (ours, ORACLE[f"{name}.weights"]),
    )
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
