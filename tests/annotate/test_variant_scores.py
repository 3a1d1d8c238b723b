from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_substitution import frequencies, rate_matrix

from phylotools.annotate.fields import InfoFields
from phylotools.annotate.variants import VariantAnnotator
from phylotools.errors import InputError, UsageError
from phylotools.io.regions import Region, RegionSet
from phylotools.io.vcf.alleles import SCORED_STATUSES
from phylotools.io.vcf.text import VcfHeader
from phylotools.phylogeny.score_meaning import DEFAULT_SCORES, MASKED, score_key
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, make_substitution_model
from phylotools.scoring.scorer import Scorer

COLUMNS = b"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
HEADER = VcfHeader((b"##fileformat=VCFv4.2",), COLUMNS)
# chr1 begins ACGTTGCANACC, chrM is ACGTACGTAC (see conftest).


@pytest.fixture
def make_annotator(toy_model, genome) -> Callable[..., VariantAnnotator]:
    def make(header: VcfHeader = HEADER, **options: object) -> VariantAnnotator:
        return VariantAnnotator(Scorer(toy_model, genome, threads=1), header, "x.vcf", **options)

    return make


def annotate_one(annotator: VariantAnnotator, *columns: str) -> dict[str, str]:
    chrom, pos, ref, alt = columns
    line = f"{chrom}\t{pos}\t.\t{ref}\t{alt}\t.\t.\t.\n".encode()
    info = annotator.annotate([(3, line)]).lines[0].decode().rstrip("\n").split("\t")[7]
    return {
        key.removeprefix("PHYLOGPN_"): value
        for key, value in (entry.split("=") for entry in info.split(";"))
    }


def test_snv_by_hand(make_annotator) -> None:
    # chr1:3 is G (2) between C (1) and T (3): theta_b = 2 (b + 1) + b / 16 - 3 / 8.
    theta = [2 * (b + 1) + b / 16 - 3 / 8 for b in range(4)]
    total = sum(map(math.exp, theta))
    pi = [math.exp(value) / total for value in theta]
    fields = annotate_one(make_annotator(), "chr1", "3", "G", "A")
    assert fields["STATUS"] == "ok"
    assert float(fields["LLR"]) == pytest.approx(math.log(pi[0] / pi[2]), abs=6e-5)
    assert fields["LLR"] == f"{theta[0] - theta[2]:.4f}"
    rate = total * (1 - sum(value**2 for value in pi))
    assert float(fields["RATE"]) == pytest.approx(rate, rel=1e-3)
    entropy = -sum(value * math.log(value) for value in pi)
    assert float(fields["ENTROPY"]) == pytest.approx(entropy, abs=6e-5)


