"""Scores of variant records: blocks of VCF lines in, the same lines with INFO fields out.

Three steps, each for one thread at a time, so that a pipeline can have them work on different
blocks at once: `VariantAnnotator.judge`, `score` and `write`.
"""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.allele_scores import AlleleScorer, BatchScores
from phylotools.annotate.contexts import ContextFinder, worst_kept
from phylotools.annotate.fields import InfoFields
from phylotools.annotate.haplotypes import HaplotypeLayout
from phylotools.annotate.judged_batch import STATUSES, JudgedBatch
from phylotools.annotate.judging import Judge, OnRefMismatch
from phylotools.annotate.line_kernels import RecordLines, ScoredAlleles, write_annotated
from phylotools.annotate.lookup import ScoreTracks
from phylotools.annotate.tally import Tally
from phylotools.errors import shown_path
from phylotools.io.number_text import NumberText, fixed_text, general_text
from phylotools.io.regions import RegionSet
from phylotools.io.spliced import SplicedGenome
from phylotools.io.vcf.alleles import SCORED_STATUSES, Status
from phylotools.io.vcf.records import LineBlock, RecordTable, scan_records
from phylotools.io.vcf.regions import RegionFilter
from phylotools.io.vcf.text import (
    VcfHeader,
    info_keys_pattern,
    info_value,
    remove_entries,
    with_entry,
)
from phylotools.phylogeny.score_meaning import CALIBRATED
from phylotools.scoring.reference import AssemblyCheck, ContigNames
from phylotools.scoring.scorer import Scorer

logger = logging.getLogger("phylotools")

_LONGEST_STATUS = max(map(len, STATUSES))
_STATUS_TEXT = NumberText(
    np.array([list(s.encode().ljust(_LONGEST_STATUS)) for s in STATUSES], dtype=np.uint8),
    np.array(list(map(len, STATUSES)), dtype=np.int64),
)


@dataclass(frozen=True)
class AnnotatedBatch:
    """Finished lines.

    Attributes
    ----------
    text : memoryview
        Of whole lines.
    records : RecordTable
        The records that they are.
    """

    text: memoryview
    records: RecordTable

    @property
    def lines(self) -> list[bytes]:
        """The lines one by one, with their line ends."""
        return [line + b"\n" for line in bytes(self.text).split(b"\n")[:-1]]


