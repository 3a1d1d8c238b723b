"""The one place where windows of sequence go through a network.

Each contig is cut into a fixed grid of tiles, and every tile is computed in a pass of one shape.
So a site's numbers depend on the sequence around it and on the model, and on nothing else: not on
the other sites asked for, their order, or how many were asked for at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.bases import BASES
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.io.spliced import SplicedGenome, transcript_contig
from phylotools.model.presets import LARGEST_THETA, PAD_TOKEN
from phylotools.scoring.reference import reference_tokens
from phylotools.scoring.tile_cache import Tile, TileCache

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from phylotools.model.registry import Model
    from phylotools.scoring.passes import Forward, NetworkPasses

#: Measured with one CPU thread: from 512 positions on a dense position costs no less (receptive
#: fields 73, 97, 241: 5, 24, 170 us; at 128 positions 2 to 7 times that), and a lone variant pays
#: for a whole tile. It is also the length at which the authors of PhyloGPN score windows, which
#: matters for their first networks, whose norm runs over positions.
TILE_LENGTH = 512
#: Tiles that pay for a trial of threads.
_WORTH_A_TRIAL = 5
#: Bound on the numbers kept for later calls.
CACHE_BYTES = 64 << 20
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def choose_tile_length(model: Model, wanted: int | None = None) -> int:
    """Positions of the tiles that a model is computed in.

    Parameters
    ----------
    model : Model
    wanted : int, optional
        By default what is fastest.

    Raises
    ------
    UsageError
        If the model's numbers depend on its tiles, and others are wanted.
    """
    if model.tile_length is None:
        return wanted or TILE_LENGTH
    if wanted not in (None, model.tile_length):
        raise UsageError(
            f"what model {model.name} says depends on its tiles, which have {model.tile_length} "
            f"positions, not {wanted}"
        )
    return model.tile_length


class TiledNetwork:
    """What a network says of the positions of a reference genome, C channels each.

    Every tile goes through the network in a pass of one shape, see `NetworkPasses`; torch is
    imported for the first. Calls from several threads take turns. A forked child computes with one
    thread.

    Parameters
    ----------
    model : Model
    genome : ReferenceGenome, optional
        Needed for positions of a genome, not for sequences given to `values_of`.
    forward : callable
        What is asked of the network, see `Forward`: takes `model.site_model`, tokens, int64
        (B, T), and which positions are wanted; gives floats (B, T - receptive_field + 1, C).
    n_channels : int
        C.
    threads : int, optional
        CPU threads; by default one or all cores, whichever a trial on the first tiles finds
        faster (small networks lose by threads).
    batch_size : int, optional
        Tiles in one pass on an accelerator; by default see `automatic_batch_size`.
    precision : {'float32', 'tf32', 'bfloat16', 'float16', 'auto'}
        Arithmetic of the matrix products, see `resolve_precision`.
    tile_length : int, optional
        Positions of a tile. Numbers of different tile lengths agree to rounding, but for networks
        whose norm runs over positions: their tiles have the length that the model says.
    cache_bytes : int
        Bound on the memory for tiles kept; at least one is.
    disk_bytes : int
        Bound on a temporary file for further ones, made where tiles are asked for again and again.
    largest_value : float
        Numbers beyond it, of either sign, are refused.

    Attributes
    ----------
    precision : str
        As resolved.
    receptive_field, half_window : int
        Positions that a site's numbers depend on, in all and on either side.
    n_tiles_computed : int

    Raises
    ------
    UsageError
        If the device cannot compute in the precision, or the model not in these tiles.
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome | None,
        forward: Forward,
        n_channels: int,
        *,
        threads: int | None = None,
        batch_size: int | None = None,
        precision: str = "auto",
        tile_length: int | None = None,
        cache_bytes: int = CACHE_BYTES,
        disk_bytes: int = 0,
        largest_value: float = _LARGEST_FLOAT,
    ) -> None:
        self.model = model
        self.n_channels = n_channels
        self.tile_length = choose_tile_length(model, tile_length)
        self.receptive_field = model.receptive_field
        self.half_window = (model.receptive_field - 1) // 2
        self.precision = self._resolved(precision)
        self.n_tiles_computed = 0
        self._genome = genome
        self._forward = forward
        self._largest_value = largest_value
        self._options = (threads, batch_size)
        shape = (self.tile_length, n_channels)
        n_kept = max(1, cache_bytes // (self.tile_length * n_channels * 4))
        self._cache = TileCache(n_kept, shape, disk_bytes)
        self._lock = threading.RLock()

    @cached_property
    def device(self) -> torch.device:
        """Where the network runs."""
        import torch

        return torch.device(self.model.device)

    def _resolved(self, precision: str) -> str:
        if precision in ("auto", "float32"):
            return "float32"
        from phylotools.model.device import resolve_precision

        return resolve_precision(precision, self.device)

    @cached_property
    def _passes(self) -> NetworkPasses:
        from phylotools.scoring.passes import NetworkPasses

        threads, batch_size = self._options
        return NetworkPasses(
            self.model,
            self._forward,
            self.n_channels,
            largest_value=self._largest_value,
            threads=threads,
            batch_size=batch_size,
            precision=self.precision,
        )

    @property
    def genome(self) -> ReferenceGenome:
        """The reference genome.

        Raises
        ------
        UsageError
            If none was given.
        """
        if self._genome is None:
            raise UsageError("positions of a genome were asked for, but no reference was given")
        return self._genome

    def values(self, region: Region) -> NDArray[np.float32]:
        """Numbers of every position of a region.

        Parameters
        ----------
        region : Region
            Within its contig.

        Returns
        -------
        float32 array [L, C]

        Raises
        ------
        InputError
            If the region leaves its contig, or the network gives numbers that are not finite.
        """
        if region.start == region.end:
            return np.empty((0, self.n_channels), dtype=np.float32)
        self._require_inside(region.contig, region.start, region.end - 1)
        values = np.empty((region.end - region.start, self.n_channels), dtype=np.float32)
        indices = range(region.start // self.tile_length, (region.end - 1) // self.tile_length + 1)
        with self._lock:
            for (_, index), found in self._tiles([(region.contig, k) for k in indices]):
                begin = index * self.tile_length
                first, last = max(begin, region.start), min(begin + self.tile_length, region.end)
                values[first - region.start : last - region.start] = found[
                    first - begin : last - begin
                ]
        return values

    def tiles(self, contig: str, indices: Sequence[int]) -> list[tuple[int, NDArray[np.float32]]]:
        """Numbers of whole tiles, computed together.

        Parameters
        ----------
        contig : str
        indices : sequence of int
            Distinct; tile k begins at ``k * tile_length``.

        Returns
        -------
        list of (int, float32 array [tile_length, C])
            Index and numbers, in the given order; shorter where the contig ends, and not to be
            written to.

        Raises
        ------
        InputError
            As for `values`.
        """
        if not len(indices):
            return []
        first, last = min(indices) * self.tile_length, max(indices) * self.tile_length
        self._require_inside(contig, first, last)
        length = self.genome.contigs[contig]
        with self._lock:
            return [
                (index, values[: length - index * self.tile_length])
                for (_, index), values in self._tiles([(contig, k) for k in indices])
            ]

    def values_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Numbers of single positions, 0-based, in any order.

        Parameters
        ----------
        contig : str
        positions : int64 array [K]

        Returns
        -------
        float32 array [K, C]

        Raises
        ------
        InputError
            As for `values`.
        """
        return self.values_at_places((contig,), np.zeros(len(positions), np.int64), positions)

    def values_at_places(
        self, names: Sequence[str], contigs: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Numbers of positions of several contigs, whose tiles share passes.

        Parameters
        ----------
        names : sequence of str
        contigs : int64 array [K]
            Contig of each position, an index into `names`.
        positions : int64 array [K]
            0-based, in any order.

        Returns
        -------
        float32 array [K, C]

        Raises
        ------
        InputError
            As for `values`.
        """
        values = np.empty((len(positions), self.n_channels), dtype=np.float32)
        if not len(positions):
            return values
        tile_of_position = positions // self.tile_length
        order = np.lexsort((tile_of_position, contigs))
        tiles = np.stack([contigs[order], tile_of_position[order]])
        starts = np.flatnonzero(np.append(True, (np.diff(tiles) != 0).any(axis=0)))
        chosen = np.split(order, starts[1:])
        members: dict[Tile, NDArray[np.int64]] = {}
        for number, index, rows in zip(*tiles[:, starts].tolist(), chosen, strict=True):
            inside = positions[rows]
            self._require_inside(names[number], int(inside.min()), int(inside.max()))
            members[names[number], index] = rows
        with self._lock:
            for tile, found in self._tiles(list(members)):
                rows, index = members[tile], tile[1]
                values[rows] = found[positions[rows] - index * self.tile_length]
        return values

    def values_of(self, tokens: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Numbers of the positions of given sequences whose context the sequences hold.

        A row's numbers depend on that row and on T: on a CPU rows go through the network one by
        one, on an accelerator in passes whose number of rows T decides, filled up with copies.

        Parameters
        ----------
        tokens : uint8 array [B, T]
            0 to 3 for A, C, G, T, 4 for any other letter, `PAD_TOKEN` outside the sequence.

        Returns
        -------
        float32 array [B, T - receptive_field + 1, C]

        Raises
        ------
        UsageError
            If the sequences are shorter than the receptive field, or hold other tokens.
        InputError
            If the network gives numbers that are not finite.
        """
        n_rows, length = tokens.shape
        n_positions = length - self.receptive_field + 1
        if n_positions < 1:
            raise UsageError(
                f"a sequence of {length} positions is shorter than the receptive field of model "
                f"{self.model.name}, {self.receptive_field}"
            )
        values = np.empty((n_rows, n_positions, self.n_channels), dtype=np.float32)
        if n_rows and tokens.max() > PAD_TOKEN:
            raise UsageError(f"a token is {tokens.max()}; the largest is {PAD_TOKEN}")
        with self._lock:
            if n_rows:
                self._passes.choose_threads(tokens[:1])
            n_together = self._n_sequences_together(tokens) if n_rows else 1
            for start in range(0, n_rows, n_together):
                rows = tokens[start : start + n_together]
                values[start : start + n_together] = self._passes.run(rows, n_together)
        return values

    def _n_sequences_together(self, tokens: NDArray[np.uint8]) -> int:
        """Rows of a pass over sequences: as many positions as a pass over tiles has."""
        if self.device.type == "cpu":
            return 1
        length = self.tile_length + self.receptive_field - 1
        n_tiles = self._passes.batch_size(lambda: np.resize(tokens[:1], (1, length)))
        return max(1, n_tiles * length // tokens.shape[1])

    def _require_inside(self, contig: str, first: int, last: int) -> None:
        length = self.genome.contigs.get(contig, 0)
        if not 0 <= first <= last < length:
            raise InputError(
                f"asked for positions outside contig {contig!r} (length {length})",
                path=self.genome.path,
            )

    def _tiles(self, tiles: Sequence[Tile]) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        """Yield the numbers of distinct tiles in order, from the cache or computed together."""
        kept = {tile: self._cache.get(tile) for tile in tiles}
        computed = self._computed([tile for tile, values in kept.items() if values is None])
        for tile, values in kept.items():
            yield tile, next(computed) if values is None else values

    def _computed(self, missing: list[Tile]) -> Iterator[NDArray[np.float32]]:
        """Yield the numbers of tiles in order, and keep them."""
        if not missing:
            return
        if len(missing) >= _WORTH_A_TRIAL:
            self._passes.choose_threads(self._tokens(missing[0])[None])
        n_together = self._passes.batch_size(lambda: self._tokens(missing[0])[None])
        for start in range(0, len(missing), n_together):
            batch = missing[start : start + n_together]
            tokens = np.stack([self._tokens(tile) for tile in batch])
            place = f"{batch[0][0]}:{batch[0][1] * self.tile_length + 1}"
            computed = self._passes.run(tokens, n_together, f" near {place}")
            self.n_tiles_computed += len(batch)
            for tile, row, values in zip(batch, tokens, computed, strict=True):
                values = self._corrected(tile, row, values)
                self._cache.put(tile, values)
                yield values

    def _corrected(
        self, tile: Tile, tokens: NDArray[np.uint8], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What is kept of a tile, of its tokens and what the network says."""
        return values

    def _tokens(self, tile: Tile) -> NDArray[np.uint8]:
        """Tokens of a tile and the half windows beside it, padded outside the contig."""
        contig, index = tile
        begin = index * self.tile_length - self.half_window
        return self.tokens(contig, begin, begin + self.tile_length + 2 * self.half_window)

    def tokens(self, contig: str, begin: int, end: int) -> NDArray[np.uint8]:
        """Tokens of reference positions; those outside the contig are `PAD_TOKEN`.

        Returns
        -------
        uint8 array [end - begin]
        """
        return reference_tokens(self.genome, contig, begin, end)


class Scorer(TiledNetwork):
    """Theta of sites of a reference genome, or of given sequences.

    At positions of a genome it is the model's site fits' where there are such, unless the model is
    taken `Model.from_sequence_alone`. Given sequences have no position: theirs is the network's.

    Parameters
    ----------
    model, genome
        As for `TiledNetwork`.
    **options
        Its threads, batch_size, precision, tile_length, cache_bytes and disk_bytes.
    """

    def __init__(
        self,
        model: Model,
        genome: ReferenceGenome | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, genome, _theta, 4, largest_value=LARGEST_THETA, **options)

    def _corrected(
        self, tile: Tile, tokens: NDArray[np.uint8], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Theta fitted to the model's training columns, where a position was one of them."""
        fits = self.model.site_fits
        if fits is None:
            return values
        own = tokens[self.half_window : self.half_window + self.tile_length]
        begin, corrected = tile[1] * self.tile_length, values.copy()
        if tile[0] in self._fitted_contigs:
            fits.put(self._fitted_contigs[tile[0]], begin, own, corrected)
        elif isinstance(self.genome, SplicedGenome):
            for part in self.genome.parts(tile[0], begin, begin + len(own)):
                here = slice(part.begin - begin, part.end - begin)
                bases, theta = own[here], corrected[here]
                if part.is_reverse:
                    # The genome's strand, read and written through a view.
                    bases = np.where(bases < len(BASES), len(BASES) - 1 - bases, bases)[::-1]
                    theta = theta[::-1, ::-1]
                contig = self._fitted_contigs.get(part.region.contig)
                if contig is not None:
                    fits.put(contig, part.region.start, bases, theta)
        return corrected

    @cached_property
    def _fitted_contigs(self) -> dict[str, str]:
        """The model's name of each contig of the genome that has fitted sites."""
        fits = self.model.site_fits
        if fits is None:
            return {}
        contigs = self.genome.contigs
        names = resolve_contigs(fits.contigs, contigs)
        # A store of coding sequences has transcripts for contigs.
        joined = {name: transcript_contig(name) for name in fits.contigs}
        names |= {name: own for name, own in joined.items() if own in contigs}
        return {own: name for name, own in names.items()}

    def theta(self, region: Region) -> NDArray[np.float32]:
        """`values`, float32 [L, 4] in the order A, C, G, T; `Model.substitution` reads them."""
        return self.values(region)

    def theta_at(self, contig: str, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """`values_at`, float32 [K, 4] in the order A, C, G, T."""
        return self.values_at(contig, positions)

    def theta_at_places(
        self, names: Sequence[str], contigs: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """`values_at_places`, float32 [K, 4] in the order A, C, G, T."""
        return self.values_at_places(names, contigs, positions)


def _theta(site_model: Any, tokens: Tensor, wanted: Tensor | None) -> Tensor:
    theta: Tensor = site_model(tokens, wanted)
    return theta
