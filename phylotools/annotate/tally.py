"""What was counted over the records of a file, or of its parts, and what a run did in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from phylotools.annotate.fields import InfoFields
from phylotools.annotate.judged_batch import STATUSES


@dataclass(frozen=True)
class Tally:
    """Counts of records and alleles; those of parts add up, in the order of the file.

    Attributes
    ----------
    n_records : int
    statuses : dict of str to int
        Alleles by status.
    n_looked_up : int
        Single-nucleotide changes at sites that the tracks have.
    n_ref_checked, n_ref_mismatches : int
        Records.
    first_mismatch : str or None
        Where REF disagrees first, and how.
    n_on_contigs : int
        Records on contigs of the reference.
    n_missing : dict of str to int
        Records by the other contigs, in the order in which these turn up.
    n_blank_lines : int
    """

    n_records: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    n_looked_up: int = 0
    n_ref_checked: int = 0
    n_ref_mismatches: int = 0
    first_mismatch: str | None = None
    n_on_contigs: int = 0
    n_missing: dict[str, int] = field(default_factory=dict)
    n_blank_lines: int = 0

    def __add__(self, other: Tally) -> Tally:
        first = self.first_mismatch
        return Tally(
            self.n_records + other.n_records,
            _sum(self.statuses, other.statuses),
            self.n_looked_up + other.n_looked_up,
            self.n_ref_checked + other.n_ref_checked,
            self.n_ref_mismatches + other.n_ref_mismatches,
            other.first_mismatch if first is None else first,
            self.n_on_contigs + other.n_on_contigs,
            _sum(self.n_missing, other.n_missing),
            self.n_blank_lines + other.n_blank_lines,
        )


def _sum(some: dict[str, int], more: dict[str, int]) -> dict[str, int]:
    """Counts of two parts, in the order in which they turn up."""
    both = dict(some)
    for name, count in more.items():
        both[name] = both.get(name, 0) + count
    return both


@dataclass(frozen=True)
class AnnotationSummary:
    """What a run did.

    Attributes
    ----------
    n_records, n_alleles, n_scored, n_looked_up : int
        Those looked up are single-nucleotide changes at sites that the tracks have.
    statuses : dict of str to int
        Alleles by status.
    skipped : dict of str to int
        Those without a number, most frequent first.
    n_ref_checked, n_ref_mismatches, n_contig_missing : int
        Records.
    reference : str
        The FASTA.
    scores : tuple of str
        That were written.
    default_score : str
        Of the model.
    """

    n_records: int
    n_alleles: int
    n_scored: int
    n_looked_up: int
    statuses: dict[str, int]
    skipped: dict[str, int]
    n_ref_checked: int
    n_ref_mismatches: int
    n_contig_missing: int
    reference: str
    scores: tuple[str, ...]
    default_score: str


def summarise(
    tally: Tally, reference: str, fields: InfoFields, scored: Collection[str]
) -> AnnotationSummary:
    """What a run did.

    Parameters
    ----------
    tally : Tally
        Of the whole file.
    reference : str
        Name of the FASTA.
    fields : InfoFields
    scored : collection of str
        Statuses that stand beside a number.
    """
    # Of equally many, those that the list of statuses has first, in whatever order they turned up.
    known = Counter({str(status): tally.statuses.get(str(status), 0) for status in STATUSES})
    statuses = {status: count for status, count in known.most_common() if count}
    return AnnotationSummary(
        n_records=tally.n_records,
        n_alleles=sum(statuses.values()),
        n_scored=sum(count for status, count in statuses.items() if status in scored),
        n_looked_up=tally.n_looked_up,
        statuses=statuses,
        skipped={status: count for status, count in statuses.items() if status not in scored},
        n_ref_checked=tally.n_ref_checked,
        n_ref_mismatches=tally.n_ref_mismatches,
        n_contig_missing=sum(tally.n_missing.values()),
        reference=reference,
        scores=fields.scores,
        default_score=fields.default_score,
    )
