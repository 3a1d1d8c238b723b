"""The compiled kernel for NVIDIA GPUs, by Triton.

`dispatch` chooses a family of models and launches, `pruning` is what all families do, `f81`, `hky`
and `reversible` what each does on a branch, `species` the plan of the species that a block of
columns has (from the `layout` of the whole tree), `arithmetic` exponentials and powers of two.

Triton comes with CUDA builds of torch; nothing of it is imported before a kernel is launched. With
the environment variable ``TRITON_INTERPRET=1`` the same code runs on a CPU, slowly, for tests.
"""

from phylotools.phylogeny.kernels.gpu.dispatch import available, log_likelihood

__all__ = ["available", "log_likelihood"]
