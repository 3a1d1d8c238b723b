"""Whether REF of variants is what a reference sequence has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phylotools.errors import InputError
from phylotools.io.contigs import resolve_contigs
from phylotools.io.genome import ReferenceGenome
from phylotools.io.regions import Region

if TYPE_CHECKING:
    from phylotools.evaluate.labelled import Variants

#: Positions read at once.
BLOCK = 1 << 20
#: More of the variants than these disagree by nothing but another assembly: of few, and of many.
_MOST_OF_FEW, _MOST_OF_MANY, _MANY = 0.5, 0.1, 100


def contig_names(variants: Variants, contigs: dict[str, int], path: object) -> list[str | None]:
    """The name in a reference of each of `Variants.contigs`, None where it has none.

    Raises
    ------
    InputError
        If it has none of them.
    """
    used = np.unique(variants.contig_index).tolist()
    names = resolve_contigs([variants.contigs[k] for k in used], contigs)
    if used and not names:
        have = ", ".join(list(contigs)[:5])
        raise InputError(
            f"has none of the variants' contigs ({', '.join(variants.contigs[k] for k in used[:5])}"
            f"); it has {have}",
            path=str(path),
            remedy="give the assembly of the variants; where only names differ, --contig-aliases",
        )
    return [names.get(name) for name in variants.contigs]


def blocks_of(
    variants: Variants, names: list[str | None], block: int = BLOCK
) -> Iterator[tuple[str, int, NDArray[np.int64]]]:
    """Rows of variants by the block of positions that they begin in.

    Yields
    ------
    contig, start, rows
        Name in the reference, where the block begins, and rows by rising position. Variants whose
        contig has no name are left out.
    """
    order = np.lexsort((variants.positions, variants.contig_index))
    keys = (variants.contig_index.astype(np.int64) << 40) + variants.positions // block
    firsts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    for rows in np.split(order, firsts[1:]) if len(order) else ():
        name = names[variants.contig_index[rows[0]]]
        if name is not None:
            yield name, int(variants.positions[rows[0]] // block) * block, rows


def disagreeing(
    variants: Variants, names: list[str | None], genome: ReferenceGenome
) -> NDArray[np.bool_]:
    """Which variants have another REF than the genome, or lie beyond its contigs; bool [M].

    Letters of REF other than A, C, G and T are not compared, and an unknown base of the genome
    agrees with any.

    Raises
    ------
    InputError
        If so many do that the genome is another assembly.
    """
    wrong = np.zeros(len(variants), dtype=bool)
    n_compared, first = 0, None
    for contig, start, rows in blocks_of(variants, names):
        length = genome.contigs[contig]
        longest = max(len(variants.refs[row]) for row in rows.tolist())
        end = min(start + BLOCK + longest, length)
        letters = genome.letters(Region(contig, min(start, end), end)).decode()
        for row in rows.tolist():
            ref, at = variants.refs[row], int(variants.positions[row]) - start
            there = letters[at : at + len(ref)]
            wrong[row] = ref != there and not _agrees(ref, there)
            n_compared += 1
            if wrong[row] and first is None:
                first = (
                    f"{variants.contigs[variants.contig_index[row]]}:{start + at + 1} {ref[:20]}"
                )
    n_wrong = int(wrong.sum())
    most = _MOST_OF_MANY if n_compared >= _MANY else _MOST_OF_FEW
    if n_wrong > most * n_compared:
        raise InputError(
            f"REF of {n_wrong:,} of {n_compared:,} variants is not what stands there (first: "
            f"{first}): it is another assembly",
            path=genome.path,
            remedy="give the assembly that the variants are on",
        )
    return wrong


def _agrees(ref: str, there: str) -> bool:
    return len(ref) == len(there) and all(
        a == b or a not in "ACGT" or b not in "ACGT" for a, b in zip(ref, there, strict=True)
    )
