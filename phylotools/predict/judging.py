"""Which alleles of a batch of records have a score, and which sites it takes to compute them.

Plain records (one base of REF that is the reference's; ALTs of one letter or of none) are sorted by
compiled loops, all others by `alleles.classify`, one by one. Both give the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.vcf.records import RecordTable
from phylotools.predict import variant_kernels as kernels
from phylotools.predict.alleles import (
    Indel,
    MultiSubstitution,
    Status,
    Substitution,
    classify,
    kind_without_sequence,
)
from phylotools.predict.haplotypes import Change
from phylotools.predict.reference import (
    AssemblyCheck,
    ContigNames,
    ReferenceLetters,
    ref_agrees,
)
from phylotools.predict.training_sites import TrainingSites

OnRefMismatch = Literal["error", "skip", "warn"]
STATUSES = tuple(Status)
CODE_OF_STATUS = {status: code for code, status in enumerate(STATUSES)}
_SHORT_ALLELES = 8
_NOT_PLAIN = 255
_classify_short = functools.lru_cache(1 << 14)(classify)
#: Status codes of what `classify_plain` tells apart besides bases.
_STATUS_OF_KIND = np.zeros(256, dtype=np.uint8)
for _kind, _status in (
    (kernels.MISSING, Status.MISSING),
    (kernels.SPANNING_DELETION, Status.SPANNING_DELETION),
    (kernels.SYMBOLIC, Status.SYMBOLIC),
    (kernels.NON_ACGT, Status.NON_ACGT),
    (kernels.REF_EQUALS_ALT, Status.REF_EQUALS_ALT),
):
    _STATUS_OF_KIND[_kind] = CODE_OF_STATUS[_status]


@dataclass(frozen=True)
class JudgedBatch:
    """N records, the outcomes of their alleles, and what must be computed for them.

    Attributes
    ----------
    records : RecordTable
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record's ALTs begin.
    numbers : int64 array, by outcome
        Which number an allele gets; -1 for none.
    statuses : uint8 array, by outcome
        Index into `STATUSES`.
    sites : int64 array [N]
        The scored site that POS is; -1 for none.
    site_contigs : int64 array [S]
        Index into `contigs`.
    site_positions : int64 array [S]
        0-based.
    contigs : tuple of str
    term_numbers, term_sites : int64 array [T]
        A number is the sum of its terms, and a term is the score of a change at a site.
    term_refs, term_alts : uint8 array [T]
        Base codes.
    is_reference : bool array [T]
        Whether the term's REF is the reference base.
    indels : dict of int to Change
        Numbers that have no terms -> left-aligned changes of length.
    n_numbers : int
    """

    records: RecordTable
    first_outcome: NDArray[np.int64]
    numbers: NDArray[np.int64]
    statuses: NDArray[np.uint8]
    sites: NDArray[np.int64]
    site_contigs: NDArray[np.int64]
    site_positions: NDArray[np.int64]
    contigs: tuple[str, ...]
    term_numbers: NDArray[np.int64]
    term_sites: NDArray[np.int64]
    term_refs: NDArray[np.uint8]
    term_alts: NDArray[np.uint8]
    is_reference: NDArray[np.bool_]
    indels: dict[int, Change]
    n_numbers: int


@dataclass
class _Collected:
    """What judging record by record adds to a batch."""

    n_numbers: int
    n_sites: int
    site_contigs: list[int] = field(default_factory=list)
    site_positions: list[int] = field(default_factory=list)
    term_numbers: list[int] = field(default_factory=list)
    term_sites: list[int] = field(default_factory=list)
    term_refs: list[int] = field(default_factory=list)
    term_alts: list[int] = field(default_factory=list)
    is_reference: list[bool] = field(default_factory=list)
    indels: dict[int, Change] = field(default_factory=dict)

    def add_number(self) -> int:
        self.n_numbers += 1
        return self.n_numbers - 1

    def add_term(
        self, number: int, contig: int, position: int, change: Substitution, is_reference: bool
    ) -> int:
        """The term's site."""
        site = self.n_sites + len(self.site_positions)
        self.site_contigs.append(contig)
        self.site_positions.append(position)
        self.term_numbers.append(number)
        self.term_sites.append(site)
        self.term_refs.append(change.ref)
        self.term_alts.append(change.alt)
        self.is_reference.append(is_reference)
        return site


