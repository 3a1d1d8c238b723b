"""Parts of a file of variants that can be read apart, in the order of the file.

Lines belong to the part in whose bytes they begin. Records of a BCF and rows of a table whose
quoted cells hold line ends are found by reading the file once. Each part is read as if the file's
header stood before it.
"""

from __future__ import annotations

import bisect
import contextlib
import io
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phylotools.errors import InputError
from phylotools.io.delimited import DelimitedText
from phylotools.io.files import open_input
from phylotools.io.indexes import CSI, POSITION_INDEXES
from phylotools.io.places import (
    BGZIP,
    STREAM,
    PieceReader,
    TextPlaces,
    next_line,
    open_text,
    storage_of,
    stored_offset,
)
from phylotools.io.variant_table import ParquetRows, TextRows
from phylotools.io.vcf import bcf
from phylotools.io.vcf.index import read_index
from phylotools.io.vcf.reader import VariantStream, open_variants
from phylotools.io.vcf.regions import RegionFilter, usable_index

#: What is cut: lines, records of a BCF, rows of a table that may hold line ends, those of Parquet;
#: or nothing, as of a stream.
LINES, RECORDS, ROWS, PARQUET, WHOLE = "lines", "records", "rows", "parquet", "whole"
_LENGTHS = struct.Struct("<II")
_READ = 1 << 20
#: About what a row of Parquet takes where it names a variant alone.
_ROW_BYTES = 32


@dataclass(frozen=True)
class Part:
    """A part of a file of variants.

    Attributes
    ----------
    begin, end : int
        Places (`io.places`), or rows of Parquet. The first begins at 0; None is the end.
    """

    begin: int = 0
    end: int | None = None

    @property
    def is_whole(self) -> bool:
        return self.begin == 0 and self.end is None


@dataclass(frozen=True)
class Layout:
    """How a file of variants can be cut.

    Attributes
    ----------
    kind : str
        `LINES`, `RECORDS`, `ROWS`, `PARQUET` or `WHOLE`.
    storage : str
        As `storage_of` says.
    head : int
        Place up to which every part reads first: the header, and of a table its first row too,
        which says whether rows have names.
    """

    kind: str
    storage: str = STREAM
    head: int = 0


def layout_of(path: str, source: VariantStream) -> Layout:
    """How a file can be cut.

    Parameters
    ----------
    path : str
    source : VariantStream
        Of the whole file.

    Raises
    ------
    InputError
        If it is a bgzip file without its end marker.
    """
    if isinstance(source.rows, ParquetRows):
        return Layout(PARQUET if os.path.isfile(path) else WHOLE)
    storage = storage_of(path)
    if storage == STREAM:
        return Layout(WHOLE)
    with open_input(path) as stream:
        start = stream.peek(len(bcf.MAGIC))[: len(bcf.MAGIC)]
    if start == bcf.MAGIC:
        return Layout(RECORDS, storage)
    return Layout(LINES if source.rows is None else ROWS, storage)


