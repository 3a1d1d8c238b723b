"""Vectors of lanes for numba: one column a lane, the same instruction for all of them.

Numba leaves vectorising to LLVM, which gives up on loops that touch as many arrays as pruning does.
Here a vector is a value of its own kind, so that compiled code reads like code for one column and
every operation is one instruction of the processor's widest registers (or a few of narrower ones).

A vector holds `VECTOR_BYTES` of float32 or float64. It is read from and written to the rows of 2-d
arrays that are exactly one vector wide. All functions but `n_lanes` are for compiled code only.
"""

from __future__ import annotations

import math
import operator

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, overload, register_model

#: 16 float32 or 8 float64: one register of AVX-512, two of AVX2, four of NEON. More no longer fit
#: the registers, and make blocks prune less. At 32, 64, 128 and 256 bytes, 447 tips, one core with
#: AVX-512: 555, 931, 819 and 787 thousand columns/s under F81 (benchmarks/RESULTS.md).
VECTOR_BYTES = 64

_IR_FLOATS = {32: ir.FloatType(), 64: ir.DoubleType()}
_FLOATS = {32: types.float32, 64: types.float64}
#: Bits of the mantissa, and the exponent of 1.
_MANTISSA, _BIAS = {32: 23, 64: 52}, {32: 127, 64: 1023}


def n_lanes(dtype: np.dtype | type) -> int:
    """Columns that one vector of this floating-point type holds."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


class Vector(types.Type):
    """Floating-point lanes."""

    def __init__(self, bits: int) -> None:
        self.bits, self.lanes = bits, VECTOR_BYTES * 8 // bits
        super().__init__(name=f"Vector(float{bits} x {self.lanes})")

    @property
    def ir_type(self) -> ir.VectorType:
        return ir.VectorType(_IR_FLOATS[self.bits], self.lanes)

    def whole_numbers(self, value: int) -> ir.Constant:
        """The same integer in every lane, for work on the bits."""
        return ir.Constant(self.ir_bits, [value] * self.lanes)

    @property
    def ir_bits(self) -> ir.VectorType:
        return ir.VectorType(ir.IntType(self.bits), self.lanes)


class Mask(types.Type):
    """True or false, lane by lane."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")

    @property
    def ir_type(self) -> ir.VectorType:
        return ir.VectorType(ir.IntType(1), self.lanes)


@register_model(Vector)
@register_model(Mask)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.ir_type)


_VECTORS = {bits: Vector(bits) for bits in _IR_FLOATS}
_MASKS = {vector.lanes: Mask(vector.lanes) for vector in _VECTORS.values()}


def _define_operator(python_operator, instruction: str) -> None:
    """Teach numba an arithmetic operator of two vectors."""

    class Template(ConcreteTemplate):
        cases = [signature(v, v, v) for v in _VECTORS.values()]  # noqa: RUF012

    infer_global(python_operator)(Template)
    for vector in _VECTORS.values():
        lower_builtin(python_operator, vector, vector)(
            lambda context, builder, sig, args: getattr(builder, instruction)(*args)
        )


for _operator, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_operator, _instruction)


def _row_pointer(context, builder, sig, args, lanes, as_type):
    """Pointer to row args[1] of the array args[0], whose rows are one vector wide."""
    row = context.cast(builder, args[1], sig.args[1], types.intp)
    return _pointer(context, builder, sig.args[0], args[0], row, lanes, as_type)


def _pointer(context, builder, array_type, array, row, lanes, as_type):
    data = context.make_array(array_type)(context, builder, array).data
    offset = builder.mul(row, context.get_constant(types.intp, lanes))
    return builder.bitcast(builder.gep(data, [offset], inbounds=True), as_type.as_pointer())


