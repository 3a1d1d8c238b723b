"""Part B: the rate free, under a prior, or fixed: what each does to the scores of alleles."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from measures import (
    Floats,
    Sites,
    Table,
    area_under_roc,
    correlation,
    misordering,
    rank_correlation,
    read_sites,
    rmse,
    substitutions_seen,
)
from numpy.typing import NDArray
from torch import Tensor
from truth import (
    COLD_SITES,
    ONE_RATE,
    REFERENCE,
    VARYING_RATES,
    Columns,
    Truth,
    make_models,
    read_tree,
    simulate,
    spread_tree,
)

from phylotools.phylogeny.likelihood import column_log_likelihood, log_reference_frequency
from phylotools.phylogeny.simulation import MissingData, evolve_columns
from phylotools.phylogeny.site_fit import (
    SitePrior,
    fit_prior_widths,
    fit_sites,
    held_out_log_likelihood,
)
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.tree import Tree

MODELS = ("f81", "mutation-selection")
#: Losses on every branch, each for the whole clade behind it: one cell in fourteen is empty.
MISSING = MissingData(gap_rate=0.3, dropout_rate=0.0)
#: A conserved column shows no more substitutions than this.
MOST_SUBSTITUTIONS = 1
#: LLRs of alleles that selection strongly opposes, and of those that it hardly minds.
STRONG, WEAK = -4.0, -2.0
#: Priors on a site, as `fit-sites` has them by default but for log R. Allele scores so wide that
#: nothing is asked of them make maximum likelihood of it.
_NO_PRIOR = 30.0
TREATMENTS: dict[str, SitePrior] = {
    "maximum likelihood": SitePrior(log_rate_sd=math.inf, log_frequency_sd=_NO_PRIOR),
    "free": SitePrior(log_rate_sd=math.inf),
    "prior": SitePrior(log_rate_sd=1.0),
    "fitted prior": SitePrior(log_rate_sd=1.0),
    "all widths fitted": SitePrior(log_rate_sd=1.0),
    "fixed": SitePrior(log_rate_sd=0.0),
}
#: What stays as it is where a prior is fitted to hidden species.
_HELD = {"fitted prior": {"log_frequency_sd"}, "all widths fitted": set()}


@dataclass(frozen=True)
class Size:
    """Truths, their sites and species, columns that priors are fitted to, sites in a plot."""

    truths: tuple[Truth, ...]
    sites: int
    species: int
    prior_columns: int
    shown: int


FULL = Size((ONE_RATE, VARYING_RATES, COLD_SITES), 6000, 447, 1000, 700)
QUICK = Size((VARYING_RATES,), 300, 128, 100, 100)


def study_rate(size: Size, seed: int) -> tuple[Table, Table]:
    """How each treatment scores alleles, and the sites of one simulation as they were fitted."""
    tree, models = spread_tree(size.species), make_models()
    hidden = hidden_species(tree, seed)
    table, shown = Table(), Table()
    for name in MODELS:
        model = models[name]
        for truth in size.truths:
            columns = simulate(tree, model, truth, size.sites, seed, MISSING)
            true = read_sites(model, columns.theta, columns.reference)
            is_conserved = substitutions_seen(columns.states, tree) <= MOST_SUBSTITUTIONS
            sample = columns.at(slice(size.prior_columns))
            for treatment in TREATMENTS:
                prior = prior_of(treatment, model, sample, hidden)
                fitted, held_out = fit_and_predict(columns, prior, model, hidden)
                table.append(
                    {
                        "model": name,
                        "truth": truth.name,
                        "rate": treatment,
                        "mean_log_rate": float(prior.log_rate_mean or 0),
                        "log_rate_sd": prior.log_rate_sd,
                        "score_sd": prior.log_frequency_sd,
                        "held_out_nats": held_out,
                        **_measure(true, fitted, is_conserved, seed),
                    }
                )
                if truth is VARYING_RATES:
                    chosen = _balanced(is_conserved, size.shown)
                    shown += _site_rows(name, treatment, true, fitted, is_conserved, chosen)
    return table, shown


def hidden_species(tree: Tree, seed: int) -> Tensor:
    """A tenth of the species, by which fits to the others are judged."""
    others = [index for index, name in enumerate(tree.tips) if name != REFERENCE]
    chosen = np.random.default_rng(seed).choice(others, len(others) // 10, replace=False)
    return torch.from_numpy(np.sort(chosen))


def prior_of(
    treatment: str, model: SubstitutionModel, sample: Columns, hidden: Tensor
) -> SitePrior:
    """What a treatment assumes of every site."""
    prior = replace(TREATMENTS[treatment], log_rate_mean=model.neutral_log_rate)
    if treatment not in _HELD:
        return prior
    return fit_prior_widths(
        sample.states, sample.reference, sample.plan, model, hidden,
        initial=prior, hold=frozenset(_HELD[treatment]),
    )  # fmt: skip


def fit_and_predict(
    columns: Columns, prior: SitePrior, model: SubstitutionModel, hidden: Tensor
) -> tuple[Sites, float]:
    """Sites fitted to all species; mean log-likelihood of hidden ones given a fit to the rest."""
    theta = fit_sites(columns.states, columns.reference, columns.plan, prior, model)
    shown = columns.states.clone()
    shown[:, hidden] = 255
    without = fit_sites(shown, columns.reference, columns.plan, prior, model, start=theta)
    nats = held_out_log_likelihood(columns.states, without, columns.plan, model, hidden)
    return read_sites(model, theta, columns.reference), float(nats.double().mean())


def _measure(
    true: Sites, fitted: Sites, is_conserved: NDArray[np.bool_], seed: int
) -> dict[str, float]:
    truth, estimate = true.llr.ravel(), fitted.llr.ravel()
    rng = np.random.default_rng(seed)
    every = np.arange(len(truth))
    conserved = every[np.repeat(is_conserved, 3)]
    against_all = misordering(truth, estimate, conserved, every, rng)
    among = misordering(truth, estimate, conserved, conserved, rng)
    is_clear = (truth < STRONG) | (truth > WEAK)
    inside = is_clear & np.repeat(is_conserved, 3)
    return {
        "conserved_columns": float(is_conserved.mean()),
        "misordered": against_all.share,
        "misordered_true_nats": against_all.true_nats,
        "misordered_estimated_nats": against_all.estimated_nats,
        "misordered_among_conserved": among.share,
        "auroc": area_under_roc(-estimate[is_clear], truth[is_clear] < STRONG),
        "auroc_conserved": area_under_roc(-estimate[inside], truth[inside] < STRONG),
        "llr_rank_correlation": rank_correlation(truth, estimate),
        "llr_rmse": rmse(truth, estimate),
        "llr_mean_conserved": float(estimate[conserved].mean()),
        "llr_true_mean_conserved": float(truth[conserved].mean()),
        "log_rate_correlation": correlation(true.log_rate, fitted.log_rate),
        "log_rate_correlation_conserved": correlation(
            true.log_rate[is_conserved], fitted.log_rate[is_conserved]
        ),
        **_spread("log_rate_conserved", fitted.log_rate[is_conserved]),
        "log_site_rate_rank_correlation": rank_correlation(
            true.log_site_rate, fitted.log_site_rate
        ),
    }


def _spread(name: str, values: Floats) -> dict[str, float]:
    return {f"{name}_{p}%": float(np.percentile(values, p)) for p in (5, 50, 95)}


def _balanced(is_conserved: NDArray[np.bool_], number: int) -> NDArray[np.int64]:
    """The first sites of each kind, equally many."""
    kinds = (np.flatnonzero(is_conserved), np.flatnonzero(~is_conserved))
    return np.sort(np.concatenate([kind[: number // 2] for kind in kinds]))


def _site_rows(
    name: str,
    treatment: str,
    true: Sites,
    fitted: Sites,
    is_conserved: NDArray[np.bool_],
    chosen: NDArray[np.int64],
) -> Table:
    """One alternative allele of each site: more would lie on top of each other."""
    return [
        {
            "model": name,
            "rate": treatment,
            "conserved": int(is_conserved[site]),
            "true_log_rate": float(true.log_rate[site]),
            "log_rate": float(fitted.log_rate[site]),
            "true_llr": float(true.llr[site, site % 3]),
            "llr": float(fitted.llr[site, site % 3]),
        }
        for site in chosen.tolist()
    ]


#: The grid on which the likelihood of one column is drawn: LLR of every alternative and log R.
LLR_GRID, RATE_GRID = np.arange(-60, 11) / 5, np.arange(-30, 31) / 5
VARIABLE_LLR = -1.0


def study_confound() -> Table:
    """Likelihood and prior of two columns over LLR and log R, under each model.

    All three alternatives have the same LLR. One column shows the same base in all species; the
    other evolved at the neutral log R, with an LLR of `VARIABLE_LLR`.
    """
    tree = read_tree()
    conserved = torch.zeros(1, tree.n_tips, dtype=torch.uint8)
    llr, log_rate = (torch.from_numpy(x.ravel()) for x in np.meshgrid(LLR_GRID, RATE_GRID))
    table = Table()
    for name in MODELS:
        model = make_models()[name]
        score = torch.stack([torch.zeros_like(llr), llr, llr, llr], dim=1)
        theta = score - model.allele_scores(torch.zeros(4, dtype=torch.float64))
        theta = model.with_log_rate(theta, log_rate + model.neutral_log_rate)
        prior = TREATMENTS["prior"]
        variable = _evolved(theta[(llr == VARIABLE_LLR) & (log_rate == 0)], tree, model)
        for kind, column in (("conserved", conserved), ("variable", variable)):
            reference = column[:, tree.tips.index(REFERENCE)].expand(len(theta))
            nats = column_log_likelihood(column.expand(len(theta), -1), theta, tree, model)
            nats = nats - log_reference_frequency(reference, theta, model)
            density = prior.log_density(theta, model)
            for row in range(len(theta)):
                table.append(
                    {
                        "model": name,
                        "column": kind,
                        "llr": float(llr[row]),
                        "log_rate": float(log_rate[row]),
                        "log_likelihood": float(nats[row]),
                        "log_prior": float(density[row]),
                    }
                )
    return table


def _evolved(theta: Tensor, tree: Tree, model: SubstitutionModel) -> Tensor:
    """The first column of this site with reference base A and ten substitutions; (1, S)."""
    states = torch.from_numpy(evolve_columns(theta.expand(500, 4), tree, model).states)
    is_a = states[:, tree.tips.index(REFERENCE)] == 0
    return states[is_a.numpy() & (substitutions_seen(states, tree) == 10)][:1]
