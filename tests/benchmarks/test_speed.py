"""Speed as ratios, both sides measured in one run: against PyTorch eager with the same statistics, and recording on
against off.

make benchmark                                  what needs no PyTorch
LAYERSCOPE_TORCH_PYTHON=path/to/python make benchmark      with a Python that has PyTorch
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from experiments import act, dense, experiment

from layerscope.core.run import Run

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]

# depth, width, batch, times as fast as PyTorch eager with hooks
CASES = {"20x100": (20, 100, 64, 5.0), "6x8": (6, 8, 32, 60.0)}


def network(depth, width, batch):
    hidden = [part for _ in range(depth) for part in (dense(width, "he_normal"), act("relu"))]
    return experiment(
        *hidden, dense(10), batch_size=batch, optimizer={"kind": "sgd", "learning_rate": 0.01}, epochs=10**6
    )


def steps_per_second(run: Run, seconds: float) -> float:
    """Best of several stretches of `run.advance`, everything included: validation, percentiles, record, checkpoints."""
    run.advance(500)
    best, count = 0.0, 64
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run.advance(count)
        best = max(best, count / (time.perf_counter() - begin))
        count = max(64, int(best * 0.1))
    return best


def load() -> str:
    return f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores"


@pytest.mark.parametrize("name", CASES)
def test_recording_costs_at_most_a_quarter(name, capsys):
    depth, width, batch, _ = CASES[name]
    on, off = Run(network(depth, width, batch)), Run(network(depth, width, batch), record=False)
    # in turn, so that both meet the same neighbors on the machine
    pairs = [(steps_per_second(on, 0.7), steps_per_second(off, 0.7)) for _ in range(5)]
    recording, bare = max(p[0] for p in pairs), max(p[1] for p in pairs)
    with capsys.disabled():
        print(
            f"\n{name}: {recording:,.0f} steps/s recording, {bare:,.0f} without: +{bare / recording - 1:.1%}; {load()}"
        )
    assert bare / recording <= 1.25


@pytest.mark.parametrize("name", CASES)
def test_faster_than_pytorch_eager_with_the_same_statistics(name, capsys):
    python = os.environ.get("LAYERSCOPE_TORCH_PYTHON")
    if not python:
        pytest.skip("LAYERSCOPE_TORCH_PYTHON names no Python with PyTorch")
    depth, width, batch, factor = CASES[name]
    run = Run(network(depth, width, batch))
    threads = run.program.threads
    script = Path(__file__).with_name("pytorch_step.py")
    ours, theirs = 0.0, 0.0
    for _ in range(3):
        ours = max(ours, steps_per_second(run, 1.0))
        command = [python, str(script), *map(str, (depth, width, batch, threads)), "3"]
        answer = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        theirs = max(theirs, answer["steps_per_second"])
    with capsys.disabled():
        print(
            f"\n{name}: {ours:,.0f} steps/s here, {theirs:,.0f} in PyTorch {answer['torch']}, {threads} thread: "
            f"{ours / theirs:.1f} times; {load()}",
            file=sys.stderr,
        )
    assert ours / theirs >= factor
