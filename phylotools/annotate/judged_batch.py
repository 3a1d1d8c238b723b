"""What judging makes of a batch of records, and how it is put together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.haplotypes import NO_CHANGES, LaidChanges
from phylotools.io.vcf.alleles import Status
from phylotools.io.vcf.records import RecordTable
from phylotools.phylogeny.change_scores import SiteTerms

STATUSES = tuple(Status)
CODE_OF_STATUS = {status: code for code, status in enumerate(STATUSES)}


@dataclass(frozen=True)
class Contexts:
    """Contexts of alleles, one for each column of `BatchScores.scores`.

    Attributes
    ----------
    outcomes : int64 array [C]
        The allele.
    transcripts : int64 array [C]
        Number of the transcript; -1 for the genome itself.
    pos_sites : int64 array [C]
        The context's site that is the record's POS; -1 for none.
    flags : uint8 array [C]
        Status code that its sites give, see `SiteFlags`.
    """

    outcomes: NDArray[np.int64]
    transcripts: NDArray[np.int64]
    pos_sites: NDArray[np.int64]
    flags: NDArray[np.uint8]


@dataclass(frozen=True)
class JudgedBatch:
    """N records, the outcomes of their alleles, and what must be computed for them.

    Attributes
    ----------
    records : RecordTable
    first_outcome : int64 array [N + 1]
        Where the outcomes of each record's ALTs begin.
    score_rows : int64 array, by outcome
        Column of `BatchScores.scores` that has the allele's; -1 where it gets none.
    statuses : uint8 array, by outcome
        Index into `STATUSES`.
    sites : int64 array [N]
        The scored site that POS is; -1 for none.
    site_contigs : int64 array [S]
        Index into `contigs`.
    site_positions : int64 array [S]
        0-based.
    contigs : tuple of str
    terms : SiteTerms
        Changes of single sites that the scored alleles consist of.
    indels : LaidChanges
        Changes of length.
    indel_rows : int64 array, by indel
        Columns of their scores, which have no terms here.
    n_scored : int
        Columns of `BatchScores.scores`.
    contexts : Contexts, optional
        Where alleles are scored in transcripts: what the columns are.
    transcripts : int64 array, by outcome, optional
        Transcript whose score was kept; -1 for none.
    """

    records: RecordTable
    first_outcome: NDArray[np.int64]
    score_rows: NDArray[np.int64]
    statuses: NDArray[np.uint8]
    sites: NDArray[np.int64]
    site_contigs: NDArray[np.int64]
    site_positions: NDArray[np.int64]
    contigs: tuple[str, ...]
    terms: SiteTerms
    indels: LaidChanges
    indel_rows: NDArray[np.int64]
    n_scored: int
    contexts: Contexts | None = None
    transcripts: NDArray[np.int64] | None = None

    @property
    def record_of(self) -> NDArray[np.int64]:
        """Record of each outcome, int64."""
        return np.repeat(np.arange(len(self.records)), np.diff(self.first_outcome))


class BatchBuilder:
    """Collects what must be computed, from several passes over the same records.

    Parameters
    ----------
    records : RecordTable
    first_outcome : int64 array [N + 1]
        As in `JudgedBatch`.
    statuses : uint8 array, by outcome
        May be changed until `finish`.

    Attributes
    ----------
    statuses : uint8 array, by outcome
    record_of : int64 array, by outcome
    """

    def __init__(
        self, records: RecordTable, first_outcome: NDArray[np.int64], statuses: NDArray[np.uint8]
    ) -> None:
        self.statuses = statuses
        self.record_of = np.repeat(np.arange(len(records)), np.diff(first_outcome))
        self._records = records
        self._first_outcome = first_outcome
        self._score_rows = np.full(len(statuses), -1, dtype=np.int64)
        self._sites = np.full(len(records), -1, dtype=np.int64)
        self._n_scored = 0
        self._n_sites = 0
        self._site_columns: list[tuple[NDArray, NDArray]] = []
        self._term_columns: list[tuple[NDArray, ...]] = []
        self._indel_columns: list[NDArray[np.int64]] = []
        self._indels = NO_CHANGES

    def add_sites(
        self,
        records: NDArray[np.int64],
        contigs: NDArray[np.int64],
        positions: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """Sites to be scored, [K], of records; those at POS get the record's rate and entropy.

        Returns
        -------
        int64 array [K]
            Their indices.
        """
        sites = self._n_sites + np.arange(len(positions))
        self._n_sites += len(positions)
        self._site_columns.append((contigs, positions))
        is_first = positions == self._records.positions[records] - 1
        self._sites[records[is_first]] = sites[is_first]
        return sites

    def add_terms(
        self,
        outcomes: NDArray[np.int64],
        sites: NDArray[np.int64],
        refs: NDArray[np.uint8],
        alts: NDArray[np.uint8],
    ) -> None:
        """Changes at sites, [K], whose scores the alleles `outcomes` sum up."""
        self._add_scored(outcomes)
        self._term_columns.append((self._score_rows[outcomes], sites, refs, alts))

    def add_indels(self, outcomes: NDArray[np.int64], laid: LaidChanges) -> None:
        """Changes of length, each of an allele."""
        self._add_scored(outcomes)
        self._indel_columns.append(self._score_rows[outcomes])
        self._indels = self._indels.followed_by(laid)

    def _add_scored(self, outcomes: NDArray[np.int64]) -> None:
        """Give alleles a column of the scores each."""
        new = np.unique(outcomes)
        self._score_rows[new] = self._n_scored + np.arange(len(new))
        self._n_scored += len(new)

    def finish(self, contigs: tuple[str, ...]) -> JudgedBatch:
        """The batch, once sites and terms were added; `contigs` are the names that indices mean."""
        sites = map(np.concatenate, zip(*self._site_columns, strict=True))
        site_contigs, site_positions = sites
        owners, term_sites, refs, alts = map(np.concatenate, zip(*self._term_columns, strict=True))
        return JudgedBatch(
            self._records,
            self._first_outcome,
            self._score_rows,
            self.statuses,
            self._sites,
            site_contigs,
            site_positions,
            contigs,
            SiteTerms(owners, term_sites, refs, alts, self._n_scored),
            self._indels,
            np.concatenate([np.empty(0, dtype=np.int64), *self._indel_columns]),
            self._n_scored,
        )
