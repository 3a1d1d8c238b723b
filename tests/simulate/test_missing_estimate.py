"""What a column store lacks, estimated: the parameters that made it come back."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from small_stores import Block, build_store, write_store

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.simulation.sites import SiteDistribution
from phylotools.phylogeny.substitution import F81
from phylotools.phylogeny.tree import parse_newick
from phylotools.simulate.estimate import estimate_missing_data
from phylotools.simulate.outputs import SimulationOutputs
from phylotools.simulate.run import simulate_alignment
from phylotools.simulate.sources import RandomSites
from phylotools.store.read import ColumnStore, open_store

pytestmark = pytest.mark.usefixtures("one_thread")


def test_parameters_are_recovered(data, tmp_path):
    made = MissingData(
        gap_rate=0.3, gap_exponent=1.1, longest_gap=8, dropout_rate=0.8, species_dropout=0.25,
        dropout_length=60.0, block_length=12.0,
    )  # fmt: skip
    path = data / "birds53" / "53birds.nh"
    tree = parse_newick(path.read_text())
    source = RandomSites(SiteDistribution(), F81(), contig="c", length=60_000, seed=5)
    maf = str(tmp_path / "a.maf")
    simulate_alignment(tree, source, SimulationOutputs(maf), missing=made, seed=5)
    build_store(maf, path, tmp_path / "s")
    found = estimate_missing_data(open_store(tmp_path / "s"))
    # Dropouts are rounded to blocks, gaps that fill a block have no row: a few per cent each.
    expected = {
        "gap_rate": 0.15, "gap_exponent": 0.2, "longest_gap": 0.25, "dropout_rate": 0.12,
        "species_dropout": 0.12, "dropout_length": 0.2, "block_length": 0.02,
    }  # fmt: skip
    for name, tolerance in expected.items():
        assert getattr(found, name) == pytest.approx(getattr(made, name), rel=tolerance), name


def test_a_real_alignment_lacks_most_where_it_is_far(birds_store):
    found = estimate_missing_data(open_store(birds_store))
    assert found.block_length == pytest.approx(959 / 120, rel=1e-6)
    assert 0.05 < found.gap_rate < 0.5
    assert 1 < found.gap_exponent < 2.5
    assert found.dropout_rate + found.species_dropout > 0.1


def store_of(tmp_path, rows: dict[str, list[int]]) -> ColumnStore:
    tree = parse_newick("(R:1,(A:1,B:2):1);")
    codes = np.array(list(rows.values()), dtype=np.uint8)
    region = Region("c", 0, codes.shape[1])
    block = Block(region, tuple(rows), codes, codes.shape[1])
    return write_store(tmp_path / "s", tree, "R", [block])


def test_nothing_missing_is_no_rate(tmp_path):
    found = estimate_missing_data(store_of(tmp_path, {s: [0, 1, 2, 3] * 9 for s in "RAB"}))
    assert asdict(found) == asdict(MissingData().without_events()) | {"block_length": 36.0}


def test_gap_lengths_by_hand(tmp_path):
    gap = [5]
    a = [0, *gap, 0, *(gap * 2), 0, *gap, 0, *(gap * 3), 0, 0, 0]
    found = estimate_missing_data(store_of(tmp_path, {"R": [0] * 14, "A": a, "B": [0] * 14}))
    assert found.longest_gap == 3
    # The exponent at which the mean log length is that of 1, 1, 2 and 3.
    weights = np.arange(1, 4) ** -found.gap_exponent
    mean = (weights * np.log([1, 2, 3])).sum() / weights.sum()
    assert mean == pytest.approx(np.log([1, 1, 2, 3]).mean(), abs=1e-6)
    # Least squares through 0 at distance 3 (half of the 14 sites lost) and 4 (none).
    assert found.gap_rate == pytest.approx(3 * np.log(2) / (3**2 + 4**2))


def test_a_store_of_the_reference_alone_is_refused(tmp_path):
    with pytest.raises(InputError, match="no species beside the reference"):
        estimate_missing_data(store_of(tmp_path, {"R": [0, 1]}))
