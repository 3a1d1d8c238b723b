from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.selection import (
    Question,
    ScoreColumn,
    matches,
    parse_score,
    parse_where,
    read_regions,
)
from phylotools.evaluate.tables import join_tables
from phylotools.io.regions import Region, RegionSet

LABELS = """chrom\tpos\tref\talt\tlabel\tgene\tphyloP
chr1\t10\tA\tG\tP\tg1\t1
chr1\t11\tA\tG\tB\tg1\t2
chr1\t11\tA\tT\tB\tg2\t.
chr1\t12\tC\tT\tP\t.\t4
chrM\t5\tC\tT\tP|LP\tg2\t5
chrM\t6\tC\tT\tVUS\tg2\t6
chrM\t7\tC\tT\tB\tg2\t7
"""
SCORED = """##fileformat=VCFv4.2
##INFO=<ID=X_LLR,Number=A,Type=Float,Description="x">
#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO
1\t10\t.\tA\tC,G\t.\t.\tX_LLR=-9,-1
1\t10\t.\tAAC\tAGC\t.\t.\tX_LLR=-2
1\t11\t.\tA\tT\t.\t.\tX_LLR=-3
1\t12\t.\tC\tT\t.\t.\tX_LLR=-4
MT\t5\t.\tC\tT\t.\t.\tX_LLR=-5
MT\t7\t.\tC\tT\t.\t.\tX_LLR=.
"""


@pytest.fixture
def files(tmp_path):
    labels, scored = tmp_path / "labels.tsv", tmp_path / "scored.vcf"
    labels.write_text(LABELS)
    scored.write_text(SCORED)
    return str(scored), str(labels)


@pytest.fixture
def question(files):
    scored, labels = files
    return Question(
        scored=(scored,),
        labels=labels,
        label_column="label",
        positive=frozenset({"P"}),
        negative=frozenset({"B"}),
        scores=(ScoreColumn("X_LLR", True),),
    )


def test_join_across_spellings_of_contigs_and_alleles(question):
    data = join_tables(replace(question, strata=("gene",)))
    assert data.scores.tolist() == [[-1, -2, -3, -4, -5]]
    assert data.positive.tolist() == [True, False, False, True, True]
    assert data.clusters.tolist() == [0, 1, 1, 2, 3]
    assert data.strata[0].texts == ("g1", "g1", "g2", ".", "g2")
    assert data.lacking == {"X_LLR": 1}
    assert data.counts["labelled_positive"] == 3
    assert data.counts["labelled_negative"] == 3


def test_scores_are_compared_on_complete_cases(question):
    data = join_tables(
        replace(question, scores=(ScoreColumn("X_LLR", True), ScoreColumn("phyloP", False)))
    )
    assert data.scores.tolist() == [[-1, -2, -4, -5], [1, 2, 4, 5]]
    assert data.lacking == {"X_LLR": 1, "phyloP": 1}
    assert data.counts["compared"] == 4


def test_labels_may_stand_in_the_scored_file(question, files):
    data = join_tables(
        replace(question, scored=(files[1],), labels=None, scores=(ScoreColumn("phyloP", False),))
    )
    assert data.scores.tolist() == [[1, 2, 4, 5, 7]]


def test_regions_and_where_select(question):
    regions = RegionSet.of([Region("1", 9, 11), Region("chrM", 0, 9)])
    data = join_tables(replace(question, regions=regions))
    assert data.scores.tolist() == [[-1, -2, -3, -5]]
    assert data.counts["outside_regions"] == 1
    data = join_tables(replace(question, where=(("gene", frozenset({"g2"})),)))
    assert data.scores.tolist() == [[-3, -5]]
    assert data.counts["excluded_by_where"] == 3


def test_repeated_labels_collapse_and_contradictions_are_left_out(question, files, caplog):
    logging.getLogger("phylotools").propagate = True
    with open(files[1], "a") as handle:
        handle.write("chr1\t10\tA\tG\tP\tg1\t1\nchr1\t12\tC\tT\tB\t.\t4\n")
        handle.write("chr1\t11\tA\tT\tVUS\tg2\t.\n")
    data = join_tables(question)
    assert data.scores.tolist() == [[-1, -2, -3, -5]]
    assert data.counts["contradictory_labels"] == 1
    assert "1 variants were left out because their labels contradict" in caplog.text


def test_a_label_that_says_both_is_contradictory(question, files):
    with open(files[1], "a") as handle:
        handle.write("chr1\t13\tC\tT\tP/B\t.\t4\n")
    assert join_tables(question).counts["contradictory_labels"] == 1


