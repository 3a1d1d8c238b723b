"""Cost of a column by the number of species in it, of the compiled kernel.

python benchmarks/likelihood_species.py [--threads N] TREE.nh

Three series on one tree: pruned trees with every species present; the whole tree with species
absent from stretches of columns, as in alignment blocks, in order and shuffled; the whole tree with
species absent at random.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from paired import compare

from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import F81
from phylotools.phylogeny.tree import parse_newick
from phylotools.threads import set_threads

COLUMNS = 8192
#: Columns of one alignment block, and tips that go missing together, on average.
BLOCK, CLADE = 200, 8


def gradient(states: torch.Tensor, theta: torch.Tensor, plan: PruningPlan) -> None:
    theta = theta.clone().requires_grad_()
    column_log_likelihood(states, theta, plan, F81(), kernel="cpu").sum().backward()


def absent_in_blocks(rng: np.random.Generator, states: np.ndarray, fraction: float) -> np.ndarray:
    """Runs of neighbouring tips missing from whole blocks of columns."""
    states = states.copy()
    for begin in range(0, len(states), BLOCK):
        missing = np.zeros(states.shape[1], dtype=bool)
        while missing.mean() < fraction:
            first = rng.integers(len(missing))
            missing[first : first + rng.geometric(1 / CLADE)] = True
        states[begin : begin + BLOCK, missing] = 6
    return states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("tree")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    set_threads(arguments.threads)
    clock = time.process_time if arguments.threads == 1 else time.perf_counter
    tree = parse_newick(Path(arguments.tree).read_text()).with_minimum_branch_length(1e-6)
    plan, rng = make_plan(tree), np.random.default_rng(0)
    theta = torch.from_numpy(rng.normal(size=(COLUMNS, 4)).astype(np.float32))
    full = rng.integers(0, 4, (COLUMNS, tree.n_tips), dtype=np.uint8)

    print("every species present, trees pruned to so many")
    ways = {}
    for n_tips in (32, 64, 128, 256, tree.n_tips):
        kept = np.linspace(0, tree.n_tips - 1, n_tips).round().astype(int)
        smaller = make_plan(tree.prune([tree.tips[index] for index in kept]))
        ways[f"{n_tips} species"] = partial(
            gradient, torch.from_numpy(full[:, kept].copy()), theta, smaller
        )
    compare(ways, work=COLUMNS, unit="columns/s", clock=clock)

    print(f"{tree.n_tips} species, some absent")
    ways = {"none absent": partial(gradient, torch.from_numpy(full), theta, plan)}
    for fraction in (0.5, 0.75, 0.9):
        states = absent_in_blocks(rng, full, fraction)
        shuffled = states[rng.permutation(COLUMNS)]
        present = f"{(states < 4).mean():.2f} present"
        ways[f"{present}, in blocks"] = partial(gradient, torch.from_numpy(states), theta, plan)
        ways[f"{present}, shuffled"] = partial(gradient, torch.from_numpy(shuffled), theta, plan)
    scattered = np.where(rng.random(full.shape) < 0.5, np.uint8(5), full)
    ways["0.50 present, at random"] = partial(gradient, torch.from_numpy(scattered), theta, plan)
    compare(ways, work=COLUMNS, unit="columns/s", clock=clock)


if __name__ == "__main__":
    main()
