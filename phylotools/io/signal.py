"""Numbers along a genome out: bigWig, the track format of genome browsers."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import OutputError
from phylotools.io.files import atomic_path

#: Begins a bigWig and, once its writer has finished, ends it.
_MAGIC = bytes.fromhex("26fc8f88")
#: Runs of positions longer than this on average are written as steps without their positions.
_LONG_RUN = 8
#: libBigWig ends the process when the disk is full, so it must not come to that.
_LEAST_FREE = 64 << 20


class BigWigWriter:
    """Values of single positions, in order; use `open_bigwig`."""

    def __init__(self, handle: Any, contigs: Mapping[str, int], temporary: Path, path: str) -> None:
        self._handle, self._temporary, self._path = handle, temporary, path
        self._rank = {contig: rank for rank, contig in enumerate(contigs)}
        self._last = (-1, -1)
        self.n_positions = 0

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
        OutputError
            If the disk is nearly full.
        """
        known = np.isfinite(values)
        positions, values = positions[known], values[known].astype(np.float32)
        if not len(positions):
            return
        rank = self._rank[contig]
        if (rank, int(positions[0])) <= self._last or (np.diff(positions) <= 0).any():
            raise ValueError(f"positions of {contig} are not in the order of the track")
        self._last = (rank, int(positions[-1]))
        if shutil.disk_usage(self._temporary.parent).free < _LEAST_FREE:
            raise OutputError(f"{self._path}: cannot write: the disk is nearly full")
        breaks = np.flatnonzero(np.diff(positions) > 1) + 1
        if len(positions) < _LONG_RUN * (len(breaks) + 1):
            self._handle.addEntries(contig, positions, values=values, span=1)
        else:
            starts = positions[np.concatenate([[0], breaks])].tolist()
            for start, run in zip(starts, np.split(values, breaks), strict=True):
                self._handle.addEntries(contig, start, values=run, span=1, step=1)
        self.n_positions += len(positions)

    def check(self) -> None:
        """Refuse a file that was not written to its end; the library does not say so itself."""
        with open(self._temporary, "rb") as handle:
            handle.seek(-len(_MAGIC), os.SEEK_END)
            is_whole = handle.read() == _MAGIC
        if not is_whole:
            raise OutputError(f"{self._path}: cannot write: the disk is full")


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
        If the file exists and `force` is false, or cannot be written.
    """
    import pyBigWig

    with atomic_path(path, force=force) as temporary:
        # The file is there and can be written: pyBigWig crashes on one that cannot.
        handle = pyBigWig.open(str(temporary), "w")
        try:
            handle.addHeader(list(contigs.items()))
            writer = BigWigWriter(handle, contigs, temporary, path)
            yield writer
        except RuntimeError as error:
            raise OutputError(f"{path}: cannot write: {error}") from error
        finally:
            handle.close()
        writer.check()
