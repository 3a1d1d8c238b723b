"""Codes, arrays and layout of a column store (docs/store-format.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.io import bases
from phylotools.provenance import sha256_text

FORMAT = "phylotools-column-store"
FORMAT_VERSION = 2

# Codes of a species at a reference position: A, C, G and T are 0, 1, 2 and 3.
#: A base that is not known: N, an ambiguity code, X, ``.`` or ``*``.
N = bases.N
#: The species has a row in the alignment block, with a gap here.
GAP_IN_BLOCK = bases.GAP
#: No block covers the position, or the block has no row of the species.
NO_BLOCK = 6
#: Set beside a base code where the letter was lower case (repeat-masked).
SOFT_MASK = bases.SOFT_MASK
CODE_MASK = bases.CODE_MASK

#: Positions per chunk of `bases`, and per window of the checksums; part of the format. Measured at
#: 53, 447 and 671 species: random windows of 512 positions take 0.15, 0.62 and 2.1 ms of one core.
#: Chunks of 1,024 take 0.13, 0.46 and 1.3 ms, but an index twice as large, and at 53 species
#: reading in order is 14 % slower; 4,096 take 0.25, 1.0 and 3.6 ms and read no faster in order.
CHUNK_LENGTH = 2048
#: Bits per cell of species-major chunks on birds, mammalian exons and mitochondria: 1.19, 0.56 and
#: 1.31 at 400-800 MB/s. Position-major ones at level 9 take 1.41, 0.62 and 0.74 at 43-72 MB/s:
#: better for mitochondria only. Higher levels gain little.
ZSTD_LEVEL = 3
#: Bytes of `bases` in one file, before compression: a whole mammalian alignment stays within some
#: thousand files, and a loader that shuffles whole shards holds a few at once.
SHARD_BYTES = 128 << 20
#: Positions per chunk and per file of the arrays with one value per position.
LINE_CHUNK_LENGTH = 1 << 14
LINE_SHARD_LENGTH = 1 << 25
#: More chunks in one file are refused: their index is read whole.
MOST_CHUNKS_PER_SHARD = 1 << 20

#: Positions of a whole store; keeps coordinates of damaged files within 64-bit arithmetic.
MOST_POSITIONS = 1 << 46

#: Values of the attribute `reference_source`.
FROM_FASTA, FROM_ALIGNMENT = "fasta", "alignment"

#: Names of the arrays.
BASES = "bases"
REFERENCE = "reference"
DEPTH = "depth"
WEIGHT = "weight"
INTERVALS = "intervals"

#: What stands in the folder of a store; `contigs` in one of version 1.
FOLDER = ("zarr.json", BASES, REFERENCE, DEPTH, WEIGHT, INTERVALS, "contigs")


@dataclass(frozen=True)
class ArrayLayout:
    """Shape and chunks of a zarr v3 array whose first axis is cut into chunks and shards.

    Attributes
    ----------
    name : str
    length : int
        Size of the first axis.
    row : tuple of int
        Sizes of the other axes, which no chunk cuts.
    dtype : str
        Name of the data type in zarr and numpy; little-endian.
    fill_value : int or float
    chunk_length, shard_length : int
        Along the first axis; the second is a multiple of the first.
    is_transposed : bool
        Whether chunks are stored with the second axis first.
    """

    name: str
    length: int
    row: tuple[int, ...]
    dtype: str
    fill_value: int | float
    chunk_length: int
    shard_length: int
    is_transposed: bool = False

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk as it is stored."""
        shape = (self.chunk_length, *self.row)
        return shape[::-1] if self.is_transposed else shape

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk before compression."""
        return math.prod(self.chunk_shape) * np.dtype(self.dtype).itemsize

    @property
    def chunks_per_shard(self) -> int:
        """Number of chunks in a file."""
        return self.shard_length // self.chunk_length

    def metadata(self) -> dict[str, Any]:
        """The array's ``zarr.json``."""
        order = [{"name": "transpose", "configuration": {"order": [1, 0]}}]
        is_bytes = np.dtype(self.dtype).itemsize == 1
        endian = {} if is_bytes else {"configuration": {"endian": "little"}}
        zstd = {"level": ZSTD_LEVEL, "checksum": True}
        sharding = {
            "chunk_shape": [self.chunk_length, *self.row],
            "codecs": [
                *(order if self.is_transposed else []),
                {"name": "bytes", **endian},
                {"name": "zstd", "configuration": zstd},
            ],
            "index_codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "crc32c"},
            ],
            "index_location": "end",
        }
        shard = {"chunk_shape": [self.shard_length, *self.row]}
        return {
            "shape": [self.length, *self.row],
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": shard},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},
            "fill_value": self.fill_value,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "zarr_format": 3,
            "node_type": "array",
            "storage_transformers": [],
        }

    def shard_file(self, shard: int) -> str:
        """Path of a shard below the store's folder."""
        return f"{self.name}/c.{shard}" + ".0" * len(self.row)


