"""Places in the text of a file, and the text between two of them.

A place is a byte of a plain file, or a virtual offset of a bgzip file: the offset of a block << 16
and an offset in its text. Places rise with the text, so that a file can be cut at them and its
parts be read apart.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from phylotools.errors import InputError
from phylotools.io.bgzf import block_size, find_block, read_blocks
from phylotools.io.files import (
    BGZF_EOF,
    GZIP_MAGIC,
    NO_END_MARKER,
    cannot_read,
    inflating,
    open_regular,
    truncated,
)

#: How the bytes of a file are stored.
PLAIN, BGZIP, STREAM = "plain", "bgzip", "stream"
_READ = 1 << 20
_WITHIN = (1 << 16) - 1


def storage_of(path: str) -> str:
    """`PLAIN` or `BGZIP` for a regular file that can be cut; `STREAM` for anything else.

    Raises
    ------
    InputError
        If the file cannot be opened, or is a bgzip file without its end marker.
    """
    if path == "-":
        return STREAM
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return STREAM
        with open(path, "rb") as handle:
            head = handle.read(18)
            if not head.startswith(GZIP_MAGIC):
                return PLAIN
            if block_size(head) is None:
                return STREAM
            handle.seek(max(0, os.fstat(handle.fileno()).st_size - len(BGZF_EOF)))
            if handle.read() != BGZF_EOF:
                raise truncated(path, NO_END_MARKER)
            return BGZIP
    except OSError as error:
        raise cannot_read(path, error) from error


def open_text(
    path: str, storage: str, spans: Iterable[tuple[int, int | None]]
) -> io.BufferedReader:
    """Text between places, decompressed; one stretch behind the other.

    Parameters
    ----------
    path : str
    storage : {'plain', 'bgzip'}
    spans : iterable of (int, int or None)
        Begin and end of each; None is the end of the file.

    Raises
    ------
    InputError
        If the file cannot be read; while reading, if it is damaged.
    """
    handle = open_regular(path)
    pieces = _bgzip_pieces if storage == BGZIP else _plain_pieces
    text = itertools.chain.from_iterable(pieces(path, *span) for span in spans)
    return io.BufferedReader(PieceReader(text, handle), _READ)


def stored_offset(place: int, storage: str) -> int:
    """The byte of the file, as it is stored, that a place lies at or within a block from."""
    return place >> 16 if storage == BGZIP else place


def next_line(path: str, storage: str, at: int) -> int | None:
    """The place of the first line that begins behind a newline at or after a byte of the file.

    Parameters
    ----------
    path : str
    storage : {'plain', 'bgzip'}
    at : int
        Byte of the file as it is stored.

    Returns
    -------
    int or None
        None where there is none, or the file is damaged.
    """
    with open_regular(path) as handle, contextlib.suppress(InputError, OSError):
        if storage == PLAIN:
            handle.seek(at)
            for piece in iter(lambda: handle.read(_READ), b""):
                found = piece.find(b"\n") + 1
                if found:
                    return at + found
                at += len(piece)
            return None
        begin = find_block(handle, at)
        for block, text in () if begin is None else read_blocks(handle, begin, path):
            found = text.find(b"\n") + 1
            if 0 < found <= _WITHIN:
                return block << 16 | found
    return None


class TextPlaces:
    """Text of a file from its beginning, and the places of what was read.

    Parameters
    ----------
    path : str
    storage : {'plain', 'bgzip'}
    """

    def __init__(self, path: str, storage: str) -> None:
        self._path, self._storage = path, storage
        #: Where the text of each block begins, and the block in the file.
        self._begins: list[int] = []
        self._blocks: list[int] = []

    def pieces(self) -> Iterator[bytes]:
        """The text, some at once.

        Raises
        ------
        InputError
            If the file cannot be read or is damaged.
        """
        with open_regular(self._path) as handle:
            if self._storage == PLAIN:
                yield from iter(lambda: handle.read(_READ), b"")
                return
            n_read = 0
            for block, text in read_blocks(handle, 0, self._path):
                self._begins.append(n_read)
                self._blocks.append(block)
                n_read += len(text)
                yield text

    def place(self, offset: int) -> int | None:
        """The place of a byte of the text that was read; None if a virtual offset has none."""
        if self._storage == PLAIN:
            return offset
        number = bisect.bisect_right(self._begins, offset) - 1
        within = offset - self._begins[number]
        return self._blocks[number] << 16 | within if within <= _WITHIN else None


def _plain_pieces(path: str, begin: int, end: int | None) -> Iterator[bytes]:
    with open_regular(path) as handle:
        handle.seek(begin)
        left = 1 << 62 if end is None else end - begin
        while left > 0 and (piece := handle.read(min(_READ, left))):
            left -= len(piece)
            yield piece


def _bgzip_pieces(path: str, begin: int, end: int | None) -> Iterator[bytes]:
    first, last = begin >> 16, None if end is None else end >> 16
    n_before = begin & _WITHIN
    with open_regular(path) as handle:
        # Whole blocks by the reader of streams, which takes whatever gzip such a file may hold too.
        if last is None or last > first:
            source = io.BufferedReader(_Stretch(handle, first, last), _READ)
            with inflating(source, path, is_bgzf=last is None) as text:
                _ = text.read(n_before)
                yield from iter(lambda: text.read(_READ), b"")
            n_before = 0
    n_within = 0 if end is None else end & _WITHIN
    if last is not None and n_within:
        with open_regular(path) as handle:
            source = io.BufferedReader(_Stretch(handle, last, None), _READ)
            with inflating(source, path, is_bgzf=False) as text:
                yield text.read(n_within)[n_before:]


class _Stretch(io.RawIOBase):
    """Bytes of a file from one to before another, None being its end."""

    def __init__(self, handle: BinaryIO, begin: int, end: int | None) -> None:
        self._handle = handle
        self._handle.seek(begin)
        self._left = 1 << 62 if end is None else end - begin

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._handle.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class PieceReader(io.RawIOBase):
    """Bytes of an iterator, as a raw stream; closes what they are read from."""

    def __init__(self, pieces: Iterator[bytes | memoryview], handle: BinaryIO) -> None:
        self._pieces = pieces
        self._handle = handle
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._piece = memoryview(piece)
        count = min(len(buffer), len(self._piece))
        buffer[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        return count

    def close(self) -> None:
        self._handle.close()
        super().close()
