from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.io.vcf.alleles import (
    LONGEST_CHANGE,
    SCORED_STATUSES,
    Indel,
    MultiSubstitution,
    Status,
    Substitution,
    classify,
    trim,
)

alleles = st.text("ACGTN", min_size=1, max_size=8).map(str.encode)


def slow_trim(ref: bytes, alt: bytes, n_kept: int) -> tuple[int, bytes, bytes]:
    """Tan, Abecasis and Kang (2015), one base at a time."""
    offset = 0
    while min(len(ref), len(alt)) > n_kept and ref[-1:] == alt[-1:]:
        ref, alt = ref[:-1], alt[:-1]
    while min(len(ref), len(alt)) > n_kept and ref[:1] == alt[:1]:
        ref, alt, offset = ref[1:], alt[1:], offset + 1
    return offset, ref, alt


@given(alleles, alleles, st.sampled_from([0, 1]))
def test_trim_agrees_with_one_base_at_a_time(ref: bytes, alt: bytes, n_kept: int) -> None:
    assert trim(ref, alt, n_kept) == slow_trim(ref, alt, n_kept)


@given(alleles, alleles, alleles, alleles)
def test_trim_keeps_the_change(prefix: bytes, ref: bytes, alt: bytes, suffix: bytes) -> None:
    offset, short_ref, short_alt = trim(prefix + ref + suffix, prefix + alt + suffix)
    full = prefix + ref + suffix
    assert full[:offset] + short_alt + full[offset + len(short_ref) :] == prefix + alt + suffix
    assert len(short_ref) >= 1
    assert len(short_alt) >= 1


@given(
    st.text("ACGT", max_size=6).map(str.encode),
    st.sampled_from([(a, b) for a in "ACGT" for b in "ACGT" if a != b]),
    st.text("ACGT", max_size=6).map(str.encode),
)
def test_padded_snv_is_the_plain_one(prefix: bytes, change: tuple[str, str], suffix: bytes) -> None:
    ref, alt = (base.encode() for base in change)
    outcome = classify(prefix + ref + suffix, prefix + alt + suffix)
    assert outcome == Substitution(len(prefix), "ACGT".index(change[0]), "ACGT".index(change[1]))


@pytest.mark.parametrize(
    ("ref", "alt", "expected"),
    [
        ("A", "G", Substitution(0, 0, 2)),
        ("AC", "AT", Substitution(1, 1, 3)),
        ("A", ".", Status.MISSING),
        ("A", "", Status.MISSING),
        ("A", "*", Status.SPANNING_DELETION),
        ("A", "<DEL>", Status.SYMBOLIC),
        ("A", "<*>", Status.SYMBOLIC),
        ("A", "A[CHR1:5[", Status.BREAKEND),
        ("A", "]CHR1:5]A", Status.BREAKEND),
        ("A", "A.", Status.BREAKEND),
        ("A", ".A", Status.BREAKEND),
        ("A", "<CTG>[CHR1:5[", Status.BREAKEND),
        ("N", "G", Status.NON_ACGT),
        ("A", "N", Status.NON_ACGT),
        ("A", "R", Status.NON_ACGT),
        ("NA", "NT", Substitution(1, 0, 3)),
        ("A", "A", Status.REF_EQUALS_ALT),
        ("ACG", "ACG", Status.REF_EQUALS_ALT),
        ("A", "AT", Indel(1, b"", b"T")),
        ("A", "TA", Indel(0, b"", b"T")),
        ("ACT", "A", Indel(1, b"CT", b"")),
        ("ACT", "GG", Indel(0, b"ACT", b"GG")),
        ("CACTT", "CGGT", Indel(1, b"ACT", b"GG")),
        ("N", "NT", Indel(1, b"", b"T")),
        ("NN", "N", Status.NON_ACGT),
        ("A", "ANT", Status.NON_ACGT),
        ("AC", "GT", MultiSubstitution(0, (Substitution(0, 0, 2), Substitution(1, 1, 3)))),
        ("ACA", "TCT", MultiSubstitution(0, (Substitution(0, 0, 3), Substitution(2, 0, 3)))),
        ("GACAG", "GTCTG", MultiSubstitution(1, (Substitution(1, 0, 3), Substitution(3, 0, 3)))),
        ("ANA", "TNT", Status.NON_ACGT),
    ],
)
def test_truth_table(ref: str, alt: str, expected: Substitution | Status) -> None:
    assert classify(ref.encode(), alt.encode()) == expected


@pytest.mark.parametrize(("ref", "alt"), [("A" * 1001, "C" * 1001), ("A", "AC" * 501)])
def test_a_change_of_too_many_bases_is_not_scored(ref: str, alt: str) -> None:
    assert max(len(ref), len(alt)) > LONGEST_CHANGE
    assert classify(ref.encode(), alt.encode()) == Status.TOO_LONG
    assert Status.TOO_LONG not in SCORED_STATUSES
    # What counts is what is left after trimming.
    padding = b"G" * 5000
    assert classify(padding + b"A" + padding, padding + b"T" + padding) == Substitution(5000, 0, 3)


def test_long_alleles_are_trimmed_at_once() -> None:
    ref = b"ACGT" * 500_000
    assert classify(ref, ref[:1_000_000] + ref[1_000_001:]) == Indel(1_000_000, b"A", b"")


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=12))
def test_any_bytes_have_an_outcome(ref: bytes, alt: bytes) -> None:
    assert isinstance(classify(ref, alt), Substitution | MultiSubstitution | Indel | Status)
