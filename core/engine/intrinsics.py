"""The few functions that need LLVM itself: call a kernel or BLAS by its address, offset a pointer, use a number's bits.

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
    "constant",
    "from_sortable_bits",
    "magnitude_bits",
    "nearest_of_16_bits",
    "offset",
    "polynomial",
    "power_of_two",
    "sortable_bits",
    "times_power_of_two",
    "upper_half",
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


# --- for `elementary.py`. Numba computes float32 with a float64 literal in float64, and 32-bit integers in 64 bits:
# either makes vectors of half as many numbers. These stay in the type of their argument.


def _chosen(builder: Any, real: types.Type, single: Any, double: Any, kind: Any) -> Any:
    """The constant for the precision; LLVM rounds it to float32 while compiling."""
    return builder.fptrunc(single, kind) if real == types.float32 else double


@intrinsic
def constant(typingctx: Any, x, single, double):
    """`single` where x is a float32, `double` where it is a float64, in the type of x."""
    if x not in (types.float32, types.float64):
        return None

    def codegen(cgctx, builder, sig, arguments):
        return _chosen(builder, x, arguments[1], arguments[2], cgctx.get_value_type(x))

    return x(x, types.float64, types.float64), codegen


@intrinsic
def polynomial(typingctx: Any, x, single, double):
    """c0 + c1 x + c2 x^2 + ... with the tuple of coefficients for the precision of x, by Horner's rule."""
    if x not in (types.float32, types.float64):
        return None

    def codegen(cgctx, builder, sig, arguments):
        kind = cgctx.get_value_type(x)
        coefficients = cgutils.unpack_tuple(builder, arguments[1 if x == types.float32 else 2])
        total = _chosen(builder, x, coefficients[-1], coefficients[-1], kind)
        for c in reversed(coefficients[:-1]):
            total = builder.fadd(builder.fmul(total, arguments[0]), _chosen(builder, x, c, c, kind))
        return total

    return x(x, single, double), codegen


# (bits of the mantissa, bias of the exponent)
_FORMATS = {types.float32: (23, 127), types.float64: (52, 1023)}


def _whole_part(cgctx: Any, builder: Any, real: types.Type, shifted: Any, above: int) -> Any:
    """n + above, where shifted = n + 1.5 * 2^(bits of the mantissa): such a float has n in its last bits."""
    mantissa, bias = _FORMATS[real]
    integer = cgctx.get_value_type(_integer_for(real))
    zero = ((mantissa + bias) << mantissa) | (1 << (mantissa - 1))  # the bits of 1.5 * 2^mantissa
    return builder.sub(builder.bitcast(shifted, integer), ir.Constant(integer, zero - above))


@intrinsic
def power_of_two(typingctx: Any, shifted):
    """2^n for shifted = n + 1.5 * 2^23 (float64: 2^52), n the exponent of a normal float; anything for NaN."""
    if shifted not in _FORMATS:
        return None
    mantissa, bias = _FORMATS[shifted]

    def codegen(cgctx, builder, sig, arguments):
        exponent = _whole_part(cgctx, builder, shifted, arguments[0], bias)
        bits = builder.shl(exponent, ir.Constant(exponent.type, mantissa))
        return builder.bitcast(bits, cgctx.get_value_type(shifted))

    return shifted(shifted), codegen


@intrinsic
def times_power_of_two(typingctx: Any, value, shifted):
    """value 2^n, in two halves, so that the result may overflow to infinity or underflow to a denormal number or 0.

    shifted   n + 1.5 * 2^23 (float64: 2^52), |n| at most twice the largest exponent
    """
    if shifted not in _FORMATS or value != shifted:
        return None
    mantissa, bias = _FORMATS[shifted]

    def codegen(cgctx, builder, sig, arguments):
        # n + 2 (bias + 1) is positive, so that a plain shift halves it (AVX2 has no other for 64-bit integers).
        n = _whole_part(cgctx, builder, shifted, arguments[1], 2 * (bias + 1))
        one, width = ir.Constant(n.type, 1), ir.Constant(n.type, mantissa)
        half = builder.lshr(n, one)
        result = arguments[0]
        for part in (half, builder.sub(n, half)):
            bits = builder.shl(builder.sub(part, one), width)
            result = builder.fmul(result, builder.bitcast(bits, result.type))
        return result

    return shifted(value, shifted), codegen


