"""The scores of single-nucleotide variants, and the baselines that stand beside them.

All are low where a change is not tolerated.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.phylogeny.change_scores import SiteTerms
from phylotools.phylogeny.score_meaning import CALIBRATED, SCORE_NAMES
from phylotools.phylogeny.substitution import SubstitutionModel

Floats = NDArray[np.float64]
#: Those that need no more than theta.
SCORES = tuple(name for name in SCORE_NAMES if name != CALIBRATED)


def variant_scores(
    substitution: SubstitutionModel,
    theta: NDArray[np.float32],
    ref: NDArray[np.int64],
    alt: NDArray[np.int64],
) -> dict[str, Floats]:
    """Every score of M variants.

    Parameters
    ----------
    substitution : SubstitutionModel
    theta : float32 array [M, 4]
        Of each variant's site.
    ref, alt : int64 array [M]
        Codes of bases.

    Returns
    -------
    dict of str to float64 array [M]
    """
    rows = np.arange(len(ref))
    terms = SiteTerms(rows, rows, ref.astype(np.uint8), alt.astype(np.uint8), len(rows))
    with torch.inference_mode():
        sites = torch.from_numpy(theta).double()
        numbers = (
            substitution.log_equilibrium_frequencies(sites).numpy(),
            substitution.log_rate(sites).numpy(),
            substitution.site_rate(sites).numpy(),
        )
    process = substitution.mutation_process()
    return {name: process.scores(name, *numbers, terms) for name in SCORES}


def column_log_frequency(
    counts: NDArray[np.int64], ref: NDArray[np.int64], alt: NDArray[np.int64]
) -> Floats:
    """Log of how often the column has ALT over how often it has REF, half a count added to both.

    Parameters
    ----------
    counts : int64 array [M, 4]
        Species with each base at each variant's site.
    ref, alt : int64 array [M]
    """
    rows = np.arange(len(ref))
    return np.log(counts[rows, alt] + 0.5) - np.log(counts[rows, ref] + 0.5)


#: How little each consequence is tolerated: known of the genetic code, before any alignment.
CLASS_RANKS = {"synonymous": 0.0, ".": -1.0, "missense": -2.0, "nonsense": -3.0}


def class_alone(consequence: NDArray[np.str_]) -> Floats:
    """The order synonymous, other, missense, nonsense."""
    return np.array([CLASS_RANKS[name] for name in consequence])


def type_alone(
    types: NDArray[np.str_],
    counts: NDArray[np.int64],
    ref: NDArray[np.int64],
    alt: NDArray[np.int64],
) -> Floats:
    """How often columns have ALT over how often they have REF, over all variants of the same type.

    Parameters
    ----------
    types : str array [M]
    counts, ref, alt
        As for `column_log_frequency`.
    """
    rows = np.arange(len(ref))
    found = np.empty(len(types))
    for name in np.unique(types):
        chosen = types == name
        seen = counts[rows, alt][chosen].sum() + 0.5
        found[chosen] = np.log(seen / (counts[rows, ref][chosen].sum() + 0.5))
    return found
