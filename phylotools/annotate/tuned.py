"""Features of scored alleles, and the score that a head fitted to a user's labels makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import UsageError
from phylotools.io.spliced import SplicedGenome
from phylotools.model.tuned_head import variant_head
from phylotools.scoring.change_features import ChangeFeatures
from phylotools.scoring.site_numbers import log_rates

if TYPE_CHECKING:
    from phylotools.annotate.judged_batch import JudgedBatch
    from phylotools.model.folder import Model
    from phylotools.model.tuned_head import TunedHead
    from phylotools.scoring.scorer import Scorer


def single_changes(batch: JudgedBatch) -> NDArray[np.int64]:
    """Terms of the batch that are the whole of a change: those of single-nucleotide variants."""
    terms = batch.terms
    return np.flatnonzero(terms.counts[terms.owners] == 1)


def score_features(
    default: NDArray[np.float64],
    llr: NDArray[np.float64],
    rate: NDArray[np.float64],
    entropy: NDArray[np.float64],
) -> NDArray[np.float32]:
    """The model's own numbers of K variants as features, float32 [K, 4].

    Parameters
    ----------
    default, llr : float64 array [K]
        The model's default score and the LLR.
    rate, entropy : float64 array [K]
        Of the site.
    """
    return np.stack([default, llr, log_rates(rate), entropy], axis=1).astype(np.float32)


def windows_of(
    batch: JudgedBatch, terms: NDArray[np.int64], changes: ChangeFeatures
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sequences around the sites of some terms with REF, and with ALT: uint8 [K, R] each."""
    sites = batch.terms.sites[terms]
    place = batch.contigs, batch.site_contigs[sites], batch.site_positions[sites]
    with_ref = changes.tokens(*place, batch.terms.refs[terms])
    with_alt = with_ref.copy()
    with_alt[:, changes.receptive_field // 2] = batch.terms.alts[terms]
    return with_ref, with_alt


class TunedScores:
    """The score of the model's own head, of single-nucleotide variants.

    Parameters
    ----------
    scorer : Scorer
        Of a model that brings a head for variants.

    Raises
    ------
    UsageError
        If the scores beside it are not those that the head was fitted beside.
    """

    def __init__(self, scorer: Scorer) -> None:
        tuned = variant_head(scorer.model)
        assert tuned is not None
        self._head = tuned.head
        in_transcripts = isinstance(scorer.genome, SplicedGenome)
        _require_same_scores(tuned, scorer.model, in_transcripts)
        self._changes = ChangeFeatures(
            tuned.adapted_model(scorer.model), scorer.genome, **scorer.options
        )

    def score(
        self,
        batch: JudgedBatch,
        default: NDArray[np.float64],
        llr: NDArray[np.float64],
        rate: NDArray[np.float64],
        entropy: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Scores [N] of the changes of a batch; NaN of those that are not of one base.

        Parameters
        ----------
        batch : JudgedBatch
        default, llr : float64 array [N]
            The model's scores of the changes.
        rate, entropy : float64 array [S]
            Of the sites.
        """
        found = np.full(batch.terms.n_changes, np.nan)
        terms = single_changes(batch)
        if len(terms):
            owners, sites = batch.terms.owners[terms], batch.terms.sites[terms]
            numbers = score_features(default[owners], llr[owners], rate[sites], entropy[sites])
            embeddings = self._changes.of(*windows_of(batch, terms, self._changes))
            found[owners] = self._head.score(np.concatenate([numbers, embeddings], axis=1))
        return found


def _require_same_scores(tuned: TunedHead, model: Model, in_transcripts: bool) -> None:
    if tuned.in_transcripts != in_transcripts:
        where = "in transcripts" if tuned.in_transcripts else "in the genome"
        raise UsageError(
            f"the head of model {model.name} was fitted to scores {where}; score there too "
            "(--transcripts, --no-transcripts)"
        )
    if tuned.base_sha256 != model.sha256:
        is_whole = model.uses_site_fits
        raise UsageError(
            f"the head of model {model.name} was fitted {'with' if is_whole else 'without'} "
            f"--sequence-only; {'give it' if is_whole else 'leave it out'} here too"
        )
