"""Alleles in the context of every transcript that they lie in, and the worst of them kept.

A judged batch has a row for each allele that gets a number. Here it becomes one with a row for each
allele and transcript (a context), whose sites lie in the transcripts' own sequences; when all rows
have numbers, the lowest of each allele is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.haplotypes import Change, HaplotypeLayout, LaidChanges
from phylotools.annotate.judged_batch import CODE_OF_STATUS, Contexts, JudgedBatch
from phylotools.annotate.judging import SiteFlags
from phylotools.io.bases import reverse_complement
from phylotools.io.spliced import ExonIndex, SplicedGenome, transcript_contig
from phylotools.io.vcf.alleles import Status, trim
from phylotools.phylogeny.change_scores import SiteTerms

#: Decimals by which contexts are compared, those that are written: which of two equal contexts is
#: named must not depend on how their tiles lie.
_DECIMALS = 4
_NO_ROWS = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class _Found:
    """Contexts of some alleles: rows of the batch, and which transcript each is in.

    Attributes
    ----------
    rows, transcripts : int64 array [C]
        A transcript of -1 is the genome itself.
    """

    rows: NDArray[np.int64]
    transcripts: NDArray[np.int64]


class ContextFinder:
    """Puts judged alleles into their contexts.

    Parameters
    ----------
    spliced : SplicedGenome
        Its own genome is the one that records were judged against.
    half_window : int
        Sites nearer to the end of a transcript are flagged.
    scores_outside : bool
        Whether alleles outside all transcripts are scored in the genome.
    haplotypes : bool
        Whether changes of length are scored.
    """

    def __init__(
        self,
        spliced: SplicedGenome,
        half_window: int,
        *,
        scores_outside: bool,
        haplotypes: bool,
    ) -> None:
        genome = spliced.genome
        contigs = tuple(genome.contigs)
        self._contigs = contigs + tuple(map(transcript_contig, spliced.transcripts.names))
        self._n_contigs = len(contigs)
        self._transcripts = spliced.transcripts
        self._index = ExonIndex(spliced.transcripts, contigs)
        self._scores_outside = scores_outside
        self._flags = SiteFlags(spliced.contigs, half_window, None)
        self._in_genome = HaplotypeLayout(genome) if haplotypes else None
        self._in_transcripts = HaplotypeLayout(spliced) if haplotypes else None

    def contexts(self, judged: JudgedBatch) -> JudgedBatch:
        """The batch with a row for each allele in each of its contexts.

        Alleles that have none lose their row and get the status that says why.

        Parameters
        ----------
        judged : JudgedBatch
            Of records of the genome.
        """
        outcomes = np.flatnonzero(judged.score_rows >= 0)
        outcome_of_row = np.empty(judged.n_scored, dtype=np.int64)
        outcome_of_row[judged.score_rows[outcomes]] = outcomes
        builder = _ContextBuilder(judged, outcome_of_row, self._n_contigs)
        is_touched = np.zeros(judged.n_scored, dtype=bool)
        self._add_terms(judged, builder, is_touched)
        self._add_indels(judged, builder, is_touched)
        outside = ~builder.has_context & ~is_touched
        if self._scores_outside:
            builder.add_genome(outside)
            outside[:] = False
        at_edge = ~builder.has_context & ~outside
        statuses = judged.statuses.copy()
        statuses[outcome_of_row[outside]] = CODE_OF_STATUS[Status.OUTSIDE_TRANSCRIPTS]
        statuses[outcome_of_row[at_edge]] = CODE_OF_STATUS[Status.EXON_EDGE]
        return builder.finish(self._contigs, statuses, self._flags)

    def _add_terms(
        self, judged: JudgedBatch, builder: _ContextBuilder, is_touched: NDArray[np.bool_]
    ) -> None:
        """Substitutions: all changed bases lie in the transcript, or it is no context."""
        sites = judged.terms.sites
        places = self._index.places(judged.site_contigs[sites], judged.site_positions[sites])
        rows = judged.terms.owners[places.rows]
        is_touched[rows] = True
        key = rows * len(self._transcripts) + places.transcripts
        contexts, context_of_place, counts = np.unique(key, return_inverse=True, return_counts=True)
        n_terms = np.bincount(judged.terms.owners, minlength=judged.n_scored)
        is_whole = counts == n_terms[contexts // len(self._transcripts)]
        kept = is_whole[context_of_place]
        number = np.cumsum(is_whole) - 1
        builder.add_terms(
            _Found(*np.divmod(contexts[is_whole], len(self._transcripts))),
            number[context_of_place[kept]],
            places.rows[kept],
            places.positions[kept],
            self._transcripts.is_reverse[places.transcripts[kept]],
        )

    def _add_indels(
        self, judged: JudgedBatch, builder: _ContextBuilder, is_touched: NDArray[np.bool_]
    ) -> None:
        """Changes of length: an exon holds them wherever in their repeat they are written."""
        if not len(judged.indels) or self._in_genome is None or self._in_transcripts is None:
            return
        near = self._near_exons(judged.indels)
        changes: list[Change] = []
        rows: list[int] = []
        transcripts: list[int] = []
        for indel in np.flatnonzero(near).tolist():
            row = int(judged.indel_rows[indel])
            change = _change_of(judged, int(builder.outcome_of_row[row]))
            change = replace(change, contig=judged.contigs[judged.indels.contigs[indel]])
            change = self._in_genome.left_aligned(change)
            first, last = self._in_genome.reach(change)
            contig = judged.indels.contigs[indel : indel + 1]
            # An insertion touches the bases on either side of it.
            beside = not change.ref
            is_touched[row] = self._index.overlaps(
                contig, np.array([first - beside]), np.array([last + beside])
            )[0]
            ends = self._index.places(np.repeat(contig, 2), np.array([first - 1, last]))
            left, right = (ends.exons[ends.rows == side] for side in (0, 1))
            for exon in np.intersect1d(left, right).tolist():
                transcript, moved = self._in_exon(change, exon)
                changes.append(self._in_transcripts.left_aligned(moved))
                rows.append(row)
                transcripts.append(transcript)
        laid = self._in_transcripts.lay(changes)
        builder.add_indels(_Found(np.array(rows, np.int64), np.array(transcripts, np.int64)), laid)

    def _near_exons(self, indels: LaidChanges) -> NDArray[np.bool_]:
        """Which changes replace a base of an exon, or lie beside one."""
        begins, ends = indels.starts - 1, indels.starts + indels.n_refs
        return self._index.overlaps(indels.contigs, begins, ends + 1)

    def _in_exon(self, change: Change, exon: int) -> tuple[int, Change]:
        """The transcript of an exon, and a change within it as one of its joined sequence."""
        transcript = int(self._index.owner[exon])
        contig = transcript_contig(self._transcripts.names[transcript])
        last = change.start + max(len(change.ref), 1) - 1
        is_reverse = bool(self._transcripts.is_reverse[transcript])
        # An insertion stands before the base at its start, on the other strand behind it.
        edge = np.array([last if is_reverse else change.start])
        start = int(self._index.positions_in(np.array([exon]), edge)[0])
        if not is_reverse:
            return transcript, Change(contig, start, change.ref, change.alt)
        start += not change.ref
        return transcript, Change(
            contig, start, reverse_complement(change.ref), reverse_complement(change.alt)
        )


def _change_of(judged: JudgedBatch, outcome: int) -> Change:
    """The change of length that an allele is, without shared ends, as it is written."""
    record = int(np.searchsorted(judged.first_outcome, outcome, side="right")) - 1
    ref = judged.records.column(record, 3).upper()
    alts = judged.records.column(record, 4).upper().split(b",")
    alt = alts[outcome - int(judged.first_outcome[record])]
    offset, ref, alt = trim(ref, alt, n_kept=0)
    return Change("", int(judged.records.positions[record]) - 1 + offset, ref, alt)


class _ContextBuilder:
    """Collects the contexts of a batch.

    Parameters
    ----------
    judged : JudgedBatch
    outcome_of_row : int64 array, by row
    n_contigs : int
        Of the genome; transcripts are numbered behind them.

    Attributes
    ----------
    has_context : bool array, by row of the judged batch
    """

    def __init__(
        self, judged: JudgedBatch, outcome_of_row: NDArray[np.int64], n_contigs: int
    ) -> None:
        self.outcome_of_row = outcome_of_row
        self.has_context = np.zeros(judged.n_scored, dtype=bool)
        self._judged = judged
        self._n_contigs = n_contigs
        self._rows, self._transcripts = [_NO_ROWS], [_NO_ROWS]
        self._term_contexts, self._terms = [_NO_ROWS], [_NO_ROWS]
        self._site_contigs, self._site_positions = [_NO_ROWS], [_NO_ROWS]
        self._is_reverse = [np.empty(0, dtype=bool)]
        self._indels: LaidChanges | None = None
        self._indel_contexts = [_NO_ROWS]

    def _add(self, found: _Found) -> int:
        """Note contexts; the number of the first."""
        first = sum(map(len, self._rows))
        self._rows.append(found.rows)
        self._transcripts.append(found.transcripts)
        self.has_context[found.rows] = True
        return first

    def add_terms(
        self,
        found: _Found,
        contexts: NDArray[np.int64],
        terms: NDArray[np.int64],
        positions: NDArray[np.int64],
        is_reverse: NDArray[np.bool_],
    ) -> None:
        """Contexts of substitutions, and their terms.

        Parameters
        ----------
        found : _Found
        contexts : int64 array [P]
            Which of `found` each term is of.
        terms : int64 array [P]
            Which term of the judged batch it is.
        positions : int64 array [P]
            In the sequence of the transcript.
        is_reverse : bool array [P]
        """
        first = self._add(found)
        self._term_contexts.append(first + contexts)
        self._terms.append(terms)
        self._site_contigs.append(self._n_contigs + found.transcripts[contexts])
        self._site_positions.append(positions)
        self._is_reverse.append(is_reverse)

    def add_indels(self, found: _Found, laid: LaidChanges) -> None:
        """Contexts of changes of length, one each."""
        first = self._add(found)
        self._indel_contexts.append(first + np.arange(len(found.rows)))
        self._indels = laid if self._indels is None else self._indels.followed_by(laid)

    def add_genome(self, wanted: NDArray[np.bool_]) -> None:
        """The genome as context of some rows; bool array, by row."""
        judged = self._judged
        rows = np.flatnonzero(wanted)
        first = self._add(_Found(rows, np.full(len(rows), -1)))
        context_of = np.full(judged.n_scored, -1, dtype=np.int64)
        context_of[rows] = first + np.arange(len(rows))
        terms = np.flatnonzero(wanted[judged.terms.owners])
        sites = judged.terms.sites[terms]
        self._term_contexts.append(context_of[judged.terms.owners[terms]])
        self._terms.append(terms)
        self._site_contigs.append(judged.site_contigs[sites])
        self._site_positions.append(judged.site_positions[sites])
        self._is_reverse.append(np.zeros(len(terms), dtype=bool))
        indels = np.flatnonzero(wanted[judged.indel_rows])
        if len(indels):
            laid = judged.indels.subset(indels)
            self._indels = laid if self._indels is None else self._indels.followed_by(laid)
            self._indel_contexts.append(context_of[judged.indel_rows[indels]])

    def finish(
        self, contigs: tuple[str, ...], statuses: NDArray[np.uint8], flags: SiteFlags
    ) -> JudgedBatch:
        """The batch; `contigs` are those of the genome and the transcripts."""
        judged = self._judged
        terms, term_contexts = np.concatenate(self._terms), np.concatenate(self._term_contexts)
        rows = np.concatenate(self._rows)
        refs, alts = judged.terms.refs[terms], judged.terms.alts[terms]
        is_reverse = np.concatenate(self._is_reverse)
        batch = replace(
            judged,
            score_rows=np.full(len(judged.score_rows), -1, dtype=np.int64),
            statuses=statuses,
            sites=np.full(len(judged.sites), -1, dtype=np.int64),
            site_contigs=np.concatenate(self._site_contigs),
            site_positions=np.concatenate(self._site_positions),
            contigs=contigs,
            terms=SiteTerms(
                term_contexts,
                np.arange(len(terms)),
                np.where(is_reverse, 3 - refs, refs),
                np.where(is_reverse, 3 - alts, alts),
                len(rows),
            ),
            indels=judged.indels.subset(_NO_ROWS) if self._indels is None else self._indels,
            indel_rows=np.concatenate(self._indel_contexts),
            n_scored=len(rows),
        )
        outcomes = self.outcome_of_row[rows]
        contexts = Contexts(
            outcomes,
            np.concatenate(self._transcripts),
            self._pos_sites(terms, term_contexts, len(rows)),
            flags.of_rows(batch),
        )
        return replace(batch, contexts=contexts)

    def _pos_sites(
        self, terms: NDArray[np.int64], term_contexts: NDArray[np.int64], n_contexts: int
    ) -> NDArray[np.int64]:
        """Site of each context that is the record's POS; -1 for none."""
        judged = self._judged
        outcomes = self.outcome_of_row[judged.terms.owners[terms]]
        starts = judged.records.positions[judged.record_of[outcomes]] - 1
        is_first = judged.site_positions[judged.terms.sites[terms]] == starts
        found = np.full(n_contexts, -1, dtype=np.int64)
        found[term_contexts[is_first]] = np.flatnonzero(is_first)
        return found


