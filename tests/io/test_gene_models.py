"""Genes of GFF3 and GTF files: exons, coding parts, names."""

from pathlib import Path

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.gene_models import coding_transcripts, read_gene_models
from phylotools.io.transcripts import read_transcripts

ROOT = Path(__file__).parents[2]
CHICKEN = ROOT / "examples" / "objectives_study" / "data" / "galGal6_ncbiRefSeq.gff3.gz"
CODING = ROOT / "models" / "mammals-coding" / "transcripts.gff3"


def write(path, rows, header="##gff-version 3\n"):
    lines = [
        f"{contig}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t{phase}\t{label}\n"
        for contig, kind, start, end, strand, phase, label in rows
    ]
    path.write_text(header + "".join(lines))
    return str(path)


@pytest.mark.parametrize("path", [CHICKEN, CODING])
def test_coding_parts_are_those_of_transcripts(path):
    """The reader of joined sequences goes another way."""
    models = {model.name: model for model in read_gene_models(path)}
    transcripts = read_transcripts(path)
    for k, name in enumerate(transcripts.names):
        model = models[name]
        assert model.coding.tolist() == transcripts.exons(k).tolist()
        assert model.is_reverse == transcripts.is_reverse[k]
        assert model.phase == transcripts.phases[k]
        assert model.contig == transcripts.contigs[k]


def test_a_file_of_ucsc():
    models = read_gene_models(CHICKEN)
    assert len(models) == 45
    first = models[0]
    assert (first.name, first.gene, first.contig) == ("XM_015297334.2", "AAK1", "chr22")
    assert first.exons[0].tolist() == [173111, 173409]
    assert first.coding[0].tolist() == [173611, 173774]
    assert (first.start, first.end) == (173111, 239179)


def test_coding_sequences_are_transcripts():
    models = read_gene_models(CHICKEN)
    found, expected = coding_transcripts(models, "x"), read_transcripts(CHICKEN)
    assert len(found) == sum(len(model.coding) > 0 for model in models)
    lengths = dict(zip((m.name for m in models if len(m.coding)), found.lengths, strict=True))
    for name, length in zip(expected.names, expected.lengths, strict=True):
        assert lengths[name] == length


def test_an_exon_of_two_transcripts(tmp_path):
    path = write(tmp_path / "g", [
        ("1", "gene", 11, 60, "+", ".", "ID=g1;gene=SYMB"),
        ("1", "mRNA", 11, 60, "+", ".", "ID=t1;Parent=g1"),
        ("1", "mRNA", 11, 60, "+", ".", "ID=t2;Parent=g1"),
        ("1", "exon", 11, 30, "+", ".", "Parent=t1,t2"),
        ("1", "exon", 41, 60, "+", ".", "Parent=t2"),
        ("1", "CDS", 14, 30, "+", "0", "ID=c;Parent=t1,t2"),
        ("1", "five_prime_UTR", 11, 13, "+", ".", "Parent=t1,t2"),
    ])  # fmt: skip
    one, two = read_gene_models(path)
    assert (one.name, two.name, one.gene, two.gene) == ("t1", "t2", "SYMB", "SYMB")
    assert one.exons.tolist() == [[10, 30]]
    assert two.exons.tolist() == [[10, 30], [40, 60]]
    assert two.coding.tolist() == [[13, 30]]


def test_contigs_that_are_not_wanted_are_left_out(tmp_path):
    rows = [("1", "CDS", 11, 30, "+", "0", "ID=a"), ("2", "CDS", 11, 30, "-", "1", "ID=b")]
    path = write(tmp_path / "g", rows)
    (found,) = read_gene_models(path, {"2": "chr2"}.get)
    assert (found.name, found.contig, found.phase, found.is_reverse) == ("b", "chr2", 1, True)
    assert read_gene_models(path, {}.get) == []


@pytest.mark.parametrize(
    ("contig", "label", "given", "code"),
    [
        ("1", "ID=a", None, 1),
        ("chrM", "ID=a", None, 2),
        ("NC_012920.1", "ID=a", None, 2),
        ("MT", "ID=a;transl_table=5", None, 5),
        ("1", "ID=a;transl_table=11", 4, 4),
        ("1", 'transcript_id "a"; transl_table "4";', None, 4),
    ],
)
def test_genetic_codes(tmp_path, contig, label, given, code):
    path = write(tmp_path / "g", [(contig, "CDS", 11, 30, "+", "0", label)])
    (found,) = read_gene_models(path, genetic_code=given)
    assert found.genetic_code == code


def test_transcripts_that_make_no_sense_are_counted(tmp_path, caplog):
    path = write(tmp_path / "g", [
        ("1", "CDS", 11, 30, "+", "0", "ID=on_two_strands"),
        ("1", "CDS", 41, 50, "-", "0", "ID=on_two_strands"),
        ("1", "CDS", 11, 30, "+", "0", "ID=on_two_contigs"),
        ("2", "CDS", 41, 50, "+", "0", "ID=on_two_contigs"),
        ("1", "CDS", 11, 30, ".", "0", "ID=without_strand"),
        ("1", "CDS", 11, 30, "+", "0", "ID=overlapping"),
        ("1", "CDS", 20, 50, "+", "0", "ID=overlapping"),
        ("1", "CDS", 11, 30, "+", "0", "ID=slipping"),
        ("1", "CDS", 30, 50, "+", "0", "ID=slipping"),
    ])  # fmt: skip
    (found,) = read_gene_models(path)
    assert found.name == "slipping"
    assert found.coding.tolist() == [[10, 30], [29, 50]]
    assert found.exons.tolist() == [[10, 50]]
    assert "4 transcripts left out" in caplog.text


def test_the_rows_may_come_in_any_order():
    models = read_gene_models(CHICKEN)
    lines = [model.line for model in models]
    assert lines == sorted(lines)
    assert all((np.diff(model.exons[:, 0]) > 0).all() for model in models)


def test_a_file_without_genes(tmp_path):
    path = write(tmp_path / "g", [("1", "gene", 11, 60, "+", ".", "ID=g1")])
    with pytest.raises(InputError, match="no rows of type CDS or exon"):
        read_gene_models(path)
