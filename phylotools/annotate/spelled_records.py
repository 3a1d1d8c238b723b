"""Records that spell their bases, REF those of the reference: nearly all that are not plain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.haplotypes import LaidChanges
from phylotools.annotate.judging_kernels import classify_spelled, lay_indels
from phylotools.io.genome import ReferenceGenome
from phylotools.io.vcf.records import RecordTable
from phylotools.scoring.reference import ReferenceStretches, reference_stretches

#: Bases of an allele, and those read on either side of REF: nearly all indels are shorter, and
#: nearly all repeats that one stands in. Others are judged and laid one by one.
_LONGEST, _MARGIN = 64, 256


@dataclass(frozen=True)
class SpelledRecords:
    """What compiled loops found of R records.

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
        n_terms = lay_indels(changes, self.records.text, stretches, flank, starts, terms)
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


def judge_spelled(
    records: RecordTable,
    rows: NDArray[np.int64],
    contig_of: NDArray[np.int64],
    first_outcome: NDArray[np.int64],
    kinds: NDArray[np.uint8],
    genome: ReferenceGenome,
    contigs: Sequence[str],
) -> SpelledRecords:
    """Sort the alleles of those records that spell their bases.

    Parameters
    ----------
    records : RecordTable
        N records.
    rows : int64 array
        Records whose REF lies within a contig.
    contig_of : int64 array [N]
        Index into `contigs`.
    first_outcome : int64 array [N + 1]
    kinds : uint8 array, written
        By outcome, see `classify_spelled`.
    genome : ReferenceGenome
    contigs : sequence of str
    """
    lengths = records.tabs[rows, 3] - records.tabs[rows, 2] - 1
    rows = rows[lengths <= _LONGEST]
    starts = records.positions - 1
    begins = starts[rows]
    ends = begins + lengths[lengths <= _LONGEST]
    contig_index = contig_of[rows]
    stretches = reference_stretches(genome, contigs, begins - _MARGIN, ends + _MARGIN, contig_index)
    is_judged = np.empty(len(rows), dtype=bool)
    n_letters = int((records.tabs[rows, 4] - records.tabs[rows, 3]).sum())
    n_outcomes = int((first_outcome[rows + 1] - first_outcome[rows]).sum())
    terms = np.empty((n_letters, 4), dtype=np.int64)
    changes = np.empty((n_outcomes, 6), dtype=np.int64)
    n_terms, n_changes = classify_spelled(
        rows,
        records.text,
        records.tabs,
        starts,
        stretches,
        _LONGEST,
        first_outcome,
        kinds,
        is_judged,
        terms,
        changes,
    )
    return SpelledRecords(
        rows, is_judged, terms[:n_terms], changes[:n_changes], records, contig_index, stretches
    )
