"""Our side of a comparison: everything that is recorded while a person trains is recorded here too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .side import serve
from .workloads import workload


def begin(told: dict[str, Any]) -> tuple[dict[str, Any], Callable[[int], None]]:
    """A run of the workload; without `statistics` it measures the loss only."""
    from ..run import Run

    chosen = workload(told["workload"]["name"])
    run = Run(chosen.experiment(), chosen.data(), record=bool(told["statistics"]))
    run.advance(run.steps_per_epoch)
    return {"threads": run.machine.threads, "parameters": run.program.plan.parameter_count}, run.advance


if __name__ == "__main__":
    serve(begin)
