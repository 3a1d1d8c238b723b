from __future__ import annotations

import copy
import dataclasses
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from toy_scoring import NEIGHBOURS, ToyModel, model_of

from phylotools.errors import InputError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.device import largest_fitting_batch
from phylotools.model.presets import ModelSpec
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.tiled_network import TiledNetwork
from phylotools.scoring.windows import WindowRule, context_cost

CHR1 = [0, 1, 2, 3, 3, 2, 1, 0, 4, 0, 1, 1, 2, 2, 3, 3, 3, 0, 1, 2, 0, 1, 2, 3, 3, 0, 1, 0, 3]
CHR1 += [3, 0, 2, 1, 0, 3]


def neighbour_theta(codes: list[int]) -> NDArray[np.float32]:
    """The toy network's formula, position by position; 5 stands outside the contig."""
    padded = [5, *codes, 5]
    return np.array(
        [
            [own * (b + 1) + left * b / 16 - right / 8 for b in range(4)]
            for left, own, right in zip(padded, padded[1:], padded[2:], strict=False)
        ],
        dtype=np.float32,
    )


@pytest.mark.parametrize("tile_length", [1, 4, 7, 35, 512])
def test_every_position_by_hand(toy_model, genome, tile_length: int) -> None:
    scorer = Scorer(toy_model, genome, threads=1, tile_length=tile_length)
    theta = scorer.theta(Region("chr1", 0, len(CHR1)))
    np.testing.assert_array_equal(theta, neighbour_theta(CHR1))


def test_contig_edges_are_padded_not_shifted(toy_model, genome) -> None:
    theta = Scorer(toy_model, genome, threads=1).theta(Region("chrM", 0, 10))
    np.testing.assert_array_equal(theta, neighbour_theta([0, 1, 2, 3, 0, 1, 2, 3, 0, 1]))


@pytest.fixture(scope="module")
def long_genome(tmp_path_factory: pytest.TempPathFactory) -> ReferenceGenome:
    path = tmp_path_factory.mktemp("long") / "long.fa"
    letters = np.random.default_rng(4).choice(list("ACGTNacgt"), size=900)
    path.write_text(">c\n" + "".join(letters) + "\n")
    return ReferenceGenome.open(path)


def test_tiles_agree_with_one_pass_over_the_contig(random_model, long_genome) -> None:
    half = (random_model.receptive_field - 1) // 2
    codes = long_genome.fetch(Region("c", 0, 900)) & 7
    tokens = np.pad(codes.astype(np.int64), half, constant_values=5)
    whole = random_model.site_model(torch.from_numpy(tokens)[None])[0].numpy()
    for tile_length in (50, 128, 900):
        scorer = Scorer(random_model, long_genome, threads=1, tile_length=tile_length)
        theta = scorer.theta(Region("c", 0, 900))
        np.testing.assert_allclose(theta, whole, rtol=0, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 899), min_size=1, max_size=12))
def test_positions_agree_in_any_company(dense_model, long_genome, positions: list[int]) -> None:
    together = as_by_an_accelerator(Scorer(dense_model, long_genome, tile_length=64))
    theta = together.theta_at("c", np.array(positions))
    whole = Scorer(dense_model, long_genome, threads=1).theta(Region("c", 0, 900))
    np.testing.assert_allclose(theta, whole[positions], rtol=0, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 899), min_size=1, max_size=40), min_size=1, max_size=4),
    st.sampled_from([16, 64, 100, 512]),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1 << 20]),
    st.integers(40, 1000),
)
def test_no_bit_of_a_number_depends_on_its_company(
    random_model, long_genome, calls, tile_length: int, threads: int, cache_bytes: int, longest
) -> None:
    """Whatever is asked for together, before, in which order, tiles, threads and windows."""
    whole = Scorer(random_model, long_genome, threads=1).theta(Region("c", 0, 900))
    n_threads = torch.get_num_threads()
    scorer = Scorer(
        random_model, long_genome, threads=threads, tile_length=tile_length,
        cache_bytes=cache_bytes,
    )  # fmt: skip
    try:
        with (
            mock.patch("phylotools.scoring.tiled_network.longest_window", return_value=longest),
            mock.patch("phylotools.scoring.passes.TOKENS_A_THREAD", 4 * longest),
        ):
            for positions in calls:
                theta = scorer.theta_at("c", np.array(positions))
                np.testing.assert_array_equal(theta, whole[positions])
            first, last = min(calls[0]), max(calls[-1]) + 1
            np.testing.assert_array_equal(
                scorer.theta(Region("c", min(first, last), max(first, last))),
                whole[min(first, last) : max(first, last)],
            )
    finally:
        torch.set_num_threads(n_threads)


