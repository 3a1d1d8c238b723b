"""Only the records within regions: which they are, and how an index leads to them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.files import (
    BGZF_EOF,
    GZIP_MAGIC,
    NO_END_MARKER,
    open_input,
    truncated,
)
from phylotools.io.indexes import CSI, POSITION_INDEXES
from phylotools.io.intervals import overlaps
from phylotools.io.regions import Region, RegionSet
from phylotools.io.vcf import bcf
from phylotools.io.vcf.index import disagreement
from phylotools.io.vcf.records import LineBlock, RecordTable

logger = logging.getLogger("phylotools")

_BLOCK_BYTES = 1 << 20


class RegionFilter:
    """Keeps the records that overlap regions, as ``bcftools view -r`` does.

    A record spans its REF, or reaches to INFO/END.

    Parameters
    ----------
    regions : RegionSet
    contig_of : callable
        From CHROM to the contig as the regions name it.
    """

    def __init__(self, regions: RegionSet, contig_of: Callable[[bytes], str]) -> None:
        self.regions = regions
        self._contig_of = contig_of

    def of(self, chrom: bytes) -> list[tuple[int, int]]:
        """Start and end of the regions on what the file calls `chrom`, in order."""
        return [(start, end) for start, end in self.regions.on(self._contig_of(chrom)).tolist()]

    def overlaps(
        self, chrom: bytes, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Which spans of what the file calls `chrom`, 0-based half-open, overlap a region."""
        return overlaps(self.regions.on(self._contig_of(chrom)), starts, ends)

    def select(self, records: RecordTable) -> RecordTable:
        """The records that overlap a region."""
        span_ends = records.span_ends()
        kept = np.zeros(len(records), dtype=bool)
        stops = [*records.run_starts[1:].tolist(), len(records)]
        starts = records.run_starts.tolist()
        for name, start, stop in zip(records.run_names, starts, stops, strict=True):
            begins = records.positions[start:stop] - 1
            kept[start:stop] = self.overlaps(name, begins, span_ends[start:stop])
        return records.subset(kept)


def indexed_blocks(
    path: str, wanted: RegionFilter, contigs: Iterable[str], line_end: bytes
) -> Iterator[LineBlock] | None:
    """Lines of the wanted records, and perhaps a few more, by the index of a file.

    Parameters
    ----------
    path : str
    wanted : RegionFilter
    contigs : iterable of str
        That the header declares.
    line_end : bytes
        Of the header.

    Returns
    -------
    iterator of LineBlock or None
        None if the file has no index that can be used: then it must be read from its beginning.
    """
    is_bcf = os.path.isfile(path) and _is_bcf(path)
    encoded = [name.encode("utf-8", "surrogateescape") for name in contigs]
    index = usable_index(path, (CSI,) if is_bcf else POSITION_INDEXES, encoded)
    if index is None:
        return None
    if is_bcf:
        regions = (
            Region(name, start, end)
            for name in contigs
            for start, end in wanted.of(name.encode("utf-8", "surrogateescape"))
        )
        return _in_blocks(bcf.region_lines(path, regions))
    return _in_blocks(_vcf_lines(path, index, wanted, line_end))


def usable_index(path: str, suffixes: Sequence[str], contigs: Sequence[bytes]) -> str | None:
    """The index of a bgzip file, if it has one that is not older and of this file; else None."""
    if path == "-" or not os.path.isfile(path):
        return None
    index = next((path + end for end in suffixes if os.path.exists(path + end)), None)
    if index is None:
        logger.info("%s has no index: it is read as a whole to find the regions", path)
        return None
    with open(path, "rb") as handle:
        if handle.read(2) != GZIP_MAGIC:
            return None
        handle.seek(-len(BGZF_EOF), os.SEEK_END)
        if handle.read() != BGZF_EOF:
            raise truncated(path, NO_END_MARKER)
    if os.stat(index).st_mtime < os.stat(path).st_mtime:
        reason: str | None = "it is older"
    else:
        reason = disagreement(path, index, contigs)
    if reason is None:
        return index
    logger.warning(
        "%s is not the index of %s (%s): the whole file is read; make it anew with "
        "`bcftools index -f`",
        index,
        path,
        reason,
    )
    return None


def _is_bcf(path: str) -> bool:
    with open_input(path) as stream:
        return stream.peek(len(bcf.MAGIC)).startswith(bcf.MAGIC)


def _vcf_lines(path: str, index: str, wanted: RegionFilter, line_end: bytes) -> Iterator[bytes]:
    import pysam

    verbosity = pysam.set_verbosity(0)
    try:
        # Latin-1 maps bytes to letters one to one, whatever the file holds.
        with pysam.TabixFile(
            os.path.abspath(path), index=os.path.abspath(index), encoding="latin-1"
        ) as table:
            for name in table.contigs:
                reached = -1
                for start, end in wanted.of(name.encode("latin-1")):
                    for line in table.fetch(name, start, end):
                        # A record that overlaps the region before came with that one.
                        if int(line.split("\t", 2)[1]) - 1 >= reached:
                            yield line.encode("latin-1") + line_end
                    reached = end
    except (OSError, ValueError, IndexError) as error:
        raise InputError(
            "the compressed file or its index is truncated or damaged",
            path=path,
            remedy="copy it again, then make the index anew with `bcftools index`",
        ) from error
    finally:
        pysam.set_verbosity(verbosity)


def _in_blocks(lines: Iterable[bytes]) -> Iterator[LineBlock]:
    pending: list[bytes] = []
    size = 0
    for line in lines:
        pending.append(line)
        size += len(line)
        if size >= _BLOCK_BYTES:
            yield LineBlock(b"".join(pending), 0)
            pending, size = [], 0
    if pending:
        yield LineBlock(b"".join(pending), 0)