MODELS = [
    ("f81", {}),
    ("hky", {"kappa": 3.0, "background": [0.3, 0.2, 0.1, 0.4]}),
    ("gtr", {"exchangeabilities": [1.0, 5, 0.3, 0.7, 9, 2], "background": [0.2, 0.3, 0.3, 0.2]}),
    ("mutation-selection", {"exchangeabilities": [1.0, 5, 0.3, 0.7, 9, 2],
                            "mutation_frequencies": [0.1, 0.2, 0.3, 0.4]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), MODELS, ids=[name for name, _ in MODELS])
def test_scores_are_those_of_the_substitution_model(
    toy_model, make_annotator, name: str, settings: dict
) -> None:
    toy_model.substitution = make_substitution_model(name, **settings)
    asked = InfoFields(substitution=name, asked=("fitness", "rate-to-alt", "fixation", "site-rate"))
    fields = annotate_one(make_annotator(fields=asked), "chr1", "3", "G", "A")
    theta = np.array([2 * (b + 1) + b / 16 - 3 / 8 for b in range(4)])  # see test_snv_by_hand
    pi, q = frequencies(name, settings, theta), rate_matrix(name, settings, theta)
    neutral = np.array(settings.get("background", settings.get("mutation_frequencies", [0.25] * 4)))
    is_selection = name == "mutation-selection"
    still = rate_matrix(name, settings, np.zeros(4) if is_selection else np.log(neutral / 0.75))
    total = (np.exp(theta) @ neutral) if is_selection else np.exp(theta).sum()
    rate = -(pi * np.diag(q)).sum()
    expected = {
        "LLR": np.log(pi[0] / pi[2]),
        "FITNESS": np.log(pi[0] / neutral[0]) - np.log(pi[2] / neutral[2]),
        "RATE_TO_ALT": np.log(total) + np.log(pi[0]),
        "FIXATION": np.log(q[2, 0] / still[2, 0]),
        "SITE_RATE": np.log(rate),
        "ENTROPY": -(pi * np.log(pi)).sum(),
    }
    for key, value in expected.items():
        assert float(fields[key]) == pytest.approx(value, abs=6e-5), key
    assert float(fields["RATE"]) == pytest.approx(rate, rel=1e-3)


@pytest.mark.parametrize("name", SUBSTITUTION_MODELS)
def test_the_default_score_is_written_and_named(toy_model, make_annotator, name: str) -> None:
    toy_model.substitution = make_substitution_model(name)
    key = score_key(DEFAULT_SCORES[name]).upper()
    fields = annotate_one(make_annotator(), "chr1", "3", "G", "A")
    assert list(fields) == list(dict.fromkeys(["LLR", "STATUS", "RATE", "ENTROPY", key]))
    lines = InfoFields(substitution=name).header_lines()
    assert len(lines) == len(fields)
    for line in lines:
        assert line.startswith(b"##INFO=<ID=PHYLOGPN_")
        assert line.count(b'"') == 2
    assert b"ID=PHYLOGPN_LLR,Number=A,Type=Float" in lines[0]
    assert b"log pi_ALT - log pi_REF" in lines[0]
    named = [line for line in lines if b"the default score of the model" in line]
    assert [line.partition(b"ID=PHYLOGPN_")[2].partition(b",")[0] for line in named] == [
        key.encode()
    ]


def test_scores_of_an_earlier_run_go_with_it(toy_model, make_annotator) -> None:
    """Also those that are not asked for now."""
    asked = InfoFields(asked=("rate-to-alt", "fixation"))
    line = b"chr1\t3\t.\tG\tA\t.\t.\tX_FIXATION=1;PHYLOGPN_RATE_TO_ALTS=2\n"
    first = make_annotator(fields=asked).annotate([(3, line)]).lines[0]
    assert b";PHYLOGPN_FIXATION=" in first
    assert b";PHYLOGPN_RATE_TO_ALT=" in first
    again = make_annotator().annotate([(3, first)]).lines[0]
    assert again == make_annotator().annotate([(3, line)]).lines[0]
    assert b"\tX_FIXATION=1;PHYLOGPN_RATE_TO_ALTS=2;PHYLOGPN_LLR=" in again


@pytest.mark.parametrize("alt", ["CA", "GA"])
def test_several_bases_have_no_rate(make_annotator, alt: str) -> None:
    """But every other score."""
    asked = InfoFields(asked=("fitness", "rate-to-alt", "fixation", "site-rate"))
    ref = "GT" if alt == "CA" else "G"
    fields = annotate_one(make_annotator(fields=asked), "chr1", "3", ref, f"{alt},A" + ref[1:])
    for key in ("LLR", "FITNESS", "FIXATION", "SITE_RATE"):
        assert "." not in fields[key].split(","), key
    assert [value == "." for value in fields["RATE_TO_ALT"].split(",")] == [True, False]


@pytest.mark.parametrize(
    ("chrom", "pos", "ref", "alt", "status", "n_scored"),
    [
        ("chr1", "3", "G", "A", "ok", 1),
        ("chr1", "3", "g", "a", "ok", 1),
        ("1", "3", "G", "A", "ok", 1),
        ("MT", "3", "G", "A", "ok", 1),
        ("chr1", "22", "C", "T", "ok", 1),
        ("chr1", "3", "G", "A,C,T", "ok,ok,ok", 3),
        ("chr1", "1", "A", "C", "edge_padded", 1),
        ("chr1", "35", "T", "C", "edge_padded", 1),
        ("chr1", "3", "A", "G", "ref_mismatch", 0),
        ("chr1", "3", "A", "<DEL>,G", "symbolic,ref_mismatch", 0),
        ("chr1", "3", "GT", "A", "experimental_indel", 1),
        ("chr1", "3", "G", "GA,T", "experimental_indel,ok", 2),
        ("chr1", "3", "GT", "CA", "mnv", 1),
        ("chr1", "3", "GTT", "CTA", "mnv", 1),
        ("chr1", "1", "AC", "CA", "edge_padded", 1),
        ("chr1", "35", "T", "TA", "edge_padded", 1),
        ("chr1", "3", "G", "G" + "A" * 1001, "too_long", 0),
        ("chr1", "9", "N", "A", "non_acgt", 0),
        ("chr1", "9", "A", "C", "ref_mismatch", 0),
        ("chr1", "3", "N", "<DEL>", "symbolic", 0),
        ("chr1", "3", "G", ".", "missing", 0),
        ("chr1", "3", "G", "*,A", "spanning_deletion,ok", 1),
        ("chr1", "3", "G", "G", "ref_equals_alt", 0),
        ("chr1", "3", "G", "G[chrM:1[", "breakend", 0),
        ("chr1", "0", "N", "A", "out_of_contig", 0),
        ("chr1", "-1", "A", "C", "out_of_contig", 0),
        ("chr1", "36", "A", "C", "out_of_contig", 0),
        ("chr1", "35", "TA", "T", "out_of_contig", 0),
        ("chr1", "99999999999999999", "A", "C", "out_of_contig", 0),
        ("chr9", "3", "G", "A,C", "contig_missing,contig_missing", 0),
    ],
)
def test_status_truth_table(
    make_annotator, chrom: str, pos: str, ref: str, alt: str, status: str, n_scored: int
) -> None:
    annotator = make_annotator()
    fields = annotate_one(annotator, chrom, pos, ref, alt)
    assert fields["STATUS"] == status
    numbers = [value for value in fields["LLR"].split(",") if value != "."]
    assert len(numbers) == n_scored == annotator.n_scored
    assert len(fields["LLR"].split(",")) == len(alt.split(","))
    has_site = any(
        len(each) == len(ref) and number != "."
        for each, number in zip(alt.split(","), fields["LLR"].split(","), strict=True)
    )
    assert (fields["RATE"] != ".") == (fields["ENTROPY"] != ".") == has_site


def test_padded_spelling_gets_the_same_llr_but_no_site_fields(make_annotator) -> None:
    plain = annotate_one(make_annotator(), "chr1", "3", "G", "A")
    padded = annotate_one(make_annotator(), "chr1", "2", "CGT", "CAT")
    assert padded["LLR"] == plain["LLR"]
    assert padded["RATE"] == "."
    suffixed = annotate_one(make_annotator(), "chr1", "3", "GTT", "ATT")
    assert suffixed == plain


def test_warn_scores_against_ref_as_written(make_annotator) -> None:
    fields = annotate_one(make_annotator(on_ref_mismatch="warn"), "chr1", "3", "A", "T")
    # theta_T - theta_A at chr1:3, see test_snv_by_hand.
    assert fields["LLR"] == f"{2 * 3 + 3 / 16:.4f}"
    assert fields["STATUS"] == "ref_mismatch"


def test_error_names_the_line(make_annotator) -> None:
    with pytest.raises(InputError, match=r"x\.vcf:3: REF disagrees.*chr1:3 REF A, reference G"):
        annotate_one(make_annotator(on_ref_mismatch="error"), "chr1", "3", "A", "T")


def test_outside_training_is_flagged_and_wins_over_the_edge(make_annotator) -> None:
    regions = RegionSet.of([Region("1", 0, 2), Region("1", 1, 4), Region("other", 0, 9)])
    annotator = make_annotator(training_regions=regions)
    statuses = [
        annotate_one(annotator, *place)["STATUS"]
        for place in (
            ("chr1", "1", "A", "C"),
            ("chr1", "4", "T", "C"),
            ("chr1", "5", "T", "C"),
            ("chr1", "35", "T", "C"),
            ("chrM", "2", "C", "T"),
        )
    ]
    outside = "outside_training"
    assert statuses == ["edge_padded", "ok", outside, outside, outside]


def records(n_good: int, n_bad: int) -> list[tuple[int, bytes]]:
    good = b"chr1\t3\t.\tG\tA\t.\t.\t.\n"
    bad = b"chr1\t3\t.\tC\tA\t.\t.\t.\n"
    return list(enumerate([good] * n_good + [bad] * n_bad, start=3))


@pytest.mark.parametrize(
    ("n_good", "n_bad", "is_refused"),
    [
        (0, 9, False),
        (5, 5, False),
        (4, 6, True),
        (60, 39, False),
        (90, 10, False),
        (89, 11, True),
        (0, 1000, True),
    ],
)
def test_wrong_assembly(make_annotator, n_good: int, n_bad: int, is_refused: bool) -> None:
    annotator = make_annotator()

    def run() -> None:
        annotator.annotate(records(n_good, n_bad))
        annotator.finish()

    if is_refused:
        with pytest.raises(InputError, match="wrong assembly; give"):
            run()
    else:
        run()
    tolerant = make_annotator(on_ref_mismatch="warn")
    tolerant.annotate(records(n_good, n_bad))
    tolerant.finish()


def test_a_majority_of_mismatches_ends_the_run_early(make_annotator) -> None:
    with pytest.raises(InputError, match="501 of 1000"):
        make_annotator().annotate(records(499, 501))


def test_foreign_contigs(make_annotator) -> None:
    foreign = [(3, b"chr9\t3\t.\tG\tA\t.\t.\t.\n")]
    annotator = make_annotator(advice="do this")
    annotator.annotate(foreign)
    with pytest.raises(InputError, match="which has chr1, chrM; the records are on chr9; do this"):
        annotator.finish()
    declared = VcfHeader((b"##contig=<ID=chr9,length=5>",), COLUMNS)
    with pytest.raises(InputError, match="no record is on a contig"):
        make_annotator(declared).annotate(foreign)
    both = make_annotator()
    both.annotate(foreign + records(1, 0))
    both.finish()
    make_annotator(declared).finish()


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"chr1\t3\t.\tG\tA\t.\t.\n", "7 tab-separated columns, the header line 8"),
        (b"chr1\t3\t.\tG\tA\t.\t.\t.\tGT\t0\n", "10 tab-separated columns"),
        (b"chr1 3 . G A . . .\n", "1 tab-separated columns"),
        (b"#CHROM\n", "1 tab-separated columns"),
        (b"chr1\tx\t.\tG\tA\t.\t.\t.\n", "POS 'x'"),
        (b"chr1\t1_0\t.\tG\tA\t.\t.\t.\n", "POS '1_0'"),
        (b"chr1\t\t.\tG\tA\t.\t.\t.\n", "POS ''"),
        (b"chr1\t" + b"9" * 5000 + b"\t.\tG\tA\t.\t.\t.\n", "POS '9999"),
        (b"chr1\t3\t.\t\tA\t.\t.\t.\n", "REF is empty"),
    ],
)
def test_broken_lines_are_named(make_annotator, line: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=rf"x\.vcf:7: .*{problem}"):
        make_annotator().annotate([(7, line)])


