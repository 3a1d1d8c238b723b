"""The one place where windows of sequence go through a network.

Each contig is cut into a fixed grid of tiles, and every tile is computed in a pass of one shape.
So a site's numbers depend on the sequence around it and on the model, and on nothing else: not on
the other sites asked for, their order, or how many were asked for at once.
"""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

if TYPE_CHECKING:
    from phylotools.model.registry import Model

logger = logging.getLogger("phylotools")

#: Network token of a position outside the contig.
PAD_TOKEN = 5
#: Drops the soft-mask bit: the network sees upper case only.
_CODE_MASK = 7
#: Measured with one CPU thread: from 512 positions on a dense position costs no less (receptive
#: fields 73, 97, 241: 5, 24, 170 us; at 128 positions 2 to 7 times that), and a lone variant pays
#: for a whole tile. It is also the length at which the authors of PhyloGPN score windows, which
#: matters for their first networks, whose norm runs over positions.
TILE_LENGTH = 512
#: Bound on the numbers kept for later calls.
CACHE_BYTES = 64 << 20
#: Tiles in one pass on an accelerator. A CPU takes one at a time, see `Scorer`.
DEFAULT_BATCH_SIZE = 16

_Tile = tuple[str, int]


class Scorer:
    """Theta of sites of a reference genome.

    On a CPU tiles go through the network one by one: a pass over several is no faster and its
    matrix products may round differently, so that a score would depend on its neighbours. On an
    accelerator every pass has `batch_size` tiles, the last one filled up with copies.

    Parameters
    ----------
    model : Model
    genome : ReferenceGenome
    threads : int, optional
        CPU threads; by default one or all cores, whichever a trial on the first tiles finds
        faster (small networks lose by threads).
    batch_size : int, optional
        Tiles in one pass on an accelerator.
    tile_length : int
        Positions of a tile. Scores of different tile lengths agree to rounding.
    cache_bytes : int
        Bound on the memory for tiles kept.
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome,
        *,
        threads: int | None = None,
        batch_size: int | None = None,
        tile_length: int = TILE_LENGTH,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.model = model
        self.genome = genome
        self.tile_length = tile_length
        self.half_window = (model.receptive_field - 1) // 2
        self._device = torch.device(model.device)
        self._batch_size = (batch_size or DEFAULT_BATCH_SIZE) if self._device.type != "cpu" else 1
        self._cache: OrderedDict[_Tile, NDArray[np.float32]] = OrderedDict()
        self._cache_size = max(1, cache_bytes // (tile_length * 4 * 4))
        self._must_choose_threads = threads is None and self._device.type == "cpu"
        self.n_tiles_computed = 0
        if threads is not None:
            torch.set_num_threads(threads)

    def theta(self, region: Region) -> NDArray[np.float32]:
        """Theta of every position of a region.

        Parameters
        ----------
        region : Region
            Within its contig.

        Returns
        -------
        float32 array [L, 4]
            In the order A, C, G, T; `Model.substitution` says what the numbers mean.

        Raises
        ------
        InputError
            If the region leaves its contig, or the network gives numbers that are not finite.
        """
        return self.theta_at(region.contig, np.arange(region.start, region.end))

    def theta_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Theta of single positions, 0-based, in any order.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]

        Returns
        -------
        float32 array [K, 4]

        Raises
        ------
        InputError
            As for `theta`.
        """
        length = self.genome.contigs.get(contig, 0)
        if len(positions) and not 0 <= positions.min() <= positions.max() < length:
            raise InputError(
                f"asked for positions outside contig {contig!r} (length {length})",
                path=self.genome.path,
            )
        theta = np.empty((len(positions), 4), dtype=np.float32)
        tile_of_position = positions // self.tile_length
        order = np.argsort(tile_of_position, kind="stable")
        indices, starts = np.unique(tile_of_position[order], return_index=True)
        members = dict(zip(indices.tolist(), np.split(order, starts[1:]), strict=True))
        for (_, index), values in self._tiles((contig, index) for index in members):
            chosen = members[index]
            theta[chosen] = values[positions[chosen] - index * self.tile_length]
        return theta

    def _tiles(self, tiles: Iterable[_Tile]) -> Iterator[tuple[_Tile, NDArray[np.float32]]]:
        """Yield theta of distinct tiles, from the cache or computed together."""
        missing: list[_Tile] = []
        for tile in tiles:
            values = self._cache.get(tile)
            if values is None:
                missing.append(tile)
            else:
                self._cache.move_to_end(tile)
                yield tile, values
        if self._must_choose_threads and len(missing) > 4:
            self._choose_threads(missing[0])
        for start in range(0, len(missing), self._batch_size):
            batch = missing[start : start + self._batch_size]
            for tile, values in zip(batch, self._compute(batch), strict=True):
                self._cache[tile] = values
                if len(self._cache) > self._cache_size:
                    self._cache.popitem(last=False)
                yield tile, values

    def _tokens(self, tile: _Tile) -> NDArray[np.int64]:
        """Tokens of a tile and the half windows beside it, padded outside the contig."""
        contig, index = tile
        begin = index * self.tile_length - self.half_window
        end = (index + 1) * self.tile_length + self.half_window
        inside = Region(contig, max(begin, 0), min(end, self.genome.contigs[contig]))
        tokens = np.full(end - begin, PAD_TOKEN, dtype=np.int64)
        codes = self.genome.fetch(inside) & _CODE_MASK
        tokens[inside.start - begin : inside.end - begin] = codes
        return tokens

    def _compute(self, tiles: list[_Tile]) -> NDArray[np.float32]:
        """float32 [len(tiles), tile_length, 4], by one pass of the network."""
        filled = tiles + tiles[-1:] * (self._batch_size - len(tiles))
        tokens = torch.from_numpy(np.stack([self._tokens(tile) for tile in filled]))
        with torch.inference_mode():
            theta = self.model.site_model(tokens.to(self._device)).float().cpu().numpy()
        self.n_tiles_computed += len(tiles)
        theta = theta[: len(tiles)]
        if theta.shape[1:] != (self.tile_length, 4):
            raise InputError(
                f"the network of model {self.model.name} gave {theta.shape[1]} positions for "
                f"{self.tile_length}: its receptive field is not {self.model.receptive_field}",
                remedy="correct receptive_field in its manifest, or export it anew",
            )
        if not np.isfinite(theta).all():
            raise InputError(
                f"model {self.model.name} gives numbers that are not finite near "
                f"{tiles[0][0]}:{tiles[0][1] * self.tile_length + 1}",
                remedy="its weights are damaged: run `phylotools model verify`",
            )
        return theta

    def _choose_threads(self, tile: _Tile) -> None:
        """Keep one thread or all cores, whichever does a tile sooner."""
        self._must_choose_threads = False
        n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
        seconds = {}
        for n_threads in sorted({1, n_cores}):
            torch.set_num_threads(n_threads)
            self._compute([tile])
            start = time.perf_counter()
            self._compute([tile])
            seconds[n_threads] = time.perf_counter() - start
        best = min(seconds, key=lambda n_threads: seconds[n_threads])
        torch.set_num_threads(best)
        logger.debug("network threads: %d (seconds a tile: %s)", best, seconds)
