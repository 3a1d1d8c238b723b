"""Parts of a MAF file that can be read apart: from one block's start to another's.

A block belongs to the span that holds the line end before it, so that every block is in exactly
one span wherever the file is cut.
"""

from __future__ import annotations

import io
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from phylotools.io.bgzf import find_block, read_blocks
from phylotools.io.files import cannot_read, open_input
from phylotools.io.places import BGZIP, STREAM, PieceReader, storage_of

_BLOCK_START = re.compile(rb"\na[ \t\r\n]")
#: Shorter by one than what `_BLOCK_START` matches.
_OVERLAP = 2
_READ = 1 << 20
_Piece = bytes | memoryview


@dataclass(frozen=True)
class Span:
    """A part of an alignment file.

    Attributes
    ----------
    path : str
    start, end : int
        Bytes of the file as it is stored; `end` may lie beyond the file. Blocks that begin
        within are read whole.
    """

    path: str
    start: int = 0
    end: int = 1 << 62

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole file, which may then be a stream."""
        return self.start == 0 and self.end == 1 << 62


def cut(path: str, length: int) -> list[Span]:
    """Spans of a MAF file of about so many bytes; one span where it cannot be cut.

    Parameters
    ----------
    path : str
    length : int
        Of a plain file; a bgzip file, with about four times as much text, is cut more finely.
    """
    storage = storage_of(path)
    size = 0 if storage == STREAM else os.stat(path).st_size
    length = max(1, length // 4) if storage == BGZIP else length
    if size <= length:
        return [Span(path)]
    n_spans = -(-size // length)
    bounds = [size * index // n_spans for index in range(n_spans)] + [1 << 62]
    return [Span(path, start, end) for start, end in itertools.pairwise(bounds)]


def open_span(span: Span) -> io.BufferedReader:
    """Text of the blocks of a span, decompressed.

    Raises
    ------
    InputError
        If the file cannot be read; while reading, if it is damaged.
    """
    if span.is_whole:
        return open_input(span.path)
    try:
        handle = open(span.path, "rb", buffering=_READ)  # noqa: SIM115 - closed by the reader
    except OSError as error:
        raise cannot_read(span.path, error) from error
    pieces = _bgzip_pieces if storage_of(span.path) == BGZIP else _plain_pieces
    text = _whole_blocks(pieces(handle, span), from_middle=span.start > 0)
    return io.BufferedReader(PieceReader(text, handle), _READ)


def lines_before(span: Span) -> int:
    """Lines of the file that come before the first block of a span."""
    if span.start == 0:
        return 0
    # The text before the span, and of the span what comes before its first block.
    with open_span(Span(span.path, 0, span.start)) as handle:
        return sum(piece.count(b"\n") for piece in iter(lambda: handle.read(_READ), b""))


def _plain_pieces(handle: BinaryIO, span: Span) -> Iterator[tuple[_Piece, bool]]:
    """Text from the start of a span on, and whether it lies beyond the span's end.

    Each piece is overwritten by the next: memory that is taken anew each time costs as much time
    as the reading.
    """
    at = span.start
    handle.seek(at)
    buffer = memoryview(bytearray(_READ))
    while (
        count := handle.readinto(  # type: ignore[attr-defined]
            buffer[: _READ if at >= span.end else min(_READ, span.end - at)]
        )
    ):
        yield buffer[:count], at >= span.end
        at += count


def _bgzip_pieces(handle: BinaryIO, span: Span) -> Iterator[tuple[_Piece, bool]]:
    start = find_block(handle, span.start)
    if start is None:
        return
    for at, text in read_blocks(handle, start, span.path):
        yield text, at >= span.end


def _whole_blocks(pieces: Iterable[tuple[_Piece, bool]], *, from_middle: bool) -> Iterator[_Piece]:
    """Text from the first block that starts in a span to the first that starts beyond it."""
    pieces = iter(pieces)
    inside, beyond = _from_first_block(pieces) if from_middle else (b"", b"")
    if from_middle and not inside and not beyond:
        return
    yield inside
    first: tuple[_Piece, bool] = (b"", True)
    for piece, is_beyond in itertools.chain([first], pieces):
        if not is_beyond:
            yield piece
            continue
        data = beyond + piece
        found = _BLOCK_START.search(data)
        if found is not None:
            yield data[: found.start() + 1]
            return
        beyond = data[max(0, len(data) - _OVERLAP) :]
        yield data[: len(data) - len(beyond)]
    yield beyond


def _from_first_block(pieces: Iterator[tuple[_Piece, bool]]) -> tuple[bytes, bytes]:
    """What is read up to the first block of a span and from it on: inside the span, and beyond.

    Both are empty where no block begins in the span.
    """
    rest, n_inside = b"", 0
    for data, is_beyond in pieces:
        rest += data
        if not is_beyond:
            n_inside = len(rest)
        found = _BLOCK_START.search(rest)
        if found is not None and found.start() < n_inside:
            start = found.start() + 1
            return rest[start : max(n_inside, start)], rest[max(n_inside, start) :]
        n_dropped = max(0, len(rest) - _OVERLAP)
        rest, n_inside = rest[n_dropped:], n_inside - n_dropped
        if n_inside <= 0:
            break
    return b"", b""
