"""The alignment's columns as a score."""

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from oracles.small_stores import Block, build_store, write_store
from sklearn.metrics import roc_auc_score

from phylotools.errors import InputError
from phylotools.evaluate.column_baseline import column_scores
from phylotools.evaluate.labelled import Variants
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick

MTDNA = Path(__file__).parents[2] / "examples" / "human_mtdna" / "data"


def variants(rows, contigs=("chr1",)):
    """Of (index of contig, 1-based position, REF, ALT)."""
    return Variants(
        contigs,
        np.array([row[0] for row in rows], dtype=np.int32),
        np.array([row[1] - 1 for row in rows], dtype=np.int64),
        tuple(row[2] for row in rows),
        tuple(row[3] for row in rows),
    )


@pytest.fixture
def store(tmp_path):
    """Positions 101 to 104 of a contig: columns ACAA, CCCC, G---, and gg-t of a to d."""
    bases = np.array([[0, 1, 2, 10], [1, 1, 5, 10], [0, 1, 5, 5], [0, 1, 5, 11]], dtype=np.uint8)
    tree = parse_newick("(a:1,b:1,(c:1,d:2):1);")
    block = Block(Region("1", 100, 104), ("a", "b", "c", "d"), bases, 20_000)
    write_store(tmp_path / "s", tree, "a", [block])
    return tmp_path / "s"


def test_counts_by_hand(store):
    asked = variants(
        [(0, 101, "A", "C"), (0, 101, "A", "T"), (0, 102, "C", "T"), (0, 103, "G", "A"),
         (0, 104, "G", "T"), (0, 104, "G", "GA"), (0, 9000, "G", "A"), (0, 30_000, "G", "A")]
    )  # fmt: skip
    found = column_scores(asked, store)
    expected = [math.log(1.5 / 3.5), math.log(0.5 / 3.5), math.log(0.5 / 4.5), math.nan,
                math.log(1.5 / 2.5), math.nan, math.nan, math.nan]  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_rows_in_any_order_have_their_own_scores(store):
    rows = [(1, 104, "G", "T"), (0, 104, "G", "T"), (0, 101, "A", "C"), (1, 101, "A", "C")]
    found = column_scores(variants(rows, ("chrUn", "chr1")), store)
    expected = [math.log(1.5 / 2.5), math.nan, math.nan, math.log(1.5 / 3.5)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_ref_of_another_assembly_is_refused(store):
    rows = [(0, 101, "C", "T"), (0, 102, "A", "T"), (0, 103, "G", "A")]
    with pytest.raises(InputError, match="REF of 2 of 3 variants is not the store's"):
        column_scores(variants(rows), store)


def test_a_single_ref_that_differs_has_no_score(store, caplog):
    rows = [(0, 101, "A", alt) for alt in "CGT"] * 4 + [(0, 102, "A", "T")]
    found = column_scores(variants(rows), store)
    assert np.isnan(found).tolist() == [False] * 12 + [True]
    assert "REF of 1 variant " in caplog.text


def test_contigs_that_the_store_has_not(store):
    with pytest.raises(InputError, match="none of the variants' contigs"):
        column_scores(variants([(0, 101, "A", "C")], ("chr9",)), store)


def test_mitochondrial_variants_by_671_species(tmp_path):
    """Pathogenic against common: what a model of these columns must beat."""
    alignment = MTDNA / "mammals671_mtCDS_hg38_chrM.maf.gz"
    build_store(alignment, MTDNA / "mammals671.nh", tmp_path / "s", fasta=MTDNA / "chrM.fa")
    with gzip.open(MTDNA / "chrM_all_snvs_labels.tsv.gz", "rt") as lines:
        header = next(lines).rstrip("\n").split("\t")
        rows = [dict(zip(header, line.rstrip("\n").split("\t"), strict=True)) for line in lines]
    rows = [row for row in rows if row["label"] in ("pathogenic", "common")]
    asked = variants([(0, int(row["pos"]), row["ref"], row["alt"]) for row in rows], ("MT",))
    found = column_scores(asked, tmp_path / "s")
    has_score = ~np.isnan(found)
    is_pathogenic = np.array([row["label"] == "pathogenic" for row in rows])[has_score]
    assert (int(has_score.sum()), int(is_pathogenic.sum())) == (2005, 136)
    assert roc_auc_score(is_pathogenic, -found[has_score]) == pytest.approx(0.839, abs=0.001)
