"""Gaps and dropouts: how often, how long, of whole clades, and wherever the work is cut."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from phylotools.errors import InputError
from phylotools.phylogeny.simulation import make_walk, stream_key
from phylotools.phylogeny.simulation.kernels import GAP
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.tree import parse_newick

TREE = parse_newick("((R:0.1,A:0.2):0.3,((B:0.1,C:0.4):0.5,D:0.2):0.1);")
WALK = make_walk(TREE, "R")
KEY = stream_key(7)
#: Lengths of the trees that join R with one or two others.
JOINING = {
    "A": 0.3, "B": 1.1, "C": 1.4, "D": 0.7, "AB": 1.3, "AD": 0.9, "BC": 1.5, "BD": 1.3, "CD": 1.6,
}  # fmt: skip


def absent(missing: MissingData, starts) -> dict[str, np.ndarray]:
    found = missing.absences(WALK, KEY, np.asarray(starts, dtype=np.int64))
    return dict(zip(WALK.species, found.T, strict=True))


def gaps(missing: MissingData, start: int, end: int, walk=WALK) -> dict[str, np.ndarray]:
    rows = np.zeros((walk.n_species, end - start), dtype=np.uint8)
    missing.cut_gaps(walk, KEY, start, rows)
    assert set(np.unique(rows)) <= {0, GAP}
    return dict(zip(walk.species, rows == GAP, strict=True))


@pytest.mark.parametrize("species", JOINING)
def test_species_drop_out_by_the_tree_that_joins_them(species):
    missing = MissingData(dropout_rate=0.6, species_dropout=0.2, dropout_length=1.5)
    # Dropouts that short do not reach from one of these blocks to the next.
    found = absent(missing, np.arange(20_000) * 40)
    present = ~np.logical_or.reduce([found[name] for name in species])
    chance = math.exp(-0.6 * JOINING[species] - 0.2 * len(species))
    assert stats.binomtest(int(present.sum()), len(present), chance).pvalue > 1e-3
    assert not found["R"].any()


def test_dropouts_have_geometric_lengths():
    """Present at two sites: no event that covers either, as often as the lengths overlap."""
    missing = MissingData(dropout_rate=0.5, dropout_length=8.0)
    found = ~absent(missing, np.arange(400_000))["A"]
    events = 0.5 * 0.3
    for lag in (0, 1, 4, 8, 20, 60):
        both = (found[lag:] & found[: len(found) - lag]).mean()
        assert both == pytest.approx(math.exp(-events * (2 - (1 - 1 / 8) ** lag)), abs=0.008)


def test_gaps_fall_as_often_as_their_rate_says():
    missing = MissingData(gap_rate=0.4, gap_exponent=1.2, longest_gap=12)
    found = gaps(missing, 0, 300_000)
    for species in "ABCD":
        expected = 1 - math.exp(-0.4 * JOINING[species])
        assert found[species].mean() == pytest.approx(expected, abs=0.006)
    both = (~found["B"] & ~found["C"]).mean()
    assert both == pytest.approx(math.exp(-0.4 * JOINING["BC"]), abs=0.006)
    assert not found["R"].any()


def test_gap_lengths_follow_the_power_law():
    walk = make_walk(parse_newick("(R:0,A:1);"))
    # So rare that hardly two of them touch.
    missing = MissingData(gap_rate=1e-3, gap_exponent=1.4, longest_gap=9)
    gap = gaps(missing, 0, 8_000_000, walk)["A"].astype(np.int8)
    edges = np.flatnonzero(np.diff(gap, prepend=0, append=0))
    counts = np.bincount(edges[1::2] - edges[::2], minlength=12)[1:10]
    assert counts.sum() > 2000
    expected = np.arange(1, 10) ** -1.4
    assert stats.chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-3


def test_events_on_inner_branches_take_the_whole_clade():
    walk = make_walk(parse_newick("((R:0,A:0):0,((B:0,C:0):1,D:0):0);"), "R")
    found = gaps(MissingData(gap_rate=0.5), 0, 2000, walk)
    assert found["B"].any()
    np.testing.assert_array_equal(found["B"], found["C"])
    assert not found["A"].any()
    assert not found["D"].any()


def test_the_reference_branch_takes_everything_else():
    walk = make_walk(parse_newick("((R:1,A:0):0,((B:0,C:0):0,D:0):0);"), "R")
    found = gaps(MissingData(gap_rate=0.5), 0, 2000, walk)
    assert found["A"].any()
    for species in "BCD":
        np.testing.assert_array_equal(found[species], found["A"])


def test_nothing_depends_on_where_the_work_is_cut():
    missing = MissingData(gap_rate=0.5, dropout_length=50.0, block_length=6.0)
    whole = gaps(missing, -30, 500)
    parts = [gaps(missing, -30, 1), gaps(missing, 1, 133), gaps(missing, 133, 500)]
    for species in WALK.species:
        joined = np.concatenate([part[species] for part in parts])
        np.testing.assert_array_equal(joined, whole[species])
    starts = missing.block_starts(KEY, 0, 3000)
    found = missing.absences(WALK, KEY, starts)
    assert 0 < found.mean() < 1
    for first, last in ((0, 1), (1, 7), (7, len(starts))):
        np.testing.assert_array_equal(
            missing.absences(WALK, KEY, starts[first:last]), found[first:last]
        )
    later = missing.block_starts(KEY, 1000, 3000)
    np.testing.assert_array_equal(later[1:], starts[starts > 1000])
    assert later[0] == 1000


@pytest.mark.parametrize("mean", [1.0, 2.5, 80.0])
def test_block_lengths_are_geometric(mean):
    starts = MissingData(block_length=mean).block_starts(KEY, 0, 200_000)
    assert starts[0] == 0
    assert stats.binomtest(len(starts) - 1, 199_999, 1 / mean).pvalue > 1e-3
    ones = int((np.diff(starts) == 1).sum())
    assert stats.binomtest(ones, len(starts) - 1, 1 / mean).pvalue > 1e-3


def test_without_events_nothing_is_missing():
    missing = MissingData(block_length=9.0, species_dropout=1.0).without_events()
    assert missing.block_length == 9.0
    assert not any(row.any() for row in gaps(missing, 0, 1000).values())
    assert not any(row.any() for row in absent(missing, range(1000)).values())


@pytest.mark.parametrize(
    "wrong",
    [{"gap_rate": -0.1}, {"longest_gap": 0}, {"dropout_length": 0.5}, {"block_length": math.nan}],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong)).replace('_', ' ')} must lie between"):
        MissingData(**wrong)
