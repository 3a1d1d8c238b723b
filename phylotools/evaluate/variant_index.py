"""Variants by place and alleles: a table that grows, of 25 bytes for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phylotools.evaluate.join_kernels import add, find, refill

#: Bits of a place that are its position; the contig lies above them.
_POSITION_BITS = 41


class KeyTable:
    """Numbers of pairs (place, key), in the order in which they were first seen."""

    def __init__(self) -> None:
        self._n = 0
        self._places = np.empty(1024, dtype=np.int64)
        self._keys = np.empty(1024, dtype=np.uint64)
        self._slots = np.full(2048, -1, dtype=np.int32)

    def __len__(self) -> int:
        return self._n

    @property
    def places(self) -> NDArray[np.int64]:
        """Of every entry."""
        return self._places[: self._n]

    @property
    def keys(self) -> NDArray[np.uint64]:
        """Of every entry."""
        return self._keys[: self._n]

    def add(self, places: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The number of each entry; those that are new get the next ones.

        Parameters
        ----------
        places : int64 array [N]
            Not negative.
        keys : uint64 array [N]
        """
        self._grow(self._n + len(places))
        found = np.empty(len(places), dtype=np.int64)
        self._n = add(self._slots, self._places, self._keys, self._n, places, keys, found)
        return found

    def find(self, places: NDArray[np.int64], keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The number of each entry; -1 for what is not there and negative places."""
        found = np.empty(len(places), dtype=np.int64)
        find(self._slots, self._places, self._keys, places, keys, found)
        return found

    def _grow(self, n: int) -> None:
        size = len(self._places)
        if n <= size:
            return
        while size < n:
            size *= 2
        self._places = np.resize(self._places, size)
        self._keys = np.resize(self._keys, size)
        self._slots = np.full(2 * size, -1, dtype=np.int32)
        refill(self._slots, self._places, self._keys, self._n)


def places_of(contigs: NDArray[np.int64], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """One number for contig and position, in their order; -1 where the contig is -1.

    Parameters
    ----------
    contigs : int64 array [N]
    positions : int64 array [N]
        0-based; -1 before the first base, as telomeres have in a VCF.
    """
    return np.where(contigs < 0, -1, (contigs << _POSITION_BITS) + positions + 1)


def parted(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Contigs and positions of places."""
    return places >> _POSITION_BITS, (places & ((1 << _POSITION_BITS) - 1)) - 1
