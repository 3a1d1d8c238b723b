"""Blocked gzip (BGZF) onto any binary stream, so that a pipe gets it as well as a file."""

from __future__ import annotations

import io
import struct
import zlib
from typing import BinaryIO

from phylotools.io.files import BGZF_EOF

#: Uncompressed bytes a block, as bgzip chooses: any 64 KiB deflate output then fits the format.
BLOCK_SIZE = 0xFF00
#: htslib's default; the format gains little from more.
_LEVEL = 6
#: gzip header with the BC extra field (SAM specification, section 4.1); the block size follows.
_BLOCK_HEADER = bytes.fromhex("1f8b08040000000000ff060042430200")
_BLOCK_OVERHEAD = len(_BLOCK_HEADER) + 2 + 8


class BgzfWriter(io.RawIOBase):
    """Compress what is written into BGZF blocks; `close` ends the file but not the stream.

    Parameters
    ----------
    raw : BinaryIO
        Where the blocks go; stays open.
    """

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self._pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pending += data
        if len(self._pending) >= BLOCK_SIZE:
            n_whole = len(self._pending) // BLOCK_SIZE * BLOCK_SIZE
            view = memoryview(bytes(self._pending[:n_whole]))
            for start in range(0, n_whole, BLOCK_SIZE):
                self._raw.write(compress_block(view[start : start + BLOCK_SIZE]))
            del self._pending[:n_whole]
        return len(data)

    def finish(self) -> None:
        """Write what is pending and the end marker, without which the file counts as truncated."""
        if self._pending:
            self._raw.write(compress_block(bytes(self._pending)))
            self._pending.clear()
        self._raw.write(BGZF_EOF)


def compress_block(data: bytes | memoryview) -> bytes:
    """One BGZF block.

    Parameters
    ----------
    data : bytes
        At most `BLOCK_SIZE` bytes.

    Returns
    -------
    bytes
    """
    checksum = struct.pack("<II", zlib.crc32(data), len(data))
    for level in (_LEVEL, 0):
        deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
        body = deflate.compress(data) + deflate.flush()
        if len(body) + _BLOCK_OVERHEAD <= 0x10000:
            break
    size = struct.pack("<H", len(body) + _BLOCK_OVERHEAD - 1)
    return _BLOCK_HEADER + size + body + checksum
