"""Zoom levels of a bigWig: summaries of more and more positions, made as the values come."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bigwig.encoding import CELL, compressed, narrowed
from phylotools.io.bigwig.index import BLOCK, place_tree

_CELLS_PER_BLOCK = 512


class ZoomLevel:
    """Summaries of one width, compressed into a file of their own as they come."""

    def __init__(self, width: int, folder: Path) -> None:
        self.width, self._folder = width, folder
        self._pending = np.empty(0, dtype=CELL)
        self._unwritten = np.empty(0, dtype=CELL)
        self._blocks: list[NDArray[np.void]] = []
        self._file: IO[bytes] | None = None
        self.n_cells = self.n_bytes = 0

    def add(self, cells: NDArray[np.void]) -> NDArray[np.void]:
        """Take finer summaries, in order; returns those of this width that are now complete."""
        merged = _merged(np.concatenate([self._pending, cells]), self.width)
        self._pending = merged[-1:]
        return self._keep(merged[:-1])

    def finish(self) -> NDArray[np.void]:
        """Nothing follows: what was pending is complete."""
        last = self._keep(self._pending)
        self._flush(1)
        return last

    def _keep(self, cells: NDArray[np.void]) -> NDArray[np.void]:
        self.n_cells += len(cells)
        self._unwritten = np.concatenate([self._unwritten, cells])
        self._flush(_CELLS_PER_BLOCK)
        return cells

    def _flush(self, least: int) -> None:
        while len(self._unwritten) >= least:
            part, self._unwritten = np.split(self._unwritten, [_CELLS_PER_BLOCK])
            text = compressed(part.tobytes())
            first, last = part[0], part[-1]
            entry = (first["contig"], first["start"], last["contig"], last["end"])
            self._blocks.append(np.array([(*entry, self.n_bytes, len(text))], dtype=BLOCK))
            if self._file is None:
                # Without a name: nothing stays behind after a kill.
                self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            self._file.write(text)
            self.n_bytes += len(text)

    def write(self, out: BinaryIO) -> tuple[int, int]:
        """Append summaries and index to a bigWig; returns where the two begin."""
        data_at = out.tell()
        out.write(struct.pack("<I", self.n_cells))
        if self._file is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, out, 1 << 20)
        blocks = np.concatenate([np.empty(0, dtype=BLOCK), *self._blocks])
        blocks["offset"] += np.uint64(data_at + 4)
        index_at = out.tell()
        out.write(place_tree(blocks, index_at, index_at, _CELLS_PER_BLOCK))
        return data_at, index_at

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _merged(cells: NDArray[np.void], width: int) -> NDArray[np.void]:
    """Summaries that lie in one interval of a grid as one."""
    if not len(cells):
        return cells
    places = cells["contig"].astype(np.uint64) << np.uint64(32) | cells["start"] // width
    firsts = np.concatenate([[0], np.flatnonzero(places[1:] != places[:-1]) + 1])
    if len(firsts) == len(cells):
        return cells
    merged = cells[firsts]
    merged["end"] = cells["end"][np.append(firsts[1:], len(cells)) - 1]
    merged["n"] = np.add.reduceat(cells["n"], firsts)
    merged["min"] = np.minimum.reduceat(cells["min"], firsts)
    merged["max"] = np.maximum.reduceat(cells["max"], firsts)
    for name in ("sum", "sum_squares"):
        merged[name] = narrowed(np.add.reduceat(cells[name].astype(np.float64), firsts))
    return merged
