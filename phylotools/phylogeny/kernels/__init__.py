"""Interchangeable implementations of the pruning recursion.

Every kernel takes tip states, theta, a `PruningPlan` and a substitution model, and gives the
log-likelihood of each column, or NaN where it cannot; `phylotools.phylogeny.likelihood` chooses.
"""
