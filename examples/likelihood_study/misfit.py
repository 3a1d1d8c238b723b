"""Part C: what each model makes of columns that evolved under another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from measures import (
    Sites,
    Table,
    area_under_roc,
    rank_correlation,
    read_sites,
    rmse,
)
from numpy.typing import NDArray
from rate import MISSING, STRONG, TREATMENTS, WEAK, fit_and_predict, hidden_species
from truth import ONE_RATE, VARYING_RATES, Columns, Truth, make_models, simulate, spread_tree

from phylotools.phylogeny.site_fit import SitePrior
from phylotools.phylogeny.site_fit.shared import learn_shared_parameters
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model

#: What the columns evolve under: label, model and distribution of sites.
TRUTHS: tuple[tuple[str, str, Truth], ...] = (
    ("mutation-selection, one rate", "mutation-selection", ONE_RATE),
    ("mutation-selection, varying rates", "mutation-selection", VARYING_RATES),
    ("HKY, varying rates", "hky", VARYING_RATES),
)
#: What is fitted: label, model and treatment of the rate.
FITS = (
    ("F81", "f81", "prior"),
    ("HKY", "hky", "prior"),
    ("GTR", "gtr", "prior"),
    ("mutation-selection", "mutation-selection", "prior"),
    ("mutation-selection, R = 1", "mutation-selection", "fixed"),
)


@dataclass(frozen=True)
class Size:
    """Truths, their sites and species, and columns that shared parameters are learned from."""

    truths: tuple[tuple[str, str, Truth], ...]
    sites: int
    species: int
    learned_columns: int


FULL = Size(TRUTHS, 6000, 447, 2000)
QUICK = Size(TRUTHS[:1], 300, 128, 100)


def study_misfit(size: Size, seed: int) -> Table:
    """How each model scores alleles under each truth."""
    tree, models = spread_tree(size.species), make_models()
    hidden = hidden_species(tree, seed)
    table = Table()
    for label, name, truth in size.truths:
        columns = simulate(tree, models[name], truth, size.sites, seed, MISSING)
        true = read_sites(models[name], columns.theta, columns.reference)
        for fit_label, fit_name, treatment in FITS:
            prior = TREATMENTS[treatment]
            model = learn(fit_name, columns.at(slice(size.learned_columns)), prior)
            fitted, held_out = fit_and_predict(columns, prior, model, hidden)
            table.append(
                {
                    "truth": label,
                    "fit": fit_label,
                    "held_out_nats": held_out,
                    **_measure(true, fitted, columns),
                }
            )
    return table


def learn(name: str, columns: Columns, prior: SitePrior) -> SubstitutionModel:
    """A model with shared parameters learned and background counted, as by `fit-sites`."""
    count = np.bincount(columns.reference.numpy(), minlength=4)
    background = (count / count.sum()).tolist()
    start = make_substitution_model(
        name,
        **{
            "f81": {},
            "mutation-selection": {"mutation_frequencies": background},
        }.get(name, {"background": background}),
    )
    learned = learn_shared_parameters(columns.states, columns.reference, columns.plan, start, prior)
    return learned.requires_grad_(False)


def substitution_kinds(columns: Columns, alternative: NDArray[np.int64]) -> dict[str, NDArray]:
    """Which alternatives, (C, 3), are transitions, and which take G or C to A or T or back."""
    reference = columns.reference.numpy().astype(np.int64)[:, None]
    is_transition = (reference ^ alternative) == 2  # A 0, C 1, G 2, T 3
    from_gc = np.isin(reference, (1, 2)).repeat(3, axis=1)
    to_gc = np.isin(alternative, (1, 2))
    return {
        "transition": is_transition,
        "transversion": ~is_transition,
        "gc_to_at": from_gc & ~to_gc,
        "at_to_gc": ~from_gc & to_gc,
    }


def _measure(true: Sites, fitted: Sites, columns: Columns) -> dict[str, float]:
    kinds = substitution_kinds(columns, true.alternative)
    is_neutral = (columns.site_class == 0)[:, None]
    error = fitted.llr - true.llr
    everything = np.ones_like(kinds["transition"])
    ranks = {
        f"rank_correlation_{kind}": rank_correlation(true.llr[chosen], fitted.llr[chosen])
        for kind, chosen in (("all", everything), *list(kinds.items())[:2])
    }
    bias = {
        f"neutral_bias_{kind}": float(error[chosen & is_neutral].mean())
        for kind, chosen in kinds.items()
    }
    is_clear = (true.llr < STRONG) | (true.llr > WEAK)
    return {
        "auroc": area_under_roc(-fitted.llr[is_clear], true.llr[is_clear] < STRONG),
        **ranks,
        **bias,
        "llr_rmse": rmse(true.llr, fitted.llr),
        "log_site_rate_rank_correlation": rank_correlation(
            true.log_site_rate, fitted.log_site_rate
        ),
        "log_site_rate_rmse": rmse(true.log_site_rate, fitted.log_site_rate),
    }
