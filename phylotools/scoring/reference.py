"""Records against the reference: contig names, REF alleles, the right assembly."""

from __future__ import annotations

import itertools
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, shown_path
from phylotools.io.assemblies import recognise
from phylotools.io.bases import BASES
from phylotools.io.contigs import log_other_names, resolve_contigs, spellings
from phylotools.io.genome import UNKNOWN_LENGTH, ReferenceGenome
from phylotools.io.regions import MAX_COORDINATE, Region
from phylotools.model.presets import PAD_TOKEN

logger = logging.getLogger("phylotools")

#: Short enough for variants far apart, which need a block each.
_BLOCK_SHIFT = 12
_BLOCKS_KEPT = 1024
#: Stretches nearer than this are read in one go: a call costs as much as 2,000 bases (12 us), and
#: a block of records far apart must not hold all that lies between them.
_STRETCH_GAP = 1 << 11
_ACGT = frozenset(BASES.encode())
_NAMES_SHOWN = 5

#: A wrong assembly disagrees in about three of four bases; errors of callers, liftovers and IUPAC
#: references in far fewer than one of ten. So one of ten of at least a hundred is proof; among
#: fewer records only a majority is, and below ten nothing is.
MISMATCH_LIMIT = 0.1
MISMATCH_LIMIT_SMALL = 0.5
FEWEST_CHECKED = 100
FEWEST_CHECKED_SMALL = 10
#: A majority among this many ends the run early, before a large file is read for nothing.
CHECKED_EARLY = 1000


