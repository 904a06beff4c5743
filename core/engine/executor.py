"""The compiled loop that runs a program: for every step, for every row of the table, call the row's kernel.

This is the only place where a network runs. It holds no interpreter lock, so a window keeps painting while it works,
and it never compiles for a new network: a network is only another table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import layout, random
from .blas import gemm_address, use_threads
from .kernel import compile_kernels, device, intrinsic, kernel_name

if TYPE_CHECKING:
    from ..experiment import Experiment
    from .program import Program

call_kernel = intrinsic("call_kernel")


@device
def execute(  # type: ignore[no-untyped-def]
    table, addresses, arena, data, context, hyper, statistics, first_step, steps, first_row, last_row
):
    """Run rows [first_row, last_row) of the table for `steps` steps from `first_step`.

    table       (rows, WIDTH) int64, one operation a row; `layout.KERNEL` is a position in `addresses`
    addresses   (kernels,) int64
    arena, data flat arrays of the program's precision
    context     int64, see `layout.py`; slots 0 (STEP) and 8 (SKIP_TO) are set here
    hyper       float64
    statistics  (steps, columns) float64; one line a step is handed to the kernels
    """
    table_at, arena_at, data_at = table.ctypes.data, arena.ctypes.data, data.ctypes.data
    context_at, hyper_at, statistics_at = context.ctypes.data, hyper.ctypes.data, statistics.ctypes.data
    row_bytes = table.strides[0]
    line_bytes = statistics.strides[0]
    for i in range(steps):
        context[0] = first_step + i
        if first_row == 0:
            context[8] = 0
        line = statistics_at + i * line_bytes
        for r in range(first_row, last_row):
            if r < context[8]:
                continue
            call_kernel(addresses[table[r, 0]], table_at + r * row_bytes, arena_at, data_at, context_at, hyper_at, line)


class Machine:
    """The memory of one program, and the call that runs it.

    arena     flat array of all values; `kept` is its first part: parameters and optimizer slots
    samples   the inputs that minibatches are drawn from, (n, *shape)
    """

    def __init__(
        self,
        program: Program,
        samples: NDArray[np.float64],
        targets: NDArray[np.float64],
        experiment: Experiment,
        progress: Callable[[int, int], None] | None = None,
    ):
        self.program = program
        self.samples = samples
        self.threads = program.threads
        compiled = compile_kernels(program.kernels, program.precision, progress)
        self._addresses = np.array([compiled[kernel_name(k)] for k in program.kernels], dtype=np.int64)
        self.arena = np.zeros(program.arena_size, dtype=program.dtype)
        with np.errstate(over="ignore"):  # what is too large for the format becomes infinite, and the run says so
            self.data = np.concatenate([samples.reshape(-1), targets.reshape(-1)]).astype(program.dtype)
        self.hyper = program.hyper.copy()
        self.context = np.zeros(layout.INDICES + program.batch_size + len(samples), dtype=np.int64)
        self.context[layout.GEMM] = gemm_address(program.precision)
        self.context[layout.SAMPLES] = len(samples)
        self.context[layout.BATCH_SIZE] = program.batch_size
        self.context[layout.SHUFFLE_KEY] = random.key(experiment.seed, "shuffle")
        self.context[layout.SHUFFLED_EPOCH] = -1
        self.context[layout.SHUFFLE] = int(experiment.training.shuffle)

    @property
    def kept(self) -> NDArray[Any]:
        """What a step leaves behind for the next one."""
        return self.arena[: self.program.kept]

    @property
    def rows(self) -> int:
        """Samples in the minibatch computed last."""
        return int(self.context[layout.ROWS])

    def execute(self, lines: NDArray[np.float64], first_step: int, first_row: int, last_row: int) -> None:
        """Run rows [first_row, last_row) for len(lines) steps; every step fills its line of statistics."""
        use_threads(self.threads)
        execute(
            self.program.table,
            self._addresses,
            self.arena,
            self.data,
            self.context,
            self.hyper,
            lines,
            first_step,
            len(lines),
            first_row,
            last_row,
        )
