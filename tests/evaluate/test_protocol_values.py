"""Every protocol on a small file, from its published form to a figure worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pyBigWig
import pytest

from phylotools.evaluate.outcome import Outcome
from phylotools.evaluate.preparing.run import prepare
from phylotools.evaluate.protocols.reading import load_protocol
from phylotools.evaluate.run import Settings, ask_by_protocol, assess
from phylotools.evaluate.selection import Question, parse_score

MTDNA = Path(__file__).parents[2] / "examples/human_mtdna/data"
CLINVAR = MTDNA / "clinvar_20220525_chrM_snv.vcf.gz"


def outcome_of(protocol, *scored, labels=None, scores=("LLR",), replicates=0, **fields) -> Outcome:
    empty = frozenset()
    question = Question(
        tuple(map(str, scored)),
        None if labels is None else str(labels),
        "",
        empty,
        empty,
        tuple(map(parse_score, scores)),
    )
    settings = Settings(replicates=replicates)
    question, settings = ask_by_protocol(
        protocol, question, settings, given=tuple(fields), score_options=tuple(scores)
    )
    return assess(question, settings)[1]


def value_of(outcome, measure, score=0):
    return outcome.evaluation.overall.figures[score].estimates[measure].value


def table_of(outcome, file):
    (table,) = [table for table in outcome.tables if table.file == file]
    return table


def by_contig(outcome):
    """AUPRC within contigs, weighted by their variants."""
    (row,) = [row for row in outcome.evaluation.at("within") if row.name == "within contigs"]
    return row.figures[0].estimates["auprc"].value


def scores_of(tmp_path, rows, name="scores.tsv", contig="chrM"):
    """A table of an LLR for each (position, REF, ALT)."""
    path = tmp_path / name
    lines = [f"{contig}\t{pos}\t{ref}\t{alt}\t{llr}" for pos, ref, alt, llr in rows]
    path.write_text("chrom\tpos\tref\talt\tLLR\n" + "\n".join(lines) + "\n")
    return path


def test_clinvar(tmp_path):
    """Seven real records of MT-TF: 578, 583, 586 are (likely) pathogenic with a star, 608 without.

    Low LLRs are damaging. Pathogenic -3, -1, -2 against benign -1.5, 0, 1: -3 and -2 lie below
    all three, -1 below two: 8 of 9 pairs. Without a star 608 (-9) joins them: 11 of 12.
    """
    scores = scores_of(
        tmp_path,
        [
            (578, "T", "C", -3), (583, "G", "A", -1), (586, "G", "A", -2), (608, "A", "G", -9),
            (592, "C", "T", -1.5), (593, "T", "C", 0), (595, "C", "A", 1), (579, "T", "C", -50),
        ],
    )  # fmt: skip
    found = outcome_of("clinvar", scores, labels=CLINVAR)
    assert value_of(found, "auroc") == pytest.approx(8 / 9)
    assert found.evaluation.data.clusters_by == "GENE"
    found = outcome_of("clinvar:stars=0", scores, labels=CLINVAR)
    assert value_of(found, "auroc") == pytest.approx(11 / 12)
    assert table_of(found, "published.tsv").rows[0][:3] == ("PhyloGPN", "AUROC", 0.96)
    assert any("circularity" in finding.text for finding in found.findings)
    assert "Landrum" in found.sources["the data"]


def test_allele_frequency(tmp_path):
    """Four real variants that pass: AF_hom rises from 8 G>T, 9 G>A, 3 T>C to 41 C>T.

    Scores rank 9 and 3 the other way round: Spearman 1 - 6 * 2 / (4 * 15) = 0.8. A fifth, 7 A>G,
    did not pass gnomAD's filters.
    """
    scores = scores_of(
        tmp_path,
        [(8, "G", "T", -4), (9, "G", "A", -1), (3, "T", "C", -2), (41, "C", "T", 0),
         (7, "A", "G", 9)],
    )  # fmt: skip
    found = outcome_of("allele-frequency", scores, labels=MTDNA / "gnomad_v3.1_chrM.vcf.gz")
    assert len(found.evaluation.data) == 4
    assert value_of(found, "spearman") == pytest.approx(0.8)


def test_dms(tmp_path):
    """ND6 (reverse strand, code 2) begins ATG ATG TAT GCT; the base changes of four changes are
    those of tests/evaluate/test_preparing.py, and Y3H is TAT>CAT, 14667 A>G on the contig.

    Measured, the lowest first: Y3H, A4V, M2V, M1=; scored: Y3H, M2V, A4V, M1=. One neighbouring
    pair is swapped: Spearman 0.8, Kendall (5 - 1) / 6.
    """
    gff = tmp_path / "nd6.gff3"
    gff.write_text("chrM\t.\tCDS\t14149\t14673\t.\t-\t0\tID=c;Parent=MT-ND6;transl_table=2\n")
    table = tmp_path / "nd6.csv"
    table.write_text(
        "accession,hgvs_nt,hgvs_splice,hgvs_pro,score\nu#1,NA,NA,p.Tyr3His,-0.5\n"
        "u#2,NA,NA,p.Met2Val,0.5\nu#3,NA,NA,p.Met1=,1.25\nu#4,NA,NA,p.Ala4Val,0.25\n"
    )
    labelled = tmp_path / "labelled.vcf.gz"
    prepare(
        load_protocol("dms"),
        str(table),
        str(labelled),
        fasta=str(MTDNA / "chrM.fa"),
        transcripts=str(gff),
    )
    scores = scores_of(
        tmp_path,
        [(14667, "A", "G", -3), (14663, "G", "A", -1), (14670, "T", "C", -2), (14671, "C", "T", 0)],
    )
    found = outcome_of("dms", scores, labels=labelled)
    assert value_of(found, "spearman") == pytest.approx(0.8)
    assert value_of(found, "kendall") == pytest.approx(4 / 6)
    data = found.evaluation.data
    assert data.clusters_by == "DMS_CODON"
    assert len(set(data.clusters.tolist())) == 4
    assert set(data.strata[0].levels) == {"missense", "synonymous"}


def test_mpra(tmp_path):
    """Sizes of effects 0.25, 0.5, 0.75, 1 and |LLR| 0.5, 1, 1.5, 2 have one order: Spearman 1."""
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\nACGTACGTACGT\n")
    table = tmp_path / "GRCh38_LDLR.tsv"
    table.write_text(
        "Chromosome\tPosition\tRef\tAlt\tTags\tDNA\tRNA\tValue\tP-Value\n"
        "1\t1\tA\tC\t10\t1\t1\t0.25\t1\n1\t2\tC\tA\t10\t1\t1\t-0.5\t1\n"
        "1\t3\tG\tA\t10\t1\t1\t0.75\t1\n1\t4\tT\tA\t10\t1\t1\t-1\t1\n"
    )
    labelled = tmp_path / "labelled.vcf"
    prepare(load_protocol("mpra"), str(table), str(labelled), fasta=str(fasta))
    rows = [(1, "A", "C", 0.5), (2, "C", "A", -1), (3, "G", "A", -1.5), (4, "T", "A", 2)]
    scores = scores_of(tmp_path, rows, contig="chr1")
    found = outcome_of("mpra", scores, labels=labelled)
    assert value_of(found, "spearman") == pytest.approx(1.0)
    # Damaging ranks of sizes: 4, 3, 2, 1 of the four rows; of LLR low: 3, 2, 1, 4.
    # Differences 1, 1, 1, -3: 1 - 6 * 12 / 60 = -0.2.
    found = outcome_of("mpra", scores, labels=labelled, scores=("LLR:low",))
    assert value_of(found, "spearman") == pytest.approx(-0.2)


TRAITGYM = (
    "chrom\tpos\tref\talt\tlabel\tmatch_group\tconsequence\tLLR\n"
    "1\t1\tA\tC\tTrue\t1\tPLS\t-5\n1\t2\tA\tC\tFalse\t1\tPLS\t-6\n1\t3\tA\tC\tFalse\t1\tPLS\t0\n"
    "2\t1\tA\tC\tTrue\t2\tdELS\t-3\n2\t2\tA\tC\tFalse\t2\tdELS\t-1\n"
    "2\t3\tA\tC\tFalse\t2\tdELS\t0\n2\t4\tA\tC\tFalse\t2\tdELS\t1\n"
)


def test_traitgym(tmp_path):
    """AUPRC of chromosome 1: its positive is second, 1/2; of 2: first, 1.

    Weighted by variants (3 and 4): (3 * 0.5 + 4 * 1) / 7 = 5.5 / 7.
    """
    path = tmp_path / "test.tsv"
    path.write_text(TRAITGYM)
    found = outcome_of("traitgym-mendelian", path)
    assert found.verdict[0].startswith(
        "Headline of protocol traitgym-mendelian, AUPRC by contig, weighted by variants: "
        "LLR 0.786. "
        "Published: GPN (promoters of animals), distance of embeddings"
    )
    assert by_contig(found) == pytest.approx(5.5 / 7)
    assert found.evaluation.data.clusters_by == "matched groups"
    # Complex traits count |LLR|: 5 against 6 and 0 as before; 3 against 1, 0, 1 as before.
    found = outcome_of("traitgym-complex", path)
    assert by_contig(found) == pytest.approx(5.5 / 7)
    assert found.evaluation.scores[0].absolute


def test_traitgym_as_parquet(tmp_path):
    """The same table with the types of the published file: chrom text, label true or false."""
    from pyarrow import csv, parquet

    (tmp_path / "test.tsv").write_text(TRAITGYM)
    options = csv.ConvertOptions(column_types={"chrom": "string", "label": "bool"})
    table = csv.read_csv(
        tmp_path / "test.tsv",
        parse_options=csv.ParseOptions(delimiter="\t"),
        convert_options=options,
    )
    parquet.write_table(table, tmp_path / "test.parquet")
    assert by_contig(outcome_of("traitgym-mendelian", tmp_path / "test.parquet")) == pytest.approx(
        5.5 / 7
    )


def test_clinvars_own_consequences(tmp_path):
    """MC names the consequence of each variant; missense 1 of 1 pairs, synonymous 0 of 1.

    Pooled, pathogenic -3 and 1 against benign 0 and -1: 2 of 4.
    """
    path = tmp_path / "clinvar.vcf"
    keys = {"CLNSIG": ".", "CLNREVSTAT": ".", "GENEINFO": "1", "MC": ".", "LLR": "A"}
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>"]
    lines += [
        f'##INFO=<ID={key},Number={n},Type={"Float" if key == "LLR" else "String"},Description="">'
        for key, n in keys.items()
    ]
    lines.append("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO")
    rows = [
        (10, "Pathogenic", "SO:0001583|missense_variant", -3),
        (20, "Benign/Likely_benign", "SO:0001583|missense_variant,SO:0001627|intron_variant", 0),
        (30, "Likely_pathogenic", "SO:0001819|synonymous_variant", 1),
        (40, "Benign", "SO:0001819|synonymous_variant", -1),
        (50, "Conflicting_classifications_of_pathogenicity", "SO:0001583|missense_variant", -9),
    ]
    for position, significance, consequence, llr in rows:
        lines.append(
            f"1\t{position}\t.\tA\tC\t.\t.\tCLNSIG={significance};"
            "CLNREVSTAT=criteria_provided,_multiple_submitters,_no_conflicts;"
            f"GENEINFO=G:1;MC={consequence};LLR={llr}"
        )
    path.write_text("\n".join(lines) + "\n")
    found = outcome_of("clinvar:stars=2", path)
    assert value_of(found, "auroc") == 0.5
    strata = {row.name: row.figures[0].estimates["auroc"].value for row in found.evaluation.rows}
    assert strata["missense"] == 1.0
    assert strata["synonymous"] == 0.0
    assert found.evaluation.data.clusters_by == "GENEINFO"


def test_omim_against_gnomad(tmp_path):
    """Ranking: positive -3, negative -2, positive -1, negative 0: AUPRC (1/1 + 2/3) / 2 = 5/6."""
    path = tmp_path / "omim.tsv"
    path.write_text(
        "chrom\tpos\tref\talt\tlabel\tAF\tconsequence\tLLR\n"
        "1\t1\tA\tC\tTrue\t\tPLS\t-3\n1\t2\tA\tC\tFalse\t0.2\tPLS\t-2\n"
        "1\t3\tA\tC\tTrue\t\tPLS\t-1\n1\t4\tA\tC\tFalse\t0.4\tdELS\t0\n"
    )
    found = outcome_of("omim-gnomad", path)
    assert value_of(found, "auprc") == pytest.approx(5 / 6)
    frequency = found.evaluation.data.frequency
    assert [f for f in frequency.tolist() if not math.isnan(f)] == [0.2, 0.4]


def test_gnomad_constraint(tmp_path):
    """Means 3, 15, 6 beside z 1.5, 0, 3: ranks 1, 3, 2 and 2, 1, 3; 1 - 6 * 6 / 24 = -0.5."""
    table = tmp_path / "constraint.txt"
    table.write_text(
        "chrom\tstart\tend\telement_id\tz\nchr1\t0\t2\ta\t1.5\nchr1\t2\t4\tb\t0\nchr1\t4\t6\tc\t3\n"
    )
    track = tmp_path / "a.bw"
    with pyBigWig.open(str(track), "w") as out:
        out.addHeader([("chr1", 1000)])
        out.addEntries("chr1", 0, values=[2.0, 4.0, 15.0, 15.0, 5.0, 7.0], span=1, step=1)
    found = outcome_of("gnomad-constraint", table, scores=(f"a={track}",))
    assert value_of(found, "spearman") == pytest.approx(-0.5)
    assert found.evaluation.data.what == "regions"
    # Genes: low LOEUF is damaging, so 0.2 is the most constrained of 0.2, 1, 2, and its mean the
    # lowest: ranks 3, 2, 1 and 1, 3, 2 of damage: differences 2, -1, -1, and again -0.5.
    parts = tmp_path / "parts.bed"
    parts.write_text("chr1\t0\t2\tA\nchr1\t2\t4\tB\nchr1\t4\t6\tC\n")
    loeuf = tmp_path / "loeuf.tsv"
    loeuf.write_text("gene\toe_lof_upper\nA\t0.2\nB\t1\nC\t2\n")
    found = outcome_of("gnomad-genes", parts, labels=loeuf, scores=(f"a={track}",))
    assert value_of(found, "spearman") == pytest.approx(-0.5)
