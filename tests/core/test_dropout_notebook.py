"""The convolutional network of the dropout notebook (AI for Beginners), on files in MNIST's format given by path.

The files are made from the bundled digits, enlarged to MNIST's 28 by 28 pixels. What the notebook's own numbers support
is repeated: the training loss rises with the rate, and training minus validation accuracy changes its sign.
"""

import gzip
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from layerscope.core import cli
from layerscope.core.experiment import load, with_value
from layerscope.core.network import plan
from layerscope.core.run import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "oracles"))
from make_idx import digits, idx

RATES = (0.0, 0.2, 0.5, 0.8)
RELU = {"kind": "activation", "function": "relu"}
NETWORK = [
    {"kind": "conv2d", "filters": 32},
    RELU,
    {"kind": "max_pool"},
    {"kind": "conv2d", "filters": 64},
    RELU,
    {"kind": "max_pool"},
    {"kind": "dropout", "rate": 0.5},
    {"kind": "dense", "units": 10},
]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    images, labels = digits()
    large = np.pad(np.kron(images, np.ones((1, 3, 3), dtype=np.uint8)), ((0, 0), (2, 2), (2, 2)))
    for name, array in (("train-images-idx3-ubyte.gz", large), ("train-labels-idx1-ubyte.gz", labels)):
        (folder / name).write_bytes(gzip.compress(idx(array), 1))
    plain = {
        "format": "layerscope-experiment",
        "version": 1,
        "data": {
            "kind": "idx",
            "images": "train-images-idx3-ubyte.gz",
            "labels": "train-labels-idx1-ubyte.gz",
            "scaling": "unit",
        },
        "network": NETWORK,
        "training": {"batch_size": 64, "epochs": 15, "optimizer": {"kind": "adam"}},
    }
    path = folder / "dropout.json"
    path.write_text(json.dumps(plain))
    return path


def test_it_is_the_network_of_the_notebook(file):
    cards = plan(load(file), folder=file.parent).cards
    shapes = [(26, 26, 32), (26, 26, 32), (13, 13, 32), (11, 11, 64), (11, 11, 64), (5, 5, 64), (5, 5, 64), (10,)]
    assert [card.shape for card in cards] == shapes
    assert [card.parameter_count for card in cards if card.parameters] == [320, 18_496, 16_010]
    assert sum(card.parameter_count for card in cards) == 34_826


@pytest.mark.slow
def test_the_training_loss_rises_with_the_rate_and_the_gap_changes_its_sign(file):
    data, losses, gaps = None, [], []
    for rate in RATES:
        run = Run(with_value(load(file), "network.6.rate", rate), data, folder=file.parent)
        data = run.data
        run.advance(run.last_step)
        view, epoch = run.record.view(), run.steps_per_epoch
        losses.append(view.values("loss")[-epoch:].mean())
        gaps.append(view.values("accuracy")[-epoch:].mean() - run.validate()[1])
    assert all(after > 1.1 * before for before, after in pairwise(losses)), losses
    assert gaps[0] > 0 > gaps[-1], gaps


def test_the_command_line_trains_on_the_files(file, tmp_path, capsys):
    assert cli.main(["run", str(file), "--steps", "5", "--out", str(tmp_path / "out")]) == 0
    assert "5 steps" in capsys.readouterr().out
