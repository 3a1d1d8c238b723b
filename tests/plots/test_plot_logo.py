from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phylotools.errors import InputError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.registry import load_model
from phylotools.plots.logo import SiteProfile, choose_region, logo_table, profile_sites
from phylotools.plots.logo_panels import MOST_LANES, pack_features
from phylotools.plots.marks import MOST_ROWS, Mark, marks_within, reversed_marks, stacked
from phylotools.scoring.scorer import Scorer


@pytest.fixture(scope="module")
def scorer(one_thread):
    model = load_model()
    with ReferenceGenome.open(str(model.reference_fasta)) as genome:
        yield Scorer(model, genome, threads=1)


def profile_of(scorer, start, end):
    return profile_sites(scorer, Region("chrM", start, end))


def test_profile_is_what_the_network_says_of_each_window(scorer):
    scorer = Scorer(scorer.model.from_sequence_alone(), scorer.genome)
    profile = profile_of(scorer, 3300, 3312)
    half = scorer.half_window
    codes = scorer.genome.fetch(Region("chrM", 3300 - half, 3312 + half)) & 7
    with torch.inference_mode():
        theta = scorer.model.site_model(torch.from_numpy(codes.astype(np.int64))[None])[0].double()
        model = scorer.model.substitution
        probability = model.log_equilibrium_frequencies(theta).exp().numpy()
        scores = np.log(probability)
        rates = model.rate_matrix(theta).numpy()
    assert profile.probability == pytest.approx(probability, abs=1e-5)
    entropy = -(probability * np.log2(probability)).sum(axis=1)
    assert profile.information == pytest.approx(2 - entropy, abs=1e-4)
    reference = profile.reference
    assert (reference == codes[half:-half]).all()
    for site in range(12):
        expected = scores[site] - scores[site, reference[site]]
        assert profile.llr[site] == pytest.approx(expected, abs=1e-4)
        leaving = -(probability[site] * np.diag(rates[site])).sum()
        assert profile.rate[site] == pytest.approx(leaving, rel=1e-4)


def test_flags_of_sites(scorer):
    assert set(profile_of(scorer, 0, 5).status) == {"outside_training"}
    status = profile_of(scorer, 3303, 3310).status
    assert status == ("outside_training",) * 3 + ("ok",) * 4


def test_windows_that_reach_beyond_the_contig_are_flagged(scorer):
    """By a model that was trained everywhere."""
    half = scorer.half_window
    anywhere = Scorer(
        dataclasses.replace(scorer.model, training_regions=None), scorer.genome, threads=1
    )
    length = scorer.genome.contigs["chrM"]
    status = profile_sites(anywhere, Region("chrM", half - 2, half + 2)).status
    assert status == ("edge_padded", "edge_padded", "ok", "ok")
    status = profile_sites(anywhere, Region("chrM", length - half - 1, length - half + 1)).status
    assert status == ("ok", "edge_padded")


def test_an_unknown_reference_base_has_no_ratio(scorer):
    profile = profile_of(scorer, 3105, 3108)
    assert profile.reference.tolist()[1] == 4
    assert np.isnan(profile.llr[1]).all()
    assert np.isfinite(profile.llr[[0, 2]]).all()
    assert (profile.heights("llr")[1] == 0).all()
    (row,) = [row for row in logo_table(profile, {}).rows if row[1] == 3107]
    assert row[2] == "N"


def test_heights(scorer):
    profile = profile_of(scorer, 4000, 4030)
    assert profile.heights("probability").sum(axis=1) == pytest.approx(1)
    assert profile.heights("information").sum(axis=1) == pytest.approx(profile.information)
    rows = np.arange(30)
    assert (profile.heights("llr")[rows, profile.reference] == 0).all()


def test_the_other_strand_spells_the_same_sites(scorer):
    profile = profile_of(scorer, 14_200, 14_220)
    other = profile.reverse_complement()
    bases = "".join("ACGTN"[code] for code in profile.reference)
    complement = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert "".join("ACGTN"[code] for code in other.reference) == complement
    assert other.probability[0, 0] == profile.probability[-1, 3]
    assert other.probability[4, 1] == profile.probability[-5, 2]
    assert (other.rate == profile.rate[::-1]).all()
    again = other.reverse_complement()
    assert (again.log_probability == profile.log_probability).all()


