"""Simulated rows as MAF blocks (https://genome.ucsc.edu/FAQ/FAQformat.html#format5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phylotools.compiling import compiled
from phylotools.errors import InputError
from phylotools.io.bases import LETTER_OF_CODE
from phylotools.phylogeny.simulation import TreeWalk
from phylotools.phylogeny.simulation.kernels import GAP

_SPACE, _NEWLINE = ord(" "), ord("\n")


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks of one piece of a contig.

    Attributes
    ----------
    start : int
        0-based position of the first column.
    bounds : ndarray of int64, shape (K + 1,)
        Columns at which blocks begin, and the end of the last.
    rows : ndarray of uint8, shape (S, C)
        Codes 0..3, 4 (N) and `GAP`; the reference, which has no gap, first.
    absent : ndarray of bool, shape (K, S)
        Species without a row.
    letters : ndarray of uint8, shape (C,)
        The reference row as text.
    """

    start: int
    bounds: NDArray[np.int64]
    rows: NDArray[np.uint8]
    absent: NDArray[np.bool_]
    letters: NDArray[np.uint8]

    @cached_property
    def n_bases(self) -> NDArray[np.int64]:
        """Bases of each species in each block, 0 where it has no row; shape (K, S)."""
        counts = np.add.reduceat(self.rows != GAP, self.bounds[:-1], axis=1, dtype=np.int64).T
        return np.where(self.absent, 0, counts)

    def has_base(self) -> NDArray[np.bool_]:
        """Which species have A, C, G or T where, as the alignment shows it; shape (S, C)."""
        absent = np.repeat(self.absent, np.diff(self.bounds), axis=0)
        return (self.rows < 4) & ~absent.T


class MafText:
    """Writes blocks of one contig as text.

    Other species have the contig name and the length of the reference: a base keeps the
    coordinate of its column, so that rows of a species never overlap.
    """

    def __init__(self, walk: TreeWalk, contig: str, contig_length: int) -> None:
        sources = [f"s {species}.{contig} ".encode() for species in walk.species]
        self._sources = np.frombuffer(b"".join(sources), dtype=np.uint8)
        self._source_ends = np.cumsum([0, *map(len, sources)])
        self._strand = np.frombuffer(f" + {contig_length} ".encode(), dtype=np.uint8)
        self._longest_number = len(str(contig_length))

    def blocks(self, blocks: Blocks) -> bytes:
        """Text of blocks; a species without a base in a block has no row."""
        n_bases = blocks.n_bases
        fixed = np.diff(self._source_ends) + len(self._strand) + 2 * self._longest_number + 2
        widths = np.diff(blocks.bounds)
        size = 3 * len(widths) + int(((n_bases > 0) * (fixed + widths[:, None])).sum())
        text = np.empty(size, dtype=np.uint8)
        used = write_blocks(
            blocks.rows,
            blocks.bounds,
            n_bases,
            blocks.letters,
            blocks.start,
            self._sources,
            self._source_ends,
            self._strand,
            LETTER_OF_CODE,
            text,
        )
        return text[:used].tobytes()


def check_names(walk: TreeWalk, inner_names: set[str], contig: str) -> None:
    """Refuse names that could not be read back from ``species.contig``.

    Raises
    ------
    InputError
    """
    names = {*walk.species, *inner_names} - {""}
    for species in walk.species:
        source = f"{species}.{contig}"
        if any(letter.isspace() for letter in source) or contig.startswith("#"):
            raise InputError(
                f"MAF and tables cannot name the source {source!r}",
                remedy="use names of species and contigs without white space and #",
            )
        prefixes = {source[:end] for end, letter in enumerate(source) if letter == "."}
        if {name for name in names & (prefixes | {source}) if len(name) > len(species)}:
            raise InputError(
                f"the source {source} could be of another species of the tree",
                remedy="choose another contig name, or rename the nodes of the tree",
            )


@compiled
def _put(text, at, piece):  # type: ignore[no-untyped-def]
    text[at : at + len(piece)] = piece
    return at + len(piece)


@compiled
def _put_number(text, at, number):  # type: ignore[no-untyped-def]
    digits = 1
    while number >= 10**digits:
        digits += 1
    for place in range(digits):
        text[at + digits - 1 - place] = 48 + number % 10
        number //= 10
    return at + digits


@compiled
def write_blocks(  # type: ignore[no-untyped-def]
    rows, bounds, n_bases, reference, start, sources, source_ends, strand, letters, text
):
    """Write blocks as bytes into `text`; the number of bytes written.

    Parameters
    ----------
    rows, bounds, n_bases :
        Of `maf.Blocks`.
    reference : uint8 array (C,)
        The first row as text.
    start : int
        Position of the first column.
    sources, source_ends : uint8 and int64 array
        Beginnings of the rows, one after the other, and where each ends, after a 0.
    strand : uint8 array
        What stands between the size of a row and its text.
    letters : uint8 array (6,)
        Of the codes.
    text : uint8 array
        Large enough.
    """
    at = 0
    for block in range(len(bounds) - 1):
        begin, end = bounds[block], bounds[block + 1]
        text[at], text[at + 1] = 97, _NEWLINE  # "a"
        at += 2
        for species in range(rows.shape[0]):
            if n_bases[block, species] == 0:
                continue
            first = begin
            while rows[species, first] == GAP:
                first += 1
            at = _put(text, at, sources[source_ends[species] : source_ends[species + 1]])
            at = _put_number(text, at, start + first)
            text[at] = _SPACE
            at = _put_number(text, at + 1, n_bases[block, species])
            at = _put(text, at, strand)
            if species == 0:
                at = _put(text, at, reference[begin:end])
            else:
                for column in range(begin, end):
                    text[at + column - begin] = letters[rows[species, column]]
                at += end - begin
            text[at] = _NEWLINE
            at += 1
        text[at] = _NEWLINE
        at += 1
    return at
