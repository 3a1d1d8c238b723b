"""What an ALT allele is, after trimming, and whether and how it can be scored.

Pure functions on bytes; alleles are compared without regard to case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import AnyStr

from phylotools.io.bases import BASES

_BASES = BASES.encode()
#: Most bases of REF or ALT, after trimming, that are scored: a change of more is a structural
#: variant, and no sum over its bases says what it does.
LONGEST_CHANGE = 1000
_NOT_BASES = re.compile(b"[^" + _BASES + b"]")


class Status(StrEnum):
    """Values of the STATUS field, the first that applies."""

    CONTIG_MISSING = "contig_missing"
    OUT_OF_CONTIG = "out_of_contig"
    MISSING = "missing"
    SPANNING_DELETION = "spanning_deletion"
    SYMBOLIC = "symbolic"
    BREAKEND = "breakend"
    REF_MISMATCH = "ref_mismatch"
    NON_ACGT = "non_acgt"
    REF_EQUALS_ALT = "ref_equals_alt"
    TOO_LONG = "too_long"
    INDEL = "indel"
    OUTSIDE_TRANSCRIPTS = "outside_transcripts"
    EXON_EDGE = "exon_edge"
    OUTSIDE_TRAINING = "outside_training"
    EDGE_PADDED = "edge_padded"
    EXPERIMENTAL_INDEL = "experimental_indel"
    MNV = "mnv"
    OK = "ok"


#: Statuses that there are only where alleles are scored in transcripts.
SPLICED_STATUSES = frozenset({Status.OUTSIDE_TRANSCRIPTS, Status.EXON_EDGE})
#: Statuses of alleles that have a number.
SCORED_STATUSES = frozenset(
    {
        Status.OUTSIDE_TRAINING,
        Status.EDGE_PADDED,
        Status.EXPERIMENTAL_INDEL,
        Status.MNV,
        Status.OK,
    }
)


@dataclass(frozen=True)
class Substitution:
    """A single-nucleotide change.

    Attributes
    ----------
    offset : int
        Bases between POS and the site.
    ref, alt : int
        Base codes, 0 to 3 for A, C, G, T.
    """

    offset: int
    ref: int
    alt: int


@dataclass(frozen=True)
class MultiSubstitution:
    """Several bases changed, none inserted or deleted: its LLR is the sum of those of its sites.

    Attributes
    ----------
    offset : int
        Bases between POS and the first changed site.
    sites : tuple of Substitution
        The changed sites, two or more, in order.
    """

    offset: int
    sites: tuple[Substitution, ...]


@dataclass(frozen=True)
class Indel:
    """Bases deleted, inserted, or some replaced by a different number of others.

    Attributes
    ----------
    offset : int
        Bases between POS and the first base that is not kept.
    ref, alt : bytes
        Without shared ends: either is empty, or their first bases and their last bases differ.
    """

    offset: int
    ref: bytes
    alt: bytes


def trim(ref: AnyStr, alt: AnyStr, n_kept: int = 1) -> tuple[int, AnyStr, AnyStr]:
    """Minimal form of two alleles: shared suffix off, then shared prefix.

    Parameters
    ----------
    ref, alt : bytes or str
        Upper case, of `n_kept` bases or more.
    n_kept : int
        Bases to be left of each: 1 as in a VCF, or 0.

    Returns
    -------
    offset : int
        Bases removed at the front.
    ref, alt : as given
    """
    end = shared_prefix(ref[::-1], alt[::-1], n_kept)
    ref, alt = ref[: len(ref) - end], alt[: len(alt) - end]
    start = shared_prefix(ref, alt, n_kept)
    return start, ref[start:], alt[start:]


def shared_prefix(first: AnyStr, second: AnyStr, n_kept: int = 0) -> int:
    """Bases that two alleles begin with alike, at most all but `n_kept` of the shorter."""
    low, high = 0, max(0, min(len(first), len(second)) - n_kept)
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def kind_without_sequence(alt: bytes) -> Status | None:
    """Status of an ALT that spells no bases, whatever REF is; None if it spells some."""
    if alt in (b".", b""):
        return Status.MISSING
    if alt == b"*":
        return Status.SPANNING_DELETION
    if b"[" in alt or b"]" in alt or alt.startswith(b".") or alt.endswith(b"."):
        return Status.BREAKEND
    if b"<" in alt or b">" in alt:
        return Status.SYMBOLIC
    return None


def classify(ref: bytes, alt: bytes) -> Substitution | MultiSubstitution | Indel | Status:
    """The change that an allele is, or why it is none that can be scored.

    Parameters
    ----------
    ref : bytes
        Upper case; agrees with the reference sequence.
    alt : bytes
        Upper case.

    Returns
    -------
    Substitution, MultiSubstitution, Indel or Status
        Place and neighbours are not looked at: no contig or training status comes out of here,
        and an `Indel` of repeated sequence has the place that its spelling says.
    """
    kind = kind_without_sequence(alt)
    if kind is not None:
        return kind
    offset, ref, alt = trim(ref, alt, n_kept=0 if len(ref) != len(alt) else 1)
    if _NOT_BASES.search(ref) or _NOT_BASES.search(alt):
        return Status.NON_ACGT
    if ref == alt:
        return Status.REF_EQUALS_ALT
    if max(len(ref), len(alt)) > LONGEST_CHANGE:
        return Status.TOO_LONG
    if len(ref) != len(alt):
        return Indel(offset, ref, alt)
    sites = tuple(
        Substitution(offset + index, _BASES.index(old), _BASES.index(new))
        for index, (old, new) in enumerate(zip(ref, alt, strict=True))
        if old != new
    )
    return sites[0] if len(sites) == 1 else MultiSubstitution(offset, sites)
