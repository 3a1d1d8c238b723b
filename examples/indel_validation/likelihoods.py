"""The definition that was not taken: likelihoods of whole haplotypes, each in its own context.

A network gives pi, the equilibrium frequencies of every position of a sequence. The log-odds of the
base that stands there, ``log pi(base) - log b(base)`` with b the frequencies under mutation alone,
are 0 where nothing is known. Their sum over the alternative haplotype less that over the reference
haplotype, over windows that hold every position whose context the change touches, scores a change
of any length: a base more or less counts by its log-odds, so that it adds 0 at a neutral site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.annotate.haplotypes import Change, HaplotypeScorer
from phylotools.io.genome import CODE_OF_BYTE
from phylotools.io.regions import Region
from phylotools.scoring.scorer import Scorer


@dataclass(frozen=True)
class LogOdds:
    """Log-odds of the bases of two haplotypes, which agree but for the change in their middle.

    Attributes
    ----------
    change : Change
        In its leftmost spelling.
    reference : float64 array [half_window + len(change.ref) + half_window]
        In nats; 0 at letters other than A, C, G, T and outside the contig.
    alternative : float64 array [half_window + len(change.alt) + half_window]
    """

    change: Change
    reference: NDArray[np.float64]
    alternative: NDArray[np.float64]


def site_log_odds(scorer: Scorer, theta: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-odds of every base, float64 [L, 4], from theta, float32 [L, 4]."""
    substitution = scorer.model.substitution
    with torch.inference_mode():
        exact = torch.from_numpy(theta).double()
        log_pi = substitution.log_equilibrium_frequencies(exact)
        # What allele scores leave out of log pi is, but for a constant, log b.
        rest = log_pi - substitution.allele_scores(exact)
        odds: NDArray[np.float64] = (log_pi - torch.log_softmax(rest, dim=-1)).numpy()
    return odds


def of_bases(odds: NDArray[np.float64], tokens: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Log-odds of the bases that stand at positions, float64 [L]."""
    is_base = tokens < 4
    return np.where(is_base, odds[np.arange(len(tokens)), np.where(is_base, tokens, 0)], 0.0)


def reference_log_odds(scorer: Scorer, region: Region) -> NDArray[np.float64]:
    """Log-odds of the reference bases of a region, float64 [L]."""
    tokens = scorer.tokens(region.contig, region.start, region.end)
    return of_bases(site_log_odds(scorer, scorer.theta(region)), tokens)


def haplotype_log_odds(scorer: Scorer, changes: Sequence[Change]) -> list[LogOdds]:
    """Both haplotypes of every change, each in its own context."""
    aligner = HaplotypeScorer(scorer)
    half = scorer.half_window
    found = []
    for change in map(aligner.left_aligned, changes):
        start, after = change.start, change.start + len(change.ref)
        before = scorer.tokens(change.contig, start - 2 * half, start)
        behind = scorer.tokens(change.contig, after, after + 2 * half)
        odds = []
        for allele in (change.ref, change.alt):
            codes = CODE_OF_BYTE[np.frombuffer(allele, dtype=np.uint8)]
            tokens = np.concatenate([before, codes, behind])
            theta = scorer.values_of(tokens[None])[0]
            odds.append(of_bases(site_log_odds(scorer, theta), tokens[half : len(tokens) - half]))
        found.append(LogOdds(change, *odds))
    return found
