from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.io.regions import Region, RegionSet, cut_regions

_REGIONS = st.lists(
    st.builds(
        lambda contig, start, length: Region(contig, start, start + length),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 200),
        st.integers(1, 60),
    ),
    max_size=8,
)


def positions(regions) -> list[tuple[str, int]]:
    return [(r.contig, at) for r in regions for at in range(r.start, r.end)]


@given(_REGIONS, st.integers(1, 16), st.integers(1, 6))
@settings(max_examples=75, deadline=None)
def test_parts_hold_every_position_once_and_share_no_tile(regions, tile_length, n_tiles):
    whole = RegionSet.of(regions)
    parts = cut_regions(whole, tile_length, n_tiles)
    assert [p for part in parts for p in positions(part)] == positions(whole)
    tiles = [{(c, at // tile_length) for c, at in positions(part)} for part in parts]
    assert all(1 <= len(part) <= n_tiles for part in tiles)
    assert sum(map(len, tiles)) == len(set().union(*tiles))
    # All but the last are as large as may be.
    assert all(len(part) == n_tiles for part in tiles[:-1])
