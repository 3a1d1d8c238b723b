"""Counts, distances and expectations of a report, against plain computations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import MemoryStore, comb, identity_at

from phylotools.phylogeny.tree import parse_newick
from phylotools.report import counting
from phylotools.report.counting import count_columns
from phylotools.report.divergence import fit_divergence
from phylotools.report.quality import measure_quality
from phylotools.store import schema

CODES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12], dtype=np.uint8)


def random_store(rng, n_species, lengths):
    contigs, references = {}, {}
    for number, length in enumerate(lengths):
        bases = rng.choice(CODES, size=(length, n_species))
        letters = CODES[(CODES & 7) < 5]
        bases[:, 0] = rng.choice(letters, size=length)
        bases[rng.random(length) < 0.3] = schema.NO_BLOCK
        contigs[f"c{number}"] = bases
        references[f"c{number}"] = rng.choice(letters, size=length)
    return MemoryStore(comb(n_species), contigs, references=references)


def plain_counts(store):
    """The same numbers, cell by cell."""
    n = len(store.species)
    species = np.zeros((6, n), dtype=np.int64)
    depth, reference = np.zeros(n + 1, dtype=np.int64), np.zeros(5, dtype=np.int64)
    columns, bases_of = [], []
    for name in store.contigs:
        n_columns = n_bases = 0
        for row, expected in zip(store._bases[name], store._references[name] & 7, strict=True):
            if row[0] == schema.NO_BLOCK:
                continue
            present = 0
            for s, code in enumerate(row.tolist()):
                base = code & 7
                is_base = base < 4
                present += is_base
                species[0, s] += is_base
                species[1, s] += base == 4
                species[2, s] += code == 5
                species[3, s] += code >= 8
                species[4, s] += is_base and expected < 4
                species[5, s] += is_base and base == expected
            depth[present] += 1
            reference[expected] += 1
            n_columns += 1
            n_bases += present
        columns.append(n_columns)
        bases_of.append(n_bases)
    return species, depth, reference, columns, bases_of


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_species=st.integers(1, 40),
    lengths=st.lists(st.integers(1, 700), min_size=1, max_size=3),
)
def test_counts_are_those_of_a_plain_loop(seed, n_species, lengths):
    store = random_store(np.random.default_rng(seed), n_species, lengths)
    counts = count_columns(store)
    species, depth, reference, columns, bases = plain_counts(store)
    np.testing.assert_array_equal(counts.species, species)
    np.testing.assert_array_equal(counts.depth, depth)
    np.testing.assert_array_equal(counts.reference, reference)
    np.testing.assert_array_equal(counts.contig_columns, columns)
    np.testing.assert_array_equal(counts.contig_bases, bases)


def test_more_species_and_columns_than_a_byte_counts():
    bases = np.zeros((1000, 600), dtype=np.uint8)
    counts = count_columns(MemoryStore(comb(600), {"chr1": bases}))
    assert (counts.species[[counting.BASES, counting.IDENTICAL]] == 1000).all()
    assert counts.depth[600] == 1000


def test_windows_hold_every_covered_position_once_and_threads_change_nothing(monkeypatch):
    rng = np.random.default_rng(5)
    bases = np.full((300_000, 3), schema.NO_BLOCK, dtype=np.uint8)
    for start in (0, 2047, 150_000, 299_990):
        bases[start : start + 10] = rng.integers(0, 4, size=(10, 3))
    bases[200_000:270_000] = 1
    monkeypatch.setattr(counting, "_CELLS", 3 * schema.CHUNK_LENGTH)
    store = MemoryStore(comb(3), {"chr1": bases, "empty": bases[10:20]})
    counts = count_columns(store)
    assert counts.depth[3] == 70_040
    np.testing.assert_array_equal(counts.contig_columns, [70_040, 0])
    starts = {region.start for region in store.regions_read}
    assert len(starts) < 50, "stretches without blocks are not read"
    assert all(start % schema.CHUNK_LENGTH == 0 for start in starts)
    threaded = count_columns(store, threads=3)
    np.testing.assert_array_equal(counts.species, threaded.species)


def test_quality_of_a_store_by_hand():
    tree = parse_newick("((ref:0.1,b:0.2):0.05,c:0.3);")
    # Columns: A/A/a, C/T/-, N/G/N, G/./. ; the last position has no block.
    bases = np.array([[0, 0, 8], [1, 3, 5], [4, 2, 4], [2, 6, 6], [6, 6, 6]], dtype=np.uint8)
    statistics = {"rows": {"b": {"rows": 4, "duplicate_rows": 1, "wrong_size_rows": 0}}}
    quality = measure_quality(MemoryStore(tree, {"chr1": bases}, statistics=statistics))
    ref, b, c = quality.species
    assert [row.distance for row in quality.species] == pytest.approx([0, 0.3, 0.45])
    assert (ref.coverage, ref.identity) == (0.75, 1.0)
    assert (b.coverage, b.identity, b.absent_fraction) == (0.75, 0.5, 0.25)
    assert b.duplicate_fraction == 0.25
    assert (c.gap_fraction, c.unknown_fraction, c.masked_fraction) == (1 / 3, 0.5, 0.5)
    assert (c.rows, c.duplicate_rows) == (0, 0)
    assert quality.mean_species == 7 / 4
    assert (quality.contigs[0].covered, quality.contigs[0].last) == (4, 4)
    assert quality.contigs[0].mean_species == 7 / 4


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_tree_distances_are_sums_along_the_path(seed):
    rng = np.random.default_rng(seed)
    parts = [f"t{n}:{rng.random():.3f}" for n in range(rng.integers(2, 12))]
    while len(parts) > 1:
        chosen = [parts.pop(rng.integers(len(parts))) for _ in range(min(len(parts), 2))]
        parts.append(f"({','.join(chosen)}):{rng.random():.3f}")
    tree = parse_newick(parts[0] + ";")

    def path_up(node):
        return [node, *(path_up(int(tree.parent[node])) if tree.parent[node] >= 0 else [])]

    start = rng.integers(tree.n_tips)
    up = path_up(int(tree.tip_nodes[start]))
    expected = []
    for tip in tree.tip_nodes.tolist():
        other = path_up(tip)
        expected.append(sum(tree.branch_length[list(set(up) ^ set(other))]))
    found = tree.distances_from(tree.tips[start])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_neutral_curve_is_that_of_jukes_and_cantor():
    curve = fit_divergence(np.zeros(0), np.zeros(0), np.zeros(0), np.full(4, 10))
    distance = np.array([0.0, 0.1, 1.0, 50.0])
    expected = 0.25 + 0.75 * np.exp(-4 / 3 * distance)
    np.testing.assert_allclose(curve.neutral(distance), expected)
    assert not curve.is_fitted


def test_the_trend_is_found_although_some_species_are_wrong():
    distance = np.linspace(0.02, 1.5, 25)
    identity = 0.25 + 0.75 * (1 + 0.5 * distance / 0.75 / 0.8) ** -0.8
    identity[[3, 12, 20]] = 0.3, 0.99, 0.9
    comparable = np.full(25, 10**6)
    curve = fit_divergence(
        distance, np.round(identity * 1e6).astype(int), comparable, np.full(4, 1)
    )
    right = np.delete(np.arange(25), [3, 12, 20])
    np.testing.assert_allclose(curve.trend(distance)[right], identity[right], atol=0.01)
    assert curve.tolerance < 0.06
    # Fewer columns, more tolerance; all the more where they are a part of more.
    allowed = [curve.allowed(*n) for n in ((10**6, 10**6), (500, 500), (500, 10**6), (0, 0))]
    assert allowed[0] == curve.tolerance
    assert sorted(set(allowed)) == allowed


def test_few_species_get_no_trend():
    distance = np.array([0.1, 0.2, 0.3])
    identical = np.round(identity_at(distance) * 1000).astype(int)
    curve = fit_divergence(distance, identical, np.full(3, 1000), np.full(4, 1))
    np.testing.assert_allclose(curve.trend(distance), curve.neutral(distance))


@pytest.mark.parametrize("frequencies", [[0, 0, 0, 0], [5, 0, 0, 0]])
def test_a_reference_of_one_letter_or_none_has_curves_too(frequencies):
    curve = fit_divergence(
        np.linspace(0, 1, 9), np.full(9, 900), np.full(9, 1000), np.array(frequencies)
    )
    assert np.isfinite(curve.trend(np.linspace(0, 2, 5))).all()
