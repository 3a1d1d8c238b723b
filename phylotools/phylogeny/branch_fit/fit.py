"""The most likely factor, or branch lengths, under site classes that are fitted with them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.branch_fit.site_classes import SiteClasses
from phylotools.phylogeny.kernels.cpu.mixture_dispatch import ColumnPatterns
from phylotools.phylogeny.kernels.plan import PruningPlan
from phylotools.phylogeny.tree import Tree

#: Shorter branches could make a column with a sequencing error impossible; IQ-TREE's limit.
SHORTEST_BRANCH = 1e-6
#: Where a branch is saturated whatever the model: the likelihood is flat beyond.
LONGEST_BRANCH = 20.0
#: A search for lengths starts at none above this, where saturation would hide the way back.
_LONGEST_START = 1.0
#: Nor at one below this part of the median, for lengths of 0 that were lost or rounded.
_SHORTEST_START = 0.1
#: Mean branch lengths among which the search for a factor starts: whatever the unit was.
_MEAN_LENGTHS = tuple(10.0**-power for power in np.arange(0, 5.5, 0.5))
#: Standard deviation of the prior on the log of a length about its share of the given tree. Nats of
#: columns kept out with 0.5, 1, 2 and 4, exons of 113 mammals, 3,837 columns: from divergence times
#: -15.905, -15.887, -15.885, -15.886.
PRIOR_SD = 2.0
#: Of the log of the factor by which a part of a genome has other lengths than the whole.
FACTOR_SD = 1.0
#: The search ends where a step gains less than so many nats of the whole sample.
_WORTHWHILE = 0.1
_MOST_STEPS = 500


@dataclass(frozen=True)
class FittedTree:
    """Branch lengths, and what was fitted with them.

    Attributes
    ----------
    branch_length : float64 array [N]
        Expected substitutions per site, the mean over the columns; 0 at the root.
    classes : SiteClasses
    log_likelihood : float
        Of the columns that it was fitted to, in nats.
    evaluations : int
        Of the likelihood with its gradient.
    """

    branch_length: NDArray[np.float64]
    classes: SiteClasses
    log_likelihood: float
    evaluations: int

    def column_log_likelihood(
        self, patterns: ColumnPatterns, plan: PruningPlan
    ) -> NDArray[np.float64]:
        """Log-likelihood of other columns, [C]."""
        with torch.no_grad():
            length = torch.from_numpy(self.branch_length)
            return self.classes.log_likelihood(patterns, plan, length)[1].numpy()


def fit_shared(
    tree: Tree, plan: PruningPlan, patterns: ColumnPatterns, classes: SiteClasses
) -> FittedTree:
    """Site classes alone, at the tree's own branch lengths (`SHORTEST_BRANCH` at least)."""
    length = _bounded(torch.from_numpy(tree.branch_length))
    return _fitted(plan, patterns, classes, [], lambda: length)


def fit_factor(
    tree: Tree, plan: PruningPlan, patterns: ColumnPatterns, classes: SiteClasses
) -> FittedTree:
    """One factor for all branches, and the site classes.

    A tree without any length gets equal ones. Lengths come out within `SHORTEST_BRANCH` and
    `LONGEST_BRANCH`.
    """
    given = torch.from_numpy(tree.branch_length)
    if not given.any():
        given = torch.ones_like(given)
        given[0] = 0.0
    # Relative to the mean of all branches.
    shape = given / given.sum() * (len(given) - 1)
    starts = [_bounded(shape * mean) for mean in _MEAN_LENGTHS]
    with torch.no_grad():
        values = [classes.log_likelihood(patterns, plan, start)[0].item() for start in starts]
    best = _MEAN_LENGTHS[int(np.argmax(values))]
    log_mean = torch.tensor([math.log(best)], dtype=torch.float64, requires_grad=True)
    # The curvature is that of a count of substitutions.
    scale = math.sqrt(patterns.n_columns * best * len(given))
    return _fitted(
        plan, patterns, classes, [(log_mean, scale)],
        lambda: _bounded(shape * log_mean.exp()),
    )  # fmt: skip


def fit_lengths(
    tree: Tree,
    plan: PruningPlan,
    patterns: ColumnPatterns,
    start: FittedTree,
    informative: NDArray[np.int64],
    *,
    prior_sd: float = PRIOR_SD,
    begin: FittedTree | None = None,
) -> FittedTree:
    """Every branch's length, and the site classes.

    The log of a length has a normal prior about its share of the given tree, that of `start`: it
    decides where the columns do not, as for the two branches at a root (of which they tell the sum)
    or a species without a base, and is soon outweighed elsewhere.

    Parameters
    ----------
    tree : Tree
    plan : PruningPlan
    patterns : ColumnPatterns
    start : FittedTree
        As of `fit_factor`.
    informative : int64 array [N]
        Columns that tell of each branch.
    prior_sd : float
    begin : FittedTree, optional
        Where the search begins, instead of `start`; of the same tree.
    """
    centre = _log_lengths(_usable(start.branch_length))
    first = centre if begin is None else _log_lengths(begin.branch_length)
    begin = begin or start
    # Of each coordinate: the square root of its curvature, that of a count and of the prior.
    counts = torch.from_numpy(informative).double() * first.exp()
    scale = (counts + prior_sd**-2).sqrt()
    step = (first - centre).requires_grad_()

    def lengths() -> Tensor:
        return _bounded((centre + step).exp())

    def log_prior() -> Tensor:
        return -(step[1:] / prior_sd).square().sum() / 2

    return _fitted(plan, patterns, begin.classes, [(step, scale)], lengths, log_prior)


