"""Genomic intervals, BED files and the many spellings of contig names."""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from phylotools.errors import InputError, shown_path
from phylotools.io.files import open_input

logger = logging.getLogger("phylotools")

#: Far above any contig; keeps coordinates of damaged files within 64-bit arithmetic.
MAX_COORDINATE = 1 << 40
_RANGE = re.compile(r"(?P<contig>.+):(?P<begin>[0-9,]+)(?:-(?P<end>[0-9,]+))?")
_MITOCHONDRION = ("chrM", "MT", "M", "chrMT")
#: A BED line is short; a longer one means that the file is no BED.
_LONGEST_LINE = 1 << 20
_VCF_HEADER = ("##fileformat=VCF", "#CHROM\tPOS\tID")
_ALLELES = re.compile(r"[ACGTNacgtn,.*]+")
_REMEDY = "give BED: contig, start, end, separated by tabs"


@dataclass(frozen=True, order=True)
class Region:
    """An interval of a contig, 0-based and half-open.

    Attributes
    ----------
    contig : str
    start : int
        First position, 0-based.
    end : int
        Position after the last one.
    """

    contig: str
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def __str__(self) -> str:
        """1-based, both ends included, as samtools and bcftools write regions."""
        return f"{self.contig}:{self.start + 1}-{self.end}"


def parse_region(text: str, contigs: Mapping[str, int] | None = None) -> Region:
    """Parse ``contig:begin-end`` (1-based, both ends included).

    Parameters
    ----------
    text : str
        Thousands separators are accepted; contig names may hold colons.
    contigs : mapping of str to int, optional
        Contig name -> length. With it, ``contig`` and ``contig:begin`` reach to the contig's end,
        an end beyond it is cut, and unknown contigs are refused.

    Returns
    -------
    Region

    Raises
    ------
    InputError
        If the text is no region, is empty, or lies outside the given contigs.
    """
    if contigs is not None and text in contigs:
        return Region(text, 0, contigs[text])
    match = _RANGE.fullmatch(text)
    if match is None:
        if contigs is not None:
            raise _unknown_contig(text, text, contigs)
        raise _region_error(text, "is no region")
    begin = _number(match["begin"])
    end = None if match["end"] is None else _number(match["end"])
    contig = match["contig"]
    if contigs is not None:
        if contig not in contigs:
            raise _unknown_contig(text, contig, contigs)
        length = contigs[contig]
        end = length if end is None else min(end, length)
    if begin is None or end is None:
        raise _region_error(text, "is no region")
    if begin < 1 or end < begin or end > MAX_COORDINATE:
        raise _region_error(text, "is empty or lies outside the contig")
    return Region(contig, begin - 1, end)


def resolve_region(text: str, contigs: Mapping[str, int]) -> Region:
    """`parse_region` where the contig may be spelled otherwise; by the contig's own name.

    Raises
    ------
    InputError
        As for `parse_region`.
    """
    lengths = dict(contigs)
    own_name: dict[str, str] = {}
    for name in {text, text.rpartition(":")[0]} - {""}:
        for spelled, contig in resolve_contigs([name], contigs).items():
            lengths[spelled], own_name[spelled] = contigs[contig], contig
    region = parse_region(text, lengths)
    return Region(own_name.get(region.contig, region.contig), region.start, region.end)


def _number(text: str) -> int | None:
    digits = text.replace(",", "")
    return int(digits) if 0 < len(digits) <= 15 else None


def _region_error(text: str, problem: str) -> InputError:
    return InputError(
        f"{text[:80]!r} {problem}", remedy="write contig:begin-end, 1-based, both ends included"
    )


def _unknown_contig(text: str, contig: str, contigs: Mapping[str, int]) -> InputError:
    names = list(itertools.islice(contigs, 4))
    others = " ..." if len(contigs) > len(names) else ""
    return InputError(
        f"{text[:80]!r} names the unknown contig {contig[:80]}",
        remedy=f"write contig or contig:begin-end, 1-based; there are {', '.join(names)}{others}",
    )


