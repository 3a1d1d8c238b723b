"""Blocked gzip (BGZF): written onto any binary stream, read from the middle of a file."""

from __future__ import annotations

import io
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

# libdeflate, as in htslib: twice zlib's speed at this level, and smaller files.
import numpy as np
from deflate import deflate_compress
from isal import isal_zlib
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.files import (
    BGZF_EOF,
    INFLATE_ERROR,
    NO_END_MARKER,
    FileBytes,
    truncated,
)
from phylotools.io.seams import Seams

#: Uncompressed bytes a block, as bgzip chooses: any 64 KiB deflate output then fits the format.
BLOCK_SIZE = 0xFF00
#: htslib's default; the format gains little from more.
_LEVEL = 6
_FAST_LEVEL = 1
#: gzip header with the BC extra field (SAM specification, section 4.1); the block size follows.
_BLOCK_HEADER = bytes.fromhex("1f8b08040000000000ff060042430200")
#: Blocks under way for each thread, so that none waits for the slowest.
_BLOCKS_AHEAD = 8
_BLOCK_OVERHEAD = len(_BLOCK_HEADER) + 2 + 8
_LONGEST_BLOCK = 1 << 16
_MAGIC, _EXTRA_FIELD = _BLOCK_HEADER[:4], _BLOCK_HEADER[10:16]
_HEADER_SIZE = len(_BLOCK_HEADER) + 2


