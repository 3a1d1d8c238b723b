"""Weights of intervals out of BED files."""

from __future__ import annotations

import numpy as np
import pytest

from phylotools.errors import InputError
from phylotools.io.region_weights import WeightTable
from phylotools.io.regions import Region


def table_of(folder, text: str) -> WeightTable:
    path = folder / "weights.bed"
    path.write_text(text)
    return WeightTable.read(path)


def test_two_names_of_a_contig_are_one(tmp_path):
    table = table_of(tmp_path, "chr22\t0\t2\t0.5\n22\t3\t5\t0\n").within({"chr22": 9})
    expected = np.array([0.5, 0.5, 1, 0, 0, 1], dtype=np.float32)
    assert table(Region("chr22", 0, 6)) == pytest.approx(expected)
    with pytest.raises(InputError, match=r"chr22:4-5 overlaps the interval before it"):
        table_of(tmp_path, "chr22\t0\t4\t0.5\n22\t3\t5\t0\n")


@pytest.mark.parametrize("weight", ["1_0", "\u0665", "nan", "inf", "-1", "", "x", "1e10"])
def test_what_is_no_weight_is_refused_by_its_line(tmp_path, weight):
    with pytest.raises(InputError, match=r"weights\.bed:2: the fourth column is no weight"):
        table_of(tmp_path, f"chr22\t0\t2\t0.5\nchr22\t3\t5\t{weight}\n")
