"""The compiled kernel against plain torch, one thread, float32: log-likelihood and gradient.

python benchmarks/likelihood.py TREE.nh [TREE.nh ...]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numba
import torch
from paired import compare

from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood, make_plan
from phylotools.phylogeny.tree import parse_newick

COLUMNS = 512


def gradient(kernel: str, states: torch.Tensor, theta: torch.Tensor, plan: PruningPlan) -> None:
    """One evaluation with its gradient."""
    theta = theta.clone().requires_grad_()
    column_log_likelihood(states, theta, plan, kernel=kernel).sum().backward()


def main() -> None:
    torch.set_num_threads(1)
    numba.set_num_threads(1)
    for path in sys.argv[1:]:
        tree = parse_newick(Path(path).read_text(), path=path).with_minimum_branch_length(1e-6)
        plan = make_plan(tree)
        torch.manual_seed(0)
        # Codes 0 to 5 equally often; 4 and 5 are missing data.
        states = torch.randint(0, 6, (COLUMNS, tree.n_tips), dtype=torch.uint8)
        theta = torch.randn(COLUMNS, 4)
        print(f"{Path(path).name}: {tree.n_tips} species, {COLUMNS} columns")
        ways = {name: partial(gradient, name, states, theta, plan) for name in ("reference", "cpu")}
        compare(ways, work=COLUMNS, unit="columns/s")


if __name__ == "__main__":
    main()
