"""The missing data of a real alignment, as parameters of simulated ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.regions import Region
from phylotools.phylogeny.simulation import make_walk
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.store import schema
from phylotools.store.read import ColumnStore

_WINDOW = 1 << 14
#: Columns looked at, spread evenly over the store.
_MOST_COLUMNS = 1 << 18
_LAGS = np.array([0, *(1 << k for k in range(13))])
#: Share of gaps that count as no longer than the longest.
_LONGEST_QUANTILE = 0.99


def estimate_missing_data(store: ColumnStore) -> MissingData:
    """Parameters under which simulated alignments lack as much, in stretches as long.

    - *Dropouts*: under `MissingData` the chance that two species are both in a block is
      ``exp(-(rate * u + species_dropout * 2))``, where u is the length of the tree that joins them
      to the reference: least squares over all pairs and single species.
    - *Their length*: ``log(P(present at both of two sites h apart) / P(present)^2)`` falls with h
      as ``(1 - 1 / length)^h``; the length is where it has fallen to 1/e, averaged over species.
    - *Gaps*: a species in a block has no gap with chance ``exp(-rate * d)`` at distance d from the
      reference: least squares. The exponent is that of maximum likelihood, of gaps up to the 99th
      percentile of lengths.

    Raises
    ------
    InputError
        If no other species than the reference is in any block.
    """
    seen = _Statistics(store)
    for region in _windows(store):
        seen.add(store.bases(region) & np.uint8(schema.CODE_MASK))
    if not seen.both.sum() > seen.both[seen.reference, seen.reference]:
        raise InputError("has no species beside the reference", path=store.path)
    shared, n_tips = _joining_trees(store)
    rate, species = _dropout_rates(seen, shared, n_tips)
    exponent, longest = _gap_lengths(seen.gap_lengths)
    distance = np.diag(shared)
    return MissingData(
        gap_rate=_gap_rate(seen, distance),
        gap_exponent=exponent,
        longest_gap=longest,
        dropout_rate=rate,
        species_dropout=species,
        dropout_length=seen.dropout_length(),
        block_length=max(1.0, seen.columns_of_store / max(seen.blocks_of_store, 1)),
    )


def _windows(store: ColumnStore) -> Iterator[Region]:
    windows = [
        Region(region.contig, start, min(start + _WINDOW, region.end))
        for region in store.covered_regions(min_species=0)
        for start in range(region.start, region.end, _WINDOW)
    ]
    step = -(-sum(map(len, windows)) // _MOST_COLUMNS)
    yield from windows[:: max(step, 1)]


class _Statistics:
    """Counts over columns."""

    def __init__(self, store: ColumnStore) -> None:
        n_species = len(store.species)
        self.reference = store.reference_index
        self.columns_of_store: int = store.attributes["statistics"]["covered_positions"]
        self.blocks_of_store: int = store.attributes["statistics"]["blocks"]
        self.n_columns = 0
        self.both = np.zeros((n_species, n_species))
        self.gaps = np.zeros(n_species)
        self.gap_lengths = np.zeros(1 << 14, dtype=np.int64)
        self._again = np.zeros((len(_LAGS), n_species))
        self._pairs = np.zeros(len(_LAGS))

    def add(self, codes: NDArray[np.uint8]) -> None:
        """Take in columns, codes [L, S]."""
        present = codes != schema.NO_BLOCK
        self.n_columns += len(codes)
        self.both += present.T.astype(np.float32) @ present.astype(np.float32)
        gaps = codes == schema.GAP_IN_BLOCK
        self.gaps += gaps.sum(axis=0)
        edges = np.diff(gaps.T.astype(np.int8), axis=1, prepend=0, append=0)
        lengths = np.flatnonzero(edges.ravel() == -1) - np.flatnonzero(edges.ravel() == 1)
        self.gap_lengths += np.bincount(
            np.minimum(lengths, len(self.gap_lengths) - 1), minlength=len(self.gap_lengths)
        )
        for index, lag in enumerate(_LAGS.tolist()):
            if lag < len(codes):
                self._again[index] += (present[lag:] & present[: len(codes) - lag]).sum(axis=0)
                self._pairs[index] += len(codes) - lag

    def dropout_length(self) -> float:
        """Distance over which the presence of a species forgets itself, in positions."""
        possible = self._pairs > 0
        again = self._again[possible] / self._pairs[possible, None]
        chance = again[0]
        varied = (chance > 0.02) & (chance < 0.98)
        if not varied.any():
            return MissingData.dropout_length
        with np.errstate(divide="ignore"):
            memory = np.log(again[:, varied] / chance[varied] ** 2) / -np.log(chance[varied])
        memory = np.nan_to_num(memory, neginf=0.0).mean(axis=1)
        below = memory < np.exp(-1)
        if not below.any():
            return float(_LAGS[possible][-1])
        after = int(below.argmax())
        log_lags = np.log(np.maximum(_LAGS[after - 1 : after + 1], 0.5))
        place = (memory[after - 1] - np.exp(-1)) / (memory[after - 1] - memory[after])
        return float(max(1.0, np.exp(log_lags[0] + place * (log_lags[1] - log_lags[0]))))


def _joining_trees(store: ColumnStore) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length of the tree that joins two species to the reference, and its other tips; [S, S]."""
    walk = make_walk(store.tree, store.reference_species)
    n_species = walk.n_species
    # How much of the ways from the reference to two species is shared.
    shared = np.zeros((n_species, n_species))
    for branch, length in enumerate(walk.branch_length):
        clade = slice(walk.first_tip[branch], walk.first_tip[walk.clade_end[branch]])
        shared[clade, clade] += length
    distance = np.diag(shared)
    joined = np.empty_like(shared)
    joined[np.ix_(walk.tip_index, walk.tip_index)] = distance[:, None] + distance - shared
    return joined, 2 - np.eye(n_species)


