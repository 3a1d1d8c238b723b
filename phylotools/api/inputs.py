"""Sequences, regions, variants and references in all forms that callers may give."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phylotools.embedding.regions import (
    RegionRows,
    RegionTable,
    named_regions,
    read_regions,
)
from phylotools.errors import InputError, UsageError
from phylotools.io.bases import CODE_OF_BYTE, LETTER_OF_CODE, NO_CODE
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, first_names
from phylotools.model.folder import Model
from phylotools.scoring.context import TranscriptChoice, open_context
from phylotools.scoring.tiled_network import choose_tile_length

T = TypeVar("T")
#: A sequence, as text or as base codes (A=0, C=1, G=2, T=3, any other 4), uint8 [L].
SequenceLike = str | bytes | NDArray[np.uint8]
Reference = str | os.PathLike[str] | ReferenceGenome
#: Of dtypes: booleans, integers, floats.
_NUMBER_KINDS = "biuf"
_SHORTEST_TILE = 64


def column_names(values: Any) -> list[str] | None:
    """Names of the columns of a data frame, mapping or structured array; None if it is none."""
    if isinstance(values, Mapping):
        names: Any = values
    else:
        names = getattr(values, "columns", None)
        if names is None:
            names = getattr(getattr(values, "dtype", None), "names", None)
    return None if names is None else [str(name) for name in names]


def columns_of(table: Any, names: Iterable[str], what: str) -> Iterator[tuple[Any, ...]]:
    """Rows of some columns of what `column_names` has names of.

    Parameters
    ----------
    table : data frame, mapping or structured array
    names : iterable of str
    what : str
        What the rows are, for messages.

    Raises
    ------
    UsageError
        If the columns are not equally long, or no columns at all.
    """
    columns = [table[name] for name in names]
    if any(isinstance(column, str | bytes) or np.ndim(column) == 0 for column in columns):
        raise UsageError(f"the columns of the {what} must be lists or arrays, not single values")
    if len({len(column) for column in columns}) > 1:
        raise UsageError(f"the columns of the {what} are not equally long")
    return zip(*columns, strict=True)


def listed(values: Any, what: str) -> list[Any]:
    """The members of a sequence, array, Series or other iterable.

    Raises
    ------
    UsageError
        If it is none.
    """
    try:
        return list(values)
    except TypeError:
        raise UsageError(f"{what} cannot be read from a {type(values).__name__}") from None


def whole_number(value: Any) -> int:
    """An integer, also where it is written as a float or as text.

    Raises
    ------
    ValueError, TypeError
        If it is none.
    """
    number = int(value)
    if not isinstance(value, str | bytes) and number != value:
        raise ValueError
    return number


def letters_of(sequences: Any) -> tuple[list[bytes], bool]:
    """One or several sequences as ASCII letters.

    Parameters
    ----------
    sequences : str, bytes, array of base codes, or several of these
        Several: a list, an array of text or of objects, a Series.

    Returns
    -------
    letters : list of bytes
    is_single : bool
        Whether one sequence was given, not several.

    Raises
    ------
    UsageError
        If one is empty or holds what is no nucleotide code.
    """
    if not isinstance(sequences, str | bytes):
        if column_names(sequences) is not None:
            raise UsageError("sequences are one column: give frame['sequence'], not the whole")
        if hasattr(sequences, "__array__"):
            sequences = np.asarray(sequences)
            if sequences.ndim == 0:
                sequences = sequences.item()
    is_single = isinstance(sequences, str | bytes) or (
        isinstance(sequences, np.ndarray)
        and sequences.ndim == 1
        and sequences.dtype.kind in _NUMBER_KINDS
    )
    given = [sequences] if is_single else listed(sequences, "sequences")
    return _checked_letters(given), is_single


def _checked_letters(sequences: Iterable[SequenceLike]) -> list[bytes]:
    found = []
    for k, sequence in enumerate(sequences):
        letters = _letters(sequence, k)
        codes = CODE_OF_BYTE[np.frombuffer(letters, dtype=np.uint8)]
        if not letters:
            raise UsageError(f"sequence {k} is empty")
        wrong = np.flatnonzero(codes == NO_CODE)
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


def _tile_groups(model: Model, lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield tile lengths and the sequences to be computed in them.

    A short sequence gets short tiles; which ones, its own length alone decides, so that results
    do not depend on the other sequences. Where the norm runs over positions, tiles have one length.
    """
    groups: dict[int, list[int]] = {}
    for k, length in enumerate(lengths):
        tile = choose_tile_length(model)
        while model.tile_length is None and tile > _SHORTEST_TILE and length <= tile // 2:
            tile //= 2
        groups.setdefault(tile, []).append(k)
    yield from groups.items()


def require_model(model: Any) -> None:
    """Refuse the name of a model, or whatever else is given in its place."""
    if not isinstance(model, Model):
        raise UsageError(
            f"model must be what phylotools.load_model gives, not a {type(model).__name__}"
        )


@contextlib.contextmanager
def reference_genome(
    model: Model, fasta: Reference | None, choice: TranscriptChoice | None = None
) -> Iterator[ReferenceGenome]:
    """The genome named, or the model's own; with transcripts, where they are chosen.

    Raises
    ------
    InputError
        If there is neither, or it cannot be read.
    """
    if not isinstance(fasta, ReferenceGenome | str | os.PathLike | None):
        raise UsageError(f"fasta must be a path or a ReferenceGenome, not a {type(fasta).__name__}")
    named = fasta if isinstance(fasta, ReferenceGenome | None) else os.fspath(fasta)
    with open_context(model, named, choice or TranscriptChoice(is_off=True)) as genome:
        yield genome