def bases_layout(length: int, n_species: int) -> ArrayLayout:
    """Layout of `bases`.

    Parameters
    ----------
    length : int
        Positions of all contigs, a multiple of `CHUNK_LENGTH`.
    n_species : int
    """
    # The nearest power of two on a logarithmic scale; not more than the array is long.
    nearest = 1 << max(0, round(math.log2(SHARD_BYTES / n_species)))
    shard = _at_least_a_chunk(min(nearest, _power_above(length)), CHUNK_LENGTH)
    return ArrayLayout(
        BASES, length, (n_species,), "uint8", NO_BLOCK, CHUNK_LENGTH, shard, is_transposed=True
    )


def line_layout(name: str, length: int) -> ArrayLayout:
    """Layout of an array with one value per position: `reference`, `depth` or `weight`."""
    dtype, fill = {REFERENCE: ("uint8", N), DEPTH: ("uint16", 0), WEIGHT: ("float32", 1.0)}[name]
    return _lines(name, length, (), dtype, fill)


def intervals_layout(n_intervals: int) -> ArrayLayout:
    """Layout of `intervals`; -1 where their number is not known."""
    return _lines(INTERVALS, n_intervals, (2,), "int64", 0)


def _lines(name: str, length: int, row: tuple[int, ...], dtype: str, fill: float) -> ArrayLayout:
    shard = min(LINE_SHARD_LENGTH, _power_above(length))
    shard = _at_least_a_chunk(shard, LINE_CHUNK_LENGTH)
    return ArrayLayout(name, length, row, dtype, fill, LINE_CHUNK_LENGTH, shard)


def _power_above(length: int) -> int:
    return 1 << max(0, length - 1).bit_length()


def _at_least_a_chunk(shard_length: int, chunk_length: int) -> int:
    most = chunk_length * MOST_CHUNKS_PER_SHARD
    return min(max(shard_length, chunk_length), most)


def contig_offsets(lengths: Iterable[int]) -> tuple[list[int], int]:
    """Where each contig begins in the arrays, and the length of the arrays.

    Parameters
    ----------
    lengths : iterable of int

    Returns
    -------
    list of int, int
        Each contig begins at the first multiple of `CHUNK_LENGTH` after the one before it.
    """
    offsets, end = [], 0
    for length in lengths:
        offsets.append(end)
        end += -(-length // CHUNK_LENGTH) * CHUNK_LENGTH
    return offsets, end


def attributes_checksum(attributes: dict[str, Any]) -> str:
    """SHA-256 of what the attributes say of the columns, as JSON with sorted keys."""
    made = ("checksum", "inputs", "run")
    return sha256_text(
        json.dumps({k: v for k, v in attributes.items() if k not in made}, sort_keys=True)
    )


def species_depth(bases: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Number of species with A, C, G or T at each position.

    Parameters
    ----------
    bases : uint8 array [L, S]

    Returns
    -------
    uint16 array [L]
    """
    return ((bases & CODE_MASK) < N).sum(axis=1, dtype=np.uint16)
