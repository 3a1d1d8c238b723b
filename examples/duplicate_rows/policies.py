"""One row a species and block: the policies of `phylotools preprocess`, and two of other tools."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from alignments import ABSENT, GAP, UNKNOWN, Codes
from copies import Copy
from numpy.typing import NDArray

#: Name -> what it does, for the page.
POLICIES = {
    "drop": "the species has no row in the block",
    "best-identity": "the row with the most bases equal to the reference",
    "first": "the first row in the file",
    "consensus": "at each column the commonest base of the rows; N where two are as common",
    "block-consensus": "the row most like the other species in the block (mafDuplicateFilter)",
    "column-consensus": "consensus, ties decided by the other species (maf_stream)",
}


def keep_one(
    policy: str,
    rows: Codes,
    copies: Sequence[Copy],
    reference: Codes,
    starts: NDArray[np.int64],
    rng: np.random.Generator,
) -> Codes:
    """What a policy leaves of an alignment, its rows in random order.

    Parameters
    ----------
    policy : str
        A key of `POLICIES`.
    rows : uint8[S, C]
        One row of each species.
    copies : sequence of Copy
    reference : uint8[C]
    starts : int64[K]
        First columns of the blocks.
    rng : Generator

    Returns
    -------
    uint8[S, C]
    """
    kept = rows.copy()
    majority = _majority(rows, copies)
    for species in sorted({copy.species for copy in copies}):
        stack = np.stack(
            [rows[species], *(copy.codes for copy in copies if copy.species == species)]
        )
        kept[species] = _one_of(policy, stack, reference, majority, starts, rng)
    return kept


def duplicated_cells(
    rows: Codes, copies: Sequence[Copy], starts: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Cells of species with several rows in the block; bool[S, C]."""
    found = np.zeros(rows.shape, dtype=np.int64)
    widths = np.diff([*starts, rows.shape[1]])
    for species, codes in [*enumerate(rows), *((copy.species, copy.codes) for copy in copies)]:
        found[species] += np.repeat(_has_row(codes[None], starts)[0], widths)
    return found > 1


def _has_row(stack: Codes, starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.logical_or.reduceat(stack < GAP, starts, axis=1)


def _majority(rows: Codes, copies: Sequence[Copy]) -> Codes:
    """The commonest base of all rows at each column."""
    counts = _counts(np.stack([*rows, *(copy.codes for copy in copies)]))
    return counts.argmax(axis=0).astype(np.uint8)


def _counts(stack: Codes) -> NDArray[np.int64]:
    return np.stack([(stack == base).sum(axis=0) for base in range(4)])


def _one_of(
    policy: str,
    stack: Codes,
    reference: Codes,
    majority: Codes,
    starts: NDArray[np.int64],
    rng: np.random.Generator,
) -> Codes:
    """The cells that a policy makes of the rows of one species, uint8[rows, C]."""
    widths = np.diff([*starts, stack.shape[1]])
    present = _has_row(stack, starts)
    several = np.repeat(present.sum(axis=0) > 1, widths)
    order = rng.random(present.shape)
    if policy in ("consensus", "column-consensus"):
        counts = _counts(stack)
        best = counts.max(axis=0)
        tied = (counts == best).sum(axis=0) > 1
        chosen = counts.argmax(axis=0).astype(np.uint8)
        if policy == "column-consensus":
            of_majority = counts[majority, np.arange(len(majority))]
            chosen = np.where(tied & (of_majority == best), majority, chosen)
            tied &= of_majority < best
        nothing = np.where((stack == UNKNOWN).any(axis=0), UNKNOWN, GAP)
        chosen = np.where(best == 0, nothing, np.where(tied, UNKNOWN, chosen))
    elif policy == "drop":
        chosen = np.full(stack.shape[1], ABSENT, dtype=np.uint8)
    else:
        likeness = {"first": None, "best-identity": reference, "block-consensus": majority}[policy]
        score = -order
        if likeness is not None:
            same = (stack == likeness) & (stack < 4)
            score = np.add.reduceat(same.astype(np.int64), starts, axis=1) - order
        winner = np.where(present, score, -np.inf).argmax(axis=0)
        chosen = stack[np.repeat(winner, widths), np.arange(stack.shape[1])]
    only = stack[np.repeat(present.argmax(axis=0), widths), np.arange(stack.shape[1])]
    return np.where(several, chosen, only).astype(np.uint8)
