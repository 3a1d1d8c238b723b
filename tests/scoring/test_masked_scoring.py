"""A model of masked bases: each position in a window of its own, in which it is masked."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer

LENGTH = 300


@pytest.fixture(scope="module")
def masked_model(random_model):
    return dataclasses.replace(random_model, masks_site=True)


@pytest.fixture(scope="module")
def long_genome(tmp_path_factory: pytest.TempPathFactory) -> ReferenceGenome:
    path = tmp_path_factory.mktemp("masked") / "long.fa"
    letters = "".join(np.random.default_rng(4).choice(list("ACGTNacgt"), size=LENGTH))
    path.write_text(f">c\n{letters}\n>d\n{letters[::-1][:70]}\n")
    return ReferenceGenome.open(path)


@pytest.fixture(scope="module")
def by_hand(masked_model, long_genome):
    """Theta of every position of contig c, one window at a time."""
    half = masked_model.receptive_field // 2
    codes = long_genome.fetch(Region("c", 0, LENGTH)) & 7
    tokens = torch.from_numpy(np.pad(codes.astype(np.int64), half, constant_values=5))
    found = []
    for position in range(LENGTH):
        window = tokens[position : position + 2 * half + 1].clone()
        window[half] = 4
        found.append(masked_model.site_model(window[None])[0, 0].numpy())
    return np.stack(found)


@pytest.mark.parametrize("tile_length", [1, 64, 512])
@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_those_of_one_window_at_a_time(
    masked_model, long_genome, by_hand, tile_length: int, threads: int
) -> None:
    scorer = Scorer(masked_model, long_genome, threads=threads, tile_length=tile_length)
    np.testing.assert_array_equal(scorer.theta(Region("c", 0, LENGTH)), by_hand)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=12),
    st.sampled_from([1, 7, 64, 512]),
)
def test_positions_are_the_same_in_any_company(
    masked_model, long_genome, by_hand, positions: list[int], tile_length: int
) -> None:
    scorer = Scorer(masked_model, long_genome, threads=1, tile_length=tile_length)
    for _ in range(3):  # in the end whole tiles are kept
        found = scorer.theta_at("c", np.array(positions))
        np.testing.assert_array_equal(found, by_hand[positions])


def test_tiles_and_parts_of_regions_agree(masked_model, long_genome, by_hand) -> None:
    scorer = Scorer(masked_model, long_genome, threads=1, tile_length=64)
    np.testing.assert_array_equal(scorer.theta(Region("c", 50, 201)), by_hand[50:201])
    for index, values in scorer.tiles("c", [4, 0]):
        np.testing.assert_array_equal(values, by_hand[index * 64 : index * 64 + len(values)])
    assert len(values) == 64


def test_given_sequences_are_masked_too(masked_model, long_genome, by_hand) -> None:
    half = masked_model.receptive_field // 2
    scorer = Scorer(masked_model, long_genome, threads=1)
    tokens = np.stack([scorer.tokens("c", s - half, s + 20 + half) for s in (0, 100)])
    found = scorer.values_of(tokens)
    np.testing.assert_array_equal(found, np.stack([by_hand[0:20], by_hand[100:120]]))


def test_the_base_of_a_position_changes_the_others_alone(masked_model, long_genome) -> None:
    half = masked_model.receptive_field // 2
    scorer = Scorer(masked_model, long_genome, threads=1)
    tokens = scorer.tokens("c", 100 - half, 120 + half)
    changed = tokens.copy()
    changed[half + 5] = (changed[half + 5] + 1) % 4
    a, b = scorer.values_of(np.stack([tokens, changed]))
    assert np.array_equal(a[5], b[5])
    assert not np.array_equal(a[4], b[4])


def test_the_other_strand_has_the_mirrored_scores(masked_model, long_genome) -> None:
    half = masked_model.receptive_field // 2
    scorer = Scorer(masked_model, long_genome, threads=1)
    tokens = scorer.tokens("c", 100 - half, 120 + half)
    complement = np.array([3, 2, 1, 0, 4, 5], dtype=np.uint8)
    a, b = scorer.values_of(np.stack([tokens, complement[tokens][::-1]]))
    np.testing.assert_allclose(b[::-1, ::-1], a, rtol=0, atol=1e-5)


def test_an_accelerator_computes_the_same(dense_model, long_genome, by_hand) -> None:
    """As on a device whose passes have one shape; the numbers agree to rounding."""
    scorer = Scorer(
        dataclasses.replace(dense_model, masks_site=True), long_genome, tile_length=64, batch_size=2
    )
    scorer._passes._is_cpu = False
    positions = np.array([3, 4, 150, 299])
    np.testing.assert_allclose(scorer.theta_at("c", positions), by_hand[positions], atol=1e-5)
    np.testing.assert_allclose(scorer.theta(Region("c", 0, 300)), by_hand, atol=1e-5)