def _in_every_lane(builder, number, vector_type):
    """Broadcast a scalar of the machine."""
    undefined = ir.Constant(vector_type, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector_type.count), [0] * vector_type.count)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def load(typingctx, array, row):
    """Row `row` of a float array."""
    vector = _VECTORS[array.dtype.bitwidth]

    def code(context, builder, sig, args):
        pointer = _row_pointer(context, builder, sig, args, vector.lanes, vector.ir_type)
        return builder.load(pointer, align=vector.bits // 8)

    return vector(array, row), code


@intrinsic
def store(typingctx, array, row, value):
    """Write a vector to row `row` of a float array."""

    def code(context, builder, sig, args):
        pointer = _row_pointer(context, builder, sig, args, value.lanes, value.ir_type)
        builder.store(args[2], pointer, align=value.bits // 8)
        return context.get_dummy_value()

    return types.void(array, row, value), code


@intrinsic
def spread(typingctx, like, number):
    """A scalar in every lane, of the type of the vector `like`."""

    def code(context, builder, sig, args):
        scalar = context.cast(builder, args[1], sig.args[1], _FLOATS[like.bits])
        return _in_every_lane(builder, scalar, like.ir_type)

    return like(like, number), code


@intrinsic
def four_rows(typingctx, row, n_sets, sets, array, like):
    """Four vectors: row `row` of bit sets, or four rows of a float array.

    Below `n_sets`, row `row` of a uint8 array of bit sets: 1 where a set has member 0 (1, 2, 3),
    else 0. From there on, the rows of `array` from 4 (row - n_sets) on. One piece of machine code:
    in compiled Python the two ways would count references to the arrays at every call.
    """
    small = ir.VectorType(ir.IntType(8), like.lanes)

    def code(context, builder, sig, args):
        index, n_sets = (context.cast(builder, args[i], sig.args[i], types.intp) for i in range(2))
        ones, zeros = (ir.Constant(like.ir_type, [value] * like.lanes) for value in (1.0, 0.0))
        is_set = builder.icmp_signed("<", index, n_sets)
        results = []
        with builder.if_else(is_set) as (then, otherwise):
            with then:
                pointer = _pointer(context, builder, sig.args[2], args[2], index, like.lanes, small)
                members = builder.load(pointer, align=1)
                for member in range(4):
                    bit = ir.Constant(small, [1 << member] * like.lanes)
                    holds = builder.icmp_unsigned(
                        "!=", builder.and_(members, bit), ir.Constant(small, [0] * like.lanes)
                    )
                    results.append([(builder.select(holds, ones, zeros), builder.block)])
            with otherwise:
                four = builder.mul(builder.sub(index, n_sets), ir.Constant(index.type, 4))
                for member in range(4):
                    place = builder.add(four, ir.Constant(index.type, member))
                    pointer = _pointer(
                        context, builder, sig.args[3], args[3], place, like.lanes, like.ir_type
                    )
                    value = builder.load(pointer, align=like.bits // 8)
                    results[member].append((value, builder.block))
        vectors = []
        for ways in results:
            joined = builder.phi(like.ir_type)
            for value, block in ways:
                joined.add_incoming(value, block)
            vectors.append(joined)
        return context.make_tuple(builder, sig.return_type, vectors)

    return types.UniTuple(like, 4)(row, n_sets, sets, array, like), code


@intrinsic
def transpose_sets(typingctx, states, columns, lane, tip, sets):
    """Sets of possible bases of 16 columns and 16 tips: ``sets[tip + j, lane + i]``.

    Of ``states[columns[lane + i], tip + j]``: one bit for 0..3, all four for anything else.
    """
    small = ir.VectorType(ir.IntType(8), 16)

    def constant(value):
        return ir.Constant(small, [value] * 16)

    def code(context, builder, sig, args):
        lane, tip = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (2, 3))
        read, order = (context.make_array(sig.args[i])(context, builder, args[i]) for i in range(2))
        stride = builder.extract_value(read.strides, 0)
        rows = []
        for i in range(16):
            place = builder.add(lane, ir.Constant(lane.type, i))
            column = builder.load(builder.gep(order.data, [place], inbounds=True))
            offset = builder.add(builder.mul(column, stride), tip)
            pointer = builder.bitcast(
                builder.gep(read.data, [offset], inbounds=True), small.as_pointer()
            )
            state = builder.load(pointer, align=1)
            found = constant(15)
            for base in range(4):
                is_base = builder.icmp_unsigned("==", state, constant(base))
                found = builder.select(is_base, constant(1 << base), found)
            rows.append(found)
        # Four perfect shuffles of 16 rows transpose 16 x 16.
        low, high = (
            ir.Constant(
                ir.VectorType(ir.IntType(32), 16),
                [half + i // 2 + 16 * (i % 2) for i in range(16)],
            )
            for half in (0, 8)
        )
        for _ in range(4):
            rows = [
                builder.shuffle_vector(rows[i // 2], rows[i // 2 + 8], high if i % 2 else low)
                for i in range(16)
            ]
        written = context.make_array(sig.args[4])(context, builder, args[4])
        stride = builder.extract_value(written.strides, 0)
        for j, row in enumerate(rows):
            place = builder.add(tip, ir.Constant(tip.type, j))
            offset = builder.add(builder.mul(place, stride), lane)
            pointer = builder.gep(written.data, [offset], inbounds=True)
            builder.store(row, builder.bitcast(pointer, small.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(states, columns, lane, tip, sets), code


@intrinsic
def known_bits(typingctx, states, column, tip):
    """64 bits: in which of 64 tips from `tip` on a column has a state below 4; first tip, bit 0."""
    small = ir.VectorType(ir.IntType(8), 64)

    def code(context, builder, sig, args):
        column, tip = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2))
        read = context.make_array(sig.args[0])(context, builder, args[0])
        offset = builder.add(builder.mul(column, builder.extract_value(read.strides, 0)), tip)
        pointer = builder.bitcast(
            builder.gep(read.data, [offset], inbounds=True), small.as_pointer()
        )
        known = builder.icmp_unsigned(
            "<", builder.load(pointer, align=1), ir.Constant(small, [4] * 64)
        )
        return builder.bitcast(known, ir.IntType(64))

    return types.uint64(states, column, tip), code


def _call_llvm(builder, name, vector, args):
    function = ir.FunctionType(vector.ir_type, [vector.ir_type] * len(args))
    suffix = f"v{vector.lanes}f{vector.bits}"
    callee = builder.module.declare_intrinsic(f"llvm.{name}.{suffix}", fnty=function)
    return builder.call(callee, args)


@intrinsic
def fma(typingctx, a, b, c):
    """a b + c, in one instruction where the processor has it."""
    return a(a, a, a), lambda context, builder, sig, args: _call_llvm(builder, "fmuladd", a, args)


@intrinsic
def lane_sum(typingctx, a):
    """The sum of all lanes, a scalar; pairs of lanes first."""
    scalar = _FLOATS[a.bits]

    def code(context, builder, sig, args):
        kind = _IR_FLOATS[a.bits]
        function = ir.FunctionType(kind, [kind, a.ir_type])
        name = f"llvm.vector.reduce.fadd.v{a.lanes}f{a.bits}"
        callee = cgutils.get_or_insert_function(builder.module, function, name)
        return builder.call(callee, [ir.Constant(kind, -0.0), args[0]], fastmath=("reassoc",))

    return scalar(a), code


@intrinsic
def sqrt(typingctx, a):
    """Square root."""
    return a(a), lambda context, builder, sig, args: _call_llvm(builder, "sqrt", a, args)


@intrinsic
def largest(typingctx, a, b):
    """The larger of two, lane by lane."""
    return a(a, a), lambda context, builder, sig, args: builder.select(
        builder.fcmp_ordered(">", *args), *args
    )


@intrinsic
def below(typingctx, a, b):
    """Mask of the lanes where a < b."""
    return _MASKS[a.lanes](a, a), lambda context, builder, sig, args: builder.fcmp_ordered(
        "<", *args
    )


@intrinsic
def both(typingctx, a, b):
    """Lanes where two masks are true."""
    return a(a, a), lambda context, builder, sig, args: builder.and_(*args)


@intrinsic
def either(typingctx, a, b):
    """Lanes where one of two masks is true."""
    return a(a, a), lambda context, builder, sig, args: builder.or_(*args)


@intrinsic
def any_lane(typingctx, mask):
    """Whether a mask is true anywhere."""
    bits = ir.IntType(mask.lanes)
    return types.boolean(mask), lambda context, builder, sig, args: builder.icmp_unsigned(
        "!=", builder.bitcast(args[0], bits), ir.Constant(bits, 0)
    )


@intrinsic
def where(typingctx, mask, a, b):
    """a where the mask is true, else b."""
    return a(mask, a, a), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def inverse_power_of_two(typingctx, a):
    """2^-e of positive normal numbers ``a = m 2^e``, 1 <= m < 2: exact to multiply with."""
    mantissa, bias = _MANTISSA[a.bits], _BIAS[a.bits]
    exponent = ((1 << (a.bits - 1)) - 1) ^ ((1 << mantissa) - 1)

    def code(context, builder, sig, args):
        bits = builder.and_(builder.bitcast(args[0], a.ir_bits), a.whole_numbers(exponent))
        twice = a.whole_numbers((2 * bias) << mantissa)
        return builder.bitcast(builder.sub(twice, bits), a.ir_type)

    return a(a), code


@intrinsic
def log2_of_power(typingctx, a):
    """n of a power of two 2^n, exactly."""
    mantissa, bias = _MANTISSA[a.bits], _BIAS[a.bits]

    def code(context, builder, sig, args):
        shifted = builder.lshr(builder.bitcast(args[0], a.ir_bits), a.whole_numbers(mantissa))
        return builder.sitofp(builder.sub(shifted, a.whole_numbers(bias)), a.ir_type)

    return a(a), code


@intrinsic
def _power_of_two(typingctx, shifted):
    """2^n from ``n + 1.5 * 2^mantissa``, whose lowest bits are those of the integer n."""
    mantissa, bias = _MANTISSA[shifted.bits], _BIAS[shifted.bits]

    def code(context, builder, sig, args):
        n = builder.bitcast(args[0], shifted.ir_bits)
        exponent = builder.shl(n, shifted.whole_numbers(mantissa))
        one = shifted.whole_numbers(bias << mantissa)
        return builder.bitcast(builder.add(exponent, one), shifted.ir_type)

    return shifted(shifted), code


def expm1(x):
    """exp(x) - 1 for x <= 0, to about one unit in the last place, -1 where exp(x) vanishes.

    ``x = n log 2 + r``; a Taylor series for r; ``2^n (exp(r) - 1) + (2^n - 1)`` cancels nowhere.
    """
    raise NotImplementedError("for compiled code")


def exp(x):
    """exp(x), to about one unit in the last place, for x that do not overflow."""
    raise NotImplementedError("for compiled code")


#: log 2 in two parts, the first short enough for n times it to be exact.
_LOG2_HIGH = {32: 0.693359375, 64: 0.6931471803691238}
_LOG2_LOW = {32: -2.1219444005469057e-4, 64: 1.9082149292705877e-10}
#: exp of less is not a normal number.
_LEAST = {32: -86.0, 64: -707.0}
#: Terms that |r| <= log(2) / 2 needs after the first.
_N_TERMS = {32: 6, 64: 12}


def _split(x):
    """exp(x) as a power of two and exp(r) - 1."""
    raise NotImplementedError("for compiled code")


@overload(_split)
def _split_lanes(x):
    if not isinstance(x, Vector):
        return None
    bits = x.bits
    least, high = _LEAST[bits], _LOG2_HIGH[bits]
    low, per_log2 = _LOG2_LOW[bits], 1 / math.log(2)
    magic = 1.5 * 2.0 ** _MANTISSA[bits]
    last = 1 / math.factorial(_N_TERMS[bits] + 1)
    others = tuple(1 / math.factorial(n) for n in range(_N_TERMS[bits], 1, -1))

    def code(x):
        x = largest(x, spread(x, least))
        shifted = fma(x, spread(x, per_log2), spread(x, magic))
        n = shifted - spread(x, magic)
        r = fma(n, spread(x, -low), fma(n, spread(x, -high), x))
        series = spread(x, last)
        for term in others:
            series = fma(r, series, spread(x, term))
        return _power_of_two(shifted), fma(r * r, series, r)

    return code


@overload(expm1)
def _expm1(x):
    if not isinstance(x, Vector):
        return None

    def code(x):
        power, rest = _split(x)
        return fma(power, rest, power - spread(x, 1.0))

    return code


@overload(exp)
def _exp(x):
    if not isinstance(x, Vector):
        return None

    def code(x):
        power, rest = _split(x)
        return fma(power, rest, power)

    return code
