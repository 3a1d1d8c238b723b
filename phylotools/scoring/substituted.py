"""Numbers of sites around single substitutions: what changes where one base is another.

A substitution is felt no further than half a receptive field away, so each is computed in a window
that holds those sites and their context, and nothing else. Numbers are the network's: fits of
training columns say nothing of a sequence that was changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.bases import N
from phylotools.io.regions import Region
from phylotools.scoring.tiled_network import TiledNetwork

#: Tokens of the windows that are handed over at a time, for each thread.
_TOKENS_A_THREAD = 1 << 15
_N_BASES = 4


@dataclass(frozen=True)
class SubstitutedSite:
    """Numbers of the sites that one position reaches, before and after it is changed.

    Attributes
    ----------
    position : int
        0-based.
    reference : int
        Code of the base that stands there; 4 for N.
    alternatives : uint8 array [K]
        Codes of the others, rising: three, or four where no base stands.
    start : int
        First of the W sites.
    before : float32 array [W, C]
        Numbers in the sequence as it is.
    after : float32 array [K, W, C]
        With each alternative in its place.
    """

    position: int
    reference: int
    alternatives: NDArray[np.uint8]
    start: int
    before: NDArray[np.float32]
    after: NDArray[np.float32]

    @property
    def own(self) -> int:
        """Row of the position itself among the sites; it may lie outside of them."""
        return self.position - self.start


def substituted_sites(
    network: TiledNetwork, region: Region, within: Region | None = None
) -> Iterator[SubstitutedSite]:
    """Yield the positions of a region with the numbers of what they reach, in order.

    Memory does not grow with the region.

    Parameters
    ----------
    network : TiledNetwork
        Of a model without site fits (`Model.from_sequence_alone`).
    region : Region
        Whose positions are changed, one at a time; within its contig.
    within : Region, optional
        On the same contig. Sites outside of it are not looked at, and a position that reaches none
        is left out; by default those of the contig.

    Raises
    ------
    UsageError
        If the network's norm runs over positions: a substitution has no reach there.
    InputError
        If the region leaves its contig, or the network gives numbers that are not finite.
    """
    if network.model.tile_length is not None:
        raise UsageError(
            f"model {network.model.name}: its norm runs over positions, so that a base changes all "
            f"{network.model.tile_length} of its tile; substitutions need a network whose norm "
            "does not"
        )
    network.require_inside(region.contig, region.start, region.end - 1)
    half = network.half_window
    limits = within or Region(region.contig, 0, network.genome.contigs[region.contig])
    together = max(1, _TOKENS_A_THREAD * network.threads // (_N_BASES * (4 * half + 1)))
    # Positions too far away from all that is looked at change nothing there.
    low, high = max(region.start, limits.start - half), min(region.end, limits.end + half)
    for first in range(low, high, together):
        block = Region(region.contig, first, min(first + together, high))
        yield from _of_block(network, block, limits)


def _of_block(network: TiledNetwork, block: Region, limits: Region) -> Iterator[SubstitutedSite]:
    """Positions of a block, changed one at a time, and the sites within limits that they reach."""
    half, contig = network.half_window, block.contig

    def reached_from(first: int, last: int) -> Region:
        return Region(contig, max(first - half, limits.start), min(last + half, limits.end))

    span = reached_from(block.start, block.end)
    before = network.values(span)
    tokens_start = block.start - 2 * half
    tokens = network.tokens(contig, tokens_start, block.end + 2 * half)
    # Elsewhere windows of one length are computed, and what nobody wants of them is dropped.
    takes_any_length = network.device.type == "cpu"
    windows: list[NDArray[np.uint8]] = []
    sites: list[SubstitutedSite] = []
    skipped: list[int] = []
    for position in range(block.start, block.end):
        reached = reached_from(position, position + 1)
        computed = (
            reached if takes_any_length else Region(contig, position - half, position + half + 1)
        )
        begin = computed.start - half
        own = tokens[begin - tokens_start : computed.end + half - tokens_start]
        reference = min(int(own[position - begin]), N)
        others = np.array([base for base in range(_N_BASES) if base != reference], dtype=np.uint8)
        changed = np.repeat(own[None], len(others), axis=0)
        changed[:, position - begin] = others
        windows += list(changed)
        skipped.append(reached.start - computed.start)
        shape = (len(others), len(reached), network.n_channels)
        kept = before[reached.start - span.start : reached.end - span.start]
        after = np.empty(shape, dtype=np.float32)
        sites.append(SubstitutedSite(position, reference, others, reached.start, kept, after))
    place = f" near {contig}:{block.start + 1}"
    found = iter(network.values_of_windows(windows, lambda _: place))
    for site, first in zip(sites, skipped, strict=True):
        for row in range(len(site.alternatives)):
            site.after[row] = next(found)[first : first + len(site.before)]
        yield site
