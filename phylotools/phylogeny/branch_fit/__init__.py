"""Branch lengths from alignment columns: one factor for all, or every branch's own.

Columns are taken to evolve under one substitution model with the background's frequencies, at
rates that differ between equally large classes of sites and have the mean 1: branch lengths are
then expected substitutions per site, the mean over the columns.
"""

from phylotools.phylogeny.branch_fit.fit import (
    FittedTree,
    fit_factor,
    fit_lengths,
    fit_near,
    fit_shared,
)
from phylotools.phylogeny.branch_fit.information import informative_columns
from phylotools.phylogeny.branch_fit.site_classes import SiteClasses

__all__ = [
    "FittedTree",
    "SiteClasses",
    "fit_factor",
    "fit_lengths",
    "fit_near",
    "fit_shared",
    "informative_columns",
]
