"""Sharded zarr v3 arrays, a file at a time: written in order, read anywhere.

The files are those of the codec ``sharding_indexed``: chunks one after the other, then where each
begins and how long it is. docs/store-format.md says why no library reads them here.
"""

from __future__ import annotations

import json
import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from phylotools.store.chunks import DamagedError, columns_of, decode_values, encode_values
from phylotools.store.schema import ArrayLayout

#: Offset and size of a chunk that is not stored.
_ABSENT = (1 << 64) - 1
_ENTRY_BYTES = 16
_CRC = struct.Struct("<I")
#: Shards of one array kept open: few beside the 1,024 files that a process may usually have.
_OPEN_SHARDS = 32


class ShardWriter:
    """Write encoded chunks in order of their index; a context manager.

    Parameters
    ----------
    folder : Path
        Of the store. The array's own folder is made, with its metadata.
    layout : ArrayLayout
    """

    def __init__(self, folder: Path, layout: ArrayLayout) -> None:
        self.layout = layout
        self._folder = folder
        self._shard = -1
        self._last = -1
        self._file: Any = None
        self._index = np.empty((0, 2), dtype="<u8")
        (folder / layout.name).mkdir()
        metadata = json.dumps(layout.metadata(), indent=2)
        (folder / layout.name / "zarr.json").write_text(metadata)

    def append(self, chunk: int, blob: bytes) -> None:
        """Add a chunk; its index must be above those before."""
        assert self._last < chunk
        assert chunk * self.layout.chunk_length < self.layout.length
        self._last = chunk
        shard, slot = divmod(chunk, self.layout.chunks_per_shard)
        if shard != self._shard:
            self.close()
            path = self._folder / self.layout.shard_file(shard)
            self._file = open(path, "xb")  # noqa: SIM115 - `close` completes it
            self._shard = shard
            self._index = np.full((self.layout.chunks_per_shard, 2), _ABSENT, dtype="<u8")
        self._index[slot] = self._file.tell(), len(blob)
        self._file.write(blob)

    def close(self) -> None:
        """Complete the file that is being written."""
        if self._file is None:
            return
        with self._file as file:
            index = self._index.tobytes()
            file.write(index + _CRC.pack(google_crc32c.value(index)))
        self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        elif self._file is not None:
            self._file.close()


class ValueWriter:
    """Write values in order of their position; a context manager, as `ShardWriter`.

    Chunks of which no value was given are not stored; the rest of the others has the fill value.
    """

    def __init__(self, folder: Path, layout: ArrayLayout) -> None:
        self._writer = ShardWriter(folder, layout)
        self._fill = np.dtype(layout.dtype).type(layout.fill_value)
        dtype = np.dtype(layout.dtype).newbyteorder("<")
        self._buffer = np.full(layout.chunk_shape, self._fill, dtype)
        self._chunk = 0
        self._is_empty = True

    def put(self, start: int, values: NDArray[Any]) -> None:
        """Add values from position `start`, which lies after all before."""
        size = len(self._buffer)
        done = 0
        while done < len(values):
            chunk, first = divmod(start + done, size)
            if chunk != self._chunk:
                self._flush()
                self._chunk = chunk
            count = min(size - first, len(values) - done)
            self._buffer[first : first + count] = values[done : done + count]
            self._is_empty = False
            done += count

    def _flush(self) -> None:
        if not self._is_empty:
            self._writer.append(self._chunk, encode_values(self._buffer))
            self._buffer[:] = self._fill
            self._is_empty = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.__exit__(kind)


