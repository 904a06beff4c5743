"""One side of a comparison is a process of its own: it is told a network, and then, again and again, to take steps.

The other programs live in a Python of their own, so that nothing of them is needed here. A side reads lines of JSON:
first {"workload": ..., "threads": ..., "statistics": ...}, which it answers with what it is, then {"steps": n}, which
it answers with {"seconds": s}. All sides wait for each other, so only one works at a time.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

THREAD_VARIABLES = ("OMP", "OPENBLAS", "MKL")


@dataclass(frozen=True)
class SideKind:
    """What is compared.

    name        "ours", "pytorch", "pytorch hooks", ...
    command     the program that is started
    statistics  whether every layer is measured in every step
    workloads   names of those that it can do; () for all
    """

    name: str
    command: tuple[str, ...]
    statistics: bool = False
    workloads: tuple[str, ...] = ()


class Unavailable(Exception):  # noqa: N818 (no error: the comparison goes on without this side)
    """A side that cannot be had on this machine, with the reason."""


class Side:
    """A side that has been started for one workload and one number of threads."""

    def __init__(self, kind: SideKind, workload: dict[str, Any], threads: int):
        self.kind, self.threads = kind, threads
        environment = dict(os.environ)
        for library in THREAD_VARIABLES:
            environment[f"{library}_NUM_THREADS"] = str(threads)
        try:
            self._process = subprocess.Popen(
                kind.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=Path.home(),
            )
        except OSError as error:
            raise Unavailable(str(error)) from None
        try:
            self.about = self._ask({"workload": workload, "threads": threads, "statistics": kind.statistics})
        except Unavailable:
            self.close()
            raise

    def seconds(self, steps: int) -> float:
        """How long so many further steps took."""
        return float(self._ask({"steps": steps})["seconds"])

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        reading, writing = self._process.stdout, self._process.stdin
        assert reading is not None
        assert writing is not None
        line = ""
        try:
            writing.write(json.dumps(question) + "\n")
            writing.flush()
            line = reading.readline()
            while line and not line.startswith("{"):
                line = reading.readline()  # what a library has to say to nobody
        except OSError:
            pass
        if not line:
            raise Unavailable(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        self._process.kill()
        errors: IO[str] | None = self._process.stderr
        said = errors.read().strip().splitlines() if errors is not None else []
        return said[-1] if said else "it ended without a word"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):  # what was still to be written has no reader any more
                    stream.close()


def serve(begin: Any, lines: Sequence[str] | None = None) -> None:
    """The loop of a side that runs in this Python: `begin(told)` answers (what it is, a function of steps)."""
    import sys
    import time

    incoming = iter(lines) if lines is not None else iter(sys.stdin)
    told = json.loads(next(incoming))
    about, take = begin(told)
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()
    for line in incoming:
        steps = json.loads(line)["steps"]
        started = time.perf_counter()
        take(steps)
        sys.stdout.write(json.dumps({"seconds": time.perf_counter() - started}) + "\n")
        sys.stdout.flush()
