"""Rows of vectors on disk, written in one order and read in another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from phylotools.io.closing import Closing
from phylotools.io.files import naming_output


class StagedRows(Closing):
    """float32 rows in a temporary file that has no name: even a kill leaves nothing.

    Parameters
    ----------
    folder : str
        Where the file lies.
    width : int
        Channels of a row.
    output : str
        What a full disk is reported for.
    """

    def __init__(self, folder: str, width: int, output: str) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._width, self._output = width, output

    def write(self, rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Put rows in their places.

        Parameters
        ----------
        rows : int64 array [K]
        values : float32 array [K, width]
        """
        if not len(rows):
            return
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        bounds = [0, *breaks.tolist(), len(rows)]
        data = np.ascontiguousarray(values, dtype=np.float32).data.cast("B")
        row_bytes = self._width * 4
        with naming_output(self._output):
            for begin, end in pairwise(bounds):
                self._put(data[begin * row_bytes : end * row_bytes], int(rows[begin]) * row_bytes)

    def _put(self, data: memoryview, place: int) -> None:
        while data:
            n_written = os.pwrite(self._file.fileno(), data, place)
            data, place = data[n_written:], place + n_written

    def read(self, begin: int, end: int) -> NDArray[np.float32]:
        """Rows begin to end, float32 [end - begin, width]."""
        row_bytes = self._width * 4
        data = bytearray((end - begin) * row_bytes)
        view, place = memoryview(data), begin * row_bytes
        while view:
            n_read = os.preadv(self._file.fileno(), [view], place)
            if not n_read:
                raise EOFError("rows that were never written")
            view, place = view[n_read:], place + n_read
        return np.frombuffer(data, dtype=np.float32).reshape(-1, self._width)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows in any order, float32 [K, width]."""
        order = np.argsort(rows, kind="stable")
        bounds = [0, *(np.flatnonzero(np.diff(rows[order]) != 1) + 1).tolist(), len(rows)]
        values = np.empty((len(rows), self._width), dtype=np.float32)
        for begin, end in pairwise(bounds):
            run = order[begin:end]
            values[run] = self.read(int(rows[run[0]]), int(rows[run[-1]]) + 1)
        return values

    def blocks(self, n_rows: int, block_bytes: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield all rows in order: the first row's number, and float32 [K, width]."""
        step = max(1, block_bytes // (self._width * 4))
        for begin in range(0, n_rows, step):
            yield begin, self.read(begin, min(begin + step, n_rows))

    def close(self) -> None:
        self._file.close()
