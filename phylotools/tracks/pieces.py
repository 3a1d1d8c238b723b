"""Blocks of bigWigs and of the table in a piece, ready to be copied."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phylotools.io.bigwig.encoding import CELL, SignalBlocks
from phylotools.io.bigwig.index import BLOCK
from phylotools.jobs.piece import Piece, PieceWriter

#: Number of the bigWig, where its blocks begin, their bytes, and what is known of them.
ENTRY = np.dtype(
    [
        ("signal", "<i4"),
        ("offset", "<i8"),
        ("data", "<i8"),
        ("n_blocks", "<i8"),
        ("n_cells", "<i8"),
        ("totals", "<f8", (5,)),
    ]
)
#: Stands for the table where the number of a bigWig could.
_TABLE = -1


def add_signal(writer: PieceWriter, number: int, encoded: SignalBlocks) -> None:
    """Append blocks of a bigWig."""
    writer.add(
        encoded.data,
        encoded.blocks.tobytes(),
        encoded.cells.tobytes(),
        signal=number,
        data=len(encoded.data),
        n_blocks=len(encoded.blocks),
        n_cells=len(encoded.cells),
        totals=encoded.totals,
    )


def add_table(writer: PieceWriter, blocks: bytes) -> None:
    """Append BGZF blocks of the table."""
    writer.add(blocks, signal=_TABLE, data=len(blocks))


def read_signal(piece: Piece, number: int) -> Iterator[SignalBlocks]:
    """Blocks of a bigWig, in order."""
    for entry in piece.index[piece.index["signal"] == number]:
        n_blocks, n_cells = int(entry["n_blocks"]), int(entry["n_cells"])
        sizes = (int(entry["data"]), n_blocks * BLOCK.itemsize, n_cells * CELL.itemsize)
        text = piece.read(int(entry["offset"]), sum(sizes))
        at = sizes[0] + sizes[1]
        yield SignalBlocks(
            np.frombuffer(text[sizes[0] : at], dtype=BLOCK),
            np.frombuffer(text[at:], dtype=CELL),
            entry["totals"],
            text[: sizes[0]],
        )


def read_table(piece: Piece) -> Iterator[bytes]:
    """BGZF blocks of the table, in order."""
    for entry in piece.index[piece.index["signal"] == _TABLE]:
        yield piece.read(int(entry["offset"]), int(entry["data"]))