def worst_kept(judged: JudgedBatch, scores: NDArray[np.float64]) -> JudgedBatch:
    """The batch with the lowest score of each allele, and the transcript that has it.

    Rate and entropy of a record are those of POS in the context of its lowest score.

    Parameters
    ----------
    judged : JudgedBatch
        From `ContextFinder.contexts`.
    scores : float64 array, by context
    """
    contexts = judged.contexts
    assert contexts is not None
    by_score = np.lexsort((contexts.transcripts, np.round(scores, _DECIMALS)))
    score_rows = judged.score_rows.copy()
    # Written from the highest to the lowest, so that the lowest stays.
    worst_first = by_score[::-1]
    score_rows[contexts.outcomes[worst_first]] = worst_first
    has_row = np.flatnonzero(score_rows >= 0)
    chosen = score_rows[has_row]
    transcripts = np.full(len(score_rows), -1, dtype=np.int64)
    transcripts[has_row] = contexts.transcripts[chosen]
    statuses = judged.statuses.copy()
    flags = contexts.flags[chosen]
    graver = (flags != SiteFlags.NONE) & (flags < statuses[has_row])
    graver &= statuses[has_row] != CODE_OF_STATUS[Status.REF_MISMATCH]
    statuses[has_row[graver]] = flags[graver]
    sites = judged.sites.copy()
    at_pos = worst_first[contexts.pos_sites[worst_first] >= 0]
    sites[judged.record_of[contexts.outcomes[at_pos]]] = contexts.pos_sites[at_pos]
    return replace(
        judged, score_rows=score_rows, statuses=statuses, sites=sites, transcripts=transcripts
    )
