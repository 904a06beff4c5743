"""Every kind of layer and loss computes what PyTorch computes: outputs, loss, all gradients, five steps with running
statistics, and the network in evaluation, in float64 to 1e-10.
"""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from experiments import table_data

from layerscope.core.engine import random
from layerscope.core.experiment import Experiment, build
from layerscope.core.fields import describe
from layerscope.core.layers.base import Layer
from layerscope.core.losses import Loss
from layerscope.core.run import Run

FOLDER = Path(__file__).parents[2] / "oracles"
TORCH, KERAS = FOLDER / "torch_layers.npz", FOLDER / "keras_layers.npz"
TOLERANCE = 1e-10


def read(path):
    """The file's cases by name, and what all of them share."""
    with np.load(path) as file:
        content = dict(file)
    found = {}
    for key, values in content.items():
        name, bar, rest = key.partition("|")
        if bar:
            found.setdefault(name, {})[rest] = json.loads(str(values)) if rest == "description" else values
    return found, content


CASES, SHARED = read(TORCH)


def run_for(case, precision="float64", shared=SHARED, batch=4) -> Run:
    said = case["description"]
    x, t = shared[said["x"]], shared[said["t"]]
    classes = 0 if said["t"] == "values" else t.shape[1]
    data = table_data(x, t.argmax(axis=1), t.shape[1])
    if not classes:
        data = msgspec.structs.replace(data, y_train=t, t_train=t, classes=(), t_validation=t[:0])
    plain = {
        "network": said["network"],
        "loss": said["loss"],
        "seed": 7,
        "training": {
            "batch_size": batch,
            "precision": precision,
            "shuffle": False,
            "optimizer": {"kind": "sgd", "learning_rate": 0.05},
        },
    }
    run = Run(build(Experiment, plain), data)
    for tensor in run.program.tensors:
        if tensor.parameter.trained:
            run.parameter(tensor)[...] = case[f"start|{tensor.name}"]
    return run


def off(found, expected) -> float:
    """How far apart, relative to the size of what is expected (at least 1e-3: some gradients are zero but for
    rounding).
    """
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3))


def outputs_of(run):
    return run.value(next(o for o in run.program.operations if o.phase == "loss"))


@pytest.mark.parametrize("name", CASES)
def test_outputs_loss_and_gradients_are_those_of_pytorch(name):
    case = CASES[name]
    run = run_for(case)
    line, _ = run.look()
    assert off(outputs_of(run), case["outputs"]) < TOLERANCE
    assert line[0] == pytest.approx(float(case["loss"]), rel=TOLERANCE)
    names = {tensor.name for tensor in run.program.tensors if tensor.parameter.trained}
    assert names == {key.partition("|")[2] for key in case if key.startswith("gradient|")}
    for tensor in run.program.tensors:
        if tensor.parameter.trained:
            assert off(run.gradient(tensor), case[f"gradient|{tensor.name}"]) < TOLERANCE, tensor.name


@pytest.mark.parametrize("name", CASES)
def test_five_steps_and_the_evaluation_end_where_pytorch_ends(name):
    case = CASES[name]
    run = run_for(case)
    run.advance(5)
    for tensor in run.program.tensors:
        assert off(run.parameter(tensor), case[f"end|{tensor.name}"]) < TOLERANCE, tensor.name
    assert off(run.outputs(run.data.x_train, run.data.t_train), case["evaluated"]) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_single_precision_is_the_same_within_its_rounding(name):
    case = CASES[name]
    run = run_for(case, "float32")
    run.look()
    assert off(outputs_of(run), case["outputs"]) < 1e-5
    for tensor in run.program.tensors:
        if tensor.parameter.trained:
            assert off(run.gradient(tensor), case[f"gradient|{tensor.name}"]) < 1e-4, tensor.name


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if any(k.startswith("mask|") for k in case)])
def test_dropout_draws_the_masks_of_its_recipe(name):
    case = CASES[name]
    run = run_for(case)
    found = 0
    for card in run.program.plan.cards:
        if f"mask|{card.path}" in case:
            mask = card.layer.trace(lambda p, c=card: random.key(7, p, c.path), np.array([0]), 4, card.given)["mask"]
            np.testing.assert_array_equal(np.packbits(mask.astype(bool)), case[f"mask|{card.path}"])
            found += 1
    assert found


def options(value, found):
    """(kind, field) of everything that differs from its default somewhere in a description."""
    if isinstance(value, dict):
        found.setdefault(value["kind"], set()).update(value)
        for item in value.values():
            options(item, found)
    elif isinstance(value, list):
        for item in value:
            options(item, found)
    return found


def test_every_kind_with_every_option_is_compared():
    found = {}
    for case in CASES.values():
        options([case["description"]["network"], case["description"]["loss"]], found)
    # functions and initial weights have tests of their own; `muted` layers are not there at all
    elsewhere = {("activation", "slope"), ("activation", "alpha")}
    for registry in (Layer.registry, Loss.registry):
        for name, kind in registry.items():
            fields = {f.name for f in describe(kind)} - {"init", "bias_std", "muted"}
            missing = {(name, field) for field in fields - found.get(name, set())} - elsewhere
            assert name in found
            assert not missing


# --- Keras


KERAS_CASES, KERAS_SHARED = read(KERAS)


@pytest.mark.parametrize("name", KERAS_CASES)
def test_outputs_loss_and_gradients_are_those_of_keras(name):
    case = KERAS_CASES[name]
    run = run_for(case, shared=KERAS_SHARED, batch=6)
    line, _ = run.look()
    assert off(outputs_of(run), case["outputs"]) < TOLERANCE
    assert line[0] == pytest.approx(float(case["loss"]), rel=TOLERANCE)
    for tensor in run.program.tensors:
        if tensor.parameter.trained:
            assert off(run.gradient(tensor), case[f"gradient|{tensor.name}"]) < TOLERANCE, tensor.name