def test_table_has_a_row_for_each_base(scorer):
    profile = profile_of(scorer, 4000, 4007)
    numbers = logo_table(profile, {})
    rows = [dict(zip(numbers.columns, row, strict=True)) for row in numbers.rows]
    assert [row["pos"] for row in rows] == list(range(4001, 4008))
    assert rows[2]["probability_G"] == profile.probability[2, 2]
    assert rows[2][f"llr_{rows[2]['ref']}"] == 0
    assert rows[2]["rate"] == profile.rate[2]


def test_regions_are_one_and_not_too_long(scorer):
    genome = scorer.genome
    assert choose_region("MT:11-20", genome) == Region("chrM", 10, 20)
    with pytest.raises(UsageError, match="has 4,001 bases; a logo shows 400 as letters"):
        choose_region("chrM:1-4001", genome)
    for text in ("chrX:1-10", "chrM:20-10", "x", "chrM:20000-20010"):
        with pytest.raises(InputError):
            choose_region(text, genome)


def uniform_profile(n_bases):
    return SiteProfile(
        Region("c", 0, n_bases),
        np.zeros(n_bases, dtype=np.uint8),
        np.full((n_bases, 4), np.log(0.25)),
        np.zeros((n_bases, 4)),
        np.ones(n_bases),
        ("ok",) * n_bases,
    )


def test_equal_probabilities_say_nothing():
    profile = uniform_profile(3)
    assert profile.information == pytest.approx(0)
    assert profile.entropy == pytest.approx(np.log(4))
    assert profile.heights("information") == pytest.approx(0)


_features = st.lists(
    st.tuples(
        st.integers(-20, 110),
        st.integers(1, 60),
        st.text("abcdefgh ", max_size=50),
        st.sampled_from("+-."),
    ),
    max_size=40,
)


@given(_features)
def test_nothing_overlaps_in_a_lane_and_nothing_is_lost(spans):
    features = sorted(
        (start, start + length, name, strand)
        for start, length, name, strand in spans
        if start < 100 and start + length > 0
    )
    lanes = pack_features(features, 0, 100, per_inch=10)
    n_boxes = sum(len(lane.boxes) for lane in lanes)
    n_left_out = sum(lane.n_left_out for lane in lanes)
    assert n_boxes + n_left_out == len(features)
    assert len([lane for lane in lanes if lane.boxes]) <= MOST_LANES
    for lane in lanes:
        for box, following in zip(lane.boxes, lane.boxes[1:], strict=False):
            assert box.end <= following.start
            assert box.is_inside or box.name_at < box.start or box.name_at < following.start
        for box in lane.boxes:
            assert -0.5 <= box.start < box.end <= 99.5


def test_marks_of_a_vcf(tmp_path):
    path = tmp_path / "v.vcf"
    rows = ["1\t5\tA\tC,G", "1\t7\tAT\tA", "1\t8\tT\tTTT", "1\t9\tA\t<DEL>", "1\t30\tA\tC",
            "2\t5\tA\tT", "1\t6\tA\t.", "1\t6\tA\t*"]  # fmt: skip
    lines = []
    for row in rows:
        contig, position, ref, alt = row.split("\t")
        lines.append(f"{contig}\t{position}\t.\t{ref}\t{alt}\t.\t.\t.\n")
    path.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(lines)
    )
    found = marks_within(str(path), Region("chr1", 2, 20), ["chr1", "chr2"])
    assert found == [
        Mark(2, 3, "C"), Mark(2, 3, "G"), Mark(4, 6, "-"), Mark(5, 6, "+"), Mark(6, 7, "-"),
    ]  # fmt: skip
    other = reversed_marks(found, 18)
    assert Mark(15, 16, "G") in other
    assert Mark(12, 14, "-") in other
    assert reversed_marks(other, 18) == found
    assert stacked([Mark(0, 1, "A"), Mark(1, 2, "A")]) == [
        (0, Mark(0, 1, "A")),
        (0, Mark(1, 2, "A")),
    ]
    placed = stacked([Mark(3, 4, base) for base in "ACGT+"])
    assert [row for row, _ in placed] == list(range(MOST_ROWS))
