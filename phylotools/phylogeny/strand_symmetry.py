"""Whether mutations and their complements have one rate: a test on alignment columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from phylotools.phylogeny.likelihood import PruningPlan, column_log_likelihood
from phylotools.phylogeny.site_fit.optimiser import maximise
from phylotools.phylogeny.substitution import MutationSelection
from phylotools.phylogeny.tree import Tree

#: Nats a substitution that telling the strands apart gains, above which they differ. 2,000 columns
#: of each: nuclear DNA 0.0015 to 0.005 (birds, chrY of mammals, chr22 of vertebrates), exons and
#: genes, all written along their own strand, 0.002 to 0.014; dengue virus 0.063, mitochondria of
#: mammals 0.058 to 0.15.
DIFFERENT = 0.028
#: Fewer nats in the whole sample prove nothing: four more parameters gain two by chance.
_FEWEST_NATS = 20.0
#: Nats of the whole sample left to gain at the end.
_TOLERANCE = 0.5
_BASES = "ACGT"


@dataclass(frozen=True)
class StrandTest:
    """What it gains to give mutations and their complements rates of their own.

    Attributes
    ----------
    columns : int
    substitutions : float
        About so many in the columns.
    gain : float
        Log-likelihood of all columns with different strands, less that with equal ones; nats.
    ratios : dict of str to float
        Rate of a mutation over that of its complement, such as ``C>T`` over ``G>A``, by the first.
    """

    columns: int
    substitutions: float
    gain: float
    ratios: dict[str, float]

    @property
    def gain_per_substitution(self) -> float:
        return self.gain / self.substitutions if self.substitutions else 0.0

    @property
    def is_conclusive(self) -> bool:
        """Whether strands as different as `DIFFERENT` would have been noticed."""
        return self.substitutions * DIFFERENT >= _FEWEST_NATS

    @property
    def strands_differ(self) -> bool:
        return self.is_conclusive and self.gain_per_substitution > DIFFERENT

    @property
    def most_different(self) -> tuple[str, str, float]:
        """The mutation whose complement is rarest, that complement, and how much rarer it is."""
        name = max(self.ratios, key=lambda key: abs(math.log(self.ratios[key])))
        ratio, complement = self.ratios[name], _complement(name)
        return (name, complement, ratio) if ratio >= 1 else (complement, name, 1 / ratio)


def compare_strands(states: Tensor, tree: Tree, plan: PruningPlan) -> StrandTest:
    """Fit one mutation matrix to columns with equal strands, and with different ones.

    All sites are taken to be neutral and of one rate, which both fits learn: selection and rates
    that vary blur both alike.

    Parameters
    ----------
    states : Tensor of uint8, shape (C, S)
        Base codes in tip order, as of `column_log_likelihood`.
    tree : Tree
    plan : PruningPlan
        Of that tree, its shortest branches lengthened.
    """
    equal, _, _ = _fit(states, plan, is_symmetric=True)
    different, model, rate = _fit(states, plan, is_symmetric=False)
    with torch.no_grad():
        mu = model.mutation_matrix()
        ratios = {
            f"{_BASES[a]}>{_BASES[b]}": float(mu[a, b] / mu[3 - a, 3 - b])
            for a in (0, 1)
            for b in range(4)
            if a != b
        }
    # A mutation a unit of length at equilibrium; the share of the tree is that of its species.
    present = float((states < 4).double().mean()) if states.numel() else 0.0
    substitutions = len(states) * present * tree.total_length * math.exp(rate)
    return StrandTest(len(states), substitutions, max(different - equal, 0.0), ratios)


def _fit(
    states: Tensor, plan: PruningPlan, *, is_symmetric: bool
) -> tuple[float, MutationSelection, float]:
    """The largest log-likelihood, and the model and log R that have it."""
    model = MutationSelection(strand_symmetric=is_symmetric)
    log_rate = nn.Parameter(torch.zeros(1))
    learned = [log_rate, *model.parameters()]

    def evaluate(rows: Tensor, point: Tensor) -> tuple[Tensor, Tensor]:
        vector_to_parameters(point[0].float(), learned)
        theta = log_rate.expand(len(states), 4).contiguous()
        values = column_log_likelihood(states, theta, plan, model)
        total = values[values.isfinite()].double().sum()
        gradient = torch.autograd.grad(total, learned)
        return total.detach().reshape(1), parameters_to_vector(gradient).double().reshape(1, -1)

    start = parameters_to_vector(learned).detach().double().reshape(1, -1)
    best = maximise(evaluate, start, tolerance=_TOLERANCE)
    vector_to_parameters(best.point[0].float(), learned)
    return best.value.item(), model, log_rate.item()


def _complement(name: str) -> str:
    return name.translate(str.maketrans("ACGT", "TGCA"))
