"""Matrix products of small float32 matrices, compiled: a tile of the result stays in registers.

Shapes as small as a network's (K of 32 to 320, N of 32 to 64) ran at 200 to 240 GFLOP/s on a core
(AMD Zen 5) where the library behind torch, which takes AVX2 there, ran at 75 to 107.
"""

from __future__ import annotations

import llvmlite.binding
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from phylotools.model.halved.layout import LANES
from phylotools.phylogeny.kernels.cpu.families import jit

#: Rows and vectors of a tile. Sixteen sums fill half the registers of AVX-512; where a vector is
#: two registers of sixteen, four sums do. Rows divide `SPARE_ROWS` and `LANES`.
_HAS_WIDE_REGISTERS = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
TILE_ROWS, TILE_VECTORS = (8, 2) if _HAS_WIDE_REGISTERS else (4, 1)

_INDEX, _FLOAT = ir.IntType(64), ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)


#: What the sums of a product begin with: nothing, what stands in C, or D + E.
_NOTHING, _OWN, _GIVEN = range(3)


def _tile_product(vectors: int, begin_with: int):
    """An intrinsic: a tile of C, `TILE_ROWS` by so many vectors, becomes a product and what it
    begins with.

    Its arguments are, for each of A, B, C, D and E, a float32 array, where the tile begins in it,
    and strides: ``A[row, k]`` (two), ``B[k, :]``, ``C[row, :]`` and ``D[row, :]`` (one; E is the
    same in every row); last, the number of k. D may be C. Every sum gains its terms in the order
    of k, so that its bits depend on nothing but them.
    """

    @intrinsic
    def product(
        typingctx, a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, d, d_at, d_row, e, e_at, n
    ):
        def code(context, builder, sig, args):
            whole = {
                name: context.cast(builder, args[i], sig.args[i], types.intp)
                for i, name in enumerate(names)
                if name not in "abcde"
            }

            def start(name, offset):
                i = names.index(name)
                data = context.make_array(sig.args[i])(context, builder, args[i]).data
                return builder.gep(data, [offset], inbounds=True)

            def vector_at(pointer, offset):
                place = builder.gep(pointer, [offset], inbounds=True)
                return builder.bitcast(place, _VECTOR.as_pointer())

            def times(index, name):
                return builder.mul(_INDEX(index), whole[name])

            tile = [(row, v) for row in range(TILE_ROWS) for v in range(vectors)]
            rows = [
                start("a", builder.add(whole["a_at"], times(r, "a_row"))) for r in range(TILE_ROWS)
            ]
            right, out = start("b", whole["b_at"]), start("c", whole["c_at"])
            results = {
                (r, v): vector_at(out, builder.add(times(r, "c_row"), _INDEX(v * LANES)))
                for r, v in tile
            }
            sums = {place: cgutils.alloca_once(builder, _VECTOR) for place in tile}
            for row, v in tile:
                if begin_with == _NOTHING:
                    begin = _VECTOR(None)
                elif begin_with == _OWN:
                    begin = builder.load(results[row, v], align=4)
                else:
                    offset = builder.add(times(row, "d_row"), _INDEX(v * LANES))
                    own = builder.load(vector_at(start("d", whole["d_at"]), offset), align=4)
                    shared = vector_at(start("e", whole["e_at"]), _INDEX(v * LANES))
                    begin = builder.fadd(own, builder.load(shared, align=4))
                builder.store(begin, sums[row, v])
            with cgutils.for_range(builder, whole["n"]) as loop:
                a_step = builder.mul(loop.index, whole["a_k"])
                b_step = builder.mul(loop.index, whole["b_k"])
                others = [
                    builder.load(vector_at(right, builder.add(b_step, _INDEX(v * LANES))), align=4)
                    for v in range(vectors)
                ]
                for r in range(TILE_ROWS):
                    number = builder.load(builder.gep(rows[r], [a_step], inbounds=True))
                    spread = _in_every_lane(builder, number)
                    for v in range(vectors):
                        gained = _fma(builder, spread, others[v], builder.load(sums[r, v]))
                        builder.store(gained, sums[r, v])
            for place in tile:
                builder.store(builder.load(sums[place]), results[place], align=4)
            return context.get_dummy_value()

        kinds = (a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, d, d_at, d_row, e, e_at, n)
        return types.void(*kinds), code

    names = (
        "a", "a_at", "a_row", "a_k", "b", "b_at", "b_k", "c", "c_at", "c_row",
        "d", "d_at", "d_row", "e", "e_at", "n",
    )  # fmt: skip
    return product


def _in_every_lane(builder, number):
    undefined = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


def _fma(builder, a, b, c):
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    fma = builder.module.declare_intrinsic(f"llvm.fmuladd.v{LANES}f32", fnty=kind)
    return builder.call(fma, [a, b, c])


def _product(begin_with: int):
    tile, narrow = (_tile_product(vectors, begin_with) for vectors in (TILE_VECTORS, 1))

    @jit
    def product(a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, rows, columns, n):
        column = 0
        while column + TILE_VECTORS * LANES <= columns:
            for row in range(0, rows, TILE_ROWS):
                tile(
                    a, a_at + row * a_row, a_row, a_k, b, b_at + column, b_k,
                    c, c_at + row * c_row + column, c_row, c, 0, 0, c, 0, n,
                )  # fmt: skip
            column += TILE_VECTORS * LANES
        while column < columns:
            for row in range(0, rows, TILE_ROWS):
                narrow(
                    a, a_at + row * a_row, a_row, a_k, b, b_at + column, b_k,
                    c, c_at + row * c_row + column, c_row, c, 0, 0, c, 0, n,
                )  # fmt: skip
            column += LANES

    return product


#: ``C += A B`` and ``C = A B``, for compiled code: for each of A, B, C a flat float32 array, where
#: the matrix begins in it, and its strides (A: row, k; B: k; C: row); then rows, columns and the
#: number of k. Columns are whole vectors; rows are rounded up to whole tiles.
add_product = _product(_OWN)
set_product = _product(_NOTHING)


def _panel_product():
    wide, narrow = (_tile_product(vectors, _GIVEN) for vectors in (TILE_VECTORS, 1))

    @jit
    def product(
        a, a_at, a_row, b, b_at, b_long, first, n, c, c_at, c_row, d, d_at, d_row, e_at, rows,
        columns,
    ):  # fmt: skip
        column = 0
        while column + TILE_VECTORS * LANES <= columns:
            panel = b_at + column * b_long + first * TILE_VECTORS * LANES
            for row in range(0, rows, TILE_ROWS):
                wide(
                    a, a_at + row * a_row, a_row, 1, b, panel, TILE_VECTORS * LANES,
                    c, c_at + row * c_row + column, c_row,
                    d, d_at + row * d_row + column, d_row, b, e_at + column, n,
                )  # fmt: skip
            column += TILE_VECTORS * LANES
        while column < columns:
            panel = b_at + column * b_long + first * LANES
            for row in range(0, rows, TILE_ROWS):
                narrow(
                    a, a_at + row * a_row, a_row, 1, b, panel, LANES,
                    c, c_at + row * c_row + column, c_row,
                    d, d_at + row * d_row + column, d_row, b, e_at + column, n,
                )  # fmt: skip
            column += LANES

    return product


#: ``C = D + E + A B`` for part of the terms, `n` k from `first` on. B has `b_long` k in all and
#: lies in panels, see `stages`: as it is read, which matrices beyond the first cache want. E is a
#: row, and lies in the array of B.
panel_product = _panel_product()
