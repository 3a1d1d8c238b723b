"""How far the predictions of a neighbourhood hang on each base of a genome: a track."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from phylotools.interpret.changes import Measure, log_probabilities, measured
from phylotools.io.bases import N
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.substituted import substituted_sites

#: Positions that are handed on at a time.
_BLOCK = 4096


def influence_blocks(
    scorer: Scorer,
    regions: Iterable[Region],
    *,
    measure: Measure = "log-odds",
    on_positions: Callable[[int], None] = lambda n: None,
) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float32]]]:
    """Yield the influence score of positions: contig, positions and scores, in order.

    The score of i is the mean, over the other sites j that it reaches, of the largest absolute
    change of the log odds of a base at j, over the bases that i may be replaced by. N has none.

    Parameters
    ----------
    scorer : Scorer
        By the sequence alone.
    regions : iterable of Region
    measure : {'log-odds', 'log-probability'}
    on_positions : callable
        Gets the number of positions done since its last call.

    Yields
    ------
    str, int64 array [K], float32 array [K]
    """
    substitution = scorer.model.substitution
    for region in regions:
        positions: list[int] = []
        scores: list[float] = []
        for site in substituted_sites(scorer, region):
            on_positions(1)
            others = np.arange(len(site.before)) != site.own
            if site.reference != N and others.any():
                theta = np.concatenate([site.before[None], site.after])[:, others]
                numbers = measured(log_probabilities(substitution, theta), measure)
                largest = np.abs(numbers[1:] - numbers[0]).max(axis=(0, 2))
                positions.append(site.position)
                scores.append(float(largest.mean()))
            if len(positions) == _BLOCK:
                yield region.contig, np.array(positions), np.array(scores, dtype=np.float32)
                positions, scores = [], []
        if positions:
            yield region.contig, np.array(positions), np.array(scores, dtype=np.float32)
