"""The truth of the study: species, sites, and columns that evolve at them under a known model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.likelihood import PruningPlan, make_plan
from phylotools.phylogeny.simulation import MissingData, evolve_columns, make_walk, stream_key
from phylotools.phylogeny.site_fit import SitePrior
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.phylogeny.tree import Tree, parse_newick

TREE = Path(__file__).parent / "data" / "447-mammalian-2022v1.nh"
REFERENCE = "hg38"

#: Transitions about four times as fast as transversions, AC AG AT CG CT GT.
_EXCHANGEABILITIES = [1.0, 4.0, 0.7, 1.2, 4.0, 1.0]
#: Mutation alone would leave two thirds A and T.
MUTATION = [0.33, 0.17, 0.17, 0.33]


def make_models() -> dict[str, SubstitutionModel]:
    """The true models, by name; their shared parameters are given, not learned."""
    settings = {
        "f81": {},
        "hky": {"kappa": 4.0, "background": MUTATION},
        "gtr": {"exchangeabilities": _EXCHANGEABILITIES, "background": MUTATION},
        "mutation-selection": {
            "exchangeabilities": _EXCHANGEABILITIES,
            "mutation_frequencies": MUTATION,
        },
    }
    models = {name: make_substitution_model(name, **known) for name, known in settings.items()}
    return {name: model.requires_grad_(False) for name, model in models.items()}


@dataclass(frozen=True)
class SiteClass:
    """Sites at which one base, each of the four as often, is favoured.

    Attributes
    ----------
    name : str
    fraction : float
        Of all sites.
    favour : float
        Allele score of the favoured base above the others, in nats, before the spread.
    spread : float
        Standard deviation of each of the four scores about that.
    log_rate : float
        Mean of log R, relative to neutral.
    """

    name: str
    fraction: float
    favour: float
    spread: float
    log_rate: float = 0.0


_NEUTRAL = SiteClass("neutral", 0.5, 0.0, 0.3)
_CONSTRAINED = SiteClass("constrained", 0.35, 2.5, 1.0)


@dataclass(frozen=True)
class Truth:
    """A distribution of sites.

    Attributes
    ----------
    name : str
    rate_sd : float
        Standard deviation of log R within each class.
    classes : tuple of SiteClass
    """

    name: str
    rate_sd: float
    classes: tuple[SiteClass, ...] = (
        _NEUTRAL,
        _CONSTRAINED,
        SiteClass("conserved", 0.15, 6.0, 1.0),
    )

    def draw(
        self, model: SubstitutionModel, sites: int, rng: np.random.Generator
    ) -> tuple[Tensor, NDArray[np.int64]]:
        """Theta, float64 (C, A), and the class of each site, int64 (C,).

        Scores are relative to mutation alone, so that they mean the same under every model.
        """
        site_class = rng.choice(len(self.classes), size=sites, p=self._of("fraction"))
        favour, spread, shift = (
            self._of(name)[site_class] for name in ("favour", "spread", "log_rate")
        )
        scores = rng.normal(size=(sites, 4)) * spread[:, None]
        scores[np.arange(sites), rng.integers(4, size=sites)] += favour
        log_rate = model.neutral_log_rate + shift + self.rate_sd * rng.normal(size=sites)
        alone = model.allele_scores(torch.zeros(4, dtype=torch.float64))
        theta = torch.from_numpy(scores) - alone
        return model.with_log_rate(theta, torch.from_numpy(log_rate)), site_class

    def prior(self, model: SubstitutionModel) -> SitePrior:
        """The normal prior with the true means and standard deviations.

        A favoured base adds ``favour * 3/4`` to its score about the mean of the four and takes
        ``favour / 4`` from each other; scores about their mean have three degrees of freedom.
        """
        fraction, shift = self._of("fraction"), self._of("log_rate")
        variance = self._of("spread") ** 2 + self._of("favour") ** 2 / 4
        mean = float(fraction @ shift)
        rate_variance = self.rate_sd**2 + float(fraction @ (shift - mean) ** 2)
        return SitePrior(
            model.neutral_log_rate + mean, rate_variance**0.5, float(fraction @ variance) ** 0.5
        )

    def _of(self, attribute: str) -> NDArray[np.float64]:
        return np.array([getattr(c, attribute) for c in self.classes])


ONE_RATE = Truth("one rate", 0.0)
VARYING_RATES = Truth("varying rates", 0.6)
NEUTRAL_SITES = Truth("neutral sites", 0.6, (dataclasses.replace(_NEUTRAL, fraction=1.0),))
#: Conserved because nothing mutates there, not because selection minds.
COLD_SITES = Truth(
    "cold sites", 0.6, (_NEUTRAL, _CONSTRAINED, SiteClass("cold", 0.15, 0.0, 0.3, -4.0))
)


@dataclass(frozen=True, eq=False)
class Columns:
    """An alignment and the sites that it evolved from; C columns, S species.

    Attributes
    ----------
    tree : Tree
    states : Tensor of uint8, shape (C, S)
        Above 3 where a species is missing.
    theta : Tensor of float64, shape (C, A)
    site_class : ndarray of int64, shape (C,)
        Place in the classes of the truth.
    """

    tree: Tree
    states: Tensor
    theta: Tensor
    site_class: NDArray[np.int64]

    @cached_property
    def plan(self) -> PruningPlan:
        return make_plan(self.tree)

    @cached_property
    def reference(self) -> Tensor:
        """Base of the reference species, which is missing nowhere; shape (C,)."""
        return self.states[:, self.tree.tips.index(REFERENCE)]

    def of_species(self, species: Sequence[str]) -> Columns:
        """The same columns with some of the species."""
        tree = self.tree.prune(species)
        place = {name: index for index, name in enumerate(self.tree.tips)}
        states = self.states[:, [place[name] for name in tree.tips]]
        return dataclasses.replace(self, tree=tree, states=states)

    def at(self, chosen: NDArray[np.bool_] | slice) -> Columns:
        """Some of the columns."""
        rows = torch.from_numpy(np.arange(len(self.states))[chosen])
        return Columns(
            self.tree, self.states[rows], self.theta[rows], self.site_class[rows.numpy()]
        )


def simulate(
    tree: Tree,
    model: SubstitutionModel,
    truth: Truth,
    sites: int,
    seed: int,
    missing: MissingData | None = None,
) -> Columns:
    """Draw sites and evolve a column at each."""
    theta, site_class = truth.draw(model, sites, np.random.default_rng(seed))
    states = evolve_columns(theta, tree, model, seed=seed).states
    if missing is not None:
        walk = make_walk(tree, REFERENCE)
        rows = np.ascontiguousarray(states[:, walk.tip_index].T)
        missing.cut_gaps(walk, stream_key(seed, "missing"), 0, rows)
        states[:, walk.tip_index] = rows.T
    return Columns(tree, torch.from_numpy(states), theta, site_class)


def read_tree() -> Tree:
    return parse_newick(TREE.read_text(), path=str(TREE))


def many_trees(tree: Tree, copies: int) -> Tree:
    """Copies of a tree joined at the root: more species than there are."""
    renamed = [
        dataclasses.replace(
            tree,
            names=tuple(f"{name}.{copy}" if name and copy else name for name in tree.names),
        )
        for copy in range(copies)
    ]
    joined = ",".join(part.to_newick().removesuffix(";") + ":0" for part in renamed)
    return parse_newick(f"({joined});")


def spread_order(tree: Tree) -> list[str]:
    """Tips, the reference first, each next the one that adds most branch length to those before.

    Any number of them from the start spans nearly as much of the tree as so many tips can.
    """
    is_covered = np.zeros(len(tree.names), dtype=bool)
    is_covered[0] = True

    def way(tip: int) -> list[int]:
        nodes = []
        while not is_covered[tip]:
            nodes.append(tip)
            tip = int(tree.parent[tip])
        return nodes

    left = dict(zip(tree.tips, tree.tip_nodes.tolist(), strict=True))
    chosen = [REFERENCE]
    is_covered[way(left.pop(REFERENCE))] = True
    while left:
        name = max(left, key=lambda tip: float(tree.branch_length[way(left[tip])].sum()))
        is_covered[way(left.pop(name))] = True
        chosen.append(name)
    return chosen


def spread_tree(species: int) -> Tree:
    """The tree of so many species."""
    tree = read_tree()
    return tree.prune(spread_order(tree)[:species])
