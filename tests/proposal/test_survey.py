"""What is seen of a store is what stands in it."""

from __future__ import annotations

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.phylogeny.tree import parse_newick
from phylotools.proposal import survey
from phylotools.proposal.survey import survey_store
from phylotools.store import schema
from phylotools.store.read import open_store

pytestmark = pytest.mark.usefixtures("one_thread")


def whole(store):
    """Depth, reference and bases of every covered position."""
    regions = store.covered_regions(0)
    return (
        np.concatenate([read(region) for region in regions])
        for read in (store.depth, store.reference, store.bases)
    )


@pytest.mark.parametrize("fixture", ["birds_store", "mammals_store"])
def test_shares_are_those_of_all_columns(fixture, request):
    path = request.getfixturevalue(fixture)
    found = survey_store(path)
    depth, reference, bases = whole(open_store(path))
    assert found.columns == len(depth) == sum(found.contig_columns.values())
    assert found.depth == pytest.approx(depth.mean())
    assert found.depth == pytest.approx(((bases & schema.CODE_MASK) < 4).sum(axis=1).mean())
    assert found.trainable == pytest.approx((depth >= 2).mean())
    assert found.training_columns == (depth >= 2).sum()
    assert found.masked == pytest.approx((reference >= schema.SOFT_MASK).mean())
    assert found.unknown == pytest.approx(((reference & schema.CODE_MASK) > 3).mean())


def test_mitochondria_and_nuclear_genomes_are_told_apart(birds_store, mammals_store):
    mitochondria = survey_store(mammals_store).strands
    assert mitochondria.strands_differ
    # 30 mammals, 973 columns: the two strands of mitochondria differ most in these.
    assert {"A>C", "T>G"} == set(mitochondria.most_different[:2])
    birds = survey_store(birds_store).strands
    assert birds.is_conclusive
    assert not birds.strands_differ


def test_more_columns_are_looked_at_where_few_decide_nothing(birds_store, monkeypatch):
    monkeypatch.setattr(survey, "_TESTED_COLUMNS", (20, 60))
    assert survey_store(birds_store).strands.columns == 60
    monkeypatch.setattr(survey, "_TESTED_COLUMNS", (700, 900))
    assert survey_store(birds_store).strands.columns == 700


def test_second_rows_of_species_are_counted():
    rows = {"a": {"rows": 10, "duplicate_rows": 0}, "b": {"rows": 30, "duplicate_rows": 4}}
    assert survey._second_rows({"rows": rows}) == 0.1
    for unknown in (None, [], {}, {"rows": None}, {"rows": {}}, {"rows": {"a": 3}}):
        assert survey._second_rows(unknown) is None


def test_a_tree_of_another_scale_is_noticed(birds_store):
    assert survey_store(birds_store).scale is None


def test_what_is_no_store(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError):
            survey_store(path)


def test_a_store_without_other_species(tmp_path):
    from small_stores import Block, write_store

    from phylotools.io.regions import Region

    tree = parse_newick("(a:0.1,b:0.2);")
    bases = np.zeros((1, 50), dtype=np.uint8)
    write_store(tmp_path / "store", tree, "a", [Block(Region("c", 0, 50), ("a",), bases, 50)])
    with pytest.raises(InputError, match="no column"):
        survey_store(tmp_path / "store")
