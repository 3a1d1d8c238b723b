from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.predict.scorer import Scorer

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
def test_positions_do_not_depend_on_their_company(
    random_model, long_genome, positions: list[int]
) -> None:
    together = Scorer(random_model, long_genome, threads=1, tile_length=64)
    theta = together.theta_at("c", np.array(positions))
    for row, position in enumerate(positions):
        alone = Scorer(random_model, long_genome, threads=1, tile_length=64)
        np.testing.assert_array_equal(
            theta[row], alone.theta(Region("c", position, position + 1))[0]
        )


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


def test_batches_of_an_accelerator_give_the_same(random_model, long_genome) -> None:
    region = Region("c", 0, 900)
    single = Scorer(random_model, long_genome, threads=1, tile_length=64)
    batched = Scorer(random_model, long_genome, threads=1, tile_length=64)
    batched._batch_size = 4
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
    broken = SimpleNamespace(
        site_model=lambda tokens: torch.full((1, tokens.shape[1] - 2, 4), torch.nan),
        receptive_field=3,
        name="broken",
        device="cpu",
    )
    with pytest.raises(InputError, match="not finite"):
        Scorer(broken, genome, threads=1).theta(Region("chrM", 0, 3))


def test_lower_case_scores_like_upper_case(toy_model, tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(">c\nACGTACGT\n>d\nacgtACgt\n")
    scorer = Scorer(toy_model, ReferenceGenome.open(tmp_path / "a.fa"), threads=1)
    upper, lower = (scorer.theta(Region(contig, 0, 8)) for contig in "cd")
    np.testing.assert_array_equal(upper, lower)
