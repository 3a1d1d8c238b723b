"""Tracks and a table in pieces: blocks of bigWigs, and BGZF blocks of text, in their order."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from phylotools.io.bigwig.encoding import CELL, SignalBlocks
from phylotools.io.bigwig.index import BLOCK
from phylotools.io.position_index.builder import IndexPart
from phylotools.jobs.piece import Piece, PieceWriter

#: Number of the bigWig among those made, where its blocks begin, their bytes, their totals.
SIGNAL_ENTRY = np.dtype(
    [
        ("signal", "<i4"),
        ("offset", "<i8"),
        ("data", "<i8"),
        ("n_blocks", "<i8"),
        ("n_cells", "<i8"),
        ("totals", "<f8", (5,)),
    ]
)
#: Stand for the table, and for the notes on its lines, in place of a bigWig's number.
_TABLE, _NOTES = -1, -2


def add_signal(writer: PieceWriter, signal: int, encoded: SignalBlocks) -> None:
    """Append blocks of a bigWig."""
    writer.add(
        encoded.data,
        encoded.blocks.tobytes(),
        encoded.cells.tobytes(),
        signal=signal,
        data=len(encoded.data),
        n_blocks=len(encoded.blocks),
        n_cells=len(encoded.cells),
        totals=encoded.totals,
    )


def add_blocks(writer: PieceWriter, blocks: bytes) -> None:
    """Append BGZF blocks of the table."""
    writer.add(blocks, signal=_TABLE, data=len(blocks))


def add_notes(writer: PieceWriter, part: IndexPart) -> None:
    """Append what the index of the table must know of all its blocks in the piece; once."""
    data = part.to_bytes()
    writer.add(data, signal=_NOTES, data=len(data))


def read_notes(piece: Piece) -> IndexPart:
    """What `add_notes` has added."""
    (entry,) = piece.index[piece.index["signal"] == _NOTES]
    return IndexPart.from_bytes(piece.read(int(entry["offset"]), int(entry["data"])))


def read_signal(piece: Piece, signal: int) -> Iterator[SignalBlocks]:
    """Blocks of a bigWig, in order."""
    for entry in piece.index[piece.index["signal"] == signal]:
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


def read_blocks(piece: Piece) -> Iterator[bytes]:
    """BGZF blocks of the table, in order."""
    for entry in piece.index[piece.index["signal"] == _TABLE]:
        yield piece.read(int(entry["offset"]), int(entry["data"]))
