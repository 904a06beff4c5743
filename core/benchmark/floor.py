"""The floor under every comparison: the matrix products of a training step alone, through the same BLAS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .side import serve
from .workloads import workload


def begin(told: dict[str, Any]) -> tuple[dict[str, Any], Callable[[int], None]]:
    """Products of the workload's sizes in float32, into places that are there already."""
    from scipy.linalg.blas import sgemm

    from ..engine.blas import use_threads

    threads = int(told["threads"])
    draw = np.random.default_rng(0)
    work = []
    for m, k, n in workload(told["workload"]["name"]).products():
        # Fortran order is what BLAS reads without copying: the product of the transposed, backwards
        a = np.asfortranarray(draw.standard_normal((n, k)), dtype=np.float32)
        b = np.asfortranarray(draw.standard_normal((k, m)), dtype=np.float32)
        work.append((a, b, np.zeros((n, m), dtype=np.float32, order="F")))
    use_threads(threads)

    def take(steps: int) -> None:
        for _ in range(steps):
            for a, b, c in work:
                sgemm(1.0, a, b, 0.0, c, overwrite_c=1)

    take(3)
    return {"threads": threads, "products": len(work)}, take


if __name__ == "__main__":
    serve(begin)
