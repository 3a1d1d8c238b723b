"""Published tables made into variants; contents worked out by hand."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from cyvcf2 import VCF
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.preparing import dms
from phylotools.evaluate.preparing.codons import coding_sequence
from phylotools.evaluate.preparing.protein_changes import (
    MISSING,
    OTHER,
    SEVERAL,
    WILD_TYPE,
    ProteinChange,
    parse_change,
)
from phylotools.evaluate.preparing.records import (
    NUMBER,
    TEXT,
    Field,
    Prepared,
    PreparedVariant,
    write_prepared,
)
from phylotools.evaluate.preparing.run import prepare
from phylotools.evaluate.protocols.reading import load_protocol
from phylotools.io.genome import ReferenceGenome
from phylotools.io.scored import open_scored
from phylotools.io.spliced import spliced_genome

MTDNA = Path(__file__).parents[2] / "examples/human_mtdna/data"
#: ND6 lies on the reverse strand of the mitochondrion, ATP8 on the forward one.
GENES = {"MT-ND6": (14149, 14673, "-"), "MT-ATP8": (8366, 8572, "+")}


@pytest.fixture
def genes(tmp_path):
    lines = ["##gff-version 3"]
    for name, (start, end, strand) in GENES.items():
        lines.append(
            f"chrM\t.\tCDS\t{start}\t{end}\t.\t{strand}\t0\tID=cds-{name};Parent={name};transl_table=2"
        )
    path = tmp_path / "genes.gff3"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def run(tmp_path, name, table, text, **options):
    """Prepare a table of a text; the records as (CHROM, POS, REF, ALT, INFO), and counts."""
    path = tmp_path / table
    if isinstance(text, str):
        path.write_text(text)
    output = str(tmp_path / "out.vcf")
    prepared = prepare(load_protocol(name), str(path), output, force=True, **options)
    records = [(v.CHROM, v.POS, v.REF, v.ALT[0], dict(v.INFO)) for v in VCF(output)]
    assert len(records) == len(prepared.variants)
    return records, prepared.counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p.Ala12Val", ProteinChange("A", 12, "V")),
        ("A12V", ProteinChange("A", 12, "V")),
        ("p.A12V", ProteinChange("A", 12, "V")),
        ("p.(Ala12Val)", ProteinChange("A", 12, "V")),
        ("NP_000001.1:p.Ala12Val", ProteinChange("A", 12, "V")),
        ("p.Ala12Ter", ProteinChange("A", 12, "*")),
        ("p.Ala12*", ProteinChange("A", 12, "*")),
        ("A12*", ProteinChange("A", 12, "*")),
        ("p.Ter345Lys", ProteinChange("*", 345, "K")),
        ("p.Ala12=", ProteinChange("A", 12, "A")),
        ("p.Ala12Ala", ProteinChange("A", 12, "A")),
        ("p.=", WILD_TYPE),
        ("_wt", WILD_TYPE),
        ("_sy", WILD_TYPE),
        ("p.[Ala12Val;Gly13Ser]", SEVERAL),
        ("A12V:G13S", SEVERAL),
        ("NA", MISSING),
        ("", MISSING),
        ("p.Ala12del", OTHER),
        ("p.Ala12fs", OTHER),
        ("p.Ala12Xaa", OTHER),
        ("X12V", OTHER),
        ("p.Ala0Val", OTHER),
        ("A" + "1" * 5000 + "V", OTHER),
    ],
)
def test_how_protein_changes_are_written(text, expected):
    assert parse_change(text) == expected


@given(st.text())
def test_no_text_is_too_odd(text):
    assert isinstance(parse_change(text), (str, ProteinChange))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_texts_come_back_as_one_value_each(tmp_path_factory, texts):
    """Whatever a cell says, the VCF stays one: escaped, blanks as underscores, in one field."""
    path = str(tmp_path_factory.mktemp("texts") / "x.vcf")
    variants = [PreparedVariant("1", k, "A", "C", (text, float(k))) for k, text in enumerate(texts)]
    fields = (Field("T", TEXT, 'a "text"\n'), Field("N", NUMBER, "n"))
    write_prepared(path, Prepared(fields, variants), note="odd;\n=", force=True)
    with open_scored(path) as file:
        found = list(file.alleles(["T", "N"]))
    assert [allele.position for allele in found] == list(range(len(texts)))
    assert [float(allele.values[1]) for allele in found] == [float(k) for k in range(len(texts))]
    for allele, text in zip(found, texts, strict=True):
        plain = re.sub(r"\s", "_", text.strip())
        if plain.isalnum():
            assert allele.values[0] == plain


def test_the_base_changes_of_a_codon_that_lies_in_two_exons_on_either_strand(tmp_path):
    """Positions 1-based: the exons are 3-6 and 11-15 of a contig of 20.

    Forward: joined GATG TGGTA, phase 1 (one base of an earlier codon), so ATG TGG TA.: M W.
    The codons ATG lie at 4, 5, 6 and TGG at 11, 12, 13. TGG -> TGA is W2*, G>A at 13.
    """
    letters = bytearray(b"C" * 20)
    letters[2:6], letters[10:15] = b"GATG", b"TGGTA"
    genome = ReferenceGenome.from_sequences({"1": bytes(letters)})
    rows = "1\t.\tCDS\t3\t6\t.\t+\t1\tParent=t\n1\t.\tCDS\t11\t15\t.\t+\t0\tParent=t\n"
    path = tmp_path / "t.gff3"
    path.write_text(rows)
    forward = coding_sequence(spliced_genome(genome, str(path), genetic_code=1), 0)
    assert forward.protein == "MW"
    assert forward.positions[:6].tolist() == [3, 4, 5, 10, 11, 12]
    stops = [change for change in forward.base_changes(1) if change.mutant == "*"]
    # TGA at the third base, TAG at the second.
    assert [(c.position + 1, c.ref, c.alt) for c in stops] == [(12, "G", "A"), (13, "G", "A")]
    # The reverse strand: joined TACCA CATC, phase 1: ACC ACA TC. = T T; its first codon's
    # letters stand at 14, 13, 12 and the second's at 11, 6, 5: it lies in both exons.
    path.write_text(rows.replace("+\t1", "-\t0").replace("+\t0", "-\t1"))
    reverse = coding_sequence(spliced_genome(genome, str(path), genetic_code=1), 0)
    assert reverse.protein == "TT"
    assert (reverse.positions[:6] + 1).tolist() == [14, 13, 12, 11, 6, 5]
    # ACA -> AAA (T>K) is C>A on the gene's strand, G>T at 6 of the contig.
    (lysine,) = [change for change in reverse.base_changes(1) if change.mutant == "K"]
    assert (lysine.position + 1, lysine.ref, lysine.alt) == (6, "G", "T")


def test_a_mavedb_table_of_a_gene_on_the_reverse_strand(tmp_path, genes):
    """ND6 begins (reverse strand) ATG ATG TAT GCT: M M Y A at 14673-14662.

    - M2V is ATG>GTG: A>G at the codon's first base, 14670; on the contig T>C.
    - Y3* is TAT>TAA or TAG (both stops in code 2): third base, 14665, A>T and A>C on the contig.
    - M1= is ATG>ATA, which is M in code 2: third base, 14671, C>T on the contig.
    - A4V is GCT>GTT: second base, 14663, C>T; on the contig G>A.
    - A4W (TGG) is three bases away.
    """
    text = (
        "# Accession: urn:mavedb:00000000-a-1\n"
        "accession,hgvs_nt,hgvs_splice,hgvs_pro,score\n"
        "u#1,NA,NA,p.=,1.0\nu#2,NA,NA,p.Met2Val,0.5\nu#3,NA,NA,p.Tyr3Ter,-1\n"
        "u#4,NA,NA,p.Met1=,1.25\nu#5,NA,NA,p.Ala4Val,0.25\nu#6,NA,NA,p.Ala4Trp,0\n"
        "u#7,NA,NA,p.[Met2Val;Ala4Val],0\nu#8,NA,NA,p.Ala4Val,0.75\nu#9,NA,NA,p.Ala4Gly,NA\n"
    )
    records, counts = run(
        tmp_path, "dms", "nd6.csv", text, transcripts=genes, fasta=str(MTDNA / "chrM.fa")
    )
    found = [
        (pos, ref, alt, info["PROTEIN_CHANGE"], info["DMS_SCORE"], info["DMS_CLASS"])
        for _, pos, ref, alt, info in records
    ]
    assert found == [
        (14663, "G", "A", "A4V", 0.5, "missense"),
        (14665, "A", "C", "Y3*", -1.0, "nonsense"),
        (14665, "A", "T", "Y3*", -1.0, "nonsense"),
        (14670, "T", "C", "M2V", 0.5, "missense"),
        (14671, "C", "T", "M1M", 1.25, "synonymous"),
    ]
    assert {info["DMS_CODON"] for *_, info in records} == {f"MT-ND6:{k}" for k in (1, 2, 3, 4)}
    assert counts["rows"] == 9
    assert counts["wild_type"] == counts["several_changes"] == counts["no_score"] == 1
    assert (counts["changes_of_one_base"], counts["changes_of_more_bases"]) == (4, 1)
    assert counts["repeated"] == 1


def test_every_change_of_one_base_is_found_once(tmp_path, genes):
    """All changes of all amino acids of ATP8: 9 base changes a codon, each made once."""
    with ReferenceGenome.open(str(MTDNA / "chrM.fa")) as genome:
        coding = coding_sequence(spliced_genome(genome, genes), 1)
    protein = coding.protein.removesuffix("*")
    assert protein.startswith("MPQLNTTVWPTMITPMLLTL")
    amino_acids = "ACDEFGHIKLMNPQRSTVWY*"
    rows = [
        f"{wild}{place}{mutant},{0.5 if mutant == wild else 0.1}"
        for place, wild in enumerate(protein, start=1)
        for mutant in amino_acids
    ]
    text = "mutant,DMS_score\n" + "\n".join(rows) + "\n"
    records, counts = run(
        tmp_path, "dms", "ATP8.csv", text, transcripts=genes, fasta=str(MTDNA / "chrM.fa")
    )
    keys = {(pos, ref, alt) for _, pos, ref, alt, _ in records}
    assert len(keys) == len(records) == 9 * len(protein)
    assert counts["changes_of_one_base"] + counts["changes_of_more_bases"] == 21 * len(protein)


def test_a_table_of_another_protein(tmp_path, genes):
    options = {"transcripts": genes, "fasta": str(MTDNA / "chrM.fa")}
    text = "mutant,DMS_score\nM1V,1\nW2A,1\nW3A,1\nW4A,1\n"
    with pytest.raises(InputError) as caught:
        run(tmp_path, "dms", "x.csv", text, **options)
    assert "has 1 of the table's 4 amino acids; at 2 it has" in str(caught.value)
    assert ":3: " in str(caught.value)
    # ATP8 from its third amino acid on: QLNTTVW.
    text = "mutant,DMS_score\nQ1A,1\nL2A,1\nN3A,1\nT4A,1\nT5A,1\nV6A,1\nW7A,1\n"
    with pytest.raises(InputError, match="amino acid 1 would be 3 of MT-ATP8: give --first-res"):
        run(tmp_path, "dms", "x.csv", text, transcript="MT-ATP8", **options)
    records, _ = run(tmp_path, "dms", "x.csv", text, first_residue=3, **options)
    assert {info["DMS_CODON"] for *_, info in records} == {"MT-ATP8:6", "MT-ATP8:7", "MT-ATP8:8"}
    with pytest.raises(UsageError, match="no transcript MT-CYB; it has MT-ND6, MT-ATP8"):
        run(tmp_path, "dms", "x.csv", text, transcript="MT-CYB", **options)
    with pytest.raises(UsageError, match="fit 2 transcripts equally well"):
        run(tmp_path, "dms", "x.csv", "mutant,DMS_score\nM1V,1\n", **options)


def test_of_a_genomes_many_transcripts_those_that_are_long_enough_are_read(
    tmp_path, genes, monkeypatch
):
    """ND6 has 174 amino acids and ATP8 68: where 100 are needed, ATP8 is passed over."""
    monkeypatch.setattr(dms, "_FEW_TRANSCRIPTS", 1)
    with ReferenceGenome.open(str(MTDNA / "chrM.fa")) as genome:
        spliced = spliced_genome(genome, genes)
        assert dms._long_enough(spliced, 100) == [0]
        assert dms._long_enough(spliced, 60) == [0, 1]
        assert dms._long_enough(spliced, 1000) == [0]
    options = {"transcripts": genes, "fasta": str(MTDNA / "chrM.fa")}
    records, _ = run(tmp_path, "dms", "x.csv", "mutant,DMS_score\nQ3E,1\n", **options)
    assert {info["DMS_TRANSCRIPT"] for *_, info in records} == {"MT-ATP8"}


def test_genes_of_another_assembly(tmp_path):
    """ND6 one base off is full of stop codons."""
    path = tmp_path / "shifted.gff3"
    path.write_text("chrM\t.\tCDS\t14150\t14674\t.\t-\t0\tID=c;Parent=MT-ND6;transl_table=2\n")
    options = {"transcripts": str(path), "fasta": str(MTDNA / "chrM.fa")}
    with pytest.raises(InputError, match="stop codons within"):
        run(tmp_path, "dms", "x.csv", "mutant,DMS_score\nM1V,1\n", **options)
    path.write_text("chr7\t.\tCDS\t14150\t14674\t.\t-\t0\tID=c;Parent=MT-ND6\n")
    with pytest.raises(InputError, match="no transcript is on a contig of"):
        run(tmp_path, "dms", "x.csv", "mutant,DMS_score\nM1V,1\n", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mutant,DMS_score\nM1V,high\n", ":2: 'high' in column 'DMS_score' is not a number"),
        ("mutant,DMS_score\nM1V,inf\n", "is not a number"),
        ("mutant,DMS_score\nM1V,NA\n", "no row has a change of one amino acid and a score"),
        ("mutant,score_of_mine\nM1V,1\n", "no column score or DMS_score"),
        ("chrom,pos,ref,alt,label\n1,1,A,C,1\n", "no column hgvs_pro or mutant"),
        ("mutant,DMS_score\nM1V\n", "1 columns where the header has 2"),
        ("", "is empty"),
    ],
)
def test_a_table_that_is_no_score_set(tmp_path, genes, text, message):
    with pytest.raises(InputError) as caught:
        run(tmp_path, "dms", "x.csv", text, transcripts=genes, fasta=str(MTDNA / "chrM.fa"))
    assert message in str(caught.value)
    assert not (tmp_path / "out.vcf").exists()


def test_files_that_a_protocol_needs_or_does_not(tmp_path, genes):
    with pytest.raises(UsageError, match="needs --transcripts"):
        run(tmp_path, "dms", "x.csv", "mutant,DMS_score\nM1V,1\n")
    with pytest.raises(UsageError, match="needs the reference sequence"):
        run(tmp_path, "mpra", "x.tsv", "Chromosome\n")
    with pytest.raises(UsageError, match="takes no --transcripts"):
        run(tmp_path, "clinvar", "x.vcf", "", transcripts=genes)
    with pytest.raises(UsageError, match="takes as they are"):
        run(tmp_path, "gnomad-constraint", "x.bed", "")


MPRA = "Chromosome\tPosition\tRef\tAlt\tTags\tDNA\tRNA\tValue\tP-Value\n"


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">chr1\nACGTACGTACGTACGTACGT\n")
    return str(path)


def test_a_table_of_saturation_mutagenesis(tmp_path, fasta):
    """Columns as published; chr1 of the FASTA is ACGT repeated.

    The deletion of C at 2 is written with the A before it; nine tags are too few.
    """
    text = MPRA + (
        "1\t3\tG\tA\t10\t100\t90\t-0.5\t0.01\n"
        "1\t2\tC\t-\t25\t100\t90\t0.25\t0.5\n"
        "1\t4\tT\tG\t9\t100\t90\t1\t0.5\n"
        "1\t5\tA\tG\t30\t100\t90\tNA\tNA\n"
    )
    records, counts = run(tmp_path, "mpra", "GRCh38_LDLR.tsv", text, fasta=fasta)
    short = [(*record[:4], record[4]["MPRA_EFFECT"], record[4]["MPRA_SIZE"]) for record in records]
    assert short == [("chr1", 1, "AC", "A", 0.25, 0.25), ("chr1", 3, "G", "A", -0.5, 0.5)]
    assert {info["MPRA_ELEMENT"] for *_, info in records} == {"LDLR"}
    assert records[1][4]["P_Value"] == "0.01"
    assert counts["too_few_tags"] == counts["no_effect"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1\t3\tC\tA\t10\t1\t1\t1\t1\n", "REF differs from"),
        ("1\t300\tC\tA\t10\t1\t1\t1\t1\n", "REF differs from"),
        ("7\t3\tG\tA\t10\t1\t1\t1\t1\n", "none of its contigs is in"),
        ("1\tx\tG\tA\t10\t1\t1\t1\t1\n", ":2: 'x' is not a position"),
        ("1\t3\tG\tA\t10\t1\t1\tup\t1\n", ":2: 'up' in column 'Value' is not a number"),
        ("1\t3\tG\tQ\t10\t1\t1\t1\t1\n", "no row is left: rows 1, no_bases 1"),
        ("1\t3\tG\tA\t1\t1\t1\t1\t1\n", "too_few_tags 1"),
    ],
)
def test_a_table_of_another_assembly_or_broken(tmp_path, fasta, rows, message):
    with pytest.raises(InputError) as caught:
        run(tmp_path, "mpra", "x.tsv", MPRA + rows, fasta=fasta)
    assert message in str(caught.value)


def test_traitgym_as_it_is_published(tmp_path, fasta):
    import pyarrow as pa
    from pyarrow import parquet

    table = {
        "chrom": ["1", "1", "1"], "pos": [1, 2, 3], "ref": ["A", "C", "G"], "alt": ["C", "G", "T"],
        "label": [True, False, None], "match_group": [7, 7, 7], "tss_dist": [1.5, None, 2.0],
        "consequence": ["PLS", "PLS", "dELS"],
    }  # fmt: skip
    parquet.write_table(pa.table(table), tmp_path / "test.parquet")
    records, counts = run(tmp_path, "traitgym-mendelian", "test.parquet", None, fasta=fasta)
    assert [(record[:4], record[4]["label"]) for record in records] == [
        (("chr1", 1, "A", "C"), "True"), (("chr1", 2, "C", "G"), "False"),
    ]  # fmt: skip
    assert {info["match_group"] for *_, info in records} == {"7"}
    assert counts["without_label"] == 1


def test_clinvar_keeps_what_has_a_verdict_and_the_stars(tmp_path):
    """Counted in the file itself: see test below for how."""
    source = MTDNA / "clinvar_20220525_chrM_snv.vcf.gz"
    expected = {0: 0, 1: 0, 2: 0}
    with gzip.open(source, "rt") as lines:
        for line in lines:
            if line.startswith("#"):
                continue
            info = dict(item.split("=", 1) for item in line.split("\t")[7].strip().split(";"))
            verdicts = set(info["CLNSIG"].split("/"))
            if not verdicts & {"Pathogenic", "Likely_pathogenic", "Benign", "Likely_benign"}:
                continue
            status = info["CLNREVSTAT"]
            expected[0] += 1
            expected[1] += "single_submitter" in status or "multiple" in status or (
                "panel" in status or "conflicting" in status
            )  # fmt: skip
            expected[2] += "multiple" in status or "panel" in status
    assert expected[0] > expected[1] > expected[2] > 0
    for stars, number in expected.items():
        records, _ = run(
            tmp_path, f"clinvar:stars={stars}", source, None, fasta=str(MTDNA / "chrM.fa")
        )
        assert len(records) == number
        assert all(set(info) >= {"CLNSIG", "CLNREVSTAT"} for *_, info in records)


def test_another_file_than_the_protocols(tmp_path):
    source = MTDNA / "gnomad_v3.1_chrM.vcf.gz"
    with pytest.raises(InputError, match=r"no column CLNSIG, CLNREVSTAT.*it expects ClinVar's VCF"):
        run(tmp_path, "clinvar", source, None)
    # The right protocol, and the sequence of another contig.
    other = tmp_path / "other.fa"
    other.write_text(">chrM\n" + "ACGT" * 5000 + "\n")
    with pytest.raises(InputError, match="REF differs from"):
        run(tmp_path, "allele-frequency", source, None, fasta=str(other))