class ReferenceLetters:
    """Upper-case letters of a reference genome, by small cached blocks."""

    def __init__(self, genome: ReferenceGenome) -> None:
        self.genome = genome
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def fetch(self, contig: str, start: int, end: int) -> bytes:
        """Letters A, C, G, T or N of a region within the contig, 0-based half-open."""
        index = start >> _BLOCK_SHIFT
        if end > (index + 1) << _BLOCK_SHIFT:
            return self._read(contig, start, end)
        block = self._block(contig, index)
        block_offset = start - (index << _BLOCK_SHIFT)
        return block[block_offset : block_offset + end - start]

    def _block(self, contig: str, index: int) -> bytes:
        block = self._blocks.get((contig, index))
        if block is None:
            start = index << _BLOCK_SHIFT
            end = min(start + (1 << _BLOCK_SHIFT), self.genome.contigs[contig])
            block = self._blocks[contig, index] = self._read(contig, start, end)
            if len(self._blocks) > _BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return block

    def at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Letters of single positions within the contig, 0-based, in any order.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]

        Returns
        -------
        uint8 array [K]
            ASCII.
        """
        letters = np.empty(len(positions), dtype=np.uint8)
        blocks = positions >> _BLOCK_SHIFT
        order = np.argsort(blocks, kind="stable")
        starts = np.flatnonzero(np.diff(blocks[order], prepend=-1))
        for chosen in np.split(order, starts[1:]) if len(order) else ():
            index = int(blocks[chosen[0]])
            block = np.frombuffer(self._block(contig, index), dtype=np.uint8)
            letters[chosen] = block[positions[chosen] - (index << _BLOCK_SHIFT)]
        return letters

    def _read(self, contig: str, start: int, end: int) -> bytes:
        return self.genome.letters(Region(contig, start, end))


class ReferenceStretches(NamedTuple):
    """Parts of a reference, one for each of R places; those near each other share one.

    Attributes
    ----------
    bases : uint8 array
        As `reference_tokens` has them.
    shifts : int64 array [R]
        Position p of a place's contig is ``bases[shift + p]``.
    lows, highs : int64 array [R]
        Positions that are there, half-open.
    """

    bases: NDArray[np.uint8]
    shifts: NDArray[np.int64]
    lows: NDArray[np.int64]
    highs: NDArray[np.int64]


def reference_stretches(
    genome: ReferenceGenome,
    contigs: Sequence[str],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    contig_index: NDArray[np.int64],
) -> ReferenceStretches:
    """Bases of the reference over spans, those of neighbouring spans read in one go.

    Parameters
    ----------
    genome : ReferenceGenome
    contigs : sequence of str
    begins, ends : int64 array [R]
        0-based, half-open; may reach beyond the contig.
    contig_index : int64 array [R]
        Index into `contigs`.
    """
    shifts, lows, highs = (np.empty(len(begins), dtype=np.int64) for _ in range(3))
    parts = [np.empty(0, dtype=np.uint8)]
    n_bases = 0
    for index in np.unique(contig_index).tolist():
        rows = np.flatnonzero(contig_index == index)
        rows = rows[np.argsort(begins[rows], kind="stable")]
        reach = np.maximum.accumulate(ends[rows])
        cuts = np.flatnonzero(begins[rows[1:]] > reach[:-1] + _STRETCH_GAP) + 1
        for first, last in itertools.pairwise([0, *cuts.tolist(), len(rows)]):
            chosen = rows[first:last]
            low, high = int(begins[chosen[0]]), int(reach[last - 1])
            parts.append(reference_tokens(genome, contigs[index], low, high))
            shifts[chosen], lows[chosen], highs[chosen] = n_bases - low, low, high
            n_bases += high - low
    return ReferenceStretches(np.concatenate(parts), shifts, lows, highs)


def reference_tokens(
    genome: ReferenceGenome, contig: str, begin: int, end: int
) -> NDArray[np.uint8]:
    """Tokens of positions, which may lie outside the contig.

    Returns
    -------
    uint8 array [end - begin]
        0 to 3 for A, C, G, T, 4 for any other letter, `PAD_TOKEN` outside the contig.
    """
    tokens = np.full(end - begin, PAD_TOKEN, dtype=np.uint8)
    inside = Region(contig, max(begin, 0), min(end, genome.contigs[contig]))
    if inside.start < inside.end:
        tokens[inside.start - begin : inside.end - begin] = genome.bases(inside)
    return tokens


def ref_agrees(ref: bytes, letters: bytes) -> bool:
    """Whether a REF allele agrees with the reference sequence.

    Letters of REF other than A, C, G and T are not checked: structural variant callers write N,
    and the VCF specification reduces ambiguity codes.

    Parameters
    ----------
    ref, letters : bytes
        Upper case, equally long.
    """
    return ref == letters or all(
        written == there or written not in _ACGT
        for written, there in zip(ref, letters, strict=True)
    )


class ContigNames:
    """Names of the file -> names of the reference, resolved once for each name.

    Parameters
    ----------
    declared : mapping of str to (int or None)
        Contigs of the header and their lengths.
    genome : ReferenceGenome
    path : str
        The variants, for messages.
    """

    def __init__(
        self, declared: Mapping[str, int | None], genome: ReferenceGenome, path: str
    ) -> None:
        self._genome = genome
        self._path = path
        self._resolved: dict[bytes, str | None] = {}
        self._declared_targets: frozenset[str] = frozenset()
        self._n_declared = len(declared)
        self.n_records_found = 0
        self.n_records_missing: dict[str, int] = {}
        self._add(list(declared))
        self._declared_targets = frozenset(filter(None, self._resolved.values()))
        self._warn_of_lengths(declared)

    def _warn_of_lengths(self, declared: Mapping[str, int | None]) -> None:
        """Say which lengths of the header the reference does not have, or whose they are."""
        here = {name: n for name, n in self._genome.contigs.items() if n != UNKNOWN_LENGTH}
        differing = {}
        for name, length in declared.items():
            there = here.get(self._resolved[_encode(name)] or "")
            if None not in (length, there) and length != there:
                differing[name] = length, there
        if not differing:
            return
        path, own, others = shown_path(self._path), recognise(declared), recognise(here)
        if own and others and own.assembly is not others.assembly:
            logger.warning(
                "%s: is on %s by the lengths in its header, and the reference %s is %s: lift the "
                "file over to %s, or give %s with --fasta",
                path, own.assembly, self._genome.path, others.assembly,
                others.assembly.name, own.assembly.name,
            )  # fmt: skip
            return
        for name in list(differing)[:_NAMES_SHOWN]:
            logger.warning(
                "%s: its header says that %s has %s bases, the reference has %s: is it another "
                "assembly?",
                path, name, *differing[name],
            )  # fmt: skip
        if len(differing) > _NAMES_SHOWN:
            logger.warning(
                "%s: %d more contigs of its header have other lengths",
                path, len(differing) - _NAMES_SHOWN,
            )  # fmt: skip

    def resolve(self, name: bytes) -> str | None:
        """The reference's name of a record's contig; None if it has none."""
        try:
            return self._resolved[name]
        except KeyError:
            self._add([_decode(name)])
            return self._resolved[name]

    def name(self, chrom: bytes) -> str:
        """The reference's name of a record's contig, or the record's own if it has none."""
        return self.resolve(chrom) or _decode(chrom)

    def lengths(self, declared: Mapping[str, int | None]) -> dict[str, int]:
        """Lengths of the reference's contigs, and of others that the file declares."""
        lengths = dict(self._genome.contigs)
        for name, length in declared.items():
            if self._resolved[_encode(name)] is None:
                lengths[name] = MAX_COORDINATE if length is None else length
        return lengths

    def count(self, n_records: Mapping[bytes, int]) -> None:
        """Count the records of a batch by the name of their contig."""
        for name, count in n_records.items():
            if self._resolved[name] is not None:
                self.n_records_found += count
            else:
                text = _decode(name)
                self.n_records_missing[text] = self.n_records_missing.get(text, 0) + count

    def _add(self, names: list[str]) -> None:
        """Resolve names; those not declared one by one, so that their order does not matter."""
        free = {
            name: length
            for name, length in self._genome.contigs.items()
            if name not in self._declared_targets
        }
        found = resolve_contigs(names, free)
        others = {}
        for name in names:
            contig = found.get(name)
            self._resolved[_encode(name)] = contig
            if contig is not None and contig in spellings(name)[1:]:
                others[name] = contig
        log_other_names(others)

    def refuse_foreign(self, advice: str, *, is_complete: bool) -> None:
        """Raise `InputError` if records were seen, and none is on a contig of the reference.

        Parameters
        ----------
        advice : str
            What else the user could do.
        is_complete : bool
            Whether the whole file was read. Before, only a header that declares contigs, none of
            them the reference's, is reason enough.
        """
        if not self.n_records_missing or self.n_records_found:
            return
        if not is_complete and (self._declared_targets or not self._n_declared):
            return
        raise InputError(
            f"no record is on a contig of the reference {self._genome.path}, which has "
            f"{_some(self._genome.contigs)}; the records are on {_some(self.n_records_missing)}",
            path=self._path,
            remedy=advice,
        )

    def warn_missing(self) -> None:
        """Say once which contigs the reference lacks, and how many records that concerns."""
        if self.n_records_missing:
            logger.warning(
                "%s: %d records are on %d contigs that the reference does not have (%s)",
                shown_path(self._path),
                sum(self.n_records_missing.values()),
                len(self.n_records_missing),
                _some(self.n_records_missing),
            )


