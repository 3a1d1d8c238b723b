"""Variant records out: VCF text, bgzip VCF or BCF; whole files with an index, or a stream."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from phylotools.errors import OutputError, UsageError
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.files import atomic_path, naming_output
from phylotools.io.indexes import POSITION_INDEXES, make_bcf_index
from phylotools.io.position_index.lines import LineKind
from phylotools.io.position_index.writer import IndexedTextWriter, write_index
from phylotools.io.seamed_text import StoredRun
from phylotools.io.vcf import bcf
from phylotools.io.vcf.records import RecordTable

logger = logging.getLogger("phylotools")

#: Suffix -> output type, as bcftools names them.
TYPE_OF_SUFFIX = {".vcf": "v", ".vcf.gz": "z", ".vcf.bgz": "z", ".bcf": "b"}


def choose_output_type(path: str, requested: str | None) -> str:
    """``v``, ``z`` or ``b``: as asked for, else from the suffix, else ``v``.

    Raises
    ------
    UsageError
        If a compressed suffix is unknown, or contradicts what was asked for.
    """
    lower = path.lower()
    by_suffix = next(
        (kind for suffix, kind in TYPE_OF_SUFFIX.items() if lower.endswith(suffix)), None
    )
    if requested and by_suffix and requested != by_suffix:
        raise UsageError(
            f"-O {requested} contradicts the suffix of {path}; leave one of the two out"
        )
    return requested or by_suffix or "v"


@dataclass
class RecordOrder:
    """Whether records are sorted: those of a contig together, their positions rising.

    Attributes
    ----------
    is_sorted : bool
    contigs : list of str
        In the order in which they turn up.
    first, last : int
        Position of the first and of the last record, 1-based.
    highest : int
        Position.
    """

    is_sorted: bool = True
    contigs: list[str] = field(default_factory=list)
    first: int = 0
    last: int = 0
    highest: int = 0

    def __post_init__(self) -> None:
        self._known = set(self.contigs)

    def add(self, records: RecordTable) -> None:
        """Go on with more records."""
        if not len(records):
            return
        positions = records.positions
        stops = [*records.run_starts[1:].tolist(), len(records)]
        falls = np.flatnonzero(np.diff(positions) < 0) + 1
        is_sorted = bool(np.isin(falls, records.run_starts).all())
        runs = zip(records.run_names, records.run_starts.tolist(), stops, strict=True)
        for name, start, stop in runs:
            self._add_run(
                name.decode("utf-8", "surrogateescape"),
                int(positions[start]),
                int(positions[stop - 1]),
            )
        self.is_sorted &= is_sorted
        self.highest = max(self.highest, int(positions.max()))

    def join(self, other: RecordOrder) -> None:
        """Go on with the records of another part, which come behind these."""
        if not other.contigs:
            return
        self._add_run(other.contigs[0], other.first, other.first)
        for name in other.contigs[1:]:
            self._add_run(name, 0, 0)
        self.last = other.last
        self.is_sorted &= other.is_sorted
        self.highest = max(self.highest, other.highest)

    def _add_run(self, contig: str, first: int, last: int) -> None:
        if not self.contigs:
            self.first = first
        if self.contigs and contig == self.contigs[-1]:
            self.is_sorted &= first >= self.last
        elif contig in self._known:
            self.is_sorted = False
        else:
            self.contigs.append(contig)
            self._known.add(contig)
        self.last = last


class VariantSink:
    """Where finished VCF lines go; use `open_variant_output`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.order = RecordOrder()

    def write_header(self, data: bytes) -> None:
        """Write the header, once, first."""
        self._stream.write(data)

    def write_records(self, text: bytes | memoryview, records: RecordTable) -> None:
        """Write record lines.

        Parameters
        ----------
        text : bytes-like
            Whole lines.
        records : RecordTable
            Where they stand, to notice what cannot be indexed.
        """
        self._stream.write(text)
        self.order.add(records)

    def write_part(self, runs: Iterable[StoredRun], order: RecordOrder) -> None:
        """Write the lines of a part that was made apart.

        Parameters
        ----------
        runs : iterable of StoredRun
            Text, and blocks where the output is bgzip.
        order : RecordOrder
            Of the part's records.
        """
        for run in runs:
            if isinstance(self._stream, IndexedTextWriter) and run.is_blocks:
                self._stream.copy_blocks(run.copy_to, run.index_part())
            elif run.is_blocks:
                assert isinstance(self._stream, BgzfWriter)
                self._stream.write_blocks(run.copy_to)
            else:
                for text in run.pieces():
                    self._stream.write(text)
        self.order.join(order)