def cut(
    path: str, source: VariantStream, part_bytes: int, wanted: RegionFilter | None = None
) -> tuple[Layout, list[Part]]:
    """Parts of a file, of about equal size.

    Parameters
    ----------
    path : str
    source : VariantStream
        Of the whole file; nothing is taken from it.
    part_bytes : int
        Of the file as it is stored.
    wanted : RegionFilter, optional
        Records that are asked for: others may be left out where an index says where they lie.

    Returns
    -------
    layout : Layout
    parts : list of Part
        One, where the file cannot be cut.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    layout = layout_of(path, source)
    whole = [Part()]
    if layout.kind == WHOLE:
        return layout, whole
    size = os.path.getsize(path)
    if layout.kind == PARQUET:
        assert isinstance(source.rows, ParquetRows)
        n_rows = source.rows.n_rows
        return layout, _between(0, range(0, n_rows, max(1, part_bytes // _ROW_BYTES)))
    n_parts = -(-size // max(1, part_bytes))
    if n_parts < 2:
        return layout, whole
    head = _head(path, layout, source)
    if head is None:
        return layout, whole
    layout = Layout(layout.kind, layout.storage, head)
    if wanted is not None and layout.kind in (LINES, RECORDS) and layout.storage == BGZIP:
        found = _indexed_parts(path, layout, source, wanted, part_bytes)
        if found is not None:
            return layout, found
    first = stored_offset(head, layout.storage)
    places = [first + (size - first) * k // n_parts for k in range(1, n_parts)]
    cuts: Iterator[int | None]
    if layout.kind == RECORDS:
        cuts = _record_cuts(path, layout, places)
    elif layout.kind == ROWS and _may_hold_line_ends(path, source):
        cuts = _row_cuts(path, layout, places)
    else:
        cuts = (next_line(path, layout.storage, at) for at in places)
    return layout, _between(head, [place for place in cuts if place is not None])


def _between(head: int, cuts: Sequence[int]) -> list[Part]:
    """Parts that end at these places, those of them that lie behind the head."""
    ends = sorted({place for place in cuts if place > head})
    return [Part(begin, end) for begin, end in zip([0, *ends], [*ends, None], strict=True)]


def _indexed_parts(
    path: str, layout: Layout, source: VariantStream, wanted: RegionFilter, part_bytes: int
) -> list[Part] | None:
    """Parts that hold all records asked for, by the file's index; None without one to be used."""
    contigs = [name.encode("utf-8", "surrogateescape") for name in source.header.contigs]
    suffixes = (CSI,) if layout.kind == RECORDS else POSITION_INDEXES
    name = usable_index(path, suffixes, contigs)
    index = None if name is None else read_index(name)
    if index is None:
        return None
    begins, spans = [], []
    for contig, chunks in zip(index.names or contigs, index.chunks, strict=False):
        bounds = np.array([(chunk.start, chunk.stop) for chunk in chunks], dtype=np.int64)
        is_wanted = wanted.overlaps(contig, *bounds.reshape(-1, 2).T)
        spans += [(chunks[i].begin, chunks[i].end) for i in np.flatnonzero(is_wanted).tolist()]
        begins += [chunk.begin for chunk in chunks]
    # A record begins at each of these: there long stretches are cut.
    begins = sorted(set(begins))
    parts: list[Part] = []
    for begin, end in sorted(spans):
        last = parts[-1] if parts else None
        if last is not None and last.end is not None and begin >> 16 <= _near(last, part_bytes):
            parts[-1] = Part(last.begin, max(last.end, end))
        else:
            parts.append(Part(begin, end))
    cut_parts = [piece for part in parts for piece in _cut_at(part, begins, part_bytes)]
    return cut_parts or [Part(layout.head, layout.head)]


def _near(part: Part, part_bytes: int) -> int:
    """The byte of the file up to which what follows a part is read with it."""
    assert part.end is not None
    return (part.end >> 16) + part_bytes // 4


def _cut_at(part: Part, begins: list[int], part_bytes: int) -> Iterator[Part]:
    """A part cut at some of the places where records begin, where it is longer than asked for."""
    assert part.end is not None
    begin = part.begin
    at = bisect.bisect_right(begins, begin)
    while at < len(begins) and begins[at] < part.end:
        if (begins[at] >> 16) - (begin >> 16) >= part_bytes:
            yield Part(begin, begins[at])
            begin = begins[at]
        at += 1
    yield Part(begin, part.end)


@contextlib.contextmanager
def open_part(path: str, layout: Layout, part: Part) -> Iterator[VariantStream]:
    """Open a part of a file, as `open_variants` opens the whole of it.

    Numbers of lines are those of the file in whatever `InputError` leaves the context.

    Raises
    ------
    InputError
        As for `open_variants`; also within the context, with its line.
    """
    if part.is_whole or layout.kind == PARQUET:
        with open_variants(path) as source:
            if isinstance(source.rows, ParquetRows):
                source.rows.choose_rows(part.begin, part.end)
            yield source
        return
    spans: list[tuple[int, int | None]] = [(part.begin, part.end)]
    if part.begin:
        spans.insert(0, (0, layout.head))
    with (
        _numbered(path, layout, part),
        open_variants(path, text=open_text(path, layout.storage, spans)) as source,
    ):
        if part.begin and isinstance(source.rows, TextRows):
            source.rows.table.drop_first_rows()
        yield source