class VariantAnnotator:
    """Adds scores to VCF lines, block by block.

    Parameters
    ----------
    scorer : Scorer
    header : VcfHeader
    path : str
        The variants, for messages.
    fields : InfoFields, optional
    on_ref_mismatch : {'error', 'skip', 'warn'}
        What to do where REF is not the reference base: stop, leave without a number, or score
        against REF as written.
    training_regions : RegionSet, optional
        Columns that the model was trained on; scored alleles elsewhere are flagged.
    advice : str
        What to do if no record is on a contig of the reference.
    score_indels : bool
    tracks : ScoreTracks, optional
        Asked before the network.
    scores_outside : bool
        Where the scorer's genome is a `SplicedGenome`: whether alleles outside its transcripts are
        scored in the genome.
    is_start : bool
        Whether the first block begins the file: one that is plainly made on another assembly is
        refused by it. Later blocks are not looked at for that, so that the parts of a file, which
        do not know each other, come to what the whole file comes to.

    Attributes
    ----------
    n_records : int
    statuses : Counter of Status
        Alleles by status.
    regions : RegionFilter or None
        Where set, other records are left out.
    """

    def __init__(
        self,
        scorer: Scorer,
        header: VcfHeader,
        path: str,
        *,
        fields: InfoFields | None = None,
        on_ref_mismatch: OnRefMismatch = "skip",
        training_regions: RegionSet | None = None,
        advice: str = "give the reference that its contigs belong to",
        score_indels: bool = True,
        tracks: ScoreTracks | None = None,
        scores_outside: bool = False,
        is_start: bool = True,
    ) -> None:
        self._path = path
        self._advice = advice
        self._is_start = is_start
        self._n_columns = header.n_columns
        self._on_ref_mismatch = on_ref_mismatch
        fields = fields or InfoFields(substitution=scorer.model.mutation_process.substitution)
        self._tag = fields.tag.encode()
        self._transcript_key = fields.transcript_key.encode()
        self._old_entries = info_keys_pattern(sorted(fields.replaced_keys))
        parts = [key.encode() + b"=" for key in fields.keys]
        parts[1:] = [b";" + part for part in parts[1:]]
        self._keys = np.frombuffer(b"".join(parts), dtype=np.uint8)
        self._key_ends = np.cumsum([len(part) for part in parts])
        spliced = scorer.genome if isinstance(scorer.genome, SplicedGenome) else None
        genome = scorer.genome if spliced is None else spliced.genome
        if spliced is not None and training_regions is not None:
            # Stores of whole coding sequences have transcripts for contigs.
            training_regions |= spliced.transcripts.in_genome(training_regions)
        self.contig_names = ContigNames(header.contigs, genome, path)
        self.assembly = AssemblyCheck(path, genome.path)
        self._judge = Judge(
            genome,
            # In transcripts it is their ends that count.
            scorer.half_window if spliced is None else 0,
            self.contig_names,
            self.assembly,
            path,
            on_ref_mismatch=on_ref_mismatch,
            training_regions=training_regions,
            haplotypes=HaplotypeLayout(genome) if score_indels else None,
        )
        self._contexts: ContextFinder | None = None
        self._transcripts: tuple[str, ...] = ()
        if spliced is not None:
            self._contexts = ContextFinder(
                spliced,
                scorer.half_window,
                scores_outside=scores_outside,
                haplotypes=score_indels,
            )
            self._transcripts = spliced.transcripts.names
        if CALIBRATED in fields.scores:
            _ = scorer.model.calibration  # There must be one, which is said before the work.
        self._default = fields.scores.index(fields.default_score)
        self._scores = AlleleScorer(scorer, fields.scores, tracks)
        self.regions: RegionFilter | None = None
        self.n_records = 0
        self.statuses: Counter[Status] = Counter()

    @property
    def n_looked_up(self) -> int:
        """Single-nucleotide changes at sites that were looked up."""
        return self._scores.n_looked_up

    @property
    def n_scored(self) -> int:
        """Alleles with a number."""
        return sum(self.statuses[status] for status in self.scored_statuses)

    @property
    def scored_statuses(self) -> frozenset[Status]:
        """Statuses that stand beside a number."""
        if self._on_ref_mismatch == "warn":
            return SCORED_STATUSES | {Status.REF_MISMATCH}
        return SCORED_STATUSES

    def annotate(self, batch: Sequence[tuple[int, bytes]]) -> AnnotatedBatch:
        """The three steps in a row, for lines that are in memory.

        Parameters
        ----------
        batch : sequence of (int, bytes)
            Line numbers, which follow each other, and lines with their line ends.

        Raises
        ------
        InputError
            As for `judge` and `score`.
        """
        first_line = batch[0][0] if batch else 1
        judged = self.judge(LineBlock(b"".join(line for _, line in batch), first_line))
        return self.write(judged, self.score(judged))

    def judge(self, block: LineBlock) -> JudgedBatch:
        """Find the records of a block and what is to be scored of them.

        Raises
        ------
        InputError
            If a line is no VCF record, REF disagrees and that is to be an error, or the file is
            plainly made on another assembly.
        """
        records = scan_records(block, self._n_columns, self._path)
        if self.regions is not None:
            records = self.regions.select(records)
        judged = self._judge.judge(records)
        counts: Counter[bytes] = Counter()
        for name, count in zip(records.run_names, records.run_lengths.tolist(), strict=True):
            counts[name] += count
        self.contig_names.count(counts)
        if self._is_start:
            self.contig_names.refuse_foreign(self._advice, is_complete=False)
            if self._on_ref_mismatch != "warn":
                self.assembly.refuse_early()
            self._is_start = False
        return judged if self._contexts is None else self._contexts.contexts(judged)

    def score(self, judged: JudgedBatch, check: Callable[[], None] = lambda: None) -> BatchScores:
        """Compute the numbers of a batch.

        Parameters
        ----------
        judged : JudgedBatch
        check : callable
            Called again and again; raises where the run was given up.

        Raises
        ------
        InputError
            If the network gives numbers that are not finite, or the tracks are damaged.
        """
        return self._scores.score(judged, check)

    def worst_kept(self, judged: JudgedBatch, scores: BatchScores) -> JudgedBatch:
        """The batch with the lowest score of each allele that was scored in several transcripts.

        Lowest by the model's default score, or by the LLR where a change has no other.
        """
        if judged.contexts is None:
            return judged
        default, llr = scores.scores[self._default], scores.scores[0]
        return worst_kept(judged, np.where(np.isnan(default), llr, default))

    @cached_property
    def _transcript_texts(self) -> list[bytes]:
        """Names of the transcripts as INFO has them, and what stands for none."""
        return [*map(info_value, self._transcripts), b"."]

    def transcripts_of(self, judged: JudgedBatch) -> list[str] | None:
        """Name of each allele's transcript, empty for none; None where none were asked for."""
        if judged.transcripts is None:
            return None
        names = (*self._transcripts, "")
        return [names[number] for number in judged.transcripts.tolist()]

    def write(self, judged: JudgedBatch, scores: BatchScores) -> AnnotatedBatch:
        """The lines of a batch with its numbers."""
        judged = self.worst_kept(judged, scores)
        records = self._with_transcripts(self._without_old_entries(judged.records), judged)
        text, rate = fixed_text(scores.scores.ravel()), general_text(scores.rate)
        entropy = fixed_text(scores.entropy)
        longest = int(rate.lengths.max(initial=1) + entropy.lengths.max(initial=1))
        of_outcome = len(scores.scores) * (int(text.lengths.max(initial=1)) + 1)
        room = (
            int((records.ends - records.begins).sum())
            + len(records) * (len(self._keys) + 1 + longest)
            + len(judged.score_rows) * (_LONGEST_STATUS + 1 + of_outcome)
        )
        out: NDArray[np.uint8] = np.empty(room, dtype=np.uint8)
        n_written = write_annotated(
            RecordLines(records.text, records.begins, records.ends, records.tabs),
            ScoredAlleles(judged.first_outcome, judged.score_rows, judged.statuses, judged.sites),
            text,
            judged.n_scored,
            _STATUS_TEXT,
            rate,
            entropy,
            self._keys,
            self._key_ends,
            out,
        )
        self.n_records += len(records)
        counts = np.bincount(judged.statuses, minlength=len(STATUSES)).tolist()
        for status, count in zip(STATUSES, counts, strict=True):
            if count:
                self.statuses[status] += count
        return AnnotatedBatch(out[:n_written].data, records)

    def tally(self, n_blank_lines: int = 0) -> Tally:
        """What was counted so far."""
        return Tally(
            self.n_records,
            {str(status): count for status, count in self.statuses.items()},
            self.n_looked_up,
            self.assembly.n_checked,
            self.assembly.n_mismatches,
            self.assembly.first_mismatch,
            self.contig_names.n_records_found,
            dict(self.contig_names.n_records_missing),
            n_blank_lines,
        )

    def finish(self, tally: Tally | None = None) -> None:
        """Check the whole file once its end is reached; warn of what was left out.

        Parameters
        ----------
        tally : Tally, optional
            Of a file that was read in parts; by default what was counted here.

        Raises
        ------
        InputError
            If no record is on a contig of the reference, or too many disagree with it.
        """
        if tally is not None:
            self._take_over(tally)
        self.contig_names.refuse_foreign(self._advice, is_complete=True)
        if self._on_ref_mismatch != "warn":
            self.assembly.refuse()
        self.contig_names.warn_missing()
        if self.assembly.n_mismatches:
            logger.warning(
                "%s: REF disagrees with the reference in %d of %d records (first: %s); %s",
                shown_path(self._path),
                self.assembly.n_mismatches,
                self.assembly.n_checked,
                self.assembly.first_mismatch,
                "scored against REF as written"
                if self._on_ref_mismatch == "warn"
                else "left without a number",
            )
        if self.statuses[Status.OUTSIDE_TRAINING]:
            logger.warning(
                "%s: %d scored alleles lie outside the regions that the model was trained on",
                shown_path(self._path),
                self.statuses[Status.OUTSIDE_TRAINING],
            )

    def _take_over(self, tally: Tally) -> None:
        """Go on as if the records of a tally had been counted here, and no others."""
        self.n_records = tally.n_records
        self.statuses = Counter({Status(status): count for status, count in tally.statuses.items()})
        self.contig_names.n_records_found = tally.n_on_contigs
        self.contig_names.n_records_missing = dict(tally.n_missing)
        self.assembly.n_checked = tally.n_ref_checked
        self.assembly.n_mismatches = tally.n_ref_mismatches
        self.assembly.first_mismatch = tally.first_mismatch

    def _with_transcripts(self, records: RecordTable, judged: JudgedBatch) -> RecordTable:
        """The records with the transcripts that their scores are from."""
        if judged.transcripts is None:
            return records
        texts = self._transcript_texts
        names = [texts[number] for number in judged.transcripts.tolist()]
        bounds = itertools.pairwise(judged.first_outcome.tolist())
        key = self._transcript_key + b"="
        return records.with_info(
            {
                record: with_entry(records.column(record, 7), key + b",".join(names[first:last]))
                for record, (first, last) in enumerate(bounds)
            }
        )

    def _without_old_entries(self, records: RecordTable) -> RecordTable:
        """The records without INFO entries of the keys that are to be written."""
        changed: dict[int, bytes] = {}
        for record in np.flatnonzero(records.info_contains(self._tag)).tolist():
            info = records.column(record, 7)
            kept = remove_entries(info, self._old_entries)
            if kept != info:
                changed[record] = kept
        return records.with_info(changed)