def test_two_values_of_one_score_are_left_out(question, files):
    with open(files[0], "a") as handle:
        handle.write("1\t10\t.\tA\tG\t.\t.\tX_LLR=-1\n1\t12\t.\tC\tT\t.\t.\tX_LLR=-4.5\n")
    data = join_tables(question)
    assert data.scores.tolist() == [[-1, -2, -3, -5]]
    assert data.counts["contradictory_scores"] == 1


def test_infinite_scores_are_ordinary_values(question, files, tmp_path):
    path = tmp_path / "inf.tsv"
    path.write_text("chr\tpos\tref\talt\ts\nchr1\t10\tA\tG\tinf\nchr1\t11\tA\tT\t-Infinity\n")
    data = join_tables(replace(question, scored=(str(path),), scores=(ScoreColumn("s", False),)))
    assert data.scores.tolist() == [[np.inf, -np.inf]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label_column": "labell"}, "no column 'labell'; .*labels.tsv has label, gene, phyloP"),
        ({"scores": (ScoreColumn("Y", True),)}, "no column 'Y'; .*scored.vcf has X_LLR, ID"),
        ({"strata": ("Z",)}, "no column 'Z'"),
        ({"where": (("W", frozenset("a")),)}, "no column 'W'"),
        ({"positive": frozenset({"Q"})}, r"no variant has the positive value Q.*B \(3\), P \(2\)"),
        ({"negative": frozenset({"Q"})}, "no variant has the negative value Q"),
        (
            {"regions": RegionSet.whole({"chr9": 5})},
            "no positive variant lies in the regions",
        ),
        ({"where": (("gene", frozenset({"g9"})),)}, "no positive variant is left"),
        ({"scores": (ScoreColumn("gene", False),)}, ":2: 'g1' in column 'gene' is not a number"),
    ],
)
def test_unanswerable_questions_say_why(question, changes, message):
    with pytest.raises(InputError, match=message):
        join_tables(replace(question, **changes))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("chr7\t10\tA\tG\t1\n", "its contigs are chr7, those of the labels chr1, chrM"),
        ("chr1\t10\tC\tG\t1\n", "REF differs at 1 of 1 shared positions: .* assemblies"),
        ("chr1\t99\tC\tG\t1\n", "no position and alleles do"),
        ("", "the file has no variants"),
    ],
)
def test_files_without_a_shared_variant_say_why(question, tmp_path, lines, message):
    path = tmp_path / "other.tsv"
    path.write_text("chrom\tpos\tref\talt\ts\n" + lines)
    with pytest.raises(InputError, match=message):
        join_tables(replace(question, scored=(str(path),), scores=(ScoreColumn("s", True),)))


def test_no_complete_case_counts_what_is_lacking(question, tmp_path):
    path = tmp_path / "part.tsv"
    path.write_text("chrom\tpos\tref\talt\ts\nchr1\t10\tA\tG\t1\n")
    with pytest.raises(InputError, match=r"no negative variant has all scores.* s: 5"):
        join_tables(replace(question, scored=(str(path),), scores=(ScoreColumn("s", True),)))


def test_a_score_in_two_scored_files_is_ambiguous(question, files):
    with pytest.raises(UsageError, match=r"X_LLR.* is in both"):
        join_tables(replace(question, scored=(files[0], files[0])))


def test_stdin_is_read_once(question):
    with pytest.raises(UsageError, match="stdin"):
        join_tables(replace(question, scored=("-",), labels="-"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pathogenic", True),
        ("Pathogenic/Likely_pathogenic", True),
        ("Pathogenic|_risk_factor", True),
        ("association,_Pathogenic", True),
        ("Conflicting_interpretations_of_pathogenicity", False),
        ("pathogenic", False),
        ("Likely_pathogenic", False),
        ("", False),
    ],
)
def test_values_match_whole_or_in_parts(text, expected):
    assert matches(text, frozenset({"Pathogenic"})) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PHYLOGPN_LLR", ScoreColumn("PHYLOGPN_LLR", True)),
        ("llr_raw", ScoreColumn("llr_raw", True)),
        ("phyloP", ScoreColumn("phyloP", False)),
        ("phyloP:low", ScoreColumn("phyloP", True)),
        ("X_LLR:high", ScoreColumn("X_LLR", False)),
        ("a:b", ScoreColumn("a:b", False)),
    ],
)
def test_orientation(text, expected):
    assert parse_score(text) == expected


def test_where_and_regions_are_parsed(tmp_path):
    assert parse_where("gene=a, b") == ("gene", frozenset({"a", "b"}))
    with pytest.raises(UsageError, match="is not COLUMN=VALUE"):
        parse_where("gene")
    assert read_regions((), None) is None
    part, whole = read_regions(("chrM", "chr1:5-9"), None)
    assert (whole.contig, whole.start) == ("chrM", 0)
    assert part == Region("chr1", 4, 9)
