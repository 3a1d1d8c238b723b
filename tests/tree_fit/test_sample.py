from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.regions import RegionSet
from phylotools.phylogeny.tree import parse_newick
from phylotools.store.columns import columns_in_order
from phylotools.store.read import open_store
from phylotools.tree_fit.sample import draw_sample


def multiset(states) -> Counter:
    return Counter(column.tobytes() for column in states)


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.5])
def test_all_columns_are_fitted_or_held_out_once(mammals_store, fraction):
    store = open_store(mammals_store)
    everything = np.concatenate(
        [piece.states for batch in columns_in_order(store) for piece in batch]
    )
    sample = draw_sample(store, store.tree, 10_000, fraction, seed=1)
    assert multiset(sample.states) == multiset(everything)
    assert sample.n_held_out == pytest.approx(fraction * len(sample), abs=20)
    assert len(sample.fitted) + len(sample.held_out) == len(sample)
    # Runs of neighbours are not torn.
    assert not set(sample.run[: sample.n_held_out]) & set(sample.run[sample.n_held_out :])
    assert (np.diff(sample.run) >= 0).all()


def test_the_same_for_the_same_seed(birds_store):
    store = open_store(birds_store)
    one, same, other = (draw_sample(store, store.tree, 600, 0.2, seed) for seed in (1, 1, 2))
    assert one.states.tobytes() == same.states.tobytes()
    assert one.states.tobytes() != other.states.tobytes()
    assert 600 <= len(one) < 700


def test_species_are_in_the_order_of_the_tree(mammals_store):
    store = open_store(mammals_store)
    turned = parse_newick(f"({','.join(f'{name}:1' for name in reversed(store.species))});")
    straight = draw_sample(store, store.tree, 200, 0.2, seed=1)
    found = draw_sample(store, turned, 200, 0.2, seed=1)
    np.testing.assert_array_equal(found.states[:, ::-1], straight.states)


def test_regions_and_too_few_columns(odd_store):
    store = open_store(odd_store)
    wanted = RegionSet({"b": np.array([[2, 4], [10, 12]])})
    assert len(draw_sample(store, store.tree, 100, 0.3, 1, wanted)) == 4
    with pytest.raises(InputError, match="only one column"):
        draw_sample(store, store.tree, 100, 0.3, 1, RegionSet({"b": np.array([[2, 3]])}))
    with pytest.raises(InputError, match="in these regions"):
        draw_sample(store, store.tree, 100, 0.3, 1, RegionSet({"b": np.array([[6, 8]])}))
