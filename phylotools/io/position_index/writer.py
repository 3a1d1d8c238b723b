"""Bgzip text that is written together with the notes of which its index is made."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from phylotools.io.bgzf import BgzfWriter, block_sizes, compress_blocks, inflated
from phylotools.io.position_index.builder import IndexBuilder, IndexPart, join_parts
from phylotools.io.position_index.encoding import encode_index
from phylotools.io.position_index.lines import LineKind


@dataclass(frozen=True)
class IndexedBlocks:
    """Whole BGZF blocks, without an end marker, and the notes on their lines."""

    blocks: bytes
    part: IndexPart


def compress_lines(text: bytes, kind: LineKind, *, fast: bool = False) -> IndexedBlocks:
    """Whole lines as blocks that may be joined with others: for threads, and for pieces of a job.

    Parameters
    ----------
    text : bytes
        Whole lines; those of a header among them.
    kind : LineKind
    fast : bool
        See `phylotools.io.bgzf.compress_block`.
    """
    builder = IndexBuilder(kind)
    builder.add_text(text)
    blocks = compress_blocks(text, fast=fast)
    builder.add_blocks(blocks)
    return IndexedBlocks(blocks, builder.part())


def notes_of_blocks(blocks: bytes | memoryview, kind: LineKind, path: str) -> IndexPart:
    """Notes on blocks that stand already; inflates them.

    Parameters
    ----------
    blocks : bytes-like
        Whole lines in whole blocks.
    kind : LineKind
    path : str
        For messages.

    Raises
    ------
    InputError
        If a block is damaged.
    """
    builder = IndexBuilder(kind)
    at = 0
    for size in block_sizes(blocks)[:, 1].tolist():
        builder.add_text(inflated(bytes(blocks[at : at + size]), path))
        at += size
    builder.add_blocks(blocks)
    return builder.part()


class IndexedTextWriter(io.RawIOBase):
    """Compress text into BGZF and take notes for its index; `finish` ends the file.

    Parameters
    ----------
    raw : BinaryIO
        Where the blocks go; stays open.
    kind : LineKind
    threads, has_seams
        See `BgzfWriter`.
    """

    def __init__(
        self, raw: BinaryIO, kind: LineKind, *, threads: int = 1, has_seams: bool = False
    ) -> None:
        self._raw = raw
        self._kind = kind
        self._builder = IndexBuilder(kind)
        self._parts: list[IndexPart] = []
        noted = cast(BinaryIO, _Noted(self))
        self._bgzf = BgzfWriter(noted, threads=threads, has_seams=has_seams)

    def writable(self) -> bool:
        return True

    def write(self, text: bytes | memoryview) -> int:  # type: ignore[override]
        """Write text, cut anywhere."""
        self._builder.add_text(text)
        return self._bgzf.write(text)

    def write_blocks(self, blocks: bytes | memoryview, part: IndexPart) -> None:
        """Write blocks that were made elsewhere, and take over the notes on them."""
        self.add_part(part)
        self._raw.write(blocks)

    def copy_blocks(self, copy: Callable[[BinaryIO], object], part: IndexPart) -> None:
        """The same of blocks that a callable puts into the stream that it gets."""
        self.add_part(part)
        copy(self._raw)

    def add_part(self, part: IndexPart) -> None:
        """Take over the notes on blocks that the caller writes to `raw` itself, next."""
        self._bgzf.flush_blocks()
        self._parts += [self._builder.part(), part]
        self._builder = IndexBuilder(self._kind)

    def put(self, blocks: bytes) -> None:
        """Write blocks of the text that came through `write`."""
        self._builder.add_blocks(blocks)
        self._raw.write(blocks)

    def finish(self) -> None:
        """Write what is pending and the end marker."""
        self._bgzf.finish()
        self._parts.append(self._builder.part())
        self.close()

    def close(self) -> None:
        """End the threads; what was not finished stays a file that counts as truncated."""
        self._bgzf.close()
        super().close()

    def part(self) -> IndexPart:
        """The notes on the whole file, once it is finished."""
        return join_parts(self._parts, self._kind)


class _Noted(io.RawIOBase):
    """The stream of a `BgzfWriter` whose blocks are noted."""

    def __init__(self, writer: IndexedTextWriter) -> None:
        self._writer = writer

    def writable(self) -> bool:
        return True

    def write(self, blocks: bytes) -> int:  # type: ignore[override]
        self._writer.put(blocks)
        return len(blocks)


def write_index(data: Path, part: IndexPart, *, longest_contig: int = 0) -> None:
    """Write the index of a file under its name and a suffix.

    Parameters
    ----------
    data : Path
    part : IndexPart
        Of the whole file.
    longest_contig : int
        See `encode_index`.

    Raises
    ------
    ValueError
        If there can be none; says why.
    OSError
    """
    index = encode_index(part, longest_contig=longest_contig)
    with open(f"{os.fspath(data)}{index.suffix}", "wb") as handle:
        handle.write(index.data)
