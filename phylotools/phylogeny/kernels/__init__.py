"""Interchangeable implementations of the pruning recursion.

Every kernel takes a `PruningPlan`, tip states and log rates, and gives the log-likelihood of each
column; `phylotools.phylogeny.likelihood` chooses one.
"""
