"""The ninth column of GFF3 and GTF."""

from __future__ import annotations

import pytest

from phylotools.io.gff import GffRow


def attributes(text: str) -> dict[str, str]:
    return GffRow("c", "CDS", 0, 1, "+", "0", text, 1).attributes


def test_gtf_values_may_hold_semicolons_and_a_later_one_stands():
    found = attributes('gene_id "a;b"; transcript_id "T 1" ; n 3 ; tag "x"; tag "y";  level 2')
    assert found == {"gene_id": "a;b", "transcript_id": "T 1", "n": "3", "tag": "y", "level": "2"}


def test_gff3_values_are_decoded():
    assert attributes("ID=a%3Bb; Parent = x,y;flag") == {"ID": "a;b", "Parent": "x,y", "flag": ""}


@pytest.mark.parametrize(
    "text", ["a" + " " * 50_000 + '"', "a" * 50_000, '"' * 50_001, "a " * 25_000 + '"']
)
def test_long_texts_are_read_in_one_pass(text):
    """Its square or cube would take minutes or days."""
    assert len(attributes(text)) <= 1