@intrinsic
def upper_half(typingctx: Any, number):
    """The number with the last half of its mantissa's bits cleared: its square has no rounding error."""
    if number not in _FORMATS:
        return None
    cleared = _FORMATS[number][0] // 2 + 1

    def codegen(cgctx, builder, sig, arguments):
        bits = builder.bitcast(arguments[0], cgctx.get_value_type(_integer_for(number)))
        kept = builder.and_(bits, ir.Constant(bits.type, -(1 << cleared)))
        return builder.bitcast(kept, arguments[0].type)

    return number(number), codegen


# --- for `precision.py`

# By format (0: float16, 1: bfloat16): bits of a float32's mantissa that it has not, the bits of the smallest float32
# that is a normal number in it (bfloat16 has float32's exponents, so nothing is below), and those of the first power of
# two beyond its largest number.
_DROPPED, _LEAST_NORMAL, _BEYOND = (13, 16), (0x38800000, 0), (0x47800000, 0x7F800000)
_INFINITE = 0x7F800000


@intrinsic
def nearest_of_16_bits(typingctx: Any, x, kind):
    """The float32 x as the nearest number of 16 bits, the even one of two that are equally near; again a float32.

    kind   0: float16, 1: bfloat16 (int64)

    What is too large becomes infinity, what is too small zero with its sign, a NaN stays as it is. All but one product
    is done on the bits, which no permission to reorder floats can change.
    """
    if x != types.float32:
        return None

    def codegen(cgctx, builder, sig, arguments):
        number = arguments[0]
        integer = ir.IntType(32)
        is_bfloat = builder.icmp_signed("!=", arguments[1], ir.Constant(arguments[1].type, 0))

        def word(value):
            return ir.Constant(integer, value)

        def by_kind(pair):
            return builder.select(is_bfloat, word(pair[1]), word(pair[0]))

        bits = builder.bitcast(number, integer)
        size = builder.and_(bits, word(0x7FFFFFFF))
        dropped = by_kind(_DROPPED)
        # Adding just below half of the last bit that stays, and 1 more where that bit is odd, rounds to the nearest
        # even one when the rest is cut off. A carry goes into the exponent, which is right.
        odd = builder.and_(builder.lshr(size, dropped), word(1))
        below_half = builder.sub(builder.shl(word(1), builder.sub(dropped, word(1))), word(1))
        raised = builder.add(size, builder.add(below_half, odd))
        nearest = builder.shl(builder.lshr(raised, dropped), dropped)
        nearest = builder.select(builder.icmp_signed(">=", nearest, by_kind(_BEYOND)), word(_INFINITE), nearest)
        # Denormal numbers of float16 are the multiples of 2^-24.
        whole = builder.fmul(builder.bitcast(size, number.type), ir.Constant(number.type, 2.0**24))
        whole = builder.call(builder.module.declare_intrinsic("llvm.rint", [number.type]), [whole])
        multiple = builder.bitcast(builder.fmul(whole, ir.Constant(number.type, 2.0**-24)), integer)
        nearest = builder.select(builder.icmp_signed("<", size, by_kind(_LEAST_NORMAL)), multiple, nearest)
        nearest = builder.or_(nearest, builder.and_(bits, word(0x80000000)))
        nearest = builder.select(builder.icmp_signed(">", size, word(_INFINITE)), bits, nearest)
        return builder.bitcast(nearest, number.type)

    return x(x, types.int64), codegen


@intrinsic
def blas_product(typingctx: Any, address, a, b, c, flags, m, n, k, alpha, beta):
    """Fortran's xGEMM at `address` on column-major matrices: C (m, n) = alpha op(A) op(B) + beta C.

    `flags` & 1 transposes A (stored (k, m) instead of (m, k)), `flags` & 2 transposes B. Leading dimensions are those
    of gapless matrices. a, b, c are pointers to float32 or float64.
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
