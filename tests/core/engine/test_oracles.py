"""The engine computes what PyTorch computes: outputs, loss, every gradient, ten steps of gradient descent."""

from pathlib import Path

import numpy as np
import pytest
from experiments import act, dense, table_data

from layerscope.core.activations import ACTIVATIONS
from layerscope.core.experiment import Experiment, build
from layerscope.core.run import Run

FILE = Path(__file__).parents[2] / "oracles" / "torch_mlp.npz"
LOSSES = {
    "softmax_cross_entropy": {"kind": "softmax_cross_entropy"},
    "smoothed": {"kind": "softmax_cross_entropy", "label_smoothing": 0.1},
    "mse": {"kind": "mse"},
}
OPTIMIZERS = {"sgd": {"kind": "sgd"}, "momentum": {"kind": "momentum", "momentum": 0.9}}


@pytest.fixture(scope="module")
def oracle():
    with np.load(FILE) as file:
        return dict(file)


def run_for(oracle, function, loss, optimizer="sgd", precision="float64") -> Run:
    samples = len(oracle["x"])
    experiment = build(
        Experiment,
        {
            "network": [dense(7), act(function), dense(6), act(function), dense(3)],
            "loss": LOSSES[loss],
            "training": {
                "batch_size": samples,
                "precision": precision,
                "shuffle": False,
                "optimizer": {**OPTIMIZERS[optimizer], "learning_rate": 0.02},
            },
        },
    )
    run = Run(experiment, table_data(oracle["x"], oracle["y"], 3))
    for index, tensor in enumerate(run.program.tensors):
        run.parameter(tensor)[...] = oracle[f"start.{index}"]
    return run


def close(a, b, tolerance=1e-10):
    assert np.linalg.norm(a - b) <= tolerance * (np.linalg.norm(b) + 1e-300), np.abs(a - b).max()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_outputs_loss_and_gradients_are_those_of_pytorch(oracle, function, loss):
    run = run_for(oracle, function, loss)
    line, _ = run.look()
    case = f"{function}.{loss}"
    outputs = next(o for o in run.program.operations if o.phase == "loss")
    close(run.value(outputs), oracle[f"{case}.outputs"])
    assert line[0] == pytest.approx(float(oracle[f"{case}.loss"]), rel=1e-11)
    for index, tensor in enumerate(run.program.tensors):
        close(run.gradient(tensor), oracle[f"{case}.gradient.{index}"])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_ten_steps_end_where_pytorch_ends(oracle, function, loss, optimizer):
    run = run_for(oracle, function, loss, optimizer)
    run.advance(10)
    ours = np.concatenate([run.parameter(t).ravel() for t in run.program.tensors])
    close(ours, oracle[f"{function}.{loss}.{optimizer}"], 1e-9)


@pytest.mark.parametrize("function", ACTIVATIONS.names())
def test_single_precision_is_the_same_within_its_rounding(oracle, function):
    run = run_for(oracle, function, "softmax_cross_entropy", precision="float32")
    run.look()
    for index, tensor in enumerate(run.program.tensors):
        close(run.gradient(tensor), oracle[f"{function}.softmax_cross_entropy.gradient.{index}"], 2e-5)
