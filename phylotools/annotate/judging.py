"""Which alleles of a batch of records have a score, and which sites it takes to compute them.

Plain records (one base of REF that is the reference's; ALTs of one letter or of none) and spelled
ones (REF and ALTs of bases) are sorted by compiled loops, all others by `alleles.classify`, one by
one. Both give the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate import judging_kernels as kernels
from phylotools.annotate.haplotypes import Change, HaplotypeLayout, LaidChanges
from phylotools.annotate.judged_batch import CODE_OF_STATUS, BatchBuilder, JudgedBatch
from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.intervals import contains, flags_of, overlapping
from phylotools.io.regions import RegionSet
from phylotools.io.spliced import PartialGenome
from phylotools.io.vcf.alleles import (
    Indel,
    MultiSubstitution,
    Status,
    Substitution,
    classify,
    kind_without_sequence,
)
from phylotools.io.vcf.records import RecordTable
from phylotools.scoring.reference import (
    AssemblyCheck,
    ContigNames,
    ReferenceLetters,
    ReferenceStretches,
    ref_agrees,
    reference_stretches,
)

OnRefMismatch = Literal["error", "skip", "warn"]
_NOT_PLAIN = 255
#: Bases of an allele, and those read on either side of REF: nearly all indels are shorter, and
#: nearly all repeats that one stands in. Others are judged and laid one by one.
_LONGEST, _MARGIN = 64, 256
#: Status codes of what `classify_plain` tells apart besides bases.
_STATUS_OF_KIND = np.zeros(256, dtype=np.uint8)
for _kind, _status in (
    (kernels.MISSING, Status.MISSING),
    (kernels.SPANNING_DELETION, Status.SPANNING_DELETION),
    (kernels.SYMBOLIC, Status.SYMBOLIC),
    (kernels.NON_ACGT, Status.NON_ACGT),
    (kernels.REF_EQUALS_ALT, Status.REF_EQUALS_ALT),
    (kernels.SUBSTITUTION, Status.OK),
    (kernels.SUBSTITUTIONS, Status.MNV),
    (kernels.INDEL, Status.EXPERIMENTAL_INDEL),
):
    _STATUS_OF_KIND[_kind] = CODE_OF_STATUS[_status]


@dataclass
class _OneByOne:
    """What judging record by record finds.

    Attributes
    ----------
    terms : list of tuple
        Outcome, position, codes of both bases.
    indels : dict of int to Change
        By outcome.
    """

    terms: list[tuple[int, int, int, int]] = field(default_factory=list)
    indels: dict[int, Change] = field(default_factory=dict)


@dataclass(frozen=True)
class _SpelledRecords:
    """What compiled loops found of R records that spell their bases, REF those of the reference.

    Attributes
    ----------
    rows : int64 array [R]
        The records.
    is_judged : bool array [R]
        Others are not of this kind.
    terms : int64 array [T, 4]
        Changes of single bases: outcome, position, codes of both bases.
    changes : int64 array [K, 6]
        Changes of length, see `classify_spelled`.
    records : RecordTable
    contigs : int64 array [R]
        Index into the contigs of the genome.
    stretches : ReferenceStretches
    """

    rows: NDArray[np.int64]
    is_judged: NDArray[np.bool_]
    terms: NDArray[np.int64]
    changes: NDArray[np.int64]
    records: RecordTable
    contigs: NDArray[np.int64]
    stretches: ReferenceStretches

    def lay(self, flank: int) -> tuple[LaidChanges, NDArray[np.int64], NDArray[np.int64]]:
        """Lay the changes of length over the reference's sites.

        Parameters
        ----------
        flank : int
            See `HaplotypeLayout`.

        Returns
        -------
        laid : LaidChanges
        outcomes : int64 array, by laid change
        unlaid : int64 array [U, 6]
            The rows of `changes` in repeats longer than the stretch of reference at hand.
        """
        changes, stretches = self.changes, self.stretches
        starts = np.empty(len(changes), dtype=np.int64)
        n_sites = 2 * (changes[:, 3] + flank)
        terms = np.empty((int(n_sites.sum()), 4), dtype=np.int64)
        n_terms = kernels.lay_indels(changes, self.records.text, stretches, flank, starts, terms)
        owners, positions, refs, alts = terms[:n_terms].T
        is_laid = starts >= 0
        laid = LaidChanges(
            self.contigs[changes[is_laid, 1]],
            starts[is_laid],
            changes[is_laid, 3],
            (np.cumsum(is_laid) - 1)[owners],
            positions,
            refs.astype(np.uint8),
            alts.astype(np.uint8),
        )
        return laid, changes[is_laid, 0], changes[~is_laid]


class SiteFlags:
    """Flags sites that were not trained on, or lie at an end of their contig.

    Parameters
    ----------
    lengths : mapping of str to int
        Contigs in the order of the indices that batches have, and their lengths.
    half_window : int
        Positions nearer to an end of their contig are flagged.
    trained : RegionSet, optional
        Positions elsewhere are flagged.
    """

    #: Code of an ordinary site.
    NONE = 255

    def __init__(
        self, lengths: Mapping[str, int], half_window: int, trained: RegionSet | None
    ) -> None:
        self._contigs = tuple(lengths)
        self._length_of = np.array(list(lengths.values()), dtype=np.int64)
        self._half_window = half_window
        self._trained = trained

    def of_rows(self, batch: JudgedBatch) -> NDArray[np.uint8]:
        """Status code of each column of `BatchScores.scores`, the graver where its sites have two.

        Returns
        -------
        uint8 array [n_scored]
            `NONE` where no site is flagged.
        """
        graver = np.full(batch.n_scored, self.NONE, dtype=np.uint8)
        site_flags = self._of(batch.site_contigs, batch.site_positions)
        np.minimum.at(graver, batch.terms.owners, site_flags[batch.terms.sites])
        indels = batch.indels
        if len(indels):
            lasts = indels.starts + np.maximum(indels.n_refs, 1) - 1
            for positions in (indels.starts, lasts):
                inside = np.minimum(positions, self._length_of[indels.contigs] - 1)
                np.minimum.at(graver, batch.indel_rows, self._of(indels.contigs, inside))
        return graver

    def _of(self, contigs: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Status code of each site; the graver status is the smaller."""
        flags = np.full(len(positions), self.NONE, dtype=np.uint8)
        edge = self._half_window
        is_padded = (positions < edge) | (positions >= self._length_of[contigs] - edge)
        flags[is_padded] = CODE_OF_STATUS[Status.EDGE_PADDED]
        if self._trained is None:
            return flags
        for contig in np.unique(contigs).tolist():
            rows = np.flatnonzero(contigs == contig)
            is_inside = contains(self._trained.on(self._contigs[contig]), positions[rows])
            flags[rows[~is_inside]] = CODE_OF_STATUS[Status.OUTSIDE_TRAINING]
        return flags


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
    training_regions : RegionSet, optional
        Scored alleles elsewhere are flagged.
    haplotypes : HaplotypeLayout, optional
        None where changes of length are not to be scored.
    """

    #: Off only in tests: then every record is judged by itself.
    uses_compiled_loops = True

    def __init__(
        self,
        genome: ReferenceGenome,
        half_window: int,
        contig_names: ContigNames,
        assembly: AssemblyCheck,
        path: str,
        *,
        on_ref_mismatch: OnRefMismatch,
        training_regions: RegionSet | None,
        haplotypes: HaplotypeLayout | None,
    ) -> None:
        self._contigs = tuple(genome.contigs)
        self._index_of = {name: index for index, name in enumerate(self._contigs)}
        self._length_of = np.array(list(genome.contigs.values()), dtype=np.int64)
        self._names = contig_names
        self._assembly = assembly
        self._path = path
        self._on_ref_mismatch = on_ref_mismatch
        trained = training_regions
        trained = None if trained is None else trained.spelled_as(self._contigs)
        self._flags = SiteFlags(genome.contigs, half_window, trained)
        self._haplotypes = haplotypes
        self._genome = genome
        self._known = genome.known if isinstance(genome, PartialGenome) else None
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
        is_known = self._is_known(contig_of, starts, spans)
        letters = self._letters_at(contig_of, starts, is_inside & is_known & (spans == 1))
        # REF is taken as it is written where nobody knows what stands there.
        unknown = np.flatnonzero(is_inside & ~is_known & (spans == 1))
        letters[unknown] = records.text[records.tabs[unknown, 2] + 1]
        kernels.classify_plain(records.text, records.tabs, letters, first_outcome, kinds, refs)
        is_plain = refs != _NOT_PLAIN
        strange = np.flatnonzero(is_inside & ~is_plain & ~is_known & (contig_of >= 0))
        others = np.flatnonzero(is_inside & ~is_plain & is_known & (contig_of >= 0))
        wanted = others if self.uses_compiled_loops else others[:0]
        spelled = self._judge_spelled(records, wanted, contig_of, first_outcome, kinds)
        others = np.setdiff1d(others, spelled.rows[spelled.is_judged], assume_unique=True)
        self._assembly.n_checked += int((is_plain & is_known).sum() + spelled.is_judged.sum())
        batch = BatchBuilder(records, first_outcome, _STATUS_OF_KIND[kinds])
        for status, concerned in (
            (Status.CONTIG_MISSING, contig_of < 0),
            (Status.OUT_OF_CONTIG, (contig_of >= 0) & ~is_inside),
        ):
            batch.statuses[concerned[batch.record_of]] = CODE_OF_STATUS[status]
        is_base = is_plain[batch.record_of] & (kinds < kernels.MISSING)
        batch.statuses[is_base] = CODE_OF_STATUS[Status.OUTSIDE_TRANSCRIPTS]
        scored = np.flatnonzero(is_base & is_known[batch.record_of])
        batch.statuses[scored] = CODE_OF_STATUS[Status.OK]
        # One site for each plain record with an allele to score.
        scored_records, rows = np.unique(batch.record_of[scored], return_inverse=True)
        sites = batch.add_sites(scored_records, contig_of[scored_records], starts[scored_records])
        batch.add_terms(scored, sites[rows], refs[scored_records][rows], kinds[scored])
        one_by_one = _OneByOne()
        self._add_spelled(batch, spelled, contig_of, one_by_one)
        for record in others.tolist():
            contig = int(contig_of[record])
            statuses = self._judge_one(
                records, record, contig, int(first_outcome[record]), one_by_one
            )
            batch.statuses[first_outcome[record] : first_outcome[record + 1]] = [
                CODE_OF_STATUS[status] for status in statuses
            ]
        self._add_one_by_one(batch, one_by_one, contig_of)
        for record in strange.tolist():
            batch.statuses[first_outcome[record] : first_outcome[record + 1]] = [
                CODE_OF_STATUS[kind_without_sequence(alt) or Status.OUTSIDE_TRANSCRIPTS]
                for alt in records.column(record, 4).split(b",")
            ]
        judged = batch.finish(self._contigs)
        self._flag(judged)
        return judged

    def _judge_spelled(
        self,
        records: RecordTable,
        rows: NDArray[np.int64],
        contig_of: NDArray[np.int64],
        first_outcome: NDArray[np.int64],
        kinds: NDArray[np.uint8],
    ) -> _SpelledRecords:
        """Sort the alleles of those records `rows` that spell their bases; writes their `kinds`."""
        lengths = records.tabs[rows, 3] - records.tabs[rows, 2] - 1
        rows, lengths = rows[lengths <= _LONGEST], lengths[lengths <= _LONGEST]
        starts = records.positions - 1
        begins, contigs = starts[rows], contig_of[rows]
        stretches = reference_stretches(
            self._genome, self._contigs, begins - _MARGIN, begins + lengths + _MARGIN, contigs
        )
        is_judged = np.empty(len(rows), dtype=bool)
        n_letters = int((records.tabs[rows, 4] - records.tabs[rows, 3]).sum())
        n_outcomes = int((first_outcome[rows + 1] - first_outcome[rows]).sum())
        terms = np.empty((n_letters, 4), dtype=np.int64)
        changes = np.empty((n_outcomes, 6), dtype=np.int64)
        n_terms, n_changes = kernels.classify_spelled(
            rows, records.text, records.tabs, starts, stretches, _LONGEST, first_outcome, kinds,
            is_judged, terms, changes,
        )  # fmt: skip
        return _SpelledRecords(
            rows, is_judged, terms[:n_terms], changes[:n_changes], records, contigs, stretches
        )

    def _add_spelled(
        self,
        batch: BatchBuilder,
        spelled: _SpelledRecords,
        contig_of: NDArray[np.int64],
        one_by_one: _OneByOne,
    ) -> None:
        """Add the alleles of spelled records, but those that have to be laid one by one."""
        outcomes, positions, refs, alts = spelled.terms.T
        owners = batch.record_of[outcomes]
        sites = batch.add_sites(owners, contig_of[owners], positions)
        batch.add_terms(outcomes, sites, refs.astype(np.uint8), alts.astype(np.uint8))
        if self._haplotypes is None:
            batch.statuses[spelled.changes[:, 0]] = CODE_OF_STATUS[Status.INDEL]
            return
        laid, outcomes, unlaid = spelled.lay(self._haplotypes.flank)
        batch.add_indels(outcomes, laid)
        for outcome, row, start, n_ref, alt, n_alt in unlaid.tolist():
            contig = self._contigs[spelled.contigs[row]]
            ref = self._letters.fetch(contig, start, start + n_ref)
            bases = spelled.records.text[alt : alt + n_alt].tobytes().upper()
            one_by_one.indels[outcome] = Change(contig, start, ref, bases)

    def _add_one_by_one(
        self, batch: BatchBuilder, one_by_one: _OneByOne, contig_of: NDArray[np.int64]
    ) -> None:
        if one_by_one.terms:
            outcomes, positions, refs, alts = np.array(one_by_one.terms).T
            owners = batch.record_of[outcomes]
            sites = batch.add_sites(owners, contig_of[owners], positions)
            batch.add_terms(outcomes, sites, refs.astype(np.uint8), alts.astype(np.uint8))
        if one_by_one.indels:
            assert self._haplotypes is not None
            changes = [self._haplotypes.left_aligned(x) for x in one_by_one.indels.values()]
            batch.add_indels(np.array(list(one_by_one.indels)), self._haplotypes.lay(changes))

    def _contigs_of(self, records: RecordTable) -> NDArray[np.int64]:
        """Index of the reference's contig by record; -1 where it has none."""
        resolved = [self._names.resolve(name) for name in records.run_names]
        indices = [-1 if name is None else self._index_of[name] for name in resolved]
        return np.repeat(np.array(indices, dtype=np.int64), records.run_lengths)

    def _is_known(
        self,
        contig_of: NDArray[np.int64],
        starts: NDArray[np.int64],
        spans: NDArray[np.int64],
    ) -> NDArray[np.bool_]:
        """Whether the reference is known at a base of REF, or beside it; bool array [N]."""
        if self._known is None:
            return np.ones(len(starts), dtype=bool)
        is_known = np.zeros(len(starts), dtype=bool)
        for contig in np.unique(contig_of[contig_of >= 0]).tolist():
            rows = np.flatnonzero(contig_of == contig)
            first, last = overlapping(
                self._known.on(self._contigs[contig]), starts[rows] - 1, (starts + spans)[rows] + 1
            )
            is_known[rows] = first < last
        return is_known

    def _letters_at(
        self,
        contig_of: NDArray[np.int64],
        starts: NDArray[np.int64],
        wanted: NDArray[np.bool_],
    ) -> NDArray[np.uint8]:
        """Reference letters at POS; 0 where not wanted."""
        letters = np.zeros(len(starts), dtype=np.uint8)
        wanted = wanted & (contig_of >= 0)
        if not self.uses_compiled_loops:
            return letters
        for contig in np.unique(contig_of[wanted]).tolist():
            rows = np.flatnonzero(wanted & (contig_of == contig))
            letters[rows] = self._letters.at(self._contigs[contig], starts[rows])
        return letters

    def _judge_one(
        self,
        records: RecordTable,
        record: int,
        contig_index: int,
        first_outcome: int,
        one_by_one: _OneByOne,
    ) -> list[Status]:
        """Status of every allele."""
        ref = records.column(record, 3).upper()
        start = int(records.positions[record]) - 1
        contig = self._contigs[contig_index]
        self._assembly.n_checked += 1
        letters = self._letters.fetch(contig, start, start + len(ref))
        if self._known is not None:
            inside = flags_of(self._known.on(contig), start, start + len(ref))
            letters = bytes(
                there if known else written
                for written, there, known in zip(ref, letters, inside.tolist(), strict=True)
            )
        is_mismatch = ref != letters and not ref_agrees(ref, letters)
        if is_mismatch:
            self._note_mismatch(records, record, ref, letters)
        statuses: list[Status] = []
        for outcome, alt in enumerate(records.column(record, 4).upper().split(b","), first_outcome):
            change: Substitution | MultiSubstitution | Indel | Status
            if is_mismatch and self._on_ref_mismatch == "skip":
                change = kind_without_sequence(alt) or Status.REF_MISMATCH
            else:
                change = classify(ref, alt)
            if isinstance(change, Indel) and self._haplotypes is None:
                change = Status.INDEL
            if isinstance(change, Status):
                statuses.append(change)
                continue
            if isinstance(change, Indel):
                one_by_one.indels[outcome] = Change(
                    contig, start + change.offset, change.ref, change.alt
                )
                status = Status.EXPERIMENTAL_INDEL
            else:
                changes = change.sites if isinstance(change, MultiSubstitution) else (change,)
                one_by_one.terms += [
                    (outcome, start + each.offset, each.ref, each.alt) for each in changes
                ]
                status = Status.MNV if len(changes) > 1 else Status.OK
            statuses.append(Status.REF_MISMATCH if is_mismatch else status)
        return statuses

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
        row_flags = self._flags.of_rows(batch)
        is_scored = np.flatnonzero(batch.score_rows >= 0)
        flags = row_flags[batch.score_rows[is_scored]]
        is_flagged = (flags != SiteFlags.NONE) & (
            batch.statuses[is_scored] != CODE_OF_STATUS[Status.REF_MISMATCH]
        )
        batch.statuses[is_scored[is_flagged]] = flags[is_flagged]
