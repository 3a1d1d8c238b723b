"""What a column store must hold, said slowly: one column at a time, in plain Python.

Nothing here is shared with the package. Blocks come from bx-python, from Biopython, or from the
few lines of `blocks_by_lines`; the tests compare the three with each other too.

One row per species and block. The reference keeps its first row of the block, the one that gives
the coordinates. Rows of another species that are nowhere both more than a gap are pieces of one
sequence, and are joined. Of others, a named policy decides:

- ``first``: the first row in the file;
- ``best-identity``: the row with most positions that have the same of A, C, G, T as the reference,
  over the columns where the reference has a base; the first of equals;
- ``drop``: a species with several rows has none;
- ``consensus``: in each column the base of A, C, G, T that most of the rows have. A tie is N; no
  such base is N where a row has another letter, else a gap. Lower case where all rows with the
  chosen base are lower case; for N, where all rows that are no gap are.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

POLICIES = ("best-identity", "consensus", "drop", "first")
N, GAP, NO_BLOCK, SOFT = 4, 5, 6, 8


class Row(NamedTuple):
    """An ``s`` line."""

    source: str
    start: int
    size: int
    strand: str
    source_size: int
    letters: str


#: contig -> position -> codes of all species.
Projection = dict[str, dict[int, bytes]]


def code(letter: str) -> int:
    """Base code of one letter, as docs/store-format.md defines it."""
    value = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3, "-": GAP}.get(letter.upper(), N)
    return value + SOFT if letter.islower() else value


def complement(value: int) -> int:
    """Code on the other strand."""
    return value - value % 8 + {0: 3, 1: 2, 2: 1, 3: 0}.get(value % 8, value % 8)


CODES = bytes(code(chr(byte)) for byte in range(128)) + bytes(128)
COMPLEMENTS = bytes(complement(value) for value in range(256))


def blocks_by_bx(text: str) -> Iterator[list[Row]]:
    """Blocks of a MAF as bx-python reads them."""
    from bx.align import maf

    header = "" if text.startswith("##maf") else "##maf version=1\n"
    # The 46-way has `i` lines with fewer fields than bx-python wants.
    lines = (line for line in text.splitlines(keepends=True) if not line.startswith("i "))
    for block in maf.Reader(io.StringIO(header + "".join(lines))):
        yield [Row(c.src, c.start, c.size, c.strand, c.src_size, c.text) for c in block.components]


def blocks_by_biopython(text: str) -> Iterator[list[Row]]:
    """Blocks of a MAF as Biopython reads them."""
    from Bio import AlignIO

    for alignment in AlignIO.parse(io.StringIO(text), "maf"):
        rows = []
        for record in alignment:
            start, size, strand, length = (
                record.annotations[key] for key in ("start", "size", "strand", "srcSize")
            )
            sign = "-" if str(strand) in ("-", "-1") else "+"
            rows.append(Row(record.id, start, size, sign, length, str(record.seq)))
        yield rows


def blocks_by_lines(text: str) -> Iterator[list[Row]]:
    """Blocks of a MAF, from nothing but its ``a`` and ``s`` lines."""
    rows: list[Row] = []
    for line in text.splitlines():
        fields = line.split()
        if fields[:1] == ["a"]:
            if rows:
                yield rows
            rows = []
        elif fields[:1] == ["s"]:
            source, start, size, strand, length, letters = fields[1:]
            rows.append(Row(source, int(start), int(size), strand, int(length), letters))
    if rows:
        yield rows


def blocks_by_rules(data: bytes) -> list[list[Row]]:
    """Blocks of a MAF that keeps every rule of the format.

    Raises
    ------
    ValueError
        If a line breaks a rule. Letters are not looked at.
    """
    blocks: list[list[Row]] = [[]]
    in_block = False
    for line in data.removeprefix(b"\xef\xbb\xbf").decode("latin-1").split("\n"):
        line = line.removesuffix("\r")
        if re.match("[ieq]([ \t\r]|$)|#|track|browser", line):
            _refuse("\r" in line)
        elif re.fullmatch("[ \t\r]*", line) or re.match("a([ \t\r]|$)", line):
            _refuse("\r" in line)
            in_block = line.startswith("a")
            blocks.append([])
        else:
            fields = re.fullmatch(
                r"s[ \t\r]+([^ \t\r]+)[ \t\r]+([0-9]+)[ \t\r]+([0-9]+)[ \t\r]+([+-])"
                r"[ \t\r]+([0-9]+)[ \t\r]+([^ \t\r]+)[ \t\r]*",
                line,
            )
            _refuse(fields is None or not in_block)
            source, start, size, strand, length, letters = fields.groups()
            row = Row(source, int(start), int(size), strand, int(length), letters)
            _refuse(row.start + row.size > row.source_size or row.source_size > 1 << 40)
            _refuse(any(len(above.letters) != len(letters) for above in blocks[-1]))
            blocks[-1].append(row)
    return [block for block in blocks if block]


def _refuse(is_broken: bool) -> None:
    if is_broken:
        raise ValueError


def bgzip(text: bytes, block: int) -> bytes:
    """BGZF (SAM specification, section 4.1) in blocks of so many bytes of text."""
    out = []
    for start in [*range(0, len(text), block), len(text)]:
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        part = text[start : start + block]
        data = packer.compress(part) + packer.flush()
        header = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(data) + 25)
        out.append(header + data + struct.pack("<II", zlib.crc32(part), len(part)))
    return b"".join(out)


def owner(source: str, names: Iterable[str]) -> tuple[str, str] | None:
    """Species and contig of a source: the longest name that it is or begins with."""
    for name in sorted(names, key=len, reverse=True):
        if source == name:
            return name, name
        if source.startswith(name + "."):
            return name, source[len(name) + 1 :]
    return None


def project(
    blocks: Iterable[list[Row]],
    species: tuple[str, ...],
    reference: str,
    duplicates: str = "best-identity",
    *,
    ancestors: Iterable[str] = (),
) -> Projection:
    """Columns of the reference, the first block in the file winning at each position."""
    projection: Projection = {}
    names = {*species, *ancestors} - {""}
    owners: dict[str, tuple[str, str] | None] = {}
    for block in blocks:
        rows: dict[str, list[bytes]] = {}
        first = None
        for row in block:
            if row.source not in owners:
                owners[row.source] = owner(row.source, names)
            found = owners[row.source]
            if found is None:
                continue
            rows.setdefault(found[0], []).append(row.letters.encode().translate(CODES))
            if found[0] == reference and first is None:
                first = row, found[1]
        if first is None:
            continue
        own = rows[reference][0]
        chosen = [
            own if name == reference else one_row(rows.get(name, []), own, duplicates)
            for name in species
        ]
        contig = projection.setdefault(first[1], {})
        position, step, turned = first[0].start, 1, False
        if first[0].strand == "-":
            position, step, turned = first[0].source_size - 1 - position, -1, True
        for column in zip(own, *chosen, strict=True):
            if column[0] % 8 == GAP:
                continue
            codes = bytes(column[1:])
            contig.setdefault(position, codes.translate(COMPLEMENTS) if turned else codes)
            position += step
    return {contig: columns for contig, columns in projection.items() if columns}


def one_row(rows: list[bytes], reference: bytes, duplicates: str) -> bytes:
    """The codes of one species in one block."""
    if len(rows) > 1 and all(
        sum(code % 8 != GAP for code in column) < 2 for column in zip(*rows, strict=True)
    ):
        duplicates = "consensus"
    if not rows or (len(rows) > 1 and duplicates == "drop"):
        return bytes([NO_BLOCK]) * len(reference)
    if len(rows) == 1 or duplicates == "first":
        return rows[0]
    if duplicates == "consensus":
        return bytes(consensus(column) for column in zip(*rows, strict=True))
    assert duplicates == "best-identity"
    identities = [
        sum(a % 8 == b % 8 < N for a, b in zip(row, reference, strict=True)) for row in rows
    ]
    return rows[identities.index(max(identities))]


def consensus(codes: tuple[int, ...]) -> int:
    """One code for several rows of a species in one column."""
    written = [value for value in codes if value % 8 != GAP]
    counts = Counter(value % 8 for value in written if value % 8 < N).most_common()
    if not written:
        return GAP
    if not counts or (len(counts) > 1 and counts[0][1] == counts[1][1]):
        return N + SOFT * all(value >= SOFT for value in written)
    base = counts[0][0]
    return base + SOFT * all(value >= SOFT for value in written if value % 8 == base)
