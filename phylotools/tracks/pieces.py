"""What a partition leaves behind: blocks of bigWigs and of the table, ready to be copied.

A piece is `blocks.bin` (the blocks), `index.npy` (whose they are and where) and `piece.json`
(what was counted).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import PhylotoolsError
from phylotools.io.bigwig.encoding import CELL, SignalBlocks
from phylotools.io.bigwig.index import BLOCK

_PIECE_VERSION = 1
_BLOCKS, _INDEX, _SUMMARY = "blocks.bin", "index.npy", "piece.json"
#: Stands for the table where the number of a bigWig could.
_TABLE = -1
_ENTRY = np.dtype(
    [
        ("signal", "<i4"),
        ("offset", "<i8"),
        ("data", "<i8"),
        ("n_blocks", "<i8"),
        ("n_cells", "<i8"),
        ("totals", "<f8", (5,)),
    ]
)


class PieceWriter:
    """Write a piece into an empty folder.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BinaryIO = open(folder / _BLOCKS, "wb")  # noqa: SIM115 - closed by finish
        self._entries = bytearray()
        self._end = 0

    def add_signal(self, number: int, encoded: SignalBlocks) -> None:
        """Append blocks of a bigWig."""
        parts = (encoded.data, encoded.blocks.tobytes(), encoded.cells.tobytes())
        self._add(number, parts, len(encoded.blocks), len(encoded.cells), encoded.totals)

    def add_table(self, blocks: bytes) -> None:
        """Append BGZF blocks of the table."""
        self._add(_TABLE, (blocks,), 0, 0, np.zeros(5))

    def _add(
        self,
        number: int,
        parts: tuple[bytes, ...],
        n_blocks: int,
        n_cells: int,
        totals: NDArray[np.float64],
    ) -> None:
        entry = np.zeros((), dtype=_ENTRY)
        entry["signal"], entry["offset"], entry["data"] = number, self._end, len(parts[0])
        entry["n_blocks"], entry["n_cells"], entry["totals"] = n_blocks, n_cells, totals
        self._entries += entry.tobytes()
        for part in parts:
            self._file.write(part)
            self._end += len(part)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write index and summary, and close the piece."""
        self._file.close()
        index = np.frombuffer(self._entries, dtype=_ENTRY)
        np.save(self._folder / _INDEX, index, allow_pickle=False)
        document = {"version": _PIECE_VERSION, "bytes": self._end, **summary}
        (self._folder / _SUMMARY).write_text(json.dumps(document))

    def close(self) -> None:
        """Close the file, finished or not."""
        self._file.close()


@dataclass(frozen=True, eq=False)
class Piece:
    """A finished piece.

    Attributes
    ----------
    folder : Path
    summary : dict
    """

    folder: Path
    summary: dict[str, Any]
    _index: NDArray[np.void]

    def signal(self, number: int) -> Iterator[SignalBlocks]:
        """Blocks of a bigWig, in order."""
        for entry in self._index[self._index["signal"] == number]:
            n_blocks, n_cells = int(entry["n_blocks"]), int(entry["n_cells"])
            sizes = (int(entry["data"]), n_blocks * BLOCK.itemsize, n_cells * CELL.itemsize)
            text = self._read(int(entry["offset"]), sum(sizes))
            at = sizes[0] + sizes[1]
            yield SignalBlocks(
                np.frombuffer(text[sizes[0] : at], dtype=BLOCK),
                np.frombuffer(text[at:], dtype=CELL),
                entry["totals"],
                text[: sizes[0]],
            )

    def table(self) -> Iterator[bytes]:
        """BGZF blocks of the table, in order."""
        for entry in self._index[self._index["signal"] == _TABLE]:
            yield self._read(int(entry["offset"]), int(entry["data"]))

    def _read(self, offset: int, size: int) -> bytes:
        # Opened each time: a job of ten thousand pieces has more than may be open at once.
        descriptor = os.open(self.folder / _BLOCKS, os.O_RDONLY)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)


def open_piece(folder: Path) -> Piece:
    """Open a finished piece.

    Raises
    ------
    PhylotoolsError
        If it is damaged.
    """
    damaged = PhylotoolsError(
        f"{folder}: this part of the work folder is damaged; remove it and run it again"
    )
    try:
        summary = json.loads((folder / _SUMMARY).read_text())
        index = np.load(folder / _INDEX, allow_pickle=False)
        size = (folder / _BLOCKS).stat().st_size
    except (OSError, ValueError, EOFError) as error:
        raise damaged from error
    is_whole = (
        isinstance(summary, dict)
        and summary.get("version") == _PIECE_VERSION
        and summary.get("bytes") == size
        and index.dtype == _ENTRY
        and int((index["offset"] + index["data"]).max(initial=0)) <= size
    )
    if not is_whole:
        raise damaged
    return Piece(folder, summary, index)
