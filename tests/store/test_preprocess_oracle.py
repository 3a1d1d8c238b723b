"""The store equals, column for column, an independent projection of real and random MAFs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from maf_projection import assert_derived_arrays, project, stored_columns

from phylotools.io.regions import Region
from phylotools.store.preprocess import build_store
from phylotools.store.read import open_store

DATA = Path(__file__).parents[1] / "data"
BIRDS_TREE = DATA / "birds53" / "53birds.nh"
EDGE_CASES = DATA / "maf_edge_cases"

REAL = [
    ("mammals671/mtCDS_cut.maf.gz", "mammals671/mammals671.nh", "Homo_sapiens", 973),
    ("birds53/galGal6_cut.maf.gz", "birds53/53birds.nh", "galGal6", None),
    ("multiz30way_chrM/chrM.multiz30way.maf.gz", "multiz30way_chrM/hg38.30way.nh", "hg38", 16569),
]


def build(path, tree, folder, **kwargs):
    build_store(path, tree, folder, **kwargs)
    return open_store(folder)


@pytest.mark.parametrize(("alignment", "tree", "reference", "n_columns"), REAL)
def test_store_equals_biopython_projection(alignment, tree, reference, n_columns, tmp_path):
    store = build(DATA / alignment, DATA / tree, tmp_path / "s")
    text = gzip.decompress((DATA / alignment).read_bytes()).decode()
    if not text.startswith("##maf"):
        text = "##maf version=1\n" + text
    expected = project(text, store.species, reference)
    assert stored_columns(store) == expected
    assert n_columns is None or len(expected) == n_columns
    assert store.reference_species == reference
    assert_derived_arrays(store)
    store.verify()


def test_another_reference_species(tmp_path):
    # The rows of nomLeu3 are nuclear: 90 of 183 lie on the reverse strand.
    alignment = DATA / "multiz30way_chrM/chrM.multiz30way.maf.gz"
    tree = DATA / "multiz30way_chrM/hg38.30way.nh"
    store = build(alignment, tree, tmp_path / "s", reference="nomLeu3")
    text = gzip.decompress(alignment.read_bytes()).decode()
    assert stored_columns(store) == project(text, store.species, "nomLeu3")
    assert store.reference_species == "nomLeu3"


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
    plain = build(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "plain")
    changed = build(EDGE_CASES / f"{name}.maf", BIRDS_TREE, tmp_path / "changed")
    assert changed.fingerprint == plain.fingerprint
    assert stored_columns(changed) == stored_columns(plain)


@pytest.mark.parametrize("name", ["iupac_codes", "star_characters"])
def test_other_characters_are_n(name, tmp_path):
    plain = stored_columns(build(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p"))
    changed = stored_columns(build(EDGE_CASES / f"{name}.maf", BIRDS_TREE, tmp_path / "c"))
    a, b = (np.array(list(columns.values())) for columns in (plain, changed))
    assert plain.keys() == changed.keys()
    assert (a != b).any()
    assert set((b[a != b] % 8).tolist()) == {4}


def test_a_block_without_the_reference_is_passed_over(tmp_path, caplog):
    plain = stored_columns(build(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p"))
    changed = stored_columns(
        build(EDGE_CASES / "block_without_reference.maf", BIRDS_TREE, tmp_path / "c")
    )
    assert plain.keys() - changed.keys() == {("chr22", p) for p in range(200168, 200188)}


LETTERS = "ACGTacgtNn-RyU*."
TIPS = ("A", "B.1", "B", "C")


@st.composite
def alignments(draw):
    """Random blocks on two contigs: any order, overlapping, either strand, gaps anywhere."""
    blocks = []
    for _ in range(draw(st.integers(1, 8))):
        width = draw(st.integers(1, 12))
        reference = draw(st.text("ACGTacgtN-", min_size=width, max_size=width))
        others = draw(st.lists(st.sampled_from(TIPS[1:]), unique=True, max_size=3))
        rows = {"A": reference}
        for name in others:
            rows[name] = draw(st.text(LETTERS, min_size=width, max_size=width))
        contig = draw(st.sampled_from(["1", "x.y"]))
        start = draw(st.integers(0, 60))
        blocks.append((contig, start, draw(st.sampled_from("+-")), rows))
    return blocks


def maf_text(blocks, length=80):
    lines = ["##maf version=1"]
    for contig, start, strand, rows in blocks:
        lines.append("a score=0")
        for name, letters in rows.items():
            size = len(letters) - letters.count("-")
            source = f"A.{contig}" if name == "A" else f"{name}.chr.7"
            lines.append(f"s {source} {start} {size} {strand} {length} {letters}")
        lines.append("")
    return "\n".join(lines) + "\n"


def direct_projection(blocks, length=80):
    """What the store must hold, straight from the generated blocks."""
    table = {"A": 0, "C": 1, "G": 2, "T": 3, "U": 3, "-": 5}
    other = {0: 3, 1: 2, 2: 1, 3: 0, 8: 11, 9: 10, 10: 9, 11: 8}
    columns = {}
    for contig, start, strand, rows in blocks:
        position = start
        for column, letter in enumerate(rows["A"]):
            if letter == "-":
                continue
            values = []
            for name in TIPS:
                if name not in rows:
                    values.append(6)
                    continue
                found = rows[name][column]
                value = table.get(found.upper(), 4) + (8 if found.islower() else 0)
                values.append(other.get(value, value) if strand == "-" else value)
            forward = position if strand == "+" else length - 1 - position
            columns.setdefault((contig, forward), values)
            position += 1
    return columns


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(alignments())
def test_random_alignments(tmp_path, blocks):
    tree = tmp_path / "t.nh"
    tree.write_text("(A:1,(B.1:1,B:2):1,C:1);")
    path = tmp_path / "r.maf"
    path.write_text(maf_text(blocks))
    expected = direct_projection(blocks)
    has_others = any(len(rows) > 1 and set(rows["A"]) != {"-"} for _, _, _, rows in blocks)
    n_with_bases = sum(set(rows["A"]) != {"-"} for *_, rows in blocks)
    if not expected or not has_others or 2 * n_with_bases < len(blocks):
        return
    store = build(path, tree, tmp_path / "s", force=True)
    assert store.species == TIPS
    assert stored_columns(store) == expected
    assert_derived_arrays(store)


def test_block_order_does_not_matter_without_overlap(tmp_path):
    text = (EDGE_CASES / "birds_plain.maf").read_text()
    header, *blocks = text.split("a score=0.0\n")
    (tmp_path / "r.maf").write_text(header + "".join("a score=0.0\n" + b for b in blocks[::-1]))
    plain = build(EDGE_CASES / "birds_plain.maf", BIRDS_TREE, tmp_path / "p")
    turned = build(tmp_path / "r.maf", BIRDS_TREE, tmp_path / "t")
    assert plain.fingerprint == turned.fingerprint


def test_fasta_fills_the_reference_outside_the_blocks(tmp_path):
    (tmp_path / "t.nh").write_text("(A:1,B:1);")
    (tmp_path / "a.maf").write_text("a\ns A.1 2 4 + 10 CgNA\ns B.1 0 3 + 3 A-GT\n\n")
    (tmp_path / "a.fa").write_text(">chr1\nTTcGTaGGnT\n")
    store = build(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s", fasta=tmp_path / "a.fa")
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
