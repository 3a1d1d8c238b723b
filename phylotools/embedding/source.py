"""Embeddings of the bases of a genome, a group of tiles at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.scoring.layers import Layer, is_equivariant, layer_forward
from phylotools.scoring.tiled_network import TiledNetwork, choose_tile_length

if TYPE_CHECKING:
    from phylotools.model.folder import Model

#: Positions that PhyloGPN-X averages over, and the seed of its fixed matrix.
CONTEXT_WIDTH = 5521
CONTEXT_SEED = 42
_HALF_CONTEXT = CONTEXT_WIDTH // 2
#: Numbers of a group of tiles in flight: bounds the memory, and fills an accelerator's passes.
_GROUP_BYTES = 32 << 20
#: Sums over the context are exact in this fixed point, so that no tiling shows in them: values
#: up to 390,000 fit, in steps of 2e-10.
_FIXED_POINT = float(1 << 32)


@dataclass(frozen=True)
class NetworkOptions:
    """How a network is run, as for `TiledNetwork`.

    Attributes
    ----------
    threads, batch_size : int, optional
    precision : str
    tile_length : int, optional
    """

    threads: int | None = None
    batch_size: int | None = None
    precision: str = "auto"
    tile_length: int | None = None


class EmbeddingSource:
    """Embeddings of single bases, with those of the other strand beside them where asked for.

    Parameters
    ----------
    model : Model
    genome : ReferenceGenome
    layer : Layer
    options : NetworkOptions, optional
    with_reverse : bool
        Give 2 H channels: what the network says of each base when it reads the forward strand,
        and what it says when it reads the reverse strand.
    with_context : bool
        Add to each embedding a fixed random projection of the mean of the 5,521 around it
        (PhyloGPN-X). The mean is over whole contigs, zero beyond their ends.

    Attributes
    ----------
    n_channels : int
        H, or 2 H.
    tile_length : int
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome,
        layer: Layer,
        options: NetworkOptions | None = None,
        *,
        with_reverse: bool = False,
        with_context: bool = False,
    ) -> None:
        options = options or NetworkOptions()
        width = model.spec.channels
        # The other strand costs a second pass only where it cannot be told from the first.
        must_compute_reverse = with_reverse and not is_equivariant(model.spec)
        self._mirrors = with_reverse and not must_compute_reverse
        self.n_channels = 2 * width if with_reverse else width
        self.tile_length = choose_tile_length(model, options.tile_length)
        computed = 2 * width if must_compute_reverse else width
        tile_bytes = self.tile_length * self.n_channels * 4
        self._group_size = max(1, _GROUP_BYTES // tile_bytes)
        halo = 2 * (_HALF_CONTEXT // self.tile_length + 1) if with_context else 0
        self._projection = context_matrix(width).T if with_context else None
        self._genome = genome
        self._network = TiledNetwork(
            model,
            genome,
            layer_forward(layer, with_reverse=must_compute_reverse),
            computed,
            threads=options.threads,
            batch_size=options.batch_size,
            precision=options.precision,
            tile_length=self.tile_length,
            cache_bytes=(self._group_size + halo) * self.tile_length * computed * 4,
        )

    @property
    def n_tiles_computed(self) -> int:
        return self._network.n_tiles_computed

    def tiles(
        self, contig: str, indices: Iterable[int]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield tiles of a contig.

        Parameters
        ----------
        contig : str
        indices : iterable of int
            Rising.

        Yields
        ------
        int
            Index of a tile: it begins at that multiple of `tile_length`.
        float32 array [tile_length, C]
            C is `n_channels`. Shorter where the contig ends.
        """
        remaining = iter(indices)
        while group := list(islice(remaining, self._group_size)):
            if self._projection is None:
                for index, values in self._network.tiles(contig, group):
                    yield index, self._with_mirror(values)
            else:
                for run in _runs(group):
                    yield from self._with_context(contig, run)

    def _with_mirror(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Numbers [L, H] with those of the other strand beside them, where they are mirrored."""
        return np.concatenate([values, values[:, ::-1]], axis=1) if self._mirrors else values

    def _with_context(self, contig: str, run: range) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Neighbouring tiles, each base with the mean around it."""
        assert self._projection is not None
        length, width = self._genome.contigs[contig], len(self._projection)
        begin = run.start * self.tile_length
        end = min(run.stop * self.tile_length, length)
        first, last = max(begin - _HALF_CONTEXT, 0), min(end + _HALF_CONTEXT, length)
        values = self._with_mirror(self._network.values(Region(contig, first, last)))
        sums = np.zeros((len(values) + 1, values.shape[1]), dtype=np.int64)
        # The running sum may wrap around; differences of it are right all the same.
        np.cumsum(np.rint(values * _FIXED_POINT).astype(np.int64), axis=0, out=sums[1:])
        for index in run:
            start = index * self.tile_length
            places = np.arange(start, min(start + self.tile_length, length))
            low = np.maximum(places - _HALF_CONTEXT, 0) - first
            high = np.minimum(places + _HALF_CONTEXT + 1, length) - first
            total = (sums[high] - sums[low]) / _FIXED_POINT
            # Products of one shape, whatever the tile holds: others may round differently.
            means = np.zeros((self.tile_length, values.shape[1]), dtype=np.float32)
            means[: len(places)] = total / CONTEXT_WIDTH
            added = [means[:, k : k + width] @ self._projection
                     for k in range(0, values.shape[1], width)]  # fmt: skip
            own = values[start - first : start - first + len(places)]
            yield index, own + np.concatenate(added, axis=1)[: len(places)]


def context_matrix(channels: int) -> NDArray[np.float32]:
    """The fixed matrix W of PhyloGPN-X: standard normal, always the same.

    Returns
    -------
    float32 array [H, H]
        The context's mean embedding m adds ``W @ m``.
    """
    generator = torch.Generator().manual_seed(CONTEXT_SEED)
    matrix: NDArray[np.float32] = (
        torch.empty(channels, channels).normal_(generator=generator).numpy()
    )
    return matrix


def _runs(indices: list[int]) -> Iterator[range]:
    """Runs of consecutive indices in a rising list."""
    begin = indices[0]
    for before, after in zip(indices, [*indices[1:], -1], strict=True):
        if after != before + 1:
            yield range(begin, before + 1)
            begin = after
