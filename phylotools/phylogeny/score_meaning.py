"""What the allele scores of each substitution model are: known without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

_AGAINST_BACKGROUND = (
    "Log-likelihood ratio of ALT to REF relative to the background frequencies b, "
    "log(pi_ALT / b_ALT) - log(pi_REF / b_REF)"
)
#: Substitution model -> what the allele score of ALT minus that of REF is; ASCII, without quotes.
SCORE_MEANINGS = {
    "f81": "Log-likelihood ratio of ALT to REF, log pi_ALT - log pi_REF",
    "hky": _AGAINST_BACKGROUND,
    "gtr": _AGAINST_BACKGROUND,
    "mutation-selection": "Scaled fitness of ALT minus that of REF, F_ALT - F_REF",
}
#: The shared parameter that allele scores are relative to.
_WEIGHTS = {
    "hky": "background",
    "gtr": "background",
    "mutation-selection": "mutation_frequencies",
}


def log_base_weights(substitution: Mapping[str, Any]) -> tuple[float, ...]:
    """log pi of each base less its allele score, up to a constant of the site.

    Under every substitution model that is a number of the base alone: the log of its frequency
    under mutation, or 0.

    Parameters
    ----------
    substitution : mapping
        The name, ``model``, and the shared parameters, as in a model's configuration.

    Returns
    -------
    tuple of float
        Of A, C, G, T.
    """
    weights = substitution.get(_WEIGHTS.get(substitution["model"], ""), (1.0,) * 4)
    return tuple(math.log(weight / sum(weights)) for weight in weights)
