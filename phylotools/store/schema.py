"""What a column store holds, and how. The written page is docs/store-format.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "phylotools-column-store"
FORMAT_VERSION = 1

#: Codes of a species at a reference position.
A, C, G, T = 0, 1, 2, 3
#: A base that is not known: N, an ambiguity code, or any other letter.
N = 4
#: The species has a row in the alignment block, with a gap here.
GAP_IN_BLOCK = 5
#: No block covers the position, or the block has no row of the species.
NO_BLOCK = 6
#: Set beside a base code where the letter was lower case (repeat-masked).
SOFT_MASK = 8
CODE_MASK = 7

#: Positions per chunk of `bases`. Measured on 671 mammals (11 kb) and 53 birds (90 kb), reading
#: random windows of 512 positions: 1,024 to 2,048 read fastest (1.8-2.3 and 1.4-1.7 ms), 8,192
#: twice as slow for 671 species; size changes by less than 2 %. The larger makes fewer files.
CHUNK_LENGTH = 2048
#: Bits per cell on the same two sets: zstd level 3 0.86 and 1.61, level 9 0.74 and 1.41; blosc
#: bit shuffle 0.60 and 1.68; species-major bit shuffle 1.10 and 1.13. None wins both; plain zstd
#: is near the best in each, is a core zarr v3 codec, and level 9 reads no slower than 3.
ZSTD_LEVEL = 9
#: Positions per chunk of the one-number-per-position arrays.
LINE_CHUNK_LENGTH = 1 << 16

#: Positions per window of the checksums.
WINDOW = 1 << 16
#: Values of the attribute `reference_source`.
FROM_FASTA, FROM_ALIGNMENT = "fasta", "alignment"

#: What stands in the folder of a store.
FOLDER = ("zarr.json", "contigs")

#: Names of the arrays of each contig.
BASES = "bases"
REFERENCE = "reference"
DEPTH = "depth"
INTERVALS = "intervals"


def contig_group(index: int) -> str:
    """Path of a contig's group inside the store; its name is in the root attributes only."""
    return f"contigs/{index}"


def array_specifications(
    length: int, n_species: int, n_intervals: int
) -> dict[str, dict[str, Any]]:
    """Shape, dtype, chunks and fill value of each array of a contig.

    Parameters
    ----------
    length : int
        Contig length L in bases.
    n_species : int
        Number of species S (tree tips).
    n_intervals : int
        Number K of covered intervals.

    Returns
    -------
    dict of str to dict
        Array name -> keyword arguments of ``zarr.Group.create_array``.
    """
    lines = min(length, LINE_CHUNK_LENGTH)
    return {
        BASES: {
            "shape": (length, n_species),
            "dtype": "uint8",
            "chunks": (min(length, CHUNK_LENGTH), n_species),
            "fill_value": NO_BLOCK,
        },
        REFERENCE: {"shape": (length,), "dtype": "uint8", "chunks": (lines,), "fill_value": N},
        DEPTH: {"shape": (length,), "dtype": "uint16", "chunks": (lines,), "fill_value": 0},
        INTERVALS: {
            "shape": (n_intervals, 2),
            "dtype": "int64",
            "chunks": (max(1, min(n_intervals, LINE_CHUNK_LENGTH)), 2),
            "fill_value": 0,
        },
    }


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
