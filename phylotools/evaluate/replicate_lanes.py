"""Vectors for numba: one bootstrap replicate a lane, the same instruction for all of them.

Two kinds of 16 lanes, `Counts` (int32) and `Sums` (float64), are values of compiled code. They know
the operators + - * (and / for sums), and are rows of 2-d arrays that are exactly 16 wide. Numba
leaves vectorising to LLVM, which gives up on loops over several arrays; why vectors are a type is
told in `phylogeny/kernels/cpu/lanes`, whose floats are of another width. All functions are for
compiled code only.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

#: Replicates that are computed together: the counts of a variant are 16 bytes, its ranks a line of
#: the cache, so that one read from anywhere in memory serves all of them.
LANES = 16
#: How many variants ahead their counts are asked for.
AHEAD = 32


# What it decorates is called in compiled code, without the first argument.
intrinsic: Any = extending.intrinsic


class LaneType(types.Type):
    """Lanes of one kind of number."""

    def __init__(self, name: str, lane: ir.Type) -> None:
        self.ir_type = ir.VectorType(lane, LANES)
        super().__init__(name=f"{name} x {LANES}")


@register_model(LaneType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, kind.ir_type)


Counts = LaneType("counts", ir.IntType(32))
Sums = LaneType("sums", ir.DoubleType())
_BYTES = ir.VectorType(ir.IntType(8), LANES)


def _define_operators(kind, instructions):
    for python_operator, instruction in instructions.items():

        class Template(ConcreteTemplate):
            cases = [signature(kind, kind, kind)]  # noqa: RUF012

        infer_global(python_operator)(Template)

        def lower(context, builder, sig, args, instruction=instruction):
            return getattr(builder, instruction)(*args)

        lower_builtin(python_operator, kind, kind)(lower)


_define_operators(Counts, {operator.add: "add", operator.sub: "sub", operator.mul: "mul"})
_define_operators(
    Sums,
    {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"},
)


def _row_pointer(context, builder, sig, args, vector):
    """Pointer to row args[1] of the array args[0], whose rows are 16 wide."""
    row = context.cast(builder, args[1], sig.args[1], types.intp)
    data = context.make_array(sig.args[0])(context, builder, args[0]).data
    offset = builder.mul(row, context.get_constant(types.intp, LANES))
    return builder.bitcast(builder.gep(data, [offset], inbounds=True), vector.as_pointer())


def _like(array):
    return Counts if array.dtype == types.int32 else Sums


def _constant(kind, value):
    return kind(), lambda context, builder, sig, args: ir.Constant(kind.ir_type, [value] * LANES)


@intrinsic
def no_counts(typingctx):
    """Zero in every lane, whole numbers."""
    return _constant(Counts, 0)


@intrinsic
def no_sums(typingctx):
    """Zero in every lane."""
    return _constant(Sums, 0.0)


@intrinsic
def load_counts(typingctx, array, row):
    """Row `row` of a uint8 array."""

    def code(context, builder, sig, args):
        pointer = _row_pointer(context, builder, sig, args, _BYTES)
        return builder.zext(builder.load(pointer, align=1), Counts.ir_type)

    return Counts(array, row), code


@intrinsic
def load(typingctx, array, row):
    """Row `row` of an int32 array (counts) or a float64 array (sums)."""
    kind = _like(array)

    def code(context, builder, sig, args):
        pointer = _row_pointer(context, builder, sig, args, kind.ir_type)
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return kind(array, row), code


@intrinsic
def store(typingctx, array, row, value):
    """Write counts to row `row` of an int32 array, or sums to one of a float64 array."""

    def code(context, builder, sig, args):
        pointer = _row_pointer(context, builder, sig, args, value.ir_type)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, row, value), code


@intrinsic
def prefetch(typingctx, array, row):
    """Have row `row` of an array brought into the cache, without waiting for it."""

    def code(context, builder, sig, args):
        byte = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(_row_pointer(context, builder, sig, args, _BYTES), byte)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        callee = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
        builder.call(callee, [pointer, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, row), code


@intrinsic
def as_sums(typingctx, counts):
    """Whole numbers as floating-point ones."""
    return Sums(counts), lambda context, builder, sig, args: builder.sitofp(args[0], Sums.ir_type)


@intrinsic
def at_least_one(typingctx, counts):
    """The counts, and 1 where they are 0."""

    def code(context, builder, sig, args):
        one = ir.Constant(Counts.ir_type, [1] * LANES)
        return builder.select(builder.icmp_signed("<", args[0], one), one, args[0])

    return Counts(counts), code


@intrinsic
def kept_where(typingctx, counts, sums):
    """The sums where the counts are above 0, and 0 elsewhere."""

    def code(context, builder, sig, args):
        nothing = ir.Constant(Counts.ir_type, [0] * LANES)
        is_kept = builder.icmp_signed(">", args[0], nothing)
        return builder.select(is_kept, args[1], ir.Constant(Sums.ir_type, [0.0] * LANES))

    return Sums(counts, sums), code


@intrinsic
def where_at_most(typingctx, counts, limit, then, otherwise):
    """The counts `then` where the first are at most the limit, else `otherwise`."""

    def code(context, builder, sig, args):
        return builder.select(builder.icmp_signed("<=", args[0], args[1]), args[2], args[3])

    return Counts(counts, limit, then, otherwise), code


def _in_every_lane(builder, number, vector):
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, places)


@intrinsic
def spread_count(typingctx, number):
    """A whole number in every lane."""

    def code(context, builder, sig, args):
        scalar = context.cast(builder, args[0], sig.args[0], types.int32)
        return _in_every_lane(builder, scalar, Counts.ir_type)

    return Counts(number), code


@intrinsic
def spread(typingctx, number):
    """A float64 in every lane."""

    def code(context, builder, sig, args):
        scalar = context.cast(builder, args[0], sig.args[0], types.float64)
        return _in_every_lane(builder, scalar, Sums.ir_type)

    return Sums(number), code
