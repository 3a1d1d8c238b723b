from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.api.inputs import region_table
from phylotools.embedding.regions import Texts, by_contig, n_outside
from phylotools.embedding.staging import StagedRows
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region, RegionSet

GENOME = ReferenceGenome.from_sequences({"chr2": b"A" * 60, "chr1": b"C" * 60})
_REGIONS = st.lists(
    st.tuples(st.sampled_from(["chr1", "chr2"]), st.integers(0, 59), st.integers(1, 60)).map(
        lambda t: (t[0], t[1], min(60, t[1] + t[2]))
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=75, deadline=None)
@given(_REGIONS, _REGIONS)
def test_regions_outside_are_counted_as_base_by_base(regions, inside) -> None:
    bases = {(contig, p) for contig, start, end in inside for p in range(start, end)}
    expected = sum(
        any((contig, p) not in bases for p in range(start, end)) for contig, start, end in regions
    )
    table = region_table(regions, GENOME)
    assert n_outside(table, RegionSet.of(Region(*each) for each in inside)) == expected


@given(_REGIONS)
def test_the_walk_goes_along_the_genome(regions) -> None:
    table = region_table(regions, GENOME)
    walked = [
        (contig, int(table.start[k]), int(table.end[k]))
        for contig, indices in by_contig(table, GENOME)
        for k in indices
    ]
    assert walked == sorted(regions, key=lambda r: (r[0] == "chr1", r[1], r[2]))


@given(st.lists(st.text(max_size=5)))
def test_texts_come_back(texts) -> None:
    kept = Texts()
    for text in texts:
        kept.append(text)
    assert [kept[k] for k in range(len(kept))] == [
        text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts
    ]


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(23)), st.integers(1, 23))
def test_rows_are_staged_in_any_order(tmp_path_factory, order, step) -> None:
    values = np.random.default_rng(1).normal(size=(23, 5)).astype(np.float32)
    with StagedRows(str(tmp_path_factory.getbasetemp()), 5, "out") as staged:
        for k in range(0, 23, step):
            rows = np.array(order[k : k + step])
            staged.write(rows, values[rows])
        blocks = list(staged.blocks(23, 64))
        gathered = staged.gather(np.array(order[:step]))
    np.testing.assert_array_equal(gathered, values[list(order[:step])])
    assert [begin for begin, _ in blocks] == list(range(0, 23, 3))
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks]), values)
