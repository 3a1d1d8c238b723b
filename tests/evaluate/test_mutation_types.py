from __future__ import annotations

import itertools

import pytest

from phylotools.evaluate.mutation_types import GROUPINGS, mutation_type

SNVS = [f"{ref}>{alt}" for ref, alt in itertools.permutations("ACGT", 2)]


@pytest.mark.parametrize(
    ("ref", "alt", "kind"),
    [
        ("A", "G", "A>G"), ("AC", "GT", "mnv"), ("A", "AT", "insertion"), ("ACG", "A", "deletion"),
        ("A", "<DEL>", "other"), ("A", "*", "other"), ("A", "N", "other"), ("A", "A", "other"),
        ("A", ".", "other"),
    ],
)  # fmt: skip
def test_types(ref, alt, kind):
    assert mutation_type(ref, alt) == kind


def test_groupings_of_single_bases():
    found = {name: {kind: group(kind) for kind in SNVS} for name, group in GROUPINGS.items()}
    assert len(set(found["twelve"].values())) == 12
    assert set(found["six"].values()) == {"C>A", "C>G", "C>T", "T>A", "T>C", "T>G"}
    complement = str.maketrans("ACGT", "TGCA")
    for kind in SNVS:
        assert found["six"][kind] == found["six"][kind.translate(complement)]
        expected = "transition" if kind in ("A>G", "G>A", "C>T", "T>C") else "transversion"
        assert found["two"][kind] == expected
    for group in GROUPINGS.values():
        for kind in ("mnv", "insertion", "deletion", "other"):
            assert group(kind) == kind
