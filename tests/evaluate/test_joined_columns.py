"""The join of columns against a plain one by dictionaries."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.selection import Question, ScoreColumn
from phylotools.evaluate.tables import join_tables
from phylotools.io.scored import open_scored

POSITIONS = st.integers(1, 6)
REFS = st.sampled_from(["A", "a", "AC", "CAT", "ACGTACGTACGTACGTACGTA", "N"])
ALTS = st.sampled_from(
    ["C", "g", "AT", "CAG", "<DEL>", "*", "C,G", "AC,ACC", "ACGTACGTACGTACGTTCGTA"]
)
LABELS = st.sampled_from(["P", "B", "P|B", "VUS", "."])
SCORES = st.sampled_from(
    ["1", "-1.5", "1e-3", ".", "NA", "inf", "0.12345678901234567", "7,8", "+2"]
)
CONTIGS = st.sampled_from(["1", "chr2", "MT"])
ROWS = st.lists(st.tuples(CONTIGS, POSITIONS, REFS, ALTS, LABELS, SCORES), min_size=1, max_size=25)


def naive(label_path: str, score_path: str) -> dict[tuple[str, int, str, str], tuple[float, float]]:
    """Label and score of each variant that has both, by dictionaries."""
    labels: dict[tuple[str, int, str, str], set[float]] = {}
    with open_scored(label_path) as file:
        for allele in file.alleles(["L"]):
            text = allele.values[0]
            parts = set((text or "").split("|")) & {"P", "B"}
            if parts:
                key = (allele.contig.removeprefix("chr"), *allele[2:5])
                found = {1.0 if part == "P" else 0.0 for part in parts}
                labels.setdefault(key, set()).update(found)
    scores: dict[tuple[str, int, str, str], set[float]] = {}
    with open_scored(score_path) as file:
        for allele in file.alleles(["S"]):
            key = (allele.contig.removeprefix("chr"), *allele[2:5])
            if key in labels:
                value = float(allele.values[0] or "nan") if allele.values[0] != "NA" else math.nan
                scores.setdefault(key, set())
                if not math.isnan(value):
                    scores[key].add(value)
    return {
        key: (next(iter(labels[key])), next(iter(values)))
        for key, values in scores.items()
        if len(values) == 1 and len(labels[key]) == 1
    }


def table(path: Path, rows, sign: str = "\t") -> str:
    lines = ["chrom\tpos\tref\talt\tL\tS", *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines).replace("\t", sign) + "\n")
    return str(path)


def vcf(path: Path, rows) -> str:
    lines = [
        "##fileformat=VCFv4.2",
        '##INFO=<ID=L,Number=1,Type=String,Description="x">',
        '##INFO=<ID=S,Number=.,Type=Float,Description="x">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
        *(f"{c}\t{p}\t.\t{r}\t{a}\t.\t.\tX=1;L={label};S={s}" for c, p, r, a, label, s in rows),
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def parquet(path: Path, rows) -> str:
    columns = list(zip(*rows, strict=True))
    names = ["chrom", "pos", "ref", "alt", "L", "S"]
    found = {
        name: [None if value == "." else value for value in column]
        for name, column in zip(names, columns, strict=True)
    }
    pyarrow.parquet.write_table(pyarrow.table(found), path)
    return str(path)


WRITERS = {"tsv": table, "vcf": vcf, "parquet": parquet, "csv": lambda p, r: table(p, r, ";")}


@pytest.mark.parametrize("scored_as", WRITERS)
@pytest.mark.parametrize("labelled_as", ["tsv", "vcf", "parquet"])
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(labels=ROWS, scores=ROWS)
def test_join_equals_one_by_dictionaries(tmp_path, labelled_as, scored_as, labels, scores):
    label_path = WRITERS[labelled_as](tmp_path / "labels", labels)
    score_path = WRITERS[scored_as](tmp_path / "scores", scores)
    # "7,8" is a number for none of one ALT.
    scores = [row for row in scores if row[5] != "7,8" or row[3].count(",") == 1]
    score_path = WRITERS[scored_as](tmp_path / "scores", scores) if scores else score_path
    expected = naive(label_path, score_path) if scores else {}
    question = Question(
        (score_path,), label_path, "L", frozenset("P"), frozenset("B"), (ScoreColumn("S", True),)
    )
    try:
        data = join_tables(question)
    except InputError:
        assert len({label for label, _ in expected.values()}) < 2 or mismatches(labels, scores)
        return
    variants = data.variants
    found = {
        (variants.contigs[contig].removeprefix("chr"), position, ref, alt): (label, score)
        for contig, position, ref, alt, label, score in zip(
            variants.contig_index, variants.positions.tolist(), variants.refs, variants.alts,
            data.labels.tolist(), data.scores[0].tolist(), strict=True,
        )
    }  # fmt: skip
    assert found == expected


def mismatches(labels, scores) -> bool:
    """Whether REF differs anywhere, which ends a join where it does at most places."""
    first = {}
    for contig, position, ref, *_ in [*labels, *scores]:
        first.setdefault((contig, position), set()).add(ref[0].upper())
    return any(len(letters) > 1 for letters in first.values())


def question(labels: str, scored: str, **changes) -> Question:
    settings = {"positive": frozenset(), "negative": frozenset()} | changes
    return Question((scored,), labels, "L", scores=(ScoreColumn("S", True),), **settings)


def write(path: Path, text: str) -> str:
    path.write_text(text.replace(" ", "\t"))
    return str(path)


HEADER = "chrom pos ref alt L S G M AF\n"


def test_numbers_as_labels(tmp_path):
    rows = "1 5 A C 0.5 1 g1 m1 0.1\n1 6 A C -2 2 g2 m1 .\n"
    rows += "1 7 A C NA 2 g2 m2 0.2\n1 8 A C 1e1 3 . m2 0.3\n"
    path = write(tmp_path / "t", HEADER + rows)
    data = join_tables(
        question(path, path, label_low=True, strata=("G",), match_column="M", frequency_column="AF")
    )
    assert data.kind == LabelKind.NUMBERS
    assert data.labels.tolist() == [0.5, -2, 10]
    assert data.turned_labels.tolist() == [-0.5, 2, -10]
    assert data.counts["labelled"] == 3
    assert data.strata[0].texts == ("g1", "g2", ".")
    assert data.matches.texts == ("m1", "m1", "m2")
    assert (data.clusters.tolist(), data.clusters_by) == ([0, 0, 1], "matched groups")
    assert data.frequency[[0, 2]].tolist() == [0.1, 0.3]
    assert math.isnan(data.frequency[1])
    assert data.types.texts == ("A>C",) * 3


def test_ordered_classes(tmp_path):
    rows = "1 5 A C B 1 g 1 0\n1 6 A C VUS 2 g 1 0\n1 7 A C P 2 g 1 0\n1 8 A C other 3 g 1 0\n"
    path = write(tmp_path / "t", HEADER + rows)
    data = join_tables(question(path, path, order=("B", "VUS", "P")))
    assert data.kind == LabelKind.ORDERED
    assert data.labels.tolist() == [0, 1, 2]
    assert data.counts["labelled_VUS"] == 1
    with pytest.raises(InputError, match=r"no variant has the value LP in column 'L'"):
        join_tables(question(path, path, order=("B", "LP", "P")))


@pytest.mark.parametrize(
    ("resample", "expected"),
    [(None, [0, 0, 1, 2]), ("sites", [0, 0, 1, 2]), ("contigs", [0, 0, 0, 1]), ("G", [0, 1, 0, 1])],
)
def test_clusters(tmp_path, resample, expected):
    rows = "1 5 A C 1 1 x m 0\n1 5 A G 2 1 y m 0\n1 7 A C 3 2 x m 0\n2 5 A C 4 3 y m 0\n"
    path = write(tmp_path / "t", HEADER + rows)
    data = join_tables(question(path, path, resample=resample))
    assert data.clusters.tolist() == expected
    assert data.clusters_by == (resample or "sites")


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ("1 5 A C 1 1 . . .\n1 6 A C P 1 . . .\n", {}, r":3: 'P' in column 'L' is not a number"),
        ("1 5 A C 1 1 . . .\n1 6 A C 1 2 . . .\n", {}, "all 2 variants .* have one label: ties"),
        ("1 5 A C . 1 . . .\n", {}, "no variant has a number in column 'L'"),
        ("1 5 A C P 1 . . .\n", {"positive": frozenset("P"), "negative": frozenset("B")},
         "no variant has the negative value B"),
        ("", {"positive": frozenset("P"), "negative": frozenset("B")},
         "no variant has the positive value P in column 'L'; there is no variant with a value"),
        ("1 5 A C 1 1 . . x\n", {"frequency_column": "AF"}, "'x' in column 'AF' is not a number"),
        ("1 5 A C 1 1 . . 1\n", {"match_column": "ZZ"}, "no column 'ZZ'"),
        ("1 5 A C 1 1 . . 1\n", {"resample": "ZZ"}, "no column 'ZZ'"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_compared_say_why(tmp_path, rows, changes, message):
    path = write(tmp_path / "t", HEADER + rows)
    with pytest.raises(InputError, match=message):
        join_tables(question(path, path, **changes))


def test_other_bases_for_ref_are_counted(tmp_path, caplog):
    labels = write(
        tmp_path / "l", "chrom pos ref alt L\n1 5 A C 1\n1 6 A C 2\n1 7 A C 3\n1 8 AT A 4\n"
    )
    rows = "1 5 A C 1\n1 6 A C 1\n1 7 G C 9\n1 8 A C 1\n1 8 AT A 4\n"
    scored = write(tmp_path / "s", "chrom pos ref alt S\n" + rows)
    data = join_tables(question(labels, scored))
    assert data.labels.tolist() == [1, 2, 4]
    assert data.counts["ref_mismatch"] == 1
    assert data.lacking == {"S": 1}
    other = write(
        tmp_path / "o", "chrom pos ref alt S\n1 5 A C 1\n1 6 G C 1\n1 7 G C 9\n1 8 T C 1\n"
    )
    with pytest.raises(
        InputError, match=r"REF differs at 3 of 4 shared positions.*another assembly"
    ):
        join_tables(question(labels, other))


def test_consequences_of_an_annotated_file_are_strata(tmp_path):
    csq = "Format: Allele|Consequence|SYMBOL"
    text = (
        "##fileformat=VCFv4.2\n"
        f'##INFO=<ID=CSQ,Number=.,Type=String,Description="{csq}">\n'
        '##INFO=<ID=S,Number=A,Type=Float,Description="x">\n'
        '##INFO=<ID=L,Number=1,Type=Float,Description="x">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "1\t5\t.\tA\tC,G\t.\t.\tS=1,2;L=1;CSQ=C|missense_variant|X1,G|stop_gained|X2\n"
        "1\t6\t.\tA\tC\t.\t.\tS=1;L=2\n"
    )
    path = tmp_path / "a.vcf"
    path.write_text(text)
    data = join_tables(question(str(path), str(path), consequence=True))
    consequence, gene = data.strata
    assert (consequence.name, gene.name) == ("consequence", "gene")
    assert consequence.texts == ("missense", "stop_gained", ".")
    assert gene.texts == ("X1", "X2", ".")


def test_numbers_are_those_of_python(tmp_path):
    texts = ["0.1", "1e22", "1e23", "-0", "123456789012345678", "4.35", "1e-5", ".5", "5.", "1_0"]
    rows = "".join(f"1 {place} A C {place} {text}\n" for place, text in enumerate(texts[:-1], 1))
    path = write(tmp_path / "t", "chrom pos ref alt L S\n" + rows)
    data = join_tables(question(path, path))
    assert data.scores[0].tolist() == [float(text) for text in texts[:-1]]
    assert np.signbit(data.scores[0][3])
    bad = write(tmp_path / "b", "chrom pos ref alt L S\n1 5 A C 1 1_0\n")
    with pytest.raises(InputError, match=":2: '1_0' in column 'S' is not a number"):
        join_tables(question(bad, bad))
