"""The truth of the study: species, sites and columns that evolve under a known model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.likelihood import PruningPlan, make_plan
from phylotools.phylogeny.simulation import evolve_columns, make_walk, stream_key
from phylotools.phylogeny.simulation_missing import MissingData
from phylotools.phylogeny.site_fit import SitePrior
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick

TREE = Path(__file__).parent / "data" / "447-mammalian-2022v1.nh"
REFERENCE = "hg38"

#: Transitions four times as fast as most transversions, and a mutation that would leave two
#: thirds A and T: about what mammals have.
_EXCHANGEABILITIES = [1.0, 4.0, 0.7, 1.2, 4.0, 1.0]
_MUTATION = [0.33, 0.17, 0.17, 0.33]
MODELS: dict[str, SubstitutionModel] = {
    "f81": make_substitution_model("f81"),
    "hky": make_substitution_model("hky", kappa=4.0, background=_MUTATION),
    "gtr": make_substitution_model(
        "gtr", exchangeabilities=_EXCHANGEABILITIES, background=_MUTATION
    ),
    "mutation-selection": make_substitution_model(
        "mutation-selection",
        exchangeabilities=_EXCHANGEABILITIES,
        mutation_frequencies=_MUTATION,
    ),
}


@dataclass(frozen=True)
class SiteClass:
    """Sites at which one base, any of the four, is favoured.

    Attributes
    ----------
    name : str
    fraction : float
        Of all sites.
    favour : float
        Allele score of the favoured base above the others, in nats, before the spread.
    spread : float
        Standard deviation of each of the four scores about that.
    """

    name: str
    fraction: float
    favour: float
    spread: float


CLASSES = (
    SiteClass("neutral", 0.5, 0.0, 0.3),
    SiteClass("constrained", 0.35, 2.5, 1.0),
    SiteClass("conserved", 0.15, 6.0, 1.0),
)
#: Standard deviation of log R where mutation rates vary along the genome.
RATE_SD = 0.6


@dataclass(frozen=True, eq=False)
class Columns:
    """An alignment and the sites that it evolved from; C columns, S species.

    Attributes
    ----------
    tree : Tree
    states : Tensor of uint8, shape (C, S)
        255 where a species is missing.
    model : SubstitutionModel
    theta : Tensor of float64, shape (C, A)
    site_class : ndarray of int64, shape (C,)
        Place in `CLASSES`.
    """

    tree: Tree
    states: Tensor
    model: SubstitutionModel
    theta: Tensor
    site_class: NDArray[np.int64]

    @property
    def plan(self) -> PruningPlan:
        return make_plan(self.tree)

    @property
    def reference(self) -> Tensor:
        """Base of the reference species, which misses nowhere; shape (C,)."""
        return self.states[:, self.tree.tips.index(REFERENCE)]

    def of_species(self, species: Sequence[str]) -> Columns:
        """The same columns with some of the species."""
        tree = self.tree.prune(species)
        kept = [self.tree.tips.index(name) for name in tree.tips]
        return Columns(tree, self.states[:, kept], self.model, self.theta, self.site_class)

    def first(self, number: int) -> Columns:
        """The first columns."""
        part = slice(number)
        return Columns(
            self.tree, self.states[part], self.model, self.theta[part], self.site_class[part]
        )


def read_tree() -> Tree:
    return parse_newick(TREE.read_text(), path=str(TREE))


def spread_order(tree: Tree) -> list[str]:
    """Tips, the reference first, each next the one that adds most branch length to those before.

    Any number of them from the start spans more of the tree than almost any other choice.
    """
    covered = np.zeros(len(tree.names), dtype=bool)
    covered[0] = True

    def way(node: int) -> list[int]:
        nodes = []
        while not covered[node]:
            nodes.append(node)
            node = int(tree.parent[node])
        return nodes

    chosen, left = [], {name: int(node) for name, node in zip(tree.tips, tree.tip_nodes)}
    name = REFERENCE
    while True:
        covered[way(left.pop(name))] = True
        chosen.append(name)
        if not left:
            return chosen
        name = max(left, key=lambda tip: tree.branch_length[way(left[tip])].sum())


def draw_sites(
    model: SubstitutionModel, sites: int, rate_sd: float, rng: np.random.Generator
) -> tuple[Tensor, NDArray[np.int64]]:
    """Theta, float64 (C, A), and class of random sites.

    Scores are relative to mutation alone, so that they mean the same under every model.
    """
    site_class = rng.choice(len(CLASSES), size=sites, p=[c.fraction for c in CLASSES])
    favour, spread = (
        np.array([getattr(c, name) for c in CLASSES])[site_class] for name in ("favour", "spread")
    )
    scores = rng.normal(size=(sites, 4)) * spread[:, None]
    scores[np.arange(sites), rng.integers(4, size=sites)] += favour
    log_rate = model.neutral_log_rate + rate_sd * rng.normal(size=sites)
    with torch.no_grad():
        alone = model.allele_scores(torch.zeros(4, dtype=torch.float64))
        theta = model.with_log_rate(torch.from_numpy(scores) - alone, torch.from_numpy(log_rate))
    return theta, site_class


def simulate(
    tree: Tree,
    model: SubstitutionModel,
    sites: int,
    rate_sd: float,
    seed: int,
    missing: MissingData | None = None,
) -> Columns:
    """Draw sites and evolve a column at each."""
    theta, site_class = draw_sites(model, sites, rate_sd, np.random.default_rng(seed))
    states = evolve_columns(theta, tree, model, seed=seed).states
    if missing is not None:
        walk = make_walk(tree, REFERENCE)
        rows = np.ascontiguousarray(states[:, walk.tip_index].T)
        missing.cut_gaps(walk, stream_key(seed, "missing"), 0, rows)
        states[:, walk.tip_index] = np.where(rows < 4, rows, 255).T
    return Columns(tree, torch.from_numpy(states), model, theta, site_class)


def score_sd() -> float:
    """Standard deviation of an allele score: the square root of a mixture's mean variance.

    A favoured base adds ``favour (1 - 1/4)`` to its score about the mean of four and takes
    ``favour / 4`` from the others; four scores about their mean have three degrees of freedom.
    """
    return float(
        np.sqrt(sum(c.fraction * (c.spread**2 + c.favour**2 * 0.75 / 3) for c in CLASSES))
    )


def prior_like_truth(model: SubstitutionModel, rate_sd: float) -> SitePrior:
    """The normal prior with the true means and standard deviations."""
    return SitePrior(model.neutral_log_rate, rate_sd, score_sd())
