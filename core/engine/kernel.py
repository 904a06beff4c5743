"""A kernel is one small operation on flat memory, such as "multiply by the weights" or "add up the squares".

All kernels have one signature, so that a compiled loop can call any of them by its address without knowing what it is:

    kernel(row, arena, data, context, hyper, statistics)

    row         int64*    this operation's line in the program's table: offsets and sizes (see `layout.py`)
    arena       T*        all values, gradients, parameters and optimizer slots; T is float32 or float64
    data        T*        the samples, (samples, inputs), followed by their targets, (samples, targets)
    context     int64*    the step, the minibatch, addresses (see `layout.py`)
    hyper       float64*  learning rate and the other numbers that may change while training
    statistics  float64*  the line of the record that this step fills

`@kernel` marks a module-level function as a kernel and `@device` marks a function that kernels call. Neither imports
Numba: a window that only draws cards must not wait for a compiler. `compile_kernels` does the work, once per kernel and
precision, and Numba keeps the machine code on disk (`cache.py`). A kernel must be a function at module level: one made
inside another function would be compiled anew in every process (measured).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

Precision = Literal["float32", "float64"]
Function = TypeVar("Function", bound=Callable[..., Any])

# Reordering sums lets the processor add eight numbers at a time. `nnan` and `ninf` stay out: with them (or with
# fastmath=True) the compiler assumes that no NaN exists and silently deletes the check for one.
FASTMATH = {"nsz", "arcp", "contract", "afn", "reassoc"}
OPTIONS: dict[str, Any] = {"cache": True, "error_model": "numpy", "fastmath": FASTMATH}

_addresses: dict[tuple[str, str], int] = {}
_compiled: list[Any] = []  # the cfunc objects: the addresses are valid only as long as these live
KERNELS: dict[str, Callable[..., None]] = {}


class Deferred:
    """A function that kernels call, not compiled yet; `link` puts the compiled one in its place."""

    def __init__(self, resolve: Callable[[], Any], name: str):
        self._resolve = resolve
        self._resolved: Any = None
        self.__name__ = name

    def resolve(self) -> Any:
        if self._resolved is None:
            self._resolved = self._resolve()
        return self._resolved

    def __call__(self, *arguments: Any) -> Any:
        """Run the compiled function from Python (tests and tools; kernels call it directly)."""
        link()
        return self.resolve()(*arguments)


def kernel(function: Function) -> Function:
    """Mark a module-level function with the uniform signature as a kernel; its qualified name is its identity."""
    KERNELS[kernel_name(function)] = function
    return function


def kernel_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def device(function: Callable[..., Any]) -> Any:
    """Mark a module-level function as callable from kernels; compiled together with the first kernel that needs it."""

    def resolve() -> Any:
        import numba

        # `inline="always"` is not used: LLVM inlines where it pays, and the cache stays small.
        return numba.njit(nogil=True, **OPTIONS)(function)

    return Deferred(resolve, function.__name__)


def intrinsic(name: str) -> Any:
    """A stand-in for an LLVM-level function of `intrinsics.py`, which can only be defined once Numba is imported."""

    def resolve() -> Any:
        from . import intrinsics

        return getattr(intrinsics, name)

    return Deferred(resolve, name)


def link() -> None:
    """Put compiled functions where modules of the core hold deferred ones, so that Numba sees what it can type."""
    from . import cache

    cache.prepare()
    package = __name__.rsplit(".", 2)[0] + "."
    modules = [vars(m) for name, m in list(sys.modules.items()) if name.startswith(package) and m is not None]
    for names in [*modules, *(kernel.__globals__ for kernel in KERNELS.values())]:
        for name, value in list(names.items()):
            if isinstance(value, Deferred):
                names[name] = value.resolve()


def compile_kernels(
    kernels: Iterable[Callable[..., None]],
    precision: Precision,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Addresses of the kernels' machine code, compiling (or loading from the cache) those not met before.

    `progress(done, total)` is called before each kernel and once at the end. The addresses stay valid until the process
    ends.
    """
    wanted = list(dict.fromkeys(kernels))
    missing = [k for k in wanted if (kernel_name(k), precision) not in _addresses]
    if missing:
        link()
        import numba

        real = numba.float32 if precision == "float32" else numba.float64
        pointer = numba.types.CPointer
        signature = numba.void(
            pointer(numba.int64),
            pointer(real),
            pointer(real),
            pointer(numba.int64),
            pointer(numba.float64),
            pointer(numba.float64),
        )
        for done, function in enumerate(missing):
            if progress is not None:
                progress(done, len(missing))
            compiled = numba.cfunc(signature, nopython=True, **OPTIONS)(function)
            _compiled.append(compiled)
            _addresses[kernel_name(function), precision] = compiled.address
    if progress is not None:
        progress(len(missing), len(missing))
    return {kernel_name(k): _addresses[kernel_name(k), precision] for k in wanted}
