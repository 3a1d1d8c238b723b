"""Parameters of single sites from their alignment columns, without a network.

`fit` finds the most probable parameters of every site, `shared` those that all sites share,
`conservation` tests each site's rate, `optimiser` is the search under all of them.
"""

from phylotools.phylogeny.site_fit.conservation import neutral_theta, rate_test
from phylotools.phylogeny.site_fit.fit import (
    WIDTH_OF_SCORES,
    SitePrior,
    fit_prior_widths,
    fit_sites,
    held_out_log_likelihood,
)
from phylotools.phylogeny.site_fit.shared import learn_shared_parameters

__all__ = [
    "WIDTH_OF_SCORES",
    "SitePrior",
    "fit_prior_widths",
    "fit_sites",
    "held_out_log_likelihood",
    "learn_shared_parameters",
    "neutral_theta",
    "rate_test",
]
