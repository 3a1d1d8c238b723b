"""Pentanucleotides of a genome, and the LLRs of a model at its neutral sites by pentanucleotide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.bases import CODE_OF_BYTE
from phylotools.io.regions import Region, RegionSet
from phylotools.model.calibration import N_CONTEXTS, context_index
from phylotools.scoring.reference import ReferenceLetters
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import site_numbers

_UNKNOWN = 4
#: Positions at a time, whole tiles of the scorer.
_SPAN = 1 << 16


@dataclass(frozen=True)
class NeutralSites:
    """What neutral sites say.

    Attributes
    ----------
    counts : int64 array [N_CONTEXTS]
        Sites by `context_index`.
    sums : float64 array [N_CONTEXTS, 4]
        Their LLRs of each base against the one that stands there, summed up.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @property
    def n_sites(self) -> int:
        return int(self.counts.sum())


def contexts_at(
    letters: ReferenceLetters, contig: str, positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """`context_index` of positions of one contig, 0-based, in any order, [K]."""
    length = letters.genome.contigs[contig]
    found = np.full((len(positions), 5), _UNKNOWN, dtype=np.uint8)
    for column, shift in enumerate(range(-2, 3)):
        there = positions + shift
        inside = np.flatnonzero((there >= 0) & (there < length))
        codes = CODE_OF_BYTE[letters.at(contig, there[inside])]
        found[inside, column] = np.minimum(codes, _UNKNOWN)
    return context_index(found)


def survey_neutral_sites(
    scorer: Scorer, regions: RegionSet, on_positions: Callable[[int], None] = lambda _: None
) -> NeutralSites:
    """LLRs at the sites of regions, by pentanucleotide; those without A, C, G or T do not count.

    Parameters
    ----------
    scorer : Scorer
    regions : RegionSet
        By the names of the genome's contigs, within them.
    on_positions : callable
        Gets the number of positions of every finished part.

    Raises
    ------
    InputError
        If no position has A, C, G or T.
    """
    letters = ReferenceLetters(scorer.genome)
    counts = np.zeros(N_CONTEXTS, dtype=np.int64)
    sums = np.zeros((N_CONTEXTS, 4))
    for region in regions:
        for start in range(region.start, region.end, _SPAN):
            part = Region(region.contig, start, min(start + _SPAN, region.end))
            codes = scorer.genome.bases(part)
            known = np.flatnonzero(codes < _UNKNOWN)
            log_pi = site_numbers(scorer.model.substitution, scorer.theta(part)[known]).log_pi
            llr = log_pi - log_pi[np.arange(len(known)), codes[known]][:, None]
            contexts = contexts_at(letters, part.contig, start + known)
            counts += np.bincount(contexts, minlength=N_CONTEXTS)
            for base in range(4):
                sums[:, base] += np.bincount(contexts, llr[:, base], minlength=N_CONTEXTS)
            on_positions(len(part))
    if not counts.any():
        raise InputError(
            "no position of the neutral regions has A, C, G or T",
            path=scorer.genome.path,
            remedy="give regions of this assembly",
        )
    return NeutralSites(counts, sums)
