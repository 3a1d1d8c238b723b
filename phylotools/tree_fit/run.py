"""A store's tree, or another of its species, fitted to its columns."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.regions import RegionSet
from phylotools.phylogeny.branch_fit import (
    FittedTree,
    SiteClasses,
    fit_factor,
    fit_lengths,
    fit_shared,
    informative_columns,
)
from phylotools.phylogeny.kernels.cpu.mixture_dispatch import ColumnPatterns
from phylotools.phylogeny.likelihood import make_plan
from phylotools.phylogeny.substitution import make_substitution_model
from phylotools.phylogeny.substitution.catalogue import parameters_of
from phylotools.phylogeny.tree import Tree
from phylotools.store.read import ColumnStore
from phylotools.tree_fit.sample import TreeSample, draw_sample

logger = logging.getLogger("phylotools")

#: What branch lengths are counted in: substitutions at the mean site, or in the fastest class.
UNITS = ("mean", "fastest")
#: Columns that tell the factor well enough to begin with, and what else all trees share.
_FIRST_COLUMNS = 2000
#: Significant digits of the lengths that are written.
_DIGITS = 6


@dataclass(frozen=True)
class TreeFitSettings:
    """How a tree is fitted.

    Attributes
    ----------
    one_factor : bool or None
        Multiply all branch lengths by one factor, instead of fitting each. None takes what tells
        the columns better that judge; every length where none judge.
    substitution : str
    shared : dict
        Settings of the substitution model as `make_substitution_model` takes them; what is given
        there is not learned.
    background : tuple of float or None
        Frequencies of A, C, G and T; None for those of all bases of the sample.
    n_classes : int
        Classes of sites with a rate of their own. Columns kept out with 1, 4, 8 and 12: -65.08,
        -55.85, -55.67 and -55.66 nats (mitochondria of 100 mammals), with 1, 4 and 12 -15.17,
        -14.39 and -14.37 (exons of 113).
    unit : {'mean', 'fastest'}
        Whose substitutions the lengths count.
    sample : int
        Columns.
    held_out_fraction : float
        Share of them that judges the fit; 0 judges nothing.
    prior_sd : float
        Of the log of a length about its share of the given tree.
    seed : int
    """

    one_factor: bool | None = None
    substitution: str = "gtr"
    shared: dict[str, Any] = field(default_factory=dict)
    background: tuple[float, ...] | None = None
    n_classes: int = 8
    unit: str = "mean"
    sample: int = 10_000
    held_out_fraction: float = 0.2
    prior_sd: float = 2.0
    seed: int = 1


@dataclass(frozen=True)
class Judgement:
    """How well a tree tells columns that it was not fitted to.

    Attributes
    ----------
    log_likelihood : float
        Nats a column.
    gain, gain_sd : float
        Over the given tree, nats a column, and its standard error over runs of neighbours.
    """

    log_likelihood: float
    gain: float
    gain_sd: float


@dataclass(frozen=True)
class TreeFit:
    """A fitted tree and what is known of the fit; first axis N are nodes.

    Attributes
    ----------
    given, tree : Tree
        Before and after.
    one_factor : bool
        Whether that is one factor for all branches.
    settings : TreeFitSettings
    factor : float
        By which one factor for all would multiply the given lengths, in the unit of `tree`.
    scaled : float64 array [N]
        The given lengths times that factor, in the unit of `tree`.
    fit : FittedTree
        In substitutions at the mean site.
    informative : int64 array [N]
        Columns that depend on each branch.
    n_columns, n_held_out : int
        Columns of the final fit; how many of them judged the fit before that.
    judged : dict of str to Judgement
        Of the given tree (``given``), of one factor (``factor``) and of all lengths (``lengths``).
    evaluations : int
        Of the likelihood with its gradient, in all fits.
    species_without_data : tuple of str
        Tips without a base in the sample.
    """

    given: Tree
    tree: Tree
    one_factor: bool
    settings: TreeFitSettings
    factor: float
    scaled: NDArray[np.float64]
    fit: FittedTree
    informative: NDArray[np.int64]
    n_columns: int
    n_held_out: int
    judged: dict[str, Judgement]
    evaluations: int
    species_without_data: tuple[str, ...]


def fit_tree(
    store: ColumnStore,
    settings: TreeFitSettings | None = None,
    tree: Tree | None = None,
    regions: RegionSet | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> TreeFit:
    """Fit branch lengths to a sample of a store's columns.

    The fit is judged on a part of the sample, and then made again from all of it.

    Parameters
    ----------
    store : ColumnStore
    settings : TreeFitSettings, optional
    tree : Tree, optional
        Of the store's species; by default the store's own.
    regions : RegionSet, optional
        Where the columns are drawn from.
    on_stage : callable
        Gets what is begun, in words.

    Returns
    -------
    TreeFit

    Raises
    ------
    InputError
        If species and tips differ, a shared parameter is wrong, or there are no columns.
    """
    settings = settings or TreeFitSettings()
    tree = store.tree if tree is None else tree
    check_tips(tree, store)
    on_stage("reading columns")
    sample = draw_sample(
        store, tree, settings.sample, settings.held_out_fraction, settings.seed, regions
    )
    classes = _site_classes(sample, settings)
    plan = make_plan(tree)
    informative = informative_columns(tree, sample.fitted)
    fitted = ColumnPatterns(sample.fitted)
    first = fitted if settings.one_factor else ColumnPatterns(sample.fitted[:_FIRST_COLUMNS])
    on_stage("fitting one factor")
    fits = {
        "given": fit_shared(tree, plan, first, classes),
        "factor": fit_factor(tree, plan, first, classes),
    }
    if not settings.one_factor:
        on_stage("fitting all branch lengths")
        fits["lengths"] = fit_lengths(
            tree, plan, fitted, fits["factor"], informative, prior_sd=settings.prior_sd
        )
    judged = {}
    one_factor = bool(settings.one_factor)
    evaluations = sum(fit.evaluations for fit in fits.values())
    if sample.n_held_out:
        others = ColumnPatterns(sample.held_out)
        values = {name: fit.column_log_likelihood(others, plan) for name, fit in fits.items()}
        runs = sample.run[: sample.n_held_out]
        judged = {
            name: judgement_of(value, values["given"], runs) for name, value in values.items()
        }
        if settings.one_factor is None:
            one_factor = judged["factor"].log_likelihood > judged["lengths"].log_likelihood
        on_stage("fitting to all columns")
        informative = informative_columns(tree, sample.states)
        whole = ColumnPatterns(sample.states)
        if one_factor:
            fits["factor"] = fit_factor(tree, plan, whole, fits["factor"].classes)
        else:
            fits["lengths"] = fit_lengths(
                tree, plan, whole, fits["factor"], informative,
                prior_sd=settings.prior_sd, begin=fits["lengths"],
            )  # fmt: skip
    fit = fits["factor" if one_factor else "lengths"]
    unit = float(fit.classes.rates.detach().max()) if settings.unit == "fastest" else 1.0
    scaled = fits["factor"].branch_length * unit
    return TreeFit(
        given=tree,
        tree=dataclasses.replace(tree, branch_length=rounded_lengths(fit.branch_length * unit)),
        one_factor=one_factor,
        settings=settings,
        factor=_factor(tree, scaled),
        scaled=scaled,
        fit=fit,
        informative=informative,
        n_columns=len(sample),
        n_held_out=sample.n_held_out,
        judged=judged,
        evaluations=evaluations + (fit.evaluations if sample.n_held_out else 0),
        species_without_data=_without_data(tree, sample),
    )


def check_tips(tree: Tree, store: ColumnStore) -> None:
    """Raise `InputError` unless the tips of a tree are the species of a store."""
    lacking, extra = set(store.species) - set(tree.tips), set(tree.tips) - set(store.species)
    if lacking or extra:
        which = f"lacks {min(lacking)}" if lacking else f"has {min(extra)}"
        raise InputError(
            f"the tree {which}, the store {'has it' if lacking else 'has not'}",
            path=store.path,
            remedy="give a tree whose tips are the species that `phylotools inspect` lists",
        )


def _site_classes(sample: TreeSample, settings: TreeFitSettings) -> SiteClasses:
    background = settings.background
    if background is None:
        counts = np.bincount(sample.states.ravel(), minlength=256)[:4] + 0.5
        background = tuple((counts / counts.sum()).tolist())
    shared = dict(settings.shared)
    for name in ("background", "mutation_frequencies"):
        if name in parameters_of(settings.substitution):
            shared[name] = list(background)
    model = make_substitution_model(settings.substitution, **shared)
    learn = not {"kappa", "exchangeabilities"} & settings.shared.keys()
    return SiteClasses(model, background, settings.n_classes, learn_shared=learn)


def judgement_of(
    value: NDArray[np.float64], given: NDArray[np.float64], runs: NDArray[np.int64]
) -> Judgement:
    """Mean of a value by column, and of its difference to another with its error over runs."""
    difference = value - given
    n_columns, sums = np.bincount(runs), np.bincount(runs, weights=difference)
    mean = difference.mean()
    n_runs = len(n_columns)
    error = float("nan")
    if n_runs > 1:
        spread = ((sums - mean * n_columns) ** 2).sum() * n_runs / (n_runs - 1)
        error = float(np.sqrt(spread)) / len(value)
    return Judgement(float(value.mean()), float(mean), error)


def _factor(tree: Tree, scaled: NDArray[np.float64]) -> float:
    """Scaled over given lengths; those that hit a bound are the exception."""
    is_positive = tree.branch_length > 0
    factors = scaled[is_positive] / tree.branch_length[is_positive]
    return float(np.median(factors)) if len(factors) else float("nan")


def _without_data(tree: Tree, sample: TreeSample) -> tuple[str, ...]:
    is_lacking = ~(sample.states < 4).any(axis=0)
    return tuple(tree.tips[index] for index in np.flatnonzero(is_lacking).tolist())


def rounded_lengths(length: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths as they are written, with six significant digits."""
    return np.array([float(f"{value:.{_DIGITS}g}") for value in length.tolist()])