def read_bed(path: str | os.PathLike[str]) -> list[Region]:
    """Read the intervals of a BED file, in file order.

    Only the first three columns are used. Comments, ``track`` and ``browser`` lines and empty
    lines are passed over.

    Parameters
    ----------
    path : str or PathLike
        Plain, gzip or bgzip; ``-`` is stdin.

    Returns
    -------
    list of Region
        Empty intervals (start = end) are left out and counted in a warning.

    Raises
    ------
    InputError
        If a line is no BED line, or no interval is left.
    """
    return [region for region, _, _ in bed_rows(os.fspath(path))]


def read_bed_weights(path: str | os.PathLike[str]) -> list[tuple[Region, float]]:
    """Read the intervals of a BED or bedGraph file with the number in their fourth column.

    Parameters
    ----------
    path : str or PathLike
        As for `read_bed`.

    Returns
    -------
    list of (Region, float)
        Weights are finite and not negative.

    Raises
    ------
    InputError
        If a line is no BED line, has no such number, or no interval is left.
    """
    name = os.fspath(path)
    weighted = []
    for region, fields, number in bed_rows(name):
        try:
            weight = float(fields[3])
        except (IndexError, ValueError):
            weight = -1.0
        if not 0 <= weight < math.inf:
            raise InputError(
                "the fourth column is no weight",
                path=name,
                line=number,
                remedy="give contig, start, end and a number from 0 up, separated by tabs",
            )
        weighted.append((region, weight))
    return weighted


def bed_rows(name: str) -> Iterator[tuple[Region, list[str], int]]:
    """Yield the intervals of a BED file with their fields and 1-based line numbers.

    As `read_bed`, which keeps the intervals alone.
    """
    n_found = n_empty = 0
    with open_input(name) as handle:
        number = 0
        while raw := handle.readline(_LONGEST_LINE):
            number += 1
            row = _bed_line(raw, name, number)
            if row is None:
                continue
            if len(row[0]):
                n_found += 1
                yield *row, number
            else:
                n_empty += 1
    if n_empty:
        logger.warning("%s: %d empty intervals (start = end) left out", name, n_empty)
    if not n_found:
        raise InputError("holds no interval", path=name, remedy=_REMEDY)


def _bed_line(raw: bytes, path: str, number: int) -> tuple[Region, list[str]] | None:
    if len(raw) >= _LONGEST_LINE or b"\x00" in raw:
        raise InputError("is no text", path=path, line=number, remedy=_REMEDY)
    if number == 1:
        raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        line = raw.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InputError("is no text", path=path, line=number, remedy=_REMEDY) from None
    if "\r" in line:
        raise InputError(
            "line ends are CR only", path=path, line=number, remedy="convert them: tr '\\r' '\\n'"
        )
    if line.startswith(_VCF_HEADER):
        raise InputError("is VCF, not BED", path=path, line=number, remedy=_REMEDY)
    if not line.strip() or line.startswith("#") or line.split()[0] in ("track", "browser"):
        return None
    fields = line.split("\t") if "\t" in line else line.split()
    if len(fields) < 3:
        raise InputError("fewer than three columns", path=path, line=number, remedy=_REMEDY)
    contig, start_text, end_text = (field.strip() for field in fields[:3])
    if not contig or not _is_coordinate(start_text) or not _is_coordinate(end_text):
        raise InputError(
            f"start {start_text[:40]!r} and end {end_text[:40]!r} must be whole numbers, not "
            "negative, after a contig name",
            path=path,
            line=number,
            remedy=_REMEDY,
        )
    if len(fields) >= 8 and _ALLELES.fullmatch(fields[3]) and _ALLELES.fullmatch(fields[4]):
        # A record whose ID is a number would pass for an interval.
        raise InputError("is VCF, not BED", path=path, line=number, remedy=_REMEDY)
    start, end = int(start_text), int(end_text)
    if end < start:
        raise InputError(
            f"end {end} lies before start {start}", path=path, line=number, remedy=_REMEDY
        )
    return Region(contig, start, end), fields


