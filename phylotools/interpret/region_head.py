"""What a head that was fitted to regions says of a region, when one of its bases is another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.regions import Region
from phylotools.model.tuned_head import REGIONS
from phylotools.scoring.layers import (
    LAST,
    find_layer,
    head_features,
    is_equivariant,
    layer_forward,
)
from phylotools.scoring.scorer import Scorer
from phylotools.scoring.site_numbers import log_rate_and_entropy
from phylotools.scoring.substituted import substituted_sites
from phylotools.scoring.tiled_network import TiledNetwork

if TYPE_CHECKING:
    from phylotools.model.folder import Model


class RegionHead:
    """The score of a head for regions, under single substitutions.

    Its features are means over the region (docs/finetune.md), so that a substitution moves them by
    what changes at the sites that it reaches. All of them are the network's: where the head was
    fitted beside fits of training columns, the reference's own score differs a little from that of
    `phylotools finetune --apply`.

    Parameters
    ----------
    model : Model
    scorer : Scorer
        Of the model, by the sequence alone.

    Raises
    ------
    UsageError
        If the model has no head for regions.
    """

    def __init__(self, model: Model, scorer: Scorer) -> None:
        tuned = model.tuned
        if tuned is None or tuned.of != REGIONS:
            has = "no head" if tuned is None else "a head for variants: annotate writes its scores"
            raise UsageError(f"model {model.name} has {has}; this needs a head for regions")
        adapted = tuned.adapted_model(model)
        self._head = tuned.head
        self._spec = adapted.spec
        mirrors, width = is_equivariant(adapted.spec), adapted.spec.channels
        self._embeddings = TiledNetwork(
            adapted,
            scorer.genome,
            layer_forward(find_layer(LAST, adapted.spec), with_reverse=not mirrors),
            width if mirrors else 2 * width,
            **scorer.options,
        )
        self._scorer = scorer

    def score(self, region: Region) -> float:
        """The head's score of a region as it is."""
        return float(self._score(self._sums(region), len(region))[0])

    def effects(self, region: Region) -> Iterator[NDArray[np.float64]]:
        """Yield, for each position, the change of the score with A, C, G, T there, float64 [4]."""
        sums, n_bases = self._sums(region), len(region)
        before = self._score(sums, n_bases)[0]
        substitution = self._scorer.model.substitution
        pairs = zip(
            substituted_sites(self._scorer, region, within=region),
            substituted_sites(self._embeddings, region, within=region),
            strict=True,
        )
        for of_theta, of_vectors in pairs:
            theta = np.concatenate([of_theta.before[None], of_theta.after])
            numbers = log_rate_and_entropy(substitution, theta.reshape(-1, 4))
            numbers = numbers.reshape(*theta.shape[:2], -1).astype(np.float64).sum(axis=1)
            vectors = of_vectors.after.astype(np.float64).sum(axis=1)
            vectors -= of_vectors.before.astype(np.float64).sum(axis=0)
            changes = np.concatenate([numbers[1:] - numbers[0], vectors], axis=1)
            found = np.zeros(4)
            found[of_theta.alternatives] = self._score(sums + changes, n_bases) - before
            yield found

    def _sums(self, region: Region) -> NDArray[np.float64]:
        """Sums over a region of what features are means of, float64 [1, 2 + C]."""
        numbers = log_rate_and_entropy(self._scorer.model.substitution, self._scorer.theta(region))
        vectors = self._embeddings.values(region)
        both: list[NDArray[Any]] = [numbers, vectors]
        return np.concatenate(both, axis=1).sum(axis=0, dtype=np.float64)[None]

    def _score(self, sums: NDArray[np.float64], n_bases: int) -> NDArray[np.float64]:
        return self._head.score(head_features(sums, n_bases, self._spec))
