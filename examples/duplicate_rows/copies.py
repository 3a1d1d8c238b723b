"""The further rows that species have beside their orthologue: paralogues, haplotypes, pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from alignments import ABSENT, GAP, Alignment, Codes
from numpy.typing import NDArray
from torch import Tensor

from phylotools.phylogeny.simulation import evolve_along, make_walk, stream_key
from phylotools.phylogeny.substitution import SubstitutionModel
from phylotools.phylogeny.tree import Tree, parse_newick

#: Substitutions per site between haplotypes; between the root and the duplication of old copies.
HAPLOTYPE, OLD_STEM = 0.004, 0.2
#: Share of the species with a second copy.
SECOND = 0.3


@dataclass(frozen=True, eq=False)
class Copy:
    """A further row of one species, on all columns; `ABSENT` where there is no such row.

    Attributes
    ----------
    species : int
    codes : uint8[C]
    """

    species: int
    codes: Codes


@dataclass(frozen=True, eq=False)
class Copies:
    """Copies of every row, should the species have any.

    Attributes
    ----------
    rows : dict of str to list of uint8[S, C]
        Kind -> first and second copy.
    second : bool[S]
        Species with two copies rather than one.
    """

    rows: dict[str, list[Codes]]
    second: NDArray[np.bool_]


def draw_copies(alignment: Alignment, stretch: int, seed: int) -> Copies:
    """Copies of every kind.

    ``haplotype``: the row with few differences. ``recent``: a duplication in the middle of the
    species' own branch, both under the same selection. ``pseudogene``: the same, the copy neutral.
    ``old``: a duplication before the root, the copy a gene of its own in all species. ``mixed``:
    one of these at random, for every species and stretch of columns.
    """
    evolution = _Evolution(alignment.model, seed)
    rng = np.random.default_rng(seed)
    n_species, length = alignment.rows.shape
    half = alignment.tree.branch_length[alignment.tree.tip_nodes] / 2
    neutral = alignment.neutral.expand(length, 4)

    def each(starts: Codes, lengths: NDArray[np.float64], theta: Tensor) -> list[Codes]:
        return [
            np.stack([evolution.along(*row, theta) for row in zip(starts, lengths, strict=True)])
            for _ in range(2)
        ]

    rows = {
        "haplotype": each(alignment.rows, np.full(n_species, HAPLOTYPE), alignment.theta),
        "recent": each(alignment.halfway, half, alignment.theta),
        "pseudogene": each(alignment.halfway, half, neutral),
        # Gaps and missing stretches are those of the orthologue.
        "old": [
            np.where(
                alignment.rows > 3,
                alignment.rows,
                evolution.down(alignment.tree, alignment.root, OLD_STEM, alignment.theta),
            )
            for _ in range(2)
        ],
    }
    kind = rng.integers(len(rows), size=(n_species, length // stretch + 1))
    kind = kind.repeat(stretch, axis=1)[:, :length]
    rows["mixed"] = [
        np.choose(kind, [copies[number] for copies in rows.values()]).astype(np.uint8)
        for number in range(2)
    ]
    return Copies(rows, rng.random(n_species) < SECOND)


class _Evolution:
    """Rows drawn from a given row, each by random numbers of its own."""

    def __init__(self, model: SubstitutionModel, seed: int) -> None:
        self._model, self._seed, self._drawn = model, seed, 0

    def along(self, start: Codes, length: float, theta: Tensor) -> Codes:
        """`start` after evolution over a branch; uint8[C]."""
        self._drawn += 1
        walk = make_walk(parse_newick(f"(a:0,b:{float(length)!r});"))
        key = stream_key(self._seed, f"copy {self._drawn}")
        drawn = evolve_along(walk, theta, self._model, key=key, start=0, start_states=start)
        return np.where(start > 3, start, drawn.states[:, 1])

    def down(self, tree: Tree, start: Codes, stem: float, theta: Tensor) -> Codes:
        """`start` after evolution over a stem and down a tree; uint8[S, C]."""
        self._drawn += 1
        body = tree.to_newick().rstrip().removesuffix(";")
        body = body[: body.rindex(")") + 1]
        walk = make_walk(parse_newick(f"(/start:0,{body}:{stem!r});"), "/start")
        key = stream_key(self._seed, f"copy {self._drawn}")
        drawn = evolve_along(walk, theta, self._model, key=key, start=0, start_states=start)
        place = {name: row for row, name in enumerate(walk.species)}
        return drawn.states.T[[place[name] for name in tree.tips]]


def carriers(
    alignment: Alignment,
    starts: NDArray[np.int64],
    share: float,
    stretch: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which species have copies where: in stretches of whole blocks; bool[S, C]."""
    n_species, length = alignment.rows.shape
    has = rng.random((n_species, length // stretch + 1)) < share
    has[alignment.reference] = False
    return np.repeat(has[:, starts // stretch], np.diff([*starts, length]), axis=1)


def blocks_of(length: int, mean: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """First columns of blocks of geometric lengths."""
    ends = np.cumsum(rng.geometric(1 / mean, size=2 * length // mean + 10))
    return np.concatenate([[0], ends[ends < length]]).astype(np.int64)


def cut_to_part(
    copies: Sequence[Copy], starts: NDArray[np.int64], rng: np.random.Generator
) -> list[Copy]:
    """Each copy cut to 20 to 60 % of every block."""
    length = len(copies[0].codes)
    first = np.repeat(starts, np.diff([*starts, length]))
    width = np.repeat(np.diff([*starts, length]), np.diff([*starts, length]))
    at = (np.arange(length) - first) / width
    cut = []
    for copy in copies:
        share = np.repeat(rng.uniform(0.2, 0.6, len(starts)), np.diff([*starts, length]))
        begin = np.repeat(rng.random(len(starts)), np.diff([*starts, length])) * (1 - share)
        inside = (at >= begin) & (at < begin + share)
        codes = np.where(inside | (copy.codes == ABSENT), copy.codes, GAP)
        cut.append(Copy(copy.species, codes.astype(np.uint8)))
    return cut


def split_rows(
    rows: Codes, has: NDArray[np.bool_], starts: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Codes, list[Copy]]:
    """The orthologue itself in two pieces, each a row: what two contigs of an assembly give."""
    length = rows.shape[1]
    widths = np.diff([*starts, length])
    at = (np.arange(length) - np.repeat(starts, widths)) / np.repeat(widths, widths)
    left, copies = rows.copy(), []
    for species in np.flatnonzero(has.any(axis=1)):
        cut = np.repeat(rng.uniform(0.2, 0.8, len(starts)), widths)
        is_left = at < cut
        other = np.where(has[species], np.where(is_left, GAP, rows[species]), ABSENT)
        left[species] = np.where(has[species] & ~is_left, GAP, rows[species])
        copies.append(Copy(int(species), other.astype(np.uint8)))
    return left, copies


def make_copies(
    has: NDArray[np.bool_], codes: Sequence[Codes], second: NDArray[np.bool_]
) -> list[Copy]:
    """One copy wherever a species has any, and of some species a second.

    Parameters
    ----------
    has : bool[S, C]
    codes : sequence of uint8[S, C]
        First and second copies.
    second : bool[S]
    """
    return [
        Copy(int(species), np.where(has[species], rows[species], ABSENT).astype(np.uint8))
        for rows, chosen in zip(codes, (has.any(axis=1), has.any(axis=1) & second), strict=True)
        for species in np.flatnonzero(chosen)
    ]
