"""The reader of an alignment's format."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Protocol

from phylotools.io.alignment.formats import alignment_format
from phylotools.io.alignment.maf import MafReader
from phylotools.io.alignment.rows import RowTable
from phylotools.io.alignment.spans import STREAM, Span, storage_of
from phylotools.io.files import open_input

#: Text that is scanned to find the first rows.
_FIRST_PIECE = 1 << 16


class TableReader(Protocol):
    """What every reader is: an iterable of tables that counts the text it reads."""

    n_bytes: int

    def __iter__(self) -> Iterator[RowTable]: ...


def is_maf(path: str) -> bool:
    """Whether a regular file is MAF, which can be cut; False for a stream, which is not touched."""
    if path == "-" or storage_of(path) == STREAM:
        return False
    with open_input(path) as handle:
        return alignment_format(handle, path) == "maf"


def open_tables(handle: io.BufferedReader, span: Span, *, first_only: bool = False) -> TableReader:
    """Rows of an alignment in whichever format it is.

    Parameters
    ----------
    handle : BufferedReader
        Decompressed bytes of the span; not read from yet.
    span : Span
    first_only : bool
        Only the first table is wanted, and it may be small.

    Raises
    ------
    InputError
        If it is no alignment, or a damaged one.
    """
    path = span.path
    # Only MAF is cut, and a span may hold no block: nothing to be told from its first bytes.
    kind = alignment_format(handle, path) if span.is_whole else "maf"
    # The other formats are compiled only where they are read.
    if kind == "taf":
        from phylotools.io.alignment.taf import TafReader

        return TafReader(handle, path)
    if kind == "fasta":
        from phylotools.io.alignment.multi_fasta import MultiFastaReader

        return MultiFastaReader(handle, path)
    return MafReader(handle, path, piece=_FIRST_PIECE) if first_only else MafReader(handle, path)