@contextlib.contextmanager
def _numbered(path: str, layout: Layout, part: Part) -> Iterator[None]:
    """Give errors the lines of the file, which it takes a look at what lies before to know."""
    try:
        yield
    except InputError as error:
        if error.line is None or error.path != path or not part.begin:
            raise
        n_head = _n_lines(path, layout, [(0, layout.head)])
        if error.line <= n_head:
            raise
        n_skipped = _n_lines(path, layout, [(layout.head, part.begin)])
        raise InputError(
            error.problem, path=path, line=error.line + n_skipped, remedy=error.remedy
        ) from error


def _n_lines(path: str, layout: Layout, spans: list[tuple[int, int | None]]) -> int:
    with open_text(path, layout.storage, spans) as stream:
        if layout.kind != RECORDS:
            return sum(piece.count(b"\n") for piece in iter(lambda: stream.read(_READ), b""))
        if spans[0][0] == 0:
            with open_variants(path) as source:  # as bcftools prints it
                return source.n_header_lines
        n_records = 0
        while len(lengths := stream.read(_LENGTHS.size)) == _LENGTHS.size:
            stream.read(sum(_LENGTHS.unpack(lengths)))
            n_records += 1
        return n_records


def _head(path: str, layout: Layout, source: VariantStream) -> int | None:
    """The place behind what every part reads first; None if there is none, or nothing behind it."""
    places = TextPlaces(path, layout.storage)
    with contextlib.suppress(InputError):
        if layout.kind == RECORDS:
            text = b""
            for piece in places.pieces():
                text += piece
                if len(text) >= bcf.START_SIZE and len(text) > bcf.header_end(text):
                    return places.place(bcf.header_end(text))
            return None
        n_lines = source.n_header_lines
        if isinstance(source.rows, TextRows):
            n_lines = source.rows.table.first_row_end or 0
        n_read = 0
        if not n_lines:
            return None
        for piece in places.pieces():
            n_here = piece.count(b"\n")
            if n_here < n_lines:
                n_lines -= n_here
                n_read += len(piece)
                continue
            end = -1
            for _ in range(n_lines):
                end = piece.index(b"\n", end + 1)
            return places.place(n_read + end + 1)
    return None


def _may_hold_line_ends(path: str, source: VariantStream) -> bool:
    """Whether a row of a table may go on in the next line."""
    assert isinstance(source.rows, TextRows)
    if source.rows.table.delimiter == b"\t":
        return False
    with open_input(path) as stream:
        return any(b'"' in piece for piece in iter(lambda: stream.read(_READ), b""))


def _row_cuts(path: str, layout: Layout, wanted: list[int]) -> Iterator[int | None]:
    """The first row that begins at or behind each place, by reading the table."""
    places = TextPlaces(path, layout.storage)
    offsets: dict[int, int] = {}

    def lines() -> Iterator[tuple[int, bytes]]:
        text = io.BufferedReader(PieceReader(places.pieces(), io.BytesIO()), _READ)
        offset = 0
        for number, line in enumerate(text, start=1):
            offsets[number] = offset
            offset += len(line)
            yield number, line

    with contextlib.suppress(InputError):  # Who reads that part tells of it.
        rows = DelimitedText(path, lines()).rows()
        for row in rows:
            place = places.place(offsets[row.line])
            for number in [number for number in offsets if number < row.line]:
                del offsets[number]
            while wanted and place is not None:
                if stored_offset(place, layout.storage) < wanted[0]:
                    break
                wanted = wanted[1:]
                yield place
            if not wanted:
                return


def _record_cuts(path: str, layout: Layout, wanted: list[int]) -> Iterator[int | None]:
    """The first record of a BCF that begins at or behind each place, by the lengths of records."""
    places = TextPlaces(path, layout.storage)
    text, begin = b"", 0  # what of the text is held, and where it begins
    at = None
    with contextlib.suppress(InputError):
        for piece in places.pieces():
            text += piece
            if at is None:
                if len(text) < bcf.START_SIZE:
                    continue
                at = bcf.header_end(text)
            while at + _LENGTHS.size <= begin + len(text):
                place = places.place(at)
                while wanted and place is not None:
                    if stored_offset(place, layout.storage) < wanted[0]:
                        break
                    wanted = wanted[1:]
                    yield place
                if not wanted:
                    return
                at += _LENGTHS.size + sum(_LENGTHS.unpack_from(text, at - begin))
            n_done = min(at - begin, len(text))
            text, begin = text[n_done:], begin + n_done
