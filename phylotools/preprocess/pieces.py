"""Chunks of a store in a piece: compressed, each with its reference row and depths as they are."""

from __future__ import annotations

import numpy as np

from phylotools.jobs.piece import Piece, PieceWriter
from phylotools.store import schema
from phylotools.store.chunks import StoredChunk

#: Contig (its index within the piece), chunk, where it begins, bytes of the compressed bases.
ENTRY = np.dtype(
    [("contig", "<i8"), ("chunk", "<i8"), ("offset", "<i8"), ("bases", "<i8"), ("digest", "V32")]
)
#: Bytes of the reference row, then of the depths. Not compressed: one thread puts all pieces
#: together, and decoding these was a quarter of its work.
_REFERENCE_BYTES = schema.CHUNK_LENGTH
_SIDES_BYTES = _REFERENCE_BYTES + 2 * schema.CHUNK_LENGTH


def add_chunk(writer: PieceWriter, chunk: StoredChunk) -> None:
    """Append a chunk.

    It may be added several times, each time with other positions: the first that covers a
    position counts when the store is put together.
    """
    writer.add(
        chunk.blob,
        chunk.reference.tobytes(),
        chunk.depth.astype("<u2", copy=False).tobytes(),
        contig=chunk.contig,
        chunk=chunk.index,
        bases=len(chunk.blob),
        digest=np.void(chunk.digest),
    )


def read_chunk(piece: Piece, row: int, contig: int) -> StoredChunk:
    """The chunk of one row of a piece's index, under its contig's number in the store.

    Raises
    ------
    ValueError
        If the piece is damaged.
    """
    entry = piece.index[row]
    n_bases = int(entry["bases"])
    data = piece.read(int(entry["offset"]), n_bases + _SIDES_BYTES)
    sides = data[n_bases:]
    return StoredChunk(
        contig,
        int(entry["chunk"]),
        data[:n_bases],
        entry["digest"].tobytes(),
        np.frombuffer(sides, dtype=np.uint8, count=_REFERENCE_BYTES),
        np.frombuffer(sides, dtype="<u2", offset=_REFERENCE_BYTES),
    )