class AssemblyCheck:
    """Counts REF alleles that disagree, and refuses a file made on another assembly.

    Parameters
    ----------
    path : str
        The variants, for messages.
    reference : str
        The FASTA, for messages.
    """

    def __init__(self, path: str, reference: str) -> None:
        self._path = path
        self._reference = reference
        self.n_checked = 0
        self.n_mismatches = 0
        self.first_mismatch: str | None = None

    def refuse_early(self) -> None:
        """Raise `InputError` once a majority of the first records disagrees."""
        if self.n_checked >= CHECKED_EARLY and self._fraction > MISMATCH_LIMIT_SMALL:
            raise self._error()

    def refuse(self) -> None:
        """Raise `InputError` if too many records of the whole file disagree."""
        is_large = self.n_checked >= FEWEST_CHECKED
        limit = MISMATCH_LIMIT if is_large else MISMATCH_LIMIT_SMALL
        if self.n_checked >= FEWEST_CHECKED_SMALL and self._fraction > limit:
            raise self._error()

    @property
    def _fraction(self) -> float:
        return self.n_mismatches / max(1, self.n_checked)

    def _error(self) -> InputError:
        return InputError(
            f"REF disagrees with {self._reference} in {self.n_mismatches} of {self.n_checked} "
            f"records (first: {self.first_mismatch}); this looks like the wrong assembly",
            path=self._path,
            remedy="give the assembly that the file was made on with --fasta, or "
            "--on-ref-mismatch warn to score it all the same",
        )


def _some(names: Mapping[str, object]) -> str:
    shown = [name[:40] for name in list(names)[:_NAMES_SHOWN]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
