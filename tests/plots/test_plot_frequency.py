from __future__ import annotations

import math

import numpy as np
import pysam
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from phylotools.errors import InputError
from phylotools.plots.alleles import AlleleQuery
from phylotools.plots.frequency import (
    COMMON,
    SINGLETON,
    UNSEEN,
    bin_edge,
    frequency_bin,
    frequency_table,
    scores_by_frequency,
    spearman,
)


def test_numbers_are_those_of_an_independent_reading(example):
    path = str(example / "gnomad_v3.1_chrM.vcf.gz")
    found = scores_by_frequency(AlleleQuery(path, "max_hl"), "AF_hom", allele_count="AC_hom")
    rows = []
    with pysam.VariantFile(path) as source:
        for record in source:
            info = record.info
            rows.append((info["AF_hom"], info["AC_hom"], info["max_hl"]))
    frequency, count, score = np.array(rows, dtype=np.float64).T
    is_common = (frequency > 0) & (count != 1)
    expected = {UNSEEN: score[frequency == 0], SINGLETON: score[(frequency > 0) & (count == 1)]}
    assert [one.kind for one in found.bins[:3]] == [UNSEEN, SINGLETON, COMMON]
    for one in found.bins:
        values = expected.get(one.kind)
        if values is None:
            # Frequencies at an edge are rounded otherwise by float32 of htslib: none is near.
            inside = is_common & (frequency >= one.low * (1 - 1e-7))
            values = score[inside & ((frequency < one.high * (1 - 1e-7)) | (one.high == 1))]
        assert one.tally.n == len(values)
        assert one.tally.quantiles([0.5])[0] == pytest.approx(np.median(values), abs=1e-6)
    assert found.n == len(rows) == found.counts["alleles"]
    seen = frequency > 0
    expected_correlation = stats.spearmanr(frequency[seen], score[seen]).statistic
    assert found.spearman == pytest.approx(expected_correlation, abs=1e-6)
    numbers = frequency_table(found, {})
    assert [row[3] for row in numbers.rows] == [one.tally.n for one in found.bins]


def test_spearman_is_that_of_scipy(example):
    random = np.random.default_rng(1)
    pairs = np.column_stack([random.integers(0, 9, 500), random.normal(size=500).round(1)])
    pairs[:, 1] += pairs[:, 0] / 5
    assert spearman(pairs) == pytest.approx(stats.spearmanr(*pairs.T).statistic)
    assert math.isnan(spearman(np.ones((5, 2))))
    assert math.isnan(spearman(np.zeros((0, 2))))


@given(st.floats(min_value=1e-11, max_value=1))
def test_every_frequency_lies_in_its_bin(frequency):
    index = frequency_bin(frequency)
    assert index <= 0
    assert bin_edge(index) <= frequency
    assert frequency < bin_edge(index + 1) or frequency == 1


@pytest.mark.parametrize("power", range(-9, 0))
def test_powers_of_ten_begin_a_bin(power):
    index = frequency_bin(10.0**power)
    assert bin_edge(index) == pytest.approx(10.0**power, rel=1e-12)
    assert frequency_bin(math.nextafter(bin_edge(index), 0)) == index - 1


def test_kinds_of_alleles(make_vcf):
    path = make_vcf(
        [
            "PHYLOGPN_LLR=-1|-2;AF=0|0.5;AC=0|9",
            "PHYLOGPN_LLR=-3;AF=0.001;AC=1",
            "PHYLOGPN_LLR=-4;AF=1;AC=99",
            "PHYLOGPN_LLR=-5;AF=.;AC=1",
            "PHYLOGPN_LLR=.;AF=0.1;AC=5",
            "PHYLOGPN_LLR=-6;AF=0.002;AC=.",
        ]
    )
    found = scores_by_frequency(AlleleQuery(path), "AF", allele_count="AC")
    kinds = [(one.kind, one.tally.sample.tolist()) for one in found.bins]
    assert kinds == [
        (UNSEEN, [-1]), (SINGLETON, [-3]), (COMMON, [-6]), (COMMON, [-4, -2]),
    ]  # fmt: skip
    assert found.counts == {"alleles": 7, "without_frequency": 1, "without_score": 1}
    assert sorted(found.points.tolist()) == [[0.002, -6], [0.5, -2], [1, -4]]
    without = scores_by_frequency(AlleleQuery(path), "AF")
    assert SINGLETON not in {one.kind for one in without.bins}


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        ("PHYLOGPN_LLR=1;AF=1.5", ":8: AF is 1.5, which is no frequency"),
        ("PHYLOGPN_LLR=1;AF=-0.1", ":8: AF is -0.1, which is no frequency"),
        ("PHYLOGPN_LLR=1;AF=inf", ":8: AF is inf, which is no frequency"),
        ("PHYLOGPN_LLR=1;AF=x", ":8: 'x' in column 'AF' is not a number"),
        ("PHYLOGPN_LLR=1;AF=.", "no allele has both PHYLOGPN_LLR and AF: 1 alleles, 1 without"),
    ],
)
def test_what_is_no_frequency_is_refused_with_its_line(make_vcf, info, problem):
    with pytest.raises(InputError) as error:
        scores_by_frequency(AlleleQuery(make_vcf([info])), "AF")
    assert problem in str(error.value)


def test_missing_columns_are_named(make_vcf):
    query = AlleleQuery(make_vcf(["PHYLOGPN_LLR=1;AF=0.1"]))
    with pytest.raises(InputError, match=r"no column 'AFX'.*--frequency; it has PHYLOGPN_LLR"):
        scores_by_frequency(query, "AFX")
    with pytest.raises(InputError, match=r"no column 'ACX'.*--allele-count"):
        scores_by_frequency(query, "AF", allele_count="ACX")
