"""Columns per second of the likelihood: log-likelihood and gradient, float32.

python benchmarks/likelihood.py [--threads N] [--columns C] TREE.nh [TREE.nh ...]

Every substitution model against plain PyTorch (`naive_pruning.py`) under F81, and the growth of the
process under each. With one thread by processor time, so that other work matters less.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import naive_pruning
import torch
from naive_pruning import Children, log_likelihood
from paired import compare

from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import F81, GTR, HKY, MutationSelection, SubstitutionModel
from phylotools.phylogeny.tree import parse_newick
from phylotools.threads import set_threads

MODELS: tuple[SubstitutionModel, ...] = (F81(), HKY(), GTR(), MutationSelection())
#: For the plain version: as many columns as it keeps 90 KB each for.
PLAIN_COLUMNS = 1024
#: In which the growth of the process is measured.
MANY_COLUMNS = 327_680


def plain(states: torch.Tensor, theta: torch.Tensor, nodes: list[Children]) -> None:
    for begin in range(0, len(theta), PLAIN_COLUMNS):
        part = theta[begin : begin + PLAIN_COLUMNS].clone().requires_grad_()
        log_likelihood(states[begin : begin + PLAIN_COLUMNS], part, nodes).sum().backward()


def compiled(
    model: SubstitutionModel, states: torch.Tensor, theta: torch.Tensor, plan: PruningPlan
) -> None:
    theta = theta.clone().requires_grad_()
    column_log_likelihood(states, theta, plan, model, kernel="cpu").sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--columns", type=int, default=16384)
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--growth", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.growth is not None:
        print(measure_growth(arguments.growth, arguments.trees[0]))
        return
    torch.set_num_threads(arguments.threads)
    set_threads(arguments.threads)
    for path in arguments.trees:
        text = Path(path).read_text()
        tree = parse_newick(text, path=path).with_minimum_branch_length(1e-6)
        plan = make_plan(tree)
        tips, nodes = naive_pruning.parse_newick(text)
        assert tips == list(tree.tips)
        torch.manual_seed(0)
        # Codes 0 to 5 equally often; 4 and 5 are missing data.
        states = torch.randint(0, 6, (arguments.columns, tree.n_tips), dtype=torch.uint8)
        theta = torch.randn(arguments.columns, 4)
        print(f"{Path(path).name}: {tree.n_tips} species, {arguments.threads} threads")
        few = slice(0, PLAIN_COLUMNS)
        value = log_likelihood(states[few], theta[few], nodes)
        error = (column_log_likelihood(states[few], theta[few], plan) / value - 1).abs().max()
        print(f"largest relative difference of the log-likelihoods: {error:.1e}")
        # The plain version gets fewer columns, to take about as long.
        ways = {"plain torch, F81": partial(plain, states[few], theta[few], nodes)}
        work = {"plain torch, F81": float(PLAIN_COLUMNS)}
        for model in MODELS:
            ways[model.name] = partial(compiled, model, states, theta, plan)
            work[model.name] = float(arguments.columns)
        clock = time.process_time if arguments.threads == 1 else time.perf_counter
        compare(ways, work=work, unit="columns/s", clock=clock)
        for model in MODELS:
            print(f"  {model.name:24s} {growth(model, path):.0f} bytes a column beyond in and out")


def growth(model: SubstitutionModel, path: str) -> float:
    """Bytes a column by which a process of its own grows beyond inputs, values and gradients."""
    done = subprocess.run(
        [sys.executable, __file__, "--growth", model.name, path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def measure_growth(name: str, path: str) -> float:
    """What `growth` prints; compiled code and its workspace are there before it begins."""
    set_threads(2)
    plan = make_plan(parse_newick(Path(path).read_text()).with_minimum_branch_length(1e-6))
    model = next(model for model in MODELS if model.name == name)
    states = torch.randint(0, 6, (MANY_COLUMNS, plan.n_tips), dtype=torch.uint8)
    theta = torch.randn(MANY_COLUMNS, 4).requires_grad_()
    few = theta[:4096].detach()
    compiled(model, states[:4096], few, plan)
    before = peak_bytes()
    column_log_likelihood(states, theta, plan, model, kernel="cpu").sum().backward()
    beyond = peak_bytes() - before - MANY_COLUMNS * 5 * 4
    return beyond / MANY_COLUMNS


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