def region_table(regions: Any, genome: ReferenceGenome) -> RegionTable:
    """Regions as a table, in the order given.

    Parameters
    ----------
    regions
        The path of a BED file; a data frame or mapping with columns ``contig`` (or ``chrom``),
        ``start``, ``end`` and maybe ``name`` and ``strand``; a `Region`, a tuple (contig, start,
        end[, name[, strand]]) or a text ``contig:begin-end``; or a sequence of these.

    Raises
    ------
    InputError, UsageError
        If they are none of these, or do not lie in the genome.
    """
    if isinstance(regions, Region) or is_row(regions):
        regions = [regions]
    if isinstance(regions, os.PathLike) or (isinstance(regions, str) and os.path.exists(regions)):
        return read_regions(os.fspath(regions), genome, skip_outside=False)
    if isinstance(regions, str):
        regions = [regions]
    names = column_names(regions)
    if names is not None:
        return _table_of(_frame_rows(regions, names), genome)
    rows = listed(regions, "regions")
    if rows and all(isinstance(row, str) for row in rows):
        return named_regions(rows, genome)
    return _table_of(rows, genome)


def is_row(values: Any) -> bool:
    """Whether it is one region, (contig, start, end ...), or one variant."""
    is_long = isinstance(values, tuple | list) and len(values) > 2
    return is_long and isinstance(values[0], str) and isinstance(values[1], int | np.integer)


def _frame_rows(regions: Any, names: Sequence[str]) -> list[Any]:
    contig = "contig" if "contig" in names else "chrom"
    for name in (contig, "start", "end"):
        if name not in names:
            raise UsageError(f"the regions have no column {name!r}")
    optional = [name for name in ("name", "strand") if name in names]
    rows = columns_of(regions, (contig, "start", "end", *optional), "regions")
    return [row if "name" in names else (*row[:3], "", *row[3:]) for row in rows]


def _table_of(rows: Sequence[Any], genome: ReferenceGenome) -> RegionTable:
    fields: list[Any] = [
        (row.contig, row.start, row.end) if isinstance(row, Region) else row for row in rows
    ]
    if not fields:
        raise UsageError("no region was given")
    kept = RegionRows()
    for k, row in enumerate(fields):
        try:
            kept.append(
                str(row[0]), whole_number(row[1]), whole_number(row[2]), *map(str, row[3:5])
            )
        except (IndexError, KeyError, TypeError, ValueError, OverflowError):
            raise UsageError(f"region {k} is not (contig, start, end): {row!r:.80}") from None
    table = kept.table(genome)
    lengths = np.array([genome.contigs.get(name, -1) for name in table.targets])[table.contig]
    bad = (table.start < 0) | (table.end <= table.start) | (table.end > lengths)
    if bad.any():
        k = int(bad.argmax())
        what = (
            "is on no contig of" if lengths[k] < 0 else
            "is empty in" if 0 <= table.end[k] <= table.start[k] else
            f"does not lie within the {lengths[k]} bases of its contig in"
        )  # fmt: skip
        raise InputError(
            f"region {k}, {fields[k][0]}:{table.start[k]}-{table.end[k]}, {what} the reference "
            f"{genome.path}",
            remedy="give 0-based, half-open regions of that assembly, whose contigs are "
            f"{first_names(genome.contigs)}",
        )
    return table


def compute_each(
    model: Model,
    sequences: Any,
    regions: Any,
    fasta: Reference | None,
    compute: Callable[[RegionTable, ReferenceGenome, int], Sequence[T]],
) -> tuple[list[T], bool]:
    """Results of sequences or of regions, of which one is None, in the order given.

    Parameters
    ----------
    compute : callable
        Gets regions, their genome and the length of tiles; returns a result of each region.

    Returns
    -------
    results : list
    is_single : bool
        Whether one sequence was given, not several.

    Raises
    ------
    UsageError, InputError
    """
    if (sequences is None) == (regions is None):
        raise UsageError("give sequences or regions, one of the two")
    if regions is not None:
        with reference_genome(model, fasta) as genome:
            tile_length = choose_tile_length(model)
            return list(compute(region_table(regions, genome), genome, tile_length)), False
    letters, is_single = letters_of(sequences)
    found: dict[int, T] = {}
    for tile_length, members in _tile_groups(model, [len(text) for text in letters]):
        genome, table = _whole_sequences([letters[k] for k in members])
        found.update(zip(members, compute(table, genome, tile_length), strict=True))
    return [found[k] for k in range(len(letters))], is_single


def _whole_sequences(letters: Sequence[bytes]) -> tuple[ReferenceGenome, RegionTable]:
    """Sequences as contigs of a genome, and each of them whole as a region."""
    contigs = {f"sequence {k}": text for k, text in enumerate(letters)}
    genome = ReferenceGenome.from_sequences(contigs, path="<sequences>")
    rows = RegionRows()
    for name, text in contigs.items():
        rows.append(name, 0, len(text), name)
    return genome, rows.table(genome)
