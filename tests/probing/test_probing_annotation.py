from __future__ import annotations

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet
from phylotools.probing.annotation import (
    GENE_CLASSES,
    base_classes,
    bin_labels,
    on_genome,
    read_annotation,
    windows,
)

GFF = """##gff-version 3
c1\tx\texon\t3\t5\t.\t+\t.\tParent=t1
c1\tx\texon\t9\t10\t.\t+\t.\tParent=t1
c1\tx\texon\t13\t14\t.\t-\t.\tParent=t2
c1\tx\texon\t18\t18\t.\t-\t.\tParent=t2
"""


@pytest.fixture
def genome():
    return ReferenceGenome.from_sequences({"c1": b"ACGT" * 6, "c2": b"A" * 300})


def classes_of(path, genome, size, regions=None, **how):
    painted, names = read_annotation(str(path), **{"types": frozenset(), **how})
    regions = regions or RegionSet.whole({"c1": 24})
    table = windows(regions, size, genome)
    found = base_classes(table, on_genome(painted, genome, str(path)), len(names) - 1)
    return table, [names[k] for k in found.tolist()]


@pytest.mark.parametrize("size", [24, 5, 1])
def test_genes_on_both_strands_by_hand(tmp_path, genome, size):
    (tmp_path / "g.gff3").write_text(GFF)
    _, found = classes_of(tmp_path / "g.gff3", genome, size, finds_genes=True)
    short = {name: name[0].upper() if name[-1] == "+" else name[0] for name in GENE_CLASSES}
    # Exon, donor, intron, acceptor; lower case on the reverse strand, whose donor is to the right.
    assert "".join(short[name] for name in found) == "iiEEEDIAEEiieeaideiiiiii"
    assert found[0] == "intergenic"
    assert found[15] == "intron-"


def test_a_splice_site_of_one_transcript_lies_above_an_exon_of_another(tmp_path, genome):
    text = GFF + "c1\tx\texon\t4\t9\t.\t+\t.\tParent=t3\n"
    (tmp_path / "g.gff3").write_text(text)
    _, found = classes_of(tmp_path / "g.gff3", genome, 24, finds_genes=True)
    assert found[5:8] == ["donor+", "exon+", "acceptor+"]


def test_short_intervals_lie_above_long_ones_and_windows_are_cut(tmp_path, genome):
    (tmp_path / "b.bed").write_text("c1\t4\t6\tb\nc1\t2\t10\ta\n")
    regions = RegionSet.of([Region("c1", 1, 6), Region("c1", 9, 12)])
    table, found = classes_of(tmp_path / "b.bed", genome, 3, regions, finds_genes=False)
    assert list(zip(table.start, table.end, strict=True)) == [(1, 4), (4, 6), (9, 12)]
    assert found == ["none", "a", "a", "b", "b", "a", "none", "none"]


def test_types_of_a_gff_are_classes(tmp_path, genome):
    text = "c1\tx\tCDS\t1\t4\t.\t+\t0\tID=q\nc1\tx\ttRNA\t7\t8\t.\t+\t.\tID=r\n"
    (tmp_path / "g.gff3").write_text(text)
    _, found = classes_of(tmp_path / "g.gff3", genome, 24, finds_genes=False)
    assert found[:9] == ["CDS"] * 4 + ["none"] * 2 + ["tRNA"] * 2 + ["none"]
    _, found = classes_of(
        tmp_path / "g.gff3", genome, 24, finds_genes=False, types=frozenset(["tRNA"])
    )
    assert set(found) == {"none", "tRNA"}
    with pytest.raises(InputError, match="no row of type rRNA"):
        read_annotation(str(tmp_path / "g.gff3"), finds_genes=False, types=frozenset(["rRNA"]))


@pytest.mark.parametrize(
    ("bed", "message"),
    [
        ("c1\t20\t30\ta\n", "past the end of the contig"),
        ("c9\t2\t3\ta\n", "none of its contigs"),
        ("c1\t2\t3\n", "has no name"),
        ("".join(f"c2\t{k}\t{k + 1}\tn{k}\n" for k in range(250)), "250 names|251 names"),
    ],
)
def test_bad_annotations(tmp_path, genome, bed, message):
    (tmp_path / "b.bed").write_text(bed)
    with pytest.raises(InputError, match=message):
        classes_of(tmp_path / "b.bed", genome, 10, finds_genes=False)


def test_bins_are_marked_by_half_of_their_bases():
    flags = np.zeros(128 + 100 + 128, dtype=bool)
    flags[:64] = True  # half of the first
    flags[128:177] = True  # 49 of 100
    flags[228:] = True
    found = bin_labels(flags, np.array([228, 128]))
    assert found.tolist() == [[1], [0], [1]]
