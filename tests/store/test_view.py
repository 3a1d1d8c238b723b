"""A view of a store is the store that would have been made of what it shows."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_stores import Block, write_store

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.tree import parse_newick
from phylotools.store import schema
from phylotools.store.read import ColumnStore
from phylotools.store.region_trees import read_region_trees
from phylotools.store.view import StorePlans, StoreView, clade_of

TREE = parse_newick("((a:0.1,b:0.2)ab:0.1,(c:0.1,d:0.3)cd:0.2,e:0.3);")
LENGTHS = {"one": 5000, "two": 2048, "tiny": 7}
#: Of all positions of `two`, of some of `one` without its edges, without b, and without d and e.
TABLE = (
    "two\t0\t2048\t(a:1,(c:1,(d:1,e:1):1):1);\n"
    "one\t100\t2050\t((a:1,b:1):1,c:1);\n"
    "one\t2050\t4100\t((a:1,b:1):1,(c:1,(d:1,e:1):1):1);\n"
)


def blocks(species: str, hidden: bool) -> list[Block]:
    """The columns of some species, as they are or as the trees of the table have them."""
    rng = np.random.default_rng(7)
    found = []
    for contig, length in LENGTHS.items():
        codes = rng.integers(0, 4, (5, length)).astype(np.uint8)
        codes |= rng.choice(np.array([0, 0, 0, schema.SOFT_MASK], np.uint8), (5, length))
        codes[1:][rng.random((4, length)) < 0.4] = schema.GAP_IN_BLOCK
        if hidden and contig == "two":
            codes[1] = schema.NO_BLOCK
        if hidden and contig == "one":
            codes[3:, 100:2050] = schema.NO_BLOCK
        first = length // 8
        rows = ["abcde".index(name) for name in species]
        for start, end in [(0, length // 2), (length // 2 + first, length)]:
            region = Region(contig, start, end)
            found.append(Block(region, tuple(species), codes[rows][:, start:end], length))
    return found


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Views, each with a store that was made of what it shows."""
    folder = tmp_path_factory.mktemp("views")
    store = write_store(folder / "store", TREE, "a", blocks("abcde", hidden=False))
    (folder / "trees.tsv").write_text(TABLE)
    trees = read_region_trees(folder / "trees.tsv", store)
    some = ("a", "c", "e")
    return {
        "clade": (
            StoreView(store, some),
            write_store(folder / "clade", TREE.prune(some), "a", blocks("ace", hidden=False)),
        ),
        "trees": (
            StoreView(store, None, trees),
            write_store(folder / "trees", TREE, "a", blocks("abcde", hidden=True)),
        ),
        "both": (
            StoreView(store, some, read_region_trees(folder / "trees.tsv", store, some)),
            write_store(folder / "both", TREE.prune(some), "a", blocks("ace", hidden=True)),
        ),
        "neither": (StoreView(store), store),
    }


@pytest.mark.parametrize("kind", ["clade", "trees", "both", "neither"])
@settings(deadline=None, max_examples=40)
@given(draw=st.data())
def test_everything_read_is_what_the_made_store_has(stores, kind, draw):
    view, made = stores[kind]
    assert (view.species, view.reference_index) == (made.species, made.reference_index)
    assert view.tree.to_newick() == made.tree.to_newick()
    contig = draw.draw(st.sampled_from(sorted(LENGTHS)))
    start = draw.draw(st.integers(0, LENGTHS[contig]))
    region = Region(contig, start, draw.draw(st.integers(start, LENGTHS[contig])))
    assert np.array_equal(view.bases(region), made.bases(region))
    assert np.array_equal(view.depth(region), made.depth(region))
    assert np.array_equal(view.reference(region), made.reference(region))


@pytest.mark.parametrize("kind", ["clade", "trees", "both", "neither"])
def test_whole_store(stores, kind):
    view, made = stores[kind]
    for least in range(5):
        assert view.covered_regions(least) == made.covered_regions(least)
    again = pickle.loads(pickle.dumps(view))
    whole = Region("one", 0, LENGTHS["one"])
    assert np.array_equal(again.bases(whole), made.bases(whole))
    assert np.array_equal(again.depth(whole), made.depth(whole))


def test_clades_by_name(stores):
    store: ColumnStore = stores["neither"][1]
    assert clade_of(store, ["ab"]) == ("a", "b")
    assert clade_of(store, ["a", "d"]) == ("a", "b", "c", "d", "e")
    with pytest.raises(InputError, match="the clade: that of cd lacks the reference, a; name one"):
        clade_of(store, ["cd"])
    with pytest.raises(InputError, match="store: the clade: the tree has no inner node 'apes'"):
        clade_of(store, ["apes"])


def test_plans_at_positions(stores, tmp_path):
    view, _ = stores["trees"]
    plans = StorePlans(view, 0.0)
    positions = np.array([0, 99, 100, 2049, 2050, 4099, 4100, 4999])
    assert plans.index("one", positions).tolist() == [0, 0, 2, 2, 3, 3, 0, 0]
    assert plans.index("two", np.arange(2048)).tolist() == [1] * 2048
    assert plans.index("tiny", np.arange(7)).tolist() == [0] * 7
    assert plans.vary
    several = plans.of(np.array([0, 1, 2, 3]))
    assert [plan.n_tips for plan in several.plans] == [5, 4, 3, 5]


def test_trees_that_are_the_stores_own_are_its_plan(stores, tmp_path):
    store = stores["neither"][1]
    text = store.tree.to_newick()
    (tmp_path / "same.tsv").write_text(f"one\t{text}\ntwo\t0\t9\t{text}\n")
    plans = StorePlans(
        StoreView(store, None, read_region_trees(tmp_path / "same.tsv", store)), 0.01
    )
    assert not plans.vary
    assert plans.of(plans.index("one", np.arange(5))) is plans.own


def test_short_branches_are_lengthened_in_every_tree(stores, tmp_path):
    store = stores["neither"][1]
    (tmp_path / "zero.tsv").write_text("one\t((a:0,b:0):0,(c:2,(d:0,e:0):0):0);\n")
    view = StoreView(store, None, read_region_trees(tmp_path / "zero.tsv", store))
    plans = StorePlans(view, 0.01, scale=2)
    for plan in plans.of(np.zeros(1, np.int64)).plans:
        # Nothing lies between the merges of one node.
        assert plan.branch_length[plan.branch_length > 0].min() >= 0.01
        assert plan.branch_length.max() == (4 if plan is not plans.own else 0.6)
