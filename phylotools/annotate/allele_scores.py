"""Numbers of the alleles of a batch: looked up where they were precomputed, else computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.annotate.judged_batch import JudgedBatch
from phylotools.annotate.lookup import PrecomputedScores
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import site_numbers

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
    llr : float64 array, by number
    rate, entropy : float64 array [S]
        By site.
    """

    llr: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]


class AlleleScorer:
    """Scores what a judge found to be scored.

    Parameters
    ----------
    scorer : Scorer
    precomputed : PrecomputedScores, optional
        Asked first.
    """

    def __init__(
        self,
        scorer: Scorer,
        precomputed: PrecomputedScores | None = None,
    ) -> None:
        self._scorer = scorer
        self._model = scorer.model.substitution
        self._precomputed = precomputed
        is_cpu = scorer.device.type == "cpu"
        self._n_tiles = _FEWEST_TILES if is_cpu else _MOST_TILES
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
            As for `Scorer` and `PrecomputedScores`.
        """
        n_sites = len(batch.site_positions)
        term_llr = np.full(len(batch.term_sites), np.nan)
        rate, entropy = np.full(n_sites, np.nan), np.full(n_sites, np.nan)
        if self._precomputed is not None:
            self._look_up(batch, self._precomputed, term_llr, rate, entropy)
        is_missing = np.isnan(term_llr)
        needed = np.zeros(n_sites, dtype=bool)
        needed[batch.term_sites[is_missing]] = True
        rows = np.flatnonzero(needed)
        indels = batch.indels
        theta = self._theta(
            batch.contigs,
            np.append(batch.site_contigs[rows], indels.contigs[indels.owners]),
            np.append(batch.site_positions[rows], indels.positions),
            check,
        )
        if len(rows):
            found = site_numbers(self._model, theta[: len(rows)])
            row_of = np.cumsum(needed) - 1
            terms = np.flatnonzero(is_missing)
            of_term = found.scores[row_of[batch.term_sites[terms]]]
            places = np.arange(len(terms))
            llr = of_term[places, batch.term_alts[terms]]
            term_llr[terms] = llr - of_term[places, batch.term_refs[terms]]
            rate[rows], entropy[rows] = found.rate, found.entropy
        # Sums are of the numbers that are written, so that looked-up ones add up to the same.
        rounded = np.round(term_llr, _DECIMALS)
        terms_of = np.bincount(batch.term_numbers, minlength=batch.n_numbers)
        sums: NDArray[np.float64] = np.bincount(
            batch.term_numbers, rounded, minlength=batch.n_numbers
        ).astype(np.float64)
        single = terms_of[batch.term_numbers] == 1
        sums[batch.term_numbers[single]] = term_llr[single]
        if len(indels):
            sums[batch.indel_numbers] = indels.llr(self._model, theta[len(rows) :])
        return BatchScores(sums, rate, entropy)

    def _look_up(
        self,
        batch: JudgedBatch,
        precomputed: PrecomputedScores,
        term_llr: NDArray[np.float64],
        rate: NDArray[np.float64],
        entropy: NDArray[np.float64],
    ) -> None:
        contigs = batch.site_contigs[batch.term_sites]
        for contig, terms in _groups(contigs, batch.is_reference):
            sites = batch.term_sites[terms]
            term_llr[terms], rate[sites], entropy[sites] = precomputed.lookup(
                batch.contigs[contig], batch.site_positions[sites], batch.term_alts[terms]
            )
        self.n_looked_up += int((~np.isnan(term_llr)).sum())

    def _theta(
        self,
        names: tuple[str, ...],
        contigs: NDArray[np.int64],
        positions: NDArray[np.int64],
        check: Callable[[], None],
    ) -> NDArray[np.float32]:
        """Theta [K, 4] of positions of contigs (indices into `names`)."""
        theta = np.empty((len(positions), 4), dtype=np.float32)
        for contig, chosen in _groups(contigs, np.ones(len(contigs), dtype=bool)):
            tiles = positions[chosen] // self._scorer.tile_length
            for part in _parts(tiles, lambda: self._n_tiles):
                check()
                start = time.perf_counter()
                rows = chosen[part]
                theta[rows] = self._scorer.theta_at(names[contig], positions[rows])
                if time.perf_counter() - start < _SOON:
                    self._n_tiles = min(2 * self._n_tiles, _MOST_TILES)
        return theta


def _groups(
    contigs: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Each contig, and the rows of it that are wanted."""
    for contig in np.unique(contigs[wanted]).tolist():
        yield contig, np.flatnonzero(wanted & (contigs == contig))


def _parts(tiles: NDArray[np.int64], n_tiles: Callable[[], int]) -> Iterator[NDArray[np.int64]]:
    """Rows in parts of at most so many tiles; all rows of a tile are in one part."""
    order = np.argsort(tiles, kind="stable")
    bounds = [*np.flatnonzero(np.diff(tiles[order], prepend=-1)).tolist(), len(order)]
    first = 0
    while first < len(bounds) - 1:
        last = min(first + n_tiles(), len(bounds) - 1)
        yield order[bounds[first] : bounds[last]]
        first = last
