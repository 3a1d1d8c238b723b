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


def _tile_product(vectors: int, from_zero: bool):
    """An intrinsic: a tile of C, `TILE_ROWS` by so many vectors, becomes or gains a product.

    Its arguments are, for each of A, B and C, a float32 array, where the tile begins in it, and
    strides: ``A[row, k]`` (two), ``B[k, :]`` and ``C[row, :]`` (one); last, the number of k.
    """

    @intrinsic
    def product(typingctx, a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, n):
        def code(context, builder, sig, args):
            whole = {
                name: context.cast(builder, args[i], sig.args[i], types.intp)
                for i, name in enumerate(names)
                if name not in "abc"
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
            for place in tile:
                begin = _VECTOR(None) if from_zero else builder.load(results[place], align=4)
                builder.store(begin, sums[place])
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

        return types.void(a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, n), code

    names = ("a", "a_at", "a_row", "a_k", "b", "b_at", "b_k", "c", "c_at", "c_row", "n")
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


def _product(from_zero: bool):
    tile = _tile_product(TILE_VECTORS, from_zero)
    narrow = _tile_product(1, from_zero)

    @jit
    def product(a, a_at, a_row, a_k, b, b_at, b_k, c, c_at, c_row, rows, columns, n):
        column = 0
        while column + TILE_VECTORS * LANES <= columns:
            for row in range(0, rows, TILE_ROWS):
                tile(
                    a, a_at + row * a_row, a_row, a_k, b, b_at + column, b_k,
                    c, c_at + row * c_row + column, c_row, n,
                )  # fmt: skip
            column += TILE_VECTORS * LANES
        while column < columns:
            for row in range(0, rows, TILE_ROWS):
                narrow(
                    a, a_at + row * a_row, a_row, a_k, b, b_at + column, b_k,
                    c, c_at + row * c_row + column, c_row, n,
                )  # fmt: skip
            column += LANES

    return product


#: ``C += A B`` and ``C = A B``, for compiled code: for each of A, B, C a flat float32 array, where
#: the matrix begins in it, and its strides (A: row, k; B: k; C: row); then rows, columns and the
#: number of k. Columns are whole vectors; rows are rounded up to whole tiles.
add_product = _product(from_zero=False)
set_product = _product(from_zero=True)
