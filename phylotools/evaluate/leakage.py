"""Whether two sides of a split know of each other: what a figure on the one owes to the other.

Sides are values of a column (train and test, or folds), or what a model or another score was
fitted to and what it is judged by. Looked for are, from the plainest to the one that a split by
place overlooks: the same variant, a shared position, a position close by, the same gene, and
sequence that is alike though it lies elsewhere (paralogues, pseudogenes, repeats).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError, UsageError
from phylotools.evaluate.homology import (
    IDENTITY,
    MOST_TILES,
    TILE,
    Homologies,
    homologies_across,
)
from phylotools.evaluate.labelled import NO_LEVEL, Factor, LabelledScores
from phylotools.evaluate.neighbours import neighbours_across
from phylotools.evaluate.outcome import Finding, Table
from phylotools.evaluate.split_items import (
    JUDGED,
    TRAINED,
    SplitItems,
    split_items,
    trained_items,
)
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome

#: Positions so close share a window of a network and their neighbourhood in the alignment.
NEAR = 500
#: Bases around a variant that homologous sequence is looked for in.
AROUND = 100
#: Sides that a sentence tells of.
_TOLD = 3
#: Strata that are genes.
_GENE_NAMES = frozenset({"gene", "symbol", "gene_symbol", "gene_name", "gene_id"})
_TOO_MUCH = "homologous sequence was not looked for: there are too many regions"
_THINNED = "of the words by which homologous sequence is found one of {} was compared"


@dataclass(frozen=True)
class LeakKind:
    """One way in which sides know of each other.

    Attributes
    ----------
    name : str
    leaks : bool array [N]
        Which items have a counterpart on another side.
    counts : int64 array [K]
        How many of each side.
    examples : tuple of (str, str, str)
        Of each side: an item, its counterpart, and what they share; empty texts where none is.
    """

    name: str
    leaks: NDArray[np.bool_]
    counts: NDArray[np.int64]
    examples: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Leakage:
    """What sides of a split share.

    Attributes
    ----------
    split : str
        Name of the column, or of the file that was trained on.
    sides : tuple of str
    sizes : int64 array [K]
        Items of each side.
    kinds : tuple of LeakKind
        Each counts what the ones before it count too.
    notes : tuple of str
        What could not be looked for, and why.
    """

    split: str
    sides: tuple[str, ...]
    sizes: NDArray[np.int64]
    kinds: tuple[LeakKind, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found."""
        return not any(kind.counts.any() for kind in self.kinds)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of `leakage_table`: one for each kind and side."""
        for kind in self.kinds:
            for k, side in enumerate(self.sides):
                n, of = int(kind.counts[k]), int(self.sizes[k])
                fraction = n / of if of else math.nan
                yield (self.split, kind.name, side, n, of, fraction, *kind.examples[k])

    @property
    def finding(self) -> Finding:
        """The result as a warning, or a note where nothing is shared."""
        text = "; ".join(self.sentences())
        if self.is_clean:
            return Finding("leakage", f"Leakage: {text}.", is_warning=False)
        what = f"the sides of {self.split} know of each other"
        if self.sides == (JUDGED, TRAINED):
            what = f"{self.split} was trained on what judges it here"
        return Finding("leakage", f"Leakage: {what}: {text}.")

    def sentences(self) -> list[str]:
        """What was found of each kind, and what could not be looked for."""
        found = [f"{kind.name} {self._of_sides(kind)}" for kind in self.kinds if kind.counts.any()]
        if not found:
            looked_for = ", ".join(kind.name for kind in self.kinds)
            found = [f"nothing is on both sides of {self.split} (looked for: {looked_for})"]
        return [*found, *self.notes]

    def _of_sides(self, kind: LeakKind) -> str:
        """Counts of the sides, the worst first; of what was trained on nobody asks."""
        own = [k for k, side in enumerate(self.sides) if side != TRAINED and kind.counts[k]]
        own.sort(key=lambda k: -kind.counts[k] / self.sizes[k])
        told = [f"{kind.counts[k]:,} of {self.sizes[k]:,} {self.sides[k]}" for k in own[:_TOLD]]
        more = f" and {len(own) - _TOLD} more sides" if len(own) > _TOLD else ""
        item, counterpart, what = kind.examples[own[0]]
        example = f"as {item} and {counterpart}" + (f" ({what})" if what else "")
        return f"{', '.join(told)}{more}, {example}"


def found_leakage(
    data: LabelledScores, split: str | None, trained_on: Iterable[str], fasta: str | None
) -> tuple[LabelledScores, list[Leakage]]:
    """What sides share: those of a column, and what was trained on and judges.

    Parameters
    ----------
    data : LabelledScores
        Of variants; the column is among its strata.
    split : str or None
        Name of the column.
    trained_on : iterable of str
    fasta : str or None
        Their assembly, to look for homologous sequence.

    Returns
    -------
    data : LabelledScores
        Without the stratum of the column.
    leakages : list of Leakage

    Raises
    ------
    UsageError
        If labels are those of regions.
    """
    leakages: list[Leakage] = []
    variants = data.variants
    trained_on = list(trained_on)
    if variants is None:
        if split is not None or trained_on:
            raise UsageError("leakage is looked for between variants; these labels are of regions")
        return data, leakages
    if split is not None:
        sides = next(factor for factor in data.strata if factor.name == split)
        data = replace(data, strata=tuple(f for f in data.strata if f is not sides))
        items = split_items(variants, sides, _genes(data))
        leakages.append(find_leakage(items, split, fasta=fasta))
    for path in trained_on:
        items = trained_items(variants, path)
        leakages.append(find_leakage(items, os.path.basename(path.rstrip("/")), fasta=fasta))
    return data, leakages


def leakage_table(leakages: Iterable[Leakage]) -> Table:
    """What sides share, as a table of the report."""
    return Table(
        "leakage.tsv",
        "What the sides of a split share",
        ("split", "shared", "side", "n", "of", "fraction", "example", "counterpart", "what"),
        tuple(row for leakage in leakages for row in leakage.rows()),
        "Positions close by include shared ones. A figure is only as good as its split is clean.",
    )


def _genes(data: LabelledScores) -> Factor | None:
    return next((each for each in data.strata if each.name.lower() in _GENE_NAMES), None)


def find_leakage(
    items: SplitItems,
    split: str,
    *,
    fasta: str | None = None,
    near: int = NEAR,
    identity: float = IDENTITY,
) -> Leakage:
    """Look for what the sides of a split share.

    Parameters
    ----------
    items : SplitItems
    split : str
        What the split is called in reports.
    fasta : str, optional
        Their assembly; without it homologous sequence is not looked for.
    near : int
        Positions between two items that are close are fewer.
    identity : float
        Share of equal bases of homologous stretches of 200.

    Raises
    ------
    InputError
        If the FASTA has none of the contigs.
    """
    kinds = []
    for name, partners in (
        ("same variant", _same_variant(items)),
        ("same position", _near(items, 0)),
        (f"within {near:,} bases", _near(items, near)),
    ):
        kinds.append(_kind(items, name, partners))
    notes = []
    if items.genes is not None:
        kinds.append(_kind(items, "same gene", _same_gene(items), items.genes.texts))
    else:
        notes.append("genes were not compared: none are known of both sides")
    if fasta is None:
        notes.append("homologous sequence was not looked for: no FASTA was given")
    else:
        with ReferenceGenome.open(fasta) as genome:
            kind, note = _homologous(items, genome, identity)
        kinds += [kind] if kind else []
        notes += [note] if note else []
    sizes = np.bincount(items.side, minlength=len(items.sides))
    return Leakage(split, items.sides, sizes, tuple(kinds), tuple(notes))


def _kind(
    items: SplitItems, name: str, partners: NDArray[np.int64], shared: Sequence[str] = ()
) -> LeakKind:
    """A kind of which the counterpart of each item is known, -1 where it has none.

    `shared` is what each item has in common with it, where that is more than the name says.
    """
    leaks = partners >= 0
    counts = np.bincount(items.side[leaks], minlength=len(items.sides))
    examples = [("", "", "")] * len(items.sides)
    for side in np.flatnonzero(counts).tolist():
        row = int(np.flatnonzero(leaks & (items.side == side))[0])
        what = shared[row] if shared else ""
        examples[side] = (items.name(row), items.name(int(partners[row])), what)
    return LeakKind(name, leaks, counts, tuple(examples))


def _same_variant(items: SplitItems) -> NDArray[np.int64]:
    texts = Factor.of("", items.alleles)
    is_variant = np.array([bool(level) for level in texts.levels], dtype=bool)[texts.codes]
    keys = np.stack([items.contig, items.start, texts.codes.astype(np.int64)])
    return _same(keys, items.side, is_variant)


def _same_gene(items: SplitItems) -> NDArray[np.int64]:
    genes = items.genes
    assert genes is not None
    is_known = np.array([level not in (NO_LEVEL, "") for level in genes.levels])[genes.codes]
    return _same(genes.codes[None].astype(np.int64), items.side, is_known)


def _same(
    keys: NDArray[np.int64], side: NDArray[np.int64], counts: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """For each item one of another side with the same keys [C, N]; -1 where none is."""
    found = np.full(len(side), -1, dtype=np.int64)
    rows = np.flatnonzero(counts)
    if not len(rows):
        return found
    order = rows[np.lexsort((side[rows], *keys[::-1, rows]))]
    is_first = np.append(True, (np.diff(keys[:, order]) != 0).any(axis=0))
    group = np.cumsum(is_first) - 1
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:], len(order)) - 1
    # Within a group items stand by side: its ends are of two sides if any two are.
    first, last = order[firsts][group], order[lasts][group]
    found[order] = np.where(
        side[first] != side[order], first, np.where(side[last] != side[order], last, -1)
    )
    return found


def _near(items: SplitItems, distance: int) -> NDArray[np.int64]:
    return neighbours_across(items.contig, items.start, items.end, items.side, distance)


def _homologous(
    items: SplitItems, genome: ReferenceGenome, identity: float
) -> tuple[LeakKind | None, str]:
    """Items near sequence that is alike on another side; None, and why, if it is too much."""
    names = resolve_contigs(items.contigs, genome.contigs)
    if not names:
        raise InputError(
            f"has none of the variants' contigs ({', '.join(items.contigs[:5])})",
            path=genome.path,
            remedy="give the assembly of the variants",
        )
    contigs = [names.get(name, "") for name in items.contigs]
    lengths = np.array([genome.contigs.get(name, 0) for name in contigs], dtype=np.int64)
    first = np.maximum(items.start - AROUND, 0) // TILE
    last = np.minimum(items.end + AROUND - 1, lengths[items.contig] - 1) // TILE
    n_tiles = np.maximum(last - first + 1, 0)
    # A region of what was trained on may be a whole genome.
    if int(n_tiles.sum()) > 4 * MOST_TILES:
        return None, _TOO_MUCH
    rows = np.repeat(np.arange(len(items)), n_tiles)
    tiles = first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(n_tiles) - n_tiles, n_tiles)
    places = np.stack([items.contig[rows], tiles])
    unique, of = np.unique(places, axis=1, return_inverse=True)
    of = of.reshape(-1)
    if unique.shape[1] > MOST_TILES:
        return None, _TOO_MUCH
    sides = np.zeros(unique.shape[1], dtype=np.uint64)
    np.bitwise_or.at(sides, of, np.uint64(1) << items.side[rows].astype(np.uint64))
    found = homologies_across(genome, contigs, unique[0], unique[1], sides, identity)
    partners, pairs = _partners(items, found, rows, of, len(sides))
    shared = [_in_words(found, k) if k >= 0 else "" for k in pairs.tolist()]
    name = f"homologous sequence ({identity:.0%} identity or more)"
    note = "" if found.thinned == 1 else _THINNED.format(found.thinned)
    return _kind(items, name, partners, shared), note


def _in_words(found: Homologies, pair: int) -> str:
    strand = ", reverse strand" if found.is_reverse[pair] else ""
    return f"{found.identity[pair]:.0%} identity{strand}"


def _partners(
    items: SplitItems,
    found: Homologies,
    rows: NDArray[np.int64],
    tile_of: NDArray[np.int64],
    n_tiles: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each item one of another side whose tile is alike, and the pair of tiles; -1 if none.

    The most alike are taken first.
    """
    partner = np.full(len(items), -1, dtype=np.int64)
    pair_of = partner.copy()
    order = np.argsort(tile_of, kind="stable")
    bounds = np.searchsorted(tile_of[order], np.arange(n_tiles + 1))
    for pair in np.argsort(-found.identity, kind="stable").tolist():
        tiles = int(found.one[pair]), int(found.other[pair])
        one, other = (rows[order[bounds[tile] : bounds[tile + 1]]] for tile in tiles)
        for own, others in ((one, other), (other, one)):
            # Of two sides there is always one that is not the item's own.
            for there in _of_two_sides(items.side[others]):
                is_across = (items.side[own] != items.side[others[there]]) & (partner[own] < 0)
                partner[own[is_across]] = others[there]
                pair_of[own[is_across]] = pair
    return partner, pair_of


def _of_two_sides(side: NDArray[np.int64]) -> list[int]:
    """Places of the first, and of the first of another side."""
    others = np.flatnonzero(side != side[0])
    return [0, *others[:1].tolist()]
