"""What only a folder holds: thresholds, evidence, calibration, allele frequency, signs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from phylotools.evaluate.comparison import Evaluation
from phylotools.evaluate.frequency_tables import frequency_table, slide
from phylotools.evaluate.labelled import LabelKind
from phylotools.evaluate.outcome import Outcome, Table
from phylotools.evaluate.sign_tables import sign_table
from phylotools.evaluate.threshold_tables import threshold_tables
from phylotools.evaluate.thresholds import Thresholds, judge_thresholds

#: More rows tell nothing about a threshold that so many do not.
MOST_ROWS = 250_000
# Rows times replicates; never fewer replicates than the second.
_MOST_WORK, _FEWEST_REPLICATES = 50_000_000, 200


def with_details(outcome: Outcome, *, prior: float, replicates: int, seed: int) -> Outcome:
    """The same with tables of thresholds, windows of allele frequency, and signs.

    Parameters
    ----------
    outcome : Outcome
    prior : float
        Probability that a variant is pathogenic before its score is known.
    replicates, seed : int
        As for `evaluate`. Of more than `MOST_ROWS` rows a random part is taken, of many rows
        fewer replicates; tables say so.
    """
    evaluation, n_replicates = reduced(outcome.evaluation, replicates, seed)
    tables: list[Table] = []
    judged: tuple[Thresholds, ...] = ()
    if evaluation.data.kind == LabelKind.CLASSES:
        judged = judge_thresholds(
            evaluation.oriented,
            evaluation.data.positive,
            evaluation.data.clusters,
            prior=prior,
            replicates=n_replicates,
            seed=seed,
        )
        tables += threshold_tables(evaluation, judged, prior)
    frequency = slide(evaluation, replicates=n_replicates, seed=seed)
    if frequency is not None:
        tables.append(frequency_table(evaluation, frequency))
    signs = sign_table(evaluation, replicates=n_replicates, seed=seed)
    if signs is not None:
        tables.append(signs)
    note = _reduction(outcome.evaluation, evaluation, replicates, n_replicates)
    tables = [replace(table, note=f"{table.note}{note}") for table in tables]
    return replace(
        outcome, tables=(*tables, *outcome.tables), thresholds=judged, frequency=frequency
    )


def reduced(evaluation: Evaluation, replicates: int, seed: int) -> tuple[Evaluation, int]:
    """A random part of the clusters of very many rows, and how many replicates it can have."""
    data = evaluation.data
    if len(data) > MOST_ROWS:
        places = np.random.default_rng([seed, 3]).permutation(int(data.clusters.max()) + 1)
        # Clusters in a random order, as many as fit.
        sizes = np.bincount(data.clusters, minlength=len(places))
        fits = np.empty(len(places), dtype=bool)
        fits[places] = np.cumsum(sizes[places]) <= MOST_ROWS
        rows = np.flatnonzero(fits[data.clusters])
        if len(np.unique(data.labels[rows])) > 1:
            data = data.take(rows)
            evaluation = replace(evaluation, data=data)
    most = max(_MOST_WORK // max(len(data), 1), _FEWEST_REPLICATES)
    return evaluation, min(replicates, most)


def _reduction(before: Evaluation, after: Evaluation, replicates: int, n_replicates: int) -> str:
    """A sentence for the notes of tables; empty where nothing was reduced."""
    said = []
    if len(after.data) < len(before.data):
        said.append(f"{len(after.data):,} of {len(before.data):,} {before.data.what}, at random")
    if n_replicates < replicates:
        said.append(f"{n_replicates:,} resamplings")
    return f" Of {', with '.join(said)}." if said else ""
