"""Scores of variant records: batches of VCF lines in, the same lines with INFO fields out."""

from __future__ import annotations

import functools
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import InputError, shown_path
from phylotools.io.regions import Region, resolve_contigs
from phylotools.io.vcf_text import VcfHeader, info_keys_pattern, replace_info
from phylotools.predict.alleles import (
    SCORED_STATUSES,
    Status,
    Substitution,
    classify,
    kind_without_sequence,
)
from phylotools.predict.info_fields import InfoFields
from phylotools.predict.reference import (
    AssemblyCheck,
    ContigNames,
    ReferenceLetters,
    ref_agrees,
)
from phylotools.predict.scorer import Scorer

logger = logging.getLogger("phylotools")

OnRefMismatch = Literal["error", "skip", "warn"]
_POSITION = re.compile(rb"-?[0-9]{1,18}")
_SHORT_ALLELES = 8
#: Stands for a record whose POS is not scored: the last entry of `_SiteScores.fields`.
_NO_SITE = -1
_STATUS_BYTES = {status: status.encode() for status in Status}
_classify_short = functools.lru_cache(1 << 14)(classify)


@dataclass(frozen=True)
class AnnotatedBatch:
    """Finished lines, and where each stands (contig as written, 1-based position)."""

    lines: list[bytes]
    places: list[tuple[bytes, int]]


@dataclass
class _Sites:
    """Distinct sites of a batch and the alleles scored at them."""

    index_of: dict[tuple[str, int], int] = field(default_factory=dict)
    allele_site: list[int] = field(default_factory=list)
    changes: list[Substitution] = field(default_factory=list)

    def add(self, contig: str, position: int, change: Substitution) -> int:
        """Index of a new allele."""
        site = self.index_of.setdefault((contig, position), len(self.index_of))
        self.allele_site.append(site)
        self.changes.append(change)
        return len(self.changes) - 1


@dataclass(frozen=True)
class _SiteScores:
    """Finished text.

    Attributes
    ----------
    llr : list of bytes
        By allele.
    fields : list of bytes
        Rate and entropy entries by site; the last one is for records without a scored site.
    status : list of Status
        By site.
    """

    llr: list[bytes]
    fields: list[bytes]
    status: list[Status]


@dataclass(slots=True)
class _Record:
    """A record between parsing and formatting."""

    columns: list[bytes]
    line_end: bytes
    position: int
    #: Per ALT: why it has no number, or the index of its allele in the batch.
    outcomes: list[Status | int]
    first_site: int = _NO_SITE
    is_mismatch: bool = False


