"""Regions, excluded regions, weights, species and depth: exactly the columns asked for."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maf_projection import assert_store_equals, star_tree, store_of, unpacked
from random_alignments import ANCESTORS, REFERENCE, TIPS, TREE, alignments
from slow_projection import Projection, blocks_by_lines, project

from phylotools.errors import InputError
from phylotools.io.regions import Region

DATA = Path(__file__).parents[1] / "data"
BIRDS_TREE = DATA / "birds53" / "53birds.nh"
REAL = DATA / "real_alignments"


def kept(projection: Projection, wanted) -> Projection:
    """The columns for which `wanted(contig, position, codes)` holds."""
    left = {
        contig: {at: codes for at, codes in columns.items() if wanted(contig, at, codes)}
        for contig, columns in projection.items()
    }
    return {contig: columns for contig, columns in left.items() if columns}


def depth(codes: bytes) -> int:
    return sum(code % 8 < 4 for code in codes)


def inside(intervals, contig: str, position: int) -> bool:
    return any(name == contig and start <= position < end for name, start, end in intervals)


_intervals = st.lists(
    st.tuples(
        st.sampled_from(["1", "x.y", "none"]),
        st.sampled_from([0, 2, 5, 2040, 2047, 2048, 4090]),
        st.integers(1, 20),
    ).map(lambda drawn: (drawn[0], drawn[1], drawn[1] + drawn[2])),
    min_size=1,
    max_size=5,
)


def bed(path: Path, intervals) -> str:
    path.write_text("".join(f"{name}\t{start}\t{end}\n" for name, start, end in intervals))
    return str(path)


@settings(max_examples=40, deadline=None)
@given(
    alignments(),
    st.none() | _intervals,
    st.none() | _intervals,
    st.integers(0, 4),
    st.none() | st.lists(st.sampled_from(TIPS[1:]), min_size=1, unique=True),
    st.sampled_from([1 << 20, 80]),
)
def test_random_wishes(tmp_path, alignment, regions, exclude, minimum, species, partition_bytes):
    (tmp_path / "t.nh").write_text(TREE)
    (tmp_path / "r.maf").write_bytes(alignment.text)
    tips = tuple(name for name in TIPS if species is None or name in (REFERENCE, *species))
    # Rows of species that are not wanted are still their rows.
    ignored = {*ANCESTORS, *TIPS} - set(tips)
    expected = kept(
        project(alignment.blocks, tips, REFERENCE, ancestors=ignored),
        lambda contig, at, codes: (
            (regions is None or inside(regions, contig, at))
            and (exclude is None or not inside(exclude, contig, at))
            and depth(codes) >= minimum
        ),
    )
    wishes = {
        "reference": REFERENCE,
        "drop_unknown": True,
        "minimum_species": minimum,
        "species": () if species is None else (REFERENCE, *species),
        "regions_file": None if regions is None else bed(tmp_path / "r.bed", regions),
        "exclude": None if exclude is None else bed(tmp_path / "x.bed", exclude),
        "partition_bytes": partition_bytes,
        "force": True,
    }
    problem = None
    try:
        store = store_of(tmp_path / "r.maf", tmp_path / "t.nh", tmp_path / "s", **wishes)
    except InputError as error:
        problem = str(error)
    if problem is not None:
        assert not expected or re.search("only the reference|no block has bases", problem)
        return
    assert store.species == tips
    assert_store_equals(store, expected)


def test_regions_as_text_and_contigs_spelled_otherwise(tmp_path):
    path = tmp_path / "a.maf"
    path.write_bytes(gzip.decompress((DATA / "birds53" / "galGal6_cut.maf.gz").read_bytes()))
    whole = store_of(path, BIRDS_TREE, tmp_path / "whole")
    contig = next(iter(whole.contigs))
    columns = project(blocks_by_lines(path.read_text()), whole.species, "galGal6")
    start = min(columns[contig])
    name = contig.removeprefix("chr")
    regions = (f"{name}:{start + 11}-{start + 40}", f"{name}:{start + 101}-{start + 101}")
    store = store_of(path, BIRDS_TREE, tmp_path / "s", regions=regions)
    positions = {*range(start + 10, start + 40), start + 100}
    assert_store_equals(
        store, kept(columns, lambda found, at, codes: found == contig and at in positions)
    )


def test_depth_counts_the_column_that_was_kept(tmp_path):
    # From chicken, blocks lie over each other: the first counts, deep or not.
    plain, text = unpacked(REAL / "phast.chr22.hg17.maf.xz", tmp_path)
    tree = star_tree(text, tmp_path / "t.nh")
    store = store_of(
        plain, tree, tmp_path / "s", reference="galGal2", minimum_species=3, partition_bytes=50_000
    )
    expected = project(blocks_by_lines(text), store.species, "galGal2")
    assert_store_equals(store, kept(expected, lambda contig, at, codes: depth(codes) >= 3))


def test_weights(tmp_path):
    (tmp_path / "t.nh").write_text("(A:1,B:1);")
    (tmp_path / "a.maf").write_text("a\ns A.1 2 6 + 5000 CgNATT\ns B.1 0 6 + 9 AAAGTT\n\n")
    (tmp_path / "w.bed").write_text("1\t3\t5\t0.25\n1\t7\t3000\t0\n")
    store = store_of(
        tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "s", weights=str(tmp_path / "w.bed")
    )
    assert store.weight(Region("1", 2, 8)).tolist() == [1, 0.25, 0.25, 1, 1, 0]
    expected = project(blocks_by_lines((tmp_path / "a.maf").read_text()), ("A", "B"), "A")
    assert_store_equals(store, expected)
    without = store_of(tmp_path / "a.maf", tmp_path / "t.nh", tmp_path / "n")
    assert without.weight(Region("1", 2, 8)) is None
    np.testing.assert_array_equal(without.bases(Region("1", 2, 8)), store.bases(Region("1", 2, 8)))


@pytest.mark.parametrize("option", ["regions_file", "exclude", "weights"])
def test_an_empty_file_of_regions_is_refused(option, tmp_path):
    (tmp_path / "t.nh").write_text("(A:1,B:1);")
    (tmp_path / "a.maf").write_text("a\ns A.1 2 2 + 9 Cg\ns B.1 0 2 + 9 AA\n\n")
    (tmp_path / "e.bed").write_text("# nothing\n")
    with pytest.raises(InputError, match="holds no interval"):
        store_of(
            tmp_path / "a.maf",
            tmp_path / "t.nh",
            tmp_path / "s",
            **{option: str(tmp_path / "e.bed")},
        )
