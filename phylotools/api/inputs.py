"""What callers may give: sequences, regions, variants and references of many kinds."""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import (
    UNSTRANDED,
    RegionTable,
    Texts,
    named_regions,
    read_regions,
)
from phylotools.errors import InputError, UsageError
from phylotools.io.genome import CODE_OF_BYTE, LETTER_OF_CODE, ReferenceGenome
from phylotools.io.regions import Region, resolve_contigs

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: A sequence, as text or as base codes (A=0, C=1, G=2, T=3, any other 4), uint8 [L].
SequenceLike = str | bytes | NDArray[np.uint8]
Reference = str | os.PathLike[str] | ReferenceGenome
_NO_LETTER = 255
_LONGEST_TILE, _SHORTEST_TILE = 512, 64


def is_single(sequences: object) -> bool:
    """Whether one sequence was given, not several."""
    return isinstance(sequences, str | bytes) or (
        isinstance(sequences, np.ndarray) and sequences.ndim == 1 and sequences.dtype != object
    )


def letters_of(sequences: Iterable[SequenceLike]) -> list[bytes]:
    """Sequences as ASCII letters.

    Raises
    ------
    UsageError
        If one is empty or holds what is no nucleotide code.
    """
    found = []
    for k, sequence in enumerate(sequences):
        letters = _letters(sequence, k)
        codes = CODE_OF_BYTE[np.frombuffer(letters, dtype=np.uint8)]
        if not letters:
            raise UsageError(f"sequence {k} is empty")
        wrong = np.flatnonzero(codes == _NO_LETTER)
        if len(wrong):
            letter = ascii(chr(letters[wrong[0]]))
            raise UsageError(
                f"sequence {k} holds {letter} at position {wrong[0] + 1}, which is no nucleotide "
                "code; give nucleotides, not amino acids"
            )
        found.append(letters)
    return found


def _letters(sequence: SequenceLike, k: int) -> bytes:
    if isinstance(sequence, bytes):
        return sequence
    if isinstance(sequence, str):
        # What is no ASCII becomes '?', which is no sequence letter.
        return sequence.encode("ascii", "replace")
    codes = np.asarray(sequence)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or (len(codes) and codes.max() > 4):
        raise UsageError(f"sequence {k} must be text, or base codes from 0 to 4 in one dimension")
    if len(codes) and codes.min() < 0:
        raise UsageError(f"sequence {k} has a negative base code")
    return LETTER_OF_CODE[codes].tobytes()


