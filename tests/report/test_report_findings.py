"""What a report warns of, on flawless and on spoilt alignments."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from report_cases import ABSENT, COLUMNS, MemoryStore, comb, identity_at, made_quality

from phylotools.report.findings import find_problems
from phylotools.report.names import kind_of_names, suggest_names
from phylotools.report.quality import ContigQuality, measure_quality
from phylotools.store.read import open_store


def kinds(quality):
    return [finding.kind for finding in find_problems(quality)]


def only(quality):
    (finding,) = find_problems(quality)
    return finding


@pytest.mark.parametrize("n_species", [1, 2, 5, 12, 300])
def test_a_flawless_alignment_has_no_findings(n_species):
    assert kinds(made_quality(n_species)) == []


SPOILT = {
    "tips_without_rows": {"species4": ABSENT},
    "identity_low": {"species2": {"identity": 0.6}},
    "identity_high": {"species11": {"identity": 0.93}},
    "identity_by_chance": {"species5": {"identity": 0.27}},
    "identity_of_few_columns": {
        "species11": {"identity": 0.93, "bases": 5000, "comparable": 5000, "masked": 1500}
    },
    "reference_differs": {"reference": {"identical": COLUMNS - 1001}},
    "scarce_species": {"species7": {"bases": 900, "comparable": 900, "masked": 300, "gaps": 0}},
    "unknown_bases": {"species7": {"bases": 60_000, "unknown": 39_000}},
    "duplicate_rows": {"species3": {"duplicate_rows": 110}},
    "wrong_sizes": {"species3": {"wrong_size_rows": 50}},
    "no_soft_mask": {"species3": {"masked": 0}},
}
NOTES = {"identity_of_few_columns", "wrong_sizes", "no_soft_mask"}


@pytest.mark.parametrize("kind", SPOILT)
def test_each_fault_gives_its_finding_alone(kind):
    finding = only(made_quality(**SPOILT[kind]))
    (spoilt,) = SPOILT[kind]
    assert finding.kind == kind
    assert finding.names == (spoilt,)
    assert spoilt in finding.problem + finding.cause
    assert finding.is_warning == (kind not in NOTES)
    assert "Likely cause: " in str(finding)
    assert "Remedy: " in str(finding)


STATISTICS = {
    "rows_without_tip": {"unknown_sources": {"mm10.chr1": 7, "mm10.chr2": 5}},
    "overlapping_blocks": {"overlapping_positions": COLUMNS // 50},
    "blocks_without_reference": {"blocks_without_reference": 6, "blocks": 5},
}


@pytest.mark.parametrize("kind", STATISTICS)
def test_what_only_preprocessing_knows_is_reported(kind):
    assert only(made_quality(statistics=STATISTICS[kind])).kind == kind
    # A little of it is usual, and nothing of it is known of older stores.
    usual = {"overlapping_positions": 10, "blocks_without_reference": 1, "blocks": 5}
    assert kinds(made_quality(statistics=usual)) == []


def test_rows_without_tip_are_summed_by_species():
    finding = only(made_quality(statistics=STATISTICS["rows_without_tip"]))
    assert "12 rows of 1 name " in finding.problem
    assert finding.names == ("mm10",)


@pytest.mark.parametrize(
    "garbage", [[], "x", {"species1": 3}, {"species1": {"rows": "x"}}, None, 3.5, float("inf")]
)
def test_statistics_of_another_shape_are_survived(garbage):
    keys = ("unknown_sources", "rows", "overlapping_positions", "blocks", "duplicates_policy")
    find_problems(made_quality(statistics=dict.fromkeys(keys, garbage)))
    bases = np.zeros((10, 3), dtype=np.uint8)
    statistics = dict.fromkeys(keys, garbage)
    measure_quality(MemoryStore(comb(3), {"c": bases}, statistics=statistics))


def test_a_tip_and_a_row_that_may_be_one_species_are_named_together():
    quality = made_quality(
        names=["ref", "galGal5", *(f"species{n}" for n in range(2, 12))],
        statistics={"unknown_sources": {"galGal6.chr1": 4, "other.x": 9}},
        galGal5=ABSENT,
    )
    absent, unknown = find_problems(quality)
    for finding in (absent, unknown):
        assert (
            "galGal5 in the tree and galGal6 in the alignment (assembly version)" in finding.cause
        )
    assert "other (9 rows), galGal6 (4 rows)" in unknown.problem


def test_common_names_against_assemblies():
    names = ["hg38", "Chimp", "Rhesus", "Mouse", *("panTro6", "mm10", "rn6", "bosTau9")]
    quality = made_quality(8, names=names, Chimp=ABSENT, Rhesus=ABSENT, Mouse=ABSENT)
    (finding,) = find_problems(quality)
    assert finding.cause == (
        "the tips have common names (Chicken) where the alignment has UCSC assemblies (galGal6)"
    )


def test_two_exchanged_names_are_found_and_nothing_else():
    changes = {
        "species2": {"identity": identity_at(0.02 + 0.6 * 10 / 12)},
        "species10": {"identity": identity_at(0.02 + 0.6 * 2 / 12)},
    }
    finding = only(made_quality(**changes))
    assert finding.kind == "swapped_species"
    assert set(finding.names) == {"species2", "species10"}


def test_exchanged_names_in_a_real_alignment(mammals_store):
    store = open_store(mammals_store)
    right = measure_quality(MemoryStore.of(store, {}))
    assert not [f for f in find_problems(right) if f.kind != "no_soft_mask"]
    near, far = "Rhinopithecus_roxellana", "Sarcophilus_harrisii"
    wrong = measure_quality(MemoryStore.of(store, {near: far, far: near}))
    found = [f for f in find_problems(wrong) if f.kind != "no_soft_mask"]
    assert [(f.kind, set(f.names)) for f in found] == [("swapped_species", {near, far})]


def test_a_sequence_on_the_wrong_strand_is_no_better_than_chance(birds_store):
    store = MemoryStore.of(open_store(birds_store), {})
    spoilt = store.species[3]
    for bases in store._bases.values():
        row = bases[:, 3]
        is_base = (row & 7) < 4
        turned = row[is_base][::-1]
        row[is_base] = (turned & 8) | (3 - (turned & 7))
    found = {f.kind: f.names for f in find_problems(measure_quality(store))}
    assert found["identity_by_chance"] == (spoilt,)


def contigs_covered(*ranges):
    return tuple(
        ContigQuality(f"chr{n}", 10**6, last - first, first, last, 5.0)
        for n, (first, last) in enumerate(ranges)
    )


def test_blocks_at_the_starts_of_contigs_only():
    slices = contigs_covered((0, 30_000), (10, 50_000), (500, 90_000))
    assert kinds(made_quality(contigs=slices)) == ["blocks_at_starts_only"]
    for usual in (slices[:2], contigs_covered((0, 30_000), (10, 50_000), (0, 990_000))):
        assert kinds(made_quality(contigs=usual)) == []
    later = contigs_covered((20_000, 30_000), (40_000, 50_000), (50_000, 90_000))
    assert kinds(made_quality(contigs=later)) == []


def test_bare_contigs_lonely_columns_and_unknown_reference():
    assert kinds(made_quality(contigs=contigs_covered((0, 10**6), (0, 0)))) == [
        "contigs_without_blocks"
    ]
    quality = made_quality()
    depth = np.zeros_like(quality.depth)
    depth[1], depth[12] = 60_000, 40_000
    assert kinds(dataclasses.replace(quality, depth=depth)) == ["lonely_columns"]
    reference = np.array([24_000, 24_000, 24_000, 24_000, 4000])
    assert kinds(dataclasses.replace(quality, reference=reference)) == ["reference_unknown"]


def test_long_lists_are_cut_and_counted():
    changes = {f"species{n}": ABSENT for n in range(1, 10)}
    finding = only(made_quality(**changes))
    assert "species5 and 4 more" in finding.problem
    assert len(finding.names) == 9


@pytest.mark.parametrize(
    ("tip", "source", "difference"),
    [
        ("galGal6", "GALGAL6.chr1", "case"),
        ("Homo_sapiens", "Homo.sapiens.chr1", "punctuation"),
        ("Homo_sapiens", "Homo sapiens", "punctuation"),
        ("hg38", "hg19.chr1", "assembly version"),
        ("GCA_000001.1", "GCA_000001.2", "assembly version"),
        ("Gallus_gallus", "galGal6.chr1", "scientific name and UCSC assembly"),
        ("Homo_sapiens", "hg38.chr1", "scientific name and UCSC assembly"),
        ("ponAbe2", "Pongo_abelii.x", "scientific name and UCSC assembly"),
        ("Canis_lupus", "Canis_lupus_familiaris.1", "spelling"),
        ("Sus_scrofa", "Sus_scorfa.chr1", "spelling"),
    ],
)
def test_names_that_may_be_one_species(tip, source, difference):
    others = ["Otolemur_garnettii", "x.y", "rn6.chr1"]
    (found,) = suggest_names([tip, "Chrysochloris_asiatica"], [*others, source])
    assert (found.tip, found.difference) == (tip, difference)
    assert source.startswith(found.source)


@pytest.mark.parametrize(
    ("tip", "source"),
    [("Mus_musculus", "Mus_spretus"), ("hg38", "mm10"), ("Cow", "Cat"), ("a", "")],
)
def test_names_that_are_two_species(tip, source):
    assert suggest_names([tip], [source]) == []


def test_a_name_is_suggested_once():
    found = suggest_names(["hg18", "hg19"], ["hg38.chr1"])
    assert [(s.tip, s.source) for s in found] == [("hg18", "hg38")]


def test_kinds_of_names():
    assert kind_of_names(["hg38", "mm10", "galGal6"]).startswith("UCSC")
    assert kind_of_names(["Gallus_gallus", "Homo_sapiens"]).startswith("scientific")
    assert kind_of_names(["Chicken", "Rhesus", "Cow"]).startswith("common")
    assert kind_of_names(["x1", "Chicken", "hg38"]) is None
    assert kind_of_names([]) is None