def test_a_lone_site_is_computed_alone(random_model, long_genome) -> None:
    """In a window of the receptive field; where many share a tile, the tile is."""
    for is_cpu in (True, False):
        lengths: list[int] = []
        scorer = Scorer(spy_on_windows(random_model, lengths), long_genome, threads=1)
        if not is_cpu:
            as_by_an_accelerator(scorer, 1)
        scorer.theta_at("c", np.array([700]))
        assert set(lengths) == {random_model.receptive_field}
        assert (scorer.n_tiles_computed, scorer.n_spans_computed) == (0, 1)
        lengths.clear()
        scorer.theta_at("c", np.arange(0, 512, 7))
        assert set(lengths) == {512 + random_model.receptive_field - 1}
        assert (scorer.n_tiles_computed, scorer.n_spans_computed) == (1, 1)


def test_neighbours_share_a_window_across_the_border_of_tiles(random_model, long_genome) -> None:
    lengths: list[int] = []
    scorer = Scorer(spy_on_windows(random_model, lengths), long_genome, threads=1)
    scorer.theta_at("c", np.array([514, 509]))
    assert lengths == [random_model.receptive_field + 5]


def test_a_tile_asked_for_again_and_again_is_kept(random_model, long_genome) -> None:
    scorer = Scorer(random_model, long_genome, threads=1, cache_bytes=512 * 16)
    for position in range(0, 500, 3):
        scorer.theta_at("c", np.array([position]))
    context = context_cost(random_model.spec)
    assert scorer.n_tiles_computed == 1
    assert scorer.n_spans_computed * (1 + context) < 512 + context


def test_a_norm_over_positions_has_whole_tiles(genome, long_genome) -> None:
    model = model_of(ModelSpec(channels=12, bottleneck=6, dilations=(1, 5), norm="group"))
    lengths: list[int] = []
    scorer = Scorer(spy_on_windows(model, lengths), long_genome, threads=1)
    alone = scorer.theta_at("c", np.array([700]))
    assert lengths == [512 + model.receptive_field - 1]
    codes = np.concatenate([scorer.tokens("c", 512 - 12, 1024 + 12)]).astype(np.int64)
    whole = model.site_model(torch.from_numpy(codes)[None])[0].numpy()
    np.testing.assert_array_equal(alone[0], whole[700 - 512])
    np.testing.assert_array_equal(scorer.theta(Region("c", 690, 705))[10], alone[0])


def as_by_an_accelerator(scorer: Scorer, batch_size: int = 4) -> Scorer:
    """The same scorer; what it says goes through passes of so many tiles, and of lone windows."""
    passes = scorer._passes
    passes._is_cpu, passes.rule, passes._batch_size = False, WindowRule.LONE, batch_size
    return scorer


def spy_on_windows(model: ToyModel, lengths: list[int]) -> ToyModel:
    """The same model; tokens of every window that it computes are noted."""

    def forward(tokens: Tensor, wanted: Tensor | None) -> Tensor:
        spans = wanted.tolist() if wanted is not None else [[0, None]] * len(tokens)
        n_positions = tokens.shape[1] - model.receptive_field + 1
        for start, end in spans:
            length = n_positions if end is None else end - start
            lengths.append(length + model.receptive_field - 1)
        return model.site_model(tokens, wanted)

    return dataclasses.replace(model, site_model=forward)


def test_threads_and_batch_size_change_nothing(random_model, long_genome) -> None:
    n_threads = torch.get_num_threads()
    region = Region("c", 0, 900)
    results = [
        Scorer(random_model, long_genome, threads=threads, batch_size=batch_size).theta(region)
        for threads, batch_size in ((1, None), (2, 1), (1, 7), (None, 3))
    ]
    torch.set_num_threads(n_threads)
    for theta in results[1:]:
        np.testing.assert_array_equal(theta, results[0])


def test_batches_of_an_accelerator_give_the_same(dense_model, long_genome) -> None:
    region = Region("c", 0, 900)
    single = Scorer(dense_model, long_genome, threads=1, tile_length=64)
    batched = as_by_an_accelerator(Scorer(dense_model, long_genome, tile_length=64))
    np.testing.assert_allclose(batched.theta(region), single.theta(region), atol=1e-5)
    assert batched.n_tiles_computed == single.n_tiles_computed == 15


def test_each_tile_is_computed_once_and_the_cache_is_bounded(toy_model, genome) -> None:
    scorer = Scorer(toy_model, genome, threads=1, tile_length=5, cache_bytes=3 * 5 * 16)
    scorer.theta(Region("chr1", 0, 15))
    scorer.theta_at("chr1", np.array([14, 0, 7, 7, 3]))
    assert scorer.n_tiles_computed == 3
    scorer.theta(Region("chr1", 0, 35))
    assert len(scorer._cache) == 3
    np.testing.assert_array_equal(scorer.theta(Region("chr1", 0, 35)), neighbour_theta(CHR1))


