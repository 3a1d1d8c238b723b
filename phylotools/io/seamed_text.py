"""Text of a part of a file as it lies in a piece: compressed from seam to seam where it will be.

Blocks between two seams are those of the finished file, whatever stands before and after, so that
they are compressed where the part is made, and copied into the file. Only what lies before a
part's first seam and behind its last one waits, as text.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from phylotools.io.bgzf import BgzfWriter
from phylotools.io.position_index.builder import IndexBuilder, IndexPart
from phylotools.io.position_index.lines import LineKind
from phylotools.io.seams import Seams

#: What an item of a piece is: text, finished blocks, or what the index must know of the blocks
#: before it.
TEXT, BLOCKS, NOTES = range(3)
ENTRY: np.dtype[Any] = np.dtype([("offset", "<i8"), ("size", "<i8"), ("kind", "u1")])
#: Text without a seam that is held in memory; what is longer is compressed at the end.
_LONGEST_HELD = 64 << 20
#: Of a copy between two files.
_COPIED = 1 << 22


class SeamedText:
    """Put text into a piece, item by item.

    Parameters
    ----------
    add : callable
        Appends an item: its bytes, and what they are.
    is_compressed : bool
        Whether the file will be bgzip; else all items are text.
    lines : LineKind, optional
        What its lines are, where it may get an index.
    threads : int
        That compress.
    """

    def __init__(
        self,
        add: Callable[[bytes, int], object],
        *,
        is_compressed: bool,
        lines: LineKind | None,
        threads: int,
    ) -> None:
        self._add = add
        self._seams = Seams() if is_compressed else None
        self._lines = lines
        self._notes = self._new_notes()
        self._writer = BgzfWriter(cast(BinaryIO, _Blocks(self._add_blocks)), threads=threads)
        self._has_blocks = False
        self._is_at_seam = False
        self._held: list[bytes] = []
        self._n_held = 0

    def write(self, data: bytes | memoryview) -> None:
        """Append text."""
        if self._seams is None:
            self._add(bytes(data), TEXT)
            return
        start = 0
        for end in self._seams.find(data):
            self._hold(data[start:end])
            self._end_at_seam()
            start = end
        self._hold(data[start:])

    def finish(self) -> None:
        """Put what waits into the piece."""
        self._spill()
        self._writer.close()

    def close(self) -> None:
        """End the threads."""
        self._writer.close()

    def _hold(self, data: bytes | memoryview) -> None:
        # What is viewed may be written over.
        self._held.append(bytes(data))
        self._n_held += len(data)
        if self._n_held > _LONGEST_HELD:
            self._spill()
            self._is_at_seam = False

    def _end_at_seam(self) -> None:
        if self._is_at_seam:
            for data in self._held:
                if self._notes is not None:
                    self._notes.add_text(data)
                self._writer.write(data)
            self._writer.end_block()
            self._held, self._n_held = [], 0
        else:
            self._spill()
        self._is_at_seam = True

    def _spill(self) -> None:
        """Put text into the piece that is not between two seams."""
        self._writer.flush_blocks()
        if self._has_blocks and self._notes is not None:
            self._add(self._notes.part().to_bytes(), NOTES)
            self._notes = self._new_notes()
        self._has_blocks = False
        for data in self._held:
            if data:
                self._add(data, TEXT)
        self._held, self._n_held = [], 0

    def _add_blocks(self, blocks: bytes) -> None:
        if self._notes is not None:
            self._notes.add_blocks(blocks)
        self._has_blocks = True
        self._add(blocks, BLOCKS)

    def _new_notes(self) -> IndexBuilder | None:
        return None if self._lines is None else IndexBuilder(self._lines)


class _Blocks(io.RawIOBase):
    """Hands finished blocks on."""

    def __init__(self, add: Callable[[bytes], object]) -> None:
        self._add = add

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._add(data)
        return len(data)


@dataclass(frozen=True)
class StoredRun:
    """What lies together in the data of a piece: text, or blocks.

    Attributes
    ----------
    path : Path
    offset, size : int
    is_blocks : bool
    notes : tuple of int, or None
        Offset and size of what the index must know of blocks.
    """

    path: Path
    offset: int
    size: int
    is_blocks: bool
    notes: tuple[int, int] | None = None

    def index_part(self) -> IndexPart:
        """What the index must know of the blocks."""
        assert self.notes is not None
        notes = StoredRun(self.path, *self.notes, is_blocks=False)
        return IndexPart.from_bytes(b"".join(notes.pieces()))

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, some at once."""
        with open(self.path, "rb", buffering=0) as handle:
            handle.seek(self.offset)
            left = self.size
            while left:
                data = handle.read(min(_COPIED, left))
                if not data:
                    raise EOFError(self.path)
                left -= len(data)
                yield data

    def copy_to(self, stream: BinaryIO) -> None:
        """Put its bytes into a stream; the kernel copies them where it can."""
        n_copied = 0
        with contextlib.suppress(AttributeError, OSError, io.UnsupportedOperation):
            n_copied = self._copied_by_kernel(stream)
        left = StoredRun(self.path, self.offset + n_copied, self.size - n_copied, self.is_blocks)
        for data in left.pieces():
            stream.write(data)

    def _copied_by_kernel(self, stream: BinaryIO) -> int:
        """How many of its first bytes a system call has copied; not every system has one."""
        stream.flush()
        n_copied = 0
        with open(self.path, "rb", buffering=0) as handle, contextlib.suppress(OSError):
            while n_copied < self.size:
                n = os.copy_file_range(
                    handle.fileno(), stream.fileno(), self.size - n_copied, self.offset + n_copied
                )
                if not n:
                    break
                n_copied += n
        return n_copied


def stored_runs(path: Path, index: NDArray[Any]) -> Iterator[StoredRun]:
    """The runs of a piece, in order.

    Parameters
    ----------
    path : Path
        Of its data.
    index : structured array
        Of `ENTRY`.
    """
    starts = np.flatnonzero(np.diff(index["kind"].astype(np.int64), prepend=-1)).tolist()
    bounds = itertools.pairwise([*starts, len(index)])
    places = [(int(index["offset"][a]), int(index["size"][a:b].sum())) for a, b in bounds]
    kinds = [int(index["kind"][start]) for start in starts]
    for number, (place, kind) in enumerate(zip(places, kinds, strict=True)):
        if kind == TEXT:
            yield StoredRun(path, *place, is_blocks=False)
        elif kind == BLOCKS:
            has_notes = kinds[number + 1 : number + 2] == [NOTES]
            notes = places[number + 1] if has_notes else None
            yield StoredRun(path, *place, is_blocks=True, notes=notes)
