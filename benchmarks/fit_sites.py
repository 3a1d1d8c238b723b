"""Per-site fits: batched BFGS against 200 steps of Adam, one thread, by processor time.

python benchmarks/fit_sites.py COLUMNS.store

Columns are the store's first 2,048. Beside the speed, the mean log posterior that each reaches, in
float64, below the best of both.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import torch
from paired import compare

from phylotools.phylogeny.likelihood import (
    PruningPlan,
    column_log_likelihood,
    log_reference_frequency,
    make_plan,
)
from phylotools.phylogeny.site_fit import SitePrior, fit_sites
from phylotools.phylogeny.site_fit.conservation import neutral_theta, rate_test
from phylotools.phylogeny.substitution import SUBSTITUTION_MODELS, SubstitutionModel
from phylotools.store.columns import columns_in_order
from phylotools.store.read import open_store
from phylotools.threads import set_threads

COLUMNS = 2048
STEP_SIZE, STEPS = 0.15, 200
PRIOR = SitePrior()


def log_posterior(
    states: torch.Tensor,
    reference: torch.Tensor,
    theta: torch.Tensor,
    plan: PruningPlan,
    model: SubstitutionModel,
) -> torch.Tensor:
    """What is maximised, a number a column."""
    return (
        column_log_likelihood(states, theta, plan, model)
        - log_reference_frequency(reference, theta, model)
        + PRIOR.log_density(theta, model)
    )


def adam(
    states: torch.Tensor, reference: torch.Tensor, plan: PruningPlan, model: SubstitutionModel
) -> torch.Tensor:
    """A first-order search from equal frequencies at the neutral rate."""
    theta = model.with_log_rate(torch.zeros(len(states), 4), model.neutral_log_rate)
    theta = theta.detach().requires_grad_()
    optimiser = torch.optim.Adam([theta])
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = STEP_SIZE * (1 - step / STEPS) + 1e-3
        optimiser.zero_grad()
        (-log_posterior(states, reference, theta, plan, model).sum()).backward()
        optimiser.step()
    return theta.detach()


def main() -> None:
    torch.set_num_threads(1)
    set_threads(1)
    store = open_store(sys.argv[1])
    columns = next(columns_in_order(store))[0]
    states = torch.from_numpy(columns.states[:COLUMNS])
    reference = torch.from_numpy(columns.reference[:COLUMNS])
    plan = make_plan(store.tree.with_minimum_branch_length(1e-6))
    print(f"{len(states)} columns of {store.tree.n_tips} species")
    for name, kind in SUBSTITUTION_MODELS.items():
        model = kind().requires_grad_(False)
        print(name)
        neutral = neutral_theta(torch.zeros(4), model)
        ways = {
            "Adam": partial(adam, states, reference, plan, model),
            "BFGS": partial(fit_sites, states, reference, plan, PRIOR, model),
            "rate test": partial(rate_test, states, plan, neutral, model),
        }
        compare(ways, work=len(states), unit="sites/s", runs=3, clock=time.process_time)
        reached = {
            way: log_posterior(states, reference, ways[way]().double(), plan, model)
            for way in ("Adam", "BFGS")
        }
        best = torch.maximum(*reached.values())
        for way, value in reached.items():
            gap = best - value
            print(
                f"  {way}: mean {gap.mean():.5f} nats below the better, "
                f"{100 * (gap > 1e-3).double().mean():.2f} % of columns by more than 0.001"
            )


if __name__ == "__main__":
    main()