def test_outside_the_contig_is_an_error(toy_model, genome) -> None:
    scorer = Scorer(toy_model, genome, threads=1)
    for contig, start, end in (("chr1", 30, 36), ("chr1", -1, 2), ("nope", 0, 1)):
        with pytest.raises(InputError, match="outside contig"):
            scorer.theta_at(contig, np.arange(start, end))


def test_a_network_that_lies_about_itself_is_an_error(genome, toy_model) -> None:
    toy_model.receptive_field = 5
    with pytest.raises(InputError, match="receptive field"):
        Scorer(toy_model, genome, threads=1).theta(Region("chrM", 0, 3))
    broken = ToyModel(
        lambda tokens, wanted: torch.full((1, tokens.shape[1] - 2, 4), torch.nan), NEIGHBOURS
    )
    with pytest.raises(InputError, match="not finite"):
        Scorer(broken, genome, threads=1).theta(Region("chrM", 0, 3))


@pytest.mark.parametrize("factor", [1e9, -1e5])
def test_absurd_numbers_are_an_error(toy_model, genome, factor: float) -> None:
    plain = toy_model.site_model
    toy_model.site_model = lambda tokens, wanted: plain(tokens) * factor
    scorer = Scorer(toy_model, genome, threads=1)
    with pytest.raises(InputError, match="beyond 1000 near chr1:1; its weights are damaged"):
        scorer.theta(Region("chr1", 0, 3))
    with pytest.raises(InputError, match="beyond 1000"):
        scorer.values_of(np.array([[0, 1, 2, 3]], dtype=np.uint8))


def test_lower_case_scores_like_upper_case(toy_model, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">c\nACGTACGT\n>d\nacgtACgt\n")
    scorer = Scorer(toy_model, ReferenceGenome.open(tmp_path / "a.fa"), threads=1)
    upper, lower = (scorer.theta(Region(contig, 0, 8)) for contig in "cd")
    np.testing.assert_array_equal(upper, lower)


def sum_and_half(site_model: object, tokens: Tensor, wanted: Tensor | None) -> Tensor:
    """Two channels by hand: the sum of the three tokens of a context, and half the own one."""
    own = tokens[:, 1:-1].float()
    return torch.stack([tokens[:, :-2] + own + tokens[:, 2:], own / 2], dim=-1)


def test_any_numbers_of_a_network_are_tiled_alike(toy_model, genome) -> None:
    network = TiledNetwork(toy_model, genome, sum_and_half, 2, threads=1, tile_length=4)
    padded = np.array([5, *CHR1, 5])
    expected = np.stack([padded[:-2] + padded[1:-1] + padded[2:], padded[1:-1] / 2], axis=-1)
    np.testing.assert_array_equal(network.values(Region("chr1", 0, 35)), expected)
    np.testing.assert_array_equal(network.values(Region("chr1", 6, 13)), expected[6:13])
    np.testing.assert_array_equal(network.values_at("chr1", np.array([9, 2])), expected[[9, 2]])
    assert network.values(Region("chr1", 5, 5)).shape == (0, 2)
    for indices in ([8, 0, 3], [0, 8], []):
        tiles = network.tiles("chr1", indices)
        assert [index for index, _ in tiles] == indices
        for index, values in tiles:
            np.testing.assert_array_equal(values, expected[4 * index : 4 * index + 4])
    with pytest.raises(InputError, match="outside contig"):
        network.tiles("chr1", [9])
    assert network.values_at("chr1", np.empty(0, dtype=np.int64)).shape == (0, 2)


def test_given_sequences_need_no_genome(toy_model) -> None:
    scorer = Scorer(toy_model, threads=1)
    tokens = np.array([[5, 0, 1, 2, 5], [5, 3, 3, 4, 5]], dtype=np.uint8)
    expected = [neighbour_theta([0, 1, 2]), neighbour_theta([3, 3, 4])]
    np.testing.assert_array_equal(scorer.values_of(tokens), expected)
    assert scorer.values_of(tokens[:0]).shape == (0, 3, 4)
    with pytest.raises(UsageError, match="no reference was given"):
        scorer.theta(Region("chr1", 0, 3))
    with pytest.raises(UsageError, match="receptive field of model toy, 3"):
        scorer.values_of(tokens[:, :2])
    with pytest.raises(UsageError, match="a token is 8"):
        scorer.values_of(tokens + 3)


