"""Genetic codes against Biopython's."""

from __future__ import annotations

import numpy as np
import pytest
from Bio.Data import CodonTable

from phylotools.io.bases import base_codes
from phylotools.io.genetic_code import (
    CODONS,
    GENETIC_CODES,
    amino_acids,
    codon_indices,
    stop_codons,
    translated,
)


@pytest.mark.parametrize("number", GENETIC_CODES)
def test_every_codon_is_what_ncbi_says(number: int):
    table = CodonTable.unambiguous_dna_by_id[number]
    theirs = "".join(table.forward_table.get(codon, "*") for codon in CODONS)
    assert amino_acids(number).tobytes().decode() == theirs
    assert set(stop_codons(number)) == set(table.stop_codons) - set(table.forward_table)


def test_sequences():
    codes = base_codes(np.frombuffer(b"ATGTGANAAAGAC", dtype=np.uint8))
    assert codon_indices(codes).tolist() == [14, 56, -1, 8]
    assert translated(codes, 1) == b"M*XR"
    assert translated(codes, 2) == b"MWX*"
    assert translated(codes[:2], 1) == b""