@pytest.mark.parametrize("tag", ["1A", "", "A B", "A;B", "A=", ".A", "Ä"])
def test_bad_tags(tag: str) -> None:
    with pytest.raises(UsageError, match="--tag"):
        InfoFields(tag)


bases = st.text("ACGTNacgtnR", min_size=1, max_size=4)
other_alts = st.sampled_from([".", "*", "<DEL>", "<*>", "A[chr1:3[", "A.", "", "?"])
info = st.lists(st.sampled_from(["A=1", "FLAG", "B=x=y", "PHYLOGPN_LLR=9", "C"]), max_size=3)
lines = st.tuples(
    st.sampled_from(["chr1", "chrM", "1", "chr9"]),
    st.integers(-1, 40),
    bases,
    st.lists(bases | other_alts, min_size=1, max_size=3),
    info,
    st.sampled_from(["\n", "\r\n"]),
)


@settings(
    deadline=None,
    max_examples=40,
)
@given(st.lists(lines, max_size=8))
def test_generated_files(make_annotator, generated: list) -> None:
    """Only INFO changes, a second run changes nothing, company changes nothing."""
    texts = [
        f"{chrom}\t{pos}\tid\t{ref}\t{','.join(alts)}\t.\tPASS\t{';'.join(entries) or '.'}{end}"
        for chrom, pos, ref, alts, entries, end in generated
    ]
    batch = list(enumerate((text.encode() for text in texts), start=3))
    first = make_annotator().annotate(batch).lines
    assert len(first) == len(batch)
    for text, line, (_, _, _, alts, entries, _) in zip(texts, first, generated, strict=True):
        before, after = text.split("\t"), line.decode().split("\t")
        assert before[:7] == after[:7]
        assert after[7].endswith("\r\n") == text.endswith("\r\n")
        kept = [entry for entry in entries if not entry.startswith("PHYLOGPN")]
        written = after[7].strip().split(";")
        assert written[: len(kept)] == kept
        keys = [entry.split("=")[0] for entry in written[len(kept) :]]
        keys_written = ("LLR", "STATUS", "RATE", "ENTROPY", "FIXATION")
        assert keys == ["PHYLOGPN_" + key for key in keys_written]
        llr, status = (entry.split("=")[1].split(",") for entry in written[len(kept) :][:2])
        assert len(llr) == len(status) == len(alts)
        for ratio, why in zip(llr, status, strict=True):
            assert (ratio != ".") == (why in SCORED_STATUSES)
    again = make_annotator().annotate(list(enumerate(first, start=3))).lines
    assert again == first
    alone = [make_annotator().annotate([item]).lines[0] for item in batch]
    assert alone == first


@pytest.mark.parametrize(("name", "is_rate"), [(MASKED, False), ("f81", True)])
def test_the_header_promises_no_rate_where_none_was_learned(name, is_rate):
    (line,) = [
        line for line in InfoFields(substitution=name).header_lines() if b"PHYLOGPN_RATE," in line
    ]
    assert (b"neutral = 1" in line) == is_rate
    assert (b"no rate was learned" in line) != is_rate
