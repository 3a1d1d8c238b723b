"""Ways to score an insertion or a deletion, to be compared. Lower is worse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import torch.nn.functional as F
from likelihoods import LogOdds, haplotype_log_odds
from numpy.typing import NDArray
from torch import Tensor, nn

from phylotools.annotate.haplotypes import FLANK, Change, HaplotypeScorer
from phylotools.evaluate.metrics import ScoreMetrics
from phylotools.model.presets import ModelSpec
from phylotools.model.registry import Model
from phylotools.phylogeny.change_scores import MutationProcess
from phylotools.phylogeny.substitution import SubstitutionModel, make_substitution_model
from phylotools.scoring.scorer import Scorer

#: Sites compared beyond a change, by `HaplotypeScorer`; its own choice first, as all others are
#: compared with it.
FLANKS = (FLANK, 2, 10, 20)
#: Bases on either side of a change that the other definitions look at.
RADII = (2, 5, 10, 20)


def score(
    scorer: Scorer, changes: Sequence[Change], track: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Definition -> scores, float64 [K].

    Parameters
    ----------
    scorer : Scorer
    changes : sequence of Change
        On one contig.
    track : float64 array [contig length]
        Log-odds of the reference bases.
    """
    table = {
        f"context {flank}": HaplotypeScorer(scorer, flank).scores(changes, "fitness")
        for flank in FLANKS
    }
    counting = Scorer(cast(Model, CountingModel()), scorer.genome, threads=1)
    table["changed sites"] = HaplotypeScorer(counting).scores(changes, "fitness")
    rows = [_likelihoods(p, track) for p in haplotype_log_odds(scorer, changes)]
    return table | {name: np.array([row[name] for row in rows]) for name in rows[0]}


class OwnBases(nn.Module):
    """Every change of a base costs 1, wherever it is."""

    def forward(self, tokens: Tensor, wanted: Tensor | None = None) -> Tensor:
        return F.one_hot(tokens, 6)[..., :4].float()


#: A network's shape that reads a base alone.
ONE_BASE = ModelSpec(channels=2, bottleneck=2, kernel_size=1, dilations=(1,))


@dataclass
class CountingModel:
    """What `Scorer` reads of a model that counts changed sites: the least that must be beaten."""

    site_model: nn.Module = field(default_factory=OwnBases)
    spec: ModelSpec = ONE_BASE
    receptive_field: int = 1
    name: str = "changed sites"
    device: str = "cpu"
    site_fits: None = None
    tile_length: None = None
    masks_site: bool = False
    substitution: SubstitutionModel = field(default_factory=lambda: make_substitution_model("f81"))

    @property
    def mutation_process(self) -> MutationProcess:
        return self.substitution.mutation_process()


def difference_from_first(metrics: ScoreMetrics) -> list[float]:
    """AUROC less that of the first definition, paired, with its interval."""
    found = metrics.auroc_difference
    return [0.0, 0.0, 0.0] if found is None else [found.value, found.low, found.high]


def _likelihoods(pair: LogOdds, track: NDArray[np.float64]) -> dict[str, float]:
    """What log-odds of both haplotypes, each in its own context, can be made into."""
    change, ref, alt = pair.change, pair.reference, pair.alternative
    n_ref, n_alt = len(change.ref), len(change.alt)
    half = (len(ref) - n_ref) // 2
    before, after = alt[:half] - ref[:half], alt[half + n_alt :] - ref[half + n_ref :]
    own = alt[half : half + n_alt].sum() - ref[half : half + n_ref].sum()
    # Windows of one length on the genome: that of a deletion reaches further to the right.
    end = change.start + n_ref + half
    excess = n_ref - n_alt
    beyond = track[end : end + excess].sum() if excess > 0 else -track[end + excess : end].sum()
    scores = {
        "likelihood": alt.sum() - ref.sum(),
        "likelihood, equal windows": alt.sum() - ref.sum() + beyond,
        "likelihood, mean": alt.mean() - ref.mean(),
        "own bases": own,
        "kept bases": before.sum() + after.sum(),
    }
    for radius in RADII:
        scores[f"likelihood within {radius}"] = own + before[-radius:].sum() + after[:radius].sum()
        scores[f"lost within {radius}"] = -ref[half - radius : half + n_ref + radius].sum()
    return scores
