"""Species under wrong names, found by their identity to all others."""

from __future__ import annotations

import numpy as np
import pytest
from report_cases import MemoryStore, comb

from phylotools.phylogeny.tree import parse_newick
from phylotools.report.counting import count_columns
from phylotools.report.findings import find_problems
from phylotools.report.placement import PairCounts, find_misplaced, pair_distances
from phylotools.report.quality import measure_quality


def balanced(depth, name="s"):
    """A tree of 2 ** depth species; every tip is as far from the root as any other."""
    if depth == 0:
        return name
    return f"({balanced(depth - 1, name + '0')}:0.06,{balanced(depth - 1, name + '1')}:0.06)"


TREE = parse_newick(balanced(5) + ";")


def evolved(tree, n_columns, seed=1):
    """Columns under Jukes and Cantor's model; uint8 [L, S]."""
    rng = np.random.default_rng(seed)
    states = np.zeros((len(tree.names), n_columns), dtype=np.uint8)
    states[0] = rng.integers(0, 4, n_columns)
    for node in range(1, len(tree.names)):
        states[node] = states[tree.parent[node]]
        moved = rng.random(n_columns) < 1 - np.exp(-4 / 3 * tree.branch_length[node])
        states[node, moved] = rng.integers(0, 4, int(moved.sum()))
    return np.ascontiguousarray(states[tree.tip_nodes].T)


def misplaced(columns, tree=TREE):
    return find_misplaced(tree, PairCounts.of(columns))


@pytest.mark.parametrize("newick", [balanced(3) + ";", "(a:1,(b:0.5,c:0,d:2):0.25,e:0);", "a:3;"])
def test_distances_of_pairs_are_those_from_each_tip(newick):
    tree = parse_newick(newick)
    expected = [tree.distances_from(tip) for tip in tree.tips]
    np.testing.assert_allclose(pair_distances(tree), expected)


def test_pairs_are_counted():
    rng = np.random.default_rng(2)
    columns = rng.choice(np.array([0, 1, 2, 3, 4, 5, 6, 8, 11, 12], dtype=np.uint8), (200, 7))
    pairs = PairCounts.of(columns)
    codes = columns & 7
    for i in range(7):
        for j in range(7):
            both = (codes[:, i] < 4) & (codes[:, j] < 4)
            assert pairs.comparable[i, j] == both.sum()
            assert pairs.identical[i, j] == (codes[both, i] == codes[both, j]).sum()


@pytest.mark.parametrize("seed", range(5))
def test_right_names_are_not_accused(seed):
    assert misplaced(evolved(TREE, 3000, seed)) == []


def test_exchanged_names_at_one_distance_from_the_reference():
    """Identity to the first tip, the reference, says nothing of these two."""
    first, second = TREE.tips.index("s10011"), TREE.tips.index("s11100")
    columns = evolved(TREE, 3000)
    columns[:, [first, second]] = columns[:, [second, first]]
    found = misplaced(columns)
    assert [(m.species, m.place) for m in found] == [(first, second), (second, first)]
    assert all(m.conflicts >= 3 and m.conflicts_there == 0 for m in found)
    quality = measure_quality(MemoryStore(TREE, {"chr1": columns}))
    (finding,) = [f for f in find_problems(quality) if f.kind != "no_soft_mask"]
    assert finding.kind == "misplaced_species"
    assert finding.names == ("s10011", "s11100")
    assert "s10011 that of s11100" in finding.problem


def test_contamination_fits_the_place_of_its_source():
    columns = evolved(TREE, 3000)
    columns[:, 30] = columns[:, 5]
    (found,) = misplaced(columns)
    assert (found.species, found.place) == (30, 5)


def test_a_copy_or_poor_sequence_fits_no_place():
    rng = np.random.default_rng(3)
    columns = evolved(TREE, 3000)
    spoilt = rng.random(3000) < 0.3
    columns[spoilt, 9] = rng.integers(0, 4, int(spoilt.sum()))
    assert misplaced(columns) == []


def test_few_species_and_few_columns_accuse_nobody():
    small = comb(4)
    assert misplaced(evolved(small, 3000)[:, ::-1], small) == []
    assert misplaced(evolved(TREE, 300)[:, ::-1]) == []
    assert misplaced(np.zeros((0, TREE.n_tips), dtype=np.uint8)) == []


@pytest.mark.parametrize("length", [1, 50, 9_000, 200_000])
def test_the_sample_is_spread_over_all_covered_columns(length):
    bases = np.zeros((length, 2), dtype=np.uint8)
    bases[:, 1] = np.arange(length) * 4 // length
    bases[length // 4 : length // 2] = 6
    store = MemoryStore(comb(2), {"chr1": bases, "chr2": bases[: length // 2 + 1]})
    sample = count_columns(store, sampled=1000).sample
    covered = 3 * length // 4 + length // 4
    assert min(1000, covered) * 0.7 <= len(sample) <= max(2 * 1000, 8)
    assert (sample != 6).all()
    if length > 50:
        assert set(sample[:, 1].tolist()) == {0, 2, 3}
    assert len(count_columns(store).sample) == 0
