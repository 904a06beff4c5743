"""The few functions that need LLVM itself: call a kernel by its address, call BLAS by its address, offset a pointer.

Imported only through `kernel.intrinsic`, after Numba's cache folder is set.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "blas_product",
    "call_kernel",
    "carray",
    "from_sortable_bits",
    "magnitude_bits",
    "offset",
    "sortable_bits",
]

# mypy: disable-error-code="no-untyped-def,misc"


@intrinsic
def call_kernel(typingctx: Any, address, row, arena, data, context, hyper, statistics):
    """Call the kernel at `address` (int64) with the six arrays' data pointers (passed as int64)."""
    signature = types.void(*(types.int64,) * 7)

    def codegen(cgctx, builder, sig, arguments):
        pointer = ir.IntType(8).as_pointer()

        kind = ir.FunctionType(ir.VoidType(), [pointer] * 6)
        function = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(function, [builder.inttoptr(a, pointer) for a in arguments[1:]])
        return cgctx.get_dummy_value()

    return signature, codegen


@intrinsic
def offset(typingctx: Any, pointer, elements):
    """The pointer `elements` items further on."""
    if not isinstance(pointer, types.CPointer):
        return None
    signature = pointer(pointer, types.int64)

    def codegen(cgctx, builder, sig, arguments):
        return builder.gep(arguments[0], [arguments[1]])

    return signature, codegen


def _integer_for(real: types.Type) -> types.Type | None:
    return {types.float32: types.int32, types.float64: types.int64}.get(real)


def _sortable(builder: Any, bits: Any) -> Any:
    """Float bits <-> integers that sort like the floats: negative floats count backward. Its own inverse."""
    width = bits.type.width
    negative = builder.ashr(bits, ir.Constant(bits.type, width - 1))
    return builder.xor(bits, builder.and_(negative, ir.Constant(bits.type, 2 ** (width - 1) - 1)))


@intrinsic
def sortable_bits(typingctx: Any, number):
    """An integer of the same width that sorts like the float; NaN lies beyond infinity, on the side of its sign bit."""
    integer = _integer_for(number)
    if integer is None:
        return None

    def codegen(cgctx, builder, sig, arguments):
        return _sortable(builder, builder.bitcast(arguments[0], cgctx.get_value_type(integer)))

    return integer(number), codegen


@intrinsic
def from_sortable_bits(typingctx: Any, bits):
    """The float that `sortable_bits` made this integer of."""
    real = {types.int32: types.float32, types.int64: types.float64}.get(bits)
    if real is None:
        return None

    def codegen(cgctx, builder, sig, arguments):
        return builder.bitcast(_sortable(builder, arguments[0]), cgctx.get_value_type(real))

    return real(bits), codegen


@intrinsic
def magnitude_bits(typingctx: Any, number):
    """The bits of the float without its sign: 0 for zeros, at least those of infinity for what is not finite."""
    integer = _integer_for(number)
    if integer is None:
        return None

    def codegen(cgctx, builder, sig, arguments):
        bits = builder.bitcast(arguments[0], cgctx.get_value_type(integer))
        return builder.and_(bits, ir.Constant(bits.type, 2 ** (bits.type.width - 1) - 1))

    return integer(number), codegen


@intrinsic
def blas_product(typingctx: Any, address, a, b, c, flags, m, n, k, alpha, beta):
    """Fortran's xGEMM at `address` on column-major matrices: C (m, n) = alpha op(A) op(B) + beta C.

    `flags` & 1 transposes A (stored (k, m) instead of (m, k)), `flags` & 2 transposes B. Leading dimensions are those of
    gapless matrices. a, b, c are pointers to float32 or float64.
    """
    if not isinstance(a, types.CPointer):
        return None
    real = a.dtype
    signature = types.void(
        types.int64, a, a, a, types.int64, types.int64, types.int64, types.int64, types.float64, types.float64
    )

    def codegen(cgctx, builder, sig, arguments):
        address, a, b, c, flags, m, n, k, alpha, beta = arguments
        int32, int8 = ir.IntType(32), ir.IntType(8)
        number = cgctx.get_value_type(real)

        def at(value, kind):
            slot = cgutils.alloca_once(builder, kind)
            builder.store(value, slot)
            return slot

        def size(value):
            return builder.trunc(value, int32)

        one, zero = ir.Constant(flags.type, 1), ir.Constant(flags.type, 0)
        two = ir.Constant(flags.type, 2)
        transpose_a = builder.icmp_signed("!=", builder.and_(flags, one), zero)
        transpose_b = builder.icmp_signed("!=", builder.and_(flags, two), zero)
        letter_t, letter_n = ir.Constant(int8, ord("T")), ir.Constant(int8, ord("N"))
        m32, n32, k32 = size(m), size(n), size(k)

        def scalar(value):
            return builder.fptrunc(value, number) if real == types.float32 else value

        pointers = [
            at(builder.select(transpose_a, letter_t, letter_n), int8),
            at(builder.select(transpose_b, letter_t, letter_n), int8),
            at(m32, int32),
            at(n32, int32),
            at(k32, int32),
            at(scalar(alpha), number),
            a,
            at(builder.select(transpose_a, k32, m32), int32),
            b,
            at(builder.select(transpose_b, n32, k32), int32),
            at(scalar(beta), number),
            c,
            at(m32, int32),
        ]
        raw = int8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [raw] * len(pointers))
        function = builder.inttoptr(address, kind.as_pointer())
        builder.call(function, [builder.bitcast(p, raw) for p in pointers])
        return cgctx.get_dummy_value()

    return signature, codegen
