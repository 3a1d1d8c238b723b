"""A model's predictions at every position of sequences or regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from phylotools.api.inputs import Reference, SequenceLike, compute_each, require_model
from phylotools.embedding.regions import RegionTable
from phylotools.errors import UsageError
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region
from phylotools.phylogeny.change_scores import MutationProcess, all_changes
from phylotools.phylogeny.score_meaning import CALIBRATED, DEFAULT_SCORES, LLR, known_score
from phylotools.scoring.scorer import Scorer

if TYPE_CHECKING:
    from phylotools.model.folder import Model


@dataclass(frozen=True)
class SitePrediction:
    """A model's predictions at L positions; A, C, G, T are the last axis.

    Attributes
    ----------
    codes : uint8 array [L]
        The sequence: A=0, C=1, G=2, T=3, any other letter 4.
    theta : float32 array [L, 4]
        The network's output; `Model.substitution` says what they mean.
    frequencies : float64 array [L, 4]
        Equilibrium frequencies.
    log_rate : float64 array [L]
        log R, as the substitution model measures it.
    rate : float64 array [L]
        Expected substitutions per unit of branch length; 1 at a neutral site.
    entropy : float64 array [L]
        Of the frequencies, in nats.
    """

    codes: NDArray[np.uint8]
    theta: NDArray[np.float32]
    frequencies: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    rate: NDArray[np.float64]
    entropy: NDArray[np.float64]
    _numbers: tuple[MutationProcess, NDArray[np.float64]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def llr(self) -> NDArray[np.float64]:
        """LLR of every base against the one that stands there, [L, 4]; NaN where that is none."""
        return self.score(LLR)

    @property
    def default_score(self) -> str:
        """Name of the model's default score."""
        return DEFAULT_SCORES[self._numbers[0].substitution]

    def score(self, name: str | None = None) -> NDArray[np.float64]:
        """A score of the change to every base from the one that stands there, float64 [L, 4].

        Parameters
        ----------
        name : str, optional
            As for `annotate --score`, but ``calibrated``; by default the model's default score.

        Returns
        -------
        float64 array [L, 4]
            NaN where no base stands, and, but for ``llr``, of the base itself.

        Raises
        ------
        UsageError
            If there is no such score.
        """
        chosen = known_score(name or self.default_score)
        if chosen == CALIBRATED:
            raise UsageError("the calibrated score is of variants: use score_variants")
        process, log_pi = self._numbers
        found = process.scores(
            chosen, log_pi, self.log_rate, self.rate, all_changes(len(self))
        ).reshape(-1, 4, 4)
        known = np.flatnonzero(self.codes < 4)
        own = self.codes[known]
        scores = np.full((len(self), 4), np.nan)
        scores[known] = found[known, own]
        if chosen != LLR:
            scores[known, own] = np.nan
        return scores


def predict_sites(
    model: Model,
    sequences: SequenceLike | Sequence[SequenceLike] | Any = None,
    *,
    regions: Any = None,
    fasta: Reference | None = None,
    threads: int | None = None,
    batch_size: int | None = None,
    precision: str = "auto",
) -> SitePrediction | list[SitePrediction]:
    """Predict how every position evolves.

    Parameters
    ----------
    model : Model
        From `load_model`.
    sequences : str, bytes, uint8 array of base codes, or several of these
        Several: a list, an array, a Series. Nothing is known beyond their ends: they are padded
        with the token the model was trained with. So give half a receptive field more on each
        side, or regions of a genome.
    regions
        Instead of sequences: see `phylotools.embed`.
    fasta : path or ReferenceGenome, optional
        Where regions lie; by default the model's own reference.
    threads, batch_size, precision
        As for `phylotools annotate`.

    Returns
    -------
    SitePrediction or list of SitePrediction
        One for one sequence, a list for several or for regions.

    Raises
    ------
    UsageError, InputError
    """

    def predict(
        table: RegionTable, genome: ReferenceGenome, tile_length: int
    ) -> list[SitePrediction]:
        scorer = Scorer(
            model,
            genome,
            threads=threads,
            batch_size=batch_size,
            precision=precision,
            tile_length=tile_length,
        )
        targets = [table.targets[index] for index in table.contig.tolist()]
        spans = zip(targets, table.start.tolist(), table.end.tolist(), strict=True)
        return [_predict(scorer, Region(*span)) for span in spans]

    require_model(model)
    results, is_single = compute_each(model, sequences, regions, fasta, predict)
    return results[0] if is_single else results


def _predict(scorer: Scorer, region: Region) -> SitePrediction:
    substitution = scorer.model.substitution
    theta = scorer.theta(region)
    with torch.inference_mode():
        wide = torch.from_numpy(theta).double()
        log_pi, log_rate, rate, entropy = [
            tensor.double().numpy()
            for tensor in (
                substitution.log_equilibrium_frequencies(wide),
                substitution.log_rate(wide),
                substitution.site_rate(wide),
                substitution.entropy(wide),
            )
        ]
    return SitePrediction(
        scorer.genome.bases(region),
        theta,
        np.exp(log_pi),
        log_rate,
        rate,
        entropy,
        (scorer.model.mutation_process, log_pi),
    )
