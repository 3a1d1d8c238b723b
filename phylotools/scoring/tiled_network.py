"""The one place where windows of sequence go through a network.

Each contig is cut into a fixed grid of tiles; what is computed are tiles, or windows around what
is wanted of one, see `windows`. A site's numbers depend on the sequence around it and on the model,
and on nothing else: not on the other sites asked for, their order, or how many were asked for at
once. On a CPU that is so to the last bit. On a GPU the numbers of a site agree to rounding, whether
it is computed alone or with others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.presets import MASK_TOKEN, PAD_TOKEN
from phylotools.scoring.reference import reference_tokens
from phylotools.scoring.tile_cache import Tile, TileCache
from phylotools.scoring.windows import (
    Span,
    WindowRule,
    context_cost,
    cost,
    joined,
    longest_window,
    spans_of,
)

if TYPE_CHECKING:
    import torch

    from phylotools.model.registry import Model
    from phylotools.scoring.passes import Forward, NetworkPasses

#: Measured with one CPU thread: from 512 positions on a dense position costs no less (receptive
#: fields 73, 97, 241: 5, 24, 170 us; at 128 positions 2 to 7 times that). It is also the length at
#: which the authors of PhyloGPN score windows, which matters for their first networks, whose norm
#: runs over positions.
TILE_LENGTH = 512
#: Of tiles on a GPU where whole regions are wanted: the context of the published network costs 6 %
#: of them, and 47 % of those of `TILE_LENGTH`. By count; not measured on a GPU.
DENSE_TILE_LENGTH = 4096
#: Bound on the numbers in flight.
_GROUP_BYTES = 32 << 20
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


def dense_tile_length(model: Model, regions: Iterable[Region]) -> int | None:
    """Positions of the tiles in which all of some regions is computed soonest.

    None, for the usual ones, on a CPU, where tiles are joined to windows of any length, and where
    the model's numbers depend on its tiles.
    """
    if model.device.type == "cpu" or model.tile_length is not None:
        return None
    context = context_cost(model.spec)
    bounds = np.array([(region.start, region.end) for region in regions]).reshape(-1, 2)

    def rows(length: int) -> int:
        n_tiles = (bounds[:, 1] - 1) // length - bounds[:, 0] // length + 1
        return int(n_tiles.sum()) * (length + context)

    return min((TILE_LENGTH, DENSE_TILE_LENGTH), key=rows)


class TiledNetwork:
    """What a network says of the positions of a reference genome, C channels each.

    How windows go through the network, `NetworkPasses` says; torch is imported for the first. Calls
    from several threads take turns. A forked child computes with one thread.

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
        CPU threads; by default all cores.
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
    masks_site : bool
        Compute every position in a window of its own, in which it is masked.

    Attributes
    ----------
    precision : str
        As resolved.
    receptive_field, half_window : int
        Positions that a site's numbers depend on, in all and on either side.
    n_tiles_computed : int
        Whole ones.
    n_spans_computed : int
        Parts of tiles, each what was wanted of a tile and lies close together.

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
        masks_site: bool = False,
    ) -> None:
        self.model = model
        self._masks_site = masks_site
        self.n_channels = n_channels
        self.tile_length = choose_tile_length(model, tile_length)
        self.receptive_field = model.receptive_field
        self.half_window = (model.receptive_field - 1) // 2
        self.precision = self._resolved(precision)
        self.n_tiles_computed = self.n_spans_computed = 0
        self._genome = genome
        self._forward = forward
        self._largest_value = largest_value
        self._options = (threads, batch_size)
        self._context = context_cost(model.spec)
        tile_bytes = self.tile_length * n_channels * 4
        n_kept = max(1, cache_bytes // tile_bytes)
        if masks_site:
            # Its tokens: a row for each position.
            tile_bytes += self.tile_length * self.receptive_field
        self._n_in_flight = max(1, _GROUP_BYTES // tile_bytes)
        self._cache = TileCache(n_kept, (self.tile_length, n_channels), disk_bytes)
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
            self.tile_length + self.receptive_field - 1,
            most_together=self._n_in_flight,
            largest_value=self._largest_value,
            threads=threads,
            batch_size=batch_size,
            precision=self.precision,
        )

    @property
    def options(self) -> dict[str, Any]:
        """Threads, batch size and precision, for another network beside this one."""
        threads, batch_size = self._options
        return {"threads": threads, "batch_size": batch_size, "precision": self.precision}

    @property
    def threads(self) -> int:
        """CPU threads that share the windows of a call."""
        return self._passes.threads

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
        self.require_inside(region.contig, region.start, region.end - 1)
        values = np.empty((region.end - region.start, self.n_channels), dtype=np.float32)
        with self._lock:
            # Of numbers that agree to rounding, all verbs take the grid's where many are wanted.
            is_exact = self._masks_site or self._passes.rule is WindowRule.ANY
            places, wanted = {}, {}
            for tile, there, here in self._shares(region):
                places[tile] = there, here
                start = tile[1] * self.tile_length
                wanted[tile] = np.arange(there.start, there.stop) + start if is_exact else None
            for tile, found in self._tiles(wanted):
                there, here = places[tile]
                values[here] = found[there]
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
        self.require_inside(contig, first, last)
        length = self.genome.contigs[contig]
        with self._lock:
            return [
                (index, values[: length - index * self.tile_length])
                for (_, index), values in self._tiles({(contig, k): None for k in indices})
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
            self.require_inside(names[number], int(inside.min()), int(inside.max()))
            members[names[number], index] = rows
        with self._lock:
            wanted = {tile: np.unique(positions[rows]) for tile, rows in members.items()}
            for tile, found in self._tiles(wanted):
                rows, index = members[tile], tile[1]
                values[rows] = found[positions[rows] - index * self.tile_length]
        return values

    def values_of(self, tokens: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Numbers of the positions of given sequences whose context the sequences hold.

        A row's numbers depend on that row, and on an accelerator on T, which decides how many rows
        a pass has.

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
            for row, found in enumerate(self._network_values(list(tokens)) if n_rows else ()):
                values[row] = found
        return values

    def values_of_windows(
        self, windows: Sequence[NDArray[np.uint8]], place: Callable[[int], str] = lambda _: ""
    ) -> list[NDArray[np.float32]]:
        """Numbers of windows of several lengths, as `values_of` those of rows.

        Parameters
        ----------
        windows : sequence of uint8 arrays [T]
            No shorter than the receptive field; of one length, unless a CPU computes.
        place : callable
            Where a window is from, by its number, for messages.

        Returns
        -------
        list of float32 arrays [T - receptive_field + 1, C]
        """
        with self._lock:
            return list(self._network_values(windows, place))

    def _network_values(
        self, windows: Sequence[NDArray[np.uint8]], place: Callable[[int], str] = lambda _: ""
    ) -> Iterator[NDArray[np.float32]]:
        """`NetworkPasses.values`, of each position where it is masked if that is asked for."""
        if not self._masks_site:
            yield from self._passes.values(windows, place)
            return
        rows = [row for window in windows for row in masked_one_by_one(window, self.half_window)]
        counts = [len(window) - 2 * self.half_window for window in windows]
        window_of_row = np.repeat(np.arange(len(windows)), counts)
        found = self._passes.values(rows, lambda row: place(int(window_of_row[row])))
        for count in counts:
            yield np.concatenate(list(islice(found, count)))

    def require_inside(self, contig: str, first: int, last: int) -> None:
        """Raise `InputError` unless two positions, in order, lie within a contig."""
        length = self.genome.contigs.get(contig, 0)
        if not 0 <= first <= last < length:
            raise InputError(
                f"asked for positions outside contig {contig!r} (length {length})",
                path=self.genome.path,
            )

    def _whole(self, tile: Tile) -> Span:
        """Positions of a tile, as far as its contig goes."""
        start = tile[1] * self.tile_length
        return Span(start, min(start + self.tile_length, self.genome.contigs[tile[0]]))

    def _tiles(
        self, wanted: Mapping[Tile, NDArray[np.int64] | None]
    ) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        """Yield the numbers of distinct tiles in order, from the cache or computed together.

        Parameters
        ----------
        wanted : mapping of tile to (int64 array or None)
            Rising positions, where the others' numbers may be anything; None for all.
        """
        for group in _groups(list(wanted), self._n_in_flight):
            kept = {tile: self._cache.get(tile) for tile in group}
            spans = {tile: self._spans(tile, wanted[tile]) for tile in group if kept[tile] is None}
            computed = self._computed(spans)
            for tile in group:
                values = kept[tile]
                yield tile, computed[tile] if values is None else values

    def _spans(self, tile: Tile, wanted: NDArray[np.int64] | None) -> list[Span]:
        """What is computed of a tile: all of it, or what is wanted where that costs less."""
        whole, rule = self._whole(tile), self._passes.rule
        if wanted is None or (rule is WindowRule.GRID and not self._masks_site):
            return [whole]
        if self._masks_site:
            return self._lone_spans(tile, wanted)
        cost_of_tile = cost([whole], self._context)
        if rule is WindowRule.ANY:
            spans = spans_of(wanted, self._context)
            cost_of_spans = cost(spans, self._context)
        else:
            # By their number: of a whole genome hardly any are made.
            cost_of_spans = len(wanted) * cost([Span(0, 1)], self._context)
        if self._cache.is_worth_keeping(tile, cost_of_spans, cost_of_tile):
            return [whole]
        if rule is WindowRule.ANY:
            return spans
        return [Span(position, position + 1) for position in wanted.tolist()]

    def _lone_spans(self, tile: Tile, wanted: NDArray[np.int64]) -> list[Span]:
        """What is computed of a tile whose every position costs the same, with others or without.

        It is kept once it is computed whole: where its positions were asked for as often as it has
        any.
        """
        whole = self._whole(tile)
        if self._cache.is_worth_keeping(tile, len(wanted), whole.end - whole.start):
            return [whole]
        return spans_of(wanted, 1)

    def _computed(self, spans: Mapping[Tile, Sequence[Span]]) -> dict[Tile, NDArray[np.float32]]:
        """Numbers of tiles, [tile_length, C] each, right in some spans; whole ones are kept."""
        shape = self.tile_length, self.n_channels
        found = {tile: np.zeros(shape, dtype=np.float32) for tile in spans}
        for windows in self._windows(spans):
            tokens = [
                self.tokens(w.contig, w.start - self.half_window, w.end + self.half_window)
                for w in windows
            ]
            computed = self._network_values(tokens, partial(_place, windows))
            for window, own, values in zip(windows, tokens, computed, strict=True):
                bases = own[self.half_window : self.half_window + len(values)]
                values = self._corrected(window, bases, values)
                for tile, there, here in self._shares(window):
                    if tile in found:
                        found[tile][there] = values[here]
        for tile, own_spans in spans.items():
            if own_spans == [self._whole(tile)]:
                self.n_tiles_computed += 1
                self._cache.put(tile, found[tile])
            else:
                self.n_spans_computed += len(own_spans)
        return found

    def _windows(self, spans: Mapping[Tile, Sequence[Span]]) -> list[list[Region]]:
        """The windows that spans of tiles are computed in; those of a list can share a pass."""
        if self._masks_site:
            return [[Region(tile[0], *span) for tile, own in spans.items() for span in own]]
        if self._passes.rule is WindowRule.ANY:
            parts = [Region(tile[0], *span) for tile in sorted(spans) for span in spans[tile]]
            share = sum(map(len, parts)) // self._passes.threads
            longest = min(max(share, self.tile_length), longest_window(self._context))
            return [joined(parts, self._context, longest)]
        tiles: list[Region] = []
        lone: list[Region] = []
        for (contig, index), own in spans.items():
            if own == [self._whole((contig, index))]:
                start = index * self.tile_length
                tiles.append(Region(contig, start, start + self.tile_length))
            else:
                lone += [Region(contig, *span) for span in own]
        return [tiles, lone]

    def _shares(self, window: Region) -> Iterator[tuple[Tile, slice, slice]]:
        """Yield the tiles that a window has a part in: where in the tile, where in the window."""
        first, last = window.start // self.tile_length, (window.end - 1) // self.tile_length
        for index in range(first, last + 1):
            begin = index * self.tile_length
            start, end = max(begin, window.start), min(begin + self.tile_length, window.end)
            there = slice(start - begin, end - begin)
            here = slice(start - window.start, end - window.start)
            yield (window.contig, index), there, here

    def _corrected(
        self, window: Region, bases: NDArray[np.uint8], values: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What is kept of positions, by their bases and what the network says."""
        return values

    def tokens(self, contig: str, begin: int, end: int) -> NDArray[np.uint8]:
        """Tokens of reference positions; those outside the contig are `PAD_TOKEN`.

        Returns
        -------
        uint8 array [end - begin]
        """
        return reference_tokens(self.genome, contig, begin, end)


def masked_one_by_one(tokens: NDArray[np.uint8], half_window: int) -> NDArray[np.uint8]:
    """For each position whose context the tokens hold, that context with the position masked.

    Parameters
    ----------
    tokens : uint8 array [L + 2 half_window]
    half_window : int

    Returns
    -------
    uint8 array [L, 2 half_window + 1]
    """
    rows = np.lib.stride_tricks.sliding_window_view(tokens, 2 * half_window + 1).copy()
    rows[:, half_window] = MASK_TOKEN
    return rows


def _groups(tiles: Sequence[Tile], size: int) -> Iterator[Sequence[Tile]]:
    for first in range(0, len(tiles), size):
        yield tiles[first : first + size]


def _place(windows: Sequence[Region], number: int) -> str:
    return f" near {windows[number].contig}:{windows[number].start + 1}"
