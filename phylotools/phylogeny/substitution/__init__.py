"""Models of substitution: how a site's four numbers make a reversible rate matrix.

One class a model, all with the interface of `SubstitutionModel`; `make_substitution_model` makes
one by name.
"""

from phylotools.phylogeny.change_scores import NEUTRAL_LOG_RATE, PAIRS
from phylotools.phylogeny.substitution.base import SubstitutionModel
from phylotools.phylogeny.substitution.catalogue import (
    SUBSTITUTION_MODELS,
    make_substitution_model,
)
from phylotools.phylogeny.substitution.exchangeability import F81, GTR, HKY
from phylotools.phylogeny.substitution.mutation_selection import MutationSelection

__all__ = [
    "F81",
    "GTR",
    "HKY",
    "NEUTRAL_LOG_RATE",
    "PAIRS",
    "SUBSTITUTION_MODELS",
    "MutationSelection",
    "SubstitutionModel",
    "make_substitution_model",
]
