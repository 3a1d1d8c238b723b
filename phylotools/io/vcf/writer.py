"""Variant records out: VCF text, bgzip VCF or BCF; whole files with an index, or a stream."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np

from phylotools.errors import OutputError, UsageError
from phylotools.io.bgzf import BgzfWriter
from phylotools.io.files import atomic_path, naming_output
from phylotools.io.indexes import POSITION_INDEXES, make_index
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


class VariantSink:
    """Where finished VCF lines go; use `open_variant_output`."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._last: tuple[bytes, int] = (b"", 0)
        self._seen: set[bytes] = set()
        self.is_sorted = True
        self.highest_position = 0

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
        if not len(records):
            return
        positions = records.positions
        self.highest_position = max(self.highest_position, int(positions.max()))
        if not self.is_sorted:
            return
        firsts = positions[records.run_starts].tolist()
        for contig, first in zip(records.run_names, firsts, strict=True):
            last_contig, last_position = self._last
            if contig != last_contig:
                self.is_sorted &= contig not in self._seen
                self._seen.add(contig)
            elif first < last_position:
                self.is_sorted = False
            self._last = (contig, -1)
        falls = np.flatnonzero(np.diff(positions) < 0) + 1
        self.is_sorted &= bool(np.isin(falls, records.run_starts).all())
        self._last = (records.run_names[-1], int(positions[-1]))


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
    is_stream = path == "-" or (os.path.exists(path) and not os.path.isfile(path))
    if write_index and (is_stream or output_type == "v"):
        raise UsageError("--write-index needs a compressed output file (-o OUT.vcf.gz or OUT.bcf)")
    if is_stream:
        with _open_stream(path) as raw, _encoder(raw, output_type, threads, path) as stream:
            yield VariantSink(stream)
        return
    indexes = () if output_type == "v" else POSITION_INDEXES
    with atomic_path(path, force=force, indexes=indexes) as temporary:
        with open(temporary, "wb") as raw, _encoder(raw, output_type, threads, path) as stream:
            sink = VariantSink(stream)
            yield sink
        if output_type != "v" and write_index is not False:
            _make_index(temporary, path, output_type, sink, is_required=write_index is True)


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
def _encoder(raw: BinaryIO, output_type: str, threads: int, path: str) -> Iterator[IO[bytes]]:
    if output_type == "v":
        yield raw
    elif output_type == "z":
        with BgzfWriter(raw, threads=threads) as writer:
            yield writer  # type: ignore[misc]
            writer.finish()
    else:
        with bcf.encoder(raw, path) as stream:
            yield stream


def _make_index(
    temporary: Path, path: str, output_type: str, sink: VariantSink, *, is_required: bool
) -> None:
    """Index a finished temporary file, beside it, if it can be indexed.

    Raises
    ------
    OutputError
        If it cannot be indexed and the index is required.
    """
    if not sink.is_sorted:
        _report_no_index(path, "the records are not sorted", is_required)
        return
    kind = "bcf" if output_type == "b" else "vcf"
    try:
        make_index(temporary, kind, longest_contig=sink.highest_position)
    except ValueError as error:
        _report_no_index(path, str(error), is_required)


def _report_no_index(path: str, reason: str, is_required: bool) -> None:
    if is_required:
        raise OutputError(
            f"{path}: {reason}, so there can be no index; sort it first (bcftools sort), or leave "
            "out --write-index"
        )
    logger.warning("%s: %s, so there is no index", path, reason)
