"""Vectors of regions against a plain computation, alone and in company."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_embeddings import contig_embeddings, pooled, reverse_complement, with_context

from phylotools.api.vectors import embed
from phylotools.embedding.source import EmbeddingSource, NetworkOptions, context_matrix
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.scoring.layers import find_layer

REGIONS = [("chr1", 900, 1650), ("chrM", 0, 130), ("chr1", 0, 3), ("chr1", 511, 513),
           ("chr1", 900, 1650), ("chr1", 1699, 1700), ("chr1", 0, 1700),
           ("chrM", 5, 6)]  # fmt: skip
TOLERANCE = {"rtol": 0, "atol": 2e-4}


@pytest.fixture(scope="module")
def whole(models, letters):
    return {name: contig_embeddings(models["own"], text) for name, text in letters.items()}


@pytest.mark.parametrize("pool", ["mean", "max", "centre"])
def test_pooled_vectors_by_a_pass_over_the_contig(models, genome, whole, pool: str) -> None:
    found = embed(models["own"], regions=REGIONS, fasta=genome, pool=pool)
    expected = [pooled(whole[contig], start, end, pool) for contig, start, end in REGIONS]
    np.testing.assert_allclose(found, expected, **TOLERANCE)


def test_vectors_of_every_base(models, genome, whole) -> None:
    found = embed(models["own"], regions=REGIONS, fasta=genome, pool="none")
    for (contig, start, end), rows in zip(REGIONS, found, strict=True):
        np.testing.assert_allclose(rows, whole[contig][start:end], **TOLERANCE)


_SOME = st.tuples(st.integers(0, 1699), st.integers(1, 900)).map(
    lambda pair: ("chr1", pair[0], min(pair[0] + pair[1], 1700))
)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(_SOME, min_size=1, max_size=12),
    st.sampled_from(["mean", "max", "centre", "none"]),
    st.sampled_from(["own", "published"]),
)
def test_a_vector_does_not_depend_on_its_company(models, genome, regions, pool, kind) -> None:
    together = embed(models[kind], regions=regions, fasta=genome, pool=pool)
    for k in (0, len(regions) // 2, len(regions) - 1):
        alone = embed(models[kind], regions=[regions[k]], fasta=genome, pool=pool)
        np.testing.assert_array_equal(together[k], alone[0])


def test_batches_and_tiles_change_nothing_but_rounding(models, genome) -> None:
    first = embed(models["own"], regions=REGIONS, fasta=genome)
    np.testing.assert_array_equal(
        first, embed(models["own"], regions=REGIONS, fasta=genome, batch_size=3)
    )
    for tile_length in (64, 100, 2000):
        source = EmbeddingSource(
            models["own"], genome, find_layer("last", models["own"].spec),
            NetworkOptions(tile_length=tile_length),
        )  # fmt: skip
        tiles = dict(source.tiles("chr1", range(-(-1700 // tile_length))))
        values = np.concatenate(list(tiles.values()))
        np.testing.assert_allclose(values.mean(axis=0), first[6], **TOLERANCE)


def test_a_norm_over_positions_sees_windows_of_the_grid(models, genome, letters) -> None:
    model = models["published"]
    half = (model.receptive_field - 1) // 2
    found = embed(model, regions=[("chr1", 300, 1100)], fasta=genome, pool="none")[0]
    codes = np.array([b"ACGT".find(letter) for letter in letters["chr1"].upper()])
    tokens = torch.from_numpy(np.where(codes < 0, 4, codes))[None]
    with torch.inference_mode():
        window = model.network.embed(tokens[:, 512 - half : 1024 + half])[0].numpy()
        shifted = model.network.embed(tokens[:, 600 - half : 1112 + half])[0].numpy()
    np.testing.assert_allclose(found[512 - 300 : 1024 - 300], window, **TOLERANCE)
    assert np.abs(shifted[:400] - window[88:488]).max() > 0.01


def test_overlapping_regions_are_computed_once(models, genome) -> None:
    from phylotools.api.inputs import region_table
    from phylotools.embedding.sweep import sweep

    table = region_table([("chr1", k, k + 600) for k in range(0, 1100, 7)], genome)
    source = EmbeddingSource(models["own"], genome, find_layer("last", models["own"].spec))
    rows = []
    sweep(source, table, genome, lambda places, values: rows.extend(places.tolist()))
    assert sorted(rows) == list(range(len(table)))
    assert source.n_tiles_computed == 4


def _turned(genome: ReferenceGenome, letters, region):
    contig, start, end = region
    text = letters[contig]
    other = ReferenceGenome.from_sequences({contig: reverse_complement(text)})
    return other, (contig, len(text) - end, len(text) - start)


@pytest.mark.parametrize("pool", ["mean", "max", "centre", "none"])
@pytest.mark.parametrize("context", [False, True])
@pytest.mark.parametrize("kind", ["own", "untied"])
def test_the_minus_strand_is_the_reverse_complement(
    models, genome, letters, pool, context, kind
) -> None:
    worst, contrast, mirrored = 0.0, 0.0, 0.0
    for region in (("chr1", 900, 1649), ("chr1", 3, 47), ("chrM", 0, 130)):
        turned, place = _turned(genome, letters, region)
        kwargs = {"pool": pool, "context_pooling": context}
        minus = embed(models[kind], regions=[(*region, "x", "-")], fasta=genome, strand="bed",
                      **kwargs)  # fmt: skip
        read = embed(models[kind], regions=[place], fasta=turned, **kwargs)
        forward = embed(models[kind], regions=[(*region, "x", "+")], fasta=genome, **kwargs)
        worst = max(worst, np.abs(minus[0] - read[0]).max())
        contrast = max(contrast, np.abs(minus[0] - forward[0]).max())
        flipped = forward[0][::-1, ::-1] if pool == "none" else forward[0][::-1]
        mirrored = max(mirrored, np.abs(minus[0] - flipped).max())
    assert worst < 1e-4
    assert contrast > 100 * worst
    # A plain reversal of the channels would not do where the network is not equivariant, nor
    # after a projection that is not.
    assert (mirrored < 1e-6) == (kind == "own" and not context)


def test_an_equivariant_network_reverses_its_channels(models, genome) -> None:
    regions = [("chr1", 900, 1649, "x", "-")]
    forward = embed(models["own"], regions=regions, fasta=genome)
    minus = embed(models["own"], regions=regions, fasta=genome, strand="bed")
    np.testing.assert_array_equal(minus, forward[:, ::-1])


@pytest.mark.parametrize("kind", ["own", "untied"])
def test_invariant_vectors_are_those_of_the_other_strand(models, genome, letters, kind) -> None:
    for region in (("chr1", 900, 1649), ("chrM", 0, 130)):
        turned, place = _turned(genome, letters, region)
        here = embed(models[kind], regions=[region], fasta=genome, strand="invariant")
        there = embed(models[kind], regions=[place], fasta=turned, strand="invariant")
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-3)
        half = here.shape[1] // 2
        forward = embed(models[kind], regions=[region], fasta=genome)
        minus = embed(models[kind], regions=[(*region, "", "-")], fasta=genome, strand="bed")
        np.testing.assert_allclose(here[:, :half], ((forward + minus) / 2)[:, :half], atol=1e-5)
        np.testing.assert_allclose(
            here[:, half:], (np.abs(forward - minus) / 2)[:, :half], atol=1e-5
        )


@pytest.fixture(scope="module")
def long_contig() -> bytes:
    return bytes(np.random.default_rng(8).choice(list(b"ACGT"), size=7000).tolist())


def test_context_pooling_as_its_authors_compute_it(models, long_contig) -> None:
    model = models["own"]
    expected = with_context(contig_embeddings(model, long_contig))
    genome = ReferenceGenome.from_sequences({"c": long_contig})
    for start, end in ((0, 40), (3100, 4200), (6950, 7000)):
        found = embed(model, regions=[("c", start, end)], fasta=genome, pool="none",
                      context_pooling=True)  # fmt: skip
        np.testing.assert_allclose(found[0], expected[start:end], rtol=0, atol=2e-4)


def test_context_pooling_does_not_see_tiles_or_neighbours(models, long_contig) -> None:
    genome = ReferenceGenome.from_sequences({"c": long_contig})
    regions = [("c", 10, 90), ("c", 3000, 5000), ("c", 6100, 6105)]
    together = embed(models["own"], regions=regions, fasta=genome, context_pooling=True)
    for k, region in enumerate(regions):
        alone = embed(models["own"], regions=[region], fasta=genome, context_pooling=True)
        np.testing.assert_array_equal(together[k], alone[0])


def test_the_context_matrix_is_that_of_torch_seed_42() -> None:
    state = torch.get_rng_state()
    torch.manual_seed(42)
    expected = torch.randn(960, 960).numpy()
    torch.set_rng_state(state)
    np.testing.assert_array_equal(context_matrix(960), expected)
    torch.set_rng_state(state)
    before = torch.rand(1)
    torch.set_rng_state(state)
    context_matrix(8)
    assert torch.rand(1) == before


def test_layers_by_name_and_index(models, letters) -> None:
    model = models["own"]
    half = (model.receptive_field - 1) // 2
    codes = np.array([b"ACGT".find(letter) for letter in letters["chrM"].upper()])
    tokens = torch.from_numpy(np.pad(np.where(codes < 0, 4, codes), half, constant_values=5))
    expected = {}
    x = model.network.embedding(tokens[None])
    expected["embedding"] = x[0, half:-half]
    for k, block in enumerate(model.network.blocks, 1):
        x = block(x)
        crop = (x.shape[1] - 130) // 2
        expected[f"block.{k}"] = x[0, crop : crop + 130]
    expected["last"] = model.network.norm(x)[0]
    text = letters["chrM"].decode()
    for index, (name, values) in enumerate(expected.items()):
        for layer in (name, index, index - len(expected)):
            found = embed(model, text, pool="none", layer=layer)
            np.testing.assert_allclose(found, values.numpy(), **TOLERANCE)


@pytest.mark.parametrize("name", ["block.4", "block.0", "norm", "5", "-6", "1.5", ""])
def test_unknown_layers_are_refused(models, name: str) -> None:
    with pytest.raises(UsageError, match="choose last, embedding, block"):
        find_layer(name, models["own"].spec)