def _is_coordinate(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12 and int(text) <= MAX_COORDINATE


def choose_regions(
    texts: Iterable[str], bed: str | None, contigs: Mapping[str, int], *, path: str | None = None
) -> list[Region] | None:
    """The regions that options name, on contigs that may be spelled differently.

    Parameters
    ----------
    texts : iterable of str
        ``contig``, ``contig:begin`` or ``contig:begin-end``.
    bed : str, optional
        A BED file.
    contigs : mapping of str to int
        Name -> length of what is read.
    path : str, optional
        Where the contigs come from, for messages.

    Returns
    -------
    list of Region or None
        Disjoint and sorted by name, then position; None where no region is named.

    Raises
    ------
    InputError
        If a region is none, or does not lie within its contig; if a file has no region on any of
        the contigs. Where it has some, others are left out with a warning.
    """
    # Each text by itself: `1` and `chr1` are one contig, but for two contigs of one file.
    sources = [[resolve_region(text, contigs)] for text in texts]
    if bed is not None:
        sources.append(read_bed(bed))
    if not sources:
        return None
    return merge_regions(region for source in sources for region in _within(source, contigs, path))


def _within(
    regions: Sequence[Region], contigs: Mapping[str, int], path: str | None
) -> Iterator[Region]:
    """Regions of one source, on the contigs' own names.

    Those on other contigs are left out and counted, unless all of them are.
    """
    names = resolve_contigs((region.contig for region in regions), contigs)
    missing = dict.fromkeys(region.contig for region in regions if region.contig not in names)
    if missing and names:
        logger.warning(
            "%d of %d regions left out: they are on %s, which %s does not have",
            sum(region.contig in missing for region in regions),
            len(regions),
            ", ".join(list(missing)[:5]) + (" ..." if len(missing) > 5 else ""),
            "the reference" if path is None else shown_path(path),
        )
    for region in regions:
        contig = names.get(region.contig)
        if contig is None and names:
            continue
        if contig is None or region.end > contigs[contig]:
            raise InputError(
                f"{region} does not lie within its contigs",
                path=path,
                remedy="check that regions and coordinates are of one assembly",
            )
        yield Region(contig, region.start, region.end)


def merge_regions(regions: Iterable[Region]) -> list[Region]:
    """The union of regions: disjoint and sorted, touching ones joined, empty ones left out."""
    merged: list[Region] = []
    for region in sorted(region for region in regions if region.start < region.end):
        last = merged[-1] if merged else None
        if last is not None and last.contig == region.contig and region.start <= last.end:
            merged[-1] = Region(last.contig, last.start, max(last.end, region.end))
        else:
            merged.append(region)
    return merged


def resolve_contigs(names: Iterable[str], available: Iterable[str]) -> dict[str, str]:
    """Match contig names that may be spelled differently.

    Tried in turn: the same name, with or without ``chr``, and the names of the mitochondrial
    genome (chrM, MT, M, chrMT). A name that another one matches exactly is not given away again,
    so that ``1`` and ``chr1`` of one file never end on the same contig.

    Parameters
    ----------
    names : iterable of str
        Names to resolve.
    available : iterable of str
        Names to resolve them to.

    Returns
    -------
    dict of str to str
        Only resolved names appear as keys.
    """
    wanted = list(dict.fromkeys(names))
    free = dict.fromkeys(available)
    resolved = {name: name for name in wanted if name in free}
    for name in resolved:
        del free[name]
    for spellings in (_chr_spellings, _mitochondrial_spellings):
        for name in wanted:
            if name in resolved:
                continue
            for spelling in spellings(name):
                if spelling in free:
                    resolved[name] = spelling
                    del free[spelling]
                    break
    return {name: resolved[name] for name in wanted if name in resolved}


def spellings(name: str) -> tuple[str, ...]:
    """The names that may mean the same contig, the name itself first."""
    return tuple(dict.fromkeys((name, *_chr_spellings(name), *_mitochondrial_spellings(name))))


def _chr_spellings(name: str) -> tuple[str, ...]:
    return (name[3:],) if name.startswith("chr") else (f"chr{name}",)


def _mitochondrial_spellings(name: str) -> tuple[str, ...]:
    return _MITOCHONDRION if name in _MITOCHONDRION else ()
