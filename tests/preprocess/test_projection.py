"""Blocks in any order, with any buffer, give the chunks of a slow projection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from phylotools.io.alignment.blocks import BlockBatch
from phylotools.jobs.piece import PieceWriter, open_piece
from phylotools.preprocess.projection import ENTRY, Projector, read_chunk
from phylotools.store import schema
from phylotools.store.chunks import chunk_digest, decode_values

LETTERS = np.frombuffer(b"ACGTacgtN-", dtype=np.uint8)
CODES = np.array([0, 1, 2, 3, 8, 9, 10, 11, 4, 5], dtype=np.uint8)
COMPLEMENTS = np.array([3, 2, 1, 0, 11, 10, 9, 8, 4, 5], dtype=np.uint8)
N_SPECIES, REFERENCE = 5, 2
CONTIG_LENGTHS = (30_000, 9_000)


def random_batch(rng, n_blocks: int, longest: int) -> BlockBatch:
    """Blocks of both strands, with gaps in the reference too."""
    buffer, fields, species, letters_at = [], [], [], []
    end = 0
    for _ in range(n_blocks):
        width = int(rng.integers(1, longest))
        rows = [REFERENCE, *(s for s in range(N_SPECIES) if s != REFERENCE and rng.random() < 0.6)]
        rng.shuffle(rows)
        letters = rng.integers(0, 10, (len(rows), width))
        own = rows.index(REFERENCE)
        letters[own, 0] %= 9
        length = int((letters[own] != 9).sum())
        contig = int(rng.integers(2))
        start = int(rng.integers(0, CONTIG_LENGTHS[contig] - length + 1))
        fields.append((contig, start, length, int(rng.integers(2)), width, end + own * width,
                       len(species)))  # fmt: skip
        species += rows
        letters_at += [end + index * width for index in range(len(rows))]
        buffer.append(LETTERS[letters].ravel())
        end += letters.size
    contig, start, length, reverse, width, reference_at, first = np.array(fields).T
    return BlockBatch(
        np.concatenate(buffer), contig, start, length, reverse.astype(np.uint8), width,
        reference_at, np.append(first, len(species)), np.array(species), np.array(letters_at),
        np.arange(n_blocks),
    )  # fmt: skip


def slow_projection(batches) -> tuple[dict[int, np.ndarray], int]:
    """Contig -> codes [S, positions], and the number of positions covered again."""
    whole = {
        contig: np.full((N_SPECIES, length), schema.NO_BLOCK, dtype=np.uint8)
        for contig, length in enumerate(CONTIG_LENGTHS)
    }
    n_again = 0
    for batch in batches:
        for block in range(len(batch)):
            rows = range(batch.first_row[block], batch.first_row[block + 1])
            width, at = batch.width[block], batch.reference_at[block]
            columns = [i for i in range(width) if batch.buffer[at + i] != ord("-")]
            table = COMPLEMENTS if batch.is_reverse[block] else CODES
            if batch.is_reverse[block]:
                columns = columns[::-1]
            for offset, column in enumerate(columns):
                target = whole[int(batch.contig[block])]
                position = int(batch.start[block]) + offset
                if target[REFERENCE, position] != schema.NO_BLOCK:
                    n_again += 1
                    continue
                for row in rows:
                    letter = batch.buffer[batch.letters_at[row] + column]
                    target[batch.species[row], position] = table[LETTERS.tolist().index(letter)]
    return whole, n_again


def projected(folder, batches, **options) -> tuple[dict[int, np.ndarray], int]:
    folder.mkdir()
    writer = PieceWriter(folder, 1, ENTRY)
    projector = Projector(writer, N_SPECIES, REFERENCE, **options)
    for batch in batches:
        projector.add(batch)
    projector.finish()
    writer.finish({})
    piece = open_piece(folder, 1, verify=True)
    whole = {
        contig: np.full((N_SPECIES, -(-length // 2048) * 2048), schema.NO_BLOCK, dtype=np.uint8)
        for contig, length in enumerate(CONTIG_LENGTHS)
    }
    n_again = projector.n_overlapping
    for row, entry in enumerate(piece.index):
        chunk = read_chunk(piece, row, 7)
        bases = np.empty((N_SPECIES, schema.CHUNK_LENGTH), dtype=np.uint8)
        decode_values(chunk.blob, bases)
        assert chunk.contig == 7
        assert chunk.digest == chunk_digest(bases)
        np.testing.assert_array_equal(chunk.reference, bases[REFERENCE])
        np.testing.assert_array_equal(chunk.depth, ((bases & 7) < 4).sum(axis=0))
        start = int(entry["chunk"]) * schema.CHUNK_LENGTH
        # A chunk may come in several layers: the first that covers a position counts.
        target = whole[int(entry["contig"])][:, start : start + schema.CHUNK_LENGTH]
        is_free = target[REFERENCE] == schema.NO_BLOCK
        n_again += int((~is_free & (bases[REFERENCE] != schema.NO_BLOCK)).sum())
        target[:, is_free] = bases[:, is_free]
    return {c: whole[c][:, :length] for c, length in enumerate(CONTIG_LENGTHS)}, n_again


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("buffer_bytes", [1, 6 * N_SPECIES * 2048, 1 << 27])
@pytest.mark.parametrize("threads", [0, 2])
def test_projection(tmp_path, seed, buffer_bytes, threads):
    rng = np.random.default_rng(seed)
    # The second batch has blocks longer than the smallest buffer.
    batches = [random_batch(rng, 60, 300), random_batch(rng, 4, 9000), random_batch(rng, 200, 40)]
    pool = ThreadPoolExecutor(threads) if threads else None
    found, n_found_again = projected(
        tmp_path / "p", batches, buffer_bytes=buffer_bytes, executor=pool
    )
    expected, n_again = slow_projection(batches)
    for contig, bases in expected.items():
        np.testing.assert_array_equal(found[contig], bases)
    assert n_found_again == n_again
    if pool:
        pool.shutdown()


def test_a_check_that_fails_in_a_thread_is_raised(tmp_path):
    batch = random_batch(np.random.default_rng(1), 3, 50)

    def check(contig, chunk, bases):
        raise ValueError("no")

    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="no"):
        projected(tmp_path / "p", [batch], executor=pool, check=check)


def test_a_check_may_empty_positions(tmp_path):
    batch = random_batch(np.random.default_rng(1), 30, 500)

    def check(contig, chunk, bases):
        bases[:, 100:200] = schema.NO_BLOCK

    found, _ = projected(tmp_path / "p", [batch], check=check)
    expected, _ = slow_projection([batch])
    for contig, bases in expected.items():
        bases[:, np.isin(np.arange(bases.shape[1]) % 2048, range(100, 200))] = schema.NO_BLOCK
        np.testing.assert_array_equal(found[contig], bases)


def test_a_far_position_costs_nothing(tmp_path):
    batch = random_batch(np.random.default_rng(1), 1, 50)
    far = batch.start + (1 << 39)
    folder = tmp_path / "p"
    folder.mkdir()
    writer = PieceWriter(folder, 1, ENTRY)
    projector = Projector(writer, N_SPECIES, REFERENCE)
    projector.add(BlockBatch(**{**vars(batch), "start": far}))
    projector.finish()
    writer.finish({})
    assert open_piece(folder, 1, verify=True).index["chunk"].tolist() == [int(far[0]) // 2048]
