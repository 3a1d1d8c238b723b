"""The store of every real alignment equals an independent projection, column for column."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from maf_projection import assert_store_equals, contig_lengths, star_tree, store_of, unpacked
from slow_projection import (
    POLICIES,
    blocks_by_biopython,
    blocks_by_bx,
    blocks_by_lines,
    project,
)

from phylotools.phylogeny.tree import parse_newick

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "real_alignments"

#: alignment -> tree (None: a star of its species), reference, columns, columns in several blocks.
ALIGNMENTS = {
    "birds53.galGal6.maf.xz": ("../birds53/53birds.nh", "galGal6", 90_000, 0),
    "mammals671.chrM.maf.xz": ("../mammals671/mammals671.nh", "Homo_sapiens", 11_317, 0),
    "multiz46way.chrY.maf.xz": ("multiz46way.nh", "hg19", 206_798, 0),
    "multiz100way.chr22.maf.xz": ("multiz100way.nh", "hg19", 43_610, 0),
    "multiz17way.mm8.chrM.maf.xz": ("multiz17way.nh", "mm8", 16_261, 0),
    "phast.chr22.hg17.maf.xz": (None, "hg17", 218_573, 720),
    "rphast.ENr334-100k.maf.xz": (None, "hg18", 100_000, 0),
    "rphast.chr1_100k_4way.maf.xz": (None, "hg18", None, 0),
    "rphast.sol1.maf.xz": (None, "sol1", None, 0),
    "evolverMammals_4000_4151.maf": (None, "Anc0", 151, 0),
}

#: The same alignments from where another species stands: rows on either strand, in any order,
#: many over each other.
OTHER_REFERENCES = [
    ("multiz46way.chrY.maf.xz", "bosTau4"),
    ("multiz100way.chr22.maf.xz", "nomLeu3"),
    ("multiz17way.mm8.chrM.maf.xz", "galGal2"),
    ("phast.chr22.hg17.maf.xz", "galGal2"),
    ("phast.chr22.hg17.maf.xz", "fr1"),
    ("rphast.ENr334-100k.maf.xz", "canFam2"),
    ("rphast.chr1_100k_4way.maf.xz", "ponAbe2"),
    ("rphast.sol1.maf.xz", "petSp1"),
    ("mammals671.chrM.maf.xz", "Mus_musculus"),
    ("evolverMammals_0_23.maf", "simCow_chr6"),
]

#: Genomes with thousands of bases in two and more rows of a block, by hal2maf.
HAL_DUPLICATES = [
    ("hal.hal2mafSeqTest.maf.xz", "Genome_2"),
    ("hal.hal2mafMPBySeqTest_Genome_0_seq.maf.xz", "Genome_0"),
    ("hal.hal2mafMPTargetGenomesTest.maf.xz", "Genome_3"),
]

#: Several species of a genus called one: rows that differ, in the reference's genus too.
#: alignment -> what of a name is the genus, the reference's genus.
GENERA = {
    "birds53/galGal6_cut.maf.gz": (r"[a-z]{3}(?=[A-Z])", "gal"),
    "multiz30way_chrM/chrM.multiz30way.maf.gz": (r"[a-z]{3}(?=[A-Z])", "hg38"),
    "mammals671/mtCDS_cut.maf.gz": (r"[A-Z][a-z]+", "Homo"),
}


def built(alignment, tree, reference, tmp_path, **keywords):
    """Store, text and tree of an alignment of the test data."""
    plain, text = unpacked(REAL / alignment, tmp_path)
    path = star_tree(text, tmp_path / "star.nh") if tree is None else REAL / tree
    store = store_of(plain, path, tmp_path / "s", reference=reference, **keywords)
    return store, text, parse_newick(path.read_text())


@pytest.mark.parametrize("alignment", ALIGNMENTS)
def test_store_of_a_real_alignment(alignment, tmp_path):
    tree, reference, n_columns, n_overlapping = ALIGNMENTS[alignment]
    store, text, parsed = built(alignment, tree, reference, tmp_path)
    blocks = list(blocks_by_bx(text))
    expected = project(blocks, parsed.tips, reference, ancestors=parsed.names)
    assert_store_equals(store, expected)
    assert store.species == parsed.tips
    assert dict(store.contigs) == contig_lengths(text, parsed.tips, reference)
    n_found = sum(map(len, expected.values()))
    assert n_columns is None or n_found == n_columns
    rows = [row for block in blocks for row in block if row.source.split(".")[0] == reference]
    assert sum(row.size for row in rows) - n_found == n_overlapping


@pytest.mark.parametrize(("alignment", "reference"), OTHER_REFERENCES)
def test_another_reference(alignment, reference, tmp_path):
    tree = ALIGNMENTS.get(alignment, (None,))[0]
    store, text, parsed = built(alignment, tree, reference, tmp_path)
    expected = project(blocks_by_bx(text), parsed.tips, reference, ancestors=parsed.names)
    assert_store_equals(store, expected)
    assert store.reference_species == reference


@pytest.mark.parametrize("duplicates", POLICIES)
@pytest.mark.parametrize(("alignment", "reference"), HAL_DUPLICATES)
def test_rows_of_one_species_in_one_block(alignment, reference, duplicates, tmp_path):
    store, text, parsed = built(alignment, None, reference, tmp_path, duplicates=duplicates)
    expected = project(blocks_by_bx(text), parsed.tips, reference, duplicates)
    assert_store_equals(store, expected)


def genera(alignment: str) -> tuple[str, str]:
    """An alignment whose species are genera, and the reference's genus."""
    pattern, reference = GENERA[alignment]
    text = gzip.decompress((DATA / alignment).read_bytes()).decode()
    text = re.sub(rf"(?m)^(s\s+(?:{pattern}))[^.\s]*", r"\1", text)
    return re.sub(r"(?m)^s pan\.", "s hg38.", text), reference


@pytest.mark.parametrize("duplicates", POLICIES)
@pytest.mark.parametrize("alignment", GENERA)
def test_rows_of_one_genus_in_one_block(alignment, duplicates, tmp_path):
    text, reference = genera(alignment)
    (tmp_path / "a.maf").write_text(text)
    tree = star_tree(text, tmp_path / "t.nh")
    keywords = {"reference": reference, "duplicates": duplicates}
    store = store_of(tmp_path / "a.maf", tree, tmp_path / "s", **keywords)
    expected = project(blocks_by_lines(text), store.species, reference, duplicates)
    assert_store_equals(store, expected)


def test_the_policies_differ_on_these_files():
    text, reference = genera("birds53/galGal6_cut.maf.gz")
    tips = tuple({row.source.partition(".")[0] for rows in blocks_by_lines(text) for row in rows})
    found = [project(blocks_by_lines(text), tips, reference, policy) for policy in POLICIES]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize(
    "alignment",
    [
        "evolverMammals_4000_4151.maf",
        "multiz17way.mm8.chrM.maf.xz",
        "rphast.sol1.maf.xz",
        HAL_DUPLICATES[0][0],
    ],
)
def test_three_readers_agree(alignment, tmp_path):
    _, text = unpacked(REAL / alignment, tmp_path)
    if not text.startswith("##maf"):
        text = "##maf version=1\n" + text
    blocks = list(blocks_by_bx(text))
    assert blocks == list(blocks_by_lines(text))
    assert blocks == list(blocks_by_biopython(text))
