"""The compiled kernel for the CPU.

`dispatch` chooses a family of models and shares columns out to threads, `pruning` is what all
families do, `f81`, `hky` and `reversible` what each does on a branch, `lanes` the vectors in which
they do it for many columns at once.
"""

from phylotools.phylogeny.kernels.cpu.dispatch import log_likelihood

__all__ = ["log_likelihood"]
