"""Pieces of a store that is being made: the chunks of one partition, in one folder.

A piece is `chunks.bin` (compressed chunks one after the other, each with its reference row and
depths as they are), `index.npy` (where each is) and `piece.json` (what was met on the way). It
appears whole or not at all.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from phylotools.errors import PhylotoolsError
from phylotools.store import schema
from phylotools.store.chunks import StoredChunk

PIECE_VERSION = 2
_CHUNKS, _INDEX, _SUMMARY = "chunks.bin", "index.npy", "piece.json"
_INDEX_TYPE = np.dtype(
    [
        ("contig", "<i8"),
        ("chunk", "<i8"),
        ("offset", "<i8"),
        ("bases", "<i8"),
        ("sides_checksum", "<u4"),
        ("digest", "V32"),
    ]
)
#: Bytes of the reference row, then of the depths. Not compressed: one thread puts all pieces
#: together, and decoding these was a quarter of its work.
_REFERENCE_BYTES = schema.CHUNK_LENGTH
_SIDES_BYTES = _REFERENCE_BYTES + 2 * schema.CHUNK_LENGTH


class PieceWriter:
    """Write a piece into an empty folder.

    A chunk may be added several times, each time with other positions: the first that covers a
    position counts when the store is put together.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO = open(folder / _CHUNKS, "wb")  # noqa: SIM115 - closed by finish
        self._end = 0
        # Blocks in random order make millions of entries: as bytes, not as objects.
        self._entries = bytearray()

    def add(self, chunk: StoredChunk) -> None:
        """Append a chunk."""
        sides = chunk.reference.tobytes() + chunk.depth.astype("<u2", copy=False).tobytes()
        self._file.write(chunk.blob)
        self._file.write(sides)
        entry = np.zeros((), dtype=_INDEX_TYPE)
        entry["contig"], entry["chunk"], entry["offset"] = chunk.contig, chunk.index, self._end
        entry["bases"], entry["sides_checksum"] = len(chunk.blob), google_crc32c.value(sides)
        entry["digest"] = np.void(chunk.digest)
        self._entries += entry.tobytes()
        self._end += len(chunk.blob) + _SIDES_BYTES

    def finish(self, summary: dict[str, Any]) -> None:
        """Write index and summary, and close the piece."""
        self._file.close()
        index = np.frombuffer(self._entries, dtype=_INDEX_TYPE)
        np.save(self._folder / _INDEX, index, allow_pickle=False)
        text = json.dumps({"version": PIECE_VERSION, **summary})
        (self._folder / _SUMMARY).write_text(text)


@dataclass(frozen=True, eq=False)
class Piece:
    """A finished piece.

    Attributes
    ----------
    folder : Path
    summary : dict
    index : structured array [chunks]
        In the order of writing; fields `contig` (index within this piece), `chunk`, and where it
        is.
    """

    folder: Path
    summary: dict[str, Any]
    index: NDArray[Any]

    def read(self, row: int, contig: int) -> StoredChunk:
        """The chunk of one row of the index, under its contig's number in the store."""
        entry = self.index[row]
        # Opened each time: a job of ten thousand pieces has more than may be open at once.
        descriptor = os.open(self.folder / _CHUNKS, os.O_RDONLY)
        try:
            n_bases = int(entry["bases"])
            data = os.pread(descriptor, n_bases + _SIDES_BYTES, int(entry["offset"]))
        finally:
            os.close(descriptor)
        sides = data[n_bases:]
        if len(sides) < _SIDES_BYTES or google_crc32c.value(sides) != entry["sides_checksum"]:
            raise damaged_piece(self.folder)
        return StoredChunk(
            contig,
            int(entry["chunk"]),
            data[:n_bases],
            entry["digest"].tobytes(),
            np.frombuffer(sides, dtype=np.uint8, count=_REFERENCE_BYTES),
            np.frombuffer(sides, dtype="<u2", offset=_REFERENCE_BYTES),
        )


def open_piece(folder: Path) -> Piece:
    """Open a finished piece.

    Raises
    ------
    PhylotoolsError
        If it is damaged.
    """
    try:
        summary = json.loads((folder / _SUMMARY).read_text())
        index = np.load(folder / _INDEX, allow_pickle=False)
        size = (folder / _CHUNKS).stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise damaged_piece(folder) from error
    is_whole = (
        isinstance(summary, dict)
        and summary.get("version") == PIECE_VERSION
        and index.dtype == _INDEX_TYPE
        and int((index["offset"] + index["bases"] + _SIDES_BYTES).max(initial=0)) <= size
    )
    if not is_whole:
        raise damaged_piece(folder)
    return Piece(folder, summary, index)


def damaged_piece(folder: Path) -> PhylotoolsError:
    """The error of a piece that cannot be read."""
    return PhylotoolsError(
        f"{folder}: this part of the work folder is damaged; remove it and run it again"
    )
