from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.errors import InputError
from phylotools.io.contigs import resolve_contigs
from phylotools.io.regions import Region, RegionSet, choose_regions, parse_region

CONTIGS = {"chr1": 1000, "HLA:01:02": 50}


@given(st.text(min_size=1).filter(str.strip), st.integers(0, 10**9), st.integers(1, 10**9))
def test_text_and_back(contig, start, length):
    region = Region(contig.replace("\n", "_"), start, start + length)
    if len(region.contig.splitlines()) == 1:
        assert parse_region(str(region)) == region
    assert len(region) == length


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("chr1", Region("chr1", 0, 1000)),
        ("chr1:11", Region("chr1", 10, 1000)),
        ("chr1:1,0-2,000", Region("chr1", 9, 1000)),
        ("HLA:01:02", Region("HLA:01:02", 0, 50)),
        ("HLA:01:02:3-5", Region("HLA:01:02", 2, 5)),
    ],
)
def test_regions_within_known_contigs(text, expected):
    assert parse_region(text, CONTIGS) == expected


@pytest.mark.parametrize(
    "text", ["", "chr1", "chr1:0-5", "chr1:6-5", "chr1:a-b", "chr1:,-5", "chr1:1-" + "9" * 40]
)
def test_no_regions(text):
    with pytest.raises(InputError):
        parse_region(text)


@pytest.mark.parametrize("text", ["chr2:1-5", "chr2", "chr1:1001-1002", "chr1:1001"])
def test_regions_outside_known_contigs(text):
    with pytest.raises(InputError):
        parse_region(text, CONTIGS)


@pytest.mark.parametrize(
    ("names", "available", "expected"),
    [
        (["chr1", "2", "x"], ["1", "chr2", "chrX"], {"chr1": "1", "2": "chr2"}),
        (["MT"], ["chrM"], {"MT": "chrM"}),
        (["M"], ["chrM"], {"M": "chrM"}),
        (["chrMT"], ["M"], {"chrMT": "M"}),
        (["chrM", "MT"], ["chrM"], {"chrM": "chrM"}),
        (["1", "chr1"], ["chr1"], {"chr1": "chr1"}),
        (["chr1", "chr1"], ["chr1"], {"chr1": "chr1"}),
        (["chr"], [""], {"chr": ""}),
        ([], ["a"], {}),
    ],
)
def test_contig_names(names, available, expected):
    assert resolve_contigs(names, available) == expected


@given(
    st.lists(st.sampled_from(["1", "chr1", "chrM", "MT", "M", "chrMT", "X", "chrX"])),
    st.lists(st.sampled_from(["1", "chr1", "chrM", "MT", "M", "chrMT", "X", "chrX"])),
)
def test_no_contig_is_given_twice(names, available):
    resolved = resolve_contigs(names, available)
    assert len(set(resolved.values())) == len(resolved)
    assert set(resolved) <= set(names)
    assert set(resolved.values()) <= set(available)
    assert all(resolved[name] == name for name in set(names) & set(available))


def test_chosen_regions_are_joined_and_respelled(tmp_path):
    bed = tmp_path / "r.bed"
    bed.write_text("1\t10\t20\nchr2\t5\t6\n1\t18\t30\n1\t30\t31\n")
    contigs = {"chr1": 100, "chr2": 50, "chrM": 16}
    chosen = choose_regions(["chr1:1-3", "MT", "2:40"], str(bed), contigs)
    assert chosen is not None
    assert list(chosen) == [
        Region("chr1", 0, 3),
        Region("chr1", 10, 31),
        Region("chr2", 5, 6),
        Region("chr2", 39, 50),
        Region("chrM", 0, 16),
    ]
    assert choose_regions([], None, contigs) is None


@pytest.mark.parametrize("text", ["chr3", "chr1:200-300", "chr1:5-2", "nonsense:"])
def test_regions_outside_the_contigs_are_refused(text):
    with pytest.raises(InputError):
        choose_regions([text], None, {"chr1": 100})


def test_a_bed_interval_beyond_its_contig_is_refused(tmp_path):
    bed = tmp_path / "r.bed"
    bed.write_text("chr1\t10\t101\n")
    with pytest.raises(
        InputError,
        match=r"r\.bed: chr1:11-101 does not lie within its contig, which has 100 bases in c",
    ):
        choose_regions([], str(bed), {"chr1": 100}, path="columns.store")


def test_bed_intervals_on_other_contigs_are_left_out_and_counted(tmp_path, caplog):
    bed = tmp_path / "r.bed"
    bed.write_text("1\t10\t20\nchr7\t1\t2\nchr7\t5\t6\nchrUn\t1\t2\n")
    chosen = choose_regions([], str(bed), {"chr1": 100, "chr2": 50})
    assert chosen == RegionSet.of([Region("chr1", 10, 20)])
    assert "3 of 4 regions left out: they are on chr7, chrUn" in caplog.text
    bed.write_text("chr7\t1\t2\n")
    with pytest.raises(
        InputError, match=r"r\.bed: no region is on .* which has chr1; .* are on chr7"
    ):
        choose_regions([], str(bed), {"chr1": 100})


REGIONS = st.lists(
    st.builds(
        lambda contig, start, length: Region(contig, start, start + length),
        st.sampled_from(["a", "b", "chrb"]),
        st.integers(0, 50),
        st.integers(0, 9),
    ),
    max_size=8,
)


def positions(regions) -> set[tuple[str, int]]:
    return {(r.contig, at) for r in regions for at in range(r.start, r.end)}


@given(REGIONS, REGIONS)
@settings(max_examples=75, deadline=None)
def test_sets_of_regions(first, second):
    one, other = RegionSet.of(first), RegionSet.of(second)
    assert list(one) == sorted(one)
    assert positions(one) == positions(first)
    assert one.n_positions == len(positions(first))
    assert positions(one | other) == positions(first) | positions(second)
    assert positions(one & other) == positions(first) & positions(second)
    assert positions(one - other) == positions(first) - positions(second)
    assert (one | other) - other == one - other
    assert (one == other) == (positions(first) == positions(second))
    assert one.spelled_as(["a", "chrb"]) == one.renamed(
        {"a": "a", "chrb": "chrb"} if "chrb" in one.contigs else {"a": "a", "b": "chrb"}
    )
