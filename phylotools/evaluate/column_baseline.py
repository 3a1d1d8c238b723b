"""A naive score beside all others: how often ALT and REF stand in the alignment's column."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, counted, shown_path
from phylotools.evaluate.reference_alleles import blocks_of, contig_names
from phylotools.io.bases import BASES
from phylotools.io.regions import Region
from phylotools.store.read import open_store
from phylotools.store.schema import CODE_MASK

if TYPE_CHECKING:
    from phylotools.evaluate.labelled import Variants

logger = logging.getLogger("phylotools")

#: What the score is called in reports; low values are the damaging end.
COLUMN_SCORE = "(alignment column)"
#: Added to both counts, so that a base that no species has is rarer than one that one species has.
PSEUDOCOUNT = 0.5
#: More REF alleles than these that are not the store's are those of another assembly.
_MOST_WRONG = 0.1


def column_scores(
    variants: Variants, store_path: str | os.PathLike[str], pseudocount: float = PSEUDOCOUNT
) -> NDArray[np.float64]:
    """Logarithm of how much more often ALT stands in a column of an alignment than REF.

    ``log((n_ALT + p) / (n_REF + p))``, counted over all species, the reference among them. It
    knows neither the tree nor the neighbourhood.

    Parameters
    ----------
    variants : Variants
    store_path : str or PathLike
        A column store on their assembly.
    pseudocount : float
        Above 0.

    Returns
    -------
    float64 array [M]
        NaN where the variant is no change of one base, no species but the reference has a base
        there, or REF is not the store's.

    Raises
    ------
    InputError
        If the store has none of the contigs, has another REF in most places, or is damaged.
    """
    store = open_store(store_path)
    names = contig_names(variants, store.contigs, store_path)
    scores = np.full(len(variants), np.nan)
    refs, alts = (
        np.array([BASES.find(text) if len(text) == 1 else -1 for text in texts], dtype=np.int64)
        for texts in (variants.refs, variants.alts)
    )
    is_snv = (refs >= 0) & (alts >= 0) & (refs != alts)
    n_compared = n_wrong = 0
    for contig, _, rows in blocks_of(variants, names, store.chunk_length):
        rows = rows[is_snv[rows] & (variants.positions[rows] < store.contigs[contig])]
        if not len(rows):
            continue
        positions = variants.positions[rows]
        region = Region(contig, int(positions[0]), int(positions[-1]) + 1)
        at = positions - region.start
        columns = store.bases(region)[at] & CODE_MASK
        own = store.reference(region)[at] & CODE_MASK
        is_known = own < len(BASES)
        agrees = own == refs[rows]
        n_compared += int(is_known.sum())
        n_wrong += int((is_known & ~agrees).sum())
        n_ref, n_alt = ((columns == of[rows][:, None]).sum(axis=1) for of in (refs, alts))
        has_others = (columns < len(BASES)).sum(axis=1) > 1
        values = np.log((n_alt + pseudocount) / (n_ref + pseudocount))
        scores[rows] = np.where(agrees & has_others, values, np.nan)
    if n_wrong > _MOST_WRONG * n_compared:
        raise InputError(
            f"REF of {n_wrong:,} of {n_compared:,} variants is not the store's: it is on another "
            "assembly",
            path=store_path,
            remedy="give a store on the assembly of the variants",
        )
    if n_wrong:
        n = counted(n_wrong, "variant")
        logger.warning("%s: REF of %s is not the store's", shown_path(store_path), n)
    return scores
