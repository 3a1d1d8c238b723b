"""Which format an alignment has, judged by its first bytes, and the reader of that format."""

from __future__ import annotations

import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from typing import Literal, NoReturn, Protocol

from phylotools.errors import InputError
from phylotools.io.alignment.maf import MafReader
from phylotools.io.alignment.rows import RowTable
from phylotools.io.alignment.spans import Span
from phylotools.io.files import open_input
from phylotools.io.packing import UNPACK, packed_otherwise
from phylotools.io.places import STREAM, storage_of

_PEEK = 1 << 16
_REMEDY = "give a MAF, TAF or aligned FASTA file, plain, gzip or bgzip"
_CONVERT = "convert the alignment to MAF, TAF or aligned FASTA"
_VARIANTS = "give the alignment of the species here, not variants or reads"
#: First bytes of files that are given by mistake -> what they are, and what to do.
_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"\x89HDF",
        "is HDF5, probably a HAL file",
        "convert it, e.g. with: hal2maf --noAncestors --refGenome NAME FILE.hal stdout, "
        "and give - here",
    ),
    (b"BAM\x01", "is BAM", _VARIANTS),
    (b"CRAM", "is CRAM", _VARIANTS),
    (b"BCF\x02", "is BCF", _VARIANTS),
    (b"##fileformat=VCF", "is VCF", _VARIANTS),
    (b"@HD\t", "is SAM", _VARIANTS),
    (b"@SQ\t", "is SAM", _VARIANTS),
    (b"##gff-version", "is GFF", _REMEDY),
    (b"chain ", "is a chain file", _REMEDY),
    (b"\x1a\x41\x27\x43", "is 2bit", _REMEDY),
    (b"\x43\x27\x41\x1a", "is 2bit", _REMEDY),
    (b"\xeb\xf2\x89\x87", "is bigBed or bigMaf", "convert it: bigMafToMaf"),
    (b"\x87\x89\xf2\xeb", "is bigBed or bigMaf", "convert it: bigMafToMaf"),
    (b"#NEXUS", "is NEXUS", _CONVERT),
    (b"#nexus", "is NEXUS", _CONVERT),
    (b"#FormatVersion Mauve", "is XMFA (Mauve, parsnp)", _CONVERT),
    (b"#:lav", "is LAV (LASTZ)", "write MAF: lastz --format=maf"),
    (b"!!NA_MULTIPLE_ALIGNMENT", "is MSF (GCG)", _CONVERT),
    (b"!!AA_MULTIPLE_ALIGNMENT", "is MSF (GCG) of proteins", _CONVERT),
    (b"psLayout", "is PSL", _REMEDY),
    (b"LOCUS  ", "is GenBank", _CONVERT),
    (b"ID   ", "is EMBL", _CONVERT),
    (b"# STOCKHOLM", "is Stockholm", _CONVERT),
    (b"CLUSTAL", "is Clustal", _CONVERT),
    (b"(", "is no alignment, perhaps a Newick tree", _REMEDY),
    (b"<", "is HTML or XML, perhaps the message of a failed download", "download it again"),
    (b"PK\x03\x04", "is a zip archive", UNPACK),
    (b"\x1f\x8b", "is compressed twice", UNPACK),
    (b"\xff\xfe", "is UTF-16", "save it as plain text"),
    (b"\xfe\xff", "is UTF-16", "save it as plain text"),
)
#: First lines, but for comments, that such files begin with.
_OTHER_LINES: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\s*[0-9]+[ \t]+[0-9]+(\s+[A-Z]+)?\s*$"), "is PHYLIP", _CONVERT),
    (
        re.compile(rb"Hugo_Symbol\t"),
        "is a table of mutations (Mutation Annotation Format)",
        _REMEDY,
    ),
    (
        re.compile(rb"[0-9]+( \S+ [0-9]+ [0-9]+){2} [+-] [0-9.-]+$"),
        "is AXT",
        "convert it: axtToMaf",
    ),
    (re.compile(rb"@\S"), "is FASTQ", _VARIANTS),
)
_MAF_STARTS = (b"##maf", b"track", b"browser")
_TEXT_CONTROLS = b"\t\n\v\f\r"
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


def alignment_format(handle: io.BufferedReader, path: str) -> Literal["maf", "taf", "fasta"]:
    """Tell the format of an alignment without consuming anything of it.

    Parameters
    ----------
    handle : BufferedReader
        Decompressed bytes, at their beginning.
    path : str
        For messages.

    Returns
    -------
    str
        ``taf`` where the first line begins with ``#taf``, ``fasta`` with ``>``, ``maf`` with what
        stands in MAF files; comments and empty lines before it are passed over.

    Raises
    ------
    InputError
        If the file is empty or of another kind.
    """
    data = handle.peek(_PEEK)[:_PEEK]
    if not data:
        raise InputError("the file is empty", path=path, remedy=_REMEDY)
    packed = packed_otherwise(data, path)
    if packed is not None:  # and with gzip again, or opening the file would have said so
        raise packed
    text = data.removeprefix(BOM_UTF8)
    for magic, problem, remedy in _OTHERS:
        if text.startswith(magic):
            raise InputError(f"the file {problem}", path=path, line=1, remedy=remedy)
    if any(byte < 32 and byte not in _TEXT_CONTROLS for byte in text[:512]):
        raise InputError("the file is binary, no alignment text", path=path, line=1, remedy=_REMEDY)
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split(maxsplit=1)
        if not words:
            continue
        if words[0] == b"#taf":
            return "taf"
        if line.startswith(b">"):
            return "fasta"
        if line.startswith(_MAF_STARTS) or words[0] in (b"a", b"s", b"i", b"e", b"q"):
            return "maf"
        if not line.startswith(b"#"):
            _refuse(line, number, path)
    # Nothing but comments and empty lines as far as one can look ahead.
    return "maf"


def _refuse(line: bytes, number: int, path: str) -> NoReturn:
    for pattern, problem, remedy in _OTHER_LINES:
        if pattern.match(line):
            raise InputError(f"the file {problem}", path=path, line=number, remedy=remedy)
    shown = ascii(line[:20].decode("latin-1"))
    raise InputError(
        f"{shown} begins no line of a MAF, TAF or FASTA file",
        path=path,
        line=number,
        remedy=_REMEDY,
    )
