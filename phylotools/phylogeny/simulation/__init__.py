"""Columns evolved down a tree: the sites they start from, evolution, and what goes missing."""

from phylotools.phylogeny.simulation.columns import (
    EvolvedColumns,
    TreeWalk,
    evolve_along,
    evolve_columns,
    make_walk,
    stream_key,
)
from phylotools.phylogeny.simulation.missing import MissingData
from phylotools.phylogeny.simulation.sites import SiteDistribution

__all__ = [
    "EvolvedColumns",
    "MissingData",
    "SiteDistribution",
    "TreeWalk",
    "evolve_along",
    "evolve_columns",
    "make_walk",
    "stream_key",
]
