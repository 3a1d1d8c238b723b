"""Tables with one or more lines a position: text, or bgzip with a tabix index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from phylotools.errors import OutputError
from phylotools.io.files import atomic_path, open_text_output
from phylotools.io.indexes import POSITION_INDEXES
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import IndexedTextWriter, write_index

_COMPRESSED = (".gz", ".bgz")


@contextlib.contextmanager
def open_position_table(
    path: str, *, longest_contig: int, force: bool = False, is_bed: bool = False
) -> Iterator[BinaryIO]:
    """Yield a binary handle for text; the file appears whole, then its index.

    The table has the contig in its first column and the 1-based position in its second, is sorted
    within contigs, and begins with lines that start with ``#``. Or it is BED.

    Parameters
    ----------
    path : str
        ``.gz`` or ``.bgz`` is compressed and indexed, anything else is text; ``-`` is stdout.
    longest_contig : int
        In bases; decides between the kinds of index.
    force : bool
        Replace an existing file and its index.
    is_bed : bool

    Raises
    ------
    OutputError
        If a file exists and `force` is false, or cannot be written, or is not sorted.
    """
    if not path.lower().endswith(_COMPRESSED):
        with open_text_output(path, force=force) as handle:
            yield handle
        return
    kind = LineKind.BED if is_bed else LineKind.POSITIONS
    with open_indexed(path, kind, longest_contig=longest_contig, force=force) as writer:
        yield cast(BinaryIO, writer)


@contextlib.contextmanager
def open_indexed(
    path: str,
    kind: LineKind = LineKind.POSITIONS,
    *,
    longest_contig: int,
    force: bool = False,
    threads: int = 1,
) -> Iterator[IndexedTextWriter]:
    """As `open_position_table`, always compressed; blocks may come from elsewhere, with notes.

    Parameters
    ----------
    path : str
        Not ``-``.
    kind : LineKind
    longest_contig : int
    force : bool
    threads : int
        That compress.
    """
    with atomic_path(path, force=force, indexes=POSITION_INDEXES) as temporary:
        with (
            open(temporary, "wb") as raw,
            IndexedTextWriter(raw, kind, threads=threads) as writer,
        ):
            yield writer
            writer.finish()
        try:
            write_index(temporary, writer.part(), longest_contig=longest_contig)
        except ValueError as error:
            raise OutputError(f"{path}: there can be no index: {error}") from error