class Judge:
    """Holds the records of a file against the reference.

    Parameters
    ----------
    genome : ReferenceGenome
    half_window : int
        Positions nearer to an end of their contig are flagged.
    contig_names : ContigNames
    assembly : AssemblyCheck
    path : str
        The variants, for messages.
    on_ref_mismatch : {'error', 'skip', 'warn'}
    training_regions : sequence of Region, optional
        Scored alleles elsewhere are flagged.
    left_align : callable, optional
        Brings a change of length to the spelling that stands for all of its spellings; None where
        such changes are not to be scored.
    """

    #: Off only in tests: then every record is judged by itself.
    uses_plain_path = True

    def __init__(
        self,
        genome: ReferenceGenome,
        half_window: int,
        contig_names: ContigNames,
        assembly: AssemblyCheck,
        path: str,
        *,
        on_ref_mismatch: OnRefMismatch,
        training_regions: Sequence[Region] | None,
        left_align: Callable[[Change], Change] | None,
    ) -> None:
        self._lengths = genome.contigs
        self._contigs = tuple(genome.contigs)
        self._index_of = {name: index for index, name in enumerate(self._contigs)}
        self._length_of = np.array(list(genome.contigs.values()), dtype=np.int64)
        self._half_window = half_window
        self._names = contig_names
        self._assembly = assembly
        self._path = path
        self._on_ref_mismatch = on_ref_mismatch
        self._training = TrainingSites(training_regions, self._lengths)
        self._left_align = left_align
        self._letters = ReferenceLetters(genome)

    def judge(self, records: RecordTable) -> JudgedBatch:
        """Judge every allele.

        Raises
        ------
        InputError
            If REF disagrees and that is to be an error.
        """
        contig_of = self._contigs_of(records)
        starts = records.positions - 1
        spans = records.tabs[:, 3] - records.tabs[:, 2] - 1
        lengths = np.append(self._length_of, 0)[contig_of]
        is_inside = (starts >= 0) & (starts + spans <= lengths)
        counts = np.empty(len(records), dtype=np.int64)
        kernels.count_alts(records.text, records.tabs, counts)
        first_outcome = np.zeros(len(records) + 1, dtype=np.int64)
        np.cumsum(counts, out=first_outcome[1:])
        n_outcomes = int(first_outcome[-1])
        kinds = np.empty(n_outcomes, dtype=np.uint8)
        refs = np.empty(len(records), dtype=np.uint8)
        letters = self._letters_at(contig_of, starts, is_inside & (spans == 1))
        kernels.classify_plain(
            records.text, records.tabs, letters, kernels.LETTER_CODES, first_outcome, kinds, refs
        )
        record_of = np.repeat(np.arange(len(records)), counts)
        is_plain = refs != _NOT_PLAIN
        scored = np.flatnonzero(is_plain[record_of] & (kinds < kernels.MISSING))
        statuses = _STATUS_OF_KIND[kinds]
        statuses[scored] = CODE_OF_STATUS[Status.OK]
        numbers = np.full(n_outcomes, -1, dtype=np.int64)
        numbers[scored] = np.arange(len(scored))
        # One site for each plain record with an allele to score.
        scored_records, term_sites = np.unique(record_of[scored], return_inverse=True)
        sites = np.full(len(records), -1, dtype=np.int64)
        sites[scored_records] = np.arange(len(scored_records))
        self._assembly.n_checked += int(is_plain.sum())
        for status, concerned in (
            (Status.CONTIG_MISSING, contig_of < 0),
            (Status.OUT_OF_CONTIG, (contig_of >= 0) & ~is_inside),
        ):
            statuses[concerned[record_of]] = CODE_OF_STATUS[status]
        collected = _Collected(len(scored), len(scored_records))
        for record in np.flatnonzero(is_inside & ~is_plain & (contig_of >= 0)).tolist():
            contig = int(contig_of[record])
            begin = int(first_outcome[record])
            outcomes, sites[record] = self._judge_one(records, record, contig, collected)
            for outcome, (number, status) in enumerate(outcomes, start=begin):
                numbers[outcome] = number
                statuses[outcome] = CODE_OF_STATUS[status]
        batch = JudgedBatch(
            records,
            first_outcome,
            numbers,
            statuses,
            sites,
            _joined(contig_of[scored_records], collected.site_contigs),
            _joined(starts[scored_records], collected.site_positions),
            self._contigs,
            _joined(np.arange(len(scored)), collected.term_numbers),
            _joined(term_sites, collected.term_sites),
            _joined(refs[record_of[scored]], collected.term_refs),
            _joined(kinds[scored], collected.term_alts),
            _joined(np.ones(len(scored), dtype=bool), collected.is_reference),
            collected.indels,
            collected.n_numbers,
        )
        self._flag(batch)
        return batch

    def _contigs_of(self, records: RecordTable) -> NDArray[np.int64]:
        """Index of the reference's contig by record; -1 where it has none."""
        resolved = [self._names.resolve(name) for name in records.run_names]
        indices = [-1 if name is None else self._index_of[name] for name in resolved]
        return np.repeat(np.array(indices, dtype=np.int64), records.run_lengths)

    def _letters_at(
        self,
        contig_of: NDArray[np.int64],
        starts: NDArray[np.int64],
        wanted: NDArray[np.bool_],
    ) -> NDArray[np.uint8]:
        """Reference letters at POS; 0 where not wanted."""
        letters = np.zeros(len(starts), dtype=np.uint8)
        wanted = wanted & (contig_of >= 0)
        if not self.uses_plain_path:
            return letters
        for contig in np.unique(contig_of[wanted]).tolist():
            rows = np.flatnonzero(wanted & (contig_of == contig))
            letters[rows] = self._letters.at(self._contigs[contig], starts[rows])
        return letters

    def _judge_one(
        self, records: RecordTable, record: int, contig_index: int, collected: _Collected
    ) -> tuple[list[tuple[int, Status]], int]:
        """Number (or -1) and status of every allele, and the scored site that POS is (or -1)."""
        ref = records.column(record, 3).upper()
        start = int(records.positions[record]) - 1
        contig = self._contigs[contig_index]
        self._assembly.n_checked += 1
        letters = self._letters.fetch(contig, start, start + len(ref))
        is_mismatch = ref != letters and not ref_agrees(ref, letters)
        if is_mismatch:
            self._note_mismatch(records, record, ref, letters)
        outcomes: list[tuple[int, Status]] = []
        first_site = -1
        for alt in records.column(record, 4).upper().split(b","):
            change: Substitution | MultiSubstitution | Indel | Status
            if is_mismatch and self._on_ref_mismatch == "skip":
                change = kind_without_sequence(alt) or Status.REF_MISMATCH
            elif len(ref) + len(alt) <= _SHORT_ALLELES:
                change = _classify_short(ref, alt)
            else:
                change = classify(ref, alt)
            if isinstance(change, Indel) and self._left_align is None:
                change = Status.INDEL
            if isinstance(change, Status):
                outcomes.append((-1, change))
                continue
            number = collected.add_number()
            if isinstance(change, Indel):
                indel = Change(contig, start + change.offset, change.ref, change.alt)
                assert self._left_align is not None
                collected.indels[number] = self._left_align(indel)
                status = Status.EXPERIMENTAL_INDEL
            else:
                changes = change.sites if isinstance(change, MultiSubstitution) else (change,)
                for each in changes:
                    site = collected.add_term(
                        number, contig_index, start + each.offset, each, not is_mismatch
                    )
                    if each.offset == 0:
                        first_site = site
                status = Status.MNV if len(changes) > 1 else Status.OK
            outcomes.append((number, Status.REF_MISMATCH if is_mismatch else status))
        return outcomes, first_site

    def _note_mismatch(self, records: RecordTable, record: int, ref: bytes, letters: bytes) -> None:
        self._assembly.n_mismatches += 1
        chrom = records.block.text[records.begins[record] : records.tabs[record, 0]]
        place = f"{chrom.decode('utf-8', 'replace')}:{records.positions[record]}"
        difference = (
            f"{place} REF {ref[:20].decode('utf-8', 'replace')}, reference {letters[:20].decode()}"
        )
        if self._assembly.first_mismatch is None:
            self._assembly.first_mismatch = difference
        if self._on_ref_mismatch == "error":
            raise InputError(
                "REF disagrees with the reference: " + difference,
                path=self._path,
                line=records.line_number(record),
                remedy="give the right --fasta, or --on-ref-mismatch skip",
            )

    def _flag(self, batch: JudgedBatch) -> None:
        """Flag scored alleles whose sites were not trained on, or lie at an end of a contig."""
        graver = np.full(batch.n_numbers, 255, dtype=np.uint8)
        site_flags = self._flags(batch.site_contigs, batch.site_positions)
        np.minimum.at(graver, batch.term_numbers, site_flags[batch.term_sites])
        if batch.indels:
            indels = batch.indels.values()
            contigs = np.array([self._index_of[indel.contig] for indel in indels])
            firsts = np.array([indel.start for indel in indels])
            lasts = firsts + [max(len(indel.ref), 1) - 1 for indel in indels]
            for positions in (firsts, lasts):
                inside = np.minimum(positions, self._length_of[contigs] - 1)
                np.minimum.at(graver, list(batch.indels), self._flags(contigs, inside))
        has_number = np.flatnonzero(batch.numbers >= 0)
        flags = graver[batch.numbers[has_number]]
        is_flagged = (flags != 255) & (
            batch.statuses[has_number] != CODE_OF_STATUS[Status.REF_MISMATCH]
        )
        batch.statuses[has_number[is_flagged]] = flags[is_flagged]

    def _flags(self, contigs: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Status code of each site, 255 for an ordinary one; the graver status is the smaller."""
        flags = np.full(len(positions), 255, dtype=np.uint8)
        edge = self._half_window
        is_padded = (positions < edge) | (positions >= self._length_of[contigs] - edge)
        flags[is_padded] = CODE_OF_STATUS[Status.EDGE_PADDED]
        for contig in np.unique(contigs).tolist():
            rows = np.flatnonzero(contigs == contig)
            outside = self._training.lacks(self._contigs[contig], positions[rows])
            flags[rows[outside]] = CODE_OF_STATUS[Status.OUTSIDE_TRAINING]
        return flags


def _joined(array: NDArray, listed: list) -> NDArray:
    """An array with a list behind it, in the array's type."""
    return np.concatenate([array, np.array(listed, dtype=array.dtype)]) if listed else array