def test_rows_do_not_depend_on_each_other(random_model) -> None:
    rng = np.random.default_rng(2)
    tokens = rng.integers(0, 6, size=(9, random_model.receptive_field + 20), dtype=np.uint8)
    scorer = Scorer(random_model, threads=1)
    together = scorer.values_of(tokens)
    alone = np.concatenate([scorer.values_of(tokens[i : i + 1]) for i in range(9)])
    np.testing.assert_array_equal(together, alone)


def test_given_sequences_score_like_the_genome(random_model, long_genome) -> None:
    scorer = Scorer(random_model, long_genome, threads=1)
    half = scorer.half_window
    tokens = scorer.tokens("c", -half, 100 + half)
    np.testing.assert_allclose(
        scorer.values_of(tokens[None])[0], scorer.theta(Region("c", 0, 100)), rtol=0, atol=1e-4
    )


def test_several_threads_may_ask(random_model, long_genome) -> None:
    scorer = Scorer(random_model, long_genome, threads=1, tile_length=64, cache_bytes=64 * 16)
    expected = scorer.theta(Region("c", 0, 900))
    regions = [Region("c", start, start + 300) for start in range(0, 600, 50)]
    with ThreadPoolExecutor(4) as pool:
        for region, theta in zip(regions, pool.map(scorer.theta, regions), strict=True):
            np.testing.assert_array_equal(theta, expected[region.start : region.end])


def test_a_worker_computes_with_the_threads_asked_for(toy_model, genome) -> None:
    n_threads = torch.get_num_threads()
    seen = []

    def forward(site_model: object, tokens: Tensor, wanted: Tensor | None) -> Tensor:
        seen.append(torch.get_num_threads())
        return sum_and_half(site_model, tokens, wanted)

    network = TiledNetwork(toy_model, genome, forward, 2, threads=3, tile_length=4)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(network.values, Region("chr1", 0, 8)).result()
    network.values(Region("chr1", 8, 16))
    torch.set_num_threads(n_threads)
    assert set(seen) == {3}


@pytest.mark.parametrize("precision", ["tf32", "bfloat16", "float16"])
def test_a_cpu_computes_in_float32_only(toy_model, genome, precision: str) -> None:
    with pytest.raises(UsageError, match="needs a CUDA device, not cpu"):
        Scorer(toy_model, genome, precision=precision)
    assert Scorer(toy_model, genome).precision == "float32"


def test_narrow_arithmetic_is_near_and_its_failure_says_what_to_do(
    dense_model, toy_model, long_genome
) -> None:
    region = Region("c", 0, 200)
    exact = Scorer(dense_model, long_genome, threads=1).theta(region)
    narrow = Scorer(dense_model, long_genome, threads=1)
    narrow.precision = "bfloat16"  # what a GPU would be asked for
    theta = narrow.theta(region)
    assert theta.dtype == np.float32
    assert 0 < np.abs(theta - exact).max() < 0.05 * np.abs(exact).max()
    toy_model.site_model = lambda tokens, wanted: torch.full((1, tokens.shape[1] - 2, 4), torch.inf)
    narrow = Scorer(toy_model, long_genome, threads=1)
    narrow.precision = "float16"
    with pytest.raises(InputError, match="use precision float32"):
        narrow.theta(region)


def test_an_unknown_precision_is_refused(toy_model, genome) -> None:
    with pytest.raises(UsageError, match="no precision 'half'"):
        Scorer(toy_model, genome, precision="half")


@pytest.mark.parametrize(
    ("length", "needed", "free", "expected"),
    [
        (992, 1, 1 << 30, 64),
        (992, 10, 1000, 32),
        (992, 10, 639, 16),
        (992, 10, 19, 1),
        (992, 1 << 40, 1 << 30, 1),
        (4576, 1, 1 << 30, 16),
        (200_000, 1, 1 << 30, 1),
    ],
)
def test_an_automatic_batch_has_so_many_positions_and_needs_half_of_the_free_memory(
    length, needed, free, expected
) -> None:
    assert largest_fitting_batch(length, needed, free) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.5)])
def test_a_gpu_agrees_with_the_cpu(random_model, long_genome, precision, tolerance) -> None:
    on_gpu = dataclasses.replace(
        random_model,
        site_model=copy.deepcopy(random_model.site_model).cuda().freeze(),
        device="cuda",
    )
    region = Region("c", 0, 900)
    expected = Scorer(random_model, long_genome, threads=1).theta(region)
    scorer = Scorer(on_gpu, long_genome, precision=precision)
    np.testing.assert_allclose(scorer.theta(region), expected, rtol=0, atol=tolerance)
    again = Scorer(on_gpu, long_genome, precision=precision)
    np.testing.assert_array_equal(again.theta_at("c", np.array([5]))[0], scorer.theta(region)[5])
