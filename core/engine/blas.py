"""Matrix products: BLAS for matrices of some size, a plain loop for tiny ones, where calling BLAS costs more than it
saves.
"""

from __future__ import annotations

import os
from functools import cache

from .kernel import Precision, device, intrinsic
from .memory import matrix

# Address of the Fortran routine is handed in through the context, because machine code that contains an address
# cannot be cached on disk.
blas_product = intrinsic("blas_product")
offset = intrinsic("offset")

TINY = 64  # multiplications below which the plain loop is faster (measured: BLAS needs about 0.15 us to be called)


@cache
def gemm_address(precision: Precision) -> int:
    """Address of xGEMM in SciPy's BLAS."""
    from numba.extending import get_cython_function_address

    return int(get_cython_function_address("scipy.linalg.cython_blas", "sgemm" if precision == "float32" else "dgemm"))


_threads = 0


def allowed_threads() -> int:
    """The most threads that a person's settings allow, in the environment's usual variables; they are obeyed although
    the number is chosen here.
    """
    told = (os.environ.get(f"{library}_NUM_THREADS", "") for library in ("OPENBLAS", "MKL", "OMP"))
    return min((int(text) for text in told if text.isdecimal() and int(text) > 0), default=2**31)


def use_threads(count: int) -> None:
    """Let BLAS use `count` threads from now on. Small products are fastest on one; bits depend on the number."""
    global _threads
    if count != _threads:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=count, user_api="blas")
        _threads = count


@device
def times(gemm, pointer, a, b, c, m, k, n):  # type: ignore[no-untyped-def]
    """C (m, n) = A (m, k) B (k, n), all row after row in one flat array at positions a, b, c."""
    if m * k * n <= TINY:
        x, w, y = matrix(pointer, a, m, k), matrix(pointer, b, k, n), matrix(pointer, c, m, n)
        for i in range(m):
            for j in range(n):
                y[i, j] = x[i, 0] * w[0, j]
            for p in range(1, k):
                factor = x[i, p]
                for j in range(n):
                    y[i, j] += factor * w[p, j]
    else:
        blas_product(gemm, offset(pointer, b), offset(pointer, a), offset(pointer, c), 0, n, m, k, 1.0, 0.0)


@device
def times_transposed(gemm, pointer, a, b, c, m, k, n):  # type: ignore[no-untyped-def]
    """C (m, n) = A (m, k) Bᵀ with B (n, k)."""
    if m * k * n <= TINY:
        x, w, y = matrix(pointer, a, m, k), matrix(pointer, b, n, k), matrix(pointer, c, m, n)
        for i in range(m):
            for j in range(n):
                total = x[i, 0] * w[j, 0]
                for p in range(1, k):
                    total += x[i, p] * w[j, p]
                y[i, j] = total
    else:
        blas_product(gemm, offset(pointer, b), offset(pointer, a), offset(pointer, c), 1, n, m, k, 1.0, 0.0)


@device
def add_transposed_times(gemm, pointer, a, b, c, m, k, n):  # type: ignore[no-untyped-def]
    """C (m, n) += Aᵀ B with A (k, m), B (k, n)."""
    blas_product(gemm, offset(pointer, b), offset(pointer, a), offset(pointer, c), 2, n, m, k, 1.0, 1.0)


@device
def transposed_times(gemm, pointer, a, b, c, m, k, n):  # type: ignore[no-untyped-def]
    """C (m, n) = Aᵀ B with A (k, m), B (k, n)."""
    if m * k * n <= TINY:
        x, w, y = matrix(pointer, a, k, m), matrix(pointer, b, k, n), matrix(pointer, c, m, n)
        for i in range(m):
            for j in range(n):
                y[i, j] = x[0, i] * w[0, j]
        for p in range(1, k):
            for i in range(m):
                factor = x[p, i]
                for j in range(n):
                    y[i, j] += factor * w[p, j]
    else:
        blas_product(gemm, offset(pointer, b), offset(pointer, a), offset(pointer, c), 2, n, m, k, 1.0, 0.0)