class BgzfWriter(io.RawIOBase):
    """Compress what is written into BGZF blocks; `finish` ends the file but not the stream.

    Parameters
    ----------
    raw : BinaryIO
        Where the blocks go; stays open.
    threads : int
        That compress while the caller does other things; with 1, the caller's own does. The
        blocks are the same.
    has_seams : bool
        Whether blocks end at `seams` too, so that parts of the text can be compressed apart.
    """

    def __init__(self, raw: BinaryIO, *, threads: int = 1, has_seams: bool = False) -> None:
        self._raw = raw
        self._seams = Seams() if has_seams else None
        self._pending = bytearray()
        self._pool = ThreadPoolExecutor(threads, "compress") if threads > 1 else None
        self._ahead: deque[Future[bytes]] = deque()
        self._most_ahead = _BLOCKS_AHEAD * threads

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        start = 0
        for end in () if self._seams is None else self._seams.find(data):
            self._add(data[start:end])
            self.end_block()
            start = end
        self._add(data[start:] if start else data)
        return len(data)

    def write_blocks(self, copy: Callable[[BinaryIO], object]) -> None:
        """Have finished blocks put into the stream; what was written before ends at a seam.

        Parameters
        ----------
        copy : callable
            Gets the stream.
        """
        if self._pending:
            raise ValueError("a block is open")
        self._drain(0)
        copy(self._raw)

    def _add(self, data: bytes | memoryview) -> None:
        if len(self._pending) + len(data) < BLOCK_SIZE:
            self._pending += data
            return
        whole = b"".join((self._pending, data))
        end = len(whole) // BLOCK_SIZE * BLOCK_SIZE
        view = memoryview(whole)
        for start in range(0, end, BLOCK_SIZE):
            self._put(view[start : start + BLOCK_SIZE])
        self._pending = bytearray(view[end:])

    def end_block(self) -> None:
        """Let what comes next begin a block."""
        if self._pending:
            self._put(bytes(self._pending))
            self._pending.clear()

    def _put(self, data: memoryview | bytes) -> None:
        if self._pool is None:
            self._raw.write(compress_block(data))
            return
        self._ahead.append(self._pool.submit(compress_block, data))
        self._drain(self._most_ahead)

    def _drain(self, n_left: int) -> None:
        """Write finished blocks, in order, until so few are under way."""
        while len(self._ahead) > n_left:
            self._raw.write(self._ahead.popleft().result())

    def flush_blocks(self) -> None:
        """Write what is pending, so that what comes next begins a block."""
        self.end_block()
        self._drain(0)

    def finish(self) -> None:
        """Write what is pending and the end marker, without which the file counts as truncated."""
        self.flush_blocks()
        self._raw.write(BGZF_EOF)
        self.close()

    def close(self) -> None:
        """End the threads; what was not finished stays a file that counts as truncated."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        super().close()


def compress_block(data: bytes | memoryview, *, fast: bool = False) -> bytes:
    """One BGZF block.

    Parameters
    ----------
    data : bytes
        At most `BLOCK_SIZE` bytes.
    fast : bool
        Three times the speed; tables of numbers become an eighth larger.

    Returns
    -------
    bytes
    """
    checksum = struct.pack("<II", isal_zlib.crc32(data), len(data))
    body = bytes(deflate_compress(data, _FAST_LEVEL if fast else _LEVEL))
    if len(body) + _BLOCK_OVERHEAD > _LONGEST_BLOCK:
        stored = zlib.compressobj(0, zlib.DEFLATED, -15)
        body = stored.compress(data) + stored.flush()
    size = struct.pack("<H", len(body) + _BLOCK_OVERHEAD - 1)
    return _BLOCK_HEADER + size + body + checksum


def compress_blocks(text: bytes, *, fast: bool = False) -> bytes:
    """Text of any length as BGZF blocks, without an end marker; see `compress_block`."""
    view = memoryview(text)
    starts = range(0, len(view), BLOCK_SIZE)
    return b"".join(compress_block(view[start : start + BLOCK_SIZE], fast=fast) for start in starts)


def find_block(handle: BinaryIO, at: int) -> int | None:
    """Offset of the first BGZF block at or after an offset; None if there is none.

    What looks like a block's header within compressed data is told apart by the header that must
    follow where the block says it ends.

    Parameters
    ----------
    handle : BinaryIO
        A regular file.
    at : int
    """
    handle.seek(at)
    # A block is at most 64 KiB long, so that one begins within this window.
    window = handle.read(_LONGEST_BLOCK + len(_BLOCK_HEADER) + 2)
    found = window.find(_MAGIC)
    while found >= 0:
        size = block_size(window[found : found + _HEADER_SIZE])
        if size is not None and found < _LONGEST_BLOCK:
            handle.seek(at + found + size)
            following = handle.read(_HEADER_SIZE)
            if not following or block_size(following) is not None:
                return at + found
        found = window.find(_MAGIC, found + 1)
    return None


def block_size(header: bytes) -> int | None:
    """Size of a BGZF block, from its first 18 bytes; None if they begin no block."""
    if len(header) < _HEADER_SIZE or header[:4] != _MAGIC or header[10:16] != _EXTRA_FIELD:
        return None
    return int(struct.unpack("<H", header[16:18])[0]) + 1


def block_sizes(blocks: bytes | memoryview) -> NDArray[np.int64]:
    """Sizes of blocks that stand one behind the other.

    Parameters
    ----------
    blocks : bytes-like
        Whole blocks.

    Returns
    -------
    int64 array [B, 2]
        Bytes of text, and bytes of the block.
    """
    sizes = []
    at = 0
    while at < len(blocks):
        size = struct.unpack_from("<H", blocks, at + 16)[0] + 1
        sizes.append((struct.unpack_from("<I", blocks, at + size - 4)[0], size))
        at += size
    return np.array(sizes, dtype=np.int64).reshape(-1, 2)


def read_blocks(handle: BinaryIO, at: int, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield offset and text of each BGZF block from an offset to the end of the file.

    Raises
    ------
    InputError
        If a block is damaged, or the end marker is missing.
    """
    handle.seek(at)
    last = b""
    while header := handle.read(_HEADER_SIZE):
        size = block_size(header)
        last = header + (b"" if size is None else handle.read(max(size - _HEADER_SIZE, 0)))
        yield at, inflated(last, path)
        at += len(last)
    if last != BGZF_EOF:
        raise truncated(path, NO_END_MARKER)


