"""What is added to joined scores before they are compared: consequences, alignment columns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.column_baseline import column_scores
from phylotools.evaluate.comparison import BY_COLUMN
from phylotools.evaluate.csq import csq_factors
from phylotools.evaluate.labelled import LabelledScores, Variants


def with_genes(
    data: LabelledScores, gff: str, fasta: str, genetic_code: int | None = None
) -> LabelledScores:
    """The same with consequence and gene by a file of genes and the sequence."""
    return data.with_strata(*csq_factors(variants_of(data), gff, fasta, genetic_code=genetic_code))


def with_columns(
    data: LabelledScores, store: str
) -> tuple[LabelledScores, dict[str, NDArray[np.float64]]]:
    """A ranking by the alignment's columns, and the rows that have it.

    Returns
    -------
    LabelledScores
        Rows without it are left out, and counted as lacking.
    dict
        Name -> float64[M], high at the damaging end.

    Raises
    ------
    InputError
        If no row, or rows of one label only, have a column.
    """
    values = column_scores(variants_of(data), store)
    known = ~np.isnan(values)
    if len(np.unique(data.labels[known])) < 2:
        raise InputError(
            f"of {len(data):,} {data.what}, {int(known.sum()):,} have a column, and not of "
            "different labels",
            path=store,
            remedy="leave --store out, or give the store of these regions",
        )
    lacking = data.lacking | {"alignment column": int((~known).sum())}
    data = replace(data.take(known), lacking=lacking)
    return data, {BY_COLUMN: -values[known]}


def variants_of(data: LabelledScores) -> Variants:
    """The variants that are labelled.

    Raises
    ------
    UsageError
        If labels are those of regions.
    """
    if data.variants is None:
        raise UsageError("--consequence and --store are for variants; these labels are of regions")
    return data.variants