def fit_near(
    plan: PruningPlan,
    patterns: ColumnPatterns,
    near: FittedTree,
    informative: NDArray[np.int64],
    *,
    lengths_sd: float,
    factor_sd: float = FACTOR_SD,
    begin: FittedTree | None = None,
) -> FittedTree:
    """Lengths of a part of the genome, near those of the whole, under the same site classes.

    The log of a length is that of the whole plus what all branches of the part share plus its own:
    both have normal priors about 0.

    Parameters
    ----------
    plan : PruningPlan
    patterns : ColumnPatterns
        Of the part.
    near : FittedTree
        The whole; its site classes are taken as they are.
    informative : int64 array [N]
        Columns of the part that tell of each branch.
    lengths_sd : float
        Of a branch's own share; 0 for one factor.
    factor_sd : float
    begin : FittedTree, optional
        Where the search begins, instead of `near`: lengths that are those times a factor.
    """
    classes = copy.deepcopy(near.classes).requires_grad_(False)
    centre = _log_lengths(near.branch_length)
    shift = 0.0
    if begin is not None:
        shift = float((_log_lengths(begin.branch_length) - centre)[1:].mean())
    factor = torch.tensor([shift], dtype=torch.float64, requires_grad=True)
    # The curvature is that of a count of substitutions, and of the prior.
    counts = torch.from_numpy(informative).double() * (centre + shift).exp()
    coordinates: list[tuple[Tensor, Tensor | float]] = [
        (factor, math.sqrt(counts.sum().item() + factor_sd**-2))
    ]
    own = torch.zeros_like(centre)
    if lengths_sd:
        own.requires_grad_()
        coordinates.append((own, (counts + lengths_sd**-2).sqrt()))

    def log_prior() -> Tensor:
        value = -(factor / factor_sd).square().sum() / 2
        return value - (own[1:] / lengths_sd).square().sum() / 2 if lengths_sd else value

    return _fitted(
        plan, patterns, classes, coordinates,
        lambda: _bounded((centre + factor + own).exp()), log_prior,
    )  # fmt: skip


def _usable(length: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths that a search can start at: none that is lost, rounded to nothing, or saturated."""
    own = length[1:]
    positive = own[own > SHORTEST_BRANCH]
    least = _SHORTEST_START * float(np.median(positive)) if len(positive) else 0.0
    return np.clip(length, max(least, SHORTEST_BRANCH), _LONGEST_START)


def _log_lengths(length: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.maximum(length, SHORTEST_BRANCH)).log()


def _bounded(length: Tensor) -> Tensor:
    length = length.clamp(SHORTEST_BRANCH, LONGEST_BRANCH)
    return torch.cat([length.new_zeros(1), length[1:]])


def _fitted(
    plan: PruningPlan,
    patterns: ColumnPatterns,
    classes: SiteClasses,
    coordinates: Sequence[tuple[Tensor, Tensor | float]],
    lengths: Callable[[], Tensor],
    log_prior: Callable[[], Tensor] = lambda: torch.zeros((), dtype=torch.float64),
) -> FittedTree:
    """Maximise over coordinates, of which the lengths are made, and over the site classes."""
    classes = copy.deepcopy(classes)
    shared = [parameter for parameter in classes.parameters() if parameter.requires_grad]
    # About a substitution in four columns tells of a shared parameter.
    known = math.sqrt(patterns.n_columns) / 2
    parts = [*coordinates, *((parameter, known) for parameter in shared)]
    evaluations = 0

    def objective() -> tuple[Tensor, Tensor]:
        nonlocal evaluations
        evaluations += 1
        value, _ = classes.log_likelihood(patterns, plan, lengths())
        return value, log_prior()

    _maximise(parts, lambda: torch.stack(objective()).sum())
    with torch.no_grad():
        value = objective()[0].item()
        found = lengths().detach().numpy().copy()
    return FittedTree(found, classes, value, evaluations)


def _maximise(
    parts: Sequence[tuple[Tensor, Tensor | float]], objective: Callable[[], Tensor]
) -> None:
    """Maximise in place by L-BFGS over tensors, each measured in its own scale.

    Parameters
    ----------
    parts : sequence of (Tensor, scale)
        Leaves that require gradients; the scale is about the square root of the curvature.
    objective : callable
    """
    if not parts:
        return
    begin = [tensor.detach().clone() for tensor, _ in parts]
    point = torch.zeros(sum(len(b.flatten()) for b in begin), dtype=torch.float64)
    point.requires_grad_()
    scales = torch.cat([
        torch.as_tensor(scale, dtype=torch.float64).expand_as(tensor).flatten()
        for tensor, scale in parts
    ])  # fmt: skip
    sizes = [tensor.numel() for tensor, _ in parts]

    def put() -> None:
        moves = (point.detach() / scales).split(sizes)
        for (tensor, _), first, move in zip(parts, begin, moves, strict=True):
            tensor.data.copy_(first + move.view_as(first))

    def closure() -> float:
        put()
        value = objective()
        gradients = torch.autograd.grad(value, [tensor for tensor, _ in parts])
        point.grad = -torch.cat([g.flatten() for g in gradients]) / scales
        return -value.item()

    search = torch.optim.LBFGS(
        [point], max_iter=_MOST_STEPS, history_size=20, tolerance_grad=1e-9,
        tolerance_change=_WORTHWHILE, line_search_fn="strong_wolfe",
    )  # fmt: skip
    search.step(closure)
    put()
