"""The comparison of speed: its networks can be trained, its sides do what they say, and its numbers add up."""

import json
import sys

import numpy as np
import pytest

from layerscope.core import cli
from layerscope.core.benchmark import compare as compare_module
from layerscope.core.benchmark.compare import Compared, Timed, compare, own_sides, peer_sides
from layerscope.core.benchmark.side import Side, SideKind, Unavailable, serve
from layerscope.core.benchmark.workloads import WORKLOADS, workload
from layerscope.core.run import Run


@pytest.mark.parametrize("one", WORKLOADS, ids=lambda one: one.name)
def test_every_workload_trains(one):
    run = Run(one.experiment(), one.data())
    run.advance(2)
    assert np.isfinite(run.last_loss)


def test_products_are_those_of_the_layers():
    assert workload("mnist").products() == [
        (128, 784, 256), (784, 128, 256),
        (128, 256, 256), (256, 128, 256), (128, 256, 256),
        (128, 256, 256), (256, 128, 256), (128, 256, 256),
        (128, 256, 10), (256, 128, 10), (128, 10, 256),
    ]  # fmt: skip
    rows = 64 * 26 * 26
    assert workload("conv").products()[:2] == [(rows, 9, 32), (9, rows, 32)]


def test_sides_take_turns_and_the_better_number_of_threads_counts():
    found = compare(workload("tiny"), own_sides(), rounds=2, threads=(1,), seconds=0.02)
    assert set(found.sides) == {"ours", "ours, recording off", "matrix products alone"}
    assert all(len(timed.rounds) == 2 and timed.median > 0 for timed in found.sides.values())
    assert found.ratio("ours, recording off", "matrix products alone") > 0
    assert not found.missing


def test_ratios_are_of_medians():
    found = Compared(workload("tiny"), {"ours": Timed(1, [1.0, 9.0, 2.0]), "other": Timed(1, [8.0, 4.0, 4.0])})
    assert found.ratio("other") == 2.0
    assert np.isnan(found.ratio("nobody"))


def test_a_side_that_cannot_be_had_is_named_with_the_reason():
    sides = [
        SideKind("broken", (sys.executable, "-c", "import no_such_module")),
        SideKind("nowhere", ("/no/such/program",)),
    ]
    found = compare(workload("tiny"), sides, rounds=1, seconds=0.01)
    assert "no_such_module" in found.missing["broken"]
    assert found.missing["nowhere"]
    with pytest.raises(Unavailable):
        Side(sides[0], workload("tiny").plain(), 1)


def test_a_side_answers_line_by_line(capsys):
    taken = []
    lines = [json.dumps({"workload": {}, "threads": 1}), json.dumps({"steps": 3}), json.dumps({"steps": 4})]
    serve(lambda told: ({"threads": told["threads"]}, taken.append), lines)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert taken == [3, 4]
    assert said[0] == {"threads": 1}
    assert all(answer["seconds"] >= 0 for answer in said[1:])


def test_the_command_prints_and_writes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(compare_module.compare, "__defaults__", (1, (1,), 0.02, lambda _text: None))
    file = tmp_path / "speed.json"
    assert cli.main(["benchmark", "tiny", "--rounds", "1", "--out", str(file)]) == 0
    assert "ours, recording off" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert written["workloads"][0]["sides"]["ours"]["steps_per_second"] > 0
    assert cli.main(["benchmark", "huge"]) == 2
    assert "known: tiny, deep" in capsys.readouterr().err


def test_peers_are_compared_only_where_there_are_some():
    assert peer_sides(None, None) == []
    assert {kind.name for kind in peer_sides("python", "node")} >= {"PyTorch bare", "Cockpit", "Keras bare"}
