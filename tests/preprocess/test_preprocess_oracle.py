"""The store equals, column for column, an independent projection of random and changed MAFs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from maf_projection import assert_store_equals, store_of
from random_alignments import (
    ANCESTORS,
    CONTIGS,
    REFERENCE,
    TIPS,
    TREE,
    RandomAlignment,
    alignments,
    damaged,
)
from slow_projection import (
    NO_BLOCK,
    POLICIES,
    N,
    Row,
    bgzip,
    blocks_by_biopython,
    blocks_by_rules,
    consensus,
    one_row,
    owner,
    project,
)

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick

DATA = Path(__file__).parents[1] / "data"
BIRDS_TREE = DATA / "birds53" / "53birds.nh"
EDGE_CASES = DATA / "maf_edge_cases"

CUT = [
    ("mammals671/mtCDS_cut.maf.gz", "mammals671/mammals671.nh", "Homo_sapiens", 973),
    ("birds53/galGal6_cut.maf.gz", "birds53/53birds.nh", "galGal6", None),
    ("multiz30way_chrM/chrM.multiz30way.maf.gz", "multiz30way_chrM/hg38.30way.nh", "hg38", 16569),
    # The rows of nomLeu3 are nuclear: 90 of 183 lie on the reverse strand.
    ("multiz30way_chrM/chrM.multiz30way.maf.gz", "multiz30way_chrM/hg38.30way.nh", "nomLeu3", None),
]


@pytest.mark.parametrize(("alignment", "tree", "reference", "n_columns"), CUT)
def test_store_equals_biopython_projection(alignment, tree, reference, n_columns, tmp_path):
    store = store_of(DATA / alignment, DATA / tree, tmp_path / "s", reference=reference)
    text = gzip.decompress((DATA / alignment).read_bytes()).decode()
    if not text.startswith("##maf"):
        text = "##maf version=1\n" + text
    expected = project(blocks_by_biopython(text), store.species, reference)
    assert_store_equals(store, expected)
    assert n_columns is None or sum(map(len, expected.values())) == n_columns


#: One reference base on the reverse strand, and a row that is nothing but a gap.
LONELY = RandomAlignment(
    [[Row("A.1", 3, 1, "-", 4100, "a"), Row("B.1", 0, 0, "+", 0, "-")]],
    b"a\ns A.1 3 1 - 4100 a\ns B.1 0 0 + 0 -",
)


@settings(max_examples=50, deadline=None)
@given(
    alignments(),
    st.sampled_from(POLICIES),
    st.sampled_from([bytes, gzip.compress, lambda text: bgzip(text, 45)]),
    st.sampled_from([1 << 20, 1 << 20, 20, 60, 150]),
)
@example(LONELY, "drop", bytes, 7)
def test_random_alignments(tmp_path, alignment, duplicates, packed, partition_bytes):
    (tmp_path / "t.nh").write_text(TREE)
    path = tmp_path / "r.maf"
    path.write_bytes(packed(alignment.text))
    expected = project(alignment.blocks, TIPS, REFERENCE, duplicates, ancestors=ANCESTORS)
    used = [
        {owner(row.source, (*TIPS, *ANCESTORS, "Zz", "Bo"))[0] for row in block}
        for block in alignment.blocks
        if any(codes for codes in project([block], TIPS, REFERENCE).values())
    ]
    others = set().union(*used) & set(TIPS) - {REFERENCE}
    keywords = {
        "reference": REFERENCE,
        "duplicates": duplicates,
        "drop_unknown": True,
        "partition_bytes": partition_bytes,
        "force": True,
    }
    if not expected or not others:
        with pytest.raises(InputError):
            store_of(path, tmp_path / "t.nh", tmp_path / "s", **keywords)
        return
    store = store_of(path, tmp_path / "t.nh", tmp_path / "s", **keywords)
    assert store.species == TIPS
    assert_store_equals(store, expected)
    assert all(store.contigs[contig] == CONTIGS[contig] for contig in expected)


@settings(max_examples=50, deadline=None)
@given(damaged(), st.sampled_from([1 << 20, 1 << 20, 70]))
def test_damaged_alignments_give_no_wrong_column(tmp_path, text, partition_bytes):
    (tmp_path / "t.nh").write_text(TREE)
    (tmp_path / "r.maf").write_bytes(text)
    keywords = {"reference": REFERENCE, "drop_unknown": True, "partition_bytes": partition_bytes}
    try:
        store = store_of(
            tmp_path / "r.maf", tmp_path / "t.nh", tmp_path / "s", force=True, **keywords
        )
    except InputError:
        return
    expected = project(blocks_by_rules(text), TIPS, REFERENCE, ancestors=ANCESTORS)
    assert_store_equals(
        store, {name.encode("latin-1").decode(): codes for name, codes in expected.items()}
    )


@pytest.mark.parametrize(
    "name",
    [
        "ref_on_minus_strand",
        "duplicate_species_paralogous_row",
        "two_reference_rows",
        "src_many_dots",
        "all_gap_columns",
        "eof_marker",
        "no_header",
        "rna_U",
    ],
)
def test_changes_that_change_nothing(name, tmp_path):
    plain = store_of(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "plain")
    changed = store_of(EDGE_CASES / f"{name}.maf", BIRDS_TREE, tmp_path / "changed")
    assert changed.fingerprint == plain.fingerprint


@pytest.mark.parametrize("name", ["iupac_codes", "star_characters"])
def test_other_characters_are_n(name, tmp_path):
    plain = store_of(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p")
    changed = store_of(EDGE_CASES / f"{name}.maf", BIRDS_TREE, tmp_path / "c")
    regions = plain.covered_regions(min_species=0)
    assert regions == changed.covered_regions(min_species=0)
    a, b = (np.concatenate([s.bases(region) for region in regions]) for s in (plain, changed))
    assert (a != b).any()
    assert set((b[a != b] % 8).tolist()) == {4}


def test_a_block_without_the_reference_is_passed_over(tmp_path):
    plain = store_of(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p")
    changed = store_of(EDGE_CASES / "block_without_reference.maf", BIRDS_TREE, tmp_path / "c")
    bases = plain.bases(Region("chr22", 200000, 200600))
    bases[168:188] = NO_BLOCK
    np.testing.assert_array_equal(changed.bases(Region("chr22", 200000, 200600)), bases)


def test_block_order_does_not_matter_without_overlap(tmp_path):
    text = (EDGE_CASES / "birds_plain.maf").read_text()
    header, *blocks = text.split("a score=0.0\n")
    (tmp_path / "r.maf").write_text(header + "".join("a score=0.0\n" + b for b in blocks[::-1]))
    plain = store_of(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p")
    turned = store_of(tmp_path / "r.maf", BIRDS_TREE, tmp_path / "t")
    assert plain.fingerprint == turned.fingerprint


def test_fasta_fills_the_reference_outside_the_blocks(tmp_path):
    (tmp_path / "t.nh").write_text("(A:1,B:1);")
    (tmp_path / "a.maf").write_text("a\ns A.1 2 4 + 10 CgNA\ns B.1 0 3 + 3 A-GT\n\n")
    (tmp_path / "a.fa").write_text(">chr1\nTTcGTaGGnT\n")
    store = store_of(
        tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s", fasta=str(tmp_path / "a.fa")
    )
    assert store.reference(Region("1", 0, 10)).tolist() == [3, 3, 9, 2, 3, 8, 2, 2, 12, 3]
    assert store.bases(Region("1", 1, 7)).tolist() == [
        [6, 6],
        [1, 0],
        [10, 5],
        [4, 2],
        [0, 3],
        [6, 6],
    ]
    store.verify()


def test_what_the_oracle_says_of_several_rows():
    a, c, n, gap, soft = 0, 1, N, 5, 8
    assert consensus((a, a, c)) == a
    assert consensus((a + soft, a, c)) == a
    assert consensus((a + soft, a + soft, c)) == a + soft
    assert consensus((a, c)) == n
    assert consensus((a + soft, c + soft, gap)) == n + soft
    assert consensus((n, n, n, c)) == c
    assert consensus((n + soft, gap)) == n + soft
    assert consensus((gap, gap)) == gap
    rows = [bytes([a, c, n]), bytes([a, a + soft, n]), bytes([a, a, n])]
    reference = bytes([a + soft, a, n])
    assert one_row(rows, reference, "best-identity") == rows[1]
    assert one_row(rows, reference, "first") == rows[0]
    assert one_row(rows, reference, "drop") == bytes([NO_BLOCK] * 3)
    assert one_row(rows[:1], reference, "drop") == rows[0]
    # Bases over a gap of the reference are like nothing.
    assert one_row([bytes([a, gap]), bytes([c, c])], bytes([gap, c]), "best-identity")[1] == c
    for policy in POLICIES:
        assert one_row([bytes([gap, c, gap]), bytes([a, gap, gap])], reference, policy) == bytes(
            [a, c, gap]
        )


def test_the_oracle_splits_sources_at_the_longest_name():
    assert owner("B.1.chr", TIPS) == ("B.1", "chr")
    assert owner("B.1", TIPS) == ("B.1", "B.1")
    assert owner("B.2.1", TIPS) == ("B", "2.1")
    assert owner("Bo.1", TIPS) is None
    assert parse_newick(TREE).tips == TIPS