class ShardReader:
    """Read an array; any number of threads may.

    Parameters
    ----------
    folder : Path
        Of the store.
    layout : ArrayLayout
    required : callable, optional
        Gives sorted, disjoint ranges of rows, int64 [K, 2], the first and that after the last: a
        chunk that one of them touches must be stored, else the store is damaged. By default none.
    """

    def __init__(
        self,
        folder: Path,
        layout: ArrayLayout,
        required: Callable[[], NDArray[np.int64]] = lambda: np.empty((0, 2), np.int64),
    ) -> None:
        self.layout = layout
        self._required = required
        self._folder = folder
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _Shard | None] = OrderedDict()
        self._of_thread = threading.local()

    def read(self, start: int, end: int, *, threads: int = 1) -> NDArray[Any]:
        """Values of rows `start` to `end`; array [end - start, *row].

        Chunks that are not stored, and need not be, have the fill value.

        Parameters
        ----------
        start, end : int
            Within the array.
        threads : int
            Chunks decoded at once. The values do not depend on it.

        Raises
        ------
        DamagedError, OSError
            If a file is damaged, lacks a chunk or cannot be read.
        """
        layout = self.layout
        out = np.empty((end - start, *layout.row), dtype=layout.dtype)
        if not len(out):
            return out
        size = layout.chunk_length

        def read_into(chunk: int) -> None:
            first, last = max(start, chunk * size), min(end, (chunk + 1) * size)
            self._read_part(chunk, first - chunk * size, out[first - start : last - start])

        chunks = range(start // size, -(-end // size))
        if threads < 2 or len(chunks) < 2:
            for chunk in chunks:
                read_into(chunk)
        else:
            with ThreadPoolExecutor(min(threads, len(chunks))) as pool:
                for _ in pool.map(read_into, chunks):
                    pass
        return out

    def read_chunk(self, chunk: int, out: NDArray[Any]) -> bool:
        """Decode one chunk as it is stored.

        Parameters
        ----------
        chunk : int
        out : array [*layout.chunk_shape]
            Contiguous; overwritten.

        Returns
        -------
        bool
            False, and the fill value everywhere, where the chunk is not stored.

        Raises
        ------
        DamagedError, OSError
            If the file is damaged, lacks the chunk or cannot be read.
        """
        number, slot = divmod(chunk, self.layout.chunks_per_shard)
        shard = self._shard(number)
        blob = None if shard is None else shard.chunk(slot)
        if blob is None:
            if self._is_required(chunk):
                raise DamagedError("a chunk is missing")
            out[...] = self.layout.fill_value
            return False
        decode_values(blob, out)
        return True

    def files(self) -> tuple[int, int]:
        """How many files of chunks there are, and their bytes."""
        with os.scandir(self._folder / self.layout.name) as entries:
            sizes = [entry.stat().st_size for entry in entries if entry.name.startswith("c.")]
        return len(sizes), sum(sizes)

    def check_files(self) -> None:
        """Open every file that must be there and check its index of chunks.

        Raises
        ------
        DamagedError, OSError
            If one is missing or damaged, or cannot be read.
        """
        for number in self._required_shards():
            if self._opened(number) is None:
                raise DamagedError("a file is missing")

    def _required_shards(self) -> Iterator[int]:
        ranges = self._required()
        if not len(ranges):
            return
        first, last = (ranges - [0, 1]).T // self.layout.shard_length
        is_apart = first[1:] > last[:-1]
        runs = first[np.append(True, is_apart)], last[np.append(is_apart, True)]
        for begin, end in zip(*(part.tolist() for part in runs), strict=True):
            yield from range(begin, end + 1)

    def _is_required(self, chunk: int) -> bool:
        bounds = self._required().ravel()
        start = chunk * self.layout.chunk_length
        place = int(np.searchsorted(bounds, start, side="right"))
        # Within a range, or before one that begins in the chunk.
        end = start + self.layout.chunk_length
        return place % 2 == 1 or (place < len(bounds) and bool(bounds[place] < end))

    def _read_part(self, chunk: int, first: int, out: NDArray[Any]) -> None:
        is_whole = len(out) == self.layout.chunk_length and not self.layout.is_transposed
        values = out if is_whole else self._scratch()
        is_stored = self.read_chunk(chunk, values)
        if not is_stored:
            out[...] = self.layout.fill_value
        elif self.layout.is_transposed:
            columns_of(values, first, out)
        elif not is_whole:
            out[...] = values[first : first + len(out)]

    def _scratch(self) -> NDArray[Any]:
        # Kept: new memory of this size costs a page fault every 4 KiB.
        if not hasattr(self._of_thread, "values"):
            self._of_thread.values = np.empty(self.layout.chunk_shape, dtype=self.layout.dtype)
        values: NDArray[Any] = self._of_thread.values
        return values

    def _shard(self, number: int) -> _Shard | None:
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
                return self._open[number]
        shard = self._opened(number)
        with self._lock:
            self._open[number] = shard
            # Closed when the last thread that reads from it lets go.
            while len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)
        return shard

    def _opened(self, number: int) -> _Shard | None:
        path = self._folder / self.layout.shard_file(number)
        # Never a pipe, which would be waited for.
        return _Shard(path, self.layout) if path.is_file() else None


class _Shard:
    """One open file with its index."""

    def __init__(self, path: Path, layout: ArrayLayout) -> None:
        n_bytes = layout.chunks_per_shard * _ENTRY_BYTES
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115 - closed with the shard
        limit = os.fstat(self._file.fileno()).st_size - n_bytes - _CRC.size
        if limit < 0:
            raise DamagedError("a file is truncated")
        data = os.pread(self._file.fileno(), n_bytes + _CRC.size, limit)
        if _CRC.pack(google_crc32c.value(data[:n_bytes])) != data[n_bytes:]:
            raise DamagedError("the index of a file is damaged")
        index = np.frombuffer(data, dtype="<u8", count=n_bytes // 8).reshape(-1, 2)
        offset, size = index[:, 0], index[:, 1]
        is_absent = (offset == _ABSENT) & (size == _ABSENT)
        # Twice the chunk is more than any encoder needs for what does not compress.
        fits = (offset <= limit) & (size <= limit - np.minimum(offset, limit))
        fits &= size <= 2 * layout.chunk_bytes + 1024
        if not (fits | is_absent).all():
            raise DamagedError("a chunk lies outside its file")
        self._index = index

    def chunk(self, slot: int) -> bytes | None:
        offset, size = self._index[slot].tolist()
        if offset == _ABSENT:
            return None
        return os.pread(self._file.fileno(), size, offset)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