def inflated(block: bytes, path: str) -> bytes:
    """Text of a whole BGZF block.

    Raises
    ------
    InputError
        If it is damaged.
    """
    size = block_size(block)
    if size is None or size < _BLOCK_OVERHEAD or len(block) != size:
        raise truncated(path)
    checksum, length = struct.unpack("<II", block[-8:])
    body = block[_HEADER_SIZE:-8]
    try:
        text = isal_zlib.decompress(body, wbits=-15, bufsize=max(length & 0x1FFFF, 1))
    except INFLATE_ERROR as error:
        raise truncated(path) from error
    if len(text) != length or isal_zlib.crc32(text) != checksum:
        raise truncated(path)
    return text


class BgzfBytes:
    """Decompressed bytes of a BGZF file by their place; otherwise as `FileBytes`.

    Parameters
    ----------
    path : str
    index : str, optional
        A ``.gzi`` of the file; without it, the headers of all blocks are read.

    Raises
    ------
    InputError
        If the file is truncated, or the index is not of this file.
    """

    def __init__(self, path: str, index: str | None = None) -> None:
        self.path = path
        self._file = FileBytes(path)
        self._last: tuple[int, bytes] = (-1, b"")
        try:
            known = np.zeros((1, 2), dtype=np.int64)
            if index is not None:
                known = np.concatenate([known, _read_gzi(index)])
            more = np.array([*self._blocks_from(*known[-1].tolist())], dtype=np.int64)
            table = np.concatenate([known, more.reshape(-1, 2)])
            if (np.diff(table, axis=0) < [[1, 0]]).any():
                raise self._foreign_index()
        except BaseException:
            self._file.close()
            raise
        self._place, self._begin = table.T.copy()

    def __len__(self) -> int:
        return int(self._begin[-1])

    def read(self, start: int, end: int) -> bytes:
        """Bytes from `start` up to `end`, cut at the end of the text.

        Raises
        ------
        InputError
            If a block is damaged or does not stand where the index says.
        """
        end = min(end, len(self))
        if start >= end:
            return b""
        first = int(np.searchsorted(self._begin, start, side="right")) - 1
        last = int(np.searchsorted(self._begin, end, side="left"))
        text = b"".join(map(self._block, range(first, last)))
        offset = int(self._begin[first])
        return text[start - offset : end - offset]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _block(self, number: int) -> bytes:
        held, text = self._last
        if held != number:
            place, following = self._place[number : number + 2].tolist()
            block = self._file.read(place, following)
            if block_size(block) != len(block):
                raise self._foreign_index()
            text = inflated(block, self.path)
            if len(text) != self._begin[number + 1] - self._begin[number]:
                raise self._foreign_index()
            self._last = number, text
        return text

    def _blocks_from(self, place: int, begin: int) -> Iterator[tuple[int, int]]:
        """Places in the file, and in the text, where the blocks after one begin; the ends, last."""
        header, size = self._file.read(place, place + _HEADER_SIZE), len(self._file)
        while True:
            length = block_size(header)
            if length is None or place + length > size:
                raise truncated(self.path)
            place += length
            tail = self._file.read(place - 4, place + _HEADER_SIZE)
            begin += int.from_bytes(tail[:4], "little")
            yield place, begin
            header = tail[4:]
            if not header:
                break
        if self._file.read(size - len(BGZF_EOF), size) != BGZF_EOF:
            raise truncated(self.path, NO_END_MARKER)

    def _foreign_index(self) -> InputError:
        return InputError(
            "the .gzi index does not fit the file",
            path=self.path,
            remedy="make the indexes anew with `samtools faidx`",
        )


def _read_gzi(path: str) -> NDArray[np.int64]:
    """Places of blocks in the file and in the text, int64 [K, 2]; without the first, which is 0."""
    with open(path, "rb") as handle:
        data = handle.read()
    if len(data) < 8 or len(data) != 8 + 16 * int.from_bytes(data[:8], "little"):
        raise InputError("is no .gzi index", path=path, remedy="make it anew")
    return np.frombuffer(data[8:], dtype="<i8").reshape(-1, 2).astype(np.int64)
