"""Slow oracle: project a MAF onto its reference one letter at a time, read by Biopython."""

from __future__ import annotations

import io

import numpy as np
from Bio import AlignIO

CODES = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3, "-": 5}
COMPLEMENT = {0: 3, 1: 2, 2: 1, 3: 0}


def code(letter: str) -> int:
    """Base code of one letter, as docs/store-format.md defines it."""
    value = CODES.get(letter.upper(), 4)
    return value + 8 if letter.islower() else value


def complement(value: int) -> int:
    """Code on the other strand."""
    base = value % 8
    return COMPLEMENT.get(base, base) + (value - base)


def project(
    text: str, species: tuple[str, ...], reference: str
) -> dict[tuple[str, int], list[int]]:
    """(contig, 0-based position) -> codes of all species; positions without a block are absent.

    For alignments in which no species has two rows in a block and species names hold no dot.
    """
    columns: dict[tuple[str, int], list[int]] = {}
    for alignment in AlignIO.parse(io.StringIO(text), "maf"):
        rows = {record.id.split(".")[0]: record for record in alignment}
        if reference not in rows:
            continue
        record = rows[reference]
        contig = record.id.partition(".")[2]
        where = record.annotations
        # Biopython turns the strand into 1 or -1 and leaves the start on the row's own strand.
        is_reverse = str(where["strand"]) in ("-1", "-")
        offset = 0
        for column in range(alignment.get_alignment_length()):
            if record.seq[column] == "-":
                continue
            position = where["start"] + offset
            offset += 1
            if is_reverse:
                position = where["srcSize"] - 1 - position
            values = [code(str(rows[name].seq[column])) if name in rows else 6 for name in species]
            if is_reverse:
                values = [complement(value) for value in values]
            columns.setdefault((contig, position), values)
    return columns


def stored_columns(store) -> dict[tuple[str, int], list[int]]:
    """The same dictionary, from a column store."""
    return {
        (region.contig, region.start + offset): row
        for region in store.covered_regions(min_species=0)
        for offset, row in enumerate(store.bases(region).tolist())
    }


def assert_derived_arrays(store) -> None:
    """Reference and depth follow from the bases."""
    for region in store.covered_regions(min_species=0):
        bases = store.bases(region)
        depth = [sum(value % 8 < 4 for value in row) for row in bases.tolist()]
        assert store.depth(region).tolist() == depth
        reference = bases[:, store.reference_index]
        if store.attributes["reference_source"] == "alignment":
            np.testing.assert_array_equal(store.reference(region), reference)
