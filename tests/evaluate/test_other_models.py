"""Scores of other models in the forms in which they are published."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pyBigWig
import pysam
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.selection import Question, parse_score
from phylotools.evaluate.tables import join_tables
from phylotools.io import nearby

LABELS = """chrom pos ref alt L
chr17 43044295 T A 1
chr17 43044295 T C 2
chr17 43044296 G A 3
chr17 43044297 GCA G 4
chr17 43044300 C CTT 5
chrM 10 T C 6
"""
#: The first rows of GPN-MSA's scores as its card shows them, and two more.
GPN_MSA = """17 43044295 T A -1.60
17 43044295 T C -1.47
17 43044295 T G -1.61
17 43044296 G A -1.12
17 43044296 G C -1.46
"""
CADD = """## CADD GRCh38-v1.7 (c) University of Washington, Hudson-Alpha and BIH 2013-2023.
#Chrom Pos Ref Alt RawScore PHRED
17 43044295 T A 0.50 7.1
17 43044295 T C 0.25 4.5
17 43044296 G A 1.5 15.2
17 43044297 GCA G 2.5 22.1
"""
SPLICEAI = (
    '##INFO=<ID=SpliceAI,Number=.,Type=String,Description="SpliceAIv1.3 variant annotation. These '
    "include delta scores (DS) and delta positions (DP) for acceptor gain (AG), acceptor loss "
    "(AL), donor gain (DG), and donor loss (DL). Format: "
    'ALLELE|SYMBOL|DS_AG|DS_AL|DS_DG|DS_DL|DP_AG|DP_AL|DP_DG|DP_DL">'
)


def tabbed(text: str) -> str:
    return "".join(
        (line if line.startswith("##") else line.replace(" ", "\t")) + "\n"
        for line in text.splitlines()
    )


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.tsv"
    path.write_text(tabbed(LABELS))
    return str(path)


def bgzipped(path: Path, text: str) -> str:
    """A table as it is published: bgzip, and a tabix index beside it."""
    plain = path.with_suffix(".plain")
    plain.write_text(tabbed(text))
    pysam.tabix_compress(str(plain), str(path), force=True)
    pysam.tabix_index(str(path), force=True, seq_col=0, start_col=1, end_col=1)
    return str(path)


def joined(labels: str, *scores: str):
    columns = tuple(map(parse_score, scores))
    return join_tables(Question((), labels, "L", frozenset(), frozenset(), columns))


@pytest.fixture(params=["by index", "as a whole"])
def reading(request, monkeypatch):
    """Large files are read by their index, small ones as a whole."""
    if request.param == "by index":
        monkeypatch.setattr(nearby, "SMALLEST_FILE", 0)
        monkeypatch.setattr(nearby, "_LARGEST_SHARE", math.inf)


def test_gpn_msa_has_no_header(tmp_path, labels, reading):
    path = bgzipped(tmp_path / "scores.tsv.bgz", GPN_MSA)
    data = joined(labels, f"gpn_msa={path}:low")
    assert data.scores.tolist() == [[-1.60, -1.47, -1.12]]
    assert data.columns[0].name == "gpn_msa"
    assert data.turned_scores[0].tolist() == [1.60, 1.47, 1.12]
    assert data.lacking == {"gpn_msa": 3}


def test_cadd_has_two_columns(tmp_path, labels, reading):
    path = bgzipped(tmp_path / "whole_genome_SNVs.tsv.gz", CADD)
    data = joined(labels, f"cadd={path}:PHRED", f"raw={path}:RawScore:high")
    assert data.scores.tolist() == [[7.1, 4.5, 15.2, 22.1], [0.5, 0.25, 1.5, 2.5]]
    with pytest.raises(InputError, match=r"which column is the score 'cadd'\?.*RawScore, PHRED"):
        joined(labels, f"cadd={path}")
    with pytest.raises(InputError, match=r"there is no column 'PHREDS'; it has RawScore, PHRED"):
        joined(labels, f"cadd={path}:PHREDS")


def test_rows_of_one_variant_that_agree_and_that_do_not(tmp_path, labels):
    more = "17 43044295 T A 0.50 7.1\n17 43044295 T C 0.30 4.5\n"
    path = bgzipped(
        tmp_path / "annotated.tsv.gz", CADD.replace("17 43044296", more + "17 43044296")
    )
    data = joined(labels, f"raw={path}:RawScore")
    assert data.scores.tolist() == [[0.5, 1.5, 2.5]]
    assert data.counts["contradictory_scores"] == 1
    assert data.lacking == {"raw": 3}


def test_parquet_of_gpn_star_and_evo_2(tmp_path, labels):
    path = str(tmp_path / "scores.parquet")
    columns = {
        "chrom": ["17", "17", "17"],
        "pos": [43044295, 43044295, 43044296],
        "ref": ["T", "T", "G"],
        "alt": ["A", "C", "A"],
        "score": pyarrow.array([-1.5, None, 0.25], pyarrow.float32()),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    data = joined(labels, f"evo2={path}:low")
    assert data.scores.tolist() == [[-1.5, 0.25]]
    assert data.lacking == {"evo2": 4}
    # As data frames write them, with categories, and numbers for contigs.
    columns |= {"chrom": pyarrow.array(["17"] * 3).dictionary_encode(), "note": ["a", "b", "c"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert joined(labels, f"evo2={path}:score:low").scores.tolist() == [[-1.5, 0.25]]
    columns["chrom"] = [17, 17, 17]
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert joined(labels, f"evo2={path}:score:low").scores.tolist() == [[-1.5, 0.25]]


def bigwig(path: Path, lengths: dict[str, int], values: dict[tuple[str, int], float]) -> str:
    with pyBigWig.open(str(path), "w") as handle:
        handle.addHeader(list(lengths.items()))
        for (contig, position), value in sorted(values.items()):
            handle.addEntries([contig], [position], ends=[position + 1], values=[value])
    return str(path)


def test_phylop_is_looked_up_by_position(tmp_path, labels):
    values = {("chr17", 43044294 + k): float(k) for k in (0, 1, 3, 4, 5, 6)}
    path = bigwig(tmp_path / "phyloP.bw", {"chr17": 83257441, "chrM": 16569}, values)
    data = joined(labels, f"phyloP={path}")
    # Two deleted bases (43,044,298 and 299) have the mean of both, an insertion that of its
    # neighbours (300 and 301); chrM has no value.
    assert data.scores.tolist() == [[0, 0, 1, 3.5, 5.5]]
    assert data.lacking == {"phyloP": 1}


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ({"chr17": 1000}, "chr17 has 1,000 bases there; a labelled variant is at 43,044,300"),
        ({"chr9": 1000}, "has none of the contigs of the labelled variants; its contigs are chr9"),
    ],
)
def test_a_bigwig_of_another_assembly(tmp_path, labels, lengths, message):
    contig = next(iter(lengths))
    path = bigwig(tmp_path / "x.bw", lengths, {(contig, 5): 1.0})
    with pytest.raises(InputError, match=message):
        joined(labels, f"phyloP={path}")


def test_a_bigwig_and_the_lengths_that_a_vcf_declares(tmp_path):
    path = tmp_path / "labels.vcf"
    lines = [
        "##fileformat=VCFv4.2", "##contig=<ID=17,length=81195210>",
        '##INFO=<ID=L,Number=1,Type=Float,Description="x">',
        "#CHROM POS ID REF ALT QUAL FILTER INFO", "17 5 . A C . . L=1", "17 6 . A C . . L=2",
    ]  # fmt: skip
    path.write_text(tabbed("\n".join(lines)))
    track = bigwig(tmp_path / "x.bw", {"chr17": 83257441}, {("chr17", 5): 1.0})
    with pytest.raises(InputError, match="has 83,257,441 bases there and 81,195,210 in the labels"):
        joined(str(path), f"phyloP={track}")


def test_a_bigwig_has_no_columns(tmp_path, labels):
    path = bigwig(tmp_path / "x.bw", {"chr17": 83257441}, {("chr17", 5): 1.0})
    with pytest.raises(UsageError, match="is a bigWig, which has no columns"):
        joined(labels, f"phyloP={path}:score")


def spliceai(path: Path) -> str:
    lines = [
        "##fileformat=VCFv4.2", SPLICEAI, "#CHROM POS ID REF ALT QUAL FILTER INFO",
        "17 43044295 . T A,C . . SpliceAI=A|BRCA1|0.01|0.02|0.30|0.04|1|2|3|4,"
        "A|NBR2|0.91|0.00|0.00|0.00|1|2|3|4,C|BRCA1|0.05|.|0.00|0.00|1|2|3|4",
        "17 43044296 . G A . . SpliceAI=A|BRCA1|.|.|.|.|.|.|.|.",
        "17 43044297 . GCA G . . SpliceAI=G|BRCA1|0.00|0.11|0.00|0.00|1|2|3|4",
    ]  # fmt: skip
    path.write_text(tabbed("\n".join(lines)))
    return str(path)


def test_spliceai_is_the_largest_of_its_four_scores(tmp_path, labels):
    path = spliceai(tmp_path / "spliceai.vcf")
    data = joined(labels, f"SpliceAI={path}")
    assert data.scores.tolist() == [[0.91, 0.05, 0.11]]
    assert data.lacking == {"SpliceAI": 3}
    data = joined(labels, f"gain={path}:SpliceAI.DS_DG", f"loss={path}:SpliceAI.DS_AL")
    assert data.scores.tolist() == [[0.3, 0.0], [0.02, 0.11]]
    with pytest.raises(InputError, match=r"there is no column 'SpliceAI\.DS_XX'"):
        joined(labels, f"x={path}:SpliceAI.DS_XX")
    with pytest.raises(InputError, match="'BRCA1' in column 'SpliceAI' is not a number"):
        joined(labels, f"x={path}:SpliceAI.SYMBOL")


def test_a_vcf_is_read_by_its_index(tmp_path, labels, reading):
    plain = spliceai(tmp_path / "spliceai.vcf")
    path = str(tmp_path / "spliceai.vcf.gz")
    pysam.tabix_compress(plain, path, force=True)
    pysam.tabix_index(path, preset="vcf", force=True)
    assert joined(labels, f"SpliceAI={path}").scores.tolist() == [[0.91, 0.05, 0.11]]


def test_parts_of_what_vep_wrote_are_scores(tmp_path, labels):
    description = "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|CADD_PHRED"
    lines = [
        "##fileformat=VCFv4.2",
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="{description}">',
        "#CHROM POS ID REF ALT QUAL FILTER INFO",
        "17 43044295 . T C . . CSQ=C|missense_variant|4.5,C|intron_variant|4.5",
        "17 43044297 . GCA G . . CSQ=-|frameshift_variant|22.1",
        "17 43044300 . C CTT . . CSQ=TT|frameshift_variant|30",
    ]
    path = tmp_path / "vep.vcf"
    path.write_text(tabbed("\n".join(lines)))
    data = joined(labels, f"cadd={path}:CSQ.CADD_PHRED")
    assert data.scores.tolist() == [[4.5, 22.1, 30]]


@pytest.mark.parametrize("cell", ["NA", "nan", ".", ""])
def test_scores_that_are_not_there(tmp_path, labels, cell):
    rows = f"chrom pos ref alt s\n17 43044295 T A inf\n17 43044295 T C {cell}\n17 43044296 G A -3\n"
    path = tmp_path / "s.tsv"
    path.write_text(tabbed(rows))
    data = joined(labels, f"s={path}")
    assert data.scores.tolist() == [[math.inf, -3]]
    assert data.lacking == {"s": 4}


def test_a_file_that_is_cut_off(tmp_path, labels):
    path = bgzipped(tmp_path / "scores.tsv.bgz", GPN_MSA)
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[:-10])
    with pytest.raises(InputError, match="truncated"):
        joined(labels, f"gpn={path}:low")


def test_a_source_may_be_a_file_that_is_read_anyway(tmp_path, labels):
    path = tmp_path / "both.tsv"
    path.write_text(tabbed("chrom pos ref alt L a b\n1 5 A C 1 2 3\n1 6 A C 2 3 5\n"))
    data = joined(str(path), f"one={path}:a", f"two={path}:b", "a")
    assert data.scores.tolist() == [[2, 3], [3, 5], [2, 3]]
    with pytest.raises(UsageError, match="two scores are called 'a'"):
        joined(str(path), f"a={path}:b", "a")


def test_files_that_are_not_there(tmp_path, labels):
    with pytest.raises(InputError, match="cannot read"):
        joined(labels, f"x={tmp_path / 'none.tsv'}:s")


def test_the_command_takes_them(tmp_path, labels):
    cadd = bgzipped(tmp_path / "cadd.tsv.gz", CADD)
    text = (
        tabbed(LABELS).replace("\t1\n", "\tP\n").replace("\t2\n", "\tB\n").replace("\t3\n", "\tP\n")
    )
    Path(labels).write_text(text)
    arguments = ["--label-column", "L", "--positive", "P", "--negative", "B", "--bootstrap", "0"]
    found = subprocess.run(
        [sys.executable, "-m", "phylotools", "evaluate", labels, *arguments,
         "--score", f"CADD={cadd}:PHRED"],
        capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert "CADD" in found.stdout
    assert "1.000" in found.stdout
