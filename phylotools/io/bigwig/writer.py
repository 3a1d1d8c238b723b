"""Numbers along a genome out: bigWig, the track format of genome browsers.

Blocks of a track can be made anywhere, in any order, by `encode_signal`, and put together by a
`BigWigWriter`, which does little more than copy them.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import OutputError
from phylotools.io.bigwig.encoding import (
    BLOCK_VALUES,
    CELL,
    FINEST,
    LARGEST_BLOCK,
    SignalBlocks,
    encode_signal,
)
from phylotools.io.bigwig.index import BLOCK, contig_tree, place_tree
from phylotools.io.bigwig.zoom import ZoomLevel
from phylotools.io.files import atomic_path

MAGIC, _VERSION = struct.pack("<I", 0x888FFC26), 4
#: Magic, version, zoom levels, offsets of contigs, data and index, fields of bigBeds (three),
#: offset of the summary, bytes of a block before compression, extension.
HEADER = struct.Struct("<4sHHQQQHHQQIQ")
#: Each zoom level summarises this many times the positions of the one before.
_FACTOR, _LEVELS = 4, 10
LONGEST_CONTIG = (1 << 32) - 1
_ZOOM_BYTES, _SUMMARY_BYTES = 24, 40
#: Of the finest summaries; what each call to the zoom levels costs by itself then does not matter.
_CELLS_AT_ONCE = 1 << 15


class BigWigWriter:
    """Values of single positions, in order; use `open_bigwig`."""

    def __init__(self, out: BinaryIO, contigs: Mapping[str, int], folder: Path) -> None:
        self._out = out
        self._number = {contig: number for number, contig in enumerate(contigs)}
        self._last = (-1, -1)
        self._blocks: list[NDArray[np.void]] = []
        self._waiting: list[NDArray[np.void]] = []
        self._n_waiting = 0
        self._totals = np.array([0, np.inf, -np.inf, 0, 0])
        self._zooms = [ZoomLevel(FINEST * _FACTOR**level, folder) for level in range(_LEVELS)]
        out.write(bytes(HEADER.size + _LEVELS * _ZOOM_BYTES + _SUMMARY_BYTES))
        self._tree_at = out.tell()
        out.write(contig_tree(contigs, self._tree_at))
        self._data_at = out.tell()
        out.write(bytes(8))

    @property
    def n_positions(self) -> int:
        """Values written."""
        return int(self._totals[0])

    def add(
        self, contig: str, positions: NDArray[np.int64], values: NDArray[np.floating[Any]]
    ) -> None:
        """Write values of one contig.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]
            0-based, rising, after all that were written before.
        values : float array [K]
            Kept as float32; those that are not finite are left out.

        Raises
        ------
        ValueError
            If the positions are not in order.
        """
        encoded = encode_signal(self._number[contig], positions, values)
        if encoded is not None:
            self.add_blocks(encoded)

    def add_blocks(self, encoded: SignalBlocks) -> None:
        """Write what `encode_signal` made, after all that was written before.

        Raises
        ------
        ValueError
            If it is not in order.
        """
        first, last = encoded.blocks[0], encoded.blocks[-1]
        if (int(first["contig"]), int(first["start"])) < self._last:
            raise ValueError("positions are not in the order of the track")
        self._last = (int(last["contig"]), int(last["end"]))
        blocks = encoded.blocks.copy()
        blocks["offset"] += np.uint64(self._out.tell())
        self._blocks.append(blocks)
        self._out.write(encoded.data)
        n, least, greatest, total, squares = encoded.totals
        self._totals[[0, 3, 4]] += (n, total, squares)
        self._totals[1] = min(self._totals[1], least)
        self._totals[2] = max(self._totals[2], greatest)
        self._waiting.append(encoded.cells)
        self._n_waiting += len(encoded.cells)
        if self._n_waiting >= _CELLS_AT_ONCE:
            self._add_waiting()

    def _add_waiting(self, least: int = _CELLS_AT_ONCE) -> None:
        """Hand over what waits, so many cells at once: sums do not depend on how they came."""
        # Not np.concatenate, which compares the fields of all dtypes.
        data = b"".join(cells.tobytes() for cells in self._waiting)
        cells = np.frombuffer(data, dtype=CELL)
        while len(cells) >= least and len(cells):
            self._add_cells(cells[:_CELLS_AT_ONCE], 0)
            cells = cells[_CELLS_AT_ONCE:]
        self._waiting, self._n_waiting = [cells], len(cells)

    def _add_cells(self, cells: NDArray[np.void], level: int) -> None:
        for zoom in self._zooms[level:]:
            if not len(cells):
                return
            cells = zoom.add(cells)

    def finish(self) -> None:
        """Write the index, the zoom levels, and last the header."""
        out = self._out
        self._add_waiting(1)
        for level, zoom in enumerate(self._zooms):
            self._add_cells(zoom.finish(), level + 1)
        blocks = np.concatenate([np.empty(0, dtype=BLOCK), *self._blocks])
        index_at = out.tell()
        out.write(place_tree(blocks, index_at, index_at, BLOCK_VALUES))
        zooms = [(zoom.width, *zoom.write(out)) for zoom in self._useful_zooms()]
        out.write(MAGIC)
        summary_at = HEADER.size + _LEVELS * _ZOOM_BYTES
        out.seek(0)
        out.write(
            HEADER.pack(
                MAGIC, _VERSION, len(zooms), self._tree_at, self._data_at,
                index_at, 0, 0, 0, summary_at, LARGEST_BLOCK, 0,
            )
        )  # fmt: skip
        for width, data_at, at in zooms:
            out.write(struct.pack("<IIQQ", width, 0, data_at, at))
        out.seek(summary_at)
        n, *others = self._totals if self.n_positions else np.zeros(5)
        out.write(struct.pack("<Qdddd", int(n), *others))
        out.seek(self._data_at)
        out.write(struct.pack("<Q", len(blocks)))

    def _useful_zooms(self) -> Iterator[ZoomLevel]:
        """The finest level, and those that say it in fewer numbers than the one before."""
        n_before = None
        for zoom in self._zooms:
            if zoom.n_cells and (n_before is None or 2 * zoom.n_cells <= n_before):
                n_before = zoom.n_cells
                yield zoom

    def close(self) -> None:
        """Let go of temporary files."""
        for zoom in self._zooms:
            zoom.close()


@contextlib.contextmanager
def open_bigwig(
    path: str, contigs: Mapping[str, int], *, force: bool = False
) -> Iterator[BigWigWriter]:
    """Yield a writer of a bigWig file that appears only when complete.

    Parameters
    ----------
    path : str
    contigs : mapping of str to int
        Name -> length, in the order of the data; browsers expect the names sorted.
    force : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If the file exists and `force` is false, or cannot be written, or a contig is longer than
        the format can say.
    """
    for contig, length in contigs.items():
        if length > LONGEST_CONTIG:
            raise OutputError(
                f"{path}: contig {contig} has {length} bases; a bigWig holds contigs of at most "
                f"{LONGEST_CONTIG}"
            )
    with atomic_path(path, force=force) as temporary, open(temporary, "wb") as out:
        writer = BigWigWriter(out, contigs, temporary.parent)
        try:
            yield writer
            writer.finish()
        finally:
            writer.close()
