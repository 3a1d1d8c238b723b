"""Numbers of the alleles of a batch: of sites looked up where tracks have them, else computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.judged_batch import JudgedBatch
from phylotools.annotate.lookup import ScoreTracks
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import SiteNumbers, site_numbers

#: Tiles between two looks at whether the run was given up. On a CPU a large network takes a second
#: for each, so the first looks come soon; where tiles are cheap, the calls around a few of them
#: cost more than they do. An accelerator wants many at once.
_FEWEST_TILES, _MOST_TILES = 8, 256
#: Seconds between two looks that are soon enough.
_SOON = 0.1
_DECIMALS = 4


@dataclass(frozen=True)
class BatchScores:
    """Numbers of a batch.

    Attributes
    ----------
    llr : float64 array
        Of each scored allele.
    rate, entropy : float64 array [S]
        Of each site.
    """

    llr: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]


class AlleleScorer:
    """Scores what a judge found to be scored.

    Parameters
    ----------
    scorer : Scorer
        Has nothing to compute, and loads no network, while the tracks have every site.
    tracks : ScoreTracks, optional
        Asked first.

    Attributes
    ----------
    n_looked_up : int
        Single-nucleotide changes at sites that were looked up.
    """

    def __init__(self, scorer: Scorer, tracks: ScoreTracks | None = None) -> None:
        self._scorer = scorer
        self._tracks = tracks
        self._n_tiles = 0
        self.n_looked_up = 0

    def score(self, batch: JudgedBatch, check: Callable[[], None]) -> BatchScores:
        """Compute or look up every number.

        Parameters
        ----------
        batch : JudgedBatch
        check : callable
            Called again and again; raises where the run was given up.

        Raises
        ------
        InputError
            As for `Scorer` and `ScoreTracks`.
        """
        indels, n_sites = batch.indels, len(batch.site_positions)
        contigs = np.append(batch.site_contigs, indels.contigs[indels.owners])
        positions = np.append(batch.site_positions, indels.positions)
        sites, is_looked_up = self._sites(batch.contigs, contigs, positions, check)
        self.n_looked_up += int(is_looked_up[batch.term_sites].sum())
        of_term = sites.scores[batch.term_sites]
        places = np.arange(len(of_term))
        term_llr = of_term[places, batch.term_alts] - of_term[places, batch.term_refs]
        # Sums are of the numbers that are written, so that looked-up ones add up to the same.
        rounded = np.round(term_llr, _DECIMALS)
        terms_of = np.bincount(batch.term_rows, minlength=batch.n_scored)
        llr: NDArray[np.float64] = np.bincount(
            batch.term_rows, rounded, minlength=batch.n_scored
        ).astype(np.float64)
        single = terms_of[batch.term_rows] == 1
        llr[batch.term_rows[single]] = term_llr[single]
        if len(indels):
            llr[batch.indel_rows] = indels.llr(sites.scores[n_sites:])
        return BatchScores(llr, sites.rate[:n_sites], sites.entropy[:n_sites])

    def _sites(
        self,
        names: tuple[str, ...],
        contigs: NDArray[np.int64],
        positions: NDArray[np.int64],
        check: Callable[[], None],
    ) -> tuple[SiteNumbers, NDArray[np.bool_]]:
        """Numbers of positions of contigs (indices into `names`); which of them were looked up."""
        if self._tracks is None:
            is_looked_up = np.zeros(len(positions), dtype=bool)
            return self._computed(names, contigs, positions, check), is_looked_up
        n = len(positions)
        sites = SiteNumbers(np.empty((n, 4)), np.empty(n), np.empty(n))
        for contig, rows in _by_contig(contigs):
            check()
            sites.put(rows, self._tracks.sites(names[contig], positions[rows]))
        is_looked_up = np.isfinite(sites.rate)
        rows = np.flatnonzero(~is_looked_up)
        if len(rows):
            sites.put(rows, self._computed(names, contigs[rows], positions[rows], check))
        return sites, is_looked_up

    def _computed(
        self,
        names: tuple[str, ...],
        contigs: NDArray[np.int64],
        positions: NDArray[np.int64],
        check: Callable[[], None],
    ) -> SiteNumbers:
        theta = np.empty((len(positions), 4), dtype=np.float32)
        if not len(positions):
            return SiteNumbers(theta.astype(np.float64), np.empty(0), np.empty(0))
        if not self._n_tiles:
            is_cpu = self._scorer.device.type == "cpu"
            self._n_tiles = _FEWEST_TILES if is_cpu else _MOST_TILES
        for contig, chosen in _by_contig(contigs):
            tiles = positions[chosen] // self._scorer.tile_length
            for part in _parts(tiles, lambda: self._n_tiles):
                check()
                start = time.perf_counter()
                rows = chosen[part]
                theta[rows] = self._scorer.theta_at(names[contig], positions[rows])
                if time.perf_counter() - start < _SOON:
                    self._n_tiles = min(2 * self._n_tiles, _MOST_TILES)
        return site_numbers(self._scorer.model.substitution, theta)


def _by_contig(contigs: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each contig and its rows."""
    for contig in np.unique(contigs).tolist():
        yield contig, np.flatnonzero(contigs == contig)


def _parts(tiles: NDArray[np.int64], n_tiles: Callable[[], int]) -> Iterator[NDArray[np.int64]]:
    """Rows in parts of at most so many tiles; all rows of a tile are in one part."""
    order = np.argsort(tiles, kind="stable")
    bounds = [*np.flatnonzero(np.diff(tiles[order], prepend=-1)).tolist(), len(order)]
    first = 0
    while first < len(bounds) - 1:
        last = min(first + n_tiles(), len(bounds) - 1)
        yield order[bounds[first] : bounds[last]]
        first = last
