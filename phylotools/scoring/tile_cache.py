"""Tiles of a genome that were computed: the latest in memory, older ones on disk if it pays.

Sorted input never comes back to a tile. Input in random order does so all the time, and would have
every window computed again and again; then tiles that memory has no room for go to a temporary
file, which has no name and is gone with the process.

Parts of a tile that were computed alone are not kept, but what they cost is: once they would have
cost as much as the tile, it is worth computing whole.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections import OrderedDict
from collections.abc import Iterable
from typing import IO

import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger("phylotools")

Tile = tuple[str, int]
#: Tiles computed again before the disk is used: what a slightly disordered file does.
_TOLERATED = 32
_NEVER, _DROPPED = -1, -2


class TileCache:
    """Keeps numbers of tiles; for one thread at a time.

    Parameters
    ----------
    n_in_memory : int
    shape : tuple of int
        Of the float32 numbers of a tile.
    disk_bytes : int
        Bound on the temporary file; 0 for none.

    Attributes
    ----------
    n_dropped_again : int
        Tiles asked for after they had been dropped.
    """

    def __init__(self, n_in_memory: int, shape: tuple[int, ...], disk_bytes: int = 0) -> None:
        self._n_in_memory = n_in_memory
        self._shape = shape
        self._tile_bytes = int(np.prod(shape)) * 4
        self._n_slots = disk_bytes // self._tile_bytes
        self._memory: OrderedDict[Tile, NDArray[np.float32]] = OrderedDict()
        #: Its slot on disk, `_NEVER` seen or `_DROPPED`.
        self._places = _ByTile(_NEVER)
        self._paid = _ByTile(0)
        self._file: IO[bytes] | None = None
        #: By slot: number of the contig, tile.
        self._owners: NDArray[np.int32] = np.empty((0, 2), dtype=np.int32)
        self._contigs: list[str] = []
        self._number_of: dict[str, int] = {}
        self._next_slot = 0
        self.n_dropped_again = 0

    def __len__(self) -> int:
        """Tiles in memory."""
        return len(self._memory)

    def get(self, tile: Tile) -> NDArray[np.float32] | None:
        """The numbers of a tile; None where they must be computed."""
        values = self._memory.get(tile)
        if values is not None:
            self._memory.move_to_end(tile)
            return values
        place = self._places[tile]
        if place == _DROPPED:
            self.n_dropped_again += 1
            if self.n_dropped_again == _TOLERATED and self._n_slots:
                self._open()
        if place < 0 or self._file is None:
            return None
        data = os.pread(self._file.fileno(), self._tile_bytes, place * self._tile_bytes)
        if len(data) < self._tile_bytes:
            return None
        found = np.frombuffer(data, dtype=np.float32).reshape(self._shape)
        self.put(tile, found)
        return found

    def put(self, tile: Tile, values: NDArray[np.float32]) -> None:
        """Keep the numbers of a tile."""
        self._memory[tile] = values
        if self._paid[tile]:
            self._paid[tile] = 0
        if len(self._memory) > self._n_in_memory:
            self._drop(*self._memory.popitem(last=False))

    def is_worth_keeping(self, tile: Tile, cost_of_parts: int, cost: int) -> bool:
        """Whether a tile is to be computed whole, and not parts of it: which, it is taken, is done.

        That is so once its parts, now and since it was last computed whole, would have cost as
        much. So no order of records makes them cost more than twice what the tiles would.

        Parameters
        ----------
        tile : Tile
            One that `get` has not.
        cost_of_parts, cost : int
            Of the parts that are asked for now, and of the tile.
        """
        paid = self._paid[tile] + cost_of_parts
        if paid >= cost:
            return True
        self._paid[tile] = paid
        return False

    def _drop(self, tile: Tile, values: NDArray[np.float32]) -> None:
        """Write a tile that leaves the memory to disk, or note that it was there."""
        if self._places[tile] >= 0:
            return
        slot = _DROPPED
        if self._file is not None:
            slot = self._next_slot
            try:
                os.pwrite(self._file.fileno(), values.tobytes(), slot * self._tile_bytes)
            except OSError as error:
                logger.info("tiles are not kept on disk: %s", error.strerror)
                self._close()
                slot = _DROPPED
            else:
                self._next_slot = (slot + 1) % self._n_slots
                self._own(slot, tile)
        self._places[tile] = slot

    def _own(self, slot: int, tile: Tile) -> None:
        """Note whose slot it is; the tile that had it before is dropped."""
        if self._owners[slot, 0] >= 0:
            contig, index = self._owners[slot].tolist()
            self._places[self._contigs[contig], index] = _DROPPED
        number = self._number_of.setdefault(tile[0], len(self._contigs))
        if number == len(self._contigs):
            self._contigs.append(tile[0])
        self._owners[slot] = number, tile[1]

    def _open(self) -> None:
        logger.info("records come in no order: tiles are kept in a temporary file")
        try:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        except OSError as error:
            logger.info("tiles are not kept on disk: %s", error.strerror)
            return
        self._owners = np.full((self._n_slots, 2), -1, dtype=np.int32)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        for places in self._places.arrays():
            places[places >= 0] = _DROPPED


class _ByTile:
    """A number for each tile of a genome; `missing` unless set."""

    def __init__(self, missing: int) -> None:
        self._missing = missing
        self._numbers: dict[str, NDArray[np.int32]] = {}

    def __getitem__(self, tile: Tile) -> int:
        numbers = self._numbers.get(tile[0])
        if numbers is None or tile[1] >= len(numbers):
            return self._missing
        return int(numbers[tile[1]])

    def __setitem__(self, tile: Tile, number: int) -> None:
        contig, index = tile
        numbers = self._numbers.get(contig)
        if numbers is None or index >= len(numbers):
            # A contig may be one of a hundred thousand transcripts, of a few tiles each.
            longer = np.full(max(8, 2 * index), self._missing, dtype=np.int32)
            if numbers is not None:
                longer[: len(numbers)] = numbers
            self._numbers[contig] = numbers = longer
        numbers[index] = number

    def arrays(self) -> Iterable[NDArray[np.int32]]:
        """The numbers of each contig, to be written to."""
        return self._numbers.values()
