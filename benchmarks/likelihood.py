"""Columns per second of the likelihood: log-likelihood and gradient, float32.

python benchmarks/likelihood.py [--threads N] [--columns C] TREE.nh [TREE.nh ...]

Against `plain`: Felsenstein's pruning as one writes it in PyTorch, node by node, vectorised over
columns, gradient by autograd. Then the substitution models against each other.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch
from paired import compare

from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood, make_plan
from phylotools.phylogeny.substitution import F81, GTR, HKY, MutationSelection, SubstitutionModel
from phylotools.phylogeny.threads import set_threads
from phylotools.phylogeny.tree import parse_newick

#: For the plain version: as many columns as it keeps 90 KB each for.
PLAIN_COLUMNS = 1024


def plain_pruning(states: torch.Tensor, theta: torch.Tensor, plan: PruningPlan) -> torch.Tensor:
    """F81 pruning by autograd; partials of every merge scaled by their largest."""
    pi, rate = torch.softmax(theta, -1), torch.logsumexp(theta, -1).exp()
    one_hot = torch.cat([torch.eye(4), torch.ones(252, 4)])
    partials = [one_hot[states[:, tip].long()] for tip in range(plan.n_tips)]
    log_scale = torch.zeros(len(theta))
    for children, lengths in zip(plan.child.tolist(), plan.branch_length.tolist(), strict=True):
        product = torch.ones(len(theta), 4)
        for child, length in zip(children, lengths, strict=True):
            keep = torch.exp(-rate * length).unsqueeze(-1)
            mean = (pi * partials[child]).sum(-1, keepdim=True)
            product = product * (keep * partials[child] + (1 - keep) * mean)
        largest = product.amax(-1, keepdim=True)
        log_scale = log_scale + largest.squeeze(-1).log()
        partials.append(product / largest)
    return (pi * partials[-1]).sum(-1).log() + log_scale


def plain(states: torch.Tensor, theta: torch.Tensor, plan: PruningPlan) -> None:
    for begin in range(0, len(theta), PLAIN_COLUMNS):
        part = theta[begin : begin + PLAIN_COLUMNS].clone().requires_grad_()
        plain_pruning(states[begin : begin + PLAIN_COLUMNS], part, plan).sum().backward()


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
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    set_threads(arguments.threads)
    for path in arguments.trees:
        tree = parse_newick(Path(path).read_text(), path=path).with_minimum_branch_length(1e-6)
        plan = make_plan(tree)
        torch.manual_seed(0)
        # Codes 0 to 5 equally often; 4 and 5 are missing data.
        states = torch.randint(0, 6, (arguments.columns, tree.n_tips), dtype=torch.uint8)
        theta = torch.randn(arguments.columns, 4)
        print(f"{Path(path).name}: {tree.n_tips} species, {arguments.threads} threads")
        few = slice(0, PLAIN_COLUMNS)
        value = plain_pruning(states[few], theta[few], plan)
        error = (column_log_likelihood(states[few], theta[few], plan) / value - 1).abs().max()
        print(f"largest relative difference of the log-likelihoods: {error:.1e}")
        # The plain version gets fewer columns, to take about as long.
        ways = {"plain torch, F81": partial(plain, states[few], theta[few], plan)}
        work = {"plain torch, F81": float(PLAIN_COLUMNS)}
        for model in (F81(), HKY(), GTR(), MutationSelection()):
            ways[model.name] = partial(compiled, model, states, theta, plan)
            work[model.name] = float(arguments.columns)
        compare(ways, work=work, unit="columns/s")


if __name__ == "__main__":
    main()
