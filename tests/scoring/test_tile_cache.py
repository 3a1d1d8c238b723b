from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.scoring.tile_cache import TileCache


def numbers(tile: tuple[str, int]) -> np.ndarray:
    return np.full((4, 2), tile[1] + 1000 * ord(tile[0]), dtype=np.float32)


def ask(cache: TileCache, tile: tuple[str, int]) -> bool:
    """Whether the tile had to be computed."""
    found = cache.get(tile)
    if found is None:
        cache.put(tile, numbers(tile))
        return True
    assert (found == numbers(tile)).all()
    return False


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3000)), max_size=300),
    st.integers(1, 5),
    st.integers(0, 100),
)
def test_what_comes_out_is_what_went_in(tiles: list, n_in_memory: int, n_on_disk: int) -> None:
    cache = TileCache(n_in_memory, (4, 2), n_on_disk * 32)
    for tile in tiles + tiles:
        ask(cache, tile)
    assert len(cache) <= n_in_memory


def test_without_order_no_tile_is_computed_much_more_than_once() -> None:
    random = np.random.default_rng(1)
    order = [("a", int(index)) for index in random.integers(0, 2000, 50_000)]
    n_computed = {}
    for name, size in (("memory", 0), ("disk", 2000 * 32), ("small disk", 1000 * 32)):
        cache = TileCache(10, (4, 2), size)
        n_computed[name] = sum(ask(cache, tile) for tile in order)
    assert n_computed["memory"] > 40_000
    # Those dropped before the disk was used are computed a second time.
    assert n_computed["disk"] < 2 * 2000
    assert n_computed["disk"] < n_computed["small disk"] < n_computed["memory"]


def test_in_order_nothing_is_written() -> None:
    cache = TileCache(12, (4, 2), 1 << 20)
    for index in range(5000):
        ask(cache, ("a", index))
        ask(cache, ("a", max(0, index - 5)))
    assert cache.n_dropped_again == 0
    assert cache._file is None


def test_a_full_disk_is_borne(tmp_path, monkeypatch, file_size_limit) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cache = TileCache(2, (4, 2), 1 << 20)
    with file_size_limit(100):
        for _ in range(50):
            for index in range(20):
                ask(cache, ("a", index))
    assert cache._file is None


def test_parts_never_cost_much_more_than_the_tile() -> None:
    cache = TileCache(2, (4, 2))
    paid = n_whole = 0
    for k in range(300):
        tile = ("a", k % 2)
        if cache.get(tile) is not None:
            continue
        if cache.is_worth_keeping(tile, 30, 100):
            cache.put(tile, numbers(tile))
            n_whole += 1
        else:
            paid += 30
    assert (n_whole, paid) == (2, 2 * 90)


def test_a_tile_that_was_dropped_is_paid_for_again() -> None:
    cache = TileCache(1, (4, 2))
    assert cache.is_worth_keeping(("a", 0), 100, 100)
    cache.put(("a", 0), numbers(("a", 0)))
    assert not cache.is_worth_keeping(("a", 1), 60, 100)
    assert cache.is_worth_keeping(("a", 1), 60, 100)
    cache.put(("a", 1), numbers(("a", 1)))
    assert cache.get(("a", 0)) is None
    assert not cache.is_worth_keeping(("a", 0), 60, 100)
