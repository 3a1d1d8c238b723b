"""Numbers of the alleles of a batch: of sites looked up where tracks have them, else computed."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.fields import TUNED
from phylotools.annotate.judged_batch import JudgedBatch
from phylotools.annotate.lookup import ScoreTracks
from phylotools.phylogeny.change_scores import SiteTerms
from phylotools.phylogeny.score_meaning import CALIBRATED, DEFAULT_SCORES, LLR
from phylotools.scoring.neutral_sites import contexts_at
from phylotools.scoring.reference import ReferenceLetters
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import SiteNumbers, site_numbers

#: Tiles between two looks at whether the run was given up, on a CPU for each thread. A large
#: network takes a third of a second for each, so the first looks come soon; where tiles are cheap,
#: the calls around a few of them cost more than they do. An accelerator wants many at once.
_FEWEST_TILES, _MOST_TILES = 8, 256
#: A contig's number stands above its tiles'.
_TILE_SHIFT = 40
#: Seconds between two looks that are soon enough.
_SOON = 0.1
_DECIMALS = 4


@dataclass(frozen=True)
class BatchScores:
    """Numbers of a batch.

    Attributes
    ----------
    scores : float64 array [N, K]
        By score, in the order they were asked for, of each scored allele; NaN where there is none.
    rate, entropy : float64 array [S]
        Of each site.
    """

    scores: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]


class AlleleScorer:
    """Scores what a judge found to be scored.

    Parameters
    ----------
    scorer : Scorer
        Has nothing to compute, and loads no network, while the tracks have every site.
    names : tuple of str
        The scores; the calibrated one only of a model that has its table, the tuned one, which is
        the last, only of one that has a head.
    tracks : ScoreTracks, optional
        Asked first.

    Attributes
    ----------
    n_looked_up : int
        Single-nucleotide changes at sites that were looked up.
    """

    def __init__(
        self, scorer: Scorer, names: tuple[str, ...], tracks: ScoreTracks | None = None
    ) -> None:
        self._scorer = scorer
        self._names = tuple(name for name in names if name != TUNED)
        self._tuned = None
        if TUNED in names:
            # Imports torch, which who looks scores up may do without.
            from phylotools.annotate.tuned import TunedScores

            self._tuned = TunedScores(scorer)
        self._letters = ReferenceLetters(scorer.genome)
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
        expected = self._expected(batch.contigs, contigs, positions)
        self.n_looked_up += int(is_looked_up[batch.terms.sites].sum())
        # Sums are of the numbers that are written, so that looked-up ones add up to the same.
        scores = self._of_changes(
            sites, expected, dataclasses.replace(batch.terms, decimals=_DECIMALS)
        )
        if len(indels):
            scores[:, batch.indel_rows] = self._of_changes(sites, expected, indels.terms(n_sites))
        if self._tuned is not None:
            default = DEFAULT_SCORES[self._scorer.model.mutation_process.substitution]
            found = {name: scores[self._names.index(name)] for name in (default, LLR)}
            tuned = self._tuned.score(batch, found[default], found[LLR], sites.rate, sites.entropy)
            scores = np.concatenate([scores, tuned[None]])
        return BatchScores(scores, sites.rate[:n_sites], sites.entropy[:n_sites])

    def _of_changes(
        self, sites: SiteNumbers, expected: NDArray[np.float64], terms: SiteTerms
    ) -> NDArray[np.float64]:
        """Every score of changes at sites, [N, K]; `expected` are the LLRs of neutral ones."""
        process = self._scorer.model.mutation_process

        def of(name: str) -> NDArray[np.float64]:
            if name == CALIBRATED:
                return process.llr(sites.log_pi - expected, terms)
            return process.scores(name, sites.log_pi, sites.log_rate, sites.rate, terms)

        return np.stack([of(name) for name in self._names])

    def _expected(
        self, names: tuple[str, ...], contigs: NDArray[np.int64], positions: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """LLRs that neutral sites with the contexts of these positions have, [K, 4]."""
        expected = np.zeros((len(positions), 4))
        if CALIBRATED in self._names:
            table = self._scorer.model.calibration.expected
            for contig, rows in _by_contig(contigs):
                found = contexts_at(self._letters, names[contig], positions[rows])
                expected[rows] = table[found]
        return expected

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
        sites = SiteNumbers.empty(len(positions))
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
            return SiteNumbers.empty(0)
        if not self._n_tiles:
            is_cpu = self._scorer.device.type == "cpu"
            self._n_tiles = _FEWEST_TILES * self._scorer.threads if is_cpu else _MOST_TILES
        # Those of all contigs one after the other: a contig may be one of many short transcripts.
        tiles = (contigs << _TILE_SHIFT) + positions // self._scorer.tile_length
        for rows in _parts(tiles, lambda: self._n_tiles):
            check()
            start = time.perf_counter()
            theta[rows] = self._scorer.theta_at_places(names, contigs[rows], positions[rows])
            if time.perf_counter() - start < _SOON:
                self._n_tiles = max(self._n_tiles, min(2 * self._n_tiles, _MOST_TILES))
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
