"""Tables with one or more lines a position: text, or bgzip with a tabix index."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import BinaryIO, cast

from phylotools.errors import OutputError
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.files import atomic_path, open_text_output
from phylotools.io.indexes import POSITION_INDEXES, make_index

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
        If a file exists and `force` is false, or cannot be written.
    """
    if not path.lower().endswith(_COMPRESSED):
        with open_text_output(path, force=force) as handle:
            yield handle
        return
    with open_indexed(path, longest_contig=longest_contig, force=force, is_bed=is_bed) as raw:
        writer = BgzfWriter(raw)
        yield cast(BinaryIO, writer)
        writer.finish()


@contextlib.contextmanager
def open_indexed(
    path: str, *, longest_contig: int, force: bool = False, is_bed: bool = False
) -> Iterator[BinaryIO]:
    """As `open_position_table`, for BGZF blocks that the caller makes, end marker included."""
    with atomic_path(path, force=force, indexes=POSITION_INDEXES) as temporary:
        with open(temporary, "wb") as raw:
            yield raw
        kind = "bed" if is_bed else "positions"
        try:
            make_index(temporary, kind, longest_contig=longest_contig)
        except ValueError as error:
            raise OutputError(f"{path}: {error}") from error