@contextlib.contextmanager
def open_variant_output(
    path: str,
    output_type: str,
    *,
    write_index: bool | None = None,
    force: bool = False,
    threads: int = 1,
) -> Iterator[VariantSink]:
    """Yield a sink for VCF lines; on success the file appears whole, then its index.

    Parameters
    ----------
    path : str
        ``-`` is stdout.
    output_type : {'v', 'z', 'b'}
    write_index : bool, optional
        By default a compressed file gets an index if its records are sorted; True requires one.
    force : bool
        Replace an existing output and its index.
    threads : int
        That compress, where the output is bgzip.

    Raises
    ------
    OutputError
        If the output exists and `force` is false, or the records cannot be written as BCF.
    UsageError
        If an index is asked for where there can be none.
    """
    if write_index:
        check_can_have_index(path, output_type)
    if _is_stream(path):
        with (
            _open_stream(path) as raw,
            _encoder(raw, output_type, threads, path, is_indexed=False) as stream,
        ):
            yield VariantSink(stream)
        return
    is_indexed = output_type != "v" and write_index is not False
    indexes = () if output_type == "v" else POSITION_INDEXES
    with atomic_path(path, force=force, indexes=indexes) as temporary:
        with (
            open(temporary, "wb") as raw,
            _encoder(raw, output_type, threads, path, is_indexed=is_indexed) as stream,
        ):
            sink = VariantSink(stream)
            yield sink
        if is_indexed:
            _make_index(temporary, path, stream, sink.order, is_required=write_index is True)


def check_can_have_index(path: str, output_type: str) -> None:
    """Raise `UsageError` if an output can have no index."""
    if _is_stream(path) or output_type == "v":
        raise UsageError("--write-index needs a compressed output file (-o OUT.vcf.gz or OUT.bcf)")


def _is_stream(path: str) -> bool:
    return path == "-" or (os.path.exists(path) and not os.path.isfile(path))


@contextlib.contextmanager
def _open_stream(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        stream = open(path, "wb")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror}") from error
    with naming_output(path), stream:
        yield stream


@contextlib.contextmanager
def _encoder(
    raw: BinaryIO, output_type: str, threads: int, path: str, *, is_indexed: bool
) -> Iterator[IO[bytes]]:
    if output_type == "v":
        yield raw
    elif output_type == "z" and is_indexed:
        with IndexedTextWriter(raw, LineKind.VCF, threads=threads, has_seams=True) as noted:
            yield noted  # type: ignore[misc]
            noted.finish()
    elif output_type == "z":
        with BgzfWriter(raw, threads=threads, has_seams=True) as writer:
            yield writer  # type: ignore[misc]
            writer.finish()
    else:
        with bcf.encoder(raw, path) as stream:
            yield stream


def _make_index(
    temporary: Path, path: str, stream: IO[bytes], order: RecordOrder, *, is_required: bool
) -> None:
    """Index a finished temporary file, beside it, if it can be indexed.

    Raises
    ------
    OutputError
        If it cannot be indexed and the index is required.
    """
    if not order.is_sorted:
        _report_no_index(path, "the records are not sorted", is_required)
        return
    try:
        if isinstance(stream, IndexedTextWriter):
            write_index(temporary, stream.part(), longest_contig=order.highest)
        else:
            make_bcf_index(temporary)
    except ValueError as error:
        _report_no_index(path, str(error), is_required)


def _report_no_index(path: str, reason: str, is_required: bool) -> None:
    if is_required:
        raise OutputError(
            f"{path}: {reason}, so there can be no index; sort it first (bcftools sort), or leave "
            "out --write-index"
        )
    logger.warning("%s: %s, so there is no index", path, reason)