class VariantAnnotator:
    """Adds scores to VCF lines, batch by batch.

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
    training_regions : sequence of Region, optional
        Columns that the model was trained on; scored alleles elsewhere are flagged.
    advice : str
        What to do if no record is on a contig of the reference.

    Attributes
    ----------
    n_records : int
    statuses : Counter of Status
        Alleles by status.
    """

    def __init__(
        self,
        scorer: Scorer,
        header: VcfHeader,
        path: str,
        *,
        fields: InfoFields | None = None,
        on_ref_mismatch: OnRefMismatch = "skip",
        training_regions: Sequence[Region] | None = None,
        advice: str = "give the reference that its contigs belong to",
    ) -> None:
        self._scorer = scorer
        self._model = scorer.model.substitution
        self._path = path
        self._advice = advice
        self._contig_lengths = scorer.genome.contigs
        self._n_columns = header.n_columns
        self._on_ref_mismatch = on_ref_mismatch
        fields = fields or InfoFields()
        self._tag = fields.tag.encode()
        keys = fields.keys
        self._keys = [key.encode() + b"=" for key in keys]
        self._old_entries = info_keys_pattern(keys)
        self._training = (
            None
            if training_regions is None
            else _training_intervals(training_regions, self._contig_lengths)
        )
        self._letters = ReferenceLetters(scorer.genome)
        self.contig_names = ContigNames(header.contigs, scorer.genome, path)
        self.assembly = AssemblyCheck(path, scorer.genome.path)
        self.n_records = 0
        self.n_scored = 0
        self.statuses: Counter[Status] = Counter()

    def annotate(self, batch: Sequence[tuple[int, bytes]]) -> AnnotatedBatch:
        """Score the records of a batch.

        Parameters
        ----------
        batch : sequence of (int, bytes)
            Line number and line, as `VariantStream.records` gives them.

        Raises
        ------
        InputError
            If a line is no VCF record, REF disagrees and that is to be an error, or the file is
            plainly made on another assembly.
        """
        sites = _Sites()
        records = [self._parse(line, number) for number, line in batch]
        for record, (number, _) in zip(records, batch, strict=True):
            self._judge(record, number, sites)
        self.contig_names.count(Counter(record.columns[0] for record in records))
        self.contig_names.refuse_foreign(self._advice, is_complete=False)
        if self._on_ref_mismatch != "warn":
            self.assembly.refuse_early()
        scores = self._score(sites)
        self.n_records += len(records)
        self.n_scored += len(sites.changes)
        return AnnotatedBatch(
            [self._format(record, sites, scores) for record in records],
            [(record.columns[0], record.position) for record in records],
        )

    def finish(self) -> None:
        """Check the whole file once its end is reached; warn of what was left out.

        Raises
        ------
        InputError
            If no record is on a contig of the reference, or too many disagree with it.
        """
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

    @property
    def scored_statuses(self) -> frozenset[Status]:
        """Statuses that stand beside a number."""
        if self._on_ref_mismatch == "warn":
            return SCORED_STATUSES | {Status.REF_MISMATCH}
        return SCORED_STATUSES

    def _parse(self, line: bytes, number: int) -> _Record:
        line_end = b"\r\n" if line.endswith(b"\r\n") else b"\n"
        columns = line[: -len(line_end)].split(b"\t", 8)
        n_columns = len(columns)
        if n_columns == 9:
            n_columns += columns[8].count(b"\t")
        if n_columns != self._n_columns:
            raise self._line_error(
                f"the record has {n_columns} tab-separated columns, the header line "
                f"{self._n_columns}; the file may be cut off, or not tab-separated",
                number,
            )
        digits = columns[1]
        if not (digits.isdigit() and len(digits) < 18) and not _POSITION.fullmatch(digits):
            text = digits[:20].decode("utf-8", "replace")
            raise self._line_error(f"POS {text!r} is not a whole number", number)
        if not columns[3]:
            raise self._line_error("REF is empty", number)
        return _Record(columns, line_end, int(digits), [])

    def _line_error(self, problem: str, number: int) -> InputError:
        return InputError(problem, path=self._path, line=number, remedy="mend the line")

    def _judge(self, record: _Record, number: int, sites: _Sites) -> None:
        """Fill in the outcome of every allele, and enter those to be scored."""
        columns = record.columns
        ref = columns[3].upper()
        alts = columns[4].upper().split(b",")
        contig = self.contig_names.resolve(columns[0])
        if contig is None:
            record.outcomes = [Status.CONTIG_MISSING] * len(alts)
            return
        start = record.position - 1
        if start < 0 or start + len(ref) > self._contig_lengths[contig]:
            record.outcomes = [Status.OUT_OF_CONTIG] * len(alts)
            return
        self.assembly.n_checked += 1
        letters = self._letters.fetch(contig, start, start + len(ref))
        if ref != letters and not ref_agrees(ref, letters):
            self._note_mismatch(record, ref, letters, number)
        for alt in alts:
            outcome: Status | Substitution
            if record.is_mismatch and self._on_ref_mismatch == "skip":
                outcome = kind_without_sequence(alt) or Status.REF_MISMATCH
            elif len(ref) + len(alt) <= _SHORT_ALLELES:
                outcome = _classify_short(ref, alt)
            else:
                outcome = classify(ref, alt)
            if outcome.__class__ is not Substitution:
                record.outcomes.append(outcome)  # type: ignore[arg-type]
                continue
            allele = sites.add(contig, start + outcome.offset, outcome)
            if outcome.offset == 0:
                record.first_site = sites.allele_site[allele]
            record.outcomes.append(allele)

    def _note_mismatch(self, record: _Record, ref: bytes, letters: bytes, number: int) -> None:
        record.is_mismatch = True
        self.assembly.n_mismatches += 1
        place = f"{record.columns[0].decode('utf-8', 'replace')}:{int(record.columns[1])}"
        difference = f"{place} REF {ref[:20].decode()}, reference {letters[:20].decode()}"
        if self.assembly.first_mismatch is None:
            self.assembly.first_mismatch = difference
        if self._on_ref_mismatch == "error":
            raise InputError(
                "REF disagrees with the reference: " + difference,
                path=self._path,
                line=number,
                remedy="give the right --fasta, or --on-ref-mismatch skip",
            )

    def _score(self, sites: _Sites) -> _SiteScores:
        values, statuses = self._site_theta(list(sites.index_of))
        theta = torch.from_numpy(values)
        # In float64, so that the difference of two scores is exact to the decimals written.
        allele_scores = self._model.allele_scores(theta.double()).numpy()
        rows = np.array(sites.allele_site, dtype=np.int64)
        llr = allele_scores[rows, [change.alt for change in sites.changes]]
        llr -= allele_scores[rows, [change.ref for change in sites.changes]]
        rate_key, entropy_key = self._keys[2:]
        pattern = b";" + rate_key + b"%.4g;" + entropy_key + b"%.4f"
        numbers = zip(
            self._model.site_rate(theta).tolist(), self._model.entropy(theta).tolist(), strict=True
        )
        return _SiteScores(
            # Adding zero turns a rounded -0.0 into 0.0.
            llr=[b"%.4f" % value for value in (llr.round(4) + 0.0).tolist()],
            fields=[pattern % pair for pair in numbers]
            + [b";" + rate_key + b".;" + entropy_key + b"."],
            status=statuses,
        )

    def _site_theta(
        self, places: list[tuple[str, int]]
    ) -> tuple[NDArray[np.float32], list[Status]]:
        """Theta [K, 4] and flags of distinct sites."""
        theta = np.empty((len(places), 4), dtype=np.float32)
        statuses = [Status.OK] * len(places)
        rows_of: dict[str, list[int]] = {}
        for row, (contig, _) in enumerate(places):
            rows_of.setdefault(contig, []).append(row)
        for contig, rows in rows_of.items():
            positions = np.array([places[row][1] for row in rows], dtype=np.int64)
            theta[rows] = self._scorer.theta_at(contig, positions)
            edge = self._scorer.half_window
            is_padded = (positions < edge) | (positions >= self._contig_lengths[contig] - edge)
            for index in np.flatnonzero(is_padded).tolist():
                statuses[rows[index]] = Status.EDGE_PADDED
            for index in np.flatnonzero(self._is_untrained(contig, positions)).tolist():
                statuses[rows[index]] = Status.OUTSIDE_TRAINING
        return theta, statuses

    def _is_untrained(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        if self._training is None:
            return np.zeros(len(positions), dtype=bool)
        starts, ends = self._training.get(contig, _NO_INTERVALS)
        return np.searchsorted(starts, positions, side="right") == np.searchsorted(
            ends, positions, side="right"
        )

    def _format(self, record: _Record, sites: _Sites, scores: _SiteScores) -> bytes:
        ratios: list[bytes] = []
        statuses: list[bytes] = []
        for outcome in record.outcomes:
            if outcome.__class__ is int:
                ratios.append(scores.llr[outcome])
                status = scores.status[sites.allele_site[outcome]]
                if record.is_mismatch:
                    status = Status.REF_MISMATCH
            else:
                ratios.append(b".")
                status = outcome  # type: ignore[assignment]
            self.statuses[status] += 1
            statuses.append(_STATUS_BYTES[status])
        llr_key, status_key = self._keys[:2]
        added = (
            llr_key
            + b",".join(ratios)
            + b";"
            + status_key
            + b",".join(statuses)
            + scores.fields[record.first_site]
        )
        columns = record.columns
        columns[7] = replace_info(columns[7], added, self._tag, self._old_entries)
        return b"\t".join(columns) + record.line_end


_NO_INTERVALS = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def _training_intervals(
    regions: Iterable[Region], contigs: Iterable[str]
) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Sorted starts and ends of merged regions, by the reference's contig names.

    A position lies inside if more regions have begun than ended before it.
    """
    listed = list(regions)
    names = resolve_contigs(dict.fromkeys(region.contig for region in listed), contigs)
    bounds: dict[str, tuple[list[int], list[int]]] = {}
    for region in listed:
        if region.contig in names:
            starts, ends = bounds.setdefault(names[region.contig], ([], []))
            starts.append(region.start)
            ends.append(region.end)
    return {
        contig: (np.sort(np.array(starts)), np.sort(np.array(ends)))
        for contig, (starts, ends) in bounds.items()
    }
