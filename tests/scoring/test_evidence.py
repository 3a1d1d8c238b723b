from __future__ import annotations

import gzip
import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.vcf.reader import BlockStream, open_variants
from phylotools.io.vcf.records import LineBlock
from phylotools.scoring.evidence import ContigUse, region_evidence, variant_evidence

HEAD = "##fileformat=VCFv4.2\n{}#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
CONTIGS = "##contig=<ID=chr1,length=500>\n##contig=<ID=chrM,length=16569>\n##contig=<ID=x>\n"
GNOMAD = Path(__file__).parents[2] / "examples/human_mtdna/data/gnomad_v3.1_chrM.vcf.gz"


def evidence_of(path, text: str, **options):
    path.write_text(text)
    with open_variants(path) as source:
        return variant_evidence(source, **options)


def record(contig: str, position: object, ref: str = "A") -> str:
    return f"{contig}\t{position}\t.\t{ref}\tC\t.\t.\t.\n"


@given(st.lists(st.integers(1, 50), max_size=8), st.integers(0, 100), st.integers(0, 8))
def test_peeking_takes_nothing(sizes, n_bytes, n_taken):
    blocks = [LineBlock(b"x" * size, k) for k, size in enumerate(sizes)]
    stream = BlockStream(iter(blocks))
    taken = list(itertools.islice(stream, n_taken))
    n_left = sum(map(len, (block.text for block in blocks[len(taken) :])))
    for _ in range(2):
        ahead = stream.peek(n_bytes)
        assert sum(len(block.text) for block in ahead) >= min(n_bytes, n_left)
        assert ahead == blocks[len(taken) : len(taken) + len(ahead)]
    assert taken + list(stream) == blocks


@pytest.mark.parametrize("kind", ["plain", "gzip"])
def test_a_file_is_the_same_after_it_was_looked_at(tmp_path, kind):
    text = gzip.decompress(GNOMAD.read_bytes())
    path = tmp_path / "in.vcf"
    path.write_bytes(text if kind == "plain" else gzip.compress(text))
    with open_variants(path) as source:
        plain = [(block.text, block.first_line) for block in source.blocks]
    with open_variants(path) as source:
        evidence = variant_evidence(source)
        assert evidence.uses.keys() == {"chrM"}
        assert 1000 < evidence.weight <= 10_000
        assert len(evidence.ref_alleles) == 1000
        assert [(block.text, block.first_line) for block in source.blocks] == plain
    assert len(plain) >= 2


def test_records_before_the_header(tmp_path):
    body = record("chr1", 5, "AC") + record("chr1", 3) + "\n" + record("chrM", 9, "acg")
    found = evidence_of(tmp_path / "a.vcf", HEAD.format(CONTIGS) + body)
    assert found.uses == {"chr1": ContigUse(2, 6), "chrM": ContigUse(1, 11)}
    assert found.lengths == {"chr1": 500, "chrM": 16569}
    assert found.has_records
    assert [(each.contig, each.start, each.letters) for each in found.ref_alleles] == [
        ("chr1", 4, b"AC"), ("chr1", 2, b"A"), ("chrM", 8, b"ACG"),
    ]  # fmt: skip
    assert found.subject.endswith("a.vcf")


def test_without_records_the_header_counts(tmp_path):
    found = evidence_of(tmp_path / "a.vcf", HEAD.format(CONTIGS))
    assert not found.has_records
    assert found.uses == {
        "chr1": ContigUse(500, 500), "chrM": ContigUse(16569, 16569), "x": ContigUse(1, 1),
    }  # fmt: skip
    assert evidence_of(tmp_path / "b.vcf", HEAD.format("")).uses == {}


def test_regions_stand_beside_records(tmp_path):
    text = HEAD.format(CONTIGS) + record("chr1", 5)
    (tmp_path / "r.bed").write_text("chrM\t1\t5\nchrM\t7\t9\n")
    path = tmp_path / "a.vcf"
    found = evidence_of(path, text, regions=["chrM:3-8", "MT:1", "x"])
    assert found.uses == {"chr1": ContigUse(1, 5)}
    assert found.part.uses == {
        "chrM": ContigUse(1, 8), "MT": ContigUse(1, 1), "x": ContigUse(1, 0),
    }  # fmt: skip
    assert found.part.lengths == found.lengths
    found = evidence_of(path, text, regions=["chrM:3"], regions_file=str(tmp_path / "r.bed"))
    assert found.part.uses == {"chrM": ContigUse(3, 9)}
    # Regions from stdin can be read only once.
    assert evidence_of(path, text, regions_file="-").part is None
    with pytest.raises(InputError, match=r"absent\.bed: cannot read"):
        evidence_of(path, text, regions_file=str(tmp_path / "absent.bed"))


def test_a_fasta_says_lengths_before_the_header(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\nACGT\n>y\nAC\n")
    text = HEAD.format(CONTIGS) + record("chr1", 5)
    found = evidence_of(tmp_path / "a.vcf", text, fasta=str(tmp_path / "g.fa"))
    assert found.lengths == {"chr1": 4, "chrM": 16569, "y": 2}
    assert found.uses == {"chr1": ContigUse(1, 5)}


def test_lines_that_are_no_records_are_left_to_others(tmp_path):
    body = "".join(["chr1\tx\t.\tA\tC\n", "chr1\t5\n", record("chr1", 0), record("chr1", "9" * 20)])
    found = evidence_of(tmp_path / "a.vcf", HEAD.format("") + body + record("chr2", 7))
    assert found.uses == {"chr2": ContigUse(1, 7)}


def test_tables_of_variants(tmp_path):
    rows = "chrom,pos,ref,alt\nchr1,5,A,C\nchr2,6,G,T\n"
    found = evidence_of(tmp_path / "a.csv", rows)
    assert found.uses == {"chr1": ContigUse(1, 5), "chr2": ContigUse(1, 6)}
    found = evidence_of(tmp_path / "a.tsv", "variant\tx\nchr3:7:A:C\t1\n")
    assert found.uses == {"chr3": ContigUse(1, 7)}


def test_regions_alone(tmp_path):
    (tmp_path / "g.fa").write_text(">a:1\nACGT\n>b\nAC\n")
    fasta = str(tmp_path / "g.fa")
    assert region_evidence().uses == {}
    assert region_evidence(regions_file="-").uses == {}
    whole = region_evidence(fasta=fasta)
    assert (whole.unit, whole.subject) == ("bases", fasta)
    assert whole.uses == {"a:1": ContigUse(4, 4), "b": ContigUse(2, 2)}
    named = region_evidence(["a:1", "a:1:2-3", "b:1,000"], fasta=fasta)
    assert named.uses == {"a:1": ContigUse(2, 3), "b": ContigUse(1, 1000)}
    assert named.subject == "a:1, a:1:2-3, b:1,000"


def test_a_fasta_that_can_be_read_once_is_left_alone(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert region_evidence(["b"], fasta=str(tmp_path / "pipe")).lengths == {}
