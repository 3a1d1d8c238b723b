"""Part A: how near fits come to the truth as species are added, each model fitted to its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from measures import Table, correlation, read_sites, rmse
from truth import (
    MUTATION,
    NEUTRAL_SITES,
    ONE_RATE,
    VARYING_RATES,
    Columns,
    Truth,
    make_models,
    many_trees,
    read_tree,
    simulate,
    spread_order,
)

from phylotools.phylogeny.site_fit import fit_sites
from phylotools.phylogeny.site_fit.shared import learn_shared_parameters
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model

#: Label, model and truth of each panel.
CASES = (
    ("F81", "f81", VARYING_RATES),
    ("HKY", "hky", VARYING_RATES),
    ("GTR", "gtr", VARYING_RATES),
    ("mutation-selection", "mutation-selection", VARYING_RATES),
    ("mutation-selection, R = 1", "mutation-selection", ONE_RATE),
)
QUANTITIES = ("llr", "allele_score", "log_rate", "log_site_rate")
#: Of the shared parameters, beside the number of species or columns that is varied.
_SITES_OF = {"all": VARYING_RATES, "neutral": NEUTRAL_SITES}


@dataclass(frozen=True)
class Size:
    """How much is simulated.

    Attributes
    ----------
    sites : int
    species : tuple of int
        Numbers of species of the tree, ascending.
    copies : tuple of int
        Trees put together, for numbers of species beyond those of one.
    shared_columns : tuple of int
        Numbers of columns that shared parameters are learned from, ascending; the one before
        the last is that at which the number of species is varied.
    shared_species : tuple of int
    replicates : int
        Of each learning.
    """

    sites: int
    species: tuple[int, ...]
    copies: tuple[int, ...]
    shared_columns: tuple[int, ...]
    shared_species: tuple[int, ...]
    replicates: int


FULL = Size(3000, (8, 16, 32, 64, 128, 256, 447), (4, 16), (250, 1000, 4000), (8, 32, 128, 447), 3)
QUICK = Size(300, (8, 64), (), (100, 300), (8, 64), 1)


def study_recovery(size: Size, seed: int) -> Table:
    """Errors of the numbers of a site, by model, species and class of site."""
    tree = read_tree()
    order, models, table = spread_order(tree), make_models(), Table()
    for label, name, truth in CASES:
        model = models[name]
        columns = simulate(tree, model, truth, size.sites, seed)
        for number in size.species:
            table += _errors(label, model, truth, columns.of_species(order[:number]))
        for copies in size.copies:
            columns = simulate(many_trees(tree, copies), model, truth, size.sites, seed)
            table += _errors(label, model, truth, columns)
    return table


def _errors(label: str, model: SubstitutionModel, truth: Truth, columns: Columns) -> Table:
    prior, reference = truth.prior(model), columns.reference
    theta = fit_sites(columns.states, reference, columns.plan, prior, model)
    nothing = model.with_log_rate(
        -model.allele_scores(torch.zeros(1, 4, dtype=torch.float64)), prior.log_rate_mean
    )
    true, fitted, unseen = (
        read_sites(model, numbers, reference)
        for numbers in (columns.theta, theta, nothing.expand(len(theta), 4))
    )
    table = Table()
    for index in (None, *range(len(truth.classes))):
        chosen = slice(None) if index is None else columns.site_class == index
        for quantity in QUANTITIES:
            values = [getattr(sites, quantity)[chosen] for sites in (true, fitted, unseen)]
            table.append(
                {
                    "model": label,
                    "species": columns.tree.n_tips,
                    "tree_length": columns.tree.total_length,
                    "class": "all" if index is None else truth.classes[index].name,
                    "sites": len(values[0]),
                    "quantity": quantity,
                    "rmse": rmse(values[0], values[1]),
                    "rmse_without_data": rmse(values[0], values[2]),
                    "correlation": correlation(values[0], values[1]),
                }
            )
    return table


def study_shared(size: Size, seed: int) -> Table:
    """Errors of what all sites share, by number of species and of columns."""
    tree = read_tree()
    order, table = spread_order(tree), Table()
    trials = [(species, size.shared_columns[-2]) for species in size.shared_species]
    trials += [(size.shared_species[-1], columns) for columns in size.shared_columns]
    for name, model in make_models().items():
        if name == "f81":
            continue
        for kind, truth in _SITES_OF.items():
            for replicate in range(size.replicates):
                most = simulate(tree, model, truth, max(size.shared_columns), seed + replicate)
                for species, number in dict.fromkeys(trials):
                    columns = most.at(slice(number)).of_species(order[:species])
                    learned = _learn(name, truth, columns)
                    table.append(
                        {
                            "model": name,
                            "sites": kind,
                            "species": species,
                            "columns": number,
                            "replicate": replicate + 1,
                            "log_error": shared_error(model, learned),
                            "learned": describe_shared(learned),
                        }
                    )
    return table


def _learn(name: str, truth: Truth, columns: Columns) -> SubstitutionModel:
    known = {} if name == "mutation-selection" else {"background": MUTATION}
    start = make_substitution_model(name, **known)
    return learn_shared_parameters(
        columns.states, columns.reference, columns.plan, start, truth.prior(start)
    )


def shared_error(true: SubstitutionModel, learned: SubstitutionModel) -> float:
    """RMSE of the logarithms of the shared parameters, each kind up to a factor."""
    errors = []
    for key, value in true.settings().items():
        if key in ("background", "strand_symmetric"):
            continue
        ratio = np.log(np.atleast_1d(learned.settings()[key])) - np.log(np.atleast_1d(value))
        errors += (ratio - (ratio.mean() if len(ratio) > 1 else 0)).tolist()
    return float(np.sqrt(np.mean(np.square(errors))))


def describe_shared(model: SubstitutionModel) -> str:
    """The shared parameters in a cell of a table."""
    kinds = (
        f"{key} {' '.join(f'{number:.3f}' for number in np.atleast_1d(value))}"
        for key, value in model.settings().items()
        if key not in ("background", "strand_symmetric")
    )
    return "; ".join(kinds)