def tile_groups(model: Model, lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield tile lengths and the sequences to be computed in them.

    A short sequence gets short tiles; which ones, its own length alone decides, so that results
    do not depend on the other sequences. Where the norm runs over positions, tiles have one length.
    """
    groups: dict[int, list[int]] = {}
    for k, length in enumerate(lengths):
        tile = _LONGEST_TILE
        while model.spec.norm != "group" and tile > _SHORTEST_TILE and length <= tile // 2:
            tile //= 2
        groups.setdefault(tile, []).append(k)
    yield from groups.items()


@contextlib.contextmanager
def reference_genome(model: Model, fasta: Reference | None) -> Iterator[ReferenceGenome]:
    """The genome named, or the model's own.

    Raises
    ------
    InputError
        If there is neither, or it cannot be read.
    """
    if isinstance(fasta, ReferenceGenome):
        yield fasta
        return
    path = None if fasta is None else os.fspath(fasta)
    with ReferenceGenome.open(model.choose_reference(path)) as genome:
        yield genome


def region_table(regions: Any, genome: ReferenceGenome) -> RegionTable:
    """Regions as a table, in the order given.

    Parameters
    ----------
    regions
        The path of a BED file; a data frame or mapping with columns ``contig`` (or ``chrom``),
        ``start``, ``end`` and maybe ``name`` and ``strand``; or a sequence of `Region`, of tuples
        (contig, start, end[, name[, strand]]), or of texts ``contig:begin-end``.

    Raises
    ------
    InputError, UsageError
        If they are none of these, or do not lie in the genome.
    """
    if isinstance(regions, Region):
        regions = [regions]
    if isinstance(regions, os.PathLike) or (isinstance(regions, str) and os.path.exists(regions)):
        return read_regions(os.fspath(regions), genome, skip_outside=False)
    if isinstance(regions, str):
        regions = [regions]
    rows = _frame_rows(regions)
    if rows is None:
        rows = list(regions)
        if rows and all(isinstance(row, str) for row in rows):
            return named_regions(rows, genome)
    return _table_of(rows, genome)


def _frame_rows(regions: Any) -> list[Any] | None:
    """Rows of a data frame or a mapping of columns; None if it is neither."""
    columns = list(regions) if isinstance(regions, Mapping) else getattr(regions, "columns", None)
    if columns is None:
        return None
    contig = "contig" if "contig" in columns else "chrom"
    wanted = [contig, "start", "end"]
    for name in wanted:
        if name not in columns:
            raise UsageError(f"the regions have no column {name!r}")
    series = [list(regions[name]) for name in wanted]
    series.append(list(regions["name"]) if "name" in columns else [""] * len(series[0]))
    if "strand" in columns:
        series.append(list(regions["strand"]))
    return list(zip(*series, strict=True))


def _table_of(rows: Sequence[Any], genome: ReferenceGenome) -> RegionTable:
    fields = [
        (row.contig, row.start, row.end) if isinstance(row, Region) else tuple(row) for row in rows
    ]
    if not fields:
        raise UsageError("no region was given")
    numbers: dict[str, int] = {}
    contig, start, end = array("i"), array("q"), array("q")
    names, strand = Texts(), bytearray()
    for k, row in enumerate(fields):
        try:
            low, high = int(row[1]), int(row[2])
            contig.append(numbers.setdefault(str(row[0]), len(numbers)))
        except (IndexError, TypeError, ValueError):
            raise UsageError(f"region {k} is not (contig, start, end): {row!r:.80}") from None
        start.append(low)
        end.append(high)
        names.append(str(row[3]) if len(row) > 3 else "")
        sign = str(row[4]) if len(row) > 4 else "."
        strand.append(ord(sign) if sign in ("+", "-") else UNSTRANDED)
    found = resolve_contigs(numbers, genome.contigs)
    table = RegionTable(
        list(numbers), [found.get(name, "") for name in numbers],
        np.frombuffer(contig, dtype=np.int32), np.frombuffer(start, dtype=np.int64),
        np.frombuffer(end, dtype=np.int64), names, np.frombuffer(bytes(strand), dtype=np.uint8),
    )  # fmt: skip
    lengths = np.array([genome.contigs.get(name, -1) for name in table.targets])[table.contig]
    bad = (table.start < 0) | (table.end <= table.start) | (table.end > lengths)
    if bad.any():
        k = int(bad.argmax())
        raise InputError(
            f"region {k}, {fields[k][0]}:{table.start[k]}-{table.end[k]}, is empty or does not lie "
            f"in the reference {genome.path}",
            remedy="give 0-based, half-open regions of that assembly",
        )
    return table


def whole_sequences(letters: Sequence[bytes]) -> tuple[ReferenceGenome, RegionTable]:
    """Sequences as contigs of a genome, and each of them whole as a region."""
    contigs = [f"sequence {k}" for k in range(len(letters))]
    genome = ReferenceGenome.from_sequences(
        dict(zip(contigs, letters, strict=True)), path="<sequences>"
    )
    names = Texts()
    for name in contigs:
        names.append(name)
    n = len(letters)
    table = RegionTable(
        contigs, contigs, np.arange(n, dtype=np.int32), np.zeros(n, dtype=np.int64),
        np.array([len(text) for text in letters], dtype=np.int64), names,
        np.full(n, UNSTRANDED, dtype=np.uint8),
    )  # fmt: skip
    return genome, table
