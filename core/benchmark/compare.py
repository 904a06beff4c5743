"""All sides take steps in turn, so that all meet the same neighbors on the machine; ratios of medians are compared."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from ..results import cpu_name
from .side import Side, SideKind, Unavailable
from .workloads import Workload

ROUND_SECONDS = 0.4  # that one side works in one round
FEWEST_ROUNDS = 7
PEERS = Path(__file__).with_name("peers")
EXPRESSIBLE = ("tiny", "deep", "mnist", "wide")  # by a plain multilayer perceptron


def own_sides() -> list[SideKind]:
    """What needs nothing but this program."""
    python = sys.executable
    return [
        SideKind("ours", (python, "-m", "layerscope.core.benchmark.ours"), statistics=True),
        SideKind("ours, recording off", (python, "-m", "layerscope.core.benchmark.ours")),
        SideKind("matrix products alone", (python, "-m", "layerscope.core.benchmark.floor")),
    ]


def peer_sides(python: str | None, node: str | None) -> list[SideKind]:
    """The other programs: those of a Python that has them, and one that runs in Node.js."""
    found = []
    if python:
        torch = (python, str(PEERS / "pytorch.py"))
        found += [
            SideKind("PyTorch with the same statistics", torch, statistics=True),
            SideKind("PyTorch bare", torch),
            SideKind("Cockpit", (python, str(PEERS / "cockpit_.py")), statistics=True),
            SideKind("Keras bare", (python, str(PEERS / "keras_.py"))),
            SideKind("scikit-learn bare", (python, str(PEERS / "scikit.py")), workloads=EXPRESSIBLE),
        ]
    if node:
        found.append(SideKind("Playground’s design bare", (node, str(PEERS / "playground.mjs")), workloads=("tiny",)))
    return found


@dataclass
class Timed:
    """Seconds a step of one side at one number of threads, a round each."""

    threads: int
    rounds: list[float] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def spread(self) -> float:
        """Half the distance between the quartiles, by the median."""
        if len(self.rounds) < 2:
            return 0.0
        low, _middle, high = statistics.quantiles(self.rounds, n=4)
        return (high - low) / 2 / self.median


@dataclass
class Compared:
    """One workload: every side at its better number of threads, and why some could not take part."""

    workload: Workload
    sides: dict[str, Timed] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)

    def ratio(self, side: str, by: str = "ours") -> float:
        """How many times as fast as `side` the side `by` is; NaN where one is missing."""
        if side not in self.sides or by not in self.sides:
            return float("nan")
        return self.sides[side].median / self.sides[by].median


def compare(
    workload: Workload,
    sides: Iterable[SideKind],
    rounds: int = FEWEST_ROUNDS,
    threads: Sequence[int] = (1, 2),
    seconds: float = ROUND_SECONDS,
    said: Callable[[str], None] = lambda _text: None,
) -> Compared:
    """Start every side with every number of threads, let them work in turn, and keep each at its better number."""
    found = Compared(workload)
    started: list[tuple[Side, int, Timed]] = []
    before = _load()
    try:
        for kind in sides:
            if kind.workloads and workload.name not in kind.workloads:
                continue
            for count in threads:
                said(f"{workload.name}: {kind.name}, {count}")
                try:
                    side = Side(kind, workload.plain(), count)
                    steps = _enough(side, seconds)
                except Unavailable as reason:
                    found.missing[kind.name] = str(reason)
                    break
                started.append((side, steps, Timed(count, about=side.about)))
        for number in range(rounds):
            said(f"{workload.name}: {number + 1} / {rounds}")
            for side, steps, timed in started:
                timed.rounds.append(side.seconds(steps) / steps)
    finally:
        for side, _steps, _timed in started:
            side.close()
    for side, _steps, timed in started:
        known = found.sides.get(side.kind.name)
        if known is None or timed.median < known.median:
            found.sides[side.kind.name] = timed
    found.load = before, _load()
    return found


def _enough(side: Side, seconds: float) -> int:
    """Steps that take about so long."""
    steps = 1
    while True:
        took = side.seconds(steps)
        if took > seconds / 4:
            return max(1, round(steps * seconds / took))
        steps *= 4 if took < seconds / 16 else 2


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")


def report(found: Sequence[Compared], rounds: int) -> dict[str, Any]:
    """Everything as plain values, for a file."""
    return {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("layerscope", "numpy", "numba", "scipy")},
        "rounds": rounds,
        "workloads": [
            {
                "name": one.workload.name,
                "network": one.workload.label,
                "batch": one.workload.batch,
                "load": list(one.load),
                "sides": {
                    name: {
                        "microseconds_per_step": 1e6 * timed.median,
                        "steps_per_second": 1 / timed.median,
                        "spread": timed.spread,
                        "threads": timed.threads,
                        "rounds": timed.rounds,
                        **timed.about,
                    }
                    for name, timed in one.sides.items()
                },
                "missing": one.missing,
                "times_as_fast_as": {name: one.ratio(name) for name in one.sides if name != "ours"},
                "meant_to_be": {
                    "PyTorch with the same statistics": one.workload.hooks,
                    "PyTorch bare": one.workload.bare,
                },
            }
            for one in found
        ],
    }
