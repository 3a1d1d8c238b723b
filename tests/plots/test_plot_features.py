from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError, UsageError
from phylotools.io.features import Feature, OverlapIndex, holds_intervals, read_features
from phylotools.io.regions import Region
from phylotools.plots.features import features_within

GFF = """##gff-version 3
# comment
chr1\tx\tregion\t1\t1000\t.\t+\t.\tID=chr1
chr1\tx\tgene\t101\t200\t.\t-\t.\tID=g1;Name=BRCA%201
chr1\tx\tmRNA\t101\t200\t.\t-\t.\tID=t1;Parent=g1;Name=BRCA%201
chr1\tx\texon\t151\t170\t.\t-\t.\tParent=t1
chr2\tx\tgene\t101\t200\t.\t+\t.\tID=g2
##FASTA
>chr1
ACGT
"""
GTF = 'chr1\tx\tCDS\t11\t20\t.\t+\t0\tgene_id "g1"; transcript_id "t1"; gene_name "ND1";\n'
CONTIGS = ["chr1", "chr2"]


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return str(path)


def test_bed_has_names_and_strands(tmp_path):
    bed = "track name=x\nchr1\t10\t20\tone\t0\t-\nchr1\t30\t40\nchr1\t50\t60\t.\t0\t*\n"
    assert list(read_features(write(tmp_path, "a.bed", bed))) == [
        Feature(Region("chr1", 10, 20), "one", "-"),
        Feature(Region("chr1", 30, 40), "", "."),
        Feature(Region("chr1", 50, 60), "", "."),
    ]


@pytest.mark.parametrize("name", ["a.gff3", "a.txt.gz"])
def test_gff_is_known_by_its_content(tmp_path, name):
    found = list(read_features(write(tmp_path, name, GFF)))
    assert found[1] == Feature(Region("chr1", 100, 200), "BRCA 1", "-", "gene")
    assert [f.kind for f in found] == ["region", "gene", "mRNA", "exon", "gene"]
    assert [f.name for f in found] == ["chr1", "BRCA 1", "BRCA 1", "t1", "g2"]


def test_gtf_attributes(tmp_path):
    (found,) = read_features(write(tmp_path, "a.gtf", GTF))
    assert found == Feature(Region("chr1", 10, 20), "ND1", "+", "CDS")


def test_features_of_a_region(tmp_path):
    path = write(tmp_path, "a.gff", GFF)
    region = Region("chr1", 150, 160)
    # The whole-sequence row is left out, and gene and mRNA are one.
    assert [f.kind for f in features_within(path, region, CONTIGS)] == ["gene", "exon"]
    kinds = frozenset({"exon", "region"})
    assert [f.kind for f in features_within(path, region, CONTIGS, kinds)] == ["region", "exon"]
    other = write(tmp_path, "b.bed", "1\t150\t160\tspelled\n2\t150\t160\tno\n1\t160\t170\tno\n")
    assert [f.name for f in features_within(other, region, CONTIGS)] == ["spelled"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chr1\tx\tgene\t5\t3\t.\t+\t.\tID=a\n", "a:1: start 5 and end 3 span nothing"),
        ("chr1\tx\tgene\t1\t3\t.\t+\t.\tID=a\nchr1\tx\n", "a:2: 2 columns where"),
        ("##gff-version 3\nchr1\tx\tg\t1\tx\t.\t+\t.\t.\n", "a:2: 'x' is not a position"),
        ("##gff-version 3\n", "holds no feature"),
        ("##gff-version 3\nchr1\tx\tg\t1\t99999999999999999999\t.\t+\t.\t.\n", "is not a position"),
        ("chr1\t5\tfive\n", "must be whole numbers"),
        ("", "holds no interval"),
        ("\0\0\0\n", "is no text"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path, text, problem):
    with pytest.raises(InputError) as error:
        list(read_features(write(tmp_path, "a", text)))
    assert problem in str(error.value)


def test_stdin_is_refused():
    with pytest.raises(UsageError, match="stdin"):
        read_features("-")


def test_interval_files_are_told_from_tables(tmp_path):
    assert holds_intervals(write(tmp_path, "a", "#x\ntrack\nchr1\t1\t2\n"))
    assert holds_intervals(write(tmp_path, "b", GTF))
    assert not holds_intervals(write(tmp_path, "c", "contig\tpos\tref\talt\tclass\n"))
    assert not holds_intervals(write(tmp_path, "d", ""))


_spans = st.tuples(st.integers(0, 200_000), st.integers(1, 300_000))


@given(st.lists(_spans, max_size=30), _spans)
def test_largest_overlap_as_by_looking_at_every_interval(spans, query):
    features = [
        Feature(Region("c", start, start + length), str(number))
        for number, (start, length) in enumerate(spans)
    ]
    start, end = query[0], query[0] + query[1]
    index = OverlapIndex(features, lambda contig: contig)
    found = index.name_of(Region("c", start, end))
    overlaps = [(min(f.region.end, end) - max(f.region.start, start)) for f in features]
    if max(overlaps, default=0) <= 0:
        assert found is None
        return
    best = max(overlaps)
    shortest = min(len(f.region) for f, o in zip(features, overlaps, strict=True) if o == best)
    assert overlaps[int(found)] == best
    assert len(features[int(found)].region) == shortest
    assert index.name_of(Region("d", start, end)) is None
