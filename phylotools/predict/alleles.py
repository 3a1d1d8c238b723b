"""What an ALT allele is, after trimming, and whether a substitution model can score it.

Pure functions on bytes; alleles are compared without regard to case.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

NUCLEOTIDES = b"ACGT"
_NOT_NUCLEOTIDES = re.compile(rb"[^ACGT]")


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
    INDEL = "indel"
    MNV = "mnv"
    OUTSIDE_TRAINING = "outside_training"
    EDGE_PADDED = "edge_padded"
    OK = "ok"


#: Statuses of alleles that have a number.
SCORED_STATUSES = frozenset({Status.OK, Status.EDGE_PADDED, Status.OUTSIDE_TRAINING})


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


def trim(ref: bytes, alt: bytes) -> tuple[int, bytes, bytes]:
    """Minimal form of two alleles: shared suffix off, then shared prefix, one base left of each.

    Parameters
    ----------
    ref, alt : bytes
        Upper case, not empty.

    Returns
    -------
    offset : int
        Bases removed at the front.
    ref, alt : bytes
    """
    end = 0
    longest = min(len(ref), len(alt)) - 1
    while end < longest and ref[-1 - end] == alt[-1 - end]:
        end += 1
    start = 0
    longest -= end
    while start < longest and ref[start] == alt[start]:
        start += 1
    return start, ref[start : len(ref) - end], alt[start : len(alt) - end]


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


def classify(ref: bytes, alt: bytes) -> Substitution | Status:
    """The substitution that an allele is, or why it is none that can be scored.

    Parameters
    ----------
    ref : bytes
        Upper case; agrees with the reference sequence.
    alt : bytes
        Upper case.

    Returns
    -------
    Substitution or Status
        Place and neighbours are not looked at: no contig or training status comes out of here.
    """
    kind = kind_without_sequence(alt)
    if kind is not None:
        return kind
    offset, ref, alt = trim(ref, alt)
    if _NOT_NUCLEOTIDES.search(ref) or _NOT_NUCLEOTIDES.search(alt):
        return Status.NON_ACGT
    if ref == alt:
        return Status.REF_EQUALS_ALT
    if len(ref) != len(alt):
        return Status.INDEL
    if len(ref) > 1:
        return Status.MNV
    return Substitution(offset, NUCLEOTIDES.index(ref), NUCLEOTIDES.index(alt))
