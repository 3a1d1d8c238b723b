"""Definitions of an indel's score on sequence whose constraint is known.

    python simulated.py > simulated.tsv

Elements of a few kinds lie in random sequence. Each position of an element is under mutation and
selection with its own fitnesses, and the bases that stand there are drawn from what these make of
them; between elements evolution is neutral. In place of a trained network stands the best
predictor that there can be: it knows the kinds of elements but not where they lie, and gives the
mean equilibrium frequencies of a position over what it may be, given the sequence around it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from definitions import difference_from_first, score
from likelihoods import reference_log_odds
from numpy.typing import NDArray
from torch import Tensor, nn

from phylotools.annotate.haplotypes import Change
from phylotools.evaluate.metrics import compare_scores
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.model.presets import ModelSpec
from phylotools.model.registry import Model
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.scoring.scorer import Scorer

ELEMENT, N_KINDS, SPACING = 24, 4, 120
#: Standard deviation of scaled fitness at a position of an element.
STRENGTH = 2.0
#: Bases from the last element from which on a change counts as far from it.
FAR = 15
COLUMNS = (
    "change length definition AUROC low high difference difference_low difference_high "
    "constrained_mean neutral_mean far_mean far_sd"
)
LENGTHS = (1, 2, 3, 6, 12)
BASES = np.frombuffer(b"ACGT", dtype=np.uint8)


class BestPredictor(nn.Module):
    """Posterior mean of pi at each position, given the sequence around it.

    Parameters
    ----------
    fitness : float array [kinds, positions, 4]
    prior : float
        Probability that an element of a kind begins at a position.
    """

    def __init__(self, fitness: NDArray[np.float64], prior: float) -> None:
        super().__init__()
        log_pi = torch.from_numpy(fitness).log_softmax(dim=-1)
        self.pi = log_pi.exp()
        odds = log_pi - np.log(0.25)
        # A letter other than A, C, G, T says nothing.
        self.odds = torch.cat([odds, torch.zeros(*odds.shape[:2], 2)], dim=-1)
        self.log_prior = float(np.log(prior))

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        n_starts = tokens.shape[1] - ELEMENT + 1
        match = sum(
            self.odds[:, j][:, tokens[:, j : j + n_starts]] for j in range(ELEMENT)
        )  # [kinds, B, starts]
        match = cast(Tensor, match) + self.log_prior
        n_sites = n_starts - ELEMENT + 1
        # A site is position j of an element that begins j before it, or of none.
        begins = [match[:, :, ELEMENT - 1 - j : ELEMENT - 1 - j + n_sites] for j in range(ELEMENT)]
        phases = torch.stack(begins, dim=-1).permute(1, 2, 0, 3).flatten(2)
        nothing = torch.zeros(*phases.shape[:2], 1, dtype=phases.dtype)
        posterior = torch.cat([phases, nothing], dim=-1).softmax(dim=-1)
        pi = torch.cat([self.pi.reshape(-1, 4), torch.full((1, 4), 0.25)])
        return torch.log(posterior @ pi.to(posterior)).float()


#: A network's shape with the receptive field of the predictor.
SPEC = ModelSpec(channels=2, bottleneck=2, kernel_size=2 * ELEMENT - 1, dilations=(1,))


@dataclass
class SimulatedModel:
    """What `Scorer` reads of a model."""

    site_model: nn.Module
    spec: ModelSpec = SPEC
    receptive_field: int = SPEC.receptive_field
    name: str = "best-predictor"
    device: str = "cpu"
    site_fits: None = None
    tile_length: None = None
    masks_site: bool = False
    substitution: SubstitutionModel = field(
        default_factory=lambda: make_substitution_model(
            "mutation-selection", mutation_frequencies=[0.25] * 4
        )
    )

    @property
    def mutation_process(self) -> MutationProcess:
        return self.substitution.mutation_process()


def make_sequence(
    rng: np.random.Generator, n_elements: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]:
    """Codes, starts of elements, and fitnesses by kind and position."""
    fitness = rng.normal(0, STRENGTH, size=(N_KINDS, ELEMENT, 4))
    pi = np.exp(fitness) / np.exp(fitness).sum(axis=-1, keepdims=True)
    codes = rng.integers(0, 4, size=n_elements * SPACING, dtype=np.uint8)
    starts = np.arange(n_elements) * SPACING + SPACING // 2 + rng.integers(-20, 20, n_elements)
    for start in starts:
        kind = rng.integers(N_KINDS)
        for j in range(ELEMENT):
            codes[start + j] = rng.choice(4, p=pi[kind, j])
    return codes, starts, fitness


def draw_changes(
    rng: np.random.Generator, codes: NDArray[np.uint8], starts: NDArray[np.int64], length: int
) -> tuple[list[Change], NDArray[np.bool_], NDArray[np.int64]]:
    """Insertions and deletions, whether in an element or in neutral sequence, and beside which."""
    changes, constrained, elements = [], [], []
    for element, start in enumerate(starts.tolist()):
        inside = start + rng.integers(2, ELEMENT - length - 1)
        outside = start + ELEMENT + rng.integers(2, 30)
        for place in (inside, outside):
            deleted = BASES[codes[place : place + length]].tobytes()
            changes.append(Change("c", int(place), deleted, b""))
            changes.append(Change("c", int(place), b"", rng.choice(BASES, length).tobytes()))
            constrained += [place == inside] * 2
            elements += [element] * 2
    return changes, np.array(constrained), np.array(elements)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--elements", type=int, default=400)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    codes, starts, fitness = make_sequence(rng, arguments.elements)
    predictor = BestPredictor(fitness, 1 / SPACING / N_KINDS)
    with tempfile.TemporaryDirectory() as folder:
        fasta = Path(folder) / "c.fa"
        fasta.write_bytes(b">c\n" + BASES[codes].tobytes() + b"\n")
        with ReferenceGenome.open(fasta) as genome:
            model = cast(Model, SimulatedModel(predictor))
            report(Scorer(model, genome, threads=1), rng, codes, starts)


def report(
    scorer: Scorer,
    rng: np.random.Generator,
    codes: NDArray[np.uint8],
    starts: NDArray[np.int64],
) -> None:
    """Print a line for each definition, kind of change and length."""
    track = reference_log_odds(scorer, Region("c", 0, len(codes)))
    print(*COLUMNS.split(), sep="\t")
    for length in LENGTHS:
        changes, constrained, elements = draw_changes(rng, codes, starts, length)
        table = score(scorer, changes, track)
        distance = np.array([c.start for c in changes]) - starts[elements] - ELEMENT
        is_far = distance >= FAR
        is_deletion = np.array([change.alt == b"" for change in changes])
        for kind, chosen in (("deletion", is_deletion), ("insertion", ~is_deletion)):
            values = np.stack(list(table.values()))[:, chosen]
            positive = constrained[chosen]
            found = compare_scores(-values, positive, elements[chosen], replicates=500)
            for name, numbers_of, metrics in zip(table, values, found.metrics, strict=True):
                auroc, far = metrics.auroc, numbers_of[is_far[chosen]]
                means = [numbers_of[positive].mean(), numbers_of[~positive].mean()]
                numbers = [auroc.value, auroc.low, auroc.high]
                numbers += difference_from_first(metrics)
                numbers += [*means, far.mean(), far.std()]
                print(kind, length, name, *(f"{n:.3f}" for n in numbers), sep="\t")


if __name__ == "__main__":
    main()