def _dropout_rates(
    seen: _Statistics, joined: NDArray[np.float64], n_tips: NDArray[np.float64]
) -> tuple[float, float]:
    chance = seen.both / seen.n_columns
    used = np.triu(chance > 0)
    used[seen.reference], used[:, seen.reference] = False, False
    predictors = np.stack([joined[used], n_tips[used]], axis=1)
    lost = -np.log(chance[used])
    both, *_ = np.linalg.lstsq(predictors, lost, rcond=None)
    if both[0] >= 0 and both[1] >= 0:
        return float(both[0]), float(both[1])
    # Neither can be negative: the better of the two alone.
    alone = [max(0.0, float(x @ lost) / max(float(x @ x), 1e-300)) for x in predictors.T]
    errors = [np.square(lost - a * x).sum() for a, x in zip(alone, predictors.T, strict=True)]
    return (alone[0], 0.0) if errors[0] <= errors[1] else (0.0, alone[1])


def _gap_rate(seen: _Statistics, distance: NDArray[np.float64]) -> float:
    in_block = np.diag(seen.both)
    used = (in_block > seen.gaps) & (distance > 0)
    lost = -np.log1p(-seen.gaps[used] / in_block[used])
    return float(distance[used] @ lost) / max(float(distance[used] @ distance[used]), 1e-300)


def _gap_lengths(counts: NDArray[np.int64]) -> tuple[float, int]:
    """Exponent of the power law, and the longest gap."""
    if not counts.any():
        return MissingData.gap_exponent, MissingData.longest_gap
    longest = int((np.cumsum(counts) >= _LONGEST_QUANTILE * counts.sum()).argmax())
    logs = np.log(np.arange(1, longest + 1))
    wanted = counts[1 : longest + 1] @ logs / counts[1 : longest + 1].sum()
    # The mean log length falls as the exponent rises.
    low, high = 0.0, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        chances = np.exp(-middle * logs)
        low, high = (middle, high) if chances @ logs > wanted * chances.sum() else (low, middle)
    return (low + high) / 2, longest
